/* Jobs that are asked for: what is asked, as SlateDB's tool writes it, to jobs, to the compactions file. slatedb-behaviour 13.3, slatedb-surface 4. */
#ifndef SHL_LSM_COMPACTOR_REQUEST_H
#define SHL_LSM_COMPACTOR_REQUEST_H

#include "lsm/clock.h"
#include "lsm/compactor/scheduler.h"
#include "lsm/format/names.h"
#include "store/store.h"

enum shl_request_kind { SHL_REQUEST_FULL, SHL_REQUEST_FULL_SEGMENT, SHL_REQUEST_SPEC };
/* {0} may be deinit'ed. */
struct shl_request {
    enum shl_request_kind kind;
    struct shl_buf segment;     /* owned: of FULL_SEGMENT; empty: the root tree */
    struct shl_compaction spec; /* owned: of SPEC */
};
/* "Full", {"FullSegment":{"segment":[104,111]}}, {"Spec":{"Tiered":{"segment":[],"sources":[{"SstView":"<ULID>"},{"SortedRun":3}],"destination":7}}}, or
 * {"Spec":{"DrainSegment":{"segment":[..],"sources":[..]}}}. INVALID says what is wrong with it. */
SHL_MUST shale_code shl_request_parse(struct shl_slice json, struct shl_request *out,
                                      shale_error *err);
void shl_request_deinit(struct shl_request *r);

/* Pure: the jobs of a request, without ids. FULL: all runs of each tree that has some; none is no failure. INVALID: it cannot be done, and why. */
SHL_MUST shale_code shl_request_plan(const struct shl_request *r, const struct shl_manifest *m,
                                     shl_proposals *out, shale_error *err);

/* Submits the jobs of a request, with ids by the clock; *out gets them as they were written (the caller's). Two LISTs, a few GETs and a PUT. Errors: NOT_FOUND (no database), INVALID
 * (the request), CONFLICT (a source or destination is that of an active job). */
SHL_MUST shale_code shl_request_submit(struct shl_store *store, const char *path,
                                       const struct shl_clock *clock, const struct shl_request *r,
                                       shl_proposals *out, shale_error *err);
/* CONFLICT, with the job that is in the way. */
shale_code shl_request_conflict(const struct shl_compaction *other, shale_error *err);
/* The same for what a scheduler finds to do, at most `slots` jobs. */
SHL_MUST shale_code shl_request_submit_due(struct shl_store *store, const char *path,
                                           const struct shl_clock *clock,
                                           const struct shl_scheduler *scheduler, size_t slots,
                                           shl_proposals *out, shale_error *err);
/* The newest manifest, owned by the caller. NOT_FOUND: no database. */
SHL_MUST shale_code shl_request_manifest(struct shl_store *store, const struct shl_db_paths *paths,
                                         struct shl_manifest **out, shale_error *err);

#endif
