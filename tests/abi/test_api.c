/* The public functions on a database in memory.
 *
 * Goal: options behave as their header says (names, old words, null, origins, files), and each db call hands its arguments and answers through
 * unchanged. Method: tables of settings; one database in memory per test. */
#include "api/options.h"

#include <shale/shale.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

static void test_defaults_of_the_table_are_those_of_the_engine(void **state)
{
    (void)state;
    struct shl_api_resolved resolved;
    shale_error err;
    shale_options *o = shale_options_new();
    assert_non_null(o);
    assert_int_equal(shl_api_resolve(o, false, &resolved, &err), SHALE_OK);
    assert_int_equal(shl_lsm_settings_check(&resolved.lsm, SHL_LSM_WRITES, &err), SHALE_OK);
    assert_int_equal(shl_api_resolve(o, true, &resolved, &err), SHALE_OK);
    assert_int_equal(resolved.lsm.manifest_poll_interval_ns, UINT64_C(10000000000));
    shl_lsm_settings_default(&o->settings.lsm); /* the engine's word against the table's */
    for (size_t i = 0; i < shl_api_table.count; i++)
        if (!shl_opt_is_default(&shl_api_table.opts[i], &o->settings))
            fail_msg("%s: the engine's default is another", shl_api_table.opts[i].name);
    shale_options_free(o);
}

struct found {
    const char *name;
    char value[64];
    char origin[64];
};

static bool look(void *ctx, const shale_option_info *info)
{
    struct found *f = ctx;
    if (strcmp(info->name, f->name) != 0)
        return true;
    (void)snprintf(f->value, sizeof f->value, "%s", info->value);
    (void)snprintf(f->origin, sizeof f->origin, "%s", info->origin);
    return false;
}

static struct found look_up(const shale_options *o, const char *name)
{
    struct found f = {.name = name};
    shale_options_each(o, look, &f);
    return f;
}

static void test_settings_take_what_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        shale_code want;
        const char *setting; /* where it shows */
        const char *shown;
    } cases[] = {
        {"flush_interval", "50ms", SHALE_OK, "flush_interval", "50ms"},
        {"flush_interval", "none", SHALE_OK, "flush_interval", "none"},
        {"flush_interval", "NULL", SHALE_OK, "flush_interval", "none"},
        {"flush_interval", "5", SHALE_INVALID, NULL, NULL},
        {"flush_ms", "20", SHALE_OK, "flush_interval", "20ms"},
        {"poll_interval", "3s", SHALE_OK, "manifest_poll_interval", "3s"},
        {"max_unflushed_memtable", "2GiB", SHALE_OK, "max_unflushed_bytes", "2GiB"},
        {"l0_sst_size_bytes", "1M", SHALE_OK, "l0_sst_size_bytes", "1MiB"},
        {"l0_sst_size_bytes", "none", SHALE_INVALID, NULL, NULL},
        {"compression_codec", "ZSTD", SHALE_OK, "compression_codec", "zstd"},
        {"compression_codec", "gzip", SHALE_INVALID, NULL, NULL},
        {"default_ttl_millis", "1000", SHALE_OK, "default_ttl_millis", "1000"},
        {"compactor_options", "none", SHALE_OK, "compactor_options", "none"},
        {"compactor_options.worker.max_sst_size", "1MiB", SHALE_OK,
         "compactor_options.worker.max_sst_size", "1MiB"},
        {"compactor_options.scheduler_options.include_size_threshold", "2.5", SHALE_OK,
         "compactor_options.scheduler_options.include_size_threshold", "2.5"},
        {"garbage_collector_options.wal_fence_options.dry_run", "no", SHALE_OK,
         "garbage_collector_options.wal_fence_options.dry_run", "false"},
        {"object_store_cache_options.root_folder", "/x", SHALE_OK,
         "object_store_cache_options.root_folder", "/x"},
        {"merge_operator", "concat", SHALE_OK, "merge_operator", "concat"},
        {"merge_operator", "min", SHALE_INVALID, NULL, NULL},
        {"segment_extractor", "slash", SHALE_OK, "segment_extractor", "slash"},
        {"segment_extractor", "", SHALE_INVALID, NULL, NULL},
        {"bloom_prefix", "3", SHALE_OK, "bloom_prefix", "3"},
        {"transformer", "xor:5A", SHALE_OK, "transformer", "xor:5A"},
        {"transformer", "xor:5", SHALE_INVALID, NULL, NULL},
        {"no_such_setting", "1", SHALE_INVALID, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        shale_error err = {0};
        shale_options *o = shale_options_new();
        shale_code rc = shale_options_set(o, cases[i].name, cases[i].value, &err);
        if (rc != cases[i].want)
            fail_msg("%s = %s: %s %s", cases[i].name, cases[i].value, shale_code_name(rc),
                     err.text);
        if (rc == SHALE_OK) {
            struct found f = look_up(o, cases[i].setting);
            if (strcmp(f.value, cases[i].shown) != 0 || strcmp(f.origin, "set") != 0)
                fail_msg("%s = %s: shown %s from %s", cases[i].name, cases[i].value, f.value,
                         f.origin);
        } else {
            assert_true(strlen(err.text) > 0);
        }
        shale_options_free(o);
    }
}

static void test_typed_setters(void **state)
{
    (void)state;
    shale_error err;
    shale_options *o = shale_options_new();
    assert_int_equal(shale_options_set_bool(o, "wal_enabled", false, &err), SHALE_OK);
    assert_int_equal(shale_options_set_u64(o, "l0_sst_size_bytes", 12345, &err), SHALE_OK);
    assert_int_equal(shale_options_set_duration_ms(o, "flush_interval", 1500, &err), SHALE_OK);
    assert_string_equal(look_up(o, "wal_enabled").value, "false");
    assert_string_equal(look_up(o, "l0_sst_size_bytes").value, "12345");
    assert_string_equal(look_up(o, "flush_interval").value, "1s+500ms");
    assert_int_equal(shale_options_set_u64(o, "flush_interval", 5, &err),
                     SHALE_INVALID); /* five what? */
    assert_int_equal(shale_options_set_store(o, "local_fsync", "off", &err), SHALE_OK);
    assert_int_equal(shale_options_set_store(o, "local_fsyn", "off", &err), SHALE_INVALID);
    assert_int_equal(shale_options_set_store(o, "latency_ms", "x", &err), SHALE_INVALID);
    shale_options_free(o);
}

static void test_files_of_each_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        shale_code want;
    } files[] = {
        {"a.json",
         "{\"flush_interval\":\"7ms\",\"compactor_options\":{\"poll_interval\":\"2s\"},\"l0_max_"
         "ssts\":9}",
         SHALE_OK},
        {"a.toml",
         "flush_interval = \"7ms\"\nl0_max_ssts = 9\n[compactor_options]\npoll_interval = \"2s\"\n",
         SHALE_OK},
        {"a.yaml", "flush_interval: 7ms\nl0_max_ssts: 9\ncompactor_options:\n  poll_interval: 2s\n",
         SHALE_OK},
        {"a.yml", "flush_interval: 7ms\nl0_max_ssts: 9\ncompactor_options:\n  poll_interval: 2\n",
         SHALE_OK}, /* bare: seconds */
        {"a.txt", "flush_interval: 7ms\n", SHALE_INVALID},
        {"b.json", "{\"flush_intervall\":\"7ms\"}", SHALE_INVALID},
        {"c.json", "{", SHALE_INVALID},
    };
    char folder[] = "/tmp/shale-api-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[128];
        shale_error err = {0};
        shale_options *o = shale_options_new();
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(files[i].text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        shale_code rc = shale_options_load_file(o, path, &err);
        if (rc != files[i].want)
            fail_msg("%s: %s %s", files[i].name, shale_code_name(rc), err.text);
        if (rc == SHALE_OK) {
            assert_string_equal(look_up(o, "flush_interval").value, "7ms");
            assert_memory_equal(look_up(o, "flush_interval").origin, path, strlen(path));
            assert_string_equal(look_up(o, "compactor_options.poll_interval").value, "2s");
            assert_string_equal(look_up(o, "l0_max_ssts").value, "9");
        } else {
            assert_non_null(strstr(err.text, files[i].name));
        }
        shale_options_free(o);
        assert_int_equal(unlink(path), 0);
    }
    shale_error err;
    shale_options *o = shale_options_new();
    assert_int_equal(shale_options_load_file(o, "/nonexistent/x.json", &err), SHALE_NOT_FOUND);
    shale_options_free(o);
    assert_int_equal(rmdir(folder), 0);
}

static shale_db *open_memory(const shale_options *o)
{
    shale_db *db = NULL;
    shale_error err;
    if (shale_db_open(&db, "memory:", o, &err) != SHALE_OK)
        fail_msg("open: %s", err.text);
    return db;
}

static void check_value(shale_db *db, const char *key, const char *want)
{
    shale_error err = {0};
    shale_pinned p = {0};
    char copy[8];
    size_t len = 0;
    shale_code rc = shale_db_get(&p, db, shale_str(key), NULL, &err);
    if (want == NULL) {
        assert_int_equal(rc, SHALE_NOT_FOUND);
        assert_string_equal(err.text, "");
        return;
    }
    assert_int_equal(rc, SHALE_OK);
    assert_int_equal(p.value.len, strlen(want));
    assert_memory_equal(p.value.data, want, p.value.len);
    assert_int_equal(shale_db_get_into(db, shale_str(key), copy, sizeof copy, &len, NULL, &err),
                     SHALE_OK);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(copy, want, len < sizeof copy ? len : sizeof copy);
    shale_pinned_release(&p);
    shale_pinned_release(&p); /* twice is fine */
}

/* ---- all settings as one text */

static void says(const char *json, const char *part)
{
    if (strstr(json, part) == NULL)
        fail_msg("no %s in %s", part, json);
}

static void test_settings_as_json_and_back(void **state)
{
    (void)state;
    shale_error err = {0};
    shale_options *o = shale_options_new(), *again = shale_options_new();
    char *first, *second;
    assert_int_equal(shale_options_to_json(&first, o, &err), SHALE_OK);
    says(first, "{\"flush_interval\":\"100ms\",\"wal_enabled\":true,");
    says(first, "\"l0_sst_size_bytes\":67108864,");
    says(first, "\"compression_codec\":null,");
    says(first, "\"scheduler_options\":{\"min_compaction_sources\":\"4\"");
    says(first, "\"include_size_threshold\":\"4\"");
    says(first, "\"manifest_options\":{\"interval\":\"600s\",\"min_age\":\"300s\","
                "\"dry_run\":false}");
    says(first, "\"root\":null");
    says(first, "\"max_subcompactions\":4,\"min_filter_keys\":1000,");
    shale_text_free(first);
    assert_int_equal(shale_options_set(o, "min_filter_keys", "5", &err), SHALE_OK);
    assert_int_equal(shale_options_to_json(&first, o, &err), SHALE_OK);
    says(first, "\"max_subcompactions\":4,\"min_filter_keys\":5,"); /* the worker's, as it holds */
    shale_text_free(first);
    assert_int_equal(shale_options_set(o, "flush_interval", "none", &err), SHALE_OK);
    assert_int_equal(shale_options_set(o, "compression_codec", "zstd", &err), SHALE_OK);
    assert_int_equal(shale_options_set(o, "compactor_options.worker", "none", &err), SHALE_OK);
    assert_int_equal(shale_options_set(o, "garbage_collector_options", "none", &err), SHALE_OK);
    assert_int_equal(shale_options_set(o, "block_cache_bytes", "3MiB", &err), SHALE_OK);
    assert_int_equal(shale_options_set(o, "root", "/srv/a \"b\"", &err), SHALE_OK);
    assert_int_equal(shale_options_to_json(&first, o, &err), SHALE_OK);
    says(first, "\"flush_interval\":null");
    says(first, "\"compression_codec\":\"Zstd\"");
    says(first, "\"worker\":null");
    says(first, "\"garbage_collector_options\":null");
    says(first, "\"block_cache_bytes\":3145728");
    assert_int_equal(shale_options_load_json(again, first, &err), SHALE_OK);
    assert_int_equal(shale_options_to_json(&second, again, &err), SHALE_OK);
    assert_string_equal(first, second);
    assert_int_equal(shale_options_load_json(again, "{\"l0_max_sst\":1}", &err), SHALE_INVALID);
    says(err.text, "l0_max_ssts");
    assert_int_equal(shale_options_load_json(again, "[1", &err), SHALE_INVALID);
    assert_int_equal(shale_options_load_json(again, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_options_to_json(NULL, again, &err), SHALE_INVALID);
    shale_text_free(first);
    shale_text_free(second);
    shale_options_free(o);
    shale_options_free(again);
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_settings_from_a_prefix_and_from_slatedbs_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/shale-api-XXXXXX";
    char before[4096];
    shale_error err = {0};
    shale_options *o = shale_options_new();
    char *json;
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    put_file("SlateDb.json", "{\"l0_max_ssts\":11,\"min_filter_keys\":11}");
    put_file("SlateDb.yml", "min_filter_keys: 22\nmax_unflushed_bytes: 222222222\n");
    assert_int_equal(setenv("SLATEDB_MAX_UNFLUSHED_BYTES", "333333333", 1), 0);
    assert_int_equal(shale_options_load(o, &err), SHALE_OK);
    assert_int_equal(shale_options_to_json(&json, o, &err), SHALE_OK);
    says(json, "\"l0_max_ssts\":11,");
    says(json, "\"min_filter_keys\":22,");
    says(json, "\"max_unflushed_bytes\":333333333,");
    shale_text_free(json);
    assert_int_equal(unsetenv("SLATEDB_MAX_UNFLUSHED_BYTES"), 0);
    put_file("SlateDb.toml", "l0_max_ssts = many\n");
    assert_int_equal(shale_options_load(o, &err), SHALE_INVALID);
    says(err.text, "SlateDb.toml");
    assert_int_equal(unlink("SlateDb.json") + unlink("SlateDb.yml") + unlink("SlateDb.toml"), 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rmdir(folder), 0);

    assert_int_equal(setenv("APP_L0_MAX_SSTS", "44", 1), 0);
    assert_int_equal(shale_options_load_env_prefix(o, "APP_", &err), SHALE_OK);
    assert_int_equal(shale_options_to_json(&json, o, &err), SHALE_OK);
    says(json, "\"l0_max_ssts\":44,");
    shale_text_free(json);
    assert_int_equal(unsetenv("APP_L0_MAX_SSTS"), 0);
    assert_int_equal(shale_options_load_env_prefix(o, "", &err), SHALE_INVALID);
    shale_options_free(o);
}

/* ---- origins, store options, groups of files */

struct beaten {
    const char *name;
    char value[64], origin[100], beaten[64], beaten_origin[100];
};

static bool look_beaten(void *ctx, const shale_option_info *info)
{
    struct beaten *b = ctx;
    if (strcmp(info->name, b->name) != 0)
        return true;
    (void)snprintf(b->value, sizeof b->value, "%s", info->value);
    (void)snprintf(b->origin, sizeof b->origin, "%s", info->origin);
    if (info->beaten_value != NULL) {
        (void)snprintf(b->beaten, sizeof b->beaten, "%s", info->beaten_value);
        (void)snprintf(b->beaten_origin, sizeof b->beaten_origin, "%s", info->beaten_origin);
    }
    return false;
}

static void write_file(char path[128], const char *folder, const char *text)
{
    (void)snprintf(path, 128, "%s/settings.toml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_values_remember_where_they_came_from_and_what_they_beat(void **state)
{
    (void)state;
    char folder[] = "/tmp/shale-api-XXXXXX";
    char path[128], at[160];
    shale_error err = {0};
    shale_options *o = shale_options_new();
    assert_non_null(mkdtemp(folder));
    write_file(path, folder,
               "flush_interval = \"2ms\"\n[storage]\naws_region = \"eu-west-1\"\n"
               "[profile.dev]\nflush_interval = \"3ms\"\n[profile.dev.storage]\n"
               "aws_secret_access_key = \"hush-hush\"\n[profile.other]\nnonsense = 1\n");
    assert_int_equal(shale_options_use_profile(o, "d.v", &err), SHALE_INVALID);
    assert_int_equal(shale_options_use_profile(o, "dev", &err), SHALE_OK);
    assert_false(shale_options_profile_found(o));
    assert_int_equal(shale_options_load_file(o, path, &err), SHALE_OK);
    assert_true(shale_options_profile_found(o));
    struct beaten b = {.name = "flush_interval"};
    shale_options_each(o, look_beaten, &b);
    (void)snprintf(at, sizeof at, "%s line 5", path);
    assert_string_equal(b.value, "3ms");
    assert_string_equal(b.origin, at);
    assert_string_equal(b.beaten, "2ms");
    shale_options_set_origin(o, "--set");
    assert_int_equal(shale_options_set(o, "flush_interval", "4ms", &err), SHALE_OK);
    shale_options_each(o, look_beaten, &b);
    assert_string_equal(b.origin, "--set");
    assert_string_equal(b.beaten, "3ms");
    assert_string_equal(b.beaten_origin, at);

    shale_options_set_origin(o, "--region");
    assert_int_equal(shale_options_set_store(o, "region", "eu-west-2", &err), SHALE_OK);
    struct beaten region = {.name = "aws_region"};
    struct beaten secret = {.name = "aws_secret_access_key"};
    assert_int_equal(shale_options_set_store(o, "aws_access_key_id", "AKIA", &err), SHALE_OK);
    assert_int_equal(shale_options_each_store(o, "s3://b/db", look_beaten, &region, &err),
                     SHALE_OK);
    assert_string_equal(region.value, "eu-west-2");
    assert_string_equal(region.origin, "--region");
    assert_string_equal(region.beaten, "eu-west-1");
    assert_int_equal(shale_options_each_store(o, NULL, look_beaten, &secret, &err), SHALE_OK);
    assert_string_equal(secret.value, "set (9 characters)");
    struct beaten fsync = {.name = "local_fsync"};
    assert_int_equal(shale_options_each_store(o, "/srv/db", look_beaten, &fsync, &err), SHALE_OK);
    assert_string_equal(fsync.origin, "default");
    assert_int_equal(shale_options_each_store(o, "s3:/b", look_beaten, &fsync, &err),
                     SHALE_INVALID);
    shale_options_free(o);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static bool count_findings(void *ctx, const shale_finding *f)
{
    unsigned *counts = ctx;
    assert_non_null(f->what);
    assert_non_null(f->measured);
    assert_non_null(f->fix);
    counts[f->health]++;
    return true;
}

static void test_the_doctor_and_making_folders(void **state)
{
    (void)state;
    char folder[] = "/tmp/shale-api-XXXXXX";
    char path[128];
    unsigned counts[3] = {0};
    shale_error err = {0};
    shale_store *store = NULL;
    assert_int_equal(shale_store_open(&store, "memory:", NULL, &err), SHALE_OK);
    assert_int_equal(shale_store_doctor(store, count_findings, counts, &err), SHALE_OK);
    assert_true(counts[SHALE_HEALTH_OK] > 8);
    assert_int_equal(counts[SHALE_HEALTH_WARN] + counts[SHALE_HEALTH_FAIL], 0);
    assert_int_equal(shale_store_doctor(store, NULL, NULL, &err), SHALE_INVALID);
    shale_store_close(store);
    assert_int_equal(shale_store_doctor(NULL, count_findings, counts, &err), SHALE_INVALID);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/bucket", folder);
    assert_int_equal(shale_store_make_bucket(path, NULL, &err), SHALE_OK);
    assert_int_equal(shale_store_make_bucket(path, NULL, &err), SHALE_ALREADY_EXISTS);
    assert_int_equal(shale_store_make_bucket(NULL, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_store_make_bucket("s3:/x", NULL, &err), SHALE_INVALID);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_near_databases_are_suggested(void **state)
{
    (void)state;
    shale_error err = {0};
    shale_db *db = NULL;
    assert_int_equal(shale_db_open(&db, "memory:///shop/orders?name=near", NULL, &err), SHALE_OK);
    shale_db *reader = NULL;
    assert_int_equal(
        shale_db_open_reader(&reader, "memory:///shop/oders?name=near", NULL, NULL, &err),
        SHALE_NOT_FOUND);
    assert_non_null(strstr(err.text, "did you mean "));
    assert_non_null(strstr(err.text, "shop/orders?"));
    assert_int_equal(
        shale_db_open_reader(&reader, "memory:///shop/quite-else?name=near", NULL, NULL, &err),
        SHALE_NOT_FOUND);
    assert_null(strstr(err.text, "did you mean "));
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void count_library(void *ctx, const char *name, const char *version)
{
    assert_true(name[0] != '\0' && version[0] != '\0');
    ++*(unsigned *)ctx;
}

static void test_libraries_are_named(void **state)
{
    (void)state;
    unsigned count = 0;
    shale_libraries_each(count_library, &count);
    assert_true(count >= 8);
}

static void test_rows_go_through_unchanged(void **state)
{
    (void)state;
    shale_error err;
    shale_db *db = open_memory(NULL);
    shale_batch *batch = shale_batch_new();
    shale_write_result result = {0};
    shale_write_options how;
    shale_write_options_init(&how, sizeof how);
    how.result = &result;
    assert_int_equal(shale_db_put(db, SHALE_STR("a"), SHALE_STR("one"), &how, &err), SHALE_OK);
    assert_int_equal(result.seq, 1);
    assert_true(result.create_ts > 0);
    assert_int_equal(shale_db_write(db, batch, NULL, &err), SHALE_INVALID); /* empty */
    shale_batch_put(batch, SHALE_STR("b"), SHALE_STR(""));
    shale_batch_put_ttl(batch, SHALE_STR("c"), SHALE_STR("far longer than the copy"),
                        SHALE_TTL_AT_MS, INT64_C(4102444800000));
    shale_batch_delete(batch, SHALE_STR("a"));
    assert_int_equal(shale_batch_count(batch), 3);
    assert_int_equal(shale_db_write(db, batch, &how, &err), SHALE_OK);
    assert_int_equal(result.seq, 2);
    check_value(db, "a", NULL);
    check_value(db, "b", "");
    check_value(db, "c", "far longer than the copy");
    shale_pinned p = {0};
    assert_int_equal(shale_db_get(&p, db, SHALE_STR("c"), NULL, &err), SHALE_OK);
    assert_true(p.has_expire_ts);
    assert_int_equal(p.expire_ts, INT64_C(4102444800000));
    shale_pinned_release(&p);
    shale_batch_free(batch);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void test_many_keys_at_once(void **state)
{
    (void)state;
    shale_error err;
    shale_db *db = open_memory(NULL);
    assert_int_equal(shale_db_put(db, SHALE_STR("a"), SHALE_STR("one"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_put(db, SHALE_STR("c"), SHALE_STR(""), NULL, &err), SHALE_OK);
    const shale_slice keys[] = {SHALE_STR("c"), SHALE_STR("b"), SHALE_STR("a"), SHALE_STR("a")};
    shale_pinned out[4] = {{{0}, 0, 0, 0, false, 0, NULL}};
    shale_code codes[4];
    assert_int_equal(shale_db_get_many(out, codes, db, keys, 4, NULL, &err), SHALE_OK);
    assert_int_equal(codes[0], SHALE_OK);
    assert_int_equal(out[0].value.len, 0);
    assert_int_equal(codes[1], SHALE_NOT_FOUND);
    for (int i = 2; i < 4; i++) {
        assert_int_equal(codes[i], SHALE_OK);
        assert_int_equal(out[i].value.len, 3);
        assert_memory_equal(out[i].value.data, "one", 3);
        assert_int_equal(out[i].seq, 1);
    }
    for (int i = 0; i < 4; i++)
        shale_pinned_release(&out[i]);
    assert_int_equal(shale_db_get_many(NULL, NULL, db, NULL, 0, NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_get_many(NULL, codes, db, keys, 4, NULL, &err), SHALE_INVALID);
    const shale_slice bad[] = {SHALE_STR("a"), SHALE_STR("")};
    assert_int_equal(shale_db_get_many(out, codes, db, bad, 2, NULL, &err), SHALE_INVALID);
    assert_null(out[0].owner);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void test_a_close_counts_its_own_requests(void **state)
{
    (void)state;
    shale_error err;
    shale_db *db = open_memory(NULL);
    shale_store_counts before = {.struct_size = sizeof before};
    shale_store_counts all = {.struct_size = sizeof all};
    assert_int_equal(shale_db_put(db, SHALE_STR("a"), SHALE_STR("one"), NULL, &err), SHALE_OK);
    shale_db_store_counts(db, &before);
    assert_int_equal(shale_db_close_counted(db, &all, &err), SHALE_OK);
    assert_true(all.put >= before.put + 2); /* an SSTable, the manifest */
    assert_true(all.cost_usd > before.cost_usd);
    assert_int_equal(shale_db_close_counted(NULL, &all, NULL), SHALE_OK);
    assert_int_equal(all.put, 0);
}

static void test_scans_and_seeks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        shale_range range;
        bool reverse;
        uint64_t rows_max;
        const char *want;
    } cases[] = {
        {"all", {{0}, {0}, SHALE_UNBOUNDED, SHALE_UNBOUNDED, {0}}, false, 0, "a1 a2 b1 b2 c1 "},
        {"reverse", {{0}, {0}, SHALE_UNBOUNDED, SHALE_UNBOUNDED, {0}}, true, 0, "c1 b2 b1 a2 a1 "},
        {"prefix", {{0}, {0}, SHALE_UNBOUNDED, SHALE_UNBOUNDED, {"b", 1}}, false, 0, "b1 b2 "},
        {"between",
         {{"a2", 2}, {"b2", 2}, SHALE_INCLUDED, SHALE_EXCLUDED, {0}},
         false,
         0,
         "a2 b1 "},
        {"excluded from, included to",
         {{"a2", 2}, {"b2", 2}, SHALE_EXCLUDED, SHALE_INCLUDED, {0}},
         false,
         0,
         "b1 b2 "},
        {"limit", {{0}, {0}, SHALE_UNBOUNDED, SHALE_UNBOUNDED, {0}}, false, 2, "a1 a2 "},
    };
    static const char *const keys[] = {"a1", "a2", "b1", "b2", "c1"};
    shale_error err;
    shale_db *db = open_memory(NULL);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(shale_db_put(db, shale_str(keys[i]), SHALE_STR("v"), NULL, &err),
                         SHALE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[64] = "";
        shale_iter *it = NULL;
        shale_row row;
        shale_scan_options how;
        shale_scan_options_init(&how, sizeof how);
        how.reverse = cases[i].reverse;
        how.rows_max = cases[i].rows_max;
        assert_int_equal(shale_db_scan(&it, db, cases[i].range, &how, &err), SHALE_OK);
        while (shale_iter_next(&row, it, &err) == SHALE_OK)
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)row.key.len,
                           (const char *)row.key.data);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: %s, want %s", cases[i].name, got, cases[i].want);
        shale_iter_close(it);
    }
    shale_iter *it = NULL;
    shale_row row;
    assert_int_equal(shale_db_scan(&it, db, shale_range_all(), NULL, &err), SHALE_OK);
    assert_int_equal(shale_iter_seek(it, SHALE_STR("b"), &err), SHALE_OK);
    assert_int_equal(shale_iter_next(&row, it, &err), SHALE_OK);
    assert_memory_equal(row.key.data, "b1", 2);
    assert_true(row.has_create_ts);
    shale_iter_close(it);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

/* Keeps the longer of the two. */
static shale_code longest(void *ctx, shale_slice key, const shale_slice *existing,
                          shale_slice operand, void (*emit)(void *emit_ctx, shale_slice result),
                          void *emit_ctx)
{
    (void)key;
    ++*(unsigned *)ctx;
    emit(emit_ctx, existing != NULL && existing->len >= operand.len ? *existing : operand);
    return SHALE_OK;
}

static void test_merge_operators_of_the_user_and_built_in(void **state)
{
    (void)state;
    unsigned calls = 0;
    shale_error err;
    shale_options *o = shale_options_new();
    shale_options_set_merge_operator(o, longest, &calls);
    shale_db *db = open_memory(o);
    shale_options_free(o); /* the database keeps what it needs */
    assert_int_equal(shale_db_merge(db, SHALE_STR("k"), SHALE_STR("aaa"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_merge(db, SHALE_STR("k"), SHALE_STR("b"), NULL, &err), SHALE_OK);
    check_value(db, "k", "aaa");
    assert_true(calls > 0);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
    o = shale_options_new();
    assert_int_equal(shale_options_set(o, "merge_operator", "concat", &err), SHALE_OK);
    db = open_memory(o);
    shale_options_free(o);
    assert_int_equal(shale_db_merge(db, SHALE_STR("k"), SHALE_STR("ab"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_merge(db, SHALE_STR("k"), SHALE_STR("c"), NULL, &err), SHALE_OK);
    check_value(db, "k", "abc");
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
    db = open_memory(NULL);
    assert_int_equal(shale_db_merge(db, SHALE_STR("k"), SHALE_STR("c"), NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static void test_a_reader_reads_and_does_not_write(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=test_api_reader";
    shale_error err;
    shale_db *writer = NULL;
    shale_db *reader = NULL;
    assert_int_equal(shale_db_open_reader(&reader, url, NULL, NULL, &err), SHALE_NOT_FOUND);
    assert_int_equal(shale_db_open(&writer, url, NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_put(writer, SHALE_STR("k"), SHALE_STR("v"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_open_reader(&reader, url, NULL, NULL, &err), SHALE_OK);
    check_value(reader, "k", "v");
    assert_int_equal(shale_db_put(reader, SHALE_STR("k"), SHALE_STR("v"), NULL, &err),
                     SHALE_INVALID);
    assert_int_equal(shale_db_put(writer, SHALE_STR("k2"), SHALE_STR("v2"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_refresh(reader, &err), SHALE_OK);
    check_value(reader, "k2", "v2");
    shale_store_counts n = {.struct_size = sizeof n};
    shale_db_store_counts(reader, &n);
    assert_int_equal(n.put, 0);
    assert_true(n.get > 0);
    assert_int_equal(shale_db_close(reader, &err), SHALE_OK);
    shale_db *second = NULL;
    assert_int_equal(shale_db_open(&second, url, NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_put(writer, SHALE_STR("k3"), SHALE_STR("v3"), NULL, &err),
                     SHALE_FENCED);
    assert_int_equal(shale_db_close(writer, &err), SHALE_OK); /* after fencing nothing is flushed */
    check_value(second, "k2", "v2");
    assert_int_equal(shale_db_close(second, &err), SHALE_OK);
}

static void test_metrics_and_admin_are_text(void **state)
{
    (void)state;
    static const char url[] = "memory://?name=test_api_admin";
    shale_error err;
    shale_db *db = NULL;
    char *text = NULL;
    assert_int_equal(shale_db_open(&db, url, NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err), SHALE_OK);
    assert_int_equal(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err), SHALE_OK);
    text = shale_db_metrics_json(db);
    assert_non_null(strstr(text, "slatedb.db.l0_sst_count"));
    shale_text_free(text);
    text = shale_db_metrics_prometheus(db);
    assert_non_null(strstr(text, "\nslatedb_db_l0_sst_count 1\n"));
    shale_text_free(text);
    assert_int_equal(shale_db_explain(&text, db, SHALE_STR("k"), &err), SHALE_OK);
    assert_non_null(strstr(text, "\"answer\":\"value\",\"seq\":1,\"value_bytes\":1,"));
    shale_text_free(text);
    assert_int_equal(shale_db_explain(&text, db, SHALE_STR("none"), &err), SHALE_OK);
    assert_non_null(strstr(text, "\"answer\":\"no\",\"requests\":"));
    shale_text_free(text);
    assert_int_equal(shale_db_explain(&text, db, shale_bytes("", 0), &err), SHALE_INVALID);
    assert_int_equal(shale_db_explain(NULL, db, SHALE_STR("k"), &err), SHALE_INVALID);
    assert_int_equal(shale_admin_stat(&text, url, NULL, &err), SHALE_OK);
    assert_non_null(strstr(text, "\"rows_put\":1,"));
    shale_text_free(text);
    assert_int_equal(shale_admin_manifest(&text, url, NULL, 0, &err), SHALE_OK);
    shale_text_free(text);
    assert_int_equal(shale_admin_manifests(&text, url, NULL, &err), SHALE_OK);
    assert_non_null(strstr(text, "{\"id\":1,"));
    shale_text_free(text);
    assert_int_equal(shale_admin_sst(&text, url, NULL, "no ulid", false, &err), SHALE_INVALID);
    assert_int_equal(shale_admin_wal(&text, url, NULL, 0, &err), SHALE_OK);
    shale_text_free(text);
    assert_int_equal(shale_admin_manifest(&text, "memory:", NULL, 0, &err), SHALE_NOT_FOUND);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
}

static bool count_object(void *ctx, const shale_object *object)
{
    ++*(unsigned *)ctx;
    return object->key != NULL;
}

struct ticks {
    shale_compactor *compactor;
    unsigned calls, stop_after;
    shale_compactor_status last;
};

static bool count_ticks(void *ctx, const shale_compactor_status *now)
{
    struct ticks *t = ctx;
    t->last = *now;
    return ++t->calls == t->stop_after;
}

static void *stop_soon(void *ctx)
{
    shale_compactor_stop(ctx);
    return NULL;
}

/* A compactor without a writer: once, until it is stopped, on request; a merge operator of the user is used. */
static void test_compactors_of_their_own(void **state)
{
    static const char url[] = "memory://?name=test_api_compactor";
    shale_error err;
    shale_db *db;
    char *text = NULL;
    struct ticks ticks = {.stop_after = 0};
    shale_compactor *c = NULL;
    shale_compactor_options how;
    shale_compact_options now;
    shale_store_counts counts = {.struct_size = sizeof counts};
    pthread_t other;
    unsigned calls = 0;
    (void)state;
    shale_options *o = shale_options_new();
    shale_options_set_merge_operator(o, longest, &calls);
    assert_int_equal(shale_options_set(o, "compactor_options", "none", &err), SHALE_OK);
    assert_int_equal(shale_admin_compactions(&text, url, o, 0, &err), SHALE_NOT_FOUND);
    assert_int_equal(shale_db_open(&db, url, o, &err), SHALE_OK);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(shale_db_merge(db, shale_str("k"), shale_bytes("dddd", i + 1), NULL, &err),
                         SHALE_OK);
        assert_int_equal(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err), SHALE_OK);
    }
    calls = 0;
    shale_compactor_options_init(&how, sizeof how);
    how.once = true;
    how.tick = count_ticks;
    how.tick_ctx = &ticks;
    assert_int_equal(shale_compactor_open(&c, url, o, &how, &err), SHALE_OK);
    assert_int_equal(shale_compactor_run(c, &err), SHALE_OK);
    assert_int_equal(ticks.last.committed, 1);
    assert_true(calls > 0);
    assert_int_equal(ticks.last.epoch, 1);
    shale_compactor_store_counts(c, &counts);
    assert_true(counts.put > 0);
    shale_compactor_close(c);
    shale_compactor_close(NULL);
    shale_compactor_stop(NULL);
    /* In a loop: stopped by its own tick, and by another thread. */
    how.once = false;
    ticks = (struct ticks){.stop_after = 2};
    assert_int_equal(shale_compactor_open(&c, url, o, &how, &err), SHALE_OK);
    assert_int_equal(shale_compactor_run(c, &err), SHALE_OK);
    shale_compactor_close(c);
    how.tick = NULL;
    assert_int_equal(shale_compactor_open(&c, url, o, &how, &err), SHALE_OK);
    assert_int_equal(pthread_create(&other, NULL, stop_soon, c), 0);
    assert_int_equal(shale_compactor_run(c, &err), SHALE_OK);
    assert_int_equal(pthread_join(other, NULL), 0);
    shale_compactor_close(c);
    how.no_coordinator = how.no_worker = true;
    assert_int_equal(shale_compactor_open(&c, url, o, &how, &err), SHALE_INVALID);
    /* On request; the coordinators above are gone. */
    shale_compact_options_init(&now, sizeof now);
    now.take_over_ms = 1;
    assert_int_equal(shale_compact(&text, url, o, "\"Full\"", &now, &err), SHALE_OK);
    assert_non_null(strstr(text, "\"status\":\"Completed\""));
    shale_text_free(text);
    assert_int_equal(shale_compact(NULL, url, o, NULL, &now, &err), SHALE_OK);
    assert_int_equal(shale_compact(&text, url, o, "\"Half\"", &now, &err), SHALE_INVALID);
    assert_int_equal(shale_compact(&text, "memory:", o, "\"Full\"", &now, &err), SHALE_NOT_FOUND);
    assert_int_equal(shale_admin_compactions(&text, url, o, 0, &err), SHALE_OK);
    assert_non_null(strstr(text, "\"recent_compactions\":{\""));
    shale_text_free(text);
    assert_int_equal(shale_admin_compaction(&text, url, o, "x", &err), SHALE_INVALID);
    assert_int_equal(shale_db_refresh(db, &err), SHALE_OK);
    shale_pinned value = {0};
    assert_int_equal(shale_db_get(&value, db, shale_str("k"), NULL, &err), SHALE_OK);
    assert_int_equal(value.value.len, 4);
    shale_pinned_release(&value);
    assert_int_equal(shale_db_close(db, &err), SHALE_OK);
    shale_options_free(o);
}

static void test_raw_objects(void **state)
{
    (void)state;
    shale_error err;
    shale_store *s = NULL;
    shale_object object = {0};
    void *data = NULL;
    size_t len = 0;
    unsigned count = 0;
    assert_int_equal(shale_store_open(&s, "memory:", NULL, &err), SHALE_OK);
    assert_int_equal(shale_store_put(s, "a/b", SHALE_STR("body"), true, &err), SHALE_OK);
    assert_int_equal(shale_store_put(s, "a/b", SHALE_STR("body"), true, &err),
                     SHALE_ALREADY_EXISTS);
    assert_int_equal(shale_store_copy(s, "a/b", "ab", &err), SHALE_OK);
    assert_int_equal(shale_store_head(s, "ab", &object, &err), SHALE_OK);
    assert_int_equal(object.size, 4);
    assert_int_equal(shale_store_get(s, "ab", &data, &len, &err), SHALE_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "body", 4);
    shale_store_body_free(data);
    assert_int_equal(shale_store_list(s, NULL, count_object, &count, &err), SHALE_OK);
    assert_int_equal(count, 2);
    assert_int_equal(shale_store_delete(s, "ab", &err), SHALE_OK);
    assert_int_equal(shale_store_get(s, "ab", &data, &len, &err), SHALE_NOT_FOUND);
    shale_store_counts n = {.struct_size = sizeof n};
    shale_store_counts_get(s, &n);
    assert_int_equal(n.put, 2);
    assert_true(n.cost_usd > 0);
    shale_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_of_the_table_are_those_of_the_engine),
        cmocka_unit_test(test_settings_take_what_they_should),
        cmocka_unit_test(test_settings_as_json_and_back),
        cmocka_unit_test(test_settings_from_a_prefix_and_from_slatedbs_files),
        cmocka_unit_test(test_typed_setters),
        cmocka_unit_test(test_files_of_each_kind),
        cmocka_unit_test(test_values_remember_where_they_came_from_and_what_they_beat),
        cmocka_unit_test(test_the_doctor_and_making_folders),
        cmocka_unit_test(test_near_databases_are_suggested),
        cmocka_unit_test(test_libraries_are_named),
        cmocka_unit_test(test_rows_go_through_unchanged),
        cmocka_unit_test(test_many_keys_at_once),
        cmocka_unit_test(test_a_close_counts_its_own_requests),
        cmocka_unit_test(test_scans_and_seeks),
        cmocka_unit_test(test_merge_operators_of_the_user_and_built_in),
        cmocka_unit_test(test_a_reader_reads_and_does_not_write),
        cmocka_unit_test(test_metrics_and_admin_are_text),
        cmocka_unit_test(test_compactors_of_their_own),
        cmocka_unit_test(test_raw_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
