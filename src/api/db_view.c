/* What an open handle says of itself, and of the SSTables that it uses. */
#include "api/api.h"
#include "api/db.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "lsm/db_ssts.h"

#include <shale/admin.h>

/* ---- status */

static shale_close_reason reason_of(shale_code closed)
{
    return closed == SHALE_OK       ? SHALE_CLOSE_NONE
           : closed == SHALE_CLOSED ? SHALE_CLOSE_CLEAN
           : closed == SHALE_FENCED ? SHALE_CLOSE_FENCED
                                    : SHALE_CLOSE_PANIC;
}

static void give_status(const struct shl_lsm_status *s, shale_db_status *out)
{
    const shale_db_status ours = {.struct_size = sizeof ours,
                                  .writer = s->writer,
                                  .closed = s->closed,
                                  .manifest_id = s->manifest_id,
                                  .writer_epoch = s->writer_epoch,
                                  .committed_seq = s->committed_seq,
                                  .durable_seq = s->durable_seq,
                                  .last_wal_id = s->last_wal_id,
                                  .l0_count = s->l0_count,
                                  .run_count = s->run_count,
                                  .memtable_bytes = s->memtable_bytes,
                                  .cache_bytes = s->cache_bytes,
                                  .compactions_done = s->compactions_done,
                                  .changes = s->changes,
                                  .segment_count = s->segment_count,
                                  .close_reason = reason_of(s->closed)};
    shl_api_give_struct(out, &ours, sizeof ours);
}

void shale_db_status_get(shale_db *db, shale_db_status *out)
{
    struct shl_lsm_status s = {.closed = SHALE_CLOSED};
    if (out == NULL || out->struct_size < sizeof out->struct_size)
        return;
    if (db != NULL)
        shl_lsm_status(db->lsm, &s);
    give_status(&s, out);
}

shale_code shale_db_status_wait(shale_db_status *io, shale_db *db, uint64_t timeout_ms,
                                shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_status s;
    shale_db_status seen = {.struct_size = sizeof seen};
    if (io == NULL || db == NULL)
        return shl_fail(err, SHALE_INVALID, "status: the %s is NULL",
                        db == NULL ? "database" : "struct");
    if (io->struct_size == 0)
        return shl_fail(err, SHALE_INVALID,
                        "status: struct_size is 0; set it to sizeof(shale_db_status)");
    shale_code rc = shl_api_take_struct(&seen, sizeof seen, io, "shale_db_status", err);
    if (rc != SHALE_OK)
        return rc;
    uint64_t most = shl_min_u64(timeout_ms, UINT64_MAX / ENV_NS_PER_MS);
    rc = shl_lsm_status_wait(db->lsm, seen.changes, most * ENV_NS_PER_MS, &s);
    give_status(&s, io);
    return rc;
}

struct segment_visit {
    bool (*visit)(void *ctx, shale_slice prefix, uint64_t l0_count, uint64_t run_count);
    void *ctx;
};

static bool on_segment(void *ctx, struct shl_slice prefix, uint64_t l0_count, uint64_t run_count)
{
    const struct segment_visit *v = ctx;
    return v->visit(v->ctx, shale_bytes(prefix.data, prefix.len), l0_count, run_count);
}

void shale_db_segments_each(shale_db *db,
                            bool (*visit)(void *ctx, shale_slice prefix, uint64_t l0_count,
                                          uint64_t run_count),
                            void *ctx)
{
    struct segment_visit v = {.visit = visit, .ctx = ctx};
    if (db != NULL && visit != NULL)
        shl_lsm_segments(db->lsm, on_segment, &v);
}

shale_code shale_db_manifest(char **out_json, shale_db *db, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_buf text = {0};
    struct shl_json_writer w;
    if (out_json == NULL || db == NULL)
        return shl_fail(err, SHALE_INVALID, "manifest: the %s is NULL",
                        db == NULL ? "database" : "place for the text");
    shl_json_begin(&w, &text, err);
    shl_lsm_manifest_json(db->lsm, &w);
    shale_code rc = shl_api_text_out(&w, &text, out_json, err);
    shl_buf_free(&text);
    return rc;
}

/* ---- SSTables in the caches */

#define TARGETS_KNOWN                                                                              \
    (SHALE_CACHE_FILTERS | SHALE_CACHE_INDEX | SHALE_CACHE_STATS | SHALE_CACHE_DATA)

static shale_code no_sst(const shale_db *db, shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "the %s is NULL",
                    db == NULL ? "database handle" : "name of the sst");
}

shale_code shale_db_warm_sst(shale_db *db, const char *sst, unsigned targets, shale_range data,
                             shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_warm what = {.filters = (targets & SHALE_CACHE_FILTERS) != 0,
                                .data = (targets & SHALE_CACHE_DATA) != 0};
    if (db == NULL || sst == NULL)
        return no_sst(db, err);
    if (targets == 0 || (targets & ~(unsigned)TARGETS_KNOWN) != 0)
        return shl_fail(err, SHALE_INVALID, "warm: targets %#x, known are the bits of %#x", targets,
                        (unsigned)TARGETS_KNOWN);
    shale_code rc = shl_api_range_in(&data, &what.range, err);
    return rc == SHALE_OK ? shl_lsm_warm_sst(db->lsm, sst, &what, err) : rc;
}

shale_code shale_db_evict_cached_sst(shale_db *db, const char *sst, shale_error *err)
{
    SHL_API_ERR(err);
    return db == NULL || sst == NULL ? no_sst(db, err) : shl_lsm_evict_sst(db->lsm, sst, err);
}

shale_code shale_db_range_bytes(uint64_t *out_bytes, shale_db *db, shale_range range,
                                shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_lsm_range in;
    if (db == NULL || out_bytes == NULL)
        return shl_fail(err, SHALE_INVALID, "the %s is NULL",
                        db == NULL ? "database handle" : "place for the result");
    shale_code rc = shl_api_range_in(&range, &in, err);
    return rc == SHALE_OK ? shl_lsm_range_bytes(db->lsm, &in, out_bytes, err) : rc;
}
