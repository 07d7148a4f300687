/* Memory of the simulation: the C library's, each block linked into the group that owns it, so that a kill can free what
 * the process had and a test can ask what was not given back. Every allocation can be made to fail by its number.
 *
 *   +--------------+-----------------+
 *   | struct block | the caller's    |   base is what the C library gave; for aligned blocks there is a gap before
 *   +--------------+-----------------+
 *
 * realloc always moves: a pointer kept from before is found by AddressSanitizer. */
#include "base/env/sim_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

static struct sim_state *const S = &sim_state;

#define MAGIC_PLAIN   UINT32_C(0x504c4149)
#define MAGIC_ALIGNED UINT32_C(0x414c4947)

struct sim_block {
    struct sim_block *next;
    struct sim_block *prev;
    void *base;
    size_t size;
    uint64_t number; /* of the group's allocations */
    sim_group group;
    uint32_t magic;
};
_Static_assert(sizeof(struct sim_block) % 16 == 0, "what follows must be aligned to 16 bytes");

/* ---------------------------------------------------------------- blocks */

bool sim_alloc_allowed(void)
{
    struct sim_group_state *g = &S->groups[sim_self()->owner];
    if (!sim_nth_hits(&g->alloc_fault))
        return true;
    sim_trace("allocation %" PRIu64 " fails", g->alloc_fault.seen - 1);
    return false;
}

static void link_block(struct sim_block *b, sim_group group)
{
    struct sim_group_state *g = &S->groups[group];
    b->group = group;
    b->number = g->blocks_seen++;
    b->prev = NULL;
    b->next = g->blocks;
    if (g->blocks != NULL)
        g->blocks->prev = b;
    g->blocks = b;
    g->blocks_live++;
    g->bytes_live += b->size;
    g->bytes_peak = shl_max_u64(g->bytes_peak, g->bytes_live);
}

static void unlink_block(struct sim_block *b)
{
    struct sim_group_state *g = &S->groups[b->group];
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        g->blocks = b->next;
    if (b->next != NULL)
        b->next->prev = b->prev;
    SHL_ASSERT(g->blocks_live > 0);
    g->blocks_live--;
    g->bytes_live -= b->size;
}

static void *block_new(size_t size, sim_group group)
{
    size_t total;
    if (!sim_alloc_allowed() || !shl_add_size(size, sizeof(struct sim_block), &total))
        return NULL;
    struct sim_block *b = malloc(total);
    if (b == NULL)
        return NULL;
    b->base = b;
    b->size = size;
    b->magic = MAGIC_PLAIN;
    link_block(b, group);
    return b + 1;
}

static struct sim_block *block_of(void *p, uint32_t magic)
{
    struct sim_block *b = (struct sim_block *)p - 1;
    SHL_ASSERT(
        b->magic ==
        magic); /* not ours, freed twice, freed as the other kind, or written before its begin */
    return b;
}

static void block_free(struct sim_block *b)
{
    unlink_block(b);
    b->magic = 0;
    free(b->base);
}

void sim_mem_free_group(sim_group g)
{
    while (S->groups[g].blocks != NULL)
        block_free(S->groups[g].blocks);
}

/* ---------------------------------------------------------------- env.h */

void *env_alloc(size_t size)
{
    return block_new(size, sim_self()->owner);
}

void *env_calloc(size_t count, size_t size)
{
    size_t total;
    if (!shl_mul_size(count, size, &total))
        return NULL;
    void *p = env_alloc(total);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

void *env_realloc(void *p, size_t size)
{
    if (p == NULL)
        return env_alloc(size);
    struct sim_block *old = block_of(p, MAGIC_PLAIN);
    void *moved = block_new(size, old->group);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, shl_min_size(size, old->size));
    block_free(old);
    return moved;
}

void env_free(void *p)
{
    if (p != NULL)
        block_free(block_of(p, MAGIC_PLAIN));
}

void *env_alloc_aligned(size_t align, size_t size)
{
    SHL_ASSERT(align > 0 && (align & (align - 1)) == 0);
    SHL_ASSERT(align <= (2u << 20));
    align = shl_max_size(align, 16);
    size_t head = shl_align_up(sizeof(struct sim_block), align);
    size_t total;
    void *base = NULL;
    if (!sim_alloc_allowed() || !shl_add_size(head, size, &total) ||
        posix_memalign(&base, align, total) != 0)
        return NULL;
    void *p = (char *)base + head;
    struct sim_block *b = (struct sim_block *)p - 1;
    b->base = base;
    b->size = size;
    b->magic = MAGIC_ALIGNED;
    link_block(b, sim_self()->owner);
    return p;
}

void env_free_aligned(void *p)
{
    if (p != NULL)
        block_free(block_of(p, MAGIC_ALIGNED));
}

void env_free_pages(void *p, size_t size)
{
    (void)size;
    env_free_aligned(p);
}

void env_return_large_blocks(void)
{
}

/* ---------------------------------------------------------------- sim.h */

void sim_alloc_fault_arm(sim_group g, uint64_t n, bool sticky)
{
    sim_group_of(g)->alloc_fault = (struct sim_nth){.armed = true, .sticky = sticky, .n = n};
}

uint64_t sim_alloc_fault_disarm(sim_group g)
{
    struct sim_nth *nth = &sim_group_of(g)->alloc_fault;
    nth->armed = false;
    return nth->seen;
}

uint64_t sim_alloc_live(sim_group g)
{
    return sim_group_of(g)->blocks_live;
}

uint64_t sim_alloc_live_bytes(sim_group g)
{
    return sim_group_of(g)->bytes_live;
}

uint64_t sim_alloc_peak_bytes(sim_group g)
{
    struct sim_group_state *group = sim_group_of(g);
    uint64_t peak = group->bytes_peak;
    group->bytes_peak = group->bytes_live;
    return peak;
}

void sim_alloc_live_print(sim_group g, unsigned max)
{
    const struct sim_group_state *group = sim_group_of(g);
    (void)fprintf(stderr, "%s: %" PRIu64 " living allocations, newest first\n", group->name,
                  group->blocks_live);
    for (const struct sim_block *b = group->blocks; b != NULL && max > 0; b = b->next, max--)
        (void)fprintf(stderr, "  number %" PRIu64 ", %zu bytes\n", b->number, b->size);
}
