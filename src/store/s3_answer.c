#include "store/s3_answer.h"

#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/http/xml.h"
#include <inttypes.h>
#include <stdlib.h>

/* ---- Content-Range */

bool shl_s3_parse_range(const char *text, struct s3_range *out)
{
    uint64_t last;
    if (strncmp(text, "bytes ", 6) != 0)
        return false;
    const char *dash = strchr(text + 6, '-');
    const char *slash = strchr(text + 6, '/');
    if (slash == NULL || !shl_parse_u64(shl_slice_str(slash + 1), &out->size))
        return false;
    if (out->size == 0) { /* whatever the server calls the range of nothing */
        out->first = out->end = 0;
        return true;
    }
    if (dash == NULL || dash > slash)
        return false;
    if (!shl_parse_u64(shl_slice_of(text + 6, (size_t)(dash - text - 6)), &out->first) ||
        !shl_parse_u64(shl_slice_of(dash + 1, (size_t)(slash - dash - 1)), &last) ||
        last == UINT64_MAX)
        return false;
    out->end = last + 1;
    return out->first < out->end && out->end <= out->size;
}

/* ---- pages */

void shl_s3_page_clear(struct s3_page *p)
{
    for (size_t i = 0; i < p->items.count; i++)
        env_free(p->items.items[i].key);
    shl_array_free(&p->items);
    env_free(p->token);
    env_free(p->now.key);
    *p = (struct s3_page){0};
}

static shale_code set_text(char **io, struct shl_slice text, shale_error *err)
{
    env_free(*io);
    *io = shl_slice_dup_cstr(text);
    return *io == NULL ? shl_nomem(err) : SHALE_OK;
}

static shale_code add_now(struct s3_page *p, shale_error *err)
{
    if (p->now.key == NULL) {
        p->now = (struct shl_list_item){0};
        return SHALE_OK;
    }
    if (!shl_array_reserve(&p->items, 1))
        return shl_nomem(err);
    shl_array_add(&p->items, p->now);
    p->now = (struct shl_list_item){0};
    return SHALE_OK;
}

static shale_code on_list_element(void *ctx, const char *path, struct shl_slice text,
                                  shale_error *err)
{
    static const char root[] = "ListBucketResult";
    struct s3_page *p = ctx;
    if (strncmp(path, root, sizeof root - 1) != 0)
        return SHALE_OK;
    path += sizeof root - 1;
    if (path[0] == '\0')
        p->is_list = true;
    if (path[0] != '/')
        return SHALE_OK;
    path++;
    if (strcmp(path, "Contents/Key") == 0 || strcmp(path, "CommonPrefixes/Prefix") == 0)
        return set_text(&p->now.key, text, err);
    if (strcmp(path, "Contents/Size") == 0 && !shl_parse_u64(text, &p->now.size))
        return shl_fail(err, SHALE_NOT_SUPPORTED, "a list with the size \"%.*s\"",
                        (int)shl_min_size(text.len, 30), (const char *)text.data);
    if (strcmp(path, "Contents/LastModified") == 0)
        (void)!shl_time_parse_rfc3339(text, &p->now.modified_ns);
    if (strcmp(path, "Contents") == 0 || strcmp(path, "CommonPrefixes") == 0)
        return add_now(p, err);
    if (strcmp(path, "IsTruncated") == 0)
        p->truncated = shl_slice_ieq(text, "true");
    if (strcmp(path, "NextContinuationToken") == 0 && text.len > 0)
        return set_text(&p->token, text, err);
    return SHALE_OK;
}

static shale_code on_bucket_element(void *ctx, const char *path, struct shl_slice text,
                                    shale_error *err)
{
    struct s3_page *p = ctx;
    if (strcmp(path, "ListAllMyBucketsResult") == 0)
        p->is_list = true;
    if (strcmp(path, "ListAllMyBucketsResult/Buckets/Bucket/Name") == 0) {
        struct shl_buf name = {0};
        shale_code rc;
        SHL_TRY(shl_buf_append(&name, text.data, text.len, err));
        SHL_TRY(shl_buf_append(&name, "/", 1, err));
        rc = set_text(&p->now.key, shl_buf_view(&name), err);
    out:
        shl_buf_free(&name);
        return rc;
    }
    if (strcmp(path, "ListAllMyBucketsResult/Buckets/Bucket/CreationDate") == 0)
        (void)!shl_time_parse_rfc3339(text, &p->now.modified_ns);
    if (strcmp(path, "ListAllMyBucketsResult/Buckets/Bucket") == 0)
        return add_now(p, err);
    return SHALE_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct shl_list_item *)a)->key, ((const struct shl_list_item *)b)->key);
}

/* A document that was cut or garbled on its way may be whole the next time. */
static shale_code read_page(struct shl_slice document, shl_xml_visit visit, struct s3_page *out,
                            shale_error *err)
{
    shale_code rc = shl_xml_read(document, visit, out, err);
    if (rc == SHALE_CORRUPTION)
        err->code = rc = SHALE_UNAVAILABLE;
    if (rc == SHALE_OK && !out->is_list)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "the answer is no list");
    if (rc == SHALE_OK && out->items.count > 1)
        qsort(out->items.items, out->items.count, sizeof *out->items.items, by_key);
    if (rc != SHALE_OK)
        shl_s3_page_clear(out);
    return rc;
}

shale_code shl_s3_page_read(struct shl_slice document, struct s3_page *out, shale_error *err)
{
    shale_code rc = read_page(document, on_list_element, out, err);
    if (rc == SHALE_OK && out->truncated &&
        out->token == NULL) { /* not the end: silence would lose keys */
        rc = shl_fail(err, SHALE_NOT_SUPPORTED,
                      "there are more keys, but no NextContinuationToken for them");
        shl_s3_page_clear(out);
    }
    return rc;
}

shale_code shl_s3_page_read_buckets(struct shl_slice document, struct s3_page *out,
                                    shale_error *err)
{
    return read_page(document, on_bucket_element, out, err);
}

/* ---- from page to page */

/* Some servers make a page without keys for each thousand that were deleted. */
#define IDLE_MAX 2000

/* A page that brought nothing new. */
static shale_code note_idle(struct s3_walk *w, const char *name, shale_error *err)
{
    return ++w->idle < IDLE_MAX ? SHALE_OK
                                : shl_fail(err, SHALE_UNAVAILABLE,
                                           "list of %s does not move on: %u pages came on end "
                                           "without a new key",
                                           name, w->idle);
}

static shale_code check_end(struct s3_walk *w, const struct s3_page *p, const char *name,
                            shale_error *err)
{
    w->pages++;
    w->keys += p->items.count;
    for (size_t i = 0; i < p->items.count; i++)
        w->bytes += strlen(p->items.items[i].key) + sizeof p->items.items[i];
    if (w->pages <= S3_PAGES_MAX && w->bytes <= S3_LIST_BYTES_MAX)
        return SHALE_OK;
    return shl_fail(err, SHALE_NOT_SUPPORTED,
                    "list of %s has no end: %" PRIu64 " keys came in %u pages, the last one is "
                    "\"%.100s\"",
                    name, w->keys, w->pages,
                    p->items.count > 0 ? p->items.items[p->items.count - 1].key : "");
}

shale_code shl_s3_walk_on(struct s3_walk *w, const struct s3_page *p, const char *name,
                          shale_error *err)
{
    size_t n = p->items.count;
    shale_code rc = check_end(w, p, name, err);
    if (rc != SHALE_OK)
        return rc;
    if (n == 0)
        return note_idle(w, name, err); /* all that was there was deleted */
    const char *first = p->items.items[0].key;
    int order = w->last == NULL ? 1 : strcmp(first, w->last);
    bool is_folder = first[0] != '\0' && first[strlen(first) - 1] == '/';
    if (order < 0 || (order == 0 && !is_folder))
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "list of %s does not move on: \"%.100s\" came behind \"%.100s\"", name,
                        first, w->last);
    if (order == 0 && n == 1)
        return note_idle(w, name, err);
    w->idle = 0;
    env_free(w->last);
    w->last = env_strdup(p->items.items[n - 1].key);
    return w->last == NULL ? shl_nomem(err) : SHALE_OK;
}

void shl_s3_walk_end(struct s3_walk *w)
{
    env_free(w->last);
    *w = (struct s3_walk){0};
}

/* ---- results of deletes */

struct deleted {
    char key[200], code[64], message[120]; /* of the element being read */
    bool is_result;
    size_t count;  /* of keys that it speaks of */
    shale_code rc; /* of the first error in it */
    shale_error err;
    const char *bucket;
};

/* Texts of a service go into messages of one line. */
static void copy_text(char *dst, size_t cap, struct shl_slice text)
{
    size_t n = shl_min_size(text.len, cap - 1);
    for (size_t i = 0; i < n; i++)
        dst[i] = text.data[i] < ' ' || text.data[i] == 0x7f ? ' ' : (char)text.data[i];
    dst[n] = '\0';
}

static void judge_delete(struct deleted *d)
{
    bool denied = strcmp(d->code, "AccessDenied") == 0;
    if (d->rc == SHALE_OK && strcmp(d->code, "NoSuchKey") != 0)
        d->rc = shl_fail(&d->err, denied ? SHALE_PERMISSION_DENIED : SHALE_UNAVAILABLE,
                         "%s: s3:DeleteObject on \"%s/%s\": %s %s",
                         denied ? "access denied" : "not deleted", d->bucket, d->key, d->code,
                         d->message);
    d->key[0] = d->code[0] = d->message[0] = '\0';
}

static shale_code on_delete_element(void *ctx, const char *path, struct shl_slice text,
                                    shale_error *err)
{
    struct deleted *d = ctx;
    (void)err;
    if (strcmp(path, "DeleteResult") == 0)
        d->is_result = true;
    else if (strcmp(path, "DeleteResult/Deleted") == 0 || strcmp(path, "DeleteResult/Error") == 0)
        d->count++;
    if (strcmp(path, "DeleteResult/Error/Key") == 0)
        copy_text(d->key, sizeof d->key, text);
    else if (strcmp(path, "DeleteResult/Error/Code") == 0)
        copy_text(d->code, sizeof d->code, text);
    else if (strcmp(path, "DeleteResult/Error/Message") == 0)
        copy_text(d->message, sizeof d->message, text);
    else if (strcmp(path, "DeleteResult/Error") == 0)
        judge_delete(d);
    return SHALE_OK;
}

shale_code shl_s3_deleted_read(struct shl_slice document, const char *bucket, shale_error *err)
{
    struct deleted d = {.bucket = bucket};
    shale_code rc = shl_xml_read(document, on_delete_element, &d, err);
    if (rc == SHALE_CORRUPTION)
        err->code = rc = SHALE_UNAVAILABLE;
    else if (rc == SHALE_OK && !d.is_result)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "the answer is no result of deletes");
    else if (rc == SHALE_OK && d.count == 0)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "the answer speaks of none of the deleted keys");
    else if (rc == SHALE_OK && d.rc != SHALE_OK) {
        *err = d.err;
        rc = d.rc;
    }
    return rc;
}
