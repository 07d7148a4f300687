/* What an application may decide itself: which compactions to make, and which rows they keep. SPDX-License-Identifier: Apache-2.0
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

SHALE_END_DECLS

#endif
