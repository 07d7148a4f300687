/* Whole databases: clone, restore, delete. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_MANAGE_H
#define SHALE_MANAGE_H

#include <shale/checkpoint.h>

SHALE_BEGIN_DECLS

/* Where a clone's rows come from. {0} but the URL is all rows that the newest manifest knows: what an open writer has made durable since is in WAL objects behind it.
 * A checkpoint by the writer (shale_db_checkpoint) has those too. */
typedef struct shale_clone_source {
    const char *url;
    const char *checkpoint; /* id or name; NULL: the newest manifest, for which a checkpoint of 5 minutes is made */
    shale_range range;      /* only these keys; {0}: all */
    const shale_slice *segments; /* only the segments with these prefixes */
    size_t segment_count;        /* 0: all */
    /* Of those: false leaves one out; may narrow *only, {0} at first, to some of its keys (full keys, beginning with `prefix`; what it points to must
     * live until shale_clone returns). Called in the thread of shale_clone. NULL: all. */
    bool (*segment)(void *ctx, shale_slice prefix, shale_range *only);
    void *segment_ctx;
} shale_clone_source;
typedef struct shale_clone_result {
    bool was_there;       /* an earlier call had made it */
    uint64_t ssts;        /* SSTables that it borrows */
    uint64_t wal_objects; /* that were copied */
    uint64_t wal_objects_left_out; /* with rows, that an open writer of the source made since its last manifest: they are not in the clone */
} shale_clone_result;

/* Makes the database `url` over the SSTables of the sources, without copying one: it and they go on apart, and a checkpoint without an end in each source keeps what
 * is borrowed until compactions of the clone have replaced it (shale_gc lets go then) or the clone is deleted (shale_delete). One source with all its
 * keys: a clone, WAL objects are copied. One source with a range, or some of its segments: a part. Several sources: their union; ranges must not overlap. All must lie in one bucket.
 * May be repeated after a failure: it goes on where it was. out may be NULL.
 * Errors: INVALID (sources, ranges, segments of a database that has none, or rows of a cut or joined source that are only in its WAL), ALREADY_EXISTS (another database is there), NOT_FOUND (also a segment). */
SHALE_API SHALE_MUST shale_code shale_clone(shale_clone_result *out, const char *url, const shale_clone_source *sources,
                                            size_t source_count, const shale_options *options, shale_error *err);

typedef struct shale_restore_result {
    uint64_t manifest_id;            /* the new manifest */
    uint64_t checkpoint_manifest_id; /* whose state it has */
    uint64_t wal_rows;               /* rows that the checkpoint had in WAL objects; they are in an SSTable now */
    char undo_checkpoint[SHALE_UUID_TEXT]; /* keeps the state before, under the name "before-restore" */
} shale_restore_result;
/* Makes the state of a checkpoint (id or name) the newest one. Fences the writer and the compactor, which have to be started again. All that was durable before stays
 * in a checkpoint that lives undo_lifetime_ms (0: for ever); sequence numbers go on above every one used. Options as for opening a writer (segment extractor, merge operator).
 * Errors: NOT_FOUND, FENCED (another writer came), CONFLICT (a compactor was started meanwhile): the state is as it was. out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_restore(shale_restore_result *out, const char *url, const shale_options *options,
                                              const char *checkpoint, uint64_t undo_lifetime_ms, shale_error *err);

typedef struct shale_delete_result {
    uint64_t objects, bytes;
    uint64_t parents;             /* of a clone: checkpoints in others that were given up */
    uint64_t endless_checkpoints; /* that never expire: clones of this database may stand on them, and will be broken */
    uint64_t wal_elsewhere; /* the last WAL object that it knows of, where it has none and setting wal_url is not set: they are in another store, and stay there; 0: not so */
} shale_delete_result;
/* Deletes all objects of a database, and what it held in its parents. each (may be NULL) is told every object before. dry_run: only tells. Whoever has it open is not
 * asked. May be repeated after a failure. NOT_FOUND: there is none. out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_delete(shale_delete_result *out, const char *url, const shale_options *options,
                                             bool dry_run, void (*each)(void *ctx, const char *key, uint64_t bytes),
                                             void *ctx, shale_error *err);

SHALE_END_DECLS

#endif
