/* Counters, gauges and histograms, in a registry by name and labels; snapshots as values
 * (as text: base/codec/metrics_text.h).
 *
 * Recording takes no lock: a counter is an array of cache-line slots, picked by the task, and summed by the reader. All functions but
 * _new and _free may be called from any thread. Metrics live as long as their registry. A NULL metric (not registered) records nothing. */
#ifndef SHL_BASE_METRICS_H
#define SHL_BASE_METRICS_H

#include "base/bytes.h"
#include "base/env/env.h"

#define SHL_COUNTER_SLOTS   16 /* a power of two */
#define SHL_HISTOGRAM_SLOTS 4  /* a power of two */
/* Log-linear: exact below 16, then 16 buckets for each power of two (6 % wide). */
#define SHL_HISTOGRAM_BUCKETS ((64 - 4) * 16 + 16)

struct shl_counter_slot {
    _Alignas(64) _Atomic uint64_t n; /* [atomic] relaxed: only sums matter */
};
struct shl_counter {
    struct shl_counter_slot slots[SHL_COUNTER_SLOTS];
};
struct shl_gauge {
    _Alignas(64) _Atomic int64_t value; /* [atomic] relaxed */
};
struct shl_histogram_slot {
    _Alignas(64) _Atomic uint64_t sum; /* [atomic] relaxed, as all here: a snapshot may be torn by one record */
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[SHL_HISTOGRAM_BUCKETS];
};
struct shl_histogram {
    struct shl_histogram_slot slots[SHL_HISTOGRAM_SLOTS];
};

static inline void shl_counter_add(struct shl_counter *c, uint64_t n)
{
    if (c != NULL)
        (void)env_fetch_add(&c->slots[env_task_index() & (SHL_COUNTER_SLOTS - 1)].n, n);
}
uint64_t shl_counter_value(const struct shl_counter *c);

static inline void shl_gauge_set(struct shl_gauge *g, int64_t value)
{
    if (g != NULL)
        env_store_relaxed(&g->value, value);
}
static inline void shl_gauge_add(struct shl_gauge *g, int64_t n)
{
    if (g != NULL)
        (void)env_fetch_add(&g->value, n);
}
int64_t shl_gauge_value(const struct shl_gauge *g);

void shl_histogram_record(struct shl_histogram *h, uint64_t value);

/* Quantiles are a bucket's middle, at most max. All 0 when nothing was recorded. */
struct shl_histogram_summary {
    uint64_t count;
    uint64_t sum;
    uint64_t p50, p99, p999;
    uint64_t max;
};
void shl_histogram_read(const struct shl_histogram *h, struct shl_histogram_summary *out);

/* ---- registry */

struct shl_label {
    const char *name;
    const char *value;
};
#define SHL_LABELS_MAX 8

struct shl_metrics;
struct shl_metrics *shl_metrics_new(void); /* NULL if out of memory */
void shl_metrics_free(struct shl_metrics *m); /* NULL is fine */

/* Finds the metric of this name and these labels, or makes it; NULL if out of memory, or if the name is another kind's. Texts are copied.
 * `name` is dotted ("slatedb.db.request_count"), `help` one line. Keep the pointer: this takes a lock and searches. */
struct shl_counter *shl_metrics_counter(struct shl_metrics *m, const char *name, const char *help,
                                        const struct shl_label *labels, size_t label_count);
struct shl_gauge *shl_metrics_gauge(struct shl_metrics *m, const char *name, const char *help,
                                    const struct shl_label *labels, size_t label_count);
/* `scale`: what one unit of the recorded values is in the unit of the name (1e-9 for nanoseconds and _seconds). */
struct shl_histogram *shl_metrics_histogram(struct shl_metrics *m, const char *name, const char *help, double scale,
                                            const struct shl_label *labels, size_t label_count);

enum shl_metric_kind { SHL_METRIC_COUNTER, SHL_METRIC_GAUGE, SHL_METRIC_HISTOGRAM };

/* One metric at one moment; texts are borrowed from the registry. */
struct shl_metric_view {
    const char *name;
    const char *help;
    enum shl_metric_kind kind;
    const struct shl_label *labels;
    size_t label_count;
    uint64_t counter;
    int64_t gauge;
    struct shl_histogram_summary histogram;
    double scale; /* histograms */
    bool is_first_of_name;
};
/* Visits all (name NULL), or those of one name, in the order they were made, without a lock; stops when visit returns false. */
void shl_metrics_each(const struct shl_metrics *m, const char *name,
                      bool (*visit)(void *ctx, const struct shl_metric_view *view), void *ctx);

#endif
