#include "store/store.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/backend.h"
#include "store/path.h"
#include <inttypes.h>

/* ---- life */

shale_code shl_store_init(struct shl_store *s, const struct shl_store_ops *ops, unsigned caps,
                          const char *name, shale_error *err)
{
    char *copy = env_strdup(name);
    if (copy == NULL)
        return shl_nomem(err);
    s->ops = ops;
    s->caps = caps;
    s->name = copy;
    atomic_init(&s->refs, 1);
    atomic_init(&s->quiet_own_ns, 0);
    s->quiet_until_ns = &s->quiet_own_ns;
    return SHALE_OK;
}

void shl_store_deinit(struct shl_store *s)
{
    env_free(s->name);
    s->name = NULL;
}

uint64_t shl_store_ask_quiet(struct shl_store *s, uint64_t ns)
{
    /* Several answers may say it at once: whichever is kept, it is a fresh one. */
    uint64_t now = env_now_mono_ns();
    uint64_t before = env_exchange(s->quiet_until_ns, now + ns);
    return before > now ? before - now : 0;
}

uint64_t shl_store_quiet_left(const struct shl_store *s)
{
    uint64_t until = env_load_relaxed(s->quiet_until_ns);
    if (until == 0)
        return 0;
    uint64_t now = env_now_mono_ns();
    return until > now ? until - now : 0;
}

struct shl_store *shl_store_ref(struct shl_store *s)
{
    env_fetch_add(&s->refs, 1);
    return s;
}

void shl_store_unref(struct shl_store *s)
{
    if (s != NULL && env_fetch_sub_acq_rel(&s->refs, 1) == 1)
        s->ops->destroy(s);
}

/* ---- put, get, head */

static shale_code check_put(const struct shl_store *s, const char *key, const struct shl_put *how,
                            shale_error *err)
{
    SHL_ASSERT(how != NULL);
    shale_code rc = shl_path_check(key, err);
    if (rc != SHALE_OK)
        return rc;
    if (how->put_id != NULL && strlen(how->put_id) != SHL_ULID_TEXT - 1)
        return shl_fail(err, SHALE_INVALID, "put \"%s\": put id \"%s\" is no ULID", key,
                        how->put_id);
    if (how->mode != SHL_PUT_IF_MATCH)
        return SHALE_OK;
    if (how->if_match == NULL)
        return shl_fail(err, SHALE_INVALID, "put \"%s\": if-match needs an ETag", key);
    if ((s->caps & SHL_STORE_IF_MATCH) == 0)
        return shl_fail(err, SHALE_NOT_SUPPORTED, "put \"%s\": %s has no if-match", key, s->name);
    if (how->if_match[0] == '\0')
        return shl_fail(err, SHALE_NOT_SUPPORTED,
                        "put \"%s\": %s answered without an ETag for it, so that nothing can be "
                        "put only if it is unchanged",
                        key, s->name);
    return SHALE_OK;
}

shale_code shl_store_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct shl_object *out,
                         shale_error *err)
{
    struct shl_object object = {0};
    shale_code rc;
    SHL_TRY(check_put(s, key, how, err));
    SHL_TRY(s->ops->put(s, key, parts, count, how, &object, err));
    if (out != NULL)
        *out = object;
out:
    return rc;
}

/* A body must have the length that the size of the object asks for: a connection that broke early is no short object. */
static shale_code check_body(const char *key, const struct shl_get *how, const struct shl_object *o,
                             size_t got, shale_error *err)
{
    uint64_t offset;
    uint64_t want;
    shale_code rc = shl_get_window(how, key, o->size, &offset, &want, err);
    if (rc == SHALE_OK && got != want)
        rc = shl_fail(err, SHALE_UNAVAILABLE,
                      "body of \"%s\" was cut: %zu bytes came, want %" PRIu64, key, got, want);
    return rc;
}

shale_code shl_store_get(struct shl_store *s, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    static const struct shl_get whole = {.kind = SHL_GET_ALL};
    if (how == NULL)
        how = &whole;
    struct shl_object object = {0};
    size_t len_before = body->len;
    shale_code rc;
    SHL_TRY(shl_path_check(key, err));
    if (how->kind == SHL_GET_SUFFIX && how->len == 0)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "get \"%s\": a suffix of 0 bytes", key));
    SHL_TRY(s->ops->get(s, key, how, body, &object, err));
    SHL_ASSERT(body->len >= len_before);
    SHL_TRY(check_body(key, how, &object, body->len - len_before, err));
    if (out != NULL)
        *out = object;
out:
    if (rc != SHALE_OK)
        body->len = len_before;
    return rc;
}

shale_code shl_store_get_ranges(struct shl_store *s, const char *key,
                                const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    shale_code rc = shl_path_check(key, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        uint64_t end;
        if (ranges[i].len == 0)
            return shl_fail(err, SHALE_INVALID, "get \"%s\": range %zu has 0 bytes", key, i);
        if (!shl_add_u64(ranges[i].offset, ranges[i].len, &end))
            return shl_fail(err, SHALE_INVALID_RANGE,
                            "get \"%s\": range of %zu bytes at %" PRIu64 " is beyond any object",
                            key, ranges[i].len, ranges[i].offset);
    }
    return count == 0 ? SHALE_OK : s->ops->get_ranges(s, key, ranges, count, err);
}

shale_code shl_store_head(struct shl_store *s, const char *key, struct shl_object *out,
                          shale_error *err)
{
    struct shl_object object = {0};
    shale_code rc;
    SHL_TRY(shl_path_check(key, err));
    SHL_TRY(s->ops->head(s, key, &object, err));
    *out = object;
out:
    return rc;
}

/* ---- lists */

void shl_list_free(struct shl_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        env_free(l->items[i].key);
    shl_array_free(l);
    l->truncated = false;
}

/* Moves the items of `more` behind those of `out`. */
static shale_code list_append(struct shl_list *out, struct shl_list *more, shale_error *err)
{
    if (out->items == NULL) {
        *out = *more;
        *more = (struct shl_list){0};
        return SHALE_OK;
    }
    if (!shl_array_reserve(out, more->count))
        return shl_nomem(err);
    if (more->count > 0)
        memcpy(out->items + out->count, more->items, more->count * sizeof *more->items);
    out->count += more->count;
    out->truncated = more->truncated;
    more->count = 0; /* the keys have moved */
    return SHALE_OK;
}

shale_code shl_store_list(struct shl_store *s, const struct shl_list_options *how,
                          struct shl_list *out, shale_error *err)
{
    struct shl_list_options mine = *how;
    if (mine.prefix == NULL)
        mine.prefix = "";
    struct shl_list found = {0};
    shale_code rc;
    if (mine.prefix[0] != '\0')
        SHL_TRY(shl_path_check(mine.prefix, err));
    SHL_TRY(s->ops->list(s, &mine, &found, err));
    SHL_TRY(list_append(out, &found, err));
out:
    shl_list_free(&found);
    return rc;
}

/* ---- delete, copy */

shale_code shl_store_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                 shale_error *err)
{
    for (size_t i = 0; i < count; i++) {
        shale_code rc = shl_path_check(keys[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return count == 0 ? SHALE_OK : s->ops->delete_many(s, keys, count, err);
}

shale_code shl_store_delete(struct shl_store *s, const char *key, shale_error *err)
{
    return shl_store_delete_many(s, &key, 1, err);
}

shale_code shl_store_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                          shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_path_check(from, err));
    SHL_TRY(shl_path_check(to, err));
    SHL_TRY(s->ops->copy(s, from, to, create_only, err));
out:
    return rc;
}

/* ---- multipart */

shale_code shl_store_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                  shale_error *err)
{
    shale_code rc = shl_path_check(key, err);
    return rc != SHALE_OK ? rc : s->ops->upload_start(s, key, out, err);
}

shale_code shl_store_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                 const struct shl_slice *parts, size_t count, shale_error *err)
{
    SHL_ASSERT(u->store == s);
    if (index >= SHL_UPLOAD_PARTS_MAX)
        return shl_fail(err, SHALE_INVALID,
                        "upload: part %" PRIu32
                        ": an object has at most %d parts, write larger ones",
                        index, SHL_UPLOAD_PARTS_MAX);
    return s->ops->upload_part(s, u, index, parts, count, err);
}

shale_code shl_store_upload_complete(struct shl_store *s, struct shl_upload *u,
                                     struct shl_object *out, shale_error *err)
{
    SHL_ASSERT(u->store == s);
    struct shl_object object = {0};
    shale_code rc = s->ops->upload_complete(s, u, &object, err);
    if (rc == SHALE_OK && out != NULL)
        *out = object;
    return rc;
}

void shl_store_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    if (take_u == NULL)
        return;
    SHL_ASSERT(take_u->store == s);
    s->ops->upload_abort(s, take_u);
}
