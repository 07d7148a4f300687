/* Goal: under any schedule, with faults of the store and kills, transactions are serializable (or snapshot-isolated, if that was asked), whole, and
 * durable once acknowledged. Method: clients interleaved in the simulation, a seed each. "graph": their history must have no cycle. "bank": transfers between
 * accounts, each with a line in a journal; every view sums to the constant, and agrees with the journal, also after a kill; no acknowledged line is lost.
 * How to choose seeds: driver.h. */
#include "base/assert.h"
#include "driver.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "support/txn_history.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS  4
#define ACCOUNTS 5
#define FUNDS    1000
#define LINES    400

struct scene {
    struct shl_store *bucket;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    bool serializable;
    bool acked[LINES]; /* lines of the journal that are durable for sure */
    unsigned lines;
    bool clean;
};

struct process {
    struct scene *scene;
    struct shl_store *world, *store;
    struct shl_lsm *db;
    unsigned running;
};

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void start(struct process *p, struct scene *s)
{
    shale_error err = {0};
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    *p = (struct process){.scene = s};
    struct shl_lsm_open o = {.path = "db", .settings = &s->settings};
    if (world_store_new(s->bucket, &s->faults, &p->world, &err) != SHALE_OK ||
        shl_store_retry_new(&p->store, p->world, &retry, &err) != SHALE_OK)
        die_of("store", &err);
    o.store = p->store;
    if (shl_lsm_open_writer(&o, &p->db, &err) != SHALE_OK)
        die_of("open", &err);
}

static void stop(struct process *p)
{
    shale_error err = {0};
    if (shl_lsm_close(p->db, &err) != SHALE_OK)
        die_of("close", &err);
    shl_store_unref(p->store);
    shl_store_unref(p->world);
}

static void pause_a_while(void)
{
    sim_progress();
    if (sim_chance(0.3))
        env_sleep_ns(sim_rand_below(20 * ENV_NS_PER_MS));
}

static void maintain(struct shl_lsm *db)
{
    shale_error err = {0};
    shale_code rc = SHALE_OK;
    if (sim_chance(0.05))
        rc = shl_lsm_flush(db, true, &err);
    else if (sim_chance(0.01))
        rc = shl_lsm_settle(db, &err);
    if (rc != SHALE_OK)
        die_of("flush", &err);
}

static void join_all(struct env_task **tasks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        env_task_join(tasks[i]);
}

/* ---------------------------------------------------------------- scenario: the graph */

static struct history history;

static void graph_client(void *arg)
{
    struct history_client *c = arg;
    shale_error err = {0};
    shale_code rc;
    while ((rc = history_step(c, &err)) == SHALE_OK)
        maintain(c->db);
    if (rc != SHALE_NOT_FOUND)
        die_of("transaction", &err);
}

static void graph_process(void *arg)
{
    struct scene *s = arg;
    struct process p;
    struct history_client clients[CLIENTS];
    struct env_task *tasks[CLIENTS];
    shale_error err = {0};
    start(&p, s);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct history_client){.history = &history,
                                             .db = p.db,
                                             .random = sim_rand(),
                                             .serializable = s->serializable,
                                             .pause = pause_a_while};
        if (env_task_spawn(&tasks[i], "client", graph_client, &clients[i]) != SHALE_OK)
            die_of("spawn", &err);
    }
    join_all(tasks, CLIENTS);
    stop(&p);
    s->clean = true;
}

static void random_world(struct scene *s)
{
    s->faults = (struct world_faults){.latency_max_ns = (1 + sim_rand_below(30)) * ENV_NS_PER_MS};
    if (sim_chance(0.5))
        s->faults.before = s->faults.after = (double)sim_rand_below(60) / 1000.0;
    world_random_settings(&s->settings);
    s->settings.wal_enabled = true;
    if (sim_chance(0.3))
        s->settings.transaction_log_bytes = 40000; /* some are too old at their commit */
}

static void graph_main(void *arg)
{
    struct scene *s = arg;
    s->serializable = sim_chance(0.6);
    random_world(s);
    memset(&history, 0, sizeof history);
    history.count = HISTORY_TXNS - 160; /* some are enough for a seed */
    sim_group g = sim_group_new("writer", 0);
    sim_group_spawn(g, "main", graph_process, s);
    sim_group_wait(g);
    const char *wrong = history_check(&history, s->serializable);
    if (wrong != NULL)
        env_die(wrong);
    if (!s->clean || history_commits(&history) < 10)
        env_die("too little was committed");
}

/* ---------------------------------------------------------------- scenario: the bank */

static struct shl_slice key_of(char kind, unsigned n, char out[16])
{
    snprintf(out, 16, "%c%05u", kind, n);
    return shl_slice_of(out, 6);
}

static long number_in(struct shl_slice value)
{
    char text[24] = "";
    SHL_ASSERT(value.len < sizeof text);
    if (value.len > 0)
        memcpy(text, value.data, value.len);
    return strtol(text, NULL, 10);
}

static shale_code balance(struct shl_txn *t, unsigned account, long *out, shale_error *err)
{
    struct shl_lsm_pinned p = {0};
    char key[16];
    shale_code rc = shl_txn_get(t, key_of('a', account, key), &(struct shl_lsm_read){0}, &p, err);
    if (rc == SHALE_OK)
        *out = number_in(p.value);
    shl_lsm_pinned_release(&p);
    return rc;
}

static shale_code set_balance(struct shl_txn *t, unsigned account, long amount, shale_error *err)
{
    char key[16], value[24];
    snprintf(value, sizeof value, "%ld", amount);
    return shl_txn_write(t, 0, key_of('a', account, key), shl_slice_str(value), (struct shl_ttl){0},
                         err);
}

static shale_code transfer(struct process *p, unsigned line, shale_error *err)
{
    struct shl_txn *t;
    unsigned from = (unsigned)sim_rand_below(ACCOUNTS);
    unsigned to = (from + 1 + (unsigned)sim_rand_below(ACCOUNTS - 1)) % ACCOUNTS;
    long a, b, amount = 1 + (long)sim_rand_below(50);
    char key[16], value[64];
    bool durable = sim_chance(0.5);
    shale_code rc = shl_txn_begin(p->db, p->scene->serializable, &t, err);
    if (rc != SHALE_OK)
        return rc;
    SHL_TRY(balance(t, from, &a, err));
    pause_a_while();
    SHL_TRY(balance(t, to, &b, err));
    SHL_TRY(set_balance(t, from, a - amount, err));
    pause_a_while();
    SHL_TRY(set_balance(t, to, b + amount, err));
    snprintf(value, sizeof value, "%u %u %ld", from, to, amount);
    SHL_TRY(shl_txn_write(t, 0, key_of('j', line, key), shl_slice_str(value), (struct shl_ttl){0},
                          err));
    SHL_TRY(shl_txn_commit(t, durable, 0, NULL, err));
    if (durable)
        p->scene->acked[line] = true;
out:
    shl_txn_close(t);
    return rc;
}

static void note_line(long balances[ACCOUNTS], const struct shl_row *row)
{
    char text[64] = "";
    unsigned from, to;
    long amount;
    SHL_ASSERT(row->value.len < sizeof text);
    memcpy(text, row->value.data, row->value.len);
    if (sscanf(text, "%u %u %ld", &from, &to, &amount) != 3 || from >= ACCOUNTS || to >= ACCOUNTS)
        env_die("a line of the journal is broken");
    balances[from] += amount;
    balances[to] -= amount;
}

/* Accounts come before the journal: a line takes back what it moved. Fills `there` (may be NULL). */
static void check_bank(struct shl_lsm *db, const struct shl_view *view, bool *there)
{
    shale_error err = {0};
    struct shl_lsm_iter *it;
    struct shl_row row;
    long balances[ACCOUNTS] = {0}, sum = 0;
    unsigned accounts = 0;
    shale_code rc;
    const struct shl_lsm_scan how = {.view = view};
    if (shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &how, &it, &err) != SHALE_OK)
        die_of("scan", &err);
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        unsigned n = (unsigned)number_in(shl_slice_of(row.key.data + 1, row.key.len - 1));
        if (row.key.data[0] == 'a') {
            balances[n] = number_in(row.value);
            sum += balances[n];
            accounts++;
        } else {
            note_line(balances, &row);
            if (there != NULL)
                there[n] = true;
        }
    }
    shl_lsm_iter_close(it);
    if (rc != SHALE_DONE)
        die_of("scan", &err);
    if (accounts == 0)
        return; /* not founded yet */
    if (accounts != ACCOUNTS || sum != (long)ACCOUNTS * FUNDS)
        env_die("money was made or lost");
    for (unsigned i = 0; i < ACCOUNTS; i++)
        if (balances[i] != FUNDS)
            env_die("the journal does not agree with an account");
}

static void bank_client(void *arg)
{
    struct process *p = arg;
    shale_error err = {0};
    for (unsigned i = 0; i < 25 && p->scene->lines < LINES; i++) {
        struct shl_snapshot *snapshot;
        shale_code rc = transfer(p, p->scene->lines++, &err);
        if (rc != SHALE_OK && rc != SHALE_CONFLICT)
            die_of("transfer", &err);
        maintain(p->db);
        if (!sim_chance(0.2))
            continue;
        if (shl_snapshot_open(p->db, &snapshot, &err) != SHALE_OK)
            die_of("snapshot", &err);
        check_bank(p->db, shl_snapshot_view(snapshot), NULL);
        pause_a_while();
        check_bank(p->db, shl_snapshot_view(snapshot), NULL);
        shl_snapshot_close(snapshot);
    }
}

static void found_bank(struct process *p)
{
    shale_error err = {0};
    struct shl_txn *t;
    shale_code rc = shl_txn_begin(p->db, true, &t, &err);
    long ignored;
    if (rc == SHALE_OK)
        rc = balance(t, 0, &ignored, &err);
    for (unsigned i = 0; i < ACCOUNTS && rc == SHALE_NOT_FOUND; i++)
        rc = set_balance(t, i, FUNDS, &err) == SHALE_OK ? SHALE_NOT_FOUND : err.code;
    if (rc == SHALE_OK || rc == SHALE_NOT_FOUND)
        rc = shl_txn_commit(t, true, 0, NULL, &err);
    shl_txn_close(t);
    if (rc != SHALE_OK)
        die_of("found the bank", &err);
}

static void bank_process(void *arg)
{
    struct scene *s = arg;
    struct process p;
    struct env_task *tasks[CLIENTS];
    static bool there[LINES];
    shale_error err = {0};
    s->clean = false;
    start(&p, s);
    memset(there, 0, sizeof there);
    check_bank(p.db, NULL, there);
    for (unsigned i = 0; i < LINES; i++)
        if (s->acked[i] && !there[i])
            env_die("an acknowledged transaction is lost");
    found_bank(&p);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (env_task_spawn(&tasks[i], "client", bank_client, &p) != SHALE_OK)
            die_of("spawn", &err);
    join_all(tasks, CLIENTS);
    check_bank(p.db, NULL, NULL);
    stop(&p);
    s->clean = true;
}

static void bank_main(void *arg)
{
    struct scene *s = arg;
    random_world(s);
    s->serializable = sim_chance(0.5);
    for (unsigned i = 0; i < 4; i++) {
        sim_group g = sim_group_new("writer", 0);
        bool killed = i < 3 && sim_chance(0.7);
        sim_group_spawn(g, "main", bank_process, s);
        if (killed) {
            env_sleep_ns(sim_rand_below(1500 * ENV_NS_PER_MS));
            if (sim_group_alive(g))
                sim_group_kill(g);
        } else {
            sim_group_wait(g);
            if (!s->clean)
                env_die("the bank did not close");
            if (sim_alloc_live(g) > 0) {
                sim_alloc_live_print(g, 10);
                env_die("memory of an ended process is still there");
            }
        }
    }
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {{"graph", graph_main}, {"bank", bank_main}};

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    shale_error err = {0};
    scene = (struct scene){0};
    world_init();
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
    return driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
}
