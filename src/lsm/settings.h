/* What an LSM database is opened with: SlateDB's settings (slatedb-surface 2.2 to 2.5, 2.7) and ours, as values. */
#ifndef SHL_LSM_SETTINGS_H
#define SHL_LSM_SETTINGS_H

#include "base/err.h"
#include "lsm/clock.h"
#include "lsm/format/sst.h"
#include <stdbool.h>

#define SHL_DURATION_NONE UINT64_MAX /* "none": never */
#define SHL_TTL_NONE      INT64_MIN
#define SHL_RETRIES_NONE  UINT32_MAX /* for ever */

enum shl_scheduler_kind { SHL_SCHEDULER_SIZE_TIERED, SHL_SCHEDULER_LEVELED };
enum shl_keep_new { SHL_KEEP_NOTHING, SHL_KEEP_META, SHL_KEEP_ALL };
enum shl_wal_flush { SHL_WAL_FLUSH_ADAPTIVE, SHL_WAL_FLUSH_INTERVAL };

/* What the collector does, in the order in which a pass does it. */
enum shl_gc_task {
    SHL_GC_MANIFEST,
    SHL_GC_WAL,
    SHL_GC_WAL_FENCE,
    SHL_GC_COMPACTED,
    SHL_GC_COMPACTIONS,
    SHL_GC_DETACH,
    SHL_GC_TASKS
};
struct shl_gc_task_settings {
    bool on;
    uint64_t interval_ns; /* 600 s */
    uint64_t min_age_ns;  /* 300 s; of no meaning to detach */
    bool dry_run;         /* true for wal_fence_options, else false; of no meaning to detach */
};
struct shl_gc_settings {
    bool enabled;        /* garbage_collector_options: not null */
    bool boundary_files; /* garbage_collector_options.boundary_files_enabled: true */
    struct shl_gc_task_settings tasks[SHL_GC_TASKS];
    struct shl_clock clock; /* {0}: the system's */
};

/* Asked for each object that is garbage: false keeps it. bytes, and when it was written. From the task of the collector. */
struct shl_gc_filter {
    bool (*may_delete)(void *ctx, const char *key, uint64_t bytes, int64_t modified_ms); /* NULL: all may go */
    void *ctx;
};

struct shl_lsm_settings {
    /* SlateDB's names and defaults */
    uint64_t flush_interval_ns; /* flush_interval: 100 ms; none = only on demand or by size */
    bool wal_enabled;           /* true */
    uint64_t manifest_poll_interval_ns;        /* 1 s; readers: 10 s */
    uint64_t manifest_update_timeout_ns;       /* 300 s */
    uint32_t min_filter_keys;                  /* 1000 */
    uint64_t l0_sst_size_bytes;                /* 64 MiB */
    uint64_t max_wal_flushes_before_l0_flush;  /* 4096, the minimum too */
    uint32_t l0_max_ssts;                      /* 8 */
    uint32_t l0_max_ssts_per_key;              /* 8 */
    uint32_t l0_flush_parallelism;             /* 4 */
    uint64_t max_unflushed_bytes;              /* 1 GiB */
    enum shl_compression compression;          /* compression_codec: none */
    int64_t default_ttl_ms;                    /* default_ttl_millis: SHL_TTL_NONE */
    uint32_t object_store_max_retries;         /* SHL_RETRIES_NONE */
    bool compactor_enabled;                    /* compactor_options: not null */
    uint64_t compactor_poll_interval_ns;       /* compactor_options.poll_interval: 5 s */
    uint64_t compactor_manifest_timeout_ns;    /* compactor_options.manifest_update_timeout: 300 s */
    uint64_t commit_compacted_interval_ns;     /* compactor_options.commit_compacted_interval: 1 s */
    uint64_t worker_heartbeat_timeout_ns;      /* compactor_options.worker_heartbeat_timeout: 30 s */
    bool incremental_compaction; /* compactor_options.enable_experimental_incremental_compaction: false */
    bool enable_trivial_move;                  /* compactor_options.enable_trivial_move: false */
    uint32_t compactor_max_concurrent;         /* compactor_options.max_concurrent_compactions: 4 */
    uint64_t compactor_checkpoint_lifetime_ns; /* compactor_options.checkpoint_lifetime: 900 s */
    uint32_t
        min_compaction_sources; /* compactor_options.scheduler_options.min_compaction_sources: 4 */
    uint32_t max_compaction_sources; /* 8 */
    double include_size_threshold;   /* 4.0 */
    uint64_t sorted_run_consolidation_threshold; /* 0: off */
    bool worker_enabled;             /* compactor_options.worker: not null */
    uint32_t worker_max_concurrent;  /* compactor_options.worker.max_concurrent_compactions: 4 */
    uint64_t worker_poll_interval_ns;      /* .compactions_poll_interval: 5 s */
    uint64_t worker_heartbeat_interval_ns; /* .heartbeat_interval: 10 s */
    uint64_t max_sst_size_bytes;           /* .max_sst_size: 256 MiB */
    uint32_t worker_max_fetch_tasks;       /* 4 */
    uint64_t worker_bytes_to_fetch;        /* 2 MiB */
    uint32_t worker_max_subcompactions;    /* 4; up to 1: off */
    bool worker_has_min_filter_keys;       /* else as min_filter_keys */
    uint32_t worker_min_filter_keys;
    bool worker_has_codec; /* else as compression_codec */
    enum shl_compression worker_compression;
    bool worker_keeps_codec; /* outputs get the codec of their largest input, for nobody named one: compactors outside of writers */
    struct shl_gc_settings gc;       /* garbage_collector_options */

    /* SlateDB's builder options */
    bool sst_block_alignment;               /* false; not with a codec */
    uint32_t sst_block_size_bytes;          /* 4 KiB: 1, 2, 4 .. 64 KiB */
    struct shl_filter_policy filter;        /* bloom_bits_per_key 10, whole key, no prefix */
    struct shl_extractor segment_extractor; /* none */

    struct shl_clock clock;  /* {0}: the system's */
    bool has_expected_epoch; /* a writer claims expected_epoch + 1 or nothing */
    uint64_t expected_epoch;

    /* ours */
    enum shl_wal_flush wal_flush; /* adaptive */
    enum shl_scheduler_kind scheduler; /* compactor_options.scheduler: size-tiered */
    uint64_t subcompaction_min_bytes;  /* a job's parts are no smaller: 16 MiB */
    uint64_t block_cache_bytes;   /* 512 MiB */
    uint64_t meta_cache_bytes;    /* 128 MiB: indexes and filters */
    enum shl_keep_new cache_flushed;   /* what of a new SST in L0 comes into the caches at once: nothing */
    enum shl_keep_new cache_compacted; /* ... and of one in a run: nothing */
    bool strict_ttl;                /* false: rows are read until a flush or compaction meets them expired */
    uint64_t transaction_log_bytes; /* what was written while transactions are open: 64 MiB */
    uint64_t scan_window_bytes;   /* largest read-ahead of a scan source: 1 MiB */
    bool skip_wal_replay;         /* readers */
    uint64_t max_memtable_bytes;  /* readers: 64 MiB */
    uint64_t checkpoint_lifetime_ns; /* managed readers: 600 s */
};

void shl_gc_settings_default(struct shl_gc_settings *s);
void shl_lsm_settings_default(struct shl_lsm_settings *s);
/* What a process does with a database: each reads, and merges if it writes. */
enum shl_lsm_role { SHL_LSM_READS, SHL_LSM_COMPACTS, SHL_LSM_WRITES };
/* The checks of slatedb-behaviour 2 step 1, each with a text that names the setting: of the settings that the role looks at. */
SHL_MUST shale_code shl_lsm_settings_check(const struct shl_lsm_settings *s, enum shl_lsm_role role,
                                           shale_error *err);

/* merge(key, existing or NULL, operand) appended to out; must be associative. */
struct shl_merge_operator {
    shale_code (*merge)(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                        struct shl_slice operand, struct shl_buf *out, shale_error *err);
    void *ctx;
};
/* One of SHL_MERGE_OPERATORS; false if it is none. */
#define SHL_MERGE_OPERATORS "concat, sum-u64, sum-i64, max-u64, min-u64, max-i64, min-i64, max-bytes, min-bytes"
SHL_MUST bool shl_merge_operator_builtin(const char *name, struct shl_merge_operator *out);

#endif
