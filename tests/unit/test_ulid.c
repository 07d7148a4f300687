/* Goal: ULIDs and UUIDs as text, both ways, byte-exact. Method: the example of slatedb-format 0, borders, and texts that are none. */
#include "base/codec/ulid.h"

#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_example_both_ways(void **state)
{
    (void)state;
    struct shl_ulid u;
    char text[SHL_ULID_TEXT];
    assert_true(shl_ulid_parse(shl_slice_str("01M7WY3E4EBN6K5PQZCS87KSFV"), &u));
    assert_int_equal(u.hi, UINT64_C(0x01a1f9e1b88e5d4d));
    assert_int_equal(u.lo, UINT64_C(0x32daff665079e5fb));
    assert_int_equal(shl_ulid_time_ms(u), UINT64_C(1795193682062));
    shl_ulid_format(u, text);
    assert_string_equal(text, "01M7WY3E4EBN6K5PQZCS87KSFV");
    assert_true(shl_ulid_parse(shl_slice_str("01m7wy3e4ebn6k5pqzcs87ksfv"), &u));
    assert_int_equal(u.lo, UINT64_C(0x32daff665079e5fb));
}

static void test_largest_and_smallest(void **state)
{
    (void)state;
    struct shl_ulid u = {UINT64_MAX, UINT64_MAX};
    char text[SHL_ULID_TEXT];
    shl_ulid_format(u, text);
    assert_string_equal(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_true(shl_ulid_parse(shl_slice_str(text), &u));
    assert_true(u.hi == UINT64_MAX && u.lo == UINT64_MAX);
    shl_ulid_format((struct shl_ulid){0, 0}, text);
    assert_string_equal(text, "00000000000000000000000000");
}

static void test_what_is_no_ulid(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "01M7WY3E4EBN6K5PQZCS87KSF",
                                      "01M7WY3E4EBN6K5PQZCS87KSFVV",
                                      "81M7WY3E4EBN6K5PQZCS87KSFV",
                                      "01M7WY3E4EBN6K5PQZCS87KSFU",
                                      "01M7WY3E4EBN6K5PQZCS87KS-V",
                                      "01I7WY3E4EBN6K5PQZCS87KSFV"};
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++) {
        struct shl_ulid u = {1, 2};
        if (shl_ulid_parse(shl_slice_str(bad[i]), &u) || u.hi != 1 || u.lo != 2)
            fail_msg("%s", bad[i]);
    }
    struct shl_ulid u;
    assert_false(shl_ulid_parse(shl_slice_of("0000000000000\0000000000000", 26), &u));
}

static void test_make_puts_time_first(void **state)
{
    (void)state;
    struct shl_ulid u = shl_ulid_make((UINT64_C(1) << 48) - 1, UINT64_MAX, 5);
    assert_true(u.hi == UINT64_MAX && u.lo == 5);
    u = shl_ulid_make(1, UINT64_C(0xabcd1234), 0);
    assert_int_equal(u.hi, UINT64_C(0x11234));
    assert_true(shl_ulid_cmp(shl_ulid_make(1, 0xffff, UINT64_MAX), shl_ulid_make(2, 0, 0)) < 0);
}

static void test_uuid_version_and_text(void **state)
{
    (void)state;
    struct shl_ulid u = shl_uuid_make(0, 0);
    char text[SHL_UUID_TEXT];
    shl_uuid_format(u, text);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
    shl_uuid_format(shl_uuid_make(UINT64_MAX, UINT64_MAX), text);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_true(shl_uuid_parse(shl_slice_str("01234567-89AB-4def-8123-456789abcdef"), &u));
    assert_int_equal(u.hi, UINT64_C(0x0123456789ab4def));
    assert_int_equal(u.lo, UINT64_C(0x8123456789abcdef));
    static const char *const bad[] = {
        "", "0123456789ab4def8123456789abcdef", "01234567-89AB-4def-8123-456789abcdeg",
        "01234567x89AB-4def-8123-456789abcdef", "01234567-89AB-4def-8123-456789abcde"};
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++)
        assert_false(shl_uuid_parse(shl_slice_str(bad[i]), &u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_both_ways),     cmocka_unit_test(test_largest_and_smallest),
        cmocka_unit_test(test_what_is_no_ulid),       cmocka_unit_test(test_make_puts_time_first),
        cmocka_unit_test(test_uuid_version_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
