#include "api/hooks.h"

static void on_log(void *ctx, enum shl_log_level level, const char *text)
{
    const struct shl_api_hooks *h = ctx;
    h->log_fn(h->log_ctx, (int)level, text);
}

void shl_api_hooks_init(struct shl_api_hooks *out, const shale_options *o)
{
    *out = (struct shl_api_hooks){.log_fn = o->log_fn,
                                  .log_ctx = o->log_ctx,
                                  .cancel = o->cancel,
                                  .cancel_ctx = o->cancel_ctx};
    if (o->log_fn != NULL)
        out->log = (struct shl_log){.sink = on_log, .ctx = out, .level_max = o->log.level_max};
}

struct shl_log *shl_api_hooks_log(struct shl_api_hooks *h)
{
    return h != NULL && h->log_fn != NULL ? &h->log : NULL;
}

bool shl_api_hooks_cancelled(void *ctx)
{
    const struct shl_api_hooks *h = ctx;
    return h->cancel != NULL && h->cancel(h->cancel_ctx);
}
