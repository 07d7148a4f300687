/* Commands that drive the shell itself. */
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/os.h"
#include "cli/shell.h"

#include <inttypes.h>
#include <stdio.h>

static int bad(struct cli *c, const char *name, const char *word, const char *known)
{
    return cli_usage(c, ".help", "%s %.60s: %s", name, word, known);
}

/* "on" or "off". */
static bool take_switch(struct cli *c, const char *name, const char *word, bool *out, int *code)
{
    if (shl_parse_bool(shl_slice_str(word), out))
        return true;
    *code = bad(c, name, word, "on or off?");
    return false;
}

/* A transaction is one of the handle that is open now. */
static bool txn_in_the_way(struct shell *s, struct cli *c, int *code)
{
    if (s->session.txn == NULL)
        return false;
    *code = cli_usage(c, ".commit", "a transaction is open: .commit or .rollback first");
    return true;
}

static bool set_text(struct cli *c, char **at, const char *value, int *code)
{
    char *copy = value != NULL ? env_strdup(value) : NULL;
    if (value != NULL && copy == NULL) {
        *code = cli_trouble(c, "out of memory");
        return false;
    }
    env_free(*at);
    *at = copy;
    return true;
}

/* Opens what the session says now, so that a mistake shows at once. */
static int open_now(struct shell *s, struct cli *c)
{
    shale_db *db;
    int code = shell_reopen(s);
    return code == CLI_YES ? session_reader(c, &db) : code;
}

static int dot_help(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    const char *command[3] = {"help", count > 1 ? words[1] : NULL, count > 2 ? words[2] : NULL};
    if (count > 1 && words[1][0] != '.')
        return shell_command(s, command, count);
    out_text(c->out, "Commands, without shale and DB; .help COMMAND explains one:\n  ");
    char names[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < cli_command_count() && at < sizeof names; i++) {
        enum cli_group group = cli_command_at(i)->group;
        if (group != CLI_GROUP_PROGRAM && group != CLI_GROUP_WORK && group != CLI_GROUP_ENGINES)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at > 0 ? "  " : "",
                                   cli_command_at(i)->name);
    }
    out_printf(c->out, "%s\nThe shell itself:\n", names);
    for (size_t i = 0; shell_dot_at(i) != NULL; i++) {
        char left[64];
        const struct shell_dot *d = shell_dot_at(i);
        if (count > 1 && strcmp(words[1], d->name) != 0)
            continue;
        (void)snprintf(left, sizeof left, "%s %s", d->name, d->args);
        out_printf(c->out, "  %-24s %s\n", left, d->what);
    }
    return CLI_YES;
}

/* A name that cannot be opened leaves the shell where it is. Memory is made by the open: there is nothing to try. */
static int try_open(struct shell *s, struct cli *c, const char *url)
{
    shale_db *db = NULL;
    if (strncmp(url, "memory", 6) == 0)
        return CLI_YES;
    if (s->opener.options == NULL && !cli_options(&s->opener))
        return CLI_USAGE;
    if (shale_db_open_reader(&db, url, s->opener.options, NULL, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    (void)shale_db_close(db, NULL);
    return CLI_YES;
}

static int dot_open(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    (void)count;
    if (txn_in_the_way(s, c, &code))
        return code;
    code = try_open(s, c, words[1]);
    if (code == CLI_YES)
        code = session_close(c);
    if (code != CLI_YES || !set_text(c, &s->session.url, words[1], &code) ||
        !set_text(c, &s->session.checkpoint, NULL, &code))
        return code;
    s->session.writer = strncmp(words[1], "memory", 6) == 0;
    return open_now(s, c);
}

static int dot_checkpoint(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    (void)count;
    if (s->session.writer)
        return cli_usage(c, ".write off", "a writer sees the newest state only");
    if (!set_text(c, &s->session.checkpoint, strcmp(words[1], "none") == 0 ? NULL : words[1],
                  &code))
        return code;
    code = open_now(s, c);
    if (code != CLI_YES)
        (void)set_text(c, &s->session.checkpoint, NULL, &code);
    return code;
}

static int dot_mode(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    static const char *const modes[] = {"text", "json", "csv", "hex"};
    (void)count;
    for (size_t i = 0; i < SHL_COUNT_OF(modes); i++)
        if (strcmp(modes[i], words[1]) == 0) {
            s->mode = (enum shell_mode)i;
            return CLI_YES;
        }
    return bad(c, words[0], words[1], "text, json, csv or hex?");
}

static int dot_timer(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    (void)count;
    (void)take_switch(c, words[0], words[1], &s->timer, &code);
    return code;
}

static int dot_requests(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    (void)count;
    (void)take_switch(c, words[0], words[1], &s->requests, &code);
    return code;
}

static int dot_limit(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    uint64_t n;
    (void)count;
    if (strcmp(words[1], "none") == 0 || strcmp(words[1], "off") == 0)
        s->limit[0] = '\0';
    else if (shl_parse_u64(shl_slice_str(words[1]), &n))
        (void)snprintf(s->limit, sizeof s->limit, "%" PRIu64, n);
    else
        return bad(c, words[0], words[1], "a number of rows, or none");
    return CLI_YES;
}

static int dot_output(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int fd = CLI_STDOUT;
    (void)s;
    int failed = out_finish(c->out);
    if (failed != 0)
        return cli_trouble(c, "the output cannot be written: %s", strerror(failed));
    if (count > 1) {
        failed = os_open_write(&fd, words[1]);
        if (failed != 0)
            return cli_trouble(c, "%s cannot be written: %s", words[1], strerror(failed));
    }
    if (c->out->fd != CLI_STDOUT)
        os_close(c->out->fd);
    c->out->fd = fd;
    return CLI_YES;
}

static int dot_read(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    struct shell_source from = {.name = words[1]};
    (void)count;
    if (s->depth >= 8)
        return cli_usage(c, NULL,
                         ".read: files that read files, eight deep: does one read itself?");
    int failed = os_open_read(&from.fd, words[1]);
    if (failed != 0)
        return cli_trouble(c, "%s cannot be read: %s", words[1], strerror(failed));
    s->depth++;
    int code = shell_lines(s, &from);
    s->depth--;
    os_close(from.fd);
    shl_buf_free(&from.buf);
    return code;
}

/* Asks only who can answer: a script has said it by writing the line. */
static bool agrees(struct shell *s, struct cli *c)
{
    char reply[16];
    if (s->source != NULL || !os_is_terminal(CLI_STDIN) || cli_has(&s->c->args, OPT_YES))
        return true;
    cli_note(c,
             "This takes over as writer of %s.\nA process that writes to it now is fenced: its "
             "later writes fail.",
             s->session.url);
    (void)os_write(CLI_STDERR, "take over? [y/N] ", 17);
    return os_read_line(reply, sizeof reply) && (reply[0] == 'y' || reply[0] == 'Y');
}

static int dot_write(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    bool on = false;
    shale_db *db = NULL;
    int code = CLI_YES;
    (void)count;
    if (!take_switch(c, words[0], words[1], &on, &code) || on == s->session.writer ||
        txn_in_the_way(s, c, &code))
        return code;
    if (on && s->session.checkpoint != NULL)
        return cli_usage(c, ".checkpoint none",
                         "this shell looks at a checkpoint, which cannot be written");
    if (on && !agrees(s, c))
        return CLI_NO;
    code = shell_reopen(s);
    if (code != CLI_YES)
        return code;
    s->session.writer = on;
    code = on ? session_writer(c, &db) : session_reader(c, &db);
    if (code != CLI_YES) {
        s->session.writer = false;
    } else if (on) {
        shale_db_status status = {.struct_size = sizeof status};
        shale_db_status_get(db, &status);
        cli_note(c, "note: took over as writer, epoch %" PRIu64 " -> %" PRIu64,
                 status.writer_epoch - 1, status.writer_epoch);
    }
    return code;
}

static int dot_begin(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    shale_db *db = NULL;
    shale_txn_options how;
    bool serializable = count > 1 && strcmp(words[1], "serializable") == 0;
    if (count > 1 && !serializable && strcmp(words[1], "snapshot") != 0)
        return bad(c, words[0], words[1], "snapshot or serializable?");
    if (!s->session.writer)
        return cli_usage(c, ".write on", "this shell only reads");
    if (txn_in_the_way(s, c, &code))
        return code;
    code = session_writer(c, &db);
    if (code != CLI_YES)
        return code;
    shale_txn_options_init(&how, sizeof how);
    how.isolation = serializable ? SHALE_ISOLATION_SERIALIZABLE : SHALE_ISOLATION_SNAPSHOT;
    if (shale_db_begin(&s->session.txn, db, &how, &c->err) != SHALE_OK)
        return cli_fail(c, s->session.url);
    cli_note(c,
             "transaction at seq %" PRIu64 ": what is written shows here, and to others after "
             ".commit; .rollback drops it",
             shale_txn_seq(s->session.txn));
    return CLI_YES;
}

static int dot_commit(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    shale_write_result result = {0};
    shale_write_options how;
    (void)words;
    (void)count;
    if (s->session.txn == NULL)
        return cli_usage(c, ".begin", "no transaction is open");
    size_t writes = s->session.txn_writes;
    shale_write_options_init(&how, sizeof how);
    how.result = &result;
    shale_code rc = shale_txn_commit(s->session.txn, &how, &c->err);
    session_drop_txn(&s->session);
    if (rc != SHALE_OK) {
        int code = cli_fail(c, s->session.url);
        session_check(c);
        return code;
    }
    if (writes > 0)
        cli_note(c, "%zu write%s committed, durable at seq %" PRIu64, writes,
                 writes == 1 ? "" : "s", result.seq);
    return CLI_YES;
}

static int dot_rollback(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    (void)words;
    (void)count;
    if (s->session.txn == NULL)
        return cli_usage(c, ".begin", "no transaction is open");
    cli_note(c, "%zu write%s dropped", s->session.txn_writes,
             s->session.txn_writes == 1 ? "" : "s");
    session_drop_txn(&s->session);
    return CLI_YES;
}

/* .explain KEY, .stat: the commands of that name. */
static int dot_command(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    const char *plain[3];
    (void)c;
    for (size_t i = 0; i < count && i < SHL_COUNT_OF(plain); i++)
        plain[i] = i == 0 ? words[0] + 1 : words[i];
    return shell_command(s, plain, count);
}

static bool print_changed(void *ctx, const shale_option_info *info)
{
    if (strcmp(info->origin, "default") != 0)
        out_printf(ctx, "%s=%s  (%s)\n", info->name, info->value, info->origin);
    return true;
}

static int dot_set(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    int code = CLI_YES;
    if (count == 1) {
        if (s->opener.options != NULL)
            shale_options_each(s->opener.options, print_changed, c->out);
        return CLI_YES;
    }
    if (txn_in_the_way(s, c, &code))
        return code;
    char *pair = env_strdup(words[1]);
    if (pair == NULL || !shl_array_reserve(&s->sets, 1)) {
        env_free(pair);
        return cli_trouble(c, "out of memory");
    }
    shl_array_add(&s->sets, pair);
    code = open_now(s, c);
    if (code != CLI_YES) { /* as it was before */
        s->sets.count--;
        env_free(pair);
        (void)shell_reopen(s);
    }
    return code;
}

static int dot_quit(struct shell *s, struct cli *c, const char *const *words, size_t count)
{
    (void)c;
    (void)words;
    (void)count;
    s->leave = true;
    return CLI_YES;
}

static const struct shell_dot dots[] = {
    {".help", "[COMMAND]", "this list, or the help of a command", 0, 2, dot_help},
    {".open", "URL", "another database, read only", 1, 1, dot_open},
    {".checkpoint", "NAME|none", "read as it was at a checkpoint, by name or id", 1, 1,
     dot_checkpoint},
    {".mode", "text|json|csv|hex", "how rows are printed; hex: keys are given in hex too", 1, 1,
     dot_mode},
    {".limit", "N|none", "rows that a scan prints", 1, 1, dot_limit},
    {".output", "[FILE]", "print into a file, or to the terminal again", 0, 1, dot_output},
    {".read", "FILE", "run the lines of a file", 1, 1, dot_read},
    {".timer", "on|off", "rows, time, requests and price after each command", 1, 1, dot_timer},
    {".requests", "on|off", "requests and price only", 1, 1, dot_requests},
    {".explain", "KEY", "what a get of a key asks, and which place answers", 1, 1, dot_command},
    {".stat", "", "shape, sizes, checkpoints and cost", 0, 0, dot_command},
    {".set", "[NAME=V]", "a setting; the database is opened anew. Alone: those that differ", 0, 1,
     dot_set},
    {".write", "on|off", "take over as writer (asks: another writer is fenced), or let go", 1, 1,
     dot_write},
    {".begin", "[snapshot|serializable]",
     "begin a transaction: gets and scans see its own puts and dels", 0, 1, dot_begin},
    {".commit", "", "write what the transaction wrote: all or nothing", 0, 0, dot_commit},
    {".rollback", "", "drop it", 0, 0, dot_rollback},
    {".quit", "", "leave, as Ctrl-D", 0, 0, dot_quit},
};

const struct shell_dot *shell_dot_at(size_t index)
{
    return index < SHL_COUNT_OF(dots) ? &dots[index] : NULL;
}

static int unknown(struct cli *c, const char *word)
{
    struct cli_near near = {0};
    char text[CLI_NEAR_TEXT];
    if (strcmp(word, ".at") == 0 || strcmp(word, ".history") == 0)
        return cli_usage(c, ".checkpoint NAME",
                         "%s: not built yet: older states can be read at checkpoints only", word);
    for (size_t i = 0; i < SHL_COUNT_OF(dots); i++)
        cli_near_offer(&near, shl_slice_str(word), dots[i].name);
    return cli_usage(c, ".help", "unknown command \"%.60s\"%s", word,
                     cli_near_text(&near, "", text));
}

int shell_dot(struct shell *s, const char *const *words, size_t count)
{
    struct cli c = shell_cli(s);
    int code = CLI_YES;
    const struct shell_dot *found = NULL;
    for (size_t i = 0; i < SHL_COUNT_OF(dots); i++)
        if (strcmp(words[0], dots[i].name) == 0)
            found = &dots[i];
    if (found == NULL)
        code = unknown(&c, words[0]);
    else if (count - 1 < found->args_min)
        code = cli_usage(&c, ".help", "%s what? usage: %s %s", words[0], words[0], found->args);
    else if (count - 1 > found->args_max)
        code = cli_usage(&c, ".help", "one word too many: \"%.60s\": usage: %s %s",
                         words[found->args_max + 1], words[0], found->args);
    else
        code = found->run(s, &c, words, count);
    shale_options_free(c.options);
    return code;
}
