#include "store/wrap_latency.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "store/mix.h"
#include "store/wrap_hook.h"

struct latency_store {
    struct shl_hooked hooked;
    struct shl_latency_options options; /* [const] */
    _Atomic uint64_t calls;             /* the place in the seed's sequence */
};

#define TAIL_FACTOR 4

/* Between lo and hi, by the fraction part/whole. */
static uint64_t between(uint64_t lo, uint64_t hi, uint64_t part, uint64_t whole)
{
    SHL_ASSERT(lo <= hi);
    return lo + (hi - lo) / whole * part + (hi - lo) % whole * part / whole;
}

uint64_t shl_latency_pick(const struct shl_latency *latency, uint64_t r)
{
    uint64_t per_hundred_thousand = r % 100000;
    if (per_hundred_thousand < 50000)
        return between(latency->min_ns, latency->p50_ns, per_hundred_thousand, 50000);
    if (per_hundred_thousand < 99000)
        return between(latency->p50_ns, latency->p99_ns, per_hundred_thousand - 50000, 49000);
    bool fixed = latency->min_ns == latency->p99_ns;
    uint64_t worst = fixed ? latency->p99_ns : latency->p99_ns * TAIL_FACTOR;
    return between(latency->p99_ns, worst, per_hundred_thousand - 99000, 1000);
}

static uint64_t transfer_ns(uint64_t bytes, uint64_t bytes_per_sec)
{
    if (bytes_per_sec == 0)
        return 0;
    return bytes / bytes_per_sec * ENV_NS_PER_SEC +
           bytes % bytes_per_sec * ENV_NS_PER_SEC / bytes_per_sec;
}

static void wait_ns(uint64_t ns)
{
    if (ns > 0)
        env_sleep_ns(ns);
}

static shale_code latency_begin(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    (void)err;
    struct latency_store *l = (struct latency_store *)s;
    uint64_t r = shl_mix(l->options.seed, env_fetch_add(&l->calls, 1));
    wait_ns(shl_latency_pick(&l->options.kinds[call->kind], r) +
            transfer_ns(call->bytes_up, l->options.up_bytes_per_sec));
    return SHALE_OK;
}

static shale_code latency_end(struct shl_store *s, struct shl_call *call, shale_code code,
                              shale_error *err)
{
    (void)err;
    struct latency_store *l = (struct latency_store *)s;
    wait_ns(transfer_ns(call->bytes_down, l->options.down_bytes_per_sec));
    return code;
}

static void latency_deinit(struct shl_store *s)
{
    (void)s;
}

shale_code shl_store_latency_new(struct shl_store **out, struct shl_store *inner,
                                 const struct shl_latency_options *options, shale_error *err)
{
    static const struct shl_hooks hooks = {
        .begin = latency_begin, .end = latency_end, .deinit = latency_deinit};
    for (size_t i = 0; i < SHL_KINDS; i++) {
        SHL_ASSERT(options->kinds[i].min_ns <= options->kinds[i].p50_ns);
        SHL_ASSERT(options->kinds[i].p50_ns <= options->kinds[i].p99_ns);
    }
    struct shl_hooked *h;
    shale_code rc = shl_hooked_new(sizeof(struct latency_store), inner, &hooks, &h, err);
    if (rc != SHALE_OK)
        return rc;
    ((struct latency_store *)h)->options = *options;
    h->wrap.base.caps &= ~(unsigned)SHL_STORE_NEAR;
    *out = &h->wrap.base;
    return SHALE_OK;
}
