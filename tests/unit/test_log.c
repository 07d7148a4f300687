/* Goal: a log line is one line, only where its level is on. Method: a sink that keeps the last line. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct kept {
    char text[SHL_LOG_LINE_BYTES];
    enum shl_log_level level;
    int lines;
};

static void keep(void *ctx, enum shl_log_level level, const char *text)
{
    struct kept *k = ctx;
    snprintf(k->text, sizeof k->text, "%s", text);
    k->level = level;
    k->lines++;
}

static void test_level_decides(void **state)
{
    (void)state;
    struct kept k = {0};
    struct shl_log log = {.sink = keep, .ctx = &k, .level_max = SHL_LOG_WARN};
    shl_log_write(&log, SHL_LOG_INFO, "flushed rows=%d", 3);
    assert_int_equal(k.lines, 0);
    assert_false(shl_log_on(&log, SHL_LOG_INFO));
    shl_log_write(&log, SHL_LOG_ERROR, "fenced epoch=%d", 8);
    assert_int_equal(k.lines, 1);
    assert_int_equal(k.level, SHL_LOG_ERROR);
    assert_string_equal(k.text, "fenced epoch=8");
    shl_log_write(NULL, SHL_LOG_ERROR, "nobody listens");
    log.sink = NULL;
    shl_log_write(&log, SHL_LOG_ERROR, "nobody listens");
    assert_int_equal(k.lines, 1);
}

static void test_a_line_stays_a_line(void **state)
{
    (void)state;
    struct kept k = {0};
    struct shl_log log = {.sink = keep, .ctx = &k, .level_max = SHL_LOG_DEBUG};
    shl_log_write(&log, SHL_LOG_DEBUG, "key=%s", "a\nb\x1b[2J\x7f\xc3\xa4");
    assert_string_equal(k.text, "key=a b [2J \xc3\xa4");
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    shl_log_write(&log, SHL_LOG_DEBUG, "%s", text);
    assert_int_equal(strlen(k.text), SHL_LOG_LINE_BYTES - 1);
}

static void test_level_names(void **state)
{
    (void)state;
    enum shl_log_level level;
    assert_true(shl_log_level_parse("WARN", &level));
    assert_int_equal(level, SHL_LOG_WARN);
    assert_string_equal(shl_log_level_name(level), "warn");
    assert_false(shl_log_level_parse("loud", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_decides),
        cmocka_unit_test(test_a_line_stays_a_line),
        cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
