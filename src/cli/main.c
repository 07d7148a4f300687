/* The shale program: parses the command line, runs the command, turns what happened into an exit code. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <stdio.h>

/* Help for what was named, whatever else is on the command line. */
static int show_help(struct cli *c)
{
    if (c->args.command != NULL)
        cli_help_command(c->out, c->args.command);
    else if (c->args.word != NULL && strcmp(c->args.word, "help") != 0)
        return cli_help(c, &c->args.word, 1);
    else
        cli_help_overview(c->out, true);
    return CLI_YES;
}

/* "help" and "version" are no commands on a database and stand outside of the table's rules. */
static bool run_word(struct cli *c, int argc, char **argv, int *code)
{
    const char *words[2] = {NULL, NULL};
    size_t count = 0;
    if (argc < 2 || (strcmp(argv[1], "help") != 0 && strcmp(argv[1], "version") != 0))
        return false;
    if (strcmp(argv[1], "version") == 0) {
        out_printf(c->out, "shale %s\n", shale_version());
        *code = CLI_YES;
        return true;
    }
    for (int i = 2; i < argc && count < SHL_COUNT_OF(words); i++)
        if (argv[i][0] != '-')
            words[count++] = argv[i];
    *code = cli_help(c, words, count);
    return true;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct cli_problem problem;
    int code = CLI_USAGE;
    enum cli_parse parsed = cli_args_parse(argc, argv, &c->args, &problem);
    if (run_word(c, argc, argv, &code))
        return code;
    switch (parsed) {
    case CLI_PARSE_HELP:
        return show_help(c);
    case CLI_PARSE_VERSION:
        out_printf(c->out, "shale %s\n", shale_version());
        return CLI_YES;
    case CLI_PARSE_NONE:
        cli_help_overview(c->out, false);
        return CLI_USAGE;
    case CLI_PARSE_BAD:
        return cli_usage(c, problem.hint[0] != '\0' ? problem.hint : NULL, "%s", problem.text);
    case CLI_PARSE_OK:
        break;
    }
    os_signals(OS_STOP_NOW);
    return c->args.command->run(c);
}

int main(int argc, char **argv)
{
    static const char no_memory[] = "shale: out of memory\n";
    struct cli c = {.out = out_new(CLI_STDOUT)};
    if (c.out == NULL) {
        (void)os_write(CLI_STDERR, no_memory, sizeof no_memory - 1);
        return CLI_FAILED;
    }
    shl_json_setup(env_rand64());
    int code = run(&c, argc, argv);
    code = cli_finish(&c, code);
    shale_options_free(c.options);
    cli_args_deinit(&c.args);
    out_free(c.out);
    return code;
}
