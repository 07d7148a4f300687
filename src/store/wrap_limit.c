#include "store/wrap_limit.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "store/wrap_hook.h"

/* Callers take numbers; a number is served when it is the lowest one waiting and there is room. */
struct gate {
    struct env_mutex mu;
    struct env_cond moved;
    uint32_t max;         /* [const] 0: no limit */
    uint32_t in_flight;   /* [mu] */
    uint64_t next_number; /* [mu] */
    uint64_t serving;     /* [mu] */
};

struct limit_store {
    struct shl_hooked hooked;
    struct gate reads;
    struct gate writes;
};

static void gate_init(struct gate *g, uint32_t max)
{
    g->max = max;
    env_mutex_init(&g->mu);
    env_cond_init(&g->moved);
}

static void gate_deinit(struct gate *g)
{
    SHL_ASSERT(g->in_flight == 0);
    env_cond_deinit(&g->moved);
    env_mutex_deinit(&g->mu);
}

static struct gate *gate_of(struct shl_store *s, const struct shl_call *call)
{
    struct limit_store *l = (struct limit_store *)s;
    bool reads =
        call->kind == SHL_KIND_GET || call->kind == SHL_KIND_HEAD || call->kind == SHL_KIND_LIST;
    return reads ? &l->reads : &l->writes;
}

static shale_code limit_begin(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    (void)err;
    struct gate *g = gate_of(s, call);
    if (g->max == 0)
        return SHALE_OK;
    env_mutex_lock(&g->mu);
    uint64_t number = g->next_number++;
    while (number != g->serving || g->in_flight >= g->max)
        env_cond_wait(&g->moved, &g->mu);
    g->serving++;
    g->in_flight++;
    if (g->in_flight < g->max)
        env_cond_broadcast(&g->moved); /* the next number may be waiting for this one only */
    env_mutex_unlock(&g->mu);
    return SHALE_OK;
}

static shale_code limit_end(struct shl_store *s, struct shl_call *call, shale_code code,
                            shale_error *err)
{
    (void)err;
    struct gate *g = gate_of(s, call);
    if (g->max == 0)
        return code;
    env_mutex_lock(&g->mu);
    g->in_flight--;
    env_cond_broadcast(&g->moved);
    env_mutex_unlock(&g->mu);
    return code;
}

static void limit_deinit(struct shl_store *s)
{
    struct limit_store *l = (struct limit_store *)s;
    gate_deinit(&l->reads);
    gate_deinit(&l->writes);
}

shale_code shl_store_limit_new(struct shl_store **out, struct shl_store *inner,
                               const struct shl_limit_options *options, shale_error *err)
{
    static const struct shl_hooks hooks = {
        .begin = limit_begin, .end = limit_end, .deinit = limit_deinit};
    struct shl_hooked *h;
    shale_code rc = shl_hooked_new(sizeof(struct limit_store), inner, &hooks, &h, err);
    if (rc != SHALE_OK)
        return rc;
    struct limit_store *l = (struct limit_store *)h;
    gate_init(&l->reads, options->reads_max);
    gate_init(&l->writes, options->writes_max);
    *out = &h->wrap.base;
    return SHALE_OK;
}
