/* shale_clone, shale_restore, shale_delete. */
#include "api/api.h"
#include "api/db.h"
#include "api/near.h"
#include "api/target.h"
#include "base/env/env.h"
#include "base/str.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/clone.h"
#include "lsm/db.h"
#include "lsm/keep/remove.h"

#include <shale/manage.h>

/* ---- clone */

struct sources {
    struct shl_clone_source *items; /* owned; texts of the caller, paths owned */
    struct shl_bytes_range *ranges; /* owned: one each, {0} if it is not cut */
    char **paths;                   /* owned */
    struct shl_slice **segments;    /* owned: lists of their prefixes, which are the caller's */
    size_t count;
};

static void sources_deinit(struct sources *s)
{
    for (size_t i = 0; s->paths != NULL && i < s->count; i++)
        env_free(s->paths[i]);
    for (size_t i = 0; s->ranges != NULL && i < s->count; i++)
        shl_bytes_range_deinit(&s->ranges[i]);
    for (size_t i = 0; s->segments != NULL && i < s->count; i++)
        env_free(s->segments[i]);
    env_free(s->segments);
    env_free(s->items);
    env_free(s->ranges);
    env_free(s->paths);
}

static shale_code set_bound(struct shl_bound *b, shale_bound_kind kind, shale_slice key,
                            shale_error *err)
{
    b->type = kind == SHALE_UNBOUNDED  ? SHL_BOUND_UNBOUNDED
              : kind == SHALE_INCLUDED ? SHL_BOUND_INCLUDED
                                       : SHL_BOUND_EXCLUDED;
    return b->type == SHL_BOUND_UNBOUNDED
               ? SHALE_OK
               : shl_buf_set(&b->key, shl_slice_of(key.data, key.len), err);
}

/* The first key behind all that begin with the prefix: its last byte that can grow, grown. None: no end. */
static shale_code set_prefix(struct shl_bytes_range *r, shale_slice prefix, shale_error *err)
{
    const uint8_t *bytes = prefix.data;
    size_t len = prefix.len;
    shale_code rc = set_bound(&r->start, SHALE_INCLUDED, prefix, err);
    while (len > 0 && bytes[len - 1] == 0xff)
        len--;
    r->end.type = SHL_BOUND_UNBOUNDED;
    if (rc != SHALE_OK || len == 0)
        return rc;
    rc = set_bound(&r->end, SHALE_EXCLUDED, shale_bytes(bytes, len), err);
    if (rc == SHALE_OK)
        r->end.key.data[len - 1]++;
    return rc;
}

static shale_code set_range(struct shl_bytes_range *r, const shale_range *from, shale_error *err)
{
    static const char zero = '\0';
    if (from->prefix.data != NULL)
        return set_prefix(r, from->prefix, err);
    shale_code rc = set_bound(&r->start, from->from_kind, from->from, err);
    if (rc == SHALE_OK && r->start.type == SHL_BOUND_EXCLUDED) { /* the next key there can be */
        r->start.type = SHL_BOUND_INCLUDED;
        rc = shl_buf_append(&r->start.key, &zero, 1, err);
    }
    return rc == SHALE_OK ? set_bound(&r->end, from->to_kind, from->to, err) : rc;
}

static bool is_cut(const shale_range *r)
{
    return r->prefix.data != NULL || r->from_kind != SHALE_UNBOUNDED ||
           r->to_kind != SHALE_UNBOUNDED;
}

static bool is_empty(const shale_range *r)
{
    if (r->prefix.data != NULL || r->from_kind == SHALE_UNBOUNDED || r->to_kind == SHALE_UNBOUNDED)
        return false;
    int order =
        shl_slice_cmp(shl_slice_of(r->from.data, r->from.len), shl_slice_of(r->to.data, r->to.len));
    return order > 0 ||
           (order == 0 && (r->from_kind != SHALE_INCLUDED || r->to_kind != SHALE_INCLUDED));
}

/* The path of a source in the bucket of the target. */
static shale_code source_path(const char *url, const struct shl_api_target *t, char **out,
                              shale_error *err)
{
    struct shl_api_stack stack = {0};
    shale_code rc = shl_api_stack_open(&stack, url, t->options, true, err);
    if (rc == SHALE_OK && strcmp(stack.store->name, t->stack.store->name) != 0)
        rc = shl_fail(err, SHALE_INVALID,
                      "a clone lies in the bucket of its source: \"%s\" is in %s, the clone in %s",
                      url, stack.store->name, t->stack.store->name);
    if (rc == SHALE_OK) {
        *out = stack.path;
        stack.path = NULL; /* moved */
    }
    shl_api_stack_close(&stack);
    return rc;
}

struct cloning {
    const shale_clone_source *sources;
    size_t count;
    struct shl_cloned done;
};

static shale_code ask_segment(const void *ctx, struct shl_slice prefix, bool *wanted,
                              struct shl_bytes_range *only, shale_error *err)
{
    const shale_clone_source *s = ctx;
    shale_range narrowed = {.prefix = {.data = NULL}};
    *wanted = s->segment(s->segment_ctx, shale_bytes(prefix.data, prefix.len), &narrowed);
    return *wanted && is_cut(&narrowed) ? set_range(only, &narrowed, err) : SHALE_OK;
}

static shale_code take_segments(const shale_clone_source *from, struct shl_slice **out,
                                shale_error *err)
{
    if (from->segment_count == 0)
        return SHALE_OK;
    if (from->segments == NULL)
        return shl_fail(err, SHALE_INVALID, "clone: segments is NULL, segment_count is not 0");
    *out = env_calloc(from->segment_count, sizeof **out);
    if (*out == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < from->segment_count; i++)
        (*out)[i] = shl_slice_of(from->segments[i].data, from->segments[i].len);
    return SHALE_OK;
}

static shale_code take_sources(struct sources *s, const struct cloning *c,
                               const struct shl_api_target *t, shale_error *err)
{
    *s = (struct sources){.items = env_calloc(c->count + 1, sizeof *s->items),
                          .ranges = env_calloc(c->count + 1, sizeof *s->ranges),
                          .paths = env_calloc(c->count + 1, sizeof *s->paths),
                          .segments = env_calloc(c->count + 1, sizeof *s->segments),
                          .count = c->count};
    if (s->items == NULL || s->ranges == NULL || s->paths == NULL || s->segments == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < c->count; i++) {
        const shale_clone_source *from = &c->sources[i];
        if (from->url == NULL)
            return shl_fail(err, SHALE_INVALID, "clone: the URL of source %zu is NULL", i);
        shale_code rc = source_path(from->url, t, &s->paths[i], err);
        if (rc == SHALE_OK && is_empty(&from->range))
            rc = shl_fail(
                err, SHALE_INVALID,
                "clone: no key of \"%s\" lies in its range: the end is not above the start",
                from->url);
        if (rc == SHALE_OK && is_cut(&from->range))
            rc = set_range(&s->ranges[i], &from->range, err);
        if (rc == SHALE_OK)
            rc = take_segments(from, &s->segments[i], err);
        if (rc != SHALE_OK)
            return rc;
        s->items[i] =
            (struct shl_clone_source){.path = s->paths[i],
                                      .checkpoint = from->checkpoint,
                                      .range = is_cut(&from->range) ? &s->ranges[i] : NULL,
                                      .segments = s->segments[i],
                                      .segment_count = from->segment_count,
                                      .segment = from->segment != NULL ? ask_segment : NULL,
                                      .segment_ctx = from};
    }
    return SHALE_OK;
}

static shale_code run_clone(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct cloning *c = arg;
    struct sources s;
    const struct shl_transformer *transformer;
    shale_code rc = take_sources(&s, c, t, err);
    if (rc == SHALE_OK)
        rc = shl_api_target_transformer(t, &transformer, err);
    if (rc == SHALE_OK) {
        struct shl_clone how = {.store = t->stack.store,
                                .clock = t->options->settings.lsm.clock,
                                .wal_store = t->stack.wal_store,
                                .transformer = transformer,
                                .path = t->stack.path,
                                .sources = s.items,
                                .source_count = s.count};
        rc = shl_clone_run(&how, &c->done, err);
    }
    sources_deinit(&s);
    return rc;
}

shale_code shale_clone(shale_clone_result *out, const char *url, const shale_clone_source *sources,
                       size_t source_count, const shale_options *options, shale_error *err)
{
    SHL_API_ERR(err);
    struct cloning c = {.sources = sources, .count = source_count};
    struct shl_api_target t;
    if (sources == NULL || source_count == 0)
        return shl_fail(err, SHALE_INVALID, "clone: no source is given");
    shale_code rc = shl_api_with_target(&t, url, options, run_clone, &c, err);
    if (rc == SHALE_OK && out != NULL)
        *out = (shale_clone_result){.was_there = c.done.was_there,
                                    .wal_objects_left_out = c.done.wal_left_out,
                                    .ssts = c.done.ssts,
                                    .wal_objects = c.done.wal_objects};
    return rc;
}

/* ---- restore */

struct restoring {
    const char *checkpoint;
    uint64_t undo_lifetime_ms;
    struct shl_lsm_restored done;
};

static shale_code run_restore(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct restoring *r = arg;
    struct shale_db *parts; /* what the options bring; no handle */
    struct shl_api_resolved resolved;
    const struct shl_transformer *transformer;
    const struct shl_checkpoint *found;
    /* Before anybody is fenced. */
    shale_code rc = shl_manifests_load(&t->manifests, err);
    if (rc == SHALE_OK)
        rc = shl_checkpoint_find(t->manifests.newest, r->checkpoint, t->manifests.paths.r1, &found,
                                 err);
    if (rc == SHALE_OK)
        rc = shl_api_resolve(t->options, false, &resolved, err);
    if (rc == SHALE_OK)
        rc = shl_api_target_transformer(t, &transformer, err);
    if (rc != SHALE_OK)
        return rc;
    parts = env_calloc(1, sizeof *parts);
    if (parts == NULL)
        return shl_nomem(err);
    parts->stack.hooks = t->stack.hooks;
    shl_api_take_components(parts, t->options, &resolved);
    struct shl_lsm_open how = {.store = t->stack.store,
                               .wal_store = t->stack.wal_store,
                               .path = t->stack.path,
                               .settings = &resolved.lsm,
                               .merge = parts->merge_operator.merge != NULL ? &parts->merge_operator
                                                                            : NULL,
                               .transformer = transformer,
                               .user_filters = parts->filter_policies.filters,
                               .log = shl_api_hooks_log(t->stack.hooks)};
    rc = shl_lsm_restore(&how, r->checkpoint, r->undo_lifetime_ms, &r->done, err);
    env_free(parts);
    return rc;
}

shale_code shale_restore(shale_restore_result *out, const char *url, const shale_options *options,
                         const char *checkpoint, uint64_t undo_lifetime_ms, shale_error *err)
{
    SHL_API_ERR(err);
    struct restoring r = {.checkpoint = checkpoint, .undo_lifetime_ms = undo_lifetime_ms};
    struct shl_api_target t;
    if (checkpoint == NULL)
        return shl_fail(err, SHALE_INVALID, "restore: the checkpoint is NULL");
    shale_code rc = shl_api_with_target(&t, url, options, run_restore, &r, err);
    if (rc == SHALE_OK && out != NULL) {
        *out = (shale_restore_result){.manifest_id = r.done.manifest_id,
                                      .checkpoint_manifest_id = r.done.checkpoint_manifest_id,
                                      .wal_rows = r.done.wal_rows};
        shl_uuid_format(r.done.undo, out->undo_checkpoint);
    }
    return rc;
}

/* ---- delete */

struct deleting {
    bool dry_run;
    void (*each)(void *ctx, const char *key, uint64_t bytes);
    void *ctx;
    struct shl_removed done;
};

static shale_code run_delete(struct shl_api_target *t, void *arg, shale_error *err)
{
    struct deleting *d = arg;
    struct shl_remove how = {.store = t->stack.store,
                             .wal_store = t->stack.wal_store,
                             .path = t->stack.path,
                             .dry_run = d->dry_run,
                             .each = d->each,
                             .ctx = d->ctx};
    return shl_remove_run(&how, &d->done, err);
}

shale_code shale_delete(shale_delete_result *out, const char *url, const shale_options *options,
                        bool dry_run, void (*each)(void *ctx, const char *key, uint64_t bytes),
                        void *ctx, shale_error *err)
{
    SHL_API_ERR(err);
    struct deleting d = {.dry_run = dry_run, .each = each, .ctx = ctx};
    struct shl_api_target t;
    shale_code rc = shl_api_with_target(&t, url, options, run_delete, &d, err);
    if (rc == SHALE_OK && out != NULL)
        *out = (shale_delete_result){.objects = d.done.objects,
                                     .bytes = d.done.bytes,
                                     .parents = d.done.pins,
                                     .endless_checkpoints = d.done.endless,
                                     .wal_elsewhere = d.done.wal_unseen};
    return rc;
}
