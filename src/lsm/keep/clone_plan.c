/* What a clone's manifest says: cutting ranges, joining trees, who owns which SST. No I/O. */
#include "lsm/keep/clone.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/view_cut.h"

#include <stdlib.h>

/* ---------------------------------------------------------------- cutting */

static struct shl_key_range range_of(const struct shl_bytes_range *r)
{
    struct shl_key_range k = {.end_unbounded = r->end.type == SHL_BOUND_UNBOUNDED,
                              .end_inclusive = r->end.type == SHL_BOUND_INCLUDED};
    SHL_ASSERT(r->start.type != SHL_BOUND_EXCLUDED);
    if (r->start.type == SHL_BOUND_INCLUDED)
        k.start = shl_buf_view(&r->start.key);
    if (!k.end_unbounded)
        k.end = shl_buf_view(&r->end.key);
    return k;
}

static shale_code cut_views(shl_sst_views *views, const struct shl_key_range *range,
                            shale_error *err)
{
    size_t kept = 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < views->count; i++) {
        bool keep = true;
        if (rc == SHALE_OK)
            rc = shl_view_cut(&views->items[i], range, &keep, err);
        if (keep)
            views->items[kept++] = views->items[i];
        else
            shl_sst_view_deinit(&views->items[i]);
    }
    views->count = kept;
    return rc;
}

static shale_code cut_tree(struct shl_tree *t, const struct shl_key_range *range, shale_error *err)
{
    size_t kept = 0;
    shale_code rc = cut_views(&t->l0, range, err);
    for (size_t i = 0; i < t->runs.count; i++) {
        if (rc == SHALE_OK)
            rc = cut_views(&t->runs.items[i].ssts, range, err);
        if (t->runs.items[i].ssts.count > 0)
            t->runs.items[kept++] = t->runs.items[i];
        else
            shl_run_deinit(&t->runs.items[i]);
    }
    t->runs.count = kept;
    return rc;
}

shale_code shl_clone_project(struct shl_manifest *m, const struct shl_bytes_range *range,
                             shale_error *err)
{
    struct shl_key_range k = range_of(range);
    shale_code rc = cut_tree(&m->root, &k, err);
    for (size_t i = m->segments.count; i-- > 0 && rc == SHALE_OK;) {
        struct shl_tree *t = &m->segments.items[i].tree;
        rc = cut_tree(t, &k, err);
        if (rc == SHALE_OK && t->l0.count == 0 && t->runs.count == 0)
            shl_manifest_remove_segment(m, i);
    }
    if (rc == SHALE_OK)
        shl_manifest_prune_external(m);
    return rc;
}

static bool is_unbounded(const struct shl_bytes_range *r)
{
    return r->start.type == SHL_BOUND_UNBOUNDED && r->end.type == SHL_BOUND_UNBOUNDED;
}

static bool is_named(const struct shl_clone_source *s, struct shl_slice prefix)
{
    bool named = s->segment_count == 0;
    for (size_t i = 0; i < s->segment_count; i++)
        named = named || shl_slice_eq(s->segments[i], prefix);
    return named;
}

static shale_code no_segment(struct shl_slice prefix, const char *r1, shale_error *err)
{
    struct shl_buf shown = {0};
    shale_code rc = shl_text_escape(prefix, &shown, err);
    if (rc == SHALE_OK)
        rc = shl_fail(err, SHALE_NOT_FOUND, "clone: \"%s\" has no segment with prefix \"%.*s\"", r1,
                      (int)shl_min_size(shown.len, 200), (const char *)shown.data);
    shl_buf_free(&shown);
    return rc;
}

static shale_code check_names(struct shl_manifest *m, const struct shl_clone_source *s,
                              const char *r1, shale_error *err)
{
    if (m->segment_extractor_name == NULL)
        return shl_fail(err, SHALE_INVALID, "clone: \"%s\" has no segments to choose from", r1);
    for (size_t i = 0; i < s->segment_count; i++)
        if (shl_manifest_segment(m, s->segments[i]) == NULL)
            return no_segment(s->segments[i], r1, err);
    return SHALE_OK;
}

static shale_code pick_segment(struct shl_segment *seg, const struct shl_clone_source *s,
                               bool *keep, shale_error *err)
{
    struct shl_bytes_range only = {.start = {.type = SHL_BOUND_UNBOUNDED},
                                   .end = {.type = SHL_BOUND_UNBOUNDED}};
    shale_code rc;
    *keep = is_named(s, shl_buf_view(&seg->prefix));
    if (!*keep || s->segment == NULL)
        return SHALE_OK;
    SHL_TRY(s->segment(s->segment_ctx, shl_buf_view(&seg->prefix), keep, &only, err));
    if (*keep && !is_unbounded(&only)) {
        struct shl_key_range k = range_of(&only);
        SHL_TRY(cut_tree(&seg->tree, &k, err));
        *keep = seg->tree.l0.count + seg->tree.runs.count > 0;
    }
out:
    shl_bytes_range_deinit(&only);
    return rc;
}

shale_code shl_clone_pick_segments(struct shl_manifest *m, const struct shl_clone_source *s,
                                   const char *r1, shale_error *err)
{
    shale_code rc = check_names(m, s, r1, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = m->segments.count; i-- > 0;) {
        bool keep;
        rc = pick_segment(&m->segments.items[i], s, &keep, err);
        if (rc != SHALE_OK)
            return rc;
        if (!keep)
            shl_manifest_remove_segment(m, i);
    }
    shl_manifest_prune_external(m);
    return SHALE_OK;
}

/* ---------------------------------------------------------------- who owns which SST */

static bool lists(const struct shl_external_db *e, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < e->sst_ids.count; i++)
        if (shl_ulid_eq(e->sst_ids.items[i], sst_id))
            return true;
    return false;
}

static bool is_inherited(const struct shl_manifest *m, struct shl_ulid sst_id)
{
    for (size_t i = 0; i < m->external_dbs.count; i++)
        if (lists(&m->external_dbs.items[i], sst_id))
            return true;
    return false;
}

static bool add_own(struct shl_external_db *e, const struct shl_manifest *m,
                    const shl_sst_views *views)
{
    for (size_t i = 0; i < views->count; i++) {
        struct shl_ulid id = views->items[i].sst->id;
        if (!is_inherited(m, id) && !lists(e, id) && !shl_array_push(&e->sst_ids, id))
            return false;
    }
    return true;
}

static bool add_own_tree(struct shl_external_db *e, const struct shl_manifest *m,
                         const struct shl_tree *t)
{
    bool ok = add_own(e, m, &t->l0);
    for (size_t i = 0; ok && i < t->runs.count; i++)
        ok = add_own(e, m, &t->runs.items[i].ssts);
    return ok;
}

static void external_free(struct shl_external_db *e)
{
    env_free(e->path);
    shl_array_free(&e->sst_ids);
}

static bool same_ids(const struct shl_external_db *a, const struct shl_external_db *b)
{
    bool same = a->sst_ids.count == b->sst_ids.count;
    for (size_t i = 0; same && i < a->sst_ids.count; i++)
        same = lists(b, a->sst_ids.items[i]);
    return same;
}

/* Takes e. What another source borrows from the same place just so is borrowed once. */
static shale_code add_external(struct shl_manifest *to, struct shl_external_db *e, shale_error *err)
{
    for (size_t i = 0; i < to->external_dbs.count; i++) {
        const struct shl_external_db *there = &to->external_dbs.items[i];
        if (strcmp(there->path, e->path) == 0 && same_ids(there, e)) {
            external_free(e);
            return SHALE_OK;
        }
    }
    if (shl_array_push(&to->external_dbs, *e))
        return SHALE_OK;
    external_free(e);
    return shl_nomem(err);
}

/* The source's own parents as far as their SSTs are still in use, and the source itself. */
static shale_code add_borrowed(struct shl_manifest *to, const struct shl_clone_part *p,
                               shale_error *err)
{
    const struct shl_manifest *m = p->manifest;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < m->external_dbs.count && rc == SHALE_OK; i++) {
        const struct shl_external_db *from = &m->external_dbs.items[i];
        struct shl_external_db e = {.path = env_strdup(from->path),
                                    .source_checkpoint = from->final_checkpoint,
                                    .final_checkpoint = shl_checkpoint_new_id(),
                                    .has_final_checkpoint = true};
        bool ok = e.path != NULL && shl_array_reserve(&e.sst_ids, from->sst_ids.count);
        for (size_t k = 0; ok && k < from->sst_ids.count; k++)
            shl_array_add(&e.sst_ids, from->sst_ids.items[k]);
        if (ok && e.sst_ids.count > 0) {
            rc = add_external(to, &e, err);
        } else {
            external_free(&e);
            rc = ok ? SHALE_OK : shl_nomem(err);
        }
    }
    if (rc != SHALE_OK)
        return rc;
    struct shl_external_db own = {.path = env_strdup(p->r1),
                                  .source_checkpoint = p->checkpoint,
                                  .final_checkpoint = shl_checkpoint_new_id(),
                                  .has_final_checkpoint = true};
    bool ok = own.path != NULL && add_own_tree(&own, m, &m->root);
    for (size_t i = 0; ok && i < m->segments.count; i++)
        ok = add_own_tree(&own, m, &m->segments.items[i].tree);
    if (ok)
        return add_external(to, &own, err);
    external_free(&own);
    return shl_nomem(err);
}

/* ---------------------------------------------------------------- joining */

/* The keys of a tree, from its first to its last; false: it has none. */
static bool tree_range(const struct shl_tree *t, struct shl_key_range *out)
{
    bool any = false;
    for (size_t r = 0; r < t->runs.count + 1; r++) {
        const shl_sst_views *views = r < t->runs.count ? &t->runs.items[r].ssts : &t->l0;
        for (size_t i = 0; i < views->count; i++) {
            struct shl_key_range k;
            shl_sst_view_range(&views->items[i], &k);
            if (!any)
                *out = k;
            struct shl_slice start = shl_slice_cmp(k.start, out->start) < 0 ? k.start : out->start;
            if (shl_key_range_cmp_end(&k, out) > 0)
                *out = k;
            out->start = start;
            any = true;
        }
    }
    return any;
}

static bool overlap(const struct shl_tree *a, const struct shl_tree *b)
{
    struct shl_key_range ra, rb;
    if (!tree_range(a, &ra) || !tree_range(b, &rb))
        return false;
    struct shl_key_range both = shl_key_range_common(&ra, &rb);
    return !shl_key_range_empty(&both);
}

static bool has_view(const shl_sst_views *views, struct shl_ulid id)
{
    for (size_t i = 0; i < views->count; i++)
        if (shl_ulid_eq(views->items[i].id, id))
            return true;
    return false;
}

/* Puts copies behind those of `to`; ids stay unique. */
static shale_code append_views(shl_sst_views *to, const shl_sst_views *from, shale_error *err)
{
    for (size_t i = 0; i < from->count; i++) {
        struct shl_sst_view copy;
        if (!shl_array_reserve(to, 1))
            return shl_nomem(err);
        shale_code rc = shl_sst_view_copy(&from->items[i], &copy, err);
        if (rc != SHALE_OK)
            return rc;
        if (has_view(to, copy.id))
            copy.id = shl_view_same_time(copy.id);
        shl_array_add(to, copy);
    }
    return SHALE_OK;
}

/* Runs of different sources do not overlap: each stays a run of its own. */
static shale_code append_tree(struct shl_tree *to, const struct shl_tree *from, shale_error *err)
{
    shale_code rc = append_views(&to->l0, &from->l0, err);
    for (size_t i = 0; i < from->runs.count && rc == SHALE_OK; i++) {
        if (!shl_array_push(&to->runs, ((struct shl_run){.id = 0})))
            return shl_nomem(err);
        rc = append_views(&to->runs.items[to->runs.count - 1].ssts, &from->runs.items[i].ssts, err);
    }
    return rc;
}

static shale_code join_tree(struct shl_tree *to, const struct shl_tree *from, const char *r1,
                            shale_error *err)
{
    if (overlap(to, from))
        return shl_fail(err, SHALE_INVALID,
                        "\"%s\": its keys overlap those of another source: give ranges that do not",
                        r1);
    return append_tree(to, from, err);
}

static shale_code join_segments(struct shl_manifest *to, const struct shl_clone_part *p,
                                shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < p->manifest->segments.count && rc == SHALE_OK; i++) {
        const struct shl_segment *s = &p->manifest->segments.items[i];
        struct shl_segment *there = shl_manifest_segment(to, shl_buf_view(&s->prefix));
        if (there == NULL)
            rc = shl_manifest_add_segment(to, shl_buf_view(&s->prefix), &there, err);
        if (rc == SHALE_OK)
            rc = join_tree(&there->tree, &s->tree, p->r1, err);
    }
    return rc;
}

static uint32_t number_runs(struct shl_tree *t, uint32_t next)
{
    for (size_t i = 0; i < t->runs.count; i++)
        t->runs.items[i].id = --next;
    return next;
}

/* Unique over all trees, descending in each, down to 0. */
static void number_all_runs(struct shl_manifest *m)
{
    size_t count = m->root.runs.count;
    for (size_t i = 0; i < m->segments.count; i++)
        count += m->segments.items[i].tree.runs.count;
    uint32_t next = number_runs(&m->root, (uint32_t)count);
    for (size_t i = 0; i < m->segments.count; i++)
        next = number_runs(&m->segments.items[i].tree, next);
    SHL_ASSERT(next == 0);
}

static bool same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static int by_first_key(const void *a, const void *b)
{
    const struct shl_clone_part *const *x = a, *const *y = b;
    struct shl_key_range kx = {.end_unbounded = true}, ky = {.end_unbounded = true};
    (void)tree_range(&(*x)->manifest->root, &kx);
    (void)tree_range(&(*y)->manifest->root, &ky);
    int c = shl_slice_cmp(kx.start, ky.start);
    return c != 0 ? c : strcmp((*x)->r1, (*y)->r1);
}

static shale_code join(const struct shl_clone_part *const *parts, size_t count,
                       struct shl_manifest *m, shale_error *err)
{
    const char *extractor = parts[0]->manifest->segment_extractor_name;
    shale_code rc = SHALE_OK;
    if (extractor != NULL) {
        m->segment_extractor_name = env_strdup(extractor);
        if (m->segment_extractor_name == NULL)
            return shl_nomem(err);
    }
    for (size_t i = 0; i < count && rc == SHALE_OK; i++) {
        const struct shl_manifest *from = parts[i]->manifest;
        if (!same_text(extractor, from->segment_extractor_name))
            return shl_fail(err, SHALE_INVALID,
                            "\"%s\" and \"%s\" were made with different segment extractors",
                            parts[0]->r1, parts[i]->r1);
        m->last_l0_seq = shl_max_u64(m->last_l0_seq, from->last_l0_seq);
        m->last_l0_clock_tick = shl_max_i64(m->last_l0_clock_tick, from->last_l0_clock_tick);
        rc = join_tree(&m->root, &from->root, parts[i]->r1, err);
        if (rc == SHALE_OK)
            rc = join_segments(m, parts[i], err);
    }
    number_all_runs(m);
    return rc;
}

/* ---------------------------------------------------------------- the manifest */

static shale_code new_union(const struct shl_clone_part *parts, size_t count,
                            struct shl_manifest **out, shale_error *err)
{
    const struct shl_clone_part **sorted = env_calloc(count, sizeof *sorted);
    if (sorted == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &parts[i];
    qsort(sorted, count, sizeof *sorted, by_first_key);
    shale_code rc = shl_manifest_new(out, err);
    if (rc == SHALE_OK)
        rc = join(sorted, count, *out, err);
    env_free(sorted);
    return rc;
}

static void empty_lists(struct shl_manifest *m)
{
    for (size_t i = 0; i < m->checkpoints.count; i++)
        env_free(m->checkpoints.items[i].name);
    shl_array_free(&m->checkpoints);
    while (m->external_dbs.count > 0)
        shl_manifest_remove_external(m, m->external_dbs.count - 1);
}

shale_code shl_clone_manifest(const struct shl_clone_part *parts, size_t count,
                              struct shl_manifest **out, shale_error *err)
{
    struct shl_manifest *m = NULL;
    shale_code rc = count > 1 ? new_union(parts, count, &m, err)
                              : shl_manifest_clone(parts[0].manifest, &m, err);
    if (rc != SHALE_OK)
        goto out;
    if (count == 1) {
        empty_lists(m);
        m->recent_snapshot_min_seq = m->last_l0_seq;
    }
    m->initialized = false;
    m->has_external_dbs = true;
    for (size_t i = 0; i < count; i++)
        SHL_TRY(add_borrowed(m, &parts[i], err));
    *out = m;
    m = NULL;
out:
    shl_manifest_free(m);
    return rc;
}
