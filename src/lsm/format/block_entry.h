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

/* Reads the entry at `at`, which must end at or before `end` <= entries_end. */
SHL_MUST shale_code shl_block_entry_read(const struct shl_block_tail *t, uint32_t at, uint32_t end,
                                         struct shl_block_entry *out, shale_error *err);
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
