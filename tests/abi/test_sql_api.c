/* Goal: the public functions of sql do what their header says, with NULLs and short structs, on plain sqlite3 handles. Method: each once, over memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <shale/shale.h>
#include <sqlite3.h>

static shale_error err;

#define URL "memory:///db?name=sqlapi"

static shale_code run(void *ctx, sqlite3 *db, shale_error *e)
{
    (void)e;
    return sqlite3_exec(db, ctx, NULL, NULL, NULL) == SQLITE_OK ? SHALE_OK : SHALE_INVALID;
}

static shale_code count(void *ctx, sqlite3 *db, shale_error *e)
{
    sqlite3_stmt *q = NULL;
    (void)e;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        *(int *)ctx = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return SHALE_OK;
}

static bool on_change(void *ctx, const shale_sql_change *change)
{
    int *seen = ctx;
    ++*seen;
    assert_int_equal(change->column_count, 2);
    assert_int_equal(change->op, SHALE_SQL_INSERT);
    assert_null(change->old_values);
    assert_int_equal(change->new_values[0].type, SHALE_SQL_INTEGER);
    assert_int_equal(change->key_places[0], 1);
    return true;
}

static bool on_entry(void *ctx, const shale_sql_entry *entry)
{
    assert_true(entry->seq > 0);
    assert_int_equal(shale_sql_changes_each(entry->changeset, on_change, ctx, &err), SHALE_OK);
    return true;
}

static void test_each_function(void **state)
{
    (void)state;
    char create[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
         insert[] = "INSERT INTO t VALUES(1, 'a'), (2, 'b')";
    const shale_sql_migration first = {.version = 1, .name = "t", .up = run, .ctx = create};
    shale_sql_options how;
    shale_sql *sql = NULL;
    shale_sql_commit commit = {.struct_size = sizeof commit};
    shale_sql_status status = {.struct_size = sizeof status};
    shale_sql_gc_report gc = {.struct_size = sizeof gc};
    shale_store_counts n = {.struct_size = sizeof n};
    int rows = 0, seen = 0;
    shale_sql_options_init(&how, sizeof how);
    assert_int_equal(how.max_retries, 10);
    how.migrations = &first;
    how.migration_count = 1;
    assert_int_equal(shale_sql_open(&sql, URL, NULL, &how, &err), SHALE_OK);
    assert_int_equal(shale_sql_update(sql, run, insert, &commit, &err), SHALE_OK);
    assert_true(commit.changed && commit.seq == 1 && commit.tries == 1);
    assert_int_equal(shale_sql_view(sql, count, &rows, NULL), SHALE_OK);
    assert_int_equal(rows, 2);
    assert_int_equal(shale_sql_log(sql, 0, true, true, on_entry, &seen, &err), SHALE_OK);
    assert_int_equal(seen, 2);
    assert_int_equal(shale_sql_compact(sql, &err), SHALE_OK);
    assert_int_equal(shale_sql_gc(sql, true, &gc, &err), SHALE_OK);
    assert_int_equal(shale_sql_status_get(sql, true, &status, &err), SHALE_OK);
    assert_true(status.seq == 1 && status.schema_version == 1 && status.log_entries == 0);
    shale_sql_store_counts(sql, &n);
    assert_true(n.put >= 4 && n.get > 0);
    shale_sql_close(sql);
    assert_int_equal(shale_sql_create(URL, NULL, NULL, &err), SHALE_ALREADY_EXISTS);
    how.migrations = NULL;
    assert_int_equal(shale_sql_open(&sql, URL, NULL, &how, &err), SHALE_INVALID);
    how.migration_count = 0;
    assert_int_equal(shale_sql_open(&sql, URL, NULL, &how, &err),
                     SHALE_CONFLICT); /* another schema */
    how.schema_unchecked = true;
    how.struct_size = offsetof(shale_sql_options, compress_snapshots); /* a caller of before */
    assert_int_equal(shale_sql_open(&sql, URL, NULL, &how, &err), SHALE_OK);
    shale_sql_close(sql);
}

static void test_mistakes_are_told(void **state)
{
    (void)state;
    shale_sql *sql = NULL;
    shale_sql_options how;
    shale_sql_options_init(&how, sizeof how);
    how.must_exist = true;
    assert_int_equal(shale_sql_open(NULL, URL, NULL, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_sql_open(&sql, NULL, NULL, NULL, NULL), SHALE_INVALID);
    assert_int_equal(shale_sql_open(&sql, "memory:///none?name=sqlapi", NULL, &how, &err),
                     SHALE_NOT_FOUND);
    assert_int_equal(shale_sql_view(NULL, count, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_sql_pull(URL, NULL, NULL, NULL, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_sql_changes_each(shale_bytes("x", 1), on_change, NULL, &err),
                     SHALE_CORRUPTION);
    shale_sql_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_function),
                                       cmocka_unit_test(test_mistakes_are_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
