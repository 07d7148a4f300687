#include "base/codec/metrics_text.h"

#include "base/assert.h"
#include "base/codec/json.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>

/* ---- Prometheus */

struct text_out {
    struct shl_buf *out;
    shale_error *err;
    shale_code rc; /* sticky */
};

static void text(struct text_out *t, const char *s, size_t len)
{
    if (t->rc == SHALE_OK)
        t->rc = shl_buf_append(t->out, s, len, t->err);
}

static void text_str(struct text_out *t, const char *s)
{
    text(t, s, strlen(s));
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void text_name(struct text_out *t, const char *name)
{
    for (; *name != '\0'; name++)
        text(t, is_name_char(*name) ? name : "_", 1);
}

/* With \\ and \n, in labels also \", escaped. */
static void text_escaped(struct text_out *t, const char *s, bool in_label)
{
    for (; *s != '\0'; s++) {
        if (*s == '\n')
            text(t, "\\n", 2);
        else {
            if (*s == '\\' || (in_label && *s == '"'))
                text(t, "\\", 1);
            text(t, s, 1);
        }
    }
}

/* name_suffix{labels,quantile="q"} */
static void text_series(struct text_out *t, const struct shl_metric_view *v, const char *suffix,
                        const char *quantile)
{
    text_name(t, v->name);
    text_str(t, suffix);
    const char *between = "{";
    for (size_t i = 0; i < v->label_count; i++) {
        text_str(t, between);
        text_name(t, v->labels[i].name);
        text_str(t, "=\"");
        text_escaped(t, v->labels[i].value, true);
        text_str(t, "\"");
        between = ",";
    }
    if (quantile != NULL) {
        text_str(t, between);
        text_str(t, "quantile=\"");
        text_str(t, quantile);
        text_str(t, "\"");
        between = ",";
    }
    text_str(t, *between == ',' ? "} " : " ");
}

static void text_u64(struct text_out *t, uint64_t value)
{
    if (t->rc == SHALE_OK)
        t->rc = shl_str_printf(t->out, t->err, "%" PRIu64 "\n", value);
}

static void text_f64(struct text_out *t, double value)
{
    char digits[SHL_F64_TEXT];
    text_str(t, shl_f64_text(value, digits));
    text(t, "\n", 1);
}

static void text_histogram(struct text_out *t, const struct shl_metric_view *v)
{
    const struct {
        const char *quantile;
        uint64_t value;
    } quantiles[] = {
        {"0.5", v->histogram.p50}, {"0.99", v->histogram.p99}, {"0.999", v->histogram.p999}};
    for (size_t i = 0; i < SHL_COUNT_OF(quantiles); i++) {
        text_series(t, v, "", quantiles[i].quantile);
        text_f64(t, (double)quantiles[i].value * v->scale);
    }
    text_series(t, v, "_sum", NULL);
    text_f64(t, (double)v->histogram.sum * v->scale);
    text_series(t, v, "_count", NULL);
    text_u64(t, v->histogram.count);
}

static void text_sample(struct text_out *t, const struct shl_metric_view *v)
{
    switch (v->kind) {
    case SHL_METRIC_COUNTER:
        text_series(t, v, "", NULL);
        text_u64(t, v->counter);
        return;
    case SHL_METRIC_GAUGE:
        text_series(t, v, "", NULL);
        if (t->rc == SHALE_OK)
            t->rc = shl_str_printf(t->out, t->err, "%" PRId64 "\n", v->gauge);
        return;
    case SHL_METRIC_HISTOGRAM:
        text_histogram(t, v);
        return;
    }
    SHL_NEVER();
}

static void text_head(struct text_out *t, const char *name, const char *suffix, const char *help,
                      const char *type)
{
    text_str(t, "# HELP ");
    text_name(t, name);
    text_str(t, suffix);
    text_str(t, " ");
    text_escaped(t, help, false);
    text_str(t, "\n# TYPE ");
    text_name(t, name);
    text_str(t, suffix);
    text_str(t, " ");
    text_str(t, type);
    text_str(t, "\n");
}

/* One pass over the metrics of a name; `values`: their samples, else the _max gauges of histograms. */
struct family_pass {
    struct text_out *t;
    bool values;
};

static bool text_member(void *ctx, const struct shl_metric_view *v)
{
    const struct family_pass *pass = ctx;
    if (pass->values) {
        text_sample(pass->t, v);
    } else {
        text_series(pass->t, v, "_max", NULL);
        text_f64(pass->t, (double)v->histogram.max * v->scale);
    }
    return pass->t->rc == SHALE_OK;
}

struct document {
    const struct shl_metrics *m;
    struct text_out t;
};

/* The format wants all series of a name together, below one head; the first metric of a name brings the others along. */
static bool text_family(void *ctx, const struct shl_metric_view *v)
{
    static const char *const types[] = {[SHL_METRIC_COUNTER] = "counter",
                                        [SHL_METRIC_GAUGE] = "gauge",
                                        [SHL_METRIC_HISTOGRAM] = "summary"};
    struct document *d = ctx;
    if (!v->is_first_of_name)
        return true;
    struct family_pass pass = {.t = &d->t, .values = true};
    text_head(&d->t, v->name, "", v->help, types[v->kind]);
    shl_metrics_each(d->m, v->name, text_member, &pass);
    if (v->kind == SHL_METRIC_HISTOGRAM) {
        pass.values = false;
        text_head(&d->t, v->name, "_max", v->help, "gauge");
        shl_metrics_each(d->m, v->name, text_member, &pass);
    }
    return d->t.rc == SHALE_OK;
}

shale_code shl_metrics_prometheus(const struct shl_metrics *m, struct shl_buf *out,
                                  shale_error *err)
{
    struct document d = {.m = m, .t = {.out = out, .err = err, .rc = SHALE_OK}};
    shl_metrics_each(m, NULL, text_family, &d);
    return d.t.rc;
}

/* ---- JSON */

static void json_histogram(struct shl_json_writer *w, const struct shl_metric_view *v)
{
    const struct shl_histogram_summary *h = &v->histogram;
    const struct {
        const char *key;
        uint64_t value;
    } parts[] = {
        {"sum", h->sum}, {"p50", h->p50}, {"p99", h->p99}, {"p999", h->p999}, {"max", h->max}};
    shl_json_key(w, "count");
    shl_json_u64(w, h->count);
    for (size_t i = 0; i < SHL_COUNT_OF(parts); i++) {
        shl_json_key(w, parts[i].key);
        shl_json_f64(w, (double)parts[i].value * v->scale);
    }
}

static bool json_metric(void *ctx, const struct shl_metric_view *v)
{
    static const char *const kinds[] = {[SHL_METRIC_COUNTER] = "counter",
                                        [SHL_METRIC_GAUGE] = "gauge",
                                        [SHL_METRIC_HISTOGRAM] = "histogram"};
    struct shl_json_writer *w = ctx;
    shl_json_object(w);
    shl_json_key(w, "name");
    shl_json_str(w, v->name);
    shl_json_key(w, "labels");
    shl_json_object(w);
    for (size_t i = 0; i < v->label_count; i++) {
        shl_json_key(w, v->labels[i].name);
        shl_json_str(w, v->labels[i].value);
    }
    shl_json_object_end(w);
    shl_json_key(w, "kind");
    shl_json_str(w, kinds[v->kind]);
    if (v->kind == SHL_METRIC_HISTOGRAM) {
        json_histogram(w, v);
    } else {
        shl_json_key(w, "value");
        if (v->kind == SHL_METRIC_COUNTER)
            shl_json_u64(w, v->counter);
        else
            shl_json_i64(w, v->gauge);
    }
    shl_json_object_end(w);
    return true; /* the writer is sticky */
}

shale_code shl_metrics_json(const struct shl_metrics *m, struct shl_buf *out, shale_error *err)
{
    struct shl_json_writer w;
    shl_json_begin(&w, out, err);
    shl_json_object(&w);
    shl_json_key(&w, "metrics");
    shl_json_array(&w);
    shl_metrics_each(m, NULL, json_metric, &w);
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    return shl_json_finish(&w);
}
