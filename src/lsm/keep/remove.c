#include "lsm/keep/remove.h"

#include "base/env/env.h"
#include "base/num.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/manifest_edit.h"
#include "lsm/keep/unfinished.h"

#define MARKER     ".deleting"
#define BATCH_KEYS 1000

struct removal {
    const struct shl_remove *how;
    struct shl_removed *out;
    struct shl_manifests manifests;
};

/* ---------------------------------------------------------------- what it holds in its parents */

static shale_code unpin_one(struct shl_store *store, const struct shl_external_db *e,
                            shale_error *err)
{
    struct shl_manifests parent = {0};
    struct shl_ulid id;
    char text[SHL_UUID_TEXT];
    shl_uuid_format(e->final_checkpoint, text);
    shale_code rc = shl_manifests_init(&parent, store, e->path, true, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_delete(&parent, text, &id, err);
    shl_manifests_deinit(&parent);
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc; /* gone before, or the parent is */
}

shale_code shl_remove_pins(struct shl_store *store, const struct shl_manifest *m, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < m->external_dbs.count && rc == SHALE_OK; i++)
        if (m->external_dbs.items[i].has_final_checkpoint)
            rc = unpin_one(store, &m->external_dbs.items[i], err);
    return rc;
}

static shale_code unpin(struct removal *r, shale_error *err)
{
    const struct shl_manifest *m = r->manifests.newest;
    for (size_t i = 0; m != NULL && i < m->external_dbs.count; i++)
        r->out->pins += m->external_dbs.items[i].has_final_checkpoint;
    return m == NULL || r->how->dry_run ? SHALE_OK : shl_remove_pins(r->how->store, m, err);
}

static shale_code look(struct removal *r, shale_error *err)
{
    shale_code rc = shl_manifests_load(&r->manifests, err);
    if (rc == SHALE_NOT_FOUND) /* an earlier try may have got that far */
        return SHALE_OK;
    const struct shl_manifest *m = r->manifests.newest;
    for (size_t i = 0; rc == SHALE_OK && i < m->checkpoints.count; i++)
        r->out->endless += m->checkpoints.items[i].expire_s == 0;
    return rc;
}

/* ---------------------------------------------------------------- objects */

static bool is_folder(const char *key)
{
    size_t n = strlen(key);
    return n > 0 && key[n - 1] == '/';
}

static shale_code drop_list(struct removal *r, struct shl_store *store, const struct shl_list *list,
                            shale_error *err)
{
    const char *keys[BATCH_KEYS];
    for (size_t at = 0; at < list->count;) {
        size_t n = 0;
        for (; n < BATCH_KEYS && at < list->count; at++) {
            if (is_folder(list->items[at].key))
                continue; /* a folder in it is not ours: another database may lie there */
            keys[n++] = list->items[at].key;
            r->out->objects++;
            r->out->bytes += list->items[at].size;
            if (r->how->each != NULL)
                r->how->each(r->how->ctx, list->items[at].key, list->items[at].size);
        }
        shale_code rc =
            r->how->dry_run || n == 0 ? SHALE_OK : shl_store_delete_many(store, keys, n, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* With no WAL object here. */
static uint64_t wal_of_another_store(const struct removal *r)
{
    const struct shl_manifest *m = r->manifests.newest;
    bool is_here = m == NULL || r->how->wal_store != NULL ||
                   !shl_manifest_lacks_wal(m, m->replay_after_wal_id, true);
    return is_here ? 0 : shl_max_u64(m->wal_id_last_seen, m->replay_after_wal_id);
}

static void note_swept(void *ctx, const char *path, uint64_t bytes)
{
    struct removal *r = ctx;
    r->out->objects++;
    r->out->bytes += bytes;
    if (r->how->each != NULL)
        r->how->each(r->how->ctx, path, bytes);
}

static shale_code drop_folder(struct removal *r, const char *name, shale_error *err)
{
    struct shl_store *store = r->how->store;
    struct shl_list list = {0};
    char *dir = shl_name_dir(&r->manifests.paths, name);
    if (dir == NULL)
        return shl_nomem(err);
    if (strcmp(name, "wal") == 0 && r->how->wal_store != NULL)
        store = r->how->wal_store;
    shale_code rc = shl_store_list(
        store, &(struct shl_list_options){.prefix = dir, .shallow = true}, &list, err);
    if (rc == SHALE_OK && strcmp(name, "wal") == 0 && list.count == 0)
        r->out->wal_unseen = wal_of_another_store(r);
    if (rc == SHALE_OK)
        rc = drop_list(r, store, &list, err);
    if (rc == SHALE_OK)
        rc = shl_unfinished_sweep(
            store, &r->manifests.paths, name,
            &(struct shl_sweep){.dry_run = r->how->dry_run, .visit = note_swept, .ctx = r}, err);
    shl_list_free(&list);
    env_free(dir);
    return rc;
}

shale_code shl_remove_is_begun(struct shl_store *store, const struct shl_db_paths *paths,
                               bool *begun, shale_error *err)
{
    struct shl_object o;
    char *marker = shl_name_dir(paths, MARKER);
    shale_code rc = marker == NULL ? shl_nomem(err) : shl_store_head(store, marker, &o, err);
    env_free(marker);
    *begun = rc == SHALE_OK;
    return rc == SHALE_NOT_FOUND ? SHALE_OK : rc;
}

static shale_code mark(const struct removal *r, const char *key, bool *was_there, shale_error *err)
{
    struct shl_object o;
    shale_code rc = shl_store_head(r->how->store, key, &o, err);
    *was_there = rc == SHALE_OK;
    if (rc != SHALE_NOT_FOUND || r->how->dry_run)
        return rc == SHALE_NOT_FOUND ? SHALE_OK : rc;
    return shl_store_put(r->how->store, key, NULL, 0, &(struct shl_put){.mode = SHL_PUT_OVERWRITE},
                         NULL, err);
}

shale_code shl_remove_run(const struct shl_remove *how, struct shl_removed *out, shale_error *err)
{
    static const char *const folders[] = {"compacted", "wal", "compactions", "gc", "manifest"};
    struct removal r = {.how = how, .out = out};
    bool was_marked;
    char *marker = NULL;
    shale_code rc;
    *out = (struct shl_removed){.objects = 0};
    SHL_TRY(shl_manifests_init(&r.manifests, how->store, how->path, false, err));
    marker = shl_name_dir(&r.manifests.paths, MARKER);
    if (marker == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(look(&r, err));
    if (r.manifests.newest == NULL && !how->dry_run) {
        struct shl_object o;
        rc = shl_store_head(how->store, marker, &o, err);
        if (rc == SHALE_NOT_FOUND)
            rc = shl_fail(err, rc, "no database here: %s has no %s%smanifest/", how->store->name,
                          r.manifests.paths.r1, r.manifests.paths.r1[0] != '\0' ? "/" : "");
        SHL_TRY(rc);
    }
    SHL_TRY(mark(&r, marker, &was_marked, err));
    SHL_TRY(unpin(&r, err));
    for (size_t i = 0; i < SHL_COUNT_OF(folders); i++) {
        ENV_POINT("remove before a folder");
        SHL_TRY(drop_folder(&r, folders[i], err));
    }
    if (out->objects == 0 && r.manifests.newest == NULL && !was_marked)
        SHL_TRY(shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s%smanifest/",
                         how->store->name, r.manifests.paths.r1,
                         r.manifests.paths.r1[0] != '\0' ? "/" : ""));
    if (!how->dry_run)
        SHL_TRY(shl_store_delete(how->store, marker, err));
out:
    env_free(marker);
    shl_manifests_deinit(&r.manifests);
    return rc;
}
