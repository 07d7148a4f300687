/* Fixed-width numbers at any alignment, by memcpy. Big-endian for SlateDB's framing, little-endian for FlatBuffers. */
#ifndef SHL_CODEC_ENDIAN_H
#define SHL_CODEC_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define SHL_TO_BE16(x) __builtin_bswap16(x)
#define SHL_TO_BE32(x) __builtin_bswap32(x)
#define SHL_TO_BE64(x) __builtin_bswap64(x)
#define SHL_TO_LE16(x) (x)
#define SHL_TO_LE32(x) (x)
#define SHL_TO_LE64(x) (x)
#else
#define SHL_TO_BE16(x) (x)
#define SHL_TO_BE32(x) (x)
#define SHL_TO_BE64(x) (x)
#define SHL_TO_LE16(x) __builtin_bswap16(x)
#define SHL_TO_LE32(x) __builtin_bswap32(x)
#define SHL_TO_LE64(x) __builtin_bswap64(x)
#endif

#define SHL_ENDIAN_PAIR(bits, suffix, conv)                                                        \
    static inline uint##bits##_t shl_load_##suffix(const void *p)                                  \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof v);                                                                   \
        return conv(v);                                                                            \
    }                                                                                              \
    static inline void shl_store_##suffix(void *p, uint##bits##_t v)                               \
    {                                                                                              \
        v = conv(v);                                                                               \
        memcpy(p, &v, sizeof v);                                                                   \
    }

SHL_ENDIAN_PAIR(16, u16be, SHL_TO_BE16) /* shl_load_u16be, shl_store_u16be */
SHL_ENDIAN_PAIR(32, u32be, SHL_TO_BE32)
SHL_ENDIAN_PAIR(64, u64be, SHL_TO_BE64)
SHL_ENDIAN_PAIR(16, u16le, SHL_TO_LE16)
SHL_ENDIAN_PAIR(32, u32le, SHL_TO_LE32)
SHL_ENDIAN_PAIR(64, u64le, SHL_TO_LE64)

#endif
