/* SlateDB's policy: runs of about the same size are merged into one. */
#include "lsm/compactor/scheduler.h"

#include "base/num.h"

/* How many consecutive free runs from `first` on form a group: each at most threshold times the smallest so far. smallest: of a run that
 * would lie above them; UINT64_MAX: none does. */
static size_t group_len(const struct shl_round *r, const struct shl_tree *t, size_t first,
                        double threshold, uint64_t smallest)
{
    size_t n = 0;
    bool any = smallest != UINT64_MAX;
    for (; first + n < t->runs.count; n++) {
        const struct shl_run *run = &t->runs.items[first + n];
        uint64_t bytes = shl_run_bytes(run);
        if ((any && (double)bytes > threshold * (double)smallest) ||
            !shl_round_run_is_free(r, run->id))
            break;
        smallest = shl_min_u64(smallest, bytes);
        any = true;
    }
    return n;
}

/* Back-pressure: a result that would join a group that is full already waits until that is compacted. The runs from `below` on lie under it. */
static bool joins_full_group(const struct shl_round *r, const struct shl_tree *t, size_t below,
                             uint64_t result, const struct shl_lsm_settings *s)
{
    return group_len(r, t, below, s->include_size_threshold, result) >= s->max_compaction_sources;
}

static bool pick_l0(const struct shl_round *r, const struct shl_tree *t, struct shl_slice segment,
                    const struct shl_lsm_settings *s, struct shl_pick *out)
{
    size_t n = shl_min_size(t->l0.count, s->max_compaction_sources);
    size_t first = t->l0.count - n;
    uint64_t result = 0;
    if (t->l0.count < s->min_compaction_sources || shl_round_has_l0_job(r, segment))
        return false;
    for (size_t i = first; i < t->l0.count; i++) {
        if (!shl_round_view_is_free(r, t->l0.items[i].id))
            return false;
        result += shl_view_bytes(&t->l0.items[i]);
    }
    *out = (struct shl_pick){.l0_first = first, .l0_count = n};
    return !joins_full_group(r, t, 0, result, s) && shl_round_next_run(r, &out->destination);
}

static uint64_t runs_bytes(const struct shl_tree *t, size_t first, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += shl_run_bytes(&t->runs.items[first + i]);
    return sum;
}

/* The newest ones of a group that is too large wait. */
static void cut_group(const struct shl_tree *t, size_t first, size_t n, size_t max,
                      struct shl_pick *out)
{
    size_t drop = n > max ? n - max : 0;
    *out = (struct shl_pick){.run_first = first + drop,
                             .run_count = n - drop,
                             .destination = t->runs.items[first + n - 1].id};
}

static bool pick_runs(const struct shl_round *r, const struct shl_tree *t,
                      const struct shl_lsm_settings *s, struct shl_pick *out)
{
    for (size_t first = 0; first < t->runs.count; first++) {
        size_t n = group_len(r, t, first, s->include_size_threshold, UINT64_MAX);
        if (n < s->min_compaction_sources)
            continue;
        cut_group(t, first, n, s->max_compaction_sources, out);
        uint64_t result = runs_bytes(t, out->run_first, out->run_count);
        if (!joins_full_group(r, t, out->run_first + out->run_count, result, s))
            return true;
    }
    return false;
}

/* How many runs there will be once the active jobs are done. */
static size_t projected_runs(const struct shl_round *r, const struct shl_tree *t)
{
    size_t n = t->runs.count;
    for (size_t i = 0; i < r->c->jobs.count; i++) {
        const struct shl_compaction *job = &r->c->jobs.items[i];
        if (!shl_job_is_active(job) || shl_job_tree(r->m, job) != t)
            continue;
        n += job->kind == SHL_COMPACTION_TIERED;
        n -= shl_min_size(n, job->runs.count);
    }
    return n;
}

static bool pick_consolidation(const struct shl_round *r, const struct shl_tree *t,
                               const struct shl_lsm_settings *s, struct shl_pick *out)
{
    size_t threshold = s->sorted_run_consolidation_threshold;
    size_t count = projected_runs(r, t);
    if (threshold == 0 || threshold == 1 || count <= threshold)
        return false;
    size_t want = shl_min_size(s->max_compaction_sources, count - threshold + 1);
    for (size_t first = 0; first < t->runs.count; first++) {
        size_t n = 0;
        while (n < want && first + n < t->runs.count &&
               shl_round_run_is_free(r, t->runs.items[first + n].id))
            n++;
        if (n < 2)
            continue;
        cut_group(t, first, n, n, out);
        return true;
    }
    return false;
}

static bool pick(const struct shl_round *r, const struct shl_tree *t, struct shl_slice segment,
                 const struct shl_lsm_settings *s, struct shl_pick *out)
{
    return pick_l0(r, t, segment, s, out) || pick_runs(r, t, s, out) ||
           pick_consolidation(r, t, s, out);
}

static shale_code propose(void *ctx, const struct shl_manifest *m, const struct shl_compactions *c,
                          size_t slots, shl_proposals *out, shale_error *err)
{
    return shl_propose_round_robin(m, c, slots, ctx, pick, out, err);
}

struct shl_scheduler shl_scheduler_size_tiered(const struct shl_lsm_settings *s)
{
    /* The policy only reads them. */
    return (struct shl_scheduler){.propose = propose, .ctx = (void *)(uintptr_t)s};
}
