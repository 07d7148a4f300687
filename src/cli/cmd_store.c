/* store ls, cat, cp, rm, stat: raw objects. */
#include "base/env/env.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* An object's URL apart: the folder above it, opened, and its name there. */
struct object_at {
    shale_store *store; /* owned */
    const char *key;    /* into the URL */
};

static void time_text(char text[32], int64_t unix_ms)
{
    struct tm parts;
    time_t seconds = (time_t)(unix_ms / 1000);
    if (unix_ms <= 0 || gmtime_r(&seconds, &parts) == NULL)
        (void)snprintf(text, 32, "-");
    else
        (void)strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static bool options_ready(struct cli *c)
{
    return c->options != NULL || cli_options(c);
}

/* 0, or an exit code after a message. */
static int open_at(struct cli *c, const char *url, struct object_at *out)
{
    const char *slash = strrchr(url, '/');
    if (slash == NULL || slash[1] == '\0')
        return cli_usage(c, "shale store ls URL",
                         "%s: an object's URL ends with its name, e.g. ./db/wal/1.sst", url);
    size_t len = (size_t)(slash - url);
    char *folder = shl_slice_dup_cstr(len == 0 ? shl_slice_str("/") : shl_slice_of(url, len));
    if (folder == NULL)
        return cli_trouble(c, "out of memory");
    shale_code rc = shale_store_open(&out->store, folder, c->options, &c->err);
    env_free(folder);
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    out->key = slash + 1;
    return CLI_YES;
}

/* NOT_FOUND is an answer (1), all else a failure. */
static int answer(struct cli *c, shale_code rc, const char *url)
{
    if (rc != SHALE_NOT_FOUND)
        return cli_fail(c, url);
    if (os_is_terminal(CLI_STDERR))
        cli_note(c, "shale %s: no such object: %s", c->args.command->name, url);
    return CLI_NO;
}

static bool list_object(void *ctx, const shale_object *object)
{
    struct cli *c = ctx;
    char when[32];
    time_text(when, object->modified_ms);
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "key", shl_slice_str(object->key));
        out_printf(c->out,
                   ",\"size_bytes\":%" PRIu64 ",\"modified_unix_ms\":%" PRId64
                   ",\"modified\":\"%s\"}\n",
                   object->size, object->modified_ms, when);
    } else {
        out_printf(c->out, "%12" PRIu64 "  %s  ", object->size, when);
        out_escaped(c->out, shl_slice_str(object->key), 0);
        out_char(c->out, '\n');
    }
    return c->out->failed == 0;
}

int cmd_store_ls(struct cli *c)
{
    const char *url = c->args.positional[0];
    shale_store *store = NULL;
    if (!options_ready(c))
        return CLI_USAGE;
    if (shale_store_open(&store, url, c->options, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    int code = CLI_YES;
    if (shale_store_list(store, NULL, list_object, c, &c->err) != SHALE_OK)
        code = cli_fail(c, url);
    shale_store_close(store);
    return code;
}

int cmd_store_mb(struct cli *c)
{
    const char *url = c->args.positional[0];
    if (!options_ready(c))
        return CLI_USAGE;
    shale_code rc = shale_store_make_bucket(url, c->options, &c->err);
    if (rc == SHALE_ALREADY_EXISTS) {
        if (os_is_terminal(CLI_STDERR))
            cli_note(c, "shale store mb: %s", c->err.text);
        return CLI_NO;
    }
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    if (os_is_terminal(CLI_STDERR))
        cli_note(c, "made %s", url);
    return CLI_YES;
}

int cmd_store_cat(struct cli *c)
{
    const char *url = c->args.positional[0];
    struct object_at at = {0};
    void *body = NULL;
    size_t len = 0;
    int code = CLI_USAGE;
    if (!options_ready(c) || (code = open_at(c, url, &at)) != CLI_YES)
        return code;
    shale_code rc = shale_store_get(at.store, at.key, &body, &len, &c->err);
    if (rc == SHALE_OK)
        out_bytes(c->out, body, len);
    else
        code = answer(c, rc, url);
    shale_store_body_free(body);
    shale_store_close(at.store);
    return code;
}

int cmd_store_cp(struct cli *c)
{
    const char *from_url = c->args.positional[0];
    const char *to_url = c->args.positional[1];
    struct object_at from = {0};
    struct object_at to = {0};
    void *body = NULL;
    size_t len = 0;
    int code = CLI_USAGE;
    shale_code rc;
    if (!options_ready(c) || (code = open_at(c, from_url, &from)) != CLI_YES ||
        (code = open_at(c, to_url, &to)) != CLI_YES)
        goto out;
    rc = shale_store_get(from.store, from.key, &body, &len, &c->err);
    if (rc != SHALE_OK)
        code = answer(c, rc, from_url);
    else if (cli_has(&c->args, OPT_DRY_RUN))
        cli_note(c, "would copy %zu bytes to %s (1 GET, 1 PUT)", len, to_url);
    else if (shale_store_put(to.store, to.key, shale_bytes(body, len), false, &c->err) != SHALE_OK)
        code = cli_fail(c, to_url);
    else if (os_is_terminal(CLI_STDERR))
        cli_note(c, "copied %zu bytes to %s", len, to_url);
out:
    shale_store_body_free(body);
    shale_store_close(from.store);
    shale_store_close(to.store);
    return code;
}

/* Says what goes; asks. 0 to go on, else the exit code (CLI_NO for a "no"). */
static int confirm(struct cli *c)
{
    char reply[16];
    for (size_t i = 0; i < c->args.positional_count; i++)
        cli_note(c, "%s %s", cli_has(&c->args, OPT_DRY_RUN) ? "would delete" : "delete",
                 c->args.positional[i]);
    if (cli_has(&c->args, OPT_YES) || cli_has(&c->args, OPT_DRY_RUN))
        return CLI_YES;
    if (!os_is_terminal(CLI_STDIN) || !os_is_terminal(CLI_STDERR))
        return cli_usage(c, "shale store rm --yes URL", "deleting is for good: say --yes");
    (void)os_write(CLI_STDERR, "for good? [y/N] ", 16);
    return os_read_line(reply, sizeof reply) && (reply[0] == 'y' || reply[0] == 'Y') ? CLI_YES
                                                                                     : CLI_NO;
}

int cmd_store_rm(struct cli *c)
{
    if (!options_ready(c))
        return CLI_USAGE;
    int code = confirm(c);
    for (size_t i = 0;
         i < c->args.positional_count && code == CLI_YES && !cli_has(&c->args, OPT_DRY_RUN); i++) {
        struct object_at at = {0};
        code = open_at(c, c->args.positional[i], &at);
        if (code == CLI_YES && shale_store_delete(at.store, at.key, &c->err) != SHALE_OK)
            code = cli_fail(c, c->args.positional[i]);
        shale_store_close(at.store);
    }
    return code;
}

int cmd_store_stat(struct cli *c)
{
    const char *url = c->args.positional[0];
    struct object_at at = {0};
    shale_object object = {0};
    char when[32];
    char size[SHL_UNITS_TEXT];
    int code = CLI_USAGE;
    if (!options_ready(c) || (code = open_at(c, url, &at)) != CLI_YES)
        return code;
    shale_code rc = shale_store_head(at.store, at.key, &object, &c->err);
    time_text(when, object.modified_ms);
    if (rc != SHALE_OK) {
        code = answer(c, rc, url);
    } else if (cli_has(&c->args, OPT_JSON)) {
        out_text(c->out, "{");
        out_json_member(c->out, "url", shl_slice_str(url));
        out_printf(c->out,
                   ",\"size_bytes\":%" PRIu64 ",\"modified_unix_ms\":%" PRId64
                   ",\"modified\":\"%s\",",
                   object.size, object.modified_ms, when);
        out_json_member(c->out, "etag", shl_slice_str(object.etag));
        out_text(c->out, "}\n");
    } else {
        out_printf(c->out, "size      %" PRIu64 " bytes (%s)\nmodified  %s\netag      %s\n",
                   object.size, shl_format_size(object.size, size), when,
                   object.etag[0] != '\0' ? object.etag : "-");
    }
    shale_store_close(at.store);
    return code;
}
