/* Messages: what, where, why on the first line, then what to do. One table gives the way out for each code. */
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/session.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    shale_code code;
    const char *contains; /* only for texts with these words; NULL: for all */
    const char *retry;    /* "no", "later", "now" */
    const char *way_out;  /* %s: the database; NULL: none */
} ways_out[] = {
    {SHALE_INVALID, "merge operator", "no",
     "the same with --merge concat or --merge sum-u64: the one that wrote the rows"},
    {SHALE_INVALID, "setting", "no", "shale help settings"},
    {SHALE_INVALID, "URL", "no", "shale help urls"},
    {SHALE_NOT_FOUND, NULL, "no",
     "shale store ls %s          (a new database: shale load, shale put)"},
    {SHALE_FENCED, NULL, "no",
     "shale stat %s          (acknowledged rows are safe; run one writer)"},
    {SHALE_UNAVAILABLE, NULL, "later", "the same again: repeating it is safe"},
    {SHALE_NO_SPACE, NULL, "later",
     "df %s          (what was acknowledged is safe; make room and repeat)"},
    {SHALE_TIMEOUT, NULL, "later", "the same again: repeating it is safe"},
    {SHALE_CORRUPTION, NULL, "no", "shale stat %s          (nothing was changed)"},
    {SHALE_PERMISSION_DENIED, NULL, "no", "check who owns the folder or which keys are used"},
    {SHALE_UNAUTHENTICATED, NULL, "no", "check which keys are used"},
    {SHALE_NOMEM, NULL, "later", "--set block_cache_bytes=32MiB"},
    {SHALE_NOT_SUPPORTED, NULL, "no", "another bucket: shale help urls"},
    {SHALE_INTERNAL, NULL, "no", "please report it with this line"},
};

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

/* One JSON line: text split at the first ": " into what and why. */
static void say_json(const char *code, const char *text, const char *where, const char *retry,
                     const char *way_out)
{
    struct out *o = out_new(CLI_STDERR);
    if (o == NULL)
        return;
    const char *colon = strstr(text, ": ");
    size_t what = colon != NULL ? (size_t)(colon - text) : strlen(text);
    out_text(o, "{\"error\":{\"code\":\"");
    out_text(o, code);
    out_text(o, "\",");
    out_json_member(o, "what", shl_slice_of(text, what));
    out_char(o, ',');
    out_json_member(o, "where", shl_slice_str(where != NULL ? where : ""));
    out_char(o, ',');
    out_json_member(o, "why", shl_slice_str(colon != NULL ? colon + 2 : ""));
    out_text(o, ",\"try\":[");
    if (way_out[0] != '\0')
        out_json_string(o, shl_slice_str(way_out));
    out_printf(o, "],\"retry\":\"%s\"}}\n", retry);
    (void)out_finish(o);
    out_free(o);
}

static void say_text(const struct cli *c, const char *command, const char *text,
                     const char *way_out)
{
    char line[2048];
    bool colour = cli_colour(c, CLI_STDERR);
    /* Errors never share a line with what stdout wrote. */
    bool in_shell = c->args.in_shell; /* there commands stand without "shale" */
    char name[100];
    (void)snprintf(name, sizeof name, "%s%s%s", in_shell ? "" : "shale",
                   command[0] != '\0' && !in_shell ? " " : "", command);
    (void)snprintf(line, sizeof line, "%s%s%s%s%s%s%s\n", colour ? "\033[31m" : "",
                   c->source != NULL ? c->source : "", c->source != NULL ? ": " : "", name,
                   name[0] != '\0' ? ": " : "", colour ? "\033[0m" : "", text);
    say(line);
    if (way_out[0] == '\0')
        return;
    if (in_shell && strncmp(way_out, "shale ", 6) == 0)
        way_out += 6;
    (void)snprintf(line, sizeof line, "  try: %s\n", way_out);
    say(line);
}

/* Ours are formats with at most one %s; keeping them out of printf's hands lets the compiler check the rest. */
static void expand(char *dst, size_t cap, const char *pattern, const char *db)
{
    const char *at = strstr(pattern, "%s");
    if (at == NULL)
        (void)snprintf(dst, cap, "%s", pattern);
    else
        (void)snprintf(dst, cap, "%.*s%s%s", (int)(at - pattern), pattern, db, at + 2);
}

int cli_fail(struct cli *c, const char *where)
{
    const char *db = c->args.positional_count > 0 ? c->args.positional[0]
                     : c->session != NULL         ? c->session->url
                                                  : "DB";
    const char *retry = "no";
    char text[1200];
    char way_out[512] = "";
    for (size_t i = 0; i < SHL_COUNT_OF(ways_out); i++)
        if (way_out[0] == '\0' && ways_out[i].code == c->err.code &&
            (ways_out[i].contains == NULL || strstr(c->err.text, ways_out[i].contains) != NULL)) {
            retry = ways_out[i].retry;
            expand(way_out, sizeof way_out, ways_out[i].way_out, db);
        }
    const char *what = c->err.text[0] != '\0' ? c->err.text : shale_code_name(c->err.code);
    /* The library's text names objects; the database is ours to add where it is not in it. */
    if (where != NULL && strstr(what, where) == NULL)
        (void)snprintf(text, sizeof text, "%s: %s", where, what);
    else
        (void)snprintf(text, sizeof text, "%s", what);
    (void)out_finish(c->out);
    if (wants_json(c))
        say_json(shale_code_name(c->err.code), what, where != NULL ? where : db, retry, way_out);
    else
        say_text(c, c->args.command != NULL ? c->args.command->name : "", text, way_out);
    return c->err.code == SHALE_INVALID ? CLI_USAGE : CLI_FAILED;
}

int cli_usage(const struct cli *c, const char *hint, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *command = c->args.command != NULL ? c->args.command->name : "";
    if (wants_json(c))
        say_json("USAGE", text, command, "no", hint != NULL ? hint : "");
    else
        say_text(c, command, text, hint != NULL ? hint : "");
    return CLI_USAGE;
}

int cli_trouble(const struct cli *c, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (wants_json(c))
        say_json("LOCAL", text, "", "later", "");
    else
        say_text(c, c->args.command != NULL ? c->args.command->name : "", text, "");
    return CLI_FAILED;
}

void cli_note(const struct cli *c, const char *format, ...)
{
    char text[700];
    if (cli_has(&c->args, OPT_QUIET) || wants_json(c))
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(text);
    say("\n");
}

int cli_finish(struct cli *c, int code)
{
    int failed = out_finish(c->out);
    if (failed == 0)
        return code;
    return cli_trouble(c, "stdout cannot be written: %s", strerror(failed));
}
