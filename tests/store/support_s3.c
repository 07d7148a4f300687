#include "store/support_s3.h"

#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "store/open.h"
#include "store/path.h"
#include "store/sigv4.h"
#include "store/wrap_retry.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

char *s3_clean_environment(void)
{
    static const char *const proxies[] = {"http_proxy",  "https_proxy", "all_proxy", "no_proxy",
                                          "HTTPS_PROXY", "ALL_PROXY",   "NO_PROXY",  "HTTP_PROXY"};
    char *home = temp_dir_new();
    for (;;) {
        char name[256];
        char **e = env_environ();
        while (*e != NULL && strncmp(*e, "AWS_", 4) != 0)
            e++;
        if (*e == NULL)
            break;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
        assert_int_equal(unsetenv(name), 0);
    }
    for (size_t i = 0; i < SHL_COUNT_OF(proxies); i++)
        assert_int_equal(unsetenv(proxies[i]), 0);
    assert_int_equal(setenv("HOME", home, 1), 0);
    return home;
}

/* ---- scenes */

#define OPTIONS_MAX 40

shale_code s3_open(const char *endpoint, s3_options more, struct shl_store **out)
{
    struct shl_store_option options[OPTIONS_MAX] = {
        {.key = "aws_endpoint", .value = endpoint},
        {.key = "aws_allow_http", .value = "true"},
        {.key = "aws_access_key_id", .value = S3_KEY_ID},
        {.key = "aws_secret_access_key", .value = S3_SECRET},
        {.key = "aws_region", .value = S3_REGION},
        {.key = "connect_timeout", .value = "5s"},
        {.key = "first_byte_timeout", .value = "10s"},
        {.key = "read_timeout", .value = "10s"},
        {.key = "timeout", .value = "20s"},
    };
    size_t count = 9;
    for (; more != NULL && *more != NULL; more += 2) {
        size_t at = 0;
        while (at < count && strcmp(options[at].key, more[0]) != 0)
            at++;
        assert_true(at < OPTIONS_MAX);
        options[at] = (struct shl_store_option){.key = more[0], .value = more[1]};
        if (at == count)
            count++;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (options[i].value[0] != '\0')
            options[kept++] = options[i];
    const struct shl_store_config config = {.options = options, .option_count = kept};
    return shl_store_open_raw("s3://bucket", &config, out, &test_err);
}

struct s3_scene s3_scene_of(struct http_server *take_server, s3_options more)
{
    static const struct shl_retry_options quick = {
        .max_retries = 5, .delay_first_ns = ENV_NS_PER_MS, .delay_max_ns = ENV_NS_PER_MS};
    struct s3_scene c = {.server = take_server};
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", http_server_port(c.server));
    expect_code(SHALE_OK, s3_open(endpoint, more, &c.bare));
    expect_code(SHALE_OK, shl_store_retry_new(&c.store, c.bare, &quick, &test_err));
    return c;
}

struct s3_scene s3_scene_new(const struct http_answer *script, size_t count, s3_options more)
{
    return s3_scene_of(http_server_script(script, count), more);
}

void s3_scene_free(struct s3_scene *c)
{
    shl_store_unref(c->store);
    shl_store_unref(c->bare);
    http_server_free(c->server);
    *c = (struct s3_scene){0};
}

/* ---- what requests say */

void s3_expect_request(struct s3_scene *c, size_t n, const char *method, const char *target)
{
    const struct http_request *q = http_server_request(c->server, n);
    if (strcmp(q->method, method) != 0 || strcmp(q->target, target) != 0)
        fail_msg("request %zu: want %s %s, got %s %s", n, method, target, q->method, q->target);
}

void s3_expect_header(struct s3_scene *c, size_t n, const char *name, const char *value)
{
    char got[4096];
    bool there = http_header(http_server_request(c->server, n), name, got, sizeof got);
    if (there != (value != NULL) || (there && strcmp(got, value) != 0))
        fail_msg("request %zu: %s: want %s, got %s", n, name, value != NULL ? value : "none",
                 there ? got : "none");
}

void s3_expect_count(struct s3_scene *c, size_t n)
{
    size_t got = http_server_count(c->server);
    if (got == n)
        return;
    for (size_t i = 0; i < got; i++)
        print_error("  %s %s\n", http_server_request(c->server, i)->method,
                    http_server_request(c->server, i)->target);
    fail_msg("want %zu requests, got %zu", n, got);
}

void s3_expect_says(const char *part)
{
    if (strstr(test_err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", test_err.text, part);
}

/* ---- signatures */

#define PAIRS_MAX 40

/* Texts of one check, freed at its end. */
struct texts {
    char *items[4 * PAIRS_MAX];
    size_t count;
};

static char *keep(struct texts *t, const char *from, size_t len)
{
    char *copy = strndup(from, len);
    assert_non_null(copy);
    assert_true(t->count < SHL_COUNT_OF(t->items));
    t->items[t->count++] = copy;
    return copy;
}

static size_t read_query(struct texts *t, const char *target, struct shl_pair *out)
{
    size_t count = 0;
    const char *at = strchr(target, '?');
    while (at != NULL && at[1] != '\0') {
        const char *name = at + 1;
        size_t len = strcspn(name, "&"), n = strcspn(name, "=&");
        char *decoded[2];
        assert_true(count < PAIRS_MAX && n < len); /* a name without '=' was never sent */
        expect_code(SHALE_OK, shl_url_decode(keep(t, name, n), &decoded[0], &test_err));
        expect_code(SHALE_OK,
                    shl_url_decode(keep(t, name + n + 1, len - n - 1), &decoded[1], &test_err));
        out[count++] = (struct shl_pair){.name = keep(t, decoded[0], strlen(decoded[0])),
                                         .value = keep(t, decoded[1], strlen(decoded[1]))};
        env_free(decoded[0]);
        env_free(decoded[1]);
        at = name[len] == '&' ? name + len : NULL;
    }
    return count;
}

/* All headers but those that SigV4 leaves out. */
static size_t read_headers(struct texts *t, const char *head, struct shl_pair *out)
{
    static const char *const unsigned_ones[] = {"authorization", "content-length", "user-agent",
                                                "proxy-connection"};
    size_t count = 0;
    for (const char *line = head; *line != '\0'; line = strstr(line, "\r\n") + 2) {
        size_t n = strcspn(line, ":");
        const char *value = line + n + 1 + strspn(line + n + 1, " ");
        char *name = keep(t, line, n);
        bool is_signed = true;
        for (char *p = name; *p != '\0'; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p - 'A' + 'a');
        for (size_t i = 0; i < SHL_COUNT_OF(unsigned_ones); i++)
            is_signed = is_signed && strcmp(name, unsigned_ones[i]) != 0;
        assert_true(count < PAIRS_MAX);
        if (is_signed)
            out[count++] = (struct shl_pair){
                .name = name, .value = keep(t, value, (size_t)(strstr(value, "\r\n") - value))};
    }
    return count;
}

void s3_check_signature(const struct http_request *q, const char *secret, const char *region)
{
    struct texts t = {0};
    struct shl_pair query[PAIRS_MAX], headers[PAIRS_MAX];
    struct shl_sigv4_key key = {0};
    struct shl_buf scratch = {0}, want = {0};
    char date[64], hash[128], got[1024], id[64] = "", body_hash[SHL_SHA256_HEX];
    struct shl_slice body = shl_slice_of(q->body, q->body_len);
    assert_true(http_header(q, "x-amz-date", date, sizeof date));
    assert_true(http_header(q, "x-amz-content-sha256", hash, sizeof hash));
    assert_true(http_header(q, "authorization", got, sizeof got));
    assert_int_equal(sscanf(got, "AWS4-HMAC-SHA256 Credential=%63[^/]", id), 1);
    const struct shl_sigv4_scope scope = {.access_key = id,
                                          .secret_key = secret,
                                          .region = region,
                                          .service = "s3",
                                          .amz_date = date};
    const struct shl_sigv4_request r = {.method = q->method,
                                        .path = keep(&t, q->target, strcspn(q->target, "?")),
                                        .query = query,
                                        .query_count = read_query(&t, q->target, query),
                                        .headers = headers,
                                        .header_count = read_headers(&t, q->head, headers),
                                        .payload_hash = hash};
    expect_code(SHALE_OK, shl_sigv4_derive(&key, &scope, &test_err));
    expect_code(SHALE_OK, shl_sigv4_authorization(&r, &scope, &key, &scratch, &want, &test_err));
    if (want.len != strlen(got) || memcmp(want.data, got, want.len) != 0)
        fail_msg("%s %s: signature\n  want %.*s\n  got  %s", q->method, q->target, (int)want.len,
                 (const char *)want.data, got);
    expect_code(SHALE_OK, shl_sha256_hex(&body, 1, body_hash, &test_err));
    if (strcmp(hash, SHL_SIGV4_UNSIGNED) != 0)
        assert_string_equal(hash, body_hash);
    for (size_t i = 0; i < t.count; i++)
        free(t.items[i]);
    shl_buf_free(&scratch);
    shl_buf_free(&want);
}
