#include "base/codec/settings_file.h"

#include "base/codec/json.h"
#include "base/codec/toml.h"
#include "base/codec/yaml.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>

bool shl_settings_format_of(const char *path, enum shl_settings_format *out)
{
    static const struct {
        const char *extension;
        enum shl_settings_format format;
    } known[] = {{".json", SHL_SETTINGS_JSON},
                 {".toml", SHL_SETTINGS_TOML},
                 {".yaml", SHL_SETTINGS_YAML},
                 {".yml", SHL_SETTINGS_YAML}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < SHL_COUNT_OF(known); i++) {
        if (strcmp(dot, known[i].extension) == 0) {
            *out = known[i].format;
            return true;
        }
    }
    return false;
}

static shale_code json_scalar(struct shl_setting_sink *s, const json_t *v, shale_error *err)
{
    char text[SHL_F64_TEXT];
    switch (json_typeof(v)) {
    case JSON_STRING:
        return shl_setting_sink_value(s, shl_slice_of(json_string_value(v), json_string_length(v)),
                                      SHL_SETTING_STRING, 0, err);
    case JSON_INTEGER:
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return shl_setting_sink_value(s, shl_slice_str(text), SHL_SETTING_INTEGER, 0, err);
    case JSON_REAL:
        return shl_setting_sink_value(s, shl_slice_str(shl_f64_text(json_real_value(v), text)),
                                      SHL_SETTING_FLOAT, 0, err);
    case JSON_TRUE:
        return shl_setting_sink_value(s, shl_slice_str("true"), SHL_SETTING_BOOL, 0, err);
    case JSON_FALSE:
        return shl_setting_sink_value(s, shl_slice_str("false"), SHL_SETTING_BOOL, 0, err);
    case JSON_NULL:
        return shl_setting_sink_value(s, shl_slice_str("none"), SHL_SETTING_NULL, 0, err);
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return shl_fail(err, SHALE_INVALID, "%s: only arrays of scalars are supported",
                    (const char *)s->name.data);
}

static shale_code json_items(struct shl_setting_sink *s, const json_t *array, shale_error *err)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        size_t mark;
        shale_code rc = shl_setting_sink_push_index(s, i, &mark, err);
        if (rc == SHALE_OK)
            rc = shl_str_terminate(&s->name, err);
        if (rc == SHALE_OK)
            rc = json_scalar(s, json_array_get(array, i), err);
        if (rc != SHALE_OK)
            return rc;
        shl_setting_sink_pop(s, mark);
    }
    return SHALE_OK;
}

/* Recursion is bounded by `depth`. */
static shale_code json_members(struct shl_setting_sink *s, json_t *object, unsigned depth,
                               shale_error *err)
{
    if (depth >= SHL_SETTING_DEPTH_MAX)
        return shl_fail(err, SHALE_INVALID, "nested too deep");
    const char *key;
    json_t *v;
    json_object_foreach(object, key, v)
    {
        size_t mark;
        shale_code rc = shl_setting_sink_push(s, shl_slice_str(key), &mark, err);
        if (rc == SHALE_OK && (json_is_object(v) || json_is_array(v)))
            rc = shl_setting_sink_table(s, 0, err);
        if (rc == SHALE_OK)
            rc = json_is_object(v)  ? json_members(s, v, depth + 1, err)
                 : json_is_array(v) ? json_items(s, v, err)
                                    : json_scalar(s, v, err);
        if (rc != SHALE_OK)
            return rc;
        shl_setting_sink_pop(s, mark);
    }
    return SHALE_OK;
}

static shale_code json_read(struct shl_slice text, shl_setting_fn fn, void *ctx, shale_error *err)
{
    json_t *root;
    shale_code rc = shl_json_parse_unsigned(text, &root, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_setting_sink sink;
    shl_setting_sink_init(&sink, fn, ctx);
    if (json_is_object(root))
        rc = json_members(&sink, root, 0, err);
    else
        rc = shl_fail(err, SHALE_INVALID, "JSON: want an object of settings");
    shl_setting_sink_deinit(&sink);
    json_decref(root);
    return rc;
}

shale_code shl_settings_read(enum shl_settings_format format, struct shl_slice text,
                             shl_setting_fn fn, void *ctx, shale_error *err)
{
    switch (format) {
    case SHL_SETTINGS_JSON:
        return json_read(text, fn, ctx, err);
    case SHL_SETTINGS_TOML:
        return shl_toml_read(text, fn, ctx, err);
    case SHL_SETTINGS_YAML:
        return shl_yaml_read(text, fn, ctx, err);
    }
    return shl_fail(err, SHALE_INTERNAL, "settings format %d", (int)format);
}
