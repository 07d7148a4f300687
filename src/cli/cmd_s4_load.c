/* s4 load: keys from JSON lines, streaming. */
#include "base/array.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/units.h"
#include "cli/cmd_s4.h"
#include "cli/input.h"
#include "cli/jsonrow.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>

#define BATCH_ROWS   1000
#define BATCH_BYTES  ((size_t)4 << 20)
#define UPLOAD_BYTES ((uint64_t)256 << 20) /* what a crash may cost at most */

/* A row of the batch: where its bytes lie. */
struct row {
    size_t key, key_len;
    size_t value, value_len;
    bool is_bytes;
};

struct load {
    struct cli *c;
    shale_s4 *db;
    SHL_ARRAY(struct row) rows; /* of one kind: puts or deletes */
    bool deletes;
    struct shl_buf bytes; /* of the batch */
    uint64_t keys;        /* written */
    uint64_t kept;        /* of them, safe */
    uint64_t unsaved;     /* bytes since the last upload */
    bool bad_line;
    shale_error failed; /* told at the end, with what is safe then */
    struct cli_input in;
    struct json_row_parser parser;
    struct cli_progress progress;
};

static int fail_later(struct load *l)
{
    if (l->failed.code == SHALE_OK)
        l->failed = l->c->err;
    return CLI_FAILED;
}

static shale_code write_puts(struct load *l)
{
    shale_s4_item *items = env_calloc(l->rows.count, sizeof *items);
    if (items == NULL)
        return shl_nomem(&l->c->err);
    for (size_t i = 0; i < l->rows.count; i++) {
        const struct row *r = &l->rows.items[i];
        items[i] = (shale_s4_item){.key = shale_bytes(l->bytes.data + r->key, r->key_len),
                                   .value = shale_bytes(l->bytes.data + r->value, r->value_len),
                                   .is_bytes = r->is_bytes};
    }
    shale_code rc = shale_s4_put(l->db, items, l->rows.count, &l->c->err);
    env_free(items);
    return rc;
}

static shale_code write_deletes(struct load *l)
{
    shale_slice *keys = env_calloc(l->rows.count, sizeof *keys);
    if (keys == NULL)
        return shl_nomem(&l->c->err);
    for (size_t i = 0; i < l->rows.count; i++)
        keys[i] = shale_bytes(l->bytes.data + l->rows.items[i].key, l->rows.items[i].key_len);
    shale_code rc = shale_s4_delete(l->db, keys, l->rows.count, NULL, &l->c->err);
    env_free(keys);
    return rc;
}

static int keep(struct load *l)
{
    shale_code rc = cli_has(&l->c->args, OPT_NO_UPLOAD) ? shale_s4_flush(l->db, &l->c->err)
                                                        : shale_s4_upload(l->db, false, &l->c->err);
    if (rc != SHALE_OK)
        return fail_later(l);
    l->kept = l->keys;
    l->unsaved = 0;
    return CLI_YES;
}

static int write_batch(struct load *l)
{
    if (l->rows.count == 0)
        return CLI_YES;
    if ((l->deletes ? write_deletes : write_puts)(l) != SHALE_OK)
        return fail_later(l);
    l->keys += l->rows.count;
    l->unsaved += l->bytes.len;
    l->rows.count = 0;
    l->bytes.len = 0;
    cli_progress_tick(&l->progress, l->keys, l->in.bytes);
    return l->unsaved >= UPLOAD_BYTES ? keep(l) : CLI_YES;
}

static shale_code add_row(struct load *l, const struct json_row *row)
{
    struct row r = {.key = l->bytes.len,
                    .key_len = row->key.len,
                    .value = l->bytes.len + row->key.len,
                    .value_len = row->value.len,
                    .is_bytes = row->is_base64};
    shale_code rc = shl_buf_reserve(&l->bytes, row->key.len + row->value.len + 1, &l->c->err);
    if (rc == SHALE_OK)
        rc = shl_buf_append(&l->bytes, row->key.data, row->key.len, &l->c->err);
    if (rc == SHALE_OK)
        rc = shl_buf_append(&l->bytes, row->value.data, row->value.len, &l->c->err);
    if (rc == SHALE_OK && !shl_array_push(&l->rows, r))
        rc = shl_nomem(&l->c->err);
    return rc;
}

/* What the format cannot hold. */
static shale_code check_row(struct load *l, const struct json_row *row)
{
    if (row->has_expire_ts)
        return shl_fail(&l->c->err, SHALE_INVALID, "a string store has no expire_ts");
    if (row->key.len > 65535)
        return shl_fail(&l->c->err, SHALE_INVALID, "the key has %zu bytes, at most 65535",
                        row->key.len);
    return SHALE_OK;
}

static int take_line(void *ctx, struct shl_slice line)
{
    struct load *l = ctx;
    struct json_row row;
    shale_code rc = json_row_parse(&l->parser, line, &row, &l->c->err);
    if (rc == SHALE_OK)
        rc = check_row(l, &row);
    l->bad_line = rc == SHALE_INVALID;
    if (rc != SHALE_OK)
        return fail_later(l);
    if (row.is_delete != l->deletes || l->rows.count == BATCH_ROWS || l->bytes.len >= BATCH_BYTES) {
        int code = write_batch(l);
        if (code != CLI_YES)
            return code;
    }
    l->deletes = row.is_delete;
    return add_row(l, &row) == SHALE_OK ? CLI_YES : fail_later(l);
}

static int read_rows(struct load *l)
{
    int code = cli_input_lines(&l->in, l->c, take_line, l);
    return code == CLI_FAILED && l->c->err.code == SHALE_NOMEM ? fail_later(l) : code;
}

/* Why it ended, and how far it got. */
static int tell_failure(struct load *l, int code)
{
    char rows[OUT_UNIT_BYTES];
    char where[300];
    struct cli *c = l->c;
    (void)snprintf(c->facts, sizeof c->facts, "%s key%s%s %s %s.", out_count(rows, l->kept),
                   l->kept == 1 ? "" : "s", l->bad_line ? " before it" : "",
                   l->kept == 1 ? "is" : "are",
                   cli_has(&c->args, OPT_NO_UPLOAD) ? "safe in the folder" : "uploaded");
    if (l->failed.code == SHALE_OK) {
        if (os_stop_code() != 0)
            cli_tell(c, "stopped: %s", c->facts);
        return code;
    }
    (void)snprintf(where, sizeof where, "%s:%" PRIu64, l->in.name, l->in.line);
    c->err = l->failed;
    return l->bad_line ? cli_bad_line(c, where, c->err.text) : s4_fail(c);
}

static int load(struct load *l)
{
    int code = read_rows(l);
    bool good = l->failed.code == SHALE_OK || l->bad_line;
    if (good && code == CLI_YES && os_timed_out() && cli_out_of_time(l->c))
        code = fail_later(l);
    if (good && (write_batch(l) != CLI_YES || keep(l) != CLI_YES))
        code = CLI_FAILED;
    cli_progress_end(&l->progress);
    if (code == CLI_YES)
        code = os_stop_code();
    return code == CLI_YES ? code : tell_failure(l, code);
}

static void tell(struct load *l, uint64_t start_ns)
{
    char rows[OUT_UNIT_BYTES];
    char size[SHL_UNITS_TEXT];
    double seconds = (double)(env_now_mono_ns() - start_ns) / 1e9;
    if (os_is_terminal(CLI_STDERR))
        cli_note(l->c, "loaded %s key%s (%s) in %.1f s", out_count(rows, l->keys),
                 l->keys == 1 ? "" : "s", shl_format_size(l->in.bytes, size), seconds);
    s4_tell_keys(l->c, l->keys);
}

int cmd_s4_load(struct cli *c)
{
    const char *path = c->args.positional_count > 1 ? c->args.positional[1] : "-";
    struct load l = {.c = c, .parser = {.empty_keys = true}};
    uint64_t start_ns = env_now_mono_ns();
    int code = cli_input_open(c, "shale s4 load --help", path, &l.in);
    if (code != CLI_YES)
        return code;
    os_signals(OS_STOP_SAFELY);
    cli_progress_start(&l.progress, c, "load", l.in.size);
    code = s4_open(c, S4_WRITE, &l.db);
    if (code == CLI_YES)
        code = load(&l);
    c->rows = l.keys;
    s4_close(c, l.db);
    if (code == CLI_YES)
        tell(&l, start_ns);
    shl_array_free(&l.rows);
    shl_buf_free(&l.bytes);
    json_row_deinit(&l.parser);
    cli_input_close(&l.in);
    return code;
}
