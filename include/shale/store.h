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

/* ---- a store of yours
 *
 * Where objects go is up to these functions, which do what is said of shale_store_* above: for a log or database that keeps them elsewhere, for a test, for a platform without
 * files. As the main store it holds all of a database; as the store of the WAL only wal/, numbered objects that are made once, listed, read and deleted (SlateDB's custom
 * WALs). Every other process that opens the database needs a store with the same content. The usual layers lie above: retries, counts, metrics.
 *
 * All are called from any thread, several at once, also for one key. What a finished put or remove did, every later call sees, lists too; a put is seen whole or not at
 * all, and of many puts with CREATE of one key exactly one succeeds: a database that is made on a far store tries that first. A failure's text may be written to err->text. Codes: NOT_FOUND, ALREADY_EXISTS
 * (CREATE), PRECONDITION (IF_MATCH), PERMISSION_DENIED, UNAVAILABLE (tried again; a put may or may not have happened), ... What they are handed is borrowed until they return. */
typedef enum shale_put_mode {
    SHALE_PUT_OVERWRITE = 0,
    SHALE_PUT_CREATE = 1,  /* ALREADY_EXISTS if the key is there */
    SHALE_PUT_IF_MATCH = 2 /* PRECONDITION unless the object is there with the ETag if_match */
} shale_put_mode;

typedef struct shale_store_callbacks {
    size_t struct_size;
    void *ctx;
    bool is_near;     /* default false. True: it answers in microseconds and costs nothing, as a folder does: requests are made one after the other */
    bool no_if_match; /* default false. True: IF_MATCH is not known; the collector of garbage then leaves manifests alone */
    /* Stores the parts, one behind the other. *out: etag is filled, if there are ETags. */
    shale_code (*put)(void *ctx, const char *key, const shale_slice *parts, size_t count, shale_put_mode mode,
                      const char *if_match, shale_object *out, shale_error *err);
    /* Hands the bytes from `offset` on, at most `len` (UINT64_MAX: all), to emit in order, in as many pieces as it likes; none if the object ends before. *out: all but key is
     * filled, of the same version of the object as the bytes. */
    shale_code (*get)(void *ctx, const char *key, uint64_t offset, uint64_t len,
                      void (*emit)(void *emit_ctx, const void *data, size_t len), void *emit_ctx, shale_object *out,
                      shale_error *err);
    shale_code (*head)(void *ctx, const char *key, shale_object *out, shale_error *err);
    /* Objects below `prefix` (whole segments; "": all) with keys above start_after (NULL: from the first), ascending by key bytes: key, size and modified_ms. More may be visited, they are passed over. Stops
     * when visit returns false. */
    shale_code (*list)(void *ctx, const char *prefix, const char *start_after,
                       bool (*visit)(void *visit_ctx, const shale_object *object), void *visit_ctx, shale_error *err);
    shale_code (*remove)(void *ctx, const char *key, shale_error *err); /* a missing object is fine */
} shale_store_callbacks;
SHALE_API void shale_store_callbacks_init(shale_store_callbacks *o, size_t struct_size);

typedef enum shale_store_use {
    SHALE_STORE_MAIN = 0, /* the URL of an open call is then the path of the database in it, without a scheme; of shale_store_open: of a folder, "" for all */
    SHALE_STORE_WAL = 1   /* stands before wal_url */
} shale_store_use;
/* Copied; ctx must stay valid until all that was opened with the options is closed. NULL: as before. INVALID: a function is missing, struct_size, use. */
SHALE_API SHALE_MUST shale_code shale_options_set_store_callbacks(shale_options *options, shale_store_use use,
                                                                  const shale_store_callbacks *callbacks,
                                                                  shale_error *err);

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
