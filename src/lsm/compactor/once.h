/* A compaction now: by the coordinator that the database has, if one is alive, else by ourselves. */
#ifndef SHL_LSM_COMPACTOR_ONCE_H
#define SHL_LSM_COMPACTOR_ONCE_H

#include "lsm/compactor/process.h"
#include "lsm/compactor/request.h"

enum shl_once_phase { SHL_ONCE_ASKED, SHL_ONCE_OTHERS_WORK, SHL_ONCE_WE_WORK };
struct shl_once {
    const struct shl_request *request; /* NULL: what is due */
    bool no_wait;                      /* with a request: only submit it */
    /* Who has given no sign for so long does not live: a worker, then a coordinator. A coordinator that never was needs no waiting. */
    uint64_t take_over_ns;
    /* As in shl_process_run; while others work `now` is zeroed but for `active`. NULL: nobody asks. */
    bool (*tick)(void *ctx, enum shl_once_phase phase, const struct shl_compactor_report *now);
    void *ctx;
};
struct shl_once_result {
    shl_proposals jobs;    /* owned: those of the request, as the file says at the end; free with shl_proposals_free */
    bool by_us;            /* we were the compactor, or a worker */
    bool stopped;          /* tick said so: the jobs stay where they are */
    uint64_t compactions;  /* by us */
};
/* Returns when the request's jobs (without one: all jobs, and whatever is due) are done, or tick stops it. Errors: NOT_FOUND (no database), INVALID and
 * CONFLICT (the request; a job of it failed), and those of shl_process_run. */
SHL_MUST shale_code shl_compact_once(const struct shl_process_open *o, const struct shl_once *how,
                                     struct shl_once_result *out, shale_error *err);

#endif
