/* Goal: what is sent is what was asked for, wherever it goes. Method: requests through one client, one after the other and so through the same
 * libcurl handle, to servers of this process that keep each as it came. */
#include "store/support_s3.h"

#include "base/num.h"
#include "store/http/http.h"
#include <stdio.h>
#include <stdlib.h>

static const struct http_answer answer_all[] = {{.flags = HTTP_REPEAT}};

static struct shl_http *client_new(const char *user_agent)
{
    struct shl_http_options o;
    struct shl_http *h;
    shl_http_options_init(&o);
    o.allow_http = true;
    o.user_agent = user_agent;
    expect_code(SHALE_OK, shl_http_new(&h, &o, &test_err));
    return h;
}

static void send_to(struct shl_http *h, enum shl_http_method method, struct http_server *s,
                    const char *target)
{
    char url[200];
    static const char *const headers[] = {"x-one: 1"};
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(s), target);
    struct shl_http_call c = {.method = method, .url = url, .headers = headers, .header_count = 1};
    struct shl_http_call *calls[] = {&c};
    shl_http_run(h, calls, 1);
    expect_code(SHALE_OK, c.code);
    assert_int_equal(c.status, 200);
}

static void expect_target(struct http_server *s, size_t n, const char *target)
{
    assert_string_equal(http_server_request(s, n)->target, target);
}

static void expect_header(struct http_server *s, size_t n, const char *name, const char *value)
{
    char got[100] = "";
    assert_int_equal(http_header(http_server_request(s, n), name, got, sizeof got), value != NULL);
    assert_string_equal(got, value != NULL ? value : "");
}

static void test_each_request_goes_where_its_url_says(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *sent;
    } rows[] = {
        {"/bucket/a", "/bucket/a"},
        {"/bucket/a%20b/%2Fc/../d?x=1&y=%2F", "/bucket/a%20b/%2Fc/../d?x=1&y=%2F"},
        {"", "/"},
        {"/", "/"},
        {"?q=1", "/?q=1"},
        {"/a\xc3\xa9", "/a%c3%a9"},
        {"/a#b", "/a"},
        {"/bucket/z?list", "/bucket/z?list"},
    };
    struct http_server *one = http_server_script(answer_all, 1);
    struct http_server *two = http_server_script(answer_all, 1);
    struct shl_http *h = client_new("me/1");
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        send_to(h, SHL_HTTP_GET, one, rows[i].asked);
        send_to(h, SHL_HTTP_GET, two, rows[i].asked);
        send_to(h, SHL_HTTP_GET, two, "/again");
    }
    shl_http_unref(h);
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        expect_target(one, i, rows[i].sent);
        expect_target(two, 2 * i, rows[i].sent);
        expect_target(two, 2 * i + 1, "/again");
        char host[40];
        snprintf(host, sizeof host, "127.0.0.1:%u", http_server_port(one));
        expect_header(one, i, "host", host);
    }
    assert_int_equal(http_server_count(one), SHL_COUNT_OF(rows));
    assert_int_equal(http_server_connections(one), 1);
    http_server_free(one);
    http_server_free(two);
}

static void test_nothing_is_sent_that_was_not_asked_for(void **state)
{
    (void)state;
    static const enum shl_http_method methods[] = {SHL_HTTP_GET, SHL_HTTP_PUT, SHL_HTTP_POST,
                                                   SHL_HTTP_DELETE, SHL_HTTP_HEAD};
    struct http_server *s = http_server_script(answer_all, 1);
    struct shl_http *named = client_new("me/1"), *nameless = client_new("");
    for (size_t i = 0; i < SHL_COUNT_OF(methods); i++) {
        send_to(named, methods[i], s, "/k");
        send_to(nameless, methods[i], s, "/k");
    }
    shl_http_unref(named);
    shl_http_unref(nameless);
    for (size_t i = 0; i < 2 * SHL_COUNT_OF(methods); i++) {
        assert_string_equal(http_server_request(s, i)->method,
                            shl_http_method_name(methods[i / 2]));
        expect_header(s, i, "user-agent", i % 2 == 0 ? "me/1" : NULL);
        expect_header(s, i, "x-one", "1");
        expect_header(s, i, "accept", NULL);
        expect_header(s, i, "expect", NULL);
    }
    http_server_free(s);
}

/* A proxy is asked for the whole URL. */
static void expect_through(bool goes_through)
{
    struct http_server *proxy = http_server_script(answer_all, 1);
    struct http_server *s = http_server_script(answer_all, 1);
    char address[60], url[80];
    snprintf(address, sizeof address, "http://127.0.0.1:%u", http_server_port(proxy));
    snprintf(url, sizeof url, "http://127.0.0.1:%u/k?a=1", http_server_port(s));
    assert_int_equal(setenv("all_proxy", address, 1), 0);
    struct shl_http *h = client_new("me/1");
    send_to(h, SHL_HTTP_GET, s, "/k?a=1");
    shl_http_unref(h);
    assert_int_equal(http_server_count(proxy), goes_through);
    assert_int_equal(http_server_count(s), !goes_through);
    expect_target(goes_through ? proxy : s, 0, goes_through ? url : "/k?a=1");
    expect_header(goes_through ? proxy : s, 0, "user-agent", "me/1");
    assert_int_equal(unsetenv("all_proxy"), 0);
    http_server_free(proxy);
    http_server_free(s);
}

static void test_the_environment_names_a_proxy(void **state)
{
    (void)state;
    expect_through(true);
    assert_int_equal(setenv("http_proxy", "", 1), 0); /* as if they were not there */
    assert_int_equal(setenv("https_proxy", "", 1), 0);
    expect_through(true);
    assert_int_equal(setenv("no_proxy", "127.0.0.1", 1), 0);
    expect_through(false);
    assert_int_equal(unsetenv("no_proxy"), 0);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("https_proxy"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_request_goes_where_its_url_says),
        cmocka_unit_test(test_nothing_is_sent_that_was_not_asked_for),
        cmocka_unit_test(test_the_environment_names_a_proxy),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("http", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
