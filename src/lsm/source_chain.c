#include "lsm/source_chain.h"

#include "base/assert.h"
#include "base/array.h"
#include "lsm/fanout.h"
#include "lsm/trace.h"

/* ---------------------------------------------------------------- memtable */

struct memtable_source {
    struct shl_source base;
    struct shl_memtable *table; /* counted */
    struct shl_memtable_iter it;
    const struct shl_mem_entry *entry;
    /* reverse: the versions of the current key, newest first; the current one is at index count - 1 downwards */
    SHL_ARRAY(const struct shl_mem_entry *) chain;
    size_t left;
};

static void memtable_show(struct memtable_source *s)
{
    s->base.valid = s->entry != NULL;
    if (s->base.valid)
        shl_mem_entry_row(s->entry, &s->base.row);
}

/* Reverse: collects the versions of the key under the iterator and shows the oldest. */
static shale_code memtable_collect(struct memtable_source *s, shale_error *err)
{
    s->chain.count = 0;
    for (const struct shl_mem_entry *e = s->it.entry; e != NULL; e = shl_mem_entry_older(e))
        if (!shl_array_push(&s->chain, e))
            return shl_nomem(err);
    s->left = s->chain.count;
    s->entry = s->left > 0 ? s->chain.items[--s->left] : NULL;
    memtable_show(s);
    return SHALE_OK;
}

static shale_code memtable_seek(struct shl_source *base, const struct shl_slice *target,
                                shale_error *err)
{
    struct memtable_source *s = (struct memtable_source *)base;
    if (base->reverse) {
        if (target == NULL)
            shl_memtable_iter_last(&s->it);
        else
            shl_memtable_iter_seek_back(&s->it, *target);
        return memtable_collect(s, err);
    }
    if (target == NULL)
        shl_memtable_iter_first(&s->it);
    else
        shl_memtable_iter_seek(&s->it, *target);
    s->entry = s->it.entry;
    memtable_show(s);
    return SHALE_OK;
}

static shale_code memtable_next(struct shl_source *base, shale_error *err)
{
    struct memtable_source *s = (struct memtable_source *)base;
    if (base->reverse) {
        if (s->left > 0) {
            s->entry = s->chain.items[--s->left];
            memtable_show(s);
            return SHALE_OK;
        }
        shl_memtable_iter_prev(&s->it);
        return memtable_collect(s, err);
    }
    s->entry = shl_mem_entry_older(s->entry);
    if (s->entry == NULL) {
        shl_memtable_iter_next(&s->it);
        s->entry = s->it.entry;
    }
    memtable_show(s);
    return SHALE_OK;
}

static void memtable_close(struct shl_source *base)
{
    struct memtable_source *s = (struct memtable_source *)base;
    shl_memtable_unref(s->table);
    shl_array_free(&s->chain);
    env_free(s);
}

shale_code shl_memtable_source_new(struct shl_memtable *t, bool reverse, struct shl_source **out,
                                   shale_error *err)
{
    static const struct shl_source_ops ops = {
        .seek = memtable_seek, .next = memtable_next, .close = memtable_close};
    struct memtable_source *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return shl_nomem(err);
    s->base = (struct shl_source){.ops = &ops, .reverse = reverse};
    s->table = shl_memtable_ref(t);
    shl_memtable_iter_init(&s->it, t);
    *out = &s->base;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- one SST */

shale_code shl_level_sst_source_new(const struct shl_level_sst *s, const struct shl_read_plan *plan,
                                    struct shl_source **out, shale_error *err)
{
    struct shl_sst_scan how = {.range = s->range,
                               .reverse = plan->reverse,
                               .use_cache = plan->use_cache,
                               .fill_cache = plan->fill_cache,
                               .passes_by = plan->passes_by,
                               .lower = plan->lower,
                               .upper = plan->upper,
                               .window_first_bytes = plan->window_first_bytes,
                               .window_max_bytes = plan->window_max_bytes,
                               .fanout = plan->fanout,
                               .budget = plan->budget,
                               .ahead_max = plan->ahead_max,
                               .ahead_first = plan->ahead_first};
    return shl_sst_source_new(s->sst, &how, out, err);
}

/* ---------------------------------------------------------------- one after the other */

/* The next SST of a run on its way: index, filter and first window, beside the end of the one before. */
struct opening {
    struct shl_fan_job job;
    const struct shl_level_sst *sst; /* borrowed */
    struct shl_read_plan plan;
    struct shl_source *source; /* owned; on its first row */
    shale_code rc;
    shale_error err;
};

/* Elements in ascending key order, each opened when it is reached. */
struct chain_source {
    struct shl_source base;
    const struct shl_levels *levels;
    struct shl_read_plan plan;
    const struct shl_level_run *run; /* elements are its SSTs; NULL: the segments' trees */
    size_t count;
    size_t at;               /* element that is open */
    struct shl_source *open; /* owned; NULL: none */
    struct opening *next;    /* owned: of the element after `at`; NULL: none */
};

/* Whether all keys of element i lie before (below) `key`. */
static bool element_below(const struct chain_source *c, size_t i, struct shl_slice key)
{
    if (c->run != NULL) {
        const struct shl_key_range *r = &c->levels->ssts[c->run->first + i].range;
        int d = r->end_unbounded ? 1 : shl_slice_cmp(r->end, key);
        return d < 0 || (d == 0 && !r->end_inclusive);
    }
    struct shl_slice prefix = c->levels->trees[1 + i].prefix;
    return shl_slice_cmp(prefix, key) < 0 && !shl_slice_has_prefix(key, prefix);
}

/* Whether all keys of element i lie above `key`. */
static bool element_above(const struct chain_source *c, size_t i, struct shl_slice key)
{
    struct shl_slice start = c->run != NULL ? c->levels->ssts[c->run->first + i].range.start
                                            : c->levels->trees[1 + i].prefix;
    return shl_slice_cmp(start, key) > 0;
}

static void drop_opening(struct chain_source *c)
{
    if (c->next == NULL)
        return;
    if (shl_fanout_cancel(c->plan.fanout, &c->next->job))
        shl_source_close(c->next->source);
    env_free(c->next);
    c->next = NULL;
}

static shale_code open_element(struct chain_source *c, size_t i, shale_error *err)
{
    drop_opening(c);
    shl_source_close(c->open);
    c->open = NULL;
    c->at = i;
    if (c->run != NULL)
        return shl_level_sst_source_new(&c->levels->ssts[c->run->first + i], &c->plan, &c->open,
                                        err);
    return shl_tree_source_new(c->levels, &c->levels->trees[1 + i], &c->plan, &c->open, err);
}

/* The element after the open one; false if there is none that can hold what the scan wants. */
static bool next_element(const struct chain_source *c, size_t *out)
{
    if (c->base.reverse) {
        *out = c->at - 1;
        return c->at > 0 && !(c->plan.lower != NULL && element_below(c, *out, *c->plan.lower));
    }
    *out = c->at + 1;
    return *out < c->count && !(c->plan.upper != NULL && element_above(c, *out, *c->plan.upper));
}

static void run_opening(struct shl_fan_job *job)
{
    struct opening *o = (struct opening *)job; /* the job is the first member */
    o->rc = shl_level_sst_source_new(o->sst, &o->plan, &o->source, &o->err);
    if (o->rc == SHALE_OK)
        o->rc = shl_source_seek(o->source, NULL, &o->err);
}

/* The open SST of the run is read to its end: the next one goes on at its pace. */
static void open_ahead(struct chain_source *c)
{
    size_t i;
    if (c->plan.fanout == NULL || c->run == NULL || c->next != NULL || !next_element(c, &i))
        return;
    c->next = env_calloc(1, sizeof *c->next);
    if (c->next == NULL)
        return;
    c->next->job.run = run_opening;
    c->next->sst = &c->levels->ssts[c->run->first + i];
    c->next->plan = c->plan;
    shl_sst_source_pace(c->open, &c->next->plan.window_first_bytes, &c->next->plan.ahead_first);
    shl_fanout_start(c->plan.fanout, &c->next->job);
}

/* To the first row of element i, which is the one after the open one. */
static shale_code enter_element(struct chain_source *c, size_t i, shale_error *err)
{
    if (c->next == NULL) {
        shale_code rc = open_element(c, i, err);
        return rc == SHALE_OK ? shl_source_seek(c->open, NULL, err) : rc;
    }
    shl_fanout_wait(c->plan.fanout, &c->next->job);
    if (c->next->rc != SHALE_OK) {
        *err = c->next->err;
        return err->code;
    }
    shl_source_close(c->open);
    c->open = c->next->source;
    c->at = i;
    env_free(c->next);
    c->next = NULL;
    return SHALE_OK;
}

/* Shows the open element's row; where it has none, goes on to the next element that has one. */
static shale_code settle(struct chain_source *c, shale_error *err)
{
    while (!c->open->valid) {
        size_t i;
        if (!next_element(c, &i)) {
            c->base.valid = false;
            return SHALE_OK;
        }
        shale_code rc = enter_element(c, i, err);
        if (rc != SHALE_OK)
            return rc;
    }
    c->base.row = c->open->row;
    c->base.begins_block = c->open->begins_block;
    c->base.valid = true;
    return SHALE_OK;
}

/* The element where a walk from `target` begins, or count if none can hold anything. */
static size_t first_element(const struct chain_source *c, const struct shl_slice *target)
{
    size_t low = 0, high = c->count;
    if (target == NULL)
        return c->base.reverse ? c->count - 1 : 0;
    while (low < high) { /* forward: the first one not below; reverse: the first one above */
        size_t mid = low + (high - low) / 2;
        if (c->base.reverse ? !element_above(c, mid, *target) : element_below(c, mid, *target))
            low = mid + 1;
        else
            high = mid;
    }
    if (c->base.reverse)
        return low == 0 ? c->count : low - 1;
    return low;
}

static shale_code chain_seek(struct shl_source *base, const struct shl_slice *target,
                             shale_error *err)
{
    struct chain_source *c = (struct chain_source *)base;
    base->valid = false;
    if (c->count == 0)
        return SHALE_OK;
    size_t i = first_element(c, target);
    if (i == c->count)
        return SHALE_OK;
    shale_code rc = SHALE_OK;
    if (c->open == NULL || c->at != i)
        rc = open_element(c, i, err);
    drop_opening(c);
    if (rc == SHALE_OK)
        rc = shl_source_seek(c->open, target, err);
    return rc == SHALE_OK ? settle(c, err) : rc;
}

/* The open element was moved. */
static shale_code moved(struct chain_source *c, shale_code rc, shale_error *err)
{
    struct shl_source *base = &c->base;
    if (rc == SHALE_OK && c->open->valid) {
        base->row = c->open->row;
        base->begins_block = c->open->begins_block;
        if (c->open->near_end)
            open_ahead(c);
        return SHALE_OK;
    }
    return rc == SHALE_OK ? settle(c, err) : rc;
}

static shale_code chain_next(struct shl_source *base, shale_error *err)
{
    struct chain_source *c = (struct chain_source *)base;
    SHL_ASSERT(base->valid);
    return moved(c, shl_source_next(c->open, err), err);
}

/* The last block of an SST stands alone only if the next SST of the run begins behind its last key. */
static bool chain_block(struct shl_source *base, struct shl_stored_block *out)
{
    const struct chain_source *c = (const struct chain_source *)base;
    size_t i;
    return c->run != NULL && shl_source_block(c->open, out) &&
           (!out->ends_file || !next_element(c, &i) || element_above(c, i, out->upto));
}

static shale_code chain_pass_block(struct shl_source *base, shale_error *err)
{
    struct chain_source *c = (struct chain_source *)base;
    SHL_ASSERT(base->valid);
    return moved(c, shl_source_pass_block(c->open, err), err);
}

static void chain_close(struct shl_source *base)
{
    struct chain_source *c = (struct chain_source *)base;
    drop_opening(c);
    shl_source_close(c->open);
    env_free(c);
}

static shale_code chain_new(const struct shl_levels *l, const struct shl_level_run *run,
                            size_t count, const struct shl_read_plan *plan, struct shl_source **out,
                            shale_error *err)
{
    static const struct shl_source_ops ops = {.seek = chain_seek,
                                              .next = chain_next,
                                              .close = chain_close,
                                              .block = chain_block,
                                              .pass_block = chain_pass_block};
    struct chain_source *c = env_calloc(1, sizeof *c);
    if (c == NULL)
        return shl_nomem(err);
    c->base = (struct shl_source){.ops = &ops, .reverse = plan->reverse};
    c->levels = l;
    c->plan = *plan;
    c->run = run;
    c->count = count;
    *out = &c->base;
    return SHALE_OK;
}

shale_code shl_run_source_new(const struct shl_levels *l, const struct shl_level_run *run,
                              const struct shl_read_plan *plan, struct shl_source **out,
                              shale_error *err)
{
    if (run->count == 1)
        return shl_level_sst_source_new(&l->ssts[run->first], plan, out, err);
    return chain_new(l, run, run->count, plan, out, err);
}

/* Whether the scan wants nothing of the range. */
static bool is_outside(const struct shl_key_range *r, const struct shl_read_plan *plan)
{
    if (plan->upper != NULL && shl_slice_cmp(r->start, *plan->upper) > 0)
        return true;
    if (plan->lower == NULL || r->end_unbounded)
        return false;
    int c = shl_slice_cmp(r->end, *plan->lower);
    return c < 0 || (c == 0 && !r->end_inclusive);
}

static bool is_passed_by(struct shl_sst *t, const struct shl_read_plan *plan)
{
    uint64_t begin = shl_trace_start();
    bool is_no = !shl_sst_may_contain_prefix(t, plan->prefix, plan->context);
    shl_trace_note(SHL_SPAN_EVALUATE_FILTER, &shl_sst_describe(t)->id, is_no, begin);
    return is_no;
}

shale_code shl_tree_source_new(const struct shl_levels *l, const struct shl_level_tree *tree,
                               const struct shl_read_plan *plan, struct shl_source **out,
                               shale_error *err)
{
    size_t n = 0;
    shale_code rc = SHALE_OK;
    struct shl_source *few[SHL_FEW_SOURCES];
    struct shl_source **list = few;
    if (tree->l0_count + tree->run_count + 1 > SHL_FEW_SOURCES)
        list = env_calloc(tree->l0_count + tree->run_count + 1, sizeof(struct shl_source *));
    if (list == NULL)
        return shl_nomem(err);
    for (size_t i = 0; rc == SHALE_OK && i < tree->l0_count; i++) {
        const struct shl_level_sst *s = &l->ssts[tree->l0_first + i];
        if (is_outside(&s->range, plan) || (plan->has_prefix && is_passed_by(s->sst, plan)))
            continue;
        rc = shl_level_sst_source_new(s, plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    for (size_t i = 0; rc == SHALE_OK && i < tree->run_count; i++) {
        rc = shl_run_source_new(l, &l->runs[tree->run_first + i], plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc != SHALE_OK) {
        for (size_t i = 0; i < n; i++)
            shl_source_close(list[i]);
    } else if (n == 1) {
        *out = list[0];
    } else {
        rc = shl_merge_source_new(list, n, plan->reverse, plan->fanout, out, err);
    }
    if (list != few)
        env_free(list);
    return rc;
}

shale_code shl_levels_source_new(const struct shl_levels *l, const struct shl_read_plan *plan,
                                 struct shl_source **out, shale_error *err)
{
    if (l->tree_count == 1)
        return shl_tree_source_new(l, &l->trees[0], plan, out, err);
    return chain_new(l, NULL, l->tree_count - 1, plan, out, err);
}
