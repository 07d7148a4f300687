/* A sorted stream of row versions: what scans, flushes and compactions merge.
 *
 * Forward sources give rows by key ascending, then seq descending; reverse ones exactly the reversed order. The current row stays
 * valid until the next call on the same source. Sources are used by one task at a time. */
#ifndef SHL_LSM_SOURCE_H
#define SHL_LSM_SOURCE_H

#include "lsm/format/row.h"

struct shl_fanout;
struct shl_source;
struct shl_blob_codec;

/* A data block of an SST as it is stored, whose rows are what the source gives next. */
struct shl_stored_block {
    struct shl_slice stored; /* with its crc */
    struct shl_slice raw;    /* decoded and checked */
    const struct shl_blob_codec *codec;
    unsigned version; /* of the block format */
    /* No key of it is greater. ends_file: else versions of this very key may follow behind the block. */
    struct shl_slice upto;
    bool ends_file;
};

struct shl_source_ops {
    /* To the first row at or after `target` in the source's direction (forward: key >= target, reverse: key <= target);
     * target NULL = the very first. May be called again at any time. */
    shale_code (*seek)(struct shl_source *s, const struct shl_slice *target, shale_error *err);
    /* One row on; only when valid. */
    shale_code (*next)(struct shl_source *s, shale_error *err);
    void (*close)(struct shl_source *s); /* frees the source */
    /* Of sources that set begins_block; else NULL. Where it is set: whether all rows of the block come next. Borrowed until the next call of another
     * function. */
    bool (*block)(struct shl_source *s, struct shl_stored_block *out);
    /* After `block` said yes: to the row behind the block. */
    shale_code (*pass_block)(struct shl_source *s, shale_error *err);
};

/* First member of every source. */
struct shl_source {
    const struct shl_source_ops *ops;
    struct shl_row row; /* current, if valid */
    bool valid;
    bool reverse;       /* [const] direction */
    bool begins_block;  /* the row is the first of a block as it is stored, which may be asked for */
    bool near_end;      /* all that it will read is on its way: time to prepare what comes behind it */
};

static inline shale_code shl_source_seek(struct shl_source *s, const struct shl_slice *target, shale_error *err)
{
    return s->ops->seek(s, target, err);
}
static inline shale_code shl_source_next(struct shl_source *s, shale_error *err)
{
    return s->ops->next(s, err);
}
static inline bool shl_source_block(struct shl_source *s, struct shl_stored_block *out)
{
    return s->begins_block && s->ops->block(s, out);
}
static inline shale_code shl_source_pass_block(struct shl_source *s, shale_error *err)
{
    return s->ops->pass_block(s, err);
}
static inline void shl_source_close(struct shl_source *s)
{
    if (s != NULL)
        s->ops->close(s);
}

/* Rows of several sources as one, in the same direction. A small array sorted by (first 8 key bytes, key, seq); the winner is advanced
 * and re-inserted from the front (performance.md 5). Ties (same key and seq) go to the source given first, and all of them are
 * returned. Takes ownership of the sources, on failure too. fanout (borrowed): seeks go to all sources at once; NULL: one after the
 * other. */
SHL_MUST shale_code shl_merge_source_new(struct shl_source **take_sources, size_t count, bool reverse,
                                         struct shl_fanout *fanout, struct shl_source **out,
                                         shale_error *err);

#endif
