/* One compaction at work: its inputs merged into new SSTs, in parts beside each other, by tasks of its own. Knows nothing of the compactions
 * file: whoever started it publishes its progress, and may stop it. slatedb-behaviour 8, 13.4 "Execution". */
#ifndef SHL_LSM_COMPACTOR_RUN_H
#define SHL_LSM_COMPACTOR_RUN_H

#include "base/log.h"
#include "lsm/compactor/filter.h"
#include "lsm/compactor/jobs.h"
#include "lsm/fanout.h"
#include "lsm/levels.h"
#include "lsm/piece_pool.h"
#include "lsm/settings.h"

/* What the runs of one process did, for metrics [atomic]: relaxed, each part adds when it ends. */
struct shl_run_counts {
    _Atomic uint64_t purged_values, purged_operands; /* that had expired */
    _Atomic uint64_t operands;                       /* that were folded */
    _Atomic uint64_t ssts, bytes;                    /* outputs, and their blocks */
    _Atomic uint64_t copied_blocks;                  /* of them, as they were stored */
};

/* How many tasks of a compactor merge beside each other. Each has an upload part, and hashes and index of its output, in memory. */
struct shl_merge_slots {
    uint32_t limit;         /* [const] */
    _Atomic uint32_t taken; /* [atomic] relaxed; above the limit where more jobs than that run, each of which has a task */
};

/* What jobs of one process share [const]. All borrowed, and longer alive than every run. */
struct shl_run_env {
    const struct shl_lsm_settings *settings;
    struct shl_store *store;
    const struct shl_db_paths *paths;
    const struct shl_sst_context *context;
    const struct shl_merge_operator *merge;    /* NULL: none */
    const struct shl_transformer *transformer; /* NULL: none */
    const struct shl_compaction_filter *filter; /* NULL: none */
    struct shl_piece_pool *pieces;             /* NULL: none */
    struct shl_fanout *fanout;                 /* NULL: one request at a time */
    struct shl_run_counts *counts;
    struct shl_merge_slots *slots;
    /* Ids for outputs, from any task: not before `floor` in time. */
    struct shl_ulid (*next_ulid)(void *ctx, struct shl_ulid floor);
    bool (*must_stop)(void *ctx); /* from any task, often */
    void (*ended)(void *ctx);     /* from the run's task: its result is there */
    void *ctx;
};

struct shl_job_run;
/* Starts the tasks. The job is copied; the levels, whose manifest must hold its sources, get a reference. A job with a context goes on where that ends;
 * one without is cut into parts, and takes its barrier from the manifest. Errors: NOMEM, UNAVAILABLE (no thread). */
SHL_MUST shale_code shl_job_run_start(const struct shl_run_env *env,
                                      const struct shl_compaction *job, struct shl_levels *levels,
                                      struct shl_job_run **out, shale_error *err);
/* Asks it to end soon. */
void shl_job_run_stop(struct shl_job_run *r);
bool shl_job_run_has_ended(struct shl_job_run *r);
void shl_job_run_wait(struct shl_job_run *r); /* until it has */
/* Waits for the tasks. NULL is fine. */
void shl_job_run_free(struct shl_job_run *r);

/* Copies what is done so far into `job`. False: nothing was planned yet. */
SHL_MUST shale_code shl_job_run_context(struct shl_job_run *r, struct shl_compaction *job,
                                        bool *has_outputs, shale_error *err);
/* After the end: its failure, or all outputs in key order (references). */
SHL_MUST shale_code shl_job_run_result(struct shl_job_run *r, shl_sst_descs *out, shale_error *err);

struct shl_run_progress {
    uint64_t input_bytes; /* of all inputs; an estimate */
    uint64_t rows;        /* read so far */
    uint64_t bytes;       /* keys and values of them */
};
void shl_job_run_progress(struct shl_job_run *r, struct shl_run_progress *out);

#endif
