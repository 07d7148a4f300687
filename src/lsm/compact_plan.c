#include "lsm/compact_plan.h"

static uint64_t views_bytes(const struct shl_sst_view *views, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += views[i].sst->info.index_offset + views[i].sst->info.index_len;
    return sum;
}

static uint64_t run_bytes(const struct shl_run *r)
{
    return views_bytes(r->ssts.items, r->ssts.count);
}

/* How many consecutive runs from `first` on form a group: each at most threshold times the smallest so far. */
static size_t group_len(const struct shl_tree *t, size_t first, double threshold, uint64_t smallest)
{
    size_t n = 0;
    for (; first + n < t->runs.count; n++) {
        uint64_t bytes = run_bytes(&t->runs.items[first + n]);
        if (n + (smallest != UINT64_MAX) > 0 && (double)bytes > threshold * (double)smallest)
            break;
        if (bytes < smallest)
            smallest = bytes;
    }
    return n;
}

static uint32_t next_run_id(const struct shl_manifest *m)
{
    uint32_t next = 0;
    for (size_t i = 0; i < m->root.runs.count; i++)
        next = m->root.runs.items[i].id >= next ? m->root.runs.items[i].id + 1 : next;
    for (size_t s = 0; s < m->segments.count; s++) {
        const struct shl_tree *t = &m->segments.items[s].tree;
        for (size_t i = 0; i < t->runs.count; i++)
            next = t->runs.items[i].id >= next ? t->runs.items[i].id + 1 : next;
    }
    return next;
}

static bool plan_l0(const struct shl_manifest *m, const struct shl_segment *segment,
                    const struct shl_tree *t, const struct shl_lsm_settings *s,
                    struct shl_compact_plan *out)
{
    size_t n = t->l0.count < s->max_compaction_sources ? t->l0.count : s->max_compaction_sources;
    size_t first = t->l0.count - n;
    if (t->l0.count < s->min_compaction_sources)
        return false;
    /* Back-pressure: a group of runs that is full already is compacted before it gets another member. */
    uint64_t result = views_bytes(&t->l0.items[first], n);
    if (group_len(t, 0, s->include_size_threshold, result) >= s->max_compaction_sources)
        return false;
    *out = (struct shl_compact_plan){.segment = segment,
                                     .l0_first = first,
                                     .l0_count = n,
                                     .destination = next_run_id(m),
                                     .drop_tombstones = t->runs.count == 0};
    return true;
}

static bool plan_runs(const struct shl_segment *segment, const struct shl_tree *t,
                      const struct shl_lsm_settings *s, struct shl_compact_plan *out)
{
    for (size_t first = 0; first < t->runs.count; first++) {
        size_t n = group_len(t, first, s->include_size_threshold, UINT64_MAX);
        if (n < s->min_compaction_sources)
            continue;
        /* The newest ones wait if the group is too large. */
        size_t drop = n > s->max_compaction_sources ? n - s->max_compaction_sources : 0;
        *out = (struct shl_compact_plan){.segment = segment,
                                         .run_first = first + drop,
                                         .run_count = n - drop,
                                         .destination = t->runs.items[first + n - 1].id,
                                         .drop_tombstones = first + n == t->runs.count};
        return true;
    }
    return false;
}

bool shl_compact_plan_next(const struct shl_manifest *m, const struct shl_lsm_settings *s,
                           struct shl_compact_plan *out)
{
    /* The tree with the most L0 SSTs first: it is the one that makes writers wait. */
    size_t trees = 1 + m->segments.count, best = 0;
    bool found = false;
    for (size_t i = 0; i < trees; i++) {
        const struct shl_segment *segment = i == 0 ? NULL : &m->segments.items[i - 1];
        const struct shl_tree *t = segment == NULL ? &m->root : &segment->tree;
        struct shl_compact_plan p;
        if (found && t->l0.count <= best)
            continue;
        if (plan_l0(m, segment, t, s, &p) || plan_runs(segment, t, s, &p)) {
            best = t->l0.count;
            *out = p;
            found = true;
        }
    }
    return found;
}
