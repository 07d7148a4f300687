/* A database that is worked on without a handle: its stores and its manifests. One task. */
#ifndef SHL_API_TARGET_H
#define SHL_API_TARGET_H

#include "api/stack.h"
#include "api/transform.h"
#include "lsm/keep/manifest_edit.h"

struct shl_api_target {
    struct shl_api_stack stack;
    struct shl_manifests manifests;     /* on stack.store; not loaded yet */
    const shale_options *options;       /* borrowed; never NULL */
    struct shl_api_transform transform; /* for who asks for it */
    uint64_t number;                    /* a result of the work */
};

/* Opens the stores of `url`, does the work, closes them. options NULL: the defaults. The error of a database that is not there names near ones. */
SHL_MUST shale_code shl_api_with_target(struct shl_api_target *t, const char *url,
                                        const shale_options *options,
                                        shale_code (*work)(struct shl_api_target *t, void *arg,
                                                           shale_error *err),
                                        void *arg, shale_error *err);

/* The block transformer of the options, NULL if there is none; alive as long as the target. Reads the key: only for work that looks into SSTables. */
SHL_MUST shale_code shl_api_target_transformer(struct shl_api_target *t,
                                               const struct shl_transformer **out,
                                               shale_error *err);

#endif
