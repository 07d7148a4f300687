#include "sql/format/changeset.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/str.h"
#include <inttypes.h>

#define FIXED_BYTES 8 /* of an integer or a real */

/* ---- the small parts */

/* SQLite's varint at *at, which moves behind it; false if it is cut short. */
static bool read_varint(struct shl_slice s, size_t *at, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 9; i++) {
        if (*at >= s.len)
            return false;
        uint8_t b = s.data[(*at)++];
        if (i == 8) {
            *out = v << 8 | b;
            return true;
        }
        v = v << 7 | (b & 0x7f);
        if ((b & 0x80) == 0)
            break;
    }
    *out = v;
    return true;
}

static shale_code bad(const struct shl_cs_reader *r, const char *what, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION, "changeset offset %zu of %zu: %s", r->at, r->all.len,
                    what);
}

/* ---- table sections */

static shale_code read_table(struct shl_cs_reader *r, shale_error *err)
{
    uint64_t columns;
    size_t at = r->at + 1;
    if (!read_varint(r->all, &at, &columns))
        return bad(r, "the table header is cut short", err);
    if (columns == 0 || columns > SHL_CS_COLUMNS_MAX)
        return bad(r, "the number of columns is out of range", err);
    if (columns > r->all.len - at)
        return bad(r, "the table header is cut short", err);
    const uint8_t *places = r->all.data + at;
    bool has_key = false;
    for (uint64_t i = 0; i < columns; i++) {
        if (places[i] > columns)
            return bad(r, "a column's place in the key is out of range", err);
        has_key = has_key || places[i] != 0;
    }
    if (!has_key)
        return bad(r, "the table has no key column", err);
    at += (size_t)columns;
    const uint8_t *end = at < r->all.len ? memchr(r->all.data + at, 0, r->all.len - at) : NULL;
    if (end == NULL)
        return bad(r, "the table name is cut short", err);
    r->table = (struct shl_cs_change){
        .table = shl_slice_of(r->all.data + at, (size_t)(end - (r->all.data + at))),
        .columns = (uint32_t)columns,
        .key_places = places};
    r->at = (size_t)(end - r->all.data) + 1;
    return SHALE_OK;
}

/* ---- records */

/* Moves behind one value; its type, or an error. */
static shale_code skip_value(struct shl_cs_reader *r, uint8_t *out_type, shale_error *err)
{
    uint64_t len = 0;
    if (r->at >= r->all.len)
        return bad(r, "a record is cut short", err);
    size_t at = r->at + 1;
    *out_type = r->all.data[r->at];
    switch (*out_type) {
    case SHL_CS_UNDEFINED:
    case SHL_CS_NULL:
        break;
    case SHL_CS_INTEGER:
    case SHL_CS_REAL:
        len = FIXED_BYTES;
        break;
    case SHL_CS_TEXT:
    case SHL_CS_BLOB:
        if (!read_varint(r->all, &at, &len))
            return bad(r, "a value is cut short", err);
        break;
    default:
        return bad(r, "unknown type of a value", err);
    }
    if (len > r->all.len - at)
        return bad(r, "a value is cut short", err);
    r->at = at + (size_t)len;
    return SHALE_OK;
}

enum row_kind { ROW_WHOLE, ROW_OLD_OF_UPDATE, ROW_NEW_OF_UPDATE };

/* Reads a record and holds it to what the operation may have. */
static shale_code read_row(struct shl_cs_reader *r, enum row_kind kind, struct shl_slice *out,
                           shale_error *err)
{
    size_t begin = r->at;
    for (uint32_t i = 0; i < r->table.columns; i++) {
        size_t value_at = r->at;
        uint8_t type = 0;
        shale_code rc = skip_value(r, &type, err);
        if (rc != SHALE_OK)
            return rc;
        bool in_key = r->table.key_places[i] != 0;
        const char *fault = NULL;
        if (type == SHL_CS_UNDEFINED &&
            (kind == ROW_WHOLE || (kind == ROW_OLD_OF_UPDATE && in_key)))
            fault = "a value is missing";
        if (in_key && type == SHL_CS_NULL && kind != ROW_NEW_OF_UPDATE)
            fault = "a key column is NULL";
        if (fault != NULL) {
            r->at = value_at;
            return bad(r, fault, err);
        }
    }
    *out = shl_slice_of(r->all.data + begin, r->at - begin);
    return SHALE_OK;
}

struct shl_cs_reader shl_cs_reader_of(struct shl_slice changeset)
{
    return (struct shl_cs_reader){.all = changeset};
}

static shale_code read_change(struct shl_cs_reader *r, struct shl_cs_change *out, shale_error *err)
{
    struct shl_cs_change c = r->table;
    shale_code rc;
    if (r->table.columns == 0)
        return bad(r, "it does not begin with a table ('T')", err);
    if (r->all.len - r->at < 2)
        return bad(r, "a change is cut short", err);
    uint8_t op = r->all.data[r->at];
    if (op != SHL_CS_INSERT && op != SHL_CS_UPDATE && op != SHL_CS_DELETE)
        return bad(r, "unknown operation", err);
    c.op = (enum shl_cs_op)op;
    c.indirect = r->all.data[r->at + 1] != 0;
    c.offset = r->at;
    r->at += 2;
    if (op != SHL_CS_INSERT)
        SHL_TRY(read_row(r, op == SHL_CS_UPDATE ? ROW_OLD_OF_UPDATE : ROW_WHOLE, &c.old_row, err));
    if (op != SHL_CS_DELETE)
        SHL_TRY(read_row(r, op == SHL_CS_UPDATE ? ROW_NEW_OF_UPDATE : ROW_WHOLE, &c.new_row, err));
    *out = c;
    rc = SHALE_OK;
out:
    return rc;
}

shale_code shl_cs_next(struct shl_cs_reader *r, struct shl_cs_change *out, shale_error *err)
{
    while (r->at < r->all.len && r->all.data[r->at] == 'T') {
        shale_code rc = read_table(r, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (r->at >= r->all.len)
        return SHALE_DONE;
    return read_change(r, out, err);
}

struct shl_cs_value shl_cs_value_next(struct shl_slice *record)
{
    SHL_ASSERT(record->len > 0);
    struct shl_cs_value v = {.type = (enum shl_cs_type)record->data[0]};
    size_t at = 1;
    uint64_t len = 0;
    if (v.type == SHL_CS_INTEGER || v.type == SHL_CS_REAL) {
        SHL_ASSERT(record->len >= 1 + FIXED_BYTES);
        uint64_t bits = shl_load_u64be(record->data + 1);
        if (v.type == SHL_CS_INTEGER)
            memcpy(&v.integer, &bits, sizeof bits);
        else
            memcpy(&v.real, &bits, sizeof bits);
        at += FIXED_BYTES;
    } else if (v.type == SHL_CS_TEXT || v.type == SHL_CS_BLOB) {
        bool whole = read_varint(*record, &at, &len);
        SHL_ASSERT(whole && len <= record->len - at);
        v.bytes = shl_slice_of(record->data + at, (size_t)len);
        at += (size_t)len;
    }
    *record = shl_slice_of(record->data + at, record->len - at);
    return v;
}

shale_code shl_cs_check(struct shl_slice changeset, uint64_t *out_changes, shale_error *err)
{
    struct shl_cs_reader r = shl_cs_reader_of(changeset);
    struct shl_cs_change c;
    uint64_t changes = 0;
    shale_code rc;
    while ((rc = shl_cs_next(&r, &c, err)) == SHALE_OK)
        changes++;
    if (rc != SHALE_DONE)
        return rc;
    if (out_changes != NULL)
        *out_changes = changes;
    return SHALE_OK;
}

/* ---- words */

const char *shl_cs_op_name(enum shl_cs_op op)
{
    return op == SHL_CS_INSERT ? "insert" : op == SHL_CS_UPDATE ? "update" : "delete";
}

#define SHOWN_BYTES 40

static shale_code value_text(const struct shl_cs_value *v, struct shl_buf *out, shale_error *err)
{
    char number[SHL_F64_TEXT];
    size_t shown = v->bytes.len < SHOWN_BYTES ? v->bytes.len : SHOWN_BYTES;
    const char *more = v->bytes.len > SHOWN_BYTES ? ".." : "";
    shale_code rc = SHALE_OK;
    switch (v->type) {
    case SHL_CS_INTEGER:
        return shl_str_printf(out, err, "%" PRId64, v->integer);
    case SHL_CS_REAL:
        return shl_str_append(
            out, __builtin_isfinite(v->real) ? shl_f64_text(v->real, number) : "infinity", err);
    case SHL_CS_TEXT:
        return shl_str_printf(out, err, "'%.*s%s'", (int)shown, (const char *)v->bytes.data, more);
    case SHL_CS_BLOB:
        SHL_TRY(shl_str_append(out, "x'", err));
        for (size_t i = 0; i < shown; i++)
            SHL_TRY(shl_str_printf(out, err, "%02x", v->bytes.data[i]));
        return shl_str_printf(out, err, "%s'", more);
    case SHL_CS_UNDEFINED:
    case SHL_CS_NULL:
        break;
    }
    return shl_str_append(out, "NULL", err);
out:
    return rc;
}

shale_code shl_cs_key_text(const struct shl_cs_change *c, struct shl_buf *out, shale_error *err)
{
    struct shl_slice row = c->op == SHL_CS_INSERT ? c->new_row : c->old_row;
    uint32_t parts = 0;
    uint32_t told = 0;
    shale_code rc = SHALE_OK;
    for (uint32_t i = 0; i < c->columns; i++)
        parts += c->key_places[i] != 0;
    if (parts > 1)
        SHL_TRY(shl_str_append(out, "(", err));
    for (uint32_t i = 0; i < c->columns; i++) {
        struct shl_cs_value v = shl_cs_value_next(&row);
        if (c->key_places[i] == 0)
            continue;
        if (told++ > 0)
            SHL_TRY(shl_str_append(out, ", ", err));
        SHL_TRY(value_text(&v, out, err));
    }
    if (parts > 1)
        SHL_TRY(shl_str_append(out, ")", err));
out:
    return rc;
}
