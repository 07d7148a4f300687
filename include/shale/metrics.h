/* Requests, bytes and prices of what a handle did. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_METRICS_H
#define SHALE_METRICS_H

#include <shale/db.h>
#include <shale/store.h>

SHALE_BEGIN_DECLS

/* Requests to the object store since open. Tries are counted, retries too. */
typedef struct shale_store_counts {
    size_t struct_size;
    uint64_t put, get, head, list, del, copy; /* put: PUTs and multipart requests */
    uint64_t errors;                          /* answers that were failures other than "not found" and "exists" */
    uint64_t bytes_up, bytes_down;
    double cost_usd;                          /* what these requests cost on S3 Standard us-east-1, prices of 2026-11 */
} shale_store_counts;
/* Set struct_size = sizeof before. Any thread. */
SHALE_API void shale_db_store_counts(shale_db *db, shale_store_counts *out);
/* shale_db_close, and what the handle asked from its open to its end: closing makes requests, too. */
SHALE_API shale_code shale_db_close_counted(shale_db *db, shale_store_counts *out, shale_error *err);
SHALE_API void shale_store_counts_get(shale_store *store, shale_store_counts *out);

/* All metrics of a database as one JSON document or as Prometheus text, by SlateDB's names where the thing is the same. Owned: shale_text_free. NULL if out
 * of memory. */
SHALE_API char *shale_db_metrics_json(shale_db *db);
SHALE_API char *shale_db_metrics_prometheus(shale_db *db);
SHALE_API void shale_text_free(char *text); /* NULL is fine */

SHALE_END_DECLS

#endif
