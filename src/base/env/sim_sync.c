/* Locks of the simulation: queues of tasks. A mutex is handed to a random waiter by its unlock, so it always has a known
 * owner; the order in which a running task would snatch it first is the one in which the waiter came later, and random
 * yields before the lock make that order too. */
#include "base/env/sim_internal.h"

#include "base/assert.h"

static struct sim_state *const S = &sim_state;

enum { LOCK_YIELD_ONE_IN = 4, ATOMIC_YIELD_ONE_IN = 8, SPURIOUS_ONE_IN = 64 };
#define MUTEX_ALIVE UINT32_C(0x4d757465)
#define COND_ALIVE  UINT32_C(0x436f6e64)

/* ---------------------------------------------------------------- queues */

void sim_queue_push(struct env_sim_wait *q, struct env_task *t)
{
    SHL_ASSERT(t->queue == NULL);
    t->queue = q;
    t->wait_next = NULL;
    t->wait_prev = q->tail;
    if (q->tail != NULL)
        q->tail->wait_next = t;
    else
        q->head = t;
    q->tail = t;
}

void sim_queue_remove(struct env_task *t)
{
    struct env_sim_wait *q = t->queue;
    if (q == NULL)
        return;
    if (t->wait_prev != NULL)
        t->wait_prev->wait_next = t->wait_next;
    else
        q->head = t->wait_next;
    if (t->wait_next != NULL)
        t->wait_next->wait_prev = t->wait_prev;
    else
        q->tail = t->wait_prev;
    t->queue = NULL;
    t->wait_next = t->wait_prev = NULL;
}

void sim_queue_wake_all(struct env_sim_wait *q)
{
    while (q->head != NULL)
        sim_ready(q->head);
}

static struct env_task *random_waiter(const struct env_sim_wait *q)
{
    uint64_t count = 0;
    for (const struct env_task *t = q->head; t != NULL; t = t->wait_next)
        count++;
    if (count == 0)
        return NULL;
    struct env_task *t = q->head;
    for (uint64_t skip = sim_below(&S->rng_schedule, count); skip > 0; skip--)
        t = t->wait_next;
    return t;
}

/* ---------------------------------------------------------------- mutexes */

void env_mutex_init(struct env_mutex *m)
{
    *m = (struct env_mutex){.alive = MUTEX_ALIVE, .group = sim_self()->owner};
}

void env_mutex_deinit(struct env_mutex *m)
{
    SHL_ASSERT(m->alive == MUTEX_ALIVE);
    SHL_ASSERT(m->owner == NULL);
    SHL_ASSERT(m->waiters.head == NULL);
    m->alive = 0;
}

static void own(struct env_mutex *m, struct env_task *t)
{
    m->owner = t;
    if (m->group != t->group)
        sim_hold_foreign(t);
}

/* Without the yields around it: conditions use it too. */
static void lock(struct env_mutex *m)
{
    struct env_task *t = sim_self();
    SHL_ASSERT(m->alive == MUTEX_ALIVE);
    SHL_ASSERT(m->owner != t); /* not recursive */
    if (m->owner == NULL)
        own(m, t);
    else
        sim_wait(&m->waiters, "mutex", m->group, UINT64_MAX); /* unlock makes us the owner */
    SHL_ASSERT(m->owner == t);
    TSAN(__tsan_acquire(m));
}

static void hand_over(struct env_mutex *m)
{
    SHL_ASSERT(m->alive == MUTEX_ALIVE);
    SHL_ASSERT(m->owner == sim_self());
    TSAN(__tsan_release(m));
    if (m->group != m->owner->group)
        sim_drop_foreign(m->owner);
    m->owner = NULL;
    struct env_task *next = random_waiter(&m->waiters);
    if (next != NULL) {
        own(m, next); /* first: a frozen group's task may run because of it */
        sim_ready(next);
    }
}

void env_mutex_lock(struct env_mutex *m)
{
    sim_maybe_yield(LOCK_YIELD_ONE_IN);
    lock(m);
}

bool env_mutex_trylock(struct env_mutex *m)
{
    sim_maybe_yield(LOCK_YIELD_ONE_IN);
    SHL_ASSERT(m->alive == MUTEX_ALIVE);
    if (m->owner != NULL)
        return false;
    own(m, sim_self());
    TSAN(__tsan_acquire(m));
    return true;
}

void env_mutex_unlock(struct env_mutex *m)
{
    hand_over(m);
    sim_group_settle();
    sim_maybe_yield(LOCK_YIELD_ONE_IN);
}

/* ---------------------------------------------------------------- conditions */

void env_cond_init(struct env_cond *c)
{
    *c = (struct env_cond){.alive = COND_ALIVE, .group = sim_self()->owner};
}

void env_cond_deinit(struct env_cond *c)
{
    SHL_ASSERT(c->alive == COND_ALIVE);
    SHL_ASSERT(c->waiters.head == NULL);
    c->alive = 0;
}

bool env_cond_wait_until(struct env_cond *c, struct env_mutex *m, uint64_t deadline_mono_ns)
{
    SHL_ASSERT(c->alive == COND_ALIVE);
    SHL_ASSERT(m->owner == sim_self());
    if (deadline_mono_ns <= S->now_ns) {
        env_mutex_unlock(m); /* others get their chance, as in a real wait */
        env_mutex_lock(m);
        return false;
    }
    struct env_task *t = sim_self();
    hand_over(m);
    sim_wait_begin(&c->waiters, "cond", c->group, deadline_mono_ns);
    sim_group_settle();
    sim_wait_end();
    bool timed_out = t->timed_out;
    lock(m);
    return !timed_out;
}

void env_cond_wait(struct env_cond *c, struct env_mutex *m)
{
    (void)env_cond_wait_until(c, m, UINT64_MAX);
}

void env_cond_signal(struct env_cond *c)
{
    SHL_ASSERT(c->alive == COND_ALIVE);
    struct env_task *t = random_waiter(&c->waiters);
    if (t == NULL)
        return;
    sim_ready(t);
    /* POSIX allows waking without a signal: whoever tests its predicate with `if` shall find out. */
    if (sim_below(&S->rng_schedule, SPURIOUS_ONE_IN) == 0) {
        t = random_waiter(&c->waiters);
        if (t != NULL)
            sim_ready(t);
    }
}

void env_cond_broadcast(struct env_cond *c)
{
    SHL_ASSERT(c->alive == COND_ALIVE);
    sim_queue_wake_all(&c->waiters);
}

/* ---------------------------------------------------------------- atomics, TLS slots */

void env_sim_atomic_point(void)
{
    sim_maybe_yield(ATOMIC_YIELD_ONE_IN);
}

uint32_t env_task_index(void)
{
    return sim_self()->slot;
}

void *env_tls_get(enum env_tls_slot slot)
{
    SHL_ASSERT(slot < ENV_TLS_SLOTS);
    return sim_self()->tls[slot].value;
}

void env_tls_set(enum env_tls_slot slot, void *value, void (*dtor)(void *value))
{
    SHL_ASSERT(slot < ENV_TLS_SLOTS);
    sim_self()->tls[slot] = (struct sim_tls_value){.value = value, .dtor = dtor};
}
