#include "store/file_impl.h"

#include "base/assert.h"
#include <errno.h>
#include <stdlib.h>

/* The tree is walked so that keys come in byte order: a folder stands among its neighbours as "name/", for that is how its keys
 * go on. The way down is a stack of open folders, not recursion. */

struct dir_frame {
    struct env_dirent *entries; /* owned */
    size_t count;
    size_t next;
    size_t
        key_len; /* of `key` in the walk, when this folder is on top; with its '/' unless it is the root */
};

struct walk {
    const struct file_store *f;
    struct shl_lister *lister;
    struct shl_buf key;  /* key of the folder on top, then of its current entry; NUL behind it */
    struct shl_buf path; /* the same below the root folder */
    SHL_ARRAY(struct dir_frame) frames;
};

/* Compares names as if '/' stood behind those of folders. */
static int by_key(const void *va, const void *vb)
{
    const struct env_dirent *a = va;
    const struct env_dirent *b = vb;
    const unsigned char *x = (const unsigned char *)a->name;
    const unsigned char *y = (const unsigned char *)b->name;
    while (*x != '\0' && *x == *y) {
        x++;
        y++;
    }
    int cx = *x != '\0' ? *x : a->is_dir ? '/' : 0;
    int cy = *y != '\0' ? *y : b->is_dir ? '/' : 0;
    return cx - cy;
}

/* Sets path to root and key. */
static shale_code set_path(struct walk *w, shale_error *err)
{
    shale_code rc;
    w->path.len = 0;
    SHL_TRY(shl_buf_append(&w->path, w->f->root, strlen(w->f->root), err));
    SHL_TRY(shl_buf_append(&w->path, "/", 1, err));
    SHL_TRY(shl_buf_append(&w->path, w->key.data, w->key.len + 1, err)); /* with its NUL */
out:
    return rc;
}

/* Appends a segment to the key of the top folder. */
static shale_code set_entry(struct walk *w, const char *name, bool is_dir, shale_error *err)
{
    shale_code rc;
    w->key.len = w->frames.items[w->frames.count - 1].key_len;
    SHL_TRY(shl_buf_append(&w->key, name, strlen(name), err));
    if (is_dir)
        SHL_TRY(shl_buf_append(&w->key, "/", 1, err));
    SHL_TRY(shl_buf_append(&w->key, "", 1, err));
    w->key.len--; /* the NUL stays behind the bytes */
out:
    return rc;
}

static const char *root_of(const struct walk *w)
{
    return w->f->root[0] == '\0' ? "/" : w->f->root;
}

static bool leads_out(int e)
{
    return e == EXDEV || e == ELOOP;
}

/* Whether the folder that w->key names lies below the root: 0 or an errno value. One that is found on the way must be no link, for a ring of
 * links has no end; the prefix of a list may be one, as it may be for all other calls. */
static int look_at_dir(struct walk *w)
{
    unsigned flags = ENV_OPEN_READ | ENV_OPEN_DIRECTORY;
    int fd;
    if (!w->f->options.stays_below || w->key.len == 0)
        return 0;
    w->key.data[w->key.len - 1] = '\0'; /* behind a '/' links are followed */
    int e = env_open_below(&fd, root_of(w), (const char *)w->key.data,
                           flags | (w->frames.count > 0 ? ENV_OPEN_NOFOLLOW : 0));
    w->key.data[w->key.len - 1] = '/';
    if (e == 0)
        (void)env_close(fd);
    return e == EACCES ? 0 : e;
}

/* Opens the folder that w->key names. A folder that is not there, or not any more, has no keys. */
static shale_code push_dir(struct walk *w, shale_error *err)
{
    struct dir_frame frame = {.key_len = w->key.len};
    shale_code rc = set_path(w, err);
    if (rc != SHALE_OK)
        return rc;
    const char *path = (const char *)w->path.data;
    int e = look_at_dir(w);
    if (e == 0)
        e = env_listdir(path, &frame.entries, &frame.count);
    if (shl_file_is_missing(e) || (leads_out(e) && w->frames.count > 0))
        return SHALE_OK;
    if (e != 0)
        return shl_file_fail(err, e, "list", path);
    if (!shl_array_push(&w->frames, frame)) {
        env_listdir_free(frame.entries, frame.count);
        return shl_nomem(err);
    }
    if (frame.count > 1)
        qsort(frame.entries, frame.count, sizeof *frame.entries, by_key);
    return SHALE_OK;
}

static void pop_dir(struct walk *w)
{
    const struct dir_frame *top = &w->frames.items[--w->frames.count];
    env_listdir_free(top->entries, top->count);
}

/* False if no key below this folder comes after start_after. */
static bool may_hold_later(const struct walk *w)
{
    const char *start = w->lister->how->start_after;
    if (start == NULL)
        return true;
    const char *dir = (const char *)w->key.data;
    return strcmp(dir, start) > 0 || strncmp(start, dir, w->key.len) == 0;
}

static int look_at_file(const struct walk *w, const char *path, struct env_stat *out)
{
    int fd;
    if (!w->f->options.stays_below)
        return env_stat(path, out);
    int e = env_open_below(&fd, root_of(w), (const char *)w->key.data, ENV_OPEN_READ);
    if (e == EACCES)
        return env_stat(path, out);
    if (e != 0)
        return e;
    e = env_fstat(fd, out);
    (void)env_close(fd);
    return e;
}

static shale_code visit_file(struct walk *w, shale_error *err)
{
    const char *key = (const char *)w->key.data;
    if (!shl_lister_wants(w->lister, key))
        return SHALE_OK;
    shale_code rc = set_path(w, err);
    if (rc != SHALE_OK)
        return rc;
    struct env_stat st;
    const char *path = (const char *)w->path.data;
    int e = look_at_file(w, path, &st);
    if (shl_file_is_missing(e) || leads_out(e))
        return SHALE_OK; /* deleted since the folder was read, or not below it */
    if (e != 0)
        return shl_file_fail(err, e, "look at", path);
    return shl_lister_object(w->lister, key, st.size, st.mtime_ns, err);
}

static shale_code visit(struct walk *w, const struct env_dirent *entry, shale_error *err)
{
    /* Names that are no segment of a key cannot be asked for either: they are skipped. */
    if ((!entry->is_dir && !entry->is_file) || shl_path_fault(entry->name) != NULL)
        return SHALE_OK;
    if (entry->is_file && shl_file_is_reserved(entry->name))
        return SHALE_OK;
    shale_code rc = set_entry(w, entry->name, entry->is_dir, err);
    if (rc != SHALE_OK)
        return rc;
    if (entry->is_file)
        return visit_file(w, err);
    if (w->lister->how->shallow)
        return shl_lister_prefix(w->lister, (const char *)w->key.data, err);
    return may_hold_later(w) ? push_dir(w, err) : SHALE_OK;
}

shale_code shl_file_list(struct shl_store *s, const struct shl_list_options *how,
                         struct shl_list *out, shale_error *err)
{
    struct shl_lister lister;
    shl_lister_init(&lister, how, out);
    struct walk w = {.f = file_of(s), .lister = &lister};
    shale_code rc;
    SHL_TRY(shl_buf_append(&w.key, how->prefix, lister.prefix_len, err));
    if (lister.prefix_len > 0)
        SHL_TRY(shl_buf_append(&w.key, "/", 1, err));
    SHL_TRY(shl_buf_append(&w.key, "", 1, err));
    w.key.len--;
    SHL_TRY(push_dir(&w, err));
    while (w.frames.count > 0 && !lister.full) {
        struct dir_frame *top = &w.frames.items[w.frames.count - 1];
        if (top->next == top->count)
            pop_dir(&w);
        else
            SHL_TRY(visit(&w, &top->entries[top->next++], err));
    }
out:
    while (w.frames.count > 0)
        pop_dir(&w);
    shl_array_free(&w.frames);
    shl_buf_free(&w.key);
    shl_buf_free(&w.path);
    return rc;
}
