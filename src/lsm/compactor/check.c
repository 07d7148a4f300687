#include "lsm/compactor/check.h"

#include "base/env/env.h"

#include <stdlib.h>

const struct shl_tree *shl_job_tree(const struct shl_manifest *m, const struct shl_compaction *job)
{
    if (job->segment.len == 0)
        return &m->root;
    for (size_t i = 0; i < m->segments.count; i++)
        if (shl_slice_eq(shl_buf_view(&m->segments.items[i].prefix), shl_buf_view(&job->segment)))
            return &m->segments.items[i].tree;
    return NULL;
}

size_t shl_tree_find_view(const struct shl_tree *t, struct shl_ulid id)
{
    for (size_t i = 0; i < t->l0.count; i++)
        if (shl_ulid_eq(t->l0.items[i].id, id))
            return i;
    return SIZE_MAX;
}

size_t shl_tree_find_run(const struct shl_tree *t, uint32_t id)
{
    for (size_t i = 0; i < t->runs.count; i++)
        if (t->runs.items[i].id == id)
            return i;
    return SIZE_MAX;
}

/* Each source is the next older one of [L0 newest to oldest, runs newest to oldest]. */
static const char *check_sources(const struct shl_tree *t, const struct shl_compaction *job)
{
    size_t next = SIZE_MAX;
    for (size_t i = 0; i < job->l0_view_ids.count; i++) {
        size_t at = shl_tree_find_view(t, job->l0_view_ids.items[i]);
        if (at == SIZE_MAX)
            return "an L0 source is not there";
        if (next != SIZE_MAX && at != next)
            return "its L0 sources are no neighbours, newest first";
        next = at + 1;
    }
    /* What stays in L0 is read before any run: nothing older than the sources may stay there. */
    if (next != SIZE_MAX && next != t->l0.count)
        return "an L0 SSTable older than its sources would stay";
    if (next != SIZE_MAX && job->runs.count > 0 && shl_tree_find_run(t, job->runs.items[0]) != 0)
        return "a sorted run between its L0 sources and its runs would stay";
    next = SIZE_MAX;
    for (size_t i = 0; i < job->runs.count; i++) {
        size_t at = shl_tree_find_run(t, job->runs.items[i]);
        if (at == SIZE_MAX)
            return "a source run is not there";
        if (next != SIZE_MAX && at != next)
            return "its source runs are no neighbours, newest first";
        next = at + 1;
    }
    return NULL;
}

static bool above_all_runs(const struct shl_tree *t, uint32_t id)
{
    return t->runs.count == 0 || t->runs.items[0].id < id;
}

static bool is_free_run_id(const struct shl_manifest *m, uint32_t id)
{
    bool is_free = shl_tree_find_run(&m->root, id) == SIZE_MAX;
    for (size_t i = 0; i < m->segments.count; i++)
        is_free = is_free && shl_tree_find_run(&m->segments.items[i].tree, id) == SIZE_MAX;
    return is_free;
}

static const char *check_destination(const struct shl_manifest *m, const struct shl_tree *t,
                                     const struct shl_compaction *job, enum shl_job_stage stage)
{
    if (job->runs.count > 0)
        return job->destination == job->runs.items[job->runs.count - 1]
                   ? NULL
                   : "its destination is not its oldest source run";
    if (stage == SHL_STAGE_SUBMITTED && job->destination == UINT32_MAX)
        return "its destination leaves no number for a later sorted run";
    bool above = above_all_runs(t, job->destination) &&
                 (stage == SHL_STAGE_COMMIT || above_all_runs(&m->root, job->destination));
    for (size_t i = 0; stage == SHL_STAGE_SUBMITTED && i < m->segments.count; i++)
        above = above && above_all_runs(&m->segments.items[i].tree, job->destination);
    if (!above)
        return "its destination is not above every sorted run";
    return is_free_run_id(m, job->destination) ? NULL : "its destination is a run of another tree";
}

const char *shl_job_check(const struct shl_manifest *m, const struct shl_compaction *job,
                          enum shl_job_stage stage)
{
    if (job->l0_view_ids.count + job->runs.count == 0)
        return "it has no sources";
    if (job->kind == SHL_COMPACTION_DRAIN && job->segment.len == 0)
        return "the root tree cannot be drained";
    const struct shl_tree *t = shl_job_tree(m, job);
    if (t == NULL)
        return "its segment is not there";
    const char *why = check_sources(t, job);
    if (why != NULL || job->kind == SHL_COMPACTION_DRAIN)
        return why;
    return check_destination(m, t, job, stage);
}

const char *shl_job_check_rivals(const struct shl_compactions *c, const struct shl_compaction *job)
{
    if (shl_jobs_rival(c, job, false) != NULL)
        return "another job has a source or the destination of it";
    for (size_t i = 0; job->l0_view_ids.count > 0 && i < c->jobs.count; i++) {
        const struct shl_compaction *other = &c->jobs.items[i];
        if (!shl_ulid_eq(other->id, job->id) && shl_job_is_at_work(other) &&
            job->status == SHL_COMPACTION_SUBMITTED && other->l0_view_ids.count > 0 &&
            shl_slice_eq(shl_buf_view(&other->segment), shl_buf_view(&job->segment)))
            return "another job of its tree takes L0 SSTables";
    }
    return NULL;
}

bool shl_job_is_committed(const struct shl_manifest *m, const struct shl_compaction *job)
{
    const struct shl_tree *t = shl_job_tree(m, job);
    if (job->kind != SHL_COMPACTION_TIERED || t == NULL || job->outputs.count == 0)
        return false;
    for (size_t i = 0; i < job->l0_view_ids.count; i++)
        if (shl_tree_find_view(t, job->l0_view_ids.items[i]) != SIZE_MAX)
            return false;
    for (size_t i = 0; i < job->runs.count; i++)
        if (job->runs.items[i] != job->destination &&
            shl_tree_find_run(t, job->runs.items[i]) != SIZE_MAX)
            return false;
    size_t at = shl_tree_find_run(t, job->destination);
    if (at == SIZE_MAX || t->runs.items[at].ssts.count != job->outputs.count)
        return false;
    for (size_t i = 0; i < job->outputs.count; i++)
        if (!shl_ulid_eq(t->runs.items[at].ssts.items[i].sst->id, job->outputs.items[i]->id))
            return false;
    return true;
}

bool shl_job_reaches_bottom(const struct shl_tree *t, const struct shl_compaction *job)
{
    return t->runs.count == 0 || t->runs.items[t->runs.count - 1].id == job->destination;
}

/* ---------------------------------------------------------------- input views */

static int by_start(const void *a, const void *b)
{
    const struct shl_sst_view *const *x = a;
    const struct shl_sst_view *const *y = b;
    struct shl_key_range p;
    struct shl_key_range q;
    shl_sst_view_range(*x, &p);
    shl_sst_view_range(*y, &q);
    return shl_slice_cmp(p.start, q.start);
}

shale_code shl_job_views(const struct shl_tree *t, const struct shl_compaction *job,
                         const struct shl_sst_view ***out, size_t *count, shale_error *err)
{
    size_t n = job->l0_view_ids.count;
    for (size_t i = 0; i < job->runs.count; i++) {
        size_t at = shl_tree_find_run(t, job->runs.items[i]);
        n += at != SIZE_MAX ? t->runs.items[at].ssts.count : 0;
    }
    const struct shl_sst_view **list = env_calloc(n + 1, sizeof *list);
    if (list == NULL)
        return shl_nomem(err);
    n = 0;
    for (size_t i = 0; i < job->l0_view_ids.count; i++) {
        size_t at = shl_tree_find_view(t, job->l0_view_ids.items[i]);
        if (at != SIZE_MAX)
            list[n++] = &t->l0.items[at];
    }
    for (size_t i = 0; i < job->runs.count; i++) {
        size_t at = shl_tree_find_run(t, job->runs.items[i]);
        for (size_t k = 0; at != SIZE_MAX && k < t->runs.items[at].ssts.count; k++)
            list[n++] = &t->runs.items[at].ssts.items[k];
    }
    qsort(list, n, sizeof *list, by_start);
    *out = list;
    *count = n;
    return SHALE_OK;
}

/* Whether b begins behind the end of a. */
static bool is_behind(const struct shl_sst_view *a, const struct shl_sst_view *b)
{
    struct shl_key_range p;
    struct shl_key_range q;
    shl_sst_view_range(a, &p);
    shl_sst_view_range(b, &q);
    if (p.end_unbounded)
        return false;
    int d = shl_slice_cmp(p.end, q.start);
    return d < 0 || (d == 0 && !p.end_inclusive);
}

bool shl_job_is_trivial(const struct shl_tree *t, const struct shl_compaction *job)
{
    const struct shl_sst_view **views;
    size_t n;
    shale_error ignored;
    if (job->kind != SHL_COMPACTION_TIERED ||
        shl_job_views(t, job, &views, &n, &ignored) != SHALE_OK)
        return false;
    bool trivial = true;
    for (size_t i = 1; i < n; i++)
        trivial = trivial && is_behind(views[i - 1], views[i]);
    env_free(views);
    return trivial;
}
