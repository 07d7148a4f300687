/* The manifest in memory: copies, releases, and small changes. Descriptors of SSTs are shared between copies by counting. */
#include "lsm/format/manifest.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

/* ---------------------------------------------------------------- ranges and views */

void shl_bytes_range_deinit(struct shl_bytes_range *r)
{
    shl_buf_free(&r->start.key);
    shl_buf_free(&r->end.key);
}

shale_code shl_bytes_range_copy(const struct shl_bytes_range *from, struct shl_bytes_range *out,
                                shale_error *err)
{
    shale_code rc;
    struct shl_bytes_range r = {.start = {.type = from->start.type},
                                .end = {.type = from->end.type}};
    SHL_TRY(shl_buf_set(&r.start.key, shl_buf_view(&from->start.key), err));
    SHL_TRY(shl_buf_set(&r.end.key, shl_buf_view(&from->end.key), err));
    *out = r;
    return SHALE_OK;
out:
    shl_bytes_range_deinit(&r);
    return rc;
}

void shl_sst_view_deinit(struct shl_sst_view *v)
{
    shl_sst_desc_unref(v->sst);
    if (v->visible != NULL)
        shl_bytes_range_deinit(v->visible);
    env_free(v->visible);
    *v = (struct shl_sst_view){.sst = NULL};
}

shale_code shl_sst_view_copy(const struct shl_sst_view *from, struct shl_sst_view *out,
                             shale_error *err)
{
    struct shl_bytes_range *visible = NULL;
    if (from->visible != NULL) {
        visible = env_alloc(sizeof *visible);
        if (visible == NULL)
            return shl_nomem(err);
        shale_code rc = shl_bytes_range_copy(from->visible, visible, err);
        if (rc != SHALE_OK) {
            env_free(visible);
            return rc;
        }
    }
    *out = (struct shl_sst_view){
        .id = from->id, .sst = shl_sst_desc_ref(from->sst), .visible = visible};
    return SHALE_OK;
}

static void later_start(struct shl_slice *start, struct shl_slice other)
{
    if (shl_slice_cmp(other, *start) > 0)
        *start = other;
}

static void earlier_end(struct shl_key_range *r, struct shl_slice end, bool inclusive)
{
    int c = r->end_unbounded ? -1 : shl_slice_cmp(end, r->end);
    if (c < 0 || (c == 0 && !inclusive)) {
        r->end = end;
        r->end_inclusive = inclusive;
        r->end_unbounded = false;
    }
}

void shl_sst_view_range(const struct shl_sst_view *v, struct shl_key_range *out)
{
    const struct shl_sst_info *info = &v->sst->info;
    *out = (struct shl_key_range){.end_unbounded = true};
    if (info->has_first_entry)
        out->start = info->first_entry;
    if (info->has_last_entry)
        earlier_end(out, info->last_entry, true);
    if (v->visible == NULL)
        return;
    SHL_ASSERT(v->visible->start.type != SHL_BOUND_EXCLUDED);
    if (v->visible->start.type == SHL_BOUND_INCLUDED)
        later_start(&out->start, shl_buf_view(&v->visible->start.key));
    if (v->visible->end.type != SHL_BOUND_UNBOUNDED)
        earlier_end(out, shl_buf_view(&v->visible->end.key),
                    v->visible->end.type == SHL_BOUND_INCLUDED);
}

/* Whether keys at `key` are before the end. */
static bool before_end(const struct shl_key_range *r, struct shl_slice key)
{
    if (r->end_unbounded)
        return true;
    int c = shl_slice_cmp(key, r->end);
    return c < 0 || (c == 0 && r->end_inclusive);
}

bool shl_key_range_empty(const struct shl_key_range *r)
{
    return !before_end(r, r->start);
}

bool shl_key_range_contains(const struct shl_key_range *r, struct shl_slice key)
{
    return shl_slice_cmp(key, r->start) >= 0 && before_end(r, key);
}

/* ---------------------------------------------------------------- trees */

static void views_deinit(shl_sst_views *views)
{
    for (size_t i = 0; i < views->count; i++)
        shl_sst_view_deinit(&views->items[i]);
    shl_array_free(views);
}

/* `out` is empty; on failure it holds what was copied so far. */
static shale_code views_copy(const shl_sst_views *from, shl_sst_views *out, shale_error *err)
{
    if (from->count > 0 && !shl_array_reserve(out, from->count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->count; i++) {
        shale_code rc = shl_sst_view_copy(&from->items[i], &out->items[i], err);
        if (rc != SHALE_OK)
            return rc;
        out->count++;
    }
    return SHALE_OK;
}

void shl_run_deinit(struct shl_run *r)
{
    views_deinit(&r->ssts);
}

void shl_tree_deinit(struct shl_tree *t)
{
    views_deinit(&t->l0);
    for (size_t i = 0; i < t->runs.count; i++)
        shl_run_deinit(&t->runs.items[i]);
    shl_array_free(&t->runs);
    *t = (struct shl_tree){.has_watermark = false};
}

shale_code shl_tree_copy(const struct shl_tree *from, struct shl_tree *out, shale_error *err)
{
    shale_code rc;
    struct shl_tree t = {.has_watermark = from->has_watermark, .watermark = from->watermark};
    SHL_TRY(views_copy(&from->l0, &t.l0, err));
    if (from->runs.count > 0 && !shl_array_reserve(&t.runs, from->runs.count)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < from->runs.count; i++) {
        shl_array_add(&t.runs, ((struct shl_run){.id = from->runs.items[i].id}));
        SHL_TRY(views_copy(&from->runs.items[i].ssts, &t.runs.items[i].ssts, err));
    }
    *out = t;
    return SHALE_OK;
out:
    shl_tree_deinit(&t);
    return rc;
}

shale_code shl_tree_push_l0(struct shl_tree *t, struct shl_sst_desc *sst, shale_error *err)
{
    if (!shl_array_reserve(&t->l0, 1))
        return shl_nomem(err);
    memmove(t->l0.items + 1, t->l0.items, t->l0.count * sizeof *t->l0.items);
    t->l0.items[0] = (struct shl_sst_view){.id = sst->id, .sst = shl_sst_desc_ref(sst)};
    t->l0.count++;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- segments */

static void segment_deinit(struct shl_segment *s)
{
    shl_buf_free(&s->prefix);
    shl_tree_deinit(&s->tree);
}

/* Index of the first segment whose prefix is not below `prefix`. */
static size_t segment_place(const struct shl_manifest *m, struct shl_slice prefix)
{
    size_t low = 0;
    size_t high = m->segments.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (shl_slice_cmp(shl_buf_view(&m->segments.items[mid].prefix), prefix) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct shl_segment *shl_manifest_segment(struct shl_manifest *m, struct shl_slice prefix)
{
    size_t i = segment_place(m, prefix);
    if (i < m->segments.count && shl_slice_eq(shl_buf_view(&m->segments.items[i].prefix), prefix))
        return &m->segments.items[i];
    return NULL;
}

shale_code shl_manifest_add_segment(struct shl_manifest *m, struct shl_slice prefix,
                                    struct shl_segment **out, shale_error *err)
{
    SHL_ASSERT(shl_manifest_segment(m, prefix) == NULL);
    struct shl_segment s = {.prefix = {0}};
    if (!shl_array_reserve(&m->segments, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_set(&s.prefix, prefix, err);
    if (rc != SHALE_OK)
        return rc;
    size_t i = segment_place(m, prefix);
    struct shl_segment *at = m->segments.items + i;
    memmove(at + 1, at, (m->segments.count - i) * sizeof *at);
    *at = s;
    m->segments.count++;
    *out = at;
    return SHALE_OK;
}

void shl_manifest_remove_segment(struct shl_manifest *m, size_t index)
{
    SHL_ASSERT(index < m->segments.count);
    struct shl_segment *at = m->segments.items + index;
    segment_deinit(at);
    memmove(at, at + 1, (m->segments.count - index - 1) * sizeof *at);
    m->segments.count--;
}

bool shl_manifest_has_ssts(const struct shl_manifest *m)
{
    return m->root.l0.count + m->root.runs.count + m->segments.count > 0;
}

/* ---------------------------------------------------------------- external databases */

static bool is_borrowed(const struct shl_manifest *m, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < m->external_dbs.count; i++)
        for (size_t k = 0; k < m->external_dbs.items[i].sst_ids.count; k++)
            if (shl_ulid_eq(m->external_dbs.items[i].sst_ids.items[k], sst_id))
                return true;
    return false;
}

static bool has_own_l0(const struct shl_manifest *m, const struct shl_tree *t)
{
    for (size_t i = 0; i < t->l0.count; i++)
        if (!is_borrowed(m, t->l0.items[i].sst->id))
            return true;
    return false;
}

/* Runs of its own tell nothing: a compactor needs no writer. */
static bool had_a_writer(const struct shl_manifest *m)
{
    bool had = m->external_dbs.count == 0 || has_own_l0(m, &m->root);
    for (size_t i = 0; i < m->segments.count && !had; i++)
        had = has_own_l0(m, &m->segments.items[i].tree);
    return had;
}

bool shl_manifest_lacks_wal(const struct shl_manifest *m, uint64_t end, bool none)
{
    return end < m->wal_id_last_seen ||
           (none && m->replay_after_wal_id > 0 && shl_manifest_has_ssts(m) && had_a_writer(m));
}

void shl_manifest_tell_of_wal(struct shl_manifest *m)
{
    if (m->external_dbs.count > 0 && m->wal_id_last_seen > 0)
        m->replay_after_wal_id = shl_min_u64(m->replay_after_wal_id, m->wal_id_last_seen - 1);
}

static void external_deinit(struct shl_external_db *e)
{
    env_free(e->path);
    shl_array_free(&e->sst_ids);
}

void shl_manifest_remove_external(struct shl_manifest *m, size_t index)
{
    SHL_ASSERT(index < m->external_dbs.count);
    struct shl_external_db *at = m->external_dbs.items + index;
    external_deinit(at);
    memmove(at, at + 1, (m->external_dbs.count - index - 1) * sizeof *at);
    m->external_dbs.count--;
}

static shale_code external_copy(const struct shl_external_db *from, struct shl_external_db *out,
                                shale_error *err)
{
    struct shl_external_db e = {.path = env_strdup(from->path),
                                .source_checkpoint = from->source_checkpoint,
                                .final_checkpoint = from->final_checkpoint,
                                .has_final_checkpoint = from->has_final_checkpoint};
    if (e.path == NULL ||
        (from->sst_ids.count > 0 && !shl_array_reserve(&e.sst_ids, from->sst_ids.count))) {
        external_deinit(&e);
        return shl_nomem(err);
    }
    for (size_t i = 0; i < from->sst_ids.count; i++)
        shl_array_add(&e.sst_ids, from->sst_ids.items[i]);
    *out = e;
    return SHALE_OK;
}

static bool views_name(const shl_sst_views *views, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < views->count; i++)
        if (shl_ulid_eq(views->items[i].sst->id, sst_id))
            return true;
    return false;
}

static bool tree_names(const struct shl_tree *t, struct shl_ulid sst_id)
{
    if (views_name(&t->l0, sst_id))
        return true;
    for (size_t i = 0; i < t->runs.count; i++)
        if (views_name(&t->runs.items[i].ssts, sst_id))
            return true;
    return false;
}

static bool manifest_names(const struct shl_manifest *m, struct shl_ulid sst_id)
{
    if (tree_names(&m->root, sst_id))
        return true;
    for (size_t i = 0; i < m->segments.count; i++)
        if (tree_names(&m->segments.items[i].tree, sst_id))
            return true;
    return false;
}

void shl_manifest_prune_external(struct shl_manifest *m)
{
    for (size_t i = 0; i < m->external_dbs.count; i++) {
        struct shl_external_db *e = &m->external_dbs.items[i];
        size_t kept = 0;
        for (size_t k = 0; k < e->sst_ids.count; k++)
            if (manifest_names(m, e->sst_ids.items[k]))
                e->sst_ids.items[kept++] = e->sst_ids.items[k];
        e->sst_ids.count = kept;
    }
}

/* ---------------------------------------------------------------- the whole */

shale_code shl_manifest_new(struct shl_manifest **out, shale_error *err)
{
    struct shl_seq_tracker no_points = {.points = {0}};
    struct shl_manifest *m = env_alloc(sizeof *m);
    if (m == NULL)
        return shl_nomem(err);
    *m = (struct shl_manifest){.stored_version = 2,
                               .initialized = true,
                               .last_l0_clock_tick = INT64_MIN,
                               .has_sequence_tracker = true};
    shale_code rc = shl_seq_tracker_encode(&no_points, &m->sequence_tracker, err);
    if (rc != SHALE_OK) {
        shl_manifest_free(m);
        return rc;
    }
    *out = m;
    return SHALE_OK;
}

void shl_manifest_free(struct shl_manifest *m)
{
    if (m == NULL)
        return;
    env_free(m->wal_object_store_uri);
    env_free(m->segment_extractor_name);
    shl_tree_deinit(&m->root);
    for (size_t i = 0; i < m->segments.count; i++)
        segment_deinit(&m->segments.items[i]);
    shl_array_free(&m->segments);
    for (size_t i = 0; i < m->checkpoints.count; i++)
        env_free(m->checkpoints.items[i].name);
    shl_array_free(&m->checkpoints);
    for (size_t i = 0; i < m->external_dbs.count; i++)
        external_deinit(&m->external_dbs.items[i]);
    shl_array_free(&m->external_dbs);
    shl_buf_free(&m->sequence_tracker);
    env_free(m);
}

/* NULL stays NULL. */
static shale_code copy_text(const char *from, char **out, shale_error *err)
{
    *out = from == NULL ? NULL : env_strdup(from);
    return from != NULL && *out == NULL ? shl_nomem(err) : SHALE_OK;
}

static shale_code copy_segments(const struct shl_manifest *from, struct shl_manifest *m,
                                shale_error *err)
{
    if (from->segments.count > 0 && !shl_array_reserve(&m->segments, from->segments.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->segments.count; i++) {
        const struct shl_segment *s = &from->segments.items[i];
        shl_array_add(&m->segments, ((struct shl_segment){.prefix = {0}}));
        shale_code rc = shl_buf_set(&m->segments.items[i].prefix, shl_buf_view(&s->prefix), err);
        if (rc == SHALE_OK)
            rc = shl_tree_copy(&s->tree, &m->segments.items[i].tree, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code copy_checkpoints(const struct shl_manifest *from, struct shl_manifest *m,
                                   shale_error *err)
{
    if (from->checkpoints.count > 0 && !shl_array_reserve(&m->checkpoints, from->checkpoints.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->checkpoints.count; i++) {
        struct shl_checkpoint c = from->checkpoints.items[i];
        shale_code rc = copy_text(from->checkpoints.items[i].name, &c.name, err);
        if (rc != SHALE_OK)
            return rc;
        shl_array_add(&m->checkpoints, c);
    }
    return SHALE_OK;
}

static shale_code copy_externals(const struct shl_manifest *from, struct shl_manifest *m,
                                 shale_error *err)
{
    if (from->external_dbs.count > 0 &&
        !shl_array_reserve(&m->external_dbs, from->external_dbs.count))
        return shl_nomem(err);
    for (size_t i = 0; i < from->external_dbs.count; i++) {
        shale_code rc = external_copy(&from->external_dbs.items[i], &m->external_dbs.items[i], err);
        if (rc != SHALE_OK)
            return rc;
        m->external_dbs.count++;
    }
    return SHALE_OK;
}

/* The fields that own nothing. */
static struct shl_manifest plain_fields(const struct shl_manifest *from)
{
    return (struct shl_manifest){.stored_version = from->stored_version,
                                 .initialized = from->initialized,
                                 .manifest_id_field = from->manifest_id_field,
                                 .writer_epoch = from->writer_epoch,
                                 .compactor_epoch = from->compactor_epoch,
                                 .replay_after_wal_id = from->replay_after_wal_id,
                                 .wal_id_last_seen = from->wal_id_last_seen,
                                 .last_l0_clock_tick = from->last_l0_clock_tick,
                                 .last_l0_seq = from->last_l0_seq,
                                 .recent_snapshot_min_seq = from->recent_snapshot_min_seq,
                                 .has_external_dbs = from->has_external_dbs,
                                 .has_sequence_tracker = from->has_sequence_tracker};
}

shale_code shl_manifest_clone(const struct shl_manifest *from, struct shl_manifest **out,
                              shale_error *err)
{
    shale_code rc;
    struct shl_manifest *m = env_alloc(sizeof *m);
    if (m == NULL)
        return shl_nomem(err);
    *m = plain_fields(from);
    SHL_TRY(copy_text(from->wal_object_store_uri, &m->wal_object_store_uri, err));
    SHL_TRY(copy_text(from->segment_extractor_name, &m->segment_extractor_name, err));
    SHL_TRY(shl_tree_copy(&from->root, &m->root, err));
    SHL_TRY(copy_segments(from, m, err));
    SHL_TRY(copy_checkpoints(from, m, err));
    SHL_TRY(copy_externals(from, m, err));
    SHL_TRY(shl_buf_set(&m->sequence_tracker, shl_buf_view(&from->sequence_tracker), err));
    *out = m;
    return SHALE_OK;
out:
    shl_manifest_free(m);
    return rc;
}
