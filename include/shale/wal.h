/* The write-ahead log as a stream of changes: what a database wrote, in order, as it becomes durable. SPDX-License-Identifier: Apache-2.0
 *
 * For copies, caches, indexes and audits that follow a database: read all rows once, then the WAL from the id that stood in
 * shale_db_status.last_wal_id before. Nothing is written, and the writer does not notice. Objects are numbered without gaps; one holds whole batches;
 * an empty one is a fence: a writer opened there. They live until the garbage collector's min_age for the WAL is over, so it must be longer than a
 * follower may be late. A handle belongs to one thread at a time. */
#ifndef SHALE_WAL_H
#define SHALE_WAL_H

#include <shale/options.h>

SHALE_BEGIN_DECLS

typedef struct shale_wal shale_wal;

/* One object. Its rows are valid until the next call with the handle. */
typedef struct shale_wal_batch {
    uint64_t id; /* go on from id + 1 */
    const shale_raw_row *rows;
    size_t count; /* 0: a fence */
} shale_wal_batch;

/* NOT_FOUND: no database there. options: the store, wal_url and transformer are used. */
SHALE_API SHALE_MUST shale_code shale_wal_open(shale_wal **out, const char *url, const shale_options *options,
                                               shale_error *err);
SHALE_API void shale_wal_close(shale_wal *wal); /* NULL is fine */

/* Calls visit for each object with id >= from, ascending; stops when it returns false. One LIST for a thousand. */
SHALE_API SHALE_MUST shale_code shale_wal_list(shale_wal *wal, uint64_t from,
                                               bool (*visit)(void *ctx, uint64_t id, uint64_t bytes), void *ctx,
                                               shale_error *err);
/* Reads one object. NOT_FOUND: it was not written yet, or is collected. One GET. */
SHALE_API SHALE_MUST shale_code shale_wal_read(shale_wal_batch *out, shale_wal *wal, uint64_t id, shale_error *err);

/* Where shale_wal_next goes on. 0 (as after open): the first object whose rows may be in no SSTable yet. */
SHALE_API SHALE_MUST shale_code shale_wal_seek(shale_wal *wal, uint64_t id, shale_error *err);
/* The next object; waits up to timeout_ms for it, looking once every poll_ms (a GET or two each time; 0: 1000). DONE: it is not there yet; call again.
 * CORRUPTION that begins with "WAL truncated": it was collected before it was read. */
SHALE_API SHALE_MUST shale_code shale_wal_next(shale_wal_batch *out, shale_wal *wal, uint64_t timeout_ms, uint64_t poll_ms,
                                               shale_error *err);

SHALE_END_DECLS

#endif
