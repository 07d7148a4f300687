/* Messages: what, where, why on the first line, then what to do. Ways out: ways.c. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/err.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/session.h"
#include "cli/ways.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static bool wants_json(const struct cli *c)
{
    return cli_has(&c->args, OPT_JSON);
}

bool cli_colour(const struct cli *c, int fd)
{
    const char *when = c->args.value[OPT_COLOR];
    const char *forced = env_getenv("CLICOLOR_FORCE");
    const char *no_color = env_getenv("NO_COLOR");
    const char *term = env_getenv("TERM");
    if (cli_has(&c->args, OPT_NO_COLOR) || (when != NULL && strcmp(when, "never") == 0))
        return false;
    if ((when != NULL && strcmp(when, "always") == 0) ||
        (forced != NULL && forced[0] != '\0' && forced[0] != '0'))
        return true;
    return (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
           os_is_terminal(fd);
}

static void say(const char *text)
{
    (void)os_write(CLI_STDERR, text, strlen(text));
}

/* An error with what belongs to it, ready to be shown. */
struct report {
    const char *code;
    const char *text;
    const char *where;
    const char *retry;
    const char *facts;
    char tries[2][700]; /* "" if there is none; a tab before the remark */
};

static size_t before_tab(const char *text)
{
    return strcspn(text, "\t");
}

/* Of "(request 4TW9)" in the text. */
static struct shl_slice request_id(const char *text)
{
    const char *at = strstr(text, "(request ");
    return at == NULL ? shl_slice_of("", 0) : shl_slice_of(at + 9, strcspn(at + 9, ")"));
}

/* One JSON line: text split at the first ": " into what and why. */
static void say_json(const struct report *r)
{
    struct out *o = out_new(CLI_STDERR);
    if (o == NULL)
        return;
    const char *colon = strstr(r->text, ": ");
    size_t what = colon != NULL ? (size_t)(colon - r->text) : strlen(r->text);
    struct shl_slice id = request_id(r->text);
    out_text(o, "{\"error\":{\"code\":\"");
    out_text(o, r->code);
    out_text(o, "\",");
    out_json_member(o, "what", shl_slice_of(r->text, what));
    out_char(o, ',');
    out_json_member(o, "where", shl_slice_str(r->where != NULL ? r->where : ""));
    out_char(o, ',');
    out_json_member(o, "why", shl_slice_str(colon != NULL ? colon + 2 : ""));
    if (r->facts != NULL) {
        out_char(o, ',');
        out_json_member(o, "facts", shl_slice_str(r->facts));
    }
    out_text(o, ",\"try\":[");
    for (size_t i = 0; i < SHL_COUNT_OF(r->tries) && r->tries[i][0] != '\0'; i++) {
        out_text(o, i > 0 ? "," : "");
        out_json_string(o, shl_slice_of(r->tries[i], before_tab(r->tries[i])));
    }
    out_printf(o, "],\"retry\":\"%s\"", r->retry);
    if (id.len > 0) {
        out_char(o, ',');
        out_json_member(o, "request_id", id);
    }
    out_text(o, "}}\n");
    (void)out_finish(o);
    out_free(o);
}

static void in_shell_words(const struct cli *c, const char *words, size_t len, char *dst,
                           size_t cap);

static void say_try(const struct cli *c, const char *way_out)
{
    char line[1024];
    char shown[1400];
    size_t n = before_tab(way_out);
    bool has_remark = way_out[n] == '\t';
    const char *remark = has_remark ? way_out + n + 1 : "";
    char own[700]; /* of a shell */
    if (c->args.in_shell && strncmp(way_out, "shale ", 6) == 0) {
        in_shell_words(c, way_out + 6, n - 6, own, sizeof own);
        way_out = own;
        n = strlen(own);
    }
    (void)snprintf(line, sizeof line, "  try: %.*s%s%s%s\n", (int)n, way_out,
                   has_remark ? "          (" : "", remark, has_remark ? ")" : "");
    say(out_shown(shown, sizeof shown, line));
}

/* The requests that failed on the way, with -v. */
static void say_causes(const struct cli *c)
{
    const struct cli_watch *w = c->watch;
    char line[320];
    if (!cli_has(&c->args, OPT_VERBOSE) || w == NULL)
        return;
    size_t count = shl_min_size(w->cause_count, CLI_CAUSES);
    for (size_t i = 0; i < count; i++) {
        const char *cause = w->causes[(w->cause_count - count + i) % CLI_CAUSES];
        char shown[300];
        (void)snprintf(line, sizeof line, "  cause: %s\n", out_shown(shown, sizeof shown, cause));
        say(line);
    }
}

static void say_text(const struct cli *c, const struct report *r)
{
    char line[2500];
    char shown[2200];
    const char *command = c->args.command != NULL ? c->args.command->name : "";
    bool in_shell = c->args.in_shell; /* there commands stand without "shale" */
    bool named = !in_shell || c->source != NULL;
    bool colour = named && cli_colour(c, CLI_STDERR);
    char name[100];
    (void)snprintf(name, sizeof name, "%s%s%s", in_shell ? "" : "shale",
                   command[0] != '\0' && !in_shell ? " " : "", command);
    /* Errors never share a line with what stdout wrote. */
    (void)snprintf(line, sizeof line, "%s%s%s%s%s%s%s\n", colour ? "\033[31m" : "",
                   c->source != NULL ? c->source : "", c->source != NULL ? ": " : "", name,
                   name[0] != '\0' ? ": " : "", colour ? "\033[0m" : "",
                   out_shown(shown, sizeof shown, r->text));
    say(line);
    if (r->facts != NULL) {
        (void)snprintf(line, sizeof line, "  %s\n", out_shown(shown, sizeof shown, r->facts));
        say(line);
    }
}

static void say_report(const struct cli *c, const struct report *r)
{
    (void)out_finish(c->out);
    if (wants_json(c)) {
        say_json(r);
        return;
    }
    if (!c->told)
        say_text(c, r);
    say_causes(c);
    for (size_t i = 0; i < SHL_COUNT_OF(r->tries) && r->tries[i][0] != '\0'; i++)
        say_try(c, r->tries[i]);
}

/* ---- filling a way out */

struct text {
    char *at;
    char *end; /* room for NUL is left */
};

static void add(struct text *t, const char *text, size_t len)
{
    len = shl_min_size(len, (size_t)(t->end - t->at));
    memcpy(t->at, text, len);
    t->at += len;
    *t->at = '\0';
}

/* As a shell reads it back. */
static void add_quoted(struct text *t, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:=@%,";
    bool bare = word[0] != '\0' && word[strspn(word, plain)] == '\0';
    if (!bare)
        add(t, "'", 1);
    for (const char *p = word; *p != '\0'; p++)
        if (*p == '\'')
            add(t, "'\\''", 4);
        else if ((unsigned char)*p >= ' ' && *p != 0x7f)
            add(t, p, 1);
    if (!bare)
        add(t, "'", 1);
}

/* A command line without "shale", as the shell takes it: without the database that is open, and .help for help. */
static void in_shell_words(const struct cli *c, const char *words, size_t len, char *dst,
                           size_t cap)
{
    char db[700] = "";
    struct text quoted = {.at = db, .end = db + sizeof db - 1};
    struct text t = {.at = dst, .end = dst + cap - 1};
    *dst = '\0';
    bool helps = len >= 4 && strncmp(words, "help", 4) == 0 && (len == 4 || words[4] == ' ');
    add(&t, ".", helps);
    if (c->session != NULL)
        add_quoted(&quoted, c->session->url);
    size_t url = strlen(db);
    for (size_t i = 0; c->session != NULL && i < cli_command_count(); i++) {
        size_t n = strlen(cli_command_at(i)->name);
        if (cli_command_takes_db(cli_command_at(i)) && len > n + url &&
            strncmp(words, cli_command_at(i)->name, n) == 0 && words[n] == ' ' &&
            strncmp(words + n + 1, db, url) == 0 &&
            (n + 1 + url == len || words[n + 1 + url] == ' ')) {
            add(&t, words, n);
            words += n + 1 + url;
            len -= n + 1 + url;
        }
    }
    add(&t, words, len);
}

/* The arguments from the one at `first`, each with a blank before it. */
static void add_args(struct text *t, const struct cli_args *a, size_t first)
{
    for (size_t i = first; i < a->positional_count; i++) {
        add(t, " ", 1);
        if (strlen(a->positional[i]) > 100)
            add(t, "..", 2);
        else
            add_quoted(t, a->positional[i]);
    }
}

/* "s3://b" of "s3://b/p"; a folder stays as it is. */
static void add_bucket(struct text *t, const char *db)
{
    const char *scheme = strstr(db, "://");
    bool near = scheme == NULL || strncmp(db, "file:", 5) == 0;
    char bucket[300];
    size_t n = near ? strlen(db) : (size_t)(scheme - db) + 3 + strcspn(scheme + 3, "/?#");
    (void)snprintf(bucket, sizeof bucket, "%.*s", (int)shl_min_size(n, 299), db);
    add_quoted(t, bucket);
}

/* "s3://acme/x" of "s3:/acme/x", "file:///x" of "file:/x", "memory:///x" of "memory:x". */
static void add_fixed(struct text *t, const char *db)
{
    const char *colon = strchr(db, ':');
    if (colon == NULL) {
        add_quoted(t, db);
        return;
    }
    char fixed[300];
    const char *rest = colon + 1 + strspn(colon + 1, "/");
    bool no_host = strncmp(db, "file:", 5) == 0 || strncmp(db, "memory:", 7) == 0;
    (void)snprintf(fixed, sizeof fixed, "%.*s//%s%s", (int)(colon + 1 - db), db, no_host ? "/" : "",
                   rest);
    add_quoted(t, fixed);
}

/* What stands in `text` behind `mark`, up to one of `ends`. */
static void add_behind(struct text *t, const char *text, const char *before, const char *mark,
                       const char *ends)
{
    const char *at = strstr(text, mark);
    if (at == NULL)
        return;
    at += strlen(mark);
    add(t, before, strlen(before));
    add(t, at, strcspn(at, ends));
}

void cli_command_again(const struct cli *c, const char *more, char *dst, size_t cap)
{
    struct text t = {.at = dst, .end = dst + cap - 1};
    *dst = '\0';
    add(&t, "shale ", 6);
    add(&t, c->args.command->name, strlen(c->args.command->name));
    add(&t, more, strlen(more));
    for (size_t i = c->forwarded; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        const struct cli_option *option = cli_option_at(g->id);
        bool secret = g->id == OPT_STORE_OPTION && cli_is_secret(g->value);
        if (secret || g->id == OPT_JSON)
            continue;
        add(&t, option->letter != 0 ? " -" : " --", option->letter != 0 ? 2 : 3);
        add(&t, option->letter != 0 ? &option->letter : option->name,
            option->letter != 0 ? 1 : strlen(option->name));
        if (g->value != NULL) {
            add(&t, " ", 1);
            add_quoted(&t, g->value);
        }
    }
    for (size_t i = c->args.in_shell && cli_command_takes_db(c->args.command);
         i < c->args.positional_count; i++) {
        add(&t, " ", 1);
        add_quoted(&t, c->args.positional[i]);
    }
}

static const char *path_of(const char *db)
{
    return strncmp(db, "file://", 7) == 0 ? db + 7 : db;
}

/* What is there of the path: itself, or the folder that would hold it. */
static void add_holder(struct text *t, const char *db)
{
    char path[1024];
    struct env_stat st;
    (void)snprintf(path, sizeof path, "%s", path_of(db));
    while (env_stat(path, &st) != 0) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path) {
            (void)snprintf(path, sizeof path, "%s", slash == NULL ? "." : "/");
            break;
        }
        *slash = '\0';
    }
    add_quoted(t, path);
}

static const char *database(const struct cli *c, const char *fallback)
{
    return c->about != NULL               ? c->about
           : c->args.positional_count > 0 ? c->args.positional[0]
           : c->session != NULL           ? c->session->url
                                          : fallback;
}

/* The newest manifest of the database before the one that `text` names ("..manifest/00000000000000000009.manifest: .."); 0: none. */
static uint64_t older_manifest(const struct cli *c, const char *text)
{
    static const char mark[] = "manifest/";
    const shale_options *options =
        c->options == NULL && c->session != NULL ? c->session->opener->options : c->options;
    const char *at = strstr(text, mark);
    uint64_t bad = 0;
    uint64_t best = 0;
    char *json = NULL;
    json_t *all = NULL;
    shale_error ignored;
    if (at == NULL || options == NULL)
        return 0;
    at += strlen(mark);
    if (!shl_parse_u64(shl_slice_of(at, strspn(at, "0123456789")), &bad) ||
        shale_admin_manifests(&json, database(c, ""), options, &ignored) != SHALE_OK)
        return 0;
    if (shl_json_parse_unsigned(shl_slice_str(json), &all, &ignored) == SHALE_OK) {
        size_t i;
        json_t *one;
        json_array_foreach(all, i, one)
        {
            uint64_t id = 0;
            if (shl_json_get_u64(one, "id", &id) && id < bad)
                best = shl_max_u64(best, id);
        }
    }
    json_decref(all);
    shale_text_free(json);
    return best;
}

static void add_older(struct text *t, const struct cli *c)
{
    char number[24];
    int n = snprintf(number, sizeof number, "%" PRIu64, older_manifest(c, c->err.text));
    add(t, number, (size_t)n);
}

/* An endpoint that was written without http:// or https://, or with a user or a query that do not belong there. */
static void add_endpoint(struct text *t, const char *text)
{
    static const char mark[] = "aws_endpoint \"";
    const char *at = strstr(text, mark);
    if (at == NULL)
        return;
    at += strlen(mark);
    at += strncmp(at, "..@", 3) == 0 ? 3 : 0;
    bool near = strncmp(at, "127.", 4) == 0 || strncmp(at, "localhost", 9) == 0;
    size_t n = strcspn(at, "\"?#");
    const char *scheme = strstr(at, "://");
    if (scheme == NULL || scheme > at + n)
        add(t, near ? "http://" : "https://", near ? 7 : 8);
    add(t, at, n);
}

/* What --segments takes, of the extractor's name behind the last "made with"; nothing where it is an application's own. */
static void add_segments(struct text *t, const char *text)
{
    static const char mark[] = " was made with ";
    static const char word[] = "segment extractor ";
    const char *at = strstr(text, mark);
    if (at == NULL)
        return;
    at += strlen(mark);
    at += strncmp(at, word, strlen(word)) == 0 ? strlen(word) : 0;
    size_t n = strcspn(at, ": ");
    if (n > 5 && strncmp(at, "fixed", 5) == 0 && strspn(at + 5, "0123456789") == n - 5)
        add(t, at + 5, n - 5);
    else if (n == 10 && strncmp(at, "upto-slash", 10) == 0)
        add(t, "slash", 5);
}

static void add_tmp(struct text *t, const struct cli_args *a)
{
    const char *dir = env_getenv("TMPDIR");
    if (cli_has(a, OPT_LOCAL_PATH))
        add_holder(t, a->value[OPT_LOCAL_PATH]);
    else
        add_quoted(t, dir != NULL && dir[0] != '\0' ? dir : "/tmp");
}

static void add_field(struct text *t, const struct cli *c, struct shl_slice name)
{
    const struct cli_args *a = &c->args;
    const char *db = database(c, "DB");
    if (shl_slice_eq(name, shl_slice_str("cmd")))
        add(t, a->command->name, strlen(a->command->name));
    else if (shl_slice_eq(name, shl_slice_str("args")))
        add_args(t, a, 0);
    else if (shl_slice_eq(name, shl_slice_str("rest")))
        add_args(t, a, 1);
    else if (shl_slice_eq(name, shl_slice_str("key")))
        add_quoted(t, a->positional_count > 1 ? a->positional[1] : "");
    else if (shl_slice_eq(name, shl_slice_str("hex")))
        add(t, " --hex", cli_has(a, OPT_HEX) ? 6 : 0);
    else if (shl_slice_eq(name, shl_slice_str("bucket")))
        add_bucket(t, db);
    else if (shl_slice_eq(name, shl_slice_str("path")))
        add_quoted(t, path_of(db));
    else if (shl_slice_eq(name, shl_slice_str("holder")))
        add_holder(t, db);
    else if (shl_slice_eq(name, shl_slice_str("tmp")))
        add_tmp(t, a);
    else if (shl_slice_eq(name, shl_slice_str("older")))
        add_older(t, c);
    else if (shl_slice_eq(name, shl_slice_str("segments")))
        add_segments(t, c->err.text);
    else if (shl_slice_eq(name, shl_slice_str("endpoint")))
        add_endpoint(t, c->err.text);
    else if (shl_slice_eq(name, shl_slice_str("fixed")))
        add_fixed(t, db);
    else if (shl_slice_eq(name, shl_slice_str("region")))
        add_behind(t, c->err.text, "", " is in ", ", ");
    else if (shl_slice_eq(name, shl_slice_str("near")))
        add_behind(t, c->err.text, "", "did you mean ", " ?");
    else if (shl_slice_eq(name, shl_slice_str("profile")))
        add_behind(t, c->err.text, " --profile ", "profile \"", "\"");
    else
        add_quoted(t, db);
}

/* The command that a line of words ("shale checkpoint list ..") calls; NULL: none. */
static const struct cli_command *command_of(const char *line)
{
    const struct cli_command *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; strncmp(line, "shale ", 6) == 0 && i < cli_command_count(); i++) {
        const char *name = cli_command_at(i)->name;
        size_t n = strlen(name);
        if (n > longest && strncmp(line + 6, name, n) == 0 &&
            (line[6 + n] == ' ' || line[6 + n] == '\0')) {
            best = cli_command_at(i);
            longest = n;
        }
    }
    return best;
}

static bool names_option(const char *line, const char *option)
{
    char word[80];
    int n = snprintf(word, sizeof word, " --%s", option);
    for (const char *at = strstr(line, word); at != NULL; at = strstr(at + 1, word))
        if (at[n] == ' ' || at[n] == '\0')
            return true;
    return false;
}

/* Which database it is, and how it is read: whatever other command looks at it needs that, too. */
static bool is_of_database(enum cli_option_id id)
{
    static const enum cli_option_id ids[] = {
        OPT_ENDPOINT, OPT_REGION, OPT_PROFILE, OPT_STORE_OPTION, OPT_SETTINGS,   OPT_ROOT,
        OPT_WAL_URL,  OPT_MERGE,  OPT_SET,     OPT_SEGMENTS,     OPT_TRANSFORMER};
    for (size_t i = 0; i < SHL_COUNT_OF(ids); i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void add_option(struct text *t, const struct cli_given *g)
{
    char more[400];
    struct text one = {.at = more, .end = more + sizeof more - 1};
    if (g->value != NULL && strlen(g->value) > sizeof more / 2)
        return;
    (void)snprintf(more, sizeof more, " --%s", cli_option_at(g->id)->name);
    one.at += strlen(more);
    if (g->value != NULL) {
        add(&one, " ", 1);
        add_quoted(&one, g->value);
    }
    if (strlen(more) < (size_t)(t->end - t->at))
        add(t, more, strlen(more));
}

/* What the command line said beside its arguments, without secrets and what the line names already: all of it where the line is the same command again, else what tells of the
 * database. */
static void add_options(struct text *t, const struct cli *c, const char *line, bool again)
{
    char before[700];
    (void)snprintf(before, sizeof before, "%s", line);
    const struct cli_command *to = command_of(before);
    if (to == NULL)
        return;
    for (size_t i = c->forwarded; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        bool pair = g->id == OPT_STORE_OPTION || g->id == OPT_SET;
        bool wanted = again ? g->id != OPT_JSON : is_of_database(g->id);
        if (wanted && (cli_command_options(to) & CLI_BIT(g->id)) != 0 &&
            !(pair && cli_is_secret(g->value)) &&
            (pair || !names_option(before, cli_option_at(g->id)->name)))
            add_option(t, g);
    }
}

/* Whether a command of the table asks the store that the command line named. */
static bool asks_the_store(const char *pattern)
{
    static const char *const marks[] = {"{db}", "{bucket}", "{args}", "{rest}", "s3://"};
    bool asks = false;
    for (size_t i = 0; i < SHL_COUNT_OF(marks); i++) {
        const char *at = strstr(pattern, marks[i]);
        asks = asks || (at != NULL && at < pattern + before_tab(pattern));
    }
    return asks && strncmp(pattern, "shale ", 6) == 0;
}

static void expand(char *dst, size_t cap, const char *pattern, const struct cli *c)
{
    struct text t = {.at = dst, .end = dst + cap - 1};
    bool asks = asks_the_store(pattern);
    bool again = strstr(pattern, "{cmd}") != NULL;
    *dst = '\0';
    while (*pattern != '\0') {
        size_t n = strcspn(pattern, "{\t");
        add(&t, pattern, n);
        pattern += n;
        if (asks && (*pattern == '\t' || *pattern == '\0')) {
            add_options(&t, c, dst, again);
            asks = false;
        }
        n = *pattern == '\t'; /* the remark follows */
        add(&t, pattern, n);
        pattern += n;
        if (*pattern == '{') {
            n = strcspn(pattern, "}");
            add_field(&t, c, shl_slice_of(pattern + 1, n - 1));
            pattern += n + (pattern[n] == '}');
        }
    }
    if (asks)
        add_options(&t, c, dst, again);
}

void cli_try(const struct cli *c, const char *pattern)
{
    char way[700];
    expand(way, sizeof way, pattern, c);
    cli_mask(c, way);
    if (!cli_has(&c->args, OPT_QUIET) && !wants_json(c))
        say_try(c, way);
}

void cli_way(const struct cli *c, const char *pattern, char *dst, size_t cap)
{
    expand(dst, cap, pattern, c);
}

/* Texts of the store and of the open say what it is about; the others need the database before them. */
static bool says_where(const struct cli *c, const char *where)
{
    static const shale_code codes[] = {SHALE_NO_BUCKET,       SHALE_FENCED,
                                       SHALE_UNAVAILABLE,     SHALE_TIMEOUT,
                                       SHALE_UNAUTHENTICATED, SHALE_PERMISSION_DENIED,
                                       SHALE_NO_SPACE};
    for (size_t i = 0; i < SHL_COUNT_OF(codes); i++)
        if (codes[i] == c->err.code)
            return true;
    return strstr(c->err.text, where) != NULL ||
           strncmp(c->err.text, "no database here", 16) == 0 ||
           strstr(c->err.text, "cannot hold a database") != NULL;
}

/* A command that writes never got through to the store. */
static bool sent_nothing(struct cli *c)
{
    bool writes = c->args.command != NULL && c->args.command->effect == CLI_WRITES;
    return writes && !cli_got_through(c) &&
           (strstr(c->err.text, "cannot connect to") != NULL ||
            strstr(c->err.text, "there is no host") != NULL);
}

/* --timeout and Ctrl-C end what was tried for ever: that, and not the last thing that the store said, is why the command ends. */
static int gave_up(struct cli *c)
{
    bool waiting = c->err.code == SHALE_UNAVAILABLE || c->err.code == SHALE_TIMEOUT;
    int stop = os_stop_code();
    if (waiting && os_timed_out()) {
        c->err.code = SHALE_TIMEOUT;
        shl_err_prefix(&c->err, "gave up after %s (--timeout)", c->args.value[OPT_TIMEOUT]);
    } else if (waiting && stop != 0 && (c->watch == NULL || !c->watch->unsaved)) {
        shl_err_prefix(&c->err, "stopped%s", sent_nothing(c) ? ": nothing was written" : "");
        return stop;
    }
    return 0;
}

/* What only the database shows to be wrong with the command line. */
static bool lacks_a_word(const shale_error *err)
{
    return err->code == SHALE_INVALID &&
           (strstr(err->text, "have that name: give the id") != NULL ||
            strstr(err->text, "merge operator") != NULL);
}

/* Exit code 2 promises that nothing was written, and but for what lacks a word that nothing was sent. */
static bool is_mistake(struct cli *c)
{
    bool mistake = c->err.code == SHALE_INVALID || (c->err.code == SHALE_NOT_SUPPORTED &&
                                                    strstr(c->err.text, "not built yet") != NULL);
    return lacks_a_word(&c->err) || (mistake && cli_requests(c) == 0);
}

/* Of several URLs the one that failed; NULL: the first, or none. */
static const char *about(const struct cli *c, const char *where)
{
    bool objects = c->args.command != NULL && strncmp(c->args.command->name, "store ", 6) == 0;
    if (c->args.command != NULL && strcmp(c->args.command->name, "clone") == 0)
        return where; /* may be of an option */
    for (size_t i = 1; objects && where != NULL && i < c->args.positional_count; i++)
        if (strcmp(c->args.positional[i], where) == 0)
            return where;
    return NULL;
}

/* "clone: .." of the library behind "shale clone: " of ours is once too often. */
static const char *without_command(const struct cli *c, const char *text)
{
    size_t n = c->args.command != NULL ? strlen(c->args.command->name) : 0;
    bool said = n > 0 && strncmp(text, c->args.command->name, n) == 0 && text[n] == ':' &&
                text[n + 1] == ' ';
    return said ? text + n + 2 : text;
}

/* Whether the text has what the pattern takes from it, and the first argument is what it is about if others are to follow. */
static bool is_filled(const struct cli *c, const char *pattern)
{
    if (strstr(pattern, "{rest}") != NULL && c->about != NULL &&
        strcmp(c->about, c->args.positional[0]) != 0)
        return false;
    char segments[40];
    struct text t = {.at = segments, .end = segments + sizeof segments - 1};
    segments[0] = '\0';
    add_segments(&t, c->err.text);
    return (strstr(pattern, "{older}") == NULL || older_manifest(c, c->err.text) > 0) &&
           (strstr(pattern, "{segments}") == NULL || segments[0] != '\0');
}

int cli_fail(struct cli *c, const char *where)
{
    c->about = about(c, where);
    const char *db = database(c, "");
    char text[1200];
    int stop = gave_up(c);
    struct report r = {.code = shale_code_name(c->err.code),
                       .retry = "no",
                       .text = text,
                       .where = where != NULL ? where : db};
    const struct way_out *w = way_out_of(c);
    if (w != NULL) {
        r.retry = w->retry;
        r.facts = c->has_written && w->facts != NULL && strcmp(w->facts, CLI_UNCHANGED) == 0
                      ? "No row was changed; what was begun is on record (shale compactions), and "
                        "is begun anew."
                      : w->facts;
        for (size_t k = 0, n = 0; c->args.command != NULL && k < 2 && w->try[k] != NULL; k++)
            if (is_filled(c, w->try[k]))
                expand(r.tries[n++], sizeof r.tries[0], w->try[k], c);
    }
    char facts[500];
    (void)snprintf(facts, sizeof facts, "%s%s%s", c->facts,
                   c->facts[0] != '\0' && r.facts != NULL ? " " : "",
                   r.facts != NULL ? r.facts : "");
    r.facts = facts[0] != '\0' ? facts : NULL;
    const char *what = c->err.text[0] != '\0' ? c->err.text : shale_code_name(c->err.code);
    what = without_command(c, what);
    bool prefixed = where != NULL && !says_where(c, where) && !wants_json(c);
    (void)snprintf(text, sizeof text, "%s%s%s", prefixed ? where : "", prefixed ? ": " : "", what);
    char place[500]; /* a URL may hold what must not be shown */
    (void)snprintf(place, sizeof place, "%s", r.where);
    r.where = place;
    cli_mask(c, place);
    cli_mask(c, text);
    for (size_t k = 0; k < SHL_COUNT_OF(r.tries); k++)
        cli_mask(c, r.tries[k]);
    say_report(c, &r);
    if (stop != 0)
        return stop;
    return is_mistake(c) ? CLI_USAGE : CLI_FAILED;
}

int cli_fail_or_end(struct cli *c, const char *where)
{
    int code = cli_fail(c, where);
    return code == os_stop_code() ? CLI_YES : code;
}

int cli_usage(const struct cli *c, const char *hint, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct report r = {.code = "USAGE",
                       .text = text,
                       .where = c->args.command != NULL ? c->args.command->name : "",
                       .retry = "no"};
    (void)snprintf(r.tries[0], sizeof r.tries[0], "%s", hint != NULL ? hint : "");
    cli_mask(c, text);
    cli_mask(c, r.tries[0]);
    say_report(c, &r);
    return CLI_USAGE;
}

int cli_bad_line(const struct cli *c, const char *where, const char *why)
{
    char text[700];
    (void)snprintf(text, sizeof text, "%s: %s", wants_json(c) ? "no row" : where, why);
    struct report r = {.code = "INVALID",
                       .text = text,
                       .where = where,
                       .retry = "no",
                       .facts = c->facts[0] != '\0' ? c->facts : NULL};
    (void)snprintf(r.tries[0], sizeof r.tries[0], "shale %s --help", c->args.command->name);
    cli_mask(c, text);
    say_report(c, &r);
    return CLI_FAILED;
}

int cli_trouble(const struct cli *c, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct report r = {.code = "LOCAL", .text = text, .where = "", .retry = "later"};
    cli_mask(c, text);
    say_report(c, &r);
    return CLI_FAILED;
}

static void write_line(const char *format, va_list args) SHL_PRINTF(1, 0);
static void write_line(const char *format, va_list args)
{
    char text[700];
    char line[1000];
    (void)vsnprintf(text, sizeof text, format, args);
    size_t len = strlen(out_shown(line, sizeof line - 1, text));
    line[len] = '\n'; /* one write: notes of several tasks do not mix */
    (void)os_write(CLI_STDERR, line, len + 1);
}

void cli_note(const struct cli *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!cli_has(&c->args, OPT_QUIET) && !wants_json(c))
        write_line(format, args);
    va_end(args);
}

void cli_tell(const struct cli *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!wants_json(c))
        write_line(format, args);
    va_end(args);
}

int cli_finish(struct cli *c, int code)
{
    int failed = out_finish(c->out);
    if (failed == 0)
        return code;
    return cli_trouble(c, "stdout cannot be written: %s", strerror(failed));
}
