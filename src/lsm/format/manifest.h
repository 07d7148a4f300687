/* The manifest: the whole structure of a database in one object. Pure. slatedb-format 3.4, 4, 5.
 * Both stored versions decode into this one model; version 2 is written. */
#ifndef SHL_LSM_MANIFEST_H
#define SHL_LSM_MANIFEST_H

#include "base/array.h"
#include "base/codec/ulid.h"
#include "lsm/format/sst.h"

enum shl_bound_type {
    SHL_BOUND_UNBOUNDED = 1,
    SHL_BOUND_INCLUDED = 2,
    SHL_BOUND_EXCLUDED = 3
}; /* stored numbers */
struct shl_bound {
    enum shl_bound_type type;
    struct shl_buf key; /* owned; empty if unbounded */
};
struct shl_bytes_range {
    struct shl_bound start;
    struct shl_bound end;
};

struct shl_sst_view {
    struct shl_ulid id;
    struct shl_sst_desc *sst;        /* counted reference */
    struct shl_bytes_range *visible; /* owned; NULL: all of it */
};
typedef SHL_ARRAY(struct shl_sst_view) shl_sst_views;

struct shl_run {
    uint32_t id;
    shl_sst_views ssts; /* ascending by key */
};

struct shl_tree {
    bool has_watermark; /* last_compacted_l0_sst_view_id */
    struct shl_ulid watermark;
    shl_sst_views l0;               /* newest first */
    SHL_ARRAY(struct shl_run) runs; /* descending id */
};

struct shl_segment {
    struct shl_buf prefix; /* owned */
    struct shl_tree tree;
};

struct shl_checkpoint {
    struct shl_ulid id; /* UUID */
    uint64_t manifest_id;
    uint32_t expire_s; /* Unix seconds; 0 = never */
    uint32_t create_s;
    char *name;            /* owned; NULL if none */
    uint8_t metadata_type; /* 0 none, 1 WriterCheckpoint */
    uint64_t writer_epoch; /* of WriterCheckpoint */
};

struct shl_external_db {
    char *path; /* owned; the parent's escaped root */
    struct shl_ulid source_checkpoint;
    struct shl_ulid final_checkpoint;
    bool has_final_checkpoint;
    SHL_ARRAY(struct shl_ulid) sst_ids;
};

struct shl_manifest {
    unsigned stored_version; /* 1 or 2: what it was decoded from */
    bool initialized;
    uint64_t manifest_id_field; /* slot 0, always 0 in real files; kept */
    uint64_t writer_epoch;
    uint64_t compactor_epoch;
    uint64_t replay_after_wal_id;
    uint64_t wal_id_last_seen;
    int64_t last_l0_clock_tick; /* INT64_MIN in a new database */
    uint64_t last_l0_seq;
    uint64_t recent_snapshot_min_seq;
    char *wal_object_store_uri; /* owned; version 1 only; NULL if absent */
    struct shl_tree root;
    SHL_ARRAY(struct shl_segment) segments; /* ascending by prefix */
    char *segment_extractor_name;           /* owned; NULL if none */
    SHL_ARRAY(struct shl_checkpoint) checkpoints;
    SHL_ARRAY(struct shl_external_db) external_dbs;
    bool has_external_dbs; /* an empty vector is stored apart from an absent one */
    bool has_sequence_tracker;
    struct shl_buf sequence_tracker; /* owned: the stored bytes */
};

/* A new database's manifest 1 (epochs 0, empty tracker, initialized). */
SHL_MUST shale_code shl_manifest_new(struct shl_manifest **out, shale_error *err);
SHL_MUST shale_code shl_manifest_clone(const struct shl_manifest *m, struct shl_manifest **out,
                                       shale_error *err);
void shl_manifest_free(struct shl_manifest *m); /* NULL is fine */

/* File bytes (2-byte version, FlatBuffer). Checks what slatedb-format 3 and 4 demand: every view names a known SST, unique ids, run ids
 * strictly descending, segments an ascending antichain, range starts included or unbounded, and effective ranges are not empty. */
SHL_MUST shale_code shl_manifest_decode(struct shl_slice file, struct shl_manifest **out,
                                        shale_error *err);
/* Appends file bytes, version 2, byte-equal to SlateDB's. */
SHL_MUST shale_code shl_manifest_encode(const struct shl_manifest *m, struct shl_buf *out,
                                        shale_error *err);

/* Small helpers on the model; each leaves it as it was on failure. */
SHL_MUST shale_code shl_sst_view_copy(const struct shl_sst_view *from, struct shl_sst_view *out,
                                      shale_error *err);
void shl_sst_view_deinit(struct shl_sst_view *v);
SHL_MUST shale_code shl_bytes_range_copy(const struct shl_bytes_range *from,
                                         struct shl_bytes_range *out, shale_error *err);
void shl_bytes_range_deinit(struct shl_bytes_range *r);
void shl_run_deinit(struct shl_run *r);
SHL_MUST shale_code shl_tree_copy(const struct shl_tree *from, struct shl_tree *out,
                                  shale_error *err);
void shl_tree_deinit(struct shl_tree *t);
bool shl_manifest_has_ssts(const struct shl_manifest *m);
/* Whether WAL objects must be there that are not: `end` is the last one of those above the boundary that follow each other (the boundary if there is none); none: there is not
 * even that of the boundary, which collectors keep. Only a clone that no writer opened yet may have a boundary and no object: SlateDB makes such ones, Shale does not. */
bool shl_manifest_lacks_wal(const struct shl_manifest *m, uint64_t end, bool none);
/* Of a clone the boundary stays below the last object, whose rows are in L0: that one must be there, whatever compactors make of the SSTs. */
void shl_manifest_tell_of_wal(struct shl_manifest *m);
/* The segment with exactly this prefix, or NULL. */
struct shl_segment *shl_manifest_segment(struct shl_manifest *m, struct shl_slice prefix);
/* Inserts an empty segment at its place in order. */
SHL_MUST shale_code shl_manifest_add_segment(struct shl_manifest *m, struct shl_slice prefix,
                                             struct shl_segment **out, shale_error *err);
void shl_manifest_remove_segment(struct shl_manifest *m, size_t index);
/* Puts a view of `sst` (view id = SST id, whole) at the front of l0; takes a new reference. */
SHL_MUST shale_code shl_tree_push_l0(struct shl_tree *t, struct shl_sst_desc *sst,
                                     shale_error *err);
void shl_manifest_remove_external(struct shl_manifest *m, size_t index);
/* Drops SST ids that no view names any more from external_dbs[].sst_ids. */
void shl_manifest_prune_external(struct shl_manifest *m);
/* Effective key range of a view: [first_entry, last_entry] cut by visible. Bounds borrow from the view. */
struct shl_key_range {
    struct shl_slice start; /* inclusive; empty = from the first key */
    struct shl_slice end;
    bool end_unbounded;
    bool end_inclusive;
};
void shl_sst_view_range(const struct shl_sst_view *v, struct shl_key_range *out);
bool shl_key_range_empty(const struct shl_key_range *r);
bool shl_key_range_contains(const struct shl_key_range *r, struct shl_slice key);

/* ---- sequence tracker (slatedb-format 5): seq -> Unix seconds, two ascending arrays */
struct shl_seq_point {
    uint64_t seq;
    int64_t unix_s;
};
struct shl_seq_tracker {
    SHL_ARRAY(struct shl_seq_point) points;
};
#define SHL_SEQ_TRACKER_MAX 8192
SHL_MUST shale_code shl_seq_tracker_decode(struct shl_slice bytes, struct shl_seq_tracker *out,
                                           shale_error *err);
SHL_MUST shale_code shl_seq_tracker_encode(const struct shl_seq_tracker *t, struct shl_buf *out,
                                           shale_error *err);
/* Records by the 60-second rule and thins out past SHL_SEQ_TRACKER_MAX; times never go back (earlier ones are ignored). */
SHL_MUST shale_code shl_seq_tracker_add(struct shl_seq_tracker *t, uint64_t seq, int64_t unix_s,
                                        shale_error *err);
void shl_seq_tracker_deinit(struct shl_seq_tracker *t);

#endif
