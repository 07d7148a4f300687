#include "api/kind.h"

#include "base/num.h"

#include <stdio.h>

#define ENTRIES_MAX 1000

/* What is known of a place by the names in it. */
struct seen {
    bool manifest_json, changesets, manifests, index;
};

static bool is_data_file(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "data_", 5) == 0 && len > 10 && strcmp(name + len - 5, ".s4db") == 0;
}

static void look(struct seen *seen, const char *name)
{
    seen->manifest_json = seen->manifest_json || strcmp(name, "manifest.json") == 0;
    seen->changesets =
        seen->changesets || strcmp(name, "changesets/") == 0 || strcmp(name, "snapshots/") == 0;
    seen->manifests = seen->manifests || strcmp(name, "manifest/") == 0;
    seen->index = seen->index || strcmp(name, "index.idx") == 0 || is_data_file(name);
}

static enum shl_api_kind kind_at(const struct shl_api_stack *s, const char *path)
{
    const struct shl_list_options how = {.prefix = path, .shallow = true, .max = ENTRIES_MAX};
    size_t skip = strlen(path) + (path[0] != '\0');
    struct shl_list list = {0};
    struct seen seen = {0};
    shale_error ignored;
    if (shl_store_list(s->store, &how, &list, &ignored) == SHALE_OK)
        for (size_t i = 0; i < list.count; i++)
            look(&seen, list.items[i].key + shl_min_size(skip, strlen(list.items[i].key)));
    shl_list_free(&list);
    return seen.manifest_json && seen.changesets ? SHL_API_SQL
           : seen.manifests                      ? SHL_API_LSM
           : seen.index                          ? SHL_API_S4
                                                 : SHL_API_NONE;
}

/* What messages call it; the program's ways out go by these words. */
static const char *name_of(enum shl_api_kind kind)
{
    return kind == SHL_API_SQL   ? "an s3db database"
           : kind == SHL_API_LSM ? "a SlateDB database"
                                 : "an s4db store";
}

static bool is_own_folder(struct shl_slice name)
{
    static const char *const names[] = {"manifest", "wal", "compacted", "compactions", "gc"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
        if (shl_slice_eq(name, shl_slice_str(names[i])))
            return true;
    return false;
}

/* Not among the objects of a database: its collector and its deletion know of no other there. A LIST for each part of the path that is called as one of a database's folders. */
static shale_code check_outside(const struct shl_api_stack *s, shale_error *err)
{
    char parent[1024];
    size_t len = s->path != NULL ? strlen(s->path) : 0;
    for (size_t at = 0; at < len && len < sizeof parent;) {
        size_t n = strcspn(s->path + at, "/");
        size_t up = at > 0 ? at - 1 : 0;
        memcpy(parent, s->path, up);
        parent[up] = '\0';
        if (is_own_folder(shl_slice_of(s->path + at, n)) && kind_at(s, parent) == SHL_API_LSM)
            return shl_fail(err, SHALE_INVALID,
                            "%s/%s is inside of a SlateDB database's own folders: did you mean "
                            "%s%s%s?",
                            s->store->name, s->path, s->store->name, up > 0 ? "/" : "", parent);
        at += n + (at + n < len);
    }
    return SHALE_OK;
}

shale_code shl_api_check_place(const struct shl_api_stack *s, enum shl_api_kind own,
                               shale_error *err)
{
    enum shl_api_kind kind = kind_at(s, s->path != NULL ? s->path : "");
    if (kind == SHL_API_NONE || kind == own)
        return check_outside(s, err);
    bool named = s->path != NULL && s->path[0] != '\0';
    return shl_fail(err, SHALE_INVALID,
                    "%s%s%s holds %s: %s is not made among its objects, but in a place of its own",
                    s->store->name, named ? "/" : "", named ? s->path : "", name_of(kind),
                    name_of(own));
}

bool shl_api_tell_kind(const struct shl_api_stack *s, enum shl_api_kind own, shale_error *err)
{
    enum shl_api_kind kind = kind_at(s, s->path != NULL ? s->path : "");
    size_t n = strlen(err->text);
    if (kind == SHL_API_NONE || kind == own)
        return false;
    (void)snprintf(err->text + n, sizeof err->text - n, ": it holds %s", name_of(kind));
    return true;
}
