#include "lsm/sst/block_pool.h"

#include "base/assert.h"
#include "base/num.h"

#include <assert.h>

#define SLAB_BYTES     SHL_BLOCK_SLAB_BYTES
#define LINE_BYTES     ((size_t)64)
#define HEAD_BYTES     (2 * LINE_BYTES)
#define CLASS_COUNT    SHL_BLOCK_SLOT_SIZES /* each CLASS_STEP below the one before */
#define CLASS_STEP     ((size_t)192)
#define SLOT_BYTES_MIN (SHL_BLOCK_SLOT_BYTES - CLASS_COUNT * CLASS_STEP + 1)
#define NOTED_WORDS    11
#define SLACK_SHARE    8  /* of the limit: slots that are free, pieces in use beyond what is kept */
#define FEW_SHARE      8  /* of a slab's slots: no better one is looked for */
#define PATIENCE       64 /* asks until another slab is drained, though one is that readers hold */

/* A free slot. */
struct slot {
    struct slot *next;
};

/* Head of a slab. Slots follow. */
struct slab {
    struct slab *next; /* [mu] in the list of slabs with room, or that of drained ones */
    struct slab *prev;
    struct slot *free;                   /* [mu] slots that came back */
    uint32_t used;                       /* [mu] slots given out; who drains it counts as one */
    uint32_t fresh;                      /* [mu] slots from here on were never used */
    uint32_t class;                      /* [const] */
    _Atomic bool is_drained;             /* [atomic] seq_cst, changed under mu */
    _Atomic uint64_t noted[NOTED_WORDS]; /* [atomic] bits of slots; cleared under mu */
};
static_assert(sizeof(struct slab) <= HEAD_BYTES, "slots begin behind the head");
static_assert((SLAB_BYTES - HEAD_BYTES) / (SLOT_BYTES_MIN + CLASS_STEP - 1) <= 64 * NOTED_WORDS,
              "a bit for each slot");
static_assert(SHL_BLOCK_SLOT_BYTES % 64 == 0 && CLASS_STEP % 64 == 0, "slots keep the alignment");

struct shl_block_pool {
    _Atomic uint32_t refs;        /* [atomic] pieces given out, and the owner */
    _Atomic uint64_t bytes;       /* [atomic] relaxed: of these pieces */
    _Atomic uint64_t plain_bytes; /* [atomic] relaxed: of those outside of slabs */
    _Atomic uint64_t slab_bytes;  /* [atomic] relaxed, changed under mu */
    _Atomic uint64_t may_hold;    /* [atomic] relaxed, changed under mu: the bound */
    bool slabs;                   /* [const] */
    struct env_mutex mu;          /* a leaf lock */
    struct slab
        *room[CLASS_COUNT]; /* [mu] slabs with a free slot; at most one of a class is wholly free */
    uint32_t slab_counts[CLASS_COUNT]; /* [mu] */
    struct slab *drained;              /* [mu] slabs that wait for their last pieces */
    bool is_draining;                  /* [mu] between begin and end */
    uint32_t asks;                     /* [mu] for another slab, while there are drained ones */
};

shale_code shl_block_pool_new(bool slabs, uint64_t limit_bytes, struct shl_block_pool **out,
                              shale_error *err)
{
    struct shl_block_pool *p = env_calloc(1, sizeof *p);
    if (p == NULL)
        return shl_nomem(err);
    atomic_init(&p->refs, 1);
    atomic_init(&p->bytes, 0);
    atomic_init(&p->plain_bytes, 0);
    atomic_init(&p->slab_bytes, 0);
    limit_bytes = shl_min_u64(limit_bytes, UINT64_MAX / 4);
    atomic_init(&p->may_hold, limit_bytes + limit_bytes / SLACK_SHARE);
    p->slabs = slabs;
    env_mutex_init(&p->mu);
    *out = p;
    return SHALE_OK;
}

static void pool_unref(struct shl_block_pool *p)
{
    if (env_fetch_sub_acq_rel(&p->refs, 1) != 1)
        return;
    SHL_ASSERT(p->drained == NULL);
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
    return (uint32_t)((SLAB_BYTES - HEAD_BYTES) / slot_bytes(class));
}

size_t shl_block_pool_round(size_t size)
{
    return is_slot_size(size) ? slot_bytes(class_of(size)) : shl_align_up(size, LINE_BYTES);
}

static void list_add(struct slab **list, struct slab *s)
{
    s->prev = NULL;
    s->next = *list;
    if (*list != NULL)
        (*list)->prev = s;
    *list = s;
}

static void list_remove(struct slab **list, struct slab *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        *list = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
}

static struct slab *slab_of(void *piece)
{
    return (void *)((char *)piece - ((uintptr_t)piece & (SLAB_BYTES - 1)));
}

static void *slot_at(struct slab *s, uint32_t index)
{
    return (char *)s + HEAD_BYTES + (size_t)index * slot_bytes(s->class);
}

static uint32_t slot_index(struct slab *s, void *piece)
{
    return (uint32_t)((size_t)((char *)piece - (char *)slot_at(s, 0)) / slot_bytes(s->class));
}

static struct slab *slab_new(uint32_t class)
{
    struct slab *s = env_alloc_aligned(SLAB_BYTES, SLAB_BYTES);
    if (s == NULL)
        return NULL;
    *s = (struct slab){.class = class};
    atomic_init(&s->is_drained, false);
    for (size_t i = 0; i < NOTED_WORDS; i++)
        atomic_init(&s->noted[i], 0);
    return s;
}

/* A class in use may have one slab beyond the rest, so that the first one is always to be had. */
static bool count_slab_locked(struct shl_block_pool *p, uint32_t class)
{
    uint64_t more = p->slab_counts[class] == 0 ? SLAB_BYTES : 0;
    if (shl_block_pool_held(p) + SLAB_BYTES > env_load_relaxed(&p->may_hold) + more)
        return false;
    p->slab_counts[class]++;
    env_fetch_add(&p->may_hold, more);
    env_fetch_add(&p->slab_bytes, SLAB_BYTES);
    return true;
}

static void uncount_slab_locked(struct shl_block_pool *p, uint32_t class)
{
    SHL_ASSERT(p->slab_counts[class] > 0);
    (void)env_fetch_sub_acq_rel(&p->slab_bytes, SLAB_BYTES);
    if (--p->slab_counts[class] == 0)
        (void)env_fetch_sub_acq_rel(&p->may_hold, SLAB_BYTES);
}

/* The slab has room. */
static void *take_slot_locked(struct shl_block_pool *p, struct slab *s)
{
    void *piece = s->free;
    if (s->free != NULL)
        s->free = s->free->next;
    else
        piece = slot_at(s, s->fresh++);
    if (++s->used == slot_count(s->class))
        list_remove(&p->room[s->class], s);
    return piece;
}

/* A drained slab serves its own class again, rather than nobody. */
static bool readmit_locked(struct shl_block_pool *p, uint32_t class)
{
    struct slab *s = p->drained;
    while (s != NULL && s->class != class)
        s = s->next;
    if (s == NULL)
        return false;
    list_remove(&p->drained, s);
    env_store_seq(&s->is_drained, false);
    list_add(&p->room[class], s);
    return true;
}

/* *is_full: there is memory, but not within the bound. */
static void *slot_alloc(struct shl_block_pool *p, uint32_t class, bool *is_full)
{
    env_mutex_lock(&p->mu);
    if (p->room[class] == NULL) {
        if (count_slab_locked(p, class)) {
            env_mutex_unlock(&p->mu);
            struct slab *spare = slab_new(class);
            env_mutex_lock(&p->mu);
            if (spare != NULL)
                list_add(&p->room[class], spare);
            else
                uncount_slab_locked(p, class);
        } else {
            *is_full = !readmit_locked(p, class);
        }
    }
    struct slab *s = p->room[class];
    void *piece = s == NULL ? NULL : take_slot_locked(p, s);
    env_mutex_unlock(&p->mu);
    return piece;
}

static _Atomic uint64_t *noted_word(struct slab *s, void *piece, uint64_t *bit)
{
    uint32_t i = slot_index(s, piece);
    *bit = UINT64_C(1) << (i % 64);
    return &s->noted[i / 64];
}

/* Takes the slab out of its list, if nothing needs it. */
static bool is_unused_locked(struct shl_block_pool *p, struct slab *s)
{
    bool is_drained = env_load_relaxed(&s->is_drained);
    struct slab **list = is_drained ? &p->drained : &p->room[s->class];
    if (s->used > 0 || (!is_drained && (*list)->next == NULL))
        return false; /* of a class in use, one stays that has room */
    list_remove(list, s);
    uncount_slab_locked(p, s->class);
    return true;
}

static void slot_free(struct shl_block_pool *p, void *piece)
{
    struct slab *s = slab_of(piece);
    struct slot *slot = piece;
    uint64_t bit;
    _Atomic uint64_t *noted = noted_word(s, piece, &bit);

    env_mutex_lock(&p->mu);
    SHL_ASSERT(s->used > 0);
    if ((env_load_relaxed(noted) & bit) != 0)
        (void)env_fetch_sub_acq_rel(noted, bit);
    slot->next = s->free;
    s->free = slot;
    if (s->used-- == slot_count(s->class) && !env_load_relaxed(&s->is_drained))
        list_add(&p->room[s->class], s);
    struct slab *unused = is_unused_locked(p, s) ? s : NULL;
    env_mutex_unlock(&p->mu);
    env_free_pages(unused, SLAB_BYTES);
}

static bool is_in_slab(const struct shl_block_pool *p, size_t size)
{
    return p != NULL && p->slabs && is_slot_size(size);
}

void *shl_block_pool_alloc(struct shl_block_pool *p, size_t size, struct shl_block_pool **home)
{
    size_t bytes = shl_block_pool_round(size);
    bool in_slab = is_in_slab(p, size);
    bool is_full = false;
    void *piece = in_slab ? slot_alloc(p, class_of(size), &is_full) : NULL;
    *home = is_full ? NULL : p;
    if (!in_slab || is_full)
        piece = env_alloc_aligned(LINE_BYTES, bytes);
    if (piece == NULL || *home == NULL)
        return piece;
    env_fetch_add(&p->refs, 1);
    env_fetch_add(&p->bytes, bytes);
    if (!in_slab)
        env_fetch_add(&p->plain_bytes, bytes);
    return piece;
}

uint64_t shl_block_pool_bytes(const struct shl_block_pool *p)
{
    return env_load_relaxed(&p->bytes);
}

uint64_t shl_block_pool_held(const struct shl_block_pool *p)
{
    return env_load_relaxed(&p->slab_bytes) + env_load_relaxed(&p->plain_bytes);
}

bool shl_block_pool_is_over(const struct shl_block_pool *p)
{
    return p->slabs && shl_block_pool_held(p) > env_load_relaxed(&p->may_hold);
}

void shl_block_pool_free(struct shl_block_pool *p, void *piece, size_t size)
{
    SHL_ASSERT(piece != NULL);
    size_t bytes = shl_block_pool_round(size);
    bool in_slab = is_in_slab(p, size);
    if (p != NULL)
        (void)env_fetch_sub_acq_rel(&p->bytes, bytes);
    if (p != NULL && !in_slab)
        (void)env_fetch_sub_acq_rel(&p->plain_bytes, bytes);
    if (in_slab)
        slot_free(p, piece);
    else
        env_free_aligned(piece);
    if (p != NULL)
        pool_unref(p);
}

/* ---------------------------------------------------------------- draining */

bool shl_block_pool_note(struct shl_block_pool *p, void *piece, size_t size)
{
    if (!is_in_slab(p, size))
        return true;
    struct slab *s = slab_of(piece);
    uint64_t bit;
    _Atomic uint64_t *noted = noted_word(s, piece, &bit);
    (void)env_fetch_or(noted, bit); /* before the look: either sees the other */
    return !env_load_seq(&s->is_drained);
}

/* The only slab of a class is its own in any case. */
static struct slab *emptiest_locked(const struct shl_block_pool *p, uint32_t but_class)
{
    struct slab *best = NULL;
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) {
        if (class == but_class || p->slab_counts[class] < 2)
            continue;
        for (struct slab *s = p->room[class]; s != NULL; s = s->next) {
            if (s->used < slot_count(class) / FEW_SHARE)
                return s;
            if (best == NULL || s->used < best->used)
                best = s;
        }
    }
    return best;
}

bool shl_block_pool_drain_begin(struct shl_block_pool *p, size_t size, struct shl_block_drain *d)
{
    struct slab *s = NULL;
    env_mutex_lock(&p->mu);
    bool waits = p->is_draining || (p->drained != NULL && ++p->asks < PATIENCE);
    if (!waits)
        s = emptiest_locked(p, is_in_slab(p, size) ? class_of(size) : CLASS_COUNT);
    if (s != NULL) {
        p->is_draining = true;
        p->asks = 0;
        list_remove(&p->room[s->class], s);
        env_store_seq(&s->is_drained, true);
        s->used++;
    }
    env_mutex_unlock(&p->mu);
    *d = (struct shl_block_drain){.slab = s};
    return s != NULL;
}

void *shl_block_pool_drain_next(struct shl_block_drain *d)
{
    struct slab *s = d->slab;
    while (d->at < slot_count(s->class)) {
        uint32_t i = d->at++;
        if ((env_load_seq(&s->noted[i / 64]) >> (i % 64) & 1) != 0)
            return slot_at(s, i);
    }
    return NULL;
}

void shl_block_pool_drain_end(struct shl_block_pool *p, struct shl_block_drain *d)
{
    struct slab *s = d->slab;
    env_mutex_lock(&p->mu);
    p->is_draining = false;
    s->used--;
    list_add(&p->drained, s);
    struct slab *unused = is_unused_locked(p, s) ? s : NULL;
    env_mutex_unlock(&p->mu);
    env_free_pages(unused, SLAB_BYTES);
}
