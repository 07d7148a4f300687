/* The inside of a compactor, shared by compactor.c, coordinator.c and worker.c. All of it belongs to the stepping task, but for what says so. */
#ifndef SHL_LSM_COMPACTOR_INTERNAL_H
#define SHL_LSM_COMPACTOR_INTERNAL_H

#include "lsm/compactor/compactor.h"
#include "lsm/compactor/file.h"

/* A job that we claimed, until its last record is written. */
struct shl_held {
    struct shl_ulid id;
    char worker_id[SHL_ULID_TEXT]; /* by which we hold it */
    struct shl_job_run *run;       /* owned; NULL: it could not be started */
    uint64_t began_ns;
    bool ended;                    /* rc and outputs say how */
    bool lost;                     /* the file says that it is not ours any more */
    bool recorded;                 /* its end is in the file that is being written */
    shale_code rc;
    shale_error err;
    shl_sst_descs outputs; /* counted */
};

/* A job that failed here: not to be claimed again before then. */
struct shl_retry {
    struct shl_ulid id;
    uint64_t until_ns;
};

struct shl_compactor {
    struct shl_compactor_options o;
    struct shl_run_env run_env;
    struct shl_compactions_file file;
    char worker_id[SHL_ULID_TEXT];
    uint64_t epoch; /* 0: not claimed */
    bool ends;      /* by itself, when nothing is left */
    bool fenced;    /* another coordinator was found in this step */
    struct env_mutex mu; /* a leaf but for those of runs */
    SHL_ARRAY(struct shl_held) held; /* items come and go under mu */
    struct shl_compactor_counts counts; /* [mu] as of the last step; what runs is counted when it is asked for */
    struct shl_run_counts run_counts;   /* [atomic] */
    struct shl_merge_slots slots;
    SHL_ARRAY(struct shl_retry) retries;
    uint64_t poll_ns;      /* when to load the file next */
    uint64_t pace_ns;      /* embedded: between two of them while nothing happens */
    uint64_t heartbeat_ns; /* when to give the next sign of life */
    uint64_t claim_ns;     /* worker: when to look for jobs next */
    uint64_t back_ns;      /* embedded, fenced: not before then; 0: no */
    uint64_t back_id;      /* version of the file when it began to stand back */
    uint64_t increment_ns; /* running jobs are committed in part: not before then */
    uint64_t committed, executed, claimed, reclaimed, released_bytes;
    uint64_t last_commit_s, last_heartbeat_ms;
    bool failed; /* in this step */
    shale_error failure;
};

static inline uint64_t shl_compactor_now_ms(const struct shl_compactor *c)
{
    return shl_clock_unix_ms(&c->o.settings->clock);
}

/* Loads the file. A coordinator brings what it knew together with it. Then the manifest: never the other way round. */
SHL_MUST shale_code shl_compactor_load(struct shl_compactor *c, bool *changed, shale_error *err);
/* edit changes a copy of the newest file, and says whether; it may run several times. as_coordinator: FENCED if somebody else is. */
typedef shale_code (*shl_jobs_edit)(struct shl_compactor *c, struct shl_compactions *next,
                                    void *arg, bool *changed, shale_error *err);
SHL_MUST shale_code shl_compactor_update(struct shl_compactor *c, bool as_coordinator,
                                         shl_jobs_edit edit, void *arg, bool *wrote,
                                         shale_error *err);

/* FENCED, and notes it. */
SHL_MUST shale_code shl_compactor_fenced(struct shl_compactor *c, uint64_t stored,
                                         shale_error *err);

/* ---- coordinator.c */
/* One round; *did: something changed. */
SHL_MUST shale_code shl_coordinator_step(struct shl_compactor *c, bool look, bool *did,
                                         shale_error *err);
uint64_t shl_coordinator_next_ns(const struct shl_compactor *c);

/* ---- worker.c */
/* Notes which runs ended, publishes ends and signs of life. */
SHL_MUST shale_code shl_worker_publish(struct shl_compactor *c, bool *did, shale_error *err);
/* Looks for jobs of other coordinators. */
SHL_MUST shale_code shl_worker_step(struct shl_compactor *c, bool look, bool *did,
                                    shale_error *err);
/* Whether this process may take the job now. */
bool shl_worker_wants(const struct shl_compactor *c, const struct shl_compactions *jobs,
                      const struct shl_compaction *job, size_t more);
/* Starts the run of a job that the file says is ours. Never fails: what cannot be started is given back. room in `held` is there. */
void shl_worker_begin(struct shl_compactor *c, const struct shl_compaction *job,
                      struct shl_levels *levels);
/* Signs of life for our own jobs in `next`, so that our coordinator does not take them from us after we were asleep. Not worth a write. */
void shl_worker_touch(const struct shl_compactor *c, struct shl_compactions *next);
uint64_t shl_worker_next_ns(const struct shl_compactor *c);
void shl_worker_stop_all(struct shl_compactor *c);
void shl_worker_drop(struct shl_compactor *c, size_t i);
bool shl_worker_reserve(struct shl_compactor *c, size_t more); /* room in `held`; false: NOMEM */

#endif
