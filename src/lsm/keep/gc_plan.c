#include "lsm/keep/gc_plan.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdlib.h>

/* ---------------------------------------------------------------- what a manifest keeps */

static int by_ulid(const void *a, const void *b)
{
    return shl_ulid_cmp(*(const struct shl_ulid *)a, *(const struct shl_ulid *)b);
}

static void sort(shl_gc_ulids *ids)
{
    if (ids->count > 1)
        qsort(ids->items, ids->count, sizeof *ids->items, by_ulid);
}

static bool has(const shl_gc_ulids *ids, struct shl_ulid id)
{
    return ids->count > 0 &&
           bsearch(&id, ids->items, ids->count, sizeof *ids->items, by_ulid) != NULL;
}

static bool add_views(shl_gc_ulids *ids, const shl_sst_views *views)
{
    if (!shl_array_reserve(ids, views->count))
        return false;
    for (size_t i = 0; i < views->count; i++)
        shl_array_add(ids, views->items[i].sst->id);
    return true;
}

static bool add_tree(shl_gc_ulids *ids, const struct shl_tree *t)
{
    bool ok = add_views(ids, &t->l0);
    for (size_t i = 0; ok && i < t->runs.count; i++)
        ok = add_views(ids, &t->runs.items[i].ssts);
    return ok;
}

shale_code shl_gc_pin_init(struct shl_gc_pin *p, uint64_t manifest_id, const struct shl_manifest *m,
                           shale_error *err)
{
    *p = (struct shl_gc_pin){.manifest_id = manifest_id,
                             .wal_after = m->replay_after_wal_id,
                             .wal_last = m->wal_id_last_seen};
    bool ok = add_tree(&p->ssts, &m->root);
    for (size_t i = 0; ok && i < m->segments.count; i++)
        ok = add_tree(&p->ssts, &m->segments.items[i].tree);
    sort(&p->ssts);
    for (size_t i = 0; ok && i < m->external_dbs.count; i++) {
        const struct shl_external_db *e = &m->external_dbs.items[i];
        for (size_t k = 0; k < e->sst_ids.count; k++)
            if (has(&p->ssts, e->sst_ids.items[k])) {
                ok = shl_array_push(&p->parents, e->final_checkpoint);
                break;
            }
    }
    if (ok)
        return SHALE_OK;
    shl_gc_pin_deinit(p);
    return shl_nomem(err);
}

void shl_gc_pin_deinit(struct shl_gc_pin *p)
{
    shl_array_free(&p->ssts);
    shl_array_free(&p->parents);
    *p = (struct shl_gc_pin){.manifest_id = 0};
}

/* ---------------------------------------------------------------- the view */

static uint64_t l0_mark_of(const struct shl_tree *t)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < t->l0.count; i++)
        newest = shl_max_u64(newest, shl_ulid_time_ms(t->l0.items[i].sst->id));
    if (t->l0.count == 0 && t->has_watermark)
        newest = shl_ulid_time_ms(t->watermark);
    return newest;
}

static uint64_t oldest_job(const struct shl_compactions *c)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < c->jobs.count; i++)
        oldest = shl_min_u64(oldest, shl_ulid_time_ms(c->jobs.items[i].id));
    return oldest == UINT64_MAX ? 0 : oldest;
}

static bool add_all(shl_gc_ulids *to, const shl_gc_ulids *from)
{
    if (!shl_array_reserve(to, from->count))
        return false;
    for (size_t i = 0; i < from->count; i++)
        shl_array_add(to, from->items[i]);
    return true;
}

static bool take_pins(struct shl_gc_view *v, const struct shl_gc_pin *const *pins, size_t count)
{
    bool ok = add_all(&v->used, &v->newest.ssts);
    v->pins = env_calloc(count + 1, sizeof *v->pins);
    for (size_t i = 0; ok && v->pins != NULL && i < count; i++) {
        v->pins[v->pin_count++] = pins[i];
        ok = add_all(&v->used, &pins[i]->ssts);
    }
    sort(&v->used);
    return ok && v->pins != NULL;
}

shale_code shl_gc_view_init(struct shl_gc_view *v, int64_t now_ms, uint64_t manifest_id,
                            const struct shl_manifest *newest, const struct shl_gc_pin *const *pins,
                            size_t pin_count, const struct shl_compactions *compactions,
                            uint64_t compactions_id, shale_error *err)
{
    *v = (struct shl_gc_view){.now_ms = now_ms,
                              .compactions_id = compactions_id,
                              .oldest_job_ms = compactions != NULL ? oldest_job(compactions) : 0,
                              .l0_mark_ms = l0_mark_of(&newest->root)};
    for (size_t i = 0; i < newest->segments.count; i++)
        v->l0_mark_ms = shl_max_u64(v->l0_mark_ms, l0_mark_of(&newest->segments.items[i].tree));
    shale_code rc = shl_gc_pin_init(&v->newest, manifest_id, newest, err);
    if (rc != SHALE_OK)
        return rc;
    bool ok = take_pins(v, pins, pin_count) &&
              shl_array_reserve(&v->pinned_ids, newest->checkpoints.count);
    for (size_t i = 0; ok && i < newest->checkpoints.count; i++)
        shl_array_add(&v->pinned_ids, newest->checkpoints.items[i].manifest_id);
    if (ok)
        return SHALE_OK;
    shl_gc_view_deinit(v);
    return shl_nomem(err);
}

void shl_gc_view_deinit(struct shl_gc_view *v)
{
    shl_gc_pin_deinit(&v->newest);
    shl_array_free(&v->used);
    shl_array_free(&v->pinned_ids);
    env_free(v->pins);
    *v = (struct shl_gc_view){.pins = NULL};
}

/* ---------------------------------------------------------------- decisions */

uint64_t shl_gc_cutoff_ms(const struct shl_gc_view *v, uint64_t min_age_ms)
{
    uint64_t now = v->now_ms > 0 ? (uint64_t)v->now_ms : 0;
    uint64_t aged = now > min_age_ms ? now - min_age_ms : 0;
    return shl_min_u64(aged, shl_min_u64(v->oldest_job_ms, v->l0_mark_ms));
}

/* A time that the store does not tell is no age. */
static bool is_old(const struct shl_gc_view *v, const struct shl_gc_object *o, uint64_t min_age_ms)
{
    return o->modified_ms > 0 && o->modified_ms <= v->now_ms &&
           (uint64_t)(v->now_ms - o->modified_ms) >= min_age_ms;
}

static bool is_pinned_manifest(const struct shl_gc_view *v, uint64_t id)
{
    for (size_t i = 0; i < v->pinned_ids.count; i++)
        if (v->pinned_ids.items[i] == id)
            return true;
    return false;
}

/* The object of the boundary itself stays: who looks for the end of the WAL begins there. */
static bool wal_is_needed(const struct shl_gc_view *v, uint64_t id)
{
    if (id >= v->newest.wal_after)
        return true;
    for (size_t i = 0; i < v->pin_count; i++)
        if (id > v->pins[i]->wal_after && id <= v->pins[i]->wal_last)
            return true;
    return false;
}

bool shl_gc_names(const struct shl_gc_view *v, struct shl_ulid sst_id)
{
    return has(&v->used, sst_id);
}

bool shl_gc_is_garbage(const struct shl_gc_view *v, enum shl_gc_task task,
                       const struct shl_gc_object *o, uint64_t min_age_ms)
{
    SHL_ASSERT(task != SHL_GC_DETACH && task < SHL_GC_TASKS); /* those have no objects */
    switch (task) {
    case SHL_GC_MANIFEST:
        return o->id < v->newest.manifest_id && is_old(v, o, min_age_ms) &&
               !is_pinned_manifest(v, o->id);
    case SHL_GC_COMPACTIONS:
        return o->id < v->compactions_id && is_old(v, o, min_age_ms);
    case SHL_GC_WAL:
        return o->bytes > 0 && is_old(v, o, min_age_ms) && !wal_is_needed(v, o->id);
    case SHL_GC_WAL_FENCE:
        return o->bytes == 0 && is_old(v, o, min_age_ms) && !wal_is_needed(v, o->id);
    case SHL_GC_COMPACTED:
        return shl_ulid_time_ms(o->ulid) < shl_gc_cutoff_ms(v, min_age_ms) &&
               !shl_gc_names(v, o->ulid);
    case SHL_GC_DETACH:
    case SHL_GC_TASKS:
        break;
    }
    return false;
}

bool shl_gc_parent_is_free(const struct shl_gc_view *v, const struct shl_external_db *e)
{
    for (size_t i = 0; i < v->pin_count + 1; i++) {
        const struct shl_gc_pin *p = i < v->pin_count ? v->pins[i] : &v->newest;
        for (size_t k = 0; k < p->parents.count; k++)
            if (shl_ulid_eq(p->parents.items[k], e->final_checkpoint))
                return false;
    }
    return true;
}
