/* The compactions file (slatedb-format 3.5, 6): u16 BE version | FlatBuffer CompactionsV1. Version 1 lacks only `destination`. */
#include "lsm/format/compactions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "lsm/format/manifest_fb.h"

/* ---------------------------------------------------------------- slots and schemas */

enum { TIERED_SSTS, TIERED_RUNS, TIERED_L0_VIEW_IDS, TIERED_SEGMENT, TIERED_DESTINATION };
enum { DRAIN_SEGMENT, DRAIN_L0_VIEW_IDS, DRAIN_RUNS };
enum { WORKER_ID, WORKER_HEARTBEAT_MS };
enum { SUB_RANGE, SUB_OUTPUT_SSTS, SUB_STATUS };
enum { CONTEXT_SUBCOMPACTIONS, CONTEXT_RETENTION_MIN_SEQ };
enum {
    JOB_ID,
    JOB_SPEC_TYPE,
    JOB_SPEC,
    JOB_STATUS,
    JOB_OUTPUT_SSTS,
    JOB_WORKER,
    JOB_CONTEXT_TYPE,
    JOB_CONTEXT
};
enum { FILE_COMPACTOR_EPOCH, FILE_RECENT };
enum { CONTEXT_TYPE_TIERED = 1 };
enum { SUB_IN_PROGRESS = 0, SUB_COMPLETED = 1 };

static const struct shl_fb_field tiered_fields[] = {
    [TIERED_SSTS] = {.name = "ssts", .type = SHL_FB_TABLES, .table = &shl_fb_ulid_schema},
    [TIERED_RUNS] = {.name = "sorted_runs", .type = SHL_FB_U32S},
    [TIERED_L0_VIEW_IDS] = {.name = "l0_view_ids",
                            .type = SHL_FB_TABLES,
                            .table = &shl_fb_ulid_schema},
    [TIERED_SEGMENT] = {.name = "segment", .type = SHL_FB_BYTES},
    [TIERED_DESTINATION] = {.name = "destination", .type = SHL_FB_U32},
};
static const struct shl_fb_schema tiered_schema =
    SHL_FB_SCHEMA("TieredCompactionSpec", tiered_fields);
static const struct shl_fb_field drain_fields[] = {
    [DRAIN_SEGMENT] = {.name = "segment", .type = SHL_FB_BYTES, .required = true},
    [DRAIN_L0_VIEW_IDS] = {.name = "l0_view_ids",
                           .type = SHL_FB_TABLES,
                           .table = &shl_fb_ulid_schema},
    [DRAIN_RUNS] = {.name = "sorted_runs", .type = SHL_FB_U32S},
};
static const struct shl_fb_schema drain_schema = SHL_FB_SCHEMA("DrainSegmentSpec", drain_fields);
static const struct shl_fb_schema *const spec_members[] = {&tiered_schema, &drain_schema};

static const struct shl_fb_field worker_fields[] = {
    [WORKER_ID] = {.name = "worker_id", .type = SHL_FB_STRING},
    [WORKER_HEARTBEAT_MS] = {.name = "last_heartbeat_ms", .type = SHL_FB_U64},
};
static const struct shl_fb_schema worker_schema = SHL_FB_SCHEMA("WorkerSpec", worker_fields);

static const struct shl_fb_field sub_fields[] = {
    [SUB_RANGE] = {.name = "range",
                   .type = SHL_FB_TABLE,
                   .required = true,
                   .table = &shl_fb_range_schema},
    [SUB_OUTPUT_SSTS] = {.name = "output_ssts", .type = SHL_FB_TABLES, .table = &shl_fb_sst_schema},
    [SUB_STATUS] = {.name = "status", .type = SHL_FB_U8},
};
static const struct shl_fb_schema sub_schema = SHL_FB_SCHEMA("Subcompaction", sub_fields);
static const struct shl_fb_field context_fields[] = {
    [CONTEXT_SUBCOMPACTIONS] = {.name = "subcompactions",
                                .type = SHL_FB_TABLES,
                                .table = &sub_schema},
    [CONTEXT_RETENTION_MIN_SEQ] = {.name = "retention_min_seq", .type = SHL_FB_U64},
};
static const struct shl_fb_schema context_schema =
    SHL_FB_SCHEMA("TieredCompactionContext", context_fields);
static const struct shl_fb_schema *const context_members[] = {&context_schema};

static const struct shl_fb_field job_fields[] = {
    [JOB_ID] = {.name = "id", .type = SHL_FB_TABLE, .required = true, .table = &shl_fb_ulid_schema},
    [JOB_SPEC_TYPE] = {.name = "spec_type", .type = SHL_FB_U8},
    [JOB_SPEC] = {.name = "spec",
                  .type = SHL_FB_UNION,
                  .required = true,
                  .members = spec_members,
                  .member_count = SHL_COUNT_OF(spec_members)},
    [JOB_STATUS] = {.name = "status", .type = SHL_FB_U8},
    [JOB_OUTPUT_SSTS] = {.name = "output_ssts", .type = SHL_FB_TABLES, .table = &shl_fb_sst_schema},
    [JOB_WORKER] = {.name = "worker", .type = SHL_FB_TABLE, .table = &worker_schema},
    [JOB_CONTEXT_TYPE] = {.name = "ctx_type", .type = SHL_FB_U8},
    [JOB_CONTEXT] = {.name = "ctx",
                     .type = SHL_FB_UNION,
                     .members = context_members,
                     .member_count = SHL_COUNT_OF(context_members)},
};
static const struct shl_fb_schema job_schema = SHL_FB_SCHEMA("Compaction", job_fields);
static const struct shl_fb_field file_fields[] = {
    [FILE_COMPACTOR_EPOCH] = {.name = "compactor_epoch", .type = SHL_FB_U64},
    [FILE_RECENT] = {.name = "recent_compactions",
                     .type = SHL_FB_TABLES,
                     .required = true,
                     .table = &job_schema},
};
static const struct shl_fb_schema file_schema = SHL_FB_SCHEMA("CompactionsV1", file_fields);

/* ---------------------------------------------------------------- model */

static void descs_deinit(shl_sst_descs *d)
{
    for (size_t i = 0; i < d->count; i++)
        shl_sst_desc_unref(d->items[i]);
    shl_array_free(d);
}

static shale_code descs_copy(const shl_sst_descs *from, shl_sst_descs *out, shale_error *err)
{
    if (from->count > 0 && !shl_array_reserve(out, from->count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->count; i++)
        shl_array_add(out, shl_sst_desc_ref(from->items[i]));
    return SHALE_OK;
}

void shl_subcompaction_deinit(struct shl_subcompaction *s)
{
    shl_bytes_range_deinit(&s->range);
    descs_deinit(&s->outputs);
}

void shl_compaction_deinit(struct shl_compaction *j)
{
    shl_buf_free(&j->segment);
    shl_array_free(&j->l0_view_ids);
    shl_array_free(&j->runs);
    descs_deinit(&j->outputs);
    env_free(j->worker_id);
    for (size_t i = 0; i < j->subcompactions.count; i++)
        shl_subcompaction_deinit(&j->subcompactions.items[i]);
    shl_array_free(&j->subcompactions);
    *j = (struct shl_compaction){.worker_id = NULL};
}

static shale_code subcompactions_copy(const struct shl_compaction *from, struct shl_compaction *out,
                                      shale_error *err)
{
    if (from->subcompactions.count > 0 &&
        !shl_array_reserve(&out->subcompactions, from->subcompactions.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->subcompactions.count; i++) {
        const struct shl_subcompaction *s = &from->subcompactions.items[i];
        shl_array_add(
            &out->subcompactions,
            ((struct shl_subcompaction){.has_outputs = s->has_outputs, .completed = s->completed}));
        struct shl_subcompaction *to = &out->subcompactions.items[i];
        shale_code rc = shl_bytes_range_copy(&s->range, &to->range, err);
        if (rc == SHALE_OK)
            rc = descs_copy(&s->outputs, &to->outputs, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code sources_copy(const struct shl_compaction *from, struct shl_compaction *out,
                               shale_error *err)
{
    if (from->l0_view_ids.count > 0 &&
        !shl_array_reserve(&out->l0_view_ids, from->l0_view_ids.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->l0_view_ids.count; i++)
        shl_array_add(&out->l0_view_ids, from->l0_view_ids.items[i]);
    if (from->runs.count > 0 && !shl_array_reserve(&out->runs, from->runs.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->runs.count; i++)
        shl_array_add(&out->runs, from->runs.items[i]);
    return SHALE_OK;
}

shale_code shl_compaction_copy(const struct shl_compaction *from, struct shl_compaction *out,
                               shale_error *err)
{
    shale_code rc;
    struct shl_compaction j = {.id = from->id,
                               .kind = from->kind,
                               .has_l0_view_ids = from->has_l0_view_ids,
                               .has_runs = from->has_runs,
                               .destination = from->destination,
                               .status = from->status,
                               .worker_heartbeat_ms = from->worker_heartbeat_ms,
                               .has_context = from->has_context,
                               .retention_min_seq = from->retention_min_seq,
                               .has_subcompactions = from->has_subcompactions};
    SHL_TRY(shl_buf_set(&j.segment, shl_buf_view(&from->segment), err));
    SHL_TRY(sources_copy(from, &j, err));
    SHL_TRY(descs_copy(&from->outputs, &j.outputs, err));
    SHL_TRY(subcompactions_copy(from, &j, err));
    if (from->worker_id != NULL && (j.worker_id = env_strdup(from->worker_id)) == NULL) {
        rc = shl_nomem(err);
        goto out;
    }
    *out = j;
    return SHALE_OK;
out:
    shl_compaction_deinit(&j);
    return rc;
}

shale_code shl_compactions_new(struct shl_compactions **out, shale_error *err)
{
    struct shl_compactions *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    c->stored_version = 2;
    *out = c;
    return SHALE_OK;
}

void shl_compactions_free(struct shl_compactions *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->jobs.count; i++)
        shl_compaction_deinit(&c->jobs.items[i]);
    shl_array_free(&c->jobs);
    env_free(c);
}

shale_code shl_compactions_clone(const struct shl_compactions *from, struct shl_compactions **out,
                                 shale_error *err)
{
    shale_code rc;
    struct shl_compactions *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    c->stored_version = from->stored_version;
    c->compactor_epoch = from->compactor_epoch;
    if (from->jobs.count > 0 && !shl_array_reserve(&c->jobs, from->jobs.count)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < from->jobs.count; i++) {
        SHL_TRY(shl_compaction_copy(&from->jobs.items[i], &c->jobs.items[i], err));
        c->jobs.count++;
    }
    *out = c;
    return SHALE_OK;
out:
    shl_compactions_free(c);
    return rc;
}

/* ---------------------------------------------------------------- decode */

static shale_code read_descs(struct shl_fb_vector tables, shl_sst_descs *out, shale_error *err)
{
    if (tables.count > 0 && !shl_array_reserve(out, tables.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_sst_desc *d = NULL;
        shale_code rc = shl_sst_desc_from_fb(shl_fb_vector_table(tables, i), &d, NULL, err);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(out, d);
    }
    return SHALE_OK;
}

static shale_code read_ids(struct shl_fb_vector tables, struct shl_compaction *j, shale_error *err)
{
    j->has_l0_view_ids = tables.buf != NULL;
    if (tables.count > 0 && !shl_array_reserve(&j->l0_view_ids, tables.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < tables.count; i++)
        shl_array_add(&j->l0_view_ids, shl_ulid_from_fb(shl_fb_vector_table(tables, i)));
    return SHALE_OK;
}

static shale_code read_runs(struct shl_fb_vector runs, struct shl_compaction *j, shale_error *err)
{
    j->has_runs = runs.buf != NULL;
    if (runs.count > 0 && !shl_array_reserve(&j->runs, runs.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < runs.count; i++)
        shl_array_add(&j->runs, shl_fb_vector_u32(runs, i));
    return SHALE_OK;
}

/* What version 1 files leave out. */
static uint32_t lowest_run(const struct shl_compaction *j)
{
    uint32_t lowest = j->runs.count == 0 ? 0 : UINT32_MAX;
    for (size_t i = 0; i < j->runs.count; i++)
        if (j->runs.items[i] < lowest)
            lowest = j->runs.items[i];
    return lowest;
}

static shale_code read_tiered(struct shl_fb_table spec, unsigned version, struct shl_compaction *j,
                              shale_error *err)
{
    shale_code rc;
    /* The first slot held SST ids before there were views; those views are named like their SSTs. */
    unsigned l0_slot = shl_fb_has(spec, TIERED_L0_VIEW_IDS) ? TIERED_L0_VIEW_IDS : TIERED_SSTS;
    SHL_TRY(read_ids(shl_fb_vector(spec, l0_slot), j, err));
    SHL_TRY(read_runs(shl_fb_vector(spec, TIERED_RUNS), j, err));
    SHL_TRY(shl_fb_copy_bytes(spec, TIERED_SEGMENT, &j->segment, err));
    j->destination = version == 1 ? lowest_run(j) : shl_fb_u32(spec, TIERED_DESTINATION);
out:
    return rc;
}

static shale_code read_drain(struct shl_fb_table spec, struct shl_compaction *j, shale_error *err)
{
    shale_code rc;
    SHL_TRY(read_ids(shl_fb_vector(spec, DRAIN_L0_VIEW_IDS), j, err));
    SHL_TRY(read_runs(shl_fb_vector(spec, DRAIN_RUNS), j, err));
    SHL_TRY(shl_fb_copy_bytes(spec, DRAIN_SEGMENT, &j->segment, err));
    if (j->segment.len == 0)
        rc = shl_fail(err, SHALE_CORRUPTION, "compactions: drain of the root tree");
out:
    return rc;
}

static shale_code read_worker(struct shl_fb_table t, struct shl_compaction *j, shale_error *err)
{
    struct shl_fb_table worker;
    if (!shl_fb_child(t, JOB_WORKER, &worker))
        return SHALE_OK;
    j->worker_heartbeat_ms = shl_fb_u64(worker, WORKER_HEARTBEAT_MS);
    return shl_fb_text(worker, WORKER_ID, &j->worker_id, err);
}

static shale_code read_context(struct shl_fb_table t, struct shl_compaction *j, shale_error *err)
{
    struct shl_fb_table context;
    j->has_context = shl_fb_child(t, JOB_CONTEXT, &context);
    if (!j->has_context)
        return SHALE_OK;
    struct shl_fb_vector subs = shl_fb_vector(context, CONTEXT_SUBCOMPACTIONS);
    j->retention_min_seq = shl_fb_u64(context, CONTEXT_RETENTION_MIN_SEQ);
    j->has_subcompactions = subs.buf != NULL;
    if (subs.count > 0 && !shl_array_reserve(&j->subcompactions, subs.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < subs.count; i++) {
        struct shl_fb_table sub = shl_fb_vector_table(subs, i);
        struct shl_fb_vector outputs = shl_fb_vector(sub, SUB_OUTPUT_SSTS);
        uint8_t status = shl_fb_u8(sub, SUB_STATUS);
        if (status > SUB_COMPLETED)
            return shl_fail(err, SHALE_CORRUPTION,
                            "compactions: subcompaction status %u, known 0..1", (unsigned)status);
        shl_array_add(&j->subcompactions,
                      ((struct shl_subcompaction){.has_outputs = outputs.buf != NULL,
                                                  .completed = status == SUB_COMPLETED}));
        struct shl_subcompaction *to = &j->subcompactions.items[i];
        shale_code rc = shl_bytes_range_from_fb(shl_fb_required(sub, SUB_RANGE), &to->range, err);
        if (rc == SHALE_OK)
            rc = read_descs(outputs, &to->outputs, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code read_job(struct shl_fb_table t, unsigned version, struct shl_compaction *j,
                           shale_error *err)
{
    shale_code rc;
    struct shl_fb_table spec = shl_fb_required(t, JOB_SPEC);
    uint8_t status = shl_fb_u8(t, JOB_STATUS);
    if (status > SHL_COMPACTION_SCHEDULED)
        return shl_fail(err, SHALE_CORRUPTION, "compactions: status %u, known 0..%d",
                        (unsigned)status, (int)SHL_COMPACTION_SCHEDULED);
    j->id = shl_ulid_from_fb(shl_fb_required(t, JOB_ID));
    j->status = (enum shl_compaction_status)status;
    j->kind =
        (enum shl_compaction_kind)shl_fb_u8(t, JOB_SPEC_TYPE); /* the verifier knows both members */
    if (j->kind == SHL_COMPACTION_TIERED)
        SHL_TRY(read_tiered(spec, version, j, err));
    else
        SHL_TRY(read_drain(spec, j, err));
    SHL_TRY(read_descs(shl_fb_vector(t, JOB_OUTPUT_SSTS), &j->outputs, err));
    SHL_TRY(read_worker(t, j, err));
    SHL_TRY(read_context(t, j, err));
out:
    return rc;
}

static int compare_jobs(const void *a, const void *b)
{
    const struct shl_compaction *x = a;
    const struct shl_compaction *y = b;
    return shl_ulid_cmp(x->id, y->id);
}

static shale_code read_jobs(struct shl_fb_vector tables, struct shl_compactions *c,
                            shale_error *err)
{
    if (tables.count > 0 && !shl_array_reserve(&c->jobs, tables.count))
        return shl_nomem(err);
    for (uint32_t i = 0; i < tables.count; i++) {
        shl_array_add(&c->jobs, ((struct shl_compaction){.worker_id = NULL}));
        shale_code rc =
            read_job(shl_fb_vector_table(tables, i), c->stored_version, &c->jobs.items[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    /* SlateDB writes them in order; nothing depends on it when they are read. */
    if (c->jobs.count > 1)
        qsort(c->jobs.items, c->jobs.count, sizeof *c->jobs.items, compare_jobs);
    for (size_t i = 1; i < c->jobs.count; i++)
        if (shl_ulid_eq(c->jobs.items[i].id, c->jobs.items[i - 1].id))
            return shl_fail(err, SHALE_CORRUPTION, "compactions: two entries have the same id");
    return SHALE_OK;
}

shale_code shl_compactions_decode(struct shl_slice file, struct shl_compactions **out,
                                  shale_error *err)
{
    shale_code rc;
    struct shl_fb_table root;
    if (file.len < 2)
        return shl_fail(err, SHALE_CORRUPTION, "compactions: only %zu bytes", file.len);
    unsigned version = shl_load_u16be(file.data);
    if (version != 1 && version != 2)
        return shl_fail(err, SHALE_CORRUPTION, "%scompactions: version %u, known 1..2",
                        version > 2 ? "newer format: " : "", version);
    rc = shl_fb_verify(shl_slice_of(file.data + 2, file.len - 2), &file_schema, &root, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_compactions *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    c->stored_version = version;
    c->compactor_epoch = shl_fb_u64(root, FILE_COMPACTOR_EPOCH);
    SHL_TRY(read_jobs(shl_fb_vector(root, FILE_RECENT), c, err));
    *out = c;
    c = NULL;
out:
    shl_compactions_free(c);
    return rc;
}

/* ---------------------------------------------------------------- encode */

static shl_fb_ref descs_to_fb(struct shl_fbw *w, const shl_sst_descs *descs)
{
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < descs->count; i++)
        shl_fbw_keep(w, shl_sst_desc_to_fb(w, descs->items[i]));
    return shl_fbw_kept(w, mark);
}

static shl_fb_ref ids_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    if (j->l0_view_ids.count == 0 && !j->has_l0_view_ids)
        return 0;
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < j->l0_view_ids.count; i++)
        shl_fbw_keep(w, shl_ulid_to_fb(w, j->l0_view_ids.items[i]));
    return shl_fbw_kept(w, mark);
}

static shl_fb_ref runs_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    if (j->runs.count == 0 && !j->has_runs)
        return 0;
    return shl_fbw_u32s(w, j->runs.items, j->runs.count);
}

static shl_fb_ref spec_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    shl_fb_ref ids = ids_to_fb(w, j);
    shl_fb_ref runs = runs_to_fb(w, j);
    shl_fb_ref segment = shl_fbw_bytes(w, shl_buf_view(&j->segment));
    shl_fbw_begin(w);
    if (j->kind == SHL_COMPACTION_TIERED) {
        shl_fbw_u32(w, TIERED_DESTINATION, j->destination);
        shl_fbw_ref(w, TIERED_SEGMENT, segment);
        shl_fbw_ref(w, TIERED_L0_VIEW_IDS, ids);
        shl_fbw_ref(w, TIERED_RUNS, runs);
    } else {
        shl_fbw_ref(w, DRAIN_RUNS, runs);
        shl_fbw_ref(w, DRAIN_L0_VIEW_IDS, ids);
        shl_fbw_ref(w, DRAIN_SEGMENT, segment);
    }
    return shl_fbw_end(w);
}

static shl_fb_ref worker_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    if (j->worker_id == NULL)
        return 0;
    shl_fb_ref id = shl_fbw_string(w, j->worker_id);
    shl_fbw_begin(w);
    shl_fbw_u64(w, WORKER_HEARTBEAT_MS, j->worker_heartbeat_ms);
    shl_fbw_ref(w, WORKER_ID, id);
    return shl_fbw_end(w);
}

static shl_fb_ref subcompactions_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    if (j->subcompactions.count == 0 && !j->has_subcompactions)
        return 0;
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < j->subcompactions.count; i++) {
        const struct shl_subcompaction *s = &j->subcompactions.items[i];
        shl_fb_ref range = shl_bytes_range_to_fb(w, &s->range);
        shl_fb_ref outputs =
            s->outputs.count > 0 || s->has_outputs ? descs_to_fb(w, &s->outputs) : 0;
        shl_fbw_begin(w);
        shl_fbw_ref(w, SUB_OUTPUT_SSTS, outputs);
        shl_fbw_ref(w, SUB_RANGE, range);
        shl_fbw_u8(w, SUB_STATUS, s->completed ? SUB_COMPLETED : SUB_IN_PROGRESS);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, mark);
}

static shl_fb_ref context_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    if (!j->has_context)
        return 0;
    shl_fb_ref subs = subcompactions_to_fb(w, j);
    shl_fbw_begin(w);
    shl_fbw_u64(w, CONTEXT_RETENTION_MIN_SEQ, j->retention_min_seq);
    shl_fbw_ref(w, CONTEXT_SUBCOMPACTIONS, subs);
    return shl_fbw_end(w);
}

static shl_fb_ref job_to_fb(struct shl_fbw *w, const struct shl_compaction *j)
{
    shl_fb_ref id = shl_ulid_to_fb(w, j->id);
    shl_fb_ref spec = spec_to_fb(w, j);
    shl_fb_ref worker = worker_to_fb(w, j);
    shl_fb_ref context = context_to_fb(w, j);
    shl_fb_ref outputs = descs_to_fb(w, &j->outputs);
    shl_fbw_begin(w);
    shl_fbw_ref(w, JOB_CONTEXT, context);
    shl_fbw_ref(w, JOB_WORKER, worker);
    shl_fbw_ref(w, JOB_OUTPUT_SSTS, outputs);
    shl_fbw_ref(w, JOB_SPEC, spec);
    shl_fbw_ref(w, JOB_ID, id);
    shl_fbw_u8(w, JOB_CONTEXT_TYPE, j->has_context ? CONTEXT_TYPE_TIERED : 0);
    shl_fbw_u8(w, JOB_STATUS, (uint8_t)j->status);
    shl_fbw_u8(w, JOB_SPEC_TYPE, (uint8_t)j->kind);
    return shl_fbw_end(w);
}

static shl_fb_ref file_to_fb(struct shl_fbw *w, const struct shl_compactions *c)
{
    for (size_t i = 0; i < c->jobs.count; i++) {
        if (i > 0)
            SHL_ASSERT(shl_ulid_cmp(c->jobs.items[i - 1].id, c->jobs.items[i].id) < 0);
        shl_fbw_keep(w, job_to_fb(w, &c->jobs.items[i]));
    }
    shl_fb_ref recent = shl_fbw_kept(w, 0);
    shl_fbw_begin(w);
    shl_fbw_u64(w, FILE_COMPACTOR_EPOCH, c->compactor_epoch);
    shl_fbw_ref(w, FILE_RECENT, recent);
    return shl_fbw_end(w);
}

shale_code shl_compactions_encode(const struct shl_compactions *c, struct shl_buf *out,
                                  shale_error *err)
{
    static const uint8_t version[2] = {0, 2};
    shale_code rc;
    size_t start = out->len;
    struct shl_fbw w = {.data = NULL};
    SHL_TRY(shl_buf_append(out, version, sizeof version, err));
    SHL_TRY(shl_fbw_finish(&w, file_to_fb(&w, c), out, err));
out:
    if (rc != SHALE_OK)
        out->len = start;
    shl_fbw_deinit(&w);
    return rc;
}
