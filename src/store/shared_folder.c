#include "store/shared_folder.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/codec/digest.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/backend.h"
#include "store/file_impl.h"
#include "store/sweep.h"
#include <errno.h>
#include <stdio.h>

#define LOCK_NAME   ".s3db.lock"
#define TEMP_PREFIX ".s3db-tmp-"
#define TEMP_BYTES  (sizeof TEMP_PREFIX + 16)
#define STAGE_TRIES 10 /* a folder may be pruned by a delete before the first file is in it */
#define KEY_MAX     4096

struct shared_folder {
    struct shl_store base;
    char *root;                      /* [const] owned */
    struct shl_file_options options; /* [const] */
    struct shl_store *plain;         /* owned: the same folder, for lists */
};

static struct shared_folder *folder_of(struct shl_store *s)
{
    return (struct shared_folder *)s;
}

/* ---- keys */

static bool is_reserved(struct shl_slice part)
{
    size_t n = sizeof TEMP_PREFIX - 1;
    return shl_slice_ieq(part, LOCK_NAME) ||
           (part.len >= n && shl_slice_ieq(shl_slice_of(part.data, n), TEMP_PREFIX));
}

static bool has_reserved(const char *key)
{
    for (const char *at = key;; at++) {
        size_t len = strcspn(at, "/");
        if (is_reserved(shl_slice_of(at, len)))
            return true;
        at += len;
        if (*at == '\0')
            return false;
    }
}

static shale_code check_key(const struct shared_folder *f, const char *key, shale_error *err)
{
    const char *fault = NULL;
    if (has_reserved(key))
        fault = "names of the lock and of unfinished writes are reserved";
    else if (strchr(key, '\\') != NULL)
        fault = "a backslash may not stand in it";
    else if (strlen(key) >= KEY_MAX)
        fault = "it is too long";
    return fault == NULL
               ? SHALE_OK
               : shl_fail(err, SHALE_INVALID, "bad key \"%s\" in %s: %s", key, f->base.name, fault);
}

static shale_code fail_on(const struct shared_folder *f, int e, const char *doing, const char *key,
                          shale_error *err)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", f->root, key);
    return shl_file_fail(err, e, doing, path);
}

static shale_code missing(const struct shared_folder *f, const char *key, shale_error *err)
{
    return shl_fail(err, SHALE_NOT_FOUND, "no object \"%s\" in %s", key, f->base.name);
}

static shale_code set_etag(struct shl_object *o, const struct shl_slice *parts, size_t count,
                           shale_error *err)
{
    uint8_t digest[SHL_MD5_BYTES];
    shale_code rc = shl_md5(parts, count, digest, err);
    if (rc != SHALE_OK)
        return rc;
    size_t at = 0;
    o->etag[at++] = '"';
    for (size_t i = 0; i < sizeof digest; i++, at += 2)
        (void)snprintf(o->etag + at, 3, "%02x", digest[i]);
    (void)snprintf(o->etag + at, 2, "\"");
    return SHALE_OK;
}

/* ---- reading */

static shale_code open_object(const struct shared_folder *f, const char *key, int *out_fd,
                              struct env_stat *st, shale_error *err)
{
    shale_code rc = check_key(f, key, err);
    if (rc != SHALE_OK)
        return rc;
    int fd;
    int e = env_open_below(&fd, f->root, key, ENV_OPEN_READ);
    if (shl_file_is_missing(e))
        return missing(f, key, err);
    if (e != 0)
        return fail_on(f, e, "open", key, err);
    e = env_fstat(fd, st);
    if (e == 0 && st->is_file) {
        *out_fd = fd;
        return SHALE_OK;
    }
    (void)env_close(fd);
    return e != 0 ? fail_on(f, e, "look at", key, err) : missing(f, key, err);
}

/* Body and ETag come from one descriptor: they are of one version. Appends the whole content to `body`. */
static shale_code read_whole(const struct shared_folder *f, const char *key, struct shl_buf *body,
                             struct shl_object *out, shale_error *err)
{
    struct env_stat st;
    struct shl_slice all;
    int fd = -1;
    int e;
    size_t got = 0;
    shale_code rc;
    SHL_TRY(open_object(f, key, &fd, &st, err));
    if (st.size > SIZE_MAX / 2)
        SHL_TRY(fail_on(f, EFBIG, "read", key, err));
    SHL_TRY(shl_buf_reserve(body, (size_t)st.size + 1, err));
    e = env_pread(fd, body->data + body->len, (size_t)st.size, 0, &got);
    if (e != 0)
        SHL_TRY(fail_on(f, e, "read", key, err));
    all = shl_slice_of(body->data + body->len, got);
    *out = (struct shl_object){.size = got, .modified_ns = st.mtime_ns};
    SHL_TRY(set_etag(out, &all, 1, err));
    body->len += got;
out:
    if (fd >= 0)
        (void)env_close(fd); /* opened for reading: nothing can be lost */
    return rc;
}

static shale_code folder_get(struct shl_store *s, const char *key, const struct shl_get *how,
                             struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    size_t before = body->len;
    uint64_t offset;
    uint64_t len;
    shale_code rc;
    SHL_TRY(read_whole(folder_of(s), key, body, out, err));
    if (how->if_none_match != NULL && strcmp(how->if_none_match, out->etag) == 0)
        SHL_TRY(shl_fail(err, SHALE_NOT_MODIFIED, "\"%s\" has not changed", key));
    SHL_TRY(shl_get_window(how, key, out->size, &offset, &len, err));
    if (offset > 0)
        memmove(body->data + before, body->data + before + offset, (size_t)len);
    body->len = before + (size_t)len;
out:
    return rc;
}

static shale_code folder_get_ranges(struct shl_store *s, const char *key,
                                    const struct shl_get_range *ranges, size_t count,
                                    shale_error *err)
{
    const struct shared_folder *f = folder_of(s);
    struct env_stat st;
    int fd = -1;
    shale_code rc;
    SHL_TRY(open_object(f, key, &fd, &st, err));
    for (size_t i = 0; i < count; i++) {
        size_t got;
        int e = env_pread(fd, ranges[i].dst, ranges[i].len, ranges[i].offset, &got);
        if (e != 0)
            SHL_TRY(fail_on(f, e, "read", key, err));
        if (got != ranges[i].len)
            SHL_TRY(shl_fail_range(err, key, ranges[i].offset, ranges[i].len, st.size));
    }
out:
    if (fd >= 0)
        (void)env_close(fd);
    return rc;
}

static shale_code folder_head(struct shl_store *s, const char *key, struct shl_object *out,
                              shale_error *err)
{
    struct shl_buf body = {0};
    shale_code rc = read_whole(folder_of(s), key, &body, out, err);
    shl_buf_free(&body);
    return rc;
}

/* The tree is walked as that of any folder, but for links, which must not lead out; what is reserved here is dropped. */
static shale_code folder_list(struct shl_store *s, const struct shl_list_options *how,
                              struct shl_list *out, shale_error *err)
{
    struct shl_list_options rest = *how;
    size_t first = out->count;
    size_t kept = first;
    shale_code rc;
    rest.max = 0; /* what is dropped must not count */
    SHL_TRY(shl_store_list(folder_of(s)->plain, &rest, out, err));
    for (size_t i = first; i < out->count; i++) {
        bool drop = has_reserved(out->items[i].key) || (how->max > 0 && kept - first == how->max);
        out->truncated = out->truncated || (drop && !has_reserved(out->items[i].key));
        if (drop)
            env_free(out->items[i].key);
        else
            out->items[kept++] = out->items[i];
    }
    out->count = kept;
out:
    return rc;
}

/* ---- the lock */

static shale_code make_root(const struct shared_folder *f, shale_error *err)
{
    char path[KEY_MAX];
    size_t len = strlen(f->root);
    int e = 0;
    if (!f->options.create_root || len >= sizeof path)
        return shl_fail(err, SHALE_NOT_FOUND, "no folder %s", f->root);
    memcpy(path, f->root, len + 1);
    for (char *at = path + 1; e == 0; at++) {
        at += strcspn(at, "/");
        bool last = *at == '\0';
        *at = '\0';
        e = env_mkdir_below("/", path + 1);
        if (e == EEXIST || e == EISDIR)
            e = 0;
        if (last)
            break;
        *at = '/';
    }
    return e == 0 ? SHALE_OK : shl_file_fail(err, e, "make folder", path);
}

/* Closing it lets go. */
static shale_code lock(const struct shared_folder *f, int *out_fd, shale_error *err)
{
    int fd;
    int e =
        env_open_below(&fd, f->root, LOCK_NAME, ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE);
    if (e != 0)
        return fail_on(f, e, "open", LOCK_NAME, err);
    e = env_flock(fd);
    if (e != 0) {
        (void)env_close(fd);
        return shl_fail(err, SHALE_NOT_SUPPORTED, "cannot lock %s/%s", f->root, LOCK_NAME);
    }
    *out_fd = fd;
    return SHALE_OK;
}

/* ---- writing */

/* Some file systems cannot sync folders and say so: then there is nothing to do. */
static int sync_dir(const struct shared_folder *f, const char *dir)
{
    int fd;
    int e = env_open_below(&fd, f->root, dir[0] == '\0' ? "." : dir,
                           ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    if (e != 0)
        return e;
    e = env_fsync(fd);
    (void)env_close(fd);
    return e == EINVAL || e == ENOTSUP ? 0 : e;
}

/* A staged write. */
struct stage {
    char dir[KEY_MAX]; /* of key and temporary file; "": the root */
    char temp[KEY_MAX + TEMP_BYTES];
    size_t made; /* folders above the file that were made for it */
    bool there;  /* temp is to be removed */
    int fd;      /* open until the end; -1: none */
    /* The name is new: nobody looks for it before the put has answered, so that the file is synced under its name, and one journal commit
     * of the file system has both. What is replaced must be whole before it gets its name. */
    bool syncs_late;
};

static void dir_of(const char *key, char out[KEY_MAX])
{
    const char *slash = strrchr(key, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - key);
    memcpy(out, key, len);
    out[len] = '\0';
}

static int make_dirs(const struct shared_folder *f, struct stage *st)
{
    int e = 0;
    for (char *at = st->dir; *at != '\0' && e == 0;) {
        at += strcspn(at, "/");
        char end = *at;
        *at = '\0';
        e = env_mkdir_below(f->root, st->dir);
        st->made += e == 0;
        e = e == EEXIST ? 0 : e;
        *at = end;
        at += end != '\0';
    }
    return e;
}

static shale_code open_temp(const struct shared_folder *f, const char *key, struct stage *st,
                            int *out_fd, shale_error *err)
{
    int e = ENOENT;
    shale_code rc = SHALE_OK;
    dir_of(key, st->dir);
    for (unsigned i = 0; i < STAGE_TRIES && (shl_file_is_missing(e) || e == EEXIST); i++) {
        struct env_stat root;
        if (shl_file_is_missing(e) && env_stat(f->root, &root) != 0)
            SHL_TRY(make_root(f, err));
        e = make_dirs(f, st);
        if (e != 0)
            continue;
        (void)snprintf(st->temp, sizeof st->temp, "%s%s" TEMP_PREFIX "%016llx", st->dir,
                       st->dir[0] == '\0' ? "" : "/", (unsigned long long)env_rand64());
        e = env_open_below(out_fd, f->root, st->temp,
                           ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL);
    }
    if (e != 0)
        SHL_TRY(fail_on(f, e, "write", key, err));
    st->there = true;
out:
    return rc;
}

static shale_code write_temp(const struct shared_folder *f, const char *key,
                             const struct shl_slice *parts, size_t count, struct stage *st,
                             struct shl_object *out, shale_error *err)
{
    uint64_t at = 0;
    struct env_stat info = {0};
    int e = 0;
    shale_code rc;
    SHL_TRY(open_temp(f, key, st, &st->fd, err));
    for (size_t i = 0; i < count && e == 0; i++) {
        struct env_iovec v = {.data = parts[i].data, .len = parts[i].len};
        if (v.len > 0)
            e = env_pwritev(st->fd, &v, 1, at);
        at += v.len;
    }
    if (e == 0 && f->options.fsync && !st->syncs_late)
        e = env_fsync(st->fd);
    if (e == 0)
        e = env_fstat(st->fd, &info);
    if (e != 0)
        SHL_TRY(fail_on(f, e, "write", key, err));
    *out = (struct shl_object){.size = at, .modified_ns = info.mtime_ns};
out:
    return rc;
}

/* After a late sync that failed the name goes away again: the bytes under it may be lost. */
static shale_code sync_late(const struct shared_folder *f, const char *key, struct stage *st,
                            shale_error *err)
{
    int e = f->options.fsync && st->syncs_late ? env_fsync(st->fd) : 0;
    if (e == 0)
        return SHALE_OK;
    (void)env_unlink_below(f->root, key);
    return fail_on(f, e, "write", key, err);
}

static bool is_new(const struct shared_folder *f, const char *key)
{
    int fd;
    int e = env_open_below(&fd, f->root, key, ENV_OPEN_READ);
    if (e == 0)
        (void)env_close(fd);
    return shl_file_is_missing(e);
}

/* Whether the target may be written, with the lock held. */
static shale_code check_target(struct shared_folder *f, const char *key, const struct shl_put *how,
                               shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_object now;
    shale_code rc;
    if (how->mode == SHL_PUT_OVERWRITE)
        return SHALE_OK; /* a folder of that name refuses the rename */
    rc = read_whole(f, key, &body, &now, err);
    shl_buf_free(&body);
    if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
        return rc;
    bool there = rc == SHALE_OK;
    if (how->mode == SHL_PUT_CREATE)
        return !there
                   ? SHALE_OK
                   : shl_fail(err, SHALE_ALREADY_EXISTS, "\"%s\" exists in %s", key, f->base.name);
    if (!there)
        return shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s is gone", key, f->base.name);
    if (strcmp(now.etag, how->if_match) == 0)
        return SHALE_OK;
    return shl_fail(err, SHALE_PRECONDITION, "\"%s\" in %s has ETag %s, want %s", key, f->base.name,
                    now.etag, how->if_match);
}

static shale_code sync_names(const struct shared_folder *f, struct stage *st, shale_error *err)
{
    int e = 0;
    if (!f->options.fsync)
        return SHALE_OK;
    for (size_t left = st->made + 1; left > 0 && e == 0; left--) {
        e = sync_dir(f, st->dir);
        if (st->dir[0] == '\0')
            break;
        char *slash = strrchr(st->dir, '/');
        *(slash == NULL ? st->dir : slash) = '\0';
    }
    if (e == 0 || shl_file_is_missing(e)) /* missing: a delete has pruned it since */
        return SHALE_OK;
    (void)fail_on(f, e, "sync folder", st->dir, err);
    err->code =
        SHALE_CORRUPTION; /* the name is there, but may not survive a power failure: nobody tries that again */
    return err->code;
}

static shale_code publish(struct shared_folder *f, const char *key, const struct shl_put *how,
                          struct stage *st, shale_error *err)
{
    int fd = -1;
    int e;
    shale_code rc;
    SHL_TRY(lock(f, &fd, err));
    ENV_POINT("shared folder staged");
    SHL_TRY(check_target(f, key, how, err));
    e = env_rename_below(f->root, st->temp, key);
    if (e == EISDIR || e == EEXIST || e == ENOTEMPTY)
        SHL_TRY(shl_fail(err, SHALE_INVALID,
                         "cannot write \"%s\" in %s: it conflicts with an existing directory", key,
                         f->base.name));
    if (e != 0)
        SHL_TRY(fail_on(f, e, "write", key, err));
    st->there = false;
    (void)env_close(fd); /* others need not wait for the disk */
    fd = -1;
    ENV_POINT("shared folder published");
    SHL_TRY(sync_late(f, key, st, err));
    SHL_TRY(sync_names(f, st, err));
out:
    if (fd >= 0)
        (void)env_close(fd);
    return rc;
}

static shale_code folder_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                             size_t count, const struct shl_put *how, struct shl_object *out,
                             shale_error *err)
{
    struct shared_folder *f = folder_of(s);
    struct stage *st = env_calloc(1, sizeof *st);
    shale_code rc;
    int e;
    if (st == NULL)
        return shl_nomem(err);
    st->fd = -1;
    SHL_TRY(check_key(f, key, err));
    st->syncs_late = how->mode == SHL_PUT_OVERWRITE && is_new(f, key);
    SHL_TRY(write_temp(f, key, parts, count, st, out, err));
    SHL_TRY(set_etag(out, parts, count, err));
    SHL_TRY(publish(f, key, how, st, err));
    e = env_close(st->fd);
    st->fd = -1;
    if (e != 0)
        SHL_TRY(fail_on(f, e, "write", key, err));
out:
    if (st->fd >= 0)
        (void)env_close(st->fd); /* it failed already */
    if (st->there)
        (void)env_unlink_below(f->root, st->temp);
    env_free(st);
    return rc;
}

/* ---- deleting */

static shale_code delete_one(struct shared_folder *f, const char *key, shale_error *err)
{
    char dir[KEY_MAX];
    shale_code rc = check_key(f, key, err);
    if (rc != SHALE_OK)
        return rc;
    int e = env_unlink_below(f->root, key);
    if (shl_file_is_missing(e) || e == EISDIR || e == EPERM)
        return SHALE_OK; /* a folder is no object */
    if (e != 0)
        return fail_on(f, e, "delete", key, err);
    for (dir_of(key, dir); dir[0] != '\0' && env_rmdir_below(f->root, dir) == 0;) {
        char *slash = strrchr(dir, '/');
        *(slash == NULL ? dir : slash) = '\0';
    }
    return SHALE_OK;
}

static shale_code folder_delete_many(struct shl_store *s, const char *const *keys, size_t count,
                                     shale_error *err)
{
    struct shared_folder *f = folder_of(s);
    struct env_stat root;
    int fd = -1;
    shale_code rc;
    if (count == 0 || env_stat(f->root, &root) != 0)
        return SHALE_OK;
    SHL_TRY(lock(f, &fd, err));
    for (size_t i = 0; i < count; i++)
        SHL_TRY(delete_one(f, keys[i], err));
out:
    if (fd >= 0)
        (void)env_close(fd);
    return rc;
}

static shale_code folder_copy(struct shl_store *s, const char *from, const char *to,
                              bool create_only, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_object o;
    struct shl_put how = {.mode = create_only ? SHL_PUT_CREATE : SHL_PUT_OVERWRITE};
    shale_code rc = read_whole(folder_of(s), from, &body, &o, err);
    struct shl_slice all = shl_buf_view(&body);
    if (rc == SHALE_OK)
        rc = folder_put(s, to, &all, 1, &how, &o, err);
    shl_buf_free(&body);
    return rc;
}

/* ---- uploads: the parts wait in memory, and are written as one */

struct folder_upload {
    struct shl_upload base;
    char *key; /* [const] owned */
    struct env_mutex mu;
    SHL_ARRAY(struct shl_buf) parts; /* [mu] by index */
    SHL_ARRAY(bool) there;           /* [mu] */
};

static void folder_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    (void)s;
    struct folder_upload *u = (struct folder_upload *)take_u;
    for (size_t i = 0; i < u->parts.count; i++)
        shl_buf_free(&u->parts.items[i]);
    shl_array_free(&u->parts);
    shl_array_free(&u->there);
    env_mutex_deinit(&u->mu);
    env_free(u->key);
    env_free(u);
}

static shale_code folder_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                      shale_error *err)
{
    shale_code rc = check_key(folder_of(s), key, err);
    if (rc != SHALE_OK)
        return rc;
    struct folder_upload *u = env_calloc(1, sizeof *u);
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

static bool make_room(struct folder_upload *u, uint32_t index)
{
    if (index < u->parts.count)
        return true;
    size_t more = index - u->parts.count + 1;
    if (!shl_array_reserve(&u->parts, more) || !shl_array_reserve(&u->there, more))
        return false;
    for (; more > 0; more--) {
        shl_array_add(&u->parts, (struct shl_buf){0});
        shl_array_add(&u->there, false);
    }
    return true;
}

static shale_code folder_upload_part(struct shl_store *s, struct shl_upload *base, uint32_t index,
                                     const struct shl_slice *parts, size_t count, shale_error *err)
{
    (void)s;
    struct folder_upload *u = (struct folder_upload *)base;
    struct shl_buf body = {0};
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++)
        rc = shl_buf_append(&body, parts[i].data, parts[i].len, err);
    env_mutex_lock(&u->mu);
    if (rc == SHALE_OK && !make_room(u, index))
        rc = shl_nomem(err);
    if (rc == SHALE_OK) {
        struct shl_buf old = u->parts.items[index];
        u->parts.items[index] = body;
        u->there.items[index] = true;
        body = old;
    }
    env_mutex_unlock(&u->mu);
    shl_buf_free(&body);
    return rc;
}

static shale_code folder_upload_complete(struct shl_store *s, struct shl_upload *base,
                                         struct shl_object *out, shale_error *err)
{
    struct folder_upload *u = (struct folder_upload *)base;
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_slice *views = env_calloc(u->parts.count + 1, sizeof *views);
    shale_code rc = SHALE_OK;
    if (views == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < u->parts.count; i++) {
        if (!u->there.items[i])
            SHL_TRY(shl_fail(err, SHALE_INVALID, "upload of \"%s\": part %zu of %zu is missing",
                             u->key, i, u->parts.count));
        views[i] = shl_buf_view(&u->parts.items[i]);
    }
    SHL_TRY(folder_put(s, u->key, views, u->parts.count, &how, out, err));
    folder_upload_abort(s, base); /* what is left of it */
out:
    env_free(views);
    return rc;
}

/* ---- life */

static void folder_destroy(struct shl_store *s)
{
    struct shared_folder *f = folder_of(s);
    shl_store_unref(f->plain);
    env_free(f->root);
    shl_store_deinit(s);
    env_free(f);
}

static bool is_temp(const char *name)
{
    return strlen(name) == TEMP_BYTES - 1 && is_reserved(shl_slice_str(name));
}

static shale_code folder_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err)
{
    return shl_folder_sweep(folder_of(s)->root, is_temp, how, err);
}

static const struct shl_store_ops folder_ops = {
    .sweep = folder_sweep,
    .put = folder_put,
    .get = folder_get,
    .get_ranges = folder_get_ranges,
    .head = folder_head,
    .list = folder_list,
    .delete_many = folder_delete_many,
    .copy = folder_copy,
    .upload_start = folder_upload_start,
    .upload_part = folder_upload_part,
    .upload_complete = folder_upload_complete,
    .upload_abort = folder_upload_abort,
    .destroy = folder_destroy,
};

shale_code shl_store_shared_folder_new(struct shl_store **out, const char *root_path,
                                       const struct shl_file_options *options, shale_error *err)
{
    struct shl_store *plain = NULL;
    struct shared_folder *f = env_calloc(1, sizeof *f);
    size_t len = strlen(root_path);
    shale_code rc;
    struct shl_file_options below = *options;
    SHL_ASSERT(len > 0);
    below.stays_below = true;
    while (len > 1 && root_path[len - 1] == '/')
        len--;
    char *root = shl_slice_dup_cstr(shl_slice_of(root_path, len));
    if (f == NULL || root == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_store_file_new(&plain, root, &below, err));
    SHL_TRY(shl_store_init(&f->base, &folder_ops,
                           SHL_STORE_PUT_IS_FREE | SHL_STORE_IF_MATCH | SHL_STORE_SURE |
                               SHL_STORE_NEAR | SHL_STORE_PARTS_STAY,
                           plain->name, err));
    f->root = root;
    f->options = *options;
    f->plain = plain;
    *out = &f->base;
    return SHALE_OK;
out:
    shl_store_unref(plain);
    env_free(root);
    env_free(f);
    return rc;
}
