/* Open and close a handle. slatedb-behaviour 2; slatedb-format 7.3. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/compactor/compactor.h"
#include <inttypes.h>

#define PIECES_KEPT_BYTES ((size_t)12 << 20) /* a WAL object and a part on their way */

/* ---------------------------------------------------------------- the empty handle */

static void init_sync(struct shl_lsm *db)
{
    env_mutex_init(&db->mu);
    env_mutex_init(&db->refresh_mu);
    env_cond_init(&db->wal_cond);
    env_cond_init(&db->flush_cond);
    env_cond_init(&db->progress_cond);
    env_cond_init(&db->compact_cond);
    env_cond_init(&db->poll_cond);
    env_cond_init(&db->gc_cond);
    env_cond_init(&db->manifest_cond);
    env_cond_init(&db->status_cond);
    db->changes = 1;
}

static void deinit_sync(struct shl_lsm *db)
{
    env_cond_deinit(&db->wal_cond);
    env_cond_deinit(&db->flush_cond);
    env_cond_deinit(&db->progress_cond);
    env_cond_deinit(&db->compact_cond);
    env_cond_deinit(&db->poll_cond);
    env_cond_deinit(&db->gc_cond);
    env_cond_deinit(&db->manifest_cond);
    env_cond_deinit(&db->status_cond);
    shl_conflict_log_deinit(&db->conflicts);
    shl_segment_set_deinit(&db->segments);
    env_mutex_deinit(&db->refresh_mu);
    env_mutex_deinit(&db->mu);
}

/* No task runs any more. */
void shl_lsm_handle_free(struct shl_lsm *db)
{
    struct shl_version *v = env_load_relaxed(&db->version);
    shl_compactor_free(db->compactor);
    shl_fanout_free(db->tasks); /* what was given up may still run, and uses all the rest */
    while (db->frozen_head != NULL) {
        struct shl_frozen *next = db->frozen_head->next;
        shl_frozen_free(db->frozen_head);
        db->frozen_head = next;
    }
    if (v != NULL)
        shl_version_unref(v);
    shl_levels_unref(db->looked_at);
    shl_memtable_unref(db->spare);
    shl_mem_pool_close(db->arenas);
    shl_piece_pool_free(db->pieces);
    shl_seq_tracker_deinit(&db->tracker);
    shl_log_chunks_free(db->commit_log.head);
    shl_manifest_free(db->manifest);
    if (db->epoch != NULL)
        (void)shl_epoch_collect(
            db->epoch); /* retired versions let go of their SSTs, which leave the cache */
    shl_meta_cache_free(db->metas);
    shl_cache_free(db->cache);
    shl_epoch_free(db->epoch);
    shl_db_paths_deinit(&db->paths);
    env_free(db->path);
    shl_array_free(&db->wal_listed.items);
    shl_store_unref(db->store);
    shl_store_unref(db->wal_store);
    env_free(db->checkpoint);
    env_free(db->flush_tasks);
    deinit_sync(db);
    env_free(db);
}

/* Where requests are worth being made at once. */
static shale_code start_fanout(struct shl_lsm *db, shale_error *err)
{
    bool near = (db->store->caps & SHL_STORE_NEAR) != 0;
    bool wal_near = (db->wal_store->caps & SHL_STORE_NEAR) != 0;
    if (near && wal_near)
        return SHALE_OK;
    shale_code rc = shl_fanout_new(&db->tasks, err);
    if (!near)
        db->fanout = db->tasks;
    if (!wal_near)
        db->wal_fanout = db->tasks;
    return rc;
}

shale_code shl_lsm_handle_new(const struct shl_lsm_open *o, bool writer, struct shl_lsm **out,
                              shale_error *err)
{
    shale_code rc =
        shl_lsm_settings_check(o->settings, writer ? SHL_LSM_WRITES : SHL_LSM_READS, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_lsm *db = env_calloc(1, sizeof *db);
    if (db == NULL)
        return shl_nomem(err);
    init_sync(db);
    db->writer = writer;
    db->settings = *o->settings;
    db->conflicts.max_bytes = (size_t)o->settings->transaction_log_bytes;
    db->log = o->log;
    if (o->merge != NULL) {
        db->merge = *o->merge;
        db->has_merge = true;
    }
    if (o->transformer != NULL) {
        db->transformer = *o->transformer;
        db->has_transformer = true;
    }
    if (o->filter != NULL) {
        db->filter = *o->filter;
        db->has_filter = true;
    }
    db->gc_filter = o->gc_filter;
    db->cancelled = o->cancelled;
    db->cancel_ctx = o->cancel_ctx;
    if (o->tracer != NULL)
        db->tracer = *o->tracer;
    db->scheduler = o->scheduler != NULL ? *o->scheduler : shl_scheduler_of(&db->settings);
    db->store = shl_store_ref(o->store);
    db->wal_store = shl_store_ref(o->wal_store != NULL ? o->wal_store : o->store);
    db->near = (db->store->caps & db->wal_store->caps & SHL_STORE_NEAR) != 0;
    db->put_is_free = (db->wal_store->caps & SHL_STORE_PUT_IS_FREE) != 0;
    atomic_init(&db->closed, SHALE_OK);
    SHL_TRY(start_fanout(db, err));
    SHL_TRY(shl_db_paths_init(&db->paths, o->path, err));
    db->path = env_strdup(o->path);
    if (db->path == NULL)
        SHL_TRY(shl_nomem(err));
    if (writer) {
        SHL_TRY(shl_mem_pool_new(shl_lsm_arena_limit(&db->settings), &db->arenas, err));
        SHL_TRY(shl_piece_pool_new(PIECES_KEPT_BYTES, &db->pieces, err));
    }
    SHL_TRY(shl_epoch_new(&db->epoch, err));
    SHL_TRY(shl_cache_new(db->settings.block_cache_bytes, db->epoch, &db->cache, err));
    SHL_TRY(shl_meta_cache_new(db->settings.meta_cache_bytes, &db->metas, err));
    db->context =
        (struct shl_sst_context){.epoch = db->epoch,
                                 .cache = db->cache,
                                 .metas = db->metas,
                                 .transformer = db->has_transformer ? &db->transformer : NULL,
                                 .policies = &db->settings.filter,
                                 .policy_count = 1,
                                 .user_filters = o->user_filters};
    db->level_source =
        (struct shl_level_source){.context = &db->context, .store = db->store, .paths = &db->paths};
    shl_sequenced_init(&db->manifests, db->store, &db->paths, "manifest", db->fanout);
    *out = db;
    db = NULL;
out:
    if (db != NULL)
        shl_lsm_handle_free(db);
    return rc;
}

/* The first version: an empty memtable over the levels of db->manifest. */
static shale_code install_first(struct shl_lsm *db, shale_error *err)
{
    struct shl_memtable *active = NULL;
    struct shl_levels *levels = NULL;
    struct shl_version *v;
    shale_code rc;
    SHL_TRY(shl_lsm_build_levels(db, &levels, err));
    SHL_TRY(shl_memtable_new(db->arenas, &active, err));
    SHL_TRY(shl_version_new(db->epoch, active, NULL, 0, levels, &v, err));
    env_store_seq(&db->version, v);
    shl_levels_unref(db->looked_at);
    db->looked_at = NULL;
out:
    shl_memtable_unref(active);
    shl_levels_unref(levels);
    return rc;
}

/* ---------------------------------------------------------------- checks of what is stored */

/* The extractor gives each stored prefix back. That is also why a write with one of ours needs no test whether its segment and another one are prefixes of
 * each other: they never give a prefix and a longer one that begins with it, neither fixed lengths nor "up to the first /". */
static shale_code check_segments(const struct shl_lsm *db, const struct shl_manifest *m,
                                 shale_error *err)
{
    const struct shl_extractor *x = &db->settings.segment_extractor;
    for (size_t i = 0; i < m->segments.count; i++) {
        struct shl_slice prefix = shl_buf_view(&m->segments.items[i].prefix);
        size_t len = 0;
        if (!shl_extractor_prefix_of_all(x, prefix, &len) || len != prefix.len)
            return shl_fail(err, SHALE_INVALID,
                            "\"%s\" has a segment whose prefix of %zu bytes segment extractor %s "
                            "does not give (%zu bytes)",
                            db->paths.r1, prefix.len, x->name, len);
    }
    return SHALE_OK;
}

static shale_code check_extractor(const struct shl_lsm *db, const struct shl_manifest *m,
                                  shale_error *err)
{
    const struct shl_extractor *x = &db->settings.segment_extractor;
    bool given = x->kind != SHL_EXTRACT_NONE;
    if (given && m->segment_extractor_name == NULL)
        return shl_fail(
            err, SHALE_INVALID,
            "segment extractor %s was given, but \"%s\" was made without one and cannot get one",
            x->name, db->paths.r1);
    if (given && strcmp(x->name, m->segment_extractor_name) != 0)
        return shl_fail(err, SHALE_INVALID,
                        "segment extractor %s was given, but \"%s\" was made with %s", x->name,
                        db->paths.r1, m->segment_extractor_name);
    /* Readers find segments by their stored prefixes; only a writer needs the function itself. */
    if (db->writer && !given && m->segment_extractor_name != NULL)
        return shl_fail(err, SHALE_INVALID,
                        "\"%s\" was made with segment extractor %s: give it to open it for writing",
                        db->paths.r1, m->segment_extractor_name);
    return given ? check_segments(db, m, err) : SHALE_OK;
}

shale_code shl_lsm_check_manifest(const struct shl_lsm *db, const struct shl_manifest *m,
                                  shale_error *err)
{
    if (!m->initialized)
        return shl_fail(err, SHALE_CORRUPTION,
                        "\"%s\" is a clone that was never finished (manifest %" PRIu64 ")",
                        db->paths.r1, db->manifests.id);
    if (m->stored_version == 1 && (m->wal_object_store_uri != NULL) != (db->wal_store != db->store))
        return shl_fail(err, SHALE_INVALID, "\"%s\" keeps its WAL in %s: set wal_url accordingly",
                        db->paths.r1,
                        m->wal_object_store_uri != NULL ? "another store" : "the same store");
    return check_extractor(db, m, err);
}

/* ---------------------------------------------------------------- tasks */

static shale_code spawn(struct env_task **out, const char *name, void (*fn)(void *),
                        struct shl_lsm *db, shale_error *err)
{
    shale_code rc = env_task_spawn(out, name, fn, db);
    if (rc == SHALE_OK)
        return rc;
    *out = NULL;
    return rc == SHALE_NOMEM ? shl_nomem(err)
                             : shl_fail(err, rc, "cannot start the thread %s", name);
}

/* If settings ask for it. What is there now is not new. */
static shale_code start_warming(struct shl_lsm *db, shale_error *err)
{
    if (!shl_lsm_warms(db))
        return SHALE_OK;
    shl_warm_begin(db);
    return spawn(&db->warm_task, "shale-warm", shl_warm_task, db, err);
}

static shale_code start_flushers(struct shl_lsm *db, shale_error *err)
{
    db->flush_tasks = env_calloc(db->settings.l0_flush_parallelism, sizeof(struct env_task *));
    if (db->flush_tasks == NULL)
        return shl_nomem(err);
    for (uint32_t i = 0; i < db->settings.l0_flush_parallelism; i++) {
        shale_code rc = spawn(&db->flush_tasks[i], "shale-flush", shl_flush_task, db, err);
        if (rc != SHALE_OK)
            return rc;
        db->flush_task_count++;
    }
    return SHALE_OK;
}

static void join(struct env_task **task)
{
    if (*task != NULL)
        env_task_join(*task);
    *task = NULL;
}

/* All tasks were told to end. */
static void join_all(struct shl_lsm *db)
{
    join(&db->wal_task);
    for (size_t i = 0; i < db->flush_task_count; i++)
        join(&db->flush_tasks[i]);
    join(&db->compact_task);
    join(&db->poll_task);
    join(&db->gc_task);
    join(&db->warm_task);
}

static void stop_hard(struct shl_lsm *db)
{
    shale_error closed = {0};
    (void)shl_fail(&closed, SHALE_CLOSED, "the database was closed");
    env_mutex_lock(&db->mu);
    db->stopping = true;
    shl_lsm_fail_locked(db, &closed);
    env_mutex_unlock(&db->mu);
    join_all(db);
}

/* ---------------------------------------------------------------- open */

static void start_clocks(struct shl_lsm *db, uint64_t fence)
{
    uint64_t now = env_now_mono_ns();
    env_mutex_lock(&db->mu);
    db->last_wal_id = fence;
    db->active_first_wal_id = fence;
    db->wal_tokens = 600; /* full at open */
    db->wal_token_time_ns = db->wal_next_tick_ns = now;
    env_mutex_unlock(&db->mu);
}

/* SST ids must not run behind those that are there, whatever the clock says. */
static void note_newest_ulid(struct shl_lsm *db)
{
    struct shl_version *v = shl_lsm_version(db);
    for (size_t i = 0; i < v->levels->sst_count; i++) {
        struct shl_ulid id = shl_sst_describe(v->levels->ssts[i].sst)->id;
        if (shl_ulid_cmp(id, db->last_ulid) > 0)
            db->last_ulid = id;
    }
    for (size_t i = 0; i < v->levels->manifest->segments.count; i++) {
        const struct shl_tree *t = &v->levels->manifest->segments.items[i].tree;
        if (t->has_watermark && shl_ulid_cmp(t->watermark, db->last_ulid) > 0)
            db->last_ulid = t->watermark;
    }
    const struct shl_tree *root = &v->levels->manifest->root;
    if (root->has_watermark && shl_ulid_cmp(root->watermark, db->last_ulid) > 0)
        db->last_ulid = root->watermark;
    shl_version_unref(v);
}

static shale_code note_segments(struct shl_lsm *db, shale_error *err)
{
    bool ignored;
    shale_code rc = SHALE_OK;
    if (db->settings.segment_extractor.kind != SHL_EXTRACT_USER)
        return SHALE_OK;
    for (size_t i = 0; i < db->manifest->segments.count && rc == SHALE_OK; i++)
        rc = shl_segment_set_add(
            &db->segments, shl_buf_view(&db->manifest->segments.items[i].prefix), &ignored, err);
    return rc;
}

shale_code shl_lsm_open_writer(const struct shl_lsm_open *o, struct shl_lsm **out, shale_error *err)
{
    struct shl_lsm *db = NULL;
    struct shl_wal_fetch *objects = NULL;
    uint64_t fence, first;
    shale_code rc = shl_lsm_handle_new(o, true, &db, err);
    if (rc != SHALE_OK)
        return rc;
    SHL_TRY(shl_lsm_take_over(db, o, &fence, &objects, err));
    SHL_TRY(install_first(db, err));
    note_newest_ulid(db);
    SHL_TRY(note_segments(db, err));
    db->last_seq = db->durable_wal_seq = db->manifest->last_l0_seq;
    env_store_relaxed(&db->last_tick, db->manifest->last_l0_clock_tick);
    db->last_wal_id = db->active_first_wal_id = db->manifest->replay_after_wal_id;
    env_store_release(&db->committed_seq, db->last_seq);
    env_store_release(&db->durable_seq, db->last_seq);
    first = db->manifest->replay_after_wal_id + 1; /* the uploaders own the manifest from here on */
    /* All of them before the replay: it may have to wait for room in L0, which our compactor or another one makes. */
    SHL_TRY(start_flushers(db, err));
    db->compact_due = true;
    if (db->settings.compactor_enabled) {
        SHL_TRY(shl_lsm_compactor_new(db, err));
        SHL_TRY(spawn(&db->compact_task, "shale-compact", shl_compact_task, db, err));
    }
    SHL_TRY(spawn(&db->poll_task, "shale-poll", shl_poll_task, db, err));
    SHL_TRY(shl_lsm_replay(db, objects, first, fence, err));
    start_clocks(db, fence);
    SHL_TRY(spawn(&db->wal_task, "shale-wal", shl_wal_task, db, err));
    if (db->settings.gc.enabled)
        SHL_TRY(spawn(&db->gc_task, "shale-gc", shl_gc_task_main, db, err));
    SHL_TRY(start_warming(db, err));
    shl_log_write(db->log, SHL_LOG_INFO,
                  "opened as writer epoch=%" PRIu64 " fence=%" PRIu64 " seq=%" PRIu64,
                  db->writer_epoch, fence, env_load_relaxed(&db->committed_seq));
    *out = db;
    db = NULL;
out:
    shl_wal_fetch_free(objects);
    if (db != NULL) {
        stop_hard(db);
        shl_lsm_handle_free(db);
    }
    return rc;
}

static shale_code reader_start(struct shl_lsm *db, const struct shl_lsm_reader *how,
                               shale_error *err)
{
    shale_code rc;
    bool changed;
    SHL_TRY(shl_lsm_first_lists(db, !db->settings.skip_wal_replay, err));
    rc = shl_lsm_refresh_manifest(db, &changed, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, rc, "no database here: %s has no %s%smanifest/", db->store->name,
                      db->paths.r1, db->paths.r1[0] != '\0' ? "/" : "");
    if (rc != SHALE_OK)
        goto out;
    if (how->mode == SHL_READER_CHECKPOINT)
        SHL_TRY(shl_lsm_pin_checkpoint(db, how->checkpoint, err));
    SHL_TRY(shl_lsm_check_manifest(db, db->manifest, err));
    if (how->mode == SHL_READER_MANAGED)
        SHL_TRY(shl_lsm_managed_open(db, err));
    SHL_TRY(shl_lsm_reader_install(db, err));
out:
    return rc;
}

shale_code shl_lsm_open_reader(const struct shl_lsm_open *o, const struct shl_lsm_reader *how,
                               struct shl_lsm **out, shale_error *err)
{
    struct shl_lsm *db = NULL;
    shale_code rc = shl_lsm_handle_new(o, false, &db, err);
    if (rc != SHALE_OK)
        return rc;
    db->settings.skip_wal_replay = db->settings.skip_wal_replay || how->skip_wal_replay;
    SHL_TRY(reader_start(db, how, err));
    db->follow = (how->follow && how->mode == SHL_READER_LATEST) || db->managed;
    if (db->follow) {
        SHL_TRY(spawn(&db->poll_task, "shale-poll", shl_poll_task, db, err));
        SHL_TRY(start_warming(db, err));
    }
    *out = db;
    db = NULL;
out:
    if (db != NULL) {
        stop_hard(db);
        shl_lsm_managed_close(db);
        shl_lsm_handle_free(db);
    }
    return rc;
}

/* ---------------------------------------------------------------- close */

static shale_code edit_final(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                             shale_error *err)
{
    (void)arg;
    (void)err;
    m->wal_id_last_seen = shl_max_u64(m->wal_id_last_seen, db->last_wal_id);
    m->recent_snapshot_min_seq = m->last_l0_seq;
    return SHALE_OK;
}

/* No task runs any more. */
static shale_code write_final_manifest(struct shl_lsm *db, shale_error *err)
{
    return shl_lsm_update_manifest(db, edit_final, NULL,
                                   err); /* where others wrote, it loses the put, and then looks */
}

/* The rows in memory are to go to L0. Without the memory for it they stay in the WAL. */
static void freeze_last_locked(struct shl_lsm *db)
{
    shale_error ignored;
    shale_code rc = shl_lsm_freeze_locked(db, &ignored);
    for (int tries = 0; rc != SHALE_OK && tries < 100; tries++) {
        env_mutex_unlock(&db->mu);
        env_sleep_ns(10 * ENV_NS_PER_MS);
        env_mutex_lock(&db->mu);
        rc = shl_lsm_freeze_locked(db, &ignored);
    }
    if (rc != SHALE_OK && !db->settings.wal_enabled)
        shl_lsm_fail_locked(db, &ignored);
}

static shale_code close_writer(struct shl_lsm *db, enum shl_lsm_close what, shale_error *err)
{
    env_mutex_lock(&db->mu);
    bool failed_before = env_load_relaxed(&db->closed) != SHALE_OK;
    if (!failed_before && what == SHL_CLOSE_MEMTABLE)
        shl_lsm_compact_before_closing_locked(db);
    if (!failed_before && (what == SHL_CLOSE_MEMTABLE || !db->settings.wal_enabled))
        freeze_last_locked(db);
    db->stopping = true;
    env_cond_broadcast(&db->wal_cond);
    env_cond_broadcast(&db->flush_cond);
    env_cond_broadcast(&db->progress_cond);
    env_cond_broadcast(&db->compact_cond);
    env_cond_broadcast(&db->poll_cond);
    env_cond_broadcast(&db->gc_cond);
    env_cond_broadcast(&db->status_cond);
    env_mutex_unlock(&db->mu);
    join_all(db);
    shale_code rc = shl_lsm_check(db, err);
    if (rc == SHALE_FENCED)
        shl_lsm_drop_orphans(db);
    if (failed_before)
        return SHALE_OK;
    if (rc == SHALE_OK)
        rc = write_final_manifest(db, err);
    return rc;
}

shale_code shl_lsm_close(struct shl_lsm *db, shale_error *err)
{
    return shl_lsm_close_with(db, SHL_CLOSE_MEMTABLE, err);
}

shale_code shl_lsm_close_with(struct shl_lsm *db, enum shl_lsm_close what, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (db == NULL)
        return SHALE_OK;
    if (db->writer && what != SHL_CLOSE_NOTHING) {
        rc = close_writer(db, what, err);
    } else {
        stop_hard(db);
        shl_lsm_managed_close(db);
    }
    shl_lsm_handle_free(db);
    return rc;
}
