/* The few parts of env.h that are the same in both builds: they stand on other env functions, or only read. */
#include "base/env/env.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

extern char **environ;

char *env_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = env_alloc(size);
    if (copy != NULL)
        memcpy(copy, s, size);
    return copy;
}

uint64_t env_rand_below(uint64_t bound)
{
    SHL_ASSERT(bound > 0);
    /* 2^64 mod bound: numbers below it would make small results more likely. */
    uint64_t biased_end = (UINT64_MAX - bound + 1) % bound;
    uint64_t r;
    do
        r = env_rand64();
    while (r < biased_end);
    return r % bound;
}

void env_listdir_free(struct env_dirent *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        env_free(entries[i].name);
    env_free(entries);
}

const char *env_getenv(const char *name)
{
    return getenv(name);
}

char **env_environ(void)
{
    return environ;
}

uint32_t env_cpu_quota(const char *text)
{
    char *end = NULL;
    unsigned long long quota = strtoull(text, &end, 10);
    if (end == text || *end != ' ' || quota == 0)
        return 0;
    const char *second = end + 1;
    unsigned long long period = strtoull(second, &end, 10);
    if (end == second || period == 0 || quota / period >= INT32_MAX)
        return 0;
    return (uint32_t)(quota / period + (quota % period != 0));
}
