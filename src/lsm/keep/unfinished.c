#include "lsm/keep/unfinished.h"

#include "base/env/env.h"

shale_code shl_unfinished_sweep(struct shl_store *store, const struct shl_db_paths *paths,
                                const char *folder, const struct shl_sweep *how, shale_error *err)
{
    struct shl_sweep here = *how;
    char *dir = shl_name_dir(paths, folder);
    if (dir == NULL)
        return shl_nomem(err);
    here.prefix = dir;
    here.shallow = true; /* a folder below is somebody else's */
    shale_code rc = shl_store_sweep(store, &here, err);
    env_free(dir);
    return rc;
}
