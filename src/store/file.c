#include "store/file_impl.h"
#include "store/sweep.h"

#include "base/assert.h"
#include "base/num.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- errors of the system */

bool shl_file_is_missing(int e)
{
    return e == ENOENT || e == ENOTDIR;
}

static shale_code code_of(int e)
{
    switch (e) {
    case ENOENT:
        return SHALE_NOT_FOUND;
    case EEXIST:
        return SHALE_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return SHALE_PERMISSION_DENIED;
    case EXDEV:
    case ENOTSUP:
    case EMLINK:
    case ENOSYS:
        return SHALE_NOT_SUPPORTED;
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:
        return SHALE_INVALID;
    default:
        return SHALE_UNAVAILABLE; /* EIO, EMFILE, ESTALE ...: may pass */
    }
}

shale_code shl_file_fail(shale_error *err, int e, const char *doing, const char *path)
{
    SHL_ASSERT(e != 0);
    char why[96];
    if (strerror_r(e, why, sizeof why) != 0)
        (void)snprintf(why, sizeof why, "error %d", e);
    if (e == ENOMEM)
        return shl_nomem(err);
    if (e == ENOSPC || e == EDQUOT)
        return shl_fail(err, SHALE_NO_SPACE, "disk full: %s: %s", path, why);
    return shl_fail(err, code_of(e), "cannot %s %s: %s", doing, path, why);
}

shale_code shl_file_fail_missing(const struct file_store *f, const char *key, shale_error *err)
{
    return shl_fail(err, SHALE_NOT_FOUND, "no object \"%s\" in %s", key, f->base.name);
}

/* ---- names */

bool shl_file_is_reserved(const char *name)
{
    const char *hash = strchr(name, '#');
    if (hash == NULL || hash[1] == '\0')
        return false;
    return hash[1 + strspn(hash + 1, "0123456789")] == '\0';
}

shale_code shl_file_path(const struct file_store *f, const char *key, struct shl_path_buf *out,
                         shale_error *err)
{
    const char *slash = strrchr(key, '/');
    if (shl_file_is_reserved(slash == NULL ? key : slash + 1))
        return shl_fail(err, SHALE_INVALID,
                        "bad key \"%s\": in a folder, names ending in '#' and digits are those of "
                        "unfinished writes",
                        key);
    if (f->root[0] != '\0')
        return shl_path_buf_join(out, f->root, key, err);
    /* Below "/" the join would see an empty first half and leave the '/' out. */
    shale_code rc = shl_path_buf_join(out, "/", key, err);
    if (rc == SHALE_OK)
        memmove(out->text, out->text + 1, strlen(out->text));
    return rc;
}

void shl_file_describe(const struct env_stat *st, struct shl_object *out)
{
    *out = (struct shl_object){.size = st->size, .modified_ns = st->mtime_ns};
    int n = snprintf(out->etag, sizeof out->etag, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
                     st->inode, (uint64_t)(st->mtime_ns / 1000), st->size);
    SHL_ASSERT(n > 0 && (size_t)n < sizeof out->etag);
}

/* ---- reading */

/* An object opened for reading: with a descriptor of its own, or one of the cache. */
struct file_read {
    int fd;
    struct env_stat st;
    struct file_fd *shared; /* owned reference; NULL: fd is ours to close */
};

static void read_close(struct file_read *r)
{
    if (r->shared != NULL)
        shl_file_fd_unref(r->shared);
    else if (r->fd >= 0)
        (void)env_close(r->fd); /* opened for reading: nothing can be lost */
}

static shale_code open_file(struct file_store *f, const char *key, struct file_read *out,
                            shale_error *err)
{
    struct shl_path_buf path = {0};
    int fd = -1;
    int e;
    shale_code rc;
    SHL_TRY(shl_file_path(f, key, &path, err));
    e = env_open(&fd, path.text, ENV_OPEN_READ);
    if (e == 0)
        e = env_fstat(fd, &out->st);
    if (shl_file_is_missing(e) || (e == 0 && !out->st.is_file))
        SHL_TRY(shl_file_fail_missing(f, key, err));
    if (e != 0)
        SHL_TRY(shl_file_fail(err, e, "open", path.text));
    out->fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        (void)env_close(fd);
    shl_path_buf_deinit(&path);
    return rc;
}

/* *out is {.fd = -1} before; read_close it in any case. */
static shale_code read_open(struct file_store *f, const char *key, struct file_read *out,
                            shale_error *err)
{
    if (!f->options.cache_descriptors || !shl_file_fds_wants(key))
        return open_file(f, key, out, err);
    uint64_t drops;
    out->shared = shl_file_fds_get(&f->fds, key, &drops);
    if (out->shared == NULL) {
        shale_code rc = open_file(f, key, out, err);
        if (rc != SHALE_OK)
            return rc;
        /* Out of memory here only means that the descriptor is not shared. */
        out->shared = shl_file_fds_add(&f->fds, key, out->fd, &out->st, drops);
    }
    if (out->shared != NULL) {
        out->fd = out->shared->fd;
        out->st = out->shared->st;
    }
    return SHALE_OK;
}

static shale_code file_get(struct shl_store *s, const char *key, const struct shl_get *how,
                           struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    struct file_read r = {.fd = -1};
    uint64_t offset;
    uint64_t len;
    size_t got = 0;
    int e;
    shale_code rc;
    SHL_TRY(read_open(file_of(s), key, &r, err));
    shl_file_describe(&r.st, out);
    if (how->if_none_match != NULL && strcmp(how->if_none_match, out->etag) == 0)
        SHL_TRY(shl_fail(err, SHALE_NOT_MODIFIED, "\"%s\" has not changed", key));
    SHL_TRY(shl_get_window(how, key, r.st.size, &offset, &len, err));
    SHL_TRY(shl_buf_reserve(body, (size_t)len, err));
    e = len == 0 ? 0 : env_pread(r.fd, body->data + body->len, (size_t)len, offset, &got);
    if (e != 0)
        SHL_TRY(shl_file_fail(err, e, "read", key));
    body->len += got; /* the front compares it with the size */
out:
    read_close(&r);
    return rc;
}

/* Ranges that follow each other in the file and in memory become one read. */
static size_t joined(const struct shl_get_range *ranges, size_t count, size_t *out_len)
{
    size_t touching = shl_ranges_touching(ranges, count);
    size_t len = ranges[0].len;
    size_t n = 1;
    for (; n < touching && ranges[n].dst == ranges[0].dst + len; n++)
        len += ranges[n].len;
    *out_len = len;
    return n;
}

static shale_code file_get_ranges(struct shl_store *s, const char *key,
                                  const struct shl_get_range *ranges, size_t count,
                                  shale_error *err)
{
    struct file_read r = {.fd = -1};
    shale_code rc;
    SHL_TRY(read_open(file_of(s), key, &r, err));
    for (size_t i = 0; i < count;) {
        size_t len;
        size_t got;
        size_t n = joined(ranges + i, count - i, &len);
        int e = env_pread(r.fd, ranges[i].dst, len, ranges[i].offset, &got);
        if (e != 0)
            SHL_TRY(shl_file_fail(err, e, "read", key));
        if (got != len)
            SHL_TRY(shl_fail_range(err, key, ranges[i].offset, len, r.st.size));
        i += n;
    }
out:
    read_close(&r);
    return rc;
}

static shale_code file_head(struct shl_store *s, const char *key, struct shl_object *out,
                            shale_error *err)
{
    struct shl_path_buf path = {0};
    struct env_stat st;
    int e;
    shale_code rc;
    SHL_TRY(shl_file_path(file_of(s), key, &path, err));
    e = env_stat(path.text, &st);
    if (shl_file_is_missing(e) || (e == 0 && !st.is_file))
        SHL_TRY(shl_file_fail_missing(file_of(s), key, err));
    if (e != 0)
        SHL_TRY(shl_file_fail(err, e, "look at", path.text));
    shl_file_describe(&st, out);
out:
    shl_path_buf_deinit(&path);
    return rc;
}

/* ---- deleting: folders that become empty stay, as with SlateDB */

static shale_code delete_one(struct file_store *f, const char *key, shale_error *err)
{
    struct shl_path_buf path = {0};
    struct env_stat st;
    bool no_object;
    int e;
    shale_code rc;
    SHL_TRY(shl_file_path(f, key, &path, err));
    e = env_unlink(path.text);
    if (f->options.cache_descriptors && shl_file_fds_wants(key))
        shl_file_fds_drop(&f->fds, key);
    /* A folder is no object. POSIX lets unlink say EPERM for one, Linux says EISDIR. */
    no_object = shl_file_is_missing(e) ||
                ((e == EISDIR || e == EPERM) && env_stat(path.text, &st) == 0 && st.is_dir);
    if (e != 0 && !no_object)
        SHL_TRY(shl_file_fail(err, e, "delete", path.text));
out:
    shl_path_buf_deinit(&path);
    return rc;
}

static shale_code file_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                   shale_error *err)
{
    for (size_t i = 0; i < count; i++) {
        shale_code rc = delete_one(file_of(s), keys[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* ---- life */

static void file_destroy(struct shl_store *s)
{
    struct file_store *f = file_of(s);
    for (size_t i = 0; i < FILE_DURABLE_DIRS; i++)
        env_free(f->durable_dirs[i]);
    shl_file_fds_deinit(&f->fds);
    env_mutex_deinit(&f->mu);
    env_free(f->root);
    shl_store_deinit(s);
    env_free(f);
}

static shale_code file_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err)
{
    return shl_folder_sweep(file_of(s)->root, shl_file_is_reserved, how, err);
}

static const struct shl_store_ops file_ops = {
    .sweep = file_sweep,
    .put = shl_file_put,
    .get = file_get,
    .get_ranges = file_get_ranges,
    .head = file_head,
    .list = shl_file_list,
    .delete_many = file_delete_many,
    .copy = shl_file_copy,
    .upload_start = shl_file_upload_start,
    .upload_part = shl_file_upload_part,
    .upload_complete = shl_file_upload_complete,
    .upload_abort = shl_file_upload_abort,
    .destroy = file_destroy,
};

static shale_code init_named(struct file_store *f, const char *root_path, shale_error *err)
{
    static const char scheme[] = "file://";
    struct shl_buf name = {0};
    shale_code rc;
    SHL_TRY(shl_buf_append(&name, scheme, sizeof scheme - 1, err));
    SHL_TRY(shl_buf_append(&name, root_path, strlen(root_path) + 1, err));
    SHL_TRY(shl_store_init(&f->base, &file_ops,
                           SHL_STORE_PUT_IS_FREE | SHL_STORE_IF_MATCH | SHL_STORE_SURE |
                               SHL_STORE_NEAR | SHL_STORE_PARTS_STAY,
                           (const char *)name.data, err));
out:
    shl_buf_free(&name);
    return rc;
}

shale_code shl_store_file_new(struct shl_store **out, const char *root_path,
                              const struct shl_file_options *options, shale_error *err)
{
    size_t len = strlen(root_path);
    SHL_ASSERT(len > 0);
    while (len > 0 && root_path[len - 1] == '/')
        len--;
    struct file_store *f = env_calloc(1, sizeof *f);
    char *root = shl_slice_dup_cstr(shl_slice_of(root_path, len));
    shale_code rc;
    if (f == NULL || root == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(init_named(f, root_path, err));
    f->root = root;
    f->options = *options;
    shl_file_fds_init(&f->fds);
    env_mutex_init(&f->mu);
    *out = &f->base;
    return SHALE_OK;
out:
    env_free(root);
    env_free(f);
    return rc;
}

const char *shl_store_file_root(const struct shl_store *s)
{
    const struct file_store *f = (const struct file_store *)s;
    return s->ops != &file_ops ? NULL : f->root[0] != '\0' ? f->root : "/";
}

/* ---- making the folder itself */

shale_code shl_file_make_root(char *path, shale_error *err)
{
    struct env_stat st;
    int e = env_stat(path, &st);
    if (e == 0 && st.is_dir)
        return shl_fail(err, SHALE_ALREADY_EXISTS, "the folder %s is there already", path);
    e = 0;
    for (char *slash = strchr(path + 1, '/'); e == 0; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        e = env_mkdir(path);
        if (e == EEXIST)
            e = 0;
        if (slash == NULL)
            break;
        *slash = '/';
    }
    return e == 0 ? SHALE_OK : shl_file_fail(err, e, "make folder", path);
}
