/* Checkpoints made by the open writer. slatedb-behaviour 6.
 *
 * A checkpoint shows the database at its *bound*, the newest seq of the call that began it, while writes go on. Scope all freezes the memtable, so
 * that no table has rows on both sides of the bound; nothing behind the bound is published before the manifest with the checkpoint is there, and
 * until then the manifest's last WAL id does not pass what had been taken for the WAL at that call. Scope durable takes what is durable now and
 * flushes nothing. An uploader writes the manifest as soon as what is below the bound is published, so that nobody has to wait. */
#include "lsm/db_internal.h"

#include "base/num.h"
#include "lsm/keep/checkpoint.h"

struct shl_lsm_checkpoint {
    struct shl_lsm_checkpoint *next; /* [db->mu] in db->checkpoints */
    struct shl_checkpoint_want want; /* [const] its texts are owned */
    char *source, *name;
    bool durable_only;     /* [const] */
    uint64_t bound_seq;    /* [const] */
    uint64_t bound_wal_id; /* [const] */
    bool writing;          /* [db->mu] an uploader is about it */
    struct env_mutex mu;   /* a leaf; the rest is under it */
    struct env_cond done_cond;
    unsigned refs; /* the caller's, and the handle's as long as it is pending */
    bool done;
    uint64_t manifest_id;
    shale_error err;
};

static void unref(struct shl_lsm_checkpoint *c)
{
    env_mutex_lock(&c->mu);
    bool last = --c->refs == 0;
    env_mutex_unlock(&c->mu);
    if (!last)
        return;
    env_cond_deinit(&c->done_cond);
    env_mutex_deinit(&c->mu);
    env_free(c->source);
    env_free(c->name);
    env_free(c);
}

/* err NULL: it is there. */
static void finish(struct shl_lsm_checkpoint *c, const shale_error *err)
{
    env_mutex_lock(&c->mu);
    c->done = true;
    if (err != NULL)
        c->err = *err;
    env_cond_broadcast(&c->done_cond);
    env_mutex_unlock(&c->mu);
    unref(c);
}

static void take_out_locked(struct shl_lsm *db, struct shl_lsm_checkpoint *c)
{
    struct shl_lsm_checkpoint **at = &db->checkpoints;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

/* ---------------------------------------------------------------- what flushing has to keep to */

uint64_t shl_checkpoint_seq_bound_locked(const struct shl_lsm *db)
{
    uint64_t bound = UINT64_MAX;
    for (const struct shl_lsm_checkpoint *c = db->checkpoints; c != NULL; c = c->next)
        bound = shl_min_u64(bound, c->bound_seq);
    return bound;
}

uint64_t shl_checkpoint_wal_bound_locked(const struct shl_lsm *db)
{
    uint64_t bound = db->last_wal_id;
    for (const struct shl_lsm_checkpoint *c = db->checkpoints; c != NULL; c = c->next)
        bound = shl_min_u64(bound, c->bound_wal_id);
    return bound;
}

struct shl_lsm_checkpoint *shl_checkpoint_due_locked(const struct shl_lsm *db)
{
    /* The one with the least bound, and no other: what is written for it must not let later rows into it. */
    struct shl_lsm_checkpoint *c = db->checkpoints;
    for (struct shl_lsm_checkpoint *o = c; o != NULL; o = o->next)
        if (o->bound_seq < c->bound_seq ||
            (o->bound_seq == c->bound_seq && o->bound_wal_id <= c->bound_wal_id))
            c = o;
    bool due =
        c != NULL && !c->writing &&
        (c->durable_only || db->frozen_head == NULL || db->frozen_head->last_seq > c->bound_seq);
    return due ? c : NULL;
}

/* ---------------------------------------------------------------- writing it */

static shale_code edit_add(struct shl_lsm *db, struct shl_manifest *m, void *arg, shale_error *err)
{
    struct shl_lsm_checkpoint *c = arg;
    const struct shl_checkpoint *mine = shl_checkpoint_at(m, c->want.id);
    m->wal_id_last_seen = shl_max_u64(m->wal_id_last_seen, c->bound_wal_id);
    if (mine != NULL) { /* a write of ours whose answer was lost */
        c->manifest_id = mine->manifest_id;
        return SHALE_OK;
    }
    return shl_checkpoint_add(m, db->manifests.id + 1, &c->want, &c->manifest_id, err);
}

void shl_checkpoint_write_locked(struct shl_lsm *db, struct shl_lsm_checkpoint *c)
{
    shale_error err = {0};
    shale_error ignored;
    c->writing = true;
    db->publishing = true;
    env_mutex_unlock(&db->mu);
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_update_manifest(db, edit_add, c, &err);
    shl_ignore(
        shl_lsm_show_manifest(db, &ignored)); /* out of memory: the next publication does it */
    shl_manifest_turn_end(db);
    if (rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT)
        rc = shl_fail(
            &err, SHALE_INTERNAL,
            "the outcome is unknown: the store did not answer; look for its id in the list");
    env_mutex_lock(&db->mu);
    take_out_locked(db, c);
    if (rc == SHALE_FENCED)
        shl_lsm_fail_locked(db, &err);
    db->publishing = false;
    db->activity++;
    env_cond_broadcast(&db->flush_cond);
    finish(c, rc == SHALE_OK ? NULL : &err);
}

void shl_checkpoints_fail_locked(struct shl_lsm *db, const shale_error *why)
{
    struct shl_lsm_checkpoint **at = &db->checkpoints;
    while (*at != NULL) {
        struct shl_lsm_checkpoint *c = *at;
        if (c->writing) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        finish(c, why);
    }
}

/* ---------------------------------------------------------------- the caller's side */

static shale_code new_checkpoint(const struct shl_lsm_checkpoint_how *how, const char *where,
                                 int64_t now_ms, struct shl_lsm_checkpoint **out, shale_error *err)
{
    struct shl_lsm_checkpoint *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    env_mutex_init(&c->mu);
    env_cond_init(&c->done_cond);
    c->refs = 1;
    c->durable_only = how->durable_only;
    c->source = how->source != NULL ? env_strdup(how->source) : NULL;
    c->name = how->name != NULL ? env_strdup(how->name) : NULL;
    if ((how->source != NULL && c->source == NULL) || (how->name != NULL && c->name == NULL)) {
        unref(c);
        return shl_nomem(err);
    }
    c->want = (struct shl_checkpoint_want){.id = shl_checkpoint_new_id(),
                                           .now_ms = now_ms,
                                           .lifetime_ms = how->lifetime_ms,
                                           .source = c->source,
                                           .where = where,
                                           .name = c->name};
    *out = c;
    return SHALE_OK;
}

static shale_code set_bounds_locked(struct shl_lsm *db, struct shl_lsm_checkpoint *c,
                                    shale_error *err)
{
    c->bound_wal_id = db->last_wal_id;
    c->bound_seq =
        db->settings.wal_enabled ? db->durable_wal_seq : env_load_relaxed(&db->durable_seq);
    if (c->durable_only)
        return SHALE_OK;
    shale_code rc = shl_lsm_freeze_locked(db, err);
    c->bound_seq = db->last_seq;
    c->bound_wal_id += db->wal_in_flight; /* its rows were committed before this call */
    return rc;
}

shale_code shl_lsm_checkpoint_begin(struct shl_lsm *db, const struct shl_lsm_checkpoint_how *how,
                                    struct shl_lsm_checkpoint **out, shale_error *err)
{
    struct shl_lsm_checkpoint *c = NULL;
    if (!db->writer)
        return shl_fail(err, SHALE_INVALID, "\"%s\" is open for reading only", db->paths.r1);
    shale_code rc = shl_lsm_check(db, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_check_name(how->name, err);
    if (rc == SHALE_OK)
        rc = new_checkpoint(how, db->paths.r1, shl_clock_ms(&db->settings.clock), &c, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_lock(&db->mu);
    rc = (shale_code)env_load_relaxed(&db->closed);
    if (rc != SHALE_OK)
        *err = db->failure;
    else
        rc = set_bounds_locked(db, c, err);
    if (rc == SHALE_OK) {
        c->refs++;
        c->next = db->checkpoints;
        db->checkpoints = c;
        db->activity++;
        db->counts.checkpoint_requests++;
        env_cond_broadcast(&db->flush_cond);
    }
    env_mutex_unlock(&db->mu);
    if (rc == SHALE_OK)
        *out = c;
    else
        unref(c);
    return rc;
}

struct shl_ulid shl_lsm_checkpoint_id(const struct shl_lsm_checkpoint *c)
{
    return c->want.id;
}

shale_code shl_lsm_checkpoint_wait(struct shl_lsm_checkpoint *c, uint64_t *manifest_id,
                                   shale_error *err)
{
    env_mutex_lock(&c->mu);
    while (!c->done)
        env_cond_wait(&c->done_cond, &c->mu);
    shale_code rc = c->err.code;
    if (rc == SHALE_OK)
        *manifest_id = c->manifest_id;
    else
        *err = c->err;
    env_mutex_unlock(&c->mu);
    return rc;
}

void shl_lsm_checkpoint_free(struct shl_lsm_checkpoint *c)
{
    if (c != NULL)
        unref(c);
}
