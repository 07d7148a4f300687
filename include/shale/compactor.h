/* Compaction outside of the writer's process, and on demand. SPDX-License-Identifier: Apache-2.0
 *
 * A database has one coordinator, which plans and commits, and any number of workers, which merge. A writer has both inside unless
 * compactor_options is none; who starts another coordinator beside it takes its place (a Shale writer stands back, SlateDB's is closed), so
 * open such writers with compactor_options = none. Workers get along with everybody. All of it speaks SlateDB's protocol. */
#ifndef SHALE_COMPACTOR_H
#define SHALE_COMPACTOR_H

#include <shale/metrics.h>

SHALE_BEGIN_DECLS

typedef struct shale_compactor shale_compactor;

typedef enum shale_compactor_phase {
    SHALE_COMPACTOR_RUNS = 0,   /* it is the compactor, or a worker */
    SHALE_COMPACTOR_ASKED = 1,  /* shale_compact: the job waits for a coordinator that may be there */
    SHALE_COMPACTOR_OTHERS = 2  /* shale_compact: another compactor is at work */
} shale_compactor_phase;

/* What a compactor is doing. */
typedef struct shale_compactor_status {
    size_t struct_size;
    shale_compactor_phase phase;
    uint64_t epoch;       /* of the coordinator; 0: it is none (yet) */
    uint64_t running;     /* jobs that it merges now */
    uint64_t active;      /* jobs of anybody that are not finished, as far as it knows */
    uint64_t committed;   /* jobs that it has brought into the manifest */
    uint64_t executed;    /* jobs that it has merged */
    uint64_t rows;        /* read so far for the jobs that run */
    uint64_t bytes;       /* keys and values of them */
    uint64_t input_bytes; /* size of their inputs, an estimate */
} shale_compactor_status;

typedef struct shale_compactor_options {
    size_t struct_size;
    bool no_coordinator; /* default false: it plans and commits */
    bool no_worker;      /* default false: it merges */
    bool once;           /* run returns when nothing is due and nobody's job is open */
    /* Asked about ten times a second by run, in its thread: true stops it. NULL: nobody asks. */
    bool (*tick)(void *ctx, const shale_compactor_status *now);
    void *tick_ctx;
} shale_compactor_options;
SHALE_API void shale_compactor_options_init(shale_compactor_options *o, size_t struct_size);

/* Prepares a compactor; sends nothing. how NULL: coordinator and worker. Settings are those of compactor_options; what it writes has the codec of its largest input,
 * unless compression_codec is set. On failure *out is untouched. */
SHALE_API SHALE_MUST shale_code shale_compactor_open(shale_compactor **out, const char *url, const shale_options *options,
                                                     const shale_compactor_options *how, shale_error *err);
/* Works in the calling thread, and in threads of its own, until it is stopped: OK. What the store says for a while is logged and tried again, unless
 * `once` is set. What was begun is given back, so that another compactor goes on with it. Errors: NOT_FOUND (no database), FENCED (another coordinator
 * took over), CORRUPTION and whatever else a manifest or a row says. */
SHALE_API SHALE_MUST shale_code shale_compactor_run(shale_compactor *compactor, shale_error *err);
/* Lets run return soon, for good. Any thread, and signal handlers. NULL is fine. */
SHALE_API void shale_compactor_stop(shale_compactor *compactor);
/* Requests so far. Set struct_size before. Any thread. */
SHALE_API void shale_compactor_store_counts(shale_compactor *compactor, shale_store_counts *out);
/* Its metrics, by SlateDB's names, as those of a database (shale/metrics.h): jobs, bytes, SSTables, signs of life, requests. Any thread. Texts are owned: shale_text_free; NULL
 * if out of memory. */
SHALE_API void shale_compactor_metrics_each(shale_compactor *compactor,
                                            bool (*visit)(void *ctx, const shale_metric *metric), void *ctx);
SHALE_API char *shale_compactor_metrics_json(shale_compactor *compactor);
SHALE_API char *shale_compactor_metrics_prometheus(shale_compactor *compactor);
/* After run has returned. NULL is fine. */
SHALE_API void shale_compactor_close(shale_compactor *compactor);

typedef struct shale_compact_options {
    size_t struct_size;
    bool no_wait;             /* default false. True: a request is only submitted, for the coordinator that the database has */
    uint64_t take_over_ms;    /* a coordinator that has not moved for so long is taken for dead; 0: two poll intervals and a second. Not waited for where there
                               * never was one, or the last one was a shale_compact or a compactor with `once` that has ended */
    bool (*tick)(void *ctx, const shale_compactor_status *now); /* as above */
    void *tick_ctx;
    shale_store_counts *counts; /* what it asked, filled at the end; NULL: not wanted */
    bool dry_run;             /* default false. True: nothing is changed; out_json gets what it would begin with, an array of {spec, source_bytes, status}:
                               * SlateDB's spec, the bytes of its sources (about), and null for the status of a job that is not open yet */
} shale_compact_options;
SHALE_API void shale_compact_options_init(shale_compact_options *o, size_t struct_size);

/* Compacts now: through the coordinator that the database has, or, if none is alive, as its coordinator and worker. Returns when it is done.
 *
 *   request   NULL: what is due by the settings; else SlateDB's JSON: "Full" (with its quotes), {"FullSegment":{"segment":[bytes]}} or
 *             {"Spec":{"Tiered":{"segment":[],"sources":[{"SstView":"ULID"},{"SortedRun":3}],"destination":3}}}
 *   out_json  the request's jobs as they ended, an array of SlateDB's records; owned: shale_text_free. NULL: not wanted
 *
 * Stopped by tick: OK, and the jobs stay open for other compactors. Errors: NOT_FOUND (no database), INVALID (the request), CONFLICT (its sources are
 * those of another job, or it failed), and those of shale_compactor_run. */
SHALE_API SHALE_MUST shale_code shale_compact(char **out_json, const char *url, const shale_options *options,
                                              const char *request, const shale_compact_options *how, shale_error *err);

/* The compactions file `id` (0: the newest) in SlateDB's JSON shape. NOT_FOUND: there is none. Owned: shale_text_free. */
SHALE_API SHALE_MUST shale_code shale_admin_compactions(char **out_json, const char *url, const shale_options *options,
                                                        uint64_t id, shale_error *err);
/* An array of the compactions files that are stored with from <= id < to (to 0: no end), each in that shape. */
SHALE_API SHALE_MUST shale_code shale_admin_compactions_range(char **out_json, const char *url, const shale_options *options,
                                                              uint64_t from, uint64_t to, shale_error *err);
/* One job of the newest compactions file. `job` is its ULID. */
SHALE_API SHALE_MUST shale_code shale_admin_compaction(char **out_json, const char *url, const shale_options *options,
                                                       const char *job, shale_error *err);

SHALE_END_DECLS

#endif
