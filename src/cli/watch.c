/* What the library says while a command runs: notes, the causes of a failure, the trace. And when to give up: --timeout, Ctrl-C. */
#include "base/assert.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_BYTES (SHL_LOG_LINE_BYTES + 64)
/* Shorter ones would blot out common words. */
#define SECRET_MIN    6
#define NEWS_NS       (3 * ENV_NS_PER_SEC)
#define LIFE_AFTER_NS (ENV_NS_PER_SEC / 2)
#define LIFE_EVERY_NS (ENV_NS_PER_SEC / 10)
/* How long a bucket that does not answer may keep us after a signal to stop, while rows wait to be made durable. */
#define STOP_PATIENCE_NS (5 * ENV_NS_PER_SEC)

/* Parts of the names of store options that are secret, also of those that are mistyped. */
static const char *const secret_names[] = {"secret", "token", "passw", "customer_key"};

static bool has_word(struct shl_slice name, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= name.len; i++)
        if (shl_slice_ieq(shl_slice_of(name.data + i, n), word))
            return true;
    return false;
}

bool cli_is_secret(const char *pair)
{
    static const char file[] = "_file"; /* names one, and is no secret */
    struct shl_slice name = shl_slice_of(pair, strcspn(pair, "="));
    size_t n = strlen(file);
    if (pair[name.len] != '=' ||
        (name.len >= n && shl_slice_ieq(shl_slice_of(name.data + name.len - n, n), file)))
        return false;
    for (size_t i = 0; i < SHL_COUNT_OF(secret_names); i++)
        if (has_word(name, secret_names[i]))
            return true;
    return false;
}

/* ---- secrets */

static void keep_secret(struct cli_watch *w, const char *text)
{
    if (text == NULL || strlen(text) < SECRET_MIN || w->secret_count == CLI_SECRETS_MAX)
        return;
    for (size_t i = 0; i < w->secret_count; i++)
        if (strcmp(w->secrets[i], text) == 0)
            return;
    w->secrets[w->secret_count] = env_strdup(text);
    if (w->secrets[w->secret_count] != NULL)
        w->secret_count++;
}

/* The word `argv[*at]` is replaced by a copy of ours, and what ps sees of its value by stars. */
static void hide_word(struct cli *c, char **word)
{
    char *value = strchr(*word, '=');
    if (strncmp(*word, "--store-option=", 15) == 0)
        value = strchr(*word + 15, '=');
    char *copy = env_strdup(*word);
    if (value == NULL || copy == NULL) {
        env_free(copy);
        return;
    }
    keep_secret(c->watch, value + 1);
    memset(value + 1, '*', strlen(value + 1));
    c->watch->hidden[c->watch->hidden_count++] = copy;
    *word = copy;
}

/* A piece of a word of the command line. */
struct piece {
    const char *from;
    size_t len;
};

#define PIECES_MAX 8

/* "..:SECRET@" behind the scheme of what may be a URL, with or without its slashes. */
static size_t userinfo_in(const char *word, struct piece *out)
{
    const char *at = strrchr(word, '@');
    const char *scheme = strstr(word, "://");
    if (scheme == NULL)
        scheme = strstr(word, "s3:") != NULL ? strstr(word, "s3:") + 2 : strstr(word, "S3:");
    const char *colon = scheme != NULL ? strchr(scheme + 1 + (*scheme != ':') * 2, ':') : NULL;
    if (at == NULL || colon == NULL || colon > at)
        return 0;
    *out = (struct piece){colon + 1, (size_t)(at - colon - 1)};
    return 1;
}

/* The values of "?..&Signature=..&Token=.." */
static size_t signatures_in(const char *word, struct piece *out, size_t max)
{
    static const char *const names[] = {"sig", "token", "secret", "passw", "credential"};
    size_t count = 0;
    for (const char *p = strchr(word, '?'); p != NULL && count < max; p = strchr(p + 1, '&')) {
        const char *value = p + 1 + strcspn(p + 1, "=&");
        if (*value != '=')
            continue;
        for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
            if (has_word(shl_slice_of(p + 1, (size_t)(value - p - 1)), names[i])) {
                out[count++] = (struct piece){value + 1, strcspn(value + 1, "&#")};
                break;
            }
    }
    return count;
}

/* Secrets that some paste with a URL, though we take neither form: "s3://KEY:SECRET@bucket", and what a presigned one says behind its '?'. Copies
 * of them are kept; in `writable`, the same word or NULL, stars take their place. True if there were some. */
static bool hide_in_word(struct cli_watch *w, const char *word, char *writable)
{
    struct piece found[PIECES_MAX + 1];
    size_t count = userinfo_in(word, found);
    count += signatures_in(word, found + count, PIECES_MAX);
    for (size_t i = 0; i < count; i++) {
        char *secret = shl_slice_dup_cstr(shl_slice_of(found[i].from, found[i].len));
        keep_secret(w, secret);
        env_free(secret);
        if (writable != NULL)
            memset(writable + (found[i].from - word), '*', found[i].len);
    }
    return count > 0;
}

void cli_watch_word(struct cli *c, const char *word)
{
    if (c->watch != NULL)
        (void)hide_in_word(c->watch, word, NULL);
}

/* Our copy of an argument that is a URL takes its place, and ps sees stars. */
static void hide_url(struct cli *c, char **word)
{
    char *copy = env_strdup(*word);
    if (copy == NULL)
        return;
    if (!hide_in_word(c->watch, copy, *word)) {
        env_free(copy);
        return;
    }
    c->watch->hidden[c->watch->hidden_count++] = copy;
    *word = copy;
}

void cli_watch_hide(struct cli *c, int argc, char **argv)
{
    static const char *const prefixes[] = {"AWS_", "SHALE_AWS_", "SLATEDB_AWS_"};
    c->watch->hidden = env_calloc((size_t)argc + 1, sizeof *c->watch->hidden);
    for (int i = 1; c->watch->hidden != NULL && i < argc; i++) {
        bool behind = strcmp(argv[i - 1], "--store-option") == 0;
        bool within = strncmp(argv[i], "--store-option=", 15) == 0;
        if ((behind && cli_is_secret(argv[i])) || (within && cli_is_secret(argv[i] + 15)))
            hide_word(c, &argv[i]);
        else
            hide_url(c, &argv[i]);
    }
    for (char **e = env_environ(); e != NULL && *e != NULL; e++)
        for (size_t p = 0; p < SHL_COUNT_OF(prefixes); p++)
            if (strncmp(*e, prefixes[p], strlen(prefixes[p])) == 0 && cli_is_secret(*e))
                keep_secret(c->watch, strchr(*e, '=') + 1);
}

void cli_mask(const struct cli *c, char *text)
{
    if (c->watch == NULL)
        return;
    for (size_t i = 0; i < c->watch->secret_count; i++) {
        size_t n = strlen(c->watch->secrets[i]);
        for (char *at = strstr(text, c->watch->secrets[i]); at != NULL;
             at = strstr(at + n, c->watch->secrets[i]))
            memset(at, '*', n);
    }
}

/* ---- log lines */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A request with a status that is no success, or without an answer. */
static bool has_failed(const char *line)
{
    const char *status = strstr(line, " status=");
    return strstr(line, " failed=") != NULL ||
           (status != NULL && status[8] != '2' && status[8] != '3');
}

/* A read that found no server. Whatever else a request meets, a write may follow that is sent. */
static bool reached_nobody(const char *line)
{
    bool reads = starts(line, "request method=GET ") || starts(line, "request method=HEAD ");
    return reads && strstr(line, " failed=") != NULL &&
           (strstr(line, "cannot connect to") != NULL || strstr(line, "there is no host") != NULL);
}

static void count_request(struct cli_watch *w, const char *line)
{
    env_mutex_lock(&w->mu);
    w->requests++;
    if (!reached_nobody(line))
        w->got_through = true;
    os_stop_text(w->got_through ? w->halfway_text : w->stop_text);
    if (has_failed(line))
        (void)snprintf(w->causes[w->cause_count++ % CLI_CAUSES], sizeof w->causes[0], "%.250s",
                       line + strlen("request "));
    env_mutex_unlock(&w->mu);
}

static void trace(const struct cli_watch *w, const char *level, const char *text)
{
    char line[LINE_BYTES];
    char when[SHL_TIME_TEXT];
    int n = snprintf(line, sizeof line, "%s %s %s\n", shl_time_rfc3339(env_now_wall_ms(), when),
                     level, text);
    if (n > 0)
        (void)os_write(w->trace_fd, line, shl_min_size((size_t)n, sizeof line - 1));
}

/* "still trying: WHY (5 tries in 31 s)" in the words of a person who waits. */
static void note_waiting(struct cli *c, const char *text)
{
    cli_note(c, "shale %s: %s; still trying, Ctrl-C to stop",
             c->args.command != NULL ? c->args.command->name : "", text + strlen("still trying: "));
}

/* Several stores of one command wait for the same server: one of them says so. */
static bool is_news(struct cli_watch *w)
{
    uint64_t now = env_now_mono_ns();
    env_mutex_lock(&w->mu);
    bool news = w->waiting_ns == 0 || now - w->waiting_ns > NEWS_NS;
    if (news)
        w->waiting_ns = now;
    env_mutex_unlock(&w->mu);
    return news;
}

static void on_log(void *ctx, int level, const char *text)
{
    struct cli *c = ctx;
    static const char *const levels[] = {"error", "note", "info", "debug"};
    char line[LINE_BYTES];
    level = level < 0 ? 0 : level > 3 ? 3 : level;
    (void)snprintf(line, sizeof line, "%s", text);
    cli_mask(c, line);
    bool ready = c->watch != NULL && c->watch->ready;
    if (ready && starts(line, "request "))
        count_request(c->watch, line);
    if (ready && c->watch->trace_fd >= 0)
        trace(c->watch, levels[level], line);
    size_t verbose = cli_times(&c->args, OPT_VERBOSE);
    /* Errors come back from the call that met them, too. */
    if ((size_t)level > 1 + verbose || (level == 0 && verbose == 0))
        return;
    if (starts(line, "still trying: ")) {
        if (!ready || is_news(c->watch))
            note_waiting(c, line);
    } else
        cli_note(c, "%s: %s", levels[level], line);
}

uint64_t cli_requests(struct cli *c)
{
    if (c->watch == NULL || !c->watch->ready)
        return 0;
    env_mutex_lock(&c->watch->mu);
    uint64_t n = c->watch->requests;
    env_mutex_unlock(&c->watch->mu);
    return n;
}

bool cli_got_through(struct cli *c)
{
    if (c->watch == NULL || !c->watch->ready)
        return false;
    env_mutex_lock(&c->watch->mu);
    bool through = c->watch->got_through;
    env_mutex_unlock(&c->watch->mu);
    return through;
}

/* ---- a sign of life while a store is waited for */

/* "s3://acme" of a URL that is not on this machine; "" else. */
static const char *store_of(const struct cli *c, char *dst, size_t cap)
{
    *dst = '\0';
    for (size_t i = 0; i < c->args.positional_count && *dst == '\0'; i++) {
        const char *url = c->args.positional[i];
        const char *host = strstr(url, "://");
        if (host != NULL && strncmp(url, "file:", 5) != 0 && strncmp(url, "memory:", 7) != 0)
            (void)snprintf(dst, cap, "%.*s",
                           (int)(host + 3 - url + (ptrdiff_t)strcspn(host + 3, "/?#")), url);
    }
    return dst;
}

static void show_life(void *arg)
{
    struct cli *c = arg;
    struct cli_watch *w = c->watch;
    char store[100];
    char text[200];
    char shown[300];
    char line[320];
    (void)store_of(c, store, sizeof store);
    env_mutex_lock(&w->mu);
    while (!w->over) {
        uint64_t n = w->requests;
        env_mutex_unlock(&w->mu);
        uint64_t quiet_ns = os_life_quiet_ns();
        if (quiet_ns >= LIFE_AFTER_NS) {
            (void)snprintf(text, sizeof text, "waiting for %s: %" PRIu64 " request%s, %.1f s",
                           store, n, n == 1 ? "" : "s", (double)quiet_ns / 1e9);
            cli_mask(c, text);
            (void)snprintf(line, sizeof line, "\r%.*s\033[K", (int)os_columns() - 1,
                           out_shown(shown, sizeof shown, text));
            os_life_draw(line);
        }
        env_mutex_lock(&w->mu);
        if (!w->over)
            (void)env_cond_wait_until(&w->ended, &w->mu, env_now_mono_ns() + LIFE_EVERY_NS);
    }
    env_mutex_unlock(&w->mu);
}

static void life_begin(struct cli *c)
{
    char store[100];
    struct cli_watch *w = c->watch;
    if (!cli_progress_redraws(c) || store_of(c, store, sizeof store)[0] == '\0')
        return;
    os_life_begin();
    if (env_task_spawn(&w->life, "life", show_life, c) != SHALE_OK)
        w->life = NULL;
}

static void life_end(struct cli_watch *w)
{
    env_mutex_lock(&w->mu);
    w->over = true;
    env_cond_signal(&w->ended);
    env_mutex_unlock(&w->mu);
    if (w->life != NULL)
        env_task_join(w->life);
    os_life_end();
    env_cond_deinit(&w->ended);
}

/* ---- giving up */

static bool on_cancel(void *ctx)
{
    struct cli *c = ctx;
    struct cli_watch *w = c->watch;
    if (os_timed_out())
        return true;
    if (os_stop_code() == 0)
        return false;
    if (w == NULL || !w->unsaved)
        return true;
    uint64_t now = env_now_mono_ns();
    env_mutex_lock(&w->mu);
    if (w->stop_seen_ns == 0)
        w->stop_seen_ns = now;
    bool enough = now - w->stop_seen_ns >= STOP_PATIENCE_NS;
    env_mutex_unlock(&w->mu);
    return enough;
}

void cli_watch_line(struct cli *c, bool runs, bool writes)
{
    struct cli_watch *w = c->watch;
    if (w == NULL || !w->ready)
        return;
    env_mutex_lock(&w->mu);
    w->unsaved = !runs || writes;
    w->stop_seen_ns = 0;
    w->requests = 0;
    w->cause_count = 0;
    env_mutex_unlock(&w->mu);
}

bool cli_out_of_time(struct cli *c)
{
    if (!os_timed_out())
        return false;
    (void)shl_fail(&c->err, SHALE_TIMEOUT, "the command was not done");
    return true;
}

void cli_watch_options(struct cli *c, shale_options *options)
{
    /* All levels: requests are counted, so that exit code 2 can promise that none was sent. */
    shale_options_set_log(options, on_log, 3, c);
    shale_options_set_cancel(options, on_cancel, c);
}

void cli_watch_clock(struct cli *c)
{
    struct cli_watch *w = c->watch;
    const char *after = c->args.value[OPT_TIMEOUT];
    const char *name = c->args.command->name;
    uint64_t ns = c->args.number[OPT_TIMEOUT];
    if (cli_has(&c->args, OPT_JSON))
        (void)snprintf(
            w->deadline_text, sizeof w->deadline_text,
            "{\"error\":{\"code\":\"TIMEOUT\",\"what\":\"gave up after %s "
            "(--timeout)\",\"where\":\"\",\"why\":\"\",\"try\":[],\"retry\":\"later\"}}\n",
            after);
    else
        (void)snprintf(w->deadline_text, sizeof w->deadline_text,
                       "shale %s: gave up after %s (--timeout)\n", name, after);
    os_deadline(ns, w->deadline_text, CLI_FAILED);
}

bool cli_watch_begin(struct cli *c)
{
    struct cli_watch *w = c->watch;
    SHL_ASSERT(w != NULL);
    const char *path = c->args.value[OPT_TRACE];
    env_mutex_init(&w->mu);
    w->ready = true;
    w->trace_fd = -1;
    int failed = path != NULL ? os_open_private(&w->trace_fd, path, true) : 0;
    if (failed != 0) {
        (void)cli_usage(c, NULL, "--trace %s cannot be written: %s", path, strerror(failed));
        return false;
    }
    if (!cli_has(&c->args, OPT_JSON))
        (void)snprintf(w->stop_text, sizeof w->stop_text, "shale %s: stopped%s\n",
                       c->args.command->name,
                       c->args.command->effect == CLI_WRITES ? ": nothing was written" : "");
    if (!cli_has(&c->args, OPT_JSON) && c->args.command->effect == CLI_WRITES)
        (void)snprintf(
            w->halfway_text, sizeof w->halfway_text,
            "shale %s: stopped halfway: what it was about to write may or may not be there\n",
            c->args.command->name);
    if (cli_has(&c->args, OPT_TIMEOUT))
        cli_watch_clock(c);
    w->begun = true;
    env_cond_init(&w->ended);
    if (c->args.command->effect != CLI_LOCAL)
        life_begin(c);
    return true;
}

void cli_watch_end(struct cli *c)
{
    struct cli_watch *w = c->watch;
    if (w->ready && w->begun)
        life_end(w);
    if (w->ready && w->trace_fd >= 0)
        os_close(w->trace_fd);
    if (w->ready)
        env_mutex_deinit(&w->mu);
    for (size_t i = 0; i < w->secret_count; i++) {
        memset(w->secrets[i], 0, strlen(w->secrets[i]));
        env_free(w->secrets[i]);
    }
    for (size_t i = 0; i < w->hidden_count; i++)
        env_free(w->hidden[i]);
    env_free(w->hidden);
}
