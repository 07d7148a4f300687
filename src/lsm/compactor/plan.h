/* What a compaction now would begin with. Reads only; fences nobody. */
#ifndef SHL_LSM_COMPACTOR_PLAN_H
#define SHL_LSM_COMPACTOR_PLAN_H

#include "lsm/compactor/process.h"
#include "lsm/compactor/request.h"

/* {0} may be deinit'ed. */
struct shl_compact_plan {
    shl_proposals
        jobs; /* owned: those that are open, then those that would be submitted (without ids) */
    SHL_ARRAY(uint64_t) bytes; /* owned: of the sources of each job, about */
};
void shl_compact_plan_deinit(struct shl_compact_plan *p);
/* request NULL: what is due. 2 LISTs and 4 GETs. Errors: those of shl_request_submit. */
SHL_MUST shale_code shl_compact_plan(const struct shl_process_open *o,
                                     const struct shl_request *request,
                                     struct shl_compact_plan *out, shale_error *err);

#endif
