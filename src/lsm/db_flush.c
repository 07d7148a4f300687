/* Frozen memtables to L0: uploaders run side by side, oldest first; publishing goes in order of seq. slatedb-behaviour 3.4. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include "lsm/retain.h"
#include "lsm/sst/sst_write.h"
#include <inttypes.h>

#define PART_BYTES (8 * 1024 * 1024)
/* Closing comes to an end, whether memory and store come back or not. */
#define CLOSING_TRIES_MAX 10

/* ---------------------------------------------------------------- building the SSTs of one table */

struct build {
    struct shl_lsm *db;
    struct shl_frozen *frozen;
    struct shl_sst_writer *writer; /* of the current segment; NULL: none open */
    struct shl_buf prefix;         /* owned: of the current segment */
    struct shl_ulid id;
    size_t opened;
    uint64_t bytes; /* of the SSTs that are finished */
};

static struct shl_ulid output_id(struct build *b)
{
    struct shl_ulid first = b->frozen->id;
    if (b->opened == 0)
        return first;
    /* Further segments: ids of the same time, so that a later table's are never older. */
    return shl_ulid_make(shl_ulid_time_ms(first), env_rand64(), env_rand64());
}

static shale_code open_writer(struct build *b, shale_error *err)
{
    struct shl_lsm *db = b->db;
    struct shl_sst_write_options o = {.block_bytes = db->settings.sst_block_size_bytes,
                                      .aligned = db->settings.sst_block_alignment,
                                      .compression = db->settings.compression,
                                      .transformer = db->has_transformer ? &db->transformer : NULL,
                                      .policies = &db->settings.filter,
                                      .policy_count = 1,
                                      .user_filters = db->context.user_filters,
                                      .min_filter_keys = db->settings.min_filter_keys,
                                      .type = SHL_SST_COMPACTED,
                                      .pool = db->pieces,
                                      .part_bytes = PART_BYTES};
    b->id = output_id(b);
    char *key = shl_name_sst(&db->paths, b->id);
    if (key == NULL)
        return shl_nomem(err);
    shale_code rc = shl_sst_writer_new(&o, db->store, key, &b->writer, err);
    env_free(key);
    if (rc == SHALE_OK)
        b->opened++;
    return rc;
}

static shale_code finish_writer(struct build *b, shale_error *err)
{
    struct shl_sst_info info;
    struct shl_new_l0 out = {0};
    uint64_t bytes;
    shale_code rc;
    if (b->writer == NULL)
        return SHALE_OK;
    ENV_POINT("l0 before upload");
    SHL_TRY(shl_sst_writer_finish(b->writer, &info, &bytes, err));
    ENV_POINT("l0 after upload");
    b->bytes += bytes;
    SHL_TRY(shl_sst_desc_new(b->id, 2, true, &info, &out.desc, err));
    SHL_TRY(shl_buf_set(&out.prefix, shl_buf_view(&b->prefix), err));
    if (!shl_array_push(&b->frozen->outputs, out)) {
        rc = shl_nomem(err);
        goto out;
    }
    out = (struct shl_new_l0){0}; /* moved */
out:
    shl_buf_free(&out.prefix);
    shl_sst_desc_unref(out.desc);
    shl_sst_writer_free(b->writer);
    b->writer = NULL;
    return rc;
}

static shale_code keep_row(void *ctx, const struct shl_row *row, shale_error *err)
{
    struct build *b = ctx;
    const struct shl_extractor *x = &b->db->settings.segment_extractor;
    shale_code rc;
    if (x->kind != SHL_EXTRACT_NONE) {
        size_t len;
        if (!shl_extractor_prefix(x, row->key, &len) || len == 0)
            return shl_fail(err, SHALE_INVALID, "a key of %zu bytes has no segment prefix",
                            row->key.len);
        struct shl_slice prefix = shl_slice_of(row->key.data, len);
        if (b->writer == NULL || !shl_slice_eq(prefix, shl_buf_view(&b->prefix))) {
            rc = finish_writer(b, err);
            if (rc == SHALE_OK)
                rc = shl_buf_set(&b->prefix, prefix, err);
            if (rc != SHALE_OK)
                return rc;
        }
    }
    if (b->writer == NULL) {
        rc = open_writer(b, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return shl_sst_writer_add(b->writer, row, err);
}

static void drop_outputs(struct shl_frozen *f)
{
    for (size_t i = 0; i < f->outputs.count; i++) {
        shl_buf_free(&f->outputs.items[i].prefix);
        shl_sst_desc_unref(f->outputs.items[i].desc);
    }
    f->outputs.count = 0;
}

shale_code shl_lsm_build_l0(struct shl_lsm *db, struct shl_frozen *f, uint64_t barrier,
                            shale_error *err)
{
    struct build b = {.db = db, .frozen = f};
    struct shl_retain retain;
    struct shl_memtable_iter it;
    struct shl_retain_rules rules = {
        .min_seq = barrier, .now_tick = f->last_tick, .merge = db->has_merge ? &db->merge : NULL};
    shale_code rc = SHALE_OK;
    drop_outputs(f);
    shl_retain_init(&retain, &rules, keep_row, &b);
    shl_memtable_iter_init(&it, f->table);
    for (shl_memtable_iter_first(&it); it.entry != NULL; shl_memtable_iter_next(&it))
        for (const struct shl_mem_entry *e = it.entry; e != NULL; e = shl_mem_entry_older(e)) {
            struct shl_row row;
            shl_mem_entry_row(e, &row);
            SHL_TRY(shl_retain_push(&retain, &row, err));
        }
    SHL_TRY(shl_retain_finish(&retain, err));
    SHL_TRY(finish_writer(&b, err));
    f->l0_bytes = b.bytes;
    f->operands = retain.operands;
    if (retain.refused > 0)
        shl_log_write(db->log, SHL_LOG_WARN,
                      "the merge operator refuses rows of %" PRIu64
                      " keys: they stay as they are, and reading those keys fails",
                      retain.refused);
out:
    shl_sst_writer_free(b.writer);
    shl_buf_free(&b.prefix);
    shl_retain_deinit(&retain);
    return rc;
}

/* ---------------------------------------------------------------- dispatch */

/* Most L0 SSTs in one tree, and the most whose ranges cover one key. */
static void l0_pressure(const struct shl_levels *l, size_t *count, size_t *overlap)
{
    *count = *overlap = 0;
    for (size_t t = 0; t < l->tree_count; t++) {
        const struct shl_level_sst *ssts = &l->ssts[l->trees[t].l0_first];
        size_t n = l->trees[t].l0_count;
        *count = shl_max_size(*count, n);
        /* Where the most ranges overlap, one of them starts. */
        for (size_t i = 0; i < n; i++) {
            size_t covering = 0;
            for (size_t k = 0; k < n; k++)
                covering += shl_key_range_contains(&ssts[k].range, ssts[i].range.start);
            *overlap = shl_max_size(*overlap, covering);
        }
    }
}

/* The limits that keep an upload waiting. */
static void count_stall_locked(struct shl_lsm *db)
{
    size_t count, overlap;
    const struct shl_version *v = env_load_relaxed(&db->version);
    l0_pressure(v->levels, &count, &overlap);
    db->counts.l0_stalls_count += count + db->l0_in_flight >= db->settings.l0_max_ssts;
    db->counts.l0_stalls_per_key += overlap + db->l0_in_flight >= db->settings.l0_max_ssts_per_key;
}

static bool l0_has_room_locked(const struct shl_lsm *db)
{
    size_t count, overlap;
    const struct shl_version *v = env_load_relaxed(&db->version);
    if (db->stopping)
        return true; /* a full L0 must not keep anybody from closing */
    l0_pressure(v->levels, &count, &overlap);
    return count + db->l0_in_flight < db->settings.l0_max_ssts &&
           overlap + db->l0_in_flight < db->settings.l0_max_ssts_per_key;
}

bool shl_lsm_l0_moves_locked(const struct shl_lsm *db)
{
    return db->l0_in_flight > 0 || l0_has_room_locked(db);
}

static struct shl_frozen *next_upload_locked(struct shl_lsm *db)
{
    for (struct shl_frozen *f = db->frozen_head; f != NULL; f = f->next)
        if (f->state == SHL_FROZEN_WAITING) {
            if (l0_has_room_locked(db))
                return f;
            if (!f->stalled)
                count_stall_locked(db);
            f->stalled = true;
            return NULL;
        }
    return NULL;
}

/* Whether what failed with rc is tried again. An open handle tries for ever: the rows stay readable. One that closes gives up at once where the
 * WAL has the rows and only the store fails, else after some tries. */
static bool again_locked(const struct shl_lsm *db, shale_code rc, unsigned *closing_tries)
{
    bool memory = rc == SHALE_NOMEM;
    if (env_load_relaxed(&db->closed) != SHALE_OK ||
        (!memory && rc != SHALE_UNAVAILABLE && rc != SHALE_TIMEOUT))
        return false;
    if (!db->stopping)
        return true;
    if (!memory && db->settings.wal_enabled)
        return false;
    return ++*closing_tries < CLOSING_TRIES_MAX;
}

/* The pause before another try; news for the uploaders end it early. */
static void pause_locked(struct shl_lsm *db)
{
    uint64_t ns = shl_min_u64(db->settings.manifest_poll_interval_ns, ENV_NS_PER_SEC);
    (void)env_cond_wait_until(&db->flush_cond, &db->mu, env_now_mono_ns() + ns);
}

static void uploaded_locked(struct shl_lsm *db, struct shl_frozen *f)
{
    f->state = SHL_FROZEN_UPLOADED;
    db->counts.l0_uploads += f->outputs.count;
    db->counts.l0_flush_bytes += f->l0_bytes;
    db->counts.operands_flush += f->operands;
}

/* Uploads until it works, or the handle is closed. */
static void upload_locked(struct shl_lsm *db, struct shl_frozen *f)
{
    shale_error err = {0};
    shale_code rc;
    unsigned closing_tries = 0;
    uint64_t barrier = shl_lsm_min_seq_locked(
        db, db->settings.wal_enabled ? f->last_seq : env_load_relaxed(&db->durable_seq));
    f->state = SHL_FROZEN_UPLOADING;
    db->l0_in_flight++;
    f->id = shl_lsm_next_ulid_locked(db);
    for (;;) {
        env_mutex_unlock(&db->mu);
        rc = shl_lsm_build_l0(db, f, barrier, &err);
        env_mutex_lock(&db->mu);
        if (rc == SHALE_OK || !again_locked(db, rc, &closing_tries))
            break;
        pause_locked(db);
    }
    if (rc == SHALE_OK)
        uploaded_locked(db, f);
    else
        shl_lsm_fail_locked(db, &err);
    env_cond_broadcast(&db->flush_cond);
}

/* ---------------------------------------------------------------- publish */

/* How many of the oldest tables can go into the manifest now. */
static size_t publishable_locked(struct shl_lsm *db)
{
    size_t n = 0;
    uint64_t bound = shl_checkpoint_seq_bound_locked(db);
    for (struct shl_frozen *f = db->frozen_head;
         f != NULL && f->state == SHL_FROZEN_UPLOADED && f->last_seq <= bound; f = f->next, n++)
        if (db->settings.wal_enabled && db->durable_wal_seq < f->last_seq) {
            if (n == 0 && db->wal_request_seq < f->last_seq) { /* L0 never runs ahead of the WAL */
                db->wal_request_seq = f->last_seq;
                env_cond_signal(&db->wal_cond);
            }
            break;
        }
    return n;
}

struct publish {
    const struct shl_frozen *first;
    size_t count;
    uint64_t last_wal_id;
};

/* New points go into the stored tracker, unless that would need its version 2, which SlateDB up to 0.17 cannot open: a few
 * times that cannot be looked up are better than a database that cannot be read. */
static shale_code add_to_tracker(struct shl_manifest *m, const struct shl_seq_tracker *points,
                                 shale_error *err)
{
    struct shl_seq_tracker all = {0};
    struct shl_buf bytes = {0}, swap;
    bool was_newer =
        m->has_sequence_tracker && m->sequence_tracker.len > 0 && m->sequence_tracker.data[0] > 1;
    shale_code rc = SHALE_OK;
    if (points->points.count == 0)
        return SHALE_OK;
    if (m->has_sequence_tracker)
        SHL_TRY(shl_seq_tracker_decode(shl_buf_view(&m->sequence_tracker), &all, err));
    for (size_t i = 0; i < points->points.count; i++)
        SHL_TRY(shl_seq_tracker_add(&all, points->points.items[i].seq,
                                    points->points.items[i].unix_s, err));
    SHL_TRY(shl_seq_tracker_encode(&all, &bytes, err));
    if (bytes.data[0] == 1 || was_newer) {
        swap = m->sequence_tracker;
        m->sequence_tracker = bytes;
        bytes = swap;
        m->has_sequence_tracker = true;
    }
out:
    shl_buf_free(&bytes);
    shl_seq_tracker_deinit(&all);
    return rc;
}

shale_code shl_lsm_add_outputs(struct shl_manifest *m, const struct shl_frozen *f, shale_error *err)
{
    for (size_t i = 0; i < f->outputs.count; i++) {
        const struct shl_new_l0 *o = &f->outputs.items[i];
        struct shl_tree *tree = &m->root;
        shale_code rc = SHALE_OK;
        if (o->prefix.len > 0) {
            struct shl_segment *s = shl_manifest_segment(m, shl_buf_view(&o->prefix));
            if (s == NULL)
                rc = shl_manifest_add_segment(m, shl_buf_view(&o->prefix), &s, err);
            if (rc != SHALE_OK)
                return rc;
            tree = &s->tree;
        }
        rc = shl_tree_push_l0(tree, o->desc, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code publish_edit(struct shl_lsm *db, struct shl_manifest *m, void *arg,
                               shale_error *err)
{
    const struct publish *p = arg;
    const struct shl_frozen *f = p->first;
    for (size_t i = 0; i < p->count; i++) {
        if (i > 0)
            f = f->next; /* of the last one it belongs to writers: a newer table may come */
        shale_code rc = shl_lsm_add_outputs(m, f, err);
        if (rc == SHALE_OK)
            rc = add_to_tracker(m, &f->tracker, err);
        if (rc != SHALE_OK)
            return rc;
        m->replay_after_wal_id = shl_max_u64(m->replay_after_wal_id, f->replay_after_wal_id);
        m->last_l0_clock_tick = shl_max_i64(m->last_l0_clock_tick, f->last_tick);
        m->last_l0_seq = shl_max_u64(m->last_l0_seq, f->last_seq);
    }
    m->wal_id_last_seen = shl_max_u64(m->wal_id_last_seen, p->last_wal_id);
    shl_manifest_tell_of_wal(m);
    env_mutex_lock(&db->mu);
    m->recent_snapshot_min_seq = shl_lsm_min_seq_locked(db, m->last_l0_seq);
    env_mutex_unlock(&db->mu);
    return SHALE_OK;
}

/* The tables are in the manifest: drop them from memory. Under mu. */
static shale_code retire_locked(struct shl_lsm *db, size_t count, struct shl_levels *levels,
                                shale_error *err)
{
    struct shl_version *v = env_load_relaxed(&db->version);
    shale_code rc = shl_lsm_install_locked(db, v->active, levels, count, NULL, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        struct shl_frozen *f = db->frozen_head;
        db->frozen_head = f->next;
        if (db->frozen_head == NULL)
            db->frozen_tail = NULL;
        db->frozen_count--;
        db->frozen_bytes -= f->encoded_bytes;
        db->l0_in_flight--;
        db->counts.memtables_flushed++;
        shl_lsm_durable_locked(db, f->last_seq);
        shl_frozen_free(f);
    }
    db->compact_due = true;
    db->compact_idle = false;
    env_cond_signal(&db->compact_cond);
    env_cond_signal(
        &db->wal_cond); /* with the WAL off, a waiter of a later row wants the next flush now */
    env_cond_broadcast(&db->flush_cond);
    env_cond_broadcast(&db->progress_cond);
    return SHALE_OK;
}

/* Out of memory is tried again: the tables stay queued, and stay readable from memory. */
static void publish_locked(struct shl_lsm *db, size_t count)
{
    struct publish p = {.first = db->frozen_head,
                        .count = count,
                        .last_wal_id = shl_checkpoint_wal_bound_locked(db)};
    struct shl_levels *levels = NULL;
    shale_error err = {0};
    shale_code rc;
    unsigned closing_tries = 0;
    bool written = false;
    db->publishing = true;
    env_mutex_unlock(&db->mu);
    shl_manifest_turn_begin(db);
    for (;;) {
        rc = written ? SHALE_OK : shl_lsm_update_manifest(db, publish_edit, &p, &err);
        written = written || rc == SHALE_OK;
        if (rc == SHALE_OK)
            rc = shl_lsm_build_levels(db, &levels, &err);
        env_mutex_lock(&db->mu);
        if (rc == SHALE_OK)
            rc = retire_locked(db, count, levels, &err);
        shl_levels_unref(levels);
        levels = NULL;
        if (rc == SHALE_OK || !again_locked(db, rc, &closing_tries))
            break;
        pause_locked(db);
        env_mutex_unlock(&db->mu);
    }
    if (rc != SHALE_OK)
        shl_lsm_fail_locked(db, &err);
    env_mutex_unlock(&db->mu);
    if (rc == SHALE_OK)
        shl_log_write(db->log, SHL_LOG_INFO, "memtables in L0: tables=%zu manifest=%" PRIu64, count,
                      db->manifests.id);
    else
        shl_log_write(db->log, SHL_LOG_ERROR, "memtables not published: %s", err.text);
    shl_manifest_turn_end(db);
    (void)shl_epoch_collect(db->epoch); /* the tables, which so few retirements would never free */
    env_mutex_lock(&db->mu);
    db->publishing = false;
    env_cond_broadcast(&db->flush_cond);
}

void shl_flush_task(void *arg)
{
    struct shl_lsm *db = arg;
    env_mutex_lock(&db->mu);
    while (env_load_relaxed(&db->closed) == SHALE_OK) {
        size_t ready = db->publishing ? 0 : publishable_locked(db);
        struct shl_frozen *f = ready > 0 ? NULL : next_upload_locked(db);
        struct shl_lsm_checkpoint *c = db->publishing ? NULL : shl_checkpoint_due_locked(db);
        if (ready > 0)
            publish_locked(db, ready);
        else if (c != NULL)
            shl_checkpoint_write_locked(db, c);
        else if (f != NULL)
            upload_locked(db, f);
        else if (db->stopping && db->frozen_head == NULL && db->checkpoints == NULL)
            break;
        else
            env_cond_wait(&db->flush_cond, &db->mu);
    }
    env_mutex_unlock(&db->mu);
}
