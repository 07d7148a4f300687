#include "store/memory.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/env/env.h"
#include "store/backend.h"
#include <inttypes.h>
#include <stdio.h>

/* Bytes of an object, shared with its copies. Immutable. */
struct mem_blob {
    _Atomic uint32_t refs;
    size_t len;
    uint8_t data[];
};

/* Immutable once it is in the map, so readers work on it without the lock. */
struct mem_object {
    _Atomic uint32_t refs;
    uint64_t etag;
    int64_t modified_ns;
    struct mem_blob *blob; /* owned reference */
    char put_id[SHL_ULID_TEXT];
    char key[];
};

struct mem_store {
    struct shl_store base;
    struct env_mutex mu;
    SHL_ARRAY(struct mem_object *) objects; /* [mu] ascending by key; owned references */
    uint64_t etag_next;                     /* [mu] */
    char *registered;                  /* [registry lock] owned: name in the registry, or NULL */
    struct mem_store *registered_next; /* [registry lock] */
};

static struct mem_store *mem_of(struct shl_store *s)
{
    return (struct mem_store *)s;
}

/* ---- blobs and objects */

static struct mem_blob *blob_new(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct mem_blob))
        return NULL;
    struct mem_blob *b = env_alloc(sizeof *b + len);
    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

static struct mem_blob *blob_of_parts(const struct shl_slice *parts, size_t count)
{
    struct mem_blob *b = blob_new(shl_parts_bytes(parts, count));
    if (b != NULL)
        shl_parts_copy(b->data, parts, count);
    return b;
}

static void blob_unref(struct mem_blob *b)
{
    if (b != NULL && env_fetch_sub_acq_rel(&b->refs, 1) == 1)
        env_free(b);
}

static void object_unref(struct mem_object *o)
{
    if (o == NULL || env_fetch_sub_acq_rel(&o->refs, 1) != 1)
        return;
    blob_unref(o->blob);
    env_free(o);
}

/* Takes the blob, also when it fails (NULL) or is NULL itself. */
static struct mem_object *object_new(const char *key, struct mem_blob *take_blob,
                                     const char *put_id)
{
    size_t key_bytes = strlen(key) + 1;
    struct mem_object *o = take_blob == NULL ? NULL : env_calloc(1, sizeof *o + key_bytes);
    if (o == NULL) {
        blob_unref(take_blob);
        return NULL;
    }
    atomic_init(&o->refs, 1);
    o->modified_ns = env_now_wall_ms() * (int64_t)ENV_NS_PER_MS;
    o->blob = take_blob;
    memcpy(o->key, key, key_bytes);
    if (put_id != NULL)
        memcpy(o->put_id, put_id, sizeof o->put_id);
    return o;
}

static void etag_text(char out[SHL_ETAG_BYTES], uint64_t etag)
{
    int n = snprintf(out, SHL_ETAG_BYTES, "\"%" PRIu64 "\"", etag);
    SHL_ASSERT(n > 0 && n < SHL_ETAG_BYTES);
}

static void describe(const struct mem_object *o, struct shl_object *out)
{
    *out = (struct shl_object){.size = o->blob->len, .modified_ns = o->modified_ns};
    etag_text(out->etag, o->etag);
    memcpy(out->put_id, o->put_id, sizeof out->put_id);
}

/* ---- the map */

/* Index of the first object whose key is at or after `key`. */
static size_t lower_bound_locked(const struct mem_store *m, const char *key, bool *out_found)
{
    size_t lo = 0;
    size_t hi = m->objects.count;
    *out_found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(m->objects.items[mid]->key, key);
        if (c == 0) {
            *out_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The object with a reference for the caller, or NOT_FOUND. */
static shale_code find(struct mem_store *m, const char *key, struct mem_object **out,
                       shale_error *err)
{
    struct mem_object *o = NULL;
    bool found;
    env_mutex_lock(&m->mu);
    size_t at = lower_bound_locked(m, key, &found);
    if (found) {
        o = m->objects.items[at];
        env_fetch_add(&o->refs, 1);
    }
    env_mutex_unlock(&m->mu);
    if (o == NULL)
        return shl_fail(err, SHALE_NOT_FOUND, "no object \"%s\" in %s", key, m->base.name);
    *out = o;
    return SHALE_OK;
}

static shale_code may_put_locked(const struct mem_object *old, const struct shl_put *how)
{
    if (how->mode == SHL_PUT_CREATE)
        return old == NULL ? SHALE_OK : SHALE_ALREADY_EXISTS;
    if (how->mode == SHL_PUT_OVERWRITE)
        return SHALE_OK;
    char etag[SHL_ETAG_BYTES];
    if (old == NULL)
        return SHALE_PRECONDITION;
    etag_text(etag, old->etag);
    return strcmp(etag, how->if_match) == 0 ? SHALE_OK : SHALE_PRECONDITION;
}

/* Room for one more object was made before. */
static struct mem_object *place_locked(struct mem_store *m, size_t at, bool found,
                                       struct mem_object *o)
{
    struct mem_object **slot = m->objects.items + at;
    if (found) {
        struct mem_object *old = *slot;
        *slot = o;
        return old;
    }
    memmove(slot + 1, slot, (m->objects.count - at) * sizeof *slot);
    *slot = o;
    m->objects.count++;
    return NULL;
}

static shale_code fail_put(struct mem_store *m, shale_code code, const char *key, shale_error *err)
{
    if (code == SHALE_NOMEM)
        return shl_nomem(err);
    if (code == SHALE_ALREADY_EXISTS)
        return shl_fail(err, code, "\"%s\" exists in %s", key, m->base.name);
    return shl_fail(err, code, "\"%s\" in %s has changed or is gone", key, m->base.name);
}

/* Puts the object into the map under a new ETag. take_o may be NULL: out of memory. */
static shale_code publish(struct mem_store *m, struct mem_object *take_o, const struct shl_put *how,
                          struct shl_object *out, shale_error *err)
{
    if (take_o == NULL)
        return shl_nomem(err);
    env_fetch_add(&take_o->refs, 1); /* ours, so that it can be described after the lock */
    struct mem_object *old = NULL;
    bool found;
    env_mutex_lock(&m->mu);
    size_t at = lower_bound_locked(m, take_o->key, &found);
    shale_code rc = may_put_locked(found ? m->objects.items[at] : NULL, how);
    if (rc == SHALE_OK && !shl_array_reserve(&m->objects, 1))
        rc = SHALE_NOMEM;
    if (rc == SHALE_OK) {
        take_o->etag = m->etag_next++;
        old = place_locked(m, at, found, take_o);
    }
    env_mutex_unlock(&m->mu);

    object_unref(old);
    if (rc == SHALE_OK) {
        describe(take_o, out);
    } else {
        rc = fail_put(m, rc, take_o->key, err);
        object_unref(take_o);
    }
    object_unref(take_o);
    return rc;
}

/* ---- operations */

static shale_code mem_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                          size_t count, const struct shl_put *how, struct shl_object *out,
                          shale_error *err)
{
    struct mem_object *o = object_new(key, blob_of_parts(parts, count), how->put_id);
    return publish(mem_of(s), o, how, out, err);
}

static shale_code mem_get(struct shl_store *s, const char *key, const struct shl_get *how,
                          struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    struct mem_object *o = NULL;
    uint64_t offset;
    uint64_t len;
    shale_code rc;
    SHL_TRY(find(mem_of(s), key, &o, err));
    describe(o, out);
    if (how->if_none_match != NULL && strcmp(how->if_none_match, out->etag) == 0)
        SHL_TRY(shl_fail(err, SHALE_NOT_MODIFIED, "\"%s\" has not changed", key));
    SHL_TRY(shl_get_window(how, key, o->blob->len, &offset, &len, err));
    SHL_TRY(shl_buf_append(body, o->blob->data + offset, (size_t)len, err));
out:
    object_unref(o);
    return rc;
}

static shale_code mem_get_ranges(struct shl_store *s, const char *key,
                                 const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    struct mem_object *o = NULL;
    shale_code rc;
    SHL_TRY(find(mem_of(s), key, &o, err));
    for (size_t i = 0; i < count; i++) {
        const struct shl_get_range *r = &ranges[i];
        if (r->offset + r->len > o->blob->len)
            SHL_TRY(shl_fail_range(err, key, r->offset, r->len, o->blob->len));
        memcpy(r->dst, o->blob->data + r->offset, r->len);
    }
out:
    object_unref(o);
    return rc;
}

static shale_code mem_head(struct shl_store *s, const char *key, struct shl_object *out,
                           shale_error *err)
{
    struct mem_object *o;
    shale_code rc = find(mem_of(s), key, &o, err);
    if (rc != SHALE_OK)
        return rc;
    describe(o, out);
    object_unref(o);
    return SHALE_OK;
}

static void free_objects(struct mem_object **objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        object_unref(objects[i]);
    env_free(objects);
}

/* References to all objects from `first_key` on. Memory is taken outside of the lock, so the count may have grown
 * meanwhile: then again. */
static shale_code snapshot(struct mem_store *m, const char *first_key, struct mem_object ***out,
                           size_t *out_count, shale_error *err)
{
    struct mem_object **copy = NULL;
    size_t cap = 0;
    for (;;) {
        bool found;
        env_mutex_lock(&m->mu);
        size_t at = lower_bound_locked(m, first_key, &found);
        size_t count = m->objects.count - at;
        if (count <= cap) {
            for (size_t i = 0; i < count; i++) {
                copy[i] = m->objects.items[at + i];
                env_fetch_add(&copy[i]->refs, 1);
            }
            env_mutex_unlock(&m->mu);
            *out = copy;
            *out_count = count;
            return SHALE_OK;
        }
        env_mutex_unlock(&m->mu);
        if (!shl_array_grow((void *)&copy, &cap, sizeof(struct mem_object *), count)) {
            env_free(copy);
            return shl_nomem(err);
        }
    }
}

/* The objects of a prefix are neighbours: true once `key` is behind the last one. */
static bool is_behind(const char *key, const char *prefix, size_t prefix_len)
{
    int c = strncmp(key, prefix, prefix_len);
    return c > 0 || (c == 0 && key[prefix_len] > '/');
}

static shale_code mem_list(struct shl_store *s, const struct shl_list_options *how,
                           struct shl_list *out, shale_error *err)
{
    struct mem_object **objects = NULL;
    size_t count = 0;
    struct shl_lister l;
    shl_lister_init(&l, how, out);
    const char *first = how->prefix;
    if (how->start_after != NULL && strcmp(how->start_after, first) > 0)
        first = how->start_after;
    shale_code rc;
    SHL_TRY(snapshot(mem_of(s), first, &objects, &count, err));
    for (size_t i = 0; i < count && !l.full; i++) {
        const struct mem_object *o = objects[i];
        if (l.prefix_len > 0 && is_behind(o->key, how->prefix, l.prefix_len))
            break;
        SHL_TRY(shl_lister_object(&l, o->key, o->blob->len, o->modified_ns, err));
    }
out:
    free_objects(objects, count);
    return rc;
}

static shale_code mem_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                  shale_error *err)
{
    (void)err;
    struct mem_store *m = mem_of(s);
    for (size_t i = 0; i < count; i++) {
        struct mem_object *old = NULL;
        bool found;
        env_mutex_lock(&m->mu);
        size_t at = lower_bound_locked(m, keys[i], &found);
        if (found) {
            struct mem_object **slot = m->objects.items + at;
            old = *slot;
            m->objects.count--;
            memmove(slot, slot + 1, (m->objects.count - at) * sizeof *slot);
        }
        env_mutex_unlock(&m->mu);
        object_unref(old);
    }
    return SHALE_OK;
}

static shale_code mem_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                           shale_error *err)
{
    const struct shl_put how = {.mode = create_only ? SHL_PUT_CREATE : SHL_PUT_OVERWRITE};
    struct mem_object *o;
    struct shl_object ignored;
    shale_code rc = find(mem_of(s), from, &o, err);
    if (rc != SHALE_OK)
        return rc;
    env_fetch_add(&o->blob->refs, 1);
    rc = publish(mem_of(s), object_new(to, o->blob, o->put_id), &how, &ignored, err);
    object_unref(o);
    return rc;
}

/* ---- multipart: parts are kept until complete */

struct mem_upload {
    struct shl_upload base;
    char *key; /* [const] owned */
    struct env_mutex mu;
    SHL_ARRAY(struct mem_blob *)
    parts; /* [mu] by index; NULL where none came yet; owned references */
};

static void mem_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    (void)s;
    struct mem_upload *u = (struct mem_upload *)take_u;
    for (size_t i = 0; i < u->parts.count; i++)
        blob_unref(u->parts.items[i]);
    shl_array_free(&u->parts);
    env_mutex_deinit(&u->mu);
    env_free(u->key);
    env_free(u);
}

static shale_code mem_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                   shale_error *err)
{
    struct mem_upload *u = env_calloc(1, sizeof *u);
    char *copy = env_strdup(key);
    if (u == NULL || copy == NULL) {
        env_free(u);
        env_free(copy);
        return shl_nomem(err);
    }
    u->base.store = s;
    u->key = copy;
    env_mutex_init(&u->mu);
    *out = &u->base;
    return SHALE_OK;
}

static shale_code mem_upload_part(struct shl_store *s, struct shl_upload *base, uint32_t index,
                                  const struct shl_slice *parts, size_t count, shale_error *err)
{
    (void)s;
    struct mem_upload *u = (struct mem_upload *)base;
    struct mem_blob *b = blob_of_parts(parts, count);
    if (b == NULL)
        return shl_nomem(err);
    struct mem_blob *drop = b;
    env_mutex_lock(&u->mu);
    bool room = index < u->parts.count || shl_array_reserve(&u->parts, index - u->parts.count + 1);
    if (room) {
        while (u->parts.count <= index)
            shl_array_add(&u->parts, NULL);
        drop = u->parts.items[index];
        u->parts.items[index] = b;
    }
    env_mutex_unlock(&u->mu);
    blob_unref(drop);
    return room ? SHALE_OK : shl_nomem(err);
}

/* All parts in one blob. No part may be running any more. */
static shale_code gather(const struct mem_upload *u, struct mem_blob **out, shale_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < u->parts.count; i++) {
        if (u->parts.items[i] == NULL)
            return shl_fail(err, SHALE_INVALID, "upload of \"%s\": part %zu of %zu is missing",
                            u->key, i, u->parts.count);
        total += u->parts.items[i]->len;
    }
    struct mem_blob *all = blob_new(total);
    if (all == NULL)
        return shl_nomem(err);
    uint8_t *to = all->data;
    for (size_t i = 0; i < u->parts.count; i++) {
        memcpy(to, u->parts.items[i]->data, u->parts.items[i]->len);
        to += u->parts.items[i]->len;
    }
    *out = all;
    return SHALE_OK;
}

static shale_code mem_upload_complete(struct shl_store *s, struct shl_upload *base,
                                      struct shl_object *out, shale_error *err)
{
    static const struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct mem_upload *u = (struct mem_upload *)base;
    struct mem_blob *all = NULL;
    shale_code rc;
    SHL_TRY(gather(u, &all, err));
    SHL_TRY(publish(mem_of(s), object_new(u->key, all, NULL), &how, out, err));
    mem_upload_abort(s, base);
out:
    return rc;
}

/* ---- life */

static void mem_destroy(struct shl_store *s)
{
    struct mem_store *m = mem_of(s);
    SHL_ASSERT(m->registered == NULL);
    for (size_t i = 0; i < m->objects.count; i++)
        object_unref(m->objects.items[i]);
    shl_array_free(&m->objects);
    env_mutex_deinit(&m->mu);
    shl_store_deinit(s);
    env_free(m);
}

static const struct shl_store_ops mem_ops = {
    .put = mem_put,
    .get = mem_get,
    .get_ranges = mem_get_ranges,
    .head = mem_head,
    .list = mem_list,
    .delete_many = mem_delete_many,
    .copy = mem_copy,
    .upload_start = mem_upload_start,
    .upload_part = mem_upload_part,
    .upload_complete = mem_upload_complete,
    .upload_abort = mem_upload_abort,
    .destroy = mem_destroy,
};

static shale_code mem_new(struct mem_store **out, const char *name, shale_error *err)
{
    struct mem_store *m = env_calloc(1, sizeof *m);
    if (m == NULL)
        return shl_nomem(err);
    unsigned caps = SHL_STORE_PUT_IS_FREE | SHL_STORE_ATTRIBUTES | SHL_STORE_IF_MATCH |
                    SHL_STORE_SURE | SHL_STORE_NEAR;
    shale_code rc = shl_store_init(&m->base, &mem_ops, caps, name, err);
    if (rc != SHALE_OK) {
        env_free(m);
        return rc;
    }
    env_mutex_init(&m->mu);
    *out = m;
    return SHALE_OK;
}

shale_code shl_store_memory_new(struct shl_store **out, shale_error *err)
{
    struct mem_store *m = NULL;
    shale_code rc = mem_new(&m, "memory:", err);
    if (rc == SHALE_OK)
        *out = &m->base;
    return rc;
}

/* ---- named stores
 * The one mutable global of the library: handles that only share a URL must meet somewhere. A flag and not a mutex, because it
 * needs no start-up; it is held for a walk over a few names, never across an allocation. */

static _Atomic bool registry_locked;
static struct mem_store *registry_first; /* [registry lock] owned references */

static void registry_lock(void)
{
    unsigned tries = 0;
    bool expected = false;
    while (!env_cas(&registry_locked, &expected, true)) {
        expected = false;
        if (env_backoff(&tries))
            tries = 0;
    }
}

static void registry_unlock(void)
{
    env_store_release(&registry_locked, false);
}

/* Where the pointer to the store of that name stands, or to the NULL at the end. */
static struct mem_store **registry_find_locked(const char *name)
{
    struct mem_store **at = &registry_first;
    while (*at != NULL && strcmp((*at)->registered, name) != 0)
        at = &(*at)->registered_next;
    return at;
}

static shale_code named_new(struct mem_store **out, const char *name, shale_error *err)
{
    struct shl_buf url = {0};
    char *copy = NULL;
    struct mem_store *m = NULL;
    shale_code rc;
    SHL_TRY(shl_buf_append(&url, "memory://?name=", strlen("memory://?name="), err));
    SHL_TRY(shl_buf_append(&url, name, strlen(name) + 1, err));
    copy = env_strdup(name);
    if (copy == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(mem_new(&m, (const char *)url.data, err));
    SHL_ASSERT(m != NULL);
    m->registered = copy;
    copy = NULL;
    *out = m;
out:
    env_free(copy);
    shl_buf_free(&url);
    return rc;
}

static void named_free(struct mem_store *m)
{
    env_free(m->registered);
    m->registered = NULL;
    shl_store_unref(&m->base);
}

shale_code shl_store_memory_named(struct shl_store **out, const char *name, shale_error *err)
{
    struct mem_store *fresh;
    shale_code rc = named_new(&fresh, name, err);
    if (rc != SHALE_OK)
        return rc;
    registry_lock();
    struct mem_store **at = registry_find_locked(name);
    bool is_new = *at == NULL;
    if (is_new)
        *at = fresh; /* its first reference becomes the registry's */
    *out = shl_store_ref(&(*at)->base);
    registry_unlock();
    if (!is_new)
        named_free(fresh);
    return SHALE_OK;
}

void shl_store_memory_forget(const char *name)
{
    registry_lock();
    struct mem_store **at = registry_find_locked(name);
    struct mem_store *m = *at;
    if (m != NULL)
        *at = m->registered_next;
    registry_unlock();
    if (m != NULL)
        named_free(m);
}
