/* A store made of callbacks. What it lacks is made here: lists by level, copies, uploads in parts (which wait in memory until they are complete). */
#include "api/user_store.h"

#include "api/api.h"
#include "api/options.h"
#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/backend.h"

#include <assert.h>
#include <inttypes.h>

struct user_store {
    struct shl_store base;
    shale_store_callbacks theirs; /* [const] */
};

static_assert((int)SHALE_PUT_OVERWRITE == (int)SHL_PUT_OVERWRITE &&
                  (int)SHALE_PUT_CREATE == (int)SHL_PUT_CREATE &&
                  (int)SHALE_PUT_IF_MATCH == (int)SHL_PUT_IF_MATCH,
              "one numbering of modes");
static_assert(sizeof(shale_slice) == sizeof(struct shl_slice) &&
                  offsetof(shale_slice, len) == offsetof(struct shl_slice, len),
              "parts are handed on as they are");

static const shale_store_callbacks *theirs_of(const struct shl_store *s)
{
    return &((const struct user_store *)s)->theirs;
}

/* Codes are the application's. Without a text it gets one; what is no failure of a store is a mistake of the application. */
static shale_code settle(const struct shl_store *s, const char *what, const char *key,
                         shale_code rc, const shale_error *said, shale_error *err)
{
    if (rc == SHALE_OK)
        return SHALE_OK;
    if (rc == SHALE_DONE || (unsigned)rc > SHALE_NO_BUCKET)
        return shl_fail(err, SHALE_INVALID, "%s: %s \"%s\" answered %d, which is no failure",
                        s->name, what, key, (int)rc);
    if (said->text[0] == '\0')
        return shl_fail(err, rc, "%s: %s \"%s\": %s", s->name, what, key, shale_code_name(rc));
    return shl_fail(err, rc, "%.*s", (int)sizeof said->text - 1, said->text);
}

/* What no nanoseconds can tell, as microseconds given for milliseconds, is the last or first moment that they can. */
static int64_t modified_ns(int64_t ms)
{
    const int64_t most = INT64_MAX / (int64_t)ENV_NS_PER_MS;
    return (ms > most ? most : ms < -most ? -most : ms) * (int64_t)ENV_NS_PER_MS;
}

static void object_in(const shale_object *from, struct shl_object *out)
{
    *out = (struct shl_object){.size = from->size, .modified_ns = modified_ns(from->modified_ms)};
    static_assert(sizeof out->etag == sizeof from->etag, "ETags have one size");
    memcpy(out->etag, from->etag, sizeof out->etag);
    out->etag[sizeof out->etag - 1] = '\0';
}

/* ---- single objects */

static shale_code user_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                           size_t count, const struct shl_put *how, struct shl_object *out,
                           shale_error *err)
{
    const shale_store_callbacks *t = theirs_of(s);
    shale_object made = {.size = shl_parts_bytes(parts, count)};
    shale_error said = {0};
    shale_code rc = t->put(t->ctx, key, (const shale_slice *)(const void *)parts, count,
                           (shale_put_mode)how->mode, how->if_match, &made, &said);
    if (rc == SHALE_OK)
        object_in(&made, out);
    return settle(s, "put", key, rc, &said, err);
}

/* Where the bytes of a get go: one buffer, or ranges that follow each other. */
struct sink {
    struct shl_buf *body; /* NULL: into the ranges */
    const struct shl_get_range *ranges;
    size_t range_count, range_at, range_done;
    uint64_t got, wanted;
    bool no_memory, too_much;
};

static void into_ranges(struct sink *k, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const struct shl_get_range *r = &k->ranges[k->range_at];
        size_t n = shl_min_size(len, r->len - k->range_done);
        memcpy(r->dst + k->range_done, data, n);
        data += n;
        len -= n;
        k->range_done += n;
        if (k->range_done == r->len) {
            k->range_at++;
            k->range_done = 0;
        }
    }
}

static void on_bytes(void *ctx, const void *data, size_t len)
{
    struct sink *k = ctx;
    shale_error ignored;
    k->too_much = k->too_much || len > k->wanted - k->got;
    if (k->too_much || k->no_memory || len == 0)
        return;
    k->got += len;
    if (k->body == NULL)
        into_ranges(k, data, len);
    else
        k->no_memory = shl_buf_append(k->body, data, len, &ignored) != SHALE_OK;
}

static shale_code get_some(struct shl_store *s, const char *key, uint64_t offset, struct sink *k,
                           shale_object *out, shale_error *err)
{
    const shale_store_callbacks *t = theirs_of(s);
    shale_error said = {0};
    *out = (shale_object){.size = 0};
    shale_code rc = t->get(t->ctx, key, offset, k->wanted, on_bytes, k, out, &said);
    if (rc != SHALE_OK)
        return settle(s, "get", key, rc, &said, err);
    if (k->no_memory)
        return shl_nomem(err);
    uint64_t there = offset < out->size ? out->size - offset : 0;
    if (k->too_much || k->got != shl_min_u64(k->wanted, there))
        return shl_fail(err, SHALE_INVALID,
                        "%s: get \"%s\" gave %s%" PRIu64 " bytes of the %" PRIu64 " from %" PRIu64
                        " on of an object of %" PRIu64,
                        s->name, key, k->too_much ? "more than " : "", k->got,
                        shl_min_u64(k->wanted, there), offset, out->size);
    return SHALE_OK;
}

static shale_code user_head(struct shl_store *s, const char *key, struct shl_object *out,
                            shale_error *err)
{
    const shale_store_callbacks *t = theirs_of(s);
    shale_object found = {.size = 0};
    shale_error said = {0};
    shale_code rc = t->head(t->ctx, key, &found, &said);
    if (rc == SHALE_OK)
        object_in(&found, out);
    return settle(s, "head", key, rc, &said, err);
}

static shale_code user_get(struct shl_store *s, const char *key, const struct shl_get *how,
                           struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    struct sink k = {.body = body, .wanted = UINT64_MAX};
    shale_object found;
    uint64_t offset = how->kind == SHL_GET_FROM ? how->offset : 0, len;
    shale_code rc;
    if (how->kind == SHL_GET_SUFFIX) { /* where it begins depends on the size */
        SHL_TRY(user_head(s, key, out, err));
        SHL_TRY(shl_get_window(how, key, out->size, &offset, &len, err));
        k.wanted = len;
    }
    SHL_TRY(get_some(s, key, offset, &k, &found, err));
    object_in(&found, out);
    if (how->if_none_match != NULL && strcmp(how->if_none_match, out->etag) == 0)
        rc = shl_fail(err, SHALE_NOT_MODIFIED, "\"%s\" has not changed", key);
    else if (how->kind == SHL_GET_FROM)
        rc = shl_get_window(how, key, out->size, &offset, &len, err);
out:
    return rc;
}

static shale_code user_get_ranges(struct shl_store *s, const char *key,
                                  const struct shl_get_range *ranges, size_t count,
                                  shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK;) {
        struct sink k = {.ranges = &ranges[i],
                         .range_count = shl_ranges_touching(&ranges[i], count - i)};
        shale_object found;
        for (size_t n = 0; n < k.range_count; n++)
            k.wanted += ranges[i + n].len;
        rc = get_some(s, key, ranges[i].offset, &k, &found, err);
        if (rc == SHALE_OK && k.got < k.wanted)
            rc = shl_fail_range(err, key, ranges[i].offset, k.wanted, found.size);
        i += k.range_count;
    }
    return rc;
}

static shale_code user_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                   shale_error *err)
{
    const shale_store_callbacks *t = theirs_of(s);
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++) {
        shale_error said = {0};
        rc = t->remove(t->ctx, keys[i], &said);
        if (rc != SHALE_NOT_FOUND)
            rc = settle(s, "remove", keys[i], rc, &said, err);
        else
            rc = SHALE_OK;
    }
    return rc;
}

static shale_code user_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                            shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_object o;
    const struct shl_get all = {.kind = SHL_GET_ALL};
    const struct shl_put how = {.mode = create_only ? SHL_PUT_CREATE : SHL_PUT_OVERWRITE};
    shale_code rc = user_get(s, from, &all, &body, &o, err);
    if (rc == SHALE_OK) {
        struct shl_slice part = shl_buf_view(&body);
        rc = user_put(s, to, &part, 1, &how, &o, err);
    }
    shl_buf_free(&body);
    return rc;
}

/* ---- lists */

struct listing {
    struct shl_lister lister;
    const struct shl_store *store;
    struct shl_buf last; /* owned: the key before, with its NUL */
    shale_code rc;
    shale_error *err;
};

static bool on_listed(void *ctx, const shale_object *object)
{
    struct listing *l = ctx;
    const char *key = object->key;
    if (l->rc != SHALE_OK || l->lister.full)
        return false;
    if (key == NULL) {
        l->rc = shl_fail(l->err, SHALE_INVALID, "%s: list gave an object whose key is NULL",
                         l->store->name);
        return false;
    }
    if (l->last.len > 0 && strcmp((const char *)l->last.data, key) >= 0) {
        l->rc = shl_fail(l->err, SHALE_INVALID, "%s: list gave \"%s\" behind \"%s\", out of order",
                         l->store->name, key, (const char *)l->last.data);
        return false;
    }
    l->rc = shl_buf_set(&l->last, shl_slice_of(key, strlen(key) + 1), l->err);
    if (l->rc == SHALE_OK)
        l->rc = shl_lister_object(&l->lister, key, object->size, modified_ns(object->modified_ms),
                                  l->err);
    return l->rc == SHALE_OK && !l->lister.full;
}

static shale_code user_list(struct shl_store *s, const struct shl_list_options *how,
                            struct shl_list *out, shale_error *err)
{
    const shale_store_callbacks *t = theirs_of(s);
    struct listing l = {.store = s, .rc = SHALE_OK, .err = err};
    shl_lister_init(&l.lister, how, out);
    shale_error said = {0};
    shale_code rc = t->list(t->ctx, how->prefix, how->start_after, on_listed, &l, &said);
    shl_buf_free(&l.last);
    return l.rc != SHALE_OK ? l.rc : settle(s, "list", how->prefix, rc, &said, err);
}

/* ---- uploads */

struct part {
    struct shl_buf bytes; /* owned */
    bool is_there;
};
struct user_upload {
    struct shl_upload base;
    struct env_mutex mu;          /* a leaf lock */
    SHL_ARRAY(struct part) parts; /* [mu] by index; owned */
    char key[];
};

static struct user_upload *upload_of(struct shl_upload *u)
{
    return (struct user_upload *)u;
}

static void user_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    struct user_upload *u = upload_of(take_u);
    (void)s;
    for (size_t i = 0; i < u->parts.count; i++)
        shl_buf_free(&u->parts.items[i].bytes);
    shl_array_free(&u->parts);
    env_mutex_deinit(&u->mu);
    env_free(u);
}

static shale_code user_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                    shale_error *err)
{
    size_t len = strlen(key) + 1;
    struct user_upload *u = env_calloc(1, sizeof *u + len);
    if (u == NULL)
        return shl_nomem(err);
    u->base.store = s;
    env_mutex_init(&u->mu);
    memcpy(u->key, key, len);
    *out = &u->base;
    return SHALE_OK;
}

/* Makes room for part `index`, empty ones before it. Under mu. */
static bool has_room_locked(struct user_upload *u, uint32_t index)
{
    while (u->parts.count <= index)
        if (!shl_array_push(&u->parts, (struct part){.is_there = false}))
            return false;
    return true;
}

static shale_code user_upload_part(struct shl_store *s, struct shl_upload *base, uint32_t index,
                                   const struct shl_slice *parts, size_t count, shale_error *err)
{
    struct user_upload *u = upload_of(base);
    struct shl_buf mine = {0};
    (void)s;
    shale_code rc = shl_buf_reserve(&mine, shl_parts_bytes(parts, count), err);
    if (rc != SHALE_OK)
        return rc;
    mine.len = shl_parts_bytes(parts, count);
    shl_parts_copy(mine.data, parts, count);
    env_mutex_lock(&u->mu);
    bool fits = has_room_locked(u, index);
    if (fits) {
        struct shl_buf before = u->parts.items[index].bytes;
        u->parts.items[index] = (struct part){.bytes = mine, .is_there = true};
        mine = before;
    }
    env_mutex_unlock(&u->mu);
    shl_buf_free(&mine);
    return fits ? SHALE_OK : shl_nomem(err);
}

static shale_code user_upload_complete(struct shl_store *s, struct shl_upload *base,
                                       struct shl_object *out, shale_error *err)
{
    struct user_upload *u = upload_of(base);
    const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    for (size_t i = 0; i < u->parts.count; i++)
        if (!u->parts.items[i].is_there)
            return shl_fail(err, SHALE_INVALID, "upload of \"%s\": part %zu of %zu is missing",
                            u->key, i, u->parts.count);
    struct shl_slice *parts = env_calloc(u->parts.count + 1, sizeof *parts);
    if (parts == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < u->parts.count; i++)
        parts[i] = shl_buf_view(&u->parts.items[i].bytes);
    shale_code rc = user_put(s, u->key, parts, u->parts.count, &how, out, err);
    env_free(parts);
    if (rc == SHALE_OK)
        user_upload_abort(s, base);
    return rc;
}

/* ---- making it */

static void user_destroy(struct shl_store *s)
{
    shl_store_deinit(s);
    env_free(s);
}

static const struct shl_store_ops user_ops = {.put = user_put,
                                              .get = user_get,
                                              .get_ranges = user_get_ranges,
                                              .head = user_head,
                                              .list = user_list,
                                              .delete_many = user_delete_many,
                                              .copy = user_copy,
                                              .upload_start = user_upload_start,
                                              .upload_part = user_upload_part,
                                              .upload_complete = user_upload_complete,
                                              .upload_abort = user_upload_abort,
                                              .destroy = user_destroy};

shale_code shl_api_user_store_new(const shale_store_callbacks *theirs, struct shl_store **out,
                                  shale_error *err)
{
    struct user_store *u = env_calloc(1, sizeof *u);
    unsigned caps = theirs->no_if_match ? 0 : SHL_STORE_IF_MATCH;
    if (u == NULL)
        return shl_nomem(err);
    if (theirs->is_near)
        caps |= SHL_STORE_NEAR | SHL_STORE_PUT_IS_FREE;
    u->theirs = *theirs;
    shale_code rc = shl_store_init(&u->base, &user_ops, caps, "the store of the application", err);
    if (rc != SHALE_OK) {
        env_free(u);
        return rc;
    }
    *out = &u->base;
    return SHALE_OK;
}

/* ---- options */

void shale_store_callbacks_init(shale_store_callbacks *o, size_t struct_size)
{
    const shale_store_callbacks defaults = {.struct_size = sizeof defaults};
    shl_api_init_struct(o, struct_size, &defaults, sizeof defaults);
}

shale_code shale_options_set_store_callbacks(shale_options *o, shale_store_use use,
                                             const shale_store_callbacks *callbacks,
                                             shale_error *err)
{
    SHL_API_ERR(err);
    shale_store_callbacks mine = {.struct_size = sizeof mine};
    if (o == NULL)
        return shl_nomem(err);
    if ((unsigned)use > SHALE_STORE_WAL)
        return shl_fail(err, SHALE_INVALID, "store callbacks: use is %u, known 0 and 1",
                        (unsigned)use);
    shale_code rc =
        shl_api_take_struct(&mine, sizeof mine, callbacks, "shale_store_callbacks", err);
    if (rc != SHALE_OK)
        return rc;
    if (callbacks != NULL && (mine.put == NULL || mine.get == NULL || mine.head == NULL ||
                              mine.list == NULL || mine.remove == NULL))
        return shl_fail(err, SHALE_INVALID,
                        "store callbacks: put, get, head, list and remove must all be there");
    o->user_stores[use] = mine;
    return SHALE_OK;
}
