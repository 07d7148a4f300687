/* Names below a folder, links or not: openat2 where the kernel has it, else step by step without following any link. */
#include "base/env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__linux__) && defined(SYS_openat2)
#include <linux/openat2.h>
#endif

#define NAME_BYTES 256

static int flags_of(unsigned flags)
{
    bool read = (flags & ENV_OPEN_READ) != 0;
    bool write = (flags & ENV_OPEN_WRITE) != 0;
    int os = O_CLOEXEC | (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY);
    os |= (flags & ENV_OPEN_CREATE) != 0 ? O_CREAT : 0;
    os |= (flags & ENV_OPEN_EXCL) != 0 ? O_EXCL : 0;
    os |= (flags & ENV_OPEN_TRUNC) != 0 ? O_TRUNC : 0;
    os |= (flags & ENV_OPEN_DIRECTORY) != 0 ? O_DIRECTORY : 0;
    os |= (flags & ENV_OPEN_NOFOLLOW) != 0 ? O_NOFOLLOW : 0;
    return os;
}

/* -1 with errno ENOSYS where there is no such call, or a sandbox forbids it. */
static int open_in_one(int dir_fd, const char *path, int os_flags)
{
#if defined(__linux__) && defined(SYS_openat2)
    struct open_how how = {.flags = (unsigned)os_flags,
                           .mode = (os_flags & O_CREAT) != 0 ? 0600 : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd;
    int tries = 0;
    do
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 100)));
    if (fd < 0 && errno == EPERM)
        errno = ENOSYS;
    return (int)fd;
#else
    (void)dir_fd;
    (void)path;
    (void)os_flags;
    errno = ENOSYS;
    return -1;
#endif
}

/* Opens the next part of the path; *dir_fd is replaced. */
static int step_into(int *dir_fd, const char *part, size_t len)
{
    char name[NAME_BYTES];
    if (len >= sizeof name)
        return ENAMETOOLONG;
    memcpy(name, part, len);
    name[len] = '\0';
    if (strcmp(name, "..") == 0)
        return EXDEV;
    int fd = openat(*dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    (void)close(*dir_fd);
    *dir_fd = fd;
    return 0;
}

static int open_by_steps(int root_fd, const char *path, int os_flags, int *out_fd)
{
    int dir_fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    int e = dir_fd < 0 ? errno : 0;
    const char *last = path;
    for (const char *slash = strchr(path, '/'); e == 0 && slash != NULL;
         slash = strchr(last, '/')) {
        e = step_into(&dir_fd, last, (size_t)(slash - last));
        last = slash + 1;
    }
    if (e == 0 && strcmp(last, "..") == 0)
        e = EXDEV;
    if (e == 0) {
        *out_fd = openat(dir_fd, last, os_flags | O_NOFOLLOW, 0600);
        e = *out_fd < 0 ? errno : 0;
    }
    if (dir_fd >= 0)
        (void)close(dir_fd);
    return e;
}

static int open_from(int root_fd, const char *path, int os_flags, int *out_fd)
{
    int fd = open_in_one(root_fd, path, os_flags);
    if (fd < 0 && errno == ENOSYS)
        return open_by_steps(root_fd, path, os_flags, out_fd);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}

static int open_root(const char *root, int *out_fd)
{
    *out_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out_fd < 0 ? errno : 0;
}

int env_open_below(int *out_fd, const char *root, const char *path, unsigned flags)
{
    int root_fd;
    int e = open_root(root, &root_fd);
    if (e != 0)
        return e;
    e = open_from(root_fd, path, flags_of(flags), out_fd);
    (void)close(root_fd);
    return e;
}

/* The folder that holds the last part of the path, which *out_name points to. */
static int open_parent(const char *root, const char *path, int *out_fd, const char **out_name)
{
    const char *slash = strrchr(path, '/');
    char parent[4096];
    int root_fd;
    int e = open_root(root, &root_fd);
    if (e != 0)
        return e;
    *out_name = slash == NULL ? path : slash + 1;
    if (slash == NULL) {
        *out_fd = root_fd;
        return 0;
    }
    size_t len = (size_t)(slash - path);
    if (len < sizeof parent) {
        memcpy(parent, path, len);
        parent[len] = '\0';
        e = open_from(root_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, out_fd);
    } else
        e = ENAMETOOLONG;
    (void)close(root_fd);
    return e;
}

int env_rename_below(const char *root, const char *from, const char *to)
{
    const char *from_name;
    const char *slash = strrchr(to, '/');
    int dir_fd;
    int e = open_parent(root, from, &dir_fd, &from_name);
    if (e != 0)
        return e;
    e = renameat(dir_fd, from_name, dir_fd, slash == NULL ? to : slash + 1) == 0 ? 0 : errno;
    (void)close(dir_fd);
    return e;
}

static int remove_below(const char *root, const char *path, int flag)
{
    const char *name;
    int dir_fd;
    int e = open_parent(root, path, &dir_fd, &name);
    if (e != 0)
        return e;
    e = unlinkat(dir_fd, name, flag) == 0 ? 0 : errno;
    (void)close(dir_fd);
    return e;
}

int env_unlink_below(const char *root, const char *path)
{
    return remove_below(root, path, 0);
}

int env_rmdir_below(const char *root, const char *path)
{
    return remove_below(root, path, AT_REMOVEDIR);
}

int env_mkdir_below(const char *root, const char *path)
{
    const char *name;
    int dir_fd;
    int e = open_parent(root, path, &dir_fd, &name);
    if (e != 0)
        return e;
    e = mkdirat(dir_fd, name, 0700) == 0 ? 0 : errno;
    (void)close(dir_fd);
    return e;
}
