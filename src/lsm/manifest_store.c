#include "lsm/manifest_store.h"

#include "base/env/env.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

/* SlateDB probes so many ids before it lists again. */
#define PROBES_MAX 4

#define BOUNDARY_MAX 65536 /* bytes of a number, and of white space around it */
#define VERSION_MAX                                                                                \
    (UINT64_C(1) << 30) /* bytes of a manifest or compactions file whose size no list told */

static const struct shl_get a_version = {.kind = SHL_GET_ALL, .max = VERSION_MAX};

void shl_sequenced_init(struct shl_sequenced *q, struct shl_store *store,
                        const struct shl_db_paths *paths, const char *what,
                        struct shl_fanout *fanout)
{
    *q = (struct shl_sequenced){.store = store, .paths = paths, .what = what, .fanout = fanout};
}

char *shl_sequenced_key(const struct shl_sequenced *q, uint64_t id)
{
    return strcmp(q->what, "manifest") == 0 ? shl_name_manifest(q->paths, id)
                                            : shl_name_compactions(q->paths, id);
}

/* "16" with white space around it; anything else is damage. */
static shale_code parse_boundary(struct shl_slice text, const char *key, uint64_t *out,
                                 shale_error *err)
{
    uint64_t v = 0;
    size_t digits = 0, i = 0, end = text.len;
    while (i < end && (text.data[i] == ' ' || (text.data[i] >= '\t' && text.data[i] <= '\r')))
        i++;
    while (end > i && (text.data[end - 1] == ' ' ||
                       (text.data[end - 1] >= '\t' && text.data[end - 1] <= '\r')))
        end--;
    for (; i < end; i++, digits++) {
        uint64_t d = (uint64_t)text.data[i] - '0';
        if (text.data[i] < '0' || text.data[i] > '9' ||
            __builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, d, &v))
            return shl_fail(err, SHALE_CORRUPTION, "%s: not a decimal number", key);
    }
    if (digits == 0)
        return shl_fail(err, SHALE_CORRUPTION, "%s: empty", key);
    *out = v;
    return SHALE_OK;
}

static shale_code look_at_boundary_once(struct shl_sequenced *q, const char *key, bool *there,
                                        uint64_t *out, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_object meta = {0};
    struct shl_get how = {.if_none_match = q->boundary_etag[0] != '\0' ? q->boundary_etag : NULL,
                          .max = BOUNDARY_MAX};
    shale_code rc = shl_store_get(q->store, key, &how, &body, &meta, err);
    *there = rc != SHALE_NOT_FOUND;
    if (rc == SHALE_NOT_FOUND) {
        *out = 0;
        rc = SHALE_OK;
    } else if (rc == SHALE_NOT_MODIFIED) {
        *out = q->boundary;
        rc = SHALE_OK;
    } else if (rc == SHALE_OK) {
        rc = parse_boundary(shl_buf_view(&body), key, &q->boundary, err);
        if (rc == SHALE_OK) {
            memcpy(q->boundary_etag, meta.etag, sizeof meta.etag);
            *out = q->boundary;
        }
    }
    shl_buf_free(&body);
    return rc;
}

/* The boundary below which ids are dead; *there false, and 0, if the collector has not written any. What is damaged may be only what came of it: it is read
 * once more. */
static shale_code look_at_boundary(struct shl_sequenced *q, bool *there, uint64_t *out,
                                   shale_error *err)
{
    char *key = shl_name_boundary(q->paths, q->what);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc = look_at_boundary_once(q, key, there, out, err);
    if (rc == SHALE_CORRUPTION)
        rc = look_at_boundary_once(q, key, there, out, err);
    env_free(key);
    return rc;
}

static shale_code read_boundary(struct shl_sequenced *q, uint64_t *out, shale_error *err)
{
    bool there;
    return look_at_boundary(q, &there, out, err);
}

/* PRECONDITION: somebody else moved it since it was read. */
static shale_code put_boundary(struct shl_sequenced *q, bool there, uint64_t to, shale_error *err)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, to);
    struct shl_slice body = shl_slice_of(text, (size_t)n);
    struct shl_put how = {.mode = there ? SHL_PUT_IF_MATCH : SHL_PUT_CREATE,
                          .if_match = there ? q->boundary_etag : NULL};
    char *key = shl_name_boundary(q->paths, q->what);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc =
        there && q->boundary_etag[0] == '\0'
            ? shl_fail(err, SHALE_NOT_SUPPORTED, "%s: %s gives no ETag", key, q->store->name)
            : shl_store_put(q->store, key, &body, 1, &how, NULL, err);
    env_free(key);
    return rc == SHALE_ALREADY_EXISTS ? SHALE_PRECONDITION : rc;
}

shale_code shl_sequenced_move_boundary(struct shl_sequenced *q, uint64_t to, shale_error *err)
{
    for (;;) {
        bool there;
        uint64_t now;
        shale_code rc = look_at_boundary(q, &there, &now, err);
        if (rc != SHALE_OK || now >= to)
            return rc;
        rc = put_boundary(q, there, to, err);
        if (rc != SHALE_PRECONDITION)
            return rc;
    }
}

shale_code shl_sequenced_read(struct shl_sequenced *q, uint64_t id, struct shl_buf *body,
                              shale_error *err)
{
    char *key = shl_sequenced_key(q, id);
    if (key == NULL)
        return shl_nomem(err);
    body->len = 0;
    shale_code rc = shl_store_get(q->store, key, &a_version, body, NULL, err);
    env_free(key);
    return rc;
}

/* ---------------------------------------------------------------- the first load */

/* The id of a version. An object in a folder below is somebody else's, whatever it is called. */
static bool is_version(const struct shl_sequenced *q, const char *dir, const char *key,
                       uint64_t *id)
{
    return strrchr(key, '/') == key + strlen(dir) && shl_name_parse_id(key, q->what, id);
}

shale_code shl_sequenced_list(struct shl_sequenced *q, shale_error *err)
{
    struct shl_list list = {0};
    char *dir = shl_name_dir(q->paths, q->what);
    if (dir == NULL)
        return shl_nomem(err);
    shale_code rc = shl_store_list(q->store, &(struct shl_list_options){.prefix = dir}, &list, err);
    if (rc == SHALE_OK)
        q->listed_id = 0;
    for (size_t i = 0; i < list.count && rc == SHALE_OK; i++) {
        uint64_t id;
        if (!is_version(q, dir, list.items[i].key, &id) || id <= q->listed_id)
            continue;
        q->listed_id = id;
        q->listed_bytes = list.items[i].size;
        q->listed_modified_ns = list.items[i].modified_ns;
    }
    q->has_listed = q->has_listed || rc == SHALE_OK;
    shl_list_free(&list);
    env_free(dir);
    return rc;
}

/* Both requests that follow the LIST. */
struct first_read {
    struct shl_fan_job job; /* the boundary's */
    struct shl_sequenced *q;
    shale_code rc;
    uint64_t boundary;
    shale_error err;
};

static void run_boundary(struct shl_fan_job *job)
{
    struct first_read *r = (struct first_read *)job;
    r->rc = read_boundary(r->q, &r->boundary, &r->err);
}

/* Whether the object that was read is the one that the LIST showed. Only whole seconds: not every store gives more in both answers. A
 * version that was collected and put again by a writer that had slept is younger by the collector's min_age at least. */
static bool is_listed_object(const struct shl_sequenced *q, const struct shl_object *o)
{
    return o->modified_ns != 0 && o->size == q->listed_bytes &&
           o->modified_ns / (int64_t)ENV_NS_PER_SEC ==
               q->listed_modified_ns / (int64_t)ENV_NS_PER_SEC;
}

/* GET of what the LIST found, and the boundary.
 *
 * The boundary has to be looked at after the version, for what it protects from is a version that was collected and then put again by
 * a writer that had slept. Beside each other will do if the object is the one that was listed: then it was the newest at the time of the
 * LIST, and the collector never covers the newest. Else the boundary is read once more. */
static shale_code read_listed(struct shl_sequenced *q, struct shl_buf *body, uint64_t *boundary,
                              shale_error *err)
{
    struct first_read r = {.job = {.run = run_boundary}, .q = q};
    struct shl_object object = {0};
    const struct shl_get how = {.kind = SHL_GET_ALL, .max = shl_max_u64(q->listed_bytes, 1)};
    char *key = shl_sequenced_key(q, q->listed_id);
    if (key == NULL)
        return shl_nomem(err);
    shl_fanout_start(q->fanout, &r.job);
    body->len = 0;
    shale_code rc = shl_store_get(q->store, key, &how, body, &object, err);
    env_free(key);
    if (rc != SHALE_OK && q->fanout == NULL)
        return rc;
    shl_fanout_wait(q->fanout, &r.job);
    if (rc != SHALE_OK)
        return rc;
    if (r.rc == SHALE_OK && q->fanout != NULL && !is_listed_object(q, &object))
        run_boundary(&r.job);
    if (r.rc != SHALE_OK)
        *err = r.err;
    else
        *boundary = r.boundary;
    return r.rc;
}

/* LIST, then GET the highest; again if the collector took it meanwhile. */
static shale_code load_by_list(struct shl_sequenced *q, struct shl_buf *body, uint64_t *boundary,
                               shale_error *err)
{
    for (bool is_second = false;;) {
        shale_code rc = q->has_listed ? SHALE_OK : shl_sequenced_list(q, err);
        if (rc != SHALE_OK)
            return rc;
        q->has_listed = false;
        if (q->listed_id == 0)
            return shl_fail(err, SHALE_NOT_FOUND, "no %s in \"%s\"", q->what, q->paths->r1);
        rc = read_listed(q, body, boundary, err);
        if (rc == SHALE_NOT_FOUND)
            continue;
        if (rc == SHALE_CORRUPTION && !is_second) { /* put anew since, and larger? */
            is_second = true;
            continue;
        }
        if (rc == SHALE_OK)
            q->id = q->listed_id;
        return rc;
    }
}

/* ---------------------------------------------------------------- later loads */

/* Ids are never used up; one that ends the row is a stray object, and counting on would begin at 0 again. */
static shale_code check_next(const struct shl_sequenced *q, shale_error *err)
{
    if (q->id < UINT64_MAX)
        return SHALE_OK;
    return shl_fail(err, SHALE_CORRUPTION,
                    "%s/%s/%020" PRIu64 ".%s: there is no id above it: it cannot be ours",
                    q->paths->r1, q->what, q->id, q->what);
}

/* From a known id onward. */
static shale_code load_by_probe(struct shl_sequenced *q, struct shl_buf *body, bool *changed,
                                uint64_t *boundary, shale_error *err)
{
    struct shl_buf next = {0};
    shale_code rc = SHALE_OK;
    for (unsigned tries = 0; tries < PROBES_MAX; tries++) {
        rc = check_next(q, err);
        if (rc == SHALE_OK)
            rc = shl_sequenced_read(q, q->id + 1, &next, err);
        if (rc != SHALE_OK)
            break;
        struct shl_buf swap = *body;
        *body = next;
        next = swap;
        q->id++;
        *changed = true;
    }
    shl_buf_free(&next);
    if (rc == SHALE_NOT_FOUND)
        return read_boundary(q, boundary, err);
    if (rc == SHALE_OK)
        return load_by_list(q, body, boundary, err);
    return rc;
}

shale_code shl_sequenced_load(struct shl_sequenced *q, struct shl_buf *body, bool *changed,
                              shale_error *err)
{
    uint64_t dead = 0; /* newest id that a listing gave and that the boundary covers */
    *changed = false;
    for (;;) {
        uint64_t boundary = 0;
        shale_code rc;
        bool listed = q->id == 0;
        body->len = 0;
        if (listed) {
            rc = load_by_list(q, body, &boundary, err);
            *changed = rc == SHALE_OK;
        } else {
            rc = load_by_probe(q, body, changed, &boundary, err);
        }
        if (rc != SHALE_OK)
            return rc;
        if (q->id > boundary)
            return SHALE_OK;
        /* What we found is dead: the newest lies above. The collector never covers the newest one, so the same answer twice is damage. */
        if (listed && q->id == dead)
            return shl_fail(err, SHALE_CORRUPTION,
                            "%s/gc/%s.boundary: says %" PRIu64 ", but the newest %s is %" PRIu64,
                            q->paths->r1, q->what, boundary, q->what, q->id);
        dead = listed ? q->id : 0;
        q->id = 0;
    }
}

shale_code shl_sequenced_is_newest(struct shl_sequenced *q, bool *newest, shale_error *err)
{
    struct shl_list list = {0};
    shale_code rc;
    char *dir = shl_name_dir(q->paths, q->what);
    char *start = shl_sequenced_key(q, q->id);
    *newest = true;
    if (dir == NULL || start == NULL) {
        rc = shl_nomem(err);
        goto out;
    }
    SHL_TRY(shl_store_list(
        q->store, &(struct shl_list_options){.prefix = dir, .start_after = start}, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (is_version(q, dir, list.items[i].key, &id) && id > q->id)
            *newest = false;
    }
out:
    shl_list_free(&list);
    env_free(start);
    env_free(dir);
    return rc;
}

/* ---------------------------------------------------------------- writes */

shale_code shl_sequenced_put(struct shl_sequenced *q, struct shl_slice body, shale_error *err)
{
    shale_code next = check_next(q, err);
    if (next != SHALE_OK)
        return next;
    char *key = shl_sequenced_key(q, q->id + 1);
    if (key == NULL)
        return shl_nomem(err);
    /* Where a store cannot tell whose object it has, equal bytes count as one's own (wrap_retry.c), and two writers who claim the next epoch write the same.
     * Nothing in a FlatBuffer refers to what stands behind it. */
    const uint64_t chance[2] = {env_rand64(), env_rand64()};
    const struct shl_slice parts[2] = {body, shl_slice_of(chance, sizeof chance)};
    bool tells = (q->store->caps & (SHL_STORE_ATTRIBUTES | SHL_STORE_SURE)) != 0;
    shale_code rc = shl_store_put(q->store, key, parts, tells ? 1 : 2,
                                  &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL, err);
    if (rc == SHALE_ALREADY_EXISTS)
        rc = shl_fail(err, SHALE_PRECONDITION, "%s: written by somebody else", key);
    env_free(key);
    return rc;
}

shale_code shl_sequenced_confirm(struct shl_sequenced *q, shale_error *err)
{
    uint64_t boundary;
    shale_code rc = read_boundary(q, &boundary, err);
    if (rc != SHALE_OK)
        return rc;
    if (q->id + 1 <= boundary) {
        rc = shl_fail(err, SHALE_PRECONDITION,
                      "%s/%s/: version %" PRIu64 " is at or below the boundary %" PRIu64,
                      q->paths->r1, q->what, q->id + 1, boundary);
        q->id = 0;
        q->has_listed = false;
        return rc;
    }
    q->id++;
    return SHALE_OK;
}

shale_code shl_sequenced_write(struct shl_sequenced *q, struct shl_slice body, shale_error *err)
{
    shale_code rc = shl_sequenced_put(q, body, err);
    return rc == SHALE_OK ? shl_sequenced_confirm(q, err) : rc;
}
