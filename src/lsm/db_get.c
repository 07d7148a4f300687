/* Point lookup: memtables newest first, then L0, then one SST per run. Nothing is allocated, locked or counted where the
 * blocks are cached. performance.md 2, 3; slatedb-behaviour 4.2. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"

enum pin_kind { PIN_NONE, PIN_MEMTABLE, PIN_BLOCK, PIN_BUFFER };

/* What was fetched for one SST beside the others. */
struct ahead {
    struct shl_fan_job job, next_job;
    const struct lookup *l;
    struct shl_sst *sst;              /* alive as long as the lookup's version */
    struct shl_sst_meta *meta;        /* owned reference */
    struct shl_block *block, *next;   /* owned */
    uint32_t block_index, next_index; /* of those */
};
struct ahead_set {
    size_t count;
    struct ahead items[];
};

/* Where the search stands. The version is protected by the epoch, and after the first request by a reference too. */
struct lookup {
    struct shl_lsm *db;
    struct shl_slice key;
    uint64_t hash;
    struct shl_slice context; /* borrowed: for filters of the application */
    uint64_t max_seq;
    const struct shl_view *view; /* borrowed; NULL: none */
    struct shl_version *version;
    bool held; /* version is counted */
    bool cache_fill;
    bool traced;
    uint32_t token;
    uint32_t filters[3];       /* SSTs by what their filters said; [0]: nobody asked */
    uint32_t filters_false;    /* those that said yes, and the key was not there */
    struct shl_block *loaded;  /* owned: the last block that was fetched for this lookup */
    struct shl_sst_meta *meta; /* owned reference: of the SST in which something was fetched last */
    struct ahead_set *ahead;   /* owned; NULL: nothing was fetched beside */

    bool done; /* row is the base: a value or tombstone */
    struct shl_row row;
    struct shl_block *block; /* where row lies; borrowed; NULL: in `table` */
    struct shl_memtable *table;

    int64_t now;          /* with strict times to live; else SHL_NOT_STRICT; 0: not asked yet */
    bool merging;         /* operands were met */
    struct shl_buf bytes; /* owned: their values, newest first */
    SHL_ARRAY(struct shl_slice) operands; /* data is an offset until the end */
    uint64_t newest_seq;
    int64_t create_ts;
    int64_t expire_ts;
    bool has_expire_ts;
    struct shl_buf merged; /* owned: the folded value */
};

static void begin(struct lookup *l)
{
    struct shl_lsm *db = l->db;
    l->token = shl_epoch_enter(db->epoch);
    if (!l->held)
        l->version = env_load_seq(&db->version);
}

/* Leaves the epoch for a request; the version stays. */
static void suspend(struct lookup *l)
{
    if (!l->held)
        shl_version_ref(l->version);
    l->held = true;
    shl_epoch_leave(l->db->epoch, l->token);
}

static void drop_ahead(struct ahead_set *set)
{
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        shl_block_unref(set->items[i].block);
        shl_block_unref(set->items[i].next);
        shl_sst_release_meta(set->items[i].meta);
    }
    env_free(set);
}

/* The epoch must have been left. */
static void end(struct lookup *l)
{
    shl_block_unref(l->loaded);
    shl_sst_release_meta(l->meta);
    if (__builtin_expect(l->ahead != NULL, 0))
        drop_ahead(l->ahead);
    shl_buf_free(&l->bytes);
    shl_array_free(&l->operands);
    if (l->held)
        shl_version_unref(l->version);
}

static void note_times(struct lookup *l, const struct shl_row *row)
{
    l->create_ts = shl_max_i64(l->create_ts, row->create_ts);
    if ((row->flags & SHL_ROW_HAS_EXPIRE) != 0 &&
        (!l->has_expire_ts || row->expire_ts < l->expire_ts)) {
        l->has_expire_ts = true;
        l->expire_ts = row->expire_ts;
    }
}

/* Asks for the time only where some row has an end. */
static bool has_expired(struct lookup *l, const struct shl_row *row)
{
    if (l->now == 0)
        l->now = shl_lsm_read_time(l->db);
    return shl_row_expired(row, l->now);
}

static shale_code take(struct lookup *l, const struct shl_row *row, struct shl_block *block,
                       struct shl_memtable *table, shale_error *err)
{
    if ((row->flags & SHL_ROW_MERGE) == 0) {
        l->row = *row;
        l->block = block;
        l->table = table;
        l->done = true;
        if (l->merging && (row->flags & SHL_ROW_TOMBSTONE) == 0)
            note_times(l, row);
        return SHALE_OK;
    }
    if (!l->db->has_merge)
        return shl_fail(err, SHALE_INVALID,
                        "the key holds merge operands, and no merge operator was given at open");
    if (!l->merging)
        l->newest_seq = row->seq;
    l->merging = true;
    note_times(l, row);
    struct shl_slice at = {.data = NULL, .len = row->value.len};
    if (!shl_array_reserve(&l->operands, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_append(&l->bytes, row->value.data, row->value.len, err);
    if (rc != SHALE_OK)
        return rc;
    shl_array_add(&l->operands, at);
    return SHALE_OK;
}

/* Takes the next older visible row; sets done when it ends the search. An operand that has expired is passed over; a value is as if it had been
 * deleted, and so never uncovers what lies below. */
static shale_code feed(struct lookup *l, const struct shl_row *row, struct shl_block *block,
                       struct shl_memtable *table, shale_error *err)
{
    if (__builtin_expect((row->flags & SHL_ROW_HAS_EXPIRE) == 0, 1) || !has_expired(l, row))
        return take(l, row, block, table, err);
    if ((row->flags & SHL_ROW_MERGE) != 0)
        return SHALE_OK;
    const struct shl_row gone = {.seq = row->seq, .flags = SHL_ROW_TOMBSTONE};
    return take(l, &gone, block, table, err);
}

static shale_code search_memtable(struct lookup *l, struct shl_memtable *t, uint64_t max_seq,
                                  shale_error *err)
{
    const struct shl_mem_entry *e = shl_memtable_get(t, l->key, max_seq);
    while (e != NULL && !l->done) {
        struct shl_row row;
        shl_mem_entry_row(e, &row);
        shale_code rc = feed(l, &row, NULL, t, err);
        if (rc != SHALE_OK)
            return rc;
        if (!l->done)
            e = shl_mem_entry_older(e);
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- requests */

/* The SSTs of a tree that may hold the key, in the order of the search: newest first. f false: enough. */
typedef bool (*visit_sst)(void *arg, struct shl_sst *t);

static void for_each_sst(const struct lookup *l, const struct shl_levels *levels,
                         const struct shl_level_tree *t, visit_sst f, void *arg)
{
    for (size_t i = 0; i < t->l0_count; i++) {
        const struct shl_level_sst *s = &levels->ssts[t->l0_first + i];
        if (shl_key_range_contains(&s->range, l->key) && !f(arg, s->sst))
            return;
    }
    for (size_t i = 0; i < t->run_count; i++) {
        const struct shl_level_run *run = &levels->runs[t->run_first + i];
        /* One key's versions can go on in the next SST. */
        size_t first = shl_level_run_find(levels, run, l->key);
        for (size_t k = first; k < run->count; k++) {
            const struct shl_level_sst *s = &levels->ssts[run->first + k];
            if (k > first && !shl_key_range_contains(&s->range, l->key))
                break;
            if (!f(arg, s->sst))
                return;
        }
    }
}

static void run_next(struct shl_fan_job *job)
{
    struct ahead *a = (void *)((char *)job - offsetof(struct ahead, next_job));
    shale_error ignored;
    shl_ignore(shl_sst_load_block_of(a->sst, a->meta, a->next_index, a->l->cache_fill, &a->next,
                                     &ignored));
}

/* Index and filter if they are not there, then the block, if a request is needed for it. A failure is kept quiet: should the search come
 * here, it asks again, and hears of it. */
static void run_ahead(struct shl_fan_job *job)
{
    struct ahead *a = (struct ahead *)job; /* the job is the first member */
    const struct lookup *l = a->l;
    shale_error ignored;
    struct shl_probe_state p = {
        .key = l->key, .hash = l->hash, .context = l->context, .max_seq = l->max_seq};
    if (shl_sst_hold_meta(a->sst, &a->meta, &ignored) != SHALE_OK)
        return;
    p.meta = a->meta;
    uint32_t token = shl_epoch_enter(l->db->epoch);
    enum shl_probe found = shl_sst_probe(a->sst, &p, &ignored);
    shl_epoch_leave(l->db->epoch, token);
    if (found != SHL_PROBE_NEED_BLOCK)
        return;
    a->block_index = p.block_index;
    a->next_index = p.block_index + 1;
    bool next_too = shl_sst_probe_goes_on(&p);
    if (next_too)
        shl_fanout_start(l->db->fanout, &a->next_job);
    shl_ignore(
        shl_sst_load_block_of(a->sst, a->meta, a->block_index, l->cache_fill, &a->block, &ignored));
    if (next_too)
        shl_fanout_wait(l->db->fanout, &a->next_job);
}

struct gathering {
    struct lookup *l;
    const struct shl_sst *from; /* where the search stands: those before are done */
    bool reached;
    size_t count;
    struct ahead_set *set; /* NULL: only count */
};

/* Inside the epoch. */
static bool gather_sst(void *arg, struct shl_sst *t)
{
    struct gathering *g = arg;
    shale_error ignored;
    struct shl_probe_state p = {
        .key = g->l->key, .hash = g->l->hash, .context = g->l->context, .max_seq = g->l->max_seq};
    g->reached = g->reached || t == g->from;
    if (!g->reached)
        return true;
    enum shl_probe found = shl_sst_probe(t, &p, &ignored);
    if (found == SHL_PROBE_NEED_META || found == SHL_PROBE_NEED_BLOCK) {
        if (g->set != NULL && g->count < g->set->count)
            g->set->items[g->count] = (struct ahead){
                .job = {.run = run_ahead}, .next_job = {.run = run_next}, .l = g->l, .sst = t};
        g->count++;
    }
    return g->set == NULL || g->count < g->set->count;
}

/* What all the SSTs that are still to be searched need, for one request after the other would be as many round trips. It may be more than the
 * search will use: who overwrites a key pays for reading it once in each level that has it. NULL: out of memory. */
static struct ahead_set *gather(struct lookup *l, const struct shl_sst *from)
{
    const struct shl_levels *levels = l->version->levels;
    const struct shl_level_tree *tree = shl_levels_tree(levels, l->key);
    struct gathering g = {.l = l, .from = from};
    for_each_sst(l, levels, tree, gather_sst, &g);
    struct ahead_set *set = env_calloc(1, sizeof *set + g.count * sizeof set->items[0]);
    if (set == NULL)
        return NULL;
    set->count = g.count;
    g = (struct gathering){.l = l, .from = from, .set = set};
    if (set->count > 0)
        for_each_sst(l, levels, tree, gather_sst, &g);
    set->count = g.count; /* others may have loaded something meanwhile */
    return set;
}

/* A block that was fetched beside, or NULL. */
static struct shl_block *take_ahead(struct lookup *l, const struct shl_sst *t, uint32_t block_index)
{
    struct shl_block *b = NULL;
    for (size_t i = 0; l->ahead != NULL && b == NULL && i < l->ahead->count; i++) {
        struct ahead *a = &l->ahead->items[i];
        if (a->sst != t)
            continue;
        struct shl_block **from = a->block_index == block_index ? &a->block : &a->next;
        if (*from != NULL && (from == &a->block || a->next_index == block_index)) {
            b = *from;
            *from = NULL;
        }
    }
    return b;
}

/* The index and filter of t, which stay for the rest of the search in it: the cache may have no room for them. */
static shale_code hold_meta(struct lookup *l, struct shl_sst *t, struct shl_probe_state *p,
                            shale_error *err)
{
    struct shl_sst_meta *m = NULL;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; l->ahead != NULL && m == NULL && i < l->ahead->count; i++) {
        struct ahead *a = &l->ahead->items[i];
        if (a->sst == t) {
            m = a->meta;
            a->meta = NULL;
        }
    }
    if (m == NULL)
        rc = shl_sst_hold_meta(t, &m, err);
    if (rc != SHALE_OK)
        return rc;
    shl_sst_release_meta(l->meta);
    l->meta = p->meta = m;
    return SHALE_OK;
}

/* Fetches what a probe asked for, outside of the epoch. */
static shale_code fetch(struct lookup *l, struct shl_sst *t, enum shl_probe need,
                        struct shl_probe_state *p, shale_error *err)
{
    shale_code rc = SHALE_OK;
    bool is_first = l->db->fanout != NULL && l->ahead == NULL;
    if (is_first)
        l->ahead = gather(l, t);
    suspend(l);
    if (is_first && l->ahead != NULL) {
        uint64_t begin_ns = shl_trace_start();
        shl_fanout_all(l->db->fanout, &l->ahead->items[0].job, sizeof l->ahead->items[0],
                       l->ahead->count);
        shl_trace_note(SHL_SPAN_READ_BLOCKS, NULL, false, begin_ns); /* all that is needed */
    }
    if (p->meta == NULL)
        rc = hold_meta(l, t, p, err);
    if (rc == SHALE_OK && need == SHL_PROBE_NEED_BLOCK) {
        struct shl_block *block = take_ahead(l, t, p->block_index);
        if (block == NULL)
            rc = shl_sst_load_block_of(t, p->meta, p->block_index, l->cache_fill, &block, err);
        if (rc == SHALE_OK) {
            shl_block_unref(l->loaded);
            l->loaded = p->loaded = block;
            p->loaded_index = p->block_index;
        }
    }
    begin(l);
    return rc;
}

/* ---------------------------------------------------------------- SSTs */

#define NO_START UINT32_MAX

/* start: the block where the search begins, if filters and index were asked already. */
static shale_code search_sst(struct lookup *l, struct shl_sst *t, uint32_t start, shale_error *err)
{
    struct shl_probe_state p = {.key = l->key,
                                .hash = l->hash,
                                .context = l->context,
                                .max_seq = l->max_seq,
                                .has_start = start != NO_START,
                                .start_index = start,
                                .filter = start != NO_START ? SHL_FILTER_SAID_YES : 0};
    bool was_there = false;
    for (;;) {
        enum shl_probe found = shl_sst_probe(t, &p, err);
        shale_code rc = SHALE_OK;
        switch (found) {
        case SHL_PROBE_FOUND:
            rc = feed(l, &p.row, p.block, NULL, err);
            was_there = true;
            if (rc != SHALE_OK || l->done || p.row.seq == 0) {
                l->filters[p.filter]++;
                return rc;
            }
            p.max_seq = p.row.seq - 1;
            break;
        case SHL_PROBE_MISSING:
            l->filters[p.filter]++;
            l->filters_false += p.filter == SHL_FILTER_SAID_YES && !was_there;
            return SHALE_OK;
        case SHL_PROBE_CORRUPT:
            return err->code;
        case SHL_PROBE_NEED_META:
        case SHL_PROBE_NEED_BLOCK:
            rc = fetch(l, t, found, &p, err);
            if (rc != SHALE_OK)
                return rc;
            break;
        }
    }
}

/* First lines of all filters that will be asked, before the first of them is needed. */
static void prefetch_filters(const struct lookup *l, const struct shl_levels *levels,
                             const struct shl_level_tree *t)
{
    for (size_t i = 0; i < t->l0_count; i++)
        shl_sst_prefetch_filter(levels->ssts[t->l0_first + i].sst, l->hash);
    for (size_t i = 0; i < t->run_count; i++) {
        const struct shl_level_run *run = &levels->runs[t->run_first + i];
        if (run->count == 1)
            shl_sst_prefetch_filter(levels->ssts[run->first].sst, l->hash);
    }
}

static shale_code search_tree(struct lookup *l, const struct shl_levels *levels,
                              const struct shl_level_tree *t, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < t->l0_count && !l->done && rc == SHALE_OK; i++) {
        const struct shl_level_sst *s = &levels->ssts[t->l0_first + i];
        if (shl_key_range_contains(&s->range, l->key))
            rc = search_sst(l, s->sst, NO_START, err);
    }
    for (size_t i = 0; i < t->run_count && !l->done && rc == SHALE_OK; i++) {
        const struct shl_level_run *run = &levels->runs[t->run_first + i];
        /* One key's versions can go on in the next SST. */
        size_t first = shl_level_run_find(levels, run, l->key);
        for (size_t k = first; k < run->count && !l->done && rc == SHALE_OK; k++) {
            const struct shl_level_sst *s = &levels->ssts[run->first + k];
            if (k > first && !shl_key_range_contains(&s->range, l->key))
                break;
            rc = search_sst(l, s->sst, NO_START, err);
        }
    }
    return rc;
}

static shale_code search_memtables(struct lookup *l, shale_error *err)
{
    const struct shl_version *v = l->version;
    shale_code rc = SHALE_OK;
    if (__builtin_expect(l->view != NULL && l->view->own != NULL, 0))
        rc = search_memtable(l, l->view->own, UINT64_MAX, err);
    if (rc == SHALE_OK && !l->done)
        rc = search_memtable(l, v->active, l->max_seq, err);
    for (size_t i = 0; i < v->frozen_count && !l->done && rc == SHALE_OK; i++)
        rc = search_memtable(l, v->frozen[i], l->max_seq, err);
    return rc;
}

/* Inside the epoch. */
static void count(const struct lookup *l)
{
    struct shl_epoch *e = l->db->epoch;
    shl_epoch_count(e, l->token, SHL_COUNT_GETS, 1);
    if (l->filters[SHL_FILTER_SAID_YES] > 0)
        shl_epoch_count(e, l->token, SHL_COUNT_FILTER_POSITIVE, l->filters[SHL_FILTER_SAID_YES]);
    if (l->filters[SHL_FILTER_SAID_NO] > 0)
        shl_epoch_count(e, l->token, SHL_COUNT_FILTER_NEGATIVE, l->filters[SHL_FILTER_SAID_NO]);
    if (l->filters_false > 0)
        shl_epoch_count(e, l->token, SHL_COUNT_FILTER_FALSE, l->filters_false);
    if (l->operands.count > 0)
        shl_epoch_count(e, l->token, SHL_COUNT_OPERANDS, l->operands.count);
}

struct traced {
    struct lookup *l;
    shale_code rc;
    shale_error *err;
};

/* What the filters said shows in the counts; how long they take is measured once more. */
static __attribute__((cold)) bool search_sst_traced(void *arg, struct shl_sst *t)
{
    struct traced *w = arg;
    struct lookup *l = w->l;
    uint32_t said_no = l->filters[SHL_FILTER_SAID_NO], said_yes = l->filters[SHL_FILTER_SAID_YES];
    w->rc = search_sst(l, t, NO_START, w->err);
    bool is_no = l->filters[SHL_FILTER_SAID_NO] > said_no;
    if (is_no || l->filters[SHL_FILTER_SAID_YES] > said_yes) {
        uint64_t begin_ns = shl_trace_start();
        (void)shl_sst_may_contain(t, l->key, l->hash);
        shl_trace_note(SHL_SPAN_EVALUATE_FILTER, &shl_sst_describe(t)->id, is_no, begin_ns);
    }
    return w->rc == SHALE_OK && !l->done;
}

static __attribute__((noinline, cold)) shale_code
search_traced(struct lookup *l, const struct shl_level_tree *tree, shale_error *err)
{
    struct traced w = {.l = l, .err = err};
    uint64_t begin_ns = shl_trace_start();
    w.rc = search_memtables(l, err);
    shl_trace_note(SHL_SPAN_MEMTABLE, NULL, false, begin_ns);
    if (w.rc == SHALE_OK && !l->done && tree != NULL)
        for_each_sst(l, l->version->levels, tree, search_sst_traced, &w);
    return w.rc;
}

static shale_code search(struct lookup *l, shale_error *err)
{
    /* The version first, then the limit: what the limit covers and the version lacks is newer than all that it holds, so the view is
     * that of an earlier moment; the other way round a flush in between could have dropped versions that the limit needs. */
    struct shl_version *v = l->version;
    shale_code rc;
    shl_memtable_prefetch(v->active);
    l->hash = shl_filter_hash(l->key);
    const struct shl_level_tree *tree = shl_levels_tree(v->levels, l->key);
    if (tree != NULL)
        prefetch_filters(l, v->levels, tree);
    if (__builtin_expect(l->traced, 0)) {
        rc = search_traced(l, tree, err);
    } else {
        rc = search_memtables(l, err);
        if (rc == SHALE_OK && !l->done && tree != NULL)
            rc = search_tree(l, v->levels, tree, err);
    }
    count(l);
    return rc;
}

/* Folds the operands onto the base, oldest first, into l->merged. */
static shale_code fold(struct lookup *l, shale_error *err)
{
    uint64_t begin_ns = shl_trace_start();
    struct shl_buf next = {0};
    struct shl_slice existing = l->row.value;
    const struct shl_slice *have =
        l->done && (l->row.flags & SHL_ROW_TOMBSTONE) == 0 ? &existing : NULL;
    size_t end = l->bytes.len;
    shale_code rc = SHALE_OK;
    for (size_t i = l->operands.count; i-- > 0;) {
        size_t len = l->operands.items[i].len;
        end -= len;
        /* Where all operands are empty there are no bytes at all. */
        struct shl_slice operand = shl_slice_of(len > 0 ? l->bytes.data + end : NULL, len);
        rc = l->db->merge.merge(l->db->merge.ctx, l->key, have, operand, &next, err);
        if (rc != SHALE_OK)
            break;
        struct shl_buf swap = l->merged;
        l->merged = next;
        next = swap;
        next.len = 0;
        existing = shl_buf_view(&l->merged);
        have = &existing;
    }
    shl_buf_free(&next);
    shl_trace_note(SHL_SPAN_MERGE, NULL, false, begin_ns);
    return rc;
}

/* Runs the search. On SHALE_OK the epoch is still open and the result stands in l; else it was left. */
static shale_code run(struct lookup *l, const struct shl_lsm_read *how, shale_error *err)
{
    struct shl_lsm *db = l->db;
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    if (l->key.len == 0)
        return shl_fail(err, SHALE_INVALID, "key of 0 bytes");
    l->cache_fill = !how->no_cache_fill;
    l->create_ts = INT64_MIN;
    l->view = how->view;
    l->context = how->filter_context;
    l->traced = how->trace_id != NULL;
    if (__builtin_expect(l->view != NULL && l->view->version != NULL, 0)) {
        l->version = shl_version_ref(l->view->version);
        l->held = true;
    }
    begin(l);
    l->max_seq = shl_lsm_limit(db, how->remote_only, l->view);
    rc = search(l, err);
    if (rc == SHALE_OK && !l->merging && (!l->done || (l->row.flags & SHL_ROW_TOMBSTONE) != 0))
        rc = SHALE_NOT_FOUND;
    if (rc != SHALE_OK)
        shl_epoch_leave(db->epoch, l->token);
    return rc;
}

/* A user callback must not run inside an epoch: the base is copied out first. */
static shale_code fold_outside(struct lookup *l, shale_error *err)
{
    struct shl_buf base = {0};
    shale_code rc = SHALE_OK;
    if (l->done)
        rc = shl_buf_set(&base, l->row.value, err);
    suspend(l);
    if (rc == SHALE_OK) {
        l->row.value = shl_buf_view(&base);
        rc = fold(l, err);
    }
    shl_buf_free(&base);
    return rc;
}

/* Inside the epoch. */
static void pin_row(const struct lookup *l, struct shl_lsm_pinned *out)
{
    *out = (struct shl_lsm_pinned){.value = l->row.value,
                                   .seq = l->row.seq,
                                   .create_ts = l->row.create_ts,
                                   .expire_ts = l->row.expire_ts,
                                   .has_expire_ts = (l->row.flags & SHL_ROW_HAS_EXPIRE) != 0};
    if (l->block != NULL) {
        out->kind = PIN_BLOCK;
        out->owner = shl_block_ref(l->block);
    } else {
        out->kind = PIN_MEMTABLE;
        out->owner = shl_memtable_ref(l->table);
    }
}

/* Inside the epoch, which is left. */
static shale_code pin_merged(struct lookup *l, struct shl_lsm_pinned *out, shale_error *err)
{
    shale_code rc = fold_outside(l, err);
    if (rc == SHALE_OK)
        *out = (struct shl_lsm_pinned){.value = shl_buf_view(&l->merged),
                                       .seq = l->newest_seq,
                                       .create_ts = l->create_ts,
                                       .expire_ts = l->expire_ts,
                                       .has_expire_ts = l->has_expire_ts,
                                       .kind = PIN_BUFFER,
                                       .owner = l->merged.data};
    else
        shl_buf_free(&l->merged);
    return rc;
}

/* Between these, what the task does is noted. The first gives NULL, and costs nothing, for a read that nobody asked to trace. */
static __attribute__((noinline, cold)) struct shl_trace *new_trace(struct shl_lsm *db,
                                                                   const char *id)
{
    struct shl_trace *t = shl_trace_new(&db->tracer, id);
    (void)shl_trace_enter(t);
    return t;
}

static inline struct shl_trace *begin_trace(struct shl_lsm *db, const struct shl_lsm_read *how)
{
    return __builtin_expect(how->trace_id == NULL, 1) ? NULL : new_trace(db, how->trace_id);
}

static __attribute__((noinline, cold)) void drop_trace(struct shl_trace *t)
{
    (void)shl_trace_enter(NULL);
    shl_trace_end(t);
}

static inline void end_trace(struct shl_trace *t)
{
    if (__builtin_expect(t != NULL, 0))
        drop_trace(t);
}

shale_code shl_lsm_get(struct shl_lsm *db, struct shl_slice key, const struct shl_lsm_read *how,
                       struct shl_lsm_pinned *out, shale_error *err)
{
    struct lookup l = {.db = db, .key = key};
    struct shl_trace *trace = begin_trace(db, how);
    shale_code rc = run(&l, how, err);
    if (rc == SHALE_OK && l.merging) {
        rc = pin_merged(&l, out, err);
    } else if (rc == SHALE_OK) {
        pin_row(&l, out);
        shl_epoch_leave(db->epoch, l.token);
    }
    end(&l);
    end_trace(trace);
    return rc;
}

void shl_lsm_pinned_release(struct shl_lsm_pinned *p)
{
    switch ((enum pin_kind)p->kind) {
    case PIN_NONE:
        break;
    case PIN_MEMTABLE:
        shl_memtable_unref(p->owner);
        break;
    case PIN_BLOCK:
        shl_block_unref(p->owner);
        break;
    case PIN_BUFFER:
        env_free(p->owner);
        break;
    }
    *p = (struct shl_lsm_pinned){0};
}

shale_code shl_lsm_get_into(struct shl_lsm *db, struct shl_slice key,
                            const struct shl_lsm_read *how, void *dst, size_t cap,
                            size_t *value_len, shale_error *err)
{
    struct lookup l = {.db = db, .key = key};
    struct shl_trace *trace = begin_trace(db, how);
    shale_code rc = run(&l, how, err);
    if (rc == SHALE_OK) {
        struct shl_slice value = l.row.value;
        if (l.merging) {
            rc = fold_outside(&l, err); /* leaves the epoch */
            value = shl_buf_view(&l.merged);
        }
        if (rc == SHALE_OK) {
            *value_len = value.len;
            if (shl_min_size(value.len, cap) > 0)
                memcpy(dst, value.data, shl_min_size(value.len, cap));
        }
        if (!l.merging)
            shl_epoch_leave(db->epoch, l.token);
        shl_buf_free(&l.merged);
    }
    end(&l);
    end_trace(trace);
    return rc;
}

/* ---------------------------------------------------------------- several keys */

/* Keys whose cache misses are waited for side by side: 8 misses take little longer than one, and more than about 10 the CPU does not track. */
#define GROUP_KEYS 8
/* SSTs of one key that are kept in mind; where there are more, those are searched as by a single get. */
#define CANDIDATES_MAX 12

/* One key of a group. */
struct member {
    struct lookup l;
    struct shl_sst_ahead ahead;
    struct shl_sst *candidates[CANDIDATES_MAX]; /* whose range has the key, in order */
    size_t candidate_count;
    bool has_more; /* SSTs than are noted */
    size_t next;   /* the first candidate that may hold the key; candidate_count: none */
    bool is_ready; /* ahead.block_index is that of `next`, and its block in the cache */
};

struct group {
    struct shl_version *version;
    uint64_t max_seq;
    bool held; /* version is counted */
    uint32_t token;
    size_t count;
    struct member members[GROUP_KEYS];
};

static void group_suspend(struct group *g, struct shl_lsm *db)
{
    if (!g->held)
        shl_version_ref(g->version);
    g->held = true;
    shl_epoch_leave(db->epoch, g->token);
}

/* What a lookup ends with is freed outside of the epoch. Enters it again for the next group, with the version held. */
static void group_leave(struct group *g, struct shl_lsm *db, bool is_last)
{
    if (is_last)
        shl_epoch_leave(db->epoch, g->token);
    else
        group_suspend(g, db);
    for (size_t i = 0; i < g->count; i++)
        end(&g->members[i].l);
    if (!is_last)
        g->token = shl_epoch_enter(db->epoch);
}

static bool visit_candidate(void *arg, struct shl_sst *t)
{
    struct member *m = arg;
    m->has_more = m->candidate_count == CANDIDATES_MAX;
    if (m->has_more)
        return false;
    m->candidates[m->candidate_count++] = t;
    shl_sst_prefetch_filter(t, m->l.hash);
    return true;
}

static void find_candidates(struct member *m)
{
    const struct shl_levels *levels = m->l.version->levels;
    const struct shl_level_tree *tree = shl_levels_tree(levels, m->l.key);
    m->l.hash = shl_filter_hash(m->l.key);
    m->ahead.key = m->l.key;
    m->ahead.hash = m->l.hash;
    m->ahead.context = m->l.context;
    if (tree != NULL)
        for_each_sst(&m->l, levels, tree, visit_candidate, m);
}

/* To the first candidate from `next` on that the first bit of its filter lets through, or whose meta is not there. */
static void ask_first_bits(struct member *m)
{
    if (m->l.done)
        m->next = m->candidate_count;
    while (m->next < m->candidate_count && !shl_sst_ahead_filter(m->candidates[m->next], &m->ahead))
        m->next++;
}

/* To the first that all filters let through. */
static void ask_index(struct member *m)
{
    while (m->next < m->candidate_count) {
        m->is_ready =
            m->ahead.meta != NULL && shl_sst_ahead_index(m->candidates[m->next], &m->ahead);
        if (m->is_ready || m->ahead.meta == NULL)
            break;
        m->next++;
        m->ahead.bits.count = 0; /* those of another SST */
        ask_first_bits(m);
    }
}

/* Every stage for all keys before the next one: what it reads was asked for a stage ago. Inside the epoch. */
static shale_code group_stages(struct group *g, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < g->count; i++)
        find_candidates(&g->members[i]);
    for (size_t i = 0; i < g->count && rc == SHALE_OK; i++)
        rc = search_memtables(&g->members[i].l, err);
    for (size_t i = 0; i < g->count; i++)
        ask_first_bits(&g->members[i]);
    for (size_t i = 0; i < g->count; i++)
        ask_index(&g->members[i]);
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];
        m->is_ready = m->is_ready && shl_sst_ahead_block(m->candidates[m->next], &m->ahead);
    }
    for (size_t i = 0; i < g->count; i++)
        if (g->members[i].is_ready)
            shl_sst_ahead_entry(g->members[i].candidates[g->members[i].next], &g->members[i].ahead);
    return rc;
}

/* On a far store: what the keys need that is not in the cache, for all of them at once. Inside the epoch, left meanwhile. */
static void group_fetch(struct group *g, struct shl_lsm *db)
{
    size_t jobs = 0;
    for (size_t i = 0; db->fanout != NULL && i < g->count; i++) {
        struct member *m = &g->members[i];
        if (m->next == m->candidate_count || m->is_ready)
            continue;
        m->l.ahead = gather(&m->l, m->candidates[m->next]);
        jobs += m->l.ahead == NULL ? 0 : m->l.ahead->count;
    }
    if (jobs == 0)
        return;
    group_suspend(g, db);
    uint64_t begin_ns = shl_trace_start();
    for (size_t i = 0; i < g->count; i++)
        for (size_t k = 0; g->members[i].l.ahead != NULL && k < g->members[i].l.ahead->count; k++)
            shl_fanout_start(db->fanout, &g->members[i].l.ahead->items[k].job);
    for (size_t i = 0; i < g->count; i++)
        for (size_t k = 0; g->members[i].l.ahead != NULL && k < g->members[i].l.ahead->count; k++)
            shl_fanout_wait(db->fanout, &g->members[i].l.ahead->items[k].job);
    shl_trace_note(SHL_SPAN_READ_BLOCKS, NULL, false, begin_ns);
    g->token = shl_epoch_enter(db->epoch);
}

/* The candidates that are left; those before do not hold the key. */
static shale_code search_candidates(struct member *m, shale_error *err)
{
    struct lookup *l = &m->l;
    shale_code rc = SHALE_OK;
    if (m->has_more) /* as a single get does it all */
        return l->done ? SHALE_OK
                       : search_tree(l, l->version->levels,
                                     shl_levels_tree(l->version->levels, l->key), err);
    for (size_t i = m->next; i < m->candidate_count && !l->done && rc == SHALE_OK; i++)
        rc = search_sst(l, m->candidates[i],
                        i == m->next && m->is_ready ? m->ahead.block_index : NO_START, err);
    return rc;
}

/* Inside the epoch before and after; it may have been left meanwhile. */
static shale_code group_finish_one(struct group *g, struct member *m, struct shl_lsm_pinned *out,
                                   shale_error *err)
{
    struct lookup *l = &m->l;
    l->token = g->token;
    l->held = g->held;
    if (!l->done)
        l->filters[SHL_FILTER_SAID_NO] = (uint32_t)m->next;
    shale_code rc = search_candidates(m, err);
    count(l);
    if (rc == SHALE_OK && l->merging) {
        rc = pin_merged(l, out, err);
        begin(l);
    } else if (rc == SHALE_OK) {
        if (l->done && (l->row.flags & SHL_ROW_TOMBSTONE) == 0)
            pin_row(l, out);
        else
            rc = SHALE_NOT_FOUND;
    }
    g->token = l->token;
    g->held = l->held;
    l->held = false; /* the group drops it */
    return rc;
}

/* The view of all keys of a call. Enters the epoch. */
static void group_open(struct group *g, struct shl_lsm *db, const struct shl_lsm_read *how)
{
    g->held = how->view != NULL && how->view->version != NULL;
    g->token = shl_epoch_enter(db->epoch);
    g->version = g->held ? shl_version_ref(how->view->version)
                         : env_load_seq(&db->version); /* before the limit: see search */
    g->max_seq = shl_lsm_limit(db, how->remote_only, how->view);
}

static void group_fill(struct group *g, struct shl_lsm *db, const struct shl_lsm_keys *keys,
                       size_t first, const struct shl_lsm_read *how)
{
    g->count = shl_min_size(keys->count - first, GROUP_KEYS);
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];
        m->l = (struct lookup){.db = db,
                               .key = keys->key(keys->ctx, first + i),
                               .max_seq = g->max_seq,
                               .view = how->view,
                               .context = how->filter_context,
                               .version = g->version,
                               .cache_fill = !how->no_cache_fill,
                               .create_ts = INT64_MIN};
        m->ahead.bits.count = 0;
        m->candidate_count = m->next = 0;
        m->has_more = m->is_ready = false;
    }
}

/* Inside the epoch before and after. */
static shale_code group_run(struct group *g, struct shl_lsm *db, const struct shl_lsm_keys *keys,
                            size_t first, shale_error *err)
{
    shale_code rc = group_stages(g, err);
    if (rc == SHALE_OK)
        group_fetch(g, db);
    for (size_t i = 0; i < g->count && rc == SHALE_OK; i++) {
        struct shl_lsm_pinned found;
        rc = group_finish_one(g, &g->members[i], &found, err);
        if (rc == SHALE_OK)
            keys->found(keys->ctx, first + i, &found);
        else if (rc == SHALE_NOT_FOUND)
            rc = SHALE_OK;
    }
    return rc;
}

static shale_code check_keys(const struct shl_lsm_keys *keys, shale_error *err)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->key(keys->ctx, i).len == 0)
            return shl_fail(err, SHALE_INVALID, "key %zu of %zu: 0 bytes", i + 1, keys->count);
    return SHALE_OK;
}

shale_code shl_lsm_get_many(struct shl_lsm *db, const struct shl_lsm_keys *keys,
                            const struct shl_lsm_read *how, shale_error *err)
{
    struct group g; /* members are set when they are used */
    shale_code rc = shl_lsm_check(db, err);
    if (rc == SHALE_OK)
        rc = check_keys(keys, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_trace *trace = begin_trace(db, how);
    group_open(&g, db, how);
    for (size_t first = 0; first < keys->count && rc == SHALE_OK; first += GROUP_KEYS) {
        group_fill(&g, db, keys, first, how);
        rc = group_run(&g, db, keys, first, err);
        group_leave(&g, db, keys->count - first <= GROUP_KEYS || rc != SHALE_OK);
    }
    if (keys->count == 0)
        shl_epoch_leave(db->epoch, g.token);
    if (g.held)
        shl_version_unref(g.version);
    end_trace(trace);
    return rc;
}
