/* The checkpoint that a managed reader keeps for itself. slatedb-behaviour 7.
 *
 * What the handle shows is always covered: the version is replaced only after the manifest with the new checkpoint was written, and that manifest is what
 * the version shows. A version that was replaced stays covered, by the checkpoint that it had, until its scans have ended. */
#include "lsm/db_internal.h"

#include "base/units.h"
#include "lsm/keep/checkpoint.h"

/* ---------------------------------------------------------------- whether two manifests are about the same SSTs */

static bool same_views(const shl_sst_views *a, const shl_sst_views *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = shl_ulid_eq(a->items[i].id, b->items[i].id) &&
               shl_ulid_eq(a->items[i].sst->id, b->items[i].sst->id);
    return same;
}

static bool same_tree(const struct shl_tree *a, const struct shl_tree *b)
{
    bool same = a->has_watermark == b->has_watermark && shl_ulid_eq(a->watermark, b->watermark) &&
                a->runs.count == b->runs.count && same_views(&a->l0, &b->l0);
    for (size_t i = 0; same && i < a->runs.count; i++)
        same = a->runs.items[i].id == b->runs.items[i].id &&
               same_views(&a->runs.items[i].ssts, &b->runs.items[i].ssts);
    return same;
}

static bool same_ssts(const struct shl_manifest *a, const struct shl_manifest *b)
{
    bool same = a->last_l0_seq == b->last_l0_seq && a->segments.count == b->segments.count &&
                same_tree(&a->root, &b->root);
    for (size_t i = 0; same && i < a->segments.count; i++)
        same = shl_slice_eq(shl_buf_view(&a->segments.items[i].prefix),
                            shl_buf_view(&b->segments.items[i].prefix)) &&
               same_tree(&a->segments.items[i].tree, &b->segments.items[i].tree);
    return same;
}

/* ---------------------------------------------------------------- its own checkpoint */

static uint64_t lifetime_ms(const struct shl_lsm *db)
{
    return db->settings.checkpoint_lifetime_ns / ENV_NS_PER_MS;
}

/* The versions before ours that nobody reads any more: our own reference is the last. */
static bool is_free(const struct shl_held_version *h)
{
    return env_load_acquire(&h->version->refs) == 1;
}

static void remove_free(const struct shl_lsm *db, struct shl_manifest *m)
{
    for (size_t i = 0; i < db->held.count; i++)
        if (is_free(&db->held.items[i]))
            (void)shl_checkpoint_remove(m, db->held.items[i].checkpoint);
}

/* After a manifest without their checkpoints was written. Who was free stays so, for nobody can find a version that was replaced. */
static void drop_free(struct shl_lsm *db)
{
    size_t kept = 0;
    for (size_t i = 0; i < db->held.count; i++) {
        struct shl_held_version *h = &db->held.items[i];
        if (shl_checkpoint_at(db->manifest, h->checkpoint) == NULL && is_free(h))
            shl_version_unref(h->version);
        else
            db->held.items[kept++] = *h;
    }
    db->held.count = kept;
}

static bool any_is_free(const struct shl_lsm *db)
{
    bool any = false;
    for (size_t i = 0; i < db->held.count; i++)
        any = any || is_free(&db->held.items[i]);
    return any;
}

static shale_code edit_cover(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                             shale_error *err)
{
    struct shl_ulid *fresh = arg;
    uint64_t manifest_id;
    struct shl_checkpoint_want want = {
        .id = *fresh, .now_ms = shl_clock_ms(&db->settings.clock), .lifetime_ms = lifetime_ms(db)};
    remove_free(db, m);
    /* A write of ours whose answer was lost: that one points at an older state than we are about to show. */
    (void)shl_checkpoint_remove(m, *fresh);
    if (env_load_relaxed(&db->version) == NULL) /* while it opens nobody reads */
        (void)shl_checkpoint_remove(m, db->own_id);
    return shl_checkpoint_add(m, db->manifests.id + 1, &want, &manifest_id, err);
}

shale_code shl_lsm_managed_cover(struct shl_lsm *db, shale_error *err)
{
    struct shl_ulid fresh = shl_checkpoint_new_id();
    struct shl_version *v = env_load_relaxed(&db->version);
    if (!shl_array_reserve(&db->held, 1))
        return shl_nomem(err);
    shale_code rc = shl_lsm_update_manifest(db, edit_cover, &fresh, err);
    if (rc != SHALE_OK)
        return rc;
    drop_free(db);
    if (v != NULL) /* it stays covered until the last of its readers is gone */
        shl_array_add(&db->held, ((struct shl_held_version){.version = shl_version_ref(v),
                                                            .checkpoint = db->own_id}));
    db->own_id = fresh;
    return SHALE_OK;
}

static shale_code edit_renew(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                             shale_error *err)
{
    (void)err;
    remove_free(db, m); /* moves the others */
    struct shl_checkpoint *own = shl_checkpoint_at(m, db->own_id);
    *(bool *)arg = own == NULL; /* it vanished meanwhile: the next look makes another */
    if (own == NULL)
        return SHALE_DONE;
    own->expire_s = shl_checkpoint_expiry(shl_clock_ms(&db->settings.clock), lifetime_ms(db));
    for (size_t i = 0; i < db->held.count; i++) {
        struct shl_checkpoint *c = shl_checkpoint_at(m, db->held.items[i].checkpoint);
        if (c != NULL)
            c->expire_s = own->expire_s;
    }
    return SHALE_OK;
}

static bool is_half_over(const struct shl_lsm *db, const struct shl_checkpoint *c)
{
    return shl_clock_ms(&db->settings.clock) >
           (int64_t)c->expire_s * 1000 - (int64_t)(lifetime_ms(db) / 2);
}

shale_code shl_lsm_managed_open(struct shl_lsm *db, shale_error *err)
{
    uint64_t life = db->settings.checkpoint_lifetime_ns;
    uint64_t poll = db->settings.manifest_poll_interval_ns;
    char text[2][SHL_UNITS_TEXT];
    if (life < ENV_NS_PER_SEC || life / 2 < poll)
        return shl_fail(err, SHALE_INVALID,
                        "checkpoint_lifetime: %s; it must be at least 1s and twice "
                        "manifest_poll_interval (%s)",
                        shl_format_duration(life, text[0]), shl_format_duration(poll, text[1]));
    shale_code rc = shl_lsm_managed_cover(db, err);
    db->managed = rc == SHALE_OK;
    return rc;
}

shale_code shl_lsm_managed_follow(struct shl_lsm *db, bool *moved, shale_error *err)
{
    struct shl_version *v = env_load_relaxed(&db->version); /* only we replace it */
    const struct shl_checkpoint *own = shl_checkpoint_at(db->manifest, db->own_id);
    bool gone = false;
    shale_code rc;
    *moved = true;
    if (own == NULL || !same_ssts(db->manifest, v->levels->manifest))
        return shl_lsm_managed_cover(db, err);
    *moved = false;
    if (!is_half_over(db, own) && !any_is_free(db))
        return SHALE_OK;
    rc = shl_lsm_update_manifest(db, edit_renew, &gone, err);
    if (rc == SHALE_OK)
        drop_free(db);
    if (rc == SHALE_OK && (gone || !same_ssts(db->manifest, v->levels->manifest))) {
        *moved = true;
        rc = shl_lsm_managed_cover(db, err);
    }
    return rc;
}

static shale_code edit_remove(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                              shale_error *err)
{
    bool any = shl_checkpoint_remove(m, db->own_id);
    (void)arg;
    (void)err;
    for (size_t i = 0; i < db->held.count; i++)
        any = shl_checkpoint_remove(m, db->held.items[i].checkpoint) || any;
    return any ? SHALE_OK : SHALE_DONE;
}

void shl_lsm_managed_close(struct shl_lsm *db)
{
    shale_error err = {0};
    shale_code rc = db->managed ? shl_lsm_update_manifest(db, edit_remove, NULL, &err) : SHALE_OK;
    if (rc != SHALE_OK)
        shl_log_write(db->log, SHL_LOG_WARN, "the reader's checkpoint stays until it expires: %s",
                      err.text);
    for (size_t i = 0; i < db->held.count; i++)
        shl_version_unref(db->held.items[i].version);
    shl_array_free(&db->held);
}
