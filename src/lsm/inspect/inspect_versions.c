/* Several versions of the manifest, or of the compactions file, as SlateDB's tool lists them. */
#include "base/env/env.h"
#include "lsm/inspect/inspect.h"

/* Versions of a folder with from <= id < to, ascending. */
static shale_code find_ids(const struct shl_inspect *in, const char *kind, uint64_t from,
                           uint64_t to, shl_version_ids *out, shale_error *err)
{
    struct shl_db_paths paths = {0};
    struct shl_list list = {0};
    char *folder = NULL;
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&paths, in->path, err));
    folder = shl_name_dir(&paths, kind);
    if (folder == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_store_list(in->store, &(struct shl_list_options){.prefix = folder}, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (!shl_name_parse_id(list.items[i].key, kind, &id) || id < from || (to > 0 && id >= to))
            continue;
        if (!shl_array_push(out, id))
            SHL_TRY(shl_nomem(err));
    }
out:
    env_free(folder);
    shl_list_free(&list);
    shl_db_paths_deinit(&paths);
    return rc;
}

shale_code shl_inspect_versions(const struct shl_inspect *in, bool compactions, uint64_t from,
                                uint64_t to, struct shl_json_writer *w, shale_error *err)
{
    shl_version_ids ids = {0};
    shale_code rc = find_ids(in, compactions ? "compactions" : "manifest", from, to, &ids, err);
    if (rc == SHALE_OK && ids.count == 0 && !compactions) { /* is there a database at all? */
        struct shl_inspected x = {0};
        rc = shl_inspect_load(in, 0, &x, err);
        shl_inspected_deinit(&x);
    }
    shl_json_array(w);
    for (size_t i = 0; i < ids.count && rc == SHALE_OK; i++) {
        rc = compactions ? shl_inspect_compactions(in, ids.items[i], w, err)
                         : shl_inspect_manifest(in, ids.items[i], w, err);
        if (rc == SHALE_NOT_FOUND) /* a collector was faster */
            rc = SHALE_OK;
    }
    shl_json_array_end(w);
    shl_array_free(&ids);
    return rc;
}
