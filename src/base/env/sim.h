/* Steering of the deterministic env (SHL_SIM builds only): what tests/sim and tests/fault call.
 *
 * One OS thread (or, with SIM_BATON, one at a time of many), many tasks. Every task belongs to a group, the model of a
 * process: tasks spawned by a task, and the memory and file descriptors it takes, belong to its group; killing a group stops its tasks where they
 * stand and frees their memory, as kill -9 does. Group 0 is the test itself. See spec in this room's README. */
#ifndef SHL_ENV_SIM_H
#define SHL_ENV_SIM_H

#include "base/env/env.h"

enum sim_backend { SIM_UCONTEXT, SIM_BATON };
enum sim_policy { SIM_UNIFORM, SIM_RUN_UNTIL_BLOCK, SIM_PCT, SIM_STARVE_ONE, SIM_POLICY_BY_SEED };

struct sim_options {
    uint64_t seed;
    enum sim_backend backend;
    enum sim_policy policy;       /* SIM_POLICY_BY_SEED: chosen from the seed */
    uint64_t steps_max;           /* switches; 0 = 20 million */
    uint64_t virtual_ns_max;      /* 0 = 10 min of virtual time */
    uint64_t progress_ns_max;     /* fail when sim_progress() was not called for so long; 0 = 60 s, UINT64_MAX = off */
    const char *scenario;         /* printed with failures */
    bool verbose;                 /* print the trace as it happens */
    uint32_t cpus;                /* env_cpu_count; 0 = 4 */
};

/* Runs main_fn(arg) as the first task of group 0 until it returns and nothing else of group 0 runs. Every other group is
 * killed then. A task that group 0 spawned and never joined is a failure. Inside of tasks check with SHL_ASSERT: cmocka's
 * own asserts jump out of the task's stack. Prints the replay line and aborts the OS process on deadlock, limits, or a failed SHL_ASSERT, with exit
 * status 99. Returns the hash of the run (all picks). */
uint64_t sim_run(const struct sim_options *options, void (*main_fn)(void *arg), void *arg);

/* True inside sim_run. Outside of it (unit test set-up code in a SHL_SIM build) tasks cannot be spawned, locks must be
 * uncontended, time stands still, and memory works. */
bool sim_running(void);

/* Trace line (kept in a ring of 200, printed on failure). Do not put pointers in it. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A client operation was completed: feeds the progress watch. */
void sim_progress(void);

/* ---- groups ("processes") */
typedef uint32_t sim_group;
sim_group sim_group_new(const char *name, int64_t wall_skew_ms); /* wall clock of the group = virtual + skew */
/* Starts fn(arg) as a task of the group; the caller does not join it but waits with sim_group_wait. */
void sim_group_spawn(sim_group g, const char *name, void (*fn)(void *arg), void *arg);
void sim_group_wait(sim_group g);         /* until all its tasks ended or it was killed */
/* Not the caller's own. Returns when its tasks are gone, memory freed, fds closed. A task of it that holds a mutex which
 * lies in another group's memory (initialised by it, or under sim_group_push) runs on until it has unlocked that: the kill
 * waits, so that shared stores stay usable. Destructors of TLS slots are not called. */
void sim_group_kill(sim_group g);
/* The calling task's group; never group 0; the caller must not hold a mutex of another group's memory. */
void sim_group_kill_self(void) __attribute__((noreturn));
void sim_group_pause(sim_group g);        /* SIGSTOP: its tasks are not picked (shared mutexes: as above), time goes on */
void sim_group_resume(sim_group g);
bool sim_group_alive(sim_group g);        /* false once killed or all its tasks ended */
sim_group sim_group_self(void);
/* The code between push and pop acts for another group (a shared store that outlives processes): memory, file descriptors,
 * mutexes that it initialises and tasks that it spawns belong to that group. Per task. */
sim_group sim_group_push(sim_group g);
void sim_group_pop(sim_group previous);

/* ---- memory faults (a spawned task counts as an allocation): the n-th allocation (0-based) of group g fails after arming; sticky: all from the n-th on */
void sim_alloc_fault_arm(sim_group g, uint64_t n, bool sticky);
uint64_t sim_alloc_fault_disarm(sim_group g); /* allocations seen since arming */
uint64_t sim_alloc_live(sim_group g);         /* allocations not yet freed */
uint64_t sim_alloc_live_bytes(sim_group g);   /* and their bytes, as asked for */
uint64_t sim_alloc_peak_bytes(sim_group g);   /* most of them since this was asked before */
void sim_alloc_live_print(sim_group g, unsigned max); /* sizes and allocation numbers of the living, to stderr */

/* ---- crash points: the process dies at its n-th ENV_POINT (any name), counted from arming */
void sim_point_kill_arm(sim_group g, uint64_t n);
uint64_t sim_point_kill_disarm(sim_group g); /* points seen */

/* ---- in-memory file system: one for all groups */
enum sim_fs_fault { SIM_FS_EIO = 1, SIM_FS_ENOSPC = 2, SIM_FS_SHORT = 4 };
void sim_fs_reset(void);                       /* empty tree with "/" and "/tmp" */
void sim_fs_fault_arm(unsigned kinds, uint64_t n, bool sticky); /* the n-th file operation that changes something fails */
uint64_t sim_fs_fault_disarm(void);
/* Power loss: unsynced data and directory entries are kept, dropped or torn at random (by the seed). All file descriptors
 * are closed; kill the groups first. */
void sim_fs_power_loss(void);

/* ---- chance from the run's seed (does not disturb the schedule's own stream) */
uint64_t sim_rand(void);
uint64_t sim_rand_below(uint64_t bound);
bool sim_chance(double p);

#endif
