/* Which row versions a flush or compaction keeps: fold merges, expire, retain. slatedb-behaviour 8, slatedb-format 8.
 * Rows are pushed in order (key ascending, seq descending) and what is kept comes out of the sink in the same order. */
#ifndef SHL_LSM_RETAIN_H
#define SHL_LSM_RETAIN_H

#include "base/array.h"
#include "lsm/settings.h"

struct shl_retain_rules {
    uint64_t min_seq;     /* barrier: versions above it all stay, and the first at or below it */
    int64_t now_tick;     /* rows with expire_ts <= this have expired; INT64_MIN: none */
    bool drop_tombstones; /* nothing lies below the output */
    const struct shl_merge_operator *merge; /* NULL: merge rows pass unfolded */
};

typedef shale_code (*shl_retain_sink)(void *ctx, const struct shl_row *row, shale_error *err);

struct shl_kept_row { /* a copied row: offsets in shl_retain.bytes, which may move */
    struct shl_row row;
    size_t value_at;
};

struct shl_retain {
    struct shl_retain_rules rules;
    shl_retain_sink sink;
    void *ctx;
    bool in_key;                         /* key holds the current key */
    bool stop;                           /* older versions of it are dropped */
    bool gathering;                      /* a merge row was met: the rest of the key is collected */
    struct shl_buf key;                  /* owned */
    struct shl_buf bytes;                /* owned: values of gathered rows */
    SHL_ARRAY(struct shl_kept_row) rows; /* gathered, newest first */
    SHL_ARRAY(struct shl_row) held; /* tombstones that are dropped unless an older row is kept */
    uint64_t purged_values;         /* that had expired: tombstones now */
    uint64_t purged_operands;       /* that had expired: gone */
    uint64_t operands;              /* that were folded */
    uint64_t refused;               /* folds that the merge operator failed at */
};

void shl_retain_init(struct shl_retain *r, const struct shl_retain_rules *rules,
                     shl_retain_sink sink, void *ctx);
void shl_retain_deinit(struct shl_retain *r);
SHL_MUST shale_code shl_retain_push(struct shl_retain *r, const struct shl_row *row,
                                    shale_error *err);
/* After the last row. */
SHL_MUST shale_code shl_retain_finish(struct shl_retain *r, shale_error *err);

#endif
