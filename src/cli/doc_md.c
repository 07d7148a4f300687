/* Pages of docs/reference in Markdown. */
#include "base/num.h"
#include "cli/doc.h"

#include <stdio.h>

#define MADE_BY "Made by `tools/gen-docs` from the program's own tables; a test compares."

/* Text in a cell of a table: '|' would end it. */
static void cell(struct out *o, const char *text)
{
    static const char idle[] = "(no effect yet)";
    for (const char *at = text; *at != '\0'; at++) {
        if (strncmp(at, idle, sizeof idle - 1) == 0) {
            out_printf(o, "*%s*", idle);
            at += sizeof idle - 2;
        } else {
            if (*at == '|')
                out_char(o, '\\');
            out_char(o, *at);
        }
    }
}

static void option_row(struct out *o, const struct cli_option *option)
{
    out_text(o, "| ");
    if (option->letter != 0)
        out_printf(o, "`-%c`, ", option->letter);
    out_printf(o, "`--%s", option->name);
    if (option->metavar != NULL)
        out_printf(o, " %s", option->metavar);
    out_text(o, "` | ");
    cell(o, option->help);
    out_text(o, " |\n");
}

static void option_table(struct out *o, cli_option_set mask, const char *title)
{
    bool any = false;
    for (size_t h = 0; cli_heading_at(h) != NULL; h++)
        for (unsigned i = 0; i < OPT_IDS; i++) {
            const struct cli_option *option = cli_option_at((enum cli_option_id)i);
            if ((mask & CLI_BIT(i)) == 0 || strcmp(option->heading, cli_heading_at(h)) != 0)
                continue;
            if (!any)
                out_printf(o, "\n## %s\n\n| Option | Meaning |\n|---|---|\n", title);
            any = true;
            option_row(o, option);
        }
}

static void examples(struct out *o, const struct cli_command *c)
{
    out_text(o, "\n## Examples\n\n```sh\n");
    for (size_t i = 0; i < SHL_COUNT_OF(c->examples) && c->examples[i].command != NULL; i++)
        out_printf(o, "%s# %s\n%s\n", i > 0 ? "\n" : "", c->examples[i].what,
                   c->examples[i].command);
    out_text(o, "```\n");
    for (size_t i = 0; doc_example_at(i) != NULL; i++)
        if (strcmp(doc_example_at(i)->command, c->name) == 0)
            out_printf(o, "\n%s\n\n```sh\n%s```\n", doc_example_at(i)->what,
                       doc_example_at(i)->lines);
}

static void command_page(struct out *o, const struct cli_command *c)
{
    out_printf(o, "# shale %s\n\nFor those who look up this command: %s. " MADE_BY "\n\n", c->name,
               c->summary);
    out_printf(o, "```\nshale %s%s%s\n```\n", c->name, c->usage[0] != '\0' ? " " : "", c->usage);
    if (c->notes != NULL)
        out_printf(o, "\n%s\n", c->notes);
    examples(o, c);
    option_table(o, c->options & ~cli_open_options(), "Options");
    option_table(o, c->options & cli_open_options(), "How the database is opened");
    out_printf(o,
               "\nThe options of every command: [commands](README.md).\n\n"
               "## Exit code and cost\n\n%s\n\nAll codes: [exit codes](../exit-codes.md).\n",
               c->exits);
}

static void index_page(struct out *o)
{
    char name[64];
    out_text(o,
             "# Commands\n\nFor those who look for a command or option of `shale`. " MADE_BY "\n");
    for (int g = 0; g < CLI_GROUPS; g++) {
        out_printf(o, "\n## %s\n\n| Command | What it does |\n|---|---|\n",
                   cli_group_name((enum cli_group)g));
        for (size_t i = 0; i < cli_command_count(); i++) {
            const struct cli_command *c = cli_command_at(i);
            if ((int)c->group != g)
                continue;
            doc_page_name(name, c);
            out_printf(o, "| [%s](%s.md) | %s |\n", c->name, name, c->summary);
        }
    }
    option_table(o, cli_common_options(), "Options of every command");
    out_text(o,
             "\n`--name value` and `--name=value` are the same; options may stand anywhere, `--` "
             "ends them; names are never shortened.\n");
}

struct section {
    struct out *o;
    size_t index;
};

static bool setting_row(void *ctx, const shale_option_info *info)
{
    struct section *s = ctx;
    if (!doc_setting_is_in(s->index, info->name))
        return true;
    out_printf(s->o, "| `%s` | %s | `%s` | ", info->name, info->type, info->default_value);
    cell(s->o, info->help);
    out_text(s->o, " |\n");
    return true;
}

static void settings_page(struct out *o)
{
    shale_options *options = shale_options_new();
    if (options == NULL)
        return;
    out_text(
        o, "# Settings\n\nFor those who tune a database: every setting, its type, its "
           "default. " MADE_BY
           "\n\nHighest first: `--set` and the commands' own options, `SHALE_<NAME>`, "
           "`SLATEDB_<NAME>`, `--settings FILE`,\n`./SlateDb.yml`, `.yaml`, "
           "`.toml`, `.json` (merged as SlateDB does: of several the one named first here "
           "wins),\n"
           "`~/.config/shale/config.toml`, `/etc/shale/config.toml`, the default. A setting that "
           "may be\n"
           "null is switched off with `none`. In C: `shale_options_set(options, NAME, VALUE, "
           "&err)`. Sizes are `4096`, `10MiB`, `10MB`;\ndurations `100ms`, `30s`, `5m`. Settings "
           "that say *(no effect yet)* are accepted, because SlateDB's settings files have them,\n"
           "and change nothing in this version.\n");
    for (struct section s = {o, 0}; doc_settings_section(s.index) != NULL; s.index++) {
        out_printf(o, "\n## %s\n\n| Setting | Type | Default | What it does |\n|---|---|---|---|\n",
                   doc_settings_section(s.index));
        shale_options_each(options, setting_row, &s);
    }
    shale_options_free(options);
}

bool doc_md(struct out *o, const char *name)
{
    char page[64];
    if (strcmp(name, "commands") == 0) {
        index_page(o);
        return true;
    }
    if (strcmp(name, "settings") == 0) {
        settings_page(o);
        return true;
    }
    for (size_t i = 0; cli_topic_at(i) != NULL; i++) {
        const struct cli_topic *t = cli_topic_at(i);
        if (strcmp(t->name, name) != 0 || t->text == NULL)
            continue;
        out_printf(o,
                   "# %c%s\n\nFor those who look it up: %s. Also: `shale help %s`. " MADE_BY
                   "\n\n```\n",
                   t->name[0] - 'a' + 'A', t->name + 1, t->summary, t->name);
        out_text(o, t->text); /* longer than out_printf takes */
        out_text(o, "```\n");
        return true;
    }
    for (size_t i = 0; i < cli_command_count(); i++) {
        doc_page_name(page, cli_command_at(i));
        if (strcmp(page, name) == 0) {
            command_page(o, cli_command_at(i));
            return true;
        }
    }
    return false;
}
