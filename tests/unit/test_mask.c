/* Goal: no secret is left in a text of a server, and nothing else is taken out. Method: a table; each secret also at each place where a text may have been
 * cut. */
#include "base/num.h"
#include "store/mask.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define SECRET "wJal/XUtn+FEMI/K7"
#define TOKEN  "FwoGZXIvYXdzEJr=="
#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

static const char *const secrets[] = {SECRET, NULL, TOKEN, "short"};

static void test_secrets_are_masked_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"no secret", "no secret"},
        {SECRET, "***"},
        {"key " SECRET " is bad", "key *** is bad"},
        {SECRET SECRET TOKEN, "*********"},
        {"x" SECRET, "x***"},
        {"wJal%2FXUtn%2bFEMI%2fK7!", "***!"},
        {"%77Jal/XUtn+FEMI/K7", "***"},
        {"wJal/XUtn+FEMI/K8", "wJal/XUtn+FEMI/K8"},
        {"ends with wJal/XU", "ends with ***"},
        {"ends with wJal%2", "ends with ***"},
        {"ends with wJa", "ends with wJa"},
        {"short", "short"}, /* found in innocent words */
        {"X-Amz-Signature=abc&x=1", "X-Amz-Signature=***&x=1"},
        {"Signature=abc, more", "Signature=***, more"},
        {"signature=", "signature="},
        {"x-amz-security-token: abc def", "x-amz-security-token: *** def"},
        {"X-Amz-Security-Token=a%2Fb", "X-Amz-Security-Token=***"},
        {"the signature we calculated", "the signature we calculated"},
        {"got " HEX64 ".", "got ***."},
        {"etag 0123456789abcdef0123456789abcdef", "etag 0123456789abcdef0123456789abcdef"},
        {"a%", "a%"},
        {"a%2", "a%2"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char text[300];
        snprintf(text, sizeof text, "%s", rows[i].text);
        shl_mask(text, secrets, SHL_COUNT_OF(secrets));
        if (strcmp(text, rows[i].want) != 0)
            fail_msg("\"%s\": want \"%s\", got \"%s\"", rows[i].text, rows[i].want, text);
    }
}

static void test_a_secret_that_was_cut_is_not_told_either(void **state)
{
    (void)state;
    for (size_t n = 4; n <= strlen(SECRET); n++) {
        char text[64];
        snprintf(text, sizeof text, "key %.*s", (int)n, SECRET);
        shl_mask(text, secrets, SHL_COUNT_OF(secrets));
        assert_string_equal(text, "key ***");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets_are_masked_and_nothing_else),
        cmocka_unit_test(test_a_secret_that_was_cut_is_not_told_either),
    };
    return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
