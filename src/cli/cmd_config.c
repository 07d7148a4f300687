/* config show, config path: what is in force, and who said so. */
#include "base/env/env.h"
#include "base/num.h"
#include "cli/cmd.h"

#include <stdio.h>

/* One pass over the options: first to see how wide the columns are, then to print. */
struct table {
    struct cli *c;
    bool changed_only;
    bool measuring;
    bool first; /* no JSON member was written yet */
    size_t name_width;
    size_t value_width;
    size_t origin_width;
    size_t rows;
};

#define WIDTH_MAX 40

static size_t wider(size_t have, const char *text)
{
    return shl_max_size(have, shl_min_size(strlen(text), WIDTH_MAX));
}

static void json_option(struct table *t, const shale_option_info *info)
{
    struct out *o = t->c->out;
    out_text(o, t->first ? "\n{" : ",\n{");
    t->first = false;
    out_json_member(o, "name", shl_slice_str(info->name));
    out_char(o, ',');
    out_json_member(o, "value", shl_slice_str(info->value));
    out_char(o, ',');
    out_json_member(o, "from", shl_slice_str(info->origin));
    out_char(o, ',');
    out_json_member(o, "default", shl_slice_str(info->default_value));
    if (info->beaten_value != NULL) {
        out_text(o, ",\"instead_of\":{");
        out_json_member(o, "value", shl_slice_str(info->beaten_value));
        out_char(o, ',');
        out_json_member(o, "from", shl_slice_str(info->beaten_origin));
        out_char(o, '}');
    }
    out_char(o, '}');
}

static bool on_option(void *ctx, const shale_option_info *info)
{
    struct table *t = ctx;
    struct out *o = t->c->out;
    if (t->changed_only && strcmp(info->origin, "default") == 0)
        return true;
    if (t->measuring) {
        t->name_width = wider(t->name_width, info->name);
        t->value_width = wider(t->value_width, info->value);
        t->origin_width = wider(t->origin_width, info->origin);
        t->rows++;
        return true;
    }
    if (cli_has(&t->c->args, OPT_JSON)) {
        json_option(t, info);
        return true;
    }
    out_printf(o, "%-*s  %-*s  ", (int)t->name_width, info->name, (int)t->value_width, info->value);
    if (info->beaten_value != NULL)
        out_printf(o, "%-*s  %s  %s\n", (int)t->origin_width, info->origin, info->beaten_value,
                   info->beaten_origin);
    else
        out_printf(o, "%s\n", info->origin);
    return o->failed == 0;
}

/* Both lists with the same columns. */
static shale_code each(struct table *t, const char *url)
{
    shale_options_each(t->c->options, on_option, t);
    return shale_options_each_store(t->c->options, url, on_option, t, &t->c->err);
}

static int show_json(struct table *t, const char *url)
{
    struct out *o = t->c->out;
    t->first = true;
    out_text(o, "{\"settings\":[");
    shale_options_each(t->c->options, on_option, t);
    out_text(o, "],\n\"store_options\":[");
    t->first = true;
    if (shale_options_each_store(t->c->options, url, on_option, t, &t->c->err) != SHALE_OK)
        return cli_fail(t->c, url);
    out_text(o, "]}\n");
    return CLI_YES;
}

int cmd_config_show(struct cli *c)
{
    const char *url = c->args.positional_count > 0 ? c->args.positional[0] : NULL;
    int code = CLI_YES;
    struct table t = {.c = c,
                      .changed_only = cli_has(&c->args, OPT_CHANGED),
                      .measuring = true,
                      .name_width = strlen("setting"),
                      .value_width = strlen("value"),
                      .origin_width = strlen("from")};
    c->shows_settings = true;
    if (!cli_options(c))
        return CLI_USAGE;
    if (c->broken[0] != '\0')
        code =
            cli_usage(c, "shale config path", "%s; the rest of that file is left out", c->broken);
    if (each(&t, url) != SHALE_OK)
        return cli_fail(c, url);
    t.measuring = false;
    if (cli_has(&c->args, OPT_JSON)) {
        int shown = show_json(&t, url);
        return shown != CLI_YES ? shown : code;
    }
    if (t.rows == 0) {
        cli_note(c, "everything is as by default; all of it: shale config show");
        return code;
    }
    out_printf(c->out, "%-*s  %-*s  %-*s  instead of\n", (int)t.name_width, "setting",
               (int)t.value_width, "value", (int)t.origin_width, "from");
    if (each(&t, url) != SHALE_OK)
        return cli_fail(c, url);
    return code;
}

static const char *state_of(const char *path)
{
    struct env_stat st;
    return env_stat(path, &st) == 0 && st.is_file ? "read" : "not there";
}

int cmd_config_path(struct cli *c)
{
    bool json = cli_has(&c->args, OPT_JSON);
    char path[1024];
    bool asked;
    out_text(c->out, json ? "[" : "");
    for (size_t i = 0; cli_settings_file(c, i, path, sizeof path, &asked); i++) {
        const char *state = state_of(path);
        if (!json) {
            out_printf(c->out, "%-9s  %s\n", state, path);
            continue;
        }
        out_text(c->out, i > 0 ? ",{" : "{");
        out_json_member(c->out, "path", shl_slice_str(path));
        out_printf(c->out, ",\"exists\":%s}", state[0] == 'r' ? "true" : "false");
    }
    out_text(c->out, json ? "]\n" : "");
    return CLI_YES;
}
