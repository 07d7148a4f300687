/* The command line, parsed against the table. Everything points into argv. */
#ifndef SHL_CLI_ARGS_H
#define SHL_CLI_ARGS_H

#include "base/bytes.h"
#include "cli/table.h"

/* One option as given; the order matters for those that repeat. */
struct cli_given {
    enum cli_option_id id;
    const char *value; /* NULL for flags */
};

struct cli_args {
    const struct cli_command *command; /* NULL: none was named */
    const char *word;                  /* the first word, if it names no command; for the message */
    const char **positional;           /* owned array: without the command's words */
    size_t positional_count;
    bool in_shell;           /* the database was filled in; messages leave out "shale" and DB */
    struct cli_given *given; /* owned array */
    size_t given_count;
    const char *value[OPT_IDS]; /* last value given; "" for flags; NULL if not given */
    uint64_t number[OPT_IDS];   /* CLI_NUMBER, CLI_SIZE, CLI_DURATION (ns) */
};

enum cli_parse {
    CLI_PARSE_OK,
    CLI_PARSE_HELP,    /* -h or --help stands somewhere before "--" */
    CLI_PARSE_VERSION, /* --version */
    CLI_PARSE_NONE,    /* no word at all */
    CLI_PARSE_BAD      /* problem is filled */
};

/* What is wrong, in one line, and a command that helps. */
struct cli_problem {
    char text[400];
    char hint[200]; /* "" if there is none */
};

/* args is filled as far as was understood, whatever is returned; free it with cli_args_deinit. shell_db: the database of a shell, which
 * becomes the first argument of commands that take one; NULL outside of shells. */
SHL_MUST enum cli_parse cli_args_parse(int argc, char **argv, const char *shell_db,
                                       struct cli_args *args, struct cli_problem *problem);
void cli_args_deinit(struct cli_args *args);

static inline bool cli_has(const struct cli_args *a, enum cli_option_id id)
{
    return a->value[id] != NULL;
}
static inline uint64_t cli_number(const struct cli_args *a, enum cli_option_id id,
                                  uint64_t fallback)
{
    return a->value[id] != NULL ? a->number[id] : fallback;
}

/* How often an option was given: -vv is 2. */
size_t cli_times(const struct cli_args *a, enum cli_option_id id);

/* The names that are nearest to a misspelt word: within a third of its letters and two changes, the second only if it is as near as the first. Start with {0}. */
struct cli_near {
    const char *names[2];
    size_t distance;
};
void cli_near_offer(struct cli_near *near, struct shl_slice word, const char *name);
/* ": did you mean --limit?", with `mark` before each name; "" if nothing is near. Returns text. */
#define CLI_NEAR_TEXT 200
const char *cli_near_text(const struct cli_near *near, const char *mark, char text[CLI_NEAR_TEXT]);
void cli_near_commands(struct cli_near *near, const char *word);

#endif
