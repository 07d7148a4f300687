/* Shared by the files that the table of commands is made of. */
#ifndef SHL_CLI_TABLE_PARTS_H
#define SHL_CLI_TABLE_PARTS_H

#include "cli/table.h"

#include <limits.h>

#define OPENS                                                                                      \
    (CLI_BIT(OPT_ROOT) | CLI_BIT(OPT_WAL_URL) | CLI_BIT(OPT_MERGE) | CLI_BIT(OPT_SEGMENTS) |       \
     CLI_BIT(OPT_BLOOM_PREFIX) | CLI_BIT(OPT_TRANSFORMER))
#define READS (OPENS | CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_AS_OF) | CLI_BIT(OPT_DURABILITY))
#define RANGE (CLI_BIT(OPT_PREFIX) | CLI_BIT(OPT_FROM) | CLI_BIT(OPT_TO))
#define ANY   UINT_MAX
/* Of a database whose rows are not looked at. */
#define PLACE (CLI_BIT(OPT_ROOT) | CLI_BIT(OPT_WAL_URL))

/* Checkpoints, clones and garbage. */
extern const struct cli_command cli_keep_commands[];
extern const size_t cli_keep_command_count;
/* String stores. */
extern const struct cli_command cli_s4_commands[];
extern const size_t cli_s4_command_count;

/* SQLite on a bucket. */
extern const struct cli_command cli_sql_commands[];
extern const size_t cli_sql_command_count;

#endif
