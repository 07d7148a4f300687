/* Where to cut a job into parts that run beside each other. slatedb-behaviour 13.4. */
#ifndef SHL_LSM_COMPACTOR_SPLIT_H
#define SHL_LSM_COMPACTOR_SPLIT_H

#include "base/array.h"
#include "base/bytes.h"

/* A key from which on `bytes` of some input lie. */
struct shl_anchor {
    size_t at, len; /* of the key in shl_anchors.keys */
    uint64_t bytes;
};
/* {0} may be used and freed. */
struct shl_anchors {
    struct shl_buf keys;                /* owned */
    SHL_ARRAY(struct shl_anchor) items; /* owned */
    uint64_t total_bytes;
    uint64_t largest_bytes; /* of the largest input: no part is smaller */
};
void shl_anchors_free(struct shl_anchors *a);
SHL_MUST shale_code shl_anchors_add(struct shl_anchors *a, struct shl_slice key, uint64_t bytes,
                                    shale_error *err);

typedef SHL_ARRAY(struct shl_slice) shl_cuts; /* borrowed from the anchors */
/* Pure. At most parts_max - 1 keys, ascending, that make parts of about the same size, none smaller than part_min. Sorts the anchors. */
SHL_MUST shale_code shl_split(struct shl_anchors *a, size_t parts_max, uint64_t part_min,
                              shl_cuts *out, shale_error *err);

#endif
