/* Help texts, made of the table: examples before options, 100 columns, bold headings and a pager on a terminal only. */
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <stdio.h>

#define COLUMNS 100

static void heading(struct out *o, const char *text)
{
    out_printf(o, "%s%s%s\n", o->bold ? "\033[1m" : "", text, o->bold ? "\033[0m" : "");
}

static void examples(struct out *o, const struct cli_command *command)
{
    size_t widest = 0;
    for (size_t i = 0; i < SHL_COUNT_OF(command->examples) && command->examples[i].command != NULL;
         i++)
        widest = shl_max_size(widest, strlen(command->examples[i].command));
    for (size_t i = 0; i < SHL_COUNT_OF(command->examples) && command->examples[i].command != NULL;
         i++)
        out_printf(o, "  %-*s   %s\n", (int)widest, command->examples[i].command,
                   command->examples[i].what);
}

void cli_wrapped(struct out *o, const char *text, size_t at)
{
    size_t indent = at;
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
    cli_wrapped(o, option->help, 25);
}

static void options_under(struct out *o, cli_option_set mask, const char *title)
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

/* ---- one command */

void cli_help_command(struct out *o, const struct cli_command *command)
{
    out_printf(o, "shale %s - %s\n\nUsage: shale %s%s%s\n\n", command->name, command->summary,
               command->name, command->usage[0] != '\0' ? " " : "", command->usage);
    examples(o, command);
    cli_option_set own = command->options & ~cli_open_options();
    for (size_t i = 0; cli_heading_at(i) != NULL; i++)
        options_under(o, own, cli_heading_at(i));
    out_text(o,
             (command->options & cli_open_options()) != 0
                 ? "\nMore: --set NAME=V, --root URL, --merge OP, -j --json, -q, -v ..: shale help "
                   "common\n"
                 : "\nMore: -j --json, -q, -v ..: shale help common\n");
    if (command->notes != NULL) {
        out_char(o, '\n');
        cli_wrapped(o, command->notes, 0);
    }
    out_text(o, "\nExit: ");
    cli_wrapped(o, command->exits, 6);
    char page[80];
    (void)snprintf(page, sizeof page, "%s", command->name);
    for (char *blank = strchr(page, ' '); blank != NULL; blank = strchr(page, ' '))
        *blank = '-';
    out_printf(o, "See:  man shale-%s\n", page);
}

/* ---- the overview */

/* "Rows        put  get  del", "Bucket      store ls|cat": the commands of one group. */
static void group_line(struct out *o, enum cli_group group)
{
    const char *last = NULL; /* the command before, if its first word may be shared */
    out_printf(o, "%-11s", cli_group_name(group));
    for (size_t i = 0; i < cli_command_count(); i++) {
        const struct cli_command *command = cli_command_at(i);
        if (command->group != group)
            continue;
        const char *blank = strchr(command->name, ' ');
        size_t word = blank != NULL ? (size_t)(blank - command->name) + 1 : 0;
        if (last != NULL && word > 0 && strncmp(last, command->name, word) == 0)
            out_printf(o, "|%s", blank + 1);
        else if (last != NULL && group == CLI_GROUP_ENGINES &&
                 strncmp(last, command->name, strcspn(last, " ")) != 0)
            out_printf(o, "\n%11s %s", "", command->name); /* a line for each engine */
        else
            out_printf(o, " %s%s", last != NULL ? " " : "", command->name);
        last = command->name;
    }
    out_char(o, '\n');
}

static void topics_line(struct out *o)
{
    char text[400] = "shale help ";
    size_t at = strlen(text);
    for (size_t i = 0; cli_topic_at(i) != NULL && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i > 0 ? " | " : "",
                               cli_topic_at(i)->name);
    out_text(o, "Topics      ");
    cli_wrapped(o, text, 12);
}

void cli_help_overview(struct out *o, bool whole)
{
    out_printf(o, "shale %s - a database in your bucket. Opens SlateDB, s3db and s4db data.\n\n",
               shale_version());
    out_text(o, "Usage: shale COMMAND DB [ARGUMENTS] [--OPTIONS]\n"
                "DB:    s3://bucket/prefix  file:///dir  ./dir  memory:\n\n"
                "  shale load  ./pkgs packages.jsonl           fill a database in a folder, with "
                "progress\n"
                "  shale scan  ./pkgs --prefix lib --limit 5   look at some rows\n"
                "  shale stat  ./pkgs                          shape, sizes, requests, dollars a "
                "month\n"
                "  shale dump  ./pkgs | shale load ./copy      copy every row\n"
                "  shale shell ./pkgs                          explore, with completion and "
                "history\n"
                "  shale stat  s3://acme-prod/orders           the same of a bucket, as all of "
                "these\n"
                "  shale store doctor s3://acme-prod           whether a bucket can hold a "
                "database\n\n");
    group_line(o, CLI_GROUP_ROWS);
    if (!whole) {
        out_text(o, "All commands and options: shale --help\n");
        return;
    }
    for (int i = CLI_GROUP_ROWS + 1; i < CLI_GROUPS; i++)
        group_line(o, (enum cli_group)i);
    out_text(o,
             "\nEverywhere  -j --json     one JSON document (or one line per row) on stdout, for "
             "programs\n"
             "            -q -v         less, more\n"
             "            --set N=V     any database setting, e.g. --set compression_codec=zstd\n");
    topics_line(o);
    out_text(
        o,
        "Exit codes  0 yes, done   1 no (not found)   2 wrong usage   3 database or store error\n"
        "Manual      man shale, man shale-scan, man shale-settings\n");
}

/* ---- topics */

static bool print_setting(void *ctx, const shale_option_info *info)
{
    struct out *o = ctx;
    out_printf(o, "%s = %s  (%s)\n    ", info->name, info->default_value, info->type);
    cli_wrapped(o, info->help, 4);
    return true;
}

static void topic_settings(struct out *o)
{
    shale_options *options = shale_options_new();
    out_text(
        o, "Settings of a database, with their defaults. Highest first: --set and the commands' "
           "own flags,\n"
           "SHALE_<NAME>, SLATEDB_<NAME>, --settings FILE, ./SlateDb.yml, .yaml, .toml,\n"
           ".json (where several are there, they are merged as SlateDB does: the one named first "
           "here wins),\n"
           "~/.config/shale/config.toml, /etc/shale/config.toml. In files, [storage] holds options "
           "of the store\n"
           "and [profile.NAME] what --profile NAME adds. In force, and who said so: shale config "
           "show. A setting\n"
           "that may be null is switched off with none.\n\n");
    if (options != NULL)
        shale_options_each(options, print_setting, o);
    shale_options_free(options);
}

static void topic_common(struct out *o)
{
    cli_option_set mask = cli_common_options() | cli_open_options();
    out_text(
        o,
        "Options that every command takes, before, between or behind its arguments. --name value "
        "and\n--name=value are the same; -- ends options. Names are never shortened.\n");
    for (size_t i = 0; cli_heading_at(i) != NULL; i++)
        options_under(o, mask, cli_heading_at(i));
    out_text(
        o, "\nThose of how a database is opened: only commands that open one. Raw objects (store) "
           "take\n--set, --store-option and --settings.\n");
}

static bool print_topic(struct out *o, const char *name)
{
    for (size_t i = 0; cli_topic_at(i) != NULL; i++) {
        if (strcmp(cli_topic_at(i)->name, name) != 0)
            continue;
        if (cli_topic_at(i)->text != NULL)
            out_text(o, cli_topic_at(i)->text);
        else if (strcmp(name, "settings") == 0)
            topic_settings(o);
        else
            topic_common(o);
        return true;
    }
    return false;
}

static bool print_group(struct out *o, const char *word)
{
    if (!cli_command_is_group(word))
        return false;
    size_t len = strlen(word);
    for (size_t i = 0; i < cli_command_count(); i++) {
        const struct cli_command *command = cli_command_at(i);
        char left[80];
        if (strncmp(command->name, word, len) != 0 || command->name[len] != ' ')
            continue;
        (void)snprintf(left, sizeof left, "%s %.*s", command->name,
                       (int)strcspn(command->usage, "["), command->usage);
        out_printf(o, "  shale %-20s ", left);
        cli_wrapped(o, command->summary, 29);
    }
    return true;
}

/* ---- which text, and through a pager where it does not fit */

static bool print_words(struct out *o, const char *const *words, size_t count)
{
    char name[80];
    if (count == 0) {
        cli_help_overview(o, true);
        return true;
    }
    (void)snprintf(name, sizeof name, "%s%s%s", words[0], count > 1 ? " " : "",
                   count > 1 ? words[1] : "");
    const struct cli_command *command = cli_command_find(name);
    if (command != NULL)
        cli_help_command(o, command);
    if (command != NULL && cli_command_is_group(name)) {
        out_text(o, "\nCommands\n");
        (void)print_group(o, name);
    }
    return command != NULL || (count == 1 && (print_topic(o, name) || print_group(o, name)));
}

static int unknown_topic(struct cli *c, const char *const *words, size_t count)
{
    struct cli_near near = {0};
    char name[80];
    char text[CLI_NEAR_TEXT];
    (void)snprintf(name, sizeof name, "%s%s%s", words[0], count > 1 ? " " : "",
                   count > 1 ? words[1] : "");
    cli_near_commands(&near, name);
    for (size_t i = 0; cli_topic_at(i) != NULL; i++)
        cli_near_offer(&near, shl_slice_str(name), cli_topic_at(i)->name);
    return cli_usage(c, "shale help", "unknown topic \"%.60s\"%s", name,
                     cli_near_text(&near, "", text));
}

/* A help text is far shorter than the buffer of `page`, so that all of it can be looked at before it goes out. */
static void show(struct cli *c, struct out *page)
{
    size_t lines = 0;
    for (size_t i = 0; i < page->len; i++)
        lines += page->buffer[i] == '\n';
    if (os_is_terminal(c->out->fd) && lines >= os_rows()) {
        const char *pager = env_getenv("PAGER");
        (void)out_finish(c->out);
        if (os_pager(pager != NULL && pager[0] != '\0' ? pager : "less -FIRX", page->buffer,
                     page->len))
            return;
    }
    out_bytes(c->out, page->buffer, page->len);
}

static bool is_known(const char *word)
{
    for (size_t i = 0; cli_topic_at(i) != NULL; i++)
        if (strcmp(cli_topic_at(i)->name, word) == 0)
            return true;
    return cli_command_is_group(word) || cli_command_find(word) != NULL;
}

static int help(struct cli *c, const char *const *words, size_t count)
{
    struct out *page = out_new(c->out->fd);
    if (page == NULL)
        return cli_trouble(c, "out of memory");
    page->bold = cli_colour(c, c->out->fd);
    bool known = print_words(page, words, count);
    if (known)
        show(c, page);
    out_free(page);
    return known ? CLI_YES : unknown_topic(c, words, count);
}

int cli_help_for(struct cli *c)
{
    const char *words[2] = {c->args.word, NULL};
    if (c->args.command == NULL) /* -h is answered, whatever stands beside it */
        return help(c, words, c->args.word != NULL && is_known(words[0]));
    words[0] = c->args.command->name; /* with the blank of "store ls" */
    return help(c, words, 1);
}

int cmd_help(struct cli *c)
{
    return help(c, c->args.positional, c->args.positional_count);
}

int cmd_version(struct cli *c)
{
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out, "{\"version\":\"%s\"}\n", shale_version());
    else
        out_printf(c->out, "shale %s\n", shale_version());
    return CLI_YES;
}
