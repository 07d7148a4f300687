#include "sql/changeset.h"

#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "sql/format/changeset.h"
#include "sql/vfs.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- recording */

shale_code shl_sql_record_begin(sqlite3 *db, sqlite3_session **out, shale_error *err)
{
    sqlite3_session *s = NULL;
    int rc = sqlite3session_create(db, "main", &s);
    if (rc == SQLITE_OK)
        rc = sqlite3session_attach(s, NULL);
    if (rc == SQLITE_OK) {
        *out = s;
        return SHALE_OK;
    }
    sqlite3session_delete(s);
    return shl_sql_fail(db, rc, SHALE_INTERNAL, "record changes", err);
}

shale_code shl_sql_record_end(sqlite3_session *take_session, sqlite3 *db, struct shl_buf *out,
                              shale_error *err)
{
    int len = 0;
    void *bytes = NULL;
    int rc = sqlite3session_changeset(take_session, &len, &bytes);
    shale_code code;
    sqlite3session_delete(take_session);
    if (rc == SQLITE_SCHEMA)
        code = shl_fail(err, SHALE_NOT_SUPPORTED,
                        "a table that was changed has generated columns: SQLite %s cannot record "
                        "its changes (3.49 can)",
                        sqlite3_libversion());
    else if (rc != SQLITE_OK)
        code = shl_sql_fail(db, rc, SHALE_INTERNAL, "record changes", err);
    else
        code = shl_buf_append(out, bytes, (size_t)len, err);
    sqlite3_free(bytes);
    return code;
}

/* ---- applying */

struct conflict {
    int kind;
    char text[300]; /* "insert into "items", key 5" */
};

static const char *kind_name(int kind)
{
    static const char *const names[] = {[SQLITE_CHANGESET_DATA] = "DATA",
                                        [SQLITE_CHANGESET_NOTFOUND] = "NOTFOUND",
                                        [SQLITE_CHANGESET_CONFLICT] = "CONFLICT",
                                        [SQLITE_CHANGESET_CONSTRAINT] = "CONSTRAINT",
                                        [SQLITE_CHANGESET_FOREIGN_KEY] = "FOREIGN_KEY"};
    return kind > 0 && (size_t)kind < SHL_COUNT_OF(names) ? names[kind] : "UNKNOWN";
}

static size_t add_value(char *dst, size_t cap, size_t at, sqlite3_value *v)
{
    int n = -1;
    int type = v == NULL ? SQLITE_NULL : sqlite3_value_type(v);
    if (at >= cap)
        return at;
    if (type == SQLITE_TEXT)
        n = snprintf(dst + at, cap - at, "'%.40s'", (const char *)sqlite3_value_text(v));
    else if (type == SQLITE_BLOB)
        n = snprintf(dst + at, cap - at, "a blob of %d bytes", sqlite3_value_bytes(v));
    else if (type == SQLITE_NULL)
        n = snprintf(dst + at, cap - at, "NULL");
    else
        n = snprintf(dst + at, cap - at, "%s", (const char *)sqlite3_value_text(v));
    return n < 0 ? at : at + (size_t)n;
}

/* What the change was to do, with the key of its row. */
static void describe(struct conflict *c, sqlite3_changeset_iter *it)
{
    const char *table = "?";
    unsigned char *key = NULL;
    int columns = 0;
    int op = 0;
    int indirect;
    size_t cap = sizeof c->text;
    if (sqlite3changeset_op(it, &table, &columns, &op, &indirect) != SQLITE_OK)
        return;
    int n = snprintf(c->text, cap, "%s \"%.60s\", key",
                     op == SQLITE_INSERT   ? "insert into"
                     : op == SQLITE_UPDATE ? "update of"
                                           : "delete from",
                     table);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (sqlite3changeset_pk(it, &key, &columns) != SQLITE_OK || key == NULL)
        return;
    for (int i = 0, told = 0; i < columns && at + 2 < cap; i++) {
        sqlite3_value *v = NULL;
        int rc = key[i] == 0           ? SQLITE_OK
                 : op == SQLITE_INSERT ? sqlite3changeset_new(it, i, &v)
                                       : sqlite3changeset_old(it, i, &v);
        if (key[i] == 0 || rc != SQLITE_OK)
            continue;
        at += (size_t)snprintf(c->text + at, cap - at, "%s", told++ > 0 ? ", " : " ");
        at = add_value(c->text, cap, at, v);
    }
}

static int on_conflict(void *ctx, int kind, sqlite3_changeset_iter *it)
{
    struct conflict *c = ctx;
    c->kind = kind;
    if (kind == SQLITE_CHANGESET_FOREIGN_KEY)
        (void)snprintf(c->text, sizeof c->text, "the whole of it");
    else
        describe(c, it);
    return SQLITE_CHANGESET_ABORT;
}

shale_code shl_sql_apply(sqlite3 *db, struct shl_slice changeset, shale_error *err)
{
    struct conflict c = {0};
    shale_code code = shl_cs_check(changeset, NULL, err);
    if (code != SHALE_OK || changeset.len == 0)
        return code;
    if (changeset.len > INT32_MAX)
        return shl_fail(err, SHALE_NOT_SUPPORTED, "a changeset of %zu bytes; SQLite takes 2 GiB",
                        changeset.len);
    /* SQLite does not write to it, but its prototype has no const. */
    union {
        const void *given;
        void *taken;
    } bytes = {.given = changeset.data};
    int defensive = 0;
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
    /* Full-text indexes come as rows of the tables that they are kept in. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    int rc = sqlite3changeset_apply(db, (int)changeset.len, bytes.taken, NULL, on_conflict, &c);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, defensive, NULL);
    if (c.kind != 0)
        return shl_fail(err, SHALE_CONFLICT, "changeset conflict: SQLITE_CHANGESET_%s: %s",
                        kind_name(c.kind), c.text);
    return rc == SQLITE_OK ? SHALE_OK
                           : shl_sql_fail(db, rc, SHALE_CORRUPTION, "apply a changeset", err);
}

/* ---- comparing */

struct change_ref {
    struct shl_slice table;
    uint32_t op;
    struct shl_slice rows; /* old and new record, one behind the other */
};

static int by_change(const void *va, const void *vb)
{
    const struct change_ref *a = va;
    const struct change_ref *b = vb;
    int c = shl_slice_cmp(a->table, b->table);
    if (c == 0)
        c = a->op < b->op ? -1 : a->op > b->op ? 1 : 0;
    return c != 0 ? c : shl_slice_cmp(a->rows, b->rows);
}

struct change_list {
    SHL_ARRAY(struct change_ref) items;
};

static shale_code list_changes(struct shl_slice changeset, struct change_list *out,
                               shale_error *err)
{
    struct shl_cs_reader r = shl_cs_reader_of(changeset);
    struct shl_cs_change c;
    shale_code rc;
    while ((rc = shl_cs_next(&r, &c, err)) == SHALE_OK) {
        const uint8_t *rows = c.old_row.len > 0 ? c.old_row.data : c.new_row.data;
        struct change_ref ref = {.table = c.table,
                                 .op = (uint32_t)c.op,
                                 .rows = shl_slice_of(rows, c.old_row.len + c.new_row.len)};
        if (!shl_array_push(&out->items, ref))
            return shl_nomem(err);
    }
    if (rc != SHALE_DONE)
        return rc;
    if (out->items.count > 1)
        qsort(out->items.items, out->items.count, sizeof *out->items.items, by_change);
    return SHALE_OK;
}

shale_code shl_sql_same_changes(struct shl_slice a, struct shl_slice b, bool *out,
                                struct shl_slice *out_table, shale_error *err)
{
    struct change_list of_a = {0};
    struct change_list of_b = {0};
    size_t at = 0;
    shale_code rc;
    SHL_TRY(list_changes(a, &of_a, err));
    SHL_TRY(list_changes(b, &of_b, err));
    while (at < of_a.items.count && at < of_b.items.count &&
           by_change(&of_a.items.items[at], &of_b.items.items[at]) == 0)
        at++;
    *out = at == of_a.items.count && at == of_b.items.count;
    if (!*out)
        *out_table =
            at < of_a.items.count ? of_a.items.items[at].table : of_b.items.items[at].table;
out:
    shl_array_free(&of_a.items);
    shl_array_free(&of_b.items);
    return rc;
}
