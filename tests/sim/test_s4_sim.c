/* Goal: no write that flush() or upload() acknowledged is ever lost or undone, whoever crashes, loses answers, compacts or collects meanwhile; what is there after a crash is the
 * state after some call that was made, never a mixture; readers never meet a file that is gone.
 * Method: writers with a folder and keys of their own (and some that all share) in processes that die and come back, power failures of their folders, a compactor, a collector and a reader
 * beside them; after each start a writer's keys are held against its history. How to choose seeds: driver.h. */
#include "base/assert.h"
#include "driver.h"
#include "s4/s4.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS   3
#define OWN       10 /* keys of each */
#define SHARED    3
#define OPS_MAX   6000
#define POINTS    64 /* calls since the last acknowledged one */
#define VALUE_MAX 400
#define SEAL_MS   5000
#define GRACE_NS  (30 * ENV_NS_PER_SEC) /* longer than SEAL_MS and any upload */

struct op {
    unsigned key;
    bool deletes;
};

struct history {
    struct op ops[OPS_MAX];
    unsigned count;
    unsigned safe; /* operations that were acknowledged */
    unsigned points
        [POINTS]; /* ... and those that a call which did not return, or failed, may have made safe */
    unsigned point_count;
};

struct scene {
    struct shl_store *bucket;
    struct world_faults faults[WRITERS + 3];
    struct history h[WRITERS];
    uint64_t deleted; /* by compactor and collector */
    bool stop, calm;
    unsigned running;
};

struct role {
    struct scene *s;
    unsigned number;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static bool passing(shale_code rc)
{
    return rc == SHALE_OK || rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT;
}

/* A failure of the line is fine, anything else is not. */
static bool fine(shale_code rc, const shale_error *err, const char *what)
{
    if (!passing(rc))
        die_of(what, err);
    return rc == SHALE_OK;
}

/* ---- handles */

struct view {
    struct shl_store *world, *store;
    struct shl_s4 *db;
};

static shale_code view_open(struct view *v, struct scene *s, unsigned faults, const char *dir,
                            bool reads, shale_error *err)
{
    struct shl_retry_options retry = {.max_retries = 2, .delay_first_ns = 5 * ENV_NS_PER_MS};
    struct shl_s4_settings settings;
    shale_code rc;
    *v = (struct view){0};
    SHL_TRY(world_store_new(s->bucket, &s->faults[faults], &v->world, err));
    SHL_TRY(shl_store_retry_new(&v->store, v->world, &retry, err));
    shl_s4_settings_init(&settings);
    settings.local_dir = dir;
    settings.max_file_bytes = 100 + sim_rand_below(1500);
    settings.read_only = reads;
    settings.seal_ms = SEAL_MS;
    settings.requests_max = 1 + (unsigned)sim_rand_below(4);
    SHL_TRY(
        shl_s4_open(&(struct shl_s4_open){.store = v->store, .path = "db", .settings = &settings},
                    &v->db, err));
out:
    return rc;
}

static void view_close(struct view *v)
{
    shl_s4_close(v->db);
    shl_store_unref(v->store);
    shl_store_unref(v->world);
}

/* ---- keys and values: key "w1/4" of writer 1, "all/2"; the value says key, writer and operation */

static void key_text(unsigned writer, unsigned key, char out[24])
{
    if (key < OWN)
        (void)snprintf(out, 24, "w%u/%u", writer, key);
    else
        (void)snprintf(out, 24, "all/%u", key - OWN);
}

static size_t value_text(unsigned writer, unsigned key, unsigned op, char out[VALUE_MAX])
{
    char name[24];
    key_text(writer, key, name);
    size_t len = (size_t)snprintf(out, VALUE_MAX, "%s %u %u ", name, writer, op);
    size_t more = (op * 37u) % 200;
    for (size_t i = 0; i < more; i++)
        out[len + i] = (char)('a' + (op % 3 == 0 ? 0 : (op + i * i) % 26));
    return len + more;
}

/* The operation that gave a key its state among the first `count`; UINT_MAX: none, or a deletion. */
static unsigned state_at(const struct history *h, unsigned count, unsigned key)
{
    for (unsigned i = count; i-- > 0;)
        if (h->ops[i].key == key)
            return h->ops[i].deletes ? UINT32_MAX : i;
    return UINT32_MAX;
}

/* ---- what a writer finds */

static shale_code own_keys(struct shl_s4 *db, unsigned writer, unsigned found[OWN],
                           shale_error *err)
{
    for (unsigned k = 0; k < OWN; k++) {
        struct shl_buf value = {0};
        char key[24], want[VALUE_MAX];
        bool is_bytes;
        unsigned w = 0, op = 0;
        key_text(writer, k, key);
        found[k] = UINT32_MAX;
        shale_code rc = shl_s4_get(db, shl_slice_str(key), &value, &is_bytes, err);
        if (rc == SHALE_OK) {
            char front[64] = "";
            memcpy(front, value.data, value.len < 63 ? value.len : 63);
            if (sscanf(strchr(front, ' '), " %u %u ", &w, &op) != 2 || w != writer)
                env_die("a value is somebody else's");
            size_t len = value_text(writer, k, op, want);
            if (!shl_slice_eq(shl_buf_view(&value), shl_slice_of(want, len)))
                env_die("a value is not what was written");
            found[k] = op;
        }
        shl_buf_free(&value);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            return rc;
    }
    return SHALE_OK;
}

static bool is_state(const struct history *h, unsigned count, const unsigned found[OWN])
{
    for (unsigned k = 0; k < OWN; k++)
        if (state_at(h, count, k) != found[k])
            return false;
    return true;
}

static void check(struct history *h, unsigned writer, const unsigned found[OWN])
{
    if (is_state(h, h->safe, found)) {
        h->count = h->safe;
        h->point_count = 0;
        return;
    }
    for (unsigned i = 0; i < h->point_count; i++) {
        if (h->points[i] < h->safe || !is_state(h, h->points[i], found))
            continue;
        h->count = h->safe = h->points[i];
        h->point_count = 0;
        return;
    }
    for (unsigned k = 0; k < OWN; k++)
        sim_trace("w%u/%u: operation %d, safe %d of %u, now %d of %u", writer, k, (int)found[k],
                  (int)state_at(h, h->safe, k), h->safe, (int)state_at(h, h->count, k), h->count);
    for (unsigned i = 0; i < h->point_count; i++)
        sim_trace("call at %u", h->points[i]);
    env_die("an acknowledged write is lost, or half of a call is there");
}

/* ---- writers */

static void write_some(struct view *v, struct history *h, unsigned writer)
{
    shale_error err = {0};
    unsigned n = 1 + (unsigned)sim_rand_below(4);
    for (unsigned i = 0; i < n && h->count < OPS_MAX; i++) {
        char key[24], value[VALUE_MAX];
        struct op op = {.key = (unsigned)sim_rand_below(OWN + SHARED), .deletes = sim_chance(0.2)};
        key_text(writer, op.key, key);
        size_t len = value_text(writer, op.key, h->count, value);
        struct shl_s4_item item = {shl_slice_str(key), shl_slice_of(value, len), h->count % 7 == 0};
        h->ops[h->count] = op;
        if (!(op.deletes ? fine(shl_s4_delete(v->db, &item.key, 1, NULL, &err), &err, "delete")
                         : fine(shl_s4_put(v->db, &item, 1, &err), &err, "put")))
            env_die("a write to the folder failed");
        h->count++;
    }
}

/* A call that makes all operations so far safe, if it returns with a success. */
static void make_safe(struct view *v, struct history *h, bool upload)
{
    shale_error err = {0};
    if (h->point_count == POINTS) /* enough of failures */
        h->point_count--;
    h->points[h->point_count++] = h->count;
    shale_code rc = upload ? shl_s4_upload(v->db, true, &err) : shl_s4_flush(v->db, &err);
    if (rc == SHALE_CONFLICT && strstr(err.text, "lost the race") != NULL)
        rc = SHALE_UNAVAILABLE;
    if (!fine(rc, &err, upload ? "upload" : "flush"))
        return;
    h->safe = h->count;
    h->point_count = 0;
    sim_progress();
}

static void writer_process(void *arg)
{
    const struct role *r = arg;
    struct scene *s = r->s;
    struct history *h = &s->h[r->number];
    struct view v;
    shale_error err = {0};
    char dir[16];
    unsigned found[OWN];
    (void)snprintf(dir, sizeof dir, "/w%u", r->number);
    if (fine(view_open(&v, s, r->number, dir, false, &err), &err, "open") &&
        fine(own_keys(v.db, r->number, found, &err), &err, "get")) {
        check(h, r->number, found);
        unsigned rounds = 1 + (unsigned)sim_rand_below(25);
        for (unsigned i = 0; i < rounds && h->count < OPS_MAX - 10; i++) {
            write_some(&v, h, r->number);
            if (sim_chance(0.5))
                make_safe(&v, h, sim_chance(0.6));
            if (sim_chance(0.3))
                env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
            if (sim_chance(0.03)) /* its files grow old */
                env_sleep_ns(sim_rand_below(40 * ENV_NS_PER_SEC));
        }
        if (s->calm)
            make_safe(&v, h, true);
    }
    view_close(&v);
}

/* ---- those beside */

static void compactor_process(void *arg)
{
    const struct role *r = arg;
    struct scene *s = r->s;
    while (!s->stop) {
        struct view v;
        struct shl_s4_compacted done;
        shale_error err = {0};
        if (fine(view_open(&v, s, r->number, NULL, false, &err), &err, "open")) {
            shale_code rc = shl_s4_compact(v.db, GRACE_NS, &done, &err);
            s->deleted += done.files_deleted;
            if (rc != SHALE_CONFLICT)
                (void)fine(rc, &err, "compact");
        }
        view_close(&v);
        env_sleep_ns(sim_rand_below(4000 * ENV_NS_PER_MS));
        sim_progress();
    }
}

static void count_deleted(void *ctx, const char *name, uint64_t bytes)
{
    struct scene *s = ctx;
    (void)name;
    (void)bytes;
    s->deleted++;
}

static void collector_process(void *arg)
{
    const struct role *r = arg;
    struct scene *s = r->s;
    while (!s->stop) {
        struct view v;
        shale_error err = {0};
        if (fine(view_open(&v, s, r->number, NULL, false, &err), &err, "open")) {
            shale_code rc = shl_s4_gc(v.db, GRACE_NS, false, count_deleted, s, &err);
            if (rc != SHALE_NOT_FOUND)
                (void)fine(rc, &err, "gc");
        }
        view_close(&v);
        env_sleep_ns(sim_rand_below(2000 * ENV_NS_PER_MS));
        sim_progress();
    }
}

static void reader_process(void *arg)
{
    const struct role *r = arg;
    struct scene *s = r->s;
    while (!s->stop) {
        struct view v;
        struct shl_s4_iter *it = NULL;
        struct shl_s4_item item;
        shale_error err = {0};
        if (fine(view_open(&v, s, r->number, NULL, true, &err), &err, "open")) {
            env_sleep_ns(sim_rand_below(500 * ENV_NS_PER_MS)); /* an index that grows old */
            shale_code rc = shl_s4_iter_open(v.db, &(struct shl_s4_iter_options){0}, &it, &err);
            while (fine(rc, &err, "scan") && (rc = shl_s4_iter_next(it, &item, &err)) == SHALE_OK)
                if (item.value.len <= item.key.len ||
                    memcmp(item.value.data, item.key.data, item.key.len) != 0)
                    env_die("a value is another key's");
            if (rc != SHALE_DONE)
                (void)fine(rc, &err, "scan");
            shl_s4_iter_close(it);
        }
        view_close(&v);
        sim_progress();
    }
}

/* ---- the scenes */

static void random_faults(struct world_faults *f)
{
    *f = (struct world_faults){.latency_max_ns = sim_rand_below(30 * ENV_NS_PER_MS)};
    if (sim_chance(0.8)) {
        f->before = 0.08 * (double)sim_rand_below(100) / 100;
        f->after = 0.08 * (double)sim_rand_below(100) / 100;
    }
}

static sim_group start(struct role *r, const char *name, void (*fn)(void *arg))
{
    sim_group g = sim_group_new(name, 0);
    sim_group_spawn(g, name, fn, r);
    return g;
}

/* Lets a writer live for a while; it may be killed, at any moment or at one of the named points. */
static void let_live(sim_group g)
{
    if (sim_chance(0.35))
        sim_point_kill_arm(g, sim_rand_below(12));
    if (sim_chance(0.4)) {
        env_sleep_ns(sim_rand_below((sim_chance(0.3) ? 50000 : 1500) * ENV_NS_PER_MS));
        if (sim_group_alive(g))
            sim_group_kill(g);
    }
    sim_group_wait(g);
}

/* All writers' lives, one after the other, each in a task of the test. */
static void lives(void *arg)
{
    struct role *r = arg;
    unsigned n = 3 + (unsigned)sim_rand_below(6);
    for (unsigned i = 0; i < n; i++)
        let_live(start(r, "writer", writer_process));
    r->s->running--;
}

static void final_check(struct scene *s)
{
    struct view v;
    shale_error err = {0};
    unsigned found[OWN];
    if (view_open(&v, s, WRITERS, NULL, true, &err) != SHALE_OK)
        die_of("open at the end", &err);
    for (unsigned w = 0; w < WRITERS; w++) {
        if (own_keys(v.db, w, found, &err) != SHALE_OK)
            die_of("get at the end", &err);
        if (!is_state(&s->h[w], s->h[w].safe, found))
            env_die("the bucket is not what the writers made");
    }
    view_close(&v);
}

static void chaos_main(void *arg)
{
    struct scene *s = arg;
    struct role roles[WRITERS + 3];
    struct env_task *tasks[WRITERS];
    for (unsigned i = 0; i < WRITERS + 3; i++) {
        roles[i] = (struct role){.s = s, .number = i};
        random_faults(&s->faults[i]);
    }
    sim_group beside[3] = {start(&roles[WRITERS], "compactor", compactor_process),
                           start(&roles[WRITERS + 1], "collector", collector_process),
                           start(&roles[WRITERS + 2], "reader", reader_process)};
    s->running = WRITERS;
    for (unsigned i = 0; i < WRITERS; i++)
        if (env_task_spawn(&tasks[i], "lives", lives, &roles[i]) != SHALE_OK)
            env_die("no task");
    while (s->running > 0) {
        env_sleep_ns(sim_rand_below(700 * ENV_NS_PER_MS));
        if (sim_chance(0.3)) { /* a compactor dies at its work */
            sim_group_kill(beside[0]);
            beside[0] = start(&roles[WRITERS], "compactor", compactor_process);
        }
    }
    for (unsigned i = 0; i < WRITERS; i++)
        env_task_join(tasks[i]);
    s->stop = s->calm = true;
    for (unsigned i = 0; i < 3; i++)
        sim_group_wait(beside[i]);
    for (unsigned i = 0; i < WRITERS + 3; i++)
        s->faults[i] = (struct world_faults){0};
    for (unsigned i = 0; i < WRITERS; i++) {
        sim_group g = start(&roles[i], "last", writer_process);
        sim_group_wait(g);
        if (sim_alloc_live(g) > 0)
            env_die("memory of an ended process is still there");
    }
    final_check(s);
}

/* One writer at a time, and the power fails: what was flushed is there, synced or torn as the seed says. */
static void power_main(void *arg)
{
    struct scene *s = arg;
    struct role role = {.s = s};
    random_faults(&s->faults[0]);
    unsigned n = 3 + (unsigned)sim_rand_below(8);
    for (unsigned i = 0; i < n; i++) {
        sim_group g = start(&role, "writer", writer_process);
        if (sim_chance(0.5))
            sim_point_kill_arm(g, sim_rand_below(20));
        env_sleep_ns(sim_rand_below(2000 * ENV_NS_PER_MS));
        if (sim_group_alive(g))
            sim_group_kill(g);
        sim_fs_power_loss();
    }
    s->faults[0] = (struct world_faults){0};
    s->calm = true;
    sim_group_wait(start(&role, "last", writer_process));
    final_check(s);
}

static uint64_t deleted_in_all;

static uint64_t run(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene s;
    shale_error err = {0};
    memset(&s, 0, sizeof s);
    world_init();
    sim_fs_reset();
    if (shl_store_memory_new(&s.bucket, &err) != SHALE_OK)
        die_of("bucket", &err);
    struct sim_options o = {.seed = seed,
                            .backend = backend,
                            .policy = SIM_POLICY_BY_SEED,
                            .scenario = sc->name,
                            .steps_max = 40000000,
                            .progress_ns_max = 600 * ENV_NS_PER_SEC,
                            .virtual_ns_max = UINT64_C(3600) * ENV_NS_PER_SEC};
    uint64_t hash = sim_run(&o, sc->main_fn, &s);
    shl_store_unref(s.bucket);
    deleted_in_all += s.deleted;
    return hash;
}

int main(void)
{
    static const struct driver_scenario scenarios[] = {{"s4-chaos", chaos_main},
                                                       {"s4-power", power_main}};
    int status = driver_main(scenarios, sizeof scenarios / sizeof *scenarios, run);
    printf("%" PRIu64 " files were deleted\n", deleted_in_all);
    return status;
}
