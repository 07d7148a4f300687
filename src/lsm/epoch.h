/* Epochs: how readers use shared structures without counting references.
 *
 * A reader enters before it loads an epoch-protected pointer (with env_load_seq) and leaves when it no longer uses anything reached
 * from it. A remover first swaps the pointer (env_exchange / env_store_seq), then retires the old object, which is freed when
 * every reader that could have seen it has left. An epoch never spans a store request or a lock wait, and of user callbacks only a filter policy's may_match
 * (sst_probe.c) and the clock of strict reads (db_get.c), which must neither block nor call into the database: while they run, nothing that was retired since is
 * freed.
 * Any task. One domain per database; nothing is registered per thread. */
#ifndef SHL_LSM_EPOCH_H
#define SHL_LSM_EPOCH_H

#include "base/env/env.h"
#include "base/err.h"

struct shl_epoch;

/* Embedded first in whatever can be retired, so that retiring never allocates. */
struct shl_retired {
    struct shl_retired *next;
    uint64_t epoch;
    void (*free_fn)(struct shl_retired *r);
};

SHL_MUST shale_code shl_epoch_new(struct shl_epoch **out, shale_error *err);
/* Nobody may be inside. Frees all that is retired. NULL is fine. */
void shl_epoch_free(struct shl_epoch *e);

/* Cost: one compare-and-swap on a line that is normally the task's own. The token goes to leave. May nest (two tokens). */
uint32_t shl_epoch_enter(struct shl_epoch *e);
void shl_epoch_leave(struct shl_epoch *e, uint32_t token);

/* What readers count while they are inside: without a lock or a line of its own, for a slot is one reader's alone until it leaves. */
enum shl_epoch_count {
    SHL_COUNT_GETS,
    SHL_COUNT_FILTER_POSITIVE, /* a filter let a key through */
    SHL_COUNT_FILTER_NEGATIVE,
    SHL_COUNT_PREFIX_POSITIVE, /* the same for scans of a prefix */
    SHL_COUNT_PREFIX_NEGATIVE,
    SHL_COUNT_FILTER_FALSE,    /* ... and the SST did not have it */
    SHL_COUNT_OPERANDS,        /* merge operands that gets met */
    SHL_EPOCH_COUNTS
};
void shl_epoch_count(struct shl_epoch *e, uint32_t token, enum shl_epoch_count what, uint64_t n);
/* Since the epoch was made. Any task; what is counted right now may be missing. */
uint64_t shl_epoch_counted(const struct shl_epoch *e, enum shl_epoch_count what);

/* Hands over an object that new readers can no longer reach. Every 64th call collects by itself. */
void shl_epoch_retire(struct shl_epoch *e, struct shl_retired *r, void (*free_fn)(struct shl_retired *r));
/* Frees what no reader can hold any more; returns how many objects wait on. Not inside an epoch of the caller. */
size_t shl_epoch_collect(struct shl_epoch *e);

#endif
