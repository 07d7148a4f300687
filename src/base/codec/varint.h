/* Unsigned LEB128 of 32-bit numbers: 7 bits a byte, low group first; at most 5 bytes. */
#ifndef SHL_CODEC_VARINT_H
#define SHL_CODEC_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define SHL_VARINT32_MAX 5

/* Writes at most SHL_VARINT32_MAX bytes; returns how many. */
static inline size_t shl_varint32_put(uint8_t *dst, uint32_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        dst[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    dst[n++] = (uint8_t)v;
    return n;
}

static inline size_t shl_varint32_len(uint32_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

/* Reads from [p, end); returns the byte after it, or NULL if it is cut short, longer than 5 bytes or above 2^32-1. */
static inline const uint8_t *shl_varint32_get(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift <= 28 && p < end; shift += 7) {
        uint32_t b = *p++;
        if (shift == 28 && b > 0x0f)
            return NULL;
        v |= (b & 0x7f) << shift;
        if (b < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

#endif
