#include "lsm/sst/block_cache.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/format/block.h"
#include "lsm/format/block_entry.h"

#include <assert.h>
#include <stdalign.h>

#define LINE_BYTES       64
#define SHARD_COUNT      16
#define COUNTER_COUNT    64
#define GHOSTS_MIN       ((size_t)16)
#define GHOSTS_MAX       ((size_t)1 << 18) /* per shard: remembers 18 GiB of 4 KiB blocks in all */
#define SLAB_LIMIT_MIN   ((uint64_t)16 << 20) /* smaller caches take plain memory */
#define PROBATION_TENTHS 1
#define SIDE_ENTRY_BYTES 6 /* of an entry in the side table */
#define ENTRY_BYTES      58
#define RETIRED_SHARE    8 /* of the limit: blocks that were evicted and are in use */
#define SPARED_MAX       256 /* blocks that the hand passes by in one go before it takes whatever comes */

static_assert(offsetof(struct shl_block, retired) == LINE_BYTES, "a lookup reads one line");
static_assert(sizeof(struct shl_block) % 8 == 0, "heads are aligned");

/* A queue: the oldest leaves first. */
struct ring {
    struct shl_block *oldest;
    struct shl_block *newest;
    size_t bytes;
};

struct shard {
    alignas(LINE_BYTES) struct env_mutex mu; /* taken before the epoch's and the pool's locks */
    struct env_cond loaded;                  /* some slot is no longer loading */
    unsigned waiters;                        /* [mu] */
    struct ring probation;                   /* [mu] */
    struct ring main;                        /* [mu] */
    _Atomic uint64_t evicted;                /* [atomic] relaxed */
    bool
        has_ghosts; /* [mu] there ever was one: else the table, which is memory never touched, is not read */
    uint64_t *
        ghosts; /* [mu] owned: hashes of blocks that left probation or were not admitted, each at its own place */
};

struct counter {
    alignas(LINE_BYTES) _Atomic uint64_t
        hits; /* [atomic] written by the tasks of one index, read by anyone */
    _Atomic uint64_t misses;
};

struct shl_cache {
    uint64_t limit_bytes;        /* [const] */
    struct shl_epoch *epoch;     /* [const] borrowed */
    struct shl_block_pool *pool; /* [const] owned */
    size_t ghost_mask;           /* [const] */
    struct shl_block loading;    /* only its address is used */
    alignas(LINE_BYTES) _Atomic uint64_t
        used_bytes; /* [atomic] blocks in the rings and reservations */
    struct shard shards[SHARD_COUNT];
    struct counter counters[COUNTER_COUNT];
};

/* ---------------------------------------------------------------- blocks */

/* Bytes for the side table, in blocks of up to 4 KiB all that the slot leaves: room for entries of 58 bytes and more, in a full block of 4 KiB 63 to 75,
 * but for no more than there can be. */
static size_t side_room(size_t len, size_t entries_max)
{
    size_t entries = shl_min_size(1 + len / ENTRY_BYTES, entries_max);
    size_t room = shl_align_up(entries * SIDE_ENTRY_BYTES, 8);
    size_t least = sizeof(struct shl_block) + len;
    if (least > SHL_BLOCK_SLOT_BYTES)
        return room;
    size_t whole = shl_block_pool_round(shl_min_size(least + room, SHL_BLOCK_SLOT_BYTES));
    return (whole - least) & ~(size_t)7;
}

static size_t block_memory(size_t len, size_t entries_max)
{
    return sizeof(struct shl_block) + side_room(len, entries_max) + len;
}

size_t shl_block_charge(size_t len)
{
    return shl_block_pool_round(block_memory(len, SIZE_MAX));
}

/* By its restarts. Of blocks that are not in order, or have others than usual, it may be too few: then there is no side table. */
static size_t entries_max(struct shl_slice raw, unsigned version)
{
    struct shl_block_tail t;
    shale_error ignored;
    if (version != 2 || shl_block_tail_read(raw, version, &t, &ignored) != SHALE_OK)
        return SIZE_MAX;
    return (size_t)t.count * SHL_BLOCK_RESTART_INTERVAL;
}

size_t shl_block_charge_copy(struct shl_slice raw, unsigned version)
{
    return shl_block_pool_round(block_memory(raw.len, entries_max(raw, version)));
}

size_t shl_block_charge_of(const struct shl_block *b)
{
    return shl_block_pool_round(b->memory_bytes);
}

static struct shl_block *new_block(struct shl_cache *c, size_t len, size_t room, unsigned version)
{
    SHL_ASSERT(version == 1 || version == 2);
    if (len > UINT32_MAX / 2)
        return NULL;
    struct shl_block_pool *home;
    size_t bytes = sizeof(struct shl_block) + room + len;
    struct shl_block *b = shl_block_pool_alloc(c == NULL ? NULL : c->pool, bytes, &home);
    if (b == NULL)
        return NULL;
    *b = (struct shl_block){.raw_len = (uint32_t)len,
                            .raw_offset = (uint32_t)(sizeof *b + room),
                            .version = (uint8_t)version,
                            .pool = home,
                            .memory_bytes = bytes};
    atomic_init(&b->recent, 0);
    atomic_init(&b->refs, 1);
    return b;
}

struct shl_block *shl_block_new(struct shl_cache *c, size_t len, unsigned version)
{
    return new_block(c, len, side_room(len, SIZE_MAX), version);
}

struct shl_block *shl_block_copy(struct shl_cache *c, struct shl_slice raw, unsigned version)
{
    size_t room = side_room(raw.len, entries_max(raw, version));
    struct shl_block *b = new_block(c, raw.len, room, version);
    if (b != NULL && raw.len > 0)
        memcpy(shl_block_bytes(b), raw.data, raw.len);
    return b;
}

struct shl_slice shl_block_raw(const struct shl_block *b)
{
    return shl_slice_of((const uint8_t *)b + b->raw_offset, b->raw_len);
}

struct shl_block *shl_block_ref(struct shl_block *b)
{
    uint32_t before = env_fetch_add(&b->refs, 1);
    SHL_ASSERT(before > 0 && before < UINT32_MAX);
    return b;
}

void shl_block_unref(struct shl_block *b)
{
    if (b == NULL)
        return;
    uint32_t before = env_fetch_sub_acq_rel(&b->refs, 1);
    SHL_ASSERT(before > 0);
    if (before == 1)
        shl_block_pool_free(b->pool, b, b->memory_bytes);
}

static void free_retired(struct shl_retired *r)
{
    shl_block_unref((void *)((char *)r - offsetof(struct shl_block, retired)));
}

/* ---------------------------------------------------------------- the cache */

static size_t ghost_count(uint64_t limit_bytes)
{
    uint64_t want = limit_bytes / SHARD_COUNT / SHL_BLOCK_SLOT_BYTES;
    size_t n = GHOSTS_MIN;
    while (n < want && n < GHOSTS_MAX)
        n *= 2;
    return n;
}

shale_code shl_cache_new(uint64_t limit_bytes, struct shl_epoch *epoch, struct shl_cache **out,
                         shale_error *err)
{
    SHL_ASSERT(epoch != NULL);
    shale_code rc = SHALE_OK;
    struct shl_cache *c = env_alloc_aligned(LINE_BYTES, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    memset(c, 0, sizeof *c);
    c->limit_bytes = limit_bytes;
    c->epoch = epoch;
    size_t ghosts = ghost_count(limit_bytes);
    c->ghost_mask = ghosts - 1;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        env_mutex_init(&c->shards[i].mu);
        env_cond_init(&c->shards[i].loaded);
    }
    SHL_TRY(shl_block_pool_new(limit_bytes >= SLAB_LIMIT_MIN, limit_bytes, &c->pool, err));
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        c->shards[i].ghosts = env_calloc(ghosts, sizeof(uint64_t));
        if (c->shards[i].ghosts == NULL)
            SHL_TRY(shl_nomem(err));
    }
    *out = c;
    c = NULL;
out:
    shl_cache_free(c);
    return rc;
}

void shl_cache_free(struct shl_cache *c)
{
    if (c == NULL)
        return;
    SHL_ASSERT(env_load_relaxed(&c->used_bytes) ==
               0); /* handles drop their blocks when they are closed */
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *s = &c->shards[i];
        SHL_ASSERT(s->probation.oldest == NULL && s->main.oldest == NULL && s->waiters == 0);
        env_free(s->ghosts);
        env_cond_deinit(&s->loaded);
        env_mutex_deinit(&s->mu);
    }
    shl_block_pool_close(c->pool);
    env_free_aligned(c);
}

static struct counter *own_counter(struct shl_cache *c)
{
    return &c->counters[env_task_index() % COUNTER_COUNT];
}

void shl_cache_hit(struct shl_cache *c)
{
    struct counter *n = own_counter(c);
    env_store_relaxed(&n->hits, env_load_relaxed(&n->hits) + 1);
}

void shl_cache_miss(struct shl_cache *c)
{
    env_fetch_add(&own_counter(c)->misses, 1);
}

void shl_cache_count(const struct shl_cache *c, struct shl_cache_counts *out)
{
    *out = (struct shl_cache_counts){.bytes = env_load_relaxed(&c->used_bytes),
                                     .memory_bytes = shl_block_pool_held(c->pool)};
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        out->hits += env_load_relaxed(&c->counters[i].hits);
        out->misses += env_load_relaxed(&c->counters[i].misses);
    }
    for (size_t i = 0; i < SHARD_COUNT; i++)
        out->evicted += env_load_relaxed(&c->shards[i].evicted);
}

/* ---------------------------------------------------------------- rings */

static void ring_append_locked(struct ring *r, struct shl_block *b)
{
    b->newer = NULL;
    b->older = r->newest;
    if (r->newest != NULL)
        r->newest->newer = b;
    else
        r->oldest = b;
    r->newest = b;
    r->bytes += shl_block_charge_of(b);
}

static void ring_remove_locked(struct ring *r, struct shl_block *b)
{
    if (b->older != NULL)
        b->older->newer = b->newer;
    else
        r->oldest = b->newer;
    if (b->newer != NULL)
        b->newer->older = b->older;
    else
        r->newest = b->older;
    SHL_ASSERT(r->bytes >= shl_block_charge_of(b));
    r->bytes -= shl_block_charge_of(b);
}

static struct shard *shard_of(struct shl_cache *c, uint64_t hash)
{
    return &c->shards[hash % SHARD_COUNT];
}

static uint64_t *ghost_place(const struct shl_cache *c, struct shard *s, uint64_t hash)
{
    return &s->ghosts[(hash / SHARD_COUNT) & c->ghost_mask];
}

static struct ring *ring_of_locked(struct shard *s, const struct shl_block *b)
{
    return b->in_main ? &s->main : &s->probation;
}

/* A block that comes back soon enters the main ring. */
static void leave_ghost_locked(const struct shl_cache *c, struct shard *s, uint64_t hash)
{
    *ghost_place(c, s, hash) = hash;
    s->has_ghosts = true;
}

/* Takes the block out of its slot; the caller retires it after unlocking. */
static void unpublish_locked(struct shl_block *b)
{
    struct shl_block *was = env_exchange(b->slot, NULL);
    SHL_ASSERT(was == b);
    b->slot = NULL;
}

/* Moves the hands until `need` bytes are out or nothing is left. Gives the victims, linked by `newer`. */
static size_t evict_locked(const struct shl_cache *c, struct shard *s, size_t need,
                           struct shl_block **victims)
{
    size_t freed = 0;
    for (unsigned spared = 0; freed < need;) {
        size_t all = s->probation.bytes + s->main.bytes;
        bool on_probation =
            s->main.oldest == NULL ||
            (s->probation.oldest != NULL && s->probation.bytes >= all / 10 * PROBATION_TENTHS);
        struct ring *r = on_probation ? &s->probation : &s->main;
        struct shl_block *b = r->oldest;
        if (b == NULL)
            break;
        ring_remove_locked(r, b);
        if (spared < SPARED_MAX && env_load_relaxed(&b->recent) != 0) {
            env_store_relaxed(&b->recent, 0);
            b->in_main = true;
            ring_append_locked(&s->main, b);
            spared++;
            continue;
        }
        if (on_probation)
            leave_ghost_locked(c, s, b->hash);
        unpublish_locked(b);
        freed += shl_block_charge_of(b);
        env_fetch_add(&s->evicted, 1);
        b->newer = *victims;
        *victims = b;
    }
    return freed;
}

/* Drops what evict_locked gave; without lock. */
static void retire_all(struct shl_cache *c, struct shl_block *victims)
{
    while (victims != NULL) {
        struct shl_block *b = victims;
        victims = b->newer;
        shl_epoch_retire(c->epoch, &b->retired, free_retired);
    }
}

static size_t evict(struct shl_cache *c, struct shard *s, size_t need)
{
    struct shl_block *victims = NULL;
    env_mutex_lock(&s->mu);
    size_t freed = evict_locked(c, s, need, &victims);
    env_mutex_unlock(&s->mu);
    shl_cache_unreserve(c, freed);
    retire_all(c, victims);
    return freed;
}

bool shl_cache_reserve(struct shl_cache *c, uint64_t hash, size_t bytes)
{
    if (bytes > c->limit_bytes)
        return false;
    for (uint64_t k = 0; k < SHARD_COUNT;) {
        uint64_t used = env_load_relaxed(&c->used_bytes);
        if (used <= c->limit_bytes - bytes) {
            if (env_cas(&c->used_bytes, &used, used + bytes))
                return true;
        } else if (evict(c, shard_of(c, hash + k), (size_t)(used + bytes - c->limit_bytes)) == 0) {
            k++; /* that shard is empty */
        }
    }
    return false;
}

void shl_cache_unreserve(struct shl_cache *c, size_t bytes)
{
    uint64_t before = env_fetch_sub_acq_rel(&c->used_bytes, bytes);
    SHL_ASSERT(before >= bytes);
}

/* ---------------------------------------------------------------- slots */

struct shl_block *shl_cache_loading(struct shl_cache *c)
{
    return &c->loading;
}

static bool holds_too_much(const struct shl_cache *c)
{
    return shl_block_pool_bytes(c->pool) > c->limit_bytes + c->limit_bytes / RETIRED_SHARE;
}

bool shl_cache_has_memory(struct shl_cache *c)
{
    if (!holds_too_much(c))
        return true;
    (void)shl_epoch_collect(c->epoch);
    return !holds_too_much(c);
}

/* A noted block of a slab that is being drained: in the cache, or not any more. */
static void evict_noted(struct shl_cache *c, struct shl_block *b)
{
    struct shard *s = shard_of(c, b->hash);
    env_mutex_lock(&s->mu);
    bool was_in = b->slot != NULL;
    if (was_in) {
        ring_remove_locked(ring_of_locked(s, b), b);
        leave_ghost_locked(c, s, b->hash);
        unpublish_locked(b);
        env_fetch_add(&s->evicted, 1);
    }
    env_mutex_unlock(&s->mu);
    if (!was_in)
        return;
    shl_cache_unreserve(c, shl_block_charge_of(b));
    shl_epoch_retire(c->epoch, &b->retired, free_retired);
}

/* Gives memory of other sizes back to what a block of `bytes` needs. */
static bool drain(struct shl_cache *c, size_t bytes)
{
    struct shl_block_drain d;
    if (!shl_block_pool_drain_begin(c->pool, bytes, &d))
        return false;
    for (struct shl_block *b; (b = shl_block_pool_drain_next(&d)) != NULL;)
        evict_noted(c, b);
    shl_block_pool_drain_end(c->pool, &d);
    (void)shl_epoch_collect(c->epoch);
    return true;
}

bool shl_cache_can_keep(struct shl_cache *c, const struct shl_block *b, uint64_t hash)
{
    bool is_outside = b->pool == NULL;
    if (!is_outside && !shl_block_pool_is_over(c->pool))
        return true;
    bool drained = shl_cache_has_memory(c) && drain(c, b->memory_bytes);
    if (is_outside && !drained) /* readers hold the memory: there is less for the cache */
        (void)evict(c, shard_of(c, hash), shl_block_charge_of(b));
    return !is_outside;
}

bool shl_cache_begin(struct shl_cache *c, struct shl_block *_Atomic *slot)
{
    struct shl_block *expected = NULL;
    return env_cas(slot, &expected, &c->loading);
}

static void wake_locked(struct shard *s)
{
    if (s->waiters > 0)
        env_cond_broadcast(&s->loaded);
}

void shl_cache_publish(struct shl_cache *c, struct shl_block *_Atomic *slot,
                       struct shl_block *take_b, uint64_t hash)
{
    struct shard *s = shard_of(c, hash);
    struct shl_block *b = take_b;
    SHL_ASSERT(b->slot == NULL);
    b->slot = slot;
    b->hash = hash;
    env_mutex_lock(&s->mu);
    bool stays = shl_block_pool_note(b->pool, b, b->memory_bytes);
    if (stays) {
        b->in_main = s->has_ghosts && *ghost_place(c, s, hash) == hash;
        if (b->in_main)
            *ghost_place(c, s, hash) = 0;
        ring_append_locked(ring_of_locked(s, b), b);
    } else {
        b->slot = NULL;
    }
    struct shl_block *was = env_exchange(slot, stays ? b : NULL);
    SHL_ASSERT(was == &c->loading);
    wake_locked(s);
    env_mutex_unlock(&s->mu);
    if (stays)
        return;
    shl_cache_unreserve(c, shl_block_charge_of(b));
    shl_block_unref(b);
}

void shl_cache_abandon(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash)
{
    struct shard *s = shard_of(c, hash);
    env_mutex_lock(&s->mu);
    struct shl_block *was = env_exchange(slot, NULL);
    SHL_ASSERT(was == &c->loading);
    wake_locked(s);
    env_mutex_unlock(&s->mu);
}

void shl_cache_wait(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash)
{
    struct shard *s = shard_of(c, hash);
    env_mutex_lock(&s->mu);
    s->waiters++;
    while (env_load_seq(slot) == &c->loading)
        env_cond_wait(&s->loaded, &s->mu);
    s->waiters--;
    env_mutex_unlock(&s->mu);
}

void shl_cache_drop(struct shl_cache *c, struct shl_block *_Atomic *slot, uint64_t hash)
{
    if (env_load_seq(slot) == NULL)
        return; /* nobody can fill it any more */
    struct shard *s = shard_of(c, hash);
    env_mutex_lock(&s->mu);
    struct shl_block *b = env_load_seq(slot);
    SHL_ASSERT(b != &c->loading);
    if (b != NULL) {
        ring_remove_locked(ring_of_locked(s, b), b);
        unpublish_locked(b);
    }
    env_mutex_unlock(&s->mu);
    if (b == NULL)
        return;
    shl_cache_unreserve(c, shl_block_charge_of(b));
    shl_epoch_retire(c->epoch, &b->retired, free_retired);
}
