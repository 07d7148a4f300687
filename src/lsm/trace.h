/* What a read waits for, step by step, for whoever asked to be told: spans by SlateDB's names (slatedb-surface 6). Off, it costs a read that finds all in memory nothing.
 *
 * A trace belongs to the task that makes the read while it does (ENV_TLS_TRACE); who fetches something looks there. What other tasks fetch beside it shows as the time that
 * the read waits for them. Spans are kept until the end, for nobody may be called inside an epoch. */
#ifndef SHL_LSM_TRACE_H
#define SHL_LSM_TRACE_H

#include "base/codec/ulid.h"
#include "base/env/env.h"

#define SHL_SPAN_READ            "slatedb.read" /* the whole; all others are inside */
#define SHL_SPAN_MEMTABLE        "slatedb.read.memtable"
#define SHL_SPAN_READ_FILTERS    "slatedb.read.read_filters"
#define SHL_SPAN_EVALUATE_FILTER "slatedb.read.evaluate_filter"
#define SHL_SPAN_READ_INDEX      "slatedb.read.read_index"
#define SHL_SPAN_READ_BLOCKS     "slatedb.read.read_blocks"
#define SHL_SPAN_MERGE           "slatedb.read.merge"

struct shl_span {
    const char *name;            /* static */
    uint64_t begin_ns, end_ns;   /* env_now_mono_ns */
    struct shl_ulid sst;         /* if has_sst */
    bool has_sst;
    bool is_no;                  /* of EVALUATE_FILTER: the SST is passed by */
};

/* Gets the spans when the read has ended, in the order in which they did, the whole last. Borrowed for the call. */
struct shl_tracer {
    void (*span)(void *ctx, const char *trace_id, const struct shl_span *span); /* NULL: nobody listens */
    void *ctx;
};

struct shl_trace;
/* NULL: nobody listens, no id, or no memory. The tracer is borrowed until the end. */
struct shl_trace *shl_trace_new(const struct shl_tracer *tracer, const char *id);
/* Hands out what it has, and frees it; not inside an epoch. NULL is fine. */
void shl_trace_end(struct shl_trace *take_t);

/* The calling task works for t (NULL: for none) from now on; gives for whom it did before, to be put back. */
struct shl_trace *shl_trace_enter(struct shl_trace *t);

/* The time, if somebody traces what the calling task does; else 0. */
static inline uint64_t shl_trace_start(void)
{
    return env_tls_get(ENV_TLS_TRACE) != NULL ? env_now_mono_ns() : 0;
}
/* A step from `begin_ns` (0: nothing is noted) until now. sst NULL: of none. */
void shl_trace_note(const char *name, const struct shl_ulid *sst, bool is_no, uint64_t begin_ns);

#endif
