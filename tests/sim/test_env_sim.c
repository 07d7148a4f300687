/* Goal: the simulation is deterministic, finds the mistakes it is there for, and its processes, memory and files behave as
 * sim.h says. Method: small scenarios run over many seeds and both backends; those that must fail run in a forked child,
 * whose exit status and output are looked at. Checks inside of tasks are SHL_ASSERTs, which print the replay line. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/env/sim.h"

#define CHECK(expr) SHL_ASSERT(expr)

enum { SEEDS = 50 };

static uint64_t run(uint64_t seed, enum sim_backend backend, void (*fn)(void *arg), void *arg)
{
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = "env"};
    return sim_run(&o, fn, arg);
}

static void run_seeds(void (*fn)(void *arg), void *arg)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        (void)run(seed, SIM_UCONTEXT, fn, arg);
}

/* Runs in a child; its exit status. Its stderr goes to `text`. */
static int run_in_child(const struct sim_options *o, void (*fn)(void *arg), void *arg, char *text,
                        size_t text_size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)sim_run(o, fn, arg);
        _exit(0);
    }
    (void)close(fds[1]);
    size_t used = 0;
    char rest[256];
    for (;;) {
        bool room = used + 1 < text_size;
        ssize_t n =
            read(fds[0], room ? text + used : rest, room ? text_size - 1 - used : sizeof rest);
        if (n <= 0)
            break;
        used += room ? (size_t)n : 0;
    }
    text[used] = '\0';
    (void)close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_fails(const char *name, const struct sim_options *o, void (*fn)(void *arg),
                        void *arg, const char *why)
{
    char text[4096];
    int status = run_in_child(o, fn, arg, text, sizeof text);
    if (status != 99 || strstr(text, why) == NULL || strstr(text, "SIM_SEED=0x") == NULL ||
        strstr(text, "SIM_SCENARIO=planted") == NULL)
        fail_msg("%s: status %d, output:\n%s", name, status, text);
}

/* ---------------------------------------------------------------- a scenario with some of everything */

enum { WORKERS = 5, ITEMS = 12 };

struct mixed {
    struct env_mutex mu;
    struct env_cond changed;
    int queued; /* [mu] */
    int done;   /* [mu] */
    _Atomic uint64_t total;
    uint64_t sum; /* of everything that chance and time gave: equal for equal seeds */
};

static void mixed_worker(void *arg)
{
    struct mixed *m = arg;
    env_mutex_lock(&m->mu);
    while (m->done + m->queued < WORKERS * ITEMS || m->queued > 0) {
        while (m->queued == 0 && m->done < WORKERS * ITEMS)
            (void)env_cond_wait_until(&m->changed, &m->mu, env_now_mono_ns() + ENV_NS_PER_MS);
        if (m->queued == 0)
            break;
        m->queued--;
        env_mutex_unlock(&m->mu);
        env_sleep_ns(env_rand_below(3 * ENV_NS_PER_MS));
        (void)env_fetch_add(&m->total, 1);
        env_mutex_lock(&m->mu);
        m->sum = m->sum * 31 + env_rand64() + env_now_mono_ns();
        m->done++;
        sim_progress();
        if (m->done == WORKERS * ITEMS)
            env_cond_broadcast(&m->changed);
    }
    env_mutex_unlock(&m->mu);
}

static void write_text(const char *path, const char *text)
{
    int fd;
    struct env_iovec part = {.data = text, .len = strlen(text)};
    if (env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE) != 0)
        return;
    (void)env_pwritev(fd, &part, 1, 0);
    (void)env_fsync(fd);
    (void)env_close(fd);
}

static void mixed_process(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        void *p = env_alloc(100);
        CHECK(p != NULL);
        write_text("/tmp/file", "text");
        env_sleep_ns(ENV_NS_PER_MS);
        if (ENV_BUGGIFY(0.5))
            sim_trace("rare branch");
        ENV_POINT("mixed");
        if (i % 3 == 0)
            env_free(p); /* the others go with the process */
    }
}

static void mixed_main(void *arg)
{
    struct mixed *m = arg;
    env_mutex_init(&m->mu);
    env_cond_init(&m->changed);
    sim_fs_reset();
    sim_group g = sim_group_new("process", -5000);
    sim_group_spawn(g, "one", mixed_process, NULL);
    sim_group_spawn(g, "two", mixed_process, NULL);
    struct env_task *tasks[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        CHECK(env_task_spawn(&tasks[i], "worker", mixed_worker, m) == SHALE_OK);
    for (int i = 0; i < WORKERS * ITEMS; i++) {
        env_mutex_lock(&m->mu);
        m->queued++;
        env_cond_signal(&m->changed);
        env_mutex_unlock(&m->mu);
        if (i == 20)
            sim_group_pause(g);
        if (i == 30)
            sim_group_resume(g);
    }
    for (int i = 0; i < WORKERS; i++)
        env_task_join(tasks[i]);
    sim_group_kill(g);
    sim_fs_power_loss();
    CHECK(sim_alloc_live(g) == 0);
    CHECK(m->done == WORKERS * ITEMS && env_load_relaxed(&m->total) == WORKERS * ITEMS);
    env_cond_deinit(&m->changed);
    env_mutex_deinit(&m->mu);
}

static void test_same_seed_gives_same_run_on_both_backends(void **state)
{
    (void)state;
    uint64_t previous = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        static const enum sim_backend backends[] = {SIM_UCONTEXT, SIM_UCONTEXT, SIM_BATON};
        uint64_t hashes[3];
        uint64_t sums[3];
        for (int i = 0; i < 3; i++) {
            struct mixed m = {0};
            hashes[i] = run(seed, backends[i], mixed_main, &m);
            sums[i] = m.sum;
        }
        if (hashes[0] != hashes[1] || sums[0] != sums[1])
            fail_msg("seed %" PRIu64 ": two coroutine runs differ", seed);
        if (hashes[0] != hashes[2] || sums[0] != sums[2])
            fail_msg("seed %" PRIu64 ": coroutines and threads differ", seed);
        assert_true(hashes[0] != previous); /* and another seed is another run */
        previous = hashes[0];
    }
}

static void test_every_policy_ends_the_scenario(void **state)
{
    (void)state;
    static const enum sim_policy policies[] = {SIM_UNIFORM, SIM_RUN_UNTIL_BLOCK, SIM_PCT,
                                               SIM_STARVE_ONE};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct mixed m = {0};
            struct sim_options o = {.seed = seed, .policy = policies[i], .scenario = "policy"};
            (void)sim_run(&o, mixed_main, &m);
            assert_int_equal(m.done, WORKERS * ITEMS);
        }
}

/* ---------------------------------------------------------------- mistakes that must be found */

struct two_locks {
    struct env_mutex a, b;
};

static void lock_ba(void *arg)
{
    struct two_locks *l = arg;
    env_mutex_lock(&l->b);
    env_sleep_ns(1000000);
    env_mutex_lock(&l->a);
    env_mutex_unlock(&l->a);
    env_mutex_unlock(&l->b);
}

static void lock_ab(void *arg)
{
    struct two_locks *l = arg;
    env_mutex_init(&l->a);
    env_mutex_init(&l->b);
    struct env_task *task;
    CHECK(env_task_spawn(&task, "other", lock_ba, l) == SHALE_OK);
    env_mutex_lock(&l->a);
    env_sleep_ns(1000000);
    env_mutex_lock(&l->b);
    env_mutex_unlock(&l->b);
    env_mutex_unlock(&l->a);
    env_task_join(task);
}

static void poll_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        env_sleep_ns(100 * ENV_NS_PER_MS);
}

static void poll_with_progress(void *arg)
{
    (void)arg;
    for (;;) {
        env_sleep_ns(100 * ENV_NS_PER_MS);
        sim_progress();
    }
}

static void spin_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        env_yield();
}

static void assert_something(void *arg)
{
    (void)arg;
    sim_trace("the trace is shown");
    SHL_ASSERT(sim_rand() == 0);
}

static void lock_destroyed(void *arg)
{
    struct two_locks *l = arg;
    env_mutex_init(&l->a);
    env_mutex_deinit(&l->a);
    env_mutex_lock(&l->a);
}

static void destroy_locked(void *arg)
{
    struct two_locks *l = arg;
    env_mutex_init(&l->a);
    env_mutex_lock(&l->a);
    env_mutex_deinit(&l->a);
}

static void lock_twice(void *arg)
{
    struct two_locks *l = arg;
    env_mutex_init(&l->a);
    env_mutex_lock(&l->a);
    env_mutex_lock(&l->a);
}

static void free_as_the_other_kind(void *arg)
{
    (void)arg;
    env_free(env_alloc_aligned(64, 64));
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static void never_join(void *arg)
{
    (void)arg;
    struct env_task *task;
    CHECK(env_task_spawn(&task, "forgotten", do_nothing, NULL) == SHALE_OK);
}

static void test_planted_mistakes_end_with_the_replay_line(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*fn)(void *arg);
        struct sim_options options;
        const char *why;
    } rows[] = {
        {"deadlock", lock_ab, {0}, "deadlock"},
        {"no progress", poll_for_ever, {0}, "no progress"},
        {"time limit",
         poll_with_progress,
         {.virtual_ns_max = ENV_NS_PER_SEC},
         "virtual time limit"},
        {"step limit", spin_for_ever, {.steps_max = 1000}, "step limit"},
        {"assert", assert_something, {0}, "the trace is shown"},
        {"assert names itself", assert_something, {0}, "sim_rand() == 0"},
        {"lock after deinit", lock_destroyed, {0}, "MUTEX_ALIVE"},
        {"deinit while locked", destroy_locked, {0}, "owner == NULL"},
        {"recursive lock", lock_twice, {0}, "owner != t"},
        {"wrong free", free_as_the_other_kind, {0}, "magic"},
        {"no join", never_join, {0}, "never joined"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int backend = SIM_UCONTEXT; backend <= SIM_BATON; backend++) {
            struct two_locks locks;
            struct sim_options o = rows[i].options;
            o.seed = 7;
            o.backend = (enum sim_backend)backend;
            o.scenario = "planted";
            check_fails(rows[i].name, &o, rows[i].fn, &locks, rows[i].why);
        }
}

/* Three tasks take turns, all waiting at one condition for different predicates: a signal may wake the wrong one. */
struct turns {
    struct env_mutex mu;
    struct env_cond changed;
    unsigned turn; /* [mu] */
    unsigned next_id;
    bool broadcast;
};

static void take_turns(void *arg)
{
    struct turns *t = arg;
    env_mutex_lock(&t->mu);
    unsigned me = t->next_id++;
    for (int i = 0; i < 3; i++) {
        while (t->turn % 3 != me)
            env_cond_wait(&t->changed, &t->mu);
        t->turn++;
        if (t->broadcast)
            env_cond_broadcast(&t->changed);
        else
            env_cond_signal(&t->changed);
    }
    env_mutex_unlock(&t->mu);
}

static void turns_main(void *arg)
{
    struct turns *t = arg;
    env_mutex_init(&t->mu);
    env_cond_init(&t->changed);
    struct env_task *tasks[3];
    for (int i = 0; i < 3; i++)
        CHECK(env_task_spawn(&tasks[i], "turn", take_turns, t) == SHALE_OK);
    for (int i = 0; i < 3; i++)
        env_task_join(tasks[i]);
    env_cond_deinit(&t->changed);
    env_mutex_deinit(&t->mu);
}

static void test_lost_wake_up_is_found_by_some_seed(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct turns good = {.broadcast = true};
        (void)run(seed, SIM_UCONTEXT, turns_main, &good);
        struct turns bad = {.broadcast = false};
        struct sim_options o = {.seed = seed, .policy = SIM_POLICY_BY_SEED, .scenario = "planted"};
        char text[4096];
        if (run_in_child(&o, turns_main, &bad, text, sizeof text) == 99) {
            assert_non_null(strstr(text, "deadlock"));
            found++;
        }
    }
    print_message("lost wake-up found by %u of 30 seeds\n", found);
    assert_true(found >= 3);
}

/* A waiter with `if` in place of `while` trips over wake-ups of others and over those without a signal. */
struct if_waiter {
    struct env_mutex mu;
    struct env_cond changed;
    int items;     /* [mu] */
    bool negative; /* [mu] */
};

static void take_with_if(void *arg)
{
    struct if_waiter *w = arg;
    env_mutex_lock(&w->mu);
    if (w->items == 0)
        env_cond_wait(&w->changed, &w->mu);
    w->items--;
    w->negative = w->negative || w->items < 0;
    env_mutex_unlock(&w->mu);
}

static void if_waiter_main(void *arg)
{
    struct if_waiter *w = arg;
    env_mutex_init(&w->mu);
    env_cond_init(&w->changed);
    struct env_task *tasks[3];
    for (int i = 0; i < 3; i++)
        CHECK(env_task_spawn(&tasks[i], "if", take_with_if, w) == SHALE_OK);
    for (int i = 0; i < 3; i++) {
        env_mutex_lock(&w->mu);
        w->items++;
        env_cond_broadcast(&w->changed);
        env_mutex_unlock(&w->mu);
        env_sleep_ns(ENV_NS_PER_MS);
    }
    for (int i = 0; i < 3; i++)
        env_task_join(tasks[i]);
    env_cond_deinit(&w->changed);
    env_mutex_deinit(&w->mu);
}

static void test_wait_with_if_is_found_by_some_seed(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct if_waiter w = {0};
        (void)run(seed, SIM_UCONTEXT, if_waiter_main, &w);
        found += w.negative;
    }
    assert_true(found >= 5);
}

/* ---------------------------------------------------------------- time */

struct sleeper {
    uint64_t wait_ms;
    struct env_mutex *mu;
    uint64_t *log;    /* [mu] */
    unsigned *logged; /* [mu] */
};

static void sleep_and_log(void *arg)
{
    struct sleeper *s = arg;
    struct env_mutex mu;
    struct env_cond never;
    env_mutex_init(&mu);
    env_cond_init(&never);
    env_mutex_lock(&mu);
    uint64_t deadline = env_now_mono_ns() + s->wait_ms * ENV_NS_PER_MS;
    CHECK(!env_cond_wait_until(&never, &mu, deadline));
    CHECK(env_now_mono_ns() >= deadline);
    CHECK(!env_cond_wait_until(&never, &mu, deadline)); /* it is over already */
    env_mutex_unlock(&mu);
    env_mutex_lock(s->mu);
    s->log[(*s->logged)++] = s->wait_ms;
    env_mutex_unlock(s->mu);
    env_cond_deinit(&never);
    env_mutex_deinit(&mu);
}

static void sleepers_main(void *arg)
{
    (void)arg;
    static const uint64_t waits_ms[] = {50, 10, 40, 30, 20};
    struct sleeper sleepers[5];
    struct env_task *tasks[5];
    uint64_t log[5];
    unsigned logged = 0;
    struct env_mutex mu;
    env_mutex_init(&mu);
    for (int i = 0; i < 5; i++) {
        sleepers[i] =
            (struct sleeper){.wait_ms = waits_ms[i], .mu = &mu, .log = log, .logged = &logged};
        CHECK(env_task_spawn(&tasks[i], "sleeper", sleep_and_log, &sleepers[i]) == SHALE_OK);
    }
    for (int i = 0; i < 5; i++)
        env_task_join(tasks[i]);
    for (unsigned i = 0; i < 5; i++)
        CHECK(log[i] == 10 * (i + 1));
    env_mutex_deinit(&mu);
}

static void test_timed_waits_end_in_order_of_their_deadlines(void **state)
{
    (void)state;
    run_seeds(sleepers_main, NULL);
}

static void clocks_process(void *arg)
{
    *(int64_t *)arg = env_now_wall_ms();
}

static void clocks_main(void *arg)
{
    (void)arg;
    int64_t early = 0;
    sim_group g = sim_group_new("late", 300000);
    int64_t before = env_now_wall_ms();
    sim_group_spawn(g, "clock", clocks_process, &early);
    sim_group_wait(g);
    CHECK(early >= before + 300000 && early < before + 300100);
    uint64_t mono = env_now_mono_ns();
    env_sleep_ns(1500 * ENV_NS_PER_MS);
    CHECK(env_now_mono_ns() >= mono + 1500 * ENV_NS_PER_MS);
    CHECK(env_now_wall_ms() >= before + 1500);
}

static void test_wall_clock_is_skewed_by_group(void **state)
{
    (void)state;
    run_seeds(clocks_main, NULL);
}

/* ---------------------------------------------------------------- what a task carries */

static void count_dtor(void *value)
{
    (*(int *)value)++;
}

static void carry(void *arg)
{
    CHECK(env_tls_get(ENV_TLS_JSON) == NULL);
    env_tls_set(ENV_TLS_JSON, arg, count_dtor);
    errno = (int)env_task_index() + 100;
    for (int i = 0; i < 10; i++) {
        env_yield();
        CHECK(env_tls_get(ENV_TLS_JSON) == arg);
        CHECK(errno == (int)env_task_index() + 100);
    }
}

static void carry_main(void *arg)
{
    (void)arg;
    int destroyed[4] = {0};
    struct env_task *tasks[4];
    for (int i = 0; i < 4; i++)
        CHECK(env_task_spawn(&tasks[i], "carry", carry, &destroyed[i]) == SHALE_OK);
    for (int i = 0; i < 4; i++)
        env_task_join(tasks[i]);
    for (int i = 0; i < 4; i++)
        CHECK(destroyed[i] == 1);
}

static void test_tls_and_errno_are_each_tasks_own(void **state)
{
    (void)state;
    run_seeds(carry_main, NULL);
}

static void many_main(void *arg)
{
    (void)arg;
    enum { MANY = 300 };
    struct env_task *tasks[MANY];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++)
            CHECK(env_task_spawn(&tasks[i], "many", do_nothing, NULL) == SHALE_OK);
        for (int i = 0; i < MANY; i++)
            env_task_join(tasks[i]);
    }
}

static void test_slots_of_ended_tasks_are_used_again(void **state)
{
    (void)state;
    (void)run(1, SIM_UCONTEXT, many_main, NULL);
    (void)run(1, SIM_BATON, many_main, NULL);
}

/* ---------------------------------------------------------------- groups */

struct shared {
    struct env_mutex mu; /* of group 0: outlives the processes */
    struct env_cond changed;
    int low, high;   /* [mu] always equal when unlocked */
    unsigned rounds; /* [mu] */
};

static unsigned shared_rounds(struct shared *s)
{
    env_mutex_lock(&s->mu);
    CHECK(s->low == s->high);
    unsigned rounds = s->rounds;
    env_mutex_unlock(&s->mu);
    return rounds;
}

static void use_shared(void *arg)
{
    struct shared *s = arg;
    for (;;) {
        void *kept = env_alloc(1000);
        CHECK(kept != NULL);
        CHECK(env_alloc_aligned(4096, 100) != NULL);
        env_mutex_lock(&s->mu);
        CHECK(s->low == s->high);
        s->low++;
        env_yield(); /* a kill may be asked for here, and must not take effect */
        ENV_POINT("inside");
        s->high++;
        s->rounds++;
        if (s->rounds % 8 == 0)
            (void)env_cond_wait_until(&s->changed, &s->mu, env_now_mono_ns() + ENV_NS_PER_MS);
        env_cond_signal(&s->changed);
        env_mutex_unlock(&s->mu);
        env_sleep_ns(env_rand_below(100000));
    }
}

static void spawn_inside(void *arg)
{
    struct env_task *task;
    CHECK(env_task_spawn(&task, "child", use_shared, arg) == SHALE_OK);
    env_task_join(task);
}

static void kill_main(void *arg)
{
    (void)arg;
    struct shared s = {0};
    env_mutex_init(&s.mu);
    env_cond_init(&s.changed);
    sim_group a = sim_group_new("a", 0);
    sim_group b = sim_group_new("b", 0);
    for (int i = 0; i < 3; i++) {
        sim_group_spawn(a, "a", use_shared, &s);
        sim_group_spawn(b, "b", spawn_inside, &s);
    }
    env_sleep_ns(sim_rand_below(3 * ENV_NS_PER_MS));
    sim_group_kill(a);
    CHECK(!sim_group_alive(a) && sim_group_alive(b));
    CHECK(sim_alloc_live(a) == 0);
    sim_group_kill(a); /* again: nothing */

    uint64_t live = sim_alloc_live(b);
    unsigned rounds = shared_rounds(&s);
    env_sleep_ns(5 * ENV_NS_PER_MS);
    CHECK(sim_alloc_live(b) > live && shared_rounds(&s) > rounds); /* b goes on */

    sim_group_pause(b);
    env_sleep_ns(ENV_NS_PER_MS); /* holders of the lock come out */
    rounds = shared_rounds(&s);  /* a paused process does not hold the store up */
    env_sleep_ns(50 * ENV_NS_PER_MS);
    CHECK(shared_rounds(&s) == rounds);
    sim_group_resume(b);
    env_sleep_ns(5 * ENV_NS_PER_MS);
    CHECK(shared_rounds(&s) > rounds);

    sim_group_pause(b);
    sim_group_kill(b); /* a paused one too */
    CHECK(sim_alloc_live(b) == 0);
    CHECK(s.low == s.high);
    env_cond_deinit(&s.changed); /* asserts: nobody waits there any more */
    env_mutex_deinit(&s.mu);
}

static void test_kill_and_pause_leave_shared_locks_and_others_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4 * SEEDS; seed++)
        (void)run(seed, SIM_UCONTEXT, kill_main, NULL);
    for (uint64_t seed = 0; seed < 5; seed++)
        assert_true(run(seed, SIM_BATON, kill_main, NULL) ==
                    run(seed, SIM_UCONTEXT, kill_main, NULL));
    assert_int_equal(sim_alloc_live(0), 0);
}

static void points_process(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 10; i++) {
        env_mutex_lock(&s->mu);
        s->low++;
        ENV_POINT("between");
        s->high++;
        env_mutex_unlock(&s->mu);
        s->rounds++;
        ENV_POINT("after");
    }
}

static void points_main(void *arg)
{
    struct shared s = {0};
    env_mutex_init(&s.mu);
    uint64_t n = *(uint64_t *)arg;
    sim_group g = sim_group_new("crash", 0);
    sim_point_kill_arm(g, n);
    sim_group_spawn(g, "points", points_process, &s);
    sim_group_wait(g);
    uint64_t seen = sim_point_kill_disarm(g);
    CHECK(seen == (n < 20 ? n + 1 : 20));
    CHECK(s.low == s.high); /* inside the shared lock the kill waits for the unlock */
    CHECK(s.rounds == (n + 1) / 2);
    env_mutex_deinit(&s.mu);
}

static void test_process_dies_at_its_nth_point(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= 20; n++)
        for (uint64_t seed = 0; seed < 3; seed++)
            (void)run(seed, SIM_UCONTEXT, points_main, &n);
}

static void kill_self_process(void *arg)
{
    CHECK(env_alloc(10) != NULL);
    *(int *)arg = 1;
    sim_group_kill_self();
}

static void left_over_main(void *arg)
{
    struct shared *s = arg;
    int reached = 0;
    sim_group g = sim_group_new("self", 0);
    CHECK(sim_group_self() == 0);
    sim_group_spawn(g, "self", kill_self_process, &reached);
    sim_group_wait(g);
    CHECK(reached == 1 && sim_alloc_live(g) == 0);

    sim_group h = sim_group_new("left over", 0);
    sim_group_spawn(h, "over", use_shared, s);
    sim_group_spawn(h, "over", use_shared, s);
    env_sleep_ns(ENV_NS_PER_MS); /* and return: the run ends with the group alive */
}

static void test_groups_left_over_are_killed_at_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
        struct shared s = {0};
        env_mutex_init(&s.mu);
        env_cond_init(&s.changed);
        (void)run(seed, seed % 10 == 0 ? SIM_BATON : SIM_UCONTEXT, left_over_main, &s);
        assert_int_equal(s.low, s.high);
        env_cond_deinit(&s.changed);
        env_mutex_deinit(&s.mu);
    }
}

static void push_process(void *arg)
{
    void **slots = arg;
    sim_group before = sim_group_push(0);
    slots[0] = env_alloc(64);
    slots[2] = env_realloc(env_alloc(8), 80);
    sim_group_pop(before);
    slots[1] = env_alloc(64);
    slots[2] = env_realloc(slots[2], 800); /* stays with its group */
    CHECK(sim_alloc_live(sim_group_self()) == 1);
}

static void push_main(void *arg)
{
    (void)arg;
    void *slots[3];
    uint64_t live = sim_alloc_live(0);
    sim_group g = sim_group_new("pusher", 0);
    sim_group_spawn(g, "push", push_process, slots);
    sim_group_wait(g);
    CHECK(sim_alloc_live(g) == 1); /* it ended, but its memory is there until the kill */
    sim_group_kill(g);
    CHECK(sim_alloc_live(g) == 0);
    CHECK(sim_alloc_live(0) == live + 2);
    memset(slots[0], 1, 64);
    memset(slots[2], 1, 800);
    env_free(slots[0]);
    env_free(slots[2]);
}

static void test_pushed_memory_outlives_the_process(void **state)
{
    (void)state;
    run_seeds(push_main, NULL);
}

/* ---------------------------------------------------------------- memory faults */

static shale_code three_allocations(void)
{
    shale_code rc = SHALE_NOMEM;
    char *a = env_alloc(10);
    char *b = a == NULL ? NULL : env_calloc(3, 5);
    char *c = b == NULL ? NULL : env_strdup("three");
    if (c != NULL)
        rc = SHALE_OK;
    env_free(a);
    env_free(b);
    env_free(c);
    return rc;
}

static void test_nth_allocation_fails_once_or_from_then_on(void **state)
{
    (void)state;
    assert_false(sim_running()); /* memory needs no run */
    for (uint64_t n = 0; n < 5; n++) {
        sim_alloc_fault_arm(0, n, false);
        assert_int_equal(three_allocations(), n < 3 ? SHALE_NOMEM : SHALE_OK);
        assert_int_equal(sim_alloc_fault_disarm(0), n < 3 ? n + 1 : 3);
        assert_int_equal(sim_alloc_live(0), 0);

        sim_alloc_fault_arm(0, n, true);
        assert_int_equal(three_allocations(), n < 3 ? SHALE_NOMEM : SHALE_OK);
        void *after = env_alloc_aligned(64, 64);
        assert_true((after == NULL) == (n <= 3));
        env_free_aligned(after);
        (void)sim_alloc_fault_disarm(0);
    }
    char *p = env_alloc(4);
    memcpy(p, "old", 4);
    sim_alloc_fault_arm(0, 0, false);
    assert_null(env_realloc(p, 100));
    assert_string_equal(p, "old"); /* untouched */
    p = env_realloc(p, 100);
    assert_string_equal(p, "old");
    assert_int_equal(sim_alloc_fault_disarm(0), 2);
    env_free(p);
    volatile size_t huge = SIZE_MAX;
    assert_null(env_calloc(huge, 2));
    assert_null(env_alloc(huge));
    assert_int_equal(sim_alloc_live(0), 0);
}

static void fault_process(void *arg)
{
    CHECK((env_alloc(1) == NULL) == (arg != NULL));
    struct env_task *task;
    CHECK(env_task_spawn(&task, "child", do_nothing, NULL) ==
          (arg != NULL ? SHALE_NOMEM : SHALE_OK));
    if (arg == NULL)
        env_task_join(task);
}

static void fault_main(void *arg)
{
    (void)arg;
    static char failing;
    sim_group a = sim_group_new("failing", 0);
    sim_group b = sim_group_new("other", 0);
    sim_alloc_fault_arm(a, 0, true);
    sim_group_spawn(a, "a", fault_process, &failing);
    sim_group_spawn(b, "b", fault_process, NULL);
    sim_group_wait(a);
    sim_group_wait(b);
    CHECK(sim_alloc_fault_disarm(a) == 2); /* a spawn takes memory too */
    CHECK(sim_alloc_live(a) == 0 && sim_alloc_live(b) == 1);
}

static void test_memory_faults_hit_one_group_only(void **state)
{
    (void)state;
    run_seeds(fault_main, NULL);
}

/* ---------------------------------------------------------------- chance */

struct buggify_count {
    unsigned on, fired;
};

static void buggify_main(void *arg)
{
    struct buggify_count *c = arg;
    unsigned fired = 0;
    for (int i = 0; i < 100; i++)
        fired += ENV_BUGGIFY(0.25);
    c->on += fired > 0;
    c->fired += fired;
}

static void test_buggify_sites_are_on_in_a_quarter_of_the_runs(void **state)
{
    (void)state;
    struct buggify_count c = {0};
    for (uint64_t seed = 0; seed < 400; seed++)
        (void)run(seed, SIM_UCONTEXT, buggify_main, &c);
    assert_in_range(c.on, 60, 140);                 /* 100 of 400 */
    assert_in_range(c.fired, c.on * 15, c.on * 35); /* 25 of 100 in each */
    assert_false(ENV_BUGGIFY(1.0));                 /* not outside of a run */
}

/* ---------------------------------------------------------------- outside of a run */

static void test_locks_time_and_chance_outside_of_a_run(void **state)
{
    (void)state;
    struct env_mutex mu;
    struct env_cond c;
    env_mutex_init(&mu);
    env_cond_init(&c);
    env_mutex_lock(&mu);
    assert_false(env_mutex_trylock(&mu));
    env_cond_signal(&c);
    env_cond_broadcast(&c);
    env_mutex_unlock(&mu);
    uint64_t now = env_now_mono_ns();
    env_sleep_ns(ENV_NS_PER_SEC);
    env_yield();
    ENV_POINT("outside");
    assert_true(env_now_mono_ns() == now);
    assert_true(env_now_wall_ms() > 0);
    uint8_t a[13];
    uint8_t b[13];
    env_rand_bytes(a, sizeof a);
    env_rand_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int i = 0; i < 100; i++)
        assert_true(env_rand_below(7) < 7);
    assert_int_equal(env_process_cpu_ns(), 0);
    env_cond_deinit(&c);
    env_mutex_deinit(&mu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_gives_same_run_on_both_backends),
        cmocka_unit_test(test_every_policy_ends_the_scenario),
        cmocka_unit_test(test_planted_mistakes_end_with_the_replay_line),
        cmocka_unit_test(test_lost_wake_up_is_found_by_some_seed),
        cmocka_unit_test(test_wait_with_if_is_found_by_some_seed),
        cmocka_unit_test(test_timed_waits_end_in_order_of_their_deadlines),
        cmocka_unit_test(test_wall_clock_is_skewed_by_group),
        cmocka_unit_test(test_tls_and_errno_are_each_tasks_own),
        cmocka_unit_test(test_slots_of_ended_tasks_are_used_again),
        cmocka_unit_test(test_kill_and_pause_leave_shared_locks_and_others_alone),
        cmocka_unit_test(test_process_dies_at_its_nth_point),
        cmocka_unit_test(test_groups_left_over_are_killed_at_the_end),
        cmocka_unit_test(test_pushed_memory_outlives_the_process),
        cmocka_unit_test(test_nth_allocation_fails_once_or_from_then_on),
        cmocka_unit_test(test_memory_faults_hit_one_group_only),
        cmocka_unit_test(test_buggify_sites_are_on_in_a_quarter_of_the_runs),
        cmocka_unit_test(test_locks_time_and_chance_outside_of_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
