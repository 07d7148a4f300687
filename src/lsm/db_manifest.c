/* Updates of the manifest by this process, merged with what others wrote. slatedb-format 4 "Merge rules", slatedb-behaviour 5. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include <inttypes.h>

void shl_manifest_turn_begin(struct shl_lsm *db)
{
    env_mutex_lock(&db->mu);
    while (db->manifest_busy)
        env_cond_wait(&db->manifest_cond, &db->mu);
    db->manifest_busy = true;
    env_mutex_unlock(&db->mu);
}

void shl_manifest_turn_end(struct shl_lsm *db)
{
    env_mutex_lock(&db->mu);
    SHL_ASSERT(db->manifest_busy);
    db->manifest_busy = false;
    env_cond_signal(&db->manifest_cond);
    env_mutex_unlock(&db->mu);
}

static shale_code check_epochs(const struct shl_lsm *db, const struct shl_manifest *stored,
                               shale_error *err)
{
    if (db->writer_epoch != 0 && stored->writer_epoch > db->writer_epoch)
        return shl_fail(err, SHALE_FENCED,
                        "fenced: another process opened \"%s\" as writer (epoch %" PRIu64
                        ", ours is %" PRIu64 ")",
                        db->paths.r1, stored->writer_epoch, db->writer_epoch);
    return SHALE_OK;
}

/* Whether view v of our list is the newest one that the compactor took. Version 1 manifests name the SST. */
static bool is_watermark(const struct shl_tree *stored, const struct shl_sst_view *v)
{
    return stored->has_watermark &&
           (shl_ulid_eq(stored->watermark, v->id) || shl_ulid_eq(stored->watermark, v->sst->id));
}

/* The stored tree's runs and watermark with our L0s that are newer than the watermark. `ours` NULL: we have none. */
static shale_code merge_tree(struct shl_tree *stored, const struct shl_tree *ours, shale_error *err)
{
    shl_sst_views l0 = {0};
    shale_code rc = SHALE_OK;
    for (size_t i = 0;
         ours != NULL && i < ours->l0.count && !is_watermark(stored, &ours->l0.items[i]); i++) {
        struct shl_sst_view copy;
        if (!shl_array_reserve(&l0, 1))
            rc = shl_nomem(err);
        else
            rc = shl_sst_view_copy(&ours->l0.items[i], &copy, err);
        if (rc != SHALE_OK)
            break;
        shl_array_add(&l0, copy);
    }
    if (rc == SHALE_OK) {
        shl_sst_views swap = stored->l0;
        stored->l0 = l0;
        l0 = swap;
    }
    for (size_t i = 0; i < l0.count; i++)
        shl_sst_view_deinit(&l0.items[i]);
    shl_array_free(&l0);
    return rc;
}

static bool tree_is_empty(const struct shl_tree *t)
{
    return t->l0.count == 0 && t->runs.count == 0;
}

/* The writer does it, and nobody else: in a merge, and when it writes what its own compactor left. */
static void remove_empty_segments(struct shl_manifest *m)
{
    for (size_t i = m->segments.count; i-- > 0;)
        if (tree_is_empty(&m->segments.items[i].tree))
            shl_manifest_remove_segment(m, i);
}

static shale_code copy_writer_fields(struct shl_manifest *to, const struct shl_manifest *ours,
                                     shale_error *err)
{
    to->initialized = ours->initialized;
    to->replay_after_wal_id = ours->replay_after_wal_id;
    to->wal_id_last_seen = ours->wal_id_last_seen;
    to->last_l0_clock_tick = ours->last_l0_clock_tick;
    to->last_l0_seq = ours->last_l0_seq;
    to->recent_snapshot_min_seq = ours->recent_snapshot_min_seq;
    to->has_sequence_tracker = ours->has_sequence_tracker;
    return shl_buf_set(&to->sequence_tracker, shl_buf_view(&ours->sequence_tracker), err);
}

/* The writer's merge: `stored` becomes what the next manifest is made from. */
static shale_code merge_writer(struct shl_manifest *stored, struct shl_manifest *ours,
                               shale_error *err)
{
    shale_code rc = merge_tree(&stored->root, &ours->root, err);
    for (size_t i = 0; rc == SHALE_OK && i < ours->segments.count; i++) {
        struct shl_segment *s = &ours->segments.items[i], *there;
        there = shl_manifest_segment(stored, shl_buf_view(&s->prefix));
        if (there == NULL)
            rc = shl_manifest_add_segment(stored, shl_buf_view(&s->prefix), &there, err);
    }
    for (size_t i = 0; rc == SHALE_OK && i < stored->segments.count; i++) {
        struct shl_segment *s = &stored->segments.items[i];
        struct shl_segment *mine = shl_manifest_segment(ours, shl_buf_view(&s->prefix));
        rc = merge_tree(&s->tree, mine != NULL ? &mine->tree : NULL, err);
    }
    if (rc == SHALE_OK)
        remove_empty_segments(stored);
    if (rc == SHALE_OK)
        rc = copy_writer_fields(stored, ours, err);
    if (rc == SHALE_OK)
        shl_manifest_prune_external(stored);
    return rc;
}

shale_code shl_lsm_refresh_manifest(struct shl_lsm *db, bool *changed, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_manifest *stored = NULL;
    uint64_t before = db->manifests.id;
    shale_code rc;

    env_mutex_lock(&db->mu);
    db->counts.manifest_refreshes++;
    env_mutex_unlock(&db->mu);
    SHL_TRY(shl_sequenced_load(&db->manifests, &body, changed, err));
    if (!*changed)
        goto out;
    rc = shl_manifest_decode(shl_buf_view(&body), &stored, err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", db->paths.r1, db->manifests.id);
        goto out;
    }
    SHL_TRY(check_epochs(db, stored, err));
    /* Before the epoch is ours, the stored state is the only truth: a writer may still be at work. */
    if (db->writer && db->writer_epoch != 0 && db->manifest != NULL)
        SHL_TRY(merge_writer(stored, db->manifest, err));
    shl_manifest_free(db->manifest);
    db->manifest = stored;
    stored = NULL;
out:
    /* The id says which state db->manifest is: were it left at one that we did not adopt (fenced, out of memory), our next write would
     * not collide and would undo what is there. */
    if (rc != SHALE_OK)
        db->manifests.id = before;
    shl_manifest_free(stored);
    shl_buf_free(&body);
    return rc;
}

shale_code shl_lsm_put_manifest(struct shl_lsm *db, shl_manifest_edit edit, void *arg,
                                struct shl_manifest **out, shale_error *err)
{
    struct shl_manifest *next = NULL;
    struct shl_buf body = {0};
    shale_code rc;
    SHL_TRY(shl_manifest_clone(db->manifest, &next, err));
    SHL_TRY(edit(db, next, arg, err));
    if (db->writer)
        remove_empty_segments(next);
    SHL_TRY(shl_manifest_encode(next, &body, err));
    SHL_TRY(shl_sequenced_put(&db->manifests, shl_buf_view(&body), err));
    *out = next;
    next = NULL;
out:
    shl_manifest_free(next);
    shl_buf_free(&body);
    return rc;
}

void shl_lsm_adopt_manifest(struct shl_lsm *db, struct shl_manifest *take_next)
{
    shl_manifest_free(db->manifest);
    db->manifest = take_next;
}

shale_code shl_lsm_lost_manifest(struct shl_lsm *db, uint64_t deadline_ns, shale_error *err)
{
    bool changed;
    if (env_now_mono_ns() >= deadline_ns)
        return shl_fail(err, SHALE_TIMEOUT,
                        "manifest of \"%s\": other processes kept winning the write", db->paths.r1);
    return shl_lsm_refresh_manifest(db, &changed, err);
}

uint64_t shl_lsm_manifest_deadline(const struct shl_lsm *db)
{
    return env_now_mono_ns() + db->settings.manifest_update_timeout_ns;
}

shale_code shl_lsm_update_manifest(struct shl_lsm *db, shl_manifest_edit edit, void *arg,
                                   shale_error *err)
{
    uint64_t deadline = shl_lsm_manifest_deadline(db);
    for (;;) {
        struct shl_manifest *next = NULL;
        shale_code rc = shl_lsm_put_manifest(db, edit, arg, &next, err);
        if (rc == SHALE_OK)
            rc = shl_sequenced_confirm(&db->manifests, err);
        if (rc == SHALE_OK) {
            shl_lsm_adopt_manifest(db, next);
            return SHALE_OK;
        }
        shl_manifest_free(next);
        if (rc == SHALE_DONE)
            return SHALE_OK;
        if (rc == SHALE_PRECONDITION)
            rc = shl_lsm_lost_manifest(db, deadline, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

shale_code shl_lsm_build_levels(struct shl_lsm *db, struct shl_levels **out, shale_error *err)
{
    struct shl_manifest *copy;
    struct shl_version *v = env_load_relaxed(&db->version) != NULL ? shl_lsm_version(db) : NULL;
    shale_code rc = shl_manifest_clone(db->manifest, &copy, err);
    if (rc == SHALE_OK)
        rc = shl_levels_new(&db->level_source, copy, db->manifests.id,
                            v != NULL ? v->levels : db->looked_at, out, err);
    if (v != NULL)
        shl_version_unref(v);
    return rc;
}

shale_code shl_lsm_show_manifest(struct shl_lsm *db, shale_error *err)
{
    struct shl_levels *levels = NULL;
    struct shl_version *v = shl_lsm_version(db);
    bool is_shown = v->levels->manifest_id == db->manifests.id;
    shl_version_unref(v);
    if (is_shown)
        return SHALE_OK;
    shale_code rc = shl_lsm_build_levels(db, &levels, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_lock(&db->mu);
    v = env_load_relaxed(&db->version);
    rc = shl_lsm_install_locked(db, v->active, levels, 0, NULL, err);
    if (rc == SHALE_OK) {
        env_cond_broadcast(&db->flush_cond);
        env_cond_broadcast(&db->progress_cond);
    }
    env_mutex_unlock(&db->mu);
    shl_levels_unref(levels);
    (void)shl_epoch_collect(db->epoch); /* blocks of SSTs that are gone still count in the cache */
    return rc;
}
