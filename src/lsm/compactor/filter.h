/* A compaction filter: decides, row by row, about what retention keeps. Not part of flushes. slatedb-behaviour 8. */
#ifndef SHL_LSM_COMPACTOR_FILTER_H
#define SHL_LSM_COMPACTOR_FILTER_H

#include "base/err.h"
#include "lsm/format/row.h"

#include <stdbool.h>

struct shl_filter_job {
    struct shl_slice segment;
    uint32_t destination;
    bool is_last_run; /* nothing older lies below the output */
    int64_t clock_tick;
    uint64_t retention_min_seq;
};

/* The parts of a job are filtered beside each other, each by an instance of its own, and so is what is left of a part that is resumed. An error of any
 * of them fails the job. */
struct shl_compaction_filter {
    shale_code (*begin)(void *ctx, const struct shl_filter_job *job, void **instance,
                        shale_error *err);
    /* Rows in order. *keep is true; may change value and flags of *row, its value living until the next call of the instance. */
    shale_code (*row)(void *ctx, void *instance, struct shl_row *row, bool *keep, shale_error *err);
    /* Once for each begin that succeeded: after all rows, or (complete false, the answer is ignored) when the part ends early. */
    shale_code (*end)(void *ctx, void *instance, bool complete, shale_error *err);
    void *ctx;
};

#endif
