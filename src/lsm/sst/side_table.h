/* The side table of a cached v2 block: sorted heads and entry offsets in the room before the raw block, so that a point lookup is
 * one branchless search over a few lines and one entry. Pure but for the block's own state. performance.md 2.1.
 *
 *   struct shl_block (prefix common to all keys) | head[n] u32: 4 key bytes after the prefix | offset[n] u16 | unused | raw */
#ifndef SHL_LSM_SIDE_TABLE_H
#define SHL_LSM_SIDE_TABLE_H

#include "lsm/sst/block_cache.h"

/* Builds it, having checked every entry. False if there is no room, the common prefix is too long, or the block is damaged (the search of
 * the stored form will say so). One task at a time; publishing is the caller's. */
SHL_MUST bool shl_side_table_build(struct shl_block *b);

enum shl_side_answer {
    SHL_SIDE_FOUND, /* row is set, as shl_block_get sets it */
    SHL_SIDE_PAST,  /* not here, and a greater key is */
    SHL_SIDE_AFTER  /* not here, all keys of the block are smaller or equal */
};
/* The newest version of `key` with seq <= max_seq. The table is READY. */
enum shl_side_answer shl_side_table_get(const struct shl_block *b, struct shl_slice key,
                                        uint64_t max_seq, struct shl_row *row);

/* Asks for the lines of the entry that get would look at first. */
void shl_side_table_prefetch(const struct shl_block *b, struct shl_slice key);

#endif
