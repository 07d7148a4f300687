/* Back to a checkpoint. It is done by a writer of its own, step by step:
 *
 *   epoch, fence          as at any open: the writer before cannot make anything durable any more
 *   manifest              the compactor's epoch is taken too, for one that goes on would put its runs into the restored tree; and a checkpoint keeps all
 *                         that was durable, WAL objects below the fence included
 *   compactions file      jobs that are not finished are given up: they name runs of the tree that goes
 *   SST                   rows that the checkpoint has in WAL objects only. Those objects cannot be replayed again without the later ones behind them
 *   manifest              the trees of the checkpoint with that SST in front. The replay boundary is the fence, so that no WAL object is replayed into them, and
 *                         last_l0_seq stays above every seq that was ever used, so that none is used twice and a row that strayed would be dropped
 *
 * Until the last step the database is as it was, and everything may be cut off and begun again. */
#include "lsm/db_internal.h"

#include "base/num.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/format/compactions.h"
#include <inttypes.h>

struct restore {
    struct shl_lsm *db;
    uint64_t fence;
    uint64_t compactor_epoch;
    struct shl_checkpoint_want undo;
    struct shl_ulid checkpoint;
    uint64_t checkpoint_manifest_id;
    struct shl_manifest *wanted; /* owned: the checkpoint's */
    uint64_t last_seq;           /* newest of all that was ever durable */
    int64_t last_tick;
    struct shl_frozen rows; /* of the checkpoint's WAL objects */
};

/* ---------------------------------------------------------------- what is there */

/* The rows of the WAL that goes: only their seqs count from here on. */
static shale_code note_newest_rows(struct restore *r, struct shl_wal_fetch *objects,
                                   shale_error *err)
{
    shale_code rc = SHALE_OK;
    r->last_seq = r->db->manifest->last_l0_seq;
    r->last_tick = r->db->manifest->last_l0_clock_tick;
    while (rc == SHALE_OK) {
        struct shl_wal_file f = {0};
        uint64_t id;
        rc = shl_wal_fetch_next(objects, &id, &f, err);
        for (size_t i = 0; rc == SHALE_OK && i < f.count; i++) {
            r->last_seq = shl_max_u64(r->last_seq, f.rows[i].seq);
            if ((f.rows[i].flags & SHL_ROW_HAS_CREATE) != 0)
                r->last_tick = shl_max_i64(r->last_tick, f.rows[i].create_ts);
        }
        shl_wal_file_deinit(&f);
    }
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

static void note_ulids(struct shl_lsm *db, const struct shl_tree *t)
{
    for (size_t i = 0; i < t->l0.count; i++)
        if (shl_ulid_cmp(t->l0.items[i].sst->id, db->last_ulid) > 0)
            db->last_ulid = t->l0.items[i].sst->id;
    if (t->has_watermark && shl_ulid_cmp(t->watermark, db->last_ulid) > 0)
        db->last_ulid = t->watermark;
}

/* A new SST must not be older than what was published, or the collector takes it before it is in a manifest. */
static void note_manifest_ulids(struct shl_lsm *db, const struct shl_manifest *m)
{
    note_ulids(db, &m->root);
    for (size_t i = 0; i < m->segments.count; i++)
        note_ulids(db, &m->segments.items[i].tree);
}

/* Parents of whom the checkpoint has no SST: collectors let go of them. */
static void drop_idle_externals(struct shl_manifest *m)
{
    shl_manifest_prune_external(m);
    for (size_t i = m->external_dbs.count; i-- > 0;)
        if (m->external_dbs.items[i].sst_ids.count == 0)
            shl_manifest_remove_external(m, i);
}

static shale_code load_checkpoint(struct restore *r, const char *checkpoint, shale_error *err)
{
    struct shl_lsm *db = r->db;
    struct shl_buf body = {0};
    const struct shl_checkpoint *found;
    shale_code rc;
    SHL_TRY(shl_checkpoint_find(db->manifest, checkpoint, db->paths.r1, &found, err));
    r->checkpoint = found->id;
    r->checkpoint_manifest_id = found->manifest_id;
    SHL_TRY(shl_sequenced_read(&db->manifests, found->manifest_id, &body, err));
    rc = shl_manifest_decode(shl_buf_view(&body), &r->wanted, err);
    if (rc == SHALE_OK)
        drop_idle_externals(r->wanted);
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", db->paths.r1,
                       r->checkpoint_manifest_id);
out:
    shl_buf_free(&body);
    return rc;
}

/* ---------------------------------------------------------------- nobody else writes, and the state before is kept */

static shale_code edit_prepare(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                               shale_error *err)
{
    struct restore *r = arg;
    uint64_t manifest_id;
    m->wal_id_last_seen = shl_max_u64(m->wal_id_last_seen, r->fence);
    r->compactor_epoch = ++m->compactor_epoch;
    (void)shl_checkpoint_remove(m, r->undo.id); /* of a write whose answer was lost */
    return shl_checkpoint_add(m, db->manifests.id + 1, &r->undo, &manifest_id, err);
}

static shale_code load_compactions(struct shl_sequenced *q, struct shl_compactions **out,
                                   shale_error *err)
{
    struct shl_buf body = {0};
    bool changed;
    shale_code rc = shl_sequenced_load(q, &body, &changed, err);
    if (rc == SHALE_OK)
        rc = shl_compactions_decode(shl_buf_view(&body), out, err);
    shl_buf_free(&body);
    return rc;
}

static shale_code give_up_jobs(struct restore *r, shale_error *err)
{
    struct shl_lsm *db = r->db;
    for (;;) {
        struct shl_compactions *c = NULL;
        struct shl_buf body = {0};
        struct shl_sequenced q;
        shl_sequenced_init(&q, db->store, &db->paths, "compactions", NULL);
        shale_code rc = load_compactions(&q, &c, err);
        if (rc == SHALE_NOT_FOUND)
            return SHALE_OK; /* nobody ever compacted */
        if (rc == SHALE_OK && c->compactor_epoch > r->compactor_epoch)
            rc = shl_fail(err, SHALE_CONFLICT,
                          "a compactor took over (epoch %" PRIu64 ", ours is %" PRIu64
                          "): stop it first",
                          c->compactor_epoch, r->compactor_epoch);
        for (size_t i = 0; rc == SHALE_OK && i < c->jobs.count; i++)
            if (c->jobs.items[i].status != SHL_COMPACTION_COMPLETED)
                c->jobs.items[i].status = SHL_COMPACTION_FAILED;
        if (rc == SHALE_OK) {
            c->compactor_epoch = r->compactor_epoch;
            rc = shl_compactions_encode(c, &body, err);
        }
        if (rc == SHALE_OK)
            rc = shl_sequenced_write(&q, shl_buf_view(&body), err);
        shl_compactions_free(c);
        shl_buf_free(&body);
        if (rc != SHALE_PRECONDITION)
            return rc;
    }
}

/* ---------------------------------------------------------------- rows that the checkpoint has in the WAL only */

static shale_code replay_checkpoint(struct restore *r, shale_error *err)
{
    struct shl_lsm *db = r->db;
    struct shl_replay replay = {.table = r->rows.table,
                                .last_l0_seq = r->wanted->last_l0_seq,
                                .last_tick = r->wanted->last_l0_clock_tick};
    for (uint64_t id = r->wanted->replay_after_wal_id + 1; id <= r->wanted->wal_id_last_seen;
         id++) {
        struct shl_wal_file f = {0};
        shale_code rc = shl_wal_file_read(db->wal_store, &db->paths, id, SHL_WAL_FILE_MAX,
                                          db->has_transformer ? &db->transformer : NULL, &f, err);
        if (rc == SHALE_NOT_FOUND)
            rc = shl_fail(err, SHALE_CORRUPTION,
                          "%s/wal/%020" PRIu64 ".sst: is missing, and the checkpoint needs it",
                          db->paths.r2, id);
        if (rc == SHALE_OK)
            rc = shl_lsm_replay_file(db, &replay, id, &f, err);
        shl_wal_file_deinit(&f);
        if (rc != SHALE_OK)
            return rc;
    }
    r->rows.last_seq = replay.last_seq;
    r->rows.last_tick = replay.last_tick;
    return SHALE_OK;
}

static shale_code build_rows(struct restore *r, shale_error *err)
{
    shale_code rc = shl_memtable_new(r->db->arenas, &r->rows.table, err);
    if (rc == SHALE_OK)
        rc = replay_checkpoint(r, err);
    if (rc != SHALE_OK || shl_memtable_rows(r->rows.table) == 0)
        return rc;
    note_manifest_ulids(r->db, r->db->manifest);
    note_manifest_ulids(r->db, r->wanted);
    env_mutex_lock(&r->db->mu);
    r->rows.id = shl_lsm_next_ulid_locked(r->db);
    env_mutex_unlock(&r->db->mu);
    return shl_lsm_build_l0(r->db, &r->rows, r->rows.last_seq, err);
}

/* ---------------------------------------------------------------- the restored manifest */

static bool has_external(const struct shl_manifest *m, struct shl_ulid final_checkpoint)
{
    for (size_t i = 0; i < m->external_dbs.count; i++)
        if (shl_ulid_eq(m->external_dbs.items[i].final_checkpoint, final_checkpoint))
            return true;
    return false;
}

/* The trees and what they borrow, of a copy of the checkpoint's manifest, for those of m; the rest of m stays. */
static shale_code swap_trees(struct restore *r, struct shl_manifest *m, shale_error *err)
{
    struct shl_manifest *copy;
    shale_code rc = shl_manifest_clone(r->wanted, &copy, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_manifest swap = *m;
    m->root = copy->root;
    m->segments.items = copy->segments.items;
    m->segments.count = copy->segments.count;
    m->segments.cap = copy->segments.cap;
    copy->root = swap.root;
    copy->segments.items = swap.segments.items;
    copy->segments.count = swap.segments.count;
    copy->segments.cap = swap.segments.cap;
    /* Parents that were let go of since are pinned by the checkpoint, so both lists have them; whom only the newest has is let go of later. */
    for (size_t i = copy->external_dbs.count; i-- > 0 && rc == SHALE_OK;) {
        struct shl_external_db *e = &copy->external_dbs.items[i];
        for (size_t k = m->external_dbs.count; k-- > 0;)
            if (shl_ulid_eq(m->external_dbs.items[k].final_checkpoint, e->final_checkpoint))
                shl_manifest_remove_external(m, k);
        if (!shl_array_push(&m->external_dbs, *e))
            rc = shl_nomem(err);
        else
            copy->external_dbs.count--; /* moved: it is the last */
    }
    shl_manifest_free(copy);
    return rc;
}

static shale_code edit_restore(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                               shale_error *err)
{
    struct restore *r = arg;
    shale_code rc;
    if (m->compactor_epoch != r->compactor_epoch)
        return shl_fail(err, SHALE_CONFLICT,
                        "a compactor took over (epoch %" PRIu64 ", ours is %" PRIu64
                        "): stop it first",
                        m->compactor_epoch, r->compactor_epoch);
    if (shl_checkpoint_at(m, r->checkpoint) == NULL)
        return shl_fail(err, SHALE_NOT_FOUND, "the checkpoint of \"%s\" was deleted meanwhile",
                        db->paths.r1);
    for (size_t i = 0; i < r->wanted->external_dbs.count; i++)
        if (!has_external(m, r->wanted->external_dbs.items[i].final_checkpoint))
            return shl_fail(err, SHALE_CORRUPTION,
                            "\"%s\" let go of its parent \"%s\", which the checkpoint needs",
                            db->paths.r1, r->wanted->external_dbs.items[i].path);
    rc = swap_trees(r, m, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_add_outputs(m, &r->rows, err);
    if (rc != SHALE_OK)
        return rc;
    m->replay_after_wal_id = m->wal_id_last_seen = shl_max_u64(m->wal_id_last_seen, r->fence);
    shl_manifest_tell_of_wal(m);
    m->last_l0_seq = shl_max_u64(m->last_l0_seq, r->last_seq);
    m->last_l0_clock_tick = shl_max_i64(m->last_l0_clock_tick, r->last_tick);
    m->recent_snapshot_min_seq = m->last_l0_seq;
    shl_manifest_prune_external(m);
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the whole */

static void restore_deinit(struct restore *r)
{
    shl_manifest_free(r->wanted);
    for (size_t i = 0; i < r->rows.outputs.count; i++) {
        shl_buf_free(&r->rows.outputs.items[i].prefix);
        shl_sst_desc_unref(r->rows.outputs.items[i].desc);
    }
    shl_array_free(&r->rows.outputs);
    shl_memtable_unref(r->rows.table);
    if (r->db != NULL)
        shl_lsm_handle_free(r->db);
}

static shale_code no_database(void *ctx, shale_error *err)
{
    const struct shl_lsm_open *o = ctx;
    return shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s%smanifest/",
                    o->store->name, o->path, o->path[0] != '\0' ? "/" : "");
}

shale_code shl_lsm_restore(const struct shl_lsm_open *o, const char *checkpoint,
                           uint64_t undo_lifetime_ms, struct shl_lsm_restored *out,
                           shale_error *err)
{
    struct shl_lsm_open how = *o;
    struct restore r = {.undo = {.id = shl_checkpoint_new_id(),
                                 .now_ms = shl_clock_ms(&o->settings->clock),
                                 .lifetime_ms = undo_lifetime_ms,
                                 .name = SHL_RESTORE_UNDO_NAME}};
    struct shl_wal_fetch *objects = NULL;
    shale_code rc;
    how.before_create = no_database;
    how.before_create_ctx = &how;
    SHL_TRY(shl_lsm_handle_new(&how, true, &r.db, err));
    SHL_TRY(shl_lsm_take_over(r.db, &how, &r.fence, &objects, err));
    SHL_TRY(load_checkpoint(&r, checkpoint, err));
    SHL_TRY(note_newest_rows(&r, objects, err));
    ENV_POINT("restore before prepare");
    SHL_TRY(shl_lsm_update_manifest(r.db, edit_prepare, &r, err));
    ENV_POINT("restore before jobs");
    SHL_TRY(give_up_jobs(&r, err));
    SHL_TRY(build_rows(&r, err));
    ENV_POINT("restore before the manifest");
    SHL_TRY(shl_lsm_update_manifest(r.db, edit_restore, &r, err));
    *out = (struct shl_lsm_restored){.manifest_id = r.db->manifests.id,
                                     .checkpoint_manifest_id = r.checkpoint_manifest_id,
                                     .undo = r.undo.id,
                                     .wal_rows = shl_memtable_rows(r.rows.table)};
out:
    shl_wal_fetch_free(objects);
    restore_deinit(&r);
    return rc;
}
