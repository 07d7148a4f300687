/* The shale program: parses the command line, runs the command, turns what happened into an exit code. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <string.h>

/* Hidden commands take their words as they are: they stand outside of the grammar. */
static bool run_hidden(struct cli *c, int argc, char **argv, int *code)
{
    if (argc > 1 && strcmp(argv[1], "__complete") == 0)
        *code = cli_complete_words(c, argc - 2, argv + 2);
    else if (argc > 1 && strcmp(argv[1], "__doc") == 0)
        *code = cli_doc(c, argc - 2, argv + 2);
    else
        return false;
    return true;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct cli_problem problem;
    int code = CLI_USAGE;
    if (run_hidden(c, argc, argv, &code))
        return code;
    switch (cli_args_parse(argc, argv, NULL, &c->args, &problem)) {
    case CLI_PARSE_HELP:
        return cli_help_for(c);
    case CLI_PARSE_VERSION:
        return cmd_version(c);
    case CLI_PARSE_NONE:
        cli_help_overview(c->out, false);
        return CLI_USAGE;
    case CLI_PARSE_BAD:
        return cli_usage(c, problem.hint[0] != '\0' ? problem.hint : NULL, "%s", problem.text);
    case CLI_PARSE_OK:
        break;
    }
    os_signals(OS_STOP_NOW);
    if (!cli_watch_begin(c))
        return CLI_USAGE;
    return c->args.command->run(c);
}

int main(int argc, char **argv)
{
    static const char no_memory[] = "shale: out of memory\n";
    struct cli_watch watch = {0};
    struct cli c = {.out = out_new(CLI_STDOUT), .watch = &watch};
    if (c.out == NULL) {
        (void)os_write(CLI_STDERR, no_memory, sizeof no_memory - 1);
        return CLI_FAILED;
    }
    env_return_large_blocks();
    os_hold_streams();
    shl_json_setup(env_rand64());
    cli_watch_hide(&c, argc, argv);
    int code = run(&c, argc, argv);
    code = cli_finish(&c, code);
    shale_options_free(c.options);
    cli_watch_end(&c);
    cli_args_deinit(&c.args);
    out_free(c.out);
    return code;
}
