/* Goal: a follower gets every change once, in order, as it becomes durable, and hears of what it missed.
 * Method: on the bench of support_db, beside a writer that is flushed by hand, taken over, and whose WAL is collected. */
#include "lsm/tail.h"
#include "unit/support_db.h"

static struct shl_tail *tail_of(struct bench *b)
{
    struct shl_tail *t;
    const struct shl_tail_open how = {
        .store = b->store, .wal_store = b->wal_store, .path = "dir/db"};
    OK(shl_tail_new(&how, &t, &db_err));
    return t;
}

/* What the next object holds: "ID: +key=value -key *key=operand". */
static const char *next(struct shl_tail *t)
{
    static char text[512];
    struct shl_wal_file f;
    uint64_t id;
    shale_code rc = shl_tail_next(t, &id, &f, &db_err);
    if (rc != SHALE_OK)
        return rc == SHALE_DONE ? "done" : shale_code_name(rc);
    size_t n = (size_t)snprintf(text, sizeof text, "%d:", (int)id);
    for (size_t i = 0; i < f.count; i++) {
        bool gone = (f.rows[i].flags & SHL_ROW_TOMBSTONE) != 0;
        n += (size_t)snprintf(text + n, sizeof text - n, " %s%.*s%s%.*s",
                              gone                                     ? "-"
                              : (f.rows[i].flags & SHL_ROW_MERGE) != 0 ? "*"
                                                                       : "+",
                              (int)f.rows[i].key.len, (const char *)f.rows[i].key.data,
                              gone ? "" : "=", (int)f.rows[i].value.len,
                              f.rows[i].value.len > 0 ? (const char *)f.rows[i].value.data : "");
    }
    shl_wal_file_deinit(&f);
    return text;
}

static void test_changes_come_in_order_when_they_are_durable(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    struct shl_tail *t = tail_of(&b);
    assert_string_equal(next(t), "1:"); /* the fence of the writer */
    assert_string_equal(next(t), "done");
    put(&b, "a", "1");
    put(&b, "a", "2");
    assert_string_equal(next(t), "done"); /* not durable */
    OK(shl_lsm_flush(b.db, false, &db_err));
    del(&b, "b");
    merge(&b, "m", "3");
    OK(shl_lsm_flush(b.db, false, &db_err));
    assert_string_equal(next(t), "2: +a=1 +a=2");
    assert_string_equal(next(t), "3: -b *m=3");
    assert_string_equal(next(t), "done");
    OK(shl_lsm_flush(b.db, true,
                     &db_err)); /* what is in SSTables stays in the WAL until it is collected */
    bench_crash(&b);
    put(&b, "c", "4");
    OK(shl_lsm_flush(b.db, false, &db_err));
    assert_string_equal(next(t), "4:");
    assert_string_equal(next(t), "5: +c=4");
    OK(shl_tail_seek(t, 2, &db_err));
    assert_string_equal(next(t), "2: +a=1 +a=2");
    OK(shl_tail_seek(t, 0, &db_err));
    assert_string_equal(next(t), "4:"); /* all before it is in L0 */
    shl_tail_free(t);
    bench_end(&b);
}

static void remove_wal(struct bench *b, uint64_t id)
{
    char key[64];
    snprintf(key, sizeof key, "dir/db/wal/%020d.sst", (int)id);
    OK(shl_store_delete(b->store, key, &db_err));
}

static void test_what_was_collected_is_told(void **state)
{
    struct bench b;
    struct shl_wal_file f;
    shl_wal_items items = {0};
    (void)state;
    bench_init(&b);
    bench_open(&b);
    for (int i = 0; i < 3; i++) {
        put(&b, "a", "1");
        OK(shl_lsm_flush(b.db, false, &db_err));
    }
    OK(shl_lsm_flush(b.db, true, &db_err));
    struct shl_tail *t = tail_of(&b);
    remove_wal(&b, 2);
    OK(shl_tail_seek(t, 2, &db_err));
    assert_string_equal(next(t), "CORRUPTION");
    assert_non_null(strstr(db_err.text, "WAL truncated: object 2 was collected"));
    assert_non_null(strstr(db_err.text, "behind it is 3"));
    FAILS(shl_tail_read(t, 2, &f, &db_err), SHALE_NOT_FOUND);
    OK(shl_tail_list(t, 2, &items, &db_err));
    assert_int_equal(items.count, 2);
    assert_int_equal(items.items[0].id, 3);
    shl_array_free(&items);
    remove_wal(&b, 3);
    assert_string_equal(next(t), "CORRUPTION");
    assert_non_null(strstr(db_err.text, "behind it is 4"));
    remove_wal(&b, 4); /* the boundary's: no collector takes it */
    assert_string_equal(next(t), "CORRUPTION");
    assert_non_null(strstr(db_err.text, "is the WAL in another store (wal_url)?"));
    OK(shl_tail_seek(t, 5, &db_err));
    assert_string_equal(next(t), "done");
    shl_tail_free(t);
    bench_end(&b);
}

static void test_a_follower_opens_what_is_there_and_nothing_else(void **state)
{
    struct bench b;
    struct shl_tail *t;
    (void)state;
    bench_init(&b);
    const struct shl_tail_open how = {.store = b.store, .path = "dir/db"};
    FAILS(shl_tail_new(&how, &t, &db_err), SHALE_NOT_FOUND);
    OK(shl_store_memory_new(&b.wal_store, &db_err));
    bench_open(&b);
    put(&b, "a", "1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    t = tail_of(&b);
    assert_string_equal(next(t), "1:");
    assert_string_equal(next(t), "2: +a=1");
    shl_tail_free(t);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_come_in_order_when_they_are_durable),
        cmocka_unit_test(test_what_was_collected_is_told),
        cmocka_unit_test(test_a_follower_opens_what_is_there_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
