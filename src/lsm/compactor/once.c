#include "lsm/compactor/once.h"

#include "base/num.h"
#include "lsm/compactor/check.h"
#include "lsm/compactor/file.h"

#define LOOK_NS      (500 * ENV_NS_PER_MS) /* between two looks at the file: two GETs each */
#define TICK_NS      (100 * ENV_NS_PER_MS)
#define VERSIONS_MAX 1000 /* of the file, that are read for a job which is in none of the newest */

struct watch {
    const struct shl_process_open *o;
    const struct shl_once *how;
    struct shl_db_paths paths;
    struct shl_compactions_file file;
    uint64_t looked_id; /* version of it at our last look; 0: none */
    struct shl_scheduler scheduler;
    struct shl_once_result *result;
    bool over;   /* all is done */
    bool nobody; /* there was never a coordinator, or the last one was like us, and has ended */
    bool waits;  /* something of it waits for a coordinator, */
    bool free;   /* or for a worker */
    bool due;    /* our scheduler finds something that nobody is at */
    bool asked_in_vain;
    shl_proposals asked;          /* owned: what we submitted last, without a request */
    uint64_t sign_ns;             /* of life, the last */
    uint64_t executed, committed; /* by us, in roles that have ended */
};

/* To be scheduled, or to be committed. */
static bool is_coordinators(const struct shl_compaction *job)
{
    return job->status == SHL_COMPACTION_SUBMITTED || job->status == SHL_COMPACTION_COMPACTED;
}

/* A job that is no longer on record, for coordinators keep few of those that ended: the newest version since our last look that has it says more. */
static shale_code look_into_versions(struct watch *w, struct shl_compaction *mine, shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_buf body = {0};
    struct shl_compactions *c = NULL;
    const struct shl_compaction *job = NULL;
    uint64_t left = VERSIONS_MAX;
    for (uint64_t v = w->file.versions.id; job == NULL && v-- > w->looked_id + 1 && left-- > 0;) {
        shl_compactions_free(c);
        c = NULL;
        rc = shl_sequenced_read(&w->file.versions, v, &body, err);
        if (rc == SHALE_NOT_FOUND) { /* collected, as are those before it */
            rc = SHALE_OK;
            break;
        }
        SHL_TRY(rc);
        SHL_TRY(shl_compactions_decode(shl_buf_view(&body), &c, err));
        job = shl_jobs_find(c, mine->id);
    }
    if (job != NULL) {
        struct shl_compaction copy;
        SHL_TRY(shl_compaction_copy(job, &copy, err));
        shl_compaction_deinit(mine);
        *mine = copy;
    }
out:
    shl_compactions_free(c);
    shl_buf_free(&body);
    return rc;
}

/* Where no version tells: only what cannot have come about otherwise is believed, for numbers of runs are used again. */
static shale_code look_for_outcome(const struct shl_manifest *m, struct shl_compaction *mine,
                                   shale_error *err)
{
    const struct shl_tree *t = shl_job_tree(m, mine);
    bool has_l0 = mine->l0_view_ids.count > 0, waits = false;
    for (size_t i = 0; t != NULL && i < mine->l0_view_ids.count; i++)
        waits = waits || shl_tree_find_view(t, mine->l0_view_ids.items[i]) != SIZE_MAX;
    bool made = mine->kind == SHL_COMPACTION_DRAIN
                    ? t == NULL
                    : has_l0 && t != NULL && shl_tree_find_run(t, mine->destination) != SIZE_MAX;
    if (!waits && !made)
        return shl_fail(err, SHALE_CONFLICT,
                        "a compaction is no longer on record, and the tables do not tell whether "
                        "it was done: its outcome is unknown");
    mine->status = waits ? SHL_COMPACTION_FAILED : SHL_COMPACTION_COMPLETED;
    return SHALE_OK;
}

/* What the file says of the request's jobs, and the tables of those that are gone from it. */
static shale_code look_at_jobs(struct watch *w, const struct shl_manifest *m, shale_error *err)
{
    w->over = true;
    w->waits = w->free = false;
    for (size_t i = 0; i < w->result->jobs.count; i++) {
        struct shl_compaction *mine = &w->result->jobs.items[i];
        const struct shl_compaction *job =
            w->file.now != NULL ? shl_jobs_find(w->file.now, mine->id) : NULL;
        struct shl_compaction copy;
        shale_code rc = SHALE_OK;
        if (job == NULL && shl_job_is_active(mine))
            rc = look_into_versions(w, mine, err);
        if (rc == SHALE_OK && job == NULL && shl_job_is_active(mine))
            rc = look_for_outcome(m, mine, err);
        if (rc == SHALE_OK && job != NULL)
            rc = shl_compaction_copy(job, &copy, err);
        if (rc != SHALE_OK)
            return rc;
        if (job == NULL)
            continue;
        shl_compaction_deinit(mine);
        *mine = copy;
        w->over = w->over && !shl_job_is_active(mine);
        w->waits = w->waits || is_coordinators(mine);
        w->free = w->free || shl_job_is_free(mine);
    }
    w->looked_id = w->file.versions.id;
    return SHALE_OK;
}

/* Without a request: whether a scheduler would find something, or somebody is at it. */
static shale_code look_at_all(struct watch *w, const struct shl_manifest *m, shale_error *err)
{
    struct shl_compactions nothing = {.stored_version = 2};
    const struct shl_compactions *c = w->file.now != NULL ? w->file.now : &nothing;
    shl_proposals due = {0};
    shale_code rc = w->scheduler.propose(w->scheduler.ctx, m, c, 1, &due, err);
    w->waits = due.count > 0 || shl_jobs_active(c) == 0;
    w->over = due.count == 0 && shl_jobs_active(c) == 0;
    w->due = due.count > 0;
    w->free = false;
    for (size_t i = 0; i < c->jobs.count; i++) {
        w->waits = w->waits || is_coordinators(&c->jobs.items[i]);
        w->free = w->free || shl_job_is_free(&c->jobs.items[i]);
    }
    shl_proposals_free(&due);
    return rc;
}

static shale_code look(struct watch *w, shale_error *err)
{
    bool changed;
    struct shl_manifest *m = NULL;
    shale_code rc;
    SHL_TRY(shl_compactions_file_load(&w->file, &changed, err));
    SHL_TRY(shl_request_manifest(w->o->store, &w->paths, &m, err));
    if (changed)
        w->sign_ns = env_now_mono_ns();
    w->nobody = m->compactor_epoch == 0 ||
                (w->file.now != NULL && shl_jobs_ended_with(w->file.now, m->compactor_epoch));
    rc = w->how->request != NULL ? look_at_jobs(w, m, err) : look_at_all(w, m, err);
out:
    shl_manifest_free(m);
    return rc;
}

static bool stopped(struct watch *w, enum shl_once_phase phase)
{
    struct shl_compactor_report r = {.active =
                                         w->file.now != NULL ? shl_jobs_active(w->file.now) : 0};
    if (w->how->tick != NULL && w->how->tick(w->how->ctx, phase, &r))
        w->result->stopped = true;
    return w->result->stopped;
}

/* Who lives takes what waits within its poll interval; a job that a worker has is lost only with its heartbeats. */
static bool is_alone(const struct watch *w)
{
    const struct shl_lsm_settings *s = w->o->settings;
    uint64_t patience = w->how->take_over_ns;
    if (!w->waits && !w->free)
        patience = shl_max_u64(patience,
                               s->worker_heartbeat_timeout_ns + 2 * s->compactor_poll_interval_ns);
    return w->nobody || env_now_mono_ns() - w->sign_ns >= patience;
}

static bool is_asked(const struct watch *w, const struct shl_compaction *job)
{
    for (size_t i = 0; i < w->asked.count; i++) {
        const struct shl_compaction *a = &w->asked.items[i];
        bool same = a->destination == job->destination &&
                    a->l0_view_ids.count == job->l0_view_ids.count &&
                    a->runs.count == job->runs.count && shl_job_meets(a, job);
        for (size_t k = 0; same && k < a->l0_view_ids.count; k++)
            same = shl_ulid_eq(a->l0_view_ids.items[k], job->l0_view_ids.items[k]);
        if (same)
            return true;
    }
    return false;
}

/* A coordinator that is there may see no need of its own for what we find, by its settings: it is asked for it, so that it need not be waited for in vain. What
 * was asked for once and is still due was refused. */
static shale_code ask(struct watch *w, shale_error *err)
{
    shl_proposals jobs = {0};
    size_t slots = w->o->settings->compactor_max_concurrent;
    if (w->how->request != NULL || !w->due || w->nobody)
        return SHALE_OK;
    shale_code rc = w->asked.count > 0 && w->asked_in_vain
                        ? SHALE_OK
                        : shl_request_submit_due(w->o->store, w->o->path, &w->o->settings->clock,
                                                 &w->scheduler, slots, &jobs, err);
    if (rc == SHALE_CONFLICT) /* somebody is at it */
        rc = SHALE_OK;
    for (size_t i = 0; i < jobs.count; i++)
        w->asked_in_vain = w->asked_in_vain || is_asked(w, &jobs.items[i]);
    if (jobs.count == 0)
        return rc;
    shl_proposals_free(&w->asked);
    w->asked = jobs;
    w->due = false;
    w->waits = true;
    return rc;
}

/* Until all is done, or nobody seems to be there. */
static shale_code wait_for_others(struct watch *w, shale_error *err)
{
    w->sign_ns = env_now_mono_ns();
    for (;;) {
        shale_code rc = look(w, err);
        if (rc != SHALE_OK || w->over || is_alone(w))
            return rc;
        rc = ask(w, err);
        if (rc != SHALE_OK)
            return rc;
        enum shl_once_phase phase = w->waits || w->free ? SHL_ONCE_ASKED : SHL_ONCE_OTHERS_WORK;
        for (uint64_t slept = 0; slept < LOOK_NS; slept += TICK_NS) {
            if (stopped(w, phase))
                return SHALE_OK;
            env_sleep_ns(TICK_NS);
        }
    }
}

struct ours {
    struct watch *w;
    struct shl_compactor_report last;
};

static bool on_tick(void *ctx, const struct shl_compactor_report *now)
{
    struct ours *o = ctx;
    const struct shl_once *how = o->w->how;
    o->last = *now;
    /* Of all that we have been, a worker and then a coordinator. */
    struct shl_compactor_report sum = *now;
    sum.executed += o->w->executed;
    sum.committed += o->w->committed;
    if (how->tick != NULL && how->tick(how->ctx, SHL_ONCE_WE_WORK, &sum))
        o->w->result->stopped = true;
    return o->w->result->stopped;
}

/* As the coordinator with a worker, or as a worker only. *executed: jobs that were merged. */
static shale_code work(struct watch *w, bool coordinates, uint64_t *executed, shale_error *err)
{
    struct shl_process_open open = *w->o;
    struct shl_compactor_process *p = NULL;
    struct ours ours = {.w = w};
    struct shl_process_run run = {.once = true, .tick = on_tick, .ctx = &ours};
    open.coordinates = coordinates;
    open.works = true;
    shale_code rc = shl_process_new(&open, &p, err);
    if (rc != SHALE_OK)
        return rc;
    w->result->by_us = true;
    rc = shl_process_run(p, &run, err);
    w->result->compactions += ours.last.executed;
    w->executed += ours.last.executed;
    w->committed += ours.last.committed;
    *executed = ours.last.executed;
    shl_process_free(p);
    return rc == SHALE_OK && !w->result->stopped ? look(w, err) : rc;
}

/* Others first. A job that only lacks a worker gets ours: its coordinator may be alive. Else we take the place of a coordinator that is not. */
static shale_code work_or_wait(struct watch *w, shale_error *err)
{
    bool helps = true;
    for (;;) {
        uint64_t executed;
        shale_code rc = wait_for_others(w, err);
        if (rc != SHALE_OK || w->over || w->result->stopped)
            return rc;
        helps = helps && w->free && !w->nobody;
        rc = work(w, !helps, &executed, err);
        if (rc != SHALE_OK || w->over || w->result->stopped || !helps)
            return rc;
        helps = executed > 0;
    }
}

static shale_code check_ends(const struct watch *w, shale_error *err)
{
    for (size_t i = 0; i < w->result->jobs.count; i++) {
        char id[SHL_ULID_TEXT];
        if (w->result->jobs.items[i].status != SHL_COMPACTION_FAILED)
            continue;
        shl_ulid_format(w->result->jobs.items[i].id, id);
        return shl_fail(err, SHALE_CONFLICT,
                        "compaction %s failed: the database changed under it, or another one was "
                        "in its way",
                        id);
    }
    return SHALE_OK;
}

shale_code shl_compact_once(const struct shl_process_open *o, const struct shl_once *how,
                            struct shl_once_result *out, shale_error *err)
{
    struct watch w = {.o = o, .how = how, .result = out};
    shale_code rc;
    *out = (struct shl_once_result){.by_us = false};
    w.scheduler = o->scheduler != NULL ? *o->scheduler : shl_scheduler_of(o->settings);
    SHL_TRY(shl_db_paths_init(&w.paths, o->path, err));
    shl_compactions_file_init(&w.file, o->store, &w.paths, NULL);
    if (how->request != NULL)
        SHL_TRY(shl_request_submit(o->store, o->path, &o->settings->clock, how->request, &out->jobs,
                                   err));
    if (how->request != NULL && (how->no_wait || out->jobs.count == 0))
        goto out;
    SHL_TRY(work_or_wait(&w, err));
    if (!out->stopped)
        SHL_TRY(check_ends(&w, err));
out:
    shl_compactions_file_deinit(&w.file);
    shl_db_paths_deinit(&w.paths);
    shl_proposals_free(&w.asked);
    if (rc != SHALE_OK)
        shl_proposals_free(&out->jobs);
    return rc;
}
