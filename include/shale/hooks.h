/* What an application may decide itself: which compactions to make, which rows they keep, which garbage stays, and which SSTables a read passes by. SPDX-License-Identifier: Apache-2.0
 *
 * Functions are set on options and are used by every handle that is opened with them: a writer with its compactor inside, shale_compactor_open,
 * shale_compact. They may be called from any thread of the library, must not call the library with that handle, and must stay valid until the handle is
 * closed. What they are handed is borrowed until they return. */
#ifndef SHALE_HOOKS_H
#define SHALE_HOOKS_H

#include <shale/options.h>

SHALE_BEGIN_DECLS

/* ---- which compactions to make */

/* An SSTable of L0. */
typedef struct shale_compaction_l0 {
    const char *id; /* of its view, a ULID */
    uint64_t bytes; /* of what is visible of it, an estimate */
} shale_compaction_l0;

typedef struct shale_compaction_run {
    uint32_t id;
    size_t sst_count;
    uint64_t bytes; /* an estimate */
} shale_compaction_run;

/* The tree of a segment. */
typedef struct shale_compaction_tree {
    shale_slice segment; /* its prefix; empty: the root tree */
    const shale_compaction_l0 *l0; /* newest first */
    size_t l0_count;
    const shale_compaction_run *runs; /* newest first */
    size_t run_count;
} shale_compaction_tree;

/* A compaction: a stretch of neighbours of [L0 newest first, runs newest first], up to the oldest SSTable of L0 if it takes some of them. */
typedef struct shale_compaction_spec {
    size_t struct_size;
    shale_slice segment; /* empty: the root tree */
    const char *const *l0; /* ids of views, newest first */
    size_t l0_count;
    const uint32_t *runs; /* newest first */
    size_t run_count;
    uint32_t destination; /* the oldest of runs; without runs an id above that of every run, as next_run */
    bool drain;           /* delete the rows instead; only what lies in a segment */
} shale_compaction_spec;
SHALE_API void shale_compaction_spec_init(shale_compaction_spec *o, size_t struct_size);

/* A database as its coordinator sees it. */
typedef struct shale_compaction_view {
    size_t struct_size;
    const shale_compaction_tree *trees; /* the root tree first, then segments by prefix */
    size_t tree_count;
    const shale_compaction_spec *const *jobs; /* those that are not finished: what they take is taken */
    size_t job_count;
    size_t slots;      /* more proposals are not looked at now */
    uint32_t next_run; /* free for the first job that makes a new run, this + 1 for the second */
} shale_compaction_view;

/* Proposes compactions, the most urgent first, by calling emit(emit_ctx, spec) for each, which copies it. Must answer the same for the same view: it may be
 * asked several times for one decision. Each proposal is checked; one that does not fit the trees or meets a job is refused with a line in the log (WARN).
 * A code other than OK is a line in the log, too, and no proposal. */
typedef shale_code (*shale_scheduler_fn)(void *ctx, const shale_compaction_view *view,
                                         void (*emit)(void *emit_ctx, const shale_compaction_spec *spec), void *emit_ctx);
/* It stands before compactor_options.scheduler. Only a coordinator asks it. NULL: none. */
SHALE_API void shale_options_set_scheduler(shale_options *options, shale_scheduler_fn propose, void *ctx);

/* ---- which rows a compaction keeps */

/* What is being merged: a job, or a part of a large one. */
typedef struct shale_compaction_job {
    size_t struct_size;
    shale_slice segment;        /* empty: the root tree */
    uint32_t destination;       /* the run that it makes */
    bool is_last_run;           /* nothing older lies below it: what is dropped is gone for good */
    int64_t clock_tick;         /* Unix ms: rows that expired by then have been taken out */
    uint64_t retention_min_seq; /* versions that are older than the newest one at or below this are gone already */
} shale_compaction_job;

typedef enum shale_filter_decision {
    SHALE_FILTER_KEEP = 0,  /* as it is */
    SHALE_FILTER_DROP = 1,  /* as if it had never been written: an older version in an older run is seen again, unless is_last_run */
    SHALE_FILTER_MODIFY = 2 /* kind and value are replaced; seq and create_ts stay, expire_ts too unless it becomes a deletion */
} shale_filter_decision;

typedef struct shale_filter_result {
    size_t struct_size;
    shale_filter_decision decision; /* KEEP, until the function sets another */
    shale_row_kind kind;            /* with MODIFY */
    shale_slice value;              /* with MODIFY, of a put or merge; must stay as it is until the filter is called again */
} shale_filter_result;

/* Looks at each row that a compaction is about to write, after merging and retention. Flushes do not ask it, and neither does a job that moves SSTables as
 * they are (enable_trivial_move). It does not know of snapshots and transactions: what it takes away is gone from them, too. Each job, each part of one that
 * is merged beside the others, and each that is resumed after an interruption, which begins at the key where that was, has an instance of its own. Any
 * code but OK fails the job (INTERNAL); its sources stay, and it is tried again after compactor_options.poll_interval. */
typedef struct shale_compaction_filter {
    size_t struct_size;
    void *ctx;
    /* Makes an instance. NULL: `filter` is NULL in the other calls. */
    shale_code (*begin)(void *ctx, const shale_compaction_job *job, void **filter);
    /* Decides about a row; keys ascending, the versions of one newest first. */
    shale_code (*row)(void *ctx, void *filter, const shale_raw_row *row, shale_filter_result *out);
    /* The last call for an instance, whose memory is given back here. complete: it saw all rows, and may still fail the job; else the job failed or was
     * stopped. NULL: nothing to do. */
    shale_code (*end)(void *ctx, void *filter, bool complete);
} shale_compaction_filter;
SHALE_API void shale_compaction_filter_init(shale_compaction_filter *o, size_t struct_size);

/* Copied. NULL: none. Who merges asks it: set it for all workers of a database, or for none. INVALID: row is NULL, or struct_size. */
SHALE_API SHALE_MUST shale_code shale_options_set_compaction_filter(shale_options *options, const shale_compaction_filter *filter,
                                                                    shale_error *err);

/* ---- which garbage stays */

/* Asked by a collector, in a writer or of shale_gc_open, for each object that neither the newest manifest nor a checkpoint needs and that is old enough: false
 * keeps it, until it is asked for it again in the next pass. It cannot have anything deleted that is needed. In dry runs too. `key`: of the object in the bucket.
 * In the collector's thread, which it may hold up. */
typedef bool (*shale_gc_filter_fn)(void *ctx, const char *key, uint64_t bytes, int64_t modified_unix_ms);
/* NULL: all garbage goes. */
SHALE_API void shale_options_set_gc_filter(shale_options *options, shale_gc_filter_fn may_delete, void *ctx);

/* ---- which SSTables a read passes by */

typedef enum shale_filter_query_kind { SHALE_FILTER_POINT = 0, SHALE_FILTER_PREFIX = 1 } shale_filter_query_kind;

typedef struct shale_filter_query {
    size_t struct_size;
    shale_filter_query_kind kind;
    shale_slice key;     /* POINT: the key of a get; PREFIX: what all keys of a scan begin with */
    shale_slice context; /* filter_context of the read's options */
} shale_filter_query;

/* Makes a filter for each SSTable that is written with min_filter_keys rows or more, by flushes and by compactions, and is asked before an SSTable is
 * searched. It stands beside the Bloom filter (bloom_bits_per_key = 0: without one), and all filters must let a read pass. What is stored is the policy's
 * name and its bytes; who does not know the name, SlateDB too, passes the filter over. A filter is only a help: where a function fails, that SSTable has none
 * of this policy, and is searched. begin, add and end may be called from any thread, for several SSTables at once. */
typedef struct shale_filter_policy {
    size_t struct_size;
    void *ctx;
    /* Begins the filter of an SSTable. NULL: `builder` is NULL in the other calls. */
    shale_code (*begin)(void *ctx, void **builder);
    /* Each row of it, in order: keys ascending, the versions of one newest first. After a failure only end follows. */
    shale_code (*add)(void *ctx, void *builder, const shale_raw_row *row);
    /* The last call for a builder, whose memory is given back here: hands the filter to emit(emit_ctx, filter), once. emit NULL: it is not wanted. */
    shale_code (*end)(void *ctx, void *builder, void (*emit)(void *emit_ctx, shale_slice filter), void *emit_ctx);
    /* False: no row of the SSTable can be what the read looks for. Must be right for whatever is stored under the name (true if the bytes are strange) and quick:
     * the read waits for it, and memory that the database gives up is not freed until it returns. So it must not block (no lock that is held for long, no I/O) and
     * not call any function of the same database or of an iterator on it. filter and query are valid until it returns. Any thread. */
    bool (*may_match)(void *ctx, shale_slice filter, const shale_filter_query *query);
} shale_filter_policy;
SHALE_API void shale_filter_policy_init(shale_filter_policy *o, size_t struct_size);

#define SHALE_FILTER_POLICIES_MAX 8
/* Copied; up to SHALE_FILTER_POLICIES_MAX, asked in their order. Set the same for all who write and read a database: who writes without one makes SSTables
 * that have none. name: 1 to 127 bytes of UTF-8, not beginning with "_bf", which are Bloom filters. INVALID: the name, one that is there already, one
 * too many, add, end or may_match is NULL, struct_size. */
SHALE_API SHALE_MUST shale_code shale_options_add_filter_policy(shale_options *options, const char *name,
                                                                const shale_filter_policy *policy, shale_error *err);

SHALE_END_DECLS

#endif
