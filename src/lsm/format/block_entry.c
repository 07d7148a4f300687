#include "lsm/format/block_entry.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/codec/varint.h"

#define KNOWN_FLAGS (SHL_ROW_TOMBSTONE | SHL_ROW_HAS_EXPIRE | SHL_ROW_HAS_CREATE | SHL_ROW_MERGE)

shale_code shl_block_tail_read(struct shl_slice raw, unsigned version, struct shl_block_tail *out,
                               shale_error *err)
{
    SHL_ASSERT(version == 1 || version == 2);
    if (raw.len < 2 || raw.len > UINT32_MAX)
        return shl_fail(err, SHALE_CORRUPTION, "block: impossible length of %zu bytes", raw.len);
    uint32_t count = shl_load_u16be(raw.data + raw.len - 2);
    size_t tail = 2 + 2 * (size_t)count;
    if (count == 0 || tail >= raw.len)
        return shl_fail(err, SHALE_CORRUPTION, "block: %" PRIu32 " offsets in %zu bytes", count,
                        raw.len);
    *out = (struct shl_block_tail){.raw = raw.data,
                                   .array = raw.data + raw.len - tail,
                                   .entries_end = (uint32_t)(raw.len - tail),
                                   .count = count,
                                   .version = version};
    if (shl_block_tail_offset(out, 0) != 0)
        return shl_fail(err, SHALE_CORRUPTION, "block: first offset %" PRIu32 ", want 0",
                        shl_block_tail_offset(out, 0));
    return SHALE_OK;
}

static shale_code cut_short(uint32_t at, uint32_t end, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION, "block: entry at %" PRIu32 " reaches past %" PRIu32, at,
                    end);
}

static shale_code bad_flags(uint32_t at, uint8_t flags, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION,
                    "block: entry at %" PRIu32 " has flags 0x%02x, known 0x%02x", at,
                    (unsigned)flags, (unsigned)KNOWN_FLAGS);
}

/* Unknown bits are of a newer format; a tombstone is no operand. */
static bool flags_valid(uint8_t flags)
{
    const uint8_t both = SHL_ROW_TOMBSTONE | SHL_ROW_MERGE;
    return (flags & ~(unsigned)KNOWN_FLAGS) == 0 && (flags & both) != both;
}

/* seq, flags and timestamps at p; NULL if they do not fit before `end`. Flags are not judged. */
static const uint8_t *read_meta(const uint8_t *p, const uint8_t *end, struct shl_block_entry *out)
{
    if (end - p < 9)
        return NULL;
    out->seq = shl_load_u64be(p);
    out->flags = p[8];
    out->expire_ts = 0;
    out->create_ts = 0;
    p += 9;
    if (out->flags & SHL_ROW_HAS_EXPIRE) {
        if (end - p < 8)
            return NULL;
        out->expire_ts = (int64_t)shl_load_u64be(p);
        p += 8;
    }
    if (out->flags & SHL_ROW_HAS_CREATE) {
        if (end - p < 8)
            return NULL;
        out->create_ts = (int64_t)shl_load_u64be(p);
        p += 8;
    }
    return p;
}

static const uint8_t *read_v2(const uint8_t *p, const uint8_t *end, struct shl_block_entry *out)
{
    uint32_t unshared = 0;
    uint32_t value_len = 0;
    if (end - p >= 3 &&
        ((p[0] | p[1] | p[2]) & 0x80) == 0) { /* nearly all rows have lengths below 128 */
        out->shared = p[0];
        unshared = p[1];
        value_len = p[2];
        p += 3;
    } else {
        p = shl_varint32_get(p, end, &out->shared);
        p = p == NULL ? NULL : shl_varint32_get(p, end, &unshared);
        p = p == NULL ? NULL : shl_varint32_get(p, end, &value_len);
        if (p == NULL)
            return NULL;
    }
    if ((uint64_t)unshared + value_len > (uint64_t)(end - p))
        return NULL;
    out->suffix = shl_slice_of(p, unshared);
    out->value = shl_slice_of(p + unshared, value_len);
    return read_meta(p + unshared + value_len, end, out);
}

static const uint8_t *read_v1(const uint8_t *p, const uint8_t *end, struct shl_block_entry *out)
{
    if (end - p < 4)
        return NULL;
    out->shared = shl_load_u16be(p);
    size_t unshared = shl_load_u16be(p + 2);
    p += 4;
    if (unshared > (size_t)(end - p))
        return NULL;
    out->suffix = shl_slice_of(p, unshared);
    out->value = shl_slice_of(NULL, 0);
    p = read_meta(p + unshared, end, out);
    if (p == NULL)
        return NULL;
    if (out->flags & SHL_ROW_TOMBSTONE) {
        /* SlateDB reads the expiry of a v1 tombstone and forgets it (slatedb-format 2.4). */
        out->flags &= (uint8_t)~SHL_ROW_HAS_EXPIRE;
        out->expire_ts = 0;
        return p;
    }
    if (end - p < 4)
        return NULL;
    size_t value_len = shl_load_u32be(p);
    p += 4;
    if (value_len > (size_t)(end - p))
        return NULL;
    out->value = shl_slice_of(p, value_len);
    return p + value_len;
}

shale_code shl_block_entry_read_any(const struct shl_block_tail *t, uint32_t at, uint32_t end,
                                    struct shl_block_entry *out, shale_error *err)
{
    if (end > t->entries_end || at >= end)
        return cut_short(at, end < t->entries_end ? end : t->entries_end, err);
    const uint8_t *p = t->raw + at;
    const uint8_t *limit = t->raw + end;
    p = t->version == 1 ? read_v1(p, limit, out) : read_v2(p, limit, out);
    if (p == NULL)
        return cut_short(at, end, err);
    if (!flags_valid(out->flags))
        return bad_flags(at, out->flags, err);
    if ((out->flags & SHL_ROW_TOMBSTONE) && out->value.len > 0)
        return shl_fail(err, SHALE_CORRUPTION,
                        "block: tombstone at %" PRIu32 " has a value of %zu bytes", at,
                        out->value.len);
    out->next = (uint32_t)(p - t->raw);
    return SHALE_OK;
}

shale_code shl_block_entry_at(const struct shl_block_tail *t, uint32_t index,
                              struct shl_block_entry *out, shale_error *err)
{
    uint32_t at = shl_block_tail_offset(t, index);
    uint32_t end = shl_block_tail_end(t, index);
    shale_code rc = shl_block_entry_read(t, at, end, out, err);
    if (rc != SHALE_OK)
        return rc;
    if (t->version == 1 && out->next != end)
        return shl_fail(err, SHALE_CORRUPTION,
                        "block: entry at %" PRIu32 " ends at %" PRIu32 ", want %" PRIu32, at,
                        out->next, end);
    if (out->shared != 0 && (t->version == 2 || index == 0))
        return shl_fail(err, SHALE_CORRUPTION,
                        "block: restart at %" PRIu32 " shares %" PRIu32 " bytes, want 0", at,
                        out->shared);
    return SHALE_OK;
}

int shl_block_compare_suffix(struct shl_slice suffix, struct shl_slice key, size_t from,
                             size_t *matched)
{
    SHL_ASSERT(from <= key.len);
    struct shl_slice rest = shl_slice_of(from == 0 ? key.data : key.data + from, key.len - from);
    size_t common = shl_common_prefix(suffix, rest);
    *matched = from + common;
    if (common == suffix.len)
        return common == rest.len ? 0 : -1;
    if (common == rest.len)
        return 1;
    return suffix.data[common] < rest.data[common] ? -1 : 1;
}

shale_code shl_block_compare_at(const struct shl_block_tail *t, struct shl_slice first_key,
                                uint32_t index, struct shl_slice key, int *out,
                                struct shl_block_entry *entry, shale_error *err)
{
    shale_code rc = shl_block_entry_at(t, index, entry, err);
    if (rc != SHALE_OK)
        return rc;
    if (entry->shared > first_key.len)
        return shl_fail(err, SHALE_CORRUPTION,
                        "block: entry %" PRIu32 " shares %" PRIu32 " bytes of %zu", index,
                        entry->shared, first_key.len);
    size_t matched = 0;
    int c = shl_block_compare_suffix(shl_slice_of(first_key.data, entry->shared), key, 0, &matched);
    if (matched == entry->shared) /* the shared part agrees: the suffix decides */
        c = shl_block_compare_suffix(entry->suffix, key, matched, &matched);
    *out = c;
    return SHALE_OK;
}

shale_code shl_block_last_below(const struct shl_block_tail *t, struct shl_slice first_key,
                                struct shl_slice key, bool or_equal, uint32_t *out,
                                shale_error *err)
{
    uint32_t low = 0; /* the answer is in [low, high) */
    uint32_t high = t->count;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        struct shl_block_entry e;
        int c = 0;
        shale_code rc = shl_block_compare_at(t, first_key, mid, key, &c, &e, err);
        if (rc != SHALE_OK)
            return rc;
        if (c < 0 || (or_equal && c == 0))
            low = mid;
        else
            high = mid;
    }
    *out = low;
    return SHALE_OK;
}
