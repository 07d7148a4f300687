/* What a coordinator changes in a manifest: a checkpoint that keeps the old tree for its readers, then the tree. Pure but for the checkpoint's
 * id and times, which are given. slatedb-behaviour 13.2 "Manifest commit", "Finish". */
#ifndef SHL_LSM_COMPACTOR_COMMIT_H
#define SHL_LSM_COMPACTOR_COMMIT_H

#include "lsm/compactor/check.h"

/* Adds a checkpoint of manifest `manifest_id` (the one it is written in), which expires life_ms from now, rounded up to a second. Expired ones go, else they would pile up without a collector. */
SHL_MUST shale_code shl_commit_checkpoint(struct shl_manifest *m, uint64_t manifest_id,
                                          struct shl_ulid id, int64_t now_ms, uint64_t life_ms,
                                          shale_error *err);
/* The tree of a job whose segment is there. */
struct shl_tree *shl_commit_tree(struct shl_manifest *m, const struct shl_compaction *job);
/* Puts the outputs of a tiered job (or, trivial: its inputs as they are) in the place of its sources, or drops the sources of a drain.
 * CONFLICT with the reason if the job no longer fits; m is then as it was, but after NOMEM it may be half changed. */
SHL_MUST shale_code shl_commit_job(struct shl_manifest *m, const struct shl_compaction *job,
                                   bool trivial, shale_error *err);

#endif
