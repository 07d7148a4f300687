/* Goal: keys are checked, joined and escaped by object-stores 2. Method: tables. */
#include "store/path.h"
#include "base/env/env.h"
#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_parse_strips_one_slash_and_checks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* NULL: INVALID */
    } rows[] = {
        {"", ""},
        {"/", ""},
        {"a", "a"},
        {"/a", "a"},
        {"a/", "a"},
        {"/a/b/", "a/b"},
        {"//a", NULL},
        {"a//", NULL},
        {"//", NULL},
        {"a//b", NULL},
        {"./a", NULL},
        {"a/..", NULL},
        {"a%2Fb", "a%2Fb"},
        {"...", "..."},
        {"a\tb", NULL},
        {"\x7f", NULL},
        {"\xc3\xa9", "\xc3\xa9"},
        {"\xc3", NULL},
        {"\xf5\x80\x80\x80", NULL},
        {"\xe0\x80\xaf", NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char *out = NULL;
        shale_error err;
        shale_code rc = shl_path_parse(rows[i].text, &out, &err);
        if ((rc == SHALE_OK) != (rows[i].want != NULL))
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
        if (rows[i].want != NULL)
            assert_string_equal(out, rows[i].want);
        env_free(out);
    }
}

static void test_parts_are_escaped_into_valid_keys(void **state)
{
    (void)state;
    static const struct {
        const char *parts[3];
        const char *want;
    } rows[] = {
        {{"a", "b", "c"}, "a/b/c"},
        {{"", "b", ""}, "b"},
        {{"", "", ""}, ""},
        {{".", "..", "..."}, "%2E/%2E%2E/..."},
        {{"a/b", "50%", "x#1"}, "a%2Fb/50%25/x%231"},
        {{"\xc3\xa9", "\x01\x7f", "a b+&=,"}, "%C3%A9/%01%7F/a b+&=,"},
        {{"\\{^}", "`]\">", "[~<|*?"}, "%5C%7B%5E%7D/%60%5D%22%3E/%5B%7E%3C%7C%2A%3F"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_slice parts[3];
        for (size_t j = 0; j < 3; j++)
            parts[j] = shl_slice_str(rows[i].parts[j]);
        char *out = shl_path_from_parts(parts, 3);
        assert_non_null(out);
        assert_string_equal(out, rows[i].want);
        assert_null(shl_path_fault(out));
        env_free(out);
    }
}

static void test_urls_are_decoded_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* NULL: INVALID */
    } rows[] = {
        {"/a%20b", "a b"}, {"/a%2520b", "a%20b"},   {"/a%2fb", "a/b"},
        {"/a%", "a%"},     {"/a%zz", "a%zz"},       {"/%00", NULL},
        {"/%ff", NULL},    {"/%c3%A9", "\xc3\xa9"}, {"/a/%2e%2e", NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char *out = NULL;
        shale_error err;
        shale_code rc = shl_path_from_url(rows[i].text, &out, &err);
        if ((rc == SHALE_OK) != (rows[i].want != NULL))
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
        if (rows[i].want != NULL)
            assert_string_equal(out, rows[i].want);
        else
            assert_int_equal(rc, SHALE_INVALID);
        env_free(out);
    }
}

static void test_a_shown_url_has_no_password(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"s3://b/p", "s3://b/p"},
        {"s3://b/x@y", "s3://b/x@y"},
        {"./a@b", "./a@b"},
        {"s3://AKIA:HUSH@b/p", "s3://***@b/p"},
        {"https://u:HU@SH@host", "https://***@host"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char out[SHL_URL_SHOWN];
        assert_string_equal(shl_url_shown(rows[i][0], out), rows[i][1]);
    }
}

static void test_under_is_by_whole_segments(void **state)
{
    (void)state;
    assert_true(shl_path_is_under("foo/bar", "foo/bar"));
    assert_true(shl_path_is_under("foo/bar", "foo"));
    assert_true(shl_path_is_under("foo", ""));
    assert_true(shl_path_is_under("", ""));
    assert_false(shl_path_is_under("foo/barx", "foo/bar"));
    assert_false(shl_path_is_under("foo", "foo/bar"));
    assert_false(shl_path_is_under("", "foo"));
}

static void test_join_leaves_out_what_is_empty(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"a", "b", "a/b"}, {"", "b", "b"}, {"a", "", "a"}, {"", "", ""}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char *out = shl_path_join(rows[i][0], rows[i][1]);
        assert_non_null(out);
        assert_string_equal(out, rows[i][2]);
        env_free(out);
    }
    /* A buffer on the stack while it fits, memory of its own from there on. */
    char name[600];
    for (size_t len = 200; len < sizeof name; len++) {
        struct shl_path_buf p = {0};
        shale_error err;
        memset(name, 'n', len);
        name[len] = '\0';
        assert_int_equal(shl_path_buf_join(&p, "d", name, &err), SHALE_OK);
        assert_int_equal(strlen(p.text), len + 2);
        assert_string_equal(p.text + 2, name);
        shl_path_buf_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_strips_one_slash_and_checks),
        cmocka_unit_test(test_parts_are_escaped_into_valid_keys),
        cmocka_unit_test(test_urls_are_decoded_once),
        cmocka_unit_test(test_a_shown_url_has_no_password),
        cmocka_unit_test(test_under_is_by_whole_segments),
        cmocka_unit_test(test_join_leaves_out_what_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
