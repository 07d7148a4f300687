/* SQL text on an open database: cut into statements, run as views or updates, printed. One task. */
#ifndef SHL_CLI_SQL_RUN_H
#define SHL_CLI_SQL_RUN_H

#include "cli/cmd.h"

enum sql_mode { SQL_LIST, SQL_COLUMN, SQL_CSV, SQL_TABS, SQL_JSON };

struct sql_run {
    struct cli *c;
    shale_sql *sql; /* owned */
    enum sql_mode mode;
    bool headers;              /* of lists and tabs */
    bool in_block;             /* between BEGIN and COMMIT, or SAVEPOINT and RELEASE */
    bool by_savepoint;         /* ... the latter */
    struct shl_buf savepoints; /* owned: names of those that are open, each in as many bytes */
    struct shl_buf block;      /* owned: its statements so far */
    int64_t seq;               /* of the last commit of ours; 0: none */
};

/* Opens the database of the command line. 0, or an exit code after a message. */
SHL_MUST int sql_open(struct cli *c, shale_sql **out);
/* The options of the command line. False after a message. */
SHL_MUST bool sql_take_options(struct cli *c, shale_sql_options *o);
/* Counts its requests in c->asked. */
void sql_close(struct cli *c, shale_sql *sql);
/* The mode that the command line asks for: --json, --format, else columns on a terminal and lists in a pipe. */
enum sql_mode sql_mode_of(const struct cli *c);
bool sql_mode_named(const char *name, enum sql_mode *out);

/* How many bytes of `text` are whole statements; the rest is the beginning of one. */
size_t sql_complete(const char *text);
/* Runs all of `text`. The exit code; stops at the first failure. */
int sql_run_text(struct sql_run *r, const char *text);
/* Runs a statement of our own with one text parameter (may be NULL) in the newest state, and prints it. */
int sql_run_query(struct sql_run *r, const char *sql, const char *parameter);
void sql_run_deinit(struct sql_run *r); /* closes the database */

#endif
