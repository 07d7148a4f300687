/* Slices, ranges and rows shared by all public headers. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_TYPES_H
#define SHALE_TYPES_H

#include <shale/export.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

SHALE_BEGIN_DECLS

/* Borrowed bytes. `data` may be NULL only if `len` is 0. Whoever hands one out says how long it stays valid. */
typedef struct shale_slice {
    const void *data;
    size_t len; /* bytes */
} shale_slice;

/* A slice over `len` bytes at `data`. */
static inline shale_slice shale_bytes(const void *data, size_t len)
{
    shale_slice s;
    s.data = data;
    s.len = len;
    return s;
}

/* A slice over a C string, without its NUL. */
static inline shale_slice shale_str(const char *s)
{
    return shale_bytes(s, strlen(s));
}

/* A slice over a string literal or a char pointer. */
#define SHALE_STR(s) shale_str(s)

/* One end of a key range. Keys are compared as unsigned bytes, a proper prefix sorts first. */
typedef enum shale_bound_kind {
    SHALE_UNBOUNDED = 0,
    SHALE_INCLUDED = 1,
    SHALE_EXCLUDED = 2
} shale_bound_kind;

/* Keys between two bounds; with `prefix.data` not NULL, keys that begin with `prefix` (the bounds are then unused).
 * All slices are borrowed until the call that takes the range returns. {0} is the range of all keys. */
typedef struct shale_range {
    shale_slice from;
    shale_slice to;
    shale_bound_kind from_kind;
    shale_bound_kind to_kind;
    shale_slice prefix;
} shale_range;

/* Every key. */
static inline shale_range shale_range_all(void)
{
    shale_range r;
    memset(&r, 0, sizeof r);
    return r;
}

/* from <= key < to. */
static inline shale_range shale_range_between(shale_slice from, shale_slice to)
{
    shale_range r = shale_range_all();
    r.from = from;
    r.to = to;
    r.from_kind = SHALE_INCLUDED;
    r.to_kind = SHALE_EXCLUDED;
    return r;
}

/* Keys that begin with `prefix` (which may be empty). */
static inline shale_range shale_range_prefix(shale_slice prefix)
{
    shale_range r = shale_range_all();
    r.prefix = prefix;
    if (r.prefix.data == NULL)
        r.prefix.data = "";
    return r;
}

/* One live row as a scan or get returns it. The slices stay valid as long as the call that filled it says.
 * Times are milliseconds since the Unix epoch; `has_expire_ts` is false where the row never expires, `has_create_ts` where no time of
 * writing was stored. */
typedef struct shale_row {
    shale_slice key;
    shale_slice value;
    uint64_t seq;
    int64_t create_ts;
    int64_t expire_ts;
    bool has_expire_ts;
    bool has_create_ts;
} shale_row;

#define SHALE_UUID_TEXT 37 /* 36 characters and NUL */

typedef enum shale_row_kind { SHALE_ROW_PUT = 0, SHALE_ROW_DELETE = 1, SHALE_ROW_MERGE = 2 } shale_row_kind;

/* One version of a key as it was written: a value, a deletion or a merge operand. The slices stay valid as long as the call that gave it says. */
typedef struct shale_raw_row {
    shale_slice key;
    shale_slice value; /* of a merge: the operand; of a delete: empty */
    uint64_t seq;      /* rows of one batch share it */
    int64_t create_ts; /* Unix ms, if has_create_ts */
    int64_t expire_ts; /* Unix ms, if has_expire_ts */
    shale_row_kind kind;
    bool has_create_ts;
    bool has_expire_ts;
} shale_raw_row;

SHALE_END_DECLS

#endif
