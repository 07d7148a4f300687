/* Inside of the block walkers: the tail of a raw block and one entry of it, every byte checked. Pure. slatedb-format 2.3, 2.4. */
#ifndef SHL_LSM_BLOCK_ENTRY_H
#define SHL_LSM_BLOCK_ENTRY_H

#include "base/codec/endian.h"
#include "lsm/format/row.h"

/* Where the offset array (v2: restarts, v1: one per entry) is. */
struct shl_block_tail {
    const uint8_t *raw;   /* borrowed */
    const uint8_t *array; /* borrowed: count u16 BE */
    uint32_t entries_end; /* offset of the array */
    uint32_t count;       /* >= 1 */
    unsigned version;
};

/* One entry as stored; pointers into the raw block. */
struct shl_block_entry {
    uint32_t shared; /* v1: with the block's first key */
    uint32_t next;   /* offset after the entry */
    struct shl_slice suffix;
    struct shl_slice value;
    uint64_t seq;
    int64_t expire_ts;
    int64_t create_ts;
    uint8_t flags;
};

/* Finds the array; entry 0 must begin at 0. The other offsets are checked by whoever uses them. */
SHL_MUST shale_code shl_block_tail_read(struct shl_slice raw, unsigned version,
                                        struct shl_block_tail *out, shale_error *err);

static inline uint32_t shl_block_tail_offset(const struct shl_block_tail *t, uint32_t index)
{
    return shl_load_u16be(t->array + 2 * (size_t)index);
}

/* Where restart interval (v1: entry) `index` ends. */
static inline uint32_t shl_block_tail_end(const struct shl_block_tail *t, uint32_t index)
{
    return index + 1 < t->count ? shl_block_tail_offset(t, index + 1) : t->entries_end;
}

/* Reads any entry; see shl_block_entry_read. */
SHL_MUST shale_code shl_block_entry_read_any(const struct shl_block_tail *t, uint32_t at,
                                             uint32_t end, struct shl_block_entry *out,
                                             shale_error *err);

/* Reads a v2 entry of the usual kind: shared and suffix below 128 bytes, the value below 16 KiB, at most a creation time. False: it is
 * another kind, or does not fit before `end`. Inline, because a search or a scan does little else: 25 instructions instead of 80. */
static inline bool shl_block_entry_read_usual(const uint8_t *raw, uint32_t at, uint32_t end,
                                              struct shl_block_entry *out)
{
    const uint8_t *p = raw + at;
    size_t left = end - at;
    if (left < 4 || ((p[0] | p[1]) & 0x80) != 0)
        return false;
    size_t head = 3;
    size_t suffix_len = p[1];
    size_t value_len = p[2];
    if ((value_len & 0x80) != 0) {
        if ((p[3] & 0x80) != 0)
            return false;
        value_len = (value_len & 0x7f) | (size_t)p[3] << 7;
        head = 4;
    }
    size_t body = head + suffix_len + value_len;
    if (left < body + 9)
        return false;
    uint8_t flags = p[body + 8];
    size_t size = body + 9 + (flags == SHL_ROW_HAS_CREATE ? 8 : 0);
    if ((flags & ~(unsigned)SHL_ROW_HAS_CREATE) != 0 || left < size)
        return false;
    out->shared = p[0];
    out->next = at + (uint32_t)size;
    out->suffix = shl_slice_of(p + head, suffix_len);
    out->value = shl_slice_of(p + head + suffix_len, value_len);
    out->seq = shl_load_u64be(p + body);
    out->expire_ts = 0;
    out->create_ts = flags == SHL_ROW_HAS_CREATE ? (int64_t)shl_load_u64be(p + body + 9) : 0;
    out->flags = flags;
    return true;
}

/* Reads the entry at `at`, which must end at or before `end` <= entries_end. */
SHL_MUST static inline shale_code shl_block_entry_read(const struct shl_block_tail *t, uint32_t at,
                                                       uint32_t end, struct shl_block_entry *out,
                                                       shale_error *err)
{
    if (t->version == 2 && at < end && end <= t->entries_end &&
        shl_block_entry_read_usual(t->raw, at, end, out))
        return SHALE_OK;
    return shl_block_entry_read_any(t, at, end, out, err);
}
/* The entry at array position `index`: v2 a restart point (shared must be 0); v1 an entry that must fill its place. */
SHL_MUST shale_code shl_block_entry_at(const struct shl_block_tail *t, uint32_t index,
                                       struct shl_block_entry *out, shale_error *err);

/* Compares `suffix`, which stands at byte `from` of a key, with the rest of `key`, whose first `from` bytes agree. *matched =
 * bytes of `key` that agree in all. */
int shl_block_compare_suffix(struct shl_slice suffix, struct shl_slice key, size_t from,
                             size_t *matched);
/* Compares the key at array position `index` with `key`: *out <0, 0, >0. `first_key` is that of entry 0 in v1, empty in v2. */
SHL_MUST shale_code shl_block_compare_at(const struct shl_block_tail *t, struct shl_slice first_key,
                                         uint32_t index, struct shl_slice key, int *out,
                                         struct shl_block_entry *entry, shale_error *err);
/* The last array position whose key is < `key` (<= with `or_equal`); 0 if there is none. */
SHL_MUST shale_code shl_block_last_below(const struct shl_block_tail *t, struct shl_slice first_key,
                                         struct shl_slice key, bool or_equal, uint32_t *out,
                                         shale_error *err);

#endif
