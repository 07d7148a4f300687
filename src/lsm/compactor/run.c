#include "lsm/compactor/run.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/compactor/check.h"
#include "lsm/compactor/scheduler.h"
#include "lsm/compactor/split.h"
#include "lsm/format/names.h"
#include "lsm/retain.h"
#include "lsm/source_chain.h"
#include "lsm/sst/sst_internal.h"
#include "lsm/sst/sst_write.h"

#define PART_BYTES         (8 * 1024 * 1024) /* of an upload */
#define SMALL_PART_BYTES   (1024 * 1024)     /* where they cost nothing */
#define NEAR_WINDOW_BYTES  ((size_t)128 << 10)
#define WINDOW_FIRST_BYTES (256 * 1024)
#define STOP_CHECK_ROWS    1024
#define ANCHORS_PER_SST    128
#define INDEXED_SSTS_MAX   256 /* of more inputs only the first keys are looked at */

/* One range of the job's keys. */
struct part {
    struct shl_bytes_range range;             /* owned [const] */
    SHL_ARRAY(struct shl_sst_desc *) outputs; /* counted [mu]; only its task adds */
    bool completed;                           /* [mu] */
};

struct shl_job_run {
    struct shl_run_env env;
    struct shl_compaction job; /* owned [const] */
    struct shl_levels *levels; /* counted [const] */
    const struct shl_tree *tree;
    const struct shl_level_tree *level_tree;
    struct shl_retain_rules rules;
    enum shl_compression codec; /* of the outputs */
    struct env_task *task;
    struct env_task *helpers[15]; /* [task] */
    size_t helper_count;          /* [task] */
    _Atomic bool stop;
    _Atomic uint64_t rows, bytes;
    struct env_mutex mu;
    SHL_ARRAY(struct part)
    parts;            /* [mu] while planned is false, then [const] but for what says so */
    bool planned;     /* [mu] */
    size_t next_part; /* [mu] not taken yet */
    bool ended;       /* [mu] */
    shale_code rc;    /* [mu] the first failure */
    shale_error err;
};

/* A task at a part. */
struct worker {
    struct shl_job_run *run;
    struct part *part;
    struct shl_sst_writer *writer; /* the open output */
    struct shl_ulid output_id;
    struct shl_read_budget budget;
    struct shl_buf resume_key; /* owned: rows of it down to resume_seq are in the outputs */
    uint64_t resume_seq;
    bool resumes;
    void *filter;   /* the instance */
    bool filtering; /* it has not ended */
    uint64_t rows, bytes;
    uint64_t copied; /* blocks */
};

static bool must_stop(struct shl_job_run *r)
{
    return env_load_relaxed(&r->stop) || r->env.must_stop(r->env.ctx);
}

static void note_failure(struct shl_job_run *r, shale_code rc, const shale_error *err)
{
    env_mutex_lock(&r->mu);
    if (r->rc == SHALE_OK) {
        r->rc = rc;
        r->err = *err;
    }
    env_mutex_unlock(&r->mu);
    env_store_relaxed(&r->stop, true);
}

/* ---------------------------------------------------------------- output */

struct largest {
    enum shl_compression codec;
    uint64_t bytes;
    size_t age; /* its place from the newest on */
};

static void prefer(struct largest *best, const struct shl_sst_view *v, uint64_t bytes, size_t age)
{
    if (bytes > best->bytes || (bytes == best->bytes && age < best->age))
        *best = (struct largest){v->sst->info.compression, bytes, age};
}

/* That of the largest input; of equal ones the newest. A few rows of a writer that was told of none do not unpack a database. */
static enum shl_compression codec_of_inputs(const struct shl_tree *tree,
                                            const struct shl_compaction *job)
{
    struct largest best = {SHL_COMPRESSION_NONE, 0, SIZE_MAX};
    for (size_t k = 0; k < job->l0_view_ids.count; k++) {
        size_t i = shl_tree_find_view(tree, job->l0_view_ids.items[k]);
        if (i != SIZE_MAX)
            prefer(&best, &tree->l0.items[i], shl_view_bytes(&tree->l0.items[i]), i);
    }
    for (size_t k = 0; k < job->runs.count; k++) {
        size_t i = shl_tree_find_run(tree, job->runs.items[k]);
        if (i != SIZE_MAX && tree->runs.items[i].ssts.count > 0)
            prefer(&best, &tree->runs.items[i].ssts.items[0], shl_run_bytes(&tree->runs.items[i]),
                   tree->l0.count + i);
    }
    return best.codec;
}

static enum shl_compression codec_of_outputs(const struct shl_job_run *r)
{
    const struct shl_lsm_settings *s = r->env.settings;
    if (s->worker_has_codec)
        return s->worker_compression;
    return s->worker_keeps_codec && !s->sst_block_alignment ? codec_of_inputs(r->tree, &r->job)
                                                            : s->compression;
}

static shale_code open_output(struct worker *w, shale_error *err)
{
    const struct shl_run_env *e = &w->run->env;
    const struct shl_lsm_settings *s = e->settings;
    bool small = (e->store->caps & SHL_STORE_PARTS_STAY) != 0;
    size_t part_bytes = small ? SMALL_PART_BYTES : PART_BYTES;
    struct shl_sst_write_options o = {.block_bytes = s->sst_block_size_bytes,
                                      .aligned = s->sst_block_alignment,
                                      .compression = w->run->codec,
                                      .transformer = e->transformer,
                                      .policies = &s->filter,
                                      .policy_count = 1,
                                      .user_filters = e->context->user_filters,
                                      .min_filter_keys = s->worker_has_min_filter_keys
                                                             ? s->worker_min_filter_keys
                                                             : s->min_filter_keys,
                                      .type = SHL_SST_COMPACTED,
                                      .pool = e->pieces,
                                      .part_bytes = part_bytes};
    w->output_id = e->next_ulid(e->ctx, w->run->job.id);
    char *key = shl_name_sst(e->paths, w->output_id);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc = shl_sst_writer_new(&o, e->store, key, &w->writer, err);
    env_free(key);
    return rc;
}

static shale_code close_output(struct worker *w, shale_error *err)
{
    struct shl_sst_info info;
    struct shl_sst_desc *desc = NULL;
    uint64_t bytes;
    bool added;
    shale_code rc;
    if (w->writer == NULL)
        return SHALE_OK;
    if (shl_sst_writer_rows(w->writer) == 0) { /* opened for a block that was not copied */
        shl_sst_writer_free(w->writer);
        w->writer = NULL;
        return SHALE_OK;
    }
    SHL_TRY(shl_sst_writer_finish(w->writer, &info, &bytes, err));
    SHL_TRY(shl_sst_desc_new(w->output_id, 2, true, &info, &desc, err));
    env_mutex_lock(&w->run->mu);
    added = shl_array_push(&w->part->outputs, desc);
    env_mutex_unlock(&w->run->mu);
    if (added) {
        (void)env_fetch_add(&w->run->env.counts->ssts, 1);
        (void)env_fetch_add(&w->run->env.counts->bytes, info.filter_offset);
    } else {
        shl_sst_desc_unref(desc);
        rc = shl_nomem(err);
    }
out:
    shl_sst_writer_free(w->writer);
    w->writer = NULL;
    ENV_POINT("compaction output");
    return rc;
}

static shale_code close_if_full(struct worker *w, shale_error *err)
{
    if (shl_sst_writer_block_bytes(w->writer) <= w->run->env.settings->max_sst_size_bytes)
        return SHALE_OK;
    return close_output(w, err);
}

static shale_code begin_filter(struct worker *w, shale_error *err)
{
    const struct shl_job_run *r = w->run;
    const struct shl_compaction_filter *f = r->env.filter;
    const struct shl_filter_job job = {.segment = shl_buf_view(&r->job.segment),
                                       .destination = r->job.destination,
                                       .is_last_run = r->rules.drop_tombstones,
                                       .clock_tick = r->rules.now_tick,
                                       .retention_min_seq = r->rules.min_seq};
    if (f == NULL)
        return SHALE_OK;
    shale_code rc = f->begin(f->ctx, &job, &w->filter, err);
    w->filtering = rc == SHALE_OK;
    return rc;
}

static shale_code end_filter(struct worker *w, bool complete, shale_error *err)
{
    const struct shl_compaction_filter *f = w->run->env.filter;
    if (!w->filtering)
        return SHALE_OK;
    w->filtering = false;
    return f->end(f->ctx, w->filter, complete, err);
}

/* What retention and the filter keep. They ran from the beginning of the key at which an earlier worker ended; rows that are written already are passed
 * over. */
static shale_code keep_row(void *ctx, const struct shl_row *retained, shale_error *err)
{
    struct worker *w = ctx;
    struct shl_row row = *retained;
    const struct shl_compaction_filter *f = w->run->env.filter;
    bool keep = true;
    shale_code rc = f != NULL ? f->row(f->ctx, w->filter, &row, &keep, err) : SHALE_OK;
    if (rc != SHALE_OK || !keep)
        return rc;
    if (w->resumes && row.seq >= w->resume_seq &&
        shl_slice_eq(row.key, shl_buf_view(&w->resume_key)))
        return SHALE_OK;
    if (w->writer == NULL) {
        rc = open_output(w, err);
        if (rc != SHALE_OK)
            return rc;
    }
    rc = shl_sst_writer_add(w->writer, &row, err);
    return rc == SHALE_OK ? close_if_full(w, err) : rc;
}

/* ---------------------------------------------------------------- blocks that stay as they are */

static bool is_past(const struct shl_bound *end, struct shl_slice key)
{
    if (end->type == SHL_BOUND_UNBOUNDED)
        return false;
    int d = shl_slice_cmp(key, shl_buf_view(&end->key));
    return d > 0 || (d == 0 && end->type == SHL_BOUND_EXCLUDED);
}

static bool is_before(const struct shl_bound *start, struct shl_slice key)
{
    if (start->type == SHL_BOUND_UNBOUNDED)
        return false;
    int d = shl_slice_cmp(key, shl_buf_view(&start->key));
    return d < 0 || (d == 0 && start->type == SHL_BOUND_EXCLUDED);
}

/* Whether retention leaves a row alone that is the only version of its key. */
static bool stays_as_it_is(void *ctx, const struct shl_row *row)
{
    const struct shl_retain_rules *rules = ctx;
    if ((row->flags & SHL_ROW_MERGE) != 0)
        return false;
    if ((row->flags & SHL_ROW_TOMBSTONE) != 0)
        return !rules->drop_tombstones;
    return (row->flags & SHL_ROW_HAS_EXPIRE) == 0 || row->expire_ts > rules->now_tick;
}

/* Whether the part may take all of the block in its turn. */
static bool may_copy(const struct worker *w, const struct shl_retain *retain,
                     struct shl_slice first, const struct shl_stored_block *block)
{
    if (is_before(&w->part->range.start, first) || is_past(&w->part->range.end, block->upto))
        return false;
    if (retain->in_key && shl_slice_eq(first, shl_buf_view(&retain->key)))
        return false;
    return !w->resumes || !shl_slice_eq(first, shl_buf_view(&w->resume_key));
}

/* The block that begins with the current row goes into the output as it is stored, if nothing is to be merged with it or done to its rows. */
static shale_code copy_block(struct worker *w, struct shl_source *in, struct shl_retain *retain,
                             bool *copied, shale_error *err)
{
    struct shl_stored_block block;
    struct shl_sst_copied sums = {0};
    shale_code rc = SHALE_OK;
    *copied = false;
    if (w->run->env.filter != NULL || !shl_source_block(in, &block) ||
        !may_copy(w, retain, in->row.key, &block))
        return SHALE_OK;
    SHL_TRY(shl_retain_finish(retain, err));
    if (w->writer == NULL)
        SHL_TRY(open_output(w, err));
    SHL_TRY(shl_sst_writer_copy(w->writer, &block, &in->row, stays_as_it_is, &w->run->rules, &sums,
                                err));
    *copied = sums.rows > 0;
    if (!*copied)
        goto out;
    w->rows += sums.rows;
    w->bytes += sums.key_bytes + sums.value_bytes;
    w->copied++;
    SHL_TRY(close_if_full(w, err));
    SHL_TRY(shl_source_pass_block(in, err));
out:
    return rc;
}

/* ---------------------------------------------------------------- input */

static shale_code gone(shale_error *err)
{
    return shl_fail(err, SHALE_CONFLICT, "the sources of the compaction are gone");
}

/* A source over all of the job's inputs, newest first. */
static shale_code open_inputs(struct worker *w, const struct shl_slice *lower,
                              const struct shl_slice *upper, struct shl_source **out,
                              shale_error *err)
{
    struct shl_job_run *r = w->run;
    const struct shl_lsm_settings *s = r->env.settings;
    size_t window = (size_t)shl_min_u64(s->worker_bytes_to_fetch, (uint64_t)64 << 20);
    if (r->env.fanout == NULL) /* near: a request costs less than fresh memory */
        window = shl_min_size(window, NEAR_WINDOW_BYTES);
    struct shl_read_plan plan = {.passes_by = true,
                                 .window_first_bytes = shl_min_size(WINDOW_FIRST_BYTES, window),
                                 .window_max_bytes = window,
                                 .lower = lower,
                                 .upper = upper,
                                 .fanout = r->env.fanout,
                                 .budget = &w->budget};
    size_t n = 0;
    shale_code rc = SHALE_OK;
    struct shl_source **list =
        env_calloc(r->job.l0_view_ids.count + r->job.runs.count, sizeof(struct shl_source *));
    if (list == NULL)
        return shl_nomem(err);
    for (size_t i = 0; rc == SHALE_OK && i < r->job.l0_view_ids.count; i++) {
        size_t at = shl_tree_find_view(r->tree, r->job.l0_view_ids.items[i]);
        rc = at == SIZE_MAX
                 ? gone(err)
                 : shl_level_sst_source_new(&r->levels->ssts[r->level_tree->l0_first + at], &plan,
                                            &list[n], err);
        n += rc == SHALE_OK;
    }
    for (size_t i = 0; rc == SHALE_OK && i < r->job.runs.count; i++) {
        size_t at = shl_tree_find_run(r->tree, r->job.runs.items[i]);
        rc = at == SIZE_MAX
                 ? gone(err)
                 : shl_run_source_new(r->levels, &r->levels->runs[r->level_tree->run_first + at],
                                      &plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc == SHALE_OK)
        rc = shl_merge_source_new(list, n, false, r->env.fanout, out, err);
    else
        for (size_t i = 0; i < n; i++)
            shl_source_close(list[i]);
    env_free(list);
    return rc;
}

/* The last row of what an earlier worker wrote of this part. */
static shale_code find_resume(struct worker *w, shale_error *err)
{
    const struct shl_run_env *e = &w->run->env;
    struct shl_sst_desc *last = w->part->outputs.items[w->part->outputs.count - 1];
    struct shl_sst_view view = {.id = last->id, .sst = last};
    struct shl_sst_scan how = {.reverse = true, .window_first_bytes = 1, .window_max_bytes = 1};
    struct shl_sst *sst = NULL;
    struct shl_source *rows = NULL;
    shale_code rc;
    char *key = shl_name_sst(e->paths, last->id);
    if (key == NULL)
        return shl_nomem(err);
    shl_sst_view_range(&view, &how.range);
    SHL_TRY(shl_sst_open(e->context, e->store, key, last, &sst, err));
    SHL_TRY(shl_sst_source_new(sst, &how, &rows, err));
    SHL_TRY(shl_source_seek(rows, NULL, err));
    if (!rows->valid) {
        rc = shl_fail(err, SHALE_CORRUPTION, "%s: an output of a compaction has no rows", key);
        goto out;
    }
    SHL_TRY(shl_buf_set(&w->resume_key, rows->row.key, err));
    w->resume_seq = rows->row.seq;
    w->resumes = true;
out:
    shl_source_close(rows);
    shl_sst_unref(sst);
    env_free(key);
    return rc;
}

/* ---------------------------------------------------------------- one part */

static void note_rows(struct worker *w)
{
    (void)env_fetch_add(&w->run->rows, w->rows);
    (void)env_fetch_add(&w->run->bytes, w->bytes);
    w->rows = w->bytes = 0;
}

static shale_code merge_rows(struct worker *w, struct shl_source *in, struct shl_retain *retain,
                             shale_error *err)
{
    while (in->valid && !is_past(&w->part->range.end, in->row.key)) {
        bool copied;
        if (w->rows >= STOP_CHECK_ROWS) {
            note_rows(w);
            if (must_stop(w->run))
                return shl_fail(err, SHALE_CLOSED, "the compaction was stopped");
        }
        shale_code rc = copy_block(w, in, retain, &copied, err);
        if (rc != SHALE_OK)
            return rc;
        if (copied)
            continue;
        w->rows++;
        w->bytes += in->row.key.len + in->row.value.len;
        if (!is_before(&w->part->range.start, in->row.key))
            rc = shl_retain_push(retain, &in->row, err);
        if (rc == SHALE_OK)
            rc = shl_source_next(in, err);
        if (rc != SHALE_OK)
            return rc;
    }
    note_rows(w);
    return SHALE_OK;
}

static void note_retained(struct worker *w, const struct shl_retain *retain)
{
    struct shl_run_counts *n = w->run->env.counts;
    (void)env_fetch_add(&n->purged_values, retain->purged_values);
    (void)env_fetch_add(&n->purged_operands, retain->purged_operands);
    (void)env_fetch_add(&n->operands, retain->operands);
    (void)env_fetch_add(&n->copied_blocks, w->copied);
}

static shale_code run_part(struct worker *w, shale_error *err)
{
    struct shl_job_run *r = w->run;
    const struct shl_bytes_range *range = &w->part->range;
    struct shl_source *in = NULL;
    struct shl_retain retain;
    struct shl_slice lower = shl_buf_view(&range->start.key);
    struct shl_slice upper = shl_buf_view(&range->end.key);
    bool has_lower = range->start.type != SHL_BOUND_UNBOUNDED;
    shale_code rc;
    shale_error ignored;
    shl_retain_init(&retain, &r->rules, keep_row, w);
    if (w->part->outputs.count > 0) {
        SHL_TRY(find_resume(w, err));
        lower = shl_buf_view(&w->resume_key);
        has_lower = true;
    }
    SHL_TRY(open_inputs(w, has_lower ? &lower : NULL,
                        range->end.type != SHL_BOUND_UNBOUNDED ? &upper : NULL, &in, err));
    SHL_TRY(shl_source_seek(in, has_lower ? &lower : NULL, err));
    SHL_TRY(begin_filter(w, err));
    SHL_TRY(merge_rows(w, in, &retain, err));
    SHL_TRY(shl_retain_finish(&retain, err));
    SHL_TRY(end_filter(w, true, err));
    SHL_TRY(close_output(w, err));
    env_mutex_lock(&r->mu);
    w->part->completed = true;
    env_mutex_unlock(&r->mu);
out:
    (void)end_filter(w, false, &ignored);
    shl_source_close(in);
    note_retained(w, &retain);
    shl_retain_deinit(&retain);
    shl_sst_writer_free(w->writer);
    shl_buf_free(&w->resume_key);
    return rc;
}

static struct part *take_part(struct shl_job_run *r)
{
    struct part *p = NULL;
    env_mutex_lock(&r->mu);
    while (p == NULL && r->next_part < r->parts.count) {
        p = &r->parts.items[r->next_part++];
        if (p->completed)
            p = NULL;
    }
    env_mutex_unlock(&r->mu);
    return p;
}

/* False: there was none, or the run is to stop. */
static bool run_next_part(struct shl_job_run *r)
{
    const struct shl_lsm_settings *s = r->env.settings;
    shale_error err = {0};
    struct worker w = {
        .run = r, .budget = {.max_bytes = s->worker_bytes_to_fetch * s->worker_max_fetch_tasks}};
    w.part = must_stop(r) ? NULL : take_part(r);
    if (w.part == NULL)
        return false;
    shale_code rc = run_part(&w, &err);
    if (rc != SHALE_OK)
        note_failure(r, rc, &err);
    return true;
}

/* ---------------------------------------------------------------- planning */

static shale_code anchors_of_index(const struct shl_level_sst *sst, struct shl_anchors *a,
                                   shale_error *err)
{
    struct shl_sst_meta *m = NULL;
    struct shl_buf key = {0};
    const struct shl_sst_info *info = &shl_sst_describe(sst->sst)->info;
    uint64_t bytes = 0;
    size_t step;
    shale_code rc;
    SHL_TRY(shl_sst_hold_index_once(sst->sst, &m, err));
    step = (m->block_count + ANCHORS_PER_SST - 1) / ANCHORS_PER_SST;
    for (size_t i = 0; i < m->block_count; i += step) {
        uint64_t weight = 0;
        for (size_t k = i; k < i + step && k < m->block_count; k++)
            weight += m->lens[k];
        if (i == 0) {
            SHL_TRY(shl_buf_set(&key, info->first_entry, err));
        } else {
            SHL_TRY(shl_sst_meta_separator(m, i, &key, err));
        }
        if (!shl_key_range_contains(&sst->range, shl_buf_view(&key)) && i != 0)
            continue;
        bytes += weight;
        SHL_TRY(shl_anchors_add(a, i == 0 ? sst->range.start : shl_buf_view(&key), weight, err));
    }
    a->largest_bytes = shl_max_u64(a->largest_bytes, bytes);
out:
    shl_buf_free(&key);
    shl_sst_pass_index(sst->sst, m);
    return rc;
}

static shale_code anchors_of_sst(const struct shl_level_sst *sst, bool indexed,
                                 struct shl_anchors *a, shale_error *err)
{
    const struct shl_sst_info *info = &shl_sst_describe(sst->sst)->info;
    if (indexed)
        return anchors_of_index(sst, a, err);
    a->largest_bytes = shl_max_u64(a->largest_bytes, info->index_offset);
    return shl_anchors_add(a, sst->range.start, info->index_offset, err);
}

/* Index i of the job's input SSTs in the levels; false behind the last. */
static bool input_at(const struct shl_job_run *r, size_t i, const struct shl_level_sst **out)
{
    for (size_t k = 0; k < r->job.l0_view_ids.count; k++) {
        size_t at = shl_tree_find_view(r->tree, r->job.l0_view_ids.items[k]);
        if (at != SIZE_MAX && i-- == 0) {
            *out = &r->levels->ssts[r->level_tree->l0_first + at];
            return true;
        }
    }
    for (size_t k = 0; k < r->job.runs.count; k++) {
        size_t at = shl_tree_find_run(r->tree, r->job.runs.items[k]);
        if (at == SIZE_MAX)
            continue;
        const struct shl_level_run *run = &r->levels->runs[r->level_tree->run_first + at];
        if (i < run->count) {
            *out = &r->levels->ssts[run->first + i];
            return true;
        }
        i -= run->count;
    }
    return false;
}

static uint64_t input_bytes(const struct shl_job_run *r, size_t *count)
{
    uint64_t sum = 0;
    const struct shl_level_sst *sst;
    for (*count = 0; input_at(r, *count, &sst); ++*count)
        sum += shl_sst_describe(sst->sst)->info.index_offset;
    return sum;
}

static shale_code find_cuts(struct shl_job_run *r, struct shl_anchors *a, shl_cuts *cuts,
                            shale_error *err)
{
    const struct shl_lsm_settings *s = r->env.settings;
    size_t count;
    const struct shl_level_sst *sst;
    uint64_t bytes = input_bytes(r, &count);
    if (s->worker_max_subcompactions <= 1 || bytes < 2 * s->subcompaction_min_bytes)
        return SHALE_OK;
    for (size_t i = 0; input_at(r, i, &sst); i++) {
        shale_code rc = must_stop(r) ? shl_fail(err, SHALE_CLOSED, "the compaction was stopped")
                                     : anchors_of_sst(sst, count <= INDEXED_SSTS_MAX, a, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return shl_split(a, s->worker_max_subcompactions, s->subcompaction_min_bytes, cuts, err);
}

static shale_code set_bound(struct shl_bound *b, enum shl_bound_type type, struct shl_slice key,
                            shale_error *err)
{
    b->type = type;
    return type == SHL_BOUND_UNBOUNDED ? SHALE_OK : shl_buf_set(&b->key, key, err);
}

/* (-inf, c1) [c1, c2) .. [cn, inf). */
static shale_code plan_parts(struct shl_job_run *r, shale_error *err)
{
    struct shl_anchors anchors = {.total_bytes = 0};
    shl_cuts cuts = {0};
    struct shl_slice none = {0};
    shale_code rc;
    SHL_TRY(find_cuts(r, &anchors, &cuts, err));
    if (!shl_array_reserve(&r->parts, cuts.count + 1)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i <= cuts.count; i++) {
        shl_array_add(&r->parts, ((struct part){.completed = false}));
        struct shl_bytes_range *range = &r->parts.items[i].range;
        SHL_TRY(set_bound(&range->start, i == 0 ? SHL_BOUND_UNBOUNDED : SHL_BOUND_INCLUDED,
                          i == 0 ? none : cuts.items[i - 1], err));
        SHL_TRY(set_bound(&range->end, i == cuts.count ? SHL_BOUND_UNBOUNDED : SHL_BOUND_EXCLUDED,
                          i == cuts.count ? none : cuts.items[i], err));
    }
out:
    shl_array_free(&cuts);
    shl_anchors_free(&anchors);
    return rc;
}

static shale_code take_context(struct shl_job_run *r, shale_error *err)
{
    size_t n = r->job.subcompactions.count;
    if (!shl_array_reserve(&r->parts, n))
        return shl_nomem(err);
    for (size_t i = 0; i < n; i++) {
        const struct shl_subcompaction *s = &r->job.subcompactions.items[i];
        shl_array_add(&r->parts, ((struct part){.completed = s->completed}));
        struct part *p = &r->parts.items[i];
        shale_code rc = shl_bytes_range_copy(&s->range, &p->range, err);
        if (rc != SHALE_OK)
            return rc;
        if (!shl_array_reserve(&p->outputs, s->outputs.count + 1))
            return shl_nomem(err);
        for (size_t k = 0; k < s->outputs.count; k++)
            shl_array_add(&p->outputs, shl_sst_desc_ref(s->outputs.items[k]));
    }
    return SHALE_OK;
}

/* ---------------------------------------------------------------- the run */

static bool take_slot(struct shl_merge_slots *s)
{
    if (env_fetch_add(&s->taken, 1) < s->limit)
        return true;
    (void)env_fetch_sub_acq_rel(&s->taken, 1);
    return false;
}

static void give_slot(struct shl_merge_slots *s)
{
    (void)env_fetch_sub_acq_rel(&s->taken, 1);
}

static void helper_task(void *arg)
{
    struct shl_job_run *r = arg;
    while (run_next_part(r))
        ;
    give_slot(r->env.slots);
}

/* Parts that nobody has taken yet. */
static size_t parts_left(struct shl_job_run *r)
{
    size_t left = 0;
    env_mutex_lock(&r->mu);
    for (size_t i = r->next_part; i < r->parts.count; i++)
        left += !r->parts.items[i].completed;
    env_mutex_unlock(&r->mu);
    return left;
}

/* Tasks for all of them but one, which is the caller's. */
static void call_helpers(struct shl_job_run *r)
{
    size_t wanted = shl_min_size(r->parts.count, r->env.settings->worker_max_subcompactions);
    wanted = shl_min_size(wanted, 1 + SHL_COUNT_OF(r->helpers));
    if (must_stop(r))
        return;
    for (size_t left = parts_left(r);
         left > 1 && 1 + r->helper_count < wanted && take_slot(r->env.slots); left--) {
        struct env_task **helper = &r->helpers[r->helper_count];
        if (env_task_spawn(helper, "shale-merge", helper_task, r) != SHALE_OK) {
            /* A system without threads to spare: the others do its parts. */
            give_slot(r->env.slots);
            return;
        }
        r->helper_count++;
    }
}

static void run_parts(struct shl_job_run *r)
{
    (void)env_fetch_add(&r->env.slots->taken, 1);
    do
        call_helpers(r); /* again after each part: other jobs may have ended */
    while (run_next_part(r));
    give_slot(r->env.slots);
    for (size_t i = 0; i < r->helper_count; i++)
        env_task_join(r->helpers[i]);
}

static void job_task(void *arg)
{
    struct shl_job_run *r = arg;
    shale_error err = {0};
    bool fresh = !r->job.has_context || r->job.subcompactions.count == 0;
    shale_code rc = fresh ? plan_parts(r, &err) : take_context(r, &err);
    if (rc != SHALE_OK) {
        note_failure(r, rc, &err);
    } else {
        env_mutex_lock(&r->mu);
        r->planned = true;
        env_mutex_unlock(&r->mu);
        run_parts(r);
    }
    env_mutex_lock(&r->mu);
    for (size_t i = 0; r->rc == SHALE_OK && i < r->parts.count; i++)
        if (!r->parts.items[i].completed) /* stopped between parts */
            r->rc = shl_fail(&r->err, SHALE_CLOSED, "the compaction was stopped");
    r->ended = true;
    env_mutex_unlock(&r->mu);
    r->env.ended(r->env.ctx);
}

static const struct shl_level_tree *find_level_tree(const struct shl_levels *l,
                                                    struct shl_slice segment)
{
    for (size_t i = 0; i < l->tree_count; i++)
        if (segment.len == 0 ? i == 0 : i > 0 && shl_slice_eq(l->trees[i].prefix, segment))
            return &l->trees[i];
    return NULL;
}

shale_code shl_job_run_start(const struct shl_run_env *env, const struct shl_compaction *job,
                             struct shl_levels *levels, struct shl_job_run **out, shale_error *err)
{
    shale_code rc;
    const struct shl_manifest *m = levels->manifest;
    struct shl_job_run *r = env_calloc(1, sizeof *r);
    if (r == NULL)
        return shl_nomem(err);
    env_mutex_init(&r->mu);
    r->env = *env;
    r->levels = shl_levels_ref(levels);
    r->tree = shl_job_tree(m, job);
    r->level_tree = find_level_tree(levels, shl_buf_view(&job->segment));
    SHL_TRY(shl_compaction_copy(job, &r->job, err));
    if (r->tree == NULL || r->level_tree == NULL) {
        rc = gone(err);
        goto out;
    }
    r->rules = (struct shl_retain_rules){.min_seq = job->has_context ? job->retention_min_seq
                                                                     : m->recent_snapshot_min_seq,
                                         .now_tick = m->last_l0_clock_tick,
                                         .drop_tombstones = shl_job_reaches_bottom(r->tree, job),
                                         .merge = env->merge};
    r->codec = codec_of_outputs(r);
    rc = env_task_spawn(&r->task, "shale-compact-job", job_task, r);
    if (rc != SHALE_OK) {
        r->task = NULL;
        rc = rc == SHALE_NOMEM ? shl_nomem(err)
                               : shl_fail(err, rc, "cannot start a thread for a compaction");
    }
out:
    if (rc != SHALE_OK)
        shl_job_run_free(r);
    else
        *out = r;
    return rc;
}

void shl_job_run_stop(struct shl_job_run *r)
{
    env_store_relaxed(&r->stop, true);
}

bool shl_job_run_has_ended(struct shl_job_run *r)
{
    env_mutex_lock(&r->mu);
    bool ended = r->ended;
    env_mutex_unlock(&r->mu);
    return ended;
}

void shl_job_run_wait(struct shl_job_run *r)
{
    if (r->task != NULL)
        env_task_join(r->task);
    r->task = NULL;
}

void shl_job_run_free(struct shl_job_run *r)
{
    if (r == NULL)
        return;
    shl_job_run_wait(r);
    for (size_t i = 0; i < r->parts.count; i++) {
        struct part *p = &r->parts.items[i];
        for (size_t k = 0; k < p->outputs.count; k++)
            shl_sst_desc_unref(p->outputs.items[k]);
        shl_array_free(&p->outputs);
        shl_bytes_range_deinit(&p->range);
    }
    shl_array_free(&r->parts);
    shl_levels_unref(r->levels);
    shl_compaction_deinit(&r->job);
    env_mutex_deinit(&r->mu);
    env_free(r);
}

/* [mu] */
static shale_code copy_parts(const struct shl_job_run *r, struct shl_compaction *job,
                             bool *has_outputs, shale_error *err)
{
    if (!shl_array_reserve(&job->subcompactions, r->parts.count))
        return shl_nomem(err);
    for (size_t i = 0; i < r->parts.count; i++) {
        const struct part *p = &r->parts.items[i];
        struct shl_subcompaction s = {.completed = p->completed, .has_outputs = true};
        shale_code rc = shl_bytes_range_copy(&p->range, &s.range, err);
        if (rc == SHALE_OK && !shl_array_reserve(&s.outputs, p->outputs.count))
            rc = shl_nomem(err);
        for (size_t k = 0; rc == SHALE_OK && k < p->outputs.count; k++)
            shl_array_add(&s.outputs, shl_sst_desc_ref(p->outputs.items[k]));
        if (rc != SHALE_OK) {
            shl_subcompaction_deinit(&s);
            return rc;
        }
        *has_outputs = *has_outputs || s.outputs.count > 0 || s.completed;
        shl_array_add(&job->subcompactions, s);
    }
    return SHALE_OK;
}

shale_code shl_job_run_context(struct shl_job_run *r, struct shl_compaction *job, bool *has_outputs,
                               shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_compaction copy = {
        .has_context = true, .has_subcompactions = true, .retention_min_seq = r->rules.min_seq};
    *has_outputs = false;
    env_mutex_lock(&r->mu);
    bool planned = r->planned;
    if (planned)
        rc = copy_parts(r, &copy, has_outputs, err);
    env_mutex_unlock(&r->mu);
    if (rc == SHALE_OK && planned)
        rc = shl_job_copy_context(&copy, job, err);
    shl_job_drop_context(&copy);
    return rc;
}

shale_code shl_job_run_result(struct shl_job_run *r, shl_sst_descs *out, shale_error *err)
{
    if (r->rc != SHALE_OK) {
        *err = r->err;
        return r->rc;
    }
    for (size_t i = 0; i < r->parts.count; i++) {
        const struct part *p = &r->parts.items[i];
        if (!shl_array_reserve(out, p->outputs.count + 1))
            return shl_nomem(err);
        for (size_t k = 0; k < p->outputs.count; k++)
            shl_array_add(out, shl_sst_desc_ref(p->outputs.items[k]));
    }
    return SHALE_OK;
}

void shl_job_run_progress(struct shl_job_run *r, struct shl_run_progress *out)
{
    size_t count;
    *out = (struct shl_run_progress){.input_bytes = input_bytes(r, &count),
                                     .rows = env_load_relaxed(&r->rows),
                                     .bytes = env_load_relaxed(&r->bytes)};
}
