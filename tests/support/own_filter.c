#include "support/own_filter.h"

#include "base/env/env.h"

#define BITS_BYTES 32

static bool begin(void *ctx, void **builder)
{
    (void)ctx;
    *builder = env_calloc(1, BITS_BYTES);
    return *builder != NULL;
}

static bool add(void *ctx, void *builder, const struct shl_row *row)
{
    uint8_t *bits = builder;
    uint8_t first = row->key.data[0];
    (void)ctx;
    bits[first / 8] |= (uint8_t)(1u << first % 8);
    return true;
}

static bool end(void *ctx, void *builder, struct shl_buf *out)
{
    shale_error ignored;
    bool made = out != NULL && shl_buf_append(out, builder, BITS_BYTES, &ignored) == SHALE_OK;
    (void)ctx;
    env_free(builder);
    return made;
}

static bool may_match(void *ctx, struct shl_slice filter, const struct shl_filter_query *query)
{
    (void)ctx;
    if (filter.len != BITS_BYTES || query->key.len == 0)
        return true;
    uint8_t first = query->key.data[0];
    return (filter.data[first / 8] >> first % 8 & 1) != 0;
}

static const struct shl_user_filter first_bytes = {
    .name = "first-bytes", .begin = begin, .add = add, .end = end, .may_match = may_match};

const struct shl_user_filters test_own_filter = {.items = &first_bytes, .count = 1};
