/* Changes of a connection as bytes, and back: SQLite's session extension. One task a connection. */
#ifndef SHL_SQL_CHANGESET_H
#define SHL_SQL_CHANGESET_H

#include "base/bytes.h"

#include <sqlite3.h>

/* Records what is changed in the main database from now on. Errors: NOMEM. */
SHL_MUST shale_code shl_sql_record_begin(sqlite3 *db, sqlite3_session **out, shale_error *err);
/* Ends the recording and appends the changeset, nothing if nothing was changed. Errors: NOT_SUPPORTED (a changed table has generated columns,
 * which this SQLite cannot record), NOMEM. */
SHL_MUST shale_code shl_sql_record_end(sqlite3_session *take_session, sqlite3 *db,
                                       struct shl_buf *out, shale_error *err);

/* Applies a changeset whole or not at all, triggers included. Empty ones are fine. What SQLite gets is looked through first. Errors: CONFLICT (a row is not
 * as the changeset expects it; the text names table, key and SQLite's kind), CORRUPTION (no changeset), NOMEM, NO_SPACE. */
SHL_MUST shale_code shl_sql_apply(sqlite3 *db, struct shl_slice changeset, shale_error *err);

/* True if both hold the same changes, in any order and whoever made them (direct or by a trigger). Else *out_table is that of a difference: borrowed from
 * a or b. Both are changesets. Errors: NOMEM. */
SHL_MUST shale_code shl_sql_same_changes(struct shl_slice a, struct shl_slice b, bool *out,
                                         struct shl_slice *out_table, shale_error *err);

#endif
