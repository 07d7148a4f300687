/* The model to a version 2 manifest file, byte-equal to SlateDB 0.17 and 0.18: the order of children and fields is theirs
 * (slatedb-format 3.1 "Builder", 4 "V2 build order"). */
#include <stdlib.h>

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"
#include "lsm/format/manifest_fb.h"
#include "lsm/format/manifest_slots.h"

typedef SHL_ARRAY(const struct shl_sst_desc *) descs;

/* ---------------------------------------------------------------- SSTs */

static bool collect_views(const shl_sst_views *views, descs *out)
{
    if (views->count > 0 && !shl_array_reserve(out, views->count))
        return false;
    for (size_t i = 0; i < views->count; i++)
        shl_array_add(out, views->items[i].sst);
    return true;
}

static bool collect_tree(const struct shl_tree *t, descs *out)
{
    bool ok = collect_views(&t->l0, out);
    for (size_t i = 0; ok && i < t->runs.count; i++)
        ok = collect_views(&t->runs.items[i].ssts, out);
    return ok;
}

static int compare_descs(const void *a, const void *b)
{
    const struct shl_sst_desc *x = *(const struct shl_sst_desc *const *)a;
    const struct shl_sst_desc *y = *(const struct shl_sst_desc *const *)b;
    return shl_ulid_cmp(x->id, y->id);
}

/* Every SST that a view names, once, ascending by id. */
static bool collect_ssts(const struct shl_manifest *m, descs *out)
{
    bool ok = collect_tree(&m->root, out);
    for (size_t i = 0; ok && i < m->segments.count; i++)
        ok = collect_tree(&m->segments.items[i].tree, out);
    if (!ok || out->count == 0)
        return ok;
    qsort(out->items, out->count, sizeof *out->items, compare_descs);
    size_t kept = 1;
    for (size_t i = 1; i < out->count; i++)
        if (!shl_ulid_eq(out->items[i]->id, out->items[kept - 1]->id))
            out->items[kept++] = out->items[i];
    out->count = kept;
    return true;
}

static shl_fb_ref ssts_to_fb(struct shl_fbw *w, const descs *ssts)
{
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < ssts->count; i++) {
        const struct shl_sst_desc *d = ssts->items[i];
        shl_fb_ref id = shl_ulid_to_fb(w, d->id);
        shl_fb_ref info = shl_sst_info_to_fb(w, &d->info);
        shl_fbw_begin(w);
        shl_fbw_ref(w, SST_V2_INFO, info);
        shl_fbw_ref(w, SST_V2_ID, id);
        if (d->has_format_version)
            shl_fbw_u16_always(w, SST_V2_FORMAT_VERSION, (uint16_t)d->format_version);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, mark);
}

/* ---------------------------------------------------------------- trees */

static shl_fb_ref views_to_fb(struct shl_fbw *w, const shl_sst_views *views)
{
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < views->count; i++) {
        const struct shl_sst_view *v = &views->items[i];
        shl_fb_ref sst_id = shl_ulid_to_fb(w, v->sst->id);
        shl_fb_ref visible = v->visible == NULL ? 0 : shl_bytes_range_to_fb(w, v->visible);
        shl_fb_ref id = shl_ulid_to_fb(w, v->id);
        shl_fbw_begin(w);
        shl_fbw_ref(w, VIEW_VISIBLE_RANGE, visible);
        shl_fbw_ref(w, VIEW_SST_ID, sst_id);
        shl_fbw_ref(w, VIEW_ID, id);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, mark);
}

struct tree_refs {
    shl_fb_ref l0;
    shl_fb_ref watermark; /* 0 if there is none */
    shl_fb_ref compacted;
};

static struct tree_refs tree_to_fb(struct shl_fbw *w, const struct shl_tree *t)
{
    struct tree_refs refs = {.l0 = views_to_fb(w, &t->l0)};
    if (t->has_watermark)
        refs.watermark = shl_ulid_to_fb(w, t->watermark);
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < t->runs.count; i++) {
        const struct shl_run *r = &t->runs.items[i];
        if (i > 0)
            SHL_ASSERT(r->id < r[-1].id);
        shl_fb_ref ssts = views_to_fb(w, &r->ssts);
        shl_fbw_begin(w);
        shl_fbw_ref(w, RUN_SSTS, ssts);
        shl_fbw_u32(w, RUN_ID, r->id);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    refs.compacted = shl_fbw_kept(w, mark);
    return refs;
}

static shl_fb_ref segments_to_fb(struct shl_fbw *w, const struct shl_manifest *m)
{
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < m->segments.count; i++) {
        const struct shl_segment *s = &m->segments.items[i];
        if (i > 0)
            SHL_ASSERT(shl_slice_cmp(shl_buf_view(&s[-1].prefix), shl_buf_view(&s->prefix)) < 0);
        shl_fb_ref prefix = shl_fbw_bytes(w, shl_buf_view(&s->prefix));
        struct tree_refs tree = tree_to_fb(w, &s->tree);
        shl_fbw_begin(w);
        shl_fbw_ref(w, SEGMENT_COMPACTED, tree.compacted);
        shl_fbw_ref(w, SEGMENT_L0, tree.l0);
        shl_fbw_ref(w, SEGMENT_WATERMARK, tree.watermark);
        shl_fbw_ref(w, SEGMENT_PREFIX, prefix);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, mark);
}

/* ---------------------------------------------------------------- checkpoints and external databases */

static shl_fb_ref metadata_to_fb(struct shl_fbw *w, const struct shl_checkpoint *c)
{
    if (c->metadata_type == 0)
        return 0;
    shl_fbw_begin(w);
    shl_fbw_u64(w, WRITER_CHECKPOINT_EPOCH, c->writer_epoch);
    return shl_fbw_end(w);
}

static shl_fb_ref checkpoints_to_fb(struct shl_fbw *w, const struct shl_manifest *m)
{
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < m->checkpoints.count; i++) {
        const struct shl_checkpoint *c = &m->checkpoints.items[i];
        SHL_ASSERT(c->metadata_type <= 1);
        shl_fb_ref id = shl_ulid_to_fb(w, c->id);
        shl_fb_ref metadata = metadata_to_fb(w, c);
        shl_fb_ref name = c->name == NULL ? 0 : shl_fbw_string(w, c->name);
        shl_fbw_begin(w);
        shl_fbw_u64(w, CHECKPOINT_MANIFEST_ID, c->manifest_id);
        shl_fbw_ref(w, CHECKPOINT_NAME, name);
        shl_fbw_ref(w, CHECKPOINT_METADATA, metadata);
        shl_fbw_u32(w, CHECKPOINT_CREATE_S, c->create_s);
        shl_fbw_u32(w, CHECKPOINT_EXPIRE_S, c->expire_s);
        shl_fbw_ref(w, CHECKPOINT_ID, id);
        shl_fbw_u8(w, CHECKPOINT_METADATA_TYPE, c->metadata_type);
        shl_fbw_keep(w, shl_fbw_end(w));
    }
    return shl_fbw_kept(w, mark);
}

static shl_fb_ref external_to_fb(struct shl_fbw *w, const struct shl_external_db *e)
{
    shl_fb_ref path = shl_fbw_string(w, e->path);
    shl_fb_ref source = shl_ulid_to_fb(w, e->source_checkpoint);
    shl_fb_ref final = e->has_final_checkpoint ? shl_ulid_to_fb(w, e->final_checkpoint) : 0;
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < e->sst_ids.count; i++)
        shl_fbw_keep(w, shl_ulid_to_fb(w, e->sst_ids.items[i]));
    shl_fb_ref sst_ids = shl_fbw_kept(w, mark);
    shl_fbw_begin(w);
    shl_fbw_ref(w, EXTERNAL_SST_IDS, sst_ids);
    shl_fbw_ref(w, EXTERNAL_FINAL, final);
    shl_fbw_ref(w, EXTERNAL_SOURCE, source);
    shl_fbw_ref(w, EXTERNAL_PATH, path);
    return shl_fbw_end(w);
}

static shl_fb_ref externals_to_fb(struct shl_fbw *w, const struct shl_manifest *m)
{
    if (m->external_dbs.count == 0 && !m->has_external_dbs)
        return 0;
    size_t mark = shl_fbw_mark(w);
    for (size_t i = 0; i < m->external_dbs.count; i++)
        shl_fbw_keep(w, external_to_fb(w, &m->external_dbs.items[i]));
    return shl_fbw_kept(w, mark);
}

/* ---------------------------------------------------------------- the whole */

static shl_fb_ref manifest_to_fb(struct shl_fbw *w, const struct shl_manifest *m,
                                 const descs *all_ssts)
{
    shl_fb_ref ssts = ssts_to_fb(w, all_ssts);
    struct tree_refs root = tree_to_fb(w, &m->root);
    shl_fb_ref segments = segments_to_fb(w, m);
    shl_fb_ref extractor =
        m->segment_extractor_name == NULL ? 0 : shl_fbw_string(w, m->segment_extractor_name);
    shl_fb_ref checkpoints = checkpoints_to_fb(w, m);
    shl_fb_ref externals = externals_to_fb(w, m);
    shl_fb_ref tracker =
        m->has_sequence_tracker ? shl_fbw_bytes(w, shl_buf_view(&m->sequence_tracker)) : 0;
    shl_fbw_begin(w);
    shl_fbw_u64(w, M2_RECENT_SNAPSHOT_MIN_SEQ, m->recent_snapshot_min_seq);
    shl_fbw_u64(w, M2_LAST_L0_SEQ, m->last_l0_seq);
    shl_fbw_u64(w, M2_LAST_L0_CLOCK_TICK, (uint64_t)m->last_l0_clock_tick);
    shl_fbw_u64(w, M_WAL_ID_LAST_SEEN, m->wal_id_last_seen);
    shl_fbw_u64(w, M_REPLAY_AFTER_WAL_ID, m->replay_after_wal_id);
    shl_fbw_u64(w, M_COMPACTOR_EPOCH, m->compactor_epoch);
    shl_fbw_u64(w, M_WRITER_EPOCH, m->writer_epoch);
    shl_fbw_u64(w, M_MANIFEST_ID, m->manifest_id_field);
    shl_fbw_ref(w, M2_SEGMENT_EXTRACTOR_NAME, extractor);
    shl_fbw_ref(w, M2_SEGMENTS, segments);
    shl_fbw_ref(w, M2_SEQUENCE_TRACKER, tracker);
    shl_fbw_ref(w, M2_CHECKPOINTS, checkpoints);
    shl_fbw_ref(w, M2_COMPACTED, root.compacted);
    shl_fbw_ref(w, M2_L0, root.l0);
    shl_fbw_ref(w, M2_SSTS, ssts);
    shl_fbw_ref(w, M2_WATERMARK, root.watermark);
    shl_fbw_ref(w, M_EXTERNAL_DBS, externals);
    shl_fbw_u8(w, M_INITIALIZED, m->initialized ? 1 : 0);
    return shl_fbw_end(w);
}

shale_code shl_manifest_encode(const struct shl_manifest *m, struct shl_buf *out, shale_error *err)
{
    static const uint8_t version[2] = {0, 2};
    shale_code rc;
    size_t start = out->len;
    descs ssts = {0};
    struct shl_fbw w = {.data = NULL};
    if (!collect_ssts(m, &ssts)) {
        rc = shl_nomem(err);
        goto out;
    }
    SHL_TRY(shl_buf_append(out, version, sizeof version, err));
    SHL_TRY(shl_fbw_finish(&w, manifest_to_fb(&w, m, &ssts), out, err));
out:
    if (rc != SHALE_OK)
        out->len = start;
    shl_fbw_deinit(&w);
    shl_array_free(&ssts);
    return rc;
}
