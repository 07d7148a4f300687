/* What the commands of string stores share. One task. */
#ifndef SHL_CLI_CMD_S4_H
#define SHL_CLI_CMD_S4_H

#include "cli/cmd.h"

enum s4_open {
    S4_READ,      /* it must be there */
    S4_WRITE,     /* made if it is not there */
    S4_WRITE_OLD, /* it must be there */
    S4_REBUILD    /* whatever its index is like */
};
/* The store of the first argument. 0, or an exit code after a message. */
SHL_MUST int s4_open(struct cli *c, enum s4_open how, shale_s4 **out);
/* Counts its requests in c->asked. NULL is fine. */
void s4_close(struct cli *c, shale_s4 *db);
/* c->err about the first argument; returns the exit code. */
int s4_fail(struct cli *c);
/* Uploads what was written, or with --no-upload makes it safe in the local folder. */
SHL_MUST int s4_keep(struct cli *c, shale_s4 *db);
/* With --json: how many keys, and what it took. The store is closed. */
void s4_tell_keys(struct cli *c, uint64_t keys);

#endif
