#include "cli/args.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

static enum cli_parse bad(struct cli_problem *p, const char *hint, const char *format, ...)
    SHL_PRINTF(3, 4);
static enum cli_parse bad(struct cli_problem *p, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->text, sizeof p->text, format, args);
    va_end(args);
    (void)snprintf(p->hint, sizeof p->hint, "%s", hint != NULL ? hint : "");
    return CLI_PARSE_BAD;
}

void cli_near_offer(struct cli_near *near, struct shl_slice word, const char *name)
{
    size_t max = shl_min_size(shl_str_near_max(word.len), 2);
    size_t distance = shl_str_distance(word, shl_slice_str(name), max);
    if (distance > max || distance >= strlen(name))
        return;
    if (near->names[0] == NULL || distance < near->distance) {
        near->names[0] = name;
        near->names[1] = NULL;
        near->distance = distance;
    } else if (distance == near->distance && near->names[1] == NULL) {
        near->names[1] = name;
    }
}

const char *cli_near_text(const struct cli_near *near, const char *mark, char text[CLI_NEAR_TEXT])
{
    text[0] = '\0';
    if (near->names[1] != NULL)
        (void)snprintf(text, CLI_NEAR_TEXT, ": did you mean %s%s or %s%s?", mark, near->names[0],
                       mark, near->names[1]);
    else if (near->names[0] != NULL)
        (void)snprintf(text, CLI_NEAR_TEXT, ": did you mean %s%s?", mark, near->names[0]);
    return text;
}

/* Words of other programs, and what they are here. */
static const struct {
    const char *word;
    const char *names[2];
} other_words[] = {{"ls", {"store ls", NULL}}, {"cat", {"store cat", NULL}},
                   {"rm", {"store rm", NULL}}, {"mb", {"store mb", NULL}},
                   {"cp", {"store cp", NULL}}, {"list", {"store ls", "scan"}},
                   {"remove", {"del", NULL}},  {"set", {"put", NULL}},
                   {"insert", {"put", NULL}},  {"write", {"put", "load"}},
                   {"read", {"get", "scan"}},  {"import", {"load", NULL}},
                   {"export", {"dump", NULL}}, {"info", {"stat", NULL}},
                   {"status", {"stat", NULL}}, {"settings", {"config show", NULL}},
                   {"repl", {"shell", NULL}}};

void cli_near_commands(struct cli_near *near, const char *word)
{
    for (size_t i = 0; i < SHL_COUNT_OF(other_words); i++)
        if (strcmp(other_words[i].word, word) == 0) {
            memcpy(near->names, other_words[i].names, sizeof near->names);
            return;
        }
    for (size_t i = 0; i < cli_command_count(); i++)
        cli_near_offer(near, shl_slice_str(word), cli_command_at(i)->name);
}

/* The words that may follow the first word of a group: "ls, cat, cp", or those near to `word`. */
static const char *subcommands(const char *group, const char *word, char text[CLI_NEAR_TEXT])
{
    struct cli_near near = {0};
    size_t len = strlen(group);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < cli_command_count(); i++) {
        const char *name = cli_command_at(i)->name;
        if (strncmp(name, group, len) != 0 || name[len] != ' ')
            continue;
        if (word != NULL)
            cli_near_offer(&near, shl_slice_str(word), name + len + 1);
        int n = snprintf(text + at, CLI_NEAR_TEXT - at, "%s%s", at > 0 ? ", " : "", name + len + 1);
        at = shl_min_size(at + (size_t)(n > 0 ? n : 0), CLI_NEAR_TEXT - 1);
    }
    if (near.names[0] != NULL)
        (void)snprintf(text, CLI_NEAR_TEXT, "did you mean %s %s%s%s%s%s?", group, near.names[0],
                       near.names[1] != NULL ? " or " : "", near.names[1] != NULL ? group : "",
                       near.names[1] != NULL ? " " : "",
                       near.names[1] != NULL ? near.names[1] : "");
    return text;
}

/* --help and --version win over everything, so they are looked for before anything can be wrong. */
static enum cli_parse early(int argc, char **argv)
{
    enum cli_parse found = CLI_PARSE_OK;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return CLI_PARSE_HELP;
        if (strcmp(argv[i], "--version") == 0)
            found = CLI_PARSE_VERSION;
    }
    return found;
}

static enum cli_parse unknown_alone(const char *word, struct cli_problem *p)
{
    struct cli_near near = {0};
    char text[CLI_NEAR_TEXT];
    if (word[1] != '-')
        return bad(p, "shale --help", "unknown option %.60s", word);
    for (unsigned i = 0; i < OPT_IDS; i++)
        cli_near_offer(&near, shl_slice_of(word + 2, strcspn(word + 2, "=")),
                       cli_option_at((enum cli_option_id)i)->name);
    return bad(p, "shale --help", "unknown option %.60s%s", word, cli_near_text(&near, "--", text));
}

/* Options only: the first that nobody knows is told. */
static enum cli_parse no_command(int argc, char **argv, struct cli_problem *p)
{
    bool json = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0)
            return bad(p, "shale help",
                       "the command stands before --: behind it are keys, values "
                       "and names");
        bool is_long = word[1] == '-';
        enum cli_option_id id = is_long ? cli_option_find(word + 2, strcspn(word + 2, "="))
                                        : cli_option_letter(word[1]);
        if (id == OPT_IDS)
            return unknown_alone(word, p);
        json = json || id == OPT_JSON;
        bool has_value = is_long ? strchr(word, '=') != NULL : word[2] != '\0';
        if (cli_option_at(id)->type != CLI_FLAG && !has_value)
            i++;
    }
    return json ? bad(p, "shale help", "no command: which one?") : CLI_PARSE_NONE;
}

/* Of a group that is a command too: whether the word behind it stands for no database but is near to another of its commands. Fills `text`. */
static bool is_misspelt(const char *group, const char *word, char text[CLI_NEAR_TEXT])
{
    struct env_stat st;
    return strpbrk(word, "/.:") == NULL && env_stat(word, &st) != 0 &&
           strncmp(subcommands(group, word, text), "did you mean", 12) == 0;
}

/* What commands of SlateDB's tool are called here. */
static const struct {
    const char *theirs;
    const char *ours;
    const char *more; /* arguments that make it the same */
} slatedb_commands[] = {{"read-manifest", "manifest", ""},
                        {"list-manifests", "manifest", " DB --versions 1.."},
                        {"read-compactions", "compactions", ""},
                        {"list-compactions", "compactions", " DB --versions 1.."},
                        {"read-compaction", "compactions", " DB ULID"},
                        {"create-checkpoint", "checkpoint create", ""},
                        {"refresh-checkpoint", "checkpoint refresh", ""},
                        {"delete-checkpoint", "checkpoint delete", ""},
                        {"list-checkpoints", "checkpoint list", ""},
                        {"delete-db", "delete", ""},
                        {"run-garbage-collection", "gc", " DB --once"},
                        {"schedule-garbage-collection", "gc", ""},
                        {"run-compactor", "compactor", ""},
                        {"run-worker", "compactor-worker", ""},
                        {"submit-compaction", "compact", " DB --full --no-wait"},
                        {"seq-to-ts", "when", " DB seq:N"},
                        {"ts-to-seq", "when", " DB SECONDS"}};

static enum cli_parse unknown_command(const char *word, struct cli_problem *p)
{
    char names[CLI_NEAR_TEXT];
    char help[100];
    struct cli_near near = {0};
    for (size_t i = 0; i < SHL_COUNT_OF(slatedb_commands); i++) {
        if (strcmp(word, slatedb_commands[i].theirs) != 0)
            continue;
        (void)snprintf(help, sizeof help, "shale help %s", slatedb_commands[i].ours);
        return bad(p, help, "unknown command \"%s\": in Shale: %s%s", word,
                   slatedb_commands[i].ours, slatedb_commands[i].more);
    }
    cli_near_commands(&near, word);
    return bad(p, "shale help", "unknown command \"%.60s\"%s", word,
               cli_near_text(&near, "", names));
}

/* Words of the command: the first one or two arguments that are not options. Marks them NULL in `words`. */
static enum cli_parse find_command(int argc, char **argv, bool *is_word, struct cli_args *args,
                                   struct cli_problem *p)
{
    int first = 0;
    int second = 0;
    for (int i = 1; i < argc && second == 0; i++) {
        if (strcmp(argv[i], "--") == 0)
            break;
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            /* Options may stand before the command; those with a value take the next word along. */
            const char *name = argv[i][1] == '-' ? argv[i] + 2 : "";
            enum cli_option_id id =
                argv[i][1] == '-' ? cli_option_find(name, strlen(name))
                                  : (argv[i][2] == '\0' ? cli_option_letter(argv[i][1]) : OPT_IDS);
            if (id != OPT_IDS && cli_option_at(id)->type != CLI_FLAG)
                i++;
            continue;
        }
        if (first == 0)
            first = i;
        else
            second = i;
        if (first != 0 && !cli_command_is_group(argv[first]))
            break;
    }
    if (first == 0)
        return no_command(argc, argv, p);
    char name[64] = "";
    args->word = argv[first];
    is_word[first] = true;
    if (second != 0)
        (void)snprintf(name, sizeof name, "%s %s", argv[first], argv[second]);
    args->command = cli_command_find(name);
    is_word[second] = is_word[second] || args->command != NULL;
    char names[CLI_NEAR_TEXT];
    char help[100];
    if (args->command == NULL && second != 0 && cli_command_find(argv[first]) != NULL &&
        is_misspelt(argv[first], argv[second], names)) {
        (void)snprintf(help, sizeof help, "shale help %s", argv[first]);
        return bad(p, help, "unknown command \"%.60s\": %s", name, names);
    }
    if (args->command == NULL)
        args->command = cli_command_find(argv[first]); /* as wal is, beside wal tail */
    if (args->command != NULL)
        return CLI_PARSE_OK;
    if (!cli_command_is_group(argv[first]))
        return unknown_command(argv[first], p);
    (void)snprintf(help, sizeof help, "shale help %s", argv[first]);
    if (second == 0)
        return bad(p, help, "%s: which one? %s", argv[first],
                   subcommands(argv[first], NULL, names));
    return bad(p, help, "unknown command \"%.60s\": %s", name,
               subcommands(argv[first], argv[second], names));
}

static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (const char *at = choices; len > 0 && *at != '\0';) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, value, len) == 0)
            return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static enum cli_parse take_value(struct cli_args *args, enum cli_option_id id, const char *value,
                                 struct cli_problem *p)
{
    const struct cli_option *o = cli_option_at(id);
    args->given[args->given_count++] = (struct cli_given){id, value};
    args->value[id] = value;
    if (o->type == CLI_CHOICE && !is_choice(o->choices, value))
        return bad(p, NULL, "--%s %s: what is that? %s", o->name, value, o->help);
    if (o->type == CLI_NUMBER && !shl_parse_u64(shl_slice_str(value), &args->number[id]))
        return bad(p, NULL, "--%s %s: it must be a whole number, 0 or more", o->name, value);
    shale_error err;
    if (o->type == CLI_SIZE &&
        shl_parse_size(shl_slice_str(value), &args->number[id], &err) != SHALE_OK)
        return bad(p, NULL, "--%s: %s", o->name, err.text);
    if (o->type == CLI_DURATION &&
        shl_parse_duration(shl_slice_str(value), false, &args->number[id], &err) != SHALE_OK)
        return bad(p, NULL, "--%s: %s", o->name, err.text);
    if (o->type == CLI_DURATION && args->number[id] == 0 && id != OPT_GRACE)
        return bad(p, NULL, "--%s %s: that is no time at all; the shortest is 1ms", o->name, value);
    return CLI_PARSE_OK;
}

static enum cli_parse take_flag(struct cli_args *args, enum cli_option_id id)
{
    args->given[args->given_count++] = (struct cli_given){id, NULL};
    args->value[id] = "";
    return CLI_PARSE_OK;
}

static bool takes(const struct cli_args *args, enum cli_option_id id)
{
    return id != OPT_IDS && (cli_command_options(args->command) & CLI_BIT(id)) != 0;
}

static enum cli_parse unknown_option(const struct cli_args *args, struct shl_slice name,
                                     struct cli_problem *p)
{
    struct cli_near near = {0};
    char text[CLI_NEAR_TEXT];
    char hint[80];
    int shown = (int)shl_min_size(name.len, 60);
    (void)snprintf(hint, sizeof hint, "shale %s --help", args->command->name);
    for (unsigned i = 0; i < OPT_IDS; i++)
        if ((cli_command_options(args->command) & CLI_BIT(i)) != 0)
            cli_near_offer(&near, name, cli_option_at((enum cli_option_id)i)->name);
    if (near.names[0] == NULL && cli_option_find((const char *)name.data, name.len) != OPT_IDS)
        return bad(p, hint, "--%.*s is an option of other commands", shown,
                   (const char *)name.data);
    return bad(p, hint, "unknown option --%.*s%s", shown, (const char *)name.data,
               cli_near_text(&near, "--", text));
}

/* --name, --name=value, --name value. */
static enum cli_parse long_option(struct cli_args *args, int argc, char **argv, int *i,
                                  struct cli_problem *p)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");
    enum cli_option_id id = cli_option_find_for(args->command, name, len);
    if (!takes(args, id))
        return unknown_option(args, shl_slice_of(name, len), p);
    bool flag = cli_option_at(id)->type == CLI_FLAG;
    if (flag && name[len] == '=')
        return bad(p, NULL, "--%s takes no value", cli_option_at(id)->name);
    if (flag)
        return take_flag(args, id);
    if (name[len] == '=')
        return take_value(args, id, name + len + 1, p);
    if (*i + 1 >= argc)
        return bad(p, NULL, "--%s needs a value: %s", cli_option_at(id)->name,
                   cli_option_at(id)->help);
    return take_value(args, id, argv[++*i], p);
}

/* The letter means something elsewhere, maybe in another program. */
static enum cli_parse unknown_letter(const struct cli_args *args, char letter,
                                     struct cli_problem *p)
{
    enum cli_option_id id = cli_option_letter(letter);
    char hint[80];
    (void)snprintf(hint, sizeof hint, "shale %s --help", args->command->name);
    if (letter == 'n' && takes(args, OPT_LIMIT))
        return bad(p, hint, "unknown option -n: -L N stops after N rows");
    if (letter == 'n')
        return bad(p, hint, "unknown option -n: %s has no dry run", args->command->name);
    if (id != OPT_IDS)
        return bad(p, hint, "unknown option -%c: --%s is an option of other commands", letter,
                   cli_option_at(id)->name);
    return bad(p, "put -- before a key or value that begins with a dash", "unknown option -%c",
               letter);
}

/* No option is a digit: "-1m" is a moment, and "-7" a value. */
static bool is_dashed_number(const char *word)
{
    return word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

/* -j, -jq, -L 5, -L5. */
static enum cli_parse short_options(struct cli_args *args, int argc, char **argv, int *i,
                                    struct cli_problem *p)
{
    for (const char *at = argv[*i] + 1; *at != '\0'; at++) {
        enum cli_option_id id = cli_option_letter(*at);
        if (!takes(args, id))
            return unknown_letter(args, *at, p);
        if (cli_option_at(id)->type == CLI_FLAG) {
            (void)take_flag(args, id);
            continue;
        }
        if (at[1] != '\0')
            return take_value(args, id, at + 1, p);
        if (*i + 1 >= argc)
            return bad(p, NULL, "-%c needs a value: %s", *at, cli_option_at(id)->help);
        return take_value(args, id, argv[++*i], p);
    }
    return CLI_PARSE_OK;
}

static enum cli_parse check_count(const struct cli_args *args, struct cli_problem *p)
{
    const struct cli_command *c = args->command;
    char hint[80];
    (void)snprintf(hint, sizeof hint, "shale %s --help", c->name);
    if (args->positional_count < c->args_min) {
        const char *missing = c->args[shl_min_size(args->positional_count, 2)];
        bool short_form = args->in_shell && cli_command_takes_db(c);
        return bad(p, hint, "%s is missing: usage: %s%s %s",
                   missing != NULL ? missing : "an argument", args->in_shell ? "" : "shale ",
                   c->name, short_form && c->usage[2] == ' ' ? c->usage + 3 : c->usage);
    }
    if (args->positional_count > c->args_max && strcmp(c->name, "sql shell") == 0)
        return bad(p, "shale sql DB SQL", "one argument too many: \"%.60s\": the shell reads stdin",
                   args->positional[c->args_max]);
    if (args->positional_count > c->args_max)
        return bad(p, hint, "one argument too many: \"%.60s\"", args->positional[c->args_max]);
    return CLI_PARSE_OK;
}

enum cli_parse cli_args_parse(int argc, char **argv, const char *shell_db, struct cli_args *args,
                              struct cli_problem *problem)
{
    memset(args, 0, sizeof *args);
    memset(problem, 0, sizeof *problem);
    args->in_shell = shell_db != NULL;
    size_t room = (size_t)argc + 2;
    bool *is_word = env_calloc(room, sizeof *is_word);
    args->positional = env_calloc(room, sizeof *args->positional);
    /* A cluster like -jqv gives several options in one word. */
    size_t options_max = room;
    for (int i = 1; i < argc; i++)
        options_max += strlen(argv[i]);
    args->given = env_calloc(options_max, sizeof *args->given);
    enum cli_parse rc = CLI_PARSE_OK;
    enum cli_parse first = early(argc, argv);
    bool only_args = false;
    /* Before anything can be wrong, so that errors come as JSON too. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0)
            args->value[OPT_JSON] = "";
    if (is_word == NULL || args->positional == NULL || args->given == NULL) {
        rc = bad(problem, NULL, "out of memory");
        goto out;
    }
    rc = find_command(argc, argv, is_word, args, problem);
    if (first != CLI_PARSE_OK) {
        rc = first;
        goto out;
    }
    if (rc == CLI_PARSE_OK && shell_db != NULL && cli_command_takes_db(args->command))
        args->positional[args->positional_count++] = shell_db;
    for (int i = 1; i < argc && rc == CLI_PARSE_OK; i++) {
        if (is_word[i])
            continue;
        if (only_args || argv[i][0] != '-' || argv[i][1] == '\0' || is_dashed_number(argv[i]))
            args->positional[args->positional_count++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_args = true;
        else if (argv[i][1] == '-')
            rc = long_option(args, argc, argv, &i, problem);
        else
            rc = short_options(args, argc, argv, &i, problem);
    }
    if (rc == CLI_PARSE_OK)
        rc = check_count(args, problem);
out:
    env_free(is_word);
    return rc;
}

size_t cli_times(const struct cli_args *a, enum cli_option_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < a->given_count; i++)
        n += a->given[i].id == id;
    return n;
}

void cli_args_deinit(struct cli_args *args)
{
    env_free(args->positional);
    env_free(args->given);
    memset(args, 0, sizeof *args);
}
