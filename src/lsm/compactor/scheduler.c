#include "lsm/compactor/scheduler.h"

#include "base/codec/endian.h"
#include "base/env/env.h"
#include "base/num.h"

#include <stdlib.h>

void shl_proposals_free(shl_proposals *p)
{
    for (size_t i = 0; i < p->count; i++)
        shl_compaction_deinit(&p->items[i]);
    shl_array_free(p);
}

struct shl_scheduler shl_scheduler_of(const struct shl_lsm_settings *s)
{
    return s->scheduler == SHL_SCHEDULER_LEVELED ? shl_scheduler_leveled(s)
                                                 : shl_scheduler_size_tiered(s);
}

/* ---------------------------------------------------------------- sizes */

/* The key behind `skip` bytes as a number of [0, 1). */
static double key_number(struct shl_slice key, size_t skip)
{
    uint8_t head[8] = {0};
    size_t n = key.len > skip ? shl_min_size(key.len - skip, sizeof head) : 0;
    if (n > 0)
        memcpy(head, key.data + skip, n);
    return (double)shl_load_u64be(head) / 18446744073709551616.0;
}

static size_t common_prefix(struct shl_slice a, struct shl_slice b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n])
        n++;
    return n;
}

/* How much of the SST's key span is visible, as if keys lay evenly. */
static double visible_fraction(const struct shl_sst_view *v)
{
    const struct shl_sst_info *info = &v->sst->info;
    struct shl_key_range r;
    if (v->visible == NULL || !info->has_first_entry || !info->has_last_entry)
        return 1;
    shl_sst_view_range(v, &r);
    size_t skip = common_prefix(info->first_entry, info->last_entry);
    double first = key_number(info->first_entry, skip);
    double last = key_number(info->last_entry, skip);
    double start = key_number(r.start, skip);
    double end = r.end_unbounded ? last : key_number(r.end, skip);
    if (!(last > first) || !(end > start))
        return 1;
    double part = (end - start) / (last - first);
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

uint64_t shl_view_bytes(const struct shl_sst_view *v)
{
    uint64_t whole = v->sst->info.index_offset + v->sst->info.index_len;
    return v->visible == NULL ? whole : (uint64_t)((double)whole * visible_fraction(v));
}

uint64_t shl_views_bytes(const shl_sst_views *views)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < views->count; i++)
        sum += shl_view_bytes(&views->items[i]);
    return sum;
}

uint64_t shl_run_bytes(const struct shl_run *r)
{
    return shl_views_bytes(&r->ssts);
}

/* ---------------------------------------------------------------- what is taken */

static bool takes_view(const struct shl_compaction *job, struct shl_ulid view)
{
    for (size_t i = 0; i < job->l0_view_ids.count; i++)
        if (shl_ulid_eq(job->l0_view_ids.items[i], view))
            return true;
    return false;
}

static bool takes_run(const struct shl_compaction *job, uint32_t id)
{
    for (size_t i = 0; i < job->runs.count; i++)
        if (job->runs.items[i] == id)
            return true;
    return job->kind == SHL_COMPACTION_TIERED && job->destination == id;
}

/* Job i of the round: those of the file, then those proposed; NULL if it takes nothing any more. */
static const struct shl_compaction *job_at(const struct shl_round *r, size_t i)
{
    if (i >= r->c->jobs.count)
        return &r->proposed->items[i - r->c->jobs.count];
    return shl_job_is_active(&r->c->jobs.items[i]) ? &r->c->jobs.items[i] : NULL;
}

static size_t job_count(const struct shl_round *r)
{
    return r->c->jobs.count + r->proposed->count;
}

bool shl_round_view_is_free(const struct shl_round *r, struct shl_ulid view)
{
    for (size_t i = 0; i < job_count(r); i++)
        if (job_at(r, i) != NULL && takes_view(job_at(r, i), view))
            return false;
    return true;
}

bool shl_round_run_is_free(const struct shl_round *r, uint32_t id)
{
    for (size_t i = 0; i < job_count(r); i++)
        if (job_at(r, i) != NULL && takes_run(job_at(r, i), id))
            return false;
    return true;
}

bool shl_round_has_l0_job(const struct shl_round *r, struct shl_slice segment)
{
    for (size_t i = 0; i < job_count(r); i++) {
        const struct shl_compaction *job = job_at(r, i);
        if (job != NULL && job->l0_view_ids.count > 0 &&
            shl_slice_eq(shl_buf_view(&job->segment), segment))
            return true;
    }
    return false;
}

static void above_tree(const struct shl_tree *t, uint64_t *next)
{
    for (size_t i = 0; i < t->runs.count; i++)
        *next = shl_max_u64(*next, (uint64_t)t->runs.items[i].id + 1);
}

bool shl_round_next_run(const struct shl_round *r, uint32_t *out)
{
    uint64_t next = 0;
    above_tree(&r->m->root, &next);
    for (size_t i = 0; i < r->m->segments.count; i++)
        above_tree(&r->m->segments.items[i].tree, &next);
    for (size_t i = 0; i < job_count(r); i++)
        if (job_at(r, i) != NULL && job_at(r, i)->kind == SHL_COMPACTION_TIERED)
            next = shl_max_u64(next, (uint64_t)job_at(r, i)->destination + 1);
    *out = (uint32_t)next;
    return next <= UINT32_MAX;
}

/* ---------------------------------------------------------------- a round */

shale_code shl_pick_job(const struct shl_tree *t, struct shl_slice segment,
                        const struct shl_pick *p, struct shl_compaction *out, shale_error *err)
{
    struct shl_compaction job = {.kind = SHL_COMPACTION_TIERED,
                                 .destination = p->destination,
                                 .status = SHL_COMPACTION_SUBMITTED,
                                 .has_l0_view_ids = p->l0_count > 0,
                                 .has_runs = p->run_count > 0};
    shale_code rc;
    SHL_TRY(shl_buf_set(&job.segment, segment, err));
    if (!shl_array_reserve(&job.l0_view_ids, p->l0_count) ||
        !shl_array_reserve(&job.runs, p->run_count)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < p->l0_count; i++)
        shl_array_add(&job.l0_view_ids, t->l0.items[p->l0_first + i].id);
    for (size_t i = 0; i < p->run_count; i++)
        shl_array_add(&job.runs, t->runs.items[p->run_first + i].id);
    *out = job;
    return SHALE_OK;
out:
    shl_compaction_deinit(&job);
    return rc;
}

struct turn {
    const struct shl_tree *tree;
    struct shl_slice segment;
    size_t order;
};

/* The tree with the most L0 SSTables makes writers wait first. */
static int by_l0(const void *a, const void *b)
{
    const struct turn *x = a;
    const struct turn *y = b;
    if (x->tree->l0.count != y->tree->l0.count)
        return x->tree->l0.count > y->tree->l0.count ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static shale_code add_pick(const struct turn *t, const struct shl_pick *p, shl_proposals *out,
                           shale_error *err)
{
    struct shl_compaction job;
    shale_code rc = shl_pick_job(t->tree, t->segment, p, &job, err);
    if (rc != SHALE_OK)
        return rc;
    if (shl_array_push(out, job))
        return SHALE_OK;
    shl_compaction_deinit(&job);
    return shl_nomem(err);
}

shale_code shl_propose_round_robin(const struct shl_manifest *m, const struct shl_compactions *c,
                                   size_t slots, const struct shl_lsm_settings *s, shl_pick_fn pick,
                                   shl_proposals *out, shale_error *err)
{
    size_t trees = 1 + m->segments.count;
    const struct shl_round r = {.m = m, .c = c, .proposed = out};
    shale_code rc = SHALE_OK;
    struct turn *turns = env_calloc(trees, sizeof *turns);
    if (turns == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < trees; i++) {
        const struct shl_segment *g = i == 0 ? NULL : &m->segments.items[i - 1];
        turns[i] = (struct turn){.tree = g == NULL ? &m->root : &g->tree, .order = i};
        if (g != NULL)
            turns[i].segment = shl_buf_view(&g->prefix);
    }
    qsort(turns, trees, sizeof *turns, by_l0);
    for (bool picked = true; picked && rc == SHALE_OK;) {
        picked = false;
        for (size_t i = 0; i < trees && out->count < slots && rc == SHALE_OK; i++) {
            struct shl_pick p = {0};
            if (!pick(&r, turns[i].tree, turns[i].segment, s, &p))
                continue;
            picked = true;
            rc = add_pick(&turns[i], &p, out, err);
        }
    }
    env_free(turns);
    return rc;
}
