/* The writer's way in: finds or makes the database, takes the epoch, fences whoever wrote before. slatedb-behaviour 2.
 *
 * Each line is one round trip of a store that is not near; what stands in it is asked at once.
 *
 *   LIST manifest/, LIST wal/        two questions about what is there; the answers are used as if they had come one after the other: the
 *                                    WAL may be longer by the time the manifest is read, never shorter above its boundary
 *   GET manifest n, GET boundary     see manifest_store.c
 *   GET index of an SST              with a transformer only: whether it fits, before anybody is fenced
 *   PUT manifest n+1, GET index ..   our epoch; without a transformer the look whether one is missing, which costs no round trip so. What the WAL holds was looked at before (nothing is written over a WAL that is not whole)
 *   GET boundary, PUT wal fence      whether n+1 counts, and the fence. The epoch is there before the fence in any case. If n+1 does not count
 *                                    (we had slept, and the collector took the manifests since), the fence has only stopped a writer
 *                                    whom we are about to fence anyway; we begin again, and the fence of that try stands one further on
 *   LIST manifest/ after n+1, GET wal ...   whether an even newer writer came. What the WAL holds below the fence cannot change any more, so it
 *                                    is read meanwhile; nothing of it is used before the answer is there */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include <inttypes.h>

#define CANNOT_BE_READ "\"%s\" cannot be read, so no row is written to it"

/* ---------------------------------------------------------------- the manifest */

/* Manifest 1 of a new database; if somebody else was faster, theirs counts. That it is above the collector's boundary is known when manifest 2, our
 * epoch, is. */
static shale_code create_database(struct shl_lsm *db, shale_error *err)
{
    struct shl_manifest *m = NULL;
    struct shl_buf body = {0};
    bool changed;
    shale_code rc;
    SHL_TRY(shl_manifest_new(&m, err));
    if (db->settings.segment_extractor.kind != SHL_EXTRACT_NONE) {
        m->segment_extractor_name = env_strdup(db->settings.segment_extractor.name);
        if (m->segment_extractor_name == NULL) {
            rc = shl_nomem(err);
            goto out;
        }
    }
    SHL_TRY(shl_manifest_encode(m, &body, err));
    SHL_ASSERT(db->manifests.id == 0);
    rc = shl_sequenced_put(&db->manifests, shl_buf_view(&body), err);
    if (rc == SHALE_OK) {
        db->manifests.id = 1;
        shl_lsm_adopt_manifest(db, m);
        m = NULL;
    } else if (rc == SHALE_PRECONDITION) {
        rc = shl_lsm_refresh_manifest(db, &changed, err);
    }
out:
    shl_manifest_free(m);
    shl_buf_free(&body);
    return rc;
}

/* Rows in a WAL without a manifest are those of a database that was deleted in part, or without its wal_url: a new one would bring them back. */
static shale_code check_wal_has_no_rows(struct shl_lsm *db, shale_error *err)
{
    return shl_wal_has_no_rows(&db->wal_listed.items, &db->paths, db->wal_store, "the new database",
                               err);
}

static shale_code load_or_create(struct shl_lsm *db, const struct shl_lsm_open *o, shale_error *err)
{
    bool changed;
    shale_code rc = shl_lsm_first_lists(db, true, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_refresh_manifest(db, &changed, err);
    if (rc == SHALE_NOT_FOUND && check_wal_has_no_rows(db, err) != SHALE_OK) {
        rc = shl_lsm_refresh_manifest(db, &changed, err); /* another one may just have made it */
        if (rc == SHALE_NOT_FOUND)
            return check_wal_has_no_rows(db, err);
    }
    if (rc == SHALE_NOT_FOUND) {
        rc = o->before_create != NULL ? o->before_create(o->before_create_ctx, err) : SHALE_OK;
        if (rc == SHALE_OK)
            rc = create_database(db, err);
    }
    return rc == SHALE_OK ? shl_lsm_check_manifest(db, db->manifest, err) : rc;
}

/* ---------------------------------------------------------------- the WAL */

static shale_code find_wal_end(struct shl_lsm *db, shl_wal_items *row, uint64_t *end, bool *none,
                               shale_error *err)
{
    *end = db->manifest->replay_after_wal_id;
    return shl_lsm_find_wal(db, UINT64_MAX, row, end, none, err);
}

/* A writer that left no trace died right behind its epoch, or its WAL is in another store, and it was not Shale (note_wal). */
static void warn_of_no_trace(const struct shl_lsm *db, uint64_t end)
{
    const struct shl_manifest *m = db->manifest;
    if (m->writer_epoch > 0 && end == 0 && !shl_manifest_has_ssts(m))
        shl_log_write(db->log, SHL_LOG_WARN,
                      "\"%s\": %" PRIu64
                      " writer%s before, and neither a WAL object nor an SSTable; "
                      "was the WAL in another store (wal_url)?",
                      db->paths.r1, m->writer_epoch, m->writer_epoch == 1 ? "" : "s");
}

/* What the WAL holds, before anything is written: who forgot that it is in another store would lose rows. slatedb-behaviour 15. */
static shale_code find_whole_wal(struct shl_lsm *db, shl_wal_items *row, uint64_t *end,
                                 shale_error *err)
{
    for (;;) {
        bool changed, none, is_old = db->wal_listed.is_there;
        shale_code rc = find_wal_end(db, row, end, &none, err);
        if (rc != SHALE_OK || !shl_manifest_lacks_wal(db->manifest, *end, none))
            return rc;
        if (is_old)
            continue;                                     /* the list is older than the manifest */
        rc = shl_lsm_refresh_manifest(db, &changed, err); /* a writer at work may have moved on */
        if (rc != SHALE_OK || !changed)
            return rc != SHALE_OK ? rc : shl_wal_lacks(&db->paths, db->manifest, *end, none, err);
    }
}

/* ---------------------------------------------------------------- the key */

/* An SST of the newest manifest; NULL if there is none. */
static shale_code pick_sst(struct shl_lsm *db, struct shl_sst **out, shale_error *err)
{
    shale_code rc = shl_lsm_build_levels(db, &db->looked_at, err);
    *out = rc == SHALE_OK && db->looked_at->sst_count > 0 ? db->looked_at->ssts[0].sst : NULL;
    return rc;
}

static shale_code read_some_sst(struct shl_lsm *db, bool *any, shale_error *err)
{
    struct shl_sst *t;
    struct shl_sst_meta *m = NULL;
    shale_code rc = pick_sst(db, &t, err);
    *any = t != NULL;
    if (t != NULL)
        rc = shl_sst_hold_index(t, &m, err);
    shl_sst_release_meta(m);
    return rc;
}

static shale_code read_some_wal(struct shl_lsm *db, const shl_wal_items *row, shale_error *err)
{
    for (size_t i = row->count; i-- > 0;) {
        struct shl_wal_file f = {0};
        if (row->items[i].bytes == 0) /* a fence */
            continue;
        shale_code rc =
            shl_wal_file_read(db->wal_store, &db->paths, row->items[i].id, row->items[i].bytes,
                              db->has_transformer ? &db->transformer : NULL, &f, err);
        shl_wal_file_deinit(&f);
        return rc;
    }
    return SHALE_OK;
}

/* Who comes with another key is told before it stops the writer that has the right one. */
static shale_code check_transformer(struct shl_lsm *db, const shl_wal_items *row, shale_error *err)
{
    bool any = false;
    if (!db->has_transformer)
        return SHALE_OK;
    shale_code rc = read_some_sst(db, &any, err);
    if (rc == SHALE_OK && !any)
        rc = read_some_wal(db, row, err);
    if (rc == SHALE_CORRUPTION)
        shl_err_prefix(err, "\"%s\" does not fit the transformer and was left alone", db->paths.r1);
    return rc;
}

/* Who comes without a transformer to a database that has one would write plain blocks beside encrypted ones. Databases without one, which are most, are not to wait
 * for that: on a far store it is looked at beside the epoch, so that a writer is fenced in vain there. What the WAL holds is read in any case. */
struct key_look {
    struct shl_fan_job job;
    struct shl_sst *sst; /* borrowed; NULL: there is none, or nothing to look at */
    shale_code rc;
    shale_error err;
};

/* Damage is no matter of keys: that database is opened, and its other SSTs can be read. Neither is a store that does not answer. */
static void run_key_look(struct shl_fan_job *job)
{
    struct key_look *k = (struct key_look *)job; /* the job is the first member */
    struct shl_sst_meta *m = NULL;
    shale_error ignored;
    bool is_right = false;
    k->rc = shl_sst_hold_index(k->sst, &m, &k->err);
    shl_sst_release_meta(m);
    if (k->rc != SHALE_CORRUPTION ||
        shl_sst_index_crc_is_right(k->sst, &is_right, &ignored) != SHALE_OK || !is_right)
        k->rc = SHALE_OK;
}

static shale_code key_look_end(struct key_look *k, struct shl_lsm *db, shale_error *err)
{
    if (k->sst == NULL)
        return SHALE_OK;
    shl_fanout_wait(db->fanout, &k->job);
    k->sst = NULL;
    if (k->rc == SHALE_OK)
        return SHALE_OK;
    *err = k->err;
    shl_err_prefix(err, CANNOT_BE_READ, db->paths.r1);
    return k->rc;
}

/* Where there are only WAL objects yet, a near store is asked for one; the replay reads it again. */
static shale_code key_look_begin(struct key_look *k, struct shl_lsm *db, const shl_wal_items *row,
                                 shale_error *err)
{
    if (db->has_transformer)
        return SHALE_OK;
    shale_code rc = pick_sst(db, &k->sst, err);
    if (rc != SHALE_OK)
        return rc;
    if (k->sst == NULL) {
        rc = db->wal_fanout == NULL ? read_some_wal(db, row, err) : SHALE_OK;
        if (rc == SHALE_CORRUPTION)
            shl_err_prefix(err, CANNOT_BE_READ, db->paths.r1);
        return rc;
    }
    k->job.run = run_key_look;
    shl_fanout_start(db->fanout, &k->job);
    return db->fanout == NULL ? key_look_end(k, db, err) : SHALE_OK;
}

/* ---------------------------------------------------------------- epoch and fence */

static shale_code edit_writer_epoch(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                                    shale_error *err)
{
    const struct shl_lsm_settings *s = &db->settings;
    shale_code rc = shl_lsm_check_manifest(db, m, err);
    if (rc == SHALE_OK && s->has_expected_epoch && m->writer_epoch != s->expected_epoch)
        rc = shl_fail(err, SHALE_FENCED,
                      "\"%s\" is at writer epoch %" PRIu64 ", not %" PRIu64
                      " as expected: another process opened it as writer. It was left alone",
                      db->paths.r1, m->writer_epoch, s->expected_epoch);
    *(uint64_t *)arg = ++m->writer_epoch;
    return rc;
}

/* The zero-byte object that stops an older writer: its next WAL put collides. */
static shale_code put_fence(struct shl_lsm *db, uint64_t id, shale_error *err)
{
    char *key = shl_name_wal(&db->paths, id);
    if (key == NULL)
        return shl_nomem(err);
    ENV_POINT("open before fence");
    shale_code rc = shl_store_put(db->wal_store, key, NULL, 0,
                                  &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL, err);
    ENV_POINT("open after fence");
    env_free(key);
    return rc;
}

struct fence_job {
    struct shl_fan_job job;
    struct shl_lsm *db;
    uint64_t id;
    shale_code rc;
    shale_error err;
};

static void run_fence(struct shl_fan_job *job)
{
    struct fence_job *f = (struct fence_job *)job; /* the job is the first member */
    f->rc = put_fence(f->db, f->id, &f->err);
}

/* One try: our epoch, and the fence *f. PRECONDITION: the epoch was not taken. */
static shale_code try_epoch(struct shl_lsm *db, struct fence_job *f, shale_error *err)
{
    struct shl_manifest *next = NULL;
    uint64_t epoch;
    shale_code rc = shl_lsm_put_manifest(db, edit_writer_epoch, &epoch, &next, err);
    if (rc != SHALE_OK)
        return rc;
    ENV_POINT("open after epoch");
    shl_fanout_start(db->wal_fanout, &f->job);
    rc = shl_sequenced_confirm(&db->manifests, err);
    if (rc != SHALE_OK) {
        (void)shl_fanout_cancel(db->wal_fanout, &f->job);
        shl_manifest_free(next);
        return rc;
    }
    shl_fanout_wait(db->wal_fanout, &f->job);
    shl_lsm_adopt_manifest(db, next);
    db->writer_epoch = epoch;
    return SHALE_OK;
}

static shale_code take_epoch(struct shl_lsm *db, struct fence_job *f, shl_wal_items *row,
                             uint64_t *end, shale_error *err)
{
    uint64_t deadline = shl_lsm_manifest_deadline(db);
    for (;;) {
        bool none;
        *f =
            (struct fence_job){.job = {.run = run_fence}, .db = db, .id = *end + 1, .rc = SHALE_OK};
        shale_code rc = try_epoch(db, f, err);
        if (rc != SHALE_PRECONDITION)
            return rc;
        rc = shl_lsm_lost_manifest(db, deadline, err);
        /* The old writer may have flushed in between. */
        if (rc == SHALE_OK && *end + 1 <= db->manifest->replay_after_wal_id)
            rc = find_wal_end(db, row, end, &none, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

/* No writer is so much faster than the next one; a store may be that says no to what it has just taken. */
#define FENCES_MAX 1000

/* The old writer used the id first: further on, unless somebody newer is at work. */
static shale_code fence_further(struct shl_lsm *db, uint64_t *fence, shale_error *err)
{
    for (unsigned tries = 1;; tries++) {
        bool changed;
        shale_code rc = shl_lsm_refresh_manifest(db, &changed, err); /* FENCED: by a newer writer */
        if (rc == SHALE_OK)
            rc = put_fence(db, ++*fence, err);
        if (rc != SHALE_ALREADY_EXISTS)
            return rc;
        if (tries == FENCES_MAX)
            return shl_fail(err, SHALE_UNAVAILABLE,
                            "\"%s\": %u WAL ids in a row, up to %" PRIu64
                            ", were taken when the fence was to be put there: the store refuses "
                            "what it took, or the old writer cannot be caught up with",
                            db->paths.r1, tries, *fence);
    }
}

/* Objects between the end of the row that was listed and the fence are the old writer's last ones. */
static shale_code add_unlisted(shl_wal_items *row, uint64_t end, uint64_t fence, shale_error *err)
{
    for (uint64_t id = end + 1; id < fence; id++)
        if (!shl_array_push(row, ((struct shl_wal_item){.id = id, .bytes = UINT64_MAX})))
            return shl_nomem(err);
    return SHALE_OK;
}

/* An even newer writer may have fenced, flushed, and let the collector delete the id that we then made. */
static shale_code check_newest(struct shl_lsm *db, shale_error *err)
{
    bool newest, changed;
    shale_code rc = shl_sequenced_is_newest(&db->manifests, &newest, err);
    if (rc == SHALE_OK && !newest)
        rc = shl_lsm_refresh_manifest(db, &changed, err);
    return rc;
}

static shale_code edit_wal_seen(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                                shale_error *err)
{
    const uint64_t *fence = arg;
    (void)db;
    (void)err;
    if (m->wal_id_last_seen >= *fence)
        return SHALE_DONE;
    m->wal_id_last_seen = *fence;
    return SHALE_OK;
}

/* Where the WAL is in another store, and of a clone that does not tell, the manifest names the fence: who looks in the wrong store, before the first flush, is told that
 * something is missing. Nothing is acknowledged before it. */
static shale_code note_wal(struct shl_lsm *db, uint64_t fence, shale_error *err)
{
    const struct shl_manifest *m = db->manifest;
    bool is_clone = m->external_dbs.count > 0; /* whose boundary may not tell */
    if ((db->wal_store == db->store && !is_clone) ||
        shl_manifest_lacks_wal(m, m->replay_after_wal_id, !is_clone)) /* so it is told anyway */
        return SHALE_OK;
    return shl_lsm_update_manifest(db, edit_wal_seen, &fence, err);
}

shale_code shl_lsm_take_over(struct shl_lsm *db, const struct shl_lsm_open *o, uint64_t *fence,
                             struct shl_wal_fetch **objects, shale_error *err)
{
    shl_wal_items row = {0};
    struct shl_wal_fetch *fetch = NULL;
    struct key_look key = {.sst = NULL};
    struct fence_job f;
    uint64_t end, first;
    shale_error unheard;
    shale_code rc;
    SHL_TRY(load_or_create(db, o, err));
    SHL_TRY(find_whole_wal(db, &row, &end, err));
    SHL_TRY(shl_lsm_check_wal_is_not_here(db, end, err));
    warn_of_no_trace(db, end);
    SHL_TRY(check_transformer(db, &row, err));
    SHL_TRY(key_look_begin(&key, db, &row, err));
    SHL_TRY(take_epoch(db, &f, &row, &end, err));
    SHL_TRY(key_look_end(&key, db, err));
    *fence = f.id;
    if (f.rc == SHALE_ALREADY_EXISTS) {
        SHL_TRY(fence_further(db, fence, err));
    } else if (f.rc != SHALE_OK) {
        *err = f.err;
        rc = f.rc;
        goto out;
    }
    SHL_TRY(add_unlisted(&row, end, *fence, err));
    first = db->manifest->replay_after_wal_id;
    SHL_TRY(shl_lsm_wal_fetch(db, row.items, row.count, &fetch, err));
    SHL_TRY(check_newest(db, err));
    if (db->manifest->replay_after_wal_id !=
        first) /* only the writer moves the boundary, and that is us */
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION,
                         "\"%s\": somebody moved the replay boundary from %" PRIu64 " to %" PRIu64
                         " under our epoch %" PRIu64,
                         db->paths.r1, first, db->manifest->replay_after_wal_id, db->writer_epoch));
    SHL_TRY(note_wal(db, *fence, err));
    *objects = fetch;
    fetch = NULL;
out:
    shl_ignore(key_look_end(&key, db, &unheard)); /* the epoch was not taken */
    shl_wal_fetch_free(fetch);
    shl_array_free(&row);
    return rc;
}
