/* stat, manifest, sst, wal: what the library's JSON says, as it is or as a screen. */
#include "base/codec/json.h"
#include "base/codec/text.h"
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>

#define BAR_COLUMNS       30
#define BAR_TEXT          49 /* columns beside a bar */
#define CHECKPOINTS_SHOWN 3

/* Prints the document. */
static int print_text(struct cli *c, char *text)
{
    out_text(c->out, text);
    out_char(c->out, '\n');
    shale_text_free(text);
    return CLI_YES;
}

/* A number given as an argument. False after a message. */
static bool number_argument(struct cli *c, size_t index, const char *what, uint64_t *out)
{
    const char *text = c->args.positional[index];
    if (shl_parse_u64(shl_slice_str(text), out) && *out > 0)
        return true;
    (void)cli_usage(c, NULL, "%s: \"%.60s\" is no number from 1 on", what, text);
    return false;
}

/* Empty: 0. */
static bool version_of(struct shl_slice text, uint64_t *out)
{
    *out = 0;
    return text.len == 0 || shl_parse_u64(text, out);
}

bool cli_versions(struct cli *c, uint64_t *from, uint64_t *to)
{
    const char *text = c->args.value[OPT_VERSIONS];
    const char *dots = strstr(text, "..");
    if (cli_has(&c->args, OPT_ID)) {
        (void)cli_usage(c, NULL, "--id is one version, --versions are several: give one of them");
        return false;
    }
    if (dots != NULL && version_of(shl_slice_of(text, (size_t)(dots - text)), from) &&
        version_of(shl_slice_str(dots + 2), to) && (dots[2] == '\0' || *to > *from))
        return true;
    (void)cli_usage(c, NULL,
                    "--versions \"%.40s\": write 3..7 (7 is not among them), 3.., ..7 or ..", text);
    return false;
}

/* ---- manifest */

#define DEPTH_MAX 16 /* a manifest has some eight */

/* [97,112] is how SlateDB writes the key "ap". */
static bool is_bytes(const json_t *array)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item) if (!json_is_integer(item) || json_integer_value(item) < 0 ||
                                           json_integer_value(item) > 255) return false;
    return json_array_size(array) > 0;
}

static void out_byte_array(struct out *o, const json_t *array, const char *name)
{
    struct shl_buf bytes = {0};
    shale_error ignored;
    size_t i;
    json_t *item;
    if (strcmp(name, "sequence_tracker") == 0) { /* no key, and nothing to be read */
        out_printf(o, "(%zu bytes)", json_array_size(array));
        return;
    }
    json_array_foreach(array, i, item)
    {
        uint8_t byte = (uint8_t)json_integer_value(item);
        if (shl_buf_append(&bytes, &byte, 1, &ignored) != SHALE_OK)
            break;
    }
    out_escaped(o, shl_buf_view(&bytes), 0);
    shl_buf_free(&bytes);
}

static void out_scalar(struct out *o, const json_t *value)
{
    if (json_is_string(value))
        out_escaped(
            o, shl_slice_of((const uint8_t *)json_string_value(value), json_string_length(value)),
            0);
    else if (json_is_integer(value))
        out_printf(o, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        out_text(o, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "-");
}

/* A member or item a line, what it holds indented below it; keys as other commands print them. */
static void out_tree(struct out *o, const json_t *value, const char *name, int depth)
{
    const char *member_name;
    json_t *item;
    size_t i;
    bool holds = (json_is_object(value) && json_object_size(value) > 0) ||
                 (json_is_array(value) && json_array_size(value) > 0 && !is_bytes(value));
    out_printf(o, "%*s%s", 2 * depth, "", name);
    if (!holds || depth == DEPTH_MAX) {
        out_char(o, ' ');
        if (json_is_array(value) && is_bytes(value))
            out_byte_array(o, value, name);
        else
            out_scalar(o, value);
        out_char(o, '\n');
        return;
    }
    out_char(o, '\n');
    json_object_foreach((json_t *)(uintptr_t)value, member_name, item)
        out_tree(o, item, member_name, depth + 1);
    json_array_foreach(value, i, item) out_tree(o, item, "-", depth + 1);
}

/* For people; frees the text. */
static int show_manifest(struct cli *c, char *text)
{
    json_t *value = NULL;
    const char *name;
    json_t *item;
    size_t i;
    shale_code rc = shl_json_parse_unsigned(shl_slice_str(text), &value, &c->err);
    shale_text_free(text);
    if (rc != SHALE_OK)
        return cli_fail(c, NULL);
    json_object_foreach(value, name, item) out_tree(c->out, item, name, 0);
    json_array_foreach(value, i, item) out_tree(c->out, item, "manifest", 0);
    json_decref(value);
    return CLI_YES;
}

int cmd_manifest(struct cli *c)
{
    const char *url = c->args.positional[0];
    char *text = NULL;
    uint64_t id = cli_number(&c->args, OPT_ID, 0), to = 0;
    bool several = cli_has(&c->args, OPT_VERSIONS);
    if (several && !cli_versions(c, &id, &to))
        return CLI_USAGE;
    if (cli_has(&c->args, OPT_ID) && id == 0)
        return cli_usage(c, NULL, "--id 0: manifests are counted from 1");
    if (!cli_options(c))
        return CLI_USAGE;
    shale_code rc = several ? shale_admin_manifest_range(&text, url, c->options, id, to, &c->err)
                            : shale_admin_manifest(&text, url, c->options, id, &c->err);
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    return cli_to_terminal(c) && !cli_has(&c->args, OPT_JSON) ? show_manifest(c, text)
                                                              : print_text(c, text);
}

static uint64_t member(const json_t *object, const char *name)
{
    uint64_t n = 0;
    return shl_json_get_u64(object, name, &n) ? n : 0;
}

/* A text member, "-" if it is not there. */
static struct shl_slice text_member(const json_t *object, const char *name)
{
    struct shl_slice s;
    return shl_json_get_str(object, name, &s) ? s : shl_slice_str("-");
}

/* The library's text as values; frees the text. NULL after a message. */
static json_t *parse(struct cli *c, char *text, int *code)
{
    json_t *value = NULL;
    shale_code rc = shl_json_parse_unsigned(shl_slice_str(text), &value, &c->err);
    shale_text_free(text);
    if (rc != SHALE_OK)
        *code = cli_fail(c, NULL);
    return value;
}

/* ---- sst */

/* A member with bytes, which are text or base64; "-" if it is not there. */
static void out_key(struct out *o, const json_t *object, const char *name, size_t width)
{
    char encoded[40];
    struct shl_slice text;
    struct shl_buf bytes = {0};
    shale_error ignored;
    (void)snprintf(encoded, sizeof encoded, "%s_base64", name);
    if (shl_json_get_str(object, encoded, &text) &&
        shl_base64_decode(text, &bytes, &ignored) == SHALE_OK)
        out_escaped(o, shl_buf_view(&bytes), width);
    else
        out_escaped(o, text_member(object, name), width);
    shl_buf_free(&bytes);
}

static void sst_line(struct cli *c, const json_t *sst)
{
    char size[SHL_UNITS_TEXT];
    char level[32] = "L0";
    struct shl_slice id = text_member(sst, "sst");
    uint64_t run = 0;
    if (shl_json_get_u64(sst, "run", &run))
        (void)snprintf(level, sizeof level, "SR %" PRIu64, run);
    out_printf(c->out, "%-8s %.*s %10s of data  %-7.*s ", level, (int)id.len, (const char *)id.data,
               shl_format_size(member(sst, "bytes"), size),
               (int)text_member(sst, "compression").len,
               (const char *)text_member(sst, "compression").data);
    out_key(c->out, sst, "first_key", 24);
    out_text(c->out, " .. ");
    out_key(c->out, sst, "last_key", 24);
    out_char(c->out, '\n');
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void block_lines(struct cli *c, const json_t *sst)
{
    struct shl_slice object = text_member(sst, "object");
    const json_t *stats = json_object_get(sst, "stats");
    char size[SHL_UNITS_TEXT];
    out_printf(c->out, "%.*s  object of %s, format %" PRIu64 ", %.*s\n", (int)object.len,
               (const char *)object.data, shl_format_size(member(sst, "bytes"), size),
               member(sst, "format_version"), (int)text_member(sst, "compression").len,
               (const char *)text_member(sst, "compression").data);
    out_printf(c->out, "rows     %" PRIu64 " put, %" PRIu64 " deleted, %" PRIu64 " merge\n",
               member(stats, "puts"), member(stats, "deletes"), member(stats, "merges"));
    out_printf(c->out, "parts    filter %" PRIu64 " B, index %" PRIu64 " B, stats %" PRIu64 " B\n",
               member(sst, "filter_bytes"), member(sst, "index_bytes"), member(sst, "stats_bytes"));
    size_t i;
    json_t *block;
    json_array_foreach(json_object_get(sst, "blocks"), i, block)
    {
        out_printf(c->out, "%6zu  at %10" PRIu64 "  %7" PRIu64 " bytes  %5" PRIu64 " row%-1s  ", i,
                   member(block, "offset"), member(block, "bytes"), member(block, "row_count"),
                   plural(member(block, "row_count")));
        out_key(c->out, block, "first_key", 40);
        out_char(c->out, '\n');
    }
}

int cmd_sst(struct cli *c)
{
    const char *sst = c->args.positional_count > 1 ? c->args.positional[1] : NULL;
    bool rows = cli_has(&c->args, OPT_ROWS);
    char *text = NULL;
    int code = CLI_YES;
    if (rows && sst == NULL)
        return cli_usage(c, "shale sst DB", "--rows needs the name of an SSTable");
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_admin_sst(&text, c->args.positional[0], c->options, sst, rows, &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    if (cli_has(&c->args, OPT_JSON) || rows)
        return print_text(c, text);
    json_t *value = parse(c, text, &code);
    if (value == NULL)
        return code;
    if (sst != NULL)
        block_lines(c, value);
    size_t i;
    json_t *line;
    if (sst == NULL) {
        json_array_foreach(value, i, line) sst_line(c, line);
    }
    json_decref(value);
    return code;
}

/* ---- wal */

int cmd_wal(struct cli *c)
{
    uint64_t id = 0;
    char *text = NULL;
    int code = CLI_YES;
    if (c->args.positional_count > 1 && !number_argument(c, 1, "ID", &id))
        return CLI_USAGE;
    if (!cli_options(c))
        return CLI_USAGE;
    if (shale_admin_wal(&text, c->args.positional[0], c->options, id, &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    if (cli_has(&c->args, OPT_JSON))
        return print_text(c, text);
    json_t *value = parse(c, text, &code);
    if (value == NULL)
        return code;
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(value, "objects"), i, line)
    {
        bool fence = json_is_true(json_object_get(line, "fence"));
        out_printf(c->out, "%8" PRIu64 "  %10" PRIu64 " bytes%s\n", member(line, "id"),
                   member(line, "bytes"), fence ? "  (a writer opened here)" : "");
    }
    if (id == 0 && json_array_size(json_object_get(value, "objects")) == 0 && cli_to_terminal(c))
        cli_note(c, "note: no WAL object is there: all rows are in SSTables (shale sst)");
    json_array_foreach(json_object_get(value, "rows"), i, line)
    {
        char *row = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER);
        out_text(c->out, row != NULL ? row : "out of memory");
        out_char(c->out, '\n');
        env_free(row);
    }
    json_decref(value);
    return code;
}

/* ---- stat */

/* "3 s ago"; "-" if unknown. */
static const char *ago(char text[SHL_UNITS_TEXT + 8], uint64_t unix_ms)
{
    char span[SHL_UNITS_TEXT];
    int64_t now = env_now_wall_ms();
    if (unix_ms == 0)
        return "-";
    uint64_t ms = now > (int64_t)unix_ms ? (uint64_t)now - unix_ms : 0;
    if (ms < 1000)
        return "just now";
    if (ms < 60000) /* whole seconds: it is known no better */
        (void)snprintf(span, sizeof span, "%" PRIu64 "s", ms / 1000);
    else
        (void)shl_format_duration_human(ms / 1000 * ENV_NS_PER_SEC, span);
    (void)snprintf(text, SHL_UNITS_TEXT + 8, "%s ago", span);
    return text;
}

/* "s" unless it is one. */
static void bar(struct out *o, uint64_t columns, uint64_t bytes, uint64_t per_mark, char mark)
{
    uint64_t marks = bytes == 0 ? 0 : shl_max_u64(1, bytes / per_mark);
    for (uint64_t i = 0; i < columns; i++)
        out_char(o, i < marks ? mark : ' ');
}

static uint64_t largest_run(const json_t *trees)
{
    uint64_t most = 0;
    size_t i;
    size_t k;
    json_t *tree;
    json_t *run;
    json_array_foreach(trees, i, tree)
    {
        most = shl_max_u64(most, member(tree, "l0_bytes"));
        json_array_foreach(json_object_get(tree, "runs"), k, run) most =
            shl_max_u64(most, member(run, "bytes"));
    }
    return most;
}

/* How the screen is drawn. */
struct look {
    size_t columns;    /* of the terminal; 0: what is long stays so */
    uint64_t bar;      /* columns of a bar; 0: there is no room for bars */
    uint64_t per_mark; /* bytes */
};

static void level_line(struct out *o, const struct look *l, const char *name, char mark,
                       const json_t *level, const char *count, const char *bytes)
{
    char size[SHL_UNITS_TEXT];
    out_printf(o, "  %-8s ", name);
    if (l->bar > 0) {
        bar(o, l->bar, member(level, bytes), l->per_mark, mark);
        out_printf(o, " %5" PRIu64 " SST%-1s", member(level, count), plural(member(level, count)));
    } else {
        out_printf(o, "%" PRIu64 " SST%s", member(level, count), plural(member(level, count)));
    }
    out_printf(o, " %*s", l->bar > 0 ? 10 : 0, shl_format_size(member(level, bytes), size));
}

static void tree_lines(struct out *o, const json_t *tree, const struct look *l)
{
    struct shl_slice segment;
    char name[32];
    if (shl_json_get_str(tree, "segment", &segment) && segment.len > 0) {
        out_text(o, "  segment ");
        out_escaped(o, segment, shl_min_size(60, l->columns > 20 ? l->columns - 10 : 60));
        out_char(o, '\n');
    }
    level_line(o, l, "L0", '|', tree, "l0_count", "l0_bytes");
    out_printf(o, "%soverlap %" PRIu64 "\n", l->bar > 0 ? "   " : " ", member(tree, "l0_overlap"));
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(tree, "runs"), i, run)
    {
        (void)snprintf(name, sizeof name, "SR %" PRIu64, member(run, "id"));
        level_line(o, l, name, '#', run, "sst_count", "bytes");
        out_char(o, '\n');
    }
}

static void shape(struct out *o, const json_t *stat, struct look *l)
{
    const json_t *trees = json_object_get(stat, "trees");
    uint64_t sources = member(stat, "l0_count") + member(stat, "run_count");
    char mark[SHL_UNITS_TEXT];
    size_t i;
    json_t *tree;
    l->per_mark = shl_max_u64(1, largest_run(trees) / shl_max_u64(1, l->bar));
    out_printf(o, "shape    a get asks up to %" PRIu64 " source%s", sources, plural(sources));
    if (l->bar > 0)
        out_printf(o, "   (a mark = %s)", shl_format_size(l->per_mark, mark));
    out_char(o, '\n');
    json_array_foreach(trees, i, tree) tree_lines(o, tree, l);
}

/* "never expires", "expires in 12m", "expired 3h ago". */
static const char *expiry(char text[SHL_UNITS_TEXT + 16], const json_t *checkpoint)
{
    char span[SHL_UNITS_TEXT];
    int64_t then = 0;
    struct shl_slice at;
    if (!shl_json_get_str(checkpoint, "expire_time", &at) || !shl_time_parse_rfc3339(at, &then))
        return "never expires";
    int64_t left = then / (int64_t)ENV_NS_PER_MS - env_now_wall_ms();
    uint64_t seconds = (uint64_t)(left < 0 ? -left : left) / 1000;
    (void)shl_format_duration_human(seconds * ENV_NS_PER_SEC, span);
    (void)snprintf(text, SHL_UNITS_TEXT + 16, left < 0 ? "expired %s ago" : "expires in %s", span);
    return text;
}

/* States that are kept for somebody. Those with a name were made by a person; readers and compactions give theirs none. */
static void checkpoints(struct out *o, const json_t *stat)
{
    const json_t *all = json_object_get(stat, "checkpoints");
    const json_t *last = NULL; /* of those without a name the one that stays longest */
    char when[SHL_UNITS_TEXT + 16];
    size_t named = 0;
    size_t unnamed = 0;
    size_t endless = 0; /* of those without a name */
    size_t i;
    json_t *checkpoint;
    if (json_array_size(all) == 0) {
        out_text(o, "kept     no checkpoint\n");
        return;
    }
    out_printf(o, "kept     %zu checkpoint%s", json_array_size(all), plural(json_array_size(all)));
    json_array_foreach(all, i, checkpoint)
    {
        struct shl_slice name;
        struct shl_slice at = text_member(checkpoint, "expire_time");
        bool has_name = shl_json_get_str(checkpoint, "name", &name) && name.len > 0;
        if (!has_name && at.len == 1) {
            endless++;
        } else if (!has_name) {
            bool later = last == NULL || shl_slice_cmp(at, text_member(last, "expire_time")) > 0;
            last = later ? checkpoint : last;
            unnamed++;
        } else if (named++ < CHECKPOINTS_SHOWN) {
            out_text(o, named == 1 ? ": " : ", ");
            out_escaped(o, name, 40);
            out_printf(o, " (%s)", expiry(when, checkpoint));
        }
    }
    if (named > CHECKPOINTS_SHOWN)
        out_printf(o, ", and %zu more (--json)", named - CHECKPOINTS_SHOWN);
    if (endless > 0)
        out_printf(o, "%s%zu without a name that never expire%s: clones may stand on %s",
                   named > 0 ? ", " : ": ", endless, endless == 1 ? "s" : "",
                   endless == 1 ? "it" : "them");
    if (unnamed > 0)
        out_printf(o, "%s%zu of readers or compactions (the last %s)",
                   named + endless > 0 ? ", " : ": ", unnamed, expiry(when, last));
    out_char(o, '\n');
}

/* Only where somebody is at work, or should be. */
static void compactions(struct cli *c, struct out *o, const json_t *stat)
{
    const json_t *all = json_object_get(stat, "compactions");
    size_t running = 0;
    size_t i;
    json_t *job;
    json_array_foreach(all, i, job) running +=
        shl_slice_eq(text_member(job, "status"), shl_slice_str("Running"));
    if (json_array_size(all) > 0)
        out_printf(o, "work     %zu compaction%s open, %zu running (shale compactions %s)\n",
                   json_array_size(all), plural(json_array_size(all)), running,
                   c->args.positional[0]);
}

static void row_count(struct out *o, const json_t *stat)
{
    char rows[OUT_UNIT_BYTES];
    bool cut = member(stat, "cut_sst_count") > 0; /* what lies outside of their part counts too */
    uint64_t n = member(stat, "rows_put") + member(stat, "rows_merge");
    uint64_t unread = member(stat, "unread_stats_sst_count");
    if (unread > 0 && member(stat, "stats_sst_count") == 0)
        out_text(o, "rows unknown (their stats cannot be read)");
    else
        out_printf(o, "%s %s row%s (from SST stats%s)", cut ? "at most" : "about",
                   out_count(rows, n), plural(n), cut ? ": a part of some is visible here" : "");
}

static void note_unread(struct cli *c, const json_t *stat)
{
    uint64_t unread = member(stat, "unread_stats_sst_count");
    if (unread == 0)
        return;
    (void)out_finish(c->out);
    cli_note(c,
             "note: the stats of %" PRIu64 " SSTable%s cannot be read: encrypted with a key that "
             "was not given, or damaged",
             unread, plural(unread));
    cli_try(c,
            "shale {cmd}{args} --transformer aes-256-gcm:file:PATH\tthe key it was written with");
}

static void sizes(struct out *o, const json_t *stat)
{
    char size[SHL_UNITS_TEXT];
    char when[SHL_UNITS_TEXT + 8];
    struct shl_slice codec = text_member(stat, "compression");
    double stored = (double)member(stat, "sst_bytes");
    bool cut = member(stat, "cut_sst_count") > 0; /* what lies outside of their part counts too */
    out_printf(o, "size     %s%s in %" PRIu64 " SSTable%s, ", cut ? "at most " : "",
               shl_format_size(member(stat, "sst_bytes"), size), member(stat, "sst_count"),
               plural(member(stat, "sst_count")));
    row_count(o, stat);
    if (codec.len > 1 && stored > 0)
        out_printf(o, ", %.*s %.1fx", (int)codec.len, (const char *)codec.data,
                   (double)member(stat, "raw_bytes") / stored);
    out_printf(o, ", oldest %s\n", ago(when, member(stat, "oldest_sst_unix_ms")));
}

static void cost(struct cli *c, struct out *o, const json_t *stat)
{
    struct cli_price price;
    char text[CLI_PRICE_TEXT];
    char size[SHL_UNITS_TEXT];
    uint64_t bytes = member(stat, "stored_bytes");
    if (!cli_price_for(c, c->args.positional[0], &price))
        return;
    bool borrows = member(stat, "external_db_count") > 0;
    out_printf(o, "cost     %s for %s stored%s\n",
               cli_price_text(&price, cli_price_month(&price, bytes), "/month", text),
               shl_format_size(bytes, size), borrows ? " of its own in SSTables and WAL" : "");
}

static void page(struct cli *c, struct out *o, const json_t *stat, struct look *l,
                 uint64_t elapsed_ns)
{
    const json_t *requests = json_object_get(stat, "requests");
    char size[SHL_UNITS_TEXT];
    char when[SHL_UNITS_TEXT + 8];
    char count[OUT_UNIT_BYTES];
    out_printf(o,
               "%s   SlateDB format, manifest %s (v%" PRIu64 "), opened read-only   %" PRIu64
               " request%s, %" PRIu64 " ms\n",
               c->args.positional[0], out_count(count, member(stat, "manifest_id")),
               member(stat, "manifest_version"), member(requests, "get") + member(requests, "list"),
               plural(member(requests, "get") + member(requests, "list")),
               elapsed_ns / ENV_NS_PER_MS);
    out_printf(o, "writer   epoch %" PRIu64 ", last write %s, ", member(stat, "writer_epoch"),
               ago(when, member(stat, "last_write_unix_ms")));
    if (member(stat, "wal_count") > 0)
        out_printf(o, "WAL %" PRIu64 "..%" PRIu64 " (%" PRIu64 " object%s, %s not yet in L0)\n",
                   member(stat, "wal_first_id"), member(stat, "wal_last_id"),
                   member(stat, "wal_count"), plural(member(stat, "wal_count")),
                   shl_format_size(member(stat, "wal_bytes"), size));
    else if (json_is_true(json_object_get(stat, "wal_is_missing")))
        out_text(o, "WAL missing: if it is in another store, --wal-url URL\n");
    else if (member(stat, "writer_epoch") > 0 && member(stat, "sst_count") == 0)
        out_text(o, "no WAL object: if it is in another store, --wal-url URL\n");
    else
        out_text(o, "no WAL object waits for L0\n");
    sizes(o, stat);
    checkpoints(o, stat);
    compactions(c, o, stat);
    if (member(stat, "external_db_count") > 0)
        out_printf(o, "parents  a clone: SSTables of %" PRIu64 " other database%s are in use\n",
                   member(stat, "external_db_count"), plural(member(stat, "external_db_count")));
    shape(o, stat, l);
    if (member(stat, "unreferenced_count") > 0)
        out_printf(o,
                   "others   %" PRIu64
                   " object%s, %s, not in the newest manifest (checkpoints may need them)\n",
                   member(stat, "unreferenced_count"), plural(member(stat, "unreferenced_count")),
                   shl_format_size(member(stat, "unreferenced_bytes"), size));
    cost(c, o, stat);
}

void cli_out_page(struct cli *c, struct out *page, size_t indent)
{
    size_t columns = cli_to_terminal(c) ? os_columns() : 0;
    out_char(page, '\0');
    for (char *line = page->buffer; *line != '\0';) {
        char *end = strchr(line, '\n');
        *end = '\0';
        out_folded(c->out, line, columns, indent);
        line = end + 1;
    }
    out_free(page);
}

/* What does not fit the terminal goes on in the next line. */
static int screen(struct cli *c, const json_t *stat, uint64_t elapsed_ns)
{
    struct out *o = out_new(c->out->fd);
    struct look l = {.columns = cli_to_terminal(c) ? os_columns() : 0, .bar = BAR_COLUMNS};
    if (o == NULL)
        return cli_trouble(c, "out of memory");
    if (l.columns > 0 && l.columns < BAR_COLUMNS + BAR_TEXT)
        l.bar = l.columns > BAR_TEXT + 5 ? l.columns - BAR_TEXT : 0;
    (void)out_finish(c->out); /* a page that is too large goes out behind it by itself */
    page(c, o, stat, &l, elapsed_ns);
    cli_out_page(c, o, 9);
    note_unread(c, stat);
    return CLI_YES;
}

static int stat_once(struct cli *c)
{
    char *text = NULL;
    int code = CLI_YES;
    uint64_t start_ns = env_now_mono_ns();
    if (shale_admin_stat(&text, c->args.positional[0], c->options, &c->err) != SHALE_OK)
        return cli_has(&c->args, OPT_WATCH) ? cli_fail_or_end(c, c->args.positional[0])
                                            : cli_fail(c, c->args.positional[0]);
    if (cli_has(&c->args, OPT_JSON))
        return print_text(c, text);
    json_t *value = parse(c, text, &code);
    if (value == NULL)
        return code;
    const json_t *requests = json_object_get(value, "requests");
    c->asked.get += member(requests, "get");
    c->asked.list += member(requests, "list");
    c->asked.bytes_down += member(requests, "bytes_down");
    c->asked.cost_usd += json_number_value(json_object_get(requests, "cost_usd"));
    code = screen(c, value, env_now_mono_ns() - start_ns);
    json_decref(value);
    return code;
}

void cli_pause(uint64_t ns)
{
    os_life_still(true);
    for (uint64_t slice = 50 * ENV_NS_PER_MS; ns > 0 && os_stop_code() == 0 && !os_timed_out();
         ns -= shl_min_u64(ns, slice))
        env_sleep_ns(shl_min_u64(ns, slice));
    os_life_still(false);
}

int cmd_stat(struct cli *c)
{
    static const char home[] = "\033[H\033[2J";
    bool redraw = cli_to_terminal(c) && !cli_has(&c->args, OPT_JSON);
    if (!cli_options(c))
        return CLI_USAGE;
    if (cli_has(&c->args, OPT_WATCH))
        os_signals(OS_STOP_SAFELY);
    int code = stat_once(c);
    while (cli_has(&c->args, OPT_WATCH) && code == CLI_YES && c->out->failed == 0) {
        (void)out_finish(c->out);
        cli_pause(c->args.number[OPT_WATCH]);
        if (os_stop_code() != 0 || os_timed_out())
            return CLI_YES; /* that is how it ends */
        out_text(c->out, redraw ? home : cli_has(&c->args, OPT_JSON) ? "" : "\n");
        code = stat_once(c);
    }
    return code;
}
