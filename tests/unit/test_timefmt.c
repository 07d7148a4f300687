/* Goal: times as text, exactly, and nothing else read as a time. Method: tables, the calendar against days counted one by one,
 * every cut of good texts. */
#include "base/codec/timefmt.h"

#include "base/env/env.h"
#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define S INT64_C(1000000000)

static void test_written(void **state)
{
    (void)state;
    static const struct {
        int64_t unix_ms;
        const char *rfc3339, *http, *amz;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "19700101T000000Z"},
        {1768465800000, "2026-01-15T08:30:00Z", "Thu, 15 Jan 2026 08:30:00 GMT",
         "20260115T083000Z"},
        {1768465800007, "2026-01-15T08:30:00.007Z", "Thu, 15 Jan 2026 08:30:00 GMT",
         "20260115T083000Z"},
        {784111777000, "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT", "19941106T084937Z"},
        {951782400000, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT", "20000229T000000Z"},
        {4107542399999, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 GMT",
         "21000228T235959Z"},
        {4107542400000, "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT",
         "21000301T000000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT",
         "99991231T235959Z"},
        {-1, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "19700101T000000Z"},
        {INT64_MIN, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", "19700101T000000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT",
         "99991231T235959Z"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        char text[SHL_TIME_TEXT];
        assert_string_equal(shl_time_rfc3339(cases[i].unix_ms, text), cases[i].rfc3339);
        assert_string_equal(shl_time_http(cases[i].unix_ms, text), cases[i].http);
        assert_string_equal(shl_time_amz(cases[i].unix_ms, text), cases[i].amz);
    }
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The days are counted one by one here, and read back (what nanoseconds cannot say, as the largest). */
static void test_every_day_of_the_calendar(void **state)
{
    (void)state;
    static const char names[] = "ThuFriSatSunMonTueWed";
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = 0;
    for (int year = 1970; year <= 9999; year++) {
        for (int month = 1; month <= 12; month++) {
            int length = lengths[month - 1] + (month == 2 && is_leap(year));
            for (int day = 1; day <= length; day++, days++) {
                bool is_end = day == 1 || day == length; /* where mistakes are */
                if (!is_end && year > 2110)
                    continue;
                char text[SHL_TIME_TEXT], want[SHL_TIME_TEXT];
                (void)snprintf(want, sizeof want, "%04d%02d%02dT000000Z", year, month, day);
                assert_string_equal(shl_time_amz(days * 86400000, text), want);
                assert_memory_equal(shl_time_http(days * 86400000, text), names + days % 7 * 3, 3);
                int64_t ns, want_ns;
                if (__builtin_mul_overflow(days, 86400 * S, &want_ns))
                    want_ns = INT64_MAX;
                assert_true(shl_time_parse_http(shl_slice_str(text), &ns));
                assert_true(ns == want_ns);
                assert_true(shl_time_parse_rfc3339(
                    shl_slice_str(shl_time_rfc3339(days * 86400000, text)), &ns));
                assert_true(ns == want_ns);
            }
        }
    }
}

static void test_rfc3339_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_ns; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-15T08:30:00.000Z", 1768465800 * S},
        {"2026-01-15t08:30:00z", 1768465800 * S},
        {"2026-01-15 08:30:00Z", 1768465800 * S},
        {"2026-01-15T10:00:00+01:30", 1768465800 * S},
        {"2026-01-14T23:30:00-09:00", 1768465800 * S},
        {"2026-01-15T08:30:00-00:00", 1768465800 * S},
        {"2026-01-15T08:30:00.5Z", 1768465800 * S + S / 2},
        {"2026-01-15T08:30:00.123456789Z", 1768465800 * S + 123456789},
        {"2026-01-15T08:30:00.1234567899999999999999999999Z", 1768465800 * S + 123456789},
        {"2016-12-31T23:59:60Z", 1483228800 * S},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
        {"2262-04-11T23:47:16.854775806Z", INT64_MAX - 1},
        {"9999-12-31T23:59:59Z", INT64_MAX},
        {"", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"1970-01-01T00:30:00+01:00", -1},
        {"0000-01-01T00:00:00Z", -1},
        {"2026-01-15", -1},
        {"2026-01-15T08:30:00", -1},
        {"2026-01-15T08:30Z", -1},
        {"2026-01-15T08:30:00.Z", -1},
        {"2026-01-15T08:30:00,5Z", -1},
        {"2026-01-15T08:30:00Z ", -1},
        {" 2026-01-15T08:30:00Z", -1},
        {"2026-01-15T08:30:00ZZ", -1},
        {"2026-01-15_08:30:00Z", -1},
        {"2026-00-15T08:30:00Z", -1},
        {"2026-13-15T08:30:00Z", -1},
        {"2026-01-00T08:30:00Z", -1},
        {"2026-02-29T08:30:00Z", -1},
        {"2024-02-29T08:30:00Z", 1709195400 * S},
        {"2026-04-31T08:30:00Z", -1},
        {"2026-01-15T24:00:00Z", -1},
        {"2026-01-15T08:60:00Z", -1},
        {"2026-01-15T08:30:61Z", -1},
        {"2026-01-15T08:30:00+24:00", -1},
        {"2026-01-15T08:30:00+01:60", -1},
        {"2026-01-15T08:30:00+0100", -1},
        {"2026-01-15T08:30:00+1:00", -1},
        {"2026-1-15T08:30:00Z", -1},
        {"+026-01-15T08:30:00Z", -1},
        {"20260115T083000Z", -1},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        int64_t ns = -1;
        bool ok = shl_time_parse_rfc3339(shl_slice_str(cases[i].text), &ns);
        if (ok != (cases[i].unix_ns >= 0) || ns != cases[i].unix_ns)
            fail_msg("\"%s\": %d, %lld", cases[i].text, ok, (long long)ns);
    }
}

static void test_http_dates_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_s; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 06 08:49:37 1994", 784111777},
        {"Thu Jan 15 08:30:00 2026", 1768465800},
        {"Thursday, 15-Jan-26 08:30:00 GMT", 1768465800},
        {"Thursday, 01-Jan-70 00:00:00 GMT", 0},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777}, /* a wrong day does no harm */
        {"", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"sun, 06 nov 1994 08:49:37 gmt", -1},
        {"Son, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 94 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1969 08:49:37 GMT", -1},
        {"Sun, 06-Nov-94 08:49:37 GMT", -1},
        {"Sunday, 06-Nov-1994 08:49:37 GMT", -1},
        {"Sun Nov 6 08:49:37 1994", -1},
        {"Sun Nov   08:49:37 1994", -1},
        {"Sun Nov  6 08:49:37 1994 GMT", -1},
        {"1994-11-06T08:49:37Z", -1},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        int64_t ns = -1;
        int64_t want = cases[i].unix_s < 0 ? -1 : cases[i].unix_s * S;
        bool ok = shl_time_parse_http(shl_slice_str(cases[i].text), &ns);
        if (ok != (want >= 0) || ns != want)
            fail_msg("\"%s\": %d, %lld", cases[i].text, ok, (long long)ns);
    }
}

/* No cut is a time; a copy that ends where the text does lets the sanitizer see a byte read behind it. */
static void test_cuts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "2026-01-15T08:30:00.5+01:00", "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        for (size_t len = 0; len < strlen(texts[i]); len++) {
            uint8_t *copy = env_alloc(len);
            int64_t ns;
            assert_non_null(copy);
            memcpy(copy, texts[i], len);
            if (shl_time_parse_rfc3339(shl_slice_of(copy, len), &ns) ||
                shl_time_parse_http(shl_slice_of(copy, len), &ns))
                fail_msg("%zu bytes of \"%s\"", len, texts[i]);
            env_free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written),          cmocka_unit_test(test_every_day_of_the_calendar),
        cmocka_unit_test(test_rfc3339_read),     cmocka_unit_test(test_http_dates_read),
        cmocka_unit_test(test_cuts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
