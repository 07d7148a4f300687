/* checkpoint create, list, refresh, delete. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/session.h"

#include <inttypes.h>

#define ID_COLUMNS   36
#define TIME_COLUMNS 20
#define INDENT       4  /* of what a narrow terminal shows in further lines */
#define WIDE_COLUMNS 98 /* room for a name of 8 letters */

/* Milliseconds of --lifetime; 0: never. False after a message. */
static bool lifetime_of(struct cli *c, uint64_t *out)
{
    uint64_t ns = cli_number(&c->args, OPT_LIFETIME, 0);
    *out = ns / ENV_NS_PER_MS;
    if (!cli_has(&c->args, OPT_LIFETIME) || ns >= ENV_NS_PER_SEC)
        return true;
    (void)cli_usage(c, NULL, "--lifetime %s: at least 1s, for expiry is kept in seconds",
                    c->args.value[OPT_LIFETIME]);
    return false;
}

/* What was done, with --json as SlateDB names it; for people on stderr, the id alone on stdout. */
static int tell(struct cli *c, const char *done, const shale_checkpoint_result *result)
{
    if (cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out, "{\"id\":\"%s\"", result->id);
        if (result->manifest_id != 0)
            out_printf(c->out, ",\"manifest_id\":%" PRIu64, result->manifest_id);
        if (result->wal_objects_left_out != 0)
            out_printf(c->out, ",\"wal_objects_left_out\":%" PRIu64, result->wal_objects_left_out);
        out_text(c->out, "}\n");
        return CLI_YES;
    }
    if (result->wal_objects_left_out != 0)
        cli_tell(c,
                 "note: %" PRIu64
                 " WAL object%s that its writer made since its last manifest %s not "
                 "in it: make it by the writer, or after it has flushed",
                 result->wal_objects_left_out, result->wal_objects_left_out == 1 ? "" : "s",
                 result->wal_objects_left_out == 1 ? "is" : "are");
    if (result->manifest_id != 0)
        cli_note(c, "%s checkpoint %s of manifest %" PRIu64, done, result->id, result->manifest_id);
    else
        cli_note(c, "%s checkpoint %s", done, result->id);
    if (c->args.command->run == cmd_checkpoint_create && !cli_to_terminal(c))
        out_printf(c->out, "%s\n", result->id);
    return CLI_YES;
}

/* The format allows a name twice; commands that are given it do not. A list that fails takes nothing away from what was made. */
static void note_same_name(struct cli *c)
{
    const char *name = c->args.value[OPT_NAME];
    char *text = NULL;
    json_t *list = NULL;
    shale_error ignored;
    if (name == NULL || shale_admin_checkpoints(&text, c->args.positional[0], c->options, name,
                                                &ignored) != SHALE_OK)
        return;
    if (shl_json_parse_unsigned(shl_slice_str(text), &list, &ignored) == SHALE_OK &&
        json_array_size(list) > 1)
        cli_tell(c, "note: %zu checkpoints are named \"%s\" now: other commands need the id",
                 json_array_size(list), name);
    json_decref(list);
    shale_text_free(text);
}

int cmd_checkpoint_create(struct cli *c)
{
    shale_checkpoint_options how;
    shale_checkpoint_result result;
    shale_checkpoint_options_init(&how, sizeof how);
    how.name = c->args.value[OPT_NAME];
    how.source = c->args.value[OPT_SOURCE];
    if (how.name != NULL && how.name[0] == '\0')
        return cli_usage(c, NULL,
                         "--name \"\": it must not be empty; without a name leave --name out");
    if (!lifetime_of(c, &how.lifetime_ms) || !cli_options(c))
        return CLI_USAGE;
    if (c->session != NULL && c->session->writer) { /* it has rows that no manifest knows of */
        shale_db *db = NULL;
        int code = session_writer(c, &db);
        if (code != CLI_YES)
            return code;
        if (shale_db_checkpoint(&result, db, &how, &c->err) != SHALE_OK)
            return cli_fail(c, c->args.positional[0]);
    } else if (shale_admin_checkpoint_create(&result, c->args.positional[0], c->options, &how,
                                             &c->err) != SHALE_OK) {
        return cli_fail(c, c->args.positional[0]);
    }
    note_same_name(c);
    return tell(c, "made", &result);
}

int cmd_checkpoint_refresh(struct cli *c)
{
    shale_checkpoint_result result;
    uint64_t lifetime_ms;
    if (!lifetime_of(c, &lifetime_ms) || !cli_options(c))
        return CLI_USAGE;
    if (shale_admin_checkpoint_refresh(&result, c->args.positional[0], c->options,
                                       c->args.positional[1], lifetime_ms, &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    return tell(c, "refreshed", &result);
}

int cmd_checkpoint_delete(struct cli *c)
{
    shale_checkpoint_result result;
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_admin_checkpoint_delete(&result, c->args.positional[0], c->options,
                                      c->args.positional[1], &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    return tell(c, "deleted", &result);
}

/* ---- list */

static void out_cell(struct out *o, const json_t *item, const char *member, int columns)
{
    struct shl_slice text = shl_slice_str("-");
    (void)!shl_json_get_str(item, member, &text);
    out_printf(o, "%-*.*s  ", columns, (int)text.len, (const char *)text.data);
}

/* Of two lines where one is too long for the terminal. */
static void out_line(struct out *o, const json_t *item, const char *between)
{
    struct shl_slice name = shl_slice_str("-");
    uint64_t manifest = 0;
    (void)!shl_json_get_u64(item, "manifest_id", &manifest);
    (void)!shl_json_get_str(item, "name", &name);
    out_cell(o, item, "id", ID_COLUMNS);
    out_printf(o, "%8" PRIu64 "%s", manifest, between);
    out_cell(o, item, "create_time", TIME_COLUMNS);
    out_cell(o, item, "expire_time", TIME_COLUMNS);
    out_escaped(o, name, 0);
    out_char(o, '\n');
}

static int show(struct cli *c, const char *text)
{
    json_t *list = NULL;
    struct out *page;
    bool narrow = cli_to_terminal(c) && os_columns() < WIDE_COLUMNS;
    const char *between = narrow ? "\n    " : "  ";
    if (shl_json_parse_unsigned(shl_slice_str(text), &list, &c->err) != SHALE_OK)
        return cli_fail(c, NULL);
    if (json_array_size(list) == 0)
        cli_note(c, "note: there are none");
    for (size_t i = 0; i < json_array_size(list); i++) {
        page = out_new(c->out->fd); /* one for each: a page is no larger than its buffer */
        if (page == NULL) {
            json_decref(list);
            return cli_trouble(c, "out of memory");
        }
        if (i == 0)
            out_printf(page, "%-*s  %8s%s%-*s  %-*s  %s\n", ID_COLUMNS, "id", "manifest", between,
                       TIME_COLUMNS, "made", TIME_COLUMNS, "expires", "name");
        out_line(page, json_array_get(list, i), between);
        cli_out_page(c, page, INDENT);
    }
    json_decref(list);
    return CLI_YES;
}

int cmd_checkpoint_list(struct cli *c)
{
    char *text = NULL;
    int code = CLI_YES;
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_admin_checkpoints(&text, c->args.positional[0], c->options, c->args.value[OPT_NAME],
                                &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out, "%s\n", text);
    else
        code = show(c, text);
    shale_text_free(text);
    return code;
}
