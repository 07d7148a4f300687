/* SQLite on a bucket, in the format of the Go program s3db: its processes and ours may write one database at the same time.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A database is a snapshot (a SQLite file), a log of changesets, and a manifest that is replaced by compare-and-set. A handle works on a local copy, which it
 * brings up to date before each call. Any thread; calls on one handle run one after the other, and updates that wait for each other are committed together.
 *
 * Functions get a plain sqlite3 handle, with a transaction open. They may not use what cannot be sent to others: BEGIN and COMMIT, ATTACH, changes of the schema
 * (those are migrations), rows of tables without a PRIMARY KEY. Double-quoted strings are off, foreign keys are not enforced, as in s3db. Statements must be
 * finalized when the function returns, and the handle not be kept. A function must not call the library with its own handle. */
#ifndef SHALE_SQL_H
#define SHALE_SQL_H

#include <shale/error.h>
#include <shale/metrics.h>
#include <shale/options.h>
#include <shale/types.h>

SHALE_BEGIN_DECLS

struct sqlite3;
typedef struct shale_sql shale_sql;

/* Returns SHALE_OK, or a code that the call then returns, with the text that it wrote to err->text (snprintf(err->text, sizeof err->text, ..)). Where a statement failed
 * because it cannot be replayed, the call says so instead. May run more than once: side effects outside of the database are its own
 * business. */
typedef shale_code (*shale_sql_fn)(void *ctx, struct sqlite3 *db, shale_error *err);

/* A step of the schema. Runs outside of a transaction, on a copy that is thrown away if it fails; may run more than once. */
typedef struct shale_sql_migration {
    int64_t version;  /* above 0, strictly increasing, gaps allowed */
    const char *name; /* for messages */
    shale_sql_fn up;
    void *ctx;
} shale_sql_migration;

#define SHALE_SQL_NONE INT64_MIN

typedef struct shale_sql_options {
    size_t struct_size;
    const char *local_path; /* where the local copy lies; it is taken up again by the next handle if nothing speaks against it. NULL: a temporary file */
    uint32_t max_retries;   /* tries of an update or compaction that others get ahead of; default 10 */
    uint64_t auto_compact;  /* an update compacts when the log has so many entries; default 0: never, as in s3db; each commit writes the list of them again */
    void (*compact_error)(void *ctx, const shale_error *err); /* told when such a compaction fails, which fails no update; NULL: nobody */
    void *compact_error_ctx;
    uint64_t gc_grace_ms;   /* shale_sql_gc leaves what is younger; default 5 minutes */
    const shale_sql_migration *migrations; /* borrowed until the handle is closed; those that the database lacks run when it is opened */
    size_t migration_count;
    bool schema_unchecked;  /* take the schema as it is; default: CONFLICT unless it is at the last migration (0 without any) */
    bool must_exist;        /* NOT_FOUND if there is no database; default: an empty one is made */
    bool merge; /* s3db's way: an update that others got ahead of is merged with theirs by column, without running again, where it can be. What it has READ is
                 * not looked at: two updates that each check a sum and change a row of their own may both commit. Default: it runs again, which is serializable */
    bool allow_triggers;    /* triggers that write may fire: others fire them again. What cannot be replayed here is refused all the same */
    bool ignore_triggers;   /* for reading only: the log is applied without firing triggers, to read a database that one has broken */
    bool lazy;              /* pages of a snapshot of 10 MiB or more are fetched when they are read; not with local_path */
    int64_t at_seq;         /* for reading only: as of this commit; SHALE_SQL_NONE: the newest. NOT_FOUND: folded into the snapshot already */
    int64_t at_unix_ms;     /* for reading only: as of the last commit whose changeset was stored at or before it; SHALE_SQL_NONE */
    bool compress_snapshots; /* compactions and migrations store snapshots compressed (zstd), under keys that end in .zst. s3db CANNOT READ such a database until
                              * it is compacted without; and no page of it can be fetched alone. Default: as they are */
} shale_sql_options;
SHALE_API void shale_sql_options_init(shale_sql_options *o, size_t struct_size);

/* All texts are copied. A program that uses sqlite3_ functions links SQLite itself: pkg-config --libs shale sqlite3.
 *
 * url: file:///dir/db (the bucket is the folder above it, or `root` of the options; the manifest names its objects from there, "db/..", so that a database is not
 * moved by renaming its folder), memory:///db, s3://bucket/db. options: those of the bucket, the log, and
 * who cancels; NULL: the defaults. how NULL: the defaults. Requests: a GET of the manifest, one of the snapshot (or more for its ranges), one per entry of the log, many at a
 * time. Errors: NOT_FOUND, CORRUPTION (names the object), CONFLICT (another schema; local_path is in use), INVALID, NOT_SUPPORTED (this SQLite has no
 * sessions), those of the store. */
SHALE_API SHALE_MUST shale_code shale_sql_open(shale_sql **out, const char *url, const shale_options *options,
                                               const shale_sql_options *how, shale_error *err);
/* Nothing is lost by it. No other call is under way. NULL is fine. */
SHALE_API void shale_sql_close(shale_sql *sql);

/* fn sees the newest state; what it writes it sees, and then it is forgotten, temporary tables too. One conditional GET, and one per commit since the last call. */
SHALE_API SHALE_MUST shale_code shale_sql_view(shale_sql *sql, shale_sql_fn fn, void *ctx, shale_error *err);

typedef struct shale_sql_commit {
    size_t struct_size;
    int64_t seq;    /* of the commit, or of what fn saw if it changed nothing */
    bool changed;   /* something was committed */
    uint32_t tries; /* how often fn ran */
} shale_sql_commit;
/* Commits what fn changed: all or nothing, durable on return, tried out as others will have it before anything is stored. Serializable. out may be NULL.
 * Temporary tables that fn makes are its own, and gone when it returns. Refused as well: changes from which a schema's ON CONFLICT clause or a trigger makes
 * something else when others apply them, and keys that change only in what their collation passes over (NOCASE: 'a' to 'A').
 * Two PUTs without contention. Errors: fn's; CONFLICT (max_retries, or another schema): nothing was written; NOT_SUPPORTED: the changes cannot be sent to
 * others, the text says which and why; UNAVAILABLE with a text that begins with "outcome unknown": it may have been committed; those of the store. */
SHALE_API SHALE_MUST shale_code shale_sql_update(shale_sql *sql, shale_sql_fn fn, void *ctx, shale_sql_commit *out,
                                                 shale_error *err);

/* Folds the log into a new snapshot. Nobody is held up; OK if the log is empty. CONFLICT: max_retries. */
SHALE_API SHALE_MUST shale_code shale_sql_compact(shale_sql *sql, shale_error *err);

typedef struct shale_sql_gc_report {
    size_t struct_size;
    uint64_t changesets; /* objects that were deleted, or would be */
    uint64_t snapshots;
    uint64_t bytes;
    uint64_t unfinished; /* in a folder: files of writes that never ended, an hour old and gc_grace_ms old */
    uint64_t left;       /* of these objects: could not be deleted, say a link that leads out of the folder */
    char left_why[256];  /* what was said of the first of them; "" if there is none */
} shale_sql_gc_report;
/* Deletes changesets of snapshots that were replaced, and those snapshots, once they are out of use for gc_grace_ms; in a folder also what killed
 * writers left. What cannot be deleted is left and told. Safe beside writers. out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_sql_gc(shale_sql *sql, bool dry_run, shale_sql_gc_report *out, shale_error *err);

typedef struct shale_sql_status {
    size_t struct_size;
    int64_t seq;            /* of the newest commit */
    int64_t schema_version; /* of the last migration; 0: none */
    int64_t snapshot_seq;   /* of the last commit in the snapshot */
    int64_t snapshot_bytes; /* 0: not known */
    uint64_t log_entries;
    uint64_t log_bytes;
    char snapshot_key[1024];
} shale_sql_status;
/* refresh: asks the bucket; else as the last call found it. */
SHALE_API SHALE_MUST shale_code shale_sql_status_get(shale_sql *sql, bool refresh, shale_sql_status *out, shale_error *err);
SHALE_API void shale_sql_store_counts(shale_sql *sql, shale_store_counts *out); /* since it was opened */

/* ---- the log, as a feed of changes */

typedef struct shale_sql_entry {
    int64_t seq;
    int64_t bytes;        /* of the changeset; 0: not known */
    int64_t stored_ms;    /* Unix ms; 0: not asked for */
    const char *key;      /* all borrowed until the callback returns */
    shale_slice changeset; /* empty: not asked for */
} shale_sql_entry;
/* Calls visit for each commit behind seq `after` that is in the log, oldest first, until it returns false; it may call the library. changesets: with their
 * bytes, a GET each. times: with stored_ms, a LIST. NOT_FOUND: what follows `after` is folded into the snapshot already. A follower keeps the last seq and calls again. */
SHALE_API SHALE_MUST shale_code shale_sql_log(shale_sql *sql, int64_t after, bool changesets, bool times,
                                              bool (*visit)(void *ctx, const shale_sql_entry *entry), void *ctx,
                                              shale_error *err);

typedef enum shale_sql_type {
    SHALE_SQL_UNCHANGED = 0, /* of an update: the column keeps its value */
    SHALE_SQL_INTEGER = 1,
    SHALE_SQL_REAL = 2,
    SHALE_SQL_TEXT = 3,
    SHALE_SQL_BLOB = 4,
    SHALE_SQL_NULL_VALUE = 5
} shale_sql_type;
typedef struct shale_sql_value {
    shale_sql_type type;
    int64_t integer;
    double real;
    shale_slice bytes; /* of text and blobs */
} shale_sql_value;
typedef enum shale_sql_op { SHALE_SQL_INSERT = 18, SHALE_SQL_UPDATE = 23, SHALE_SQL_DELETE = 9 } shale_sql_op;
typedef struct shale_sql_change {
    shale_slice table;
    shale_sql_op op;
    bool indirect; /* made by a trigger or a foreign key */
    size_t column_count;
    const uint8_t *key_places;         /* [column_count]: 1-based place in the primary key; 0: not in it */
    const shale_sql_value *old_values; /* [column_count]; NULL for an insert; of an update: the key and what changed */
    const shale_sql_value *new_values; /* [column_count]; NULL for a delete; of an update: what changed */
} shale_sql_change;
/* Calls visit for each change of a changeset (SQLite's own format), until it returns false. All borrowed until the callback returns. CORRUPTION names the offset. */
SHALE_API SHALE_MUST shale_code shale_sql_changes_each(shale_slice changeset,
                                                       bool (*visit)(void *ctx, const shale_sql_change *change), void *ctx,
                                                       shale_error *err);

/* ---- whole databases; options as for opening */

/* Makes a database: of a SQLite file, which is checked and stored as it is, or an empty one (NULL). ALREADY_EXISTS. */
SHALE_API SHALE_MUST shale_code shale_sql_create(const char *url, const shale_options *options, const char *file,
                                                 shale_error *err);

typedef struct shale_sql_pulled {
    size_t struct_size;
    int64_t seq;
    int64_t schema_version;
    int64_t snapshot_bytes; /* 0: not known */
    uint64_t log_entries;
    char snapshot_key[1024];
} shale_sql_pulled;
/* The database as a SQLite file, which is replaced when it is whole. at_seq, at_unix_ms and ignore_triggers of `how` are used; how and out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_sql_pull(const char *url, const shale_options *options, const shale_sql_options *how,
                                               const char *file, shale_sql_pulled *out, shale_error *err);
/* Makes a SQLite file the database, in the place of all that is there; its seq stays. PRECONDITION: it is not at expected_seq (SHALE_SQL_NONE: any), or its
 * snapshot is not expected_snapshot (NULL: any), or it advanced meanwhile. NOT_FOUND: there is none. out may be NULL. */
SHALE_API SHALE_MUST shale_code shale_sql_push(const char *url, const shale_options *options, const char *file,
                                               int64_t expected_seq, const char *expected_snapshot,
                                               shale_sql_pulled *out, shale_error *err);

SHALE_END_DECLS

#endif
