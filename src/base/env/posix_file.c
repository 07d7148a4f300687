/* Files of the real build. Every function gives 0 or errno; interrupted calls are repeated. */
#include "base/env/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"

static int rc_errno(int rc)
{
    return rc == 0 ? 0 : errno;
}

/* ---------------------------------------------------------------- descriptors */

static int open_flags(unsigned flags)
{
    bool read = (flags & ENV_OPEN_READ) != 0;
    bool write = (flags & ENV_OPEN_WRITE) != 0;
    int os = O_CLOEXEC | (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY);
    if ((flags & ENV_OPEN_CREATE) != 0)
        os |= O_CREAT;
    if ((flags & ENV_OPEN_EXCL) != 0)
        os |= O_EXCL;
    if ((flags & ENV_OPEN_TRUNC) != 0)
        os |= O_TRUNC;
    if ((flags & ENV_OPEN_DIRECTORY) != 0)
        os |= O_DIRECTORY;
    if ((flags & ENV_OPEN_NOFOLLOW) != 0)
        os |= O_NOFOLLOW;
    return os;
}

int env_open(int *out_fd, const char *path, unsigned flags)
{
    int fd;
    do
        fd = open(path, open_flags(flags), (flags & ENV_OPEN_PRIVATE) != 0 ? 0600 : 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}

int env_close(int fd)
{
    /* After EINTR the descriptor is gone on Linux; closing again could hit another thread's file. */
    if (close(fd) != 0 && errno != EINTR)
        return errno;
    return 0;
}

int env_pread(int fd, void *dst, size_t len, uint64_t offset, size_t *out_len)
{
    if (offset > INT64_MAX)
        return EINVAL;
    char *at = dst;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, at + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *out_len = done;
    return 0;
}

/* Fills `out` with what is left of parts after `skip` bytes of the first; returns how many. */
static size_t fill_iov(struct iovec *out, size_t out_max, const struct env_iovec *parts,
                       size_t count, size_t skip)
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < out_max; i++) {
        if (parts[i].len > skip)
            out[n++] = (struct iovec){.iov_base = (void *)((uintptr_t)parts[i].data + skip),
                                      .iov_len = parts[i].len - skip};
        skip = 0;
    }
    return n;
}

int env_pwritev(int fd, const struct env_iovec *parts, size_t count, uint64_t offset)
{
    enum { BATCH_MAX = 64 };
    struct iovec iov[BATCH_MAX];
    size_t first = 0; /* the part that is being written */
    size_t skip = 0;  /* bytes of it that are written */
    for (;;) {
        while (first < count && skip >= parts[first].len) {
            skip -= parts[first].len;
            first++;
        }
        if (first == count)
            return 0;
        if (offset > INT64_MAX)
            return EFBIG;
        size_t n = fill_iov(iov, BATCH_MAX, parts + first, count - first, skip);
        ssize_t written = pwritev(fd, iov, (int)n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        if (written == 0)
            return EIO; /* no progress and no reason: do not turn for ever */
        offset += (uint64_t)written;
        skip += (size_t)written;
    }
}

int env_truncate(int fd, uint64_t size)
{
    if (size > INT64_MAX)
        return EFBIG;
    int rc;
    do
        rc = ftruncate(fd, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc_errno(rc);
}

int env_fsync(int fd)
{
    int rc;
    do
#ifdef F_FULLFSYNC
        rc = fcntl(fd, F_FULLFSYNC); /* fsync of macOS leaves the data in the drive's cache */
#else
        rc = fsync(fd);
#endif
    while (rc != 0 && errno == EINTR);
    return rc_errno(rc);
}

int env_flock(int fd)
{
    int rc;
    do
        rc = flock(fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    return rc_errno(rc);
}

int env_flock_try(int fd)
{
    int rc;
    do
        rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    return rc_errno(rc);
}

int env_funlock(int fd)
{
    return rc_errno(flock(fd, LOCK_UN));
}

/* ---------------------------------------------------------------- names */

static void fill_stat(struct env_stat *out, const struct stat *st)
{
#ifdef __APPLE__
    struct timespec mtime = st->st_mtimespec;
#else
    struct timespec mtime = st->st_mtim;
#endif
    *out = (struct env_stat){
        .inode = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (int64_t)mtime.tv_sec * (int64_t)ENV_NS_PER_SEC + mtime.tv_nsec,
        .mode = (uint32_t)st->st_mode & 07777u,
        .uid = (uint32_t)st->st_uid,
        .is_dir = S_ISDIR(st->st_mode),
        .is_file = S_ISREG(st->st_mode),
    };
}

int env_fstat(int fd, struct env_stat *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    fill_stat(out, &st);
    return 0;
}

int env_stat(const char *path, struct env_stat *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno;
    fill_stat(out, &st);
    return 0;
}

int env_rename(const char *from, const char *to)
{
    return rc_errno(rename(from, to));
}

int env_link(const char *from, const char *to)
{
    return rc_errno(link(from, to));
}

int env_unlink(const char *path)
{
    return rc_errno(unlink(path));
}

int env_mkdir(const char *path)
{
    return rc_errno(mkdir(path, 0777));
}

int env_mkdir_private(const char *path)
{
    return rc_errno(mkdir(path, 0700));
}

int env_rmdir(const char *path)
{
    return rc_errno(rmdir(path));
}

int env_realpath(const char *path, char **out)
{
    char *found = realpath(path, NULL);
    if (found == NULL)
        return errno;
    /* Of the C library's own allocator, which in some build may not be env_free's. */
    char *copy = env_strdup(found);
    free(found);
    if (copy == NULL)
        return ENOMEM;
    *out = copy;
    return 0;
}

int env_getcwd(char **out)
{
    for (size_t size = 256;; size *= 2) {
        char *buf = env_alloc(size);
        if (buf == NULL)
            return ENOMEM;
        if (getcwd(buf, size) != NULL) {
            *out = buf;
            return 0;
        }
        int err = errno;
        env_free(buf);
        if (err != ERANGE)
            return err;
    }
}

int env_disk_free(const char *path, uint64_t *out_bytes)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return errno;
    *out_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_frsize;
    return 0;
}

int env_fs_kind(const char *path, char out[24])
{
    static const struct {
        uint32_t magic;
        const char *name;
    } kinds[] = {{0xef53, "ext4"},      {0x58465342, "xfs"},     {0x9123683e, "btrfs"},
                 {0x01021994, "tmpfs"}, {0x794c7630, "overlay"}, {0x6969, "nfs"},
                 {0xff534d42, "cifs"},  {0xfe534d42, "smb"},     {0x65735546, "fuse"},
                 {0x2fc12fc1, "zfs"},   {0xf2f52010, "f2fs"},    {0x01021997, "9p"},
                 {0x00c36400, "ceph"},  {0x858458f6, "ramfs"},   {0x4d44, "vfat"},
                 {0x5346544e, "ntfs"},  {0xca451a4e, "bcachefs"}};
    struct statfs st;
    if (statfs(path, &st) != 0)
        return errno;
    uint32_t magic = (uint32_t)st.f_type;
    (void)snprintf(out, 24, "0x%x", magic);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].magic == magic)
            (void)snprintf(out, 24, "%s", kinds[i].name);
    return 0;
}

uint32_t env_uid(void)
{
    return (uint32_t)geteuid();
}

/* ---------------------------------------------------------------- folders */

struct dirent_list {
    struct env_dirent *entries; /* owned */
    size_t count;
    size_t cap;
};

/* The kind of an entry, links followed; a dangling or vanished one is neither file nor folder. */
static void entry_kind(int dir_fd, const struct dirent *e, struct env_dirent *out)
{
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK) {
        out->is_dir = e->d_type == DT_DIR;
        out->is_file = e->d_type == DT_REG;
        return;
    }
    struct stat st;
    if (fstatat(dir_fd, e->d_name, &st, 0) == 0) {
        out->is_dir = S_ISDIR(st.st_mode);
        out->is_file = S_ISREG(st.st_mode);
    }
}

static int list_add(struct dirent_list *list, int dir_fd, const struct dirent *e)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct env_dirent *grown = env_realloc(list->entries, cap * sizeof *grown);
        if (grown == NULL)
            return ENOMEM;
        list->entries = grown;
        list->cap = cap;
    }
    struct env_dirent entry = {.name = env_strdup(e->d_name)};
    if (entry.name == NULL)
        return ENOMEM;
    entry_kind(dir_fd, e, &entry);
    list->entries[list->count++] = entry;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct env_dirent *left = a;
    const struct env_dirent *right = b;
    return strcmp(left->name, right->name);
}

int env_listdir(const char *path, struct env_dirent **out, size_t *out_count)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno;
    struct dirent_list list = {0};
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (e == NULL) {
            rc = errno;
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = list_add(&list, dirfd(dir), e);
    }
    (void)closedir(dir);
    if (rc != 0) {
        env_listdir_free(list.entries, list.count);
        return rc;
    }
    if (list.count > 1)
        qsort(list.entries, list.count, sizeof *list.entries, compare_names);
    *out = list.entries;
    *out_count = list.count;
    return 0;
}
