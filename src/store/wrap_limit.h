/* At most so many requests at once, first come first served. Reads and writes have limits of their own, so that a compaction
 * does not starve reads. */
#ifndef SHL_STORE_WRAP_LIMIT_H
#define SHL_STORE_WRAP_LIMIT_H

#include "store/store.h"

struct shl_limit_options {
    uint32_t reads_max;  /* get, head, list; 0: no limit */
    uint32_t writes_max; /* all others; each part of an upload is one; 0: no limit */
};

/* Takes a reference to `inner`. Errors: NOMEM. */
SHL_MUST shale_code shl_store_limit_new(struct shl_store **out, struct shl_store *inner,
                                        const struct shl_limit_options *options, shale_error *err);

#endif
