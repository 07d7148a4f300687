/* Goal: what is sent is what was asked for, wherever it goes; no failure tells a proxy's password, and a name that is looked up in vain holds nobody
 * up. Method: requests through one client, one after the other and so through the same libcurl handle, to servers of this process that keep each as it
 * came; names are looked up by this program. */
#include "store/support_s3.h"

#include "base/num.h"
#include "store/http/curl_lib.h"
#include "store/http/http.h"
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct http_answer answer_all[] = {{.flags = HTTP_REPEAT}};

/* ---- looking up names: stands before the system's own */

#define SLOW_HOST "slow.test"
#define HUNG_S    2 /* so that a client that waits for it fails, and does not hang */

static sem_t may_leave, has_left;
static atomic_bool was_asked, was_left_alone;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct timespec until;
    int rc;
    (void)service;
    (void)hints;
    (void)out;
    if (name == NULL || strcmp(name, SLOW_HOST) != 0)
        return EAI_NONAME;
    atomic_store(&was_asked, true);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HUNG_S;
    do {
        rc = sem_timedwait(&may_leave, &until);
    } while (rc != 0 && errno == EINTR);
    atomic_store(&was_left_alone, rc == 0);
    (void)sem_post(&has_left);
    return EAI_AGAIN;
}

/* ---- the client */

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

/* ---- failures */

static void fail_through(const char *proxy, const char *url, shale_code want, const char *told)
{
    struct shl_http_options o;
    struct shl_http *h;
    struct shl_http_call c = {.method = SHL_HTTP_GET, .url = url};
    struct shl_http_call *calls[] = {&c};
    shl_http_options_init(&o);
    o.allow_http = true;
    o.proxy = proxy;
    o.connect_timeout_ms = 5000;
    expect_code(SHALE_OK, shl_http_new(&h, &o, &test_err));
    shl_http_run(h, calls, 1);
    shl_http_unref(h);
    if (c.code != want || strstr(c.err.text, told) == NULL || strstr(c.err.text, "SECRET") != NULL)
        fail_msg("%s: code %d: %s", proxy != NULL ? proxy : "environment", (int)c.code, c.err.text);
}

static void test_no_failure_tells_a_proxys_password(void **state)
{
    (void)state;
    static const char odd[] = "cannot get through proxy 127.0.0.1:1 (proxy_url): its URL is none";
    static const char lost[] = "cannot get through proxy 127.0.0.1:1 (proxy_url): there is no";
    static const char refused[] = "cannot connect to proxy 127.0.0.1:1 (proxy_url): Connection ref";
    static const struct {
        const char *proxy;
        shale_code code;
        const char *told;
    } rows[] = {
        {"ftp://user:SECRETpw@127.0.0.1:1", SHALE_INVALID, odd},
        {"socks9://user:SECRETpw@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:SECRET pw@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:SECRET/pw@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:SECRET#pw@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:SECRET?pw@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:x@://SECRET@127.0.0.1:1", SHALE_INVALID, odd},
        {"http://user:SECRETpw@127.0.0.1:99999", SHALE_INVALID,
         "proxy 127.0.0.1:99999 (proxy_url): its URL is none"},
        {"http://SECRET/pw@127.0.0.1:1", SHALE_UNAVAILABLE, lost},
        {"http://user:12/SECRET@127.0.0.1:1", SHALE_UNAVAILABLE, lost},
        {"http://user:SECRETpw@127.0.0.1:1", SHALE_UNAVAILABLE, refused},
        {"http://user:%53ECRET@127.0.0.1:1", SHALE_UNAVAILABLE, refused},
        {"user:SECRETpw@127.0.0.1:1", SHALE_UNAVAILABLE, refused},
        {"http://user:SECRETpw@[::1]:1", SHALE_UNAVAILABLE,
         "cannot connect to proxy [::1]:1 (proxy_url): "},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++)
        fail_through(rows[i].proxy, "http://127.0.0.1:2/k", rows[i].code, rows[i].told);
    assert_int_equal(setenv("http_proxy", rows[0].proxy, 1), 0);
    fail_through(NULL, "http://127.0.0.1:2/k", SHALE_INVALID, "proxy 127.0.0.1:1 (http_proxy): ");
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(setenv("ALL_PROXY", rows[3].proxy, 1), 0);
    fail_through(NULL, "http://127.0.0.1:2/k", SHALE_INVALID, "proxy 127.0.0.1:1 (ALL_PROXY): ");
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
}

/* It may be there in a moment, as the store's own may. */
static void test_a_proxy_that_is_not_found_may_be_asked_again(void **state)
{
    (void)state;
    fail_through("http://me:SECRET@away.test:3128", "http://127.0.0.1:2/k", SHALE_UNAVAILABLE,
                 "cannot get through proxy away.test:3128 (proxy_url): there is no such host");
    fail_through("", "http://away.test:2/k", SHALE_UNAVAILABLE, "there is no host away.test:2");
}

/* Which status it was, and whether it was given a login; whatever the password is. */
static void test_a_proxy_that_refuses_tells_why(void **state)
{
    (void)state;
    static const struct {
        const char *status, *user;
        shale_code code;
        const char *told;
    } rows[] = {
        {"407 x", "", SHALE_UNAUTHENTICATED, "(proxy_url): it wants a user and password"},
        {"407 x", "me:SECRET@", SHALE_UNAUTHENTICATED, "(proxy_url): it refuses the user"},
        {"407 x", "me:407@", SHALE_UNAUTHENTICATED, "(proxy_url): it refuses the user"},
        {"403 x", "me:SECRET@", SHALE_PERMISSION_DENIED, "(proxy_url): it answered 403"},
        {"429 x", "", SHALE_UNAVAILABLE, "(proxy_url): it answered 429"},
        {"503 x", "", SHALE_UNAVAILABLE, "(proxy_url): it answered 503"},
        {"302 x", "", SHALE_UNAVAILABLE, "(proxy_url): it answered 302"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer refuse[] = {{.status = rows[i].status, .flags = HTTP_REPEAT}};
        struct http_server *s = http_server_script(refuse, 1);
        char proxy[80];
        snprintf(proxy, sizeof proxy, "http://%s127.0.0.1:%u", rows[i].user, http_server_port(s));
        fail_through(proxy, "https://127.0.0.1:2/k", rows[i].code, rows[i].told);
        http_server_free(s);
    }
}

static void test_a_lookup_that_hangs_holds_nobody_up(void **state)
{
    (void)state;
    struct shl_http_options o;
    struct shl_http *h;
    struct shl_http_call c = {.method = SHL_HTTP_GET, .url = "http://" SLOW_HOST "/k"};
    struct shl_http_call *calls[] = {&c};
    if (LIBCURL_VERSION_NUM < 0x075700)
        skip(); /* it cannot leave one alone */
    assert_int_equal(sem_init(&may_leave, 0, 0), 0);
    assert_int_equal(sem_init(&has_left, 0, 0), 0);
    shl_http_options_init(&o);
    o.allow_http = true;
    o.connect_timeout_ms = 50;
    expect_code(SHALE_OK, shl_http_new(&h, &o, &test_err));
    shl_http_run(h, calls, 1);
    shl_http_unref(h);
    if (!atomic_load(&was_asked))
        skip(); /* libcurl was built with a resolver of its own */
    expect_code(SHALE_TIMEOUT, c.code);
    assert_int_equal(sem_post(&may_leave), 0);
    assert_int_equal(sem_wait(&has_left), 0);
    assert_true(atomic_load(&was_left_alone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_request_goes_where_its_url_says),
        cmocka_unit_test(test_nothing_is_sent_that_was_not_asked_for),
        cmocka_unit_test(test_the_environment_names_a_proxy),
        cmocka_unit_test(test_no_failure_tells_a_proxys_password),
        cmocka_unit_test(test_a_proxy_that_is_not_found_may_be_asked_again),
        cmocka_unit_test(test_a_proxy_that_refuses_tells_why),
        cmocka_unit_test(test_a_lookup_that_hangs_holds_nobody_up),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("http", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
