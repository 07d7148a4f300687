/* Goal: a compactor survives each of its requests failing, before or after the effect, once and for good, each of its allocations failing, and its death at
 * every request and every point: the database holds the same rows, the next compactor ends what was begun, nothing leaks.
 * Method: a database with several L0 SSTables and a few runs is made anew for each run; a coordinator with a worker, several jobs at once and each in parts,
 * works until nothing is due, with the n-th fault armed; n goes up until the fault no longer fires. Then another compactor without faults works to the end,
 * and everything is read. FAULT_LOOP=name FAULT_N=n runs one point. */
#include "base/assert.h"
#include "base/env/sim.h"
#include "bucket.h"
#include "lsm/compactor/process.h"
#include "lsm/db.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS   60
#define TABLES 9

enum loop_kind { LOOP_STORE, LOOP_ALLOC, LOOP_POINT };

struct loop {
    const char *name;
    enum loop_kind kind;
    enum world_fault fault;
    bool sticky;
    bool retried; /* a retry wrapper stands above the faults */
    uint64_t stride;
};

static const struct loop loops[] = {
    {"store-before", LOOP_STORE, WORLD_FAIL_BEFORE, false, false, 1},
    {"store-after", LOOP_STORE, WORLD_FAIL_AFTER, false, false, 1},
    {"store-before-sticky", LOOP_STORE, WORLD_FAIL_BEFORE, true, false, 1},
    {"store-after-sticky", LOOP_STORE, WORLD_FAIL_AFTER, true, false, 1},
    {"retried-before", LOOP_STORE, WORLD_FAIL_BEFORE, false, true, 1},
    {"retried-after", LOOP_STORE, WORLD_FAIL_AFTER, false, true, 1},
    {"kill-before", LOOP_STORE, WORLD_KILL_BEFORE, false, true, 1},
    {"kill-after", LOOP_STORE, WORLD_KILL_AFTER, false, true, 1},
    {"kill-at-point", LOOP_POINT, WORLD_KILL_AFTER, false, true, 1},
    {"alloc", LOOP_ALLOC, WORLD_FAIL_BEFORE, false, true, 5},
    {"alloc-sticky", LOOP_ALLOC, WORLD_FAIL_BEFORE, true, true, 23},
};

struct scene {
    const struct loop *loop;
    uint64_t nth;
    struct shl_store *bucket;
    struct world_faults faults, none;
    struct shl_lsm_settings settings;
    bool ended, drained;
    shale_code rc;
};

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static struct shl_lsm_open database(struct scene *s, struct shl_store *store)
{
    return (struct shl_lsm_open){.store = store, .path = "db", .settings = &s->settings};
}

/* ---------------------------------------------------------------- the database */

static unsigned last_table_of(unsigned key)
{
    return (key + TABLES - 1) % 3 == 0 ? TABLES - 2 : TABLES - 1;
}

static bool is_deleted(unsigned key)
{
    return key % 7 == 3;
}

/* Each table writes two thirds of the keys anew; the last one that has a key may delete it. */
static void make(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db = NULL;
    struct shl_store *store;
    shale_error err = {0};
    must(world_store_new(s->bucket, &s->none, &store, &err), &err, "store");
    struct shl_lsm_open o = database(s, store);
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
    for (unsigned t = 0; t < TABLES; t++) {
        for (unsigned k = 0; k < KEYS; k++) {
            char key[16], value[40];
            snprintf(key, sizeof key, "key%04u", k);
            snprintf(value, sizeof value, "value %u of table %u", k, t);
            if ((k + t) % 3 == 0)
                continue;
            bool deletes = is_deleted(k) && t == last_table_of(k);
            must(shl_lsm_write_one(db, deletes ? SHL_ROW_TOMBSTONE : 0, shl_slice_str(key),
                                   shl_slice_str(deletes ? "" : value), (struct shl_ttl){0},
                                   &(struct shl_lsm_write){0}, NULL, &err),
                 &err, "put");
        }
        must(shl_lsm_flush(db, true, &err), &err, "flush");
    }
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
}

static void check_rows(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db = NULL;
    struct shl_store *store;
    shale_error err = {0};
    must(world_store_new(s->bucket, &s->none, &store, &err), &err, "store");
    struct shl_lsm_open o = database(s, store);
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){0}, &db, &err), &err, "reader");
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16], want[40];
        struct shl_lsm_pinned got = {0};
        snprintf(key, sizeof key, "key%04u", k);
        snprintf(want, sizeof want, "value %u of table %u", k, last_table_of(k));
        shale_code rc = shl_lsm_get(db, shl_slice_str(key), &(struct shl_lsm_read){0}, &got, &err);
        if (is_deleted(k) ? rc != SHALE_NOT_FOUND
                          : rc != SHALE_OK || !shl_slice_eq(got.value, shl_slice_str(want))) {
            fprintf(stderr, "%s: %s\n", key, shale_code_name(rc));
            env_die("a row is not what was written");
        }
        shl_lsm_pinned_release(&got);
    }
    must(shl_lsm_close(db, &err), &err, "close the reader");
    shl_store_unref(store);
}

/* ---------------------------------------------------------------- the compactor */

static shale_code compact(struct scene *s, struct world_faults *faults, bool retried,
                          shale_error *err)
{
    struct shl_store *world = NULL, *store = NULL;
    struct shl_compactor_process *p = NULL;
    struct shl_retry_options retry = {.max_retries = 3, .delay_first_ns = 5 * ENV_NS_PER_MS};
    struct shl_process_run run = {.once = true};
    struct shl_process_open o = {
        .path = "db", .settings = &s->settings, .coordinates = true, .works = true};
    shale_code rc;
    SHL_TRY(world_store_new(s->bucket, faults, &world, err));
    if (retried)
        SHL_TRY(shl_store_retry_new(&store, world, &retry, err));
    else
        store = shl_store_ref(world);
    o.store = store;
    SHL_TRY(shl_process_new(&o, &p, err));
    SHL_TRY(shl_process_run(p, &run, err));
out:
    shl_process_free(p);
    shl_store_unref(store);
    shl_store_unref(world);
    return rc;
}

static void faulty(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    s->rc = compact(s, &s->faults, s->loop->retried, &err);
    if (s->rc != SHALE_OK && err.text[0] == '\0')
        env_die("a failure without words");
    s->ended = true;
}

static void drain(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    must(compact(s, &s->none, true, &err), &err, "the compactor afterwards");
    s->drained = true;
}

/* ---------------------------------------------------------------- one run */

static void run_process(const char *name, void (*fn)(void *), struct scene *s, bool leaks)
{
    sim_group g = sim_group_new(name, 0);
    sim_group_spawn(g, "main", fn, s);
    sim_group_wait(g);
    if (leaks && sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of an ended process is still there");
    }
}

/* Whether the fault fired. */
static bool run_faulty(struct scene *s)
{
    const struct loop *l = s->loop;
    bool fired = false;
    sim_group g = sim_group_new("compactor", 0);
    if (l->kind == LOOP_STORE)
        s->faults = (struct world_faults){.armed = l->fault, .nth = s->nth, .sticky = l->sticky};
    if (l->kind == LOOP_ALLOC)
        sim_alloc_fault_arm(g, s->nth, l->sticky);
    if (l->kind == LOOP_POINT)
        sim_point_kill_arm(g, s->nth);
    sim_group_spawn(g, "main", faulty, s);
    sim_group_wait(g);
    if (l->kind == LOOP_ALLOC)
        fired = sim_alloc_fault_disarm(g) > s->nth;
    else if (l->kind == LOOP_POINT)
        fired = sim_point_kill_disarm(g) > s->nth;
    else
        fired = s->faults.fired;
    if (s->ended && sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of the compactor is still there");
    }
    return fired;
}

static void scene_main(void *arg)
{
    struct scene *s = arg;
    bool *fired = &s->faults.fired;
    run_process("make", make, s, true);
    bool hit = run_faulty(s);
    if (s->ended && s->rc != SHALE_OK && !hit)
        env_die("it failed without a fault");
    run_process("check", check_rows, s, true);
    run_process("drain", drain, s, true);
    if (!s->drained)
        env_die("the compactor afterwards did not end");
    run_process("check", check_rows, s, true);
    bucket_check(s->bucket, "db", true, true);
    *fired = hit;
}

static void small_settings(struct shl_lsm_settings *s)
{
    shl_lsm_settings_default(s);
    s->sst_block_size_bytes = 1024;
    s->min_filter_keys = 1;
    s->flush_interval_ns = SHL_DURATION_NONE;
    s->l0_max_ssts = s->l0_max_ssts_per_key = 32;
    s->compactor_enabled = false;
    s->min_compaction_sources = 2;
    s->max_compaction_sources = 3;
    s->max_sst_size_bytes = 700;
    s->subcompaction_min_bytes = 1;
    s->worker_max_subcompactions = 3;
    s->compactor_poll_interval_ns = 50 * ENV_NS_PER_MS;
    s->commit_compacted_interval_ns = 20 * ENV_NS_PER_MS;
    s->worker_poll_interval_ns = 50 * ENV_NS_PER_MS;
    s->worker_heartbeat_interval_ns = 50 * ENV_NS_PER_MS;
    s->worker_heartbeat_timeout_ns = 500 * ENV_NS_PER_MS;
}

static bool run_one(const struct loop *l, uint64_t nth)
{
    static struct scene s;
    shale_error err = {0};
    char name[60];
    snprintf(name, sizeof name, "%s, n=%" PRIu64, l->name, nth);
    s = (struct scene){.loop = l, .nth = nth};
    small_settings(&s.settings);
    world_init();
    if (shl_store_memory_new(&s.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {.seed = 1, .policy = SIM_UNIFORM, .scenario = name};
    (void)sim_run(&o, scene_main, &s);
    bool fired = s.faults.fired;
    shl_store_unref(s.bucket);
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "%s: allocations of the bucket left\n", name);
        exit(1);
    }
    return fired;
}

int main(void)
{
    const char *only = getenv("FAULT_LOOP"), *n = getenv("FAULT_N");
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        uint64_t nth = n != NULL ? strtoull(n, NULL, 0) : 0, runs = 0;
        if (only != NULL && strcmp(only, loops[i].name) != 0)
            continue;
        for (;; nth += loops[i].stride) {
            bool fired = run_one(&loops[i], nth);
            runs++;
            if (!fired || n != NULL)
                break;
        }
        printf("%-22s %" PRIu64 " points, %" PRIu64 " runs\n", loops[i].name, nth, runs);
        fflush(stdout);
        if (n == NULL && runs < 3) {
            printf("the fault never fired\n");
            return 1;
        }
    }
    return 0;
}
