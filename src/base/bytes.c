#include "base/bytes.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#define BUF_CAP_MIN 64

size_t shl_common_prefix(struct shl_slice a, struct shl_slice b)
{
    size_t n = shl_min_size(a.len, b.len);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t x, y;
        memcpy(&x, a.data + i, 8);
        memcpy(&y, b.data + i, 8);
        if (x == y)
            continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return i + (size_t)__builtin_ctzll(x ^ y) / 8;
#else
        return i + (size_t)__builtin_clzll(x ^ y) / 8;
#endif
    }
    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

void shl_buf_free(struct shl_buf *b)
{
    env_free(b->data);
    *b = (struct shl_buf){0};
}

shale_code shl_buf_reserve(struct shl_buf *b, size_t extra, shale_error *err)
{
    SHL_ASSERT(b->len <= b->cap);
    if (extra <= b->cap - b->len)
        return SHALE_OK;
    size_t need;
    if (!shl_add_size(b->len, extra, &need))
        return shl_nomem(err);
    size_t cap = b->cap <= SIZE_MAX / 2 ? b->cap * 2 : SIZE_MAX;
    cap = shl_max_size(shl_max_size(cap, need), BUF_CAP_MIN);
    uint8_t *grown = env_realloc(b->data, cap);
    if (grown == NULL)
        return shl_nomem(err);
    b->data = grown;
    b->cap = cap;
    return SHALE_OK;
}

shale_code shl_buf_append(struct shl_buf *b, const void *data, size_t len, shale_error *err)
{
    shale_code rc = shl_buf_reserve(b, len, err);
    if (rc != SHALE_OK)
        return rc;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return SHALE_OK;
}

shale_code shl_buf_set(struct shl_buf *b, struct shl_slice s, shale_error *err)
{
    if (s.len > b->cap) { /* room first: a failure must leave the old bytes */
        shale_code rc = shl_buf_reserve(b, s.len - b->len, err);
        if (rc != SHALE_OK)
            return rc;
    }
    if (s.len > 0)
        memmove(b->data, s.data, s.len);
    b->len = s.len;
    return SHALE_OK;
}

char *shl_slice_dup_cstr(struct shl_slice s)
{
    size_t size;
    if (!shl_add_size(s.len, 1, &size))
        return NULL;
    char *copy = env_alloc(size);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}
