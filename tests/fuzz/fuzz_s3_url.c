/* URLs of buckets: the parts of one, or an error that says how to write it. */
#include "base/assert.h"
#include "base/env/env.h"
#include "store/path.h"
#include "store/s3_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct shl_s3_url *u)
{
    SHL_ASSERT(u->bucket != NULL && strpbrk(u->bucket, "/?#") == NULL);
    SHL_ASSERT(u->path != NULL && shl_path_fault(u->path) == NULL);
    SHL_ASSERT(u->bucket[0] != '\0' || u->path[0] == '\0');
    SHL_ASSERT(u->region == NULL || u->region[0] != '\0');
    SHL_ASSERT(u->endpoint == NULL ||
               (strncmp(u->endpoint, "https://", 8) == 0 ||
                strncmp(u->endpoint, "HTTPS://", 8) == 0 || u->endpoint[5] == ':'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shl_s3_url u = {0};
    shale_error err = {0};
    char *url = shl_slice_dup_cstr(shl_slice_of(data, size));
    if (url == NULL)
        return 0;
    /* Its callers have seen to the scheme. */
    if (shl_s3_url_is_https(url) || strncmp(url, "s3://", 5) == 0) {
        shale_code rc = shl_s3_url_parse(url, &u, &err);
        SHL_ASSERT(rc == SHALE_OK || (rc == SHALE_INVALID && err.text[0] != '\0'));
        if (rc == SHALE_OK)
            check(&u);
        else
            SHL_ASSERT(u.bucket == NULL);
        shl_s3_url_deinit(&u);
    }
    env_free(url);
    return 0;
}
