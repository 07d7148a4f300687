#include "sql/internal.h"

#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

shale_code shl_sql_check_schema(const struct shl_sql *s, shale_error *err)
{
    int64_t there = s->head.manifest.schema_version;
    if (there == s->schema_version)
        return SHALE_OK;
    return shl_fail(
        err, SHALE_CONFLICT, "database at schema v%" PRId64 ", client at v%" PRId64 ": %s", there,
        s->schema_version,
        there > s->schema_version ? "it was migrated meanwhile; open it with the newer migrations"
                                  : "its migrations have not run");
}

/* ---- replaying */

static shale_code apply_all(struct shl_sql_local *local, const struct shl_sql_manifest *m,
                            size_t first, size_t count, const struct shl_buf *bodies,
                            shale_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct shl_sql_object *e = &m->log.items[first + i];
        shale_code rc = shl_sql_apply(local->db, shl_buf_view(&bodies[i]), err);
        if (rc != SHALE_OK) {
            if (rc != SHALE_NOMEM)
                shl_err_prefix(err, "apply changeset seq=%" PRId64 " key=%s", e->seq, e->key);
            return rc;
        }
    }
    local->stale_modules = local->stale_modules || local->schema.has_virtual;
    return SHALE_OK;
}

shale_code shl_sql_replay(struct shl_sql_remote *r, struct shl_sql_local *local,
                          const struct shl_sql_manifest *m, int64_t last, shale_error *err)
{
    size_t first = (size_t)(local->seq - m->snapshot.seq);
    size_t count = (size_t)(last - local->seq);
    struct shl_buf *bodies = env_calloc(count + 1, sizeof *bodies);
    shale_code rc;
    if (bodies == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_sql_fetch_log(r, m, first, count, bodies, err));
    SHL_TRY(apply_all(local, m, first, count, bodies, err));
out:
    for (size_t i = 0; i < count; i++)
        shl_buf_free(&bodies[i]);
    env_free(bodies);
    return rc;
}

/* All of it in one transaction: a copy is never half way. */
static shale_code catch_up(struct shl_sql_remote *r, struct shl_sql_local *local,
                           const struct shl_sql_manifest *m, int64_t last, bool ignore_triggers,
                           shale_error *err)
{
    shale_code rc;
    if (local->seq == last)
        return SHALE_OK;
    if (ignore_triggers)
        (void)sqlite3_db_config(local->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    SHL_TRY(shl_sql_exec(local->db, "BEGIN", "begin", err));
    SHL_TRY(shl_sql_replay(r, local, m, last, err));
    SHL_TRY(shl_sql_exec(local->db, "COMMIT", "commit", err));
    shl_sql_local_stand(local, last, shl_sql_manifest_key_at(m, last));
    if (local->db == NULL)
        rc = shl_nomem(err);
out:
    if (rc != SHALE_OK && local->db != NULL && sqlite3_get_autocommit(local->db) == 0)
        (void)sqlite3_exec(local->db, "ROLLBACK", NULL, NULL, NULL);
    if (rc == SHALE_CONFLICT)
        rc = err->code = SHALE_CORRUPTION; /* of committed entries none may conflict */
    return rc;
}

/* ---- the snapshot */

#define LAZY_BYTES_MIN ((int64_t)10 << 20) /* below that one download is as cheap */

/* Objects that were copied to another prefix: the manifest still names the old one. */
static void tell_moved(const struct shl_sql_remote *r, const char *key, shale_error *err)
{
    const char *name = strstr(key, "snapshots/");
    size_t n = strlen(err->text);
    if (err->code == SHALE_NOMEM || name == NULL || strncmp(key, r->prefix, strlen(r->prefix)) == 0)
        return;
    (void)snprintf(err->text + n, sizeof err->text - n,
                   ": the manifest in \"%s\" names the place where it was written, \"%.*s\"",
                   r->prefix, (int)(name - key), key);
}

static shale_code download(struct shl_sql_remote *r, struct shl_sql_local *local,
                           const struct shl_sql_manifest *m, bool lazy, shale_error *err)
{
    struct shl_sql_lazy *pages = NULL;
    char *path = shl_sql_local_fresh_path(local);
    shale_code rc;
    if (path == NULL)
        return shl_nomem(err);
    if (lazy && !local->is_kept && m->snapshot.size >= LAZY_BYTES_MIN &&
        !shl_sql_is_packed(m->snapshot.key))
        SHL_TRY(shl_sql_lazy_new(&pages, r, &m->snapshot, path, err));
    else
        SHL_TRY(shl_sql_download(r, &m->snapshot, path, err));
    rc = shl_sql_local_open(local, path, m->snapshot.key, m->snapshot.seq, pages, err);
    if (rc == SHALE_CORRUPTION)
        shl_err_prefix(err, "snapshot %s", m->snapshot.key);
out:
    if (rc != SHALE_OK) {
        tell_moved(r, m->snapshot.key, err);
        (void)env_unlink(path);
    }
    env_free(path);
    return rc;
}

shale_code shl_sql_sync_local(struct shl_sql_remote *r, struct shl_sql_local *local,
                              const struct shl_sql_manifest *m, int64_t seq, bool lazy,
                              bool ignore_triggers, shale_error *err)
{
    if (!shl_sql_local_fits(local, m, seq)) {
        shl_sql_local_drop(local);
        shale_code rc = download(r, local, m, lazy, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return catch_up(r, local, m, seq, ignore_triggers, err);
}

shale_code shl_sql_sync(struct shl_sql *s, shale_error *err)
{
    const struct shl_sql_manifest *m = &s->head.manifest;
    int64_t seq;
    shale_code rc = shl_sql_seq_asked(&s->remote, &s->o, m, &seq, err);
    if (rc == SHALE_OK)
        rc =
            shl_sql_sync_local(&s->remote, &s->local, m, seq, s->o.lazy, s->o.ignore_triggers, err);
    return rc != SHALE_OK ? rc : shl_sql_local_refresh_modules(&s->local, err);
}

#define NEWER_MAX 8

/* Somebody may fold the log and collect what the manifest named while we fetch it: then there is a newer manifest. */
shale_code shl_sql_sync_newest(struct shl_sql *s, shale_error *err)
{
    for (unsigned tries = 1;; tries++) {
        shale_error other = {0};
        bool newer = false;
        shale_code rc = shl_sql_check_schema(s, err);
        if (rc == SHALE_OK)
            rc = shl_sql_sync(s, err);
        if (rc != SHALE_CORRUPTION || tries == NEWER_MAX ||
            shl_sql_head_load(&s->remote, &s->head, &newer, &other) != SHALE_OK || !newer)
            return rc;
    }
}

shale_code shl_sql_refresh(struct shl_sql *s, shale_error *err)
{
    shale_code rc = shl_sql_head_load(&s->remote, &s->head, NULL, err);
    return rc != SHALE_OK ? rc : shl_sql_sync_newest(s, err);
}
