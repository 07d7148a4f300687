/* shale_admin_*: one JSON document a call, as owned text. */
#include "api/api.h"
#include "api/db.h"
#include "api/near.h"
#include "api/stack.h"
#include "api/transform.h"
#include "base/env/env.h"
#include "base/str.h"
#include "lsm/inspect/explain.h"
#include "lsm/inspect/inspect.h"

#include <shale/admin.h>
#include <shale/compactor.h>

/* What a call asks for. */
struct ask {
    uint64_t id, to;
    const char *sst; /* or a job */
    bool rows, compactions;
};
typedef shale_code (*answer_fn)(const struct shl_inspect *in, const struct ask *ask,
                                struct shl_json_writer *w, shale_error *err);

/* Members that only this room knows: what the call itself cost. `before`: what was counted when it began. */
static void request_members(const struct shl_api_stack *stack, const shale_store_counts *before,
                            struct shl_json_writer *w)
{
    shale_store_counts n = {.struct_size = sizeof n};
    shl_api_stack_counts(stack, &n);
    shl_json_key(w, "requests");
    shl_json_object(w);
    shl_json_key(w, "get");
    shl_json_u64(w, n.get - before->get);
    shl_json_key(w, "list");
    shl_json_u64(w, n.list - before->list);
    shl_json_key(w, "bytes_down");
    shl_json_u64(w, n.bytes_down - before->bytes_down);
    shl_json_key(w, "cost_usd");
    shl_json_usd(w, n.cost_usd - before->cost_usd);
    shl_json_object_end(w);
}

/* Opens the stores, lets `answer` write one value, gives the text away. with_requests: the value is an object, to which they are added. */
static shale_code ask_json(char **out, const char *url, const shale_options *options,
                           answer_fn answer, const struct ask *ask, bool with_requests,
                           shale_error *err)
{
    struct shl_api_stack stack = {0};
    struct shl_api_resolved resolved;
    struct shl_api_transform transform = {0};
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shale_options *defaults = NULL;
    struct shl_inspect in;
    shale_code rc;
    if (out == NULL || url == NULL)
        return shl_fail(err, SHALE_INVALID, "admin: the %s is NULL",
                        out == NULL ? "place for the text" : "URL");
    if (options == NULL) {
        defaults = shale_options_new();
        if (defaults == NULL)
            return shl_nomem(err);
        options = defaults;
    }
    SHL_TRY(shl_api_resolve(options, true, &resolved, err));
    SHL_TRY(shl_api_transform_init(&transform, options, err));
    SHL_TRY(shl_api_stack_open(&stack, url, options, true, err));
    in = (struct shl_inspect){.store = stack.store,
                              .wal_store = stack.wal_store,
                              .path = stack.path,
                              .transformer = transform.is_there ? &transform.transformer : NULL};
    shl_json_begin(&w, &text, err);
    if (with_requests)
        shl_json_object(&w);
    SHL_TRY(answer(&in, ask, &w, err));
    if (with_requests) {
        request_members(&stack, &(shale_store_counts){0}, &w);
        shl_json_object_end(&w);
    }
    rc = shl_api_text_out(&w, &text, out, err);
out:
    if (rc != SHALE_OK && stack.store != NULL)
        shl_api_suggest(&stack, err);
    shl_buf_free(&text);
    shl_api_transform_drop(&transform);
    shl_api_stack_close(&stack);
    shale_options_free(defaults);
    return rc;
}

static shale_code answer_manifest(const struct shl_inspect *in, const struct ask *ask,
                                  struct shl_json_writer *w, shale_error *err)
{
    return shl_inspect_manifest(in, ask->id, w, err);
}

static shale_code answer_manifests(const struct shl_inspect *in, const struct ask *ask,
                                   struct shl_json_writer *w, shale_error *err)
{
    (void)ask;
    return shl_inspect_manifests(in, w, err);
}

static shale_code answer_versions(const struct shl_inspect *in, const struct ask *ask,
                                  struct shl_json_writer *w, shale_error *err)
{
    return shl_inspect_versions(in, ask->compactions, ask->id, ask->to, w, err);
}

static shale_code answer_sst(const struct shl_inspect *in, const struct ask *ask,
                             struct shl_json_writer *w, shale_error *err)
{
    return ask->sst == NULL ? shl_inspect_ssts(in, w, err)
                            : shl_inspect_sst(in, ask->sst, ask->rows, w, err);
}

static shale_code answer_wal(const struct shl_inspect *in, const struct ask *ask,
                             struct shl_json_writer *w, shale_error *err)
{
    return ask->id == 0 ? shl_inspect_wal(in, w, err) : shl_inspect_wal_rows(in, ask->id, w, err);
}

static shale_code answer_compactions(const struct shl_inspect *in, const struct ask *ask,
                                     struct shl_json_writer *w, shale_error *err)
{
    return ask->sst == NULL ? shl_inspect_compactions(in, ask->id, w, err)
                            : shl_inspect_compaction(in, ask->sst, w, err);
}

static shale_code answer_stat(const struct shl_inspect *in, const struct ask *ask,
                              struct shl_json_writer *w, shale_error *err)
{
    (void)ask;
    return shl_inspect_stat(in, w, err);
}

shale_code shale_admin_manifest(char **out_json, const char *url, const shale_options *options,
                                uint64_t id, shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_manifest, &(struct ask){.id = id}, false, err);
}

shale_code shale_admin_manifest_range(char **out_json, const char *url,
                                      const shale_options *options, uint64_t from, uint64_t to,
                                      shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_versions, &(struct ask){.id = from, .to = to},
                    false, err);
}

shale_code shale_admin_compactions_range(char **out_json, const char *url,
                                         const shale_options *options, uint64_t from, uint64_t to,
                                         shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_versions,
                    &(struct ask){.id = from, .to = to, .compactions = true}, false, err);
}

shale_code shale_admin_manifests(char **out_json, const char *url, const shale_options *options,
                                 shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_manifests, &(struct ask){0}, false, err);
}

shale_code shale_admin_sst(char **out_json, const char *url, const shale_options *options,
                           const char *sst, bool rows, shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_sst, &(struct ask){.sst = sst, .rows = rows},
                    false, err);
}

shale_code shale_admin_wal(char **out_json, const char *url, const shale_options *options,
                           uint64_t id, shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_wal, &(struct ask){.id = id}, false, err);
}

shale_code shale_admin_compactions(char **out_json, const char *url, const shale_options *options,
                                   uint64_t id, shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_compactions, &(struct ask){.id = id}, false,
                    err);
}

shale_code shale_admin_compaction(char **out_json, const char *url, const shale_options *options,
                                  const char *job, shale_error *err)
{
    SHL_API_ERR(err);
    if (job == NULL)
        return shl_fail(err, SHALE_INVALID, "admin: the name of the compaction is NULL");
    return ask_json(out_json, url, options, answer_compactions, &(struct ask){.sst = job}, false,
                    err);
}

shale_code shale_admin_stat(char **out_json, const char *url, const shale_options *options,
                            shale_error *err)
{
    SHL_API_ERR(err);
    return ask_json(out_json, url, options, answer_stat, &(struct ask){0}, true, err);
}

shale_code shale_db_explain(char **out_json, shale_db *db, shale_slice key, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shale_store_counts before = {.struct_size = sizeof before};
    shale_code rc;
    if (out_json == NULL || db == NULL)
        return shl_fail(err, SHALE_INVALID, "explain: the %s is NULL",
                        db == NULL ? "database" : "place for the text");
    shl_api_stack_counts(&db->stack, &before);
    shl_json_begin(&w, &text, err);
    shl_json_object(&w);
    SHL_TRY(shl_lsm_explain(db->lsm, shl_slice_of(key.data, key.len), &w, err));
    request_members(&db->stack, &before, &w);
    shl_json_object_end(&w);
    rc = shl_api_text_out(&w, &text, out_json, err);
out:
    shl_buf_free(&text);
    return rc;
}
