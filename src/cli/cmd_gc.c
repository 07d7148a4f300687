/* gc: passes of the collector, and what each deleted. */
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>

static bool is_stopped(void *ctx)
{
    (void)ctx;
    return os_stop_code() != 0 || os_timed_out();
}

/* "wal,manifest" as bits. False after a message. */
static bool add_resources(struct cli *c, const char *text, unsigned *bits)
{
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        struct cli_near near = {0};
        char hint[CLI_NEAR_TEXT];
        unsigned found = SHALE_GC_RESOURCES;
        for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++) {
            const char *name = shale_gc_resource_name((shale_gc_resource)i);
            if (strlen(name) == len && memcmp(name, at, len) == 0)
                found = i;
            cli_near_offer(&near, shl_slice_of(at, len), name);
        }
        if (found == SHALE_GC_RESOURCES) {
            (void)cli_usage(c, NULL,
                            "--resource: \"%.*s\" is none of manifest, wal, wal-fence, compacted, "
                            "compactions, detach%s",
                            (int)(len < 40 ? len : 40), at, cli_near_text(&near, "", hint));
            return false;
        }
        *bits |= 1U << found;
        at += len;
        if (*at == '\0')
            return true;
    }
}

static bool take_options(struct cli *c, shale_gc_options *how)
{
    shale_gc_options_init(how, sizeof *how);
    for (size_t i = 0; i < c->args.given_count; i++)
        if (c->args.given[i].id == OPT_RESOURCE &&
            !add_resources(c, c->args.given[i].value, &how->resources))
            return false;
    how->dry_run = cli_has(&c->args, OPT_DRY_RUN);
    how->has_min_age = cli_has(&c->args, OPT_MIN_AGE);
    how->min_age_ms = cli_number(&c->args, OPT_MIN_AGE, 0) / ENV_NS_PER_MS;
    how->has_interval = cli_has(&c->args, OPT_INTERVAL);
    how->interval_ms = cli_number(&c->args, OPT_INTERVAL, 0) / ENV_NS_PER_MS;
    how->stopped = is_stopped;
    if (!how->has_interval || how->interval_ms > 0)
        return true;
    (void)cli_usage(c, NULL, "--interval %s: at least 1ms", c->args.value[OPT_INTERVAL]);
    return false;
}

/* ---- what a pass did */

static void tell_people(struct cli *c, const shale_gc_report *r)
{
    char count[OUT_UNIT_BYTES];
    char size[SHL_UNITS_TEXT];
    uint64_t total = r->checkpoints_expired;
    bool dry = cli_has(&c->args, OPT_DRY_RUN);
    if (r->checkpoints_expired > 0)
        cli_note(c, "%s %s checkpoint%s that expired", dry ? "would take out" : "took out",
                 out_count(count, r->checkpoints_expired), r->checkpoints_expired == 1 ? "" : "s");
    for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++) {
        const shale_gc_result *g = &r->results[i];
        const char *name = shale_gc_resource_name((shale_gc_resource)i);
        if (g->code != SHALE_OK && strncmp(c->err.text, g->why, sizeof g->why - 1) != 0)
            cli_note(c, "note: %s stays: %s", name, g->why);
        if (g->count == 0)
            continue;
        total += g->count;
        if (i == SHALE_GC_DETACH)
            cli_note(c, "%s %s parent%s of this clone",
                     g->dry_run ? "would let go of" : "let go of", out_count(count, g->count),
                     g->count == 1 ? "" : "s");
        else
            cli_note(c, "%s %s: %s object%s (%s)", g->dry_run ? "would delete" : "deleted", name,
                     out_count(count, g->count), g->count == 1 ? "" : "s",
                     shl_format_size(g->bytes, size));
    }
    if (total == 0 && !r->stopped && c->err.code == SHALE_OK)
        cli_note(c, dry ? "would delete nothing" : "nothing to delete");
}

/* The pass itself asked as the real one does; what that writes and deletes comes on top. */
static void tell_price(struct cli *c, shale_gc *gc, const shale_gc_report *r)
{
    shale_store_counts n = {.struct_size = sizeof n};
    uint64_t bytes = 0;
    shale_gc_store_counts(gc, &n);
    n.put += r->checkpoints_expired > 0;
    for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++) {
        const shale_gc_result *g = &r->results[i];
        bool boundary = i == SHALE_GC_MANIFEST || i == SHALE_GC_COMPACTIONS;
        n.put += i == SHALE_GC_DETACH ? 2 * g->count : boundary && g->count > 0;
        n.del += i == SHALE_GC_DETACH ? 0 : (g->count + 999) / 1000;
        bytes += g->bytes;
    }
    cli_note_price(c, &n, bytes);
}

static void tell_json(struct cli *c, shale_gc *gc, const shale_gc_report *r)
{
    struct out *o = c->out;
    shale_store_counts n = {.struct_size = sizeof n};
    const char *comma = "";
    out_text(o, "{\"resources\":{");
    for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++) {
        const shale_gc_result *g = &r->results[i];
        if (!g->ran)
            continue;
        out_printf(o, "%s\"%s\":{\"%s\":%" PRIu64 ",\"size_bytes\":%" PRIu64, comma,
                   shale_gc_resource_name((shale_gc_resource)i),
                   g->dry_run ? "would_delete" : "deleted", g->count, g->bytes);
        if (g->code != SHALE_OK) {
            out_char(o, ',');
            out_json_member(o, "error", shl_slice_str(g->why));
        }
        out_char(o, '}');
        comma = ",";
    }
    out_printf(o, "},\"checkpoints_expired\":%" PRIu64 ",", r->checkpoints_expired);
    shale_gc_store_counts(gc, &n);
    cli_json_requests(o, &n);
    out_text(o, "}\n");
    (void)out_finish(o);
}

static bool did_anything(const shale_gc_report *r)
{
    bool ran = false;
    for (unsigned i = 0; i < SHALE_GC_RESOURCES; i++)
        ran = ran || r->results[i].ran;
    return ran;
}

/* failed: the error stands there already, which with --json is all. */
static void tell(struct cli *c, shale_gc *gc, const shale_gc_report *r, bool failed)
{
    if (!did_anything(r))
        return;
    if (!cli_has(&c->args, OPT_JSON)) {
        tell_people(c, r);
        if (cli_has(&c->args, OPT_DRY_RUN) && !failed)
            tell_price(c, gc, r);
    } else if (!failed) {
        tell_json(c, gc, r);
    }
}

/* Passes until the end is asked for. A pass that failed is told and tried again, as the next one may succeed; but with --once it is the last. */
static int run_passes(struct cli *c, shale_gc *gc, bool once)
{
    const char *url = c->args.positional[0];
    for (;;) {
        shale_gc_report report;
        uint64_t wait_ms = 0;
        shale_code rc = once ? shale_gc_run(&report, gc, &c->err)
                             : shale_gc_step(&report, &wait_ms, gc, &c->err);
        bool ends = rc != SHALE_OK && (once || rc == SHALE_NOT_FOUND || is_stopped(NULL));
        int code = !ends ? CLI_YES : once ? cli_fail(c, url) : cli_fail_or_end(c, url);
        tell(c, gc, &report, ends);
        if (!ends && once && report.stopped)
            code = os_stop_code();
        if (ends || os_stop_code() != 0)
            return code; /* what was begun is finished, and the rest waits for the next pass */
        if (rc != SHALE_OK)
            cli_note(c, "note: %s", c->err.text);
        if (once || wait_ms == UINT64_MAX)
            return CLI_YES;
        if (cli_out_of_time(c))
            return cli_fail(c, url);
        cli_pause(wait_ms < UINT64_MAX / ENV_NS_PER_MS ? wait_ms * ENV_NS_PER_MS : UINT64_MAX);
        if (os_stop_code() != 0)
            return CLI_YES;
        if (cli_out_of_time(c))
            return cli_fail(c, url);
    }
}

int cmd_gc(struct cli *c)
{
    const char *url = c->args.positional[0];
    bool once = cli_has(&c->args, OPT_ONCE) || cli_has(&c->args, OPT_DRY_RUN);
    shale_gc_options how;
    shale_gc *gc = NULL;
    if (!take_options(c, &how) || !cli_options(c))
        return CLI_USAGE;
    os_signals(OS_STOP_SAFELY);
    if (shale_gc_open(&gc, url, c->options, &how, &c->err) != SHALE_OK)
        return once ? cli_fail(c, url) : cli_fail_or_end(c, url);
    int code = run_passes(c, gc, once);
    shale_gc_close(gc);
    return code;
}
