#include "store/sweep.h"

#include "base/array.h"
#include "base/env/env.h"
#include "base/str.h"
#include "store/path.h"
#include <errno.h>

shale_code shl_store_sweep(struct shl_store *s, const struct shl_sweep *how, shale_error *err)
{
    return s->ops->sweep == NULL ? SHALE_OK : s->ops->sweep(s, how, err);
}

#define DEPTH_MAX                                                                                  \
    4 /* of folders: a database has fewer, and a link to a folder above must not be followed for ever */

struct sweep {
    const char *root;
    bool (*is_unfinished)(const char *name);
    const struct shl_sweep *how;
    int64_t now_ns;
    SHL_ARRAY(char *) dirs; /* owned: still to be looked at, below the root; "": the root */
};

static size_t depth_of(const struct sweep *w, const char *dir)
{
    size_t n = 0;
    for (const char *at = dir + strlen(w->how->prefix); *at != '\0'; at++)
        n += *at == '/';
    return n;
}

static shale_code push_dir(struct sweep *w, const char *dir, shale_error *err)
{
    char *copy = env_strdup(dir);
    if (copy != NULL && shl_array_push(&w->dirs, copy))
        return SHALE_OK;
    env_free(copy);
    return shl_nomem(err);
}

static void look_at(struct sweep *w, const char *path, const char *full)
{
    struct env_stat st;
    if (env_stat(full, &st) != 0 || st.mtime_ns > w->now_ns ||
        (uint64_t)(w->now_ns - st.mtime_ns) < w->how->age_ns)
        return;
    if (!w->how->dry_run && env_unlink_below(w->root, path) != 0)
        return; /* somebody else's, or just renamed */
    if (w->how->visit != NULL)
        w->how->visit(w->how->ctx, path, st.size);
}

static shale_code visit(struct sweep *w, const char *dir, const struct env_dirent *entry,
                        shale_error *err)
{
    struct shl_path_buf path = {0};
    struct shl_path_buf full = {0};
    shale_code rc = SHALE_OK;
    if (!entry->is_dir && !(entry->is_file && w->is_unfinished(entry->name)))
        return SHALE_OK;
    SHL_TRY(shl_path_buf_join(&path, dir, entry->name, err));
    if (entry->is_dir) {
        if (!w->how->shallow && depth_of(w, path.text) <= DEPTH_MAX)
            SHL_TRY(push_dir(w, path.text, err));
    } else {
        SHL_TRY(shl_path_buf_join(&full, w->root, path.text, err));
        look_at(w, path.text, full.text);
    }
out:
    shl_path_buf_deinit(&full);
    shl_path_buf_deinit(&path);
    return rc;
}

/* Links that lead out of the root, rings of links among them, and folders of others end the way down. */
static bool is_reachable(const struct sweep *w, const char *dir)
{
    int fd;
    if (dir[0] == '\0')
        return true;
    if (env_open_below(&fd, w->root, dir, ENV_OPEN_READ | ENV_OPEN_DIRECTORY) != 0)
        return false;
    (void)env_close(fd);
    return true;
}

static shale_code look_into(struct sweep *w, const char *dir, shale_error *err)
{
    struct shl_path_buf full = {0};
    struct env_dirent *entries = NULL;
    size_t count = 0;
    shale_code rc = SHALE_OK;
    if (!is_reachable(w, dir))
        return SHALE_OK;
    SHL_TRY(shl_path_buf_join(&full, w->root, dir, err));
    if (env_listdir(full.text, &entries, &count) != 0)
        goto out;
    for (size_t i = 0; i < count; i++)
        SHL_TRY(visit(w, dir, &entries[i], err));
out:
    if (entries != NULL)
        env_listdir_free(entries, count);
    shl_path_buf_deinit(&full);
    return rc;
}

shale_code shl_folder_sweep(const char *root, bool (*is_unfinished)(const char *name),
                            const struct shl_sweep *how, shale_error *err)
{
    struct sweep w = {.root = root[0] == '\0' ? "/" : root,
                      .is_unfinished = is_unfinished,
                      .how = how,
                      .now_ns = env_now_wall_ms() * (int64_t)ENV_NS_PER_MS};
    shale_code rc;
    SHL_TRY(push_dir(&w, how->prefix, err));
    while (w.dirs.count > 0) {
        char *dir = w.dirs.items[--w.dirs.count];
        rc = look_into(&w, dir, err);
        env_free(dir);
        if (rc != SHALE_OK)
            break;
    }
out:
    while (w.dirs.count > 0)
        env_free(w.dirs.items[--w.dirs.count]);
    shl_array_free(&w.dirs);
    return rc;
}
