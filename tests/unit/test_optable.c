/* Goal: one table sets, checks, prints and suggests. Method: a struct with a field of every type; texts that fit and that do not. */
#include "base/optable.h"

#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum color { COLOR_NONE, COLOR_RED = 4, COLOR_BLUE = 9 };

struct settings {
    uint64_t interval_ns;
    bool enabled;
    bool group;
    uint32_t keys;
    uint32_t block_bytes;
    uint64_t size_bytes;
    uint64_t count;
    int64_t ttl_ms;
    double ratio;
    enum color color;
    uint32_t retries;
    char *folder;
};

static const struct shl_opt_word colors[] = {
    {"none", COLOR_NONE}, {"Red", COLOR_RED}, {"Blue", COLOR_BLUE}, {NULL, 0}};

static const struct shl_opt opts[] = {
    {.name = "flush_interval",
     .type = SHL_OPT_DURATION,
     .nullable = true,
     .offset = offsetof(struct settings, interval_ns),
     .default_text = "100ms"},
    {.name = "wal_enabled",
     .type = SHL_OPT_BOOL,
     .offset = offsetof(struct settings, enabled),
     .default_text = "true"},
    {.name = "compactor_options",
     .type = SHL_OPT_TABLE,
     .offset = offsetof(struct settings, group),
     .default_text = "default"},
    {.name = "min_filter_keys",
     .type = SHL_OPT_U32,
     .offset = offsetof(struct settings, keys),
     .default_text = "1000",
     .max = 5000},
    {.name = "sst_block_size",
     .type = SHL_OPT_SIZE32,
     .offset = offsetof(struct settings, block_bytes),
     .default_text = "4KiB",
     .min = 1024,
     .max = 65536},
    {.name = "l0_sst_size_bytes",
     .type = SHL_OPT_SIZE,
     .offset = offsetof(struct settings, size_bytes),
     .default_text = "64MiB",
     .min = 1},
    {.name = "compactor_options.worker.count",
     .type = SHL_OPT_U64,
     .offset = offsetof(struct settings, count),
     .default_text = "4"},
    {.name = "default_ttl_millis",
     .type = SHL_OPT_I64,
     .nullable = true,
     .offset = offsetof(struct settings, ttl_ms)},
    {.name = "include_size_threshold",
     .type = SHL_OPT_F64,
     .offset = offsetof(struct settings, ratio),
     .default_text = "4.0",
     .min = 1},
    {.name = "color",
     .type = SHL_OPT_ENUM,
     .nullable = true,
     .offset = offsetof(struct settings, color),
     .words = colors},
    {.name = "max_retries",
     .type = SHL_OPT_U32,
     .nullable = true,
     .offset = offsetof(struct settings, retries)},
    {.name = "root_folder",
     .type = SHL_OPT_STRING,
     .nullable = true,
     .offset = offsetof(struct settings, folder)},
};
static const struct shl_optable table = {.opts = opts, .count = SHL_COUNT_OF(opts)};

static shale_code set(struct settings *s, const char *name, const char *value, shale_error *err)
{
    return shl_optable_set(&table, s, shl_slice_str(name), shl_slice_str(value), SHL_OPT_FROM_USER,
                           err);
}

static void assert_shown(const struct settings *s, const char *name, const char *want)
{
    struct shl_buf b = {0};
    shale_error err;
    assert_int_equal(
        shl_opt_format(shl_optable_find(&table, shl_slice_str(name), false), s, &b, &err),
        SHALE_OK);
    if (!shl_slice_eq(shl_buf_view(&b), shl_slice_str(want)))
        fail_msg("%s: %.*s, want %s", name, (int)b.len, (const char *)b.data, want);
    shl_buf_free(&b);
}

static void test_defaults_fill_every_type(void **state)
{
    (void)state;
    struct settings s = {0};
    shale_error err;
    assert_int_equal(shl_optable_defaults(&table, &s, &err), SHALE_OK);
    assert_int_equal(s.interval_ns, 100000000);
    assert_true(s.enabled && s.group);
    assert_int_equal(s.keys, 1000);
    assert_int_equal(s.block_bytes, 4096);
    assert_int_equal(s.size_bytes, 67108864);
    assert_true(s.ttl_ms == INT64_MIN);
    assert_true(s.ratio > 3.99 && s.ratio < 4.01);
    assert_int_equal(s.color, COLOR_NONE);
    assert_int_equal(s.retries, UINT32_MAX);
    assert_null(s.folder);
    for (size_t i = 0; i < table.count; i++)
        assert_true(shl_opt_is_default(&opts[i], &s));
    shl_optable_deinit(&table, &s);
}

static void test_values_are_read_and_printed_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *shown;
    } cases[] = {
        {"flush_interval", "1500ms", "1s+500ms"},
        {"flush_interval", "none", "none"},
        {"flush_interval", "NULL", "none"},
        {"wal_enabled", "off", "false"},
        {"wal_enabled", " Yes ", "true"},
        {"compactor_options", "null", "none"},
        {"compactor_options", "default", "default"},
        {"min_filter_keys", "5000", "5000"},
        {"sst_block_size", "64K", "64KiB"},
        {"l0_sst_size_bytes", "10MB", "10000000"},
        {"compactor_options.worker.count", "18446744073709551615", "18446744073709551615"},
        {"default_ttl_millis", "0", "0"},
        {"default_ttl_millis", "9223372036854775807", "9223372036854775807"},
        {"default_ttl_millis", "none", "none"},
        {"include_size_threshold", "2.5", "2.5"},
        {"color", "bLUE", "Blue"},
        {"color", "null", "none"},
        {"max_retries", "7", "7"},
        {"max_retries", "none", "none"},
        {"root_folder", "/a b ", "/a b "},
        {"root_folder", "", ""},
        {"root_folder", "none", "none"},
    };
    struct settings s = {0};
    shale_error err;
    assert_int_equal(shl_optable_defaults(&table, &s, &err), SHALE_OK);
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        if (set(&s, cases[i].name, cases[i].value, &err) != SHALE_OK)
            fail_msg("%s", err.text);
        assert_shown(&s, cases[i].name, cases[i].shown);
    }
    assert_int_equal(set(&s, "wal_enabled", "false", &err), SHALE_OK);
    assert_false(
        shl_opt_is_default(shl_optable_find(&table, shl_slice_str("wal_enabled"), false), &s));
    assert_int_equal(set(&s, "root_folder", "/x", &err), SHALE_OK);
    assert_false(
        shl_opt_is_default(shl_optable_find(&table, shl_slice_str("root_folder"), false), &s));

    struct settings copy = {0};
    assert_int_equal(shl_optable_copy(&table, &copy, &s, &err), SHALE_OK);
    assert_string_equal(copy.folder, "/x");
    assert_ptr_not_equal(copy.folder, s.folder);
    assert_false(copy.enabled);
    shl_optable_deinit(&table, &copy);
    shl_optable_deinit(&table, &s);
    assert_null(s.folder);
}

static void test_bad_values_name_the_setting_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *text;
    } cases[] = {
        {"l0_sst_size", "1",
         "unknown setting \"l0_sst_size\": did you mean l0_sst_size_bytes (size, default 64MiB)?"},
        {"qqqqqqqq", "1", "unknown setting \"qqqqqqqq\""},
        {"flush_interval", "5", "flush_interval: \"5\": 5 what? write 5s or 5ms"},
        {"wal_enabled", "maybe", "wal_enabled: \"maybe\" is not true or false"},
        {"wal_enabled", "none", "wal_enabled: \"none\" is not true or false"},
        {"min_filter_keys", "5001", "min_filter_keys: 5001; it must be 0 to 5000"},
        {"min_filter_keys", "-1", "min_filter_keys: \"-1\" is not a whole number"},
        {"sst_block_size", "512", "sst_block_size: 512; it must be 1KiB to 64KiB"},
        {"l0_sst_size_bytes", "0", "l0_sst_size_bytes: 0; it must be at least 1"},
        {"l0_sst_size_bytes", "64XB",
         "l0_sst_size_bytes: \"64XB\" is not a size (e.g. 4096, 64MiB, 10MB)"},
        {"default_ttl_millis", "-5", "default_ttl_millis: -5; it must be at least 0"},
        {"default_ttl_millis", "1.5", "default_ttl_millis: \"1.5\" is not a whole number"},
        {"include_size_threshold", "0.5", "include_size_threshold: 0.5; it must be at least 1"},
        {"include_size_threshold", "x", "include_size_threshold: \"x\" is not a number"},
        {"color", "green", "color: \"green\" is not one of none, Red, Blue"},
        {"max_retries", "4294967295", "max_retries: 4294967295; it must be 0 to 4294967294"},
        {"compactor_options", "some", "compactor_options: \"some\" is not none or default"},
    };
    struct settings s = {0};
    shale_error err;
    assert_int_equal(shl_optable_defaults(&table, &s, &err), SHALE_OK);
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        assert_int_equal(set(&s, cases[i].name, cases[i].value, &err), SHALE_INVALID);
        assert_string_equal(err.text, cases[i].text);
    }
    for (size_t i = 0; i < table.count; i++)
        assert_true(shl_opt_is_default(&opts[i], &s));
    assert_int_equal(shl_opt_set(&opts[11], &s, shl_slice_of("a\0b", 3), SHL_OPT_FROM_FILE, &err),
                     SHALE_INVALID);
    shl_optable_deinit(&table, &s);
}

static void test_files_take_bare_seconds_and_environment_any_case(void **state)
{
    (void)state;
    struct settings s = {0};
    shale_error err;
    assert_int_equal(shl_optable_set(&table, &s, shl_slice_str("flush_interval"),
                                     shl_slice_str("5"), SHL_OPT_FROM_FILE, &err),
                     SHALE_OK);
    assert_int_equal(s.interval_ns, UINT64_C(5000000000));
    assert_non_null(
        shl_optable_find(&table, shl_slice_str("COMPACTOR_OPTIONS.WORKER.COUNT"), true));
    assert_null(shl_optable_find(&table, shl_slice_str("COMPACTOR_OPTIONS.WORKER.COUNT"), false));
    assert_ptr_equal(
        shl_optable_find(&table, shl_slice_str("COMPACTOR_OPTIONS_WORKER_COUNT"), true),
        shl_optable_find(&table, shl_slice_str("compactor_options.worker.count"), false));
    assert_null(shl_optable_find(&table, shl_slice_str("compactor_options_worker_count"), false));
    assert_null(shl_optable_find(&table, shl_slice_str("COMPACTOR.OPTIONS_WORKER_COUNT"), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_fill_every_type),
        cmocka_unit_test(test_values_are_read_and_printed_back),
        cmocka_unit_test(test_bad_values_name_the_setting_and_change_nothing),
        cmocka_unit_test(test_files_take_bare_seconds_and_environment_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
