#include "store/open.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "store/file.h"
#include "store/memory.h"
#include "store/path.h"
#include "store/s3.h"
#include "store/s3_config.h"
#include "store/s3_url.h"
#include "store/shared_folder.h"
#include "store/wrap_prefix.h"
#include <errno.h>
#include <stdio.h>

/* ---- options: the folder's one, and those of S3 */

#define FSYNC_OPTION "local_fsync"

static const char *option_name_at(const void *ctx, size_t i)
{
    (void)ctx;
    return i == 0 ? FSYNC_OPTION : shl_s3_option_name(i - 1);
}

static shale_code unknown_option(const char *key, shale_error *err)
{
    const char *near =
        shl_str_suggest(shl_slice_str(key), 1 + shl_s3_option_count(), option_name_at, NULL);
    if (near == NULL)
        return shl_fail(err, SHALE_INVALID, "unknown store option \"%s\"", key);
    return shl_fail(err, SHALE_INVALID, "unknown store option \"%s\": did you mean %s?", key, near);
}

static shale_code apply_option(const struct shl_store_option *o, struct shl_file_options *file,
                               shale_error *err)
{
    bool known;
    shale_code rc;
    if (shl_str_ieq(o->key, FSYNC_OPTION)) {
        if (shl_parse_bool(shl_slice_str(o->value), &file->fsync))
            return SHALE_OK;
        return shl_fail(err, SHALE_INVALID,
                        "store option local_fsync: \"%s\" is neither on nor off", o->value);
    }
    rc = shl_s3_option_check(o->key, o->value, &known, err);
    return rc == SHALE_OK && !known ? unknown_option(o->key, err) : rc;
}

static shale_code apply_options(const struct shl_store_option *options, size_t count,
                                struct shl_file_options *file, shale_error *err)
{
    for (size_t i = 0; i < count; i++) {
        shale_code rc = apply_option(&options[i], file, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

shale_code shl_store_options_check(const struct shl_store_option *options, size_t count,
                                   shale_error *err)
{
    struct shl_file_options ignored = {0};
    return apply_options(options, count, &ignored, err);
}

/* ---- what kind of URL */

enum url_kind { URL_MEMORY, URL_FILE, URL_PATH, URL_S3, URL_LATER };

struct url {
    enum url_kind kind;
    const char *
        rest; /* URL_MEMORY, URL_FILE: behind "scheme:" and its slashes of the host part; URL_PATH: all */
    const char *text; /* as given */
};

struct scheme {
    const char *name;
    enum url_kind kind;
    const char *example;
};
static const struct scheme schemes[] = {
    {"file", URL_FILE, "file:///srv/db"},      {"memory", URL_MEMORY, "memory:///db"},
    {"s3", URL_S3, "s3://bucket/db"},          {"s3a", URL_S3, "s3a://bucket/db"},
    {"gs", URL_LATER, "gs://bucket/db"},       {"az", URL_LATER, "az://container/db"},
    {"azure", URL_LATER, "az://container/db"}, {"adl", URL_LATER, "az://container/db"},
    {"abfs", URL_LATER, "az://container/db"},  {"abfss", URL_LATER, "az://container/db"},
    {"https", URL_S3, "s3://bucket/db"},       {"http", URL_LATER, "s3://bucket/db"},
};

static const char *scheme_name_at(const void *ctx, size_t i)
{
    (void)ctx;
    return schemes[i].name;
}

/* Length of "abc" in "abc:...", or 0 if the text does not begin so. */
static size_t scheme_len(const char *url)
{
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    bool letter = (url[0] >= 'a' && url[0] <= 'z') || (url[0] >= 'A' && url[0] <= 'Z');
    return letter && url[n] == ':' ? n : 0;
}

static shale_code bad_url(shale_error *err, const char *url, const char *why, const char *example)
{
    char shown[SHL_URL_SHOWN];
    return shl_fail(err, SHALE_INVALID, "bad URL: \"%s\": %s; write it like %s",
                    shl_url_shown(url, shown), why, example);
}

static shale_code unknown_scheme(const char *url, struct shl_slice name, shale_error *err)
{
    const char *near = shl_str_suggest(name, SHL_COUNT_OF(schemes), scheme_name_at, NULL);
    if (near != NULL)
        return shl_fail(err, SHALE_INVALID,
                        "bad URL: \"%s\": unknown kind of store: did you mean %s://?", url, near);
    return bad_url(err, url, "unknown kind of store", "file:///srv/db");
}

static shale_code check_slashes(const struct scheme *scheme, const char *url, const char *rest,
                                shale_error *err)
{
    char why[64];
    size_t slashes = strspn(rest, "/");
    if (slashes >= 2 || (scheme->kind == URL_MEMORY && rest[0] == '\0'))
        return SHALE_OK;
    bool one = slashes == 1 && scheme->kind != URL_FILE; /* "file:/x" lacks two */
    (void)snprintf(why, sizeof why, "%s missing after \"%s:\"",
                   one ? "one slash is" : "slashes are", scheme->name);
    return bad_url(err, url, why, scheme->example);
}

static shale_code parse_url(const char *url, struct url *out, shale_error *err)
{
    size_t n = scheme_len(url);
    *out = (struct url){.kind = URL_PATH, .rest = url, .text = url};
    if (url[0] == '\0')
        return bad_url(err, url, "it is empty", "file:///srv/db");
    if (strcmp(url, "memory") == 0) {
        *out = (struct url){.kind = URL_MEMORY, .rest = "", .text = url};
        return SHALE_OK;
    }
    if (n == 0)
        return SHALE_OK;
    const struct scheme *found = NULL;
    for (size_t i = 0; i < SHL_COUNT_OF(schemes) && found == NULL; i++) {
        if (shl_slice_ieq(shl_slice_of(url, n), schemes[i].name))
            found = &schemes[i];
    }
    const char *rest = url + n + 1;
    if (found == NULL) /* "a:b" is a file name, "a://b" is not meant as one */
        return strncmp(rest, "//", 2) == 0 ? unknown_scheme(url, shl_slice_of(url, n), err)
                                           : SHALE_OK;
    shale_code rc = check_slashes(found, url, rest, err);
    if (rc != SHALE_OK)
        return rc;
    if (strcmp(found->name, "http") == 0 ||
        (strcmp(found->name, "https") == 0 && !shl_s3_url_is_https(url)))
        return bad_url(err, url,
                       "only Amazon S3's and Cloudflare R2's own URLs begin with https://; name "
                       "another service by --endpoint or AWS_ENDPOINT",
                       found->example);
    if (found->kind == URL_LATER)
        return shl_fail(err, SHALE_NOT_SUPPORTED,
                        "not built yet in this version: %s:// stores (\"%s\"); there are s3://, "
                        "file:// and memory:",
                        found->name, url);
    *out =
        (struct url){.kind = found->kind, .rest = rest[0] == '\0' ? rest : rest + 2, .text = url};
    return SHALE_OK;
}

/* ---- memory */

/* Splits "/path?name=x". *out_path: the key or ""; *out_name: NULL if none. Both owned. */
static shale_code parse_memory(const struct url *url, char **out_path, char **out_name,
                               shale_error *err)
{
    static const char query[] = "name=";
    const char *mark = strchr(url->rest, '?');
    size_t path_len = mark == NULL ? strlen(url->rest) : (size_t)(mark - url->rest);
    char *path = NULL;
    char *name = NULL;
    char *raw = NULL;
    shale_code rc;
    if (path_len > 0 && url->rest[0] != '/')
        SHL_TRY(bad_url(err, url->text, "memory has no host", "memory:///db or memory://?name=x"));
    if (mark != NULL &&
        (strncmp(mark + 1, query, sizeof query - 1) != 0 || mark[sizeof query] == '\0'))
        SHL_TRY(bad_url(err, url->text, "only name= is known behind '?'", "memory://?name=x"));
    raw = shl_slice_dup_cstr(shl_slice_of(url->rest, path_len));
    if (raw == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_path_from_url(raw, &path, err));
    if (mark != NULL)
        SHL_TRY(shl_url_decode(mark + sizeof query, &name, err));
    *out_path = path;
    *out_name = name;
    path = NULL;
out:
    env_free(path);
    env_free(raw);
    return rc;
}

static shale_code open_memory(const struct url *url, struct shl_store **out_store, char **out_path,
                              shale_error *err)
{
    char *path = NULL;
    char *name = NULL;
    shale_code rc;
    SHL_TRY(parse_memory(url, &path, &name, err));
    if (name != NULL)
        SHL_TRY(shl_store_memory_named(out_store, name, err));
    else
        SHL_TRY(shl_store_memory_new(out_store, err));
    *out_path = path;
    path = NULL;
out:
    env_free(path);
    env_free(name);
    return rc;
}

/* ---- folders */

/* Without empty and "." segments, and ".." taken together with the segment before it. `path` is absolute; changed in place. */
static void normalize(char *path)
{
    size_t n = 0;
    for (const char *at = path; *at != '\0';) {
        while (*at == '/')
            at++;
        size_t len = strcspn(at, "/");
        bool up = len == 2 && at[0] == '.' && at[1] == '.';
        if (up) {
            while (n > 0 && path[--n] != '/')
                ;
        } else if (len > 0 && !(len == 1 && at[0] == '.')) {
            path[n++] = '/';
            memmove(path + n, at, len);
            n += len;
        }
        at += len;
    }
    if (n == 0)
        path[n++] = '/';
    path[n] = '\0';
}

static bool has_dotdot(const char *path)
{
    for (const char *at = strstr(path, ".."); at != NULL; at = strstr(at + 1, "..")) {
        if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
            return true;
    }
    return false;
}

/* An absolute path without "." and "..". *out: owned. */
static shale_code absolute(const char *path, char **out, shale_error *err)
{
    char *cwd = NULL;
    char *full = NULL;
    int e = 0;
    if (path[0] == '/') {
        full = env_strdup(path);
    } else {
        e = env_getcwd(&cwd);
        full = e == 0 ? shl_path_join(cwd, path) : NULL;
        env_free(cwd);
    }
    if (e != 0 && e != ENOMEM)
        return shl_fail(err, SHALE_UNAVAILABLE,
                        "cannot tell the current folder, which \"%s\" is below", path);
    if (full == NULL)
        return shl_nomem(err);
    /* "a/.." is not "." if a is a link: the system knows. For a folder that is not there yet the text must do. */
    char *real = NULL;
    e = has_dotdot(full) ? env_realpath(full, &real) : ENOENT;
    if (e == 0 || e == ENOMEM) {
        env_free(full);
        full = real;
    }
    if (full == NULL)
        return shl_nomem(err);
    normalize(full);
    *out = full;
    return SHALE_OK;
}

/* The absolute path that a file:// URL or a bare path names. *out: owned. */
static shale_code folder_of(const struct url *url, char **out, shale_error *err)
{
    if (url->kind == URL_PATH)
        return absolute(url->rest, out, err);
    if (url->rest[0] != '/')
        return bad_url(err, url->text, "a file URL has no host", "file:///srv/db");
    if (strpbrk(url->rest, "?#") != NULL)
        return bad_url(err, url->text, "'?' and '#' in a file URL must be %3F and %23",
                       "file:///srv/db%231");
    char *decoded;
    shale_code rc = shl_url_decode(url->rest, &decoded, err);
    if (rc != SHALE_OK)
        return rc;
    rc = absolute(decoded, out, err);
    env_free(decoded);
    return rc;
}

static shale_code root_folder(const char *root, char **out, shale_error *err)
{
    struct url url;
    shale_code rc = parse_url(root, &url, err);
    if (rc != SHALE_OK)
        return rc;
    if (url.kind == URL_MEMORY || url.kind == URL_S3)
        return bad_url(err, root, "the root must be a folder", "file:///srv");
    return folder_of(&url, out, err);
}

/* The part of `folder` below `root`; NULL if it is not below. */
static const char *below(const char *folder, const char *root)
{
    if (strcmp(root, "/") == 0)
        return folder + 1;
    size_t n = strlen(root);
    return shl_path_is_under(folder, root) && folder[n] == '/' ? folder + n + 1 : NULL;
}

/* Splits an absolute folder into the bucket and the database's path in it. Both outputs owned. */
static shale_code split_database(const char *folder, const struct shl_store_config *config,
                                 const char *url, char **out_root, char **out_path,
                                 shale_error *err)
{
    char *root = NULL;
    char *path = NULL;
    const char *rest;
    shale_code rc;
    if (config->root != NULL) {
        SHL_TRY(root_folder(config->root, &root, err));
    } else {
        size_t up = (size_t)(strrchr(folder, '/') - folder);
        root = shl_slice_dup_cstr(shl_slice_of(folder, up == 0 ? 1 : up));
        if (root == NULL)
            SHL_TRY(shl_nomem(err));
    }
    rest = below(folder, root);
    if (rest == NULL) {
        rc = shl_fail(err, SHALE_INVALID, "%s is not below the root %s", folder, root);
        goto out;
    }
    if (rest[0] == '\0')
        SHL_TRY(bad_url(err, url, "a database needs a folder of its own", "file:///srv/db"));
    SHL_TRY(shl_path_parse(rest, &path, err));
    *out_root = root;
    *out_path = path;
    root = NULL;
out:
    env_free(root);
    return rc;
}

static shale_code open_folder(const char *folder, const struct shl_store_config *config,
                              struct shl_store **out, shale_error *err)
{
    struct shl_file_options options = {
        .fsync = true, .create_root = config->create_root, .cache_descriptors = true};
    shale_code rc = apply_options(config->options, config->option_count, &options, err);
    if (rc != SHALE_OK)
        return rc;
    return config->shared_folder ? shl_store_shared_folder_new(out, folder, &options, err)
                                 : shl_store_file_new(out, folder, &options, err);
}

/* ---- S3 */

static shale_code open_s3(const struct shl_s3_url *u, const struct shl_store_config *config,
                          struct shl_store **out, shale_error *err)
{
#ifdef SHL_SIM
    (void)u;
    (void)config;
    (void)out;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "the simulation has no network");
#else
    struct shl_s3_config s3;
    shale_code rc = shl_s3_config_load(&s3, config->options, config->option_count, u->region,
                                       u->endpoint, true, err);
    const struct shl_s3_hooks hooks = {
        .log = config->log, .cancelled = config->cancelled, .cancel_ctx = config->cancel_ctx};
    return rc != SHALE_OK ? rc : shl_store_s3_new(out, u->bucket, &s3, &hooks, err);
#endif
}

/* A database's root, if it is given, can only be the bucket that its URL names. */
static shale_code check_s3_root(const struct shl_s3_url *u, const char *root, shale_error *err)
{
    struct shl_s3_url r = {0};
    struct url parsed;
    shale_code rc;
    if (root == NULL)
        return SHALE_OK;
    SHL_TRY(parse_url(root, &parsed, err));
    if (parsed.kind != URL_S3)
        SHL_TRY(bad_url(err, root, "the root of an s3:// database is its bucket", "s3://bucket"));
    SHL_TRY(shl_s3_url_parse(root, &r, err));
    if (strcmp(r.bucket, u->bucket) != 0 || r.path[0] != '\0')
        rc = shl_fail(err, SHALE_INVALID, "%s is not the bucket \"%s\"", root, u->bucket);
out:
    shl_s3_url_deinit(&r);
    return rc;
}

static shale_code open_s3_database(const char *url, const struct shl_store_config *config,
                                   struct shl_store **out_store, char **out_path, shale_error *err)
{
    struct shl_s3_url u = {0};
    shale_code rc;
    SHL_TRY(shl_s3_url_parse(url, &u, err));
    if (u.bucket[0] == '\0')
        SHL_TRY(bad_url(err, url, "the bucket is missing", "s3://bucket/db"));
    SHL_TRY(check_s3_root(&u, config->root, err));
    SHL_TRY(open_s3(&u, config, out_store, err));
    *out_path = u.path;
    u.path = NULL; /* moved to the caller */
out:
    shl_s3_url_deinit(&u);
    return rc;
}

/* ---- the doors */

shale_code shl_store_open_url(const char *url, const struct shl_store_config *config,
                              struct shl_store **out_store, char **out_path, shale_error *err)
{
    struct url parsed;
    char *folder = NULL;
    char *root = NULL;
    char *path = NULL;
    shale_code rc;
    SHL_TRY(parse_url(url, &parsed, err));
    SHL_TRY(shl_store_options_check(config->options, config->option_count, err));
    if (parsed.kind == URL_S3) {
        SHL_TRY(open_s3_database(url, config, out_store, out_path, err));
        goto out;
    }
    if (parsed.kind == URL_MEMORY) {
        SHL_TRY(open_memory(&parsed, out_store, out_path, err));
        goto out;
    }
    SHL_TRY(folder_of(&parsed, &folder, err));
    SHL_TRY(split_database(folder, config, url, &root, &path, err));
    SHL_TRY(open_folder(root, config, out_store, err));
    *out_path = path;
    path = NULL;
out:
    env_free(folder);
    env_free(root);
    env_free(path);
    return rc;
}

/* The store below `path` of a store; takes the reference of take_s. */
static shale_code narrow(struct shl_store *take_s, const char *path, struct shl_store **out,
                         shale_error *err)
{
    if (path[0] == '\0') {
        *out = take_s;
        return SHALE_OK;
    }
    shale_code rc = shl_store_prefix_new(out, take_s, path, err);
    shl_store_unref(take_s);
    return rc;
}

static shale_code open_s3_raw(const char *url, const struct shl_store_config *config,
                              struct shl_store **out_store, shale_error *err)
{
    struct shl_s3_url u = {0};
    struct shl_store *bucket = NULL;
    shale_code rc;
    SHL_TRY(shl_s3_url_parse(url, &u, err));
    SHL_TRY(open_s3(&u, config, &bucket, err));
    SHL_TRY(narrow(bucket, u.path, out_store, err));
out:
    shl_s3_url_deinit(&u);
    return rc;
}

shale_code shl_store_open_raw(const char *url, const struct shl_store_config *config,
                              struct shl_store **out_store, shale_error *err)
{
    SHL_ASSERT(config->root == NULL);
    struct url parsed;
    struct shl_store *memory;
    char *text = NULL; /* the folder, or the path in memory */
    shale_code rc;
    SHL_TRY(parse_url(url, &parsed, err));
    SHL_TRY(shl_store_options_check(config->options, config->option_count, err));
    if (parsed.kind == URL_S3) {
        SHL_TRY(open_s3_raw(url, config, out_store, err));
    } else if (parsed.kind == URL_MEMORY) {
        SHL_TRY(open_memory(&parsed, &memory, &text, err));
        SHL_TRY(narrow(memory, text, out_store, err));
    } else {
        SHL_TRY(folder_of(&parsed, &text, err));
        SHL_TRY(open_folder(text, config, out_store, err));
    }
out:
    env_free(text);
    return rc;
}

/* ---- listing options */

const char *shl_store_option_named(struct shl_slice name)
{
    if (shl_slice_ieq(name, FSYNC_OPTION))
        return FSYNC_OPTION;
    for (size_t i = 0; i < shl_s3_option_count(); i++)
        if (shl_slice_ieq(name, shl_s3_option_name(i)))
            return shl_s3_option_name(i);
    return NULL;
}

typedef bool (*visit_option)(void *ctx, const struct shl_store_option_info *info);

static shale_code each_of_s3(const char *url, const struct shl_store_config *config,
                             visit_option visit, void *ctx, shale_error *err)
{
    struct shl_s3_url u = {0};
    struct shl_s3_config c = {0};
    struct shl_buf text = {0};
    shale_code rc;
    if (url != NULL)
        SHL_TRY(shl_s3_url_parse(url, &u, err));
    SHL_TRY(shl_s3_config_load(&c, config->options, config->option_count, u.region, u.endpoint,
                               false, err));
    for (size_t i = 0; i < shl_s3_option_count(); i++) {
        text.len = 0;
        SHL_TRY(shl_s3_option_text(&c, i, &text, err));
        SHL_TRY(shl_str_terminate(&text, err));
        const char *fallback = shl_s3_option_default(i);
        const struct shl_store_option_info info = {.name = shl_s3_option_name(i),
                                                   .type = shl_s3_option_type(i),
                                                   .default_text =
                                                       fallback != NULL ? fallback : "none",
                                                   .help = shl_s3_option_help(i),
                                                   .value = (const char *)text.data,
                                                   .origin = c.origins[i].from,
                                                   .beaten = c.origins[i].beaten,
                                                   .beaten_from = c.origins[i].beaten_from};
        if (!visit(ctx, &info))
            break;
    }
out:
    shl_buf_free(&text);
    shl_s3_config_deinit(&c);
    shl_s3_url_deinit(&u);
    return rc;
}

static void each_of_folder(const struct shl_store_config *config, visit_option visit, void *ctx)
{
    struct shl_store_option_info info = {
        .name = FSYNC_OPTION,
        .type = "bool",
        .default_text = "on",
        .value = "on",
        .help = "writes are acknowledged when they are on disk; off: when the system has them"};
    for (size_t i = 0; i < config->option_count; i++) {
        const struct shl_store_option *o = &config->options[i];
        if (!shl_str_ieq(o->key, FSYNC_OPTION))
            continue;
        info.beaten = info.origin != NULL ? info.value : NULL;
        info.beaten_from = info.origin;
        info.value = o->value;
        info.origin = o->origin != NULL ? o->origin : "store option " FSYNC_OPTION;
    }
    (void)visit(ctx, &info);
}

shale_code shl_store_options_each(const char *url, const struct shl_store_config *config,
                                  visit_option visit, void *ctx, shale_error *err)
{
    struct url parsed = {.kind = URL_S3};
    shale_code rc = url != NULL ? parse_url(url, &parsed, err) : SHALE_OK;
    if (rc == SHALE_OK)
        rc = shl_store_options_check(config->options, config->option_count, err);
    if (rc == SHALE_OK && parsed.kind == URL_S3)
        rc = each_of_s3(url, config, visit, ctx, err);
    else if (rc == SHALE_OK && parsed.kind != URL_MEMORY)
        each_of_folder(config, visit, ctx);
    return rc;
}

/* ---- making a bucket */

static shale_code make_s3_bucket(const char *url, const struct shl_store_config *config,
                                 shale_error *err)
{
#ifdef SHL_SIM
    (void)url;
    (void)config;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "the simulation has no network");
#else
    struct shl_s3_url u = {0};
    struct shl_store *bucket = NULL;
    shale_code rc;
    SHL_TRY(shl_s3_url_parse(url, &u, err));
    if (u.bucket[0] == '\0')
        SHL_TRY(bad_url(err, url, "the bucket is missing", "s3://bucket"));
    SHL_TRY(open_s3(&u, config, &bucket, err));
    SHL_TRY(shl_store_s3_make_bucket(bucket, err));
out:
    shl_store_unref(bucket);
    shl_s3_url_deinit(&u);
    return rc;
#endif
}

shale_code shl_store_make_bucket(const char *url, const struct shl_store_config *config,
                                 shale_error *err)
{
    struct url parsed;
    char *folder = NULL;
    shale_code rc;
    SHL_TRY(parse_url(url, &parsed, err));
    SHL_TRY(shl_store_options_check(config->options, config->option_count, err));
    if (parsed.kind == URL_S3) {
        SHL_TRY(make_s3_bucket(url, config, err));
    } else if (parsed.kind == URL_MEMORY) {
        rc = shl_fail(err, SHALE_ALREADY_EXISTS, "memory needs no making");
    } else {
        SHL_TRY(folder_of(&parsed, &folder, err));
        SHL_TRY(shl_file_make_root(folder, err));
    }
out:
    env_free(folder);
    return rc;
}
