/* Inside of the engine: its parts see each other here. Nobody else includes this.
 *
 *   sql.c       open, close, view, status; who has the turn
 *   sync.c      the local copy follows the manifest
 *   commit.c    updates: run, record, replay, upload, swap, again
 *   compact.c   a new snapshot in the place of snapshot and log: compaction and migrations
 *   gc.c        garbage
 *   whole.c     init, pull, push
 *   feed.c      the log, and points in time */
#ifndef SHL_SQL_INTERNAL_H
#define SHL_SQL_INTERNAL_H

#include "base/env/env.h"
#include "sql/changeset.h"
#include "sql/guard.h"
#include "sql/local.h"
#include "sql/remote.h"
#include "sql/sql.h"

struct shl_sql_batch;

struct shl_sql {
    struct shl_sql_remote remote; /* [const] */
    struct shl_sql_options o;     /* [const] its texts are borrowed or in `remote` and `local` */
    int64_t target_version;       /* [const] of the migrations */
    bool reads_only;              /* [const] as of a point in time, or without triggers */

    struct env_mutex mu;
    struct env_cond changed;     /* [mu] with `busy`, `batch` and the states of batches */
    bool busy;                   /* [mu] a task has the turn */
    unsigned waiting;            /* [mu] updates that wait for the turn */
    struct shl_sql_batch *batch; /* [mu] updates that ran and are not committed; NULL: none */

    /* What follows belongs to the task that has the turn. */
    struct shl_sql_local local;
    struct shl_sql_head head;
    int64_t schema_version; /* what this handle expects */
    bool head_is_fresh;     /* a swap was lost just now, and has read `head` */
    bool
        calm; /* the last commit met nobody: the next one may begin without asking first, for its swap will tell */
};

/* ---- the turn */
enum shl_sql_turn {
    SHL_SQL_ALONE,  /* no batch is open */
    SHL_SQL_JOINING /* an update: may join a batch */
};
void shl_sql_turn_begin(struct shl_sql *s, enum shl_sql_turn how);
void shl_sql_turn_end(struct shl_sql *s);

/* ---- sync.c; with the turn */
/* Reads the manifest (a conditional GET), compares the schema and syncs. */
SHL_MUST shale_code shl_sql_refresh(struct shl_sql *s, shale_error *err);
/* CONFLICT if the head has another schema than this handle. */
SHL_MUST shale_code shl_sql_check_schema(const struct shl_sql *s, shale_error *err);
/* Compares the schema and syncs, with a newer head if what this one names is gone. */
SHL_MUST shale_code shl_sql_sync_newest(struct shl_sql *s, shale_error *err);
/* Brings the copy to the head. After a failure it is as it was, or gone, and the next sync begins anew. */
SHL_MUST shale_code shl_sql_sync(struct shl_sql *s, shale_error *err);
/* Downloads and replays `m` into `local`, up to `seq`. */
SHL_MUST shale_code shl_sql_sync_local(struct shl_sql_remote *r, struct shl_sql_local *local,
                                       const struct shl_sql_manifest *m, int64_t seq, bool lazy,
                                       bool ignore_triggers, shale_error *err);
/* Applies log[first ..] of `m`, up to seq `last`, in the transaction that is open. CONFLICT: one of them does not fit. */
SHL_MUST shale_code shl_sql_replay(struct shl_sql_remote *r, struct shl_sql_local *local,
                                   const struct shl_sql_manifest *m, int64_t last,
                                   shale_error *err);

/* ---- compact.c; with the turn */
SHL_MUST shale_code shl_sql_migrate(struct shl_sql *s, shale_error *err);
SHL_MUST shale_code shl_sql_compact_locked(struct shl_sql *s, shale_error *err);

/* ---- feed.c */
/* The seq of the last commit at or before a time. NOT_FOUND: the snapshot is younger. */
SHL_MUST shale_code shl_sql_seq_at(struct shl_sql_remote *r, const struct shl_sql_manifest *m,
                                   int64_t unix_ms, int64_t *out, shale_error *err);
/* The seq that options ask for; checked against the manifest. */
SHL_MUST shale_code shl_sql_seq_asked(struct shl_sql_remote *r, const struct shl_sql_options *o,
                                      const struct shl_sql_manifest *m, int64_t *out,
                                      shale_error *err);

/* ---- whole.c */
/* Makes an empty database if there is none. */
SHL_MUST shale_code shl_sql_bootstrap(struct shl_sql_remote *r, shale_error *err);

#endif
