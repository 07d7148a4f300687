#include "lsm/compactor/plan.h"

#include "lsm/compactor/file.h"

void shl_compact_plan_deinit(struct shl_compact_plan *p)
{
    shl_proposals_free(&p->jobs);
    shl_array_free(&p->bytes);
}

static uint64_t source_bytes(const struct shl_manifest *m, const struct shl_compaction *job)
{
    const struct shl_tree *t = shl_job_tree(m, job);
    uint64_t sum = 0;
    for (size_t i = 0; t != NULL && i < job->l0_view_ids.count; i++) {
        size_t at = shl_tree_find_view(t, job->l0_view_ids.items[i]);
        sum += at != SIZE_MAX ? shl_view_bytes(&t->l0.items[at]) : 0;
    }
    for (size_t i = 0; t != NULL && i < job->runs.count; i++) {
        size_t at = shl_tree_find_run(t, job->runs.items[i]);
        sum += at != SIZE_MAX ? shl_run_bytes(&t->runs.items[at]) : 0;
    }
    return sum;
}

static shale_code add_open_jobs(const struct shl_compactions *c, shl_proposals *out,
                                shale_error *err)
{
    for (size_t i = 0; i < c->jobs.count; i++) {
        struct shl_compaction copy;
        if (!shl_job_is_active(&c->jobs.items[i]))
            continue;
        shale_code rc = shl_compaction_copy(&c->jobs.items[i], &copy, err);
        if (rc != SHALE_OK)
            return rc;
        if (!shl_array_push(out, copy)) {
            shl_compaction_deinit(&copy);
            return shl_nomem(err);
        }
    }
    return SHALE_OK;
}

static shale_code check_rivals(const struct shl_compactions *c, const shl_proposals *jobs,
                               shale_error *err)
{
    for (size_t i = 0; i < jobs->count; i++) {
        const struct shl_compaction *other = shl_jobs_rival(c, &jobs->items[i], true);
        if (other != NULL)
            return shl_request_conflict(other, err);
    }
    return SHALE_OK;
}

static shale_code plan(const struct shl_process_open *o, const struct shl_request *request,
                       const struct shl_manifest *m, const struct shl_compactions *c,
                       struct shl_compact_plan *out, shale_error *err)
{
    struct shl_scheduler s = o->scheduler != NULL ? *o->scheduler : shl_scheduler_of(o->settings);
    shale_code rc;
    if (request != NULL) {
        SHL_TRY(shl_request_plan(request, m, &out->jobs, err));
        SHL_TRY(check_rivals(c, &out->jobs, err));
    } else {
        SHL_TRY(add_open_jobs(c, &out->jobs, err));
        size_t slots = o->settings->compactor_max_concurrent;
        if (slots > out->jobs.count)
            SHL_TRY(s.propose(s.ctx, m, c, slots - out->jobs.count, &out->jobs, err));
    }
    for (size_t i = 0; i < out->jobs.count; i++)
        if (!shl_array_push(&out->bytes, source_bytes(m, &out->jobs.items[i])))
            return shl_nomem(err);
out:
    return rc;
}

shale_code shl_compact_plan(const struct shl_process_open *o, const struct shl_request *request,
                            struct shl_compact_plan *out, shale_error *err)
{
    struct shl_compactions nothing = {.stored_version = 2};
    struct shl_compactions_file file;
    struct shl_db_paths paths = {0};
    struct shl_manifest *m = NULL;
    bool changed;
    shale_code rc = shl_db_paths_init(&paths, o->path, err);
    if (rc != SHALE_OK)
        return rc;
    shl_compactions_file_init(&file, o->store, &paths, NULL);
    /* The file before the manifest, as everywhere. */
    SHL_TRY(shl_compactions_file_load(&file, &changed, err));
    SHL_TRY(shl_request_manifest(o->store, &paths, &m, err));
    SHL_TRY(plan(o, request, m, file.now != NULL ? file.now : &nothing, out, err));
out:
    shl_manifest_free(m);
    shl_compactions_file_deinit(&file);
    shl_db_paths_deinit(&paths);
    return rc;
}
