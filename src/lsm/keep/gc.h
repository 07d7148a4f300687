/* The collector: deletes the objects of one database that neither its newest manifest nor a checkpoint needs. slatedb-behaviour 14.
 *
 * Safe beside any number of writers, readers, compactors and other collectors, of this program or of SlateDB, in any process: it decides on what
 * gc_plan.h says, moves the boundary before it deletes numbered objects, and takes expired checkpoints out before all else. One task at a time. */
#ifndef SHL_LSM_GC_H
#define SHL_LSM_GC_H

#include "base/log.h"
#include "lsm/settings.h"
#include "store/store.h"

struct shl_gc;
struct shl_gc_open {
    struct shl_store *store;     /* counted */
    struct shl_store *wal_store; /* counted; NULL: the same */
    const char *path;            /* of the database in the bucket, unescaped; copied */
    const struct shl_gc_settings *settings; /* copied */
    struct shl_log *log;         /* borrowed; NULL: silent. INFO names each object that goes */
    bool (*stopped)(void *ctx);  /* asked between batches: true ends the pass. NULL: never */
    void *stopped_ctx;
    struct shl_gc_filter filter;
};
SHL_MUST shale_code shl_gc_new(const struct shl_gc_open *o, struct shl_gc **out, shale_error *err);
void shl_gc_free(struct shl_gc *gc); /* NULL is fine */

struct shl_gc_result {
    bool ran;
    bool dry_run;     /* count and bytes are of what would have been deleted */
    uint64_t count;   /* objects; of detach: parents that were let go */
    uint64_t bytes;
    uint64_t left;    /* objects of this kind that stay */
    shale_code code;  /* SHALE_OK, or why it did not finish; NOT_SUPPORTED: the store cannot overwrite conditionally */
    char why[256];
};
struct shl_gc_report {
    struct shl_gc_result tasks[SHL_GC_TASKS];
    uint64_t expired; /* checkpoints taken out; if all that ran was dry: that would be */
    bool stopped;
};
struct shl_lsm_gc_counts;
/* Adds a pass to the counts. */
void shl_gc_count(struct shl_lsm_gc_counts *n, const struct shl_gc_report *report);

#define SHL_GC_BIT(task) (1U << (task))

/* One pass with those tasks of the mask that are on. A task that fails does not keep the others from running; the first failure but
 * NOT_SUPPORTED is returned. NOT_FOUND: no database.
 * Cost: for the manifests a LIST, a GET and a boundary GET , likewise for the compactions file; a GET for the manifest of each checkpoint that is new
 * to this collector (for wal, compacted and detach); a LIST per 1,000 objects of each folder; a boundary GET and PUT where numbered objects go; a
 * request per 1,000 deletions where the store has bulk deletes; a PUT and a GET if checkpoints expired. */
SHL_MUST shale_code shl_gc_run(struct shl_gc *gc, unsigned mask, struct shl_gc_report *out, shale_error *err);

/* "manifest", "wal", "wal-fence", "compacted", "compactions", "detach". */
const char *shl_gc_task_name(enum shl_gc_task task);

/* When tasks are due, each by its own interval. A value. */
struct shl_gc_clock {
    uint64_t due_ns[SHL_GC_TASKS]; /* env_now_mono_ns */
    uint64_t next_ns;              /* the earliest of those that are on; UINT64_MAX: none is */
};
/* at_once: the first time is now, else after one interval. */
void shl_gc_clock_init(struct shl_gc_clock *c, const struct shl_gc_settings *s, bool at_once);
/* The mask of what is due now, which is put off by its interval; next_ns is set. */
unsigned shl_gc_clock_take(struct shl_gc_clock *c, const struct shl_gc_settings *s);

/* SSTs (ids) that a fenced writer of `epoch` uploaded in vain: deletes those that no manifest can name. None if the newest manifest has no
 * newer writer. Cost: as of a pass, and one deletion. */
SHL_MUST shale_code shl_gc_drop_orphans(struct shl_gc *gc, uint64_t epoch, const struct shl_ulid *ids, size_t count,
                                        size_t *dropped, shale_error *err);

#endif
