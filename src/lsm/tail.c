#include "lsm/tail.h"

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/format/manifest.h"
#include "lsm/manifest_store.h"

#include <inttypes.h>

struct shl_tail {
    struct shl_store *store, *wal_store; /* counted */
    struct shl_db_paths paths;           /* owned */
    const struct shl_transformer *transformer;
    struct shl_sequenced manifests;
    struct shl_manifest *manifest; /* owned: the newest that was seen */
    uint64_t next;                 /* 0: nobody has said yet */
    bool has_looked;               /* the WAL is where the manifest says that there is one */
};

/* What the newest manifest says of the WAL. */
static shale_code look_at_manifest(struct shl_tail *t, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_manifest *m;
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
    shl_manifest_free(t->manifest);
    t->manifest = m;
out:
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
    shl_manifest_free(t->manifest);
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
        id = t->manifest->replay_after_wal_id + 1;
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

/* Collectors leave the boundary's object and what is above it. */
static bool lacks_wal(const struct shl_tail *t, const shl_wal_items *items, uint64_t *end,
                      bool *none)
{
    *end = t->manifest->replay_after_wal_id;
    *none = true;
    for (size_t i = 0; i < items->count; i++) {
        *none = *none && items->items[i].id < t->manifest->replay_after_wal_id;
        *end += items->items[i].id == *end + 1;
    }
    return shl_manifest_lacks_wal(t->manifest, *end, *none);
}

static shale_code tell_of_next(const struct shl_tail *t, const shl_wal_items *items,
                               shale_error *err)
{
    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].id > t->next)
            return shl_fail(
                err, SHALE_CORRUPTION,
                "WAL truncated: object %" PRIu64
                " was collected before it was read; the oldest one behind it is %" PRIu64
                ". Read the rows from the database, and follow from there",
                t->next, items->items[i].id);
    return shl_fail(err, SHALE_CORRUPTION,
                    "WAL truncated: object %" PRIu64
                    " was collected before it was read, and none is left behind it. Read the "
                    "rows from the database, and follow from %" PRIu64,
                    t->next, t->manifest->wal_id_last_seen + 1);
}

/* What lies at and above the lower of t->next and the boundary, or CORRUPTION if what must be there is not. The manifest is looked at again: what was collected
 * since is not in the list, and only the newer one says so. */
static shale_code look_at_wal(struct shl_tail *t, shl_wal_items *items, shale_error *err)
{
    uint64_t id, end;
    bool none, lacks;
    shale_code rc;
    do {
        items->count = 0;
        id = t->manifests.id;
        rc = shl_tail_list(t, shl_min_u64(t->next, t->manifest->replay_after_wal_id), items, err);
        lacks = rc == SHALE_OK && lacks_wal(t, items, &end, &none);
        if (lacks)
            rc = look_at_manifest(t, err);
    } while (rc == SHALE_OK && t->manifests.id != id);
    if (rc == SHALE_OK && lacks)
        rc = shl_wal_lacks(&t->paths, t->manifest, end, none, err);
    t->has_looked = t->has_looked || rc == SHALE_OK;
    return rc;
}

static shale_code truncated(struct shl_tail *t, shale_error *err)
{
    shl_wal_items items = {0};
    shale_code rc = look_at_wal(t, &items, err);
    if (rc == SHALE_OK)
        rc = tell_of_next(t, &items, err);
    shl_array_free(&items);
    return rc;
}

/* Who waits for what comes is told once whether it can come at all. */
static shale_code at_the_end(struct shl_tail *t, shale_error *err)
{
    shl_wal_items items = {0};
    shale_code rc = t->has_looked ? SHALE_OK : look_at_wal(t, &items, err);
    shl_array_free(&items);
    return rc == SHALE_OK ? SHALE_DONE : rc;
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
        if (t->next > t->manifest->wal_id_last_seen)
            return at_the_end(t, err);
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
