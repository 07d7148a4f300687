/* Goal: ways in which engines of this kind were seen to fail do not exist here: a writer that slept while its WAL was collected, two that open at once, memory of
 * open transactions, a bulk load that is faster than the bucket, writes while nothing happens, very many manifests, a durable put without a WAL, and scans that
 * allocate for each row.
 * Method: each is a scene of its own on the simulated clock, with requests that take 20 ms where time matters. docs/explanation/invariants.md lists them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env/sim.h"
#include "lsm/compactor/process.h"
#include "lsm/keep/gc.h"
#include "lsm/keep/manifest_edit.h"
#include "lsm/inspect/inspect.h"
#include "lsm/txn.h"
#include "store/memory.h"
#include "store/wrap_count.h"
#include "world.h"

#define MS        ENV_NS_PER_MS
#define SECOND    ENV_NS_PER_SEC
#define WRITERS   6
#define MANIFESTS 1300
#define BULK_ROWS 20000
#define BULK_KEY  16

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            env_die("scenario");                                                                   \
        }                                                                                          \
    } while (0)

struct scene {
    struct shl_store *bucket;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    bool paused_wrote; /* the writer that slept was told that its row is durable */
    shale_code paused_code;
    bool asleep;
    uint64_t acked[WRITERS]; /* rows that each was told are durable */
    uint64_t epochs[WRITERS];
};

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die("scenario");
}

static void begin(struct scene *s)
{
    shale_error err = {0};
    must(shl_store_memory_new(&s->bucket, &err), &err, "bucket");
    s->bucket->caps &= ~(unsigned)SHL_STORE_PUT_IS_FREE;
    s->faults = (struct world_faults){.fixed_ns = 20 * MS};
    shl_lsm_settings_default(&s->settings);
    s->settings.compactor_enabled = s->settings.gc.enabled = false;
}

static struct shl_store *far_store(struct scene *s)
{
    struct shl_store *store = NULL;
    shale_error err = {0};
    must(world_store_new(s->bucket, &s->faults, &store, &err), &err, "store");
    return store;
}

static shale_code open_writer(struct scene *s, struct shl_store *store, struct shl_lsm **out,
                              shale_error *err)
{
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
    return shl_lsm_open_writer(&o, out, err);
}

static shale_code put(struct shl_lsm *db, const char *key, bool durable, shale_error *err)
{
    return shl_lsm_write_one(db, 0, shl_slice_str(key), shl_slice_str(key),
                             (struct shl_ttl){.kind = SHL_TTL_NEVER},
                             &(struct shl_lsm_write){.await_durable = durable}, NULL, err);
}

static bool is_there(struct shl_lsm *db, const char *key)
{
    char value[64];
    size_t len;
    shale_error err = {0};
    shale_code rc = shl_lsm_get_into(db, shl_slice_str(key), &(struct shl_lsm_read){0}, value,
                                     sizeof value, &len, &err);
    CHECK(rc == SHALE_OK || rc == SHALE_NOT_FOUND);
    return rc == SHALE_OK;
}

static void collect(struct scene *s, enum shl_gc_task task)
{
    struct shl_gc *gc;
    struct shl_gc_report report;
    struct shl_gc_settings how;
    shale_error err = {0};
    shl_gc_settings_default(&how);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        how.tasks[i].min_age_ns = 0; /* fences stay, as they do by default */
    must(shl_gc_new(&(struct shl_gc_open){.store = s->bucket, .path = "db", .settings = &how}, &gc,
                    &err),
         &err, "collector");
    must(shl_gc_run(gc, UINT32_MAX, &report, &err), &err, "collector");
    CHECK(report.tasks[task].count > 0);
    shl_gc_free(gc);
}

/* ---------------------------------------------------------------- 1: a writer that slept */

static void paused_process(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store = far_store(s);
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    must(open_writer(s, store, &db, &err), &err, "open");
    must(put(db, "before", true, &err), &err, "put");
    s->asleep = true; /* it is paused from here on */
    env_sleep_ns(MS);
    s->paused_code = put(db, "after", true, &err);
    s->paused_wrote = s->paused_code == SHALE_OK;
    shl_ignore(shl_lsm_close(db, &err));
    shl_store_unref(store);
}

static void paused_main(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    begin(s);
    sim_group g = sim_group_new("sleeper", 0);
    sim_group_spawn(g, "main", paused_process, s);
    while (!s->asleep)
        env_sleep_ns(MS / 10);
    sim_group_pause(g);
    for (unsigned i = 0; i < 3; i++) { /* others write, flush, and collect all that they may */
        must(open_writer(s, s->bucket, &db, &err), &err, "open");
        must(put(db, "between", true, &err), &err, "put");
        must(shl_lsm_flush(db, true, &err), &err, "flush");
        must(shl_lsm_close(db, &err), &err, "close");
        env_sleep_ns(SECOND);
        collect(s, SHL_GC_WAL);
    }
    sim_group_resume(g);
    sim_group_wait(g);
    CHECK(!s->paused_wrote && s->paused_code == SHALE_FENCED);
    must(open_writer(s, s->bucket, &db, &err), &err, "open");
    CHECK(is_there(db, "before") && is_there(db, "between") && !is_there(db, "after"));
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 2: writers that open at once */

struct opener {
    struct scene *s;
    unsigned number;
};

static void opener_process(void *arg)
{
    struct opener *o = arg;
    struct scene *s = o->s;
    struct shl_store *store = far_store(s);
    struct shl_lsm *db = NULL;
    struct shl_lsm_status status;
    shale_error err = {0};
    shale_code rc = open_writer(s, store, &db, &err);
    if (rc == SHALE_OK) {
        shl_lsm_status(db, &status);
        s->epochs[o->number] = status.writer_epoch;
        for (unsigned i = 0; rc == SHALE_OK && i < 5; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "%u-%u", o->number, i);
            rc = put(db, key, true, &err);
            s->acked[o->number] += rc == SHALE_OK;
        }
        shl_ignore(shl_lsm_close(db, &err));
    }
    CHECK(rc == SHALE_OK || rc == SHALE_FENCED);
    shl_store_unref(store);
}

static void openers_main(void *arg)
{
    struct scene *s = arg;
    struct opener openers[WRITERS];
    sim_group groups[WRITERS];
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    unsigned through = 0;
    begin(s);
    for (unsigned i = 0; i < WRITERS; i++) {
        openers[i] = (struct opener){.s = s, .number = i};
        groups[i] = sim_group_new("opener", 0);
        sim_group_spawn(groups[i], "main", opener_process, &openers[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        sim_group_wait(groups[i]);
    must(open_writer(s, s->bucket, &db, &err), &err, "open");
    for (unsigned i = 0; i < WRITERS; i++) {
        through += s->acked[i] == 5;
        for (unsigned k = 0; k < i; k++)
            CHECK(s->epochs[i] == 0 || s->epochs[i] != s->epochs[k]);
        for (unsigned k = 0; k < s->acked[i]; k++) {
            char key[16];
            (void)snprintf(key, sizeof key, "%u-%u", i, k);
            CHECK(is_there(db, key));
        }
    }
    CHECK(through >= 1); /* the last, and who was done before it came */
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 3: memory of open transactions */

static void log_main(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db = NULL;
    struct shl_txn *t = NULL;
    struct shl_lsm_metrics m;
    struct shl_lsm_written written;
    shale_error err = {0};
    uint64_t most = 0;
    begin(s);
    s->settings.transaction_log_bytes = 64 << 10;
    must(open_writer(s, s->bucket, &db, &err), &err, "open");
    must(shl_txn_begin(db, true, &t, &err), &err, "begin");
    must(shl_txn_write(t, 0, shl_slice_str("mine"), shl_slice_str("v"),
                       (struct shl_ttl){.kind = SHL_TTL_NEVER}, &err),
         &err, "write of a transaction");
    for (unsigned i = 0; i < 20000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%05u", i);
        must(put(db, key, false, &err), &err, "put");
        shl_lsm_metrics(db, &m);
        most = m.conflict_log_bytes > most ? m.conflict_log_bytes : most;
    }
    CHECK(most > 0 && most <= s->settings.transaction_log_bytes);
    /* What it would have to be compared with is gone: it loses, and says so. */
    CHECK(shl_txn_commit(t, false, 0, &written, &err) == SHALE_CONFLICT);
    shl_txn_close(t);
    shl_lsm_metrics(db, &m);
    CHECK(m.conflict_log_bytes == 0);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 4: a bulk load */

static void bulk_main(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    char key[BULK_KEY];
    begin(s);
    store = far_store(s);
    s->settings.compactor_enabled = s->settings.worker_enabled = true;
    s->settings.min_compaction_sources = 2;
    s->settings.compactor_poll_interval_ns = 100 * MS;
    s->settings.l0_sst_size_bytes = 16 << 10;
    s->settings.max_unflushed_bytes = 40 << 10;
    s->settings.l0_max_ssts = s->settings.l0_max_ssts_per_key = 3;
    must(open_writer(s, store, &db, &err), &err, "open");
    for (unsigned i = 0; i < BULK_ROWS; i++) {
        (void)snprintf(key, sizeof key, "key%06u", (i * 7919) % BULK_ROWS);
        must(put(db, key, false, &err), &err, "put"); /* waits, and goes on */
        if (i % 500 == 0)
            sim_progress();
    }
    must(shl_lsm_close(db, &err), &err, "close");
    must(open_writer(s, store, &db, &err), &err, "open");
    for (unsigned i = 0; i < BULK_ROWS; i += 97) {
        (void)snprintf(key, sizeof key, "key%06u", i);
        CHECK(is_there(db, key));
    }
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 5: nothing happens */

static void idle_main(void *arg)
{
    struct scene *s = arg;
    struct shl_store *counted = NULL;
    struct shl_store_counts before, after;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    begin(s);
    must(shl_store_count_new(&counted, s->bucket, &err), &err, "count");
    s->settings.compactor_enabled = s->settings.gc.enabled = true;
    must(open_writer(s, counted, &db, &err), &err, "open");
    must(put(db, "k", true, &err), &err, "put");
    must(shl_lsm_flush(db, true, &err), &err, "flush");
    for (unsigned i = 0; i < 25; i++) { /* the collector has removed what opening left */
        env_sleep_ns(60 * SECOND);
        sim_progress();
    }
    shl_store_counts_read(counted, &before);
    for (unsigned i = 0; i < 60; i++) {
        env_sleep_ns(60 * SECOND); /* an hour of polls */
        sim_progress();
    }
    shl_store_counts_read(counted, &after);
    CHECK(after.kinds[SHL_KIND_PUT].requests == before.kinds[SHL_KIND_PUT].requests);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(counted);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 6: very many manifests */

static shale_code no_change(struct shl_manifest *next, uint64_t next_id, void *arg,
                            shale_error *err)
{
    (void)next;
    (void)next_id;
    (void)arg;
    (void)err;
    return SHALE_OK;
}

static void manifests_main(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db = NULL;
    struct shl_buf text = {0};
    struct shl_json_writer w;
    struct shl_manifests all = {0};
    shale_error err = {0};
    unsigned listed = 0;
    begin(s);
    must(open_writer(s, s->bucket, &db, &err), &err, "open");
    must(put(db, "k", true, &err), &err, "put");
    must(shl_lsm_close(db, &err), &err, "close");
    must(shl_manifests_init(&all, s->bucket, "db", false, &err), &err, "manifests");
    must(shl_manifests_load(&all, &err), &err, "manifests");
    for (unsigned i = 0; i < MANIFESTS; i++)
        must(shl_manifests_update(&all, no_change, NULL, &err), &err, "a manifest");
    shl_manifests_deinit(&all);
    must(open_writer(s, s->bucket, &db, &err), &err, "open");
    CHECK(is_there(db, "k"));
    shl_json_begin(&w, &text, &err);
    must(shl_inspect_manifests(&(struct shl_inspect){.store = s->bucket, .path = "db"}, &w, &err),
         &err, "list");
    must(shl_json_finish(&w), &err, "list");
    for (size_t i = 0; i < text.len; i++)
        listed += text.data[i] == '{';
    CHECK(listed > MANIFESTS);
    collect(s, SHL_GC_MANIFEST);
    CHECK(is_there(db, "k"));
    must(shl_lsm_close(db, &err), &err, "close");
    shl_buf_free(&text);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 7: no WAL */

static void no_wal_main(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    begin(s);
    store = far_store(s);
    s->settings.wal_enabled = false;
    must(open_writer(s, store, &db, &err), &err, "open");
    uint64_t from = env_now_mono_ns();
    must(put(db, "k", true, &err), &err, "put"); /* nobody flushes, and it returns all the same */
    CHECK(env_now_mono_ns() - from < 5 * SECOND);
    struct shl_lsm_iter *it = NULL;
    struct shl_row row;
    must(shl_lsm_scan_open(db, &(struct shl_lsm_range){0},
                           &(struct shl_lsm_scan){.remote_only = true}, &it, &err),
         &err, "scan");
    CHECK(shl_lsm_iter_next(it, &row, &err) == SHALE_OK);
    shl_lsm_iter_close(it);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 8: nobody compacts */

struct listener {
    unsigned lines;
    uint64_t first_ns; /* when the first line came */
    bool gives_up;
};

static void hear(void *ctx, enum shl_log_level level, const char *text)
{
    struct listener *l = ctx;
    if (level == SHL_LOG_WARN && strstr(text, "nothing compacts them") != NULL && l->lines++ == 0)
        l->first_ns = env_now_mono_ns();
    l->gives_up = l->lines == 3;
}

static bool gives_up(void *ctx)
{
    const struct listener *l = ctx;
    return l->gives_up;
}

static shale_code put_until_it_fails(struct shl_lsm *db, shale_error *err)
{
    shale_code rc = SHALE_OK;
    char key[BULK_KEY];
    for (unsigned i = 0; i < BULK_ROWS && rc == SHALE_OK; i++) {
        (void)snprintf(key, sizeof key, "key%06u", i);
        rc = put(db, key, false, err);
    }
    return rc;
}

static void compact_from_elsewhere(struct shl_store *store, const struct shl_lsm_settings *settings)
{
    struct shl_lsm_settings s = *settings;
    struct shl_compactor_process *p;
    shale_error err = {0};
    s.min_compaction_sources = 2;
    const struct shl_process_open o = {
        .store = store, .path = "db", .settings = &s, .coordinates = true, .works = true};
    must(shl_process_new(&o, &p, &err), &err, "compactor");
    must(shl_process_run(p, &(struct shl_process_run){.once = true}, &err), &err, "compact");
    shl_process_free(p);
}

static void no_compactor_main(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    struct shl_lsm *db = NULL;
    struct listener l = {.lines = 0};
    struct shl_log log = {.sink = hear, .ctx = &l, .level_max = SHL_LOG_WARN};
    shale_error err = {0};
    begin(s);
    store = far_store(s);
    s->settings.l0_sst_size_bytes = 16 << 10;
    s->settings.max_unflushed_bytes = 40 << 10;
    s->settings.l0_max_ssts = s->settings.l0_max_ssts_per_key = 3;
    struct shl_lsm_open o = {.store = store,
                             .path = "db",
                             .settings = &s->settings,
                             .log = &log,
                             .cancelled = gives_up,
                             .cancel_ctx = &l};
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
    CHECK(put_until_it_fails(db, &err) == SHALE_UNAVAILABLE);
    CHECK(strstr(err.text, "start a compactor") != NULL);
    CHECK(l.lines == 3); /* told again and again, as long as it lasts */
    CHECK(shl_lsm_flush(db, true, &err) == SHALE_UNAVAILABLE);
    /* Where somebody was seen to compact it takes longer until that is said. */
    l = (struct listener){.lines = 0};
    uint64_t from = env_now_mono_ns();
    compact_from_elsewhere(store, &s->settings);
    CHECK(put_until_it_fails(db, &err) == SHALE_UNAVAILABLE);
    CHECK(l.lines == 3 && l.first_ns - from >= 60 * SECOND);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- 9: long scans */

#define SCAN_ROWS 2000

/* Allocations of a scan of all rows. */
static uint64_t scan_allocations(struct shl_lsm *db, bool reverse)
{
    struct shl_lsm_iter *it = NULL;
    struct shl_row row;
    shale_error err = {0};
    shale_code rc;
    uint64_t rows = 0;
    sim_alloc_fault_arm(0, UINT64_MAX, false); /* counts, and fails none */
    must(shl_lsm_scan_open(db, &(struct shl_lsm_range){0},
                           &(struct shl_lsm_scan){.reverse = reverse, .cache_blocks = true}, &it,
                           &err),
         &err, "scan");
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK)
        rows++;
    CHECK(rc == SHALE_DONE && rows == SCAN_ROWS);
    shl_lsm_iter_close(it);
    return sim_alloc_fault_disarm(0);
}

static void scans_main(void *arg)
{
    struct scene *s = arg;
    struct shl_store *store;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    char key[BULK_KEY];
    begin(s);
    store = far_store(s);
    must(open_writer(s, store, &db, &err), &err, "open");
    for (unsigned i = 0; i < SCAN_ROWS; i++) { /* half of them in L0 */
        (void)snprintf(key, sizeof key, "key%06u", i * 7919 % SCAN_ROWS);
        must(put(db, key, false, &err), &err, "put");
        if (i == SCAN_ROWS / 2)
            must(shl_lsm_flush(db, true, &err), &err, "flush");
    }
    must(shl_lsm_flush(db, false, &err), &err, "flush");
    (void)scan_allocations(db, false);
    CHECK(scan_allocations(db, false) < SCAN_ROWS / 20); /* the blocks are cached */
    CHECK(scan_allocations(db, true) < SCAN_ROWS / 20);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
    shl_store_unref(s->bucket);
}

/* ---------------------------------------------------------------- tests */

static void run(void (*main_fn)(void *), const char *name, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        static struct scene s;
        s = (struct scene){.asleep = false};
        world_init();
        struct sim_options o = {.seed = seed,
                                .policy = SIM_POLICY_BY_SEED,
                                .scenario = name,
                                .steps_max = UINT64_C(1) << 40,
                                .virtual_ns_max = UINT64_C(7200) * SECOND,
                                .progress_ns_max = UINT64_MAX};
        (void)sim_run(&o, main_fn, &s);
        assert_int_equal(sim_alloc_live(0), 0);
    }
}

static void test_a_writer_that_slept_while_its_wal_was_collected_is_fenced(void **state)
{
    (void)state;
    run(paused_main, "paused writer", 20);
}

static void test_writers_that_open_at_once_lose_nothing_and_one_goes_on(void **state)
{
    (void)state;
    run(openers_main, "writers at once", 20);
}

static void test_an_open_transaction_does_not_fill_the_memory(void **state)
{
    (void)state;
    run(log_main, "open transaction", 1);
}

static void test_a_bulk_load_waits_for_the_bucket(void **state)
{
    (void)state;
    run(bulk_main, "bulk load", 2);
}

static void test_an_idle_writer_writes_nothing(void **state)
{
    (void)state;
    run(idle_main, "idle writer", 1);
}

static void test_more_manifests_than_a_page_of_a_list(void **state)
{
    (void)state;
    run(manifests_main, "many manifests", 1);
}

static void test_a_durable_put_without_a_wal_returns(void **state)
{
    (void)state;
    run(no_wal_main, "no WAL", 3);
}

static void test_who_waits_for_a_compactor_that_is_not_there_is_told(void **state)
{
    (void)state;
    run(no_compactor_main, "no compactor", 3);
}

static void test_scans_allocate_nothing_for_a_row_in_either_direction(void **state)
{
    (void)state;
    run(scans_main, "scans", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_writer_that_slept_while_its_wal_was_collected_is_fenced),
        cmocka_unit_test(test_writers_that_open_at_once_lose_nothing_and_one_goes_on),
        cmocka_unit_test(test_an_open_transaction_does_not_fill_the_memory),
        cmocka_unit_test(test_a_bulk_load_waits_for_the_bucket),
        cmocka_unit_test(test_an_idle_writer_writes_nothing),
        cmocka_unit_test(test_more_manifests_than_a_page_of_a_list),
        cmocka_unit_test(test_a_durable_put_without_a_wal_returns),
        cmocka_unit_test(test_who_waits_for_a_compactor_that_is_not_there_is_told),
        cmocka_unit_test(test_scans_allocate_nothing_for_a_row_in_either_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
