/* Updates. A member runs its function in a savepoint, takes the changes as a changeset, rolls the savepoint back and applies the changeset to the clean
 * state: what is published is what was tried. Members that wait for each other form a batch, whose changesets follow each other in the log by one swap of
 * the manifest; each sees what the ones before it have done. A batch that loses is run again, each function by its own caller; that is serializable, for
 * nothing is committed but on the state that its function has seen. With `merge`, s3db's way, what others committed is applied on top instead, if it can be. */
#include "sql/internal.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

#define BATCH_MAX     64
#define BACKOFF_NS    (10 * ENV_NS_PER_MS)
#define TABLE_SHOWN   61 /* bytes of a table's name in a message, with a NUL */
#define BACKOFF_STEPS 4  /* 160 ms and a half: longer waits only let the others win again */

struct member {
    char *key;           /* owned: of the changeset */
    struct shl_buf body; /* owned */
};

enum batch_state { BATCH_OPEN, BATCH_DONE };

/* What became of a batch. */
enum outcome { COMMITTED, RUN_AGAIN, FAILED };

struct shl_sql_batch {
    unsigned refs;          /* [mu] */
    enum batch_state state; /* [mu] */
    enum outcome outcome;   /* [mu] once done */
    shale_error err;        /* [mu] FAILED */
    int64_t base_seq;       /* what the first function saw */
    bool asked;             /* the manifest was read just before */
    SHL_ARRAY(struct member) members;
};

static void batch_unref_locked(struct shl_sql_batch *b)
{
    if (--b->refs > 0)
        return;
    for (size_t i = 0; i < b->members.count; i++) {
        env_free(b->members.items[i].key);
        shl_buf_free(&b->members.items[i].body);
    }
    shl_array_free(&b->members);
    env_free(b);
}

/* ---- one function */

static void roll_back(struct shl_sql *s)
{
    if (s->local.db != NULL && sqlite3_get_autocommit(s->local.db) == 0 &&
        sqlite3_exec(s->local.db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        shl_sql_local_drop(&s->local);
}

/* Statements that were left running would keep a savepoint from ending. Modules of virtual tables have running ones of their own, which look the same. */
static bool stop_statements(sqlite3 *db, const struct shl_sql_schema *schema)
{
    bool any = false;
    if (schema->has_virtual)
        return false;
    for (sqlite3_stmt *q = sqlite3_next_stmt(db, NULL); q != NULL; q = sqlite3_next_stmt(db, q)) {
        if (sqlite3_stmt_busy(q) == 0)
            continue;
        any = true;
        (void)sqlite3_reset(q);
    }
    return any;
}

/* A row whose key is NULL is not recorded. None may be there, before or after, in a table that was written. */
static shale_code check_null_keys(struct shl_sql *s, const struct shl_sql_guard *g,
                                  shale_error *err)
{
    const struct shl_sql_schema *schema = &s->local.schema;
    for (size_t i = 0; i < schema->tables.count; i++) {
        const struct shl_sql_table *t = &schema->tables.items[i];
        if (!g->touched[i] || t->key_sql == NULL)
            continue;
        sqlite3_stmt *q = NULL;
        char *sql =
            sqlite3_mprintf("SELECT 1 FROM main.\"%w\" WHERE %s LIMIT 1", t->name, t->key_sql);
        int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_prepare_v2(s->local.db, sql, -1, &q, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(q);
        (void)sqlite3_finalize(q);
        sqlite3_free(sql);
        if (rc == SQLITE_ROW)
            return shl_fail(
                err, SHALE_NOT_SUPPORTED,
                "table \"%.60s\" has a row with NULL in its primary key: SQLite does not "
                "record it, and it would not be sent to others",
                t->name);
        if (rc != SQLITE_DONE)
            return shl_sql_fail(s->local.db, rc, SHALE_INTERNAL, "look for NULL keys", err);
    }
    return SHALE_OK;
}

static shale_code check_triggers(struct shl_sql *s, const struct shl_sql_guard *g, shale_error *err)
{
    bool on_view = false;
    if (g->trigger[0] == '\0' || s->o.allow_triggers)
        return SHALE_OK;
    shale_code rc = shl_sql_trigger_is_on_view(s->local.db, g->trigger, &on_view, err);
    if (rc != SHALE_OK || on_view)
        return rc;
    return shl_fail(err, SHALE_NOT_SUPPORTED,
                    "trigger \"%.60s\" writes table \"%.60s\": others who apply the change fire it "
                    "again, which can differ or fail; allow_triggers lets it",
                    g->trigger, g->trigger_table);
}

/* Modules of virtual tables write what they have gathered when a savepoint begins. */
static shale_code flush_modules(struct shl_sql *s, shale_error *err)
{
    if (!s->local.schema.has_virtual)
        return SHALE_OK;
    return shl_sql_exec(s->local.db, "SAVEPOINT shale_flush; RELEASE shale_flush",
                        "flush virtual tables", err);
}

/* Runs fn and appends what it changed to `body`. */
static shale_code record(struct shl_sql *s, shl_sql_fn fn, void *ctx, struct shl_sql_guard *g,
                         struct shl_buf *body, shale_error *err)
{
    sqlite3_session *session = NULL;
    sqlite3 *db = s->local.db;
    shale_code rc;
    SHL_TRY(shl_sql_record_begin(db, &session, err));
    SHL_TRY(shl_sql_guard_begin(g, db, &s->local.schema, false, err));
    rc = fn(ctx, db, err);
    shl_sql_guard_end(g, db);
    if (g->is_denied)
        rc = shl_fail(err, SHALE_NOT_SUPPORTED, "%s", g->why);
    if (stop_statements(db, &s->local.schema) && rc == SHALE_OK)
        rc = shl_fail(err, SHALE_INVALID, "the function left a statement running: finalize it");
    if (rc == SHALE_OK && sqlite3_get_autocommit(db) != 0)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "SQLite rolled the transaction back: %s",
                      sqlite3_errmsg(db));
    SHL_TRY(rc);
    SHL_TRY(check_triggers(s, g, err));
    SHL_TRY(flush_modules(s, err));
    SHL_TRY(check_null_keys(s, g, err));
    rc = shl_sql_record_end(session, db, body, err);
    session = NULL;
out:
    if (session != NULL)
        sqlite3session_delete(session);
    return rc;
}

static shale_code cannot_replay(const char *why, shale_error *err)
{
    shale_error was = *err;
    return shl_fail(err, SHALE_NOT_SUPPORTED,
                    "the changes cannot be replayed by others (%s): %.250s; nothing was committed",
                    why, was.text);
}

/* Rows are recorded by the bytes of their keys: for a collation that takes two of them for one, what was recorded cannot be applied. */
static shale_code explain_conflict(struct shl_sql *s, const struct shl_sql_guard *g,
                                   shale_code code, shale_error *err)
{
    const struct shl_sql_schema *schema = &s->local.schema;
    char why[400];
    for (size_t i = 0; i < schema->tables.count; i++) {
        char column[64];
        char collation[64];
        char named[140];
        bool found = false;
        shale_error ignored;
        const char *table = schema->tables.items[i].name;
        (void)snprintf(named, sizeof named, "\"%.60s\", key", table);
        if (!g->touched[i] || (code == SHALE_CONFLICT && strstr(err->text, named) == NULL) ||
            shl_sql_key_collation(s->local.db, table, &found, column, collation, &ignored) !=
                SHALE_OK ||
            !found)
            continue;
        (void)snprintf(why, sizeof why,
                       "column \"%s\" in the key of table \"%.60s\" has collation %s, but keys "
                       "are recorded by their bytes: delete the old row in a commit before",
                       column, table, collation);
        return cannot_replay(why, err);
    }
    return cannot_replay(code == SHALE_CONFLICT
                             ? "a trigger, or values that swap in a UNIQUE column"
                             : "a limit of SQLite's, e.g. rows of more than some 900 columns",
                         err);
}

/* What is the reason when the rows of `table` come out otherwise and nobody raised a conflict. */
static shale_code differs(const struct shl_sql_guard *g, const char *table, shale_error *err)
{
    if (g->trigger[0] != '\0') {
        (void)snprintf(err->text, sizeof err->text, "trigger \"%.60s\" changes something else then",
                       g->trigger);
        return cannot_replay("a trigger", err);
    }
    (void)snprintf(err->text, sizeof err->text, "table \"%s\" would have other rows then", table);
    return cannot_replay("an ON CONFLICT clause of the schema, or a trigger with RAISE(IGNORE)",
                         err);
}

/* Applies the changeset. What comes out must be the same changes again: triggers write, and they and the conflict clauses of a schema drop rows, without any
 * conflict being raised. out_table: the first one that has other rows then, "" if none has. */
static shale_code apply_and_compare(struct shl_sql *s, const struct shl_buf *body,
                                    char out_table[TABLE_SHOWN], shale_error *err)
{
    sqlite3_session *session = NULL;
    struct shl_buf again = {0};
    struct shl_slice table = {0};
    bool same = true;
    shale_code rc;
    out_table[0] = '\0';
    SHL_TRY(shl_sql_record_begin(s->local.db, &session, err));
    SHL_TRY(shl_sql_apply(s->local.db, shl_buf_view(body), err));
    rc = shl_sql_record_end(session, s->local.db, &again, err);
    session = NULL;
    SHL_TRY(rc);
    SHL_TRY(shl_sql_same_changes(shl_buf_view(body), shl_buf_view(&again), &same, &table, err));
    if (!same)
        (void)snprintf(out_table, TABLE_SHOWN, "%.*s",
                       (int)shl_min_size(table.len, TABLE_SHOWN - 1), (const char *)table.data);
out:
    if (session != NULL)
        sqlite3session_delete(session);
    shl_buf_free(&again);
    return rc;
}

/* Applies what a function has changed to the clean state. */
static shale_code replay(struct shl_sql *s, const struct shl_sql_guard *g,
                         const struct shl_buf *body, shale_error *err)
{
    char table[TABLE_SHOWN];
    if (body->len == 0)
        return SHALE_OK;
    shale_code rc = apply_and_compare(s, body, table, err);
    if (rc == SHALE_CONFLICT || rc == SHALE_CORRUPTION)
        rc = explain_conflict(s, g, rc, err);
    if (rc == SHALE_OK && table[0] != '\0')
        rc = differs(g, table, err);
    return rc;
}

/* Runs fn as the next member: on success its changes are in the transaction, as others will have them, and in `body`. Else the transaction is as before. */
static shale_code run_member(struct shl_sql *s, shl_sql_fn fn, void *ctx, struct shl_buf *body,
                             shale_error *err)
{
    struct shl_sql_guard guard = {0};
    shale_error undo = {0};
    sqlite3 *db = s->local.db;
    shale_code rc;
    SHL_TRY(shl_sql_exec(db, "SAVEPOINT shale_member", "begin", err));
    rc = record(s, fn, ctx, &guard, body, err);
    if (sqlite3_get_autocommit(db) != 0 ||
        shl_sql_exec(db, "ROLLBACK TO shale_member", "roll back", &undo) != SHALE_OK) {
        rc = rc == SHALE_OK ? shl_fail(err, SHALE_UNAVAILABLE, "%s", undo.text) : rc;
        shl_sql_local_drop(&s->local);
        goto out;
    }
    if (rc == SHALE_OK && guard.schema != NULL)
        rc = check_null_keys(s, &guard,
                             err); /* rows that were there before, and may be gone or changed */
    if (rc == SHALE_OK)
        rc = replay(s, &guard, body, err);
    if (rc != SHALE_OK)
        (void)sqlite3_exec(db, "ROLLBACK TO shale_member", NULL, NULL, NULL);
    if (shl_sql_exec(db, "RELEASE shale_member", "release", &undo) != SHALE_OK) {
        rc = rc == SHALE_OK ? shl_fail(err, SHALE_UNAVAILABLE, "%s", undo.text) : rc;
        shl_sql_local_drop(&s->local);
    }
out:
    shl_sql_guard_free(&guard);
    return rc;
}

/* ---- the batch */

/* Begins one if there is none; the caller has the turn, and gets a reference. */
static shale_code join(struct shl_sql *s, struct shl_sql_batch **out, shale_error *err)
{
    struct shl_sql_batch *b = s->batch;
    shale_code rc = SHALE_OK;
    if (b == NULL) {
        bool asks = s->o.merge || !(s->head_is_fresh || s->calm) || s->local.db == NULL;
        b = env_calloc(1, sizeof *b);
        if (b == NULL)
            return shl_nomem(err);
        b->asked = asks;
        s->head_is_fresh = false;
        rc = asks ? shl_sql_refresh(s, err) : shl_sql_sync_newest(s, err);
        b->base_seq = s->head.manifest.seq;
        if (rc == SHALE_OK)
            rc = shl_sql_exec(s->local.db, "BEGIN IMMEDIATE", "begin", err);
        if (rc != SHALE_OK) {
            env_free(b);
            return rc;
        }
    }
    env_mutex_lock(&s->mu);
    s->batch = b;
    b->refs++;
    env_mutex_unlock(&s->mu);
    *out = b;
    return SHALE_OK;
}

static shale_code add_member(struct shl_sql *s, struct shl_sql_batch *b, struct shl_buf *take_body,
                             shale_error *err)
{
    struct member m = {.key = shl_sql_changeset_key(&s->remote, &s->head.manifest),
                       .body = *take_body};
    if (m.key == NULL || !shl_array_push(&b->members, m)) {
        env_free(m.key);
        return shl_nomem(err);
    }
    *take_body = (struct shl_buf){0};
    return SHALE_OK;
}

static shale_code upload(struct shl_sql *s, const struct shl_sql_batch *b, shale_error *err)
{
    char *keys[BATCH_MAX];
    struct shl_slice bodies[BATCH_MAX];
    SHL_ASSERT(b->members.count > 0 && b->members.count <= BATCH_MAX);
    for (size_t i = 0; i < b->members.count; i++) {
        keys[i] = b->members.items[i].key;
        bodies[i] = shl_buf_view(&b->members.items[i].body);
    }
    return shl_sql_put_all(&s->remote, keys, bodies, b->members.count, err);
}

/* Best effort: what nobody will ever name. */
static void forget_orphans(struct shl_sql *s, const struct shl_sql_batch *b)
{
    const char *keys[BATCH_MAX];
    shale_error ignored;
    for (size_t i = 0; i < b->members.count; i++)
        keys[i] = b->members.items[i].key;
    shl_ignore(shl_store_delete_many(s->remote.store, keys, b->members.count, &ignored));
}

static shale_code next_manifest(const struct shl_sql *s, const struct shl_sql_batch *b,
                                struct shl_sql_manifest *out, shale_error *err)
{
    shale_code rc = shl_sql_manifest_copy(&s->head.manifest, out, err);
    for (size_t i = 0; rc == SHALE_OK && i < b->members.count; i++)
        rc = shl_sql_manifest_append(out, b->members.items[i].key,
                                     (int64_t)b->members.items[i].body.len, err);
    return rc;
}

/* After a lost swap, with the turn: whether ours can be applied on top of what others did, which is what everybody will do. (s3db applies theirs on top of
 * ours; where a trigger looks at other rows, only the order of the log tells.) */
static shale_code merge_ours(struct shl_sql *s, const struct shl_sql_batch *b, bool *out_merged,
                             shale_error *err)
{
    const struct shl_sql_manifest *now = &s->head.manifest;
    char table[TABLE_SHOWN];
    shale_code rc;
    *out_merged = false;
    if (!s->o.merge || s->local.schema.hides_conflicts ||
        !shl_sql_local_fits(&s->local, now, now->seq) || now->schema_version != s->schema_version)
        return SHALE_OK;
    SHL_ASSERT(b->members.count == 1);
    roll_back(s);
    if (s->local.db == NULL)
        return SHALE_OK;
    rc = shl_sql_sync(s, err);
    if (rc == SHALE_OK)
        rc = shl_sql_exec(s->local.db, "BEGIN IMMEDIATE", "begin", err);
    if (rc == SHALE_OK)
        rc = apply_and_compare(s, &b->members.items[0].body, table, err);
    *out_merged = rc == SHALE_OK && table[0] == '\0';
    if (rc == SHALE_CONFLICT || rc == SHALE_CORRUPTION)
        rc =
            SHALE_OK; /* the same cell, a trigger's no, or theirs is collected already: run again */
    return rc;
}

/* Commits the local transaction: the bucket has it. A copy that cannot follow is downloaded again. */
static void settle_local(struct shl_sql *s, int64_t seq, const char *last)
{
    if (sqlite3_exec(s->local.db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        shl_sql_local_stand(&s->local, seq, last);
    else
        shl_sql_local_drop(&s->local);
    s->local.stale_modules = s->local.schema.has_virtual;
}

/* Swaps until it is decided. */
static shale_code swap_in(struct shl_sql *s, struct shl_sql_batch *b, enum outcome *out,
                          shale_error *err)
{
    const char *proof = b->members.items[b->members.count - 1].key;
    shale_code rc = SHALE_OK;
    *out = RUN_AGAIN;
    for (uint32_t tries = 0; tries < s->o.max_retries; tries++) {
        struct shl_sql_manifest next = {0};
        enum shl_sql_swap swap = SHL_SQL_LOST;
        bool merged = false;
        rc = next_manifest(s, b, &next, err);
        int64_t seq = next.seq;
        if (rc == SHALE_OK)
            rc = shl_sql_head_swap(&s->remote, &s->head, &next, proof, &swap, err);
        shl_sql_manifest_free(&next);
        if (rc != SHALE_OK)
            return rc;
        if (swap == SHL_SQL_SWAPPED) {
            b->base_seq = seq - (int64_t)b->members.count;
            settle_local(s, seq, proof);
            s->calm = tries == 0 && s->head.manifest.seq == seq;
            *out = COMMITTED;
            return SHALE_OK;
        }
        rc = merge_ours(s, b, &merged, err);
        if (rc != SHALE_OK || !merged)
            return rc;
    }
    return SHALE_OK;
}

/* With the turn: makes the batch's changes part of the database, or tells its members what else. */
static void publish(struct shl_sql *s, struct shl_sql_batch *b)
{
    shale_error err = {0};
    enum outcome outcome = COMMITTED; /* without members nothing can be lost */
    shale_code rc = SHALE_OK;
    if (b->members.count > 0) {
        outcome = RUN_AGAIN;
        rc = upload(s, b, &err);
        ENV_POINT("sql changesets stored");
        if (rc == SHALE_OK)
            rc = swap_in(s, b, &outcome, &err);
    }
    if (outcome != COMMITTED || b->members.count == 0)
        roll_back(s);
    if (outcome == RUN_AGAIN) {
        s->calm = false;
        s->head_is_fresh = rc == SHALE_OK; /* the swap has just read it */
        if (rc == SHALE_OK || !shl_sql_is_unknown(&err))
            forget_orphans(s, b);
    }
    env_mutex_lock(&s->mu);
    b->state = BATCH_DONE;
    b->outcome = rc == SHALE_OK ? outcome : FAILED;
    b->err = err;
    s->batch = NULL;
    env_cond_broadcast(&s->changed);
    env_mutex_unlock(&s->mu);
}

/* ---- update */

/* One try of one update. */
struct attempt {
    shale_code fn_rc; /* what running it gave */
    shale_error fn_err;
    bool has_changes;
    size_t index; /* in the batch */
};

/* With the turn, which it ends. */
static void run_in_batch(struct shl_sql *s, struct shl_sql_batch *b, shl_sql_fn fn, void *ctx,
                         struct attempt *a)
{
    struct shl_buf body = {0};
    a->fn_rc = run_member(s, fn, ctx, &body, &a->fn_err);
    if (s->local.lazy != NULL && shl_sql_lazy_failure(s->local.lazy)->code != SHALE_OK) {
        a->fn_err = *shl_sql_lazy_failure(
            s->local.lazy); /* a page could not be fetched, whatever fn made of it */
        a->fn_rc = a->fn_err.code;
        shl_sql_local_drop(&s->local);
    }
    a->index = b->members.count;
    if (a->fn_rc == SHALE_OK && body.len > 0) {
        a->fn_rc = add_member(s, b, &body, &a->fn_err);
        a->has_changes = a->fn_rc == SHALE_OK;
        if (!a->has_changes)
            shl_sql_local_drop(
                &s->local); /* its changes are in the transaction, and not in the batch */
    }
    shl_buf_free(&body);
}

/* Whether the copy is lost under the batch: then none of its members can be committed. */
static void fail_batch(struct shl_sql *s, struct shl_sql_batch *b)
{
    env_mutex_lock(&s->mu);
    b->state = BATCH_DONE;
    b->outcome = RUN_AGAIN;
    s->batch = NULL;
    s->calm = false;
    env_cond_broadcast(&s->changed);
    env_mutex_unlock(&s->mu);
}

/* The last one that waits commits for all. Ends the turn. */
static void publish_or_wait(struct shl_sql *s, struct shl_sql_batch *b, shale_error *out_err,
                            enum outcome *out)
{
    env_mutex_lock(&s->mu);
    /* Merging looks at the sum of what a batch has changed: a cell that was changed and changed back would not be seen. */
    bool mine = s->waiting == 0 || b->members.count == BATCH_MAX || s->o.merge;
    env_mutex_unlock(&s->mu);
    if (s->local.db == NULL)
        fail_batch(s, b);
    else if (mine)
        publish(s, b);
    shl_sql_turn_end(s);
    env_mutex_lock(&s->mu);
    while (b->state != BATCH_DONE)
        env_cond_wait(&s->changed, &s->mu);
    *out = b->outcome;
    *out_err = b->err;
    env_mutex_unlock(&s->mu);
}

/* A result without changes on a state that was not asked for: it counts if that is still the newest one. */
static shale_code still_newest(struct shl_sql *s, int64_t seq, bool *out, shale_error *err)
{
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    shale_code rc = shl_sql_head_load(&s->remote, &s->head, NULL, err);
    *out = rc == SHALE_OK && s->head.manifest.seq == seq;
    s->calm = s->calm && *out;
    shl_sql_turn_end(s);
    return rc;
}

static void back_off(uint32_t failures)
{
    uint64_t base = BACKOFF_NS << shl_min_u64(failures - 1, BACKOFF_STEPS);
    env_sleep_ns(base / 2 + env_rand_below(base));
}

/* A bucket may say that a database is at the last seq that there is: nothing is committed then, and nothing may overflow. */
static int64_t seq_of(int64_t base, size_t behind)
{
    return base > INT64_MAX - (int64_t)behind ? INT64_MAX : base + (int64_t)behind;
}

/* One try. *out_again: it has to be tried again. */
static shale_code try_update(struct shl_sql *s, shl_sql_fn fn, void *ctx,
                             struct shl_sql_commit *out, bool *out_again, bool *out_lost,
                             shale_error *err)
{
    struct shl_sql_batch *b = NULL;
    struct attempt a = {0};
    enum outcome outcome;
    shale_error why = {0};
    *out_again = false;
    *out_lost = false;
    shl_sql_turn_begin(s, SHL_SQL_JOINING);
    shale_code rc = join(s, &b, err);
    if (rc != SHALE_OK) {
        shl_sql_turn_end(s);
        return rc;
    }
    out->tries++;
    run_in_batch(s, b, fn, ctx, &a);
    publish_or_wait(s, b, &why, &outcome);
    env_mutex_lock(&s->mu);
    bool alone = b->members.count == 0;
    bool asked = b->asked;
    out->seq = a.has_changes ? seq_of(b->base_seq, a.index + 1) : seq_of(b->base_seq, a.index);
    batch_unref_locked(b);
    env_mutex_unlock(&s->mu);
    out->changed = a.has_changes;
    if (outcome == FAILED &&
        (a.fn_rc == SHALE_OK || !alone)) { /* fn may have seen what others of the batch did */
        *err = why;
        return why.code;
    }
    if (outcome == RUN_AGAIN && !(alone && a.fn_rc != SHALE_OK)) {
        *out_again = *out_lost = true;
        return SHALE_OK;
    }
    if (alone && !asked) {
        bool newest = false;
        SHL_TRY(still_newest(s, out->seq, &newest, err));
        *out_again = !newest;
        if (!newest)
            return SHALE_OK;
    }
    rc = a.fn_rc;
    if (rc != SHALE_OK)
        *err = a.fn_err;
out:
    return rc;
}

#define LOG_ENTRIES_MANY 1000 /* a manifest of some 150 KB, written with every commit */

static void warn_of_length(const struct shl_sql *s)
{
    if (s->head.manifest.log.count >= LOG_ENTRIES_MANY)
        shl_log_write(s->o.log, SHL_LOG_WARN,
                      "the log is long and nobody compacts it prefix=%s entries=%zu",
                      s->remote.prefix, s->head.manifest.log.count);
}

static void compact_when_due(struct shl_sql *s, int64_t seq)
{
    shale_error why = {0};
    shale_code rc = SHALE_OK;
    if (s->o.auto_compact == 0 && seq % LOG_ENTRIES_MANY != 0)
        return; /* a turn of its own would keep others from joining a batch */
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    if (s->o.auto_compact == 0)
        warn_of_length(s);
    else if (s->head.manifest.log.count >= s->o.auto_compact)
        rc = shl_sql_compact_locked(s, &why);
    shl_sql_turn_end(s);
    if (rc != SHALE_OK && s->o.compact_error != NULL)
        s->o.compact_error(s->o.compact_error_ctx, &why);
    if (rc != SHALE_OK)
        shl_log_write(s->o.log, SHL_LOG_WARN, "compaction failed prefix=%s why=\"%s\"",
                      s->remote.prefix, why.text);
}

shale_code shl_sql_update(struct shl_sql *s, shl_sql_fn fn, void *ctx, struct shl_sql_commit *out,
                          shale_error *err)
{
    struct shl_sql_commit mine = {0};
    if (s->reads_only)
        return shl_fail(
            err, SHALE_NOT_SUPPORTED,
            "%s: it was opened for reading only (as of a point in time, or without triggers)",
            s->remote.prefix);
    for (uint32_t lost = 0;;) {
        bool again;
        bool was_lost;
        if (lost > 0)
            back_off(lost);
        shale_code rc = try_update(s, fn, ctx, &mine, &again, &was_lost, err);
        if (rc != SHALE_OK)
            return rc;
        if (!again)
            break;
        lost += was_lost;
        if (lost >= s->o.max_retries)
            return shl_fail(err, SHALE_CONFLICT,
                            "%s: others committed first, %" PRIu32
                            " times in a row; nothing was written",
                            s->remote.prefix, lost);
    }
    if (mine.changed)
        compact_when_due(s, mine.seq);
    if (out != NULL)
        *out = mine;
    return SHALE_OK;
}
