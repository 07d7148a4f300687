/* Bump allocation in chunks (64 KiB, 1 MiB, then 2 MiB aligned to 2 MiB for huge pages), freed as one.
 * One thread at a time. {0} is an empty arena; nothing is taken before the first allocation. */
#ifndef SHL_BASE_ARENA_H
#define SHL_BASE_ARENA_H

#include "base/bytes.h"

struct shl_arena_chunk;

struct shl_arena {
    struct shl_arena_chunk *chunks; /* owned, newest first */
    uint8_t *at;                    /* free part of the newest regular chunk */
    uint8_t *end;
    uint32_t regular_count;         /* chunks of the three sizes, which decide the next size */
    uint64_t taken_bytes;           /* all chunks */
    uint64_t used_bytes;            /* handed out, with padding */
};

/* `align` is a power of two, at most 64. Contents undefined. NULL if out of memory (nothing changes). Valid until deinit. */
void *shl_arena_alloc(struct shl_arena *a, size_t size, size_t align);
/* A NUL-terminated copy, or NULL. */
char *shl_arena_dup(struct shl_arena *a, struct shl_slice s);
/* Frees everything; the arena is {0} again. */
void shl_arena_deinit(struct shl_arena *a);

#endif
