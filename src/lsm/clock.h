/* The wall clock by which rows are stamped and expire, ids are made, checkpoints end and garbage is told by its age: the system's, or one of the application. Waits and
 * intervals go by the monotonic clock of the env in any case. */
#ifndef SHL_LSM_CLOCK_H
#define SHL_LSM_CLOCK_H

#include "base/codec/ulid.h"
#include "base/env/env.h"

struct shl_clock {
    int64_t (*now_ms)(void *ctx); /* since the Unix epoch; any task; NULL: the system's */
    void *ctx;
};

static inline int64_t shl_clock_ms(const struct shl_clock *c)
{
    return c->now_ms != NULL ? c->now_ms(c->ctx) : env_now_wall_ms();
}

/* The same for what cannot be before the epoch, nor later than a ULID can tell (the year 10889). */
static inline uint64_t shl_clock_unix_ms(const struct shl_clock *c)
{
    const int64_t last = (int64_t)SHL_ULID_MS_MAX;
    int64_t now = shl_clock_ms(c);
    return now < 0 ? 0 : (uint64_t)(now < last ? now : last);
}

#endif
