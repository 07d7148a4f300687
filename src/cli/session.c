#include "cli/session.h"

#include "base/env/env.h"
#include "cli/os.h"

#include <inttypes.h>

#define FRESH_NS ENV_NS_PER_SEC /* a reader that looked so lately does not ask again */

bool session_line_differs(const struct cli *c)
{
    const cli_option_set opens = cli_open_options() | CLI_BIT(OPT_SET) | CLI_BIT(OPT_STORE_OPTION) |
                                 CLI_BIT(OPT_SETTINGS) | CLI_BIT(OPT_CHECKPOINT) |
                                 CLI_BIT(OPT_AS_OF);
    for (size_t i = c->forwarded; i < c->args.given_count; i++)
        if ((opens & CLI_BIT(c->args.given[i].id)) != 0)
            return true;
    return false;
}

static int open_handle(struct cli *c)
{
    struct cli_session *s = c->session;
    const shale_options *options;
    shale_code rc;
    if (s->opener->options == NULL && !cli_options(s->opener))
        return CLI_USAGE;
    options = s->opener->options;
    if (s->writer) {
        rc = shale_db_open(&s->db, s->url, options, &c->err);
    } else {
        shale_reader_options how;
        shale_reader_options_init(&how, sizeof how);
        how.checkpoint = s->checkpoint;
        rc = shale_db_open_reader(&s->db, s->url, options, &how, &c->err);
    }
    s->looked_ns = env_now_mono_ns();
    return rc == SHALE_OK ? CLI_YES : cli_fail(c, s->url);
}

int session_reader(struct cli *c, shale_db **out)
{
    struct cli_session *s = c->session;
    s->used = true;
    if (s->db == NULL) {
        int code = open_handle(c);
        if (code != CLI_YES)
            return code;
    } else if (!s->writer && s->checkpoint == NULL && env_now_mono_ns() - s->looked_ns > FRESH_NS) {
        s->refreshed = true;
        if (shale_db_refresh(s->db, &c->err) != SHALE_OK)
            return cli_fail(c, s->url);
        s->looked_ns = env_now_mono_ns();
    }
    *out = s->db;
    return CLI_YES;
}

int session_writer(struct cli *c, shale_db **out)
{
    struct cli_session *s = c->session;
    if (!s->writer)
        return cli_usage(c, ".write on", "this shell only reads: nobody was disturbed");
    if (session_line_differs(c))
        return cli_usage(c, NULL,
                         "the database is open already: .set NAME=VALUE changes how it is opened");
    s->used = true;
    if (s->db == NULL) {
        int code = open_handle(c);
        if (code != CLI_YES)
            return code;
    }
    *out = s->db;
    return CLI_YES;
}

void session_drop_txn(struct cli_session *s)
{
    shale_txn_close(s->txn);
    s->txn = NULL;
    s->txn_writes = 0;
}

void session_check(struct cli *c)
{
    struct cli_session *s = c->session;
    shale_db_status status = {.struct_size = sizeof status};
    if (s->db == NULL || !s->writer)
        return;
    shale_db_status_get(s->db, &status);
    if (status.closed == SHALE_OK)
        return;
    lookup_settle(&s->lookup);
    session_drop_txn(s);
    (void)shale_db_close(s->db, NULL); /* its failure was told by the command that met it */
    s->db = NULL;
    s->writer = false;
    cli_note(c, "note: this shell only reads from here on; .write on takes over again");
}

int session_close(struct cli *c)
{
    struct cli_session *s = c->session;
    lookup_settle(&s->lookup);
    if (s->txn != NULL)
        cli_note(c, "note: a transaction of %zu write%s was not committed; it is dropped",
                 s->txn_writes, s->txn_writes == 1 ? "" : "s");
    session_drop_txn(s);
    shale_db *db = s->db;
    s->db = NULL;
    if (db == NULL || shale_db_close(db, &c->err) == SHALE_OK)
        return CLI_YES;
    return cli_fail(c, s->url);
}
