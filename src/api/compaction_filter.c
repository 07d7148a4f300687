#include "api/compaction_filter.h"

#include "api/api.h"
#include "api/db.h"

#include <inttypes.h>

shale_code shale_options_set_compaction_filter(shale_options *o,
                                               const shale_compaction_filter *filter,
                                               shale_error *err)
{
    SHL_API_ERR(err);
    shale_compaction_filter mine = {.struct_size = sizeof mine};
    if (o == NULL)
        return shl_nomem(err);
    shale_code rc = shl_api_take_struct(&mine, sizeof mine, filter, "shale_compaction_filter", err);
    if (rc != SHALE_OK)
        return rc;
    if (filter != NULL && mine.row == NULL)
        return shl_fail(err, SHALE_INVALID, "shale_compaction_filter: row is NULL");
    o->compaction_filter = mine;
    return SHALE_OK;
}

static shale_code failed(const char *where, shale_code code, shale_error *err)
{
    return shl_fail(err, SHALE_INTERNAL, "the compaction filter failed at %s: %s", where,
                    shale_code_name(code));
}

static shale_code begin(void *ctx, const struct shl_filter_job *job, void **instance,
                        shale_error *err)
{
    const struct shl_api_compaction_filter *f = ctx;
    const shale_compaction_job theirs = {.struct_size = sizeof theirs,
                                         .segment =
                                             shale_bytes(job->segment.data, job->segment.len),
                                         .destination = job->destination,
                                         .is_last_run = job->is_last_run,
                                         .clock_tick = job->clock_tick,
                                         .retention_min_seq = job->retention_min_seq};
    *instance = NULL;
    if (f->theirs.begin == NULL)
        return SHALE_OK;
    shale_code rc = f->theirs.begin(f->theirs.ctx, &theirs, instance);
    return rc == SHALE_OK ? SHALE_OK : failed("the beginning of a job", rc, err);
}

static shale_code modify(const shale_filter_result *r, struct shl_row *row, shale_error *err)
{
    if ((unsigned)r->kind > SHALE_ROW_MERGE)
        return shl_fail(err, SHALE_INTERNAL,
                        "the compaction filter made a row of kind %u, known 0..2",
                        (unsigned)r->kind);
    if (r->kind == SHALE_ROW_DELETE) {
        row->flags = (uint8_t)((row->flags & SHL_ROW_HAS_CREATE) | SHL_ROW_TOMBSTONE);
        row->expire_ts = 0;
        row->value = shl_slice_of(NULL, 0);
        return SHALE_OK;
    }
    if (r->value.len > UINT32_MAX || (r->value.data == NULL && r->value.len > 0))
        return shl_fail(err, SHALE_INTERNAL, "the compaction filter made a value of %zu bytes%s",
                        r->value.len, r->value.data == NULL ? " at NULL" : "");
    row->flags = (uint8_t)(row->flags & ~(SHL_ROW_TOMBSTONE | SHL_ROW_MERGE));
    if (r->kind == SHALE_ROW_MERGE)
        row->flags |= SHL_ROW_MERGE;
    row->value = shl_api_slice_in(r->value);
    return SHALE_OK;
}

static shale_code filter_row(void *ctx, void *instance, struct shl_row *row, bool *keep,
                             shale_error *err)
{
    const struct shl_api_compaction_filter *f = ctx;
    const shale_raw_row shown = shl_api_raw_row(row);
    shale_filter_result r = {.struct_size = sizeof r};
    shale_code rc = f->theirs.row(f->theirs.ctx, instance, &shown, &r);
    if (rc != SHALE_OK)
        return failed("a row", rc, err);
    switch ((unsigned)r.decision) {
    case SHALE_FILTER_KEEP:
        return SHALE_OK;
    case SHALE_FILTER_DROP:
        *keep = false;
        return SHALE_OK;
    case SHALE_FILTER_MODIFY:
        return modify(&r, row, err);
    default:
        return shl_fail(err, SHALE_INTERNAL, "the compaction filter decided %u, known 0..2",
                        (unsigned)r.decision);
    }
}

static shale_code end(void *ctx, void *instance, bool complete, shale_error *err)
{
    const struct shl_api_compaction_filter *f = ctx;
    if (f->theirs.end == NULL)
        return SHALE_OK;
    shale_code rc = f->theirs.end(f->theirs.ctx, instance, complete);
    return rc == SHALE_OK ? SHALE_OK : failed("the end of a job", rc, err);
}

void shl_api_compaction_filter_init(struct shl_api_compaction_filter *out, const shale_options *o)
{
    *out = (struct shl_api_compaction_filter){
        .is_there = o->compaction_filter.row != NULL,
        .theirs = o->compaction_filter,
        .filter = {.begin = begin, .row = filter_row, .end = end, .ctx = out}};
}
