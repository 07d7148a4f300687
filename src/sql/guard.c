#include "sql/guard.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "sql/vfs.h"
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define OUR_SAVEPOINTS "shale_" /* the function runs in one */

static int deny(struct shl_sql_guard *g, const char *format, ...) SHL_PRINTF(2, 3);
static int deny(struct shl_sql_guard *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!g->is_denied) /* the first reason is the one that counts */
        (void)vsnprintf(g->why, sizeof g->why, format, args);
    va_end(args);
    g->is_denied = true;
    return SQLITE_DENY;
}

/* PRAGMAs with a value that only tell something. */
static bool pragma_asks(const char *name)
{
    static const char *const names[] = {
        "table_info",    "table_xinfo",      "table_list",        "index_list",      "index_info",
        "index_xinfo",   "foreign_key_list", "foreign_key_check", "integrity_check", "quick_check",
        "function_list", "collation_list",   "database_list",     "module_list",     "pragma_list"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* PRAGMAs that do something without a value. */
static bool pragma_acts(const char *name)
{
    static const char *const names[] = {"incremental_vacuum", "optimize", "wal_checkpoint",
                                        "shrink_memory"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static int on_pragma(struct shl_sql_guard *g, const char *name, const char *value)
{
    bool fine = value == NULL ? !pragma_acts(name) : pragma_asks(name);
    if (fine || strcasecmp(name, "case_sensitive_like") == 0)
        return SQLITE_OK;
    return deny(g, "PRAGMA %.40s would change the local copy only", name);
}

static void note_trigger(struct shl_sql_guard *g, const char *trigger, const char *table)
{
    if (trigger == NULL || g->trigger[0] != '\0')
        return;
    (void)snprintf(g->trigger, sizeof g->trigger, "%s", trigger);
    (void)snprintf(g->trigger_table, sizeof g->trigger_table, "%s", table);
}

static int on_write(struct shl_sql_guard *g, const char *table, const char *trigger)
{
    if (sqlite3_strnicmp(table, "sqlite_", 7) == 0) {
        bool schema = sqlite3_stricmp(table, "sqlite_master") == 0 ||
                      sqlite3_stricmp(table, "sqlite_schema") == 0;
        return deny(g,
                    schema ? "the schema changes in a migration only: rows are sent to others, "
                             "and CREATE, ALTER or DROP would stay in the local copy"
                           : "table \"%.60s\" is SQLite's own: what is written to it would stay "
                             "in the local copy",
                    table);
    }
    const struct shl_sql_table *t = shl_sql_schema_find(g->schema, table);
    if (t == NULL)
        return SQLITE_OK; /* a view: what its triggers write is asked for too */
    if (!t->has_key && t->is_virtual)
        return deny(g,
                    "virtual table \"%.60s\" is not kept in tables with primary keys: its rows "
                    "cannot be sent to others",
                    table);
    if (!t->has_key)
        return deny(g,
                    "table \"%.60s\" has no PRIMARY KEY: its rows cannot be sent to others; give "
                    "it one, e.g. id INTEGER PRIMARY KEY, in a migration",
                    table);
    note_trigger(g, trigger, table);
    g->touched[t - g->schema->tables.items] = true;
    return SQLITE_OK;
}

static bool is_main(const char *database)
{
    return database == NULL || strcmp(database, "main") == 0;
}

/* The arguments are SQLite's: third and fourth by action, then the database, then the innermost trigger or view. */
static int authorize(void *ctx, int action, const char *a, const char *b, const char *database,
                     const char *trigger)
{
    struct shl_sql_guard *g = ctx;
    switch (action) {
    case SQLITE_TRANSACTION:
        return deny(g, "%.20s: the function runs in a transaction already, which ends with it", a);
    case SQLITE_SAVEPOINT: /* the arguments: what is done, and the savepoint's name */
        return b != NULL && sqlite3_strnicmp(b, OUR_SAVEPOINTS, sizeof OUR_SAVEPOINTS - 1) == 0
                   ? deny(g, "savepoint %.40s: names that begin with " OUR_SAVEPOINTS " are taken",
                          b)
                   : SQLITE_OK;
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return deny(
            g,
            "attached databases are not sent to others: use temporary tables, which live until the "
            "statement or the BEGIN .. COMMIT that made them ends");
    case SQLITE_PRAGMA:
        return on_pragma(g, a, b);
    case SQLITE_UPDATE:
        if (strcmp(a, "sqlite_master") == 0)
            return SQLITE_OK; /* said when a virtual table is connected; really writing there is not possible */
        return g->is_view || !is_main(database) ? SQLITE_OK : on_write(g, a, trigger);
    case SQLITE_INSERT:
    case SQLITE_DELETE:
        return g->is_view || !is_main(database) ? SQLITE_OK : on_write(g, a, trigger);
    case SQLITE_ALTER_TABLE: /* its first argument is the database */
        return g->is_view || !is_main(a) ? SQLITE_OK : on_write(g, "sqlite_schema", NULL);
    case SQLITE_ANALYZE:
    case SQLITE_REINDEX:
        return g->is_view || !is_main(database)
                   ? SQLITE_OK
                   : deny(g, "ANALYZE and REINDEX: in a migration only");
    default:
        return SQLITE_OK; /* CREATE and DROP ask to write sqlite_schema too */
    }
}

shale_code shl_sql_guard_begin(struct shl_sql_guard *g, sqlite3 *db,
                               const struct shl_sql_schema *schema, bool is_view, shale_error *err)
{
    *g = (struct shl_sql_guard){.schema = schema, .is_view = is_view};
    g->touched = env_calloc(schema->tables.count + 1, sizeof *g->touched);
    if (g->touched == NULL)
        return shl_nomem(err);
    int rc = sqlite3_set_authorizer(db, authorize, g);
    return rc == SQLITE_OK ? SHALE_OK : shl_sql_fail(db, rc, SHALE_INTERNAL, "authorizer", err);
}

void shl_sql_guard_end(struct shl_sql_guard *g, sqlite3 *db)
{
    if (g->schema != NULL)
        (void)sqlite3_set_authorizer(db, NULL, NULL);
}

void shl_sql_guard_free(struct shl_sql_guard *g)
{
    env_free(g->touched);
    *g = (struct shl_sql_guard){0};
}
