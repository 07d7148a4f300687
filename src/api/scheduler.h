/* A compaction scheduler of the user behind the engine's interface. */
#ifndef SHL_API_SCHEDULER_H
#define SHL_API_SCHEDULER_H

#include "api/options.h"
#include "base/log.h"
#include "lsm/compactor/scheduler.h"

/* Lives as long as whoever asks its policy; must not be moved. */
struct shl_api_scheduler {
    struct shl_scheduler policy; /* ctx points here */
    bool is_there;
    shale_scheduler_fn propose;
    void *ctx;
    struct shl_log *log; /* NULL: silent */
};

void shl_api_scheduler_init(struct shl_api_scheduler *out, const shale_options *o,
                            struct shl_log *log);

#endif
