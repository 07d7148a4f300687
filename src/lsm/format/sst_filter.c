/* Filter blocks (slatedb-format 2.6):
 *
 *   composite: u16 BE filters | { u16 BE name_len | name | u64 BE data_len | data } ...      legacy: one payload alone
 *   payload:   u16 BE probes | bit array, bit i = byte[i / 8] & (1 << i % 8)
 *
 * Probes of a 64-bit hash: h = low half mod nbits, d = high half mod nbits; before each further probe d += its number, then
 * h += d, both mod nbits. */
#include "lsm/format/sst.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/hash.h"

#define BLOOM_PROBES_MAX 64                  /* more is answered "maybe" */
#define BLOOM_NBITS_MAX  (UINT64_C(1) << 32) /* positions come from 32-bit halves */
#define PREFETCH_AHEAD   8
#define COUNT_BYTES      2
#define ENTRY_FIXED      (2 + 8)

/* ---------------------------------------------------------------- names */

void shl_filter_policy_name(const struct shl_filter_policy *p, char out[96])
{
    size_t n = 3;
    memcpy(out, "_bf", 3);
    if (p->extractor.kind != SHL_EXTRACT_NONE) {
        size_t len = strlen(p->extractor.name);
        memcpy(out + n, ":p=", 3);
        memcpy(out + n + 3, p->extractor.name, len);
        n += 3 + len;
    }
    if (!p->whole_key) {
        memcpy(out + n, ":wh=0", 5);
        n += 5;
    }
    out[n] = '\0';
}

/* ---------------------------------------------------------------- bits */

/* a mod nbits by one multiplication with the reciprocal ceil(2^64 / nbits); exact for 32-bit a and nbits. */
static uint64_t reduce(uint32_t a, uint64_t nbits, uint64_t reciprocal)
{
    if (nbits > UINT32_MAX)
        return a; /* nbits is a multiple of 8, so at least 2^32 */
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)(reciprocal * a) * nbits) >> 64);
#else
    (void)reciprocal;
    return a % nbits;
#endif
}

static uint64_t reciprocal_of(uint64_t nbits)
{
    return nbits == 0 ? 0 : UINT64_MAX / nbits + 1;
}

struct probe {
    uint64_t h;
    uint64_t d;
};

static struct probe first_probe(uint64_t hash, uint64_t nbits, uint64_t reciprocal)
{
    return (struct probe){.h = reduce((uint32_t)hash, nbits, reciprocal),
                          .d = reduce((uint32_t)(hash >> 32), nbits, reciprocal)};
}

/* From probe i to probe i + 1. SlateDB adds i to d before probe i is used, and d to h after; seen from here, h moves by the d
 * of this probe and the next d grows by i + 1. Subtraction instead of %: only arrays of a few bytes need a second round. */
static void next_probe(struct probe *p, uint64_t i, uint64_t nbits)
{
    p->h += p->d;
    while (p->h >= nbits)
        p->h -= nbits;
    p->d += i + 1;
    while (p->d >= nbits)
        p->d -= nbits;
}

static bool bit_is_set(const uint8_t *bits, uint64_t i)
{
    return (bits[i / 8] >> (i % 8)) & 1;
}

uint64_t shl_filter_hash(struct shl_slice key)
{
    return shl_siphash13(key.data, key.len);
}

const uint8_t *shl_bloom_first_line(const struct shl_bloom *b, uint64_t hash)
{
    if (!b->present || b->nbits == 0)
        return NULL;
    return b->bits + reduce((uint32_t)hash, b->nbits, b->reciprocal) / 8;
}

bool shl_bloom_begin(const struct shl_bloom *b, uint64_t hash, struct shl_bloom_bits *out)
{
    out->count = 0;
    if (!b->present || b->nbits == 0 || b->probes > SHL_BLOOM_BITS_MAX)
        return shl_bloom_first_bit(b, hash);
    struct probe p = first_probe(hash, b->nbits, b->reciprocal);
    if (!bit_is_set(b->bits, p.h))
        return false;
    for (uint32_t i = 1; i < b->probes; i++) {
        next_probe(&p, i - 1, b->nbits);
        out->at[out->count++] = p.h;
        __builtin_prefetch(b->bits + p.h / 8);
    }
    return true;
}

bool shl_bloom_end(const struct shl_bloom *b, uint64_t hash, const struct shl_bloom_bits *bits)
{
    if (bits->count == 0)
        return shl_bloom_may_contain(b, hash);
    for (uint32_t i = 0; i < bits->count; i++)
        if (!bit_is_set(b->bits, bits->at[i]))
            return false;
    return true;
}

bool shl_bloom_first_bit(const struct shl_bloom *b, uint64_t hash)
{
    if (!b->present)
        return true;
    return b->nbits > 0 && bit_is_set(b->bits, reduce((uint32_t)hash, b->nbits, b->reciprocal));
}

bool shl_bloom_may_contain(const struct shl_bloom *b, uint64_t hash)
{
    if (!b->present)
        return true;
    if (b->nbits == 0)
        return false;
    struct probe p = first_probe(hash, b->nbits, b->reciprocal);
    if (!bit_is_set(b->bits, p.h))
        return false;
    /* Most absent keys ended above. For the rest, fetch all lines at once rather than one after the other. */
    uint64_t at[BLOOM_PROBES_MAX];
    SHL_ASSERT(b->probes <= BLOOM_PROBES_MAX);
    for (uint32_t i = 1; i < b->probes; i++) {
        next_probe(&p, i - 1, b->nbits);
        at[i] = p.h;
        __builtin_prefetch(b->bits + p.h / 8);
    }
    for (uint32_t i = 1; i < b->probes; i++)
        if (!bit_is_set(b->bits, at[i]))
            return false;
    return true;
}

/* ---------------------------------------------------------------- decode */

static shale_code decode_payload(struct shl_slice payload, struct shl_bloom *out, shale_error *err)
{
    if (payload.len < 2)
        return shl_fail(err, SHALE_CORRUPTION, "filter: payload of %zu bytes, want 2", payload.len);
    uint32_t probes = shl_load_u16be(payload.data);
    uint64_t nbits = 8 * (uint64_t)(payload.len - 2);
    *out = (struct shl_bloom){.bits = payload.data + 2,
                              .nbits = nbits,
                              .reciprocal = reciprocal_of(nbits),
                              .probes = probes,
                              .present = probes >= 1 && probes <= BLOOM_PROBES_MAX};
    return SHALE_OK;
}

static shale_code cut_short(const char *what, size_t at, size_t len, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION, "filter: %s at %zu reaches past %zu bytes", what, at,
                    len);
}

/* The first one counts. */
shale_code shl_filter_find(struct shl_slice raw, struct shl_slice name, struct shl_slice *out,
                           shale_error *err)
{
    *out = shl_slice_of(NULL, 0);
    if (raw.len < 2)
        return cut_short("count", 0, raw.len, err);
    size_t at = 2;
    for (unsigned left = shl_load_u16be(raw.data); left > 0; left--) {
        if (raw.len - at < 2)
            return cut_short("name length", at, raw.len, err);
        size_t name_len = shl_load_u16be(raw.data + at);
        if (raw.len - at - 2 < name_len)
            return cut_short("name", at, raw.len, err);
        struct shl_slice found = shl_slice_of(raw.data + at + 2, name_len);
        at += 2 + name_len;
        if (raw.len - at < 8)
            return cut_short("data length", at, raw.len, err);
        uint64_t data_len = shl_load_u64be(raw.data + at);
        at += 8;
        if (data_len > raw.len - at)
            return cut_short("data", at, raw.len, err);
        if (out->data == NULL && shl_slice_eq(found, name))
            *out = shl_slice_of(raw.data + at, (size_t)data_len);
        at += (size_t)data_len;
    }
    return SHALE_OK;
}

shale_code shl_filter_decode(struct shl_slice raw, enum shl_filter_format format,
                             const struct shl_filter_policy *policy, struct shl_bloom *out,
                             shale_error *err)
{
    char name[96];
    struct shl_slice payload = shl_slice_of(NULL, 0);
    shl_filter_policy_name(policy, name);
    if (format == SHL_FILTER_COMPOSITE) {
        shale_code rc = shl_filter_find(raw, shl_slice_str(name), &payload, err);
        if (rc != SHALE_OK)
            return rc;
    } else if (strcmp(name, "_bf") == 0) {
        payload = raw; /* files of that time had no other filter */
    }
    if (payload.data == NULL) {
        *out = (struct shl_bloom){.present = false};
        return SHALE_OK;
    }
    return decode_payload(payload, out, err);
}

/* ---------------------------------------------------------------- encode */

static uint64_t nbits_for(const struct shl_filter_policy *policy, size_t count)
{
    /* SlateDB multiplies in 32 bits, which wraps; past that the positions could not reach the end anyway. */
    uint64_t bits = 0;
    if (__builtin_mul_overflow((uint64_t)count, policy->bits_per_key, &bits) ||
        bits > BLOOM_NBITS_MAX)
        return BLOOM_NBITS_MAX;
    return (bits + 7) / 8 * 8;
}

static void set_bits(uint8_t *bits, uint64_t nbits, uint32_t probes, const uint64_t *hashes,
                     size_t count)
{
    uint64_t reciprocal = reciprocal_of(nbits);
    for (size_t k = 0; k < count; k++) {
        if (k + PREFETCH_AHEAD < count)
            __builtin_prefetch(
                bits + reduce((uint32_t)hashes[k + PREFETCH_AHEAD], nbits, reciprocal) / 8, 1);
        struct probe p = first_probe(hashes[k], nbits, reciprocal);
        for (uint32_t i = 0; i < probes; i++) {
            bits[p.h / 8] |= (uint8_t)(1u << (p.h % 8));
            next_probe(&p, i, nbits);
        }
    }
}

/* Room for one more filter: count, name and length are written, the data is the caller's to fill. */
static shale_code begin_entry(struct shl_slice name, size_t data_len, struct shl_buf *block,
                              uint8_t **data, shale_error *err)
{
    size_t before = block->len == 0 ? COUNT_BYTES : 0;
    shale_code rc = shl_buf_reserve(block, before + ENTRY_FIXED + name.len + data_len, err);
    if (rc != SHALE_OK)
        return rc;
    if (before > 0)
        shl_store_u16be(block->data, 0);
    unsigned filters = shl_load_u16be(block->data);
    SHL_ASSERT(filters < UINT16_MAX && name.len <= UINT16_MAX);
    shl_store_u16be(block->data, (uint16_t)(filters + 1));
    uint8_t *p = block->data + block->len + before;
    shl_store_u16be(p, (uint16_t)name.len);
    memcpy(p + 2, name.data, name.len);
    shl_store_u64be(p + 2 + name.len, data_len);
    *data = p + ENTRY_FIXED + name.len;
    block->len += before + ENTRY_FIXED + name.len + data_len;
    return SHALE_OK;
}

shale_code shl_filter_append(struct shl_slice name, struct shl_slice data, struct shl_buf *block,
                             shale_error *err)
{
    uint8_t *to;
    shale_code rc = begin_entry(name, data.len, block, &to, err);
    if (rc == SHALE_OK && data.len > 0)
        memcpy(to, data.data, data.len);
    return rc;
}

shale_code shl_filter_encode(const struct shl_filter_policy *policy, const struct shl_slice *pieces,
                             size_t count, struct shl_buf *out, shale_error *err)
{
    if (policy->bits_per_key == 0)
        return SHALE_OK;
    char name[96];
    shl_filter_policy_name(policy, name);
    size_t name_len = strlen(name);
    size_t hashes = 0;
    for (size_t i = 0; i < count; i++)
        hashes += pieces[i].len / sizeof(uint64_t);
    uint64_t nbits = nbits_for(policy, hashes);
    size_t payload_len = 2 + (size_t)(nbits / 8);
    /* In float, as upstream: 10 bits give 6 probes, 100 give 68 or 69 by rounding. */
    uint32_t probes = (uint32_t)((float)policy->bits_per_key * 0.69F);
    if (probes > UINT16_MAX)
        probes = UINT16_MAX;
    uint8_t *payload;
    shale_code rc = begin_entry(shl_slice_of(name, name_len), payload_len, out, &payload, err);
    if (rc != SHALE_OK)
        return rc;
    shl_store_u16be(payload, (uint16_t)probes);
    memset(payload + 2, 0, payload_len - 2);
    for (size_t i = 0; i < count; i++)
        set_bits(payload + 2, nbits, probes, (const void *)pieces[i].data,
                 pieces[i].len / sizeof(uint64_t));
    return SHALE_OK;
}
