/* Manual pages in mdoc. */
#include "base/num.h"
#include "cli/doc.h"

#include <stdio.h>

#define DATE    "November 28, 2026" /* of the manual; changes with its words */
#define COLUMNS 76                  /* of the source; mandoc's lint asks for less than 80 */

/* One byte of text as mdoc source, so that it comes out as it is. */
static const char *man_char(char c, char plain[2])
{
    switch (c) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    case '"':
        return "\\(dq";
    default:
        plain[0] = c;
        plain[1] = '\0';
        return plain;
    }
}

static size_t man_len(const char *text, size_t len)
{
    char plain[2];
    size_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += strlen(man_char(text[i], plain));
    return sum;
}

/* A '.' at the beginning of a line would be a macro. */
static void man_bytes(struct out *o, const char *text, size_t len)
{
    char plain[2];
    if (len > 0 && text[0] == '.')
        out_text(o, "\\&");
    for (size_t i = 0; i < len; i++)
        out_text(o, man_char(text[i], plain));
}

static void man_word(struct out *o, const char *text)
{
    man_bytes(o, text, strlen(text));
}

static bool ends_sentence(const char *word, size_t len)
{
    char next = word[len] == ' ' ? word[len + 1] : word[len];
    return len > 1 && (word[len - 1] == '.' || word[len - 1] == '?') &&
           ((next >= 'A' && next <= 'Z') || next == '-' || next == '.' || next == '\0');
}

/* A paragraph: words in lines of the source, a sentence ends its line. */
static void man_text(struct out *o, const char *text)
{
    size_t column = 0;
    for (const char *word = text; *word != '\0';) {
        size_t len = strcspn(word, " ");
        size_t width = man_len(word, len);
        if (column > 0 && column + 1 + width > COLUMNS) {
            out_char(o, '\n');
            column = 0;
        } else if (column > 0) {
            out_char(o, ' ');
            column++;
        }
        man_bytes(o, word, len);
        column += width;
        if (ends_sentence(word, len) && word[len] != '\0') {
            out_char(o, '\n');
            column = 0;
        }
        word += len + (word[len] == ' ');
    }
    out_char(o, '\n');
}

/* A summary or caption as a sentence: a capital at its head, `end` behind it. */
static void man_sentence(struct out *o, const char *text, const char *end)
{
    char line[400];
    (void)snprintf(line, sizeof line, "%s%s", text, end);
    if (line[0] >= 'a' && line[0] <= 'z')
        line[0] = (char)(line[0] - 'a' + 'A');
    man_text(o, line);
}

/* Lines as they are, between Bd and Ed. */
static void man_literal(struct out *o, const char *lines)
{
    out_text(o, ".Bd -literal -offset indent\n");
    for (const char *line = lines; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        man_bytes(o, line, len);
        out_char(o, '\n');
        line += len + (line[len] == '\n');
    }
    out_text(o, ".Ed\n");
}

static void head(struct out *o, const char *name, const char *section, const char *summary)
{
    char upper[64];
    size_t len = shl_min_size(strlen(name), sizeof upper - 1);
    for (size_t i = 0; i < len; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    upper[len] = '\0';
    out_printf(o,
               ".\\\" Made by tools/gen-docs from the program's tables. SPDX-License-Identifier: "
               "Apache-2.0\n");
    out_printf(o, ".Dd " DATE "\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm ", upper, section);
    out_text(o, name);
    out_text(o, "\n.Nd ");
    man_word(o, summary);
    out_char(o, '\n');
}

/* "-j, --json" as mdoc; no macro at the beginning of the line. */
static void option_item(struct out *o, const struct cli_option *option)
{
    out_text(o, ".It ");
    if (option->letter != 0)
        out_printf(o, "Fl %c , ", option->letter);
    out_text(o, "Fl \\-");
    man_word(o, option->name);
    if (option->metavar != NULL) {
        out_text(o, " Ar ");
        man_word(o, option->metavar);
    }
    out_char(o, '\n');
    man_text(o, option->help);
}

static void options_under(struct out *o, cli_option_set mask)
{
    for (size_t h = 0; cli_heading_at(h) != NULL; h++) {
        bool any = false;
        for (unsigned i = 0; i < OPT_IDS; i++) {
            const struct cli_option *option = cli_option_at((enum cli_option_id)i);
            if ((mask & CLI_BIT(i)) == 0 || strcmp(option->heading, cli_heading_at(h)) != 0)
                continue;
            if (!any)
                out_printf(o, ".Ss %s\n.Bl -tag -width Ds\n", cli_heading_at(h));
            any = true;
            option_item(o, option);
        }
        if (any)
            out_text(o, ".El\n");
    }
}

static void examples(struct out *o, const struct cli_command *c)
{
    out_text(o, ".Sh EXAMPLES\n");
    for (size_t i = 0; i < SHL_COUNT_OF(c->examples) && c->examples[i].command != NULL; i++) {
        out_text(o, i > 0 ? ".Pp\n" : "");
        man_sentence(o, c->examples[i].what, ":");
        man_literal(o, c->examples[i].command);
    }
    for (size_t i = 0; doc_example_at(i) != NULL; i++)
        if (strcmp(doc_example_at(i)->command, c->name) == 0) {
            out_text(o, ".Pp\n");
            man_text(o, doc_example_at(i)->what);
            man_literal(o, doc_example_at(i)->lines);
        }
}

/* The first sentence begins with a small letter in the help; it follows the name there. */
static void exit_status(struct out *o, const struct cli_command *c)
{
    out_text(o, ".Sh EXIT STATUS\n");
    man_text(o, c->exits);
    out_text(o, ".Pp\n"
                "2: the command line or a setting is wrong.\n"
                "3: database or store error.\n"
                "129, 130, 143: stopped by a signal.\n");
}

static void command_page(struct out *o, const struct cli_command *c)
{
    char page[64];
    char name[80];
    doc_page_name(page, c);
    (void)snprintf(name, sizeof name, "shale-%s", page);
    head(o, name, "1", c->summary);
    out_printf(o, ".Sh SYNOPSIS\n.Nm \"shale %s\"\n", c->name);
    if (c->usage[0] != '\0')
        man_text(o, c->usage);
    out_text(o, ".Sh DESCRIPTION\n");
    man_sentence(o, c->summary, ".");
    if (c->notes != NULL) {
        out_text(o, ".Pp\n");
        man_text(o, c->notes);
    }
    options_under(o, c->options);
    out_text(o, ".Pp\nThe options that every command takes are in\n.Xr shale 1 .\n");
    exit_status(o, c);
    examples(o, c);
    out_text(o, ".Sh SEE ALSO\n.Xr shale 1 ,\n.Xr shale-settings 5\n");
}

/* "s4": what its commands share is in their own pages. */
static void group_page(struct out *o, const char *group)
{
    char page[64];
    char name[80];
    char summary[100];
    size_t len = strlen(group);
    (void)snprintf(name, sizeof name, "shale-%s", group);
    (void)snprintf(summary, sizeof summary, "the %s commands of shale", group);
    head(o, name, "1", summary);
    out_printf(o, ".Sh SYNOPSIS\n.Nm \"shale %s\"\n.Ar command\n.Sh DESCRIPTION\n", group);
    out_text(o, ".Bl -tag -width \"completion\"\n");
    for (size_t i = 0; i < cli_command_count(); i++) {
        const struct cli_command *c = cli_command_at(i);
        if (strncmp(c->name, group, len) != 0 || c->name[len] != ' ')
            continue;
        doc_page_name(page, c);
        out_printf(o, ".It Ic %s\n", c->name);
        man_text(o, c->summary);
        out_printf(o, ".Xr shale-%s 1\n", page);
    }
    out_text(o, ".El\n.Sh SEE ALSO\n.Xr shale 1\n");
}

static void all_commands(struct out *o)
{
    char page[64];
    for (int g = 0; g < CLI_GROUPS; g++) {
        out_printf(o, ".Ss %s\n.Bl -tag -width \"completion\"\n",
                   cli_group_name((enum cli_group)g));
        for (size_t i = 0; i < cli_command_count(); i++) {
            const struct cli_command *c = cli_command_at(i);
            if ((int)c->group != g)
                continue;
            doc_page_name(page, c);
            out_printf(o, ".It Ic %s\n", c->name);
            man_text(o, c->summary);
            out_printf(o, ".Xr shale-%s 1\n", page);
        }
        out_text(o, ".El\n");
    }
}

static const char *topic_text(const char *name)
{
    for (size_t i = 0; cli_topic_at(i) != NULL; i++)
        if (strcmp(cli_topic_at(i)->name, name) == 0)
            return cli_topic_at(i)->text;
    return "";
}

static void program_page(struct out *o)
{
    head(o, "shale", "1", "a database in your bucket");
    out_text(o, ".Sh SYNOPSIS\n.Nm\n.Ar COMMAND\n.Op Ar DB\n.Op Ar ARGUMENTS\n.Op Fl \\-OPTIONS\n"
                ".Sh DESCRIPTION\n"
                "Shale reads and writes SlateDB databases: key-value databases whose files are\n"
                "immutable objects in a bucket or in a folder.\n"
                "Reading commands open a reader, which writes nothing and fences nobody.\n"
                "Writing commands open the database as its writer: the writer before is fenced.\n"
                ".Pp\n"
                "Options may stand anywhere;\n.Fl \\-\nends them.\n"
                "Names are never shortened.\n"
                "Standard output holds data only, standard error the rest.\n");
    all_commands(o);
    out_text(o, ".Sh OPTIONS\nEvery command takes these.\n");
    options_under(o, cli_common_options());
    out_text(o, ".Ss How a database is named\n");
    man_literal(o, topic_text("urls"));
    out_text(o, ".Ss Units\n");
    man_literal(o, topic_text("units"));
    out_text(o, ".Ss Credentials\n");
    man_literal(o, topic_text("credentials"));
    out_text(o, ".Ss Costs\n");
    man_literal(o, topic_text("costs"));
    out_text(o, ".Sh ENVIRONMENT\n");
    man_literal(o, topic_text("environment"));
    out_text(o, ".Sh FILES\n.Bl -tag -width Ds -compact\n"
                ".It Pa SlateDb.json , SlateDb.toml , SlateDb.yaml , SlateDb.yml\n"
                "settings in the working directory\n"
                ".It Pa \\(ti/.config/shale/config.toml\nsettings of a user\n"
                ".It Pa /etc/shale/config.toml\nsettings of a machine\n"
                ".It Pa \\(ti/.local/state/shale/history\nlines of\n.Ic shale shell\n.El\n"
                ".Sh EXIT STATUS\n");
    man_literal(o, topic_text("exit-codes"));
    out_text(o, ".Sh EXAMPLES\n");
    man_literal(o, "shale load ./pkgs packages.jsonl\n"
                   "shale scan ./pkgs --prefix lib --limit 5\n"
                   "shale stat ./pkgs\n"
                   "shale dump ./pkgs | shale load ./copy\n");
    out_text(o, ".Sh SEE ALSO\n.Xr libshale 3 ,\n.Xr shale-settings 5 ,\n.Xr shale-formats 7\n");
}

struct section {
    struct out *o;
    size_t index;
};

static bool setting_item(void *ctx, const shale_option_info *info)
{
    struct section *s = ctx;
    if (!doc_setting_is_in(s->index, info->name))
        return true;
    out_printf(s->o, ".It Va %s No = Ar %s\n(%s)\n", info->name, info->default_value, info->type);
    man_text(s->o, info->help);
    return true;
}

static void settings_page(struct out *o)
{
    shale_options *options = shale_options_new();
    if (options == NULL)
        return;
    head(o, "shale-settings", "5", "settings of a database");
    out_text(
        o, ".Sh DESCRIPTION\n"
           "A setting is given, highest first, by\n.Fl \\-set Ar NAME=VALUE\n"
           "and the commands' own options, by the environment variables\n"
           ".Ev SHALE_NAME\nand\n.Ev SLATEDB_NAME\n(upper case, dots as underscores), by a file\n"
           "named with\n.Fl \\-settings ,\nby\n.Pa SlateDb.yml , SlateDb.yaml , SlateDb.toml\nor\n"
           ".Pa SlateDb.json\nin the working directory, by\n.Pa \\(ti/.config/shale/config.toml "
           ",\nby\n"
           ".Pa /etc/shale/config.toml .\n"
           "A setting that may be null is switched off with\n.Ql none .\n"
           "Those with no effect yet are accepted, because SlateDB's files have them.\n"
           ".Sh EXAMPLES\n");
    man_literal(o, "# SlateDb.toml\n"
                   "flush_interval = \"50ms\"\n"
                   "compression_codec = \"zstd\"\n"
                   "[compactor_options]\n"
                   "poll_interval = \"1s\"\n");
    out_text(o, ".Sh SETTINGS\nName, default, type.\n");
    for (struct section s = {o, 0}; doc_settings_section(s.index) != NULL; s.index++) {
        out_printf(o, ".Ss %s\n.Bl -tag -width Ds\n", doc_settings_section(s.index));
        shale_options_each(options, setting_item, &s);
        out_text(o, ".El\n");
    }
    out_text(o, ".Sh SEE ALSO\n.Xr shale 1\n");
    shale_options_free(options);
}

static void formats_page(struct out *o)
{
    head(o, "shale-formats", "7", "what lies in the bucket, and who else can read it");
    out_text(o, ".Sh DESCRIPTION\n");
    man_literal(o, topic_text("formats"));
    out_text(o, ".Sh SEE ALSO\n.Xr shale 1 ,\n.Xr shale-manifest 1 ,\n.Xr shale-sst 1 ,\n.Xr "
                "shale-wal 1\n");
}

static void library_page(struct out *o)
{
    head(o, "libshale", "3", "a database in your bucket, from C");
    out_text(o, ".Sh LIBRARY\nShale (libshale, \\-lshale)\n.Sh SYNOPSIS\n.In "
                "shale/shale.h\n.Pp\n.Nm cc\nfile.c\n"
                "$(pkg-config \\-\\-cflags \\-\\-libs shale)\n.Sh DESCRIPTION\n");
    for (const char *at = doc_library_text(); *at != '\0';) {
        char paragraph[1024];
        size_t len = strcspn(at, "\n");
        (void)snprintf(paragraph, sizeof paragraph, "%.*s", (int)len, at);
        man_text(o, paragraph);
        at += len + (at[len] == '\n');
        out_text(o, *at != '\0' ? ".Pp\n" : "");
    }
    bool open = false;
    for (size_t i = 0; doc_function_at(i) != NULL; i++) {
        const struct doc_function *f = doc_function_at(i);
        if (f->heading != NULL)
            out_printf(o, "%s.Ss %s\n.Bl -tag -width Ds\n", open ? ".El\n" : "", f->heading);
        open = true;
        out_printf(o, ".It Fn %s\n", f->name);
        man_text(o, f->what);
    }
    out_text(o, ".El\n.Sh RETURN VALUES\nFunctions that can fail return a\n.Vt shale_code ;\n"
                ".Dv SHALE_OK\nis 0.\nThe\n.Vt shale_error\n"
                "given to them gets the code and one line of text.\n"
                "There is nothing to free in it.\n.Sh EXAMPLES\n");
    man_literal(o, doc_library_example());
    out_text(o, ".Sh SEE ALSO\n.Xr shale 1 ,\n.Xr shale-settings 5\n");
}

bool doc_man(struct out *o, const char *name)
{
    static const struct {
        const char *name;
        void (*print)(struct out *o);
    } pages[] = {{"shale", program_page},
                 {"shale-settings", settings_page},
                 {"shale-formats", formats_page},
                 {"libshale", library_page}};
    char page[64];
    for (size_t i = 0; i < SHL_COUNT_OF(pages); i++)
        if (strcmp(pages[i].name, name) == 0) {
            pages[i].print(o);
            return true;
        }
    for (size_t i = 0; i < cli_command_count(); i++) {
        if (doc_group_name(page, i) && strncmp(name, "shale-", 6) == 0 &&
            strcmp(page, name + 6) == 0) {
            group_page(o, page);
            return true;
        }
        doc_page_name(page, cli_command_at(i));
        if (strncmp(name, "shale-", 6) == 0 && strcmp(page, name + 6) == 0) {
            command_page(o, cli_command_at(i));
            return true;
        }
    }
    return false;
}
