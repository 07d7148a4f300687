/* Goal: the calls of <shale/wal.h> hand changes through unchanged, wait as long as they were told, and take mistakes as errors.
 * Method: a database in memory with a name, and a follower beside it. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

#define URL "memory://?name=wal-api"

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

static bool count_objects(void *ctx, uint64_t id, uint64_t bytes)
{
    unsigned *n = ctx;
    assert_true((id == 1) == (bytes == 0)); /* the first is a fence */
    return ++*n < 2;
}

static void test_a_follower(void **state)
{
    (void)state;
    shale_db *db = NULL;
    shale_wal *wal = NULL;
    shale_wal_batch b;
    shale_batch *batch = shale_batch_new();
    unsigned count = 0;
    shale_db_status status = {.struct_size = sizeof status};
    ok(shale_db_open(&db, URL, NULL, &err));
    ok(shale_wal_open(&wal, URL, NULL, &err));
    shale_batch_put_ttl(batch, SHALE_STR("a"), SHALE_STR("1"), SHALE_TTL_AT_MS, INT64_MAX);
    shale_batch_delete(batch, SHALE_STR("b"));
    ok(shale_db_write(db, batch, NULL, &err));
    shale_batch_free(batch);
    ok(shale_db_put(db, SHALE_STR("c"), SHALE_STR(""), NULL, &err));
    ok(shale_wal_next(&b, wal, 0, 0, &err));
    assert_int_equal(b.id, 1);
    assert_int_equal(b.count, 0);
    ok(shale_wal_next(&b, wal, 0, 0, &err));
    assert_int_equal(b.id, 2);
    assert_int_equal(b.count, 2);
    assert_int_equal(b.rows[0].kind, SHALE_ROW_PUT);
    assert_int_equal(b.rows[1].kind, SHALE_ROW_DELETE);
    assert_int_equal(b.rows[0].seq, b.rows[1].seq);
    assert_true(b.rows[0].has_expire_ts && b.rows[0].expire_ts == INT64_MAX);
    assert_true(b.rows[0].has_create_ts && b.rows[0].create_ts > 0);
    assert_memory_equal(b.rows[0].value.data, "1", 1);
    assert_memory_equal(b.rows[1].key.data, "b", 1);
    ok(shale_wal_next(&b, wal, 0, 0, &err));
    assert_int_equal(b.count, 1);
    assert_int_equal(b.rows[0].value.len, 0);
    assert_int_equal(shale_wal_next(&b, wal, 3, 1, &err), SHALE_DONE);
    ok(shale_wal_read(&b, wal, 2, &err));
    assert_int_equal(b.count, 2);
    assert_int_equal(shale_wal_read(&b, wal, 99, &err), SHALE_NOT_FOUND);
    ok(shale_wal_list(wal, 0, count_objects, &count, &err));
    assert_int_equal(count, 2);
    shale_db_status_get(db, &status);
    ok(shale_wal_seek(wal, status.last_wal_id, &err));
    ok(shale_wal_next(&b, wal, 0, 0, &err));
    assert_int_equal(b.id, status.last_wal_id);
    shale_wal_close(wal);
    ok(shale_db_close(db, &err));
}

static void test_a_scan_by_recency(void **state)
{
    shale_db *db = NULL;
    shale_recency *it = NULL;
    shale_raw_row row;
    shale_scan_options how;
    size_t layer = 9;
    (void)state;
    ok(shale_db_open(&db, "memory:", NULL, &err));
    ok(shale_db_put(db, SHALE_STR("a"), SHALE_STR("1"), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    ok(shale_db_delete(db, SHALE_STR("a"), NULL, &err));
    ok(shale_db_scan_by_recency(&it, db, SHALE_STR("a"), NULL, &err));
    ok(shale_recency_next(&row, &layer, it, &err));
    assert_int_equal(row.kind, SHALE_ROW_DELETE);
    assert_int_equal(layer, 0);
    ok(shale_recency_next(&row, NULL, it, &err));
    assert_int_equal(row.kind, SHALE_ROW_PUT);
    assert_int_equal(row.seq, 1);
    assert_memory_equal(row.value.data, "1", 1);
    assert_int_equal(shale_recency_next(&row, &layer, it, &err), SHALE_DONE);
    shale_recency_close(it);
    shale_recency_close(NULL);
    shale_scan_options_init(&how, sizeof how);
    how.reverse = true;
    assert_int_equal(shale_db_scan_by_recency(&it, db, SHALE_STR("a"), &how, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "reverse cannot be given"));
    assert_int_equal(shale_db_scan_by_recency(NULL, db, SHALE_STR("a"), NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_recency_next(&row, &layer, NULL, NULL), SHALE_INVALID);
    ok(shale_db_close(db, &err));
}

static void test_mistakes(void **state)
{
    (void)state;
    shale_wal *wal = NULL;
    shale_wal_batch b;
    assert_int_equal(shale_wal_open(&wal, "memory://?name=nobody", NULL, &err), SHALE_NOT_FOUND);
    assert_int_equal(shale_wal_open(NULL, URL, NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_wal_next(&b, NULL, 0, 0, NULL), SHALE_INVALID);
    assert_int_equal(shale_wal_read(&b, NULL, 1, NULL), SHALE_INVALID);
    assert_int_equal(shale_wal_seek(NULL, 1, NULL), SHALE_INVALID);
    assert_int_equal(shale_wal_list(NULL, 1, NULL, NULL, NULL), SHALE_INVALID);
    shale_wal_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_follower),
        cmocka_unit_test(test_a_scan_by_recency),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
