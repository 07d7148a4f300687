/* Snapshots and transactions. A transaction keeps its writes twice: as a batch, which is what a commit writes, and in a memtable of its own, which
 * its reads see. What others commit meanwhile is in the database's conflict log; a commit walks over it twice, first without the lock, and then over
 * what came since, with it. */
#include "lsm/txn.h"

#include "base/assert.h"
#include "lsm/db_internal.h"
#include "lsm/key_set.h"
#include <inttypes.h>

#define KEY_TEXT_BYTES 100

/* A range that a scan asked for. */
struct read_range {
    struct shl_buf from, to; /* owned */
    enum shl_lsm_bound from_kind, to_kind;
    bool is_prefix;
};

struct shl_snapshot {
    struct shl_lsm *db;
    struct shl_pin pin; /* of a writer's handle */
    struct shl_view view;
};

struct shl_txn {
    struct shl_lsm *db;
    bool serializable;
    bool ended;
    const char *how_ended; /* static */
    struct shl_pin pin;
    struct shl_ulid id;
    struct shl_view view; /* own is counted, made by the first write */
    struct shl_batch batch;
    struct shl_key_set reads;
    struct shl_key_set unmarked;
    SHL_ARRAY(struct read_range) ranges;
    uint64_t tested_seq; /* commits up to it do not conflict */
};

/* ---------------------------------------------------------------- pins */

static void pin_locked(struct shl_pin_list *list, struct shl_pin *p, uint64_t seq)
{
    *p = (struct shl_pin){.older = list->newest, .seq = seq};
    SHL_ASSERT(list->newest == NULL || list->newest->seq <= seq);
    if (list->newest != NULL)
        list->newest->newer = p;
    else
        list->oldest = p;
    list->newest = p;
}

static void unpin_locked(struct shl_pin_list *list, struct shl_pin *p)
{
    if (p->older != NULL)
        p->older->newer = p->newer;
    else
        list->oldest = p->newer;
    if (p->newer != NULL)
        p->newer->older = p->older;
    else
        list->newest = p->older;
}

uint64_t shl_lsm_min_seq_locked(const struct shl_lsm *db, uint64_t otherwise)
{
    const struct shl_pin *oldest[] = {db->snapshots.oldest, db->txns.oldest};
    for (size_t i = 0; i < 2; i++)
        if (oldest[i] != NULL && oldest[i]->seq < otherwise)
            otherwise = oldest[i]->seq;
    return otherwise;
}

/* ---------------------------------------------------------------- snapshots */

shale_code shl_snapshot_open(struct shl_lsm *db, struct shl_snapshot **out, shale_error *err)
{
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_snapshot *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return shl_nomem(err);
    s->db = db;
    if (!db->writer)
        s->view.version = shl_lsm_version(db); /* before the seq */
    env_mutex_lock(&db->mu);
    s->view.seq = env_load_relaxed(&db->committed_seq);
    if (db->writer)
        pin_locked(&db->snapshots, &s->pin, s->view.seq);
    env_mutex_unlock(&db->mu);
    *out = s;
    return SHALE_OK;
}

void shl_snapshot_close(struct shl_snapshot *s)
{
    if (s == NULL)
        return;
    if (s->db->writer) {
        env_mutex_lock(&s->db->mu);
        unpin_locked(&s->db->snapshots, &s->pin);
        env_mutex_unlock(&s->db->mu);
    } else {
        shl_version_unref(s->view.version);
    }
    env_free(s);
}

const struct shl_view *shl_snapshot_view(const struct shl_snapshot *s)
{
    return &s->view;
}

struct shl_lsm *shl_snapshot_db(const struct shl_snapshot *s)
{
    return s->db;
}

/* ---------------------------------------------------------------- begin and end */

shale_code shl_txn_begin(struct shl_lsm *db, bool serializable, struct shl_txn **out,
                         shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (!db->writer)
        return shl_fail(err, SHALE_INVALID,
                        "begin: the database is open for reading only; take a snapshot");
    rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_txn *t = env_calloc(1, sizeof *t);
    if (t == NULL)
        return shl_nomem(err);
    t->db = db;
    t->serializable = serializable;
    t->id = shl_uuid_make(env_rand64(), env_rand64());
    shl_batch_init(&t->batch);
    env_mutex_lock(&db->mu);
    uint64_t seq = env_load_relaxed(&db->committed_seq);
    if (seq >= SHL_OWN_SEQ)
        rc = shl_fail(err, SHALE_INVALID,
                      "begin: no sequence numbers are left for transactions after %" PRIu64, seq);
    else
        pin_locked(&db->txns, &t->pin, seq);
    env_mutex_unlock(&db->mu);
    if (rc != SHALE_OK) {
        env_free(t);
        return rc;
    }
    t->view = (struct shl_view){.seq = seq, .own_seq = SHL_OWN_SEQ};
    t->tested_seq = seq;
    *out = t;
    return SHALE_OK;
}

static const char in_conflict[] = "in conflict";

/* What only an open transaction needs. */
static void end(struct shl_txn *t, const char *how)
{
    struct shl_lsm *db = t->db;
    if (t->ended)
        return;
    t->ended = true;
    t->how_ended = how;
    env_mutex_lock(&db->mu);
    db->counts.transactions++;
    db->counts.conflicts += how == in_conflict;
    unpin_locked(&db->txns, &t->pin);
    if (db->txns.oldest == NULL)
        shl_conflict_log_trim(&db->conflicts, UINT64_MAX);
    else
        shl_conflict_log_trim(&db->conflicts, db->txns.oldest->seq);
    env_mutex_unlock(&db->mu);
    shl_batch_deinit(&t->batch);
    shl_memtable_unref(t->view.own);
    shl_key_set_deinit(&t->reads);
    shl_key_set_deinit(&t->unmarked);
    for (size_t i = 0; i < t->ranges.count; i++) {
        shl_buf_free(&t->ranges.items[i].from);
        shl_buf_free(&t->ranges.items[i].to);
    }
    shl_array_free(&t->ranges);
    t->batch = (struct shl_batch){0};
    t->view.own = NULL;
}

void shl_txn_rollback(struct shl_txn *t)
{
    end(t, "rolled back");
}

void shl_txn_close(struct shl_txn *t)
{
    if (t == NULL)
        return;
    end(t, "closed");
    env_free(t);
}

struct shl_ulid shl_txn_id(const struct shl_txn *t)
{
    return t->id;
}

uint64_t shl_txn_started_seq(const struct shl_txn *t)
{
    return t->view.seq;
}

size_t shl_txn_writes(const struct shl_txn *t)
{
    return t->batch.ops.count;
}

static shale_code check(const struct shl_txn *t, shale_error *err)
{
    if (t->ended)
        return shl_fail(err, SHALE_INVALID, "the transaction has ended: it was %s", t->how_ended);
    return shl_lsm_check(t->db, err);
}

/* ---------------------------------------------------------------- writing */

static shale_code check_write(const struct shl_txn *t, uint8_t kind, struct shl_slice key,
                              struct shl_slice value, shale_error *err)
{
    shale_code rc = check(t, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_lsm_check_kind(t->db, kind, err);
    if (rc != SHALE_OK)
        return rc;
    return shl_lsm_check_row(t->db, key, value, err);
}

shale_code shl_txn_write(struct shl_txn *t, uint8_t kind, struct shl_slice key,
                         struct shl_slice value, struct shl_ttl ttl, shale_error *err)
{
    if (kind == SHL_ROW_TOMBSTONE)
        value = shl_slice_of(NULL, 0);
    shale_code rc = check_write(t, kind, key, value, err);
    if (rc == SHALE_OK && t->view.own == NULL)
        rc = shl_memtable_new(NULL, &t->view.own, err);
    if (rc == SHALE_OK)
        rc = shl_memtable_reserve(t->view.own, 1, key.len + value.len, err);
    if (rc != SHALE_OK)
        return rc;
    shl_batch_add(&t->batch, kind, key, value, ttl);
    if (t->batch.failed != SHALE_OK) { /* only of memory: the rest was checked */
        t->batch.failed = SHALE_OK;
        return shl_nomem(err);
    }
    struct shl_row row = {.key = key, .value = value, .seq = ++t->view.own_seq, .flags = kind};
    if (ttl.kind == SHL_TTL_AT_MS && kind != SHL_ROW_TOMBSTONE) {
        row.flags |= SHL_ROW_HAS_EXPIRE;
        row.expire_ts = ttl.ms;
    }
    (void)shl_memtable_add(t->view.own, &row);
    return SHALE_OK;
}

shale_code shl_txn_mark_read(struct shl_txn *t, struct shl_slice key, shale_error *err)
{
    shale_code rc = check(t, err);
    return rc == SHALE_OK ? shl_key_set_add(&t->reads, key, err) : rc;
}

shale_code shl_txn_unmark_write(struct shl_txn *t, struct shl_slice key, shale_error *err)
{
    shale_code rc = check(t, err);
    return rc == SHALE_OK ? shl_key_set_add(&t->unmarked, key, err) : rc;
}

/* ---------------------------------------------------------------- reading */

static shale_code note_read(struct shl_txn *t, struct shl_slice key, shale_error *err)
{
    return t->serializable ? shl_key_set_add(&t->reads, key, err) : SHALE_OK;
}

static void hide_own_seq(struct shl_lsm_pinned *p)
{
    if (p->seq >= SHL_OWN_SEQ)
        p->seq = UINT64_MAX; /* it gets one when it is committed */
}

shale_code shl_txn_get(struct shl_txn *t, struct shl_slice key, const struct shl_lsm_read *how,
                       struct shl_lsm_pinned *out, shale_error *err)
{
    struct shl_lsm_read mine = *how;
    shale_code rc = check(t, err);
    if (rc == SHALE_OK)
        rc = note_read(t, key, err);
    if (rc != SHALE_OK)
        return rc;
    mine.view = &t->view;
    rc = shl_lsm_get(t->db, key, &mine, out, err);
    if (rc == SHALE_OK)
        hide_own_seq(out);
    return rc;
}

struct many {
    const struct shl_lsm_keys *keys;
};

static struct shl_slice many_key(void *ctx, size_t i)
{
    const struct many *m = ctx;
    return m->keys->key(m->keys->ctx, i);
}

static void many_found(void *ctx, size_t i, const struct shl_lsm_pinned *take_value)
{
    const struct many *m = ctx;
    struct shl_lsm_pinned found = *take_value;
    hide_own_seq(&found);
    m->keys->found(m->keys->ctx, i, &found);
}

shale_code shl_txn_get_many(struct shl_txn *t, const struct shl_lsm_keys *keys,
                            const struct shl_lsm_read *how, shale_error *err)
{
    struct shl_lsm_read mine = *how;
    struct many many = {.keys = keys};
    const struct shl_lsm_keys wrapped = {
        .ctx = &many, .count = keys->count, .key = many_key, .found = many_found};
    shale_code rc = check(t, err);
    for (size_t i = 0; i < keys->count && rc == SHALE_OK; i++)
        rc = note_read(t, keys->key(keys->ctx, i), err);
    if (rc != SHALE_OK)
        return rc;
    mine.view = &t->view;
    return shl_lsm_get_many(t->db, &wrapped, &mine, err);
}

static bool same_range(const struct read_range *a, const struct shl_lsm_range *b)
{
    return a->is_prefix == b->is_prefix && a->from_kind == b->from_kind &&
           a->to_kind == b->to_kind && shl_slice_eq(shl_buf_view(&a->from), b->from) &&
           shl_slice_eq(shl_buf_view(&a->to), b->to);
}

static shale_code note_range(struct shl_txn *t, const struct shl_lsm_range *range, shale_error *err)
{
    struct read_range r = {
        .from_kind = range->from_kind, .to_kind = range->to_kind, .is_prefix = range->is_prefix};
    shale_code rc = SHALE_OK;
    if (!t->serializable)
        return SHALE_OK;
    for (size_t i = 0; i < t->ranges.count; i++)
        if (same_range(&t->ranges.items[i], range))
            return SHALE_OK;
    if (!shl_array_reserve(&t->ranges, 1))
        return shl_nomem(err);
    SHL_TRY(shl_buf_set(&r.from, range->from, err));
    SHL_TRY(shl_buf_set(&r.to, range->to, err));
    shl_array_add(&t->ranges, r);
    return SHALE_OK;
out:
    shl_buf_free(&r.from);
    shl_buf_free(&r.to);
    return rc;
}

shale_code shl_txn_scan(struct shl_txn *t, const struct shl_lsm_range *range,
                        const struct shl_lsm_scan *how, struct shl_lsm_iter **out, shale_error *err)
{
    struct shl_lsm_scan mine = *how;
    shale_code rc = check(t, err);
    if (rc == SHALE_OK)
        rc = note_range(t, range, err);
    if (rc != SHALE_OK)
        return rc;
    mine.view = &t->view;
    return shl_lsm_scan_open(t->db, range, &mine, out, err);
}

/* ---------------------------------------------------------------- conflicts */

static bool in_range(const struct read_range *r, struct shl_slice key)
{
    struct shl_slice from = shl_buf_view(&r->from);
    if (r->is_prefix)
        return key.len >= from.len && shl_slice_eq(shl_slice_of(key.data, from.len), from);
    if (r->from_kind != SHL_LSM_UNBOUNDED) {
        int c = shl_slice_cmp(key, from);
        if (c < 0 || (c == 0 && r->from_kind == SHL_LSM_EXCLUDED))
            return false;
    }
    if (r->to_kind == SHL_LSM_UNBOUNDED)
        return true;
    int c = shl_slice_cmp(key, shl_buf_view(&r->to));
    return c < 0 || (c == 0 && r->to_kind == SHL_LSM_INCLUDED);
}

/* What the transaction did with a key that somebody else wrote; NULL: nothing. */
static const char *use_of(const struct shl_txn *t, struct shl_slice key)
{
    if (t->view.own != NULL && shl_memtable_get(t->view.own, key, UINT64_MAX) != NULL &&
        !shl_key_set_has(&t->unmarked, key))
        return "wrote";
    if (shl_key_set_has(&t->reads, key))
        return "read";
    for (size_t i = 0; i < t->ranges.count; i++)
        if (in_range(&t->ranges.items[i], key))
            return "scanned over";
    return NULL;
}

/* Printable bytes as they are, others as \xNN, cut where the room ends. */
static const char *key_text(struct shl_slice key, char out[KEY_TEXT_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, i = 0;
    for (; i < key.len && n + 8 < KEY_TEXT_BYTES; i++) {
        uint8_t b = key.data[i];
        if (b >= 0x20 && b < 0x7f && b != '"' && b != '\\') {
            out[n++] = (char)b;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[b >> 4];
        out[n++] = hex[b & 15];
    }
    for (size_t dots = 0; i < key.len && dots < 3; dots++)
        out[n++] = '.';
    out[n] = '\0';
    return out;
}

static shale_code walk(const struct shl_txn *t, struct shl_conflict_walk *w, uint64_t *newest,
                       shale_error *err)
{
    struct shl_slice key;
    uint64_t seq;
    char text[KEY_TEXT_BYTES];
    while (shl_conflict_walk_next(w, &key, &seq)) {
        const char *use = use_of(t, key);
        *newest = seq;
        if (use != NULL)
            return shl_fail(err, SHALE_CONFLICT,
                            "transaction conflict: the key \"%s\", which the transaction %s, was "
                            "written by seq %" PRIu64 " after it began at seq %" PRIu64
                            "; nothing was written, run it again",
                            key_text(key, text), use, seq, t->view.seq);
    }
    return SHALE_OK;
}

static shale_code check_lost(const struct shl_txn *t, shale_error *err)
{
    const struct shl_conflict_log *l = &t->db->conflicts;
    if (t->tested_seq >= l->lost_seq)
        return SHALE_OK;
    return shl_fail(err, SHALE_CONFLICT,
                    "the transaction is too old: since it began at seq %" PRIu64
                    " more keys were written than are remembered (transaction_log_bytes = %zu); "
                    "nothing was written, run it again",
                    t->view.seq, l->max_bytes);
}

shale_code shl_txn_test_locked(struct shl_txn *t, shale_error *err)
{
    struct shl_conflict_walk w;
    uint64_t newest = t->tested_seq;
    shale_code rc = check_lost(t, err);
    if (rc != SHALE_OK)
        return rc;
    shl_conflict_walk_begin(&t->db->conflicts, &w, t->tested_seq);
    rc = walk(t, &w, &newest, err);
    shl_conflict_walk_end(&t->db->conflicts);
    return rc;
}

/* What is known so far, without holding up writers. */
static shale_code test_ahead(struct shl_txn *t, shale_error *err)
{
    struct shl_lsm *db = t->db;
    struct shl_conflict_walk w;
    uint64_t newest = t->tested_seq;
    env_mutex_lock(&db->mu);
    shale_code rc = check_lost(t, err);
    shl_conflict_walk_begin(&db->conflicts, &w, t->tested_seq);
    uint64_t committed = env_load_relaxed(&db->committed_seq);
    env_mutex_unlock(&db->mu);
    if (rc == SHALE_OK)
        rc = walk(t, &w, &newest, err);
    env_mutex_lock(&db->mu);
    shl_conflict_walk_end(&db->conflicts);
    env_mutex_unlock(&db->mu);
    if (rc == SHALE_OK)
        t->tested_seq = committed;
    return rc;
}

void shl_txn_note_commit_locked(struct shl_lsm *db, const struct shl_txn *txn, uint64_t seq,
                                const struct shl_row *rows, size_t count)
{
    bool is_alone = txn != NULL && db->txns.oldest == &txn->pin && db->txns.newest == &txn->pin;
    if (is_alone)
        return;
    if (txn == NULL || txn->unmarked.keys.count == 0) {
        shl_conflict_log_add(&db->conflicts, seq, rows, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!shl_key_set_has(&txn->unmarked, rows[i].key))
            shl_conflict_log_add(&db->conflicts, seq, &rows[i], 1);
}

static shale_code commit(struct shl_txn *t, bool await_durable, uint64_t seq,
                         struct shl_lsm_written *out, shale_error *err)
{
    const struct shl_lsm_write how = {.await_durable = await_durable, .seq = seq, .txn = t};
    bool has_tests = t->batch.ops.count > 0 || t->reads.keys.count > 0 || t->ranges.count > 0;
    shale_code rc = check(t, err);
    if (rc != SHALE_OK || !has_tests)
        return rc;
    rc = test_ahead(t, err);
    if (rc != SHALE_OK || t->batch.ops.count == 0)
        return rc;
    return shl_lsm_write(t->db, &t->batch, &how, out, err);
}

shale_code shl_txn_commit(struct shl_txn *t, bool await_durable, uint64_t seq,
                          struct shl_lsm_written *out, shale_error *err)
{
    struct shl_lsm_written written = {0};
    if (t->ended)
        return check(t, err);
    shale_code rc = commit(t, await_durable, seq, &written, err);
    end(t, rc == SHALE_OK ? "committed" : rc == SHALE_CONFLICT ? in_conflict : "not committed");
    if (rc == SHALE_OK && out != NULL)
        *out = written;
    return rc;
}
