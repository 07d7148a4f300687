/* Which sorted runs and L0 SSTables to compact next. Pure: the same manifest and jobs, the same answer. slatedb-behaviour 13.3. */
#ifndef SHL_LSM_COMPACTOR_SCHEDULER_H
#define SHL_LSM_COMPACTOR_SCHEDULER_H

#include "lsm/compactor/check.h"
#include "lsm/settings.h"

/* Jobs without id, Submitted. {0} may be freed. */
typedef SHL_ARRAY(struct shl_compaction) shl_proposals;
void shl_proposals_free(shl_proposals *p);

/* A policy; both calls are pure, and may run several times for one decision. */
struct shl_scheduler {
    /* Appends at most `slots` jobs, the most urgent first. No two of them, nor one of them and an active job of `c`, share a source or destination. */
    shale_code (*propose)(void *ctx, const struct shl_manifest *m, const struct shl_compactions *c,
                          size_t slots, shl_proposals *out, shale_error *err);
    void *ctx;
};

/* ctx of both: the settings, borrowed. */
struct shl_scheduler shl_scheduler_size_tiered(const struct shl_lsm_settings *s);
/* Ours: each run is at least include_size_threshold times the one above it, so that a get asks few of them; more is rewritten for it. */
struct shl_scheduler shl_scheduler_leveled(const struct shl_lsm_settings *s);
/* The one that the settings name. */
struct shl_scheduler shl_scheduler_of(const struct shl_lsm_settings *s);

/* ---- shared by the policies */
uint64_t shl_view_bytes(const struct shl_sst_view *v); /* estimate of what is visible through it */
uint64_t shl_views_bytes(const shl_sst_views *views);
uint64_t shl_run_bytes(const struct shl_run *r);

/* What is going on in a round: free ids, and what is taken by active jobs and those proposed so far. */
struct shl_round {
    const struct shl_manifest *m;
    const struct shl_compactions *c;
    const shl_proposals *proposed;
};
bool shl_round_view_is_free(const struct shl_round *r, struct shl_ulid view);
bool shl_round_run_is_free(const struct shl_round *r, uint32_t id);
bool shl_round_has_l0_job(const struct shl_round *r, struct shl_slice segment);
/* One above every run and every destination; false if there is none. */
bool shl_round_next_run(const struct shl_round *r, uint32_t *out);

/* A consecutive stretch of a tree. */
struct shl_pick {
    size_t l0_first, l0_count; /* index into the tree's l0: the oldest ones; count 0: none */
    size_t run_first, run_count;
    uint32_t destination;
};
typedef bool (*shl_pick_fn)(const struct shl_round *r, const struct shl_tree *t,
                            struct shl_slice segment, const struct shl_lsm_settings *s,
                            struct shl_pick *out);
/* Trees with most L0s first, one pick of each in turn until the slots are used or nothing is picked. */
SHL_MUST shale_code shl_propose_round_robin(const struct shl_manifest *m,
                                            const struct shl_compactions *c, size_t slots,
                                            const struct shl_lsm_settings *s, shl_pick_fn pick,
                                            shl_proposals *out, shale_error *err);
/* The job of a pick. */
SHL_MUST shale_code shl_pick_job(const struct shl_tree *t, struct shl_slice segment,
                                 const struct shl_pick *p, struct shl_compaction *out,
                                 shale_error *err);

#endif
