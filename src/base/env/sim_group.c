/* Groups, the model of processes: freezing, killing, crash points, rare branches.
 *
 * A group that is paused or to be killed is frozen: its tasks are not picked. One exception keeps what several groups
 * share usable: a task that holds a mutex in another group's memory (a store that outlives processes) runs on until it
 * has unlocked it, for a real process that dies inside a bucket's server does not leave the server locked. A kill takes
 * effect when no task of the group holds such a mutex. If a holder waits for something of its own group meanwhile, all
 * tasks of the group run again ("thawed") until then, or it would wait for a frozen one for ever. */
#include "base/env/sim_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static struct sim_state *const S = &sim_state;

enum { POINT_YIELD_ONE_IN = 16, BUGGIFY_SITES_ONE_IN = 4 };

struct sim_group_state *sim_group_of(sim_group g)
{
    SHL_ASSERT(g < S->group_count);
    return &S->groups[g];
}

/* ---------------------------------------------------------------- freezing */

static bool frozen(const struct sim_group_state *g)
{
    return g->paused || g->dying;
}

bool sim_may_run(const struct env_task *t)
{
    const struct sim_group_state *g = &S->groups[t->group];
    return !frozen(g) || t->foreign_held > 0 || g->thawed;
}

/* After a change of the group's flags: its tasks into run[] or out of it. */
static void refresh(sim_group g)
{
    for (uint32_t i = 0; i < S->slots_used; i++) {
        struct env_task *t = &S->tasks[i];
        if (t->group != g || t->state != TASK_RUNNABLE)
            continue;
        if (sim_may_run(t))
            sim_run_insert(t);
        else
            sim_run_remove(t);
    }
}

/* If the current task may no longer run, it stays here until it may. */
static void stop_if_frozen(void)
{
    struct env_task *t = S->current;
    if (t == NULL || t->state != TASK_RUNNABLE || sim_may_run(t))
        return;
    sim_run_remove(t);
    sim_switch_away();
}

void sim_group_thaw_if_needed(struct env_task *t)
{
    struct sim_group_state *g = &S->groups[t->group];
    if (frozen(g) && !g->thawed && t->foreign_held > 0 && t->wait_group == t->group) {
        g->thawed = true;
        refresh(t->group);
    }
}

void sim_hold_foreign(struct env_task *t)
{
    t->foreign_held++;
    S->groups[t->group].foreign_held++;
}

void sim_drop_foreign(struct env_task *t)
{
    SHL_ASSERT(t->foreign_held > 0);
    t->foreign_held--;
    S->groups[t->group].foreign_held--;
}

/* ---------------------------------------------------------------- killing */

static void kill_task(struct env_task *t)
{
    TSAN(__tsan_acquire(t));
    sim_queue_remove(t);
    sim_heap_remove(t);
    sim_run_remove(t);
    t->state = TASK_ENDED;
    t->killed = true;
    t->next_dead = S->dead;
    S->dead = t;
    sim_queue_wake_all(&t->joiners);
}

/* The tasks that the dead group's tasks had spawned, and those of others that wait for what is gone now. */
static void settle_survivors(sim_group dead)
{
    for (uint32_t i = 0; i < S->slots_used; i++) {
        struct env_task *t = &S->tasks[i];
        if (t->state == TASK_FREE)
            continue;
        if (t->spawner == dead && !t->detached) {
            t->detached = true;
            sim_slot_maybe_free(t);
        }
        if (t->state == TASK_BLOCKED && t->queue != NULL && t->wait_group == dead)
            env_die("simulation: a task waits for a lock in the memory of a killed group");
    }
}

/* Whoever gets a stack of the group next comes behind all that its tasks did, with one another's stacks too. */
static void hand_stacks_on(sim_group g)
{
    for (uint32_t i = 0; i < S->slots_used; i++)
        if (S->tasks[i].group == g && S->tasks[i].killed)
            TSAN(__tsan_release(&S->tasks[i]));
}

static void finish_kill(sim_group g)
{
    struct sim_group_state *group = &S->groups[g];
    SHL_ASSERT(group->foreign_held == 0 && !group->dead);
    sim_trace("killed %s", group->name);
    group->dying = group->paused = group->thawed = false;
    group->dead = true;
    group->tasks = 0;
    bool self = S->current != NULL && S->current->group == g;
    for (uint32_t i = 0; i < S->slots_used; i++) {
        struct env_task *t = &S->tasks[i];
        if (t->group == g && (t->state == TASK_RUNNABLE || t->state == TASK_BLOCKED))
            kill_task(t);
    }
    TSAN(__tsan_acquire(group)); /* and what its tasks did that ended before */
    hand_stacks_on(g);
    settle_survivors(g);
    sim_mem_free_group(g);
    sim_fs_close_group(g);
    TSAN(__tsan_release(group));
    sim_queue_wake_all(&group->waiters);
    if (self)
        sim_leave_for_ever();
}

static void ask_kill(sim_group g)
{
    struct sim_group_state *group = &S->groups[g];
    if (group->dead || group->dying)
        return;
    group->dying = true;
    group->thawed = false;
    if (group->foreign_held == 0) {
        finish_kill(g);
        return;
    }
    sim_trace("kill of %s waits for its shared locks", group->name);
    refresh(g);
}

void sim_group_settle(void)
{
    struct env_task *t = S->current;
    if (t == NULL)
        return;
    struct sim_group_state *g = &S->groups[t->group];
    if (!frozen(g))
        return;
    if (g->foreign_held == 0) {
        if (g->dying)
            finish_kill(t->group); /* does not return: we are one of them */
        g->thawed = false;
        refresh(t->group);
    }
    stop_if_frozen();
}

void sim_group_kill(sim_group g)
{
    const struct sim_group_state *group = sim_group_of(g);
    SHL_ASSERT(g != 0);
    if (group->dead)
        return;
    SHL_ASSERT(S->current != NULL && S->current->group != g);
    ask_kill(g);
    sim_group_wait(g);
}

void sim_group_kill_self(void)
{
    struct env_task *t = S->current;
    SHL_ASSERT(t != NULL && t->group != 0);
    SHL_ASSERT(t->foreign_held == 0); /* it could not run on to unlock it */
    ask_kill(t->group);
    /* Another task of the group is inside a shared lock: its unlock ends us too. */
    for (;;)
        sim_wait(NULL, "its own end", t->group, UINT64_MAX);
}

void sim_groups_kill_all(void)
{
    for (sim_group g = 1; g < S->group_count; g++)
        ask_kill(g);
}

bool sim_groups_all_dead(void)
{
    for (sim_group g = 1; g < S->group_count; g++)
        if (!S->groups[g].dead)
            return false;
    return true;
}

/* ---------------------------------------------------------------- life of a group */

void sim_groups_begin(void)
{
    S->group_count = 1;
    S->groups[0].tasks = 0;
    S->groups[0].foreign_held = 0;
}

sim_group sim_group_new(const char *name, int64_t wall_skew_ms)
{
    SHL_ASSERT(S->current != NULL);
    SHL_ASSERT(S->group_count < SIM_GROUPS_MAX);
    sim_group g = S->group_count++;
    TSAN_IGNORE_BEGIN();
    memset(&S->groups[g], 0, sizeof S->groups[g]);
    (void)snprintf(S->groups[g].name, sizeof S->groups[g].name, "%s", name);
    TSAN_IGNORE_END();
    S->groups[g].exists = true;
    S->groups[g].wall_skew_ms = wall_skew_ms;
    return g;
}

void sim_group_spawn(sim_group g, const char *name, void (*fn)(void *arg), void *arg)
{
    SHL_ASSERT(S->current != NULL);
    SHL_ASSERT(!sim_group_of(g)->dead && !sim_group_of(g)->dying);
    struct env_task *t = sim_spawn(g, name, fn, arg);
    SHL_ASSERT(t != NULL);
    t->detached = true;
    sim_maybe_yield(4);
}

bool sim_group_alive(sim_group g)
{
    const struct sim_group_state *group = sim_group_of(g);
    return !group->dead && !(group->started && group->tasks == 0);
}

void sim_group_task_ended(struct env_task *t)
{
    struct sim_group_state *g = &S->groups[t->group];
    SHL_ASSERT(g->tasks > 0);
    TSAN(__tsan_release(g));
    g->tasks--;
    if (g->tasks == 0)
        sim_queue_wake_all(&g->waiters);
}

void sim_group_wait(sim_group g)
{
    struct sim_group_state *group = sim_group_of(g);
    SHL_ASSERT(S->current != NULL && S->current->group != g);
    SHL_ASSERT(group->started || group->dead);
    while (sim_group_alive(g))
        sim_wait(&group->waiters, "group", S->current->group, UINT64_MAX);
    TSAN(__tsan_acquire(group));
}

void sim_group_pause(sim_group g)
{
    SHL_ASSERT(g != 0);
    struct sim_group_state *group = sim_group_of(g);
    if (group->dead || group->dying || group->paused)
        return;
    sim_trace("pause %s", group->name);
    group->paused = true;
    refresh(g);
    stop_if_frozen();
}

void sim_group_resume(sim_group g)
{
    struct sim_group_state *group = sim_group_of(g);
    if (!group->paused)
        return;
    sim_trace("resume %s", group->name);
    group->paused = false;
    if (!group->dying)
        group->thawed = false;
    refresh(g);
}

sim_group sim_group_self(void)
{
    return sim_self()->group;
}

sim_group sim_group_push(sim_group g)
{
    struct env_task *t = sim_self();
    sim_group previous = t->owner;
    SHL_ASSERT(sim_group_of(g)->exists && !sim_group_of(g)->dead);
    t->owner = g;
    return previous;
}

void sim_group_pop(sim_group previous)
{
    sim_self()->owner = previous;
}

/* ---------------------------------------------------------------- crash points, rare branches */

bool sim_nth_hits(struct sim_nth *nth)
{
    if (!nth->armed)
        return false;
    uint64_t index = nth->seen++;
    return index == nth->n || (nth->sticky && index > nth->n);
}

void sim_point_kill_arm(sim_group g, uint64_t n)
{
    SHL_ASSERT(g != 0);
    sim_group_of(g)->point_kill = (struct sim_nth){.armed = true, .n = n};
}

uint64_t sim_point_kill_disarm(sim_group g)
{
    struct sim_nth *nth = &sim_group_of(g)->point_kill;
    nth->armed = false;
    return nth->seen;
}

void env_sim_point(const char *name)
{
    struct env_task *t = S->current;
    if (t == NULL)
        return;
    if (sim_nth_hits(&S->groups[t->group].point_kill)) {
        sim_trace("crash point %s", name);
        if (t->foreign_held == 0)
            sim_group_kill_self();
        ask_kill(t->group); /* at its last unlock */
    }
    sim_maybe_yield(POINT_YIELD_ONE_IN);
}

bool env_sim_buggify(const char *file, int line, double p)
{
    if (S->current == NULL)
        return false;
    /* The site is on or off for the whole run. By the file's name alone: folders differ between machines. */
    const char *slash = strrchr(file, '/');
    uint64_t site = S->options.seed ^ ((uint64_t)(unsigned)line << 32);
    for (const char *c = slash == NULL ? file : slash + 1; *c != '\0'; c++)
        site = (site ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    if (sim_next(&site) % BUGGIFY_SITES_ONE_IN != 0)
        return false;
    return (double)(sim_next(&S->rng_fault) >> 11) < p * 0x1p53;
}
