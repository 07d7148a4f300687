/* Goal: whatever allocation or store call fails while a sql database is opened, read, written, compacted and collected: the call says so, nothing leaks, and a commit is whole or not
 * there, as its answer said. Method: one scenario over a bucket; a loop for every kind of fault breaks its n-th point for n = 0, 1, .. until the n-th point is never
 * reached (allocations in steps, for SQLite makes many); after each run a process without faults looks. FAULT_N=n runs one point. */
#include "base/assert.h"
#include "sql/sql.h"
#include "sql/sqlite_env.h"
#include "store/memory.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct shl_store *bucket;
    struct world_faults faults, none;
    bool allocs, sticky;
    uint64_t n, seen;
    shale_code commits[3]; /* what each update answered */
    bool tried[3], unknown[3];
    bool ended;
};

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static shale_code make(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    int rc = sqlite3_exec(db,
                          "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE u(k TEXT "
                          "PRIMARY KEY, v) WITHOUT ROWID",
                          NULL, NULL, NULL);
    return rc == SQLITE_OK      ? SHALE_OK
           : rc == SQLITE_NOMEM ? shl_fail(err, SHALE_NOMEM, "out of memory")
                                : shl_fail(err, SHALE_INTERNAL, "%s", sqlite3_errmsg(db));
}

static shale_code insert(void *ctx, sqlite3 *db, shale_error *err)
{
    char sql[120];
    snprintf(sql, sizeof sql, "INSERT INTO t VALUES(%d, 'x'); INSERT INTO u VALUES('k%d', x'00')",
             *(int *)ctx, *(int *)ctx);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK      ? SHALE_OK
           : rc == SQLITE_NOMEM ? shl_fail(err, SHALE_NOMEM, "out of memory")
                                : shl_fail(err, SHALE_INTERNAL, "%s", sqlite3_errmsg(db));
}

static shale_code count(void *ctx, sqlite3 *db, shale_error *err)
{
    sqlite3_stmt *q = NULL;
    int64_t *found = ctx;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT (SELECT group_concat(id, '') FROM (SELECT id FROM t ORDER "
                                "BY id)), (SELECT count(*) FROM u), (SELECT count(*) FROM t)",
                                -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        found[0] = sqlite3_column_int64(q, 0);
        found[1] = sqlite3_column_int64(q, 1);
        found[2] = sqlite3_column_int64(q, 2);
    }
    (void)sqlite3_finalize(q);
    return rc == SQLITE_ROW     ? SHALE_OK
           : rc == SQLITE_NOMEM ? shl_fail(err, SHALE_NOMEM, "out of memory")
                                : shl_fail(err, SHALE_INTERNAL, "%s", sqlite3_errmsg(db));
}

static const struct shl_sql_migration migrations[] = {{.version = 1, .name = "tables", .up = make}};

static shale_code open_db(struct scene *s, struct world_faults *faults, struct shl_store **store,
                          struct shl_sql **out, shale_error *err)
{
    struct shl_sql_options o;
    shale_code rc = world_store_new(s->bucket, faults, store, err);
    if (rc != SHALE_OK)
        return rc;
    shl_sql_options_init(&o);
    o.store = *store;
    o.prefix = "db/";
    o.migrations = migrations;
    o.migration_count = 1;
    o.max_retries = 3;
    rc = shl_sql_open(out, &o, err);
    if (rc != SHALE_OK)
        shl_store_unref(*store);
    return rc;
}

/* The answer may be the fault's, or that of SQLite where memory went away under it. */
static bool allowed(const struct scene *s, shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return true;
    bool fits = s->allocs ? rc == SHALE_NOMEM || rc == SHALE_UNAVAILABLE || rc == SHALE_CONFLICT
                          : rc == SHALE_UNAVAILABLE || rc == SHALE_CONFLICT;
    if (!fits)
        must(rc, err, what);
    return false;
}

static void use(struct scene *s, struct shl_sql *db)
{
    shale_error err = {0};
    int64_t found[3];
    for (int i = 0; i < 3; i++) {
        int id = i + 1;
        s->tried[i] = true;
        s->commits[i] = shl_sql_update(db, insert, &id, NULL, &err);
        s->unknown[i] = s->commits[i] != SHALE_OK && strncmp(err.text, "outcome unknown", 15) == 0;
        (void)allowed(s, s->commits[i], &err, "update");
        (void)allowed(s, shl_sql_view(db, count, found, &err), &err, "view");
        if (i == 1)
            (void)allowed(s, shl_sql_compact(db, &err), &err, "compact");
    }
    (void)allowed(s, shl_sql_gc(db, 0, false, NULL, &err), &err, "gc");
}

static void scenario(void *arg)
{
    struct scene *s = arg;
    struct shl_sql *db;
    struct shl_store *store;
    shale_error err = {0};
    if (s->allocs)
        sim_alloc_fault_arm(sim_group_self(), s->n, s->sticky);
    if (allowed(s, open_db(s, &s->faults, &store, &db, &err), &err, "open")) {
        use(s, db);
        shl_sql_close(db);
        shl_store_unref(store);
    }
    if (s->allocs)
        s->seen = sim_alloc_fault_disarm(sim_group_self());
    s->ended = true;
}

static void look(void *arg)
{
    struct scene *s = arg;
    struct shl_sql *db;
    struct shl_store *store;
    shale_error err = {0};
    int64_t found[3];
    char ids[8] = "";
    must(open_db(s, &s->none, &store, &db, &err), &err, "last open");
    must(shl_sql_view(db, count, found, &err), &err, "last view");
    if (found[1] != found[2])
        env_die("half of a commit is there");
    snprintf(ids, sizeof ids, "%" PRId64, found[0]);
    for (int i = 0; i < 3; i++) {
        bool there = strchr(ids, '1' + i) != NULL;
        if (s->tried[i] && s->commits[i] == SHALE_OK && !there)
            env_die("an acknowledged commit is lost");
        if (s->tried[i] && s->commits[i] != SHALE_OK && !s->unknown[i] && there)
            env_die("a commit that failed is there");
    }
    shl_sql_close(db);
    shl_store_unref(store);
}

static void run_main(void *arg)
{
    struct scene *s = arg;
    void (*const parts[])(void *) = {scenario, look};
    for (int i = 0; i < 2; i++) {
        sim_group g = sim_group_new(i == 0 ? "faulty" : "looks", 0);
        sim_group_spawn(g, "main", parts[i], s);
        sim_group_wait(g);
        if (sim_alloc_live(g) > 0) {
            sim_alloc_live_print(g, 10);
            env_die("memory is still there");
        }
    }
}

/* True if the n-th point was reached. */
static bool run_at(struct scene *s)
{
    shale_error err = {0};
    world_init();
    sim_fs_reset();
    if (shl_store_memory_new(&s->bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = 1 + s->n, .policy = SIM_RUN_UNTIL_BLOCK, .scenario = "sql fault"};
    (void)sim_run(&o, run_main, s);
    shl_store_unref(s->bucket);
    return s->allocs ? s->seen > s->n : s->faults.fired;
}

static uint64_t loop(const char *name, unsigned armed, bool allocs, bool sticky, uint64_t step)
{
    const char *one = getenv("FAULT_N");
    uint64_t n = one != NULL ? strtoull(one, NULL, 10) : 0;
    for (;; n += step) {
        struct scene s = {.allocs = allocs, .sticky = sticky, .n = n};
        s.faults = (struct world_faults){.armed = armed, .nth = n, .sticky = sticky};
        bool more = run_at(&s);
        if (!more || one != NULL)
            break;
    }
    printf("%s: %" PRIu64 " points\n", name, n);
    return n;
}

int main(void)
{
    shale_error err = {0};
    if (shl_sql_use_env(&err) != SHALE_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)loop("store fails before", WORLD_FAIL_BEFORE, false, false, 1);
    (void)loop("store fails after", WORLD_FAIL_AFTER, false, false, 1);
    (void)loop("store fails for ever", WORLD_FAIL_BEFORE, false, true, 1);
    (void)loop("answers are lost for ever", WORLD_FAIL_AFTER, false, true, 1);
    (void)loop("an allocation", 0, true, false, 29);
    (void)loop("all allocations", 0, true, true, 61);
    return 0;
}
