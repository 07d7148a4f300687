#include "base/codec/yaml.h"

#include "base/num.h"
#include "base/str.h"
#include <yaml.h>

struct level { /* an open mapping or sequence */
    bool is_sequence;
    bool has_key;      /* mapping: the name's last part is the key whose value comes */
    size_t next_index; /* sequence */
    size_t mark;       /* name length to go back to after the value */
};

struct yaml {
    yaml_parser_t parser;
    struct shl_setting_sink sink;
    struct level levels[SHL_SETTING_DEPTH_MAX];
    size_t depth;
    shale_error *err;
};

static uint32_t line_of(yaml_mark_t mark)
{
    return (uint32_t)shl_min_size(mark.line, UINT32_MAX - 1) + 1;
}

static shale_code bad(const struct yaml *y, yaml_mark_t mark, const char *what)
{
    return shl_fail(y->err, SHALE_INVALID, "line %u: %s", (unsigned)line_of(mark), what);
}

static shale_code parser_failure(const struct yaml *y)
{
    if (y->parser.error == YAML_MEMORY_ERROR)
        return shl_nomem(y->err);
    return bad(y, y->parser.problem_mark,
               y->parser.problem != NULL ? y->parser.problem : "not YAML");
}

static bool is_one_of(struct shl_slice s, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shl_slice_eq(s, shl_slice_str(words[i])))
            return true;
    }
    return false;
}

static enum shl_setting_kind kind_of(struct shl_slice s, bool is_plain)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const bools[] = {"true", "false", "True", "False", "TRUE", "FALSE"};
    int64_t integer;
    double real;
    if (!is_plain)
        return SHL_SETTING_STRING;
    if (is_one_of(s, nulls, SHL_COUNT_OF(nulls)))
        return SHL_SETTING_NULL;
    if (is_one_of(s, bools, SHL_COUNT_OF(bools)))
        return SHL_SETTING_BOOL;
    if (shl_parse_i64(s, &integer))
        return SHL_SETTING_INTEGER;
    return shl_parse_f64(s, &real) ? SHL_SETTING_FLOAT : SHL_SETTING_STRING;
}

/* Makes the name ready for a value that comes now; in a mapping the key did that. */
static shale_code before_value(struct yaml *y, yaml_mark_t mark)
{
    if (y->depth == 0)
        return bad(y, mark, "want a mapping of settings");
    struct level *l = &y->levels[y->depth - 1];
    if (!l->is_sequence)
        return SHALE_OK;
    return shl_setting_sink_push_index(&y->sink, l->next_index++, &l->mark, y->err);
}

static void after_value(struct yaml *y)
{
    if (y->depth == 0)
        return;
    struct level *l = &y->levels[y->depth - 1];
    l->has_key = false;
    shl_setting_sink_pop(&y->sink, l->mark);
}

static bool wants_key(const struct yaml *y)
{
    return y->depth > 0 && !y->levels[y->depth - 1].is_sequence && !y->levels[y->depth - 1].has_key;
}

static shale_code on_scalar(struct yaml *y, const yaml_event_t *e)
{
    struct shl_slice text = shl_slice_of(e->data.scalar.value, e->data.scalar.length);
    if (e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL)
        return bad(y, e->start_mark, "anchors and tags are not supported");
    if (wants_key(y)) {
        struct level *l = &y->levels[y->depth - 1];
        l->has_key = true;
        shale_code rc = shl_setting_sink_push(&y->sink, text, &l->mark, y->err);
        if (rc == SHALE_INVALID)
            shl_err_prefix(y->err, "line %u", (unsigned)line_of(e->start_mark));
        return rc;
    }
    shale_code rc = before_value(y, e->start_mark);
    if (rc != SHALE_OK)
        return rc;
    enum shl_setting_kind kind = kind_of(text, e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE);
    if (kind == SHL_SETTING_NULL)
        text = shl_slice_str("none");
    if (kind == SHL_SETTING_BOOL)
        text = shl_slice_str(text.data[0] == 't' || text.data[0] == 'T' ? "true" : "false");
    rc = shl_setting_sink_value(&y->sink, text, kind, line_of(e->start_mark), y->err);
    if (rc == SHALE_OK)
        after_value(y);
    return rc;
}

static shale_code on_open(struct yaml *y, yaml_mark_t mark, bool is_sequence, bool is_marked)
{
    if (is_marked)
        return bad(y, mark, "anchors and tags are not supported");
    if (wants_key(y))
        return bad(y, mark, "a key must be text");
    if (y->depth == SHL_SETTING_DEPTH_MAX)
        return bad(y, mark, "nested too deep");
    if (y->depth == 0 ? is_sequence : y->levels[y->depth - 1].is_sequence)
        return bad(y, mark,
                   y->depth == 0 ? "want a mapping of settings"
                                 : "only sequences of scalars are supported");
    if (y->depth > 0) {
        shale_code rc = shl_setting_sink_table(&y->sink, line_of(mark), y->err);
        if (rc != SHALE_OK)
            return rc;
    }
    y->levels[y->depth++] = (struct level){.is_sequence = is_sequence};
    return SHALE_OK;
}

static shale_code on_event(struct yaml *y, const yaml_event_t *e, size_t *documents)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        /* An empty document is a null scalar at the top. */
        if (y->depth == 0 && e->data.scalar.length == 0)
            return SHALE_OK;
        return on_scalar(y, e);
    case YAML_MAPPING_START_EVENT:
        return on_open(y, e->start_mark, false,
                       e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(y, e->start_mark, true,
                       e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        y->depth--;
        after_value(y);
        return SHALE_OK;
    case YAML_ALIAS_EVENT:
        return bad(y, e->start_mark, "aliases are not supported");
    case YAML_DOCUMENT_START_EVENT:
        return ++*documents > 1 ? bad(y, e->start_mark, "only one document is supported")
                                : SHALE_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return SHALE_OK;
    }
    return SHALE_OK;
}

static shale_code read_events(struct yaml *y)
{
    size_t documents = 0;
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&y->parser, &event))
            return parser_failure(y);
        bool at_end = event.type == YAML_STREAM_END_EVENT;
        shale_code rc = on_event(y, &event, &documents);
        yaml_event_delete(&event);
        if (rc != SHALE_OK || at_end)
            return rc;
    }
}

shale_code shl_yaml_read(struct shl_slice text, shl_setting_fn fn, void *ctx, shale_error *err)
{
    struct yaml y = {.err = err};
    if (!yaml_parser_initialize(&y.parser))
        return shl_nomem(err);
    yaml_parser_set_input_string(&y.parser, text.data != NULL ? text.data : (const uint8_t *)"",
                                 text.len);
    shl_setting_sink_init(&y.sink, fn, ctx);
    shale_code rc = read_events(&y);
    shl_setting_sink_deinit(&y.sink);
    yaml_parser_delete(&y.parser);
    return rc;
}
