/* `shale __doc`: which pages there are, and the tables as JSON for tests and tools. */
#include "cli/doc.h"

#include "base/codec/json.h"
#include "base/num.h"

#include <stdio.h>

void doc_page_name(char name[64], const struct cli_command *command)
{
    (void)snprintf(name, 64, "%s", command->name);
    for (char *blank = strchr(name, ' '); blank != NULL; blank = strchr(name, ' '))
        *blank = '-';
}

bool doc_group_name(char name[64], size_t index)
{
    const char *command = cli_command_at(index)->name;
    size_t word = strcspn(command, " ");
    (void)snprintf(name, 64, "%.*s", (int)word, command);
    if (command[word] == '\0' || cli_command_find(name) != NULL)
        return false;
    for (size_t i = 0; i < index; i++)
        if (strncmp(cli_command_at(i)->name, command, word + 1) == 0)
            return false;
    return true;
}

static const struct {
    const char *prefix;
    const char *title;
} sections[] = {{"", "The database"},
                {"compactor_options", "Compaction"},
                {"garbage_collector_options", "Garbage collection"},
                {"object_store_cache_options", "Disk cache"}};

const char *doc_settings_section(size_t index)
{
    return index < SHL_COUNT_OF(sections) ? sections[index].title : NULL;
}

bool doc_setting_is_in(size_t section, const char *name)
{
    size_t found = 0;
    for (size_t i = 1; i < SHL_COUNT_OF(sections); i++)
        if (strncmp(name, sections[i].prefix, strlen(sections[i].prefix)) == 0)
            found = i;
    return found == section;
}

/* ---- __doc list */

static void list_option(struct shl_json_writer *w, const struct cli_option *o)
{
    static const char *const types[] = {
        [CLI_FLAG] = "flag", [CLI_TEXT] = "text",     [CLI_NUMBER] = "number",
        [CLI_SIZE] = "size", [CLI_CHOICE] = "choice", [CLI_DURATION] = "duration"};
    char letter[2] = {o->letter, '\0'};
    shl_json_object(w);
    shl_json_key(w, "name");
    shl_json_str(w, o->name);
    shl_json_key(w, "letter");
    shl_json_str(w, o->letter != 0 ? letter : NULL);
    shl_json_key(w, "type");
    shl_json_str(w, types[o->type]);
    shl_json_key(w, "value");
    shl_json_str(w, o->metavar);
    shl_json_key(w, "choices");
    shl_json_str(w, o->choices);
    shl_json_key(w, "repeats");
    shl_json_bool(w, o->repeats);
    shl_json_key(w, "help");
    shl_json_str(w, o->help);
    shl_json_object_end(w);
}

static void list_examples(struct shl_json_writer *w, const struct cli_command *c)
{
    shl_json_key(w, "examples");
    shl_json_array(w);
    for (size_t i = 0; i < SHL_COUNT_OF(c->examples) && c->examples[i].command != NULL; i++)
        shl_json_str(w, c->examples[i].command);
    for (size_t i = 0; doc_example_at(i) != NULL; i++)
        if (strcmp(doc_example_at(i)->command, c->name) == 0)
            shl_json_str(w, doc_example_at(i)->lines);
    shl_json_array_end(w);
}

static void list_command(struct shl_json_writer *w, const struct cli_command *c)
{
    static const char *const effects[] = {"reads", "writes", "local"};
    shl_json_object(w);
    shl_json_key(w, "name");
    shl_json_str(w, c->name);
    shl_json_key(w, "summary");
    shl_json_str(w, c->summary);
    shl_json_key(w, "usage");
    shl_json_str(w, c->usage);
    shl_json_key(w, "effect");
    shl_json_str(w, effects[c->effect]);
    shl_json_key(w, "args_min");
    shl_json_u64(w, c->args_min);
    shl_json_key(w, "args_max"); /* null: any number */
    if (c->args_max < 1000)
        shl_json_u64(w, c->args_max);
    else
        shl_json_null(w);
    shl_json_key(w, "args");
    shl_json_array(w);
    for (size_t i = 0; i < SHL_COUNT_OF(c->args) && c->args[i] != NULL; i++)
        shl_json_str(w, c->args[i]);
    shl_json_array_end(w);
    shl_json_key(w, "options");
    shl_json_array(w);
    for (unsigned i = 0; i < OPT_IDS; i++)
        if ((cli_command_options(c) & CLI_BIT(i)) != 0)
            list_option(w, cli_option_at((enum cli_option_id)i));
    shl_json_array_end(w);
    list_examples(w, c);
    shl_json_object_end(w);
}

static int list(struct cli *c)
{
    struct shl_buf text = {0};
    struct shl_json_writer w;
    shl_json_begin(&w, &text, &c->err);
    shl_json_object(&w);
    shl_json_key(&w, "commands");
    shl_json_array(&w);
    for (size_t i = 0; i < cli_command_count(); i++)
        list_command(&w, cli_command_at(i));
    shl_json_array_end(&w);
    shl_json_key(&w, "topics");
    shl_json_array(&w);
    for (size_t i = 0; cli_topic_at(i) != NULL; i++)
        shl_json_str(&w, cli_topic_at(i)->name);
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    bool good = shl_json_finish(&w) == SHALE_OK;
    out_bytes(c->out, text.data, good ? text.len : 0);
    out_char(c->out, '\n');
    shl_buf_free(&text);
    return good ? CLI_YES : CLI_FAILED;
}

/* ---- __doc files: kind, name and path of every page */

static int files(struct out *o)
{
    static const char *const topics[] = {"urls", "credentials", "units", "environment", "costs"};
    char name[64];
    out_text(o, "man shale docs/man/shale.1\n"
                "man shale-settings docs/man/shale-settings.5\n"
                "man shale-formats docs/man/shale-formats.7\n"
                "man libshale docs/man/libshale.3\n"
                "md settings docs/reference/settings.md\n"
                "md commands docs/reference/commands/README.md\n");
    for (size_t i = 0; i < SHL_COUNT_OF(topics); i++)
        out_printf(o, "md %s docs/reference/%s.md\n", topics[i], topics[i]);
    for (size_t i = 0; i < cli_command_count(); i++) {
        if (doc_group_name(name, i))
            out_printf(o, "man shale-%s docs/man/shale-%s.1\n", name, name);
        doc_page_name(name, cli_command_at(i));
        out_printf(o, "man shale-%s docs/man/shale-%s.1\n", name, name);
        out_printf(o, "md %s docs/reference/commands/%s.md\n", name, name);
    }
    return CLI_YES;
}

int cli_doc(struct cli *c, int argc, char **argv)
{
    bool pair = argc == 2;
    if (argc >= 1 && strcmp(argv[0], "list") == 0)
        return list(c);
    if (argc == 1 && strcmp(argv[0], "files") == 0)
        return files(c->out);
    if ((pair && strcmp(argv[0], "man") == 0 && doc_man(c->out, argv[1])) ||
        (pair && strcmp(argv[0], "md") == 0 && doc_md(c->out, argv[1])))
        return CLI_YES;
    return cli_usage(c, NULL, "__doc list | files | man NAME | md NAME");
}
