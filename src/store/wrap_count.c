#include "store/wrap_count.h"

#include "base/env/env.h"
#include "base/num.h"
#include "store/wrap_hook.h"

#define STEPS_PER_DOUBLING 4
#define BUCKETS            (64 * STEPS_PER_DOUBLING)

const uint64_t shl_duration_borders_us[SHL_DURATION_BORDERS] = {
    1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

/* Relaxed everywhere: the numbers are only shown. */
struct kind_cells {
    _Atomic uint64_t calls;
    _Atomic uint64_t requests;
    _Atomic uint64_t refused;
    _Atomic uint64_t errors;
    _Atomic uint64_t total_ns;
    _Atomic uint64_t max_ns;
    _Atomic uint64_t buckets[BUCKETS];
    _Atomic uint64_t durations[SHL_DURATION_BORDERS + 1];
};

struct count_store {
    struct shl_hooked hooked;
    _Atomic uint64_t bytes_up;
    _Atomic uint64_t bytes_down;
    struct kind_cells kinds[SHL_KINDS];
};

static size_t bucket_of(uint64_t ns)
{
    if (ns < STEPS_PER_DOUBLING)
        return (size_t)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(ns); /* >= 2 */
    return (size_t)(top - 1) * STEPS_PER_DOUBLING + (size_t)((ns >> (top - 2)) & 3);
}

/* The largest value of the bucket. */
static uint64_t bucket_limit(size_t bucket)
{
    if (bucket < STEPS_PER_DOUBLING)
        return bucket;
    unsigned shift = (unsigned)(bucket / STEPS_PER_DOUBLING) - 1;
    uint64_t lead = 4 + bucket % STEPS_PER_DOUBLING;
    return (lead << shift) + ((UINT64_C(1) << shift) - 1);
}

static size_t duration_of(uint64_t ns)
{
    size_t i = 0;
    while (i < SHL_DURATION_BORDERS && ns > shl_duration_borders_us[i] * 1000)
        i++;
    return i;
}

static bool is_refusal(shale_code code)
{
    return code == SHALE_NOT_FOUND || code == SHALE_ALREADY_EXISTS || code == SHALE_PRECONDITION ||
           code == SHALE_NOT_MODIFIED;
}

static void raise_max(_Atomic uint64_t *max, uint64_t value)
{
    uint64_t seen = env_load_relaxed(max);
    while (value > seen && !env_cas(max, &seen, value))
        ;
}

static shale_code count_begin(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    (void)s;
    (void)call;
    (void)err;
    return SHALE_OK;
}

static shale_code count_end(struct shl_store *s, struct shl_call *call, shale_code code,
                            shale_error *err)
{
    (void)err;
    struct count_store *c = (struct count_store *)s;
    struct kind_cells *k = &c->kinds[call->kind];
    uint64_t ns = env_now_mono_ns() - call->started_ns;
    env_fetch_add(&k->calls, 1);
    env_fetch_add(&k->requests, call->requests);
    if (code != SHALE_OK)
        env_fetch_add(is_refusal(code) ? &k->refused : &k->errors, 1);
    env_fetch_add(&k->total_ns, ns);
    env_fetch_add(&k->buckets[bucket_of(ns)], 1);
    env_fetch_add(&k->durations[duration_of(ns)], 1);
    raise_max(&k->max_ns, ns);
    if (call->bytes_up > 0)
        env_fetch_add(&c->bytes_up, call->bytes_up);
    if (call->bytes_down > 0)
        env_fetch_add(&c->bytes_down, call->bytes_down);
    return code;
}

static void count_deinit(struct shl_store *s)
{
    (void)s;
}

shale_code shl_store_count_new(struct shl_store **out, struct shl_store *inner, shale_error *err)
{
    static const struct shl_hooks hooks = {
        .begin = count_begin, .end = count_end, .deinit = count_deinit};
    struct shl_hooked *h;
    shale_code rc = shl_hooked_new(sizeof(struct count_store), inner, &hooks, &h, err);
    if (rc == SHALE_OK)
        *out = &h->wrap.base;
    return rc;
}

/* The smallest bucket limit that at least `per_mille` of the values do not exceed. */
static uint64_t quantile(struct kind_cells *k, uint64_t count, uint64_t per_mille)
{
    uint64_t want = (count * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS && count > 0; i++) {
        seen += env_load_relaxed(&k->buckets[i]);
        if (seen >= want)
            return shl_min_u64(bucket_limit(i), env_load_relaxed(&k->max_ns));
    }
    return env_load_relaxed(&k->max_ns); /* a call was counted whose bucket was not yet */
}

void shl_store_counts_read(struct shl_store *s, struct shl_store_counts *out)
{
    struct count_store *c = (struct count_store *)s;
    *out = (struct shl_store_counts){.bytes_up = env_load_relaxed(&c->bytes_up),
                                     .bytes_down = env_load_relaxed(&c->bytes_down)};
    for (size_t i = 0; i < SHL_KINDS; i++) {
        struct kind_cells *k = &c->kinds[i];
        struct shl_kind_counts *o = &out->kinds[i];
        o->calls = env_load_relaxed(&k->calls);
        o->requests = env_load_relaxed(&k->requests);
        o->refused = env_load_relaxed(&k->refused);
        o->errors = env_load_relaxed(&k->errors);
        o->total_ns = env_load_relaxed(&k->total_ns);
        o->max_ns = env_load_relaxed(&k->max_ns);
        for (size_t b = 0; b <= SHL_DURATION_BORDERS; b++)
            o->durations[b] = env_load_relaxed(&k->durations[b]);
        o->p50_ns = quantile(k, o->calls, 500);
        o->p99_ns = quantile(k, o->calls, 990);
        o->p999_ns = quantile(k, o->calls, 999);
    }
}
