#include "sql/local.h"

#include "base/array.h"
#include "base/codec/digest.h"
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NAME_BYTES  4096
#define SIDE_SUFFIX ".shale"

/* ---- connections */

shale_code shl_sql_exec(sqlite3 *db, const char *sql, const char *doing, shale_error *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SHALE_OK : shl_sql_fail(db, rc, SHALE_INTERNAL, doing, err);
}

/* As s3db has it: no double-quoted strings, foreign keys not enforced, triggers not recursive. The schema came from a bucket: it may not call what could do
 * harm, nor be written to. */
static int configure(sqlite3 *db)
{
    static const struct {
        int what, value;
    } settings[] = {{SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_DQS_DML, 0},
                    {SQLITE_DBCONFIG_ENABLE_FKEY, 0},    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 1}, {SQLITE_DBCONFIG_DEFENSIVE, 1}};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < SHL_COUNT_OF(settings) && rc == SQLITE_OK; i++)
        rc = sqlite3_db_config(db, settings[i].what, settings[i].value, NULL);
    return rc;
}

/* The exclusive lock makes a file in WAL mode readable without shared memory; the other mode then takes it out of that. */
static const char pragmas[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; "
    "PRAGMA cell_size_check=ON;";

shale_code shl_sql_connect(const char *path, bool writable, struct shl_sql_pages *pages,
                           sqlite3 **out, shale_error *err)
{
    sqlite3 *db = NULL;
    int flags = (writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
    shale_code code = SHALE_OK;
    int rc = sqlite3_open_v2(path, &db, flags, SHL_SQL_VFS);
    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(db, 1);
    if (rc == SQLITE_OK)
        rc = configure(db);
    if (rc != SQLITE_OK)
        code = shl_sql_fail(db, rc, SHALE_INTERNAL, "open the local copy", err);
    if (code == SHALE_OK && pages != NULL)
        code = shl_sql_vfs_attach(db, pages, err);
    if (code == SHALE_OK && writable)
        code = shl_sql_exec(db, pragmas, "open the local copy", err);
    if (code == SHALE_OK)
        *out = db;
    else
        (void)sqlite3_close_v2(db);
    return code;
}

/* ---- life */

static char *with_suffix(const char *path, const char *suffix)
{
    char name[NAME_BYTES];
    int n = snprintf(name, sizeof name, "%s%s", path, suffix);
    return n > 0 && (size_t)n < sizeof name ? env_strdup(name) : NULL;
}

/* What lies at the path without a lock file beside it was not put there by us, and is not replaced. */
static shale_code check_ours(const struct shl_sql_local *l, const char *lock_name, shale_error *err)
{
    struct env_stat st;
    struct env_stat lock;
    if (env_stat(l->path, &st) != 0 || (st.is_file && st.size == 0) ||
        (st.is_file && env_stat(lock_name, &lock) == 0))
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID,
                    "local_path %s: %s is there already, and would be replaced: move it away, or "
                    "name another path",
                    l->path, st.is_file ? "a file that is no local copy" : "something");
}

static shale_code take_lock(struct shl_sql_local *l, shale_error *err)
{
    char *name = with_suffix(l->path, ".lock");
    if (name == NULL)
        return shl_nomem(err);
    shale_code foreign = check_ours(l, name, err);
    if (foreign != SHALE_OK) {
        env_free(name);
        return foreign;
    }
    int e = env_open(&l->lock_fd, name,
                     ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_PRIVATE);
    shale_code rc = SHALE_OK;
    if (e != 0)
        rc = shl_fail(err, SHALE_INVALID, "local_path: cannot make %s (error %d)", name, e);
    else if ((e = env_flock_try(l->lock_fd)) != 0)
        rc = shl_fail(err, SHALE_CONFLICT,
                      "local_path %s is in use by another handle: each needs a path of its own",
                      l->path);
    env_free(name);
    return rc;
}

/* True for what shl_sql_local_fresh_path makes beside a kept copy of that name. */
static bool is_leftover(const char *entry, const char *name)
{
    size_t len = strlen(name);
    if (strncmp(entry, name, len) != 0 || entry[len] != '.')
        return false;
    const char *id = entry + len + 1;
    return strspn(id, "0123456789abcdef") == 16 && strcmp(id + 16, ".tmp") == 0;
}

/* With the lock, nobody else makes such files: those that are there are of handles that were killed. Best effort. */
static void sweep_leftovers(const struct shl_sql_local *l)
{
    char path[NAME_BYTES];
    const char *slash = strrchr(l->path, '/');
    const char *name = slash == NULL ? l->path : slash + 1;
    struct env_dirent *entries = NULL;
    size_t count = 0;
    int dir_len = (int)(name - l->path);
    (void)snprintf(path, sizeof path, "%.*s", dir_len == 0 ? 1 : dir_len,
                   dir_len == 0 ? "." : l->path);
    if (env_listdir(path, &entries, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        int n = is_leftover(entries[i].name, name)
                    ? snprintf(path, sizeof path, "%.*s%s", dir_len, l->path, entries[i].name)
                    : 0;
        if (n > 0 && (size_t)n < sizeof path)
            (void)env_unlink(path);
    }
    env_listdir_free(entries, count);
}

/* SQLite would play back what lies beside the copy as its journal; ours has none on the disk. Then somebody else has worked on it: it is in doubt. */
static void sweep_journals(const struct shl_sql_local *l)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    bool any = false;
    for (size_t i = 0; i <= SHL_COUNT_OF(suffixes); i++) {
        if (i == SHL_COUNT_OF(suffixes) && !any)
            break;
        char *name = with_suffix(l->path, i < SHL_COUNT_OF(suffixes) ? suffixes[i] : SIDE_SUFFIX);
        any = (name != NULL && env_unlink(name) == 0) || any;
        env_free(name);
    }
}

shale_code shl_sql_local_init(struct shl_sql_local *l, const char *path, shale_error *err)
{
    *l = (struct shl_sql_local){.lock_fd = -1, .fd = -1, .is_kept = path != NULL};
    if (path == NULL)
        return SHALE_OK;
    l->path = env_strdup(path);
    if (l->path == NULL)
        return shl_nomem(err);
    shale_code rc = take_lock(l, err);
    if (rc == SHALE_OK) {
        sweep_leftovers(l);
        sweep_journals(l);
    }
    return rc;
}

static void disconnect(struct shl_sql_local *l)
{
    if (l->db != NULL)
        (void)sqlite3_close_v2(l->db); /* a statement that a function kept lives on as a zombie */
    l->db = NULL;
    shl_sql_schema_free(&l->schema);
}

void shl_sql_local_drop(struct shl_sql_local *l)
{
    disconnect(l);
    if (l->fd >= 0)
        (void)env_close(l->fd); /* what is in it is not needed any more */
    l->fd = -1;
    shl_sql_lazy_free(l->lazy);
    l->lazy = NULL;
    env_free(l->snapshot);
    l->snapshot = NULL;
    env_free(l->last);
    l->last = NULL;
    l->stale_modules = false;
}

void shl_sql_local_stand(struct shl_sql_local *l, int64_t seq, const char *last)
{
    char *copy = last == NULL ? NULL : env_strdup(last);
    l->seq = seq;
    env_free(l->last);
    l->last = copy;
    if (last != NULL && copy == NULL)
        shl_sql_local_drop(l);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool shl_sql_local_fits(const struct shl_sql_local *l, const struct shl_sql_manifest *m,
                        int64_t seq)
{
    return l->db != NULL && l->seq >= m->snapshot.seq && l->seq <= seq &&
           strcmp(l->snapshot, m->snapshot.key) == 0 &&
           same_text(l->last, shl_sql_manifest_key_at(m, l->seq));
}

char *shl_sql_local_fresh_path(const struct shl_sql_local *l)
{
    char name[NAME_BYTES];
    const char *dir = env_getenv("TMPDIR");
    unsigned long long id = env_rand64();
    int n = l->is_kept ? snprintf(name, sizeof name, "%s.%016llx.tmp", l->path, id)
                       : snprintf(name, sizeof name, "%s/shale-sql-%016llx.sqlite",
                                  dir != NULL && dir[0] != '\0' ? dir : "/tmp", id);
    return n > 0 && (size_t)n < sizeof name ? env_strdup(name) : NULL;
}

static shale_code connect_to(struct shl_sql_local *l, const char *path, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_sql_connect(path, true, l->lazy == NULL ? NULL : shl_sql_lazy_pages(l->lazy),
                            &l->db, err));
    SHL_TRY(shl_sql_local_learn(l, err));
out:
    return rc;
}

shale_code shl_sql_local_open(struct shl_sql_local *l, const char *path, const char *key,
                              int64_t seq, struct shl_sql_lazy *take_lazy, shale_error *err)
{
    shale_code rc = SHALE_OK;
    int e = 0;
    shl_sql_local_drop(l);
    l->lazy = take_lazy;
    l->snapshot = env_strdup(key);
    l->seq = seq;
    if (l->snapshot == NULL)
        SHL_TRY(shl_nomem(err));
    if (l->is_kept)
        e = env_rename(path, l->path);
    if (e == 0)
        e = env_open(&l->fd, l->is_kept ? l->path : path, ENV_OPEN_READ | ENV_OPEN_WRITE);
    if (e != 0)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "cannot put the local copy at %s (error %d)",
                         l->is_kept ? l->path : path, e));
    SHL_TRY(connect_to(l, l->is_kept ? l->path : path, err));
out:
    if (!l->is_kept || e != 0)
        (void)env_unlink(path); /* a temporary copy lives on without a name */
    if (rc != SHALE_OK)
        shl_sql_local_drop(l);
    return rc;
}

shale_code shl_sql_local_reconnect(struct shl_sql_local *l, shale_error *err)
{
    if (!l->is_kept || l->lazy != NULL) {
        shl_sql_local_drop(l);
        return SHALE_OK;
    }
    disconnect(l);
    shale_code rc = connect_to(l, l->path, err);
    if (rc != SHALE_OK)
        shl_sql_local_drop(l);
    return rc;
}

shale_code shl_sql_local_refresh_modules(struct shl_sql_local *l, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (l->stale_modules && l->schema.has_virtual)
        rc =
            shl_sql_exec(l->db, "PRAGMA writable_schema=RESET", "connect virtual tables anew", err);
    l->stale_modules = rc != SHALE_OK;
    return rc;
}

shale_code shl_sql_local_learn(struct shl_sql_local *l, shale_error *err)
{
    shl_sql_schema_free(&l->schema);
    return shl_sql_schema_load(l->db, &l->schema, err);
}

/* ---- the side file */

#define SIDE_BYTES_MAX 65536

static shale_code hash_file(int fd, uint64_t size, char out[SHL_SHA256_HEX], shale_error *err)
{
    /* A digest of digests of pieces: no more than one piece is in memory. */
    struct shl_buf digests = {0};
    struct shl_slice all;
    size_t piece = (size_t)4 << 20;
    uint8_t *bytes = env_alloc(piece);
    shale_code rc = SHALE_OK;
    if (bytes == NULL)
        SHL_TRY(shl_nomem(err));
    for (uint64_t at = 0; at < size; at += piece) {
        uint8_t digest[SHL_SHA256_BYTES];
        size_t got = 0;
        int e = env_pread(fd, bytes, (size_t)shl_min_u64(piece, size - at), at, &got);
        struct shl_slice part = shl_slice_of(bytes, got);
        if (e != 0)
            SHL_TRY(shl_fail(err, SHALE_UNAVAILABLE, "cannot read the local copy (error %d)", e));
        SHL_TRY(shl_sha256(&part, 1, digest, err));
        SHL_TRY(shl_buf_append(&digests, digest, sizeof digest, err));
    }
    all = shl_buf_view(&digests);
    SHL_TRY(shl_sha256_hex(&all, 1, out, err));
out:
    env_free(bytes);
    shl_buf_free(&digests);
    return rc;
}

static shale_code write_side(struct shl_sql_local *l, const char *name, const char *prefix,
                             shale_error *err)
{
    struct shl_buf text = {0};
    struct shl_json_writer w;
    struct env_stat st;
    char hash[SHL_SHA256_HEX];
    struct env_iovec v;
    int fd = -1;
    shale_code rc = SHALE_OK;
    int e = env_fstat(l->fd, &st);
    if (e == 0)
        SHL_TRY(hash_file(l->fd, st.size, hash, err));
    shl_json_begin(&w, &text, err);
    shl_json_object(&w);
    shl_json_key(&w, "prefix");
    shl_json_str(&w, prefix);
    shl_json_key(&w, "snapshot");
    shl_json_str(&w, l->snapshot);
    shl_json_key(&w, "seq");
    shl_json_i64(&w, l->seq);
    shl_json_key(&w, "changeset");
    shl_json_str(&w, l->last == NULL ? "" : l->last);
    shl_json_key(&w, "size");
    shl_json_u64(&w, e == 0 ? st.size : 0);
    shl_json_key(&w, "sha256");
    shl_json_str(&w, e == 0 ? hash : "");
    shl_json_object_end(&w);
    SHL_TRY(shl_json_finish(&w));
    v = (struct env_iovec){.data = text.data, .len = text.len};
    if (e == 0)
        e = env_open(&fd, name,
                     ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNC | ENV_OPEN_PRIVATE);
    if (e == 0)
        e = env_pwritev(fd, &v, 1, 0);
    if (e != 0)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "cannot write %s (error %d)", name, e);
out:
    if (fd >= 0)
        (void)env_close(fd);
    shl_buf_free(&text);
    return rc;
}

void shl_sql_local_deinit(struct shl_sql_local *l, const char *prefix)
{
    shale_error ignored;
    char *name = l->is_kept && l->path != NULL ? with_suffix(l->path, SIDE_SUFFIX) : NULL;
    bool tells = name != NULL && l->db != NULL && l->lazy == NULL && l->fd >= 0;
    disconnect(l);
    if (tells && write_side(l, name, prefix, &ignored) != SHALE_OK)
        (void)env_unlink(name); /* the next open downloads, that is all */
    env_free(name);
    shl_sql_local_drop(l);
    if (l->lock_fd >= 0)
        (void)env_close(l->lock_fd);
    env_free(l->path);
    *l = (struct shl_sql_local){.lock_fd = -1, .fd = -1};
}

/* Reads and removes it. An empty buffer: none. */
static shale_code take_side(const char *name, struct shl_buf *out, shale_error *err)
{
    int fd;
    size_t got = 0;
    if (env_open(&fd, name, ENV_OPEN_READ) != 0)
        return SHALE_OK;
    shale_code rc = shl_buf_reserve(out, SIDE_BYTES_MAX, err);
    if (rc == SHALE_OK && env_pread(fd, out->data, SIDE_BYTES_MAX, 0, &got) == 0)
        out->len = got;
    (void)env_close(fd);
    (void)env_unlink(name);
    return rc;
}

/* True if what the side file says fits database and file. */
static bool fits(const struct shl_sql_local *l, const json_t *side, const char *prefix,
                 const struct shl_sql_manifest *m, int64_t *out_seq)
{
    struct shl_slice text;
    uint64_t size;
    struct env_stat st;
    char hash[SHL_SHA256_HEX];
    shale_error ignored;
    const char *last;
    if (!shl_json_get_i64(side, "seq", out_seq) || *out_seq < m->snapshot.seq || *out_seq > m->seq)
        return false;
    last = shl_sql_manifest_key_at(m, *out_seq);
    return shl_json_get_str(side, "prefix", &text) && shl_slice_eq(text, shl_slice_str(prefix)) &&
           shl_json_get_str(side, "snapshot", &text) &&
           shl_slice_eq(text, shl_slice_str(m->snapshot.key)) &&
           shl_json_get_str(side, "changeset", &text) &&
           shl_slice_eq(text, shl_slice_str(last == NULL ? "" : last)) &&
           shl_json_get_u64(side, "size", &size) && env_fstat(l->fd, &st) == 0 && st.size == size &&
           shl_json_get_str(side, "sha256", &text) &&
           hash_file(l->fd, size, hash, &ignored) == SHALE_OK &&
           shl_slice_eq(text, shl_slice_str(hash));
}

shale_code shl_sql_local_resume(struct shl_sql_local *l, const char *prefix,
                                const struct shl_sql_manifest *m, bool *out, shale_error *err)
{
    struct shl_buf text = {0};
    json_t *side = NULL;
    char *name = NULL;
    shale_code rc = SHALE_OK;
    *out = false;
    if (!l->is_kept)
        return SHALE_OK;
    name = with_suffix(l->path, SIDE_SUFFIX);
    if (name == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(take_side(name, &text, err));
    if (text.len == 0 || shl_json_parse(shl_buf_view(&text), &side, err) != SHALE_OK ||
        env_open(&l->fd, l->path, ENV_OPEN_READ | ENV_OPEN_WRITE) != 0)
        goto out;
    if (fits(l, side, prefix, m, &l->seq)) {
        const char *last = shl_sql_manifest_key_at(m, l->seq);
        l->snapshot = env_strdup(m->snapshot.key);
        l->last = last == NULL ? NULL : env_strdup(last);
        *out = l->snapshot != NULL && (last == NULL || l->last != NULL) &&
               connect_to(l, l->path, err) == SHALE_OK;
    }
out:
    json_decref(side);
    shl_buf_free(&text);
    env_free(name);
    if (!*out)
        shl_sql_local_drop(l);
    return rc;
}
