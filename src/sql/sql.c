#include "sql/internal.h"

#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

#define MAX_RETRIES 10

void shl_sql_options_init(struct shl_sql_options *o)
{
    *o = (struct shl_sql_options){
        .max_retries = MAX_RETRIES, .at_seq = SHL_SQL_NONE, .at_unix_ms = SHL_SQL_NONE};
}

/* ---- the turn */

void shl_sql_turn_begin(struct shl_sql *s, enum shl_sql_turn how)
{
    bool joins = how == SHL_SQL_JOINING;
    env_mutex_lock(&s->mu);
    s->waiting += joins;
    while (s->busy || (!joins && s->batch != NULL))
        env_cond_wait(&s->changed, &s->mu);
    s->waiting -= joins;
    s->busy = true;
    env_mutex_unlock(&s->mu);
}

void shl_sql_turn_end(struct shl_sql *s)
{
    env_mutex_lock(&s->mu);
    s->busy = false;
    env_cond_broadcast(&s->changed);
    env_mutex_unlock(&s->mu);
}

/* ---- open */

static shale_code check_migrations(const struct shl_sql_options *o, int64_t *out_max,
                                   shale_error *err)
{
    int64_t last = 0;
    for (size_t i = 0; i < o->migration_count; i++) {
        const struct shl_sql_migration *m = &o->migrations[i];
        if (m->version <= last)
            return shl_fail(err, SHALE_INVALID,
                            "migrations must have strictly increasing versions, got %" PRId64
                            " after %" PRId64,
                            m->version, last);
        last = m->version;
    }
    *out_max = last;
    return SHALE_OK;
}

static shale_code load_or_make(struct shl_sql *s, shale_error *err)
{
    shale_code rc = shl_sql_head_load(&s->remote, &s->head, NULL, err);
    if (rc != SHALE_NOT_FOUND)
        return rc;
    if (s->o.must_exist || s->reads_only)
        return shl_fail(err, SHALE_NOT_FOUND, "no database here: %s has no %s",
                        s->remote.store->name, s->remote.manifest_key);
    rc = s->o.before_create == NULL ? SHALE_OK : s->o.before_create(s->o.before_create_ctx, err);
    if (rc == SHALE_OK)
        rc = shl_sql_bootstrap(&s->remote, err);
    return rc != SHALE_OK ? rc : shl_sql_head_load(&s->remote, &s->head, NULL, err);
}

static shale_code open_database(struct shl_sql *s, shale_error *err)
{
    bool resumed = false;
    shale_code rc;
    SHL_TRY(load_or_make(s, err));
    SHL_TRY(shl_sql_local_resume(&s->local, s->remote.prefix, &s->head.manifest, &resumed, err));
    s->schema_version = s->target_version;
    if (s->o.schema_unchecked)
        s->schema_version = s->head.manifest.schema_version;
    else if (s->head.manifest.schema_version != s->schema_version)
        SHL_TRY(shl_sql_migrate(s, err));
    SHL_TRY(shl_sql_sync_newest(s, err));
    s->calm = true;
out:
    return rc;
}

shale_code shl_sql_open(struct shl_sql **out, const struct shl_sql_options *o, shale_error *err)
{
    struct shl_sql *s = NULL;
    int64_t version = 0;
    shale_code rc;
    SHL_TRY(shl_sql_setup(err));
    SHL_TRY(check_migrations(o, &version, err));
    s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return shl_nomem(err);
    s->o = *o;
    s->o.max_retries = o->max_retries == 0 ? 1 : o->max_retries;
    s->target_version = version;
    s->reads_only =
        o->at_seq != SHL_SQL_NONE || o->at_unix_ms != SHL_SQL_NONE || o->ignore_triggers;
    s->local = (struct shl_sql_local){.lock_fd = -1, .fd = -1};
    env_mutex_init(&s->mu);
    env_cond_init(&s->changed);
    SHL_TRY(shl_sql_remote_init(&s->remote, o->store, o->once == NULL ? o->store : o->once,
                                o->prefix, o->log, err));
    SHL_TRY(shl_sql_local_init(&s->local, s->reads_only ? NULL : o->local_path, err));
    SHL_TRY(open_database(s, err));
    *out = s;
    s = NULL; /* moved to the caller */
out:
    shl_sql_close(s);
    return rc;
}

void shl_sql_close(struct shl_sql *s)
{
    if (s == NULL)
        return;
    SHL_ASSERT(!s->busy && s->batch == NULL);
    shl_sql_local_deinit(&s->local, s->remote.prefix);
    shl_sql_head_free(&s->head);
    shl_sql_remote_deinit(&s->remote);
    env_cond_deinit(&s->changed);
    env_mutex_deinit(&s->mu);
    env_free(s);
}

/* ---- view */

/* A read of a page that could not be fetched shows as an I/O error in whatever fn says. */
static void explain(const struct shl_sql *s, shale_error *err)
{
    const shale_error *why = s->local.lazy == NULL ? NULL : shl_sql_lazy_failure(s->local.lazy);
    if (why != NULL && why->code != SHALE_OK)
        *err = *why;
}

static shale_code run_view(struct shl_sql *s, shl_sql_fn fn, void *ctx, shale_error *err)
{
    struct shl_sql_guard guard = {0};
    sqlite3 *db = s->local.db;
    shale_code rc;
    SHL_TRY(shl_sql_exec(db, "BEGIN", "begin", err));
    SHL_TRY(shl_sql_guard_begin(&guard, db, &s->local.schema, true, err));
    rc = fn(ctx, db, err);
    if (rc != SHALE_OK && guard.is_denied)
        rc = shl_fail(err, SHALE_NOT_SUPPORTED, "%s", guard.why);
    if (rc != SHALE_OK)
        explain(s, err);
    rc = rc == SHALE_OK ? rc : err->code;
out:
    shl_sql_guard_end(&guard, db);
    shl_sql_guard_free(&guard);
    if (sqlite3_get_autocommit(db) == 0 &&
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        shl_sql_local_drop(&s->local);
    else if (s->local.lazy != NULL && shl_sql_lazy_failure(s->local.lazy)->code != SHALE_OK)
        shl_sql_local_drop(&s->local);
    return rc;
}

shale_code shl_sql_view(struct shl_sql *s, shl_sql_fn fn, void *ctx, shale_error *err)
{
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    shale_code rc = SHALE_OK;
    if (!s->reads_only)
        rc = shl_sql_refresh(s, err);
    else if (s->local.db == NULL) /* what it looks at does not change */
        rc = shl_sql_sync(s, err);
    if (rc == SHALE_OK)
        rc = run_view(s, fn, ctx, err);
    shl_sql_turn_end(s);
    return rc;
}

/* ---- what it is like */

static void fill_status(const struct shl_sql *s, struct shl_sql_status *out)
{
    const struct shl_sql_manifest *m = &s->head.manifest;
    *out = (struct shl_sql_status){.seq = m->seq,
                                   .schema_version = m->schema_version,
                                   .snapshot_seq = m->snapshot.seq,
                                   .snapshot_bytes = m->snapshot.size,
                                   .log_entries = m->log.count,
                                   .log_bytes = shl_sql_manifest_log_bytes(m)};
    (void)snprintf(out->snapshot_key, sizeof out->snapshot_key, "%s", m->snapshot.key);
    if (s->local.is_kept)
        (void)snprintf(out->local_path, sizeof out->local_path, "%s", s->local.path);
}

shale_code shl_sql_status(struct shl_sql *s, bool refresh, struct shl_sql_status *out,
                          shale_error *err)
{
    shale_code rc = SHALE_OK;
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    if (refresh)
        rc = shl_sql_head_load(&s->remote, &s->head, NULL, err);
    if (rc == SHALE_OK)
        fill_status(s, out);
    shl_sql_turn_end(s);
    return rc;
}
