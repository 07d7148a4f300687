/* Goal: a scan by recency gives every version that is there once, newest layers first, and only those of the prefix.
 * Method: databases with rows in every kind of layer, in segments, and at limits of visibility. */
#include "lsm/recency.h"
#include "unit/support_db.h"

/* "LAYER:key=value", "-key", "*key=operand". */
static const char *recent(struct shl_lsm *db, const char *prefix)
{
    static char text[1024];
    struct shl_recency *r;
    struct shl_row row;
    size_t n = 0, layer, last = SIZE_MAX;
    shale_code rc;
    OK(shl_recency_open(db, shl_slice_str(prefix), &(struct shl_lsm_scan){0}, &r, &db_err));
    text[0] = '\0';
    while ((rc = shl_recency_next(r, &row, &layer, &db_err)) == SHALE_OK) {
        bool gone = (row.flags & SHL_ROW_TOMBSTONE) != 0;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s%.*s%s%.*s", n == 0 ? "" : " ",
                              layer != last && last != SIZE_MAX ? "| " : "",
                              gone                               ? "-"
                              : (row.flags & SHL_ROW_MERGE) != 0 ? "*"
                                                                 : "",
                              (int)row.key.len, (const char *)row.key.data, gone ? "" : "=",
                              (int)row.value.len,
                              row.value.len > 0 ? (const char *)row.value.data : "");
        last = layer;
    }
    assert_int_equal(rc, SHALE_DONE);
    assert_int_equal(shl_recency_next(r, &row, &layer, &db_err), SHALE_DONE);
    shl_recency_close(r);
    return text;
}

static void test_layers_come_newest_first(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_open(&b);
    assert_string_equal(recent(b.db, ""), "");
    fill_levels(&b);
    assert_string_equal(recent(b.db, ""), "a=wal c=mem -d g= | f=l0 | b=l0 -c | a=run b=run c=run "
                                          "d=run e=run");
    assert_string_equal(recent(b.db, "c"), "c=mem | -c | c=run");
    assert_string_equal(recent(b.db, "zz"), "");
    put(&b, "a", "newer");
    put(&b, "ab", "1");
    assert_string_equal(recent(b.db, "a"), "a=newer a=wal ab=1 | a=run");
    bench_end(&b);
}

static void test_operands_and_seqs(void **state)
{
    struct bench b;
    struct shl_recency *r;
    struct shl_row row;
    size_t layer;
    (void)state;
    bench_init(&b);
    use_operator(&b, "concat");
    bench_open(&b);
    merge(&b, "m", "1");
    merge(&b, "m", "2");
    assert_string_equal(recent(b.db, "m"), "*m=2 *m=1");
    OK(shl_lsm_flush(b.db, false, &db_err));
    merge(&b, "m", "3"); /* not durable */
    OK(shl_recency_open(b.db, shl_slice_str("m"), &(struct shl_lsm_scan){.remote_only = true}, &r,
                        &db_err));
    merge(&b, "m", "4"); /* later than the scan */
    OK(shl_recency_next(r, &row, &layer, &db_err));
    assert_int_equal(row.seq, 2);
    shl_recency_close(r);
    bench_end(&b);
}

static void test_a_prefix_lies_in_one_segment(void **state)
{
    struct bench b;
    struct shl_recency *r;
    (void)state;
    bench_init(&b);
    assert_true(shl_extractor_parse("slash", &b.settings.segment_extractor));
    bench_open(&b);
    put(&b, "a/1", "1");
    put(&b, "ab/1", "1");
    OK(shl_lsm_flush(b.db, true, &db_err));
    put(&b, "ab/1", "2");
    assert_string_equal(recent(b.db, "ab/"), "ab/1=2 | ab/1=1");
    assert_string_equal(recent(b.db, "ab"), "ab/1=2 | ab/1=1");
    assert_string_equal(recent(b.db, "a/1"), "a/1=1");
    assert_string_equal(recent(b.db, "zz"), "");
    FAILS(shl_recency_open(b.db, shl_slice_str("a"), &(struct shl_lsm_scan){0}, &r, &db_err),
          SHALE_INVALID);
    assert_non_null(strstr(db_err.text, "more than one segment"));
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers_come_newest_first),
        cmocka_unit_test(test_operands_and_seqs),
        cmocka_unit_test(test_a_prefix_lies_in_one_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
