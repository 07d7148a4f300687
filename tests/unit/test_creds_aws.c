/* Goal: the right keys from the right place, whole, and no secret in an error. Method: tables of profile texts; files in a home
 * folder of our own, with the environment set for each case; each source alone and before the others. */
#include "store/creds_aws.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* Whatever must not be told holds this word. */
#define SECRET "HUSH"

static void check_is_hushed(const char *name, const shale_error *err)
{
    if (strstr(err->text, SECRET) != NULL)
        fail_msg("%s: the error tells a secret: %s", name, err->text);
}

static void check_str(const char *name, const char *what, const char *got, const char *want)
{
    if ((got == NULL) != (want == NULL) || (got != NULL && strcmp(got, want) != 0))
        fail_msg("%s: %s is %s, want %s", name, what, got != NULL ? got : "NULL",
                 want != NULL ? want : "NULL");
}

/* ---- texts */

static void test_sections_and_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_config;
        const char *profile;
        const char *text;
        bool found;
        const char *key, *secret, *token, *region, *endpoint;
    } cases[] = {
        {"empty", false, "default", "", false, NULL, NULL, NULL, NULL, NULL},
        {"plain", false, "default",
         "[default]\naws_access_key_id = AK\naws_secret_access_key = HUSH/+=\n"
         "aws_session_token=HUSHT==\n",
         true, "AK", "HUSH/+=", "HUSHT==", NULL, NULL},
        {"other section", false, "b",
         "[a]\naws_access_key_id=1\n[b]\naws_access_key_id=2\n[c]\naws_access_key_id=3", true, "2",
         NULL, NULL, NULL, NULL},
        {"not there", false, "d", "[a]\naws_access_key_id=1\n", false, NULL, NULL, NULL, NULL,
         NULL},
        {"comments and blanks", false, "a",
         "# x = y\n; z\n\n  [ a ]  # about\n\taws_access_key_id\t=  1  \r\n   # in\nregion = r # "
         "s\n",
         true, "1", NULL, NULL, "r # s", NULL},
        {"windows", false, "a", "\xef\xbb\xbf[a]\r\naws_access_key_id=1\r\nregion=r\r\n", true, "1",
         NULL, NULL, "r", NULL},
        {"nested is not ours", true, "default",
         "[default]\ns3 =\n  endpoint_url = http://no\n  nothing\n  [x]\nregion = r\n", true, NULL,
         NULL, NULL, "r", NULL},
        {"all keys indented", false, "a",
         "[a]\n  aws_access_key_id = 1\n  region = r\n    region = s\n  endpoint_url = e\n", true,
         "1", NULL, NULL, "r", "e"},
        {"any case", false, "a", "[a]\nAWS_Access_Key_ID=1\n", true, "1", NULL, NULL, NULL, NULL},
        {"case of names counts", false, "a", "[A]\naws_access_key_id=1\n", false, NULL, NULL, NULL,
         NULL, NULL},
        {"last one counts", false, "a", "[a]\nregion=1\nregion=2\n[b]\nregion=4\n[a]\nregion=3\n",
         true, NULL, NULL, NULL, "3", NULL},
        {"empty says nothing", false, "a", "[a]\nregion=\naws_access_key_id = \n", true, NULL, NULL,
         NULL, NULL, NULL},
        {"equals in value", false, "a", "[a]\nregion==a=b=\n", true, NULL, NULL, NULL,
         "=a=b=", NULL},
        {"config wants a prefix", true, "dev", "[dev]\nregion=1\n[profile dev]\nregion=2\n", true,
         NULL, NULL, NULL, "2", NULL},
        {"config default", true, "default", "[default]\nregion=1\n", true, NULL, NULL, NULL, "1",
         NULL},
        {"config default with prefix", true, "default", "[profile default]\nregion=1\n", true, NULL,
         NULL, NULL, "1", NULL},
        {"config quotes", true, "my dev", "[profile \"my dev\"]\nregion=1\n", true, NULL, NULL,
         NULL, "1", NULL},
        {"config blanks", true, "dev", "[ profile \t dev ]\nregion=1\n", true, NULL, NULL, NULL,
         "1", NULL},
        {"profiles is another word", true, "s", "[profiles]\nregion=1\n[profile]\nregion=2\n",
         false, NULL, NULL, NULL, NULL, NULL},
        {"services", true, "x", "[services x]\nregion=1\n[sso-session x]\nregion=2\n", false, NULL,
         NULL, NULL, NULL, NULL},
        {"before any section", false, "a", "region=0\n[a]\nendpoint_url=http://h:1/\n", true, NULL,
         NULL, NULL, NULL, "http://h:1/"},
        {"no line end", false, "a", "[a]\nregion=1", true, NULL, NULL, NULL, "1", NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_aws_profile p = {0};
        bool found = !cases[i].found;
        shale_error err = {0};
        if (shl_aws_profile_parse(shl_slice_str(cases[i].text), cases[i].is_config,
                                  cases[i].profile, &p, &found, &err) != SHALE_OK)
            fail_msg("%s: %s", cases[i].name, err.text);
        if (found != cases[i].found)
            fail_msg("%s: found %d", cases[i].name, found);
        check_str(cases[i].name, "key", p.creds.access_key, cases[i].key);
        check_str(cases[i].name, "secret", p.creds.secret_key, cases[i].secret);
        check_str(cases[i].name, "token", p.creds.token, cases[i].token);
        check_str(cases[i].name, "region", p.region, cases[i].region);
        check_str(cases[i].name, "endpoint", p.endpoint_url, cases[i].endpoint);
        shl_aws_profile_deinit(&p);
    }
}

static void test_bad_lines_are_told_by_number_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"HUSH", "line 1: no '='"},
        {"[a]\n\n# x\nHUSH\n", "line 4: no '='"},
        {"[b]\nHUSH\n[a]\n", "line 2: no '='"},
        {"[a\naws_secret_access_key=HUSH\n", "line 1: a section without ']'"},
        {"[a]\naws_secret_access_key=HUSH\001\n", "line 2: a control character"},
        {"[a]\naws_session_token=HUSH\tHUSH\n", "line 2: a control character"},
        {"[a]\nregion=HUSH\x7f\n", "line 2: a control character"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_aws_profile p = {0};
        bool found;
        shale_error err = {0};
        if (shl_aws_profile_parse(shl_slice_str(cases[i].text), false, "a", &p, &found, &err) !=
                SHALE_INVALID ||
            strstr(err.text, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
        check_is_hushed(cases[i].text, &err);
        assert_null(p.creds.access_key);
        assert_null(p.region);
        shl_aws_profile_deinit(&p);
    }
    static const char with_nul[] = "[a]\nregion=x\0y\n";
    struct shl_aws_profile p = {0};
    bool found;
    shale_error err = {0};
    assert_int_equal(shl_aws_profile_parse(shl_slice_of(with_nul, sizeof with_nul - 1), false, "a",
                                           &p, &found, &err),
                     SHALE_INVALID);
    shl_aws_profile_deinit(&p);
}

/* The first text wins value by value, except that keys and token stay together. */
static void test_the_first_text_wins(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *second;
        const char *key, *secret, *token, *region;
    } cases[] = {
        {"all there", "[a]\naws_access_key_id=1\naws_secret_access_key=2\naws_session_token=3\n",
         "[profile "
         "a]\naws_access_key_id=4\naws_secret_access_key=5\naws_session_token=6\nregion=r\n",
         "1", "2", "3", "r"},
        {"no foreign token", "[a]\naws_access_key_id=1\naws_secret_access_key=2\n",
         "[profile a]\naws_session_token=6\n", "1", "2", NULL, NULL},
        {"no foreign half", "[a]\naws_access_key_id=1\n",
         "[profile a]\naws_secret_access_key=5\naws_access_key_id=4\n", "1", NULL, NULL, NULL},
        {"keys of the second", "[a]\nregion=q\naws_session_token=3\n",
         "[profile a]\naws_access_key_id=4\naws_secret_access_key=5\nregion=r\n", "4", "5", NULL,
         "q"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_aws_profile p = {0};
        bool found;
        shale_error err = {0};
        assert_int_equal(
            shl_aws_profile_parse(shl_slice_str(cases[i].first), false, "a", &p, &found, &err),
            SHALE_OK);
        assert_int_equal(
            shl_aws_profile_parse(shl_slice_str(cases[i].second), true, "a", &p, &found, &err),
            SHALE_OK);
        check_str(cases[i].name, "key", p.creds.access_key, cases[i].key);
        check_str(cases[i].name, "secret", p.creds.secret_key, cases[i].secret);
        check_str(cases[i].name, "token", p.creds.token, cases[i].token);
        check_str(cases[i].name, "region", p.region, cases[i].region);
        shl_aws_profile_deinit(&p);
    }
}

/* ---- files: a home folder that each test fills */

static char home[] = "/tmp/shale-creds-XXXXXX";
static const char *const variables[] = {"AWS_PROFILE",           "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",       "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};

static void in_home(const char *name, char out[256])
{
    (void)snprintf(out, 256, "%s/%s", home, name);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    in_home(name, path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *name)
{
    char path[256];
    in_home(name, path);
    (void)unlink(path);
}

static int make_home(void **state)
{
    (void)state;
    char path[256];
    if (mkdtemp(home) == NULL)
        return -1;
    in_home(".aws", path);
    return mkdir(path, 0700);
}

static int remove_home(void **state)
{
    (void)state;
    char path[256];
    in_home(".aws", path);
    (void)rmdir(path);
    return rmdir(home);
}

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(variables); i++)
        (void)unsetenv(variables[i]);
    (void)setenv("HOME", home, 1);
    remove_file(".aws/credentials");
    remove_file(".aws/config");
    remove_file("mine");
    return 0;
}

static void test_files_and_names(void **state)
{
    (void)state;
    struct shl_aws_profile p = {0};
    shale_error err = {0};

    /* Nothing is there, and nobody asked for it. */
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
    assert_null(p.creds.access_key);
    assert_null(p.region);
    shl_aws_profile_deinit(&p);

    write_file(".aws/credentials", "[default]\naws_access_key_id=1\naws_secret_access_key=HUSH\n"
                                   "[dev]\naws_access_key_id=2\naws_secret_access_key=HUSH2\n");
    write_file(".aws/config", "[default]\nregion=eu-west-1\n[profile dev]\nregion=eu-west-2\n"
                              "endpoint_url=http://h\n"
                              "[profile keys]\naws_access_key_id=3\naws_secret_access_key=HUSH3\n");
    static const struct {
        const char *argument, *variable;
        const char *key, *region, *origin;
    } cases[] = {
        {NULL, NULL, "1", "eu-west-1", "profile \"default\" in ~/.aws/credentials"},
        {"", "dev", "2", "eu-west-2", "profile \"dev\" in ~/.aws/credentials"},
        {NULL, "", "1", "eu-west-1", "profile \"default\" in ~/.aws/credentials"},
        {NULL, "dev", "2", "eu-west-2", "profile \"dev\" in ~/.aws/credentials"},
        {"default", "dev", "1", "eu-west-1", "profile \"default\" in ~/.aws/credentials"},
        {"keys", NULL, "3", NULL, "profile \"keys\" in ~/.aws/config"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        if (cases[i].variable != NULL)
            (void)setenv("AWS_PROFILE", cases[i].variable, 1);
        if (shl_aws_profile_load(cases[i].argument, &p, &err) != SHALE_OK)
            fail_msg("case %zu: %s", i, err.text);
        check_str(cases[i].origin, "key", p.creds.access_key, cases[i].key);
        check_str(cases[i].origin, "region", p.region, cases[i].region);
        check_str(cases[i].origin, "origin", p.creds.origin, cases[i].origin);
        assert_true(p.creds.expires_unix_ms == INT64_MAX);
        shl_aws_profile_deinit(&p);
        (void)unsetenv("AWS_PROFILE");
    }
}

static void test_files_named_by_the_environment(void **state)
{
    (void)state;
    char path[256];
    struct shl_aws_profile p = {0};
    shale_error err = {0};
    write_file(".aws/credentials", "[default]\naws_access_key_id=1\n");
    write_file("mine", "[default]\naws_access_key_id=2\naws_secret_access_key=HUSH\n");
    in_home("mine", path);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
    check_str("path", "key", p.creds.access_key, "2");
    assert_non_null(strstr(p.creds.origin, path));
    shl_aws_profile_deinit(&p);

    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "~/mine", 1);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
    check_str("tilde", "key", p.creds.access_key, "2");
    check_str("tilde", "origin", p.creds.origin, "profile \"default\" in ~/mine");
    shl_aws_profile_deinit(&p);

    /* No HOME: no file below it. */
    (void)unsetenv("HOME");
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
    assert_null(p.creds.access_key);
    shl_aws_profile_deinit(&p);
}

static void test_a_profile_that_was_asked_for_must_be_there(void **state)
{
    (void)state;
    struct shl_aws_profile p = {0};
    shale_error err = {0};
    assert_int_equal(shl_aws_profile_load("dev", &p, &err), SHALE_INVALID);
    assert_string_equal(err.text,
                        "profile \"dev\" is neither in ~/.aws/credentials nor in ~/.aws/config");
    write_file(".aws/credentials", "[default]\naws_secret_access_key=HUSH\n");
    write_file(".aws/config", "[profile development]\nregion=r\n[services other]\n");
    (void)setenv("AWS_PROFILE", "developmnet", 1);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_INVALID);
    assert_string_equal(err.text, "profile \"developmnet\" is neither in ~/.aws/credentials nor in "
                                  "~/.aws/config: did you mean \"development\"?");
    check_is_hushed("missing", &err);
    assert_null(p.creds.origin);
}

static void test_files_that_cannot_be_taken(void **state)
{
    (void)state;
    char path[256];
    struct shl_aws_profile p = {0};
    shale_error err = {0};
    write_file(".aws/config", "[default]\nHUSH\n");
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_INVALID);
    assert_string_equal(err.text, "~/.aws/config: line 2: no '='");

    remove_file(".aws/config");
    (void)setenv("AWS_CONFIG_FILE", home, 1); /* a folder */
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "is no file of at most 1048576 bytes"));
    (void)unsetenv("AWS_CONFIG_FILE");

    in_home("pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody ever writes to it */
    (void)setenv("AWS_CONFIG_FILE", path, 1);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_INVALID);
    remove_file("pipe");

    write_file("mine", "");
    in_home("mine", path);
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    (void)setenv("AWS_CONFIG_FILE", path, 1);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_INVALID);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
    shl_aws_profile_deinit(&p);

    if (geteuid() == 0)
        return; /* may read everything */
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_PERMISSION_DENIED);
    (void)unsetenv("AWS_CONFIG_FILE");
    write_file(".aws/credentials", "[default]\nregion=r\n");
    in_home(".aws/credentials", path);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK); /* nobody asked */
    shl_aws_profile_deinit(&p);
    assert_int_equal(shl_aws_profile_load("default", &p, &err), SHALE_PERMISSION_DENIED);
    check_is_hushed("refused", &err);
}

/* ---- the chain */

static char key_given[] = "GK", secret_given[] = "HUSHG", token_given[] = "HUSHGT";
static char key_profile[] = "PK", secret_profile[] = "HUSHP",
            origin_profile[] = "profile \"p\" in x";
static char empty[] = "";

static void test_order_of_the_chain(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        char *given_key, *given_secret, *given_token;
        const char *env_key, *env_secret, *env_token;
        char *profile_key, *profile_secret;
        shale_code rc;
        const char *key, *secret, *token, *origin; /* origin: part of the error on failure */
    } cases[] = {
        {"given first", key_given, secret_given, token_given, "EK", "HUSHE", "HUSHET", key_profile,
         secret_profile, SHALE_OK, "GK", "HUSHG", "HUSHGT", "store options"},
        {"no foreign token", key_given, secret_given, NULL, "EK", "HUSHE", "HUSHET", NULL, NULL,
         SHALE_OK, "GK", "HUSHG", NULL, "store options"},
        {"environment next", NULL, NULL, NULL, "EK", "HUSHE", "HUSHET", key_profile, secret_profile,
         SHALE_OK, "EK", "HUSHE", "HUSHET", "environment AWS_ACCESS_KEY_ID"},
        {"profile last", NULL, NULL, NULL, NULL, NULL, NULL, key_profile, secret_profile, SHALE_OK,
         "PK", "HUSHP", NULL, "profile \"p\" in x"},
        {"empty is none", empty, empty, NULL, "", "", "", key_profile, secret_profile, SHALE_OK,
         "PK", "HUSHP", NULL, "profile \"p\" in x"},
        {"half given", key_given, NULL, NULL, "EK", "HUSHE", NULL, NULL, NULL, SHALE_INVALID, NULL,
         NULL, NULL, "store options: there is aws_access_key_id, but no aws_secret_access_key"},
        {"other half given", NULL, secret_given, NULL, NULL, NULL, NULL, NULL, NULL, SHALE_INVALID,
         NULL, NULL, NULL, "there is aws_secret_access_key, but no aws_access_key_id"},
        {"half an environment", NULL, NULL, NULL, "EK", NULL, NULL, key_profile, secret_profile,
         SHALE_INVALID, NULL, NULL, NULL, "AWS_ACCESS_KEY_ID, but no AWS_SECRET_ACCESS_KEY"},
        {"other half of it", NULL, NULL, NULL, "", "HUSHE", NULL, NULL, NULL, SHALE_INVALID, NULL,
         NULL, NULL, "AWS_SECRET_ACCESS_KEY, but no AWS_ACCESS_KEY_ID"},
        {"half a profile", NULL, NULL, NULL, NULL, NULL, NULL, NULL, secret_profile, SHALE_INVALID,
         NULL, NULL, NULL, "profile \"p\" in x: there is aws_secret_access_key"},
        {"nothing", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, SHALE_UNAUTHENTICATED, NULL,
         NULL, NULL,
         "store options (aws_access_key_id), environment (AWS_ACCESS_KEY_ID), profile \"p\" in x"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        const struct shl_aws_creds given = {.access_key = cases[i].given_key,
                                            .secret_key = cases[i].given_secret,
                                            .token = cases[i].given_token};
        const struct shl_aws_profile profile = {.creds = {.access_key = cases[i].profile_key,
                                                          .secret_key = cases[i].profile_secret,
                                                          .origin = origin_profile}};
        struct shl_aws_creds out = {0};
        shale_error err = {0};
        (void)clean(state);
        if (cases[i].env_key != NULL)
            (void)setenv("AWS_ACCESS_KEY_ID", cases[i].env_key, 1);
        if (cases[i].env_secret != NULL)
            (void)setenv("AWS_SECRET_ACCESS_KEY", cases[i].env_secret, 1);
        if (cases[i].env_token != NULL)
            (void)setenv("AWS_SESSION_TOKEN", cases[i].env_token, 1);
        shale_code rc = shl_aws_creds_find(&given, &profile, &out, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s %s", cases[i].name, shale_code_name(rc), err.text);
        check_str(cases[i].name, "key", out.access_key, cases[i].key);
        check_str(cases[i].name, "secret", out.secret_key, cases[i].secret);
        check_str(cases[i].name, "token", out.token, cases[i].token);
        if (rc == SHALE_OK) {
            check_str(cases[i].name, "origin", out.origin, cases[i].origin);
            assert_true(out.expires_unix_ms == INT64_MAX);
        } else if (strstr(err.text, cases[i].origin) == NULL) {
            fail_msg("%s: %s", cases[i].name, err.text);
        }
        check_is_hushed(cases[i].name, &err);
        shl_aws_creds_deinit(&out);
    }
}

static void test_expiry_and_origin_of_what_is_given(void **state)
{
    (void)state;
    static char origin[] = "the caller";
    const struct shl_aws_creds given = {.access_key = key_given,
                                        .secret_key = secret_given,
                                        .expires_unix_ms = 1768465800000,
                                        .origin = origin};
    struct shl_aws_creds out = {0};
    shale_error err = {0};
    assert_int_equal(shl_aws_creds_find(&given, NULL, &out, &err), SHALE_OK);
    assert_true(out.expires_unix_ms == 1768465800000);
    assert_string_equal(out.origin, origin);
    assert_ptr_not_equal(out.origin, origin);
    shl_aws_creds_deinit(&out);
    assert_null(out.access_key);
    assert_int_equal(shl_aws_creds_find(NULL, NULL, &out, &err), SHALE_UNAUTHENTICATED);
}

/* A profile whose keys come another way is an error only when it is its turn; its region holds. */
static void test_ways_that_we_do_not_go(void **state)
{
    (void)state;
    static const struct {
        const char *key, *message;
    } cases[] = {
        {"sso_session", "sso profile not supported"},
        {"sso_start_url", "sso profile not supported"},
        {"SSO_Account_Id", "sso profile not supported"},
        {"credential_process", "credential_process profile not supported"},
        {"role_arn", "role_arn profile not supported"},
        {"web_identity_token_file", "web_identity_token_file profile not supported"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        char text[128];
        struct shl_aws_profile p = {0};
        struct shl_aws_creds out = {0};
        shale_error err = {0};
        (void)clean(state);
        (void)snprintf(text, sizeof text, "[default]\n%s = HUSH\nregion = r\n", cases[i].key);
        write_file(".aws/config", text);
        assert_int_equal(shl_aws_profile_load(NULL, &p, &err), SHALE_OK);
        check_str(cases[i].key, "region", p.region, "r");
        if (shl_aws_creds_find(NULL, &p, &out, &err) != SHALE_INVALID ||
            strstr(err.text, cases[i].message) == NULL ||
            strstr(err.text, "profile \"default\" in ") == NULL)
            fail_msg("%s: %s", cases[i].key, err.text);
        check_is_hushed(cases[i].key, &err);
        (void)setenv("AWS_ACCESS_KEY_ID", "EK", 1);
        (void)setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
        assert_int_equal(shl_aws_creds_find(NULL, &p, &out, &err), SHALE_OK);
        shl_aws_creds_deinit(&out);
        shl_aws_profile_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_and_values),
        cmocka_unit_test(test_bad_lines_are_told_by_number_alone),
        cmocka_unit_test(test_the_first_text_wins),
        cmocka_unit_test_setup_teardown(test_files_and_names, clean, clean),
        cmocka_unit_test_setup_teardown(test_files_named_by_the_environment, clean, clean),
        cmocka_unit_test_setup_teardown(test_a_profile_that_was_asked_for_must_be_there, clean,
                                        clean),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_taken, clean, clean),
        cmocka_unit_test_setup_teardown(test_order_of_the_chain, clean, clean),
        cmocka_unit_test_setup_teardown(test_expiry_and_origin_of_what_is_given, clean, clean),
        cmocka_unit_test_setup_teardown(test_ways_that_we_do_not_go, clean, clean),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
