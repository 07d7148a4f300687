/* Goal: what is signed is what is sent, however an endpoint is written; a proxy that refuses is named and nothing is claimed of the store behind it; a store
 * that cannot be reached is told of with what was to be done. Method: scripted servers on the loopback as stores and as proxies. */
#include "store/support_s3_ops.h"

#include "base/env/env.h"
#include "base/num.h"
#include "store/s3.h"
#include "store/wrap_retry.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- endpoints */

static void test_the_host_that_is_sent_is_the_one_that_is_signed(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after; /* of the port */
    } spelled[] = {{"http://127.1:", ""},
                   {"http://127.0.0.1:0", ""},
                   {"HTTP://127.0.0.1:", ""},
                   {"http://LocalHost:", ""},
                   {"http://loc%61lhost:", ""},
                   {"http://0x7f.0.0.1:", ""},
                   {"http://2130706433:", "/"},
                   {"http://127.0.0.1:", "/s3/"},
                   {"http://localhost:", "/a%20b//"}};
    struct http_answer script[] = {{.headers = ETAG, .flags = HTTP_REPEAT}};
    for (size_t i = 0; i < SHL_COUNT_OF(spelled); i++) {
        struct s3_scene c = {.server = http_server_script(script, 1)};
        char endpoint[80], host[300], sent[300];
        snprintf(endpoint, sizeof endpoint, "%s%u%s", spelled[i].before, http_server_port(c.server),
                 spelled[i].after);
        print_message("  %s\n", endpoint);
        expect_code(SHALE_OK, s3_open(endpoint, NULL, &c.bare));
        expect_code(SHALE_OK, put_mode(c.bare, "k", "hello", SHL_PUT_OVERWRITE, NULL, NULL));
        s3_check_signature(http_server_request(c.server, 0), S3_SECRET, S3_REGION);
        shl_store_s3_host(c.bare, host, sizeof host);
        assert_true(http_header(http_server_request(c.server, 0), "host", sent, sizeof sent));
        assert_string_equal(sent, host);
        s3_scene_free(&c);
    }
}

/* The port of the scheme is not sent. Nobody listens there, so a proxy shows what would have been. */
static void test_the_schemes_own_port_is_neither_sent_nor_signed(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *host;
    } rows[] = {{"http://store.test:80", "store.test"},
                {"http://Store.Test:080", "store.test"},
                {"http://store.test:443", "store.test:443"},
                {"http://store.test:", "store.test"},
                {"http://store.test.:9000", "store.test.:9000"}};
    struct http_answer script[] = {{.headers = ETAG, .flags = HTTP_REPEAT}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct s3_scene c = {.server = http_server_script(script, 1)};
        struct http_request q;
        char proxy[64];
        snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", http_server_port(c.server));
        const char *const options[] = {"proxy_url", proxy, NULL};
        print_message("  %s\n", rows[i].endpoint);
        expect_code(SHALE_OK, s3_open(rows[i].endpoint, options, &c.bare));
        expect_code(SHALE_OK, put_mode(c.bare, "k", "hello", SHL_PUT_OVERWRITE, NULL, NULL));
        q = *http_server_request(c.server, 0);
        s3_expect_header(&c, 0, "host", rows[i].host);
        assert_non_null(q.target = strstr(q.target, "/bucket/k")); /* a proxy gets the whole URL */
        s3_check_signature(&q, S3_SECRET, S3_REGION);
        s3_scene_free(&c);
    }
    struct shl_store *s;
    char host[300];
    expect_code(SHALE_OK, s3_open("HTTPS://Store.Test:0443/", NULL, &s));
    shl_store_s3_host(s, host, sizeof host);
    assert_string_equal(host, "store.test");
    shl_store_unref(s);
}

static void test_endpoints_that_name_no_host_are_refused(void **state)
{
    (void)state;
    static const char *const endpoints[] = {
        "http://",          "http://:9000",
        "http:///x",        "http://h:99999",
        "http://h:9x",      "http://[::1:9000",
        "http://h%2f:9000", "http://h%40x:9000",
        "http://h%00:9000", "http://[fe80::1%25eth0]:9000",
        "http://h:0",       "http://a%20b",
        "http://a\"b",
    };
    for (size_t i = 0; i < SHL_COUNT_OF(endpoints); i++) {
        struct shl_store *s = NULL;
        print_message("  %s\n", endpoints[i]);
        expect_code(SHALE_INVALID, s3_open(endpoints[i], NULL, &s));
        s3_expect_says("aws_endpoint \"");
    }
}

/* Whoever answers could send signed requests to another server. */
static void test_no_redirect_is_followed(void **state)
{
    (void)state;
    static const char *const statuses[] = {"301 x", "302 x", "303 x", "307 x", "308 x"};
    struct http_answer fine[] = {{.headers = ETAG, .flags = HTTP_REPEAT}};
    struct http_server *other = http_server_script(fine, 1);
    char headers[160];
    snprintf(headers, sizeof headers,
             "location: http://127.0.0.1:%u/\r\nx-amz-bucket-region: x\r\n",
             http_server_port(other));
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct http_answer script[] = {
            {.status = statuses[i], .headers = headers, .flags = HTTP_REPEAT}};
        struct s3_scene c = S3_SCENE(script);
        expect_code(SHALE_INVALID, s3_put_plain(c.store));
        expect_code(SHALE_INVALID, s3_get_all(c.store));
        assert_true(http_server_count(c.server) <= 4);
        s3_scene_free(&c);
    }
    assert_int_equal(http_server_connections(other), 0);
    http_server_free(other);
}

/* ---- proxies */

static void answer_fine(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    (void)ctx;
    (void)q;
    (void)n;
    a->headers = ETAG;
}

static struct shl_store *through(const char *endpoint, const char *user, struct http_server *proxy)
{
    char url[80];
    struct shl_store *s;
    snprintf(url, sizeof url, "http://%s127.0.0.1:%u", user, http_server_port(proxy));
    const char *const options[] = {"proxy_url", url, "allow_invalid_certificates", "true", NULL};
    expect_code(SHALE_OK, s3_open(endpoint, options, &s));
    return s;
}

/* Nothing went to the store, so that nothing is open about the write, and the store is not to blame. */
static void test_a_proxy_that_refuses_leaves_no_outcome_open(void **state)
{
    (void)state;
    static const struct {
        const char *status, *user, *endpoint;
        shale_code want;
        const char *says;
    } rows[] = {
        {"407 Proxy Authentication Required", "", "https://s3.test", SHALE_UNAUTHENTICATED,
         "(proxy_url): it wants a user and password (status 407), for s3:PutObject on "
         "\"bucket/k\""},
        {"407 Proxy Authentication Required", "me:SECRET@", "https://s3.test",
         SHALE_UNAUTHENTICATED, "(proxy_url): it refuses the user and password given (status 407)"},
        {"403 Forbidden", "me:SECRET@", "https://s3.test", SHALE_PERMISSION_DENIED,
         "(proxy_url): it answered 403"},
        {"502 Bad Gateway", "me:SECRET@", "https://s3.test", SHALE_UNAVAILABLE,
         "(proxy_url): it answered 502"},
        {"407 Proxy Authentication Required", "", "http://s3.test", SHALE_UNAUTHENTICATED,
         "(proxy_url): it wants a user and password (status 407), for s3:PutObject on "
         "\"bucket/k\""},
        {"407 Proxy Authentication Required", "me:SECRET@", "http://s3.test", SHALE_UNAUTHENTICATED,
         "(proxy_url): it refuses the user and password given (status 407)"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.status = rows[i].status, .flags = HTTP_REPEAT}};
        struct http_server *proxy = http_server_script(script, 1);
        struct shl_store *s = through(rows[i].endpoint, rows[i].user, proxy);
        print_message("  %s %s\n", rows[i].status, rows[i].endpoint);
        expect_code(rows[i].want, put_mode(s, "k", "hello", SHL_PUT_CREATE, NULL, NULL));
        s3_expect_says("cannot get through proxy 127.0.0.1:");
        s3_expect_says(rows[i].says);
        assert_null(strstr(test_err.text, "outcome unknown"));
        assert_null(strstr(test_err.text, "SECRET"));
        shl_store_unref(s);
        http_server_free(proxy);
    }
}

static void test_a_put_goes_on_once_the_proxy_lets_it(void **state)
{
    (void)state;
    static const struct shl_retry_options quick = {.max_retries = 5,
                                                   .delay_first_ns = ENV_NS_PER_MS};
    struct http_answer proxied[] = {{.status = "503 Service Unavailable"},
                                    {.flags = HTTP_TUNNEL | HTTP_REPEAT}};
    char *dir = temp_dir_new();
    char cert[200], key[200], endpoint[64];
    struct shl_store *bare, *s;
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    http_make_certificate("IP:127.0.0.1", cert, key);
    struct http_server *proxy = http_server_script(proxied, 2);
    struct http_server *server = http_server_new(answer_fine, NULL, cert, key);
    snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%u", http_server_port(server));
    bare = through(endpoint, "", proxy);
    expect_code(SHALE_OK, shl_store_retry_new(&s, bare, &quick, &test_err));
    expect_code(SHALE_OK, put_mode(s, "k", "hello", SHL_PUT_OVERWRITE, NULL, NULL));
    assert_int_equal(http_server_count(proxy), 2);
    assert_int_equal(http_server_count(server), 1);
    shl_store_unref(s);
    shl_store_unref(bare);
    http_server_free(proxy);
    http_server_free(server);
    temp_dir_free(dir);
}

/* ---- what was to be done */

static void test_a_store_that_is_not_reached_is_told_of_with_what_was_wanted(void **state)
{
    (void)state;
    static const struct {
        shale_code (*run)(struct shl_store *s);
        const char *says;
        bool is_open; /* it may have happened if only the answer is lost */
    } rows[] = {
        {s3_get_all, ", for s3:GetObject on \"bucket/" ODD_KEY "\"", false},
        {s3_head, ", for s3:GetObject on \"bucket/", false},
        {s3_put_plain, ", for s3:PutObject on \"bucket/" ODD_KEY "\"", true},
        {s3_list_all, ", for s3:ListBucket on \"bucket\"", false},
        {s3_delete_one, ", for s3:DeleteObject on \"bucket/", true},
        {s3_delete_two, ", for s3:DeleteObject on \"bucket\"", false},
    };
    struct shl_store *s;
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer lost[] = {{.flags = HTTP_LOST | HTTP_REPEAT}};
        expect_code(SHALE_OK, s3_open("http://127.0.0.1:1", NULL, &s));
        expect_code(SHALE_UNAVAILABLE, rows[i].run(s));
        s3_expect_says("store does not answer: cannot connect to 127.0.0.1:1: ");
        s3_expect_says(rows[i].says);
        assert_null(strstr(test_err.text, "outcome unknown"));
        shl_store_unref(s);
        struct s3_scene c = S3_SCENE(lost); /* before a status line, too */
        expect_code(SHALE_UNAVAILABLE, rows[i].run(c.bare));
        s3_expect_says(rows[i].is_open ? "outcome unknown: the answer to " : rows[i].says);
        s3_scene_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_host_that_is_sent_is_the_one_that_is_signed),
        cmocka_unit_test(test_the_schemes_own_port_is_neither_sent_nor_signed),
        cmocka_unit_test(test_endpoints_that_name_no_host_are_refused),
        cmocka_unit_test(test_no_redirect_is_followed),
        cmocka_unit_test(test_a_proxy_that_refuses_leaves_no_outcome_open),
        cmocka_unit_test(test_a_put_goes_on_once_the_proxy_lets_it),
        cmocka_unit_test(test_a_store_that_is_not_reached_is_told_of_with_what_was_wanted),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 reach", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
