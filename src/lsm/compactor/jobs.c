#include "lsm/compactor/jobs.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

/* ---------------------------------------------------------------- one job */

static bool is_finished(const struct shl_compaction *job)
{
    return job->status == SHL_COMPACTION_COMPLETED || job->status == SHL_COMPACTION_FAILED;
}

bool shl_job_is_active(const struct shl_compaction *job)
{
    return !is_finished(job);
}

bool shl_job_is_at_work(const struct shl_compaction *job)
{
    return job->status == SHL_COMPACTION_SCHEDULED || job->status == SHL_COMPACTION_RUNNING;
}

const char *shl_job_status_name(enum shl_compaction_status status)
{
    static const char *const names[] = {"Submitted", "Running",   "Completed",
                                        "Failed",    "Compacted", "Scheduled"};
    SHL_ASSERT((size_t)status < SHL_COUNT_OF(names));
    return names[status];
}

static bool has_run(const struct shl_compaction *job, uint32_t id)
{
    for (size_t i = 0; i < job->runs.count; i++)
        if (job->runs.items[i] == id)
            return true;
    return false;
}

static bool has_view(const struct shl_compaction *job, struct shl_ulid id)
{
    for (size_t i = 0; i < job->l0_view_ids.count; i++)
        if (shl_ulid_eq(job->l0_view_ids.items[i], id))
            return true;
    return false;
}

/* Run ids are unique over all trees, and a run that is written may not be read by another job either. */
static bool destination_meets(const struct shl_compaction *a, const struct shl_compaction *b)
{
    if (a->kind != SHL_COMPACTION_TIERED)
        return false;
    return has_run(b, a->destination) ||
           (b->kind == SHL_COMPACTION_TIERED && a->destination == b->destination);
}

bool shl_job_meets(const struct shl_compaction *a, const struct shl_compaction *b)
{
    for (size_t i = 0; i < a->l0_view_ids.count; i++)
        if (has_view(b, a->l0_view_ids.items[i]))
            return true;
    for (size_t i = 0; i < a->runs.count; i++)
        if (has_run(b, a->runs.items[i]))
            return true;
    return destination_meets(a, b) || destination_meets(b, a);
}

/* ---------------------------------------------------------------- the file */

struct shl_compaction *shl_jobs_find(struct shl_compactions *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->jobs.count; i++)
        if (shl_ulid_eq(c->jobs.items[i].id, id))
            return &c->jobs.items[i];
    return NULL;
}

static bool only_waits(const struct shl_compaction *job)
{
    return job->status == SHL_COMPACTION_SUBMITTED || shl_job_is_free(job);
}

/* A job that somebody is at work on stands before one that only waits; else the older one does. */
static bool stands_before(const struct shl_compaction *a, const struct shl_compaction *b)
{
    if (only_waits(a) != only_waits(b))
        return only_waits(b);
    return shl_ulid_cmp(a->id, b->id) < 0;
}

const struct shl_compaction *shl_jobs_rival(const struct shl_compactions *c,
                                            const struct shl_compaction *job, bool whole)
{
    for (size_t i = 0; i < c->jobs.count; i++) {
        const struct shl_compaction *other = &c->jobs.items[i];
        if (!shl_ulid_eq(other->id, job->id) && (whole || stands_before(other, job)) &&
            shl_job_is_active(other) && shl_job_meets(other, job))
            return other;
    }
    return NULL;
}

size_t shl_jobs_at_work(const struct shl_compactions *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->jobs.count; i++)
        n += shl_job_is_at_work(&c->jobs.items[i]);
    return n;
}

size_t shl_jobs_active(const struct shl_compactions *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->jobs.count; i++)
        n += shl_job_is_active(&c->jobs.items[i]);
    return n;
}

bool shl_jobs_admits(const struct shl_compactions *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->jobs.count; i++)
        if (shl_ulid_eq(c->jobs.items[i].id, id))
            return false;
    return c->jobs.count == 0 ||
           shl_ulid_time_ms(id) >= shl_ulid_time_ms(c->jobs.items[c->jobs.count - 1].id);
}

shale_code shl_jobs_insert(struct shl_compactions *c, struct shl_compaction *take_job,
                           shale_error *err)
{
    size_t at = c->jobs.count;
    if (!shl_array_reserve(&c->jobs, 1))
        return shl_nomem(err);
    while (at > 0 && shl_ulid_cmp(c->jobs.items[at - 1].id, take_job->id) > 0)
        at--;
    memmove(&c->jobs.items[at + 1], &c->jobs.items[at],
            (c->jobs.count - at) * sizeof c->jobs.items[0]);
    c->jobs.items[at] = *take_job;
    c->jobs.count++;
    *take_job = (struct shl_compaction){.worker_id = NULL};
    return SHALE_OK;
}

void shl_jobs_remove(struct shl_compactions *c, size_t index)
{
    shl_compaction_deinit(&c->jobs.items[index]);
    memmove(&c->jobs.items[index], &c->jobs.items[index + 1],
            (c->jobs.count - index - 1) * sizeof c->jobs.items[0]);
    c->jobs.count--;
}

void shl_jobs_trim(struct shl_compactions *c)
{
    bool newest_seen = false;
    for (size_t i = c->jobs.count; i-- > 0;) {
        if (!is_finished(&c->jobs.items[i]))
            continue;
        if (newest_seen)
            shl_jobs_remove(c, i);
        newest_seen = true;
    }
}

/* ---------------------------------------------------------------- the coordinator */

bool shl_job_is_own(const struct shl_compaction *job)
{
    struct shl_ulid worker;
    return job->worker_id != NULL && shl_ulid_parse(shl_slice_str(job->worker_id), &worker) &&
           shl_ulid_time_ms(worker) == shl_ulid_time_ms(job->id);
}

void shl_jobs_restart(struct shl_compactions *c, bool heirs)
{
    for (size_t i = 0; i < c->jobs.count; i++) {
        struct shl_compaction *job = &c->jobs.items[i];
        if (heirs && job->status == SHL_COMPACTION_RUNNING && shl_job_is_own(job))
            shl_job_release(job);
        if (job->status == SHL_COMPACTION_SCHEDULED)
            job->status = SHL_COMPACTION_SUBMITTED;
    }
}

size_t shl_jobs_reclaim(struct shl_compactions *c, uint64_t now_ms, uint64_t timeout_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < c->jobs.count; i++) {
        struct shl_compaction *job = &c->jobs.items[i];
        if (job->status != SHL_COMPACTION_RUNNING)
            continue;
        if (job->worker_id != NULL &&
            (now_ms < job->worker_heartbeat_ms || now_ms - job->worker_heartbeat_ms <= timeout_ms))
            continue;
        shl_job_release(job);
        n++;
    }
    return n;
}

/* What workers and submitters may have done to a job since the coordinator saw it in `from`. */
static bool may_become(enum shl_compaction_status from, enum shl_compaction_status to)
{
    if (from == to)
        return true;
    switch (from) {
    case SHL_COMPACTION_SUBMITTED:
        return to == SHL_COMPACTION_COMPACTED;
    case SHL_COMPACTION_SCHEDULED:
        return to == SHL_COMPACTION_RUNNING || to == SHL_COMPACTION_COMPACTED;
    case SHL_COMPACTION_RUNNING:
        return to == SHL_COMPACTION_SCHEDULED || to == SHL_COMPACTION_COMPACTED;
    case SHL_COMPACTION_COMPACTED:
    case SHL_COMPACTION_COMPLETED:
    case SHL_COMPACTION_FAILED:
        return false;
    }
    return false;
}

static bool context_may_become(const struct shl_compaction *before,
                               const struct shl_compaction *next)
{
    if (next->status == SHL_COMPACTION_COMPACTED)
        return true;
    return shl_job_context_grows(before, next);
}

static bool is_allowed(const struct shl_compaction *before, const struct shl_compaction *next)
{
    return may_become(before->status, next->status) && context_may_become(before, next);
}

static const struct shl_compaction *find(const struct shl_compactions *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->jobs.count; i++)
        if (shl_ulid_eq(c->jobs.items[i].id, id))
            return &c->jobs.items[i];
    return NULL;
}

static shale_code put_back(const struct shl_compaction *known, struct shl_compaction *stored,
                           shale_error *err)
{
    struct shl_compaction copy;
    shale_code rc = shl_compaction_copy(known, &copy, err);
    if (rc != SHALE_OK)
        return rc;
    shl_compaction_deinit(stored);
    *stored = copy;
    return SHALE_OK;
}

/* Jobs that somebody took out, which only the coordinator may. */
static shale_code restore_lost(const struct shl_compactions *known, struct shl_compactions *stored,
                               size_t *refused, shale_error *err)
{
    for (size_t i = 0; i < known->jobs.count; i++) {
        const struct shl_compaction *job = &known->jobs.items[i];
        struct shl_compaction copy;
        if (!shl_job_is_active(job) || find(stored, job->id) != NULL)
            continue;
        shale_code rc = shl_compaction_copy(job, &copy, err);
        if (rc == SHALE_OK) {
            rc = shl_jobs_insert(stored, &copy, err);
            if (rc != SHALE_OK)
                shl_compaction_deinit(&copy);
        }
        if (rc != SHALE_OK)
            return rc;
        ++*refused;
    }
    return SHALE_OK;
}

shale_code shl_jobs_merge(const struct shl_compactions *known, struct shl_compactions *stored,
                          size_t *refused, shale_error *err)
{
    *refused = 0;
    for (size_t i = stored->jobs.count; i-- > 0;) {
        struct shl_compaction *job = &stored->jobs.items[i];
        const struct shl_compaction *before = find(known, job->id);
        if (before == NULL) {
            if (!shl_job_is_at_work(job))
                continue;
            shl_jobs_remove(stored, i);
            ++*refused;
        } else if (!is_allowed(before, job)) {
            shale_code rc = put_back(before, job, err);
            if (rc != SHALE_OK)
                return rc;
            ++*refused;
        }
    }
    return restore_lost(known, stored, refused, err);
}

/* ---------------------------------------------------------------- a worker */

bool shl_job_is_free(const struct shl_compaction *job)
{
    return job->status == SHL_COMPACTION_SCHEDULED && job->worker_id == NULL;
}

shale_code shl_job_claim(struct shl_compaction *job, const char *worker_id, uint64_t now_ms,
                         shale_error *err)
{
    char *id = env_strdup(worker_id);
    if (id == NULL)
        return shl_nomem(err);
    env_free(job->worker_id);
    job->worker_id = id;
    job->worker_heartbeat_ms = now_ms;
    job->status = SHL_COMPACTION_RUNNING;
    return SHALE_OK;
}

shale_code shl_job_claim_own(struct shl_compaction *job, struct shl_ulid chance, uint64_t now_ms,
                             shale_error *err)
{
    char own[SHL_ULID_TEXT];
    shl_ulid_format(shl_ulid_make(shl_ulid_time_ms(job->id), chance.hi, chance.lo), own);
    return shl_job_claim(job, own, now_ms, err);
}

struct shl_ulid shl_job_mark(const struct shl_compaction *job, uint64_t epoch)
{
    return (struct shl_ulid){.hi = job->id.hi, .lo = ~job->id.lo - epoch};
}

bool shl_jobs_ended_with(const struct shl_compactions *c, uint64_t epoch)
{
    struct shl_ulid worker = {0};
    const struct shl_compaction *newest = NULL;
    for (size_t i = 0; i < c->jobs.count; i++) {
        const struct shl_compaction *job = &c->jobs.items[i];
        if (job->status == SHL_COMPACTION_RUNNING || job->status == SHL_COMPACTION_COMPACTED)
            return false;
        if (!shl_job_is_active(job))
            newest = job;
    }
    return newest != NULL && shl_job_is_own(newest) &&
           shl_ulid_parse(shl_slice_str(newest->worker_id), &worker) &&
           worker.lo == shl_job_mark(newest, epoch).lo;
}

bool shl_job_is_held_by(const struct shl_compaction *job, const char *worker_id)
{
    return job->status == SHL_COMPACTION_RUNNING && job->worker_id != NULL &&
           strcmp(job->worker_id, worker_id) == 0;
}

void shl_job_release(struct shl_compaction *job)
{
    job->status = SHL_COMPACTION_SCHEDULED;
    env_free(job->worker_id);
    job->worker_id = NULL;
    job->worker_heartbeat_ms = 0;
}

static void clear_descs(shl_sst_descs *d)
{
    for (size_t i = 0; i < d->count; i++)
        shl_sst_desc_unref(d->items[i]);
    d->count = 0;
}

shale_code shl_job_finish(struct shl_compaction *job, const shl_sst_descs *outputs,
                          shale_error *err)
{
    clear_descs(&job->outputs);
    if (!shl_array_reserve(&job->outputs, outputs->count))
        return shl_nomem(err);
    for (size_t i = 0; i < outputs->count; i++)
        shl_array_add(&job->outputs, shl_sst_desc_ref(outputs->items[i]));
    shl_job_drop_context(job);
    job->status = SHL_COMPACTION_COMPACTED;
    return SHALE_OK;
}

void shl_job_drop_context(struct shl_compaction *job)
{
    for (size_t i = 0; i < job->subcompactions.count; i++)
        shl_subcompaction_deinit(&job->subcompactions.items[i]);
    shl_array_free(&job->subcompactions);
    job->has_context = false;
    job->has_subcompactions = false;
    job->retention_min_seq = 0;
}

static bool same_bound(const struct shl_bound *a, const struct shl_bound *b)
{
    return a->type == b->type && (a->type == SHL_BOUND_UNBOUNDED ||
                                  shl_slice_eq(shl_buf_view(&a->key), shl_buf_view(&b->key)));
}

static bool part_grows(const struct shl_subcompaction *before, const struct shl_subcompaction *next)
{
    if (!same_bound(&before->range.start, &next->range.start) ||
        !same_bound(&before->range.end, &next->range.end) ||
        next->outputs.count < before->outputs.count || (before->completed && !next->completed))
        return false;
    for (size_t i = 0; i < before->outputs.count; i++)
        if (!shl_ulid_eq(before->outputs.items[i]->id, next->outputs.items[i]->id))
            return false;
    return true;
}

bool shl_job_context_grows(const struct shl_compaction *before, const struct shl_compaction *next)
{
    if (!before->has_context)
        return true;
    if (!next->has_context || next->retention_min_seq != before->retention_min_seq ||
        next->subcompactions.count != before->subcompactions.count)
        return false;
    for (size_t i = 0; i < before->subcompactions.count; i++)
        if (!part_grows(&before->subcompactions.items[i], &next->subcompactions.items[i]))
            return false;
    return true;
}

shale_code shl_job_copy_context(const struct shl_compaction *from, struct shl_compaction *to,
                                shale_error *err)
{
    struct shl_compaction only = {.has_context = from->has_context,
                                  .retention_min_seq = from->retention_min_seq,
                                  .has_subcompactions = from->has_subcompactions,
                                  .subcompactions = {.items = from->subcompactions.items,
                                                     .count = from->subcompactions.count}};
    struct shl_compaction copy;
    shale_code rc =
        shl_compaction_copy(&only, &copy, err); /* borrows; nothing of `only` is freed */
    if (rc != SHALE_OK)
        return rc;
    shl_job_drop_context(to);
    to->has_context = copy.has_context;
    to->retention_min_seq = copy.retention_min_seq;
    to->has_subcompactions = copy.has_subcompactions;
    to->subcompactions.items = copy.subcompactions.items;
    to->subcompactions.count = copy.subcompactions.count;
    to->subcompactions.cap = copy.subcompactions.cap;
    copy.subcompactions.items = NULL;
    copy.subcompactions.count = 0;
    shl_compaction_deinit(&copy);
    return SHALE_OK;
}
