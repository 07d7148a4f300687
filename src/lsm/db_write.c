/* Writing: a batch becomes rows, and under one lock they get their seq, go into memtable and commit log, and become visible.
 * performance.md 4; slatedb-behaviour 3.1, 3.3, 3.5. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdlib.h>

/* A memtable is frozen by its arena too, at this share of l0_sst_size_bytes: entries cost more in memory than encoded, and the
 * next table fills while this one uploads. */
#define ARENA_SHARE_NUM 3
#define ARENA_SHARE_DEN 4
#define ARENA_BYTES_MIN ((uint64_t)128 << 10)
#define TRACKER_STEP_S  60

/* Where the store is near, an uploader that has a core keeps up with any writer, and waiting for one that has none costs a writer little: so
 * memtables take no more than this share of two full ones, however busy the machine is. On a far store a burst is taken up to
 * max_unflushed_bytes. */
#define NEAR_ARENAS_NUM 4
#define NEAR_ARENAS_DEN 5
/* While L0 is full and the compactor at work on it, a burst of so many full ones is taken. */
#define NEAR_BURST_ARENAS 4
/* Likewise what waits for the WAL, which is in memory twice while it is written. */
#define NEAR_WAL_BYTES ((uint64_t)4 << 20)

/* ---------------------------------------------------------------- commit log */

shale_code shl_commit_log_reserve(struct shl_commit_log *log, size_t rows, shale_error *err)
{
    while (log->free_entries < rows) {
        struct shl_log_chunk *c = env_alloc(sizeof *c);
        if (c == NULL)
            return shl_nomem(err);
        c->next = NULL;
        c->count = 0;
        if (log->last == NULL)
            log->head = log->tail = c;
        else
            log->last->next = c;
        log->last = c;
        log->free_entries += SHL_LOG_CHUNK;
    }
    return SHALE_OK;
}

void shl_commit_log_add(struct shl_commit_log *log, const struct shl_mem_entry *e)
{
    SHL_ASSERT(log->free_entries > 0);
    if (log->tail->count == SHL_LOG_CHUNK)
        log->tail = log->tail->next;
    log->tail->entries[log->tail->count++] = e;
    log->free_entries--;
    log->rows++;
}

struct shl_log_chunk *shl_commit_log_take(struct shl_commit_log *log, size_t *rows,
                                          size_t *encoded_bytes)
{
    struct shl_log_chunk *head = log->head;
    *rows = log->rows;
    *encoded_bytes = log->encoded_bytes;
    *log = (struct shl_commit_log){0};
    return head;
}

void shl_log_chunks_free(struct shl_log_chunk *c)
{
    while (c != NULL) {
        struct shl_log_chunk *next = c->next;
        env_free(c);
        c = next;
    }
}

/* ---------------------------------------------------------------- freeze */

void shl_frozen_free(struct shl_frozen *f)
{
    if (f == NULL)
        return;
    shl_memtable_unref(f->table);
    shl_seq_tracker_deinit(&f->tracker);
    for (size_t i = 0; i < f->outputs.count; i++) {
        shl_buf_free(&f->outputs.items[i].prefix);
        shl_sst_desc_unref(f->outputs.items[i].desc);
    }
    shl_array_free(&f->outputs);
    env_free(f);
}

shale_code shl_lsm_freeze_locked(struct shl_lsm *db, shale_error *err)
{
    struct shl_version *v = env_load_relaxed(&db->version);
    struct shl_memtable *full = v->active;
    shale_code rc;
    if (shl_memtable_rows(full) == 0)
        return SHALE_OK;
    struct shl_frozen *f = env_calloc(1, sizeof *f);
    if (f == NULL)
        return shl_nomem(err);
    if (db->spare == NULL) {
        rc = shl_memtable_new(db->arenas, &db->spare, err);
        if (rc != SHALE_OK) {
            env_free(f);
            return rc;
        }
    }
    f->table = shl_memtable_ref(full);
    f->last_seq = db->last_seq;
    f->last_tick = env_load_relaxed(&db->last_tick);
    f->replay_after_wal_id = db->last_wal_id;
    f->encoded_bytes = shl_memtable_encoded_bytes(full);
    rc = shl_lsm_install_locked(db, db->spare, NULL, 0, full, err);
    if (rc != SHALE_OK) {
        shl_frozen_free(f);
        return rc;
    }
    shl_memtable_unref(db->spare); /* the version holds it now */
    db->spare = NULL;
    f->tracker = db->tracker;
    db->tracker = (struct shl_seq_tracker){0};
    db->active_first_wal_id = db->last_wal_id;
    if (db->frozen_tail == NULL)
        db->frozen_head = f;
    else
        db->frozen_tail->next = f;
    db->frozen_tail = f;
    db->frozen_count++;
    db->counts.freezes++;
    db->frozen_bytes += f->encoded_bytes;
    env_cond_broadcast(&db->flush_cond);
    return SHALE_OK;
}

size_t shl_lsm_arena_limit(const struct shl_lsm_settings *s)
{
    return (size_t)shl_max_u64(s->l0_sst_size_bytes / ARENA_SHARE_DEN * ARENA_SHARE_NUM,
                               ARENA_BYTES_MIN);
}

static bool memtable_is_full(const struct shl_lsm *db, const struct shl_memtable *t)
{
    return shl_memtable_encoded_bytes(t) >= db->settings.l0_sst_size_bytes ||
           shl_memtable_arena_bytes(t) >= shl_lsm_arena_limit(&db->settings) ||
           db->last_wal_id - db->active_first_wal_id >=
               db->settings.max_wal_flushes_before_l0_flush;
}

/* ---------------------------------------------------------------- one commit */

struct commit {
    struct shl_row *rows;       /* seq and times are filled under the lock */
    const struct shl_ttl *ttls; /* parallel to rows */
    size_t count;
    size_t key_value_bytes;
    int64_t now_ms;
};

static size_t unflushed_locked(const struct shl_lsm *db, const struct shl_memtable *active)
{
    return shl_memtable_encoded_bytes(active) + db->frozen_bytes + db->unflushed_wal_bytes;
}

/* Only where somebody works on it: while L0 is full and nobody of us compacts, max_unflushed_bytes is the limit. */
static bool arenas_full_locked(const struct shl_lsm *db, const struct shl_memtable *active)
{
    if (!db->near || db->frozen_head == NULL)
        return false;
    size_t limit = 2 * shl_lsm_arena_limit(&db->settings) / NEAR_ARENAS_DEN * NEAR_ARENAS_NUM;
    size_t used = shl_memtable_arena_bytes(active);
    for (const struct shl_frozen *f = db->frozen_head; f != NULL; f = f->next)
        used += shl_memtable_arena_bytes(f->table);
    if (used < limit)
        return false;
    return shl_lsm_l0_moves_locked(db) ||
           (db->compacting && used >= NEAR_BURST_ARENAS * shl_lsm_arena_limit(&db->settings));
}

#define STALL_SILENT_NS (5 * ENV_NS_PER_SEC) /* a compaction takes some time */
#define STALL_SEEN_NS                                                                              \
    (60 * ENV_NS_PER_SEC) /* somebody was seen to compact: a large one takes more */
#define STALL_AGAIN_NS (30 * ENV_NS_PER_SEC) /* between two lines */

#define STALLED                                                                                    \
    "\"%s\": writers wait: L0 has %" PRIu64                                                        \
    " SSTables (l0_max_ssts) and nothing compacts them; start a compactor"

static uint64_t l0_count_locked(const struct shl_lsm *db)
{
    return shl_levels_l0_count(((struct shl_version *)env_load_relaxed(&db->version))->levels);
}

/* A writer without a compactor waits for ever, and whoever looks should know why. */
static bool must_tell_locked(struct shl_lsm *db, uint64_t since)
{
    uint64_t now = env_now_mono_ns();
    uint64_t patience = db->l0_shrank_ns != 0 ? STALL_SEEN_NS : STALL_SILENT_NS;
    since = shl_max_u64(since, db->l0_shrank_ns);
    if (now - since < patience || db->compacting || shl_lsm_l0_moves_locked(db) ||
        (db->stall_told_ns != 0 && now - db->stall_told_ns < STALL_AGAIN_NS))
        return false;
    db->stall_told_ns = now;
    return true;
}

shale_code shl_lsm_wait_for_l0_locked(struct shl_lsm *db, struct env_cond *cond, uint64_t *since,
                                      shale_error *err)
{
    uint64_t now = env_now_mono_ns();
    *since = *since == 0 ? now : *since;
    if (env_cond_wait_until(cond, &db->mu, now + ENV_NS_PER_SEC))
        return SHALE_OK;
    bool moves = shl_lsm_l0_moves_locked(db), tells = must_tell_locked(db, *since);
    uint64_t count = l0_count_locked(db);
    env_mutex_unlock(&db->mu);
    bool gives_up = db->cancelled != NULL && db->cancelled(db->cancel_ctx);
    if (tells)
        shl_log_write(db->log, SHL_LOG_WARN, "still trying: " STALLED, db->paths.r1, count);
    env_mutex_lock(&db->mu);
    if (!gives_up)
        return SHALE_OK;
    return moves ? shl_fail(err, SHALE_UNAVAILABLE,
                            "\"%s\": gave up waiting for what is uploaded to L0", db->paths.r1)
                 : shl_fail(err, SHALE_UNAVAILABLE, STALLED, db->paths.r1, count);
}

/* Waits while too much is unflushed. A batch larger than the limit passes when nothing else waits. */
static shale_code wait_for_room_locked(struct shl_lsm *db, shale_error *err)
{
    shale_error ignored; /* out of memory: tried again when we are woken */
    uint64_t since = 0;
    for (;;) {
        const struct shl_memtable *active =
            ((struct shl_version *)env_load_relaxed(&db->version))->active;
        if (env_load_relaxed(&db->closed) != SHALE_OK) {
            *err = db->failure;
            return err->code;
        }
        if (db->stopping)
            return shl_fail(err, SHALE_CLOSED, "the database was closed");
        if (unflushed_locked(db, active) >= db->settings.max_unflushed_bytes) {
            /* Without these two a database without timers would wait for ever. */
            db->wal_request_seq = db->last_seq;
            env_cond_signal(&db->wal_cond);
            if (db->frozen_count == 0)
                shl_ignore(shl_lsm_freeze_locked(db, &ignored));
        } else if (!arenas_full_locked(db, active)) {
            return SHALE_OK;
        }
        db->counts.backpressure++;
        shale_code rc = shl_lsm_wait_for_l0_locked(db, &db->progress_cond, &since, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

static void expiry_of(const struct shl_lsm *db, const struct shl_ttl *ttl, int64_t tick,
                      struct shl_row *row)
{
    int64_t at = 0;
    bool has = false;
    if ((row->flags & SHL_ROW_TOMBSTONE) != 0)
        return;
    switch (ttl->kind) {
    case SHL_TTL_DEFAULT:
        has = db->settings.default_ttl_ms != SHL_TTL_NONE &&
              !__builtin_add_overflow(tick, db->settings.default_ttl_ms, &at);
        break;
    case SHL_TTL_AFTER_MS:
        has = !__builtin_add_overflow(tick, ttl->ms, &at); /* overflow: never */
        break;
    case SHL_TTL_AT_MS:
        has = true;
        at = ttl->ms;
        break;
    case SHL_TTL_NEVER:
        break;
    }
    if (has) {
        row->flags |= SHL_ROW_HAS_EXPIRE;
        row->expire_ts = at;
    }
}

static void track_locked(struct shl_lsm *db, uint64_t seq, int64_t tick)
{
    shale_error ignored; /* a point that cannot be recorded is only missing from a time lookup */
    int64_t now_s = tick / 1000;
    size_t n = db->tracker.points.count;
    if (n == 0 || now_s - db->tracker.points.items[n - 1].unix_s >= TRACKER_STEP_S)
        shl_ignore(shl_seq_tracker_add(&db->tracker, seq, now_s, &ignored));
}

uint64_t shl_lsm_wal_limit(const struct shl_lsm *db)
{
    uint64_t limit = db->settings.l0_sst_size_bytes;
    return db->near ? shl_min_u64(limit, NEAR_WAL_BYTES) : limit;
}

/* Wakes the WAL task if this commit gives it something to do that it does not know of. */
static void wake_wal_locked(struct shl_lsm *db, bool log_was_empty)
{
    if (log_was_empty || db->commit_log.encoded_bytes >= shl_lsm_wal_limit(db))
        env_cond_signal(&db->wal_cond);
}

static shale_code commit_locked(struct shl_lsm *db, struct commit *c,
                                const struct shl_lsm_write *how, struct shl_lsm_written *out,
                                shale_error *err)
{
    shale_error ignored;
    shale_code rc = SHALE_OK;
    struct shl_version *v = env_load_relaxed(&db->version);
    struct shl_memtable *active = v->active;
    bool log_was_empty = db->commit_log.rows == 0;
    uint64_t seq = db->last_seq + 1;
    if (how->seq != 0) {
        if (how->seq <= db->last_seq)
            return shl_fail(err, SHALE_INVALID, "seq %" PRIu64 ": it must be greater than %" PRIu64,
                            how->seq, db->last_seq);
        if (how->seq >= SHL_OWN_SEQ && db->txns.oldest != NULL)
            return shl_fail(err, SHALE_INVALID,
                            "seq %" PRIu64
                            ": while a transaction is open it must be below %" PRIu64,
                            how->seq, SHL_OWN_SEQ);
        seq = how->seq;
    }
    if (seq == 0 || seq == UINT64_MAX) /* a stored number may be anything */
        return shl_fail(err, SHALE_INVALID,
                        "seq %" PRIu64 ": no sequence numbers are left after %" PRIu64, seq,
                        db->last_seq);
    if (how->txn != NULL) {
        rc = shl_txn_test_locked(how->txn, err);
        if (rc != SHALE_OK)
            return rc;
    }
    /* A clock that went back does not stop anybody: time stands still until it has caught up. */
    int64_t tick = shl_max_i64(c->now_ms, env_load_relaxed(&db->last_tick));
    rc = shl_memtable_reserve(active, c->count, c->key_value_bytes, err);
    if (rc == SHALE_OK && db->settings.wal_enabled)
        rc = shl_commit_log_reserve(&db->commit_log, c->count, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = 0; i < c->count; i++) {
        struct shl_row *row = &c->rows[i];
        row->seq = seq;
        row->create_ts = tick;
        row->flags |= SHL_ROW_HAS_CREATE;
        expiry_of(db, &c->ttls[i], tick, row);
        const struct shl_mem_entry *e = shl_memtable_add(active, row);
        if (db->settings.wal_enabled) {
            size_t bytes = shl_row_encoded_bytes(row);
            shl_commit_log_add(&db->commit_log, e);
            db->commit_log.encoded_bytes += bytes;
            db->unflushed_wal_bytes += bytes;
        }
    }
    db->last_seq = seq;
    env_store_relaxed(&db->last_tick, tick);
    db->activity++;
    db->counts.write_batches++;
    db->counts.write_ops += c->count;
    db->counts.memtable_bytes_written += c->key_value_bytes;
    track_locked(db, seq, tick);
    if (__builtin_expect(db->txns.oldest != NULL, 0))
        shl_txn_note_commit_locked(db, how->txn, seq, c->rows, c->count);
    env_store_release(&db->committed_seq, seq);
    if (memtable_is_full(db, active))
        shl_ignore(shl_lsm_freeze_locked(
            db, &ignored)); /* out of memory: tried again with the next write */
    if (db->settings.wal_enabled)
        wake_wal_locked(db, log_was_empty);
    *out = (struct shl_lsm_written){.seq = seq, .create_ts = tick};
    return SHALE_OK;
}

static void insert_waiter(struct shl_lsm *db, struct shl_waiter *w)
{
    struct shl_waiter **at = &db->waiters;
    while (*at != NULL && (*at)->seq <= w->seq)
        at = &(*at)->next;
    w->next = *at;
    *at = w;
}

static void remove_waiter(struct shl_lsm *db, struct shl_waiter *w)
{
    for (struct shl_waiter **at = &db->waiters; *at != NULL; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            return;
        }
}

shale_code shl_lsm_wait_durable_locked(struct shl_lsm *db, uint64_t seq, shale_error *err)
{
    struct shl_waiter w = {.seq = seq};
    uint64_t since = 0;
    shale_code rc = SHALE_OK;
    if (env_load_relaxed(&db->durable_seq) >= seq)
        return SHALE_OK;
    env_cond_init(&w.cond);
    insert_waiter(db, &w);
    env_cond_signal(&db->wal_cond);
    while (!w.done && rc == SHALE_OK) {
        if (env_load_relaxed(&db->closed) != SHALE_OK) {
            *err = db->failure;
            rc = err->code;
        } else if (db->settings.wal_enabled) {
            env_cond_wait(&w.cond, &db->mu);
        } else {
            rc = shl_lsm_wait_for_l0_locked(db, &w.cond, &since, err);
        }
    }
    if (w.done)
        rc = SHALE_OK;
    else
        remove_waiter(db, &w);
    env_cond_deinit(&w.cond);
    return rc;
}

static shale_code check_segment(const struct shl_lsm *db, struct shl_slice key, shale_error *err)
{
    size_t len;
    if (db->settings.segment_extractor.kind == SHL_EXTRACT_NONE ||
        (shl_extractor_prefix(&db->settings.segment_extractor, key, &len) && len > 0))
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID, "a key of %zu bytes has no segment prefix (extractor %s)",
                    key.len, db->settings.segment_extractor.name);
}

static bool segments_may_clash(const struct shl_lsm *db)
{
    return db->settings.segment_extractor.kind == SHL_EXTRACT_USER;
}

shale_code shl_lsm_add_segment(struct shl_lsm *db, struct shl_slice key, bool *is_new,
                               shale_error *err)
{
    size_t len = 0;
    *is_new = false;
    if (!segments_may_clash(db) ||
        !shl_extractor_prefix(&db->settings.segment_extractor, key, &len))
        return SHALE_OK;
    return shl_segment_set_add(&db->segments, shl_slice_of(key.data, len), is_new, err);
}

/* The new segments of a commit, for as long as it takes: one that fails leaves none. slatedb-behaviour 12. */
static shale_code commit_with_segments_locked(struct shl_lsm *db, struct commit *c,
                                              const struct shl_lsm_write *how,
                                              struct shl_lsm_written *out, shale_error *err)
{
    bool *is_new = env_calloc(c->count, sizeof *is_new);
    size_t len;
    shale_code rc = is_new != NULL ? SHALE_OK : shl_nomem(err);
    for (size_t i = 0; i < c->count && rc == SHALE_OK; i++)
        rc = shl_lsm_add_segment(db, c->rows[i].key, &is_new[i], err);
    if (rc == SHALE_OK)
        rc = commit_locked(db, c, how, out, err);
    for (size_t i = 0; is_new != NULL && i < c->count && rc != SHALE_OK; i++)
        if (is_new[i] &&
            shl_extractor_prefix(&db->settings.segment_extractor, c->rows[i].key, &len))
            shl_segment_set_remove(&db->segments, shl_slice_of(c->rows[i].key.data, len));
    env_free(is_new);
    return rc;
}

static shale_code commit(struct shl_lsm *db, struct commit *c, const struct shl_lsm_write *how,
                         struct shl_lsm_written *out, shale_error *err)
{
    struct shl_lsm_written written;
    shale_code rc;
    if (!db->writer)
        return shl_fail(err, SHALE_INVALID, "the database is open for reading only");
    for (size_t i = 0; i < c->count; i++)
        if (!shl_add_size(c->key_value_bytes, c->rows[i].key.len + c->rows[i].value.len,
                          &c->key_value_bytes))
            return shl_fail(err, SHALE_INVALID, "batch: too large");
    if (db->settings.segment_extractor.kind != SHL_EXTRACT_NONE)
        for (size_t i = 0; i < c->count; i++) {
            rc = check_segment(db, c->rows[i].key, err);
            if (rc != SHALE_OK)
                return rc;
        }
    c->now_ms = shl_clock_ms(&db->settings.clock);
    env_mutex_lock(&db->mu);
    rc = wait_for_room_locked(db, err); /* mu is held from here to the end of the commit */
    if (rc == SHALE_OK)
        rc = segments_may_clash(db) ? commit_with_segments_locked(db, c, how, &written, err)
                                    : commit_locked(db, c, how, &written, err);
    if (rc == SHALE_OK && how->await_durable)
        rc = shl_lsm_wait_durable_locked(db, written.seq, err);
    env_mutex_unlock(&db->mu);
    if (rc == SHALE_OK && out != NULL)
        *out = written;
    return rc;
}

shale_code shl_lsm_check_kind(const struct shl_lsm *db, uint8_t kind, shale_error *err)
{
    SHL_ASSERT(kind == 0 || kind == SHL_ROW_TOMBSTONE || kind == SHL_ROW_MERGE);
    if (kind == SHL_ROW_MERGE && !db->has_merge)
        return shl_fail(err, SHALE_INVALID, "merge: no merge operator was given at open");
    return SHALE_OK;
}

static shale_code check_sizes(struct shl_slice key, struct shl_slice value, shale_error *err)
{
    if (key.len == 0 || key.len > UINT32_MAX)
        return shl_fail(err, SHALE_INVALID, "key of %zu bytes: 1 to 4294967295 are allowed",
                        key.len);
    if (value.len > UINT32_MAX)
        return shl_fail(err, SHALE_INVALID, "value of %zu bytes: at most 4294967295 are allowed",
                        value.len);
    return SHALE_OK;
}

shale_code shl_lsm_check_row(const struct shl_lsm *db, struct shl_slice key, struct shl_slice value,
                             shale_error *err)
{
    shale_code rc = check_sizes(key, value, err);
    return rc == SHALE_OK ? check_segment(db, key, err) : rc;
}

shale_code shl_lsm_write_one(struct shl_lsm *db, uint8_t kind, struct shl_slice key,
                             struct shl_slice value, struct shl_ttl ttl,
                             const struct shl_lsm_write *how, struct shl_lsm_written *out,
                             shale_error *err)
{
    shale_code rc = shl_lsm_check_kind(db, kind, err);
    if (rc != SHALE_OK)
        return rc;
    rc = check_sizes(key, value, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_row row = {.key = key, .value = value, .flags = kind};
    if (kind == SHL_ROW_TOMBSTONE)
        row.value = shl_slice_of(NULL, 0);
    struct commit c = {.rows = &row, .ttls = &ttl, .count = 1};
    return commit(db, &c, how, out, err);
}

/* ---------------------------------------------------------------- batches: one row per key */

struct fold {
    const struct shl_batch *batch;
    size_t *order;        /* owned: op numbers by (key, number) */
    struct shl_row *rows; /* owned */
    struct shl_ttl *ttls; /* owned */
    size_t count;
    struct shl_buf merged;       /* owned: folded operands; may move while it grows */
    SHL_ARRAY(size_t) merged_at; /* parallel to rows: offset in merged, or SIZE_MAX */
};

static struct shl_slice op_key(const struct shl_batch *b, size_t i)
{
    return shl_slice_of(b->bytes.data + b->ops.items[i].key_offset, b->ops.items[i].key_len);
}

static struct shl_slice op_value(const struct shl_batch *b, size_t i)
{
    return shl_slice_of(b->bytes.data + b->ops.items[i].value_offset, b->ops.items[i].value_len);
}

/* A bottom-up merge sort of op numbers: stable, without recursion, in memory of ours. */
static void sort_ops(const struct shl_batch *b, size_t *order, size_t *scratch)
{
    size_t n = b->ops.count;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = shl_min_size(lo + width, n), hi = shl_min_size(lo + 2 * width, n);
            size_t i = lo, j = mid, k = lo;
            while (i < mid && j < hi)
                scratch[k++] = shl_slice_cmp(op_key(b, order[i]), op_key(b, order[j])) <= 0
                                   ? order[i++]
                                   : order[j++];
            while (i < mid)
                scratch[k++] = order[i++];
            while (j < hi)
                scratch[k++] = order[j++];
        }
        memcpy(order, scratch, n * sizeof *order);
    }
}

static bool same_ttl(const struct shl_ttl *a, const struct shl_ttl *b)
{
    return a->kind == b->kind &&
           (a->ms == b->ms || a->kind == SHL_TTL_DEFAULT || a->kind == SHL_TTL_NEVER);
}

/* Folds the operands order[base+1 .. end) onto the op order[base]; the result goes to f->merged at *at. */
static shale_code fold_merges(const struct shl_lsm *db, struct fold *f, size_t base, size_t end,
                              size_t *at, size_t *len, shale_error *err)
{
    const struct shl_batch *b = f->batch;
    const struct shl_batch_op *first = &b->ops.items[f->order[base]];
    struct shl_slice existing = op_value(b, f->order[base]);
    const struct shl_slice *have = first->kind == SHL_ROW_TOMBSTONE ? NULL : &existing;
    struct shl_buf value = {0}, next = {0};
    shale_code rc = SHALE_OK;
    for (size_t i = base + 1; i < end; i++) {
        const struct shl_batch_op *op = &b->ops.items[f->order[i]];
        if (first->kind == SHL_ROW_MERGE && !same_ttl(&op->ttl, &first->ttl)) {
            rc = shl_fail(err, SHALE_INVALID,
                          "batch: merges of one key with different times to live");
            goto out;
        }
        next.len = 0;
        SHL_TRY(db->merge.merge(db->merge.ctx, op_key(b, f->order[i]), have,
                                op_value(b, f->order[i]), &next, err));
        struct shl_buf swap = value;
        value = next;
        next = swap;
        existing = shl_buf_view(&value);
        have = &existing;
    }
    *at = f->merged.len;
    *len = value.len;
    SHL_TRY(shl_buf_append(&f->merged, value.data, value.len, err));
out:
    shl_buf_free(&value);
    shl_buf_free(&next);
    return rc;
}

/* One key: ops order[start .. end). The last put or delete wins, merges after it are folded onto it. */
static shale_code fold_key(const struct shl_lsm *db, struct fold *f, size_t start, size_t end,
                           shale_error *err)
{
    const struct shl_batch *b = f->batch;
    size_t base = start, merged_at = SIZE_MAX, merged_len = 0;
    for (size_t i = start; i < end; i++)
        if (b->ops.items[f->order[i]].kind != SHL_ROW_MERGE)
            base = i;
    const struct shl_batch_op *op = &b->ops.items[f->order[base]];
    struct shl_row row = {.key = op_key(b, f->order[base]), .flags = op->kind};
    struct shl_ttl ttl = op->ttl;
    if (op->kind != SHL_ROW_TOMBSTONE)
        row.value = op_value(b, f->order[base]);
    if (end - base > 1) {
        shale_code rc = fold_merges(db, f, base, end, &merged_at, &merged_len, err);
        if (rc != SHALE_OK)
            return rc;
        if (op->kind == SHL_ROW_TOMBSTONE)
            ttl = b->ops.items[f->order[base + 1]].ttl;
        row.flags = op->kind == SHL_ROW_MERGE ? SHL_ROW_MERGE : 0;
        row.value = shl_slice_of(NULL, merged_len);
    }
    if (!shl_array_push(&f->merged_at, merged_at))
        return shl_nomem(err);
    f->rows[f->count] = row;
    f->ttls[f->count] = ttl;
    f->count++;
    return SHALE_OK;
}

static shale_code fold_batch(const struct shl_lsm *db, struct fold *f, shale_error *err)
{
    const struct shl_batch *b = f->batch;
    size_t n = b->ops.count;
    f->order = env_calloc(2 * n, sizeof *f->order);
    f->rows = env_calloc(n, sizeof *f->rows);
    f->ttls = env_calloc(n, sizeof *f->ttls);
    if (f->order == NULL || f->rows == NULL || f->ttls == NULL)
        return shl_nomem(err);
    sort_ops(b, f->order, f->order + n);
    for (size_t start = 0; start < n;) {
        size_t end = start + 1;
        while (end < n && shl_slice_eq(op_key(b, f->order[start]), op_key(b, f->order[end])))
            end++;
        shale_code rc = fold_key(db, f, start, end, err);
        if (rc != SHALE_OK)
            return rc;
        start = end;
    }
    for (size_t i = 0; i < f->count; i++)
        if (f->merged_at.items[i] != SIZE_MAX && f->rows[i].value.len > 0)
            f->rows[i].value.data = f->merged.data + f->merged_at.items[i];
    return SHALE_OK;
}

shale_code shl_lsm_write(struct shl_lsm *db, const struct shl_batch *b,
                         const struct shl_lsm_write *how, struct shl_lsm_written *out,
                         shale_error *err)
{
    struct fold f = {.batch = b};
    struct commit c = {0};
    shale_code rc = SHALE_OK;
    if (b->failed == SHALE_NOMEM)
        return shl_nomem(err);
    if (b->failed != SHALE_OK)
        return shl_fail(err, b->failed, "batch: %s", b->why);
    if (b->ops.count == 0)
        return shl_fail(err, SHALE_INVALID, "batch: it is empty");
    for (size_t i = 0; i < b->ops.count; i++)
        SHL_TRY(shl_lsm_check_kind(db, b->ops.items[i].kind, err));
    SHL_TRY(fold_batch(db, &f, err));
    c = (struct commit){.rows = f.rows, .ttls = f.ttls, .count = f.count};
    SHL_TRY(commit(db, &c, how, out, err));
out:
    env_free(f.order);
    env_free(f.rows);
    env_free(f.ttls);
    shl_buf_free(&f.merged);
    shl_array_free(&f.merged_at);
    return rc;
}

shale_code shl_lsm_await_durable(struct shl_lsm *db, uint64_t seq, shale_error *err)
{
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_lock(&db->mu);
    if (seq > db->last_seq)
        rc = shl_fail(err, SHALE_INVALID,
                      "seq %" PRIu64 " was not written yet, the newest is %" PRIu64, seq,
                      db->last_seq);
    else
        rc = shl_lsm_wait_durable_locked(db, seq, err);
    env_mutex_unlock(&db->mu);
    return rc;
}
