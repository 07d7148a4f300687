#include "base/codec/json.h"

#include "base/assert.h"
#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- parsing */

/* jansson tells of most failed allocations as a syntax error or without any code, so we remember them ourselves: the task's
 * slot points to `was_nomem` when one failed since it was cleared. */
#define NOMEM_SLOT ENV_TLS_JSON
static const char was_nomem[] = "out of memory";

static void *alloc_noting_failure(size_t size)
{
    void *p = env_alloc(size);
    if (p == NULL)
        env_tls_set(NOMEM_SLOT, (void *)(uintptr_t)was_nomem, NULL);
    return p;
}

void shl_json_setup(uint64_t hash_seed)
{
    json_set_alloc_funcs(alloc_noting_failure, env_free);
    /* Without it jansson would ask the system for chance. */
    json_object_seed(hash_seed != 0 ? (size_t)hash_seed : 1);
}

/* jansson recurses up to 2048 deep; we need less stack than that. Brackets in strings do not count. */
static bool is_too_deep(struct shl_slice text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > SHL_JSON_DEPTH_MAX)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static shale_code parse(struct shl_slice text, size_t flags, json_t **out, shale_error *err)
{
    if (is_too_deep(text))
        return shl_fail(err, SHALE_INVALID, "JSON: nested deeper than %d", SHL_JSON_DEPTH_MAX);
    json_error_t why;
    env_tls_set(NOMEM_SLOT, NULL, NULL);
    const char *bytes = text.data != NULL ? (const char *)text.data : "";
    json_t *root = json_loadb(bytes, text.len, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (env_tls_get(NOMEM_SLOT) !=
        NULL) { /* even with a root: the lexer drops bytes that it has no room for */
        json_decref(root);
        return shl_nomem(err);
    }
    if (root != NULL) {
        *out = root;
        return SHALE_OK;
    }
    return shl_fail(err, SHALE_INVALID, "JSON: line %d column %d: %s", why.line, why.column,
                    why.text);
}

shale_code shl_json_parse(struct shl_slice text, json_t **out, shale_error *err)
{
    return parse(text, JSON_REJECT_DUPLICATES, out, err);
}

shale_code shl_json_parse_first(struct shl_slice text, json_t **out, shale_error *err)
{
    return parse(text, JSON_DISABLE_EOF_CHECK, out, err);
}

/* Bytes of the string or number that begins at text[i]; 1 for anything else. */
static size_t token_len(struct shl_slice text, size_t i)
{
    size_t end = i + 1;
    if (text.data[i] == '"') {
        while (end < text.len && text.data[end] != '"')
            end += text.data[end] == '\\' ? 2 : 1;
        return shl_min_size(end + 1, text.len) - i;
    }
    if (strchr("-0123456789", text.data[i]) == NULL || text.data[i] == '\0')
        return 1;
    while (end < text.len && text.data[end] != '\0' &&
           strchr("+-.0123456789eE", text.data[end]) != NULL)
        end++;
    return end - i;
}

static bool is_wide(struct shl_slice digits, uint64_t *out)
{
    return shl_parse_u64(digits, out) && *out > INT64_MAX;
}

shale_code shl_json_parse_unsigned(struct shl_slice text, json_t **out, shale_error *err)
{
    struct shl_buf quoted = {0};
    uint64_t ignored;
    shale_code rc;
    for (size_t i = 0; i < text.len;) {
        struct shl_slice token = shl_slice_of(text.data + i, token_len(text, i));
        bool wide = is_wide(token, &ignored);
        SHL_TRY(shl_buf_append(&quoted, "\"", wide, err));
        SHL_TRY(shl_buf_append(&quoted, token.data, token.len, err));
        SHL_TRY(shl_buf_append(&quoted, "\"", wide, err));
        i += token.len;
    }
    rc = shl_json_parse(shl_buf_view(&quoted), out, err);
out:
    shl_buf_free(&quoted);
    return rc;
}

bool shl_json_get_str(const json_t *object, const char *key, struct shl_slice *out)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v))
        return false;
    *out = shl_slice_of(json_string_value(v), json_string_length(v));
    return true;
}

bool shl_json_get_i64(const json_t *object, const char *key, int64_t *out)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_integer(v))
        return false;
    *out = json_integer_value(v);
    return true;
}

bool shl_json_get_u64(const json_t *object, const char *key, uint64_t *out)
{
    int64_t v;
    struct shl_slice digits;
    if (shl_json_get_str(object, key, &digits))
        return is_wide(digits, out);
    if (!shl_json_get_i64(object, key, &v) || v < 0)
        return false;
    *out = (uint64_t)v;
    return true;
}

bool shl_json_get_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_boolean(v))
        return false;
    *out = json_is_true(v);
    return true;
}

/* ---- writing */

void shl_json_begin(struct shl_json_writer *w, struct shl_buf *out, shale_error *err)
{
    *w = (struct shl_json_writer){.out = out, .err = err, .rc = SHALE_OK};
}

shale_code shl_json_finish(struct shl_json_writer *w)
{
    SHL_ASSERT(w->depth == 0);
    SHL_ASSERT(!w->after_key);
    return w->rc;
}

static void emit(struct shl_json_writer *w, const void *data, size_t len)
{
    if (w->rc == SHALE_OK)
        w->rc = shl_buf_append(w->out, data, len, w->err);
}

static uint64_t bit(const struct shl_json_writer *w)
{
    return UINT64_C(1) << w->depth;
}

/* A comma where one is due. */
static void separate(struct shl_json_writer *w)
{
    if (w->has_items & bit(w))
        emit(w, ",", 1);
    w->has_items |= bit(w);
}

static void before_value(struct shl_json_writer *w)
{
    bool in_object = (w->in_object & bit(w)) != 0;
    SHL_ASSERT(in_object == w->after_key);
    if (!in_object && w->depth > 0)
        separate(w);
    w->after_key = false;
}

static void open_level(struct shl_json_writer *w, bool object)
{
    before_value(w);
    SHL_ASSERT(w->depth + 1 < SHL_JSON_DEPTH_MAX);
    w->depth++;
    w->has_items &= ~bit(w);
    w->in_object = object ? w->in_object | bit(w) : w->in_object & ~bit(w);
    emit(w, object ? "{" : "[", 1);
}

static void close_level(struct shl_json_writer *w, bool object)
{
    SHL_ASSERT(w->depth > 0);
    SHL_ASSERT(((w->in_object & bit(w)) != 0) == object);
    SHL_ASSERT(!w->after_key);
    w->depth--;
    emit(w, object ? "}" : "]", 1);
}

void shl_json_object(struct shl_json_writer *w)
{
    open_level(w, true);
}

void shl_json_object_end(struct shl_json_writer *w)
{
    close_level(w, true);
}

void shl_json_array(struct shl_json_writer *w)
{
    open_level(w, false);
}

void shl_json_array_end(struct shl_json_writer *w)
{
    close_level(w, false);
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Writes the character at the front of `s` in its escaped form; returns how many bytes it was. */
static size_t emit_escaped(struct shl_json_writer *w, struct shl_slice s)
{
    uint32_t code_point;
    size_t n = shl_utf8_char(s, &code_point);
    if (n == 0) {
        emit(w, "\xef\xbf\xbd", 3);
        return 1;
    }
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* what, then its letter */
    for (size_t i = 0; n == 1 && i + 1 < sizeof letters; i += 2) {
        if ((uint8_t)letters[i] == s.data[0]) {
            char two[2] = {'\\', letters[i + 1]};
            emit(w, two, 2);
            return 1;
        }
    }
    if (shl_utf8_misleads(code_point)) {
        char text[8];
        int len = snprintf(text, sizeof text, "\\u%04" PRIx32, code_point);
        emit(w, text, (size_t)len);
    } else {
        emit(w, s.data, n);
    }
    return n;
}

static void emit_string(struct shl_json_writer *w, struct shl_slice s)
{
    emit(w, "\"", 1);
    for (size_t i = 0; i < s.len;) {
        size_t run = i;
        while (run < s.len && is_plain(s.data[run]))
            run++;
        if (run > i)
            emit(w, s.data + i, run - i);
        i = run;
        if (i < s.len)
            i += emit_escaped(w, shl_slice_of(s.data + i, s.len - i));
    }
    emit(w, "\"", 1);
}

void shl_json_key_slice(struct shl_json_writer *w, struct shl_slice key)
{
    SHL_ASSERT((w->in_object & bit(w)) != 0);
    SHL_ASSERT(!w->after_key);
    separate(w);
    emit_string(w, key);
    emit(w, ":", 1);
    w->after_key = true;
}

void shl_json_key(struct shl_json_writer *w, const char *key)
{
    shl_json_key_slice(w, shl_slice_str(key));
}

void shl_json_slice(struct shl_json_writer *w, struct shl_slice value)
{
    before_value(w);
    emit_string(w, value);
}

void shl_json_str(struct shl_json_writer *w, const char *value)
{
    if (value == NULL)
        shl_json_null(w);
    else
        shl_json_slice(w, shl_slice_str(value));
}

void shl_json_raw(struct shl_json_writer *w, struct shl_slice json)
{
    before_value(w);
    emit(w, json.data, json.len);
}

void shl_json_u64(struct shl_json_writer *w, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, value);
    shl_json_raw(w, shl_slice_of(text, (size_t)n));
}

void shl_json_i64(struct shl_json_writer *w, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    shl_json_raw(w, shl_slice_of(text, (size_t)n));
}

void shl_json_f64(struct shl_json_writer *w, double value)
{
    if (!__builtin_isfinite(value)) {
        shl_json_null(w);
        return;
    }
    char text[SHL_F64_TEXT];
    shl_json_raw(w, shl_slice_str(shl_f64_text(value, text)));
}

void shl_json_usd(struct shl_json_writer *w, double value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.9f", value);
    shl_json_raw(w, shl_slice_str(text));
}

void shl_json_bool(struct shl_json_writer *w, bool value)
{
    shl_json_raw(w, shl_slice_str(value ? "true" : "false"));
}

void shl_json_null(struct shl_json_writer *w)
{
    shl_json_raw(w, shl_slice_str("null"));
}

void shl_json_bytes(struct shl_json_writer *w, const char *key, struct shl_slice value)
{
    if (shl_utf8_valid(value)) {
        shl_json_key(w, key);
        shl_json_slice(w, value);
        return;
    }
    struct shl_buf text = {0}; /* the name, then the base64 digits */
    if (w->rc == SHALE_OK)
        w->rc = shl_str_printf(&text, w->err, "%s_base64", key);
    size_t name_len = text.len;
    if (w->rc == SHALE_OK)
        w->rc = shl_base64_encode(value, &text, w->err);
    shl_json_key_slice(w, shl_slice_of(text.data, name_len));
    shl_json_slice(w, shl_slice_of(text.len > name_len ? text.data + name_len : text.data,
                                   text.len - name_len));
    shl_buf_free(&text);
}
