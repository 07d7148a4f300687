/* Slices and growable buffers. Pure values; memory through env. */
#ifndef SHL_BASE_BYTES_H
#define SHL_BASE_BYTES_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes; data may be NULL only if len is 0. */
struct shl_slice {
    const uint8_t *data;
    size_t len;
};

static inline struct shl_slice shl_slice_of(const void *data, size_t len)
{
    return (struct shl_slice){.data = (const uint8_t *)data, .len = len};
}

static inline struct shl_slice shl_slice_str(const char *s)
{
    return shl_slice_of(s, strlen(s));
}

/* memcmp order, a proper prefix first: <0, 0, >0. */
static inline int shl_slice_cmp(struct shl_slice a, struct shl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.data, b.data, n);
    if (c != 0)
        return c;
    return a.len < b.len ? -1 : a.len > b.len ? 1 : 0;
}

static inline bool shl_slice_eq(struct shl_slice a, struct shl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool shl_slice_has_prefix(struct shl_slice s, struct shl_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* Length of the common prefix; by 8-byte words. */
size_t shl_common_prefix(struct shl_slice a, struct shl_slice b);

/* An owned growable buffer. {0} is empty and may be freed. */
struct shl_buf {
    uint8_t *data; /* owned */
    size_t len;
    size_t cap;
};

/* Frees and makes it {0}. */
void shl_buf_free(struct shl_buf *b);

/* Makes room for `extra` more bytes. SHALE_NOMEM leaves the buffer as it was. */
SHL_MUST shale_code shl_buf_reserve(struct shl_buf *b, size_t extra, shale_error *err);

SHL_MUST shale_code shl_buf_append(struct shl_buf *b, const void *data, size_t len, shale_error *err);

static inline struct shl_slice shl_buf_view(const struct shl_buf *b)
{
    return shl_slice_of(b->data, b->len);
}

/* Sets to a copy of `s`. */
SHL_MUST shale_code shl_buf_set(struct shl_buf *b, struct shl_slice s, shale_error *err);

/* An owned NUL-terminated copy (the slice may hold NULs; then strlen is shorter). NULL if out of memory. */
char *shl_slice_dup_cstr(struct shl_slice s);

#endif
