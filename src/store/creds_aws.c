/* Profile files are INI: "[section]", "key = value", comments with '#' or ';' at the start of a line. A line that is indented
 * deeper than the key above it belongs to that key's value ("s3 =" and its settings) and says nothing to us.
 *
 * Texts of these files hold secrets: no error quotes a line, and what was read is wiped before it is freed. */
#include "store/creds_aws.h"

#include "base/array.h"
#include "base/assert.h"
#include "base/codec/digest.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>

#define FILE_BYTES_MAX (1u << 20)

/* ---- owners */

static void free_secret(char **s)
{
    if (*s != NULL)
        shl_wipe(*s, strlen(*s));
    env_free(*s);
    *s = NULL;
}

void shl_aws_creds_deinit(struct shl_aws_creds *c)
{
    env_free(c->access_key);
    free_secret(&c->secret_key);
    free_secret(&c->token);
    env_free(c->origin);
    *c = (struct shl_aws_creds){0};
}

void shl_aws_profile_deinit(struct shl_aws_profile *p)
{
    shl_aws_creds_deinit(&p->creds);
    env_free(p->region);
    env_free(p->endpoint_url);
    env_free(p->unsupported);
    *p = (struct shl_aws_profile){0};
}

/* An empty text says nothing. */
static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static shale_code dup_text(const char *text, char **out, shale_error *err)
{
    SHL_ASSERT(*out == NULL);
    if (or_null(text) == NULL)
        return SHALE_OK;
    *out = env_strdup(text);
    return *out != NULL ? SHALE_OK : shl_nomem(err);
}

/* ---- INI, line by line */

enum ini_kind { INI_END, INI_SECTION, INI_KEY };

struct ini {
    struct shl_slice rest;
    uint32_t line;
    size_t key_indent; /* of the last key; SIZE_MAX: none yet in this section */
    /* what ini_next found */
    enum ini_kind kind;
    struct shl_slice name; /* of the section or key, trimmed */
    struct shl_slice value;
};

static struct ini ini_of(struct shl_slice text)
{
    struct shl_slice mark = shl_slice_str("\xef\xbb\xbf"); /* editors on Windows begin with it */
    if (shl_slice_has_prefix(text, mark))
        text = shl_slice_of(text.data + mark.len, text.len - mark.len);
    return (struct ini){.rest = text, .key_indent = SIZE_MAX};
}

static size_t find_byte(struct shl_slice s, char c)
{
    const void *at = s.len > 0 ? memchr(s.data, c, s.len) : NULL;
    return at == NULL ? s.len : (size_t)((const uint8_t *)at - s.data);
}

static struct shl_slice ini_take_line(struct ini *ini)
{
    size_t len = find_byte(ini->rest, '\n');
    struct shl_slice line = shl_slice_of(ini->rest.data, len);
    size_t used = len < ini->rest.len ? len + 1 : len;
    ini->rest = shl_slice_of(ini->rest.data + used, ini->rest.len - used);
    ini->line++;
    return line;
}

static shale_code ini_section(struct ini *ini, struct shl_slice line, shale_error *err)
{
    size_t end = find_byte(line, ']');
    if (end == line.len)
        return shl_fail(err, SHALE_INVALID, "line %" PRIu32 ": a section without ']'", ini->line);
    ini->kind = INI_SECTION;
    ini->name = shl_slice_trim(shl_slice_of(line.data + 1, end - 1));
    ini->key_indent = SIZE_MAX;
    return SHALE_OK;
}

static shale_code ini_key(struct ini *ini, struct shl_slice line, size_t indent, shale_error *err)
{
    size_t equals = find_byte(line, '=');
    if (equals == line.len)
        return shl_fail(err, SHALE_INVALID, "line %" PRIu32 ": no '='", ini->line);
    ini->kind = INI_KEY;
    ini->name = shl_slice_trim(shl_slice_of(line.data, equals));
    ini->value = shl_slice_trim(shl_slice_of(line.data + equals + 1, line.len - equals - 1));
    ini->key_indent = indent;
    return SHALE_OK;
}

/* Moves to the next section or key. */
static shale_code ini_next(struct ini *ini, shale_error *err)
{
    while (ini->rest.len > 0) {
        struct shl_slice raw = ini_take_line(ini);
        size_t indent = 0;
        while (indent < raw.len && (raw.data[indent] == ' ' || raw.data[indent] == '\t'))
            indent++;
        struct shl_slice line = shl_slice_trim(raw);
        bool is_nested = ini->key_indent != SIZE_MAX && indent > ini->key_indent;
        if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';' || is_nested)
            continue;
        return line.data[0] == '[' ? ini_section(ini, line, err) : ini_key(ini, line, indent, err);
    }
    ini->kind = INI_END;
    return SHALE_OK;
}

/* ---- profiles */

static struct shl_slice unquoted(struct shl_slice s)
{
    bool quoted =
        s.len >= 2 && (s.data[0] == '"' || s.data[0] == '\'') && s.data[s.len - 1] == s.data[0];
    return quoted ? shl_slice_of(s.data + 1, s.len - 2) : s;
}

/* The profile that a section is about; false if it is about something else ("[sso-session x]"). */
static bool profile_of_section(struct shl_slice section, bool is_config, struct shl_slice *out)
{
    struct shl_slice prefix = shl_slice_str("profile");
    *out = section;
    if (!is_config || shl_slice_eq(section, shl_slice_str("default")))
        return true;
    if (!shl_slice_has_prefix(section, prefix) || section.len == prefix.len ||
        (section.data[prefix.len] != ' ' && section.data[prefix.len] != '\t'))
        return false;
    struct shl_slice name = shl_slice_of(section.data + prefix.len, section.len - prefix.len);
    *out = unquoted(shl_slice_trim(name));
    return true;
}

/* Ways to keys that we do not go, by the key that stands for each. */
static bool is_unsupported(struct shl_slice key)
{
    static const char *const keys[] = {"role_arn", "credential_process", "credential_source",
                                       "web_identity_token_file", "login_session"};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        if (shl_slice_ieq(key, keys[i]))
            return true;
    }
    return key.len > 4 && shl_slice_ieq(shl_slice_of(key.data, 4), "sso_");
}

/* Replaces *io; the last of several equal keys counts. */
static shale_code set_value(const struct ini *ini, char **io, shale_error *err)
{
    for (size_t i = 0; i < ini->value.len; i++) {
        if (ini->value.data[i] < 0x20 || ini->value.data[i] == 0x7f)
            return shl_fail(err, SHALE_INVALID, "line %" PRIu32 ": a control character in a value",
                            ini->line);
    }
    char *copy = NULL;
    if (ini->value.len > 0) {
        copy = shl_slice_dup_cstr(ini->value);
        if (copy == NULL)
            return shl_nomem(err);
    }
    free_secret(io);
    *io = copy;
    return SHALE_OK;
}

static shale_code take_key(const struct ini *ini, struct shl_aws_profile *p, shale_error *err)
{
    const struct {
        const char *name;
        char **to;
    } keys[] = {{"aws_access_key_id", &p->creds.access_key},
                {"aws_secret_access_key", &p->creds.secret_key},
                {"aws_session_token", &p->creds.token},
                {"region", &p->region},
                {"endpoint_url", &p->endpoint_url}};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        if (shl_slice_ieq(ini->name, keys[i].name))
            return set_value(ini, keys[i].to, err);
    }
    if (p->unsupported == NULL && is_unsupported(ini->name)) {
        p->unsupported = shl_slice_dup_cstr(ini->name);
        if (p->unsupported == NULL)
            return shl_nomem(err);
    }
    return SHALE_OK;
}

static shale_code read_section(struct shl_slice text, bool is_config, const char *name,
                               struct shl_aws_profile *p, bool *out_found, shale_error *err)
{
    struct ini ini = ini_of(text);
    bool is_ours = false;
    bool found = false;
    shale_code rc;
    SHL_TRY(ini_next(&ini, err));
    while (ini.kind != INI_END) {
        struct shl_slice profile;
        if (ini.kind == INI_SECTION) {
            is_ours = profile_of_section(ini.name, is_config, &profile) &&
                      shl_slice_eq(profile, shl_slice_str(name));
            found = found || is_ours;
        } else if (is_ours) {
            SHL_TRY(take_key(&ini, p, err));
        }
        SHL_TRY(ini_next(&ini, err));
    }
    *out_found = found;
out:
    return rc;
}

static void move_if_unset(char **to, char **from)
{
    if (*to != NULL)
        return;
    *to = *from;
    *from = NULL;
}

static bool has_keys(const struct shl_aws_creds *c)
{
    return c->access_key != NULL || c->secret_key != NULL;
}

shale_code shl_aws_profile_parse(struct shl_slice text, bool is_config, const char *name,
                                 struct shl_aws_profile *io, bool *out_found, shale_error *err)
{
    struct shl_aws_profile said = {0};
    shale_code rc;
    SHL_TRY(read_section(text, is_config, name, &said, out_found, err));
    /* Keys go together: half of them from here and half from there would be nobody's. */
    if (!has_keys(&io->creds)) {
        move_if_unset(&io->creds.access_key, &said.creds.access_key);
        move_if_unset(&io->creds.secret_key, &said.creds.secret_key);
        free_secret(&io->creds.token);
        move_if_unset(&io->creds.token, &said.creds.token);
        io->creds.expires_unix_ms = INT64_MAX;
    }
    move_if_unset(&io->region, &said.region);
    move_if_unset(&io->endpoint_url, &said.endpoint_url);
    move_if_unset(&io->unsupported, &said.unsupported);
out:
    shl_aws_profile_deinit(&said);
    return rc;
}

/* ---- files */

struct profile_file {
    const char *variable; /* names it, else it is `below` HOME */
    const char *below;
    bool is_config;
    bool is_chosen;       /* by the variable */
    struct shl_buf path;  /* as opened, NUL-terminated; empty if there can be no such file */
    struct shl_buf shown; /* for people: with "~" for HOME */
    struct shl_buf text;  /* wiped before it is freed */
};

static void file_deinit(struct profile_file *f)
{
    if (f->text.cap > 0)
        shl_wipe(f->text.data, f->text.cap);
    shl_buf_free(&f->text);
    shl_buf_free(&f->path);
    shl_buf_free(&f->shown);
}

static const char *env_text(const char *name)
{
    return or_null(env_getenv(name));
}

static shale_code file_find(struct profile_file *f, shale_error *err)
{
    const char *chosen = env_text(f->variable);
    const char *shown = chosen != NULL ? chosen : f->below;
    const char *home = env_text("HOME");
    bool is_below_home = shown[0] == '~' && shown[1] == '/';
    shale_code rc;
    f->is_chosen = chosen != NULL;
    SHL_TRY(shl_str_append(&f->shown, shown, err));
    SHL_TRY(shl_str_terminate(&f->shown, err));
    if (is_below_home && home == NULL)
        goto out;
    if (is_below_home)
        SHL_TRY(shl_str_append(&f->path, home, err));
    SHL_TRY(shl_str_append(&f->path, is_below_home ? shown + 1 : shown, err));
    SHL_TRY(shl_str_terminate(&f->path, err));
out:
    return rc;
}

/* Leaves text empty if there is no file. One that nobody asked for may also be out of reach: a service often has the HOME of
 * another user. */
static shale_code file_read(struct profile_file *f, bool is_asked, shale_error *err)
{
    if (f->path.len == 0)
        return SHALE_OK;
    struct env_stat st = {0};
    int fd;
    if (strcmp((const char *)f->path.data, "/dev/null") == 0) /* the way to say: no file */
        return SHALE_OK;
    int e = env_stat((const char *)f->path.data, &st);
    if (e == 0 && !st.is_file) /* to open a pipe would wait for its other end */
        return shl_fail(err, SHALE_INVALID, "%s is no file of at most %u bytes",
                        (const char *)f->shown.data, FILE_BYTES_MAX);
    if (e == 0)
        e = env_open(&fd, (const char *)f->path.data, ENV_OPEN_READ);
    if (e == ENOENT || e == ENOTDIR || (e == EACCES && !is_asked && !f->is_chosen))
        return SHALE_OK;
    if (e != 0)
        return shl_fail(err, e == EACCES ? SHALE_PERMISSION_DENIED : SHALE_UNAVAILABLE,
                        "%s cannot be opened (errno %d)", (const char *)f->shown.data, e);
    shale_code rc;
    e = env_fstat(fd, &st);
    if (e != 0 || !st.is_file || st.size > FILE_BYTES_MAX)
        rc = shl_fail(err, SHALE_INVALID, "%s is no file of at most %u bytes",
                      (const char *)f->shown.data, FILE_BYTES_MAX);
    else
        rc = shl_buf_reserve(&f->text, (size_t)st.size + 1, err);
    if (rc == SHALE_OK) {
        e = env_pread(fd, f->text.data, (size_t)st.size, 0, &f->text.len);
        if (e != 0)
            rc = shl_fail(err, SHALE_UNAVAILABLE, "%s cannot be read (errno %d)",
                          (const char *)f->shown.data, e);
    }
    (void)env_close(fd);
    return rc;
}

/* ---- a profile that is not there */

struct name_list {
    SHL_ARRAY(char *) names;
};

static void name_list_deinit(struct name_list *l)
{
    for (size_t i = 0; i < l->names.count; i++)
        env_free(l->names.items[i]);
    shl_array_free(&l->names);
}

static const char *name_at(const void *ctx, size_t i)
{
    const struct name_list *l = ctx;
    return l->names.items[i];
}

static shale_code add_names(const struct profile_file *f, struct name_list *l, shale_error *err)
{
    struct ini ini = ini_of(shl_buf_view(&f->text));
    shale_code rc;
    SHL_TRY(ini_next(&ini, err));
    while (ini.kind != INI_END) {
        struct shl_slice profile;
        if (ini.kind == INI_SECTION && profile_of_section(ini.name, f->is_config, &profile)) {
            char *copy = shl_slice_dup_cstr(profile);
            if (copy == NULL || !shl_array_push(&l->names, copy)) {
                env_free(copy);
                return shl_nomem(err);
            }
        }
        SHL_TRY(ini_next(&ini, err));
    }
out:
    return rc;
}

static shale_code profile_missing(const char *name, const struct profile_file files[2],
                                  shale_error *err)
{
    struct name_list list = {0};
    const char *near = NULL;
    shale_code rc;
    SHL_TRY(add_names(&files[0], &list, err));
    SHL_TRY(add_names(&files[1], &list, err));
    near = shl_str_suggest(shl_slice_str(name), list.names.count, name_at, &list);
    rc = shl_fail(err, SHALE_INVALID, "profile \"%s\" is neither in %s nor in %s%s%s%s", name,
                  (const char *)files[0].shown.data, (const char *)files[1].shown.data,
                  near != NULL ? ": did you mean \"" : "", near != NULL ? near : "",
                  near != NULL ? "\"?" : "");
out:
    name_list_deinit(&list);
    return rc;
}

/* ---- loading */

static shale_code describe(const char *name, const struct profile_file *files,
                           const struct profile_file *from, struct shl_aws_profile *p,
                           shale_error *err)
{
    struct shl_buf text = {0};
    shale_code rc = from != NULL ? shl_str_printf(&text, err, "profile \"%s\" in %s", name,
                                                  (const char *)from->shown.data)
                                 : shl_str_printf(&text, err, "profile \"%s\" in %s and %s", name,
                                                  (const char *)files[0].shown.data,
                                                  (const char *)files[1].shown.data);
    if (rc == SHALE_OK) {
        p->creds.origin = shl_slice_dup_cstr(shl_buf_view(&text));
        if (p->creds.origin == NULL)
            rc = shl_nomem(err);
    }
    shl_buf_free(&text);
    return rc;
}

shale_code shl_aws_profile_load(const char *name, struct shl_aws_profile *out, shale_error *err)
{
    struct profile_file files[2] = {
        {.variable = "AWS_SHARED_CREDENTIALS_FILE", .below = "~/.aws/credentials"},
        {.variable = "AWS_CONFIG_FILE", .below = "~/.aws/config", .is_config = true}};
    struct shl_aws_profile p = {0};
    const struct profile_file *from = NULL; /* the file that has the keys */
    bool is_found = false;
    name = or_null(name);
    if (name == NULL)
        name = env_text("AWS_PROFILE");
    bool is_asked = name != NULL;
    if (name == NULL)
        name = "default";

    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < SHL_COUNT_OF(files); i++) {
        bool is_here;
        SHL_TRY(file_find(&files[i], err));
        SHL_TRY(file_read(&files[i], is_asked, err));
        rc = shl_aws_profile_parse(shl_buf_view(&files[i].text), files[i].is_config, name, &p,
                                   &is_here, err);
        if (rc != SHALE_OK) {
            if (rc != SHALE_NOMEM)
                shl_err_prefix(err, "%s", (const char *)files[i].shown.data);
            goto out;
        }
        is_found = is_found || is_here;
        if (from == NULL && has_keys(&p.creds))
            from = &files[i];
    }
    if (is_asked && !is_found) {
        rc = profile_missing(name, files, err);
        goto out;
    }
    SHL_TRY(describe(name, files, from, &p, err));
    *out = p;
    p = (struct shl_aws_profile){0}; /* moved to the caller */
out:
    shl_aws_profile_deinit(&p);
    file_deinit(&files[0]);
    file_deinit(&files[1]);
    return rc;
}

/* ---- the chain */

struct source {
    const char *origin;
    const char *key_name;
    const char *secret_name;
    const char *access_key; /* borrowed; NULL: none */
    const char *secret_key;
    const char *token;
    int64_t expires_unix_ms;
};

/* Takes the keys of a source, if it has any. */
static shale_code take_source(const struct source *s, struct shl_aws_creds *out, bool *out_taken,
                              shale_error *err)
{
    struct shl_aws_creds c = {.expires_unix_ms = s->expires_unix_ms};
    bool has_key = or_null(s->access_key) != NULL;
    bool has_secret = or_null(s->secret_key) != NULL;
    shale_code rc = SHALE_OK;
    *out_taken = false;
    if (!has_key && !has_secret)
        return SHALE_OK;
    if (!has_key || !has_secret)
        return shl_fail(err, SHALE_INVALID, "AWS credentials: %s: there is %s, but no %s",
                        s->origin, has_key ? s->key_name : s->secret_name,
                        has_key ? s->secret_name : s->key_name);
    SHL_TRY(dup_text(s->access_key, &c.access_key, err));
    SHL_TRY(dup_text(s->secret_key, &c.secret_key, err));
    SHL_TRY(dup_text(s->token, &c.token, err));
    SHL_TRY(dup_text(s->origin, &c.origin, err));
    *out = c;
    c = (struct shl_aws_creds){0}; /* moved to the caller */
    *out_taken = true;
out:
    shl_aws_creds_deinit(&c);
    return rc;
}

static shale_code none_found(const struct shl_aws_profile *profile, const char *profile_origin,
                             shale_error *err)
{
    if (profile != NULL && profile->unsupported != NULL) {
        bool is_sso = shl_slice_ieq(shl_slice_of(profile->unsupported, 4), "sso_");
        return shl_fail(err, SHALE_INVALID,
                        "AWS credentials: %s: %s profile not supported (it has %s and no keys)",
                        profile_origin, is_sso ? "sso" : profile->unsupported,
                        profile->unsupported);
    }
    return shl_fail(err, SHALE_UNAUTHENTICATED,
                    "no AWS credentials: tried store options (aws_access_key_id), "
                    "environment (AWS_ACCESS_KEY_ID)%s%s",
                    profile != NULL ? ", " : "", profile != NULL ? profile_origin : "");
}

shale_code shl_aws_creds_find(const struct shl_aws_creds *given,
                              const struct shl_aws_profile *profile, struct shl_aws_creds *out,
                              shale_error *err)
{
    static const char key[] = "aws_access_key_id";
    static const char secret[] = "aws_secret_access_key";
    const struct shl_aws_creds none = {0};
    const struct shl_aws_creds *g = given != NULL ? given : &none;
    const struct shl_aws_creds *p = profile != NULL ? &profile->creds : &none;
    const char *profile_origin = p->origin != NULL ? p->origin : "profile";
    const struct source sources[] = {
        {g->origin != NULL ? g->origin : "store options", key, secret, g->access_key, g->secret_key,
         g->token, g->expires_unix_ms > 0 ? g->expires_unix_ms : INT64_MAX},
        {"environment AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
         env_getenv("AWS_ACCESS_KEY_ID"), env_getenv("AWS_SECRET_ACCESS_KEY"),
         env_getenv("AWS_SESSION_TOKEN"), INT64_MAX},
        {profile_origin, key, secret, p->access_key, p->secret_key, p->token, INT64_MAX},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(sources); i++) {
        bool is_taken;
        shale_code rc = take_source(&sources[i], out, &is_taken, err);
        if (rc != SHALE_OK || is_taken)
            return rc;
    }
    return none_found(profile, profile_origin, err);
}
