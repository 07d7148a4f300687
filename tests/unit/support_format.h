/* For tests of formats: bytes from hex text, seeded chance, and every way to damage a small example. */
#ifndef SUPPORT_FORMAT_H
#define SUPPORT_FORMAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bytes.h"

/* Digits two by two; blanks and '|' are skipped, "text" between quotes stands for its characters. Freed by the caller. */
static inline struct shl_buf format_hex(const char *text)
{
    struct shl_buf out = {0};
    shale_error err;
    bool quoted = false;
    for (const char *p = text; *p != '\0'; p++) {
        uint8_t byte = (uint8_t)*p;
        if (*p == '"') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && (*p == ' ' || *p == '|'))
            continue;
        if (!quoted) {
            char pair[3] = {p[0], p[1], '\0'};
            char *end = NULL;
            byte = (uint8_t)strtoul(pair, &end, 16);
            assert_ptr_equal(end, pair + 2);
            p++;
        }
        assert_int_equal(shl_buf_append(&out, &byte, 1, &err), SHALE_OK);
    }
    return out;
}

static inline void format_expect_bytes(const char *what, struct shl_slice got,
                                       struct shl_slice want)
{
    if (!shl_slice_eq(got, want)) {
        print_error("%s: %zu bytes, want %zu\n got:", what, got.len, want.len);
        for (size_t i = 0; i < got.len; i++)
            print_error("%02x", got.data[i]);
        print_error("\nwant:");
        for (size_t i = 0; i < want.len; i++)
            print_error("%02x", want.data[i]);
        print_error("\n");
        fail();
    }
}

static inline void format_expect_hex(const char *what, const struct shl_buf *got,
                                     const char *want_hex)
{
    struct shl_buf want = format_hex(want_hex);
    format_expect_bytes(what, shl_buf_view(got), shl_buf_view(&want));
    shl_buf_free(&want);
}

/* splitmix64 */
static inline uint64_t format_rand(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline size_t format_rand_below(uint64_t *state, size_t bound)
{
    return (size_t)(format_rand(state) % bound);
}

/* The seed of this run, printed: SHALE_TEST_SEED, or the fixed one. */
static inline uint64_t format_seed(void)
{
    const char *text = getenv("SHALE_TEST_SEED");
    uint64_t seed = text == NULL ? 20260101 : strtoull(text, NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return seed;
}

/* Calls `decode` with every shorter copy and every copy with one bit changed, each in memory of exactly its size, so that the
 * sanitizers see any read outside. `decode` says whether it was accepted; returns how many were. */
typedef bool (*format_decode)(struct shl_slice bytes, void *ctx);

static inline bool format_try_copy(struct shl_slice bytes, format_decode decode, void *ctx)
{
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    bool accepted = decode(shl_slice_of(copy, bytes.len), ctx);
    free(copy);
    return accepted;
}

static inline size_t format_truncate_all(struct shl_slice bytes, format_decode decode, void *ctx)
{
    size_t accepted = 0;
    for (size_t n = 0; n < bytes.len; n++)
        accepted += format_try_copy(shl_slice_of(bytes.data, n), decode, ctx);
    return accepted;
}

static inline size_t format_flip_all(struct shl_slice bytes, format_decode decode, void *ctx)
{
    size_t accepted = 0;
    uint8_t *copy = malloc(bytes.len);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.len);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        accepted += format_try_copy(shl_slice_of(copy, bytes.len), decode, ctx);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    free(copy);
    return accepted;
}

#endif
