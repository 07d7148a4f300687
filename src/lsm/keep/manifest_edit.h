/* The manifests of one database for who is not its writer: the newest one, loaded, and changed by compare-and-set.
 * Checkpoints, the collector and clones stand on it. One task at a time; the struct must not move between init and deinit. */
#ifndef SHL_LSM_MANIFEST_EDIT_H
#define SHL_LSM_MANIFEST_EDIT_H

#include "lsm/clock.h"
#include "lsm/format/manifest.h"
#include "lsm/manifest_store.h"

struct shl_manifests {
    struct shl_store *store;         /* borrowed */
    struct shl_db_paths paths;       /* owned */
    struct shl_sequenced versions;   /* versions.id: which one `newest` is */
    struct shl_manifest *newest;     /* owned; NULL: not loaded, or there is none */
    uint64_t update_timeout_ns;      /* of one update; 0: 300 s */
    struct shl_clock clock;          /* by which checkpoints end; {0}: the system's */
};

/* path: of the database in the bucket, unescaped (or, escaped, as external_dbs has it). No request. */
SHL_MUST shale_code shl_manifests_init(struct shl_manifests *m, struct shl_store *store, const char *path,
                                       bool escaped, shale_error *err);
void shl_manifests_deinit(struct shl_manifests *m); /* {0} is fine */

/* Makes `newest` the newest. NOT_FOUND names the place where no database is. Cost: a LIST, a GET and the boundary; later a GET
 * per newer version, one that finds nothing, and the boundary. */
SHL_MUST shale_code shl_manifests_load(struct shl_manifests *m, shale_error *err);
/* What was loaded counts no more: the next load begins with a LIST. `newest` is gone. */
void shl_manifests_doubt(struct shl_manifests *m);
/* One version, whether above the boundary or not. Owned by the caller. */
SHL_MUST shale_code shl_manifests_read(struct shl_manifests *m, uint64_t id, struct shl_manifest **out,
                                       shale_error *err);

/* edit changes `next`, a copy of the newest manifest, which will have the id `next_id`; it may run several times. SHALE_DONE: there is
 * nothing to change, and nothing is written. */
typedef shale_code (*shl_manifests_edit)(struct shl_manifest *next, uint64_t next_id, void *arg, shale_error *err);
/* With the newest loaded. TIMEOUT if others won the write for too long. After success `newest` is what holds. */
SHL_MUST shale_code shl_manifests_update(struct shl_manifests *m, shl_manifests_edit edit, void *arg,
                                         shale_error *err);
/* Writes manifest 1 of a database that is not there. PRECONDITION: somebody else was faster. */
SHL_MUST shale_code shl_manifests_create(struct shl_manifests *m, const struct shl_manifest *first,
                                         shale_error *err);

#endif
