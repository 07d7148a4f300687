/* The WAL when a handle is opened or refreshed: what is there, fetching it, and its rows into memtables. slatedb-behaviour 2.1, 7. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>

/* ---------------------------------------------------------------- listing */

static void run_listing(struct shl_fan_job *job)
{
    struct shl_wal_listing *l = (struct shl_wal_listing *)job; /* the job is the first member */
    struct shl_lsm *db = l->db;
    l->rc = shl_wal_list_page(db->wal_store, &db->paths, db->wal_listed.after,
                              &db->wal_listed.items, &db->wal_listed.more, &l->err);
}

/* A listing that nobody will use. */
static void forget_listing(struct shl_lsm *db)
{
    db->wal_listed.is_there = false;
    shl_array_free(&db->wal_listed.items);
}

void shl_wal_listing_begin(struct shl_wal_listing *l, struct shl_lsm *db, uint64_t after)
{
    *l = (struct shl_wal_listing){.job = {.run = run_listing}, .db = db, .rc = SHALE_OK};
    forget_listing(db); /* one that a failure left */
    db->wal_listed.after = after;
    shl_fanout_start(db->wal_fanout, &l->job);
}

shale_code shl_wal_listing_end(struct shl_wal_listing *l, shale_error *err)
{
    shl_fanout_wait(l->db->wal_fanout, &l->job);
    l->db->wal_listed.is_there = l->rc == SHALE_OK;
    if (l->rc != SHALE_OK)
        *err = l->err;
    return l->rc;
}

void shl_wal_listing_drop(struct shl_wal_listing *l)
{
    (void)shl_fanout_cancel(l->db->wal_fanout, &l->job);
    forget_listing(l->db);
}

shale_code shl_lsm_first_lists(struct shl_lsm *db, bool wal, shale_error *err)
{
    struct shl_wal_listing l;
    if (!wal)
        return shl_sequenced_list(&db->manifests, err);
    shl_wal_listing_begin(&l, db, 0); /* how far the memtables have got only the manifest says */
    shale_code rc = shl_sequenced_list(&db->manifests, err);
    if (rc == SHALE_OK)
        return shl_wal_listing_end(&l, err);
    shl_wal_listing_drop(&l);
    return rc;
}

shale_code shl_lsm_list_wal(struct shl_lsm *db, uint64_t after, shl_wal_items *out,
                            shale_error *err)
{
    bool usable = db->wal_listed.is_there && !db->wal_listed.more && db->wal_listed.after <= after;
    shale_code rc = SHALE_OK;
    if (!usable)
        rc = shl_wal_list(db->wal_store, &db->paths, after, out, err);
    else if (!shl_array_reserve(out, db->wal_listed.items.count))
        rc = shl_nomem(err);
    for (size_t i = 0; usable && rc == SHALE_OK && i < db->wal_listed.items.count; i++)
        if (db->wal_listed.items.items[i].id > after)
            shl_array_add(out, db->wal_listed.items.items[i]);
    forget_listing(db);
    return rc;
}

shale_code shl_lsm_find_wal(struct shl_lsm *db, uint64_t most, shl_wal_items *row, uint64_t *end,
                            bool *none, shale_error *err)
{
    size_t kept = 0;
    row->count = 0;
    shale_code rc = shl_lsm_list_wal(db, none != NULL && *end > 0 ? *end - 1 : *end, row, err);
    if (none != NULL)
        *none = row->count == 0;
    for (size_t i = 0; rc == SHALE_OK && i < row->count; i++)
        if (row->items[i].id == *end + 1 && *end < most) {
            row->items[kept++] = row->items[i];
            ++*end;
        }
    row->count = kept;
    return rc;
}

shale_code shl_lsm_check_wal_is_not_here(struct shl_lsm *db, uint64_t end, shale_error *err)
{
    const struct shl_manifest *m = db->manifest;
    shl_wal_items here = {0};
    if (db->wal_store == db->store || m->writer_epoch == 0 || end > m->replay_after_wal_id ||
        m->wal_id_last_seen > m->replay_after_wal_id ||
        (shl_manifest_has_ssts(m) && m->external_dbs.count == 0))
        return SHALE_OK;
    shale_code rc = shl_wal_list(db->store, &db->paths, m->replay_after_wal_id, &here, err);
    if (rc == SHALE_OK && here.count > 0)
        rc = shl_fail(err, SHALE_INVALID,
                      "\"%s\" has its WAL beside it (%zu object%s), not in another store: set no "
                      "wal_url",
                      db->paths.r1, here.count, here.count == 1 ? "" : "s");
    shl_array_free(&here);
    return rc;
}

shale_code shl_lsm_wal_fetch(struct shl_lsm *db, const struct shl_wal_item *items, size_t count,
                             struct shl_wal_fetch **out, shale_error *err)
{
    return shl_wal_fetch_new(db->wal_store, &db->paths,
                             db->has_transformer ? &db->transformer : NULL, db->wal_fanout, items,
                             count, out, err);
}

/* ---------------------------------------------------------------- rows */

shale_code shl_lsm_replay_file(struct shl_lsm *db, struct shl_replay *r, uint64_t id,
                               const struct shl_wal_file *f, shale_error *err)
{
    size_t rows = 0, bytes = 0;
    bool ignored;
    if (f->count > 0 && f->rows[0].seq <= r->last_seq)
        return shl_fail(err, SHALE_CORRUPTION,
                        "%s/wal/%020" PRIu64 ".sst: begins with seq %" PRIu64
                        ", but the objects before it go up to %" PRIu64,
                        db->paths.r2, id, f->rows[0].seq, r->last_seq);
    for (size_t i = 0; i < f->count; i++)
        if (f->rows[i].seq > r->last_l0_seq) {
            rows++;
            bytes += f->rows[i].key.len + f->rows[i].value.len;
        }
    /* All room first: were the table left with a part of the object, its rows would be there twice after another try. */
    shale_code rc = rows > 0 ? shl_memtable_reserve(r->table, rows, bytes, err) : SHALE_OK;
    for (size_t i = 0; i < f->count && rc == SHALE_OK; i++) {
        const struct shl_row *row = &f->rows[i];
        r->last_seq = shl_max_u64(r->last_seq, row->seq);
        if (row->seq <= r->last_l0_seq)
            continue;
        if (db->writer)
            rc = shl_lsm_add_segment(db, row->key, &ignored, err);
        (void)shl_memtable_add(r->table, row);
        r->last_tick = shl_max_i64(r->last_tick, row->create_ts);
    }
    return rc;
}

/* ---------------------------------------------------------------- the writer's */

static shale_code missing_wal(struct shl_lsm *db, uint64_t id, uint64_t first, uint64_t last,
                              shale_error *err)
{
    bool changed;
    shl_manifest_turn_begin(db); /* uploaders are at work */
    shale_code rc = shl_lsm_refresh_manifest(
        db, &changed, err); /* FENCED, if a newer writer let it be collected */
    shl_manifest_turn_end(db);
    if (rc != SHALE_OK)
        return rc;
    return shl_fail(err, SHALE_CORRUPTION,
                    "%s/wal/%020" PRIu64 ".sst: is missing (%" PRIu64 " to %" PRIu64 " are needed)",
                    db->paths.r2, id, first, last);
}

/* What one object brought becomes visible; a full memtable is frozen, and too many frozen ones are waited for. */
static shale_code replayed_one(struct shl_lsm *db, const struct shl_replay *r, uint64_t id,
                               shale_error *err)
{
    shale_code rc = SHALE_OK;
    uint64_t since = 0;
    env_mutex_lock(&db->mu);
    db->last_wal_id = id;
    db->last_seq = db->durable_wal_seq = shl_max_u64(db->last_seq, r->last_seq);
    env_store_relaxed(&db->last_tick, shl_max_i64(env_load_relaxed(&db->last_tick), r->last_tick));
    env_store_release(&db->committed_seq, db->last_seq);
    env_store_release(&db->durable_seq, db->last_seq);
    if (shl_memtable_encoded_bytes(r->table) >= db->settings.l0_sst_size_bytes)
        rc = shl_lsm_freeze_locked(db, err);
    while (rc == SHALE_OK && db->frozen_bytes >= db->settings.max_unflushed_bytes &&
           env_load_relaxed(&db->closed) == SHALE_OK)
        rc = shl_lsm_wait_for_l0_locked(db, &db->progress_cond, &since, err);
    env_mutex_unlock(&db->mu);
    return rc == SHALE_OK ? shl_lsm_check(db, err) : rc;
}

shale_code shl_lsm_replay(struct shl_lsm *db, struct shl_wal_fetch *objects, uint64_t first,
                          uint64_t fence, shale_error *err)
{
    struct shl_replay r = {.last_l0_seq = db->last_seq, .last_tick = INT64_MIN};
    for (;;) {
        struct shl_wal_file f = {0};
        uint64_t id;
        shale_code rc = shl_wal_fetch_next(objects, &id, &f, err);
        if (rc == SHALE_DONE)
            return SHALE_OK;
        if (rc == SHALE_NOT_FOUND)
            rc = missing_wal(db, id, first, fence - 1, err);
        if (rc != SHALE_OK)
            return rc;
        env_mutex_lock(&db->mu); /* uploaders replace the version; the table in it only we do */
        r.table = ((struct shl_version *)env_load_relaxed(&db->version))->active;
        env_mutex_unlock(&db->mu);
        rc = shl_lsm_replay_file(db, &r, id, &f, err);
        shl_wal_file_deinit(&f);
        if (rc == SHALE_OK)
            rc = replayed_one(db, &r, id, err);
        if (rc != SHALE_OK)
            return rc;
    }
}
