/* Goal: the parser's limits and messages; the writer's bytes. Method: tables; what is written is parsed again. */
#include "base/codec/json.h"

#include "base/num.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static int setup(void **state)
{
    (void)state;
    shl_json_setup(0);
    return 0;
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "JSON: line 1 column 0: "},
        {"{\"a\":1,\n \"b\" 2}", "JSON: line 2 column "},
        {"{\"a\":1,\"a\":2}", "JSON: line 1 column "},
        {"[1,]", "JSON: line 1"},
        {"{} x", "JSON: line 1"},
        {"{\"a\\u0000b\":1}", "JSON: line 1"},
        {"\"\xff\"", "JSON: line 1"},
        {"9223372036854775808", "JSON: line 1"},
        {"\"open", "JSON: line 1"},
        {"nul", "JSON: line 1"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        json_t *root = NULL;
        shale_error err;
        if (shl_json_parse(shl_slice_str(cases[i].text), &root, &err) != SHALE_INVALID ||
            root != NULL || strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
    json_t *root;
    shale_error err;
    assert_int_equal(shl_json_parse(shl_slice_of(NULL, 0), &root, &err), SHALE_INVALID);
}

static void test_depth_limit_is_exact_and_blind_to_strings(void **state)
{
    (void)state;
    char text[2 * SHL_JSON_DEPTH_MAX + 4];
    for (size_t depth = SHL_JSON_DEPTH_MAX; depth <= SHL_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        json_t *root = NULL;
        shale_error err;
        shale_code rc = shl_json_parse(shl_slice_of(text, 2 * depth), &root, &err);
        assert_int_equal(rc, depth <= SHL_JSON_DEPTH_MAX ? SHALE_OK : SHALE_INVALID);
        json_decref(root);
    }
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(shl_str_append(&b, "\"\\\"", &err), SHALE_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(shl_str_append(&b, "[", &err), SHALE_OK);
    assert_int_equal(shl_str_append(&b, "\"", &err), SHALE_OK);
    json_t *root;
    assert_int_equal(shl_json_parse(shl_buf_view(&b), &root, &err), SHALE_OK);
    json_decref(root);
    shl_buf_free(&b);
}

static void test_members_by_type(void **state)
{
    (void)state;
    json_t *o;
    shale_error err;
    assert_int_equal(
        shl_json_parse(shl_slice_str("{\"s\":\"x\",\"n\":-4,\"u\":5,\"b\":true,\"z\":null}"), &o,
                       &err),
        SHALE_OK);
    struct shl_slice s;
    int64_t n;
    uint64_t u;
    bool b;
    assert_true(shl_json_get_str(o, "s", &s) && shl_slice_eq(s, shl_slice_str("x")));
    assert_true(shl_json_get_i64(o, "n", &n) && n == -4);
    assert_false(shl_json_get_u64(o, "n", &u));
    assert_true(shl_json_get_u64(o, "u", &u) && u == 5);
    assert_true(shl_json_get_bool(o, "b", &b) && b);
    assert_false(shl_json_get_str(o, "z", &s));
    assert_false(shl_json_get_i64(o, "absent", &n));
    assert_false(shl_json_get_bool(NULL, "b", &b));
    json_decref(o);
}

static void test_unsigned_integers_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":18446744073709551615,\"b\":9223372036854775807,\"c\":[9223372036854775808],"
        "\"s\":\"18446744073709551615, \\\"18446744073709551615\",\"f\":18446744073709551615.5,"
        "\"18446744073709551615\":-1}";
    json_t *o;
    json_t *again;
    shale_error err;
    struct shl_slice s;
    uint64_t u;
    assert_int_equal(shl_json_parse_unsigned(shl_slice_str(text), &o, &err), SHALE_OK);
    assert_true(shl_json_get_u64(o, "a", &u) && u == UINT64_MAX);
    assert_true(shl_json_get_u64(o, "b", &u) && u == INT64_MAX);
    assert_string_equal(json_string_value(json_array_get(json_object_get(o, "c"), 0)),
                        "9223372036854775808");
    assert_true(shl_json_get_str(o, "s", &s));
    assert_true(shl_slice_eq(s, shl_slice_str("18446744073709551615, \"18446744073709551615")));
    assert_false(shl_json_get_u64(o, "s", &u));
    assert_true(json_real_value(json_object_get(o, "f")) > 1.8e19);
    assert_int_equal(json_integer_value(json_object_get(o, "18446744073709551615")), -1);
    json_decref(o);
    for (size_t n = 0; n < sizeof text - 1;
         n++) /* cut short anywhere: refused, nothing read behind */
        assert_int_equal(shl_json_parse_unsigned(shl_slice_of(text, n), &again, &err),
                         SHALE_INVALID);
    assert_int_equal(
        shl_json_parse_unsigned(shl_slice_str("{\"a\":18446744073709551616}"), &o, &err),
        SHALE_INVALID);
}

static void write_all(struct shl_json_writer *w)
{
    shl_json_object(w);
    shl_json_key(w, "a");
    shl_json_array(w);
    shl_json_u64(w, UINT64_MAX);
    shl_json_i64(w, INT64_MIN);
    shl_json_f64(w, 0.1);
    shl_json_f64(w, strtod("inf", NULL));
    shl_json_array(w);
    shl_json_array_end(w);
    shl_json_object(w);
    shl_json_object_end(w);
    shl_json_array_end(w);
    shl_json_key(w, "q\"\n");
    shl_json_str(w, "\t\x01\x7f\\/\xc3\xa4");
    shl_json_key(w, "bad");
    shl_json_slice(w, shl_slice_of("a\xff\0b\xc3", 5));
    shl_json_key(w, "n");
    shl_json_str(w, NULL);
    shl_json_key(w, "t");
    shl_json_bool(w, true);
    shl_json_bytes(w, "key", shl_slice_str("plain"));
    shl_json_bytes(w, "value", shl_slice_str("\xff\xfe\xfd"));
    shl_json_key(w, "raw");
    shl_json_raw(w, shl_slice_str("{\"x\":1}"));
    shl_json_object_end(w);
}

static void test_writer_bytes(void **state)
{
    (void)state;
    struct shl_buf b = {0};
    shale_error err;
    struct shl_json_writer w;
    shl_json_begin(&w, &b, &err);
    write_all(&w);
    assert_int_equal(shl_json_finish(&w), SHALE_OK);
    assert_int_equal(shl_str_terminate(&b, &err), SHALE_OK);
    assert_string_equal(
        (const char *)b.data,
        "{\"a\":[18446744073709551615,-9223372036854775808,0.1,null,[],{}],"
        "\"q\\\"\\n\":\"\\t\\u0001\\u007f\\\\/"
        "\xc3\xa4\",\"bad\":\"a\xef\xbf\xbd\\u0000b\xef\xbf\xbd\","
        "\"n\":null,\"t\":true,\"key\":\"plain\",\"value_base64\":\"//79\",\"raw\":{\"x\":1}}");
    shl_buf_free(&b);
}

static void test_every_byte_survives_as_a_string(void **state)
{
    (void)state;
    char bytes[0x7f];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i + 1);
    struct shl_buf b = {0};
    shale_error err;
    struct shl_json_writer w;
    shl_json_begin(&w, &b, &err);
    shl_json_slice(&w, shl_slice_of(bytes, sizeof bytes));
    assert_int_equal(shl_json_finish(&w), SHALE_OK);
    json_t *root;
    assert_int_equal(shl_json_parse(shl_buf_view(&b), &root, &err), SHALE_OK);
    assert_int_equal(json_string_length(root), sizeof bytes);
    assert_memory_equal(json_string_value(root), bytes, sizeof bytes);
    json_decref(root);
    shl_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_depth_limit_is_exact_and_blind_to_strings),
        cmocka_unit_test(test_members_by_type),
        cmocka_unit_test(test_unsigned_integers_are_read),
        cmocka_unit_test(test_writer_bytes),
        cmocka_unit_test(test_every_byte_survives_as_a_string),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
