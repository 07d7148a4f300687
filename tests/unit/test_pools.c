/* Goal: memory that is used again: chunks of memtables, pieces of SSTs. Each is given once, no more is kept than was said, a trim frees what nobody asked
 * for, and what is given back after the owner has closed is freed.
 * Method: tables and buffers of a pool; the addresses tell; the sanitizers see what is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lsm/memtable/memtable.h"
#include "lsm/memtable/memtable_arena.h"
#include "lsm/piece_pool.h"

#define CHUNK ((size_t)2 << 20)

static shale_error err;

/* A table of about `bytes` in memory, with one row per KiB. */
static struct shl_memtable *table_of(struct shl_mem_pool *pool, size_t bytes)
{
    static uint8_t value[1024];
    struct shl_memtable *t;
    assert_int_equal(shl_memtable_new(pool, &t, &err), SHALE_OK);
    for (uint64_t i = 1; shl_memtable_arena_bytes(t) < bytes; i++) {
        struct shl_row row = {.key = shl_slice_of(&i, sizeof i),
                              .value = shl_slice_of(value, sizeof value),
                              .seq = i};
        assert_int_equal(shl_memtable_reserve(t, 1, sizeof i + sizeof value, &err), SHALE_OK);
        (void)shl_memtable_add(t, &row);
    }
    return t;
}

static const struct shl_mem_entry *get(struct shl_memtable *t, uint64_t i)
{
    return shl_memtable_get(t, shl_slice_of(&i, sizeof i), UINT64_MAX);
}

static void test_a_table_uses_the_chunks_of_the_one_before(void **state)
{
    (void)state;
    struct shl_mem_pool *pool;
    assert_int_equal(shl_mem_pool_new(3 * CHUNK, &pool, &err), SHALE_OK);
    struct shl_memtable *first = table_of(pool, 5 * CHUNK);
    shl_memtable_unref(first);
    struct shl_memtable *second = table_of(pool, 5 * CHUNK);
    assert_non_null(get(second, 1));
    for (uint64_t i = 1; i < 4 * CHUNK / 1200; i++)
        assert_int_equal(get(second, i)->seq, i);
    shl_mem_pool_close(pool); /* the table lives longer, and with it the pool */
    for (uint64_t i = 1; i < 4 * CHUNK / 1200; i++)
        assert_int_equal(get(second, i)->seq, i);
    shl_memtable_unref(second);
}

static void test_chunks_are_given_once_and_trimmed(void **state)
{
    (void)state;
    struct shl_mem_pool *pool;
    struct shl_mem_arena a[3];
    void *of_first, *of_second, *again;
    assert_int_equal(shl_mem_pool_new(CHUNK, &pool, &err), SHALE_OK);
    for (int i = 0; i < 3; i++)
        shl_mem_arena_init(&a[i], pool);
    for (int i = 0; i < 2; i++) { /* the third chunk of an arena is a large one */
        assert_int_equal(shl_mem_arena_reserve(&a[i], 60000, &err), SHALE_OK);
        (void)shl_mem_arena_take(&a[i], 60000, 16);
        assert_int_equal(shl_mem_arena_reserve(&a[i], 1000000, &err), SHALE_OK);
        (void)shl_mem_arena_take(&a[i], 1000000, 16);
        assert_int_equal(shl_mem_arena_reserve(&a[i], 1500000, &err), SHALE_OK);
    }
    of_first = shl_mem_arena_take(&a[0], 1500000, 16);
    of_second = shl_mem_arena_take(&a[1], 1500000, 16);
    assert_ptr_not_equal(of_first, of_second);
    shl_mem_arena_free(&a[0]);
    shl_mem_arena_free(&a[1]); /* no room for its chunk */
    assert_int_equal(shl_mem_arena_reserve(&a[2], 60000, &err), SHALE_OK);
    (void)shl_mem_arena_take(&a[2], 60000, 16);
    assert_int_equal(shl_mem_arena_reserve(&a[2], 1000000, &err), SHALE_OK);
    (void)shl_mem_arena_take(&a[2], 1000000, 16);
    assert_int_equal(shl_mem_arena_reserve(&a[2], 1500000, &err), SHALE_OK);
    again = shl_mem_arena_take(&a[2], 1500000, 16);
    assert_ptr_equal(again, of_first);
    shl_mem_arena_free(&a[2]);
    shl_mem_pool_trim(pool); /* one was taken */
    shl_mem_pool_trim(pool);
    shl_mem_pool_close(pool);
}

static void test_pieces_are_given_once_and_bounded(void **state)
{
    (void)state;
    struct shl_piece_pool *pool;
    struct shl_buf a, b, small, large;
    assert_int_equal(shl_piece_pool_new(SHL_PIECE_BYTES, &pool, &err), SHALE_OK);
    a = shl_piece_pool_take(pool);
    b = shl_piece_pool_take(NULL);
    small = (struct shl_buf){0};
    large = (struct shl_buf){0};
    assert_null(a.data);
    assert_int_equal(shl_buf_reserve(&a, SHL_PIECE_BYTES, &err), SHALE_OK);
    assert_int_equal(shl_buf_reserve(&b, SHL_PIECE_BYTES, &err), SHALE_OK);
    assert_int_equal(shl_buf_reserve(&small, 100, &err), SHALE_OK);
    assert_int_equal(shl_buf_reserve(&large, 3 * SHL_PIECE_BYTES, &err), SHALE_OK);
    const uint8_t *of_a = a.data;
    size_t cap = a.cap;
    shl_piece_pool_give(pool, &large); /* not of the usual size: freed */
    shl_piece_pool_give(pool, &small);
    shl_piece_pool_give(pool, &a);
    shl_piece_pool_give(pool, &b); /* no room */
    assert_null(a.data);
    a = shl_piece_pool_take(pool);
    if (cap == SHL_PIECE_BYTES) { /* else it was too large for this pool */
        assert_ptr_equal(a.data, of_a);
        assert_int_equal(a.cap, cap);
    }
    assert_int_equal(a.len, 0);
    b = shl_piece_pool_take(pool);
    assert_null(b.data);
    shl_piece_pool_give(pool, &a);
    shl_piece_pool_trim(pool);
    shl_piece_pool_trim(pool);
    a = shl_piece_pool_take(pool);
    assert_null(a.data);
    shl_piece_pool_give(NULL, &a);
    shl_piece_pool_free(pool);
    shl_piece_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_uses_the_chunks_of_the_one_before),
        cmocka_unit_test(test_chunks_are_given_once_and_trimmed),
        cmocka_unit_test(test_pieces_are_given_once_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
