/* Goal: no call hangs or outlives its limits, connections are kept, replaced and shared rightly, and nobody but the right server is believed. Method: a
 * server on the loopback that stalls, closes and speaks TLS; bounds are generous, for they prove only that nothing hangs. */
#include "store/support_s3.h"

#include "base/env/env.h"
#include "base/num.h"
#include "store/wrap_retry.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETAG       "etag: \"e1\"\r\n"
#define NO_HANG_NS (30 * ENV_NS_PER_SEC)

static shale_code get_k(struct shl_store *s)
{
    struct shl_buf body = {0};
    shale_code rc = shl_store_get(s, "k", NULL, &body, NULL, &test_err);
    shl_buf_free(&body);
    return rc;
}

static shale_code put_k(struct shl_store *s)
{
    return put_mode(s, "k", "hello", SHL_PUT_OVERWRITE, NULL, NULL);
}

static shale_code put_large(struct shl_store *s)
{
    enum { BYTES = 16 << 20 }; /* more than the buffers of both ends hold */
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    uint8_t *bytes = calloc(1, BYTES);
    assert_non_null(bytes);
    struct shl_slice body = shl_slice_of(bytes, BYTES);
    shale_code rc = shl_store_put(s, "k", &body, 1, &how, NULL, &test_err);
    free(bytes);
    return rc;
}

/* ---- time limits */

static const char *const short_limits[] = {
    "connect_timeout", "300ms", "first_byte_timeout", "300ms", "read_timeout", "300ms", NULL};
static const char *const short_whole[] = {"timeout", "500ms", NULL};

static void test_what_stalls_times_out(void **state)
{
    (void)state;
    static char body[1000000];
    memset(body, 'x', sizeof body);
    static const struct {
        const char *name;
        shale_code (*run)(struct shl_store *s);
        struct http_answer answer;
        const char *says;
    } rows[] = {
        {"no answer to a get", get_k, {.flags = HTTP_SILENT}, "no answer from"},
        {"no answer to a put", put_k, {.flags = HTTP_SILENT}, "no answer from"},
        {"a body that stops",
         get_k,
         {.headers = ETAG, .body = body, .len = sizeof body, .flags = HTTP_STALL, .cut = 3000},
         "no more bytes"},
        {"a body that does not begin",
         get_k,
         {.headers = ETAG, .body = body, .len = sizeof body, .flags = HTTP_STALL},
         "no more bytes"},
        {"a body that is not read", put_large, {.flags = HTTP_UNREAD}, "no more bytes"},
        {"an error's body that stops",
         get_k,
         {.status = "500 x", .body = body, .len = sizeof body, .flags = HTTP_STALL, .cut = 10},
         "no more bytes"},
        {"a drip that never ends",
         get_k,
         {.headers = ETAG, .body = body, .len = sizeof body, .flags = HTTP_SLOW, .slow_ms = 200},
         "took too long"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {rows[i].answer,
                                       {.status = "404 Not Found", .flags = HTTP_REPEAT}};
        bool is_drip = (rows[i].answer.flags & HTTP_SLOW) != 0;
        struct s3_scene c = s3_scene_new(script, 2, is_drip ? short_whole : short_limits);
        uint64_t start = env_now_mono_ns();
        print_message("  %s\n", rows[i].name);
        expect_code(SHALE_TIMEOUT, rows[i].run(c.bare));
        s3_expect_says(rows[i].says);
        s3_expect_says("127.0.0.1:");
        assert_true(env_now_mono_ns() - start < NO_HANG_NS);
        s3_scene_free(&c);
    }
}

static void test_slow_but_steady_is_not_cut(void **state)
{
    (void)state;
    static const char *const options[] = {"read_timeout", "2s", "timeout", "20s", NULL};
    struct http_answer script[] = {
        {.headers = ETAG, .body = "0123456789", .flags = HTTP_SLOW, .slow_ms = 250}};
    struct s3_scene c = s3_scene_new(script, 1, options);
    expect_text(c.bare, "k", "0123456789");
    s3_expect_count(&c, 1);
    s3_scene_free(&c);
}

/* A put that waits for one of few connections is not a put that stalls. */
struct waiter {
    struct shl_store *s;
    shale_code rc;
    shale_error err;
};

static void put_waiting(void *arg)
{
    struct waiter *w = arg;
    struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
    struct shl_slice body = shl_slice_str("0123456789");
    w->rc = shl_store_put(w->s, "k", &body, 1, &how, NULL, &w->err);
}

static void get_waiting(void *arg)
{
    struct waiter *w = arg;
    struct shl_buf body = {0};
    w->rc = shl_store_get(w->s, "k", NULL, &body, NULL, &w->err);
    shl_buf_free(&body);
}

static void answer_slowly(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    (void)ctx;
    (void)q;
    (void)n;
    *a = (struct http_answer){
        .headers = ETAG, .body = "0123456789", .flags = HTTP_SLOW, .slow_ms = 40};
}

static void test_waiting_for_a_connection_is_no_stall(void **state)
{
    (void)state;
    static const char *const stalls[] = {
        "connections_max", "1", "read_timeout", "1s", "first_byte_timeout", "1s", NULL};
    static const char *const whole[] = {"connections_max", "1",   "timeout", "2s",
                                        "connect_timeout", "20s", NULL};
    for (int kind = 0; kind < 4; kind++) {
        struct s3_scene c = s3_scene_of(http_server_new(answer_slowly, NULL, NULL, NULL),
                                        kind < 2 ? stalls : whole);
        struct waiter all[8];
        for (size_t i = 0; i < SHL_COUNT_OF(all); i++)
            all[i] = (struct waiter){.s = c.bare};
        run_tasks(kind % 2 == 0 ? put_waiting : get_waiting, all, sizeof *all, SHL_COUNT_OF(all));
        for (size_t i = 0; i < SHL_COUNT_OF(all); i++) {
            test_err = all[i].err;
            expect_code(SHALE_OK, all[i].rc);
        }
        assert_int_equal(http_server_connections(c.server), 1);
        s3_scene_free(&c);
    }
}

static int bound_socket(unsigned *out_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *out_port = ntohs(a.sin_port);
    return fd;
}

static void test_a_refused_connection_is_unavailable(void **state)
{
    (void)state;
    char endpoint[64];
    unsigned port;
    struct shl_store *s;
    int fd = bound_socket(&port); /* bound, but nobody listens */
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", port);
    expect_code(SHALE_OK, s3_open(endpoint, NULL, &s));
    expect_code(SHALE_UNAVAILABLE, get_k(s));
    s3_expect_says("cannot connect to 127.0.0.1:");
    shl_store_unref(s);
    close(fd);
}

/* A full queue of connections that nobody accepts: the kernel answers no more. */
static void test_an_unreachable_server_is_given_up_after_the_connect_timeout(void **state)
{
    (void)state;
    char endpoint[64];
    unsigned port;
    struct shl_store *s;
    int fd = bound_socket(&port), fillers[16];
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < SHL_COUNT_OF(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&a, sizeof a);
    }
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", port);
    expect_code(SHALE_OK, s3_open(endpoint, short_limits, &s));
    uint64_t start = env_now_mono_ns();
    expect_code(SHALE_TIMEOUT, get_k(s));
    s3_expect_says("connecting timed out");
    expect_code(SHALE_TIMEOUT, put_k(s));
    s3_expect_says("connecting timed out");
    assert_true(env_now_mono_ns() - start < NO_HANG_NS);
    shl_store_unref(s);
    for (size_t i = 0; i < SHL_COUNT_OF(fillers); i++)
        close(fillers[i]);
    close(fd);
}

static void test_an_unknown_host_is_unavailable(void **state)
{
    (void)state;
    struct shl_store *s;
    expect_code(SHALE_OK, s3_open("http://no-such-host.invalid", NULL, &s));
    shale_code rc = get_k(s);
    assert_true(rc == SHALE_UNAVAILABLE ||
                rc == SHALE_TIMEOUT); /* without any network it may take its time */
    shl_store_unref(s);
}

/* A name of this machine that its resolver must look up ("localhost" would not be), or false. */
static bool name_of_loopback(char *out, size_t cap)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (gethostname(out, cap) != 0 || getaddrinfo(out, NULL, &hints, &found) != 0)
        return false;
    struct sockaddr_in a;
    memcpy(&a, found->ai_addr, sizeof a);
    freeaddrinfo(found);
    return a.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

/* Looking up names takes descriptors of its own, whose numbers sockets take over. */
static void test_names_are_looked_up_again_and_again(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG, .flags = HTTP_REPEAT},
                                   {.headers = ETAG, .flags = HTTP_REPEAT | HTTP_CLOSE}};
    char name[200], endpoint[256];
    if (!name_of_loopback(name, sizeof name)) {
        print_message("this machine's name is not that of 127.0.0.1\n");
        skip();
    }
    static const struct shl_retry_options quick = {
        .max_retries = 5, .delay_first_ns = ENV_NS_PER_MS, .delay_max_ns = ENV_NS_PER_MS};
    for (int kept = 0; kept < 2; kept++) {
        struct http_server *server = http_server_script(&script[kept], 1);
        uint64_t start = env_now_mono_ns();
        snprintf(endpoint, sizeof endpoint, "http://%s:%u", name, http_server_port(server));
        for (int i = 0; i < 20; i++) {
            /* The retry is for a connection that ends just when it is taken again. */
            struct shl_store *bare, *s;
            expect_code(SHALE_OK, s3_open(endpoint, NULL, &bare));
            expect_code(SHALE_OK, shl_store_retry_new(&s, bare, &quick, &test_err));
            for (int k = 0; k < 5; k++)
                expect_code(SHALE_OK, put_k(s));
            assert_true(shl_store_retries(s) < 5);
            shl_store_unref(s);
            shl_store_unref(bare);
        }
        print_message("  %d ms\n", (int)((env_now_mono_ns() - start) / ENV_NS_PER_MS));
        assert_true(env_now_mono_ns() - start < NO_HANG_NS);
        http_server_free(server);
    }
}

/* ---- connections */

static void test_a_kept_connection_that_was_closed_is_replaced(void **state)
{
    (void)state;
    /* Closed between two requests, and on the arrival of the second one. */
    for (size_t i = 0; i < 2; i++) {
        struct http_answer script[] = {{.headers = ETAG, .flags = i == 0 ? HTTP_CLOSE : 0},
                                       {.headers = ETAG, .flags = i == 0 ? 0 : HTTP_LOST},
                                       {.headers = ETAG}};
        struct s3_scene c = S3_SCENE(script);
        expect_code(SHALE_OK, put_k(c.store));
        expect_code(SHALE_OK, put_k(c.store));
        assert_int_equal(http_server_connections(c.server), 2);
        const struct http_request *last =
            http_server_request(c.server, http_server_count(c.server) - 1);
        assert_string_equal(last->body, "hello"); /* from its start again */
        s3_check_signature(last, S3_SECRET, S3_REGION);
        s3_scene_free(&c);
    }
}

static void test_requests_one_after_the_other_share_a_connection(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG, .flags = HTTP_REPEAT}};
    struct s3_scene c = S3_SCENE(script);
    for (int i = 0; i < 20; i++)
        expect_code(SHALE_OK, put_k(c.bare));
    assert_int_equal(http_server_connections(c.server), 1);
    s3_scene_free(&c);
}

/* One easy handle serves requests of every kind in turn: nothing of one may stick to the next. */
static void test_nothing_of_a_request_sticks_to_the_next(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.headers = ETAG},
        {.headers = ETAG "content-length: 5\r\n"},
        {.headers = ETAG, .body = "hello"},
        {.status = "204 No Content"},
        {.headers = ETAG "content-length: 5\r\n"},
        {.headers = ETAG},
        {.body = "<ListBucketResult></ListBucketResult>"},
        {.body = "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>"},
        {.headers = ETAG, .body = "hello"},
    };
    static const char *const keys[] = {"a", "b"};
    struct s3_scene c = S3_SCENE(script);
    struct shl_object o;
    expect_code(SHALE_OK, put_k(c.bare));
    expect_code(SHALE_OK, shl_store_head(c.bare, "k", &o, &test_err));
    expect_text(c.bare, "k", "hello");
    expect_code(SHALE_OK, shl_store_delete(c.bare, "k", &test_err));
    expect_code(SHALE_OK, shl_store_head(c.bare, "k", &o, &test_err));
    expect_code(SHALE_OK, put_mode(c.bare, "k", "", SHL_PUT_OVERWRITE, NULL, NULL));
    expect_keys(c.bare, NULL, "");
    expect_code(SHALE_OK, shl_store_delete_many(c.bare, keys, 2, &test_err));
    expect_text(c.bare, "k", "hello");
    static const char *const methods[] = {"PUT", "HEAD", "GET",  "DELETE", "HEAD",
                                          "PUT", "GET",  "POST", "GET"};
    for (size_t i = 0; i < SHL_COUNT_OF(methods); i++) {
        char length[32];
        const struct http_request *q = http_server_request(c.server, i);
        assert_string_equal(q->method, methods[i]);
        assert_int_equal(http_header(q, "content-length", length, sizeof length),
                         methods[i][0] == 'P');
        s3_check_signature(q, S3_SECRET, S3_REGION);
    }
    assert_int_equal(http_server_connections(c.server), 1);
    s3_scene_free(&c);
}

struct many {
    struct shl_store *s;
    size_t number;
    shale_code rc;
    shale_error err;
};

static void answer_key(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    (void)ctx;
    a->headers = ETAG;
    if (n % 97 == 96)
        a->flags = HTTP_LOST;
    else if (n % 89 == 88)
        a->status = "503 Slow Down";
    else if (strcmp(q->method, "GET") == 0) {
        a->owned = strdup(q->target);
        a->body = a->owned;
    }
}

/* Each asks for its own keys and must get just what belongs to them. */
static void ask_for_own(void *arg)
{
    struct many *m = arg;
    m->rc = SHALE_OK;
    for (size_t i = 0; i < 12 && m->rc == SHALE_OK; i++) {
        char key[32], want[64];
        struct shl_buf body = {0};
        snprintf(key, sizeof key, "k%zu-%zu", m->number, i);
        snprintf(want, sizeof want, "/bucket/%s", key);
        if (i % 4 == 3) {
            struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
            struct shl_slice part = shl_slice_str(key);
            m->rc = shl_store_put(m->s, key, &part, 1, &how, NULL, &m->err);
        } else {
            m->rc = shl_store_get(m->s, key, NULL, &body, NULL, &m->err);
            if (m->rc == SHALE_OK && !shl_slice_eq(shl_buf_view(&body), shl_slice_str(want)))
                m->rc = shl_fail(&m->err, SHALE_CORRUPTION, "%s: another's body", key);
        }
        shl_buf_free(&body);
    }
}

static void test_many_tasks_share_few_connections(void **state)
{
    (void)state;
    enum { TASKS = 64 };
    static const char *const options[] = {"connections_max", "4", NULL};
    struct s3_scene c = s3_scene_of(http_server_new(answer_key, NULL, NULL, NULL), options);
    static struct many all[TASKS];
    struct env_task *tasks[TASKS];
    for (size_t i = 0; i < TASKS; i++) {
        all[i] = (struct many){.s = c.store, .number = i};
        assert_int_equal(env_task_spawn(&tasks[i], "asker", ask_for_own, &all[i]), SHALE_OK);
    }
    for (size_t i = 0; i < TASKS; i++)
        env_task_join(tasks[i]);
    for (size_t i = 0; i < TASKS; i++) {
        test_err = all[i].err;
        expect_code(SHALE_OK, all[i].rc);
    }
    /* Four at a time, and one more for each that the server ended. */
    assert_true(http_server_connections(c.server) <= 4 + http_server_count(c.server) / 97 + 1);
    s3_scene_free(&c);
}

static void test_stores_open_and_close_without_leaving_anything(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG, .flags = HTTP_REPEAT}};
    struct http_server *server = http_server_script(script, 1);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", http_server_port(server));
    int before = dup(0);
    assert_true(before >= 0);
    close(before);
    for (int i = 0; i < 100; i++) {
        struct shl_store *s;
        expect_code(SHALE_OK, s3_open(endpoint, NULL, &s));
        if (i % 2 == 0) /* a thread, and an idle connection */
            expect_code(SHALE_OK, put_k(s));
        shl_store_unref(s);
    }
    http_server_free(server);
    int after = dup(0); /* the lowest free descriptor is what it was */
    assert_true(after <= before);
    close(after);
}

/* ---- who is believed */

static void test_plain_http_is_refused_unless_allowed(void **state)
{
    (void)state;
    static const char *const options[] = {"aws_allow_http", "false", NULL};
    struct http_answer script[] = {{.headers = ETAG}};
    struct http_server *server = http_server_script(script, 1);
    char endpoint[64];
    struct shl_store *s = NULL;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", http_server_port(server));
    expect_code(SHALE_INVALID, s3_open(endpoint, options, &s));
    s3_expect_says("aws_allow_http");
    assert_int_equal(http_server_count(server), 0);
    assert_int_equal(http_server_connections(server), 0);
    http_server_free(server);
}

static void answer_fine(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    (void)ctx;
    (void)q;
    (void)n;
    a->headers = ETAG;
}

/* "dir/name" in memory of its own. */
static char *path_in(const char *dir, const char *name)
{
    size_t cap = strlen(dir) + strlen(name) + 2;
    char *path = malloc(cap);
    assert_non_null(path);
    snprintf(path, cap, "%s/%s", dir, name);
    return path;
}

static void test_only_a_server_with_a_known_certificate_is_believed(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char *cert = path_in(dir, "cert.pem"), *key = path_in(dir, "key.pem");
    char *other = path_in(dir, "other.pem"), *other_key = path_in(dir, "other-key.pem");
    char *missing = path_in(dir, "missing.pem");
    http_make_certificate("DNS:localhost,IP:127.0.0.1", cert, key);
    http_make_certificate("DNS:other.invalid", other, other_key);
    const struct {
        const char *name;
        const char *options[3];
        const char *host;
        bool is_other; /* the server shows the other certificate */
        shale_code want;
        const char *says;
    } rows[] = {
        {"unknown", {NULL}, "127.0.0.1", false, SHALE_UNAUTHENTICATED, "certificate"},
        {"known", {"ca_file", cert, NULL}, "127.0.0.1", false, SHALE_OK, NULL},
        {"known, by name", {"ca_file", cert, NULL}, "localhost", false, SHALE_OK, NULL},
        {"another's",
         {"ca_file", other, NULL},
         "127.0.0.1",
         false,
         SHALE_UNAUTHENTICATED,
         "certificate"},
        {"for another name",
         {"ca_file", other, NULL},
         "127.0.0.1",
         true,
         SHALE_UNAUTHENTICATED,
         "certificate"},
        {"not looked at",
         {"allow_invalid_certificates", "true", NULL},
         "127.0.0.1",
         true,
         SHALE_OK,
         NULL},
        {"no such file",
         {"ca_file", missing, NULL},
         "127.0.0.1",
         false,
         SHALE_INVALID,
         "missing.pem"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_server *server = http_server_new(
            answer_fine, NULL, rows[i].is_other ? other : cert, rows[i].is_other ? other_key : key);
        struct s3_scene c = {.server = server};
        static const struct shl_retry_options for_ever = {.max_retries = SHL_RETRY_FOREVER,
                                                          .delay_first_ns = ENV_NS_PER_MS};
        char endpoint[64];
        snprintf(endpoint, sizeof endpoint, "https://%s:%u", rows[i].host,
                 http_server_port(server));
        print_message("  %s\n", rows[i].name);
        expect_code(SHALE_OK, s3_open(endpoint, rows[i].options, &c.bare));
        expect_code(SHALE_OK, shl_store_retry_new(&c.store, c.bare, &for_ever, &test_err));
        uint64_t start = env_now_mono_ns();
        expect_code(rows[i].want, put_k(c.store));
        assert_true(env_now_mono_ns() - start < NO_HANG_NS);
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        if (rows[i].want == SHALE_OK) /* over TLS the body is not hashed once more */
            s3_expect_header(&c, 0, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        else
            s3_expect_count(&c, 0);
        s3_scene_free(&c);
    }
    free(cert);
    free(key);
    free(other);
    free(other_key);
    free(missing);
    temp_dir_free(dir);
}

/* What the proxy says of itself is no part of the service's answer. */
static void test_requests_go_through_a_proxy(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char *cert = path_in(dir, "cert.pem"), *key = path_in(dir, "key.pem");
    char endpoint[64], proxy[64];
    struct http_answer script[] = {{.flags = HTTP_TUNNEL | HTTP_REPEAT}};
    http_make_certificate("IP:127.0.0.1", cert, key);
    struct http_server *tunnel = http_server_script(script, 1);
    struct s3_scene c = {.server = http_server_new(answer_key, NULL, cert, key)};
    snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%u", http_server_port(c.server));
    snprintf(proxy, sizeof proxy, "http://me:pw@127.0.0.1:%u", http_server_port(tunnel));
    const char *const options[] = {"ca_file", cert, "proxy_url", proxy, NULL};
    struct shl_object o;
    expect_code(SHALE_OK, s3_open(endpoint, options, &c.bare));
    expect_text(c.bare, "some/key", "/bucket/some/key");
    expect_code(SHALE_OK, put_mode(c.bare, "k", "hello", SHL_PUT_OVERWRITE, NULL, &o));
    assert_string_equal(o.etag, "\"e1\""); /* not the proxy's */
    assert_int_equal(http_server_count(tunnel), 1);
    assert_string_equal(http_server_request(tunnel, 0)->method, "CONNECT");
    char header[256];
    assert_false(http_header(http_server_request(tunnel, 0), "authorization", header, 256));
    s3_check_signature(http_server_request(c.server, 0), S3_SECRET, S3_REGION);
    s3_scene_free(&c);
    http_server_free(tunnel);
    free(cert);
    free(key);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_stalls_times_out),
        cmocka_unit_test(test_slow_but_steady_is_not_cut),
        cmocka_unit_test(test_waiting_for_a_connection_is_no_stall),
        cmocka_unit_test(test_a_refused_connection_is_unavailable),
        cmocka_unit_test(test_an_unreachable_server_is_given_up_after_the_connect_timeout),
        cmocka_unit_test(test_an_unknown_host_is_unavailable),
        cmocka_unit_test(test_names_are_looked_up_again_and_again),
        cmocka_unit_test(test_a_kept_connection_that_was_closed_is_replaced),
        cmocka_unit_test(test_requests_one_after_the_other_share_a_connection),
        cmocka_unit_test(test_nothing_of_a_request_sticks_to_the_next),
        cmocka_unit_test(test_many_tasks_share_few_connections),
        cmocka_unit_test(test_stores_open_and_close_without_leaving_anything),
        cmocka_unit_test(test_plain_http_is_refused_unless_allowed),
        cmocka_unit_test(test_only_a_server_with_a_known_certificate_is_believed),
        cmocka_unit_test(test_requests_go_through_a_proxy),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 network", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
