#include "lsm/conflict_log.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#include <stdalign.h>

#define CHUNK_BYTES ((size_t)32 << 10)

/* One key of a commit; its bytes follow, padded to the alignment of the next head. */
struct entry {
    uint64_t seq;
    uint64_t key_len;
};

struct shl_conflict_chunk {
    struct shl_conflict_chunk *next;
    struct shl_conflict_chunk *next_dead;
    uint64_t last_seq;
    size_t used;
    size_t cap;
    alignas(struct entry) uint8_t data[];
};

static size_t entry_bytes(size_t key_len)
{
    return sizeof(struct entry) +
           (key_len + alignof(struct entry) - 1) / alignof(struct entry) * alignof(struct entry);
}

static void free_chain(struct shl_conflict_chunk *c)
{
    while (c != NULL) {
        struct shl_conflict_chunk *next = c->next;
        env_free(c);
        c = next;
    }
}

void shl_conflict_log_deinit(struct shl_conflict_log *l)
{
    SHL_ASSERT(l->walkers == 0);
    free_chain(l->head);
    *l = (struct shl_conflict_log){.max_bytes = l->max_bytes};
}

static void drop_head(struct shl_conflict_log *l)
{
    struct shl_conflict_chunk *c = l->head;
    l->head = c->next;
    if (l->head == NULL)
        l->tail = NULL;
    l->bytes -= sizeof *c + c->cap;
    if (l->walkers == 0) {
        env_free(c);
    } else { /* a walker may read it, and go on to its successor */
        c->next_dead = l->dead;
        l->dead = c;
    }
}

static void lose_head(struct shl_conflict_log *l)
{
    l->lost_seq = shl_max_u64(l->lost_seq, l->head->last_seq);
    drop_head(l);
}

static bool make_room(struct shl_conflict_log *l, size_t need)
{
    struct shl_conflict_chunk *c = l->tail;
    if (c != NULL && c->cap - c->used >= need)
        return true;
    size_t cap = shl_max_size(CHUNK_BYTES, need);
    while (l->head != NULL && l->bytes + sizeof *c + cap > l->max_bytes)
        lose_head(l);
    if (sizeof *c + cap > l->max_bytes)
        return false;
    c = env_alloc(sizeof *c + cap);
    if (c == NULL)
        return false;
    *c = (struct shl_conflict_chunk){.cap = cap};
    if (l->tail == NULL)
        l->head = c;
    else
        l->tail->next = c;
    l->tail = c;
    l->bytes += sizeof *c + cap;
    return true;
}

static bool add_key(struct shl_conflict_log *l, uint64_t seq, struct shl_slice key)
{
    struct entry e = {.seq = seq, .key_len = key.len};
    if (!make_room(l, entry_bytes(key.len)))
        return false;
    struct shl_conflict_chunk *c = l->tail;
    memcpy(c->data + c->used, &e, sizeof e);
    memcpy(c->data + c->used + sizeof e, key.data, key.len);
    c->used += entry_bytes(key.len);
    c->last_seq = seq;
    return true;
}

void shl_conflict_log_add(struct shl_conflict_log *l, uint64_t seq, const struct shl_row *rows,
                          size_t count)
{
    bool fits = true;
    for (size_t i = 0; i < count && fits; i++)
        fits = add_key(l, seq, rows[i].key);
    if (fits)
        return;
    while (l->head != NULL)
        lose_head(l);
    l->lost_seq = seq;
}

void shl_conflict_log_trim(struct shl_conflict_log *l, uint64_t seq)
{
    while (l->head != NULL && l->head->last_seq <= seq)
        drop_head(l);
}

void shl_conflict_walk_begin(struct shl_conflict_log *l, struct shl_conflict_walk *w,
                             uint64_t after)
{
    *w = (struct shl_conflict_walk){.chunk = l->head, .last = l->tail, .after = after};
    w->last_used = l->tail != NULL ? l->tail->used : 0;
    l->walkers++;
}

bool shl_conflict_walk_next(struct shl_conflict_walk *w, struct shl_slice *key, uint64_t *seq)
{
    while (w->chunk != NULL) {
        const struct shl_conflict_chunk *c = w->chunk;
        /* The last one may be written to right now, behind what was there. */
        size_t used = c == w->last ? w->last_used : c->used;
        bool is_old = c != w->last && c->last_seq <= w->after;
        while (!is_old && w->at < used) {
            struct entry e;
            memcpy(&e, c->data + w->at, sizeof e);
            *key = shl_slice_of(c->data + w->at + sizeof e, (size_t)e.key_len);
            *seq = e.seq;
            w->at += entry_bytes((size_t)e.key_len);
            if (e.seq > w->after)
                return true;
        }
        w->chunk = c == w->last ? NULL : c->next;
        w->at = 0;
    }
    return false;
}

void shl_conflict_walk_end(struct shl_conflict_log *l)
{
    SHL_ASSERT(l->walkers > 0);
    l->walkers--;
    while (l->walkers == 0 && l->dead != NULL) {
        struct shl_conflict_chunk *c = l->dead;
        l->dead = c->next_dead;
        env_free(c);
    }
}
