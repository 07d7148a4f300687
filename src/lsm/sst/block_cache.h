/* Inside of reading SSTs: blocks in memory, and the slots through which the cache keeps them. performance.md 2.1, 3.
 *
 *   one piece of memory:  struct shl_block (2 lines) | room for the side table | raw block | up to 63 unused bytes
 *
 * A slot is NULL, or the loading mark of its cache (somebody fetches it), or a block. Readers load it inside an epoch. Every change
 * from or to a block happens under the lock of the slot's shard, where the block is also linked into one of two rings:
 * new blocks enter the probationary one, a tenth of the bytes; those hit there move on to the main ring when the hand passes. A block
 * that fell out of probation leaves its hash behind, and enters the main ring at once if it comes back soon (S3-FIFO). On a near store
 * only what was missed a few times comes in at all (sst_handle.c). */
#ifndef SHL_LSM_BLOCK_CACHE_H
#define SHL_LSM_BLOCK_CACHE_H

#include "lsm/sst/block_pool.h"
#include "lsm/sst/sst_read.h"

#define SHL_BLOCK_PREFIX_MAX 48

struct shl_block {
    /* first line: all that a lookup reads before the heads */
    uint32_t raw_len;                     /* [const] once shared */
    uint32_t raw_offset;                  /* [const] from the start of this struct */
    _Atomic uint8_t recent;               /* [atomic] relaxed: 1 = hit since the hand passed */
    bool has_side_table;                  /* [const] once shared */
    uint8_t version;                      /* [const] block format */
    uint8_t prefix_len;                   /* [const] once shared; with a side table */
    uint16_t entry_count;                 /* [const] likewise */
    bool in_main;                         /* [shard] */
    uint8_t prefix[SHL_BLOCK_PREFIX_MAX]; /* [const] likewise */
    /* second line: owners and rings */
    struct shl_retired retired;
    struct shl_block_pool *pool;     /* [const] NULL: plain memory outside of a pool */
    struct shl_block *_Atomic *slot; /* [shard] where it is published; NULL: nowhere */
    struct shl_block *newer;         /* [shard] */
    struct shl_block *older;         /* [shard] */
    uint64_t hash;                   /* [const] once published: names SST and block */
    size_t memory_bytes;             /* [const] of the piece, as asked for */
    _Atomic uint32_t refs;           /* [atomic] */
};

/* ---- blocks */

/* Memory for a block of `len` bytes (raw, or as stored with crc), with room for a side table; one reference. The caller writes the
 * bytes and sets raw_len. cache NULL: plain memory. NULL if out of memory or len above UINT32_MAX / 2. */
struct shl_block *shl_block_new(struct shl_cache *c, size_t len, unsigned version);
/* The same with these bytes in it, which tell how large its side table can be at most. */
struct shl_block *shl_block_copy(struct shl_cache *c, struct shl_slice raw, unsigned version);
/* What a new block of `len` bytes, or a copy, is charged. */
size_t shl_block_charge(size_t len);
size_t shl_block_charge_copy(struct shl_slice raw, unsigned version);
size_t shl_block_charge_of(const struct shl_block *b);
static inline uint8_t *shl_block_bytes(struct shl_block *b)
{
    return (uint8_t *)b + b->raw_offset;
}

/* ---- slots */

/* The mark of a slot whose block is being fetched; never to be looked into. */
struct shl_block *shl_cache_loading(struct shl_cache *c);

/* Takes `bytes` of the limit before anything is fetched, evicting what is cold, first in the shard of `hash`. False if the cache
 * cannot give so much. Not inside an epoch. */
SHL_MUST bool shl_cache_reserve(struct shl_cache *c, uint64_t hash, size_t bytes);
void shl_cache_unreserve(struct shl_cache *c, size_t bytes);

/* False while much of what was evicted cannot be freed yet: a reader that lost its processor inside the epoch keeps all of it. Not inside an
 * epoch. */
SHL_MUST bool shl_cache_has_memory(struct shl_cache *c);
/* NULL -> loading. True: the caller fetches, and ends with publish or abandon. */
SHL_MUST bool shl_cache_begin(struct shl_cache *c, struct shl_block *_Atomic *slot);
/* False if the block lies outside of the pool, which is full: it is not to be published. Room for the next ones is made, where free slots are of
 * another size. Not inside an epoch. */
SHL_MUST bool shl_cache_can_keep(struct shl_cache *c, const struct shl_block *b, uint64_t hash);
/* loading -> block, or NULL if its slab is being drained; takes over one reference and its charge, which must have been reserved. */
void shl_cache_publish(struct shl_cache *c, struct shl_block *_Atomic *slot,
                       struct shl_block *take_b, uint64_t hash);
/* loading -> NULL. */
void shl_cache_abandon(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash);
/* Waits until the slot is not loading. Not inside an epoch. */
void shl_cache_wait(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash);
/* The slot's owner goes away: takes the block out, if there is one. Nobody may be loading it. */
void shl_cache_drop(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash);

/* Counting; not exact when more than 64 tasks read at once, but nothing shared is written. */
void shl_cache_hit(struct shl_cache *c);
void shl_cache_miss(struct shl_cache *c);

#endif
