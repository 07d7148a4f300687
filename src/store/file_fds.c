#include "store/file_impl.h"

#include "base/assert.h"
#include <xxhash.h>

void shl_file_fds_init(struct file_fds *c)
{
    env_mutex_init(&c->mu);
}

void shl_file_fds_deinit(struct file_fds *c)
{
    for (size_t i = 0; i < c->count; i++)
        shl_file_fd_unref(c->slots[i]);
    c->count = 0;
    env_mutex_deinit(&c->mu);
}

bool shl_file_fds_wants(const char *key)
{
    static const char dir[] = "compacted/";
    static const char suffix[] = ".sst";
    size_t len = strlen(key);
    if (len < sizeof suffix || strcmp(key + len - (sizeof suffix - 1), suffix) != 0)
        return false;
    return strncmp(key, dir, sizeof dir - 1) == 0 || strstr(key, "/compacted/") != NULL;
}

void shl_file_fd_unref(struct file_fd *f)
{
    if (f == NULL || env_fetch_sub_acq_rel(&f->refs, 1) != 1)
        return;
    (void)env_close(f->fd); /* opened for reading: nothing can be lost */
    env_free(f);
}

static uint64_t hash_of(const char *key)
{
    return XXH3_64bits(key, strlen(key));
}

/* Index in slots, or count. */
static size_t find_locked(const struct file_fds *c, const char *key, uint64_t hash)
{
    size_t i = 0;
    while (i < c->count && !(c->slots[i]->hash == hash && strcmp(c->slots[i]->key, key) == 0))
        i++;
    return i;
}

struct file_fd *shl_file_fds_get(struct file_fds *c, const char *key, uint64_t *out_drops)
{
    uint64_t hash = hash_of(key);
    struct file_fd *f = NULL;
    env_mutex_lock(&c->mu);
    *out_drops = c->drops;
    size_t i = find_locked(c, key, hash);
    if (i < c->count) {
        f = c->slots[i];
        f->used = ++c->tick;
        env_fetch_add(&f->refs, 1);
    }
    env_mutex_unlock(&c->mu);
    return f;
}

/* Makes room and returns what had the place, for the caller to release. */
static struct file_fd *place_locked(struct file_fds *c, struct file_fd *f)
{
    f->used = ++c->tick;
    if (c->count < FILE_FDS_MAX) {
        c->slots[c->count++] = f;
        return NULL;
    }
    size_t oldest = 0;
    for (size_t i = 1; i < c->count; i++) {
        if (c->slots[i]->used < c->slots[oldest]->used)
            oldest = i;
    }
    struct file_fd *old = c->slots[oldest];
    c->slots[oldest] = f;
    return old;
}

struct file_fd *shl_file_fds_add(struct file_fds *c, const char *key, int fd,
                                 const struct env_stat *st, uint64_t drops)
{
    size_t key_bytes = strlen(key) + 1;
    struct file_fd *f = env_alloc(sizeof *f + key_bytes);
    if (f == NULL)
        return NULL;
    f->fd = fd;
    f->st = *st;
    f->hash = hash_of(key);
    memcpy(f->key, key, key_bytes);
    atomic_init(&f->refs, 1);

    struct file_fd *old = NULL;
    env_mutex_lock(&c->mu);
    /* Two readers may have opened the same file: the first one's descriptor stays. */
    if (c->drops == drops && find_locked(c, key, f->hash) == c->count) {
        env_fetch_add(&f->refs, 1);
        old = place_locked(c, f);
    }
    env_mutex_unlock(&c->mu);
    shl_file_fd_unref(old);
    return f;
}

void shl_file_fds_drop(struct file_fds *c, const char *key)
{
    struct file_fd *old = NULL;
    uint64_t hash = hash_of(key);
    env_mutex_lock(&c->mu);
    c->drops++;
    size_t i = find_locked(c, key, hash);
    if (i < c->count) {
        old = c->slots[i];
        c->slots[i] = c->slots[--c->count];
    }
    env_mutex_unlock(&c->mu);
    shl_file_fd_unref(old);
}
