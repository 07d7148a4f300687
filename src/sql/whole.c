/* Whole databases: made, fetched into a file, and replaced by one. */
#include "sql/internal.h"

#include "base/num.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NAME_BYTES  4096
#define PIECE_BYTES ((size_t)1 << 20)

/* Files here are those that the user names. */
static shale_code file_fault(int e, const char *doing, const char *path, shale_error *err)
{
    shale_code rc = shl_sql_file_fault(e, doing, path, err);
    if (e == ENOENT)
        err->code = rc = SHALE_NOT_FOUND;
    return rc;
}

/* ---- an empty database */

/* A file of one page without a table, as s3db makes it. *out_path: owned; the caller removes it. */
static shale_code make_empty(char **out_path, shale_error *err)
{
    struct shl_sql_local none = {.lock_fd = -1, .fd = -1};
    char *path = shl_sql_local_fresh_path(&none);
    sqlite3 *db = NULL;
    shale_code rc = SHALE_OK;
    if (path == NULL)
        return shl_nomem(err);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int made = sqlite3_open_v2(path, &db, flags, SHL_SQL_VFS);
    if (made != SQLITE_OK)
        rc = shl_sql_fail(db, made, SHALE_INTERNAL, "make an empty database", err);
    if (rc == SHALE_OK)
        rc = shl_sql_exec(db, "PRAGMA page_size=4096; PRAGMA user_version=0",
                          "make an empty database", err);
    (void)sqlite3_close_v2(db);
    if (rc == SHALE_OK) {
        *out_path = path;
        return SHALE_OK;
    }
    (void)env_unlink(path);
    env_free(path);
    return rc;
}

static shale_code upload_path(struct shl_sql_remote *r, const char *path, const char *key,
                              int64_t *out_size, shale_error *err)
{
    int fd;
    int e = env_open(&fd, path, ENV_OPEN_READ);
    if (e != 0)
        return file_fault(e, "open", path, err);
    shale_code rc = shl_sql_upload(r, fd, key, out_size, err);
    (void)env_close(fd);
    return rc;
}

/* Uploads the file under the key and makes it the first manifest. */
static shale_code found(struct shl_sql_remote *r, const char *path, const char *key,
                        shale_error *err)
{
    struct shl_sql_manifest first = {0};
    int64_t size = 0;
    shale_code rc;
    SHL_TRY(upload_path(r, path, key, &size, err));
    SHL_TRY(shl_sql_manifest_rebase(&first, key, size, err));
    SHL_TRY(shl_sql_head_create(r, &first, err));
out:
    shl_sql_manifest_free(&first);
    return rc;
}

static shale_code found_empty(struct shl_sql_remote *r, shale_error *err)
{
    char *path = NULL;
    char *key = shl_sql_key(r, "snapshots/snap-init.sqlite");
    shale_code rc = key == NULL ? shl_nomem(err) : make_empty(&path, err);
    if (rc == SHALE_OK)
        rc = found(r, path, key, err);
    if (path != NULL)
        (void)env_unlink(path);
    env_free(path);
    env_free(key);
    return rc;
}

shale_code shl_sql_bootstrap(struct shl_sql_remote *r, shale_error *err)
{
    shale_code rc = found_empty(r, err);
    return rc == SHALE_ALREADY_EXISTS ? SHALE_OK
                                      : rc; /* another one was first: its database is as good */
}

/* ---- the user's file */

static bool has_bytes(const char *path, const char *suffix)
{
    char name[NAME_BYTES];
    struct env_stat st;
    int n = snprintf(name, sizeof name, "%s%s", path, suffix);
    return n > 0 && (size_t)n < sizeof name && env_stat(name, &st) == 0 && st.size > 0;
}

static shale_code check_beside(const char *path, shale_error *err)
{
    if (has_bytes(path, "-wal"))
        return shl_fail(
            err, SHALE_INVALID,
            "%s is in WAL mode and part of it is in %s-wal: close the programs that use "
            "it, or run PRAGMA wal_checkpoint(TRUNCATE)",
            path, path);
    if (has_bytes(path, "-journal"))
        return shl_fail(
            err, SHALE_INVALID,
            "%s was not closed in peace (%s-journal is there): open it once with sqlite3", path,
            path);
    return SHALE_OK;
}

static int copy_bytes(int from, int to, uint64_t *out_size)
{
    uint8_t *piece = env_alloc(PIECE_BYTES);
    uint64_t at = 0;
    size_t got = 1;
    int e = piece == NULL ? ENOMEM : 0;
    while (e == 0 && got > 0) {
        e = env_pread(from, piece, PIECE_BYTES, at, &got);
        struct env_iovec v = {.data = piece, .len = got};
        if (e == 0 && got > 0)
            e = env_pwritev(to, &v, 1, at);
        at += e == 0 ? got : 0;
    }
    env_free(piece);
    *out_size = at;
    return e;
}

/* Copies the file, so that what is checked is what goes up. INVALID if somebody writes to it meanwhile. */
static shale_code copy_of(const char *path, char **out, shale_error *err)
{
    struct shl_sql_local none = {.lock_fd = -1, .fd = -1};
    struct env_stat before;
    struct env_stat after;
    uint64_t size;
    int from = -1;
    int to = -1;
    char *copy = shl_sql_local_fresh_path(&none);
    shale_code rc = SHALE_OK;
    int e = copy == NULL ? ENOMEM : env_open(&from, path, ENV_OPEN_READ);
    if (e == 0)
        e = env_fstat(from, &before);
    if (e == 0)
        e = env_open(&to, copy,
                     ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL | ENV_OPEN_PRIVATE);
    if (e == 0)
        e = copy_bytes(from, to, &size);
    if (e == 0)
        e = env_fstat(from, &after);
    if (e != 0)
        rc = file_fault(e, "read", path, err);
    else if (size != before.size || after.size != before.size || after.mtime_ns != before.mtime_ns)
        rc = shl_fail(err, SHALE_INVALID, "%s is being written to: close the program that does",
                      path);
    if (from >= 0)
        (void)env_close(from);
    if (to >= 0)
        (void)env_close(to);
    if (rc == SHALE_OK) {
        *out = copy;
        return SHALE_OK;
    }
    if (to >= 0)
        (void)env_unlink(copy);
    env_free(copy);
    return rc;
}

static shale_code quick_check(const char *copy, const char *path, shale_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    /* Through a writable connection of ours: a file in WAL mode could not be read without. Only the copy may change, and it does not. */
    int rc = sqlite3_open_v2(copy, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, SHL_SQL_VFS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    shale_code code = SHALE_OK;
    if (rc != SQLITE_ROW)
        code = shl_sql_fail(db, rc, SHALE_CORRUPTION, "check it", err);
    else if (said == NULL || strcmp(said, "ok") != 0)
        code =
            shl_fail(err, SHALE_CORRUPTION, "quick_check says: %.200s", said == NULL ? "?" : said);
    (void)sqlite3_finalize(q);
    (void)sqlite3_close_v2(db);
    if (code != SHALE_OK && code != SHALE_NOMEM)
        shl_err_prefix(err, "%s is no sound SQLite database", path);
    return code;
}

/* A checked copy of the user's file; owned, the caller removes it. */
static shale_code take_file(const char *path, char **out, shale_error *err)
{
    char *copy = NULL;
    struct env_stat st;
    shale_code rc;
    SHL_TRY(check_beside(path, err));
    SHL_TRY(copy_of(path, &copy, err));
    if (env_stat(copy, &st) == 0 && st.size == 0)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "%s is empty", path));
    SHL_TRY(quick_check(copy, path, err));
    *out = copy;
    copy = NULL; /* moved to the caller */
out:
    if (copy != NULL)
        (void)env_unlink(copy);
    env_free(copy);
    return rc;
}

static void remove_file(char *take_path)
{
    if (take_path != NULL)
        (void)env_unlink(take_path);
    env_free(take_path);
}

static shale_code begin(struct shl_sql_remote *r, const struct shl_sql_options *o, shale_error *err)
{
    shale_code rc = shl_sql_setup(err);
    return rc != SHALE_OK ? rc
                          : shl_sql_remote_init(r, o->store, o->once == NULL ? o->store : o->once,
                                                o->prefix, o->log, err);
}

/* ---- init */

shale_code shl_sql_init(const struct shl_sql_options *o, const char *file, shale_error *err)
{
    struct shl_sql_remote r = {0};
    struct shl_sql_head head = {0};
    char *copy = NULL;
    char *key = NULL;
    shale_code rc;
    SHL_TRY(begin(&r, o, err));
    if (file != NULL)
        SHL_TRY(take_file(file, &copy, err));
    rc = shl_sql_head_load(&r, &head, NULL, err);
    if (rc == SHALE_OK)
        SHL_TRY(shl_fail(err, SHALE_ALREADY_EXISTS, "database already exists at %s", r.prefix));
    if (rc != SHALE_NOT_FOUND)
        goto out;
    if (o->before_create != NULL)
        SHL_TRY(o->before_create(o->before_create_ctx, err));
    if (file == NULL) {
        rc = found_empty(&r, err);
    } else {
        key = shl_sql_snapshot_key(&r, "snap-init-", false);
        rc = key == NULL ? shl_nomem(err) : found(&r, copy, key, err);
    }
    if (rc == SHALE_ALREADY_EXISTS)
        (void)shl_fail(err, rc, "database already exists at %s", r.prefix);
out:
    env_free(key);
    remove_file(copy);
    shl_sql_head_free(&head);
    shl_sql_remote_deinit(&r);
    return rc;
}

/* ---- pull */

static void fill_pulled(struct shl_sql_pulled *out, const struct shl_sql_manifest *m, int64_t seq)
{
    *out = (struct shl_sql_pulled){.seq = seq,
                                   .schema_version = m->schema_version,
                                   .snapshot_bytes = m->snapshot.size,
                                   .log_entries = m->log.count};
    (void)snprintf(out->snapshot_key, sizeof out->snapshot_key, "%s", m->snapshot.key);
}

/* The copy's file as `path`: a whole one is in its place, or the one that was there. */
static shale_code put_file(const struct shl_sql_local *l, const char *path, shale_error *err)
{
    char temp[NAME_BYTES];
    uint64_t size;
    int to = -1;
    int n = snprintf(temp, sizeof temp, "%s.%016llx.tmp", path, (unsigned long long)env_rand64());
    if (n < 0 || (size_t)n >= sizeof temp)
        return file_fault(ENAMETOOLONG, "write", path, err);
    int e = env_open(&to, temp, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL);
    if (e != 0)
        return file_fault(e, "write", path, err);
    e = copy_bytes(l->fd, to, &size);
    if (e == 0)
        e = env_fsync(to);
    int closed = env_close(to);
    e = e == 0 ? closed : e;
    if (e == 0)
        e = env_rename(temp, path);
    if (e != 0)
        (void)env_unlink(temp);
    return e == 0 ? SHALE_OK : file_fault(e, "write", path, err);
}

#define NEWER_MAX 8

/* Downloads and replays; by a newer manifest if what this one names was collected meanwhile. */
static shale_code fetch_all(struct shl_sql_remote *r, const struct shl_sql_options *o,
                            struct shl_sql_head *head, struct shl_sql_local *local,
                            int64_t *out_seq, shale_error *err)
{
    for (unsigned tries = 1;; tries++) {
        shale_error other = {0};
        bool newer = false;
        shale_code rc = shl_sql_seq_asked(r, o, &head->manifest, out_seq, err);
        if (rc == SHALE_OK)
            rc = shl_sql_sync_local(r, local, &head->manifest, *out_seq, false, o->ignore_triggers,
                                    err);
        if (rc != SHALE_CORRUPTION || tries == NEWER_MAX ||
            shl_sql_head_load(r, head, &newer, &other) != SHALE_OK || !newer)
            return rc;
    }
}

shale_code shl_sql_pull(const struct shl_sql_options *o, const char *path,
                        struct shl_sql_pulled *out, shale_error *err)
{
    struct shl_sql_remote r = {0};
    struct shl_sql_head head = {0};
    struct shl_sql_local local = {.lock_fd = -1, .fd = -1};
    struct shl_sql_pulled result;
    int64_t seq;
    shale_code rc;
    SHL_TRY(begin(&r, o, err));
    SHL_TRY(check_beside(path, err));
    SHL_TRY(shl_sql_local_init(&local, NULL, err));
    rc = shl_sql_head_load(&r, &head, NULL, err);
    if (rc == SHALE_NOT_FOUND)
        (void)shl_fail(err, rc, "no database here: %s has no %s", r.store->name, r.manifest_key);
    SHL_TRY(rc);
    SHL_TRY(fetch_all(&r, o, &head, &local, &seq, err));
    SHL_TRY(put_file(&local, path, err));
    fill_pulled(&result, &head.manifest, seq);
    if (out != NULL)
        *out = result;
out:
    shl_sql_local_deinit(&local, "");
    shl_sql_head_free(&head);
    shl_sql_remote_deinit(&r);
    return rc;
}

/* ---- push */

static shale_code check_expected(const struct shl_sql_head *head, int64_t seq, const char *snapshot,
                                 shale_error *err)
{
    if (seq != SHL_SQL_NONE && head->manifest.seq != seq)
        return shl_fail(err, SHALE_PRECONDITION,
                        "the database is at seq %" PRId64 ", and was at %" PRId64
                        " when the file was pulled: what was committed since would be lost",
                        head->manifest.seq, seq);
    if (snapshot != NULL && strcmp(head->manifest.snapshot.key, snapshot) != 0)
        return shl_fail(err, SHALE_PRECONDITION,
                        "another snapshot was pushed or compacted since the file was pulled: %s",
                        head->manifest.snapshot.key);
    return SHALE_OK;
}

shale_code shl_sql_push(const struct shl_sql_options *o, const char *file, int64_t expected_seq,
                        const char *expected_snapshot, struct shl_sql_pulled *out, shale_error *err)
{
    struct shl_sql_remote r = {0};
    struct shl_sql_head head = {0};
    struct shl_sql_manifest next = {0};
    enum shl_sql_swap swap;
    int64_t size = 0;
    char *copy = NULL;
    char *key = NULL;
    shale_code rc;
    SHL_TRY(begin(&r, o, err));
    SHL_TRY(take_file(file, &copy, err));
    rc = shl_sql_head_load(&r, &head, NULL, err);
    if (rc == SHALE_NOT_FOUND)
        (void)shl_fail(err, rc, "no database here: %s has no %s", r.store->name, r.manifest_key);
    SHL_TRY(rc);
    SHL_TRY(check_expected(&head, expected_seq, expected_snapshot, err));
    key = shl_sql_snapshot_key(&r, "snap-push-", false);
    if (key == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(upload_path(&r, copy, key, &size, err));
    SHL_TRY(shl_sql_manifest_copy(&head.manifest, &next, err));
    SHL_TRY(shl_sql_manifest_rebase(&next, key, size, err));
    SHL_TRY(shl_sql_head_swap(&r, &head, &next, key, &swap, err));
    if (swap == SHL_SQL_LOST)
        SHL_TRY(shl_fail(err, SHALE_PRECONDITION,
                         "the database advanced during the push, to seq %" PRId64,
                         head.manifest.seq));
    if (out != NULL)
        fill_pulled(out, &next, next.seq);
out:
    shl_sql_manifest_free(&next);
    env_free(key);
    remove_file(copy);
    shl_sql_head_free(&head);
    shl_sql_remote_deinit(&r);
    return rc;
}
