/* Data blocks: build (v2) and walk (v1 and v2). Pure. Layout: slatedb-format 2.3, 2.4.
 *
 * A "raw block" is the block after crc check, untransforming and decompression:
 *   v2: entries | restart[n] u16 BE | n u16 BE         v1: entries | offset[n] u16 BE | n u16 BE */
#ifndef SHL_LSM_BLOCK_H
#define SHL_LSM_BLOCK_H

#include "base/array.h"
#include "lsm/format/row.h"

#define SHL_BLOCK_RESTART_INTERVAL 16

/* ---- build, version 2 */
struct shl_block_builder {
    struct shl_buf bytes;        /* owned: entries so far, unless they go elsewhere: */
    struct shl_buf *into;        /* borrowed; NULL: nowhere else */
    size_t start;                /* of the entries in *into */
    SHL_ARRAY(uint16_t) restarts;
    size_t entry_count;          /* in this block */
    size_t capacity;             /* bytes of a full block */
    struct shl_buf last_key;     /* owned: full key of the last entry */
};

SHL_MUST shale_code shl_block_builder_init(struct shl_block_builder *b, size_t capacity, shale_error *err);
void shl_block_builder_deinit(struct shl_block_builder *b);
/* This block is built behind what *out holds, which nobody else touches until finish, given the same buffer, which then copies nothing. The
 * builder is empty. */
void shl_block_builder_into(struct shl_block_builder *b, struct shl_buf *out);
static inline bool shl_block_builder_empty(const struct shl_block_builder *b)
{
    return b->entry_count == 0;
}
/* Whether `row` fits by the cutting rule (an empty block takes any row). */
bool shl_block_builder_fits(const struct shl_block_builder *b, const struct shl_row *row);
/* Appends; rows come in ascending (key, seq desc) order (in WAL blocks in commit order). */
SHL_MUST shale_code shl_block_builder_add(struct shl_block_builder *b, const struct shl_row *row, shale_error *err);
/* Both in one, which compares the keys once: *added tells whether it fitted. */
SHL_MUST shale_code shl_block_builder_try_add(struct shl_block_builder *b, const struct shl_row *row, bool *added,
                                              shale_error *err);
/* Size of the raw block if it were finished now. */
size_t shl_block_builder_bytes(const struct shl_block_builder *b);
/* Appends the finished raw block to `out`, or finishes it there, and empties the builder. At least one entry. */
SHL_MUST shale_code shl_block_builder_finish(struct shl_block_builder *b, struct shl_buf *out, shale_error *err);

/* ---- walk: every byte is checked, raw may be hostile. {0} may be deinit'ed.
 * After a CORRUPTION the iterator is not valid and stays so until positioned again. Texts say the offset in the raw block. */
struct shl_block_iter {
    struct shl_row row;      /* current; key points into `key` (or raw), value into raw; valid until the next call */
    bool valid;              /* row is set */
    uint8_t version;         /* 1 or 2 */
    uint32_t entries_end;    /* offset of the restart/offset array */
    uint32_t restart_count;  /* v1: number of entries */
    uint32_t entry_start;    /* offset of the current entry */
    uint32_t entry_next;     /* offset after it */
    uint32_t restart_index;  /* v2: the restart interval the current entry is in; v1: its number */
    uint32_t shared;         /* v2: key bytes that the current entry takes from the one before */
    struct shl_slice raw;    /* borrowed; must outlive the iterator */
    struct shl_slice first_key; /* v1: of entry 0, which all others take their prefix from; in raw */
    struct shl_buf key;      /* owned: rebuilt in place */
    SHL_ARRAY(uint32_t) back; /* owned: entry offsets of the current interval, for going backward */
    size_t back_index;
};

/* Checks the tail (counts, restart offsets in range and ascending). May be called again on the same iterator with another block. */
SHL_MUST shale_code shl_block_iter_init(struct shl_block_iter *it, struct shl_slice raw, unsigned version,
                                        shale_error *err);
void shl_block_iter_deinit(struct shl_block_iter *it);
/* To the first / last entry. */
SHL_MUST shale_code shl_block_iter_first(struct shl_block_iter *it, shale_error *err);
SHL_MUST shale_code shl_block_iter_last(struct shl_block_iter *it, shale_error *err);
/* Forward, backward by one; valid turns false past the end. */
SHL_MUST shale_code shl_block_iter_next(struct shl_block_iter *it, shale_error *err);
SHL_MUST shale_code shl_block_iter_prev(struct shl_block_iter *it, shale_error *err);
/* To the first entry with key >= target (binary search over restarts, then a walk); not valid if there is none. Rows must be in
 * key order (not for WAL blocks). */
SHL_MUST shale_code shl_block_iter_seek(struct shl_block_iter *it, struct shl_slice target, shale_error *err);
/* To the last entry with key <= target (its oldest version, as the last in order); not valid if there is none. */
SHL_MUST shale_code shl_block_iter_seek_back(struct shl_block_iter *it, struct shl_slice target, shale_error *err);

/* Point search in stored form: the newest row of `key` with seq <= max_seq, without rebuilding keys (matched-length search,
 * performance.md 2.2). *found false if there is none; then *past tells that a greater key was met in this block (so no later
 * block can hold the key). row->key is `key` itself; row->value points into raw. v1 and v2. */
SHL_MUST shale_code shl_block_get(struct shl_slice raw, unsigned version, struct shl_slice key, uint64_t max_seq,
                                  struct shl_row *row, bool *found, bool *past, shale_error *err);

#endif
