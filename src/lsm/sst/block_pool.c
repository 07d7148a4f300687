#include "lsm/sst/block_pool.h"

#include "base/assert.h"
#include "base/num.h"

#include <assert.h>

#define SLAB_BYTES     ((size_t)2 << 20)
#define LINE_BYTES     ((size_t)64)
#define CLASS_COUNT    8 /* sizes of slots, each CLASS_STEP below the one before */
#define CLASS_STEP     ((size_t)192)
#define SLOT_BYTES_MIN (SHL_BLOCK_SLOT_BYTES - CLASS_COUNT * CLASS_STEP + 1)

/* A free slot. */
struct slot {
    struct slot *next;
};

/* Head of a slab, in its first cache line. Slots follow. */
struct slab {
    struct slab *next; /* [mu] in the list of slabs with room */
    struct slab *prev;
    struct slot *free; /* [mu] slots that came back */
    uint32_t used;     /* [mu] slots given out */
    uint32_t fresh;    /* [mu] slots from here on were never used */
    uint32_t class;    /* [const] */
};
static_assert(sizeof(struct slab) <= 64, "a slab's head is one line");
static_assert(SHL_BLOCK_SLOT_BYTES % 64 == 0 && CLASS_STEP % 64 == 0, "slots keep the alignment");

struct shl_block_pool {
    _Atomic uint32_t refs;  /* [atomic] pieces given out, and the owner */
    _Atomic uint64_t bytes; /* [atomic] relaxed: of these pieces */
    bool slabs;             /* [const] */
    struct env_mutex mu;    /* a leaf lock */
    struct slab
        *room[CLASS_COUNT]; /* [mu] slabs with a free slot; at most one of a class is wholly free */
};

shale_code shl_block_pool_new(bool slabs, struct shl_block_pool **out, shale_error *err)
{
    struct shl_block_pool *p = env_calloc(1, sizeof *p);
    if (p == NULL)
        return shl_nomem(err);
    atomic_init(&p->refs, 1);
    atomic_init(&p->bytes, 0);
    p->slabs = slabs;
    env_mutex_init(&p->mu);
    *out = p;
    return SHALE_OK;
}

static void pool_unref(struct shl_block_pool *p)
{
    if (env_fetch_sub_acq_rel(&p->refs, 1) != 1)
        return;
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        while (p->room[i] != NULL) {
            struct slab *s = p->room[i];
            SHL_ASSERT(s->used == 0);
            p->room[i] = s->next;
            env_free_aligned(s);
        }
    }
    env_mutex_deinit(&p->mu);
    env_free(p);
}

void shl_block_pool_close(struct shl_block_pool *p)
{
    if (p != NULL)
        pool_unref(p);
}

static bool is_slot_size(size_t size)
{
    return size >= SLOT_BYTES_MIN && size <= SHL_BLOCK_SLOT_BYTES;
}

static uint32_t class_of(size_t size)
{
    return (uint32_t)((SHL_BLOCK_SLOT_BYTES - size) / CLASS_STEP);
}

static size_t slot_bytes(uint32_t class)
{
    return SHL_BLOCK_SLOT_BYTES - class * CLASS_STEP;
}

static uint32_t slot_count(uint32_t class)
{
    return (uint32_t)((SLAB_BYTES - LINE_BYTES) / slot_bytes(class));
}

size_t shl_block_pool_round(size_t size)
{
    return is_slot_size(size) ? slot_bytes(class_of(size)) : shl_align_up(size, LINE_BYTES);
}

static void room_add_locked(struct shl_block_pool *p, struct slab *s)
{
    struct slab **room = &p->room[s->class];
    s->prev = NULL;
    s->next = *room;
    if (*room != NULL)
        (*room)->prev = s;
    *room = s;
}

static void room_remove_locked(struct shl_block_pool *p, struct slab *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        p->room[s->class] = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
}

static struct slab *slab_new(uint32_t class)
{
    struct slab *s = env_alloc_aligned(SLAB_BYTES, SLAB_BYTES);
    if (s != NULL)
        *s = (struct slab){.class = class};
    return s;
}

/* The slab has room. */
static void *take_slot_locked(struct shl_block_pool *p, struct slab *s)
{
    void *piece = s->free;
    if (s->free != NULL)
        s->free = s->free->next;
    else
        piece = (char *)s + LINE_BYTES + (size_t)s->fresh++ * slot_bytes(s->class);
    if (++s->used == slot_count(s->class))
        room_remove_locked(p, s);
    return piece;
}

static void *slot_alloc(struct shl_block_pool *p, uint32_t class)
{
    struct slab *spare = NULL;
    env_mutex_lock(&p->mu);
    if (p->room[class] == NULL) {
        env_mutex_unlock(&p->mu);
        spare = slab_new(class);
        env_mutex_lock(&p->mu);
        if (spare != NULL)
            room_add_locked(p, spare);
    }
    struct slab *s = p->room[class];
    void *piece = s == NULL ? NULL : take_slot_locked(p, s);
    env_mutex_unlock(&p->mu);
    return piece;
}

static void slot_free(struct shl_block_pool *p, void *piece)
{
    struct slab *s = (void *)((char *)piece - ((uintptr_t)piece & (SLAB_BYTES - 1)));
    struct slot *slot = piece;
    struct slab *unused = NULL;

    env_mutex_lock(&p->mu);
    SHL_ASSERT(s->used > 0);
    slot->next = s->free;
    s->free = slot;
    if (s->used-- == slot_count(s->class))
        room_add_locked(p, s);
    if (s->used == 0 &&
        p->room[s->class]->next != NULL) { /* another one has room too: give this one back */
        room_remove_locked(p, s);
        unused = s;
    }
    env_mutex_unlock(&p->mu);
    env_free_aligned(unused);
}

void *shl_block_pool_alloc(struct shl_block_pool *p, size_t size)
{
    if (p == NULL)
        return env_alloc_aligned(LINE_BYTES, shl_block_pool_round(size));
    void *piece = p->slabs && is_slot_size(size)
                      ? slot_alloc(p, class_of(size))
                      : env_alloc_aligned(LINE_BYTES, shl_block_pool_round(size));
    if (piece != NULL) {
        env_fetch_add(&p->refs, 1);
        env_fetch_add(&p->bytes, shl_block_pool_round(size));
    }
    return piece;
}

uint64_t shl_block_pool_bytes(const struct shl_block_pool *p)
{
    return env_load_relaxed(&p->bytes);
}

void shl_block_pool_free(struct shl_block_pool *p, void *piece, size_t size)
{
    SHL_ASSERT(piece != NULL);
    if (p != NULL)
        (void)env_fetch_sub_acq_rel(&p->bytes, shl_block_pool_round(size));
    if (p == NULL || !p->slabs || !is_slot_size(size))
        env_free_aligned(piece);
    else
        slot_free(p, piece);
    if (p != NULL)
        pool_unref(p);
}
