/* The verifier. It follows the schema, not the bytes: what no known field reaches is not looked at. */
#include "base/codec/flatbuf_read.h"

#include <inttypes.h>

#include "base/assert.h"

/* uoffsets are u32, but soffsets are i32, so builders stop at 2 GiB. */
#define FB_BYTES_MAX INT32_MAX
/* A table takes 4 bytes and the reference to it 4 more. */
#define FB_TABLE_BYTES_MIN 8
#define FB_VECTOR_SHARE    4

struct verifier {
    const uint8_t *buf;
    size_t len;
    size_t tables_left;
    uint64_t vector_bytes_left;
    unsigned depth;
    const char *table_name; /* what is being checked, for messages */
    const char *field_name;
    shale_error *err;
};

static shale_code verify_table(struct verifier *v, const struct shl_fb_schema *schema, size_t at);
static shale_code verify_tables(struct verifier *v, const struct shl_fb_schema *schema, size_t at);

static shale_code bad(struct verifier *v, const char *what, size_t at)
{
    return shl_fail(v->err, SHALE_CORRUPTION, "flatbuffer %s.%s: %s at %zu of %zu bytes",
                    v->table_name, v->field_name, what, at, v->len);
}

static bool in_buffer(const struct verifier *v, size_t at, size_t n)
{
    return at <= v->len && n <= v->len - at;
}

/* Follows the uoffset at `at` (inside the buffer) to a 4-aligned word. */
static shale_code follow(struct verifier *v, size_t at, size_t *out_target)
{
    size_t target = at + shl_load_u32le(v->buf + at);
    if (target == at || target % 4 != 0 || !in_buffer(v, target, 4))
        return bad(v, "bad reference", at);
    *out_target = target;
    return SHALE_OK;
}

/* Checks count and range of the vector at `at`, and charges its bytes. */
static shale_code verify_vector(struct verifier *v, size_t at, size_t elem_bytes,
                                uint32_t *out_count)
{
    uint32_t count = shl_load_u32le(v->buf + at);
    uint64_t bytes = (uint64_t)count * elem_bytes;
    if (bytes > v->len - at - 4)
        return bad(v, "vector past the end", at);
    if (bytes > v->vector_bytes_left)
        return bad(v, "vectors overlap too often", at);
    v->vector_bytes_left -= bytes;
    *out_count = count;
    return SHALE_OK;
}

/* Well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool utf8_valid(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint8_t c = p[i];
        if (c < 0x80) {
            i++;
            continue;
        }
        size_t more = c >= 0xc2 && c <= 0xdf   ? 1
                      : (c & 0xf0) == 0xe0     ? 2
                      : c >= 0xf0 && c <= 0xf4 ? 3
                                               : 0;
        if (more == 0 || n - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
        uint8_t d = p[i + 1];
        if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
            (c == 0xf4 && d > 0x8f))
            return false;
        i += more + 1;
    }
    return true;
}

static shale_code verify_string(struct verifier *v, size_t at)
{
    uint32_t count = 0;
    shale_code rc = verify_vector(v, at, 1, &count);
    if (rc != SHALE_OK)
        return rc;
    size_t end = at + 4 + count;
    if (end >= v->len || v->buf[end] != 0)
        return bad(v, "string without NUL", at);
    if (!utf8_valid(v->buf + at + 4, count))
        return bad(v, "string is not UTF-8", at);
    return SHALE_OK;
}

static size_t inline_bytes(enum shl_fb_type type)
{
    switch (type) {
    case SHL_FB_U8:
        return 1;
    case SHL_FB_U16:
        return 2;
    case SHL_FB_U64:
        return 8;
    case SHL_FB_U32:
    case SHL_FB_BYTES:
    case SHL_FB_STRING:
    case SHL_FB_U32S:
    case SHL_FB_TABLE:
    case SHL_FB_TABLES:
    case SHL_FB_UNION:
        return 4;
    }
    SHL_NEVER();
}

/* What the reference field at `at` points to. `union_type` counts from 1. */
static shale_code verify_target(struct verifier *v, const struct shl_fb_field *field,
                                uint8_t union_type, size_t at)
{
    size_t target = 0;
    uint32_t count = 0;
    shale_code rc = follow(v, at, &target);
    if (rc != SHALE_OK)
        return rc;
    switch (field->type) {
    case SHL_FB_BYTES:
        return verify_vector(v, target, 1, &count);
    case SHL_FB_U32S:
        return verify_vector(v, target, 4, &count);
    case SHL_FB_STRING:
        return verify_string(v, target);
    case SHL_FB_TABLE:
        return verify_table(v, field->table, target);
    case SHL_FB_TABLES:
        return verify_tables(v, field->table, target);
    case SHL_FB_UNION:
        return verify_table(v, field->members[union_type - 1], target);
    case SHL_FB_U8:
    case SHL_FB_U16:
    case SHL_FB_U32:
    case SHL_FB_U64:
        break;
    }
    SHL_NEVER();
}

/* A union must have both halves or neither, and a type that we know. */
static shale_code verify_union_type(struct verifier *v, const struct shl_fb_field *field,
                                    uint8_t type, bool present, size_t at)
{
    if ((type != 0) != present)
        return bad(v, "union with only one of type and value", at);
    if (type > field->member_count)
        return shl_fail(v->err, SHALE_CORRUPTION, "flatbuffer %s.%s: union type %u, known 0..%zu",
                        v->table_name, v->field_name, (unsigned)type, field->member_count);
    return SHALE_OK;
}

/* Where the slot's field stands, perhaps past the end; 0 if it is absent. The vtable was checked. */
static size_t slot_position(const struct verifier *v, size_t at, size_t slot)
{
    const uint8_t *vtable = v->buf + at - (int32_t)shl_load_u32le(v->buf + at);
    size_t pos = 4 + 2 * slot;
    if (pos >= shl_load_u16le(vtable))
        return 0;
    uint16_t offset = shl_load_u16le(vtable + pos);
    return offset == 0 ? 0 : at + offset;
}

static shale_code verify_field(struct verifier *v, const struct shl_fb_schema *schema, size_t slot,
                               size_t at)
{
    const struct shl_fb_field *field = &schema->fields[slot];
    v->table_name = schema->name;
    v->field_name = field->name;
    size_t pos = slot_position(v, at, slot);
    uint8_t union_type = 0;
    if (field->type == SHL_FB_UNION) {
        SHL_ASSERT(slot > 0);
        size_t type_pos = slot_position(v, at, slot - 1); /* checked as a field before this one */
        union_type = type_pos == 0 ? 0 : v->buf[type_pos];
        shale_code rc = verify_union_type(v, field, union_type, pos != 0, at);
        if (rc != SHALE_OK)
            return rc;
    }
    if (pos == 0)
        return field->required ? bad(v, "required field is missing, table", at) : SHALE_OK;
    size_t size = inline_bytes(field->type);
    if (pos % size != 0 || !in_buffer(v, pos, size))
        return bad(v, "field misaligned or past the end", pos);
    if (field->type <= SHL_FB_U64)
        return SHALE_OK;
    return verify_target(v, field, union_type, pos);
}

/* `at` is 4-aligned and has 4 bytes. Checks where the vtable is before any slot is looked at. */
static shale_code verify_vtable(struct verifier *v, size_t at)
{
    int64_t vtable_pos = (int64_t)at - (int32_t)shl_load_u32le(v->buf + at);
    if (vtable_pos < 0 || vtable_pos % 2 != 0 || !in_buffer(v, (size_t)vtable_pos, 4))
        return bad(v, "vtable out of place, table", at);
    size_t vtable = (size_t)vtable_pos;
    uint16_t vtable_bytes = shl_load_u16le(v->buf + vtable);
    if (vtable_bytes < 4 || vtable_bytes % 2 != 0 || !in_buffer(v, vtable, vtable_bytes))
        return bad(v, "bad vtable length, table", at);
    return SHALE_OK;
}

/* Many small tables of one schema, as an index has them, share one vtable: it is checked and read once. */
#define FLAT_FIELDS_MAX 4

struct flat {
    bool known;    /* the vtable was checked, and its offsets are here */
    size_t vtable; /* its position */
    uint16_t offset[FLAT_FIELDS_MAX];
};

/* Numbers and byte vectors only. */
static bool is_flat(const struct shl_fb_schema *schema)
{
    for (size_t slot = 0; slot < schema->field_count; slot++)
        if (schema->fields[slot].type > SHL_FB_BYTES)
            return false;
    return schema->field_count <= FLAT_FIELDS_MAX;
}

static shale_code read_vtable(struct verifier *v, const struct shl_fb_schema *schema, size_t at,
                              struct flat *f)
{
    size_t vtable = at - (size_t)(int32_t)shl_load_u32le(v->buf + at);
    if (f->known && vtable == f->vtable)
        return SHALE_OK;
    shale_code rc = verify_vtable(v, at);
    if (rc != SHALE_OK)
        return rc;
    f->known = true;
    f->vtable = vtable;
    for (size_t slot = 0; slot < schema->field_count; slot++) {
        size_t pos = 4 + 2 * slot;
        f->offset[slot] =
            pos < shl_load_u16le(v->buf + vtable) ? shl_load_u16le(v->buf + vtable + pos) : 0;
    }
    return SHALE_OK;
}

/* verify_table for a flat schema: the same checks, in the same order. */
static shale_code verify_flat_table(struct verifier *v, const struct shl_fb_schema *schema,
                                    size_t at, struct flat *f)
{
    v->table_name = schema->name;
    v->field_name = "";
    if (v->depth == SHL_FB_DEPTH_MAX)
        return bad(v, "tables nested too deep", at);
    if (v->tables_left == 0)
        return bad(v, "too many tables", at);
    v->tables_left--;
    shale_code rc = read_vtable(v, schema, at, f);
    for (size_t slot = 0; rc == SHALE_OK && slot < schema->field_count; slot++) {
        const struct shl_fb_field *field = &schema->fields[slot];
        v->field_name = field->name;
        if (f->offset[slot] == 0) {
            if (field->required)
                return bad(v, "required field is missing, table", at);
            continue;
        }
        size_t pos = at + f->offset[slot];
        size_t size = inline_bytes(field->type);
        if ((pos & (size - 1)) != 0 || !in_buffer(v, pos, size))
            return bad(v, "field misaligned or past the end", pos);
        if (field->type == SHL_FB_BYTES)
            rc = verify_target(v, field, 0, pos);
    }
    return rc;
}

static shale_code verify_tables(struct verifier *v, const struct shl_fb_schema *schema, size_t at)
{
    const char *table_name = v->table_name;
    const char *field_name = v->field_name;
    struct flat flat = {.known = false};
    bool all_flat = is_flat(schema);
    uint32_t count = 0;
    shale_code rc = verify_vector(v, at, 4, &count);
    for (uint32_t i = 0; rc == SHALE_OK && i < count; i++) {
        size_t target = 0;
        v->table_name = table_name;
        v->field_name = field_name;
        rc = follow(v, at + 4 + 4 * (size_t)i, &target);
        if (rc == SHALE_OK)
            rc = all_flat ? verify_flat_table(v, schema, target, &flat)
                          : verify_table(v, schema, target);
    }
    return rc;
}

static shale_code verify_table(struct verifier *v, const struct shl_fb_schema *schema, size_t at)
{
    v->table_name = schema->name;
    v->field_name = "";
    if (v->depth == SHL_FB_DEPTH_MAX)
        return bad(v, "tables nested too deep", at);
    if (v->tables_left == 0)
        return bad(v, "too many tables", at);
    v->tables_left--;
    shale_code rc = verify_vtable(v, at);
    v->depth++;
    for (size_t slot = 0; rc == SHALE_OK && slot < schema->field_count; slot++)
        rc = verify_field(v, schema, slot, at);
    v->depth--;
    return rc;
}

shale_code shl_fb_verify(struct shl_slice bytes, const struct shl_fb_schema *schema,
                         struct shl_fb_table *root, shale_error *err)
{
    struct verifier v = {.buf = bytes.data,
                         .len = bytes.len,
                         .tables_left = bytes.len / FB_TABLE_BYTES_MIN,
                         .vector_bytes_left = (uint64_t)bytes.len * FB_VECTOR_SHARE,
                         .table_name = schema->name,
                         .field_name = "root",
                         .err = err};
    if (bytes.len < 4 || bytes.len > FB_BYTES_MAX)
        return bad(&v, "impossible length, root", 0);
    size_t at = 0;
    shale_code rc = follow(&v, 0, &at);
    if (rc == SHALE_OK)
        rc = verify_table(&v, schema, at);
    if (rc == SHALE_OK)
        *root = (struct shl_fb_table){.buf = bytes.data, .at = at};
    return rc;
}
