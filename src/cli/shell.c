/* stub */
#include "cli/cmd.h"
int cmd_shell(struct cli *c)
{
    return cli_trouble(c, "not yet");
}
