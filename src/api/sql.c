/* shale_sql_*: SQLite on a bucket. */
#include "sql/sql.h"

#include "api/api.h"
#include "api/kind.h"
#include "api/near.h"
#include "api/stack.h"
#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include "sql/format/changeset.h"
#include "store/path.h"
#include "store/sweep.h"

#include <assert.h>
#include <shale/sql.h>
#include <stdio.h>

#define GC_GRACE_MS (5 * 60 * 1000)
/* An ephemeral database in memory needs a prefix as well. */
#define UNNAMED "db"

struct shale_sql {
    struct shl_api_stack stack;
    struct shl_sql *sql;                  /* owned */
    struct shl_sql_migration *migrations; /* owned array */
    uint64_t gc_grace_ms;
};

static_assert(SHALE_SQL_NONE == SHL_SQL_NONE, "the same number");
static_assert((int)SHALE_SQL_INSERT == (int)SHL_CS_INSERT &&
                  (int)SHALE_SQL_UPDATE == (int)SHL_CS_UPDATE &&
                  (int)SHALE_SQL_DELETE == (int)SHL_CS_DELETE &&
                  (int)SHALE_SQL_BLOB == (int)SHL_CS_BLOB &&
                  (int)SHALE_SQL_NULL_VALUE == (int)SHL_CS_NULL,
              "the numbers of changesets");

void shale_sql_options_init(shale_sql_options *o, size_t struct_size)
{
    shale_sql_options mine = {.struct_size = sizeof mine,
                              .max_retries = 10,
                              .gc_grace_ms = GC_GRACE_MS,
                              .at_seq = SHALE_SQL_NONE,
                              .at_unix_ms = SHALE_SQL_NONE};
    o->struct_size = struct_size;
    shl_api_give_struct(o, &mine, sizeof mine);
}

/* ---- set-up that all calls share */

/* Stack and options of a call; {0} may be ended. */
struct call {
    struct shl_api_stack stack;
    struct shl_sql_options o;
    char *prefix;            /* owned */
    shale_options *defaults; /* owned */
};

static void call_end(struct call *c)
{
    shl_api_stack_close(&c->stack);
    shale_options_free(c->defaults);
    env_free(c->prefix);
    *c = (struct call){0};
}

static char *prefix_of(const char *path)
{
    const char *name = path[0] == '\0' ? UNNAMED : path;
    size_t len = strlen(name);
    char *prefix = env_alloc(len + 2);
    if (prefix != NULL) {
        memcpy(prefix, name, len);
        memcpy(prefix + len, "/", 2);
    }
    return prefix;
}

static shale_code check_place(void *ctx, shale_error *err)
{
    return shl_api_check_place(ctx, SHL_API_SQL, err);
}

static shale_code call_begin(struct call *c, const char *url, const shale_options *options,
                             bool reader, shale_error *err)
{
    shale_code rc;
    shl_sql_options_init(&c->o);
    if (url == NULL)
        SHL_TRY(shl_fail(err, SHALE_INVALID, "the URL is NULL"));
    if (options == NULL)
        options = c->defaults = shale_options_new();
    if (options == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_api_stack_open_shared(&c->stack, url, options, reader, err));
    c->prefix = prefix_of(c->stack.path);
    if (c->prefix == NULL)
        SHL_TRY(shl_nomem(err));
    c->o.store = c->stack.store;
    c->o.once = c->stack.count;
    c->o.prefix = c->prefix;
    c->o.log = shl_api_hooks_log(c->stack.hooks);
    c->o.before_create = check_place;
    c->o.before_create_ctx = &c->stack;
    return SHALE_OK;
out:
    call_end(c);
    return rc;
}

/* The public options as the engine's; migrations stay out. */
static void take_options(struct shl_sql_options *o, const shale_sql_options *how)
{
    o->local_path = how->local_path;
    o->max_retries = how->max_retries;
    o->auto_compact = how->auto_compact;
    o->compact_error = how->compact_error;
    o->compact_error_ctx = how->compact_error_ctx;
    o->schema_unchecked = how->schema_unchecked;
    o->must_exist = how->must_exist;
    o->merge = how->merge;
    o->allow_triggers = how->allow_triggers;
    o->ignore_triggers = how->ignore_triggers;
    o->lazy = how->lazy;
    o->compress = how->compress_snapshots;
    o->at_seq = how->at_seq;
    o->at_unix_ms = how->at_unix_ms;
}

static shale_code known_options(shale_sql_options *out, const shale_sql_options *how,
                                shale_error *err)
{
    shale_sql_options_init(out, sizeof *out);
    return shl_api_take_struct(out, sizeof *out, how, "shale_sql_options", err);
}

/* ---- handles */

static shale_code copy_migrations(shale_sql *s, const shale_sql_options *how, shale_error *err)
{
    if (how->migration_count > 0 && how->migrations == NULL)
        return shl_fail(err, SHALE_INVALID, "sql: migrations is NULL, migration_count is %zu",
                        how->migration_count);
    s->migrations = env_calloc(how->migration_count + 1, sizeof *s->migrations);
    if (s->migrations == NULL)
        return shl_nomem(err);
    for (size_t i = 0; i < how->migration_count; i++) {
        const shale_sql_migration *m = &how->migrations[i];
        if (m->up == NULL)
            return shl_fail(err, SHALE_INVALID, "sql: a migration has no function");
        s->migrations[i] = (struct shl_sql_migration){.version = m->version,
                                                      .name = m->name == NULL ? "" : m->name,
                                                      .up = m->up,
                                                      .ctx = m->ctx};
    }
    return SHALE_OK;
}

shale_code shale_sql_open(shale_sql **out, const char *url, const shale_options *options,
                          const shale_sql_options *how, shale_error *err)
{
    SHL_API_ERR(err);
    struct call c = {0};
    shale_sql_options known;
    shale_sql *s = NULL;
    shale_code rc;
    if (out == NULL)
        return shl_fail(err, SHALE_INVALID, "sql: the place for the handle is NULL");
    SHL_TRY(known_options(&known, how, err));
    SHL_TRY(call_begin(&c, url, options, known.must_exist, err));
    s = env_calloc(1, sizeof *s);
    if (s == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(copy_migrations(s, &known, err));
    take_options(&c.o, &known);
    c.o.migrations = s->migrations;
    c.o.migration_count = known.migration_count;
    rc = shl_sql_open(&s->sql, &c.o, err);
    if (rc == SHALE_NOT_FOUND)
        shl_api_suggest(&c.stack, err);
    SHL_TRY(rc);
    s->gc_grace_ms = known.gc_grace_ms;
    s->stack = c.stack;
    c.stack = (struct shl_api_stack){0}; /* moved to the handle */
    *out = s;
    s = NULL;
out:
    shale_sql_close(s);
    call_end(&c);
    return rc;
}

void shale_sql_close(shale_sql *sql)
{
    if (sql == NULL)
        return;
    shl_sql_close(sql->sql);
    shl_api_stack_close(&sql->stack);
    env_free(sql->migrations);
    env_free(sql);
}

static shale_code check_call(const shale_sql *sql, bool has_fn, shale_error *err)
{
    if (sql != NULL && has_fn)
        return SHALE_OK;
    return shl_fail(err, SHALE_INVALID, "sql: the %s is NULL", sql == NULL ? "handle" : "function");
}

shale_code shale_sql_view(shale_sql *sql, shale_sql_fn fn, void *ctx, shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check_call(sql, fn != NULL, err);
    return rc != SHALE_OK ? rc : shl_sql_view(sql->sql, fn, ctx, err);
}

shale_code shale_sql_update(shale_sql *sql, shale_sql_fn fn, void *ctx, shale_sql_commit *out,
                            shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_sql_commit c = {0};
    shale_code rc = check_call(sql, fn != NULL, err);
    if (rc == SHALE_OK)
        rc = shl_sql_update(sql->sql, fn, ctx, &c, err);
    if (rc == SHALE_OK && out != NULL) {
        const shale_sql_commit mine = {
            .struct_size = sizeof mine, .seq = c.seq, .changed = c.changed, .tries = c.tries};
        shl_api_give_struct(out, &mine, sizeof mine);
    }
    return rc;
}

shale_code shale_sql_compact(shale_sql *sql, shale_error *err)
{
    SHL_API_ERR(err);
    shale_code rc = check_call(sql, true, err);
    return rc != SHALE_OK ? rc : shl_sql_compact(sql->sql, err);
}

static void count_unfinished(void *ctx, const char *path, uint64_t bytes)
{
    shale_sql_gc_report *r = ctx;
    (void)path;
    r->unfinished++;
    r->bytes += bytes;
}

/* What killed writers left in a folder. */
static shale_code sweep(shale_sql *sql, bool dry_run, shale_sql_gc_report *io, shale_error *err)
{
    uint64_t grace_ns = shl_min_u64(sql->gc_grace_ms, INT64_MAX / ENV_NS_PER_MS) * ENV_NS_PER_MS;
    struct shl_sweep how = {.prefix = sql->stack.path[0] == '\0' ? UNNAMED : sql->stack.path,
                            .age_ns = shl_max_u64(SHL_SWEEP_AGE_NS, grace_ns),
                            .dry_run = dry_run,
                            .visit = count_unfinished,
                            .ctx = io};
    return shl_store_sweep(sql->stack.backend, &how, err);
}

shale_code shale_sql_gc(shale_sql *sql, bool dry_run, shale_sql_gc_report *out, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_sql_gc_result r = {0};
    shale_code rc = check_call(sql, true, err);
    if (rc == SHALE_OK)
        rc = shl_sql_gc(sql->sql, sql->gc_grace_ms, dry_run, &r, err);
    shale_sql_gc_report mine = {.struct_size = sizeof mine,
                                .changesets = r.changesets,
                                .snapshots = r.snapshots,
                                .bytes = r.bytes,
                                .left = r.left};
    (void)snprintf(mine.left_why, sizeof mine.left_why, "%.255s", r.why.text);
    if (rc == SHALE_OK)
        rc = sweep(sql, dry_run, &mine, err);
    if (rc == SHALE_OK && out != NULL)
        shl_api_give_struct(out, &mine, sizeof mine);
    return rc;
}

shale_code shale_sql_status_get(shale_sql *sql, bool refresh, shale_sql_status *out,
                                shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_sql_status s;
    shale_code rc = check_call(sql, out != NULL, err);
    if (rc == SHALE_OK)
        rc = shl_sql_status(sql->sql, refresh, &s, err);
    if (rc != SHALE_OK)
        return rc;
    shale_sql_status mine = {.struct_size = sizeof mine,
                             .seq = s.seq,
                             .schema_version = s.schema_version,
                             .snapshot_seq = s.snapshot_seq,
                             .snapshot_bytes = s.snapshot_bytes,
                             .log_entries = s.log_entries,
                             .log_bytes = s.log_bytes};
    memcpy(mine.snapshot_key, s.snapshot_key, sizeof mine.snapshot_key);
    shl_api_give_struct(out, &mine, sizeof mine);
    return SHALE_OK;
}

void shale_sql_store_counts(shale_sql *sql, shale_store_counts *out)
{
    if (sql != NULL)
        shl_api_stack_give_counts(&sql->stack, out);
}

/* ---- the feed */

struct log_visit {
    bool (*visit)(void *ctx, const shale_sql_entry *entry);
    void *ctx;
};

static bool on_entry(void *ctx, const struct shl_sql_entry *e)
{
    const struct log_visit *v = ctx;
    const shale_sql_entry mine = {.seq = e->seq,
                                  .bytes = e->size,
                                  .stored_ms = e->modified_ms,
                                  .key = e->key,
                                  .changeset = shale_bytes(e->body.data, e->body.len)};
    return v->visit(v->ctx, &mine);
}

shale_code shale_sql_log(shale_sql *sql, int64_t after, bool changesets, bool times,
                         bool (*visit)(void *ctx, const shale_sql_entry *entry), void *ctx,
                         shale_error *err)
{
    SHL_API_ERR(err);
    struct log_visit v = {.visit = visit, .ctx = ctx};
    shale_code rc = check_call(sql, visit != NULL, err);
    return rc != SHALE_OK ? rc : shl_sql_log(sql->sql, after, changesets, times, on_entry, &v, err);
}

struct value_list {
    SHL_ARRAY(shale_sql_value) values; /* owned: old ones, then new ones */
};

static void fill_values(shale_sql_value *out, struct shl_slice record, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct shl_cs_value v = shl_cs_value_next(&record);
        out[i] = (shale_sql_value){.type = (shale_sql_type)v.type,
                                   .integer = v.integer,
                                   .real = v.real,
                                   .bytes = shale_bytes(v.bytes.data, v.bytes.len)};
    }
}

shale_code shale_sql_changes_each(shale_slice changeset,
                                  bool (*visit)(void *ctx, const shale_sql_change *change),
                                  void *ctx, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_cs_reader r = shl_cs_reader_of(shl_slice_of(changeset.data, changeset.len));
    struct shl_cs_change c;
    struct value_list l = {0};
    shale_code rc = SHALE_OK;
    bool more = true;
    if (visit == NULL)
        return shl_fail(err, SHALE_INVALID, "sql: the callback is NULL");
    while (more && (rc = shl_cs_next(&r, &c, err)) == SHALE_OK) {
        l.values.count = 0;
        if (!shl_array_reserve(&l.values, 2 * (size_t)c.columns)) {
            rc = shl_nomem(err);
            break;
        }
        shale_sql_value *old_values = c.op == SHL_CS_INSERT ? NULL : l.values.items;
        shale_sql_value *new_values = c.op == SHL_CS_DELETE ? NULL : l.values.items + c.columns;
        if (old_values != NULL)
            fill_values(old_values, c.old_row, c.columns);
        if (new_values != NULL)
            fill_values(new_values, c.new_row, c.columns);
        const shale_sql_change mine = {.table = shale_bytes(c.table.data, c.table.len),
                                       .op = (shale_sql_op)c.op,
                                       .indirect = c.indirect,
                                       .column_count = c.columns,
                                       .key_places = c.key_places,
                                       .old_values = old_values,
                                       .new_values = new_values};
        more = visit(ctx, &mine);
    }
    shl_array_free(&l.values);
    return rc == SHALE_DONE ? SHALE_OK : rc;
}

/* ---- whole databases */

shale_code shale_sql_create(const char *url, const shale_options *options, const char *file,
                            shale_error *err)
{
    SHL_API_ERR(err);
    struct call c = {0};
    shale_code rc = call_begin(&c, url, options, false, err);
    if (rc == SHALE_OK)
        rc = shl_sql_init(&c.o, file, err);
    call_end(&c);
    return rc;
}

static void give_pulled(shale_sql_pulled *out, const struct shl_sql_pulled *p)
{
    shale_sql_pulled mine = {.struct_size = sizeof mine,
                             .seq = p->seq,
                             .schema_version = p->schema_version,
                             .snapshot_bytes = p->snapshot_bytes,
                             .log_entries = p->log_entries};
    memcpy(mine.snapshot_key, p->snapshot_key, sizeof mine.snapshot_key);
    if (out != NULL)
        shl_api_give_struct(out, &mine, sizeof mine);
}

/* The error of a database that is not there names near ones. */
static shale_code suggest(struct call *c, shale_code rc, shale_error *err)
{
    if (rc == SHALE_NOT_FOUND && strncmp(err->text, "no database here", 16) == 0)
        shl_api_suggest(&c->stack, err);
    return rc;
}

shale_code shale_sql_pull(const char *url, const shale_options *options,
                          const shale_sql_options *how, const char *file, shale_sql_pulled *out,
                          shale_error *err)
{
    SHL_API_ERR(err);
    struct call c = {0};
    struct shl_sql_pulled p;
    shale_sql_options known;
    shale_code rc;
    if (file == NULL)
        return shl_fail(err, SHALE_INVALID, "sql: the file is NULL");
    SHL_TRY(known_options(&known, how, err));
    SHL_TRY(call_begin(&c, url, options, true, err));
    take_options(&c.o, &known);
    SHL_TRY(suggest(&c, shl_sql_pull(&c.o, file, &p, err), err));
    give_pulled(out, &p);
out:
    call_end(&c);
    return rc;
}

shale_code shale_sql_push(const char *url, const shale_options *options, const char *file,
                          int64_t expected_seq, const char *expected_snapshot,
                          shale_sql_pulled *out, shale_error *err)
{
    SHL_API_ERR(err);
    struct call c = {0};
    struct shl_sql_pulled p;
    shale_code rc;
    if (file == NULL)
        return shl_fail(err, SHALE_INVALID, "sql: the file is NULL");
    SHL_TRY(call_begin(&c, url, options, true, err));
    SHL_TRY(suggest(&c, shl_sql_push(&c.o, file, expected_seq, expected_snapshot, &p, err), err));
    give_pulled(out, &p);
out:
    call_end(&c);
    return rc;
}
