/* Waiting for the background, and the figures of a handle. */
#include "lsm/db_internal.h"

#include "base/num.h"
#include "lsm/compactor/compactor.h"

/* Waits until every row up to `seq` is in the manifest. Under mu. */
static shale_code wait_flushed_locked(struct shl_lsm *db, uint64_t seq, shale_error *err)
{
    uint64_t since = 0;
    while (db->frozen_head != NULL && db->frozen_head->last_seq <= seq) {
        if (env_load_relaxed(&db->closed) != SHALE_OK) {
            *err = db->failure;
            return err->code;
        }
        shale_code rc = shl_lsm_wait_for_l0_locked(db, &db->progress_cond, &since, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return shl_lsm_wait_durable_locked(db, seq, err);
}

static shale_code flush_memtable_locked(struct shl_lsm *db, shale_error *err)
{
    uint64_t seq = db->last_seq;
    db->counts.flush_requests++;
    shale_code rc = shl_lsm_freeze_locked(db, err);
    if (rc != SHALE_OK)
        return rc;
    db->wal_request_seq = seq;
    env_cond_signal(&db->wal_cond);
    return wait_flushed_locked(db, seq, err);
}

static shale_code flush_wal_locked(struct shl_lsm *db, shale_error *err)
{
    uint64_t seq = db->last_seq;
    db->counts.wal_flush_requests++;
    if (env_load_relaxed(&db->durable_seq) >= seq)
        return SHALE_OK;
    if (db->wal_request_seq < seq)
        db->wal_request_seq = seq;
    env_cond_signal(&db->wal_cond);
    return shl_lsm_wait_durable_locked(db, seq, err);
}

static shale_code check_writer(struct shl_lsm *db, shale_error *err)
{
    if (!db->writer)
        return shl_fail(err, SHALE_INVALID, "the database is open for reading only");
    return shl_lsm_check(db, err);
}

shale_code shl_lsm_flush(struct shl_lsm *db, bool memtable, shale_error *err)
{
    shale_code rc = check_writer(db, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_lock(&db->mu);
    if (memtable || !db->settings.wal_enabled)
        rc = flush_memtable_locked(db, err);
    else
        rc = flush_wal_locked(db, err);
    env_mutex_unlock(&db->mu);
    return rc;
}

shale_code shl_lsm_settle(struct shl_lsm *db, shale_error *err)
{
    shale_code rc = shl_lsm_flush(db, true, err);
    if (rc != SHALE_OK || !db->settings.compactor_enabled)
        return rc;
    env_mutex_lock(&db->mu);
    db->compact_due = true;
    db->compact_idle = false;
    env_cond_signal(&db->compact_cond);
    while (env_load_relaxed(&db->closed) == SHALE_OK && !db->stopping &&
           (db->compact_due || db->compacting || !db->compact_idle))
        env_cond_wait(&db->progress_cond, &db->mu);
    env_mutex_unlock(&db->mu);
    return shl_lsm_check(db, err);
}

void shl_lsm_status(struct shl_lsm *db, struct shl_lsm_status *out)
{
    struct shl_version *v = shl_lsm_version(db);
    struct shl_cache_counts cache;
    shl_cache_count(db->cache, &cache);
    *out = (struct shl_lsm_status){.writer = db->writer,
                                   .manifest_id = v->levels->manifest_id,
                                   .writer_epoch = db->writer ? db->writer_epoch
                                                              : v->levels->manifest->writer_epoch,
                                   .run_count = v->levels->run_count,
                                   .memtable_bytes = shl_memtable_arena_bytes(v->active),
                                   .cache_bytes = cache.bytes};
    out->segment_count = v->levels->manifest->segments.count;
    out->l0_count = shl_levels_l0_count(v->levels);
    for (size_t i = 0; i < v->frozen_count; i++)
        out->memtable_bytes += shl_memtable_arena_bytes(v->frozen[i]);
    shl_version_unref(v);
    env_mutex_lock(&db->mu);
    out->committed_seq = env_load_relaxed(&db->committed_seq);
    out->durable_seq = env_load_relaxed(&db->durable_seq);
    out->last_wal_id = db->writer ? db->last_wal_id : db->replayed_wal_id;
    out->compactions_done = db->compactions_done;
    out->closed = (shale_code)env_load_relaxed(&db->closed);
    out->changes = db->changes;
    env_mutex_unlock(&db->mu);
}

shale_code shl_lsm_status_wait(struct shl_lsm *db, uint64_t changes, uint64_t timeout_ns,
                               struct shl_lsm_status *out)
{
    uint64_t now = env_now_mono_ns(), deadline = 0;
    if (!shl_add_u64(now, timeout_ns, &deadline))
        deadline = UINT64_MAX;
    env_mutex_lock(&db->mu);
    db->status_waiters++;
    while (db->changes == changes && env_cond_wait_until(&db->status_cond, &db->mu, deadline))
        ;
    db->status_waiters--;
    env_mutex_unlock(&db->mu);
    shl_lsm_status(db, out);
    return out->changes != changes ? SHALE_OK : SHALE_DONE;
}

static size_t count_pins(const struct shl_pin_list *list)
{
    size_t n = 0;
    for (const struct shl_pin *p = list->oldest; p != NULL; p = p->newer)
        n++;
    return n;
}

/* An SST may be seen through several views. */
static void count_levels(const struct shl_levels *l, struct shl_lsm_metrics *out)
{
    out->sst_view_count = l->sst_count;
    out->external_db_count = l->manifest->external_dbs.count;
    for (size_t i = 0; i < l->sst_count; i++) {
        bool is_again = false;
        for (size_t k = 0; k < i && !is_again; k++)
            is_again = l->ssts[k].sst == l->ssts[i].sst;
        out->sst_count += !is_again;
    }
    for (size_t i = 0; i < l->tree_count; i++)
        out->segment_l0_max = shl_max_u64(out->segment_l0_max, l->trees[i].l0_count);
}

/* Who looked found it, unless he is among those that fetched it. */
static void count_metas(const struct shl_meta_cache *c, struct shl_lsm_metrics *out)
{
    uint64_t fetched = shl_meta_cache_noted(c, SHL_META_LOADED);
    uint64_t asked =
        out->filter_positive + out->filter_negative + out->prefix_positive + out->prefix_negative;
    out->filter_misses = shl_meta_cache_noted(c, SHL_META_FILTER_LOADED);
    out->filter_hits = asked - shl_min_u64(asked, out->filter_misses);
    out->index_misses = fetched + shl_meta_cache_noted(c, SHL_META_INDEX_LOADED);
    out->index_hits = out->filter_positive - shl_min_u64(out->filter_positive, fetched) +
                      shl_meta_cache_noted(c, SHL_META_HELD);
    out->cache_errors = shl_meta_cache_noted(c, SHL_META_FAILED);
}

void shl_lsm_metrics(struct shl_lsm *db, struct shl_lsm_metrics *out)
{
    struct shl_version *v = shl_lsm_version(db);
    struct shl_cache_counts cache;
    shl_cache_count(db->cache, &cache);
    *out = (struct shl_lsm_metrics){
        .gets = shl_epoch_counted(db->epoch, SHL_COUNT_GETS),
        .scans = env_load_relaxed(&db->scans),
        .filter_positive = shl_epoch_counted(db->epoch, SHL_COUNT_FILTER_POSITIVE),
        .filter_negative = shl_epoch_counted(db->epoch, SHL_COUNT_FILTER_NEGATIVE),
        .prefix_positive = shl_epoch_counted(db->epoch, SHL_COUNT_PREFIX_POSITIVE),
        .prefix_negative = shl_epoch_counted(db->epoch, SHL_COUNT_PREFIX_NEGATIVE),
        .filter_false = shl_epoch_counted(db->epoch, SHL_COUNT_FILTER_FALSE),
        .operands_read = shl_epoch_counted(db->epoch, SHL_COUNT_OPERANDS),
        .cache_hits = cache.hits,
        .cache_misses = cache.misses};
    count_levels(v->levels, out);
    shl_version_unref(v);
    count_metas(db->metas, out);
    env_mutex_lock(&db->mu);
    out->counts = db->counts;
    out->gc = db->gc_counts;
    out->wal_buffer_bytes = db->unflushed_wal_bytes;
    out->conflict_log_bytes = db->conflicts.bytes;
    out->snapshots = count_pins(&db->snapshots);
    out->open_transactions = count_pins(&db->txns);
    env_mutex_unlock(&db->mu);
    out->has_collector = db->writer && db->settings.gc.enabled;
    out->has_compactor = db->compactor != NULL;
    if (out->has_compactor)
        shl_compactor_count(db->compactor, &out->compactor);
}
