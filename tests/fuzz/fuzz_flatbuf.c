/* A schema with every kind of field: what the verifier accepts can be read wherever an accessor leads, and its tables and bytes
 * are bounded by the input. */
#include "base/assert.h"
#include "base/codec/flatbuf_read.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { U8, U16, U32, U64, BYTES, STRING, U32S, CHILD, CHILDREN, TYPE, UNION };

extern const struct shl_fb_schema fuzz_schema;
static const struct shl_fb_field leaf_fields[] = {{.name = "number", .type = SHL_FB_U64}};
static const struct shl_fb_schema leaf_schema = {
    .name = "Leaf", .fields = leaf_fields, .field_count = 1};
static const struct shl_fb_schema *const members[] = {&leaf_schema, &fuzz_schema};
static const struct shl_fb_field fields[] = {
    [U8] = {.name = "u8", .type = SHL_FB_U8},
    [U16] = {.name = "u16", .type = SHL_FB_U16},
    [U32] = {.name = "u32", .type = SHL_FB_U32},
    [U64] = {.name = "u64", .type = SHL_FB_U64},
    [BYTES] = {.name = "bytes", .type = SHL_FB_BYTES},
    [STRING] = {.name = "string", .type = SHL_FB_STRING},
    [U32S] = {.name = "u32s", .type = SHL_FB_U32S},
    [CHILD] = {.name = "child", .type = SHL_FB_TABLE, .table = &fuzz_schema},
    [CHILDREN] = {.name = "children", .type = SHL_FB_TABLES, .table = &leaf_schema},
    [TYPE] = {.name = "type", .type = SHL_FB_U8},
    [UNION] = {.name = "union", .type = SHL_FB_UNION, .members = members, .member_count = 2},
};
const struct shl_fb_schema fuzz_schema = {
    .name = "Fuzz", .fields = fields, .field_count = SHL_COUNT_OF(fields)};

struct walk {
    uint64_t sum;
    size_t tables;
    uint64_t bytes;
    unsigned depth;
};

static void touch(struct walk *w, struct shl_slice s)
{
    w->bytes += s.len;
    for (size_t i = 0; i < s.len; i++)
        w->sum += s.data[i];
}

static void leaf(struct walk *w, struct shl_fb_table t)
{
    w->tables++;
    w->sum += shl_fb_u64(t, 0);
}

/* NOLINTNEXTLINE(misc-no-recursion): the verifier limits the depth, which is checked here */
static void table(struct walk *w, struct shl_fb_table t)
{
    struct shl_fb_table child;
    w->tables++;
    w->depth++;
    SHL_ASSERT(w->depth <= SHL_FB_DEPTH_MAX);
    w->sum +=
        (uint64_t)shl_fb_u8(t, U8) + shl_fb_u16(t, U16) + shl_fb_u32(t, U32) + shl_fb_u64(t, U64);
    touch(w, shl_fb_bytes(t, BYTES));
    touch(w, shl_fb_bytes(t, STRING));
    struct shl_fb_vector v = shl_fb_vector(t, U32S);
    w->bytes += 4 * (uint64_t)v.count;
    for (uint32_t i = 0; i < v.count; i++)
        w->sum += shl_fb_vector_u32(v, i);
    v = shl_fb_vector(t, CHILDREN);
    for (uint32_t i = 0; i < v.count; i++)
        leaf(w, shl_fb_vector_table(v, i));
    if (shl_fb_child(t, CHILD, &child))
        table(w, child);
    if (shl_fb_child(t, UNION, &child)) {
        if (shl_fb_u8(t, TYPE) == 1)
            leaf(w, child);
        else
            table(w, child);
    }
    w->depth--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    struct shl_fb_table root;
    struct walk w = {.sum = 0};
    if (shl_fb_verify(shl_slice_of(data, size), &fuzz_schema, &root, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return 0;
    }
    table(&w, root);
    SHL_ASSERT(w.tables <= size / 8);
    SHL_ASSERT(w.bytes <= 4 * (uint64_t)size);
    return (int)(w.sum & 0); /* uses the sum */
}
