/* Reads WAL objects in the order of their ids, and the next ones ahead: up to SHL_WAL_FETCH_OBJECTS at once, and not more than
 * SHL_WAL_FETCH_BYTES of them (but always one) waiting in memory. One task at a time. */
#ifndef SHL_LSM_WAL_FETCH_H
#define SHL_LSM_WAL_FETCH_H

#include "lsm/fanout.h"
#include "lsm/wal.h"

#define SHL_WAL_FETCH_OBJECTS 16
#define SHL_WAL_FETCH_BYTES   ((uint64_t)32 << 20)

struct shl_wal_fetch;

/* store, paths, transformer (may be NULL) and fanout (NULL: one after the other) are borrowed. The items are copied; bytes UINT64_MAX: not known; 0: a fence, which
 * is passed by without a request.
 * The first requests are on their way when it returns. */
SHL_MUST shale_code shl_wal_fetch_new(struct shl_store *store, const struct shl_db_paths *paths,
                                      const struct shl_transformer *transformer,
                                      struct shl_fanout *fanout, const struct shl_wal_item *items,
                                      size_t count, struct shl_wal_fetch **out, shale_error *err);
/* The next object, owned by the caller: shl_wal_file_deinit. *id is set on failure too. DONE behind the last; else as
 * shl_wal_file_read; after a failure nothing more is given. */
SHL_MUST shale_code shl_wal_fetch_next(struct shl_wal_fetch *w, uint64_t *id,
                                       struct shl_wal_file *out, shale_error *err);
/* Waits for what is on its way. NULL is fine. */
void shl_wal_fetch_free(struct shl_wal_fetch *w);

#endif
