/* Goal: what the S3 backend sends is what S3 expects, byte by byte, and whatever S3 answers leads to the right verdict, correction or second try.
 * Method: a scripted server on the loopback that keeps each request; no service. Bodies, lists and the network: test_s3_bodies, test_s3_network. */
#include "store/support_s3.h"

#include "base/codec/digest.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>

#define ETAG    "etag: \"e1\"\r\n"
#define PUT_ID  "01J79B0000000000000000C0Q2"
#define OTHER   "01J79B0000000000000000XXXX"
#define ODD_KEY "db/a b+\xc3\xa9~#1"
#define ODD_URL "/bucket/db/a%20b%2B%C3%A9~%231"
#define XML     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS      " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static struct http_answer error_of(const char *status, const char *code)
{
    static char bodies[16][200];
    static unsigned next;
    char *body = bodies[next++ % 16];
    snprintf(body, 200,
             XML "<Error><Code>%s</Code><Message>m</Message><RequestId>R1</RequestId></Error>",
             code);
    return (struct http_answer){.status = status, .body = body};
}

/* ---- the wire */

static shale_code put_plain(struct shl_store *s)
{
    return put_mode(s, ODD_KEY, "hello", SHL_PUT_OVERWRITE, NULL, NULL);
}

static shale_code put_empty(struct shl_store *s)
{
    return put_mode(s, "k", "", SHL_PUT_OVERWRITE, NULL, NULL);
}

static shale_code put_create(struct shl_store *s)
{
    struct shl_put how = {.mode = SHL_PUT_CREATE, .put_id = PUT_ID};
    struct shl_slice body = shl_slice_str("x");
    struct shl_object o;
    shale_code rc = shl_store_put(s, "k", &body, 1, &how, &o, &test_err);
    if (rc == SHALE_OK) {
        assert_string_equal(o.put_id, PUT_ID);
        assert_string_equal(o.etag, "\"e1\"");
        assert_int_equal(o.size, 1);
    }
    return rc;
}

static shale_code put_if_match(struct shl_store *s)
{
    return put_mode(s, "k", "x", SHL_PUT_IF_MATCH, "\"old\"", NULL);
}

static shale_code get_how(struct shl_store *s, enum shl_get_kind kind, uint64_t offset,
                          uint64_t len, const char *if_none_match)
{
    struct shl_get how = {
        .kind = kind, .offset = offset, .len = len, .if_none_match = if_none_match};
    struct shl_buf body = {0};
    shale_code rc = shl_store_get(s, ODD_KEY, &how, &body, NULL, &test_err);
    shl_buf_free(&body);
    return rc;
}

static shale_code get_all(struct shl_store *s)
{
    return get_how(s, SHL_GET_ALL, 0, 0, NULL);
}

static shale_code get_from(struct shl_store *s)
{
    return get_how(s, SHL_GET_FROM, 3, 0, NULL);
}

static shale_code get_suffix(struct shl_store *s)
{
    return get_how(s, SHL_GET_SUFFIX, 0, 2, NULL);
}

static shale_code get_changed(struct shl_store *s)
{
    return get_how(s, SHL_GET_ALL, 0, 0, "\"e0\"");
}

static shale_code get_range(struct shl_store *s)
{
    uint8_t a[2], b[3];
    struct shl_get_range r[] = {{.offset = 0, .len = 2, .dst = a},
                                {.offset = 2, .len = 3, .dst = b}};
    shale_code rc = shl_store_get_ranges(s, "k", r, 2, &test_err);
    if (rc == SHALE_OK) {
        assert_memory_equal(a, "he", 2);
        assert_memory_equal(b, "llo", 3);
    }
    return rc;
}

static shale_code head(struct shl_store *s)
{
    struct shl_object o;
    shale_code rc = shl_store_head(s, ODD_KEY, &o, &test_err);
    if (rc == SHALE_OK) {
        assert_int_equal(o.size, 12345);
        assert_string_equal(o.put_id, PUT_ID);
        assert_true(o.modified_ns == INT64_C(1445412480) * 1000000000);
    }
    return rc;
}

static shale_code delete_one(struct shl_store *s)
{
    return shl_store_delete(s, ODD_KEY, &test_err);
}

static shale_code delete_two(struct shl_store *s)
{
    static const char *const keys[] = {"a<&>\"b", "c/d"};
    return shl_store_delete_many(s, keys, 2, &test_err);
}

static shale_code list_how(struct shl_store *s, const struct shl_list_options *how)
{
    struct shl_list l = {0};
    shale_code rc = shl_store_list(s, how, &l, &test_err);
    shl_list_free(&l);
    return rc;
}

static shale_code list_all(struct shl_store *s)
{
    struct shl_list_options how = {0};
    return list_how(s, &how);
}

static shale_code list_some(struct shl_store *s)
{
    struct shl_list_options how = {
        .prefix = "p q", .start_after = "p q/a+b", .max = 5, .shallow = true};
    return list_how(s, &how);
}

static shale_code copy_plain(struct shl_store *s)
{
    return shl_store_copy(s, ODD_KEY, "to", false, &test_err);
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
#define STARTED                                                                                    \
    XML "<InitiateMultipartUploadResult" NS "><Bucket>bucket</Bucket><Key>k</Key>"                 \
        "<UploadId>u/1+=</UploadId></InitiateMultipartUploadResult>"
#define SSE_KEY "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define SSE_MD5 "KYvwGXoFFJ42a2u2GDWhwQ=="

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
     .run = put_plain,
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
     .run = put_create,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = "/bucket/k",
     .headers = "authorization,content-length,host,if-none-match,user-agent,x-amz-content-sha256,"
                "x-amz-date,x-amz-meta-slatedbputid",
     .values = {"if-none-match", "*", "x-amz-meta-slatedbputid", PUT_ID},
     .body = "x"},
    {.name = "put if-match",
     .run = put_if_match,
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = "/bucket/k",
     .headers =
         "authorization,content-length,host,if-match,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"if-match", "\"old\""},
     .body = "x"},
    {.name = "put with a session token and another name for this program",
     .run = put_plain,
     .options = {"aws_session_token", "t0/k+en==", "user_agent", "me/1"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-security-token",
     .values = {"x-amz-security-token", "t0/k+en==", "user-agent", "me/1"},
     .body = "hello"},
    {.name = "put with an unsigned payload",
     .run = put_plain,
     .options = {"aws_unsigned_payload", "true"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"},
     .body = "hello"},
    {.name = "put with class, type and payer",
     .run = put_plain,
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
     .run = put_plain,
     .options = {"aws_server_side_encryption", "AES256"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,x-amz-date,"
                "x-amz-server-side-encryption",
     .values = {"x-amz-server-side-encryption", "AES256"},
     .body = "hello"},
    {.name = "put with SSE-KMS",
     .run = put_plain,
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
     .run = put_plain,
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
     .run = get_all,
     .options = {"aws_server_side_encryption", "sse-c", "aws_sse_customer_key_base64", SSE_KEY},
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = BASE_HEADERS ",x-amz-server-side-encryption-customer-algorithm,"
                             "x-amz-server-side-encryption-customer-key,"
                             "x-amz-server-side-encryption-customer-key-md5"},
    {.name = "put with SHA-256",
     .run = put_plain,
     .options = {"aws_checksum_algorithm", "sha256"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-checksum-sha256,"
                "x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
     .body = "hello"},
    {.name = "put with CRC-64/NVME",
     .run = put_plain,
     .options = {"aws_checksum_algorithm", "crc64nvme"},
     .answer = {.headers = ETAG},
     .method = "PUT",
     .target = ODD_URL,
     .headers = "authorization,content-length,host,user-agent,x-amz-checksum-crc64nvme,"
                "x-amz-content-sha256,x-amz-date",
     .values = {"x-amz-checksum-crc64nvme", "M3eFcAZSQlc="},
     .body = "hello"},
    {.name = "get",
     .run = get_all,
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "get from an offset",
     .run = get_from,
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
     .run = get_changed,
     .answer = {.headers = ETAG, .body = "hello"},
     .method = "GET",
     .target = ODD_URL,
     .headers = "authorization,host,if-none-match,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"if-none-match", "\"e0\""}},
    {.name = "touching ranges are one request",
     .run = get_range,
     .answer = {.status = "206 Partial Content",
                .headers = ETAG "content-range: bytes 0-4/5\r\n",
                .body = "hello"},
     .method = "GET",
     .target = "/bucket/k",
     .headers = "authorization,host,range,user-agent,x-amz-content-sha256,x-amz-date",
     .values = {"range", "bytes=0-4"}},
    {.name = "head",
     .run = head,
     .answer = {.headers = ETAG "content-length: 12345\r\nx-amz-meta-slatedbputid: " PUT_ID "\r\n"
                                "last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"},
     .method = "HEAD",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "delete one",
     .run = delete_one,
     .answer = {.status = "204 No Content", .headers = "content-length: 0\r\n"},
     .method = "DELETE",
     .target = ODD_URL,
     .headers = BASE_HEADERS},
    {.name = "delete two",
     .run = delete_two,
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
     .run = list_all,
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
     .run = copy_plain,
     .answer = {.body =
                    XML "<CopyObjectResult" NS "><ETag>&quot;e&quot;</ETag></CopyObjectResult>"},
     .method = "PUT",
     .target = "/bucket/to",
     .headers = "authorization,content-length,host,user-agent,x-amz-content-sha256,"
                "x-amz-copy-source,x-amz-date",
     .values = {"x-amz-copy-source", "bucket/db/a%20b%2B%C3%A9~%231", "content-length", "0"}},
    {.name = "copy with SSE-C names the source's key too",
     .run = copy_plain,
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
    struct http_answer script[] = {{.body = XML "<DeleteResult" NS "></DeleteResult>"}};
    struct s3_scene c = S3_SCENE(script);
    uint8_t digest[SHL_SHA256_BYTES];
    struct shl_buf text = {0};
    char got[64];
    expect_code(SHALE_OK, delete_two(c.bare));
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
    expect_code(SHALE_OK, put_plain(c.bare));
    expect_code(SHALE_OK, list_all(c.bare));
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
    expect_code(SHALE_OK, get_all(c.bare));
    s3_expect_header(&c, 0, "authorization", NULL);
    s3_scene_free(&c);
}

static shale_code upload_two_parts(struct shl_store *s)
{
    struct shl_upload *u;
    struct shl_object o;
    struct shl_slice one = shl_slice_str("part one"), two = shl_slice_str("two");
    expect_code(SHALE_OK, shl_store_upload_start(s, ODD_KEY, &u, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 1, &two, 1, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 0, &one, 1, &test_err));
    shale_code rc = shl_store_upload_complete(s, u, &o, &test_err);
    if (rc != SHALE_OK) {
        shale_error kept = test_err;
        shl_store_upload_abort(s, u);
        test_err = kept;
        return rc;
    }
    assert_int_equal(o.size, 11);
    return rc;
}

#define COMPLETED                                                                                  \
    XML "<CompleteMultipartUploadResult" NS                                                        \
        "><Location>x</Location><ETag>&quot;all-2&quot;</ETag>"                                    \
        "</CompleteMultipartUploadResult>"

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
        expect_code(SHALE_OK, upload_two_parts(c.bare));
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

#define COPIED_PART XML "<CopyPartResult" NS "><ETag>&quot;p&quot;</ETag></CopyPartResult>"

static shale_code copy_create(struct shl_store *s)
{
    return shl_store_copy(s, ODD_KEY, "to", true, &test_err);
}

static void test_copy_that_must_create_is_an_upload_of_a_copied_part(void **state)
{
    (void)state;
    struct http_answer script[] = {{.headers = ETAG "content-length: 100\r\n"},
                                   {.body = STARTED},
                                   {.body = COPIED_PART},
                                   {.body = COMPLETED}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, copy_create(c.bare));
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
        expect_code(SHALE_OK, put_plain(c.bare));
        expect_code(SHALE_OK, get_all(c.bare));
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
    expect_code(SHALE_OK, head(c.bare));
    s3_scene_free(&c);
}

static void test_a_second_wrong_region_is_an_error(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: ap-south-1\r\n"},
        {.status = "301 Moved Permanently", .headers = "x-amz-bucket-region: ap-south-2\r\n"}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_INVALID, put_plain(c.bare));
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
        expect_code(SHALE_INVALID, put_plain(c.store));
        s3_expect_says("wrong region");
        assert_null(strchr(test_err.text, ';')); /* it may be offered for pasting */
        s3_expect_count(&c, 1);
        s3_scene_free(&c);
    }
}

static void test_a_skewed_clock_follows_the_server(void **state)
{
    (void)state;
    struct http_answer skewed = error_of("403 Forbidden", "RequestTimeTooSkewed");
    char date[SHL_TIME_TEXT], header[80], sent[64], want[SHL_TIME_TEXT];
    int64_t server_ms = env_now_wall_ms() + 20 * 60 * 1000;
    snprintf(header, sizeof header, "date: %s\r\n", shl_time_http(server_ms, date));
    skewed.headers = header;
    struct http_answer script[] = {skewed, {.headers = ETAG}, {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, put_plain(c.bare));
    expect_code(SHALE_OK, put_plain(c.bare));
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

static void test_a_clock_that_stays_skewed_is_an_error(void **state)
{
    (void)state;
    struct http_answer skewed = error_of("403 Forbidden", "RequestTimeTooSkewed");
    skewed.headers = "date: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    struct http_answer script[] = {skewed, skewed};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_UNAUTHENTICATED, put_plain(c.bare));
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
    struct http_answer script[] = {error_of("400 Bad Request", "ExpiredToken"),
                                   {.headers = ETAG},
                                   error_of("403 Forbidden", "InvalidAccessKeyId"),
                                   {.headers = ETAG}};
    struct s3_scene c = s3_scene_new(script, 4, from_profile);
    write_profile("AKNEW", "new secret", "new token");
    expect_code(SHALE_OK, put_plain(c.bare));
    s3_check_signature(http_server_request(c.server, 0), "old secret", S3_REGION);
    s3_check_signature(http_server_request(c.server, 1), "new secret", S3_REGION);
    s3_expect_header(&c, 1, "x-amz-security-token", "new token");
    write_profile("AKNEXT", "next secret", NULL);
    expect_code(SHALE_OK, put_plain(c.bare));
    s3_check_signature(http_server_request(c.server, 2), "new secret", S3_REGION);
    s3_check_signature(http_server_request(c.server, 3), "next secret", S3_REGION);
    s3_expect_header(&c, 3, "x-amz-security-token", NULL);
    s3_scene_free(&c);
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
}

static void test_credentials_that_stay_expired_are_an_error(void **state)
{
    (void)state;
    static const char *const statuses[] = {"400 Bad Request", "401 Unauthorized", "403 Forbidden"};
    for (size_t i = 0; i < SHL_COUNT_OF(statuses); i++) {
        write_profile("AKOLD", "old secret", "old token");
        struct http_answer script[] = {error_of(statuses[i], "ExpiredToken")};
        script[0].flags = HTTP_REPEAT;
        struct s3_scene c = s3_scene_new(script, 1, from_profile);
        expect_code(SHALE_UNAUTHENTICATED, put_plain(c.store));
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
        {"get, no key", get_all, "404 Not Found", "NoSuchKey", SHALE_NOT_FOUND, "bucket/db/a b+"},
        {"get, no bucket", get_all, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "no bucket \"bucket\""},
        {"get, bare 404", get_all, "404 Not Found", NULL, SHALE_NOT_FOUND, "no object"},
        {"head 404", head, "404 Not Found", NULL, SHALE_NOT_FOUND, "no object"},
        {"list, no bucket", list_all, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET, "bucket"},
        {"list, bare 404", list_all, "404 Not Found", NULL, SHALE_NO_BUCKET, "bucket"},
        {"put, no bucket", put_plain, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET, "bucket"},
        {"create 412", put_create, "412 Precondition Failed", "PreconditionFailed",
         SHALE_ALREADY_EXISTS, "\"k\" exists"},
        {"create 409", put_create, "409 Conflict", "BucketAlreadyOwnedByYou", SHALE_ALREADY_EXISTS,
         "exists"},
        {"create 409 without a body", put_create, "409 Conflict", NULL, SHALE_ALREADY_EXISTS,
         "exists"},
        {"create 304", put_create, "304 Not Modified", NULL, SHALE_ALREADY_EXISTS, "exists"},
        {"create, other write under way", put_create, "409 Conflict", "ConditionalRequestConflict",
         SHALE_UNAVAILABLE, "under way"},
        {"create, aborted", put_create, "409 Conflict", "OperationAborted", SHALE_UNAVAILABLE,
         "under way"},
        {"if-match 412", put_if_match, "412 Precondition Failed", "PreconditionFailed",
         SHALE_PRECONDITION, "changed"},
        {"if-match 404", put_if_match, "404 Not Found", "NoSuchKey", SHALE_PRECONDITION, "gone"},
        {"if-match 409", put_if_match, "409 Conflict", "ConditionalRequestConflict",
         SHALE_UNAVAILABLE, "under way"},
        {"if-match, no bucket", put_if_match, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"get 304", get_changed, "304 Not Modified", NULL, SHALE_NOT_MODIFIED, "not changed"},
        {"get 416", get_from, "416 Range Not Satisfiable", "InvalidRange", SHALE_INVALID_RANGE,
         "range"},
        {"ranges 416", get_range, "416 Range Not Satisfiable", "InvalidRange", SHALE_INVALID_RANGE,
         "range"},
        {"401", get_all, "401 Unauthorized", NULL, SHALE_UNAUTHENTICATED, S3_KEY_ID},
        {"403", get_all, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:GetObject on \"bucket/db/a b+"},
        {"403 put", put_plain, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:PutObject"},
        {"403 list", list_all, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:ListBucket on \"bucket\""},
        {"403 delete", delete_one, "403 Forbidden", "AccessDenied", SHALE_PERMISSION_DENIED,
         "s3:DeleteObject"},
        {"403 head", head, "403 Forbidden", NULL, SHALE_PERMISSION_DENIED, S3_KEY_ID},
        {"wrong secret", get_all, "403 Forbidden", "SignatureDoesNotMatch", SHALE_UNAUTHENTICATED,
         "SignatureDoesNotMatch"},
        {"unknown key", get_all, "403 Forbidden", "InvalidAccessKeyId", SHALE_UNAUTHENTICATED,
         "InvalidAccessKeyId"},
        {"405", put_plain, "405 Method Not Allowed", "MethodNotAllowed", SHALE_NOT_SUPPORTED,
         "not supported"},
        {"501", put_create, "501 Not Implemented", "NotImplemented", SHALE_NOT_SUPPORTED,
         "not supported"},
        {"429", get_all, "429 Too Many Requests", NULL, SHALE_UNAVAILABLE, "429"},
        {"408", get_all, "408 Request Timeout", NULL, SHALE_UNAVAILABLE, "408"},
        {"500", get_all, "500 Internal Server Error", "InternalError", SHALE_UNAVAILABLE,
         "InternalError"},
        {"503", get_all, "503 Service Unavailable", "SlowDown", SHALE_UNAVAILABLE,
         "SlowDown (request R1)"},
        {"504", list_all, "504 Gateway Timeout", NULL, SHALE_UNAVAILABLE, "504"},
        {"507", put_plain, "507 Insufficient Storage", "XMinioStorageFull", SHALE_NO_SPACE, "full"},
        {"400 the upload was too slow", put_plain, "400 Bad Request", "RequestTimeout",
         SHALE_UNAVAILABLE, "RequestTimeout"},
        {"400 other", put_plain, "400 Bad Request", "InvalidArgument", SHALE_INVALID,
         "InvalidArgument"},
        {"402", put_plain, "402 Payment Required", NULL, SHALE_INVALID, "402"},
        {"delete of a missing key", delete_one, "404 Not Found", "NoSuchKey", SHALE_OK, NULL},
        {"delete, no bucket", delete_one, "404 Not Found", "NoSuchBucket", SHALE_NO_BUCKET,
         "bucket"},
        {"copy, no source", copy_plain, "404 Not Found", "NoSuchKey", SHALE_NOT_FOUND, "no object"},
        {"copy, error in a 200", copy_plain, "200 OK", "InternalError", SHALE_UNAVAILABLE,
         "InternalError"},
        {"copy, refusal in a 200", copy_plain, "200 OK", "AccessDenied", SHALE_PERMISSION_DENIED,
         "AccessDenied"},
        {"deletes, error in a 200", delete_two, "200 OK", "SlowDown", SHALE_UNAVAILABLE,
         "SlowDown"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.status = rows[i].status, .flags = HTTP_REPEAT}};
        if (rows[i].code != NULL)
            script[0] = error_of(rows[i].status, rows[i].code);
        script[0].flags = HTTP_REPEAT;
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, rows[i].run(c.bare));
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        if (rows[i].want != SHALE_OK) {
            assert_null(strstr(test_err.text, S3_SECRET));
            assert_null(strstr(test_err.text, "\n"));
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
        expect_code(SHALE_UNAVAILABLE, put_plain(c.bare));
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
    expect_code(SHALE_OK, put_plain(c.store));
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
        expect_code(SHALE_UNAVAILABLE, put_plain(c.bare));
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
         put_if_match,
         {.flags = HTTP_LOST, .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"if-match, 503",
         put_if_match,
         {.first_status = "503 x", .refusal = "412 x", .is_ours = true},
         SHALE_OK},
        {"if-match, another's",
         put_if_match,
         {.flags = HTTP_LOST, .refusal = "412 x"},
         SHALE_PRECONDITION},
        {"if-match, gone",
         put_if_match,
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
         put_if_match,
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
    expect_code(SHALE_OK, copy_plain(c.store));
    s3_expect_count(&c, 2);
    s3_scene_free(&c);
}

static void test_a_conflict_is_tried_again(void **state)
{
    (void)state;
    struct http_answer script[] = {error_of("409 Conflict", "ConditionalRequestConflict"),
                                   error_of("409 Conflict", "OperationAborted"),
                                   {.headers = ETAG}};
    struct s3_scene c = S3_SCENE(script);
    expect_code(SHALE_OK, put_create(c.store));
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
         upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"500, then gone, ours",
         upload_two_parts,
         {{.status = "500 x"}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"lost, then gone, HEAD fails once",
         upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, {.status = "503 x"}, NO_UPLOAD, {0}},
         5,
         SHALE_OK},
        {"lost, then gone, another's of the same size",
         upload_two_parts,
         {{.flags = HTTP_LOST}, NO_UPLOAD, ANOTHERS},
         3,
         SHALE_PRECONDITION},
        {"gone at once, nothing there",
         upload_two_parts,
         {NO_UPLOAD, {.status = "404 x"}},
         2,
         SHALE_NOT_FOUND},
        {"error in a 200, then fine",
         upload_two_parts,
         {ERROR_200("InternalError"), {.body = COMPLETED}},
         2,
         SHALE_OK},
        {"error in a 200 that stays",
         upload_two_parts,
         {ERROR_200("InvalidPart")},
         1,
         SHALE_INVALID},
        {"empty 200, then gone, ours",
         upload_two_parts,
         {{.body = ""}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"cut 200, then gone, ours",
         upload_two_parts,
         {{.body = COMPLETED, .flags = HTTP_CUT, .cut = 50}, NO_UPLOAD, {0}},
         3,
         SHALE_OK},
        {"copy: exists", copy_create, {{.status = "412 x"}, ANOTHERS}, 2, SHALE_ALREADY_EXISTS},
        {"copy: exists, in a 200",
         copy_create,
         {ERROR_200("PreconditionFailed"), ANOTHERS},
         2,
         SHALE_ALREADY_EXISTS},
        /* a kept connection that ends without an answer: libcurl sends once more by itself, over a fresh one */
        {"copy: lost twice, ours",
         copy_create,
         {{.flags = HTTP_LOST}, {.flags = HTTP_LOST}, {0}},
         3,
         SHALE_OK},
        {"copy: exists, ours", copy_create, {{.status = "412 x"}, {0}}, 2, SHALE_OK},
        {"copy: gone, ours", copy_create, {NO_UPLOAD, {0}}, 2, SHALE_OK},
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
        cmocka_unit_test(test_region_is_corrected_once_and_kept),
        cmocka_unit_test(test_head_in_the_wrong_region_is_corrected_by_its_header),
        cmocka_unit_test(test_a_second_wrong_region_is_an_error),
        cmocka_unit_test(test_a_redirect_without_a_region_is_an_error),
        cmocka_unit_test(test_a_skewed_clock_follows_the_server),
        cmocka_unit_test(test_a_clock_that_stays_skewed_is_an_error),
        cmocka_unit_test(test_expired_credentials_are_read_again),
        cmocka_unit_test(test_credentials_that_stay_expired_are_an_error),
        cmocka_unit_test(test_all_that_are_under_way_go_on_with_new_credentials),
        cmocka_unit_test(test_statuses_become_codes),
        cmocka_unit_test(test_retry_after_holds_retries_back),
        cmocka_unit_test(test_the_retry_wrapper_waits_as_long_as_it_was_asked),
        cmocka_unit_test(test_odd_retry_after_is_passed_over_or_bounded),
        cmocka_unit_test(test_a_lost_answer_to_a_conditional_put_is_settled_by_its_id),
        cmocka_unit_test(test_an_answer_that_ends_in_its_headers_is_none),
        cmocka_unit_test(test_a_copy_without_its_verdict_is_tried_again),
        cmocka_unit_test(test_a_conflict_is_tried_again),
        cmocka_unit_test(test_completions_that_go_wrong_are_settled),
        cmocka_unit_test(test_line_ends_do_not_reach_headers),
        cmocka_unit_test(test_line_ends_do_not_reach_the_user_agent),
    };
    home = s3_clean_environment();
    int failed = cmocka_run_group_tests_name("s3 scripted", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
