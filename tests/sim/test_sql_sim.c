/* Goal: whatever the schedule, lost answers, slow and failing stores, crashes, compactions and collectors: commits of a sql database are serializable, never
 * lost once acknowledged, never there twice, and a fresh reader sees what the log says. Method: processes with several clients each, a seed each, over
 * one bucket. Each commit counts a register up and appends its token with the number that it saw (so the tokens must number the commits without a gap: register
 * and list-append); transfers keep the sum of accounts; and of two that are on call each may leave only while the other is there (write skew). How to choose seeds: driver.h. */
#include "base/assert.h"
#include "base/codec/json.h"
#include "driver.h"
#include "sql/sql.h"
#include "sql/sqlite_env.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS    3
#define PROCESSES  3
#define TOKENS_MAX 400
#define ACCOUNTS   5
#define FUNDS      100

enum known { NOT_TRIED, FAILED, MAYBE, COMMITTED };

struct scene {
    struct shl_store *bucket;
    struct world_faults faults, none;
    enum known tokens[TOKENS_MAX];
    unsigned next;
    bool merges; /* some processes merge by column: no write skew then */
    bool collects;
    uint64_t commits, reruns;
};

struct process {
    struct scene *scene;
    struct shl_store *world, *store;
    struct shl_sql *db;
    bool merge;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

/* ---------------------------------------------------------------- SQL in a few words */

static shale_code run(sqlite3 *db, shale_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static shale_code run(sqlite3 *db, shale_error *err, const char *format, ...)
{
    char sql[400];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return SHALE_OK;
    return shl_fail(err, SHALE_INTERNAL, "%s: %s", sql, sqlite3_errmsg(db));
}

static shale_code number(sqlite3 *db, const char *sql, int64_t *out, shale_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    (void)sqlite3_finalize(q);
    return rc == SQLITE_ROW ? SHALE_OK
                            : shl_fail(err, SHALE_INTERNAL, "%s: %s", sql, sqlite3_errmsg(db));
}

static shale_code make_tables(void *ctx, sqlite3 *db, shale_error *err)
{
    (void)ctx;
    shale_code rc;
    SHL_TRY(
        run(db, err,
            "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INT); INSERT INTO counter VALUES(1, 0);"
            "CREATE TABLE tokens(token INTEGER PRIMARY KEY, n INT);"
            "CREATE TABLE accounts(id TEXT PRIMARY KEY, n INT) WITHOUT ROWID;"
            "CREATE TABLE oncall(id INTEGER PRIMARY KEY, here INT); INSERT INTO oncall "
            "VALUES(1,1),(2,1);"));
    for (int i = 0; i < ACCOUNTS; i++)
        SHL_TRY(run(db, err, "INSERT INTO accounts VALUES('a%d', %d)", i, FUNDS));
out:
    return rc;
}

static const struct shl_sql_migration migrations[] = {
    {.version = 1, .name = "tables", .up = make_tables}};

/* ---------------------------------------------------------------- operations */

struct op {
    unsigned token;
    int kind;
    unsigned runs;
};

static void pause_a_while(void)
{
    if (sim_chance(0.3))
        env_sleep_ns(sim_rand_below(20 * ENV_NS_PER_MS));
}

static shale_code transfer(sqlite3 *db, shale_error *err)
{
    unsigned from = (unsigned)sim_rand_below(ACCOUNTS), to = (unsigned)sim_rand_below(ACCOUNTS);
    int64_t n;
    char sql[80];
    shale_code rc;
    snprintf(sql, sizeof sql, "SELECT n FROM accounts WHERE id = 'a%u'", from);
    SHL_TRY(number(db, sql, &n, err));
    pause_a_while();
    if (n <= 0 || from == to)
        return SHALE_OK;
    SHL_TRY(run(db, err, "UPDATE accounts SET n = %" PRId64 " WHERE id = 'a%u'", n - 1, from));
    SHL_TRY(run(db, err, "UPDATE accounts SET n = n + 1 WHERE id = 'a%u'", to));
out:
    return rc;
}

/* Who is on call may leave if the other one stays; else it comes back. */
static shale_code leave(sqlite3 *db, unsigned who, shale_error *err)
{
    int64_t here;
    shale_code rc;
    SHL_TRY(number(db, "SELECT sum(here) FROM oncall", &here, err));
    pause_a_while();
    SHL_TRY(run(db, err, "UPDATE oncall SET here = %d WHERE id = %u", here == 2 ? 0 : 1, who));
out:
    return rc;
}

static shale_code commit_op(void *ctx, sqlite3 *db, shale_error *err)
{
    struct op *op = ctx;
    int64_t n;
    shale_code rc;
    op->runs++;
    if (op->kind == 1)
        return leave(db, 1 + op->token % 2, err);
    if (op->kind == 2)
        SHL_TRY(transfer(db, err));
    SHL_TRY(number(db, "SELECT n FROM counter WHERE id = 1", &n, err));
    pause_a_while();
    SHL_TRY(run(db, err, "UPDATE counter SET n = %" PRId64 " WHERE id = 1", n + 1));
    SHL_TRY(run(db, err, "INSERT INTO tokens VALUES(%u, %" PRId64 ")", op->token, n + 1));
out:
    return rc;
}

static shale_code look(void *ctx, sqlite3 *db, shale_error *err)
{
    struct scene *s = ctx;
    int64_t n, count, last, distinct, sum, here;
    shale_code rc;
    SHL_TRY(number(db, "SELECT n FROM counter", &n, err));
    SHL_TRY(number(db, "SELECT count(*) FROM tokens", &count, err));
    SHL_TRY(number(db, "SELECT coalesce(max(n), 0) FROM tokens", &last, err));
    SHL_TRY(number(db, "SELECT count(DISTINCT n) FROM tokens", &distinct, err));
    SHL_TRY(number(db, "SELECT sum(n) FROM accounts", &sum, err));
    SHL_TRY(number(db, "SELECT sum(here) FROM oncall", &here, err));
    if (n != count || last != count || distinct != count)
        env_die("the register does not number the commits");
    if (sum != ACCOUNTS * FUNDS)
        env_die("money was made or lost");
    if (!s->merges && here < 1)
        env_die("write skew: nobody is on call");
out:
    return rc;
}

/* ---------------------------------------------------------------- processes */

static shale_code open_db(struct scene *s, struct world_faults *faults, struct process *p,
                          shale_error *err)
{
    struct shl_sql_options o;
    struct shl_retry_options retry = {.max_retries = 4, .delay_first_ns = 5 * ENV_NS_PER_MS};
    shale_code rc;
    shl_sql_options_init(&o);
    SHL_TRY(world_store_new(s->bucket, faults, &p->world, err));
    SHL_TRY(shl_store_retry_new(&p->store, p->world, &retry, err));
    o.store = p->store;
    o.once = p->world;
    o.prefix = "db/";
    o.migrations = migrations;
    o.migration_count = 1;
    o.merge = p->merge;
    o.max_retries = 6;
    o.local_path = NULL;
    o.auto_compact = sim_chance(0.3) ? 1 + sim_rand_below(8) : 0;
    SHL_TRY(shl_sql_open(&p->db, &o, err));
out:
    return rc;
}

static void close_db(struct process *p)
{
    shl_sql_close(p->db);
    shl_store_unref(p->store);
    shl_store_unref(p->world);
    p->db = NULL;
}

static bool is_expected(const shale_error *err)
{
    return err->code == SHALE_UNAVAILABLE || err->code == SHALE_TIMEOUT ||
           err->code == SHALE_CONFLICT;
}

static void try_commit(struct process *p)
{
    struct scene *s = p->scene;
    shale_error err = {0};
    struct op op = {.token = s->next++, .kind = (int)sim_rand_below(3)};
    struct shl_sql_commit commit;
    if (op.kind != 1)
        s->tokens[op.token] = MAYBE; /* until it is known */
    shale_code rc = shl_sql_update(p->db, commit_op, &op, &commit, &err);
    sim_trace("token %u kind %d: %s", op.token, op.kind, rc == SHALE_OK ? "ok" : err.text);
    if (rc != SHALE_OK && !is_expected(&err))
        die_of("update", &err);
    if (op.kind == 1)
        return;
    s->reruns += op.runs > 1;
    if (rc == SHALE_OK) {
        s->tokens[op.token] = COMMITTED;
        s->commits++;
    } else if (strncmp(err.text, "outcome unknown", 15) != 0)
        s->tokens[op.token] = FAILED;
}

static void client(void *arg)
{
    struct process *p = arg;
    shale_error err = {0};
    for (int i = 0; i < 6 && p->scene->next < TOKENS_MAX; i++) {
        shale_code rc = SHALE_OK;
        sim_progress();
        pause_a_while();
        if (sim_chance(0.7))
            try_commit(p);
        else if (sim_chance(0.7))
            rc = shl_sql_view(p->db, look, p->scene, &err);
        else if (sim_chance(0.5))
            rc = shl_sql_compact(p->db, &err);
        else if (p->scene->collects)
            rc = shl_sql_gc(p->db, 300000, false, NULL, &err);
        if (rc != SHALE_OK && !is_expected(&err))
            die_of("client", &err);
    }
}

static void process_main(void *arg)
{
    struct scene *s = arg;
    struct process p = {.scene = s, .merge = s->merges && sim_chance(0.5)};
    struct env_task *tasks[CLIENTS];
    unsigned count = 1 + (unsigned)sim_rand_below(CLIENTS);
    shale_error err = {0};
    if (open_db(s, &s->faults, &p, &err) != SHALE_OK) {
        if (!is_expected(&err))
            die_of("open", &err);
        shl_store_unref(p.store);
        shl_store_unref(p.world);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        if (env_task_spawn(&tasks[i], "client", client, &p) != SHALE_OK)
            env_die("spawn");
    for (unsigned i = 0; i < count; i++)
        env_task_join(tasks[i]);
    close_db(&p);
}

/* ---------------------------------------------------------------- at the end */

struct verdict {
    struct scene *scene;
};

static shale_code check_tokens(void *ctx, sqlite3 *db, shale_error *err)
{
    struct scene *s = ((struct verdict *)ctx)->scene;
    bool there[TOKENS_MAX] = {false};
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT token FROM tokens", -1, &q, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(q);
        if (rc == SQLITE_ROW)
            there[sqlite3_column_int64(q, 0)] = true;
    }
    (void)sqlite3_finalize(q);
    if (rc != SQLITE_DONE)
        return shl_fail(err, SHALE_INTERNAL, "%s", sqlite3_errmsg(db));
    for (unsigned i = 0; i < s->next; i++) {
        if (s->tokens[i] == COMMITTED && !there[i])
            env_die("an acknowledged commit is lost");
        if (s->tokens[i] == FAILED && there[i])
            env_die("a commit that failed is there");
    }
    return look(s, db, err);
}

/* A reader without faults, and one that replays everything anew, agree with what is known. */
static void check_all(struct scene *s)
{
    struct process p = {.scene = s};
    struct verdict v = {.scene = s};
    shale_error err = {0};
    if (open_db(s, &s->none, &p, &err) != SHALE_OK)
        die_of("last open", &err);
    if (shl_sql_view(p.db, check_tokens, &v, &err) != SHALE_OK)
        die_of("last view", &err);
    close_db(&p);
}

static void reader_main(void *arg)
{
    check_all(arg);
}

static void crowd_main(void *arg)
{
    struct scene *s = arg;
    s->merges = sim_chance(0.3);
    s->collects = sim_chance(0.5);
    s->faults = (struct world_faults){.latency_max_ns = sim_rand_below(40) * ENV_NS_PER_MS};
    if (sim_chance(0.7))
        s->faults.before = s->faults.after = (double)sim_rand_below(80) / 1000.0;
    for (int round = 0; round < 2; round++) {
        sim_group g[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            g[i] = sim_group_new("process", 0);
            sim_group_spawn(g[i], "main", process_main, s);
        }
        for (int i = 0; i < PROCESSES; i++) {
            if (sim_chance(0.3)) {
                env_sleep_ns(sim_rand_below(1500 * ENV_NS_PER_MS));
                if (sim_group_alive(g[i]))
                    sim_group_kill(g[i]);
            }
            sim_group_wait(g[i]);
        }
        sim_group reader = sim_group_new("reader", 0);
        sim_group_spawn(reader, "main", reader_main, s);
        sim_group_wait(reader);
        if (sim_alloc_live(reader) > 0) {
            sim_alloc_live_print(reader, 10);
            env_die("memory of an ended process is still there");
        }
    }
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {{"crowd", crowd_main}};

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    shale_error err = {0};
    scene = (struct scene){0};
    world_init();
    sim_fs_reset();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    shl_store_unref(scene.bucket);
    return hash;
}

int main(void)
{
    shale_error err = {0};
    if (shl_sql_use_env(&err) != SHALE_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
}
