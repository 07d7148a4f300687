#include "sql/schema.h"

#include "base/env/env.h"
#include "base/str.h"
#include "sql/vfs.h"
#include <stdio.h>
#include <stdlib.h>

void shl_sql_schema_free(struct shl_sql_schema *s)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        env_free(s->tables.items[i].name);
        env_free(s->tables.items[i].key_sql);
    }
    shl_array_free(&s->tables);
    *s = (struct shl_sql_schema){0};
}

/* A row a column; virtual tables have one row, without asking their modules, which may be missing. A key that has an index may be NULL; one that is the rowid has
 * none, whatever the words of its type (INTEGER PRIMARY KEY DESC is not the rowid). */
static const char columns_sql[] =
    "SELECT m.name, m.rootpage = 0, x.pk > 0, x.hidden IN (2, 3), "
    "x.pk > 0 AND x.\"notnull\" = 0 AND EXISTS (SELECT 1 FROM pragma_index_list(m.name, 'main') "
    "WHERE origin = 'pk'), x.name "
    "FROM main.sqlite_schema m LEFT JOIN pragma_table_xinfo(m.name, 'main') x ON m.rootpage > 0 "
    "WHERE m.type = 'table' ORDER BY m.name COLLATE BINARY, x.cid";

static struct shl_sql_table *table_of(struct shl_sql_schema *s, const char *name)
{
    if (s->tables.count > 0) {
        struct shl_sql_table *last = &s->tables.items[s->tables.count - 1];
        if (strcmp(last->name, name) == 0)
            return last;
    }
    struct shl_sql_table t = {.name = env_strdup(name)};
    if (t.name == NULL || !shl_array_push(&s->tables, t)) {
        env_free(t.name);
        return NULL;
    }
    return &s->tables.items[s->tables.count - 1];
}

/* "name" with its quotes doubled, and IS NULL. */
static shale_code add_key_column(struct shl_sql_table *t, const char *column, shale_error *err)
{
    char *sql = sqlite3_mprintf("%s%s\"%w\" IS NULL", t->key_sql == NULL ? "" : t->key_sql,
                                t->key_sql == NULL ? "" : " OR ", column);
    char *copy = sql == NULL ? NULL : env_strdup(sql);
    sqlite3_free(sql);
    if (copy == NULL)
        return shl_nomem(err);
    env_free(t->key_sql);
    t->key_sql = copy;
    return SHALE_OK;
}

static shale_code take_row(struct shl_sql_schema *s, sqlite3_stmt *q, shale_error *err)
{
    const char *name = (const char *)sqlite3_column_text(q, 0);
    struct shl_sql_table *t = name == NULL ? NULL : table_of(s, name);
    if (t == NULL)
        return shl_nomem(err);
    t->is_virtual = sqlite3_column_int(q, 1) != 0;
    s->has_virtual = s->has_virtual || t->is_virtual;
    t->has_key = t->has_key || sqlite3_column_int(q, 2) != 0;
    t->has_generated = t->has_generated || sqlite3_column_int(q, 3) != 0;
    if (sqlite3_column_int(q, 4) == 0)
        return SHALE_OK;
    const char *column = (const char *)sqlite3_column_text(q, 5);
    return column == NULL ? shl_nomem(err) : add_key_column(t, column, err);
}

/* A virtual table can be sent if it is kept in ordinary tables named after it, and all of them have keys. */
static void judge_virtual(struct shl_sql_schema *s)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        struct shl_sql_table *v = &s->tables.items[i];
        size_t len = strlen(v->name);
        size_t kept = 0;
        size_t keyless = 0;
        for (size_t k = 0; v->is_virtual && k < s->tables.count; k++) {
            const struct shl_sql_table *t = &s->tables.items[k];
            if (t->is_virtual || strncmp(t->name, v->name, len) != 0 || t->name[len] != '_')
                continue;
            kept++;
            keyless += !t->has_key;
        }
        if (v->is_virtual)
            v->has_key = kept > 0 && keyless == 0;
    }
}

/* By the words in their text; a comment with such a word only costs that updates are run again instead of merged. */
static const char hides_sql[] =
    "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND instr(upper(sql), 'CONFLICT') OR "
    "type = 'trigger' AND (instr(upper(sql), 'IGNORE') OR instr(upper(sql), 'REPLACE')) LIMIT 1";

static shale_code look_for_hidden(sqlite3 *db, struct shl_sql_schema *s, shale_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, hides_sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    (void)sqlite3_finalize(q);
    s->hides_conflicts = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? SHALE_OK
               : shl_sql_fail(db, rc, SHALE_CORRUPTION, "read the schema", err);
}

shale_code shl_sql_schema_load(sqlite3 *db, struct shl_sql_schema *out, shale_error *err)
{
    struct shl_sql_schema s = {0};
    sqlite3_stmt *q = NULL;
    shale_code rc = SHALE_OK;
    int step = sqlite3_prepare_v2(db, columns_sql, -1, &q, NULL);
    while (step == SQLITE_OK || step == SQLITE_ROW) {
        step = sqlite3_step(q);
        if (step == SQLITE_ROW)
            SHL_TRY(take_row(&s, q, err));
    }
    if (step != SQLITE_DONE)
        SHL_TRY(shl_sql_fail(db, step, SHALE_CORRUPTION, "read the schema", err));
    judge_virtual(&s);
    SHL_TRY(look_for_hidden(db, &s, err));
    *out = s;
    s = (struct shl_sql_schema){0}; /* moved to the caller */
out:
    (void)sqlite3_finalize(q);
    shl_sql_schema_free(&s);
    return rc;
}

static int by_name(const void *name, const void *table)
{
    return strcmp(name, ((const struct shl_sql_table *)table)->name);
}

const struct shl_sql_table *shl_sql_schema_find(const struct shl_sql_schema *s, const char *name)
{
    return s->tables.count == 0
               ? NULL
               : bsearch(name, s->tables.items, s->tables.count, sizeof *s->tables.items, by_name);
}

shale_code shl_sql_trigger_is_on_view(sqlite3 *db, const char *name, bool *out, shale_error *err)
{
    static const char sql[] =
        "SELECT v.type = 'view' FROM main.sqlite_schema t JOIN main.sqlite_schema v ON v.name "
        "= t.tbl_name COLLATE NOCASE WHERE t.type = 'trigger' AND t.name = ?1 COLLATE NOCASE "
        "AND v.type IN ('table', 'view')";
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW && sqlite3_column_int(q, 0) != 0;
    (void)sqlite3_finalize(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? SHALE_OK
               : shl_sql_fail(db, rc, SHALE_INTERNAL, "look at a trigger", err);
}

shale_code shl_sql_key_collation(sqlite3 *db, const char *table, bool *out, char column[64],
                                 char collation[64], shale_error *err)
{
    static const char sql[] =
        "SELECT x.name, x.coll FROM pragma_index_list(?1, 'main') i, pragma_index_xinfo(i.name, "
        "'main') x WHERE i.origin = 'pk' AND x.key AND x.coll <> 'BINARY' COLLATE NOCASE LIMIT 1";
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(q, 1, table, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW;
    if (*out) {
        const char *name = (const char *)sqlite3_column_text(q, 0);
        const char *by = (const char *)sqlite3_column_text(q, 1);
        (void)snprintf(column, 64, "%.60s", name == NULL ? "?" : name);
        (void)snprintf(collation, 64, "%.60s", by == NULL ? "?" : by);
    }
    (void)sqlite3_finalize(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? SHALE_OK
               : shl_sql_fail(db, rc, SHALE_INTERNAL, "look at a key", err);
}
