/* Goal: what is retired is freed once, never while a reader that could hold it is inside, and soon after that.
 * Method: step by step with tokens held by hand; then real tasks that swap a shared object while others use it, where a use after free
 * shows as a wrong canary (and to the sanitizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lsm/epoch.h"

#define CANARY_ALIVE UINT64_C(0x5eed5eed5eed5eed)
#define CANARY_DEAD  UINT64_C(0xdeaddeaddeaddead)

struct object {
    struct shl_retired retired; /* first */
    uint64_t canary;
    _Atomic uint32_t *freed;
};

static struct object *object_new(_Atomic uint32_t *freed)
{
    struct object *o = env_alloc(sizeof *o);
    assert_non_null(o);
    o->canary = CANARY_ALIVE;
    o->freed = freed;
    return o;
}

static void object_free(struct shl_retired *r)
{
    struct object *o = (struct object *)r;
    o->canary = CANARY_DEAD;
    atomic_fetch_add(o->freed, 1u);
    env_free(o);
}

static struct shl_epoch *epoch_new(void)
{
    struct shl_epoch *e = NULL;
    shale_error err;
    assert_int_equal(shl_epoch_new(&e, &err), SHALE_OK);
    return e;
}

static void test_retired_is_freed_when_nobody_is_inside(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    assert_int_equal(shl_epoch_collect(e), 0);
    assert_int_equal(freed, 1);
    shl_epoch_free(e);
}

static void test_reader_inside_keeps_what_is_retired_after_it_entered(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    uint32_t token = shl_epoch_enter(e);
    for (unsigned i = 0; i < 200; i++) /* collects by itself, more than once */
        shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    assert_int_equal(freed, 0);
    assert_int_equal(shl_epoch_collect(e), 200);
    shl_epoch_leave(e, token);
    assert_int_equal(shl_epoch_collect(e), 0);
    assert_int_equal(freed, 200);
    shl_epoch_free(e);
}

static void test_reader_that_entered_later_does_not_keep_it(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    uint32_t early = shl_epoch_enter(e);
    shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    assert_int_equal(shl_epoch_collect(e), 1);
    uint32_t late = shl_epoch_enter(e);
    shl_epoch_leave(e, early);
    assert_int_equal(shl_epoch_collect(e), 0);
    assert_int_equal(freed, 1);
    shl_epoch_leave(e, late);
    shl_epoch_free(e);
}

static void test_epochs_nest_and_fill_all_slots(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    uint32_t tokens[128];
    for (unsigned i = 0; i < 128; i++) {
        tokens[i] = shl_epoch_enter(e);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(tokens[i], tokens[j]);
    }
    shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    for (unsigned i = 0; i < 128; i++) {
        assert_int_equal(shl_epoch_collect(e), 1);
        shl_epoch_leave(e, tokens[i]);
    }
    assert_int_equal(shl_epoch_collect(e), 0);
    shl_epoch_free(e);
}

static void test_every_64th_retire_collects(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    for (unsigned i = 0; i < 64; i++)
        shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    assert_int_equal(freed, 64);
    shl_epoch_free(e);
}

static void test_free_releases_what_waits(void **state)
{
    (void)state;
    _Atomic uint32_t freed = 0;
    struct shl_epoch *e = epoch_new();
    for (unsigned i = 0; i < 3; i++)
        shl_epoch_retire(e, &object_new(&freed)->retired, object_free);
    shl_epoch_free(e);
    assert_int_equal(freed, 3);
    shl_epoch_free(NULL);
}

/* ---- real tasks */

#define READERS       3
#define SWAPS         20000
#define READER_CHECKS 4

struct shared {
    struct shl_epoch *epoch;
    _Atomic(struct object *) object;
    _Atomic uint32_t started; /* readers that have read once */
    _Atomic uint32_t stop;
    _Atomic uint32_t freed;
    _Atomic uint64_t reads;
    _Atomic uint64_t wrong;
};

static void reader_main(void *arg)
{
    struct shared *s = arg;
    uint64_t reads = 0;
    uint64_t wrong = 0;
    while (env_load_acquire(&s->stop) == 0) {
        uint32_t token = shl_epoch_enter(s->epoch);
        struct object *o = env_load_seq(&s->object);
        for (unsigned i = 0; i < READER_CHECKS; i++)
            wrong += *(volatile uint64_t *)&o->canary != CANARY_ALIVE;
        shl_epoch_leave(s->epoch, token);
        if (reads++ == 0)
            atomic_fetch_add(&s->started, 1);
    }
    atomic_fetch_add(&s->reads, reads);
    atomic_fetch_add(&s->wrong, wrong);
}

static void test_tasks_never_meet_a_freed_object(void **state)
{
    (void)state;
    struct shared s = {.epoch = epoch_new()};
    env_store_seq(&s.object, object_new(&s.freed));
    struct env_task *tasks[READERS];
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "reader", reader_main, &s), SHALE_OK);
    while (env_load_acquire(&s.started) < READERS)
        env_yield();
    for (unsigned i = 0; i < SWAPS; i++) {
        struct object *old = env_exchange(&s.object, object_new(&s.freed));
        shl_epoch_retire(s.epoch, &old->retired, object_free);
        if (i % 16 == 0)
            env_yield();
    }
    env_store_release(&s.stop, 1);
    for (unsigned i = 0; i < READERS; i++)
        env_task_join(tasks[i]);
    assert_int_equal(s.wrong, 0);
    assert_true(s.reads >= READERS);
    assert_int_equal(shl_epoch_collect(s.epoch), 0);
    assert_int_equal(s.freed, SWAPS);
    object_free(&s.object->retired);
    shl_epoch_free(s.epoch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retired_is_freed_when_nobody_is_inside),
        cmocka_unit_test(test_reader_inside_keeps_what_is_retired_after_it_entered),
        cmocka_unit_test(test_reader_that_entered_later_does_not_keep_it),
        cmocka_unit_test(test_epochs_nest_and_fill_all_slots),
        cmocka_unit_test(test_every_64th_retire_collects),
        cmocka_unit_test(test_free_releases_what_waits),
        cmocka_unit_test(test_tasks_never_meet_a_freed_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
