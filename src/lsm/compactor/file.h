/* The .compactions object of a database, read and written by compare-and-set. One task at a time per struct. slatedb-behaviour 1.1, 13.1. */
#ifndef SHL_LSM_COMPACTOR_FILE_H
#define SHL_LSM_COMPACTOR_FILE_H

#include "lsm/compactor/jobs.h"
#include "lsm/manifest_store.h"

struct shl_compactions_file {
    struct shl_sequenced versions;
    struct shl_compactions
        *now; /* owned: the newest version that we know; NULL: none was read, or there is none */
    bool is_read; /* `now` is what version versions.id holds (NULL and id 0: no object) */
};

void shl_compactions_file_init(struct shl_compactions_file *f, struct shl_store *store,
                               const struct shl_db_paths *paths, struct shl_fanout *fanout);
void shl_compactions_file_deinit(struct shl_compactions_file *f);
/* Reads the newest version. *changed: `now` is another one. No object is no failure: now is NULL. */
SHL_MUST shale_code shl_compactions_file_load(struct shl_compactions_file *f, bool *changed,
                                              shale_error *err);
/* Writes `next`, which becomes `now` on success. PRECONDITION: somebody else wrote; `now` is to be loaded again.
 * INVALID: a guard of the collector's (a job or output older than it may be). */
SHL_MUST shale_code shl_compactions_file_write(struct shl_compactions_file *f,
                                               struct shl_compactions **take_next,
                                               shale_error *err);

#endif
