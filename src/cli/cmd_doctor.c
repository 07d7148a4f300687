/* doctor and store doctor: a line a check, what was measured, what to do. */
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/optable.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define FILES_WANTED 1024

struct doctor {
    struct cli *c;
    struct out *bundle; /* owned; NULL: none was asked for */
    unsigned counts[3]; /* by health */
    bool first;         /* no JSON line yet */
};

/* ---- one finding */

static void text_line(struct out *o, const shale_finding *f, size_t columns)
{
    static const char *const levels[] = {"ok", "warn", "FAIL"};
    char shown[1000]; /* a server's words, too */
    char line[2200];
    size_t at = (size_t)snprintf(line, sizeof line, "%-4s  %-17s  %s", levels[f->health], f->what,
                                 out_shown(shown, sizeof shown, f->measured));
    if (f->fix[0] != '\0')
        at += (size_t)snprintf(line + at, sizeof line - at, "  -> %s",
                               out_shown(shown, sizeof shown, f->fix));
    if (f->ms >= 0.05)
        (void)snprintf(line + at, sizeof line - at, "  %.*f ms", f->ms < 10 ? 1 : 0, f->ms);
    out_folded(o, line, columns, 25);
}

static void json_line(struct doctor *d, const shale_finding *f)
{
    static const char *const levels[] = {"ok", "warn", "fail"};
    struct out *o = d->c->out;
    out_text(o, d->first ? "\n{" : ",\n{");
    d->first = false;
    out_json_member(o, "level", shl_slice_str(levels[f->health]));
    out_char(o, ',');
    out_json_member(o, "what", shl_slice_str(f->what));
    out_char(o, ',');
    out_json_member(o, "measured", shl_slice_str(f->measured));
    out_char(o, ',');
    out_json_member(o, "fix", shl_slice_str(f->fix));
    out_printf(o, ",\"ms\":%.3f}", f->ms);
}

static bool on_finding(void *ctx, const shale_finding *found)
{
    struct doctor *d = ctx;
    shale_finding f = *found;
    char measured[400];
    (void)snprintf(measured, sizeof measured, "%s", f.measured);
    cli_mask(d->c, measured);
    f.measured = measured;
    d->counts[f.health]++;
    if (cli_has(&d->c->args, OPT_JSON))
        json_line(d, &f);
    else
        text_line(d->c->out, &f, cli_to_terminal(d->c) ? os_columns() : 0);
    if (d->bundle != NULL)
        text_line(d->bundle, &f, 0);
    (void)out_finish(d->c->out); /* whoever waits sees where it stands */
    return os_stop_code() == 0 && !os_timed_out() && d->c->out->failed == 0;
}

static void say(struct doctor *d, shale_health health, const char *what, const char *fix,
                const char *format, ...) SHL_PRINTF(5, 6);
static void say(struct doctor *d, shale_health health, const char *what, const char *fix,
                const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const shale_finding f = {.health = health, .what = what, .measured = text, .fix = fix};
    (void)on_finding(d, &f);
}

/* ---- this machine */

struct libraries {
    char codecs[200];
    char others[300];
    bool no_curl; /* it cannot be loaded */
};

static void on_library(void *ctx, const char *name, const char *version)
{
    struct libraries *l = ctx;
    bool codec = strncmp(name, "codec ", 6) == 0;
    char *dst = codec ? l->codecs : l->others;
    size_t cap = codec ? sizeof l->codecs : sizeof l->others;
    size_t n = strlen(dst);
    bool plain = strncmp(version, name, strlen(name)) == 0; /* "libcurl/7.88.1 OpenSSL/3.0" */
    l->no_curl =
        l->no_curl || (strcmp(name, "libcurl") == 0 && strncmp(version, "libcurl/", 8) != 0);
    (void)snprintf(dst + n, cap - n, "%s%s%s%s", n > 0 ? ", " : "",
                   plain ? "" : name + (codec ? 6 : 0), plain ? "" : " ", version);
}

static void check_program(struct doctor *d)
{
    struct libraries l = {.no_curl = false};
    struct cli_price price;
    shale_libraries_each(on_library, &l);
    say(d, SHALE_HEALTH_OK, "version", "", "shale %s", shale_version());
    say(d, l.no_curl ? SHALE_HEALTH_WARN : SHALE_HEALTH_OK, "libraries",
        l.no_curl ? "install libcurl4, if you use buckets" : "", "%s", l.others);
    say(d, SHALE_HEALTH_OK, "codecs", "", "%s", l.codecs);
    uint64_t files = os_file_limit();
    bool few = files != 0 && files < FILES_WANTED;
    say(d, few ? SHALE_HEALTH_WARN : SHALE_HEALTH_OK, "open files", few ? "ulimit -n 4096" : "",
        "at most %" PRIu64, files);
    if (d->c->options != NULL && cli_price_for(d->c, NULL, &price))
        say(d, SHALE_HEALTH_OK, "prices", "", "of %s", price.date);
}

static bool holds_secret(struct cli *c, const char *path)
{
    struct shl_buf text = {0};
    shale_error err;
    bool found = cli_read_file(c, path, &text) && shl_str_terminate(&text, &err) == SHALE_OK &&
                 (strstr((char *)text.data, "secret_access_key") != NULL ||
                  strstr((char *)text.data, "session_token") != NULL);
    if (text.data != NULL)
        memset(text.data, 0, text.len);
    shl_buf_free(&text);
    return found;
}

static void check_files(struct doctor *d)
{
    char path[1024];
    struct env_stat st;
    bool asked;
    unsigned there = 0;
    for (size_t i = 0; cli_settings_file(d->c, i, path, sizeof path, &asked); i++) {
        if (env_stat(path, &st) != 0)
            continue;
        there++;
        bool open = (st.mode & 077) != 0 && holds_secret(d->c, path);
        say(d, open ? SHALE_HEALTH_WARN : SHALE_HEALTH_OK, "settings file",
            open ? "it holds a secret and others may read it: chmod 600" : "", "%s", path);
    }
    if (there == 0)
        say(d, SHALE_HEALTH_OK, "settings file", "", "none (shale config path)");
    if (d->c->broken[0] != '\0')
        say(d, SHALE_HEALTH_FAIL, "settings", "correct that file; other commands stop at it", "%s",
            d->c->broken);
}

/* A variable's name behind its prefix: is it an option? */
struct lookup {
    struct shl_slice name;
    bool known;
};

static bool on_known(void *ctx, const shale_option_info *info)
{
    struct lookup *l = ctx;
    l->known = l->known || shl_opt_is_variable(info->name, l->name);
    return !l->known;
}

static bool is_option(const shale_options *options, const char *name, size_t len)
{
    struct lookup l = {.name = shl_slice_of(name, len)};
    shale_error ignored;
    shale_options_each(options, on_known, &l);
    if (!l.known)
        shl_ignore(shale_options_each_store(options, NULL, on_known, &l, &ignored));
    if (!l.known)
        shl_ignore(shale_options_each_store(options, "file:///", on_known, &l, &ignored));
    return l.known;
}

static void check_variables(struct doctor *d)
{
    static const char *const prefixes[] = {"SHALE_", "SLATEDB_"};
    shale_options *defaults = shale_options_new();
    unsigned unknown = 0;
    for (char **e = env_environ(); defaults != NULL && e != NULL && *e != NULL; e++) {
        size_t len = strcspn(*e, "=");
        for (size_t p = 0; p < SHL_COUNT_OF(prefixes); p++) {
            size_t n = strlen(prefixes[p]);
            if (strncmp(*e, prefixes[p], n) != 0 || is_option(defaults, *e + n, len - n))
                continue;
            unknown++;
            say(d, SHALE_HEALTH_WARN, "variable", "no setting has this name: shale help settings",
                "%.*s is ignored", (int)len, *e);
        }
    }
    if (unknown == 0)
        say(d, SHALE_HEALTH_OK, "variables", "", "no unknown SHALE_ or SLATEDB_ name");
    shale_options_free(defaults);
}

/* The store was not reached, and the message says that it is the fault of this variable. */
static bool is_blamed(const struct doctor *d, const char *variable)
{
    char mark[40];
    (void)snprintf(mark, sizeof mark, " (%s): ", variable);
    const char *proxy = strstr(d->c->err.text, " proxy ");
    return d->c->err.code != SHALE_OK && proxy != NULL && strstr(proxy, mark) != NULL;
}

static void check_proxy(struct doctor *d)
{
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
                                        "ALL_PROXY",   "all_proxy",   "NO_PROXY",   "no_proxy"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++) {
        const char *value = env_getenv(names[i]);
        const char *at = value != NULL ? strrchr(value, '@') : NULL;
        bool failed = is_blamed(d, names[i]);
        if (value != NULL && value[0] != '\0')
            say(d, failed ? SHALE_HEALTH_FAIL : SHALE_HEALTH_OK, "proxy",
                failed ? "correct it, or name the store's host in NO_PROXY" : "", "%s=%s%s",
                names[i], at != NULL ? "***" : "", at != NULL ? at : value);
    }
}

/* ---- credentials, region, endpoint */

struct s3_options {
    char key[200], secret[120], region[120], endpoint[200];
};

static bool on_s3_option(void *ctx, const shale_option_info *info)
{
    struct s3_options *s = ctx;
    bool unset = strcmp(info->value, "none") == 0;
    if (unset)
        return true;
    if (strcmp(info->name, "aws_access_key_id") == 0)
        (void)snprintf(s->key, sizeof s->key, "%.60s (%.120s)", info->value, info->origin);
    else if (strcmp(info->name, "aws_secret_access_key") == 0)
        (void)snprintf(s->secret, sizeof s->secret, "%s", info->value);
    else if (strcmp(info->name, "aws_region") == 0)
        (void)snprintf(s->region, sizeof s->region, "%.50s (%.60s)", info->value, info->origin);
    else if (strcmp(info->name, "aws_endpoint") == 0)
        (void)snprintf(s->endpoint, sizeof s->endpoint, "%.120s (%.60s)", info->value,
                       info->origin);
    return true;
}

static bool is_s3(const char *url)
{
    return url == NULL || strncmp(url, "s3:", 3) == 0 || strncmp(url, "s3a:", 4) == 0 ||
           strncmp(url, "https:", 6) == 0;
}

/* Without a DB missing credentials are no fault: it may be a folder that is used. */
static void check_credentials(struct doctor *d, const char *url)
{
    struct s3_options s = {{0}, {0}, {0}, {0}};
    shale_error err = {0};
    if (!is_s3(url))
        return;
    if (shale_options_each_store(d->c->options, url, on_s3_option, &s, &err) != SHALE_OK) {
        bool endpoint = strstr(err.text, "aws_endpoint") != NULL; /* wrong, not missing */
        say(d, url != NULL || endpoint ? SHALE_HEALTH_FAIL : SHALE_HEALTH_WARN,
            endpoint ? "endpoint" : "credentials", "shale help credentials", "%s", err.text);
        return;
    }
    if (s.key[0] != '\0')
        say(d, SHALE_HEALTH_OK, "credentials", "", "%s, secret %s", s.key, s.secret);
    else
        say(d, url != NULL ? SHALE_HEALTH_WARN : SHALE_HEALTH_OK, "credentials",
            url != NULL ? "shale help credentials" : "", "none for S3");
    say(d, SHALE_HEALTH_OK, "region", "", "%s",
        s.region[0] != '\0' ? s.region : "us-east-1 (default)");
    if (s.endpoint[0] != '\0')
        say(d, SHALE_HEALTH_OK, "endpoint", "", "%s", s.endpoint);
}

static void check_machine(struct doctor *d, const char *url)
{
    check_program(d);
    check_files(d);
    check_variables(d);
    check_credentials(d, url);
}

/* ---- the store */

static int check_store(struct doctor *d, const char *url, shale_store_counts *counts)
{
    struct cli *c = d->c;
    shale_store *store = NULL;
    int code = CLI_YES;
    shale_code rc = shale_store_open(&store, url, c->options, &c->err);
    if (rc == SHALE_OK)
        rc = shale_store_doctor(store, on_finding, d, &c->err);
    if (store != NULL)
        shale_store_counts_get(store, counts);
    shale_store_close(store);
    if (rc != SHALE_OK) {
        say(d, SHALE_HEALTH_FAIL, "store", "", "%s", c->err.text);
        c->told = true;
        code = cli_fail(c, url);
    }
    return code;
}

static void tell_price(struct doctor *d, const char *url, const shale_store_counts *n)
{
    struct cli_price price;
    char text[CLI_PRICE_TEXT];
    if (n->put + n->get + n->list == 0 || !cli_price_for(d->c, url, &price))
        return;
    say(d, SHALE_HEALTH_OK, "price", "",
        "%" PRIu64 " PUT, %" PRIu64 " LIST, %" PRIu64 " GET, %" PRIu64 " DELETE, %s",
        n->put + n->copy, n->list, n->get + n->head, n->del,
        cli_price_text(&price, cli_price_requests(&price, n), "", text));
}

/* ---- the report for an issue */

static bool on_changed(void *ctx, const shale_option_info *info)
{
    struct out *o = ctx;
    if (strcmp(info->origin, "default") != 0)
        out_printf(o, "%s = %s  (%s)\n", info->name, info->value, info->origin);
    return true;
}

static bool open_bundle(struct doctor *d)
{
    const char *path = d->c->args.value[OPT_BUNDLE];
    char when[SHL_TIME_TEXT];
    int fd = -1;
    if (path == NULL)
        return true;
    int failed = os_open_private(&fd, path, true);
    if (failed != 0) {
        (void)cli_usage(d->c, NULL, "--bundle %s cannot be written: %s", path, strerror(failed));
        return false;
    }
    d->bundle = out_new(fd);
    if (d->bundle == NULL) {
        os_close(fd);
        (void)cli_trouble(d->c, "out of memory");
        return false;
    }
    out_printf(d->bundle, "shale %s, %s\n\nChecks\n", shale_version(),
               shl_time_rfc3339(env_now_wall_ms(), when));
    return true;
}

static int close_bundle(struct doctor *d, const char *url, int code)
{
    static const char *const prefixes[] = {"SHALE_", "SLATEDB_", "AWS_"};
    struct out *o = d->bundle;
    shale_error ignored;
    if (o == NULL)
        return code;
    out_text(o, "\nSettings and store options that are not the default\n");
    if (d->c->options != NULL) {
        shale_options_each(d->c->options, on_changed, o);
        shl_ignore(shale_options_each_store(d->c->options, url, on_changed, o, &ignored));
    }
    out_text(o, "\nVariables that are set (names only)\n");
    for (char **e = env_environ(); e != NULL && *e != NULL; e++)
        for (size_t p = 0; p < SHL_COUNT_OF(prefixes); p++)
            if (strncmp(*e, prefixes[p], strlen(prefixes[p])) == 0)
                out_printf(o, "%.*s\n", (int)strcspn(*e, "="), *e);
    out_text(o, "\nRequests that failed\n");
    size_t n = d->c->watch->cause_count;
    for (size_t i = n > CLI_CAUSES ? n - CLI_CAUSES : 0; i < n; i++)
        out_printf(o, "%s\n", d->c->watch->causes[i % CLI_CAUSES]);
    int failed = out_finish(o);
    os_close(o->fd);
    out_free(o);
    if (failed != 0)
        return cli_trouble(d->c, "--bundle %s cannot be written: %s", d->c->args.value[OPT_BUNDLE],
                           strerror(failed));
    cli_note(d->c, "wrote %s: read it before you send it", d->c->args.value[OPT_BUNDLE]);
    return code;
}

/* ---- the commands */

static void end_json(struct doctor *d, const shale_store_counts *n)
{
    out_printf(d->c->out,
               "],\n\"ok\":%u,\"warn\":%u,\"fail\":%u,\"requests\":{\"put\":%" PRIu64
               ",\"list\":%" PRIu64 ",\"get\":%" PRIu64 ",\"delete\":%" PRIu64 "}}\n",
               d->counts[0], d->counts[1], d->counts[2], n->put + n->copy, n->list,
               n->get + n->head, n->del);
}

/* url NULL: only the machine. */
static int run_doctor(struct cli *c, const char *url, bool machine)
{
    struct doctor d = {.c = c, .first = true};
    shale_store_counts n = {.struct_size = sizeof n};
    bool json = cli_has(&c->args, OPT_JSON);
    int code = CLI_YES;
    c->shows_settings = machine;
    if (!cli_options(c) || !open_bundle(&d))
        return CLI_USAGE;
    os_signals(OS_STOP_SAFELY); /* temporary objects are removed first */
    out_text(c->out, json ? "{\"checks\":[" : "");
    if (machine)
        check_machine(&d, url);
    if (url != NULL)
        code = check_store(&d, url, &n);
    if (machine)
        check_proxy(&d); /* once it is known whether it lets us through */
    if (url != NULL)
        tell_price(&d, url, &n);
    if (json)
        end_json(&d, &n);
    if (code == CLI_YES && os_stop_code() != 0)
        code = os_stop_code();
    if (code == CLI_YES && d.counts[SHALE_HEALTH_FAIL] > 0)
        code = CLI_NO;
    (void)out_finish(c->out);
    return close_bundle(&d, url, code);
}

int cmd_doctor(struct cli *c)
{
    return run_doctor(c, c->args.positional_count > 0 ? c->args.positional[0] : NULL, true);
}

int cmd_store_doctor(struct cli *c)
{
    return run_doctor(c, c->args.positional[0], false);
}
