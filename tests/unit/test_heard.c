/* Goal: a copy of an answer is known on its own connection, however many there are beside it, and what merely looks like one is not.
 * Method: answers as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/http/heard.h"

static struct shl_heard heard;

static bool hears(unsigned port, uint64_t id, uint64_t request, bool is_read)
{
    const struct shl_heard_answer a = {.id = id, .request = request, .is_read = is_read};
    return shl_heard_before(&heard, port, &a);
}

static void begin(void)
{
    memset(&heard, 0, sizeof heard);
    assert_false(hears(1, 1001, 1, false));
    assert_false(hears(1, 1002, 2, false)); /* two ids: this server tells its answers apart */
}

/* Ports as a kernel gives them: every second one. */
static void test_copies_are_known_on_many_connections(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 256; i++)
        for (uint64_t k = 0; k < SHL_HEARD_ANSWERS; k++)
            assert_false(hears(32768 + 2 * i, 10000 + 10 * i + k, k, false));
    for (unsigned i = 0; i < 256; i++)
        for (uint64_t k = 0; k < SHL_HEARD_ANSWERS; k++)
            assert_true(hears(32768 + 2 * i, 10000 + 10 * i + k, 50 + k, false));
}

static void test_connections_do_not_mix(void **state)
{
    (void)state;
    begin();
    assert_false(hears(2, 7, 1, false));
    assert_false(hears(3, 7, 1, false));
    assert_true(hears(2, 7, 2, false));
}

static void test_a_cache_may_repeat_what_it_read(void **state)
{
    (void)state;
    begin();
    assert_false(hears(2, 7, 1, true));
    assert_false(hears(2, 8, 2, true));
    assert_false(hears(2, 7, 1, true));
    assert_true(hears(2, 7, 3, true)); /* but not for something else */
    assert_false(hears(2, 9, 4, false));
    assert_true(hears(2, 9, 4, false)); /* nor a write */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_are_known_on_many_connections),
        cmocka_unit_test(test_connections_do_not_mix),
        cmocka_unit_test(test_a_cache_may_repeat_what_it_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
