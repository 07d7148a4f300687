/* The compactor in the writer's process: one job at a time, recorded in .compactions like SlateDB's, so that other coordinators, workers
 * and collectors see it. Order of writes: manifest before .compactions. slatedb-behaviour 13. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/compact_plan.h"
#include "lsm/format/compactions.h"
#include "lsm/retain.h"
#include "lsm/source_chain.h"
#include "lsm/sst_write.h"
#include <inttypes.h>

#define PART_BYTES         (8 * 1024 * 1024)
#define WINDOW_FIRST_BYTES (256 * 1024)
#define WINDOW_MAX_BYTES   (1024 * 1024)
#define AHEAD_BYTES_MAX    ((uint64_t)16 << 20)
#define STOP_CHECK_ROWS    1024

struct job {
    struct shl_lsm *db;
    struct shl_ulid id;
    struct shl_buf segment;              /* owned; empty: root tree */
    SHL_ARRAY(struct shl_ulid) l0_views; /* newest first */
    SHL_ARRAY(uint32_t) runs;            /* descending */
    uint32_t destination;
    bool drop_tombstones;
    uint64_t min_seq;
    int64_t now_tick;
    struct shl_sst_writer *writer; /* the open output */
    struct shl_ulid output_id;
    SHL_ARRAY(struct shl_sst_desc *) outputs; /* counted */
    uint64_t rows;
    struct shl_read_budget budget;
};

static void job_deinit(struct job *j)
{
    shl_sst_writer_free(j->writer);
    for (size_t i = 0; i < j->outputs.count; i++)
        shl_sst_desc_unref(j->outputs.items[i]);
    shl_array_free(&j->outputs);
    shl_array_free(&j->l0_views);
    shl_array_free(&j->runs);
    shl_buf_free(&j->segment);
}

/* ---------------------------------------------------------------- the .compactions file */

typedef shale_code (*compactions_edit)(struct job *j, struct shl_compactions *c, shale_error *err);

static shale_code load_compactions(struct shl_lsm *db, struct shl_compactions **out,
                                   shale_error *err)
{
    bool changed;
    shale_code rc = SHALE_OK;
    if (db->compactions_body.len ==
        0) { /* else it is our own last version: if others wrote since, our put fails */
        db->compactions_file.id = 0;
        rc = shl_sequenced_load(&db->compactions_file, &db->compactions_body, &changed, err);
    }
    if (rc == SHALE_NOT_FOUND) {
        rc = shl_compactions_new(out, err);
    } else if (rc == SHALE_OK) {
        rc = shl_compactions_decode(shl_buf_view(&db->compactions_body), out, err);
        if (rc != SHALE_OK)
            shl_err_prefix(err, "%s/compactions/%020" PRIu64 ".compactions", db->paths.r1,
                           db->compactions_file.id);
    }
    db->compactions_body.len = 0; /* until what comes of it is written */
    return rc;
}

static bool is_finished(const struct shl_compaction *c)
{
    return c->status == SHL_COMPACTION_COMPLETED || c->status == SHL_COMPACTION_FAILED;
}

static void remove_job(struct shl_compactions *c, size_t i)
{
    shl_compaction_deinit(&c->jobs.items[i]);
    memmove(&c->jobs.items[i], &c->jobs.items[i + 1],
            (c->jobs.count - i - 1) * sizeof c->jobs.items[0]);
    c->jobs.count--;
}

/* Finished jobs go, but for the newest one, which the collector needs. */
static void trim(struct shl_compactions *c)
{
    bool newest_seen = false;
    for (size_t i = c->jobs.count; i-- > 0;) {
        if (!is_finished(&c->jobs.items[i]))
            continue;
        if (newest_seen)
            remove_job(c, i);
        newest_seen = true;
    }
}

static shale_code update_compactions(struct job *j, compactions_edit edit, shale_error *err)
{
    struct shl_lsm *db = j->db;
    for (;;) {
        struct shl_compactions *c = NULL;
        struct shl_buf body = {0};
        shale_code rc = load_compactions(db, &c, err);
        if (rc == SHALE_OK && c->compactor_epoch > db->compactor_epoch)
            rc = shl_fail(err, SHALE_CONFLICT,
                          "another compactor took over (epoch %" PRIu64 ", ours is %" PRIu64 ")",
                          c->compactor_epoch, db->compactor_epoch);
        if (rc == SHALE_OK) {
            c->compactor_epoch = db->compactor_epoch;
            rc = edit(j, c, err);
        }
        if (rc == SHALE_OK) {
            trim(c);
            rc = shl_compactions_encode(c, &body, err);
        }
        if (rc == SHALE_OK)
            rc = shl_sequenced_write(&db->compactions_file, shl_buf_view(&body), err);
        shl_compactions_free(c);
        if (rc == SHALE_OK) {
            shl_buf_free(&db->compactions_body);
            db->compactions_body = body;
            return rc;
        }
        shl_buf_free(&body);
        if (rc != SHALE_PRECONDITION)
            return rc;
    }
}

/* Taking over: jobs that an earlier coordinator left half done are given up; a worker that still runs one sees it. */
static shale_code edit_claim(struct job *j, struct shl_compactions *c, shale_error *err)
{
    (void)j;
    (void)err;
    for (size_t i = 0; i < c->jobs.count; i++)
        if (!is_finished(&c->jobs.items[i]) && c->jobs.items[i].status != SHL_COMPACTION_SUBMITTED)
            c->jobs.items[i].status = SHL_COMPACTION_FAILED;
    return SHALE_OK;
}

static struct shl_compaction *find_job(struct shl_compactions *c, struct shl_ulid id)
{
    for (size_t i = 0; i < c->jobs.count; i++)
        if (shl_ulid_eq(c->jobs.items[i].id, id))
            return &c->jobs.items[i];
    return NULL;
}

/* Job ids do not run behind those in the file, nor outputs behind their job: another machine's clock may have been ahead. */
static void renew_id(struct job *j, const struct shl_compactions *c)
{
    struct shl_ulid newest;
    if (c->jobs.count == 0)
        return;
    newest = c->jobs.items[c->jobs.count - 1].id;
    env_mutex_lock(&j->db->mu);
    if (shl_ulid_time_ms(newest) > shl_ulid_time_ms(j->db->last_ulid))
        j->db->last_ulid = newest;
    if (shl_ulid_time_ms(newest) > shl_ulid_time_ms(j->id))
        j->id = shl_lsm_next_ulid_locked(j->db);
    env_mutex_unlock(&j->db->mu);
}

static void insert_job(struct shl_compactions *c, const struct shl_compaction *job)
{
    size_t at = c->jobs.count;
    while (at > 0 && shl_ulid_cmp(c->jobs.items[at - 1].id, job->id) > 0)
        at--;
    memmove(&c->jobs.items[at + 1], &c->jobs.items[at],
            (c->jobs.count - at) * sizeof c->jobs.items[0]);
    c->jobs.items[at] = *job;
    c->jobs.count++;
}

/* Jobs of ours whose last record was not written: one runs at a time, so they are over. What they committed is in the manifest. */
static void give_up_own(struct shl_compactions *c)
{
    for (size_t i = 0; i < c->jobs.count; i++) {
        struct shl_compaction *job = &c->jobs.items[i];
        char own[SHL_ULID_TEXT];
        shl_ulid_format(job->id, own); /* our worker's name: see edit_start */
        if (!is_finished(job) && job->worker_id != NULL && strcmp(job->worker_id, own) == 0)
            job->status = SHL_COMPACTION_FAILED;
    }
}

static shale_code edit_start(struct job *j, struct shl_compactions *c, shale_error *err)
{
    char worker[SHL_ULID_TEXT];
    renew_id(j, c);
    struct shl_compaction n = {.id = j->id,
                               .kind = SHL_COMPACTION_TIERED,
                               .destination = j->destination,
                               .status = SHL_COMPACTION_RUNNING,
                               .has_l0_view_ids = j->l0_views.count > 0,
                               .has_runs = j->runs.count > 0,
                               .worker_heartbeat_ms = (uint64_t)env_now_wall_ms()};
    shale_code rc;
    if (find_job(c, j->id) != NULL)
        return SHALE_OK;
    give_up_own(c);
    SHL_TRY(shl_buf_set(&n.segment, shl_buf_view(&j->segment), err));
    shl_ulid_format(j->id, worker);
    n.worker_id = env_strdup(worker);
    if (n.worker_id == NULL || !shl_array_reserve(&n.l0_view_ids, j->l0_views.count) ||
        !shl_array_reserve(&n.runs, j->runs.count) || !shl_array_reserve(&c->jobs, 1)) {
        rc = shl_nomem(err);
        goto out;
    }
    for (size_t i = 0; i < j->l0_views.count; i++)
        shl_array_add(&n.l0_view_ids, j->l0_views.items[i]);
    for (size_t i = 0; i < j->runs.count; i++)
        shl_array_add(&n.runs, j->runs.items[i]);
    insert_job(c, &n);
    rc = SHALE_OK;
out:
    if (rc != SHALE_OK)
        shl_compaction_deinit(&n);
    return rc;
}

/* Before the manifest names the outputs: a coordinator that finds this record after a crash commits the job, or finds its sources gone
 * and gives it up. A job still recorded as running would be handed to a worker again and again (slatedb-behaviour 13.2). */
static shale_code edit_compacted(struct job *j, struct shl_compactions *c, shale_error *err)
{
    struct shl_compaction *job = find_job(c, j->id);
    if (job == NULL || job->status == SHL_COMPACTION_COMPACTED)
        return SHALE_OK;
    if (!shl_array_reserve(&job->outputs, j->outputs.count))
        return shl_nomem(err);
    for (size_t i = 0; i < j->outputs.count; i++)
        shl_array_add(&job->outputs, shl_sst_desc_ref(j->outputs.items[i]));
    job->status = SHL_COMPACTION_COMPACTED;
    return SHALE_OK;
}

static shale_code edit_finish(struct job *j, struct shl_compactions *c, shale_error *err)
{
    struct shl_compaction *job = find_job(c, j->id);
    (void)err;
    if (job != NULL)
        job->status = SHL_COMPACTION_COMPLETED;
    return SHALE_OK;
}

static shale_code edit_fail(struct job *j, struct shl_compactions *c, shale_error *err)
{
    struct shl_compaction *job = find_job(c, j->id);
    (void)err;
    if (job != NULL)
        job->status = SHL_COMPACTION_FAILED;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- manifest edits */

static shale_code edit_epoch(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                             shale_error *err)
{
    (void)db;
    (void)err;
    *(uint64_t *)arg = ++m->compactor_epoch;
    return SHALE_OK;
}

static struct shl_tree *job_tree(const struct job *j, struct shl_manifest *m)
{
    if (j->segment.len == 0)
        return &m->root;
    struct shl_segment *s = shl_manifest_segment(m, shl_buf_view(&j->segment));
    return s != NULL ? &s->tree : NULL;
}

static size_t find_view(const struct shl_tree *t, struct shl_ulid id)
{
    for (size_t i = 0; i < t->l0.count; i++)
        if (shl_ulid_eq(t->l0.items[i].id, id))
            return i;
    return SIZE_MAX;
}

static size_t find_run(const struct shl_tree *t, uint32_t id)
{
    for (size_t i = 0; i < t->runs.count; i++)
        if (t->runs.items[i].id == id)
            return i;
    return SIZE_MAX;
}

/* Whether a run that is no source of the job has the id of its output: another coordinator gave it away after we planned. */
static bool destination_is_taken(const struct job *j, const struct shl_manifest *m)
{
    for (size_t s = 0; s <= m->segments.count; s++) {
        const struct shl_tree *t = s == 0 ? &m->root : &m->segments.items[s - 1].tree;
        if (find_run(t, j->destination) == SIZE_MAX)
            continue;
        bool is_source = false;
        for (size_t i = 0; i < j->runs.count; i++)
            is_source = is_source || j->runs.items[i] == j->destination;
        if (!is_source)
            return true;
    }
    return false;
}

/* CONFLICT unless every source is still there, the destination is free, and we are still the compactor. */
static shale_code check_sources(struct job *j, struct shl_manifest *m, struct shl_tree **out,
                                shale_error *err)
{
    struct shl_tree *t = job_tree(j, m);
    if (m->compactor_epoch != j->db->compactor_epoch)
        return shl_fail(err, SHALE_CONFLICT,
                        "another compactor took over (epoch %" PRIu64 ", ours is %" PRIu64 ")",
                        m->compactor_epoch, j->db->compactor_epoch);
    for (size_t i = 0; t != NULL && i < j->l0_views.count; i++)
        if (find_view(t, j->l0_views.items[i]) == SIZE_MAX)
            t = NULL;
    for (size_t i = 0; t != NULL && i < j->runs.count; i++)
        if (find_run(t, j->runs.items[i]) == SIZE_MAX)
            t = NULL;
    if (t == NULL)
        return shl_fail(err, SHALE_CONFLICT, "the sources of the compaction are gone");
    if (destination_is_taken(j, m))
        return shl_fail(err, SHALE_CONFLICT, "run %" PRIu32 " was made by somebody else",
                        j->destination);
    *out = t;
    return SHALE_OK;
}

/* Readers on the old tree keep their SSTs for a while: a checkpoint that points at the manifest it is written in. */
static shale_code edit_checkpoint(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                                  shale_error *err)
{
    struct job *j = arg;
    struct shl_tree *t;
    uint32_t now_s = (uint32_t)(env_now_wall_ms() / 1000);
    uint64_t life_s = db->settings.compactor_checkpoint_lifetime_ns / ENV_NS_PER_SEC;
    shale_code rc = check_sources(j, m, &t, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = m->checkpoints.count;
         i-- > 0;) { /* expired ones go, else they would pile up without a collector */
        struct shl_checkpoint *c = &m->checkpoints.items[i];
        if (c->expire_s == 0 || c->expire_s > now_s)
            continue;
        env_free(c->name);
        memmove(c, c + 1, (m->checkpoints.count - i - 1) * sizeof *c);
        m->checkpoints.count--;
    }
    struct shl_checkpoint c = {.id = shl_uuid_make(env_rand64(), env_rand64()),
                               .manifest_id = db->manifests.id + 1,
                               .create_s = now_s,
                               .expire_s = now_s + (uint32_t)shl_max_u64(life_s, 1)};
    return shl_array_push(&m->checkpoints, c) ? SHALE_OK : shl_nomem(err);
}

static void remove_view(struct shl_tree *t, size_t i)
{
    shl_sst_view_deinit(&t->l0.items[i]);
    memmove(&t->l0.items[i], &t->l0.items[i + 1], (t->l0.count - i - 1) * sizeof t->l0.items[0]);
    t->l0.count--;
}

static void remove_run(struct shl_tree *t, size_t i)
{
    for (size_t k = 0; k < t->runs.items[i].ssts.count; k++)
        shl_sst_view_deinit(&t->runs.items[i].ssts.items[k]);
    shl_array_free(&t->runs.items[i].ssts);
    memmove(&t->runs.items[i], &t->runs.items[i + 1],
            (t->runs.count - i - 1) * sizeof t->runs.items[0]);
    t->runs.count--;
}

static shale_code insert_run(struct job *j, struct shl_tree *t, shale_error *err)
{
    struct shl_run run = {.id = j->destination};
    size_t at = 0;
    if (j->outputs.count == 0) /* nothing outlived the job */
        return SHALE_OK;
    if (!shl_array_reserve(&t->runs, 1) || !shl_array_reserve(&run.ssts, j->outputs.count)) {
        shl_array_free(&run.ssts);
        return shl_nomem(err);
    }
    for (size_t i = 0; i < j->outputs.count; i++) {
        struct shl_sst_view v = {.id = j->outputs.items[i]->id,
                                 .sst = shl_sst_desc_ref(j->outputs.items[i])};
        shl_array_add(&run.ssts, v);
    }
    while (at < t->runs.count && t->runs.items[at].id > run.id)
        at++;
    memmove(&t->runs.items[at + 1], &t->runs.items[at],
            (t->runs.count - at) * sizeof t->runs.items[0]);
    t->runs.items[at] = run;
    t->runs.count++;
    return SHALE_OK;
}

static shale_code edit_commit(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                              shale_error *err)
{
    struct job *j = arg;
    struct shl_tree *t;
    (void)db;
    shale_code rc = check_sources(j, m, &t, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = 0; i < j->l0_views.count; i++)
        remove_view(t, find_view(t, j->l0_views.items[i]));
    for (size_t i = 0; i < j->runs.count; i++)
        remove_run(t, find_run(t, j->runs.items[i]));
    if (j->l0_views.count >
        0) { /* sources are the oldest L0s: the newest of them is the watermark */
        t->has_watermark = true;
        t->watermark = j->l0_views.items[0];
    }
    rc = insert_run(j, t, err);
    if (rc == SHALE_OK)
        shl_manifest_prune_external(m);
    return rc;
}

/* ---------------------------------------------------------------- the merge */

static struct shl_ulid next_ulid(struct shl_lsm *db)
{
    env_mutex_lock(&db->mu);
    struct shl_ulid id = shl_lsm_next_ulid_locked(db);
    env_mutex_unlock(&db->mu);
    return id;
}

static shale_code open_output(struct job *j, shale_error *err)
{
    const struct shl_lsm *db = j->db;
    struct shl_sst_write_options o = {.block_bytes = db->settings.sst_block_size_bytes,
                                      .compression = db->settings.compression,
                                      .transformer = db->has_transformer ? &db->transformer : NULL,
                                      .policies = &db->settings.filter,
                                      .policy_count = 1,
                                      .min_filter_keys = db->settings.min_filter_keys,
                                      .type = SHL_SST_COMPACTED,
                                      .pool = db->pieces,
                                      .part_bytes = PART_BYTES};
    j->output_id = next_ulid(j->db);
    char *key = shl_name_sst(&db->paths, j->output_id);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc = shl_sst_writer_new(&o, db->store, key, &j->writer, err);
    env_free(key);
    return rc;
}

static shale_code close_output(struct job *j, shale_error *err)
{
    struct shl_sst_info info;
    struct shl_sst_desc *desc = NULL;
    uint64_t bytes;
    shale_code rc;
    if (j->writer == NULL)
        return SHALE_OK;
    SHL_TRY(shl_sst_writer_finish(j->writer, &info, &bytes, err));
    SHL_TRY(shl_sst_desc_new(j->output_id, 2, true, &info, &desc, err));
    if (!shl_array_push(&j->outputs, desc)) {
        shl_sst_desc_unref(desc);
        rc = shl_nomem(err);
    }
out:
    shl_sst_writer_free(j->writer);
    j->writer = NULL;
    return rc;
}

static shale_code keep_row(void *ctx, const struct shl_row *row, shale_error *err)
{
    struct job *j = ctx;
    shale_code rc;
    if (j->writer == NULL) {
        rc = open_output(j, err);
        if (rc != SHALE_OK)
            return rc;
    }
    rc = shl_sst_writer_add(j->writer, row, err);
    if (rc == SHALE_OK &&
        shl_sst_writer_block_bytes(j->writer) > j->db->settings.max_sst_size_bytes)
        rc = close_output(j, err);
    return rc;
}

static bool must_stop(struct shl_lsm *db)
{
    env_mutex_lock(&db->mu);
    bool stop = db->stopping || env_load_relaxed(&db->closed) != SHALE_OK;
    env_mutex_unlock(&db->mu);
    return stop;
}

static const struct shl_level_tree *level_tree(const struct job *j, const struct shl_levels *l)
{
    if (j->segment.len == 0)
        return &l->trees[0];
    for (size_t i = 1; i < l->tree_count; i++)
        if (shl_slice_eq(l->trees[i].prefix, shl_buf_view(&j->segment)))
            return &l->trees[i];
    return NULL;
}

/* A source over all of the job's inputs, newest first. */
static shale_code open_inputs(struct job *j, const struct shl_levels *l, struct shl_source **out,
                              shale_error *err)
{
    struct shl_read_plan plan = {.window_first_bytes = WINDOW_FIRST_BYTES,
                                 .window_max_bytes = WINDOW_MAX_BYTES,
                                 .fanout = j->db->fanout,
                                 .budget = &j->budget};
    const struct shl_level_tree *t = level_tree(j, l);
    const struct shl_tree *stored = job_tree(j, l->manifest);
    size_t n = 0;
    shale_code rc = SHALE_OK;
    struct shl_source **list =
        env_calloc(j->l0_views.count + j->runs.count, sizeof(struct shl_source *));
    if (list == NULL)
        return shl_nomem(err);
    for (size_t i = 0; rc == SHALE_OK && i < j->l0_views.count; i++) {
        size_t at = t != NULL ? find_view(stored, j->l0_views.items[i]) : SIZE_MAX;
        if (at == SIZE_MAX)
            rc = shl_fail(err, SHALE_CONFLICT, "the sources of the compaction are gone");
        else
            rc = shl_level_sst_source_new(&l->ssts[t->l0_first + at], &plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    for (size_t i = 0; rc == SHALE_OK && i < j->runs.count; i++) {
        size_t at = t != NULL ? find_run(stored, j->runs.items[i]) : SIZE_MAX;
        if (at == SIZE_MAX)
            rc = shl_fail(err, SHALE_CONFLICT, "the sources of the compaction are gone");
        else
            rc = shl_run_source_new(l, &l->runs[t->run_first + at], &plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc == SHALE_OK)
        rc = shl_merge_source_new(list, n, false, j->db->fanout, out, err);
    else
        for (size_t i = 0; i < n; i++)
            shl_source_close(list[i]);
    env_free(list);
    return rc;
}

static shale_code merge_inputs(struct job *j, const struct shl_levels *l, shale_error *err)
{
    struct shl_lsm *db = j->db;
    struct shl_source *in = NULL;
    struct shl_retain retain;
    struct shl_retain_rules rules = {.min_seq = j->min_seq,
                                     .now_tick = j->now_tick,
                                     .drop_tombstones = j->drop_tombstones,
                                     .merge = db->has_merge ? &db->merge : NULL};
    shale_code rc;
    shl_retain_init(&retain, &rules, keep_row, j);
    SHL_TRY(open_inputs(j, l, &in, err));
    SHL_TRY(shl_source_seek(in, NULL, err));
    while (in->valid) {
        if (++j->rows % STOP_CHECK_ROWS == 0 && must_stop(db)) {
            rc = shl_fail(err, SHALE_CLOSED, "the database was closed");
            goto out;
        }
        SHL_TRY(shl_retain_push(&retain, &in->row, err));
        SHL_TRY(shl_source_next(in, err));
    }
    SHL_TRY(shl_retain_finish(&retain, err));
    SHL_TRY(close_output(j, err));
out:
    shl_source_close(in);
    shl_retain_deinit(&retain);
    return rc;
}

/* ---------------------------------------------------------------- one job */

static shale_code make_job(struct job *j, const struct shl_manifest *m,
                           const struct shl_compact_plan *p, shale_error *err)
{
    const struct shl_tree *t = p->segment != NULL ? &p->segment->tree : &m->root;
    j->destination = p->destination;
    j->drop_tombstones = p->drop_tombstones;
    j->min_seq = m->recent_snapshot_min_seq;
    j->now_tick = m->last_l0_clock_tick;
    if (!shl_array_reserve(&j->l0_views, p->l0_count) || !shl_array_reserve(&j->runs, p->run_count))
        return shl_nomem(err);
    for (size_t i = 0; i < p->l0_count; i++)
        shl_array_add(&j->l0_views, t->l0.items[p->l0_first + i].id);
    for (size_t i = 0; i < p->run_count; i++)
        shl_array_add(&j->runs, t->runs.items[p->run_first + i].id);
    return p->segment != NULL ? shl_buf_set(&j->segment, shl_buf_view(&p->segment->prefix), err)
                              : SHALE_OK;
}

/* Before the first job: the epoch in the manifest, then in .compactions. */
static shale_code claim(struct job *j, shale_error *err)
{
    struct shl_lsm *db = j->db;
    uint64_t epoch;
    if (db->compactor_epoch != 0)
        return SHALE_OK;
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_update_manifest(db, edit_epoch, &epoch, err);
    shl_manifest_turn_end(db);
    if (rc != SHALE_OK)
        return rc;
    db->compactor_epoch = epoch;
    rc = update_compactions(j, edit_claim, err);
    if (rc != SHALE_OK)
        db->compactor_epoch = 0;
    return rc;
}

/* Two manifests: one with the checkpoint, one with the new tree; then the new version for readers. */
static shale_code commit(struct job *j, shale_error *err)
{
    struct shl_lsm *db = j->db;
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_update_manifest(db, edit_checkpoint, j, err);
    if (rc == SHALE_OK)
        rc = shl_lsm_update_manifest(db, edit_commit, j, err);
    bool committed = rc == SHALE_OK;
    while (committed) {
        rc = shl_lsm_show_manifest(db, err);
        if (rc != SHALE_NOMEM || must_stop(db))
            break;
        env_sleep_ns(
            10 *
            ENV_NS_PER_MS); /* the manifest is written: wait for memory rather than fall behind it */
    }
    shl_manifest_turn_end(db);
    return rc;
}

static void delete_outputs(struct job *j)
{
    shale_error ignored; /* what cannot be deleted is an orphan for the collector */
    for (size_t i = 0; i < j->outputs.count; i++) {
        char *key = shl_name_sst(&j->db->paths, j->outputs.items[i]->id);
        if (key != NULL)
            shl_ignore(shl_store_delete(j->db->store, key, &ignored));
        env_free(key);
    }
}

static shale_code run_job(struct job *j, const struct shl_levels *levels, shale_error *err)
{
    shale_error second;
    shale_code rc = update_compactions(j, edit_start, err);
    if (rc != SHALE_OK)
        return rc;
    rc = merge_inputs(j, levels, err);
    if (rc != SHALE_OK)
        delete_outputs(j);
    else /* the outputs stay from here on, for the record may have been written whatever comes back */
        rc = update_compactions(j, edit_compacted, err);
    ENV_POINT("compaction before commit");
    if (rc == SHALE_OK)
        rc = commit(j, err);
    ENV_POINT("compaction after commit");
    shale_code rc2 = update_compactions(j, rc == SHALE_OK ? edit_finish : edit_fail, &second);
    if (rc == SHALE_OK &&
        rc2 !=
            SHALE_OK) /* the data is safe; only the record lags, and a later coordinator repairs it */
        shl_log_write(j->db->log, SHL_LOG_WARN, "compaction record not updated: %s", second.text);
    return rc;
}

/* Plans and runs one job; *did false if nothing is due. */
static shale_code compact_once(struct shl_lsm *db, bool *did, shale_error *err)
{
    struct shl_compact_plan plan;
    struct job j = {.db = db, .budget = {.max_bytes = AHEAD_BYTES_MAX}};
    /* A plan from an old tree would be refused for ever. */
    shl_manifest_turn_begin(db);
    shale_code rc = shl_lsm_show_manifest(db, err);
    shl_manifest_turn_end(db);
    if (rc != SHALE_OK)
        return rc;
    struct shl_version *v = shl_lsm_version(db);
    *did = shl_compact_plan_next(v->levels->manifest, &db->settings, &plan);
    if (*did) {
        SHL_TRY(make_job(&j, v->levels->manifest, &plan, err));
        SHL_TRY(claim(&j, err));
        j.id = next_ulid(db);
        SHL_TRY(run_job(&j, v->levels, err));
    }
out:
    job_deinit(&j);
    shl_version_unref(v);
    return rc;
}

/* What a failed job means: false, the compactor goes on; true, the handle fails. */
static bool is_fatal(shale_code rc)
{
    return rc != SHALE_OK && rc != SHALE_CONFLICT && rc != SHALE_CLOSED &&
           rc != SHALE_UNAVAILABLE && rc != SHALE_TIMEOUT && rc != SHALE_NOMEM;
}

void shl_compact_task(void *arg)
{
    struct shl_lsm *db = arg;
    env_mutex_lock(&db->mu);
    while (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK) {
        shale_error err = {0};
        bool did = false;
        if (!db->compact_due) {
            db->compact_idle = true;
            env_cond_broadcast(&db->progress_cond);
            env_cond_wait(&db->compact_cond, &db->mu);
            continue;
        }
        db->compact_due = false;
        db->compacting = true;
        env_mutex_unlock(&db->mu);
        shale_code rc = compact_once(db, &did, &err);
        if (rc != SHALE_OK && rc != SHALE_CLOSED)
            shl_log_write(db->log, SHL_LOG_WARN, "compaction: %s", err.text);
        else if (rc == SHALE_OK && did)
            shl_log_write(db->log, SHL_LOG_INFO, "compaction done: epoch=%" PRIu64,
                          db->compactor_epoch);
        env_mutex_lock(&db->mu);
        db->compacting = false;
        if (rc == SHALE_CONFLICT)
            db->compactor_epoch =
                0; /* another coordinator is at work: what it leaves is looked at again */
        if (rc == SHALE_OK && did)
            db->compactions_done++;
        if (is_fatal(rc)) {
            shl_lsm_fail_locked(db, &err);
        } else if (rc != SHALE_OK && rc != SHALE_CLOSED) {
            (void)env_cond_wait_until(
                &db->compact_cond, &db->mu,
                env_now_mono_ns() +
                    shl_min_u64(db->settings.compactor_poll_interval_ns, 5 * ENV_NS_PER_SEC));
            db->compact_due = true;
        } else if (did) {
            db->compact_due = true;
        }
        env_cond_broadcast(&db->progress_cond);
    }
    env_mutex_unlock(&db->mu);
}
