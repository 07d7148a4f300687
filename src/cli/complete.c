#include "cli/complete.h"

#include "base/env/env.h"
#include "base/num.h"
#include "cli/os.h"

#include <stdio.h>

/* What was understood of the words before the one that is completed. */
struct before {
    const struct cli_command *command; /* NULL: none yet */
    const char *group;                 /* "store": its second word is missing */
    enum cli_option_id pending;        /* the word is the value of this option; OPT_IDS: no */
    bool only_args;                    /* behind -- */
    size_t args;                       /* positional ones before it, a shell's database included */
    const char *db;                    /* the first of them */
    cli_option_set given;              /* options that are there already */
};

void complete_offer(const struct complete_ask *ask, const char *typed, const char *word,
                    const char *what)
{
    if (strncmp(word, typed, strlen(typed)) == 0)
        ask->emit(ask->ctx, word, what);
}

/* ---- understanding */

static enum cli_option_id option_of(const struct cli_command *command, const char *word,
                                    bool *has_value)
{
    size_t len = strcspn(word, "=");
    *has_value = word[len] == '=';
    if (word[1] == '-')
        return cli_option_find_for(command, word + 2, len - 2);
    return word[2] == '\0' ? cli_option_letter(word[1]) : OPT_IDS;
}

static void take_word(struct before *b, const char *word, const char *shell_db)
{
    char name[64] = "";
    bool is_second = b->group != NULL && b->args == 0;
    if (is_second)
        (void)snprintf(name, sizeof name, "%s %s", b->group, word);
    const struct cli_command *pair = cli_command_find(name);
    if (b->command == NULL && b->group == NULL) {
        b->command = cli_command_find(word);
        if (cli_command_is_group(word))
            b->group = word;
    } else if (pair != NULL) {
        b->command = pair;
        b->group = NULL;
    } else if (b->command != NULL) {
        if (b->args == 0)
            b->db = word;
        b->args++;
    }
    if (b->command != NULL && b->args == 0 && shell_db != NULL &&
        cli_command_takes_db(b->command)) {
        b->db = shell_db;
        b->args = 1;
    }
}

static struct before understand(const struct complete_ask *ask)
{
    struct before b = {.pending = OPT_IDS};
    for (size_t i = 0; i + 1 < ask->count; i++) {
        const char *word = ask->words[i];
        bool has_value;
        if (b.pending != OPT_IDS) {
            b.pending = OPT_IDS;
        } else if (b.only_args || word[0] != '-' || word[1] == '\0') {
            take_word(&b, word, ask->shell_db);
        } else if (strcmp(word, "--") == 0) {
            b.only_args = true;
        } else {
            enum cli_option_id id = option_of(b.command, word, &has_value);
            if (id == OPT_IDS)
                continue;
            b.given |= CLI_BIT(id);
            if (cli_option_at(id)->type != CLI_FLAG && !has_value)
                b.pending = id;
        }
    }
    return b;
}

/* ---- candidates */

static void offer_commands(const struct complete_ask *ask, const char *typed)
{
    const char *last = "";
    for (size_t i = 0; i < cli_command_count(); i++) {
        const struct cli_command *command = cli_command_at(i);
        const char *blank = strchr(command->name, ' ');
        char group[64];
        if (blank == NULL) {
            complete_offer(ask, typed, command->name, command->summary);
            continue;
        }
        (void)snprintf(group, sizeof group, "%.*s", (int)(blank - command->name), command->name);
        if (strncmp(last, command->name, strlen(group) + 1) != 0 && cli_command_find(group) == NULL)
            complete_offer(ask, typed, group, "several commands");
        last = command->name;
    }
}

static void offer_group(const struct complete_ask *ask, const char *group, const char *typed)
{
    size_t len = strlen(group);
    for (size_t i = 0; i < cli_command_count(); i++) {
        const struct cli_command *command = cli_command_at(i);
        if (strncmp(command->name, group, len) == 0 && command->name[len] == ' ')
            complete_offer(ask, typed, command->name + len + 1, command->summary);
    }
}

static void offer_options(const struct complete_ask *ask, const struct before *b, const char *typed)
{
    cli_option_set mask =
        b->command != NULL ? cli_command_options(b->command) : cli_common_options();
    for (unsigned i = 0; i < OPT_IDS; i++) {
        const struct cli_option *option = cli_option_at((enum cli_option_id)i);
        char word[64];
        if ((mask & CLI_BIT(i)) == 0 || ((b->given & CLI_BIT(i)) != 0 && !option->repeats))
            continue;
        (void)snprintf(word, sizeof word, "--%s", option->name);
        complete_offer(ask, typed, word, option->help);
    }
}

struct setting {
    const struct complete_ask *ask;
    const char *before; /* "--set=" or "" */
    const char *typed;
};

static bool offer_setting(void *ctx, const shale_option_info *info)
{
    const struct setting *s = ctx;
    char word[256];
    size_t name = strcspn(s->typed, "=");
    if (s->typed[name] == '\0') {
        (void)snprintf(word, sizeof word, "%s=", info->name);
        if (strncmp(word, s->typed, name) == 0) {
            (void)snprintf(word, sizeof word, "%s%s=", s->before, info->name);
            s->ask->emit(s->ask->ctx, word, info->help);
        }
    } else if (strlen(info->name) == name && strncmp(info->name, s->typed, name) == 0) {
        static const char *const bools[] = {"true", "false", NULL};
        static const char *const codecs[] = {"none", "snappy", "zlib", "lz4", "zstd", NULL};
        const char *const standard[] = {info->default_value, NULL};
        bool codec = name >= 17 && strncmp(s->typed + name - 17, "compression_codec", 17) == 0;
        const char *const *values = strcmp(info->type, "bool") == 0 ? bools
                                    : codec                         ? codecs
                                                                    : standard;
        for (; *values != NULL; values++)
            if (strncmp(*values, s->typed + name + 1, strlen(s->typed + name + 1)) == 0) {
                (void)snprintf(word, sizeof word, "%s%s=%s", s->before, info->name, *values);
                s->ask->emit(s->ask->ctx, word, info->help);
            }
    }
    return true;
}

static void offer_settings(const struct complete_ask *ask, const char *before, const char *typed)
{
    struct setting s = {ask, before, typed};
    shale_options *options = shale_options_new();
    if (options != NULL)
        shale_options_each(options, offer_setting, &s);
    shale_options_free(options);
}

/* A folder of this machine: there a look costs nothing. */
static bool is_folder(const char *url)
{
    return strncmp(url, "memory", 6) != 0 &&
           (strstr(url, "://") == NULL || strncmp(url, "file://", 7) == 0);
}

static void offer_found(struct cli *c, const struct complete_ask *ask, const struct before *b,
                        enum lookup_kind kind, const char *before, const char *typed)
{
    char word[512];
    if (ask->lookup == NULL || b->db == NULL || (ask->shell_db == NULL && !is_folder(b->db)))
        return;
    if (c->options == NULL && !cli_options(c))
        return;
    if (!lookup_run(ask->lookup, kind, ask->db, b->db, c->options, typed))
        return;
    const char *at = (const char *)ask->lookup->found.data;
    const char *end = at + ask->lookup->found.len;
    for (; at != NULL && at < end; at += strlen(at) + 1)
        if (strncmp(at, typed, strlen(typed)) == 0 && strlen(at) < 256) {
            (void)snprintf(word, sizeof word, "%s%s", before, at);
            ask->emit(ask->ctx, word, NULL);
        }
}

/* The rest of a URL is not on this machine: the shell's own folders would be wrong. */
static bool is_remote(const char *typed)
{
    size_t scheme = strspn(typed, "abcdefghijklmnopqrstuvwxyz0123456789");
    return scheme > 1 && typed[scheme] == ':' && strncmp(typed, "file:", 5) != 0;
}

/* `before` is what of the word stands in front of the value: "--format=" or "". */
static void offer_value(struct cli *c, const struct complete_ask *ask, const struct before *b,
                        enum cli_option_id id, const char *before, const char *typed)
{
    const struct cli_option *option = cli_option_at(id);
    char word[128];
    if (option->type == CLI_CHOICE) {
        for (const char *at = option->choices; *at != '\0';) {
            size_t len = strcspn(at, "|");
            if (strncmp(at, typed, strlen(typed)) == 0 && strlen(typed) <= len) {
                (void)snprintf(word, sizeof word, "%s%.*s", before, (int)len, at);
                ask->emit(ask->ctx, word, NULL);
            }
            at += len + (at[len] == '|');
        }
    } else if (id == OPT_SET) {
        offer_settings(ask, before, typed);
    } else if (id == OPT_CHECKPOINT) {
        offer_found(c, ask, b, LOOKUP_CHECKPOINTS, before, typed);
    } else if (id == OPT_PREFIX || id == OPT_FROM || id == OPT_TO) {
        offer_found(c, ask, b, LOOKUP_KEYS, before, typed);
    } else if (id == OPT_SETTINGS || id == OPT_VALUE_FILE) {
        ask->emit(ask->ctx, COMPLETE_FILES, NULL);
    } else if ((id == OPT_ROOT || id == OPT_WAL_URL || id == OPT_LOCAL_DIR) && !is_remote(typed)) {
        ask->emit(ask->ctx, COMPLETE_FOLDERS, NULL);
    }
}

static void offer_topics(const struct complete_ask *ask, const char *typed)
{
    offer_commands(ask, typed);
    for (size_t i = 0; cli_topic_at(i) != NULL; i++)
        complete_offer(ask, typed, cli_topic_at(i)->name, cli_topic_at(i)->summary);
}

static void offer_argument(struct cli *c, const struct complete_ask *ask, const struct before *b,
                           const char *typed)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    if (b->args >= b->command->args_max)
        return;
    const char *name = NULL;
    for (size_t i = 0; i <= b->args && i < SHL_COUNT_OF(b->command->args); i++)
        if (b->command->args[i] != NULL)
            name = b->command->args[i];
    if (name == NULL)
        return;
    if (strcmp(name, "KEY") == 0 || strcmp(name, "PREFIX") == 0) {
        offer_found(c, ask, b, LOOKUP_KEYS, "", typed);
    } else if (is_remote(typed)) {
        return;
    } else if (strcmp(name, "DB") == 0) {
        ask->emit(ask->ctx, COMPLETE_FOLDERS, NULL);
    } else if (strcmp(name, "FILE") == 0 || strcmp(name, "STORE") == 0 ||
               strcmp(name, "URL") == 0 || strcmp(name, "FROM") == 0 || strcmp(name, "TO") == 0) {
        ask->emit(ask->ctx, COMPLETE_FILES, NULL);
    } else if (strcmp(name, "TOPIC") == 0) {
        offer_topics(ask, typed);
    } else if (strcmp(name, "SHELL") == 0) {
        for (size_t i = 0; i < SHL_COUNT_OF(shells); i++)
            complete_offer(ask, typed, shells[i], NULL);
    }
}

void complete(struct cli *c, const struct complete_ask *ask)
{
    struct before b = understand(ask);
    const char *typed = ask->words[ask->count - 1];
    bool has_value = false;
    if (b.pending != OPT_IDS) {
        offer_value(c, ask, &b, b.pending, "", typed);
    } else if (!b.only_args && typed[0] == '-') {
        enum cli_option_id id = typed[1] == '-' ? option_of(b.command, typed, &has_value) : OPT_IDS;
        size_t len = strcspn(typed, "=") + 1;
        char before[64];
        (void)snprintf(before, sizeof before, "%.*s", (int)shl_min_size(len, 63), typed);
        if (has_value && id != OPT_IDS)
            offer_value(c, ask, &b, id, before, typed + len);
        else
            offer_options(ask, &b, typed);
    } else if (b.command != NULL) {
        if (b.group != NULL && b.args == 0)
            offer_group(ask, b.group, typed);
        offer_argument(c, ask, &b, typed);
    } else if (b.group != NULL) {
        offer_group(ask, b.group, typed);
    } else {
        offer_commands(ask, typed);
    }
}

/* ---- shale __complete */

static void print_word(void *ctx, const char *word, const char *what)
{
    struct out *o = ctx;
    out_text(o, word);
    if (what != NULL)
        out_printf(o, "\t%s", what);
    out_char(o, '\n');
}

int cli_complete_words(struct cli *c, int argc, char **argv)
{
    static const char *const nothing[] = {""};
    struct cli_problem ignored;
    struct lookup lookup;
    struct complete_ask ask = {.words = argc > 0 ? (const char *const *)argv : nothing,
                               .count = argc > 0 ? (size_t)argc : 1,
                               .lookup = &lookup,
                               .emit = print_word,
                               .ctx = c->out};
    lookup_init(&lookup);
    /* For the settings of the line: argv[-1] is our own "__complete" and stands for the program. */
    enum cli_parse parsed = cli_args_parse(argc + 1, argv - 1, NULL, &c->args, &ignored);
    (void)parsed; /* half a line is nearly always wrong */
    complete(c, &ask);
    if (out_finish(c->out) == 0 && lookup.task != NULL)
        os_exit(CLI_YES); /* given up: nobody waits for a slow store */
    lookup_deinit(&lookup);
    return CLI_YES;
}
