/* One stored row, as both block codecs and the WAL know it. Pure values. */
#ifndef SHL_LSM_ROW_H
#define SHL_LSM_ROW_H

#include "base/bytes.h"

/* The stored flag byte (slatedb-format 2.3). Other bits, or TOMBSTONE with MERGE, are of a newer format. */
enum shl_row_flag {
    SHL_ROW_TOMBSTONE = 1,
    SHL_ROW_HAS_EXPIRE = 2,
    SHL_ROW_HAS_CREATE = 4,
    SHL_ROW_MERGE = 8
};

struct shl_row {
    struct shl_slice key;   /* borrowed */
    struct shl_slice value; /* borrowed; empty for tombstones */
    uint64_t seq;
    int64_t expire_ts; /* Unix ms; meaningful with SHL_ROW_HAS_EXPIRE */
    int64_t create_ts; /* Unix ms; meaningful with SHL_ROW_HAS_CREATE, else 0 */
    uint8_t flags;
};

/* Key ascending, then seq descending. */
static inline int shl_row_cmp(const struct shl_row *a, const struct shl_row *b)
{
    int c = shl_slice_cmp(a->key, b->key);
    if (c != 0)
        return c;
    return a->seq > b->seq ? -1 : a->seq < b->seq ? 1 : 0;
}

/* Bytes of the row in a v2 block with its full key (shared = 0): the estimate that freezing and flushing count with. */
size_t shl_row_encoded_bytes(const struct shl_row *row);

#endif
