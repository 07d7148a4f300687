/* From a URL or path to a store (object-stores 13.1).
 *
 *   memory  memory:  memory://  memory:///path     a store of its own
 *   memory://?name=x  memory:///path?name=x        shared by all handles of this process with that name
 *   file:///abs/dir                                a folder; percent signs are decoded once
 *   ./dir  /abs/dir  dir                           the same; nothing is decoded
 *   s3://bucket/path  s3a://...                    S3 and what speaks it; also Amazon's and Cloudflare's https:// URLs (s3_url.h)
 * The other clouds answer NOT_SUPPORTED, everything else INVALID. */
#ifndef SHL_STORE_OPEN_H
#define SHL_STORE_OPEN_H

#include "base/log.h"
#include "store/store.h"

struct shl_store_option {
    const char *key; /* "local_fsync": on (default) or off; those of S3: s3_config.h */
    const char *value;
    const char *origin; /* for messages and lists: "--region", "FILE line 3"; NULL: "store option KEY" */
};

struct shl_store_config {
    const char *
        root; /* for a database: the folder (path or file:// URL) that is the bucket; NULL: the one above the database */
    const struct shl_store_option *options; /* borrowed until return */
    size_t option_count;
    bool create_root; /* a writer opens: a missing folder is made with the first write */
    bool shared_folder; /* a folder is one that s3db may use too (shared_folder.h), not one of SlateDB's layout */
    const struct shl_log *log; /* borrowed for the life of the store; may be NULL */
    bool (*cancelled)(void *ctx); /* the same: whoever waits for a bucket has gone. Any thread */
    void *cancel_ctx;
};

/* For a database: the store is the folder above it, so that clones beside it are found, and *out_path (owned) the rest.
 * memory: the whole path is the database's. No I/O but for resolving "..". Errors: INVALID (bad URL or option),
 * NOT_SUPPORTED (a cloud), NOMEM. */
SHL_MUST shale_code shl_store_open_url(const char *url, const struct shl_store_config *config,
                                       struct shl_store **out_store, char **out_path,
                                       shale_error *err);

/* For raw objects: the whole path is the root of the store. config->root must be NULL. */
SHL_MUST shale_code shl_store_open_raw(const char *url, const struct shl_store_config *config,
                                       struct shl_store **out_store, shale_error *err);

/* Makes the bucket or folder that the URL names (a path behind the bucket is passed over). ALREADY_EXISTS: it is there. */
SHL_MUST shale_code shl_store_make_bucket(const char *url, const struct shl_store_config *config, shale_error *err);

/* The option of exactly that name in any case ("AWS_REGION" gives "aws_region"), or NULL. Static. */
const char *shl_store_option_named(struct shl_slice name);

/* One option of a store in force; all borrowed until the callback returns. */
struct shl_store_option_info {
    const char *name, *type, *default_text, *help;
    const char *value;                 /* "set (40 characters)" if it is a secret */
    const char *origin;                /* NULL: the default */
    const char *beaten, *beaten_from; /* what it took the place of; NULL: nothing */
};
/* Visits the options of the kind of store that the URL names (NULL: S3), in the order of the documentation; stops when visit returns
 * false. Profile files are read, nothing is sent; missing credentials are no mistake. Errors: as opening. */
SHL_MUST shale_code shl_store_options_each(const char *url, const struct shl_store_config *config,
                                           bool (*visit)(void *ctx,
                                                         const struct shl_store_option_info *info),
                                           void *ctx, shale_error *err);

/* Checks names and values of store options. INVALID names the nearest known one. */
SHL_MUST shale_code shl_store_options_check(const struct shl_store_option *options, size_t count,
                                            shale_error *err);

#endif
