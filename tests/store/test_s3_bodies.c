/* Goal: whatever becomes of a body on its way, a read gives the right bytes or fails; lists are whole and in order or fail. Method: a scripted server that cuts,
 * lies, babbles and repeats itself; destinations are exact allocations, so that a byte too many is seen by the sanitizer. */
#include "store/support_s3.h"

#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>

#define ETAG       "etag: \"e1\"\r\n"
#define PIECE      65536
#define NO_HANG_NS (30 * ENV_NS_PER_SEC)

/* ---- a served object, whose answers are cut */

enum { OBJECT = 5 * PIECE + 17 };
static uint8_t object[OBJECT];

static void object_init(void)
{
    for (size_t i = 0; i < OBJECT; i++)
        object[i] = (uint8_t)(i * 2654435761u >> 11);
}

struct cutter {
    size_t cut_at;    /* of each answer's body; 0: none is cut */
    size_t cuts_left; /* answers that are cut */
    /* what is wrong with the answers after the first */
    const char *etag_later;
    bool ignores_range, ignores_if_match, shifted;
};

static void answer_object(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    struct cutter *c = ctx;
    char range[80], match[80];
    unsigned long first = 0, last = OBJECT - 1;
    const char *etag = n > 0 && c->etag_later != NULL ? c->etag_later : "\"e1\"";
    bool ranged = http_header(q, "range", range, sizeof range) && !(n > 0 && c->ignores_range);
    if (http_header(q, "if-match", match, sizeof match) && strcmp(match, etag) != 0 &&
        !c->ignores_if_match) {
        a->status = "412 Precondition Failed";
        return;
    }
    if (ranged && sscanf(range, "bytes=-%lu", &last) == 1) {
        first = OBJECT - last;
        last = OBJECT - 1;
    } else if (ranged) {
        assert_true(sscanf(range, "bytes=%lu-%lu", &first, &last) >= 1);
    }
    if (last >= OBJECT)
        last = OBJECT - 1;
    a->owned = malloc(256);
    snprintf(a->owned, 256, "etag: %s\r\n", etag);
    if (ranged) {
        size_t shift = n > 0 && c->shifted ? 1 : 0;
        snprintf(a->owned + strlen(a->owned), 128, "content-range: bytes %lu-%lu/%d\r\n",
                 first + shift, last, OBJECT);
        a->status = "206 Partial Content";
    }
    a->headers = a->owned;
    a->body = (const char *)object + first;
    a->len = last + 1 - first;
    if (c->cuts_left > 0 && c->cut_at > 0 && c->cut_at < a->len) {
        c->cuts_left--;
        a->flags = HTTP_CUT;
        a->cut = c->cut_at;
    }
}

static void read_all(struct shl_store *s, const struct shl_get *how, size_t from)
{
    struct shl_buf body = {0};
    struct shl_object o;
    expect_code(SHALE_OK, shl_buf_append(&body, "before", 6, &test_err));
    expect_code(SHALE_OK, shl_store_get(s, "k", how, &body, &o, &test_err));
    assert_int_equal(o.size, OBJECT);
    assert_int_equal(body.len, 6 + OBJECT - from);
    assert_memory_equal(body.data, "before", 6);
    assert_memory_equal(body.data + 6, object + from, OBJECT - from);
    shl_buf_free(&body);
}

/* Ranges that touch, and one far off; each into an exact allocation. */
static shale_code read_scattered(struct shl_store *s, bool far_too)
{
    static const struct {
        size_t offset, len;
    } parts[] = {{100, 1}, {101, PIECE}, {101 + PIECE, 2 * PIECE + 50}, {OBJECT - 300, 300}};
    struct shl_get_range ranges[SHL_COUNT_OF(parts)];
    size_t count = far_too ? 4 : 3;
    for (size_t i = 0; i < count; i++)
        ranges[i] = (struct shl_get_range){
            .offset = parts[i].offset, .len = parts[i].len, .dst = malloc(parts[i].len)};
    shale_code rc = shl_store_get_ranges(s, "k", ranges, count, &test_err);
    for (size_t i = 0; i < count; i++) {
        if (rc == SHALE_OK)
            assert_memory_equal(ranges[i].dst, object + parts[i].offset, parts[i].len);
        free(ranges[i].dst);
    }
    return rc;
}

static void read_in_every_way(struct shl_store *s, unsigned way)
{
    const struct shl_get from = {.kind = SHL_GET_FROM, .offset = 3},
                         suffix = {.kind = SHL_GET_SUFFIX, .len = 3 * PIECE + 7};
    if (way == 0)
        read_all(s, NULL, 0);
    else if (way == 1)
        read_all(s, &from, 3);
    else if (way == 2)
        read_all(s, &suffix, OBJECT - 3 * PIECE - 7);
    else
        expect_code(SHALE_OK, read_scattered(s, way == 4));
}

static void test_a_cut_body_is_gone_on_with_where_it_ended(void **state)
{
    (void)state;
    size_t cuts[24], count = 0;
    cuts[count++] = 1;
    cuts[count++] = 7;
    for (size_t i = 1; i <= 5; i++) {
        cuts[count++] = i * PIECE - 1;
        cuts[count++] = i * PIECE;
        cuts[count++] = i * PIECE + 1;
    }
    cuts[count++] = OBJECT - 1;
    for (unsigned way = 0; way < 5; way++) {
        for (size_t i = 0; i < count; i++) {
            struct cutter cutter = {.cut_at = cuts[i], .cuts_left = 1};
            struct s3_scene c =
                s3_scene_of(http_server_new(answer_object, &cutter, NULL, NULL), NULL);
            read_in_every_way(c.bare, way);
            if (cutter.cuts_left == 0 && way == 0) {
                char want[64];
                snprintf(want, sizeof want, "bytes=%zu-", cuts[i]);
                s3_expect_count(&c, 2);
                s3_expect_header(&c, 1, "range", want);
                s3_expect_header(&c, 1, "if-match", "\"e1\"");
                s3_check_signature(http_server_request(c.server, 1), S3_SECRET, S3_REGION);
            }
            s3_scene_free(&c);
        }
        print_message("  way %u: %zu cuts\n", way, count);
    }
}

static void test_a_body_that_is_cut_again_and_again_arrives(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 5; way++) {
        struct cutter cutter = {.cut_at = PIECE / 2, .cuts_left = SIZE_MAX};
        struct s3_scene c = s3_scene_of(http_server_new(answer_object, &cutter, NULL, NULL), NULL);
        read_in_every_way(c.bare, way);
        s3_scene_free(&c);
    }
}

/* A line that is too bad even for that: an error in the end, not a loop. */
static void test_a_body_that_comes_byte_by_byte_is_given_up(void **state)
{
    (void)state;
    struct cutter cutter = {.cut_at = 1, .cuts_left = SIZE_MAX};
    struct s3_scene c = s3_scene_of(http_server_new(answer_object, &cutter, NULL, NULL), NULL);
    struct shl_buf body = {0};
    expect_code(SHALE_UNAVAILABLE, shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err));
    assert_int_equal(body.len, 0);
    assert_true(http_server_count(c.server) < 32);
    expect_code(SHALE_UNAVAILABLE, read_scattered(c.bare, true));
    shl_buf_free(&body);
    s3_scene_free(&c);
}

static void test_bodies_of_two_objects_are_never_mixed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cutter cutter;
    } rows[] = {
        {"another object, 412", {.etag_later = "\"e2\""}},
        {"another object, if-match passed over",
         {.etag_later = "\"e2\"", .ignores_if_match = true}},
        {"the range passed over", {.ignores_range = true}},
        {"another range", {.shifted = true}},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        for (unsigned way = 0; way < 2; way++) {
            struct cutter cutter = rows[i].cutter;
            cutter.cut_at = PIECE + 5;
            cutter.cuts_left = 1;
            struct s3_scene c =
                s3_scene_of(http_server_new(answer_object, &cutter, NULL, NULL), NULL);
            struct shl_buf body = {0};
            print_message("  %s, %s\n", rows[i].name, way == 0 ? "into a buffer" : "into ranges");
            if (way == 0)
                expect_code(SHALE_UNAVAILABLE,
                            shl_store_get(c.bare, "k", NULL, &body, NULL, &test_err));
            else
                expect_code(SHALE_UNAVAILABLE, read_scattered(c.bare, false));
            s3_expect_says("cut"); /* the first failure */
            assert_int_equal(body.len, 0);
            s3_expect_count(&c, 2);
            shl_buf_free(&body);
            s3_scene_free(&c);
        }
    }
}

/* Two far ranges of one call are two requests: between them the object may be replaced. */
static void test_ranges_of_two_objects_are_never_mixed(void **state)
{
    (void)state;
    struct cutter cutter = {.etag_later = "\"e2\"", .ignores_if_match = true};
    struct s3_scene c = s3_scene_of(http_server_new(answer_object, &cutter, NULL, NULL), NULL);
    expect_code(SHALE_UNAVAILABLE, read_scattered(c.bare, true));
    s3_expect_says("changed while it was read");
    s3_scene_free(&c);
}

/* ---- answers that are none */

#define PART     "206 Partial Content"
#define RANGE(r) ETAG "content-range: " r "\r\n"
#define RAW(text)                                                                                  \
    {                                                                                              \
        .body = text, .flags = HTTP_RAW                                                            \
    }
#define TEN "0123456789"

/* What comes when bytes 10 to 19 are asked for. */
static const struct {
    const char *name;
    struct http_answer answer;
    shale_code want;
} range_rows[] = {
    {"right", {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN}, SHALE_OK},
    {"right, chunked",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_CHUNKED},
     SHALE_OK},
    {"right, without a length",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_NO_LENGTH},
     SHALE_OK},
    {"right, after 100 Continue",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_CONTINUE},
     SHALE_OK},
    {"without a length, cut",
     {.status = PART,
      .headers = RANGE("bytes 10-19/30"),
      .body = TEN,
      .flags = HTTP_NO_LENGTH | HTTP_CUT,
      .cut = 5},
     SHALE_UNAVAILABLE},
    {"cut",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_CUT, .cut = 5},
     SHALE_UNAVAILABLE},
    {"nothing of it",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_CUT, .cut = 0},
     SHALE_UNAVAILABLE},
    {"shorter",
     {.status = PART, .headers = RANGE("bytes 10-14/30"), .body = "01234"},
     SHALE_UNAVAILABLE},
    {"shorter than it says",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = "01234"},
     SHALE_UNAVAILABLE},
    {"longer",
     {.status = PART, .headers = RANGE("bytes 10-29/30"), .body = TEN TEN},
     SHALE_UNAVAILABLE},
    {"longer than it says",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN TEN},
     SHALE_UNAVAILABLE},
    {"endless",
     {.status = PART, .headers = RANGE("bytes 10-19/30"), .body = TEN, .flags = HTTP_ENDLESS},
     SHALE_UNAVAILABLE},
    {"whole object", {.headers = ETAG, .body = TEN TEN TEN}, SHALE_UNAVAILABLE},
    {"whole object that is too short", {.headers = ETAG, .body = TEN}, SHALE_INVALID_RANGE},
    {"whole object, with a range",
     {.headers = RANGE("bytes 10-19/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"no content", {.status = "204 No Content"}, SHALE_UNAVAILABLE},
    {"end of the object",
     {.status = PART, .headers = RANGE("bytes 10-14/15"), .body = "01234"},
     SHALE_INVALID_RANGE},
    {"no Content-Range", {.status = PART, .headers = ETAG, .body = TEN}, SHALE_UNAVAILABLE},
    {"empty Content-Range", {.status = PART, .headers = RANGE(""), .body = TEN}, SHALE_UNAVAILABLE},
    {"other unit",
     {.status = PART, .headers = RANGE("items 10-19/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"no numbers",
     {.status = PART, .headers = RANGE("bytes x-y/z"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"no size", {.status = PART, .headers = RANGE("bytes 10-19"), .body = TEN}, SHALE_UNAVAILABLE},
    {"unknown size",
     {.status = PART, .headers = RANGE("bytes 10-19/*"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"unknown range",
     {.status = PART, .headers = RANGE("bytes */30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"backwards",
     {.status = PART, .headers = RANGE("bytes 19-10/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"outside",
     {.status = PART, .headers = RANGE("bytes 10-19/15"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"from the start",
     {.status = PART, .headers = RANGE("bytes 0-9/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"one too far",
     {.status = PART, .headers = RANGE("bytes 11-20/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"negative",
     {.status = PART, .headers = RANGE("bytes -10-19/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"overflow",
     {.status = PART,
      .headers = RANGE("bytes 10-18446744073709551615/18446744073709551615"),
      .body = TEN},
     SHALE_UNAVAILABLE},
    {"more digits",
     {.status = PART, .headers = RANGE("bytes 10-19/99999999999999999999999"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"status of four digits",
     RAW("HTTP/1.1 2060 Partial\r\ncontent-length: 10\r\ncontent-range: bytes "
         "10-19/30\r\n\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"status of many digits",
     RAW("HTTP/1.1 20600000000000000000 x\r\ncontent-length: 10\r\n\r\n" TEN), SHALE_UNAVAILABLE},
    {"HTTP/1.0",
     RAW("HTTP/1.0 206 x\r\ncontent-length: 10\r\netag: \"e\"\r\ncontent-range: bytes "
         "10-19/30\r\n\r\n" TEN),
     SHALE_OK},
    {"HTTP/1.0 without a length",
     RAW("HTTP/1.0 206 x\r\netag: \"e\"\r\ncontent-range: bytes 10-19/30\r\n\r\n" TEN), SHALE_OK},
    {"HTTP/0.9", RAW(TEN), SHALE_UNAVAILABLE},
    {"another protocol",
     RAW("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" TEN),
     SHALE_INVALID},
    {"chunks without an end",
     RAW("HTTP/1.1 206 x\r\netag: \"e\"\r\ncontent-range: bytes "
         "10-19/30\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n"),
     SHALE_UNAVAILABLE},
    {"chunks that are none",
     RAW("HTTP/1.1 206 x\r\netag: \"e\"\r\ncontent-range: bytes "
         "10-19/30\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n01234\r\n"),
     SHALE_UNAVAILABLE},
    {"two ways to say where it ends",
     RAW("HTTP/1.1 206 x\r\netag: \"e\"\r\ncontent-length: 4\r\ncontent-range: bytes "
         "10-19/30\r\ntransfer-encoding: chunked\r\n\r\na\r\n" TEN "\r\n0\r\n\r\n"),
     SHALE_OK},
    {"a length below zero",
     RAW("HTTP/1.1 206 x\r\netag: \"e\"\r\ncontent-length: -10\r\ncontent-range: bytes "
         "10-19/30\r\n\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"status 0", RAW("HTTP/1.1 000 x\r\ncontent-length: 10\r\n\r\n" TEN), SHALE_UNAVAILABLE},
    {"status without a number", RAW("HTTP/1.1 abc\r\ncontent-length: 10\r\n\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"HTTP/9", RAW("HTTP/9.9 206 x\r\ncontent-length: 10\r\n\r\n" TEN), SHALE_UNAVAILABLE},
    {"no HTTP", RAW("SSH-2.0-OpenSSH_9.2\r\n"), SHALE_UNAVAILABLE},
    {"line noise", RAW("\x01\x02\xff\xfe\r\n\r\n"), SHALE_UNAVAILABLE},
    {"half a head", RAW("HTTP/1.1 206 Partial\r\ncontent-le"), SHALE_UNAVAILABLE},
    {"a line without a colon",
     RAW("HTTP/1.1 206 x\r\nodd\r\n" RANGE("bytes 10-19/30") "content-length: 10\r\n\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"a status among the headers",
     RAW("HTTP/1.1 206 x\r\n" RANGE(
         "bytes 10-19/30") "HTTP/1.1 500 x\r\ncontent-length: 10\r\n\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"length that is no number",
     {.status = PART,
      .headers = RANGE("bytes 10-19/30") "content-length: ten\r\n",
      .body = TEN,
      .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"negative length",
     {.status = PART,
      .headers = RANGE("bytes 10-19/30") "content-length: -1\r\n",
      .body = TEN,
      .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"length of 2^62",
     {.status = PART,
      .headers = RANGE("bytes 10-19/30") "content-length: 4611686018427387904\r\n",
      .body = TEN,
      .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"bad chunks",
     RAW("HTTP/1.1 206 x\r\n" RANGE(
         "bytes 10-19/30") "transfer-encoding: chunked\r\n\r\nzz\r\n" TEN),
     SHALE_UNAVAILABLE},
    {"chunks without an end",
     RAW("HTTP/1.1 206 x\r\n" RANGE(
         "bytes 10-19/30") "transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n"),
     SHALE_UNAVAILABLE},
    {"trailers that lie",
     RAW("HTTP/1.1 206 x\r\n" RANGE(
         "bytes 10-19/30") "transfer-encoding: chunked\r\n\r\na\r\n" TEN
                           "\r\n0\r\ncontent-range: bytes 0-9/30\r\netag: \"x\"\r\n\r\n"),
     SHALE_OK},
    {"compressed",
     {.status = PART, .headers = RANGE("bytes 10-19/30") "content-encoding: gzip\r\n", .body = TEN},
     SHALE_OK},
};

static bool is_retryable(shale_code rc)
{
    return rc == SHALE_UNAVAILABLE || rc == SHALE_TIMEOUT;
}

static void test_a_range_is_what_was_asked_for_or_an_error(void **state)
{
    (void)state;
    static const char *const options[] = {"first_byte_timeout", "2s", "read_timeout", "2s", NULL};
    for (size_t i = 0; i < SHL_COUNT_OF(range_rows); i++) {
        struct http_answer script[] = {range_rows[i].answer};
        script[0].flags |= HTTP_REPEAT;
        struct s3_scene c = s3_scene_new(script, 1, options);
        struct shl_get_range range = {.offset = 10, .len = 10, .dst = malloc(10)};
        uint64_t start = env_now_mono_ns();
        memset(range.dst, '-', 10);
        print_message("  %s\n", range_rows[i].name);
        shale_code rc = shl_store_get_ranges(c.bare, "k", &range, 1, &test_err);
        if (is_retryable(range_rows[i].want) && is_retryable(rc))
            rc = range_rows[i].want;
        expect_code(range_rows[i].want, rc);
        if (rc == SHALE_OK)
            assert_memory_equal(range.dst, TEN, 10);
        assert_true(env_now_mono_ns() - start < NO_HANG_NS);
        free(range.dst);
        s3_scene_free(&c);
    }
}

/* What comes when the whole object is asked for. */
static const struct {
    const char *name;
    struct http_answer answer;
    shale_code want;
} whole_rows[] = {
    {"right", {.headers = ETAG, .body = TEN}, SHALE_OK},
    {"empty", {.headers = ETAG, .body = ""}, SHALE_OK},
    {"right, in pieces",
     {.headers = ETAG, .body = TEN, .flags = HTTP_SLOW, .slow_ms = 5},
     SHALE_OK},
    {"right, after 100 Continue", {.headers = ETAG, .body = TEN, .flags = HTTP_CONTINUE}, SHALE_OK},
    /* Nothing says how much it should be: a whole body cannot be told from a cut one. */
    {"chunked", {.headers = ETAG, .body = TEN, .flags = HTTP_CHUNKED}, SHALE_UNAVAILABLE},
    {"without a length",
     {.headers = ETAG, .body = TEN, .flags = HTTP_NO_LENGTH},
     SHALE_UNAVAILABLE},
    {"part of it",
     {.status = PART, .headers = RANGE("bytes 0-9/30"), .body = TEN},
     SHALE_UNAVAILABLE},
    {"204", {.status = "204 No Content", .headers = ETAG}, SHALE_UNAVAILABLE},
    {"cut", {.headers = ETAG, .body = TEN, .flags = HTTP_CUT, .cut = 3}, SHALE_UNAVAILABLE},
    {"cut, without an ETag", {.body = TEN, .flags = HTTP_CUT, .cut = 3}, SHALE_UNAVAILABLE},
    {"two lengths",
     {.headers = ETAG "content-length: 5\r\ncontent-length: 10\r\n",
      .body = TEN,
      .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"length of 2^62",
     {.headers = ETAG "content-length: 4611686018427387904\r\n", .body = TEN, .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"length beyond 2^64",
     {.headers = ETAG "content-length: 99999999999999999999\r\n", .body = TEN, .flags = HTTP_CLOSE},
     SHALE_UNAVAILABLE},
    {"an ETag without end",
     {.headers = "etag: "
                 "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678"
                 "901234567890123456789\"\r\n",
      .body = TEN},
     SHALE_NOT_SUPPORTED},
    {"an error that is cut",
     {.status = "500 x",
      .body = "<Error><Code>InternalError</Code></Error>",
      .flags = HTTP_CUT,
      .cut = 9},
     SHALE_UNAVAILABLE},
};

static void test_a_whole_object_is_whole_or_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHL_COUNT_OF(whole_rows); i++) {
        struct http_answer script[] = {whole_rows[i].answer};
        script[0].flags |= HTTP_REPEAT;
        struct s3_scene c = S3_SCENE(script);
        struct shl_buf body = {0};
        struct shl_object o;
        print_message("  %s\n", whole_rows[i].name);
        shale_code rc = shl_store_get(c.bare, "k", NULL, &body, &o, &test_err);
        if (is_retryable(whole_rows[i].want) && is_retryable(rc))
            rc = whole_rows[i].want;
        expect_code(whole_rows[i].want, rc);
        if (rc != SHALE_OK && strstr(test_err.text, "k\"") == NULL)
            fail_msg("names no object: %s", test_err.text);
        assert_int_equal(body.len, rc == SHALE_OK ? strlen(whole_rows[i].answer.body) : 0);
        if (body.len > 0)
            assert_memory_equal(body.data, TEN, body.len);
        shl_buf_free(&body);
        s3_scene_free(&c);
    }
}

static void test_an_endless_answer_to_a_small_question_is_refused(void **state)
{
    (void)state;
    static char filler[100000];
    memset(filler, 'x', sizeof filler);
    static const char *const options[] = {"timeout", "2s", NULL};
    static char long_header[70000], many_headers[400000];
    snprintf(long_header, sizeof long_header, "HTTP/1.1 200 OK\r\nx-long: %.60000s", filler);
    for (size_t n = (size_t)sprintf(many_headers, "HTTP/1.1 200 OK\r\n"); n < 300000;)
        n += (size_t)sprintf(many_headers + n, "x-%zu: y\r\n", n);
    static const char heads[] = "more than 262144 bytes of headers"; /* libcurl keeps them */
    const struct {
        const char *name;
        struct http_answer answer;
        const char *says;
    } rows[] = {
        {"suffix",
         {.status = PART,
          .headers = RANGE("bytes 0-7/8"),
          .body = filler,
          .len = sizeof filler,
          .flags = HTTP_ENDLESS},
         NULL},
        {"error",
         {.status = "500 x", .body = filler, .len = sizeof filler, .flags = HTTP_ENDLESS},
         NULL},
        {"header", {.body = long_header, .flags = HTTP_RAW | HTTP_ENDLESS}, NULL},
        {"headers", {.body = many_headers, .flags = HTTP_RAW | HTTP_ENDLESS}, heads},
        {"interim answers",
         {.body = "HTTP/1.1 100 Continue\r\n\r\n", .flags = HTTP_RAW | HTTP_ENDLESS},
         heads},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {rows[i].answer};
        script[0].flags |= HTTP_REPEAT;
        struct s3_scene c = s3_scene_new(script, 1, options);
        struct shl_get how = {.kind = SHL_GET_SUFFIX, .len = 8};
        struct shl_buf body = {0};
        uint64_t start = env_now_mono_ns();
        print_message("  %s\n", rows[i].name);
        shale_code rc = shl_store_get(c.bare, "k", &how, &body, NULL, &test_err);
        assert_true(is_retryable(rc));
        assert_non_null(strstr(test_err.text, "\"bucket/k\""));
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        assert_true(body.cap <= 1 << 20);
        assert_true(env_now_mono_ns() - start < NO_HANG_NS);
        shl_buf_free(&body);
        s3_scene_free(&c);
    }
}

static void test_an_endless_list_is_refused(void **state)
{
    (void)state;
    static char filler[100000];
    memset(filler, ' ', sizeof filler);
    struct http_answer script[] = {
        {.body = filler, .len = sizeof filler, .flags = HTTP_ENDLESS | HTTP_REPEAT}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_list_options how = {0};
    struct shl_list l = {0};
    assert_true(is_retryable(shl_store_list(c.bare, &how, &l, &test_err)));
    s3_expect_says("67108864");
    s3_scene_free(&c);
}

/* ---- lists */

#define LIST(inside) "<?xml version=\"1.0\"?><ListBucketResult>" inside "</ListBucketResult>"
#define ITEM(key)                                                                                  \
    "<Contents><Key>" key "</Key><LastModified>2026-01-15T08:30:00.000Z</LastModified><ETag>"      \
    "&quot;e&quot;</ETag><Size>7</Size></Contents>"
#define FOLDER(key) "<CommonPrefixes><Prefix>" key "</Prefix></CommonPrefixes>"

static void test_lists_are_whole_or_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *body;
        shale_code want;
        const char *keys;
    } rows[] = {
        {"nothing", LIST(""), SHALE_OK, ""},
        {"two", LIST(ITEM("a") ITEM("b/c")), SHALE_OK, "a b/c"},
        {"not in order", LIST(ITEM("b") ITEM("a")), SHALE_OK, "a b"},
        {"with a namespace",
         "<s3:ListBucketResult "
         "xmlns:s3=\"x\"><s3:Contents><s3:Key>a</s3:Key></s3:Contents></s3:ListBucketResult>",
         SHALE_OK, "a"},
        {"entities",
         LIST(ITEM("a&amp;b") ITEM("c&lt;&gt;&quot;&apos;") ITEM("d&#233;") ITEM("e&#xe9;")),
         SHALE_OK, "a&b c<>\"' d\xc3\xa9 e\xc3\xa9"},
        {"CDATA", LIST(ITEM("<![CDATA[a&b]]>")), SHALE_OK, "a&b"},
        {"folders' markers are passed over",
         LIST(ITEM("a/") ITEM("a/b") ITEM("/x") ITEM("a//b") ITEM("a/../b") ITEM("") ITEM("z")),
         SHALE_OK, "a/b z"},
        {"keys with controls are passed over", LIST(ITEM("a&#10;b") ITEM("a&#x1;b") ITEM("c")),
         SHALE_OK, "c"},
        {"an item without a key", LIST("<Contents><Size>5</Size></Contents>" ITEM("b")), SHALE_OK,
         "b"},
        {"unknown elements",
         LIST("<Name>bucket</Name><KeyCount>1</KeyCount><X><Contents><Key>no</Key></Contents></"
              "X>" ITEM("b")),
         SHALE_OK, "b"},
        {"empty answer", "", SHALE_UNAVAILABLE, NULL},
        {"another document", "<html><body>Sign in</body></html>", SHALE_UNAVAILABLE, NULL},
        {"an error", "<Error><Code>SlowDown</Code></Error>", SHALE_UNAVAILABLE, NULL},
        {"no XML", "{\"Contents\": []}", SHALE_UNAVAILABLE, NULL},
        {"cut", "<ListBucketResult><Contents><Key>a</Key></Contents><Cont", SHALE_UNAVAILABLE,
         NULL},
        {"cut between items", "<ListBucketResult>" ITEM("a"), SHALE_UNAVAILABLE, NULL},
        {"two documents", LIST(ITEM("a")) "<x/>", SHALE_UNAVAILABLE, NULL},
        {"no UTF-8", LIST(ITEM("a\xff")), SHALE_UNAVAILABLE, NULL},
        {"NUL", LIST(ITEM("a&#0;")), SHALE_UNAVAILABLE, NULL},
        {"a size that is no number", LIST("<Contents><Key>a</Key><Size>many</Size></Contents>"),
         SHALE_NOT_SUPPORTED, NULL},
        {"a size beyond 2^64",
         LIST("<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"),
         SHALE_NOT_SUPPORTED, NULL},
        {"entities of its own",
         "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b "
         "\"&a;&a;&a;\">]><ListBucketResult>&b;</ListBucketResult>",
         SHALE_UNAVAILABLE, NULL},
        {"more, but no way to it", LIST("<IsTruncated>true</IsTruncated>" ITEM("a")),
         SHALE_NOT_SUPPORTED, NULL},
        {"more, with the marker of version 1",
         LIST("<IsTruncated>true</IsTruncated><NextMarker>a</NextMarker>" ITEM("a")),
         SHALE_NOT_SUPPORTED, NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.body = rows[i].body, .flags = HTTP_REPEAT}};
        struct s3_scene c = S3_SCENE(script);
        struct shl_list_options how = {0};
        struct shl_list l = {0};
        char got[256] = "";
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, shl_store_list(c.bare, &how, &l, &test_err));
        for (size_t k = 0; k < l.count; k++)
            strcat(strcat(got, k > 0 ? " " : ""), l.items[k].key);
        assert_string_equal(got, rows[i].keys != NULL ? rows[i].keys : "");
        shl_list_free(&l);
        s3_scene_free(&c);
    }
}

static void test_deep_documents_are_refused(void **state)
{
    (void)state;
    enum { DEPTH = 50000 };
    char *deep = malloc(3 * DEPTH + 1);
    assert_non_null(deep);
    for (size_t i = 0; i < DEPTH; i++)
        memcpy(deep + 3 * i, "<a>", 3);
    deep[3 * DEPTH] = '\0';
    struct http_answer script[] = {{.body = deep}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_list_options how = {0};
    struct shl_list l = {0};
    expect_code(SHALE_UNAVAILABLE, shl_store_list(c.bare, &how, &l, &test_err));
    s3_expect_says("deeper");
    s3_scene_free(&c);
    free(deep);
}

static void test_a_shallow_list_has_folders_and_objects_in_order(void **state)
{
    (void)state;
    struct http_answer script[] = {
        {.body = LIST(ITEM("p/a") ITEM("p/c") FOLDER("p/b/") FOLDER(
             "p/d&amp;/") "<NextContinuationToken>t&amp;+/=</NextContinuationToken>")},
        {.body = LIST(FOLDER("p/d&amp;/") ITEM("p/e"))}};
    struct s3_scene c = S3_SCENE(script);
    struct shl_list_options how = {.prefix = "p", .shallow = true};
    expect_keys(c.bare, &how, "p/a p/b/ p/c p/d&/ p/e");
    s3_expect_request(&c, 1, "GET",
                      "/bucket?continuation-token=t%26%2B%2F%3D&delimiter=%2F&list-type=2&"
                      "max-keys=1000&prefix=p%2F");
    s3_scene_free(&c);
}

enum lister_kind { GOES_ON, REPEATS, ALTERNATES, GOES_BACK, EMPTY_PAGES, SAME_FOLDER };
struct pages {
    enum lister_kind kind;
    size_t count;
};

static void answer_pages(void *ctx, const struct http_request *q, size_t n, struct http_answer *a)
{
    const struct pages *p = ctx;
    size_t key = p->kind == GOES_ON || p->kind == EMPTY_PAGES ? n
                 : p->kind == GOES_BACK                       ? 9999 - n
                                                              : n % 2;
    size_t token = p->kind == REPEATS ? 0 : p->kind == ALTERNATES ? n % 2 : n;
    a->owned = malloc(1024);
    int at = snprintf(a->owned, 1024, "<ListBucketResult>");
    if (p->kind == SAME_FOLDER)
        at += snprintf(a->owned + at, 500, FOLDER("f/"));
    else if (p->kind != EMPTY_PAGES || n + 1 == p->count)
        at += snprintf(a->owned + at, 500, ITEM("k%05zu"), key);
    if (n + 1 < p->count)
        at += snprintf(a->owned + at, 200,
                       "<IsTruncated>true</IsTruncated><NextContinuationToken>t%zu"
                       "</NextContinuationToken>",
                       token);
    snprintf(a->owned + at, 100, "</ListBucketResult>");
    a->body = a->owned;
    (void)q;
}

static void test_lists_of_many_pages_come_to_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct pages pages;
        size_t max;
        shale_code want;
        size_t items;
        size_t requests_max;
    } rows[] = {
        {"1,200 pages", {GOES_ON, 1200}, 0, SHALE_OK, 1200, 1200},
        {"1,200 pages, most of them empty", {EMPTY_PAGES, 1200}, 0, SHALE_OK, 1, 1200},
        {"endless, all of them empty", {EMPTY_PAGES, SIZE_MAX}, 0, SHALE_UNAVAILABLE, 0, 2000},
        {"the same folder for ever", {SAME_FOLDER, SIZE_MAX}, 0, SHALE_UNAVAILABLE, 0, 2001},
        {"endless, ten are wanted", {GOES_ON, SIZE_MAX}, 10, SHALE_OK, 10, 11},
        {"the same page for ever", {REPEATS, SIZE_MAX}, 0, SHALE_UNAVAILABLE, 0, 3},
        {"two pages for ever", {ALTERNATES, SIZE_MAX}, 0, SHALE_UNAVAILABLE, 0, 3},
        {"backwards", {GOES_BACK, SIZE_MAX}, 0, SHALE_UNAVAILABLE, 0, 3},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct pages pages = rows[i].pages;
        struct s3_scene c = s3_scene_of(http_server_new(answer_pages, &pages, NULL, NULL), NULL);
        struct shl_list_options how = {.max = rows[i].max};
        struct shl_list l = {0};
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, shl_store_list(c.bare, &how, &l, &test_err));
        assert_int_equal(l.count, rows[i].items);
        assert_true(http_server_count(c.server) <= rows[i].requests_max);
        assert_int_equal(http_server_connections(c.server), 1);
        shl_list_free(&l);
        s3_scene_free(&c);
    }
}

static void test_deletes_are_done_or_an_error(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b"};
    static const struct {
        const char *name, *body;
        shale_code want;
        const char *says;
    } rows[] = {
        {"all",
         "<DeleteResult><Deleted><Key>a</Key></Deleted><Deleted><Key>b</Key></Deleted></"
         "DeleteResult>",
         SHALE_OK, NULL},
        {"one was not there",
         "<DeleteResult><Error><Key>b</Key><Code>NoSuchKey</Code></Error></DeleteResult>", SHALE_OK,
         NULL},
        {"one failed",
         "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>InternalError</"
         "Code></Error></DeleteResult>",
         SHALE_UNAVAILABLE, "bucket/b"},
        {"one is not allowed",
         "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>m</Message></Error></"
         "DeleteResult>",
         SHALE_PERMISSION_DENIED, "s3:DeleteObject on \"bucket/b\""},
        {"a message of two lines",
         "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>x\ny</Message></"
         "Error></DeleteResult>",
         SHALE_PERMISSION_DENIED, "x y"},
        {"empty answer", "", SHALE_UNAVAILABLE, NULL},
        {"another document", "<html></html>", SHALE_UNAVAILABLE, NULL},
        {"not a word of the keys", "<DeleteResult></DeleteResult>", SHALE_UNAVAILABLE,
         "none of the deleted"},
        {"cut", "<DeleteResult><Deleted>", SHALE_UNAVAILABLE, NULL},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct http_answer script[] = {{.body = rows[i].body, .flags = HTTP_REPEAT}};
        struct s3_scene c = S3_SCENE(script);
        print_message("  %s\n", rows[i].name);
        expect_code(rows[i].want, shl_store_delete_many(c.bare, keys, 2, &test_err));
        if (rows[i].says != NULL)
            s3_expect_says(rows[i].says);
        s3_scene_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_body_is_gone_on_with_where_it_ended),
        cmocka_unit_test(test_a_body_that_is_cut_again_and_again_arrives),
        cmocka_unit_test(test_a_body_that_comes_byte_by_byte_is_given_up),
        cmocka_unit_test(test_bodies_of_two_objects_are_never_mixed),
        cmocka_unit_test(test_ranges_of_two_objects_are_never_mixed),
        cmocka_unit_test(test_a_range_is_what_was_asked_for_or_an_error),
        cmocka_unit_test(test_a_whole_object_is_whole_or_an_error),
        cmocka_unit_test(test_an_endless_answer_to_a_small_question_is_refused),
        cmocka_unit_test(test_an_endless_list_is_refused),
        cmocka_unit_test(test_lists_are_whole_or_an_error),
        cmocka_unit_test(test_deep_documents_are_refused),
        cmocka_unit_test(test_a_shallow_list_has_folders_and_objects_in_order),
        cmocka_unit_test(test_lists_of_many_pages_come_to_an_end),
        cmocka_unit_test(test_deletes_are_done_or_an_error),
    };
    char *home = s3_clean_environment();
    object_init();
    int failed = cmocka_run_group_tests_name("s3 bodies", tests, NULL, NULL);
    temp_dir_free(home);
    return failed;
}
