/* What the files of the simulation share. Nothing outside of this room includes it.
 *
 * sim_core      the run: options, picks, clock, limits, trace, end
 * sim_ucontext  tasks as coroutines            sim_sync   mutexes, conditions, atomics, TLS slots
 * sim_baton     tasks as threads with a baton  sim_group  processes: pause, kill, crash points
 * sim_mem       memory by group                sim_fs     files, power loss
 *
 * Everything here is touched by one task at a time, so nothing is locked. Under ThreadSanitizer these files are compiled
 * without -fsanitize=thread but with SHL_TSAN: then only the annotations below speak to it. */
#ifndef SHL_ENV_SIM_INTERNAL_H
#define SHL_ENV_SIM_INTERNAL_H

#include "base/env/sim.h"

#include <semaphore.h>
#include <pthread.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif

#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ASAN(statement) statement
#else
#define ASAN(statement) ((void)0)
#endif

#ifdef SHL_TSAN
#include <sanitizer/tsan_interface.h>
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *at, size_t size,
                             const char *why);
#define TSAN(statement) statement
#else
#define TSAN(statement) ((void)0)
#endif

/* Around our own use of memcpy, vsnprintf and malloc: ThreadSanitizer sees those calls even from code that it does not
 * instrument, and would call our (serialised) structures racy. */
#define TSAN_IGNORE_BEGIN()                                                                        \
    do {                                                                                           \
        TSAN(AnnotateIgnoreReadsBegin(__FILE__, __LINE__));                                        \
        TSAN(AnnotateIgnoreWritesBegin(__FILE__, __LINE__));                                       \
    } while (0)
#define TSAN_IGNORE_END()                                                                          \
    do {                                                                                           \
        TSAN(AnnotateIgnoreWritesEnd(__FILE__, __LINE__));                                         \
        TSAN(AnnotateIgnoreReadsEnd(__FILE__, __LINE__));                                          \
    } while (0)

enum {
    SIM_TASKS_MAX = 1024,
    SIM_GROUPS_MAX = 4096,
    SIM_TRACE_LINES = 200,
    SIM_TRACE_BYTES = 160,
    SIM_PCT_CHANGES_MAX = 3
};
#define SIM_NOWHERE       UINT32_MAX /* index of what is not in the array */
#define SIM_START_MONO_NS ENV_NS_PER_SEC
#define SIM_START_WALL_MS INT64_C(1735689600000) /* 2025-01-01 */

/* ---------------------------------------------------------------- tasks */

enum sim_task_state {
    TASK_FREE,     /* the slot is unused */
    TASK_RUNNABLE, /* in run[], unless its group is frozen */
    TASK_BLOCKED,  /* in a queue, in the heap of sleepers, or both */
    TASK_ENDED     /* returned or killed; waits for its stack's release and for the join */
};

struct sim_tls_value {
    void *value;
    void (*dtor)(void *value);
};

struct env_task {
    uint32_t id; /* order of the spawns in this run: the name of the task in the hash */
    uint32_t slot;
    enum sim_task_state state;
    sim_group group;   /* the process it runs in */
    sim_group owner;   /* the group that its allocations go to */
    sim_group spawner; /* the group that may join it */
    bool detached;     /* nobody will join it */
    bool killed;
    bool released; /* its stack or thread is gone */
    void (*fn)(void *arg);
    void *arg;
    char name[16];

    uint32_t run_index;  /* in run[], or SIM_NOWHERE */
    uint32_t heap_index; /* in heap[], or SIM_NOWHERE */
    uint64_t wake_ns;    /* valid in the heap */
    int64_t priority;    /* SIM_PCT: the highest runs */

    struct env_sim_wait *queue; /* where it waits, or NULL */
    struct env_task *wait_next;
    struct env_task *wait_prev;
    const char *wait_for;  /* "mutex", "cond", ...: for the report */
    sim_group wait_group;  /* whose memory the queue lies in */
    bool timed_out;
    struct env_sim_wait joiners;
    uint32_t foreign_held; /* mutexes held that lie in another group's memory */
    struct sim_tls_value tls[ENV_TLS_SLOTS];
    struct env_task *next_dead;

    /* sim_ucontext */
    ucontext_t context;
    void *stack_map; /* kept with the slot: guard page, then the stack */
    void *stack;
    void *asan_fake;
    void *tsan_fiber;
    /* sim_baton */
    pthread_t thread;
    sem_t turn;
};

struct sim_backend_ops {
    const char *name;
    void (*run_begin)(void);
    void (*run_end)(void);
    bool (*start)(struct env_task *t);             /* false: no memory */
    void (*enter)(struct env_task *t);             /* loop side: runs t until it leaves */
    void (*leave)(struct env_task *t, bool last);  /* task side; does not return if last or killed meanwhile */
    void (*release)(struct env_task *t);           /* loop side; t has left and never runs again */
};
extern const struct sim_backend_ops sim_ucontext_ops;
extern const struct sim_backend_ops sim_baton_ops;

/* ---------------------------------------------------------------- groups */

struct sim_block; /* sim_mem.c */

struct sim_nth {
    bool armed;
    bool sticky;
    uint64_t n;
    uint64_t seen;
};

struct sim_group_state {
    char name[24];
    int64_t wall_skew_ms;
    bool exists;
    bool started; /* had a task */
    bool paused;
    bool dying;  /* to be killed as soon as it holds no foreign mutex */
    bool thawed; /* paused or dying, yet all run: a holder of a foreign mutex needs one of the others */
    bool dead;
    uint32_t tasks;        /* living */
    uint32_t foreign_held; /* sum over its tasks */
    struct env_sim_wait waiters;
    struct sim_block *blocks; /* newest first */
    uint64_t blocks_live;
    uint64_t bytes_live;
    uint64_t bytes_peak;
    uint64_t blocks_seen;
    struct sim_nth alloc_fault;
    struct sim_nth point_kill;
};

/* ---------------------------------------------------------------- the run */

struct sim_state {
    bool running;
    bool reported;
    bool ending; /* group 0 is done; the others are being killed */
    struct sim_options options;
    const struct sim_backend_ops *backend;
    enum sim_policy policy;

    struct env_task *current; /* NULL in the loop and outside of a run */
    struct env_task *next;    /* picked by the task that left */
    struct env_task *dead;    /* ended, to be released by the loop */
    struct env_task outside;  /* stands for the test outside of a run */
    struct env_task tasks[SIM_TASKS_MAX];
    uint32_t slots_used; /* slots above were never used in this run */
    uint32_t spawned;

    struct env_task *run[SIM_TASKS_MAX];
    uint32_t run_count;
    struct env_task *heap[SIM_TASKS_MAX]; /* sleepers, the earliest first */
    uint32_t heap_count;

    uint64_t now_ns;
    uint64_t step_ns; /* what one switch costs in virtual time */
    uint64_t progress_ns;
    uint64_t steps;
    uint64_t hash;
    uint64_t same_picks; /* in a row, while others could run */
    struct env_task *last_pick;
    bool give_way; /* the task that yields wants another to run */
    int64_t priority_low;
    uint64_t pct_change_steps[SIM_PCT_CHANGES_MAX];
    uint32_t starved_modulo;
    uint32_t starved_remainder;

    uint64_t rng_schedule;
    uint64_t rng_env;
    uint64_t rng_user;
    uint64_t rng_fault;

    struct sim_group_state groups[SIM_GROUPS_MAX];
    uint32_t group_count;

    char trace[SIM_TRACE_LINES][SIM_TRACE_BYTES];
    uint64_t trace_count;
};
extern struct sim_state sim_state;

/* ---------------------------------------------------------------- sim_core.c */

uint64_t sim_next(uint64_t *stream);                         /* splitmix64 */
uint64_t sim_below(uint64_t *stream, uint64_t bound);
struct env_task *sim_self(void);                             /* the current task, or the outside */
struct sim_group_state *sim_group_of(sim_group g);           /* asserts that it exists */
void sim_task_main(struct env_task *t);                      /* what a backend calls on the task's stack */
void sim_ready(struct env_task *t);                          /* BLOCKED to RUNNABLE: out of queue and heap */
void sim_run_insert(struct env_task *t);
void sim_run_remove(struct env_task *t);
void sim_heap_remove(struct env_task *t);
/* Possible switch, with chance 1 / one_in. Nothing outside of a run. */
void sim_maybe_yield(uint32_t one_in);
/* Waits in the queue (NULL: only for the time) until made ready or the deadline (UINT64_MAX: none) is over. */
void sim_wait(struct env_sim_wait *queue, const char *what, sim_group group, uint64_t deadline_ns);
/* The two halves: in the queue after the first, may run again after the second. */
void sim_wait_begin(struct env_sim_wait *queue, const char *what, sim_group group,
                    uint64_t deadline_ns);
void sim_wait_end(void);
/* Like a switch, for a task that was taken out of run[] by a freeze: returns when it may run again. */
void sim_switch_away(void);
struct env_task *sim_spawn(sim_group g, const char *name, void (*fn)(void *arg), void *arg);
void sim_slot_maybe_free(struct env_task *t);
/* Ends the current task for good: its bookkeeping is done. */
void sim_leave_for_ever(void) __attribute__((noreturn));

/* ---------------------------------------------------------------- sim_sync.c */

void sim_queue_push(struct env_sim_wait *q, struct env_task *t);
void sim_queue_remove(struct env_task *t);
void sim_queue_wake_all(struct env_sim_wait *q);

/* ---------------------------------------------------------------- sim_group.c */

bool sim_may_run(const struct env_task *t);
void sim_hold_foreign(struct env_task *t);    /* it got a mutex of another group's memory */
void sim_drop_foreign(struct env_task *t);    /* it gave one back; sim_group_settle must follow */
void sim_group_settle(void); /* a pause or kill that waited for the current task: stops it, or does not return */
void sim_group_task_ended(struct env_task *t);
void sim_group_thaw_if_needed(struct env_task *t);
void sim_groups_begin(void);
void sim_groups_kill_all(void); /* all but 0: asks; those with foreign mutexes run on */
bool sim_groups_all_dead(void);
bool sim_nth_hits(struct sim_nth *nth);

/* ---------------------------------------------------------------- sim_mem.c, sim_fs.c */

bool sim_alloc_allowed(void); /* counts one allocation of the current owner */
void sim_mem_free_group(sim_group g);
void sim_fs_close_group(sim_group g);

#endif
