/* Tasks as coroutines on one OS thread. The order of the sanitizer calls around each switch is exact: see the README. */
#define _GNU_SOURCE
#include "base/env/sim_internal.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/assert.h"

#ifdef SIM_ASAN
enum { STACK_BYTES = 1 << 20 };
#else
enum { STACK_BYTES = 256 << 10 };
#endif
enum { GUARD_BYTES = 4096 };

/* The other side of every switch. */
struct loop_side {
    ucontext_t context;
    const void *stack; /* known after the first switch under AddressSanitizer */
    size_t stack_bytes;
    void *asan_fake;
    void *tsan_fiber;
};
static struct loop_side loop_side;

static void leave(struct env_task *t, bool last)
{
    int saved_errno = errno; /* one errno for all tasks of the thread */
    TSAN(__tsan_release(t)); /* a killer takes it up, before it frees what t touched */
    ASAN(__sanitizer_start_switch_fiber(last ? NULL : &t->asan_fake, loop_side.stack,
                                        loop_side.stack_bytes));
    if (last)
        t->asan_fake = NULL;
    TSAN(__tsan_switch_to_fiber(loop_side.tsan_fiber, 1));
    (void)swapcontext(&t->context, &loop_side.context); /* one that ended never comes back */
    ASAN(__sanitizer_finish_switch_fiber(t->asan_fake, NULL, NULL));
    errno = saved_errno;
}

static void entry(unsigned low, unsigned high)
{
    struct env_task *t = (struct env_task *)(uintptr_t)(((uint64_t)high << 32) | low);
    ASAN(__sanitizer_finish_switch_fiber(NULL, &loop_side.stack, &loop_side.stack_bytes));
    sim_task_main(t);
    SHL_NEVER();
}

static void enter(struct env_task *t)
{
    ASAN(__sanitizer_start_switch_fiber(&loop_side.asan_fake, t->stack, STACK_BYTES));
    TSAN(__tsan_switch_to_fiber(t->tsan_fiber, 1));
    (void)swapcontext(&loop_side.context, &t->context);
    ASAN(__sanitizer_finish_switch_fiber(loop_side.asan_fake, NULL, NULL));
}

static bool map_stack(struct env_task *t)
{
    if (t->stack_map != NULL) {
        /* A killed task left its frames behind, with their red zones. */
        ASAN(__asan_unpoison_memory_region(t->stack, STACK_BYTES));
        return true;
    }
    void *map = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    int rc = mprotect(map, GUARD_BYTES, PROT_NONE);
    SHL_ASSERT(rc == 0);
    t->stack_map = map;
    t->stack = (char *)map + GUARD_BYTES;
    return true;
}

static bool start(struct env_task *t)
{
    if (!map_stack(t))
        return false;
    t->asan_fake = NULL;
    TSAN(t->tsan_fiber = __tsan_create_fiber(0));
    int rc = getcontext(&t->context);
    SHL_ASSERT(rc == 0);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = NULL;
    uint64_t p = (uintptr_t)t; /* makecontext passes ints */
    makecontext(&t->context, (void (*)(void))entry, 2, (unsigned)p, (unsigned)(p >> 32));
    /* AddressSanitizer clears the shadow of this whole span at every switch, which costs time and hides overflows of
     * frames that wait. It is told about the stack by the calls around the switches. */
    t->context.uc_stack.ss_sp = NULL;
    t->context.uc_stack.ss_size = 0;
    return true;
}

static void release(struct env_task *t)
{
#ifdef SIM_ASAN
    if (t->asan_fake != NULL) {
        /* Killed where it stood: its fake stack is only freed by leaving it, so pretend to visit it. */
        __sanitizer_start_switch_fiber(&loop_side.asan_fake, t->stack, STACK_BYTES);
        __sanitizer_finish_switch_fiber(t->asan_fake, NULL, NULL);
        __sanitizer_start_switch_fiber(NULL, loop_side.stack, loop_side.stack_bytes);
        __sanitizer_finish_switch_fiber(loop_side.asan_fake, NULL, NULL);
        t->asan_fake = NULL;
    }
#endif
    TSAN(__tsan_destroy_fiber(t->tsan_fiber));
    t->tsan_fiber = NULL;
}

static void run_begin(void)
{
    TSAN(loop_side.tsan_fiber = __tsan_get_current_fiber());
    TSAN(
        AnnotateBenignRaceSized(__FILE__, __LINE__, &errno, sizeof errno, "each task has its own"));
}

static void run_end(void)
{
}

const struct sim_backend_ops sim_ucontext_ops = {
    .name = "ucontext",
    .run_begin = run_begin,
    .run_end = run_end,
    .start = start,
    .enter = enter,
    .leave = leave,
    .release = release,
};
