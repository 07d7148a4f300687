/* Goal: sizes, durations, percentages, yes/no read as documented and written so that they read back. Method: tables; a round trip
 * over seeded numbers (seed printed). */
#include "base/units.h"

#include "base/env/env.h"
#include "base/num.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define SEC UINT64_C(1000000000)

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } cases[] = {
        {"4096", true, 4096},
        {"0", true, 0},
        {"10MiB", true, 10485760},
        {"10M", true, 10485760},
        {"10MB", true, 10000000},
        {"10mb", true, 10000000},
        {"1k", true, 1024},
        {"7B", true, 7},
        {"1.5GiB", true, 1610612736},
        {"64.0 MiB", true, 67108864},
        {"0.1kb", true, 100},
        {"15EiB", true, UINT64_C(15) << 60},
        {"16EiB", false, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"MiB", false, 0},
        {"10XB", false, 0},
        {"-1", false, 0},
        {"1.MiB", false, 0},
        {"1.0000000001K", false, 0},
        {"1 2", false, 0},
        {"1KiBs", false, 0},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint64_t v = 0;
        shale_error err;
        shale_code rc = shl_parse_size(shl_slice_str(cases[i].text), &v, &err);
        if ((rc == SHALE_OK) != cases[i].ok || (rc == SHALE_OK && v != cases[i].bytes))
            fail_msg("\"%s\": %d %" PRIu64, cases[i].text, (int)rc, v);
        if (rc != SHALE_OK)
            assert_int_equal(rc, SHALE_INVALID);
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool bare;
        bool ok;
        uint64_t ns;
    } cases[] = {
        {"100ms", false, true, 100000000},
        {"30s", false, true, 30 * SEC},
        {"5m", false, true, 300 * SEC},
        {"1h30m", false, true, 5400 * SEC},
        {"1h 30m", false, true, 5400 * SEC},
        {"7d", false, true, 7 * 86400 * SEC},
        {"1s+500ms", false, true, 1500000000},
        {"1.5s", false, true, 1500000000},
        {"250us", false, true, 250000},
        {"7ns", false, true, 7},
        {"2w", false, true, 14 * 86400 * SEC},
        {"5", true, true, 5 * SEC},
        {"0", true, true, 0},
        {"1.5", true, true, 1500000000},
        {"5", false, false, 0},
        {"1h30", true, false, 0},
        {"", true, false, 0},
        {"ms", true, false, 0},
        {"-5s", true, false, 0},
        {"5s+", true, false, 0},
        {"5s++5s", true, false, 0},
        {"+5s", true, false, 0},
        {"5 parsecs", true, false, 0},
        {"600000000000h", true, false, 0},
        {"18446744073709551615ns", false, true, UINT64_MAX},
        {"18446744073709551615ns1ns", false, false, 0},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint64_t v = 0;
        shale_error err;
        shale_code rc = shl_parse_duration(shl_slice_str(cases[i].text), cases[i].bare, &v, &err);
        if ((rc == SHALE_OK) != cases[i].ok || (rc == SHALE_OK && v != cases[i].ns))
            fail_msg("\"%s\": %d %" PRIu64, cases[i].text, (int)rc, v);
    }
    uint64_t v;
    shale_error err;
    assert_int_equal(shl_parse_duration(shl_slice_str("5"), false, &v, &err), SHALE_INVALID);
    assert_string_equal(err.text, "\"5\": 5 what? write 5s or 5ms");
}

static void test_formats(void **state)
{
    (void)state;
    char t[SHL_UNITS_TEXT];
    assert_string_equal(shl_format_size(0, t), "0 B");
    assert_string_equal(shl_format_size(1023, t), "1023 B");
    assert_string_equal(shl_format_size(1024, t), "1.00 KiB");
    assert_string_equal(shl_format_size(67108864, t), "64.0 MiB");
    assert_string_equal(shl_format_size(1024 * 1024 - 1, t), "1.00 MiB");
    assert_string_equal(shl_format_size(UINT64_MAX, t), "16.0 EiB");
    assert_string_equal(shl_format_size_exact(67108864, t), "64MiB");
    assert_string_equal(shl_format_size_exact(1000, t), "1000");
    assert_string_equal(shl_format_size_exact(1536, t), "1536");
    assert_string_equal(shl_format_size_exact(0, t), "0");
    assert_string_equal(shl_format_duration(0, t), "0s");
    assert_string_equal(shl_format_duration(1500000000, t), "1s+500ms");
    assert_string_equal(shl_format_duration(100000000, t), "100ms");
    assert_string_equal(shl_format_duration(300 * SEC, t), "300s");
    assert_string_equal(shl_format_duration(250007, t), "250us+7ns");
    assert_string_equal(shl_format_duration_human(17, t), "17ns");
    assert_string_equal(shl_format_duration_human(12300000, t), "12.3ms");
    assert_string_equal(shl_format_duration_human(1500000000, t), "1.50s");
    assert_string_equal(shl_format_duration_human(300 * SEC, t), "5m");
    assert_string_equal(shl_format_duration_human(5400 * SEC, t), "1h 30m");
    assert_string_equal(shl_format_duration_human(86400 * SEC + 7200 * SEC, t), "1d 2h");
    assert_string_equal(shl_format_percent(0.123, t), "12.3 %");
}

static void test_percent_and_bool(void **state)
{
    (void)state;
    double v;
    bool yes;
    shale_error err;
    assert_int_equal(shl_parse_percent(shl_slice_str("10%"), &v, &err), SHALE_OK);
    assert_true(v > 0.0999 && v < 0.1001);
    assert_int_equal(shl_parse_percent(shl_slice_str("100.0 %"), &v, &err), SHALE_OK);
    static const char *const bad[] = {"", "%", "10", "101%", "-1%", "x%"};
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++)
        assert_int_equal(shl_parse_percent(shl_slice_str(bad[i]), &v, &err), SHALE_INVALID);
    assert_true(shl_parse_bool(shl_slice_str("Yes"), &yes) && yes);
    assert_true(shl_parse_bool(shl_slice_str("off"), &yes) && !yes);
    assert_false(shl_parse_bool(shl_slice_str("maybe"), &yes));
    assert_false(shl_parse_bool(shl_slice_str(""), &yes));
}

static void test_exact_forms_read_back(void **state)
{
    (void)state;
    uint64_t seed = env_rand64();
    printf("seed %" PRIu64 "\n", seed);
    uint64_t x = seed | 1;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t v = x >> (x & 63), back = 0;
        char t[SHL_UNITS_TEXT];
        shale_error err;
        assert_int_equal(shl_parse_size(shl_slice_str(shl_format_size_exact(v, t)), &back, &err),
                         SHALE_OK);
        assert_int_equal(back, v);
        assert_int_equal(
            shl_parse_duration(shl_slice_str(shl_format_duration(v, t)), false, &back, &err),
            SHALE_OK);
        assert_int_equal(back, v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_percent_and_bool),
        cmocka_unit_test(test_exact_forms_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
