#include "api/scheduler.h"

#include "api/api.h"
#include "base/arena.h"
#include "base/num.h"

void shale_options_set_scheduler(shale_options *o, shale_scheduler_fn propose, void *ctx)
{
    if (o == NULL)
        return;
    o->scheduler = propose;
    o->scheduler_ctx = ctx;
}

/* ---------------------------------------------------------------- what it is shown */

static void *take(struct shl_arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!shl_mul_size(shl_max_size(count, 1), size, &bytes))
        return NULL;
    void *p = shl_arena_alloc(a, bytes, 8);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

static const char *id_text(struct shl_arena *a, struct shl_ulid id)
{
    char *text = take(a, SHL_ULID_TEXT, 1);
    if (text != NULL)
        shl_ulid_format(id, text);
    return text;
}

static bool show_tree(struct shl_arena *a, const struct shl_tree *t, struct shl_slice segment,
                      shale_compaction_tree *out)
{
    shale_compaction_l0 *l0 = take(a, t->l0.count, sizeof *l0);
    shale_compaction_run *runs = take(a, t->runs.count, sizeof *runs);
    if (l0 == NULL || runs == NULL)
        return false;
    for (size_t i = 0; i < t->l0.count; i++) {
        l0[i].id = id_text(a, t->l0.items[i].id);
        l0[i].bytes = shl_view_bytes(&t->l0.items[i]);
        if (l0[i].id == NULL)
            return false;
    }
    for (size_t i = 0; i < t->runs.count; i++)
        runs[i] = (shale_compaction_run){.id = t->runs.items[i].id,
                                         .sst_count = t->runs.items[i].ssts.count,
                                         .bytes = shl_run_bytes(&t->runs.items[i])};
    *out = (shale_compaction_tree){.segment = shale_bytes(segment.data, segment.len),
                                   .l0 = l0,
                                   .l0_count = t->l0.count,
                                   .runs = runs,
                                   .run_count = t->runs.count};
    return true;
}

static bool show_trees(struct shl_arena *a, const struct shl_manifest *m,
                       shale_compaction_view *out)
{
    size_t count = 1 + m->segments.count;
    shale_compaction_tree *trees = take(a, count, sizeof *trees);
    bool there = trees != NULL && show_tree(a, &m->root, shl_slice_of(NULL, 0), &trees[0]);
    for (size_t i = 1; i < count && there; i++) {
        const struct shl_segment *s = &m->segments.items[i - 1];
        there = show_tree(a, &s->tree, shl_buf_view(&s->prefix), &trees[i]);
    }
    out->trees = trees;
    out->tree_count = count;
    return there;
}

static const shale_compaction_spec *show_job(struct shl_arena *a, const struct shl_compaction *job)
{
    shale_compaction_spec *out = take(a, 1, sizeof *out);
    const char **l0 = take(a, job->l0_view_ids.count, sizeof *l0);
    if (out == NULL || l0 == NULL)
        return NULL;
    for (size_t i = 0; i < job->l0_view_ids.count; i++) {
        l0[i] = id_text(a, job->l0_view_ids.items[i]);
        if (l0[i] == NULL)
            return NULL;
    }
    *out = (shale_compaction_spec){.struct_size = sizeof *out,
                                   .segment = shale_bytes(job->segment.data, job->segment.len),
                                   .l0 = l0,
                                   .l0_count = job->l0_view_ids.count,
                                   .runs = job->runs.items,
                                   .run_count = job->runs.count,
                                   .destination = job->destination,
                                   .drain = job->kind == SHL_COMPACTION_DRAIN};
    return out;
}

static bool show_jobs(struct shl_arena *a, const struct shl_compactions *c,
                      shale_compaction_view *out)
{
    const shale_compaction_spec **jobs = take(a, c->jobs.count, sizeof *jobs);
    if (jobs == NULL)
        return false;
    out->jobs = jobs;
    for (size_t i = 0; i < c->jobs.count; i++) {
        if (!shl_job_is_active(&c->jobs.items[i]))
            continue;
        jobs[out->job_count] = show_job(a, &c->jobs.items[i]);
        if (jobs[out->job_count++] == NULL)
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- what it proposes */

struct taken {
    const struct shl_api_scheduler *s;
    shl_proposals *out;
    shale_error *err;
    shale_code rc; /* NOMEM at the worst */
};

static shale_code take_l0(const shale_compaction_spec *spec, struct shl_compaction *job,
                          shale_error *err)
{
    if (!shl_array_reserve(&job->l0_view_ids, spec->l0_count))
        return shl_nomem(err);
    for (size_t i = 0; i < spec->l0_count; i++) {
        struct shl_ulid id;
        if (spec->l0[i] == NULL)
            return shl_fail(err, SHALE_INVALID, "the id of its L0 source %zu is NULL", i);
        if (!shl_ulid_parse(shl_slice_str(spec->l0[i]), &id))
            return shl_fail(err, SHALE_INVALID, "\"%.40s\" is no id of an L0 SSTable", spec->l0[i]);
        shl_array_add(&job->l0_view_ids, id);
    }
    return SHALE_OK;
}

static shale_code take_spec(const shale_compaction_spec *theirs, struct shl_compaction *job,
                            shale_error *err)
{
    shale_compaction_spec spec = {.struct_size = sizeof spec};
    shale_code rc;
    if (theirs == NULL)
        return shl_fail(err, SHALE_INVALID, "it is NULL");
    SHL_TRY(shl_api_take_struct(&spec, sizeof spec, theirs, "shale_compaction_spec", err));
    if ((spec.l0 == NULL && spec.l0_count > 0) || (spec.runs == NULL && spec.run_count > 0))
        return shl_fail(err, SHALE_INVALID, "its sources are NULL");
    if (spec.segment.data == NULL && spec.segment.len > 0)
        return shl_fail(err, SHALE_INVALID, "its segment is NULL");
    job->kind = spec.drain ? SHL_COMPACTION_DRAIN : SHL_COMPACTION_TIERED;
    job->destination = spec.drain ? 0 : spec.destination;
    job->has_l0_view_ids = spec.l0_count > 0;
    job->has_runs = spec.run_count > 0;
    SHL_TRY(shl_buf_set(&job->segment, shl_slice_of(spec.segment.data, spec.segment.len), err));
    SHL_TRY(take_l0(&spec, job, err));
    if (!shl_array_reserve(&job->runs, spec.run_count))
        return shl_nomem(err);
    for (size_t i = 0; i < spec.run_count; i++)
        shl_array_add(&job->runs, spec.runs[i]);
out:
    return rc;
}

static void on_emit(void *ctx, const shale_compaction_spec *spec)
{
    struct taken *t = ctx;
    struct shl_compaction job = {.status = SHL_COMPACTION_SUBMITTED};
    if (t->rc != SHALE_OK)
        return;
    shale_code rc = take_spec(spec, &job, t->err);
    if (rc == SHALE_OK && !shl_array_push(t->out, job))
        rc = shl_nomem(t->err);
    if (rc == SHALE_OK)
        return;
    shl_compaction_deinit(&job);
    if (rc == SHALE_INVALID)
        shl_log_write(t->s->log, SHL_LOG_WARN, "compaction proposed in vain: %s", t->err->text);
    else
        t->rc = rc;
}

static shale_code propose(void *ctx, const struct shl_manifest *m, const struct shl_compactions *c,
                          size_t slots, shl_proposals *out, shale_error *err)
{
    const struct shl_api_scheduler *s = ctx;
    struct shl_arena a = {.chunks = NULL};
    struct taken t = {.s = s, .out = out, .err = err};
    const shl_proposals none = {0};
    const struct shl_round round = {.m = m, .c = c, .proposed = &none};
    shale_compaction_view view = {.struct_size = sizeof view, .slots = slots};
    shale_code rc = SHALE_OK;
    if (!shl_round_next_run(&round, &view.next_run) || slots == 0)
        return SHALE_OK;
    if (!show_trees(&a, m, &view) || !show_jobs(&a, c, &view)) {
        rc = shl_nomem(err);
    } else {
        shale_code said = s->propose(s->ctx, &view, on_emit, &t);
        rc = t.rc;
        if (said != SHALE_OK && rc == SHALE_OK) {
            shl_log_write(s->log, SHL_LOG_WARN, "the compaction scheduler failed: %s",
                          shale_code_name(said));
            shl_proposals_free(out);
            *out = (shl_proposals){0};
        }
    }
    shl_arena_deinit(&a);
    return rc;
}

void shl_api_scheduler_init(struct shl_api_scheduler *out, const shale_options *o,
                            struct shl_log *log)
{
    *out = (struct shl_api_scheduler){.is_there = o->scheduler != NULL,
                                      .propose = o->scheduler,
                                      .ctx = o->scheduler_ctx,
                                      .log = log};
    out->policy = (struct shl_scheduler){.propose = propose, .ctx = out};
}
