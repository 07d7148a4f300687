/* Builds v2 blocks, byte-equal to SlateDB's (slatedb-format 2.3). Entry:
 *
 *   varint shared | varint unshared | varint value_len | key suffix | value | u64 BE seq | u8 flags | [i64 expire] | [i64 create]
 *
 * Everything is reserved before anything is written, so a row is added whole or not at all. */
#include "lsm/format/block.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/codec/varint.h"
#include "base/env/env.h"
#include "base/num.h"

#define BLOCK_CAPACITY_MAX  65536 /* restart offsets are u16 */
#define BLOCK_TAIL_BYTES    2     /* the count */
#define BLOCK_RESTART_BYTES 2

shale_code shl_block_builder_init(struct shl_block_builder *b, size_t capacity, shale_error *err)
{
    SHL_ASSERT(capacity >= 1);
    SHL_ASSERT(capacity <= BLOCK_CAPACITY_MAX);
    *b = (struct shl_block_builder){.capacity = capacity};
    return shl_buf_reserve(&b->bytes, capacity, err);
}

void shl_block_builder_deinit(struct shl_block_builder *b)
{
    shl_buf_free(&b->bytes);
    shl_buf_free(&b->last_key);
    shl_array_free(&b->restarts);
    *b = (struct shl_block_builder){0};
}

void shl_block_builder_into(struct shl_block_builder *b, struct shl_buf *out)
{
    SHL_ASSERT(shl_block_builder_empty(b));
    b->into = out;
    b->start = out->len;
}

static struct shl_buf *target(struct shl_block_builder *b)
{
    return b->into != NULL ? b->into : &b->bytes;
}

static size_t entries_bytes(const struct shl_block_builder *b)
{
    return b->into != NULL ? b->into->len - b->start : b->bytes.len;
}

size_t shl_block_builder_bytes(const struct shl_block_builder *b)
{
    return entries_bytes(b) + b->restarts.count * BLOCK_RESTART_BYTES + BLOCK_TAIL_BYTES;
}

static bool is_restart(const struct shl_block_builder *b)
{
    return b->entry_count % SHL_BLOCK_RESTART_INTERVAL == 0;
}

static size_t shared_with_last(const struct shl_block_builder *b, const struct shl_row *row)
{
    return is_restart(b) ? 0 : shl_common_prefix(shl_buf_view(&b->last_key), row->key);
}

static size_t entry_bytes(const struct shl_row *row, size_t shared)
{
    size_t unshared = row->key.len - shared;
    size_t entry = shl_row_encoded_bytes(row) - shared; /* counts the lengths as for the full key */
    entry += shl_varint32_len((uint32_t)shared) - 1;
    return entry - shl_varint32_len((uint32_t)row->key.len) + shl_varint32_len((uint32_t)unshared);
}

static bool fits(const struct shl_block_builder *b, size_t entry)
{
    if (shl_block_builder_empty(b))
        return true;
    if (is_restart(b))
        entry += BLOCK_RESTART_BYTES;
    return shl_block_builder_bytes(b) + entry <= b->capacity;
}

bool shl_block_builder_fits(const struct shl_block_builder *b, const struct shl_row *row)
{
    return fits(b, entry_bytes(row, shared_with_last(b, row)));
}

/* Writes the entry at `p`, where there is room for it; returns the byte after it. */
static uint8_t *put_entry(uint8_t *p, const struct shl_row *row, size_t shared)
{
    size_t unshared = row->key.len - shared;
    p += shl_varint32_put(p, (uint32_t)shared);
    p += shl_varint32_put(p, (uint32_t)unshared);
    p += shl_varint32_put(p, (uint32_t)row->value.len);
    if (unshared > 0)
        memcpy(p, row->key.data + shared, unshared);
    p += unshared;
    if (row->value.len > 0)
        memcpy(p, row->value.data, row->value.len);
    p += row->value.len;
    shl_store_u64be(p, row->seq);
    p[8] = row->flags;
    p += 9;
    if (row->flags & SHL_ROW_HAS_EXPIRE) {
        shl_store_u64be(p, (uint64_t)row->expire_ts);
        p += 8;
    }
    if (row->flags & SHL_ROW_HAS_CREATE) {
        shl_store_u64be(p, (uint64_t)row->create_ts);
        p += 8;
    }
    return p;
}

/* bytes: of the entry; not the worst case, for the block's room may end here */
static shale_code add(struct shl_block_builder *b, const struct shl_row *row, size_t shared,
                      size_t bytes, shale_error *err)
{
    SHL_ASSERT(row->key.len <= UINT32_MAX);
    SHL_ASSERT(row->value.len <= UINT32_MAX);
    if (row->flags & SHL_ROW_TOMBSTONE)
        SHL_ASSERT(row->value.len == 0);
    bool restart = is_restart(b);
    size_t unshared = row->key.len - shared;
    size_t before = entries_bytes(b);
    struct shl_buf *out = target(b);
    shale_code rc = shl_buf_reserve(out, bytes, err);
    if (rc == SHALE_OK && row->key.len > b->last_key.len)
        rc = shl_buf_reserve(&b->last_key, row->key.len - b->last_key.len, err);
    if (rc == SHALE_OK && restart && !shl_array_reserve(&b->restarts, 1))
        rc = shl_nomem(err);
    if (rc != SHALE_OK)
        return rc;

    if (restart) {
        SHL_ASSERT(before <= UINT16_MAX);
        shl_array_add(&b->restarts, (uint16_t)before);
    }
    const uint8_t *end = put_entry(out->data + out->len, row, shared);
    out->len += bytes;
    SHL_ASSERT(end == out->data + out->len);
    SHL_ASSERT(out->len <= out->cap);
    if (unshared > 0)
        memcpy(b->last_key.data + shared, row->key.data + shared, unshared);
    b->last_key.len = row->key.len;
    b->entry_count++;
    return SHALE_OK;
}

shale_code shl_block_builder_add(struct shl_block_builder *b, const struct shl_row *row,
                                 shale_error *err)
{
    size_t shared = shared_with_last(b, row);
    return add(b, row, shared, entry_bytes(row, shared), err);
}

shale_code shl_block_builder_try_add(struct shl_block_builder *b, const struct shl_row *row,
                                     bool *added, shale_error *err)
{
    size_t shared = shared_with_last(b, row);
    size_t bytes = entry_bytes(row, shared);
    *added = fits(b, bytes);
    if (!*added)
        return SHALE_OK;
    shale_code rc = add(b, row, shared, bytes, err);
    *added = rc == SHALE_OK;
    return rc;
}

shale_code shl_block_builder_finish(struct shl_block_builder *b, struct shl_buf *out,
                                    shale_error *err)
{
    SHL_ASSERT(b->entry_count > 0);
    SHL_ASSERT(b->restarts.count <= UINT16_MAX);
    SHL_ASSERT(b->into == NULL || b->into == out);
    size_t bytes = shl_block_builder_bytes(b);
    size_t entries = entries_bytes(b);
    size_t start = b->into != NULL ? b->start : out->len;
    shale_code rc = shl_buf_reserve(out, start + bytes - out->len, err);
    if (rc != SHALE_OK)
        return rc;
    uint8_t *p = out->data + start;
    if (b->into == NULL)
        memcpy(p, b->bytes.data, entries);
    p += entries;
    for (size_t i = 0; i < b->restarts.count; i++, p += BLOCK_RESTART_BYTES)
        shl_store_u16be(p, b->restarts.items[i]);
    shl_store_u16be(p, (uint16_t)b->restarts.count);
    out->len = start + bytes;

    b->bytes.len = 0;
    b->into = NULL;
    b->restarts.count = 0;
    b->entry_count = 0;
    b->last_key.len = 0;
    return SHALE_OK;
}
