/* Whether a job may be scheduled, and whether its result may go into the manifest. Pure. slatedb-behaviour 13.2 "Validation". */
#ifndef SHL_LSM_COMPACTOR_CHECK_H
#define SHL_LSM_COMPACTOR_CHECK_H

#include "lsm/compactor/jobs.h"

/* The tree of a job's segment, NULL if there is none. */
const struct shl_tree *shl_job_tree(const struct shl_manifest *m, const struct shl_compaction *job);
size_t shl_tree_find_view(const struct shl_tree *t, struct shl_ulid id); /* SIZE_MAX: none */
size_t shl_tree_find_run(const struct shl_tree *t, uint32_t id);

enum shl_job_stage { SHL_STAGE_SUBMITTED, SHL_STAGE_COMMIT };
/* Against the manifest alone. NULL if it may; else why not, in words. */
const char *shl_job_check(const struct shl_manifest *m, const struct shl_compaction *job,
                          enum shl_job_stage stage);
/* Against the other jobs of the file: an L0 job of the same tree at work, a job before it with a source or destination of its. */
const char *shl_job_check_rivals(const struct shl_compactions *c, const struct shl_compaction *job);
/* Whether the manifest holds the result already: a commit whose record was not written. */
bool shl_job_is_committed(const struct shl_manifest *m, const struct shl_compaction *job);
/* Whether nothing older than the output stays in the tree, so that tombstones may go. */
bool shl_job_reaches_bottom(const struct shl_tree *t, const struct shl_compaction *job);
/* Whether no two of the job's input views overlap, so that they may become a run as they are. */
bool shl_job_is_trivial(const struct shl_tree *t, const struct shl_compaction *job);
/* The views of a job's inputs by key, borrowed from the tree, as many as there are; *out is the caller's (env_free). */
SHL_MUST shale_code shl_job_views(const struct shl_tree *t, const struct shl_compaction *job,
                                  const struct shl_sst_view ***out, size_t *count,
                                  shale_error *err);

#endif
