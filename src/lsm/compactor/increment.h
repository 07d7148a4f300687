/* Commits what a running job has finished before it ends, so that its inputs can go sooner: "incremental commit", slatedb-behaviour 13.2. Pure but for
 * the chance in new view ids. */
#ifndef SHL_LSM_COMPACTOR_INCREMENT_H
#define SHL_LSM_COMPACTOR_INCREMENT_H

#include "lsm/compactor/check.h"

struct shl_increment {
    size_t outputs; /* that are new in the tree; 0: as of shl_increment_news, and m is as it was */
    uint64_t released_bytes; /* of SSTs that the tree does not need any more */
};

/* How many finished outputs of the job are not in the tree yet. 0 too if it is not one of those: running, of sorted runs only, its destination among them, and
 * fitting the manifest. */
size_t shl_increment_news(const struct shl_manifest *m, const struct shl_compaction *job);
/* The keys whose rows are all in the job's published outputs are cut out of its source runs, which stay listed, even without SSTs; those outputs go into the
 * destination. The job itself goes on as before, and its end replaces them all. After NOMEM m may be half changed. */
SHL_MUST shale_code shl_increment_commit(struct shl_manifest *m, const struct shl_compaction *job,
                                         struct shl_increment *out, shale_error *err);

#endif
