#include "lsm/trace.h"

#include "base/array.h"

#define SPANS_MAX 4096 /* of a scan that reads on and on the last ones are dropped */

struct shl_trace {
    const struct shl_tracer *tracer;
    uint64_t begin_ns;
    SHL_ARRAY(struct shl_span) spans;
    char id[];
};

struct shl_trace *shl_trace_new(const struct shl_tracer *tracer, const char *id)
{
    if (tracer->span == NULL || id == NULL)
        return NULL;
    size_t len = strlen(id) + 1;
    struct shl_trace *t = env_calloc(1, sizeof *t + len);
    if (t == NULL)
        return NULL;
    t->tracer = tracer;
    t->begin_ns = env_now_mono_ns();
    memcpy(t->id, id, len);
    return t;
}

void shl_trace_end(struct shl_trace *t)
{
    if (t == NULL)
        return;
    const struct shl_span whole = {
        .name = SHL_SPAN_READ, .begin_ns = t->begin_ns, .end_ns = env_now_mono_ns()};
    for (size_t i = 0; i < t->spans.count; i++)
        t->tracer->span(t->tracer->ctx, t->id, &t->spans.items[i]);
    t->tracer->span(t->tracer->ctx, t->id, &whole);
    shl_array_free(&t->spans);
    env_free(t);
}

struct shl_trace *shl_trace_enter(struct shl_trace *t)
{
    struct shl_trace *before = env_tls_get(ENV_TLS_TRACE);
    env_tls_set(ENV_TLS_TRACE, t, NULL);
    return before;
}

void shl_trace_note(const char *name, const struct shl_ulid *sst, bool is_no, uint64_t begin_ns)
{
    struct shl_trace *t = begin_ns != 0 ? env_tls_get(ENV_TLS_TRACE) : NULL;
    if (t == NULL || t->spans.count >= SPANS_MAX)
        return;
    struct shl_span s = {
        .name = name, .begin_ns = begin_ns, .end_ns = env_now_mono_ns(), .is_no = is_no};
    if (sst != NULL) {
        s.sst = *sst;
        s.has_sst = true;
    }
    (void)shl_array_push(&t->spans, s);
}
