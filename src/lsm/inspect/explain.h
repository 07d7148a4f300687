/* Where a get looks, and what each place answers: for people who wonder why a get is slow. Reads as a get does. Any task. */
#ifndef SHL_LSM_EXPLAIN_H
#define SHL_LSM_EXPLAIN_H

#include "base/codec/json.h"
#include "lsm/db.h"

/* Members of an object that the caller has begun: answer, seq and value_bytes where there is a row, memtables, tree and ssts in the order in which a get
 * asks them. Errors: those of a get but NOT_FOUND; the writer's own are kept in it. Cost: what the get costs. */
SHL_MUST shale_code shl_lsm_explain(struct shl_lsm *db, struct shl_slice key,
                                    struct shl_json_writer *w, shale_error *err);

#endif
