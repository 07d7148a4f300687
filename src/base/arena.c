#include "base/arena.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#define CHUNK_FIRST_BYTES  ((size_t)64 << 10)
#define CHUNK_SECOND_BYTES ((size_t)1 << 20)
#define CHUNK_LATER_BYTES  ((size_t)2 << 20)
#define ALIGN_MAX          64

struct shl_arena_chunk {
    struct shl_arena_chunk *next;
};

#define HEADER_BYTES                                                                               \
    ((size_t)ALIGN_MAX) /* what follows it is as aligned as the chunk, see chunk_new */
_Static_assert(sizeof(struct shl_arena_chunk) <= HEADER_BYTES, "the header fits");

static struct shl_arena_chunk *chunk_new(struct shl_arena *a, size_t size)
{
    /* Only the large ones are worth a huge page; smaller ones still want their own cache lines. */
    bool huge = size >= CHUNK_LATER_BYTES;
    struct shl_arena_chunk *c = env_alloc_aligned(huge ? CHUNK_LATER_BYTES : ALIGN_MAX, size);
    if (c == NULL)
        return NULL;
    c->next = a->chunks;
    a->chunks = c;
    a->taken_bytes += size;
    return c;
}

static size_t regular_size(uint32_t count)
{
    return count == 0 ? CHUNK_FIRST_BYTES : count == 1 ? CHUNK_SECOND_BYTES : CHUNK_LATER_BYTES;
}

void *shl_arena_alloc(struct shl_arena *a, size_t size, size_t align)
{
    SHL_ASSERT(align > 0 && (align & (align - 1)) == 0);
    SHL_ASSERT(align <= ALIGN_MAX);
    size_t pad = (size_t)(-(uintptr_t)a->at & (align - 1));
    size_t room = (size_t)(a->end - a->at);
    if (a->at == NULL || size > room || pad > room - size) {
        size_t chunk_bytes = regular_size(a->regular_count);
        if (size > (chunk_bytes - HEADER_BYTES) /
                       4) { /* alone, so that the rest of the newest chunk stays in use */
            size_t need;
            if (!shl_add_size(size, HEADER_BYTES, &need))
                return NULL;
            struct shl_arena_chunk *own = chunk_new(a, need);
            if (own == NULL)
                return NULL;
            a->used_bytes += size;
            return (uint8_t *)own + HEADER_BYTES;
        }
        struct shl_arena_chunk *c = chunk_new(a, chunk_bytes);
        if (c == NULL)
            return NULL;
        a->regular_count++;
        a->at = (uint8_t *)c + HEADER_BYTES;
        a->end = (uint8_t *)c + chunk_bytes;
        pad = 0;
    }
    void *p = a->at + pad;
    a->at += pad + size;
    a->used_bytes += pad + size;
    return p;
}

char *shl_arena_dup(struct shl_arena *a, struct shl_slice s)
{
    size_t size;
    char *copy = shl_add_size(s.len, 1, &size) ? shl_arena_alloc(a, size, 1) : NULL;
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

void shl_arena_deinit(struct shl_arena *a)
{
    struct shl_arena_chunk *c = a->chunks;
    while (c != NULL) {
        struct shl_arena_chunk *next = c->next;
        env_free_aligned(c);
        c = next;
    }
    *a = (struct shl_arena){0};
}
