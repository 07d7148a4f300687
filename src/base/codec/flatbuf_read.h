/* FlatBuffers: verify once against a static schema, then read with plain loads. Pure; any thread.
 *
 *   u32 root uoffset | ... tables, vtables, vectors, strings; everything little-endian, positions from the buffer's start
 *
 * A table at T begins with an i32 soffset; its vtable lies at T - soffset, before or after the table. The vtable holds u16 byte
 * length, u16 table length, and one u16 per slot (0 or cut off: absent). The layout is restated in slatedb-format 3.1. */
#ifndef SHL_CODEC_FLATBUF_READ_H
#define SHL_CODEC_FLATBUF_READ_H

#include "base/bytes.h"
#include "base/codec/endian.h"

#define SHL_FB_DEPTH_MAX 64 /* tables within tables */

enum shl_fb_type {
    SHL_FB_U8, /* also bool, enums and union types */
    SHL_FB_U16,
    SHL_FB_U32,
    SHL_FB_U64,
    SHL_FB_BYTES,  /* vector of u8 */
    SHL_FB_STRING, /* UTF-8, a NUL follows */
    SHL_FB_U32S,   /* vector of u32 */
    SHL_FB_TABLE,
    SHL_FB_TABLES, /* vector of tables */
    SHL_FB_UNION   /* reference half; the u8 type stands in the slot before */
};

struct shl_fb_schema;

/* One slot. `table` is set for TABLE and TABLES; `members` (type number 1 first) and `member_count` for UNION. */
struct shl_fb_field {
    const char *name;
    enum shl_fb_type type;
    bool required;
    const struct shl_fb_schema *table;
    const struct shl_fb_schema *const *members;
    size_t member_count;
};

/* The slots of a table that we know; later ones are ignored. */
struct shl_fb_schema {
    const char *name;
    const struct shl_fb_field *fields;
    size_t field_count;
};

/* A verified table inside a buffer that must outlive it. */
struct shl_fb_table {
    const uint8_t *buf; /* borrowed */
    size_t at;
};

/* A verified vector of u32 or of tables. */
struct shl_fb_vector {
    const uint8_t *buf; /* borrowed; NULL if the field is absent (count is 0 then) */
    size_t at;          /* of the first element */
    uint32_t count;
};

/* Checks everything that the schema reaches from the root: ranges, alignment (counted from the start of the buffer), required
 * fields, UTF-8 and the NUL of strings, unions with a known type, depth. Tables met are limited to one per 8 bytes of input and
 * vector bytes to 4 times the input, so shared parts cannot blow up what a decoder allocates. SHALE_CORRUPTION with the
 * table's and the field's name; *root is written only on SHALE_OK. Cost: linear in bytes.len. */
SHL_MUST shale_code shl_fb_verify(struct shl_slice bytes, const struct shl_fb_schema *schema,
                                  struct shl_fb_table *root, shale_error *err);

/* The bytes of a slot, or NULL if it is absent. Only for slots of the verified schema. */
static inline const uint8_t *shl_fb_slot(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = t.buf + t.at;
    const uint8_t *vtable = p - (int32_t)shl_load_u32le(p);
    size_t pos = 4 + 2 * (size_t)slot;
    if (pos >= shl_load_u16le(vtable))
        return NULL;
    uint16_t offset = shl_load_u16le(vtable + pos);
    return offset == 0 ? NULL : p + offset;
}

static inline bool shl_fb_has(struct shl_fb_table t, unsigned slot)
{
    return shl_fb_slot(t, slot) != NULL;
}

/* Scalars; the default of every SlateDB field is 0. */
static inline uint8_t shl_fb_u8(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    return p == NULL ? 0 : *p;
}

static inline uint16_t shl_fb_u16(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    return p == NULL ? 0 : shl_load_u16le(p);
}

static inline uint32_t shl_fb_u32(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    return p == NULL ? 0 : shl_load_u32le(p);
}

static inline uint64_t shl_fb_u64(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    return p == NULL ? 0 : shl_load_u64le(p);
}

/* Content of a byte vector or a string (without its NUL); data is NULL exactly if the field is absent. */
static inline struct shl_slice shl_fb_bytes(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    if (p == NULL)
        return shl_slice_of(NULL, 0);
    p += shl_load_u32le(p);
    return shl_slice_of(p + 4, shl_load_u32le(p));
}

/* The table of a TABLE or UNION slot; false if absent. */
static inline bool shl_fb_child(struct shl_fb_table t, unsigned slot, struct shl_fb_table *out)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    if (p == NULL)
        return false;
    *out = (struct shl_fb_table){.buf = t.buf, .at = (size_t)(p - t.buf) + shl_load_u32le(p)};
    return true;
}

/* A U32S or TABLES slot. */
static inline struct shl_fb_vector shl_fb_vector(struct shl_fb_table t, unsigned slot)
{
    const uint8_t *p = shl_fb_slot(t, slot);
    if (p == NULL)
        return (struct shl_fb_vector){.buf = NULL};
    p += shl_load_u32le(p);
    return (struct shl_fb_vector){
        .buf = t.buf, .at = (size_t)(p - t.buf) + 4, .count = shl_load_u32le(p)};
}

/* Element `index` < v.count. */
static inline uint32_t shl_fb_vector_u32(struct shl_fb_vector v, size_t index)
{
    return shl_load_u32le(v.buf + v.at + 4 * index);
}

static inline struct shl_fb_table shl_fb_vector_table(struct shl_fb_vector v, size_t index)
{
    size_t at = v.at + 4 * index;
    return (struct shl_fb_table){.buf = v.buf, .at = at + shl_load_u32le(v.buf + at)};
}

#endif
