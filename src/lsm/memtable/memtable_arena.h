/* The memtable's memory: chunks of 64 KiB, 1 MiB and then 2 MiB (huge pages), taken from by bumping and freed as one.
 * Room is reserved first (may fail), then taken (never fails). One writer. */
#ifndef SHL_LSM_MEMTABLE_ARENA_H
#define SHL_LSM_MEMTABLE_ARENA_H

#include "base/err.h"
#include <stddef.h>

struct shl_mem_chunk;

/* Chunks of 2 MiB that a table gave back, for the next one: a fresh page costs more to clear than all else that a put writes to it. Any
 * task. Lives until its owner has closed it and the last table with it is gone. */
struct shl_mem_pool;
/* Keeps up to `keep_bytes`. */
SHL_MUST shale_code shl_mem_pool_new(size_t keep_bytes, struct shl_mem_pool **out, shale_error *err);
void shl_mem_pool_close(struct shl_mem_pool *p); /* NULL is fine */
/* Frees what is kept, if nothing was taken since the call before. */
void shl_mem_pool_trim(struct shl_mem_pool *p);

/* {0} is empty. */
struct shl_mem_arena {
    struct shl_mem_pool *pool;     /* counted; NULL: none */
    struct shl_mem_chunk *chunks;  /* owned: all, newest first */
    struct shl_mem_chunk *current; /* filled first */
    struct shl_mem_chunk *last;    /* filled by what does not fit into current; may be the same */
    size_t chunk_count;
    size_t used_bytes; /* taken, and left behind in chunks that are done with */
};

/* Afterwards any sequence of takes that needs `bytes` bytes, each with up to align-1 bytes of padding counted in, succeeds. */
SHL_MUST shale_code shl_mem_arena_reserve(struct shl_mem_arena *a, size_t bytes, shale_error *err);
/* `align` is a power of two. The room must have been reserved. */
void *shl_mem_arena_take(struct shl_mem_arena *a, size_t size, size_t align);
/* Begins an empty arena. pool NULL: none. */
void shl_mem_arena_init(struct shl_mem_arena *a, struct shl_mem_pool *pool);
/* Frees every chunk; the arena may live in one of them. */
void shl_mem_arena_free(struct shl_mem_arena *a);

#endif
