/* Between the folder and the bucket: the index read and committed, data files sent and fetched. */
#include "s4/db.h"

#include "base/assert.h"
#include "base/codec/ulid.h"
#include "base/num.h"
#include "store/backend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SEND_AT_ONCE 3 /* each holds a whole file in memory */
#define SEND_TRIES   4
#define COLLECTED_NS                                                                               \
    (600 * ENV_NS_PER_SEC) /* what no index names for so long a collector may have taken */
#define PAUSE_FIRST_NS ENV_NS_PER_MS
#define PAUSE_MAX_NS   (200 * ENV_NS_PER_MS)

/* ---- several at once */

struct each {
    shale_code (*work)(void *ctx, size_t i, shale_error *err);
    void *ctx;
    size_t count;
    struct env_mutex mu;
    size_t next;     /* [mu] */
    shale_code rc;   /* [mu] the first failure */
    shale_error err; /* [mu] */
};

static void each_task(void *arg)
{
    struct each *e = arg;
    for (;;) {
        shale_error err;
        env_mutex_lock(&e->mu);
        size_t i = e->next < e->count && e->rc == SHALE_OK ? e->next++ : e->count;
        env_mutex_unlock(&e->mu);
        if (i == e->count)
            return;
        shale_code rc = e->work(e->ctx, i, &err);
        if (rc == SHALE_OK)
            continue;
        env_mutex_lock(&e->mu);
        if (e->rc == SHALE_OK) {
            e->rc = rc;
            e->err = err;
        }
        env_mutex_unlock(&e->mu);
    }
}

#define TASKS_MAX 64

shale_code shl_s4_each(struct shl_s4 *db, size_t count, unsigned at_once,
                       shale_code (*work)(void *ctx, size_t i, shale_error *err), void *ctx,
                       shale_error *err)
{
    struct each e = {.work = work, .ctx = ctx, .count = count};
    struct env_task *tasks[TASKS_MAX];
    size_t started = 0;
    size_t want = shl_min_size(shl_min_size(at_once, count), TASKS_MAX);
    if ((db->store->caps & SHL_STORE_NEAR) != 0)
        want = 1;
    env_mutex_init(&e.mu);
    while (started + 1 < want &&
           env_task_spawn(&tasks[started], "s4", each_task, &e) == SHALE_OK) /* else fewer do it */
        started++;
    each_task(&e);
    while (started > 0)
        env_task_join(tasks[--started]);
    env_mutex_deinit(&e.mu);
    if (e.rc != SHALE_OK)
        *err = e.err;
    return e.rc;
}

/* ---- the index: in */

static shale_code parse_index(struct shl_s4 *db, struct shl_slice blob, struct shl_s4_map **out,
                              struct shl_s4_index_head *head, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    shale_code rc;
    struct shl_s4_map *map = shl_s4_map_new();
    if (map == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_s4_key(db, SHL_S4_INDEX_NAME, key, err));
    rc = shl_s4_index_load(&map->index, blob, head, err);
    if (rc == SHALE_CORRUPTION)
        shl_err_prefix(err, "%s", key);
    SHL_TRY(rc);
    *out = map;
    return SHALE_OK;
out:
    shl_s4_map_unref(db, map);
    return rc;
}

/* What is known of the index object from now on. */
static void remember_index(struct shl_s4 *db, struct shl_slice blob, const char *etag)
{
    (void)snprintf(db->index_etag, sizeof db->index_etag, "%s", etag);
    db->index_bytes = blob.len;
    db->index_version = blob.len > 0 ? blob.data[0] : 0;
}

static shale_code no_index(struct shl_s4 *db, const char *key, shale_error *err)
{
    if (!db->settings.must_exist || db->settings.index_unread)
        return SHALE_OK;
    return shl_fail(err, SHALE_NOT_FOUND, "no string store here: %s is not there", key);
}

shale_code shl_s4_read_index(struct shl_s4 *db, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    struct shl_buf body = {0};
    struct shl_object object = {0};
    struct shl_s4_index_head head;
    struct shl_s4_map *map = NULL;
    shale_code rc;
    SHL_TRY(shl_s4_key(db, SHL_S4_INDEX_NAME, key, err));
    rc = shl_store_get(db->store, key, NULL, &body, &object, err);
    if (rc == SHALE_NOT_FOUND) {
        rc = no_index(db, key, err);
        goto out;
    }
    SHL_TRY(rc);
    rc = parse_index(db, shl_buf_view(&body), &map, &head, err);
    if (rc == SHALE_CORRUPTION && db->settings.index_unread) {
        shl_log_write(db->log, SHL_LOG_WARN, "the index is damaged: %s", err->text);
        remember_index(db, shl_buf_view(&body), object.etag);
        db->index_version = 0;
        rc = SHALE_OK;
    } else if (rc == SHALE_OK) {
        remember_index(db, shl_buf_view(&body), object.etag);
        db->next_file_num = head.next_file_num;
        shl_s4_map_set(db, map, false);
    }
out:
    shl_buf_free(&body);
    return rc;
}

shale_code shl_s4_apply_journal(struct shl_s4 *db, struct shl_s4_index *to, shale_error *err)
{
    struct shl_s4_cursor c = {0};
    struct shl_slice key;
    struct shl_s4_loc loc;
    uint32_t ref;
    while (shl_s4_index_next(&db->journal, &c, &key, &loc, &ref)) {
        if (loc.length == 0) {
            (void)shl_s4_index_remove(to, key);
            continue;
        }
        shale_code rc = shl_s4_index_put(to, key, loc, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* A newer index than ours. */
static shale_code adopt_index(struct shl_s4 *db, struct shl_slice blob, const char *etag,
                              shale_error *err)
{
    struct shl_s4_index_head head;
    struct shl_s4_map *map = NULL;
    shale_code rc;
    SHL_TRY(parse_index(db, blob, &map, &head, err));
    SHL_TRY(shl_s4_settle_lost(db, &map->index, err));
    SHL_TRY(shl_s4_apply_journal(db, &map->index, err));
    remember_index(db, blob, etag);
    db->next_file_num = (uint32_t)shl_max_u64(db->next_file_num, head.next_file_num);
    if (db->journal.count == 0 && !db->unsaved)
        shl_s4_committed(db);
    shl_s4_map_set(db, map, false);
    map = NULL; /* moved to the handle */
out:
    shl_s4_map_unref(db, map);
    return rc;
}

shale_code shl_s4_reload(struct shl_s4 *db, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    struct shl_buf body = {0};
    struct shl_object object = {0};
    const struct shl_get how = {.kind = SHL_GET_ALL,
                                .if_none_match = db->index_etag[0] != '\0' ? db->index_etag : NULL};
    shale_code rc;
    SHL_TRY(shl_s4_key(db, SHL_S4_INDEX_NAME, key, err));
    rc = shl_store_get(db->store, key, &how, &body, &object, err);
    if (rc == SHALE_OK)
        rc = adopt_index(db, shl_buf_view(&body), object.etag, err);
    else if (rc == SHALE_NOT_MODIFIED || (rc == SHALE_NOT_FOUND && how.if_none_match == NULL))
        rc = SHALE_OK;
    else if (rc == SHALE_NOT_FOUND)
        rc =
            shl_fail(err, SHALE_CORRUPTION,
                     "%s is gone: it was there before. Rebuild the index from the data files", key);
out:
    shl_buf_free(&body);
    return rc;
}

shale_code shl_s4_refresh(struct shl_s4 *db, shale_error *err)
{
    shl_s4_take_turn(db);
    shale_code rc = shl_s4_reload(db, err);
    shl_s4_end_turn(db);
    return rc;
}

/* ---- conditional puts */

struct conditional {
    struct shl_put how;
    char put_id[SHL_ULID_TEXT];
};

/* etag "": only if the object is not there. */
static void condition(const struct shl_s4 *db, const char *etag, bool none, struct conditional *c)
{
    *c = (struct conditional){.how = {.mode = SHL_PUT_OVERWRITE}};
    if (none || db->settings.unfenced)
        return;
    shl_ulid_format(
        shl_ulid_make((uint64_t)env_now_wall_ms() & SHL_ULID_MS_MAX, env_rand64(), env_rand64()),
        c->put_id);
    c->how.mode = etag[0] != '\0' ? SHL_PUT_IF_MATCH : SHL_PUT_CREATE;
    c->how.if_match = etag[0] != '\0' ? etag : NULL;
    c->how.put_id = c->put_id;
}

static shale_code check_etag(const struct shl_s4 *db, const char *key,
                             const struct shl_object *object, shale_error *err)
{
    if (object->etag[0] != '\0' || db->settings.unfenced)
        return SHALE_OK;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "%s: %s gives no ETag", key, db->store->name);
}

bool shl_s4_fate_is_unknown(shale_code rc)
{
    return rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT || rc == SHALE_INTERNAL;
}

/* ---- the index: out */

/* An index of generation 1 has numbers only, no writers. */
static shale_code check_writers(const struct shl_s4 *db, const struct shl_s4_index *x,
                                shale_error *err)
{
    struct shl_s4_ids named = {0};
    char name[SHL_S4_NAME_BYTES];
    if (db->settings.format != 1)
        return SHALE_OK;
    shale_code rc = shl_s4_index_files(x, &named, err);
    if (rc == SHALE_OK && named.ids.count > 0 &&
        shl_s4_writer_of(named.ids.items[named.ids.count - 1]) != 0) {
        shl_s4_name(named.ids.items[named.ids.count - 1], name);
        rc = shl_fail(err, SHALE_INVALID,
                      "format 1: %s is of generation 2, which no index of generation 1 can name",
                      name);
    }
    shl_s4_ids_free(&named);
    return rc;
}

/* An answer was lost on the way, whatever the last one was. */
static bool is_open(const shale_error *err)
{
    return strncmp(err->text, SHL_OUTCOME_UNKNOWN, sizeof SHL_OUTCOME_UNKNOWN - 1) == 0;
}

shale_code shl_s4_put_index(struct shl_s4 *db, const struct shl_s4_index *x, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    struct shl_buf blob = {0};
    struct shl_object object = {0};
    struct conditional c;
    struct shl_slice part;
    uint32_t next = db->next_file_num;
    shale_code rc;
    if (db->settings.format == 1 && db->seq_known)
        next = (uint32_t)shl_max_u64(next, (uint64_t)db->seq + 1);
    SHL_TRY(shl_s4_key(db, SHL_S4_INDEX_NAME, key, err));
    SHL_TRY(check_writers(db, x, err));
    SHL_TRY(shl_s4_index_encode(x, (uint8_t)db->settings.format, next, &blob, err));
    part = shl_buf_view(&blob);
    if (db->noted || db->adopted_count > 0) {
        /* So that what comes back after a crash is all of this commit, should it get through. */
        SHL_TRY(shl_s4_sync_files(db, err));
        SHL_TRY(shl_s4_note(db, true, err));
    }
    ENV_POINT("s4 index");
    condition(db, db->index_etag, false, &c);
    rc = shl_store_put(db->store, key, &part, 1, &c.how, &object, err);
    if (rc == SHALE_ALREADY_EXISTS)
        rc = SHALE_PRECONDITION;
    if (rc != SHALE_OK && (shl_s4_fate_is_unknown(rc) || is_open(err)))
        db->tried = true;
    SHL_TRY(rc);
    SHL_TRY(check_etag(db, key, &object, err));
    remember_index(db, part, object.etag);
    db->next_file_num = next;
out:
    shl_buf_free(&blob);
    return rc;
}

void shl_s4_committed(struct shl_s4 *db)
{
    shl_s4_index_free(&db->journal);
    shl_s4_index_init(&db->journal);
    shl_s4_forget_bases(db);
    db->unsaved = db->homeless = false;
    for (size_t i = 0; i < db->files.count; i++) {
        struct shl_s4_file *f = &db->files.items[i];
        f->from = f->size;
        /* A temporary folder holds what is not in the bucket, not all that was ever written. */
        if (db->local.temporary && !f->dirty && f->id != db->active)
            shl_s4_local_remove(&db->local, f->id);
    }
    ENV_POINT("s4 committed");
    shl_s4_unnote(db);
}

void shl_s4_pause(unsigned lost)
{
    uint64_t most = PAUSE_FIRST_NS << shl_min_u64(lost, 8);
    env_sleep_ns(env_rand_below(shl_min_u64(most, PAUSE_MAX_NS)));
}

/* ---- data files: out */

/* The bytes of the local file that count. */
static shale_code read_local(struct shl_s4 *db, const struct shl_s4_file *f, struct shl_buf *out,
                             shale_error *err)
{
    char name[SHL_S4_NAME_BYTES];
    size_t got;
    shale_code rc = shl_buf_reserve(out, (size_t)f->size, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_s4_local_read(&db->local, f->id, 0, out->data, (size_t)f->size, &got, err);
    out->len = got;
    if (rc != SHALE_OK || got == f->size)
        return rc;
    shl_s4_name(f->id, name);
    return shl_fail(err, SHALE_CORRUPTION,
                    "the local %s has %zu bytes, and %" PRIu64
                    " were written: it cannot be uploaded any more",
                    name, got, f->size);
}

/* Finds out what the bucket has of a file whose object is not as expected. Only who has the writer's id writes it, so it is a beginning of ours,
 * or not there (compacted away), or another writer drew the same id. */
static shale_code settle_file(struct shl_s4 *db, struct shl_s4_file *f, const char *key,
                              struct shl_slice ours, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_object object = {0};
    size_t same;
    shale_code rc = shl_store_get(db->store, key, NULL, &body, &object, err);
    if (rc == SHALE_NOT_FOUND) {
        f->etag[0] = '\0';
        f->unsure = false;
        shl_buf_free(&body);
        return SHALE_OK;
    }
    SHL_TRY(rc);
    same = shl_min_size(body.len, ours.len);
    if (same > 0 && memcmp(body.data, ours.data, same) != 0) {
        rc = shl_fail(err, SHALE_CONFLICT, "%s holds what another writer wrote", key);
        goto out;
    }
    memcpy(f->etag, object.etag, sizeof f->etag);
    f->unsure = false;
    if (body.len >= ours.len)
        f->dirty = false;
out:
    shl_buf_free(&body);
    return rc;
}

static shale_code put_file(struct shl_s4 *db, struct shl_s4_file *f, const char *key,
                           struct shl_slice ours, shale_error *err)
{
    struct shl_object object = {0};
    struct conditional c;
    condition(db, f->etag, f->unconditional, &c);
    shale_code rc = shl_store_put(db->store, key, &ours, 1, &c.how, &object, err);
    if (shl_s4_fate_is_unknown(rc))
        f->unsure = true;
    if (rc != SHALE_OK)
        return rc;
    rc = check_etag(db, key, &object, err);
    if (rc != SHALE_OK)
        return rc;
    memcpy(f->etag, object.etag, sizeof f->etag);
    f->dirty = f->unsure = f->unconditional = false;
    f->sent_ns = env_now_mono_ns();
    return SHALE_OK;
}

static shale_code send_file(struct shl_s4 *db, struct shl_s4_file *f, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    struct shl_buf body = {0};
    shale_code rc;
    SHL_TRY(shl_s4_file_key(db, f->id, key, err));
    SHL_TRY(read_local(db, f, &body, err));
    for (unsigned tries = 0; f->dirty; tries++) {
        if (f->unsure && !f->unconditional)
            SHL_TRY(settle_file(db, f, key, shl_buf_view(&body), err));
        if (!f->dirty)
            break;
        rc = put_file(db, f, key, shl_buf_view(&body), err);
        bool refused = rc == SHALE_ALREADY_EXISTS || rc == SHALE_PRECONDITION;
        if (refused && tries + 1 == SEND_TRIES)
            rc = shl_fail(err, SHALE_CONFLICT, "%s changes under our hands", key);
        else if (refused)
            f->unsure = true;
        if (!refused || tries + 1 == SEND_TRIES)
            SHL_TRY(rc);
    }
    ENV_POINT("s4 file sent");
out:
    shl_buf_free(&body);
    return rc;
}

struct sending {
    struct shl_s4 *db;
    SHL_ARRAY(size_t) which; /* of files; in order of names */
};

static shale_code send_one(void *ctx, size_t i, shale_error *err)
{
    struct sending *s = ctx;
    return send_file(s->db, &s->db->files.items[s->which.items[i]], err);
}

bool shl_s4_is_sealed(const struct shl_s4 *db, const struct shl_s4_file *f)
{
    return f->etag[0] != '\0' &&
           (env_now_mono_ns() - f->sent_ns) / ENV_NS_PER_MS >= db->settings.seal_ms;
}

shale_code shl_s4_send_files(struct shl_s4 *db, shale_error *err)
{
    struct sending s = {.db = db};
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < db->files.count; i++) {
        if (!db->files.items[i].dirty)
            continue;
        if (!shl_array_push(&s.which, i))
            SHL_TRY(shl_nomem(err));
        for (size_t at = s.which.count - 1; at > 0; at--) { /* by name */
            size_t *pair = &s.which.items[at - 1];
            if (db->files.items[pair[0]].id < db->files.items[pair[1]].id)
                break;
            size_t swap = pair[0];
            pair[0] = pair[1];
            pair[1] = swap;
        }
    }
    SHL_TRY(shl_s4_each(db, s.which.count, SEND_AT_ONCE, send_one, &s, err));
out:
    shl_array_free(&s.which);
    return rc;
}

/* ---- upload */

static bool nothing_to_commit(const struct shl_s4 *db)
{
    return db->journal.count == 0 && !db->unsaved && db->index_etag[0] != '\0';
}

/* PRECONDITION becomes CONFLICT, or a newer index to go on from. */
static shale_code lost_race(struct shl_s4 *db, bool rebase, unsigned lost, shale_error *err)
{
    char key[SHL_S4_KEY_BYTES];
    shale_code rc = shl_s4_key(db, SHL_S4_INDEX_NAME, key, err);
    if (rc != SHALE_OK)
        return rc;
    if (!rebase || db->settings.format == 1 || db->unsaved)
        return shl_fail(err, SHALE_CONFLICT, "%s: another writer committed since it was read", key);
    if (lost == SHL_S4_RACES_MAX)
        return shl_fail(err, SHALE_CONFLICT, "%s: lost the race against other writers %u times",
                        key, lost);
    shl_s4_pause(lost);
    return shl_s4_reload(db, err);
}

static shale_code commit(struct shl_s4 *db, bool rebase, shale_error *err)
{
    for (unsigned lost = 0;;) {
        if (nothing_to_commit(db))
            return SHALE_OK;
        shale_code rc = shl_s4_put_index(db, &db->map->index, err);
        if (rc == SHALE_OK)
            shl_s4_committed(db);
        if (rc != SHALE_PRECONDITION)
            return rc;
        rc = lost_race(db, rebase, ++lost, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

shale_code shl_s4_upload(struct shl_s4 *db, bool rebase, shale_error *err)
{
    shale_code rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    SHL_TRY(shl_s4_rehome(db, err));
    SHL_TRY(shl_s4_send_files(db, err));
    SHL_TRY(commit(db, rebase, err));
out:
    shl_s4_end_turn(db);
    return rc;
}

/* ---- flush */

shale_code shl_s4_sync_files(struct shl_s4 *db, shale_error *err)
{
    bool any = false;
    for (size_t i = 0; i < db->files.count; i++) {
        struct shl_s4_file *f = &db->files.items[i];
        if (f->flushed == f->size || (!f->dirty && f->from == f->size))
            continue;
        shale_code rc = shl_s4_local_sync(&db->local, f->id, err);
        if (rc != SHALE_OK)
            return rc;
        f->flushed = f->size;
        any = true;
    }
    return any ? shl_s4_local_sync_folder(&db->local, err) : SHALE_OK;
}

shale_code shl_s4_flush(struct shl_s4 *db, shale_error *err)
{
    struct shl_buf blob = {0};
    shale_code rc = shl_s4_begin_write(db, err);
    if (rc != SHALE_OK)
        return rc;
    SHL_TRY(shl_s4_local_make(&db->local, err));
    if (!db->local.temporary) {
        SHL_TRY(shl_s4_rehome(db, err));
        SHL_TRY(shl_s4_sync_files(db, err));
        SHL_TRY(shl_s4_note(db, false, err));
    }
    SHL_TRY(shl_s4_index_encode(&db->map->index, (uint8_t)db->settings.format, db->next_file_num,
                                &blob, err));
    SHL_TRY(shl_s4_local_put(&db->local, SHL_S4_INDEX_NAME, shl_buf_view(&blob), false, err));
out:
    shl_s4_end_turn(db);
    shl_buf_free(&blob);
    return rc;
}

/* ---- download */

struct fetching {
    struct shl_s4 *db;
    const uint64_t *files;
    struct env_mutex mu;
    uint64_t bytes; /* [mu] */
};

#define PIECE_BYTES ((size_t)1 << 18)

/* The local copy has all of it, and maybe what another process has not uploaded yet: it is left alone, whoever writes it. */
static bool has_all(struct shl_s4 *db, uint64_t file, struct shl_slice body)
{
    shale_error ignored;
    uint64_t size = 0;
    bool same = shl_s4_local_size(&db->local, file, &size) && size >= body.len;
    uint8_t *piece = same ? env_alloc(PIECE_BYTES) : NULL;
    same = piece != NULL;
    for (size_t at = 0; same && at < body.len;) {
        size_t len = shl_min_size(PIECE_BYTES, body.len - at);
        size_t got = 0;
        same = shl_s4_local_read(&db->local, file, at, piece, len, &got, &ignored) == SHALE_OK &&
               got == len && memcmp(piece, body.data + at, len) == 0;
        at += len;
    }
    env_free(piece);
    return same;
}

static shale_code fetch_one(void *ctx, size_t i, shale_error *err)
{
    struct fetching *f = ctx;
    char key[SHL_S4_KEY_BYTES];
    char name[SHL_S4_NAME_BYTES];
    struct shl_buf body = {0};
    shale_code rc;
    shl_s4_name(f->files[i], name);
    SHL_TRY(shl_s4_key(f->db, name, key, err));
    SHL_TRY(shl_store_get(f->db->store, key, NULL, &body, NULL, err));
    shl_s4_local_forget(&f->db->local, f->files[i]); /* what is open may be an older file */
    if (!has_all(f->db, f->files[i], shl_buf_view(&body))) {
        SHL_TRY(shl_s4_local_put(&f->db->local, name, shl_buf_view(&body), false, err));
        shl_s4_local_forget(&f->db->local, f->files[i]);
    }
    env_mutex_lock(&f->mu);
    f->bytes += body.len;
    env_mutex_unlock(&f->mu);
out:
    shl_buf_free(&body);
    return rc;
}

shale_code shl_s4_fetch_files(struct shl_s4 *db, const uint64_t *files, size_t count,
                              uint64_t *out_bytes, shale_error *err)
{
    struct fetching f = {.db = db, .files = files};
    shale_code rc = shl_s4_local_make(&db->local, err);
    if (rc != SHALE_OK)
        return rc;
    env_mutex_init(&f.mu);
    rc = shl_s4_each(db, count, db->settings.requests_max, fetch_one, &f, err);
    env_mutex_deinit(&f.mu);
    *out_bytes = f.bytes;
    return rc;
}

/* Forgets what was written and not uploaded. */
static shale_code drop_unsynced(struct shl_s4 *db, shale_error *err)
{
    struct shl_s4_map *empty = shl_s4_map_new();
    if (empty == NULL)
        return shl_nomem(err);
    shl_s4_close_active(db);
    db->files.count = 0;
    shl_s4_committed(db);
    db->index_etag[0] = '\0'; /* so that the index comes whatever it is */
    shl_s4_map_set(db, empty, true);
    return SHALE_OK;
}

static shale_code download(struct shl_s4 *db, uint64_t *out_files, uint64_t *out_bytes,
                           shale_error *err)
{
    struct shl_s4_remote_list remote = {0};
    SHL_ARRAY(uint64_t) wanted = {0};
    shale_code rc;
    SHL_TRY(shl_s4_list(db, &remote, err));
    for (size_t i = 0; i < remote.files.count; i++)
        if (shl_s4_file_find(db, remote.files.items[i].id) == NULL &&
            !shl_array_push(&wanted, remote.files.items[i].id))
            SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_s4_fetch_files(db, wanted.items, wanted.count, out_bytes, err));
    *out_files = wanted.count;
    SHL_TRY(shl_s4_reload(db, err));
out:
    shl_array_free(&remote.files);
    shl_array_free(&wanted);
    return rc;
}

shale_code shl_s4_download(struct shl_s4 *db, bool force, uint64_t *out_files, uint64_t *out_bytes,
                           shale_error *err)
{
    shale_code rc = SHALE_OK;
    shl_s4_take_turn(db);
    if (force && shl_s4_is_unsynced(db))
        SHL_TRY(drop_unsynced(db, err));
    else if (shl_s4_is_unsynced(db))
        SHL_TRY(shl_s4_check_synced(db, "download", err));
    SHL_TRY(download(db, out_files, out_bytes, err));
out:
    shl_s4_end_turn(db);
    return rc;
}
