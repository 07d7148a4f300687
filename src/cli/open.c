/* From the command line to an open database, and back: takeover notes, what did not become durable. */
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/object.h"
#include "cli/os.h"
#include "cli/price.h"
#include "cli/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* What SlateDB writes as %XX in names of objects. */
static bool is_escaped(uint8_t byte)
{
    return byte < ' ' || byte >= 0x7f || strchr("\\{^}%`]\">[~<#|*?", byte) != NULL;
}

bool cli_name_is_escaped(const struct cli *c, const char *url)
{
    struct shl_buf name = {0};
    bool odd = false;
    if (object_name(url, cli_has(&c->args, OPT_ROOT), &name))
        for (size_t i = 0; i < name.len; i++)
            odd = odd || is_escaped(name.data[i]);
    shl_buf_free(&name);
    return odd;
}

void cli_note_name(const struct cli *c, const char *url)
{
    if (cli_name_is_escaped(c, url))
        cli_note(c, "note: SlateDB escapes characters of this name, twice for part of the objects: "
                    "the new database lies under two other names (shale help urls)");
}

/* With the options made. */
static int open_writer(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    if (shale_db_open(out, url, c->options, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    shale_db_status status = {.struct_size = sizeof status};
    shale_db_status_get(*out, &status);
    bool fresh = strncmp(url, "memory:", 7) != 0 && status.writer_epoch == 1 &&
                 status.durable_seq == 0 &&
                 status.l0_count + status.run_count + status.segment_count == 0;
    if (status.writer_epoch == 1)
        cli_note_name(c, url);
    if (fresh && os_is_terminal(CLI_STDERR))
        cli_note(c, "note: there was no database in %s: made a new one", url);
    else if (status.writer_epoch > 1 && os_is_terminal(CLI_STDERR))
        cli_note(c, "note: took over as writer, epoch %" PRIu64 " -> %" PRIu64,
                 status.writer_epoch - 1, status.writer_epoch);
    return CLI_YES;
}

int cli_open_writer(struct cli *c, shale_db **out)
{
    if (c->session != NULL)
        return session_writer(c, out);
    return cli_options(c) ? open_writer(c, out) : CLI_USAGE;
}

int cli_open_existing_writer(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    shale_db *reader = NULL;
    if (c->session != NULL)
        return session_writer(c, out);
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_db_open_reader(&reader, url, c->options, NULL, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    (void)cli_close_counted(c, reader); /* a reader has nothing to lose at close */
    return open_writer(c, out);
}

int cli_open_reader(struct cli *c, shale_db **out)
{
    const char *url = c->args.positional[0];
    if (c->session != NULL && !session_line_differs(c))
        return session_reader(c, out);
    if (!cli_options(c))
        return CLI_USAGE;
    shale_reader_options reader;
    shale_checkpoint_found found;
    shale_reader_options_init(&reader, sizeof reader);
    reader.checkpoint = c->args.value[OPT_CHECKPOINT];
    if (cli_has(&c->args, OPT_AS_OF)) {
        if (reader.checkpoint != NULL)
            return cli_usage(c, NULL, "--as-of picks a checkpoint: give it or --checkpoint");
        int code = cli_checkpoint_as_of(c, &found);
        if (code != CLI_YES)
            return code;
        reader.checkpoint = found.id;
    }
    if (shale_db_open_reader(out, url, c->options, &reader, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    return CLI_YES;
}

static bool is_sessions(const struct cli *c, const shale_db *db)
{
    return c->session != NULL && c->session->db == db;
}

int cli_close_reader(struct cli *c, shale_db *db, int code)
{
    if (!is_sessions(c, db))
        (void)cli_close_counted(c, db);
    return code;
}

bool cli_in_txn(const struct cli *c)
{
    return c->session != NULL && c->session->txn != NULL;
}

bool cli_to_terminal(const struct cli *c)
{
    return os_is_terminal(c->out->fd);
}

/* With --json: how much was written, up to which sequence number, and what it took. A shell's handle goes on, and has asked for other lines too. */
static void tell_written(struct cli *c, uint64_t seq, bool stopped, const shale_store_counts *asked)
{
    cli_run_fn run = c->args.command->run;
    bool tells = run == cmd_put || run == cmd_del || run == cmd_load;
    if (!tells || cli_in_txn(c) || !cli_has(&c->args, OPT_JSON))
        return;
    out_printf(c->out, "{\"rows\":%" PRIu64 ",\"seq\":%" PRIu64, c->rows, seq);
    if (stopped)
        out_text(c->out, ",\"stopped\":true");
    if (asked != NULL) {
        out_char(c->out, ',');
        cli_json_requests(c->out, asked);
    }
    out_text(c->out, "}\n");
}

static uint64_t durable_seq(shale_db *db)
{
    shale_db_status status = {.struct_size = sizeof status};
    shale_db_status_get(db, &status);
    return status.durable_seq;
}

/* durable: what was written is, so that the close has nothing to lose. */
static int close_writer(struct cli *c, shale_db *db, int code, bool durable)
{
    bool stopped = code != CLI_YES && code == os_stop_code();
    uint64_t seq = durable_seq(db);
    if (is_sessions(c, db)) {
        c->asked.struct_size = sizeof c->asked;
        shale_db_store_counts(db, &c->asked);
        if (code == CLI_YES || (durable && stopped))
            tell_written(c, seq, stopped, NULL);
        session_check(c);
        return code;
    }
    shale_code rc = cli_close_counted(c, db);
    if (rc != SHALE_OK && !durable) {
        int failed = cli_fail(c, c->args.positional[0]);
        return code == CLI_YES ? failed : code;
    }
    if (rc != SHALE_OK)
        cli_note(c, "note: it is written and durable; only closing the database failed: %s",
                 c->err.text);
    if (code == CLI_YES || (durable && stopped))
        tell_written(c, seq, stopped, &c->asked);
    return code;
}

shale_code cli_close_counted(struct cli *c, shale_db *db)
{
    shale_store_counts n = {.struct_size = sizeof n};
    shale_code rc = shale_db_close_counted(db, &n, &c->err);
    cli_add_requests(&c->asked, &n);
    return rc;
}

int cli_close_written(struct cli *c, shale_db *db, int code)
{
    bool done = code == CLI_YES || code == os_stop_code();
    return db == NULL ? code : close_writer(c, db, code, done);
}

int cli_close_writer(struct cli *c, shale_db *db, int code)
{
    return db == NULL ? code : close_writer(c, db, code, false);
}

bool cli_bytes(struct cli *c, const char *text, const char *what, struct shl_buf *hold,
               shale_slice *out)
{
    if (!cli_has(&c->args, OPT_HEX)) {
        *out = shale_str(text);
        return true;
    }
    if (shl_hex_decode(shl_slice_str(text), hold, &c->err) != SHALE_OK) {
        (void)cli_usage(c, NULL, "%s: \"%.60s\": %s", what, text, c->err.text);
        return false;
    }
    *out = shale_bytes(hold->data, hold->len);
    return true;
}

bool cli_read_file(struct cli *c, const char *path, struct shl_buf *out)
{
    int fd = CLI_STDIN;
    bool is_stdin = strcmp(path, "-") == 0;
    if (is_stdin && c->session != NULL) {
        (void)cli_usage(c, NULL, "stdin is the shell's own: name a file");
        return false;
    }
    int failed = is_stdin ? 0 : os_open_read(&fd, path);
    for (size_t n = 1; failed == 0 && n > 0;) {
        if (shl_buf_reserve(out, 65536, &c->err) != SHALE_OK) {
            failed = ENOMEM;
            break;
        }
        failed = os_read(fd, out->data + out->len, out->cap - out->len, &n);
        if (failed == 0)
            out->len += n;
    }
    if (!is_stdin && fd != CLI_STDIN)
        os_close(fd);
    if (failed != 0)
        (void)cli_trouble(c, "%s cannot be read: %s", is_stdin ? "stdin" : path, strerror(failed));
    return failed == 0;
}

bool cli_value(struct cli *c, const char *help, struct shl_buf *hold, shale_slice *out)
{
    const struct cli_args *a = &c->args;
    const char *file = a->value[OPT_VALUE_FILE];
    const char *word = a->positional_count > 2 ? a->positional[2] : NULL;
    if ((file == NULL) == (word == NULL)) {
        (void)cli_usage(c, help,
                        word == NULL ? "VALUE is missing" : "VALUE and --value-file: which one?");
        return false;
    }
    if (file == NULL && strcmp(word, "-") != 0)
        return cli_bytes(c, word, "VALUE", hold, out);
    if (file == NULL && os_is_terminal(CLI_STDIN) && c->session == NULL)
        cli_note(c, "reading the value from the terminal; Ctrl-D ends");
    if (!cli_read_file(c, file != NULL ? file : "-", hold))
        return false;
    *out = shale_bytes(hold->data, hold->len);
    return true;
}

shale_durability cli_durability(struct cli *c)
{
    const char *level = c->args.value[OPT_DURABILITY];
    if (level == NULL || strcmp(level, "memory") == 0)
        return SHALE_MEMORY;
    if (strcmp(level, "remote") == 0)
        return SHALE_REMOTE;
    bool remote = strcmp(level, "committed") == 0;
    if (!c->noted[0])
        cli_note(c, "note: --durability %s is an old word for %s", level,
                 remote ? "remote" : "memory");
    c->noted[0] = true;
    return remote ? SHALE_REMOTE : SHALE_MEMORY;
}
