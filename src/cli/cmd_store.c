/* store ls, mb, cat, cp, stat: raw objects. */
#include "base/num.h"
#include "base/units.h"
#include "cli/object.h"
#include "cli/os.h"
#include "cli/price.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

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

struct listing {
    struct cli *c;
    uint64_t count;
    bool buckets; /* they have no size */
};

static bool list_object(void *ctx, const shale_object *object)
{
    struct listing *l = ctx;
    struct out *o = l->c->out;
    char when[32];
    time_text(when, object->modified_ms);
    l->count++;
    if (cli_has(&l->c->args, OPT_JSON)) {
        out_char(o, '{');
        out_json_member(o, "key", shl_slice_str(object->key));
        if (!l->buckets)
            out_printf(o, ",\"size_bytes\":%" PRIu64, object->size);
        out_printf(o, ",\"modified_unix_ms\":%" PRId64 ",\"modified\":\"%s\"}\n",
                   object->modified_ms, when);
    } else {
        if (l->buckets)
            out_printf(o, "%12s  %s  ", "-", when);
        else
            out_printf(o, "%12" PRIu64 "  %s  ", object->size, when);
        out_escaped(o, shl_slice_str(object->key), 0);
        out_char(o, '\n');
    }
    return o->failed == 0;
}

int cmd_store_ls(struct cli *c)
{
    const char *url = c->args.positional[0];
    shale_store *store = NULL;
    if (!options_ready(c))
        return CLI_USAGE;
    if (shale_store_open(&store, url, c->options, &c->err) != SHALE_OK)
        return cli_fail(c, url);
    struct listing l = {.c = c, .buckets = object_is_service(url)};
    int code = CLI_YES;
    if (shale_store_list(store, NULL, list_object, &l, &c->err) != SHALE_OK)
        code = cli_fail(c, url);
    else if (l.count == 0)
        cli_note(c, "note: no objects below %s", url);
    shale_store_close(store);
    return code;
}

/* A script that goes on needs the word too, so it is said in pipes as well. */
static int there_already(struct cli *c, const char *url)
{
    bool others = strstr(c->err.text, "BucketAlreadyExists") != NULL;
    (void)snprintf(c->err.text, sizeof c->err.text, "it is there already%s: %.300s",
                   others ? ", maybe as somebody else's" : "", url);
    if (cli_has(&c->args, OPT_JSON))
        (void)cli_fail(c, url);
    else
        cli_note(c, "shale store mb: %s", c->err.text);
    return CLI_NO;
}

/* Amazon's rules for new buckets. Others may have older ones under odd names, so only making one is held to them. */
static bool is_good_name(const char *name, size_t len)
{
    static const char ends[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < len; i++) {
        bool inner = (name[i] == '-' || name[i] == '.') && i > 0 && i + 1 < len;
        if (strchr(ends, name[i]) == NULL && !inner)
            return false;
        if (name[i] == '.' && (name[i - 1] == '.' || name[i + 1] == '.'))
            return false;
    }
    return len >= 3 && len <= 63;
}

int cmd_store_mb(struct cli *c)
{
    const char *url = c->args.positional[0];
    const char *name = strncmp(url, "s3://", 5) == 0 ? url + 5 : "";
    size_t len = strcspn(name, "/");
    if (len > 0 && !is_good_name(name, len))
        return cli_usage(c, "shale store mb s3://my-bucket",
                         "\"%.*s\" is no name for a bucket: 3 to 63 small letters, digits, '-' and "
                         "'.', with a letter or digit at both ends",
                         (int)shl_min_size(len, 80), name);
    if (!options_ready(c))
        return CLI_USAGE;
    shale_code rc = shale_store_make_bucket(url, c->options, &c->err);
    if (rc == SHALE_ALREADY_EXISTS)
        return there_already(c, url);
    if (rc != SHALE_OK)
        return cli_fail(c, url);
    if (cli_has(&c->args, OPT_JSON)) {
        out_char(c->out, '{');
        out_json_member(c->out, "made", shl_slice_str(url));
        out_text(c->out, "}\n");
    } else if (os_is_terminal(CLI_STDERR)) {
        cli_note(c, "made %s", url);
    }
    return CLI_YES;
}

int cmd_store_cat(struct cli *c)
{
    const char *url = c->args.positional[0];
    struct object_at at = {0};
    void *body = NULL;
    size_t len = 0;
    int code = CLI_USAGE;
    if (!options_ready(c))
        return code;
    code = object_open(c, url, &at);
    if (code != CLI_YES) {
        object_close(&at);
        return code;
    }
    shale_code rc = shale_store_get(at.store, object_key(&at), &body, &len, &c->err);
    if (rc == SHALE_OK)
        out_bytes(c->out, body, len);
    else
        code = object_answer(c, rc, url, false);
    shale_store_body_free(body);
    object_close(&at);
    return code;
}

static void tell_copied(struct cli *c, const struct object_at *from, const struct object_at *to,
                        const char *what, uint64_t bytes)
{
    const char *to_url = c->args.positional[1];
    shale_store_counts n = {.struct_size = sizeof n};
    if (!cli_has(&c->args, OPT_JSON)) {
        if (os_is_terminal(CLI_STDERR))
            cli_note(c, "copied %" PRIu64 " byte%s to %s", bytes, bytes == 1 ? "" : "s", to_url);
        return;
    }
    shale_store_counts_get(from->store, &n);
    cli_add_requests(&c->asked, &n);
    shale_store_counts_get(to->store, &n);
    cli_add_requests(&c->asked, &n);
    out_char(c->out, '{');
    out_json_member(c->out, what, shl_slice_str(to_url));
    out_printf(c->out, ",\"size_bytes\":%" PRIu64 ",", bytes);
    cli_json_requests(c->out, &c->asked);
    out_text(c->out, "}\n");
}

/* With -n: only whether it is there, and how large. */
static int would_copy(struct cli *c, const struct object_at *from, const struct object_at *to)
{
    shale_object object = {0};
    shale_code rc = shale_store_head(from->store, object_key(from), &object, &c->err);
    if (rc != SHALE_OK)
        return object_answer(c, rc, c->args.positional[0], true);
    cli_note(c, "would copy %" PRIu64 " byte%s to %s (1 GET, 1 PUT)", object.size,
             object.size == 1 ? "" : "s", c->args.positional[1]);
    if (cli_has(&c->args, OPT_JSON))
        tell_copied(c, from, to, "would_copy", object.size);
    return CLI_YES;
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
    if (!options_ready(c) || (code = object_open(c, from_url, &from)) != CLI_YES ||
        (code = object_open(c, to_url, &to)) != CLI_YES)
        goto out;
    if (cli_has(&c->args, OPT_DRY_RUN)) {
        code = would_copy(c, &from, &to);
        goto out;
    }
    rc = shale_store_get(from.store, object_key(&from), &body, &len, &c->err);
    if (rc != SHALE_OK)
        code = object_answer(c, rc, from_url, true);
    else if (shale_store_put(to.store, object_key(&to), shale_bytes(body, len), false, &c->err) !=
             SHALE_OK)
        code = cli_fail(c, to_url);
    else
        tell_copied(c, &from, &to, "copied", len);
out:
    shale_store_body_free(body);
    object_close(&from);
    object_close(&to);
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
    if (!options_ready(c))
        return code;
    code = object_open(c, url, &at);
    if (code != CLI_YES) {
        object_close(&at);
        return code;
    }
    shale_code rc = shale_store_head(at.store, object_key(&at), &object, &c->err);
    time_text(when, object.modified_ms);
    if (rc != SHALE_OK) {
        code = object_answer(c, rc, url, false);
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
        out_printf(c->out, "size      %" PRIu64 " byte%s (%s)\nmodified  %s\netag      %s\n",
                   object.size, object.size == 1 ? "" : "s", shl_format_size(object.size, size),
                   when, object.etag[0] != '\0' ? object.etag : "-");
    }
    object_close(&at);
    return code;
}
