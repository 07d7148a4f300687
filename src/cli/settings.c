/* Settings in their order, the weakest first: files, the environment, the command line. Each remembers where it came from. */
#include "base/codec/settings_file.h"
#include "base/env/env.h"
#include "base/err.h"
#include "base/num.h"
#include "base/units.h"
#include "cli/cmd.h"

#include <stdio.h>

/* ---- files */

#define SYSTEM_FILE "/etc/shale/config.toml"

static void user_file(char *path, size_t cap)
{
    const char *home = env_getenv("HOME");
    const char *config = env_getenv("XDG_CONFIG_HOME");
    if (config != NULL && config[0] == '/')
        (void)snprintf(path, cap, "%s/shale/config.toml", config);
    else
        (void)snprintf(path, cap, "%s/.config/shale/config.toml", home != NULL ? home : "");
}

/* SlateDB looks for its files in the working directory. */
static const char *const here[] = {"SlateDb.json", "SlateDb.toml", "SlateDb.yaml", "SlateDb.yml"};

bool cli_settings_file(const struct cli *c, size_t index, char *path, size_t cap, bool *asked)
{
    *asked = true;
    for (size_t i = c->args.given_count; i-- > 0;) {
        if (c->args.given[i].id != OPT_SETTINGS || index-- > 0)
            continue;
        (void)snprintf(path, cap, "%s", c->args.given[i].value);
        return true;
    }
    *asked = false;
    if (index < SHL_COUNT_OF(here))
        (void)snprintf(path, cap, "%s", here[SHL_COUNT_OF(here) - 1 - index]);
    else if (index == SHL_COUNT_OF(here))
        user_file(path, cap);
    else
        (void)snprintf(path, cap, "%s", SYSTEM_FILE);
    return index <= SHL_COUNT_OF(here) + 1;
}

/* A file that was not asked for may be missing. */
static bool load_file(struct cli *c, const char *path, bool asked)
{
    struct env_stat st;
    enum shl_settings_format ignored;
    if (!asked && env_stat(path, &st) != 0)
        return true;
    if (asked && !shl_settings_format_of(path, &ignored)) {
        (void)cli_usage(c, "shale help settings",
                        "--settings %s: the name must end in .json, .toml, .yaml or .yml", path);
        return false;
    }
    if (shale_options_load_file(c->options, path, &c->err) == SHALE_OK)
        return true;
    if (asked)
        c->err.code = SHALE_INVALID; /* a missing file is a mistake on the command line as well */
    if (!asked && c->shows_settings) {
        if (c->broken[0] == '\0')
            (void)snprintf(c->broken, sizeof c->broken, "%s", c->err.text);
        c->err = (shale_error){0};
        return true;
    }
    (void)cli_fail(c, path);
    return false;
}

static bool load_files(struct cli *c)
{
    char path[1024];
    bool asked;
    size_t count = 0;
    while (cli_settings_file(c, count, path, sizeof path, &asked))
        count++;
    for (size_t i = count; i-- > 0;)
        if (cli_settings_file(c, i, path, sizeof path, &asked) && !load_file(c, path, asked))
            return false;
    return true;
}

/* ---- profiles */

static bool set_store(struct cli *c, const char *key, const char *value, const char *origin)
{
    shale_options_set_origin(c->options, origin);
    if (shale_options_set_store(c->options, key, value, &c->err) == SHALE_OK)
        return true;
    (void)cli_fail(c, NULL);
    return false;
}

/* The groups [profile.NAME] of the files that were read, as text. */
struct groups {
    char text[120];
    size_t len;
};

static shale_code on_setting(void *ctx, const struct shl_setting *setting, shale_error *err)
{
    static const char mark[] = "profile.";
    struct groups *g = ctx;
    char group[120];
    size_t n = sizeof mark - 1;
    (void)err;
    if (setting->name.len <= n || memcmp(setting->name.data, mark, n) != 0)
        return SHALE_OK;
    const uint8_t *dot = memchr(setting->name.data + n, '.', setting->name.len - n);
    if (dot == NULL)
        return SHALE_OK;
    int len = snprintf(group, sizeof group, " [%.*s]", (int)(dot - setting->name.data),
                       (const char *)setting->name.data);
    if (strstr(g->text, group) == NULL && len > 0 && g->len + (size_t)len < sizeof g->text) {
        memcpy(g->text + g->len, group, (size_t)len + 1);
        g->len += (size_t)len;
    }
    return SHALE_OK;
}

static void find_groups(struct cli *c, struct groups *out)
{
    char path[1024];
    struct env_stat st;
    bool asked;
    *out = (struct groups){.len = 0};
    for (size_t i = 0; cli_settings_file(c, i, path, sizeof path, &asked); i++) {
        struct shl_buf text = {0};
        enum shl_settings_format format;
        shale_error ignored;
        if (env_stat(path, &st) == 0 && st.is_file && shl_settings_format_of(path, &format) &&
            cli_read_file(c, path, &text))
            shl_ignore(shl_settings_read(format, shl_buf_view(&text), on_setting, out, &ignored));
        if (text.data != NULL)
            memset(text.data, 0, text.len); /* it may hold secrets */
        shl_buf_free(&text);
    }
}

static bool on_store_option(void *ctx, const shale_option_info *info)
{
    (void)ctx;
    (void)info;
    return true;
}

/* A name that no settings file has is one of AWS's: there it must be, whatever store is asked, since a misspelt one would go unseen at a folder. */
static bool take_aws_profile(struct cli *c, const char *name)
{
    struct groups groups;
    if (!set_store(c, "aws_profile", name, "--profile"))
        return false;
    shale_code rc = shale_options_each_store(c->options, NULL, on_store_option, NULL, &c->err);
    if (rc == SHALE_OK || strstr(c->err.text, " is neither in ") == NULL) {
        c->err = (shale_error){0};
        return true;
    }
    find_groups(c, &groups);
    char text[sizeof c->err.text];
    (void)snprintf(text, sizeof text, "%s", c->err.text);
    (void)snprintf(c->err.text, sizeof c->err.text, "%.*s; settings files that are read have %s%s",
                   (int)(sizeof text - 200), text,
                   groups.len > 0 ? "the groups" : "no [profile.NAME]", groups.text);
    (void)cli_fail(c, NULL);
    return false;
}

/* ---- the command line */

static bool set_pair(struct cli *c, const struct cli_given *g)
{
    const char *equals = strchr(g->value, '=');
    const char *option = cli_option_at(g->id)->name;
    char name[160];
    if (equals == NULL || equals == g->value || (size_t)(equals - g->value) >= sizeof name) {
        (void)cli_usage(c, NULL, "--%s %s: write it as %s", option, g->value,
                        cli_option_at(g->id)->metavar);
        return false;
    }
    memcpy(name, g->value, (size_t)(equals - g->value));
    name[equals - g->value] = '\0';
    if (g->id == OPT_STORE_OPTION)
        return set_store(c, name, equals + 1, "--store-option");
    shale_options_set_origin(c->options, "--set");
    if (shale_options_set(c->options, name, equals + 1, &c->err) == SHALE_OK)
        return true;
    (void)cli_fail(c, NULL);
    return false;
}

/* Nothing leaves this machine there, so that a plain http endpoint needs no second word. */
static bool is_loopback(const char *url)
{
    static const char scheme[] = "http://";
    static const char *const hosts[] = {"localhost", "[::1]"};
    if (strncasecmp(url, scheme, strlen(scheme)) != 0)
        return false;
    const char *host = url + strlen(scheme);
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    for (size_t i = 0; i < SHL_COUNT_OF(hosts); i++)
        if (n == strlen(hosts[i]) && strncasecmp(host, hosts[i], n) == 0)
            return true;
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}

static bool set_flag(struct cli *c, const struct cli_given *g)
{
    static const struct {
        enum cli_option_id id;
        bool of_store;
        const char *name;
    } flags[] = {{OPT_ROOT, false, "root"},
                 {OPT_WAL_URL, false, "wal_url"},
                 {OPT_MERGE, false, "merge_operator"},
                 {OPT_SEGMENTS, false, "segment_extractor"},
                 {OPT_BLOOM_PREFIX, false, "bloom_prefix"},
                 {OPT_TRANSFORMER, false, "transformer"},
                 {OPT_REGION, true, "aws_region"},
                 {OPT_ENDPOINT, true, "aws_endpoint"}};
    char origin[40];
    (void)snprintf(origin, sizeof origin, "--%s", cli_option_at(g->id)->name);
    for (size_t k = 0; k < SHL_COUNT_OF(flags); k++) {
        if (flags[k].id != g->id)
            continue;
        if (flags[k].of_store)
            return set_store(c, flags[k].name, g->value, origin);
        shale_options_set_origin(c->options, origin);
        if (shale_options_set(c->options, flags[k].name, g->value, &c->err) == SHALE_OK)
            return true;
        (void)cli_fail(c, NULL);
        return false;
    }
    return true;
}

/* A request that has begun must not outlast the command. */
static bool bound_requests(struct cli *c)
{
    static const struct {
        const char *name;
        uint64_t default_ns;
    } limits[] = {{"connect_timeout", 5 * ENV_NS_PER_SEC},
                  {"first_byte_timeout", 30 * ENV_NS_PER_SEC},
                  {"read_timeout", 20 * ENV_NS_PER_SEC},
                  {"timeout", 30 * ENV_NS_PER_SEC}};
    char text[SHL_UNITS_TEXT];
    uint64_t ns = cli_number(&c->args, OPT_TIMEOUT, UINT64_MAX);
    for (size_t i = 0; i < SHL_COUNT_OF(limits); i++)
        if (ns < limits[i].default_ns &&
            !set_store(c, limits[i].name, shl_format_duration(ns, text), "--timeout"))
            return false;
    return true;
}

/* In the order given: the later wins. */
static bool apply_command_line(struct cli *c)
{
    const char *endpoint = c->args.value[OPT_ENDPOINT];
    if (!bound_requests(c))
        return false;
    if (endpoint != NULL && is_loopback(endpoint) &&
        !set_store(c, "aws_allow_http", "true", "--endpoint"))
        return false;
    for (size_t i = 0; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        bool fine = g->id == OPT_SET || g->id == OPT_STORE_OPTION ? set_pair(c, g) : set_flag(c, g);
        if (!fine)
            return false;
    }
    shale_options_set_origin(c->options, NULL);
    return true;
}

bool cli_options(struct cli *c)
{
    const char *profile = c->args.value[OPT_PROFILE];
    shale_options_free(c->options); /* a command may look first, and then work */
    c->options = shale_options_new();
    if (c->options == NULL) {
        (void)cli_trouble(c, "out of memory");
        return false;
    }
    cli_watch_options(c, c->options);
    if (profile != NULL && shale_options_use_profile(c->options, profile, &c->err) != SHALE_OK) {
        (void)cli_fail(c, NULL);
        return false;
    }
    if (!load_files(c))
        return false;
    if (shale_options_load_env(c->options, &c->err) != SHALE_OK) {
        (void)cli_fail(c, NULL);
        return false;
    }
    if (profile != NULL && !shale_options_profile_found(c->options) &&
        !take_aws_profile(c, profile))
        return false;
    return apply_command_line(c);
}
