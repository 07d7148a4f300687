/* The worker: claims jobs, runs them, gives signs of life and publishes what they have done. Touches the compactions file and its outputs only. */
#include "lsm/compactor/internal.h"

#include "base/num.h"
#include "lsm/compactor/check.h"

#include <inttypes.h>

/* ---------------------------------------------------------------- what we hold */

void shl_worker_drop(struct shl_compactor *c, size_t i)
{
    struct shl_held *at = &c->held.items[i];
    struct shl_held h = *at;
    env_mutex_lock(&c->mu);
    memmove(at, at + 1, (c->held.count - i - 1) * sizeof *at);
    c->held.count--;
    env_mutex_unlock(&c->mu);
    shl_job_run_free(h.run);
    for (size_t k = 0; k < h.outputs.count; k++)
        shl_sst_desc_unref(h.outputs.items[k]);
    shl_array_free(&h.outputs);
}

bool shl_worker_reserve(struct shl_compactor *c, size_t more)
{
    env_mutex_lock(&c->mu);
    bool there = shl_array_reserve(&c->held, more);
    env_mutex_unlock(&c->mu);
    return there;
}

static void note_end(struct shl_compactor *c, struct shl_held *h)
{
    (void)c;
    if (h->ended || (h->run != NULL && !shl_job_run_has_ended(h->run)))
        return;
    if (h->run != NULL)
        h->rc = shl_job_run_result(h->run, &h->outputs, &h->err);
    h->ended = true;
}

void shl_worker_stop_all(struct shl_compactor *c)
{
    for (size_t i = 0; i < c->held.count; i++)
        if (c->held.items[i].run != NULL)
            shl_job_run_stop(c->held.items[i].run);
    for (size_t i = 0; i < c->held.count; i++)
        if (c->held.items[i].run != NULL)
            shl_job_run_wait(c->held.items[i].run);
}

static bool waits(const struct shl_compactor *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->retries.count; i++)
        if (shl_ulid_eq(c->retries.items[i].id, id))
            return true;
    return false;
}

/* Not to be claimed at once again by us; others may. */
static void put_off(struct shl_compactor *c, struct shl_ulid id)
{
    uint64_t pause = shl_min_u64(c->o.settings->compactor_poll_interval_ns, 5 * ENV_NS_PER_SEC);
    struct shl_retry r = {.id = id, .until_ns = env_now_mono_ns() + pause};
    if (!waits(c, id) && !shl_array_push(&c->retries, r))
        return; /* then it is tried at once */
}

bool shl_worker_wants(const struct shl_compactor *c, const struct shl_compactions *jobs,
                      const struct shl_compaction *job, size_t more)
{
    if (!c->o.works || !shl_job_is_free(job) || waits(c, job->id) ||
        job->kind != SHL_COMPACTION_TIERED ||
        c->held.count + more >= c->o.settings->worker_max_concurrent)
        return false;
    for (size_t i = 0; i < c->held.count; i++) /* lost, but its run has not ended yet */
        if (shl_ulid_eq(c->held.items[i].id, job->id))
            return false;
    /* Nobody runs two jobs with one destination, whatever the file says; stock coordinators let equal ones pass. */
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const struct shl_compaction *other = &jobs->jobs.items[i];
        bool at_work =
            other->status == SHL_COMPACTION_RUNNING || other->status == SHL_COMPACTION_COMPACTED;
        if (at_work && !shl_ulid_eq(other->id, job->id) && shl_job_meets(other, job))
            return false;
    }
    return true;
}

void shl_worker_begin(struct shl_compactor *c, const struct shl_compaction *job,
                      struct shl_levels *levels)
{
    struct shl_held h = {.id = job->id, .began_ns = env_now_mono_ns()};
    char name[SHL_ULID_TEXT];
    size_t n = shl_min_size(strlen(job->worker_id), sizeof h.worker_id - 1);
    memcpy(h.worker_id, job->worker_id, n);
    shl_ulid_format(job->id, name);
    if (levels == NULL)
        h.rc = shl_fail(&h.err, SHALE_CONFLICT, "the sources of the compaction are gone");
    else
        h.rc = shl_job_run_start(&c->run_env, job, levels, &h.run, &h.err);
    h.ended = h.rc != SHALE_OK;
    if (h.ended)
        h.run = NULL;
    if (c->held.count == 0)
        c->heartbeat_ns = env_now_mono_ns() + c->o.settings->worker_heartbeat_interval_ns;
    env_mutex_lock(&c->mu);
    shl_array_add(&c->held, h);
    env_mutex_unlock(&c->mu);
    c->claimed++;
    c->last_heartbeat_ms = job->worker_heartbeat_ms;
    shl_log_write(c->o.log, SHL_LOG_INFO, "compaction started job=%s sources=%zu%s", name,
                  job->l0_view_ids.count + job->runs.count,
                  job->has_context ? " resumed=true" : "");
}

/* ---------------------------------------------------------------- publishing */

/* Nobody could do it better, and who ends with it leaves nothing open: it is proposed or submitted again. */
static bool fails_for_good(const struct shl_compactor *c, const struct shl_held *h,
                           const struct shl_compaction *job)
{
    return c->ends && c->epoch != 0 && shl_job_is_own(job) &&
           (h->rc == SHALE_CORRUPTION || h->rc == SHALE_INVALID);
}

/* What the file should say of a job that ended. */
static shale_code record_end(const struct shl_compactor *c, struct shl_held *h,
                             struct shl_compaction *job, shale_error *err)
{
    bool has_outputs = false;
    if (h->rc == SHALE_OK)
        return shl_job_finish(job, &h->outputs, err);
    if (fails_for_good(c, h, job)) {
        job->status = SHL_COMPACTION_FAILED;
        shl_job_drop_context(job);
        return SHALE_OK;
    }
    /* What is finished is kept for whoever goes on. */
    struct shl_compaction progress = {.worker_id = NULL};
    shale_code rc = SHALE_OK;
    if (h->run != NULL)
        rc = shl_job_run_context(h->run, &progress, &has_outputs, err);
    if (rc == SHALE_OK && (has_outputs || job->has_context) && progress.has_context)
        rc = shl_job_copy_context(&progress, job, err);
    if (rc == SHALE_OK)
        shl_job_release(job);
    shl_job_drop_context(&progress);
    return rc;
}

static shale_code edit_publish(struct shl_compactor *c, struct shl_compactions *next, void *arg,
                               bool *changed, shale_error *err)
{
    bool beat = *(bool *)arg;
    for (size_t i = 0; i < c->held.count; i++) {
        struct shl_held *h = &c->held.items[i];
        struct shl_compaction *job = shl_jobs_find(next, h->id);
        shale_code rc = SHALE_OK;
        bool has_outputs;
        h->recorded = false;
        h->lost = job == NULL || !shl_job_is_held_by(job, h->worker_id);
        if (h->lost)
            continue;
        if (h->ended) {
            rc = record_end(c, h, job, err);
            h->recorded = true;
            *changed = true;
        } else if (beat) {
            job->worker_heartbeat_ms =
                shl_max_u64(job->worker_heartbeat_ms, shl_compactor_now_ms(c));
            rc = shl_job_run_context(h->run, job, &has_outputs, err);
            *changed = true;
        }
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static void log_end(struct shl_compactor *c, const struct shl_held *h)
{
    char name[SHL_ULID_TEXT];
    struct shl_run_progress p = {0};
    shl_ulid_format(h->id, name);
    if (h->run != NULL)
        shl_job_run_progress(h->run, &p);
    if (h->lost)
        shl_log_write(c->o.log, SHL_LOG_WARN, "compaction given up job=%s: it is not ours any more",
                      name);
    else if (h->rc == SHALE_OK)
        shl_log_write(c->o.log, SHL_LOG_INFO,
                      "compaction ended job=%s rows=%" PRIu64 " bytes=%" PRIu64 " outputs=%zu",
                      name, p.rows, p.bytes, h->outputs.count);
    else if (h->rc != SHALE_CLOSED)
        shl_log_write(c->o.log, SHL_LOG_WARN, "compaction failed job=%s: %s", name, h->err.text);
}

/* Lets go of what is told, and stops what was lost. */
static void settle_held(struct shl_compactor *c)
{
    for (size_t i = c->held.count; i-- > 0;) {
        struct shl_held *h = &c->held.items[i];
        if (h->lost && !h->ended && h->run != NULL)
            shl_job_run_stop(h->run); /* it is dropped once it has ended */
        if (!h->ended || !(h->lost || h->recorded))
            continue;
        log_end(c, h);
        if (!h->lost && h->rc == SHALE_OK) {
            c->executed++;
        } else if (!h->lost) {
            put_off(c, h->id);
            c->failed = c->failed || h->rc != SHALE_CLOSED;
            c->failure = h->err;
        }
        shl_worker_drop(c, i);
    }
}

shale_code shl_worker_publish(struct shl_compactor *c, bool *did, shale_error *err)
{
    bool any_ended = false;
    bool wrote;
    uint64_t now = env_now_mono_ns();
    bool beat = c->held.count > 0 && now >= c->heartbeat_ns;
    for (size_t i = 0; i < c->held.count; i++) {
        note_end(c, &c->held.items[i]);
        any_ended = any_ended || c->held.items[i].ended;
    }
    if (!any_ended && !beat)
        return SHALE_OK;
    shale_code rc = shl_compactor_update(c, false, edit_publish, &beat, &wrote, err);
    if (rc != SHALE_OK)
        return rc;
    if (beat) {
        c->heartbeat_ns = now + c->o.settings->worker_heartbeat_interval_ns;
        c->last_heartbeat_ms = shl_compactor_now_ms(c);
    }
    settle_held(c);
    *did = *did || any_ended;
    ENV_POINT("compaction published");
    return SHALE_OK;
}

/* ---------------------------------------------------------------- claiming */

struct claims {
    SHL_ARRAY(struct shl_ulid) ids;
};

static shale_code edit_claim(struct shl_compactor *c, struct shl_compactions *next, void *arg,
                             bool *changed, shale_error *err)
{
    struct claims *claims = arg;
    claims->ids.count = 0;
    for (size_t i = 0; i < next->jobs.count; i++) {
        struct shl_compaction *job = &next->jobs.items[i];
        if (!shl_worker_wants(c, next, job, claims->ids.count))
            continue;
        shale_code rc = shl_job_claim(job, c->worker_id, shl_compactor_now_ms(c), err);
        if (rc != SHALE_OK)
            return rc;
        if (!shl_array_push(&claims->ids, job->id) || !shl_worker_reserve(c, claims->ids.count))
            return shl_nomem(err);
        *changed = true;
    }
    return SHALE_OK;
}

/* The manifest is read after the claim: its barrier is what the job works by. */
static shale_code begin_claimed(struct shl_compactor *c, const struct claims *claims,
                                shale_error *err)
{
    struct shl_levels *levels = NULL;
    shale_code rc = c->o.db.refresh(c->o.db.ctx, err);
    if (rc == SHALE_OK)
        rc = c->o.db.levels(c->o.db.ctx, &levels, err);
    for (size_t i = 0; i < claims->ids.count; i++) {
        const struct shl_compaction *job = shl_jobs_find(c->file.now, claims->ids.items[i]);
        bool fits =
            levels != NULL && shl_job_check(levels->manifest, job, SHL_STAGE_COMMIT) == NULL;
        shl_worker_begin(c, job, fits ? levels : NULL);
    }
    shl_levels_unref(levels);
    return rc;
}

static uint64_t claim_pause(const struct shl_compactor *c)
{
    uint64_t pace = c->o.settings->worker_poll_interval_ns;
    return pace / 2 + env_rand_below(pace + 1); /* half to one and a half: workers keep apart */
}

shale_code shl_worker_step(struct shl_compactor *c, bool look, bool *did, shale_error *err)
{
    struct claims claims = {0};
    uint64_t now = env_now_mono_ns();
    bool changed;
    bool wrote = false;
    shale_code rc;
    /* A coordinator gives itself jobs as it schedules them. */
    if (c->epoch != 0 || c->o.embedded || (!look && now < c->claim_ns) ||
        c->held.count >= c->o.settings->worker_max_concurrent || c->o.db.must_stop(c->o.db.ctx))
        return SHALE_OK;
    SHL_TRY(shl_compactions_file_load(&c->file, &changed, err));
    if (c->file.now != NULL) /* else there was no coordinator yet */
        SHL_TRY(shl_compactor_update(c, false, edit_claim, &claims, &wrote, err));
    ENV_POINT("compaction claimed");
    if (wrote) {
        *did = true;
        SHL_TRY(begin_claimed(c, &claims, err));
    }
    c->claim_ns = env_now_mono_ns() + claim_pause(c);
out:
    shl_array_free(&claims.ids);
    return rc;
}

void shl_worker_touch(const struct shl_compactor *c, struct shl_compactions *next)
{
    for (size_t i = 0; i < c->held.count; i++) {
        struct shl_compaction *job = shl_jobs_find(next, c->held.items[i].id);
        if (job != NULL && shl_job_is_held_by(job, c->held.items[i].worker_id))
            job->worker_heartbeat_ms =
                shl_max_u64(job->worker_heartbeat_ms, shl_compactor_now_ms(c));
    }
}

uint64_t shl_worker_next_ns(const struct shl_compactor *c)
{
    uint64_t next = c->held.count > 0 ? c->heartbeat_ns : UINT64_MAX;
    if (c->o.works && !c->o.coordinates && c->held.count < c->o.settings->worker_max_concurrent)
        next = shl_min_u64(next, c->claim_ns);
    return next;
}
