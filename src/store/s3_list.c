/* Lists and deletes of many: the requests whose answers are documents. */
#include "store/s3_internal.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/codec/text.h"
#include "base/num.h"
#include "base/str.h"
#include "store/http/xml.h"
#include "store/path.h"
#include "store/s3_answer.h"
#include "store/s3.h"
#include <inttypes.h>
#include <stdio.h>

#define PAGE_MAX 1000 /* keys in one answer or one DELETE, S3's limit */

/* ---- lists */

static shale_code fetch_page(struct s3_store *s, const struct shl_list_options *how,
                             const char *prefix, const char *token, struct s3_page *out,
                             shale_error *err)
{
    struct s3_request r = {.method = SHL_HTTP_GET, .action = "s3:ListBucket"};
    char max[16];
    shale_code rc;
    /* One more than wanted tells whether there are more. */
    (void)snprintf(max, sizeof max, "%zu",
                   how->max == 0 ? PAGE_MAX : shl_min_size(how->max + 1, PAGE_MAX));
    shl_s3_query(&r, "list-type", "2");
    shl_s3_query(&r, "max-keys", max);
    if (prefix[0] != '\0')
        shl_s3_query(&r, "prefix", prefix);
    if (how->shallow)
        shl_s3_query(&r, "delimiter", "/");
    if (token != NULL)
        shl_s3_query(&r, "continuation-token", token);
    else if (how->start_after != NULL)
        shl_s3_query(&r, "start-after", how->start_after);
    SHL_TRY(shl_s3_run_one(s, &r, err));
    rc = shl_s3_page_read(shl_buf_view(&r.answer), out, err);
    if (rc != SHALE_OK && rc != SHALE_NOMEM) {
        shl_s3_mask(s, err->text);
        shl_err_prefix(err, "list of %s", s->base.name);
    }
out:
    shl_s3_request_deinit(&r);
    return rc;
}

static shale_code take_page(struct shl_lister *l, const struct s3_page *p, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < p->items.count && rc == SHALE_OK && !l->full; i++) {
        const struct shl_list_item *item = &p->items.items[i];
        size_t n = strlen(item->key);
        if (l->how->shallow && n > 0 && item->key[n - 1] == '/' && item->size == 0 &&
            item->modified_ns == 0)
            rc = shl_lister_prefix(l, item->key, err);
        else if (n > 0 && shl_path_fault(item->key) == NULL)
            /* others cannot be addressed here: folders' markers and the like */
            rc = shl_lister_object(l, item->key, item->size, item->modified_ns, err);
    }
    return rc;
}

/* ---- the buckets of an account: what a store without a bucket lists, as folders */

static shale_code list_buckets(struct s3_store *s, struct shl_list *out, shale_error *err)
{
    struct s3_request r = {.method = SHL_HTTP_GET, .action = "s3:ListAllMyBuckets"};
    struct s3_page page = {0};
    shale_code rc;
    SHL_TRY(shl_s3_run_one(s, &r, err));
    SHL_TRY(shl_s3_page_read_buckets(shl_buf_view(&r.answer), &page, err));
    if (!shl_array_reserve(out, page.items.count))
        SHL_TRY(shl_nomem(err));
    for (size_t i = 0; i < page.items.count; i++)
        shl_array_add(out, page.items.items[i]);
    page.items.count = 0; /* the keys moved to the caller */
out:
    shl_s3_page_clear(&page);
    shl_s3_request_deinit(&r);
    return rc;
}

shale_code shl_s3_list(struct shl_store *base, const struct shl_list_options *how,
                       struct shl_list *out, shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct shl_lister lister;
    struct s3_page page = {0};
    char *token = NULL;
    char *slashed = NULL;
    struct s3_walk walk = {0};
    shale_code rc;
    if (s->bucket[0] == '\0')
        return list_buckets(s, out, err);
    shl_lister_init(&lister, how, out);
    if (how->prefix[0] != '\0') {
        size_t n = strlen(how->prefix);
        slashed = env_alloc(n + 2);
        if (slashed == NULL)
            SHL_TRY(shl_nomem(err));
        memcpy(slashed, how->prefix, n);
        memcpy(slashed + n, "/", 2);
    }
    for (;;) {
        SHL_TRY(fetch_page(s, how, slashed != NULL ? slashed : "", token, &page, err));
        SHL_TRY(shl_s3_walk_on(&walk, &page, base->name, err));
        SHL_TRY(take_page(&lister, &page, err));
        if (token != NULL && page.token != NULL && strcmp(token, page.token) == 0)
            SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE, "list of %s does not move on", base->name));
        env_free(token);
        token = page.token;
        page.token = NULL;
        shl_s3_page_clear(&page);
        if (token == NULL || lister.full)
            break;
    }
out:
    env_free(slashed);
    env_free(token);
    shl_s3_walk_end(&walk);
    shl_s3_page_clear(&page);
    return rc;
}

/* ---- deleting */

static shale_code delete_each(struct s3_store *s, const char *const *keys, size_t count,
                              shale_error *err)
{
    struct s3_request *r = env_calloc(count, sizeof *r);
    shale_code rc = SHALE_OK;
    if (r == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < count; i++)
        r[i] = (struct s3_request){
            .method = SHL_HTTP_DELETE, .action = "s3:DeleteObject", .key = keys[i]};
    shl_s3_run(s, r, count);
    for (size_t i = 0; i < count; i++) {
        if (r[i].code != SHALE_OK && r[i].code != SHALE_NOT_FOUND && rc == SHALE_OK) {
            rc = r[i].code;
            *err = r[i].err;
        }
        shl_s3_request_deinit(&r[i]);
    }
    env_free(r);
    return rc;
}

/* A body of one DeleteObjects request and the headers that depend on it. */
struct batch {
    struct shl_buf body; /* owned */
    struct shl_slice part;
    char md5[32];
    char sha256[S3_CHECKSUM_TEXT];
};

static shale_code base64_of(const uint8_t *bytes, size_t len, char *out, size_t cap,
                            shale_error *err)
{
    struct shl_buf text = {0};
    shale_code rc = shl_base64_encode(shl_slice_of(bytes, len), &text, err);
    if (rc == SHALE_OK) {
        SHL_ASSERT(text.len < cap);
        memcpy(out, text.data, text.len);
        out[text.len] = '\0';
    }
    shl_buf_free(&text);
    return rc;
}

static shale_code batch_init(struct batch *b, const char *const *keys, size_t count,
                             shale_error *err)
{
    uint8_t md5[SHL_MD5_BYTES], sha256[SHL_SHA256_BYTES];
    shale_code rc;
    SHL_TRY(shl_str_append(&b->body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
                           err));
    for (size_t i = 0; i < count; i++) {
        SHL_TRY(shl_str_append(&b->body, "<Object><Key>", err));
        SHL_TRY(shl_xml_escape(shl_slice_str(keys[i]), &b->body, err));
        SHL_TRY(shl_str_append(&b->body, "</Key></Object>", err));
    }
    SHL_TRY(shl_str_append(&b->body, "</Delete>", err));
    b->part = shl_buf_view(&b->body);
    SHL_TRY(shl_md5(&b->part, 1, md5, err));
    SHL_TRY(base64_of(md5, sizeof md5, b->md5, sizeof b->md5, err));
    SHL_TRY(shl_sha256(&b->part, 1, sha256, err));
    SHL_TRY(base64_of(sha256, sizeof sha256, b->sha256, sizeof b->sha256, err));
out:
    return rc;
}

static shale_code judge_batch(struct s3_store *s, struct s3_request *r, shale_error *err)
{
    if (r->code != SHALE_OK) {
        *err = r->err;
        return r->code;
    }
    shale_code rc = shl_s3_deleted_read(shl_buf_view(&r->answer), s->bucket, err);
    if (rc != SHALE_OK)
        shl_s3_mask(s, err->text);
    return rc;
}

static shale_code delete_batches(struct s3_store *s, const char *const *keys, size_t count,
                                 shale_error *err)
{
    size_t n = (count + PAGE_MAX - 1) / PAGE_MAX;
    struct batch *batches = env_calloc(n, sizeof *batches);
    struct s3_request *r = env_calloc(n, sizeof *r);
    shale_code rc = batches == NULL || r == NULL ? shl_nomem(err) : SHALE_OK;
    for (size_t i = 0; i < n && rc == SHALE_OK; i++) {
        struct batch *b = &batches[i];
        size_t from = i * PAGE_MAX;
        rc = batch_init(b, keys + from, shl_min_size(count - from, PAGE_MAX), err);
        r[i] = (struct s3_request){.method = SHL_HTTP_POST,
                                   .action = "s3:DeleteObject",
                                   .body = &b->part,
                                   .body_count = 1,
                                   .check_body = true};
        shl_s3_query(&r[i], "delete", "");
        shl_s3_header(&r[i], "content-type", "application/xml");
        shl_s3_header(&r[i], "content-md5", b->md5);
        shl_s3_header(&r[i], "x-amz-checksum-sha256", b->sha256);
    }
    if (rc == SHALE_OK)
        shl_s3_run(s, r, n);
    for (size_t i = 0; r != NULL && i < n; i++) {
        shale_error why;
        shale_code one = rc == SHALE_OK ? judge_batch(s, &r[i], &why) : SHALE_OK;
        if (one != SHALE_OK) {
            rc = one;
            *err = why;
        }
        shl_s3_request_deinit(&r[i]);
    }
    for (size_t i = 0; batches != NULL && i < n; i++)
        shl_buf_free(&batches[i].body);
    env_free(batches);
    env_free(r);
    return rc;
}

shale_code shl_s3_delete_many(struct shl_store *base, const char *const *keys, size_t count,
                              shale_error *err)
{
    struct s3_store *s = s3_of(base);
    if (count == 1 || s->config.v.disable_bulk_delete)
        return delete_each(s, keys, count, err);
    return delete_batches(s, keys, count, err);
}

/* ---- making a bucket */

#define LOOKS_MAX 3 /* without an answer nobody could tell later who made it */

/* OK: it is there, NO_BUCKET: it is not, else that cannot be told. Some servers answer 200 to who makes his own bucket again. */
static shale_code look_for_bucket(struct s3_store *s)
{
    shale_code rc = SHALE_UNAVAILABLE;
    for (int i = 0; i < LOOKS_MAX && (rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT); i++) {
        struct s3_request r = {.method = SHL_HTTP_HEAD, .action = "s3:ListBucket"};
        shale_error ignored;
        rc = shl_s3_run_one(s, &r, &ignored);
        shl_s3_request_deinit(&r);
    }
    return rc;
}

shale_code shl_store_s3_make_bucket(struct shl_store *base, shale_error *err)
{
    struct s3_store *s = s3_of(base);
    struct s3_request r = {.method = SHL_HTTP_PUT, .action = "s3:CreateBucket"};
    char body[200];
    struct shl_slice part;
    struct s3_signer *g = shl_s3_signer(s);
    const char *region = g->place.region;
    SHL_ASSERT(base->ops->list == shl_s3_list && s->bucket[0] != '\0');
    shale_code before = look_for_bucket(s);
    if (before == SHALE_OK) {
        shl_s3_signer_unref(g);
        return shl_fail(err, SHALE_ALREADY_EXISTS,
                        "bucket \"%s\" is there already (BucketAlreadyOwnedByYou)", s->bucket);
    }
    if (strcmp(region, "us-east-1") != 0 && strcmp(region, "auto") != 0) {
        int n = snprintf(body, sizeof body,
                         "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/"
                         "2006-03-01/\"><LocationConstraint>%s</LocationConstraint>"
                         "</CreateBucketConfiguration>",
                         region);
        part = shl_slice_of(body, (size_t)n);
        r.body = &part;
        r.body_count = 1;
    }
    shl_s3_signer_unref(g);
    shale_code rc = shl_s3_run_one(s, &r, err);
    shl_s3_request_deinit(&r);
    /* It was not there before, so we made it: the answer was lost, and libcurl asked again. */
    if (rc == SHALE_ALREADY_EXISTS && before == SHALE_NO_BUCKET &&
        strstr(err->text, "BucketAlreadyOwnedByYou") != NULL)
        return SHALE_OK;
    return rc;
}
