/* Compactions files and their jobs as SlateDB's tool prints them (slatedb-surface 4). */
#include "lsm/compactor/jobs.h"
#include "lsm/inspect/inspect.h"
#include "lsm/manifest_store.h"

#include <inttypes.h>

static void key_u64(struct shl_json_writer *w, const char *key, uint64_t value)
{
    shl_json_key(w, key);
    shl_json_u64(w, value);
}

static void spec(struct shl_json_writer *w, const struct shl_compaction *job)
{
    bool tiered = job->kind == SHL_COMPACTION_TIERED;
    shl_json_object(w);
    shl_json_key(w, tiered ? "Tiered" : "DrainSegment");
    shl_json_object(w);
    shl_json_key(w, "segment");
    shl_inspect_byte_array(w, shl_buf_view(&job->segment));
    shl_json_key(w, "sources");
    shl_json_array(w);
    for (size_t i = 0; i < job->l0_view_ids.count; i++) {
        shl_json_object(w);
        shl_json_key(w, "SstView");
        shl_inspect_ulid(w, job->l0_view_ids.items[i]);
        shl_json_object_end(w);
    }
    for (size_t i = 0; i < job->runs.count; i++) {
        shl_json_object(w);
        key_u64(w, "SortedRun", job->runs.items[i]);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    if (tiered)
        key_u64(w, "destination", job->destination);
    shl_json_object_end(w);
    shl_json_object_end(w);
}

static uint64_t outputs(struct shl_json_writer *w, const shl_sst_descs *ssts)
{
    uint64_t bytes = 0;
    shl_json_key(w, "output_ssts");
    shl_json_array(w);
    for (size_t i = 0; i < ssts->count; i++) {
        const struct shl_sst_desc *d = ssts->items[i];
        shl_json_object(w);
        shl_json_key(w, "id");
        shl_inspect_sst_id(w, d->id);
        key_u64(w, "format_version", d->format_version);
        shl_json_key(w, "info");
        shl_inspect_sst_info(w, &d->info);
        shl_json_object_end(w);
        bytes += d->info.index_offset + d->info.index_len;
    }
    shl_json_array_end(w);
    return bytes;
}

static void worker(struct shl_json_writer *w, const struct shl_compaction *job)
{
    shl_json_key(w, "worker");
    if (job->worker_id == NULL) {
        shl_json_null(w);
        return;
    }
    shl_json_object(w);
    shl_json_key(w, "worker_id");
    shl_json_str(w, job->worker_id);
    key_u64(w, "last_heartbeat_ms", job->worker_heartbeat_ms);
    shl_json_object_end(w);
}

static void context(struct shl_json_writer *w, const struct shl_compaction *job)
{
    shl_json_key(w, "ctx");
    if (!job->has_context) {
        shl_json_null(w);
        return;
    }
    shl_json_object(w);
    key_u64(w, "retention_min_seq", job->retention_min_seq);
    shl_json_key(w, "subcompactions");
    shl_json_array(w);
    for (size_t i = 0; i < job->subcompactions.count; i++) {
        const struct shl_subcompaction *s = &job->subcompactions.items[i];
        shl_json_object(w);
        shl_json_key(w, "range");
        shl_json_object(w);
        shl_json_key(w, "start");
        shl_inspect_bound(w, s->range.start.type, shl_buf_view(&s->range.start.key));
        shl_json_key(w, "end");
        shl_inspect_bound(w, s->range.end.type, shl_buf_view(&s->range.end.key));
        shl_json_object_end(w);
        (void)outputs(w, &s->outputs);
        shl_json_key(w, "status");
        shl_json_str(w, s->completed ? "Completed" : "InProgress");
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    shl_json_object_end(w);
}

/* Progress is not stored; what is written counts. */
static uint64_t bytes_processed(const struct shl_compaction *job)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < job->outputs.count; i++)
        bytes += job->outputs.items[i]->info.index_offset;
    for (size_t i = 0; i < job->subcompactions.count; i++)
        for (size_t k = 0; k < job->subcompactions.items[i].outputs.count; k++)
            bytes += job->subcompactions.items[i].outputs.items[k]->info.index_offset;
    return bytes;
}

void shl_inspect_planned(struct shl_json_writer *w, const struct shl_compaction *job,
                         uint64_t source_bytes)
{
    shl_json_object(w);
    shl_json_key(w, "spec");
    spec(w, job);
    key_u64(w, "source_bytes", source_bytes);
    shl_json_key(w, "status");
    if (job->id.hi == 0 && job->id.lo == 0)
        shl_json_null(w);
    else
        shl_json_str(w, shl_job_status_name(job->status));
    shl_json_object_end(w);
}

void shl_inspect_job(struct shl_json_writer *w, const struct shl_compaction *job)
{
    shl_json_object(w);
    shl_json_key(w, "id");
    shl_inspect_ulid(w, job->id);
    shl_json_key(w, "spec");
    spec(w, job);
    key_u64(w, "bytes_processed", bytes_processed(job));
    shl_json_key(w, "status");
    shl_json_str(w, shl_job_status_name(job->status));
    (void)outputs(w, &job->outputs);
    worker(w, job);
    context(w, job);
    shl_json_object_end(w);
}

/* A database that was never compacted, or none at all. */
static shale_code none_here(const struct shl_inspect *in, shale_error *err)
{
    struct shl_inspected x = {0};
    shale_code rc = shl_inspect_load(in, 0, &x, err);
    if (rc == SHALE_OK)
        rc = shl_fail(err, SHALE_NOT_FOUND, "no compactions yet: %s has no %s%scompactions/",
                      in->store->name, x.paths.r1, x.paths.r1[0] != '\0' ? "/" : "");
    shl_inspected_deinit(&x);
    return rc;
}

/* NOT_FOUND: there is no such file; the words are the caller's. */
static shale_code load_file(const struct shl_inspect *in, uint64_t id, uint64_t *out_id,
                            struct shl_compactions **out, shale_error *err)
{
    struct shl_db_paths paths = {0};
    struct shl_sequenced versions;
    struct shl_buf body = {0};
    bool changed;
    shale_code rc;
    SHL_TRY(shl_db_paths_init(&paths, in->path, err));
    shl_sequenced_init(&versions, in->store, &paths, "compactions", NULL);
    rc = id == 0 ? shl_sequenced_load(&versions, &body, &changed, err)
                 : shl_sequenced_read(&versions, id, &body, err);
    SHL_TRY(rc);
    *out_id = id == 0 ? versions.id : id;
    rc = shl_compactions_decode(shl_buf_view(&body), out, err);
    if (rc != SHALE_OK)
        shl_err_prefix(err, "%s/compactions/%020" PRIu64 ".compactions", paths.r1, *out_id);
out:
    shl_buf_free(&body);
    shl_db_paths_deinit(&paths);
    return rc;
}

static shale_code load(const struct shl_inspect *in, uint64_t id, uint64_t *out_id,
                       struct shl_compactions **out, shale_error *err)
{
    shale_code rc = load_file(in, id, out_id, out, err);
    if (rc != SHALE_NOT_FOUND)
        return rc;
    if (id == 0)
        return none_here(in, err);
    return shl_fail(err, SHALE_NOT_FOUND, "no compactions file %" PRIu64 " in %s", id,
                    in->store->name);
}

shale_code shl_inspect_compactions(const struct shl_inspect *in, uint64_t id,
                                   struct shl_json_writer *w, shale_error *err)
{
    struct shl_compactions *c = NULL;
    char name[SHL_ULID_TEXT];
    shale_code rc = load(in, id, &id, &c, err);
    if (rc != SHALE_OK)
        return rc;
    shl_json_object(w);
    key_u64(w, "id", id);
    key_u64(w, "compactor_epoch", c->compactor_epoch);
    shl_json_key(w, "recent_compactions");
    shl_json_object(w);
    for (size_t i = 0; i < c->jobs.count; i++) {
        shl_ulid_format(c->jobs.items[i].id, name);
        shl_json_key(w, name);
        shl_inspect_job(w, &c->jobs.items[i]);
    }
    shl_json_object_end(w);
    shl_json_object_end(w);
    shl_compactions_free(c);
    return SHALE_OK;
}

shale_code shl_inspect_compaction(const struct shl_inspect *in, const char *ulid,
                                  struct shl_json_writer *w, shale_error *err)
{
    struct shl_compactions *c = NULL;
    struct shl_ulid id;
    uint64_t version;
    if (!shl_ulid_parse(shl_slice_str(ulid), &id))
        return shl_fail(err, SHALE_INVALID, "\"%.40s\" is not the id of a compaction (a ULID)",
                        ulid);
    shale_code rc = load(in, 0, &version, &c, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_compaction *job = shl_jobs_find(c, id);
    if (job != NULL)
        shl_inspect_job(w, job);
    else
        rc = shl_fail(err, SHALE_NOT_FOUND, "no compaction %s in compactions file %" PRIu64, ulid,
                      version);
    shl_compactions_free(c);
    return rc;
}

shale_code shl_inspect_open_jobs(const struct shl_inspect *in, struct shl_json_writer *w,
                                 shale_error *err)
{
    struct shl_compactions *c = NULL;
    uint64_t version;
    shale_code rc = load_file(in, 0, &version, &c, err);
    if (rc == SHALE_CORRUPTION) { /* the rest of the database may be sound */
        shl_json_null(w);
        return SHALE_OK;
    }
    if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
        return rc;
    shl_json_array(w);
    for (size_t i = 0; c != NULL && i < c->jobs.count; i++) {
        const struct shl_compaction *job = &c->jobs.items[i];
        if (!shl_job_is_active(job))
            continue;
        shl_json_object(w);
        shl_json_key(w, "id");
        shl_inspect_ulid(w, job->id);
        shl_json_key(w, "status");
        shl_json_str(w, shl_job_status_name(job->status));
        key_u64(w, "l0_count", job->l0_view_ids.count);
        key_u64(w, "run_count", job->runs.count);
        worker(w, job);
        shl_json_object_end(w);
    }
    shl_json_array_end(w);
    shl_compactions_free(c);
    return SHALE_OK;
}
