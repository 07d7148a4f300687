/* Goal: one CRC-32 whatever the CPU. Method: the check value, zlib as oracle, every length and alignment around the folds' borders. */
#include "base/codec/crc32.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>
#include <cmocka.h>

static uint8_t bytes[6000];

static int fill(void **state)
{
    (void)state;
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return 0;
}

static void test_check_value(void **state)
{
    (void)state;
    assert_int_equal(shl_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(shl_crc32_plain(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(shl_crc32(NULL, 0), 0);
}

static void test_agrees_with_zlib_at_every_length_and_alignment(void **state)
{
    (void)state;
    for (size_t len = 0; len < 5000; len += len < 400 ? 1 : 97) {
        for (size_t at = 0; at < 17; at++) {
            uint32_t want = (uint32_t)crc32(0, bytes + at, (uInt)len);
            if (shl_crc32(bytes + at, len) != want || shl_crc32_plain(0, bytes + at, len) != want)
                fail_msg("len %zu at %zu", len, at);
        }
    }
}

static void test_extending_is_the_same_as_at_once(void **state)
{
    (void)state;
    uint32_t whole = shl_crc32(bytes, 500);
    for (size_t cut = 0; cut <= 500; cut++)
        assert_int_equal(shl_crc32_extend(shl_crc32(bytes, cut), bytes + cut, 500 - cut), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_value),
        cmocka_unit_test(test_agrees_with_zlib_at_every_length_and_alignment),
        cmocka_unit_test(test_extending_is_the_same_as_at_once),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
