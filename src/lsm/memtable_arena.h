/* The memtable's memory: chunks of 64 KiB, 1 MiB and then 2 MiB (huge pages), taken from by bumping and freed as one.
 * Room is reserved first (may fail), then taken (never fails). One writer. */
#ifndef SHL_LSM_MEMTABLE_ARENA_H
#define SHL_LSM_MEMTABLE_ARENA_H

#include "base/err.h"
#include <stddef.h>

struct shl_mem_chunk;

/* {0} is empty. */
struct shl_mem_arena {
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
/* Frees every chunk; the arena may live in one of them. */
void shl_mem_arena_free(struct shl_mem_arena *a);

#endif
