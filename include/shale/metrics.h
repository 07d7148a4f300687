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
/* One of them. Texts are borrowed until the callback returns. */
typedef enum shale_metric_kind {
    SHALE_METRIC_COUNTER = 0, /* only grows, from 0 at open */
    SHALE_METRIC_GAUGE = 1,
    SHALE_METRIC_HISTOGRAM = 2
} shale_metric_kind;
typedef struct shale_metric {
    const char *name; /* "slatedb.db.request_count" */
    const char *help;
    shale_metric_kind kind;
    size_t label_count;
    const char *label_names[4];
    const char *label_values[4];
    uint64_t value; /* of a histogram: how many values it has */
    /* of a histogram, else 0 and NULL */
    double sum;               /* of its values */
    size_t border_count;
    const double *borders;    /* ascending; borrowed as the texts */
    const uint64_t *buckets;  /* border_count + 1: values up to each border and above the one before; the last: above all */
} shale_metric;
/* Hands each metric to visit, for a recorder of yours; those of one name stand together. Stops when it returns false; without memory none is handed. Any thread; takes no more than a few
 * microseconds and disturbs nobody. */
SHALE_API void shale_db_metrics_each(shale_db *db, bool (*visit)(void *ctx, const shale_metric *metric), void *ctx);
SHALE_API void shale_text_free(char *text); /* NULL is fine */

SHALE_END_DECLS

#endif
