/* shale_compactor_* and shale_compact: the engine's compactor on the stores of a URL. */
#include "api/api.h"
#include "api/db.h"
#include "api/metrics.h"
#include "api/near.h"
#include "base/env/env.h"
#include "base/str.h"
#include "lsm/compactor/once.h"
#include "lsm/compactor/plan.h"
#include "lsm/inspect/inspect.h"

#include <shale/compactor.h>

/* Stores and components of a database without its engine, and the options they came from. */
struct ground {
    struct shale_db db; /* lsm stays NULL */
    struct shl_api_resolved resolved;
};

struct shale_compactor {
    struct ground ground;
    struct shl_compactor_process *process; /* owned */
    shale_compactor_options how;           /* [const] */
};

static void ground_close(struct ground *g)
{
    shl_api_stack_close(&g->db.stack);
    shl_api_transform_drop(&g->db.transform);
}

static shale_code ground_open(struct ground *g, const char *url, const shale_options *options,
                              bool only_works, shale_error *err)
{
    shale_options *defaults = options == NULL ? shale_options_new() : NULL;
    const shale_options *o = options != NULL ? options : defaults;
    shale_code rc = SHALE_OK;
    if (o == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_api_resolve(o, false, &g->resolved, err));
    g->resolved.lsm.worker_keeps_codec = shl_api_is_default(o, "compression_codec");
    SHL_TRY(shl_api_transform_init(&g->db.transform, o, err));
    SHL_TRY(shl_api_stack_open_role(
        &g->db.stack, url, o,
        only_works ? o->settings.worker_retries : o->settings.compactor_retries, err));
    shl_api_take_components(&g->db, o, &g->resolved);
out:
    shale_options_free(defaults);
    return rc;
}

static struct shl_process_open process_of(struct ground *g)
{
    return (struct shl_process_open){
        .store = g->db.stack.store,
        .path = g->db.stack.path,
        .settings = &g->resolved.lsm,
        .merge = g->db.merge_operator.merge != NULL ? &g->db.merge_operator : NULL,
        .transformer = g->db.transform.is_there ? &g->db.transform.transformer : NULL,
        .scheduler = g->db.scheduler.is_there ? &g->db.scheduler.policy : NULL,
        .filter = g->db.compaction_filter.is_there ? &g->db.compaction_filter.filter : NULL,
        .user_filters = g->db.filter_policies.filters,
        .log = shl_api_hooks_log(g->db.stack.hooks),
        .coordinates = true,
        .works = true};
}

static shale_compactor_status status_of(const struct shl_compactor_report *r)
{
    return (shale_compactor_status){.struct_size = sizeof(shale_compactor_status),
                                    .epoch = r->epoch,
                                    .running = r->running,
                                    .active = r->active,
                                    .committed = r->committed,
                                    .executed = r->executed,
                                    .rows = r->progress.rows,
                                    .bytes = r->progress.bytes,
                                    .input_bytes = r->progress.input_bytes};
}

/* ---- a compactor that runs */

shale_code shale_compactor_open(shale_compactor **out, const char *url,
                                const shale_options *options, const shale_compactor_options *how,
                                shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc;
    struct shl_process_open open;
    struct shale_compactor *c;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "compactor: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_api_take_struct(&c->how, sizeof c->how, how, "shale_compactor_options", err));
    if (c->how.no_coordinator && c->how.no_worker) {
        rc = shl_fail(err, SHALE_INVALID, "compactor: neither coordinator nor worker");
        goto out;
    }
    SHL_TRY(ground_open(&c->ground, url, options, c->how.no_coordinator, err));
    open = process_of(&c->ground);
    open.coordinates = !c->how.no_coordinator;
    open.works = !c->how.no_worker;
    SHL_TRY(shl_process_new(&open, &c->process, err));
    *out = c;
    c = NULL; /* moved to the caller */
out:
    shale_compactor_close(c);
    return rc;
}

static bool on_tick(void *ctx, const struct shl_compactor_report *now)
{
    const struct shale_compactor *c = ctx;
    shale_compactor_status s = status_of(now);
    return c->how.tick != NULL && c->how.tick(c->how.tick_ctx, &s);
}

shale_code shale_compactor_run(shale_compactor *c, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_process_run run = {.tick = on_tick, .ctx = c};
    if (c == NULL)
        return shl_fail(err, SHALE_INVALID, "compactor: the handle is NULL");
    run.once = c->how.once;
    shale_code rc = shl_process_run(c->process, &run, err);
    if (rc == SHALE_NOT_FOUND)
        shl_api_suggest(&c->ground.db.stack, err);
    return rc;
}

void shale_compactor_stop(shale_compactor *c)
{
    if (c != NULL)
        shl_process_stop(c->process);
}

void shale_compactor_store_counts(shale_compactor *c, shale_store_counts *out)
{
    if (c != NULL)
        shl_api_stack_give_counts(&c->ground.db.stack, out);
}

static struct shl_api_measured measured(const shale_compactor *c,
                                        struct shl_compactor_counts *counts)
{
    shl_process_count(c->process, counts);
    return (struct shl_api_measured){
        .stack = &c->ground.db.stack, .component = "compactor", .compactor = counts};
}

void shale_compactor_metrics_each(shale_compactor *c,
                                  bool (*visit)(void *ctx, const shale_metric *metric), void *ctx)
{
    struct shl_compactor_counts counts;
    if (c == NULL)
        return;
    const struct shl_api_measured of = measured(c, &counts);
    shl_api_metrics_each(&of, visit, ctx);
}

char *shale_compactor_metrics_json(shale_compactor *c)
{
    struct shl_compactor_counts counts;
    if (c == NULL)
        return NULL;
    const struct shl_api_measured of = measured(c, &counts);
    return shl_api_metrics_json(&of);
}

char *shale_compactor_metrics_prometheus(shale_compactor *c)
{
    struct shl_compactor_counts counts;
    if (c == NULL)
        return NULL;
    const struct shl_api_measured of = measured(c, &counts);
    return shl_api_metrics_prometheus(&of);
}

void shale_compactor_close(shale_compactor *c)
{
    if (c == NULL)
        return;
    shl_process_free(c->process);
    ground_close(&c->ground);
    env_free(c);
}

/* ---- a compaction now */

static bool on_once(void *ctx, enum shl_once_phase phase, const struct shl_compactor_report *now)
{
    const shale_compact_options *how = ctx;
    shale_compactor_status s = status_of(now);
    s.phase = phase == SHL_ONCE_WE_WORK ? SHALE_COMPACTOR_RUNS
              : phase == SHL_ONCE_ASKED ? SHALE_COMPACTOR_ASKED
                                        : SHALE_COMPACTOR_OTHERS;
    return how->tick != NULL && how->tick(how->tick_ctx, &s);
}

static shale_code jobs_json(const shl_proposals *jobs, char **out, shale_error *err)
{
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shl_json_begin(&w, &text, err);
    shl_json_array(&w);
    for (size_t i = 0; i < jobs->count; i++)
        shl_inspect_job(&w, &jobs->items[i]);
    shl_json_array_end(&w);
    shale_code rc = shl_api_text_out(&w, &text, out, err);
    shl_buf_free(&text);
    return rc;
}

static shale_code plan_json(const struct shl_process_open *open, const struct shl_request *request,
                            char **out, shale_error *err)
{
    struct shl_compact_plan plan = {0};
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shale_code rc;
    SHL_TRY(shl_compact_plan(open, request, &plan, err));
    shl_json_begin(&w, &text, err);
    shl_json_array(&w);
    for (size_t i = 0; i < plan.jobs.count; i++)
        shl_inspect_planned(&w, &plan.jobs.items[i], plan.bytes.items[i]);
    shl_json_array_end(&w);
    rc = out != NULL ? shl_api_text_out(&w, &text, out, err) : shl_json_finish(&w);
out:
    shl_buf_free(&text);
    shl_compact_plan_deinit(&plan);
    return rc;
}

static uint64_t patience_ns(const shale_compact_options *how, const struct shl_lsm_settings *s)
{
    return how->take_over_ms != 0 ? how->take_over_ms * ENV_NS_PER_MS
                                  : 2 * s->compactor_poll_interval_ns + ENV_NS_PER_SEC;
}

shale_code shale_compact(char **out_json, const char *url, const shale_options *options,
                         const char *request, const shale_compact_options *how, shale_error *err)
{
    SHL_API_ERR(err);
    shale_compact_options mine = {.struct_size = sizeof mine};
    struct ground g = {.db = {.lsm = NULL}};
    struct shl_request r = {.kind = SHL_REQUEST_FULL};
    struct shl_once once = {.tick = on_once, .ctx = &mine};
    struct shl_once_result result = {.by_us = false};
    struct shl_process_open open;
    shale_code rc;
    if (url == NULL)
        return shl_fail(err, SHALE_INVALID, "compact: the URL is NULL");
    SHL_TRY(shl_api_take_struct(&mine, sizeof mine, how, "shale_compact_options", err));
    if (request != NULL)
        SHL_TRY(shl_request_parse(shl_slice_str(request), &r, err));
    SHL_TRY(ground_open(&g, url, options, false, err));
    open = process_of(&g);
    once.request = request != NULL ? &r : NULL;
    once.no_wait = mine.no_wait;
    once.take_over_ns = patience_ns(&mine, open.settings);
    rc = mine.dry_run ? plan_json(&open, once.request, out_json, err)
                      : shl_compact_once(&open, &once, &result, err);
    if (rc == SHALE_NOT_FOUND)
        shl_api_suggest(&g.db.stack, err);
    if (rc == SHALE_OK && out_json != NULL && !mine.dry_run)
        rc = jobs_json(&result.jobs, out_json, err);
    if (mine.counts != NULL) {
        shale_store_counts n = {.struct_size = sizeof n};
        shl_api_stack_counts(&g.db.stack, &n);
        shl_api_give_struct(mine.counts, &n, sizeof n);
    }
out:
    shl_proposals_free(&result.jobs);
    shl_request_deinit(&r);
    ground_close(&g);
    return rc;
}
