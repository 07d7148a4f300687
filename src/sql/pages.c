#include "sql/pages.h"

#include "base/env/env.h"
#include "base/num.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define READ_AHEAD_MAX ((uint64_t)4 << 20)

struct shl_sql_lazy {
    struct shl_sql_pages pages; /* first: the VFS has a pointer to it */
    struct shl_sql_remote *r;   /* borrowed */
    char *key;                  /* owned */
    uint64_t size;              /* of the object: what lies behind it is only local */
    uint8_t *there;             /* owned: a bit a chunk */
    int fd;
    uint64_t next;   /* where the last fetch ended */
    uint64_t window; /* what a fetch there takes */
    uint64_t fetched;
    shale_error failure;
};

static bool is_there(const struct shl_sql_lazy *z, uint64_t chunk)
{
    return (z->there[chunk / 8] & (1u << (chunk % 8))) != 0;
}

static void set_there(struct shl_sql_lazy *z, uint64_t chunk)
{
    z->there[chunk / 8] = (uint8_t)(z->there[chunk / 8] | 1u << (chunk % 8));
}

static uint64_t chunk_count(const struct shl_sql_lazy *z)
{
    return (z->size + SHL_SQL_CHUNK_BYTES - 1) / SHL_SQL_CHUNK_BYTES;
}

static shale_code gone(const struct shl_sql_lazy *z, shale_error *err)
{
    return shl_fail(err, SHALE_UNAVAILABLE,
                    "snapshot %s is gone: a newer one has replaced it; try again", z->key);
}

/* Fetches chunks [from, to), none of which is there. */
static shale_code fetch(struct shl_sql_lazy *z, uint64_t from, uint64_t to, shale_error *err)
{
    uint64_t at = from * SHL_SQL_CHUNK_BYTES;
    size_t len = (size_t)(shl_min_u64(to * SHL_SQL_CHUNK_BYTES, z->size) - at);
    uint8_t *bytes = env_alloc(len);
    struct shl_get_range range = {.offset = at, .len = len, .dst = bytes};
    struct env_iovec v = {.data = bytes, .len = len};
    if (bytes == NULL)
        return shl_nomem(err);
    shale_code rc = shl_store_get_ranges(z->r->store, z->key, &range, 1, err);
    if (rc == SHALE_INVALID_RANGE)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "snapshot %s is shorter than the %" PRIu64 " bytes that the manifest says",
                      z->key, z->size);
    if (rc == SHALE_NOT_FOUND)
        rc = gone(z, err);
    int e = rc == SHALE_OK ? env_pwritev(z->fd, &v, 1, at) : 0;
    if (e != 0)
        rc = shl_fail(err, e == ENOSPC ? SHALE_NO_SPACE : SHALE_UNAVAILABLE,
                      "cannot write the local copy of %s (error %d)", z->key, e);
    env_free(bytes);
    if (rc != SHALE_OK)
        return rc;
    for (uint64_t c = from; c < to; c++)
        set_there(z, c);
    z->fetched += len;
    return SHALE_OK;
}

/* Fetches what is missing of chunks [from, to); `ahead` further ones may come along. */
static shale_code fill_chunks(struct shl_sql_lazy *z, uint64_t from, uint64_t to, uint64_t ahead,
                              shale_error *err)
{
    uint64_t end = shl_min_u64(to + ahead, chunk_count(z));
    for (uint64_t c = from; c < to;) {
        uint64_t stop = c;
        while (stop < end && !is_there(z, stop) &&
               (stop - c) * SHL_SQL_CHUNK_BYTES < READ_AHEAD_MAX)
            stop++;
        if (stop == c) {
            c++;
            continue;
        }
        shale_code rc = fetch(z, c, stop, err);
        if (rc != SHALE_OK)
            return rc;
        c = stop;
    }
    return SHALE_OK;
}

static shale_code fill(struct shl_sql_pages *p, uint64_t offset, uint64_t len)
{
    struct shl_sql_lazy *z = (struct shl_sql_lazy *)p;
    uint64_t end = shl_min_u64(offset + len, z->size);
    if (offset >= end)
        return SHALE_OK;
    uint64_t from = offset / SHL_SQL_CHUNK_BYTES;
    uint64_t to = (end + SHL_SQL_CHUNK_BYTES - 1) / SHL_SQL_CHUNK_BYTES;
    bool missing = false;
    for (uint64_t c = from; c < to; c++)
        missing = missing || !is_there(z, c);
    if (!missing)
        return SHALE_OK;
    bool goes_on = from * SHL_SQL_CHUNK_BYTES == z->next;
    z->window = goes_on ? shl_min_u64(z->window * 2, READ_AHEAD_MAX) : SHL_SQL_CHUNK_BYTES;
    shale_code rc = fill_chunks(z, from, to, z->window / SHL_SQL_CHUNK_BYTES - 1, &z->failure);
    z->next = to * SHL_SQL_CHUNK_BYTES + z->window - SHL_SQL_CHUNK_BYTES;
    return rc;
}

/* A chunk that is overwritten in part must be there first. */
static shale_code overwrite(struct shl_sql_pages *p, uint64_t offset, uint64_t len)
{
    return fill(p, offset, len);
}

shale_code shl_sql_lazy_new(struct shl_sql_lazy **out, struct shl_sql_remote *r,
                            const struct shl_sql_object *object, const char *path, shale_error *err)
{
    struct shl_sql_lazy *z = env_calloc(1, sizeof *z);
    shale_code rc;
    int e;
    if (z == NULL)
        return shl_nomem(err);
    *z = (struct shl_sql_lazy){.pages = {.fill = fill, .overwrite = overwrite},
                               .r = r,
                               .size = (uint64_t)object->size,
                               .fd = -1,
                               .window = SHL_SQL_CHUNK_BYTES};
    z->key = env_strdup(object->key);
    if (z->key == NULL)
        SHL_TRY(shl_nomem(err));
    rc = shl_sql_check_size(r, object, err);
    SHL_TRY(rc == SHALE_NOT_FOUND ? gone(z, err) : rc);
    z->there = env_calloc((size_t)(chunk_count(z) / 8 + 1), 1);
    if (z->there == NULL)
        SHL_TRY(shl_nomem(err));
    e = env_open(&z->fd, path,
                 ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL |
                     ENV_OPEN_PRIVATE);
    if (e == 0)
        e = env_truncate(z->fd, z->size);
    if (e != 0)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "cannot make %s (error %d)", path, e));
    SHL_TRY(fill_chunks(z, 0, shl_min_u64(1, chunk_count(z)), 0, err));
    *out = z;
    return SHALE_OK;
out:
    shl_sql_lazy_free(z);
    return rc;
}

void shl_sql_lazy_free(struct shl_sql_lazy *z)
{
    if (z == NULL)
        return;
    if (z->fd >= 0)
        (void)env_close(z->fd);
    env_free(z->there);
    env_free(z->key);
    env_free(z);
}

struct shl_sql_pages *shl_sql_lazy_pages(struct shl_sql_lazy *z)
{
    return &z->pages;
}

shale_code shl_sql_lazy_fill_all(struct shl_sql_lazy *z, shale_error *err)
{
    return fill_chunks(z, 0, chunk_count(z), 0, err);
}

const shale_error *shl_sql_lazy_failure(const struct shl_sql_lazy *z)
{
    return &z->failure;
}

uint64_t shl_sql_lazy_fetched(const struct shl_sql_lazy *z)
{
    return z->fetched;
}
