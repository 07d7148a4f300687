/* String stores through the public headers.
 *
 * Goal: each call does what its header says, takes NULL where it may, and writes the error only when it fails. Method: stores in memory, by name; a folder for the calls that
 * need one. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h wants the first four above */
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

static shale_s4 *open_store(const char *url, const char *dir)
{
    shale_s4_options o;
    shale_s4 *db = NULL;
    shale_s4_options_init(&o, sizeof o);
    assert_true(o.max_file_bytes == UINT64_C(64) << 20 && o.format == 2 && o.requests_max == 8);
    o.local_dir = dir;
    OK(shale_s4_open(&db, url, NULL, &o, &err));
    return db;
}

static void put(shale_s4 *db, const char *key, const char *value)
{
    const shale_s4_item item = {SHALE_STR(key), SHALE_STR(value), false};
    OK(shale_s4_put(db, &item, 1, &err));
}

static void expect(shale_s4 *db, const char *key, const char *want)
{
    shale_s4_value v = {.owner = NULL};
    if (want == NULL) {
        assert_int_equal(shale_s4_get(&v, db, SHALE_STR(key), NULL), SHALE_NOT_FOUND);
    } else {
        OK(shale_s4_get(&v, db, SHALE_STR(key), &err));
        assert_int_equal(v.value.len, strlen(want));
        assert_memory_equal(v.value.data, want, v.value.len);
    }
    shale_s4_value_release(&v);
    shale_s4_value_release(&v);
}

static void on_value(void *ctx, size_t i, shale_slice value, bool is_bytes)
{
    unsigned *seen = ctx;
    assert_true(i < 2 && value.len == 1 && is_bytes == (i == 1));
    *seen += 1;
}

static void test_writing_and_reading(void **state)
{
    static const char url[] = "memory:///words?name=s4";
    (void)state;
    shale_s4 *db = open_store(url, NULL);
    const shale_s4_item items[] = {{SHALE_STR("a"), SHALE_STR("1"), false},
                                   {SHALE_STR("b"), SHALE_STR("2"), true}};
    const shale_slice keys[] = {SHALE_STR("a"), SHALE_STR("b"), SHALE_STR("none")};
    shale_s4_value v = {.owner = NULL};
    unsigned seen = 0;
    size_t deleted = 9;
    OK(shale_s4_put(db, items, 2, &err));
    OK(shale_s4_put(db, NULL, 0, &err));
    OK(shale_s4_get(&v, db, keys[1], &err));
    assert_true(v.is_bytes && v.value.len == 1);
    shale_s4_value_release(&v);
    OK(shale_s4_get_many(db, keys, 3, on_value, &seen, &err));
    assert_int_equal(seen, 2);
    assert_true(shale_s4_has(db, keys[0]) && !shale_s4_has(db, keys[2]));
    OK(shale_s4_upload(db, true, &err));
    OK(shale_s4_delete(db, keys, 3, &deleted, &err));
    assert_int_equal(deleted, 2);
    expect(db, "a", NULL);
    shale_s4_close(db); /* the deletions are not uploaded */
    db = open_store(url, NULL);
    expect(db, "a", "1");
    shale_s4_close(db);
}

static void test_iterators(void **state)
{
    (void)state;
    shale_s4 *db = open_store("memory:///iter?name=s4", NULL);
    shale_s4_iter *it = NULL;
    shale_s4_item item;
    shale_s4_scan_options how;
    put(db, "k", "v");
    OK(shale_s4_scan(&it, db, NULL, &err));
    OK(shale_s4_next(&item, it, &err));
    assert_true(item.key.len == 1 && item.value.len == 1 && !item.is_bytes);
    assert_int_equal(shale_s4_next(&item, it, &err), SHALE_DONE);
    assert_int_equal(err.code, SHALE_OK);
    shale_s4_iter_close(it);
    shale_s4_scan_options_init(&how, sizeof how);
    how.keys_only = true;
    OK(shale_s4_scan(&it, db, &how, &err));
    OK(shale_s4_next(&item, it, &err));
    assert_true(item.key.len == 1 && item.value.len == 0);
    put(db, "l", "v");
    shale_s4_iter_close(it);
    shale_s4_iter_close(NULL);
    shale_s4_close(db);
}

static void on_file(void *ctx, const char *name, uint64_t bytes)
{
    assert_true(strncmp(name, "data_", 5) == 0 && bytes > 0);
    *(unsigned *)ctx += 1;
}

static void test_tending(void **state)
{
    static const char url[] = "memory:///tend?name=s4";
    char dir[] = "/tmp/shale-s4-api-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    shale_s4 *db = open_store(url, dir);
    shale_s4 *other = open_store(url, NULL);
    shale_s4_stat st = {.struct_size = sizeof st};
    shale_s4_compacted done = {.struct_size = sizeof done};
    shale_s4_rebuilt rebuilt = {.struct_size = sizeof rebuilt};
    shale_store_counts counts = {.struct_size = sizeof counts};
    uint64_t files = 0, bytes = 0;
    unsigned collected = 0;
    put(db, "a", "1");
    OK(shale_s4_flush(db, &err));
    FAILS(shale_s4_download(db, false, NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_compact(&done, db, 0, &err), SHALE_INVALID);
    OK(shale_s4_stat_get(&st, db, true, &err));
    assert_true(st.unsynced_keys == 1 && st.keys == 1 && st.files == 0);
    OK(shale_s4_upload(db, false, &err));
    put(other, "b", "2");
    FAILS(shale_s4_upload(other, true, &err), SHALE_CONFLICT);
    OK(shale_s4_upload(other, false, &err));
    OK(shale_s4_refresh(db, &err));
    expect(db, "b", "2");
    OK(shale_s4_download(db, false, &files, &bytes, &err));
    assert_true(files == 1 && bytes > 0); /* its own it has */
    OK(shale_s4_compact(&done, db, SHALE_S4_GRACE_MS, &err));
    assert_true(done.keys == 2 && done.files_deleted == 1 && done.files_left == 1);
    OK(shale_s4_gc(db, 0, true, on_file, &collected, &err));
    OK(shale_s4_gc(db, 0, false, on_file, &collected, &err));
    OK(shale_s4_gc(db, UINT64_MAX, false, NULL, NULL, &err));
    assert_int_equal(collected, 2);
    OK(shale_s4_rebuild(&rebuilt, db, false, &err));
    assert_true(rebuilt.files >= 1 && rebuilt.damaged == 0);
    OK(shale_s4_upload(db, false, &err));
    OK(shale_s4_stat_get(&st, db, false, &err));
    assert_true(st.keys == 2 && st.missing == 0 && st.index_version == 2);
    shale_s4_store_counts(db, &counts);
    assert_true(counts.put > 3);
    shale_s4_close(db);
    shale_s4_close(other);
    char line[100];
    (void)snprintf(line, sizeof line, "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    shale_s4_options o;
    shale_s4 *db = NULL;
    shale_s4_value v = {.owner = NULL};
    shale_s4_iter *it = NULL;
    shale_s4_item item = {.is_bytes = false};
    shale_s4_stat st = {.struct_size = 0};
    const shale_slice key = SHALE_STR("k");
    FAILS(shale_s4_open(NULL, "memory:", NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_open(&db, NULL, NULL, NULL, &err), SHALE_INVALID);
    shale_s4_options_init(&o, sizeof o);
    o.struct_size = 3;
    FAILS(shale_s4_open(&db, "memory:", NULL, &o, &err), SHALE_INVALID);
    shale_s4_options_init(&o, sizeof o);
    o.format = 3;
    FAILS(shale_s4_open(&db, "memory:", NULL, &o, &err), SHALE_INVALID);
    o.format = 2;
    o.local_dir = "";
    FAILS(shale_s4_open(&db, "memory:", NULL, &o, &err), SHALE_INVALID);
    o.local_dir = NULL;
    o.must_exist = true;
    FAILS(shale_s4_open(&db, "memory:///none?name=s4", NULL, &o, &err), SHALE_NOT_FOUND);
    assert_null(db);
    shale_s4_close(NULL);
    FAILS(shale_s4_put(NULL, &item, 1, &err), SHALE_INVALID);
    FAILS(shale_s4_delete(NULL, &key, 1, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_get(&v, NULL, key, &err), SHALE_INVALID);
    FAILS(shale_s4_get_many(NULL, &key, 1, on_value, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_scan(&it, NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_next(&item, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_flush(NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_upload(NULL, false, &err), SHALE_INVALID);
    FAILS(shale_s4_download(NULL, false, NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_refresh(NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_compact(NULL, NULL, 0, &err), SHALE_INVALID);
    FAILS(shale_s4_rebuild(NULL, NULL, false, &err), SHALE_INVALID);
    FAILS(shale_s4_gc(NULL, 0, false, NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_stat_get(NULL, NULL, false, &err), SHALE_INVALID);
    assert_false(shale_s4_has(NULL, key));
    shale_s4_store_counts(NULL, NULL);
    shale_s4_value_release(NULL);
    db = open_store("memory:///bad?name=s4", NULL);
    FAILS(shale_s4_put(db, NULL, 1, &err), SHALE_INVALID);
    FAILS(shale_s4_get(NULL, db, key, &err), SHALE_INVALID);
    FAILS(shale_s4_get_many(db, &key, 1, NULL, NULL, &err), SHALE_INVALID);
    FAILS(shale_s4_stat_get(&st, db, false, &err), SHALE_INVALID);
    assert_int_equal(shale_s4_put(db, NULL, 1, NULL), SHALE_INVALID);
    shale_s4_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing_and_reading),
        cmocka_unit_test(test_iterators),
        cmocka_unit_test(test_tending),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
