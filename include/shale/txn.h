/* Snapshots and transactions of an open database. SPDX-License-Identifier: Apache-2.0
 *
 * Threads: a snapshot may be read by any thread at once; a transaction belongs to one thread at a time, any number of them may be open. Both
 * must be closed before their database. Pinned values and iterators that came from them may live longer, but not longer than the database. */
#ifndef SHALE_TXN_H
#define SHALE_TXN_H

#include <shale/db.h>

SHALE_BEGIN_DECLS

typedef struct shale_snapshot shale_snapshot;
typedef struct shale_txn shale_txn;

/* ---- snapshots
 *
 * What is committed now, read again and again: later writes, flushes and compactions do not show (only rows whose time to live is over may go). A
 * writer keeps the versions that an open snapshot needs, in memory and in the bucket, so none should be left open for ever. A reader's handle can
 * take one, too: it holds the SSTables that it has open, which another process's garbage collector deletes once they are old enough. */
SHALE_API SHALE_MUST shale_code shale_db_snapshot(shale_snapshot **out, shale_db *db, shale_error *err);
SHALE_API void shale_snapshot_close(shale_snapshot *snapshot); /* before the database is closed; NULL is fine */
/* The newest sequence number that it sees. */
SHALE_API uint64_t shale_snapshot_seq(const shale_snapshot *snapshot);

/* As those of a database (shale/db.h). With durability = remote: of what the snapshot sees, what is durable. */
SHALE_API SHALE_MUST shale_code shale_snapshot_get(shale_pinned *out, shale_snapshot *snapshot, shale_slice key,
                                                   const shale_read_options *options, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_snapshot_get_many(shale_pinned *out, shale_code *codes, shale_snapshot *snapshot,
                                                        const shale_slice *keys, size_t count,
                                                        const shale_read_options *options, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_snapshot_get_into(shale_snapshot *snapshot, shale_slice key, void *dst, size_t cap,
                                                        size_t *value_len, const shale_read_options *options,
                                                        shale_error *err);
SHALE_API SHALE_MUST shale_code shale_snapshot_scan(shale_iter **out, shale_snapshot *snapshot, shale_range range,
                                                    const shale_scan_options *options, shale_error *err);

/* ---- transactions
 *
 * A transaction reads what was committed when it began, and its own writes on top; others see its writes when it has committed, all at once. There
 * are no locks and nobody waits: a commit that collides with one that came before it fails with CONFLICT and has written nothing; the caller runs
 * the transaction again. Every write of this handle counts, plain ones and batches too. */
typedef enum shale_isolation {
    SHALE_ISOLATION_SNAPSHOT = 0,    /* CONFLICT if somebody else wrote a key that it wrote */
    SHALE_ISOLATION_SERIALIZABLE = 1 /* ... or a key that it read, found or not, or one in a range that it scanned, even if it did not read on */
} shale_isolation;

typedef struct shale_txn_options {
    size_t struct_size;
    shale_isolation isolation; /* default snapshot */
} shale_txn_options;
SHALE_API void shale_txn_options_init(shale_txn_options *o, size_t struct_size);

/* INVALID on a reader's handle. While a transaction is open, the keys that others write are remembered, in up to transaction_log_bytes (64 MiB): if
 * that does not do, the oldest transactions fail with CONFLICT at their commit. */
SHALE_API SHALE_MUST shale_code shale_db_begin(shale_txn **out, shale_db *db, const shale_txn_options *options,
                                               shale_error *err);
/* Frees it, before the database is closed; what was not committed is dropped. NULL is fine. */
SHALE_API void shale_txn_close(shale_txn *txn);
/* The sequence number at which it began: the newest that it sees. */
SHALE_API uint64_t shale_txn_seq(const shale_txn *txn);
/* A random UUID, for logs: no other transaction has it. */
SHALE_API void shale_txn_id(const shale_txn *txn, char out[SHALE_UUID_TEXT]);

/* Nothing is sent before the commit. Key and value are copied. A row that the transaction itself wrote reads with seq UINT64_MAX and create_ts 0: it
 * gets both, and the end of its time to live, at the commit. */
SHALE_API SHALE_MUST shale_code shale_txn_put(shale_txn *txn, shale_slice key, shale_slice value, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_txn_put_ttl(shale_txn *txn, shale_slice key, shale_slice value, shale_ttl_kind kind,
                                                  int64_t ttl_ms, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_txn_delete(shale_txn *txn, shale_slice key, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_txn_merge(shale_txn *txn, shale_slice key, shale_slice operand, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_txn_merge_ttl(shale_txn *txn, shale_slice key, shale_slice operand,
                                                    shale_ttl_kind kind, int64_t ttl_ms, shale_error *err);

SHALE_API SHALE_MUST shale_code shale_txn_get(shale_pinned *out, shale_txn *txn, shale_slice key,
                                              const shale_read_options *options, shale_error *err);
SHALE_API SHALE_MUST shale_code shale_txn_get_many(shale_pinned *out, shale_code *codes, shale_txn *txn,
                                                   const shale_slice *keys, size_t count,
                                                   const shale_read_options *options, shale_error *err);
/* What the transaction writes after the call does not show in the iterator. */
SHALE_API SHALE_MUST shale_code shale_txn_scan(shale_iter **out, shale_txn *txn, shale_range range,
                                               const shale_scan_options *options, shale_error *err);

/* From now on the key counts as read, under either isolation. */
SHALE_API SHALE_MUST shale_code shale_txn_mark_read(shale_txn *txn, shale_slice key, shale_error *err);
/* The key is written all the same, but not tested: neither this transaction nor another one fails because of this write. */
SHALE_API SHALE_MUST shale_code shale_txn_unmark_write(shale_txn *txn, shale_slice key, shale_error *err);

/* Commits and ends the transaction, whatever the answer: after it only shale_txn_close. options as for shale_db_write (the times to live are unused).
 * A transaction without writes needs no durability, and its result has seq 0. CONFLICT names a key. After FENCED or UNAVAILABLE the rows may or may
 * not be durable. */
SHALE_API SHALE_MUST shale_code shale_txn_commit(shale_txn *txn, const shale_write_options *options, shale_error *err);
/* Ends the transaction without a write. */
SHALE_API void shale_txn_rollback(shale_txn *txn);

SHALE_END_DECLS

#endif
