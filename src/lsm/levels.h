/* What readers look at: the open SSTs of a manifest (levels), and a version = memtables + levels.
 *
 * Both are immutable and counted; a version is also protected by the epoch of its database, so that a get touches no count. */
#ifndef SHL_LSM_LEVELS_H
#define SHL_LSM_LEVELS_H

#include "lsm/epoch.h"
#include "lsm/format/manifest.h"
#include "lsm/memtable/memtable.h"
#include "lsm/sst/sst_read.h"

/* One view of an SST: the handle and the key range that is visible through it. */
struct shl_level_sst {
    struct shl_sst *sst;        /* counted reference */
    struct shl_key_range range; /* borrows from the manifest held by the levels */
};

struct shl_level_run {
    uint32_t id;
    size_t first; /* index into ssts of the tree */
    size_t count;
};

struct shl_level_tree {
    struct shl_slice
        prefix; /* of the segment; empty for the root tree; borrows from the manifest */
    size_t l0_first, l0_count;   /* in ssts: newest first */
    size_t run_first, run_count; /* in runs: newest (highest id) first */
};

struct shl_levels {
    _Atomic uint32_t refs;
    struct shl_manifest *manifest; /* owned: what this was built from */
    uint64_t manifest_id;
    struct shl_level_tree *trees; /* owned: root tree first, then segments ascending by prefix */
    size_t tree_count;
    struct shl_level_run *runs; /* owned */
    size_t run_count;
    struct shl_level_sst *ssts; /* owned */
    size_t sst_count;
};

/* Where SSTs come from: own root and those of clones' parents. */
struct shl_level_source {
    const struct shl_sst_context *context; /* borrowed for the life of the levels */
    struct shl_store *store;               /* borrowed likewise */
    const struct shl_db_paths *paths;
};

/* Opens (without I/O) every SST of the manifest, sharing handles with `previous` (may be NULL). Takes the manifest, on failure too. */
SHL_MUST shale_code shl_levels_new(const struct shl_level_source *from,
                                   struct shl_manifest *take_manifest, uint64_t manifest_id,
                                   const struct shl_levels *previous, struct shl_levels **out,
                                   shale_error *err);
struct shl_levels *shl_levels_ref(struct shl_levels *l);
void shl_levels_unref(struct shl_levels *l); /* NULL is fine */
/* L0 SSTs of all trees. */
size_t shl_levels_l0_count(const struct shl_levels *l);
/* The tree that holds `key`: the root tree, or the segment whose prefix it begins with; NULL if there is none. */
const struct shl_level_tree *shl_levels_tree(const struct shl_levels *l, struct shl_slice key);
/* First SST of a run whose range may hold `key` (the one with the lowest index), or count if none does. */
size_t shl_level_run_find(const struct shl_levels *l, const struct shl_level_run *run,
                          struct shl_slice key);

struct shl_version {
    struct shl_retired retired; /* first: for the epoch */
    _Atomic uint32_t refs;
    struct shl_epoch *epoch;     /* borrowed */
    struct shl_memtable *active; /* counted */
    struct shl_levels *levels;   /* counted */
    size_t frozen_count;
    struct shl_memtable *frozen[]; /* counted; newest first */
};

/* Takes references of its own. */
SHL_MUST shale_code shl_version_new(struct shl_epoch *epoch, struct shl_memtable *active,
                                    struct shl_memtable *const *frozen, size_t frozen_count,
                                    struct shl_levels *levels, struct shl_version **out,
                                    shale_error *err);
/* A reference that outlives the epoch; only inside the epoch, or while holding one. */
struct shl_version *shl_version_ref(struct shl_version *v);
/* The last one drops what it holds at once; not inside an epoch. */
void shl_version_unref(struct shl_version *v);
/* For the owner of the pointer after swapping it out: drops its reference once no reader is inside any more. */
void shl_version_retire(struct shl_version *v);

#endif
