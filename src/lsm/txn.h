/* Snapshots and transactions of an open database. Each belongs to one task at a time, and ends before its database is closed.
 * slatedb-behaviour 9. */
#ifndef SHL_LSM_TXN_H
#define SHL_LSM_TXN_H

#include "lsm/db.h"

/* ---- snapshots: what is committed now, for as long as it is open. A writer's flushes and compactions keep what it needs; a reader's
 * handle holds its tables, which a garbage collector does not know of. */
struct shl_snapshot;
SHL_MUST shale_code shl_snapshot_open(struct shl_lsm *db, struct shl_snapshot **out,
                                      shale_error *err);
void shl_snapshot_close(struct shl_snapshot *s); /* NULL is fine */
const struct shl_view *shl_snapshot_view(const struct shl_snapshot *s);
struct shl_lsm *shl_snapshot_db(const struct shl_snapshot *s);

/* ---- transactions */
struct shl_txn;
/* INVALID on a reader's handle. */
SHL_MUST shale_code shl_txn_begin(struct shl_lsm *db, bool serializable, struct shl_txn **out,
                                  shale_error *err);
/* Drops what was not committed. NULL is fine. */
void shl_txn_close(struct shl_txn *t);
/* Ends it without a write; it may still be closed only. */
void shl_txn_rollback(struct shl_txn *t);
struct shl_ulid shl_txn_id(const struct shl_txn *t); /* random */
uint64_t shl_txn_started_seq(const struct shl_txn *t);
size_t shl_txn_writes(const struct shl_txn *t); /* operations added */

/* kind as in shl_batch_op. NOMEM leaves the transaction as it was. */
SHL_MUST shale_code shl_txn_write(struct shl_txn *t, uint8_t kind, struct shl_slice key,
                                  struct shl_slice value, struct shl_ttl ttl, shale_error *err);
/* The key counts as read, under either isolation. */
SHL_MUST shale_code shl_txn_mark_read(struct shl_txn *t, struct shl_slice key, shale_error *err);
/* The key is written all the same, but neither loses nor wins a conflict. */
SHL_MUST shale_code shl_txn_unmark_write(struct shl_txn *t, struct shl_slice key, shale_error *err);

/* The view includes own writes; how->view is set by these. A get notes its key as read, found or not; a scan its range. */
SHL_MUST shale_code shl_txn_get(struct shl_txn *t, struct shl_slice key,
                                const struct shl_lsm_read *how, struct shl_lsm_pinned *out,
                                shale_error *err);
SHL_MUST shale_code shl_txn_get_many(struct shl_txn *t, const struct shl_lsm_keys *keys,
                                     const struct shl_lsm_read *how, shale_error *err);
/* The iterator may outlive the transaction; what is written after its opening does not show in it. */
SHL_MUST shale_code shl_txn_scan(struct shl_txn *t, const struct shl_lsm_range *range,
                                 const struct shl_lsm_scan *how, struct shl_lsm_iter **out,
                                 shale_error *err);

/* Ends the transaction, whatever comes of it. CONFLICT, and nothing was written: somebody else wrote what it wrote or read. out->seq is 0 if
 * there was nothing to write. */
SHL_MUST shale_code shl_txn_commit(struct shl_txn *t, bool await_durable, uint64_t seq,
                                   struct shl_lsm_written *out, shale_error *err);

#endif
