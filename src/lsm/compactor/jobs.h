/* The rows of the compactions file as a state machine: which jobs are at work, who may change what, how files of several parties are merged.
 * Pure. slatedb-behaviour 13.1, 13.3. */
#ifndef SHL_LSM_COMPACTOR_JOBS_H
#define SHL_LSM_COMPACTOR_JOBS_H

#include "lsm/format/compactions.h"

/* Submitted, Scheduled, Running or Compacted: its sources and destination are taken. */
bool shl_job_is_active(const struct shl_compaction *job);
/* Counts against max_concurrent_compactions: Scheduled or Running. */
bool shl_job_is_at_work(const struct shl_compaction *job);
/* Whether they share a source, or a destination. Two drains have no destination. */
bool shl_job_meets(const struct shl_compaction *a, const struct shl_compaction *b);
const char *shl_job_status_name(enum shl_compaction_status status); /* as SlateDB prints it */

struct shl_compaction *shl_jobs_find(struct shl_compactions *c, struct shl_ulid id);
/* An active job that shares a source or destination with `job` and stands before it, or NULL. With whole: one behind it, too. */
const struct shl_compaction *shl_jobs_rival(const struct shl_compactions *c,
                                            const struct shl_compaction *job, bool whole);
size_t shl_jobs_at_work(const struct shl_compactions *c);
size_t shl_jobs_active(const struct shl_compactions *c);
/* Whether a job may have this id: not in the file, and its time not before the newest one's, for the collector takes what is older. */
bool shl_jobs_admits(const struct shl_compactions *c, struct shl_ulid id);
/* At its place in order; the job becomes the file's on success. */
SHL_MUST shale_code shl_jobs_insert(struct shl_compactions *c, struct shl_compaction *take_job,
                                    shale_error *err);
void shl_jobs_remove(struct shl_compactions *c, size_t index);
/* Finished jobs go, but for the newest one, which the collector needs. */
void shl_jobs_trim(struct shl_compactions *c);

/* ---- the coordinator */
/* A new coordinator: what was only scheduled is looked at again. heirs: jobs that the process of an earlier coordinator gave itself
 * (shl_job_claim_own) are taken back at once, for that process is known to be gone. */
void shl_jobs_restart(struct shl_compactions *c, bool heirs);
/* Running jobs without worker, or whose worker has been silent for longer, are free for other workers; their context stays. How many. */
size_t shl_jobs_reclaim(struct shl_compactions *c, uint64_t now_ms, uint64_t timeout_ms);
/* Brings `stored`, a newer file, together with what this coordinator last knew: what others may not do is undone. How many jobs that was. */
SHL_MUST shale_code shl_jobs_merge(const struct shl_compactions *known,
                                   struct shl_compactions *stored, size_t *refused,
                                   shale_error *err);

/* ---- a worker */
/* Scheduled, and nobody's. */
bool shl_job_is_free(const struct shl_compaction *job);
SHL_MUST shale_code shl_job_claim(struct shl_compaction *job, const char *worker_id,
                                  uint64_t now_ms, shale_error *err);
/* A coordinator's process takes a job of its own: the worker's id has the job's time, so that heirs know it, and `chance`, so that no other process
 * has the same. */
SHL_MUST shale_code shl_job_claim_own(struct shl_compaction *job, struct shl_ulid chance,
                                      uint64_t now_ms, shale_error *err);
/* Whether a coordinator's process gave it itself. */
bool shl_job_is_own(const struct shl_compaction *job);
/* `chance` of a coordinator's process that ends by itself when nothing is left: made of the job and its epoch, which no other process has. */
struct shl_ulid shl_job_mark(const struct shl_compaction *job, uint64_t epoch);
/* The coordinator of this epoch was such a process, and has ended: its mark is on the newest finished job, and nothing is being merged or committed. */
bool shl_jobs_ended_with(const struct shl_compactions *c, uint64_t epoch);
bool shl_job_is_held_by(const struct shl_compaction *job, const char *worker_id);
/* Back to Scheduled; the context stays. */
void shl_job_release(struct shl_compaction *job);
/* Compacted with these outputs (references are taken); the context goes. */
SHL_MUST shale_code shl_job_finish(struct shl_compaction *job, const shl_sst_descs *outputs,
                                   shale_error *err);
/* Whether `next` may follow `before`: the same ranges and barrier, outputs only added, what was completed stays so. */
bool shl_job_context_grows(const struct shl_compaction *before, const struct shl_compaction *next);
/* Copies the context of `from` into `to`. */
SHL_MUST shale_code shl_job_copy_context(const struct shl_compaction *from,
                                         struct shl_compaction *to, shale_error *err);
void shl_job_drop_context(struct shl_compaction *job);

#endif
