/* Goal: every job of a fan-out runs exactly once or, taken back, never; whoever waits finds it done; nobody waits for a task that is not there.
 * Method: counters in jobs, with and without fan-out, in more jobs than there are tasks, and jobs that start jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lsm/fanout.h"

struct counted {
    struct shl_fan_job job;
    struct shl_fanout *f;
    _Atomic unsigned *dropped;
    unsigned runs;
    unsigned depth; /* jobs that it starts below itself, and theirs */
    uint64_t sleep_ns;
};

static void run_counted(struct shl_fan_job *job)
{
    struct counted *c = (struct counted *)job;
    if (c->sleep_ns > 0)
        env_sleep_ns(c->sleep_ns);
    if (c->depth > 0) {
        struct counted below[3];
        for (unsigned i = 0; i < 3; i++)
            below[i] =
                (struct counted){.job = {.run = run_counted}, .f = c->f, .depth = c->depth - 1};
        shl_fanout_all(c->f, &below[0].job, sizeof below[0], 3);
        for (unsigned i = 0; i < 3; i++)
            c->runs += below[i].runs;
    }
    c->runs++;
}

static struct shl_fanout *fanout_new(void)
{
    struct shl_fanout *f;
    shale_error err;
    assert_int_equal(shl_fanout_new(&f, &err), SHALE_OK);
    return f;
}

static void test_all_run_once(void **state)
{
    (void)state;
    static struct counted jobs[200];
    for (unsigned with = 0; with < 2; with++) {
        struct shl_fanout *f = with != 0 ? fanout_new() : NULL;
        for (unsigned round = 0; round < 20; round++) {
            for (unsigned i = 0; i < 200; i++)
                jobs[i] =
                    (struct counted){.job = {.run = run_counted}, .f = f, .sleep_ns = i % 7 * 1000};
            shl_fanout_all(f, &jobs[0].job, sizeof jobs[0], 10 * round);
            for (unsigned i = 0; i < 200; i++)
                assert_int_equal(jobs[i].runs, i < 10 * round);
        }
        shl_fanout_free(f);
    }
}

static void test_jobs_may_start_jobs(void **state)
{
    (void)state;
    struct shl_fanout *f = fanout_new();
    struct counted jobs[SHL_FANOUT_TASKS_MAX + 5]; /* all tasks wait for what is below them */
    size_t n = sizeof jobs / sizeof jobs[0];
    for (size_t i = 0; i < n; i++)
        jobs[i] = (struct counted){.job = {.run = run_counted}, .f = f, .depth = 3};
    shl_fanout_all(f, &jobs[0].job, sizeof jobs[0], n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(jobs[i].runs, 1 + 3 + 9 + 27);
    shl_fanout_free(f);
}

static void test_several_tasks_use_one(void **state)
{
    (void)state;
    struct shl_fanout *outer = fanout_new(), *f = fanout_new();
    struct counted jobs[16];
    for (size_t i = 0; i < 16; i++)
        jobs[i] = (struct counted){.job = {.run = run_counted}, .f = f, .depth = 4};
    shl_fanout_all(outer, &jobs[0].job, sizeof jobs[0], 16);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(jobs[i].runs, 1 + 3 + 9 + 27 + 81);
    shl_fanout_free(f);
    shl_fanout_free(outer);
}

static void test_what_is_taken_back_has_run_or_never_will(void **state)
{
    (void)state;
    static struct counted jobs[100];
    struct shl_fanout *f = fanout_new();
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 100; i++) {
            jobs[i] = (struct counted){.job = {.run = run_counted}, .f = f, .sleep_ns = 20000};
            shl_fanout_start(f, &jobs[i].job);
        }
        for (unsigned i = 100; i-- > 0;) {
            bool ran = shl_fanout_cancel(f, &jobs[i].job);
            assert_int_equal(jobs[i].runs, ran);
        }
    }
    shl_fanout_free(f);
    struct counted near = {.job = {.run = run_counted}};
    shl_fanout_start(NULL, &near.job);
    assert_false(shl_fanout_cancel(NULL, &near.job));
    shl_fanout_wait(NULL, &near.job);
    assert_true(shl_fanout_cancel(NULL, &near.job));
    assert_int_equal(near.runs, 1);
}

static void drop_counted(struct shl_fan_job *job)
{
    struct counted *c = (struct counted *)job;
    atomic_fetch_add(c->dropped, 1);
    env_free(c);
}

static void test_what_is_given_up_is_dropped_once(void **state)
{
    (void)state;
    _Atomic unsigned dropped = 0;
    unsigned given_up = 0;
    for (unsigned with = 0; with < 2; with++) {
        struct shl_fanout *f = with != 0 ? fanout_new() : NULL;
        for (unsigned i = 0; i < 300; i++, given_up++) {
            struct counted *c = env_calloc(1, sizeof *c);
            assert_non_null(c);
            c->job = (struct shl_fan_job){.run = run_counted, .drop = drop_counted};
            c->dropped = &dropped;
            c->sleep_ns = i % 3 * 50000;
            shl_fanout_start(f, &c->job);
            if (i % 5 == 0)
                env_sleep_ns(20000);
            if (i % 11 == 0)
                shl_fanout_wait(f, &c->job);
            shl_fanout_abandon(f, &c->job);
        }
        shl_fanout_free(f); /* waits for those that still run */
        assert_int_equal(dropped, given_up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_run_once),
        cmocka_unit_test(test_jobs_may_start_jobs),
        cmocka_unit_test(test_several_tasks_use_one),
        cmocka_unit_test(test_what_is_taken_back_has_run_or_never_will),
        cmocka_unit_test(test_what_is_given_up_is_dropped_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
