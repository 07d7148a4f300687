/* Objects in and out, several at a time where the store is far away. */
#include "base/codec/compress.h"
#include "base/env/env.h"
#include "base/num.h"
#include "sql/remote.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define RANGE_BYTES  ((uint64_t)4 << 20)
#define SINGLE_BYTES ((uint64_t)16 << 20) /* larger files go up in parts */
#define PIECE_BYTES  ((size_t)8 << 20)
#define SURPLUS_MAX  ((uint64_t)1 << 20) /* that is still read, so that it can be told */

/* ---- many jobs beside each other */

/* Jobs 0 .. count - 1 for a few tasks. Each failure is kept by the lowest job, so that messages do not depend on the order. */
struct jobs {
    shale_code (*run)(void *ctx, size_t index, shale_error *err);
    void *ctx;
    size_t count;
    _Atomic size_t next;
    struct env_mutex mu;
    size_t failed;   /* [mu] the lowest one; count: none */
    shale_error err; /* [mu] */
};

static void work(void *arg)
{
    struct jobs *j = arg;
    for (size_t i; (i = env_fetch_add(&j->next, 1)) < j->count;) {
        shale_error err = {0};
        env_mutex_lock(&j->mu);
        bool give_up = j->failed < j->count;
        env_mutex_unlock(&j->mu);
        if (give_up)
            break; /* jobs are taken in order: those behind it are not needed */
        if (j->run(j->ctx, i, &err) == SHALE_OK)
            continue;
        env_mutex_lock(&j->mu);
        if (i < j->failed) {
            j->failed = i;
            j->err = err;
        }
        env_mutex_unlock(&j->mu);
    }
}

/* Where tasks cannot be had, the caller does what is left. */
static shale_code run_jobs(struct jobs *j, bool is_near, shale_error *err)
{
    struct env_task *tasks[SHL_SQL_FETCH_MAX];
    size_t started = 0;
    j->failed = j->count;
    env_mutex_init(&j->mu);
    while (!is_near && started + 1 < SHL_SQL_FETCH_MAX && started + 1 < j->count &&
           env_task_spawn(&tasks[started], "sql-io", work, j) == SHALE_OK)
        started++;
    work(j);
    for (size_t i = 0; i < started; i++)
        env_task_join(tasks[i]);
    env_mutex_deinit(&j->mu);
    if (j->failed == j->count)
        return SHALE_OK;
    *err = j->err;
    return err->code;
}

static bool is_near(const struct shl_sql_remote *r)
{
    return (r->store->caps & SHL_STORE_NEAR) != 0;
}

/* ---- changesets */

struct fetch {
    struct shl_sql_remote *r;
    const struct shl_sql_object *entries;
    struct shl_buf *bodies;
};

static shale_code fetch_one(void *ctx, size_t i, shale_error *err)
{
    struct fetch *f = ctx;
    const struct shl_sql_object *e = &f->entries[i];
    size_t before = f->bodies[i].len;
    struct shl_get how = {.kind = SHL_GET_ALL,
                          .max = e->size > 0 ? (uint64_t)e->size + SURPLUS_MAX : 0};
    shale_code rc = shl_store_get(f->r->store, e->key, &how, &f->bodies[i], NULL, err);
    if (rc == SHALE_NOT_FOUND) /* the manifest says that it is there */
        rc = err->code = SHALE_CORRUPTION;
    if (rc == SHALE_OK && e->size > 0 && f->bodies[i].len - before != (uint64_t)e->size)
        rc = shl_fail(err, SHALE_CORRUPTION, "it has %zu bytes, the manifest says %" PRId64,
                      f->bodies[i].len - before, e->size);
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "fetch changeset seq=%" PRId64 " key=%s", e->seq, e->key);
    return rc;
}

shale_code shl_sql_fetch_log(struct shl_sql_remote *r, const struct shl_sql_manifest *m,
                             size_t first, size_t count, struct shl_buf *bodies, shale_error *err)
{
    struct fetch f = {.r = r, .entries = m->log.items + first, .bodies = bodies};
    struct jobs j = {.run = fetch_one, .ctx = &f, .count = count};
    return count == 0 ? SHALE_OK : run_jobs(&j, is_near(r), err);
}

struct put_all {
    struct shl_sql_remote *r;
    char *const *keys;
    const struct shl_slice *bodies;
};

static shale_code put_one(void *ctx, size_t i, shale_error *err)
{
    struct put_all *p = ctx;
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    return shl_store_put(p->r->store, p->keys[i], &p->bodies[i], 1, &how, NULL, err);
}

shale_code shl_sql_put_all(struct shl_sql_remote *r, char *const *keys,
                           const struct shl_slice *bodies, size_t count, shale_error *err)
{
    struct put_all p = {.r = r, .keys = keys, .bodies = bodies};
    struct jobs j = {.run = put_one, .ctx = &p, .count = count};
    return run_jobs(&j, is_near(r), err);
}

/* ---- files */

shale_code shl_sql_file_fault(int e, const char *doing, const char *path, shale_error *err)
{
    char why[96];
    if (strerror_r(e, why, sizeof why) != 0)
        (void)snprintf(why, sizeof why, "error %d", e);
    if (e == ENOMEM)
        return shl_nomem(err);
    return shl_fail(err, e == ENOSPC || e == EDQUOT ? SHALE_NO_SPACE : SHALE_INVALID,
                    "cannot %s %s: %s", doing, path, why);
}

static shale_code read_piece(int fd, uint64_t offset, size_t len, struct shl_buf *out,
                             shale_error *err)
{
    size_t got = 0;
    shale_code rc = shl_buf_reserve(out, len + 1, err);
    if (rc != SHALE_OK)
        return rc;
    int e = env_pread(fd, out->data + out->len, len, offset, &got);
    if (e != 0)
        return shl_sql_file_fault(e, "read", "the database file", err);
    if (got != len)
        return shl_fail(err, SHALE_INVALID, "the database file became shorter while it was read");
    out->len += got;
    return SHALE_OK;
}

struct parts {
    struct shl_store *store;
    struct shl_upload *upload;
    int fd;
    uint64_t size;
};

static shale_code put_part(void *ctx, size_t i, shale_error *err)
{
    struct parts *p = ctx;
    struct shl_buf body = {0};
    uint64_t at = (uint64_t)i * PIECE_BYTES;
    shale_code rc =
        read_piece(p->fd, at, (size_t)shl_min_u64(PIECE_BYTES, p->size - at), &body, err);
    struct shl_slice view = shl_buf_view(&body);
    if (rc == SHALE_OK)
        rc = shl_store_upload_part(p->store, p->upload, (uint32_t)i, &view, 1, err);
    shl_buf_free(&body);
    return rc;
}

static shale_code upload_parts(struct shl_sql_remote *r, int fd, uint64_t size, const char *key,
                               shale_error *err)
{
    struct parts p = {.store = r->store, .fd = fd, .size = size};
    struct jobs j = {
        .run = put_part, .ctx = &p, .count = (size_t)((size + PIECE_BYTES - 1) / PIECE_BYTES)};
    shale_code rc = shl_store_upload_start(r->store, key, &p.upload, err);
    if (rc != SHALE_OK)
        return rc;
    rc = run_jobs(&j, is_near(r), err);
    if (rc == SHALE_OK)
        rc = shl_store_upload_complete(r->store, p.upload, NULL, err);
    if (rc != SHALE_OK)
        shl_store_upload_abort(r->store, p.upload);
    return rc;
}

/* The whole of it is in memory for this. */
static shale_code upload_packed(struct shl_sql_remote *r, int fd, uint64_t size, const char *key,
                                int64_t *out_size, shale_error *err)
{
    struct shl_buf raw = {0};
    struct shl_buf packed = {0};
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_slice view;
    shale_code rc;
    SHL_TRY(read_piece(fd, 0, (size_t)size, &raw, err));
    SHL_TRY(shl_compress(SHL_CODEC_ZSTD, shl_buf_view(&raw), &packed, err));
    view = shl_buf_view(&packed);
    SHL_TRY(shl_store_put(r->store, key, &view, 1, &how, NULL, err));
    *out_size = (int64_t)packed.len;
out:
    shl_buf_free(&raw);
    shl_buf_free(&packed);
    return rc;
}

shale_code shl_sql_upload(struct shl_sql_remote *r, int fd, const char *key, int64_t *out_size,
                          shale_error *err)
{
    struct env_stat st;
    struct shl_buf body = {0};
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_slice view;
    shale_code rc = SHALE_OK;
    int e = env_fstat(fd, &st);
    if (e != 0)
        return shl_sql_file_fault(e, "look at", "the database file", err);
    if (shl_sql_is_packed(key))
        return upload_packed(r, fd, st.size, key, out_size, err);
    *out_size = (int64_t)st.size;
    if (st.size > SINGLE_BYTES)
        return upload_parts(r, fd, st.size, key, err);
    SHL_TRY(read_piece(fd, 0, (size_t)st.size, &body, err));
    view = shl_buf_view(&body);
    SHL_TRY(shl_store_put(r->store, key, &view, 1, &how, NULL, err));
out:
    shl_buf_free(&body);
    return rc;
}

/* ---- snapshots */

struct ranges {
    struct shl_sql_remote *r;
    const struct shl_sql_object *object;
    int fd;
    const char *path;
};

static shale_code write_at(int fd, const char *path, struct shl_slice s, uint64_t at,
                           shale_error *err)
{
    struct env_iovec v = {.data = s.data, .len = s.len};
    int e = s.len == 0 ? 0 : env_pwritev(fd, &v, 1, at);
    return e == 0 ? SHALE_OK : shl_sql_file_fault(e, "write", path, err);
}

static shale_code get_range(void *ctx, size_t i, shale_error *err)
{
    struct ranges *g = ctx;
    uint64_t at = (uint64_t)i * RANGE_BYTES;
    size_t len = (size_t)shl_min_u64(RANGE_BYTES, (uint64_t)g->object->size - at);
    uint8_t *bytes = env_alloc(len);
    struct shl_get_range range = {.offset = at, .len = len, .dst = bytes};
    if (bytes == NULL)
        return shl_nomem(err);
    shale_code rc = shl_store_get_ranges(g->r->store, g->object->key, &range, 1, err);
    if (rc == SHALE_INVALID_RANGE)
        rc = err->code = SHALE_CORRUPTION; /* shorter than the manifest says */
    if (rc == SHALE_OK)
        rc = write_at(g->fd, g->path, shl_slice_of(bytes, len), at, err);
    env_free(bytes);
    return rc;
}

/* SQLite keeps the number of its pages in the file: an object that is longer than the manifest says would not show otherwise. */
static shale_code get_whole(struct ranges *g, shale_error *err)
{
    struct shl_buf body = {0};
    shale_code rc;
    SHL_TRY(shl_store_get(g->r->store, g->object->key, NULL, &body, NULL, err));
    if (g->object->size > 0 && body.len != (uint64_t)g->object->size)
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION, "it has %zu bytes, the manifest says %" PRId64,
                         body.len, g->object->size));
    SHL_TRY(write_at(g->fd, g->path, shl_buf_view(&body), 0, err));
out:
    shl_buf_free(&body);
    return rc;
}

shale_code shl_sql_check_size(struct shl_sql_remote *r, const struct shl_sql_object *object,
                              shale_error *err)
{
    uint8_t last;
    struct shl_get_range range = {.len = 1, .dst = &last};
    if (object->size <= SHL_SQL_TRUSTED_BYTES)
        return SHALE_OK;
    range.offset = (uint64_t)object->size - 1;
    shale_code rc = shl_store_get_ranges(r->store, object->key, &range, 1, err);
    if (rc == SHALE_INVALID_RANGE)
        rc = shl_fail(err, SHALE_CORRUPTION,
                      "it is shorter than the %" PRId64 " bytes that the manifest says",
                      object->size);
    return rc;
}

#define RAW_BYTES_MAX ((size_t)1 << 38) /* what SQLite's largest files have is less */

/* The file as what it is compressed from. */
static shale_code unpack(int fd, const char *path, shale_error *err)
{
    struct env_stat st;
    struct shl_buf packed = {0};
    struct shl_buf raw = {0};
    shale_code rc = SHALE_OK;
    int e = env_fstat(fd, &st);
    if (e != 0)
        return shl_sql_file_fault(e, "look at", path, err);
    SHL_TRY(read_piece(fd, 0, (size_t)st.size, &packed, err));
    SHL_TRY(shl_decompress(SHL_CODEC_ZSTD, shl_buf_view(&packed), RAW_BYTES_MAX, &raw, err));
    e = env_truncate(fd, raw.len);
    if (e != 0)
        SHL_TRY(shl_sql_file_fault(e, "write", path, err));
    SHL_TRY(write_at(fd, path, shl_buf_view(&raw), 0, err));
out:
    shl_buf_free(&packed);
    shl_buf_free(&raw);
    return rc;
}

shale_code shl_sql_download(struct shl_sql_remote *r, const struct shl_sql_object *object,
                            const char *path, shale_error *err)
{
    struct ranges g = {.r = r, .object = object, .fd = -1, .path = path};
    struct jobs j = {.run = get_range, .ctx = &g};
    shale_code rc = SHALE_OK;
    int e = env_open(&g.fd, path,
                     ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL |
                         ENV_OPEN_PRIVATE);
    if (e != 0)
        return shl_sql_file_fault(e, "make", path, err);
    j.count = object->size < (int64_t)RANGE_BYTES
                  ? 0
                  : (size_t)(((uint64_t)object->size + RANGE_BYTES - 1) / RANGE_BYTES);
    rc = shl_sql_check_size(r, object, err);
    if (rc == SHALE_OK)
        rc = j.count == 0 ? get_whole(&g, err) : run_jobs(&j, is_near(r), err);
    if (rc == SHALE_OK && shl_sql_is_packed(object->key))
        rc = unpack(g.fd, path, err);
    e = env_close(g.fd);
    if (rc == SHALE_OK && e != 0)
        rc = shl_sql_file_fault(e, "write", path, err);
    if (rc == SHALE_NOT_FOUND)
        rc = err->code = SHALE_CORRUPTION; /* the manifest says that it is there */
    if (rc != SHALE_OK) {
        (void)env_unlink(path);
        if (rc != SHALE_NOMEM)
            shl_err_prefix(err, "snapshot %s", object->key);
    }
    return rc;
}
