/* Memory for cached blocks: slots of up to 4,608 bytes (a 4 KiB block, its header and its side table) cut from 2 MiB slabs, so that the
 * resident size is what the cache counts and huge pages are used. Rows of a kilobyte leave blocks a quarter empty: smaller slots, in slabs of their
 * own, are for those. Other sizes are plain allocations of whole cache lines.
 * One piece keeps its slab. So slabs are bounded: with plain pieces they take no more than the limit, an eighth and one slab per size of slot in use
 * (SHL_BLOCK_SLOT_SIZES at most). When that is full, the owner drains slabs of which little is used: memory moves to the size that needs it.
 * Any task. Lives until its owner has closed it and the last piece came back: pinned blocks may outlive their cache. */
#ifndef SHL_LSM_BLOCK_POOL_H
#define SHL_LSM_BLOCK_POOL_H

#include "base/env/env.h"
#include "base/err.h"

#define SHL_BLOCK_SLOT_BYTES 4608
#define SHL_BLOCK_SLOT_SIZES 8
#define SHL_BLOCK_SLAB_BYTES ((size_t)2 << 20)

struct shl_block_pool;

/* For `limit_bytes` of pieces. slabs false: only plain allocations (small caches, for which 2 MiB is too coarse), without a bound. */
SHL_MUST shale_code shl_block_pool_new(bool slabs, uint64_t limit_bytes,
                                       struct shl_block_pool **out, shale_error *err);
void shl_block_pool_close(struct shl_block_pool *p); /* NULL is fine */

/* Bytes that a piece of `size` bytes takes. */
size_t shl_block_pool_round(size_t size);
/* Aligned to a cache line; NULL if out of memory. *home is what the piece is to be freed with: `p`, or NULL, which is a plain allocation, if `p` is
 * NULL or would need one more slab than it may have. */
void *shl_block_pool_alloc(struct shl_block_pool *p, size_t size, struct shl_block_pool **home);
/* `size` as it was given to alloc. */
void shl_block_pool_free(struct shl_block_pool *p, void *piece, size_t size);
/* Memory of the pieces that are out. */
uint64_t shl_block_pool_bytes(const struct shl_block_pool *p);
/* Memory of slabs and of plain pieces. */
uint64_t shl_block_pool_held(const struct shl_block_pool *p);
/* True if plain pieces, which are never refused, made that more than the bound. */
bool shl_block_pool_is_over(const struct shl_block_pool *p);

/* ---- draining */

/* Notes that the owner can find what lies in the piece, which shl_block_pool_drain_next then gives. False: its slab is being drained, the owner
 * is not to keep it. Takes no lock. */
SHL_MUST bool shl_block_pool_note(struct shl_block_pool *p, void *piece, size_t size);

struct shl_block_drain {
    struct slab *slab;
    uint32_t at;
};
/* Chooses the slab with the fewest pieces among those with room, of other sizes than `size`: nothing is given out from it any more. False if there is none, or
 * others are being drained. */
SHL_MUST bool shl_block_pool_drain_begin(struct shl_block_pool *p, size_t size,
                                         struct shl_block_drain *d);
/* The next piece that was noted, or NULL. It may be freed by now: then all but its first 8 bytes are as they were. */
void *shl_block_pool_drain_next(struct shl_block_drain *d);
/* The slab is given back when its last piece is. */
void shl_block_pool_drain_end(struct shl_block_pool *p, struct shl_block_drain *d);

#endif
