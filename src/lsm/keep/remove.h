/* Deleting a whole database. slatedb-surface 1.6 "delete_db". */
#ifndef SHL_LSM_REMOVE_H
#define SHL_LSM_REMOVE_H

#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "store/store.h"

struct shl_remove {
    struct shl_store *store;     /* borrowed */
    struct shl_store *wal_store; /* borrowed; NULL: the same */
    const char *path;            /* unescaped */
    bool dry_run;                /* only look */
    void (*each)(void *ctx, const char *key, uint64_t bytes); /* an object that goes, before it does; NULL: nobody listens */
    void *ctx;
};
struct shl_removed {
    uint64_t objects, bytes;
    uint64_t pins;    /* checkpoints in parents of this clone that were given up, or would be */
    uint64_t endless; /* checkpoints of the newest manifest that never expire: clones may stand on them */
    uint64_t wal_unseen; /* the last WAL object that the newest manifest knows of, where wal/ is empty and no other store was named: it is in one; 0: not so */
};
/* Objects of the database's own folders, and no others below its path. First a marker `.deleting`, then what it holds in its parents, SSTs, WAL and compactions files, then manifests, so that
 * the name is not taken for a free one, last the marker: cut off anywhere, it may be called again. NOT_FOUND: there is no object. Who has the
 * database open is not asked. Cost: a LIST per 1,000 objects of each of five folders, a DELETE likewise (or each); a PUT. */
SHL_MUST shale_code shl_remove_run(const struct shl_remove *r, struct shl_removed *out, shale_error *err);
/* Whether somebody is at it, or was cut off. One HEAD. */
SHL_MUST shale_code shl_remove_is_begun(struct shl_store *store, const struct shl_db_paths *paths, bool *begun,
                                        shale_error *err);
/* Gives up what a clone of this manifest holds in its parents; what is gone before is fine. */
SHL_MUST shale_code shl_remove_pins(struct shl_store *store, const struct shl_manifest *m, shale_error *err);

#endif
