/* SipHash-1-3 with the zero key: one round per 8-byte word, three at the end (slatedb-format 2.6). */
#include "base/hash.h"

#include <string.h>

struct sip_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t load_little_endian(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline void sip_round(struct sip_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_word(struct sip_state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* The last 0..7 bytes, low byte first, below the length's low byte. */
static inline uint64_t sip_tail(const uint8_t *p, size_t rest, size_t len)
{
    uint64_t word = (uint64_t)len << 56;
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t shl_siphash13(const void *data, size_t len)
{
    /* The initial values are the ASCII text "somepseudorandomlygeneratedbytes". */
    struct sip_state s = {
        .v0 = UINT64_C(0x736f6d6570736575),
        .v1 = UINT64_C(0x646f72616e646f6d),
        .v2 = UINT64_C(0x6c7967656e657261),
        .v3 = UINT64_C(0x7465646279746573),
    };
    const uint8_t *p = data;
    size_t rest = len;
    for (; rest >= 8; rest -= 8, p += 8)
        sip_word(&s, load_little_endian(p));
    sip_word(&s, sip_tail(p, rest, len));
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
