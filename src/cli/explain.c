/* explain: the way of one get. */
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/units.h"
#include "cli/cmd.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t member(const json_t *object, const char *name)
{
    uint64_t n = 0;
    return shl_json_get_u64(object, name, &n) ? n : 0;
}

static bool flag(const json_t *object, const char *name)
{
    bool b = false;
    return shl_json_get_bool(object, name, &b) && b;
}

static const char *text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s != NULL ? s : "";
}

static const char *answer(const json_t *step)
{
    const char *s = text(step, "answer");
    return strcmp(s, "no") == 0 ? "-" : strcmp(s, "merge") == 0 ? "merge operand" : s;
}

static void memtable_line(struct out *o, const json_t *step)
{
    char size[SHL_UNITS_TEXT];
    char rows[OUT_UNIT_BYTES];
    out_printf(o, "%-8s %s row%s, %s: %s\n", flag(step, "frozen") ? "frozen" : "memtable",
               out_count(rows, member(step, "rows")), member(step, "rows") == 1 ? "" : "s",
               shl_format_size(member(step, "bytes"), size), answer(step));
}

static void sst_line(struct out *o, const json_t *step)
{
    char level[32] = "L0";
    uint64_t run = 0;
    if (shl_json_get_u64(step, "run", &run))
        (void)snprintf(level, sizeof level, "SR %" PRIu64, run);
    out_printf(o, "%-8s %s  ", level, text(step, "sst"));
    if (!flag(step, "in_range")) {
        out_text(o, "key outside of its range, not asked\n");
        return;
    }
    out_printf(o, "%s, filter says %s",
               flag(step, "filter_and_index_cached") ? "index in memory" : "index fetched",
               flag(step, "filter_passes") ? "maybe" : "no");
    if (flag(step, "filter_passes")) {
        const json_t *blocks = json_object_get(step, "blocks_fetched");
        size_t i;
        json_t *block;
        out_text(o, json_array_size(blocks) > 0 ? ", fetched block" : ", block in memory");
        json_array_foreach(blocks, i, block)
        {
            out_printf(o, " %" PRId64, (int64_t)json_integer_value(block));
        }
        out_printf(o, ": %s", answer(step));
    }
    out_char(o, '\n');
}

static void summary(struct out *o, const json_t *all)
{
    const json_t *requests = json_object_get(all, "requests");
    char size[SHL_UNITS_TEXT];
    char price[OUT_UNIT_BYTES];
    if (strcmp(text(all, "answer"), "no") == 0)
        out_text(o, "no such key");
    else
        out_printf(o, "%s, seq %" PRIu64 ", %" PRIu64 " byte%s", answer(all), member(all, "seq"),
                   member(all, "value_bytes"), member(all, "value_bytes") == 1 ? "" : "s");
    out_printf(o, "; %" PRIu64 " GET (%s), %s\n", member(requests, "get"),
               shl_format_size(member(requests, "bytes_down"), size),
               out_money(price, json_number_value(json_object_get(requests, "cost_usd"))));
}

static void screen(struct out *o, const json_t *all)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(all, "memtables"), i, step)
    {
        memtable_line(o, step);
    }
    json_array_foreach(json_object_get(all, "ssts"), i, step)
    {
        sst_line(o, step);
    }
    summary(o, all);
}

/* Prints the library's answer; frees it. */
static int print(struct cli *c, char *json)
{
    json_t *all = NULL;
    shale_code rc = shl_json_parse_unsigned(shl_slice_str(json), &all, &c->err);
    int code = CLI_YES;
    if (rc == SHALE_OK) {
        const char *found = text(all, "answer");
        code = strcmp(found, "value") == 0 || strcmp(found, "merge") == 0 ? CLI_YES : CLI_NO;
        if (cli_has(&c->args, OPT_JSON))
            out_text(c->out, json);
        else
            screen(c->out, all);
        if (cli_has(&c->args, OPT_JSON))
            out_char(c->out, '\n');
    } else {
        code = cli_fail(c, NULL);
    }
    json_decref(all);
    shale_text_free(json);
    return code;
}

int cmd_explain(struct cli *c)
{
    struct shl_buf hold = {0};
    shale_slice key;
    shale_db *db = NULL;
    char *json = NULL;
    int code = CLI_USAGE;
    if (!cli_bytes(c, c->args.positional[1], "KEY", &hold, &key))
        goto out;
    if (key.len == 0) {
        code = cli_usage(c, NULL, "the key is empty: a key has at least one byte");
        goto out;
    }
    code = cli_open_reader(c, &db);
    if (code != CLI_YES)
        goto out;
    if (shale_db_explain(&json, db, key, &c->err) != SHALE_OK)
        code = cli_fail(c, c->args.positional[0]);
    else
        code = print(c, json);
out:
    code = cli_close_reader(c, db, code);
    shl_buf_free(&hold);
    return code;
}
