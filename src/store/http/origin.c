/* The one form in which libcurl names a server to itself, so that what is signed is what is sent. */
#include "store/http/http.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/http/curl_lib.h"

/* Owned by libcurl. */
struct parts {
    char *scheme, *host, *port, *user, *zone; /* NULL: there is none */
};

static bool is_host(const char *host)
{
    for (const char *p = host; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || strchr("%\"<>\\^`{|}@/?#", *p) != NULL)
            return false;
    return host[0] != '\0' && host[0] != '.';
}

static void take_apart(const struct shl_curl *curl, CURLU *u, struct parts *out)
{
    const struct {
        CURLUPart part;
        char **to;
    } all[] = {{CURLUPART_SCHEME, &out->scheme},
               {CURLUPART_HOST, &out->host},
               {CURLUPART_PORT, &out->port},
               {CURLUPART_USER, &out->user},
               {CURLUPART_ZONEID, &out->zone}};
    for (size_t i = 0; i < SHL_COUNT_OF(all); i++)
        if (curl->url_get(u, all[i].part, all[i].to, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
            *all[i].to = NULL;
}

static void free_parts(const struct shl_curl *curl, struct parts *p)
{
    curl->free(p->scheme);
    curl->free(p->host);
    curl->free(p->port);
    curl->free(p->user);
    curl->free(p->zone);
}

static shale_code put_together(const struct parts *p, struct shl_buf *out, shale_error *err)
{
    size_t from = out->len;
    uint64_t port = 0;
    shale_code rc;
    if (p->port != NULL && (!shl_parse_u64(shl_slice_str(p->port), &port) || port == 0))
        return shl_fail(err, SHALE_INVALID, "its port is none");
    SHL_TRY(shl_str_printf(out, err, "%s://%s", p->scheme, p->host));
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] >= 'A' && out->data[i] <= 'Z')
            out->data[i] = (uint8_t)(out->data[i] - 'A' + 'a');
    if (port != 0)
        SHL_TRY(shl_str_printf(out, err, ":%u", (unsigned)port));
out:
    return rc;
}

shale_code shl_http_origin(const char *url, struct shl_buf *out, shale_error *err)
{
    struct shl_curl curl;
    struct parts p = {0};
    const char *behind = strstr(url, "://");
    size_t n = behind == NULL ? 0 : (size_t)(behind - url) + 3 + strcspn(behind + 3, "/?#");
    char *origin = NULL;
    CURLU *u = NULL;
    CURLUcode e;
    shale_code rc;
    if (n == 0)
        return shl_fail(err, SHALE_INVALID, "there is no \"://\" in it");
    SHL_TRY(shl_curl_load(&curl, err));
    origin = shl_slice_dup_cstr(shl_slice_of(url, n));
    u = curl.url();
    if (origin == NULL || u == NULL)
        SHL_TRY(shl_nomem(err));
    e = curl.url_set(u, CURLUPART_URL, origin, 0);
    if (e == CURLUE_OUT_OF_MEMORY)
        SHL_TRY(shl_nomem(err));
    if (e == CURLUE_OK)
        take_apart(&curl, u, &p);
    if (p.scheme == NULL || p.host == NULL || p.user != NULL || p.zone != NULL || !is_host(p.host))
        SHL_TRY(shl_fail(err, SHALE_INVALID, "its host or port is none"));
    SHL_TRY(put_together(&p, out, err));
out:
    if (u != NULL) {
        free_parts(&curl, &p);
        curl.url_cleanup(u);
    }
    env_free(origin);
    return rc;
}
