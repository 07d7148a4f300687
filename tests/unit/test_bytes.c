/* Goal: slices compare as SlateDB's keys do; buffers and arrays grow and keep their bytes. Method: tables, and a byte-wise oracle. */
#include "base/bytes.h"

#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_slices_sort_by_bytes_then_length(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *a, *b;
        int sign;
    } cases[] = {{"equal", "abc", "abc", 0},      {"prefix first", "ab", "abc", -1},
                 {"longer last", "abc", "ab", 1}, {"unsigned bytes", "a\xff", "ab", 1},
                 {"empty first", "", "a", -1},    {"both empty", "", "", 0}};
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        int c = shl_slice_cmp(shl_slice_str(cases[i].a), shl_slice_str(cases[i].b));
        if ((c > 0) - (c < 0) != cases[i].sign)
            fail_msg("%s: %d", cases[i].name, c);
        assert_int_equal(shl_slice_eq(shl_slice_str(cases[i].a), shl_slice_str(cases[i].b)),
                         cases[i].sign == 0);
    }
    assert_true(shl_slice_has_prefix(shl_slice_str("abc"), shl_slice_of(NULL, 0)));
    assert_true(shl_slice_has_prefix(shl_slice_str("abc"), shl_slice_str("abc")));
    assert_false(shl_slice_has_prefix(shl_slice_str("ab"), shl_slice_str("abc")));
}

static void test_common_prefix_finds_the_first_difference_everywhere(void **state)
{
    (void)state;
    uint8_t a[40], b[40];
    memset(a, 7, sizeof a);
    for (size_t len = 0; len <= sizeof a; len++) {
        for (size_t at = 0; at <= len; at++) {
            memcpy(b, a, sizeof a);
            if (at < len)
                b[at] = 9;
            assert_int_equal(shl_common_prefix(shl_slice_of(a, len), shl_slice_of(b, len)), at);
            assert_int_equal(shl_common_prefix(shl_slice_of(a, len), shl_slice_of(b, sizeof b)),
                             at < len ? at : len);
        }
    }
}

static void test_buffer_keeps_bytes_while_growing(void **state)
{
    (void)state;
    struct shl_buf b = {0};
    shale_error err;
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t c = (uint8_t)(i * 7);
        assert_int_equal(shl_buf_append(&b, &c, 1, &err), SHALE_OK);
    }
    assert_int_equal(b.len, 10000);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    assert_int_equal(shl_buf_append(&b, NULL, 0, &err), SHALE_OK);
    assert_int_equal(shl_buf_reserve(&b, SIZE_MAX - 5, &err), SHALE_NOMEM);
    assert_int_equal(b.len, 10000);

    assert_int_equal(shl_buf_set(&b, shl_slice_of(b.data + 14, 7), &err),
                     SHALE_OK); /* its own bytes */
    assert_int_equal(b.len, 7);
    assert_int_equal(b.data[0], 14 * 7);
    shl_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    shl_buf_free(&b);

    assert_int_equal(shl_buf_set(&b, shl_slice_of(NULL, 0), &err), SHALE_OK);
    assert_int_equal(b.len, 0);
}

static void test_dup_keeps_inner_nul(void **state)
{
    (void)state;
    char *copy = shl_slice_dup_cstr(shl_slice_of("a\0b", 3));
    assert_memory_equal(copy, "a\0b\0", 4);
    env_free(copy);
    copy = shl_slice_dup_cstr(shl_slice_of(NULL, 0));
    assert_string_equal(copy, "");
    env_free(copy);
}

static void test_array_grows_and_refuses_overflow(void **state)
{
    (void)state;
    SHL_ARRAY(uint64_t) a = {0};
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(shl_array_push(&a, i * i));
    assert_int_equal(a.count, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(a.items[i], i * i);
    size_t cap = a.cap;
    assert_false(shl_array_grow((void *)&a.items, &a.cap, sizeof *a.items, SIZE_MAX / 4));
    assert_int_equal(a.cap, cap);
    shl_array_free(&a);
    assert_null(a.items);
    assert_int_equal(a.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_sort_by_bytes_then_length),
        cmocka_unit_test(test_common_prefix_finds_the_first_difference_everywhere),
        cmocka_unit_test(test_buffer_keeps_bytes_while_growing),
        cmocka_unit_test(test_dup_keeps_inner_nul),
        cmocka_unit_test(test_array_grows_and_refuses_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
