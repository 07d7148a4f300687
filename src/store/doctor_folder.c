/* What the doctor says of a folder as such. Reads only. */
#include "store/doctor.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "store/file_impl.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define SPACE_WARN_BYTES ((uint64_t)1 << 30)
#define SPACE_FAIL_BYTES ((uint64_t)64 << 20)
#define ENTRIES_MAX      100000 /* looked at for unfinished writes */
#define DEPTH_MAX        16
#define OLD_MS           (3600 * INT64_C(1000))
#define LOCKS_MAX        ((size_t)1 << 20)

struct look {
    const char *path;
    bool (*visit)(void *ctx, const struct shl_finding *f);
    void *ctx;
    bool stopped;
    struct env_stat st;
    /* unfinished writes */
    uint64_t entries, staged, staged_bytes;
    int64_t oldest_ms;
};

static void say(struct look *l, enum shl_health health, const char *what, const char *fix,
                const char *format, ...) SHL_PRINTF(5, 6);
static void say(struct look *l, enum shl_health health, const char *what, const char *fix,
                const char *format, ...)
{
    struct shl_finding f = {.health = health, .what = what};
    va_list args;
    if (l->stopped)
        return;
    va_start(args, format);
    (void)vsnprintf(f.measured, sizeof f.measured, format, args);
    va_end(args);
    (void)snprintf(f.fix, sizeof f.fix, "%s", fix);
    l->stopped = !l->visit(l->ctx, &f);
}

static void look_at_owner(struct look *l)
{
    uint32_t us = env_uid();
    bool open_to_all = (l->st.mode & 02) != 0 && (l->st.mode & 01000) == 0;
    say(l, open_to_all ? SHL_HEALTH_WARN : SHL_HEALTH_OK, "owner",
        open_to_all ? "anybody may write here: chmod o-w" : "",
        "user %" PRIu32 "%s, mode %04" PRIo32, l->st.uid, l->st.uid == us ? " (you)" : "",
        l->st.mode & 07777);
}

static void look_at_system(struct look *l)
{
    static const char *const far[] = {"nfs", "cifs", "smb", "fuse", "9p", "ceph"};
    static const char *const gone[] = {"tmpfs", "ramfs"};
    char kind[24];
    bool is_far = false, is_gone = false;
    if (env_fs_kind(l->path, kind) != 0)
        return;
    for (size_t i = 0; i < SHL_COUNT_OF(far); i++)
        is_far = is_far || strcmp(kind, far[i]) == 0;
    for (size_t i = 0; i < SHL_COUNT_OF(gone); i++)
        is_gone = is_gone || strcmp(kind, gone[i]) == 0;
    say(l, is_far || is_gone ? SHL_HEALTH_WARN : SHL_HEALTH_OK, "file system",
        is_far    ? "locks and fsync depend on the server here"
        : is_gone ? "what it holds is gone after a restart"
                  : "",
        "%s", kind);
}

static void look_at_space(struct look *l)
{
    uint64_t bytes = 0;
    char size[SHL_UNITS_TEXT];
    if (env_disk_free(l->path, &bytes) != 0)
        return;
    enum shl_health health = bytes < SPACE_FAIL_BYTES   ? SHL_HEALTH_FAIL
                             : bytes < SPACE_WARN_BYTES ? SHL_HEALTH_WARN
                                                        : SHL_HEALTH_OK;
    say(l, health, "free space", health == SHL_HEALTH_OK ? "" : "make room", "%s",
        shl_format_size(bytes, size));
}

/* ---- unfinished writes: name#N */

static void count_staged(struct look *l, const char *path)
{
    struct env_stat st;
    if (env_stat(path, &st) != 0 || !st.is_file)
        return;
    int64_t ms = st.mtime_ns / (int64_t)ENV_NS_PER_MS;
    if (l->staged == 0 || ms < l->oldest_ms)
        l->oldest_ms = ms;
    l->staged++;
    l->staged_bytes += st.size;
}

static void walk(struct look *l, const char *path, unsigned depth)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    if (depth > DEPTH_MAX || env_listdir(path, &entries, &count) != 0)
        return;
    for (size_t i = 0; i < count && l->entries < ENTRIES_MAX; i++) {
        char *full = shl_path_join(path, entries[i].name);
        l->entries++;
        if (full != NULL && entries[i].is_dir)
            walk(l, full, depth + 1);
        else if (full != NULL && shl_file_is_reserved(entries[i].name))
            count_staged(l, full);
        env_free(full);
    }
    env_listdir_free(entries, count);
}

static void look_for_leftovers(struct look *l)
{
    char size[SHL_UNITS_TEXT], age[SHL_UNITS_TEXT];
    walk(l, l->path, 0);
    int64_t old_ms = env_now_wall_ms() - l->oldest_ms;
    if (l->staged == 0)
        say(l, SHL_HEALTH_OK, "leftovers", "",
            "no unfinished write (name#N) in %" PRIu64 " entries", l->entries);
    else
        say(l, old_ms > OLD_MS ? SHL_HEALTH_WARN : SHL_HEALTH_OK, "leftovers",
            old_ms > OLD_MS ? "a writer died: remove the files name#N when nothing writes here"
                            : "",
            "%" PRIu64 " unfinished writes (name#N), %s, the oldest %s ago", l->staged,
            shl_format_size(l->staged_bytes, size),
            shl_format_duration_human(
                (uint64_t)shl_max_u64(0, (uint64_t)(old_ms < 0 ? 0 : old_ms)) * ENV_NS_PER_MS,
                age));
}

/* ---- who holds the folder's lock */

/* A line of the system's list: "1: FLOCK ADVISORY WRITE 4711 08:01:12345 0 EOF". True if it is about the inode; then *pid. */
static bool parse_lock(struct shl_slice line, uint64_t inode, uint64_t *pid)
{
    struct shl_slice field[8];
    size_t count = 0;
    for (size_t at = 0; at < line.len && count < SHL_COUNT_OF(field);) {
        while (at < line.len && line.data[at] == ' ')
            at++;
        size_t from = at;
        while (at < line.len && line.data[at] != ' ')
            at++;
        if (at > from)
            field[count++] = shl_slice_of(line.data + from, at - from);
    }
    if (count < 6 || !shl_slice_eq(field[1], shl_slice_str("FLOCK")) ||
        !shl_parse_u64(field[4], pid))
        return false;
    size_t colon = field[5].len;
    while (colon > 0 && field[5].data[colon - 1] != ':')
        colon--;
    uint64_t n;
    return shl_parse_u64(shl_slice_of(field[5].data + colon, field[5].len - colon), &n) &&
           n == inode;
}

static void look_for_locks(struct look *l)
{
    struct shl_buf text = {0};
    shale_error err;
    size_t len = 0;
    uint64_t pid = 0;
    unsigned holders = 0;
    int fd = -1;
    if (env_open(&fd, "/proc/locks", ENV_OPEN_READ) != 0)
        return;
    bool known = shl_buf_reserve(&text, LOCKS_MAX, &err) == SHALE_OK &&
                 env_pread(fd, text.data, LOCKS_MAX, 0, &len) == 0;
    (void)env_close(fd);
    for (size_t at = 0; known && at < len;) {
        const uint8_t *end = memchr(text.data + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - text.data) - at : len - at;
        uint64_t found;
        if (parse_lock(shl_slice_of(text.data + at, n), l->st.inode, &found)) {
            pid = found;
            holders++;
        }
        at += n + 1;
    }
    if (known && holders == 0)
        say(l, SHL_HEALTH_OK, "locks", "", "nobody holds the folder's lock");
    else if (known)
        say(l, SHL_HEALTH_WARN, "locks", "if that process hangs, end it",
            "process %" PRIu64 " holds the folder's lock%s", pid,
            holders > 1 ? ", others wait" : "");
    shl_buf_free(&text);
}

void shl_doctor_folder(const char *path, bool (*visit)(void *ctx, const struct shl_finding *f),
                       void *ctx)
{
    struct look l = {.path = path, .visit = visit, .ctx = ctx};
    if (env_stat(path, &l.st) != 0 || !l.st.is_dir) {
        say(&l, SHL_HEALTH_WARN, "folder", "the first write makes it", "%s is not there", path);
        return;
    }
    look_at_owner(&l);
    look_at_system(&l);
    look_at_space(&l);
    look_for_leftovers(&l);
    look_for_locks(&l);
}
