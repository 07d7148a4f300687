/* Goal: a handle tells of its changes, its manifest and its SSTables, and takes these into its caches and out of them.
 * Method: databases in memory; a second thread changes what the first one waits for; requests are counted. */
#include <shale/shale.h>

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

/* ---- changes */

static void *put_in_a_thread(void *arg)
{
    return shale_db_put(arg, SHALE_STR("k"), SHALE_STR("v"), NULL, NULL) == SHALE_OK ? NULL : arg;
}

static void test_a_wait_ends_with_the_next_change(void **state)
{
    (void)state;
    shale_db *db = NULL;
    shale_db_status s = {.struct_size = sizeof s};
    pthread_t thread;
    void *answer;
    ok(shale_db_open(&db, "memory:", NULL, &err));
    ok(shale_db_status_wait(&s, db, 0, &err)); /* what it is now, at once */
    assert_true(s.writer && s.changes > 0 && s.close_reason == SHALE_CLOSE_NONE);
    assert_int_equal(s.durable_seq, 0);
    assert_int_equal(shale_db_status_wait(&s, db, 0, &err), SHALE_DONE);
    assert_int_equal(pthread_create(&thread, NULL, put_in_a_thread, db), 0);
    ok(shale_db_status_wait(&s, db, UINT64_MAX, &err));
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_null(answer);
    assert_int_equal(s.durable_seq, 1);

    uint64_t manifest = s.manifest_id;
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    while (s.manifest_id == manifest)
        ok(shale_db_status_wait(&s, db, UINT64_MAX, &err));
    assert_int_equal(s.l0_count, 1);

    ok(shale_db_close(db, &err));
    shale_db_status_get(NULL, &s);
    assert_int_equal(s.close_reason, SHALE_CLOSE_CLEAN);
    assert_int_equal(shale_db_status_wait(&s, NULL, 0, &err), SHALE_INVALID);
    s.struct_size = 0;
    assert_int_equal(shale_db_status_wait(&s, (shale_db *)&s, 0, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "sizeof(shale_db_status)"));
}

static void test_fencing_is_a_change(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=fenced-status";
    shale_db *db = NULL, *second = NULL;
    shale_db_status s = {.struct_size = sizeof s};
    ok(shale_db_open(&db, url, NULL, &err));
    ok(shale_db_status_wait(&s, db, 0, &err));
    ok(shale_db_open(&second, url, NULL, &err));
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err), SHALE_FENCED);
    while (s.close_reason == SHALE_CLOSE_NONE)
        ok(shale_db_status_wait(&s, db, UINT64_MAX, &err));
    assert_int_equal(s.close_reason, SHALE_CLOSE_FENCED);
    ok(shale_db_close(db, &err));
    ok(shale_db_close(second, &err));
}

static void test_a_reader_tells_of_changes(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=reader-status";
    shale_db *db = NULL, *reader = NULL;
    shale_db_status s = {.struct_size = sizeof s};
    ok(shale_db_open(&db, url, NULL, &err));
    ok(shale_db_open_reader(&reader, url, NULL, NULL, &err));
    ok(shale_db_status_wait(&s, reader, 0, &err));
    ok(shale_db_refresh(reader, &err));
    assert_int_equal(shale_db_status_wait(&s, reader, 0, &err), SHALE_DONE); /* nothing new */
    ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
    ok(shale_db_refresh(reader, &err));
    ok(shale_db_status_wait(&s, reader, UINT64_MAX, &err));
    assert_int_equal(s.durable_seq, 1);
    ok(shale_db_close(reader, &err));
    ok(shale_db_close(db, &err));
}

/* ---- the manifest */

struct seen {
    char text[100];
    unsigned count;
};

static bool note_segment(void *ctx, shale_slice prefix, uint64_t l0_count, uint64_t run_count)
{
    struct seen *s = ctx;
    size_t at = strlen(s->text);
    (void)snprintf(s->text + at, sizeof s->text - at, "%.*s:%u:%u ", (int)prefix.len,
                   (const char *)prefix.data, (unsigned)l0_count, (unsigned)run_count);
    return ++s->count < 2;
}

static void test_segments_and_the_manifest_in_use(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=segments";
    shale_options *o = shale_options_new();
    shale_db *db = NULL;
    char *mine, *stored;
    struct seen seen = {.count = 0};
    shale_db_status s = {.struct_size = sizeof s};
    ok(shale_options_set(o, "segment_extractor", "1", &err));
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("b1"), SHALE_STR(""), NULL, &err));
    ok(shale_db_put(db, SHALE_STR("a1"), SHALE_STR(""), NULL, &err));
    ok(shale_db_put(db, SHALE_STR("c1"), SHALE_STR(""), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    shale_db_segments_each(db, note_segment, &seen);
    assert_string_equal(seen.text, "a:1:0 b:1:0 ");
    shale_db_status_get(db, &s);
    assert_int_equal(s.segment_count, 3);
    ok(shale_db_manifest(&mine, db, &err));
    ok(shale_admin_manifest(&stored, url, NULL, s.manifest_id, &err));
    assert_string_equal(mine, stored);
    shale_text_free(mine);
    shale_text_free(stored);
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

/* ---- SSTables in the caches */

#define ROWS 2000

static void key_of(unsigned i, char key[16])
{
    (void)snprintf(key, 16, "key%06u", i);
}

/* The name of the newest SSTable in L0. */
static void first_sst(shale_db *db, char name[27])
{
    char *text;
    const char *at;
    ok(shale_db_manifest(&text, db, &err));
    at = strstr(text, "\"l0\":[{\"id\":\"");
    assert_non_null(at);
    memcpy(name, at + 13, 26);
    name[26] = '\0';
    shale_text_free(text);
}

/* One SSTable of ROWS rows, opened by a reader with cold caches. */
static shale_db *cold_reader(const char *url, char name[27])
{
    shale_db *db = NULL;
    char key[16], value[200];
    shale_write_options quick;
    shale_write_options_init(&quick, sizeof quick);
    quick.await_durable = false;
    memset(value, 'v', sizeof value);
    ok(shale_db_open(&db, url, NULL, &err));
    for (unsigned i = 0; i < ROWS; i++) {
        key_of(i, key);
        ok(shale_db_put(db, SHALE_STR(key), shale_bytes(value, sizeof value), &quick, &err));
    }
    ok(shale_db_close(db, &err));
    ok(shale_db_open_reader(&db, url, NULL, NULL, &err));
    first_sst(db, name);
    return db;
}

static uint64_t gets_of(shale_db *db)
{
    shale_store_counts n = {.struct_size = sizeof n};
    shale_db_store_counts(db, &n);
    return n.get;
}

static void get(shale_db *db, unsigned i)
{
    char key[16];
    shale_pinned value = {.seq = 0};
    key_of(i, key);
    ok(shale_db_get(&value, db, SHALE_STR(key), NULL, &err));
    assert_int_equal(value.value.len, 200);
    shale_pinned_release(&value);
}

struct access {
    const char *entry, *result;
    uint64_t n;
};

static bool look(void *ctx, const shale_metric *m)
{
    struct access *a = ctx;
    if (strcmp(m->name, "slatedb.db_cache.access_count") == 0 &&
        strcmp(m->label_values[0], a->entry) == 0 && strcmp(m->label_values[1], a->result) == 0)
        a->n = m->value;
    return true;
}

static uint64_t accesses(shale_db *db, const char *entry, const char *result)
{
    struct access a = {.entry = entry, .result = result, .n = UINT64_MAX};
    shale_db_metrics_each(db, look, &a);
    return a.n;
}

static void test_looks_into_the_caches_are_counted(void **state)
{
    (void)state;
    char name[27];
    shale_db *db = cold_reader("memory://?name=cache-counts", name);
    get(db, 1);
    assert_int_equal(accesses(db, "filter", "miss"), 1);
    assert_int_equal(accesses(db, "index", "miss"), 1);
    assert_int_equal(accesses(db, "filter", "hit"), 0);
    assert_int_equal(accesses(db, "index", "hit"), 0);
    get(db, 2);
    get(db, 3);
    assert_int_equal(accesses(db, "filter", "hit"), 2);
    assert_int_equal(accesses(db, "index", "hit"), 2);
    assert_int_equal(accesses(db, "filter", "miss"), 1);
    assert_int_equal(accesses(db, "stats", "hit"), 0);
    ok(shale_db_evict_cached_sst(db, name, &err));
    get(db, 2);
    assert_int_equal(accesses(db, "index", "miss"), 2);
    ok(shale_db_close(db, &err));
}

static void test_warm_and_evict(void **state)
{
    (void)state;
    char name[27];
    shale_db *db = cold_reader("memory://?name=warm", name);
    shale_range half = shale_range_between(SHALE_STR("key000500"), SHALE_STR("key001500"));
    ok(shale_db_warm_sst(db, name, SHALE_CACHE_FILTERS | SHALE_CACHE_DATA | SHALE_CACHE_STATS, half,
                         &err));
    uint64_t before = gets_of(db);
    for (unsigned i = 500; i < 1500; i++)
        get(db, i);
    assert_int_equal(gets_of(db), before); /* nothing is fetched in the range */
    get(db, 10);
    assert_true(gets_of(db) > before);

    ok(shale_db_evict_cached_sst(db, name, &err));
    shale_db_status s = {.struct_size = sizeof s};
    shale_db_status_get(db, &s);
    assert_int_equal(s.cache_bytes, 0);
    before = gets_of(db);
    get(db, 700);
    assert_true(gets_of(db) >= before + 2); /* index and filter, and a block */
    ok(shale_db_evict_cached_sst(db, name, &err));
    ok(shale_db_warm_sst(db, name, SHALE_CACHE_INDEX, shale_range_all(), &err));
    ok(shale_db_warm_sst(db, name, SHALE_CACHE_DATA, shale_range_prefix(SHALE_STR("key0001")),
                         &err));
    ok(shale_db_warm_sst(db, name, SHALE_CACHE_FILTERS, shale_range_all(), &err));
    before = gets_of(db);
    get(db, 100);
    get(db, 199);
    assert_int_equal(gets_of(db), before);

    assert_int_equal(shale_db_warm_sst(db, "x", SHALE_CACHE_INDEX, half, &err), SHALE_INVALID);
    assert_int_equal(shale_db_warm_sst(db, name, 16, half, &err), SHALE_INVALID);
    assert_int_equal(shale_db_warm_sst(db, name, 0, half, &err), SHALE_INVALID);
    assert_int_equal(shale_db_evict_cached_sst(db, "01HZZZZZZZZZZZZZZZZZZZZZZZ", &err),
                     SHALE_NOT_FOUND);
    assert_int_equal(shale_db_evict_cached_sst(NULL, name, &err), SHALE_INVALID);
    ok(shale_db_close(db, &err));
}

/* A get after a flush or a compaction asks for nothing: what is new was fetched beside. Only one of both is kept, so that it is known what the bytes in the cache are of. */
static void test_what_is_new_comes_into_the_caches(void **state)
{
    (void)state;
    for (unsigned reader = 0; reader < 2; reader++)
        for (unsigned compacted = 0; compacted < 2; compacted++) {
            char url[40];
            shale_options *o = shale_options_new();
            shale_db *db = NULL, *seen = NULL;
            shale_reader_options how;
            shale_db_status s = {.struct_size = sizeof s};
            shale_reader_options_init(&how, sizeof how);
            how.follow = true;
            (void)snprintf(url, sizeof url, "memory://?name=new-%u%u", reader, compacted);
            ok(shale_options_set(o, compacted ? "cache_compacted" : "cache_flushed", "all", &err));
            ok(shale_options_set(o, "compactor_options", compacted ? "default" : "none", &err));
            ok(shale_db_open(&db, url, o, &err));
            if (reader)
                ok(shale_db_open_reader(&seen, url, o, &how, &err));
            shale_db *who = reader ? seen : db;
            for (unsigned i = 0; i < (compacted ? 4 : 1); i++) {
                char key[16], value[200];
                memset(value, 'v', sizeof value);
                key_of(1, key);
                ok(shale_db_put(db, SHALE_STR(key), shale_bytes(value, sizeof value), NULL, &err));
                ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
            }
            ok(shale_db_settle(db, &err));
            if (reader)
                ok(shale_db_refresh(seen, &err));
            do {
                (void)sched_yield();
                shale_db_status_get(who, &s);
            } while (s.cache_bytes == 0);
            assert_int_equal(s.run_count, compacted);
            uint64_t misses = accesses(who, "data_block", "miss"), gets = gets_of(who);
            get(who, 1);
            assert_int_equal(accesses(who, "data_block", "miss"), misses);
            assert_int_equal(gets_of(who), gets);
            if (reader)
                ok(shale_db_close(seen, &err));
            ok(shale_db_close(db, &err));
            shale_options_free(o);
        }
}

static void test_how_large_a_range_is(void **state)
{
    (void)state;
    char name[27];
    shale_db *db = cold_reader("memory://?name=range-bytes", name);
    uint64_t all, half, one, none;
    ok(shale_db_range_bytes(&all, db, shale_range_all(), &err));
    ok(shale_db_range_bytes(
        &half, db, shale_range_between(SHALE_STR("key000500"), SHALE_STR("key001500")), &err));
    ok(shale_db_range_bytes(&one, db, shale_range_prefix(SHALE_STR("key000700")), &err));
    ok(shale_db_range_bytes(&none, db, shale_range_prefix(SHALE_STR("x")), &err));
    assert_in_range(all, ROWS * 200, ROWS * 250);
    assert_in_range(half, all / 2 - 8192, all / 2 + 8192);
    assert_in_range(one, 200, 2 * 4096 + 500);
    assert_int_equal(none, 0);
    assert_int_equal(shale_db_range_bytes(NULL, db, shale_range_all(), &err), SHALE_INVALID);
    ok(shale_db_close(db, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_ends_with_the_next_change),
        cmocka_unit_test(test_fencing_is_a_change),
        cmocka_unit_test(test_a_reader_tells_of_changes),
        cmocka_unit_test(test_segments_and_the_manifest_in_use),
        cmocka_unit_test(test_warm_and_evict),
        cmocka_unit_test(test_looks_into_the_caches_are_counted),
        cmocka_unit_test(test_what_is_new_comes_into_the_caches),
        cmocka_unit_test(test_how_large_a_range_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
