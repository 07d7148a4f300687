/* The buffer is filled from its end, so a place is named by its distance from the end: it does not change when the buffer grows. */
#include "base/codec/flatbuf_write.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"

#define FBW_BYTES_MAX  ((size_t)INT32_MAX)
#define FBW_CAP_FIRST  1024
#define FBW_VTABLE_MAX (4 + 2 * SHL_FBW_SLOTS_MAX)

static void empty(struct shl_fbw *w)
{
    w->used = 0;
    w->align_max = 0;
    w->vtables.count = 0;
    w->kept.count = 0;
    w->slot_count = 0;
    w->table_open = false;
    w->failed = SHALE_OK;
}

void shl_fbw_deinit(struct shl_fbw *w)
{
    env_free(w->data);
    shl_array_free(&w->vtables);
    shl_array_free(&w->kept);
    *w = (struct shl_fbw){0};
}

/* Makes the free part at least `extra` bytes. */
static bool reserve(struct shl_fbw *w, size_t extra)
{
    if (w->failed != SHALE_OK)
        return false;
    if (extra <= w->cap - w->used)
        return true;
    if (extra > FBW_BYTES_MAX - w->used) {
        w->failed = SHALE_INVALID;
        return false;
    }
    size_t cap = w->cap == 0 ? FBW_CAP_FIRST : w->cap;
    while (cap - w->used < extra)
        cap *= 2;
    uint8_t *data = env_alloc(cap);
    if (data == NULL) {
        w->failed = SHALE_NOMEM;
        return false;
    }
    if (w->used > 0)
        memcpy(data + cap - w->used, w->data + w->cap - w->used, w->used);
    env_free(w->data);
    w->data = data;
    w->cap = cap;
    return true;
}

/* Room for `n` bytes below what is there; they are written by the caller. */
static uint8_t *push(struct shl_fbw *w, size_t n)
{
    w->used += n;
    return w->data + w->cap - w->used;
}

/* Pads with zeros so that what comes after `extra` more bytes is a multiple of `align`, and makes room for extra + 8 more. */
static bool prepare(struct shl_fbw *w, size_t align, size_t extra)
{
    size_t need = 0;
    if (__builtin_add_overflow(extra, align + 8, &need)) {
        w->failed = SHALE_INVALID;
        return false;
    }
    if (!reserve(w, need))
        return false;
    if (align > w->align_max)
        w->align_max = align;
    size_t pad = (~(w->used + extra) + 1) & (align - 1);
    memset(push(w, pad), 0, pad);
    return true;
}

static shl_fb_ref place(const struct shl_fbw *w)
{
    return (shl_fb_ref)w->used;
}

/* The count word of a vector whose elements were just pushed. */
static shl_fb_ref finish_vector(struct shl_fbw *w, size_t count)
{
    shl_store_u32le(push(w, 4), (uint32_t)count);
    return place(w);
}

shl_fb_ref shl_fbw_bytes(struct shl_fbw *w, struct shl_slice bytes)
{
    SHL_ASSERT(!w->table_open);
    if (!prepare(w, 4, bytes.len))
        return 0;
    if (bytes.len > 0)
        memcpy(push(w, bytes.len), bytes.data, bytes.len);
    return finish_vector(w, bytes.len);
}

shl_fb_ref shl_fbw_string(struct shl_fbw *w, const char *text)
{
    SHL_ASSERT(!w->table_open);
    size_t len = strlen(text);
    if (!prepare(w, 4, len + 1)) /* the NUL counts for the padding, not for the length */
        return 0;
    *push(w, 1) = 0;
    if (len > 0)
        memcpy(push(w, len), text, len);
    return finish_vector(w, len);
}

shl_fb_ref shl_fbw_u32s(struct shl_fbw *w, const uint32_t *items, size_t count)
{
    SHL_ASSERT(!w->table_open);
    size_t bytes =
        count <= FBW_BYTES_MAX / 4 ? 4 * count : FBW_BYTES_MAX; /* the latter will not fit */
    if (!prepare(w, 4, bytes))
        return 0;
    for (size_t i = count; i-- > 0;)
        shl_store_u32le(push(w, 4), items[i]);
    return finish_vector(w, count);
}

size_t shl_fbw_mark(const struct shl_fbw *w)
{
    return w->kept.count;
}

void shl_fbw_keep(struct shl_fbw *w, shl_fb_ref ref)
{
    if (w->failed == SHALE_OK && !shl_array_push(&w->kept, ref))
        w->failed = SHALE_NOMEM;
}

shl_fb_ref shl_fbw_kept(struct shl_fbw *w, size_t mark)
{
    SHL_ASSERT(!w->table_open);
    if (w->failed != SHALE_OK)
        return 0;
    SHL_ASSERT(mark <= w->kept.count);
    size_t count = w->kept.count - mark;
    if (!prepare(w, 4, 4 * count))
        return 0;
    for (size_t i = count; i-- > 0;) {
        uint8_t *p = push(w, 4);
        shl_store_u32le(p, place(w) - w->kept.items[mark + i]);
    }
    w->kept.count = mark;
    return finish_vector(w, count);
}

void shl_fbw_begin(struct shl_fbw *w)
{
    SHL_ASSERT(!w->table_open);
    w->table_open = true;
    w->table_start = w->used;
    w->slot_count = 0;
    memset(w->slots, 0, sizeof w->slots);
}

/* Room for an aligned field of `size` bytes, noted under its slot; NULL after a failure. */
static uint8_t *push_field(struct shl_fbw *w, unsigned slot, size_t size)
{
    SHL_ASSERT(w->table_open);
    SHL_ASSERT(slot < SHL_FBW_SLOTS_MAX);
    if (!prepare(w, size, 0))
        return NULL;
    uint8_t *p = push(w, size);
    w->slots[slot] = place(w);
    if (slot >= w->slot_count)
        w->slot_count = slot + 1;
    return p;
}

void shl_fbw_u64(struct shl_fbw *w, unsigned slot, uint64_t value)
{
    uint8_t *p = value == 0 ? NULL : push_field(w, slot, 8);
    if (p != NULL)
        shl_store_u64le(p, value);
}

void shl_fbw_u32(struct shl_fbw *w, unsigned slot, uint32_t value)
{
    uint8_t *p = value == 0 ? NULL : push_field(w, slot, 4);
    if (p != NULL)
        shl_store_u32le(p, value);
}

void shl_fbw_u16_always(struct shl_fbw *w, unsigned slot, uint16_t value)
{
    uint8_t *p = push_field(w, slot, 2);
    if (p != NULL)
        shl_store_u16le(p, value);
}

void shl_fbw_u16(struct shl_fbw *w, unsigned slot, uint16_t value)
{
    if (value != 0)
        shl_fbw_u16_always(w, slot, value);
}

void shl_fbw_u8(struct shl_fbw *w, unsigned slot, uint8_t value)
{
    uint8_t *p = value == 0 ? NULL : push_field(w, slot, 1);
    if (p != NULL)
        *p = value;
}

void shl_fbw_ref(struct shl_fbw *w, unsigned slot, shl_fb_ref target)
{
    uint8_t *p = target == 0 ? NULL : push_field(w, slot, 4);
    if (p != NULL)
        shl_store_u32le(p, place(w) - target);
}

/* The vtable of the open table, which begins at `table`. Returns its length in bytes. */
static size_t make_vtable(const struct shl_fbw *w, shl_fb_ref table, uint8_t out[FBW_VTABLE_MAX])
{
    size_t bytes = 4 + 2 * (size_t)w->slot_count;
    shl_store_u16le(out, (uint16_t)bytes);
    shl_store_u16le(out + 2, (uint16_t)(table - w->table_start));
    for (unsigned s = 0; s < w->slot_count; s++)
        shl_store_u16le(out + 4 + 2 * s, w->slots[s] == 0 ? 0 : (uint16_t)(table - w->slots[s]));
    return bytes;
}

static shl_fb_ref find_vtable(const struct shl_fbw *w, const uint8_t *vtable, size_t bytes)
{
    for (size_t i = w->vtables.count; i-- > 0;) {
        const uint8_t *p = w->data + w->cap - w->vtables.items[i];
        if (shl_load_u16le(p) == bytes && memcmp(p, vtable, bytes) == 0)
            return w->vtables.items[i];
    }
    return 0;
}

shl_fb_ref shl_fbw_end(struct shl_fbw *w)
{
    SHL_ASSERT(w->table_open);
    w->table_open = false;
    if (!prepare(w, 4, 0) || !reserve(w, 4 + FBW_VTABLE_MAX))
        return 0;
    (void)push(w, 4);
    shl_fb_ref table = place(w);
    uint8_t vtable[FBW_VTABLE_MAX];
    size_t bytes = make_vtable(w, table, vtable);
    shl_fb_ref at = find_vtable(w, vtable, bytes);
    if (at == 0) {
        memcpy(push(w, bytes), vtable, bytes);
        at = place(w);
        if (!shl_array_push(&w->vtables, at)) {
            w->failed = SHALE_NOMEM;
            return 0;
        }
    }
    shl_store_u32le(w->data + w->cap - table,
                    at - table); /* negative, wrapped, where the vtable lies after the table */
    return table;
}

shale_code shl_fbw_finish(struct shl_fbw *w, shl_fb_ref root, struct shl_buf *out, shale_error *err)
{
    SHL_ASSERT(!w->table_open);
    shale_code rc;
    if (prepare(w, w->align_max > 4 ? w->align_max : 4, 4)) {
        uint8_t *p = push(w, 4);
        shl_store_u32le(p, place(w) - root);
        SHL_ASSERT(root != 0);
        rc = shl_buf_append(out, p, w->used, err);
    } else if (w->failed == SHALE_NOMEM) {
        rc = shl_nomem(err);
    } else {
        rc = shl_fail(err, w->failed, "flatbuffer: more than %zu bytes", FBW_BYTES_MAX);
    }
    empty(w);
    return rc;
}
