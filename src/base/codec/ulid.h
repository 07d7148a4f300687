/* ULID (128 bits: 48-bit Unix milliseconds, 80 random bits; text: 26 characters Crockford base32) and UUID v4. */
#ifndef SHL_CODEC_ULID_H
#define SHL_CODEC_ULID_H

#include "base/bytes.h"

#define SHL_ULID_MS_MAX                                                                            \
    ((UINT64_C(1) << 48) - 1) /* the last moment that one tells, in the year 10889 */
#define SHL_ULID_TEXT 27      /* 26 characters and NUL */
#define SHL_UUID_TEXT 37      /* 36 characters and NUL */

/* hi = bits 127..64, lo = bits 63..0. Also used for UUIDs (hi = first 8 bytes read big-endian). */
struct shl_ulid {
    uint64_t hi;
    uint64_t lo;
};

static inline int shl_ulid_cmp(struct shl_ulid a, struct shl_ulid b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo ? 1 : 0;
}

static inline bool shl_ulid_eq(struct shl_ulid a, struct shl_ulid b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* Milliseconds since the Unix epoch. */
static inline uint64_t shl_ulid_time_ms(struct shl_ulid u)
{
    return u.hi >> 16;
}

/* From parts: ms < 2^48; rand_hi's low 16 bits and rand_lo fill the random part. Pure. */
struct shl_ulid shl_ulid_make(uint64_t ms, uint64_t rand_hi, uint64_t rand_lo);

/* Upper case, NUL-terminated. */
void shl_ulid_format(struct shl_ulid u, char out[SHL_ULID_TEXT]);
/* Exactly 26 characters, either case; false if it is none. */
SHL_MUST bool shl_ulid_parse(struct shl_slice text, struct shl_ulid *out);

/* UUID v4 from 128 random bits (version and variant bits are set). Pure. */
struct shl_ulid shl_uuid_make(uint64_t rand_hi, uint64_t rand_lo);
void shl_uuid_format(struct shl_ulid u, char out[SHL_UUID_TEXT]); /* lower case with dashes */
SHL_MUST bool shl_uuid_parse(struct shl_slice text, struct shl_ulid *out);

#endif
