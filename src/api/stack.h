/* The stores under a database: backend -> latency (if asked) -> count -> retry. Made of a URL and options. */
#ifndef SHL_API_STACK_H
#define SHL_API_STACK_H

#include "api/hooks.h"
#include "api/options.h"
#include "store/store.h"
#include "store/wrap_count.h"

#include <shale/metrics.h>

/* {0} may be closed. */
struct shl_api_stack {
    struct shl_store *store;     /* owned reference: what the engine uses */
    struct shl_store *wal_store; /* owned reference; NULL: wal/ lies in store */
    struct shl_store *count;     /* owned reference: the counting layer of store */
    struct shl_store *wal_count; /* owned reference or NULL */
    struct shl_store *backend;   /* owned reference: what is below all layers */
    char *path;                  /* owned: the database in the bucket */
    bool is_shared;              /* made by shl_api_stack_open_shared */
    struct shl_api_hooks *hooks; /* owned: callbacks of the options that it was opened with */
};

/* reader: a missing folder is not made. Errors: INVALID, NOT_SUPPORTED, NOMEM. No request is sent. */
SHL_MUST shale_code shl_api_stack_open(struct shl_api_stack *out, const char *url,
                                       const shale_options *o, bool reader, shale_error *err);
/* For a process that is a compactor, worker or collector only, with its own number of retries; SHL_RETRY_FOREVER: as all others. */
SHL_MUST shale_code shl_api_stack_open_role(struct shl_api_stack *out, const char *url,
                                            const shale_options *o, uint32_t retries,
                                            shale_error *err);
/* The same for a database of s3db's model: a folder is one that its processes may use too (store/shared_folder.h). There is no WAL. */
SHL_MUST shale_code shl_api_stack_open_shared(struct shl_api_stack *out, const char *url,
                                              const shale_options *o, bool reader,
                                              shale_error *err);
/* The same for raw objects: the whole path of the URL is the bucket; path stays NULL. A folder or memory is not tried again, a
 * bucket over the network a few times. */
SHL_MUST shale_code shl_api_stack_open_raw(struct shl_api_stack *out, const char *url,
                                           const shale_options *o, shale_error *err);
void shl_api_stack_close(struct shl_api_stack *s);
/* Sums of both counting layers, in the public shape. */
void shl_api_stack_counts(const struct shl_api_stack *s, shale_store_counts *out);
/* The same into a struct of the caller, as long as it says it is; s NULL: zeros. Nothing happens where out is NULL or says nothing. */
void shl_api_stack_give_counts(const struct shl_api_stack *s, shale_store_counts *out);
/* The same apart: of the store, and (if there is one) of that of the WAL; how many. */
size_t shl_api_stack_read(const struct shl_api_stack *s, struct shl_store_counts out[2]);

/* How messages name the store: host of a bucket, else the store's name. */
const char *shl_api_stack_host(const struct shl_api_stack *s, char *out, size_t cap);
SHL_MUST shale_code shl_api_make_bucket(const char *url, const shale_options *o, shale_error *err);

/* INVALID names the option and the nearest known one. */
SHL_MUST shale_code shl_api_store_option_check(const char *key, const char *value,
                                               shale_error *err);

#endif
