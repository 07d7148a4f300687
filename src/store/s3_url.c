#include "store/s3_url.h"

#include "base/env/env.h"
#include "base/str.h"
#include "store/path.h"
#include <stdio.h>

#define AMAZON     ".amazonaws.com"
#define CLOUDFLARE ".r2.cloudflarestorage.com"

void shl_s3_url_deinit(struct shl_s3_url *u)
{
    env_free(u->bucket);
    env_free(u->path);
    env_free(u->region);
    env_free(u->endpoint);
    *u = (struct shl_s3_url){0};
}

static bool ends_with(struct shl_slice s, const char *tail)
{
    size_t n = strlen(tail);
    return s.len > n && memcmp(s.data + s.len - n, tail, n) == 0;
}

static struct shl_slice https_host(const char *url)
{
    const char *host = url + strlen("https://");
    return shl_slice_of(host, strcspn(host, "/?#"));
}

bool shl_s3_url_is_https(const char *url)
{
    if (!shl_slice_ieq(shl_slice_of(url, strnlen(url, 8)), "https://"))
        return false;
    struct shl_slice host = https_host(url);
    return ends_with(host, AMAZON) || ends_with(host, CLOUDFLARE);
}

static shale_code bad(const char *url, const char *why, shale_error *err)
{
    char shown[SHL_URL_SHOWN];
    return shl_fail(err, SHALE_INVALID, "bad URL: \"%s\": %s; write it like s3://bucket/db",
                    shl_url_shown(url, shown), why);
}

static shale_code dup(char **out, struct shl_slice s, shale_error *err)
{
    *out = shl_slice_dup_cstr(s);
    return *out == NULL ? shl_nomem(err) : SHALE_OK;
}

/* "bucket/path" or "/path" behind a host that names the bucket. */
static shale_code split_path(const char *url, const char *rest, bool has_bucket,
                             struct shl_s3_url *u, shale_error *err)
{
    shale_code rc;
    if (strpbrk(rest, "?#") != NULL)
        return bad(url, "'?' and '#' in it must be %3F and %23", err);
    if (!has_bucket) {
        size_t n = strcspn(rest, "/");
        SHL_TRY(dup(&u->bucket, shl_slice_of(rest, n), err));
        rest += n;
        if (n == 0 && rest[0] != '\0')
            SHL_TRY(bad(url, "the bucket is missing before the path", err));
    }
    SHL_TRY(shl_path_from_url(rest, &u->path, err));
out:
    return rc;
}

/* Labels of the host before ".amazonaws.com": [bucket.]s3[.dualstack][.region]. The last label "s3" counts, for buckets may have dots. */
static shale_code parse_amazon(const char *url, struct shl_slice labels, struct shl_s3_url *u,
                               bool *has_bucket, shale_error *err)
{
    static const char dual[] = "dualstack.";
    const char *text = (const char *)labels.data;
    size_t at = labels.len;
    struct shl_slice region;
    bool is_dual;
    shale_code rc;
    for (size_t i = 0; i + 2 <= labels.len; i++) {
        bool starts = i == 0 || text[i - 1] == '.';
        bool ends = i + 2 == labels.len || text[i + 2] == '.';
        if (starts && ends && memcmp(text + i, "s3", 2) == 0)
            at = i;
    }
    if (at == labels.len)
        return bad(url, "the host is none of S3", err);
    if (at == 1)
        return bad(url, "the bucket is missing before the host", err);
    *has_bucket = at > 0;
    if (at > 0)
        SHL_TRY(dup(&u->bucket, shl_slice_of(text, at - 1), err));
    region = shl_slice_of(text + at + 2, labels.len - at - 2);
    if (region.len > 0)
        region = shl_slice_of(region.data + 1, region.len - 1);
    is_dual = region.len > sizeof dual - 1 && memcmp(region.data, dual, sizeof dual - 1) == 0;
    if (is_dual)
        region = shl_slice_of(region.data + sizeof dual - 1, region.len - (sizeof dual - 1));
    if (region.len > 0)
        SHL_TRY(dup(&u->region, region, err));
    if (is_dual) {
        char endpoint[160];
        (void)snprintf(endpoint, sizeof endpoint, "https://s3.dualstack.%.60s" AMAZON, u->region);
        SHL_TRY(dup(&u->endpoint, shl_slice_str(endpoint), err));
    }
    rc = SHALE_OK;
out:
    return rc;
}

static shale_code parse_https(const char *url, struct shl_s3_url *u, shale_error *err)
{
    struct shl_slice host = https_host(url);
    const char *rest = (const char *)host.data + host.len;
    bool has_bucket = false;
    shale_code rc;
    if (ends_with(host, CLOUDFLARE)) {
        SHL_TRY(dup(&u->region, shl_slice_str("auto"), err));
        SHL_TRY(dup(&u->endpoint, shl_slice_of(url, (size_t)(rest - url)), err));
    } else {
        SHL_TRY(parse_amazon(url, shl_slice_of(host.data, host.len - strlen(AMAZON)), u,
                             &has_bucket, err));
    }
    if (!has_bucket && rest[0] == '/')
        rest++;
    SHL_TRY(split_path(url, rest, has_bucket, u, err));
out:
    return rc;
}

shale_code shl_s3_url_parse(const char *url, struct shl_s3_url *out, shale_error *err)
{
    struct shl_s3_url u = {0};
    shale_code rc;
    if (shl_s3_url_is_https(url))
        SHL_TRY(parse_https(url, &u, err));
    else
        SHL_TRY(split_path(url, strstr(url, "://") + 3, false, &u, err));
    *out = u;
    u = (struct shl_s3_url){0}; /* moved to the caller */
out:
    shl_s3_url_deinit(&u);
    return rc;
}
