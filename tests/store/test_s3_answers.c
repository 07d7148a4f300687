/* Goal: whatever S3 answers leads to the right verdict, correction or second try.
 * Method: a scripted server on the loopback that keeps each request; no service. Bodies, lists and the network: test_s3_bodies, test_s3_network. */
#include "store/support_s3_ops.h"

#include "base/codec/digest.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- corrections */

static void test_region_is_corrected_once_and_kept(void **state)
{
    (void)state;
    struct http_answer rows[] = {
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: ap-south-1\r\n"},
        {.status = "301 Moved Permanently",
         .headers = "x-amz-bucket-region: ap-south-1\r\n",
         .body = "<Error><Code>PermanentRedirect</Code><Endpoint>x</Endpoint></Error>"},
        {.status = "307 Temporary Redirect", .headers = "x-amz-bucket-region: ap-south-1\r\n"},
        {.status = "400 Bad Request",
         .body = XML "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>"
                     "<Region>ap-south-1</Region></Error>"}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {
            rows[i], {.headers = ETAG}, {.headers = ETAG, .body = "hello"}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  row %zu\n", i);
        expect_code(SHALE_OK, s3_put_plain(c.bare));
        expect_code(SHALE_OK, s3_get_all(c.bare));
        s3_expect_count(&c, 3);
        s3_check_signature(http_server_request(c.server, 0), S3_SECRET, S3_REGION);
        s3_check_signature(http_server_request(c.server, 1), S3_SECRET, "ap-south-1");
        s3_check_signature(http_server_request(c.server, 2), S3_SECRET, "ap-south-1");
        assert_string_equal(http_server_request(c.server, 1)->body, "hello");
        s3_scene_free(&c);
    }
}

static void test_head_in_the_wrong_region_is_corrected_by_its_header(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.status = "400 Bad Request", .headers = "x-amz-bucket-region: ap-south-1\r\n"},
        {.headers = ETAG "content-length: 12345\r\nx-amz-meta-slatedbputid: " PUT_ID "\r\n"
                         "last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_head(c.bare));
    s3_scene_free(&c);
}

static void test_a_second_wrong_region_is_an_error(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: ap-south-1\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: ap-south-2\r\n"}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_INVALID, s3_put_plain(c.bare));
    s3_expect_says("wrong region");
    s3_expect_says("ap-south-2");
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
}

/* Where the answer says so little that nothing can be corrected, or something that is no region. */
static void test_a_redirect_without_a_region_is_an_error(void **state)
{
    (void)state;
    struct http_answer rows[] = {
        {.status = "301 Moved Permanently"},
        {.status = "302 Found", .headers = "location: http://127.0.0.1:1/\r\n"},
        {.status = "308 Permanent Redirect", .headers = "location: http://127.0.0.1:1/\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: evil.example/x\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: a b\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: x;id>/tmp/x;\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: " S3_REGION "\r\n"},
        {.status = "400 Bad Request",
         .body = "<Error><Code>AuthorizationHeaderMalformed</Code></Error>"}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct s3_scene c = s3_scene_new(&rows[i], 1, NULL);
        print_message("  row %zu\n", i);
        expect_code(SHALE_INVALID, s3_put_plain(c.store));
        s3_expect_says("wrong region");
        assert_null(strchr(test_err.text, ';')); /* it may be offered for pasting */
        s3_expect_count(&c, 1);
        s3_scene_free(&c);
    }
}

static void expect_followed(int64_t ahead_ms)
{
    struct http_answer skewed = s3_error_of("403 Forbidden", "RequestTimeTooSkewed");
    char date[SHL_TIME_TEXT], header[80], sent[64], want[SHL_TIME_TEXT];
    int64_t server_ms = env_now_wall_ms() + ahead_ms;
    snprintf(header, sizeof header, "date: %s\r\n", shl_time_http(server_ms, date));
    skewed.headers = header;
    struct http_answer script[] = {skewed, {.headers = ETAG}, {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_put_plain(c.bare));
    expect_code(SHALE_OK, s3_put_plain(c.bare));
    s3_expect_count(&c, 3);
    for (size_t i = 1; i < 3; i++) {
        assert_true(http_header(http_server_request(c.server, i), "x-amz-date", sent, sizeof sent));
        /* 14 of 16 characters: to the ten seconds, or the next ones */
        bool near = false;
        for (int64_t ms = server_ms - 1000; ms < server_ms + 60000; ms += 1000)
            near = near || strcmp(sent, shl_time_amz(ms, want)) == 0;
        assert_true(near);
        s3_check_signature(http_server_request(c.server, i), S3_SECRET, S3_REGION);
    }
    s3_scene_free(&c);
}

static void test_a_skewed_clock_follows_the_server(void **state)
{
    (void)state;
    expect_followed(INT64_C(20) * 60 * 1000);
    expect_followed(INT64_C(3) * 24 * 3600 * 1000); /* each day has its key */
    expect_followed(INT64_C(-3) * 24 * 3600 * 1000);
}

/* A HEAD is refused without a word; that the clocks differ is seen by the date. */
static void test_a_skewed_clock_is_seen_at_a_head(void **state)
{
    (void)state;
    static const struct {
        int64_t ahead_ms;
        shale_code want;
        size_t requests;
    } rows[] = {{INT64_C(20) * 60 * 1000, SHALE_OK, 2},
                {INT64_C(-20) * 60 * 1000, SHALE_OK, 2},
                {0, SHALE_PERMISSION_DENIED, 1}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char date[SHL_TIME_TEXT], header[80];
        snprintf(header, sizeof header, "date: %s\r\n",
                 shl_time_http(env_now_wall_ms() + rows[i].ahead_ms, date));
        struct http_answer script[] = {{.status = "403 Forbidden", .headers = header},
                                       {.headers = ETAG "content-length: 5\r\n"}};
        struct s3_scene c = S3_SCENE(script);
        struct shl_object o;
        expect_code(rows[i].want, shl_store_head(c.bare, "k", &o, &test_err));
        s3_expect_count(&c, rows[i].requests);
        s3_scene_free(&c);
    }
}

static void test_a_clock_that_stays_skewed_is_an_error(void **state)
{
    (void)state;
    struct http_answer skewed = s3_error_of("403 Forbidden", "RequestTimeTooSkewed");
    skewed.headers = "date: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    struct http_answer script[] = {skewed, skewed};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_UNAUTHENTICATED, s3_put_plain(c.bare));
    s3_expect_says("RequestTimeTooSkewed");
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
}

static char *home;

static void write_profile(const char *key, const char *secret, const char *token)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/credentials", home);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", key, secret);
    if (token != NULL)
        fprintf(f, "aws_session_token=%s\n", token);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1), 0);
}

static const char *const from_profile[] = {"aws_access_key_id", "", "aws_secret_access_key", "",
                                           NULL};

static void test_expired_credentials_are_read_again(void **state)
{
    (void)state;
    write_profile("AKOLD", "old secret", "old token");
    struct http_answer script[] = {s3_error_of("400 Bad Request", "ExpiredToken"),
                                   {.headers = ETAG},
                                   s3_error_of("403 Forbidden", "InvalidAccessKeyId"),
                                   {.headers = ETAG}};
    struct s3_scene c = s3_scene_new(script, 4, from_profile);
    write_profile("AKNEW", "new secret", "new token");
    expect_code(SHALE_OK, s3_put_plain(c.bare));
    s3_check_signature(http_server_request(c.server, 0), "old secret", S3_REGION);
    s3_check_signature(http_server_request(c.server, 1), "new secret", S3_REGION);
    s3_expect_header(&c, 1, "x-amz-security-token", "new token");
    write_profile("AKNEXT", "next secret", NULL);
    expect_code(SHALE_OK, s3_put_plain(c.bare));
    s3_check_signature(http_server_request(c.server, 2), "new secret", S3_REGION);
    s3_check_signature(http_server_request(c.server, 3), "next secret", S3_REGION);
    s3_expect_header(&c, 3, "x-amz-security-token", NULL);
    s3_scene_free(&c);
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
}

/* A HEAD is answered without a body: what is wrong with the credentials is told by the status alone. MinIO has a code of its own. */
static void test_credentials_are_read_again_whatever_the_words(void **state)
{
    (void)state;
    static const char *const bare[] = {"400 Bad Request", "401 Unauthorized", "403 Forbidden"};
    for (size_t i = 0; i <= SHL_COUNT_OF(bare); i++) {
        bool is_head = i < SHL_COUNT_OF(bare);
        struct http_answer script[] = {
            is_head ? (struct http_answer){.status = bare[i]}
                    : s3_error_of("403 Forbidden", "InvalidTokenId"),
            {.headers = ETAG "content-length: 12345\r\nx-amz-meta-slatedbputid: " PUT_ID "\r\n"
                             "last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"}};
        if (!is_head)
            script[1] = (struct http_answer){.headers = ETAG};
        write_profile("AKOLD", "old secret", "old token");
        struct s3_scene c = s3_scene_new(script, 2, from_profile);
        write_profile("AKNEW", "new secret", "new token");
        expect_code(SHALE_OK, is_head ? s3_head(c.bare) : s3_put_plain(c.bare));
        s3_check_signature(http_server_request(c.server, 1), "new secret", S3_REGION);
        s3_scene_free(&c);
    }
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
}

static void test_credentials_that_stay_expired_are_an_error(void **state)
{
    (void)state;
    static const char *const statuses[] = {"400 Bad Request", "401 Unauthorized", "403 Forbidden"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        write_profile("AKOLD", "old secret", "old token");
        struct http_answer script[] = {s3_error_of(statuses[i], "ExpiredToken")};
        script[0].flags = HTTP_REPEAT;
        struct s3_scene c = s3_scene_new(script, 1, from_profile);
        expect_code(SHALE_UNAUTHENTICATED, s3_put_plain(c.store));
        s3_expect_says("credentials expired");
        s3_expect_says("AKOLD");
        assert_null(strstr(test_err.text, "old secret"));
        assert_null(strstr(test_err.text, "old token"));
        s3_expect_count(&c, 3);
        s3_scene_free(&c);
    }
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
}

/* Eight requests under way with credentials that have just expired: each goes on with the new ones, not only the one that read them. */
struct expiring {
    struct shl_store *s;
    shale_code rc;
    shale_error err;
};

static void answer_expiring(void *ctx, const struct http_request *q, size_t n,
                            struct http_answer *a)
{
    (void)ctx;
    (void)n;
    if (strstr(q->head, "AKOLD") != NULL)
        *a = (struct http_answer){.status = "403 Forbidden",
                                  .body = "<Error><Code>ExpiredToken</Code></Error>"};
    else
        *a = (struct http_answer){.headers = ETAG, .body = "hello"};
}

static void read_expiring(void *arg)
{
    struct expiring *e = arg;
    struct shl_buf body = {0};
    e->rc = shl_store_get(e->s, "k", NULL, &body, NULL, &e->err);
    shl_buf_free(&body);
}

static void test_all_that_are_under_way_go_on_with_new_credentials(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct expiring all[16];
        write_profile("AKOLD", "old secret", NULL);
        struct s3_scene c =
            s3_scene_of(http_server_new(answer_expiring, NULL, NULL, NULL), from_profile);
        write_profile("AKNEW", "new secret", NULL);
        for (size_t i = 0; i < SHL_COUNT_OF(all); i++)
            all[i] = (struct expiring){.s = c.bare};
        run_tasks(read_expiring, all, sizeof *all, SHL_COUNT_OF(all));
        for (size_t i = 0; i < SHL_COUNT_OF(all); i++) {
            test_err = all[i].err;
            expect_code(SHALE_OK, all[i].rc);
        }
        s3_scene_free(&c);
    }
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
}

/* ---- statuses */

static void test_statuses_become_codes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        shale_code (*run)(struct shl_store *s);
        const char *status, *code; /* code NULL: no body */
        shale_code want;
        const char *says;
    } rows[] = {
        {"get, no key", s3_get_all, "404 Not Found", "NoSuchKey", SHALE_NOT_FOUND,
         "bucket/db/a b+"},
        {"get, no bucket", s3_get_all, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "no bucket \"bucket\""},
        {"get, bare 404", s3_get_all, "404 Not Found", NULL, SHALE_NOT_FOUND, "no object"},
        {"s3_head 404", s3_head, "404 Not Found", NULL, SHALE_NOT_FOUND, "no object"},
        {"list, no bucket", s3_list_all, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"list, bare 404", s3_list_all, "404 Not Found", NULL, SHALE_INVALID, "no S3 at 127.0.0.1"},
        {"list, unknown user", s3_list_all, "404 Not Found", "XAdminUserNotFound",
         SHALE_UNAUTHENTICATED, "credentials refused"},
        {"get, unknown user", s3_get_all, "404 Not Found", "XAdminUserNotFound",
         SHALE_UNAUTHENTICATED, "credentials refused"},
        {"put, no bucket", s3_put_plain, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"create 412", s3_put_create, "412 Precondition Failed", "PreconditionFailed",
         SHALE_ALREADY_EXISTS, "\"k\" exists"},
        {"create 409", s3_put_create, "409 Conflict", "BucketAlreadyOwnedByYou",
         SHALE_ALREADY_EXISTS, "exists"},
        {"create 409 without a body", s3_put_create, "409 Conflict", NULL, SHALE_ALREADY_EXISTS,
         "exists"},
        {"create 304", s3_put_create, "304 Not Modified", NULL, SHALE_ALREADY_EXISTS, "exists"},
        {"create, other write under way", s3_put_create, "409 Conflict",
         "ConditionalRequestConflict", SHALE_UNAVAILABLE, "under way"},
        {"create, aborted", s3_put_create, "409 Conflict", "OperationAborted", SHALE_UNAVAILABLE,
         "under way"},
        {"if-match 412", s3_put_if_match, "412 Precondition Failed", "PreconditionFailed",
         SHALE_PRECONDITION, "changed"},
        {"if-match 404", s3_put_if_match, "404 Not Found", "NoSuchKey", SHALE_PRECONDITION, "gone"},
        {"if-match 409", s3_put_if_match, "409 Conflict", "ConditionalRequestConflict",
         SHALE_UNAVAILABLE, "under way"},
        {"if-match, no bucket", s3_put_if_match, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"get 304", s3_get_changed, "304 Not Modified", NULL, SHALE_NOT_MODIFIED, "not changed"},
        {"get 416", s3_get_from, "416 Range Not Satisfiable", "InvalidRange", SHALE_INVALID_RANGE,
         "range"},
        {"ranges 416", s3_get_range, "416 Range Not Satisfiable", "InvalidRange",
         SHALE_INVALID_RANGE, "range"},
        {"401", s3_get_all, "401 Unauthorized", NULL, SHALE_UNAUTHENTICATED, S3_KEY_ID},
        {"403", s3_get_all, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:GetObject on \"bucket/db/a b+"},
        {"403 put", s3_put_plain, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:PutObject"},
        {"403 list", s3_list_all, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:ListBucket on \"bucket\""},
        {"403 delete", s3_delete_one, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:DeleteObject"},
        {"403 s3_head", s3_head, "403 Forbidden", NULL, SHALE_PERMISSION_DENIED, S3_KEY_ID},
        {"wrong secret", s3_get_all, "403 Forbidden", "SignatureDoesNotMatch",
         SHALE_UNAUTHENTICATED, "SignatureDoesNotMatch"},
        {"unknown key", s3_get_all, "403 Forbidden", "InvalidAccessKeyId", SHALE_UNAUTHENTICATED,
         "InvalidAccessKeyId"},
        {"405", s3_put_plain, "405 Method Not Allowed", "MethodNotAllowed", SHALE_NOT_SUPPORTED,
         "not supported"},
        {"501", s3_put_create, "501 Not Implemented", "NotImplemented", SHALE_NOT_SUPPORTED,
         "not supported"},
        {"429", s3_get_all, "429 Too Many Requests", NULL, SHALE_UNAVAILABLE, "429"},
        {"408", s3_get_all, "408 Request Timeout", NULL, SHALE_UNAVAILABLE, "408"},
        {"500", s3_get_all, "500 Internal Server Error", "InternalError", SHALE_UNAVAILABLE,
         "InternalError"},
        {"503", s3_get_all, "503 Service Unavailable", "SlowDown", SHALE_UNAVAILABLE,
         "SlowDown (request R1)"},
        {"504", s3_list_all, "504 Gateway Timeout", NULL, SHALE_UNAVAILABLE, "504"},
        {"507", s3_put_plain, "507 Insufficient Storage", "XMinioStorageFull", SHALE_NO_SPACE,
         "full"},
        {"400 the upload was too slow", s3_put_plain, "400 Bad Request", "RequestTimeout",
         SHALE_UNAVAILABLE, "RequestTimeout"},
        {"400 other", s3_put_plain, "400 Bad Request", "InvalidArgument", SHALE_INVALID,
         "InvalidArgument"},
        {"402", s3_put_plain, "402 Payment Required", NULL, SHALE_INVALID, "402"},
        {"delete of a missing key", s3_delete_one, "404 Not Found", "NoSuchKey", SHALE_OK, NULL},
        {"delete, no bucket", s3_delete_one, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"copy, no source", s3_copy_plain, "404 Not Found", "NoSuchKey", SHALE_NOT_FOUND,
         "no object"},
        {"copy, error in a 200", s3_copy_plain, "200 OK", "InternalError", SHALE_UNAVAILABLE,
         "InternalError"},
        {"copy, refusal in a 200", s3_copy_plain, "200 OK", "AccessDenied", SHALE_PERMISSION_DENIED,
         "AccessDenied"},
        {"deletes, error in a 200", s3_delete_two, "200 OK", "SlowDown", SHALE_UNAVAILABLE,
         "SlowDown"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.status = rows[i].status, .flags = HTTP_REPEAT}};
        if (rows[i].code != NULL)
            script[0] = s3_error_of(rows[i].status, rows[i].code);
        script[0].flags = HTTP_REPEAT;
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, rows[i].run(c.bare));
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        if (rows[i].want != SHALE_OK) {
            assert_null(strstr(test_err.text, S3_SECRET));
            assert_null(strstr(test_err.text, "\n"));
            assert_true(test_err.text[strlen(test_err.text) - 1] !=
                        ' '); /* nothing behind a colon */
        }
        s3_scene_free(&c);
    }
}

static void test_retry_after_holds_retries_back(void **state)
{
    (void)state;
    static const char *const statuses[] = {"429 Too Many Requests", "500 Internal Server Error",
                                           "503 Service Unavailable"};
    char date[SHL_TIME_TEXT], by_date[80];
    for (size_t i = 0; i < 2 * SHL_COUNT_OF(statuses); i++) {
        bool is_date = i >= SHL_COUNT_OF(statuses);
        snprintf(by_date, sizeof by_date, "retry-after: %s\r\n",
                 shl_time_http(env_now_wall_ms() + 2000, date));
        struct http_answer script[] = {
            {.status = statuses[i % 3], .headers = is_date ? by_date : "retry-after: 1\r\n"},
            {.headers = ETAG}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s%s\n", statuses[i % 3], is_date ? " until a date" : "");
        expect_code(SHALE_UNAVAILABLE, s3_put_plain(c.bare));
        assert_true(shl_store_quiet_left(c.bare) > 0);
        assert_true(shl_store_quiet_left(c.store) <= 3 * ENV_NS_PER_SEC);
        s3_scene_free(&c);
    }
}

static void test_the_retry_wrapper_waits_as_long_as_it_was_asked(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.status = "503 Service Unavailable", .headers = "retry-after: 1\r\n"}, {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    uint64_t before = env_now_mono_ns();
    expect_code(SHALE_OK, s3_put_plain(c.store));
    assert_true(env_now_mono_ns() - before >= 900 * ENV_NS_PER_MS);
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
}

static void test_odd_retry_after_is_passed_over_or_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool quiet;
    } rows[] = {{"retry-after: \r\n", false},
                {"retry-after: -5\r\n", false},
                {"retry-after: soon\r\n", false},
                {"retry-after: 99999999999999999999\r\n", false},
                {"retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", false},
                {"retry-after: 18446744073709551615\r\n", true},
                {"retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n", true}};
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.status = "503 Slow Down", .headers = rows[i].header}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %.*s\n", (int)strcspn(rows[i].header, "\r"), rows[i].header);
        expect_code(SHALE_UNAVAILABLE, s3_put_plain(c.bare));
        assert_int_equal(shl_store_quiet_left(c.bare) > 0, rows[i].quiet);
        assert_true(shl_store_quiet_left(c.bare) <= 180 * ENV_NS_PER_SEC);
        s3_scene_free(&c);
    }
}

/* ---- lost answers */

static void echo_put_id(const struct http_request *q, size_t size, struct http_answer *a)
{
    char id[64];
    assert_true(http_header(q, "x-amz-meta-slatedbputid", id, sizeof id));
    a->owned = malloc(256);
    snprintf(a->owned, 256, ETAG "content-length: %zu\r\nx-amz-meta-slatedbputid: %s\r\n", size,
             id);
    a->headers = a->owned;
}

/* First the answer is lost (in one of several ways), then the service says that there is something, and HEAD shows whose it is. */
struct lost {
    unsigned flags;           /* how the first answer is lost */
    const char *first_status; /* or what comes instead of it */
    const char *refusal;
    bool is_ours;
    bool is_gone;
    bool
        always; /* later answers to a PUT are lost too, as those are that come before a large body was read */
    const struct http_request *first;
};

static void answer_lost(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    struct lost *l = ctx;
    if (n == 0) {
        l->first = q;
        a->flags = l->flags;
        a->status = l->first_status;
    } else if (strcmp(q->method, "HEAD") != 0 && l->always) {
        a->flags = l->flags;
    } else if (strcmp(q->method, "HEAD") != 0) {
        a->status = l->refusal;
    } else if (l->is_gone) {
        a->status = "404 Not Found";
    } else if (l->is_ours) {
        echo_put_id(l->first, 1, a);
    } else {
        a->headers = ETAG "content-length: 1\r\nx-amz-meta-slatedbputid: " OTHER "\r\n";
    }
}

static shale_code put_create_unmarked(struct shl_store *s)
{
    return put_mode(s, "k", "x", SHL_PUT_CREATE, NULL, NULL);
}

static void test_a_lost_answer_to_a_conditional_put_is_settled_by_its_id(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        shale_code (*run)(struct shl_store *s);
        struct lost lost;
        shale_code want;
    } rows[] = {
        {"create, closed",
         put_create_unmarked,
         {.flags = HTTP_LOST, .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"create, 500",
         put_create_unmarked,
         {.first_status = "500 x", .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"create, 409 after",
         put_create_unmarked,
         {.flags = HTTP_LOST, .refusal = "409 x", .is_ours = true},
         SHALE_OK},
        {"create, 304 after",
         put_create_unmarked,
         {.flags = HTTP_LOST, .refusal = "304 x", .is_ours = true},
         SHALE_OK},
        {"create, another's",
         put_create_unmarked,
         {.flags = HTTP_LOST, .refusal = "412 x"},
         SHALE_ALREADY_EXISTS},
        {"create, gone again",
         put_create_unmarked,
         {.flags = HTTP_LOST, .refusal = "412 x", .is_gone = true},
         SHALE_ALREADY_EXISTS},
        {"if-match, closed",
         s3_put_if_match,
         {.flags = HTTP_LOST, .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"if-match, 503",
         s3_put_if_match,
         {.first_status = "503 x", .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"if-match, another's",
         s3_put_if_match,
         {.flags = HTTP_LOST, .refusal = "412 x"},
         SHALE_PRECONDITION},
        {"if-match, gone",
         s3_put_if_match,
         {.flags = HTTP_LOST, .refusal = "404 x", .is_gone = true},
         SHALE_PRECONDITION},
        {"create, never an answer",
         put_create_unmarked,
         {.flags = HTTP_LOST, .always = true, .is_ours = true},
         SHALE_OK},
        {"create, never an answer, another's",
         put_create_unmarked,
         {.flags = HTTP_LOST, .always = true},
         SHALE_ALREADY_EXISTS},
        {"if-match, never an answer",
         s3_put_if_match,
         {.flags = HTTP_LOST, .always = true, .is_ours = true},
         SHALE_OK},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct lost lost = rows[i].lost;
        struct s3_scene c = s3_scene_of(http_server_new(answer_lost, &lost, NULL, NULL), NULL);
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, rows[i].run(c.store));
        s3_expect_count(&c, 3);
        char a[64], b[64];
        assert_true(
            http_header(http_server_request(c.server, 0), "x-amz-meta-slatedbputid", a, 64));
        assert_true(
            http_header(http_server_request(c.server, 1), "x-amz-meta-slatedbputid", b, 64));
        assert_string_equal(a, b);
        s3_scene_free(&c);
    }
}

/* What comes after a lost answer says nothing of what became of the put before it. */
static void test_after_a_lost_answer_a_refusal_leaves_the_outcome_open(void **state)
{
    (void)state;
    static const char *const statuses[] = {"400 Bad Request", "403 Forbidden", "404 Not Found",
                                           "501 Not Implemented"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        struct http_answer script[] = {{.flags = HTTP_LOST},
                                       {.status = statuses[i], .flags = HTTP_REPEAT}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s\n", statuses[i]);
        assert_int_not_equal(s3_put_plain(c.store), SHALE_OK);
        s3_expect_says("outcome unknown: ");
        s3_scene_free(&c);
        /* On a kept connection libcurl itself sends it again. */
        struct http_answer kept[] = {
            {.headers = ETAG}, {.flags = HTTP_LOST}, {.status = statuses[i], .flags = HTTP_REPEAT}};
        c = S3_SCENE(kept);
        expect_code(SHALE_OK, s3_put_plain(c.bare));
        assert_int_not_equal(s3_put_plain(c.bare), SHALE_OK);
        s3_expect_says("outcome unknown: ");
        s3_scene_free(&c);
    }
}

/* libcurl takes a connection that ends within the headers for a whole answer. */
static void test_an_answer_that_ends_in_its_headers_is_none(void **state)
{
    (void)state;
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nEta",
                                        "HTTP/1.1 200 OK\r\nEtag: \"x\"\r\n",
                                        "HTTP/1.1 404 Not Found\r\n"};
    for (size_t i = 0; i < SHL_COUNT_OF(heads); i++) {
        struct http_answer script[] = {{.body = heads[i], .flags = HTTP_RAW}, {.headers = ETAG}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %zu\n", i);
        expect_code(SHALE_OK, put_mode(c.store, "k", "x", SHL_PUT_OVERWRITE, NULL, NULL));
        s3_expect_count(&c, 2);
        s3_scene_free(&c);
    }
}

static void test_a_copy_without_its_verdict_is_tried_again(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.body = ""}, {.body = "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_copy_plain(c.store));
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
}

static void test_a_conflict_is_tried_again(void **state)
{
    (void)state;
    struct http_answer script[] = {s3_error_of("409 Conflict", "ConditionalRequestConflict"),
                                   s3_error_of("409 Conflict", "OperationAborted"),
                                   {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_put_create(c.store));
    s3_expect_count(&c, 3);
    s3_scene_free(&c);
}

/* An upload whose completion goes wrong: script behind the parts, with the HEAD's answer made of the put id of the start. */
struct completion {
    const struct http_answer
        *script; /* from the completion on; NULL headers of a HEAD with 200: the put id */
    size_t count;
    const struct http_request *start;
    size_t from;
};

static void answer_completion(void *ctx, const struct http_request *q, size_t n,
                              struct http_answer *a)
{
    struct completion *f = ctx;
    if (strstr(q->target, "?uploads=") != NULL) {
        f->start = q;
        a->body = STARTED;
    } else if (strstr(q->target, "partNumber=") != NULL) {
        a->headers = ETAG;
        a->body = COPIED_PART;
        f->from = n + 1;
    } else if (f->start == NULL) {
        a->headers = ETAG "content-length: 5\r\n"; /* HEAD of a copy's source */
    } else if (strcmp(q->method, "DELETE") == 0) {
        a->status = "204 No Content";
    } else if (n - f->from < f->count) {
        *a = f->script[n - f->from];
        if (strcmp(q->method, "HEAD") == 0 && a->status == NULL && a->headers == NULL)
            echo_put_id(f->start, 11, a);
    } else {
        a->status = "599 unexpected";
    }
}

#define NO_UPLOAD                                                                                  \
    {                                                                                              \
        .status = "404 Not Found", .body = "<Error><Code>NoSuchUpload</Code></Error>"              \
    }
#define ERROR_200(code)                                                                            \
    {                                                                                              \
        .body = XML "<Error><Code>" code "</Code></Error>"                                         \
    }
#define COMPLETED_AS(bucket, key)                                                                  \
    {                                                                                              \
        .body = XML "<CompleteMultipartUploadResult" NS "><Bucket>" bucket "</Bucket><Key>" key    \
                    "</Key><ETag>&quot;all-2&quot;</ETag></CompleteMultipartUploadResult>"         \
    }
#define ANOTHERS                                                                                   \
    {                                                                                              \
        .headers = ETAG "content-length: 11\r\nx-amz-meta-slatedbputid: " OTHER "\r\n"             \
    }

static void test_completions_that_go_wrong_are_settled(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        shale_code (*run)(struct shl_store *s);
        struct http_answer script[5];
        size_t count;
        shale_code want;
    } rows[] = {
        {"lost, then gone, ours",
         s3_upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"500, then gone, ours",
         s3_upload_two_parts,
         {{.status = "500 x"}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"lost, then gone, HEAD fails once",
         s3_upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, {.status = "503 x"}, NO_UPLOAD, {0}},
         5,
         SHALE_OK},
        {"lost, then gone, another's of the same size",
         s3_upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, ANOTHERS},
         3,
         SHALE_PRECONDITION},
        {"gone at once, nothing there",
         s3_upload_two_parts,
         {NO_UPLOAD, {.status = "404 x"}},
         2,
         SHALE_NOT_FOUND},
        {"error in a 200, then fine",
         s3_upload_two_parts,
         {ERROR_200("InternalError"), {.body = COMPLETED}},
         2,
         SHALE_OK},
        {"error in a 200 that stays",
         s3_upload_two_parts,
         {ERROR_200("InvalidPart")},
         1,
         SHALE_INVALID},
        {"202 that completed nothing, then fine",
         s3_upload_two_parts,
         {{.status = "202 Accepted", .body = COMPLETED}, {.body = COMPLETED}},
         2,
         SHALE_OK},
        {"empty 200, then gone, ours",
         s3_upload_two_parts,
         {{.body = ""}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"cut 200, then gone, ours",
         s3_upload_two_parts,
         {{.body = COMPLETED, .flags = HTTP_CUT, .cut = 50}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"200 that names it", s3_upload_two_parts, {COMPLETED_AS("bucket", ODD_KEY)}, 1, SHALE_OK},
        {"200 that names another, nothing there, then fine",
         s3_upload_two_parts,
         {COMPLETED_AS("bucket", "other"), {.status = "404 x"}, {.body = COMPLETED}},
         3,
         SHALE_OK},
        {"200 that names another, another's there, then gone, ours",
         s3_upload_two_parts,
         {COMPLETED_AS("bucket", "other"), ANOTHERS, NO_UPLOAD, {0}},
         4,
         SHALE_OK},
        {"200 that names another bucket, ours",
         s3_upload_two_parts,
         {COMPLETED_AS("other", ODD_KEY), {0}},
         2,
         SHALE_OK},
        {"copy: 200 that names another, ours",
         s3_copy_create,
         {COMPLETED_AS("bucket", "other"), {0}},
         2,
         SHALE_OK},
        {"copy: exists", s3_copy_create, {{.status = "412 x"}, ANOTHERS}, 2, SHALE_ALREADY_EXISTS},
        {"copy: exists, in a 200",
         s3_copy_create,
         {ERROR_200("PreconditionFailed"), ANOTHERS},
         2,
         SHALE_ALREADY_EXISTS},
        /* a kept connection that ends without an answer: libcurl sends once more by itself, over a fresh one */
        {"copy: lost twice, ours",
         s3_copy_create,
         {{.flags = HTTP_LOST}, {.flags = HTTP_LOST}, {0}},
         3,
         SHALE_OK},
        {"copy: exists, ours", s3_copy_create, {{.status = "412 x"}, {0}}, 2, SHALE_OK},
        {"copy: gone, ours", s3_copy_create, {NO_UPLOAD, {0}}, 2, SHALE_OK},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct completion f = {.script = rows[i].script, .count = rows[i].count};
        struct s3_scene c = s3_scene_of(http_server_new(answer_completion, &f, NULL, NULL), NULL);
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, rows[i].run(c.store));
        size_t behind = rows[i].want == SHALE_OK ? 0 : 1; /* the abort */
        s3_expect_count(&c, f.from + rows[i].count + behind);
        s3_scene_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region_is_corrected_once_and_kept),
        cmocka_unit_test(test_head_in_the_wrong_region_is_corrected_by_its_header),
        cmocka_unit_test(test_a_second_wrong_region_is_an_error),
        cmocka_unit_test(test_a_redirect_without_a_region_is_an_error),
        cmocka_unit_test(test_a_skewed_clock_follows_the_server),
        cmocka_unit_test(test_a_skewed_clock_is_seen_at_a_head),
        cmocka_unit_test(test_a_clock_that_stays_skewed_is_an_error),
        cmocka_unit_test(test_expired_credentials_are_read_again),
        cmocka_unit_test(test_credentials_are_read_again_whatever_the_words),
        cmocka_unit_test(test_credentials_that_stay_expired_are_an_error),
        cmocka_unit_test(test_all_that_are_under_way_go_on_with_new_credentials),
        cmocka_unit_test(test_statuses_become_codes),
        cmocka_unit_test(test_retry_after_holds_retries_back),
        cmocka_unit_test(test_the_retry_wrapper_waits_as_long_as_it_was_asked),
        cmocka_unit_test(test_odd_retry_after_is_passed_over_or_bounded),
        cmocka_unit_test(test_a_lost_answer_to_a_conditional_put_is_settled_by_its_id),
        cmocka_unit_test(test_after_a_lost_answer_a_refusal_leaves_the_outcome_open),
        cmocka_unit_test(test_an_answer_that_ends_in_its_headers_is_none),
        cmocka_unit_test(test_a_copy_without_its_verdict_is_tried_again),
        cmocka_unit_test(test_a_conflict_is_tried_again),
        cmocka_unit_test(test_completions_that_go_wrong_are_settled),
    };
    home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 answers", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
