/* SQLite's files through the env, so that local copies live in the simulation too. One VFS of the process, "shale", never the default one.
 *
 * Files have no locks (a local copy has one connection, shale_sql's) and are never synced: a copy that was not closed in peace is dropped. */
#ifndef SHL_SQL_VFS_H
#define SHL_SQL_VFS_H

#include "base/err.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define SHL_SQL_VFS "shale"

/* Bytes that are fetched when they are first read. All calls come from the connection's task. */
struct shl_sql_pages {
    /* Makes [offset, offset + len) of the file hold what it should; an error ends the statement with SQLITE_IOERR. */
    shale_code (*fill)(struct shl_sql_pages *p, uint64_t offset, uint64_t len);
    /* [offset, offset + len) is about to be overwritten; whole pages. */
    shale_code (*overwrite)(struct shl_sql_pages *p, uint64_t offset, uint64_t len);
};

/* Registers the VFS and looks whether this SQLite has sessions. May be called often, from any task. Errors: NOT_SUPPORTED, NOMEM. */
SHL_MUST shale_code shl_sql_setup(shale_error *err);

/* Lets the main file of a connection be filled by `pages` (borrowed until the connection closes). */
SHL_MUST shale_code shl_sql_vfs_attach(sqlite3 *db, struct shl_sql_pages *pages, shale_error *err);

/* SQLite's last message and code as ours: "<doing>: <message>". NOMEM, NO_SPACE and CORRUPTION where SQLite says so, else `code`. */
shale_code shl_sql_fail(sqlite3 *db, int sqlite_rc, shale_code code, const char *doing,
                        shale_error *err);

#endif
