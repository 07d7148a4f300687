/* What a user's function may do, and what it was about to write: SQLite's authorizer, which is asked when a statement is compiled.
 *
 * Refused before anything is written, because it would stay in the local copy without a word: changes of the schema, rows of tables without
 * a primary key, rows of virtual tables that are kept elsewhere, SQLite's own tables, ATTACH, BEGIN and COMMIT, and PRAGMAs that change something. Tables
 * of the temp database are the function's own, and end with it. A view may write what it likes, for it is rolled back. */
#ifndef SHL_SQL_GUARD_H
#define SHL_SQL_GUARD_H

#include "sql/schema.h"

struct shl_sql_guard {
    const struct shl_sql_schema *schema; /* borrowed */
    bool is_view;
    bool is_denied;          /* `why` says what */
    bool *touched;           /* owned: by index of the schema's tables: a statement may write it */
    char trigger[128];       /* of the first one that writes; "": none */
    char trigger_table[128]; /* ... and what it writes */
    char why[300];
};

/* Sets the authorizer; statements that were compiled before are compiled anew. shl_sql_guard_end takes it away. Errors: NOMEM. */
SHL_MUST shale_code shl_sql_guard_begin(struct shl_sql_guard *g, sqlite3 *db,
                                        const struct shl_sql_schema *schema, bool is_view,
                                        shale_error *err);
void shl_sql_guard_end(struct shl_sql_guard *g, sqlite3 *db); /* {0} is fine */
void shl_sql_guard_free(struct shl_sql_guard *g);

#endif
