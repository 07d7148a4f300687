/* Signs of life on stderr: after half a second, at most ten times a second, one line that is wiped at the end. */
#include "base/env/env.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>

enum how { HOW_OFF, HOW_LINE, HOW_PLAIN, HOW_JSON };

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
    return os_is_terminal(CLI_STDERR) ? HOW_LINE : HOW_OFF;
}

void cli_progress_start(struct cli_progress *p, const struct cli *c, const char *what,
                        uint64_t total_bytes)
{
    *p = (struct cli_progress){
        .c = c, .what = what, .start_ns = env_now_mono_ns(), .total = total_bytes};
    p->drawn_ns = p->start_ns;
}

static size_t bar(char *dst, size_t cap, const struct cli_progress *p, uint64_t bytes)
{
    static const char full[] = "====================";
    if (p->total == 0)
        return (size_t)snprintf(dst, cap, "%c", "|/-\\"[p->mark % 4]);
    uint64_t done = bytes < p->total ? bytes : p->total;
    int filled = (int)(done * 20 / p->total);
    return (size_t)snprintf(dst, cap, "%3d%% [%.*s%*s]", (int)(done * 100 / p->total), filled, full,
                            20 - filled, "");
}

static void draw(struct cli_progress *p, enum how how, uint64_t now, uint64_t rows, uint64_t bytes)
{
    char line[256];
    char text[64];
    char size[SHL_UNITS_TEXT];
    char count[OUT_UNIT_BYTES];
    double seconds = (double)(now - p->start_ns) / 1e9;
    int n;
    if (how == HOW_JSON) {
        n = snprintf(line, sizeof line,
                     "{\"progress\":{\"what\":\"%s\",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
                     ",\"seconds\":%.1f}}\n",
                     p->what, rows, bytes, seconds);
    } else {
        (void)bar(text, sizeof text, p, bytes);
        n = snprintf(line, sizeof line, "%s%s %s %s rows   %.1fk rows/s   %s%s",
                     how == HOW_LINE ? "\r" : "", p->what, text, out_count(count, rows),
                     (double)rows / seconds / 1e3, shl_format_size(bytes, size),
                     how == HOW_LINE ? "\033[K" : "\n");
    }
    if (n > 0)
        (void)os_write(CLI_STDERR, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
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
    uint64_t pause = how == HOW_LINE   ? ENV_NS_PER_SEC / 10
                     : how == HOW_JSON ? ENV_NS_PER_SEC
                                       : 30 * ENV_NS_PER_SEC;
    if (now - p->drawn_ns < pause)
        return;
    p->drawn_ns = now;
    draw(p, how, now, rows, bytes);
}

void cli_progress_end(struct cli_progress *p)
{
    static const char wipe[] = "\r\033[K";
    if (p->drawn)
        (void)os_write(CLI_STDERR, wipe, sizeof wipe - 1);
    p->drawn = false;
}
