#include "store/sigv4.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define CHUNK         "AWS4-HMAC-SHA256-PAYLOAD"
#define TERMINATOR    "aws4_request"
#define DAY_BYTES     8  /* "20260115", the front of amz_date */
#define DATE_BYTES    16 /* "20260115T083000Z" */
#define HEX_BYTES     ((size_t)SHL_SHA256_HEX - 1)
#define EXPIRES_S_MAX 604800 /* seven days: AWS takes no longer life */
#define PAIRS_MAX     256    /* headers or query pairs of one request */

/* ---- order: indexes into the pairs, on the caller's stack */

struct order {
    size_t count;
    uint16_t index[PAIRS_MAX];
};

typedef int (*pair_cmp)(const struct shl_pair *a, const struct shl_pair *b);

/* Insertion: requests have a handful of pairs, mostly sorted already; equal ones keep their order. */
static shale_code order_of(const struct shl_pair *pairs, size_t count, pair_cmp cmp,
                           struct order *out, shale_error *err)
{
    out->count = 0;
    if (count > PAIRS_MAX)
        return shl_fail(err, SHALE_INVALID, "signature: %zu headers or query pairs, at most %d",
                        count, PAIRS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && cmp(&pairs[out->index[at - 1]], &pairs[i]) > 0; at--)
            out->index[at] = out->index[at - 1];
        out->index[at] = (uint16_t)i;
    }
    out->count = count;
    return SHALE_OK;
}

static int header_cmp(const struct shl_pair *a, const struct shl_pair *b)
{
    return strcmp(a->name, b->name);
}

/* Where a byte stands among percent-encoded ones: '%' comes before all that stay as they are. */
static int encoded_rank(char c)
{
    bool stays = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                 c == '-' || c == '.' || c == '_' || c == '~';
    return stays ? 256 + c : (unsigned char)c;
}

/* strcmp of the encoded forms, without encoding. */
static int encoded_cmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return encoded_rank(*a) - encoded_rank(*b); /* the end, rank 0, comes before all */
}

static int query_cmp(const struct shl_pair *a, const struct shl_pair *b)
{
    int c = encoded_cmp(a->name, b->name);
    return c != 0 ? c : encoded_cmp(a->value, b->value);
}

/* ---- the canonical request */

shale_code shl_sigv4_query(const struct shl_pair *query, size_t count, struct shl_buf *out,
                           shale_error *err)
{
    size_t before = out->len;
    struct order order = {0};
    shale_code rc;
    SHL_TRY(order_of(query, count, query_cmp, &order, err));
    for (size_t i = 0; i < order.count; i++) {
        const struct shl_pair *p = &query[order.index[i]];
        if (i > 0)
            SHL_TRY(shl_str_append(out, "&", err));
        SHL_TRY(shl_percent_encode(shl_slice_str(p->name), false, out, err));
        SHL_TRY(shl_str_append(out, "=", err));
        SHL_TRY(shl_percent_encode(shl_slice_str(p->value), false, out, err));
    }
out:
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}

static bool is_repeated(const struct shl_pair *headers, const struct order *order, size_t i)
{
    return i > 0 && strcmp(headers[order->index[i - 1]].name, headers[order->index[i]].name) == 0;
}

static shale_code append_signed_headers(const struct shl_pair *headers, const struct order *order,
                                        struct shl_buf *out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < order->count; i++) {
        if (is_repeated(headers, order, i))
            continue;
        if (i > 0)
            SHL_TRY(shl_str_append(out, ";", err));
        SHL_TRY(shl_str_append(out, headers[order->index[i]].name, err));
    }
out:
    return rc;
}

shale_code shl_sigv4_signed_headers(const struct shl_sigv4_request *r, struct shl_buf *out,
                                    shale_error *err)
{
    size_t before = out->len;
    struct order order = {0};
    shale_code rc;
    SHL_TRY(order_of(r->headers, r->header_count, header_cmp, &order, err));
    SHL_TRY(append_signed_headers(r->headers, &order, out, err));
out:
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}

/* Without blanks at both ends; a run of them inside is one. */
static shale_code append_folded(const char *value, struct shl_buf *out, shale_error *err)
{
    size_t len = strlen(value);
    shale_code rc = shl_buf_reserve(out, len, err);
    if (rc != SHALE_OK)
        return rc;
    size_t start = out->len;
    bool is_blank_due = false;
    if (memchr(value, ' ', len) == NULL && memchr(value, '\t', len) == NULL)
        return shl_buf_append(out, value, len, err);
    for (size_t i = 0; i < len; i++) {
        if (value[i] == ' ' || value[i] == '\t') {
            is_blank_due = out->len > start;
            continue;
        }
        if (is_blank_due)
            out->data[out->len++] = ' ';
        is_blank_due = false;
        out->data[out->len++] = (uint8_t)value[i];
    }
    return SHALE_OK;
}

static shale_code append_headers(const struct shl_pair *headers, const struct order *order,
                                 struct shl_buf *out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < order->count; i++) {
        const struct shl_pair *p = &headers[order->index[i]];
        if (is_repeated(headers, order, i)) {
            out->data[out->len - 1] = ','; /* goes on with the line before */
        } else {
            SHL_TRY(shl_str_append(out, p->name, err));
            SHL_TRY(shl_str_append(out, ":", err));
        }
        SHL_TRY(append_folded(p->value, out, err));
        SHL_TRY(shl_str_append(out, "\n", err));
    }
out:
    return rc;
}

/* S3 signs the path as it is sent; all others sign it encoded once more. */
static bool signs_path_as_sent(const char *service)
{
    return strcmp(service, "s3") == 0 || strcmp(service, "s3express") == 0;
}

static shale_code append_path(const char *path, const char *service, struct shl_buf *out,
                              shale_error *err)
{
    if (path[0] == '\0')
        path = "/";
    return signs_path_as_sent(service) ? shl_str_append(out, path, err)
                                       : shl_percent_encode(shl_slice_str(path), true, out, err);
}

/* Method, path and query have a line each, each header has one; an empty line, the signed names, the payload's hash. */
static shale_code append_canonical(const struct shl_sigv4_request *r, const char *service,
                                   const char *payload_hash, struct shl_buf *out, shale_error *err)
{
    struct order order = {0};
    shale_code rc;
    SHL_TRY(shl_str_append(out, r->method, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(append_path(r->path, service, out, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(shl_sigv4_query(r->query, r->query_count, out, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(order_of(r->headers, r->header_count, header_cmp, &order, err));
    SHL_TRY(append_headers(r->headers, &order, out, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(append_signed_headers(r->headers, &order, out, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(shl_str_append(out, payload_hash, err));
out:
    return rc;
}

shale_code shl_sigv4_canonical_request(const struct shl_sigv4_request *r, const char *service,
                                       struct shl_buf *out, shale_error *err)
{
    size_t before = out->len;
    shale_code rc = append_canonical(r, service, r->payload_hash, out, err);
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}

/* ---- the string to sign */

/* "20260115/us-east-1/s3/aws4_request" */
static shale_code append_scope(const struct shl_sigv4_scope *scope, struct shl_buf *out,
                               shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_buf_append(out, scope->amz_date, DAY_BYTES, err));
    SHL_TRY(shl_str_append(out, "/", err));
    SHL_TRY(shl_str_append(out, scope->region, err));
    SHL_TRY(shl_str_append(out, "/", err));
    SHL_TRY(shl_str_append(out, scope->service, err));
    SHL_TRY(shl_str_append(out, "/" TERMINATOR, err));
out:
    return rc;
}

static shale_code append_string_to_sign(const char *request_hash,
                                        const struct shl_sigv4_scope *scope, struct shl_buf *out,
                                        shale_error *err)
{
    size_t before = out->len;
    shale_code rc;
    SHL_TRY(shl_str_append(out, ALGORITHM "\n", err));
    SHL_TRY(shl_str_append(out, scope->amz_date, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(append_scope(scope, out, err));
    SHL_TRY(shl_str_append(out, "\n", err));
    SHL_TRY(shl_str_append(out, request_hash, err));
out:
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}

shale_code shl_sigv4_string_to_sign(struct shl_slice canonical_request,
                                    const struct shl_sigv4_scope *scope, struct shl_buf *out,
                                    shale_error *err)
{
    char hash[SHL_SHA256_HEX];
    shale_code rc = shl_sha256_hex(&canonical_request, 1, hash, err);
    return rc != SHALE_OK ? rc : append_string_to_sign(hash, scope, out, err);
}

/* ---- keys */

static bool is_amz_date(const char *s)
{
    for (size_t i = 0; i < DATE_BYTES; i++) {
        bool fits = i == DAY_BYTES        ? s[i] == 'T'
                    : i == DATE_BYTES - 1 ? s[i] == 'Z'
                                          : s[i] >= '0' && s[i] <= '9';
        if (!fits)
            return false; /* the end of a short one too */
    }
    return s[DATE_BYTES] == '\0';
}

static bool is_key_of(const struct shl_sigv4_key *key, const struct shl_sigv4_scope *scope)
{
    return key->valid && memcmp(key->day, scope->amz_date, DAY_BYTES) == 0 &&
           strcmp(key->region, scope->region) == 0 && strcmp(key->service, scope->service) == 0;
}

/* The first of the chain: HMAC("AWS4" + secret, day). HMAC itself replaces a key above a block by its digest, so that a long secret
 * needs no memory here. */
static shale_code derive_date_key(const struct shl_sigv4_scope *scope,
                                  uint8_t out[SHL_SHA256_BYTES], shale_error *err)
{
    struct shl_slice day = shl_slice_of(scope->amz_date, DAY_BYTES);
    struct shl_slice parts[2] = {shl_slice_str("AWS4"), shl_slice_str(scope->secret_key)};
    uint8_t secret[64]; /* a block of SHA-256 */
    size_t len = parts[0].len + parts[1].len;
    shale_code rc;
    if (len > sizeof secret) {
        SHL_TRY(shl_sha256(parts, 2, secret, err));
        len = SHL_SHA256_BYTES;
    } else {
        memcpy(secret, parts[0].data, parts[0].len);
        memcpy(secret + parts[0].len, parts[1].data, parts[1].len);
    }
    SHL_TRY(shl_hmac_sha256(shl_slice_of(secret, len), day, out, err));
out:
    shl_wipe(secret, sizeof secret);
    return rc;
}

static shale_code derive_fresh(struct shl_sigv4_key *k, const struct shl_sigv4_scope *scope,
                               shale_error *err)
{
    shale_code rc;
    memcpy(k->day, scope->amz_date, DAY_BYTES);
    memcpy(k->region, scope->region, strlen(scope->region));
    memcpy(k->service, scope->service, strlen(scope->service));
    SHL_TRY(derive_date_key(scope, k->date_key, err));
    SHL_TRY(shl_hmac_sha256(shl_slice_of(k->date_key, SHL_SHA256_BYTES), shl_slice_str(k->region),
                            k->region_key, err));
    SHL_TRY(shl_hmac_sha256(shl_slice_of(k->region_key, SHL_SHA256_BYTES),
                            shl_slice_str(k->service), k->service_key, err));
    SHL_TRY(shl_hmac_sha256(shl_slice_of(k->service_key, SHL_SHA256_BYTES),
                            shl_slice_str(TERMINATOR), k->signing_key, err));
    k->valid = true;
out:
    return rc;
}

shale_code shl_sigv4_derive(struct shl_sigv4_key *key, const struct shl_sigv4_scope *scope,
                            shale_error *err)
{
    struct shl_sigv4_key fresh = {0};
    if (!is_amz_date(scope->amz_date))
        return shl_fail(err, SHALE_INVALID, "signature: date \"%.32s\", want e.g. 20260115T083000Z",
                        scope->amz_date);
    if (strlen(scope->region) >= sizeof fresh.region)
        return shl_fail(err, SHALE_INVALID, "signature: a region of %zu bytes, at most %zu",
                        strlen(scope->region), sizeof fresh.region - 1);
    if (strlen(scope->service) >= sizeof fresh.service)
        return shl_fail(err, SHALE_INVALID, "signature: a service of %zu bytes, at most %zu",
                        strlen(scope->service), sizeof fresh.service - 1);
    struct shl_slice secret = shl_slice_str(scope->secret_key);
    shale_code rc;
    SHL_TRY(shl_sha256(&secret, 1, fresh.secret_sha256, err));
    if (is_key_of(key, scope) &&
        memcmp(key->secret_sha256, fresh.secret_sha256, SHL_SHA256_BYTES) == 0)
        goto out;
    SHL_TRY(derive_fresh(&fresh, scope, err));
    *key = fresh;
out:
    shl_wipe(&fresh, sizeof fresh);
    return rc;
}

/* ---- signatures */

static shale_code sign(const struct shl_sigv4_key *key, struct shl_slice string_to_sign,
                       char out[SHL_SHA256_HEX], shale_error *err)
{
    uint8_t digest[SHL_SHA256_BYTES];
    shale_code rc = shl_hmac_sha256(shl_slice_of(key->signing_key, SHL_SHA256_BYTES),
                                    string_to_sign, digest, err);
    if (rc == SHALE_OK)
        shl_sha256_to_hex(digest, out);
    return rc;
}

/* Scratch holds the canonical request, then the string to sign. */
static shale_code sign_request(const struct shl_sigv4_request *r, const char *payload_hash,
                               const struct shl_sigv4_scope *scope, const struct shl_sigv4_key *key,
                               struct shl_buf *scratch, char out[SHL_SHA256_HEX], shale_error *err)
{
    SHL_ASSERT(is_key_of(key, scope));
    char hash[SHL_SHA256_HEX];
    struct shl_slice canonical;
    shale_code rc;
    scratch->len = 0;
    SHL_TRY(append_canonical(r, scope->service, payload_hash, scratch, err));
    canonical = shl_buf_view(scratch);
    SHL_TRY(shl_sha256_hex(&canonical, 1, hash, err));
    scratch->len = 0;
    SHL_TRY(append_string_to_sign(hash, scope, scratch, err));
    SHL_TRY(sign(key, shl_buf_view(scratch), out, err));
out:
    return rc;
}

shale_code shl_sigv4_authorization(const struct shl_sigv4_request *r,
                                   const struct shl_sigv4_scope *scope,
                                   const struct shl_sigv4_key *key, struct shl_buf *scratch,
                                   struct shl_buf *out, shale_error *err)
{
    size_t before = out->len;
    char signature[SHL_SHA256_HEX];
    shale_code rc;
    SHL_TRY(sign_request(r, r->payload_hash, scope, key, scratch, signature, err));
    SHL_TRY(shl_str_append(out, ALGORITHM " Credential=", err));
    SHL_TRY(shl_str_append(out, scope->access_key, err));
    SHL_TRY(shl_str_append(out, "/", err));
    SHL_TRY(append_scope(scope, out, err));
    SHL_TRY(shl_str_append(out, ", SignedHeaders=", err));
    SHL_TRY(shl_sigv4_signed_headers(r, out, err));
    SHL_TRY(shl_str_append(out, ", Signature=", err));
    SHL_TRY(shl_str_append(out, signature, err));
out:
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}

/* What a presigned URL adds to the query of its request; pairs borrow from the buffers. */
struct presign {
    struct shl_buf credential;
    struct shl_buf signed_headers;
    struct shl_buf scratch;
    char expires[16];
    struct shl_pair *pairs; /* owned */
    size_t count;
};

static void presign_add(struct presign *p, const char *name, const char *value)
{
    p->pairs[p->count++] = (struct shl_pair){name, value};
}

static shale_code presign_pairs(struct presign *p, const struct shl_sigv4_request *r,
                                const struct shl_sigv4_scope *scope, const char *token,
                                uint32_t expires_s, shale_error *err)
{
    enum { ADDED_MAX = 6 };
    shale_code rc;
    p->pairs = env_calloc(r->query_count + ADDED_MAX, sizeof *p->pairs);
    if (p->pairs == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_str_printf(&p->credential, err, "%s/", scope->access_key));
    SHL_TRY(append_scope(scope, &p->credential, err));
    SHL_TRY(shl_str_terminate(&p->credential, err));
    SHL_TRY(shl_sigv4_signed_headers(r, &p->signed_headers, err));
    SHL_TRY(shl_str_terminate(&p->signed_headers, err));
    (void)snprintf(p->expires, sizeof p->expires, "%" PRIu32, expires_s);
    for (size_t i = 0; i < r->query_count; i++)
        presign_add(p, r->query[i].name, r->query[i].value);
    presign_add(p, "X-Amz-Algorithm", ALGORITHM);
    presign_add(p, "X-Amz-Credential", (const char *)p->credential.data);
    presign_add(p, "X-Amz-Date", scope->amz_date);
    presign_add(p, "X-Amz-Expires", p->expires);
    presign_add(p, "X-Amz-SignedHeaders", (const char *)p->signed_headers.data);
    if (token != NULL)
        presign_add(p, "X-Amz-Security-Token", token);
    SHL_ASSERT(p->count <= r->query_count + ADDED_MAX);
out:
    return rc;
}

shale_code shl_sigv4_presign(const struct shl_sigv4_request *r, const struct shl_sigv4_scope *scope,
                             const char *token, uint32_t expires_s, struct shl_buf *out,
                             shale_error *err)
{
    if (expires_s == 0 || expires_s > EXPIRES_S_MAX)
        return shl_fail(err, SHALE_INVALID,
                        "signature: a URL that holds %" PRIu32 " seconds, want 1 to %d", expires_s,
                        EXPIRES_S_MAX);
    size_t before = out->len;
    struct presign p = {0};
    struct shl_sigv4_key key = {0};
    struct shl_sigv4_request whole = *r;
    char signature[SHL_SHA256_HEX];
    shale_code rc;
    SHL_TRY(shl_sigv4_derive(&key, scope, err));
    SHL_TRY(presign_pairs(&p, r, scope, token, expires_s, err));
    whole.query = p.pairs;
    whole.query_count = p.count;
    SHL_TRY(sign_request(&whole, SHL_SIGV4_UNSIGNED, scope, &key, &p.scratch, signature, err));
    SHL_TRY(shl_sigv4_query(p.pairs, p.count, out, err));
    SHL_TRY(shl_str_append(out, "&X-Amz-Signature=", err));
    SHL_TRY(shl_str_append(out, signature, err));
out:
    if (rc != SHALE_OK)
        out->len = before;
    shl_wipe(&key, sizeof key);
    shl_buf_free(&p.credential);
    shl_buf_free(&p.signed_headers);
    shl_buf_free(&p.scratch);
    env_free(p.pairs);
    return rc;
}

shale_code shl_sigv4_chunk(const struct shl_sigv4_scope *scope, const struct shl_sigv4_key *key,
                           const char *previous, struct shl_slice chunk, char out[SHL_SHA256_HEX],
                           shale_error *err)
{
    SHL_ASSERT(is_key_of(key, scope));
    SHL_ASSERT(strlen(previous) == HEX_BYTES);
    char hash[SHL_SHA256_HEX];
    shale_code rc = shl_sha256_hex(&chunk, 1, hash, err);
    if (rc != SHALE_OK)
        return rc;
    char text[512]; /* enough: the key bounds region and service */
    int n = snprintf(text, sizeof text, CHUNK "\n%s\n%s/%s/%s/" TERMINATOR "\n%s\n%s\n%s",
                     scope->amz_date, key->day, key->region, key->service, previous,
                     SHL_SIGV4_EMPTY, hash);
    SHL_ASSERT(n > 0 && (size_t)n < sizeof text);
    return sign(key, shl_slice_of(text, (size_t)n), out, err);
}
