/* Metrics of a handle, compactor or collector as text, by SlateDB's names (slatedb-surface 5) where the thing is the same, else "shale.". */
#include "api/metrics.h"

#include "api/api.h"
#include "api/db.h"
#include "base/assert.h"
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"

#include <shale/metrics.h>

#include <inttypes.h>

void shale_db_store_counts(shale_db *db, shale_store_counts *out)
{
    shl_api_stack_give_counts(db != NULL ? &db->stack : NULL, out);
}

void shale_text_free(char *text)
{
    env_free(text);
}

#define LABELS_MAX 4
#define VALUES_MAX 192

struct value {
    const char *name;
    const char *help;
    shale_metric_kind kind;
    uint64_t n;
    const char *labels[LABELS_MAX]; /* names; NULL: no more */
    const char *texts[LABELS_MAX];
    const struct shl_kind_counts *times; /* of a histogram */
};

struct values {
    struct value items[VALUES_MAX];
    size_t count;
    /* items point into these */
    struct shl_lsm_metrics m;
    struct shl_store_counts stores[2]; /* main, wal */
    size_t store_count;
};

static struct value *add(struct values *v, shale_metric_kind kind, const char *name,
                         const char *help, uint64_t n)
{
    SHL_ASSERT(v->count < VALUES_MAX);
    struct value *out = &v->items[v->count++];
    *out = (struct value){.name = name, .help = help, .kind = kind, .n = n};
    return out;
}

static void counter(struct values *v, const char *name, const char *help, uint64_t n)
{
    (void)add(v, SHALE_METRIC_COUNTER, name, help, n);
}

static void gauge(struct values *v, const char *name, const char *help, uint64_t n)
{
    (void)add(v, SHALE_METRIC_GAUGE, name, help, n);
}

static void labelled(struct values *v, const char *name, const char *help, const char *label,
                     const char *text, uint64_t n)
{
    struct value *out = add(v, SHALE_METRIC_COUNTER, name, help, n);
    out->labels[0] = label;
    out->texts[0] = text;
}

/* A call of the store, in SlateDB's words. */
static const struct {
    const char *op, *api;
    bool timed; /* SlateDB does not time lists */
} calls[SHL_KINDS] = {[SHL_KIND_PUT] = {"put", "put", true},
                      [SHL_KIND_GET] = {"get", "get", true},
                      [SHL_KIND_HEAD] = {"get", "head", true},
                      [SHL_KIND_LIST] = {"get", "list", false},
                      [SHL_KIND_DELETE] = {"delete", "delete", true},
                      [SHL_KIND_COPY] = {"put", "copy", true},
                      [SHL_KIND_UPLOAD_START] = {"put", "multipart_init", true},
                      [SHL_KIND_UPLOAD_PART] = {"put", "multipart_part", true},
                      [SHL_KIND_UPLOAD_COMPLETE] = {"put", "multipart_complete", true}};

static struct value *of_call(struct values *v, shale_metric_kind kind, const char *name,
                             const char *help, const char *component, size_t store, size_t call,
                             uint64_t n)
{
    static const char *const types[] = {"main", "wal"};
    struct value *out = add(v, kind, name, help, n);
    *out = (struct value){.name = name,
                          .help = help,
                          .kind = kind,
                          .n = n,
                          .labels = {"component", "store_type", "op", "api"},
                          .texts = {component, types[store], calls[call].op, calls[call].api}};
    return out;
}

static void add_requests(struct values *v, const char *component, const shale_store_counts *sum)
{
    for (size_t i = 0; i < v->store_count; i++)
        for (size_t k = 0; k < SHL_KINDS; k++)
            (void)of_call(v, SHALE_METRIC_COUNTER, "slatedb.object_store.request_count",
                          "requests to the object store", component, i, k,
                          v->stores[i].kinds[k].requests);
    for (size_t i = 0; i < v->store_count; i++)
        for (size_t k = 0; k < SHL_KINDS; k++)
            (void)of_call(v, SHALE_METRIC_COUNTER, "slatedb.object_store.error_count",
                          "requests that failed", component, i, k, v->stores[i].kinds[k].errors);
    for (size_t i = 0; i < v->store_count; i++)
        for (size_t k = 0; k < SHL_KINDS; k++)
            if (calls[k].timed)
                of_call(v, SHALE_METRIC_HISTOGRAM, "slatedb.object_store.request_duration_seconds",
                        "how long requests took", component, i, k, v->stores[i].kinds[k].calls)
                    ->times = &v->stores[i].kinds[k];
    counter(v, "shale.object_store.sent_bytes", "bytes of bodies sent", sum->bytes_up);
    counter(v, "shale.object_store.received_bytes", "bytes of bodies received", sum->bytes_down);
}

static void cache_access(struct values *v, const char *entry, uint64_t hits, uint64_t misses)
{
    for (int hit = 0; hit < 2; hit++) {
        struct value *out = add(v, SHALE_METRIC_COUNTER, "slatedb.db_cache.access_count",
                                "looks for something in the caches", hit ? hits : misses);
        out->labels[0] = "entry_kind";
        out->texts[0] = entry;
        out->labels[1] = "result";
        out->texts[1] = hit ? "hit" : "miss";
    }
}

static const char operands_name[] = "slatedb.merge_operator_operands";
static const char operands_help[] = "merge operands that were folded";

static void add_reads(struct values *v, const struct shl_lsm_metrics *m)
{
    static const char name[] = "slatedb.db.request_count", help[] = "calls of the handle";
    labelled(v, name, help, "op", "get", m->gets);
    labelled(v, name, help, "op", "scan", m->scans);
    labelled(v, name, help, "op", "flush", m->counts.flush_requests + m->counts.wal_flush_requests);
    labelled(v, "slatedb.db.sst_filter_positive_count", "filters that let a key through", "kind",
             "point", m->filter_positive);
    labelled(v, "slatedb.db.sst_filter_positive_count", "filters that let a key through", "kind",
             "prefix", m->prefix_positive);
    labelled(v, "slatedb.db.sst_filter_positive_count", "filters that let a key through", "kind",
             "range", 0); /* none is asked for a range */
    labelled(v, "slatedb.db.sst_filter_negative_count", "filters that spared an SSTable", "kind",
             "point", m->filter_negative);
    labelled(v, "slatedb.db.sst_filter_negative_count", "filters that spared an SSTable", "kind",
             "prefix", m->prefix_negative);
    labelled(v, "slatedb.db.sst_filter_negative_count", "filters that spared an SSTable", "kind",
             "range", 0);
    labelled(v, "slatedb.db.sst_filter_false_positive_count",
             "filters that let a key through which was not there", "kind", "point",
             m->filter_false);
    cache_access(v, "data_block", m->cache_hits, m->cache_misses);
    cache_access(v, "filter", m->filter_hits, m->filter_misses);
    cache_access(v, "index", m->index_hits, m->index_misses);
    cache_access(v, "stats", 0, 0); /* no read uses them */
    counter(v, "slatedb.db_cache.error_count", "blocks, indexes and filters that were not fetched",
            m->cache_errors);
    labelled(v, operands_name, operands_help, "path", "read", m->operands_read);
    labelled(v, operands_name, operands_help, "path", "flush", m->counts.operands_flush);
    labelled(v, operands_name, operands_help, "path", "compact", m->compactor.operands);
}

static void add_writes(struct values *v, const struct shl_lsm_metrics *m)
{
    const struct shl_lsm_counts *c = &m->counts;
    counter(v, "slatedb.db.write_ops", "rows written", c->write_ops);
    counter(v, "slatedb.db.write_batch_count", "commits", c->write_batches);
    counter(v, "slatedb.db.backpressure_count", "times that a write waited for room in memory",
            c->backpressure);
    counter(v, "slatedb.db.memtable_write_bytes", "bytes of keys and values written",
            c->memtable_bytes_written);
    counter(v, "slatedb.db.immutable_memtable_flushes", "memtables that went to L0",
            c->memtables_flushed);
    labelled(v, "slatedb.db.l0_stall_count", "memtables that waited for room in L0", "type",
             "num_ssts", c->l0_stalls_count);
    labelled(v, "slatedb.db.l0_stall_count", "memtables that waited for room in L0", "type",
             "num_ssts_per_key", c->l0_stalls_per_key);
    counter(v, "slatedb.db.l0_flush_bytes", "bytes of SSTables written to L0", c->l0_flush_bytes);
    counter(v, "slatedb.wal.wal_buffer_flushes", "WAL objects written", c->wal_flushes);
    counter(v, "slatedb.wal.wal_buffer_flush_requests", "calls that asked for a WAL object",
            c->wal_flush_requests);
    counter(v, "slatedb.wal.wal_flush_bytes", "encoded bytes of rows in WAL objects",
            c->wal_flush_bytes);
    gauge(v, "slatedb.wal.wal_buffer_estimated_bytes", "encoded bytes that no WAL object holds",
          m->wal_buffer_bytes);
    counter(v, "slatedb.memtable_flush.memtable_freeze_count", "memtables frozen", c->freezes);
    counter(v, "slatedb.memtable_flush.checkpoint_request_count", "checkpoints that were asked for",
            c->checkpoint_requests);
    counter(v, "slatedb.memtable_flush.flush_request_count", "calls that asked for a flush to L0",
            c->flush_requests);
    counter(v, "slatedb.memtable_flush.l0_upload_count", "SSTables uploaded to L0", c->l0_uploads);
    counter(v, "slatedb.memtable_flush.l0_flush_count", "memtables that went to L0",
            c->memtables_flushed);
    counter(v, "slatedb.memtable_flush.manifest_refresh_count", "looks for a newer manifest",
            c->manifest_refreshes);
    counter(v, "shale.db.transaction_count", "transactions that ended", c->transactions);
    counter(v, "shale.db.transaction_conflict_count", "transactions that lost", c->conflicts);
    gauge(v, "shale.db.open_transaction_count", "transactions that are open", m->open_transactions);
    gauge(v, "shale.db.open_snapshot_count", "snapshots that are open", m->snapshots);
    gauge(v, "shale.db.transaction_log_bytes", "memory for what others write meanwhile",
          m->conflict_log_bytes);
}

static void of_worker(struct values *v, shale_metric_kind kind, const char *name, const char *help,
                      const struct shl_compactor_counts *c, uint64_t n)
{
    struct value *out = add(v, kind, name, help, n);
    out->labels[0] = "worker_id";
    out->texts[0] = c->worker_id;
}

static void add_compactor(struct values *v, const struct shl_compactor_counts *c)
{
    static const char purged[] = "slatedb.compactor.expired_entries_purged";
    static const char purged_help[] = "expired rows that compactions took out";
    gauge(v, "slatedb.compactor.epoch", "epoch of the compactor, 0 while it is not needed",
          c->epoch);
    gauge(v, "slatedb.compactor.last_compaction_timestamp_sec",
          "Unix time of the newest compaction in the manifest, 0 for none", c->last_commit_s);
    gauge(v, "slatedb.compactor.total_bytes_being_compacted", "size of the inputs being merged",
          c->input_bytes);
    gauge(v, "slatedb.compactor.total_throughput_bytes_per_sec",
          "keys and values read a second by the compactions that run", c->bytes_per_s);
    counter(v, "slatedb.compactor.jobs_claimed", "compactions begun", c->claimed);
    counter(v, "slatedb.compactor.jobs_reclaimed",
            "compactions taken from workers that were silent", c->reclaimed);
    counter(v, "slatedb.compactor.incremental_released_bytes",
            "bytes of SSTables that incremental commits made superfluous", c->released_bytes);
    labelled(v, purged, purged_help, "entry_type", "value", c->purged_values);
    labelled(v, purged, purged_help, "entry_type", "merge", c->purged_operands);
    of_worker(v, SHALE_METRIC_GAUGE, "slatedb.compactor.worker_last_heartbeat_ms",
              "Unix time of the newest sign of life in milliseconds, 0 for none", c,
              c->last_heartbeat_ms);
    of_worker(v, SHALE_METRIC_COUNTER, "slatedb.compactor.bytes_compacted",
              "bytes of blocks that compactions wrote", c, c->bytes);
    of_worker(v, SHALE_METRIC_COUNTER, "shale.compactor.blocks_copied",
              "blocks that compactions took over as they were stored", c, c->copied_blocks);
    of_worker(v, SHALE_METRIC_COUNTER, "slatedb.compactor.ssts_written",
              "SSTables that compactions wrote", c, c->ssts);
    of_worker(v, SHALE_METRIC_GAUGE, "slatedb.compactor.running_compactions",
              "compactions that are being merged", c, c->running);
}

static void add_collector(struct values *v, const struct shl_lsm_gc_counts *c)
{
    static const char *const resources[SHL_GC_TASKS] = {
        [SHL_GC_MANIFEST] = "manifest",       [SHL_GC_WAL] = "wal",
        [SHL_GC_WAL_FENCE] = "wal_fence",     [SHL_GC_COMPACTED] = "compacted",
        [SHL_GC_COMPACTIONS] = "compactions", [SHL_GC_DETACH] = "detach"};
    static const char versions[] = "slatedb.gc.version_count";
    for (size_t i = 0; i < SHL_GC_TASKS; i++)
        labelled(v, "slatedb.gc.deleted_count", "objects that the collector deleted", "resource",
                 resources[i], c->deleted[i]);
    counter(v, "slatedb.gc.count", "passes of the collector", c->passes);
    for (int i = 0; i < 2; i++) {
        struct value *out = add(v, SHALE_METRIC_GAUGE, versions, "versions that the last pass left",
                                i == 0 ? c->manifest_versions : c->compactions_versions);
        out->labels[0] = "resource";
        out->texts[0] = resources[i == 0 ? SHL_GC_MANIFEST : SHL_GC_COMPACTIONS];
    }
}

static void add_state(struct values *v, const shale_db_status *s, const struct shl_lsm_metrics *m)
{
    gauge(v, "slatedb.db.total_mem_size_bytes", "memory of memtables", s->memtable_bytes);
    gauge(v, "slatedb.db.l0_sst_count", "SSTables in L0", s->l0_count);
    gauge(v, "slatedb.db.segment_max_l0_sst_count", "SSTables in L0 of one segment, at most",
          m->segment_l0_max);
    gauge(v, "slatedb.db.sorted_run_count", "sorted runs", s->run_count);
    gauge(v, "slatedb.db.sst_view_count", "views of SSTables", m->sst_view_count);
    gauge(v, "slatedb.db.sst_count", "SSTables", m->sst_count);
    gauge(v, "slatedb.db.external_db_count", "databases that SSTables are borrowed from",
          m->external_db_count);
    gauge(v, "shale.db.cache_bytes", "memory of cached blocks", s->cache_bytes);
    gauge(v, "shale.db.manifest_id", "manifest in use", s->manifest_id);
    gauge(v, "shale.db.writer_epoch", "epoch of the writer", s->writer_epoch);
    gauge(v, "shale.db.committed_seq", "newest sequence number that reads see", s->committed_seq);
    gauge(v, "shale.db.durable_seq", "newest sequence number in the store", s->durable_seq);
    gauge(v, "shale.db.last_wal_id", "newest WAL object", s->last_wal_id);
    counter(v, "shale.compactor.compactions_done", "compactions finished", s->compactions_done);
}

/* Owned by the caller (env_free); NULL: out of memory. */
static struct values *gather(shale_db *db)
{
    struct values *v = env_alloc(sizeof *v);
    shale_store_counts c = {.struct_size = sizeof c};
    shale_db_status s = {.struct_size = sizeof s};
    if (v == NULL)
        return NULL;
    v->count = 0;
    v->m = (struct shl_lsm_metrics){0};
    shale_db_store_counts(db, &c);
    shale_db_status_get(db, &s);
    if (db != NULL)
        shl_lsm_metrics(db->lsm, &v->m);
    v->store_count = db != NULL ? shl_api_stack_read(&db->stack, v->stores) : 0;
    add_requests(v, s.writer_epoch > 0 ? "db" : "reader", &c);
    add_reads(v, &v->m);
    add_writes(v, &v->m);
    add_state(v, &s, &v->m);
    if (v->m.has_compactor)
        add_compactor(v, &v->m.compactor);
    if (v->m.has_collector)
        add_collector(v, &v->m.gc);
    return v;
}

static struct values *gather_role(const struct shl_api_measured *of)
{
    struct values *v = env_alloc(sizeof *v);
    shale_store_counts c = {.struct_size = sizeof c};
    if (v == NULL)
        return NULL;
    v->count = 0;
    v->m = (struct shl_lsm_metrics){0};
    shl_api_stack_counts(of->stack, &c);
    v->store_count = shl_api_stack_read(of->stack, v->stores);
    add_requests(v, of->component, &c);
    if (of->compactor != NULL) {
        v->m.compactor = *of->compactor;
        labelled(v, operands_name, operands_help, "path", "compact", v->m.compactor.operands);
        add_compactor(v, &v->m.compactor);
    }
    if (of->gc != NULL) {
        v->m.gc = *of->gc;
        add_collector(v, &v->m.gc);
    }
    return v;
}

/* shl_duration_borders_us in seconds. */
static const double borders[SHL_DURATION_BORDERS] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,   1,    2.5,   5,    10};

static void hand_out(struct values *take_v, bool (*visit)(void *ctx, const shale_metric *metric),
                     void *ctx)
{
    bool more = true;
    struct values *v = take_v;
    for (size_t i = 0; v != NULL && i < v->count && more; i++) {
        const struct value *it = &v->items[i];
        shale_metric m = {.name = it->name, .help = it->help, .kind = it->kind, .value = it->n};
        if (it->times != NULL) {
            m.sum = (double)it->times->total_ns / (double)ENV_NS_PER_SEC;
            m.border_count = SHL_DURATION_BORDERS;
            m.borders = borders;
            m.buckets = it->times->durations;
        }
        for (size_t k = 0; k < LABELS_MAX && it->labels[k] != NULL; k++) {
            m.label_names[k] = it->labels[k];
            m.label_values[k] = it->texts[k];
            m.label_count++;
        }
        more = visit(ctx, &m);
    }
    env_free(v);
}

void shale_db_metrics_each(shale_db *db, bool (*visit)(void *ctx, const shale_metric *metric),
                           void *ctx)
{
    if (visit != NULL)
        hand_out(gather(db), visit, ctx);
}

void shl_api_metrics_each(const struct shl_api_measured *of,
                          bool (*visit)(void *ctx, const shale_metric *metric), void *ctx)
{
    if (visit != NULL)
        hand_out(gather_role(of), visit, ctx);
}

static void json_labels(struct shl_json_writer *w, const struct value *v)
{
    if (v->labels[0] == NULL)
        return;
    shl_json_key(w, "labels");
    shl_json_object(w);
    for (size_t k = 0; k < LABELS_MAX && v->labels[k] != NULL; k++) {
        shl_json_key(w, v->labels[k]);
        shl_json_str(w, v->texts[k]);
    }
    shl_json_object_end(w);
}

static const char *kind_name(shale_metric_kind kind)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return names[kind];
}

static void json_histogram(struct shl_json_writer *w, const struct value *v)
{
    shl_json_key(w, "count");
    shl_json_u64(w, v->n);
    shl_json_key(w, "sum");
    shl_json_f64(w, (double)v->times->total_ns / (double)ENV_NS_PER_SEC);
    shl_json_key(w, "boundaries");
    shl_json_array(w);
    for (size_t i = 0; i < SHL_DURATION_BORDERS; i++)
        shl_json_f64(w, borders[i]);
    shl_json_array_end(w);
    shl_json_key(w, "bucket_counts");
    shl_json_array(w);
    for (size_t i = 0; i <= SHL_DURATION_BORDERS; i++)
        shl_json_u64(w, v->times->durations[i]);
    shl_json_array_end(w);
}

static char *as_json(struct values *take_values)
{
    struct values *values = take_values;
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shale_error err;
    if (values == NULL)
        return NULL;
    shl_json_begin(&w, &text, &err);
    shl_json_object(&w);
    shl_json_key(&w, "metrics");
    shl_json_array(&w);
    for (size_t i = 0; i < values->count; i++) {
        const struct value *v = &values->items[i];
        shl_json_object(&w);
        shl_json_key(&w, "name");
        shl_json_str(&w, v->name);
        shl_json_key(&w, "kind");
        shl_json_str(&w, kind_name(v->kind));
        json_labels(&w, v);
        if (v->times != NULL) {
            json_histogram(&w, v);
        } else {
            shl_json_key(&w, "value");
            shl_json_u64(&w, v->n);
        }
        shl_json_object_end(&w);
    }
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    env_free(values);
    if (shl_json_finish(&w) != SHALE_OK || shl_str_terminate(&text, &err) != SHALE_OK) {
        shl_buf_free(&text);
        return NULL;
    }
    return (char *)text.data;
}

char *shale_db_metrics_json(shale_db *db)
{
    return as_json(gather(db));
}

char *shl_api_metrics_json(const struct shl_api_measured *of)
{
    return as_json(gather_role(of));
}

/* Prometheus has no dots in names. */
static void underscored(char dst[64], const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0' && n < 63; n++)
        dst[n] = name[n] == '.' ? '_' : name[n];
    dst[n] = '\0';
}

/* name{a="b",le="1"}; le NULL: without. */
static shale_code prometheus_name(const char *name, const char *suffix, const struct value *v,
                                  const char *le, struct shl_buf *out, shale_error *err)
{
    char open = '{';
    shale_code rc = shl_str_printf(out, err, "%s%s", name, suffix);
    for (size_t k = 0; k < LABELS_MAX && v->labels[k] != NULL && rc == SHALE_OK; k++, open = ',')
        rc = shl_str_printf(out, err, "%c%s=\"%s\"", open, v->labels[k], v->texts[k]);
    if (rc == SHALE_OK && le != NULL)
        rc = shl_str_printf(out, err, "%cle=\"%s\"", open, le);
    if (rc == SHALE_OK && (le != NULL || v->labels[0] != NULL))
        rc = shl_str_append(out, "}", err);
    return rc;
}

static shale_code prometheus_histogram(const char *name, const struct value *v, struct shl_buf *out,
                                       shale_error *err)
{
    uint64_t sum = 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i <= SHL_DURATION_BORDERS && rc == SHALE_OK; i++) {
        char le[16] = "+Inf";
        if (i < SHL_DURATION_BORDERS)
            (void)snprintf(le, sizeof le, "%g", borders[i]);
        sum += v->times->durations[i];
        rc = prometheus_name(name, "_bucket", v, le, out, err);
        if (rc == SHALE_OK)
            rc = shl_str_printf(out, err, " %" PRIu64 "\n", sum);
    }
    if (rc == SHALE_OK)
        rc = prometheus_name(name, "_sum", v, NULL, out, err);
    if (rc == SHALE_OK)
        rc = shl_str_printf(out, err, " %.9g\n",
                            (double)v->times->total_ns / (double)ENV_NS_PER_SEC);
    if (rc == SHALE_OK)
        rc = prometheus_name(name, "_count", v, NULL, out, err);
    return rc == SHALE_OK ? shl_str_printf(out, err, " %" PRIu64 "\n", sum) : rc;
}

static shale_code prometheus_value(const struct value *v, bool first, struct shl_buf *out,
                                   shale_error *err)
{
    char name[64];
    shale_code rc = SHALE_OK;
    underscored(name, v->name);
    if (first)
        rc = shl_str_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, v->help, name,
                            kind_name(v->kind));
    if (rc == SHALE_OK && v->times != NULL)
        return prometheus_histogram(name, v, out, err);
    if (rc == SHALE_OK)
        rc = prometheus_name(name, "", v, NULL, out, err);
    return rc == SHALE_OK ? shl_str_printf(out, err, " %" PRIu64 "\n", v->n) : rc;
}

static char *as_prometheus(struct values *take_values)
{
    struct values *values = take_values;
    struct shl_buf text = {0};
    shale_error err;
    shale_code rc = SHALE_OK;
    if (values == NULL)
        return NULL;
    for (size_t i = 0; i < values->count && rc == SHALE_OK; i++) {
        const struct value *v = &values->items[i];
        rc = prometheus_value(v, i == 0 || strcmp(v->name, v[-1].name) != 0, &text, &err);
    }
    env_free(values);
    if (rc == SHALE_OK)
        rc = shl_str_terminate(&text, &err);
    if (rc != SHALE_OK) {
        shl_buf_free(&text);
        return NULL;
    }
    return (char *)text.data;
}

char *shale_db_metrics_prometheus(shale_db *db)
{
    return as_prometheus(gather(db));
}

char *shl_api_metrics_prometheus(const struct shl_api_measured *of)
{
    return as_prometheus(gather_role(of));
}
