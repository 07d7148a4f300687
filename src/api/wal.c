/* shale_wal_*: the engine's tail over a stack of its own. */
#include "api/api.h"
#include "api/db.h"
#include "api/near.h"
#include "api/stack.h"
#include "api/transform.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/tail.h"

#include <shale/wal.h>

#define POLL_MS 1000

struct shale_wal {
    struct shl_api_stack stack;
    struct shl_api_transform transform;
    struct shl_tail *tail;    /* owned */
    struct shl_wal_file file; /* owned: what the last call gave */
    SHL_ARRAY(shale_raw_row) rows;
};

shale_code shale_wal_open(shale_wal **out, const char *url, const shale_options *options,
                          shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_tail_open how;
    shale_options *defaults = NULL;
    shale_wal *w = NULL;
    shale_code rc;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "open: the %s is NULL",
                        out == NULL ? "place for the handle" : "URL");
    if (options == NULL && (options = defaults = shale_options_new()) == NULL)
        return shl_nomem(err);
    w = env_calloc(1, sizeof *w);
    if (w == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_api_transform_init(&w->transform, options, err));
    SHL_TRY(shl_api_stack_open(&w->stack, url, options, true, err));
    how = (struct shl_tail_open){.store = w->stack.store,
                                 .wal_store = w->stack.wal_store,
                                 .path = w->stack.path,
                                 .transformer =
                                     w->transform.is_there ? &w->transform.transformer : NULL};
    SHL_TRY(shl_tail_new(&how, &w->tail, err));
    *out = w;
    w = NULL; /* moved to the caller */
out:
    if (rc != SHALE_OK && w != NULL && w->stack.store != NULL)
        shl_api_suggest(&w->stack, err);
    shale_wal_close(w);
    shale_options_free(defaults);
    return rc;
}

void shale_wal_close(shale_wal *w)
{
    if (w == NULL)
        return;
    shl_wal_file_deinit(&w->file);
    shl_array_free(&w->rows);
    shl_tail_free(w->tail);
    shl_api_stack_close(&w->stack);
    shl_api_transform_drop(&w->transform);
    env_free(w);
}

static shale_code no_handle(shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the handle, or the place for the result, is NULL");
}

shale_code shale_wal_list(shale_wal *w, uint64_t from,
                          bool (*visit)(void *ctx, uint64_t id, uint64_t bytes), void *ctx,
                          shale_error *err)
{
    SHL_API_ERR(err);
    shl_wal_items items = {0};
    if (w == NULL || visit == NULL)
        return no_handle(err);
    shale_code rc = shl_tail_list(w->tail, from, &items, err);
    for (size_t i = 0; rc == SHALE_OK && i < items.count; i++)
        if (!visit(ctx, items.items[i].id, items.items[i].bytes))
            break;
    shl_array_free(&items);
    return rc;
}

static shale_code give(shale_wal *w, uint64_t id, shale_wal_batch *out, shale_error *err)
{
    w->rows.count = 0;
    if (!shl_array_reserve(&w->rows, w->file.count))
        return shl_nomem(err);
    for (size_t i = 0; i < w->file.count; i++)
        shl_array_add(&w->rows, shl_api_raw_row(&w->file.rows[i]));
    *out = (shale_wal_batch){.id = id, .rows = w->rows.items, .count = w->rows.count};
    return SHALE_OK;
}

shale_code shale_wal_read(shale_wal_batch *out, shale_wal *w, uint64_t id, shale_error *err)
{
    SHL_API_ERR(err);
    if (w == NULL || out == NULL)
        return no_handle(err);
    shl_wal_file_deinit(&w->file);
    shale_code rc = shl_tail_read(w->tail, id, &w->file, err);
    return rc == SHALE_OK ? give(w, id, out, err) : rc;
}

shale_code shale_wal_seek(shale_wal *w, uint64_t id, shale_error *err)
{
    SHL_API_ERR(err);
    return w == NULL ? no_handle(err) : shl_tail_seek(w->tail, id, err);
}

shale_code shale_wal_next(shale_wal_batch *out, shale_wal *w, uint64_t timeout_ms, uint64_t poll_ms,
                          shale_error *err)
{
    SHL_API_ERR(err);
    uint64_t id;
    if (w == NULL || out == NULL)
        return no_handle(err);
    uint64_t begin = env_now_mono_ns();
    uint64_t poll_ns = shl_min_u64(poll_ms == 0 ? POLL_MS : poll_ms, 86400000) * ENV_NS_PER_MS;
    for (;;) {
        shl_wal_file_deinit(&w->file);
        shale_code rc = shl_tail_next(w->tail, &id, &w->file, err);
        uint64_t spent_ms = (env_now_mono_ns() - begin) / ENV_NS_PER_MS;
        if (rc == SHALE_OK)
            return give(w, id, out, err);
        if (rc != SHALE_DONE || spent_ms >= timeout_ms)
            return rc;
        env_sleep_ns(shl_min_u64(poll_ns, (timeout_ms - spent_ms) > UINT64_MAX / ENV_NS_PER_MS
                                              ? poll_ns
                                              : (timeout_ms - spent_ms) * ENV_NS_PER_MS));
    }
}
