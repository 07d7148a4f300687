/* Writes that never ended: what processes that were killed left in the folders of a database, where the store is a folder. */
#ifndef SHL_LSM_UNFINISHED_H
#define SHL_LSM_UNFINISHED_H

#include "lsm/format/names.h"
#include "store/sweep.h"

/* Sweeps one folder of a database ("wal", "compacted" ..); how->prefix is not looked at. A store that is no folder has none. */
SHL_MUST shale_code shl_unfinished_sweep(struct shl_store *store, const struct shl_db_paths *paths,
                                         const char *folder, const struct shl_sweep *how,
                                         shale_error *err);

#endif
