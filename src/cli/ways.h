/* What to do about an error. */
#ifndef SHL_CLI_WAYS_H
#define SHL_CLI_WAYS_H

#include "cli/cmd.h"

/* In braces: {db} the first argument, {key} the second, which is a key, {hex} " --hex" if it was given, {bucket} its bucket, {path} its path if it is a folder, {cmd} the command, {args} its arguments and {rest} all but the first (each with a blank before it), {region}, {near},
 * {fixed}, {profile}, {older}, {endpoint}, {segments} taken from the text, {holder} the folder that stands nearest above {path}, {tmp} where local copies of SQL databases are. After a tab stands a remark for people. tests/cli holds that every command here exists. */
struct way_out {
    shale_code code;
    const char *contains; /* only for texts with these words; NULL: for all */
    const char *retry;    /* "no", "later", "now" */
    const char *facts;    /* lines of the state that things are in now; NULL: none */
    const char *try[2];   /* NULL: none */
};
#define CLI_UNCHANGED "Nothing was changed."
/* For c->err of c->args.command; NULL: there is none. */
const struct way_out *way_out_of(const struct cli *c);

#endif
