#include "base/optable.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include <inttypes.h>
#include <stdio.h>

#define SHOWN_MAX 64 /* bytes of a bad name or value that an error repeats */

#define SHOWN(s) (int)shl_min_size((s).len, SHOWN_MAX), (const char *)(s).data

_Static_assert(sizeof(enum shl_opt_type) == sizeof(unsigned), "enum fields are read as unsigned");

/* A value of any numeric type, or a string. */
struct opt_value {
    bool none;
    bool yes;
    uint64_t number;
    int64_t integer;
    double real;
    struct shl_slice text;
};

/* ---- finding */

bool shl_opt_is_variable(const char *known, struct shl_slice variable)
{
    if (strlen(known) != variable.len)
        return false;
    for (size_t i = 0; i < variable.len; i++) {
        uint8_t c = variable.data[i];
        if (known[i] != (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) &&
            !(known[i] == '.' && c == '_'))
            return false;
    }
    return true;
}

const struct shl_opt *shl_optable_find(const struct shl_optable *t, struct shl_slice name,
                                       bool variable)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *known = t->opts[i].name;
        if (variable ? shl_opt_is_variable(known, name) : shl_slice_eq(name, shl_slice_str(known)))
            return &t->opts[i];
    }
    return NULL;
}

static const char *name_at(const void *ctx, size_t i)
{
    const struct shl_optable *t = ctx;
    return t->opts[i].name;
}

shale_code shl_optable_unknown(const struct shl_optable *t, struct shl_slice name, shale_error *err)
{
    const char *near = shl_str_suggest(name, t->count, name_at, t);
    if (near == NULL)
        return shl_fail(err, SHALE_INVALID, "unknown setting \"%.*s\"", SHOWN(name));
    const struct shl_opt *opt = shl_optable_find(t, shl_slice_str(near), false);
    return shl_fail(err, SHALE_INVALID,
                    "unknown setting \"%.*s\": did you mean %s (%s, default %s)?", SHOWN(name),
                    near, shl_opt_type_name(opt),
                    opt->default_text != NULL ? opt->default_text : "none");
}

const char *shl_opt_type_name(const struct shl_opt *opt)
{
    static const char *const names[] = {
        [SHL_OPT_BOOL] = "bool",   [SHL_OPT_U32] = "u32",           [SHL_OPT_U64] = "u64",
        [SHL_OPT_I64] = "i64",     [SHL_OPT_F64] = "number",        [SHL_OPT_SIZE32] = "size",
        [SHL_OPT_SIZE] = "size",   [SHL_OPT_DURATION] = "duration", [SHL_OPT_ENUM] = "word",
        [SHL_OPT_STRING] = "text", [SHL_OPT_TABLE] = "table",
    };
    SHL_ASSERT((size_t)opt->type < SHL_COUNT_OF(names));
    return names[opt->type];
}

/* ---- fields */

static void field_put(const struct shl_opt *opt, void *target, const void *value, size_t bytes)
{
    memcpy((uint8_t *)target + opt->offset, value, bytes);
}

static void field_get(const struct shl_opt *opt, const void *target, void *value, size_t bytes)
{
    memcpy(value, (const uint8_t *)target + opt->offset, bytes);
}

static void put_u32(const struct shl_opt *opt, void *target, uint64_t v)
{
    uint32_t narrow = (uint32_t)v;
    field_put(opt, target, &narrow, sizeof narrow);
}

static uint64_t get_u32(const struct shl_opt *opt, const void *target)
{
    uint32_t v;
    field_get(opt, target, &v, sizeof v);
    return v;
}

static shale_code store_string(const struct shl_opt *opt, void *target, const struct opt_value *v,
                               shale_error *err)
{
    char *fresh = NULL;
    if (!v->none) {
        fresh = shl_slice_dup_cstr(v->text);
        if (fresh == NULL)
            return shl_nomem(err);
    }
    char *old;
    field_get(opt, target, &old, sizeof old);
    env_free(old);
    field_put(opt, target, &fresh, sizeof fresh);
    return SHALE_OK;
}

static shale_code store(const struct shl_opt *opt, void *target, const struct opt_value *v,
                        shale_error *err)
{
    switch (opt->type) {
    case SHL_OPT_BOOL:
    case SHL_OPT_TABLE:
        field_put(opt, target, &v->yes, sizeof v->yes);
        return SHALE_OK;
    case SHL_OPT_U32:
    case SHL_OPT_SIZE32:
        put_u32(opt, target, v->none ? UINT32_MAX : v->number);
        return SHALE_OK;
    case SHL_OPT_ENUM:
        put_u32(opt, target, v->number);
        return SHALE_OK;
    case SHL_OPT_U64:
    case SHL_OPT_SIZE:
    case SHL_OPT_DURATION: {
        uint64_t number = v->none ? UINT64_MAX : v->number;
        field_put(opt, target, &number, sizeof number);
        return SHALE_OK;
    }
    case SHL_OPT_I64: {
        int64_t integer = v->none ? INT64_MIN : v->integer;
        field_put(opt, target, &integer, sizeof integer);
        return SHALE_OK;
    }
    case SHL_OPT_F64:
        field_put(opt, target, &v->real, sizeof v->real);
        return SHALE_OK;
    case SHL_OPT_STRING:
        return store_string(opt, target, v, err);
    }
    SHL_NEVER();
}

static void load(const struct shl_opt *opt, const void *target, struct opt_value *v)
{
    *v = (struct opt_value){0};
    switch (opt->type) {
    case SHL_OPT_BOOL:
    case SHL_OPT_TABLE:
        field_get(opt, target, &v->yes, sizeof v->yes);
        return;
    case SHL_OPT_U32:
    case SHL_OPT_SIZE32:
        v->number = get_u32(opt, target);
        v->none = opt->nullable && v->number == UINT32_MAX;
        return;
    case SHL_OPT_ENUM:
        v->number = get_u32(opt, target);
        return;
    case SHL_OPT_U64:
    case SHL_OPT_SIZE:
    case SHL_OPT_DURATION:
        field_get(opt, target, &v->number, sizeof v->number);
        v->none = opt->nullable && v->number == UINT64_MAX;
        return;
    case SHL_OPT_I64:
        field_get(opt, target, &v->integer, sizeof v->integer);
        v->none = opt->nullable && v->integer == INT64_MIN;
        return;
    case SHL_OPT_F64:
        field_get(opt, target, &v->real, sizeof v->real);
        return;
    case SHL_OPT_STRING: {
        const char *text;
        field_get(opt, target, &text, sizeof text);
        v->none = text == NULL;
        v->text = text != NULL ? shl_slice_str(text) : shl_slice_of(NULL, 0);
        return;
    }
    }
    SHL_NEVER();
}

/* ---- reading text */

/* The largest number that is a value: the field's own largest is "none" where that is allowed. */
static uint64_t type_max(const struct shl_opt *opt)
{
    bool narrow = opt->type == SHL_OPT_U32 || opt->type == SHL_OPT_SIZE32;
    return (narrow ? UINT32_MAX : UINT64_MAX) - opt->nullable;
}

static void number_text(const struct shl_opt *opt, uint64_t v, char out[SHL_UNITS_TEXT])
{
    if (opt->type == SHL_OPT_SIZE || opt->type == SHL_OPT_SIZE32)
        shl_format_size_exact(v, out);
    else if (opt->type == SHL_OPT_DURATION)
        shl_format_duration(v, out);
    else
        snprintf(out, SHL_UNITS_TEXT, "%" PRIu64, v);
}

static shale_code out_of_range(const struct shl_opt *opt, struct shl_slice value, shale_error *err)
{
    char low[SHL_UNITS_TEXT], high[SHL_UNITS_TEXT];
    number_text(opt, opt->min, low);
    if (opt->max == 0 && opt->type != SHL_OPT_U32 && opt->type != SHL_OPT_SIZE32)
        return shl_fail(err, SHALE_INVALID, "%s: %.*s; it must be at least %s", opt->name,
                        SHOWN(value), low);
    number_text(opt, opt->max != 0 ? opt->max : type_max(opt), high);
    return shl_fail(err, SHALE_INVALID, "%s: %.*s; it must be %s to %s", opt->name, SHOWN(value),
                    low, high);
}

static shale_code not_a(const struct shl_opt *opt, struct shl_slice value, const char *what,
                        shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "%s: \"%.*s\" is not %s", opt->name, SHOWN(value), what);
}

static shale_code read_word(const struct shl_opt *opt, struct shl_slice value, struct opt_value *v,
                            shale_error *err)
{
    char known[160] = "";
    size_t used = 0;
    for (const struct shl_opt_word *w = opt->words; w->name != NULL; w++) {
        if (shl_slice_ieq(value, w->name)) {
            v->number = w->value;
            return SHALE_OK;
        }
        int n = snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", w->name);
        used = shl_min_size(used + (size_t)n, sizeof known - 1);
    }
    return shl_fail(err, SHALE_INVALID, "%s: \"%.*s\" is not one of %s", opt->name, SHOWN(value),
                    known);
}

static shale_code read_number(const struct shl_opt *opt, struct shl_slice value,
                              enum shl_opt_source source, struct opt_value *v, shale_error *err)
{
    shale_code rc = SHALE_OK;
    if (opt->type == SHL_OPT_SIZE || opt->type == SHL_OPT_SIZE32)
        rc = shl_parse_size(value, &v->number, err);
    else if (opt->type == SHL_OPT_DURATION)
        rc = shl_parse_duration(value, source == SHL_OPT_FROM_FILE, &v->number, err);
    else if (!shl_parse_u64(value, &v->number))
        return not_a(opt, value, "a whole number", err);
    if (rc != SHALE_OK) {
        shl_err_prefix(err, "%s", opt->name);
        return rc;
    }
    if (v->number < opt->min || v->number > type_max(opt) ||
        (opt->max != 0 && v->number > opt->max))
        return out_of_range(opt, value, err);
    return SHALE_OK;
}

static shale_code read_value(const struct shl_opt *opt, struct shl_slice value,
                             enum shl_opt_source source, struct opt_value *v, shale_error *err)
{
    switch (opt->type) {
    case SHL_OPT_BOOL:
        return shl_parse_bool(value, &v->yes) ? SHALE_OK : not_a(opt, value, "true or false", err);
    case SHL_OPT_TABLE:
        v->yes = shl_slice_ieq(value, "default");
        return v->yes || shl_parse_bool(value, &v->yes) ? SHALE_OK
                                                        : not_a(opt, value, "none or default", err);
    case SHL_OPT_I64:
        if (!shl_parse_i64(value, &v->integer) || (opt->nullable && v->integer == INT64_MIN))
            return not_a(opt, value, "a whole number", err);
        return v->integer < 0 || (uint64_t)v->integer < opt->min ||
                       (opt->max != 0 && (uint64_t)v->integer > opt->max)
                   ? out_of_range(opt, value, err)
                   : SHALE_OK;
    case SHL_OPT_F64:
        if (!shl_parse_f64(value, &v->real))
            return not_a(opt, value, "a number", err);
        return v->real < (double)opt->min || (opt->max != 0 && v->real > (double)opt->max)
                   ? out_of_range(opt, value, err)
                   : SHALE_OK;
    case SHL_OPT_U32:
    case SHL_OPT_U64:
    case SHL_OPT_SIZE32:
    case SHL_OPT_SIZE:
    case SHL_OPT_DURATION:
        return read_number(opt, value, source, v, err);
    case SHL_OPT_ENUM:
        return read_word(opt, value, v, err);
    case SHL_OPT_STRING:
        if (value.len > 0 && memchr(value.data, '\0', value.len) != NULL)
            return shl_fail(err, SHALE_INVALID, "%s: a NUL byte inside", opt->name);
        v->text = value;
        return SHALE_OK;
    }
    SHL_NEVER();
}

static bool may_be_none(const struct shl_opt *opt)
{
    return opt->nullable || opt->type == SHL_OPT_TABLE;
}

static bool is_none_word(struct shl_slice value)
{
    return shl_slice_ieq(value, "none") || shl_slice_ieq(value, "null");
}

static shale_code parse(const struct shl_opt *opt, struct shl_slice value,
                        enum shl_opt_source source, struct opt_value *v, shale_error *err)
{
    *v = (struct opt_value){0};
    if (opt->type != SHL_OPT_STRING)
        value = shl_slice_trim(value);
    if (may_be_none(opt) && is_none_word(value)) {
        v->none = true;
        v->number = opt->type == SHL_OPT_ENUM ? opt->words[0].value : 0;
        return SHALE_OK;
    }
    return read_value(opt, value, source, v, err);
}

/* What a NULL default text says. */
static struct shl_slice default_slice(const struct shl_opt *opt)
{
    SHL_ASSERT(opt->default_text != NULL || may_be_none(opt));
    return shl_slice_str(opt->default_text != NULL ? opt->default_text : "none");
}

shale_code shl_opt_set(const struct shl_opt *opt, void *target, struct shl_slice value,
                       enum shl_opt_source source, shale_error *err)
{
    struct opt_value v;
    shale_code rc = parse(opt, value, source, &v, err);
    return rc == SHALE_OK ? store(opt, target, &v, err) : rc;
}

shale_code shl_optable_set(const struct shl_optable *t, void *target, struct shl_slice name,
                           struct shl_slice value, enum shl_opt_source source, shale_error *err)
{
    const struct shl_opt *opt = shl_optable_find(t, name, false);
    if (opt == NULL)
        return shl_optable_unknown(t, name, err);
    return shl_opt_set(opt, target, value, source, err);
}

/* ---- whole structs */

shale_code shl_optable_defaults(const struct shl_optable *t, void *target, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < t->count; i++) {
        shale_code one =
            shl_opt_set(&t->opts[i], target, default_slice(&t->opts[i]), SHL_OPT_FROM_FILE, err);
        SHL_ASSERT(one != SHALE_INVALID);
        if (one != SHALE_OK)
            rc = one;
    }
    return rc;
}

void shl_optable_deinit(const struct shl_optable *t, void *target)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->opts[i].type != SHL_OPT_STRING)
            continue;
        char *text;
        field_get(&t->opts[i], target, &text, sizeof text);
        env_free(text);
        text = NULL;
        field_put(&t->opts[i], target, &text, sizeof text);
    }
}

shale_code shl_optable_copy(const struct shl_optable *t, void *to, const void *from,
                            shale_error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        struct opt_value v;
        load(&t->opts[i], from, &v);
        shale_code rc = store(&t->opts[i], to, &v, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* ---- printing */

static const char *word_of(const struct shl_opt *opt, uint64_t value)
{
    for (const struct shl_opt_word *w = opt->words; w->name != NULL; w++) {
        if (w->value == value)
            return w->name;
    }
    SHL_NEVER();
}

shale_code shl_opt_format(const struct shl_opt *opt, const void *target, struct shl_buf *out,
                          shale_error *err)
{
    struct opt_value v;
    load(opt, target, &v);
    if (v.none)
        return shl_str_append(out, "none", err);
    char text[SHL_UNITS_TEXT];
    _Static_assert(sizeof text >= SHL_F64_TEXT, "one buffer for all");
    switch (opt->type) {
    case SHL_OPT_BOOL:
        return shl_str_append(out, v.yes ? "true" : "false", err);
    case SHL_OPT_TABLE:
        return shl_str_append(out, v.yes ? "default" : "none", err);
    case SHL_OPT_U32:
    case SHL_OPT_U64:
    case SHL_OPT_SIZE32:
    case SHL_OPT_SIZE:
    case SHL_OPT_DURATION:
        number_text(opt, v.number, text);
        return shl_str_append(out, text, err);
    case SHL_OPT_I64:
        return shl_str_printf(out, err, "%" PRId64, v.integer);
    case SHL_OPT_F64:
        return shl_str_append(out, shl_f64_text(v.real, text), err);
    case SHL_OPT_ENUM:
        return shl_str_append(out, word_of(opt, v.number), err);
    case SHL_OPT_STRING:
        return shl_buf_append(out, v.text.data, v.text.len, err);
    }
    SHL_NEVER();
}

bool shl_opt_is_default(const struct shl_opt *opt, const void *target)
{
    struct opt_value v, d;
    shale_error ignored;
    load(opt, target, &v);
    shale_code rc = parse(opt, default_slice(opt), SHL_OPT_FROM_FILE, &d, &ignored);
    SHL_ASSERT(rc == SHALE_OK);
    if (v.none != d.none && opt->type != SHL_OPT_TABLE && opt->type != SHL_OPT_ENUM)
        return false;
    if (v.none)
        return true;
    return v.yes == d.yes && v.number == d.number && v.integer == d.integer &&
           memcmp(&v.real, &d.real, sizeof v.real) == 0 && shl_slice_eq(v.text, d.text);
}
