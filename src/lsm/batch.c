#include "lsm/batch.h"

#include "base/env/env.h"

void shl_batch_init(struct shl_batch *b)
{
    *b = (struct shl_batch){0};
}

void shl_batch_deinit(struct shl_batch *b)
{
    shl_buf_free(&b->bytes);
    shl_array_free(&b->ops);
}

void shl_batch_clear(struct shl_batch *b)
{
    b->bytes.len = 0;
    b->ops.count = 0;
    b->failed = SHALE_OK;
}

void shl_batch_refuse(struct shl_batch *b, const char *why)
{
    if (b->failed == SHALE_OK) {
        b->failed = SHALE_INVALID;
        b->why = why;
    }
}

void shl_batch_add(struct shl_batch *b, uint8_t kind, struct shl_slice key, struct shl_slice value,
                   struct shl_ttl ttl)
{
    shale_error ignored;
    size_t total;
    if (b->failed != SHALE_OK)
        return;
    if (key.len == 0 || key.len > UINT32_MAX || value.len > UINT32_MAX) {
        shl_batch_refuse(b, key.len == 0 ? "a key of 0 bytes"
                                         : "a key or value above 4294967295 bytes");
        return;
    }
    total = key.len + value.len; /* at most 2^33 */
    if (!shl_array_reserve(&b->ops, 1) || shl_buf_reserve(&b->bytes, total, &ignored) != SHALE_OK) {
        b->failed = SHALE_NOMEM;
        return;
    }
    struct shl_batch_op op = {.key_offset = b->bytes.len,
                              .key_len = key.len,
                              .value_offset = b->bytes.len + key.len,
                              .value_len = value.len,
                              .kind = kind,
                              .ttl = ttl};
    memcpy(b->bytes.data + op.key_offset, key.data, key.len);
    if (value.len > 0)
        memcpy(b->bytes.data + op.value_offset, value.data, value.len);
    b->bytes.len += total;
    shl_array_add(&b->ops, op);
}
