/* when, and --as-of: sequence numbers, times, and the checkpoint of a moment. */
#include "base/codec/timefmt.h"
#include "base/env/env.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>

/* "seq:9" into *seq (above 0), anything else as a time into *unix_s. False after a message. */
static bool moment_of(struct cli *c, const char *text, uint64_t *seq, int64_t *unix_s)
{
    int64_t now_s = env_now_wall_ms() / 1000, ns;
    uint64_t ago_ns;
    shale_error ignored;
    *seq = 0;
    if (strncmp(text, "seq:", 4) == 0 && shl_parse_u64(shl_slice_str(text + 4), seq) && *seq > 0)
        return true;
    if (strncmp(text, "seq:", 4) != 0 && shl_parse_i64(shl_slice_str(text), unix_s) && *unix_s >= 0)
        return true;
    if (shl_time_parse_rfc3339(shl_slice_str(text), &ns)) {
        *unix_s = ns / (int64_t)ENV_NS_PER_SEC;
        return true;
    }
    if (text[0] == '-' &&
        shl_parse_duration(shl_slice_str(text + 1), false, &ago_ns, &ignored) == SHALE_OK) {
        *unix_s = now_s - (int64_t)(ago_ns / ENV_NS_PER_SEC);
        return true;
    }
    (void)cli_usage(
        c, NULL, "\"%.60s\" is no moment: write seq:N, 2026-11-20T10:00:00Z, Unix seconds, or -2h",
        text);
    return false;
}

static int answer(struct cli *c, shale_code rc, uint64_t seq, int64_t unix_s, bool by_time)
{
    char when[SHL_TIME_TEXT];
    if (rc == SHALE_NOT_FOUND && strncmp(c->err.text, "nothing is on record", 20) == 0) {
        if (os_is_terminal(CLI_STDERR) || cli_has(&c->args, OPT_JSON))
            (void)cli_fail(c, c->args.positional[0]);
        return CLI_NO; /* an answer: a pipe gets no word */
    }
    if (rc != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    shl_time_rfc3339(unix_s * 1000, when);
    if (cli_has(&c->args, OPT_JSON) && by_time)
        out_printf(c->out, "{\"seq\":%" PRIu64 "}\n", seq);
    else if (cli_has(&c->args, OPT_JSON))
        out_printf(c->out, "{\"time\":\"%s\",\"unix_s\":%" PRId64 "}\n", when, unix_s);
    else if (by_time)
        out_printf(c->out, "%" PRIu64 "\n", seq);
    else
        out_printf(c->out, "%s\n", when);
    return CLI_YES;
}

int cmd_when(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *round = c->args.value[OPT_ROUND];
    bool up = round != NULL && strcmp(round, "up") == 0;
    uint64_t seq;
    int64_t unix_s = 0;
    if (!moment_of(c, c->args.positional[1], &seq, &unix_s) || !cli_options(c))
        return CLI_USAGE;
    bool by_time = seq == 0;
    shale_code rc = by_time ? shale_admin_time_to_seq(&seq, url, c->options, unix_s, up, &c->err)
                            : shale_admin_seq_to_time(&unix_s, url, c->options, seq, up, &c->err);
    return answer(c, rc, seq, unix_s, by_time);
}

int cli_checkpoint_as_of(struct cli *c, shale_checkpoint_found *out)
{
    char when[SHL_TIME_TEXT];
    uint64_t seq;
    int64_t unix_s = 0;
    if (!moment_of(c, c->args.value[OPT_AS_OF], &seq, &unix_s))
        return CLI_USAGE;
    if (shale_admin_checkpoint_as_of(out, c->args.positional[0], c->options, seq, unix_s,
                                     &c->err) != SHALE_OK)
        return cli_fail(c, c->args.positional[0]);
    shl_time_rfc3339(out->made_unix_s * 1000, when);
    if (out->seq != 0)
        cli_note(c, "note: as of checkpoint %s, made %s at seq %" PRIu64, out->id, when, out->seq);
    else
        cli_note(c, "note: as of checkpoint %s, made %s", out->id, when);
    return CLI_YES;
}
