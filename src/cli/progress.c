/* Signs of life on stderr: after half a second, at most ten times a second, one line that is wiped at the end. */
#include "base/env/env.h"
#include "base/num.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define BAR_COLUMNS 24

enum how { HOW_OFF, HOW_LINE, HOW_PLAIN, HOW_JSON };

static bool can_redraw(void)
{
    const char *term = env_getenv("TERM");
    return os_is_terminal(CLI_STDERR) && term != NULL && strcmp(term, "dumb") != 0;
}

static enum how how_to_show(const struct cli *c)
{
    const char *asked = c->args.value[OPT_PROGRESS];
    if (asked != NULL && strcmp(asked, "plain") == 0)
        return HOW_PLAIN;
    if (asked != NULL && strcmp(asked, "json") == 0)
        return HOW_JSON;
    if ((asked != NULL && strcmp(asked, "off") == 0) || cli_has(&c->args, OPT_QUIET) ||
        cli_has(&c->args, OPT_JSON))
        return HOW_OFF;
    return can_redraw() ? HOW_LINE : HOW_OFF;
}

bool cli_progress_redraws(const struct cli *c)
{
    return how_to_show(c) == HOW_LINE;
}

void cli_progress_start(struct cli_progress *p, const struct cli *c, const char *what,
                        uint64_t total_bytes)
{
    *p = (struct cli_progress){
        .c = c, .what = what, .start_ns = env_now_mono_ns(), .total = total_bytes};
    p->drawn_ns = p->start_ns;
}

/* ---- what is known at one moment */

struct moment {
    uint64_t rows, bytes;
    double seconds;       /* since the start */
    double rows_per_s;    /* since the start */
    double bytes_per_s;   /* of the last ten seconds */
    uint64_t eta_s;       /* UINT64_MAX: unknown */
    shale_store_counts n; /* requests; 0 without a database */
    double usd;
};

static void sample(struct cli_progress *p, uint64_t now, uint64_t bytes)
{
    size_t last = (p->sample_count + CLI_SAMPLES - 1) % CLI_SAMPLES;
    if (p->sample_count > 0 && now - p->samples[last].ns < ENV_NS_PER_SEC)
        return;
    p->samples[p->sample_count % CLI_SAMPLES].ns = now;
    p->samples[p->sample_count++ % CLI_SAMPLES].bytes = bytes;
}

static double recent_rate(const struct cli_progress *p, uint64_t now, uint64_t bytes)
{
    size_t oldest = p->sample_count > CLI_SAMPLES ? p->sample_count % CLI_SAMPLES : 0;
    uint64_t from_ns = p->sample_count > 0 ? p->samples[oldest].ns : p->start_ns;
    uint64_t from_bytes = p->sample_count > 0 ? p->samples[oldest].bytes : 0;
    if (now - from_ns < ENV_NS_PER_SEC / 2) { /* too short to tell */
        from_ns = p->start_ns;
        from_bytes = 0;
    }
    return now > from_ns ? (double)(bytes - from_bytes) * 1e9 / (double)(now - from_ns) : 0;
}

static struct moment look(const struct cli_progress *p, uint64_t now, uint64_t rows, uint64_t bytes)
{
    struct moment m = {.rows = rows, .bytes = bytes, .n = {.struct_size = sizeof m.n}};
    m.seconds = (double)(now - p->start_ns) / 1e9;
    m.rows_per_s = m.seconds > 0 ? (double)rows / m.seconds : 0;
    m.bytes_per_s = recent_rate(p, now, bytes);
    m.eta_s = p->total > bytes && m.bytes_per_s > 1
                  ? (uint64_t)((double)(p->total - bytes) / m.bytes_per_s) + 1
                  : UINT64_MAX;
    if (p->db != NULL)
        shale_db_store_counts(p->db, &m.n);
    if (p->price != NULL)
        m.usd = cli_price_requests(p->price, &m.n);
    return m;
}

/* ---- drawing */

/* " 62% [==============>         ]", or a mark that moves where the end is not known. */
static void bar(char *dst, size_t cap, const struct cli_progress *p, uint64_t bytes)
{
    static const char full[] = "========================";
    if (p->total == 0) {
        unsigned at = p->mark % (2 * (BAR_COLUMNS - 3));
        unsigned left = at < BAR_COLUMNS - 3 ? at : 2 * (BAR_COLUMNS - 3) - at;
        (void)snprintf(dst, cap, "[%*s<=>%*s]", (int)left, "", (int)(BAR_COLUMNS - 3 - left), "");
        return;
    }
    uint64_t done = shl_min_u64(bytes, p->total);
    int filled = (int)((double)done * BAR_COLUMNS / (double)p->total);
    bool whole = filled >= BAR_COLUMNS;
    (void)snprintf(dst, cap, "%3d%% [%.*s%s%*s]", (int)((double)done * 100 / (double)p->total),
                   filled, full, whole ? "" : ">", whole ? 0 : BAR_COLUMNS - 1 - filled, "");
}

/* "38.1k", "912". */
static const char *short_count(double n, char text[32])
{
    if (n < 1000)
        (void)snprintf(text, 32, "%.0f", n);
    else if (n < 1e6)
        (void)snprintf(text, 32, "%.1fk", n / 1e3);
    else
        (void)snprintf(text, 32, "%.1fM", n / 1e6);
    return text;
}

/* Pieces are added while they fit; a line that wraps could not be wiped. */
struct line {
    char text[400];
    size_t len;
    size_t columns;
};

static void piece(struct line *l, const char *format, ...) SHL_PRINTF(2, 3);
static void piece(struct line *l, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : shl_min_size((size_t)n, sizeof text - 1);
    if (l->len + len > l->columns || l->len + len >= sizeof l->text) {
        l->columns = l->len; /* and nothing after it */
        return;
    }
    memcpy(l->text + l->len, text, len);
    l->len += len;
    l->text[l->len] = '\0';
}

static void draw_text(const struct cli_progress *p, const struct moment *m, struct line *l)
{
    char text[64];
    char size[SHL_UNITS_TEXT];
    char count[32];
    const char *rows = short_count((double)m->rows, count);
    bar(text, sizeof text, p, m->bytes);
    size_t whole = strlen(p->what) + 1 + strlen(text) + 1 + strlen(rows) + sizeof " rows" - 1;
    if (whole <= l->columns)
        piece(l, "%s %s", p->what, text);
    else if (p->total > 0) /* the count is worth more than the bar */
        piece(l, "%s %.4s", p->what, text);
    else
        piece(l, "%s", p->what);
    piece(l, " %s rows", rows);
    piece(l, "   %s rows/s", short_count(m->rows_per_s, count));
    piece(l, "   %s/s", shl_format_size((uint64_t)m->bytes_per_s, size));
    if (p->db != NULL)
        piece(l, "  %" PRIu64 " PUT %" PRIu64 " GET", m->n.put, m->n.get);
    if (p->price != NULL)
        piece(l, "  ~$%.4f", m->usd);
    if (m->eta_s != UINT64_MAX)
        piece(l, "  ETA %" PRIu64 ":%02" PRIu64, m->eta_s / 60, m->eta_s % 60);
}

static int draw_json(const struct cli_progress *p, const struct moment *m, char *dst, size_t cap)
{
    char more[120] = "";
    if (p->total > 0)
        (void)snprintf(more, sizeof more, ",\"total_bytes\":%" PRIu64, p->total);
    if (m->eta_s != UINT64_MAX)
        (void)snprintf(more + strlen(more), sizeof more - strlen(more), ",\"eta_seconds\":%" PRIu64,
                       m->eta_s);
    return snprintf(dst, cap,
                    "{\"progress\":{\"what\":\"%s\",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
                    ",\"seconds\":%.1f,\"bytes_per_second\":%.0f,\"put\":%" PRIu64
                    ",\"get\":%" PRIu64 ",\"cost_usd\":%.9f%s}}\n",
                    p->what, m->rows, m->bytes, m->seconds, m->bytes_per_s, m->n.put, m->n.get,
                    m->usd, more);
}

static void draw(struct cli_progress *p, enum how how, uint64_t now, uint64_t rows, uint64_t bytes)
{
    char line[512];
    const struct moment m = look(p, now, rows, bytes);
    int n;
    if (how == HOW_JSON) {
        n = draw_json(p, &m, line, sizeof line);
    } else {
        struct line l = {.columns = how == HOW_LINE ? os_columns() - 1 : sizeof l.text - 1};
        draw_text(p, &m, &l);
        n = snprintf(line, sizeof line, "%s%s%s", how == HOW_LINE ? "\r" : "", l.text,
                     how == HOW_LINE ? "\033[K" : "\n");
    }
    if (n > 0)
        (void)os_write(CLI_STDERR, line, shl_min_size((size_t)n, sizeof line - 1));
    if (how == HOW_LINE && !p->drawn)
        os_life_still(true); /* this line is the sign of life */
    p->drawn = how == HOW_LINE;
    p->mark++;
}

void cli_progress_tick(struct cli_progress *p, uint64_t rows, uint64_t bytes)
{
    uint64_t now = env_now_mono_ns();
    if (now - p->start_ns < ENV_NS_PER_SEC / 2)
        return;
    enum how how = how_to_show(p->c);
    if (how == HOW_OFF)
        return;
    sample(p, now, bytes);
    uint64_t pause = how == HOW_LINE   ? ENV_NS_PER_SEC / 10
                     : how == HOW_JSON ? ENV_NS_PER_SEC
                                       : 30 * ENV_NS_PER_SEC;
    bool first = p->mark == 0 && how != HOW_PLAIN;
    if (!first && now - p->drawn_ns < pause)
        return;
    p->drawn_ns = now;
    draw(p, how, now, rows, bytes);
}

void cli_progress_end(struct cli_progress *p)
{
    static const char wipe[] = "\r\033[K";
    if (p->drawn) {
        (void)os_write(CLI_STDERR, wipe, sizeof wipe - 1);
        os_life_still(false);
    }
    p->drawn = false;
}
