/* Goal: what the S3 backend sends is what S3 expects, byte by byte, and what it must not send stays here.
 * Method: a scripted server on the loopback that keeps each request; no service. What is made of the answers: test_s3_answers. */
#include "store/support_s3_ops.h"

#include "base/codec/digest.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>

static shale_code put_empty(struct shl_store *s)
{
    return put_mode(s, "k", "", SHL_PUT_OVERWRITE, NULL, NULL);
}

static shale_code get_suffix(struct shl_store *s)
{
    return s3_get_how(s, SHL_GET_SUFFIX, 0, 2, NULL);
}

static shale_code list_some(struct shl_store *s)
{
    struct shl_list_options how = {
        .prefix = "p q", .start_after = "p q/a+b", .max = 5, .shallow = true};
    return s3_list_how(s, &how);
}

static shale_code upload_start(struct shl_store *s)
{
    struct shl_upload *u;
    shale_code rc = shl_store_upload_start(s, "k", &u, &test_err);
    if (rc == SHALE_OK)
        shl_store_upload_abort(s, u);
    return rc;
}

#define LIST_EMPTY XML "<ListBucketResult" NS "><IsTruncated>false</IsTruncated></ListBucketResult>"
#define SSE_KEY    "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define SSE_MD5    "KYvwGXoFFJ42a2u2GDWhwQ=="

#define BASE_HEADERS "authorization,host,user-agent,x-amz-content-sha256,x-amz-date"

struct wire_row {
    const char *name;
    shale_code (*run)(struct shl_store *s);
    const char *options[8];
    struct http_answer answer;
    const char *method, *target;
    const char *headers; /* names of all that are sent, sorted */
    const char *values[12];
    const char *body; /* NULL: none */
};

static const struct wire_row wire_rows[] = {
    {.name = "put, key with odd characters",
     .run = s3_put_plain,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"content-length", "5", "x-amz-content-sha256",
                "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
     .body = "hello"},
    {.name = "put of nothing says its length",
     .run = put_empty,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = "/bucket/k",
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"content-length", "0", "x-amz-content-sha256",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
    {.name = "put that must create",
     .run = s3_put_create,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = "/bucket/k",
     .headers = "authorization,content-length,host,if-none-match,user-agent,x-amz-content-sha256,"
                "x-amz-date,x-amz-meta-slatedbputid",
     .values = {"if-none-match", "*", "x-amz-meta-slatedbputid", PUT_ID},
     .body = "x"},
    {.name = "put if-match",
     .run = s3_put_if_match,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = "/bucket/k",
     .headers =
         "authorization,content-length,host,if-match,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"if-match", "\"old\""},
     .body = "x"},
    {.name = "put with a session token and another name for this program",
     .run = s3_put_plain,
     .options = {"aws_session_token", "t0/k+en==", "user_agent", "me/1"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-security-token",
     .values = {"x-amz-security-token", "t0/k+en==", "user-agent", "me/1"},
     .body = "hello"},
    {.name = "put with an unsigned payload",
     .run = s3_put_plain,
     .options = {"aws_unsigned_payload", "true"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"},
     .body = "hello"},
    {.name = "put with class, type and payer",
     .run = s3_put_plain,
     .options = {"aws_storage_class", "STANDARD_IA", "default_content_type", "application/x-db",
                 "aws_request_payer", "requester"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,content-type,host,user-agent,x-amz-content-sha256,"
                "x-amz-date,x-amz-request-payer,x-amz-storage-class",
     .values = {"x-amz-storage-class", "STANDARD_IA", "content-type", "application/x-db",
                "x-amz-request-payer", "requester"},
     .body = "hello"},
    {.name = "put with SSE",
     .run = s3_put_plain,
     .options = {"aws_server_side_encryption", "AES256"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-server-side-encryption",
     .values = {"x-amz-server-side-encryption", "AES256"},
     .body = "hello"},
    {.name = "put with SSE-KMS",
     .run = s3_put_plain,
     .options = {"aws_server_side_encryption", "aws:kms", "aws_sse_kms_key_id", "arn:aws:kms:k",
                 "aws_sse_bucket_key_enabled", "true"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-server-side-encryption,x-amz-server-side-encryption-aws-kms-key-id,"
                "x-amz-server-side-encryption-bucket-key-enabled",
     .values = {"x-amz-server-side-encryption", "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:k",
                "x-amz-server-side-encryption-bucket-key-enabled", "true"},
     .body = "hello"},
    {.name = "put with SSE-C",
     .run = s3_put_plain,
     .options = {"aws_server_side_encryption", "sse-c", "aws_sse_customer_key_base64", SSE_KEY},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-server-side-encryption-customer-algorithm,"
                "x-amz-server-side-encryption-customer-key,"
                "x-amz-server-side-encryption-customer-key-md5",
     .values = {"x-amz-server-side-encryption-customer-algorithm", "AES256",
                "x-amz-server-side-encryption-customer-key", SSE_KEY,
                "x-amz-server-side-encryption-customer-key-md5", SSE_MD5},
     .body = "hello"},
    {.name = "get with SSE-C",
     .run = s3_get_all,
     .options = {"aws_server_side_encryption", "sse-c", "aws_sse_customer_key_base64", SSE_KEY},
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = BASE_HEADERS ",x-amz-server-side-encryption-customer-algorithm,"
                             "x-amz-server-side-encryption-customer-key,"
                             "x-amz-server-side-encryption-customer-key-md5"},
    {.name = "put with SHA-256",
     .run = s3_put_plain,
     .options = {"aws_checksum_algorithm", "sha256"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-checksum-sha256,"
                "x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
     .body = "hello"},
    {.name = "put with CRC-64/NVME",
     .run = s3_put_plain,
     .options = {"aws_checksum_algorithm", "crc64nvme"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-checksum-crc64nvme,"
                "x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-checksum-crc64nvme", "M3eFcAZSQlc="},
     .body = "hello"},
    {.name = "get",
     .run = s3_get_all,
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "get from an offset",
     .run = s3_get_from,
     .answer = {.status = "206 Partial Content",
                .headers = ETAG "content-range: bytes 3-4/5\r\n",
                .body = "lo"},
     .method = "GET",
     .target = ODD_URL,
     .headers = "authorization,host,range,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"range", "bytes=3-"}},
    {.name = "get a suffix",
     .run = get_suffix,
     .answer = {.status = "206 Partial Content",
                .headers = ETAG "content-range: bytes 3-4/5\r\n",
                .body = "lo"},
     .method = "GET",
     .target = ODD_URL,
     .headers = "authorization,host,range,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"range", "bytes=-2"}},
    {.name = "get unless unchanged",
     .run = s3_get_changed,
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = "authorization,host,if-none-match,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"if-none-match", "\"e0\""}},
    {.name = "touching ranges are one request",
     .run = s3_get_range,
     .answer = {.status = "206 Partial Content",
                .headers = ETAG "content-range: bytes 0-4/5\r\n",
                .body = "hello"},
     .method = "GET",
     .target = "/bucket/k",
     .headers = "authorization,host,range,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"range", "bytes=0-4"}},
    {.name = "s3_head",
     .run = s3_head,
     .answer = {.headers = ETAG "content-length: 12345\r\nx-amz-meta-slatedbputid: " PUT_ID "\r\n"
                                "last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"},
     .method = "HEAD",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "delete one",
     .run = s3_delete_one,
     .answer = {.status = "204 No Content", .headers = "content-length: 0\r\n"},
     .method = "DELETE",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "delete two",
     .run = s3_delete_two,
     .answer = {.body = XML "<DeleteResult" NS "><Deleted><Key>c/d</Key></Deleted><Deleted><Key>"
                            "a&lt;&amp;&gt;&quot;b</Key></Deleted></DeleteResult>"},
     .method = "POST",
     .target = "/bucket?delete=",
     .headers = "authorization,content-length,content-md5,content-type,host,user-agent,"
                "x-amz-checksum-sha256,x-amz-content-sha256,x-amz-date",
     .values = {"content-type", "application/xml"},
     .body = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>"
             "a&lt;&amp;&gt;&quot;b</Key></Object><Object><Key>c/d</Key></Object></Delete>"},
    {.name = "list all",
     .run = s3_list_all,
     .answer = {.body = LIST_EMPTY},
     .method = "GET",
     .target = "/bucket?list-type=2&max-keys=1000",
     .headers = BASE_HEADERS},
    {.name = "list some",
     .run = list_some,
     .answer = {.body = LIST_EMPTY},
     .method = "GET",
     .target =
         "/bucket?delimiter=%2F&list-type=2&max-keys=6&prefix=p%20q%2F&start-after=p%20q%2Fa%2Bb",
     .headers = BASE_HEADERS},
    {.name = "copy",
     .run = s3_copy_plain,
     .answer = {.body =
                    XML "<CopyObjectResult" NS "><ETag>&quot;e&quot;</ETag></CopyObjectResult>"},
     .method = "PUT",
     .target = "/bucket/to",
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,"
                "x-amz-copy-source,x-amz-date",
     .values = {"x-amz-copy-source", "bucket/db/a%20b%2B%C3%A9~%231", "content-length", "0"}},
    {.name = "copy with SSE-C names the source's key too",
     .run = s3_copy_plain,
     .options = {"aws_server_side_encryption", "sse-c", "aws_sse_customer_key_base64", SSE_KEY},
     .answer = {.body =
                    XML "<CopyObjectResult" NS "><ETag>&quot;e&quot;</ETag></CopyObjectResult>"},
     .method = "PUT",
     .target = "/bucket/to",
     .headers =
         "authorization,content-length,host,user-agent,x-amz-content-sha256,"
         "x-amz-copy-source,x-amz-copy-source-server-side-encryption-customer-algorithm,"
         "x-amz-copy-source-server-side-encryption-customer-key,"
         "x-amz-copy-source-server-side-encryption-customer-key-md5,x-amz-date,"
         "x-amz-server-side-encryption-customer-algorithm,"
         "x-amz-server-side-encryption-customer-key,x-amz-server-side-encryption-customer-key-md5"},
    {.name = "start of an upload, with checksums",
     .run = upload_start,
     .options = {"aws_checksum_algorithm", "crc64nvme", "aws_server_side_encryption", "AES256"},
     .answer = {.body = STARTED},
     .method = "POST",
     .target = "/bucket/k?uploads=",
     .headers = "authorization,content-length,host,user-agent,x-amz-checksum-algorithm,"
                "x-amz-content-sha256,x-amz-date,x-amz-meta-slatedbputid,"
                "x-amz-server-side-encryption",
     .values = {"x-amz-checksum-algorithm", "CRC64NVME", "content-length", "0"}},
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of all headers in lower case, sorted, joined by commas. */
static void header_names(const struct http_request *q, char *out, size_t cap)
{
    char *names[64];
    size_t count = 0;
    out[0] = '\0';
    for (const char *line = q->head; *line != '\0'; line = strstr(line, "\r\n") + 2) {
        names[count] = strndup(line, strcspn(line, ":"));
        for (char *p = names[count]; *p != '\0'; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p - 'A' + 'a');
        count++;
    }
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) {
        assert_true(strlen(out) + strlen(names[i]) + 2 < cap);
        strcat(strcat(out, i > 0 ? "," : ""), names[i]);
        free(names[i]);
    }
}

static void test_requests_are_what_s3_expects(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(wire_rows); i++) {
        const struct wire_row *row = &wire_rows[i];
        char names[2048], host[64];
        struct http_answer script[2] = {row->answer, {.status = "204 No Content"}};
        struct s3_scene c = s3_scene_new(script, 2, row->options);
        print_message("  %s\n", row->name);
        expect_code(SHALE_OK, row->run(c.bare));
        const struct http_request *q = http_server_request(c.server, 0);
        s3_expect_request(&c, 0, row->method, row->target);
        header_names(q, names, sizeof names);
        assert_string_equal(names, row->headers);
        for (size_t k = 0; row->values[k] != NULL; k += 2)
            s3_expect_header(&c, 0, row->values[k], row->values[k + 1]);
        assert_string_equal(q->body, row->body != NULL ? row->body : "");
        snprintf(host, sizeof host, "127.0.0.1:%u", http_server_port(c.server));
        s3_expect_header(&c, 0, "host", host);
        s3_check_signature(q, S3_SECRET, S3_REGION);
        s3_scene_free(&c);
    }
}

static void test_delete_many_has_the_digests_of_its_body(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.body = XML "<DeleteResult" NS "><Deleted><Key>c/d</Key></Deleted></DeleteResult>"}};
    struct s3_scene c = S3_SCENE(script);
    uint8_t digest[SHL_SHA256_BYTES];
    struct shl_buf text = {0};
    char got[64];
    expect_code(SHALE_OK, s3_delete_two(c.bare));
    const struct http_request *q = http_server_request(c.server, 0);
    struct shl_slice body = shl_slice_of(q->body, q->body_len);
    expect_code(SHALE_OK, shl_md5(&body, 1, digest, &test_err));
    expect_code(SHALE_OK, shl_base64_encode(shl_slice_of(digest, SHL_MD5_BYTES), &text, &test_err));
    assert_true(http_header(q, "content-md5", got, sizeof got));
    assert_true(shl_slice_eq(shl_buf_view(&text), shl_slice_str(got)));
    shl_buf_free(&text);
    s3_scene_free(&c);
}

static void test_bucket_stands_in_the_host_if_asked_so(void **state)
{
    (void)state;
    static const char *const options[] = {"aws_virtual_hosted_style_request", "true", NULL};
    struct http_answer script[] = {{.headers = ETAG}, {.body = LIST_EMPTY}};
    struct s3_scene c = s3_scene_new(script, 2, options);
    expect_code(SHALE_OK, s3_put_plain(c.bare));
    expect_code(SHALE_OK, s3_list_all(c.bare));
    s3_expect_request(&c, 0, "PUT", "/db/a%20b%2B%C3%A9~%231");
    s3_expect_request(&c, 1, "GET", "/?list-type=2&max-keys=1000");
    for (size_t i = 0; i < 2; i++)
        s3_check_signature(http_server_request(c.server, i), S3_SECRET, S3_REGION);
    s3_scene_free(&c);
}

static void test_anonymous_requests_carry_no_signature(void **state)
{
    (void)state;
    static const char *const options[] = {
        "aws_skip_signature", "true", "aws_access_key_id", "", "aws_secret_access_key", "", NULL};
    struct http_answer script[] = {{.headers = ETAG, .body = "hello"}};
    struct s3_scene c = s3_scene_new(script, 1, options);
    expect_code(SHALE_OK, s3_get_all(c.bare));
    s3_expect_header(&c, 0, "authorization", NULL);
    s3_scene_free(&c);
}

static void test_an_upload_names_its_parts_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *algorithm, *body;
    } rows[] = {
        {"none",
         "<CompleteMultipartUpload><Part><ETag>&quot;one&quot;</ETag><PartNumber>1</PartNumber>"
         "</Part><Part><ETag>&quot;two&quot;</ETag><PartNumber>2</PartNumber></Part>"
         "</CompleteMultipartUpload>"},
        {"sha256",
         "<CompleteMultipartUpload><Part><ETag>&quot;one&quot;</ETag><ChecksumSHA256>"
         "wU8XtAWkTqxMfWk2JLjUKy7h0hAA7KF7rwnHaS1+yLQ=</ChecksumSHA256><PartNumber>1</PartNumber>"
         "</Part><Part><ETag>&quot;two&quot;</ETag><ChecksumSHA256>"
         "P8S2YPQGpcrXlbixYe2nN7GgOjJYF9FLu0Zy0NPuPr4=</ChecksumSHA256><PartNumber>2</PartNumber>"
         "</Part></CompleteMultipartUpload>"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        const char *options[] = {"aws_checksum_algorithm", rows[i].algorithm, NULL};
        struct http_answer script[] = {{.body = STARTED},
                                       {.headers = "etag: \"two\"\r\n"},
                                       {.headers = "etag: \"one\"\r\n"},
                                       {.body = COMPLETED}};
        struct s3_scene c = s3_scene_new(script, 4, options);
        print_message("  %s\n", rows[i].algorithm);
        expect_code(SHALE_OK, s3_upload_two_parts(c.bare));
        s3_expect_request(&c, 0, "POST", ODD_URL "?uploads=");
        s3_expect_request(&c, 1, "PUT", ODD_URL "?partNumber=2&uploadId=u%2F1%2B%3D");
        s3_expect_request(&c, 2, "PUT", ODD_URL "?partNumber=1&uploadId=u%2F1%2B%3D");
        s3_expect_request(&c, 3, "POST", ODD_URL "?uploadId=u%2F1%2B%3D");
        s3_expect_header(&c, 3, "content-type", "application/xml");
        if (i == 0)
            assert_string_equal(http_server_request(c.server, 3)->body, rows[i].body);
        else
            assert_non_null(strstr(http_server_request(c.server, 3)->body, "<ChecksumSHA256>"));
        for (size_t k = 0; k < 4; k++)
            s3_check_signature(http_server_request(c.server, k), S3_SECRET, S3_REGION);
        s3_scene_free(&c);
    }
}

static void test_copy_that_must_create_is_an_upload_of_a_copied_part(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG "content-length: 100\r\n"},
                                   {.body = STARTED},
                                   {.body = COPIED_PART},
                                   {.body = COMPLETED}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, s3_copy_create(c.bare));
    s3_expect_request(&c, 0, "HEAD", ODD_URL);
    s3_expect_request(&c, 1, "POST", "/bucket/to?uploads=");
    s3_expect_request(&c, 2, "PUT", "/bucket/to?partNumber=1&uploadId=u%2F1%2B%3D");
    s3_expect_header(&c, 2, "x-amz-copy-source", "bucket/db/a%20b%2B%C3%A9~%231");
    s3_expect_header(&c, 2, "x-amz-copy-source-range", "bytes=0-99");
    s3_expect_request(&c, 3, "POST", "/bucket/to?uploadId=u%2F1%2B%3D");
    s3_expect_header(&c, 3, "if-none-match", "*");
    s3_expect_count(&c, 4);
    s3_scene_free(&c);
}

/* ---- what a request must not carry */

static void test_line_ends_do_not_reach_headers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *options[4];
        const char *if_match;
    } rows[] = {
        {"etag", {NULL}, "\"a\"\r\nx-evil: 1"},
        {"token", {"aws_session_token", "tok\r\nx-evil: 1"}, "\"a\""},
        {"token with a line end behind it", {"aws_session_token", "s3cr3t-t0ken\n"}, "\"a\""},
        {"class", {"aws_storage_class", "A\r\nx-evil: 1"}, "\"a\""},
        {"type", {"default_content_type", "A\nx-evil: 1"}, "\"a\""},
        {"access key", {"aws_access_key_id", "A\r\nx-evil: 1"}, "\"a\""},
        {"kms key",
         {"aws_server_side_encryption", "aws:kms", "aws_sse_kms_key_id", "A\nx-evil: 1"},
         "\"a\""},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.headers = ETAG}};
        const char *options[5] = {rows[i].options[0], rows[i].options[1], rows[i].options[2],
                                  rows[i].options[3], NULL};
        struct s3_scene c = s3_scene_new(script, 1, options);
        print_message("  %s\n", rows[i].name);
        expect_code(SHALE_INVALID,
                    put_mode(c.store, "k", "x", SHL_PUT_IF_MATCH, rows[i].if_match, NULL));
        s3_expect_says("line end");
        assert_null(strstr(test_err.text, "evil"));
        assert_null(strstr(test_err.text, "s3cr3t"));
        s3_expect_count(&c, 0);
        s3_scene_free(&c);
    }
}

static void test_line_ends_do_not_reach_the_user_agent(void **state)
{
    (void)state;
    static const char *const options[] = {"user_agent", "me\r\nx-evil: 1", NULL};
    struct shl_store *s = NULL;
    expect_code(SHALE_INVALID, s3_open("http://127.0.0.1:1", options, &s));
    s3_expect_says("user_agent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_what_s3_expects),
        cmocka_unit_test(test_delete_many_has_the_digests_of_its_body),
        cmocka_unit_test(test_bucket_stands_in_the_host_if_asked_so),
        cmocka_unit_test(test_anonymous_requests_carry_no_signature),
        cmocka_unit_test(test_an_upload_names_its_parts_in_order),
        cmocka_unit_test(test_copy_that_must_create_is_an_upload_of_a_copied_part),
        cmocka_unit_test(test_line_ends_do_not_reach_headers),
        cmocka_unit_test(test_line_ends_do_not_reach_the_user_agent),
    };
    char *home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 wire", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
