/* Goal: signatures that AWS takes. Method: the published examples and vectors checked with botocore, every intermediate text
 * of them; chunks and presigned URLs; what no vector has (long secrets, repeated headers, order of encoded names). */
#include "store/sigv4.h"

#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define VECTORS   SHALE_SOURCE_DIR "/tests/fixtures/signing/"
#define PAIRS_MAX 16

static json_t *load(const char *path)
{
    shl_json_setup(1);
    int fd;
    struct env_stat st;
    struct shl_buf text = {0};
    shale_error err;
    json_t *root = NULL;
    assert_int_equal(env_open(&fd, path, ENV_OPEN_READ), 0);
    assert_int_equal(env_fstat(fd, &st), 0);
    assert_int_equal(shl_buf_reserve(&text, st.size, &err), SHALE_OK);
    assert_int_equal(env_pread(fd, text.data, st.size, 0, &text.len), 0);
    (void)env_close(fd);
    if (shl_json_parse(shl_buf_view(&text), &root, &err) != SHALE_OK)
        fail_msg("%s: %s", path, err.text);
    shl_buf_free(&text);
    return root;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    if (s == NULL)
        fail_msg("the vector has no %s", name);
    return s;
}

static void check_text(const char *name, const char *what, struct shl_slice got, const char *want)
{
    if (!shl_slice_eq(got, shl_slice_str(want)))
        fail_msg("%s: %s\n got %.*s\nwant %s", name, what, (int)got.len, (const char *)got.data,
                 want);
}

static void check_buf(const char *name, const char *what, struct shl_buf *got, const char *want)
{
    check_text(name, what, shl_buf_view(got), want);
    got->len = 0;
}

static void check_digest(const char *name, const char *what, const uint8_t *got, const char *want)
{
    char hex[SHL_SHA256_HEX];
    shl_sha256_to_hex(got, hex);
    check_text(name, what, shl_slice_str(hex), want);
}

/* ---- vectors */

struct vector {
    const char *name;
    const json_t *input, *expected;
    struct shl_pair query[PAIRS_MAX], headers[PAIRS_MAX];
    struct shl_sigv4_request request;
    struct shl_sigv4_scope scope;
    struct shl_sigv4_key key;
};

static size_t pairs_of(const json_t *list, struct shl_pair pairs[PAIRS_MAX])
{
    size_t count = json_array_size(list);
    assert_true(count <= PAIRS_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(list, i);
        pairs[i] = (struct shl_pair){json_string_value(json_array_get(pair, 0)),
                                     json_string_value(json_array_get(pair, 1))};
    }
    return count;
}

static void vector_init(struct vector *v, const json_t *json)
{
    shale_error err;
    *v = (struct vector){.name = text_of(json, "name"),
                         .input = json_object_get(json, "input"),
                         .expected = json_object_get(json, "expected")};
    v->request = (struct shl_sigv4_request){
        .method = text_of(v->input, "method"),
        .path = text_of(v->input, "canonical_uri"),
        .query = v->query,
        .query_count = pairs_of(json_object_get(v->input, "query"), v->query),
        .headers = v->headers,
        .header_count = pairs_of(json_object_get(v->input, "headers_signed"), v->headers),
        .payload_hash = text_of(v->expected, "payload_hash")};
    v->scope = (struct shl_sigv4_scope){.access_key = text_of(v->input, "access_key"),
                                        .secret_key = text_of(v->input, "secret_key"),
                                        .region = text_of(v->input, "region"),
                                        .service = text_of(v->input, "service"),
                                        .amz_date = text_of(v->input, "x_amz_date")};
    assert_int_equal(shl_sigv4_derive(&v->key, &v->scope, &err), SHALE_OK);
}

/* The payload hash is that of the body, where the vector has one and signs it. */
static void check_payload(const struct vector *v)
{
    const char *want = text_of(v->expected, "payload_hash");
    const json_t *text = json_object_get(v->input, "payload_utf8");
    const json_t *hex = json_object_get(v->input, "payload_hex");
    struct shl_buf body = {0};
    shale_error err;
    char hash[SHL_SHA256_HEX];
    if (strlen(want) != SHL_SHA256_HEX - 1)
        return; /* UNSIGNED-PAYLOAD and such */
    if (json_is_string(hex))
        assert_int_equal(shl_hex_decode(shl_slice_str(json_string_value(hex)), &body, &err),
                         SHALE_OK);
    else
        assert_int_equal(shl_str_append(&body, json_string_value(text), &err), SHALE_OK);
    struct shl_slice whole = shl_buf_view(&body);
    assert_int_equal(shl_sha256_hex(&whole, 1, hash, &err), SHALE_OK);
    check_text(v->name, "payload_hash", shl_slice_str(hash), want);
    shl_buf_free(&body);
}

/* The header block lies between the query's line and the empty line. */
static void check_header_block(const struct vector *v, struct shl_slice canonical)
{
    const char *want = text_of(v->expected, "canonical_headers");
    const char *query = text_of(v->expected, "canonical_query");
    size_t before =
        strlen(v->request.method) + strlen(v->request.path) + strlen(query) + 3; /* line ends */
    assert_true(canonical.len > before + strlen(want));
    check_text(v->name, "canonical_headers", shl_slice_of(canonical.data + before, strlen(want)),
               want);
}

static void check_vector(const struct vector *v)
{
    struct shl_buf out = {0}, scratch = {0};
    char hash[SHL_SHA256_HEX];
    shale_error err;
    const struct shl_sigv4_request *r = &v->request;
    const json_t *e = v->expected;

    check_payload(v);
    assert_int_equal(shl_sigv4_query(r->query, r->query_count, &out, &err), SHALE_OK);
    check_buf(v->name, "canonical_query", &out, text_of(e, "canonical_query"));
    assert_int_equal(shl_sigv4_signed_headers(r, &out, &err), SHALE_OK);
    check_buf(v->name, "signed_headers", &out, text_of(e, "signed_headers"));
    assert_int_equal(shl_sigv4_canonical_request(r, v->scope.service, &out, &err), SHALE_OK);
    check_header_block(v, shl_buf_view(&out));
    struct shl_slice canonical = shl_buf_view(&out);
    assert_int_equal(shl_sha256_hex(&canonical, 1, hash, &err), SHALE_OK);
    check_text(v->name, "canonical_request_sha256", shl_slice_str(hash),
               text_of(e, "canonical_request_sha256"));
    assert_int_equal(shl_sigv4_string_to_sign(canonical, &v->scope, &scratch, &err), SHALE_OK);
    check_buf(v->name, "string_to_sign", &scratch, text_of(e, "string_to_sign"));
    check_buf(v->name, "canonical_request", &out, text_of(e, "canonical_request"));
    check_digest(v->name, "k_date", v->key.date_key, text_of(e, "k_date"));
    check_digest(v->name, "k_region", v->key.region_key, text_of(e, "k_region"));
    check_digest(v->name, "k_service", v->key.service_key, text_of(e, "k_service"));
    check_digest(v->name, "k_signing", v->key.signing_key, text_of(e, "k_signing"));

    if (json_is_string(json_object_get(e, "authorization"))) {
        assert_int_equal(shl_sigv4_authorization(r, &v->scope, &v->key, &scratch, &out, &err),
                         SHALE_OK);
        struct shl_slice tail = shl_slice_of(out.data + out.len - 64, 64);
        check_text(v->name, "signature", tail, text_of(e, "signature"));
        check_buf(v->name, "authorization", &out, text_of(e, "authorization"));
    }
    shl_buf_free(&out);
    shl_buf_free(&scratch);
}

static void test_vectors_in_every_step(void **state)
{
    (void)state;
    json_t *root = load(VECTORS "sigv4.json");
    const json_t *vectors = json_object_get(root, "vectors");
    assert_true(json_array_size(vectors) >= 14);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        struct vector v;
        vector_init(&v, json_array_get(vectors, i));
        check_vector(&v);
    }
    json_decref(root);
}

/* The vector's query is what we add ourselves. */
static void test_presigned_url(void **state)
{
    (void)state;
    json_t *root = load(VECTORS "sigv4.json");
    const json_t *vectors = json_object_get(root, "vectors");
    size_t seen = 0;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        struct vector v;
        vector_init(&v, json_array_get(vectors, i));
        if (strcmp(v.name, "aws-doc-presigned-get") != 0)
            continue;
        seen++;
        struct shl_buf want = {0}, got = {0};
        shale_error err;
        v.request.query_count = 0;
        assert_int_equal(shl_sigv4_presign(&v.request, &v.scope, NULL, 86400, &got, &err),
                         SHALE_OK);
        assert_int_equal(shl_str_printf(&want, &err, "%s&X-Amz-Signature=%s",
                                        text_of(v.expected, "canonical_query"),
                                        text_of(v.expected, "signature")),
                         SHALE_OK);
        assert_int_equal(shl_str_terminate(&want, &err), SHALE_OK);
        check_buf(v.name, "presigned query", &got, (const char *)want.data);

        /* Query of the request and token take their places in the order, and are signed: the signature differs. */
        const struct shl_pair version = {"versionId", "3/x"};
        v.request.query = &version;
        v.request.query_count = 1;
        assert_int_equal(shl_sigv4_presign(&v.request, &v.scope, "to+ken", 604800, &got, &err),
                         SHALE_OK);
        assert_int_equal(shl_str_terminate(&got, &err), SHALE_OK);
        assert_non_null(strstr((const char *)got.data, "X-Amz-Expires=604800&"));
        assert_non_null(strstr((const char *)got.data, "X-Amz-Security-Token=to%2Bken&"));
        assert_non_null(strstr((const char *)got.data,
                               "X-Amz-SignedHeaders=host&versionId=3%2Fx&X-Amz-Signature="));
        assert_null(strstr((const char *)got.data, text_of(v.expected, "signature")));
        shl_buf_free(&want);
        shl_buf_free(&got);
    }
    assert_int_equal(seen, 1);
    json_decref(root);
}

static void test_life_of_a_presigned_url_is_bounded(void **state)
{
    (void)state;
    const struct shl_pair host = {"host", "h"};
    const struct shl_sigv4_request r = {
        .method = "GET", .path = "/", .headers = &host, .header_count = 1};
    const struct shl_sigv4_scope scope = {"id", "SECRET", "eu-west-1", "s3", "20260115T083000Z"};
    static const uint32_t bad[] = {0, 604801, UINT32_MAX};
    for (size_t i = 0; i < SHL_COUNT_OF(bad); i++) {
        struct shl_buf out = {0};
        shale_error err;
        assert_int_equal(shl_sigv4_presign(&r, &scope, NULL, bad[i], &out, &err), SHALE_INVALID);
        assert_int_equal(out.len, 0);
        assert_non_null(strstr(err.text, "604800"));
        shl_buf_free(&out);
    }
}

static void test_chunks(void **state)
{
    (void)state;
    json_t *root = load(VECTORS "sigv4_streaming.json");
    const json_t *signed_chunks = json_object_get(root, "signed_chunks");
    struct vector v;
    vector_init(&v, json_object_get(signed_chunks, "seed"));
    check_vector(&v);

    char previous[SHL_SHA256_HEX];
    (void)snprintf(previous, sizeof previous, "%s", text_of(v.expected, "signature"));
    const json_t *chunks = json_object_get(signed_chunks, "chunks");
    assert_int_equal(json_array_size(chunks), 3);
    static uint8_t body[65536];
    memset(body, 'a', sizeof body);
    for (size_t i = 0; i < json_array_size(chunks); i++) {
        const json_t *chunk = json_array_get(chunks, i);
        size_t length = (size_t)json_integer_value(json_object_get(chunk, "length"));
        char signature[SHL_SHA256_HEX];
        char header[128];
        shale_error err;
        assert_int_equal(shl_sigv4_chunk(&v.scope, &v.key, previous, shl_slice_of(body, length),
                                         signature, &err),
                         SHALE_OK);
        check_text("chunk", "signature", shl_slice_str(signature), text_of(chunk, "signature"));
        (void)snprintf(header, sizeof header, "%zx;chunk-signature=%s\r\n", length, signature);
        check_text("chunk", "header", shl_slice_str(header), text_of(chunk, "chunk_header"));
        /* The chunk's string to sign is not handed out: the vector's, signed with the same key, must give the same. */
        uint8_t digest[SHL_SHA256_BYTES];
        assert_int_equal(shl_hmac_sha256(shl_slice_of(v.key.signing_key, SHL_SHA256_BYTES),
                                         shl_slice_str(text_of(chunk, "string_to_sign")), digest,
                                         &err),
                         SHALE_OK);
        check_digest("chunk", "string_to_sign", digest, signature);
        memcpy(previous, signature, sizeof previous);
    }
    json_decref(root);
}

/* ---- what the vectors do not have */

static void test_query_is_sorted_by_its_encoded_form(void **state)
{
    (void)state;
    static const struct shl_pair query[] = {
        {"a~", "1"}, {"b", "2"},  {"a", "b"},  {"a", "a/"},       {"a", "a"},
        {"B", "3"},  {"a/", "4"}, {"a-", "5"}, {"\xc3\xa4", "6"}, {"", ""},
    };
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_sigv4_query(query, SHL_COUNT_OF(query), &out, &err), SHALE_OK);
    check_buf("order", "query", &out, "=&%C3%A4=6&B=3&a=a&a=a%2F&a=b&a%2F=4&a-=5&a~=1&b=2");
    shl_buf_free(&out);
}

static void test_headers_are_sorted_folded_and_joined(void **state)
{
    (void)state;
    static const struct shl_pair headers[] = {
        {"x-amz-meta-b", "one"}, {"host", " h:1 "},         {"x-amz-meta-b", " t\t\t w  o "},
        {"x-amz-meta-a", ""},    {"x-amz-meta-b", "three"},
    };
    const struct shl_sigv4_request r = {.method = "PUT",
                                        .path = "",
                                        .headers = headers,
                                        .header_count = SHL_COUNT_OF(headers),
                                        .payload_hash = SHL_SIGV4_UNSIGNED};
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_sigv4_canonical_request(&r, "s3", &out, &err), SHALE_OK);
    check_buf("headers", "canonical request", &out,
              "PUT\n/\n\nhost:h:1\nx-amz-meta-a:\nx-amz-meta-b:one,t w o,three\n\n"
              "host;x-amz-meta-a;x-amz-meta-b\nUNSIGNED-PAYLOAD");
    shl_buf_free(&out);
}

static void test_only_s3_signs_the_path_as_sent(void **state)
{
    (void)state;
    static const struct {
        const char *service, *want;
    } cases[] = {
        {"s3", "GET\n/a%20b/c\n\n\n\n-"},
        {"s3express", "GET\n/a%20b/c\n\n\n\n-"},
        {"sts", "GET\n/a%2520b/c\n\n\n\n-"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        const struct shl_sigv4_request r = {
            .method = "GET", .path = "/a%20b/c", .payload_hash = "-"};
        struct shl_buf out = {0};
        shale_error err;
        assert_int_equal(shl_sigv4_canonical_request(&r, cases[i].service, &out, &err), SHALE_OK);
        check_buf(cases[i].service, "canonical request", &out, cases[i].want);
        shl_buf_free(&out);
    }
}

/* The key is derived again when day, region, service or secret change, and only then. */
static void test_key_follows_its_scope(void **state)
{
    (void)state;
    struct shl_sigv4_scope scope = {"id", "secret", "eu-west-1", "s3", "20260115T083000Z"};
    struct shl_sigv4_key key = {0};
    shale_error err;
    assert_int_equal(shl_sigv4_derive(&key, &scope, &err), SHALE_OK);
    uint8_t first = key.signing_key[0];
    key.signing_key[0] ^= 1; /* a key that is kept shows this mark */
    scope.amz_date = "20260115T235959Z";
    scope.access_key = "other";
    assert_int_equal(shl_sigv4_derive(&key, &scope, &err), SHALE_OK);
    assert_int_equal(key.signing_key[0], first ^ 1);

    const struct shl_sigv4_scope others[] = {
        {"id", "secret2", "eu-west-1", "s3", "20260115T083000Z"},
        {"id", "secret", "eu-west-11", "s3", "20260115T083000Z"},
        {"id", "secret", "eu-west-1", "sts", "20260115T083000Z"},
        {"id", "secret", "eu-west-1", "s3", "20260116T000000Z"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(others); i++) {
        struct shl_sigv4_key k = key, fresh = {0};
        assert_int_equal(shl_sigv4_derive(&k, &others[i], &err), SHALE_OK);
        assert_int_equal(shl_sigv4_derive(&fresh, &others[i], &err), SHALE_OK);
        assert_memory_equal(k.signing_key, fresh.signing_key, sizeof k.signing_key);
        assert_memory_not_equal(k.signing_key, key.signing_key, sizeof k.signing_key);
    }
}

/* A block of SHA-256 has 64 bytes: "AWS4" and a secret of 60 fill it, one more takes the other way. */
static void test_secrets_of_any_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < 200; len++) {
        char secret[204] = "AWS4"; /* what is signed with, and behind it the secret itself */
        uint8_t want[SHL_SHA256_BYTES];
        struct shl_sigv4_key key = {0};
        shale_error err;
        memset(secret + 4, 'x', len);
        secret[4 + len] = '\0';
        const struct shl_sigv4_scope scope = {"id", secret + 4, "r", "s3", "20260115T083000Z"};
        assert_int_equal(shl_sigv4_derive(&key, &scope, &err), SHALE_OK);
        assert_int_equal(
            shl_hmac_sha256(shl_slice_str(secret), shl_slice_str("20260115"), want, &err),
            SHALE_OK);
        assert_memory_equal(key.date_key, want, sizeof want);
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const char long_name[] =
        "a-name-of-sixty-four-bytes-is-one-more-than-a-region-can-be-long";
    static const struct {
        const char *name, *region, *service, *date, *message;
    } cases[] = {
        {"region", long_name, "s3", "20260115T083000Z", "64 bytes"},
        {"service", "r", long_name, "20260115T083000Z", "64 bytes"},
        {"date too short", "r", "s3", "20260115T083000", "20260115T083000"},
        {"no date", "r", "s3", "", "\"\""},
        {"date too long", "r", "s3", "20260115T083000ZZ", "want"},
        {"blank date", "r", "s3", "20260115 083000Z", "want"},
        {"letters", "r", "s3", "2026011xT083000Z", "want"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_sigv4_key key = {0};
        shale_error err;
        const struct shl_sigv4_scope scope = {"id", "SECRET", cases[i].region, cases[i].service,
                                              cases[i].date};
        if (shl_sigv4_derive(&key, &scope, &err) != SHALE_INVALID || key.valid ||
            strstr(err.text, cases[i].message) == NULL || strstr(err.text, "SECRET") != NULL)
            fail_msg("%s: %s", cases[i].name, err.text);
    }

    struct shl_pair many[257];
    for (size_t i = 0; i < SHL_COUNT_OF(many); i++)
        many[i] = (struct shl_pair){"a", "b"};
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_sigv4_query(many, 256, &out, &err), SHALE_OK);
    out.len = 3;
    assert_int_equal(shl_sigv4_query(many, 257, &out, &err), SHALE_INVALID);
    assert_int_equal(out.len, 3);
    shl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_in_every_step),
        cmocka_unit_test(test_presigned_url),
        cmocka_unit_test(test_life_of_a_presigned_url_is_bounded),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_query_is_sorted_by_its_encoded_form),
        cmocka_unit_test(test_headers_are_sorted_folded_and_joined),
        cmocka_unit_test(test_only_s3_signs_the_path_as_sent),
        cmocka_unit_test(test_key_follows_its_scope),
        cmocka_unit_test(test_secrets_of_any_length),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
