/* Goal: servers that drip, ask for long pauses, leave out an ETag or repeat secrets do no harm: calls end, writes that happened are not denied, secrets
 * are not told. Method: a scripted server; requests are counted. */
#include "store/support_s3_ops.h"

#include "base/env/env.h"
#include "base/num.h"
#include "store/open.h"
#include "store/wrap_retry.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- drips */

enum { OBJECT = 20 * 16384 };
static uint8_t object[OBJECT];

struct dripper {
    size_t cut_at; /* of the first answer */
    size_t cut_later;
    uint64_t each_ns; /* before each answer */
};

static void answer_dripping(void *ctx, const struct http_request *q, size_t n,
                            struct http_answer *a)
{
    const struct dripper *d = ctx;
    char range[80];
    unsigned long first = 0;
    if (http_header(q, "range", range, sizeof range))
        assert_int_equal(sscanf(range, "bytes=%lu-", &first), 1);
    env_sleep_ns(d->each_ns);
    a->owned = malloc(256);
    snprintf(a->owned, 256, ETAG "content-range: bytes %lu-%d/%d\r\n", first, OBJECT - 1, OBJECT);
    a->headers = first > 0 ? a->owned : ETAG;
    a->status = first > 0 ? "206 Partial Content" : "200 OK";
    a->body = (const char *)object + first;
    a->len = OBJECT - first;
    a->cut = n == 0 ? d->cut_at : d->cut_later;
    if (a->cut < a->len)
        a->flags = HTTP_CUT;
}

/* One resume at once; what brings as good as nothing is then for the retries, with their number and their pauses. */
static void test_a_drip_costs_retries(void **state)
{
    (void)state;
    struct dripper d = {.cut_at = 7, .cut_later = 7};
    struct s3_scene c = s3_scene_of(http_server_new(answer_dripping, &d, NULL, NULL), NULL);
    struct shl_buf body = {0};
    expect_code(SHALE_UNAVAILABLE, shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err));
    s3_expect_count(&c, 2);
    expect_code(SHALE_UNAVAILABLE, shl_store_get(c.store, "k", NULL, &body, NULL, &test_err));
    s3_expect_says("(6 tries");
    s3_expect_count(&c, 2 + 6 * 2);
    assert_int_equal(body.len, 0);
    s3_scene_free(&c);
    d = (struct dripper){.cut_at = 40000, .cut_later = 7}; /* much, and then a drip */
    c = s3_scene_of(http_server_new(answer_dripping, &d, NULL, NULL), NULL);
    expect_code(SHALE_UNAVAILABLE, shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err));
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
    shl_buf_free(&body);
}

static void test_resumes_end_with_the_time_of_one_request(void **state)
{
    (void)state;
    static const char *const options[] = {"timeout", "300ms", NULL};
    struct dripper d = {.cut_at = 20000, .cut_later = 20000, .each_ns = 60 * ENV_NS_PER_MS};
    struct s3_scene c = s3_scene_of(http_server_new(answer_dripping, &d, NULL, NULL), options);
    struct shl_buf body = {0};
    shale_code rc = shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err);
    assert_true(rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT);
    assert_true(http_server_count(c.server) <= 6); /* of the 17 that it would take */
    shl_buf_free(&body);
    s3_scene_free(&c);
}

/* ---- pauses */

static void test_pauses_that_are_asked_for_have_a_sum(void **state)
{
    (void)state;
    static const char *const said[] = {"1", "3600"};
    for (size_t i = 0; i < SHL_COUNT_OF(said); i++) {
        char header[64];
        snprintf(header, sizeof header, "retry-after: %s\r\n", said[i]);
        struct http_answer script[] = {
            {.status = "503 Slow Down", .headers = header, .flags = HTTP_REPEAT}};
        static const struct shl_retry_options patient = {.max_retries = 1000,
                                                         .delay_first_ns = ENV_NS_PER_MS,
                                                         .delay_max_ns = ENV_NS_PER_MS,
                                                         .asked_max_ns = 3 * ENV_NS_PER_SEC / 2};
        struct s3_scene c = S3_SCENE(script);
        struct shl_store *s;
        expect_code(SHALE_OK, shl_store_retry_new(&s, c.bare, &patient, &test_err));
        expect_code(SHALE_UNAVAILABLE, s3_put_plain(s));
        s3_expect_count(&c, i == 0 ? 2 : 1); /* a second, and no other; an hour not at all */
        s3_expect_says(i == 0 ? "it asks to wait 1 s" : "it asks to wait 3600 s");
        s3_expect_says("; not tried again: the store asked to be left alone for ");
        shl_store_unref(s);
        s3_scene_free(&c);
    }
}

/* ---- no ETag */

struct forgetful {
    char put_id[64];
    const char *head_etag;  /* NULL: none there either */
    const char *head_first; /* status of the first HEAD; NULL: 200 */
    bool is_anothers;
    bool is_older;  /* what a GET finds */
    unsigned bytes; /* of the object there */
    size_t puts, heads;
};

static void answer_without_etag(void *ctx, const struct http_request *q, size_t n,
                                struct http_answer *a)
{
    struct forgetful *f = ctx;
    (void)n;
    if (strcmp(q->method, "PUT") == 0) {
        char condition[64];
        if (f->puts++ > 0 && (http_header(q, "if-none-match", condition, sizeof condition) ||
                              http_header(q, "if-match", condition, sizeof condition)))
            a->status = "412 Precondition Failed";
        else if (!http_header(q, "x-amz-meta-slatedbputid", f->put_id, sizeof f->put_id))
            f->put_id[0] = '\0';
        return;
    }
    if (strcmp(q->method, "GET") == 0) {
        *a = (struct http_answer){.headers = "etag: \"e\"\r\n", .body = f->is_older ? "y" : "x"};
        return;
    }
    if (f->heads++ == 0 && f->head_first != NULL) {
        a->status = f->head_first;
        return;
    }
    a->owned = malloc(256);
    snprintf(a->owned, 256, "%s%s%scontent-length: %u\r\nx-amz-meta-slatedbputid: %s\r\n",
             f->head_etag != NULL ? "etag: " : "", f->head_etag != NULL ? f->head_etag : "",
             f->head_etag != NULL ? "\r\n" : "", f->bytes, f->is_anothers ? OTHER : f->put_id);
    a->headers = a->owned;
}

static void test_a_put_without_an_etag_is_no_failure(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum shl_put_mode mode;
        struct forgetful server;
        shale_code want;
        const char *etag;
        size_t requests;
    } rows[] = {
        {"overwrite", SHL_PUT_OVERWRITE, {.head_etag = "\"h\"", .bytes = 1}, SHALE_OK, "", 3},
        {"overwrite, an older one is as long",
         SHL_PUT_OVERWRITE,
         {.head_etag = "\"h\"", .bytes = 1, .is_older = true},
         SHALE_UNAVAILABLE,
         "",
         18},
        {"overwrite, by a page to log in at",
         SHL_PUT_OVERWRITE,
         {.bytes = 700},
         SHALE_UNAVAILABLE,
         "",
         12},
        {"overwrite, nothing is there",
         SHL_PUT_OVERWRITE,
         {.head_first = "404 x", .bytes = 1},
         SHALE_OK,
         "",
         5},
        {"create", SHL_PUT_CREATE, {.head_etag = "\"h\"", .bytes = 1}, SHALE_OK, "\"h\"", 2},
        {"if-match", SHL_PUT_IF_MATCH, {.head_etag = "\"h\"", .bytes = 1}, SHALE_OK, "\"h\"", 2},
        {"nor any elsewhere", SHL_PUT_CREATE, {.bytes = 1}, SHALE_OK, "", 2},
        {"it may not be read at first", SHL_PUT_CREATE, {.head_first = "403 x"}, SHALE_OK, "", 4},
        {"not found out at once",
         SHL_PUT_CREATE,
         {.head_etag = "\"h\"", .head_first = "503 x", .bytes = 1},
         SHALE_OK,
         "\"h\"",
         4},
        {"another's by now",
         SHL_PUT_CREATE,
         {.head_etag = "\"h\"", .is_anothers = true, .bytes = 1},
         SHALE_ALREADY_EXISTS,
         "",
         4},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct forgetful f = rows[i].server;
        struct s3_scene c = s3_scene_of(http_server_new(answer_without_etag, &f, NULL, NULL), NULL);
        struct shl_object o = {0};
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want,
                    put_mode(c.store, "k", "x", rows[i].mode,
                             rows[i].mode == SHL_PUT_IF_MATCH ? "\"old\"" : NULL, &o));
        if (rows[i].want == SHALE_UNAVAILABLE)
            s3_expect_says("the answer was not 200 with an ETag alone, and the object there is not "
                           "what was sent");
        if (rows[i].want == SHALE_OK)
            assert_string_equal(o.etag, rows[i].etag);
        s3_expect_count(&c, rows[i].requests);
        s3_scene_free(&c);
    }
    struct http_answer none[] = {{.status = "599 x"}};
    struct s3_scene c = S3_SCENE(none); /* what an ETag that is not known is good for */
    expect_code(SHALE_NOT_SUPPORTED, put_mode(c.store, "k", "x", SHL_PUT_IF_MATCH, "", NULL));
    s3_expect_says("without an ETag");
    s3_expect_count(&c, 0);
    s3_scene_free(&c);
}

/* ---- secrets */

#define TOKEN "CANARYtoken/FwoGZXIvYXdzEJr+0000000000=="
#define SSE   "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0E="

static char logged[65536];

static void on_log(void *ctx, enum shl_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    size_t n = strlen(logged);
    snprintf(logged + n, sizeof logged - n, "%s\n", text);
}

static void expect_hushed(const char *text)
{
    static const char *const canaries[] = {S3_SECRET, "wJalrXUtnFEMI", TOKEN, "CANARYtoken",
                                           SSE,       "Q0FOQVJZQ0FO"};
    for (size_t i = 0; i < SHL_COUNT_OF(canaries); i++)
        if (strstr(text, canaries[i]) != NULL)
            fail_msg("\"%s\" tells %s", text, canaries[i]);
}

/* The secret, the token, the customer's key and the very signature, wherever a server can say something. */
static void answer_telling(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    const char *status = ctx;
    char auth[600], repeated[900];
    (void)n;
    assert_true(http_header(q, "authorization", auth, sizeof auth));
    const char *signature = strstr(auth, "Signature=");
    assert_non_null(signature);
    snprintf(repeated, sizeof repeated, "%s " S3_SECRET " " TOKEN " " SSE " %s", signature,
             signature + strlen("Signature="));
    a->owned = malloc(8192);
    int head = snprintf(a->owned, 8192,
                        "x-amz-request-id: " TOKEN "\r\nx-amz-bucket-region: " S3_SECRET
                        "\r\nretry-after: " TOKEN "\r\ncontent-range: " SSE "\r\n");
    assert_true(head > 0);
    char *body = a->owned + head + 1;
    const char *what =
        strstr(q->target, "delete=") != NULL && status[0] == '2' ? "DeleteResult" : NULL;
    snprintf(body, 8192 - (size_t)head - 1,
             "%s%s%s<Error><Key>%s</Key><Code>%.60s</Code><Message>%s</Message><Region>%s</Region>"
             "<RequestId>%s</RequestId></Error>%s%s%s",
             what != NULL ? "<" : "", what != NULL ? what : "", what != NULL ? ">" : "",
             repeated + 75, S3_SECRET, repeated, TOKEN, SSE, what != NULL ? "</" : "",
             what != NULL ? what : "", what != NULL ? ">" : "");
    a->status = status;
    a->headers = a->owned;
    a->body = body;
}

static void test_what_a_server_repeats_is_masked(void **state)
{
    (void)state;
    static char statuses[][24] = {"400 Bad Request", "401 x", "403 Forbidden", "404 Not Found",
                                  "409 Conflict",    "416 x", "500 x",         "503 x",
                                  "200 OK",          "307 x"};
    static shale_code (*const runs[])(struct shl_store *
                                      s) = {s3_get_all,  s3_get_range,  s3_head,      s3_put_create,
                                            s3_list_all, s3_delete_two, s3_copy_plain};
    static const struct shl_log log = {.sink = on_log, .level_max = SHL_LOG_DEBUG};
    logged[0] = '\0';
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct http_server *server = http_server_new(answer_telling, statuses[i], NULL, NULL);
        char endpoint[64];
        struct shl_store *s;
        snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", http_server_port(server));
        const struct shl_store_option options[] = {
            {.key = "aws_endpoint", .value = endpoint},
            {.key = "aws_allow_http", .value = "true"},
            {.key = "aws_region", .value = S3_REGION},
            {.key = "aws_access_key_id", .value = S3_KEY_ID},
            {.key = "aws_secret_access_key", .value = S3_SECRET},
            {.key = "aws_session_token", .value = TOKEN},
            {.key = "aws_server_side_encryption", .value = "sse-c"},
            {.key = "aws_sse_customer_key_base64", .value = SSE}};
        const struct shl_store_config config = {
            .options = options, .option_count = SHL_COUNT_OF(options), .log = &log};
        expect_code(SHALE_OK, shl_store_open_raw("s3://bucket", &config, &s, &test_err));
        for (size_t k = 0; k < SHL_COUNT_OF(runs); k++) {
            test_err.text[0] = '\0';
            if (runs[k](s) != SHALE_OK)
                expect_hushed(test_err.text);
            assert_null(strstr(test_err.text, "Signature=0"));
        }
        shl_store_unref(s);
        http_server_free(server);
    }
    expect_hushed(logged);
    assert_non_null(strstr(logged, "***"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_drip_costs_retries),
        cmocka_unit_test(test_resumes_end_with_the_time_of_one_request),
        cmocka_unit_test(test_pauses_that_are_asked_for_have_a_sum),
        cmocka_unit_test(test_a_put_without_an_etag_is_no_failure),
        cmocka_unit_test(test_what_a_server_repeats_is_masked),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 odd servers", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
