/* A compactor as a process of its own, without a writer: from stores, a path and settings. slatedb-surface 1.7. */
#ifndef SHL_LSM_COMPACTOR_PROCESS_H
#define SHL_LSM_COMPACTOR_PROCESS_H

#include "lsm/compactor/compactor.h"

struct shl_process_open {
    struct shl_store *store;                   /* the bucket; gets a reference */
    const char *path;                          /* the database in it, unescaped; copied */
    const struct shl_lsm_settings *settings;   /* copied */
    const struct shl_merge_operator *merge;    /* NULL: none; copied */
    const struct shl_transformer *transformer; /* NULL: none; copied */
    const struct shl_compaction_filter *filter; /* NULL: none; copied */
    struct shl_user_filters user_filters;       /* of SSTables; borrowed until free */
    const struct shl_scheduler *scheduler;     /* NULL: the one that the settings name; copied */
    struct shl_log *log;                       /* borrowed; NULL: silent */
    bool coordinates, works;
};

struct shl_compactor_process;
/* No request. Errors: NOMEM, INVALID (settings). */
SHL_MUST shale_code shl_process_new(const struct shl_process_open *o,
                                    struct shl_compactor_process **out, shale_error *err);
/* After run. NULL is fine. */
void shl_process_free(struct shl_compactor_process *p);

struct shl_process_run {
    bool
        once; /* end when nothing is due and no job is active (a worker: when there is none to claim) */
    /* Called about ten times a second while it waits, and after each step; true: stop. From the running task. NULL: nobody asks. */
    bool (*tick)(void *ctx, const struct shl_compactor_report *now);
    void *ctx;
};
/* Works until it is stopped (SHALE_OK). What the store says for a while is logged and tried again, but not with once. Errors: NOT_FOUND (no database), FENCED
 * (another coordinator took over), what jobs or manifests say. May be called again; once stopped, it returns at once. */
SHL_MUST shale_code shl_process_run(struct shl_compactor_process *p,
                                    const struct shl_process_run *how, shale_error *err);
/* Any task, between new and free. */
void shl_process_count(struct shl_compactor_process *p, struct shl_compactor_counts *out);
/* Any task, and signal handlers: run returns soon. */
void shl_process_stop(struct shl_compactor_process *p);

#endif
