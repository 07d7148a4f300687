/* Following a database: a reader's WAL replay and refresh, the poller of readers and writers. slatedb-behaviour 7, 5. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/keep/checkpoint.h"
#include <inttypes.h>

#define STALL_POLL_FIRST_NS (50 * ENV_NS_PER_MS)
/* An idle handle makes its two or three requests at an eighth of the setting's pace, and never more often than this: below 0.2 a second. */
#define QUIET_POLL_NS (20 * ENV_NS_PER_SEC)
#define QUIET_FACTOR  8

/* ---------------------------------------------------------------- readers */

shale_code shl_lsm_pin_checkpoint(struct shl_lsm *db, const char *checkpoint, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_manifest *m = NULL;
    const struct shl_checkpoint *found;
    uint64_t id;
    shale_code rc = shl_checkpoint_find(db->manifest, checkpoint, db->paths.r1, &found, err);
    if (rc != SHALE_OK)
        return rc;
    id = found->manifest_id;
    SHL_TRY(shl_sequenced_read(&db->manifests, id, &body, err));
    rc = shl_manifest_decode(shl_buf_view(&body), &m, err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", db->paths.r1, id);
        goto out;
    }
    db->checkpoint = env_strdup(checkpoint);
    if (db->checkpoint == NULL) {
        rc = shl_nomem(err);
        goto out;
    }
    shl_manifest_free(db->manifest);
    db->manifest = m;
    m = NULL;
out:
    shl_manifest_free(m);
    shl_buf_free(&body);
    return rc;
}

/* What there was of the WAL. */
struct seen {
    bool gone; /* an object that was listed, when it was read */
    bool none; /* not even the object of the boundary; only looked for when a handle is opened */
};

/* Rows of WAL objects above `last` into the table. A missing object ends the row: what it held is in L0 of a newer manifest. */
static shale_code replay_after(struct shl_lsm *db, struct shl_replay *r, uint64_t *last,
                               struct seen *seen, shale_error *err)
{
    bool opens = env_load_relaxed(&db->version) == NULL;
    shl_wal_items items = {0};
    struct shl_wal_fetch *objects = NULL;
    uint64_t most = db->checkpoint != NULL ? db->manifest->wal_id_last_seen : UINT64_MAX;
    uint64_t end = *last;
    shale_code rc;
    *seen = (struct seen){.gone = false};
    if (db->settings.skip_wal_replay)
        return SHALE_OK;
    SHL_TRY(shl_lsm_find_wal(db, most, &items, &end, opens ? &seen->none : NULL, err));
    SHL_TRY(shl_lsm_wal_fetch(db, items.items, items.count, &objects, err));
    while (rc == SHALE_OK) {
        struct shl_wal_file f = {0};
        uint64_t id;
        rc = shl_wal_fetch_next(objects, &id, &f, err);
        if (rc != SHALE_OK)
            break;
        rc = shl_lsm_replay_file(db, r, id, &f, err);
        shl_wal_file_deinit(&f);
        if (rc == SHALE_OK)
            *last = id;
    }
    if (rc == SHALE_DONE && items.count > 0) /* fences are not given */
        *last = items.items[items.count - 1].id;
out:
    shl_wal_fetch_free(objects);
    shl_array_free(&items);
    seen->gone = rc == SHALE_NOT_FOUND;
    return rc == SHALE_NOT_FOUND || rc == SHALE_DONE ? SHALE_OK : rc;
}

/* Only refreshes, one at a time, write it; the status reads it under the lock. */
static void set_replayed(struct shl_lsm *db, uint64_t wal_id)
{
    env_mutex_lock(&db->mu);
    db->replayed_wal_id = wal_id;
    env_mutex_unlock(&db->mu);
}

/* The new version if there is one, then the rows in it. */
static void show(struct shl_lsm *db, struct shl_version *v, const struct shl_replay *r)
{
    uint64_t seq = shl_max_u64(r->last_seq, r->last_l0_seq);
    env_mutex_lock(&db->mu);
    if (v != NULL) {
        struct shl_version *before = env_load_relaxed(&db->version);
        env_store_seq(&db->version, v);
        if (before != NULL)
            shl_version_retire(before);
    }
    db->last_seq = shl_max_u64(db->last_seq, seq);
    env_store_relaxed(&db->last_tick,
                      shl_max_i64(env_load_relaxed(&db->last_tick),
                                  shl_max_i64(r->last_tick, db->manifest->last_l0_clock_tick)));
    bool is_newer = v != NULL || db->last_seq > env_load_relaxed(&db->durable_seq);
    env_store_release(&db->committed_seq, db->last_seq);
    env_store_release(&db->durable_seq, db->last_seq);
    if (is_newer)
        shl_lsm_changed_locked(db);
    env_mutex_unlock(&db->mu);
    (void)shl_epoch_collect(db->epoch);
}

/* Only a handle's opening asks for the object of the boundary. A checkpoint's may be collected: collectors keep what is above it. */
static bool lacks_wal(const struct shl_lsm *db, uint64_t end, const struct seen *seen)
{
    return !db->settings.skip_wal_replay &&
           shl_manifest_lacks_wal(db->manifest, end, seen->none && db->checkpoint == NULL);
}

static shale_code install_once(struct shl_lsm *db, bool may_end, bool *again, shale_error *err)
{
    bool opens = env_load_relaxed(&db->version) == NULL;
    struct seen seen;
    struct shl_levels *levels = NULL;
    struct shl_memtable *table = NULL;
    struct shl_version *v = NULL;
    struct shl_replay r = {.last_l0_seq = db->manifest->last_l0_seq, .last_tick = INT64_MIN};
    uint64_t last = db->manifest->replay_after_wal_id;
    shale_code rc;
    SHL_TRY(shl_lsm_build_levels(db, &levels, err));
    SHL_TRY(shl_memtable_new(db->arenas, &table, err));
    r.table = table;
    SHL_TRY(replay_after(db, &r, &last, &seen, err));
    *again = !may_end && (seen.gone || lacks_wal(db, last, &seen));
    if (*again)
        goto out;
    if (lacks_wal(db, last, &seen))
        SHL_TRY(shl_wal_lacks(&db->paths, db->manifest, last, seen.none && db->checkpoint == NULL,
                              err));
    if (opens && db->checkpoint == NULL && !db->settings.skip_wal_replay)
        SHL_TRY(shl_lsm_check_wal_is_not_here(db, last, err));
    SHL_TRY(shl_version_new(db->epoch, table, NULL, 0, levels, &v, err));
    set_replayed(db, last);
    show(db, v, &r);
out:
    shl_memtable_unref(table);
    shl_levels_unref(levels);
    return rc;
}

#define INSTALLS_MAX 8

/* A WAL object that was collected between list and read is in L0 by now: with the newer manifest nothing is missing, and a handle never shows
 * less than before. One that the manifest knows of and the list does not may be younger than the list. */
shale_code shl_lsm_reader_install(struct shl_lsm *db, shale_error *err)
{
    bool may_end = false, again, changed = false;
    for (unsigned tries = 0;; tries++) {
        shale_code rc = install_once(db, may_end, &again, err);
        if (rc != SHALE_OK || !again)
            return rc;
        if (db->checkpoint == NULL)
            rc = shl_lsm_refresh_manifest(db, &changed, err);
        if (rc == SHALE_OK && changed && db->managed)
            rc = shl_lsm_managed_cover(db, err);
        if (rc != SHALE_OK)
            return rc;
        may_end = !changed || tries == INSTALLS_MAX;
    }
}

static shale_code follow_wal(struct shl_lsm *db, shale_error *err)
{
    struct shl_version *v = env_load_relaxed(&db->version); /* only we replace it */
    struct shl_replay r = {
        .table = v->active, .last_l0_seq = db->manifest->last_l0_seq, .last_tick = INT64_MIN};
    r.last_seq = env_load_relaxed(&db->committed_seq) > r.last_l0_seq
                     ? env_load_relaxed(&db->committed_seq)
                     : 0;
    uint64_t last = db->replayed_wal_id;
    struct seen
        seen; /* the next refresh finds the manifest that has what is gone; nothing that was shown goes away */
    shale_code rc = replay_after(db, &r, &last, &seen, err);
    set_replayed(db, last); /* after a failure too: those rows are in the table */
    if (rc == SHALE_OK)
        show(db, NULL, &r);
    return rc;
}

static shale_code refresh_reader(struct shl_lsm *db, bool *changed, shale_error *err)
{
    struct shl_wal_listing wal;
    uint64_t before;
    shale_code rc;
    env_mutex_lock(&db->refresh_mu);
    before = env_load_relaxed(&db->committed_seq);
    /* The list may be older than the manifest. If that is the one we have, it does not matter; for a newer one the WAL is listed again, unless
     * we stand where it begins. */
    if (!db->settings.skip_wal_replay)
        shl_wal_listing_begin(&wal, db, db->replayed_wal_id);
    rc = shl_lsm_refresh_manifest(db, changed, err);
    if (!db->settings.skip_wal_replay && rc == SHALE_OK)
        rc = shl_wal_listing_end(&wal, err);
    else if (!db->settings.skip_wal_replay)
        shl_wal_listing_drop(&wal);
    /* Not only after a change: what was loaded before may have failed to become the version. */
    bool shown = ((struct shl_version *)env_load_relaxed(&db->version))->levels->manifest_id ==
                 db->manifests.id;
    if (rc == SHALE_OK && db->managed) {
        bool moved;
        rc = shl_lsm_managed_follow(db, &moved, err);
        shown = !moved;
    }
    if (rc == SHALE_OK)
        rc = shown ? follow_wal(db, err) : shl_lsm_reader_install(db, err);
    *changed = *changed || env_load_relaxed(&db->committed_seq) != before;
    env_mutex_unlock(&db->refresh_mu);
    return rc;
}

/* ---------------------------------------------------------------- writers */

/* What others did to the manifest: a compactor took L0s, or a newer writer our place. */
static shale_code refresh_writer(struct shl_lsm *db, bool *changed, shale_error *err)
{
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_refresh_manifest(db, changed, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_show_manifest(db, err);
    shl_manifest_turn_end(db);
    return rc;
}

shale_code shl_lsm_refresh(struct shl_lsm *db, shale_error *err)
{
    bool changed;
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    if (db->checkpoint != NULL)
        return SHALE_OK; /* pinned */
    return db->writer ? refresh_writer(db, &changed, err) : refresh_reader(db, &changed, err);
}

/* ---------------------------------------------------------------- the poller */

static bool stalled_locked(const struct shl_lsm *db)
{
    return db->frozen_head != NULL && db->frozen_head->state == SHL_FROZEN_WAITING;
}

/* When the poller asks next. It wakes at every interval, which costs nothing; whether it makes requests is another matter. */
struct pace {
    uint64_t asked_ns;      /* last request */
    uint64_t quiet_ns;      /* to let pass until the next one, as long as nothing happens */
    uint64_t stall_ns;      /* 0: not stalled */
    uint64_t seen_activity; /* [mu] of the handle */
};

/* How long to sleep: the setting; less while L0 is full and somebody else may make room. */
static uint64_t sleep_locked(const struct shl_lsm *db, struct pace *p)
{
    uint64_t interval = db->settings.manifest_poll_interval_ns;
    if (!stalled_locked(db)) {
        p->stall_ns = 0;
        return interval;
    }
    p->stall_ns = p->stall_ns == 0
                      ? STALL_POLL_FIRST_NS
                      : shl_min_u64(p->stall_ns * 2, shl_min_u64(interval, ENV_NS_PER_SEC));
    return p->stall_ns;
}

/* A checkpoint is renewed in the second half of its life. */
static uint64_t quiet_max(const struct shl_lsm *db, uint64_t interval)
{
    uint64_t ns = shl_max_u64(interval * QUIET_FACTOR, QUIET_POLL_NS);
    return db->managed
               ? shl_min_u64(ns, shl_max_u64(interval, db->settings.checkpoint_lifetime_ns / 4))
               : ns;
}

/* Whether to make requests now: always while anything changes or is asked, else ever more rarely. */
static bool is_due_locked(struct shl_lsm *db, struct pace *p)
{
    uint64_t interval = db->settings.manifest_poll_interval_ns, now = env_now_mono_ns();
    bool busy = env_load_relaxed(&db->asked) || db->activity != p->seen_activity;
    env_store_relaxed(&db->asked, false);
    p->seen_activity = db->activity;
    if (busy || p->stall_ns > 0)
        p->quiet_ns = interval;
    else if (now - p->asked_ns < p->quiet_ns)
        return false;
    else
        p->quiet_ns = shl_min_u64(p->quiet_ns * 2, quiet_max(db, interval));
    p->asked_ns = now;
    return true;
}

/* Memory that nobody asks for any more: what a reader kept from being freed when it was retired, and chunks for the next memtable of a
 * writer that rests. */
static void tidy(struct shl_lsm *db)
{
    (void)shl_epoch_collect(db->epoch);
    if (db->arenas != NULL)
        shl_mem_pool_trim(db->arenas);
    if (db->pieces != NULL)
        shl_piece_pool_trim(db->pieces);
}

void shl_poll_task(void *arg)
{
    struct shl_lsm *db = arg;
    struct pace p = {.asked_ns = env_now_mono_ns(),
                     .quiet_ns = db->settings.manifest_poll_interval_ns};
    env_mutex_lock(&db->mu);
    while (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK) {
        bool changed = false;
        shale_error err = {0};
        (void)env_cond_wait_until(&db->poll_cond, &db->mu,
                                  env_now_mono_ns() + sleep_locked(db, &p));
        if (db->stopping || env_load_relaxed(&db->closed) != SHALE_OK)
            break;
        if (!is_due_locked(db, &p))
            continue;
        env_mutex_unlock(&db->mu);
        tidy(db);
        shale_code rc =
            db->writer ? refresh_writer(db, &changed, &err) : refresh_reader(db, &changed, &err);
        if (rc != SHALE_OK && rc != SHALE_FENCED)
            shl_log_write(db->log, SHL_LOG_WARN, "manifest poll: %s", err.text);
        env_mutex_lock(&db->mu);
        if (rc == SHALE_FENCED)
            shl_lsm_fail_locked(db, &err);
        if (changed)
            db->activity++;
    }
    env_mutex_unlock(&db->mu);
}
