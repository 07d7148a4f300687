/* The run: who is next, what time it is, and what is printed when it goes wrong.
 *
 * A switch goes task -> loop -> task; the loop lives on the stack of sim_run's caller. The pick itself is made by the
 * task that leaves, so that picking oneself costs no switch. Every pick and every trace line is mixed into the hash. */
#include "base/env/sim_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

enum { EXIT_SIM_FAILED = 99, SAME_PICKS_MAX = 1000 };

/* In its own object, not from an allocator: ThreadSanitizer must never see task objects being freed. */
struct sim_state sim_state = {
    .now_ns = SIM_START_MONO_NS,
    .outside = {.name = "outside"},
    .groups = {{.name = "test", .exists = true}},
    .group_count = 1,
};
static struct sim_state *const S = &sim_state;

/* ---------------------------------------------------------------- chance */

uint64_t sim_next(uint64_t *stream)
{
    uint64_t z = *stream += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t *stream, uint64_t bound)
{
    SHL_ASSERT(bound > 0);
    return sim_next(stream) % bound; /* the bias of small bounds does not matter here */
}

uint64_t env_rand64(void)
{
    return sim_next(&S->rng_env);
}

void env_rand_bytes(void *dst, size_t len)
{
    uint8_t *at = dst;
    for (size_t i = 0; i < len;) {
        uint64_t word = env_rand64();
        for (unsigned k = 0; k < 8 && i < len; k++, i++)
            at[i] = (uint8_t)(word >> (8 * k));
    }
}

uint64_t sim_rand(void)
{
    return sim_next(&S->rng_user);
}

uint64_t sim_rand_below(uint64_t bound)
{
    return sim_below(&S->rng_user, bound);
}

bool sim_chance(double p)
{
    return (double)(sim_rand() >> 11) < p * 0x1p53;
}

static void seed_streams(uint64_t seed)
{
    S->rng_schedule = seed;
    S->rng_env = sim_next(&S->rng_schedule);
    S->rng_user = sim_next(&S->rng_schedule);
    S->rng_fault = sim_next(&S->rng_schedule);
}

/* ---------------------------------------------------------------- trace and failure */

static void mix(uint64_t value)
{
    uint64_t h = (S->hash ^ value) * UINT64_C(0xff51afd7ed558ccd);
    S->hash = h ^ (h >> 32);
}

void sim_trace(const char *format, ...)
{
    const struct env_task *t = sim_self();
    char line[SIM_TRACE_BYTES] = {0};
    TSAN_IGNORE_BEGIN();
    int head = snprintf(line, sizeof line, "%10.3f ms  %s/%s#%" PRIu32 "  ",
                        (double)(S->now_ns - SIM_START_MONO_NS) / 1e6, S->groups[t->group].name,
                        t->name, t->id);
    size_t used = head < 0 ? 0 : (size_t)head;
    va_list args;
    va_start(args, format);
    if (used < sizeof line)
        (void)vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    if (S->options.verbose)
        (void)fprintf(stderr, "%s\n", line);
    memcpy(S->trace[S->trace_count++ % SIM_TRACE_LINES], line, sizeof line);
    TSAN_IGNORE_END();
    for (const char *p = line; *p != '\0'; p++)
        mix((uint8_t)*p);
}

static const char *policy_name(enum sim_policy policy)
{
    switch (policy) {
    case SIM_UNIFORM:
        return "uniform";
    case SIM_RUN_UNTIL_BLOCK:
        return "run-until-block";
    case SIM_PCT:
        return "pct";
    case SIM_STARVE_ONE:
        return "starve-one";
    case SIM_POLICY_BY_SEED:
    default:
        return "by-seed";
    }
}

static void print_task(const struct env_task *t)
{
    const struct sim_group_state *g = &S->groups[t->group];
    (void)fprintf(stderr, "  task %s/%s#%" PRIu32 ": %s%s%s", g->name, t->name, t->id,
                  t->state == TASK_RUNNABLE ? "runnable" : "waits for ",
                  t->state == TASK_RUNNABLE ? "" : t->wait_for, g->paused ? ", paused" : "");
    if (t->heap_index != SIM_NOWHERE)
        (void)fprintf(stderr, ", until %.3f ms", (double)(t->wake_ns - SIM_START_MONO_NS) / 1e6);
    if (t->foreign_held > 0)
        (void)fprintf(stderr, ", holds %" PRIu32 " foreign mutexes", t->foreign_held);
    (void)fprintf(stderr, "\n");
}

/* Everything that is needed to see the failure again. Also called when a sanitizer ends the process. */
static void report(void)
{
    if (!S->running || S->reported)
        return;
    S->reported = true;
    (void)fprintf(stderr, "SIM_SEED=0x%016" PRIx64 " SIM_BACKEND=%s SIM_SCENARIO=%s\n",
                  S->options.seed, S->backend->name,
                  S->options.scenario == NULL ? "-" : S->options.scenario);
    (void)fprintf(
        stderr, "policy %s, step %" PRIu64 ", virtual time %.3f ms, hash %016" PRIx64 "\n",
        policy_name(S->policy), S->steps, (double)(S->now_ns - SIM_START_MONO_NS) / 1e6, S->hash);
    for (uint32_t i = 0; i < S->slots_used; i++)
        if (S->tasks[i].state == TASK_RUNNABLE || S->tasks[i].state == TASK_BLOCKED)
            print_task(&S->tasks[i]);
    uint64_t first = S->trace_count > SIM_TRACE_LINES ? S->trace_count - SIM_TRACE_LINES : 0;
    for (uint64_t i = first; i < S->trace_count; i++)
        (void)fprintf(stderr, "  | %s\n", S->trace[i % SIM_TRACE_LINES]);
}

void env_die(const char *what)
{
    TSAN_IGNORE_BEGIN();
    (void)fflush(stdout);
    (void)fprintf(stderr, "shale: %s\n", what);
    report();
    (void)fflush(stderr);
    TSAN_IGNORE_END();
    _exit(EXIT_SIM_FAILED); /* not exit: its handlers would run on a task's stack */
}

/* ---------------------------------------------------------------- the set of those who can run */

void sim_run_insert(struct env_task *t)
{
    if (t->run_index != SIM_NOWHERE)
        return;
    t->run_index = S->run_count;
    S->run[S->run_count++] = t;
}

void sim_run_remove(struct env_task *t)
{
    uint32_t at = t->run_index;
    if (at == SIM_NOWHERE)
        return;
    SHL_ASSERT(S->run[at] == t);
    struct env_task *moved = S->run[--S->run_count];
    S->run[at] = moved;
    moved->run_index = at;
    t->run_index = SIM_NOWHERE;
}

/* ---------------------------------------------------------------- sleepers: a binary heap */

static bool wakes_before(const struct env_task *a, const struct env_task *b)
{
    return a->wake_ns != b->wake_ns ? a->wake_ns < b->wake_ns : a->id < b->id;
}

static void heap_put(uint32_t at, struct env_task *t)
{
    S->heap[at] = t;
    t->heap_index = at;
}

static void heap_sift_up(uint32_t at)
{
    struct env_task *t = S->heap[at];
    while (at > 0 && wakes_before(t, S->heap[(at - 1) / 2])) {
        heap_put(at, S->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(at, t);
}

static void heap_sift_down(uint32_t at)
{
    struct env_task *t = S->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= S->heap_count)
            break;
        if (child + 1 < S->heap_count && wakes_before(S->heap[child + 1], S->heap[child]))
            child++;
        if (!wakes_before(S->heap[child], t))
            break;
        heap_put(at, S->heap[child]);
        at = child;
    }
    heap_put(at, t);
}

static void heap_insert(struct env_task *t, uint64_t wake_ns)
{
    t->wake_ns = wake_ns;
    heap_put(S->heap_count, t);
    heap_sift_up(S->heap_count++);
}

void sim_heap_remove(struct env_task *t)
{
    uint32_t at = t->heap_index;
    if (at == SIM_NOWHERE)
        return;
    SHL_ASSERT(S->heap[at] == t);
    t->heap_index = SIM_NOWHERE;
    struct env_task *moved = S->heap[--S->heap_count];
    if (moved == t)
        return;
    heap_put(at, moved);
    heap_sift_up(at);
    heap_sift_down(moved->heap_index);
}

/* ---------------------------------------------------------------- policies */

static void choose_policy(void)
{
    S->policy = S->options.policy;
    if (S->policy == SIM_POLICY_BY_SEED) {
        static const enum sim_policy by_seed[] = {SIM_UNIFORM, SIM_UNIFORM, SIM_RUN_UNTIL_BLOCK,
                                                  SIM_PCT,     SIM_PCT,     SIM_STARVE_ONE};
        S->policy = by_seed[sim_below(&S->rng_schedule, sizeof by_seed / sizeof by_seed[0])];
    }
    /* A step never costs nothing: a task that polls the clock must see it move. */
    static const uint64_t steps_ns[] = {50, 1000, 20000};
    S->step_ns = steps_ns[sim_below(&S->rng_schedule, 3)];
    uint64_t changes = 1 + sim_below(&S->rng_schedule, SIM_PCT_CHANGES_MAX);
    uint64_t span = UINT64_C(64) << sim_below(&S->rng_schedule, 11);
    for (uint64_t i = 0; i < SIM_PCT_CHANGES_MAX; i++)
        S->pct_change_steps[i] = i < changes ? 1 + sim_below(&S->rng_schedule, span) : UINT64_MAX;
    S->starved_modulo = 2 + (uint32_t)sim_below(&S->rng_schedule, 6);
    S->starved_remainder = (uint32_t)sim_below(&S->rng_schedule, S->starved_modulo);
    S->priority_low = 0;
}

static struct env_task *pick_uniform(void)
{
    return S->run[sim_below(&S->rng_schedule, S->run_count)];
}

static struct env_task *pick_priority(void)
{
    for (int i = 0; i < SIM_PCT_CHANGES_MAX; i++)
        if (S->pct_change_steps[i] == S->steps && S->last_pick != NULL)
            S->last_pick->priority = --S->priority_low;
    /* Who gives way or spins goes to the end, or it would spin for ever. */
    if (S->current != NULL && S->give_way)
        S->current->priority = --S->priority_low;
    struct env_task *best = S->run[0];
    for (uint32_t i = 1; i < S->run_count; i++)
        if (S->run[i]->priority > best->priority)
            best = S->run[i];
    return best;
}

static bool is_starved(const struct env_task *t)
{
    return t->id % S->starved_modulo == S->starved_remainder;
}

static struct env_task *pick_not_starved(void)
{
    enum { TRIES = 16 };
    struct env_task *t = pick_uniform();
    for (int i = 0; i < TRIES && is_starved(t); i++)
        t = pick_uniform();
    return t;
}

static struct env_task *pick_by_policy(void)
{
    if (S->run_count == 1)
        return S->run[0];
    if (S->same_picks > SAME_PICKS_MAX) { /* whatever the policy: it may be spinning */
        if (S->last_pick != NULL)
            S->last_pick->priority = --S->priority_low;
        return pick_uniform();
    }
    struct env_task *current = S->current;
    switch (S->policy) {
    case SIM_RUN_UNTIL_BLOCK:
        if (current != NULL && current->run_index != SIM_NOWHERE && !S->give_way)
            return current;
        return pick_uniform();
    case SIM_PCT:
        return pick_priority();
    case SIM_STARVE_ONE:
        return pick_not_starved();
    case SIM_UNIFORM:
    case SIM_POLICY_BY_SEED:
    default:
        return pick_uniform();
    }
}

/* ---------------------------------------------------------------- the pick */

static void wake_due(void)
{
    while (S->heap_count > 0 && S->heap[0]->wake_ns <= S->now_ns) {
        struct env_task *t = S->heap[0];
        t->timed_out = true;
        sim_ready(t);
    }
}

static void check_limits(void)
{
    if (S->steps > S->options.steps_max)
        env_die("simulation: step limit reached");
    if (S->now_ns - SIM_START_MONO_NS > S->options.virtual_ns_max)
        env_die("simulation: virtual time limit reached");
    if (S->now_ns - S->progress_ns > S->options.progress_ns_max)
        env_die("simulation: no progress");
}

static struct env_task *pick(void)
{
    S->steps++;
    S->now_ns += S->step_ns;
    wake_due();
    while (S->run_count == 0) {
        if (S->heap_count == 0)
            env_die("simulation: deadlock");
        S->now_ns = S->heap[0]->wake_ns;
        check_limits();
        wake_due();
    }
    check_limits();
    struct env_task *t = pick_by_policy();
    S->same_picks = t == S->last_pick && S->run_count > 1 ? S->same_picks + 1 : 0;
    S->last_pick = t;
    mix(((uint64_t)t->id << 40) ^ S->now_ns);
    return t;
}

void sim_switch_away(void)
{
    struct env_task *t = S->current;
    struct env_task *next = pick();
    S->give_way = false;
    if (next == t)
        return;
    S->next = next;
    S->backend->leave(t, false);
}

static void yield(bool give_way)
{
    S->give_way = give_way;
    sim_switch_away();
}

void sim_maybe_yield(uint32_t one_in)
{
    if (S->current != NULL && sim_below(&S->rng_schedule, one_in) == 0)
        yield(false);
}

void env_yield(void)
{
    if (S->current != NULL)
        yield(true);
}

bool env_backoff(unsigned *n)
{
    enum { TRIES_MAX = 64 };
    env_yield();
    return ++*n > TRIES_MAX;
}

void sim_ready(struct env_task *t)
{
    SHL_ASSERT(t->state == TASK_BLOCKED);
    sim_queue_remove(t);
    sim_heap_remove(t);
    t->state = TASK_RUNNABLE;
    if (sim_may_run(t))
        sim_run_insert(t);
}

void sim_wait_begin(struct env_sim_wait *queue, const char *what, sim_group group,
                    uint64_t deadline_ns)
{
    struct env_task *t = S->current;
    if (t == NULL)
        env_die("simulation: a wait outside of a run, where nobody could end it");
    t->state = TASK_BLOCKED;
    t->wait_for = what;
    t->wait_group = group;
    t->timed_out = false;
    sim_run_remove(t);
    if (queue != NULL) {
        sim_queue_push(queue, t);
        sim_group_thaw_if_needed(t);
    }
    if (deadline_ns != UINT64_MAX)
        heap_insert(t, deadline_ns);
}

void sim_wait_end(void)
{
    sim_switch_away();
    SHL_ASSERT(S->current->state == TASK_RUNNABLE);
}

void sim_wait(struct env_sim_wait *queue, const char *what, sim_group group, uint64_t deadline_ns)
{
    sim_wait_begin(queue, what, group, deadline_ns);
    sim_wait_end();
}

/* ---------------------------------------------------------------- time */

uint64_t env_now_mono_ns(void)
{
    return S->now_ns;
}

int64_t env_now_wall_ms(void)
{
    return SIM_START_WALL_MS + (int64_t)((S->now_ns - SIM_START_MONO_NS) / ENV_NS_PER_MS) +
           S->groups[sim_self()->group].wall_skew_ms;
}

void env_sleep_until(uint64_t deadline_mono_ns)
{
    if (S->current == NULL)
        return;
    if (deadline_mono_ns <= S->now_ns)
        env_yield();
    else
        sim_wait(NULL, "time", S->current->group, deadline_mono_ns);
}

void env_sleep_ns(uint64_t ns)
{
    env_sleep_until(ns > UINT64_MAX - S->now_ns ? UINT64_MAX : S->now_ns + ns);
}

uint64_t env_process_cpu_ns(void)
{
    return 0;
}

uint64_t env_process_peak_rss(void)
{
    return 0;
}

uint32_t env_cpu_count(void)
{
    return S->options.cpus != 0 ? S->options.cpus : 4;
}

/* ---------------------------------------------------------------- tasks */

struct env_task *sim_self(void)
{
    return S->current != NULL ? S->current : &S->outside;
}

static struct env_task *slot_take(void)
{
    for (uint32_t i = 0; i < S->slots_used; i++)
        if (S->tasks[i].state == TASK_FREE)
            return &S->tasks[i];
    if (S->slots_used == SIM_TASKS_MAX)
        return NULL;
    S->tasks[S->slots_used].slot = S->slots_used;
    return &S->tasks[S->slots_used++];
}

void sim_slot_maybe_free(struct env_task *t)
{
    if (t->state == TASK_ENDED && t->released && t->detached)
        t->state = TASK_FREE;
}

struct env_task *sim_spawn(sim_group g, const char *name, void (*fn)(void *arg), void *arg)
{
    struct env_task *t = slot_take();
    if (t == NULL)
        return NULL;
    /* Field by field: the stack stays with the slot. */
    t->id = S->spawned++;
    t->group = t->owner = g;
    t->spawner = sim_self()->owner;
    t->detached = t->killed = t->released = t->timed_out = false;
    t->fn = fn;
    t->arg = arg;
    TSAN_IGNORE_BEGIN();
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    TSAN_IGNORE_END();
    t->run_index = t->heap_index = SIM_NOWHERE;
    t->priority = 1 + (int64_t)sim_below(&S->rng_schedule, UINT32_MAX);
    t->queue = NULL;
    t->wait_next = t->wait_prev = t->next_dead = NULL;
    t->joiners = (struct env_sim_wait){0};
    t->foreign_held = 0;
    for (int i = 0; i < ENV_TLS_SLOTS; i++)
        t->tls[i] = (struct sim_tls_value){0};
    TSAN(__tsan_release(t));
    if (!S->backend->start(t))
        return NULL; /* the slot is still free */
    struct sim_group_state *group = sim_group_of(g);
    group->tasks++;
    group->started = true;
    t->state = TASK_RUNNABLE;
    if (sim_may_run(t))
        sim_run_insert(t);
    return t;
}

shale_code env_task_spawn(struct env_task **out, const char *name, void (*fn)(void *arg), void *arg)
{
    SHL_ASSERT(S->running);
    sim_maybe_yield(4);
    if (!sim_alloc_allowed()) /* the real build allocates here */
        return SHALE_NOMEM;
    struct env_task *t = sim_spawn(sim_self()->owner, name, fn, arg);
    if (t == NULL)
        return SHALE_UNAVAILABLE;
    *out = t;
    sim_maybe_yield(4);
    return SHALE_OK;
}

void env_task_join(struct env_task *task)
{
    SHL_ASSERT(S->current != NULL);
    SHL_ASSERT(task != S->current);
    SHL_ASSERT(!task->detached);
    while (task->state != TASK_ENDED)
        sim_wait(&task->joiners, "join", S->current->group, UINT64_MAX);
    TSAN(__tsan_acquire(task));
    task->detached = true;
    sim_slot_maybe_free(task);
}

static void call_tls_destructors(struct env_task *t)
{
    for (int i = 0; i < ENV_TLS_SLOTS; i++) {
        struct sim_tls_value v = t->tls[i];
        t->tls[i] = (struct sim_tls_value){0};
        if (v.value != NULL && v.dtor != NULL)
            v.dtor(v.value);
    }
}

void sim_leave_for_ever(void)
{
    struct env_task *t = S->current;
    SHL_ASSERT(t->state == TASK_ENDED);
    S->backend->leave(t, true);
    env_die("simulation: an ended task went on");
}

void sim_task_main(struct env_task *t)
{
    TSAN(__tsan_acquire(t));
    t->fn(t->arg);
    call_tls_destructors(t);
    SHL_ASSERT(t->foreign_held == 0); /* it ended with a mutex locked */
    SHL_ASSERT(t->owner == t->group); /* a push without its pop */
    TSAN(__tsan_release(t));
    t->state = TASK_ENDED;
    sim_run_remove(t);
    t->next_dead = S->dead;
    S->dead = t;
    sim_queue_wake_all(&t->joiners);
    sim_group_task_ended(t);
    sim_leave_for_ever();
}

/* ---------------------------------------------------------------- the loop */

static void release_dead(void)
{
    while (S->dead != NULL) {
        struct env_task *t = S->dead;
        S->dead = t->next_dead;
        S->backend->release(t);
        t->released = true;
        sim_slot_maybe_free(t);
    }
}

static bool finished(void)
{
    if (S->groups[0].tasks > 0)
        return false;
    if (!S->ending) {
        S->ending = true;
        S->next = NULL;
        sim_groups_kill_all();
        release_dead();
    }
    return sim_groups_all_dead();
}

static void loop(void)
{
    while (!finished()) {
        struct env_task *t = S->next != NULL ? S->next : pick();
        S->next = NULL;
        S->current = t;
        S->backend->enter(t);
        S->current = NULL;
        release_dead();
    }
}

static void fill_options(const struct sim_options *options)
{
    S->options = *options;
    if (S->options.steps_max == 0)
        S->options.steps_max = 20000000;
    if (S->options.virtual_ns_max == 0)
        S->options.virtual_ns_max = 600 * ENV_NS_PER_SEC;
    if (S->options.progress_ns_max == 0)
        S->options.progress_ns_max = 60 * ENV_NS_PER_SEC;
}

static void begin(const struct sim_options *options)
{
    SHL_ASSERT(!S->running);
    fill_options(options);
    ASAN(__sanitizer_set_death_callback(report));
    S->backend = options->backend == SIM_BATON ? &sim_baton_ops : &sim_ucontext_ops;
    S->running = true;
    S->ending = false;
    S->next = S->dead = S->last_pick = NULL;
    S->slots_used = S->spawned = S->run_count = S->heap_count = 0;
    for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
        S->tasks[i].state = TASK_FREE;
    S->now_ns = S->progress_ns = SIM_START_MONO_NS;
    S->steps = S->same_picks = S->trace_count = 0;
    S->hash = options->seed;
    seed_streams(options->seed);
    choose_policy();
    sim_groups_begin();
    S->backend->run_begin();
}

static void check_joined(const struct env_task *t)
{
    if (t->state == TASK_ENDED && !t->detached && t->spawner == 0 && !t->killed) {
        (void)fprintf(stderr, "task %s#%" PRIu32 " was never joined\n", t->name, t->id);
        env_die("simulation: a task was never joined");
    }
}

/* Outside of a run the clock and the chances are always the same, so that set-up code is too. */
static void end(void)
{
    for (uint32_t i = 0; i < S->slots_used; i++) {
        TSAN(__tsan_acquire(&S->tasks[i]));
        check_joined(&S->tasks[i]);
    }
    S->backend->run_end();
    S->running = false;
    S->now_ns = SIM_START_MONO_NS;
    seed_streams(0);
}

uint64_t sim_run(const struct sim_options *options, void (*main_fn)(void *arg), void *arg)
{
    begin(options);
    struct env_task *main_task = sim_spawn(0, "main", main_fn, arg);
    SHL_ASSERT(main_task != NULL);
    main_task->detached = true;
    loop();
    uint64_t hash = S->hash;
    end();
    return hash;
}

bool sim_running(void)
{
    return S->running;
}

void sim_progress(void)
{
    S->progress_ns = S->now_ns;
}
