#include "lsm/fanout.h"

#include "base/assert.h"

struct shl_fanout {
    struct env_mutex mu; /* a leaf lock; no job runs under it */
    struct env_cond work;
    struct shl_fan_job *head, *tail; /* [mu] queued jobs, oldest first */
    size_t queued;                   /* [mu] */
    size_t idle;    /* [mu] tasks that wait for work, also those that were just told of some */
    uint32_t slots; /* [mu] a bit for each task, from before it is spawned */
    bool stopping;  /* [mu] */
    struct env_task *tasks[SHL_FANOUT_TASKS_MAX]; /* of slot i; written by who took the slot */
};

_Static_assert(SHL_FANOUT_TASKS_MAX == 32, "slots has a bit for each");

shale_code shl_fanout_new(struct shl_fanout **out, shale_error *err)
{
    struct shl_fanout *f = env_calloc(1, sizeof *f);
    if (f == NULL)
        return shl_nomem(err);
    env_mutex_init(&f->mu);
    env_cond_init(&f->work);
    *out = f;
    return SHALE_OK;
}

void shl_fanout_free(struct shl_fanout *f)
{
    if (f == NULL)
        return;
    env_mutex_lock(&f->mu);
    SHL_ASSERT(f->head == NULL);
    f->stopping = true;
    env_cond_broadcast(&f->work);
    env_mutex_unlock(&f->mu);
    for (size_t i = 0; i < SHL_FANOUT_TASKS_MAX; i++)
        if (f->tasks[i] != NULL)
            env_task_join(f->tasks[i]);
    env_cond_deinit(&f->work);
    env_mutex_deinit(&f->mu);
    env_free(f);
}

static void unlink_locked(struct shl_fanout *f, struct shl_fan_job *job)
{
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        f->head = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        f->tail = job->prev;
    job->next = job->prev = NULL;
    f->queued--;
}

/* Runs the oldest job. Called with mu held, returns with mu held. */
static void run_one_locked(struct shl_fanout *f)
{
    struct shl_fan_job *job = f->head;
    unlink_locked(f, job);
    job->state = SHL_FAN_RUNNING;
    env_mutex_unlock(&f->mu);
    job->run(job);
    env_mutex_lock(&f->mu);
    job->state = SHL_FAN_DONE;
    if (job->waiter != NULL)
        env_cond_signal(job->waiter);
    if (job->abandoned) {
        env_mutex_unlock(&f->mu);
        job->drop(job);
        env_mutex_lock(&f->mu);
    }
}

static void task(void *arg)
{
    struct shl_fanout *f = arg;
    env_mutex_lock(&f->mu);
    while (f->head != NULL || !f->stopping) {
        if (f->head != NULL) {
            run_one_locked(f);
            continue;
        }
        f->idle++;
        env_cond_wait(&f->work, &f->mu);
        f->idle--;
    }
    env_mutex_unlock(&f->mu);
}

/* A slot for one more task, or SHL_FANOUT_TASKS_MAX if all work is taken care of or the house is full. */
static unsigned take_slot_locked(struct shl_fanout *f)
{
    if (f->queued <= f->idle || f->slots == UINT32_MAX)
        return SHL_FANOUT_TASKS_MAX;
    unsigned slot = (unsigned)__builtin_ctz(~f->slots);
    f->slots |= UINT32_C(1) << slot;
    return slot;
}

/* Where the system gives no task, who waits for the job runs it. */
static void spawn(struct shl_fanout *f, unsigned slot)
{
    if (env_task_spawn(&f->tasks[slot], "shale-fan", task, f) == SHALE_OK)
        return;
    f->tasks[slot] = NULL;
    env_mutex_lock(&f->mu);
    f->slots &= ~(UINT32_C(1) << slot);
    env_mutex_unlock(&f->mu);
}

void shl_fanout_start(struct shl_fanout *f, struct shl_fan_job *job)
{
    SHL_ASSERT(job->state == SHL_FAN_NEW);
    if (f == NULL)
        return;
    env_mutex_lock(&f->mu);
    job->state = SHL_FAN_QUEUED;
    job->prev = f->tail;
    if (f->tail != NULL)
        f->tail->next = job;
    else
        f->head = job;
    f->tail = job;
    f->queued++;
    unsigned slot = take_slot_locked(f);
    env_cond_signal(&f->work);
    env_mutex_unlock(&f->mu);
    if (slot < SHL_FANOUT_TASKS_MAX)
        spawn(f, slot);
}

static void run_here(struct shl_fan_job *job)
{
    job->run(job);
    job->state = SHL_FAN_DONE;
}

void shl_fanout_wait(struct shl_fanout *f, struct shl_fan_job *job)
{
    if (f == NULL) {
        if (job->state != SHL_FAN_DONE)
            run_here(job);
        return;
    }
    env_mutex_lock(&f->mu);
    if (job->state == SHL_FAN_QUEUED) {
        unlink_locked(f, job);
        job->state = SHL_FAN_NEW; /* nobody else's any more */
    }
    if (job->state == SHL_FAN_NEW) {
        env_mutex_unlock(&f->mu);
        run_here(job);
        return;
    }
    if (job->state == SHL_FAN_RUNNING) {
        struct env_cond done;
        env_cond_init(&done);
        job->waiter = &done;
        while (job->state == SHL_FAN_RUNNING)
            env_cond_wait(&done, &f->mu);
        job->waiter = NULL;
        env_cond_deinit(&done);
    }
    env_mutex_unlock(&f->mu);
}

bool shl_fanout_cancel(struct shl_fanout *f, struct shl_fan_job *job)
{
    if (f == NULL)
        return job->state == SHL_FAN_DONE;
    env_mutex_lock(&f->mu);
    if (job->state == SHL_FAN_QUEUED) {
        unlink_locked(f, job);
        job->state = SHL_FAN_NEW;
    }
    bool began = job->state != SHL_FAN_NEW;
    env_mutex_unlock(&f->mu);
    if (began)
        shl_fanout_wait(f, job);
    return began;
}

bool shl_fanout_is_done(struct shl_fanout *f, const struct shl_fan_job *job)
{
    if (f == NULL)
        return job->state == SHL_FAN_DONE;
    env_mutex_lock(&f->mu);
    bool done = job->state == SHL_FAN_DONE;
    env_mutex_unlock(&f->mu);
    return done;
}

void shl_fanout_abandon(struct shl_fanout *f, struct shl_fan_job *job)
{
    SHL_ASSERT(job->drop != NULL);
    if (f != NULL) {
        env_mutex_lock(&f->mu);
        if (job->state == SHL_FAN_QUEUED)
            unlink_locked(f, job);
        bool runs = job->state == SHL_FAN_RUNNING;
        job->abandoned = runs;
        env_mutex_unlock(&f->mu);
        if (runs)
            return;
    }
    job->drop(job);
}

void shl_fanout_all(struct shl_fanout *f, struct shl_fan_job *first, size_t stride, size_t count)
{
    char *at = (char *)first;
    for (size_t i = 1; i < count; i++)
        shl_fanout_start(f, (struct shl_fan_job *)(void *)(at + i * stride));
    for (size_t i = 0; i < count; i++)
        shl_fanout_wait(f, (struct shl_fan_job *)(void *)(at + i * stride));
}
