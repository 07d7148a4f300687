#include "cli/sql_print.h"

#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"

#include <inttypes.h>

#define COLUMN_MAX 60 /* wider values are cut on a terminal's table */

void sql_rows_clear(struct sql_rows *r)
{
    r->cells.count = 0;
    r->bytes.len = 0;
    r->text.len = 0;
    r->rows = 0;
    r->begun = false;
}

void sql_rows_deinit(struct sql_rows *r)
{
    shl_array_free(&r->cells);
    shl_buf_free(&r->bytes);
    shl_buf_free(&r->text);
}

static shale_code add_cell(struct sql_rows *r, int type, const void *data, size_t len,
                           shale_error *err)
{
    struct sql_cell cell = {.at = r->bytes.len, .len = len, .type = type};
    shale_code rc = shl_buf_append(&r->bytes, data, len, err);
    if (rc == SHALE_OK && !shl_array_push(&r->cells, cell))
        rc = shl_nomem(err);
    return rc;
}

static struct shl_slice bytes_of(const struct sql_rows *r, const struct sql_cell *cell)
{
    return cell->len == 0 ? shl_slice_of("", 0) : shl_slice_of(r->bytes.data + cell->at, cell->len);
}

/* ---- one value */

static shale_code put_hex(struct shl_buf *out, struct shl_slice s, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_append(out, "x'", err));
    SHL_TRY(shl_hex_encode(s, out, err));
    SHL_TRY(shl_str_append(out, "'", err));
out:
    return rc;
}

/* Control characters, and what is no UTF-8, as \xNN: a row is a line, and a terminal does not act on it. */
static shale_code put_escaped(struct shl_buf *out, struct shl_slice s, shale_error *err)
{
    char shown[4 * COLUMN_MAX + 8];
    char cut[COLUMN_MAX * 4 + 1];
    size_t n = shl_min_size(s.len, sizeof cut - 1);
    memcpy(cut, s.data, n);
    cut[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (cut[i] == '\n' || cut[i] == '\t' || cut[i] == '\r' || cut[i] == '\0')
            cut[i] = ' ';
    return shl_str_append(out, out_shown(shown, sizeof shown, cut), err);
}

static shale_code put_csv(struct shl_buf *out, struct shl_slice s, shale_error *err)
{
    bool quoted = s.len == 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < s.len; i++)
        quoted = quoted || s.data[i] == '"' || s.data[i] == ',' || s.data[i] < ' ';
    if (!quoted)
        return shl_buf_append(out, s.data, s.len, err);
    SHL_TRY(shl_str_append(out, "\"", err));
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"')
            SHL_TRY(shl_str_append(out, "\"", err));
        SHL_TRY(shl_buf_append(out, s.data + i, 1, err));
    }
    SHL_TRY(shl_str_append(out, "\"", err));
out:
    return rc;
}

/* Tabs and line ends would break the row. */
static shale_code put_tabs(struct shl_buf *out, struct shl_slice s, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < s.len; i++) {
        const char *word = s.data[i] == '\t'   ? "\\t"
                           : s.data[i] == '\n' ? "\\n"
                           : s.data[i] == '\\' ? "\\\\"
                                               : NULL;
        if (word != NULL)
            SHL_TRY(shl_str_append(out, word, err));
        else
            SHL_TRY(shl_buf_append(out, s.data + i, 1, err));
    }
out:
    return rc;
}

static shale_code put_cell(struct sql_rows *r, const struct sql_cell *cell, shale_error *err)
{
    struct shl_slice s = bytes_of(r, cell);
    if (cell->type == SQLITE_NULL)
        return SHALE_OK;
    if (cell->type == SQLITE_BLOB)
        return put_hex(&r->text, s, err);
    if (r->mode == SQL_CSV)
        return put_csv(&r->text, s, err);
    if (r->mode == SQL_TABS)
        return put_tabs(&r->text, s, err);
    return r->terminal ? put_escaped(&r->text, s, err)
                       : shl_buf_append(&r->text, s.data, s.len, err);
}

/* ---- a row */

static void put_json_value(struct shl_json_writer *w, const char *name, const struct sql_cell *cell,
                           struct shl_slice s)
{
    struct shl_buf text = {0};
    shale_error ignored;
    if (cell->type == SQLITE_BLOB) {
        if (shl_str_printf(&text, &ignored, "%s_base64", name) == SHALE_OK)
            shl_json_key_slice(w, shl_buf_view(&text));
        text.len = 0;
        if (shl_base64_encode(s, &text, &ignored) == SHALE_OK)
            shl_json_slice(w, shl_buf_view(&text));
        shl_buf_free(&text);
        return;
    }
    if (cell->type == SQLITE_TEXT) {
        shl_json_bytes(w, name, s);
        return;
    }
    shl_json_key(w, name);
    if (cell->type == SQLITE_NULL || (s.len > 0 && memchr("0123456789-", s.data[0], 11) == NULL) ||
        shl_slice_eq(s, shl_slice_str("-Inf")))
        shl_json_null(w);
    else
        shl_json_raw(w, s);
}

static shale_code put_json_row(struct sql_rows *r, const struct sql_cell *row, shale_error *err)
{
    struct shl_json_writer w;
    struct shl_buf name = {0};
    shale_code rc = SHALE_OK;
    shl_json_begin(&w, &r->text, err);
    shl_json_object(&w);
    for (int i = 0; i < r->columns && rc == SHALE_OK; i++) {
        name.len = 0;
        rc =
            shl_buf_append(&name, r->bytes.data + r->cells.items[i].at, r->cells.items[i].len, err);
        if (rc == SHALE_OK)
            rc = shl_str_terminate(&name, err);
        if (rc == SHALE_OK)
            put_json_value(&w, (const char *)name.data, &row[i], bytes_of(r, &row[i]));
    }
    shl_json_object_end(&w);
    if (rc == SHALE_OK)
        rc = shl_json_finish(&w);
    shl_buf_free(&name);
    return rc != SHALE_OK ? rc : shl_str_append(&r->text, "\n", err);
}

static shale_code put_row(struct sql_rows *r, const struct sql_cell *row, shale_error *err)
{
    static const char *const between[] = {
        [SQL_LIST] = "|", [SQL_CSV] = ",", [SQL_TABS] = "\t", [SQL_COLUMN] = "", [SQL_JSON] = ""};
    shale_code rc = SHALE_OK;
    if (r->mode == SQL_JSON)
        return put_json_row(r, row, err);
    for (int i = 0; i < r->columns; i++) {
        if (i > 0)
            SHL_TRY(shl_str_append(&r->text, between[r->mode], err));
        SHL_TRY(put_cell(r, &row[i], err));
    }
    SHL_TRY(shl_str_append(&r->text, r->mode == SQL_CSV ? "\r\n" : "\n", err));
out:
    return rc;
}

/* ---- tables */

/* Columns of a text on a terminal: characters, as if each took one. */
static size_t width_of(struct shl_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += (s.data[i] & 0xc0) != 0x80;
    return n;
}

static shale_code put_padded(struct sql_rows *r, const struct sql_cell *cell, size_t width,
                             bool last, shale_error *err)
{
    size_t before = r->text.len;
    bool right = cell->type == SQLITE_INTEGER || cell->type == SQLITE_FLOAT;
    shale_code rc = put_cell(r, cell, err);
    if (rc != SHALE_OK)
        return rc;
    size_t have = width_of(shl_slice_of(r->text.data + before, r->text.len - before));
    size_t pad = have < width && (right || !last) ? width - have : 0;
    for (size_t i = 0; rc == SHALE_OK && i < pad; i++)
        rc = shl_str_append(&r->text, " ", err);
    if (rc == SHALE_OK && right && pad > 0) {
        memmove(r->text.data + before + pad, r->text.data + before, r->text.len - before - pad);
        memset(r->text.data + before, ' ', pad);
    }
    return rc != SHALE_OK || last ? rc : shl_str_append(&r->text, "  ", err);
}

static shale_code put_table(struct sql_rows *r, shale_error *err)
{
    size_t columns = (size_t)r->columns;
    size_t *widths = env_calloc(columns + 1, sizeof *widths);
    shale_code rc = SHALE_OK;
    if (widths == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < r->cells.count; i++) { /* printed once to be measured */
        size_t before = r->text.len;
        SHL_TRY(put_cell(r, &r->cells.items[i], err));
        size_t n = width_of(shl_slice_of(r->text.data + before, r->text.len - before));
        r->text.len = before;
        widths[i % columns] = widths[i % columns] < n ? n : widths[i % columns];
    }
    for (size_t i = 0; i < r->cells.count; i++) {
        bool last = i % columns == columns - 1;
        SHL_TRY(put_padded(r, &r->cells.items[i], widths[i % columns], last, err));
        if (last)
            SHL_TRY(shl_str_append(&r->text, "\n", err));
    }
out:
    env_free(widths);
    return rc;
}

/* ---- statements */

static bool has_name(const struct sql_rows *r, struct shl_slice name)
{
    for (size_t i = 0; i < r->cells.count; i++)
        if (shl_slice_eq(bytes_of(r, &r->cells.items[i]), name))
            return true;
    return false;
}

/* A member of an object needs a name of its own: "a", "a:1", as SQLite's views have it. */
static shale_code add_json_name(struct sql_rows *r, const char *name, shale_error *err)
{
    struct shl_buf own = {0};
    shale_code rc = shl_str_append(&own, name, err);
    for (unsigned n = 1; rc == SHALE_OK && has_name(r, shl_buf_view(&own)); n++) {
        own.len = 0;
        rc = shl_str_printf(&own, err, "%s:%u", name, n);
    }
    if (rc == SHALE_OK)
        rc = add_cell(r, SQLITE_TEXT, own.data, own.len, err);
    shl_buf_free(&own);
    return rc;
}

static shale_code add_name(struct sql_rows *r, const char *name, shale_error *err)
{
    if (name == NULL)
        return shl_nomem(err);
    return r->mode == SQL_JSON ? add_json_name(r, name, err)
                               : add_cell(r, SQLITE_TEXT, name, strlen(name), err);
}

shale_code sql_rows_begin(struct sql_rows *r, sqlite3_stmt *q, shale_error *err)
{
    shale_code rc = SHALE_OK;
    r->columns = sqlite3_column_count(q);
    r->cells.count = 0;
    r->bytes.len = 0;
    for (int i = 0; i < r->columns && rc == SHALE_OK; i++)
        rc = add_name(r, sqlite3_column_name(q, i), err);
    if (rc == SHALE_OK &&
        ((r->headers && r->mode != SQL_JSON && r->mode != SQL_COLUMN) || r->mode == SQL_CSV))
        rc = put_row(r, r->cells.items, err);
    return rc;
}

const char *sql_real_text(double real, char out[SHL_F64_TEXT])
{
    if (!__builtin_isfinite(real))
        return real > 0 ? "inf" : "-inf";
    (void)shl_f64_text(real, out);
    if (strpbrk(out, ".e") == NULL)
        strcpy(out + strlen(out), ".0"); /* of 17 digits at most, there is room */
    return out;
}

static shale_code take_value(struct sql_rows *r, sqlite3_stmt *q, int i, shale_error *err)
{
    char number[SHL_F64_TEXT];
    int type = sqlite3_column_type(q, i);
    if (type == SQLITE_NULL)
        return add_cell(r, type, "", 0, err);
    if (type == SQLITE_FLOAT && __builtin_isfinite(sqlite3_column_double(q, i))) {
        const char *text = sql_real_text(sqlite3_column_double(q, i), number);
        return add_cell(r, type, text, strlen(text), err);
    }
    const void *data =
        type == SQLITE_BLOB ? sqlite3_column_blob(q, i) : (const void *)sqlite3_column_text(q, i);
    int len = sqlite3_column_bytes(q, i);
    if (data == NULL && len > 0)
        return shl_nomem(err);
    return add_cell(r, type, data == NULL ? "" : data, (size_t)len, err);
}

shale_code sql_rows_add(struct sql_rows *r, sqlite3_stmt *q, shale_error *err)
{
    size_t first = r->cells.count;
    size_t bytes = r->bytes.len;
    shale_code rc = SHALE_OK;
    for (int i = 0; i < r->columns && rc == SHALE_OK; i++)
        rc = take_value(r, q, i, err);
    r->rows++;
    if (rc != SHALE_OK || r->mode == SQL_COLUMN)
        return rc;
    rc = put_row(r, r->cells.items + first, err);
    r->cells.count = first;
    r->bytes.len = bytes;
    return rc;
}

shale_code sql_rows_end(struct sql_rows *r, shale_error *err)
{
    if (r->mode != SQL_COLUMN || r->columns == 0 || r->cells.count <= (size_t)r->columns)
        return SHALE_OK;
    return put_table(r, err);
}
