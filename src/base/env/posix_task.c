/* Tasks and locks of the real build: POSIX threads. */
#include "base/env/env.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "base/assert.h"

void env_die(const char *what)
{
    (void)fprintf(stderr, "shale: %s\n", what);
    (void)fflush(stderr);
    abort();
}

/* ---------------------------------------------------------------- what each thread carries */

struct tls_value {
    void *value;
    void (*dtor)(void *value);
};

struct thread_state {
    struct tls_value slots[ENV_TLS_SLOTS];
    uint32_t index_plus_1; /* 0 = none taken yet */
};

static _Thread_local struct thread_state thread_state;
static pthread_key_t thread_end_key; /* set in threads with something to give back at their end */
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

/* Indexes in use, one bit each: the lowest free one is taken, so that they stay small and differ among the living.
 * Beyond INDEXES_MAX threads they repeat. */
enum { INDEXES_MAX = 1024 };
static _Atomic uint64_t indexes_used[INDEXES_MAX / 64];
static atomic_uint indexes_overflow;

static uint32_t index_take(void)
{
    for (uint32_t word = 0; word < INDEXES_MAX / 64; word++) {
        uint64_t used = atomic_load_explicit(&indexes_used[word], memory_order_relaxed);
        while (used != UINT64_MAX) {
            uint64_t bit = ~used & (used + 1); /* lowest zero */
            if (atomic_compare_exchange_weak_explicit(&indexes_used[word], &used, used | bit,
                                                      memory_order_relaxed, memory_order_relaxed))
                return word * 64 + (uint32_t)__builtin_ctzll(bit);
        }
    }
    return INDEXES_MAX +
           atomic_fetch_add_explicit(&indexes_overflow, 1, memory_order_relaxed) % INDEXES_MAX;
}

static void index_release(uint32_t index)
{
    if (index < INDEXES_MAX)
        atomic_fetch_and_explicit(&indexes_used[index / 64], ~(UINT64_C(1) << (index % 64)),
                                  memory_order_relaxed);
}

static void on_thread_end(void *arg)
{
    struct thread_state *state = arg;
    for (int slot = 0; slot < ENV_TLS_SLOTS; slot++) {
        struct tls_value v = state->slots[slot];
        state->slots[slot] = (struct tls_value){0};
        if (v.value != NULL && v.dtor != NULL)
            v.dtor(v.value);
    }
    if (state->index_plus_1 != 0)
        index_release(state->index_plus_1 - 1);
    state->index_plus_1 = 0;
}

static void make_thread_end_key(void)
{
    int rc = pthread_key_create(&thread_end_key, on_thread_end);
    SHL_ASSERT(rc == 0);
}

static void watch_thread_end(void)
{
    (void)pthread_once(&thread_end_once, make_thread_end_key);
    /* Fails only for want of memory; then this thread's values are not given back. */
    (void)pthread_setspecific(thread_end_key, &thread_state);
}

void *env_tls_get(enum env_tls_slot slot)
{
    SHL_ASSERT(slot < ENV_TLS_SLOTS);
    return thread_state.slots[slot].value;
}

void env_tls_set(enum env_tls_slot slot, void *value, void (*dtor)(void *value))
{
    SHL_ASSERT(slot < ENV_TLS_SLOTS);
    thread_state.slots[slot] = (struct tls_value){.value = value, .dtor = dtor};
    watch_thread_end();
}

uint32_t env_task_index(void)
{
    if (thread_state.index_plus_1 == 0) {
        thread_state.index_plus_1 = index_take() + 1;
        watch_thread_end();
    }
    return thread_state.index_plus_1 - 1;
}

/* ---------------------------------------------------------------- tasks */

struct env_task {
    pthread_t thread;
    void (*fn)(void *arg);
    void *arg;
    char name[16];
};

static void *task_main(void *arg)
{
    struct env_task *task = arg;
#ifdef __linux__
    (void)prctl(PR_SET_NAME, task->name);
#endif
    task->fn(task->arg);
    return NULL;
}

/* Signals are the application's business: they go to its threads, not to ours. Those that a fault raises stay open, for
 * they belong to the thread that faulted. */
static void block_signals(sigset_t *out_before)
{
    sigset_t set;
    (void)sigfillset(&set);
    (void)sigdelset(&set, SIGSEGV);
    (void)sigdelset(&set, SIGBUS);
    (void)sigdelset(&set, SIGFPE);
    (void)sigdelset(&set, SIGILL);
    (void)sigdelset(&set, SIGABRT);
    (void)sigdelset(&set, SIGTRAP);
    (void)sigdelset(&set, SIGPROF);
    (void)pthread_sigmask(SIG_SETMASK, &set, out_before);
}

shale_code env_task_spawn(struct env_task **out, const char *name, void (*fn)(void *arg), void *arg)
{
    struct env_task *task = env_calloc(1, sizeof *task);
    if (task == NULL)
        return SHALE_NOMEM;
    task->fn = fn;
    task->arg = arg;
    (void)snprintf(task->name, sizeof task->name, "%s", name);

    sigset_t before;
    block_signals(&before);
    int rc = pthread_create(&task->thread, NULL, task_main, task);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        env_free(task);
        return SHALE_UNAVAILABLE;
    }
    *out = task;
    return SHALE_OK;
}

void env_task_join(struct env_task *task)
{
    int rc = pthread_join(task->thread, NULL);
    SHL_ASSERT(rc == 0);
    env_free(task);
}

void env_yield(void)
{
    (void)sched_yield();
}

bool env_backoff(unsigned *n)
{
    enum { PAUSES_MAX = 16, TRIES_MAX = 64 };
    unsigned tries = ++*n;
    if (tries > TRIES_MAX)
        return true;
    if (tries > PAUSES_MAX) {
        (void)sched_yield();
        return false;
    }
    for (unsigned i = 0; i < tries; i++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
    return false;
}

/* ---------------------------------------------------------------- locks */

void env_mutex_init(struct env_mutex *m)
{
    int rc = pthread_mutex_init(&m->m, NULL);
    SHL_ASSERT(rc == 0);
}

void env_mutex_deinit(struct env_mutex *m)
{
    int rc = pthread_mutex_destroy(&m->m);
    SHL_ASSERT(rc == 0);
}

void env_mutex_lock(struct env_mutex *m)
{
    int rc = pthread_mutex_lock(&m->m);
    SHL_ASSERT(rc == 0);
}

bool env_mutex_trylock(struct env_mutex *m)
{
    return pthread_mutex_trylock(&m->m) == 0;
}

void env_mutex_unlock(struct env_mutex *m)
{
    int rc = pthread_mutex_unlock(&m->m);
    SHL_ASSERT(rc == 0);
}

void env_cond_init(struct env_cond *c)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    SHL_ASSERT(rc == 0);
    /* The wall clock may jump; a deadline must not. */
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    SHL_ASSERT(rc == 0);
    rc = pthread_cond_init(&c->c, &attr);
    SHL_ASSERT(rc == 0);
    (void)pthread_condattr_destroy(&attr);
}

void env_cond_deinit(struct env_cond *c)
{
    int rc = pthread_cond_destroy(&c->c);
    SHL_ASSERT(rc == 0);
}

void env_cond_wait(struct env_cond *c, struct env_mutex *m)
{
    int rc = pthread_cond_wait(&c->c, &m->m);
    SHL_ASSERT(rc == 0);
}

bool env_cond_wait_until(struct env_cond *c, struct env_mutex *m, uint64_t deadline_mono_ns)
{
    if (deadline_mono_ns == UINT64_MAX) {
        env_cond_wait(c, m);
        return true;
    }
    struct timespec ts = {.tv_sec = (time_t)(deadline_mono_ns / ENV_NS_PER_SEC),
                          .tv_nsec = (long)(deadline_mono_ns % ENV_NS_PER_SEC)};
    /* Any other answer than "time is over" is a wake-up, with or without a signal. */
    return pthread_cond_timedwait(&c->c, &m->m, &ts) == 0;
}

void env_cond_signal(struct env_cond *c)
{
    (void)pthread_cond_signal(&c->c);
}

void env_cond_broadcast(struct env_cond *c)
{
    (void)pthread_cond_broadcast(&c->c);
}
