/* Goal: a server, or what stands before it, that breaks the rules of HTTP neither makes a write count that did not happen, nor gives one object's
 * answer for another, nor holds anybody up for ever. Method: a scripted server; requests and connections are counted. */
#include "store/support_s3_ops.h"

#include "base/num.h"
#include "store/open.h"
#include "store/s3.h"
#include "store/s3_answer.h"
#include "store/wrap_retry.h"
#include <shale/shale.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- an answer before the request is there */

#define LARGE (16 << 20) /* more than the buffers between the two hold */

static void test_a_success_before_the_body_was_sent_is_none(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG "connection: close\r\n", .flags = HTTP_EARLY},
                                   {.headers = ETAG}};
    struct shl_slice body = {.data = calloc(1, LARGE), .len = LARGE};
    static const struct shl_put plain = {.mode = SHL_PUT_OVERWRITE};
    struct shl_object o;
    assert_non_null(body.data);
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_UNAVAILABLE, shl_store_put(c.bare, "k", &body, 1, &plain, &o, &test_err));
    s3_expect_says("outcome unknown");
    s3_expect_says("before all of the body was sent");
    expect_code(SHALE_OK, shl_store_put(c.bare, "k", &body, 1, &plain, &o, &test_err));
    assert_int_equal(http_server_request(c.server, 1)->body_len, LARGE);
    s3_scene_free(&c);
    free((void *)(uintptr_t)body.data);
}

/* ---- an answer to nothing */

static void test_an_answer_that_nobody_asked_for_is_not_the_next_ones(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG, .body = "one"},
                                   {.headers = ETAG, .body = "two"}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_buf body = {0};
    expect_code(SHALE_OK, shl_store_get(c.bare, "a", NULL, &body, NULL, &test_err));
    http_server_push(c.server, 0, "HTTP/1.1 200 OK\r\n" ETAG "content-length: 3\r\n\r\nbad");
    expect_code(SHALE_OK, shl_store_get(c.bare, "b", NULL, &body, NULL, &test_err));
    assert_int_equal(body.len, 6);
    assert_memory_equal(body.data, "onetwo", 6);
    assert_int_equal(http_server_connections(c.server), 2);
    shl_buf_free(&body);
    s3_scene_free(&c);
}

/* What a middlebox sent twice, as the next request finds it that went out before the second copy came. */
static void test_an_answer_that_comes_twice_is_not_the_next_ones(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.headers = ETAG "x-amz-request-id: A\r\n"},
        {.headers = ETAG "x-amz-request-id: B\r\n"},
        {.headers = ETAG "x-amz-request-id: B\r\n"},
        {.headers = ETAG "x-amz-request-id: C\r\n", .body = "one"},
        {.headers = ETAG "x-amz-request-id: D\r\n", .body = "two"},
        {.headers = ETAG "x-amz-request-id: C\r\n", .body = "one"}, /* and that of the one before */
        {.headers = ETAG "x-amz-request-id: E\r\n", .body = "three"}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_buf body = {0};
    for (int i = 0; i < 2; i++)
        expect_code(SHALE_OK, s3_put_plain(c.bare));
    expect_code(SHALE_UNAVAILABLE, s3_put_create(c.bare));
    s3_expect_says("outcome unknown: the answer to PUT \"k\" was lost");
    s3_expect_says("an answer to an earlier request came once more from 127.0.0.1:");
    assert_int_equal(http_server_connections(c.server), 1);
    expect_code(SHALE_OK, shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err));
    expect_code(SHALE_OK, shl_store_get(c.bare, "l", NULL, &body, NULL, &test_err));
    assert_int_equal(http_server_connections(c.server), 2);
    expect_code(SHALE_OK, shl_store_get(c.store, "m", NULL, &body, NULL, &test_err));
    assert_int_equal(body.len, 11);
    assert_memory_equal(body.data, "onetwothree", 11);
    assert_int_equal(http_server_connections(c.server), 3);
    shl_buf_free(&body);
    s3_scene_free(&c);
}

/* A cache between gives the same object again with the id that its first answer had. */
static void test_a_cache_repeats_ids(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG "x-amz-request-id: A\r\n", .body = "one"},
                                   {.headers = ETAG "x-amz-request-id: B\r\n", .body = "two"},
                                   {.headers = ETAG "x-amz-request-id: A\r\n", .body = "one"},
                                   {.headers = ETAG "x-amz-request-id: A\r\n", .body = "one"}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_buf body = {0};
    static const char *const keys[] = {"a", "b", "a", "a"};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++)
        expect_code(SHALE_OK, shl_store_get(c.bare, keys[i], NULL, &body, NULL, &test_err));
    assert_memory_equal(body.data, "onetwooneone", 12);
    assert_int_equal(http_server_connections(c.server), 1);
    shl_buf_free(&body);
    s3_scene_free(&c);
}

static void test_an_answer_about_an_object_is_none_to_a_list(void **state)
{
    (void)state;
    struct http_answer none = s3_error_of("404 Not Found", "NoSuchKey");
    struct http_answer script[] = {none};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_UNAVAILABLE, s3_list_all(c.bare));
    s3_expect_says("an answer about another request");
    s3_scene_free(&c);
}

static void test_servers_whose_answers_all_have_one_id(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.headers = ETAG "x-amz-request-id: same\r\n", .flags = HTTP_REPEAT}};
    struct s3_scene c = S3_SCENE(script);
    for (int i = 0; i < 8; i++)
        expect_code(SHALE_OK, s3_put_plain(c.bare));
    assert_int_equal(http_server_connections(c.server), 1);
    s3_scene_free(&c);
}

/* A gateway before the servers has one id for all that it refuses. That is no answer to act upon; but the connection has had its day. */
static void test_failures_that_all_have_one_id_are_failures(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.headers = ETAG "x-amz-request-id: A\r\n"},
        {.headers = ETAG "x-amz-request-id: B\r\n"},
        {.status = "403 Forbidden", .headers = "x-amz-request-id: same\r\n"},
        {.status = "403 Forbidden", .headers = "x-amz-request-id: same\r\n"},
        {.headers = ETAG "x-amz-request-id: C\r\n"},
        {.headers = ETAG "x-amz-request-id: D\r\n"}};
    struct s3_scene c = S3_SCENE(script);
    for (size_t i = 0; i < SHL_COUNT_OF(script); i++) {
        expect_code(i == 2 || i == 3 ? SHALE_PERMISSION_DENIED : SHALE_OK, s3_put_plain(c.bare));
        assert_int_equal(http_server_connections(c.server), i < 4 ? 1 : 2);
    }
    s3_scene_free(&c);
}

/* Where the server has no ids, two answers that have all headers in common, the time too, are one, if different things were asked. */
static void test_the_same_headers_are_the_same_answer(void **state)
{
    (void)state;
#define AT(second) ETAG "date: Wed, 21 Oct 2015 07:28:0" second " GMT\r\n"
    struct http_answer script[] = {{.headers = AT("0")}, /* a put */
                                   {.headers = AT("0")}, /* once more the same */
                                   {.headers = AT("0")}, /* of other bytes */
                                   {.headers = AT("1")},
                                   {.headers = AT("1")}, /* to a get: the put's */
                                   {.headers = AT("1"), .body = "hello"},
                                   {.headers = AT("2") "content-length: 0\r\n"}, /* a head */
                                   {.headers = AT("2") "content-length: 0\r\n"}, /* of another */
                                   {.headers = AT("3") "content-length: 0\r\n"},
                                   {.status = "204 x", .headers = AT("4")},  /* a delete */
                                   {.status = "204 x", .headers = AT("5")}}; /* of another */
    struct s3_scene c = S3_SCENE(script);
    struct shl_object o;
    for (int i = 0; i < 2; i++)
        expect_code(SHALE_OK, put_mode(c.bare, "k", "a", SHL_PUT_OVERWRITE, NULL, NULL));
    expect_code(SHALE_OK, put_mode(c.store, "k", "b", SHL_PUT_OVERWRITE, NULL, NULL));
    assert_int_equal(http_server_connections(c.server), 2);
    expect_code(SHALE_OK, s3_get_all(c.store));
    assert_int_equal(http_server_connections(c.server), 3);
    expect_code(SHALE_OK, shl_store_head(c.store, "k", &o, &test_err));
    expect_code(SHALE_OK, shl_store_head(c.store, "l", &o, &test_err));
    assert_int_equal(http_server_connections(c.server), 4);
    expect_code(SHALE_OK, shl_store_delete(c.bare, "k", &test_err));
    expect_code(SHALE_OK, shl_store_delete(c.bare, "l", &test_err));
    assert_int_equal(http_server_connections(c.server), 4);
    s3_scene_free(&c);
}

/* So many servers answer: nothing tells them apart, and nothing needs to. */
static void test_answers_without_an_etag_may_be_alike(void **state)
{
    (void)state;
    static const char date[] = "date: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    struct http_answer gone = {.status = "204 x", .headers = date};
    struct http_answer none = {.status = "404 x", .headers = date};
    struct http_answer refused = {.status = "412 x", .headers = AT("0")};
    struct http_answer script[] = {gone, gone, none, none, refused, refused};
    struct s3_scene c = S3_SCENE(script);
    static const char *const keys[] = {"k", "l"};
    struct shl_object o;
    for (size_t i = 0; i < 2; i++)
        expect_code(SHALE_OK, shl_store_delete(c.bare, keys[i], &test_err));
    for (size_t i = 0; i < 2; i++)
        expect_code(SHALE_NOT_FOUND, shl_store_head(c.bare, keys[i], &o, &test_err));
    for (size_t i = 0; i < 2; i++)
        expect_code(SHALE_ALREADY_EXISTS,
                    put_mode(c.bare, keys[i], "x", SHL_PUT_CREATE, NULL, NULL));
    assert_int_equal(http_server_connections(c.server), 1);
    s3_scene_free(&c);
}

/* The look before failed once, and libcurl sent the lost request again: it is ours all the same. */
static void test_a_bucket_that_was_made_unseen_is_ours(void **state)
{
    (void)state;
    struct http_answer owned = s3_error_of("409 Conflict", "BucketAlreadyOwnedByYou");
    struct http_answer script[] = {
        {.status = "500 x"}, {.status = "404 x"}, {.flags = HTTP_LOST}, owned};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, shl_store_s3_make_bucket(c.bare, &test_err));
    s3_expect_count(&c, 4);
    s3_scene_free(&c);
}

/* The answer to a create, say, that comes a second time. */
static void test_a_condition_that_was_not_made_does_not_fail(void **state)
{
    (void)state;
    static const char *const statuses[] = {"412 x", "304 x"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct http_answer script[] = {{.status = statuses[i], .headers = ETAG},
                                       {.headers = ETAG, .body = "hello"}};
        struct s3_scene c = S3_SCENE(script);
        expect_code(SHALE_OK, s3_get_all(c.store));
        s3_expect_count(&c, 2);
        s3_scene_free(&c);
    }
}

/* ---- lines and bodies without an end */

static void test_a_proxy_whose_refusal_has_no_end_is_given_up(void **state)
{
    (void)state;
    static char filler[65536];
    memset(filler, 'x', sizeof filler);
    struct http_answer script[] = {{.status = "407 x",
                                    .headers = "content-length: 1099511627776\r\n",
                                    .body = filler,
                                    .len = sizeof filler,
                                    .flags = HTTP_ENDLESS | HTTP_REPEAT}};
    struct http_server *proxy = http_server_script(script, 1);
    char url[80];
    struct shl_store *s;
    snprintf(url, sizeof url, "http://127.0.0.1:%u", http_server_port(proxy));
    const char *const options[] = {"proxy_url", url, "connect_timeout", "300ms", NULL};
    expect_code(SHALE_OK, s3_open("https://s3.test", options, &s));
    expect_code(SHALE_TIMEOUT, s3_put_plain(s));
    s3_expect_says("cannot get through proxy 127.0.0.1:");
    s3_expect_says("its answer has no end");
    assert_null(strstr(test_err.text, "outcome unknown"));
    shl_store_unref(s);
    http_server_free(proxy);
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

/* What cannot even begin ends when nobody waits for it any more, long before the time to connect is over; also where libcurl does not come back. */
static void test_who_has_no_connection_gives_up_when_told_to(void **state)
{
    (void)state;
    static char filler[65536];
    memset(filler, 'x', sizeof filler);
    struct http_answer script[] = {{.status = "407 x",
                                    .headers = "content-length: 1099511627776\r\n",
                                    .body = filler,
                                    .len = sizeof filler,
                                    .flags = HTTP_ENDLESS | HTTP_REPEAT}};
    for (int is_proxy = 0; is_proxy < 2; is_proxy++) {
        struct http_server *server = http_server_script(script, 1);
        char plain[80], safe[80];
        struct shl_store *s;
        snprintf(plain, sizeof plain, "http://127.0.0.1:%u", http_server_port(server));
        snprintf(safe, sizeof safe, "https://127.0.0.1:%u", http_server_port(server));
        const struct shl_store_option options[] = {
            {.key = "aws_access_key_id", .value = S3_KEY_ID},
            {.key = "aws_secret_access_key", .value = S3_SECRET},
            {.key = "connect_timeout", .value = "3600s"},
            {.key = "aws_endpoint", .value = is_proxy ? "https://s3.test" : safe},
            {.key = "proxy_url", .value = is_proxy ? plain : ""}};
        const struct shl_store_config config = {
            .options = options, .option_count = SHL_COUNT_OF(options), .cancelled = always};
        expect_code(SHALE_OK, shl_store_open_raw("s3://bucket", &config, &s, &test_err));
        expect_code(SHALE_TIMEOUT, s3_put_plain(s));
        s3_expect_says(is_proxy ? "(proxy_url): given up before its answer was whole"
                                : "given up before there was a connection to 127.0.0.1:");
        assert_null(strstr(test_err.text, "outcome unknown"));
        shl_store_unref(s);
        http_server_free(server);
    }
}

/* libcurl says of it that it has no memory, which would be ours to say, and for good. */
static void test_a_header_line_without_an_end_is_no_lack_of_memory(void **state)
{
    (void)state;
    static char answer[200000];
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nx-long: ");
    memset(answer + n, 'x', sizeof answer - 1 - (size_t)n);
    struct http_answer script[] = {{.body = answer, .flags = HTTP_RAW},
                                   {.headers = ETAG},
                                   {.body = answer, .flags = HTTP_RAW}}; /* a kept connection */
    struct s3_scene c = S3_SCENE(script);
    for (int i = 0; i < 2; i++) {
        expect_code(SHALE_UNAVAILABLE, s3_put_plain(c.bare));
        s3_expect_says("outcome unknown");
        s3_expect_says("too long a header line");
        if (i == 0)
            expect_code(SHALE_OK, s3_put_plain(c.store));
    }
    s3_scene_free(&c);
}

#define HUGE_LENGTH ETAG "content-length: 1099511627776\r\n"

static void test_no_memory_is_taken_for_more_than_is_wanted(void **state)
{
    (void)state;
    static char filler[65536];
    static const struct shl_get small = {.kind = SHL_GET_ALL, .max = 100};
    const struct http_answer endless = {
        .headers = HUGE_LENGTH, .body = filler, .len = sizeof filler, .flags = HTTP_ENDLESS};
    const struct {
        const char *name;
        struct http_answer script[2];
        shale_code code;
        const char *says;
    } rows[] = {{"it has so much",
                 {endless, {.headers = HUGE_LENGTH}},
                 SHALE_CORRUPTION,
                 "\"k\" has 1099511627776 bytes, and no more than 100 are expected"},
                {"it has not",
                 {endless, {.headers = ETAG "content-length: 100\r\n"}},
                 SHALE_UNAVAILABLE,
                 "get \"k\": an answer of 1099511627776 bytes, and no more than 100 are expected"},
                {"that cannot be told",
                 {endless, {.status = "403 Forbidden"}},
                 SHALE_UNAVAILABLE,
                 "an answer of 1099511627776 bytes"},
                {"no length",
                 {{.headers = ETAG, .body = filler, .len = sizeof filler, .flags = HTTP_CHUNKED}},
                 SHALE_UNAVAILABLE,
                 "the answer has no Content-Length"},
                {"one byte too many",
                 {{.headers = ETAG, .body = filler, .len = 101},
                  {.headers = ETAG "content-length: 101\r\n"}},
                 SHALE_CORRUPTION,
                 "\"k\" has 101 bytes"},
                {"just that", {{.headers = ETAG, .body = filler, .len = 100}}, SHALE_OK, NULL}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct s3_scene c = S3_SCENE(rows[i].script);
        struct shl_buf body = {0};
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].code, shl_store_get(c.bare, "k", &small, &body, NULL, &test_err));
        assert_true(body.cap <= 4096);
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        shl_buf_free(&body);
        s3_scene_free(&c);
    }
}

static shale_code public_get(struct http_server *server, size_t *out_len)
{
    static const char *const more[][2] = {{"aws_allow_http", "true"},
                                          {"aws_access_key_id", S3_KEY_ID},
                                          {"aws_secret_access_key", S3_SECRET}};
    char endpoint[64];
    shale_options *o = shale_options_new();
    shale_store *s;
    void *body = NULL;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", http_server_port(server));
    expect_code(SHALE_OK, shale_options_set_store(o, "aws_endpoint", endpoint, &test_err));
    for (size_t i = 0; i < SHL_COUNT_OF(more); i++)
        expect_code(SHALE_OK, shale_options_set_store(o, more[i][0], more[i][1], &test_err));
    expect_code(SHALE_OK, shale_store_open(&s, "s3://bucket", o, &test_err));
    shale_code rc = shale_store_get(s, "k", &body, out_len, &test_err);
    shale_store_body_free(body);
    shale_store_close(s);
    shale_options_free(o);
    return rc;
}

/* What the program prints of an object: as much as it has, and nothing of an answer that is longer. */
static void test_a_get_of_any_object_ends_with_it(void **state)
{
    (void)state;
    static char filler[65536];
    const size_t large = (64 << 20) + 1;
    char *bytes = calloc(1, large);
    const struct http_answer endless = {
        .headers = HUGE_LENGTH, .body = filler, .len = sizeof filler, .flags = HTTP_ENDLESS};
    const struct http_answer whole = {.headers = ETAG, .body = bytes, .len = large};
    const struct http_answer head = {.headers = ETAG "content-length: 67108865\r\n"};
    const struct http_answer broken[] = {
        endless, {.headers = ETAG "content-length: 5\r\n"}, {.headers = ETAG, .body = "hello"}};
    const struct http_answer fine[] = {whole, head, head, whole};
    size_t len = 0;
    assert_non_null(bytes);
    struct http_server *s = http_server_script(broken, SHL_COUNT_OF(broken));
    expect_code(SHALE_OK, public_get(s, &len));
    assert_int_equal(len, 5);
    http_server_free(s);
    s = http_server_script(fine, SHL_COUNT_OF(fine));
    expect_code(SHALE_OK, public_get(s, &len));
    assert_int_equal(len, large);
    http_server_free(s);
    free(bytes);
}

/* A server that always has new keys and a new token. */
static void test_a_list_without_an_end_has_one(void **state)
{
    (void)state;
    static char long_key[60000];
    memset(long_key, 'x', sizeof long_key - 1);
    for (int is_long = 0; is_long < 2; is_long++) {
        struct s3_walk w = {0};
        shale_code rc = SHALE_OK;
        unsigned n = 0;
        for (; rc == SHALE_OK; n++) {
            char *key = is_long ? long_key : (char[16]){0};
            snprintf(key, 16, "%010u", n);
            key[10] = is_long ? 'x' : '\0';
            struct shl_list_item item = {.key = key};
            struct s3_page page = {.items = {.items = &item, .count = 1}};
            rc = shl_s3_walk_on(&w, &page, "s3://bucket", &test_err);
        }
        shl_s3_walk_end(&w);
        expect_code(SHALE_NOT_SUPPORTED, rc);
        assert_int_equal(shl_retry_allowance(rc), 0);
        s3_expect_says("list of s3://bucket has no end: ");
        assert_int_equal(n, is_long ? S3_LIST_BYTES_MAX / (sizeof long_key + 23) + 1
                                    : S3_PAGES_MAX + 1);
    }
}

/* ---- successes that are none */

struct teapot {
    const char *status;
    char put_id[64]; /* of what is there; "" and bytes 0: nothing is */
    size_t puts;
};

/* The first put is told a success and forgotten, the next one is kept. */
static void answer_teapot(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    struct teapot *t = ctx;
    (void)n;
    a->headers = ETAG;
    if (strcmp(q->method, "PUT") == 0) {
        a->status = t->puts++ == 0 ? t->status : NULL;
        if (t->puts > 1)
            (void)http_header(q, "x-amz-meta-slatedbputid", t->put_id, sizeof t->put_id);
    } else if (t->puts < 2) {
        a->status = "404 Not Found";
    }
}

static void test_a_success_that_is_not_200_is_looked_at(void **state)
{
    (void)state;
    static const char *const statuses[] = {"201 Created", "202 Accepted", "203 x", "204 x",
                                           "206 x"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct teapot t = {.status = statuses[i]};
        struct s3_scene c = s3_scene_of(http_server_new(answer_teapot, &t, NULL, NULL), NULL);
        print_message("  %s\n", statuses[i]);
        expect_code(SHALE_OK, s3_put_plain(c.store));
        assert_int_equal(t.puts, 2);
        s3_expect_count(&c, 3);
        s3_scene_free(&c);
    }
}

static void test_a_part_that_is_not_answered_with_200_is_sent_again(void **state)
{
    (void)state;
    static const char *const statuses[] = {"201 Created", "204 No Content", "206 x"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct http_answer script[] = {{.body = STARTED},
                                       {.headers = ETAG, .status = statuses[i]},
                                       {.headers = ETAG},
                                       {.headers = ETAG},
                                       {.body = COMPLETED}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s\n", statuses[i]);
        expect_code(SHALE_OK, s3_upload_two_parts(c.store));
        s3_expect_count(&c, 5);
        assert_string_equal(http_server_request(c.server, 1)->target,
                            http_server_request(c.server, 2)->target);
        s3_scene_free(&c);
    }
}

/* That to a get, which the put's own stands behind. */
static void test_a_put_that_is_answered_with_a_body_is_looked_at(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.headers = ETAG, .body = "hello"}, {.status = "404 Not Found"}, {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_put_plain(c.store));
    s3_expect_request(&c, 1, "HEAD", ODD_URL);
    s3_expect_request(&c, 2, "PUT", ODD_URL);
    s3_scene_free(&c);
}

static void test_a_put_that_may_not_be_looked_at(void **state)
{
    (void)state;
    static const struct http_answer answers[] = {
        {.status = "202 Accepted"}, {.status = "200 OK"}, {.headers = ETAG, .body = "<html>"}};
    for (size_t i = 0; i < SHL_COUNT_OF(answers); i++) {
        struct http_answer script[] = {answers[i], {.status = "403 Forbidden"}};
        struct s3_scene c = S3_SCENE(script);
        expect_code(SHALE_UNAVAILABLE, s3_put_plain(c.bare));
        s3_expect_says("outcome unknown");
        s3_scene_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_success_before_the_body_was_sent_is_none),
        cmocka_unit_test(test_an_answer_that_nobody_asked_for_is_not_the_next_ones),
        cmocka_unit_test(test_an_answer_that_comes_twice_is_not_the_next_ones),
        cmocka_unit_test(test_a_cache_repeats_ids),
        cmocka_unit_test(test_an_answer_about_an_object_is_none_to_a_list),
        cmocka_unit_test(test_servers_whose_answers_all_have_one_id),
        cmocka_unit_test(test_failures_that_all_have_one_id_are_failures),
        cmocka_unit_test(test_the_same_headers_are_the_same_answer),
        cmocka_unit_test(test_answers_without_an_etag_may_be_alike),
        cmocka_unit_test(test_a_bucket_that_was_made_unseen_is_ours),
        cmocka_unit_test(test_a_condition_that_was_not_made_does_not_fail),
        cmocka_unit_test(test_a_proxy_whose_refusal_has_no_end_is_given_up),
        cmocka_unit_test(test_who_has_no_connection_gives_up_when_told_to),
        cmocka_unit_test(test_a_header_line_without_an_end_is_no_lack_of_memory),
        cmocka_unit_test(test_no_memory_is_taken_for_more_than_is_wanted),
        cmocka_unit_test(test_a_get_of_any_object_ends_with_it),
        cmocka_unit_test(test_a_list_without_an_end_has_one),
        cmocka_unit_test(test_a_success_that_is_not_200_is_looked_at),
        cmocka_unit_test(test_a_part_that_is_not_answered_with_200_is_sent_again),
        cmocka_unit_test(test_a_put_that_is_answered_with_a_body_is_looked_at),
        cmocka_unit_test(test_a_put_that_may_not_be_looked_at),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 hostile servers", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
