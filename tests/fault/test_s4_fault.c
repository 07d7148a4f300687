/* Goal: whatever allocation, store call or file operation fails in the life of a string store, the call says so, nothing leaks, no half of a batch is there, and
 * what flush() or upload() acknowledged is there afterwards. Method: one life with a put, a flush, deletes, an upload, a compaction, a rebuild and reads; a loop for every kind of
 * fault breaks its n-th point for n = 0, 1, ... until that is never reached; after each run a process without faults looks. FAULT_N=n runs one point. */
#include "base/assert.h"
#include "base/env/sim.h"
#include "s4/s4.h"
#include "store/memory.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { ALLOCS, STORE_BEFORE, STORE_AFTER, STORE_KILL, FILES, POINTS, KINDS };
static const char *const kind_names[KINDS] = {"allocations",    "store calls",  "lost answers",
                                              "kills at calls", "file changes", "kills at points"};

struct scene {
    struct shl_store *bucket;
    struct world_faults faults, none;
    enum kind kind;
    bool sticky;
    uint64_t n, seen;
    bool ended;
    unsigned put, safe; /* batches: taken, acknowledged as safe */
    bool compacted;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static bool allowed(const struct scene *s, shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return true;
    bool fine = s->kind == ALLOCS  ? rc == SHALE_NOMEM
                : s->kind == FILES ? rc == SHALE_NO_SPACE || rc == SHALE_UNAVAILABLE
                                   : rc == SHALE_UNAVAILABLE;
    /* A local file that cannot be read is as good as none: then the bucket is asked, or there is nothing to upload. */
    if (s->kind == FILES && rc == SHALE_CORRUPTION && strstr(err->text, "local") != NULL)
        fine = true;
    if (!fine)
        die_of(what, err);
    return false;
}

static shale_code open_db(struct scene *s, struct world_faults *faults, bool rebuild,
                          struct shl_store **store, struct shl_s4 **out, shale_error *err)
{
    struct shl_s4_settings settings;
    shl_s4_settings_init(&settings);
    settings.local_dir = "/folder";
    settings.max_file_bytes = 150;
    settings.index_unread = rebuild;
    shale_code rc = world_store_new(s->bucket, faults, store, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_s4_open(&(struct shl_s4_open){.store = *store, .path = "db", .settings = &settings},
                     out, err);
    if (rc != SHALE_OK)
        shl_store_unref(*store);
    return rc;
}

#define BATCH 6

/* Batch n: keys 0..5 get the value n, and are in several files. */
static bool put_batch(struct scene *s, struct shl_s4 *db, shale_error *err)
{
    char keys[BATCH][8], values[BATCH][40];
    struct shl_s4_item items[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%u", i);
        (void)snprintf(values[i], sizeof values[i], "%u is the value of k%u", s->put + 1, i);
        items[i] = (struct shl_s4_item){shl_slice_str(keys[i]), shl_slice_str(values[i]), i == 0};
    }
    if (!allowed(s, shl_s4_put(db, items, BATCH, err), err, "put"))
        return false;
    s->put++;
    return true;
}

/* Which batch all keys are of; 0: none of them is there. A mixture ends the run. False: a read failed, as it may. */
static bool which_batch(struct scene *s, struct shl_s4 *db, unsigned *out, shale_error *err)
{
    unsigned seen[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        struct shl_buf value = {0};
        char key[8], text[64] = "";
        bool is_bytes = false;
        (void)snprintf(key, sizeof key, "k%u", i);
        shale_code rc = shl_s4_get(db, shl_slice_str(key), &value, &is_bytes, err);
        if (rc == SHALE_OK)
            memcpy(text, value.data, value.len < 63 ? value.len : 63);
        shl_buf_free(&value);
        if (rc != SHALE_NOT_FOUND && !allowed(s, rc, err, "get"))
            return false;
        seen[i] = rc == SHALE_OK ? (unsigned)strtoul(text, NULL, 10) : 0;
        if (rc == SHALE_OK && is_bytes != (i == 0))
            env_die("text became bytes");
        if (seen[i] != seen[0])
            env_die("half of a batch is there");
    }
    *out = seen[0];
    return true;
}

static void scan(struct scene *s, struct shl_s4 *db, bool local, shale_error *err)
{
    struct shl_s4_iter *it;
    struct shl_s4_item item;
    shale_code rc = shl_s4_iter_open(db, &(struct shl_s4_iter_options){.local = local}, &it, err);
    if (!allowed(s, rc, err, "scan"))
        return;
    while ((rc = shl_s4_iter_next(it, &item, err)) == SHALE_OK)
        SHL_ASSERT(item.key.len == 2);
    if (rc != SHALE_DONE)
        (void)allowed(s, rc, err, "scan");
    shl_s4_iter_close(it);
}

static void keep(struct scene *s, struct shl_s4 *db, bool upload, shale_error *err)
{
    shale_code rc = upload ? shl_s4_upload(db, true, err) : shl_s4_flush(db, err);
    if (allowed(s, rc, err, upload ? "upload" : "flush"))
        s->safe = s->put;
}

/* What the scenario does, each step whatever became of the one before. */
static void live(struct scene *s, struct shl_s4 *db)
{
    shale_error err = {0};
    struct shl_s4_compacted done;
    unsigned batch;
    const struct shl_slice absent = shl_slice_str("absent");
    (void)put_batch(s, db, &err);
    keep(s, db, false, &err);
    (void)put_batch(s, db, &err);
    keep(s, db, true, &err);
    if (which_batch(s, db, &batch, &err) && batch != s->put)
        env_die("a put that failed is there, or one that did not is not");
    (void)allowed(s, shl_s4_delete(db, &absent, 1, NULL, &err), &err, "delete");
    (void)put_batch(s, db, &err);
    keep(s, db, true, &err);
    shale_code rc = shl_s4_compact(db, 0, &done, &err);
    if (rc != SHALE_INVALID) /* an upload before it failed */
        (void)allowed(s, rc, &err, "compact");
    scan(s, db, false, &err);
    (void)put_batch(s, db, &err);
    keep(s, db, true, &err);
    scan(s, db, true, &err);
}

static void life(void *arg)
{
    struct scene *s = arg;
    struct shl_s4 *db;
    struct shl_store *store;
    shale_error err = {0};
    s->faults.armed = s->kind == STORE_BEFORE  ? WORLD_FAIL_BEFORE
                      : s->kind == STORE_AFTER ? WORLD_FAIL_AFTER
                      : s->kind == STORE_KILL  ? (s->n % 2 ? WORLD_KILL_AFTER : WORLD_KILL_BEFORE)
                                               : 0;
    s->faults.nth = s->kind == STORE_KILL ? s->n / 2 : s->n;
    s->faults.sticky = s->sticky;
    if (s->kind == ALLOCS)
        sim_alloc_fault_arm(sim_group_self(), s->n, s->sticky);
    if (s->kind == FILES)
        sim_fs_fault_arm(SIM_FS_ENOSPC | SIM_FS_EIO, s->n, s->sticky);
    if (s->kind == POINTS)
        sim_point_kill_arm(sim_group_self(), s->n);
    shale_code rc = open_db(s, &s->faults, false, &store, &db, &err);
    if (allowed(s, rc, &err, "open")) {
        live(s, db);
        shl_s4_close(db);
        shl_store_unref(store);
    }
    s->seen = s->kind == ALLOCS   ? sim_alloc_fault_disarm(sim_group_self())
              : s->kind == FILES  ? sim_fs_fault_disarm()
              : s->kind == POINTS ? sim_point_kill_disarm(sim_group_self())
              : s->faults.fired   ? UINT64_MAX
                                  : 0;
    s->ended = true;
}

/* A process without faults: what was safe is there, and the store works on. */
static void look(void *arg)
{
    struct scene *s = arg;
    struct shl_s4 *db;
    struct shl_store *store;
    shale_error err = {0};
    unsigned batch = 0;
    s->kind = KINDS; /* nothing may fail */
    if (open_db(s, &s->none, false, &store, &db, &err) != SHALE_OK)
        die_of("open again", &err);
    if (!which_batch(s, db, &batch, &err) || batch < s->safe || batch > s->put + 1)
        env_die("what was safe is lost");
    s->put = batch;
    keep(s, db, true, &err);
    (void)put_batch(s, db, &err);
    keep(s, db, true, &err);
    shl_s4_close(db);
    shl_store_unref(store);
    struct shl_s4_rebuilt done;
    if (open_db(s, &s->none, false, &store, &db, &err) != SHALE_OK)
        die_of("open once more", &err);
    if (!which_batch(s, db, &batch, &err) || batch != s->put)
        env_die("what was safe is lost");
    if (shl_s4_rebuild(db, false, &done, &err) != SHALE_OK)
        die_of("rebuild", &err);
    shl_s4_close(db);
    shl_store_unref(store);
}

static void run_group(struct scene *s, void (*fn)(void *arg), const char *name)
{
    sim_group g = sim_group_new(name, 0);
    sim_group_spawn(g, name, fn, s);
    sim_group_wait(g);
    if (sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("an allocation was not freed");
    }
}

static void one(void *arg)
{
    struct scene *s = arg;
    enum kind kind = s->kind;
    run_group(s, life, "life");
    (void)sim_fs_fault_disarm();
    run_group(s, look, "look");
    s->kind = kind;
}

/* True if the n-th point was there. */
static bool run_point(enum kind kind, bool sticky, uint64_t n)
{
    static struct scene s;
    shale_error err;
    s = (struct scene){.kind = kind, .sticky = sticky, .n = n};
    world_init();
    sim_fs_reset();
    if (shl_store_memory_new(&s.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {.seed = 1, .scenario = kind_names[kind], .progress_ns_max = UINT64_MAX};
    (void)sim_run(&o, one, &s);
    shl_store_unref(s.bucket);
    return !s.ended || s.seen > n;
}

int main(void)
{
    const char *only = getenv("FAULT_N");
    const char *loop = getenv("FAULT_LOOP");
    for (enum kind k = 0; k < KINDS; k++)
        for (unsigned sticky = 0; sticky < 2; sticky++) {
            uint64_t n = only != NULL ? strtoull(only, NULL, 0) : 0;
            bool kills = k == STORE_KILL || k == POINTS;
            if ((sticky == 1 && kills) || (loop != NULL && strcmp(loop, kind_names[k]) != 0))
                continue;
            fprintf(stderr, "%s%s\n", kind_names[k], sticky ? ", from then on" : "");
            while (run_point(k, sticky == 1, n) && only == NULL)
                n++;
            printf("%s%s: %" PRIu64 " points\n", kind_names[k], sticky ? ", from then on" : "", n);
        }
    return 0;
}
