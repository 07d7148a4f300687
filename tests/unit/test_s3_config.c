/* Goal: each option of an S3 store comes from the right place, says where it came from, and no secret is shown. Method: own HOME, own environment, tables. */
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "store/open.h"
#include "store/s3_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char home[64];

static void clear_environment(void)
{
    for (;;) {
        char name[256];
        char **e = env_environ();
        while (*e != NULL && strncmp(*e, "AWS_", 4) != 0)
            e++;
        if (*e == NULL)
            break;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
        assert_int_equal(unsetenv(name), 0);
    }
    assert_int_equal(setenv("HOME", home, 1), 0);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.aws/%s", home, name);
    if (text == NULL) {
        (void)unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Index of an option, by its canonical name. */
static size_t option_at(const char *name)
{
    for (size_t i = 0; i < shl_s3_option_count(); i++)
        if (strcmp(shl_s3_option_name(i), name) == 0)
            return i;
    fail_msg("no option %s", name);
    return 0;
}

static void option_text(const struct shl_s3_config *c, size_t i, char *out, size_t cap)
{
    struct shl_buf text = {0};
    shale_error err;
    assert_int_equal(shl_s3_option_text(c, i, &text, &err), SHALE_OK);
    assert_true(text.len < cap);
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    shl_buf_free(&text);
}

#define KEYS     "aws_access_key_id", "AKOPT", "aws_secret_access_key", "s3cr3t-opt"
#define ENV_KEYS "AWS_ACCESS_KEY_ID", "AKENV", "AWS_SECRET_ACCESS_KEY", "s3cr3t-env"
#define PAIRS    16

struct row {
    const char *name;
    const char *env[PAIRS];           /* name, value ... */
    const char *options[PAIRS];       /* key, value ... */
    const char *credentials, *config; /* files, or NULL */
    const char *url_region, *url_endpoint;
    const char *option; /* looked at */
    const char *want;   /* its text */
    const char *from;   /* NULL: the default */
    const char *beaten; /* text of the value before it, or NULL */
};

static shale_code load(const struct row *row, struct shl_s3_config *out, shale_error *err)
{
    struct shl_store_option options[PAIRS];
    size_t count = 0;
    clear_environment();
    write_file("credentials", row->credentials);
    write_file("config", row->config);
    for (size_t i = 0; row->env[i] != NULL; i += 2)
        assert_int_equal(setenv(row->env[i], row->env[i + 1], 1), 0);
    for (size_t i = 0; row->options[i] != NULL; i += 2)
        options[count++] =
            (struct shl_store_option){.key = row->options[i], .value = row->options[i + 1]};
    return shl_s3_config_load(out, options, count, row->url_region, row->url_endpoint, true, err);
}

static void test_values_come_from_the_strongest_source(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"default region",
         {NULL},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "none",
         NULL,
         NULL},
        {"region of the profile",
         {NULL},
         {KEYS},
         NULL,
         "[default]\nregion = r1\n",
         NULL,
         NULL,
         "aws_region",
         "r1",
         "profile \"default\"",
         NULL},
        {"environment over profile",
         {"AWS_REGION", "r2"},
         {KEYS},
         NULL,
         "[default]\nregion = r1\n",
         NULL,
         NULL,
         "aws_region",
         "r2",
         "AWS_REGION",
         NULL},
        {"option over environment",
         {"AWS_REGION", "r2"},
         {KEYS, "aws_region", "r3"},
         NULL,
         "[default]\nregion = r1\n",
         NULL,
         NULL,
         "aws_region",
         "r3",
         "store option aws_region",
         "r2"},
        {"URL over option",
         {"AWS_REGION", "r2"},
         {KEYS, "aws_region", "r3"},
         NULL,
         NULL,
         "r4",
         NULL,
         "aws_region",
         "r4",
         "URL",
         "r3"},
        {"AWS_DEFAULT_REGION",
         {"AWS_DEFAULT_REGION", "r5"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "r5",
         "AWS_DEFAULT_REGION",
         NULL},
        {"AWS_REGION over AWS_DEFAULT_REGION",
         {"AWS_DEFAULT_REGION", "r5", "AWS_REGION", "r2"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "r2",
         "AWS_REGION",
         NULL},
        {"an empty AWS_REGION says nothing",
         {"AWS_DEFAULT_REGION", "r5", "AWS_REGION", ""},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "r5",
         "AWS_DEFAULT_REGION",
         NULL},
        {"region over default region",
         {NULL},
         {KEYS, "aws_region", "r3", "aws_default_region", "r5"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "r3",
         "store option aws_region",
         NULL},
        {"option default region over environment",
         {"AWS_REGION", "r2"},
         {KEYS, "default_region", "r5"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_region",
         "r5",
         "store option default_region",
         "r2"},
        {"region of a chosen profile",
         {"AWS_PROFILE", "dev"},
         {KEYS},
         NULL,
         "[default]\nregion = r1\n[profile dev]\nregion = r6\n",
         NULL,
         NULL,
         "aws_region",
         "r6",
         "profile \"dev\"",
         NULL},
        {"profile by option",
         {"AWS_PROFILE", "dev"},
         {KEYS, "aws_profile", "ops"},
         NULL,
         "[profile dev]\nregion = r6\n[profile ops]\nregion = r7\n",
         NULL,
         NULL,
         "aws_region",
         "r7",
         "profile \"ops\"",
         NULL},
        {"endpoint of the environment",
         {"AWS_ENDPOINT", "http://a"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_endpoint",
         "http://a",
         "AWS_ENDPOINT",
         NULL},
        {"AWS_ENDPOINT_URL",
         {"AWS_ENDPOINT_URL", "http://b"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_endpoint",
         "http://b",
         "AWS_ENDPOINT_URL",
         NULL},
        {"that of S3 alone over all",
         {"AWS_ENDPOINT_URL_S3", "http://c", "AWS_ENDPOINT_URL", "http://b", "AWS_ENDPOINT",
          "http://a"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_endpoint",
         "http://c",
         "AWS_ENDPOINT_URL_S3",
         "http://b"},
        {"an empty one says nothing",
         {"AWS_ENDPOINT_URL_S3", "", "AWS_ENDPOINT", "http://a"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_endpoint",
         "http://a",
         "AWS_ENDPOINT",
         NULL},
        {"endpoint of the profile",
         {NULL},
         {KEYS},
         NULL,
         "[default]\nendpoint_url = http://d\n",
         NULL,
         NULL,
         "aws_endpoint",
         "http://d",
         "profile \"default\"",
         NULL},
        {"endpoint of the profile, though keys and region are known without it",
         {"AWS_REGION", "r", "AWS_ACCESS_KEY_ID", "k", "AWS_SECRET_ACCESS_KEY", "s"},
         {NULL},
         NULL,
         "[default]\nendpoint_url = http://d\n",
         NULL,
         NULL,
         "aws_endpoint",
         "http://d",
         "profile \"default\"",
         NULL},
        {"endpoint of the URL",
         {"AWS_ENDPOINT", "http://a"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         "https://e",
         "aws_endpoint",
         "https://e",
         "URL",
         "http://a"},
        {"option that of S3 alone over the plain one",
         {NULL},
         {KEYS, "aws_endpoint_url_s3", "http://c", "aws_endpoint", "http://a"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_endpoint",
         "http://c",
         "store option aws_endpoint_url_s3",
         NULL},
        {"a flag",
         {"AWS_ALLOW_HTTP", "yes"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_allow_http",
         "true",
         "AWS_ALLOW_HTTP",
         NULL},
        {"a flag without its prefix, in capitals",
         {NULL},
         {KEYS, "ALLOW_HTTP", "on"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_allow_http",
         "true",
         "store option ALLOW_HTTP",
         NULL},
        {"a time",
         {"AWS_CONNECT_TIMEOUT", "1s"},
         {KEYS, "aws_connect_timeout", "250ms"},
         NULL,
         NULL,
         NULL,
         NULL,
         "connect_timeout",
         "250ms",
         "store option aws_connect_timeout",
         "1s"},
        {"default time", {NULL}, {KEYS}, NULL, NULL, NULL, NULL, "timeout", "30s", NULL, NULL},
        {"variables without AWS_ mean nothing",
         {"TIMEOUT", "1s", "REGION", "x", "ENDPOINT", "http://x"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "timeout",
         "30s",
         NULL,
         NULL},
        {"payer",
         {NULL},
         {KEYS, "request_payer", "requester"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_request_payer",
         "true",
         "store option request_payer",
         NULL},
        {"payload",
         {NULL},
         {KEYS, "aws_unsigned_payload", "y"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_unsigned_payload",
         "true",
         "store option aws_unsigned_payload",
         NULL},
        {"checksum",
         {"AWS_CHECKSUM_ALGORITHM", "sha256"},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_checksum_algorithm",
         "sha256",
         "AWS_CHECKSUM_ALGORITHM",
         NULL},
        {"the last of two options",
         {NULL},
         {KEYS, "timeout", "1s", "aws_timeout", "2s"},
         NULL,
         NULL,
         NULL,
         NULL,
         "timeout",
         "2s",
         "store option aws_timeout",
         "1s"},
        {"known elsewhere, nothing here",
         {NULL},
         {KEYS, "aws_bucket", "x", "http1_only", "true"},
         NULL,
         NULL,
         NULL,
         NULL,
         "timeout",
         "30s",
         NULL,
         NULL},
        {"key of the options",
         {ENV_KEYS},
         {KEYS},
         "[default]\naws_access_key_id=AKPRO\naws_secret_access_key=p\n",
         NULL,
         NULL,
         NULL,
         "aws_access_key_id",
         "AKOPT",
         "store option aws_access_key_id",
         NULL},
        {"key of the environment",
         {ENV_KEYS},
         {NULL},
         "[default]\naws_access_key_id=AKPRO\naws_secret_access_key=p\n",
         NULL,
         NULL,
         NULL,
         "aws_access_key_id",
         "AKENV",
         "environment AWS_ACCESS_KEY_ID",
         NULL},
        {"key of the profile",
         {NULL},
         {NULL},
         "[default]\naws_access_key_id=AKPRO\naws_secret_access_key=p\n",
         NULL,
         NULL,
         NULL,
         "aws_access_key_id",
         "AKPRO",
         "profile \"default\" in ~/.aws/credentials",
         NULL},
        {"empty keys in the environment are none",
         {"AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", "", "AWS_REGION", "r"},
         {NULL},
         "[default]\naws_access_key_id=AKPRO\naws_secret_access_key=p\n",
         NULL,
         NULL,
         NULL,
         "aws_access_key_id",
         "AKPRO",
         "profile \"default\" in ~/.aws/credentials",
         NULL},
        {"secret is masked",
         {NULL},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_secret_access_key",
         "set (10 characters)",
         "store option aws_secret_access_key",
         NULL},
        {"no token",
         {NULL},
         {KEYS},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_session_token",
         "none",
         NULL,
         NULL},
        {"token is masked",
         {NULL},
         {KEYS, "aws_token", "tok"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_session_token",
         "set (3 characters)",
         "store option aws_token",
         NULL},
        {"customer key is masked, also the one before it",
         {"AWS_SSE_CUSTOMER_KEY_BASE64", "abcd"},
         {KEYS, "aws_sse_customer_key_base64", "efghij"},
         NULL,
         NULL,
         NULL,
         NULL,
         "aws_sse_customer_key_base64",
         "set (6 characters)",
         "store option aws_sse_customer_key_base64",
         "set (4 characters)"},
        {"password of a proxy is masked",
         {NULL},
         {KEYS, "proxy_url", "http://me:s3cr3t@p:3128"},
         NULL,
         NULL,
         NULL,
         NULL,
         "proxy_url",
         "http://***@p:3128",
         "store option proxy_url",
         NULL},
        {"a proxy without one is not",
         {NULL},
         {KEYS, "proxy_url", "http://p:3128"},
         NULL,
         NULL,
         NULL,
         NULL,
         "proxy_url",
         "http://p:3128",
         "store option proxy_url",
         NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_s3_config c = {0};
        shale_error err;
        char text[200];
        print_message("  %s\n", rows[i].name);
        if (load(&rows[i], &c, &err) != SHALE_OK)
            fail_msg("%s", err.text);
        size_t at = option_at(rows[i].option);
        option_text(&c, at, text, sizeof text);
        assert_string_equal(text, rows[i].want);
        if (rows[i].from == NULL)
            assert_null(c.origins[at].from);
        else
            assert_string_equal(c.origins[at].from, rows[i].from);
        if (rows[i].beaten != NULL)
            assert_string_equal(c.origins[at].beaten, rows[i].beaten);
        shl_s3_config_deinit(&c);
    }
}

static void test_what_does_not_fit_says_where_it_came_from(void **state)
{
    (void)state;
    static const struct {
        struct row row;
        shale_code code;
        const char *text;
    } rows[] = {
        {{.name = "no credentials"}, SHALE_UNAUTHENTICATED, "no AWS credentials"},
        {{.name = "half a pair of options", .options = {"aws_access_key_id", "A"}},
         SHALE_INVALID,
         "aws_secret_access_key"},
        {{.name = "half a pair in the environment", .env = {"AWS_SECRET_ACCESS_KEY", "s3cr3t"}},
         SHALE_INVALID,
         "AWS_ACCESS_KEY_ID"},
        {{.name = "no such profile",
          .env = {"AWS_PROFILE", "dex"},
          .options = {KEYS},
          .config = "[profile dev]\n"},
         SHALE_INVALID,
         "did you mean \"dev\""},
        {{.name = "sso", .config = "[default]\nsso_session = x\n"},
         SHALE_INVALID,
         "sso profile not supported"},
        {{.name = "a bad time", .env = {"AWS_TIMEOUT", "soon"}, .options = {KEYS}},
         SHALE_INVALID,
         "AWS_TIMEOUT"},
        {{.name = "a time of nothing", .options = {KEYS, "timeout", "0s"}},
         SHALE_INVALID,
         "store option timeout"},
        {{.name = "a bad flag", .options = {KEYS, "aws_allow_http", "perhaps"}},
         SHALE_INVALID,
         "store option aws_allow_http"},
        {{.name = "a bad word", .options = {KEYS, "aws_checksum_algorithm", "md5"}},
         SHALE_INVALID,
         "aws_checksum_algorithm"},
        {{.name = "no connections", .options = {KEYS, "connections_max", "0"}},
         SHALE_INVALID,
         "connections_max"},
        {{.name = "endpoint without a scheme",
          .env = {"AWS_ENDPOINT", "localhost:9000"},
          .options = {KEYS}},
         SHALE_INVALID,
         "AWS_ENDPOINT: aws_endpoint \"localhost:9000\""},
        {{.name = "endpoint with a query", .options = {KEYS, "aws_endpoint", "http://h/?x"}},
         SHALE_INVALID,
         "store option aws_endpoint"},
        {{.name = "endpoint with a line end", .options = {KEYS, "aws_endpoint", "http://h\r\nx"}},
         SHALE_INVALID,
         "store option aws_endpoint"},
        {{.name = "endpoint with a password",
          .options = {KEYS, "aws_endpoint", "http://me:s3cr3t@h"}},
         SHALE_INVALID,
         "store option aws_endpoint"},
        {{.name = "region that is a host", .options = {KEYS, "aws_region", "evil.example/x"}},
         SHALE_INVALID,
         "is no region"},
        {{.name = "encryption of another kind",
          .options = {KEYS, "aws_server_side_encryption", "rot13"}},
         SHALE_INVALID,
         "rot13"},
        {{.name = "sse-c without a key", .options = {KEYS, "aws_server_side_encryption", "sse-c"}},
         SHALE_INVALID,
         "aws_sse_customer_key_base64"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_s3_config c = {0};
        shale_error err;
        print_message("  %s\n", rows[i].row.name);
        assert_int_equal(load(&rows[i].row, &c, &err), rows[i].code);
        if (strstr(err.text, rows[i].text) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.text, rows[i].text);
        assert_null(strstr(err.text, "s3cr3t"));
        assert_null(c.v.access_key_id);
    }
}

static void test_credentials_are_whole_from_one_source(void **state)
{
    (void)state;
    static const struct row both = {
        .env = {ENV_KEYS, "AWS_SESSION_TOKEN", "env token"},
        .options = {KEYS},
        .credentials = "[default]\naws_access_key_id=AKPRO\naws_secret_access_key=p\n"
                       "aws_session_token=profile token\n"};
    struct shl_s3_config c;
    shale_error err;
    assert_int_equal(load(&both, &c, &err), SHALE_OK);
    assert_string_equal(c.creds.access_key, "AKOPT");
    assert_string_equal(c.creds.secret_key, "s3cr3t-opt");
    assert_null(c.creds.token); /* no token of another's */
    assert_true(c.creds_given);
    shl_s3_config_deinit(&c);

    static const struct row anonymous = {.options = {"aws_skip_signature", "true"}};
    assert_int_equal(load(&anonymous, &c, &err), SHALE_OK);
    assert_null(c.creds.access_key);
    shl_s3_config_deinit(&c);
}

static void test_newer_credentials_are_found(void **state)
{
    (void)state;
    static const struct row row = {
        .credentials = "[default]\naws_access_key_id=A1\naws_secret_access_key=S1\n"};
    struct shl_s3_config c;
    struct shl_aws_creds fresh;
    shale_error err;
    bool changed;
    assert_int_equal(load(&row, &c, &err), SHALE_OK);
    assert_int_equal(shl_s3_creds_again(&c, &c.creds, &fresh, &changed, &err), SHALE_OK);
    assert_false(changed);
    static const char *const texts[] = {
        "[default]\naws_access_key_id=A2\naws_secret_access_key=S1\n",
        "[default]\naws_access_key_id=A1\naws_secret_access_key=S2\n",
        "[default]\naws_access_key_id=A1\naws_secret_access_key=S1\naws_session_token=T\n"};
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        write_file("credentials", texts[i]);
        assert_int_equal(shl_s3_creds_again(&c, &c.creds, &fresh, &changed, &err), SHALE_OK);
        assert_true(changed);
        shl_aws_creds_deinit(&fresh);
    }
    shl_s3_config_deinit(&c);
}

static void test_names_have_aliases_and_help(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool known;
    } rows[] = {{"aws_region", true},      {"region", true},
                {"AWS_REGION", true},      {"aws_default_region", true},
                {"default_region", true},  {"aws_endpoint_url", true},
                {"endpoint_url_s3", true}, {"aws_token", true},
                {"timeout", true},         {"aws_timeout", true},
                {"aws_bucket_name", true}, {"disable_tagging", true},
                {"aws_aws_region", false}, {"regio", false},
                {"aws_", false},           {"", false}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        bool known;
        shale_error err;
        bool is_time = strstr(rows[i].key, "timeout") != NULL;
        bool is_url = strstr(rows[i].key, "endpoint") != NULL;
        assert_int_equal(shl_s3_option_check(rows[i].key,
                                             is_time  ? "1s"
                                             : is_url ? "http://h"
                                                      : "x",
                                             &known, &err),
                         SHALE_OK);
        if (known != rows[i].known)
            fail_msg("%s", rows[i].key);
    }
    for (size_t i = 0; i < shl_s3_option_count(); i++) {
        assert_true(strlen(shl_s3_option_help(i)) > 5);
        bool known;
        shale_error err;
        const char *text = shl_s3_option_default(i);
        if (text != NULL) /* defaults pass their own check */
            assert_int_equal(shl_s3_option_check(shl_s3_option_name(i), text, &known, &err),
                             SHALE_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_from_the_strongest_source),
        cmocka_unit_test(test_what_does_not_fit_says_where_it_came_from),
        cmocka_unit_test(test_credentials_are_whole_from_one_source),
        cmocka_unit_test(test_newer_credentials_are_found),
        cmocka_unit_test(test_names_have_aliases_and_help),
    };
    char folder[80];
    snprintf(home, sizeof home, "/tmp/shale-s3-config-XXXXXX");
    if (mkdtemp(home) == NULL)
        return 1;
    snprintf(folder, sizeof folder, "%s/.aws", home);
    if (mkdir(folder, 0777) != 0)
        return 1;
    int failed = cmocka_run_group_tests_name("s3 config", tests, NULL, NULL);
    write_file("credentials", NULL);
    write_file("config", NULL);
    (void)rmdir(folder);
    (void)rmdir(home);
    return failed;
}
