#include "lsm/recency.h"

#include "base/num.h"
#include "lsm/db_internal.h"
#include "lsm/source_chain.h"

#define FAR_WINDOW_FIRST_BYTES ((size_t)64 * 1024)

struct shl_recency {
    struct shl_lsm *db;
    struct shl_version *version;       /* counted */
    const struct shl_level_tree *tree; /* NULL: no segment has such keys */
    struct shl_buf prefix;             /* owned */
    struct shl_slice prefix_view;
    struct shl_buf context; /* owned: for filters of the application */
    struct shl_read_plan plan;
    struct shl_read_budget budget;
    uint64_t max_seq;
    struct shl_source *source; /* owned: of the layer before `next`; NULL: none */
    size_t next;
    bool advance; /* the source stands on the row that was given */
    shale_error failure;
};

/* The one tree whose keys may begin with the prefix. */
static shale_code find_tree(struct shl_recency *r, shale_error *err)
{
    const struct shl_levels *l = r->version->levels;
    if (l->tree_count == 1) {
        r->tree = &l->trees[0];
        return SHALE_OK;
    }
    for (size_t i = 1; i < l->tree_count; i++) {
        struct shl_slice segment = l->trees[i].prefix;
        if (!shl_slice_has_prefix(segment, r->prefix_view) &&
            !shl_slice_has_prefix(r->prefix_view, segment))
            continue;
        if (r->tree != NULL)
            return shl_fail(err, SHALE_INVALID,
                            "scan by recency: the prefix of %zu bytes lies in more than one "
                            "segment, which have layers of their own",
                            r->prefix_view.len);
        r->tree = &l->trees[i];
    }
    return SHALE_OK;
}

static void make_plan(struct shl_recency *r, const struct shl_lsm_scan *how)
{
    const struct shl_lsm_settings *s = &r->db->settings;
    r->budget.max_bytes = s->scan_window_bytes;
    r->plan = (struct shl_read_plan){
        .use_cache = true,
        .fill_cache = how->cache_blocks,
        .window_first_bytes = r->db->fanout == NULL
                                  ? s->sst_block_size_bytes
                                  : shl_max_size(s->sst_block_size_bytes, FAR_WINDOW_FIRST_BYTES),
        .window_max_bytes = how->read_ahead_bytes > 0 ? (size_t)how->read_ahead_bytes
                                                      : (size_t)s->scan_window_bytes,
        .fanout = r->db->fanout,
        .budget = &r->budget,
        .lower = r->prefix_view.len > 0 ? &r->prefix_view : NULL,
        .has_prefix = r->prefix_view.len > 0,
        .prefix = r->prefix_view,
        .context = shl_buf_view(&r->context)};
}

shale_code shl_recency_open(struct shl_lsm *db, struct shl_slice prefix,
                            const struct shl_lsm_scan *how, struct shl_recency **out,
                            shale_error *err)
{
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_recency *r = env_calloc(1, sizeof *r);
    if (r == NULL)
        return shl_nomem(err);
    r->db = db;
    r->version = how->view != NULL && how->view->version != NULL
                     ? shl_version_ref(how->view->version)
                     : shl_lsm_version(db);
    r->max_seq = shl_lsm_limit(db, how->remote_only, how->view);
    (void)env_fetch_add(&db->scans, 1);
    SHL_TRY(shl_buf_set(&r->prefix, prefix, err));
    SHL_TRY(shl_buf_set(&r->context, how->filter_context, err));
    r->prefix_view = shl_buf_view(&r->prefix);
    SHL_TRY(find_tree(r, err));
    make_plan(r, how);
    *out = r;
    r = NULL;
out:
    shl_recency_close(r);
    return rc;
}

void shl_recency_close(struct shl_recency *r)
{
    if (r == NULL)
        return;
    shl_source_close(r->source);
    shl_version_unref(r->version);
    shl_buf_free(&r->prefix);
    shl_buf_free(&r->context);
    env_free(r);
}

/* Opens layer i, if there is something to read in it. DONE: there is no such layer. */
static shale_code open_layer(struct shl_recency *r, size_t i, shale_error *err)
{
    const struct shl_version *v = r->version;
    const struct shl_level_tree *t = r->tree;
    if (i == 0)
        return shl_memtable_source_new(v->active, false, &r->source, err);
    i--;
    if (i < v->frozen_count)
        return shl_memtable_source_new(v->frozen[i], false, &r->source, err);
    i -= v->frozen_count;
    if (t == NULL)
        return SHALE_DONE;
    if (i < t->l0_count) {
        const struct shl_level_sst *s = &v->levels->ssts[t->l0_first + i];
        if (r->plan.has_prefix &&
            !shl_sst_may_contain_prefix(s->sst, r->plan.prefix, r->plan.context))
            return SHALE_OK;
        return shl_level_sst_source_new(s, &r->plan, &r->source, err);
    }
    i -= t->l0_count;
    if (i < t->run_count)
        return shl_run_source_new(v->levels, &v->levels->runs[t->run_first + i], &r->plan,
                                  &r->source, err);
    return SHALE_DONE;
}

static shale_code next_layer(struct shl_recency *r, shale_error *err)
{
    shl_source_close(r->source);
    r->source = NULL;
    r->advance = false;
    shale_code rc = open_layer(r, r->next, err);
    r->next += rc == SHALE_OK;
    if (rc == SHALE_OK && r->source != NULL)
        rc = shl_source_seek(r->source, r->prefix_view.len > 0 ? &r->prefix_view : NULL, err);
    return rc;
}

static shale_code step(struct shl_recency *r, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (;;) {
        struct shl_source *s = r->source;
        if (s != NULL && r->advance)
            rc = shl_source_next(s, err);
        r->advance = true;
        if (rc != SHALE_OK)
            return rc;
        if (s == NULL || !s->valid || !shl_slice_has_prefix(s->row.key, r->prefix_view))
            rc = next_layer(r, err);
        else if (s->row.seq <= r->max_seq)
            return SHALE_OK;
        if (rc != SHALE_OK)
            return rc;
    }
}

shale_code shl_recency_next(struct shl_recency *r, struct shl_row *out, size_t *layer,
                            shale_error *err)
{
    if (r->failure.code != SHALE_OK) {
        *err = r->failure;
        return err->code;
    }
    shale_code rc = step(r, err);
    if (rc == SHALE_OK) {
        *out = r->source->row;
        *layer = r->next - 1;
    } else if (rc != SHALE_DONE) {
        r->failure = *err;
    }
    return rc;
}
