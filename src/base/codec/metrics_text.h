/* Metrics as Prometheus text and as JSON. Any thread. */
#ifndef SHL_CODEC_METRICS_TEXT_H
#define SHL_CODEC_METRICS_TEXT_H

#include "base/metrics.h"

/* Appends the text exposition format 0.0.4: dots become '_', histograms are summaries with quantiles and a _max gauge. */
SHL_MUST shale_code shl_metrics_prometheus(const struct shl_metrics *m, struct shl_buf *out, shale_error *err);
/* Appends {"metrics":[{"name":..,"labels":{..},"kind":..,"value":..}, ..]}; histograms have count, sum, p50, p99, p999, max. */
SHL_MUST shale_code shl_metrics_json(const struct shl_metrics *m, struct shl_buf *out, shale_error *err);

#endif
