/* What was written since the oldest open transaction began: keys by commit, oldest first, within so many bytes. Empty, and without any cost for
 * writers, while no transaction is open. Guarded by the mu of its database, but for the walk over what was there when it began. */
#ifndef SHL_LSM_CONFLICT_LOG_H
#define SHL_LSM_CONFLICT_LOG_H

#include "lsm/format/row.h"

struct shl_conflict_chunk;

/* {0} with max_bytes set is empty. */
struct shl_conflict_log {
    struct shl_conflict_chunk *head, *tail; /* owned chain */
    struct shl_conflict_chunk *dead; /* owned: dropped while somebody walked */
    unsigned walkers;
    size_t bytes;      /* of all chunks */
    size_t max_bytes;
    uint64_t lost_seq; /* commits up to it are not all here: who began before it cannot be tested */
};

void shl_conflict_log_deinit(struct shl_conflict_log *l);
/* Cannot fail: what there is no room for is lost, and lost_seq says so. */
void shl_conflict_log_add(struct shl_conflict_log *l, uint64_t seq, const struct shl_row *rows,
                          size_t count);
/* Nobody asks for commits up to `seq` any more. */
void shl_conflict_log_trim(struct shl_conflict_log *l, uint64_t seq);

/* A walk over all keys above a seq that were there at its beginning. Begin and end under mu; between them mu may be left. */
struct shl_conflict_walk {
    struct shl_conflict_chunk *chunk; /* NULL: at the end */
    const struct shl_conflict_chunk *last;
    size_t at, last_used;
    uint64_t after;
};
void shl_conflict_walk_begin(struct shl_conflict_log *l, struct shl_conflict_walk *w,
                             uint64_t after);
/* False at the end. The key lives until the walk ends. */
bool shl_conflict_walk_next(struct shl_conflict_walk *w, struct shl_slice *key, uint64_t *seq);
void shl_conflict_walk_end(struct shl_conflict_log *l);

#endif
