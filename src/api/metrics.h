/* Metrics of who has no database handle: a compactor or collector of its own. */
#ifndef SHL_API_METRICS_H
#define SHL_API_METRICS_H

#include "api/stack.h"
#include "lsm/db.h"

#include <shale/metrics.h>

struct shl_api_measured {
    const struct shl_api_stack *stack;
    const char *component;                       /* static: "compactor", "gc" */
    const struct shl_compactor_counts *compactor; /* NULL: it is none */
    const struct shl_lsm_gc_counts *gc;           /* NULL: it is none */
};
void shl_api_metrics_each(const struct shl_api_measured *of,
                          bool (*visit)(void *ctx, const shale_metric *metric), void *ctx);
/* Owned: shale_text_free; NULL: out of memory. */
char *shl_api_metrics_json(const struct shl_api_measured *of);
char *shl_api_metrics_prometheus(const struct shl_api_measured *of);

#endif
