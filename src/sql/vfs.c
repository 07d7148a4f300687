#include "sql/vfs.h"

#include "base/env/env.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096
#define FCNTL_PAGES                                                                                \
    (SQLITE_FCNTL_RESERVE_BYTES +                                                                  \
     100000) /* ours: SQLite leaves numbers above 100 to applications */
#define JULIAN_OFFSET_MS INT64_C(210866760000000)

struct vfs_file {
    sqlite3_file base;
    int fd;
    struct shl_sql_pages *pages;
};

static struct vfs_file *file_of(sqlite3_file *f)
{
    return (struct vfs_file *)f;
}

/* ---- files */

static int io_error(int e, int otherwise)
{
    if (e == ENOSPC || e == EDQUOT)
        return SQLITE_FULL;
    return e == ENOMEM ? SQLITE_IOERR_NOMEM : otherwise;
}

static int vfs_close(sqlite3_file *base)
{
    struct vfs_file *f = file_of(base);
    int e = f->fd < 0 ? 0 : env_close(f->fd);
    f->fd = -1;
    return e == 0 ? SQLITE_OK : SQLITE_IOERR_CLOSE;
}

static int vfs_read(sqlite3_file *base, void *dst, int len, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(base);
    size_t got = 0;
    if (f->pages != NULL && f->pages->fill(f->pages, (uint64_t)offset, (uint64_t)len) != SHALE_OK)
        return SQLITE_IOERR_READ;
    int e = env_pread(f->fd, dst, (size_t)len, (uint64_t)offset, &got);
    if (e != 0)
        return io_error(e, SQLITE_IOERR_READ);
    if (got == (size_t)len)
        return SQLITE_OK;
    memset((char *)dst + got, 0, (size_t)len - got); /* SQLite wants the rest to be zeros */
    return SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *base, const void *src, int len, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(base);
    struct env_iovec v = {.data = src, .len = (size_t)len};
    if (f->pages != NULL &&
        f->pages->overwrite(f->pages, (uint64_t)offset, (uint64_t)len) != SHALE_OK)
        return SQLITE_IOERR_WRITE;
    int e = env_pwritev(f->fd, &v, 1, (uint64_t)offset);
    return e == 0 ? SQLITE_OK : io_error(e, SQLITE_IOERR_WRITE);
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int e = env_truncate(file_of(base)->fd, (uint64_t)size);
    return e == 0 ? SQLITE_OK : io_error(e, SQLITE_IOERR_TRUNCATE);
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    (void)base;
    (void)flags;
    return SQLITE_OK;
}

static int vfs_size(sqlite3_file *base, sqlite3_int64 *out)
{
    struct env_stat st;
    int e = env_fstat(file_of(base)->fd, &st);
    if (e != 0)
        return io_error(e, SQLITE_IOERR_FSTAT);
    *out = (sqlite3_int64)st.size;
    return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int vfs_check_lock(sqlite3_file *base, int *out)
{
    (void)base;
    *out = 0;
    return SQLITE_OK;
}

static int vfs_control(sqlite3_file *base, int op, void *arg)
{
    if (op != FCNTL_PAGES)
        return SQLITE_NOTFOUND;
    file_of(base)->pages = arg;
    return SQLITE_OK;
}

static int vfs_sector(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

static int vfs_device(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_lock,
    .xCheckReservedLock = vfs_check_lock,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_device,
};

/* ---- the VFS */

/* A name for one of SQLite's own temporary files. */
static char *temp_name(void)
{
    char name[PATH_BYTES];
    const char *dir = env_getenv("TMPDIR");
    int n =
        snprintf(name, sizeof name, "%s/shale-sql-%016llx.tmp",
                 dir != NULL && dir[0] != '\0' ? dir : "/tmp", (unsigned long long)env_rand64());
    return n > 0 && (size_t)n < sizeof name ? env_strdup(name) : NULL;
}

static unsigned open_flags(int flags)
{
    unsigned ours = ENV_OPEN_READ | ENV_OPEN_PRIVATE;
    ours |= (flags & SQLITE_OPEN_READWRITE) != 0 ? ENV_OPEN_WRITE : 0;
    ours |= (flags & SQLITE_OPEN_CREATE) != 0 ? ENV_OPEN_CREATE : 0;
    ours |= (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? ENV_OPEN_EXCL : 0;
    return ours;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *out_flags)
{
    (void)vfs;
    struct vfs_file *f = file_of(base);
    char *path = name == NULL ? temp_name() : env_strdup(name);
    *f = (struct vfs_file){.fd = -1};
    if (path == NULL)
        return SQLITE_NOMEM;
    int e = env_open(&f->fd, path, open_flags(flags));
    if (e != 0) {
        env_free(path);
        f->fd = -1;
        return io_error(e, SQLITE_CANTOPEN);
    }
    if ((flags & SQLITE_OPEN_DELETEONCLOSE) != 0)
        (void)env_unlink(path); /* it lives on without a name, and ends with its process */
    env_free(path);
    if (out_flags != NULL)
        *out_flags = flags;
    f->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs;
    (void)sync_dir;
    int e = env_unlink(name);
    return e == 0 ? SQLITE_OK : e == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    struct env_stat st;
    (void)vfs;
    (void)flags;
    *out = env_stat(name, &st) == 0;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
    (void)vfs;
    int n = snprintf(out, (size_t)cap, "%s", name);
    return n >= 0 && n < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs;
    env_rand_bytes(out, (size_t)len);
    return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    env_sleep_ns((uint64_t)microseconds * 1000);
    return microseconds;
}

static int vfs_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    *out = env_now_wall_ms() + JULIAN_OFFSET_MS;
    return SQLITE_OK;
}

static int vfs_time(sqlite3_vfs *vfs, double *out)
{
    sqlite3_int64 ms;
    int rc = vfs_time_ms(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return rc;
}

static int vfs_last_error(sqlite3_vfs *vfs, int cap, char *out)
{
    (void)vfs;
    (void)cap;
    (void)out;
    return 0;
}

/* SQLite links it into its list; registering it again changes nothing. */
static sqlite3_vfs the_vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct vfs_file),
    .mxPathname = PATH_BYTES,
    .zName = SHL_SQL_VFS,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_time_ms,
};

shale_code shl_sql_setup(shale_error *err)
{
    if (sqlite3_compileoption_used("ENABLE_SESSION") == 0 ||
        sqlite3_compileoption_used("ENABLE_PREUPDATE_HOOK") == 0)
        return shl_fail(err, SHALE_NOT_SUPPORTED,
                        "SQLite %s was built without its session extension", sqlite3_libversion());
    int rc = sqlite3_initialize();
    if (rc == SQLITE_OK && sqlite3_vfs_find(SHL_SQL_VFS) == NULL)
        rc = sqlite3_vfs_register(&the_vfs, 0);
    return rc == SQLITE_OK ? SHALE_OK : shl_sql_fail(NULL, rc, SHALE_INTERNAL, "start SQLite", err);
}

shale_code shl_sql_vfs_attach(sqlite3 *db, struct shl_sql_pages *pages, shale_error *err)
{
    int rc = sqlite3_file_control(db, "main", FCNTL_PAGES, pages);
    return rc == SQLITE_OK ? SHALE_OK
                           : shl_sql_fail(db, rc, SHALE_INTERNAL, "open the local copy", err);
}

shale_code shl_sql_fail(sqlite3 *db, int sqlite_rc, shale_code code, const char *doing,
                        shale_error *err)
{
    int primary = sqlite_rc & 0xff;
    const char *text = db != NULL && sqlite3_errcode(db) == sqlite_rc ? sqlite3_errmsg(db)
                                                                      : sqlite3_errstr(sqlite_rc);
    if (primary == SQLITE_NOMEM || sqlite_rc == SQLITE_IOERR_NOMEM)
        return shl_nomem(err);
    if (primary == SQLITE_FULL)
        return shl_fail(err, SHALE_NO_SPACE, "%s: disk full: %s", doing, text);
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        code = SHALE_CORRUPTION;
    return shl_fail(err, code, "%s: %s", doing, text);
}
