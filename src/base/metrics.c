#include "base/metrics.h"

#include "base/assert.h"
#include "base/num.h"
#include <string.h>

#define SUB_BITS  4 /* 16 buckets for each power of two */
#define SUB_COUNT (1u << SUB_BITS)

struct metric {
    _Atomic(struct metric *)
        next; /* [atomic] set once with release when the next one is whole; readers walk with acquire */
    enum shl_metric_kind kind; /* [const] as all below */
    char *name;                /* owned; one allocation with help and labels' texts */
    const char *help;
    size_t label_count;
    struct shl_label labels[SHL_LABELS_MAX];
    double scale;
    union {
        struct shl_counter *counter; /* owned, env_alloc_aligned */
        struct shl_gauge *gauge;
        struct shl_histogram *histogram;
        void *any;
    } data;
};

struct shl_metrics {
    struct env_mutex mu;           /* held to add; nothing else is locked inside */
    _Atomic(struct metric *) head; /* [atomic] like next */
    struct metric *tail;           /* [mu] */
};

/* ---- values */

uint64_t shl_counter_value(const struct shl_counter *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SHL_COUNTER_SLOTS; i++)
        sum += env_load_relaxed(&c->slots[i].n);
    return sum;
}

int64_t shl_gauge_value(const struct shl_gauge *g)
{
    return env_load_relaxed(&g->value);
}

static size_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (size_t)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value); /* 4 .. 63 */
    unsigned shift = top - SUB_BITS;
    return (size_t)(shift + 1) * SUB_COUNT + (size_t)(value >> shift & (SUB_COUNT - 1));
}

static uint64_t bucket_middle(size_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    unsigned shift = (unsigned)(bucket / SUB_COUNT) - 1;
    uint64_t low = (uint64_t)(SUB_COUNT + bucket % SUB_COUNT) << shift;
    return low + (UINT64_C(1) << shift) / 2;
}

void shl_histogram_record(struct shl_histogram *h, uint64_t value)
{
    if (h == NULL)
        return;
    struct shl_histogram_slot *slot = &h->slots[env_task_index() & (SHL_HISTOGRAM_SLOTS - 1)];
    (void)env_fetch_add(&slot->buckets[bucket_of(value)], 1);
    (void)env_fetch_add(&slot->sum, value);
    uint64_t seen = env_load_relaxed(&slot->max);
    while (value > seen && !env_cas(&slot->max, &seen, value)) {
        /* seen was read anew */
    }
}

static uint64_t bucket_count(const struct shl_histogram *h, size_t bucket)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SHL_HISTOGRAM_SLOTS; i++)
        n += env_load_relaxed(&h->slots[i].buckets[bucket]);
    return n;
}

void shl_histogram_read(const struct shl_histogram *h, struct shl_histogram_summary *out)
{
    /* The counts are taken once: 976 numbers, so that the quantiles belong to one another though records go on. */
    uint64_t counts[SHL_HISTOGRAM_BUCKETS];
    *out = (struct shl_histogram_summary){0};
    for (size_t i = 0; i < SHL_HISTOGRAM_BUCKETS; i++) {
        counts[i] = bucket_count(h, i);
        out->count += counts[i];
    }
    for (size_t i = 0; i < SHL_HISTOGRAM_SLOTS; i++) {
        out->sum += env_load_relaxed(&h->slots[i].sum);
        out->max = shl_max_u64(out->max, env_load_relaxed(&h->slots[i].max));
    }
    const struct {
        uint64_t per_mille;
        uint64_t *value;
    } wanted[] = {{500, &out->p50}, {990, &out->p99}, {999, &out->p999}};
    size_t next = 0;
    uint64_t below = 0;
    for (size_t i = 0; i < SHL_HISTOGRAM_BUCKETS && next < SHL_COUNT_OF(wanted); i++) {
        below += counts[i];
        /* The smallest value that per_mille of all are not above; split to stay in 64 bits. */
        while (counts[i] > 0 && next < SHL_COUNT_OF(wanted) &&
               below >= out->count / 1000 * wanted[next].per_mille +
                            (out->count % 1000 * wanted[next].per_mille + 999) / 1000)
            *wanted[next++].value = shl_min_u64(bucket_middle(i), out->max);
    }
}

/* ---- registry */

struct shl_metrics *shl_metrics_new(void)
{
    struct shl_metrics *m = env_calloc(1, sizeof *m);
    if (m != NULL)
        env_mutex_init(&m->mu);
    return m;
}

static void metric_free(struct metric *x)
{
    if (x == NULL)
        return;
    env_free_aligned(x->data.any);
    env_free(x->name);
    env_free(x);
}

void shl_metrics_free(struct shl_metrics *m)
{
    if (m == NULL)
        return;
    struct metric *x = env_load_acquire(&m->head);
    while (x != NULL) {
        struct metric *next = env_load_acquire(&x->next);
        metric_free(x);
        x = next;
    }
    env_mutex_deinit(&m->mu);
    env_free(m);
}

/* What a caller asks for. */
struct wanted {
    enum shl_metric_kind kind;
    const char *name;
    const char *help;
    double scale;
    const struct shl_label *labels;
    size_t label_count;
};

static bool same_labels(const struct metric *x, const struct wanted *w)
{
    if (x->label_count != w->label_count)
        return false;
    for (size_t i = 0; i < w->label_count; i++) {
        if (strcmp(x->labels[i].name, w->labels[i].name) != 0 ||
            strcmp(x->labels[i].value, w->labels[i].value) != 0)
            return false;
    }
    return true;
}

/* Copies a text to *at and moves it behind. */
static char *put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

static bool copy_texts(struct metric *x, const struct wanted *w)
{
    size_t size = strlen(w->name) + strlen(w->help) + 2;
    for (size_t i = 0; i < w->label_count; i++)
        size += strlen(w->labels[i].name) + strlen(w->labels[i].value) + 2;
    char *at = env_alloc(size);
    if (at == NULL)
        return false;
    x->name = put_text(&at, w->name);
    x->help = put_text(&at, w->help);
    for (size_t i = 0; i < w->label_count; i++) {
        x->labels[i].name = put_text(&at, w->labels[i].name);
        x->labels[i].value = put_text(&at, w->labels[i].value);
    }
    x->label_count = w->label_count;
    return true;
}

static struct metric *metric_new(const struct wanted *w)
{
    static const size_t sizes[] = {
        [SHL_METRIC_COUNTER] = sizeof(struct shl_counter),
        [SHL_METRIC_GAUGE] = sizeof(struct shl_gauge),
        [SHL_METRIC_HISTOGRAM] = sizeof(struct shl_histogram),
    };
    struct metric *x = env_calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->kind = w->kind;
    x->scale = w->scale;
    x->data.any = env_alloc_aligned(64, sizes[w->kind]);
    if (x->data.any == NULL || !copy_texts(x, w)) {
        metric_free(x);
        return NULL;
    }
    memset(x->data.any, 0,
           sizes[w->kind]); /* not shared yet; all-zero bytes are the atomics' zero */
    return x;
}

/* NULL if it is not there; *out_other if the name is there as another kind. */
static struct metric *find_locked(struct shl_metrics *m, const struct wanted *w, bool *out_other)
{
    *out_other = false;
    for (struct metric *x = env_load_acquire(&m->head); x != NULL; x = env_load_acquire(&x->next)) {
        if (strcmp(x->name, w->name) != 0)
            continue;
        if (x->kind != w->kind) {
            *out_other = true;
            return NULL;
        }
        if (same_labels(x, w))
            return x;
    }
    return NULL;
}

static void *find_or_add(struct shl_metrics *m, const struct wanted *w)
{
    SHL_ASSERT(w->label_count <= SHL_LABELS_MAX);
    /* Made before the lock is taken: no allocation under it. Thrown away where the metric is there, which is rare. */
    struct metric *fresh = metric_new(w);
    bool is_other;
    env_mutex_lock(&m->mu);
    struct metric *x = find_locked(m, w, &is_other);
    if (x == NULL && !is_other && fresh != NULL) {
        x = fresh;
        fresh = NULL;
        if (m->tail == NULL)
            env_store_release(&m->head, x);
        else
            env_store_release(&m->tail->next, x);
        m->tail = x;
    }
    env_mutex_unlock(&m->mu);
    metric_free(fresh);
    return x != NULL ? x->data.any : NULL;
}

struct shl_counter *shl_metrics_counter(struct shl_metrics *m, const char *name, const char *help,
                                        const struct shl_label *labels, size_t label_count)
{
    struct wanted w = {SHL_METRIC_COUNTER, name, help, 1, labels, label_count};
    return find_or_add(m, &w);
}

struct shl_gauge *shl_metrics_gauge(struct shl_metrics *m, const char *name, const char *help,
                                    const struct shl_label *labels, size_t label_count)
{
    struct wanted w = {SHL_METRIC_GAUGE, name, help, 1, labels, label_count};
    return find_or_add(m, &w);
}

struct shl_histogram *shl_metrics_histogram(struct shl_metrics *m, const char *name,
                                            const char *help, double scale,
                                            const struct shl_label *labels, size_t label_count)
{
    struct wanted w = {SHL_METRIC_HISTOGRAM, name, help, scale, labels, label_count};
    return find_or_add(m, &w);
}

static bool is_first_of_name(const struct shl_metrics *m, const struct metric *x)
{
    const struct metric *y = env_load_acquire(&m->head);
    while (y != x && strcmp(y->name, x->name) != 0)
        y = env_load_acquire(&y->next);
    return y == x;
}

static void view_of(const struct shl_metrics *m, const struct metric *x, struct shl_metric_view *v)
{
    *v = (struct shl_metric_view){.name = x->name,
                                  .help = x->help,
                                  .kind = x->kind,
                                  .labels = x->labels,
                                  .label_count = x->label_count,
                                  .scale = x->scale,
                                  .is_first_of_name = is_first_of_name(m, x)};
    switch (x->kind) {
    case SHL_METRIC_COUNTER:
        v->counter = shl_counter_value(x->data.counter);
        return;
    case SHL_METRIC_GAUGE:
        v->gauge = shl_gauge_value(x->data.gauge);
        return;
    case SHL_METRIC_HISTOGRAM:
        shl_histogram_read(x->data.histogram, &v->histogram);
        return;
    }
    SHL_NEVER();
}

void shl_metrics_each(const struct shl_metrics *m, const char *name,
                      bool (*visit)(void *ctx, const struct shl_metric_view *view), void *ctx)
{
    for (const struct metric *x = env_load_acquire(&m->head); x != NULL;
         x = env_load_acquire(&x->next)) {
        if (name != NULL && strcmp(x->name, name) != 0)
            continue;
        struct shl_metric_view v;
        view_of(m, x, &v);
        if (!visit(ctx, &v))
            return;
    }
}
