/* Metrics of a handle as text, by SlateDB's names (slatedb-surface 5) where the thing is the same, else "shale.". */
#include "api/api.h"
#include "api/db.h"
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"

#include <shale/metrics.h>

#include <inttypes.h>

void shale_db_store_counts(shale_db *db, shale_store_counts *out)
{
    shale_store_counts ours = {.struct_size = sizeof ours};
    if (out == NULL || out->struct_size < sizeof out->struct_size)
        return;
    if (db != NULL)
        shl_api_stack_counts(&db->stack, &ours);
    shl_api_give_struct(out, &ours, sizeof ours);
}

void shale_text_free(char *text)
{
    env_free(text);
}

struct value {
    const char *name;
    const char *help;
    bool is_counter;
    const char *api; /* label api="..", or NULL */
    uint64_t n;
};

#define VALUES_MAX 24

static size_t gather(shale_db *db, struct value *out)
{
    shale_store_counts c = {.struct_size = sizeof c};
    shale_db_status s = {.struct_size = sizeof s};
    shale_db_store_counts(db, &c);
    shale_db_status_get(db, &s);
    static const char requests[] = "slatedb.object_store.request_count";
    const struct value values[] = {
        {requests, "requests to the object store", true, "put", c.put},
        {requests, "requests to the object store", true, "get", c.get},
        {requests, "requests to the object store", true, "head", c.head},
        {requests, "requests to the object store", true, "list", c.list},
        {requests, "requests to the object store", true, "delete", c.del},
        {requests, "requests to the object store", true, "copy", c.copy},
        {"slatedb.object_store.error_count", "requests that failed", true, NULL, c.errors},
        {"shale.object_store.sent_bytes", "bytes of bodies sent", true, NULL, c.bytes_up},
        {"shale.object_store.received_bytes", "bytes of bodies received", true, NULL, c.bytes_down},
        {"slatedb.db.total_mem_size_bytes", "memory of memtables", false, NULL, s.memtable_bytes},
        {"slatedb.db.l0_sst_count", "SSTables in L0", false, NULL, s.l0_count},
        {"slatedb.db.sorted_run_count", "sorted runs", false, NULL, s.run_count},
        {"shale.db.cache_bytes", "memory of cached blocks", false, NULL, s.cache_bytes},
        {"shale.db.manifest_id", "manifest in use", false, NULL, s.manifest_id},
        {"shale.db.writer_epoch", "epoch of the writer", false, NULL, s.writer_epoch},
        {"shale.db.committed_seq", "newest sequence number that reads see", false, NULL,
         s.committed_seq},
        {"shale.db.durable_seq", "newest sequence number in the store", false, NULL, s.durable_seq},
        {"shale.db.last_wal_id", "newest WAL object", false, NULL, s.last_wal_id},
        {"shale.compactor.compactions_done", "compactions finished", true, NULL,
         s.compactions_done},
    };
    _Static_assert(SHL_COUNT_OF(values) <= VALUES_MAX, "the caller's array holds all values");
    memcpy(out, values, sizeof values);
    return SHL_COUNT_OF(values);
}

char *shale_db_metrics_json(shale_db *db)
{
    struct value values[VALUES_MAX];
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shale_error err;
    size_t count = gather(db, values);
    shl_json_begin(&w, &text, &err);
    shl_json_object(&w);
    shl_json_key(&w, "metrics");
    shl_json_array(&w);
    for (size_t i = 0; i < count; i++) {
        shl_json_object(&w);
        shl_json_key(&w, "name");
        shl_json_str(&w, values[i].name);
        shl_json_key(&w, "kind");
        shl_json_str(&w, values[i].is_counter ? "counter" : "gauge");
        if (values[i].api != NULL) {
            shl_json_key(&w, "labels");
            shl_json_object(&w);
            shl_json_key(&w, "api");
            shl_json_str(&w, values[i].api);
            shl_json_object_end(&w);
        }
        shl_json_key(&w, "value");
        shl_json_u64(&w, values[i].n);
        shl_json_object_end(&w);
    }
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    if (shl_json_finish(&w) != SHALE_OK || shl_str_terminate(&text, &err) != SHALE_OK) {
        shl_buf_free(&text);
        return NULL;
    }
    return (char *)text.data;
}

/* Prometheus has no dots in names. */
static void underscored(char dst[64], const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0' && n < 63; n++)
        dst[n] = name[n] == '.' ? '_' : name[n];
    dst[n] = '\0';
}

static shale_code prometheus_value(const struct value *v, bool first, struct shl_buf *out,
                                   shale_error *err)
{
    char name[64];
    shale_code rc = SHALE_OK;
    underscored(name, v->name);
    if (first)
        rc = shl_str_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, v->help, name,
                            v->is_counter ? "counter" : "gauge");
    if (rc != SHALE_OK)
        return rc;
    if (v->api != NULL)
        return shl_str_printf(out, err, "%s{api=\"%s\"} %" PRIu64 "\n", name, v->api, v->n);
    return shl_str_printf(out, err, "%s %" PRIu64 "\n", name, v->n);
}

char *shale_db_metrics_prometheus(shale_db *db)
{
    struct value values[VALUES_MAX];
    struct shl_buf text = {0};
    shale_error err;
    shale_code rc = SHALE_OK;
    size_t count = gather(db, values);
    for (size_t i = 0; i < count && rc == SHALE_OK; i++)
        rc = prometheus_value(&values[i], i == 0 || strcmp(values[i].name, values[i - 1].name) != 0,
                              &text, &err);
    if (rc == SHALE_OK)
        rc = shl_str_terminate(&text, &err);
    if (rc != SHALE_OK) {
        shl_buf_free(&text);
        return NULL;
    }
    return (char *)text.data;
}
