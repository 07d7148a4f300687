/* Goal: the calls of <shale/txn.h> hand arguments and answers through unchanged, and take mistakes as errors.
 * Method: a database in memory. What isolation means is tested in tests/unit/test_txn.c. */
#include <shale/shale.h>

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

static shale_db *open_memory(void)
{
    shale_db *db = NULL;
    shale_options *o = shale_options_new();
    assert_non_null(o);
    ok(shale_options_set(o, "merge_operator", "concat", &err));
    ok(shale_db_open(&db, "memory:", o, &err));
    shale_options_free(o);
    return db;
}

static void expect(shale_pinned *found, const char *value)
{
    assert_int_equal(found->value.len, strlen(value));
    assert_memory_equal(found->value.data, value, found->value.len);
    shale_pinned_release(found);
}

static size_t count_rows(shale_iter *it)
{
    shale_row row;
    size_t n = 0;
    while (shale_iter_next(&row, it, &err) == SHALE_OK)
        n++;
    shale_iter_close(it);
    return n;
}

static void test_snapshots(void **state)
{
    (void)state;
    shale_db *db = open_memory();
    shale_snapshot *s = NULL;
    shale_pinned found[2] = {0};
    shale_code codes[2];
    shale_iter *it = NULL;
    char text[8];
    size_t len;
    const shale_slice keys[] = {SHALE_STR("b"), SHALE_STR("a")};
    ok(shale_db_put(db, keys[1], SHALE_STR("1"), NULL, &err));
    ok(shale_db_snapshot(&s, db, &err));
    assert_int_equal(shale_snapshot_seq(s), 1);
    ok(shale_db_put(db, keys[1], SHALE_STR("2"), NULL, &err));
    ok(shale_db_put(db, keys[0], SHALE_STR("2"), NULL, &err));
    ok(shale_snapshot_get(&found[0], s, keys[1], NULL, &err));
    expect(&found[0], "1");
    assert_int_equal(shale_snapshot_get(&found[0], s, keys[0], NULL, &err), SHALE_NOT_FOUND);
    assert_string_equal(err.text, "");
    ok(shale_snapshot_get_many(found, codes, s, keys, 2, NULL, &err));
    assert_int_equal(codes[0], SHALE_NOT_FOUND);
    expect(&found[1], "1");
    ok(shale_snapshot_get_into(s, keys[1], text, sizeof text, &len, NULL, &err));
    assert_int_equal(len, 1);
    ok(shale_snapshot_scan(&it, s, shale_range_all(), NULL, &err));
    assert_int_equal(count_rows(it), 1);
    shale_snapshot_close(s);
    shale_snapshot_close(NULL);
    ok(shale_db_close(db, &err));
}

static void test_transactions(void **state)
{
    (void)state;
    shale_db *db = open_memory();
    shale_txn *t = NULL, *other = NULL;
    shale_pinned found[2] = {0};
    shale_code codes[2];
    shale_iter *it = NULL;
    shale_write_result result = {0};
    shale_write_options how;
    shale_txn_options isolation;
    char id[SHALE_UUID_TEXT];
    const shale_slice a = SHALE_STR("a"), b = SHALE_STR("b"), keys[] = {a, b};
    shale_write_options_init(&how, sizeof how);
    how.result = &result;
    shale_txn_options_init(&isolation, sizeof isolation);
    assert_int_equal(isolation.isolation, SHALE_ISOLATION_SNAPSHOT);
    ok(shale_db_put(db, a, SHALE_STR("0"), NULL, &err));
    ok(shale_db_begin(&t, db, NULL, &err));
    assert_int_equal(shale_txn_seq(t), 1);
    shale_txn_id(t, id);
    assert_int_equal(strlen(id), SHALE_UUID_TEXT - 1);
    shale_txn_id(NULL, id);
    assert_string_equal(id, "");
    ok(shale_txn_merge(t, a, SHALE_STR("1"), &err));
    ok(shale_txn_merge_ttl(t, a, SHALE_STR("2"), SHALE_TTL_DEFAULT, 0, &err));
    ok(shale_txn_put_ttl(t, b, SHALE_STR("b"), SHALE_TTL_AT_MS, INT64_MAX, &err));
    ok(shale_txn_put(t, SHALE_STR("c"), SHALE_STR("c"), &err));
    ok(shale_txn_delete(t, SHALE_STR("c"), &err));
    ok(shale_txn_get(&found[0], t, a, NULL, &err));
    assert_true(found[0].seq == UINT64_MAX);
    expect(&found[0], "012");
    ok(shale_txn_get_many(found, codes, t, keys, 2, NULL, &err));
    assert_true(found[1].seq == UINT64_MAX && found[1].create_ts == 0);
    expect(&found[0], "012");
    expect(&found[1], "b");
    assert_int_equal(shale_txn_get(&found[0], t, SHALE_STR("c"), NULL, &err), SHALE_NOT_FOUND);
    ok(shale_txn_scan(&it, t, shale_range_all(), NULL, &err));
    assert_int_equal(count_rows(it), 2);
    ok(shale_txn_commit(t, &how, &err));
    assert_int_equal(result.seq, 2);
    shale_txn_close(t);
    ok(shale_db_get(&found[0], db, b, NULL, &err));
    assert_true(found[0].has_expire_ts && found[0].expire_ts == INT64_MAX && found[0].seq == 2);
    expect(&found[0], "b");

    isolation.isolation = SHALE_ISOLATION_SERIALIZABLE;
    ok(shale_db_begin(&t, db, &isolation, &err));
    ok(shale_db_begin(&other, db, &isolation, &err));
    ok(shale_txn_mark_read(t, a, &err));
    ok(shale_txn_put(t, b, SHALE_STR("1"), &err));
    ok(shale_txn_unmark_write(t, b, &err));
    ok(shale_txn_put(other, a, SHALE_STR("1"), &err));
    ok(shale_txn_commit(other, NULL, &err));
    assert_int_equal(shale_txn_commit(t, NULL, &err), SHALE_CONFLICT);
    assert_int_equal(shale_txn_put(t, b, SHALE_STR("1"), &err), SHALE_INVALID);
    shale_txn_close(t);
    shale_txn_close(other);
    ok(shale_db_begin(&t, db, NULL, &err));
    ok(shale_txn_put(t, b, SHALE_STR("1"), &err));
    shale_txn_rollback(t);
    assert_int_equal(shale_txn_commit(t, NULL, &err), SHALE_INVALID);
    shale_txn_close(t);
    ok(shale_db_close(db, &err));
}

static void test_mistakes(void **state)
{
    (void)state;
    shale_db *db = open_memory();
    shale_txn *t = NULL;
    shale_snapshot *s = NULL;
    shale_iter *it = NULL;
    shale_pinned found = {0};
    shale_txn_options isolation;
    const shale_slice a = SHALE_STR("a");
    assert_int_equal(shale_db_begin(NULL, db, NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_db_begin(&t, NULL, NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_db_snapshot(NULL, db, NULL), SHALE_INVALID);
    assert_int_equal(shale_db_snapshot(&s, NULL, NULL), SHALE_INVALID);
    shale_txn_options_init(&isolation, sizeof isolation);
    isolation.isolation = (shale_isolation)7;
    assert_int_equal(shale_db_begin(&t, db, &isolation, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "isolation is 7"));
    assert_int_equal(shale_txn_get(&found, NULL, a, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_txn_put(NULL, a, a, &err), SHALE_INVALID);
    assert_int_equal(shale_txn_scan(&it, NULL, shale_range_all(), NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_txn_commit(NULL, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_snapshot_get(&found, NULL, a, NULL, &err), SHALE_INVALID);
    ok(shale_db_begin(&t, db, NULL, &err));
    assert_int_equal(shale_txn_put(t, SHALE_STR(""), a, &err), SHALE_INVALID);
    assert_int_equal(shale_txn_put_ttl(t, a, a, (shale_ttl_kind)9, 0, &err), SHALE_INVALID);
    shale_txn_close(t);
    shale_txn_close(NULL);
    shale_txn_rollback(NULL);
    ok(shale_db_close(db, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
