/* The shared state of a handle: failure, versions, durability. */
#include "lsm/db_internal.h"

#include "base/assert.h"

shale_code shl_lsm_check(struct shl_lsm *db, shale_error *err)
{
    if (__builtin_expect(env_load_acquire(&db->closed) == SHALE_OK, 1)) {
        if (__builtin_expect(!env_load_relaxed(&db->asked), 0))
            env_store_relaxed(&db->asked, true);
        return SHALE_OK;
    }
    env_mutex_lock(&db->mu);
    *err = db->failure;
    env_mutex_unlock(&db->mu);
    return err->code;
}

void shl_lsm_fail_locked(struct shl_lsm *db, const shale_error *why)
{
    SHL_ASSERT(why->code != SHALE_OK);
    if (env_load_relaxed(&db->closed) == SHALE_OK) {
        db->failure = *why;
        env_store_release(&db->closed, (int)why->code);
        shl_lsm_changed_locked(db);
    }
    for (struct shl_waiter *w = db->waiters; w != NULL; w = w->next)
        env_cond_signal(&w->cond);
    shl_checkpoints_fail_locked(db, &db->failure);
    env_cond_broadcast(&db->wal_cond);
    env_cond_broadcast(&db->flush_cond);
    env_cond_broadcast(&db->progress_cond);
    env_cond_broadcast(&db->compact_cond);
    env_cond_broadcast(&db->poll_cond);
    env_cond_broadcast(&db->gc_cond);
}

void shl_lsm_fail(struct shl_lsm *db, const shale_error *why)
{
    env_mutex_lock(&db->mu);
    shl_lsm_fail_locked(db, why);
    env_mutex_unlock(&db->mu);
}

void shl_lsm_changed_locked(struct shl_lsm *db)
{
    db->changes++;
    if (db->status_waiters > 0)
        env_cond_broadcast(&db->status_cond);
}

shale_code shl_lsm_install_locked(struct shl_lsm *db, struct shl_memtable *active,
                                  struct shl_levels *levels, size_t drop_oldest_frozen,
                                  struct shl_memtable *push_frozen, shale_error *err)
{
    struct shl_version *old = env_load_relaxed(&db->version), *fresh;
    shale_code rc;
    if (push_frozen == NULL) {
        SHL_ASSERT(drop_oldest_frozen <= old->frozen_count);
        rc = shl_version_new(db->epoch, active, old->frozen, old->frozen_count - drop_oldest_frozen,
                             levels != NULL ? levels : old->levels, &fresh, err);
        if (rc != SHALE_OK)
            return rc;
    } else {
        SHL_ASSERT(drop_oldest_frozen == 0);
        struct shl_memtable **list =
            env_alloc((old->frozen_count + 1) * sizeof(struct shl_memtable *));
        if (list == NULL)
            return shl_nomem(err);
        list[0] = push_frozen;
        for (size_t i = 0; i < old->frozen_count; i++)
            list[i + 1] = old->frozen[i];
        rc = shl_version_new(db->epoch, active, list, old->frozen_count + 1,
                             levels != NULL ? levels : old->levels, &fresh, err);
        env_free(list);
        if (rc != SHALE_OK)
            return rc;
    }
    if (levels != NULL && shl_levels_l0_count(levels) < shl_levels_l0_count(old->levels))
        db->l0_shrank_ns = env_now_mono_ns();
    env_store_seq(&db->version, fresh);
    shl_version_retire(old);
    if (levels != NULL)
        shl_lsm_changed_locked(db);
    return SHALE_OK;
}

struct shl_version *shl_lsm_version(struct shl_lsm *db)
{
    uint32_t token = shl_epoch_enter(db->epoch);
    struct shl_version *v = shl_version_ref(env_load_seq(&db->version));
    shl_epoch_leave(db->epoch, token);
    return v;
}

void shl_lsm_durable_locked(struct shl_lsm *db, uint64_t seq)
{
    if (seq <= env_load_relaxed(&db->durable_seq))
        return;
    env_store_release(&db->durable_seq, seq);
    while (db->waiters != NULL && db->waiters->seq <= seq) {
        struct shl_waiter *w = db->waiters;
        db->waiters = w->next;
        w->done = true;
        env_cond_signal(&w->cond);
    }
    env_cond_broadcast(&db->progress_cond);
    shl_lsm_changed_locked(db);
}

struct shl_ulid shl_lsm_next_ulid_locked(struct shl_lsm *db)
{
    /* The collector deletes by the time in the id (slatedb-format 7.4): it must not run backwards, whatever the clock does. */
    uint64_t now = shl_clock_unix_ms(&db->settings.clock), last = shl_ulid_time_ms(db->last_ulid);
    db->last_ulid = shl_ulid_make(now > last ? now : last, env_rand64(), env_rand64());
    return db->last_ulid;
}
