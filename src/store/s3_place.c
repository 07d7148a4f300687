/* Which host and path a bucket has (object-stores 7.1). */
#include "store/s3_internal.h"

#include "base/codec/text.h"
#include "base/num.h"
#include <ctype.h>
#include <stdio.h>

/* Buckets of directory type are named base--zone--x-s3 and need another protocol. */
static shale_code check_bucket(const char *bucket, shale_error *err)
{
    size_t n = strlen(bucket);
    bool fine = n == 0 || (n >= 3 && n <= 63 && bucket[0] != '.' && bucket[0] != '-');
    for (size_t i = 0; i < n && fine; i++)
        fine = isalnum((unsigned char)bucket[i]) || strchr(".-_", bucket[i]) != NULL;
    if (!fine)
        return shl_fail(err, SHALE_INVALID,
                        "bad URL: \"%.80s\" is no bucket name: 3 to 63 letters, digits, '-' and "
                        "'.'; write it like s3://bucket/db",
                        strrchr(bucket, '@') != NULL ? strrchr(bucket, '@') : bucket);
    if (n > 6 && strcmp(bucket + n - 6, "--x-s3") == 0)
        return shl_fail(err, SHALE_NOT_SUPPORTED,
                        "bucket \"%s\" is a directory bucket (S3 Express), which is not built yet",
                        bucket);
    return SHALE_OK;
}

/* It becomes a part of a host's name, and may come from an answer. */
bool shl_s3_is_region(const char *region)
{
    size_t n = strlen(region);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)region[i]) && strchr("-_.", region[i]) == NULL)
            return false;
    return n > 0 && n < sizeof((struct s3_place *)0)->region;
}

/* "host:port" without the scheme's own port. */
static void host_without_port(const char *origin, char *out, size_t cap)
{
    const char *host = strstr(origin, "://") + 3;
    const char *own = strncmp(origin, "https:", 6) == 0 ? ":443" : ":80";
    size_t n = strlen(host), p = strlen(own);
    if (n > p && strcmp(host + n - p, own) == 0)
        n -= p;
    (void)snprintf(out, cap, "%.*s", (int)n, host);
}

/* The part of an endpoint behind the host, without slashes at its end. */
static size_t origin_len(const char *endpoint)
{
    const char *host = strstr(endpoint, "://") + 3;
    return (size_t)(host - endpoint) + strcspn(host, "/");
}

static shale_code at_endpoint(struct s3_place *p, const struct shl_s3_config *c, const char *bucket,
                              shale_error *err)
{
    const char *endpoint = c->v.endpoint;
    size_t origin = origin_len(endpoint);
    size_t path = strlen(endpoint + origin);
    while (path > 0 && endpoint[origin + path - 1] == '/')
        path--;
    if (origin >= sizeof p->origin || path + 1 + strlen(bucket) >= sizeof p->base)
        return shl_fail(err, SHALE_INVALID, "aws_endpoint \"%.80s\" is too long", endpoint);
    (void)snprintf(p->origin, sizeof p->origin, "%.*s", (int)origin, endpoint);
    if (c->v.virtual_hosted || bucket[0] == '\0')
        (void)snprintf(p->base, sizeof p->base, "%.*s", (int)path, endpoint + origin);
    else
        (void)snprintf(p->base, sizeof p->base, "%.*s/%s", (int)path, endpoint + origin, bucket);
    return SHALE_OK;
}

static void at_amazon(struct s3_place *p, const struct shl_s3_config *c, const char *bucket)
{
    if (c->v.virtual_hosted && bucket[0] != '\0') {
        (void)snprintf(p->origin, sizeof p->origin, "https://%s.s3.%s.amazonaws.com", bucket,
                       p->region);
        p->base[0] = '\0';
    } else {
        (void)snprintf(p->origin, sizeof p->origin, "https://s3.%s.amazonaws.com", p->region);
        (void)snprintf(p->base, sizeof p->base, "%s%s", bucket[0] != '\0' ? "/" : "", bucket);
    }
}

shale_code shl_s3_place_init(struct s3_place *out, const struct shl_s3_config *c,
                             const char *bucket, const char *region, shale_error *err)
{
    struct s3_place p = {0};
    shale_code rc;
    SHL_TRY(check_bucket(bucket, err));
    if (!shl_s3_is_region(region))
        SHL_TRY(shl_fail(err, SHALE_INVALID, "\"%.80s\" is no region", region));
    (void)snprintf(p.region, sizeof p.region, "%s", region);
    if (c->v.endpoint != NULL)
        SHL_TRY(at_endpoint(&p, c, bucket, err));
    else
        at_amazon(&p, c, bucket);
    host_without_port(p.origin, p.host, sizeof p.host);
    *out = p;
out:
    return rc;
}
