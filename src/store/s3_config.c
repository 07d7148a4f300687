#include "store/s3_config.h"

#include "base/assert.h"
#include "base/codec/digest.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/optable.h"
#include "base/str.h"
#include "base/units.h"
#include <assert.h>
#include <stdio.h>

/* ---- the table */

static const struct shl_opt_word payloads[] = {{"auto", SHL_S3_PAYLOAD_AUTO},
                                               {"false", SHL_S3_PAYLOAD_SIGNED},
                                               {"true", SHL_S3_PAYLOAD_UNSIGNED},
                                               {NULL, 0}};
static const struct shl_opt_word checksums[] = {{"none", SHL_S3_CHECKSUM_NONE},
                                                {"sha256", SHL_S3_CHECKSUM_SHA256},
                                                {"crc64nvme", SHL_S3_CHECKSUM_CRC64NVME},
                                                {NULL, 0}};
static const struct shl_opt_word conditionals[] = {
    {"etag", SHL_S3_ETAG}, {"disabled", SHL_S3_UNCONDITIONAL}, {NULL, 0}};

#define AT(field) offsetof(struct shl_s3_values, field)
#define TEXT(n, field, text)                                                                       \
    {                                                                                              \
        .name = n, .type = SHL_OPT_STRING, .nullable = true, .offset = AT(field), .help = text     \
    }
#define BOOL(n, field, def, text)                                                                  \
    {                                                                                              \
        .name = n, .type = SHL_OPT_BOOL, .default_text = def, .offset = AT(field), .help = text    \
    }
#define TIME(n, field, def, text)                                                                  \
    {                                                                                              \
        .name = n, .type = SHL_OPT_DURATION, .default_text = def, .min = 1, .offset = AT(field),   \
        .help = text                                                                               \
    }
#define WORD(n, field, list, def, text)                                                            \
    {                                                                                              \
        .name = n, .type = SHL_OPT_ENUM, .words = list, .default_text = def, .offset = AT(field),  \
        .help = text                                                                               \
    }
#define U32(n, field, def, text)                                                                   \
    {                                                                                              \
        .name = n, .type = SHL_OPT_U32, .default_text = def, .min = 1, .max = 4096,                \
        .offset = AT(field), .help = text                                                          \
    }

enum { ACCESS_KEY, SECRET_KEY, TOKEN, PROFILE, REGION, ENDPOINT, SSE_CUSTOMER_KEY };

static const struct shl_opt opts[] = {
    [ACCESS_KEY] = TEXT("aws_access_key_id", access_key_id, "whose requests they are"),
    [SECRET_KEY] =
        TEXT("aws_secret_access_key", secret_access_key,
             "signs requests; better in the environment or a profile than on a command line"),
    [TOKEN] = TEXT("aws_session_token", session_token, "of temporary credentials"),
    [PROFILE] = TEXT("aws_profile", profile, "section of ~/.aws/credentials and ~/.aws/config"),
    [REGION] = TEXT("aws_region", region, "of the bucket; us-east-1 if nothing says it"),
    [ENDPOINT] = TEXT("aws_endpoint", endpoint, "URL of a service that speaks S3"),
    [SSE_CUSTOMER_KEY] = TEXT("aws_sse_customer_key_base64", sse_customer_key,
                              "32 bytes, the key of objects encrypted with your own (sse-c)"),
    BOOL("aws_allow_http", allow_http, "false", "endpoints without TLS too"),
    BOOL("aws_virtual_hosted_style_request", virtual_hosted, "false",
         "the bucket's name is in the host, not in the path"),
    BOOL("aws_skip_signature", skip_signature, "false", "requests without credentials"),
    WORD("aws_unsigned_payload", payload, payloads, "auto",
         "bodies are not hashed; auto: over TLS they are not"),
    WORD("aws_checksum_algorithm", checksum, checksums, "none", "sent with each body"),
    WORD("aws_conditional_put", conditional, conditionals, "etag",
         "disabled: the store has no conditional writes (it cannot hold a database then)"),
    BOOL("aws_disable_bulk_delete", disable_bulk_delete, "false", "one DELETE per object"),
    BOOL("aws_request_payer", request_payer, "false", "requests and traffic are yours to pay"),
    TEXT("aws_server_side_encryption", sse, "AES256, aws:kms, aws:kms:dsse or sse-c"),
    TEXT("aws_sse_kms_key_id", sse_kms_key_id, "key of aws:kms"),
    BOOL("aws_sse_bucket_key_enabled", sse_bucket_key, "false", "fewer calls to KMS"),
    TEXT("aws_storage_class", storage_class, "of new objects, e.g. STANDARD_IA"),
    TEXT("default_content_type", content_type, "of new objects"),
    BOOL("allow_invalid_certificates", allow_invalid_certificates, "false",
         "any server may answer: for tests only"),
    TIME("connect_timeout", connect_timeout_ns, "5s", "until a connection stands"),
    TIME("first_byte_timeout", first_byte_timeout_ns, "30s",
         "from the last byte of a request to the first of its answer"),
    TIME("read_timeout", read_timeout_ns, "20s", "between two pieces of a body"),
    TIME("timeout", timeout_ns, "30s", "of a whole request; a second more per MiB"),
    TIME("pool_idle_timeout", idle_timeout_ns, "90s", "how long idle connections stay"),
    U32("pool_max_idle_per_host", idle_max, "256", "idle connections kept"),
    U32("connections_max", connections_max, "512", "connections at once"),
    TEXT("proxy_url", proxy, "all requests go through it; else HTTPS_PROXY and its like"),
    TEXT("proxy_excludes", no_proxy, "hosts that are asked without a proxy, with commas"),
    TEXT("user_agent", user_agent, "how requests name this program"),
    TEXT("ca_file", ca_file, "certificates (PEM) to trust instead of the system's"),
    TEXT("client_cert", client_cert, "certificate (PEM) to show the server"),
    TEXT("client_key", client_key, "its key (PEM)"),
};
static const struct shl_optable table = {.opts = opts, .count = SHL_COUNT_OF(opts)};
static_assert(SHL_COUNT_OF(opts) <= SHL_S3_OPTIONS_MAX, "origins have room");

/* Other names of the same. */
static const struct {
    const char *name;
    const char *means;
} aliases[] = {
    {"aws_token", "aws_session_token"},
    {"aws_endpoint_url", "aws_endpoint"},
    {"aws_endpoint_url_s3", "aws_endpoint"},
    {"aws_default_region", "aws_region"},
};
/* Known to other programs; nothing here depends on them. */
static const char *const passed_over[] = {"aws_bucket", "aws_bucket_name", "aws_disable_tagging",
                                          "http1_only", "randomize_addresses"};

static bool is_secret(size_t i)
{
    return i == SECRET_KEY || i == TOKEN || i == SSE_CUSTOMER_KEY;
}

size_t shl_s3_option_count(void)
{
    return table.count;
}

const char *shl_s3_option_name(size_t i)
{
    SHL_ASSERT(i < table.count);
    return opts[i].name;
}

const char *shl_s3_option_help(size_t i)
{
    SHL_ASSERT(i < table.count);
    return opts[i].help;
}

const char *shl_s3_option_default(size_t i)
{
    SHL_ASSERT(i < table.count);
    return opts[i].default_text;
}

const char *shl_s3_option_type(size_t i)
{
    SHL_ASSERT(i < table.count);
    return shl_opt_type_name(&opts[i]);
}

const char *shl_s3_region_origin(const struct shl_s3_config *c)
{
    return c->origins[REGION].from != NULL ? c->origins[REGION].from : "default";
}

const char *shl_s3_endpoint_origin(const struct shl_s3_config *c)
{
    SHL_ASSERT(c->origins[ENDPOINT].from != NULL);
    return c->origins[ENDPOINT].from;
}

const char *shl_s3_endpoint_shown(const char *endpoint, char out[SHL_S3_ENDPOINT_SHOWN])
{
    const char *at = strrchr(endpoint, '@');
    const char *from = at != NULL ? at : endpoint;
    size_t n = strcspn(from, "?#");
    (void)snprintf(out, SHL_S3_ENDPOINT_SHOWN, "%s%.*s%s", at != NULL ? ".." : "",
                   (int)shl_min_size(n, 120), from, from[n] != '\0' ? "?.." : "");
    return out;
}

/* ---- finding */

static bool eq_with_prefix(const char *key, const char *name)
{
    if (shl_str_ieq(key, name))
        return true;
    if (strncmp(name, "aws_", 4) == 0)
        return shl_str_ieq(key, name + 4);
    return strlen(key) > 4 && shl_slice_ieq(shl_slice_of(key, 4), "aws_") &&
           shl_str_ieq(key + 4, name);
}

static const struct shl_opt *find(const char *key)
{
    for (size_t i = 0; i < SHL_COUNT_OF(aliases); i++)
        if (eq_with_prefix(key, aliases[i].name))
            key = aliases[i].means;
    for (size_t i = 0; i < table.count; i++)
        if (eq_with_prefix(key, opts[i].name))
            return &opts[i];
    return NULL;
}

static bool is_passed_over(const char *key)
{
    for (size_t i = 0; i < SHL_COUNT_OF(passed_over); i++)
        if (eq_with_prefix(key, passed_over[i]))
            return true;
    return false;
}

/* Values that the table's types do not know. */
static const char *spelled(const struct shl_opt *o, const char *value)
{
    bool is_flag = o->type == SHL_OPT_BOOL || o->words == payloads;
    bool flag;
    if (is_flag && (shl_str_ieq(value, "y") || shl_str_ieq(value, "requester")))
        return "true";
    if (is_flag && shl_str_ieq(value, "n"))
        return "false";
    if (o->words == payloads && shl_parse_bool(shl_slice_str(value), &flag))
        return flag ? "true" : "false";
    return value;
}

static shale_code set(const struct shl_opt *o, struct shl_s3_values *v, const char *value,
                      shale_error *err)
{
    shale_error why;
    shale_code rc = shl_opt_set(o, v, shl_slice_str(spelled(o, value)), SHL_OPT_FROM_FILE, &why);
    if (rc == SHALE_OK)
        return rc;
    if (is_secret((size_t)(o - opts)))
        return shl_fail(err, rc, "%s: the value does not fit", o->name);
    *err = why;
    return rc;
}

shale_code shl_s3_option_check(const char *key, const char *value, bool *out_known,
                               shale_error *err)
{
    struct shl_s3_values v = {0};
    const struct shl_opt *o = find(key);
    *out_known = o != NULL || is_passed_over(key);
    if (o == NULL)
        return SHALE_OK;
    shale_code rc = set(o, &v, value, err);
    shl_optable_deinit(&table, &v);
    if (rc != SHALE_OK)
        shl_err_prefix(err, "store option");
    return rc;
}

/* ---- setting, with a note of where it came from */

/* The last '@', or NULL. */
static const uint8_t *last_at(const struct shl_buf *text)
{
    for (size_t i = text->len; i > 0; i--)
        if (text->data[i - 1] == '@')
            return text->data + i - 1;
    return NULL;
}

/* Length of "http://" at the start, or 0. */
static size_t scheme_bytes(const struct shl_buf *text)
{
    for (size_t i = 0; i + 3 <= text->len; i++)
        if (memcmp(text->data + i, "://", 3) == 0)
            return i + 3;
    return 0;
}

shale_code shl_s3_option_text(const struct shl_s3_config *c, size_t i, struct shl_buf *out,
                              shale_error *err)
{
    SHL_ASSERT(i < table.count);
    struct shl_buf text = {0};
    const uint8_t *at;
    shale_code rc;
    SHL_TRY(shl_opt_format(&opts[i], &c->v, &text, err));
    if (!is_secret(i)) {
        /* A proxy's URL may hold a password before its host. */
        at = opts[i].offset == AT(proxy) ? last_at(&text) : NULL;
        if (at != NULL) {
            size_t scheme = scheme_bytes(&text);
            SHL_TRY(shl_buf_append(out, text.data, scheme, err));
            SHL_TRY(shl_str_append(out, "***", err));
            SHL_TRY(shl_buf_append(out, at, (size_t)(text.data + text.len - at), err));
        } else {
            SHL_TRY(shl_buf_append(out, text.data, text.len, err));
        }
        goto out;
    }
    if (shl_slice_eq(shl_buf_view(&text), shl_slice_str("none")))
        SHL_TRY(shl_str_append(out, "none", err));
    else
        SHL_TRY(shl_str_printf(out, err, "set (%zu characters)", text.len));
out:
    if (text.data != NULL)
        memset(text.data, 0, text.len);
    shl_buf_free(&text);
    return rc;
}

static shale_code remember(struct shl_s3_config *c, size_t i, struct shl_buf *before,
                           const char *from, shale_error *err)
{
    struct shl_s3_origin *o = &c->origins[i];
    char *copy = env_strdup(from);
    if (copy == NULL)
        return shl_nomem(err);
    if (o->from != NULL) { /* a value that was said gives way; the default does not count */
        shale_code rc = shl_str_terminate(before, err);
        if (rc != SHALE_OK) {
            env_free(copy);
            return rc;
        }
        env_free(o->beaten);
        env_free(o->beaten_from);
        o->beaten = (char *)before->data;
        o->beaten_from = o->from;
        *before = (struct shl_buf){0};
    }
    o->from = copy;
    return SHALE_OK;
}

static shale_code put(struct shl_s3_config *c, const struct shl_opt *o, const char *value,
                      const char *from, shale_error *err)
{
    struct shl_buf before = {0};
    size_t i = (size_t)(o - opts);
    shale_code rc;
    SHL_TRY(shl_s3_option_text(c, i, &before, err));
    rc = set(o, &c->v, value, err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "%s", from);
        goto out;
    }
    SHL_TRY(remember(c, i, &before, from, err));
out:
    shl_buf_free(&before);
    return rc;
}

/* ---- sources, from the weakest up */

/* NULL for an empty one too. */
static const char *env_text(const char *name)
{
    const char *text = env_getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static shale_code take_env_name(struct shl_s3_config *c, const struct shl_opt *o, const char *name,
                                shale_error *err)
{
    char variable[80];
    size_t n = 0;
    bool prefixed = strncmp(name, "aws_", 4) == 0;
    int len = snprintf(variable, sizeof variable, "%s%s", prefixed ? "" : "AWS_", name);
    SHL_ASSERT(len > 0 && (size_t)len < sizeof variable);
    for (; variable[n] != '\0'; n++)
        if (variable[n] >= 'a' && variable[n] <= 'z')
            variable[n] = (char)(variable[n] - 'a' + 'A');
    /* Of an empty one only a proxy's is a word: there is none, whatever other variables say. */
    const char *value = o->offset == AT(proxy) ? env_getenv(variable) : env_text(variable);
    return value == NULL ? SHALE_OK : put(c, o, value, variable, err);
}

static bool is_credential(size_t i)
{
    return i == ACCESS_KEY || i == SECRET_KEY || i == TOKEN;
}

/* Credentials come as a whole from one source: creds_aws.h chooses it. */
static shale_code take_env(struct shl_s3_config *c, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < table.count && rc == SHALE_OK; i++) {
        if (is_credential(i))
            continue;
        for (size_t a = 0; a < SHL_COUNT_OF(aliases) && rc == SHALE_OK; a++)
            if (strcmp(aliases[a].means, opts[i].name) == 0 &&
                !(i == REGION && env_text("AWS_REGION") != NULL))
                rc = take_env_name(c, &opts[i], aliases[a].name, err);
        /* The plain name last, but for the endpoint: that of S3 alone is the more exact one. */
        bool exact = i == ENDPOINT && env_text("AWS_ENDPOINT_URL_S3") != NULL;
        if (rc == SHALE_OK && !exact)
            rc = take_env_name(c, &opts[i], opts[i].name, err);
    }
    return rc;
}

static bool has_option(const struct shl_store_option *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (eq_with_prefix(options[i].key, name))
            return true;
    return false;
}

/* The default region gives way to a region, and an endpoint for everything to that of S3, in whatever order they come. */
static bool is_beaten(const struct shl_store_option *options, size_t count, size_t i)
{
    const char *key = options[i].key;
    if (eq_with_prefix(key, "aws_default_region"))
        return has_option(options, count, "aws_region");
    return (eq_with_prefix(key, "aws_endpoint") || eq_with_prefix(key, "aws_endpoint_url")) &&
           has_option(options, count, "aws_endpoint_url_s3");
}

static shale_code take_options(struct shl_s3_config *c, const struct shl_store_option *options,
                               size_t count, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < count && rc == SHALE_OK; i++) {
        char from[120];
        const struct shl_opt *o = find(options[i].key);
        if (o == NULL || is_beaten(options, count, i))
            continue;
        if (options[i].origin != NULL)
            (void)snprintf(from, sizeof from, "%s", options[i].origin);
        else
            (void)snprintf(from, sizeof from, "store option %s", options[i].key);
        rc = put(c, o, options[i].value, from, err);
    }
    return rc;
}

static shale_code take_profile(struct shl_s3_config *c, const struct shl_aws_profile *p,
                               shale_error *err)
{
    const char *name = c->v.profile != NULL ? c->v.profile : env_text("AWS_PROFILE");
    char from[160];
    shale_code rc = SHALE_OK;
    (void)snprintf(from, sizeof from, "profile \"%s\"", name != NULL ? name : "default");
    if (p->region != NULL && c->v.region == NULL)
        rc = put(c, &opts[REGION], p->region, from, err);
    if (rc == SHALE_OK && p->endpoint_url != NULL && c->v.endpoint == NULL)
        rc = put(c, &opts[ENDPOINT], p->endpoint_url, from, err);
    return rc;
}

/* A secret that was given as an option shows its origin too. */
static shale_code take_creds(struct shl_s3_config *c, const struct shl_aws_profile *profile,
                             bool need, shale_error *err)
{
    const struct shl_aws_creds given = {.access_key = c->v.access_key_id,
                                        .secret_key = c->v.secret_access_key,
                                        .token = c->v.session_token};
    struct shl_aws_creds found = {0};
    shale_code rc;
    if (c->v.skip_signature)
        return SHALE_OK;
    rc = shl_aws_creds_find(&given, profile, &found, err);
    if (rc == SHALE_UNAUTHENTICATED && !need)
        return SHALE_OK;
    if (rc != SHALE_OK)
        return rc;
    c->creds = found;
    c->creds_given = given.access_key != NULL;
    if (c->v.access_key_id == NULL)
        SHL_TRY(put(c, &opts[ACCESS_KEY], found.access_key, found.origin, err));
    if (c->v.secret_access_key == NULL)
        SHL_TRY(put(c, &opts[SECRET_KEY], found.secret_key, found.origin, err));
    if (c->v.session_token == NULL && found.token != NULL)
        SHL_TRY(put(c, &opts[TOKEN], found.token, found.origin, err));
out:
    return rc;
}

static bool same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

shale_code shl_s3_creds_again(const struct shl_s3_config *c, const struct shl_aws_creds *present,
                              struct shl_aws_creds *out, bool *out_changed, shale_error *err)
{
    const struct shl_aws_creds none = {0};
    struct shl_aws_profile profile = {0};
    struct shl_aws_creds found = {0};
    shale_code rc;
    *out_changed = false;
    if (c->creds_given)
        return SHALE_OK;
    SHL_TRY(shl_aws_profile_load(c->v.profile, &profile, err));
    SHL_TRY(shl_aws_creds_find(&none, &profile, &found, err));
    *out_changed = !same_text(found.access_key, present->access_key) ||
                   !same_text(found.secret_key, present->secret_key) ||
                   !same_text(found.token, present->token);
    if (*out_changed) {
        *out = found;
        found = (struct shl_aws_creds){0}; /* moved to the caller */
    }
out:
    shl_aws_creds_deinit(&found);
    shl_aws_profile_deinit(&profile);
    return rc;
}

static bool env_has_keys(void)
{
    return env_text("AWS_ACCESS_KEY_ID") != NULL && env_text("AWS_SECRET_ACCESS_KEY") != NULL;
}

static shale_code load_profile(struct shl_s3_config *c, struct shl_aws_profile *out,
                               shale_error *err)
{
    bool asked = c->v.profile != NULL || env_text("AWS_PROFILE") != NULL;
    bool complete = (c->v.access_key_id != NULL || env_has_keys() || c->v.skip_signature) &&
                    c->v.region != NULL && c->v.endpoint != NULL;
    if (complete && !asked)
        return SHALE_OK;
    shale_code rc = shl_aws_profile_load(c->v.profile, out, err);
    if (rc == SHALE_INVALID && !asked && (c->v.access_key_id != NULL || env_has_keys()))
        return SHALE_OK; /* nobody asked for that file, and nothing in it is needed */
    return rc;
}

static bool begins_with(const char *text, const char *small)
{
    return strncasecmp(text, small, strlen(small)) == 0;
}

static shale_code check_endpoint(const struct shl_s3_config *c, shale_error *err)
{
    const char *endpoint = c->v.endpoint;
    const char *what = "is not like https://host or http://host:9000";
    char shown[SHL_S3_ENDPOINT_SHOWN];
    bool is_http = begins_with(endpoint, "http://") || begins_with(endpoint, "https://");
    if (is_http && strpbrk(endpoint, "@?# \r\n") == NULL)
        return SHALE_OK;
    if (is_http && strchr(endpoint, '@') != NULL)
        what = "has a user before its host; keys are options of their own: aws_access_key_id, "
               "aws_secret_access_key";
    else if (is_http && strpbrk(endpoint, "?#") != NULL)
        what = "has a query; it must be like https://host or http://host:9000";
    return shl_fail(err, SHALE_INVALID, "%s: aws_endpoint \"%s\" %s", c->origins[ENDPOINT].from,
                    shl_s3_endpoint_shown(endpoint, shown), what);
}

static shale_code check_values(const struct shl_s3_config *c, shale_error *err)
{
    const char *sse = c->v.sse;
    shale_code rc = c->v.endpoint != NULL ? check_endpoint(c, err) : SHALE_OK;
    if (rc != SHALE_OK)
        return rc;
    if (c->v.region != NULL && strspn(c->v.region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
                                                   "TUVWXYZ0123456789-_.") != strlen(c->v.region))
        return shl_fail(err, SHALE_INVALID, "%s: \"%.60s\" is no region", c->origins[REGION].from,
                        c->v.region);
    if (sse != NULL && strcmp(sse, "AES256") != 0 && strcmp(sse, "aws:kms") != 0 &&
        strcmp(sse, "aws:kms:dsse") != 0 && strcmp(sse, "sse-c") != 0)
        return shl_fail(err, SHALE_INVALID,
                        "aws_server_side_encryption: \"%.40s\" is none of AES256, aws:kms, "
                        "aws:kms:dsse, sse-c",
                        sse);
    if (sse != NULL && strcmp(sse, "sse-c") == 0 && c->v.sse_customer_key == NULL)
        return shl_fail(err, SHALE_INVALID,
                        "aws_server_side_encryption sse-c needs aws_sse_customer_key_base64");
    return SHALE_OK;
}

shale_code shl_s3_config_load(struct shl_s3_config *out, const struct shl_store_option *options,
                              size_t count, const char *url_region, const char *url_endpoint,
                              bool need_creds, shale_error *err)
{
    struct shl_s3_config c = {0};
    struct shl_aws_profile profile = {0};
    shale_code rc;
    SHL_TRY(shl_optable_defaults(&table, &c.v, err));
    SHL_TRY(take_env(&c, err));
    SHL_TRY(take_options(&c, options, count, err));
    if (url_region != NULL)
        SHL_TRY(put(&c, &opts[REGION], url_region, "URL", err));
    if (url_endpoint != NULL)
        SHL_TRY(put(&c, &opts[ENDPOINT], url_endpoint, "URL", err));
    SHL_TRY(load_profile(&c, &profile, err));
    SHL_TRY(take_profile(&c, &profile, err));
    SHL_TRY(take_creds(&c, &profile, need_creds, err));
    SHL_TRY(check_values(&c, err));
    *out = c;
    c = (struct shl_s3_config){0}; /* moved to the caller */
out:
    shl_aws_profile_deinit(&profile);
    shl_s3_config_deinit(&c);
    return rc;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        shl_wipe(secret, strlen(secret));
}

void shl_s3_config_deinit(struct shl_s3_config *c)
{
    wipe(c->v.secret_access_key);
    wipe(c->v.session_token);
    wipe(c->v.sse_customer_key);
    shl_optable_deinit(&table, &c->v);
    for (size_t i = 0; i < SHL_S3_OPTIONS_MAX; i++) {
        env_free(c->origins[i].from);
        env_free(c->origins[i].beaten);
        env_free(c->origins[i].beaten_from);
    }
    shl_aws_creds_deinit(&c->creds);
    *c = (struct shl_s3_config){0};
}
