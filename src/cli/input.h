/* Rows from a file or stdin, a line each, without ever holding all of them. */
#ifndef SHL_CLI_INPUT_H
#define SHL_CLI_INPUT_H

#include "cli/cmd.h"

struct cli_input {
    const char *name; /* for messages; borrowed */
    int fd;
    uint64_t size;    /* of a file; 0: not known */
    uint64_t bytes;   /* read so far */
    uint64_t line;    /* of the line that is being taken, from 1 */
};

/* path: a file, or "-". CLI_YES, or an exit code after a message, which names `help` as the way out. Before a database is opened: a mistyped name must not fence
 * its writer. */
SHL_MUST int cli_input_open(struct cli *c, const char *help, const char *path, struct cli_input *out);
void cli_input_close(struct cli_input *in);
/* Hands each line that is not empty to take(), without its end, until take gives something else than CLI_YES or a stop is asked for: a line that is not whole by
 * then is no row. CLI_FAILED with c->err NOMEM: no memory for a line, and nobody was told. */
SHL_MUST int cli_input_lines(struct cli_input *in, struct cli *c, int (*take)(void *ctx, struct shl_slice line),
                             void *ctx);

#endif
