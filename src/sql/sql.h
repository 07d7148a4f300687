/* The engine: a SQLite database in a bucket, as s3db keeps it. The face of this room; api calls it, nobody else.
 *
 * A database is a snapshot (a SQLite file), a log of changesets on top of it, and a manifest that names both and is replaced by compare-and-set. A handle has
 * a local copy, brings it up to date before it is read or written, and commits by a changeset and a new manifest. Any task; calls on one handle run one
 * after the other, but updates that wait for each other are committed by one swap of the manifest. */
#ifndef SHL_SQL_SQL_H
#define SHL_SQL_SQL_H

#include "base/log.h"
#include "sql/format/manifest.h"
#include "store/store.h"

#include <sqlite3.h>

struct shl_sql;

/* A step of the schema. `up` runs outside of a transaction, maybe more than once, on a copy that is thrown away if it fails. */
struct shl_sql_migration {
    int64_t version; /* above 0, strictly increasing */
    const char *name;
    shale_code (*up)(void *ctx, sqlite3 *db, shale_error *err);
    void *ctx;
};

/* Runs inside a transaction, maybe more than once. Statements that it prepares must be finalized when it returns. */
typedef shale_code (*shl_sql_fn)(void *ctx, sqlite3 *db, shale_error *err);

#define SHL_SQL_NONE INT64_MIN

struct shl_sql_options {
    struct shl_store *store; /* tries again; a reference is taken */
    struct shl_store *once;  /* the same bucket without retries; NULL: store */
    const char *prefix;      /* "db/" */
    const char *local_path;  /* NULL: a temporary file */
    uint32_t max_retries;    /* tries of an update or compaction; 0 counts as 1 */
    uint64_t auto_compact; /* compact after an update once the log has so many entries; 0: never */
    void (*compact_error)(void *ctx,
                          const shale_error *err); /* told when that fails; may be NULL */
    void *compact_error_ctx;
    const struct shl_sql_migration *migrations; /* borrowed for the life of the handle */
    size_t migration_count;
    bool schema_unchecked; /* take the schema as it is */
    bool must_exist;       /* NOT_FOUND instead of making a new database */
    bool
        merge; /* s3db's way: an update that lost is merged by column, without running again, if it can be */
    bool allow_triggers; /* triggers that write may fire */
    bool
        ignore_triggers; /* applying a log does not fire triggers: to read what they have broken; reads only */
    bool lazy; /* pages of the snapshot are fetched when they are read */
    bool
        compress; /* snapshots of compactions and migrations are stored compressed; s3db cannot read them */
    int64_t at_seq;     /* SHL_SQL_NONE: the newest; else only reads, as of this seq */
    int64_t at_unix_ms; /* SHL_SQL_NONE, or reads as of the last commit at or before this time */
    shale_code (*before_create)(
        void *ctx, shale_error *err); /* asked before a database is made; may be NULL */
    void *before_create_ctx;          /* borrowed for that call */
    const struct shl_log *log;        /* borrowed for the life of the handle; may be NULL */
};
void shl_sql_options_init(struct shl_sql_options *o);

/* Errors: NOT_FOUND (must_exist), CORRUPTION, CONFLICT (the schema is another one; local_path is in use), INVALID, NOT_SUPPORTED, those of the store. */
SHL_MUST shale_code shl_sql_open(struct shl_sql **out, const struct shl_sql_options *o,
                                 shale_error *err);
void shl_sql_close(struct shl_sql *s); /* NULL is fine; no call is under way */

/* fn sees the newest state; what it writes is forgotten. One conditional GET if nothing is new. The error of fn is returned. */
SHL_MUST shale_code shl_sql_view(struct shl_sql *s, shl_sql_fn fn, void *ctx, shale_error *err);

struct shl_sql_commit {
    int64_t seq;    /* of the commit; of what fn saw if it changed nothing */
    bool changed;   /* something was written */
    uint32_t tries; /* how often fn ran */
};
/* Commits what fn changed, all or nothing; durable on return. Errors: those of fn; CONFLICT (max_retries), NOT_SUPPORTED (changes that
 * cannot be sent to others), UNAVAILABLE with "outcome unknown" (it may have been committed), CONFLICT (another schema), those of the store. out may be NULL. */
SHL_MUST shale_code shl_sql_update(struct shl_sql *s, shl_sql_fn fn, void *ctx,
                                   struct shl_sql_commit *out, shale_error *err);

/* Folds the log into a new snapshot. Nothing to do: OK. Errors: CONFLICT (max_retries). */
SHL_MUST shale_code shl_sql_compact(struct shl_sql *s, shale_error *err);

struct shl_sql_gc_result {
    uint64_t changesets, snapshots, bytes; /* deleted, or would be; with `left` */
    uint64_t left;                         /* objects that could not be deleted */
    shale_error why;                       /* of the first of them */
};
/* Deletes what no manifest can need any more: epochs that ended, if the snapshot in force is `grace_ms` old, and other snapshots of that age. */
SHL_MUST shale_code shl_sql_gc(struct shl_sql *s, uint64_t grace_ms, bool dry_run,
                               struct shl_sql_gc_result *out, shale_error *err);

struct shl_sql_status {
    int64_t seq, schema_version, snapshot_seq;
    int64_t snapshot_bytes; /* 0: not known */
    uint64_t log_entries, log_bytes;
    char snapshot_key[1024];
    char local_path[1024]; /* "": a temporary file */
};
/* As of the last call that asked the bucket; refresh: asks now. */
SHL_MUST shale_code shl_sql_status(struct shl_sql *s, bool refresh, struct shl_sql_status *out,
                                   shale_error *err);

/* Calls visit for each entry of the log behind seq `after`, with the changeset's bytes if `bodies`; stops when it returns false. Errors: NOT_FOUND: the
 * changes right behind `after` are folded into the snapshot already. */
struct shl_sql_entry {
    int64_t seq, size,
        modified_ms; /* modified_ms: when the changeset was stored; 0: not asked for */
    const char *key;
    struct shl_slice body;
};
SHL_MUST shale_code shl_sql_log(struct shl_sql *s, int64_t after, bool bodies, bool times,
                                bool (*visit)(void *ctx, const struct shl_sql_entry *entry),
                                void *ctx, shale_error *err);

/* ---- whole databases, without a handle: store, once, prefix and log of the options are used, and what is said */

/* file NULL: an empty database. ALREADY_EXISTS: there is one. */
SHL_MUST shale_code shl_sql_init(const struct shl_sql_options *o, const char *file,
                                 shale_error *err);
struct shl_sql_pulled {
    int64_t seq, schema_version, snapshot_bytes;
    uint64_t log_entries;
    char snapshot_key[1024];
};
/* The database as a SQLite file at `path`, which is replaced. at_seq, at_unix_ms and ignore_triggers are used. NOT_FOUND: there is none. */
SHL_MUST shale_code shl_sql_pull(const struct shl_sql_options *o, const char *path,
                                 struct shl_sql_pulled *out, shale_error *err);
/* Makes the file the database. expected_seq: PRECONDITION if the database is at another one (SHL_SQL_NONE: any); expected_snapshot: likewise its snapshot
 * (NULL: any). */
SHL_MUST shale_code shl_sql_push(const struct shl_sql_options *o, const char *file,
                                 int64_t expected_seq, const char *expected_snapshot,
                                 struct shl_sql_pulled *out, shale_error *err);

#endif
