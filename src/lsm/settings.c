#include "lsm/settings.h"

#include "base/env/env.h"
#include <inttypes.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

void shl_gc_settings_default(struct shl_gc_settings *s)
{
    *s = (struct shl_gc_settings){.enabled = true, .boundary_files = true};
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        s->tasks[i] = (struct shl_gc_task_settings){
            .on = true, .interval_ns = 600 * ENV_NS_PER_SEC, .min_age_ns = 300 * ENV_NS_PER_SEC};
    /* A writer that slept must always meet an object at its next WAL id. */
    s->tasks[SHL_GC_WAL_FENCE].dry_run = true;
}

void shl_lsm_settings_default(struct shl_lsm_settings *s)
{
    *s = (struct shl_lsm_settings){
        .flush_interval_ns = 100 * ENV_NS_PER_MS,
        .wal_enabled = true,
        .manifest_poll_interval_ns = ENV_NS_PER_SEC,
        .manifest_update_timeout_ns = 300 * ENV_NS_PER_SEC,
        .min_filter_keys = 1000,
        .l0_sst_size_bytes = 64 * MIB,
        .max_wal_flushes_before_l0_flush = 4096,
        .l0_max_ssts = 8,
        .l0_max_ssts_per_key = 8,
        .l0_flush_parallelism = 4,
        .max_unflushed_bytes = GIB,
        .compression = SHL_COMPRESSION_NONE,
        .default_ttl_ms = SHL_TTL_NONE,
        .object_store_max_retries = SHL_RETRIES_NONE,
        .compactor_enabled = true,
        .compactor_poll_interval_ns = 5 * ENV_NS_PER_SEC,
        .compactor_manifest_timeout_ns = 300 * ENV_NS_PER_SEC,
        .commit_compacted_interval_ns = ENV_NS_PER_SEC,
        .worker_heartbeat_timeout_ns = 30 * ENV_NS_PER_SEC,
        .compactor_max_concurrent = 4,
        .compactor_checkpoint_lifetime_ns = 900 * ENV_NS_PER_SEC,
        .min_compaction_sources = 4,
        .max_compaction_sources = 8,
        .include_size_threshold = 4.0,
        .worker_enabled = true,
        .worker_max_concurrent = 4,
        .worker_poll_interval_ns = 5 * ENV_NS_PER_SEC,
        .worker_heartbeat_interval_ns = 10 * ENV_NS_PER_SEC,
        .max_sst_size_bytes = 256 * MIB,
        .worker_max_fetch_tasks = 4,
        .worker_bytes_to_fetch = 2 * MIB,
        .worker_max_subcompactions = 4,
        .worker_min_filter_keys = 1000,
        .subcompaction_min_bytes = 16 * MIB,
        .sst_block_size_bytes = 4 * KIB,
        .filter = {.bits_per_key = 10, .whole_key = true},
        .wal_flush = SHL_WAL_FLUSH_ADAPTIVE,
        .block_cache_bytes = 512 * MIB,
        .meta_cache_bytes = 128 * MIB,
        .transaction_log_bytes = 64 * MIB,
        .scan_window_bytes = MIB,
        .max_memtable_bytes = 64 * MIB,
        .checkpoint_lifetime_ns = 600 * ENV_NS_PER_SEC,
    };
    shl_gc_settings_default(&s->gc);
}

/* What coordinators and workers wait for: a pause of nothing would make them spin. */
static shale_code check_pauses(const struct shl_lsm_settings *s, shale_error *err)
{
    const struct {
        const char *name;
        uint64_t ns;
    } pauses[] = {
        {"compactor_options.commit_compacted_interval", s->commit_compacted_interval_ns},
        {"compactor_options.worker_heartbeat_timeout", s->worker_heartbeat_timeout_ns},
        {"compactor_options.worker.compactions_poll_interval", s->worker_poll_interval_ns},
        {"compactor_options.worker.heartbeat_interval", s->worker_heartbeat_interval_ns},
    };
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++)
        if (pauses[i].ns < ENV_NS_PER_MS)
            return shl_fail(err, SHALE_INVALID, "%s: it must be at least 1ms", pauses[i].name);
    if (s->worker_heartbeat_timeout_ns <= s->worker_heartbeat_interval_ns)
        return shl_fail(err, SHALE_INVALID,
                        "compactor_options.worker_heartbeat_timeout: it must be longer than "
                        "compactor_options.worker.heartbeat_interval, or no worker keeps a job");
    return SHALE_OK;
}

/* What whoever reads goes by; blocks are also the unit of its requests. */
static shale_code check_reads(const struct shl_lsm_settings *s, shale_error *err)
{
    uint32_t block = s->sst_block_size_bytes;
    if (block < KIB || block > 64 * KIB || (block & (block - 1)) != 0)
        return shl_fail(
            err, SHALE_INVALID,
            "sst_block_size: %" PRIu32 " bytes; it must be 1, 2, 4, 8, 16, 32 or 64 KiB", block);
    if (s->manifest_poll_interval_ns < ENV_NS_PER_MS)
        return shl_fail(err, SHALE_INVALID, "manifest_poll_interval: it must be at least 1ms");
    return SHALE_OK;
}

/* Of SSTables that are made, and when they are merged. */
static shale_code check_compaction(const struct shl_lsm_settings *s, shale_error *err)
{
    bool compressed = s->compression != SHL_COMPRESSION_NONE ||
                      (s->worker_has_codec && s->worker_compression != SHL_COMPRESSION_NONE);
    if (s->sst_block_alignment && compressed)
        return shl_fail(err, SHALE_INVALID,
                        "sst_block_alignment: not together with a compression_codec, whose blocks "
                        "have any length");
    if (s->compactor_poll_interval_ns < ENV_NS_PER_MS)
        return shl_fail(err, SHALE_INVALID,
                        "compactor_options.poll_interval: it must be at least 1ms");
    shale_code rc = check_pauses(s, err);
    if (rc != SHALE_OK)
        return rc;
    if (s->filter.bits_per_key > 100)
        return shl_fail(err, SHALE_INVALID, "bloom_bits_per_key: %" PRIu32 "; it must be 0 to 100",
                        s->filter.bits_per_key);
    if (s->min_compaction_sources < 2 || s->max_compaction_sources < s->min_compaction_sources)
        return shl_fail(err, SHALE_INVALID,
                        "compaction sources: %" PRIu32 " to %" PRIu32
                        "; at least 2, and the maximum not below the minimum",
                        s->min_compaction_sources, s->max_compaction_sources);
    if (!(s->include_size_threshold >= 1.0))
        return shl_fail(err, SHALE_INVALID, "include_size_threshold: it must be at least 1");
    return SHALE_OK;
}

static shale_code check_l0(const struct shl_lsm_settings *s, shale_error *err)
{
    if (s->l0_max_ssts < 1 || s->l0_max_ssts_per_key < 1)
        return shl_fail(err, SHALE_INVALID,
                        "l0_max_ssts and l0_max_ssts_per_key must be at least 1");
    if (s->compactor_enabled && (s->l0_max_ssts < s->min_compaction_sources ||
                                 s->l0_max_ssts_per_key < s->min_compaction_sources))
        return shl_fail(err, SHALE_INVALID,
                        "l0_max_ssts and l0_max_ssts_per_key: %" PRIu32 " and %" PRIu32
                        "; below min_compaction_sources (%" PRIu32 ") writers would wait for ever",
                        s->l0_max_ssts, s->l0_max_ssts_per_key, s->min_compaction_sources);
    return SHALE_OK;
}

static shale_code check_writes(const struct shl_lsm_settings *s, shale_error *err)
{
    for (unsigned i = 0; i < SHL_GC_TASKS; i++)
        if (s->gc.enabled && s->gc.tasks[i].on && s->gc.tasks[i].interval_ns < ENV_NS_PER_MS)
            return shl_fail(err, SHALE_INVALID,
                            "garbage_collector_options: an interval must be at least 1ms");
    if (s->l0_flush_parallelism < 1 || s->l0_flush_parallelism > 64)
        return shl_fail(err, SHALE_INVALID, "l0_flush_parallelism: %" PRIu32 "; it must be 1 to 64",
                        s->l0_flush_parallelism);
    if (s->max_wal_flushes_before_l0_flush < 4096)
        return shl_fail(err, SHALE_INVALID,
                        "max_wal_flushes_before_l0_flush: %" PRIu64 "; it must be at least 4096",
                        s->max_wal_flushes_before_l0_flush);
    if (s->max_unflushed_bytes <= s->l0_sst_size_bytes)
        return shl_fail(err, SHALE_INVALID,
                        "max_unflushed_bytes: %" PRIu64
                        "; it must be greater than l0_sst_size_bytes (%" PRIu64 ")",
                        s->max_unflushed_bytes, s->l0_sst_size_bytes);
    if (s->l0_sst_size_bytes == 0)
        return shl_fail(err, SHALE_INVALID, "l0_sst_size_bytes: it must be greater than 0");
    if (s->default_ttl_ms < 0 && s->default_ttl_ms != SHL_TTL_NONE)
        return shl_fail(err, SHALE_INVALID,
                        "default_ttl_millis: %" PRId64
                        "; below 0 every row would have expired when it is written",
                        s->default_ttl_ms);
    return check_l0(s, err);
}

shale_code shl_lsm_settings_check(const struct shl_lsm_settings *s, enum shl_lsm_role role,
                                  shale_error *err)
{
    shale_code rc = check_reads(s, err);
    if (rc == SHALE_OK && role != SHL_LSM_READS)
        rc = check_compaction(s, err);
    if (rc == SHALE_OK && role == SHL_LSM_WRITES)
        rc = check_writes(s, err);
    return rc;
}
