/* shale_gc_*: a collector outside of writers. */
#include "lsm/keep/gc.h"

#include "api/api.h"
#include "api/metrics.h"
#include "api/near.h"
#include "api/stack.h"
#include "base/env/env.h"

#include <assert.h>
#include <shale/gc.h>

struct shale_gc {
    struct shl_api_stack stack;
    struct shl_gc *gc; /* owned */
    struct shl_gc_settings settings;
    struct shl_gc_clock clock;
    struct shl_lsm_gc_counts counts;
};

static_assert((int)SHALE_GC_RESOURCES == (int)SHL_GC_TASKS &&
                  (int)SHALE_GC_WAL_FENCE == (int)SHL_GC_WAL_FENCE &&
                  (int)SHALE_GC_DETACH == (int)SHL_GC_DETACH,
              "resources are tasks");

const char *shale_gc_resource_name(shale_gc_resource resource)
{
    return (unsigned)resource < SHALE_GC_RESOURCES ? shl_gc_task_name((enum shl_gc_task)resource)
                                                   : "";
}

/* Milliseconds of a caller; what does not fit lasts for ever. */
static uint64_t ns_of(uint64_t ms)
{
    uint64_t ns;
    return __builtin_mul_overflow(ms, ENV_NS_PER_MS, &ns) ? UINT64_MAX : ns;
}

static void take_settings(struct shl_gc_settings *s, const shale_gc_options *how)
{
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        struct shl_gc_task_settings *t = &s->tasks[i];
        if (how->resources != 0)
            t->on = (how->resources & 1U << i) != 0;
        if (how->has_min_age)
            t->min_age_ns = ns_of(how->min_age_ms);
        if (how->has_interval)
            t->interval_ns = ns_of(how->interval_ms);
        t->dry_run = t->dry_run || how->dry_run;
    }
}

void shale_options_set_gc_filter(shale_options *o, shale_gc_filter_fn may_delete, void *ctx)
{
    if (o == NULL)
        return;
    o->gc_filter = may_delete;
    o->gc_filter_ctx = ctx;
}

static shale_code open_gc(shale_gc *gc, const char *url, const shale_options *options,
                          const shale_gc_options *how, shale_error *err)
{
    shale_code rc =
        shl_api_stack_open_role(&gc->stack, url, options, options->settings.gc_retries, err);
    if (rc != SHALE_OK)
        return rc;
    gc->settings = options->settings.lsm.gc;
    take_settings(&gc->settings, how);
    shl_gc_clock_init(&gc->clock, &gc->settings, true);
    struct shl_gc_open o = {
        .store = gc->stack.store,
        .wal_store = gc->stack.wal_store,
        .path = gc->stack.path,
        .settings = &gc->settings,
        .log = shl_api_hooks_log(gc->stack.hooks),
        .filter = {.may_delete = options->gc_filter, .ctx = options->gc_filter_ctx},
        .stopped = how->stopped,
        .stopped_ctx = how->stopped_ctx};
    return shl_gc_new(&o, &gc->gc, err);
}

shale_code shale_gc_open(shale_gc **out, const char *url, const shale_options *options,
                         const shale_gc_options *how, shale_error *err)
{
    SHL_API_ERR(err);
    shale_gc_options o;
    shale_options *defaults = NULL;
    shale_gc *gc = NULL;
    shale_code rc;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "gc: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    shale_gc_options_init(&o, sizeof o);
    SHL_TRY(shl_api_take_struct(&o, sizeof o, how, "shale_gc_options", err));
    if (o.resources >= 1U << SHALE_GC_RESOURCES)
        SHL_TRY(
            shl_fail(err, SHALE_INVALID, "gc: resources is 0x%x, known bits 0..5", o.resources));
    if (options == NULL)
        options = defaults = shale_options_new();
    gc = env_calloc(1, sizeof *gc);
    if (gc == NULL || options == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(open_gc(gc, url, options, &o, err));
    *out = gc;
    gc = NULL; /* moved to the caller */
out:
    shale_gc_close(gc);
    shale_options_free(defaults);
    return rc;
}

void shale_gc_close(shale_gc *gc)
{
    if (gc == NULL)
        return;
    shl_gc_free(gc->gc);
    shl_api_stack_close(&gc->stack);
    env_free(gc);
}

static void give(shale_gc_report *out, const struct shl_gc_report *r)
{
    for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++) {
        const struct shl_gc_result *t = &r->tasks[i];
        out->results[i] = (shale_gc_result){.ran = t->ran,
                                            .dry_run = t->dry_run,
                                            .count = t->count,
                                            .bytes = t->bytes,
                                            .code = t->code};
        memcpy(out->results[i].why, t->why, sizeof out->results[i].why);
    }
    out->checkpoints_expired = r->expired;
    out->stopped = r->stopped;
}

static shale_code run(shale_gc_report *out, shale_gc *gc, unsigned mask, shale_error *err)
{
    struct shl_gc_report r = {.expired = 0};
    shale_error mine = {0}; /* on the way to a success some answer may have been "no such object" */
    shale_code rc = mask != 0 ? shl_gc_run(gc->gc, mask, &r, &mine) : SHALE_OK;
    if (rc != SHALE_OK) {
        shl_api_suggest(&gc->stack, &mine);
        *err = mine;
    }
    if (mask != 0)
        shl_gc_count(&gc->counts, &r);
    give(out, &r);
    return rc;
}

static shale_code check(const shale_gc_report *out, const shale_gc *gc, shale_error *err)
{
    if (out != NULL && gc != NULL)
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID, "gc: the %s is NULL",
                    gc == NULL ? "handle" : "place for the report");
}

shale_code shale_gc_run(shale_gc_report *out, shale_gc *gc, shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check(out, gc, err);
    return rc == SHALE_OK ? run(out, gc, (1U << SHALE_GC_RESOURCES) - 1, err) : rc;
}

shale_code shale_gc_step(shale_gc_report *out, uint64_t *wait_ms, shale_gc *gc, shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check(out, gc, err);
    if (rc != SHALE_OK)
        return rc;
    rc = run(out, gc, shl_gc_clock_take(&gc->clock, &gc->settings), err);
    uint64_t now = env_now_mono_ns(), next = gc->clock.next_ns;
    if (wait_ms != NULL)
        *wait_ms = next == UINT64_MAX ? UINT64_MAX
                   : next <= now      ? 0
                                      : (next - now + ENV_NS_PER_MS - 1) / ENV_NS_PER_MS;
    return rc;
}

static struct shl_api_measured measured(const shale_gc *gc)
{
    return (struct shl_api_measured){.stack = &gc->stack, .component = "gc", .gc = &gc->counts};
}

void shale_gc_metrics_each(shale_gc *gc, bool (*visit)(void *ctx, const shale_metric *metric),
                           void *ctx)
{
    if (gc == NULL)
        return;
    const struct shl_api_measured of = measured(gc);
    shl_api_metrics_each(&of, visit, ctx);
}

char *shale_gc_metrics_json(shale_gc *gc)
{
    if (gc == NULL)
        return NULL;
    const struct shl_api_measured of = measured(gc);
    return shl_api_metrics_json(&of);
}

char *shale_gc_metrics_prometheus(shale_gc *gc)
{
    if (gc == NULL)
        return NULL;
    const struct shl_api_measured of = measured(gc);
    return shl_api_metrics_prometheus(&of);
}

void shale_gc_store_counts(shale_gc *gc, shale_store_counts *out)
{
    if (gc != NULL)
        shl_api_stack_give_counts(&gc->stack, out);
}
