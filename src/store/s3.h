/* S3 and what speaks it, over store/http (object-stores 7). Never part of the simulation. */
#ifndef SHL_STORE_S3_H
#define SHL_STORE_S3_H

#include "base/log.h"
#include "store/s3_config.h"
#include "store/store.h"

/* What the store has of whoever opens it, borrowed for its life; each may be NULL. */
struct shl_s3_hooks {
    const struct shl_log *log;    /* each request at DEBUG */
    bool (*cancelled)(void *ctx); /* any thread; true: requests that find no connection are given up */
    void *cancel_ctx;
};

/* A store over the bucket. `config` is moved into it, on failure too.
 * With bucket "" it only lists: the buckets of the account, as "name/". Nothing is sent. Errors: INVALID (bucket name, endpoint), NOMEM. */
SHL_MUST shale_code shl_store_s3_new(struct shl_store **out, const char *bucket, struct shl_s3_config *take_config,
                                     const struct shl_s3_hooks *hooks, shale_error *err);

/* Makes the bucket of `s`. ALREADY_EXISTS: it is there (ours or another's, the text says which). */
SHL_MUST shale_code shl_store_s3_make_bucket(struct shl_store *s, shale_error *err);

/* For `store doctor`: the difference of the server's clock to ours in ms, by the Date of an answer; and who asks. */
struct shl_s3_facts {
    int64_t clock_ahead_ms;
    char region[64];
    char host[300];
    char identity[160]; /* "AKIA... from environment AWS_ACCESS_KEY_ID"; no secret */
    int64_t expires_unix_ms; /* of the credentials; INT64_MAX: not known to expire */
    bool tls;
    bool verified;           /* the server's certificate is checked */
};
SHL_MUST shale_code shl_store_s3_facts(struct shl_store *s, struct shl_s3_facts *out, shale_error *err);
/* What requests go through and its version, or why it cannot be loaded. Any thread. */
void shl_store_s3_library(char *out, size_t cap);

/* "s3.example:9000"; nothing is sent. */
void shl_store_s3_host(struct shl_store *s, char *out, size_t cap);

/* True for a store made by shl_store_s3_new itself, not for a wrapper around it. */
bool shl_store_is_s3(const struct shl_store *s);

#endif
