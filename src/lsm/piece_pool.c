#include "lsm/piece_pool.h"

#include "base/env/env.h"

#define PIECE_BYTES_MAX (2 * SHL_PIECE_BYTES) /* larger ones held a large row: not kept */

/* Lies at the beginning of a kept buffer. */
struct kept {
    struct kept *next;
    size_t cap;
};

struct shl_piece_pool {
    size_t keep_bytes;   /* [const] */
    struct env_mutex mu; /* a leaf lock */
    struct kept *kept;   /* [mu] owned */
    size_t kept_bytes;   /* [mu] */
    bool taken;          /* [mu] since the last trim */
};

shale_code shl_piece_pool_new(size_t keep_bytes, struct shl_piece_pool **out, shale_error *err)
{
    struct shl_piece_pool *p = env_calloc(1, sizeof *p);
    if (p == NULL)
        return shl_nomem(err);
    p->keep_bytes = keep_bytes;
    env_mutex_init(&p->mu);
    *out = p;
    return SHALE_OK;
}

static void free_all(struct kept *k)
{
    while (k != NULL) {
        struct kept *next = k->next;
        env_free(k);
        k = next;
    }
}

void shl_piece_pool_free(struct shl_piece_pool *p)
{
    if (p == NULL)
        return;
    free_all(p->kept);
    env_mutex_deinit(&p->mu);
    env_free(p);
}

struct shl_buf shl_piece_pool_take(struct shl_piece_pool *p)
{
    struct shl_buf b = {0};
    if (p == NULL)
        return b;
    env_mutex_lock(&p->mu);
    struct kept *k = p->kept;
    p->taken = true;
    if (k != NULL) {
        p->kept = k->next;
        p->kept_bytes -= k->cap;
        b = (struct shl_buf){.data = (uint8_t *)k, .cap = k->cap};
    }
    env_mutex_unlock(&p->mu);
    return b;
}

void shl_piece_pool_give(struct shl_piece_pool *p, struct shl_buf *take_b)
{
    bool kept = false;
    if (p != NULL && take_b->cap >= SHL_PIECE_BYTES && take_b->cap <= PIECE_BYTES_MAX) {
        struct kept *k = (void *)take_b->data;
        env_mutex_lock(&p->mu);
        kept = take_b->cap <= p->keep_bytes - p->kept_bytes;
        if (kept) {
            *k = (struct kept){.next = p->kept, .cap = take_b->cap};
            p->kept = k;
            p->kept_bytes += take_b->cap;
        }
        env_mutex_unlock(&p->mu);
    }
    if (!kept)
        env_free(take_b->data);
    *take_b = (struct shl_buf){0};
}

void shl_piece_pool_trim(struct shl_piece_pool *p)
{
    struct kept *unused = NULL;
    env_mutex_lock(&p->mu);
    if (!p->taken) {
        unused = p->kept;
        p->kept = NULL;
        p->kept_bytes = 0;
    }
    p->taken = false;
    env_mutex_unlock(&p->mu);
    free_all(unused);
}
