#include "lsm/compactor/increment.h"

#include "base/array.h"
#include "base/env/env.h"
#include "lsm/compactor/commit.h"
#include "lsm/view_cut.h"

typedef SHL_ARRAY(struct shl_key_range) ranges;

static bool applies(const struct shl_compaction *job)
{
    bool any = false;
    if (job->kind != SHL_COMPACTION_TIERED || job->status != SHL_COMPACTION_RUNNING ||
        !job->has_context || job->l0_view_ids.count > 0 || job->runs.count == 0 ||
        job->runs.items[job->runs.count - 1] != job->destination)
        return false;
    for (size_t i = 0; i < job->subcompactions.count; i++)
        any = any || job->subcompactions.items[i].outputs.count > 0;
    return any;
}

/* ---------------------------------------------------------------- what is finished */

/* How many of a part's outputs are whole: no version of a key of theirs can come behind them. An output is, once the next one begins with a greater key. */
static size_t whole_outputs(const struct shl_subcompaction *s)
{
    size_t n = s->outputs.count;
    if (s->completed)
        return n;
    while (n > 0 &&
           (n == s->outputs.count || shl_slice_cmp(s->outputs.items[n - 1]->info.last_entry,
                                                   s->outputs.items[n]->info.first_entry) >= 0))
        n--;
    return n;
}

/* The keys below which a part is finished. False: none. Borrows from the part. */
static bool finished_range(const struct shl_subcompaction *s, struct shl_key_range *out)
{
    size_t whole = whole_outputs(s);
    if (s->range.start.type == SHL_BOUND_EXCLUDED || (whole == 0 && !s->completed))
        return false;
    *out = (struct shl_key_range){.end_unbounded = true};
    if (s->range.start.type == SHL_BOUND_INCLUDED)
        out->start = shl_buf_view(&s->range.start.key);
    if (!s->completed) {
        out->end = s->outputs.items[whole]->info.first_entry;
        out->end_unbounded = false;
    } else if (s->range.end.type != SHL_BOUND_UNBOUNDED) {
        out->end = shl_buf_view(&s->range.end.key);
        out->end_unbounded = false;
    }
    return s->range.end.type != SHL_BOUND_INCLUDED;
}

/* What lies between the finished keys: the parts come in order of keys. */
static shale_code find_gaps(const struct shl_compaction *job, ranges *out, shale_error *err)
{
    struct shl_key_range gap = {.end_unbounded = true};
    for (size_t i = 0; i < job->subcompactions.count; i++) {
        struct shl_key_range done;
        if (!finished_range(&job->subcompactions.items[i], &done))
            continue;
        struct shl_key_range before = {.start = gap.start, .end = done.start};
        if (!shl_key_range_empty(&before) && !shl_array_push(out, before))
            return shl_nomem(err);
        if (done.end_unbounded)
            return SHALE_OK;
        gap.start = done.end;
    }
    return shl_array_push(out, gap) ? SHALE_OK : shl_nomem(err);
}

/* ---------------------------------------------------------------- the tree */

static bool is_output(const struct shl_compaction *job, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < job->subcompactions.count; i++) {
        const shl_sst_descs *o = &job->subcompactions.items[i].outputs;
        for (size_t k = 0; k < o->count; k++)
            if (shl_ulid_eq(o->items[k]->id, sst_id))
                return true;
    }
    return false;
}

static bool has_sst(const struct shl_run *run, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < run->ssts.count; i++)
        if (shl_ulid_eq(run->ssts.items[i].sst->id, sst_id))
            return true;
    return false;
}

/* At its place by key. Takes the view. */
static shale_code add_view(struct shl_run *run, struct shl_sst_view *take, shale_error *err)
{
    struct shl_key_range mine;
    size_t at = run->ssts.count;
    if (!shl_array_reserve(&run->ssts, 1)) {
        shl_sst_view_deinit(take);
        return shl_nomem(err);
    }
    shl_sst_view_range(take, &mine);
    for (; at > 0; at--) {
        struct shl_key_range other;
        shl_sst_view_range(&run->ssts.items[at - 1], &other);
        if (shl_slice_cmp(other.start, mine.start) <= 0)
            break;
        run->ssts.items[at] = run->ssts.items[at - 1];
    }
    run->ssts.items[at] = *take;
    run->ssts.count++;
    return SHALE_OK;
}

/* The pieces of a view that lie in the gaps. One that is all in a gap stays as it is. */
static shale_code add_pieces(struct shl_run *to, const struct shl_sst_view *v, const ranges *gaps,
                             shale_error *err)
{
    for (size_t i = 0; i < gaps->count; i++) {
        struct shl_sst_view piece;
        bool keep = false;
        shale_code rc = shl_sst_view_copy(v, &piece, err);
        if (rc != SHALE_OK)
            return rc;
        rc = shl_view_cut(&piece, &gaps->items[i], &keep, err);
        if (rc == SHALE_OK && keep)
            rc = add_view(to, &piece, err);
        else
            shl_sst_view_deinit(&piece);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* The run without what is finished. Outputs that came into it before stay. */
static shale_code cut_run(struct shl_run *run, const struct shl_compaction *job, const ranges *gaps,
                          uint64_t *released, shale_error *err)
{
    struct shl_run next = {.id = run->id};
    shale_code rc = SHALE_OK;
    for (size_t i = 0; rc == SHALE_OK && i < run->ssts.count; i++) {
        const struct shl_sst_view *v = &run->ssts.items[i];
        if (is_output(job, v->sst->id)) {
            struct shl_sst_view copy;
            rc = shl_sst_view_copy(v, &copy, err);
            if (rc == SHALE_OK)
                rc = add_view(&next, &copy, err);
        } else {
            rc = add_pieces(&next, v, gaps, err);
        }
    }
    for (size_t i = 0; rc == SHALE_OK && i < run->ssts.count; i++)
        if (!has_sst(&next, run->ssts.items[i].sst->id))
            *released += run->ssts.items[i].sst->info.index_offset;
    if (rc != SHALE_OK) {
        shl_run_deinit(&next);
        return rc;
    }
    shl_run_deinit(run);
    *run = next;
    return SHALE_OK;
}

static shale_code add_outputs(struct shl_run *run, const struct shl_compaction *job, size_t *added,
                              shale_error *err)
{
    for (size_t i = 0; i < job->subcompactions.count; i++) {
        const struct shl_subcompaction *s = &job->subcompactions.items[i];
        struct shl_key_range done;
        size_t n = finished_range(s, &done) ? whole_outputs(s) : 0;
        for (size_t k = 0; k < n; k++) {
            struct shl_sst_desc *sst = s->outputs.items[k];
            if (has_sst(run, sst->id))
                continue;
            struct shl_sst_view v = {.id = sst->id, .sst = shl_sst_desc_ref(sst)};
            shale_code rc = add_view(run, &v, err);
            if (rc != SHALE_OK)
                return rc;
            ++*added;
        }
    }
    return SHALE_OK;
}

size_t shl_increment_news(const struct shl_manifest *m, const struct shl_compaction *job)
{
    size_t n = 0;
    if (!applies(job) || shl_job_check(m, job, SHL_STAGE_COMMIT) != NULL)
        return 0;
    const struct shl_tree *t = shl_job_tree(m, job);
    const struct shl_run *run = &t->runs.items[shl_tree_find_run(t, job->destination)];
    for (size_t i = 0; i < job->subcompactions.count; i++) {
        const struct shl_subcompaction *s = &job->subcompactions.items[i];
        struct shl_key_range done;
        size_t whole = finished_range(s, &done) ? whole_outputs(s) : 0;
        for (size_t k = 0; k < whole; k++)
            n += !has_sst(run, s->outputs.items[k]->id);
    }
    return n;
}

shale_code shl_increment_commit(struct shl_manifest *m, const struct shl_compaction *job,
                                struct shl_increment *out, shale_error *err)
{
    ranges gaps = {0};
    shale_code rc;
    *out = (struct shl_increment){0};
    if (shl_increment_news(m, job) == 0)
        return SHALE_OK;
    struct shl_tree *t = shl_commit_tree(m, job);
    SHL_TRY(find_gaps(job, &gaps, err));
    for (size_t i = 0; i < job->runs.count; i++) {
        struct shl_run *run = &t->runs.items[shl_tree_find_run(t, job->runs.items[i])];
        SHL_TRY(cut_run(run, job, &gaps, &out->released_bytes, err));
    }
    SHL_TRY(add_outputs(&t->runs.items[shl_tree_find_run(t, job->destination)], job, &out->outputs,
                        err));
    shl_manifest_prune_external(m);
out:
    shl_array_free(&gaps);
    return rc;
}
