#include "lsm/sst/meta_cache.h"

#include "base/assert.h"

struct shl_meta_cache {
    uint64_t limit_bytes; /* [const] */
    struct env_mutex mu;  /* a leaf lock */
    /* [mu] a queue: the oldest leaves first, unless it was used meanwhile */
    struct shl_sst_meta *oldest;
    struct shl_sst_meta *newest;
    size_t count;                             /* [mu] */
    uint64_t used_bytes;                      /* [mu] of those in the queue */
    _Atomic uint64_t counts[SHL_META_COUNTS]; /* [atomic] relaxed */
};

shale_code shl_meta_cache_new(uint64_t limit_bytes, struct shl_meta_cache **out, shale_error *err)
{
    struct shl_meta_cache *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    c->limit_bytes = limit_bytes;
    env_mutex_init(&c->mu);
    *out = c;
    return SHALE_OK;
}

void shl_meta_cache_free(struct shl_meta_cache *c)
{
    if (c == NULL)
        return;
    SHL_ASSERT(c->count == 0 && c->used_bytes == 0);
    env_mutex_deinit(&c->mu);
    env_free(c);
}

uint64_t shl_meta_cache_bytes(struct shl_meta_cache *c)
{
    env_mutex_lock(&c->mu);
    uint64_t bytes = c->used_bytes;
    env_mutex_unlock(&c->mu);
    return bytes;
}

void shl_meta_cache_note(struct shl_meta_cache *c, enum shl_meta_count what)
{
    if (c != NULL)
        (void)env_fetch_add(&c->counts[what], 1);
}

uint64_t shl_meta_cache_noted(const struct shl_meta_cache *c, enum shl_meta_count what)
{
    return env_load_relaxed(&c->counts[what]);
}

static void append_locked(struct shl_meta_cache *c, struct shl_sst_meta *m)
{
    m->newer = NULL;
    m->older = c->newest;
    if (c->newest != NULL)
        c->newest->newer = m;
    else
        c->oldest = m;
    c->newest = m;
    c->count++;
    c->used_bytes += m->memory_bytes;
}

static void remove_locked(struct shl_meta_cache *c, struct shl_sst_meta *m)
{
    if (m->older != NULL)
        m->older->newer = m->newer;
    else
        c->oldest = m->newer;
    if (m->newer != NULL)
        m->newer->older = m->older;
    else
        c->newest = m->older;
    SHL_ASSERT(c->count > 0 && c->used_bytes >= m->memory_bytes);
    c->count--;
    c->used_bytes -= m->memory_bytes;
}

/* Makes room for `bytes`, at most the limit. Gives what left, linked by `newer`; the references are the caller's. */
static struct shl_sst_meta *evict_locked(struct shl_meta_cache *c, uint64_t bytes)
{
    struct shl_sst_meta *victims = NULL;
    size_t may_spare = c->count; /* once around */
    while (c->used_bytes > c->limit_bytes - bytes) {
        struct shl_sst_meta *m = c->oldest;
        remove_locked(c, m);
        if (may_spare > 0 && env_load_relaxed(&m->recent) != 0) {
            env_store_relaxed(&m->recent, 0);
            append_locked(c, m);
            may_spare--;
            continue;
        }
        struct shl_sst_meta *was = env_exchange(m->home, NULL);
        SHL_ASSERT(was == m);
        m->newer = victims;
        victims = m;
    }
    return victims;
}

static void release_all(struct shl_sst_meta *victims)
{
    while (victims != NULL) {
        struct shl_sst_meta *next = victims->newer;
        shl_sst_release_meta(victims);
        victims = next;
    }
}

void shl_meta_cache_publish(struct shl_meta_cache *c, struct shl_sst_meta *m)
{
    if (m->memory_bytes > c->limit_bytes)
        return;
    (void)env_fetch_add(&m->refs, 1);
    env_mutex_lock(&c->mu);
    struct shl_sst_meta *victims = evict_locked(c, m->memory_bytes);
    append_locked(c, m);
    struct shl_sst_meta *was = env_exchange(m->home, m);
    SHL_ASSERT(was == NULL);
    env_mutex_unlock(&c->mu);
    release_all(victims);
}

void shl_meta_cache_grow(struct shl_meta_cache *c, struct shl_sst_meta *m, size_t bytes)
{
    env_mutex_lock(&c->mu);
    m->memory_bytes += bytes;
    if (env_load_relaxed(m->home) == m)
        c->used_bytes += bytes;
    struct shl_sst_meta *victims = evict_locked(c, 0);
    env_mutex_unlock(&c->mu);
    release_all(victims);
}

void shl_meta_cache_drop(struct shl_meta_cache *c, _Atomic(struct shl_sst_meta *) *home)
{
    env_mutex_lock(&c->mu);
    struct shl_sst_meta *m = env_exchange(home, NULL);
    if (m != NULL)
        remove_locked(c, m);
    env_mutex_unlock(&c->mu);
    shl_sst_release_meta(m);
}
