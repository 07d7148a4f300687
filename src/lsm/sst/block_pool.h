/* Memory for cached blocks: slots of up to 4,608 bytes (a 4 KiB block, its header and its side table) cut from 2 MiB slabs, so that the
 * resident size is what the cache counts and huge pages are used. Rows of a kilobyte leave blocks a quarter empty: smaller slots, in slabs of their
 * own, are for those. Other sizes are plain allocations of whole cache lines.
 * Any task. Lives until its owner has closed it and the last piece came back: pinned blocks may outlive their cache. */
#ifndef SHL_LSM_BLOCK_POOL_H
#define SHL_LSM_BLOCK_POOL_H

#include "base/env/env.h"
#include "base/err.h"

#define SHL_BLOCK_SLOT_BYTES 4608

struct shl_block_pool;

/* slabs false: only plain allocations (small caches, for which 2 MiB is too coarse). */
SHL_MUST shale_code shl_block_pool_new(bool slabs, struct shl_block_pool **out, shale_error *err);
void shl_block_pool_close(struct shl_block_pool *p); /* NULL is fine */

/* Bytes that a piece of `size` bytes takes. */
size_t shl_block_pool_round(size_t size);
/* Aligned to a cache line; NULL if out of memory. pool NULL: a plain allocation. */
void *shl_block_pool_alloc(struct shl_block_pool *p, size_t size);
/* `size` as it was given to alloc. */
void shl_block_pool_free(struct shl_block_pool *p, void *piece, size_t size);
/* Memory of the pieces that are out. */
uint64_t shl_block_pool_bytes(const struct shl_block_pool *p);

#endif
