/* Goal: a prefix extractor of the user makes segments and filter prefixes, under its name, and is asked again at every open.
 * Method: databases in memory whose prefixes end at the first digit. */
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

/* Up to the first digit. All keys that begin with something have the same prefix only if the digit is in it. The mark is one of them. */
static bool letters(void *ctx, shale_slice key, bool is_beginning, size_t *len)
{
    unsigned *asked = ctx;
    const char *bytes = key.data;
    asked[is_beginning]++;
    for (size_t i = 0; i < key.len; i++)
        if (bytes[i] >= '0' && bytes[i] <= '9') {
            *len = i + 1;
            return i > 0;
        }
    return false;
}

static shale_options *options_for(shale_prefix_use use, const char *name, void *ctx)
{
    shale_options *o = shale_options_new();
    ok(shale_options_set(o, "min_filter_keys", "1", &err));
    ok(shale_options_set_prefix_extractor(o, use, name, letters, ctx, &err));
    return o;
}

static size_t rows_with(shale_db *db, const char *prefix)
{
    shale_iter *it = NULL;
    shale_row row;
    size_t n = 0;
    ok(shale_db_scan(&it, db, shale_range_prefix(shale_str(prefix)), NULL, &err));
    while (shale_iter_next(&row, it, &err) == SHALE_OK)
        n++;
    shale_iter_close(it);
    return n;
}

static void fill(shale_db *db)
{
    static const char *const keys[] = {"a1", "a2", "bb1", "bb2", "c9"};
    for (size_t i = 0; i < 5; i++)
        ok(shale_db_put(db, shale_str(keys[i]), SHALE_STR("v"), NULL, &err));
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    assert_int_equal(rows_with(db, "bb1"), 1);
    assert_int_equal(rows_with(db, "b"), 2);
    assert_int_equal(rows_with(db, "zz9"), 0);
    assert_int_equal(rows_with(db, ""), 5);
}

static void test_segments(void **state)
{
    static const char url[] = "memory://?name=segments-of-mine";
    unsigned asked[2] = {0};
    shale_db *db = NULL;
    char *text = NULL;
    (void)state;
    shale_options *o = options_for(SHALE_PREFIX_SEGMENTS, "letters", asked);
    ok(shale_db_open(&db, url, o, &err));
    fill(db);
    assert_int_equal(shale_db_put(db, SHALE_STR("9"), SHALE_STR("v"), NULL, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "extractor letters"));
    ok(shale_db_close(db, &err));
    ok(shale_admin_manifest(&text, url, NULL, 0, &err));
    assert_non_null(strstr(text, "\"segment_extractor_name\":\"letters\""));
    shale_text_free(text);
    ok(shale_db_open(&db, url, o, &err)); /* the options may be used again */
    fill(db);
    ok(shale_db_close(db, &err));
    assert_int_equal(shale_db_open(&db, url, NULL, &err), SHALE_INVALID);
    shale_options *other = options_for(SHALE_PREFIX_SEGMENTS, "other", asked);
    assert_int_equal(shale_db_open(&db, url, other, &err), SHALE_INVALID);
    shale_options_free(other);
    shale_options_free(o);
}

/* Up to the last 'x': "ax" and "axbx" are prefixes of each other. */
static bool nested(void *ctx, shale_slice key, bool is_beginning, size_t *len)
{
    const char *bytes = key.data;
    (void)ctx;
    (void)is_beginning;
    for (size_t i = key.len; i > 0; i--)
        if (bytes[i - 1] == 'x') {
            *len = i;
            return true;
        }
    return false;
}

static void test_segments_do_not_lie_in_each_other(void **state)
{
    static const char url[] = "memory://?name=nested-segments";
    static const char *const bad[] = {"axbx1", "a", "axx"};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = shale_options_new();
    ok(shale_options_set_prefix_extractor(o, SHALE_PREFIX_SEGMENTS, "nested", nested, NULL, &err));
    for (int round = 0; round < 3; round++) { /* segments of memtables, then of the manifest */
        ok(shale_db_open(&db, url, o, &err));
        if (round == 0) {
            ok(shale_db_put(db, SHALE_STR("ax1"), SHALE_STR("v"), NULL, &err));
            ok(shale_db_put(db, SHALE_STR("cxcx1"), SHALE_STR("v"), NULL, &err));
        }
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(shale_db_put(db, shale_str(bad[i]), SHALE_STR("v"), NULL, &err),
                             SHALE_INVALID);
        assert_non_null(strstr(err.text, "segments must not lie in each other"));
        assert_int_equal(shale_db_put(db, SHALE_STR("cx1"), SHALE_STR("v"), NULL, &err),
                         SHALE_INVALID);
        shale_batch *batch = shale_batch_new(); /* within one batch, which leaves nothing */
        shale_batch_put(batch, SHALE_STR("dx"), SHALE_STR("v"));
        shale_batch_put(batch, SHALE_STR("dxdx"), SHALE_STR("v"));
        assert_int_equal(shale_db_write(db, batch, NULL, &err), SHALE_INVALID);
        shale_batch_free(batch);
        ok(shale_db_put(db, SHALE_STR("ax2"), SHALE_STR("v"), NULL, &err));
        if (round == 1)
            ok(shale_db_put(db, SHALE_STR("dxdx"), SHALE_STR("v"), NULL, &err));
        assert_int_equal(rows_with(db, ""), round == 0 ? 3 : 4);
        ok(shale_db_close(db, &err));
    }
    shale_options_free(o);
}

/* Restoring opens the database as its writer does: with the prefixes, the merge operator and the filters of the options. */
static shale_code joined(void *ctx, shale_slice key, const shale_slice *existing,
                         shale_slice operand, void (*emit)(void *emit_ctx, shale_slice result),
                         void *emit_ctx)
{
    char both[8];
    size_t len = existing != NULL ? existing->len : 0;
    (void)ctx;
    (void)key;
    if (len > 0)
        memcpy(both, existing->data, len);
    memcpy(both + len, operand.data, operand.len);
    emit(emit_ctx, shale_bytes(both, len + operand.len));
    return SHALE_OK;
}

static void test_restore(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=restore-own";
    unsigned asked[2] = {0};
    shale_options *o = options_for(SHALE_PREFIX_SEGMENTS, "letters", asked);
    shale_checkpoint_options how;
    shale_pinned found = {.seq = 0};
    shale_db *db = NULL;
    shale_options_set_merge_operator(o, joined, NULL);
    shale_checkpoint_options_init(&how, sizeof how);
    how.name = "first";
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("a1"), SHALE_STR("x"), NULL, &err));
    ok(shale_db_checkpoint(NULL, db, &how, &err));
    ok(shale_db_merge(db, SHALE_STR("a1"), SHALE_STR("y"), NULL, &err));
    ok(shale_db_close_with(db, SHALE_CLOSE_WAL, &err));
    ok(shale_restore(NULL, url, o, "first", 0, &err));
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_get(&found, db, SHALE_STR("a1"), NULL, &err));
    assert_int_equal(found.value.len, 1);
    shale_pinned_release(&found);
    ok(shale_db_close(db, &err));
    shale_options_free(o);
}

static void test_filters(void **state)
{
    static const char url[] = "memory://?name=filters-of-mine";
    unsigned asked[2] = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = options_for(SHALE_PREFIX_FILTERS, "letters", asked);
    ok(shale_db_open(&db, url, o, &err));
    shale_options_free(o); /* not needed any more */
    fill(db);
    assert_true(asked[0] >= 5); /* each key that was written */
    assert_true(asked[1] >= 1); /* a prefix scan, once the filter is in memory */
    ok(shale_db_close(db, &err));
    ok(shale_db_open(&db, url, NULL, &err)); /* without it the filters are not used */
    fill(db);
    ok(shale_db_close(db, &err));
}

static void test_names(void **state)
{
    shale_options *o = shale_options_new();
    (void)state;
    assert_int_equal(
        shale_options_set_prefix_extractor(o, SHALE_PREFIX_FILTERS, "", letters, NULL, &err),
        SHALE_INVALID);
    assert_int_equal(
        shale_options_set_prefix_extractor(o, SHALE_PREFIX_FILTERS, NULL, letters, NULL, &err),
        SHALE_INVALID);
    assert_int_equal(shale_options_set_prefix_extractor(o, SHALE_PREFIX_FILTERS,
                                                        "a name of more than thirty-one bytes",
                                                        letters, NULL, &err),
                     SHALE_INVALID);
    assert_int_equal(
        shale_options_set_prefix_extractor(o, (shale_prefix_use)5, "x", letters, NULL, NULL),
        SHALE_INVALID);
    ok(shale_options_set_prefix_extractor(o, SHALE_PREFIX_FILTERS, NULL, NULL, NULL, &err));
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments), cmocka_unit_test(test_segments_do_not_lie_in_each_other),
        cmocka_unit_test(test_restore),  cmocka_unit_test(test_filters),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
