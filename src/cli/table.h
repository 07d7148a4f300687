/* The one table of commands and options: parsing, help and "did you mean" are driven by it. Constant. */
#ifndef SHL_CLI_TABLE_H
#define SHL_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_option_id {
    OPT_PREFIX,
    OPT_FROM,
    OPT_TO,
    OPT_REVERSE,
    OPT_LIMIT,
    OPT_CHECKPOINT,
    OPT_DURABILITY,
    OPT_VALUE_FILE,
    OPT_KEYS_ONLY,
    OPT_COUNT,
    OPT_FORMAT,
    OPT_HEX,
    OPT_WIDTH,
    OPT_EXISTS,
    OPT_ID,
    OPT_ROWS,
    OPT_SINCE_ID,
    OPT_NO_FOLLOW,
    OPT_DRY_RUN,
    OPT_YES,
    OPT_RECURSIVE,
    OPT_WORKLOAD,
    OPT_NUM,
    OPT_VALUE_SIZE,
    OPT_CLIENTS,
    OPT_READS,
    OPT_SCANS,
    OPT_DURABLE_OPS,
    OPT_LATENCY_MS,
    OPT_KEEP_GOING,
    OPT_FULL,
    OPT_SEGMENT,
    OPT_SPEC,
    OPT_NO_WAIT,
    OPT_NO_WORKER,
    OPT_ONCE,
    OPT_ROOT,
    OPT_WAL_URL,
    OPT_MERGE,
    OPT_SEGMENTS,
    OPT_BLOOM_PREFIX,
    OPT_TRANSFORMER,
    OPT_SET,
    OPT_STORE_OPTION,
    OPT_SETTINGS,
    OPT_PROFILE,
    OPT_REGION,
    OPT_ENDPOINT,
    OPT_CHANGED,
    OPT_BUNDLE,
    OPT_NAME,
    OPT_FORCE,
    OPT_LIFETIME,
    OPT_SOURCE,
    OPT_RESOURCE,
    OPT_MIN_AGE,
    OPT_INTERVAL,
    OPT_AND,
    OPT_ONLY,
    OPT_VERSIONS,
    OPT_UNDO,
    OPT_ROUND,
    OPT_AS_OF,
    OPT_OUTPUT,
    OPT_AT,
    OPT_SEQ,
    OPT_AFTER,
    OPT_CHANGES,
    OPT_FOLLOW,
    OPT_GRACE,
    OPT_LOCAL_PATH,
    OPT_AUTO_COMPACT,
    OPT_MAX_RETRIES,
    OPT_BY_COLUMN,
    OPT_ALLOW_TRIGGERS,
    OPT_IGNORE_TRIGGERS,
    OPT_ROWS_AS,
    OPT_HEADERS,
    OPT_COMPRESS,
    OPT_WATCH,
    OPT_LOCAL_DIR,
    OPT_OBJECT_PREFIX,
    OPT_MAX_FILE_SIZE,
    OPT_GENERATION,
    OPT_BYTES,
    OPT_LOCAL,
    OPT_NO_UPLOAD,
    OPT_S4_FORCE,
    OPT_SQL_FORCE,
    OPT_S4_MIN_AGE,
    OPT_TIMEOUT,
    OPT_TRACE,
    OPT_PRICE_TABLE,
    OPT_JSON,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_COLOR,
    OPT_NO_COLOR,
    OPT_PROGRESS,
    OPT_HELP,
    OPT_VERSION,
    OPT_IDS
};
/* A set of options. */
__extension__ typedef unsigned __int128 cli_option_set;
#define CLI_BIT(id) ((cli_option_set)1 << (id))

enum cli_type { CLI_FLAG, CLI_TEXT, CLI_NUMBER, CLI_SIZE, CLI_DURATION, CLI_CHOICE };

struct cli_option {
    const char *name; /* without "--" */
    char letter;      /* short form, or 0 */
    enum cli_type type;
    bool repeats;        /* every value counts, in order */
    const char *metavar; /* NULL for flags */
    const char *help;    /* with its default in brackets */
    const char *choices; /* CLI_CHOICE: words separated by '|' */
    const char *heading; /* of the help section */
};

struct cli_args;
struct cli;
/* Runs a parsed command; returns the exit code. */
typedef int (*cli_run_fn)(struct cli *c);

struct cli_example {
    const char *command;
    const char *what;
};

/* Where the overview and the manual list a command, in this order. */
enum cli_group {
    CLI_GROUP_ROWS,
    CLI_GROUP_INSIDE,
    CLI_GROUP_KEEP,
    CLI_GROUP_WORK,
    CLI_GROUP_BUCKET,
    CLI_GROUP_ENGINES,
    CLI_GROUP_PROGRAM,
    CLI_GROUPS
};

/* What a command may do to a database or bucket. Tests and the shell go by it. */
enum cli_effect {
    CLI_READS,  /* leaves every byte as it is and fences nobody */
    CLI_WRITES, /* a shell runs it only after .write on */
    CLI_LOCAL   /* asks no store */
};

struct cli_command {
    const char *name; /* "scan", "store ls" */
    enum cli_group group;
    enum cli_effect effect;
    const char *summary;
    const char *usage; /* what stands behind the name */
    unsigned args_min; /* positional, DB included */
    unsigned args_max; /* UINT_MAX: any number */
    const char *args
        [3]; /* their names: for messages, and for completion (DB, KEY, FILE, URL, ..); the last one repeats */
    cli_option_set options;         /* CLI_BIT of those of its own; the common ones come on top */
    struct cli_example examples[5]; /* each runs as pasted; the first is the commonest use */
    const char *notes;              /* lines under the options; NULL: none */
    const char *exits;              /* exit codes, cost */
    cli_run_fn run;
};

/* The option of `id`. */
const struct cli_option *cli_option_at(enum cli_option_id id);
/* By long name of `len` bytes, or OPT_IDS. */
enum cli_option_id cli_option_find(const char *name, size_t len);
/* The same, but those of the command (may be NULL) first: a few names mean another thing there. */
enum cli_option_id cli_option_find_for(const struct cli_command *command, const char *name,
                                       size_t len);
enum cli_option_id cli_option_letter(char letter);
/* All options that a command takes; those of all commands; those of opening a database. */
cli_option_set cli_command_options(const struct cli_command *command);
cli_option_set cli_common_options(void);
cli_option_set cli_open_options(void);
/* Headings of option lists, in their order; NULL behind the last. */
const char *cli_heading_at(size_t index);
const char *cli_group_name(enum cli_group group);

size_t cli_command_count(void);
const struct cli_command *cli_command_at(size_t index);
/* True if its first argument is the database: a shell fills it in. */
bool cli_command_takes_db(const struct cli_command *command);
/* "store ls" by its whole name; NULL if there is none. */
const struct cli_command *cli_command_find(const char *name);
/* True if `word` begins two-word commands ("store"). */
bool cli_command_is_group(const char *word);

/* Exit codes. */
enum { CLI_YES = 0, CLI_NO = 1, CLI_USAGE = 2, CLI_FAILED = 3 };

#endif
