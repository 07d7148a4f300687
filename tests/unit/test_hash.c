/* Goal: SipHash-1-3 with the zero key as SlateDB's filters have it. Method: vectors out of SlateDB's files (slatedb-format 2.6), and
 * every length against a word-by-word restatement of the algorithm. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_vectors_of_slatedb_files(void **state)
{
    (void)state;
    assert_int_equal(shl_siphash13("apple", 5), UINT64_C(0xe4305d08716d0e44));
    assert_int_equal(shl_siphash13("banana", 6), UINT64_C(0x7dac5b89b00bb584));
}

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
    }
}

static uint64_t oracle(const uint8_t *p, size_t len)
{
    uint64_t v[4] = {UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d),
                     UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)};
    uint8_t padded[80] = {0};
    memcpy(padded, p, len);
    size_t words = len / 8 + 1;
    padded[words * 8 - 1] = (uint8_t)len;
    for (size_t w = 0; w < words; w++) {
        uint64_t m = 0;
        for (size_t i = 0; i < 8; i++)
            m |= (uint64_t)padded[w * 8 + i] << (8 * i);
        v[3] ^= m;
        rounds(v, 1);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    rounds(v, 3);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void test_every_length_and_alignment(void **state)
{
    (void)state;
    uint8_t bytes[80];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + 200);
    for (size_t len = 0; len <= 64; len++) {
        for (size_t at = 0; at < 8; at++)
            assert_int_equal(shl_siphash13(bytes + at, len), oracle(bytes + at, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_slatedb_files),
        cmocka_unit_test(test_every_length_and_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
