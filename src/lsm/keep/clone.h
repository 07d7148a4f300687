/* Clones: a new database over the SSTs of others in the same bucket, without copying one. slatedb-behaviour 16.
 *
 * Each step may be cut off anywhere and the whole repeated: what is there is recognised and gone on with. Until its last step the clone is marked as
 * unfinished, and nobody opens it. One task at a time. */
#ifndef SHL_LSM_CLONE_H
#define SHL_LSM_CLONE_H

#include "lsm/keep/manifest_edit.h"

struct shl_clone_source {
    const char *path; /* in the bucket, unescaped */
    const char *
        checkpoint; /* id or name; NULL: the newest state, for which a checkpoint of 5 minutes is made */
    const struct shl_bytes_range
        *range; /* only these keys; NULL: all. The start is included or unbounded */
    const struct shl_slice *segments; /* only those with these prefixes */
    size_t segment_count;             /* 0: all */
    /* Of those only what it wants, and of each the keys of *only, which is unbounded at first (a start that is set is included). NULL: all. */
    shale_code (*segment)(const void *ctx, struct shl_slice prefix, bool *wanted,
                          struct shl_bytes_range *only, shale_error *err);
    const void *segment_ctx;
};
struct shl_clone {
    struct shl_store *store;
    struct shl_store *wal_store;               /* NULL: the same */
    const struct shl_transformer *transformer; /* of the sources' blocks; NULL: none */
    struct shl_clock clock;                    /* {0}: the system's */
    const char *path;                          /* of the new database, unescaped */
    const struct shl_clone_source
        *sources; /* one: a clone; several: the union of ranges that do not overlap */
    size_t source_count;
};
struct shl_cloned {
    bool was_there; /* an earlier call had made it */
    uint64_t
        wal_left_out; /* objects with rows behind the newest manifest of a source that is taken whole */
    uint64_t ssts;        /* that it borrows */
    uint64_t wal_objects; /* that were copied */
};
/* INVALID: no source, one twice, the target among them, ranges that overlap, extractors that differ, segments wanted of a database without, or rows in WAL objects of a source that is cut or joined (flush
 * it first). ALREADY_EXISTS: the target is another database. NOT_FOUND: a source or checkpoint. CORRUPTION: a source that is an unfinished clone itself.
 * Cost: for each source a LIST, some 4 GETs and 2 PUTs; a LIST and a copy per WAL object; 2 PUTs for the target. */
SHL_MUST shale_code shl_clone_run(const struct shl_clone *c, struct shl_cloned *out,
                                  shale_error *err);

/* ---- pure, in clone_plan.c */

/* Cuts the manifest down to the range: views outside go, those that cross an end are narrowed and get a new id of the same time. */
SHL_MUST shale_code shl_clone_project(struct shl_manifest *m, const struct shl_bytes_range *range,
                                      shale_error *err);
/* Leaves out, or cuts down, segments as the source wants it. INVALID: the database has no segments. NOT_FOUND: none with one of the prefixes. */
SHL_MUST shale_code shl_clone_pick_segments(struct shl_manifest *m,
                                            const struct shl_clone_source *s, const char *r1,
                                            shale_error *err);
/* A source as far as it is known: its manifest, cut down. */
struct shl_clone_part {
    const char *r1;                      /* its escaped root */
    struct shl_ulid checkpoint;          /* where its manifest comes from */
    const struct shl_manifest *manifest; /* borrowed */
};
/* Manifest 1 of the clone, unfinished. Fresh final checkpoint ids are made here. */
SHL_MUST shale_code shl_clone_manifest(const struct shl_clone_part *parts, size_t count,
                                       struct shl_manifest **out, shale_error *err);

#endif
