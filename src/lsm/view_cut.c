#include "lsm/view_cut.h"

#include "base/env/env.h"

int shl_key_range_cmp_end(const struct shl_key_range *a, const struct shl_key_range *b)
{
    if (a->end_unbounded || b->end_unbounded)
        return (int)a->end_unbounded - (int)b->end_unbounded;
    int c = shl_slice_cmp(a->end, b->end);
    return c != 0 ? c : (int)a->end_inclusive - (int)b->end_inclusive;
}

struct shl_key_range shl_key_range_common(const struct shl_key_range *a,
                                          const struct shl_key_range *b)
{
    struct shl_key_range k = shl_key_range_cmp_end(a, b) <= 0 ? *a : *b;
    k.start = shl_slice_cmp(a->start, b->start) >= 0 ? a->start : b->start;
    return k;
}

static shale_code visible_new(const struct shl_key_range *k, struct shl_bytes_range **out,
                              shale_error *err)
{
    shale_code rc;
    struct shl_bytes_range *r = env_calloc(1, sizeof *r);
    if (r == NULL)
        return shl_nomem(err);
    r->start.type = k->start.len > 0 ? SHL_BOUND_INCLUDED : SHL_BOUND_UNBOUNDED;
    r->end.type = k->end_unbounded   ? SHL_BOUND_UNBOUNDED
                  : k->end_inclusive ? SHL_BOUND_INCLUDED
                                     : SHL_BOUND_EXCLUDED;
    SHL_TRY(shl_buf_set(&r->start.key, k->start, err));
    if (!k->end_unbounded)
        SHL_TRY(shl_buf_set(&r->end.key, k->end, err));
    *out = r;
    return SHALE_OK;
out:
    shl_bytes_range_deinit(r);
    env_free(r);
    return rc;
}

struct shl_ulid shl_view_same_time(struct shl_ulid id)
{
    return shl_ulid_make(shl_ulid_time_ms(id), env_rand64(), env_rand64());
}

shale_code shl_view_cut(struct shl_sst_view *v, const struct shl_key_range *range, bool *keep,
                        shale_error *err)
{
    struct shl_key_range whole;
    struct shl_bytes_range *visible = NULL;
    shl_sst_view_range(v, &whole);
    struct shl_key_range part = shl_key_range_common(&whole, range);
    *keep = !shl_key_range_empty(&part);
    if (!*keep ||
        (shl_slice_eq(part.start, whole.start) && shl_key_range_cmp_end(&part, &whole) == 0))
        return SHALE_OK;
    shale_code rc = visible_new(&part, &visible, err);
    if (rc != SHALE_OK)
        return rc;
    if (v->visible != NULL)
        shl_bytes_range_deinit(v->visible);
    env_free(v->visible);
    v->visible = visible;
    v->id = shl_view_same_time(v->id);
    return SHALE_OK;
}
