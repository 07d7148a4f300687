/* What a caller asks of SSTs: into the caches, out of them, and how much of them lies in a range of keys. */
#include "lsm/db_ssts.h"

#include "lsm/db_internal.h"
#include "lsm/inspect/inspect.h"

#include <inttypes.h>

#define WARM_WINDOW_BYTES ((size_t)1 << 20)
#define WARM_AHEAD_BYTES  ((uint64_t)8 << 20)

/* ---------------------------------------------------------------- bounds */

/* Keys from .. to, both inclusive where they are there. */
struct span {
    struct shl_slice lower, upper;
    bool has_lower, has_upper;
    struct shl_buf end; /* owned: of a prefix */
};

static shale_code span_of(const struct shl_lsm_range *r, struct span *out, shale_error *err)
{
    *out = (struct span){.lower = r->from,
                         .upper = r->to,
                         .has_lower = r->is_prefix || r->from_kind != SHL_LSM_UNBOUNDED,
                         .has_upper = r->to_kind != SHL_LSM_UNBOUNDED};
    if (!r->is_prefix)
        return SHALE_OK;
    shale_code rc = shl_lsm_prefix_end(r->from, &out->end, &out->has_upper, err);
    out->upper = shl_buf_view(&out->end);
    return rc;
}

/* Whether something of the view can lie in it. */
static bool meets(const struct span *s, const struct shl_key_range *view)
{
    if (s->has_upper && shl_slice_cmp(view->start, s->upper) > 0)
        return false;
    return !s->has_lower || view->end_unbounded || shl_slice_cmp(view->end, s->lower) >= 0;
}

/* ---------------------------------------------------------------- one SST */

/* The handle of an SST of the newest version, which is held. NOT_FOUND: it is in no tree. */
static shale_code find_sst(struct shl_lsm *db, const char *name, struct shl_version **version,
                           struct shl_sst **out, shale_error *err)
{
    struct shl_ulid id;
    if (!shl_ulid_parse(shl_slice_str(name), &id))
        return shl_fail(err, SHALE_INVALID, "sst %s: it is no ULID of 26 characters", name);
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_version *v = shl_lsm_version(db);
    const struct shl_levels *l = v->levels;
    for (size_t i = 0; i < l->sst_count; i++)
        if (shl_ulid_eq(shl_sst_describe(l->ssts[i].sst)->id, id)) {
            *out = l->ssts[i].sst;
            *version = v;
            return SHALE_OK;
        }
    uint64_t manifest = l->manifest_id;
    shl_version_unref(v);
    return shl_fail(err, SHALE_NOT_FOUND, "sst %s: manifest %" PRIu64 " of \"%s\" has none", name,
                    manifest, db->paths.r1);
}

/* As a scan that keeps what it reads. */
static shale_code warm_data(struct shl_lsm *db, struct shl_sst *t, const struct span *s,
                            shale_error *err)
{
    struct shl_read_budget budget = {.max_bytes = WARM_AHEAD_BYTES};
    struct shl_source *rows = NULL;
    struct shl_sst_scan how = {.range = {.end_unbounded = true},
                               .lower = s->has_lower ? &s->lower : NULL,
                               .upper = s->has_upper ? &s->upper : NULL,
                               .use_cache = true,
                               .fill_cache = true,
                               .window_first_bytes = WARM_WINDOW_BYTES,
                               .window_max_bytes = WARM_WINDOW_BYTES,
                               .fanout = db->fanout,
                               .budget = &budget};
    shale_code rc = shl_sst_source_new(t, &how, &rows, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_source_seek(rows, s->has_lower ? &s->lower : NULL, err);
    while (rc == SHALE_OK && rows->valid &&
           (!s->has_upper || shl_slice_cmp(rows->row.key, s->upper) <= 0))
        rc = shl_source_next(rows, err);
    shl_source_close(rows);
    return rc;
}

shale_code shl_lsm_warm_sst(struct shl_lsm *db, const char *name, const struct shl_lsm_warm *what,
                            shale_error *err)
{
    struct shl_version *v = NULL;
    struct shl_sst_meta *m = NULL;
    struct shl_sst *t = NULL;
    struct span s = {.end = {0}};
    shale_code rc;
    SHL_TRY(find_sst(db, name, &v, &t, err));
    SHL_TRY(span_of(&what->range, &s, err));
    if (what->filters)
        rc = shl_sst_hold_meta(t, &m, err);
    else
        rc = shl_sst_hold_index(t, &m, err); /* all else needs it */
    if (rc == SHALE_OK && what->data)
        rc = warm_data(db, t, &s, err);
out:
    shl_sst_release_meta(m);
    shl_buf_free(&s.end);
    if (v != NULL)
        shl_version_unref(v);
    return rc;
}

shale_code shl_lsm_evict_sst(struct shl_lsm *db, const char *name, shale_error *err)
{
    struct shl_version *v;
    struct shl_sst *t;
    shale_code rc = find_sst(db, name, &v, &t, err);
    if (rc != SHALE_OK)
        return rc;
    shl_sst_evict(t);
    shl_version_unref(v);
    return SHALE_OK;
}

/* ---------------------------------------------------------------- what is new */

bool shl_lsm_warms(const struct shl_lsm *db)
{
    return db->settings.cache_flushed != SHL_KEEP_NOTHING ||
           db->settings.cache_compacted != SHL_KEEP_NOTHING;
}

static bool is_stopping(struct shl_lsm *db)
{
    env_mutex_lock(&db->mu);
    bool stops = db->stopping || env_load_relaxed(&db->closed) != SHALE_OK;
    env_mutex_unlock(&db->mu);
    return stops;
}

/* What fails is no matter: a read asks again, and hears of it. */
static void warm_new(struct shl_lsm *db, struct shl_sst *t, enum shl_keep_new what)
{
    static const struct span all = {.has_lower = false};
    struct shl_sst_meta *m = NULL;
    shale_error ignored;
    if (what == SHL_KEEP_NOTHING || is_stopping(db))
        return;
    if (shl_sst_hold_meta(t, &m, &ignored) == SHALE_OK && what == SHL_KEEP_ALL)
        shl_ignore(warm_data(db, t, &all, &ignored));
    shl_sst_release_meta(m);
}

/* Handles stay the same from version to version, so that each remembers whether it was here. */
static void warm_some(struct shl_lsm *db, const struct shl_levels *l, size_t first, size_t count,
                      enum shl_keep_new what)
{
    for (size_t i = first; i < first + count; i++)
        if (shl_sst_is_new(l->ssts[i].sst))
            warm_new(db, l->ssts[i].sst, what);
}

static void warm_version(struct shl_lsm *db, enum shl_keep_new flushed, enum shl_keep_new compacted)
{
    struct shl_version *v = shl_lsm_version(db);
    const struct shl_levels *l = v->levels;
    for (size_t i = 0; i < l->tree_count; i++)
        warm_some(db, l, l->trees[i].l0_first, l->trees[i].l0_count, flushed);
    for (size_t i = 0; i < l->run_count; i++)
        warm_some(db, l, l->runs[i].first, l->runs[i].count, compacted);
    shl_version_unref(v);
}

void shl_warm_begin(struct shl_lsm *db)
{
    warm_version(db, SHL_KEEP_NOTHING, SHL_KEEP_NOTHING);
}

void shl_warm_task(void *arg)
{
    struct shl_lsm *db = arg;
    uint64_t seen = 0;
    env_mutex_lock(&db->mu);
    for (;;) {
        db->status_waiters++;
        while (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK && db->changes == seen)
            env_cond_wait(&db->status_cond, &db->mu);
        db->status_waiters--;
        seen = db->changes;
        if (db->stopping || env_load_relaxed(&db->closed) != SHALE_OK)
            break;
        env_mutex_unlock(&db->mu);
        warm_version(db, db->settings.cache_flushed, db->settings.cache_compacted);
        env_mutex_lock(&db->mu);
    }
    env_mutex_unlock(&db->mu);
}

/* ---------------------------------------------------------------- how large a range is */

static shale_code add_bytes(const struct shl_level_sst *s, const struct span *span, uint64_t *sum,
                            shale_error *err)
{
    struct shl_sst_meta *m;
    if (!meets(span, &s->range))
        return SHALE_OK;
    shale_code rc = shl_sst_hold_index(s->sst, &m, err);
    if (rc != SHALE_OK)
        return rc;
    *sum += shl_sst_bytes_between(m, span->has_lower ? &span->lower : NULL,
                                  span->has_upper ? &span->upper : NULL);
    shl_sst_release_meta(m);
    return SHALE_OK;
}

shale_code shl_lsm_range_bytes(struct shl_lsm *db, const struct shl_lsm_range *range,
                               uint64_t *out_bytes, shale_error *err)
{
    struct span span;
    uint64_t sum = 0;
    shale_code rc = shl_lsm_check(db, err);
    if (rc == SHALE_OK)
        rc = span_of(range, &span, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_version *v = shl_lsm_version(db);
    for (size_t i = 0; i < v->levels->sst_count && rc == SHALE_OK; i++)
        rc = add_bytes(&v->levels->ssts[i], &span, &sum, err);
    shl_version_unref(v);
    shl_buf_free(&span.end);
    if (rc == SHALE_OK)
        *out_bytes = sum;
    return rc;
}

/* ---------------------------------------------------------------- the manifest */

void shl_lsm_manifest_json(struct shl_lsm *db, struct shl_json_writer *w)
{
    struct shl_version *v = shl_lsm_version(db);
    shl_inspect_manifest_value(w, v->levels->manifest, v->levels->manifest_id);
    shl_version_unref(v);
}

void shl_lsm_segments(struct shl_lsm *db,
                      bool (*visit)(void *ctx, struct shl_slice prefix, uint64_t l0_count,
                                    uint64_t run_count),
                      void *ctx)
{
    struct shl_version *v = shl_lsm_version(db);
    const struct shl_levels *l = v->levels;
    for (size_t i = 1; i < l->tree_count; i++) /* the first is the root tree */
        if (!visit(ctx, l->trees[i].prefix, l->trees[i].l0_count, l->trees[i].run_count))
            break;
    shl_version_unref(v);
}
