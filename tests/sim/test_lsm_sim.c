/* Goal: no schedule, crash, fault or second writer loses an acknowledged write, tears a batch or lets two writers win.
 * Method: whole databases in the deterministic simulation: processes over one bucket, a seed each, checked against the history of what clients did.
 * How to choose seeds: driver.h. */
#include "base/assert.h"
#include "bucket.h"
#include "driver.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct shl_store *bucket;
    struct world_history *history;
    struct world_history *zombie; /* what the older writer did after the newer one had opened */
    struct world_faults faults[2];
    struct shl_lsm_settings settings;
    bool clean; /* the last process closed and said OK */
    bool opened;
    bool newer_open;         /* the second writer's open returned ... */
    uint64_t newer_open_seq; /* ... and found rows up to here */
    bool older_fenced;
    bool stop;
    bool collected; /* WAL objects were deleted */
    bool wal_always_on;
};

/* ---------------------------------------------------------------- one process */

struct process {
    struct shl_store *world;
    struct shl_store *store;
    struct shl_lsm *db;
};

static shale_code start(struct process *p, struct scene *s, unsigned faults, shale_error *err)
{
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    *p = (struct process){0};
    shale_code rc = world_store_new(s->bucket, &s->faults[faults], &p->world, err);
    if (rc == SHALE_OK)
        rc = shl_store_retry_new(&p->store, p->world, &retry, err);
    if (rc == SHALE_OK) {
        struct shl_lsm_open o = {.store = p->store, .path = "db", .settings = &s->settings};
        rc = shl_lsm_open_writer(&o, &p->db, err);
    }
    return rc;
}

static shale_code stop(struct process *p, shale_error *err)
{
    shale_code rc = shl_lsm_close(p->db, err);
    shl_store_unref(p->store);
    shl_store_unref(p->world);
    return rc;
}

static void die_of(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

/* One step of a client; false when the handle is of no use any more. */
static bool client_step(struct scene *s, struct shl_lsm *db, shale_error *err)
{
    shale_code rc = SHALE_OK;
    double p = (double)sim_rand_below(1000) / 1000.0;
    bool wal = s->settings.wal_enabled;
    if (p < 0.75) {
        rc = world_random_write(s->history, db, sim_chance(wal ? 0.4 : 0.1), err);
    } else if (p < 0.82) {
        rc = shl_lsm_flush(db, false, err);
        if (rc == SHALE_OK) {
            struct shl_lsm_status status;
            shl_lsm_status(db, &status);
            world_flushed(s->history, status.durable_seq);
        }
    } else if (p < 0.87) {
        rc = shl_lsm_flush(db, true, err);
    } else if (p < 0.89) {
        rc = shl_lsm_settle(db, err);
    } else if (p < 0.93) {
        world_check_reads(db);
    } else {
        env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
    }
    return rc == SHALE_OK;
}

/* ---------------------------------------------------------------- scenario: crash and reopen */

static void crash_process(void *arg)
{
    struct scene *s = arg;
    struct process p;
    shale_error err = {0};
    bool was_clean = s->clean;
    s->clean = false;
    shale_code rc = start(&p, s, 0, &err);
    if (rc != SHALE_OK)
        die_of("open", &err);
    s->opened = true;
    world_check(s->history, p.db, was_clean);
    uint64_t steps = 1 + sim_rand_below(60);
    while (steps-- > 0 && s->history->count < WORLD_OPS_MAX - 2)
        if (!client_step(s, p.db, &err))
            die_of("client", &err);
    rc = stop(&p, &err);
    if (rc != SHALE_OK)
        die_of("close", &err);
    s->clean = true;
}

static void reader_process(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *world, *store;
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    uint64_t last = 0;
    if (world_store_new(s->bucket, &s->faults[0], &world, &err) != SHALE_OK ||
        shl_store_retry_new(&store, world, &retry, &err) != SHALE_OK)
        die_of("reader store", &err);
    while (!s->stop) {
        struct shl_lsm *db = NULL;
        struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
        struct shl_lsm_reader how = {.follow = sim_chance(0.5)};
        shale_code rc = shl_lsm_open_reader(&o, &how, &db, &err);
        if (rc == SHALE_OK) {
            for (unsigned i = 0; i < 3 && !s->stop; i++) {
                struct shl_lsm_status status;
                if (!how.follow) /* else the state may move between the scan and the gets */
                    world_check_reads(db);
                shl_lsm_status(db, &status);
                if (status.committed_seq < last)
                    env_die("a reader went back in time");
                last = status.committed_seq;
                env_sleep_ns(sim_rand_below(500 * ENV_NS_PER_MS));
                rc = shl_lsm_refresh(db, &err);
                if (rc != SHALE_OK)
                    die_of("refresh", &err);
            }
            (void)!shl_lsm_close(db, &err);
        } else if (rc != SHALE_NOT_FOUND) {
            die_of("open a reader", &err);
        }
        env_sleep_ns(1 + sim_rand_below(300 * ENV_NS_PER_MS));
    }
    shl_store_unref(store);
    shl_store_unref(world);
}

static void random_faults(struct world_faults *f)
{
    *f = (struct world_faults){.latency_max_ns =
                                   sim_chance(0.8) ? (1 + sim_rand_below(60)) * ENV_NS_PER_MS : 0};
    if (sim_chance(0.5)) {
        f->before = (double)sim_rand_below(80) / 1000.0;
        f->after = (double)sim_rand_below(80) / 1000.0;
    }
}

/* Ends a process at a moment of the seed's choice, or lets it finish. */
static void let_live(sim_group g)
{
    switch (sim_rand_below(3)) {
    case 0:
        sim_group_wait(g);
        break;
    case 1:
        env_sleep_ns(sim_rand_below(3000 * ENV_NS_PER_MS));
        if (sim_group_alive(g))
            sim_group_kill(g);
        break;
    default:
        sim_point_kill_arm(g, sim_rand_below(60));
        sim_group_wait(g);
        (void)sim_point_kill_disarm(g);
        break;
    }
}

static void check_no_leak(sim_group g)
{
    if (sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of an ended process is still there");
    }
}

static void crash_main(void *arg)
{
    struct scene *s = arg;
    sim_group reader = 0;
    random_faults(&s->faults[0]);
    world_random_settings(&s->settings);
    s->wal_always_on = s->settings.wal_enabled;
    s->clean = true;
    if (sim_chance(0.3)) {
        reader = sim_group_new("reader", 0);
        sim_group_spawn(reader, "reader", reader_process, s);
    }
    unsigned rounds = 2 + (unsigned)sim_rand_below(6);
    for (unsigned i = 0; i < rounds; i++) {
        sim_group g = sim_group_new("writer", (int64_t)sim_rand_below(600000) - 300000);
        s->opened = false;
        sim_group_spawn(g, "main", crash_process, s);
        let_live(g);
        if (s->clean)
            check_no_leak(g);
        bucket_check(s->bucket, "db", true, s->wal_always_on);
        if (sim_chance(0.3))
            s->settings.compression = (enum shl_compression)sim_rand_below(5);
        if (sim_chance(0.2))
            s->settings.wal_enabled = !s->settings.wal_enabled;
        s->wal_always_on = s->wal_always_on && s->settings.wal_enabled;
    }
    s->faults[0].before = s->faults[0].after = 0;
    sim_group last = sim_group_new("last", 0);
    sim_group_spawn(last, "main", crash_process, s);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last process did not close");
    check_no_leak(last);
    bucket_check(s->bucket, "db", true, s->wal_always_on);
    s->stop = true;
    if (reader != 0) {
        sim_group_wait(reader);
        check_no_leak(reader);
    }
}

/* ---------------------------------------------------------------- scenario: two writers */

static void older_process(void *arg)
{
    struct scene *s = arg;
    struct process p;
    shale_error err = {0};
    shale_code rc = start(&p, s, 0, &err);
    if (rc == SHALE_FENCED) {
        s->older_fenced = true;
    } else if (rc != SHALE_OK) {
        die_of("open the older", &err);
    } else {
        s->opened = true;
        while (!s->stop && s->history->count < WORLD_OPS_MAX / 2 &&
               s->zombie->count < WORLD_OPS_MAX - 2) {
            bool late = s->newer_open;
            rc = world_random_write(late ? s->zombie : s->history, p.db, sim_chance(0.6), &err);
            if (rc == SHALE_OK && late && s->zombie->ops[s->zombie->count - 1].durable &&
                s->zombie->ops[s->zombie->count - 1].seq > s->newer_open_seq)
                env_die("a fenced writer acknowledged a durable write");
            if (rc == SHALE_OK && sim_chance(0.1))
                rc = shl_lsm_flush(p.db, sim_chance(0.5), &err);
            if (rc == SHALE_FENCED) {
                s->older_fenced = true;
                break;
            }
            if (rc != SHALE_OK)
                die_of("the older", &err);
            if (sim_chance(0.3))
                env_sleep_ns(sim_rand_below(50 * ENV_NS_PER_MS));
        }
    }
    rc = stop(&p, &err);
    if (rc != SHALE_OK && rc != SHALE_FENCED)
        die_of("close the older", &err);
    if (rc == SHALE_FENCED)
        s->older_fenced = true;
}

static void newer_process(void *arg)
{
    struct scene *s = arg;
    struct process p;
    shale_error err = {0};
    struct shl_lsm_status status;
    shale_code rc = start(&p, s, 1, &err);
    if (rc != SHALE_OK)
        die_of("open the newer", &err);
    shl_lsm_status(p.db, &status);
    s->newer_open_seq = status.committed_seq;
    s->newer_open = true;
    world_check(s->history, p.db, false);
    uint64_t steps = 5 + sim_rand_below(60);
    while (steps-- > 0)
        if (!client_step(s, p.db, &err))
            die_of("the newer", &err);
    rc = shl_lsm_flush(p.db, true, &err);
    if (rc != SHALE_OK)
        die_of("flush of the newer", &err);
    rc = stop(&p, &err);
    if (rc != SHALE_OK)
        die_of("close the newer", &err);
    s->clean = true;
}

static uint64_t replay_boundary(struct scene *s)
{
    shale_error err = {0};
    struct shl_list list = {0};
    struct shl_buf body = {0};
    struct shl_manifest *m = NULL;
    if (shl_store_list(s->bucket, &(struct shl_list_options){.prefix = "db/manifest"}, &list,
                       &err) != SHALE_OK ||
        list.count == 0 ||
        shl_store_get(s->bucket, list.items[list.count - 1].key, NULL, &body, NULL, &err) !=
            SHALE_OK ||
        shl_manifest_decode(shl_buf_view(&body), &m, &err) != SHALE_OK)
        die_of("newest manifest", &err);
    uint64_t boundary = m->replay_after_wal_id;
    shl_manifest_free(m);
    shl_buf_free(&body);
    shl_list_free(&list);
    return boundary;
}

/* What a collector may do: WAL objects with data below the replay boundary go; fences stay. */
static void collect_wal(struct scene *s)
{
    shale_error err = {0};
    struct shl_list list = {0};
    uint64_t boundary = replay_boundary(s);
    if (shl_store_list(s->bucket, &(struct shl_list_options){.prefix = "db/wal"}, &list, &err) !=
        SHALE_OK)
        die_of("list", &err);
    for (size_t i = 0; i < list.count; i++) {
        uint64_t id;
        if (shl_name_parse_id(list.items[i].key, "sst", &id) && id < boundary &&
            list.items[i].size > 0 &&
            shl_store_delete(s->bucket, list.items[i].key, &err) != SHALE_OK)
            die_of("delete", &err);
    }
    shl_list_free(&list);
}

static void fence_main(void *arg)
{
    struct scene *s = arg;
    bool pause = sim_chance(0.5);
    random_faults(&s->faults[0]);
    random_faults(&s->faults[1]);
    world_random_settings(&s->settings);
    sim_group older = sim_group_new("older", 0), newer;
    sim_group_spawn(older, "main", older_process, s);
    while (!s->opened && sim_group_alive(older)) /* else it might be the newer one */
        env_sleep_ns(10 * ENV_NS_PER_MS);
    env_sleep_ns(sim_rand_below(2000 * ENV_NS_PER_MS));
    if (pause)
        sim_group_pause(older);
    newer = sim_group_new("newer", (int64_t)sim_rand_below(20000) - 10000);
    sim_group_spawn(newer, "main", newer_process, s);
    sim_group_wait(newer);
    if (!s->clean)
        env_die("the newer writer did not close");
    if (pause) {
        s->collected = sim_chance(0.5);
        if (s->collected)
            collect_wal(s);
        sim_group_resume(older);
    }
    env_sleep_ns((1 + sim_rand_below(20)) * ENV_NS_PER_SEC);
    s->stop = true;
    sim_group_wait(older);
    s->clean = false;
    s->faults[0].before = s->faults[0].after = 0;
    sim_group last = sim_group_new("last", 0);
    sim_group_spawn(last, "main", crash_process, s);
    sim_group_wait(last);
    if (!s->clean)
        env_die("the last process did not close");
    bucket_check(s->bucket, "db", !s->collected, s->settings.wal_enabled);
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {{"crash", crash_main}, {"fence", fence_main}};

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    static struct world_history history, zombie;
    shale_error err = {0};
    memset(&history, 0, sizeof history);
    memset(&zombie, 0, sizeof zombie);
    scene = (struct scene){.history = &history, .zombie = &zombie};
    world_init();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    shl_store_unref(scene.bucket);
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "seed 0x%" PRIx64 " %s: %" PRIu64 " allocations of the bucket left\n", seed,
                sc->name, sim_alloc_live(0));
        sim_alloc_live_print(0, 10);
        exit(1);
    }
    return hash;
}

int main(void)
{
    return driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
}
