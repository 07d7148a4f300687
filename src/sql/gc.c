#include "sql/gc_plan.h"
#include "sql/internal.h"

#include "base/array.h"
#include "base/num.h"

#include <inttypes.h>

#define DELETE_AT_ONCE 1000

struct garbage {
    SHL_ARRAY(const char *) keys; /* borrowed from the lists */
};

static bool take(struct garbage *g, const struct shl_list_item *item, uint64_t *count,
                 struct shl_sql_gc_result *out)
{
    ++*count;
    out->bytes += item->size;
    return shl_array_push(&g->keys, item->key);
}

/* The manifest that is looked at was read before the lists: what came into being since then has its epoch, or is too young. */
static shale_code collect(struct shl_sql *s, uint64_t grace_ms, struct garbage *g,
                          struct shl_list *changesets, struct shl_list *snapshots,
                          struct shl_sql_gc_result *out, shale_error *err)
{
    struct shl_sql_gc_input in = {.manifest = &s->head.manifest,
                                  .prefix = s->remote.prefix,
                                  .grace_ns = (int64_t)shl_min_u64(grace_ms, INT64_MAX / 1000000) *
                                              (int64_t)ENV_NS_PER_MS};
    bool room = true;
    shale_code rc;
    SHL_TRY(shl_sql_list(&s->remote, "snapshots", snapshots, err));
    SHL_TRY(shl_sql_list(&s->remote, "changesets", changesets, err));
    in.now_ns = env_now_wall_ms() * (int64_t)ENV_NS_PER_MS;
    for (size_t i = 0; i < changesets->count && room; i++)
        if (shl_sql_gc_takes_changeset(&in, shl_sql_gc_age(&in, snapshots), &changesets->items[i]))
            room = take(g, &changesets->items[i], &out->changesets, out);
    for (size_t i = 0; i < snapshots->count && room; i++)
        if (shl_sql_gc_takes_snapshot(&in, &snapshots->items[i]))
            room = take(g, &snapshots->items[i], &out->snapshots, out);
    if (!room)
        rc = shl_nomem(err);
out:
    return rc;
}

/* What stands in the way of one object only: links that lead out of a folder, rights. */
static bool is_of_one(shale_code rc)
{
    return rc == SHALE_INVALID || rc == SHALE_NOT_SUPPORTED || rc == SHALE_PERMISSION_DENIED;
}

/* Deletes one by one, and leaves those that cannot be deleted. */
static shale_code delete_each(struct shl_sql *s, const char *const *keys, size_t count,
                              struct shl_sql_gc_result *out, shale_error *err)
{
    for (size_t i = 0; i < count; i++) {
        shale_code rc = shl_store_delete(s->remote.store, keys[i], err);
        if (rc == SHALE_OK)
            continue;
        if (!is_of_one(rc))
            return rc;
        if (out->left++ == 0)
            out->why = *err;
    }
    return SHALE_OK;
}

static shale_code delete_all(struct shl_sql *s, const struct garbage *g,
                             struct shl_sql_gc_result *out, shale_error *err)
{
    for (size_t i = 0; i < g->keys.count; i += DELETE_AT_ONCE) {
        const char *const *keys = g->keys.items + i;
        size_t n = shl_min_size(DELETE_AT_ONCE, g->keys.count - i);
        shale_code rc = shl_store_delete_many(s->remote.store, keys, n, err);
        if (is_of_one(rc))
            rc = delete_each(s, keys, n, out, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (out->left > 0 && out->left < g->keys.count)
        shl_log_write(s->o.log, SHL_LOG_WARN, "gc left objects=%" PRIu64 " first=\"%s\"", out->left,
                      out->why.text);
    if (out->left == 0 || out->left < g->keys.count)
        return SHALE_OK;
    *err = out->why; /* none of them: that is no matter of one object */
    return err->code;
}

shale_code shl_sql_gc(struct shl_sql *s, uint64_t grace_ms, bool dry_run,
                      struct shl_sql_gc_result *out, shale_error *err)
{
    struct garbage g = {0};
    struct shl_list changesets = {0};
    struct shl_list snapshots = {0};
    struct shl_sql_gc_result result = {0};
    shale_code rc;
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    SHL_TRY(shl_sql_head_load(&s->remote, &s->head, NULL, err));
    SHL_TRY(collect(s, grace_ms, &g, &changesets, &snapshots, &result, err));
    if (!dry_run)
        SHL_TRY(delete_all(s, &g, &result, err));
    if (out != NULL)
        *out = result;
out:
    shl_sql_turn_end(s);
    shl_array_free(&g.keys);
    shl_list_free(&changesets);
    shl_list_free(&snapshots);
    return rc;
}
