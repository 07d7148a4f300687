/* Objects in parts, and copies on the server's side. */
#include "store/s3_internal.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/num.h"
#include "base/str.h"
#include "base/codec/text.h"
#include "store/http/xml.h"
#include <inttypes.h>
#include <stdio.h>

#define COPY_PART_BYTES (UINT64_C(1) << 30) /* S3 copies at most 5 GiB at once */
#define COPY_ONE_MAX    (UINT64_C(5) << 30)

struct part {
    char etag[SHL_ETAG_BYTES];       /* "" while it has not come */
    char checksum[S3_CHECKSUM_TEXT]; /* base64, or "" */
    uint64_t bytes;
};

struct s3_upload {
    struct shl_upload base;
    char *key; /* owned [const] */
    char *id;  /* owned [const] */
    char put_id
        [SHL_ULID_TEXT]; /* stored with the object: tells our own success from another's [const] */
    struct env_mutex mu;
    SHL_ARRAY(struct part) parts; /* [mu] by index */
};

static struct s3_upload *upload_of(struct shl_upload *u)
{
    return (struct s3_upload *)u;
}

static void upload_free(struct s3_upload *u)
{
    shl_array_free(&u->parts);
    env_mutex_deinit(&u->mu);
    env_free(u->key);
    env_free(u->id);
    env_free(u);
}

/* ---- start */

struct one_text {
    const char *path;
    char **out; /* owned by the caller */
};

static shale_code on_one_text(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    struct one_text *t = ctx;
    if (strcmp(path, t->path) != 0 || *t->out != NULL)
        return SHALE_OK;
    *t->out = shl_slice_dup_cstr(text);
    return *t->out == NULL ? shl_nomem(err) : SHALE_OK;
}

/* The text of the one element that matters in an answer. */
static shale_code one_text(const struct s3_request *r, const char *path, char **out,
                           shale_error *err)
{
    struct one_text t = {.path = path, .out = out};
    shale_code rc = shl_xml_read(shl_buf_view(&r->answer), on_one_text, &t, err);
    if (rc == SHALE_OK && *out != NULL)
        return rc;
    if (rc == SHALE_OK || rc == SHALE_CORRUPTION)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "\"%s\": the answer has no %s", r->key, path);
    return rc;
}

static shale_code start(struct s3_store *s, const char *key, struct s3_upload *u, shale_error *err)
{
    struct s3_request r = {.method = SHL_HTTP_POST, .action = "s3:PutObject", .key = key};
    uint64_t ms = (uint64_t)shl_max_i64(env_now_wall_ms(), 0);
    shale_code rc;
    shl_ulid_format(shl_ulid_make(ms, env_rand64(), env_rand64()), u->put_id);
    shl_s3_query(&r, "uploads", "");
    shl_s3_object_headers(s, &r, u->put_id);
    if (s->config.v.checksum != SHL_S3_CHECKSUM_NONE)
        shl_s3_header(&r, "x-amz-checksum-algorithm",
                      s->config.v.checksum == SHL_S3_CHECKSUM_SHA256 ? "SHA256" : "CRC64NVME");
    SHL_TRY(shl_s3_run_one(s, &r, err));
    SHL_TRY(one_text(&r, "InitiateMultipartUploadResult/UploadId", &u->id, err));
out:
    shl_s3_request_deinit(&r);
    return rc;
}

shale_code shl_s3_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                               shale_error *err)
{
    struct s3_upload *u = env_calloc(1, sizeof *u);
    shale_code rc;
    if (u == NULL)
        return shl_nomem(err);
    u->base.store = s;
    env_mutex_init(&u->mu);
    u->key = env_strdup(key);
    if (u->key == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(start(s3_of(s), key, u, err));
    *out = &u->base;
    u = NULL;
out:
    if (u != NULL)
        upload_free(u);
    return rc;
}

/* ---- parts */

static shale_code keep_part(struct s3_upload *u, uint32_t index, const struct part *p,
                            shale_error *err)
{
    static const struct part none;
    env_mutex_lock(&u->mu);
    bool room = index < u->parts.count || shl_array_reserve(&u->parts, index - u->parts.count + 1);
    while (room && u->parts.count <= index)
        shl_array_add(&u->parts, none);
    if (room)
        u->parts.items[index] = *p;
    env_mutex_unlock(&u->mu);
    return room ? SHALE_OK : shl_nomem(err);
}

static shale_code part_etag(const struct s3_request *r, const char *etag, struct part *p,
                            shale_error *err)
{
    if (etag[0] == '\0' || strlen(etag) >= sizeof p->etag)
        return shl_fail(err, SHALE_UNAVAILABLE, "part of \"%s\": the answer has no usable ETag",
                        r->key);
    memcpy(p->etag, etag, strlen(etag) + 1);
    return SHALE_OK;
}

shale_code shl_s3_upload_part(struct shl_store *base, struct shl_upload *base_u, uint32_t index,
                              const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct s3_upload *u = upload_of(base_u);
    struct s3_request r = {.method = SHL_HTTP_PUT,
                           .action = "s3:PutObject",
                           .key = u->key,
                           .body = parts,
                           .body_count = count};
    struct part p = {.bytes = shl_parts_bytes(parts, count)};
    char number[16];
    shale_code rc;
    (void)snprintf(number, sizeof number, "%" PRIu32, index + 1);
    shl_s3_query(&r, "partNumber", number);
    shl_s3_query(&r, "uploadId", u->id);
    shl_s3_customer_key(s, &r);
    SHL_TRY(shl_s3_checksum(s, &r, p.checksum, err));
    SHL_TRY(shl_s3_run_one(s, &r, err));
    if (r.status != 200)
        SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE, "part %" PRIu32 " of \"%s\" was answered with %d",
                         index + 1, u->key, r.status));
    SHL_TRY(part_etag(&r, r.wanted[S3_ETAG].value, &p, err));
    SHL_TRY(keep_part(u, index, &p, err));
out:
    shl_s3_request_deinit(&r);
    return rc;
}

/* ---- complete, abort */

static shale_code complete_body(const struct s3_store *s, const struct s3_upload *u,
                                struct shl_buf *out, shale_error *err)
{
    const char *tag =
        s->config.v.checksum == SHL_S3_CHECKSUM_SHA256 ? "ChecksumSHA256" : "ChecksumCRC64NVME";
    shale_code rc;
    SHL_TRY(shl_str_append(out, "<CompleteMultipartUpload>", err));
    for (size_t i = 0; i < u->parts.count; i++) {
        const struct part *p = &u->parts.items[i];
        if (p->etag[0] == '\0')
            SHL_TRY(
                shl_fail(err, SHALE_INVALID, "upload of \"%s\": part %zu is missing", u->key, i));
        SHL_TRY(shl_str_append(out, "<Part><ETag>", err));
        SHL_TRY(shl_xml_escape(shl_slice_str(p->etag), out, err));
        SHL_TRY(shl_str_append(out, "</ETag>", err));
        if (p->checksum[0] != '\0')
            SHL_TRY(shl_str_printf(out, err, "<%s>%s</%s>", tag, p->checksum, tag));
        SHL_TRY(shl_str_printf(out, err, "<PartNumber>%zu</PartNumber></Part>", i + 1));
    }
    SHL_TRY(shl_str_append(out, "</CompleteMultipartUpload>", err));
out:
    return rc;
}

static void end_on_server(struct s3_store *s, const struct s3_upload *u)
{
    struct s3_request r = {
        .method = SHL_HTTP_DELETE, .action = "s3:AbortMultipartUpload", .key = u->key};
    shl_s3_query(&r, "uploadId", u->id);
    shl_s3_run(s, &r, 1); /* what stays is removed by the bucket's rule for unfinished uploads */
    shl_s3_request_deinit(&r);
}

void shl_s3_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    end_on_server(s3_of(s), upload_of(take_u));
    upload_free(upload_of(take_u));
}

/* S3 wants at least one part. */
static shale_code complete_empty(struct shl_store *base, struct s3_upload *u,
                                 struct shl_object *out, shale_error *err)
{
    const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    shale_code rc = base->ops->put(base, u->key, NULL, 0, &how, out, err);
    if (rc == SHALE_OK)
        shl_s3_upload_abort(base, &u->base);
    return rc;
}

static uint64_t bytes_of(const struct s3_upload *u)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < u->parts.count; i++)
        sum += u->parts.items[i].bytes;
    return sum;
}

/* Whether the object under the key is that of this upload: an earlier try's, whose answer was lost. Errors: those of head. */
static shale_code is_completed(struct shl_store *base, const struct s3_upload *u,
                               struct shl_object *out, bool *out_ours, shale_error *err)
{
    struct shl_object there;
    shale_code rc = base->ops->head(base, u->key, &there, err);
    *out_ours = rc == SHALE_OK && strcmp(there.put_id, u->put_id) == 0;
    if (*out_ours)
        *out = there;
    return rc;
}

/* What the answer says that was made. Servers do not agree on how the two are written, so what differs is only a reason to look. */
struct completed {
    const struct s3_store *s;
    const struct s3_upload *u;
    bool is_other;
};

static shale_code on_completed(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    struct completed *c = ctx;
    (void)err;
    bool differs = (strcmp(path, "CompleteMultipartUploadResult/Key") == 0 &&
                    !shl_slice_eq(text, shl_slice_str(c->u->key))) ||
                   (strcmp(path, "CompleteMultipartUploadResult/Bucket") == 0 &&
                    !shl_slice_eq(text, shl_slice_str(c->s->bucket)));
    c->is_other = c->is_other || differs;
    return SHALE_OK;
}

/* The answer names another object: it may be that to another request. */
static shale_code look_at_completed(struct s3_store *s, const struct s3_upload *u,
                                    struct shl_object *out, shale_error *err)
{
    bool ours;
    shale_code rc = is_completed(&s->base, u, out, &ours, err);
    if (rc == SHALE_OK && ours)
        return rc;
    if (rc == SHALE_OK || rc == SHALE_NOT_FOUND)
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "outcome unknown: the answer to the upload of \"%s\" names another object",
                        u->key);
    shl_err_prefix(err, "outcome unknown: the upload of \"%s\"", u->key);
    return rc;
}

static shale_code complete(struct s3_store *s, struct s3_upload *u, const char *if_none_match,
                           struct shl_object *out, shale_error *err)
{
    struct s3_request r = {.method = SHL_HTTP_POST,
                           .action = "s3:PutObject",
                           .key = u->key,
                           .check_body = true,
                           .body_count = 1};
    struct shl_buf body = {0};
    struct shl_slice part;
    struct completed said = {.s = s, .u = u};
    char *etag = NULL;
    shale_code rc;
    shl_s3_query(&r, "uploadId", u->id);
    SHL_TRY(complete_body(s, u, &body, err));
    part = shl_buf_view(&body);
    r.body = &part;
    shl_s3_header(&r, "content-type", "application/xml");
    if (if_none_match != NULL)
        shl_s3_header(&r, "if-none-match", if_none_match);
    SHL_TRY(shl_s3_run_one(s, &r, err));
    if (r.status != 200)
        SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE,
                         "outcome unknown: the upload of \"%s\" was answered with %d", u->key,
                         r.status));
    SHL_TRY(one_text(&r, "CompleteMultipartUploadResult/ETag", &etag, err));
    SHL_TRY(shl_xml_read(shl_buf_view(&r.answer), on_completed, &said, err));
    if (said.is_other) {
        rc = look_at_completed(s, u, out, err);
        goto out;
    }
    if (strlen(etag) >= sizeof out->etag)
        SHL_TRY(shl_fail(err, SHALE_NOT_SUPPORTED, "\"%s\": an ETag of %zu characters", u->key,
                         strlen(etag)));
    memcpy(out->etag, etag, strlen(etag) + 1);
    memcpy(out->put_id, u->put_id, sizeof out->put_id);
    out->size = bytes_of(u);
out:
    env_free(etag);
    shl_buf_free(&body);
    shl_s3_request_deinit(&r);
    return rc;
}

/* The upload is not there any more: it was completed by a try of ours, or given up by somebody. NOT_FOUND: there is no object either. */
static shale_code settle_gone(struct shl_store *base, const struct s3_upload *u,
                              struct shl_object *out, shale_error *err)
{
    shale_error refusal = *err;
    bool ours;
    shale_code rc = is_completed(base, u, out, &ours, err);
    if (rc == SHALE_NOT_FOUND) {
        *err = refusal;
    } else if (rc != SHALE_OK) {
        shl_err_prefix(err, "outcome unknown: the upload of \"%s\" is gone", u->key);
    } else if (
        !ours) { /* not NOT_FOUND, for the size of another's object would be taken as a proof */
        rc = shl_fail(err, SHALE_PRECONDITION,
                      "the upload of \"%s\" is gone, and the object there is another's", u->key);
    }
    return rc;
}

shale_code shl_s3_upload_complete(struct shl_store *base, struct shl_upload *base_u,
                                  struct shl_object *out, shale_error *err)
{
    struct s3_upload *u = upload_of(base_u);
    if (u->parts.count == 0)
        return complete_empty(base, u, out, err);
    shale_code rc = complete(s3_of(base), u, NULL, out, err);
    if (rc == SHALE_NOT_FOUND)
        rc = settle_gone(base, u, out, err);
    if (rc == SHALE_OK)
        upload_free(u);
    return rc;
}

/* ---- copy */

static shale_code copy_source(const struct s3_store *s, const char *from, struct shl_buf *out,
                              shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_append(out, s->bucket, err));
    SHL_TRY(shl_buf_append(out, "/", 1, err));
    SHL_TRY(shl_percent_encode(shl_slice_str(from), true, out, err));
    SHL_TRY(shl_str_terminate(out, err));
out:
    return rc;
}

static void copy_headers(const struct s3_store *s, struct s3_request *r, const char *source)
{
    shl_s3_header(r, "x-amz-copy-source", source);
    if (s->sse_key_md5 == NULL)
        return;
    shl_s3_header(r, "x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256");
    shl_s3_header(r, "x-amz-copy-source-server-side-encryption-customer-key",
                  s->config.v.sse_customer_key);
    shl_s3_header(r, "x-amz-copy-source-server-side-encryption-customer-key-md5", s->sse_key_md5);
}

static shale_code copy_at_once(struct s3_store *s, const char *source, const char *to,
                               shale_error *err)
{
    struct s3_request r = {
        .method = SHL_HTTP_PUT, .action = "s3:PutObject", .key = to, .check_body = true};
    copy_headers(s, &r, source);
    if (s->config.v.sse != NULL || s->config.v.storage_class != NULL)
        shl_s3_object_headers(s, &r, NULL);
    char *etag = NULL;
    shale_code rc = shl_s3_run_one(s, &r, err);
    /* A 200 says nothing: the verdict is in the body, of which only a part may have come. */
    if (rc == SHALE_OK)
        rc = one_text(&r, "CopyObjectResult/ETag", &etag, err);
    env_free(etag);
    shl_s3_request_deinit(&r);
    return rc;
}

static shale_code copy_part(struct s3_store *s, struct s3_upload *u, const char *source,
                            uint32_t index, uint64_t first, uint64_t end, shale_error *err)
{
    struct s3_request r = {
        .method = SHL_HTTP_PUT, .action = "s3:PutObject", .key = u->key, .check_body = true};
    struct part p = {.bytes = end - first};
    char number[16], range[64];
    char *etag = NULL;
    shale_code rc;
    (void)snprintf(number, sizeof number, "%" PRIu32, index + 1);
    (void)snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, first, end - 1);
    shl_s3_query(&r, "partNumber", number);
    shl_s3_query(&r, "uploadId", u->id);
    copy_headers(s, &r, source);
    shl_s3_header(&r, "x-amz-copy-source-range", range);
    shl_s3_customer_key(s, &r);
    SHL_TRY(shl_s3_run_one(s, &r, err));
    SHL_TRY(one_text(&r, "CopyPartResult/ETag", &etag, err));
    SHL_TRY(part_etag(&r, etag, &p, err));
    SHL_TRY(keep_part(u, index, &p, err));
out:
    env_free(etag);
    shl_s3_request_deinit(&r);
    return rc;
}

/* An empty source has no range to be copied: it is written anew. */
static shale_code copy_empty(struct shl_store *s, const char *to, bool create_only,
                             shale_error *err)
{
    const struct shl_put how = {.mode = create_only ? SHL_PUT_CREATE : SHL_PUT_OVERWRITE};
    struct shl_object ignored = {0};
    return s->ops->put(s, to, NULL, 0, &how, &ignored, err);
}

/* Only a conditional complete creates what is not there yet: no server honours a condition on a plain copy. */
static shale_code copy_in_parts(struct shl_store *base, const char *source, const char *to,
                                uint64_t size, bool create_only, shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct shl_upload *base_u = NULL;
    struct shl_object object = {0};
    uint32_t index = 0;
    bool ours;
    shale_error ignored;
    shale_code rc;
    if (size == 0)
        return copy_empty(base, to, create_only, err);
    SHL_TRY(shl_s3_upload_start(base, to, &base_u, err));
    for (uint64_t at = 0; at < size; at += COPY_PART_BYTES)
        SHL_TRY(copy_part(s, upload_of(base_u), source, index++, at,
                          shl_min_u64(size, at + COPY_PART_BYTES), err));
    rc = complete(s, upload_of(base_u), create_only ? "*" : NULL, &object, err);
    if (rc != SHALE_OK &&
        is_completed(base, upload_of(base_u), &object, &ours, &ignored) == SHALE_OK && ours)
        rc = SHALE_OK;
out:
    if (base_u != NULL && rc == SHALE_OK)
        upload_free(upload_of(base_u));
    else if (base_u != NULL)
        shl_s3_upload_abort(base, base_u);
    return rc;
}

shale_code shl_s3_copy(struct shl_store *base, const char *from, const char *to, bool create_only,
                       shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct shl_object source_object;
    struct shl_buf source = {0};
    shale_code rc;
    if (strcmp(from, to) == 0) { /* S3 refuses it, and there is nothing to do */
        SHL_TRY(base->ops->head(base, from, &source_object, err));
        return create_only
                   ? shl_fail(err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", to, base->name)
                   : SHALE_OK;
    }
    SHL_TRY(copy_source(s, from, &source, err));
    if (!create_only) {
        rc = copy_at_once(s, (const char *)source.data, to, err);
        if (rc != SHALE_INVALID)
            goto out;
        /* Too large to be copied at once? */
    }
    rc = base->ops->head(base, from, &source_object, err);
    if (rc == SHALE_OK && !create_only && source_object.size <= COPY_ONE_MAX)
        rc = copy_at_once(s, (const char *)source.data, to, err);
    else if (rc == SHALE_OK)
        rc = copy_in_parts(base, (const char *)source.data, to, source_object.size, create_only,
                           err);
out:
    shl_buf_free(&source);
    return rc;
}
