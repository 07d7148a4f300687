/* tail: the changes of a database, as they become durable. */
#include "base/env/env.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>

/* A stop is seen after at most so long. */
#define WAIT_MS 200

struct tail {
    struct cli *c;
    bool hex;
    bool once;
    bool told_waiting;
    uint64_t limit; /* 0: none */
    uint64_t start_ns;
};

static struct shl_slice slice_of(shale_slice s)
{
    return shl_slice_of(s.data, s.len);
}

static const char *kind_name(shale_row_kind kind)
{
    return kind == SHALE_ROW_DELETE ? "delete" : kind == SHALE_ROW_MERGE ? "merge" : "put";
}

static void json_bytes(struct out *o, bool hex, const char *name, shale_slice bytes)
{
    out_char(o, ',');
    if (!hex) {
        out_json_member(o, strcmp(name, "k") == 0 ? "key" : "value", slice_of(bytes));
        return;
    }
    out_printf(o, "\"%s\":\"", name);
    out_hex(o, slice_of(bytes));
    out_char(o, '"');
}

static void json_row(struct tail *t, uint64_t id, const shale_raw_row *row)
{
    struct out *o = t->c->out;
    out_printf(o, "{\"wal_id\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"kind\":\"%s\"", id, row->seq,
               kind_name(row->kind));
    json_bytes(o, t->hex, "k", row->key);
    if (row->kind != SHALE_ROW_DELETE)
        json_bytes(o, t->hex, "v", row->value);
    if (row->has_create_ts)
        out_printf(o, ",\"create_ts\":%" PRId64, row->create_ts);
    if (row->has_expire_ts)
        out_printf(o, ",\"expire_ts\":%" PRId64, row->expire_ts);
    out_text(o, "}\n");
}

static void text_bytes(struct tail *t, shale_slice bytes)
{
    out_char(t->c->out, '\t');
    if (t->hex)
        out_hex(t->c->out, slice_of(bytes));
    else
        out_escaped(t->c->out, slice_of(bytes), 0);
}

static void text_row(struct tail *t, uint64_t id, const shale_raw_row *row)
{
    out_printf(t->c->out, "%" PRIu64 "\t%" PRIu64 "\t%s", id, row->seq, kind_name(row->kind));
    text_bytes(t, row->key);
    if (row->kind != SHALE_ROW_DELETE)
        text_bytes(t, row->value);
    out_char(t->c->out, '\n');
}

/* False: enough. */
static bool print_batch(struct tail *t, const shale_wal_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (t->limit > 0 && t->c->rows == t->limit)
            return false;
        if (cli_has(&t->c->args, OPT_JSON))
            json_row(t, b->id, &b->rows[i]);
        else
            text_row(t, b->id, &b->rows[i]);
        t->c->rows++;
    }
    return out_finish(t->c->out) == 0 && (t->limit == 0 || t->c->rows < t->limit);
}

/* A terminal on which nothing stands could mean anything. */
static void tell_waiting(struct tail *t)
{
    bool silent = t->c->rows == 0 && os_is_terminal(CLI_STDERR) && !t->told_waiting;
    if (!silent || env_now_mono_ns() - t->start_ns < CLI_SILENCE_NS)
        return;
    cli_note(t->c, "waiting for rows that become durable in %s; Ctrl-C ends it",
             t->c->args.positional[0]);
    t->told_waiting = true;
}

static int follow(struct tail *t, shale_wal *wal)
{
    struct cli *c = t->c;
    for (;;) {
        shale_wal_batch batch;
        shale_code rc = shale_wal_next(&batch, wal, t->once ? 0 : WAIT_MS, 0, &c->err);
        bool fine = rc == SHALE_OK || rc == SHALE_DONE;
        if (fine && os_stop_code() != 0)
            return t->once ? os_stop_code() : CLI_YES; /* that is how it ends */
        if (rc == SHALE_OK && !print_batch(t, &batch))
            return CLI_YES;
        if (rc == SHALE_DONE && t->once)
            return CLI_YES;
        if (rc == SHALE_DONE && cli_out_of_time(c))
            return CLI_YES;
        if (!fine)
            return t->once ? cli_fail(c, c->args.positional[0])
                           : cli_fail_or_end(c, c->args.positional[0]);
        if (rc == SHALE_DONE)
            tell_waiting(t);
    }
}

int cmd_tail(struct cli *c)
{
    struct tail t = {.c = c,
                     .hex = cli_has(&c->args, OPT_HEX),
                     .once = cli_has(&c->args, OPT_NO_FOLLOW),
                     .limit = cli_number(&c->args, OPT_LIMIT, 0),
                     .start_ns = env_now_mono_ns()};
    shale_wal *wal = NULL;
    if (cli_has(&c->args, OPT_LIMIT) && t.limit == 0)
        return CLI_YES;
    if (!cli_options(c))
        return CLI_USAGE;
    os_signals(OS_STOP_SAFELY);
    shale_code rc = shale_wal_open(&wal, c->args.positional[0], c->options, &c->err);
    if (rc == SHALE_OK)
        rc = shale_wal_seek(wal, cli_number(&c->args, OPT_SINCE_ID, 0), &c->err);
    int code = CLI_YES;
    if (rc != SHALE_OK)
        code =
            t.once ? cli_fail(c, c->args.positional[0]) : cli_fail_or_end(c, c->args.positional[0]);
    else
        code = follow(&t, wal);
    shale_wal_close(wal);
    return code;
}
