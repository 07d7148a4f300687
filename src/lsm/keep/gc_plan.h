/* Which objects are garbage: a pure function of the manifests, the compactions file, an object and the time. slatedb-behaviour 14.
 *
 * What is decided on an older view of the database stays right on a newer one: what is garbage never comes back into use, for new checkpoints point
 * at the newest manifest or at what another checkpoint holds already, and an SST that is not published yet is younger than the cut-off. */
#ifndef SHL_LSM_GC_PLAN_H
#define SHL_LSM_GC_PLAN_H

#include "lsm/format/compactions.h"
#include "lsm/settings.h"

typedef SHL_ARRAY(struct shl_ulid) shl_gc_ulids;

/* What one manifest keeps: of a manifest itself nothing else is needed. */
struct shl_gc_pin {
    struct shl_ulid checkpoint; /* whose; a number alone could be that of a database that was here before. The newest manifest's: none */
    uint64_t manifest_id;
    uint64_t wal_after; /* WAL objects above it ... */
    uint64_t wal_last;  /* ... up to this one */
    shl_gc_ulids ssts;    /* owned; ascending */
    shl_gc_ulids parents; /* owned: final checkpoints of external databases whose SSTs it names */
};
SHL_MUST shale_code shl_gc_pin_init(struct shl_gc_pin *p, uint64_t manifest_id, const struct shl_manifest *m,
                                    shale_error *err);
void shl_gc_pin_deinit(struct shl_gc_pin *p);

/* One view of a database: the newest manifest, those of its checkpoints, and the compactions file that was read before them. */
struct shl_gc_view {
    int64_t now_ms;
    struct shl_gc_pin newest;       /* owned */
    shl_gc_ulids used;              /* owned; ascending: SSTs of newest and of all pins */
    const struct shl_gc_pin **pins; /* owned array, borrowed pins: of the checkpoints */
    size_t pin_count;
    SHL_ARRAY(uint64_t) pinned_ids; /* owned; manifests that checkpoints point at, whether their pins are here or not */
    uint64_t l0_mark_ms;            /* time of the newest L0 SST that was ever published; 0: none */
    uint64_t oldest_job_ms;         /* 0: no compaction is recorded */
    uint64_t compactions_id;        /* the newest; 0: none */
};
/* compactions NULL: there are none. pins may leave out manifests if only manifests and compactions are asked about. */
SHL_MUST shale_code shl_gc_view_init(struct shl_gc_view *v, int64_t now_ms, uint64_t manifest_id,
                                     const struct shl_manifest *newest, const struct shl_gc_pin *const *pins,
                                     size_t pin_count, const struct shl_compactions *compactions,
                                     uint64_t compactions_id, shale_error *err);
void shl_gc_view_deinit(struct shl_gc_view *v);

/* SSTs of this time or younger stay. */
uint64_t shl_gc_cutoff_ms(const struct shl_gc_view *v, uint64_t min_age_ms);

struct shl_gc_object {
    uint64_t id;           /* manifests, compactions files, WAL objects */
    struct shl_ulid ulid;  /* SSTs */
    uint64_t bytes;
    int64_t modified_ms;
};
/* task: not SHL_GC_DETACH. */
bool shl_gc_is_garbage(const struct shl_gc_view *v, enum shl_gc_task task, const struct shl_gc_object *o,
                       uint64_t min_age_ms);
/* Whether the newest manifest or that of a checkpoint names the SST. */
bool shl_gc_names(const struct shl_gc_view *v, struct shl_ulid sst_id);
/* Whether neither the newest manifest nor that of a checkpoint names an SST of this external database. */
bool shl_gc_parent_is_free(const struct shl_gc_view *v, const struct shl_external_db *e);

#endif
