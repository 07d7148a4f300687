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

static enum shl_api_kind kind_at(const struct shl_api_stack *s)
{
    const char *path = s->path != NULL ? s->path : "";
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

shale_code shl_api_check_place(const struct shl_api_stack *s, enum shl_api_kind own,
                               shale_error *err)
{
    enum shl_api_kind kind = kind_at(s);
    if (kind == SHL_API_NONE || kind == own)
        return SHALE_OK;
    bool named = s->path != NULL && s->path[0] != '\0';
    return shl_fail(err, SHALE_INVALID,
                    "%s%s%s holds %s: %s is not made among its objects, but in a place of its own",
                    s->store->name, named ? "/" : "", named ? s->path : "", name_of(kind),
                    name_of(own));
}

bool shl_api_tell_kind(const struct shl_api_stack *s, enum shl_api_kind own, shale_error *err)
{
    enum shl_api_kind kind = kind_at(s);
    size_t n = strlen(err->text);
    if (kind == SHL_API_NONE || kind == own)
        return false;
    (void)snprintf(err->text + n, sizeof err->text - n, ": it holds %s", name_of(kind));
    return true;
}
