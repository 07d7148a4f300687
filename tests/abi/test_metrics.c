/* Goal: every counter counts what its name says, and the three ways to read metrics say the same.
 * Method: a database in memory that is told what to do; metrics are looked up by name and label. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

struct wanted {
    const char *name, *label; /* label: the value of one of its labels; NULL: any */
    bool found;
    uint64_t value;
    unsigned seen;
};

static bool look(void *ctx, const shale_metric *m)
{
    struct wanted *w = ctx;
    bool fits = w->label == NULL;
    w->seen++;
    for (size_t i = 0; i < m->label_count; i++)
        fits = fits || strcmp(m->label_values[i], w->label) == 0;
    if (strcmp(m->name, w->name) != 0 || !fits)
        return true;
    w->found = true;
    w->value = m->value;
    return false;
}

static uint64_t metric(shale_db *db, const char *name, const char *label)
{
    struct wanted w = {.name = name, .label = label};
    shale_db_metrics_each(db, look, &w);
    if (!w.found)
        fail_msg("no metric %s %s", name, label != NULL ? label : "");
    return w.value;
}

#define expect(name, label, n) assert_int_equal(metric(db, (name), (label)), (n))

static shale_db *open_with(const char *const settings[][2], size_t count)
{
    shale_db *db = NULL;
    shale_options *o = shale_options_new();
    ok(shale_options_set(o, "merge_operator", "concat", &err));
    for (size_t i = 0; i < count; i++)
        ok(shale_options_set(o, settings[i][0], settings[i][1], &err));
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    return db;
}

static shale_db *open_quiet(void)
{
    static const char *const settings[][2] = {{"min_filter_keys", "1"},
                                              {"compactor_options", "none"}};
    return open_with(settings, 2);
}

static void get(shale_db *db, const char *key, bool there)
{
    shale_pinned found = {0};
    assert_int_equal(shale_db_get(&found, db, shale_str(key), NULL, &err),
                     there ? SHALE_OK : SHALE_NOT_FOUND);
    shale_pinned_release(&found);
}

static void test_what_is_counted(void **state)
{
    (void)state;
    shale_db *db = open_quiet();
    shale_batch *batch = shale_batch_new();
    shale_iter *it = NULL;
    expect("slatedb.db.write_ops", NULL, 0);
    for (char key[] = "a"; key[0] <= 'e'; key[0]++)
        shale_batch_put(batch, shale_str(key), SHALE_STR("12"));
    ok(shale_db_write(db, batch, NULL, &err));
    shale_batch_free(batch);
    ok(shale_db_merge(db, SHALE_STR("a"), SHALE_STR("3"), NULL, &err));
    expect("slatedb.db.write_ops", NULL, 6);
    expect("slatedb.db.write_batch_count", NULL, 2);
    expect("slatedb.db.memtable_write_bytes", NULL, 5 * 3 + 2);
    expect("slatedb.wal.wal_buffer_flushes", NULL, 2);
    get(db, "a", true);
    expect("slatedb.merge_operator_operands", "read", 1);
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    expect("slatedb.merge_operator_operands", "flush", 1);
    expect("slatedb.memtable_flush.memtable_freeze_count", NULL, 1);
    expect("slatedb.memtable_flush.l0_upload_count", NULL, 1);
    expect("slatedb.db.immutable_memtable_flushes", NULL, 1);
    expect("slatedb.db.l0_sst_count", NULL, 1);
    expect("slatedb.db.sst_count", NULL, 1);
    expect("slatedb.db.l0_stall_count", "num_ssts", 0);
    assert_true(metric(db, "slatedb.db.l0_flush_bytes", NULL) > 20);
    get(db, "b", true);
    get(db, "bb", false);
    expect("slatedb.db.request_count", "get", 3);
    expect("slatedb.db.sst_filter_positive_count", "point",
           1 + metric(db, "slatedb.db.sst_filter_false_positive_count", NULL));
    assert_int_equal(metric(db, "slatedb.db.sst_filter_negative_count", NULL) +
                         metric(db, "slatedb.db.sst_filter_false_positive_count", NULL),
                     1);
    ok(shale_db_scan(&it, db, shale_range_all(), NULL, &err));
    shale_iter_close(it);
    expect("slatedb.db.request_count", "scan", 1);
    expect("slatedb.db.request_count", "flush", 1);
    ok(shale_db_close(db, &err));
}

static void test_transactions_are_counted(void **state)
{
    (void)state;
    shale_db *db = open_quiet();
    shale_txn *t = NULL;
    shale_snapshot *s = NULL;
    ok(shale_db_begin(&t, db, NULL, &err));
    ok(shale_db_snapshot(&s, db, &err));
    expect("shale.db.open_transaction_count", NULL, 1);
    expect("shale.db.open_snapshot_count", NULL, 1);
    ok(shale_txn_put(t, SHALE_STR("a"), SHALE_STR("1"), &err));
    ok(shale_db_put(db, SHALE_STR("a"), SHALE_STR("2"), NULL, &err));
    assert_true(metric(db, "shale.db.transaction_log_bytes", NULL) > 0);
    assert_int_equal(shale_txn_commit(t, NULL, &err), SHALE_CONFLICT);
    shale_txn_close(t);
    shale_snapshot_close(s);
    expect("shale.db.transaction_count", NULL, 1);
    expect("shale.db.transaction_conflict_count", NULL, 1);
    expect("shale.db.open_transaction_count", NULL, 0);
    expect("shale.db.open_snapshot_count", NULL, 0);
    expect("shale.db.transaction_log_bytes", NULL, 0); /* nothing is kept for nobody */
    ok(shale_db_close(db, &err));
}

static bool has(shale_db *db, const char *name)
{
    struct wanted w = {.name = name};
    shale_db_metrics_each(db, look, &w);
    return w.found;
}

static void flush(shale_db *db)
{
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
}

/* Four L0 SSTables, two of them with a row whose time is over when they are compacted, but was not when they were written. */
static void write_four_tables(shale_db *db)
{
    shale_write_options brief;
    shale_write_result brief_result = {0}, last = {0};
    shale_write_options_init(&brief, sizeof brief);
    brief.ttl_kind = SHALE_TTL_AFTER_MS;
    brief.ttl_ms = 1;
    brief.result = &brief_result;
    ok(shale_db_put(db, SHALE_STR("value"), SHALE_STR("1"), &brief, &err));
    flush(db);
    ok(shale_db_merge(db, SHALE_STR("operand"), SHALE_STR("1"), &brief, &err));
    flush(db);
    ok(shale_db_merge(db, SHALE_STR("fold"), SHALE_STR("1"), NULL, &err));
    flush(db);
    brief.ttl_kind = SHALE_TTL_NEVER;
    brief.result = &last;
    while (last.create_ts <= brief_result.create_ts) /* the clock of the data moves on */
        ok(shale_db_merge(db, SHALE_STR("fold"), SHALE_STR("2"), &brief, &err));
}

static void test_compactions_are_counted(void **state)
{
    (void)state;
    shale_db *db = open_with(NULL, 0);
    expect("slatedb.compactor.epoch", NULL, 0); /* there was no need yet */
    expect("slatedb.compactor.worker_last_heartbeat_ms", NULL, 0);
    write_four_tables(db);
    expect("slatedb.compactor.last_compaction_timestamp_sec", NULL, 0);
    ok(shale_db_settle(db, &err));
    expect("slatedb.compactor.epoch", NULL, 1);
    expect("slatedb.compactor.jobs_claimed", NULL, 1);
    expect("slatedb.compactor.jobs_reclaimed", NULL, 0);
    expect("slatedb.compactor.expired_entries_purged", "value", 1);
    expect("slatedb.compactor.expired_entries_purged", "merge", 1);
    expect("slatedb.compactor.ssts_written", NULL, 1);
    expect("slatedb.merge_operator_operands", "compact", 1); /* each table had its own folded */
    assert_true(metric(db, "slatedb.compactor.bytes_compacted", NULL) > 10);
    assert_true(metric(db, "slatedb.compactor.bytes_compacted", NULL) < 4096);
    assert_true(metric(db, "slatedb.compactor.last_compaction_timestamp_sec", NULL) > 1700000000);
    assert_true(metric(db, "slatedb.compactor.worker_last_heartbeat_ms", NULL) > 1700000000000);
    expect("slatedb.compactor.running_compactions", NULL, 0);
    expect("slatedb.compactor.total_bytes_being_compacted", NULL, 0);
    expect("slatedb.compactor.total_throughput_bytes_per_sec", NULL, 0);
    char *json = shale_db_metrics_json(db);
    assert_non_null(strstr(json, "\"slatedb.compactor.ssts_written\",\"kind\":\"counter\","
                                 "\"labels\":{\"worker_id\":\"0"));
    shale_text_free(json);
    ok(shale_db_close(db, &err));
}

static void test_who_does_not_compact_or_collect_says_nothing(void **state)
{
    static const char *const settings[][2] = {{"compactor_options", "none"},
                                              {"garbage_collector_options", "none"}};
    (void)state;
    shale_db *db = open_with(settings, 2);
    assert_false(has(db, "slatedb.compactor.epoch"));
    assert_false(has(db, "slatedb.gc.count"));
    ok(shale_db_close(db, &err));
}

static void test_collections_are_counted(void **state)
{
    static const char *const settings[][2] = {
        {"compactor_options", "none"},
        {"garbage_collector_options.manifest_options.interval", "1ms"},
        {"garbage_collector_options.manifest_options.min_age", "0ms"}};
    (void)state;
    shale_db *db = open_with(settings, 3);
    for (char key[] = "a"; key[0] <= 'e'; key[0]++) { /* a manifest each */
        ok(shale_db_put(db, shale_str(key), SHALE_STR("1"), NULL, &err));
        flush(db);
    }
    for (unsigned tries = 0; metric(db, "slatedb.gc.deleted_count", "manifest") < 5 ||
                             metric(db, "slatedb.gc.version_count", "manifest") != 1;
         tries++) {
        if (tries > 20000)
            fail_msg("the old manifests were not collected");
        thrd_sleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    expect("slatedb.gc.deleted_count", "wal", 0);
    expect("slatedb.gc.version_count", "compactions", 0);
    assert_true(metric(db, "slatedb.gc.count", NULL) > 0);
    ok(shale_db_close(db, &err));
}

static bool is_in(void *ctx, const shale_metric *m)
{
    const char *const *texts = ctx;
    char flat[80];
    size_t n = 0;
    for (; m->name[n] != '\0' && n < sizeof flat - 1; n++)
        flat[n] = m->name[n] == '.' ? '_' : m->name[n];
    flat[n] = '\0';
    assert_non_null(strstr(texts[0], m->name));
    assert_non_null(strstr(texts[1], flat));
    return true;
}

static bool check_histogram(void *ctx, const shale_metric *m)
{
    uint64_t *seen = ctx, sum = 0;
    if (m->kind != SHALE_METRIC_HISTOGRAM) {
        assert_null(m->buckets);
        return true;
    }
    assert_string_equal(m->name, "slatedb.object_store.request_duration_seconds");
    assert_int_equal(m->label_count, 4);
    assert_int_equal(m->border_count, 12);
    assert_true(m->borders[0] < 0.0011 && m->borders[11] > 9.9);
    for (size_t i = 0; i <= m->border_count; i++)
        sum += m->buckets[i];
    assert_int_equal(sum, m->value);
    assert_true((m->sum > 0) == (m->value > 0));
    *seen += m->value;
    return true;
}

/* SlateDB's labels, and how long each call took. */
static void test_requests_are_timed(void **state)
{
    (void)state;
    static const char *const settings[][2] = {{"wal_url", "memory://?name=wal-apart"},
                                              {"compactor_options", "none"}};
    shale_db *db = open_with(settings, 2);
    uint64_t timed = 0;
    ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
    shale_db_metrics_each(db, check_histogram, &timed);
    assert_true(timed > 4);
    char *json = shale_db_metrics_json(db), *prometheus = shale_db_metrics_prometheus(db);
    assert_non_null(strstr(json, "\"labels\":{\"component\":\"db\",\"store_type\":\"wal\",\"op\":"
                                 "\"put\",\"api\":\"put\"},\"value\":2"));
    assert_non_null(strstr(json, "\"kind\":\"histogram\""));
    assert_non_null(strstr(json, "\"boundaries\":[0.001,0.005,"));
    assert_non_null(strstr(prometheus, "# TYPE slatedb_object_store_request_duration_seconds "
                                       "histogram\n"));
    assert_non_null(strstr(prometheus, "slatedb_object_store_request_duration_seconds_bucket{"
                                       "component=\"db\",store_type=\"wal\",op=\"put\",api="
                                       "\"put\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(prometheus, "slatedb_object_store_request_duration_seconds_count{"
                                       "component=\"db\",store_type=\"wal\",op=\"put\",api="
                                       "\"put\"} 2\n"));
    shale_text_free(json);
    shale_text_free(prometheus);
    ok(shale_db_close(db, &err));
}

static void test_filters_of_prefixes_and_checkpoints_are_counted(void **state)
{
    (void)state;
    static const char *const settings[][2] = {
        {"min_filter_keys", "1"}, {"bloom_prefix", "1"}, {"compactor_options", "none"}};
    shale_db *db = open_with(settings, 3);
    shale_iter *it = NULL;
    ok(shale_db_put(db, SHALE_STR("a1"), SHALE_STR("v"), NULL, &err));
    ok(shale_db_put(db, SHALE_STR("c1"), SHALE_STR("v"), NULL, &err));
    ok(shale_db_checkpoint(NULL, db, NULL, &err));
    expect("slatedb.memtable_flush.checkpoint_request_count", NULL, 1);
    get(db, "a1", true); /* the filter comes with it */
    for (unsigned i = 0; i < 3; i++) {
        static const char *const prefixes[] = {"a", "b", "c"};
        ok(shale_db_scan(&it, db, shale_range_prefix(shale_str(prefixes[i])), NULL, &err));
        shale_iter_close(it);
    }
    expect("slatedb.db.sst_filter_positive_count", "prefix", 2);
    expect("slatedb.db.sst_filter_negative_count", "prefix", 1);
    ok(shale_db_close(db, &err));
}

static void test_the_three_ways_say_the_same(void **state)
{
    (void)state;
    shale_db *db = open_quiet();
    struct wanted none = {.name = "none"};
    char *texts[] = {shale_db_metrics_json(db), shale_db_metrics_prometheus(db)};
    shale_db_metrics_each(db, is_in, texts);
    shale_db_metrics_each(db, look, &none);
    assert_true(none.seen > 40);
    assert_non_null(
        strstr(texts[1],
               "\nslatedb_db_cache_access_count{entry_kind=\"data_block\",result=\"miss\"} 0\n"));
    assert_non_null(
        strstr(texts[0], "\"labels\":{\"entry_kind\":\"data_block\",\"result\":\"hit\"}"));
    shale_text_free(texts[0]);
    shale_text_free(texts[1]);
    shale_db_metrics_each(db, NULL, NULL);
    ok(shale_db_close(db, &err));
}

/* ---- who has no handle of a database */

static uint64_t of_compactor(shale_compactor *c, const char *name, const char *label)
{
    struct wanted w = {.name = name, .label = label};
    shale_compactor_metrics_each(c, look, &w);
    if (!w.found)
        fail_msg("no metric %s", name);
    return w.value;
}

static uint64_t of_gc(shale_gc *gc, const char *name, const char *label)
{
    struct wanted w = {.name = name, .label = label};
    shale_gc_metrics_each(gc, look, &w);
    if (!w.found)
        fail_msg("no metric %s", name);
    return w.value;
}

static void test_compactors_and_collectors_have_metrics_too(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=roles";
    shale_options *o = shale_options_new();
    shale_compactor_options how;
    shale_compactor *c = NULL;
    shale_gc_options gc_how;
    shale_gc *gc = NULL;
    shale_gc_report report;
    shale_db *db = NULL;
    char *text;
    ok(shale_options_set(o, "compactor_options", "none", &err));
    ok(shale_db_open(&db, url, o, &err));
    for (int i = 0; i < 4; i++) {
        ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    }
    shale_compactor_options_init(&how, sizeof how);
    how.once = true;
    ok(shale_compactor_open(&c, url, NULL, &how, &err));
    assert_int_equal(of_compactor(c, "slatedb.compactor.jobs_claimed", NULL), 0);
    ok(shale_compactor_run(c, &err));
    assert_int_equal(of_compactor(c, "slatedb.compactor.jobs_claimed", NULL), 1);
    assert_int_equal(of_compactor(c, "slatedb.compactor.ssts_written", NULL), 1);
    assert_int_equal(of_compactor(c, "slatedb.compactor.epoch", NULL), 1);
    assert_true(of_compactor(c, "slatedb.object_store.request_count", "compactor") > 0);
    text = shale_compactor_metrics_prometheus(c);
    assert_non_null(strstr(text, "slatedb_compactor_jobs_claimed 1\n"));
    shale_text_free(text);
    text = shale_compactor_metrics_json(c);
    assert_non_null(strstr(text,
                           "{\"name\":\"slatedb.compactor.jobs_claimed\",\"kind\":\"counter\","
                           "\"value\":1}"));
    shale_text_free(text);
    shale_compactor_close(c);

    shale_gc_options_init(&gc_how, sizeof gc_how);
    gc_how.has_min_age = true;
    ok(shale_gc_open(&gc, url, NULL, &gc_how, &err));
    assert_int_equal(of_gc(gc, "slatedb.gc.count", NULL), 0);
    ok(shale_gc_run(&report, gc, &err));
    assert_int_equal(of_gc(gc, "slatedb.gc.count", NULL), 1);
    assert_int_equal(of_gc(gc, "slatedb.gc.deleted_count", "manifest"),
                     report.results[SHALE_GC_MANIFEST].count);
    assert_true(report.results[SHALE_GC_MANIFEST].count > 0);
    assert_true(of_gc(gc, "slatedb.object_store.request_count", "gc") > 0);
    text = shale_gc_metrics_prometheus(gc);
    assert_non_null(strstr(text, "slatedb_gc_count 1\n"));
    shale_text_free(text);
    text = shale_gc_metrics_json(gc);
    assert_non_null(strstr(text, "\"slatedb.gc.count\""));
    shale_text_free(text);
    shale_gc_close(gc);
    assert_null(shale_gc_metrics_json(NULL));
    assert_null(shale_compactor_metrics_prometheus(NULL));
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_counted),
        cmocka_unit_test(test_transactions_are_counted),
        cmocka_unit_test(test_compactions_are_counted),
        cmocka_unit_test(test_who_does_not_compact_or_collect_says_nothing),
        cmocka_unit_test(test_collections_are_counted),
        cmocka_unit_test(test_requests_are_timed),
        cmocka_unit_test(test_filters_of_prefixes_and_checkpoints_are_counted),
        cmocka_unit_test(test_the_three_ways_say_the_same),
        cmocka_unit_test(test_compactors_and_collectors_have_metrics_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
