#include "store/file_impl.h"

#include "base/assert.h"
#include "base/num.h"
#include <errno.h>
#include <stdio.h>

/* ---- durability of folders */

/* Length of the folder's path in a path of `len` bytes; 0 for a file below "/". */
static size_t dir_len(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

/* Some file systems cannot sync folders and say so with EINVAL or ENOTSUP: then there is nothing to do. */
static int sync_fd(int fd)
{
    int e = env_fsync(fd);
    return e == EINVAL || e == ENOTSUP ? 0 : e;
}

static bool is_durable(struct file_store *f, const char *dir)
{
    bool found = false;
    env_mutex_lock(&f->mu);
    for (size_t i = 0; i < FILE_DURABLE_DIRS && !found; i++)
        found = f->durable_dirs[i] != NULL && strcmp(f->durable_dirs[i], dir) == 0;
    env_mutex_unlock(&f->mu);
    return found;
}

static void remember_durable(struct file_store *f, const char *dir)
{
    char *copy = env_strdup(dir);
    if (copy == NULL)
        return; /* it is synced once more, then */
    env_mutex_lock(&f->mu);
    char *old = f->durable_dirs[f->durable_next];
    f->durable_dirs[f->durable_next] = copy;
    f->durable_next = (f->durable_next + 1) % FILE_DURABLE_DIRS;
    env_mutex_unlock(&f->mu);
    env_free(old);
}

shale_code shl_file_check_sound(struct file_store *f, shale_error *err)
{
    if (!env_load_relaxed(&f->dir_failed))
        return SHALE_OK;
    return shl_fail(err, SHALE_CORRUPTION,
                    "%s: a folder could not be synced to disk before, so that nothing more is "
                    "acknowledged; open it again",
                    f->base.name);
}

/* After a failed fsync the system may have forgotten what it could not write, and the next fsync succeeds: so a failure
 * is final for this handle, and its code is one that nobody tries again. */
static shale_code fail_sync(struct file_store *f, int e, const char *dir, shale_error *err)
{
    env_store_relaxed(&f->dir_failed, true);
    (void)shl_file_fail(err, e, "sync folder", dir[0] == '\0' ? "/" : dir);
    err->code = SHALE_CORRUPTION;
    return SHALE_CORRUPTION;
}

/* `dir` "" is "/". */
static shale_code sync_dir(struct file_store *f, const char *dir, shale_error *err)
{
    int fd;
    int e = env_open(&fd, dir[0] == '\0' ? "/" : dir, ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    if (e != 0)
        return shl_file_fail(err, e, "open folder", dir);
    e = sync_fd(fd);
    (void)env_close(fd); /* a folder's descriptor has nothing to write */
    return e == 0 ? SHALE_OK : fail_sync(f, e, dir, err);
}

/* Syncs the folders above `dir`, up to the one above the root. */
static shale_code sync_above(struct file_store *f, char *dir, shale_error *err)
{
    size_t root_bytes = strlen(f->root);
    shale_code rc = SHALE_OK;
    for (size_t len = strlen(dir); rc == SHALE_OK && len > 0 && len >= root_bytes;) {
        len = dir_len(dir, len);
        dir[len] = '\0';
        rc = sync_dir(f, dir, err);
        dir[len] = '/';
        if (rc == SHALE_PERMISSION_DENIED && len < root_bytes)
            rc = SHALE_OK; /* not ours, so somebody else's to sync */
    }
    return rc;
}

/* Opens the folder of `path`, to be synced once the name is in it, and syncs the folders above: a process that crashed may have
 * made any of them without syncing it, so those that were there already are synced too, once per handle. All that can
 * fail for a passing reason (descriptors run out) is done here, before the name is visible. */
static shale_code open_dir_for_sync(struct file_store *f, char *path, int *out_fd, shale_error *err)
{
    size_t dir_bytes = dir_len(path, strlen(path));
    shale_code rc = SHALE_OK;
    path[dir_bytes] = '\0';
    int e = env_open(out_fd, dir_bytes == 0 ? "/" : path, ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    if (e != 0) {
        rc = shl_file_fail(err, e, "open folder", path);
    } else if (!is_durable(f, path)) {
        rc = sync_above(f, path, err);
        if (rc == SHALE_OK)
            remember_durable(f, path);
    }
    path[dir_bytes] = '/';
    return rc;
}

/* ---- folders */

/* Makes the folders of path[0 .. end) that are longer than `from` bytes. */
static shale_code make_dirs(struct file_store *f, char *path, size_t from, size_t end,
                            shale_error *err)
{
    size_t root_bytes = strlen(f->root);
    for (size_t i = from + 1; i <= end; i++) {
        if (i < end && path[i] != '/')
            continue;
        char saved = path[i];
        path[i] = '\0';
        int e = env_mkdir(path);
        shale_code rc = SHALE_OK;
        if (e != 0 && e != EEXIST)
            rc = shl_file_fail(err, e, "make folder", path);
        /* Those below the root are synced when the file is published. */
        if (e == 0 && f->options.fsync && i <= root_bytes) {
            size_t parent = dir_len(path, i);
            path[parent] = '\0';
            rc = sync_dir(f, path, err);
            path[parent] = '/';
        }
        path[i] = saved;
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* The folders that a file needs; the root and those above it only if asked for. */
static shale_code make_parents(struct file_store *f, const char *path, shale_error *err)
{
    size_t root_bytes = strlen(f->root);
    struct env_stat st;
    char *copy = env_strdup(path);
    if (copy == NULL)
        return shl_nomem(err);
    shale_code rc;
    int e = root_bytes == 0 ? 0 : env_stat(f->root, &st);
    if (e == ENOENT && f->options.create_root)
        SHL_TRY(make_dirs(f, copy, 0, root_bytes, err));
    else if (e != 0)
        SHL_TRY(shl_file_fail(err, e, "write to", f->root));
    SHL_TRY(make_dirs(f, copy, root_bytes, dir_len(path, strlen(path)), err));
out:
    env_free(copy);
    return rc;
}

/* ---- staged files */

#define STAGE_SUFFIX_BYTES 12 /* "#4294967295" and NUL */

static void stage_name(struct file_stage *st, uint32_t n)
{
    int len = snprintf(st->path + st->final_len, STAGE_SUFFIX_BYTES, "#%u", (unsigned)n);
    SHL_ASSERT(len > 0 && len < STAGE_SUFFIX_BYTES);
}

/* Calls make(ctx, name) with "<path>#N" from N = first on until the name is free; folders are made when they are missing. */
static shale_code stage_make(struct file_store *f, const char *path, uint32_t first,
                             int (*make)(void *ctx, const char *name), void *ctx,
                             struct file_stage *out, shale_error *err)
{
    struct file_stage st = {.fd = -1, .final_len = strlen(path)};
    st.path = env_alloc(st.final_len + STAGE_SUFFIX_BYTES);
    if (st.path == NULL)
        return shl_nomem(err);
    memcpy(st.path, path, st.final_len);
    bool made_parents = false;
    shale_code rc = SHALE_OK;
    for (uint32_t n = first; rc == SHALE_OK; n++) {
        stage_name(&st, n);
        int e = make(ctx, st.path);
        if (e == ENOENT && !made_parents) {
            made_parents = true;
            rc = make_parents(f, path, err);
            e = rc == SHALE_OK ? make(ctx, st.path) : 0;
            if (rc != SHALE_OK)
                break;
        }
        if (e == 0) {
            *out = st;
            return SHALE_OK;
        }
        if (e != EEXIST)
            rc = shl_file_fail(err, e, "write", st.path);
    }
    env_free(st.path);
    return rc;
}

static int make_by_open(void *ctx, const char *name)
{
    return env_open(ctx, name, ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL);
}

shale_code shl_file_stage_open(struct file_store *f, const char *path, struct file_stage *out,
                               shale_error *err)
{
    int fd = -1;
    shale_code rc = stage_make(f, path, 1, make_by_open, &fd, out, err);
    if (rc == SHALE_OK)
        out->fd = fd;
    return rc;
}

shale_code shl_file_stage_write(struct file_stage *st, const struct shl_slice *parts, size_t count,
                                uint64_t offset, shale_error *err)
{
    struct env_iovec iov[16];
    for (size_t i = 0; i < count;) {
        size_t n = 0;
        uint64_t bytes = 0;
        for (; n < SHL_COUNT_OF(iov) && i < count; i++) {
            if (parts[i].len == 0)
                continue;
            iov[n++] = (struct env_iovec){.data = parts[i].data, .len = parts[i].len};
            bytes += parts[i].len;
        }
        int e = n == 0 ? 0 : env_pwritev(st->fd, iov, n, offset);
        if (e != 0)
            return shl_file_fail(err, e, "write", st->path);
        offset += bytes;
    }
    return SHALE_OK;
}

shale_code shl_file_stage_finish(struct file_store *f, struct file_stage *st, struct env_stat *out,
                                 shale_error *err)
{
    int e = env_fstat(st->fd, out);
    if (e == 0 && f->options.fsync)
        e = env_fsync(st->fd);
    int close_error = env_close(st->fd);
    st->fd = -1;
    if (e == 0)
        e = close_error;
    return e == 0 ? SHALE_OK : shl_file_fail(err, e, "write", st->path);
}

void shl_file_stage_drop(struct file_stage *st)
{
    if (st->fd >= 0)
        (void)env_close(st->fd); /* the file goes away */
    if (st->path != NULL)
        (void)env_unlink(st->path); /* a leftover is skipped by lists; clean-temp removes it */
    env_free(st->path);
    *st = (struct file_stage){.fd = -1};
}

/* ---- put */

static shale_code write_stage(struct file_store *f, const char *path, const struct shl_slice *parts,
                              size_t count, struct file_stage *st, struct env_stat *out,
                              shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_file_stage_open(f, path, st, err));
    SHL_TRY(shl_file_stage_write(st, parts, count, 0, err));
    SHL_TRY(shl_file_stage_finish(f, st, out, err));
out:
    return rc;
}

/* link is atomic, on NFS too; the staged name is removed by shl_file_stage_drop. */
static shale_code name_if_free(const struct file_store *f, const char *key,
                               const struct file_stage *st, const char *path, shale_error *err)
{
    struct env_stat there;
    int e = env_link(st->path, path);
    if (e == 0)
        return SHALE_OK;
    if (e != EEXIST)
        return shl_file_fail(err, e, "create", path);
    if (env_stat(path, &there) == 0 && there.is_dir)
        return shl_fail(err, SHALE_INVALID, "cannot write %s: a folder has that name", path);
    return shl_fail(err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", key, f->base.name);
}

/* From here on another writer may use the staged name, so it is forgotten. */
static shale_code name_over(struct file_stage *st, const char *path, shale_error *err)
{
    int e = env_rename(st->path, path);
    if (e == EISDIR || e == EEXIST || e == ENOTEMPTY)
        return shl_fail(err, SHALE_INVALID, "cannot write %s: a folder has that name", path);
    if (e != 0)
        return shl_file_fail(err, e, "write", path);
    env_free(st->path);
    st->path = NULL;
    return SHALE_OK;
}

shale_code shl_file_publish(struct file_store *f, const char *key, struct file_stage *st,
                            char *path, bool create_only, shale_error *err)
{
    int dir_fd = -1;
    int e;
    shale_code rc;
    if (f->options.fsync)
        SHL_TRY(open_dir_for_sync(f, path, &dir_fd, err));
    ENV_POINT("file staged");
    SHL_TRY(create_only ? name_if_free(f, key, st, path, err) : name_over(st, path, err));
    ENV_POINT("file published");
    if (f->options.cache_descriptors && shl_file_fds_wants(key))
        shl_file_fds_drop(&f->fds, key);
    e = dir_fd < 0 ? 0 : sync_fd(dir_fd);
    if (e != 0)
        SHL_TRY(fail_sync(f, e, path, err));
out:
    if (dir_fd >= 0)
        (void)env_close(dir_fd); /* a folder's descriptor has nothing to write */
    return rc;
}

/* Holds the lock of the file's folder, which every if-match writer takes; -1: none. */
static shale_code lock_dir(struct file_store *f, const char *key, const char *path, int *out_fd,
                           shale_error *err)
{
    int fd = -1;
    char *dir = shl_slice_dup_cstr(shl_slice_of(path, dir_len(path, strlen(path))));
    if (dir == NULL)
        return shl_nomem(err);
    shale_code rc = SHALE_OK;
    int e = env_open(&fd, dir[0] == '\0' ? "/" : dir, ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    if (shl_file_is_missing(e))
        rc = shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s is gone", key, f->base.name);
    else if (e != 0)
        rc = shl_file_fail(err, e, "open folder", dir);
    else if (env_flock(fd) != 0)
        rc = shl_fail(err, SHALE_NOT_SUPPORTED, "put \"%s\" if-match: cannot lock folder %s", key,
                      dir);
    env_free(dir);
    if (rc == SHALE_OK)
        *out_fd = fd;
    else if (fd >= 0)
        (void)env_close(fd);
    return rc;
}

static shale_code check_match(struct file_store *f, const char *key, const char *path,
                              const char *if_match, struct env_stat *out, shale_error *err)
{
    struct shl_object now;
    int e = env_stat(path, out);
    if (e != 0 && !shl_file_is_missing(e))
        return shl_file_fail(err, e, "look at", path);
    if (e != 0 || !out->is_file)
        return shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s is gone", key, f->base.name);
    shl_file_describe(out, &now);
    if (strcmp(now.etag, if_match) != 0)
        return shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s has ETag %s, want %s", key,
                        f->base.name, now.etag, if_match);
    return SHALE_OK;
}

#define NEWER_TRIES_MAX 50

/* Linux takes file times from a clock that ticks every 4 ms or so and gives the number of a removed inode to the next file.
 * Two updates within one tick could thus bring back an ETag that somebody still holds. So wait for the next tick: with times
 * that only go up, no ETag of a chain of updates comes twice. */
static shale_code write_newer_stage(struct file_store *f, const char *path,
                                    const struct shl_slice *parts, size_t count, int64_t older_ns,
                                    struct file_stage *st, struct env_stat *out, shale_error *err)
{
    for (unsigned tries = 0;; tries++) {
        shale_code rc = write_stage(f, path, parts, count, st, out, err);
        if (rc != SHALE_OK || out->mtime_ns / 1000 > older_ns / 1000 || tries == NEWER_TRIES_MAX)
            return rc;
        shl_file_stage_drop(st);
        env_sleep_ns(ENV_NS_PER_MS);
    }
}

static shale_code put_if_match(struct file_store *f, const char *key, char *path,
                               const struct shl_slice *parts, size_t count, const char *if_match,
                               struct env_stat *out, shale_error *err)
{
    struct file_stage st = {.fd = -1};
    struct env_stat old;
    int lock_fd = -1;
    shale_code rc;
    SHL_TRY(lock_dir(f, key, path, &lock_fd, err));
    SHL_TRY(check_match(f, key, path, if_match, &old, err));
    SHL_TRY(write_newer_stage(f, path, parts, count, old.mtime_ns, &st, out, err));
    SHL_TRY(shl_file_publish(f, key, &st, path, false, err));
out:
    shl_file_stage_drop(&st);
    if (lock_fd >= 0)
        (void)env_close(lock_fd); /* and unlocks */
    return rc;
}

static shale_code put_plain(struct file_store *f, const char *key, char *path,
                            const struct shl_slice *parts, size_t count, bool create_only,
                            struct env_stat *out, shale_error *err)
{
    struct file_stage st = {.fd = -1};
    shale_code rc;
    SHL_TRY(write_stage(f, path, parts, count, &st, out, err));
    SHL_TRY(shl_file_publish(f, key, &st, path, create_only, err));
out:
    shl_file_stage_drop(&st);
    return rc;
}

shale_code shl_file_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                        size_t count, const struct shl_put *how, struct shl_object *out,
                        shale_error *err)
{
    struct file_store *f = file_of(s);
    struct shl_path_buf path = {0};
    struct env_stat st;
    shale_code rc;
    SHL_TRY(shl_file_check_sound(f, err));
    SHL_TRY(shl_file_path(f, key, &path, err));
    if (how->mode == SHL_PUT_IF_MATCH)
        SHL_TRY(put_if_match(f, key, path.text, parts, count, how->if_match, &st, err));
    else
        SHL_TRY(put_plain(f, key, path.text, parts, count, how->mode == SHL_PUT_CREATE, &st, err));
    shl_file_describe(&st, out);
out:
    shl_path_buf_deinit(&path);
    return rc;
}

/* ---- copy: a second name for the same bytes, for nothing is ever written in place */

static int make_by_link(void *ctx, const char *name)
{
    return env_link(ctx, name);
}

/* True if both paths are the same file: rename would then do nothing and leave the staged name behind. */
static bool is_same_file(const struct env_stat *from, const char *to)
{
    struct env_stat st;
    return env_stat(to, &st) == 0 && st.is_file && st.inode == from->inode;
}

shale_code shl_file_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                         shale_error *err)
{
    struct file_store *f = file_of(s);
    struct file_stage stage = {.fd = -1};
    struct shl_path_buf from_path = {0};
    struct shl_path_buf to_path = {0};
    struct env_stat st;
    int e;
    shale_code rc;
    SHL_TRY(shl_file_check_sound(f, err));
    SHL_TRY(shl_file_path(f, from, &from_path, err));
    SHL_TRY(shl_file_path(f, to, &to_path, err));
    e = env_stat(from_path.text, &st);
    if (shl_file_is_missing(e) || (e == 0 && !st.is_file))
        SHL_TRY(shl_file_fail_missing(f, from, err));
    if (e != 0)
        SHL_TRY(shl_file_fail(err, e, "look at", from_path.text));
    if (!create_only && is_same_file(&st, to_path.text))
        goto out;
    SHL_TRY(stage_make(f, to_path.text, 0, make_by_link, from_path.text, &stage, err));
    SHL_TRY(shl_file_publish(f, to, &stage, to_path.text, create_only, err));
out:
    shl_file_stage_drop(&stage);
    shl_path_buf_deinit(&from_path);
    shl_path_buf_deinit(&to_path);
    return rc;
}
