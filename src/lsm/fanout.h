/* Several requests at once: a few tasks that run jobs beside the caller.
 *
 * A job that nobody has begun when its owner comes to wait for it is run by the owner. So a full house, or a system that gives no more
 * threads, makes things slower but never stops them, and a job may itself start jobs and wait for them. Tasks are started when they
 * are first needed and kept until the end. Any task may use one fan-out; each job belongs to the task that started it.
 *
 * Where the store is near there is no fan-out: every function takes NULL, and then a job is run when it is waited for. */
#ifndef SHL_LSM_FANOUT_H
#define SHL_LSM_FANOUT_H

#include "base/env/env.h"
#include "base/err.h"

#define SHL_FANOUT_TASKS_MAX 32

struct shl_fanout;

enum shl_fan_state { SHL_FAN_NEW, SHL_FAN_QUEUED, SHL_FAN_RUNNING, SHL_FAN_DONE };

/* Lies in what it works on; zeroed but for run and drop. Not to be moved or freed between start and wait or abandon. */
struct shl_fan_job {
    void (*run)(struct shl_fan_job *job);
    /* Frees an abandoned job. NULL: it is never abandoned. */
    void (*drop)(struct shl_fan_job *job);
    /* of fanout.c */
    struct shl_fan_job *next, *prev;
    struct env_cond *waiter;
    enum shl_fan_state state;
    bool abandoned;
};

/* No task yet. Errors: NOMEM. */
SHL_MUST shale_code shl_fanout_new(struct shl_fanout **out, shale_error *err);
/* Nobody uses it any more; waits for abandoned jobs that still run. NULL is fine. */
void shl_fanout_free(struct shl_fanout *f);

/* Lets some other task run the job. Never fails. */
void shl_fanout_start(struct shl_fanout *f, struct shl_fan_job *job);
/* Returns when it has run. Not started, or not begun: runs it here. */
void shl_fanout_wait(struct shl_fanout *f, struct shl_fan_job *job);
/* Whether a wait would return at once. */
bool shl_fanout_is_done(struct shl_fanout *f, const struct shl_fan_job *job);
/* Takes back a started job: false if nobody had begun it, so that it never runs. Else waits for it. */
bool shl_fanout_cancel(struct shl_fanout *f, struct shl_fan_job *job);
/* Gives a started job up: it is dropped now, or once it has run. */
void shl_fanout_abandon(struct shl_fanout *f, struct shl_fan_job *job);

/* Runs `count` jobs that lie `stride` bytes apart, the first one here, and returns when all have run. */
void shl_fanout_all(struct shl_fanout *f, struct shl_fan_job *first, size_t stride, size_t count);

#endif
