/* The local copy of a database: a SQLite file and the one connection to it. One task at a time.
 *
 * It is worth nothing by itself: whatever is in doubt is downloaded again. So nothing of it is ever synced, and its journal is in memory. A
 * temporary copy has no name any more once it is open. A copy at a path of the user's stays there, and a side file tells what is in it when it was closed in
 * peace: {path}.shale, JSON with prefix, snapshot, seq, the changeset with that seq, size and SHA-256. It is believed only if all of that is true, and is
 * removed before the copy is opened. {path}.lock keeps two handles apart, and says that the file is ours: another is not touched. */
#ifndef SHL_SQL_LOCAL_H
#define SHL_SQL_LOCAL_H

#include "sql/format/manifest.h"
#include "sql/pages.h"
#include "sql/schema.h"

struct shl_sql_local {
    char *path;     /* [const] owned: of the file; of a temporary one while it is being made */
    bool is_kept;   /* [const] it is the user's path */
    int lock_fd;    /* -1: none */
    int fd;         /* of the file, for uploads; -1: none */
    sqlite3 *db;    /* NULL: a full refresh comes first */
    int64_t seq;    /* what the content stands at */
    char *snapshot; /* owned: key of the snapshot it came from */
    /* Owned: key of the changeset with that seq; NULL: it is the snapshot's. Databases that began empty have a snapshot of one name, so that this alone tells a
     * database from one that was made anew in its place, or lies in another bucket. */
    char *last;
    struct shl_sql_schema schema;
    bool
        stale_modules; /* tables below virtual ones were changed behind their modules' backs: see shl_sql_local_refresh_modules */
    struct shl_sql_lazy *lazy; /* owned; NULL: not lazily loaded */
};

/* path NULL: a temporary copy. Takes the lock of a kept one: CONFLICT if another handle has it, INVALID if a file is there that is no copy of ours. */
SHL_MUST shale_code shl_sql_local_init(struct shl_sql_local *l, const char *path, shale_error *err);
/* Closes and, of a kept copy, writes the side file. */
void shl_sql_local_deinit(struct shl_sql_local *l, const char *prefix);

/* Takes up a kept copy whose side file is true for this database and snapshot. False: there is none. Errors: NOMEM. */
SHL_MUST shale_code shl_sql_local_resume(struct shl_sql_local *l, const char *prefix,
                                         const struct shl_sql_manifest *m, bool *out,
                                         shale_error *err);
/* Where the next file is to be put. It is made there by the caller, and then taken by shl_sql_local_open. Owned; NULL if out of memory. */
char *shl_sql_local_fresh_path(const struct shl_sql_local *l);
/* Replaces the copy by the file at `path` (which is moved), with the content of snapshot `key` at `seq`. Without `lazy` the file is whole; take_lazy is
 * freed with the copy. After a failure there is no copy. */
SHL_MUST shale_code shl_sql_local_open(struct shl_sql_local *l, const char *path, const char *key,
                                       int64_t seq, struct shl_sql_lazy *take_lazy,
                                       shale_error *err);
/* The content stands at seq now, by the changeset `last` (NULL: the snapshot). Without memory for it the copy is dropped. */
void shl_sql_local_stand(struct shl_sql_local *l, int64_t seq, const char *last);
/* Whether the content is a beginning of what m names, no further than seq. */
bool shl_sql_local_fits(const struct shl_sql_local *l, const struct shl_sql_manifest *m,
                        int64_t seq);
/* A connection of which nobody has set or attached anything; a copy without a name is dropped for it. */
SHL_MUST shale_code shl_sql_local_reconnect(struct shl_sql_local *l, shale_error *err);
/* Closes the connection; the next sync is a full refresh. */
void shl_sql_local_drop(struct shl_sql_local *l);
/* Lets the modules of virtual tables forget what they remember of the tables below them, if those were changed behind their backs. */
SHL_MUST shale_code shl_sql_local_refresh_modules(struct shl_sql_local *l, shale_error *err);
/* Reads the schema anew. */
SHL_MUST shale_code shl_sql_local_learn(struct shl_sql_local *l, shale_error *err);

/* Opens any SQLite file through our VFS, set up as a database of this room is. */
SHL_MUST shale_code shl_sql_connect(const char *path, bool writable, struct shl_sql_pages *pages,
                                    sqlite3 **out, shale_error *err);
/* Runs SQL that gives no rows. `doing` for messages. */
SHL_MUST shale_code shl_sql_exec(sqlite3 *db, const char *sql, const char *doing, shale_error *err);

#endif
