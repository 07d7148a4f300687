/* One S3 request from its parts to a verdict: URL, signature, answer, and the few mistakes that can be corrected by asking once more. */
#include "store/s3_internal.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "store/http/xml.h"
#include "store/mask.h"
#include "store/s3_answer.h"
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

enum { FIX_REGION = 1, FIX_CLOCK = 2, FIX_IDENTITY = 4 };

static const char *const wanted_names[S3_WANTED] = {
    [S3_ETAG] = "etag",
    [S3_LENGTH] = "content-length",
    [S3_RANGE] = "content-range",
    [S3_MODIFIED] = "last-modified",
    [S3_PUT_ID] = "x-amz-meta-slatedbputid",
    [S3_RETRY_AFTER] = "retry-after",
    [S3_REQUEST_ID] = "x-amz-request-id",
    [S3_BUCKET_REGION] = "x-amz-bucket-region",
    [S3_DATE] = "date",
};

/* Header lines hold a signature and may hold a session token or a customer's key. */
static void free_scratch(struct s3_request *r)
{
    if (r->scratch != NULL)
        shl_wipe(r->scratch, r->scratch_len);
    env_free(r->scratch);
    r->scratch = NULL;
}

void shl_s3_request_init(struct s3_request *r)
{
    memset(r, 0, offsetof(struct s3_request, wanted));
    for (size_t i = 0; i < S3_WANTED; i++)
        r->wanted[i].value[0] = '\0';
    r->error_code[0] = r->err.text[0] = '\0';
}

void shl_s3_request_deinit(struct s3_request *r)
{
    shl_buf_free(&r->answer);
    free_scratch(r);
}

void shl_s3_query(struct s3_request *r, const char *name, const char *value)
{
    SHL_ASSERT(r->query_count < S3_QUERY_MAX);
    r->query[r->query_count++] = (struct shl_pair){.name = name, .value = value};
}

void shl_s3_header(struct s3_request *r, const char *name, const char *value)
{
    SHL_ASSERT(r->header_count < S3_HEADERS_MAX);
    r->headers[r->header_count++] = (struct shl_pair){.name = name, .value = value};
}

static const char *header_of(const struct s3_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

/* ---- building */

#define LINES_MAX (S3_HEADERS_MAX + 8)

/* Text that is put together piece by piece; pointers into it are made when it has stopped growing. */
struct drafted {
    struct shl_buf text; /* owned */
    struct shl_buf path; /* owned: percent-encoded, as sent and as signed */
    struct shl_buf query, canonical, authorization; /* owned */
    struct shl_pair signed_headers[LINES_MAX];
    size_t signed_count;
    size_t lines[LINES_MAX]; /* offsets in text */
    size_t line_count;
    char date[SHL_TIME_TEXT];
    char payload[SHL_SHA256_HEX];
};

static void drafted_deinit(struct drafted *d)
{
    if (d->text.data != NULL)
        shl_wipe(d->text.data, d->text.len);
    if (d->canonical.data != NULL) /* names the token, if there is one */
        shl_wipe(d->canonical.data, d->canonical.len);
    shl_buf_free(&d->text);
    shl_buf_free(&d->path);
    shl_buf_free(&d->query);
    shl_buf_free(&d->canonical);
    shl_buf_free(&d->authorization);
}

static shale_code add_line(struct drafted *d, const char *name, const char *value, shale_error *err)
{
    shale_code rc;
    SHL_ASSERT(d->line_count < LINES_MAX);
    d->lines[d->line_count++] = d->text.len;
    SHL_TRY(shl_str_append(&d->text, name, err));
    SHL_TRY(shl_buf_append(&d->text, ": ", 2, err));
    SHL_TRY(shl_str_append(&d->text, value, err));
    SHL_TRY(shl_buf_append(&d->text, "", 1, err));
out:
    return rc;
}

static shale_code add_signed(struct drafted *d, const char *name, const char *value,
                             shale_error *err)
{
    SHL_ASSERT(d->signed_count < LINES_MAX);
    d->signed_headers[d->signed_count++] = (struct shl_pair){.name = name, .value = value};
    if (strcmp(name, "host") == 0)
        return SHALE_OK; /* libcurl sends it, in the same form */
    return add_line(d, name, value, err);
}

static shale_code hash_payload(const struct s3_store *s, const struct s3_request *r,
                               struct drafted *d, shale_error *err)
{
    bool is_signed = s->config.v.payload == SHL_S3_PAYLOAD_SIGNED ||
                     (s->config.v.payload == SHL_S3_PAYLOAD_AUTO && !s->tls);
    if (shl_parts_bytes(r->body, r->body_count) == 0)
        memcpy(d->payload, SHL_SIGV4_EMPTY, sizeof SHL_SIGV4_EMPTY);
    else if (is_signed)
        return shl_sha256_hex(r->body, r->body_count, d->payload, err);
    else
        memcpy(d->payload, SHL_SIGV4_UNSIGNED, sizeof SHL_SIGV4_UNSIGNED);
    return SHALE_OK;
}

static shale_code draft_path(struct drafted *d, const struct s3_signer *g,
                             const struct s3_request *r, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_append(&d->path, g->place.base, err));
    if (r->key != NULL) {
        SHL_TRY(shl_buf_append(&d->path, "/", 1, err));
        SHL_TRY(shl_percent_encode(shl_slice_str(r->key), true, &d->path, err));
    } else if (d->path.len == 0) {
        SHL_TRY(shl_buf_append(&d->path, "/", 1, err));
    }
    SHL_TRY(shl_str_terminate(&d->path, err));
    SHL_TRY(shl_sigv4_query(r->query, r->query_count, &d->query, err));
out:
    return rc;
}

static shale_code draft_url(struct drafted *d, const struct s3_signer *g, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_append(&d->text, g->place.origin, err));
    SHL_TRY(shl_buf_append(&d->text, d->path.data, d->path.len, err));
    if (d->query.len > 0) {
        SHL_TRY(shl_buf_append(&d->text, "?", 1, err));
        SHL_TRY(shl_buf_append(&d->text, d->query.data, d->query.len, err));
    }
    SHL_TRY(shl_buf_append(&d->text, "", 1, err));
out:
    return rc;
}

static shale_code draft_headers(struct drafted *d, const struct s3_store *s,
                                const struct s3_signer *g, const struct s3_request *r,
                                shale_error *err)
{
    shale_code rc;
    SHL_TRY(add_signed(d, "host", g->place.host, err));
    SHL_TRY(add_signed(d, "x-amz-date", d->date, err));
    SHL_TRY(add_signed(d, "x-amz-content-sha256", d->payload, err));
    if (g->identity != NULL && g->identity->creds.token != NULL)
        SHL_TRY(add_signed(d, "x-amz-security-token", g->identity->creds.token, err));
    if (s->config.v.request_payer)
        SHL_TRY(add_signed(d, "x-amz-request-payer", "requester", err));
    for (size_t i = 0; i < r->header_count; i++)
        SHL_TRY(add_signed(d, r->headers[i].name, r->headers[i].value, err));
out:
    return rc;
}

static shale_code sign(struct drafted *d, const struct s3_signer *g, const struct s3_request *r,
                       shale_error *err)
{
    const struct shl_sigv4_scope scope = shl_s3_signer_scope(g, d->date);
    const struct shl_sigv4_request q = {.method = shl_http_method_name(r->method),
                                        .path = (const char *)d->path.data,
                                        .query = r->query,
                                        .query_count = r->query_count,
                                        .headers = d->signed_headers,
                                        .header_count = d->signed_count,
                                        .payload_hash = d->payload};
    shale_code rc;
    SHL_TRY(shl_sigv4_authorization(&q, &scope, &g->key, &d->canonical, &d->authorization, err));
    SHL_TRY(shl_str_terminate(&d->authorization, err));
    SHL_TRY(add_line(d, "authorization", (const char *)d->authorization.data, err));
out:
    return rc;
}

/* One try, ready to be sent. */
struct attempt {
    struct shl_http_call call;
    const char *lines[LINES_MAX];
    struct s3_signer *signer; /* counted: who signed it, and where it went */
};

/* Where bodies are not hashed for the signature, their length has to do. */
static uint64_t content_of(const struct s3_request *r, const struct drafted *d)
{
    uint64_t bytes = shl_parts_bytes(r->body, r->body_count);
    return r->method == SHL_HTTP_PUT && bytes > 0
               ? XXH3_64bits_withSeed(d->payload, strlen(d->payload), bytes)
               : 0;
}

static void fill_call(struct attempt *a, struct s3_request *r, const struct drafted *d)
{
    for (size_t i = 0; i < d->line_count; i++)
        a->lines[i] = r->scratch + d->lines[i];
    for (size_t i = 0; i < S3_WANTED; i++)
        r->wanted[i].name = wanted_names[i];
    a->call = (struct shl_http_call){.method = r->method,
                                     .url = r->scratch,
                                     .headers = a->lines,
                                     .header_count = d->line_count,
                                     .body = r->body,
                                     .body_count = r->body_count,
                                     .content = content_of(r, d),
                                     .pieces = r->pieces,
                                     .piece_count = r->piece_count,
                                     .text = r->text != NULL ? r->text : &r->answer,
                                     .needs_length = r->text != NULL,
                                     .text_max = r->text != NULL ? r->text_max : UINT64_C(64) << 20,
                                     .wanted = r->wanted,
                                     .wanted_count = S3_WANTED};
}

static shale_code draft(struct drafted *d, const struct s3_store *s, const struct s3_signer *g,
                        const struct s3_request *r, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_buf_reserve(&d->text, 1024, err));
    SHL_TRY(shl_buf_reserve(&d->canonical, 1024, err));
    SHL_TRY(shl_buf_reserve(&d->authorization, 384, err));
    SHL_TRY(hash_payload(s, r, d, err));
    SHL_TRY(draft_path(d, g, r, err));
    SHL_TRY(draft_url(d, g, err));
    SHL_TRY(draft_headers(d, s, g, r, err));
    if (g->identity != NULL)
        SHL_TRY(sign(d, g, r, err));
out:
    return rc;
}

static shale_code prepare(struct s3_store *s, struct s3_request *r, struct attempt *a,
                          shale_error *err)
{
    struct drafted d = {0};
    if (s->bucket[0] == '\0' && r->key != NULL)
        return shl_fail(err, SHALE_INVALID,
                        "bad URL: \"s3://\" names no bucket; write it like s3://bucket/%.100s",
                        r->key);
    (void)shl_time_amz(env_now_wall_ms() + env_load_relaxed(&s->clock_offset_ms), d.date);
    shale_code rc = shl_s3_signer_of(s, d.date, &a->signer, err);
    if (rc != SHALE_OK)
        return rc;
    rc = draft(&d, s, a->signer, r, err);
    if (rc == SHALE_OK) {
        free_scratch(r);
        r->scratch = (char *)d.text.data;
        r->scratch_len = d.text.len;
        d.text = (struct shl_buf){0}; /* moved to the request */
        r->answer.len = 0;
        fill_call(a, r, &d);
    } else {
        shl_s3_signer_unref(a->signer);
    }
    drafted_deinit(&d);
    return rc;
}

/* ---- what the service says of an error */

static void mask_of(const struct s3_store *s, const struct s3_identity *id, char *text)
{
    const struct shl_aws_creds none = {0};
    const struct shl_aws_creds *c = id != NULL ? &id->creds : &none;
    const char *const secrets[] = {c->secret_key, c->token, s->config.v.sse_customer_key};
    shl_mask(text, secrets, SHL_COUNT_OF(secrets));
}

void shl_s3_mask(struct s3_store *s, char *text)
{
    struct s3_signer *g = shl_s3_signer(s);
    mask_of(s, g->identity, text);
    shl_s3_signer_unref(g);
}

struct told {
    char code[64];
    char message[160];
    char region[64];
    char request_id[80];
};

static void keep(char *dst, size_t cap, struct shl_slice text)
{
    size_t n = shl_min_size(text.len, cap - 1);
    for (size_t i = 0; i < n; i++)
        dst[i] = text.data[i] < ' ' || text.data[i] >= 0x7f ? '?' : (char)text.data[i];
    dst[n] = '\0';
}

static shale_code on_error_element(void *ctx, const char *path, struct shl_slice text,
                                   shale_error *err)
{
    struct told *t = ctx;
    (void)err;
    if (strcmp(path, "Error/Code") == 0)
        keep(t->code, sizeof t->code, text);
    else if (strcmp(path, "Error/Message") == 0)
        keep(t->message, sizeof t->message, text);
    else if (strcmp(path, "Error/Region") == 0)
        keep(t->region, sizeof t->region, text);
    else if (strcmp(path, "Error/RequestId") == 0)
        keep(t->request_id, sizeof t->request_id, text);
    return SHALE_OK;
}

static void read_told(const struct s3_store *s, const struct s3_request *r,
                      const struct s3_identity *used, struct shl_slice body, struct told *out)
{
    shale_error ignored;
    *out = (struct told){0};
    if (body.len > 0)
        shl_ignore(shl_xml_read(body, on_error_element, out, &ignored));
    if (out->request_id[0] == '\0')
        keep(out->request_id, sizeof out->request_id,
             shl_slice_str(r->wanted[S3_REQUEST_ID].value));
    if (out->region[0] == '\0')
        keep(out->region, sizeof out->region, shl_slice_str(r->wanted[S3_BUCKET_REGION].value));
    mask_of(s, used, out->code);
    mask_of(s, used, out->message);
    mask_of(s, used, out->region);
    mask_of(s, used, out->request_id);
}

/* Those headers that messages and logs repeat, if there will be any. */
static void mask_headers(const struct s3_store *s, struct s3_request *r,
                         const struct s3_identity *used, bool told)
{
    struct s3_range range;
    if (told) {
        mask_of(s, used, r->wanted[S3_REQUEST_ID].value);
        mask_of(s, used, r->wanted[S3_BUCKET_REGION].value);
    }
    if (!shl_s3_parse_range(r->wanted[S3_RANGE].value, &range))
        mask_of(s, used, r->wanted[S3_RANGE].value);
}

/* ---- corrections */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static bool fix_region(struct s3_store *s, struct s3_request *r, const struct s3_place *went_to,
                       const struct told *told)
{
    struct s3_place place;
    shale_error ignored;
    bool elsewhere =
        r->status == 301 || r->status == 307 ||
        (r->status == 400 && strcmp(told->code, "AuthorizationHeaderMalformed") == 0) ||
        (r->status == 400 && told->region[0] != '\0' && r->method == SHL_HTTP_HEAD);
    if (!elsewhere || told->region[0] == '\0' || strcmp(told->region, went_to->region) == 0 ||
        (r->corrections & FIX_REGION) != 0)
        return false;
    if (shl_s3_place_init(&place, &s->config, s->bucket, told->region, &ignored) != SHALE_OK ||
        shl_s3_signer_move(s, &place, &ignored) != SHALE_OK)
        return false;
    if (!env_exchange(&s->region_told,
                      true)) /* requests that ran beside each other learn it together */
        shl_log_write(s->log, SHL_LOG_WARN,
                      "bucket \"%s\" is in region %s, not %s: set aws_region to spare a request",
                      s->bucket, told->region, went_to->region);
    r->corrections |= FIX_REGION;
    return true;
}

#define SKEW_MS (INT64_C(14) * 60 * 1000) /* S3 takes signatures up to 15 minutes old */

/* The answer to a HEAD has no body, and so no code: there the clocks tell. */
static bool is_skewed(const struct s3_store *s, const struct s3_request *r, const struct told *told,
                      int64_t ahead_ms)
{
    int64_t off_ms = ahead_ms - env_load_relaxed(&s->clock_offset_ms);
    return strcmp(told->code, "RequestTimeTooSkewed") == 0 ||
           (r->method == SHL_HTTP_HEAD && r->status == 403 && told->code[0] == '\0' &&
            (off_ms > SKEW_MS || off_ms < -SKEW_MS));
}

static bool fix_clock(struct s3_store *s, struct s3_request *r, const struct told *told)
{
    int64_t server_ns;
    if ((r->corrections & FIX_CLOCK) != 0 ||
        !shl_time_parse_http(shl_slice_str(r->wanted[S3_DATE].value), &server_ns))
        return false;
    int64_t ahead_ms = server_ns / (int64_t)ENV_NS_PER_MS - env_now_wall_ms();
    if (!is_skewed(s, r, told, ahead_ms))
        return false;
    shl_log_write(s->log, SHL_LOG_WARN,
                  "this machine's clock is %" PRId64 " s %s the server's; requests are signed with "
                  "the server's time",
                  (ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000,
                  ahead_ms < 0 ? "ahead of" : "behind");
    env_store_relaxed(&s->clock_offset_ms, ahead_ms);
    r->corrections |= FIX_CLOCK;
    return true;
}

static const char *const stale_codes[] = {
    "ExpiredToken",         "InvalidToken",       "InvalidTokenId", /* MinIO's */
    "TokenRefreshRequired", "InvalidAccessKeyId", NULL};

/* The answer to a HEAD has no body, and so no code. */
static bool may_be_stale(const struct s3_request *r, const struct told *told)
{
    bool refused = r->status == 400 || r->status == 401 || r->status == 403;
    return is_one_of(told->code, stale_codes) ||
           strcmp(told->code, "SignatureDoesNotMatch") ==
               0 || /* a file read while it was written */
           (r->method == SHL_HTTP_HEAD && refused && told->code[0] == '\0');
}

static bool is_identity(struct s3_store *s, const struct s3_identity *used)
{
    struct s3_signer *g = shl_s3_signer(s);
    bool same = g->identity == used;
    shl_s3_signer_unref(g);
    return same;
}

/* Somebody may have logged in again since the credentials were read; another request may have found that out already. */
static bool fix_identity(struct s3_store *s, struct s3_request *r, const struct s3_identity *used,
                         const struct told *told)
{
    struct shl_aws_creds fresh = {0};
    bool changed = false;
    shale_error ignored;
    if (used == NULL || !may_be_stale(r, told) || (r->corrections & FIX_IDENTITY) != 0)
        return false;
    r->corrections |= FIX_IDENTITY;
    if (!is_identity(s, used))
        return true;
    struct s3_identity *id = env_calloc(1, sizeof *id);
    if (id == NULL)
        return false;
    if (shl_s3_creds_again(&s->config, &used->creds, &fresh, &changed, &ignored) != SHALE_OK ||
        !changed) {
        env_free(id);
        return false;
    }
    atomic_init(&id->refs, 1);
    id->creds = fresh;
    shale_code rc = shl_s3_signer_identify(s, used, id, &ignored);
    shl_s3_identity_unref(id);
    return rc == SHALE_OK;
}

/* ---- the verdict */

static const char *place_text(const struct s3_store *s, const struct s3_request *r, char *out,
                              size_t cap)
{
    (void)snprintf(out, cap, "%s%s%s", s->bucket, r->key != NULL ? "/" : "",
                   r->key != NULL ? r->key : "");
    return out;
}

/* "s3.example answered NoSuchBucket (request 4TW9)". */
static const char *answered(const struct s3_request *r, const struct s3_place *place,
                            const struct told *t, char *out, size_t cap)
{
    char status[16];
    (void)snprintf(status, sizeof status, "%d", r->status);
    (void)snprintf(out, cap, "%s answered %s%s%s%s", place->host,
                   t->code[0] != '\0' ? t->code : status,
                   t->request_id[0] != '\0' ? " (request " : "", t->request_id,
                   t->request_id[0] != '\0' ? ")" : "");
    return out;
}

static const char *identity_text(struct s3_store *s, char *out, size_t cap)
{
    struct s3_signer *g = shl_s3_signer(s);
    const struct shl_aws_creds *c = g->identity != NULL ? &g->identity->creds : NULL;
    if (c == NULL)
        (void)snprintf(out, cap, "nobody (unsigned requests)");
    else
        (void)snprintf(out, cap, "%s (%s)", c->access_key, c->origin != NULL ? c->origin : "given");
    shl_s3_signer_unref(g);
    return out;
}

/* " 14 minutes ago" where the credentials say when they end. */
static const char *expired_text(struct s3_store *s, char *out, size_t cap)
{
    char span[SHL_UNITS_TEXT];
    struct s3_signer *g = shl_s3_signer(s);
    int64_t ended = g->identity != NULL ? g->identity->creds.expires_unix_ms : INT64_MAX;
    shl_s3_signer_unref(g);
    int64_t ago_ms = env_now_wall_ms() - ended;
    out[0] = '\0';
    if (ended != INT64_MAX && ended > 0 && ago_ms > 0)
        (void)snprintf(out, cap, " %s ago",
                       shl_format_duration_human((uint64_t)ago_ms / 1000 * ENV_NS_PER_SEC, span));
    return out;
}

static shale_code fail_rights(struct s3_store *s, struct s3_request *r, const struct told *t,
                              const char *says)
{
    static const char *const unknown[] = {"InvalidAccessKeyId",   "SignatureDoesNotMatch",
                                          "InvalidToken",         "TokenRefreshRequired",
                                          "RequestTimeTooSkewed", "AuthFailure",
                                          "XAdminUserNotFound",   NULL};
    char where[256], who[200], ago[SHL_UNITS_TEXT + 8];
    (void)identity_text(s, who, sizeof who);
    if (strcmp(t->code, "ExpiredToken") == 0)
        return shl_fail(&r->err, SHALE_UNAUTHENTICATED, "credentials expired%s: %s: %s",
                        expired_text(s, ago, sizeof ago), who, says);
    const char *message = strcmp(t->code, "SignatureDoesNotMatch") == 0
                              ? "the secret is not that of this key"
                              : t->message;
    if (r->status == 401 || is_one_of(t->code, unknown))
        return shl_fail(&r->err, SHALE_UNAUTHENTICATED, "credentials refused: %s: %s%s%s", who,
                        says, message[0] != '\0' ? ": " : "", message);
    return shl_fail(&r->err, SHALE_PERMISSION_DENIED, "access denied: %s on \"%s\" for %s: %s",
                    r->action, place_text(s, r, where, sizeof where), who, says);
}

static shale_code fail_region(const struct s3_store *s, struct s3_request *r,
                              const struct s3_place *place, const struct told *t, const char *says)
{
    if (shl_s3_is_region(t->region) && strcmp(t->region, place->region) != 0)
        return shl_fail(&r->err, SHALE_INVALID,
                        "wrong region: bucket \"%s\" is in %s, the request went to %s (%s)",
                        s->bucket, t->region, place->region, shl_s3_region_origin(&s->config));
    return shl_fail(&r->err, SHALE_INVALID,
                    "wrong region or endpoint: bucket \"%s\" is not at %s (region %s): %s",
                    s->bucket, place->host, place->region, says);
}

static bool is_create(const struct s3_request *r)
{
    return header_of(r, "if-none-match") != NULL && r->method != SHL_HTTP_GET;
}

#define TELL_WAIT_S       5 /* whoever waits longer hears why */
#define RETRY_AFTER_MAX_S 180

#define RETRY_AFTER_TEXT 64

/* The store asks to be left alone for a while: all that retry hold back until then. `out` has what the message says of that, or "". */
static void note_retry_after(struct s3_store *s, const struct s3_request *r,
                             char out[RETRY_AFTER_TEXT])
{
    const char *text = r->wanted[S3_RETRY_AFTER].value;
    uint64_t seconds;
    int64_t at_ns;
    out[0] = '\0';
    if (text[0] == '\0')
        return;
    if (!shl_parse_u64(shl_slice_str(text), &seconds)) {
        if (!shl_time_parse_http(shl_slice_str(text), &at_ns))
            return;
        int64_t ms = at_ns / (int64_t)ENV_NS_PER_MS - env_now_wall_ms();
        seconds = ms <= 0 ? 0 : (uint64_t)ms / 1000 + 1;
    }
    if (seconds > 0)
        (void)snprintf(out, RETRY_AFTER_TEXT, "; it asks to wait %" PRIu64 " s", seconds);
    seconds = shl_min_u64(seconds, RETRY_AFTER_MAX_S);
    uint64_t before_ns = shl_store_ask_quiet(&s->base, seconds * ENV_NS_PER_SEC);
    /* Requests that run beside each other hear it together. */
    if (seconds > TELL_WAIT_S && before_ns < (seconds - TELL_WAIT_S) * ENV_NS_PER_SEC)
        shl_log_write(s->log, SHL_LOG_WARN, "the store asks to wait %" PRIu64 " s", seconds);
}

/* An endpoint that was copied with a path sends all requests below it. */
static shale_code fail_bucket(const struct s3_store *s, struct s3_request *r, const char *says)
{
    const char *endpoint = s->config.v.endpoint;
    const char *host = endpoint != NULL ? strstr(endpoint, "://") : NULL;
    const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
    bool below = path != NULL && path[strspn(path, "/")] != '\0';
    return shl_fail(&r->err, SHALE_NO_BUCKET, "no bucket \"%s\": %s%s%.60s%s", s->bucket, says,
                    below ? "; aws_endpoint has a path, \"" : "", below ? path : "",
                    below ? "\": is it wanted?" : "");
}

static shale_code fail_404(struct s3_store *s, struct s3_request *r, const struct s3_place *place,
                           const struct told *t, const char *says)
{
    char where[256];
    if (strcmp(t->code, "NoSuchBucket") == 0)
        return fail_bucket(s, r, says);
    if (strcmp(t->code, "XAdminUserNotFound") == 0) /* the Versity gateway's, of any request */
        return fail_rights(s, r, t, says);
    if (r->key == NULL && r->method != SHL_HTTP_HEAD && t->code[0] == '\0')
        return shl_fail(
            &r->err, SHALE_INVALID,
            "no S3 at %s: 404 without the words that S3 has for it: is the endpoint right?",
            place->host);
    if (header_of(r, "if-match") != NULL && r->method == SHL_HTTP_PUT)
        return shl_fail(&r->err, SHALE_PRECONDITION, "\"%s\" in %s is gone", r->key, s->base.name);
    if (r->key == NULL && strcmp(t->code, "NoSuchKey") == 0)
        return shl_fail(&r->err, SHALE_UNAVAILABLE,
                        "an answer about another request came from %s: NoSuchKey, and no object "
                        "was asked for",
                        place->host);
    if (r->key == NULL)
        return fail_bucket(s, r, says);
    return shl_fail(&r->err, SHALE_NOT_FOUND, "no object \"%s\": %s",
                    place_text(s, r, where, sizeof where), says);
}

static shale_code fail_409(const struct s3_store *s, struct s3_request *r, const struct told *t,
                           const char *says)
{
    static const char *const busy[] = {"ConditionalRequestConflict", "OperationAborted", NULL};
    if (is_one_of(t->code, busy) || header_of(r, "if-match") != NULL)
        return shl_fail(&r->err, SHALE_UNAVAILABLE, "another write of \"%s\" is under way: %s",
                        r->key != NULL ? r->key : s->bucket, says);
    if (is_create(r))
        return shl_fail(&r->err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", r->key, s->base.name);
    return shl_fail(&r->err, SHALE_ALREADY_EXISTS, "%s%s%s", says,
                    t->message[0] != '\0' ? ": " : "", t->message);
}

static shale_code fail_400(struct s3_store *s, struct s3_request *r, const struct s3_place *place,
                           const struct told *t, const char *says)
{
    static const char *const again[] = {"RequestTimeout", "BadDigest", "IncompleteBody",
                                        "XAmzContentSHA256Mismatch", NULL};
    if (is_one_of(t->code, again))
        return shl_fail(&r->err, SHALE_UNAVAILABLE, "%s", says);
    if (is_one_of(t->code, stale_codes))
        return fail_rights(s, r, t, says);
    if (strcmp(t->code, "AuthorizationHeaderMalformed") == 0)
        return fail_region(s, r, place, t, says);
    return shl_fail(&r->err, SHALE_INVALID, "%s%s%s", says, t->message[0] != '\0' ? ": " : "",
                    t->message);
}

static shale_code fail_status(struct s3_store *s, struct s3_request *r,
                              const struct s3_place *place, const struct told *t)
{
    char says[480], where[256], asks[RETRY_AFTER_TEXT];
    (void)answered(r, place, t, says, sizeof says);
    (void)place_text(s, r, where, sizeof where);
    if ((r->status == 304 || r->status == 412) && header_of(r, "if-none-match") == NULL &&
        header_of(r, "if-match") == NULL) /* it is another's answer */
        return shl_fail(&r->err, SHALE_UNAVAILABLE, "%s to %s \"%s\", which had no condition", says,
                        shl_http_method_name(r->method), where);
    switch (r->status) {
    case 304:
        if (is_create(r)) /* so do some who speak S3 where S3 says 412 */
            return shl_fail(&r->err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", r->key,
                            s->base.name);
        return shl_fail(&r->err, SHALE_NOT_MODIFIED, "\"%s\" has not changed", where);
    case 301:
    case 302:
    case 307:
    case 308:
        return fail_region(s, r, place, t, says);
    case 400:
        return fail_400(s, r, place, t, says);
    case 401:
    case 403:
        return fail_rights(s, r, t, says);
    case 404:
        return fail_404(s, r, place, t, says);
    case 409:
        return fail_409(s, r, t, says);
    case 412:
        if (is_create(r))
            return shl_fail(&r->err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", r->key,
                            s->base.name);
        return shl_fail(&r->err, SHALE_PRECONDITION, "\"%s\" in %s has changed or is gone",
                        r->key != NULL ? r->key : "", s->base.name);
    case 416:
        return shl_fail(&r->err, SHALE_INVALID_RANGE, "range outside of \"%s\": %s", where, says);
    case 405:
    case 501:
        return shl_fail(&r->err, SHALE_NOT_SUPPORTED, "%s on \"%s\" is not supported: %s",
                        r->action, where, says);
    case 507:
        return shl_fail(&r->err, SHALE_NO_SPACE, "the store is full: %s", says);
    default:
        break;
    }
    if (r->status >= 500 || r->status == 408 || r->status == 429) {
        note_retry_after(s, r, asks);
        return shl_fail(&r->err, SHALE_UNAVAILABLE, "%s to %s \"%s\"%s", says,
                        shl_http_method_name(r->method), where, asks);
    }
    return shl_fail(&r->err, SHALE_INVALID, "%s to %s \"%s\"%s%s", says,
                    shl_http_method_name(r->method), where, t->message[0] != '\0' ? ": " : "",
                    t->message);
}

/* S3 may say 200 before it knows: the status that it would have sent with this error. What passes is the rule there, so 500 for others. */
static int status_of(const char *code)
{
    static const struct {
        const char *code;
        int status;
    } known[] = {{"PreconditionFailed", 412}, {"ConditionalRequestConflict", 409},
                 {"OperationAborted", 409},   {"NoSuchUpload", 404},
                 {"NoSuchKey", 404},          {"NoSuchBucket", 404},
                 {"AccessDenied", 403},       {"InvalidPart", 400},
                 {"InvalidPartOrder", 400},   {"EntityTooSmall", 400},
                 {"EntityTooLarge", 400},     {"MalformedXML", 400},
                 {"InvalidRequest", 400},     {"InvalidArgument", 400},
                 {"NotImplemented", 501}};
    for (size_t i = 0; i < SHL_COUNT_OF(known); i++)
        if (strcmp(code, known[i].code) == 0)
            return known[i].status;
    return 500;
}

static void log_request(const struct s3_store *s, const struct s3_request *r,
                        const struct shl_http_call *c)
{
    if (shl_log_on(s->log, SHL_LOG_DEBUG))
        shl_log_write(
            s->log, SHL_LOG_DEBUG,
            "request method=%s object=%s%s%s status=%d sent=%zu received=%" PRIu64
            " ms=%.1f id=%s%s%s",
            shl_http_method_name(r->method), s->bucket, r->key != NULL ? "/" : "",
            r->key != NULL ? r->key : "", c->status, shl_parts_bytes(r->body, r->body_count),
            c->received, (double)c->duration_ns / 1e6, r->wanted[S3_REQUEST_ID].value,
            c->code != SHALE_OK ? " failed=" : "", c->code != SHALE_OK ? c->err.text : "");
}

static void leave_open(struct s3_request *r)
{
    if (r->key != NULL)
        shl_err_prefix(&r->err, SHL_OUTCOME_UNKNOWN "the answer to %s \"%.120s\" was lost",
                       shl_http_method_name(r->method), r->key);
}

static bool is_read(const struct s3_request *r)
{
    return r->method == SHL_HTTP_GET || r->method == SHL_HTTP_HEAD;
}

/* A write whose answer did not come may have happened, unless it never left. */
static bool may_have_happened(const struct s3_request *r, bool sent)
{
    return !is_read(r) && sent && (r->code == SHALE_UNAVAILABLE || r->code == SHALE_TIMEOUT);
}

/* No answer came, or none that makes sense. What was to be done stands in front if the answer was begun; behind if the store cannot be reached at all,
 * for that is the news then. */
static void name_failure(const struct s3_store *s, struct s3_request *r, bool sent)
{
    char where[256];
    size_t n = strlen(r->err.text);
    bool broke_off = r->status > 0 && (r->code == SHALE_UNAVAILABLE || r->code == SHALE_TIMEOUT);
    if (r->code == SHALE_NOMEM || r->code == SHALE_INVALID)
        return;
    (void)place_text(s, r, where, sizeof where);
    if (may_have_happened(r, sent) && r->key != NULL)
        leave_open(r);
    else if (broke_off)
        shl_err_prefix(&r->err, "%s on \"%s\"", r->action, where);
    else
        (void)snprintf(r->err.text + n, sizeof r->err.text - n, ", for %s on \"%s\"", r->action,
                       where);
}

/* The refusal is that of a second sending. That the object is there, or has changed, is judged by those who know what they sent. */
static void note_replayed(struct s3_request *r)
{
    if (r->code != SHALE_ALREADY_EXISTS && r->code != SHALE_PRECONDITION)
        leave_open(r);
}

/* True if it is to be sent once more. */
static bool judge(struct s3_store *s, struct s3_request *r, struct attempt *a)
{
    struct told told;
    bool success = a->call.status >= 200 && a->call.status < 300;
    mask_headers(s, r, a->signer->identity,
                 !success || a->call.code != SHALE_OK || shl_log_on(s->log, SHL_LOG_DEBUG));
    log_request(s, r, &a->call);
    r->status = a->call.status;
    r->received = a->call.received;
    r->code = a->call.code;
    if (r->code != SHALE_OK) {
        r->err = a->call.err;
        name_failure(s, r, a->call.sent);
        return false;
    }
    struct shl_slice body = shl_buf_view(&r->answer);
    if (!success && r->text != NULL && a->call.received > 0) {
        size_t from = r->text->len - (size_t)a->call.received;
        body = shl_slice_of(r->text->data + from, (size_t)a->call.received);
    }
    if (success && !r->check_body)
        return false;
    read_told(s, r, a->signer->identity, body, &told);
    keep(r->error_code, sizeof r->error_code, shl_slice_str(told.code));
    if (!success && r->text != NULL)
        r->text->len -= (size_t)a->call.received; /* no part of the object */
    if (success) {
        if (told.code[0] == '\0')
            return false;
        r->status = status_of(told.code);
    }
    if (fix_region(s, r, &a->signer->place, &told) || fix_clock(s, r, &told) ||
        fix_identity(s, r, a->signer->identity, &told))
        return true;
    r->code = fail_status(s, r, &a->signer->place, &told);
    if (r->status == 500 || r->status == 502 ||
        r->status == 504) { /* it may have been done before that */
        if (may_have_happened(r, true))
            leave_open(r);
    } else if (a->call.replayed) {
        note_replayed(r);
    }
    return false;
}

/* ---- running */

#define RUN_MAX 64 /* at once; more follow */

static void run_some(struct s3_store *s, struct s3_request *requests, size_t count)
{
    struct attempt one;
    struct attempt *attempts = count == 1 ? &one : env_alloc(count * sizeof *attempts);
    struct shl_http_call *calls[RUN_MAX];
    size_t ready = 0;
    SHL_ASSERT(count <= RUN_MAX);
    for (size_t i = 0; i < count; i++) {
        struct s3_request *r = &requests[i];
        r->code = attempts == NULL ? shl_nomem(&r->err) : prepare(s, r, &attempts[i], &r->err);
        if (r->code == SHALE_OK)
            calls[ready++] = &attempts[i].call;
    }
    shl_http_run(s->http, calls, ready);
    for (size_t i = 0; i < count; i++) {
        if (requests[i].code != SHALE_OK)
            continue; /* never sent */
        bool again = judge(s, &requests[i], &attempts[i]);
        shl_s3_signer_unref(attempts[i].signer);
        if (again)
            run_some(s, &requests[i], 1); /* at most once for each kind of correction */
    }
    if (count > 1)
        env_free(attempts);
}

void shl_s3_run(struct s3_store *s, struct s3_request *requests, size_t count)
{
    for (size_t at = 0; at < count; at += RUN_MAX)
        run_some(s, requests + at, shl_min_size(count - at, RUN_MAX));
}

shale_code shl_s3_run_one(struct s3_store *s, struct s3_request *r, shale_error *err)
{
    shl_s3_run(s, r, 1);
    if (r->code != SHALE_OK)
        *err = r->err;
    return r->code;
}

/* ---- what answers say */

shale_code shl_s3_describe(const struct s3_request *r, struct shl_object *out, shale_error *err)
{
    struct s3_range range;
    const char *etag = r->wanted[S3_ETAG].value;
    *out = (struct shl_object){0};
    if (r->wanted[S3_RANGE].value[0] != '\0') {
        if (!shl_s3_parse_range(r->wanted[S3_RANGE].value, &range))
            return shl_fail(err, SHALE_UNAVAILABLE,
                            "\"%s\": Content-Range \"%.60s\" makes no sense", r->key,
                            r->wanted[S3_RANGE].value);
        out->size = range.size;
    } else if (!shl_parse_u64(shl_slice_str(r->wanted[S3_LENGTH].value), &out->size)) {
        return shl_fail(err, SHALE_UNAVAILABLE, "\"%s\": the answer has no Content-Length", r->key);
    }
    if (strlen(etag) >= sizeof out->etag)
        return shl_fail(err, SHALE_NOT_SUPPORTED, "\"%s\": an ETag of %zu characters", r->key,
                        strlen(etag));
    for (const char *p = etag; *p != '\0'; p++) /* it goes back into headers, and onto terminals */
        if (*p < ' ' || *p > '~')
            return shl_fail(err, SHALE_NOT_SUPPORTED, "\"%s\": an ETag with odd bytes", r->key);
    memcpy(out->etag, etag, strlen(etag) + 1);
    if (!shl_time_parse_http(shl_slice_str(r->wanted[S3_MODIFIED].value), &out->modified_ns))
        out->modified_ns = 0;
    if (strlen(r->wanted[S3_PUT_ID].value) == sizeof out->put_id - 1)
        memcpy(out->put_id, r->wanted[S3_PUT_ID].value, sizeof out->put_id);
    return SHALE_OK;
}

/* ---- headers of objects */

void shl_s3_customer_key(const struct s3_store *s, struct s3_request *r)
{
    if (s->sse_key_md5 == NULL)
        return;
    shl_s3_header(r, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    shl_s3_header(r, "x-amz-server-side-encryption-customer-key", s->config.v.sse_customer_key);
    shl_s3_header(r, "x-amz-server-side-encryption-customer-key-md5", s->sse_key_md5);
}

void shl_s3_object_headers(const struct s3_store *s, struct s3_request *r, const char *put_id)
{
    const struct shl_s3_values *v = &s->config.v;
    if (v->content_type != NULL)
        shl_s3_header(r, "content-type", v->content_type);
    if (v->storage_class != NULL)
        shl_s3_header(r, "x-amz-storage-class", v->storage_class);
    if (put_id != NULL)
        shl_s3_header(r, "x-amz-meta-slatedbputid", put_id);
    shl_s3_customer_key(s, r);
    if (v->sse == NULL || s->sse_key_md5 != NULL)
        return;
    shl_s3_header(r, "x-amz-server-side-encryption", v->sse);
    if (v->sse_kms_key_id != NULL)
        shl_s3_header(r, "x-amz-server-side-encryption-aws-kms-key-id", v->sse_kms_key_id);
    if (v->sse_bucket_key)
        shl_s3_header(r, "x-amz-server-side-encryption-bucket-key-enabled", "true");
}

shale_code shl_s3_checksum(const struct s3_store *s, struct s3_request *r,
                           char text[S3_CHECKSUM_TEXT], shale_error *err)
{
    uint8_t digest[SHL_SHA256_BYTES];
    size_t len = sizeof digest;
    struct shl_buf base64 = {0};
    bool sha = s->config.v.checksum == SHL_S3_CHECKSUM_SHA256;
    shale_code rc;
    if (s->config.v.checksum == SHL_S3_CHECKSUM_NONE)
        return SHALE_OK;
    if (sha) {
        SHL_TRY(shl_sha256(r->body, r->body_count, digest, err));
    } else {
        uint64_t crc = shl_crc64nvme(r->body, r->body_count);
        for (len = 0; len < 8; len++)
            digest[len] = (uint8_t)(crc >> (56 - 8 * len));
    }
    SHL_TRY(shl_base64_encode(shl_slice_of(digest, len), &base64, err));
    SHL_ASSERT(base64.len < S3_CHECKSUM_TEXT);
    memcpy(text, base64.data, base64.len);
    text[base64.len] = '\0';
    shl_s3_header(r, sha ? "x-amz-checksum-sha256" : "x-amz-checksum-crc64nvme", text);
out:
    shl_buf_free(&base64);
    return rc;
}
