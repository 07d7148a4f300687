/* What a database's tables are like, as far as it matters for sending their changes: keys, triggers, generated columns, virtual tables. */
#ifndef SHL_SQL_SCHEMA_H
#define SHL_SQL_SCHEMA_H

#include "base/array.h"
#include "base/bytes.h"

#include <sqlite3.h>

struct shl_sql_table {
    char *name; /* owned */
    char *
        key_sql; /* owned: "k IS NULL OR ..." of key columns that may be NULL, which SQLite allows for old reasons; NULL: none may */
    bool is_virtual;
    bool
        has_key; /* a PRIMARY KEY of its own; of a virtual table: all the tables that it is kept in have one */
    bool has_generated; /* columns that are computed */
};

struct shl_sql_schema {
    SHL_ARRAY(struct shl_sql_table) tables; /* by name */
    bool has_virtual;
    /* A conflict clause of a table, or a trigger that ignores or replaces rows: applying a changeset may drop rows without a conflict. */
    bool hides_conflicts;
};

void shl_sql_schema_free(struct shl_sql_schema *s);
/* Reads it from the main database. */
SHL_MUST shale_code shl_sql_schema_load(sqlite3 *db, struct shl_sql_schema *out, shale_error *err);
/* NULL: no such table. */
const struct shl_sql_table *shl_sql_schema_find(const struct shl_sql_schema *s, const char *name);
/* True if the trigger stands on a view: it does not fire when changes are applied, for they are those of tables. */
SHL_MUST shale_code shl_sql_trigger_is_on_view(sqlite3 *db, const char *name, bool *out,
                                               shale_error *err);
/* A column of the primary key whose collation is not BINARY, if there is one, and that collation. */
SHL_MUST shale_code shl_sql_key_collation(sqlite3 *db, const char *table, bool *out,
                                          char column[64], char collation[64], shale_error *err);

#endif
