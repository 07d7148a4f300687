/* Goal: whatever allocation fails while requests are signed, XML is read or credentials are looked for, the caller gets NOMEM,
 * nothing leaks, and what was there stays. Method: as test_base_nomem. */
#include "base/env/sim.h"

#include "base/num.h"
#include "base/str.h"
#include "store/creds_aws.h"
#include "store/http/xml.h"
#include "store/s3_answer.h"
#include "store/s3_config.h"
#include "store/s3_url.h"
#include "store/sigv4.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #cond);                                      \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- operations: each frees all it took, and answers OK or NOMEM */

static const struct shl_pair query[] = {{"prefix", "db/wal/"}, {"list-type", "2"}};
static const struct shl_pair headers[] = {{"x-amz-date", "20260115T083000Z"},
                                          {"host", "bucket.s3.eu-west-1.amazonaws.com"}};
static const struct shl_sigv4_request request = {.method = "GET",
                                                 .path = "/a-key-that-is-long-enough-to-need/room",
                                                 .query = query,
                                                 .query_count = SHL_COUNT_OF(query),
                                                 .headers = headers,
                                                 .header_count = SHL_COUNT_OF(headers),
                                                 .payload_hash = SHL_SIGV4_EMPTY};
static const struct shl_sigv4_scope scope = {"AKIAIOSFODNN7EXAMPLE", "secret", "eu-west-1", "sts",
                                             "20260115T083000Z"};

static shale_code op_sign(shale_error *err)
{
    struct shl_sigv4_key key = {0};
    struct shl_buf scratch = {0}, out = {0};
    shale_code rc;
    SHL_TRY(shl_str_append(&out, "Authorization: ", err));
    SHL_TRY(shl_sigv4_derive(&key, &scope, err));
    rc = shl_sigv4_authorization(&request, &scope, &key, &scratch, &out, err);
    CHECK(rc == SHALE_OK || out.len == 15, "a failed signature left bytes");
    if (rc != SHALE_OK)
        goto out;
    scratch.len = 0;
    SHL_TRY(shl_sigv4_canonical_request(&request, "s3", &scratch, err));
    SHL_TRY(shl_sigv4_string_to_sign(shl_buf_view(&scratch), &scope, &out, err));
out:
    CHECK(key.valid || rc != SHALE_OK, "no key");
    shl_buf_free(&scratch);
    shl_buf_free(&out);
    return rc;
}

static shale_code op_presign(shale_error *err)
{
    struct shl_buf out = {0};
    shale_code rc = shl_sigv4_presign(&request, &scope, "token", 60, &out, err);
    CHECK(rc == SHALE_OK || out.len == 0, "a failed presign left bytes");
    shl_buf_free(&out);
    return rc;
}

static shale_code collect(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    return shl_str_printf(ctx, err, "%s=%.*s;", path, (int)text.len, (const char *)text.data);
}

static shale_code op_xml(shale_error *err)
{
    static const char raw[] =
        "<a key that needs room & escapes, and more than the smallest buffer>";
    struct shl_buf document = {0}, heard = {0};
    shale_code rc;
    SHL_TRY(shl_str_append(&document, "<?xml version=\"1.0\"?><r xmlns=\"u\" a='1'><Contents><Key>",
                           err));
    SHL_TRY(shl_xml_escape(shl_slice_str(raw), &document, err));
    SHL_TRY(shl_str_append(&document, "</Key><x:Size xmlns:x='y'>1</x:Size></Contents></r>", err));
    SHL_TRY(shl_xml_read(shl_buf_view(&document), collect, &heard, err));
    SHL_TRY(shl_str_terminate(&heard, err));
    CHECK(strstr((const char *)heard.data, raw) != NULL, "%s", (const char *)heard.data);
out:
    shl_buf_free(&document);
    shl_buf_free(&heard);
    return rc;
}

#define CREDENTIALS                                                                                \
    "[a]\naws_access_key_id=1\naws_secret_access_key=2\naws_session_token=3\nregion=4\n"
#define CONFIG "[profile a]\nendpoint_url=5\nsso_session=6\n[profile abcdef]\n"

static shale_code op_profile_parse(shale_error *err)
{
    struct shl_aws_profile p = {0};
    bool found = false;
    shale_code rc = shl_aws_profile_parse(shl_slice_str(CREDENTIALS), false, "a", &p, &found, err);
    CHECK(rc == SHALE_OK || (p.creds.access_key == NULL && p.region == NULL), "half a profile");
    if (rc == SHALE_OK)
        rc = shl_aws_profile_parse(shl_slice_str(CONFIG), true, "a", &p, &found, err);
    CHECK(rc == SHALE_OK || p.endpoint_url == NULL, "half a profile");
    CHECK(rc != SHALE_OK || (found && p.unsupported != NULL), "sso is not seen");
    shl_aws_profile_deinit(&p);
    return rc;
}

static shale_code op_creds(shale_error *err)
{
    struct shl_aws_profile p = {0};
    struct shl_aws_creds c = {0};
    shale_code rc;
    SHL_TRY(shl_aws_profile_load("a", &p, err));
    SHL_TRY(shl_aws_creds_find(NULL, &p, &c, err));
    CHECK(strcmp(c.token, "3") == 0 && strcmp(p.region, "4") == 0, "wrong file");
out:
    CHECK(rc == SHALE_OK || c.access_key == NULL, "half of the keys");
    shl_aws_creds_deinit(&c);
    shl_aws_profile_deinit(&p);
    return rc;
}

static shale_code op_profile_missing(shale_error *err)
{
    struct shl_aws_profile p = {0};
    shale_code rc = shl_aws_profile_load("abcdeg", &p, err);
    CHECK(rc != SHALE_OK, "no such profile");
    CHECK(rc == SHALE_NOMEM || strstr(err->text, "abcdef") != NULL, "%s", err->text);
    return rc == SHALE_INVALID ? SHALE_OK : rc; /* as it should */
}

static shale_code op_s3_url(shale_error *err)
{
    static const char *const urls[] = {"s3://bucket/a%20path/that/needs/room",
                                       "https://bucket.s3.eu-west-1.amazonaws.com/p",
                                       "https://s3.dualstack.eu-west-1.amazonaws.com/bucket/p",
                                       "https://acc.r2.cloudflarestorage.com/bucket/p"};
    for (size_t i = 0; i < SHL_COUNT_OF(urls); i++) {
        struct shl_s3_url u = {0};
        shale_code rc = shl_s3_url_parse(urls[i], &u, err);
        CHECK(rc == SHALE_OK || u.bucket == NULL, "half a URL");
        shl_s3_url_deinit(&u);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code op_s3_config(shale_error *err)
{
    static const struct shl_store_option options[] = {
        {.key = "aws_profile", .value = "a"},
        {.key = "region", .value = "r"},
        {.key = "aws_region", .value = "eu-west-1"},
        {.key = "proxy_url", .value = "http://me:password@proxy"},
        {.key = "aws_sse_customer_key_base64", .value = "c2VjcmV0"}};
    struct shl_s3_config c = {0};
    struct shl_aws_creds fresh = {0};
    struct shl_buf text = {0};
    bool changed = false;
    shale_code rc;
    SHL_TRY(shl_s3_config_load(&c, options, SHL_COUNT_OF(options), NULL, "https://h", true, err));
    CHECK(strcmp(c.creds.access_key, "1") == 0, "wrong keys");
    for (size_t i = 0; i < shl_s3_option_count(); i++)
        SHL_TRY(shl_s3_option_text(&c, i, &text, err));
    SHL_TRY(shl_str_terminate(&text, err));
    CHECK(strstr((const char *)text.data, "password") == NULL, "%s", (const char *)text.data);
    SHL_TRY(shl_s3_creds_again(&c, &c.creds, &fresh, &changed, err));
    CHECK(!changed, "the same keys are new");
out:
    CHECK(rc == SHALE_OK || fresh.access_key == NULL, "half of the keys");
    shl_buf_free(&text);
    shl_s3_config_deinit(&c);
    return rc;
}

static shale_code op_s3_page(shale_error *err)
{
    static const char list[] =
        "<ListBucketResult><Contents><Key>b</Key><Size>1</Size></Contents><Contents><Key>a</Key>"
        "</Contents><CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes><IsTruncated>true"
        "</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
    static const char buckets[] =
        "<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name></Bucket></Buckets>"
        "</ListAllMyBucketsResult>";
    struct s3_page page = {0};
    shale_code rc;
    SHL_TRY(shl_s3_page_read(shl_slice_str(list), &page, err));
    CHECK(page.items.count == 3 && strcmp(page.items.items[0].key, "a") == 0, "no list");
    shl_s3_page_clear(&page);
    SHL_TRY(shl_s3_page_read_buckets(shl_slice_str(buckets), &page, err));
    CHECK(page.items.count == 1 && strcmp(page.items.items[0].key, "b/") == 0, "no bucket");
out:
    CHECK(rc == SHALE_OK || page.items.items == NULL, "half a page");
    shl_s3_page_clear(&page);
    return rc;
}

static shale_code op_s3_deleted(shale_error *err)
{
    static const char result[] = "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key>"
                                 "<Code>AccessDenied</Code></Error></DeleteResult>";
    shale_code rc = shl_s3_deleted_read(shl_slice_str(result), "bucket", err);
    return rc == SHALE_PERMISSION_DENIED ? SHALE_OK : rc; /* as it should */
}

static const struct {
    const char *name;
    shale_code (*run)(shale_error *err);
} operations[] = {{"sign", op_sign},       {"presign", op_presign},
                  {"xml", op_xml},         {"profile parse", op_profile_parse},
                  {"creds", op_creds},     {"profile missing", op_profile_missing},
                  {"s3 url", op_s3_url},   {"s3 config", op_s3_config},
                  {"s3 page", op_s3_page}, {"s3 deleted", op_s3_deleted}};

/* ---- the loop */

/* Digest contexts stay with the task: each run has a task of its own, so that they too are taken, and given back, in each run. */
struct run {
    size_t operation;
    uint64_t nth;
    bool sticky;
    bool is_done; /* the operation met no fault */
};

static void run_once(void *arg)
{
    struct run *r = arg;
    shale_error err = {0};
    sim_alloc_fault_arm(sim_group_self(), r->nth, r->sticky);
    shale_code rc = operations[r->operation].run(&err);
    r->is_done = sim_alloc_fault_disarm(sim_group_self()) <= r->nth;
    CHECK(rc == (r->is_done ? SHALE_OK : SHALE_NOMEM), "%s nth=%" PRIu64 " sticky=%d: %s %s",
          operations[r->operation].name, r->nth, r->sticky, shale_code_name(rc), err.text);
}

static void write_file(const char *path, const char *text)
{
    const struct env_iovec part = {text, strlen(text)};
    int fd;
    CHECK(env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE) == 0, "%s", path);
    CHECK(env_pwritev(fd, &part, 1, 0) == 0, "%s", path);
    (void)env_close(fd);
}

static void cut_everywhere(void *arg)
{
    (void)arg;
    CHECK(env_mkdir("/.aws") == 0, "mkdir");
    write_file("/.aws/credentials", CREDENTIALS);
    write_file("/.aws/config", CONFIG);
    for (size_t i = 0; i < SHL_COUNT_OF(operations); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct run r = {.operation = i, .sticky = sticky != 0};
            for (;; r.nth++) {
                uint64_t live = sim_alloc_live(sim_group_self());
                struct env_task *task;
                shale_code rc = env_task_spawn(&task, "cut", run_once, &r);
                CHECK(rc == SHALE_OK, "spawn");
                env_task_join(task);
                CHECK(sim_alloc_live(sim_group_self()) == live, "%s nth=%" PRIu64 " leaks",
                      operations[i].name, r.nth);
                if (r.is_done)
                    break;
            }
            CHECK(r.nth > 0, "%s never allocated", operations[i].name);
            printf("%s: %" PRIu64 " allocations cut%s\n", operations[i].name, r.nth,
                   sticky ? ", for good" : "");
        }
    }
}

int main(void)
{
    static const char *const unset[] = {"AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_ENDPOINT",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3"};
    for (size_t i = 0; i < SHL_COUNT_OF(unset); i++)
        (void)unsetenv(unset[i]);
    (void)setenv("AWS_REGION", "us-east-2", 1); /* gives way to an option */
    (void)setenv("HOME", "/", 1);
    const struct sim_options options = {.seed = 1,
                                        .policy = SIM_RUN_UNTIL_BLOCK,
                                        .scenario = "store_nomem",
                                        .progress_ns_max = UINT64_MAX};
    (void)sim_run(&options, cut_everywhere, NULL);
    return 0;
}
