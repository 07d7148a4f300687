/* Goal: when WAL objects are put, and how many: a bill at stores that charge for PUTs, a wait for callers. Interval: SlateDB's timer. Adaptive: who waits
 * is served at once, from at most 600 ticks saved while there was nothing to do, so that any time span has at most its ticks + 600 PUTs.
 * Method: one database on the simulated clock; its WAL in a store of its own that counts PUTs, takes a fixed time for each, and is free or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/env/sim.h"
#include "lsm/db.h"
#include "store/memory.h"
#include "store/wrap_count.h"
#include "world.h"

#define MS       ENV_NS_PER_MS
#define TICK_NS  (100 * MS)
#define PUT_NS   (5 * MS)
#define SAVED    600
#define SLACK_NS (2 * MS) /* each step of a task takes a little virtual time */
#define WAITERS  8

struct pace {
    struct shl_store *bucket, *wal_bucket, *slow, *counted;
    struct world_faults faults; /* only its latency */
    struct shl_lsm *db;
    bool free_puts;
    enum shl_wal_flush flush;
};

/* cmocka's asserts cannot be used in a simulated task. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            env_die("wal pacing");                                                                 \
        }                                                                                          \
    } while (0)

static uint64_t puts_of(const struct pace *p)
{
    struct shl_store_counts c;
    shl_store_counts_read(p->counted, &c);
    return c.kinds[SHL_KIND_PUT].calls;
}

static void begin(struct pace *p)
{
    shale_error err = {0};
    struct shl_lsm_settings s;
    p->faults = (struct world_faults){.latency_max_ns = 0};
    world_init();
    CHECK(shl_store_memory_new(&p->bucket, &err) == SHALE_OK);
    CHECK(shl_store_memory_new(&p->wal_bucket, &err) == SHALE_OK);
    if (!p->free_puts)
        p->wal_bucket->caps &= ~(unsigned)SHL_STORE_PUT_IS_FREE;
    CHECK(world_store_new(p->wal_bucket, &p->faults, &p->slow, &err) == SHALE_OK);
    CHECK(shl_store_count_new(&p->counted, p->slow, &err) == SHALE_OK);
    CHECK(((p->counted->caps & SHL_STORE_PUT_IS_FREE) != 0) == p->free_puts);
    shl_lsm_settings_default(&s);
    s.compactor_enabled = false;
    s.flush_interval_ns = TICK_NS;
    s.wal_flush = p->flush;
    struct shl_lsm_open o = {
        .store = p->bucket, .wal_store = p->counted, .path = "db", .settings = &s};
    CHECK(shl_lsm_open_writer(&o, &p->db, &err) == SHALE_OK);
    CHECK(puts_of(p) == 1); /* the fence */
    p->faults.fixed_ns = PUT_NS;
}

static void end(struct pace *p)
{
    shale_error err = {0};
    CHECK(shl_lsm_close(p->db, &err) == SHALE_OK);
    shl_store_unref(p->counted);
    shl_store_unref(p->slow);
    shl_store_unref(p->wal_bucket);
    shl_store_unref(p->bucket);
}

/* Virtual time until the write returned. */
static uint64_t write_one(struct shl_lsm *db, bool durable)
{
    shale_error err = {0};
    uint64_t start = env_now_mono_ns();
    struct shl_lsm_write how = {.await_durable = durable};
    CHECK(shl_lsm_write_one(db, 0, shl_slice_str("key"), shl_slice_str("value"),
                            (struct shl_ttl){0}, &how, NULL, &err) == SHALE_OK);
    sim_progress();
    return env_now_mono_ns() - start;
}

static uint64_t ticks_since(uint64_t start)
{
    return (env_now_mono_ns() - start) / TICK_NS; /* the span may touch one more */
}

static void run(void (*scenario)(void *), struct pace *p, const char *name)
{
    struct sim_options o = {.seed = 1,
                            .policy = SIM_RUN_UNTIL_BLOCK,
                            .scenario = name,
                            .virtual_ns_max = UINT64_C(7200) * ENV_NS_PER_SEC,
                            .progress_ns_max = UINT64_MAX};
    (void)sim_run(&o, scenario, p);
    assert_int_equal(sim_alloc_live(0), 0);
}

/* ---------------------------------------------------------------- interval */

static void steady_rows(void *arg)
{
    struct pace *p = arg;
    begin(p);
    uint64_t start = env_now_mono_ns(), before = puts_of(p);
    for (unsigned i = 0; i < 10000; i++) {
        CHECK(write_one(p->db, false) <= SLACK_NS); /* nobody waits for the store */
        env_sleep_ns(MS);
    }
    uint64_t puts = puts_of(p) - before, ticks = ticks_since(start);
    CHECK(puts <= ticks + 1);
    CHECK(puts >= ticks * 9 / 10); /* at each tick, there was something to write */
    /* A row is durable after one tick and one PUT at most. */
    struct shl_lsm_status s;
    shl_lsm_status(p->db, &s);
    uint64_t committed = s.committed_seq;
    env_sleep_ns(TICK_NS + 2 * PUT_NS);
    shl_lsm_status(p->db, &s);
    CHECK(s.durable_seq == committed);
    before = puts_of(p);
    env_sleep_ns(100 * ENV_NS_PER_SEC);
    CHECK(puts_of(p) == before); /* nothing to write, nothing put */
    end(p);
}

static void test_rows_nobody_waits_for_keep_to_the_timer(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct pace p = {.free_puts = i % 2 != 0,
                         .flush = i < 2 ? SHL_WAL_FLUSH_INTERVAL : SHL_WAL_FLUSH_ADAPTIVE};
        run(steady_rows, &p, "steady rows");
    }
}

static void durable_rows_on_the_timer(void *arg)
{
    struct pace *p = arg;
    begin(p);
    uint64_t start = env_now_mono_ns(), before = puts_of(p);
    for (unsigned i = 0; i < 50; i++)
        CHECK(write_one(p->db, true) <= TICK_NS + PUT_NS + SLACK_NS);
    uint64_t puts = puts_of(p) - before;
    CHECK(puts == 50); /* each waits for its tick */
    CHECK(puts <= ticks_since(start) + 1);
    end(p);
}

static void test_interval_makes_who_waits_wait_for_the_timer(void **state)
{
    struct pace p = {.free_puts = true, .flush = SHL_WAL_FLUSH_INTERVAL};
    (void)state;
    run(durable_rows_on_the_timer, &p, "durable rows on the timer");
}

/* ---------------------------------------------------------------- adaptive */

/* Durable rows one after the other for a time; how many were served without waiting for a tick. */
static uint64_t burst(struct pace *p, uint64_t for_ns)
{
    uint64_t start = env_now_mono_ns(), at_once = 0;
    while (env_now_mono_ns() - start < for_ns) {
        uint64_t took = write_one(p->db, true);
        CHECK(took <= TICK_NS + PUT_NS + SLACK_NS);
        at_once += took <= PUT_NS + SLACK_NS;
    }
    return at_once;
}

static void early_puts(void *arg)
{
    struct pace *p = arg;
    begin(p);
    env_sleep_ns(TICK_NS / 2);
    CHECK(write_one(p->db, true) <= PUT_NS + SLACK_NS); /* a lone one goes at once */
    uint64_t start = env_now_mono_ns(), before = puts_of(p);
    uint64_t at_once = burst(p, 100 * ENV_NS_PER_SEC);
    uint64_t puts = puts_of(p) - before, ticks = ticks_since(start);
    CHECK(puts <= ticks + 1 + SAVED);
    CHECK(puts >= ticks + SAVED - 2); /* all that was saved is used */
    CHECK(at_once >= SAVED - 2);

    before = puts_of(p); /* now nothing is saved: one PUT a tick */
    start = env_now_mono_ns();
    (void)burst(p, 20 * ENV_NS_PER_SEC);
    puts = puts_of(p) - before;
    ticks = ticks_since(start);
    CHECK(puts <= ticks + 2 && puts + 2 >= ticks);

    env_sleep_ns(20 * ENV_NS_PER_SEC); /* 200 ticks without a PUT are saved ... */
    before = puts_of(p);
    start = env_now_mono_ns();
    (void)burst(p, 20 * ENV_NS_PER_SEC);
    puts = puts_of(p) - before;
    ticks = ticks_since(start);
    CHECK(puts <= ticks + 202 && puts + 2 >= ticks + 200);

    env_sleep_ns(3600 * ENV_NS_PER_SEC); /* ... and of an hour 600 */
    before = puts_of(p);
    start = env_now_mono_ns();
    (void)burst(p, 100 * ENV_NS_PER_SEC);
    puts = puts_of(p) - before;
    ticks = ticks_since(start);
    CHECK(puts <= ticks + 1 + SAVED && puts + 2 >= ticks + SAVED);
    end(p);
}

static void test_who_waits_is_served_from_saved_ticks(void **state)
{
    struct pace p = {.flush = SHL_WAL_FLUSH_ADAPTIVE};
    (void)state;
    run(early_puts, &p, "early puts");
}

static void free_puts(void *arg)
{
    struct pace *p = arg;
    begin(p);
    for (unsigned i = 0; i < 3000; i++)
        CHECK(write_one(p->db, true) <= PUT_NS + SLACK_NS);
    CHECK(puts_of(p) == 3001);
    end(p);
}

static void test_where_puts_are_free_nobody_ever_waits_for_a_tick(void **state)
{
    struct pace p = {.free_puts = true, .flush = SHL_WAL_FLUSH_ADAPTIVE};
    (void)state;
    run(free_puts, &p, "free puts");
}

struct waiter {
    struct pace *pace;
    uint64_t slowest_ns;
};

static void durable_client(void *arg)
{
    struct waiter *w = arg;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t took = write_one(w->pace->db, true);
        w->slowest_ns = took > w->slowest_ns ? took : w->slowest_ns;
    }
}

static void grouped(void *arg)
{
    struct pace *p = arg;
    struct waiter waiters[WAITERS];
    struct env_task *tasks[WAITERS];
    begin(p);
    uint64_t before = puts_of(p);
    for (unsigned i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.pace = p};
        CHECK(env_task_spawn(&tasks[i], "client", durable_client, &waiters[i]) == SHALE_OK);
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        env_task_join(tasks[i]);
        CHECK(waiters[i].slowest_ns <=
              2 * PUT_NS + SLACK_NS); /* the object in flight, then their own */
    }
    CHECK(puts_of(p) - before <= 2 * 50 + 2); /* not 50 * WAITERS */
    end(p);
}

static void test_who_waits_at_the_same_time_shares_an_object(void **state)
{
    struct pace p = {.flush = SHL_WAL_FLUSH_ADAPTIVE};
    (void)state;
    run(grouped, &p, "grouped");
}

/* ---------------------------------------------------------------- any mix */

static void any_mix(void *arg)
{
    struct pace *p = arg;
    begin(p);
    uint64_t start = env_now_mono_ns(), before = puts_of(p);
    while (env_now_mono_ns() - start < 1800 * ENV_NS_PER_SEC) {
        uint64_t n = 1 + sim_rand_below(400);
        bool durable = sim_chance(0.7);
        for (uint64_t i = 0; i < n; i++) {
            (void)write_one(p->db, durable && sim_chance(0.9));
            if (sim_chance(0.3))
                env_sleep_ns(sim_rand_below(150 * MS));
        }
        env_sleep_ns(sim_rand_below(60 * ENV_NS_PER_SEC));
        CHECK(puts_of(p) - before <= ticks_since(start) + 1 + SAVED);
    }
    end(p);
}

static void test_any_mix_stays_below_its_ticks_and_600(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pace p = {.flush = SHL_WAL_FLUSH_ADAPTIVE};
        struct sim_options o = {.seed = seed,
                                .scenario = "any mix",
                                .virtual_ns_max = UINT64_C(7200) * ENV_NS_PER_SEC,
                                .progress_ns_max = UINT64_MAX};
        (void)sim_run(&o, any_mix, &p);
        assert_int_equal(sim_alloc_live(0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_nobody_waits_for_keep_to_the_timer),
        cmocka_unit_test(test_interval_makes_who_waits_wait_for_the_timer),
        cmocka_unit_test(test_who_waits_is_served_from_saved_ticks),
        cmocka_unit_test(test_where_puts_are_free_nobody_ever_waits_for_a_tick),
        cmocka_unit_test(test_who_waits_at_the_same_time_shares_an_object),
        cmocka_unit_test(test_any_mix_stays_below_its_ticks_and_600),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
