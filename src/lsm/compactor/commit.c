#include "lsm/compactor/commit.h"

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/keep/checkpoint.h"

shale_code shl_commit_checkpoint(struct shl_manifest *m, uint64_t manifest_id, struct shl_ulid id,
                                 int64_t now_ms, uint64_t life_ms, shale_error *err)
{
    uint64_t its_id;
    struct shl_checkpoint_want want = {
        .id = id, .now_ms = now_ms, .lifetime_ms = shl_max_u64(life_ms, 1), .where = ""};
    (void)shl_checkpoint_expire(m, now_ms);
    return shl_checkpoint_add(m, manifest_id, &want, &its_id, err);
}

static void remove_view(struct shl_tree *t, size_t i)
{
    shl_sst_view_deinit(&t->l0.items[i]);
    memmove(&t->l0.items[i], &t->l0.items[i + 1], (t->l0.count - i - 1) * sizeof t->l0.items[0]);
    t->l0.count--;
}

static void remove_run(struct shl_tree *t, size_t i)
{
    shl_run_deinit(&t->runs.items[i]);
    memmove(&t->runs.items[i], &t->runs.items[i + 1],
            (t->runs.count - i - 1) * sizeof t->runs.items[0]);
    t->runs.count--;
}

/* What the job leaves: a view per output. */
static shale_code run_of_outputs(const struct shl_compaction *job, struct shl_run *run,
                                 shale_error *err)
{
    if (!shl_array_reserve(&run->ssts, job->outputs.count))
        return shl_nomem(err);
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct shl_sst_view v = {.id = job->outputs.items[i]->id,
                                 .sst = shl_sst_desc_ref(job->outputs.items[i])};
        shl_array_add(&run->ssts, v);
    }
    return SHALE_OK;
}

static shale_code run_of_inputs(const struct shl_tree *t, const struct shl_compaction *job,
                                struct shl_run *run, shale_error *err)
{
    const struct shl_sst_view **views;
    size_t n;
    shale_code rc = shl_job_views(t, job, &views, &n, err);
    if (rc != SHALE_OK)
        return rc;
    if (!shl_array_reserve(&run->ssts, n))
        rc = shl_nomem(err);
    for (size_t i = 0; rc == SHALE_OK && i < n; i++) {
        struct shl_sst_view copy;
        rc = shl_sst_view_copy(views[i], &copy, err);
        if (rc == SHALE_OK)
            shl_array_add(&run->ssts, copy);
    }
    env_free(views);
    return rc;
}

static void remove_sources(struct shl_tree *t, const struct shl_compaction *job)
{
    /* The sources are the oldest L0s: the newest of them is the watermark. */
    if (job->l0_view_ids.count > 0) {
        t->has_watermark = true;
        t->watermark = job->l0_view_ids.items[0];
    }
    for (size_t i = 0; i < job->l0_view_ids.count; i++)
        remove_view(t, shl_tree_find_view(t, job->l0_view_ids.items[i]));
    for (size_t i = 0; i < job->runs.count; i++)
        remove_run(t, shl_tree_find_run(t, job->runs.items[i]));
}

static void insert_run(struct shl_tree *t, struct shl_run *take_run)
{
    size_t at = 0;
    while (at < t->runs.count && t->runs.items[at].id > take_run->id)
        at++;
    memmove(&t->runs.items[at + 1], &t->runs.items[at],
            (t->runs.count - at) * sizeof t->runs.items[0]);
    t->runs.items[at] = *take_run;
    t->runs.count++;
}

struct shl_tree *shl_commit_tree(struct shl_manifest *m, const struct shl_compaction *job)
{
    if (job->segment.len == 0)
        return &m->root;
    return &shl_manifest_segment(m, shl_buf_view(&job->segment))->tree;
}

shale_code shl_commit_job(struct shl_manifest *m, const struct shl_compaction *job, bool trivial,
                          shale_error *err)
{
    struct shl_run run = {.id = job->destination};
    const char *why = shl_job_check(m, job, SHL_STAGE_COMMIT);
    if (why != NULL)
        return shl_fail(err, SHALE_CONFLICT, "the compaction cannot be committed: %s", why);
    struct shl_tree *t = shl_commit_tree(m, job);
    shale_code rc = SHALE_OK;
    if (!shl_array_reserve(&t->runs, 1))
        rc = shl_nomem(err);
    else if (trivial)
        rc = run_of_inputs(t, job, &run, err);
    else if (job->kind == SHL_COMPACTION_TIERED)
        rc = run_of_outputs(job, &run, err);
    if (rc != SHALE_OK) {
        shl_run_deinit(&run);
        return rc;
    }
    remove_sources(t, job);
    if (run.ssts.count > 0) /* else nothing outlived the job */
        insert_run(t, &run);
    else
        shl_run_deinit(&run);
    shl_manifest_prune_external(m);
    return SHALE_OK;
}
