/* Tasks as real threads of which one runs at a time: it holds the baton, a semaphore per task. Slower than coroutines by a
 * factor of ten or more, but a debugger shows ordinary threads. The same seed gives the same hash on both. */
#define _GNU_SOURCE
#include "base/env/sim_internal.h"

#include <errno.h>
#include <sched.h>

#include "base/assert.h"

enum { STACK_BYTES = 2 << 20 };

static sem_t loop_turn;
static cpu_set_t cpus_before;
static bool pinned;

static void take(sem_t *s)
{
    while (sem_wait(s) != 0)
        SHL_ASSERT(errno == EINTR);
}

static void give(sem_t *s)
{
    int rc = sem_post(s);
    SHL_ASSERT(rc == 0);
}

static void *thread_main(void *arg)
{
    struct env_task *t = arg;
    take(&t->turn);
    if (!t->killed)
        sim_task_main(t);
    return NULL;
}

static void leave(struct env_task *t, bool last)
{
    TSAN(__tsan_release(t));
    give(&loop_turn);
    if (!last)
        take(&t->turn);
    if (last || t->killed)
        pthread_exit(NULL); /* no destructors: this room sets no thread-specific values */
}

static void enter(struct env_task *t)
{
    give(&t->turn);
    take(&loop_turn);
}

static bool start(struct env_task *t)
{
    int rc = sem_init(&t->turn, 0, 0);
    SHL_ASSERT(rc == 0);
    pthread_attr_t attr;
    rc = pthread_attr_init(&attr);
    SHL_ASSERT(rc == 0);
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    SHL_ASSERT(rc == 0);
    int failed = pthread_create(&t->thread, &attr, thread_main, t);
    (void)pthread_attr_destroy(&attr);
    if (failed != 0)
        (void)sem_destroy(&t->turn);
    return failed == 0;
}

static void release(struct env_task *t)
{
    give(&t->turn); /* for one that was killed while it waited; one that ended does not look */
    int rc = pthread_join(t->thread, NULL);
    SHL_ASSERT(rc == 0);
    (void)sem_destroy(&t->turn);
}

/* On one core the hand-over is twice as fast. A wish only. */
static void run_begin(void)
{
    int rc = sem_init(&loop_turn, 0, 0);
    SHL_ASSERT(rc == 0);
    cpu_set_t one;
    int cpu = sched_getcpu();
    pinned = cpu >= 0 && cpu < CPU_SETSIZE &&
             sched_getaffinity(0, sizeof cpus_before, &cpus_before) == 0;
    if (!pinned)
        return;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    pinned = sched_setaffinity(0, sizeof one, &one) == 0;
}

static void run_end(void)
{
    if (pinned)
        (void)sched_setaffinity(0, sizeof cpus_before, &cpus_before);
    (void)sem_destroy(&loop_turn);
}

const struct sim_backend_ops sim_baton_ops = {
    .name = "baton",
    .run_begin = run_begin,
    .run_end = run_end,
    .start = start,
    .enter = enter,
    .leave = leave,
    .release = release,
};
