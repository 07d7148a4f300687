/* Two chunks are open at a time: small things fill `current` to its end while `last` keeps the promise of the newest reserve.
 * A reserve that is far larger than a chunk (a big row, a large batch) thus wastes no half-full one. */
#include "lsm/memtable/memtable_arena.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#include <assert.h>
#include <string.h>

#define CHUNK_FIRST_BYTES  ((size_t)64 << 10)
#define CHUNK_SECOND_BYTES ((size_t)1 << 20)
#define CHUNK_BYTES        ((size_t)2 << 20)
#define CHUNK_HEAD_BYTES   64

struct shl_mem_chunk {
    struct shl_mem_chunk *next; /* owned */
    size_t size;                /* with this head */
    size_t used;                /* with this head */
    bool aligned;               /* from env_alloc_aligned */
};
static_assert(sizeof(struct shl_mem_chunk) <= CHUNK_HEAD_BYTES, "chunk head");

/* ---------------------------------------------------------------- chunks that are used again */

struct shl_mem_pool {
    _Atomic uint32_t refs;      /* [atomic] arenas, and the owner */
    size_t keep_max;            /* [const] chunks */
    struct env_mutex mu;        /* a leaf lock */
    struct shl_mem_chunk *kept; /* [mu] */
    size_t kept_count;          /* [mu] */
    bool taken;                 /* [mu] since the last trim */
    bool closed;                /* [mu] nothing is kept any more */
};

shale_code shl_mem_pool_new(size_t keep_bytes, struct shl_mem_pool **out, shale_error *err)
{
    struct shl_mem_pool *p = env_calloc(1, sizeof *p);
    if (p == NULL)
        return shl_nomem(err);
    atomic_init(&p->refs, 1);
    p->keep_max = keep_bytes / CHUNK_BYTES;
    env_mutex_init(&p->mu);
    *out = p;
    return SHALE_OK;
}

static void free_chunks(struct shl_mem_chunk *c)
{
    while (c != NULL) {
        struct shl_mem_chunk *next = c->next;
        if (c->aligned)
            env_free_aligned(c);
        else
            env_free(c);
        c = next;
    }
}

static struct shl_mem_chunk *take_kept_locked(struct shl_mem_pool *p)
{
    struct shl_mem_chunk *all = p->kept;
    p->kept = NULL;
    p->kept_count = 0;
    return all;
}

static void pool_unref(struct shl_mem_pool *p)
{
    if (p == NULL || env_fetch_sub_acq_rel(&p->refs, 1) != 1)
        return;
    free_chunks(take_kept_locked(p));
    env_mutex_deinit(&p->mu);
    env_free(p);
}

void shl_mem_pool_close(struct shl_mem_pool *p)
{
    if (p == NULL)
        return;
    env_mutex_lock(&p->mu);
    struct shl_mem_chunk *kept = take_kept_locked(p);
    p->closed = true;
    env_mutex_unlock(&p->mu);
    free_chunks(kept);
    pool_unref(p);
}

void shl_mem_pool_trim(struct shl_mem_pool *p)
{
    struct shl_mem_chunk *unused = NULL;
    env_mutex_lock(&p->mu);
    if (!p->taken)
        unused = take_kept_locked(p);
    p->taken = false;
    env_mutex_unlock(&p->mu);
    free_chunks(unused);
}

static struct shl_mem_chunk *pool_take(struct shl_mem_pool *p)
{
    env_mutex_lock(&p->mu);
    struct shl_mem_chunk *c = p->kept;
    if (c != NULL) {
        p->kept = c->next;
        p->kept_count--;
    }
    p->taken = true;
    env_mutex_unlock(&p->mu);
    return c;
}

/* False: the pool has no room for it. */
static bool pool_give(struct shl_mem_pool *p, struct shl_mem_chunk *c)
{
#ifdef SHL_SIM
    memset((uint8_t *)c + CHUNK_HEAD_BYTES, 0xdd,
           c->size - CHUNK_HEAD_BYTES); /* who still reads it shall see */
#endif
    env_mutex_lock(&p->mu);
    bool room = !p->closed && p->kept_count < p->keep_max;
    if (room) {
        c->next = p->kept;
        p->kept = c;
        p->kept_count++;
    }
    env_mutex_unlock(&p->mu);
    return room;
}

/* ---------------------------------------------------------------- the arena */

void shl_mem_arena_init(struct shl_mem_arena *a, struct shl_mem_pool *pool)
{
    *a = (struct shl_mem_arena){.pool = pool};
    if (pool != NULL)
        env_fetch_add(&pool->refs, 1);
}

static size_t chunk_left(const struct shl_mem_chunk *c)
{
    return c == NULL ? 0 : c->size - c->used;
}

static size_t next_chunk_size(size_t chunk_count)
{
    return chunk_count == 0   ? CHUNK_FIRST_BYTES
           : chunk_count == 1 ? CHUNK_SECOND_BYTES
                              : CHUNK_BYTES;
}

static struct shl_mem_chunk *chunk_new(struct shl_mem_pool *pool, size_t size)
{
    bool aligned = size >= CHUNK_BYTES;
    struct shl_mem_chunk *c = pool != NULL && size == CHUNK_BYTES ? pool_take(pool) : NULL;
    if (c == NULL)
        c = aligned ? env_alloc_aligned(CHUNK_BYTES, size) : env_alloc(size);
    if (c != NULL)
        *c = (struct shl_mem_chunk){.size = size, .used = CHUNK_HEAD_BYTES, .aligned = aligned};
    return c;
}

/* Makes the roomier of the two open chunks the current one. */
static void settle_current(struct shl_mem_arena *a)
{
    if (a->current == a->last)
        return;
    struct shl_mem_chunk *closed = a->last;
    if (chunk_left(a->last) > chunk_left(a->current)) {
        closed = a->current;
        a->current = a->last;
    }
    a->used_bytes += chunk_left(closed);
    a->last = a->current;
}

shale_code shl_mem_arena_reserve(struct shl_mem_arena *a, size_t bytes, shale_error *err)
{
    if (chunk_left(a->last) >= bytes || chunk_left(a->current) >= bytes)
        return SHALE_OK;
    size_t need;
    if (!shl_add_size(bytes, CHUNK_HEAD_BYTES, &need))
        return shl_nomem(err);
    struct shl_mem_chunk *c =
        chunk_new(a->pool, shl_max_size(need, next_chunk_size(a->chunk_count)));
    if (c == NULL)
        return shl_nomem(err);
    if (a->current == NULL)
        a->current = a->last = c;
    settle_current(a);
    c->next = a->chunks;
    a->chunks = a->last = c;
    a->chunk_count++;
    return SHALE_OK;
}

/* NULL if it does not fit. */
static void *chunk_take(struct shl_mem_arena *a, struct shl_mem_chunk *c, size_t size, size_t align)
{
    uint8_t *base = (uint8_t *)c;
    size_t pad = (size_t) - ((uintptr_t)base + c->used) & (align - 1);
    size_t left = chunk_left(c);
    if (pad > left || size > left - pad)
        return NULL;
    uint8_t *p = base + c->used + pad;
    c->used += pad + size;
    a->used_bytes += pad + size;
    return p;
}

void *shl_mem_arena_take(struct shl_mem_arena *a, size_t size, size_t align)
{
    SHL_ASSERT(a->current != NULL);
    void *p = chunk_take(a, a->current, size, align);
    if (p != NULL)
        return p;
    p = chunk_take(a, a->last, size, align);
    SHL_ASSERT(p != NULL);
    if (chunk_left(a->last) > chunk_left(a->current))
        settle_current(a);
    return p;
}

void shl_mem_arena_free(struct shl_mem_arena *a)
{
    struct shl_mem_pool *pool = a->pool; /* the arena may be gone after the first chunk */
    struct shl_mem_chunk *c = a->chunks;
    while (c != NULL) {
        struct shl_mem_chunk *next = c->next;
        c->next = NULL;
        if (pool == NULL || c->size != CHUNK_BYTES || !pool_give(pool, c))
            free_chunks(c);
        c = next;
    }
    pool_unref(pool);
}
