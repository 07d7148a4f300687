/* The coordinator: takes the epoch, reclaims, checks, schedules and commits. Order of reads: .compactions, then manifest; of writes: manifest,
 * then .compactions (the collector counts on both). */
#include "lsm/compactor/internal.h"

#include "base/num.h"
#include "lsm/compactor/check.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/compactor/commit.h"
#include "lsm/compactor/increment.h"

#include <inttypes.h>

#define INCREMENT_BEATS 6 /* of a worker between two commits in part: by default a minute */
#define PACE_MAX_NS                                                                                \
    (60 * ENV_NS_PER_SEC) /* embedded: the longest pause between two looks at the file */

/* ---------------------------------------------------------------- taking the epoch */

static shale_code change_epoch(struct shl_manifest *m, uint64_t id, void *arg, shale_error *err)
{
    (void)id;
    (void)err;
    *(uint64_t *)arg = ++m->compactor_epoch;
    return SHALE_OK;
}

static shale_code edit_restart(struct shl_compactor *c, struct shl_compactions *next, void *arg,
                               bool *changed, shale_error *err)
{
    (void)arg;
    (void)err;
    shl_jobs_restart(next, c->o.embedded);
    *changed = true;
    return SHALE_OK;
}

/* The epoch in the manifest, then in .compactions. */
static shale_code claim(struct shl_compactor *c, shale_error *err)
{
    uint64_t epoch;
    bool wrote;
    shale_code rc = c->o.db.update(c->o.db.ctx, change_epoch, &epoch, err);
    if (rc != SHALE_OK)
        return rc;
    ENV_POINT("compactor epoch in the manifest");
    c->file.is_read = false;
    c->epoch = epoch;
    rc = shl_compactor_update(c, true, edit_restart, NULL, &wrote, err);
    if (rc != SHALE_OK) {
        c->epoch = 0;
        return rc;
    }
    c->pace_ns = c->o.settings->compactor_poll_interval_ns;
    c->poll_ns = env_now_mono_ns() + c->pace_ns;
    shl_log_write(c->o.log, SHL_LOG_INFO, "compactor epoch=%" PRIu64, epoch);
    return SHALE_OK;
}

/* ---------------------------------------------------------------- commits */

struct commit {
    struct shl_compactor *c;
    const struct shl_compaction *job;
    bool trivial;
    bool lost;    /* out: the epoch is not ours any more */
    bool refused; /* out: it does not fit the manifest */
};

static shale_code check_change(struct commit *a, const struct shl_manifest *m, shale_error *err)
{
    a->lost = m->compactor_epoch != a->c->epoch;
    if (a->lost)
        return shl_compactor_fenced(a->c, m->compactor_epoch, err);
    const char *why = shl_job_check(m, a->job, SHL_STAGE_COMMIT);
    a->refused = why != NULL;
    return why == NULL ? SHALE_OK
                       : shl_fail(err, SHALE_CONFLICT, "the compaction does not fit: %s", why);
}

static shale_code change_checkpoint(struct shl_manifest *m, uint64_t id, void *arg,
                                    shale_error *err)
{
    struct commit *a = arg;
    shale_code rc = check_change(a, m, err);
    if (rc != SHALE_OK)
        return rc;
    return shl_commit_checkpoint(
        m, id, shl_checkpoint_new_id(), (int64_t)shl_compactor_now_ms(a->c),
        a->c->o.settings->compactor_checkpoint_lifetime_ns / ENV_NS_PER_MS, err);
}

static shale_code change_tree(struct shl_manifest *m, uint64_t id, void *arg, shale_error *err)
{
    struct commit *a = arg;
    (void)id;
    shale_code rc = check_change(a, m, err);
    return rc == SHALE_OK ? shl_commit_job(m, a->job, a->trivial, err) : rc;
}

/* How a job that was committed or refused ended, until the file says it. */
struct outcome {
    struct shl_ulid id;
    enum shl_compaction_status status;
};
typedef SHL_ARRAY(struct outcome) outcomes;

static void log_commit(const struct shl_compactor *c, const struct shl_compaction *job,
                       const char *what, const char *why)
{
    char name[SHL_ULID_TEXT];
    shl_ulid_format(job->id, name);
    shl_log_write(c->o.log, why[0] == '\0' ? SHL_LOG_INFO : SHL_LOG_WARN,
                  "compaction %s job=%s%s%s", what, name, why[0] == '\0' ? "" : ": ", why);
}

/* Two manifests: one with the checkpoint, one with the new tree. */
static shale_code commit_job(struct shl_compactor *c, const struct shl_compaction *job,
                             bool trivial, outcomes *out, shale_error *err)
{
    struct commit a = {.c = c, .job = job, .trivial = trivial};
    struct outcome o = {.id = job->id, .status = SHL_COMPACTION_COMPLETED};
    struct shl_levels *levels = NULL;
    if (!shl_array_reserve(out, 1)) /* before anything is written */
        return shl_nomem(err);
    ENV_POINT("compaction before commit");
    shale_code rc = c->o.db.update(c->o.db.ctx, change_checkpoint, &a, err);
    ENV_POINT("compaction checkpoint");
    if (rc == SHALE_OK)
        rc = c->o.db.update(c->o.db.ctx, change_tree, &a, err);
    ENV_POINT("compaction after commit");
    if (rc == SHALE_CONFLICT && a.refused) {
        /* A commit whose answer or record was lost. */
        rc = c->o.db.levels(c->o.db.ctx, &levels, err);
        if (rc != SHALE_OK)
            return rc;
        if (!shl_job_is_committed(levels->manifest, job))
            o.status = SHL_COMPACTION_FAILED;
        shl_levels_unref(levels);
    }
    if (rc != SHALE_OK)
        return rc;
    shl_array_add(out, o);
    if (o.status == SHL_COMPACTION_COMPLETED) {
        c->committed++;
        c->last_commit_s = shl_compactor_now_ms(c) / 1000;
        log_commit(c, job, "committed", "");
    } else {
        log_commit(c, job, "failed", err->text);
    }
    return SHALE_OK;
}

/* Whether a submitted job needs no worker. */
static bool needs_no_worker(const struct shl_compactor *c, const struct shl_manifest *m,
                            const struct shl_compaction *job)
{
    if (job->status != SHL_COMPACTION_SUBMITTED)
        return false;
    const struct shl_tree *t = shl_job_tree(m, job);
    return job->kind == SHL_COMPACTION_DRAIN ||
           (c->o.settings->enable_trivial_move && t != NULL && shl_job_is_trivial(t, job));
}

static bool is_committable(const struct shl_compactor *c, const struct shl_manifest *m,
                           const struct shl_compaction *job, bool *trivial)
{
    *trivial = false;
    if (job->status == SHL_COMPACTION_COMPACTED)
        return true;
    if (!needs_no_worker(c, m, job) || shl_job_check(m, job, SHL_STAGE_SUBMITTED) != NULL ||
        shl_job_check_rivals(c->file.now, job) != NULL)
        return false;
    *trivial = job->kind == SHL_COMPACTION_TIERED;
    return true;
}

static shale_code commit_all(struct shl_compactor *c, outcomes *out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; rc == SHALE_OK && c->file.now != NULL && i < c->file.now->jobs.count; i++) {
        struct shl_levels *levels;
        bool trivial;
        rc = c->o.db.levels(c->o.db.ctx, &levels, err);
        if (rc != SHALE_OK)
            return rc;
        const struct shl_compaction *job = &c->file.now->jobs.items[i];
        if (is_committable(c, levels->manifest, job, &trivial))
            rc = commit_job(c, job, trivial, out, err);
        shl_levels_unref(levels);
    }
    return rc;
}

/* ---------------------------------------------------------------- commits in part */

struct increment {
    struct commit commit;
    struct shl_increment done;
};

static shale_code change_increment(struct shl_manifest *m, uint64_t id, void *arg, shale_error *err)
{
    struct increment *a = arg;
    (void)id;
    shale_code rc = check_change(&a->commit, m, err);
    return rc == SHALE_OK ? shl_increment_commit(m, a->commit.job, &a->done, err) : rc;
}

/* Two manifests, as a whole commit has: who reads the old tree keeps it. */
static shale_code commit_part(struct shl_compactor *c, const struct shl_compaction *job,
                              shale_error *err)
{
    struct increment a = {.commit = {.c = c, .job = job}};
    char name[SHL_ULID_TEXT];
    ENV_POINT("compaction before commit in part");
    shale_code rc = c->o.db.update(c->o.db.ctx, change_checkpoint, &a.commit, err);
    ENV_POINT("compaction checkpoint of a part");
    if (rc == SHALE_OK)
        rc = c->o.db.update(c->o.db.ctx, change_increment, &a, err);
    if (rc == SHALE_CONFLICT && a.commit.refused)
        return SHALE_OK; /* its end will say so */
    if (rc != SHALE_OK)
        return rc;
    c->released_bytes += a.done.released_bytes;
    shl_ulid_format(job->id, name);
    shl_log_write(c->o.log, SHL_LOG_INFO,
                  "compaction committed in part job=%s outputs=%zu released_bytes=%" PRIu64, name,
                  a.done.outputs, a.done.released_bytes);
    return SHALE_OK;
}

static shale_code commit_parts(struct shl_compactor *c, shale_error *err)
{
    uint64_t now = env_now_mono_ns();
    shale_code rc = SHALE_OK;
    if (!c->o.settings->incremental_compaction || now < c->increment_ns || c->file.now == NULL)
        return SHALE_OK;
    c->increment_ns = now + INCREMENT_BEATS * c->o.settings->worker_heartbeat_interval_ns;
    for (size_t i = 0; rc == SHALE_OK && i < c->file.now->jobs.count; i++) {
        struct shl_levels *levels;
        rc = c->o.db.levels(c->o.db.ctx, &levels, err);
        if (rc != SHALE_OK)
            return rc;
        const struct shl_compaction *job = &c->file.now->jobs.items[i];
        if (shl_increment_news(levels->manifest, job) > 0)
            rc = commit_part(c, job, err);
        shl_levels_unref(levels);
    }
    return rc;
}

/* ---------------------------------------------------------------- the round */

struct round {
    const outcomes *done;
    const struct shl_manifest *manifest;
    struct shl_levels *levels;          /* owned */
    SHL_ARRAY(struct shl_ulid) claimed; /* for our own worker */
    size_t refused, proposed, reclaimed;
};

static void apply_outcomes(struct shl_compactions *next, const outcomes *done, bool *changed)
{
    for (size_t i = 0; i < done->count; i++) {
        struct shl_compaction *job = shl_jobs_find(next, done->items[i].id);
        if (job == NULL || !shl_job_is_active(job))
            continue;
        job->status = done->items[i].status;
        *changed = true;
    }
}

/* Waiting jobs that do not fit the manifest, or meet a job before them, will never run: equal submissions, say, on which stock SlateDB stumbles. */
static void refuse(struct shl_compactor *c, struct shl_compactions *next, struct round *r)
{
    for (size_t i = 0; i < next->jobs.count; i++) {
        struct shl_compaction *job = &next->jobs.items[i];
        bool submitted = job->status == SHL_COMPACTION_SUBMITTED;
        if (!submitted && job->status != SHL_COMPACTION_SCHEDULED)
            continue;
        const char *why =
            shl_job_check(r->manifest, job, submitted ? SHL_STAGE_SUBMITTED : SHL_STAGE_COMMIT);
        if (why == NULL)
            why = shl_job_check_rivals(next, job);
        if (why == NULL)
            continue;
        job->status = SHL_COMPACTION_FAILED;
        log_commit(c, job, "refused", why);
        r->refused++;
    }
}

static bool promote(struct shl_compactor *c, struct shl_compactions *next,
                    const struct shl_manifest *m)
{
    bool any = false;
    size_t at_work = shl_jobs_at_work(next);
    for (size_t i = 0; i < next->jobs.count; i++) {
        struct shl_compaction *job = &next->jobs.items[i];
        if (at_work >= c->o.settings->compactor_max_concurrent)
            break;
        if (job->status != SHL_COMPACTION_SUBMITTED || needs_no_worker(c, m, job))
            continue;
        job->status = SHL_COMPACTION_SCHEDULED;
        at_work++;
        any = true;
    }
    return any;
}

static struct shl_ulid newest_id(const struct shl_compactions *c)
{
    struct shl_ulid none = {0};
    return c->jobs.count > 0 ? c->jobs.items[c->jobs.count - 1].id : none;
}

static size_t free_slots(const struct shl_compactor *c, const struct shl_compactions *next)
{
    size_t used = 0;
    for (size_t i = 0; i < next->jobs.count; i++)
        used += shl_job_is_at_work(&next->jobs.items[i]) ||
                next->jobs.items[i].status == SHL_COMPACTION_SUBMITTED;
    size_t max = c->o.settings->compactor_max_concurrent;
    return used < max ? max - used : 0;
}

/* A policy is trusted no more than an administrator: what does not fit is left out. NULL if it does. */
static const char *check_proposal(const struct shl_manifest *m, const struct shl_compactions *c,
                                  const struct shl_compaction *job)
{
    const char *why = shl_job_check(m, job, SHL_STAGE_SUBMITTED);
    if (why == NULL && shl_jobs_rival(c, job, true) != NULL)
        why = "another job has a source or the destination of it";
    return why;
}

static shale_code propose(struct shl_compactor *c, struct shl_compactions *next, struct round *r,
                          shale_error *err)
{
    shl_proposals all = {0};
    size_t slots = free_slots(c, next);
    shale_code rc = SHALE_OK;
    if (slots == 0)
        return SHALE_OK;
    SHL_TRY(c->o.scheduler.propose(c->o.scheduler.ctx, r->manifest, next, slots, &all, err));
    for (size_t i = 0; i < all.count && r->proposed < slots; i++) {
        struct shl_compaction *job = &all.items[i];
        job->status = SHL_COMPACTION_SUBMITTED;
        job->id = c->o.db.next_ulid(c->o.db.ctx, newest_id(next));
        const char *why = check_proposal(r->manifest, next, job);
        if (why != NULL || !shl_jobs_admits(next, job->id)) {
            shl_log_write(c->o.log, SHL_LOG_WARN, "compaction proposed in vain: %s",
                          why != NULL ? why : "its id is older than another's");
            continue;
        }
        SHL_TRY(shl_jobs_insert(next, job, err));
        r->proposed++;
    }
out:
    shl_proposals_free(&all);
    return rc;
}

static shale_code claim_own(struct shl_compactor *c, struct shl_compactions *next, struct round *r,
                            shale_error *err)
{
    for (size_t i = 0; i < next->jobs.count; i++) {
        struct shl_compaction *job = &next->jobs.items[i];
        if (!shl_worker_wants(c, next, job, r->claimed.count))
            continue;
        struct shl_ulid chance = c->ends
                                     ? shl_job_mark(job, c->epoch)
                                     : (struct shl_ulid){.hi = env_rand64(), .lo = env_rand64()};
        shale_code rc = shl_job_claim_own(job, chance, shl_compactor_now_ms(c), err);
        if (rc != SHALE_OK)
            return rc;
        if (!shl_array_push(&r->claimed, job->id) || !shl_worker_reserve(c, r->claimed.count))
            return shl_nomem(err);
    }
    return SHALE_OK;
}

static shale_code edit_round(struct shl_compactor *c, struct shl_compactions *next, void *arg,
                             bool *changed, shale_error *err)
{
    struct round *r = arg;
    shale_code rc;
    /* After a lost write the file is a newer one, and so may be the manifest. */
    shl_levels_unref(r->levels);
    r->levels = NULL;
    r->claimed.count = r->proposed = r->refused = 0;
    SHL_TRY(c->o.db.levels(c->o.db.ctx, &r->levels, err));
    r->manifest = r->levels->manifest;
    apply_outcomes(next, r->done, changed);
    shl_worker_touch(c, next);
    r->reclaimed = shl_jobs_reclaim(next, shl_compactor_now_ms(c),
                                    c->o.settings->worker_heartbeat_timeout_ns / ENV_NS_PER_MS);
    refuse(c, next, r);
    if (!c->o.db.must_stop(c->o.db.ctx)) {
        *changed = promote(c, next, r->manifest) || *changed;
        SHL_TRY(propose(c, next, r, err));
        *changed = promote(c, next, r->manifest) || *changed;
        SHL_TRY(claim_own(c, next, r, err));
    }
    *changed = *changed || r->reclaimed + r->refused + r->proposed + r->claimed.count > 0;
out:
    return rc;
}

static void begin_own(struct shl_compactor *c, const struct round *r)
{
    for (size_t i = 0; i < r->claimed.count; i++)
        shl_worker_begin(c, shl_jobs_find(c->file.now, r->claimed.items[i]), r->levels);
}

/* Commits what is there to be committed, then writes what comes next into the file. */
static shale_code run_round(struct shl_compactor *c, bool *did, shale_error *err)
{
    outcomes done = {0};
    struct round r = {.done = &done};
    bool wrote = false;
    shale_code rc = commit_all(c, &done, err);
    if (rc == SHALE_OK)
        rc = commit_parts(c, err);
    shale_error second;
    /* What was committed is recorded even if a later commit failed. */
    shale_code rc2 =
        rc == SHALE_OK || done.count > 0
            ? shl_compactor_update(c, true, edit_round, &r, &wrote, rc == SHALE_OK ? err : &second)
            : SHALE_OK;
    if (wrote) {
        begin_own(c, &r);
        c->reclaimed += r.reclaimed;
        *did = true;
    }
    if (r.reclaimed > 0 && wrote)
        shl_log_write(c->o.log, SHL_LOG_WARN, "compactions reclaimed jobs=%zu", r.reclaimed);
    shl_levels_unref(r.levels);
    shl_array_free(&r.claimed);
    shl_array_free(&done);
    return rc != SHALE_OK ? rc : rc2;
}

/* ---------------------------------------------------------------- embedded: lazy, and standing back */

/* Whether the plan has a job, as far as we know, or one waits that another compactor may have left. */
static shale_code is_due(struct shl_compactor *c, bool *due, shale_error *err)
{
    struct shl_compactions nothing = {.stored_version = 2};
    const struct shl_compactions *known = c->file.now != NULL ? c->file.now : &nothing;
    struct shl_levels *levels = NULL;
    shl_proposals all = {0};
    shale_code rc;
    *due = c->back_ns != 0 && shl_jobs_active(known) > 0;
    SHL_TRY(c->o.db.levels(c->o.db.ctx, &levels, err));
    SHL_TRY(c->o.scheduler.propose(c->o.scheduler.ctx, levels->manifest, known,
                                   c->o.settings->compactor_max_concurrent, &all, err));
    for (size_t i = 0; i < all.count; i++)
        *due = *due || check_proposal(levels->manifest, known, &all.items[i]) == NULL;
out:
    shl_proposals_free(&all);
    shl_levels_unref(levels);
    return rc;
}

static uint64_t back_pause(const struct shl_compactor *c)
{
    const struct shl_lsm_settings *s = c->o.settings;
    return shl_max_u64(s->worker_heartbeat_timeout_ns, 3 * s->compactor_poll_interval_ns);
}

/* Another compactor has the database. It keeps it as long as it gives signs of life. */
static void stand_back(struct shl_compactor *c, const shale_error *why)
{
    shl_log_write(c->o.log, SHL_LOG_WARN,
                  "compactor stands back until the other one is silent for %" PRIu64 " s: %s",
                  back_pause(c) / ENV_NS_PER_SEC, why->text);
    c->epoch = 0;
    c->file.is_read = false;
    c->back_ns = env_now_mono_ns() + back_pause(c);
    c->back_id = 0;
}

/* Whether the other one has been silent for the whole pause. */
static shale_code may_return(struct shl_compactor *c, bool *may, shale_error *err)
{
    bool changed;
    shale_code rc = shl_compactions_file_load(&c->file, &changed, err);
    if (rc != SHALE_OK)
        return rc;
    *may = c->back_id != 0 && c->file.versions.id == c->back_id;
    c->back_id = c->file.versions.id;
    c->back_ns = *may ? 0 : env_now_mono_ns() + back_pause(c);
    return SHALE_OK;
}

static shale_code claim_if_due(struct shl_compactor *c, shale_error *err)
{
    bool due = false;
    bool may = true;
    shale_code rc = SHALE_OK;
    if (c->back_ns != 0 && env_now_mono_ns() < c->back_ns)
        return SHALE_OK;
    SHL_TRY(c->o.db.refresh(c->o.db.ctx, err));
    SHL_TRY(is_due(c, &due, err));
    if (!due || c->o.db.must_stop(c->o.db.ctx)) {
        if (c->back_ns != 0)
            c->back_ns = env_now_mono_ns() + back_pause(c);
        return SHALE_OK;
    }
    if (c->back_ns != 0)
        SHL_TRY(may_return(c, &may, err));
    if (may)
        SHL_TRY(claim(c, err));
out:
    return rc;
}

/* ---------------------------------------------------------------- a step */

/* When to look again: soon while somebody else's worker is at a job. */
static void set_timers(struct shl_compactor *c, bool changed, uint64_t now)
{
    const struct shl_lsm_settings *s = c->o.settings;
    size_t active = c->file.now != NULL ? shl_jobs_active(c->file.now) : 0;
    if (changed || active > 0 || !c->o.embedded)
        c->pace_ns = s->compactor_poll_interval_ns;
    else
        c->pace_ns =
            shl_max_u64(s->compactor_poll_interval_ns, shl_min_u64(2 * c->pace_ns, PACE_MAX_NS));
    uint64_t pause = active > c->held.count
                         ? shl_min_u64(s->commit_compacted_interval_ns, c->pace_ns)
                         : c->pace_ns;
    c->poll_ns = now + pause;
}

static shale_code coordinate(struct shl_compactor *c, bool look, bool *did, shale_error *err)
{
    uint64_t now = env_now_mono_ns();
    bool changed = false;
    shale_code rc = SHALE_OK;
    if (now >= c->poll_ns || (look && !c->o.embedded)) {
        SHL_TRY(shl_compactor_load(c, &changed, err));
        SHL_TRY(run_round(c, did, err));
        set_timers(c, changed || *did, now);
    } else {
        SHL_TRY(c->o.db.refresh(c->o.db.ctx, err));
        SHL_TRY(run_round(c, did, err));
        if (*did)
            set_timers(c, true, now);
    }
out:
    return rc;
}

shale_code shl_coordinator_step(struct shl_compactor *c, bool look, bool *did, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (c->epoch == 0) {
        rc = c->o.embedded ? claim_if_due(c, err) : claim(c, err);
        if (rc == SHALE_OK && c->epoch == 0)
            return SHALE_OK;
    }
    if (rc == SHALE_OK)
        rc = coordinate(c, look, did, err);
    if (rc == SHALE_FENCED && c->o.embedded && c->fenced) { /* else it is the writer that was */
        stand_back(c, err);
        return SHALE_OK;
    }
    return rc;
}

uint64_t shl_coordinator_next_ns(const struct shl_compactor *c)
{
    if (!c->o.coordinates)
        return UINT64_MAX;
    if (c->epoch != 0)
        return c->poll_ns;
    return c->back_ns != 0 ? c->back_ns : UINT64_MAX;
}
