#include "api/filter_policy.h"

#include "api/api.h"
#include "api/db.h"
#include "base/codec/text.h"

/* ---------------------------------------------------------------- options */

static shale_code check_name(const shale_options *o, const char *name, shale_error *err)
{
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0 || len > SHL_FILTER_NAME_MAX)
        return shl_fail(err, SHALE_INVALID,
                        "filter policy: a name of %zu bytes; it must have 1 to %d", len,
                        SHL_FILTER_NAME_MAX);
    if (!shl_utf8_valid(shl_slice_str(name)))
        return shl_fail(err, SHALE_INVALID, "filter policy: its name must be UTF-8");
    if (strncmp(name, "_bf", 3) == 0)
        return shl_fail(err, SHALE_INVALID,
                        "filter policy %s: names that begin with _bf are Bloom filters", name);
    for (size_t i = 0; i < o->filter_policy_count; i++)
        if (strcmp(o->filter_policies[i].name, name) == 0)
            return shl_fail(err, SHALE_INVALID, "filter policy %s: it is there already", name);
    return SHALE_OK;
}

shale_code shale_options_add_filter_policy(shale_options *o, const char *name,
                                           const shale_filter_policy *policy, shale_error *err)
{
    SHL_API_ERR(err);
    shale_filter_policy mine = {.struct_size = sizeof mine};
    if (o == NULL)
        return shl_nomem(err);
    shale_code rc = check_name(o, name, err);
    if (rc == SHALE_OK)
        rc = shl_api_take_struct(&mine, sizeof mine, policy, "shale_filter_policy", err);
    if (rc != SHALE_OK)
        return rc;
    if (mine.add == NULL || mine.end == NULL || mine.may_match == NULL)
        return shl_fail(err, SHALE_INVALID, "filter policy %s: %s is NULL", name,
                        mine.add == NULL   ? "add"
                        : mine.end == NULL ? "end"
                                           : "may_match");
    if (o->filter_policy_count == SHALE_FILTER_POLICIES_MAX)
        return shl_fail(err, SHALE_INVALID, "filter policy %s: there are %d already", name,
                        SHALE_FILTER_POLICIES_MAX);
    struct shl_api_filter_policy *p = &o->filter_policies[o->filter_policy_count++];
    *p = (struct shl_api_filter_policy){.policy = mine};
    memcpy(p->name, name, strlen(name));
    return SHALE_OK;
}

/* ---------------------------------------------------------------- their functions */

static const shale_filter_policy *theirs(void *ctx)
{
    return &((const struct shl_api_filter_policy *)ctx)->policy;
}

static bool begin(void *ctx, void **builder)
{
    const shale_filter_policy *p = theirs(ctx);
    *builder = NULL;
    return p->begin == NULL || p->begin(p->ctx, builder) == SHALE_OK;
}

static bool add(void *ctx, void *builder, const struct shl_row *row)
{
    const shale_filter_policy *p = theirs(ctx);
    const shale_raw_row shown = shl_api_raw_row(row);
    return p->add(p->ctx, builder, &shown) == SHALE_OK;
}

struct emitted {
    struct shl_buf *out;
    unsigned calls;
    bool failed;
};

static void on_emit(void *ctx, shale_slice filter)
{
    struct emitted *e = ctx;
    shale_error ignored;
    e->failed = e->calls++ > 0 || (filter.data == NULL && filter.len > 0) ||
                shl_buf_append(e->out, filter.data, filter.len, &ignored) != SHALE_OK || e->failed;
}

static bool end(void *ctx, void *builder, struct shl_buf *out)
{
    const shale_filter_policy *p = theirs(ctx);
    struct emitted e = {.out = out};
    shale_code rc = p->end(p->ctx, builder, out != NULL ? on_emit : NULL, &e);
    return rc == SHALE_OK && out != NULL && e.calls == 1 && !e.failed;
}

static bool may_match(void *ctx, struct shl_slice filter, const struct shl_filter_query *q)
{
    const shale_filter_policy *p = theirs(ctx);
    const shale_filter_query shown = {.struct_size = sizeof shown,
                                      .kind =
                                          q->is_prefix ? SHALE_FILTER_PREFIX : SHALE_FILTER_POINT,
                                      .key = shale_bytes(q->key.data, q->key.len),
                                      .context = shale_bytes(q->context.data, q->context.len)};
    return p->may_match(p->ctx, shale_bytes(filter.data, filter.len), &shown);
}

void shl_api_filter_policies_init(struct shl_api_filter_policies *out, const shale_options *o)
{
    memcpy(out->theirs, o->filter_policies, sizeof out->theirs);
    for (size_t i = 0; i < o->filter_policy_count; i++)
        out->list[i] = (struct shl_user_filter){.name = out->theirs[i].name,
                                                .begin = begin,
                                                .add = add,
                                                .end = end,
                                                .may_match = may_match,
                                                .ctx = &out->theirs[i]};
    out->filters = (struct shl_user_filters){.items = out->list, .count = o->filter_policy_count};
}
