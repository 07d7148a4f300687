/* Goal: URLs and paths lead to the right store and the right path in it, and bad ones to an error that says how to write them.
 * Method: tables over shl_store_open_url and shl_store_open_raw; nothing is written. */
#include "store/memory.h"
#include "store/open.h"
#include "base/env/env.h"
#include "base/num.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct shl_store_option keys[] = {{.key = "aws_access_key_id", .value = "A"},
                                               {.key = "aws_secret_access_key", .value = "B"}};

static void expand(char out[1024], const char *text, const char *cwd)
{
    const char *mark = strchr(text, '@'); /* stands for the current folder */
    if (mark == NULL)
        snprintf(out, 1024, "%s", text);
    else
        snprintf(out, 1024, "%.*s%s%s", (int)(mark - text), text, cwd, mark + 1);
}

static void test_databases_are_split_from_their_bucket(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *root;  /* --root, or NULL */
        const char *store; /* name of the store that is opened */
        const char *path;
    } rows[] = {
        {"memory", NULL, "memory:", ""},
        {"memory:", NULL, "memory:", ""},
        {"memory://", NULL, "memory:", ""},
        {"memory:///a/b", NULL, "memory:", "a/b"},
        {"memory://?name=x", NULL, "memory://?name=x", ""},
        {"memory:///db?name=x%20y", NULL, "memory://?name=x y", "db"},
        {"file:///srv/db", NULL, "file:///srv", "db"},
        {"file:///srv/a%20b%23", NULL, "file:///srv", "a b#"},
        {"FILE:///db/", NULL, "file:///", "db"},
        {"/srv//x/./db/", NULL, "file:///srv/x", "db"},
        {"/nowhere/x/../db", NULL, "file:///nowhere", "db"},
        {"/srv/a%20b", NULL, "file:///srv", "a%20b"},
        {"db", NULL, "file://@", "db"},
        {"./db", NULL, "file://@", "db"},
        {"a:b", NULL, "file://@", "a:b"},
        {"./memory", NULL, "file://@", "memory"},
        {"file:///srv/a/b", "/srv", "file:///srv", "a/b"},
        {"/srv/a/b", "file:///srv/", "file:///srv", "a/b"},
        {"/srv/a", "/", "file:///", "srv/a"},
    };
    char *cwd;
    assert_int_equal(env_getcwd(&cwd), 0);
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store_config config = {.root = rows[i].root};
        struct shl_store *s;
        char *path;
        char want[1024];
        shale_error err;
        shale_code rc = shl_store_open_url(rows[i].url, &config, &s, &path, &err);
        if (rc != SHALE_OK)
            fail_msg("%s: %s", rows[i].url, err.text);
        expand(want, rows[i].store, cwd);
        assert_string_equal(s->name, want);
        assert_string_equal(path, rows[i].path);
        shl_store_unref(s);
        env_free(path);
    }
    env_free(cwd);
    shl_store_memory_forget("x");
    shl_store_memory_forget("x y");
}

static void test_bad_urls_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *root;
        shale_code code;
        const char *text;
    } rows[] = {
        {"", NULL, SHALE_INVALID, "it is empty"},
        {"s3:/acme/orders", NULL, SHALE_INVALID,
         "bad URL: \"s3:/acme/orders\": one slash is missing after \"s3:\""},
        {"s3:acme", NULL, SHALE_INVALID, "slashes are missing"},
        {"file:/srv/db", NULL, SHALE_INVALID, "file:///srv/db"},
        {"file://srv/db", NULL, SHALE_INVALID, "no host"},
        {"file:///srv/db?x=1", NULL, SHALE_INVALID, "%3F"},
        {"file:///srv/%00", NULL, SHALE_INVALID, "%00"},
        {"file:///", NULL, SHALE_INVALID, "a folder of its own"},
        {"/", NULL, SHALE_INVALID, "a folder of its own"},
        {"memory://host/x", NULL, SHALE_INVALID, "no host"},
        {"memory://?nam=x", NULL, SHALE_INVALID, "name="},
        {"memory://?name=", NULL, SHALE_INVALID, "name="},
        {"memory:/x", NULL, SHALE_INVALID, "one slash is missing"},
        {"sr3://b/p", NULL, SHALE_INVALID, "did you mean s3://"},
        {"zzzzzz://b/p", NULL, SHALE_INVALID, "unknown kind of store"},
        {"gs://b/p", NULL, SHALE_NOT_SUPPORTED, "not built yet in this version"},
        {"s3://", NULL, SHALE_INVALID, "the bucket is missing"},
        {"s3://b/p", "s3://c", SHALE_INVALID, "s3://c is not the bucket \"b\""},
        {"s3://b/p", "s3://b/q", SHALE_INVALID, "is not the bucket"},
        {"s3://b/p", "/srv", SHALE_INVALID, "s3://bucket"},
        {"s3://b/p", "memory:", SHALE_INVALID, "s3://bucket"},
        {"s3://ab/p", NULL, SHALE_INVALID, "\"ab\" is no bucket name"},
        {"s3://abc@c/p", NULL, SHALE_INVALID, "is no bucket name"},
        {"s3://-abc/p", NULL, SHALE_INVALID, "is no bucket name"},
        {"s3://user:pw@host/p", NULL, SHALE_INVALID, "is no bucket name"},
        {"s3://b--use1-az4--x-s3/p", NULL, SHALE_NOT_SUPPORTED, "directory bucket"},
        {"https://example.com/b/p", NULL, SHALE_INVALID, "AWS_ENDPOINT"},
        {"http://s3.amazonaws.com/b/p", NULL, SHALE_INVALID, "AWS_ENDPOINT"},
        {"https:/s3.amazonaws.com/b/p", NULL, SHALE_INVALID, "slash"},
        {"az://c/p", NULL, SHALE_NOT_SUPPORTED, "az://"},
        {"/srv/db", "/var", SHALE_INVALID, "/srv/db is not below the root /var"},
        {"/srvx/db", "/srv", SHALE_INVALID, "not below"},
        {"/srv", "/srv", SHALE_INVALID, "not below"},
        {"/srv/db", "memory:", SHALE_INVALID, "root must be a folder"},
        {"/srv/a\nb", NULL, SHALE_INVALID, "control character"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store_config config = {
            .root = rows[i].root, .options = keys, .option_count = SHL_COUNT_OF(keys)};
        struct shl_store *s;
        char *path;
        shale_error err;
        shale_code rc = shl_store_open_url(rows[i].url, &config, &s, &path, &err);
        if (rc != rows[i].code)
            fail_msg("%s: got %s", rows[i].url, shale_code_name(rc));
        if (strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].url, err.text, rows[i].text);
    }
}

static void test_a_raw_store_has_the_whole_path_as_root(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *store;
    } rows[] = {
        {"file:///srv/db", "file:///srv/db"}, {"file:///", "file:///"},
        {"/srv/x", "file:///srv/x"},          {"memory:", "memory:"},
        {"memory:///a/b", "memory:"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store_config config = {0};
        struct shl_store *s;
        shale_error err;
        assert_int_equal(shl_store_open_raw(rows[i].url, &config, &s, &err), SHALE_OK);
        assert_string_equal(s->name, rows[i].store);
        shl_store_unref(s);
    }
}

static void test_options_are_checked_by_name_and_value(void **state)
{
    (void)state;
    static const struct {
        struct shl_store_option option;
        const char *text; /* NULL: fine */
    } rows[] = {
        {{"local_fsync", "on", NULL}, NULL},
        {{"LOCAL_FSYNC", "No", NULL}, NULL},
        {{"local_fsync", "0", NULL}, NULL},
        {{"local_fsync", "maybe", NULL}, "\"maybe\" is neither on nor off"},
        {{"local_fsink", "on", NULL}, "did you mean local_fsync"},
        {{"quite_different", "on", NULL}, "unknown store option \"quite_different\""},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store_config config = {.options = &rows[i].option, .option_count = 1};
        static const char *const urls[] = {"file:///srv/db", "memory:"};
        for (size_t j = 0; j < SHL_COUNT_OF(urls); j++) {
            struct shl_store *s = NULL;
            shale_error err;
            shale_code rc = shl_store_open_raw(urls[j], &config, &s, &err);
            assert_int_equal(rc, rows[i].text == NULL ? SHALE_OK : SHALE_INVALID);
            if (rows[i].text != NULL)
                assert_non_null(strstr(err.text, rows[i].text));
            shl_store_unref(s);
        }
    }
}

/* For a database the store is the bucket, and what follows the path in it; a raw store is narrowed to its path. */
static void test_s3_urls_lead_to_their_bucket(void **state)
{
    (void)state;
    static const struct {
        const char *url, *root, *path;
    } rows[] = {
        {"s3://bucket/a/b", NULL, "a/b"},
        {"s3a://bucket/a%20b", NULL, "a b"},
        {"s3://bucket", NULL, ""},
        {"s3://bucket/a", "s3://bucket", "a"},
        {"s3://bucket/a", "s3a://bucket/", "a"},
        {"https://s3.eu-west-1.amazonaws.com/bucket/a", NULL, "a"},
        {"https://bucket.s3.dualstack.eu-west-1.amazonaws.com/a", NULL, "a"},
        {"https://acc.r2.cloudflarestorage.com/bucket/a/b/", NULL, "a/b"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_store_config config = {
            .root = rows[i].root, .options = keys, .option_count = SHL_COUNT_OF(keys)};
        struct shl_store *s;
        char *path;
        shale_error err;
        if (shl_store_open_url(rows[i].url, &config, &s, &path, &err) != SHALE_OK)
            fail_msg("%s: %s", rows[i].url, err.text);
        assert_string_equal(s->name, "s3://bucket");
        assert_string_equal(path, rows[i].path);
        shl_store_unref(s);
        env_free(path);
        config.root = NULL;
        assert_int_equal(shl_store_open_raw(rows[i].url, &config, &s, &err), SHALE_OK);
        assert_non_null(strstr(s->name, "s3://bucket"));
        shl_store_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_databases_are_split_from_their_bucket),
        cmocka_unit_test(test_bad_urls_say_what_is_wrong),
        cmocka_unit_test(test_a_raw_store_has_the_whole_path_as_root),
        cmocka_unit_test(test_options_are_checked_by_name_and_value),
        cmocka_unit_test(test_s3_urls_lead_to_their_bucket),
    };
    /* No credentials, profiles and regions but those of the tests. */
    static const char *const unset[] = {"AWS_ACCESS_KEY_ID",   "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",   "AWS_PROFILE",
                                        "AWS_REGION",          "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT",        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3", "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE"};
    for (size_t i = 0; i < SHL_COUNT_OF(unset); i++)
        (void)unsetenv(unset[i]);
    (void)setenv("HOME", "/nonexistent", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
