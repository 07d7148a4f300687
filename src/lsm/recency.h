/* The versions of keys with a prefix, layer by layer: memtables newest first, then the SSTs of L0, then the runs. Raw rows: deletions and operands
 * too, and keys once in every layer that has them. For who wants what was written last, and stops early. slatedb-behaviour 4.3. */
#ifndef SHL_LSM_RECENCY_H
#define SHL_LSM_RECENCY_H

#include "lsm/db.h"

struct shl_recency;
/* how: remote_only, cache_blocks, read_ahead_bytes and view are used. INVALID: the prefix lies in more than one segment. */
SHL_MUST shale_code shl_recency_open(struct shl_lsm *db, struct shl_slice prefix,
                                     const struct shl_lsm_scan *how, struct shl_recency **out,
                                     shale_error *err);
/* DONE behind the last. Within a layer by key ascending, then seq descending. *layer counts from 0, those without rows too. The row is valid until the next call;
 * after another failure every later call returns it. */
SHL_MUST shale_code shl_recency_next(struct shl_recency *r, struct shl_row *out, size_t *layer,
                                     shale_error *err);
void shl_recency_close(struct shl_recency *r); /* NULL is fine */

#endif
