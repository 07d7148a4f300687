/* Goal: the three kinds of settings files give the same events, and every mistake is told with its line. Method: the events are
 * written as text lines and compared; tables of bad files; every cut of a good file must not crash. */
#include "base/codec/settings_file.h"

#include "base/codec/json.h"
#include "base/codec/toml.h"
#include "base/codec/yaml.h"
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
    shl_json_setup(1);
    return 0;
}

/* name=value with a letter for the kind: s i f b n */
static shale_code record(void *ctx, const struct shl_setting *s, shale_error *err)
{
    return shl_str_printf(ctx, err, "%.*s=%c:%.*s\n", (int)s->name.len, (const char *)s->name.data,
                          "sifbn"[s->kind], (int)s -> value.len, (const char *)s->value.data);
}

static void assert_events(enum shl_settings_format format, const char *text, const char *want)
{
    struct shl_buf got = {0};
    shale_error err = {0};
    shale_code rc = shl_settings_read(format, shl_slice_str(text), record, &got, &err);
    if (rc != SHALE_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shl_str_terminate(&got, &err), SHALE_OK);
    assert_string_equal((const char *)got.data, want);
    shl_buf_free(&got);
}

static const char same_events[] =
    "flush_interval=s:100ms\n"
    "wal_enabled=b:false\n"
    "l0_max_ssts=i:8\n"
    "compactor_options.poll_interval=s:5s\n"
    "compactor_options.worker.max_sst_size=i:268435456\n"
    "compactor_options.scheduler_options.include_size_threshold=f:4.5\n"
    "list[0]=i:1\n"
    "list[1]=s:b\n";

static const char toml_text[] = "# settings\n"
                                "flush_interval = \"100ms\"  # a comment\r\n"
                                "wal_enabled = false\n"
                                "l0_max_ssts = 8\n"
                                "\n"
                                "[compactor_options]\n"
                                "poll_interval = '5s'\n"
                                "worker.max_sst_size = 0x1000_0000\n"
                                "[ compactor_options . \"scheduler_options\" ]\n"
                                "include_size_threshold = 4.5\n";

static void test_three_formats_say_the_same(void **state)
{
    (void)state;
    assert_events(SHL_SETTINGS_JSON,
                  "{\"flush_interval\":\"100ms\",\"wal_enabled\":false,\"l0_max_ssts\":8,"
                  "\"compactor_options\":{\"poll_interval\":"
                  "\"5s\",\"worker\":{\"max_sst_size\":268435456},\"scheduler_options\":{\"include_"
                  "size_threshold\":4.5}},"
                  "\"list\":[1,\"b\"]}",
                  same_events);
    assert_events(SHL_SETTINGS_YAML,
                  "flush_interval: 100ms\nwal_enabled: False\nl0_max_ssts: 8\ncompactor_options:\n "
                  " poll_interval: 5s\n"
                  "  worker: {max_sst_size: 268435456}\n  scheduler_options:\n    "
                  "include_size_threshold: 4.5\nlist: [1, b]\n",
                  same_events);
    size_t without_list = strlen(same_events) - strlen("list[0]=i:1\nlist[1]=s:b\n");
    char want[sizeof same_events];
    memcpy(want, same_events, without_list);
    want[without_list] = '\0';
    assert_events(SHL_SETTINGS_TOML, toml_text, want);
    assert_events(SHL_SETTINGS_TOML, "list = [ 1, # one\n 'b',\n]\n", "list[0]=i:1\nlist[1]=s:b\n");
}

static void test_toml_values(void **state)
{
    (void)state;
    assert_events(SHL_SETTINGS_TOML,
                  "\xef\xbb\xbf"
                  "a = \"\\t\\\"\\\\\\u00e4\\U0001F600\"\nb = 'C:\\x'\nc = +1_000\nd = -0\ne = "
                  "1e3\nf = 0o17\ng = 0b101\nh = -1.5\n"
                  "i = { x = 1, y.z = 'q' }\nj = {}\n\"k.l\" = true\n3 = 4\nm = \"\"",
                  "a=s:\t\"\\\xc3\xa4\xf0\x9f\x98\x80\nb=s:C:\\x\nc=i:1000\nd=i:0\ne=f:1e3\nf=i:"
                  "15\ng=i:5\nh=f:-1.5\n"
                  "i.x=i:1\ni.y.z=s:q\nk.l=b:true\n3=i:4\nm=s:\n");
    assert_events(SHL_SETTINGS_TOML, "[a.b]\nx=1\n[a]\ny=2\n", "a.b.x=i:1\na.y=i:2\n");
    assert_events(SHL_SETTINGS_TOML, "", "");
    assert_events(SHL_SETTINGS_TOML, "x=9223372036854775807\ny=-9223372036854775808",
                  "x=i:9223372036854775807\ny=i:-9223372036854775808\n");
}

static void test_yaml_and_json_values(void **state)
{
    (void)state;
    assert_events(SHL_SETTINGS_YAML,
                  "a: null\nb: ~\nc:\nd: 'null'\ne: \"1\"\nf: 1.5\ng: yes\nh: -3\n",
                  "a=n:none\nb=n:none\nc=n:none\nd=s:null\ne=s:1\nf=f:1.5\ng=s:yes\nh=i:-3\n");
    assert_events(SHL_SETTINGS_YAML, "", "");
    assert_events(SHL_SETTINGS_YAML, "---\na: {}\n", "");
    assert_events(SHL_SETTINGS_JSON, "{\"a\":null,\"b\":true,\"c\":{},\"d.e\":2.5}",
                  "a=n:none\nb=b:true\nd.e=f:2.5\n");
}

static void test_mistakes_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        enum shl_settings_format format;
        const char *text, *message;
    } cases[] = {
        {SHL_SETTINGS_TOML, "a = 1\nb = 2\na = 3\n", "line 3: a: given twice"},
        {SHL_SETTINGS_TOML, "a = 1\n[a]\nb = 2\n", "line 2: a: given twice"},
        {SHL_SETTINGS_TOML, "a = 1\na.b = 2\n", "line 2: a.b: a has a value already"},
        {SHL_SETTINGS_TOML, "a.b = 1\na = 2\n", "line 2: a: is a table already"},
        {SHL_SETTINGS_TOML, "[a]\n[b]\n[a]\n", "line 3: a: is a table already"},
        {SHL_SETTINGS_TOML, "a 1", "line 1: want = after a key: 1"},
        {SHL_SETTINGS_TOML, "= 1", "line 1: want a key: = 1"},
        {SHL_SETTINGS_TOML, "\"\" = 1", "an empty name"},
        {SHL_SETTINGS_TOML, "a = ", "line 1: want a value"},
        {SHL_SETTINGS_TOML, "\na = \"x\n", "line 2: string without end"},
        {SHL_SETTINGS_TOML, "a = \"x", "line 1: string without end"},
        {SHL_SETTINGS_TOML, "a = \"\\q\"", "line 1: unknown escape in a string: q\""},
        {SHL_SETTINGS_TOML, "a = \"\\ud800\"", "line 1: not a Unicode character: d800\""},
        {SHL_SETTINGS_TOML, "a = \"\\u12\"", "line 1: escape cut short: 12\""},
        {SHL_SETTINGS_TOML, "a = \"\\u12zz\"", "line 1: bad hexadecimal digits: 12zz\""},
        {SHL_SETTINGS_TOML, "a = '\xff'", "line 1: not UTF-8"},
        {SHL_SETTINGS_TOML, "a = '\x01'", "line 1: control character in a string"},
        {SHL_SETTINGS_TOML, "a = \"\"\"x\"\"\"",
         "line 1: multi-line strings are not supported: \"\"\"x\"\"\""},
        {SHL_SETTINGS_TOML, "a = 100ms", "line 1: not a value (text stands in quotes): 100ms"},
        {SHL_SETTINGS_TOML, "a = 1__0", "line 1: not a value: 1__0"},
        {SHL_SETTINGS_TOML, "a = _1", "line 1: not a value: _1"},
        {SHL_SETTINGS_TOML, "a = 01", "line 1: not a value: 01"},
        {SHL_SETTINGS_TOML, "a = 0x", "line 1: not a value (text stands in quotes): 0x"},
        {SHL_SETTINGS_TOML, "a = 0xg", "line 1: not a value (text stands in quotes): 0xg"},
        {SHL_SETTINGS_TOML, "a = +-1", "line 1: not a value (text stands in quotes): +-1"},
        {SHL_SETTINGS_TOML, "a = 9223372036854775808",
         "line 1: integer out of range: 9223372036854775808"},
        {SHL_SETTINGS_TOML, "a = 1979-05-27",
         "line 1: not a value (text stands in quotes): 1979-05-27"},
        {SHL_SETTINGS_TOML, "a = 1 b = 2", "line 1: want the end of the line: b = 2"},
        {SHL_SETTINGS_TOML, "[[a]]", "line 1: arrays of tables are not supported: [a]]"},
        {SHL_SETTINGS_TOML, "[a", "line 1: want ] after a table's name"},
        {SHL_SETTINGS_TOML, "a = [[1]]", "line 1: only arrays of scalars are supported: [1]]"},
        {SHL_SETTINGS_TOML, "a = [1\n2]", "line 2: want , or ] in an array: 2]"},
        {SHL_SETTINGS_TOML, "a = [1", "line 1: array without end"},
        {SHL_SETTINGS_TOML, "a = {b = 1", "line 1: want , or } in a table"},
        {SHL_SETTINGS_YAML, "a: 1\nb: 2\na: 3\n", "line 3: a: given twice"},
        {SHL_SETTINGS_YAML, "a: &x 1\n", "line 1: anchors and tags are not supported"},
        {SHL_SETTINGS_YAML, "a: *x\n", "line 1: aliases are not supported"},
        {SHL_SETTINGS_YAML, "a: !!str 1\n", "line 1: anchors and tags are not supported"},
        {SHL_SETTINGS_YAML, "- a\n", "line 1: want a mapping of settings"},
        {SHL_SETTINGS_YAML, "text\n", "line 1: want a mapping of settings"},
        {SHL_SETTINGS_YAML, "a:\n  - [1]\n", "line 2: only sequences of scalars are supported"},
        {SHL_SETTINGS_YAML, "[a]: 1\n", "line 1: "},
        {SHL_SETTINGS_YAML, "a: 1\n---\nb: 2\n", "line 2: only one document is supported"},
        {SHL_SETTINGS_YAML, "a: [1\n", "line "},
        {SHL_SETTINGS_YAML, "'': 1\n", "line 1: an empty name"},
        {SHL_SETTINGS_JSON, "[1]", "JSON: want an object of settings"},
        {SHL_SETTINGS_JSON, "{\"a\":[{}]}", "a[0]: only arrays of scalars are supported"},
        {SHL_SETTINGS_JSON, "{\"a.b\":1,\"a\":{\"b\":2}}", "a.b: given twice"},
        {SHL_SETTINGS_JSON, "{\"a\":1,", "JSON: line 1"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf got = {0};
        shale_error err = {0};
        shale_code rc =
            shl_settings_read(cases[i].format, shl_slice_str(cases[i].text), record, &got, &err);
        if (rc != SHALE_INVALID ||
            strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: %d %s\nwant %s", i, (int)rc, err.text, cases[i].message);
        shl_buf_free(&got);
    }
}

static shale_code refuse(void *ctx, const struct shl_setting *s, shale_error *err)
{
    (void)ctx;
    return shl_fail(err, SHALE_INVALID, "unknown setting \"%.*s\"", (int)s->name.len,
                    (const char *)s->name.data);
}

static void test_callback_errors_get_the_line(void **state)
{
    (void)state;
    shale_error err;
    assert_int_equal(shl_toml_read(shl_slice_str("\n\nx = 1\n"), refuse, NULL, &err),
                     SHALE_INVALID);
    assert_string_equal(err.text, "line 3: unknown setting \"x\"");
    assert_int_equal(shl_yaml_read(shl_slice_str("\nx: 1\n"), refuse, NULL, &err), SHALE_INVALID);
    assert_string_equal(err.text, "line 2: unknown setting \"x\"");
    assert_int_equal(
        shl_settings_read(SHL_SETTINGS_JSON, shl_slice_str("{\"x\":1}"), refuse, NULL, &err),
        SHALE_INVALID);
    assert_string_equal(err.text, "unknown setting \"x\"");
}

static void test_depth_and_count_are_bounded(void **state)
{
    (void)state;
    static const struct {
        enum shl_settings_format format;
        const char *open, *close;
    } deep[] = {{SHL_SETTINGS_JSON, "{\"a\":", "}"},
                {SHL_SETTINGS_TOML, "{a=", "}"},
                {SHL_SETTINGS_YAML, "{a: ", "}"}};
    shale_error err;
    for (size_t i = 0; i < SHL_COUNT_OF(deep); i++) {
        struct shl_buf text = {0}, got = {0};
        if (deep[i].format == SHL_SETTINGS_TOML)
            assert_int_equal(shl_str_append(&text, "x=", &err), SHALE_OK);
        for (int k = 0; k < SHL_SETTING_DEPTH_MAX + 1; k++)
            assert_int_equal(shl_str_append(&text, deep[i].open, &err), SHALE_OK);
        assert_int_equal(shl_str_append(&text, "1", &err), SHALE_OK);
        for (int k = 0; k < SHL_SETTING_DEPTH_MAX + 1; k++)
            assert_int_equal(shl_str_append(&text, deep[i].close, &err), SHALE_OK);
        assert_int_equal(shl_settings_read(deep[i].format, shl_buf_view(&text), record, &got, &err),
                         SHALE_INVALID);
        assert_non_null(strstr(err.text, "too deep"));
        shl_buf_free(&text);
        shl_buf_free(&got);
    }
    struct shl_buf text = {0}, got = {0};
    for (int k = 0; k <= SHL_SETTINGS_MAX; k++)
        assert_int_equal(shl_str_printf(&text, &err, "k%d = 1\n", k), SHALE_OK);
    assert_int_equal(shl_toml_read(shl_buf_view(&text), record, &got, &err), SHALE_INVALID);
    assert_string_equal(err.text, "line 4097: more than 4096 settings");
    shl_buf_free(&text);
    shl_buf_free(&got);
}

static void test_every_cut_ends_cleanly(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof toml_text; len++) {
        char *cut = malloc(len + 1);
        memcpy(cut, toml_text, len);
        struct shl_buf got = {0};
        shale_error err;
        shale_code rc = shl_toml_read(shl_slice_of(cut, len), record, &got, &err);
        assert_true(rc == SHALE_OK || rc == SHALE_INVALID);
        shl_buf_free(&got);
        free(cut);
    }
}

static void test_format_by_extension(void **state)
{
    (void)state;
    enum shl_settings_format f;
    assert_true(shl_settings_format_of("./SlateDb.toml", &f) && f == SHL_SETTINGS_TOML);
    assert_true(shl_settings_format_of("a.b/c.yml", &f) && f == SHL_SETTINGS_YAML);
    assert_true(shl_settings_format_of("x.yaml", &f) && f == SHL_SETTINGS_YAML);
    assert_true(shl_settings_format_of("x.json", &f) && f == SHL_SETTINGS_JSON);
    assert_false(shl_settings_format_of("x.ini", &f));
    assert_false(shl_settings_format_of("toml", &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_formats_say_the_same),
        cmocka_unit_test(test_toml_values),
        cmocka_unit_test(test_yaml_and_json_values),
        cmocka_unit_test(test_mistakes_are_told_with_their_line),
        cmocka_unit_test(test_callback_errors_get_the_line),
        cmocka_unit_test(test_depth_and_count_are_bounded),
        cmocka_unit_test(test_every_cut_ends_cleanly),
        cmocka_unit_test(test_format_by_extension),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
