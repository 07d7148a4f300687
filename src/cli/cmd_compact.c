/* compactor, compactor-worker, compact, compactions. */
#include "base/codec/json.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>

/* What all of them show and how they are stopped. */
struct work {
    struct cli *c;
    struct cli_progress progress;
    shale_compactor_status last;
    uint64_t start_ns;
    bool told_waiting;
    bool loops; /* until somebody stops it */
};

static void work_begin(struct work *w, struct cli *c, const char *what)
{
    *w = (struct work){.c = c, .start_ns = env_now_mono_ns()};
    os_signals(OS_STOP_SAFELY);
    cli_progress_start(&w->progress, c, what, 0);
}

/* A terminal on which nothing stands could mean anything. */
static void say_idle(struct work *w)
{
    bool silent = w->loops && !w->told_waiting && w->last.running == 0 && w->last.committed == 0 &&
                  w->last.executed == 0 && os_is_terminal(CLI_STDERR);
    if (!silent || env_now_mono_ns() - w->start_ns < CLI_SILENCE_NS)
        return;
    cli_note(w->c, "waiting for compactions of %s; Ctrl-C ends it", w->c->args.positional[0]);
    w->loops = false;
}

static bool on_tick(void *ctx, const shale_compactor_status *now)
{
    struct work *w = ctx;
    w->last = *now;
    say_idle(w);
    if (os_stop_code() != 0 || os_timed_out()) {
        cli_progress_end(&w->progress);
        return true;
    }
    if (now->phase != SHALE_COMPACTOR_RUNS && !w->told_waiting) {
        w->told_waiting = true;
        cli_progress_end(&w->progress);
        cli_note(w->c, now->phase == SHALE_COMPACTOR_ASKED
                           ? "waiting for the database's own compactor; if none answers within "
                             "some seconds, this one takes over"
                           : "another compactor is at work; waiting for it");
    }
    w->progress.total = now->phase == SHALE_COMPACTOR_RUNS ? now->input_bytes : 0;
    if (now->running > 0 || w->told_waiting)
        cli_progress_tick(&w->progress, now->rows, now->bytes);
    else
        cli_progress_end(&w->progress);
    return false;
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* What was done, for people; with --json one object. */
static void say_done(struct work *w, const shale_store_counts *n)
{
    char count[OUT_UNIT_BYTES];
    struct cli *c = w->c;
    if (cli_has(&c->args, OPT_JSON)) {
        out_printf(c->out,
                   "{\"compactor_epoch\":%" PRIu64 ",\"committed\":%" PRIu64
                   ",\"executed\":%" PRIu64 ",\"put\":%" PRIu64 ",\"get\":%" PRIu64
                   ",\"list\":%" PRIu64 "}\n",
                   w->last.epoch, w->last.committed, w->last.executed, n->put, n->get, n->list);
        return;
    }
    if (w->last.executed == 0 && w->last.committed == 0) {
        if (os_stop_code() != 0)
            return; /* what became of it is not known */
        cli_note(c, w->told_waiting ? "done by another compactor"
                    : c->args.command->run == cmd_compactor_worker
                        ? "no compaction was there to be merged"
                        : "nothing was due by the settings (shale help settings)");
        return;
    }
    cli_note(c,
             "merged %s compaction%s, committed %" PRIu64 " in %.1f s, %" PRIu64 " PUT %" PRIu64
             " GET",
             out_count(count, w->last.executed), plural(w->last.executed), w->last.committed,
             (double)(env_now_mono_ns() - w->start_ns) / 1e9, n->put, n->get);
}

static int end(struct work *w, shale_code rc)
{
    struct cli *c = w->c;
    cli_progress_end(&w->progress);
    if (rc != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    if (os_timed_out() && cli_out_of_time(c))
        return cli_fail(c, c->args.positional[0]);
    return CLI_YES;
}

/* A loop is meant to be stopped: that is no failure. */
static int run_compactor(struct cli *c, const char *what, bool no_coordinator, bool no_worker)
{
    struct work w;
    shale_compactor *compactor = NULL;
    shale_compactor_options how;
    shale_store_counts n = {.struct_size = sizeof n};
    if (!cli_options(c))
        return CLI_USAGE;
    shale_compactor_options_init(&how, sizeof how);
    how.no_coordinator = no_coordinator;
    how.no_worker = no_worker;
    how.once = cli_has(&c->args, OPT_ONCE);
    how.tick = on_tick;
    how.tick_ctx = &w;
    work_begin(&w, c, what);
    w.loops = !how.once;
    shale_code rc =
        shale_compactor_open(&compactor, c->args.positional[0], c->options, &how, &c->err);
    if (rc == SHALE_OK)
        rc = shale_compactor_run(compactor, &c->err);
    shale_compactor_store_counts(compactor, &n);
    shale_compactor_close(compactor);
    c->has_written = n.put > 0;
    int code = end(&w, rc);
    if (code == CLI_YES)
        say_done(&w, &n);
    return code == os_stop_code() && !how.once ? CLI_YES : code;
}

int cmd_compactor(struct cli *c)
{
    return run_compactor(c, "compact", false, cli_has(&c->args, OPT_NO_WORKER));
}

int cmd_compactor_worker(struct cli *c)
{
    return run_compactor(c, "merge", true, false);
}

/* ---- compact */

/* What the options ask for as SlateDB's JSON; NULL: what is due. False after a message. */
static bool request_text(struct cli *c, struct shl_buf *hold, const char **out)
{
    const char *segment = c->args.value[OPT_SEGMENT];
    const char *spec = c->args.value[OPT_SPEC];
    struct shl_json_writer w;
    int asked = cli_has(&c->args, OPT_FULL) + (segment != NULL) + (spec != NULL);
    *out = NULL;
    if (asked > 1) {
        (void)cli_usage(c, NULL, "--full, --segment and --spec: which one?");
        return false;
    }
    if (asked == 0 && cli_has(&c->args, OPT_NO_WAIT)) {
        (void)cli_usage(
            c, "shale compact --help",
            "--no-wait: there is nothing to submit without --full, --segment or --spec");
        return false;
    }
    *out = spec != NULL ? spec : cli_has(&c->args, OPT_FULL) ? "\"Full\"" : NULL;
    if (segment == NULL)
        return true;
    shl_json_begin(&w, hold, &c->err);
    shl_json_object(&w);
    shl_json_key(&w, "FullSegment");
    shl_json_object(&w);
    shl_json_key(&w, "segment");
    shl_json_array(&w);
    for (size_t i = 0; segment[i] != '\0'; i++)
        shl_json_u64(&w, (uint8_t)segment[i]);
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    shl_json_object_end(&w);
    if (shl_json_finish(&w) != SHALE_OK || shl_str_terminate(hold, &c->err) != SHALE_OK) {
        (void)cli_fail(c, NULL);
        return false;
    }
    *out = (const char *)hold->data;
    return true;
}

static struct shl_slice text_member(const json_t *object, const char *name)
{
    struct shl_slice s;
    return shl_json_get_str(object, name, &s) ? s : shl_slice_str("-");
}

static uint64_t member(const json_t *object, const char *name)
{
    uint64_t n = 0;
    return shl_json_get_u64(object, name, &n) ? n : 0;
}

/* "4 L0 + 2 SR -> SR 7". */
static void sources_text(const json_t *job, char *dst, size_t cap)
{
    const json_t *spec = json_object_get(job, "spec");
    const json_t *tiered = json_object_get(spec, "Tiered");
    const json_t *body = tiered != NULL ? tiered : json_object_get(spec, "DrainSegment");
    uint64_t l0 = 0, runs = 0;
    char to[32] = "dropped";
    size_t i;
    json_t *source;
    json_array_foreach(json_object_get(body, "sources"), i, source)
    {
        l0 += json_object_get(source, "SstView") != NULL;
        runs += json_object_get(source, "SortedRun") != NULL;
    }
    if (tiered != NULL)
        (void)snprintf(to, sizeof to, "SR %" PRIu64, member(body, "destination"));
    if (l0 > 0 && runs > 0)
        (void)snprintf(dst, cap, "%" PRIu64 " L0 + %" PRIu64 " SR -> %s", l0, runs, to);
    else
        (void)snprintf(dst, cap, "%" PRIu64 " %s -> %s", l0 > 0 ? l0 : runs, l0 > 0 ? "L0" : "SR",
                       to);
}

static void job_line(struct cli *c, const json_t *job)
{
    char sources[100];
    char size[SHL_UNITS_TEXT];
    struct shl_slice id = text_member(job, "id");
    struct shl_slice status = text_member(job, "status");
    const json_t *worker = json_object_get(job, "worker");
    const json_t *parts = json_object_get(json_object_get(job, "ctx"), "subcompactions");
    sources_text(job, sources, sizeof sources);
    out_printf(c->out, "%.*s  %-9.*s  %-20s %10s written", (int)id.len, (const char *)id.data,
               (int)status.len, (const char *)status.data, sources,
               shl_format_size(member(job, "bytes_processed"), size));
    if (parts != NULL)
        out_printf(c->out, "  %zu part%s", json_array_size(parts), plural(json_array_size(parts)));
    if (json_is_object(worker)) {
        struct shl_slice name = text_member(worker, "worker_id");
        int64_t ms = env_now_wall_ms() - (int64_t)member(worker, "last_heartbeat_ms");
        out_printf(c->out, "  worker %.*s", (int)name.len, (const char *)name.data);
        if (shl_slice_eq(status, shl_slice_str("Running")))
            out_printf(c->out, ", sign of life %" PRId64 " s ago", ms > 0 ? ms / 1000 : 0);
    }
    out_char(c->out, '\n');
}

/* What compact answered: with --json as it is, then *out is NULL; else as values, which the caller releases. Frees the text. */
static int take_jobs(struct cli *c, char *text, json_t **out)
{
    shale_code rc = SHALE_OK;
    *out = NULL;
    if (cli_has(&c->args, OPT_JSON)) {
        out_text(c->out, text);
        out_char(c->out, '\n');
    } else {
        rc = shl_json_parse_unsigned(shl_slice_str(text), out, &c->err);
    }
    shale_text_free(text);
    return rc == SHALE_OK ? CLI_YES : cli_fail(c, NULL);
}

/* What a request finds nothing to do for. */
static void note_no_run(struct cli *c, const char *what)
{
    char way[600];
    cli_way(c, "shale compact {db}", way, sizeof way);
    cli_note(c, "%s: there is no sorted run yet (%s merges L0 when enough is there)", what, way);
}

/* The jobs of a request as they ended. Frees the text. */
static int print_jobs(struct cli *c, char *text)
{
    json_t *jobs;
    size_t i;
    json_t *job;
    int code = take_jobs(c, text, &jobs);
    if (jobs == NULL)
        return code;
    if (json_array_size(jobs) == 0)
        note_no_run(c, "nothing to compact");
    json_array_foreach(jobs, i, job) job_line(c, job);
    json_decref(jobs);
    return CLI_YES;
}

/* A job reads its sources and writes about as much; the rest is what it takes beside that, as in the table. */
#define JOB_PUTS 8
#define JOB_GETS 30

/* The jobs that it would begin with. Frees the text. */
static int print_plan(struct cli *c, const char *request, char *text)
{
    json_t *jobs;
    size_t i;
    json_t *job;
    shale_store_counts n = {.struct_size = sizeof n};
    int code = take_jobs(c, text, &jobs);
    if (jobs == NULL)
        return code;
    json_array_foreach(jobs, i, job)
    {
        char sources[100];
        char size[SHL_UNITS_TEXT];
        uint64_t bytes = member(job, "source_bytes");
        bool open = json_is_string(json_object_get(job, "status"));
        sources_text(job, sources, sizeof sources);
        cli_note(c, "would merge %s, %s%s", sources, shl_format_size(bytes, size),
                 open ? " (submitted already)" : "");
        n.put += JOB_PUTS + bytes / (8 << 20);
        n.get += JOB_GETS + bytes / (2 << 20);
    }
    if (json_array_size(jobs) == 0 && request != NULL)
        note_no_run(c, "would do nothing");
    else if (json_array_size(jobs) == 0)
        cli_note(c, "would do nothing: nothing is due by the settings (shale help settings)");
    else
        cli_note_price(c, &n, 0);
    json_decref(jobs);
    return CLI_YES;
}

static int plan(struct cli *c, const char *request, shale_compact_options *how)
{
    char *text = NULL;
    how->dry_run = true;
    if (shale_compact(&text, c->args.positional[0], c->options, request, how, &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    return print_plan(c, request, text);
}

int cmd_compact(struct cli *c)
{
    struct work w;
    struct shl_buf hold = {0};
    char *text = NULL;
    const char *request;
    shale_compact_options how;
    shale_store_counts n = {.struct_size = sizeof n};
    shale_code rc;
    int code = CLI_USAGE;
    if (!request_text(c, &hold, &request) || !cli_options(c))
        goto out;
    shale_compact_options_init(&how, sizeof how);
    how.no_wait = cli_has(&c->args, OPT_NO_WAIT);
    how.tick = on_tick;
    how.tick_ctx = &w;
    how.counts = &n;
    if (cli_has(&c->args, OPT_DRY_RUN)) {
        code = plan(c, request, &how);
        goto out;
    }
    work_begin(&w, c, "compact");
    rc = shale_compact(request != NULL ? &text : NULL, c->args.positional[0], c->options, request,
                       &how, &c->err);
    c->has_written = n.put > 0;
    code = end(&w, rc);
    if (code != CLI_YES)
        goto out;
    if (request == NULL)
        say_done(&w, &n);
    else
        code = print_jobs(c, text);
    if (code == CLI_YES && os_stop_code() != 0) {
        char way[600];
        cli_way(c, "shale compact {db}", way, sizeof way);
        cli_tell(
            c, "stopped: what is not done stays submitted, and any compactor goes on with it (%s)",
            way);
        code = os_stop_code();
    }
out:
    shl_buf_free(&hold);
    return code;
}

/* ---- compactions */

/* Files as they are stored, oldest first. */
static int print_versions(struct cli *c)
{
    const char *url = c->args.positional[0];
    char *text = NULL;
    uint64_t from, to;
    if (c->args.positional_count > 1)
        return cli_usage(c, NULL, "--versions: a job is looked for in the newest file");
    if (!cli_versions(c, &from, &to) || !cli_options(c))
        return CLI_USAGE;
    if (shale_admin_compactions_range(&text, url, c->options, from, to, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    out_text(c->out, text);
    out_char(c->out, '\n');
    shale_text_free(text);
    return CLI_YES;
}

/* "No" is one: nothing was ever compacted, or there is no such job. A file that is not there is a mistake, as a manifest is. */
static bool is_answer(const struct cli *c)
{
    return strncmp(c->err.text, "no compactions yet", 18) == 0 ||
           strncmp(c->err.text, "no compaction ", 14) == 0;
}

int cmd_compactions(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *job = c->args.positional_count > 1 ? c->args.positional[1] : NULL;
    uint64_t id = cli_number(&c->args, OPT_ID, 0);
    char *text = NULL;
    json_t *value = NULL;
    const char *key;
    json_t *one;
    if (cli_has(&c->args, OPT_VERSIONS))
        return print_versions(c);
    if (cli_has(&c->args, OPT_ID) && (id == 0 || job != NULL))
        return cli_usage(c, NULL,
                         job != NULL ? "--id: a job is looked for in the newest file"
                                     : "--id 0: compactions files are counted from 1");
    if (!cli_options(c))
        return CLI_USAGE;
    shale_code rc = job != NULL ? shale_admin_compaction(&text, url, c->options, job, &c->err)
                                : shale_admin_compactions(&text, url, c->options, id, &c->err);
    if (rc == SHALE_NOT_FOUND && is_answer(c)) {
        if (cli_has(&c->args, OPT_JSON))
            (void)cli_fail(c, url);
        else if (cli_to_terminal(c))
            cli_note(c, "%s", c->err.text);
        return CLI_NO;
    }
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    if (cli_has(&c->args, OPT_JSON)) {
        out_text(c->out, text);
        out_char(c->out, '\n');
        shale_text_free(text);
        return CLI_YES;
    }
    rc = shl_json_parse_unsigned(shl_slice_str(text), &value, &c->err);
    shale_text_free(text);
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    if (job != NULL)
        job_line(c, value);
    else
        json_object_foreach(json_object_get(value, "recent_compactions"), key, one)
            job_line(c, one);
    json_decref(value);
    return CLI_YES;
}
