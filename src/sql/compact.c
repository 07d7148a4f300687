/* A new snapshot in the place of snapshot and log: compaction folds what is there, a migration changes the schema first. Writers are not held up: one that
 * was under way loses its swap and runs again on the new snapshot. */
#include "sql/internal.h"

#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

/* Makes the local file as small as it can be. It is outside of any transaction, and can be fetched again. */
static shale_code tidy(struct shl_sql *s, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (s->local.lazy != NULL)
        rc = shl_sql_lazy_fill_all(s->local.lazy, err);
    if (rc == SHALE_OK)
        rc = shl_sql_exec(s->local.db, "VACUUM", "VACUUM", err);
    return rc;
}

/* Uploads the copy as it is and swaps it in. `name` begins the key, version is that of its schema. */
static shale_code publish(struct shl_sql *s, const char *name, int64_t version,
                          enum shl_sql_swap *out, shale_error *err)
{
    struct shl_sql_manifest next = {0};
    char *key = shl_sql_snapshot_key(&s->remote, name, s->o.compress);
    char *copy = NULL;
    int64_t size = 0;
    shale_error ignored;
    shale_code rc;
    if (key == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_sql_upload(&s->remote, s->local.fd, key, &size, err));
    ENV_POINT("sql snapshot stored");
    SHL_TRY(shl_sql_manifest_copy(&s->head.manifest, &next, err));
    SHL_TRY(shl_sql_manifest_rebase(&next, key, size, err));
    next.schema_version = version;
    SHL_TRY(shl_sql_head_swap(&s->remote, &s->head, &next, key, out, err));
    if (*out == SHL_SQL_LOST) {
        shl_ignore(shl_store_delete(s->remote.store, key, &ignored)); /* nobody will ever name it */
        goto out;
    }
    copy = env_strdup(key);
    if (copy == NULL) {
        shl_sql_local_drop(&s->local);
        goto out;
    }
    env_free(s->local.snapshot);
    s->local.snapshot = copy;
    shl_sql_local_stand(&s->local, s->local.seq, NULL);
out:
    shl_sql_manifest_free(&next);
    env_free(key);
    return rc;
}

static void back_off(uint32_t failures)
{
    uint64_t base = (10 * ENV_NS_PER_MS) << shl_min_u64(failures, 6);
    env_sleep_ns(base / 2 + env_rand_below(base));
}

shale_code shl_sql_compact_locked(struct shl_sql *s, shale_error *err)
{
    for (uint32_t tries = 0; tries < s->o.max_retries; tries++) {
        enum shl_sql_swap swap = SHL_SQL_SWAPPED;
        if (tries > 0)
            back_off(tries);
        shale_code rc = shl_sql_refresh(s, err);
        if (rc != SHALE_OK || s->head.manifest.log.count == 0)
            return rc;
        rc = tidy(s, err);
        if (rc == SHALE_OK)
            rc = publish(s, "snap-", s->schema_version, &swap, err);
        if (rc != SHALE_OK || swap == SHL_SQL_SWAPPED)
            return rc;
    }
    return shl_fail(err, SHALE_CONFLICT,
                    "compaction of %s: others committed first, %" PRIu32 " times in a row",
                    s->remote.prefix, s->o.max_retries);
}

static shale_code refuse_reads_only(const struct shl_sql *s, shale_error *err)
{
    return s->reads_only ? shl_fail(err, SHALE_NOT_SUPPORTED, "%s: it was opened for reading only",
                                    s->remote.prefix)
                         : SHALE_OK;
}

shale_code shl_sql_compact(struct shl_sql *s, shale_error *err)
{
    shale_code rc = refuse_reads_only(s, err);
    if (rc != SHALE_OK)
        return rc;
    shl_sql_turn_begin(s, SHL_SQL_ALONE);
    rc = shl_sql_compact_locked(s, err);
    shl_sql_turn_end(s);
    return rc;
}

/* ---- migrations */

/* Above the version that the database has; NULL: none. */
static const struct shl_sql_migration *next_step(const struct shl_sql *s)
{
    for (size_t i = 0; i < s->o.migration_count; i++)
        if (s->o.migrations[i].version > s->head.manifest.schema_version)
            return &s->o.migrations[i];
    return NULL;
}

static shale_code run_step(struct shl_sql *s, const struct shl_sql_migration *m, shale_error *err)
{
    shale_code rc = m->up(m->ctx, s->local.db, err);
    if (rc == SHALE_OK && sqlite3_get_autocommit(s->local.db) == 0)
        rc = shl_fail(err, SHALE_INVALID, "it left a transaction open");
    if (rc != SHALE_OK)
        shl_err_prefix(err, "migration v%" PRId64 " (%s)", m->version, m->name);
    return rc;
}

/* One step, from a clean copy. */
static shale_code migrate_once(struct shl_sql *s, const struct shl_sql_migration *m,
                               shale_error *err)
{
    enum shl_sql_swap swap = SHL_SQL_LOST;
    char name[64];
    shale_code rc;
    SHL_TRY(shl_sql_sync(s, err));
    (void)snprintf(name, sizeof name, "snap-mig-%" PRId64 "-", m->version);
    SHL_TRY(run_step(s, m, err));
    SHL_TRY(tidy(s, err));
    SHL_TRY(publish(s, name, m->version, &swap, err));
    if (swap == SHL_SQL_SWAPPED &&
        s->local.db != NULL) /* what the step has set, attached or made for itself ends */
        SHL_TRY(shl_sql_local_reconnect(&s->local, err));
out:
    if (rc != SHALE_OK || swap == SHL_SQL_LOST)
        shl_sql_local_drop(&s->local); /* the step ran on it already */
    return rc;
}

shale_code shl_sql_migrate(struct shl_sql *s, shale_error *err)
{
    for (uint32_t tries = 0;; tries++) {
        int64_t there = s->head.manifest.schema_version;
        if (there > s->target_version)
            return shl_sql_check_schema(s, err);
        const struct shl_sql_migration *m = next_step(s);
        if (m == NULL)
            return SHALE_OK;
        shale_code rc = refuse_reads_only(s, err);
        if (rc == SHALE_OK)
            rc = migrate_once(s, m, err);
        if (rc != SHALE_OK)
            return rc;
        if (s->head.manifest.schema_version == there)
            back_off(tries); /* somebody wrote meanwhile */
        else
            tries = 0;
    }
}
