/* Epochs over a fixed array of slots.
 *
 * A reader writes the current epoch into a free slot, normally the one that its task index names. A remover reads the epoch after it
 * swapped its pointer; a collector first moves the epoch on and then looks at every slot. All of these are seq_cst, so
 * there is one order of them: a reader whose slot the collector did not see entered after the swap and found the new pointer. */
#include "lsm/epoch.h"

#include "base/assert.h"

#include <assert.h>
#include <stdalign.h>

#define EPOCH_SLOTS         128
#define EPOCH_LINE_BYTES    64
#define EPOCH_RETIRES_EVERY 64 /* retire calls between two collections */

/* A slot word: epoch << 1 | 1 while occupied, else 0. */
#define EPOCH_OCCUPIED UINT64_C(1)

struct epoch_slot {
    alignas(
        EPOCH_LINE_BYTES) _Atomic uint64_t word; /* [atomic] seq_cst to enter, release to leave */
    _Atomic uint64_t counts[SHL_EPOCH_COUNTS];   /* [atomic] relaxed; written by who is inside */
};
static_assert(sizeof(struct epoch_slot) == EPOCH_LINE_BYTES, "a slot is one cache line");

struct shl_epoch {
    struct epoch_slot slots[EPOCH_SLOTS];
    alignas(EPOCH_LINE_BYTES) _Atomic uint64_t now; /* [atomic] seq_cst; starts at 1 */
    struct env_mutex mu;                            /* a leaf lock: nothing is called under it */
    struct shl_retired *retired;                    /* [mu] waiting to be freed, newest first */
    size_t retired_count;                           /* [mu] */
    uint64_t retire_calls;                          /* [mu] */
};

shale_code shl_epoch_new(struct shl_epoch **out, shale_error *err)
{
    struct shl_epoch *e = env_alloc_aligned(EPOCH_LINE_BYTES, sizeof *e);
    if (e == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < EPOCH_SLOTS; i++)
        e->slots[i] = (struct epoch_slot){0};
    atomic_init(&e->now, 1);
    env_mutex_init(&e->mu);
    e->retired = NULL;
    e->retired_count = 0;
    e->retire_calls = 0;
    *out = e;
    return SHALE_OK;
}

static void free_list(struct shl_retired *list)
{
    while (list != NULL) {
        struct shl_retired *r = list;
        list = r->next;
        r->free_fn(r);
    }
}

void shl_epoch_free(struct shl_epoch *e)
{
    if (e == NULL)
        return;
    for (size_t i = 0; i < EPOCH_SLOTS; i++)
        SHL_ASSERT(env_load_seq(&e->slots[i].word) == 0);
    while (e->retired != NULL) { /* freeing one object may retire what it held */
        struct shl_retired *list = e->retired;
        e->retired = NULL;
        free_list(list);
    }
    env_mutex_deinit(&e->mu);
    env_free_aligned(e);
}

uint32_t shl_epoch_enter(struct shl_epoch *e)
{
    uint32_t start = env_task_index();
    for (;;) {
        uint64_t word = env_load_seq(&e->now) << 1 | EPOCH_OCCUPIED;
        for (uint32_t k = 0; k < EPOCH_SLOTS; k++) {
            uint32_t i = (start + k) % EPOCH_SLOTS;
            uint64_t expected = 0;
            if (env_load_relaxed(&e->slots[i].word) == 0 &&
                env_cas(&e->slots[i].word, &expected, word))
                return i;
        }
        env_yield();
    }
}

void shl_epoch_leave(struct shl_epoch *e, uint32_t token)
{
    SHL_ASSERT(token < EPOCH_SLOTS);
    SHL_ASSERT_SLOW(env_load_relaxed(&e->slots[token].word) != 0);
    env_store_release(&e->slots[token].word, 0);
}

void shl_epoch_count(struct shl_epoch *e, uint32_t token, enum shl_epoch_count what, uint64_t n)
{
    _Atomic uint64_t *count = &e->slots[token].counts[what];
    env_store_relaxed(count, env_load_relaxed(count) + n);
}

uint64_t shl_epoch_counted(const struct shl_epoch *e, enum shl_epoch_count what)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < EPOCH_SLOTS; i++)
        sum += env_load_relaxed(&e->slots[i].counts[what]);
    return sum;
}

/* The oldest epoch that a reader is in, or the given one if nobody is inside. */
static uint64_t oldest_epoch(struct shl_epoch *e, uint64_t now)
{
    uint64_t oldest = now;
    for (size_t i = 0; i < EPOCH_SLOTS; i++) {
        uint64_t word = env_load_seq(&e->slots[i].word);
        if (word != 0 && word >> 1 < oldest)
            oldest = word >> 1;
    }
    return oldest;
}

/* Takes what was retired before epoch `limit` out of the list. */
static struct shl_retired *detach_older_locked(struct shl_epoch *e, uint64_t limit)
{
    struct shl_retired *detached = NULL;
    for (struct shl_retired **p = &e->retired; *p != NULL;) {
        struct shl_retired *r = *p;
        if (r->epoch >= limit) {
            p = &r->next;
            continue;
        }
        *p = r->next;
        r->next = detached;
        detached = r;
        SHL_ASSERT(e->retired_count > 0);
        e->retired_count--;
    }
    return detached;
}

size_t shl_epoch_collect(struct shl_epoch *e)
{
    /* Two collectors may move the epoch at once: each then only keeps a little more than it must. */
    uint64_t now = env_load_seq(&e->now);
    if (env_cas(&e->now, &now, now + 1))
        now++;
    uint64_t limit = oldest_epoch(e, now);

    env_mutex_lock(&e->mu);
    struct shl_retired *detached = detach_older_locked(e, limit);
    size_t waiting = e->retired_count;
    env_mutex_unlock(&e->mu);

    free_list(detached);
    return waiting;
}

void shl_epoch_retire(struct shl_epoch *e, struct shl_retired *r,
                      void (*free_fn)(struct shl_retired *r))
{
    SHL_ASSERT(free_fn != NULL);
    r->free_fn = free_fn;
    r->epoch = env_load_seq(&e->now);

    env_mutex_lock(&e->mu);
    r->next = e->retired;
    e->retired = r;
    e->retired_count++;
    bool collect = ++e->retire_calls % EPOCH_RETIRES_EVERY == 0;
    env_mutex_unlock(&e->mu);
#ifdef SHL_SIM
    collect = true; /* so that a use after leave meets freed memory at once */
#endif
    if (collect)
        shl_epoch_collect(e);
}
