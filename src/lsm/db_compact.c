/* The compactor in the writer's process: coordinator and worker of lsm/compactor, which see the database through this handle. Manifests are written in
 * the writer's turn, so that its view moves at once. slatedb-behaviour 13. */
#include "lsm/db_internal.h"

#include "base/num.h"
#include "lsm/compactor/compactor.h"
#include "lsm/compactor/scheduler.h"

#include <inttypes.h>

/* ---------------------------------------------------------------- how it reaches the database */

/* A plan from an old tree would be refused for ever. */
static shale_code refresh(void *ctx, shale_error *err)
{
    struct shl_lsm *db = ctx;
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_show_manifest(db, err);
    shl_manifest_turn_end(db);
    return rc;
}

static shale_code levels(void *ctx, struct shl_levels **out, shale_error *err)
{
    struct shl_version *v = shl_lsm_version(ctx);
    (void)err;
    *out = shl_levels_ref(v->levels);
    shl_version_unref(v);
    return SHALE_OK;
}

static bool must_stop(void *ctx)
{
    struct shl_lsm *db = ctx;
    env_mutex_lock(&db->mu);
    bool stop = db->stopping || env_load_relaxed(&db->closed) != SHALE_OK;
    env_mutex_unlock(&db->mu);
    return stop;
}

struct change {
    shl_manifest_change fn;
    void *arg;
};

static shale_code edit_change(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                              shale_error *err)
{
    const struct change *c = arg;
    return c->fn(m, db->manifests.id + 1, c->arg, err);
}

static shale_code update(void *ctx, shl_manifest_change fn, void *arg, shale_error *err)
{
    struct shl_lsm *db = ctx;
    struct change c = {.fn = fn, .arg = arg};
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_update_manifest(db, edit_change, &c, err);
    bool written = rc == SHALE_OK;
    while (written) {
        rc = shl_lsm_show_manifest(db, err);
        if (rc != SHALE_NOMEM || must_stop(db))
            break;
        /* The manifest is written: wait for memory rather than fall behind it. */
        env_sleep_ns(10 * ENV_NS_PER_MS);
    }
    shl_manifest_turn_end(db);
    return rc;
}

static struct shl_ulid next_ulid(void *ctx, struct shl_ulid floor)
{
    struct shl_lsm *db = ctx;
    env_mutex_lock(&db->mu);
    /* Another machine's clock may have been ahead. */
    if (shl_ulid_time_ms(floor) > shl_ulid_time_ms(db->last_ulid))
        db->last_ulid = floor;
    struct shl_ulid id = shl_lsm_next_ulid_locked(db);
    env_mutex_unlock(&db->mu);
    return id;
}

static void wake(void *ctx)
{
    struct shl_lsm *db = ctx;
    env_mutex_lock(&db->mu);
    db->compact_due = true;
    env_cond_signal(&db->compact_cond);
    env_mutex_unlock(&db->mu);
}

shale_code shl_lsm_compactor_new(struct shl_lsm *db, shale_error *err)
{
    const struct shl_compactor_options o = {.settings = &db->settings,
                                            .store = db->store,
                                            .paths = &db->paths,
                                            .context = &db->context,
                                            .merge = db->has_merge ? &db->merge : NULL,
                                            .transformer =
                                                db->has_transformer ? &db->transformer : NULL,
                                            .filter = db->has_filter ? &db->filter : NULL,
                                            .pieces = db->pieces,
                                            .fanout = db->fanout,
                                            .log = db->log,
                                            .scheduler = db->scheduler,
                                            .db = {.ctx = db,
                                                   .refresh = refresh,
                                                   .levels = levels,
                                                   .update = update,
                                                   .next_ulid = next_ulid,
                                                   .must_stop = must_stop,
                                                   .wake = wake},
                                            .coordinates = true,
                                            .works = db->settings.worker_enabled,
                                            .embedded = true};
    return shl_compactor_new(&o, &db->compactor, err);
}

/* ---------------------------------------------------------------- the task */

/* What a failed step or job means: false, the compactor goes on; true, the handle fails. */
static bool is_fatal(shale_code rc)
{
    return rc != SHALE_OK && rc != SHALE_CONFLICT && rc != SHALE_CLOSED &&
           rc != SHALE_UNAVAILABLE && rc != SHALE_TIMEOUT && rc != SHALE_NOMEM &&
           rc != SHALE_PRECONDITION;
}

/* Under mu, which it gives up. */
static void step_locked(struct shl_lsm *db, uint64_t *next_ns)
{
    shale_error err = {0};
    struct shl_compactor_report report = {0};
    db->compact_due = false;
    db->compacting = true;
    env_mutex_unlock(&db->mu);
    shale_code rc = shl_compactor_step(db->compactor, false, &report, &err);
    if (rc != SHALE_OK && rc != SHALE_CLOSED)
        shl_log_write(db->log, SHL_LOG_WARN, "compaction: %s", err.text);
    env_mutex_lock(&db->mu);
    db->compacting = report.running > 0;
    db->compact_idle = rc == SHALE_OK && report.idle && !db->compact_due;
    db->compactions_done = report.committed;
    *next_ns = report.next_ns;
    /* INTERNAL of a job: the application's filter refused, and may do so again. */
    if (rc == SHALE_OK && report.failed && report.failure.code != SHALE_INTERNAL &&
        is_fatal(report.failure.code)) {
        rc = report.failure.code;
        err = report.failure;
    }
    if (is_fatal(rc))
        shl_lsm_fail_locked(db, &err);
    else if (rc != SHALE_OK)
        *next_ns = env_now_mono_ns() +
                   shl_min_u64(db->settings.compactor_poll_interval_ns, 5 * ENV_NS_PER_SEC);
    else if (report.did)
        db->compact_due = true;
}

void shl_compact_task(void *arg)
{
    struct shl_lsm *db = arg;
    shale_error err;
    uint64_t next_ns = UINT64_MAX;
    env_mutex_lock(&db->mu);
    while (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK) {
        if (db->compact_due || env_now_mono_ns() >= next_ns)
            step_locked(db, &next_ns);
        else
            (void)env_cond_wait_until(&db->compact_cond, &db->mu, next_ns);
        env_cond_broadcast(&db->progress_cond);
    }
    env_mutex_unlock(&db->mu);
    if (shl_compactor_finish(db->compactor, &err) != SHALE_OK)
        shl_log_write(db->log, SHL_LOG_WARN, "compaction not given back: %s", err.text);
    env_mutex_lock(&db->mu);
    db->compacting = false;
    env_cond_broadcast(&db->progress_cond);
    env_mutex_unlock(&db->mu);
}

/* ---------------------------------------------------------------- before closing */

/* All of it together is no more than a memtable, and merged in the time of a flush. */
static bool l0_is_small_locked(const struct shl_lsm *db)
{
    const struct shl_version *v = env_load_relaxed(&db->version);
    const struct shl_manifest *m = v->levels->manifest;
    uint64_t sum = shl_views_bytes(&m->root.l0);
    for (size_t i = 0; i < m->segments.count; i++)
        sum += shl_views_bytes(&m->segments.items[i].tree.l0);
    return sum <= db->settings.l0_sst_size_bytes;
}

void shl_lsm_compact_before_closing_locked(struct shl_lsm *db)
{
    uint64_t ns = shl_min_u64(db->settings.compactor_poll_interval_ns, 5 * ENV_NS_PER_SEC);
    uint64_t end_ns = env_now_mono_ns() + ns;
    bool first = true;
    if (db->compactor == NULL || !db->settings.worker_enabled)
        return;
    while (env_load_relaxed(&db->closed) == SHALE_OK && !shl_lsm_l0_moves_locked(db) &&
           l0_is_small_locked(db) && (first || db->compact_due || db->compacting)) {
        if (first)
            db->compact_due = true;
        first = false;
        env_cond_signal(&db->compact_cond);
        if (!env_cond_wait_until(&db->progress_cond, &db->mu, end_ns))
            return;
    }
}
