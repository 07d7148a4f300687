/* The file system of the simulation: one tree in memory, for all groups.
 *
 * Each file and folder exists twice: as programs see it, and as the disk has it. fsync of a file copies what was written
 * since; fsync of a folder makes the operations on its names lasting, a rename always as one. A kill loses nothing, for the
 * page cache outlives the process; a power loss keeps, drops or tears whatever was not synced. A failed fsync forgets what
 * it should have written, as Linux does: calling it again succeeds and saves nothing.
 *
 * There are no links of the soft kind, no permissions, and the working folder is "/". */
#include "base/env/sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

enum {
    FDS_MAX = 1024,
    FD_BASE = 1000, /* so that a real descriptor is never mistaken for one of ours */
    NAME_MAX_BYTES = 255,
    DEPTH_MAX = 64,
    SECTOR_BYTES = 512, /* what a disk writes as a whole */
    FILE_MAX_BYTES = 256 << 20,
    YIELD_ONE_IN = 4
};

struct node;

struct entry {
    char *name;        /* owned */
    struct node *node; /* counted */
};

struct entries {
    struct entry *items; /* owned; sorted by name */
    size_t count;
    size_t cap;
};

struct bytes {
    uint8_t *data; /* owned */
    size_t size;
    size_t cap;
};

struct node {
    struct node *next; /* of all nodes */
    struct node *prev;
    uint64_t refs;
    uint64_t inode;
    int64_t mtime_ns;
    bool is_dir;
    bool marked;
    struct bytes seen, disk;       /* file: contents */
    size_t dirty_begin, dirty_end; /* file: what fsync must copy */
    bool size_dirty;
    struct entries names, disk_names; /* folder */
    int lock_fd;                      /* that holds the lock, or -1 */
    struct env_sim_wait lock_waiters;
};

/* One operation on names that the disk does not have yet: up to two settings, lasting together or not at all. */
struct pending {
    struct {
        struct node *dir;    /* counted */
        char *name;          /* owned */
        struct node *target; /* counted; NULL: the name goes */
    } set[2];
    size_t count;
    bool commit;
};

struct open_file {
    struct node *node; /* counted; NULL: free */
    unsigned flags;
    sim_group group;
};

static struct {
    struct node *root;
    struct node *all;
    uint64_t inodes;
    struct pending *log; /* owned; oldest first */
    size_t log_count;
    size_t log_cap;
    struct open_file files[FDS_MAX];
    unsigned fault_kinds;
    struct sim_nth fault;
} fs;

/* ---------------------------------------------------------------- memory: the C library's, for the tree is nobody's */

static void *grow(void *p, size_t size)
{
    void *q = realloc(p, size);
    if (q == NULL)
        env_die("simulation: no memory for the file system");
    return q;
}

static char *copy_name(const char *name)
{
    size_t size = strlen(name) + 1;
    return memcpy(grow(NULL, size), name, size);
}

static void bytes_resize(struct bytes *b, size_t size)
{
    if (size > b->cap) {
        b->cap = shl_max_size(size, b->cap * 2);
        b->data = grow(b->data, b->cap);
    }
    if (size > b->size)
        memset(b->data + b->size, 0, size - b->size);
    b->size = size;
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    bytes_resize(to, from->size);
    if (from->size > 0)
        memcpy(to->data, from->data, from->size);
}

/* ---------------------------------------------------------------- nodes and names */

static int64_t now_wall_ns(void)
{
    return env_now_wall_ms() * (int64_t)ENV_NS_PER_MS;
}

static struct node *node_new(bool is_dir)
{
    struct node *n = memset(grow(NULL, sizeof *n), 0, sizeof *n);
    n->inode = ++fs.inodes;
    n->is_dir = is_dir;
    n->lock_fd = -1;
    n->mtime_ns = now_wall_ns();
    n->next = fs.all;
    if (fs.all != NULL)
        fs.all->prev = n;
    fs.all = n;
    return n;
}

static void node_unref(struct node *n);

static void entries_clear(struct entries *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->items[i].name);
        node_unref(e->items[i].node);
    }
    free(e->items);
    *e = (struct entries){0};
}

/* Recursion is bounded by the depth of the tree. */
static void node_unref(struct node *n)
{
    if (n == NULL || --n->refs > 0)
        return;
    entries_clear(&n->names);
    entries_clear(&n->disk_names);
    free(n->seen.data);
    free(n->disk.data);
    if (n->prev != NULL)
        n->prev->next = n->next;
    else
        fs.all = n->next;
    if (n->next != NULL)
        n->next->prev = n->prev;
    free(n);
}

static struct node *node_ref(struct node *n)
{
    if (n != NULL)
        n->refs++;
    return n;
}

/* Where the name is or belongs. */
static size_t entries_find(const struct entries *e, const char *name, bool *out_found)
{
    size_t low = 0;
    size_t high = e->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = strcmp(e->items[middle].name, name);
        if (c == 0) {
            *out_found = true;
            return middle;
        }
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_found = false;
    return low;
}

static struct node *entries_get(const struct entries *e, const char *name)
{
    bool found;
    size_t at = entries_find(e, name, &found);
    return found ? e->items[at].node : NULL;
}

static void entries_set(struct entries *e, const char *name, struct node *target)
{
    bool found;
    size_t at = entries_find(e, name, &found);
    struct node *before = NULL;
    node_ref(target); /* first: it may be what is replaced */
    if (found) {
        before = e->items[at].node;
        e->items[at].node = target;
        if (target == NULL) {
            free(e->items[at].name);
            memmove(&e->items[at], &e->items[at + 1], (--e->count - at) * sizeof *e->items);
        }
    } else if (target != NULL) {
        if (e->count == e->cap) {
            e->cap = e->cap == 0 ? 8 : e->cap * 2;
            e->items = grow(e->items, e->cap * sizeof *e->items);
        }
        memmove(&e->items[at + 1], &e->items[at], (e->count++ - at) * sizeof *e->items);
        e->items[at] = (struct entry){.name = copy_name(name), .node = target};
    }
    node_unref(before);
}

/* ---------------------------------------------------------------- what the disk does not have yet */

static struct pending *log_add(void)
{
    if (fs.log_count == fs.log_cap) {
        fs.log_cap = fs.log_cap == 0 ? 16 : fs.log_cap * 2;
        fs.log = grow(fs.log, fs.log_cap * sizeof *fs.log);
    }
    fs.log[fs.log_count] = (struct pending){0};
    return &fs.log[fs.log_count++];
}

static void change_name(struct pending *op, struct node *dir, const char *name, struct node *target)
{
    op->set[op->count].dir = node_ref(dir);
    op->set[op->count].name = copy_name(name);
    op->set[op->count].target = node_ref(target);
    op->count++;
    entries_set(&dir->names, name, target);
    dir->mtime_ns = now_wall_ns();
}

static void pending_apply(const struct pending *op)
{
    for (size_t i = 0; i < op->count; i++)
        entries_set(&op->set[i].dir->disk_names, op->set[i].name, op->set[i].target);
}

static void pending_free(struct pending *op)
{
    for (size_t i = 0; i < op->count; i++) {
        node_unref(op->set[i].dir);
        node_unref(op->set[i].target);
        free(op->set[i].name);
    }
}

/* Applies and removes the operations marked `commit`, in order. */
static void log_commit(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < fs.log_count; i++) {
        if (!fs.log[i].commit) {
            fs.log[kept++] = fs.log[i];
            continue;
        }
        pending_apply(&fs.log[i]);
        pending_free(&fs.log[i]);
    }
    fs.log_count = kept;
}

/* The operations on this folder's names, and all earlier ones that those stand on (a rename ties two folders). */
static void dir_sync(struct node *dir)
{
    dir->marked = true;
    for (size_t i = fs.log_count; i-- > 0;) {
        struct pending *op = &fs.log[i];
        for (size_t k = 0; k < op->count; k++)
            op->commit = op->commit || op->set[k].dir->marked;
        for (size_t k = 0; k < op->count && op->commit; k++)
            op->set[k].dir->marked = true;
    }
    for (struct node *n = fs.all; n != NULL; n = n->next)
        n->marked = false;
    log_commit();
}

static void file_set_dirty(struct node *n, size_t begin, size_t end)
{
    if (n->dirty_begin == n->dirty_end) {
        n->dirty_begin = begin;
        n->dirty_end = end;
        return;
    }
    n->dirty_begin = shl_min_size(n->dirty_begin, begin);
    n->dirty_end = shl_max_size(n->dirty_end, end);
}

static void file_set_clean(struct node *n)
{
    n->dirty_begin = n->dirty_end = 0;
    n->size_dirty = false;
}

static bool file_is_dirty(const struct node *n)
{
    return n->size_dirty || n->dirty_begin < n->dirty_end;
}

static void file_sync(struct node *n)
{
    if (!file_is_dirty(n))
        return;
    bytes_resize(&n->disk, n->seen.size);
    size_t end = shl_min_size(n->dirty_end, n->disk.size);
    if (n->dirty_begin < end)
        memcpy(n->disk.data + n->dirty_begin, n->seen.data + n->dirty_begin, end - n->dirty_begin);
    file_set_clean(n);
}

static void file_resize(struct node *n, size_t size)
{
    if (size != n->seen.size)
        n->size_dirty = true;
    /* What was cut away and grows again reads as zeros: that too must reach the disk. */
    if (size < n->seen.size)
        file_set_dirty(n, size, n->seen.size);
    bytes_resize(&n->seen, size);
}

/* ---------------------------------------------------------------- paths */

struct spot {
    struct node *trail[DEPTH_MAX]; /* from the root to the parent */
    size_t depth;
    char name[NAME_MAX_BYTES + 1]; /* last part; empty for the root */
    struct node *node;             /* NULL: no such name in the parent */
};

static struct node *spot_parent(const struct spot *s)
{
    return s->trail[s->depth - 1];
}

static int spot_step(struct spot *s, const char *part, size_t len)
{
    if (len == 1 && part[0] == '.')
        return 0;
    if (s->node == NULL)
        return ENOENT;
    if (!s->node->is_dir)
        return ENOTDIR;
    if (len > NAME_MAX_BYTES)
        return ENAMETOOLONG;
    if (len == 2 && part[0] == '.' && part[1] == '.') {
        if (s->name[0] == '\0')
            return 0; /* above the root is the root */
        s->node = s->trail[--s->depth];
        /* Only the root has no name; what the folder is called is not needed. */
        s->name[0] = s->depth > 0 ? '.' : '\0';
        s->name[1] = '\0';
        return 0;
    }
    if (s->depth == DEPTH_MAX)
        return ENAMETOOLONG;
    s->trail[s->depth++] = s->node;
    memcpy(s->name, part, len);
    s->name[len] = '\0';
    s->node = entries_get(&spot_parent(s)->names, s->name);
    return 0;
}

/* Follows the path as far as it goes; only its last part may be missing. */
static int find(struct spot *out, const char *path)
{
    *out = (struct spot){.node = fs.root};
    if (path[0] == '\0')
        return ENOENT;
    for (const char *p = path; *p != '\0';) {
        size_t len = strcspn(p, "/");
        int rc = len == 0 ? 0 : spot_step(out, p, len);
        if (rc != 0)
            return rc;
        p += len;
        p += strspn(p, "/");
    }
    return 0;
}

static int find_existing(struct spot *out, const char *path)
{
    int rc = find(out, path);
    return rc != 0 ? rc : out->node == NULL ? ENOENT : 0;
}

/* Can a name be made or taken away here? Not at the root, "." or "..". */
static bool spot_has_name(const struct spot *s)
{
    return s->name[0] != '\0' && strcmp(s->name, ".") != 0;
}

/* ---------------------------------------------------------------- faults and doors */

static void make_root(void)
{
    fs.root = node_ref(node_new(true));
    struct node *tmp = node_new(true);
    entries_set(&fs.root->names, "tmp", tmp);
    entries_set(&fs.root->disk_names, "tmp", tmp);
}

/* Every function below runs between these two. */
static void enter(void)
{
    sim_maybe_yield(YIELD_ONE_IN);
    TSAN_IGNORE_BEGIN();
    if (fs.root == NULL)
        make_root();
}

static int leave(int rc)
{
    TSAN_IGNORE_END();
    return rc;
}

/* Counts one changing operation; the kind of fault that it shall have, or 0. */
static unsigned fault_kind(const char *what)
{
    if (!sim_nth_hits(&fs.fault))
        return 0;
    unsigned kinds[3];
    size_t count = 0;
    for (unsigned kind = SIM_FS_EIO; kind <= SIM_FS_SHORT; kind *= 2)
        if ((fs.fault_kinds & kind) != 0)
            kinds[count++] = kind;
    unsigned kind = count == 0 ? 0 : kinds[sim_below(&sim_state.rng_fault, count)];
    sim_trace("file fault %u in %s, operation %" PRIu64, kind, what, fs.fault.seen - 1);
    return kind;
}

static int fault_errno(const char *what)
{
    unsigned kind = fault_kind(what);
    return kind == 0 ? 0 : kind == SIM_FS_ENOSPC ? ENOSPC : EIO;
}

static struct open_file *file_of(int fd)
{
    if (fd < FD_BASE || fd >= FD_BASE + FDS_MAX || fs.files[fd - FD_BASE].node == NULL)
        return NULL;
    return &fs.files[fd - FD_BASE];
}

/* ---------------------------------------------------------------- open and close */

static int open_missing(struct spot *spot, unsigned flags)
{
    if ((flags & ENV_OPEN_CREATE) == 0)
        return ENOENT;
    if (!spot_has_name(spot) || (flags & ENV_OPEN_DIRECTORY) != 0)
        return EINVAL;
    int rc = fault_errno("create");
    if (rc != 0)
        return rc;
    spot->node = node_new(false);
    change_name(log_add(), spot_parent(spot), spot->name, spot->node);
    return 0;
}

static int open_existing(const struct spot *spot, unsigned flags)
{
    unsigned exclusive = ENV_OPEN_CREATE | ENV_OPEN_EXCL;
    if ((flags & exclusive) == exclusive)
        return EEXIST;
    if (spot->node->is_dir && (flags & (ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNC)) != 0)
        return EISDIR;
    if (!spot->node->is_dir && (flags & ENV_OPEN_DIRECTORY) != 0)
        return ENOTDIR;
    if ((flags & ENV_OPEN_TRUNC) == 0 || spot->node->seen.size == 0)
        return 0;
    int rc = fault_errno("truncate");
    if (rc == 0) {
        file_resize(spot->node, 0);
        spot->node->mtime_ns = now_wall_ns();
    }
    return rc;
}

static int open_path(int *out_fd, const char *path, unsigned flags)
{
    size_t slot = 0;
    while (slot < FDS_MAX && fs.files[slot].node != NULL)
        slot++;
    if (slot == FDS_MAX)
        return EMFILE;
    struct spot spot;
    int rc = find(&spot, path);
    if (rc == 0)
        rc = spot.node == NULL ? open_missing(&spot, flags) : open_existing(&spot, flags);
    if (rc != 0)
        return rc;
    fs.files[slot] =
        (struct open_file){.node = node_ref(spot.node), .flags = flags, .group = sim_self()->owner};
    *out_fd = FD_BASE + (int)slot;
    return 0;
}

int env_open(int *out_fd, const char *path, unsigned flags)
{
    enter();
    return leave(open_path(out_fd, path, flags));
}

static void unlock_if_held(int fd, struct node *n)
{
    if (n->lock_fd != fd)
        return;
    n->lock_fd = -1;
    sim_queue_wake_all(&n->lock_waiters);
}

static int close_fd(int fd)
{
    struct open_file *f = file_of(fd);
    if (f == NULL)
        return EBADF;
    unlock_if_held(fd, f->node);
    node_unref(f->node);
    f->node = NULL;
    return 0;
}

int env_close(int fd)
{
    enter();
    return leave(close_fd(fd));
}

void sim_fs_close_group(sim_group g)
{
    TSAN_IGNORE_BEGIN();
    for (int i = 0; i < FDS_MAX; i++)
        if (fs.files[i].node != NULL && fs.files[i].group == g)
            (void)close_fd(FD_BASE + i);
    TSAN_IGNORE_END();
}

/* ---------------------------------------------------------------- contents */

static int read_at(int fd, void *dst, size_t len, uint64_t offset, size_t *out_len)
{
    const struct open_file *f = file_of(fd);
    if (f == NULL || ((f->flags & ENV_OPEN_WRITE) != 0 && (f->flags & ENV_OPEN_READ) == 0))
        return EBADF;
    if (f->node->is_dir)
        return EISDIR;
    size_t size = f->node->seen.size;
    size_t n = offset >= size ? 0 : shl_min_size(len, size - (size_t)offset);
    if (n > 0)
        memcpy(dst, f->node->seen.data + offset, n);
    *out_len = n;
    return 0;
}

int env_pread(int fd, void *dst, size_t len, uint64_t offset, size_t *out_len)
{
    enter();
    return leave(read_at(fd, dst, len, offset, out_len));
}

/* The first `max` bytes of the parts. */
static void write_parts(struct node *n, const struct env_iovec *parts, size_t count, size_t offset,
                        size_t max)
{
    for (size_t i = 0; i < count && max > 0; i++) {
        size_t len = shl_min_size(parts[i].len, max);
        if (len == 0)
            continue;
        size_t end = offset + len;
        if (end > n->seen.size) {
            file_set_dirty(n, n->seen.size, end); /* a gap is zeros, which are data too */
            file_resize(n, end);
        }
        memcpy(n->seen.data + offset, parts[i].data, len);
        file_set_dirty(n, offset, end);
        offset = end;
        max -= len;
    }
    n->mtime_ns = now_wall_ns();
}

static int write_at(int fd, const struct env_iovec *parts, size_t count, uint64_t offset)
{
    const struct open_file *f = file_of(fd);
    if (f == NULL || (f->flags & ENV_OPEN_WRITE) == 0)
        return EBADF;
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        if (!shl_add_u64(total, parts[i].len, &total))
            return EINVAL;
    if (total > FILE_MAX_BYTES || offset > FILE_MAX_BYTES - total)
        return EFBIG;
    unsigned kind = fault_kind("write");
    if (kind == SIM_FS_EIO)
        return EIO;
    if (kind == SIM_FS_ENOSPC)
        return ENOSPC;
    if (kind == SIM_FS_SHORT) {
        if (total > 0)
            write_parts(f->node, parts, count, (size_t)offset,
                        (size_t)sim_below(&sim_state.rng_fault, total));
        return (fs.fault_kinds & SIM_FS_EIO) != 0 ? EIO : ENOSPC;
    }
    write_parts(f->node, parts, count, (size_t)offset, (size_t)total);
    return 0;
}

int env_pwritev(int fd, const struct env_iovec *parts, size_t count, uint64_t offset)
{
    enter();
    return leave(write_at(fd, parts, count, offset));
}

static int truncate_fd(int fd, uint64_t size)
{
    const struct open_file *f = file_of(fd);
    if (f == NULL || f->node->is_dir || (f->flags & ENV_OPEN_WRITE) == 0)
        return EBADF;
    if (size > FILE_MAX_BYTES)
        return EFBIG;
    int rc = fault_errno("truncate");
    if (rc == 0) {
        size_t before = f->node->seen.size;
        if (size > before) /* a gap is zeros, which are data too */
            file_set_dirty(f->node, before, (size_t)size);
        file_resize(f->node, (size_t)size);
        f->node->mtime_ns = now_wall_ns();
    }
    return rc;
}

int env_truncate(int fd, uint64_t size)
{
    enter();
    return leave(truncate_fd(fd, size));
}

static int sync_fd(int fd)
{
    const struct open_file *f = file_of(fd);
    if (f == NULL)
        return EBADF;
    int rc = fault_errno("fsync");
    if (f->node->is_dir) {
        if (rc == 0)
            dir_sync(f->node);
    } else if (rc == 0) {
        file_sync(f->node);
    } else {
        file_set_clean(f->node); /* the pages are marked clean and are lost */
    }
    return rc;
}

int env_fsync(int fd)
{
    enter();
    return leave(sync_fd(fd));
}

/* ---------------------------------------------------------------- facts */

static void fill_stat(struct env_stat *out, const struct node *n)
{
    *out = (struct env_stat){.inode = n->inode,
                             .size = n->seen.size,
                             .mtime_ns = n->mtime_ns,
                             .mode = n->is_dir ? 0755 : 0644,
                             .uid = 1000,
                             .is_dir = n->is_dir,
                             .is_file = !n->is_dir};
}

int env_fstat(int fd, struct env_stat *out)
{
    enter();
    const struct open_file *f = file_of(fd);
    if (f != NULL)
        fill_stat(out, f->node);
    return leave(f == NULL ? EBADF : 0);
}

int env_stat(const char *path, struct env_stat *out)
{
    enter();
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc == 0)
        fill_stat(out, spot.node);
    return leave(rc);
}

int env_fs_kind(const char *path, char out[24])
{
    enter();
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc == 0)
        (void)snprintf(out, 24, "simulated");
    return leave(rc);
}

uint32_t env_uid(void)
{
    return 0;
}

int env_disk_free(const char *path, uint64_t *out_bytes)
{
    enter();
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc == 0)
        *out_bytes = UINT64_C(1) << 40;
    return leave(rc);
}

int env_getcwd(char **out)
{
    char *path = env_strdup("/");
    if (path == NULL)
        return ENOMEM;
    *out = path;
    return 0;
}

static const char *name_in(const struct node *dir, const struct node *child)
{
    for (size_t i = 0; i < dir->names.count; i++)
        if (dir->names.items[i].node == child)
            return dir->names.items[i].name;
    return NULL;
}

/* By the trail, for the path may have gone up again through "..". */
static int real_path(const char *path, char **out)
{
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc != 0)
        return rc;
    const char *parts[DEPTH_MAX + 1];
    size_t size = 2;
    for (size_t i = 0; i < spot.depth; i++) {
        bool last = i + 1 == spot.depth;
        parts[i] = last && spot_has_name(&spot)
                       ? spot.name
                       : name_in(spot.trail[i], last ? spot.node : spot.trail[i + 1]);
        SHL_ASSERT(parts[i] != NULL);
        size += strlen(parts[i]) + 1;
    }
    char *text = env_alloc(size);
    if (text == NULL)
        return ENOMEM;
    size_t used = 0;
    for (size_t i = 0; i < spot.depth; i++) {
        size_t len = strlen(parts[i]);
        text[used++] = '/';
        memcpy(text + used, parts[i], len);
        used += len;
    }
    if (used == 0)
        text[used++] = '/';
    text[used] = '\0';
    *out = text;
    return 0;
}

int env_realpath(const char *path, char **out)
{
    enter();
    return leave(real_path(path, out));
}

static int list_dir(const char *path, struct env_dirent **out, size_t *out_count)
{
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc != 0)
        return rc;
    if (!spot.node->is_dir)
        return ENOTDIR;
    const struct entries *names = &spot.node->names;
    struct env_dirent *list = NULL;
    if (names->count > 0) {
        list = env_calloc(names->count, sizeof *list);
        if (list == NULL)
            return ENOMEM;
    }
    for (size_t i = 0; i < names->count; i++) {
        bool is_dir = names->items[i].node->is_dir;
        list[i] = (struct env_dirent){
            .name = env_strdup(names->items[i].name), .is_dir = is_dir, .is_file = !is_dir};
        if (list[i].name == NULL) {
            env_listdir_free(list, i);
            return ENOMEM;
        }
    }
    *out = list;
    *out_count = names->count;
    return 0;
}

int env_listdir(const char *path, struct env_dirent **out, size_t *out_count)
{
    enter();
    return leave(list_dir(path, out, out_count));
}

/* ---------------------------------------------------------------- changing names */

static bool is_below(const struct spot *s, const struct node *dir)
{
    for (size_t i = 0; i < s->depth; i++)
        if (s->trail[i] == dir)
            return true;
    return false;
}

static int rename_over(const struct node *from, const struct node *to)
{
    if (to->is_dir && !from->is_dir)
        return EISDIR;
    if (!to->is_dir && from->is_dir)
        return ENOTDIR;
    return to->is_dir && to->names.count > 0 ? ENOTEMPTY : 0;
}

static int rename_path(const char *from_path, const char *to_path)
{
    struct spot from;
    struct spot to;
    int rc = find_existing(&from, from_path);
    if (rc == 0)
        rc = find(&to, to_path);
    if (rc != 0)
        return rc;
    if (!spot_has_name(&from) || !spot_has_name(&to))
        return EBUSY;
    if (from.node == to.node)
        return 0;
    if (is_below(&to, from.node))
        return EINVAL;
    rc = to.node == NULL ? 0 : rename_over(from.node, to.node);
    if (rc == 0)
        rc = fault_errno("rename");
    if (rc != 0)
        return rc;
    struct pending *op = log_add();
    change_name(op, spot_parent(&to), to.name, from.node);
    change_name(op, spot_parent(&from), from.name, NULL);
    return 0;
}

int env_rename(const char *from, const char *to)
{
    enter();
    return leave(rename_path(from, to));
}

static int link_path(const char *from_path, const char *to_path)
{
    struct spot from;
    struct spot to;
    int rc = find_existing(&from, from_path);
    if (rc == 0)
        rc = find(&to, to_path);
    if (rc != 0)
        return rc;
    if (to.node != NULL)
        return EEXIST;
    if (from.node->is_dir)
        return EPERM;
    rc = fault_errno("link");
    if (rc == 0)
        change_name(log_add(), spot_parent(&to), to.name, from.node);
    return rc;
}

int env_link(const char *from, const char *to)
{
    enter();
    return leave(link_path(from, to));
}

static int remove_path(const char *path, bool dir)
{
    struct spot spot;
    int rc = find_existing(&spot, path);
    if (rc != 0)
        return rc;
    if (spot.node->is_dir != dir)
        return dir ? ENOTDIR : EISDIR;
    if (!spot_has_name(&spot))
        return EBUSY;
    if (dir && spot.node->names.count > 0)
        return ENOTEMPTY;
    rc = fault_errno(dir ? "rmdir" : "unlink");
    if (rc == 0)
        change_name(log_add(), spot_parent(&spot), spot.name, NULL);
    return rc;
}

int env_unlink(const char *path)
{
    enter();
    return leave(remove_path(path, false));
}

int env_rmdir(const char *path)
{
    enter();
    return leave(remove_path(path, true));
}

static int make_dir(const char *path)
{
    struct spot spot;
    int rc = find(&spot, path);
    if (rc != 0)
        return rc;
    if (spot.node != NULL)
        return EEXIST;
    rc = fault_errno("mkdir");
    if (rc == 0)
        change_name(log_add(), spot_parent(&spot), spot.name, node_new(true));
    return rc;
}

int env_mkdir(const char *path)
{
    enter();
    return leave(make_dir(path));
}

int env_mkdir_private(const char *path)
{
    return env_mkdir(path);
}

/* ---------------------------------------------------------------- below a folder: there are no links here that could lead out */

#define BELOW_BYTES 4096

/* False if it does not fit. */
static bool join_below(char *out, size_t cap, const char *root, const char *path)
{
    int n = snprintf(out, cap, "%s/%s", root, path);
    return n > 0 && (size_t)n < cap;
}

int env_open_below(int *out_fd, const char *root, const char *path, unsigned flags)
{
    char full[BELOW_BYTES];
    return join_below(full, sizeof full, root, path) ? env_open(out_fd, full, flags) : ENAMETOOLONG;
}

int env_rename_below(const char *root, const char *from, const char *to)
{
    char full_from[BELOW_BYTES];
    char full_to[BELOW_BYTES];
    bool fits = join_below(full_from, sizeof full_from, root, from) &&
                join_below(full_to, sizeof full_to, root, to);
    return fits ? env_rename(full_from, full_to) : ENAMETOOLONG;
}

int env_unlink_below(const char *root, const char *path)
{
    char full[BELOW_BYTES];
    return join_below(full, sizeof full, root, path) ? env_unlink(full) : ENAMETOOLONG;
}

int env_mkdir_below(const char *root, const char *path)
{
    char full[BELOW_BYTES];
    return join_below(full, sizeof full, root, path) ? env_mkdir(full) : ENAMETOOLONG;
}

int env_rmdir_below(const char *root, const char *path)
{
    char full[BELOW_BYTES];
    return join_below(full, sizeof full, root, path) ? env_rmdir(full) : ENAMETOOLONG;
}

/* ---------------------------------------------------------------- locks */

int env_flock(int fd)
{
    enter();
    (void)leave(0); /* it may wait */
    for (;;) {
        const struct open_file *f = file_of(fd);
        if (f == NULL)
            return EBADF;
        if (f->node->lock_fd < 0 || f->node->lock_fd == fd) {
            f->node->lock_fd = fd;
            return 0;
        }
        sim_wait(&f->node->lock_waiters, "flock", 0, UINT64_MAX);
    }
}

int env_flock_try(int fd)
{
    enter();
    const struct open_file *f = file_of(fd);
    bool free_now = f != NULL && (f->node->lock_fd < 0 || f->node->lock_fd == fd);
    if (free_now)
        f->node->lock_fd = fd;
    return leave(f == NULL ? EBADF : free_now ? 0 : EWOULDBLOCK);
}

int env_funlock(int fd)
{
    enter();
    const struct open_file *f = file_of(fd);
    if (f != NULL)
        unlock_if_held(fd, f->node);
    return leave(f == NULL ? EBADF : 0);
}

/* ---------------------------------------------------------------- sim.h */

static void close_all(void)
{
    for (int i = 0; i < FDS_MAX; i++)
        if (fs.files[i].node != NULL)
            (void)close_fd(FD_BASE + i);
}

void sim_fs_reset(void)
{
    TSAN_IGNORE_BEGIN();
    close_all();
    for (size_t i = 0; i < fs.log_count; i++)
        pending_free(&fs.log[i]);
    free(fs.log);
    fs.log = NULL;
    fs.log_count = fs.log_cap = 0;
    node_unref(fs.root);
    SHL_ASSERT(fs.all == NULL);
    fs.inodes = 0;
    fs.fault = (struct sim_nth){0};
    make_root();
    TSAN_IGNORE_END();
}

void sim_fs_fault_arm(unsigned kinds, uint64_t n, bool sticky)
{
    fs.fault_kinds = kinds;
    fs.fault = (struct sim_nth){.armed = true, .sticky = sticky, .n = n};
}

uint64_t sim_fs_fault_disarm(void)
{
    fs.fault.armed = false;
    return fs.fault.seen;
}

enum loss { LOSS_KEEP, LOSS_DROP, LOSS_MIXED };

/* For one thing of many: mixed means that each has its own luck. */
static bool survives(enum loss loss)
{
    return loss == LOSS_KEEP || (loss == LOSS_MIXED && sim_rand_below(2) == 0);
}

/* Leaves in disk what the file has after the loss: whole sectors are written or not, and so is the size. */
static void file_lose(struct node *n, enum loss loss)
{
    if (file_is_dirty(n) && survives(loss))
        bytes_resize(&n->disk, n->seen.size);
    size_t end = shl_min_size(shl_min_size(n->dirty_end, n->seen.size), n->disk.size);
    for (size_t at = n->dirty_begin; at < end;) {
        size_t sector_end = shl_min_size(end, (at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if (survives(loss))
            memcpy(n->disk.data + at, n->seen.data + at, sector_end - at);
        at = sector_end;
    }
    bytes_copy(&n->seen, &n->disk);
    file_set_clean(n);
}

static void dir_lose(struct node *n)
{
    entries_clear(&n->names);
    for (size_t i = 0; i < n->disk_names.count; i++)
        entries_set(&n->names, n->disk_names.items[i].name, n->disk_names.items[i].node);
}

void sim_fs_power_loss(void)
{
    TSAN_IGNORE_BEGIN();
    if (fs.root == NULL)
        make_root();
    static const enum loss by_luck[] = {LOSS_KEEP, LOSS_DROP, LOSS_MIXED, LOSS_MIXED};
    enum loss loss = by_luck[sim_rand_below(4)];
    sim_trace("power loss, kind %d", (int)loss);
    close_all();
    for (struct node *n = fs.all; n != NULL; n = n->next)
        node_ref(n); /* none goes while we walk the list */
    size_t count = fs.log_count;
    for (size_t i = 0; i < count; i++)
        fs.log[i].commit = survives(loss);
    log_commit();
    for (size_t i = 0; i < fs.log_count; i++)
        pending_free(&fs.log[i]);
    fs.log_count = 0;
    for (struct node *n = fs.all; n != NULL; n = n->next) {
        if (n->is_dir)
            dir_lose(n);
        else
            file_lose(n, loss);
    }
    struct node *next;
    for (struct node *n = fs.all; n != NULL; n = next) {
        next = n->next;
        node_unref(n);
    }
    TSAN_IGNORE_END();
}
