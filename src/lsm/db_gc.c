/* The collector of an open writer: a task that runs what is due, beside all else and under no lock. slatedb-behaviour 14.
 *
 * The first pass comes one interval after opening, not at once as in SlateDB: a handle that writes a row and closes shall not pay for one. */
#include "lsm/db_internal.h"

#include "lsm/keep/gc.h"

static bool is_stopping(void *arg)
{
    struct shl_lsm *db = arg;
    env_mutex_lock(&db->mu);
    bool stop = db->stopping || env_load_relaxed(&db->closed) != SHALE_OK;
    env_mutex_unlock(&db->mu);
    return stop;
}

/* stopped NULL: it works to its end. */
static shale_code new_collector(struct shl_lsm *db, bool (*stopped)(void *ctx), struct shl_gc **out,
                                shale_error *err)
{
    struct shl_gc_open o = {.store = db->store,
                            .wal_store = db->wal_store,
                            .path = db->path,
                            .settings = &db->settings.gc,
                            .log = db->log,
                            .filter = db->gc_filter,
                            .stopped = stopped,
                            .stopped_ctx = db};
    return shl_gc_new(&o, out, err);
}

/* The next pass tries again. */
static void tell_failures(struct shl_lsm *db, shale_code rc, const struct shl_gc_report *report,
                          const shale_error *err)
{
    bool told = false;
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        const struct shl_gc_result *r = &report->tasks[i];
        if (r->code != SHALE_OK)
            shl_log_write(db->log, SHL_LOG_WARN, "gc: %s objects are not collected: %s",
                          shl_gc_task_name((enum shl_gc_task)i), r->why);
        told = told || r->code != SHALE_OK;
    }
    if (rc != SHALE_OK && !told)
        shl_log_write(db->log, SHL_LOG_WARN, "gc: %s", err->text);
}

void shl_gc_task_main(void *arg)
{
    struct shl_lsm *db = arg;
    struct shl_gc *gc = NULL;
    struct shl_gc_clock clock;
    shl_gc_clock_init(&clock, &db->settings.gc, false);
    while (!is_stopping(db)) {
        struct shl_gc_report report = {.expired = 0};
        shale_error err = {0};
        unsigned mask = shl_gc_clock_take(&clock, &db->settings.gc);
        if (mask == 0) {
            env_mutex_lock(&db->mu);
            if (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK)
                (void)env_cond_wait_until(&db->gc_cond, &db->mu, clock.next_ns);
            env_mutex_unlock(&db->mu);
            continue;
        }
        shale_code rc = gc == NULL ? new_collector(db, is_stopping, &gc, &err) : SHALE_OK;
        if (rc == SHALE_OK)
            rc = shl_gc_run(gc, mask, &report, &err);
        tell_failures(db, rc, &report, &err);
        env_mutex_lock(&db->mu);
        shl_gc_count(&db->gc_counts, &report);
        env_mutex_unlock(&db->mu);
    }
    shl_gc_free(gc);
}

/* ---------------------------------------------------------------- what a fenced writer leaves */

void shl_lsm_drop_orphans(struct shl_lsm *db)
{
    SHL_ARRAY(struct shl_ulid) ids = {0};
    struct shl_gc *gc = NULL;
    shale_error err = {0};
    shale_code rc = SHALE_OK;
    size_t dropped = 0;
    for (struct shl_frozen *f = db->frozen_head; f != NULL && rc == SHALE_OK; f = f->next)
        for (size_t i = 0; i < f->outputs.count && rc == SHALE_OK; i++)
            if (!shl_array_push(&ids, f->outputs.items[i].desc->id))
                rc = shl_nomem(&err);
    if (rc == SHALE_OK && ids.count > 0) {
        rc = new_collector(db, NULL, &gc, &err);
        if (rc == SHALE_OK)
            rc = shl_gc_drop_orphans(gc, db->writer_epoch, ids.items, ids.count, &dropped, &err);
    }
    if (rc != SHALE_OK)
        shl_log_write(db->log, SHL_LOG_WARN, "SSTs uploaded in vain stay for the collector: %s",
                      err.text);
    else if (dropped > 0)
        shl_log_write(db->log, SHL_LOG_INFO, "SSTs uploaded in vain: deleted=%zu", dropped);
    shl_gc_free(gc);
    shl_array_free(&ids);
}
