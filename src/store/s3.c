#include "store/s3.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/num.h"
#include "base/str.h"
#include "store/s3_answer.h"
#include "store/s3_internal.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- put, head */

/* It goes back into headers, and onto terminals. */
static bool keep_etag(const char *etag, struct shl_object *out)
{
    size_t n = strlen(etag);
    for (size_t i = 0; i < n; i++)
        if (etag[i] < ' ' || etag[i] > '~')
            return false;
    if (n == 0 || n >= sizeof out->etag)
        return false;
    memcpy(out->etag, etag, n + 1);
    return true;
}

static shale_code s3_head(struct shl_store *base, const char *key, struct shl_object *out,
                          shale_error *err);

static shale_code s3_get(struct shl_store *base, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err);

/* Whether the object has these bytes: an older one may be as long. */
static shale_code holds_parts(struct shl_store *base, const char *key,
                              const struct shl_slice *parts, size_t count, bool *out,
                              shale_error *err)
{
    const struct shl_get whole = {.kind = SHL_GET_ALL, .max = shl_parts_bytes(parts, count) + 1};
    struct shl_buf body = {0};
    struct shl_object there;
    shale_code rc = s3_get(base, key, &whole, &body, &there, err);
    *out = rc == SHALE_OK && shl_parts_equal(shl_buf_view(&body), parts, count);
    shl_buf_free(&body);
    if (rc != SHALE_OK)
        shl_err_prefix(err, "put \"%s\": what is there was looked at", key);
    return rc;
}

/* A put was answered with a success that has no ETag, or another status than 200, or a body, as no S3 does it: a gateway between may have made it up, so the object is looked at. One that
 * is marked has its ETag, which whoever wrote it with a condition may need for the next; that of another may be another's, and stays empty. What does
 * not look right is for whoever retries: a second create or if-match finds the first one's mark. */
static shale_code look_at_put(struct shl_store *base, const char *key, int status,
                              const struct shl_slice *parts, size_t count, const char *put_id,
                              struct shl_object *out, shale_error *err)
{
    bool same = false;
    static const char what[] = "the answer was not 200 with an ETag alone";
    struct shl_object there;
    shale_code rc = s3_head(base, key, &there, err);
    if (rc == SHALE_PERMISSION_DENIED || rc == SHALE_NOT_SUPPORTED)
        return shl_fail(
            err, SHALE_UNAVAILABLE,
            "put \"%s\": outcome unknown: %s but %d, and whether it is there may not be "
            "looked at",
            key, what, status);
    if (rc == SHALE_NOT_FOUND)
        return shl_fail(err, SHALE_UNAVAILABLE, "put \"%s\": %s, and there is no such object", key,
                        what);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "put \"%s\": %s", key, what);
        return rc;
    }
    if (put_id != NULL) {
        same = strcmp(there.put_id, put_id) == 0;
    } else if (there.size == shl_parts_bytes(parts, count)) {
        rc = holds_parts(base, key, parts, count, &same, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (!same)
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "put \"%s\": %s, and the object there is not what was sent", key, what);
    if (put_id != NULL)
        (void)keep_etag(there.etag, out);
    return SHALE_OK;
}

static shale_code s3_put(struct shl_store *base, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct shl_object *out,
                         shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct s3_request r = {.method = SHL_HTTP_PUT,
                           .action = "s3:PutObject",
                           .key = key,
                           .body = parts,
                           .body_count = count};
    char checksum[S3_CHECKSUM_TEXT];
    const char *etag = r.wanted[S3_ETAG].value;
    shale_code rc;
    if (how->mode == SHL_PUT_CREATE && s->config.v.conditional == SHL_S3_UNCONDITIONAL)
        SHL_TRY(shl_fail(err, SHALE_NOT_SUPPORTED,
                         "put \"%s\": aws_conditional_put=disabled, so %s cannot create only what "
                         "is not there",
                         key, base->name));
    shl_s3_object_headers(s, &r, how->put_id);
    SHL_TRY(shl_s3_checksum(s, &r, checksum, err));
    if (how->mode == SHL_PUT_CREATE)
        shl_s3_header(&r, "if-none-match", "*");
    else if (how->mode == SHL_PUT_IF_MATCH)
        shl_s3_header(&r, "if-match", how->if_match);
    SHL_TRY(shl_s3_run_one(s, &r, err));
    out->size = shl_parts_bytes(parts, count);
    if (r.status != 200 || r.answer.len > 0 || !keep_etag(etag, out))
        SHL_TRY(look_at_put(base, key, r.status, parts, count, how->put_id, out, err));
    if (how->put_id != NULL)
        memcpy(out->put_id, how->put_id, sizeof out->put_id);
out:
    shl_s3_request_deinit(&r);
    return rc;
}

static shale_code s3_head(struct shl_store *base, const char *key, struct shl_object *out,
                          shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct s3_request r = {.method = SHL_HTTP_HEAD, .action = "s3:GetObject", .key = key};
    shale_code rc;
    shl_s3_customer_key(s, &r);
    SHL_TRY(shl_s3_run_one(s, &r, err));
    SHL_TRY(shl_s3_describe(&r, out, err));
out:
    shl_s3_request_deinit(&r);
    return rc;
}

/* ---- get
 *
 * A body that breaks off is gone on with where it stopped, if the object is still the same (if-match): large bodies over a poor line arrive
 * that way, where starting over would not. It is done at once as long as it brings something, and all of it within the time that one request has;
 * what only drips fails, and is for whoever retries, with pauses and a count. */

#define RESUMES_MAX      16
#define RESUME_BYTES_MIN (16 * 1024) /* that a resumed request brought */
#define BYTES_PER_SECOND (1024 * 1024)

/* One window of an object on its way: [first, end) is wanted, `done` bytes of it have come. */
struct window {
    bool suffix;         /* the last `end` bytes; becomes a plain window with the first answer */
    bool whole;          /* no Range header: the object from its start */
    uint64_t first, end; /* end UINT64_MAX: up to the object's end */
    uint64_t done;
    uint64_t max;                        /* of a whole object; 0: none */
    bool too_long;                       /* it is said to have more; its size is in object */
    uint64_t until_ns;                   /* no resuming after that; 0: not asked for yet */
    const struct shl_http_piece *pieces; /* where it goes; piece_count 0: into text */
    size_t piece_count;
    struct shl_buf *text;
    struct shl_object object; /* of the first answer */
    bool known;               /* object is set */
    shale_code failed;        /* of the first try that broke off */
    shale_error why;
};

/* One request for a window, with what its headers point to. */
struct fetch {
    struct window *w;
    struct s3_request *r; /* whoever made the fetch has it */
    char range[64];
    struct shl_http_piece
        *rest; /* owned: pieces without what came already; NULL: the window's own */
};

static void fetch_deinit(struct fetch *f)
{
    if (f->r != NULL)
        shl_s3_request_deinit(f->r);
    env_free(f->rest);
    f->rest = NULL;
}

/* The pieces behind the first `done` bytes. */
static shale_code rest_of(struct fetch *f, shale_error *err)
{
    const struct window *w = f->w;
    uint64_t skip = w->done;
    size_t from = 0;
    while (from < w->piece_count && skip >= w->pieces[from].len)
        skip -= w->pieces[from++].len;
    f->rest = env_calloc(w->piece_count - from + 1, sizeof *f->rest);
    if (f->rest == NULL)
        return shl_nomem(err);
    for (size_t i = from; i < w->piece_count; i++) {
        uint64_t cut = i == from ? skip : 0;
        f->rest[i - from] =
            (struct shl_http_piece){.dst = w->pieces[i].dst == NULL ? NULL : w->pieces[i].dst + cut,
                                    .len = w->pieces[i].len - (size_t)cut};
    }
    f->r->pieces = f->rest;
    f->r->piece_count = w->piece_count - from;
    return SHALE_OK;
}

static shale_code fetch_init(struct fetch *f, struct s3_request *r, struct s3_store *s,
                             const char *key, struct window *w, const char *if_none_match,
                             shale_error *err)
{
    f->w = w;
    f->r = r;
    f->rest = NULL;
    if (w->until_ns == 0)
        w->until_ns = env_now_mono_ns() + s->config.v.timeout_ns;
    shl_s3_request_init(r);
    r->method = SHL_HTTP_GET;
    r->action = "s3:GetObject";
    r->key = key;
    r->pieces = w->pieces;
    r->piece_count = w->piece_count;
    r->text = w->piece_count > 0 ? NULL : w->text;
    r->text_max = w->suffix ? w->end : w->max > w->done ? w->max - w->done : 0;
    uint64_t first = w->first + w->done;
    if (w->suffix)
        (void)snprintf(f->range, sizeof f->range, "bytes=-%" PRIu64, w->end);
    else if (w->end == UINT64_MAX)
        (void)snprintf(f->range, sizeof f->range, "bytes=%" PRIu64 "-", first);
    else
        (void)snprintf(f->range, sizeof f->range, "bytes=%" PRIu64 "-%" PRIu64, first, w->end - 1);
    if (!w->whole || w->done > 0)
        shl_s3_header(f->r, "range", f->range);
    if (w->done > 0)
        shl_s3_header(f->r, "if-match", w->object.etag);
    else if (if_none_match != NULL)
        shl_s3_header(f->r, "if-none-match", if_none_match);
    shl_s3_customer_key(s, f->r);
    return w->done > 0 && w->piece_count > 0 ? rest_of(f, err) : SHALE_OK;
}

/* The answer must be just the bytes that were asked for. */
static shale_code check_answer(const struct fetch *f, const struct shl_object *o, shale_error *err)
{
    const struct window *w = f->w;
    struct s3_range got;
    uint64_t first = w->first + w->done;
    if (w->whole && w->done == 0)
        return f->r->status == 200
                   ? SHALE_OK
                   : shl_fail(err, SHALE_UNAVAILABLE,
                              "get \"%s\": status %d without a range being asked for", f->r->key,
                              f->r->status);
    if (w->suffix && o->size == 0)
        return SHALE_OK; /* whatever the server calls that */
    if (f->r->status == 200 && first >= o->size &&
        !w->suffix) /* MinIO sends the whole object instead of 416 */
        return shl_fail(err, SHALE_INVALID_RANGE,
                        "range from %" PRIu64 " outside of \"%s\", which has %" PRIu64 " bytes",
                        first, f->r->key, o->size);
    if (f->r->status != 206 || !shl_s3_parse_range(f->r->wanted[S3_RANGE].value, &got))
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "get \"%s\": a range was asked for, and status %d came with Content-Range "
                        "\"%.60s\"",
                        f->r->key, f->r->status, f->r->wanted[S3_RANGE].value);
    if (w->suffix)
        first = o->size - shl_min_u64(o->size, w->end);
    if (got.first != first)
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "get \"%s\": bytes from %" PRIu64 " were asked for, from %" PRIu64 " came",
                        f->r->key, first, got.first);
    return SHALE_OK;
}

static bool is_same(const struct shl_object *a, const struct shl_object *b)
{
    return strcmp(a->etag, b->etag) == 0 && a->size == b->size;
}

/* Of a body that broke off after `tries` resumes. */
static bool may_resume(const struct window *w, uint64_t received, unsigned tries)
{
    bool is_full = w->end != UINT64_MAX && w->done >= w->end - w->first; /* and more came */
    uint64_t earned_ns = w->done / BYTES_PER_SECOND * ENV_NS_PER_SEC;
    return received >= (tries == 0 ? 1 : RESUME_BYTES_MIN) && !is_full &&
           w->object.etag[0] != '\0' && tries < RESUMES_MAX &&
           env_now_mono_ns() < w->until_ns + earned_ns;
}

/* After a try: true if the rest is to be asked for. The window's verdict is in rc otherwise. */
static bool settle(struct fetch *f, unsigned tries, shale_code *rc, shale_error *err)
{
    struct window *w = f->w;
    struct s3_request *r = f->r;
    struct shl_object o;
    bool broke_off = (r->code == SHALE_UNAVAILABLE || r->code == SHALE_TIMEOUT) &&
                     (r->status == 200 || r->status == 206);
    *rc = r->code;
    if (r->code != SHALE_OK && !broke_off) {
        *err = w->failed != SHALE_OK ? w->why : r->err; /* the first failure says more */
        *rc = w->failed != SHALE_OK ? w->failed : r->code;
        return false;
    }
    shale_error bad;
    shale_code described = shl_s3_describe(r, &o, &bad);
    if (described == SHALE_OK)
        described = check_answer(f, &o, &bad);
    if (described == SHALE_OK && w->known &&
        !is_same(&o, &w->object)) /* if-match was passed over */
        described = shl_fail(&bad, SHALE_UNAVAILABLE, "\"%s\" changed while it was read", r->key);
    if (described != SHALE_OK && w->failed != SHALE_OK) {
        *err = w->why;
        *rc = w->failed;
        return false;
    }
    if (described != SHALE_OK) {
        bool wrong_bytes = broke_off && described != SHALE_INVALID_RANGE; /* that is for good */
        *err = wrong_bytes ? r->err : bad;
        *rc = wrong_bytes ? r->code : described;
        return false;
    }
    if (w->max > 0 && o.size > w->max) {
        w->object = o;
        w->too_long = true;
        *rc = shl_fail_size(err, r->key, o.size, w->max);
        return false;
    }
    if (!w->known) {
        w->object = o;
        w->known = true;
        if (w->suffix)
            *w = (struct window){.first = o.size - shl_min_u64(o.size, w->end),
                                 .end = o.size,
                                 .until_ns = w->until_ns,
                                 .text = w->text,
                                 .object = o,
                                 .known = true};
    }
    w->done += r->received;
    if (!broke_off)
        return false;
    if (w->failed == SHALE_OK) {
        w->failed = r->code;
        w->why = r->err;
    }
    *err = w->why;
    return may_resume(w, r->received, tries);
}

static shale_code fetch_one(struct s3_store *s, const char *key, struct window *w,
                            const char *if_none_match, unsigned tries, shale_error *err)
{
    shale_code rc;
    bool more = true;
    for (; more; tries++) {
        struct s3_request r;
        struct fetch f;
        more = false;
        rc = fetch_init(&f, &r, s, key, w, if_none_match, err);
        if (rc == SHALE_OK) {
            shl_s3_run(s, &r, 1);
            more = settle(&f, tries, &rc, err);
        }
        fetch_deinit(&f);
    }
    return rc;
}

/* More was told than was expected, and nothing was taken: either the object has so much, or the answer is another's. */
static shale_code look_at_size(struct shl_store *base, const char *key, const struct window *w,
                               shale_error *err)
{
    struct shl_object there;
    shale_error ignored;
    if (s3_head(base, key, &there, &ignored) == SHALE_OK && there.size == w->object.size)
        return SHALE_CORRUPTION;
    return shl_fail(err, SHALE_UNAVAILABLE,
                    "get \"%s\": an answer of %" PRIu64 " bytes, and no more than %" PRIu64
                    " are expected",
                    key, w->object.size, w->max);
}

static shale_code s3_get(struct shl_store *base, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    struct window w = {.suffix = how->kind == SHL_GET_SUFFIX,
                       .whole = how->kind == SHL_GET_ALL,
                       .first = how->kind == SHL_GET_FROM ? how->offset : 0,
                       .end = how->kind == SHL_GET_SUFFIX ? how->len : UINT64_MAX,
                       .max = how->kind == SHL_GET_ALL ? how->max : 0,
                       .text = body};
    shale_code rc = fetch_one(s3_of(base), key, &w, how->if_none_match, 0, err);
    if (rc == SHALE_INVALID_RANGE &&
        how->kind == SHL_GET_SUFFIX) { /* what S3 says of the end of an empty object */
        rc = s3_head(base, key, out, err);
        return rc == SHALE_OK && out->size > 0
                   ? shl_fail(err, SHALE_UNAVAILABLE,
                              "get \"%s\": a suffix of %" PRIu64 " bytes was refused", key,
                              how->len)
                   : rc;
    }
    if (w.too_long)
        return look_at_size(base, key, &w, err);
    if (rc == SHALE_OK)
        *out = w.object;
    return rc;
}

/* Ranges that touch are one request. */
static size_t make_windows(const struct shl_get_range *ranges, size_t count,
                           struct shl_http_piece *pieces, struct window *windows)
{
    size_t made = 0;
    for (size_t at = 0; at < count;) {
        size_t n = shl_ranges_touching(ranges + at, count - at);
        for (size_t i = at; i < at + n; i++)
            pieces[i] = (struct shl_http_piece){.dst = ranges[i].dst, .len = ranges[i].len};
        windows[made++] = (struct window){.first = ranges[at].offset,
                                          .end = ranges[at + n - 1].offset + ranges[at + n - 1].len,
                                          .pieces = pieces + at,
                                          .piece_count = n};
        at += n;
    }
    return made;
}

static shale_code check_complete(const char *key, const struct window *w, shale_error *err)
{
    if (w->end > w->object.size)
        return shl_fail_range(err, key, w->first, w->end - w->first, w->object.size);
    if (w->done != w->end - w->first)
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "body of \"%s\" was cut: %" PRIu64 " bytes came, want %" PRIu64, key,
                        w->done, w->end - w->first);
    return SHALE_OK;
}

/* Fetches windows of one object at once; fails with the first failure. */
static shale_code fetch_all(struct s3_store *s, const char *key, struct window *windows,
                            size_t count, shale_error *err)
{
    if (count == 1)
        return fetch_one(s, key, windows, NULL, 0, err);
    struct fetch *f = env_calloc(count, sizeof *f);
    size_t bytes;
    struct s3_request *r = shl_mul_size(count, sizeof *r, &bytes) ? env_alloc(bytes) : NULL;
    shale_code rc = f == NULL || r == NULL ? shl_nomem(err) : SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++)
        rc = fetch_init(&f[i], &r[i], s, key, &windows[i], NULL, err);
    if (rc == SHALE_OK) {
        shl_s3_run(s, r, count);
        for (size_t i = 0; i < count; i++) {
            shale_error why;
            shale_code one;
            if (settle(&f[i], 0, &one, &why))
                one = fetch_one(s, key, &windows[i], NULL, 1, &why);
            if (one != SHALE_OK && rc == SHALE_OK) {
                rc = one;
                *err = why;
            }
        }
    }
    for (size_t i = 0; f != NULL && i < count; i++)
        fetch_deinit(&f[i]);
    env_free(f);
    env_free(r);
    return rc;
}

static shale_code s3_get_ranges(struct shl_store *base, const char *key,
                                const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    struct shl_http_piece one_piece;
    struct window one_window;
    struct shl_http_piece *pieces = &one_piece;
    struct window *windows = &one_window;
    size_t made;
    shale_code rc = SHALE_OK;
    if (count > 1) {
        pieces = env_calloc(count, sizeof *pieces);
        windows = env_calloc(count, sizeof *windows);
        if (pieces == NULL || windows == NULL) {
            rc = shl_nomem(err);
            goto out;
        }
    }
    made = make_windows(ranges, count, pieces, windows);
    SHL_TRY(fetch_all(s3_of(base), key, windows, made, err));
    for (size_t i = 0; i < made && rc == SHALE_OK; i++)
        rc = check_complete(key, &windows[i], err);
    for (size_t i = 1; i < made && rc == SHALE_OK; i++)
        if (!is_same(&windows[0].object, &windows[i].object))
            rc = shl_fail(err, SHALE_UNAVAILABLE, "\"%s\" changed while it was read", key);
out:
    if (count > 1) {
        env_free(pieces);
        env_free(windows);
    }
    return rc;
}

/* ---- life */

static void s3_destroy(struct shl_store *base)
{
    struct s3_store *s = s3_of(base);
    shl_http_unref(s->http);
    shl_s3_signer_unref(s->signer);
    shl_s3_config_deinit(&s->config);
    env_free(s->bucket);
    env_free(s->sse_key_md5);
    env_mutex_deinit(&s->mu);
    shl_store_deinit(base);
    env_free(s);
}

static const struct shl_store_ops s3_ops = {
    .put = s3_put,
    .get = s3_get,
    .get_ranges = s3_get_ranges,
    .head = s3_head,
    .list = shl_s3_list,
    .delete_many = shl_s3_delete_many,
    .copy = shl_s3_copy,
    .upload_start = shl_s3_upload_start,
    .upload_part = shl_s3_upload_part,
    .upload_complete = shl_s3_upload_complete,
    .upload_abort = shl_s3_upload_abort,
    .destroy = s3_destroy,
};

static uint64_t ms_of(uint64_t ns)
{
    return shl_max_u64(ns / ENV_NS_PER_MS, 1);
}

static shale_code make_http(struct s3_store *s, const struct shl_s3_hooks *hooks, shale_error *err)
{
    const struct shl_s3_values *v = &s->config.v;
    struct shl_http_options o;
    shl_http_options_init(&o);
    o.connect_timeout_ms = ms_of(v->connect_timeout_ns);
    o.first_byte_timeout_ms = ms_of(v->first_byte_timeout_ns);
    o.stall_timeout_ms = ms_of(v->read_timeout_ns);
    o.timeout_ms = ms_of(v->timeout_ns);
    o.idle_timeout_ms = ms_of(v->idle_timeout_ns);
    o.idle_max = v->idle_max;
    o.connections_max = v->connections_max;
    o.allow_http = v->allow_http;
    o.verify_tls = !v->allow_invalid_certificates;
    o.ca_file = v->ca_file;
    o.client_cert = v->client_cert;
    o.client_key = v->client_key;
    o.proxy = v->proxy;
    o.no_proxy = v->no_proxy;
    o.cancelled = hooks->cancelled;
    o.cancel_ctx = hooks->cancel_ctx;
    if (v->user_agent != NULL)
        o.user_agent = v->user_agent;
    return shl_http_new(&s->http, &o, err);
}

static shale_code make_identity(struct s3_store *s, struct s3_identity **out, shale_error *err)
{
    if (s->config.creds.access_key == NULL)
        return SHALE_OK;
    struct s3_identity *id = env_calloc(1, sizeof *id);
    if (id == NULL)
        return shl_nomem(err);
    atomic_init(&id->refs, 1);
    id->creds = s->config.creds;
    s->config.creds = (struct shl_aws_creds){0}; /* moved */
    *out = id;
    return SHALE_OK;
}

static shale_code make_signer(struct s3_store *s, const struct s3_place *place, shale_error *err)
{
    struct s3_identity *id = NULL;
    shale_code rc = make_identity(s, &id, err);
    if (rc == SHALE_OK)
        rc = shl_s3_signer_new(&s->signer, place, id, err);
    shl_s3_identity_unref(id);
    return rc;
}

/* sse-c: the key must be 32 bytes, and each request says their MD5. */
static shale_code make_customer_key(struct s3_store *s, shale_error *err)
{
    struct shl_buf raw = {0}, text = {0};
    struct shl_slice key;
    uint8_t md5[SHL_MD5_BYTES];
    shale_error ignored;
    shale_code rc = SHALE_OK;
    if (s->config.v.sse == NULL || strcmp(s->config.v.sse, "sse-c") != 0)
        return rc;
    if (shl_base64_decode(shl_slice_str(s->config.v.sse_customer_key), &raw, &ignored) !=
            SHALE_OK ||
        raw.len != 32) {
        rc = shl_fail(err, SHALE_INVALID, "aws_sse_customer_key_base64: is not base64 of 32 bytes");
        goto out;
    }
    key = shl_buf_view(&raw);
    SHL_TRY(shl_md5(&key, 1, md5, err));
    SHL_TRY(shl_base64_encode(shl_slice_of(md5, sizeof md5), &text, err));
    SHL_TRY(shl_str_terminate(&text, err));
    s->sse_key_md5 = (char *)text.data;
    text = (struct shl_buf){0};
out:
    if (raw.data != NULL)
        shl_wipe(raw.data, raw.len);
    shl_buf_free(&raw);
    shl_buf_free(&text);
    return rc;
}

static shale_code check_transport(const struct s3_store *s, const char *origin, shale_error *err)
{
    if (s->tls || s->config.v.allow_http)
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID,
                    "plain http is not allowed: the endpoint is %s: use https, or allow it with "
                    "aws_allow_http=true",
                    origin);
}

/* The endpoint in the form in which libcurl sends its host, for the signature covers that. */
static shale_code settle_endpoint(struct s3_store *s, shale_error *err)
{
    char *endpoint = s->config.v.endpoint;
    char shown[SHL_S3_ENDPOINT_SHOWN];
    struct shl_buf text = {0};
    shale_code rc = shl_http_origin(endpoint, &text, err);
    if (rc == SHALE_INVALID)
        shl_err_prefix(err, "%s: aws_endpoint \"%s\"", shl_s3_endpoint_origin(&s->config),
                       shl_s3_endpoint_shown(endpoint, shown));
    SHL_TRY(rc);
    endpoint = strstr(endpoint, "://") + 3;
    SHL_TRY(shl_str_append(&text, endpoint + strcspn(endpoint, "/"), err));
    SHL_TRY(shl_str_terminate(&text, err));
    env_free(s->config.v.endpoint);
    s->config.v.endpoint = (char *)text.data;
    text = (struct shl_buf){0}; /* moved to the config */
out:
    shl_buf_free(&text);
    return rc;
}

shale_code shl_store_s3_new(struct shl_store **out, const char *bucket,
                            struct shl_s3_config *take_config, const struct shl_s3_hooks *hooks,
                            shale_error *err)
{
    struct s3_store *s = env_calloc(1, sizeof *s);
    const char *region = take_config->v.region != NULL ? take_config->v.region : "us-east-1";
    struct s3_place place;
    char name[96];
    unsigned caps;
    shale_code rc;
    if (s == NULL) {
        shl_s3_config_deinit(take_config);
        return shl_nomem(err);
    }
    env_mutex_init(&s->mu);
    atomic_init(&s->clock_offset_ms, 0);
    s->log = hooks->log;
    s->config = *take_config;
    *take_config = (struct shl_s3_config){0};
    (void)snprintf(name, sizeof name, "s3://%.80s", bucket);
    caps = SHL_STORE_ATTRIBUTES;
    if (s->config.v.conditional == SHL_S3_ETAG)
        caps |= SHL_STORE_IF_MATCH;
    SHL_TRY(shl_store_init(&s->base, &s3_ops, caps, name, err));
    s->bucket = env_strdup(bucket);
    if (s->bucket == NULL)
        SHL_TRY(shl_nomem(err));
    if (s->config.v.endpoint != NULL)
        SHL_TRY(settle_endpoint(s, err));
    SHL_TRY(shl_s3_place_init(&place, &s->config, bucket, region, err));
    s->tls = strncmp(place.origin, "https:", 6) == 0;
    SHL_TRY(check_transport(s, place.origin, err));
    SHL_TRY(make_customer_key(s, err));
    SHL_TRY(make_signer(s, &place, err));
    SHL_TRY(make_http(s, hooks, err));
    *out = &s->base;
    s = NULL;
out:
    if (s != NULL)
        s3_destroy(&s->base);
    return rc;
}

/* ---- for the doctor */

/* The answer to a HEAD has no body that says why it was refused; that to a list has one. */
static void ask_why(struct shl_store *base, shale_code *io_rc, shale_error *err)
{
    struct shl_list list = {0};
    shale_error why = {0};
    shale_code rc = shl_store_list(base, &(struct shl_list_options){.max = 1}, &list, &why);
    shl_list_free(&list);
    if (rc == SHALE_OK || rc == SHALE_PERMISSION_DENIED)
        return;
    *io_rc = rc;
    *err = why;
}

shale_code shl_store_s3_facts(struct shl_store *base, struct shl_s3_facts *out, shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct s3_request r = {.method = SHL_HTTP_HEAD, .action = "s3:ListBucket"};
    struct shl_s3_facts f = {0};
    struct s3_signer *g;
    const struct shl_aws_creds *c;
    int64_t server_ns;
    shale_code rc;
    SHL_ASSERT(base->ops == &s3_ops);
    rc = shl_s3_run_one(s, &r, err);
    if (rc == SHALE_PERMISSION_DENIED || rc == SHALE_NO_BUCKET)
        ask_why(base, &rc, err);
    SHL_TRY(rc);
    if (shl_time_parse_http(shl_slice_str(r.wanted[S3_DATE].value), &server_ns))
        f.clock_ahead_ms = server_ns / (int64_t)ENV_NS_PER_MS - env_now_wall_ms();
    g = shl_s3_signer(s);
    (void)snprintf(f.region, sizeof f.region, "%s", g->place.region);
    (void)snprintf(f.host, sizeof f.host, "%s", g->place.host);
    c = g->identity != NULL ? &g->identity->creds : NULL;
    f.expires_unix_ms = c != NULL && c->expires_unix_ms != 0 ? c->expires_unix_ms : INT64_MAX;
    if (c != NULL)
        (void)snprintf(f.identity, sizeof f.identity, "%s (%s)", c->access_key,
                       c->origin != NULL ? c->origin : "given");
    else
        (void)snprintf(f.identity, sizeof f.identity, "nobody: requests are not signed");
    f.tls = s->tls;
    f.verified = !s->config.v.allow_invalid_certificates;
    shl_s3_signer_unref(g);
    *out = f;
out:
    shl_s3_request_deinit(&r);
    return rc;
}

void shl_store_s3_library(char *out, size_t cap)
{
    shl_http_library(out, cap);
}

void shl_store_s3_host(struct shl_store *base, char *out, size_t cap)
{
    struct s3_store *s = s3_of(base);
    struct s3_signer *g = shl_s3_signer(s);
    (void)snprintf(out, cap, "%s", g->place.host);
    shl_s3_signer_unref(g);
}

bool shl_store_is_s3(const struct shl_store *s)
{
    return s->ops == &s3_ops;
}
