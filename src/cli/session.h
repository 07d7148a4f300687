/* The database that a shell keeps open between its lines. Commands do not see it: open.c hands it out instead of opening. One task. */
#ifndef SHL_CLI_SESSION_H
#define SHL_CLI_SESSION_H

#include "cli/cmd.h"
#include "cli/lookup.h"

struct cli_session {
    char *url;            /* owned */
    struct cli *opener;   /* borrowed: settings as they are now; the log of the open handle goes through it, so it outlives it */
    shale_db *db;         /* owned; NULL: the next command opens it */
    bool writer;          /* db is one; wanted if db is NULL */
    bool used;            /* by the line that runs, so that its requests are known */
    bool refreshed;       /* by that line: it looked for newer data */
    char *checkpoint;     /* owned; NULL: the newest state */
    shale_txn *txn;       /* owned: between .begin and .commit; else NULL */
    size_t txn_writes;    /* operations in it */
    uint64_t looked_ns;   /* when a reader last looked for newer data */
    struct lookup lookup; /* for Tab; may use db */
};

/* The handle of the session, opened with the options of the opener (which are made if there are none) and brought up to date. 0, or an exit code after a message. */
SHL_MUST int session_reader(struct cli *c, shale_db **out);
/* CLI_USAGE after a message unless .write is on. */
SHL_MUST int session_writer(struct cli *c, shale_db **out);
/* After a write: a handle that was fenced or failed is let go, and the session reads only from then on. */
void session_check(struct cli *c);
/* Closes the handle; reports what did not become durable. 0 or an exit code. */
int session_close(struct cli *c);
/* Drops what was begun and not committed. */
void session_drop_txn(struct cli_session *s);
/* True if the line has options of its own that change how the database is opened. */
bool session_line_differs(const struct cli *c);

#endif
