/* Goal: checkpoints, collectors, clones, restoring, deleting, managed readers and looks at SSTs come through every failing allocation, every failing or lost request and
 * every death: they say so or get over it, leak nothing, and called again they do what they would have done; the database keeps its rows.
 * Method: each operation as a process of its own over a bucket prepared once; a loop breaks its n-th allocation, request or point for n = 0, 1, .. until that
 * is never reached. SIM_SEED=n takes another schedule. */
#include "base/assert.h"
#include "lsm/db_ssts.h"
#include "lsm/inspect/sst_file.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/clone.h"
#include "lsm/keep/gc.h"
#include "lsm/keep/remove.h"
#include "lsm/trace.h"
#include "store/memory.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS "a=1 b=2 c=3 d=4 "

enum operation { CREATE, PENDING, COLLECT, CLONE, RESTORE, REMOVE, MANAGED, LOOK, OPERATIONS };
static const char *const names[OPERATIONS] = {
    "checkpoint", "a writer's checkpoint", "gc",  "clone", "restore",
    "delete",     "managed reader",        "look"};

struct scene {
    struct shl_store *bucket;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    enum operation operation;
    bool may_fail; /* a fault is armed */
    shale_code rc; /* of the operation */
    bool ended;
    char sst[SHL_ULID_TEXT]; /* some SST of the database */
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc != SHALE_OK)
        die_of(what, err);
}

static struct shl_lsm_open open_options(struct scene *s, struct shl_store *store, const char *path)
{
    return (struct shl_lsm_open){.store = store, .path = path, .settings = &s->settings};
}

/* ---------------------------------------------------------------- the operations */

static shale_code create(struct shl_store *store, shale_error *err)
{
    struct shl_manifests m;
    struct shl_ulid id;
    uint64_t manifest_id;
    struct shl_checkpoint_want want = {
        .id = shl_checkpoint_new_id(), .now_ms = env_now_wall_ms(), .name = "new"};
    char text[SHL_UUID_TEXT];
    shl_uuid_format(want.id, text);
    shale_code rc = shl_manifests_init(&m, store, "db", false, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_create(&m, &want, &manifest_id, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_refresh(&m, text, 60000, &id, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_delete(&m, text, &id, err);
    shl_manifests_deinit(&m);
    return rc;
}

static shale_code pending(struct scene *s, struct shl_store *store, shale_error *err)
{
    struct shl_lsm *db = NULL;
    struct shl_lsm_checkpoint *c = NULL;
    uint64_t manifest_id;
    shale_error ignored;
    struct shl_lsm_open o = open_options(s, store, "db");
    shale_code rc = shl_lsm_open_writer(&o, &db, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_write_one(db, 0, shl_slice_str("d"), shl_slice_str("4"), (struct shl_ttl){0},
                           &(struct shl_lsm_write){0}, NULL, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_checkpoint_begin(db, &(struct shl_lsm_checkpoint_how){.name = "all"}, &c, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_checkpoint_wait(c, &manifest_id, err);
    shl_lsm_checkpoint_free(c);
    shale_code closed = shl_lsm_close(db, &ignored);
    return rc == SHALE_OK ? closed : rc;
}

static shale_code collect(struct shl_store *store, shale_error *err)
{
    struct shl_gc *gc = NULL;
    struct shl_gc_report report;
    struct shl_gc_settings settings;
    shl_gc_settings_default(&settings);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        settings.tasks[i].min_age_ns = 0;
    struct shl_gc_open o = {.store = store, .path = "db", .settings = &settings};
    shale_code rc = shl_gc_new(&o, &gc, err);
    if (rc == SHALE_OK)
        rc = shl_gc_run(gc, (1U << SHL_GC_TASKS) - 1, &report, err);
    shl_gc_free(gc);
    return rc;
}

static shale_code clone(struct shl_store *store, shale_error *err)
{
    struct shl_cloned done;
    struct shl_clone_source source = {.path = "db", .checkpoint = "kept"};
    struct shl_clone c = {.store = store, .path = "copy", .sources = &source, .source_count = 1};
    return shl_clone_run(&c, &done, err);
}

static shale_code restore(struct scene *s, struct shl_store *store, shale_error *err)
{
    struct shl_lsm_restored done;
    struct shl_lsm_open o = open_options(s, store, "db");
    return shl_lsm_restore(&o, "kept", 60000, &done, err);
}

static shale_code delete_clone(struct shl_store *store, shale_error *err)
{
    struct shl_removed gone;
    struct shl_remove how = {.store = store, .path = "clone"};
    shale_code rc = shl_remove_run(&how, &gone, err);
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc; /* an earlier try got to its end */
}

static shale_code managed(struct scene *s, struct shl_store *store, shale_error *err)
{
    struct shl_lsm *db = NULL;
    struct shl_lsm_open o = open_options(s, store, "db");
    shale_code rc =
        shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.mode = SHL_READER_MANAGED}, &db, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_refresh(db, err);
    shale_error ignored;
    shale_code closed = shl_lsm_close(db, &ignored);
    return rc == SHALE_OK ? closed : rc;
}

static void hear(void *ctx, const char *trace_id, const struct shl_span *span)
{
    (void)trace_id;
    *(unsigned *)ctx += span->end_ns >= span->begin_ns;
}

static shale_code traced_scan(struct shl_lsm *db, shale_error *err)
{
    static const struct shl_lsm_range all;
    struct shl_lsm_iter *it;
    struct shl_row row;
    shale_code rc = shl_lsm_scan_open(db, &all, &(struct shl_lsm_scan){.trace_id = "t"}, &it, err);
    if (rc != SHALE_OK)
        return rc;
    while ((rc = shl_lsm_iter_next(it, &row, err)) == SHALE_OK)
        ;
    shl_lsm_iter_close(it);
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

/* An SST into the caches and out of them, how large it is, a traced scan over it, and its blocks. */
static shale_code look(struct scene *s, struct shl_store *store, shale_error *err)
{
    static const struct shl_lsm_range all;
    struct shl_lsm *db = NULL;
    struct shl_sst_file file = {.key = NULL};
    unsigned spans = 0;
    const struct shl_tracer tracer = {.span = hear, .ctx = &spans};
    struct shl_lsm_open o = open_options(s, store, "db");
    const struct shl_inspect in = {.store = store, .path = "db"};
    const struct shl_lsm_warm warm = {.filters = true, .data = true};
    const char *name = s->sst;
    uint64_t bytes = 0;
    shale_error ignored;
    o.tracer = &tracer;
    shale_code rc = shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.follow = false}, &db, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_warm_sst(db, name, &warm, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_range_bytes(db, &all, &bytes, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_evict_sst(db, name, err);
    if (rc == SHALE_OK)
        rc = traced_scan(db, err);
    shl_ignore(shl_lsm_close(db, &ignored));
    if (rc == SHALE_OK)
        rc = shl_sst_file_open(&in, name, &file, err);
    for (size_t i = 0; rc == SHALE_OK && i < file.index.blocks.count; i++)
        rc = shl_sst_file_read(&file, i, err);
    if (rc == SHALE_OK && (bytes == 0 || file.rows.count == 0))
        env_die("an SST without rows");
    shl_sst_file_deinit(&file);
    return rc;
}

static void operation_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *world = NULL;
    shale_error err = {0};
    s->rc = world_store_new(s->bucket, &s->faults, &world, &err);
    if (s->rc == SHALE_OK) {
        switch (s->operation) {
        case CREATE:
            s->rc = create(world, &err);
            break;
        case PENDING:
            s->rc = pending(s, world, &err);
            break;
        case COLLECT:
            s->rc = collect(world, &err);
            break;
        case CLONE:
            s->rc = clone(world, &err);
            break;
        case RESTORE:
            s->rc = restore(s, world, &err);
            break;
        case REMOVE:
            s->rc = delete_clone(world, &err);
            break;
        case MANAGED:
            s->rc = managed(s, world, &err);
            break;
        case LOOK:
        case OPERATIONS:
            s->rc = look(s, world, &err);
            break;
        }
    }
    bool allowed = s->rc == SHALE_OK || s->rc == SHALE_NOMEM || s->rc == SHALE_UNAVAILABLE ||
                   s->rc == SHALE_INTERNAL;
    if (!allowed || (s->rc != SHALE_OK && !s->may_fail))
        die_of(names[s->operation], &err);
    shl_store_unref(world);
    s->ended = true;
}

/* ---------------------------------------------------------------- the bucket */

static void put_row(struct shl_lsm *db, const char *key, const char *value)
{
    shale_error err = {0};
    must(shl_lsm_write_one(db, 0, shl_slice_str(key), shl_slice_str(value), (struct shl_ttl){0},
                           &(struct shl_lsm_write){0}, NULL, &err),
         &err, "put");
}

static void name_of_some_sst(struct shl_store *bucket, char name[SHL_ULID_TEXT])
{
    struct shl_list list = {0};
    shale_error err = {0};
    must(shl_store_list(bucket, &(struct shl_list_options){.prefix = "db/compacted"}, &list, &err),
         &err, "list");
    SHL_ASSERT(list.count > 0);
    snprintf(name, SHL_ULID_TEXT, "%s", list.items[list.count - 1].key + strlen("db/compacted/"));
    shl_list_free(&list);
}

/* SSTs, WAL objects above them, a checkpoint that needs both, one that expired, and a clone. */
static void prepare_process(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db;
    shale_error err = {0};
    struct shl_cloned cloned;
    struct shl_lsm_checkpoint *c;
    uint64_t manifest_id;
    struct shl_store *world;
    must(world_store_new(s->bucket, &s->faults, &world, &err), &err, "store");
    struct shl_lsm_open o = open_options(s, world, "db");
    for (int i = 0; i < 3; i++) {
        must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
        put_row(db, "a", i < 2 ? "0" : "1");
        put_row(db, "b", "2");
        must(shl_lsm_close(db, &err), &err, "close");
    }
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
    put_row(db, "c", "3");
    put_row(db, "d", "4");
    must(shl_lsm_flush(db, false, &err), &err, "flush");
    for (int i = 0; i < 2; i++) {
        must(shl_lsm_checkpoint_begin(
                 db,
                 &(struct shl_lsm_checkpoint_how){.durable_only = true,
                                                  .name = i == 0 ? "kept" : NULL,
                                                  .lifetime_ms = i == 0 ? 0 : 1},
                 &c, &err),
             &err, "checkpoint");
        must(shl_lsm_checkpoint_wait(c, &manifest_id, &err), &err, "checkpoint");
        shl_lsm_checkpoint_free(c);
    }
    must(shl_lsm_close(db, &err), &err, "close");
    struct shl_clone_source source = {.path = "db"};
    struct shl_clone clone = {

        .store = world, .path = "clone", .sources = &source, .source_count = 1};
    must(shl_clone_run(&clone, &cloned, &err), &err, "clone");
    name_of_some_sst(world, s->sst);
    env_sleep_ns(3 * ENV_NS_PER_SEC);
    shl_store_unref(world);
    s->ended = true;
}

static void check_rows(struct scene *s, const char *path)
{
    static const struct shl_lsm_range all;
    struct shl_lsm *db;
    struct shl_lsm_iter *it;
    struct shl_row row;
    shale_error err = {0};
    char text[200] = "";
    size_t n = 0;
    struct shl_lsm_open o = open_options(s, s->bucket, path);
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.follow = false}, &db, &err), &err,
         "open for reading");
    must(shl_lsm_scan_open(db, &all, &(struct shl_lsm_scan){0}, &it, &err), &err, "scan");
    shale_code rc;
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s=%.*s ", (int)row.key.len,
                              (const char *)row.key.data, (int)row.value.len,
                              (const char *)row.value.data);
    if (rc != SHALE_DONE)
        die_of("scan", &err);
    shl_lsm_iter_close(it);
    must(shl_lsm_close(db, &err), &err, "close");
    if (strcmp(text, ROWS) != 0) {
        fprintf(stderr, "%s: %s has %s\n", names[s->operation], path, text);
        env_die("other rows");
    }
}

static void check_process(void *arg)
{
    struct scene *s = arg;
    check_rows(s, "db");
    if (s->operation == CLONE && s->rc == SHALE_OK)
        check_rows(s, "copy");
    if (s->operation != REMOVE)
        check_rows(s, "clone");
    s->ended = true;
}

/* ---------------------------------------------------------------- one run */

enum kind { ALLOC, ALLOC_STICKY, BEFORE, AFTER, KILL_BEFORE, KILL_AFTER, POINT, KINDS };
static const char *const kinds[KINDS] = {"alloc",       "alloc sticky", "before", "after",
                                         "kill before", "kill after",   "point"};
struct run {
    struct scene scene;
    enum kind kind;
    uint64_t nth;
    bool reached;
};

static void run_group(struct scene *s, const char *name, void (*fn)(void *))
{
    s->ended = false;
    sim_group g = sim_group_new(name, 0);
    sim_group_spawn(g, name, fn, s);
    sim_group_wait(g);
    if (!s->ended)
        env_die("a process did not come to its end");
    if (sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of an ended process is still there");
    }
}

static void broken_run(struct run *r)
{
    static const unsigned faults[KINDS] = {[BEFORE] = WORLD_FAIL_BEFORE,
                                           [AFTER] = WORLD_FAIL_AFTER,
                                           [KILL_BEFORE] = WORLD_KILL_BEFORE,
                                           [KILL_AFTER] = WORLD_KILL_AFTER};
    struct scene *s = &r->scene;
    bool dies = r->kind == KILL_BEFORE || r->kind == KILL_AFTER || r->kind == POINT;
    sim_group g = sim_group_new("operation", 0);
    s->faults = (struct world_faults){.armed = faults[r->kind], .nth = r->nth};
    s->may_fail = true;
    s->ended = false;
    if (r->kind == ALLOC || r->kind == ALLOC_STICKY)
        sim_alloc_fault_arm(g, r->nth, r->kind == ALLOC_STICKY);
    if (r->kind == POINT)
        sim_point_kill_arm(g, r->nth);
    sim_group_spawn(g, "operation", operation_process, s);
    sim_group_wait(g);
    if (r->kind == ALLOC || r->kind == ALLOC_STICKY)
        r->reached = sim_alloc_fault_disarm(g) > r->nth;
    else if (r->kind == POINT)
        r->reached = sim_point_kill_disarm(g) > r->nth;
    else
        r->reached = s->faults.fired;
    if (!s->ended && !dies)
        env_die("an operation did not come to its end");
    if (s->ended && sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of an ended process is still there");
    }
    s->faults = (struct world_faults){.armed = 0};
    s->may_fail = false;
}

static void run_main(void *arg)
{
    struct run *r = arg;
    run_group(&r->scene, "prepare", prepare_process);
    broken_run(r);
    r->scene.rc = SHALE_UNAVAILABLE;
    run_group(&r->scene, "check", check_process);
    run_group(&r->scene, "again", operation_process);
    run_group(&r->scene, "check", check_process);
}

static bool one(enum operation operation, enum kind kind, uint64_t nth, uint64_t seed)
{
    static struct run r;
    char name[100];
    shale_error err = {0};
    r = (struct run){.kind = kind, .nth = nth};
    r.scene.operation = operation;
    shl_lsm_settings_default(&r.scene.settings);
    r.scene.settings.gc.enabled = false;
    r.scene.settings.flush_interval_ns = SHL_DURATION_NONE;
    r.scene.settings.compactor_enabled = false;
    world_init();
    must(shl_store_memory_new(&r.scene.bucket, &err), &err, "bucket");
    snprintf(name, sizeof name, "%s, %s, n=%" PRIu64, names[operation], kinds[kind], nth);
    struct sim_options o = {.seed = seed,
                            .policy = SIM_RUN_UNTIL_BLOCK,
                            .scenario = name,
                            .progress_ns_max = UINT64_MAX};
    (void)sim_run(&o, run_main, &r);
    shl_store_unref(r.scene.bucket);
    return r.reached;
}

int main(void)
{
    const char *text = getenv("SIM_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    for (unsigned op = 0; op < OPERATIONS; op++)
        for (unsigned kind = 0; kind < KINDS; kind++) {
            uint64_t nth = 0;
            if (op == PENDING && kind == ALLOC_STICKY)
                continue; /* an open writer waits for memory for ever, and so does who waits for it */
            /* Allocations are many, and most of them are alike. */
            uint64_t step = kind == ALLOC || kind == ALLOC_STICKY ? 3 : 1;
            while (one((enum operation)op, (enum kind)kind, nth, seed))
                nth += nth < 60 ? 1 : step;
            printf("%s, %s: %" PRIu64 " points\n", names[op], kinds[kind], nth);
        }
    return 0;
}
