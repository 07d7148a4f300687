/* What an application is called back with while a handle lives: log lines, and whether it still wants an answer. */
#ifndef SHL_API_HOOKS_H
#define SHL_API_HOOKS_H

#include "api/options.h"

/* A copy of the callbacks of some options; must not be moved. */
struct shl_api_hooks {
    struct shl_log log; /* its sink calls log_fn; give it to whoever logs */
    shale_log_fn log_fn;
    void *log_ctx;
    shale_cancel_fn cancel;
    void *cancel_ctx;
};

void shl_api_hooks_init(struct shl_api_hooks *out, const shale_options *o);
/* NULL if nobody listens. */
struct shl_log *shl_api_hooks_log(struct shl_api_hooks *h);
/* For struct shl_retry_options: ctx is the hooks. */
bool shl_api_hooks_cancelled(void *ctx);

#endif
