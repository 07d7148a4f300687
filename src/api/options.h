/* The options object behind shale_options: settings by table, store options as pairs, components. One task at a time. */
#ifndef SHL_API_OPTIONS_H
#define SHL_API_OPTIONS_H

#include "base/array.h"
#include "base/log.h"
#include "base/optable.h"
#include "lsm/settings.h"

#include <shale/hooks.h>
#include <shale/store.h>

/* Settings that are accepted and kept for files written for SlateDB, but that nothing reads in this version. Durations in ns. */
struct shl_api_unused {
    unsigned metric_level;
    char *cache_root_folder;
    uint64_t cache_max_bytes, cache_part_bytes, cache_scan_interval, cache_handles;
    bool cache_on_flush, cache_on_compaction;
    unsigned cache_preload;
    unsigned compactor_metric_level, worker_metric_level;
    unsigned gc_metric_level;
};

/* The struct that the table describes; strings are owned. */
struct shl_api_settings {
    struct shl_lsm_settings
        lsm; /* filter.extractor and segment_extractor are set by shl_api_resolve, not by the table */
    char *root;
    char *wal_url;
    char *merge_operator;
    char *segment_extractor;
    char *bloom_prefix;
    char *transformer;
    /* of processes that are only that; SHL_RETRY_FOREVER: as lsm.object_store_max_retries */
    uint32_t compactor_retries, worker_retries, gc_retries;
    struct shl_api_unused unused;
};

struct shl_api_pair {
    char *key;    /* owned */
    char *value;  /* owned */
    char *origin; /* owned; NULL: "store option KEY" */
};

/* Where a setting came from, and what it took the place of. Owned texts. */
struct shl_api_origin {
    char *from; /* NULL: the default */
    char *beaten;
    char *beaten_from;
};

struct shale_options {
    struct shl_api_settings settings;
    struct shl_api_origin *origins; /* owned: per table row */
    char set_from[101];             /* origin of what is set by call; "": "set" */
    char profile[101];              /* group of files that holds too; "": none */
    bool profile_found;
    SHL_ARRAY(struct shl_api_pair) store_options;
    shale_merge_fn merge;
    void *merge_ctx;
    struct shl_api_extractor {
        shale_prefix_fn prefix; /* NULL: as the settings say */
        void *ctx;
        char name[32];
    } extractors[2];                   /* by enum shale_prefix_use */
    shale_transform_fn encode, decode; /* both or none */
    void *transform_ctx;
    shale_store_callbacks user_stores[2]; /* by enum shale_store_use; put NULL: as the URL says */
    shale_scheduler_fn scheduler; /* NULL: as the settings say */
    void *scheduler_ctx;
    shale_trace_fn trace; /* NULL: none */
    void *trace_ctx;
    shale_gc_filter_fn gc_filter; /* NULL: none */
    void *gc_filter_ctx;
    shale_compaction_filter compaction_filter; /* row NULL: none */
    struct shl_api_filter_policy {
        char name[SHL_FILTER_NAME_MAX + 1];
        shale_filter_policy policy;
    } filter_policies[SHALE_FILTER_POLICIES_MAX];
    size_t filter_policy_count;
    struct shl_log log; /* its sink calls log_fn */
    shale_log_fn log_fn;
    void *log_ctx;
    shale_cancel_fn cancel;
    void *cancel_ctx;
};

extern const struct shl_optable shl_api_table;

/* Index of the row for `name`, or count. */
size_t shl_api_option_index(const char *name);
/* By the clock of the options; NULL: the system's. */
int64_t shl_api_now_ms(const shale_options *o);
/* True if nothing has set the option. */
bool shl_api_is_default(const shale_options *o, const char *name);

/* What an open needs, made of the options: settings with extractors parsed and readers' defaults, components. Borrows from the options. */
struct shl_api_resolved {
    struct shl_lsm_settings lsm;
    struct shl_merge_operator builtin;
    bool has_builtin;
};
/* The function of the user behind the engine's interface. `from` lives as long as the extractor. */
struct shl_extractor shl_api_user_extractor(const struct shl_api_extractor *from);
/* reader: readers' defaults where nothing was set. INVALID names the setting. */
SHL_MUST shale_code shl_api_resolve(const shale_options *o, bool reader,
                                    struct shl_api_resolved *out, shale_error *err);

#endif
