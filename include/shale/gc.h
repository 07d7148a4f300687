/* Garbage: objects that neither the newest manifest nor a checkpoint needs. SPDX-License-Identifier: Apache-2.0
 *
 * A writer collects by itself (settings garbage_collector_options.*). These calls do it from any other process, beside whoever has the database open. */
#ifndef SHALE_GC_H
#define SHALE_GC_H

#include <shale/metrics.h>

SHALE_BEGIN_DECLS

typedef enum shale_gc_resource {
    SHALE_GC_MANIFEST = 0,    /* old manifests */
    SHALE_GC_WAL = 1,         /* WAL objects whose rows are in SSTables */
    SHALE_GC_WAL_FENCE = 2,   /* empty WAL objects; deleting them lets a writer that slept lose rows: dry run unless the setting says otherwise */
    SHALE_GC_COMPACTED = 3,   /* SSTables */
    SHALE_GC_COMPACTIONS = 4, /* old compactions files */
    SHALE_GC_DETACH = 5,      /* clones: parents of which no SSTable is in use any more */
    SHALE_GC_RESOURCES = 6
} shale_gc_resource;
/* "manifest", "wal", "wal-fence", "compacted", "compactions", "detach"; "" for other numbers. Static. */
SHALE_API const char *shale_gc_resource_name(shale_gc_resource resource);

typedef struct shale_gc_options {
    size_t struct_size;
    unsigned resources;  /* bits 1 << resource; default 0: those that the settings have on */
    bool dry_run;        /* delete nothing, only count; default false: as the settings say for each */
    bool has_min_age;    /* min_age_ms counts, else the settings do */
    bool has_interval;   /* interval_ms counts, else the settings do */
    uint64_t min_age_ms; /* younger objects stay; SSTables by the time in their name, all others by that of the store */
    uint64_t interval_ms; /* for shale_gc_step */
    bool (*stopped)(void *ctx); /* asked between batches of deletions: true ends a pass early; NULL: never */
    void *stopped_ctx;
} shale_gc_options;
SHALE_API void shale_gc_options_init(shale_gc_options *o, size_t struct_size);

typedef struct shale_gc_result {
    bool ran;
    bool dry_run;   /* the figures are of what would have been deleted */
    uint64_t count; /* objects; for detach: parents */
    uint64_t bytes;
    shale_code code; /* OK, or why it was not finished; NOT_SUPPORTED: this store cannot overwrite conditionally, so that these stay */
    char why[256];
} shale_gc_result;
typedef struct shale_gc_report {
    shale_gc_result results[SHALE_GC_RESOURCES];
    uint64_t checkpoints_expired; /* taken out of the manifest; in a dry run: that would be */
    bool stopped;
} shale_gc_report;

/* A collector keeps what it has learned of checkpoints between passes. One thread at a time. options, how NULL: the defaults. No request. */
typedef struct shale_gc shale_gc;
SHALE_API SHALE_MUST shale_code shale_gc_open(shale_gc **out, const char *url, const shale_options *options,
                                              const shale_gc_options *how, shale_error *err);
/* One pass over all its resources. A resource that fails does not keep the others from being collected; the first failure but NOT_SUPPORTED is
 * returned, and *out is filled in any case. NOT_FOUND: no database.
 * Requests: a LIST per 1,000 objects of each folder; for manifests and compactions files each a LIST, a GET and two looks at a small object; a GET per checkpoint that is new
 * to this collector; one request per 1,000 deletions, or one each where the store has no bulk deletes. */
SHALE_API SHALE_MUST shale_code shale_gc_run(shale_gc_report *out, shale_gc *gc, shale_error *err);
/* A pass over those whose interval has passed (the first time all), which may be none. *wait_ms: until the next is due; UINT64_MAX: never. */
SHALE_API SHALE_MUST shale_code shale_gc_step(shale_gc_report *out, uint64_t *wait_ms, shale_gc *gc, shale_error *err);
SHALE_API void shale_gc_store_counts(shale_gc *gc, shale_store_counts *out); /* since it was opened */
/* Its metrics, by SlateDB's names, as those of a database (shale/metrics.h): passes, what they deleted and left, requests. Texts are owned: shale_text_free; NULL if out of memory. */
SHALE_API void shale_gc_metrics_each(shale_gc *gc, bool (*visit)(void *ctx, const shale_metric *metric), void *ctx);
SHALE_API char *shale_gc_metrics_json(shale_gc *gc);
SHALE_API char *shale_gc_metrics_prometheus(shale_gc *gc);
SHALE_API void shale_gc_close(shale_gc *gc);                                 /* NULL is fine */

SHALE_END_DECLS

#endif
