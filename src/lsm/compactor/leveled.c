/* Runs as levels: each at least `ratio` times the size of the one above it. A get then asks about log(size) runs; every byte is rewritten about
 * ratio times a level. Sources stay neighbours, and the result takes the place of the oldest, as every coordinator demands. */
#include "lsm/compactor/scheduler.h"

#include "base/num.h"

/* How many free runs from `first` on a merge that begins with `bytes` takes in, until the next one is large enough to stay below it.
 * SIZE_MAX: it would need one that another job has. */
static size_t runs_to_take(const struct shl_round *r, const struct shl_tree *t, size_t first,
                           uint64_t bytes, double ratio)
{
    size_t n = 0;
    for (; first + n < t->runs.count; n++) {
        const struct shl_run *run = &t->runs.items[first + n];
        uint64_t size = shl_run_bytes(run);
        if ((double)size >= ratio * (double)bytes)
            break;
        if (!shl_round_run_is_free(r, run->id))
            return SIZE_MAX;
        bytes += size;
    }
    return n;
}

static bool pick_l0(const struct shl_round *r, const struct shl_tree *t, struct shl_slice segment,
                    const struct shl_lsm_settings *s, struct shl_pick *out)
{
    size_t n = shl_min_size(t->l0.count, s->max_compaction_sources);
    size_t first = t->l0.count - n;
    uint64_t bytes = 0;
    if (t->l0.count < s->min_compaction_sources || shl_round_has_l0_job(r, segment))
        return false;
    for (size_t i = first; i < t->l0.count; i++) {
        if (!shl_round_view_is_free(r, t->l0.items[i].id))
            return false;
        bytes += shl_view_bytes(&t->l0.items[i]);
    }
    *out = (struct shl_pick){.l0_first = first, .l0_count = n};
    size_t runs = runs_to_take(r, t, 0, bytes, s->include_size_threshold);
    /* The run below is at work: a run of its own for now, so that writers go on. */
    if (runs == SIZE_MAX || runs == 0)
        return shl_round_next_run(r, &out->destination);
    out->run_count = runs;
    out->destination = t->runs.items[runs - 1].id;
    return true;
}

/* A run that is too large for the one below it goes into that. */
static bool pick_runs(const struct shl_round *r, const struct shl_tree *t,
                      const struct shl_lsm_settings *s, struct shl_pick *out)
{
    for (size_t first = 0; first + 1 < t->runs.count; first++) {
        const struct shl_run *run = &t->runs.items[first];
        if (!shl_round_run_is_free(r, run->id))
            continue;
        size_t n = runs_to_take(r, t, first + 1, shl_run_bytes(run), s->include_size_threshold);
        if (n == 0 || n == SIZE_MAX)
            continue;
        *out = (struct shl_pick){
            .run_first = first, .run_count = 1 + n, .destination = t->runs.items[first + n].id};
        return true;
    }
    return false;
}

static bool pick(const struct shl_round *r, const struct shl_tree *t, struct shl_slice segment,
                 const struct shl_lsm_settings *s, struct shl_pick *out)
{
    return pick_l0(r, t, segment, s, out) || pick_runs(r, t, s, out);
}

static shale_code propose(void *ctx, const struct shl_manifest *m, const struct shl_compactions *c,
                          size_t slots, shl_proposals *out, shale_error *err)
{
    return shl_propose_round_robin(m, c, slots, ctx, pick, out, err);
}

struct shl_scheduler shl_scheduler_leveled(const struct shl_lsm_settings *s)
{
    /* The policy only reads them. */
    return (struct shl_scheduler){.propose = propose, .ctx = (void *)(uintptr_t)s};
}
