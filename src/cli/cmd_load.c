/* load and dump: rows as JSON lines, streaming both ways. */
#include "base/env/env.h"
#include "base/num.h"
#include "base/units.h"
#include "cli/input.h"
#include "cli/jsonrow.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>

#define BATCH_ROWS  1000
#define BATCH_BYTES ((size_t)1 << 20)
#define MARKS       512
/* How soon a signal to stop is seen; and when the wait for a store is worth a word though no row waits. */
#define STOP_LOOK_NS (50 * ENV_NS_PER_MS)
#define STOP_WAIT_NS (ENV_NS_PER_SEC / 2)

struct load {
    struct cli *c;
    shale_db *db;       /* [mu] for the teller; NULL before the open and from the close on */
    shale_batch *batch; /* owned */
    _Atomic size_t batch_rows;
    size_t batch_bytes;
    uint64_t rows;    /* [mu] written */
    uint64_t deletes; /* of them */
    bool broken;      /* a write failed: nothing more can be made durable */
    bool whole;       /* all that was taken is durable */
    bool bad_line;    /* the input's line is no row; c->err says why */
    shale_error
        failed; /* the first failure of the library or the line, told at the end: with what is durable then */
    /* [mu] Which rows are durable: up to `seq` of a mark its `rows` are. Older marks than the ring has are durable long since. */
    struct {
        uint64_t seq, rows;
    } marks[MARKS];
    size_t mark_count; /* [mu] */
    struct cli_price price;
    struct cli_input in;
    struct json_row_parser parser;
    struct cli_progress progress;
    /* Says that the load is stopping, whatever it waits for just then. */
    struct env_task *teller; /* owned; NULL: none */
    struct env_mutex mu;
    struct env_cond ended; /* [mu] with `over` */
    bool over;             /* [mu] */
    bool told;             /* [mu] that it is stopping */
};

static shale_slice slice_out(struct shl_slice s)
{
    return shale_bytes(s.data, s.len);
}

static int fail_later(struct load *l)
{
    if (l->failed.code == SHALE_OK)
        l->failed = l->c->err;
    return CLI_FAILED;
}

static int write_batch(struct load *l)
{
    shale_write_options how;
    shale_write_result written = {0};
    size_t count = env_load_relaxed(&l->batch_rows);
    if (count == 0)
        return CLI_YES;
    shale_write_options_init(&how, sizeof how);
    how.await_durable = false; /* one flush at the end makes all of it durable */
    how.result = &written;
    if (l->c->watch != NULL)
        l->c->watch->unsaved = true;
    if (shale_db_write(l->db, l->batch, &how, &l->c->err) != SHALE_OK) {
        l->broken = true;
        return fail_later(l);
    }
    env_mutex_lock(&l->mu);
    l->rows += count;
    l->marks[l->mark_count % MARKS].seq = written.seq;
    l->marks[l->mark_count++ % MARKS].rows = l->rows;
    env_store_relaxed(&l->batch_rows, 0);
    if (os_stop_code() == 0) /* nothing is drawn over what the teller said */
        cli_progress_tick(&l->progress, l->rows, l->in.bytes);
    env_mutex_unlock(&l->mu);
    l->batch_bytes = 0;
    shale_batch_clear(l->batch);
    return CLI_YES;
}

static int take_line(void *ctx, struct shl_slice line)
{
    struct load *l = ctx;
    struct json_row row;
    shale_code rc = json_row_parse(&l->parser, line, &row, &l->c->err);
    l->bad_line = rc == SHALE_INVALID;
    if (rc != SHALE_OK)
        return fail_later(l);
    if (row.is_delete) {
        shale_batch_delete(l->batch, slice_out(row.key));
        l->deletes++;
    } else if (row.has_expire_ts) {
        shale_batch_put_ttl(l->batch, slice_out(row.key), slice_out(row.value), SHALE_TTL_AT_MS,
                            row.expire_ts);
    } else {
        shale_batch_put(l->batch, slice_out(row.key), slice_out(row.value));
    }
    size_t count = env_load_relaxed(&l->batch_rows) + 1;
    env_store_relaxed(&l->batch_rows, count);
    l->batch_bytes += row.key.len + row.value.len;
    return count >= BATCH_ROWS || l->batch_bytes >= BATCH_BYTES ? write_batch(l) : CLI_YES;
}

static int read_rows(struct load *l)
{
    int code = cli_input_lines(&l->in, l->c, take_line, l);
    return code == CLI_FAILED && l->c->err.code == SHALE_NOMEM ? fail_later(l) : code;
}

static void tell(struct load *l, uint64_t start_ns)
{
    char rows[OUT_UNIT_BYTES];
    char size[SHL_UNITS_TEXT];
    char stored[SHL_UNITS_TEXT];
    char price[CLI_PRICE_TEXT];
    const shale_store_counts *n = &l->c->asked;
    double seconds = (double)(env_now_mono_ns() - start_ns) / 1e9;
    if (!os_is_terminal(CLI_STDERR) && l->c->args.value[OPT_PROGRESS] == NULL)
        return;
    cli_note(l->c,
             "loaded %s row%s (%s -> %s written) in %.1f s, %" PRIu64 " PUT %" PRIu64 " GET, %s",
             out_count(rows, l->rows), l->rows == 1 ? "" : "s", shl_format_size(l->in.bytes, size),
             shl_format_size(n->bytes_up, stored), seconds, n->put, n->get,
             cli_price_text(&l->price, cli_price_requests(&l->price, n), "", price));
}

/* REQUIRES: mu */
static uint64_t rows_not_durable(const struct load *l)
{
    shale_db_status status = {.struct_size = sizeof status};
    uint64_t durable = 0;
    if (l->db == NULL)
        return 0;
    shale_db_status_get(l->db, &status);
    for (size_t i = 0; i < l->mark_count && i < MARKS; i++)
        if (l->marks[i].seq <= status.durable_seq)
            durable = shl_max_u64(durable, l->marks[i].rows);
    return l->rows + env_load_relaxed(&l->batch_rows) - durable;
}

/* ---- a signal to stop is answered at once */

/* REQUIRES: mu. Once, and not before `waited_ns` are over if no row waits. */
static void note_stopping(struct load *l, uint64_t waited_ns)
{
    char rows[OUT_UNIT_BYTES];
    uint64_t open = rows_not_durable(l);
    cli_progress_end(&l->progress);
    if (l->told || (open == 0 && waited_ns < STOP_WAIT_NS))
        return;
    l->told = true;
    if (open > 0)
        cli_note(l->c, "stopping: %s row%s not yet durable; Ctrl-C again drops %s",
                 out_count(rows, open), open == 1 ? "" : "s", open == 1 ? "it" : "them");
    else
        cli_note(l->c, "stopping: the store has not answered yet, and no row waits for it; "
                       "Ctrl-C again leaves now");
}

static void tell_when_stopped(void *arg)
{
    struct load *l = arg;
    uint64_t seen_ns = 0;
    env_mutex_lock(&l->mu);
    while (!l->over) {
        uint64_t now = env_now_mono_ns();
        seen_ns = seen_ns == 0 && os_stop_code() != 0 ? now : seen_ns;
        if (seen_ns != 0)
            note_stopping(l, now - seen_ns);
        (void)env_cond_wait_until(&l->ended, &l->mu, l->told ? UINT64_MAX : now + STOP_LOOK_NS);
    }
    env_mutex_unlock(&l->mu);
}

static void teller_start(struct load *l)
{
    env_mutex_init(&l->mu);
    env_cond_init(&l->ended);
    if (env_task_spawn(&l->teller, "load stop", tell_when_stopped, l) != SHALE_OK)
        l->teller = NULL; /* then Ctrl-C is answered a little later */
}

static void teller_end(struct load *l)
{
    env_mutex_lock(&l->mu);
    l->over = true;
    env_cond_signal(&l->ended);
    env_mutex_unlock(&l->mu);
    if (l->teller != NULL)
        env_task_join(l->teller);
    env_cond_deinit(&l->ended);
    env_mutex_deinit(&l->mu);
}

static void set_db(struct load *l, shale_db *db)
{
    env_mutex_lock(&l->mu);
    l->db = db;
    l->progress.db = db;
    env_mutex_unlock(&l->mu);
}

static void end_progress(struct load *l)
{
    env_mutex_lock(&l->mu);
    cli_progress_end(&l->progress);
    env_mutex_unlock(&l->mu);
}

static uint64_t rows_durable(struct load *l)
{
    env_mutex_lock(&l->mu);
    uint64_t rows = l->rows + env_load_relaxed(&l->batch_rows) - rows_not_durable(l);
    env_mutex_unlock(&l->mu);
    return rows;
}

/* ---- the end */

/* Why the load ended, and how far it got. whole: all that was taken is durable. */
static int tell_end(struct load *l, bool whole, int code)
{
    char rows[OUT_UNIT_BYTES];
    char where[300];
    struct cli *c = l->c;
    uint64_t durable = whole ? l->rows : rows_durable(l);
    end_progress(l);
    (void)snprintf(c->facts, sizeof c->facts, "%s%s row%s%s %s durable.", whole ? "" : "At least ",
                   out_count(rows, durable), durable == 1 ? "" : "s",
                   l->bad_line ? " before it" : "", durable == 1 ? "is" : "are");
    (void)snprintf(where, sizeof where, "%s:%" PRIu64, l->in.name, l->in.line);
    if (l->failed.code == SHALE_OK) {
        (os_stop_code() != 0 ? cli_tell : cli_note)(
            c, "%s%s", os_stop_code() != 0 ? "stopped: " : "  ", c->facts);
        return code;
    }
    c->err = l->failed;
    return l->bad_line ? cli_bad_line(c, where, c->err.text) : cli_fail(c, c->args.positional[0]);
}

/* What was read is made durable in any case: after a bad line, after Ctrl-C, at the end of --timeout. */
static int make_durable(struct load *l, int code)
{
    int stop = os_stop_code();
    bool late = os_timed_out();
    int last = CLI_FAILED;
    if (!l->broken) {
        env_mutex_lock(&l->mu);
        if (stop != 0 || late)
            note_stopping(l, 0);
        env_mutex_unlock(&l->mu);
        last = write_batch(l);
    }
    if (last == CLI_YES && l->rows > 0 &&
        shale_db_flush(l->db, SHALE_FLUSH_WAL, &l->c->err) != SHALE_OK)
        last = fail_later(l);
    bool whole = l->whole = last == CLI_YES;
    stop = os_stop_code(); /* it may have come while the last rows were on their way */
    if (whole && l->c->watch != NULL)
        l->c->watch->unsaved = false;
    if (whole && late && cli_out_of_time(l->c))
        last = fail_later(l);
    code = code != CLI_YES ? code : last;
    if (code != CLI_YES || stop != 0)
        code = tell_end(l, whole, code);
    return code != CLI_YES ? code : stop;
}

/* What closing would write is written before it, so that a failure can say what is durable. */
static int settle(struct load *l)
{
    if (l->rows == 0 || shale_db_flush(l->db, SHALE_FLUSH_MEMTABLE, &l->c->err) == SHALE_OK)
        return CLI_YES;
    return tell_end(l, true, fail_later(l));
}

int cmd_load(struct cli *c)
{
    const char *path = c->args.positional_count > 1 ? c->args.positional[1] : "-";
    bool is_stdin = strcmp(path, "-") == 0;
    struct load l = {.c = c, .parser = {.hex = cli_has(&c->args, OPT_HEX)}};
    shale_db *db = NULL;
    uint64_t start_ns = env_now_mono_ns();
    int code = CLI_FAILED, stop;
    if (is_stdin && c->session != NULL)
        return cli_usage(c, NULL, "stdin is the shell's own: name a file");
    if (cli_in_txn(c))
        return cli_usage(c, ".commit", "a transaction is open: load writes batches of its own");
    code = cli_input_open(c, "shale load --help", path, &l.in);
    if (code != CLI_YES)
        return code;
    os_signals(OS_STOP_SAFELY);
    cli_progress_start(&l.progress, c, "load", l.in.size);
    teller_start(&l);
    l.batch = shale_batch_new();
    if (l.batch == NULL) {
        code = cli_trouble(c, "out of memory");
        goto out;
    }
    code = cli_open_writer(c, &db);
    if (code != CLI_YES)
        goto out;
    set_db(&l, db);
    if (c->options != NULL && cli_price_for(c, c->args.positional[0], &l.price))
        l.progress.price = &l.price;
    code = make_durable(&l, read_rows(&l));
    if (code == CLI_YES)
        code = settle(&l);
    stop = os_stop_code(); /* it may have come while the last flush was on its way, */
    if (code == CLI_YES && stop != 0)
        code = tell_end(&l, true, stop);
    end_progress(&l);
    c->rows = l.rows;
out:
    set_db(&l, NULL);
    code =
        l.whole && code != CLI_YES ? cli_close_written(c, db, code) : cli_close_writer(c, db, code);
    stop = os_stop_code(); /* or while it was closed */
    if (code == CLI_YES && stop != 0)
        code = tell_end(&l, true, stop);
    teller_end(&l);
    if (code == CLI_YES)
        tell(&l, start_ns);
    shale_batch_free(l.batch);
    json_row_deinit(&l.parser);
    cli_input_close(&l.in);
    return code;
}

/* ---- dump */

static void dump_hex(struct out *o, const shale_row *row)
{
    out_text(o, "{\"k\":\"");
    out_hex(o, shl_slice_of(row->key.data, row->key.len));
    out_text(o, "\",\"v\":\"");
    out_hex(o, shl_slice_of(row->value.data, row->value.len));
    out_text(o, "\",\"seq\":");
    out_u64(o, row->seq);
    if (row->has_create_ts) {
        out_text(o, ",\"create_ts\":");
        out_i64(o, row->create_ts);
    }
    if (row->has_expire_ts) {
        out_text(o, ",\"expire_ts\":");
        out_i64(o, row->expire_ts);
    }
    out_text(o, "}\n");
}

static void dump_text(struct out *o, const shale_row *row)
{
    out_char(o, '{');
    out_json_member(o, "key", shl_slice_of(row->key.data, row->key.len));
    out_char(o, ',');
    out_json_member(o, "value", shl_slice_of(row->value.data, row->value.len));
    out_text(o, "}\n");
}

int cmd_dump(struct cli *c)
{
    bool hex = cli_has(&c->args, OPT_HEX);
    shale_db *db = NULL;
    shale_iter *it = NULL;
    shale_row row;
    shale_scan_options how;
    struct cli_progress progress;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    shale_code rc;
    int code = cli_open_reader(c, &db);
    if (code != CLI_YES)
        return code;
    shale_scan_options_init(&how, sizeof how);
    how.durability = cli_durability(c);
    if (shale_db_scan(&it, db, shale_range_all(), &how, &c->err) != SHALE_OK)
        return cli_close_reader(c, db, cli_fail(c, c->args.positional[0]));
    cli_progress_start(&progress, c, "dump", 0);
    bool show_life = !cli_to_terminal(c);
    while ((rc = shale_iter_next(&row, it, &c->err)) == SHALE_OK && c->out->failed == 0 &&
           os_stop_code() == 0 && !os_timed_out()) {
        (hex ? dump_hex : dump_text)(c->out, &row);
        bytes += row.key.len + row.value.len;
        if (++rows % 1024 == 0 && show_life)
            cli_progress_tick(&progress, rows, bytes);
    }
    cli_progress_end(&progress);
    c->rows = rows;
    if (rc == SHALE_OK && cli_out_of_time(c))
        rc = SHALE_TIMEOUT;
    if (rc == SHALE_OK) {
        code = os_stop_code();
    } else if (rc != SHALE_DONE) {
        code = cli_fail(c, c->args.positional[0]);
        cli_note(c, "  %" PRIu64 " row%s before it %s printed.", rows, rows == 1 ? "" : "s",
                 rows == 1 ? "was" : "were");
    }
    shale_iter_close(it);
    return cli_close_reader(c, db, code);
}
