#include "cli/cmd.h"
int cmd_doctor(struct cli *c)
{
    return cli_trouble(c, "not yet");
}
int cmd_store_doctor(struct cli *c)
{
    return cli_trouble(c, "not yet");
}
