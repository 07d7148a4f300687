/* Clocks, chance and process facts of the real build. */
#include "base/env/env.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "base/assert.h"

/* ---------------------------------------------------------------- time */

uint64_t env_now_mono_ns(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_MONOTONIC, &ts);
    SHL_ASSERT(rc == 0);
    return (uint64_t)ts.tv_sec * ENV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

int64_t env_now_wall_ms(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    SHL_ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void env_sleep_ns(uint64_t ns)
{
    uint64_t now = env_now_mono_ns();
    env_sleep_until(ns > UINT64_MAX - now ? UINT64_MAX : now + ns);
}

void env_sleep_until(uint64_t deadline_mono_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(deadline_mono_ns / ENV_NS_PER_SEC),
                          .tv_nsec = (long)(deadline_mono_ns % ENV_NS_PER_SEC)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        continue;
}

/* ---------------------------------------------------------------- chance
 * Each thread has its own generator (xoshiro256**), seeded by the kernel on first use and again in a forked child, where
 * a copy of the parent's state would give the same "random" names. Not for secrets: those take env_rand_bytes. */

struct generator {
    uint64_t state[4];
    unsigned generation; /* of the process; 0 = never seeded */
};

static _Thread_local struct generator generator;
static atomic_uint process_generation = 1; /* counts forks on the way to this process */
static pthread_once_t fork_watch_once = PTHREAD_ONCE_INIT;

static void on_fork_in_child(void)
{
    atomic_fetch_add_explicit(&process_generation, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    int rc = pthread_atfork(NULL, NULL, on_fork_in_child);
    SHL_ASSERT(rc == 0);
}

void env_rand_bytes(void *dst, size_t len)
{
    enum { CHUNK_MAX = 256 }; /* getentropy gives no more at once */
    char *at = dst;
    while (len > 0) {
        size_t n = len < CHUNK_MAX ? len : CHUNK_MAX;
        if (getentropy(at, n) != 0)
            env_die("the kernel gives no random bytes");
        at += n;
        len -= n;
    }
}

static void seed(struct generator *g, unsigned generation)
{
    (void)pthread_once(&fork_watch_once, watch_forks);
    do
        env_rand_bytes(g->state, sizeof g->state);
    while ((g->state[0] | g->state[1] | g->state[2] | g->state[3]) == 0);
    g->generation = generation;
}

static uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

uint64_t env_rand64(void)
{
    struct generator *g = &generator;
    unsigned generation = atomic_load_explicit(&process_generation, memory_order_relaxed);
    if (g->generation != generation)
        seed(g, generation);
    uint64_t *s = g->state;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* ---------------------------------------------------------------- the process */

static uint64_t timeval_ns(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * ENV_NS_PER_SEC + (uint64_t)tv.tv_usec * 1000;
}

uint64_t env_process_cpu_ns(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

uint64_t env_process_peak_rss(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024; /* Linux and the BSDs count in KiB */
#endif
}
