/* Raw objects: what `shale store` uses. SPDX-License-Identifier: Apache-2.0
 *
 * A store is a bucket or folder; keys are paths with '/' between segments, without leading or trailing '/'. Any thread at once. */
#ifndef SHALE_STORE_H
#define SHALE_STORE_H

#include <shale/error.h>
#include <shale/options.h>
#include <shale/types.h>

SHALE_BEGIN_DECLS

typedef struct shale_store shale_store;

/* The whole path of the URL is the root. options: store options are used. */
SHALE_API SHALE_MUST shale_code shale_store_open(shale_store **out, const char *url, const shale_options *options,
                                                 shale_error *err);
SHALE_API void shale_store_close(shale_store *store); /* NULL is fine */
/* Makes the bucket (s3://name) or folder that the URL names; a path behind the bucket is passed over. ALREADY_EXISTS: it is there. */
SHALE_API SHALE_MUST shale_code shale_store_make_bucket(const char *url, const shale_options *options, shale_error *err);

typedef struct shale_object {
    const char *key;     /* borrowed until the callback or call returns; NULL from head */
    uint64_t size;       /* bytes */
    int64_t modified_ms; /* Unix ms; 0 if unknown */
    char etag[96];       /* "" if the store gives none or from a list */
} shale_object;

/* Ascending by key bytes. prefix: whole segments ("a" lists "a/b", not "ab"); NULL: all. Stops when visit returns false. */
SHALE_API SHALE_MUST shale_code shale_store_list(shale_store *store, const char *prefix,
                                                 bool (*visit)(void *ctx, const shale_object *object), void *ctx,
                                                 shale_error *err);
SHALE_API SHALE_MUST shale_code shale_store_head(shale_store *store, const char *key, shale_object *out, shale_error *err);
/* The object's bytes, owned: shale_store_body_free. */
SHALE_API SHALE_MUST shale_code shale_store_get(shale_store *store, const char *key, void **out_data, size_t *out_len,
                                                shale_error *err);
SHALE_API void shale_store_body_free(void *data);
/* create_only: ALREADY_EXISTS if the key is there. */
SHALE_API SHALE_MUST shale_code shale_store_put(shale_store *store, const char *key, shale_slice body, bool create_only,
                                                shale_error *err);
SHALE_API SHALE_MUST shale_code shale_store_copy(shale_store *store, const char *from, const char *to, shale_error *err);
/* A missing object counts as deleted. */
SHALE_API SHALE_MUST shale_code shale_store_delete(shale_store *store, const char *key, shale_error *err);

/* One thing that the doctor found. All borrowed until the callback returns. */
typedef enum shale_health { SHALE_HEALTH_OK = 0, SHALE_HEALTH_WARN = 1, SHALE_HEALTH_FAIL = 2 } shale_health;
typedef struct shale_finding {
    shale_health health;
    const char *what;     /* "create-only put" */
    const char *measured; /* "32 racers, 1 winner, 31 refused" */
    const char *fix;      /* "" if nothing is to be done */
    double ms;            /* how long it took; 0 if no time was measured */
} shale_finding;
/* Tries what a database needs of the store: of a bucket who asks, region and certificate; of a folder owner, file system, space, unfinished writes and
 * locks; then each right, ranges, create-only and if-match writes that race, multipart, copy, deletes and the clock. Temporary objects lie under one fresh
 * prefix and are removed, also when visit returns false to stop. What fails is a finding (FAIL: it cannot hold a database safely); errors are for a store that cannot be
 * reached or told apart: NO_BUCKET, UNAUTHENTICATED, UNAVAILABLE, TIMEOUT, INVALID, NOMEM. Requests: shale_store_counts_get. */
SHALE_API SHALE_MUST shale_code shale_store_doctor(shale_store *store,
                                                   bool (*visit)(void *ctx, const shale_finding *finding), void *ctx,
                                                   shale_error *err);

SHALE_END_DECLS

#endif
