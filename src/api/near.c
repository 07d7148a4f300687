#include "api/near.h"

#include "api/kind.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/path.h"

#include <stdio.h>

#define NEIGHBOURS_MAX 1000
#define BELOW_MAX      10
#define DISTANCE_MAX   2 /* and a third of the name */

static bool has_manifest(const struct shl_api_stack *s, const char *path)
{
    struct shl_list list = {0};
    shale_error err;
    char *prefix = shl_path_join(path, s->is_shared ? "manifest.json" : "manifest");
    if (prefix != NULL && s->is_shared) {
        struct shl_object o;
        bool there = shl_store_head(s->store, prefix, &o, &err) == SHALE_OK;
        env_free(prefix);
        return there;
    }
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
    size_t best = shl_min_size(shl_str_near_max(name.len), DISTANCE_MAX) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const char *key = list->items[i].key;
        size_t n = strlen(key);
        if (n == 0 || key[n - 1] != '/')
            continue;
        size_t distance = shl_str_distance(name, last_segment(key), best - 1);
        if (distance > 0 && distance < best && distance < name.len) {
            best = distance;
            found = key;
        }
    }
    return found != NULL ? shl_slice_dup_cstr(shl_slice_of(found, strlen(found) - 1)) : NULL;
}

/* A misspelt name: the neighbour that is meant. Owned; NULL if there is none. */
static char *neighbour(const struct shl_api_stack *s)
{
    struct shl_list list = {0};
    shale_error ignored;
    char *near = NULL;
    struct shl_slice name = last_segment(s->path);
    size_t above = (size_t)(name.data - (const uint8_t *)s->path);
    char *parent = shl_slice_dup_cstr(shl_slice_of(s->path, above > 0 ? above - 1 : 0));
    const struct shl_list_options how = {.prefix = parent, .shallow = true, .max = NEIGHBOURS_MAX};
    if (parent != NULL && shl_store_list(s->store, &how, &list, &ignored) == SHALE_OK)
        near = nearest(&list, s->path);
    if (near != NULL && !has_manifest(s, near)) {
        env_free(near);
        near = NULL;
    }
    shl_list_free(&list);
    env_free(parent);
    return near;
}

/* A name that stops one step too early: up to two databases in it. */
static size_t below(const struct shl_api_stack *s, char *found[2])
{
    struct shl_list list = {0};
    shale_error ignored;
    size_t count = 0;
    const struct shl_list_options how = {.prefix = s->path, .shallow = true, .max = BELOW_MAX};
    if (shl_store_list(s->store, &how, &list, &ignored) == SHALE_OK)
        for (size_t i = 0; i < list.count && count < 2; i++) {
            size_t n = strlen(list.items[i].key);
            if (n < 2 || list.items[i].key[n - 1] != '/')
                continue;
            char *folder = shl_slice_dup_cstr(shl_slice_of(list.items[i].key, n - 1));
            if (folder != NULL && has_manifest(s, folder))
                found[count++] = folder;
            else
                env_free(folder);
        }
    shl_list_free(&list);
    return count;
}

void shl_api_suggest(const struct shl_api_stack *s, shale_error *err)
{
    char *found[2] = {NULL, NULL};
    if (err->code != SHALE_NOT_FOUND || strncmp(err->text, "no database here", 16) != 0 ||
        s->path == NULL || shl_api_tell_kind(s, s->is_shared ? SHL_API_SQL : SHL_API_LSM, err))
        return;
    if (s->path[0] != '\0')
        found[0] = neighbour(s);
    size_t count = found[0] != NULL ? 1 : below(s, found);
    size_t n = strlen(err->text);
    if (count == 2)
        (void)snprintf(err->text + n, sizeof err->text - n, ": did you mean %s/%s or %s/%s?",
                       s->store->name, found[0], s->store->name, found[1]);
    else if (count == 1)
        (void)snprintf(err->text + n, sizeof err->text - n, ": did you mean %s/%s?", s->store->name,
                       found[0]);
    env_free(found[0]);
    env_free(found[1]);
}
