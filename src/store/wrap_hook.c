#include "store/wrap_hook.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#define PAGE 1000 /* keys of a list page and of a bulk delete on S3 */

static const struct shl_hooks *hooks_of(struct shl_store *s)
{
    return ((struct shl_hooked *)s)->hooks;
}

static uint64_t pages(size_t count)
{
    return count == 0 ? 1 : (count + PAGE - 1) / PAGE;
}

static shale_code begin(struct shl_store *s, struct shl_call *call, shale_error *err)
{
    shale_code rc = hooks_of(s)->begin(s, call, err);
    call->started_ns = env_now_mono_ns();
    return rc;
}

static shale_code end(struct shl_store *s, struct shl_call *call, shale_code code, shale_error *err)
{
    shale_code rc = hooks_of(s)->end(s, call, code, err);
    SHL_ASSERT(code == SHALE_OK || rc == code);
    return rc;
}

static shale_code hook_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                           size_t count, const struct shl_put *how, struct shl_object *out,
                           shale_error *err)
{
    struct shl_call call = {
        .kind = SHL_KIND_PUT, .key = key, .requests = 1, .bytes_up = shl_parts_bytes(parts, count)};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_put(shl_wrap_inner(s), key, parts, count, how, out, err);
    return end(s, &call, rc, err);
}

static shale_code hook_get(struct shl_store *s, const char *key, const struct shl_get *how,
                           struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    struct shl_call call = {
        .kind = SHL_KIND_GET, .key = key, .requests = 1, .body = body, .body_from = body->len};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_get(shl_wrap_inner(s), key, how, body, out, err);
    call.bytes_down = body->len - call.body_from;
    return end(s, &call, rc, err);
}

static shale_code hook_get_ranges(struct shl_store *s, const char *key,
                                  const struct shl_get_range *ranges, size_t count,
                                  shale_error *err)
{
    struct shl_call call = {
        .kind = SHL_KIND_GET, .key = key, .ranges = ranges, .range_count = count};
    for (size_t i = 0; i < count; i += shl_ranges_touching(ranges + i, count - i))
        call.requests++;
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_wrap_get_ranges(s, key, ranges, count, err);
    for (size_t i = 0; rc == SHALE_OK && i < count; i++)
        call.bytes_down += ranges[i].len;
    return end(s, &call, rc, err);
}

static shale_code hook_head(struct shl_store *s, const char *key, struct shl_object *out,
                            shale_error *err)
{
    struct shl_call call = {.kind = SHL_KIND_HEAD, .key = key, .requests = 1};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_head(shl_wrap_inner(s), key, out, err);
    return end(s, &call, rc, err);
}

static shale_code hook_list(struct shl_store *s, const struct shl_list_options *how,
                            struct shl_list *out, shale_error *err)
{
    struct shl_call call = {.kind = SHL_KIND_LIST, .key = how->prefix};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_list(shl_wrap_inner(s), how, out, err);
    call.requests = pages(out->count);
    return end(s, &call, rc, err);
}

static shale_code hook_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                   shale_error *err)
{
    struct shl_call call = {.kind = SHL_KIND_DELETE, .key = keys[0], .requests = pages(count)};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_delete_many(shl_wrap_inner(s), keys, count, err);
    return end(s, &call, rc, err);
}

static shale_code hook_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                            shale_error *err)
{
    struct shl_call call = {.kind = SHL_KIND_COPY, .key = to, .requests = 1};
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_copy(shl_wrap_inner(s), from, to, create_only, err);
    return end(s, &call, rc, err);
}

static shale_code hook_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                    shale_error *err)
{
    struct shl_call call = {.kind = SHL_KIND_UPLOAD_START, .key = key, .requests = 1};
    struct shl_upload *u = NULL;
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_wrap_upload_start(s, key, sizeof(struct shl_wrap_upload), &u, err);
    rc = end(s, &call, rc, err);
    if (rc == SHALE_OK)
        *out = u;
    else
        shl_store_upload_abort(s, u);
    return rc;
}

/* The answer to complete was lost: the upload has ended, and its handle has nothing inside any more. */
static shale_code fail_ended(shale_error *err)
{
    return shl_fail(err, SHALE_NOT_FOUND, "no such upload: it has ended");
}

static shale_code hook_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                   const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct shl_call call = {
        .kind = SHL_KIND_UPLOAD_PART, .requests = 1, .bytes_up = shl_parts_bytes(parts, count)};
    if (((struct shl_wrap_upload *)u)->inner == NULL)
        return fail_ended(err);
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_wrap_upload_part(s, u, index, parts, count, err);
    return end(s, &call, rc, err);
}

static shale_code hook_upload_complete(struct shl_store *s, struct shl_upload *u,
                                       struct shl_object *out, shale_error *err)
{
    struct shl_wrap_upload *w = (struct shl_wrap_upload *)u;
    struct shl_call call = {.kind = SHL_KIND_UPLOAD_COMPLETE, .requests = 1};
    if (w->inner == NULL)
        return fail_ended(err);
    shale_code rc = begin(s, &call, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_store_upload_complete(shl_wrap_inner(s), w->inner, out, err);
    if (rc == SHALE_OK)
        w->inner = NULL;
    rc = end(s, &call, rc, err);
    if (rc == SHALE_OK)
        env_free(w);
    return rc;
}

static void hook_destroy(struct shl_store *s)
{
    hooks_of(s)->deinit(s);
    shl_wrap_deinit((struct shl_wrap *)s);
    env_free(s);
}

static const struct shl_store_ops hook_ops = {
    .put = hook_put,
    .get = hook_get,
    .get_ranges = hook_get_ranges,
    .head = hook_head,
    .list = hook_list,
    .delete_many = hook_delete_many,
    .sweep = shl_wrap_sweep,
    .copy = hook_copy,
    .upload_start = hook_upload_start,
    .upload_part = hook_upload_part,
    .upload_complete = hook_upload_complete,
    .upload_abort = shl_wrap_upload_abort,
    .destroy = hook_destroy,
};

shale_code shl_hooked_new(size_t bytes, struct shl_store *inner, const struct shl_hooks *hooks,
                          struct shl_hooked **out, shale_error *err)
{
    SHL_ASSERT(bytes >= sizeof(struct shl_hooked));
    struct shl_hooked *h = env_calloc(1, bytes);
    if (h == NULL)
        return shl_nomem(err);
    h->hooks = hooks;
    shale_code rc = shl_wrap_init(&h->wrap, inner, &hook_ops, err);
    if (rc == SHALE_OK)
        *out = h;
    else
        env_free(h);
    return rc;
}
