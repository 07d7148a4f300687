/* Checkpoints, managed readers, garbage, clones, restoring, deleting and moments through the public headers.
 *
 * Goal: each call does what its header says, takes NULL where it may, and writes the error only when it fails. Method: databases in memory: stores by name. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

static shale_error err;

#define OK(expr)                                                                                   \
    do {                                                                                           \
        err = (shale_error){0};                                                                    \
        if ((expr) != SHALE_OK)                                                                    \
            fail_msg("%s: %s: %s", #expr, shale_code_name(err.code), err.text);                    \
        assert_int_equal(err.code, SHALE_OK);                                                      \
    } while (0)
#define FAILS(expr, why)                                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (why));                                                           \
        assert_int_equal(err.code, (why));                                                         \
    } while (0)

static void put(shale_db *db, const char *key, const char *value)
{
    OK(shale_db_put(db, SHALE_STR(key), SHALE_STR(value), NULL, &err));
}

static void expect(const char *url, const char *checkpoint, const char *key, const char *want)
{
    shale_reader_options how;
    shale_db *db = NULL;
    char value[16] = "";
    size_t len = 0;
    shale_reader_options_init(&how, sizeof how);
    how.checkpoint = checkpoint;
    OK(shale_db_open_reader(&db, url, NULL, &how, &err));
    shale_code rc =
        shale_db_get_into(db, SHALE_STR(key), value, sizeof value - 1, &len, NULL, &err);
    if (want == NULL)
        assert_int_equal(rc, SHALE_NOT_FOUND);
    else
        assert_string_equal(value, want);
    OK(shale_db_close(db, &err));
}

static void test_checkpoints(void **state)
{
    static const char url[] = "memory:///checkpoints?name=keep";
    (void)state;
    shale_db *db = NULL;
    shale_checkpoint *begun = NULL;
    shale_checkpoint_options how;
    shale_checkpoint_result r, again;
    shale_checkpoint_found found;
    char *text = NULL;
    OK(shale_db_open(&db, url, NULL, &err));
    put(db, "k", "1");
    OK(shale_db_checkpoint(&r, db, NULL, &err));
    shale_checkpoint_options_init(&how, sizeof how);
    how.name = "two";
    how.lifetime_ms = 60000;
    put(db, "k", "2");
    OK(shale_db_begin_checkpoint(&begun, db, &how, &err));
    put(db, "k", "3");
    assert_int_equal(strlen(shale_checkpoint_id(begun)), 36);
    OK(shale_db_close(db, &err));
    OK(shale_checkpoint_wait(&again, begun, &err));
    assert_string_equal(again.id, shale_checkpoint_id(begun));
    shale_checkpoint_free(begun);
    shale_checkpoint_free(NULL);
    expect(url, r.id, "k", "1");
    expect(url, "two", "k", "2");
    expect(url, NULL, "k", "3");
    how.scope = (shale_checkpoint_scope)7;
    FAILS(shale_admin_checkpoint_create(&r, url, NULL, &how, &err), SHALE_INVALID);
    OK(shale_admin_checkpoint_create(NULL, url, NULL, NULL, &err));
    OK(shale_admin_checkpoint_refresh(&again, url, NULL, "two", 0, &err));
    assert_true(again.manifest_id > 0);
    OK(shale_admin_checkpoints(&text, url, NULL, "two", &err));
    assert_non_null(strstr(text, "\"expire_time\":null"));
    shale_text_free(text);
    OK(shale_admin_checkpoint_as_of(&found, url, NULL, 2, 0, &err));
    assert_string_equal(found.id, again.id);
    assert_int_equal(found.seq, 2);
    FAILS(shale_admin_checkpoint_as_of(&found, url, NULL, 0, 1, &err), SHALE_NOT_FOUND);
    OK(shale_admin_checkpoint_delete(NULL, url, NULL, "two", &err));
    FAILS(shale_admin_checkpoint_delete(NULL, url, NULL, "two", &err), SHALE_NOT_FOUND);
    int64_t unix_s = 0;
    uint64_t seq = 0;
    OK(shale_admin_seq_to_time(&unix_s, url, NULL, 1, false, &err));
    OK(shale_admin_time_to_seq(&seq, url, NULL, unix_s, false, &err));
    assert_int_equal(seq, 1);
    FAILS(shale_admin_time_to_seq(&seq, url, NULL, 5, false, &err), SHALE_NOT_FOUND);
}

static void test_reader_modes(void **state)
{
    static const char url[] = "memory:///modes?name=keep";
    static const struct {
        shale_reader_mode mode;
        const char *checkpoint;
        shale_code want;
        bool writes;
    } cases[] = {{SHALE_READER_DEFAULT, NULL, SHALE_OK, false},
                 {SHALE_READER_DEFAULT, "c", SHALE_OK, false},
                 {SHALE_READER_LATEST, NULL, SHALE_OK, false},
                 {SHALE_READER_LATEST, "c", SHALE_INVALID, false},
                 {SHALE_READER_CHECKPOINT, "c", SHALE_OK, false},
                 {SHALE_READER_CHECKPOINT, NULL, SHALE_INVALID, false},
                 {SHALE_READER_MANAGED, NULL, SHALE_OK, true},
                 {SHALE_READER_MANAGED, "c", SHALE_INVALID, false},
                 {(shale_reader_mode)4, NULL, SHALE_INVALID, false}};
    (void)state;
    shale_db *db = NULL;
    shale_checkpoint_options how;
    OK(shale_db_open(&db, url, NULL, &err));
    shale_checkpoint_options_init(&how, sizeof how);
    how.name = "c";
    OK(shale_db_checkpoint(NULL, db, &how, &err));
    OK(shale_db_close(db, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        shale_reader_options o;
        char *before = NULL, *open = NULL;
        shale_reader_options_init(&o, sizeof o);
        o.mode = cases[i].mode;
        o.checkpoint = cases[i].checkpoint;
        OK(shale_admin_checkpoints(&before, url, NULL, NULL, &err));
        db = NULL;
        assert_int_equal(shale_db_open_reader(&db, url, NULL, &o, &err), cases[i].want);
        OK(shale_admin_checkpoints(&open, url, NULL, NULL, &err));
        assert_int_equal(strcmp(before, open) != 0, cases[i].writes);
        shale_text_free(open);
        (void)shale_db_close(db, NULL);
        OK(shale_admin_checkpoints(&open, url, NULL, NULL, &err));
        assert_string_equal(before, open);
        shale_text_free(open);
        shale_text_free(before);
    }
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static void test_garbage(void **state)
{
    static const char url[] = "memory:///garbage?name=keep";
    (void)state;
    shale_db *db = NULL;
    shale_gc *gc = NULL;
    shale_gc_options how;
    shale_gc_report r;
    uint64_t wait_ms = 0;
    shale_store_counts n = {.struct_size = sizeof n};
    for (int i = 0; i < 3; i++) {
        OK(shale_db_open(&db, url, NULL, &err));
        put(db, "k", "1");
        OK(shale_db_close(db, &err));
    }
    shale_gc_options_init(&how, sizeof how);
    how.resources = 1U << SHALE_GC_RESOURCES;
    FAILS(shale_gc_open(&gc, url, NULL, &how, &err), SHALE_INVALID);
    how.resources = 1U << SHALE_GC_MANIFEST;
    how.has_min_age = how.has_interval = true;
    how.interval_ms = 3600 * 1000;
    how.dry_run = true;
    OK(shale_gc_open(&gc, url, NULL, &how, &err));
    OK(shale_gc_run(&r, gc, &err));
    assert_true(r.results[SHALE_GC_MANIFEST].dry_run && r.results[SHALE_GC_MANIFEST].count > 5);
    assert_false(r.results[SHALE_GC_WAL].ran);
    shale_gc_close(gc);
    how.dry_run = false;
    how.stopped = always;
    OK(shale_gc_open(&gc, url, NULL, &how, &err));
    OK(shale_gc_run(&r, gc, &err));
    assert_true(r.stopped);
    assert_false(r.results[SHALE_GC_MANIFEST].ran);
    shale_gc_close(gc);
    how.stopped = NULL;
    OK(shale_gc_open(&gc, url, NULL, &how, &err));
    OK(shale_gc_step(&r, &wait_ms, gc, &err));
    assert_true(r.results[SHALE_GC_MANIFEST].count > 5);
    assert_true(wait_ms > 3000 * 1000 && wait_ms <= 3600 * 1000);
    OK(shale_gc_step(&r, &wait_ms, gc, &err));
    assert_false(r.results[SHALE_GC_MANIFEST].ran); /* not due */
    shale_gc_store_counts(gc, &n);
    assert_true(n.list > 0 && n.del > 0);
    shale_gc_close(gc);
    shale_gc_close(NULL);
    expect(url, NULL, "k", "1");
    assert_string_equal(shale_gc_resource_name(SHALE_GC_WAL_FENCE), "wal-fence");
    assert_string_equal(shale_gc_resource_name(SHALE_GC_RESOURCES), "");
}

struct keeper {
    uint64_t asked, bytes;
    const char *keeps;
};

static bool may_delete(void *ctx, const char *key, uint64_t bytes, int64_t modified_unix_ms)
{
    struct keeper *k = ctx;
    k->asked++;
    k->bytes += bytes;
    assert_true(modified_unix_ms > 0);
    return strstr(key, k->keeps) == NULL;
}

/* What the filter wants to keep stays, and only that; it is not asked about what is needed. */
static void test_a_filter_keeps_garbage(void **state)
{
    static const char url[] = "memory:///kept?name=keep";
    (void)state;
    struct keeper k = {.keeps = "0003.manifest"};
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    shale_gc *gc = NULL;
    shale_gc_options how;
    shale_gc_report r;
    char *json = NULL;
    assert_non_null(o);
    for (int i = 0; i < 3; i++) {
        OK(shale_db_open(&db, url, NULL, &err));
        put(db, "k", "1");
        OK(shale_db_close(db, &err));
    }
    shale_options_set_gc_filter(o, may_delete, &k);
    shale_options_set_gc_filter(NULL, may_delete, &k);
    shale_gc_options_init(&how, sizeof how);
    how.resources = 1U << SHALE_GC_MANIFEST;
    how.has_min_age = true;
    OK(shale_gc_open(&gc, url, o, &how, &err));
    OK(shale_gc_run(&r, gc, &err));
    assert_int_equal(r.results[SHALE_GC_MANIFEST].count, k.asked - 1);
    assert_true(k.bytes > 0);
    OK(shale_gc_run(&r, gc, &err)); /* asked again */
    assert_int_equal(r.results[SHALE_GC_MANIFEST].count, 0);
    OK(shale_admin_manifests(&json, url, NULL, &err));
    assert_non_null(strstr(json, "\"id\":3,"));
    assert_null(strstr(json, "\"id\":2,"));
    shale_text_free(json);
    k.keeps = "none";
    OK(shale_gc_run(&r, gc, &err));
    assert_int_equal(r.results[SHALE_GC_MANIFEST].count, 1);
    shale_gc_close(gc);
    shale_options_free(o);
    expect(url, NULL, "k", "1");
}

static void count_one(void *ctx, const char *key, uint64_t bytes)
{
    (void)bytes;
    assert_non_null(strstr(key, "whole/c"));
    ++*(unsigned *)ctx;
}

static void test_whole_databases(void **state)
{
    static const char url[] = "memory:///whole/db?name=keep",
                      copy[] = "memory:///whole/c?name=keep";
    (void)state;
    shale_db *db = NULL;
    shale_checkpoint_options how;
    shale_clone_result cloned;
    shale_restore_result restored;
    shale_delete_result deleted;
    unsigned count = 0;
    OK(shale_db_open(&db, url, NULL, &err));
    put(db, "a", "1");
    put(db, "b", "1");
    shale_checkpoint_options_init(&how, sizeof how);
    how.name = "first";
    OK(shale_db_checkpoint(NULL, db, &how, &err));
    put(db, "b", "2");
    OK(shale_db_close(db, &err));
    shale_clone_source s = {.url = url, .range = shale_range_prefix(SHALE_STR("b"))};
    FAILS(shale_clone(&cloned, copy, NULL, 0, NULL, &err), SHALE_INVALID);
    FAILS(shale_clone(&cloned, "memory:///c?name=elsewhere", &s, 1, NULL, &err), SHALE_INVALID);
    shale_clone_source none = {.url = url,
                               .range = {.from = SHALE_STR("b"),
                                         .from_kind = SHALE_INCLUDED,
                                         .to = SHALE_STR("b"),
                                         .to_kind = SHALE_EXCLUDED}};
    FAILS(shale_clone(&cloned, copy, &none, 1, NULL, &err), SHALE_INVALID);
    OK(shale_clone(&cloned, copy, &s, 1, NULL, &err));
    assert_false(cloned.was_there);
    OK(shale_clone(NULL, copy, &s, 1, NULL, &err));
    expect(copy, NULL, "b", "2");
    expect(copy, NULL, "a", NULL);
    OK(shale_restore(&restored, url, NULL, "first", 60000, &err));
    expect(url, NULL, "b", "1");
    expect(url, restored.undo_checkpoint, "b", "2");
    FAILS(shale_restore(NULL, url, NULL, "none", 0, &err), SHALE_NOT_FOUND);
    FAILS(shale_restore(NULL, url, NULL, NULL, 0, &err), SHALE_INVALID);
    OK(shale_delete(&deleted, copy, NULL, true, count_one, &count, &err));
    assert_int_equal(count, deleted.objects);
    assert_int_equal(deleted.parents, 1);
    assert_int_equal(deleted.wal_elsewhere, 0);
    expect(copy, NULL, "b", "2");
    OK(shale_delete(NULL, copy, NULL, false, NULL, NULL, &err));
    FAILS(shale_delete(NULL, copy, NULL, false, NULL, NULL, &err), SHALE_NOT_FOUND);
    expect(url, NULL, "a", "1");
}

/* ---- a clock of the application */

static int64_t clock_ms;

static int64_t tell(void *ctx)
{
    (void)ctx;
    return clock_ms;
}

/* Rows, times to live, checkpoints and the age of garbage go by it. */
static void test_a_clock_of_the_application(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=clock";
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    shale_write_options write;
    shale_write_result written;
    shale_pinned found = {.seq = 0};
    shale_checkpoint_options how;
    shale_gc *gc = NULL;
    shale_gc_report report;
    char *list;
    shale_write_options_init(&write, sizeof write);
    shale_checkpoint_options_init(&how, sizeof how);
    shale_options_set_clock(o, tell, NULL);
    assert_int_equal(shale_options_set(o, "strict_ttl", "true", &err), SHALE_OK);
    clock_ms = INT64_C(1000000000000); /* September 2001 */
    OK(shale_db_open(&db, url, o, &err));
    write.ttl_kind = SHALE_TTL_AFTER_MS;
    write.ttl_ms = 5000;
    write.result = &written;
    OK(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), &write, &err));
    assert_int_equal(written.create_ts, clock_ms);
    OK(shale_db_get(&found, db, SHALE_STR("k"), NULL, &err));
    assert_int_equal(found.expire_ts, clock_ms + 5000);
    shale_pinned_release(&found);
    clock_ms += 5000;
    assert_int_equal(shale_db_get(&found, db, SHALE_STR("k"), NULL, &err), SHALE_NOT_FOUND);

    how.lifetime_ms = 60000;
    how.name = "mine";
    OK(shale_db_checkpoint(NULL, db, &how, &err));
    how.name = "theirs";
    OK(shale_admin_checkpoint_create(NULL, url, o, &how, &err));
    OK(shale_admin_checkpoints(&list, url, o, NULL, &err));
    assert_non_null(strstr(list, "2001-09-09T01:47:45Z")); /* both end there */
    shale_text_free(list);
    OK(shale_gc_open(&gc, url, o, NULL, &err));
    OK(shale_gc_run(&report, gc, &err));
    assert_int_equal(report.checkpoints_expired, 0);
    clock_ms += 60001;
    OK(shale_admin_checkpoint_refresh(NULL, url, o, "theirs", 1000, &err));
    OK(shale_gc_run(&report, gc, &err));
    assert_int_equal(report.checkpoints_expired, 1);
    clock_ms += 3000; /* they end at whole seconds */
    OK(shale_gc_run(&report, gc, &err));
    assert_int_equal(report.checkpoints_expired, 1);
    shale_gc_close(gc);
    OK(shale_db_close(db, &err));
    shale_options_free(o);
}

/* What a clock may be wrong by, as one that tells microseconds: nothing breaks, and what is written is read. */
static void test_a_clock_that_makes_no_sense(void **state)
{
    (void)state;
    static const int64_t moments[] = {INT64_MAX, INT64_C(1790000000000000), INT64_MIN, 0};
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        char url[40], value[4];
        size_t len = 0;
        shale_options *o = shale_options_new();
        shale_db *db = NULL;
        (void)snprintf(url, sizeof url, "memory://?name=odd-clock-%zu", i);
        shale_options_set_clock(o, tell, NULL);
        clock_ms = moments[i];
        OK(shale_db_open(&db, url, o, &err));
        put(db, "k", "v");
        OK(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
        OK(shale_db_checkpoint(NULL, db, NULL, &err));
        OK(shale_db_get_into(db, SHALE_STR("k"), value, sizeof value, &len, NULL, &err));
        assert_int_equal(len, 1);
        OK(shale_db_close(db, &err));
        shale_options_free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_reader_modes),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_a_filter_keeps_garbage),
        cmocka_unit_test(test_whole_databases),
        cmocka_unit_test(test_a_clock_of_the_application),
        cmocka_unit_test(test_a_clock_that_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
