/* The table of all settings: SlateDB's names and defaults (slatedb-surface 2.2 to 2.7), then ours. */
#include "api/options.h"
#include "base/num.h"

#include <stddef.h>

#define AT(field)    offsetof(struct shl_api_settings, field)
#define LSM(field)   offsetof(struct shl_api_settings, lsm.field)
#define LATER(field) offsetof(struct shl_api_settings, unused.field)
#define NO_EFFECT    " (no effect yet)"

static const struct shl_opt_word codecs[] = {
    {"none", SHL_COMPRESSION_NONE}, {"snappy", SHL_COMPRESSION_SNAPPY},
    {"zlib", SHL_COMPRESSION_ZLIB}, {"lz4", SHL_COMPRESSION_LZ4},
    {"zstd", SHL_COMPRESSION_ZSTD}, {NULL, 0}};
static const struct shl_opt_word levels[] = {{"Info", 0}, {"Debug", 1}, {NULL, 0}};
static const struct shl_opt_word own_levels[] = {{"none", 0}, {"Info", 1}, {"Debug", 2}, {NULL, 0}};
static const struct shl_opt_word preloads[] = {{"none", 0}, {"L0Sst", 1}, {"AllSst", 2}, {NULL, 0}};
static const struct shl_opt_word schedulers[] = {
    {"size-tiered", SHL_SCHEDULER_SIZE_TIERED}, {"leveled", SHL_SCHEDULER_LEVELED}, {NULL, 0}};
static const struct shl_opt_word keeps[] = {
    {"none", SHL_KEEP_NOTHING}, {"meta", SHL_KEEP_META}, {"all", SHL_KEEP_ALL}, {NULL, 0}};
static const struct shl_opt_word wal_flushes[] = {
    {"adaptive", SHL_WAL_FLUSH_ADAPTIVE}, {"interval", SHL_WAL_FLUSH_INTERVAL}, {NULL, 0}};

#define BOOL(n, at, def, text)                                                                     \
    {                                                                                              \
        .name = n, .type = SHL_OPT_BOOL, .default_text = def, .offset = at, .help = text           \
    }
#define U32(n, at, def, low, text)                                                                 \
    {                                                                                              \
        .name = n, .type = SHL_OPT_U32, .default_text = def, .min = low, .offset = at,             \
        .help = text                                                                               \
    }
#define U64(n, at, def, low, text)                                                                 \
    {                                                                                              \
        .name = n, .type = SHL_OPT_U64, .default_text = def, .min = low, .offset = at,             \
        .help = text                                                                               \
    }
#define SIZE(n, at, def, low, text)                                                                \
    {                                                                                              \
        .name = n, .type = SHL_OPT_SIZE, .default_text = def, .min = low, .offset = at,            \
        .help = text                                                                               \
    }
#define TIME(n, at, def, text)                                                                     \
    {                                                                                              \
        .name = n, .type = SHL_OPT_DURATION, .default_text = def, .offset = at, .help = text       \
    }
#define TABLE(n, at, text)                                                                         \
    {                                                                                              \
        .name = n, .type = SHL_OPT_TABLE, .nullable = true, .default_text = "default",             \
        .offset = at, .help = text                                                                 \
    }
#define TEXT(n, at, text)                                                                          \
    {                                                                                              \
        .name = n, .type = SHL_OPT_STRING, .nullable = true, .offset = at, .help = text            \
    }
#define RETRIES(n, at, text)                                                                       \
    {                                                                                              \
        .name = n, .type = SHL_OPT_U32, .nullable = true, .offset = at, .help = text               \
    }
#define WORD(n, at, list, def, text)                                                               \
    {                                                                                              \
        .name = n, .type = SHL_OPT_ENUM, .nullable = true, .words = list, .default_text = def,     \
        .offset = at, .help = text                                                                 \
    }
#define GC(task, field) LSM(gc.tasks[task].field)
#define GC_DIRECTORY(n, task, dry)                                                                 \
    TABLE("garbage_collector_options." n, GC(task, on), "collect these objects; none = never"),    \
        TIME("garbage_collector_options." n ".interval", GC(task, interval_ns), "600s",            \
             "how often; the first time so long after opening"),                                   \
        TIME("garbage_collector_options." n ".min_age", GC(task, min_age_ns), "300s",              \
             "younger ones stay"),                                                                 \
        BOOL("garbage_collector_options." n ".dry_run", GC(task, dry_run), dry,                    \
             "only log what would go")

static const struct shl_opt opts[] = {
    {.name = "flush_interval",
     .type = SHL_OPT_DURATION,
     .nullable = true,
     .default_text = "100ms",
     .offset = LSM(flush_interval_ns),
     .help = "WAL flush timer; none = only on demand or by size"},
    BOOL("wal_enabled", LSM(wal_enabled), "true",
         "false: rows are durable only when a memtable is flushed"),
    TIME("manifest_poll_interval", LSM(manifest_poll_interval_ns), "1s",
         "how often to look for a newer manifest; readers: 10s"),
    TIME("manifest_update_timeout", LSM(manifest_update_timeout_ns), "300s",
         "how long to retry one manifest update"),
    U32("min_filter_keys", LSM(min_filter_keys), "1000", 0,
        "an SSTable with fewer rows gets no filter"),
    SIZE("l0_sst_size_bytes", LSM(l0_sst_size_bytes), "64MiB", 1,
         "a memtable is flushed at this size"),
    U64("max_wal_flushes_before_l0_flush", LSM(max_wal_flushes_before_l0_flush), "4096", 4096,
        "a memtable is flushed after so many WAL objects"),
    U32("l0_max_ssts", LSM(l0_max_ssts), "8", 1, "L0 SSTables before writers wait"),
    U32("l0_max_ssts_per_key", LSM(l0_max_ssts_per_key), "8", 1,
        "L0 SSTables over one key before writers wait"),
    {.name = "l0_flush_parallelism",
     .type = SHL_OPT_U32,
     .default_text = "4",
     .min = 1,
     .max = 64,
     .offset = LSM(l0_flush_parallelism),
     .help = "memtables that are flushed at once"},
    SIZE("max_unflushed_bytes", LSM(max_unflushed_bytes), "1GiB", 1,
         "writers wait above it; greater than l0_sst_size_bytes"),
    WORD("compression_codec", LSM(compression), codecs, "none",
         "none, snappy, zlib, lz4 or zstd, for new SSTables"),
    {.name = "default_ttl_millis",
     .type = SHL_OPT_I64,
     .nullable = true,
     .offset = LSM(default_ttl_ms),
     .unit = "ms",
     .help = "time to live of rows that name none"},
    RETRIES("object_store_max_retries", LSM(object_store_max_retries),
            "tries of a request after the first; none = for ever"),
    WORD("metric_level", LATER(metric_level), levels, "Info",
         "Info or Debug; as in SlateDB, every metric there is has level Info"),

    TABLE("compactor_options", LSM(compactor_enabled), "none: this process compacts nothing"),
    TIME("compactor_options.poll_interval", LSM(compactor_poll_interval_ns), "5s",
         "how often to look for work"),
    TIME("compactor_options.manifest_update_timeout", LSM(compactor_manifest_timeout_ns), "300s",
         "as above, for a compactor of its own"),
    U32("compactor_options.max_concurrent_compactions", LSM(compactor_max_concurrent), "4", 1,
        "jobs at once"),
    BOOL("compactor_options.enable_trivial_move", LSM(enable_trivial_move), "false",
         "sources that do not overlap become a run as they are"),
    {.name = "compactor_options.scheduler",
     .type = SHL_OPT_ENUM,
     .words = schedulers,
     .default_text = "size-tiered",
     .offset = LSM(scheduler),
     .help = "size-tiered, as in SlateDB, or leveled: fewer runs for a get to ask, more rewriting"},
    U32("compactor_options.scheduler_options.min_compaction_sources", LSM(min_compaction_sources),
        "4", 2, "fewest sources of a job"),
    U32("compactor_options.scheduler_options.max_compaction_sources", LSM(max_compaction_sources),
        "8", 2, "most sources of a job"),
    {.name = "compactor_options.scheduler_options.include_size_threshold",
     .type = SHL_OPT_F64,
     .default_text = "4.0",
     .offset = LSM(include_size_threshold),
     .help = "a source may be so many times larger than the smallest; leveled: a run is so many "
             "times the one above it"},
    U64("compactor_options.scheduler_options.sorted_run_consolidation_threshold",
        LSM(sorted_run_consolidation_threshold), "0", 0,
        "merge runs of any size while there are more than so many; 0 = off"),
    TIME("compactor_options.commit_compacted_interval", LSM(commit_compacted_interval_ns), "1s",
         "how often to look for what other workers have done"),
    BOOL("compactor_options.enable_experimental_incremental_compaction",
         LSM(incremental_compaction), "false",
         "commit finished parts of running jobs, once a minute"),
    TIME("compactor_options.checkpoint_lifetime", LSM(compactor_checkpoint_lifetime_ns), "900s",
         "of the checkpoints that pin its inputs"),
    TIME("compactor_options.worker_heartbeat_timeout", LSM(worker_heartbeat_timeout_ns), "30s",
         "a silent worker loses its job"),
    WORD("compactor_options.metric_level", LATER(compactor_metric_level), own_levels, "none",
         "none = as metric_level"),
    RETRIES("compactor_options.object_store_max_retries", AT(compactor_retries),
            "of a compactor without a writer; none = as object_store_max_retries"),
    TABLE("compactor_options.worker", LSM(worker_enabled), "none: jobs are left to other workers"),
    U32("compactor_options.worker.max_concurrent_compactions", LSM(worker_max_concurrent), "4", 1,
        "jobs at once"),
    TIME("compactor_options.worker.compactions_poll_interval", LSM(worker_poll_interval_ns), "5s",
         "how often to look for jobs; half to one and a half of it"),
    TIME("compactor_options.worker.heartbeat_interval", LSM(worker_heartbeat_interval_ns), "10s",
         "between signs of life"),
    SIZE("compactor_options.worker.max_sst_size", LSM(max_sst_size_bytes), "256MiB", 1,
         "an output SSTable ends at this size"),
    U32("compactor_options.worker.max_fetch_tasks", LSM(worker_max_fetch_tasks), "4", 1,
        "reads ahead at once"),
    SIZE("compactor_options.worker.bytes_to_fetch", LSM(worker_bytes_to_fetch), "2MiB", 1,
         "bytes of one read"),
    U32("compactor_options.worker.max_subcompactions", LSM(worker_max_subcompactions), "4", 0,
        "parts of one job at once; up to 1 = not cut into parts. On a folder and in memory no more "
        "than there are CPUs"),
    U32("compactor_options.worker.min_filter_keys", LSM(worker_min_filter_keys), "1000", 0,
        "if not set, min_filter_keys"),
    WORD("compactor_options.worker.compression_codec", LSM(worker_compression), codecs, "none",
         "if not set, compression_codec"),
    WORD("compactor_options.worker.metric_level", LATER(worker_metric_level), own_levels, "none",
         "none = as metric_level"),
    RETRIES("compactor_options.worker.object_store_max_retries", AT(worker_retries),
            "of a worker without a writer; none = as object_store_max_retries"),

    TABLE("garbage_collector_options", LSM(gc.enabled), "none: this process collects nothing"),
    GC_DIRECTORY("manifest_options", SHL_GC_MANIFEST, "false"),
    GC_DIRECTORY("wal_options", SHL_GC_WAL, "false"),
    GC_DIRECTORY("compacted_options", SHL_GC_COMPACTED, "false"),
    GC_DIRECTORY("compactions_options", SHL_GC_COMPACTIONS, "false"),
    GC_DIRECTORY("wal_fence_options", SHL_GC_WAL_FENCE, "true"),
    TABLE("garbage_collector_options.detach_options", GC(SHL_GC_DETACH, on),
          "let go of parents of clones; none = never"),
    TIME("garbage_collector_options.detach_options.interval", GC(SHL_GC_DETACH, interval_ns),
         "600s", "how often"),
    WORD("garbage_collector_options.metric_level", LATER(gc_metric_level), own_levels, "none",
         "none = as metric_level"),
    BOOL("garbage_collector_options.boundary_files_enabled", LSM(gc.boundary_files), "true",
         "false: min_age must exceed any pause of a process"),
    RETRIES("garbage_collector_options.object_store_max_retries", AT(gc_retries),
            "of a collector without a writer; none = as object_store_max_retries"),

    TEXT("object_store_cache_options.root_folder", LATER(cache_root_folder),
         "folder of the disk cache; none = off" NO_EFFECT),
    {.name = "object_store_cache_options.max_cache_size_bytes",
     .type = SHL_OPT_SIZE,
     .nullable = true,
     .default_text = "16GiB",
     .offset = LATER(cache_max_bytes),
     .help = "largest size; none = no limit" NO_EFFECT},
    SIZE("object_store_cache_options.part_size_bytes", LATER(cache_part_bytes), "4MiB", 1024,
         "bytes of a part" NO_EFFECT),
    BOOL("object_store_cache_options.cache_on_flush", LATER(cache_on_flush), "false",
         "keep what is flushed" NO_EFFECT),
    BOOL("object_store_cache_options.cache_on_compaction", LATER(cache_on_compaction), "false",
         "keep what is compacted" NO_EFFECT),
    WORD("object_store_cache_options.preload_disk_cache_on_startup", LATER(cache_preload), preloads,
         "none", "none, L0Sst or AllSst" NO_EFFECT),
    {.name = "object_store_cache_options.scan_interval",
     .type = SHL_OPT_DURATION,
     .nullable = true,
     .default_text = "3600s",
     .offset = LATER(cache_scan_interval),
     .help = "how often to look at the folder; none = never" NO_EFFECT},
    U64("object_store_cache_options.max_open_file_handles", LATER(cache_handles), "1000", 1,
        "open files" NO_EFFECT),

    TIME("checkpoint_lifetime", LSM(checkpoint_lifetime_ns), "600s",
         "readers: of a managed checkpoint"),
    SIZE("max_memtable_bytes", LSM(max_memtable_bytes), "64MiB", 1,
         "readers: bytes of one table of replayed rows"),
    BOOL("skip_wal_replay", LSM(skip_wal_replay), "false",
         "readers: leave out rows that are only in the WAL"),

    TEXT("root", AT(root),
         "folder or URL that is the bucket; none = the parent folder of the database"),
    TEXT("wal_url", AT(wal_url), "URL of another bucket for wal/"),
    TEXT("merge_operator", AT(merge_operator), SHL_MERGE_OPERATORS),
    TEXT("segment_extractor", AT(segment_extractor),
         "N (first bytes) or slash (up to the first '/')"),
    U32("bloom_bits_per_key", LSM(filter.bits_per_key), "10", 0, "size of the filters; 0 = none"),
    TEXT("bloom_prefix", AT(bloom_prefix),
         "prefixes go into the filters too: N (first bytes) or slash"),
    BOOL("bloom_whole_key", LSM(filter.whole_key), "true", "whole keys go into the filters"),
    {.name = "sst_block_size",
     .type = SHL_OPT_SIZE32,
     .default_text = "4KiB",
     .min = 1024,
     .max = 65536,
     .offset = LSM(sst_block_size_bytes),
     .help = "block of an SSTable: 1, 2, 4 .. 64 KiB"},
    BOOL("sst_block_alignment", LSM(sst_block_alignment), "false",
         "blocks begin at multiples of sst_block_size; SlateDB before 0.18 cannot read them"),
    SIZE("block_cache_bytes", LSM(block_cache_bytes), "512MiB", 0,
         "memory for blocks; 0 = nothing is kept"),
    SIZE("meta_cache_bytes", LSM(meta_cache_bytes), "128MiB", 0,
         "memory for indexes and filters; 0 = nothing is kept"),
    WORD("cache_flushed", LSM(cache_flushed), keeps, "none",
         "what of a new SSTable in L0 is fetched into the caches at once: none, meta (index and "
         "filters) or all"),
    WORD("cache_compacted", LSM(cache_compacted), keeps, "none",
         "the same of a new one in a sorted run"),
    BOOL("strict_ttl", LSM(strict_ttl), "false",
         "reads leave out rows whose time to live is over; else they show until rewritten, as in "
         "SlateDB"),
    SIZE("transaction_log_bytes", LSM(transaction_log_bytes), "64MiB", 0,
         "memory for what others write while transactions are open; the oldest fail when it is "
         "full"),
    SIZE("scan_window_bytes", LSM(scan_window_bytes), "1MiB", 4096, "largest read-ahead of a scan"),
    WORD("wal_flush", LSM(wal_flush), wal_flushes, "adaptive",
         "adaptive: a waiting put starts a flush; interval: only flush_interval does, as in "
         "SlateDB"),
    TEXT("transformer", AT(transformer),
         "aes-256-gcm:file:PATH or aes-256-gcm:env:NAME: blocks are encrypted with a key of 32 "
         "bytes (raw, "
         "hex, base64); xor:HH: every byte is XORed with HH"),
};

const struct shl_optable shl_api_table = {.opts = opts, .count = SHL_COUNT_OF(opts)};
