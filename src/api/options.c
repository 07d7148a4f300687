#include "api/options.h"

#include "api/transform.h"

#include "api/api.h"
#include "api/stack.h"
#include "base/assert.h"
#include "base/codec/text.h"
#include "base/codec/settings_file.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "store/open.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ORIGIN_BYTES   160
#define FILE_BYTES_MAX (1u << 20)

/* Words of programs from before SlateDB's names were taken over; `unit` is added to a bare number. */
static const struct {
    const char *old;
    const char *name;
    const char *unit;
} old_words[] = {{"flush_ms", "flush_interval", "ms"},
                 {"max_unflushed_memtable", "max_unflushed_bytes", ""},
                 {"poll_interval", "manifest_poll_interval", ""}};

size_t shl_api_option_index(const char *name)
{
    const struct shl_opt *opt = shl_optable_find(&shl_api_table, shl_slice_str(name), false);
    return opt == NULL ? shl_api_table.count : (size_t)(opt - shl_api_table.opts);
}

bool shl_api_is_default(const shale_options *o, const char *name)
{
    size_t index = shl_api_option_index(name);
    SHL_ASSERT(index < shl_api_table.count);
    return o->origins[index].from == NULL;
}

static void log_line(void *ctx, enum shl_log_level level, const char *text)
{
    const shale_options *o = ctx;
    if (o->log_fn != NULL)
        o->log_fn(o->log_ctx, (int)level, text);
}

shale_options *shale_options_new(void)
{
    shale_error err;
    shale_options *o = env_calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    shl_lsm_settings_default(&o->settings.lsm);
    o->origins = env_calloc(shl_api_table.count, sizeof *o->origins);
    if (o->origins == NULL ||
        shl_optable_defaults(&shl_api_table, &o->settings, &err) != SHALE_OK) {
        shale_options_free(o);
        return NULL;
    }
    return o;
}

/* It may be a secret. */
static void wipe(char *text)
{
    volatile char *p = text;
    for (size_t n = text != NULL ? strlen(text) : 0; n > 0; n--)
        *p++ = '\0';
}

void shale_options_free(shale_options *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; o->origins != NULL && i < shl_api_table.count; i++) {
        env_free(o->origins[i].from);
        env_free(o->origins[i].beaten);
        env_free(o->origins[i].beaten_from);
    }
    for (size_t i = 0; i < o->store_options.count; i++) {
        env_free(o->store_options.items[i].key);
        wipe(o->store_options.items[i].value);
        env_free(o->store_options.items[i].value);
        env_free(o->store_options.items[i].origin);
    }
    shl_optable_deinit(&shl_api_table, &o->settings);
    env_free(o->origins);
    shl_array_free(&o->store_options);
    env_free(o);
}

/* A value with the unit of an old word. */
struct renamed {
    struct shl_slice name;
    struct shl_slice value;
    char text[64];
};

static void rename_old(const shale_options *o, struct renamed *r)
{
    uint64_t number;
    for (size_t i = 0; i < SHL_COUNT_OF(old_words); i++) {
        if (!shl_slice_ieq(r->name, old_words[i].old))
            continue;
        shl_log_write(&o->log, SHL_LOG_WARN, "%s is an old word for %s", old_words[i].old,
                      old_words[i].name);
        r->name = shl_slice_str(old_words[i].name);
        if (old_words[i].unit[0] != '\0' && shl_parse_u64(r->value, &number)) {
            (void)snprintf(r->text, sizeof r->text, "%" PRIu64 "%s", number, old_words[i].unit);
            r->value = shl_slice_str(r->text);
        }
        return;
    }
}

/* Extractors are checked when they are set, so that the message comes before anything is opened. */
static shale_code check_text(const struct shl_opt *opt, struct shl_slice value, shale_error *err)
{
    struct shl_extractor extractor;
    struct shl_merge_operator merge;
    char text[1024];
    if (opt->type != SHL_OPT_STRING || shl_slice_ieq(value, "none") || shl_slice_ieq(value, "null"))
        return SHALE_OK;
    (void)snprintf(text, sizeof text, "%.*s", (int)shl_min_size(value.len, sizeof text - 1),
                   (const char *)value.data);
    if (strcmp(opt->name, "merge_operator") == 0 && !shl_merge_operator_builtin(text, &merge))
        return shl_fail(err, SHALE_INVALID,
                        "merge_operator: \"%s\"; it is one of " SHL_MERGE_OPERATORS ", none", text);
    bool extracts =
        strcmp(opt->name, "segment_extractor") == 0 || strcmp(opt->name, "bloom_prefix") == 0;
    if (extracts && !shl_extractor_parse(text, &extractor))
        return shl_fail(err, SHALE_INVALID, "%s: \"%s\"; it is a number of bytes, slash or none",
                        opt->name, text);
    if (strcmp(opt->name, "transformer") == 0 && !shl_api_transform_form(text))
        return shl_fail(err, SHALE_INVALID, /* what was given may be a key */
                        "transformer: it is " SHL_TRANSFORMER_FORMS);
    return SHALE_OK;
}

/* Notes the new origin; a value that was said gives way, the default does not count. Takes `from`. `before` is moved. */
static shale_code remember(struct shl_api_origin *o, struct shl_buf *before, char *take_from,
                           shale_error *err)
{
    if (o->from != NULL) {
        shale_code rc = shl_str_terminate(before, err);
        if (rc != SHALE_OK) {
            env_free(take_from);
            return rc;
        }
        env_free(o->beaten);
        env_free(o->beaten_from);
        o->beaten = (char *)before->data;
        o->beaten_from = o->from;
        *before = (struct shl_buf){0};
    }
    o->from = take_from;
    return SHALE_OK;
}

static shale_code set_one(shale_options *o, struct shl_slice name, struct shl_slice value,
                          enum shl_opt_source source, const char *origin, shale_error *err)
{
    struct renamed r = {.name = name, .value = value};
    rename_old(o, &r);
    const struct shl_opt *opt = shl_optable_find(&shl_api_table, r.name, false);
    if (opt == NULL)
        return shl_optable_unknown(&shl_api_table, r.name, err);
    struct shl_buf before = {0};
    char *from = env_strdup(origin);
    shale_code rc;
    if (from == NULL)
        return shl_nomem(err);
    SHL_TRY(check_text(opt, r.value, err));
    SHL_TRY(shl_opt_format(opt, &o->settings, &before, err));
    SHL_TRY(shl_opt_set(opt, &o->settings, r.value, source, err));
    rc = remember(&o->origins[opt - shl_api_table.opts], &before, from, err);
    from = NULL; /* moved */
out:
    env_free(from);
    shl_buf_free(&before);
    return rc;
}

void shale_options_set_origin(shale_options *o, const char *origin)
{
    if (o != NULL)
        (void)snprintf(o->set_from, sizeof o->set_from, "%s", origin != NULL ? origin : "");
}

shale_code shale_options_set(shale_options *o, const char *name, const char *value,
                             shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_nomem(err); /* shale_options_new could not make it */
    if (name == NULL || value == NULL)
        return shl_fail(err, SHALE_INVALID, "shale_options_set: the %s is NULL",
                        name == NULL ? "name" : "value");
    return set_one(o, shl_slice_str(name), shl_slice_str(value), SHL_OPT_FROM_USER,
                   o->set_from[0] != '\0' ? o->set_from : "set", err);
}

shale_code shale_options_set_bool(shale_options *o, const char *name, bool value, shale_error *err)
{
    return shale_options_set(o, name, value ? "true" : "false", err);
}

shale_code shale_options_set_u64(shale_options *o, const char *name, uint64_t value,
                                 shale_error *err)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return shale_options_set(o, name, text, err);
}

shale_code shale_options_set_duration_ms(shale_options *o, const char *name, uint64_t value_ms,
                                         shale_error *err)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64 "ms", value_ms);
    return shale_options_set(o, name, text, err);
}

/* ---- store options */

static shale_code set_store(shale_options *o, const char *key, const char *value,
                            const char *origin, shale_error *err)
{
    shale_code rc = shl_api_store_option_check(key, value, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_api_pair fresh = {.key = env_strdup(key),
                                 .value = env_strdup(value),
                                 .origin = origin != NULL ? env_strdup(origin) : NULL};
    if (fresh.key == NULL || fresh.value == NULL || (origin != NULL && fresh.origin == NULL) ||
        !shl_array_push(&o->store_options, fresh)) {
        env_free(fresh.key);
        env_free(fresh.value);
        env_free(fresh.origin);
        return shl_nomem(err);
    }
    return SHALE_OK;
}

shale_code shale_options_set_store(shale_options *o, const char *key, const char *value,
                                   shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_nomem(err);
    if (key == NULL || value == NULL)
        return shl_fail(err, SHALE_INVALID, "shale_options_set_store: the %s is NULL",
                        key == NULL ? "key" : "value");
    return set_store(o, key, value, o->set_from[0] != '\0' ? o->set_from : NULL, err);
}

/* ---- files and environment */

struct file_sink {
    shale_options *options;
    const char *path;
    const char
        *group; /* NULL: what stands outside of [profile.NAME]; else only the group of that name */
};

/* True if `s` begins with "word."; then it is the rest. */
static bool skip_word(struct shl_slice *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len <= n || memcmp(s->data, word, n) != 0 || s->data[n] != '.')
        return false;
    *s = shl_slice_of(s->data + n + 1, s->len - n - 1);
    return true;
}

static shale_code store_from_file(shale_options *o, struct shl_slice key, struct shl_slice value,
                                  const char *origin, shale_error *err)
{
    char *k = shl_slice_dup_cstr(key);
    char *v = shl_slice_dup_cstr(value);
    shale_code rc = k == NULL || v == NULL ? shl_nomem(err) : set_store(o, k, v, origin, err);
    wipe(v);
    env_free(k);
    env_free(v);
    return rc;
}

static shale_code from_file(void *ctx, const struct shl_setting *setting, shale_error *err)
{
    struct file_sink *s = ctx;
    struct shl_slice name = setting->name;
    char origin[ORIGIN_BYTES];
    bool grouped = skip_word(&name, "profile");
    if (grouped != (s->group != NULL) || (grouped && !skip_word(&name, s->group)))
        return SHALE_OK;
    if (grouped)
        s->options->profile_found = true;
    if (setting->line > 0)
        (void)snprintf(origin, sizeof origin, "%.120s line %" PRIu32, s->path, setting->line);
    else
        (void)snprintf(origin, sizeof origin, "%.120s", s->path);
    if (skip_word(&name, "storage"))
        return store_from_file(s->options, name, setting->value, origin, err);
    return set_one(s->options, name, setting->value, SHL_OPT_FROM_FILE, origin, err);
}

shale_code shale_options_use_profile(shale_options *o, const char *name, shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_nomem(err);
    if (name != NULL && (strpbrk(name, ".\r\n") != NULL || strlen(name) >= sizeof o->profile))
        return shl_fail(err, SHALE_INVALID, "profile \"%.60s\": a name without dots is wanted",
                        name);
    (void)snprintf(o->profile, sizeof o->profile, "%s", name != NULL ? name : "");
    return SHALE_OK;
}

bool shale_options_profile_found(const shale_options *o)
{
    return o != NULL && o->profile_found;
}

static shale_code read_whole(const char *path, struct shl_buf *out, shale_error *err)
{
    struct env_stat st = {0};
    size_t len = 0;
    int fd = -1;
    int failed = env_open(&fd, path, ENV_OPEN_READ);
    if (failed != 0)
        return shl_fail(err, failed == ENOENT ? SHALE_NOT_FOUND : SHALE_UNAVAILABLE,
                        "settings file %s cannot be opened: %s", path,
                        failed == ENOENT ? "there is none" : "the system refused");
    failed = env_fstat(fd, &st);
    shale_code rc = SHALE_OK;
    if (failed != 0 || !st.is_file || st.size > FILE_BYTES_MAX)
        rc = shl_fail(err, SHALE_INVALID, "settings file %s is no file of at most %u bytes", path,
                      FILE_BYTES_MAX);
    else
        rc = shl_buf_reserve(out, (size_t)st.size + 1, err);
    if (rc == SHALE_OK && env_pread(fd, out->data, (size_t)st.size, 0, &len) != 0)
        rc = shl_fail(err, SHALE_UNAVAILABLE, "settings file %s cannot be read", path);
    out->len = len;
    (void)env_close(fd);
    return rc;
}

shale_code shale_options_load_file(shale_options *o, const char *path, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_buf text = {0};
    struct file_sink sink = {.options = o, .path = path};
    enum shl_settings_format format;
    shale_code rc;
    if (o == NULL)
        return shl_nomem(err);
    if (path == NULL || !shl_settings_format_of(path, &format))
        return shl_fail(err, SHALE_INVALID,
                        "settings file %s: the name ends in .json, .toml, .yaml or .yml",
                        path != NULL ? path : "NULL");
    SHL_TRY(read_whole(path, &text, err));
    rc = shl_settings_read(format, shl_buf_view(&text), from_file, &sink, err);
    sink.group = o->profile;
    if (rc == SHALE_OK && o->profile[0] != '\0')
        rc = shl_settings_read(format, shl_buf_view(&text), from_file, &sink, err);
    if (rc != SHALE_OK && rc != SHALE_NOMEM)
        shl_err_prefix(err, "%s", path);
out:
    if (text.data != NULL)
        memset(text.data, 0, text.len); /* there may be secrets in it */
    shl_buf_free(&text);
    return rc;
}

shale_code shale_options_load_json(shale_options *o, const char *json, shale_error *err)
{
    SHL_API_ERR(err);
    struct file_sink sink = {.options = o, .path = "JSON"};
    if (o == NULL)
        return shl_nomem(err);
    if (json == NULL)
        return shl_fail(err, SHALE_INVALID, "settings: the JSON text is NULL");
    return shl_settings_read(SHL_SETTINGS_JSON, shl_slice_str(json), from_file, &sink, err);
}

/* The value of NAME from "PREFIX_NAME=value", and the name behind the prefix. */
static bool split_variable(const char *variable, const char *prefix, struct shl_slice *name,
                           struct shl_slice *value)
{
    size_t len = strlen(prefix);
    const char *equals = strchr(variable, '=');
    if (strncmp(variable, prefix, len) != 0 || equals == NULL || equals < variable + len)
        return false;
    *name = shl_slice_of(variable + len, (size_t)(equals - variable) - len);
    *value = shl_slice_str(equals + 1);
    return name->len > 0;
}

static bool is_old_word(struct shl_slice name)
{
    for (size_t i = 0; i < SHL_COUNT_OF(old_words); i++)
        if (shl_slice_ieq(name, old_words[i].old))
            return true;
    return false;
}

static shale_code load_prefix(shale_options *o, const char *prefix, shale_error *err)
{
    char **environment = env_environ();
    shale_code rc = SHALE_OK;
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        struct shl_slice name;
        struct shl_slice value;
        char origin[ORIGIN_BYTES];
        if (!split_variable(environment[i], prefix, &name, &value))
            continue;
        /* Only names that we know: SHALE_SERVERS of somebody's test set-up is no mistake. */
        const struct shl_opt *opt = shl_optable_find(&shl_api_table, name, true);
        const char *store_option = opt == NULL ? shl_store_option_named(name) : NULL;
        (void)snprintf(origin, sizeof origin, "%s%.*s", prefix, (int)shl_min_size(name.len, 120),
                       (const char *)name.data);
        if (store_option != NULL) {
            rc = set_store(o, store_option, (const char *)value.data, origin, err);
            if (rc == SHALE_OK)
                continue;
            shl_err_prefix(err, "environment variable %s", origin);
            return rc;
        }
        if (opt == NULL && !is_old_word(name))
            continue;
        rc = set_one(o, opt != NULL ? shl_slice_str(opt->name) : name, value, SHL_OPT_FROM_FILE,
                     origin, err);
        if (rc != SHALE_OK) {
            shl_err_prefix(err, "environment variable %s", origin);
            return rc;
        }
    }
    return SHALE_OK;
}

shale_code shale_options_load_env_prefix(shale_options *o, const char *prefix, shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_nomem(err);
    if (prefix == NULL || prefix[0] == '\0')
        return shl_fail(err, SHALE_INVALID, "environment: the prefix is %s",
                        prefix == NULL ? "NULL" : "empty");
    return load_prefix(o, prefix, err);
}

shale_code shale_options_load_env(shale_options *o, shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_nomem(err);
    shale_code rc = load_prefix(o, "SLATEDB_", err);
    return rc != SHALE_OK ? rc : load_prefix(o, "SHALE_", err);
}

/* ---- components */

shale_code shale_options_set_prefix_extractor(shale_options *o, shale_prefix_use use,
                                              const char *name, shale_prefix_fn prefix, void *ctx,
                                              shale_error *err)
{
    SHL_API_ERR(err);
    if (o == NULL)
        return shl_fail(err, SHALE_INVALID, "prefix extractor: options is NULL");
    if ((unsigned)use > SHALE_PREFIX_FILTERS)
        return shl_fail(err, SHALE_INVALID, "prefix extractor: use is %u, known 0 and 1",
                        (unsigned)use);
    struct shl_api_extractor *x = &o->extractors[use];
    size_t len = name == NULL ? 0 : strlen(name);
    if (prefix != NULL && (len == 0 || len >= sizeof x->name))
        return shl_fail(err, SHALE_INVALID,
                        "prefix extractor: a name of %zu bytes; it must have 1 to %zu", len,
                        sizeof x->name - 1);
    if (prefix != NULL && !shl_utf8_valid(shl_slice_str(name)))
        return shl_fail(err, SHALE_INVALID, "prefix extractor: its name must be UTF-8");
    *x = (struct shl_api_extractor){.prefix = prefix, .ctx = ctx};
    if (prefix != NULL)
        memcpy(x->name, name, len);
    return SHALE_OK;
}

static bool user_prefix(void *ctx, struct shl_slice key, bool is_beginning, size_t *out_len)
{
    const struct shl_api_extractor *x = ctx;
    return x->prefix(x->ctx, shale_bytes(key.data, key.len), is_beginning, out_len);
}

struct shl_extractor shl_api_user_extractor(const struct shl_api_extractor *from)
{
    struct shl_extractor x = {.kind = SHL_EXTRACT_USER, .prefix = user_prefix};
    memcpy(x.name, from->name, sizeof x.name);
    memcpy(&x.ctx, &from, sizeof x.ctx);
    return x;
}

void shale_options_set_expected_epoch(shale_options *o, uint64_t epoch)
{
    if (o == NULL)
        return;
    o->settings.lsm.has_expected_epoch = true;
    o->settings.lsm.expected_epoch = epoch;
}

void shale_options_set_trace(shale_options *o, shale_trace_fn trace, void *ctx)
{
    if (o == NULL)
        return;
    o->trace = trace;
    o->trace_ctx = ctx;
}

void shale_options_set_clock(shale_options *o, shale_clock_fn now_ms, void *ctx)
{
    if (o != NULL)
        o->settings.lsm.clock = o->settings.lsm.gc.clock =
            (struct shl_clock){.now_ms = now_ms, .ctx = ctx};
}

int64_t shl_api_now_ms(const shale_options *o)
{
    return o != NULL ? shl_clock_ms(&o->settings.lsm.clock) : env_now_wall_ms();
}

void shale_options_set_transformer(shale_options *o, shale_transform_fn encode,
                                   shale_transform_fn decode, void *ctx)
{
    bool both = encode != NULL && decode != NULL;
    if (o == NULL)
        return;
    o->encode = both ? encode : NULL;
    o->decode = both ? decode : NULL;
    o->transform_ctx = ctx;
}

void shale_options_set_merge_operator(shale_options *o, shale_merge_fn merge, void *ctx)
{
    if (o == NULL)
        return;
    o->merge = merge;
    o->merge_ctx = ctx;
}

void shale_options_set_log(shale_options *o, shale_log_fn log, int level_max, void *ctx)
{
    if (o == NULL)
        return;
    o->log_fn = log;
    o->log_ctx = ctx;
    o->log = (struct shl_log){.sink = log != NULL ? log_line : NULL,
                              .ctx = o,
                              .level_max = level_max < 0   ? SHL_LOG_ERROR
                                           : level_max > 3 ? SHL_LOG_DEBUG
                                                           : (enum shl_log_level)level_max};
}

void shale_options_set_cancel(shale_options *o, shale_cancel_fn cancelled, void *ctx)
{
    if (o == NULL)
        return;
    o->cancel = cancelled;
    o->cancel_ctx = ctx;
}

void shale_options_each(const shale_options *o,
                        bool (*visit)(void *ctx, const shale_option_info *info), void *ctx)
{
    struct shl_buf value = {0};
    shale_error err;
    for (size_t i = 0; o != NULL && i < shl_api_table.count; i++) {
        const struct shl_opt *opt = &shl_api_table.opts[i];
        value.len = 0;
        if (shl_opt_format(opt, &o->settings, &value, &err) != SHALE_OK ||
            shl_str_terminate(&value, &err) != SHALE_OK)
            break;
        shale_option_info info = {
            .name = opt->name,
            .type = shl_opt_type_name(opt),
            .default_value = opt->default_text != NULL ? opt->default_text : "none",
            .help = opt->help,
            .value = (const char *)value.data,
            .origin = o->origins[i].from != NULL ? o->origins[i].from : "default",
            .beaten_value = o->origins[i].beaten,
            .beaten_origin = o->origins[i].beaten_from};
        if (!visit(ctx, &info))
            break;
    }
    shl_buf_free(&value);
}

/* ---- what an open needs */

static shale_code resolve_texts(const shale_options *o, struct shl_api_resolved *out,
                                shale_error *err)
{
    const struct shl_api_settings *s = &o->settings;
    if (s->segment_extractor != NULL &&
        !shl_extractor_parse(s->segment_extractor, &out->lsm.segment_extractor))
        return shl_fail(err, SHALE_INVALID, "segment_extractor: \"%s\"", s->segment_extractor);
    if (out->lsm.segment_extractor.kind == SHL_EXTRACT_FIXED &&
        out->lsm.segment_extractor.fixed_len == 0)
        return shl_fail(err, SHALE_INVALID,
                        "segment_extractor: 0 bytes are no prefix; none is without segments");
    if (s->bloom_prefix != NULL &&
        !shl_extractor_parse(s->bloom_prefix, &out->lsm.filter.extractor))
        return shl_fail(err, SHALE_INVALID, "bloom_prefix: \"%s\"", s->bloom_prefix);
    out->has_builtin =
        s->merge_operator != NULL && shl_merge_operator_builtin(s->merge_operator, &out->builtin);
    return SHALE_OK;
}

shale_code shl_api_resolve(const shale_options *o, bool reader, struct shl_api_resolved *out,
                           shale_error *err)
{
    *out = (struct shl_api_resolved){.lsm = o->settings.lsm};
    /* SlateDB's readers look less often than its writers (slatedb-surface 2.7). */
    if (reader && shl_api_is_default(o, "manifest_poll_interval"))
        out->lsm.manifest_poll_interval_ns = 10 * ENV_NS_PER_SEC;
    out->lsm.worker_has_min_filter_keys =
        !shl_api_is_default(o, "compactor_options.worker.min_filter_keys");
    out->lsm.worker_has_codec =
        !shl_api_is_default(o, "compactor_options.worker.compression_codec");
    return resolve_texts(o, out, err);
}
