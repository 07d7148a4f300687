/* sql, and what is said and done about such a database: status, log, compact, gc. */
#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/os.h"
#include "cli/price.h"
#include "cli/sql_print.h"
#include "cli/sql_run.h"

#include <inttypes.h>
#include <stdio.h>

/* Every commit writes the list of them again, and everybody who opens the database fetches and replays them. */
#define LOG_ENTRIES_MANY 1000

static bool is_long(const shale_sql_status *s)
{
    return s->log_entries >= LOG_ENTRIES_MANY;
}

static void note_long_log(struct cli *c, const shale_sql_status *s)
{
    if (is_long(s))
        cli_note(c,
                 "note: %" PRIu64 " entries in the log: opening replays them, and each commit "
                 "writes their list anew; shale sql compact %s folds them (--auto-compact N: by "
                 "itself)",
                 s->log_entries, c->args.positional[0]);
}

static void note_commit(struct cli *c, const struct sql_run *r)
{
    shale_sql_status s = {.struct_size = sizeof s};
    if (r->seq == 0 || !os_is_terminal(CLI_STDERR))
        return;
    cli_note(c, "committed at seq %" PRId64, r->seq);
    if (shale_sql_status_get(r->sql, false, &s, &c->err) == SHALE_OK)
        note_long_log(c, &s);
}

int cmd_sql(struct cli *c)
{
    struct sql_run r = {.c = c, .mode = sql_mode_of(c), .headers = cli_has(&c->args, OPT_HEADERS)};
    os_signals(OS_STOP_SAFELY);
    for (size_t i = 1; i < c->args.positional_count; i++)
        if (c->args.positional[i][0] == '.')
            return cli_usage(c, "shale sql shell DB", "%.60s: that is a word of the shell, no SQL",
                             c->args.positional[i]);
    int code = sql_open(c, &r.sql);
    for (size_t i = 1; code == CLI_YES && i < c->args.positional_count; i++)
        code = sql_run_text(&r, c->args.positional[i]);
    if (code == CLI_YES && r.in_block)
        code = cli_usage(c, NULL,
                         "the last BEGIN has no COMMIT, or the last SAVEPOINT no RELEASE: nothing "
                         "of it was committed");
    if (code == CLI_YES)
        note_commit(c, &r);
    sql_run_deinit(&r);
    return code;
}

/* ---- status */

static const char *size_text(int64_t bytes, char text[SHL_UNITS_TEXT])
{
    return bytes <= 0 ? "unknown" : shl_format_size((uint64_t)bytes, text);
}

static void status_json(struct cli *c, const shale_sql_status *s, const shale_store_counts *n)
{
    out_printf(c->out,
               "{\"seq\":%" PRId64 ",\"schema_version\":%" PRId64 ",\"snapshot_seq\":%" PRId64,
               s->seq, s->schema_version, s->snapshot_seq);
    out_printf(c->out,
               ",\"snapshot_bytes\":%" PRId64 ",\"log_entries\":%" PRIu64 ",\"log_bytes\":%" PRIu64
               ",",
               s->snapshot_bytes, s->log_entries, s->log_bytes);
    out_json_member(c->out, "snapshot_key", shl_slice_str(s->snapshot_key));
    out_printf(c->out, ",\"compaction_advised\":%s,", is_long(s) ? "true" : "false");
    cli_json_requests(c->out, n);
    out_text(c->out, "}\n");
}

static void status_text(struct cli *c, const shale_sql_status *s)
{
    char size[SHL_UNITS_TEXT];
    struct out *o = c->out;
    out_printf(o, "target:         %s\n", c->args.positional[0]);
    out_printf(o, "seq:            %" PRId64 "\n", s->seq);
    out_printf(o, "schema_version: %" PRId64 "\n", s->schema_version);
    out_printf(o, "snapshot:       %s\n", s->snapshot_key);
    out_printf(o, "snapshot seq:   %" PRId64 "\n", s->snapshot_seq);
    out_printf(o, "snapshot size:  %s\n", size_text(s->snapshot_bytes, size));
    out_printf(o, "log entries:    %" PRIu64 "\n", s->log_entries);
    out_printf(o, "log bytes:      %s\n", shl_format_size(s->log_bytes, size));
}

int cmd_sql_status(struct cli *c)
{
    shale_sql *sql = NULL;
    shale_sql_status s = {.struct_size = sizeof s};
    shale_store_counts n = {.struct_size = sizeof n};
    int code = sql_open(c, &sql);
    if (code != CLI_YES)
        return code;
    if (shale_sql_status_get(sql, false, &s, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    shale_sql_store_counts(sql, &n);
    if (code == CLI_YES && cli_has(&c->args, OPT_JSON))
        status_json(c, &s, &n);
    else if (code == CLI_YES) {
        status_text(c, &s);
        note_long_log(c, &s);
    }
    sql_close(c, sql);
    return code;
}

/* ---- log */

#define FOLLOW_NS ENV_NS_PER_SEC

struct log_print {
    struct cli *c;
    bool changes;
    int64_t seq; /* the last one that was printed */
    int64_t entry_seq;
    uint64_t entries; /* printed */
    bool failed;
};

static void value_text(struct out *o, const shale_sql_value *v)
{
    char number[SHL_F64_TEXT];
    switch (v->type) {
    case SHALE_SQL_INTEGER:
        out_i64(o, v->integer);
        break;
    case SHALE_SQL_REAL:
        out_text(o, sql_real_text(v->real, number));
        break;
    case SHALE_SQL_TEXT:
        out_char(o, '\'');
        out_escaped(o, shl_slice_of(v->bytes.data, v->bytes.len), 0);
        out_char(o, '\'');
        break;
    case SHALE_SQL_BLOB:
        out_text(o, "x'");
        out_hex(o, shl_slice_of(v->bytes.data, v->bytes.len));
        out_char(o, '\'');
        break;
    case SHALE_SQL_NULL_VALUE:
        out_text(o, "NULL");
        break;
    case SHALE_SQL_UNCHANGED:
        out_char(o, '.');
        break;
    }
}

static void row_text(struct out *o, const shale_sql_value *row, size_t count)
{
    out_char(o, '(');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            out_text(o, ", ");
        value_text(o, &row[i]);
    }
    out_char(o, ')');
}

static const char *op_name(shale_sql_op op)
{
    return op == SHALE_SQL_INSERT ? "insert" : op == SHALE_SQL_UPDATE ? "update" : "delete";
}

static bool print_change(void *ctx, const shale_sql_change *ch)
{
    struct log_print *p = ctx;
    struct out *o = p->c->out;
    out_printf(o, "%" PRId64 "\t%s\t", p->entry_seq, op_name(ch->op));
    out_escaped(o, shl_slice_of(ch->table.data, ch->table.len), 0);
    if (ch->old_values != NULL) {
        out_char(o, '\t');
        row_text(o, ch->old_values, ch->column_count);
    }
    if (ch->new_values != NULL) {
        out_text(o, ch->old_values != NULL ? " -> " : "\t");
        row_text(o, ch->new_values, ch->column_count);
    }
    out_char(o, '\n');
    return o->failed == 0;
}

/* What JSON has no value for, as an object: {} is a column that keeps what it has. */
static void json_special(struct shl_json_writer *w, const shale_sql_value *v)
{
    struct shl_slice s = shl_slice_of(v->bytes.data, v->bytes.len);
    char number[SHL_F64_TEXT];
    shl_json_object(w);
    if (v->type == SHALE_SQL_REAL) {
        shl_json_key(w, "real");
        shl_json_str(w, sql_real_text(v->real, number));
    } else if (v->type != SHALE_SQL_UNCHANGED) {
        shl_json_bytes(w, v->type == SHALE_SQL_BLOB ? "blob" : "text", s);
    }
    shl_json_object_end(w);
}

static void json_row(struct shl_json_writer *w, const char *name, const shale_sql_value *row,
                     size_t count)
{
    shl_json_key(w, name);
    shl_json_array(w);
    for (size_t i = 0; i < count; i++) {
        const shale_sql_value *v = &row[i];
        char number[SHL_F64_TEXT];
        struct shl_slice s = shl_slice_of(v->bytes.data, v->bytes.len);
        bool is_text = v->type == SHALE_SQL_TEXT && shl_utf8_valid(s);
        if (is_text)
            shl_json_slice(w, s);
        else if (v->type == SHALE_SQL_INTEGER)
            shl_json_i64(w, v->integer);
        else if (v->type == SHALE_SQL_REAL && __builtin_isfinite(v->real))
            shl_json_raw(w, shl_slice_str(sql_real_text(v->real, number)));
        else if (v->type == SHALE_SQL_NULL_VALUE)
            shl_json_null(w);
        else
            json_special(w, v);
    }
    shl_json_array_end(w);
}

static bool json_change(void *ctx, const shale_sql_change *ch)
{
    struct log_print *p = ctx;
    struct shl_json_writer w;
    struct shl_buf text = {0};
    shl_json_begin(&w, &text, &p->c->err);
    shl_json_object(&w);
    shl_json_key(&w, "seq");
    shl_json_i64(&w, p->entry_seq);
    shl_json_key(&w, "op");
    shl_json_str(&w, op_name(ch->op));
    shl_json_bytes(&w, "table", shl_slice_of(ch->table.data, ch->table.len));
    shl_json_key(&w, "indirect");
    shl_json_bool(&w, ch->indirect);
    if (ch->old_values != NULL)
        json_row(&w, "old", ch->old_values, ch->column_count);
    if (ch->new_values != NULL)
        json_row(&w, "new", ch->new_values, ch->column_count);
    shl_json_object_end(&w);
    p->failed = shl_json_finish(&w) != SHALE_OK;
    if (!p->failed) {
        out_bytes(p->c->out, text.data, text.len);
        out_char(p->c->out, '\n');
    }
    shl_buf_free(&text);
    return !p->failed && p->c->out->failed == 0;
}

static void print_entry(struct log_print *p, const shale_sql_entry *e)
{
    char when[SHL_TIME_TEXT] = "-";
    struct out *o = p->c->out;
    if (e->stored_ms > 0)
        (void)shl_time_rfc3339(e->stored_ms, when);
    if (cli_has(&p->c->args, OPT_JSON)) {
        out_printf(o, "{\"seq\":%" PRId64 ",\"stored\":", e->seq);
        if (e->stored_ms > 0)
            out_printf(o, "\"%s\",\"stored_unix_ms\":%" PRId64, when, e->stored_ms);
        else
            out_text(o, "null");
        out_printf(o, ",\"size_bytes\":%" PRId64 ",", e->bytes);
        out_json_member(o, "key", shl_slice_str(e->key));
        out_text(o, "}\n");
    } else
        out_printf(o, "%" PRId64 "\t%s\t%" PRId64 "\t%s\n", e->seq, when, e->bytes, e->key);
}

static bool on_entry(void *ctx, const shale_sql_entry *e)
{
    struct log_print *p = ctx;
    p->entry_seq = e->seq;
    if (!p->changes)
        print_entry(p, e);
    else if (shale_sql_changes_each(e->changeset,
                                    cli_has(&p->c->args, OPT_JSON) ? json_change : print_change, p,
                                    &p->c->err) != SHALE_OK)
        p->failed = true;
    p->seq = e->seq;
    p->entries++;
    return !p->failed && p->c->out->failed == 0 && os_stop_code() == 0;
}

/* What comes behind p->seq is compacted. That is an answer, of which a pipe gets no word, unless it has got a part of the feed already. */
static int tell_folded(struct cli *c, const struct log_print *p)
{
    if (p->entries > 0 || os_is_terminal(CLI_STDERR) || cli_has(&c->args, OPT_JSON))
        (void)cli_fail(c, c->args.positional[0]);
    return CLI_NO;
}

/* Who did not say from where begins at the snapshot, wherever that is by now. True: again from there. */
static bool begin_anew(struct cli *c, shale_sql *sql, struct log_print *p)
{
    shale_sql_status s = {.struct_size = sizeof s};
    shale_error ignored;
    if (p->entries > 0 || cli_has(&c->args, OPT_AFTER) ||
        shale_sql_status_get(sql, false, &s, &ignored) != SHALE_OK || s.snapshot_seq <= p->seq)
        return false;
    p->seq = s.snapshot_seq;
    return true;
}

/* Prints what there is, and with --follow what comes. */
static int run_log(struct cli *c, shale_sql *sql, struct log_print *p)
{
    bool follows = cli_has(&c->args, OPT_FOLLOW);
    for (;;) {
        shale_code rc = shale_sql_log(sql, p->seq, p->changes, !p->changes, on_entry, p, &c->err);
        if (rc == SHALE_OK && p->failed)
            rc = c->err.code;
        if (rc == SHALE_NOT_FOUND && strstr(c->err.text, "are folded") != NULL) {
            if (begin_anew(c, sql, p))
                continue;
            return tell_folded(c, p);
        }
        if (rc != SHALE_OK)
            return cli_fail(c, c->args.positional[0]);
        if (out_finish(c->out) != 0)
            return CLI_YES; /* the end of the program tells */
        if (!follows)
            return os_stop_code();
        if (os_stop_code() == 0)
            cli_pause(FOLLOW_NS);
        if (os_stop_code() != 0 || cli_out_of_time(c))
            return CLI_YES; /* that is how it ends */
    }
}

int cmd_sql_log(struct cli *c)
{
    struct log_print p = {.c = c, .changes = cli_has(&c->args, OPT_CHANGES)};
    shale_sql_status s = {.struct_size = sizeof s};
    shale_sql *sql = NULL;
    os_signals(OS_STOP_SAFELY);
    int code = sql_open(c, &sql);
    if (code != CLI_YES)
        return code;
    if (shale_sql_status_get(sql, false, &s, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    p.seq = cli_has(&c->args, OPT_AFTER) ? (int64_t)c->args.number[OPT_AFTER] : s.snapshot_seq;
    if (code == CLI_YES && p.seq > s.seq)
        cli_note(
            c, "note: the newest commit is %" PRId64 ": nothing is behind --after %" PRId64 " yet",
            s.seq, p.seq);
    if (code == CLI_YES)
        code = run_log(c, sql, &p);
    sql_close(c, sql);
    return code;
}

/* ---- compact, gc */

int cmd_sql_compact(struct cli *c)
{
    shale_sql *sql = NULL;
    shale_sql_status before = {.struct_size = sizeof before};
    shale_sql_status after = {.struct_size = sizeof after};
    char a[SHL_UNITS_TEXT];
    char b[SHL_UNITS_TEXT];
    int code = sql_open(c, &sql);
    if (code != CLI_YES)
        return code;
    if (shale_sql_status_get(sql, false, &before, &c->err) != SHALE_OK ||
        shale_sql_compact(sql, &c->err) != SHALE_OK ||
        shale_sql_status_get(sql, false, &after, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    else if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out,
                   "{\"seq\":%" PRId64 ",\"log_entries_before\":%" PRIu64
                   ",\"log_entries\":%" PRIu64 ",\"snapshot_bytes_before\":%" PRId64
                   ",\"snapshot_bytes\":%" PRId64 "}\n",
                   after.seq, before.log_entries, after.log_entries, before.snapshot_bytes,
                   after.snapshot_bytes);
    else
        cli_note(c, "compacted %s: log entries %" PRIu64 " -> %" PRIu64 ", snapshot %s -> %s",
                 c->args.positional[0], before.log_entries, after.log_entries,
                 size_text(before.snapshot_bytes, a), size_text(after.snapshot_bytes, b));
    sql_close(c, sql);
    return code;
}

int cmd_sql_gc(struct cli *c)
{
    shale_sql *sql = NULL;
    shale_sql_gc_report r = {.struct_size = sizeof r};
    bool dry = cli_has(&c->args, OPT_DRY_RUN);
    char size[SHL_UNITS_TEXT];
    int code = sql_open(c, &sql);
    if (code != CLI_YES)
        return code;
    if (shale_sql_gc(sql, dry, &r, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    else if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out,
                   "{\"%s\":{\"changesets\":%" PRIu64 ",\"snapshots\":%" PRIu64
                   ",\"unfinished_writes\":%" PRIu64 ",\"size_bytes\":%" PRIu64
                   "},\"left\":%" PRIu64 "}\n",
                   dry ? "would_delete" : "deleted", r.changesets, r.snapshots, r.unfinished,
                   r.bytes, r.left);
    else if (r.changesets + r.snapshots + r.unfinished == 0)
        cli_note(c, dry ? "would delete nothing" : "nothing to delete");
    else
        cli_note(c, "%s %" PRIu64 " changesets and %" PRIu64 " snapshots (%s)",
                 dry ? "would delete" : "deleted", r.changesets, r.snapshots,
                 shl_format_size(r.bytes, size));
    if (code == CLI_YES && r.unfinished > 0)
        cli_note(c, "%s %" PRIu64 " files of writes that never ended",
                 dry ? "would delete" : "deleted", r.unfinished);
    if (code == CLI_YES && r.left > 0)
        cli_note(c, "warning: %" PRIu64 " of them could not be deleted and stay: %s", r.left,
                 r.left_why);
    sql_close(c, sql);
    return code;
}
