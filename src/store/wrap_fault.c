#include "store/wrap_fault.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "store/mix.h"
#include "store/wrap_hook.h"

struct armed_rule {
    struct shl_fault_rule rule;
    uint64_t matched;
    uint64_t fired;
};

struct fault_store {
    struct shl_hooked hooked;
    uint64_t seed; /* [const] */
    struct env_mutex mu;
    struct armed_rule rules[SHL_FAULT_RULES_MAX]; /* [mu] */
    unsigned count;                               /* [mu] */
    uint64_t draws;                               /* [mu] place in the seed's sequence */
};

static struct fault_store *fault_of(struct shl_store *s)
{
    return (struct fault_store *)s;
}

static bool rule_matches(const struct shl_fault_rule *r, const struct shl_call *call)
{
    if (r->kinds != 0 && (r->kinds & SHL_KIND_BIT(call->kind)) == 0)
        return false;
    if (r->key_part[0] == '\0')
        return true;
    return call->key != NULL && strstr(call->key, r->key_part) != NULL;
}

static bool fires_locked(struct fault_store *f, struct armed_rule *a)
{
    uint64_t at = a->matched++;
    if (a->rule.chance_ppm > 0)
        return shl_mix(f->seed, f->draws++) % 1000000 < a->rule.chance_ppm;
    return a->rule.sticky ? at >= a->rule.nth : at == a->rule.nth;
}

/* True if a rule of this side of the call fires; *out is a copy. Rules that act before the call are asked before it, the others
 * after it, so that each counts only calls that it can act on. */
static bool find_rule(struct fault_store *f, const struct shl_call *call, bool before,
                      struct shl_fault_rule *out)
{
    bool found = false;
    env_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->count; i++) {
        struct armed_rule *a = &f->rules[i];
        if ((a->rule.effect == SHL_FAULT_BEFORE) != before || !rule_matches(&a->rule, call))
            continue;
        if (!fires_locked(f, a) || found)
            continue;
        a->fired++;
        *out = a->rule;
        found = true;
    }
    env_mutex_unlock(&f->mu);
    return found;
}

static shale_code fail_by(const struct shl_fault_rule *r, const struct shl_call *call,
                          const char *what, shale_error *err)
{
    shale_code code = r->code == SHALE_OK ? SHALE_UNAVAILABLE : r->code;
    return shl_fail(err, code, "fault: %s \"%s\": %s", shl_store_kind_name(call->kind),
                    call->key == NULL ? "" : call->key, what);
}

static shale_code fault_begin(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    struct shl_fault_rule rule;
    if (!find_rule(fault_of(s), call, true, &rule))
        return SHALE_OK;
    return fail_by(&rule, call, "failed", err);
}

static void flip_bit(uint8_t *data, size_t len, uint64_t r)
{
    data[r / 8 % len] ^= (uint8_t)(1u << (r % 8));
}

static void corrupt(struct fault_store *f, struct shl_call *call)
{
    env_mutex_lock(&f->mu);
    uint64_t r = shl_mix(f->seed, f->draws++);
    env_mutex_unlock(&f->mu);
    if (call->body != NULL && call->body->len > call->body_from) {
        flip_bit(call->body->data + call->body_from, call->body->len - call->body_from, r);
    } else if (call->ranges != NULL) {
        const struct shl_get_range *range = &call->ranges[(r >> 32) % call->range_count];
        flip_bit(range->dst, range->len, r);
    }
}

static shale_code fault_end(struct shl_store *s, struct shl_call *call, shale_code code,
                            shale_error *err)
{
    struct shl_fault_rule rule;
    if (code != SHALE_OK || !find_rule(fault_of(s), call, false, &rule))
        return code;
    if (rule.effect == SHL_FAULT_AFTER)
        return fail_by(&rule, call, "the answer was lost", err);
    if (rule.effect == SHL_FAULT_CORRUPT) {
        corrupt(fault_of(s), call);
        return SHALE_OK;
    }
    SHL_ASSERT(rule.effect == SHL_FAULT_TRUNCATE);
    if (call->ranges != NULL)
        return fail_by(&rule, call, "the body was cut", err);
    if (call->body != NULL) /* the front sees that it is shorter than the object */
        call->body->len = call->body_from + (call->body->len - call->body_from) / 2;
    return SHALE_OK;
}

static void fault_deinit(struct shl_store *s)
{
    env_mutex_deinit(&fault_of(s)->mu);
}

shale_code shl_store_fault_new(struct shl_store **out, struct shl_store *inner, uint64_t seed,
                               shale_error *err)
{
    static const struct shl_hooks hooks = {
        .begin = fault_begin, .end = fault_end, .deinit = fault_deinit};
    struct shl_hooked *h;
    shale_code rc = shl_hooked_new(sizeof(struct fault_store), inner, &hooks, &h, err);
    if (rc != SHALE_OK)
        return rc;
    struct fault_store *f = (struct fault_store *)h;
    h->wrap.base.caps &= ~(unsigned)SHL_STORE_SURE;
    f->seed = seed;
    env_mutex_init(&f->mu);
    *out = &h->wrap.base;
    return SHALE_OK;
}

unsigned shl_store_fault_add(struct shl_store *s, const struct shl_fault_rule *rule)
{
    struct fault_store *f = fault_of(s);
    env_mutex_lock(&f->mu);
    SHL_ASSERT(f->count < SHL_FAULT_RULES_MAX);
    unsigned number = f->count++;
    f->rules[number] = (struct armed_rule){.rule = *rule};
    env_mutex_unlock(&f->mu);
    return number;
}

void shl_store_fault_clear(struct shl_store *s)
{
    struct fault_store *f = fault_of(s);
    env_mutex_lock(&f->mu);
    f->count = 0;
    env_mutex_unlock(&f->mu);
}

static struct armed_rule read_rule(struct fault_store *f, unsigned rule)
{
    env_mutex_lock(&f->mu);
    SHL_ASSERT(rule < f->count);
    struct armed_rule copy = f->rules[rule];
    env_mutex_unlock(&f->mu);
    return copy;
}

uint64_t shl_store_fault_matched(struct shl_store *s, unsigned rule)
{
    return read_rule(fault_of(s), rule).matched;
}

uint64_t shl_store_fault_fired(struct shl_store *s, unsigned rule)
{
    return read_rule(fault_of(s), rule).fired;
}
