/* Settings as one JSON text, in SlateDB's shape, and all the places where SlateDB looks for them. */
#include "api/api.h"
#include "api/options.h"
#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"

#include <shale/metrics.h>

#include <ctype.h>

/* The names are dotted, so a group is an object. `open` is the path of the one that is being written. */
struct walk {
    struct shl_json_writer w;
    struct shl_slice open;
    struct shl_slice null; /* a group that is null: its settings are left out */
    struct shl_buf text;   /* owned: of a value */
};

/* What stands before the last dot; empty without one. */
static struct shl_slice group_of(struct shl_slice name)
{
    size_t n = name.len;
    while (n > 0 && name.data[n - 1] != '.')
        n--;
    return shl_slice_of(name.data, n > 0 ? n - 1 : 0);
}

static struct shl_slice behind_dot(struct shl_slice name, size_t from)
{
    size_t at = from > 0 ? from + 1 : 0;
    return shl_slice_of(name.data + at, name.len - at);
}

static bool is_inside(struct shl_slice name, struct shl_slice group)
{
    return group.len == 0 || (name.len > group.len && name.data[group.len] == '.' &&
                              memcmp(name.data, group.data, group.len) == 0);
}

/* Ends objects and begins others until that of `name` is open. */
static void enter(struct walk *k, struct shl_slice name)
{
    struct shl_slice group = group_of(name);
    while (!is_inside(name, k->open)) {
        shl_json_object_end(&k->w);
        k->open = group_of(k->open);
    }
    while (k->open.len < group.len) {
        struct shl_slice rest = behind_dot(group, k->open.len);
        const uint8_t *dot = memchr(rest.data, '.', rest.len);
        size_t len = dot != NULL ? (size_t)(dot - rest.data) : rest.len;
        shl_json_key_slice(&k->w, shl_slice_of(rest.data, len));
        shl_json_object(&k->w);
        k->open = shl_slice_of(group.data, (size_t)(rest.data - group.data) + len);
    }
}

static bool is_codec(const struct shl_opt *opt)
{
    struct shl_slice name = shl_slice_str(opt->name);
    struct shl_slice last = behind_dot(name, group_of(name).len);
    return shl_slice_eq(last, shl_slice_str("compression_codec"));
}

static void write_size(struct walk *k, struct shl_slice text)
{
    uint64_t bytes;
    shale_error ignored;
    if (shl_parse_size(text, &bytes, &ignored) == SHALE_OK)
        shl_json_u64(&k->w, bytes);
    else
        shl_json_slice(&k->w, text);
}

/* A word of SlateDB begins with a capital; what the scheduler is given is text, numbers too. */
static void write_value(struct walk *k, const struct shl_opt *opt)
{
    struct shl_slice text = shl_buf_view(&k->text);
    bool is_none = shl_slice_eq(text, shl_slice_str("none"));
    if (is_none && opt->nullable) {
        shl_json_null(&k->w);
        return;
    }
    switch (opt->type) {
    case SHL_OPT_SIZE:
    case SHL_OPT_SIZE32:
        write_size(k, text);
        return;
    case SHL_OPT_BOOL:
    case SHL_OPT_U32:
    case SHL_OPT_U64:
    case SHL_OPT_I64:
    case SHL_OPT_F64:
        if (strstr(opt->name, ".scheduler_options.") == NULL) {
            shl_json_raw(&k->w, text);
            return;
        }
        break;
    case SHL_OPT_ENUM:
        if (is_codec(opt) && text.len > 0)
            k->text.data[0] = (uint8_t)toupper(k->text.data[0]);
        break;
    case SHL_OPT_DURATION:
    case SHL_OPT_STRING:
    case SHL_OPT_TABLE:
        break;
    }
    shl_json_slice(&k->w, text);
}

/* Of a worker: where nothing was set, the writer's holds. SlateDB wants both. */
static const struct shl_opt *in_force(const shale_options *o, const struct shl_opt *opt)
{
    static const char *const names[][2] = {
        {"compactor_options.worker.min_filter_keys", "min_filter_keys"},
        {"compactor_options.worker.compression_codec", "compression_codec"}};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++)
        if (strcmp(opt->name, names[i][0]) == 0 && shl_api_is_default(o, opt->name))
            return &shl_api_table.opts[shl_api_option_index(names[i][1])];
    return opt;
}

static shale_code write_setting(struct walk *k, const shale_options *o, const struct shl_opt *opt,
                                shale_error *err)
{
    struct shl_slice name = shl_slice_str(opt->name);
    if (k->null.len > 0 && is_inside(name, k->null))
        return SHALE_OK;
    k->text.len = 0;
    shale_code rc = shl_opt_format(in_force(o, opt), &o->settings, &k->text, err);
    if (rc != SHALE_OK)
        return rc;
    if (opt->type == SHL_OPT_TABLE) {
        if (!shl_slice_eq(shl_buf_view(&k->text), shl_slice_str("none")))
            return SHALE_OK; /* its settings make it */
        k->null = name;
    }
    enter(k, name);
    shl_json_key_slice(&k->w, behind_dot(name, k->open.len));
    write_value(k, opt);
    return SHALE_OK;
}

shale_code shale_options_to_json(char **out_json, const shale_options *o, shale_error *err)
{
    SHL_API_ERR(err);
    struct shl_buf text = {0};
    struct walk k = {.open = {0}};
    shale_code rc = SHALE_OK;
    if (out_json == NULL || o == NULL)
        return shl_fail(err, SHALE_INVALID, "settings: the %s is NULL",
                        o == NULL ? "options object" : "place for the text");
    shl_json_begin(&k.w, &text, err);
    shl_json_object(&k.w);
    for (size_t i = 0; i < shl_api_table.count && rc == SHALE_OK; i++)
        rc = write_setting(&k, o, &shl_api_table.opts[i], err);
    if (rc != SHALE_OK)
        goto out;
    for (; k.open.len > 0; k.open = group_of(k.open))
        shl_json_object_end(&k.w);
    shl_json_object_end(&k.w);
    rc = shl_api_text_out(&k.w, &text, out_json, err);
out:
    shl_buf_free(&k.text);
    shl_buf_free(&text);
    return rc;
}

/* ---- where SlateDB looks */

shale_code shale_options_load(shale_options *o, shale_error *err)
{
    static const char *const files[] = {"SlateDb.json", "SlateDb.toml", "SlateDb.yaml",
                                        "SlateDb.yml"};
    SHL_API_ERR(err);
    struct env_stat st;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < SHL_COUNT_OF(files) && rc == SHALE_OK; i++)
        if (env_stat(files[i], &st) == 0)
            rc = shale_options_load_file(o, files[i], err);
    return rc == SHALE_OK ? shale_options_load_env(o, err) : rc;
}
