#include "s4/local.h"

#include "base/assert.h"
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TEMP_TRIES 16

shale_code shl_s4_local_fail(shale_error *err, int e, const char *what, const char *path)
{
    shale_code code = e == ENOMEM                   ? SHALE_NOMEM
                      : e == ENOSPC || e == EDQUOT  ? SHALE_NO_SPACE
                      : e == EACCES || e == EPERM   ? SHALE_PERMISSION_DENIED
                      : e == ENOTDIR || e == EISDIR ? SHALE_INVALID
                                                    : SHALE_UNAVAILABLE;
    return shl_fail(err, code, "%s %s: %s", what, path, strerror(e));
}

shale_code shl_s4_local_init(struct shl_s4_local *l, const char *dir, shale_error *err)
{
    *l = (struct shl_s4_local){.temporary = dir == NULL};
    env_mutex_init(&l->mu);
    if (dir != NULL) {
        size_t len = strlen(dir);
        while (len > 1 && dir[len - 1] == '/')
            len--;
        l->dir = shl_slice_dup_cstr(shl_slice_of(dir, len));
        if (l->dir == NULL)
            return shl_nomem(err);
    }
    return SHALE_OK;
}

/* A temporary folder holds plain files only. */
static void remove_folder(const char *dir)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    struct shl_buf path = {0};
    shale_error ignored;
    if (env_listdir(dir, &entries, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        path.len = 0;
        if (shl_buf_append(&path, dir, strlen(dir), &ignored) == SHALE_OK &&
            shl_buf_append(&path, "/", 1, &ignored) == SHALE_OK &&
            shl_buf_append(&path, entries[i].name, strlen(entries[i].name) + 1, &ignored) ==
                SHALE_OK)
            (void)env_unlink((const char *)path.data);
    }
    env_listdir_free(entries, count);
    shl_buf_free(&path);
    (void)env_rmdir(dir);
}

void shl_s4_local_deinit(struct shl_s4_local *l)
{
    for (unsigned i = 0; i < SHL_S4_FDS; i++) {
        SHL_ASSERT(l->fds[i].users == 0);
        if (l->fds[i].open)
            (void)env_close(l->fds[i].fd);
    }
    if (l->owned)
        remove_folder(l->dir);
    env_free(l->dir);
    env_mutex_deinit(&l->mu);
}

/* ---- the folder */

static shale_code make_temporary(struct shl_s4_local *l, shale_error *err)
{
    const char *top = env_getenv("TMPDIR");
    char path[400];
    int e = EEXIST;
    if (top == NULL || top[0] == '\0' || strlen(top) > 300)
        top = "/tmp";
    for (unsigned i = 0; i < TEMP_TRIES && e == EEXIST; i++) {
        (void)snprintf(path, sizeof path, "%s/s4db_%016" PRIx64, top, env_rand64());
        e = env_mkdir_private(path);
    }
    if (e != 0)
        return shl_s4_local_fail(err, e, "make the temporary folder", path);
    char *dir = env_strdup(path);
    if (dir == NULL) {
        (void)env_rmdir(path);
        return shl_nomem(err);
    }
    env_mutex_lock(&l->mu);
    l->owned = true;
    l->dir = dir;
    env_mutex_unlock(&l->mu);
    return SHALE_OK;
}

static int sync_path(const char *path, unsigned flags)
{
    int fd;
    int e = env_open(&fd, path, flags);
    if (e != 0)
        return e;
    e = env_fsync(fd);
    (void)env_close(fd);
    return e;
}

/* Some file systems cannot sync folders, and say so. */
static int sync_folder(const char *path)
{
    int e = sync_path(path, ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    return e == EINVAL || e == ENOTSUP ? 0 : e;
}

/* A folder that was made is there after a power failure, too. */
static int sync_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return sync_folder(".");
    if (slash == path)
        return sync_folder("/");
    *slash = '\0';
    int e = sync_folder(path);
    *slash = '/';
    return e;
}

static shale_code make_given(const char *dir, shale_error *err)
{
    shale_code rc = SHALE_OK;
    char *path = env_strdup(dir);
    if (path == NULL)
        return shl_nomem(err);
    for (size_t i = 1; rc == SHALE_OK; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char saved = path[i];
        path[i] = '\0';
        int e = env_mkdir(path);
        if (e == 0)
            e = sync_parent(path);
        if (e != 0 && e != EEXIST)
            rc = shl_s4_local_fail(err, e, "make the folder", path);
        path[i] = saved;
        if (saved == '\0')
            break;
    }
    env_free(path);
    return rc;
}

bool shl_s4_local_is_there(struct shl_s4_local *l)
{
    struct env_stat st;
    env_mutex_lock(&l->mu);
    const char *dir = l->dir;
    env_mutex_unlock(&l->mu);
    return dir != NULL && env_stat(dir, &st) == 0 && st.is_dir;
}

shale_code shl_s4_local_make(struct shl_s4_local *l, shale_error *err)
{
    if (shl_s4_local_is_there(l))
        return SHALE_OK;
    if (l->dir == NULL)
        return make_temporary(l, err);
    return make_given(l->dir, err);
}

char *shl_s4_local_path(const struct shl_s4_local *l, const char *name)
{
    size_t dir_len = strlen(l->dir);
    size_t name_len = strlen(name);
    char *path = env_alloc(dir_len + name_len + 2);
    if (path == NULL)
        return NULL;
    memcpy(path, l->dir, dir_len);
    path[dir_len] = '/';
    memcpy(path + dir_len + 1, name, name_len + 1);
    return path;
}

char *shl_s4_local_file(const struct shl_s4_local *l, uint64_t file)
{
    char name[SHL_S4_NAME_BYTES];
    shl_s4_name(file, name);
    return shl_s4_local_path(l, name);
}

/* ---- descriptors: a few stay open. A slot with users is left alone by all others. */

/* REQUIRES: mu. */
static struct shl_s4_fd *find_open(struct shl_s4_local *l, uint64_t file)
{
    for (unsigned i = 0; i < SHL_S4_FDS; i++)
        if (l->fds[i].open && !l->fds[i].stale && l->fds[i].file == file)
            return &l->fds[i];
    return NULL;
}

/* REQUIRES: mu. A slot that nobody uses; *out_old is what has to be closed, or -1. NULL: all are in use. */
static struct shl_s4_fd *take_slot(struct shl_s4_local *l, int *out_old)
{
    *out_old = -1;
    for (unsigned i = 0; i < SHL_S4_FDS; i++) {
        struct shl_s4_fd *f = &l->fds[l->next++ % SHL_S4_FDS];
        if (f->users > 0)
            continue;
        if (f->open)
            *out_old = f->fd;
        return f;
    }
    return NULL;
}

/* A descriptor for reading; *out_fd is -1 if there is no such file. NULL slot with *out_fd >= 0: the caller's own, to be closed. */
static shale_code acquire(struct shl_s4_local *l, uint64_t file, struct shl_s4_fd **out_slot,
                          int *out_fd, shale_error *err)
{
    int fd = -1, old = -1;
    env_mutex_lock(&l->mu);
    *out_slot = l->dir != NULL ? find_open(l, file) : NULL;
    bool none = l->dir == NULL;
    if (*out_slot != NULL) {
        (*out_slot)->users++;
        fd = (*out_slot)->fd;
    }
    env_mutex_unlock(&l->mu);
    *out_fd = fd;
    if (fd >= 0 || none)
        return SHALE_OK;
    char *path = shl_s4_local_file(l, file);
    if (path == NULL)
        return shl_nomem(err);
    int e = env_open(&fd, path, ENV_OPEN_READ);
    shale_code rc = e == 0 || e == ENOENT ? SHALE_OK : shl_s4_local_fail(err, e, "read", path);
    env_free(path);
    if (e != 0)
        return rc;
    *out_fd = fd;
    env_mutex_lock(&l->mu);
    *out_slot = take_slot(l, &old);
    if (*out_slot != NULL)
        **out_slot = (struct shl_s4_fd){.file = file, .fd = fd, .users = 1, .open = true};
    env_mutex_unlock(&l->mu);
    if (old >= 0)
        (void)env_close(old);
    return SHALE_OK;
}

static void release(struct shl_s4_local *l, struct shl_s4_fd *slot, int fd)
{
    bool close_it = slot == NULL;
    if (slot != NULL) {
        env_mutex_lock(&l->mu);
        slot->users--;
        close_it = slot->users == 0 && slot->stale;
        if (close_it)
            slot->open = false;
        env_mutex_unlock(&l->mu);
    }
    if (close_it)
        (void)env_close(fd);
}

void shl_s4_local_forget(struct shl_s4_local *l, uint64_t file)
{
    int old[SHL_S4_FDS];
    unsigned count = 0;
    env_mutex_lock(&l->mu);
    for (unsigned i = 0; i < SHL_S4_FDS; i++) {
        struct shl_s4_fd *f = &l->fds[i];
        if (!f->open || f->file != file)
            continue;
        f->stale = true;
        if (f->users > 0)
            continue;
        f->open = false;
        old[count++] = f->fd;
    }
    env_mutex_unlock(&l->mu);
    while (count > 0)
        (void)env_close(old[--count]);
}

/* ---- files */

shale_code shl_s4_local_read(struct shl_s4_local *l, uint64_t file, uint64_t offset, uint8_t *dst,
                             size_t len, size_t *got, shale_error *err)
{
    struct shl_s4_fd *slot;
    char name[SHL_S4_NAME_BYTES];
    int fd;
    *got = 0;
    shale_code rc = acquire(l, file, &slot, &fd, err);
    if (rc != SHALE_OK || fd < 0)
        return rc;
    int e = env_pread(fd, dst, len, offset, got);
    release(l, slot, fd);
    if (e == 0)
        return SHALE_OK;
    *got = 0;
    shl_s4_name(file, name);
    return shl_s4_local_fail(err, e, "read the local", name);
}

bool shl_s4_local_size(struct shl_s4_local *l, uint64_t file, uint64_t *out)
{
    struct env_stat st;
    if (!shl_s4_local_is_there(l))
        return false;
    char *path = shl_s4_local_file(l, file);
    bool there = path != NULL && env_stat(path, &st) == 0 && st.is_file;
    env_free(path);
    if (there)
        *out = st.size;
    return there;
}

/* Content and, if asked, fsync; the file is closed whatever happens. */
static int fill(const char *path, struct shl_slice body, bool sync)
{
    int fd;
    const struct env_iovec part = {.data = body.data, .len = body.len};
    int e = env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNC);
    if (e != 0)
        return e;
    e = body.len > 0 ? env_pwritev(fd, &part, 1, 0) : 0;
    if (e == 0 && sync)
        e = env_fsync(fd);
    int closed = env_close(fd);
    return e != 0 ? e : closed;
}

shale_code shl_s4_local_put(struct shl_s4_local *l, const char *name, struct shl_slice body,
                            bool sync, shale_error *err)
{
    char beside[SHL_S4_NAME_BYTES + 32];
    shale_code rc = SHALE_OK;
    int e;
    (void)snprintf(beside, sizeof beside, ".%s-%08" PRIx64 ".tmp", name, env_rand64() & UINT32_MAX);
    char *temp = shl_s4_local_path(l, beside);
    char *path = shl_s4_local_path(l, name);
    if (temp == NULL || path == NULL) {
        rc = shl_nomem(err);
        goto out;
    }
    e = fill(temp, body, sync);
    if (e == 0)
        e = env_rename(temp, path);
    if (e != 0) {
        (void)env_unlink(temp);
        rc = shl_s4_local_fail(err, e, "write", path);
    }
    if (rc == SHALE_OK && sync)
        rc = shl_s4_local_sync_folder(l, err);
out:
    env_free(temp);
    env_free(path);
    return rc;
}

void shl_s4_local_remove(struct shl_s4_local *l, uint64_t file)
{
    if (!shl_s4_local_is_there(l))
        return;
    shl_s4_local_forget(l, file);
    char *path = shl_s4_local_file(l, file);
    if (path != NULL)
        (void)env_unlink(path);
    env_free(path);
}

static int by_id(const void *a, const void *b)
{
    uint64_t p = *(const uint64_t *)a;
    uint64_t q = *(const uint64_t *)b;
    return p < q ? -1 : p > q;
}

shale_code shl_s4_local_list(struct shl_s4_local *l, struct shl_s4_local_list *out,
                             shale_error *err)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    shale_code rc = SHALE_OK;
    if (!shl_s4_local_is_there(l))
        return SHALE_OK;
    int e = env_listdir(l->dir, &entries, &count);
    if (e != 0)
        return shl_s4_local_fail(err, e, "list", l->dir);
    for (size_t i = 0; i < count && rc == SHALE_OK; i++) {
        uint64_t id;
        if (entries[i].is_file && shl_s4_name_parse(entries[i].name, &id) &&
            !shl_array_push(&out->ids, id))
            rc = shl_nomem(err);
    }
    env_listdir_free(entries, count);
    if (out->ids.count > 1)
        qsort(out->ids.items, out->ids.count, sizeof *out->ids.items, by_id);
    return rc;
}

shale_code shl_s4_local_sync(struct shl_s4_local *l, uint64_t file, shale_error *err)
{
    char *path = shl_s4_local_file(l, file);
    if (path == NULL)
        return shl_nomem(err);
    int e = sync_path(path, ENV_OPEN_READ | ENV_OPEN_WRITE);
    shale_code rc = e == 0 ? SHALE_OK : shl_s4_local_fail(err, e, "sync", path);
    env_free(path);
    return rc;
}

shale_code shl_s4_local_sync_folder(struct shl_s4_local *l, shale_error *err)
{
    int e = sync_folder(l->dir);
    return e == 0 ? SHALE_OK : shl_s4_local_fail(err, e, "sync the folder", l->dir);
}

shale_code shl_s4_local_get(struct shl_s4_local *l, const char *name, struct shl_buf *out,
                            shale_error *err)
{
    struct env_stat st;
    size_t got = 0;
    int fd = -1;
    shale_code rc;
    char *path = shl_s4_local_path(l, name);
    if (path == NULL)
        return shl_nomem(err);
    int e = env_open(&fd, path, ENV_OPEN_READ);
    if (e == ENOENT) {
        env_free(path);
        return shl_fail(err, SHALE_NOT_FOUND, "no such file: %s/%s", l->dir, name);
    }
    if (e == 0)
        e = env_fstat(fd, &st);
    rc = e == 0 ? shl_buf_reserve(out, (size_t)st.size, err)
                : shl_s4_local_fail(err, e, "read", path);
    if (rc == SHALE_OK && st.size > 0) {
        e = env_pread(fd, out->data + out->len, (size_t)st.size, 0, &got);
        if (e != 0)
            rc = shl_s4_local_fail(err, e, "read", path);
        else
            out->len += got;
    }
    if (fd >= 0)
        (void)env_close(fd);
    env_free(path);
    return rc;
}

shale_code shl_s4_local_lock(struct shl_s4_local *l, const char *name, int *out_fd,
                             shale_error *err)
{
    int fd = -1;
    char *path = shl_s4_local_path(l, name);
    if (path == NULL)
        return shl_nomem(err);
    int e = env_open(&fd, path, ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE);
    int locked = e == 0 ? env_flock_try(fd) : e;
    shale_code rc = SHALE_OK;
    *out_fd = fd;
    if (locked != 0) {
        if (fd >= 0)
            (void)env_close(fd);
        *out_fd = -1;
        if (locked != EWOULDBLOCK)
            rc = shl_s4_local_fail(err, locked, "lock", path);
    }
    env_free(path);
    return rc;
}
