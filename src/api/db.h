/* The handle behind shale_db and shale_batch. */
#ifndef SHL_API_DB_H
#define SHL_API_DB_H

#include "api/compaction_filter.h"
#include "api/filter_policy.h"
#include "api/scheduler.h"
#include "api/stack.h"
#include "api/transform.h"
#include "lsm/db.h"
#include "lsm/recency.h"
#include "lsm/txn.h"

#include <shale/db.h>
#include <shale/options.h>

struct shale_db {
    struct shl_lsm *lsm;        /* owned [const until close] */
    struct shl_api_stack stack; /* owned [const] */
    /* Components outlive the options they came from, so the handle keeps them [const]. */
    struct shl_merge_operator merge_operator;
    struct shl_api_transform transform;
    struct shl_api_scheduler scheduler;
    struct shl_api_compaction_filter compaction_filter;
    struct shl_api_filter_policies filter_policies;
    struct shl_api_extractor extractors[2];
    shale_trace_fn trace;
    void *trace_ctx;
    shale_merge_fn merge;
    void *merge_ctx;
};

/* What the options brought, but for the transformer; after the stack was opened. The struct must not be moved afterwards. */
void shl_api_take_components(struct shale_db *db, const shale_options *o,
                             struct shl_api_resolved *r);

struct shale_batch {
    struct shl_batch batch;
};

static inline struct shl_slice shl_api_slice_in(shale_slice s)
{
    return shl_slice_of(s.data, s.len);
}

/* ---- options and results of the calls, in and out (db.c) */
SHL_MUST shale_code shl_api_write_how(const shale_write_options *theirs, shale_write_options *how,
                                      struct shl_ttl *ttl, shale_error *err);
void shl_api_give_result(const shale_write_options *how, const struct shl_lsm_written *written);
SHL_MUST shale_code shl_api_read_how(const shale_read_options *theirs, struct shl_lsm_read *out,
                                     shale_error *err);
SHL_MUST shale_code shl_api_scan_how(const shale_range *range, const shale_scan_options *theirs,
                                     struct shl_lsm_range *out_range, struct shl_lsm_scan *out,
                                     shale_error *err);
/* Borrows the keys. INVALID: kinds of bounds. */
SHL_MUST shale_code shl_api_range_in(const shale_range *r, struct shl_lsm_range *out,
                                     shale_error *err);
/* A miss has a code and no text, and nothing of an earlier failure is left in the user's error. */
shale_code shl_api_not_found(shale_code rc, shale_error *err);
shale_raw_row shl_api_raw_row(const struct shl_row *row);
shale_pinned shl_api_pinned_out(const struct shl_lsm_pinned *found);
/* txn NULL: as `how` says. */
SHL_MUST shale_code shl_api_get_many(struct shl_lsm *db, struct shl_txn *txn, shale_pinned *out,
                                     shale_code *codes, const shale_slice *keys, size_t count,
                                     const struct shl_lsm_read *how, shale_error *err);

#endif
