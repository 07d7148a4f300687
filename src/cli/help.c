/* Help texts, made of the table: examples before options, 100 columns, bold headings on a terminal only. */
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <stdio.h>

#define COLUMNS 100

static void heading(struct out *o, const char *text)
{
    bool bold = os_is_terminal(o->fd);
    out_printf(o, "%s%s%s\n", bold ? "\033[1m" : "", text, bold ? "\033[0m" : "");
}

static void examples(struct out *o, const struct cli_command *command)
{
    size_t widest = 0;
    for (size_t i = 0; i < SHL_COUNT_OF(command->examples) && command->examples[i].command != NULL;
         i++)
        widest = shl_max_size(widest, strlen(command->examples[i].command));
    for (size_t i = 0; i < SHL_COUNT_OF(command->examples) && command->examples[i].command != NULL;
         i++)
        out_printf(o, command->examples[i].what[0] != '\0' ? "  %-*s   %s\n" : "  %-*s%s\n",
                   (int)widest, command->examples[i].command, command->examples[i].what);
}

/* Words of `text` behind `at` columns, wrapped with an indent of as many. */
static void wrapped(struct out *o, const char *text, size_t indent)
{
    size_t column = indent;
    for (const char *word = text; *word != '\0';) {
        size_t len = strcspn(word, " ");
        if (column > indent && column + 1 + len > COLUMNS) {
            out_printf(o, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            out_char(o, ' ');
            column++;
        }
        out_bytes(o, word, len);
        column += len;
        word += len + (word[len] == ' ');
    }
    out_char(o, '\n');
}

static void option_line(struct out *o, const struct cli_option *option)
{
    char left[64];
    char letter[8] = "";
    if (option->letter != 0)
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name,
                   option->metavar != NULL ? " " : "",
                   option->metavar != NULL ? option->metavar : "");
    out_printf(o, "  %-22s ", left);
    wrapped(o, option->help, 25);
}

static void options_under(struct out *o, uint64_t mask, const char *title)
{
    bool first = true;
    for (unsigned i = 0; i < OPT_IDS; i++) {
        const struct cli_option *option = cli_option_at((enum cli_option_id)i);
        if ((mask & CLI_BIT(i)) == 0 || strcmp(option->heading, title) != 0)
            continue;
        if (first) {
            out_char(o, '\n');
            heading(o, title);
        }
        first = false;
        option_line(o, option);
    }
}

void cli_help_command(struct out *o, const struct cli_command *command)
{
    static const char *const titles[] = {"Which rows", "What to print", "What to do",
                                         "How the database is opened", "Everywhere"};
    out_printf(o, "shale %s - %s\n\n", command->name, command->summary);
    out_printf(o, "Usage: shale %s %s\n\n", command->name, command->usage);
    examples(o, command);
    for (size_t i = 0; i < SHL_COUNT_OF(titles); i++)
        options_under(o, cli_command_options(command), titles[i]);
    if (command->notes != NULL) {
        out_char(o, '\n');
        wrapped(o, command->notes, 0);
    }
    out_text(o, "\nExit: ");
    wrapped(o, command->exits, 6);
}

void cli_help_overview(struct out *o, bool whole)
{
    out_printf(o, "shale %s - a database in your bucket. Opens SlateDB data.\n\n", shale_version());
    out_text(o, "Usage: shale COMMAND DB [ARGUMENTS] [--OPTIONS]                  DB: file:///dir  "
                "./dir  memory:\n\n"
                "  shale load  ./pkgs packages.jsonl                      fill a database in a "
                "folder, with progress\n"
                "  shale scan  ./pkgs --prefix lib --limit 5              look at some rows\n"
                "  shale stat  ./pkgs                                     shape, sizes, requests, "
                "dollars a month\n"
                "  shale dump  ./pkgs | shale load ./copy                 copy every row\n"
                "  shale bench /tmp/b --workload fillrandom,readhot       measure\n\n"
                "Rows        put  get  del  scan  load  dump\n");
    if (!whole) {
        out_text(o, "All commands and options: shale --help\n");
        return;
    }
    out_text(
        o,
        "See inside  stat  manifest  sst  wal\n"
        "Bucket      store ls|cat|cp|rm|stat\n"
        "Program     bench  help TOPIC  version\n\n"
        "Everywhere  -j --json     one JSON document (or one line per row) on stdout, for "
        "programs\n"
        "            -q -v         less, more\n"
        "            --set N=V     any database setting, e.g. --set compression_codec=zstd; all: "
        "shale help settings\n"
        "Topics      shale help urls | settings | units | exit-codes\n"
        "Exit codes  0 yes, done   1 no (not found)   2 wrong usage   3 database or store error\n");
}

static bool print_setting(void *ctx, const shale_option_info *info)
{
    struct out *o = ctx;
    char left[128];
    (void)snprintf(left, sizeof left, "%s = %s", info->name, info->default_value);
    out_printf(o, "%s  (%s)\n    ", left, info->type);
    wrapped(o, info->help, 4);
    return true;
}

static int help_settings(struct cli *c)
{
    shale_options *options = shale_options_new();
    if (options == NULL)
        return cli_trouble(c, "out of memory");
    out_text(c->out,
             "Settings of a database, with their defaults. Highest first: --set and the commands' "
             "own flags,\n"
             "SHALE_<NAME>, SLATEDB_<NAME>, --settings FILE, ./SlateDb.json|toml|yaml|yml,\n"
             "~/.config/shale/config.toml, /etc/shale/config.toml. A setting that may be null is "
             "switched off\n"
             "with none.\n\n");
    shale_options_each(options, print_setting, c->out);
    shale_options_free(options);
    return CLI_YES;
}

static const struct {
    const char *name;
    const char *text;
} topics[] = {
    {"urls", "memory:, memory://, memory   a database in memory; gone at the end of the process\n"
             "memory://?name=x             the same for all who name x in this process\n"
             "file:///srv/db, ./db, /srv/db  a folder; its parent is the bucket (--root: another "
             "folder above it)\n"},
    {"units",
     "Sizes      4096, 10MiB (1024), 10MB (1000), 10M = MiB\n"
     "Durations  100ms, 30s, 5m, 1h30m, 7d; a bare number is refused here, in files it is seconds\n"
     "Yes or no  true on yes 1, false off no 0\n"
     "Nothing    none, null\n"},
    {"exit-codes",
     "0    yes, done, nothing to do\n"
     "1    the answer is no: no such key, no such object\n"
     "2    the command line or a setting is wrong; nothing was opened\n"
     "3    database or store error, damage met while reading; its kind: --json, .error.code\n"
     "130  stopped by Ctrl-C (SIGINT), 143 by SIGTERM\n"},
};

int cli_help(struct cli *c, const char *const *words, size_t count)
{
    char name[64];
    if (count == 0 || (count == 1 && strcmp(words[0], "help") == 0)) {
        cli_help_overview(c->out, true);
        return CLI_YES;
    }
    if (strcmp(words[0], "settings") == 0)
        return help_settings(c);
    for (size_t i = 0; i < SHL_COUNT_OF(topics); i++)
        if (strcmp(topics[i].name, words[0]) == 0) {
            out_text(c->out, topics[i].text);
            return CLI_YES;
        }
    (void)snprintf(name, sizeof name, count > 1 ? "%s %s" : "%s%s", words[0],
                   count > 1 ? words[1] : "");
    const struct cli_command *command = cli_command_find(name);
    if (command == NULL)
        command = cli_command_find(words[0]);
    if (command != NULL) {
        cli_help_command(c->out, command);
        return CLI_YES;
    }
    if (cli_command_is_group(words[0])) {
        for (size_t i = 0; i < cli_command_count(); i++)
            if (strncmp(cli_command_at(i)->name, words[0], strlen(words[0])) == 0)
                out_printf(c->out, "shale %-11s %-12s %s\n", cli_command_at(i)->name,
                           cli_command_at(i)->usage, cli_command_at(i)->summary);
        return CLI_YES;
    }
    const char *near = cli_nearest_command(words[0]);
    if (near != NULL)
        return cli_usage(c, "shale help", "help: unknown topic \"%.60s\": did you mean %s ?",
                         words[0], near);
    return cli_usage(c, "shale help", "help: unknown topic \"%.60s\"", words[0]);
}
