#include "lsm/compactor/internal.h"

#include "base/assert.h"
#include "base/num.h"

#include <inttypes.h>

/* ---------------------------------------------------------------- new, free */

static struct shl_ulid next_ulid(void *ctx, struct shl_ulid floor)
{
    const struct shl_compactor *c = ctx;
    return c->o.db.next_ulid(c->o.db.ctx, floor);
}

static bool must_stop(void *ctx)
{
    const struct shl_compactor *c = ctx;
    return c->o.db.must_stop(c->o.db.ctx);
}

static void job_ended(void *ctx)
{
    const struct shl_compactor *c = ctx;
    c->o.db.wake(c->o.db.ctx);
}

shale_code shl_compactor_new(const struct shl_compactor_options *o, struct shl_compactor **out,
                             shale_error *err)
{
    struct shl_compactor *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    env_mutex_init(&c->mu);
    c->o = *o;
    /* On a near store they wait for CPUs only, and there more of them are only more memory. */
    c->slots.limit = o->fanout == NULL ? env_cpu_count() : UINT32_MAX;
    c->run_env = (struct shl_run_env){.settings = o->settings,
                                      .store = o->store,
                                      .paths = o->paths,
                                      .context = o->context,
                                      .merge = o->merge,
                                      .transformer = o->transformer,
                                      .filter = o->filter,
                                      .pieces = o->pieces,
                                      .fanout = o->fanout,
                                      .counts = &c->run_counts,
                                      .slots = &c->slots,
                                      .next_ulid = next_ulid,
                                      .must_stop = must_stop,
                                      .ended = job_ended,
                                      .ctx = c};
    shl_compactions_file_init(&c->file, o->store, o->paths, o->fanout);
    shl_ulid_format(
        shl_ulid_make(shl_clock_unix_ms(&o->settings->clock), env_rand64(), env_rand64()),
        c->worker_id);
    memcpy(c->counts.worker_id, c->worker_id, sizeof c->worker_id);
    c->pace_ns = o->settings->compactor_poll_interval_ns;
    *out = c;
    return SHALE_OK;
}

void shl_compactor_free(struct shl_compactor *c)
{
    if (c == NULL)
        return;
    while (c->held.count > 0)
        shl_worker_drop(c, c->held.count - 1);
    shl_array_free(&c->held);
    shl_array_free(&c->retries);
    shl_compactions_file_deinit(&c->file);
    env_mutex_deinit(&c->mu);
    env_free(c);
}

void shl_compactor_ends(struct shl_compactor *c)
{
    c->ends = true;
}

bool shl_compactor_coordinates(const struct shl_compactor *c)
{
    return c->o.coordinates;
}

/* ---------------------------------------------------------------- the file */

static shale_code merge_known(struct shl_compactor *c, const struct shl_compactions *known,
                              shale_error *err)
{
    size_t refused;
    shale_code rc = shl_jobs_merge(known, c->file.now, &refused, err);
    if (rc == SHALE_OK && refused > 0)
        shl_log_write(c->o.log, SHL_LOG_WARN,
                      "compactions %" PRIu64 ": %zu jobs changed as nobody may, put back",
                      c->file.versions.id, refused);
    return rc;
}

shale_code shl_compactor_load(struct shl_compactor *c, bool *changed, shale_error *err)
{
    struct shl_compactions *known = NULL;
    shale_code rc = SHALE_OK;
    if (c->epoch != 0 && c->file.now != NULL)
        SHL_TRY(shl_compactions_clone(c->file.now, &known, err));
    SHL_TRY(shl_compactions_file_load(&c->file, changed, err));
    if (*changed && known != NULL && c->file.now->compactor_epoch == c->epoch) {
        rc = merge_known(c, known, err);
        if (rc != SHALE_OK)
            c->file.is_read = false;
    }
    if (rc == SHALE_OK)
        rc = c->o.db.refresh(c->o.db.ctx, err);
out:
    shl_compactions_free(known);
    return rc;
}

shale_code shl_compactor_fenced(struct shl_compactor *c, uint64_t stored, shale_error *err)
{
    c->fenced = true;
    return shl_fail(err, SHALE_FENCED,
                    "another compactor took over \"%s\" (epoch %" PRIu64 ", ours is %" PRIu64 ")",
                    c->o.paths->r1, stored, c->epoch);
}

static shale_code check_epoch(struct shl_compactor *c, shale_error *err)
{
    uint64_t stored = c->file.now != NULL ? c->file.now->compactor_epoch : 0;
    return stored <= c->epoch ? SHALE_OK : shl_compactor_fenced(c, stored, err);
}

shale_code shl_compactor_update(struct shl_compactor *c, bool as_coordinator, shl_jobs_edit edit,
                                void *arg, bool *wrote, shale_error *err)
{
    *wrote = false;
    for (;;) {
        struct shl_compactions *next = NULL;
        bool changed = false;
        shale_code rc = c->file.is_read ? SHALE_OK : shl_compactor_load(c, &changed, err);
        if (rc == SHALE_OK && as_coordinator)
            rc = check_epoch(c, err);
        if (rc == SHALE_OK)
            rc = c->file.now != NULL ? shl_compactions_clone(c->file.now, &next, err)
                                     : shl_compactions_new(&next, err);
        changed = false;
        if (rc == SHALE_OK)
            rc = edit(c, next, arg, &changed, err);
        if (rc != SHALE_OK || !changed) {
            shl_compactions_free(next);
            return rc;
        }
        if (as_coordinator) {
            next->compactor_epoch = c->epoch;
            shl_jobs_trim(next);
        }
        rc = shl_compactions_file_write(&c->file, &next, err);
        *wrote = rc == SHALE_OK;
        if (rc == SHALE_PRECONDITION)
            rc = shl_compactor_load(c, &changed, err);
        if (rc != SHALE_OK || *wrote)
            return rc;
        if (c->o.db.must_stop(c->o.db.ctx) && c->held.count == 0)
            return shl_fail(err, SHALE_CLOSED, "the compactor was stopped");
    }
}

/* ---------------------------------------------------------------- a step */

static void sum_progress(const struct shl_compactor *c, struct shl_compactor_report *out)
{
    for (size_t i = 0; i < c->held.count; i++) {
        struct shl_run_progress p;
        if (c->held.items[i].run == NULL)
            continue;
        shl_job_run_progress(c->held.items[i].run, &p);
        out->progress.rows += p.rows;
        out->progress.bytes += p.bytes;
        out->progress.input_bytes += p.input_bytes;
    }
}

static void forget_retries(struct shl_compactor *c)
{
    uint64_t now = env_now_mono_ns();
    for (size_t i = c->retries.count; i-- > 0;)
        if (c->retries.items[i].until_ns <= now)
            c->retries.items[i] = c->retries.items[--c->retries.count];
}

static void fill_report(struct shl_compactor *c, bool did, struct shl_compactor_report *out)
{
    *out = (struct shl_compactor_report){
        .did = did,
        .running = c->held.count,
        .active = c->file.now != NULL ? shl_jobs_active(c->file.now) : 0,
        .committed = c->committed,
        .executed = c->executed,
        .epoch = c->epoch,
        .failed = c->failed,
        .failure = c->failure,
        .next_ns = shl_min_u64(shl_coordinator_next_ns(c), shl_worker_next_ns(c))};
    for (size_t i = 0; i < c->retries.count; i++)
        out->next_ns = shl_min_u64(out->next_ns, c->retries.items[i].until_ns);
    out->idle = !did && c->held.count == 0 && c->retries.count == 0;
    out->quiet = out->idle && out->active == 0;
    sum_progress(c, out);
}

/* For other tasks to read. */
static void note_counts(struct shl_compactor *c)
{
    env_mutex_lock(&c->mu);
    c->counts.epoch = c->epoch;
    c->counts.last_commit_s = c->last_commit_s;
    c->counts.claimed = c->claimed;
    c->counts.reclaimed = c->reclaimed;
    c->counts.released_bytes = c->released_bytes;
    c->counts.last_heartbeat_ms = c->last_heartbeat_ms;
    env_mutex_unlock(&c->mu);
}

shale_code shl_compactor_step(struct shl_compactor *c, bool look, struct shl_compactor_report *out,
                              shale_error *err)
{
    bool published = false, coordinated = false, worked = false;
    c->failed = c->fenced = false;
    shale_code rc = shl_worker_publish(c, &published, err);
    forget_retries(c);
    if (rc == SHALE_OK && c->o.coordinates)
        rc = shl_coordinator_step(c, look, &coordinated, err);
    if (rc == SHALE_OK && c->o.works)
        rc = shl_worker_step(c, look, &worked, err);
    fill_report(c, published || coordinated || worked, out);
    note_counts(c);
    return rc;
}

shale_code shl_compactor_finish(struct shl_compactor *c, shale_error *err)
{
    bool did = false;
    shl_worker_stop_all(c);
    return c->held.count > 0 ? shl_worker_publish(c, &did, err) : SHALE_OK;
}

/* ---------------------------------------------------------------- counts */

static void count_run(const struct shl_held *h, uint64_t now_ns, struct shl_compactor_counts *out)
{
    struct shl_run_progress p;
    if (h->run == NULL || shl_job_run_has_ended(h->run))
        return;
    shl_job_run_progress(h->run, &p);
    out->running++;
    out->input_bytes += p.input_bytes;
    if (now_ns > h->began_ns)
        out->bytes_per_s +=
            (uint64_t)((double)p.bytes * (double)ENV_NS_PER_SEC / (double)(now_ns - h->began_ns));
}

void shl_compactor_count(struct shl_compactor *c, struct shl_compactor_counts *out)
{
    uint64_t now_ns = env_now_mono_ns();
    env_mutex_lock(&c->mu);
    *out = c->counts;
    for (size_t i = 0; i < c->held.count; i++)
        count_run(&c->held.items[i], now_ns, out);
    env_mutex_unlock(&c->mu);
    out->purged_values = env_load_relaxed(&c->run_counts.purged_values);
    out->purged_operands = env_load_relaxed(&c->run_counts.purged_operands);
    out->operands = env_load_relaxed(&c->run_counts.operands);
    out->ssts = env_load_relaxed(&c->run_counts.ssts);
    out->bytes = env_load_relaxed(&c->run_counts.bytes);
    out->copied_blocks = env_load_relaxed(&c->run_counts.copied_blocks);
}
