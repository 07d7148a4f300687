/* Goal: error values carry code and text, are cut cleanly, and prefixes stack. Method: small calls, exact texts. */
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <shale/version.h>

static void test_fail_fills_code_and_text(void **state)
{
    (void)state;
    shale_error err;
    assert_int_equal(shl_fail(&err, SHALE_CORRUPTION, "block %d: crc 0x%08x", 17, 0x9a2cu),
                     SHALE_CORRUPTION);
    assert_int_equal(err.code, SHALE_CORRUPTION);
    assert_string_equal(err.text, "block 17: crc 0x00009a2c");
    assert_int_equal(shl_nomem(&err), SHALE_NOMEM);
    assert_string_equal(err.text, "out of memory");
}

static void test_prefixes_stack_outside_in(void **state)
{
    (void)state;
    shale_error err;
    (void)shl_fail(&err, SHALE_CORRUPTION, "short");
    shl_err_prefix(&err, "block %d", 3);
    shl_err_prefix(&err, "sst %s", "01J");
    assert_string_equal(err.text, "sst 01J: block 3: short");
    assert_int_equal(err.code, SHALE_CORRUPTION);
    (void)shl_fail(&err, SHALE_INVALID, "%s", "");
    shl_err_prefix(&err, "alone");
    assert_string_equal(err.text, "alone");
}

static void test_long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    char text[600];
    for (size_t shift = 0; shift < 4;
         shift++) { /* a three-byte character at every distance from the border */
        memset(text, 'x', sizeof text);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        text[sizeof text - 1] = '\0';
        shale_error err;
        (void)shl_fail(&err, SHALE_INVALID, "%s", text);
        size_t len = strlen(err.text);
        assert_in_range(len, 505, 507);
        assert_int_equal((len - shift) % 3, 0);
        shl_err_prefix(&err, "p");
        assert_in_range(strlen(err.text), 505, 507);
        assert_memory_equal(err.text, "p: ", 3);
        assert_int_equal((strlen(err.text) - 3 - shift) % 3, 0);
    }
    shale_error err;
    memset(text, 'y', sizeof text - 1);
    (void)shl_fail(&err, SHALE_INVALID, "inner");
    shl_err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), 507);
}

static void test_code_names(void **state)
{
    (void)state;
    assert_string_equal(shale_code_name(SHALE_OK), "OK");
    assert_string_equal(shale_code_name(SHALE_FENCED), "FENCED");
    assert_string_equal(shale_code_name(SHALE_NO_SPACE), "NO_SPACE");
    for (unsigned i = 0; i <= SHALE_NO_BUCKET; i++)
        assert_string_not_equal(shale_code_name((shale_code)i), "UNKNOWN");
    assert_string_equal(shale_code_name((shale_code)(SHALE_NO_BUCKET + 1)), "UNKNOWN");
    assert_string_equal(shale_version(), SHALE_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_fills_code_and_text),
        cmocka_unit_test(test_prefixes_stack_outside_in),
        cmocka_unit_test(test_long_text_is_cut_at_a_character),
        cmocka_unit_test(test_code_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
