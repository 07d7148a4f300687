/* The roles of compaction on a bucket: a coordinator that plans, checks and commits, and a worker that runs jobs; one or both in one struct.
 * They talk to others only through the compactions file and the manifest. Passive: whoever owns it calls step, from one task, and again when it says
 * so or when something happened; jobs run in tasks of their own. slatedb-behaviour 13. */
#ifndef SHL_LSM_COMPACTOR_H
#define SHL_LSM_COMPACTOR_H

#include "lsm/compactor/counts.h"
#include "lsm/compactor/run.h"
#include "lsm/compactor/scheduler.h"

/* A change of a manifest that will be written as version `id`; may run several times. */
typedef shale_code (*shl_manifest_change)(struct shl_manifest *m, uint64_t id, void *arg,
                                          shale_error *err);

/* How the roles reach the database; all functions from the stepping task, but for next_ulid, must_stop and wake, which come from any. */
struct shl_compactor_db {
    void *ctx;
    /* Sees to it that `levels` gives what is newest. */
    shale_code (*refresh)(void *ctx, shale_error *err);
    /* A reference to the levels of the newest manifest that is known. */
    shale_code (*levels)(void *ctx, struct shl_levels **out, shale_error *err);
    /* Writes the newest manifest with the change. */
    shale_code (*update)(void *ctx, shl_manifest_change change, void *arg, shale_error *err);
    struct shl_ulid (*next_ulid)(void *ctx, struct shl_ulid floor);
    bool (*must_stop)(void *ctx);
    void (*wake)(void *ctx); /* a job ended: step */
};

struct shl_compactor_options {
    const struct shl_lsm_settings *settings; /* borrowed, and so is all below */
    struct shl_store *store;
    const struct shl_db_paths *paths;
    const struct shl_sst_context *context;
    const struct shl_merge_operator *merge;    /* NULL: none */
    const struct shl_transformer *transformer; /* NULL: none */
    const struct shl_compaction_filter *filter; /* NULL: none */
    struct shl_piece_pool *pieces;             /* NULL: none */
    struct shl_fanout *fanout;                 /* NULL: one request at a time */
    struct shl_log *log;                       /* NULL: silent */
    struct shl_scheduler scheduler;            /* the coordinator's */
    struct shl_compactor_db db;
    bool coordinates;
    bool works;
    /* In the writer's process: the epoch is taken when there is a first job; who loses it stands back for a while instead of failing. */
    bool embedded;
};

struct shl_compactor;
SHL_MUST shale_code shl_compactor_new(const struct shl_compactor_options *o,
                                      struct shl_compactor **out, shale_error *err);
/* finish must have been called if there was a step. NULL is fine. */
void shl_compactor_free(struct shl_compactor *c);
/* Before the first step: it ends by itself when nothing is left. Its jobs say so (shl_jobs_ended_with), and one that fails for good does not wait for a better worker. */
void shl_compactor_ends(struct shl_compactor *c);
bool shl_compactor_coordinates(const struct shl_compactor *c);

struct shl_compactor_report {
    bool did;       /* something was done: step again at once */
    bool idle;      /* nothing of ours runs or waits to be tried again, and nothing is due */
    bool quiet;     /* nobody's job is active either */
    size_t running; /* jobs of ours */
    size_t active;  /* in the file, of anybody */
    uint64_t
        next_ns; /* step at the latest then (env_now_mono_ns); UINT64_MAX: when something happens */
    uint64_t committed; /* jobs that this coordinator has completed, since new */
    uint64_t executed;  /* jobs that this worker has brought to their end */
    uint64_t epoch;     /* 0: not the coordinator */
    bool failed;        /* a job of ours failed in this step: */
    shale_error failure;
    struct shl_run_progress progress; /* of the jobs of ours that run */
};
/* look: something changed in the bucket, or is asked for: no timer is waited for. Errors: FENCED (not embedded: another coordinator took over), and whatever
 * a request or a manifest says; then it may be tried again later. */
SHL_MUST shale_code shl_compactor_step(struct shl_compactor *c, bool look,
                                       struct shl_compactor_report *out, shale_error *err);
/* Any task, at any time between new and free. */
void shl_compactor_count(struct shl_compactor *c, struct shl_compactor_counts *out);
/* Stops the jobs, waits for them, and gives them back in the file. */
SHL_MUST shale_code shl_compactor_finish(struct shl_compactor *c, shale_error *err);

#endif
