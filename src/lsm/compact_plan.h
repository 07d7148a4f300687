/* Which sorted runs and L0 SSTs to compact next: size-tiered, pure. slatedb-behaviour 13.3. */
#ifndef SHL_LSM_COMPACT_PLAN_H
#define SHL_LSM_COMPACT_PLAN_H

#include "lsm/format/manifest.h"
#include "lsm/settings.h"

struct shl_compact_plan {
    const struct shl_segment *segment; /* NULL: the root tree; borrows from the manifest */
    size_t l0_first, l0_count;   /* index into the tree's l0: the oldest ones; count 0: none */
    size_t run_first, run_count; /* index into the tree's runs; count 0: none */
    uint32_t destination;        /* run id */
    bool drop_tombstones;
};

/* False if nothing is due. */
bool shl_compact_plan_next(const struct shl_manifest *m, const struct shl_lsm_settings *s,
                           struct shl_compact_plan *out);

#endif
