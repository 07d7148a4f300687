/* The handle behind shale_db and shale_batch. */
#ifndef SHL_API_DB_H
#define SHL_API_DB_H

#include "api/stack.h"
#include "lsm/db.h"

#include <shale/db.h>
#include <shale/options.h>

struct shale_db {
    struct shl_lsm *lsm;        /* owned [const until close] */
    struct shl_api_stack stack; /* owned [const] */
    /* Components outlive the options they came from, so the handle keeps them [const]. */
    struct shl_merge_operator merge_operator;
    struct shl_transformer transformer;
    shale_merge_fn merge;
    void *merge_ctx;
};

/* Merge operator and transformer of the options. The struct must not be moved afterwards. */
void shl_api_take_components(struct shale_db *db, const shale_options *o,
                             const struct shl_api_resolved *r);

struct shale_batch {
    struct shl_batch batch;
};

#endif
