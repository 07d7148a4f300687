/* Manifest files, both stored versions, into the one model (slatedb-format 3.4, 4). File: u16 BE version | FlatBuffer. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/env/env.h"
#include "lsm/format/manifest_fb.h"
#include "lsm/format/manifest_old.h"
#include "lsm/format/manifest_slots.h"

/* ---------------------------------------------------------------- schemas */

static const struct shl_fb_field sst_v2_fields[] = {
    [SST_V2_ID] = {.name = "id",
                   .type = SHL_FB_TABLE,
                   .required = true,
                   .table = &shl_fb_ulid_schema},
    [SST_V2_INFO] = {.name = "info",
                     .type = SHL_FB_TABLE,
                     .required = true,
                     .table = &shl_fb_sst_info_schema},
    [SST_V2_FORMAT_VERSION] = {.name = "format_version", .type = SHL_FB_U16},
};
static const struct shl_fb_schema sst_v2_schema =
    SHL_FB_SCHEMA("CompactedSsTableV2", sst_v2_fields);

static const struct shl_fb_field view_fields[] = {
    [VIEW_ID] = {.name = "id",
                 .type = SHL_FB_TABLE,
                 .required = true,
                 .table = &shl_fb_ulid_schema},
    [VIEW_SST_ID] = {.name = "sst_id",
                     .type = SHL_FB_TABLE,
                     .required = true,
                     .table = &shl_fb_ulid_schema},
    [VIEW_VISIBLE_RANGE] = {.name = "visible_range",
                            .type = SHL_FB_TABLE,
                            .table = &shl_fb_range_schema},
};
static const struct shl_fb_schema view_schema = SHL_FB_SCHEMA("CompactedSsTableView", view_fields);

static const struct shl_fb_field run_v1_fields[] = {
    [RUN_ID] = {.name = "id", .type = SHL_FB_U32},
    [RUN_SSTS] = {.name = "ssts",
                  .type = SHL_FB_TABLES,
                  .required = true,
                  .table = &shl_fb_sst_schema},
};
static const struct shl_fb_schema run_v1_schema = SHL_FB_SCHEMA("SortedRun", run_v1_fields);
static const struct shl_fb_field run_v2_fields[] = {
    [RUN_ID] = {.name = "id", .type = SHL_FB_U32},
    [RUN_SSTS] = {.name = "ssts", .type = SHL_FB_TABLES, .required = true, .table = &view_schema},
};
static const struct shl_fb_schema run_v2_schema = SHL_FB_SCHEMA("SortedRunV2", run_v2_fields);

static const struct shl_fb_field segment_fields[] = {
    [SEGMENT_PREFIX] = {.name = "prefix", .type = SHL_FB_BYTES, .required = true},
    [SEGMENT_WATERMARK] = {.name = "last_compacted_l0_sst_view_id",
                           .type = SHL_FB_TABLE,
                           .table = &shl_fb_ulid_schema},
    [SEGMENT_L0] = {.name = "l0", .type = SHL_FB_TABLES, .required = true, .table = &view_schema},
    [SEGMENT_COMPACTED] = {.name = "compacted",
                           .type = SHL_FB_TABLES,
                           .required = true,
                           .table = &run_v2_schema},
};
static const struct shl_fb_schema segment_schema = SHL_FB_SCHEMA("Segment", segment_fields);

static const struct shl_fb_field external_fields[] = {
    [EXTERNAL_PATH] = {.name = "path", .type = SHL_FB_STRING, .required = true},
    [EXTERNAL_SOURCE] = {.name = "source_checkpoint_id",
                         .type = SHL_FB_TABLE,
                         .required = true,
                         .table = &shl_fb_ulid_schema},
    [EXTERNAL_FINAL] = {.name = "final_checkpoint_id",
                        .type = SHL_FB_TABLE,
                        .table = &shl_fb_ulid_schema},
    [EXTERNAL_SST_IDS] = {.name = "sst_ids",
                          .type = SHL_FB_TABLES,
                          .required = true,
                          .table = &shl_fb_ulid_schema},
};
static const struct shl_fb_schema external_schema = SHL_FB_SCHEMA("ExternalDb", external_fields);

static const struct shl_fb_field writer_checkpoint_fields[] = {
    [WRITER_CHECKPOINT_EPOCH] = {.name = "epoch", .type = SHL_FB_U64},
};
static const struct shl_fb_schema writer_checkpoint_schema =
    SHL_FB_SCHEMA("WriterCheckpoint", writer_checkpoint_fields);
static const struct shl_fb_schema *const metadata_members[] = {&writer_checkpoint_schema};
static const struct shl_fb_field checkpoint_fields[] = {
    [CHECKPOINT_ID] = {.name = "id",
                       .type = SHL_FB_TABLE,
                       .required = true,
                       .table = &shl_fb_ulid_schema},
    [CHECKPOINT_MANIFEST_ID] = {.name = "manifest_id", .type = SHL_FB_U64},
    [CHECKPOINT_EXPIRE_S] = {.name = "checkpoint_expire_time_s", .type = SHL_FB_U32},
    [CHECKPOINT_CREATE_S] = {.name = "checkpoint_create_time_s", .type = SHL_FB_U32},
    [CHECKPOINT_METADATA_TYPE] = {.name = "metadata_type", .type = SHL_FB_U8},
    [CHECKPOINT_METADATA] = {.name = "metadata",
                             .type = SHL_FB_UNION,
                             .members = metadata_members,
                             .member_count = SHL_COUNT_OF(metadata_members)},
    [CHECKPOINT_NAME] = {.name = "name", .type = SHL_FB_STRING},
};
static const struct shl_fb_schema checkpoint_schema =
    SHL_FB_SCHEMA("Checkpoint", checkpoint_fields);

#define SHARED_FIELDS                                                                              \
    [M_MANIFEST_ID] = {.name = "manifest_id", .type = SHL_FB_U64},                                 \
    [M_EXTERNAL_DBS] = {.name = "external_dbs", .type = SHL_FB_TABLES, .table = &external_schema}, \
    [M_INITIALIZED] = {.name = "initialized", .type = SHL_FB_U8},                                  \
    [M_WRITER_EPOCH] = {.name = "writer_epoch", .type = SHL_FB_U64},                               \
    [M_COMPACTOR_EPOCH] = {.name = "compactor_epoch", .type = SHL_FB_U64},                         \
    [M_REPLAY_AFTER_WAL_ID] = {.name = "replay_after_wal_id", .type = SHL_FB_U64},                 \
    [M_WAL_ID_LAST_SEEN] = {.name = "wal_id_last_seen", .type = SHL_FB_U64}

static const struct shl_fb_field manifest_v1_fields[] = {
    SHARED_FIELDS,
    [M1_WATERMARK] = {.name = "l0_last_compacted",
                      .type = SHL_FB_TABLE,
                      .table = &shl_fb_ulid_schema},
    [M1_L0] = {.name = "l0", .type = SHL_FB_TABLES, .required = true, .table = &shl_fb_sst_schema},
    [M1_COMPACTED] = {.name = "compacted",
                      .type = SHL_FB_TABLES,
                      .required = true,
                      .table = &run_v1_schema},
    [M1_LAST_L0_CLOCK_TICK] = {.name = "last_l0_clock_tick", .type = SHL_FB_U64},
    [M1_CHECKPOINTS] = {.name = "checkpoints",
                        .type = SHL_FB_TABLES,
                        .required = true,
                        .table = &checkpoint_schema},
    [M1_LAST_L0_SEQ] = {.name = "last_l0_seq", .type = SHL_FB_U64},
    [M1_WAL_OBJECT_STORE_URI] = {.name = "wal_object_store_uri", .type = SHL_FB_STRING},
    [M1_RECENT_SNAPSHOT_MIN_SEQ] = {.name = "recent_snapshot_min_seq", .type = SHL_FB_U64},
    [M1_SEQUENCE_TRACKER] = {.name = "sequence_tracker", .type = SHL_FB_BYTES},
};
static const struct shl_fb_schema manifest_v1_schema =
    SHL_FB_SCHEMA("ManifestV1", manifest_v1_fields);

static const struct shl_fb_field manifest_v2_fields[] = {
    SHARED_FIELDS,
    [M2_WATERMARK] = {.name = "last_compacted_l0_sst_view_id",
                      .type = SHL_FB_TABLE,
                      .table = &shl_fb_ulid_schema},
    [M2_SSTS] = {.name = "ssts", .type = SHL_FB_TABLES, .required = true, .table = &sst_v2_schema},
    [M2_L0] = {.name = "l0", .type = SHL_FB_TABLES, .required = true, .table = &view_schema},
    [M2_COMPACTED] = {.name = "compacted",
                      .type = SHL_FB_TABLES,
                      .required = true,
                      .table = &run_v2_schema},
    [M2_LAST_L0_CLOCK_TICK] = {.name = "last_l0_clock_tick", .type = SHL_FB_U64},
    [M2_CHECKPOINTS] = {.name = "checkpoints",
                        .type = SHL_FB_TABLES,
                        .required = true,
                        .table = &checkpoint_schema},
    [M2_LAST_L0_SEQ] = {.name = "last_l0_seq", .type = SHL_FB_U64},
    [M2_RECENT_SNAPSHOT_MIN_SEQ] = {.name = "recent_snapshot_min_seq", .type = SHL_FB_U64},
    [M2_SEQUENCE_TRACKER] = {.name = "sequence_tracker", .type = SHL_FB_BYTES},
    [M2_SEGMENTS] = {.name = "segments", .type = SHL_FB_TABLES, .table = &segment_schema},
    [M2_SEGMENT_EXTRACTOR_NAME] = {.name = "segment_extractor_name", .type = SHL_FB_STRING},
};
static const struct shl_fb_schema manifest_v2_schema =
    SHL_FB_SCHEMA("ManifestV2", manifest_v2_fields);

/* ---------------------------------------------------------------- SSTs and views */

struct decoder {
    unsigned version;
    SHL_ARRAY(struct shl_sst_desc *) ssts; /* version 2: counted references, ascending by id */
    struct shl_manifest *m;
    shale_error *err;
};

static int compare_descs(const void *a, const void *b)
{
    const struct shl_sst_desc *x = *(struct shl_sst_desc *const *)a;
    const struct shl_sst_desc *y = *(struct shl_sst_desc *const *)b;
    return shl_ulid_cmp(x->id, y->id);
}

static shale_code read_ssts(struct decoder *d, struct shl_fb_vector tables)
{
    if (tables.count > 0 && !shl_array_reserve(&d->ssts, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_sst_desc *desc = NULL;
        shale_code rc = shl_sst_desc_from_parts(shl_fb_vector_table(tables, i), SST_V2_ID,
                                                SST_V2_INFO, SST_V2_FORMAT_VERSION, &desc, d->err);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(&d->ssts, desc);
    }
    if (d->ssts.count > 1)
        qsort(d->ssts.items, d->ssts.count, sizeof *d->ssts.items, compare_descs);
    for (size_t i = 1; i < d->ssts.count; i++)
        if (shl_ulid_eq(d->ssts.items[i]->id, d->ssts.items[i - 1]->id))
            return shl_fail(d->err, SHALE_CORRUPTION, "manifest: an SST is listed twice");
    return SHALE_OK;
}

static struct shl_sst_desc *find_sst(const struct decoder *d, struct shl_ulid id)
{
    size_t low = 0;
    size_t high = d->ssts.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = shl_ulid_cmp(d->ssts.items[mid]->id, id);
        if (c == 0)
            return d->ssts.items[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* A CompactedSsTable of version 1: the view is named like its SST. */
static shale_code read_view_v1(struct decoder *d, struct shl_fb_table t, struct shl_sst_view *out)
{
    shale_code rc = shl_sst_desc_from_fb(t, &out->sst, &out->visible, d->err);
    if (rc == SHALE_OK)
        out->id = out->sst->id;
    return rc;
}

static shale_code read_view_v2(struct decoder *d, struct shl_fb_table t, struct shl_sst_view *out)
{
    char text[SHL_ULID_TEXT];
    struct shl_ulid sst_id = shl_ulid_from_fb(shl_fb_required(t, VIEW_SST_ID));
    struct shl_sst_desc *sst = find_sst(d, sst_id);
    if (sst == NULL) {
        shl_ulid_format(sst_id, text);
        return shl_fail(d->err, SHALE_CORRUPTION,
                        "manifest: a view names SST %s, which is not listed", text);
    }
    shale_code rc = shl_fb_copy_range(t, VIEW_VISIBLE_RANGE, &out->visible, d->err);
    if (rc != SHALE_OK)
        return rc;
    out->id = shl_ulid_from_fb(shl_fb_required(t, VIEW_ID));
    out->sst = shl_sst_desc_ref(sst);
    return SHALE_OK;
}

/* Ranges may only begin with a key or nowhere, and must leave something of the SST. */
static shale_code check_view(struct decoder *d, const struct shl_sst_view *v)
{
    struct shl_key_range range;
    char text[SHL_ULID_TEXT];
    if (v->visible != NULL && v->visible->start.type == SHL_BOUND_EXCLUDED)
        return shl_fail(d->err, SHALE_CORRUPTION,
                        "manifest: a visible range starts with an excluded bound");
    shl_sst_view_range(v, &range);
    if (!shl_key_range_empty(&range))
        return SHALE_OK;
    shl_ulid_format(v->id, text);
    return shl_fail(d->err, SHALE_CORRUPTION, "manifest: view %s shows no key", text);
}

static shale_code read_views(struct decoder *d, struct shl_fb_vector tables, shl_sst_views *out)
{
    if (tables.count > 0 && !shl_array_reserve(out, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_fb_table t = shl_fb_vector_table(tables, i);
        struct shl_sst_view view = {.sst = NULL};
        shale_code rc = d->version == 1 ? read_view_v1(d, t, &view) : read_view_v2(d, t, &view);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(out, view);
        rc = check_view(d, &out->items[i]);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- trees */

static shale_code read_runs(struct decoder *d, struct shl_fb_vector tables, struct shl_tree *out)
{
    if (tables.count > 0 && !shl_array_reserve(&out->runs, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_fb_table t = shl_fb_vector_table(tables, i);
        uint32_t id = shl_fb_u32(t, RUN_ID);
        if (i > 0 && id >= out->runs.items[i - 1].id)
            return shl_fail(d->err, SHALE_CORRUPTION,
                            "manifest: run %" PRIu32 " stands after run %" PRIu32, id,
                            out->runs.items[i - 1].id);
        shl_array_add(&out->runs, ((struct shl_run){.id = id}));
        shale_code rc = read_views(d, shl_fb_vector(t, RUN_SSTS), &out->runs.items[i].ssts);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

struct tree_slots {
    unsigned watermark;
    unsigned l0;
    unsigned compacted;
};

static shale_code read_tree(struct decoder *d, struct shl_fb_table t, struct tree_slots slots,
                            struct shl_tree *out)
{
    struct shl_fb_table watermark;
    out->has_watermark = shl_fb_child(t, slots.watermark, &watermark);
    if (out->has_watermark)
        out->watermark = shl_ulid_from_fb(watermark);
    shale_code rc = read_views(d, shl_fb_vector(t, slots.l0), &out->l0);
    if (rc != SHALE_OK)
        return rc;
    return read_runs(d, shl_fb_vector(t, slots.compacted), out);
}

static shale_code read_segments(struct decoder *d, struct shl_fb_vector tables)
{
    static const struct tree_slots slots = {
        .watermark = SEGMENT_WATERMARK, .l0 = SEGMENT_L0, .compacted = SEGMENT_COMPACTED};
    if (tables.count > 0 && !shl_array_reserve(&d->m->segments, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_fb_table t = shl_fb_vector_table(tables, i);
        shl_array_add(&d->m->segments, ((struct shl_segment){.prefix = {0}}));
        struct shl_segment *s = &d->m->segments.items[i];
        shale_code rc = shl_fb_copy_bytes(t, SEGMENT_PREFIX, &s->prefix, d->err);
        if (rc == SHALE_OK)
            rc = read_tree(d, t, slots, &s->tree);
        if (rc != SHALE_OK)
            return rc;
        if (i == 0)
            continue;
        struct shl_slice before = shl_buf_view(&s[-1].prefix);
        struct shl_slice prefix = shl_buf_view(&s->prefix);
        /* In ascending order, a prefix of a later segment would also be one of its neighbour. */
        if (shl_slice_cmp(before, prefix) >= 0 || shl_slice_has_prefix(prefix, before))
            return shl_fail(d->err, SHALE_CORRUPTION,
                            "manifest: segments %" PRIu32 " and %" PRIu32
                            " overlap or are out of order",
                            i - 1, i);
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- checkpoints and external databases */

static shale_code read_checkpoints(struct decoder *d, struct shl_fb_vector tables)
{
    if (tables.count > 0 && !shl_array_reserve(&d->m->checkpoints, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_fb_table t = shl_fb_vector_table(tables, i);
        struct shl_fb_table metadata;
        struct shl_checkpoint c = {.id = shl_ulid_from_fb(shl_fb_required(t, CHECKPOINT_ID)),
                                   .manifest_id = shl_fb_u64(t, CHECKPOINT_MANIFEST_ID),
                                   .expire_s = shl_fb_u32(t, CHECKPOINT_EXPIRE_S),
                                   .create_s = shl_fb_u32(t, CHECKPOINT_CREATE_S),
                                   .metadata_type = shl_fb_u8(t, CHECKPOINT_METADATA_TYPE)};
        if (shl_fb_child(t, CHECKPOINT_METADATA, &metadata))
            c.writer_epoch = shl_fb_u64(metadata, WRITER_CHECKPOINT_EPOCH);
        shale_code rc = shl_fb_text(t, CHECKPOINT_NAME, &c.name, d->err);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(&d->m->checkpoints, c);
    }
    return SHALE_OK;
}

static shale_code read_externals(struct decoder *d, struct shl_fb_vector tables)
{
    if (tables.count > 0 && !shl_array_reserve(&d->m->external_dbs, tables.count))
        return shl_nomem(d->err);
    for (uint32_t i = 0; i < tables.count; i++) {
        struct shl_fb_table t = shl_fb_vector_table(tables, i);
        struct shl_fb_table final;
        struct shl_fb_vector ids = shl_fb_vector(t, EXTERNAL_SST_IDS);
        shl_array_add(&d->m->external_dbs, ((struct shl_external_db){.path = NULL}));
        struct shl_external_db *e = &d->m->external_dbs.items[i];
        shale_code rc = shl_fb_text(t, EXTERNAL_PATH, &e->path, d->err);
        if (rc != SHALE_OK)
            return rc;
        e->source_checkpoint = shl_ulid_from_fb(shl_fb_required(t, EXTERNAL_SOURCE));
        e->has_final_checkpoint = shl_fb_child(t, EXTERNAL_FINAL, &final);
        if (e->has_final_checkpoint)
            e->final_checkpoint = shl_ulid_from_fb(final);
        if (ids.count > 0 && !shl_array_reserve(&e->sst_ids, ids.count))
            return shl_nomem(d->err);
        for (uint32_t k = 0; k < ids.count; k++)
            shl_array_add(&e->sst_ids, shl_ulid_from_fb(shl_fb_vector_table(ids, k)));
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the whole */

typedef SHL_ARRAY(struct shl_ulid) ulids;

static int compare_ulids(const void *a, const void *b)
{
    return shl_ulid_cmp(*(const struct shl_ulid *)a, *(const struct shl_ulid *)b);
}

static bool collect_view_ids(const shl_sst_views *views, ulids *out)
{
    if (views->count > 0 && !shl_array_reserve(out, views->count))
        return false;
    for (size_t i = 0; i < views->count; i++)
        shl_array_add(out, views->items[i].id);
    return true;
}

static bool collect_tree_ids(const struct shl_tree *t, ulids *out)
{
    bool ok = collect_view_ids(&t->l0, out);
    for (size_t i = 0; ok && i < t->runs.count; i++)
        ok = collect_view_ids(&t->runs.items[i].ssts, out);
    return ok;
}

/* Version 2 only: in version 1 views are named like their SSTs, and nothing forbids two views of one SST. */
static shale_code check_view_ids(const struct decoder *d)
{
    ulids ids = {0};
    shale_code rc = SHALE_OK;
    bool ok = collect_tree_ids(&d->m->root, &ids);
    for (size_t i = 0; ok && i < d->m->segments.count; i++)
        ok = collect_tree_ids(&d->m->segments.items[i].tree, &ids);
    if (!ok) {
        rc = shl_nomem(d->err);
        goto out;
    }
    if (ids.count > 1)
        qsort(ids.items, ids.count, sizeof *ids.items, compare_ulids);
    for (size_t i = 1; i < ids.count && rc == SHALE_OK; i++)
        if (shl_ulid_eq(ids.items[i], ids.items[i - 1]))
            rc = shl_fail(d->err, SHALE_CORRUPTION, "manifest: two views have the same id");
out:
    shl_array_free(&ids);
    return rc;
}

static shale_code read_tracker(struct decoder *d, struct shl_fb_table root, unsigned slot)
{
    d->m->has_sequence_tracker = shl_fb_has(root, slot);
    return shl_fb_copy_bytes(root, slot, &d->m->sequence_tracker, d->err);
}

static shale_code read_shared(struct decoder *d, struct shl_fb_table root)
{
    struct shl_manifest *m = d->m;
    m->stored_version = d->version;
    m->manifest_id_field = shl_fb_u64(root, M_MANIFEST_ID);
    m->initialized = shl_fb_u8(root, M_INITIALIZED) != 0;
    m->writer_epoch = shl_fb_u64(root, M_WRITER_EPOCH);
    m->compactor_epoch = shl_fb_u64(root, M_COMPACTOR_EPOCH);
    m->replay_after_wal_id = shl_fb_u64(root, M_REPLAY_AFTER_WAL_ID);
    m->wal_id_last_seen = shl_fb_u64(root, M_WAL_ID_LAST_SEEN);
    m->has_external_dbs = shl_fb_has(root, M_EXTERNAL_DBS);
    return read_externals(d, shl_fb_vector(root, M_EXTERNAL_DBS));
}

static shale_code read_v1(struct decoder *d, struct shl_fb_table root)
{
    static const struct tree_slots slots = {
        .watermark = M1_WATERMARK, .l0 = M1_L0, .compacted = M1_COMPACTED};
    shale_code rc;
    d->m->last_l0_clock_tick = (int64_t)shl_fb_u64(root, M1_LAST_L0_CLOCK_TICK);
    d->m->last_l0_seq = shl_fb_u64(root, M1_LAST_L0_SEQ);
    d->m->recent_snapshot_min_seq = shl_fb_u64(root, M1_RECENT_SNAPSHOT_MIN_SEQ);
    SHL_TRY(read_shared(d, root));
    SHL_TRY(read_tree(d, root, slots, &d->m->root));
    SHL_TRY(read_checkpoints(d, shl_fb_vector(root, M1_CHECKPOINTS)));
    SHL_TRY(shl_fb_text(root, M1_WAL_OBJECT_STORE_URI, &d->m->wal_object_store_uri, d->err));
    SHL_TRY(read_tracker(d, root, M1_SEQUENCE_TRACKER));
out:
    return rc;
}

static shale_code read_v2(struct decoder *d, struct shl_fb_table root)
{
    static const struct tree_slots slots = {
        .watermark = M2_WATERMARK, .l0 = M2_L0, .compacted = M2_COMPACTED};
    shale_code rc;
    d->m->last_l0_clock_tick = (int64_t)shl_fb_u64(root, M2_LAST_L0_CLOCK_TICK);
    d->m->last_l0_seq = shl_fb_u64(root, M2_LAST_L0_SEQ);
    d->m->recent_snapshot_min_seq = shl_fb_u64(root, M2_RECENT_SNAPSHOT_MIN_SEQ);
    SHL_TRY(read_shared(d, root));
    SHL_TRY(read_ssts(d, shl_fb_vector(root, M2_SSTS)));
    SHL_TRY(read_tree(d, root, slots, &d->m->root));
    SHL_TRY(read_segments(d, shl_fb_vector(root, M2_SEGMENTS)));
    SHL_TRY(check_view_ids(d));
    SHL_TRY(read_checkpoints(d, shl_fb_vector(root, M2_CHECKPOINTS)));
    SHL_TRY(shl_fb_text(root, M2_SEGMENT_EXTRACTOR_NAME, &d->m->segment_extractor_name, d->err));
    SHL_TRY(read_tracker(d, root, M2_SEQUENCE_TRACKER));
out:
    return rc;
}

/* What does not verify may be whole, and only older than all that later releases read; else err stays as it is. */
static shale_code refuse_old(struct shl_slice file, shale_error *err)
{
    const char *release = shl_manifest_old_release(file);
    if (release == NULL)
        return SHALE_CORRUPTION;
    return shl_fail(err, SHALE_NOT_SUPPORTED,
                    "manifest: SlateDB %s wrote it, in a format that no later release reads: read "
                    "the rows with that release, and write them to a new database",
                    release);
}

static shale_code verify(struct shl_slice file, unsigned version, struct shl_fb_table *root,
                         shale_error *err)
{
    shale_code rc;
    if (version != 1 && version != 2)
        rc = shl_fail(err, SHALE_CORRUPTION, "%smanifest: version %u, known 1..2",
                      version > 2 ? "newer format: " : "", version);
    else
        rc = shl_fb_verify(shl_slice_of(file.data + 2, file.len - 2),
                           version == 1 ? &manifest_v1_schema : &manifest_v2_schema, root, err);
    return rc == SHALE_CORRUPTION ? refuse_old(file, err) : rc;
}

shale_code shl_manifest_decode(struct shl_slice file, struct shl_manifest **out, shale_error *err)
{
    shale_code rc;
    struct shl_fb_table root;
    struct decoder d = {.err = err};
    if (file.len < 2)
        return shl_fail(err, SHALE_CORRUPTION, "manifest: only %zu bytes", file.len);
    d.version = shl_load_u16be(file.data);
    rc = verify(file, d.version, &root, err);
    if (rc != SHALE_OK)
        return rc;
    d.m = env_calloc(1, sizeof *d.m);
    if (d.m == NULL)
        return shl_nomem(err);
    SHL_TRY(d.version == 1 ? read_v1(&d, root) : read_v2(&d, root));
    *out = d.m;
    d.m = NULL;
out:
    for (size_t i = 0; i < d.ssts.count; i++)
        shl_sst_desc_unref(d.ssts.items[i]);
    shl_array_free(&d.ssts);
    shl_manifest_free(d.m);
    return rc;
}
