/* The world around simulated processes: a bucket that outlives them, its faults, and what their clients know.
 *
 * The bucket is a memory store of group 0. Each process sees it through a struct shl_store of its own that waits, fails before the effect,
 * loses the answer after it, or kills the process, as the seed or an armed counter says. */
#ifndef SHALE_TESTS_WORLD_H
#define SHALE_TESTS_WORLD_H

#include "base/env/sim.h"
#include "lsm/db.h"
#include "store/store.h"

enum world_fault {
    WORLD_FAIL_BEFORE = 1,
    WORLD_FAIL_AFTER = 2,
    WORLD_KILL_BEFORE = 4,
    WORLD_KILL_AFTER = 8
};

struct world_faults {
    double before, after;    /* chance of a failure before, after the effect of a call */
    uint64_t latency_max_ns; /* each call waits up to this */
    uint64_t fixed_ns;       /* ... and exactly this */
    unsigned armed;          /* enum world_fault, at the nth call; 0: none */
    shale_code code;         /* what an armed failure says; SHALE_OK: UNAVAILABLE */
    uint64_t nth;
    bool sticky;           /* from the nth call on */
    bool conditional_only; /* count and cut only create-only and if-match puts */
    uint64_t calls;        /* counted since the struct was set */
    bool fired;
};

/* Before each run. */
void world_init(void);
/* A view of `bucket` (borrowed) for one process; faults are read at every call and may be changed. It is near like the bucket only if the
 * calls do not wait now. */
shale_code world_store_new(struct shl_store *bucket, struct world_faults *faults,
                           struct shl_store **out, shale_error *err);

/* ---- what clients did: one history per database. Values carry the number of the operation that wrote them. */
#define WORLD_KEYS     40
#define WORLD_OPS_MAX  4000
#define WORLD_ROWS_MAX 4

struct world_op {
    uint64_t seq;   /* 0: the call did not return, so it may or may not have happened */
    uint64_t order; /* when it was submitted */
    bool durable;   /* acknowledged as durable */
    unsigned rows;
    unsigned key[WORLD_ROWS_MAX];
    bool deletes[WORLD_ROWS_MAX];
};

struct world_history {
    struct world_op ops[WORLD_OPS_MAX];
    unsigned count;
    uint64_t checked_seq; /* what the last check found committed */
};

void world_key(unsigned number, char out[24]);
/* Submits one random operation (put, delete or batch) through the engine and records what is known of it. */
shale_code world_random_write(struct world_history *h, struct shl_lsm *db, bool await_durable,
                              shale_error *err);
/* Everything that was submitted and is in the database up to `seq` counts as durable. */
void world_flushed(struct world_history *h, uint64_t seq);
/* Checks a freshly opened database against the history: its rows must be those after some prefix of the operations that holds all durable ones;
 * operations behind the prefix are forgotten. Aborts the run on a difference. `all`: nothing may be missing (clean close). */
void world_check(struct world_history *h, struct shl_lsm *db, bool all);
/* Scans and gets must agree with each other at any moment, in both directions. */
void world_check_reads(struct shl_lsm *db);

/* Settings by chance: tiny tables and blocks, each codec, WAL on or off, few L0s, ... */
void world_random_settings(struct shl_lsm_settings *s);

#endif
