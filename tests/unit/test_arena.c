/* Goal: arena pieces are aligned, apart, and counted. Method: fill many pieces of seeded sizes and read them back. */
#include "base/arena.h"

#include "base/env/env.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define PIECES 6000

static void test_pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    uint64_t seed = env_rand64();
    printf("seed %" PRIu64 "\n", seed);
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    struct shl_arena a = {0};
    uint64_t x = seed | 1;
    for (size_t i = 0; i < PIECES; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sizes[i] = x % 100 == 0 ? x / 100 % 300000 : x / 100 % 700;
        size_t align = (size_t)1 << (x >> 40 & 6);
        pieces[i] = shl_arena_alloc(&a, sizes[i], align);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] & (align - 1), 0);
        memset(pieces[i], (int)(i & 0xff), sizes[i]);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < PIECES; i++) {
        sum += sizes[i];
        for (size_t k = 0; k < sizes[i]; k++) {
            if (pieces[i][k] != (uint8_t)i)
                fail_msg("piece %zu byte %zu", i, k);
        }
    }
    assert_true(a.used_bytes >= sum);
    assert_true(a.taken_bytes >= a.used_bytes);
    assert_true(a.regular_count >= 3);
    shl_arena_deinit(&a);
    assert_null(a.chunks);
    assert_int_equal(a.taken_bytes, 0);
}

static void test_large_piece_leaves_the_chunk_in_use(void **state)
{
    (void)state;
    struct shl_arena a = {0};
    uint8_t *first = shl_arena_alloc(&a, 16, 16);
    assert_non_null(first);
    assert_non_null(shl_arena_alloc(&a, (size_t)10 << 20, 64));
    uint8_t *second = shl_arena_alloc(&a, 16, 16);
    assert_ptr_equal(second, first + 16);
    assert_int_equal(a.regular_count, 1);
    assert_null(shl_arena_alloc(&a, SIZE_MAX, 1));
    shl_arena_deinit(&a);
}

static void test_dup_and_empty_arena(void **state)
{
    (void)state;
    struct shl_arena a = {0};
    shl_arena_deinit(&a);
    assert_string_equal(shl_arena_dup(&a, shl_slice_str("name")), "name");
    assert_string_equal(shl_arena_dup(&a, shl_slice_of(NULL, 0)), "");
    shl_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(test_large_piece_leaves_the_chunk_in_use),
        cmocka_unit_test(test_dup_and_empty_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
