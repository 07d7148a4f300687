/* Checked arithmetic on sizes that come from outside, and small helpers. */
#ifndef SHL_BASE_NUM_H
#define SHL_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* True and *out on success; false if the result does not fit. */
static inline bool shl_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool shl_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool shl_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline size_t shl_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t shl_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}
static inline uint64_t shl_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t shl_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline int64_t shl_max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* `align` is a power of two. */
static inline size_t shl_align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

#endif
