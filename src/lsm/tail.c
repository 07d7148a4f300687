#include "lsm/tail.h"

#include "base/env/env.h"
#include "lsm/format/manifest.h"
#include "lsm/manifest_store.h"

#include <inttypes.h>

struct shl_tail {
    struct shl_store *store, *wal_store; /* counted */
    struct shl_db_paths paths;           /* owned */
    const struct shl_transformer *transformer;
    struct shl_sequenced manifests;
    uint64_t last_seen;    /* newest WAL id that a manifest speaks of */
    uint64_t replay_after; /* rows of objects up to it are in SSTs */
    uint64_t next;         /* 0: nobody has said yet */
};

/* What the newest manifest says of the WAL. */
static shale_code look_at_manifest(struct shl_tail *t, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_manifest *m = NULL;
    bool changed;
    shale_code rc = shl_sequenced_load(&t->manifests, &body, &changed, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, rc, "no database here: %s has no %s%smanifest/", t->store->name,
                      t->paths.r1, t->paths.r1[0] != '\0' ? "/" : "");
    if (rc != SHALE_OK || !changed)
        goto out;
    rc = shl_manifest_decode(shl_buf_view(&body), &m, err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "%s/manifest/%020" PRIu64 ".manifest", t->paths.r1, t->manifests.id);
        goto out;
    }
    t->last_seen = m->wal_id_last_seen;
    t->replay_after = m->replay_after_wal_id;
out:
    shl_manifest_free(m);
    shl_buf_free(&body);
    return rc;
}

shale_code shl_tail_new(const struct shl_tail_open *o, struct shl_tail **out, shale_error *err)
{
    shale_code rc;
    struct shl_tail *t = env_calloc(1, sizeof *t);
    if (t == NULL)
        return shl_nomem(err);
    t->store = shl_store_ref(o->store);
    t->wal_store = shl_store_ref(o->wal_store != NULL ? o->wal_store : o->store);
    t->transformer = o->transformer;
    SHL_TRY(shl_db_paths_init(&t->paths, o->path, err));
    shl_sequenced_init(&t->manifests, t->store, &t->paths, "manifest", NULL);
    SHL_TRY(look_at_manifest(t, err));
    *out = t;
    t = NULL;
out:
    shl_tail_free(t);
    return rc;
}

void shl_tail_free(struct shl_tail *t)
{
    if (t == NULL)
        return;
    shl_db_paths_deinit(&t->paths);
    shl_store_unref(t->store);
    shl_store_unref(t->wal_store);
    env_free(t);
}

shale_code shl_tail_seek(struct shl_tail *t, uint64_t id, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (id == 0) {
        rc = look_at_manifest(t, err);
        id = t->replay_after + 1;
    }
    if (rc == SHALE_OK)
        t->next = id;
    return rc;
}

shale_code shl_tail_list(struct shl_tail *t, uint64_t from, shl_wal_items *out, shale_error *err)
{
    return shl_wal_list(t->wal_store, &t->paths, from > 0 ? from - 1 : 0, out, err);
}

shale_code shl_tail_read(struct shl_tail *t, uint64_t id, struct shl_wal_file *out,
                         shale_error *err)
{
    shale_code rc =
        shl_wal_file_read(t->wal_store, &t->paths, id, SHL_WAL_FILE_MAX, t->transformer, out, err);
    if (rc == SHALE_NOT_FOUND)
        rc = shl_fail(err, rc, "no WAL object %" PRIu64 " in %s", id, t->wal_store->name);
    return rc;
}

static shale_code truncated(struct shl_tail *t, shale_error *err)
{
    shl_wal_items items = {0};
    shale_code rc = shl_tail_list(t, t->next, &items, err);
    if (rc == SHALE_OK && items.count > 0)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "WAL truncated: object %" PRIu64
                      " was collected before it was read; the oldest one behind it is %" PRIu64
                      ". Read the rows from the database, and follow from there",
                      t->next, items.items[0].id);
    else if (rc == SHALE_OK)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "WAL truncated: object %" PRIu64
                      " was collected before it was read, and none is left behind it. Read the "
                      "rows from the database, and follow from %" PRIu64,
                      t->next, t->last_seen + 1);
    shl_array_free(&items);
    return rc;
}

shale_code shl_tail_next(struct shl_tail *t, uint64_t *id, struct shl_wal_file *out,
                         shale_error *err)
{
    shale_code rc = t->next == 0 ? shl_tail_seek(t, 0, err) : SHALE_OK;
    if (rc != SHALE_OK)
        return rc;
    rc = shl_wal_file_read(t->wal_store, &t->paths, t->next, SHL_WAL_FILE_MAX, t->transformer, out,
                           err);
    if (rc == SHALE_NOT_FOUND) {
        rc = look_at_manifest(t, err);
        if (rc != SHALE_OK)
            return rc;
        if (t->next > t->last_seen)
            return SHALE_DONE;
        /* It was written: just now, between the two looks, or long ago. */
        rc = shl_wal_file_read(t->wal_store, &t->paths, t->next, SHL_WAL_FILE_MAX, t->transformer,
                               out, err);
        if (rc == SHALE_NOT_FOUND)
            return truncated(t, err);
    }
    if (rc == SHALE_OK)
        *id = t->next++;
    return rc;
}
