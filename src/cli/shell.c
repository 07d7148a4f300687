/* shale shell: the program's commands on one open database. Lines are cut into words, get the shell's own options in front, and go through the
 * parser and the commands of the program. */
#include "cli/shell.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/history.h"
#include "cli/os.h"
#include "cli/price.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define LINE_BYTES_MAX ((size_t)1 << 20)
#define FORWARDED_MAX  64

struct cli shell_cli(struct shell *s)
{
    struct cli c = {.out = s->c->out, .session = &s->session, .watch = s->c->watch};
    c.args.in_shell = true;
    if (cli_has(&s->c->args, OPT_JSON))
        c.args.value[OPT_JSON] = "";
    if (cli_has(&s->c->args, OPT_QUIET))
        c.args.value[OPT_QUIET] = "";
    if (s->source != NULL) {
        (void)snprintf(s->at, sizeof s->at, "%.200s:%" PRIu64, s->source->name, s->source->line);
        c.source = s->at;
    }
    return c;
}

/* ---- the shell's own options, in front of those of a line */

struct forwarded {
    const char *argv[FORWARDED_MAX];
    size_t count;
    struct shl_buf text; /* owned: "--name=value" with NULs; offsets until the end */
};

static void forward(struct forwarded *f, cli_option_set takes, enum cli_option_id id,
                    const char *value)
{
    shale_error err;
    if ((takes & CLI_BIT(id)) == 0 || f->count + 1 >= FORWARDED_MAX)
        return;
    size_t at = f->text.len;
    const char *name = cli_option_at(id)->name;
    shale_code rc = value != NULL ? shl_str_printf(&f->text, &err, "--%s=%s", name, value)
                                  : shl_str_printf(&f->text, &err, "--%s", name);
    if (rc == SHALE_OK)
        rc = shl_buf_append(&f->text, "", 1, &err);
    if (rc != SHALE_OK)
        f->text.len = at;
    else
        f->count++;
}

/* `takes`: options of the command. */
static void forward_all(const struct shell *s, cli_option_set takes, struct forwarded *f)
{
    static const char *const formats[] = {NULL, "json", "csv", NULL};
    const cli_option_set own =
        (cli_open_options() | cli_common_options()) & ~CLI_BIT(OPT_HELP) & ~CLI_BIT(OPT_VERSION);
    for (size_t i = 0; i < s->c->args.given_count; i++) {
        const struct cli_given *g = &s->c->args.given[i];
        if ((own & CLI_BIT(g->id)) != 0)
            forward(f, takes, g->id, g->value);
    }
    for (size_t i = 0; i < s->sets.count; i++)
        forward(f, takes, OPT_SET, s->sets.items[i]);
    if (s->session.checkpoint != NULL)
        forward(f, takes, OPT_CHECKPOINT, s->session.checkpoint);
    if (s->limit[0] != '\0')
        forward(f, takes, OPT_LIMIT, s->limit);
    if (formats[s->mode] != NULL)
        forward(f, takes, OPT_FORMAT, formats[s->mode]);
    if (s->mode == SHELL_JSON)
        forward(f, takes & ~(takes & CLI_BIT(OPT_FORMAT) ? CLI_BIT(OPT_JSON) : 0), OPT_JSON, NULL);
    if (s->mode == SHELL_HEX)
        forward(f, takes, OPT_HEX, NULL);
    const char *at = (const char *)f->text.data;
    for (size_t i = 0; i < f->count; i++, at += strlen(at) + 1)
        f->argv[i] = at;
}

/* ---- one command */

struct measured {
    uint64_t start_ns;
    const shale_db *db;
    shale_store_counts before;
};

static void measure_begin(struct shell *s, struct measured *m)
{
    *m = (struct measured){.start_ns = env_now_mono_ns(), .db = s->session.db};
    m->before.struct_size = sizeof m->before;
    if (s->session.db != NULL)
        shale_db_store_counts(s->session.db, &m->before);
    s->session.used = false;
    s->session.refreshed = false;
}

static void subtract(shale_store_counts *n, const shale_store_counts *before)
{
    n->put -= before->put;
    n->get -= before->get;
    n->head -= before->head;
    n->list -= before->list;
    n->del -= before->del;
    n->bytes_up -= before->bytes_up;
    n->bytes_down -= before->bytes_down;
    n->cost_usd -= before->cost_usd;
}

/* What the command asked: of the handle that is open, and of those that it opened for itself. False: nobody counted. */
static bool take_counts(struct shell *s, const struct cli *line, const struct measured *m,
                        shale_store_counts *n)
{
    bool own = line->asked.cost_usd > 0 || line->asked.bytes_down > 0;
    *n = (shale_store_counts){.struct_size = sizeof *n};
    if (s->session.used && s->session.db != NULL) {
        shale_db_store_counts(s->session.db, n);
        if (s->session.db == m->db)
            subtract(n, &m->before);
    } else if (own) {
        cli_add_requests(n, &line->asked);
    }
    return own || (s->session.used && s->session.db != NULL);
}

/* ", 1 GET (4.0 KiB), ~$0.0000004", or that nobody counted. */
static void requests_text(struct shell *s, const struct cli *line, const struct measured *m,
                          char *dst, size_t cap)
{
    shale_store_counts n;
    char size[SHL_UNITS_TEXT];
    char price[OUT_UNIT_BYTES];
    if (!take_counts(s, line, m, &n)) {
        (void)snprintf(dst, cap, ", requests not counted");
        return;
    }
    size_t at = 0;
    const struct {
        const char *name;
        uint64_t count;
    } kinds[] = {
        {"PUT", n.put}, {"GET", n.get}, {"HEAD", n.head}, {"LIST", n.list}, {"DELETE", n.del}};
    for (size_t i = 0; i < SHL_COUNT_OF(kinds) && at < cap; i++)
        if (kinds[i].count > 0)
            at += (size_t)snprintf(dst + at, cap - at, ", %" PRIu64 " %s", kinds[i].count,
                                   kinds[i].name);
    if (at == 0)
        at = (size_t)snprintf(dst, cap, ", 0 requests");
    uint64_t bytes = n.bytes_down + n.bytes_up;
    if (bytes > 0 && at < cap)
        at += (size_t)snprintf(dst + at, cap - at, " (%s)", shl_format_size(bytes, size));
    if (at < cap)
        at += (size_t)snprintf(dst + at, cap - at, ", %s", out_money(price, n.cost_usd));
    if (s->session.refreshed && at < cap)
        (void)snprintf(dst + at, cap - at, ", with the look for newer data");
}

static void measure_end(struct shell *s, const struct cli *line, const struct measured *m)
{
    char requests[200];
    char took[40];
    char rows[OUT_UNIT_BYTES];
    bool counts_rows = line->args.command != NULL && line->args.command->group == CLI_GROUP_ROWS;
    if (!s->timer && !s->requests)
        return;
    (void)out_finish(line->out);
    requests_text(s, line, m, requests, sizeof requests);
    double ms = (double)(env_now_mono_ns() - m->start_ns) / 1e6;
    (void)snprintf(took, sizeof took, "%.*f ms", ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
    if (!s->timer)
        cli_note(line, "%s", requests + 2);
    else if (counts_rows)
        cli_note(line, "%s row%s, %s%s", out_count(rows, line->rows), line->rows == 1 ? "" : "s",
                 took, requests);
    else
        cli_note(line, "%s%s", took, requests);
}

/* These open databases of their own, or make no sense on an open one. */
static bool is_for_the_outside(const struct cli_command *command)
{
    static const char *const names[] = {"shell", "bench", "completion"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
        if (strcmp(command->name, names[i]) == 0)
            return true;
    return command->group == CLI_GROUP_ENGINES;
}

static int run_parsed(struct shell *s, struct cli *line)
{
    const struct cli_command *command = line->args.command;
    struct measured m;
    if (is_for_the_outside(command))
        return cli_usage(line, NULL, "not inside of a shell");
    if (command->effect == CLI_WRITES && !s->session.writer)
        return cli_usage(line, ".write on", "this shell only reads: nobody was disturbed");
    measure_begin(s, &m);
    int code = command->run(line);
    if (cli_in_txn(line) && code == CLI_YES && command->effect == CLI_WRITES)
        cli_note(line, "%zu write%s in the transaction: .commit makes them last",
                 s->session.txn_writes, s->session.txn_writes == 1 ? "" : "s");
    else
        measure_end(s, line, &m);
    return code;
}

/* What a line may not say: there is one trace, and secrets would stay on the screen. False after a message. */
static bool line_is_fine(struct cli *line)
{
    const struct cli_args *a = &line->args;
    for (size_t i = line->forwarded; i < a->given_count; i++) {
        if (a->given[i].id == OPT_TRACE) {
            (void)cli_usage(line, NULL, "--trace: it is given to the shell itself, when it starts");
            return false;
        }
        if (a->given[i].id == OPT_STORE_OPTION && cli_is_secret(a->given[i].value)) {
            (void)cli_usage(line, "shale help credentials",
                            "--store-option: a secret does not belong into a line");
            return false;
        }
    }
    return true;
}

static int run_argv(struct shell *s, struct cli *line, int argc, char **argv)
{
    struct cli_problem problem;
    switch (cli_args_parse(argc, argv, s->session.url, &line->args, &problem)) {
    case CLI_PARSE_HELP:
        return cli_help_for(line);
    case CLI_PARSE_VERSION:
        return cmd_version(line);
    case CLI_PARSE_NONE:
        return CLI_YES;
    case CLI_PARSE_BAD:
        return cli_usage(line, problem.hint[0] != '\0' ? problem.hint : NULL, "%s", problem.text);
    case CLI_PARSE_OK:
        break;
    }
    if (!line_is_fine(line))
        return CLI_USAGE;
    if (cli_has(&line->args, OPT_TIMEOUT))
        cli_watch_clock(line);
    cli_watch_line(line, true, s->session.writer);
    int code = run_parsed(s, line);
    cli_watch_line(line, false, false);
    os_deadline_forget();
    return code;
}

/* What the command is decides which of the shell's options it gets, so the words are parsed once before. */
static cli_option_set options_taken(struct shell *s, int argc, char **argv)
{
    struct cli_args args;
    struct cli_problem ignored;
    enum cli_parse parsed = cli_args_parse(argc, argv, s->session.url, &args, &ignored);
    (void)parsed; /* what is wrong is told by the second time */
    cli_option_set takes = args.command != NULL ? cli_command_options(args.command) : 0;
    cli_args_deinit(&args);
    return takes;
}

int shell_command(struct shell *s, const char *const *words, size_t count)
{
    struct cli line = shell_cli(s);
    struct forwarded f = {.count = 0};
    const char **argv = env_calloc(count + FORWARDED_MAX + 2, sizeof *argv);
    char **args;
    int code = CLI_FAILED;
    if (argv == NULL)
        return cli_trouble(&line, "out of memory");
    memcpy(&args, &argv, sizeof args); /* the parser changes none of them, as main's */
    argv[0] = "shale";
    memcpy(argv + 1, words, count * sizeof *argv);
    cli_option_set takes = options_taken(s, (int)count + 1, args);
    forward_all(s, takes, &f);
    memcpy(argv + 1, f.argv, f.count * sizeof *argv);
    memcpy(argv + 1 + f.count, words, count * sizeof *argv);
    line.forwarded = f.count;
    code = run_argv(s, &line, (int)(count + f.count) + 1, args);
    shale_options_free(line.options);
    cli_args_deinit(&line.args);
    shl_buf_free(&f.text);
    env_free(argv);
    return code;
}

int shell_line(struct shell *s, const char *text)
{
    struct cli line = shell_cli(s);
    struct words w;
    int code = CLI_YES;
    if (words_split(&w, text, false, &line.err) != SHALE_OK) {
        code = cli_usage(&line, NULL, "%s", line.err.text);
    } else if (w.count > 0) {
        for (size_t i = 0; i < w.count; i++)
            cli_watch_word(&line, w.items[i]);
        size_t skip = w.count > 1 && strcmp(w.items[0], "shale") == 0; /* a pasted line */
        const char *first = w.items[skip];
        if (strcmp(first, "quit") == 0 || strcmp(first, "exit") == 0)
            s->leave = true;
        else if (first[0] == '.')
            code = shell_dot(s, w.items + skip, w.count - skip);
        else
            code = shell_command(s, w.items + skip, w.count - skip);
    }
    words_deinit(&w);
    return code;
}

/* ---- lines from a file or pipe */

/* The next line with a NUL instead of its end; NULL at the end, after a failure or a signal. */
static const char *next_line(struct shell *s, struct shell_source *from, int *code)
{
    struct cli c = shell_cli(s);
    for (;;) {
        uint8_t *data = from->buf.data;
        uint8_t *end = from->at < from->buf.len
                           ? memchr(data + from->at, '\n', from->buf.len - from->at)
                           : NULL;
        if (end == NULL && from->over && from->at < from->buf.len)
            end = data + from->buf.len; /* room for the NUL was kept */
        if (end != NULL) {
            const char *line = (const char *)data + from->at;
            from->at = shl_min_size((size_t)(end - data) + 1, from->buf.len);
            *end = '\0';
            if (end > data && end[-1] == '\r')
                end[-1] = '\0';
            from->line++;
            return line;
        }
        if (from->over)
            return NULL;
        if (from->at > 0)
            memmove(data, data + from->at, from->buf.len - from->at);
        from->buf.len -= from->at;
        from->at = 0;
        size_t n = 0;
        if (from->buf.len > LINE_BYTES_MAX ||
            shl_buf_reserve(&from->buf, 65536 + 1, &c.err) != SHALE_OK) {
            *code = cli_trouble(&c, "the line is too long");
            return NULL;
        }
        int failed = os_read(from->fd, from->buf.data + from->buf.len, 65536, &n);
        if (failed != 0) {
            *code = failed == EINTR ? os_stop_code()
                                    : cli_trouble(&c, "cannot be read: %s", strerror(failed));
            return NULL;
        }
        from->buf.len += n;
        from->over = n == 0;
    }
}

int shell_lines(struct shell *s, struct shell_source *from)
{
    struct shell_source *before = s->source;
    bool keep_going = cli_has(&s->c->args, OPT_KEEP_GOING);
    int code = CLI_YES;
    const char *line;
    s->source = from;
    while (code == CLI_YES && !s->leave && (line = next_line(s, from, &code)) != NULL) {
        code = shell_line(s, line);
        if (out_finish(s->c->out) != 0)
            break; /* the end of the program tells */
        if (code == CLI_NO) {
            s->no = CLI_NO; /* an answer, no failure */
            code = CLI_YES;
        } else if (code != CLI_YES && keep_going && os_stop_code() == 0) {
            s->failed = s->failed == 0 ? code : s->failed;
            code = CLI_YES;
        }
    }
    s->source = before;
    return code;
}

static int run_script(struct shell *s)
{
    struct shell_source from = {.fd = CLI_STDIN, .name = "stdin"};
    int code = shell_lines(s, &from);
    shl_buf_free(&from.buf);
    return code != CLI_YES ? code : s->failed != CLI_YES ? s->failed : s->no;
}

/* ---- lines that somebody types */

static void prompt(const struct shell *s, char *dst, size_t cap)
{
    const char *url = s->session.url;
    size_t len = strlen(url);
    while (len > 1 && url[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && url[from - 1] != '/' && url[from - 1] != '=')
        from--;
    char state[80] = "";
    if (s->session.txn != NULL)
        (void)snprintf(state, sizeof state, " (transaction, %zu write%s)", s->session.txn_writes,
                       s->session.txn_writes == 1 ? "" : "s");
    else if (s->session.writer)
        (void)snprintf(state, sizeof state, " (write)");
    (void)snprintf(dst, cap, "%.*s%s%.40s%s> ", (int)shl_min_size(len - from, 40), url + from,
                   s->session.checkpoint != NULL ? "@" : "",
                   s->session.checkpoint != NULL ? s->session.checkpoint : "", state);
}

static void keep(struct shell *s, const char *path, struct shl_buf *last, const char *line)
{
    shale_error err;
    if (!history_may_keep(line) ||
        (last->data != NULL && strcmp((const char *)last->data, line) == 0))
        return;
    line_remember(s->line, line);
    if (path[0] != '\0')
        history_add(path, line);
    if (shl_buf_set(last, shl_slice_str(line), &err) != SHALE_OK ||
        shl_str_terminate(last, &err) != SHALE_OK)
        shl_buf_free(last);
}

static int run_typed(struct shell *s)
{
    char path[1024] = "";
    char shown[160];
    struct shl_buf line = {0};
    struct shl_buf last = {0};
    int stop = 0;
    if (history_path(path, sizeof path))
        history_load(path, line_remember, s->line);
    else
        path[0] = '\0';
    cli_note(s->c, "shale %s, %s, %s. .help explains, Tab completes, Ctrl-D leaves.",
             shale_version(), s->session.url, s->session.writer ? "read and write" : "read only");
    while (!s->leave && stop != 143) {
        os_stop_forget();
        prompt(s, shown, sizeof shown);
        os_life_still(true);
        enum line_end end = line_read(s->line, shown, &line);
        os_life_still(false);
        stop = os_stop_code();
        if (end == LINE_STOPPED)
            continue;
        if (end == LINE_OVER) {
            (void)os_write(CLI_STDERR, "\n", 1);
            break;
        }
        keep(s, path, &last, (const char *)line.data);
        (void)shell_line(s, (const char *)line.data);
        (void)out_finish(s->c->out);
        stop = os_stop_code();
        if (stop == 130)
            cli_note(s->c, "stopped");
    }
    shl_buf_free(&line);
    shl_buf_free(&last);
    return stop == 143 ? stop : CLI_YES;
}

/* ---- begin and end */

static void drop_opener(struct shell *s)
{
    shale_options_free(s->opener.options);
    s->opener.options = NULL;
    cli_args_deinit(&s->opener.args);
    env_free(s->opener_argv);
    s->opener_argv = NULL;
    shl_buf_free(&s->opener_text);
}

/* opener.args as the command line and .set say now. */
static int make_opener(struct shell *s)
{
    struct cli_problem problem;
    struct forwarded f = {.count = 0};
    const struct cli_command *command = s->c->args.command;
    char **args;
    int code = CLI_FAILED;
    drop_opener(s);
    forward_all(s, cli_command_options(command) & ~(CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_TIMEOUT)),
                &f);
    s->opener_argv = env_calloc(f.count + 4, sizeof *s->opener_argv);
    if (s->opener_argv != NULL) {
        s->opener_argv[0] = "shale";
        s->opener_argv[1] = command->name;
        s->opener_argv[2] = s->session.url;
        memcpy(s->opener_argv + 3, f.argv, f.count * sizeof *f.argv);
        memcpy(&args, &s->opener_argv, sizeof args);
        s->opener_text = f.text;
        f.text = (struct shl_buf){0}; /* moved */
        enum cli_parse parsed =
            cli_args_parse((int)f.count + 3, args, NULL, &s->opener.args, &problem);
        code = parsed == CLI_PARSE_OK ? CLI_YES : cli_usage(s->c, NULL, "%s", problem.text);
    }
    shl_buf_free(&f.text);
    return code;
}

int shell_reopen(struct shell *s)
{
    struct cli line = shell_cli(s);
    int code = session_close(&line);
    int made = make_opener(s);
    return code != CLI_YES ? code : made;
}

/* A database in memory is nobody else's: it is made, and written to at once. A name lets the other commands find the same one. */
static bool take_url(struct shell *s)
{
    const char *url = s->c->args.positional[0];
    bool memory = strncmp(url, "memory", 6) == 0;
    bool unnamed =
        strcmp(url, "memory") == 0 || strcmp(url, "memory:") == 0 || strcmp(url, "memory://") == 0;
    s->session.url = env_strdup(unnamed ? "memory://?name=shell" : url);
    s->session.writer = memory;
    return s->session.url != NULL;
}

static int run(struct shell *s)
{
    const char *checkpoint = s->c->args.value[OPT_CHECKPOINT];
    struct cli first = shell_cli(s);
    shale_db *db = NULL;
    int code = make_opener(s);
    if (code != CLI_YES)
        return code;
    if (checkpoint != NULL && (s->session.checkpoint = env_strdup(checkpoint)) == NULL)
        return cli_trouble(s->c, "out of memory");
    first.args.command = s->c->args.command;
    first.args.in_shell = false;
    if (cli_has(&s->c->args, OPT_TIMEOUT)) { /* the open has one, too, as each line */
        first.args.value[OPT_TIMEOUT] = s->c->args.value[OPT_TIMEOUT];
        first.args.number[OPT_TIMEOUT] = s->c->args.number[OPT_TIMEOUT];
    }
    code = session_reader(&first, &db); /* a wrong name shows at once */
    os_deadline_forget();
    if (code != CLI_YES)
        return code;
    if (!os_is_terminal(CLI_STDIN))
        return run_script(s);
    s->line = line_open(shell_tab, s);
    return s->line != NULL ? run_typed(s) : cli_trouble(s->c, "out of memory");
}

int cmd_shell(struct cli *c)
{
    struct shell s = {.c = c};
    struct cli last;
    int code = CLI_FAILED;
    os_signals(OS_STOP_SAFELY);
    lookup_init(&s.session.lookup);
    s.opener.out = c->out;
    s.opener.watch = c->watch;
    s.session.opener = &s.opener;
    if (take_url(&s))
        code = run(&s);
    else
        (void)cli_trouble(c, "out of memory");
    last = shell_cli(&s);
    last.args.in_shell = false;
    last.args.command = c->args.command;
    int closed = session_close(&last);
    if (c->out->fd != CLI_STDOUT) { /* .output to a file */
        closed = cli_finish(c, closed);
        os_close(c->out->fd);
        c->out->fd = CLI_STDOUT;
    }
    line_close(s.line);
    lookup_deinit(&s.session.lookup);
    drop_opener(&s);
    for (size_t i = 0; i < s.sets.count; i++)
        env_free(s.sets.items[i]);
    shl_array_free(&s.sets);
    env_free(s.session.url);
    env_free(s.session.checkpoint);
    return code != CLI_YES ? code : closed;
}
