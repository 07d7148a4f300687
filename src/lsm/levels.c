#include "lsm/levels.h"

#include "base/assert.h"
#include "lsm/format/names.h"

/* ---------------------------------------------------------------- building */

struct build {
    const struct shl_level_source *from;
    struct shl_levels *levels;
    const struct shl_levels *previous;
};

/* The root that holds an SST: a clone's parent, or our own (NULL). */
static const char *external_path(const struct shl_manifest *m, struct shl_ulid id)
{
    for (size_t i = 0; i < m->external_dbs.count; i++) {
        const struct shl_external_db *e = &m->external_dbs.items[i];
        for (size_t k = 0; k < e->sst_ids.count; k++)
            if (shl_ulid_eq(e->sst_ids.items[k], id))
                return e->path;
    }
    return NULL;
}

static shale_code sst_key(const struct build *b, struct shl_ulid id, char **out, shale_error *err)
{
    const char *parent = external_path(b->levels->manifest, id);
    if (parent == NULL) {
        *out = shl_name_sst(b->from->paths, id);
    } else {
        struct shl_db_paths paths;
        shale_code rc = shl_db_paths_init_escaped(&paths, parent, err);
        if (rc != SHALE_OK)
            return rc;
        *out = shl_name_sst(&paths, id);
        shl_db_paths_deinit(&paths);
    }
    return *out == NULL ? shl_nomem(err) : SHALE_OK;
}

/* A handle that is open already, in the levels being built or the ones before. */
static struct shl_sst *find_open(const struct shl_levels *l, struct shl_ulid id)
{
    if (l == NULL)
        return NULL;
    for (size_t i = 0; i < l->sst_count; i++)
        if (shl_ulid_eq(shl_sst_describe(l->ssts[i].sst)->id, id))
            return l->ssts[i].sst;
    return NULL;
}

static shale_code add_view(struct build *b, const struct shl_sst_view *view, shale_error *err)
{
    struct shl_level_sst *slot = &b->levels->ssts[b->levels->sst_count];
    struct shl_sst *open = find_open(b->previous, view->sst->id);
    if (open != NULL) {
        slot->sst = shl_sst_ref(open);
    } else {
        char *key;
        shale_code rc = sst_key(b, view->sst->id, &key, err);
        if (rc != SHALE_OK)
            return rc;
        rc = shl_sst_open(b->from->context, b->from->store, key, view->sst, &slot->sst, err);
        env_free(key);
        if (rc != SHALE_OK)
            return rc;
    }
    shl_sst_view_range(view, &slot->range);
    b->levels->sst_count++;
    return SHALE_OK;
}

static shale_code add_views(struct build *b, const shl_sst_views *views, shale_error *err)
{
    for (size_t i = 0; i < views->count; i++) {
        shale_code rc = add_view(b, &views->items[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code add_tree(struct build *b, struct shl_slice prefix, const struct shl_tree *tree,
                           shale_error *err)
{
    struct shl_levels *l = b->levels;
    struct shl_level_tree *t = &l->trees[l->tree_count++];
    *t = (struct shl_level_tree){.prefix = prefix,
                                 .l0_first = l->sst_count,
                                 .l0_count = tree->l0.count,
                                 .run_first = l->run_count,
                                 .run_count = tree->runs.count};
    shale_code rc = add_views(b, &tree->l0, err);
    for (size_t i = 0; rc == SHALE_OK && i < tree->runs.count; i++) {
        const struct shl_run *run = &tree->runs.items[i];
        l->runs[l->run_count++] =
            (struct shl_level_run){.id = run->id, .first = l->sst_count, .count = run->ssts.count};
        rc = add_views(b, &run->ssts, err);
    }
    return rc;
}

static void count_tree(const struct shl_tree *t, size_t *ssts, size_t *runs)
{
    *ssts += t->l0.count;
    *runs += t->runs.count;
    for (size_t i = 0; i < t->runs.count; i++)
        *ssts += t->runs.items[i].ssts.count;
}

shale_code shl_levels_new(const struct shl_level_source *from, struct shl_manifest *take_manifest,
                          uint64_t manifest_id, const struct shl_levels *previous,
                          struct shl_levels **out, shale_error *err)
{
    size_t ssts = 0, runs = 0;
    struct shl_levels *l = env_calloc(1, sizeof *l);
    if (l == NULL) {
        shl_manifest_free(take_manifest);
        return shl_nomem(err);
    }
    atomic_init(&l->refs, 1);
    l->manifest = take_manifest;
    l->manifest_id = manifest_id;
    count_tree(&take_manifest->root, &ssts, &runs);
    for (size_t i = 0; i < take_manifest->segments.count; i++)
        count_tree(&take_manifest->segments.items[i].tree, &ssts, &runs);
    l->trees = env_calloc(1 + take_manifest->segments.count, sizeof *l->trees);
    l->runs = env_calloc(runs + 1, sizeof *l->runs);
    l->ssts = env_calloc(ssts + 1, sizeof *l->ssts);
    if (l->trees == NULL || l->runs == NULL || l->ssts == NULL) {
        shl_levels_unref(l);
        return shl_nomem(err);
    }
    struct build b = {.from = from, .levels = l, .previous = previous};
    shale_code rc = add_tree(&b, shl_slice_of(NULL, 0), &take_manifest->root, err);
    for (size_t i = 0; rc == SHALE_OK && i < take_manifest->segments.count; i++) {
        const struct shl_segment *s = &take_manifest->segments.items[i];
        rc = add_tree(&b, shl_buf_view(&s->prefix), &s->tree, err);
    }
    if (rc != SHALE_OK) {
        shl_levels_unref(l);
        return rc;
    }
    *out = l;
    return SHALE_OK;
}

struct shl_levels *shl_levels_ref(struct shl_levels *l)
{
    uint32_t before = env_fetch_add(&l->refs, 1);
    SHL_ASSERT(before > 0);
    return l;
}

void shl_levels_unref(struct shl_levels *l)
{
    if (l == NULL || env_fetch_sub_acq_rel(&l->refs, 1) != 1)
        return;
    for (size_t i = 0; i < l->sst_count; i++)
        shl_sst_unref(l->ssts[i].sst);
    env_free(l->ssts);
    env_free(l->runs);
    env_free(l->trees);
    shl_manifest_free(l->manifest);
    env_free(l);
}

/* ---------------------------------------------------------------- finding */

size_t shl_levels_l0_count(const struct shl_levels *l)
{
    size_t n = 0;
    for (size_t t = 0; t < l->tree_count; t++)
        n += l->trees[t].l0_count;
    return n;
}

const struct shl_level_tree *shl_levels_tree(const struct shl_levels *l, struct shl_slice key)
{
    if (l->tree_count == 1)
        return &l->trees[0];
    /* Prefixes are an ascending antichain: the only candidate is the last one that is not above the key. */
    size_t low = 1, high = l->tree_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (shl_slice_cmp(l->trees[mid].prefix, key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    const struct shl_level_tree *t = &l->trees[low - 1];
    return low > 1 && shl_slice_has_prefix(key, t->prefix) ? t : NULL;
}

/* Whether the range lies wholly below `key`. */
static bool range_below(const struct shl_key_range *r, struct shl_slice key)
{
    if (r->end_unbounded)
        return false;
    int c = shl_slice_cmp(r->end, key);
    return c < 0 || (c == 0 && !r->end_inclusive);
}

size_t shl_level_run_find(const struct shl_levels *l, const struct shl_level_run *run,
                          struct shl_slice key)
{
    const struct shl_level_sst *ssts = &l->ssts[run->first];
    size_t low = 0, high = run->count;
    if (run->count == 1)
        return shl_key_range_contains(&ssts[0].range, key) ? 0 : 1;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (range_below(&ssts[mid].range, key))
            low = mid + 1;
        else
            high = mid;
    }
    if (low < run->count && !shl_key_range_contains(&ssts[low].range, key))
        return run->count;
    return low;
}

/* ---------------------------------------------------------------- versions */

static void version_destroy(struct shl_version *v)
{
    shl_memtable_unref(v->active);
    for (size_t i = 0; i < v->frozen_count; i++)
        shl_memtable_unref(v->frozen[i]);
    shl_levels_unref(v->levels);
    env_free(v);
}

shale_code shl_version_new(struct shl_epoch *epoch, struct shl_memtable *active,
                           struct shl_memtable *const *frozen, size_t frozen_count,
                           struct shl_levels *levels, struct shl_version **out, shale_error *err)
{
    struct shl_version *v = env_calloc(1, sizeof *v + frozen_count * sizeof v->frozen[0]);
    if (v == NULL)
        return shl_nomem(err);
    atomic_init(&v->refs, 1);
    v->epoch = epoch;
    v->active = shl_memtable_ref(active);
    v->levels = shl_levels_ref(levels);
    v->frozen_count = frozen_count;
    for (size_t i = 0; i < frozen_count; i++)
        v->frozen[i] = shl_memtable_ref(frozen[i]);
    *out = v;
    return SHALE_OK;
}

struct shl_version *shl_version_ref(struct shl_version *v)
{
    uint32_t before = env_fetch_add(&v->refs, 1);
    SHL_ASSERT(before > 0);
    return v;
}

void shl_version_unref(struct shl_version *v)
{
    if (env_fetch_sub_acq_rel(&v->refs, 1) == 1)
        version_destroy(v);
}

static void retired_version(struct shl_retired *r)
{
    shl_version_unref((struct shl_version *)r);
}

void shl_version_retire(struct shl_version *v)
{
    shl_epoch_retire(v->epoch, &v->retired, retired_version);
}
