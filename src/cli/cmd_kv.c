/* put, get, del, scan. */
#include "base/env/env.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/session.h"

#include <inttypes.h>
#include <stdio.h>

#define KEY_SHOWN 80 /* bytes of a key that a message shows */

static struct shl_slice slice_of(shale_slice s)
{
    return shl_slice_of(s.data, s.len);
}

static bool key_is_good(const struct cli *c, shale_slice key)
{
    if (key.len > 0)
        return true;
    (void)cli_usage(c, NULL, "the key is empty: a key has at least one byte");
    return false;
}

/* What became of a write to the shell's transaction. */
static int in_txn(struct cli *c, shale_code rc)
{
    c->session->txn_writes += rc == SHALE_OK;
    return rc == SHALE_OK ? CLI_YES : cli_fail(c, c->args.positional[0]);
}

int cmd_put(struct cli *c)
{
    struct shl_buf key_hold = {0};
    struct shl_buf value_hold = {0};
    shale_slice key;
    shale_slice value;
    shale_db *db = NULL;
    shale_write_result result = {0};
    shale_write_options how;
    int code = CLI_USAGE;
    if (!cli_bytes(c, c->args.positional[1], "KEY", &key_hold, &key) || !key_is_good(c, key) ||
        !cli_value(c, "shale put --help", &value_hold, &value))
        goto out;
    code = cli_open_writer(c, &db);
    if (code != CLI_YES)
        goto out;
    c->rows = 1;
    if (cli_in_txn(c)) {
        code = in_txn(c, shale_txn_put(c->session->txn, key, value, &c->err));
        goto out;
    }
    shale_write_options_init(&how, sizeof how);
    how.result = &result;
    if (shale_db_put(db, key, value, &how, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    else if (os_is_terminal(CLI_STDERR))
        cli_note(c, "put 1 row (%zu bytes), durable at seq %" PRIu64, key.len + value.len,
                 result.seq);
out:
    code = cli_close_written(c, db, code);
    shl_buf_free(&key_hold);
    shl_buf_free(&value_hold);
    return code;
}

/* All words were found good before. */
static int del_in_txn(struct cli *c, struct shl_buf *hold)
{
    int code = CLI_YES;
    for (size_t i = 1; i < c->args.positional_count && code == CLI_YES; i++) {
        shale_slice key;
        hold->len = 0;
        if (!cli_bytes(c, c->args.positional[i], "KEY", hold, &key))
            return CLI_USAGE;
        code = in_txn(c, shale_txn_delete(c->session->txn, key, &c->err));
    }
    return code;
}

int cmd_del(struct cli *c)
{
    const struct cli_args *a = &c->args;
    struct shl_buf hold = {0};
    shale_batch *batch = shale_batch_new();
    shale_db *db = NULL;
    shale_write_result result = {0};
    shale_write_options how;
    int code = CLI_USAGE;
    if (batch == NULL) {
        code = cli_trouble(c, "out of memory");
        goto out;
    }
    for (size_t i = 1; i < a->positional_count; i++) {
        shale_slice key;
        hold.len = 0;
        if (!cli_bytes(c, a->positional[i], "KEY", &hold, &key) || !key_is_good(c, key))
            goto out;
        shale_batch_delete(batch, key);
    }
    if (cli_in_txn(c)) {
        code = del_in_txn(c, &hold);
        goto out;
    }
    code = cli_open_existing_writer(c, &db);
    if (code != CLI_YES)
        goto out;
    c->rows = a->positional_count - 1;
    shale_write_options_init(&how, sizeof how);
    how.result = &result;
    if (shale_db_write(db, batch, &how, &c->err) != SHALE_OK)
        code = cli_fail(c, a->positional[0]);
    else if (os_is_terminal(CLI_STDERR))
        cli_note(c, "deleted %zu key%s, durable at seq %" PRIu64, a->positional_count - 1,
                 a->positional_count == 2 ? "" : "s", result.seq);
out:
    code = cli_close_written(c, db, code);
    shale_batch_free(batch);
    shl_buf_free(&hold);
    return code;
}

/* One row as a JSON object without line end. */
static void json_row(struct out *o, const shale_row *row, bool keys_only, bool hex)
{
    out_char(o, '{');
    if (hex) {
        out_text(o, "\"k\":\"");
        out_hex(o, slice_of(row->key));
        out_char(o, '"');
    } else {
        out_json_member(o, "key", slice_of(row->key));
    }
    if (!keys_only && hex) {
        out_text(o, ",\"v\":\"");
        out_hex(o, slice_of(row->value));
        out_char(o, '"');
    } else if (!keys_only) {
        out_char(o, ',');
        out_json_member(o, "value", slice_of(row->value));
    }
    out_char(o, '}');
}

static void get_json(struct cli *c, shale_slice key, const shale_pinned *found)
{
    struct out *o = c->out;
    bool hex = cli_has(&c->args, OPT_HEX);
    out_text(o, hex ? "{\"k\":\"" : "{");
    if (hex)
        out_hex(o, slice_of(key));
    else
        out_json_member(o, "key", slice_of(key));
    out_text(o, hex ? "\",\"v\":\"" : ",");
    if (hex)
        out_hex(o, slice_of(found->value));
    else
        out_json_member(o, "value", slice_of(found->value));
    out_printf(o, "%s,\"seq\":%" PRIu64 ",\"create_ts\":%" PRId64, hex ? "\"" : "", found->seq,
               found->create_ts);
    if (found->has_expire_ts)
        out_printf(o, ",\"expire_ts\":%" PRId64, found->expire_ts);
    out_text(o, "}\n");
}

static void get_raw(struct cli *c, struct shl_slice value)
{
    bool hex = cli_has(&c->args, OPT_HEX);
    if (hex)
        out_hex(c->out, value);
    else
        out_bytes(c->out, value.data, value.len);
    /* In a shell one value follows the other. */
    if (hex || cli_to_terminal(c) || c->session != NULL)
        out_char(c->out, '\n');
}

/* With --json the answer "no" is told, too. */
static int key_not_found(struct cli *c)
{
    if (cli_has(&c->args, OPT_JSON)) {
        c->err.code = SHALE_NOT_FOUND;
        (void)snprintf(c->err.text, sizeof c->err.text, "no such key: %.300s",
                       c->args.positional[1]);
        (void)cli_fail(c, c->args.positional[0]);
    } else if (os_is_terminal(CLI_STDERR) && cli_to_terminal(c)) {
        cli_note(c, "%sget: key not found: \"%.*s\"", c->session != NULL ? "" : "shale ", KEY_SHOWN,
                 c->args.positional[1]);
        cli_try(c, CLI_LISTS_KEYS);
    }
    return CLI_NO;
}

int cmd_get(struct cli *c)
{
    struct shl_buf hold = {0};
    shale_slice key;
    shale_db *db = NULL;
    shale_pinned found = {0};
    shale_read_options how;
    shale_code rc;
    int code = CLI_USAGE;
    if (!cli_bytes(c, c->args.positional[1], "KEY", &hold, &key) || !key_is_good(c, key))
        goto out;
    code = cli_open_reader(c, &db);
    if (code != CLI_YES)
        goto out;
    shale_read_options_init(&how, sizeof how);
    how.durability = cli_durability(c);
    rc = cli_in_txn(c) ? shale_txn_get(&found, c->session->txn, key, &how, &c->err)
                       : shale_db_get(&found, db, key, &how, &c->err);
    if (rc == SHALE_NOT_FOUND) {
        code = key_not_found(c);
    } else if (rc != SHALE_OK) {
        code = cli_fail(c, c->args.positional[0]);
    } else if (cli_has(&c->args, OPT_JSON)) {
        c->rows = 1;
        get_json(c, key, &found);
    } else {
        c->rows = 1;
        get_raw(c, slice_of(found.value));
    }
out:
    shale_pinned_release(&found);
    code = cli_close_reader(c, db, code);
    shl_buf_free(&hold);
    return code;
}

/* ---- scan */

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV, FORMAT_TSV, FORMAT_RAW0 };

struct scan {
    enum format format;
    bool keys_only;
    bool hex;
    bool count; /* nothing is printed but the sum */
    bool exists;
    size_t width; /* 0: rows are not cut */
    bool limited; /* the terminal's own limit is in force */
    uint64_t limit;
    uint64_t rows;
    uint64_t bytes;
};

static enum format format_of(const struct cli *c)
{
    const char *name = c->args.value[OPT_FORMAT];
    if (name == NULL)
        return cli_has(&c->args, OPT_JSON) ? FORMAT_JSON : FORMAT_TEXT;
    switch (name[0]) {
    case 'j':
        return FORMAT_JSON;
    case 'c':
        return FORMAT_CSV;
    case 'r':
        return FORMAT_RAW0;
    default:
        return strcmp(name, "tsv") == 0 ? FORMAT_TSV : FORMAT_TEXT;
    }
}

/* A shell's own --json stands behind what a line says. */
static bool formats_agree(const struct cli *c)
{
    bool json = false;
    bool other = false;
    for (size_t i = c->forwarded; i < c->args.given_count; i++) {
        const struct cli_given *g = &c->args.given[i];
        json = json || g->id == OPT_JSON;
        other = other || (g->id == OPT_FORMAT && strcmp(g->value, "json") != 0);
    }
    if (json && other)
        (void)cli_usage(c, "shale scan --help", "--format %s and --json: which one?",
                        c->args.value[OPT_FORMAT]);
    return !(json && other);
}

static void scan_settings(const struct cli *c, struct scan *s)
{
    bool terminal = cli_to_terminal(c);
    *s = (struct scan){.format = format_of(c),
                       .keys_only = cli_has(&c->args, OPT_KEYS_ONLY),
                       .hex = cli_has(&c->args, OPT_HEX),
                       .count = cli_has(&c->args, OPT_COUNT),
                       .exists = cli_has(&c->args, OPT_EXISTS)};
    s->limit = cli_number(&c->args, OPT_LIMIT, 0);
    if (s->exists)
        s->limit = 1;
    if (!cli_has(&c->args, OPT_LIMIT) && terminal && !s->count && !s->exists) {
        s->limit = 1000;
        s->limited = true;
    }
    s->width = (size_t)cli_number(&c->args, OPT_WIDTH,
                                  terminal && s->format == FORMAT_TEXT ? os_columns() : 0);
}

static void text_row(struct out *o, const struct scan *s, const shale_row *row)
{
    if (s->hex) {
        out_hex(o, slice_of(row->key));
        if (!s->keys_only) {
            out_char(o, '\t');
            out_hex(o, slice_of(row->value));
        }
    } else {
        /* A cut row gives the key at most two thirds of the line. */
        size_t key_width = s->width == 0 ? 0 : s->keys_only ? s->width : s->width * 2 / 3 + 1;
        out_escaped(o, slice_of(row->key), key_width);
        if (!s->keys_only) {
            size_t used = row->key.len < key_width ? row->key.len : key_width;
            size_t rest = s->width > used + 8 ? s->width - used - 8 : 8;
            out_char(o, '\t');
            out_escaped(o, slice_of(row->value), s->width == 0 ? 0 : rest);
        }
    }
    out_char(o, '\n');
}

static void csv_field(struct out *o, const struct scan *s, shale_slice bytes)
{
    if (s->hex)
        out_hex(o, slice_of(bytes));
    else
        out_csv(o, slice_of(bytes));
}

static void print_row(struct cli *c, const struct scan *s, const shale_row *row)
{
    struct out *o = c->out;
    switch (s->format) {
    case FORMAT_JSON:
        json_row(o, row, s->keys_only, s->hex);
        out_char(o, '\n');
        break;
    case FORMAT_CSV:
        csv_field(o, s, row->key);
        if (!s->keys_only) {
            out_char(o, ',');
            csv_field(o, s, row->value);
        }
        out_text(o, "\r\n");
        break;
    case FORMAT_RAW0:
        out_bytes(o, row->key.data, row->key.len);
        out_char(o, '\0');
        if (!s->keys_only) {
            out_bytes(o, row->value.data, row->value.len);
            out_char(o, '\0');
        }
        break;
    case FORMAT_TSV:
    case FORMAT_TEXT:
        text_row(o, s, row);
        break;
    }
}

/* The range of --prefix or --from and --to. False after a message. */
static bool scan_range(struct cli *c, struct shl_buf hold[2], shale_range *out)
{
    const struct cli_args *a = &c->args;
    const char *prefix = a->positional_count > 1 ? a->positional[1] : a->value[OPT_PREFIX];
    shale_slice bytes;
    *out = shale_range_all();
    if (prefix != NULL && (cli_has(a, OPT_FROM) || cli_has(a, OPT_TO))) {
        (void)cli_usage(c, "shale scan --help", "a prefix and --from or --to: which one?");
        return false;
    }
    if (a->positional_count > 1 && cli_has(a, OPT_PREFIX)) {
        (void)cli_usage(c, "shale scan --help", "PREFIX and --prefix: which one?");
        return false;
    }
    if (prefix != NULL) {
        if (!cli_bytes(c, prefix, "PREFIX", &hold[0], &bytes))
            return false;
        *out = shale_range_prefix(bytes);
    }
    if (cli_has(a, OPT_FROM)) {
        if (!cli_bytes(c, a->value[OPT_FROM], "--from", &hold[0], &out->from))
            return false;
        out->from_kind = SHALE_INCLUDED;
    }
    if (cli_has(a, OPT_TO)) {
        if (!cli_bytes(c, a->value[OPT_TO], "--to", &hold[1], &out->to))
            return false;
        out->to_kind = SHALE_EXCLUDED;
    }
    return true;
}

/* Nothing lies between bounds in the wrong order; the library calls that a mistake, a person an empty answer. */
static bool range_is_empty(const shale_range *r)
{
    return r->from_kind != SHALE_UNBOUNDED && r->to_kind != SHALE_UNBOUNDED &&
           shl_slice_cmp(slice_of(r->from), slice_of(r->to)) >= 0;
}

static int scan_rows(struct cli *c, shale_db *db, const shale_range *range, struct scan *s)
{
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    struct cli_progress progress;
    shale_code rc;
    int code = CLI_YES;
    shale_scan_options_init(&how, sizeof how);
    how.reverse = cli_has(&c->args, OPT_REVERSE);
    how.durability = cli_durability(c);
    how.rows_max = s->limit;
    if (cli_has(&c->args, OPT_LIMIT) && s->limit == 0)
        return CLI_YES;
    if (range_is_empty(range)) {
        cli_note(c, "note: --from is not below --to: no key lies between");
        return s->exists ? CLI_NO : CLI_YES;
    }
    rc = cli_in_txn(c) ? shale_txn_scan(&it, c->session->txn, *range, &how, &c->err)
                       : shale_db_scan(&it, db, *range, &how, &c->err);
    if (rc != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    cli_progress_start(&progress, c, "scan", 0);
    bool silent = s->count || s->exists;
    bool show_life = silent || !cli_to_terminal(c);
    while ((rc = shale_iter_next(&row, it, &c->err)) == SHALE_OK) {
        s->rows++;
        s->bytes += row.key.len + row.value.len;
        if (!silent)
            print_row(c, s, &row);
        if (show_life && s->rows % 1024 == 0)
            cli_progress_tick(&progress, s->rows, s->bytes);
        if (os_stop_code() != 0 || os_timed_out())
            break;
    }
    cli_progress_end(&progress);
    c->rows = s->rows;
    if (rc == SHALE_OK && cli_out_of_time(c))
        rc = SHALE_TIMEOUT;
    if (rc == SHALE_OK) {
        code = os_stop_code();
    } else if (rc != SHALE_DONE) {
        code = cli_fail(c, c->args.positional[0]);
        cli_note(c, "  %" PRIu64 " row%s before it %s read.", s->rows, s->rows == 1 ? "" : "s",
                 s->rows == 1 ? "was" : "were");
    } else if (s->exists) {
        code = s->rows > 0 ? CLI_YES : CLI_NO;
    }
    shale_iter_close(it);
    return code;
}

/* A terminal that shows nothing could mean anything. */
static void note_no_row(const struct cli *c, const struct scan *s, const shale_range *range)
{
    const char *prefix =
        c->args.positional_count > 1 ? c->args.positional[1] : c->args.value[OPT_PREFIX];
    bool shown = s->count || s->exists || !cli_to_terminal(c) || range_is_empty(range);
    if (shown || (cli_has(&c->args, OPT_LIMIT) && s->limit == 0))
        return;
    if (prefix != NULL)
        cli_note(c, "note: no key begins with \"%.*s\"", KEY_SHOWN, prefix);
    else
        cli_note(c, "note: no rows");
}

int cmd_scan(struct cli *c)
{
    struct shl_buf hold[2] = {{0}, {0}};
    shale_range range;
    shale_db *db = NULL;
    struct scan s;
    int code = CLI_USAGE;
    scan_settings(c, &s);
    if (!formats_agree(c) || !scan_range(c, hold, &range))
        goto out;
    code = cli_open_reader(c, &db);
    if (code != CLI_YES)
        goto out;
    code = scan_rows(c, db, &range, &s);
    if (code == CLI_YES && s.count) {
        if (cli_has(&c->args, OPT_JSON))
            out_printf(c->out, "{\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", s.rows, s.bytes);
        else
            out_printf(c->out, "%" PRIu64 " row%s, %" PRIu64 " byte%s\n", s.rows,
                       s.rows == 1 ? "" : "s", s.bytes, s.bytes == 1 ? "" : "s");
    }
    if (code == CLI_YES && s.rows == 0)
        note_no_row(c, &s, &range);
    if (code == CLI_YES && s.limited && s.rows == s.limit) {
        (void)out_finish(c->out);
        cli_note(c, "stopped after %" PRIu64 " row%s; more: --limit N, or into a pipe", s.rows,
                 s.rows == 1 ? "" : "s");
    }
out:
    code = cli_close_reader(c, db, code);
    shl_buf_free(&hold[0]);
    shl_buf_free(&hold[1]);
    return code;
}
