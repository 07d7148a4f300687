/* Unfinished writes of folders: a process that was killed leaves its staged file, which no key names and nobody would ever delete. */
#ifndef SHL_STORE_SWEEP_H
#define SHL_STORE_SWEEP_H

#include "store/store.h"

#define SHL_SWEEP_AGE_NS                                                                           \
    ((uint64_t)3600 * 1000 * 1000 * 1000) /* no write stands still for so long */

struct shl_sweep {
    const char *prefix; /* only below this folder, which has no '/' at its end; "": all */
    bool shallow;       /* not in the folders below it */
    uint64_t age_ns;    /* files that were last written to so long ago */
    bool dry_run;       /* only tell */
    void (*visit)(void *ctx, const char *path, uint64_t bytes); /* path: below the store */
    void *ctx;
};

/* Deletes such files; files and folders that cannot be reached are passed over. Stores without any: OK. Errors: NOMEM, and what a folder says that cannot be
 * read. */
SHL_MUST shale_code shl_store_sweep(struct shl_store *s, const struct shl_sweep *how,
                                    shale_error *err);

/* For stores that are folders: `is_unfinished` looks at the last segment. Links are not followed out of the root. */
SHL_MUST shale_code shl_folder_sweep(const char *root, bool (*is_unfinished)(const char *name),
                                     const struct shl_sweep *how, shale_error *err);

#endif
