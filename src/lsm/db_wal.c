/* The WAL task: takes what was committed, writes it as one object, and wakes who waited. Objects go one at a time in id order: a gap
 * would make the database unreadable for SlateDB. slatedb-behaviour 3.2. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "lsm/sst/sst_write.h"
#include <inttypes.h>

#define WAL_BLOCK_BYTES 65535
#define TOKENS_MAX      600 /* saved ticks of flush_interval, for early PUTs where a PUT costs money */
#define PREFETCH_AHEAD  12
#define NOMEM_TRIES_MAX 100
#define NOMEM_PAUSE_NS  (10 * ENV_NS_PER_MS)

/* ---------------------------------------------------------------- when */

static bool has_timer(const struct shl_lsm *db)
{
    return db->settings.flush_interval_ns != SHL_DURATION_NONE;
}

/* Ticks that passed without a PUT are saved. */
static void count_tokens_locked(struct shl_lsm *db, uint64_t now)
{
    uint64_t interval = db->settings.flush_interval_ns;
    if (!has_timer(db) || interval == 0)
        return;
    uint64_t ticks = (now - db->wal_token_time_ns) / interval;
    db->wal_token_time_ns += ticks * interval;
    db->wal_tokens = db->wal_tokens + ticks > TOKENS_MAX ? TOKENS_MAX : db->wal_tokens + ticks;
}

/* Whether a waiting caller may have its PUT at once. */
static bool early_put_allowed_locked(struct shl_lsm *db, uint64_t now)
{
    if (db->settings.wal_flush != SHL_WAL_FLUSH_ADAPTIVE || db->waiters == NULL)
        return false;
    if (db->put_is_free || !has_timer(db))
        return true;
    count_tokens_locked(db, now);
    return db->wal_tokens > 0;
}

/* True if a WAL object is due now; else *deadline says when to look again (UINT64_MAX: when woken). */
static bool wal_due_locked(struct shl_lsm *db, uint64_t *deadline)
{
    uint64_t now = env_now_mono_ns();
    *deadline = UINT64_MAX;
    if (db->commit_log.rows == 0)
        return false;
    if (db->wal_request_seq > db->durable_wal_seq || db->stopping ||
        db->commit_log.encoded_bytes >= shl_lsm_wal_limit(db))
        return true;
    if (early_put_allowed_locked(db, now))
        return true;
    if (!has_timer(db))
        return false;
    if (now >= db->wal_next_tick_ns)
        return true;
    *deadline = db->wal_next_tick_ns;
    return false;
}

static void wal_started_locked(struct shl_lsm *db)
{
    uint64_t now = env_now_mono_ns();
    if (!has_timer(db))
        return;
    count_tokens_locked(db, now);
    if (db->wal_tokens > 0)
        db->wal_tokens--;
    db->wal_next_tick_ns = now + db->settings.flush_interval_ns;
}

/* ---------------------------------------------------------------- what */

static shale_code encode(struct shl_lsm *db, const struct shl_log_chunk *chunks,
                         struct shl_sst_writer **out, shale_error *err)
{
    struct shl_sst_write_options o = {.block_bytes = WAL_BLOCK_BYTES,
                                      .compression = db->settings.compression,
                                      .transformer = db->has_transformer ? &db->transformer : NULL,
                                      .pool = db->pieces,
                                      .type = SHL_SST_WAL};
    struct shl_sst_info info;
    uint64_t bytes;
    shale_code rc = shl_sst_writer_new(&o, NULL, NULL, out, err);
    if (rc != SHALE_OK)
        return rc;
    for (const struct shl_log_chunk *c = chunks; c != NULL && rc == SHALE_OK; c = c->next)
        for (size_t i = 0; i < c->count && rc == SHALE_OK; i++) {
            struct shl_row row;
            if (i + PREFETCH_AHEAD < c->count) {
                const char *p = (const char *)c->entries[i + PREFETCH_AHEAD];
                __builtin_prefetch(p);
                __builtin_prefetch(p + 64);
                __builtin_prefetch(p + 128);
            }
            shl_mem_entry_row(c->entries[i], &row);
            rc = shl_sst_writer_add(*out, &row, err);
        }
    if (rc == SHALE_OK)
        rc = shl_sst_writer_finish(*out, &info, &bytes, err);
    if (rc != SHALE_OK) {
        shl_sst_writer_free(*out);
        *out = NULL;
    }
    return rc;
}

static shale_code put_wal(struct shl_lsm *db, const char *key, const struct shl_sst_writer *w,
                          shale_error *err)
{
    const struct shl_slice *pieces;
    size_t count;
    shl_sst_writer_bytes(w, &pieces, &count);
    ENV_POINT("wal before put");
    shale_code rc = shl_store_put(db->wal_store, key, pieces, count,
                                  &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL, err);
    ENV_POINT("wal after put");
    if (rc == SHALE_ALREADY_EXISTS)
        rc = shl_fail(err, SHALE_FENCED,
                      "fenced: another process opened \"%s\" as writer: it wrote %s", db->paths.r1,
                      key);
    return rc;
}

/* Key and bytes of the next object. A short lack of memory is waited out: what was committed must not be lost because of it. *key and *w are the
 * caller's to free, on failure too. */
static shale_code encode_patiently(struct shl_lsm *db, uint64_t id,
                                   const struct shl_log_chunk *chunks, char **key,
                                   struct shl_sst_writer **w, shale_error *err)
{
    for (unsigned tries = 1;; tries++) {
        if (*key == NULL)
            *key = shl_name_wal(&db->paths, id);
        shale_code rc = *key != NULL ? encode(db, chunks, w, err) : shl_nomem(err);
        if (rc != SHALE_NOMEM || tries >= NOMEM_TRIES_MAX)
            return rc;
        env_sleep_ns(NOMEM_PAUSE_NS);
    }
}

/* Takes the log and writes it. Called with mu held, returns with mu held. */
static void write_one_locked(struct shl_lsm *db)
{
    size_t rows, bytes;
    shale_error err = {0};
    struct shl_sst_writer *w = NULL;
    char *key = NULL;
    uint64_t id = db->last_wal_id + 1, last_seq = db->last_seq;
    struct shl_log_chunk *chunks = shl_commit_log_take(&db->commit_log, &rows, &bytes);
    db->wal_in_flight = true;
    wal_started_locked(db);
    env_mutex_unlock(&db->mu);

    shale_code rc = encode_patiently(db, id, chunks, &key, &w, &err);
    if (rc == SHALE_OK)
        rc = put_wal(db, key, w, &err);
    env_free(key);
    shl_sst_writer_free(w);
    shl_log_chunks_free(chunks);
    if (rc != SHALE_OK)
        shl_log_write(db->log, SHL_LOG_ERROR, "WAL object %" PRIu64 " not written: %s", id,
                      err.text);

    env_mutex_lock(&db->mu);
    db->wal_in_flight = false;
    db->unflushed_wal_bytes -= bytes;
    if (rc != SHALE_OK) {
        shl_lsm_fail_locked(db, &err);
        return;
    }
    db->last_wal_id = id;
    db->counts.wal_flushes++;
    db->counts.wal_flush_bytes += bytes;
    db->durable_wal_seq = last_seq;
    shl_lsm_durable_locked(db, last_seq);
    env_cond_broadcast(&db->progress_cond);
    env_cond_broadcast(&db->flush_cond); /* a frozen table may be publishable now */
}

/* With the WAL off a waiter is served by a memtable flush, at the pace of the timer. */
static void no_wal_task(struct shl_lsm *db)
{
    shale_error err;
    env_mutex_lock(&db->mu);
    while (!db->stopping && env_load_relaxed(&db->closed) == SHALE_OK) {
        const struct shl_version *v = env_load_relaxed(&db->version);
        if (db->waiters == NULL || db->frozen_count > 0 || shl_memtable_rows(v->active) == 0 ||
            !has_timer(db)) {
            env_cond_wait(&db->wal_cond, &db->mu);
            continue;
        }
        (void)env_cond_wait_until(&db->wal_cond, &db->mu,
                                  env_now_mono_ns() + db->settings.flush_interval_ns);
        if (db->waiters != NULL && db->frozen_count == 0)
            shl_ignore(shl_lsm_freeze_locked(db, &err));
    }
    env_mutex_unlock(&db->mu);
}

void shl_wal_task(void *arg)
{
    struct shl_lsm *db = arg;
    if (!db->settings.wal_enabled) {
        no_wal_task(db);
        return;
    }
    env_mutex_lock(&db->mu);
    while (env_load_relaxed(&db->closed) == SHALE_OK) {
        uint64_t deadline;
        if (wal_due_locked(db, &deadline))
            write_one_locked(db);
        else if (db->stopping)
            break; /* the log is empty and nobody adds to it any more */
        else
            (void)env_cond_wait_until(&db->wal_cond, &db->mu, deadline);
    }
    env_mutex_unlock(&db->mu);
}
