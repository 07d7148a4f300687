/* Goal: strict numbers, text building, and suggestions that help. Method: tables of valid, invalid and just-beyond texts. */
#include "base/str.h"

#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_u64_and_i64_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool u64_ok, i64_ok;
        uint64_t u64;
        int64_t i64;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"007", true, true, 7, 7},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999", false, false, 0, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, UINT64_C(1) << 63, 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"-5", false, true, 0, -5},
        {"", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"--5", false, false, 0, 0},
        {"+5", false, false, 0, 0},
        {" 5", false, false, 0, 0},
        {"5 ", false, false, 0, 0},
        {"5x", false, false, 0, 0},
        {"0x10", false, false, 0, 0},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint64_t u = 0;
        int64_t s = 0;
        if (shl_parse_u64(shl_slice_str(cases[i].text), &u) != cases[i].u64_ok ||
            u != cases[i].u64 ||
            shl_parse_i64(shl_slice_str(cases[i].text), &s) != cases[i].i64_ok || s != cases[i].i64)
            fail_msg("\"%s\"", cases[i].text);
    }
}

static void test_f64_takes_numbers_only(void **state)
{
    (void)state;
    static const char *const good[] = {"0", "-1.5", "+2", "4.0", "1e3", "1.25E-2"};
    static const char *const bad[] = {"",      ".5", "5.", "1e",    "inf", "nan",
                                      "0x1p3", " 1", "1 ", "1e999", "--1", "1.2.3"};
    double v;
    for (size_t i = 0; i < SHL_COUNT_OF(good); i++) {
        if (!shl_parse_f64(shl_slice_str(good[i]), &v) || v < strtod(good[i], NULL) ||
            v > strtod(good[i], NULL))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++) {
        if (shl_parse_f64(shl_slice_str(bad[i]), &v))
            fail_msg("%s", bad[i]);
    }
}

static void test_f64_text_is_short_and_exact(void **state)
{
    (void)state;
    char text[SHL_F64_TEXT];
    assert_string_equal(shl_f64_text(0.1, text), "0.1");
    assert_string_equal(shl_f64_text(4, text), "4");
    assert_string_equal(shl_f64_text(1e300, text), "1e+300");
    double third = 1.0 / 3, back;
    assert_true(shl_parse_f64(shl_slice_str(shl_f64_text(third, text)), &back));
    assert_memory_equal(&third, &back, sizeof back);
}

static void test_printf_appends(void **state)
{
    (void)state;
    struct shl_buf b = {0};
    shale_error err;
    for (int i = 0; i < 300; i++)
        assert_int_equal(shl_str_printf(&b, &err, "%03d;", i), SHALE_OK);
    assert_int_equal(b.len, 1200);
    assert_memory_equal(b.data + 1196, "299;", 4);
    assert_int_equal(shl_str_append(&b, "end", &err), SHALE_OK);
    assert_int_equal(shl_str_terminate(&b, &err), SHALE_OK);
    assert_int_equal(b.len, 1203);
    assert_string_equal((const char *)b.data + 1196, "299;end");
    shl_buf_free(&b);
}

static void test_case_and_trim(void **state)
{
    (void)state;
    assert_true(shl_str_ieq("ZStd", "zsTD"));
    assert_false(shl_str_ieq("zstd", "zst"));
    assert_false(shl_str_ieq("zst", "zstd"));
    assert_false(shl_str_ieq("[", "{")); /* 32 apart, but no letters */
    assert_true(shl_slice_eq(shl_slice_trim(shl_slice_str(" \t a b\r\n")), shl_slice_str("a b")));
    assert_int_equal(shl_slice_trim(shl_slice_str(" \n ")).len, 0);
}

static void test_distance_counts_edits_and_swaps(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t max, want;
    } cases[] = {
        {"", "", 3, 0},
        {"abc", "abc", 0, 0},
        {"abc", "abd", 3, 1},
        {"abc", "ab", 3, 1},
        {"ab", "abc", 3, 1},
        {"limt", "limit", 3, 1},
        {"ab", "ba", 3, 1},
        {"acb", "abc", 1, 1},
        {"kitten", "sitting", 5, 3},
        {"kitten", "sitting", 2, 3},
        {"ABC", "abc", 3, 0},
        {"abcdefgh", "xyz", 2, 3},
        {"xabcd", "xbadc", 4, 2},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        size_t d =
            shl_str_distance(shl_slice_str(cases[i].a), shl_slice_str(cases[i].b), cases[i].max);
        if (d != cases[i].want)
            fail_msg("%s %s max %zu: %zu", cases[i].a, cases[i].b, cases[i].max, d);
    }
    char longer[SHL_DISTANCE_LEN_MAX + 2] = {0};
    memset(longer, 'a', sizeof longer - 1);
    assert_int_equal(shl_str_distance(shl_slice_str(longer), shl_slice_str(longer), 5), 6);
    assert_int_equal(shl_str_distance(shl_slice_str(longer + 1), shl_slice_str(longer + 1), 5), 0);
}

static const char *const names[] = {"flush_interval", "l0_sst_size_bytes", "l0_max_ssts",
                                    "l0_max_ssts_per_key", "wal_enabled"};

static const char *name_at(const void *ctx, size_t i)
{
    (void)ctx;
    return names[i];
}

static void test_suggestions(void **state)
{
    (void)state;
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"l0_sst_size", "l0_sst_size_bytes"},
        {"flush_intervall", "flush_interval"},
        {"lfush_interval", "flush_interval"},
        {"wal", NULL},
        {"interval", "flush_interval"},
        {"zzzzzz", NULL},
        {"", NULL},
        {"L0_MAX_SSTS", "l0_max_ssts"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        const char *got =
            shl_str_suggest(shl_slice_str(cases[i].word), SHL_COUNT_OF(names), name_at, NULL);
        if (got == NULL ? cases[i].want != NULL
                        : cases[i].want == NULL || strcmp(got, cases[i].want) != 0)
            fail_msg("%s: %s", cases[i].word, got != NULL ? got : "(none)");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64_and_i64_are_strict),
        cmocka_unit_test(test_f64_takes_numbers_only),
        cmocka_unit_test(test_f64_text_is_short_and_exact),
        cmocka_unit_test(test_printf_appends),
        cmocka_unit_test(test_case_and_trim),
        cmocka_unit_test(test_distance_counts_edits_and_swaps),
        cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
