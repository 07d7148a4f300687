/* shale_store_*: raw objects over the same stack as a database. */
#include "api/store.h"

#include "api/api.h"
#include "base/env/env.h"

#include <shale/metrics.h>

shale_code shale_store_open(shale_store **out, const char *url, const shale_options *options,
                            shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "open: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    shale_options *defaults = NULL;
    shale_store *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        SHL_TRY(shl_nomem(err));
    if (options == NULL && (defaults = shale_options_new()) == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_api_stack_open_raw(&s->stack, url, options != NULL ? options : defaults, err));
    *out = s;
    s = NULL; /* moved to the caller */
out:
    env_free(s); /* its stack is empty: open_raw was the last step that could fail */
    shale_options_free(defaults);
    return rc;
}

shale_code shale_store_make_bucket(const char *url, const shale_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    if (url == NULL)
        return shl_fail(err, SHALE_INVALID, "make bucket: the URL is NULL");
    if (options != NULL)
        return shl_api_make_bucket(url, options, err);
    shale_options *defaults = shale_options_new();
    if (defaults == NULL)
        return shl_nomem(err);
    shale_code rc = shl_api_make_bucket(url, defaults, err);
    shale_options_free(defaults);
    return rc;
}

void shale_store_close(shale_store *s)
{
    if (s == NULL)
        return;
    shl_api_stack_close(&s->stack);
    env_free(s);
}

static shale_code bad_handle(shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the store handle or the key is NULL");
}

shale_code shale_store_list(shale_store *s, const char *prefix,
                            bool (*visit)(void *ctx, const shale_object *object), void *ctx,
                            shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_list list = {0};
    if (s == NULL || visit == NULL)
        return bad_handle(err);
    shale_code rc =
        shl_store_list(s->stack.store, &(struct shl_list_options){.prefix = prefix}, &list, err);
    for (size_t i = 0; i < list.count; i++) {
        const shale_object object = {.key = list.items[i].key,
                                     .size = list.items[i].size,
                                     .modified_ms = list.items[i].modified_ns / 1000000};
        if (!visit(ctx, &object))
            break;
    }
    shl_list_free(&list);
    return rc;
}

shale_code shale_store_head(shale_store *s, const char *key, shale_object *out, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_object found = {0};
    if (s == NULL || key == NULL || out == NULL)
        return bad_handle(err);
    shale_code rc = shl_store_head(s->stack.store, key, &found, err);
    if (rc != SHALE_OK)
        return rc;
    *out = (shale_object){.size = found.size, .modified_ms = found.modified_ns / 1000000};
    _Static_assert(sizeof out->etag == sizeof found.etag, "the public ETag has the store's size");
    memcpy(out->etag, found.etag, sizeof out->etag);
    return SHALE_OK;
}

#define UNASKED_MAX (UINT64_C(64) << 20)

/* No more memory than the object has bytes, whatever an answer says; what that is, is asked only of large ones. */
static shale_code get_bounded(struct shl_store *s, const char *key, struct shl_buf *body,
                              shale_error *err)
{
    struct shl_get how = {.kind = SHL_GET_ALL, .max = UNASKED_MAX};
    struct shl_object object = {0};
    shale_code rc = shl_store_get(s, key, &how, body, NULL, err);
    if (rc != SHALE_CORRUPTION)
        return rc;
    rc = shl_store_head(s, key, &object, err);
    how.max = object.size;
    return rc == SHALE_OK ? shl_store_get(s, key, &how, body, NULL, err) : rc;
}

shale_code shale_store_get(shale_store *s, const char *key, void **out_data, size_t *out_len,
                           shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_buf body = {0};
    if (s == NULL || key == NULL || out_data == NULL || out_len == NULL)
        return bad_handle(err);
    shale_code rc = get_bounded(s->stack.store, key, &body, err);
    if (rc != SHALE_OK) {
        shl_buf_free(&body);
        return rc;
    }
    *out_data = body.data; /* NULL for an empty object */
    *out_len = body.len;
    return SHALE_OK;
}

void shale_store_body_free(void *data)
{
    env_free(data);
}

shale_code shale_store_put(shale_store *s, const char *key, shale_slice body, bool create_only,
                           shale_error *err)
{
    SHL_API_ERR(err);
    if (s == NULL || key == NULL)
        return bad_handle(err);
    const struct shl_slice part = shl_slice_of(body.data, body.len);
    const struct shl_put how = {.mode = create_only ? SHL_PUT_CREATE : SHL_PUT_OVERWRITE};
    return shl_store_put(s->stack.store, key, &part, 1, &how, NULL, err);
}

shale_code shale_store_copy(shale_store *s, const char *from, const char *to, shale_error *err)
{
    SHL_API_ERR(err);
    if (s == NULL || from == NULL || to == NULL)
        return bad_handle(err);
    return shl_store_copy(s->stack.store, from, to, false, err);
}

shale_code shale_store_delete(shale_store *s, const char *key, shale_error *err)
{
    SHL_API_ERR(err);
    if (s == NULL || key == NULL)
        return bad_handle(err);
    return shl_store_delete(s->stack.store, key, err);
}

void shale_store_counts_get(shale_store *s, shale_store_counts *out)
{
    shl_api_stack_give_counts(s != NULL ? &s->stack : NULL, out);
}
