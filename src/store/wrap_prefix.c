#include "store/wrap_prefix.h"

#include "base/env/env.h"
#include "store/path.h"
#include "store/sweep.h"
#include "store/wrap.h"

struct prefix_store {
    struct shl_wrap wrap;
    char *prefix; /* [const] owned; a valid key */
};

/* Runs `call` with `full` set to the key in the inner store. */
#define WITH_KEY(s, key, call)                                                                     \
    do {                                                                                           \
        struct shl_path_buf full = {0};                                                            \
        shale_code rc_ = full_key((s), (key), &full, err);                                         \
        if (rc_ == SHALE_OK)                                                                       \
            rc_ = (call);                                                                          \
        shl_path_buf_deinit(&full);                                                                \
        return rc_;                                                                                \
    } while (0)

static shale_code full_key(struct shl_store *s, const char *key, struct shl_path_buf *out,
                           shale_error *err)
{
    return shl_path_buf_join(out, ((struct prefix_store *)s)->prefix, key, err);
}

static shale_code prefix_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                             size_t count, const struct shl_put *how, struct shl_object *out,
                             shale_error *err)
{
    WITH_KEY(s, key, shl_store_put(shl_wrap_inner(s), full.text, parts, count, how, out, err));
}

static shale_code prefix_get(struct shl_store *s, const char *key, const struct shl_get *how,
                             struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    WITH_KEY(s, key, shl_store_get(shl_wrap_inner(s), full.text, how, body, out, err));
}

static shale_code prefix_get_ranges(struct shl_store *s, const char *key,
                                    const struct shl_get_range *ranges, size_t count,
                                    shale_error *err)
{
    WITH_KEY(s, key, shl_store_get_ranges(shl_wrap_inner(s), full.text, ranges, count, err));
}

static shale_code prefix_head(struct shl_store *s, const char *key, struct shl_object *out,
                              shale_error *err)
{
    WITH_KEY(s, key, shl_store_head(shl_wrap_inner(s), full.text, out, err));
}

static shale_code prefix_list(struct shl_store *s, const struct shl_list_options *how,
                              struct shl_list *out, shale_error *err)
{
    struct prefix_store *p = (struct prefix_store *)s;
    struct shl_list_options inner = *how;
    struct shl_path_buf prefix = {0};
    struct shl_path_buf start = {0};
    size_t cut = strlen(p->prefix) + 1;
    shale_code rc;
    SHL_TRY(full_key(s, how->prefix, &prefix, err));
    inner.prefix = prefix.text;
    if (how->start_after != NULL) {
        SHL_TRY(full_key(s, how->start_after, &start, err));
        inner.start_after = start.text;
    }
    SHL_TRY(shl_store_list(p->wrap.inner, &inner, out, err));
    for (size_t i = 0; i < out->count; i++) {
        char *key = out->items[i].key;
        memmove(key, key + cut, strlen(key + cut) + 1);
    }
out:
    shl_path_buf_deinit(&prefix);
    shl_path_buf_deinit(&start);
    return rc;
}

static shale_code prefix_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                     shale_error *err)
{
    const char **full = env_calloc(count, sizeof *full);
    if (full == NULL)
        return shl_nomem(err);
    shale_code rc = SHALE_OK;
    size_t made = 0;
    for (; made < count && rc == SHALE_OK; made++) {
        full[made] = shl_path_join(((struct prefix_store *)s)->prefix, keys[made]);
        if (full[made] == NULL)
            rc = shl_nomem(err);
    }
    if (rc == SHALE_OK)
        rc = shl_store_delete_many(shl_wrap_inner(s), full, count, err);
    for (size_t i = 0; i < made; i++) {
        union {
            const char *borrowed;
            char *owned;
        } key = {.borrowed = full[i]};
        env_free(key.owned);
    }
    env_free(full);
    return rc;
}

static shale_code prefix_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err)
{
    struct shl_sweep inner = *how;
    struct shl_path_buf prefix = {0};
    shale_code rc = full_key(s, how->prefix, &prefix, err);
    inner.prefix = prefix.text;
    if (rc == SHALE_OK)
        rc = shl_store_sweep(shl_wrap_inner(s), &inner, err);
    shl_path_buf_deinit(&prefix);
    return rc;
}

static shale_code prefix_copy(struct shl_store *s, const char *from, const char *to,
                              bool create_only, shale_error *err)
{
    struct shl_path_buf from_full = {0};
    struct shl_path_buf to_full = {0};
    shale_code rc;
    SHL_TRY(full_key(s, from, &from_full, err));
    SHL_TRY(full_key(s, to, &to_full, err));
    SHL_TRY(shl_store_copy(shl_wrap_inner(s), from_full.text, to_full.text, create_only, err));
out:
    shl_path_buf_deinit(&from_full);
    shl_path_buf_deinit(&to_full);
    return rc;
}

static shale_code prefix_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                      shale_error *err)
{
    WITH_KEY(s, key, shl_wrap_upload_start(s, full.text, sizeof(struct shl_wrap_upload), out, err));
}

static void prefix_destroy(struct shl_store *s)
{
    struct prefix_store *p = (struct prefix_store *)s;
    env_free(p->prefix);
    shl_wrap_deinit(&p->wrap);
    env_free(p);
}

static const struct shl_store_ops prefix_ops = {
    .put = prefix_put,
    .get = prefix_get,
    .get_ranges = prefix_get_ranges,
    .head = prefix_head,
    .list = prefix_list,
    .delete_many = prefix_delete_many,
    .sweep = prefix_sweep,
    .copy = prefix_copy,
    .upload_start = prefix_upload_start,
    .upload_part = shl_wrap_upload_part,
    .upload_complete = shl_wrap_upload_complete,
    .upload_abort = shl_wrap_upload_abort,
    .destroy = prefix_destroy,
};

shale_code shl_store_prefix_new(struct shl_store **out, struct shl_store *inner, const char *prefix,
                                shale_error *err)
{
    struct prefix_store *p = NULL;
    shale_code rc;
    SHL_TRY(shl_path_check(prefix, err));
    p = env_calloc(1, sizeof *p);
    if (p == NULL)
        SHL_TRY(shl_nomem(err));
    p->prefix = env_strdup(prefix);
    if (p->prefix == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_wrap_init(&p->wrap, inner, &prefix_ops, err));
    *out = &p->wrap.base;
    p = NULL;
out:
    if (p != NULL)
        env_free(p->prefix);
    env_free(p);
    return rc;
}

struct shl_store *shl_store_prefix_inner(struct shl_store *s)
{
    return s->ops == &prefix_ops ? shl_wrap_inner(s) : s;
}
