/* Sources made of what a version holds: a memtable, a run as one after the other, trees one after the other. */
#ifndef SHL_LSM_SOURCE_CHAIN_H
#define SHL_LSM_SOURCE_CHAIN_H

#include "lsm/levels.h"
#include "lsm/source.h"

/* So many sources are collected on the stack before they are merged. */
#define SHL_FEW_SOURCES 16

/* How SSTs are read by a scan or compaction. */
struct shl_read_plan {
    bool reverse;
    bool use_cache;
    bool fill_cache;
    bool passes_by; /* as in shl_sst_scan */
    size_t window_first_bytes;
    size_t window_max_bytes;
    struct shl_fanout *
        fanout; /* borrowed; NULL: one request at a time. With it, seeks go to all sources at once, and there is read-ahead */
    struct shl_read_budget *budget; /* borrowed; with fanout */
    unsigned ahead_max;             /* as in shl_sst_scan */
    unsigned ahead_first;           /* as in shl_sst_scan */
    /* The scan's bounds, inclusive; borrowed until the source is closed; NULL: none. What lies outside is not read, but rows may be given. */
    const struct shl_slice *lower, *upper;
    bool has_prefix;          /* every key of the scan begins with `prefix`: filters may be asked */
    struct shl_slice prefix;  /* borrowed until the source is closed */
    struct shl_slice context; /* for filters of the application; borrowed likewise */
};

/* All versions of all keys of a memtable. Holds a reference. */
SHL_MUST shale_code shl_memtable_source_new(struct shl_memtable *t, bool reverse,
                                            struct shl_source **out, shale_error *err);

/* One SST through its view. The levels are borrowed. */
SHL_MUST shale_code shl_level_sst_source_new(const struct shl_level_sst *s,
                                             const struct shl_read_plan *plan,
                                             struct shl_source **out, shale_error *err);

/* The SSTs of a run, opened one after the other as they are reached. The levels are borrowed; the plan is copied. */
SHL_MUST shale_code shl_run_source_new(const struct shl_levels *l, const struct shl_level_run *run,
                                       const struct shl_read_plan *plan, struct shl_source **out,
                                       shale_error *err);

/* L0 and runs of a tree, merged. */
SHL_MUST shale_code shl_tree_source_new(const struct shl_levels *l,
                                        const struct shl_level_tree *tree,
                                        const struct shl_read_plan *plan, struct shl_source **out,
                                        shale_error *err);

/* All segments in key order, opened one after the other as they are reached (one tree: just that). */
SHL_MUST shale_code shl_levels_source_new(const struct shl_levels *l,
                                          const struct shl_read_plan *plan, struct shl_source **out,
                                          shale_error *err);

#endif
