#include "api/near.h"

#include "base/env/env.h"
#include "base/str.h"
#include "store/path.h"

#include <stdio.h>

#define NEIGHBOURS_MAX 1000
#define DISTANCE_MAX   2

static bool has_manifest(const struct shl_api_stack *s, const char *path)
{
    struct shl_list list = {0};
    shale_error err;
    char *prefix = shl_path_join(path, "manifest");
    bool found = prefix != NULL &&
                 shl_store_list(s->store, &(struct shl_list_options){.prefix = prefix, .max = 1},
                                &list, &err) == SHALE_OK &&
                 list.count > 0;
    shl_list_free(&list);
    env_free(prefix);
    return found;
}

/* The last segment of "a/b/" or "a/b". */
static struct shl_slice last_segment(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return shl_slice_of(path + start, end - start);
}

/* The neighbour whose name is nearest; NULL if none is near. Owned, without its last '/'. */
static char *nearest(const struct shl_list *list, const char *path)
{
    struct shl_slice name = last_segment(path);
    size_t best = DISTANCE_MAX + 1;
    const char *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const char *key = list->items[i].key;
        size_t n = strlen(key);
        if (n == 0 || key[n - 1] != '/')
            continue;
        size_t distance = shl_str_distance(name, last_segment(key), DISTANCE_MAX);
        if (distance > 0 && distance < best && distance < name.len) {
            best = distance;
            found = key;
        }
    }
    return found != NULL ? shl_slice_dup_cstr(shl_slice_of(found, strlen(found) - 1)) : NULL;
}

void shl_api_suggest(const struct shl_api_stack *s, shale_error *err)
{
    struct shl_list list = {0};
    shale_error ignored;
    if (err->code != SHALE_NOT_FOUND || strncmp(err->text, "no database here", 16) != 0 ||
        s->path == NULL || s->path[0] == '\0')
        return;
    struct shl_slice name = last_segment(s->path);
    size_t above = (size_t)(name.data - (const uint8_t *)s->path);
    char *parent = shl_slice_dup_cstr(shl_slice_of(s->path, above > 0 ? above - 1 : 0));
    const struct shl_list_options how = {.prefix = parent, .shallow = true, .max = NEIGHBOURS_MAX};
    if (parent != NULL && shl_store_list(s->store, &how, &list, &ignored) == SHALE_OK) {
        char *near = nearest(&list, s->path);
        size_t n = strlen(err->text);
        if (near != NULL && has_manifest(s, near))
            (void)snprintf(err->text + n, sizeof err->text - n, ": did you mean %s/%s ?",
                           s->store->name, near);
        env_free(near);
    }
    shl_list_free(&list);
    env_free(parent);
}
