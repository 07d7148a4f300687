/* URLs that name a bucket of S3 (object-stores 13.1). Pure. */
#ifndef SHL_STORE_S3_URL_H
#define SHL_STORE_S3_URL_H

#include "base/bytes.h"

/* {0} may be deinit'ed. Owned texts. */
struct shl_s3_url {
    char *bucket;   /* "" for "s3://" */
    char *path;     /* a key, or ""; percent signs decoded once */
    char *region;   /* NULL: the URL does not say it */
    char *endpoint; /* NULL: Amazon's own of the region, or what the options say */
};

/* s3://bucket/path, s3a://..., https://s3.REGION.amazonaws.com/bucket/path, https://bucket.s3[.REGION].amazonaws.com/path, both with dualstack, and
 * https://ACCOUNT[.x].r2.cloudflarestorage.com/bucket/path. Errors: INVALID (with the form that it should have), NOMEM. */
SHL_MUST shale_code shl_s3_url_parse(const char *url, struct shl_s3_url *out, shale_error *err);
void shl_s3_url_deinit(struct shl_s3_url *u);

/* True if an https URL is one of them. */
bool shl_s3_url_is_https(const char *url);

#endif
