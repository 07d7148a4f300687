/* A write batch: operations in the order of the calls, later folded to one row per key. One task at a time. */
#ifndef SHL_LSM_BATCH_H
#define SHL_LSM_BATCH_H

#include "base/array.h"
#include "lsm/format/row.h"
#include "lsm/settings.h"

enum shl_ttl_kind { SHL_TTL_DEFAULT, SHL_TTL_NEVER, SHL_TTL_AFTER_MS, SHL_TTL_AT_MS };
struct shl_ttl {
    enum shl_ttl_kind kind;
    int64_t ms;
};

struct shl_batch_op {
    size_t key_offset; /* into bytes */
    size_t key_len;
    size_t value_offset;
    size_t value_len;
    uint8_t kind; /* 0, SHL_ROW_TOMBSTONE or SHL_ROW_MERGE */
    struct shl_ttl ttl;
};

struct shl_batch {
    struct shl_buf bytes; /* owned: keys and values, copied */
    SHL_ARRAY(struct shl_batch_op) ops;
    shale_code failed; /* kept: an op that could not be added (NOMEM, INVALID); write reports it */
    const char *why;   /* static text for INVALID */
};

void shl_batch_init(struct shl_batch *b);
void shl_batch_deinit(struct shl_batch *b);
void shl_batch_clear(struct shl_batch *b);
/* An operation that is wrong in itself: write will report INVALID with `why` (static). */
void shl_batch_refuse(struct shl_batch *b, const char *why);
/* kind as in shl_batch_op. Copies. Failures are kept in b->failed. */
void shl_batch_add(struct shl_batch *b, uint8_t kind, struct shl_slice key, struct shl_slice value,
                   struct shl_ttl ttl);

#endif
