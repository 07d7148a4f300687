/* How many processors the process may use: those that it is bound to, and no more than its container is granted. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/env/env.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

static uint32_t bound_to(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        n = CPU_COUNT(&set);
#endif
    return n > 0 && n < INT32_MAX ? (uint32_t)n : 1;
}

uint32_t env_cpu_count(void)
{
    uint32_t n = bound_to();
    char text[64] = "";
    size_t len = 0;
    int fd;
    if (env_open(&fd, "/sys/fs/cgroup/cpu.max", ENV_OPEN_READ) == 0) {
        if (env_pread(fd, text, sizeof text - 1, 0, &len) != 0)
            len = 0;
        (void)env_close(fd);
    }
    text[len] = '\0';
    uint32_t granted = env_cpu_quota(text);
    return granted != 0 && granted < n ? granted : n;
}
