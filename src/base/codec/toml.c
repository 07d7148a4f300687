#include "base/codec/toml.h"

#include "base/codec/text.h"
#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>

#define SHOWN_MAX 40

struct toml {
    struct shl_slice rest; /* unread text */
    uint32_t line;
    uint32_t depth; /* of inline tables */
    struct shl_setting_sink sink;
    struct shl_buf key;   /* one part of a key, decoded */
    struct shl_buf value; /* a scalar, decoded */
    shale_error *err;
};

/* ---- characters */

static int peek(const struct toml *t)
{
    return t->rest.len > 0 ? t->rest.data[0] : -1;
}

static void skip(struct toml *t, size_t n)
{
    t->rest = shl_slice_of(t->rest.data + n, t->rest.len - n);
}

static bool take(struct toml *t, char c)
{
    if (peek(t) != (unsigned char)c)
        return false;
    skip(t, 1);
    return true;
}

static void skip_blanks(struct toml *t)
{
    while (peek(t) == ' ' || peek(t) == '\t')
        skip(t, 1);
}

static void skip_comment(struct toml *t)
{
    if (peek(t) != '#')
        return;
    while (t->rest.len > 0 && peek(t) != '\n')
        skip(t, 1);
}

/* "\n" or "\r\n". */
static bool take_line_end(struct toml *t)
{
    if (t->rest.len > 1 && t->rest.data[0] == '\r' && t->rest.data[1] == '\n')
        skip(t, 1);
    if (!take(t, '\n'))
        return false;
    t->line++;
    return true;
}

/* Blanks, comments and line ends, as allowed inside of an array. */
static void skip_lines(struct toml *t)
{
    do {
        skip_blanks(t);
        skip_comment(t);
    } while (take_line_end(t));
}

static shale_code bad(const struct toml *t, const char *what)
{
    size_t n = 0;
    while (n < t->rest.len && n < SHOWN_MAX && t->rest.data[n] >= 0x20 && t->rest.data[n] < 0x7f)
        n++;
    if (n == 0)
        return shl_fail(t->err, SHALE_INVALID, "line %" PRIu32 ": %s", t->line, what);
    return shl_fail(t->err, SHALE_INVALID, "line %" PRIu32 ": %s: %.*s", t->line, what, (int)n,
                    (const char *)t->rest.data);
}

/* ---- strings */

static shale_code append_code_point(struct toml *t, size_t digits, struct shl_buf *out)
{
    if (t->rest.len < digits)
        return bad(t, "escape cut short");
    uint32_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = t->rest.data[i];
        uint32_t d = c >= '0' && c <= '9'   ? c - (uint32_t)'0'
                     : c >= 'a' && c <= 'f' ? c - (uint32_t)'a' + 10
                     : c >= 'A' && c <= 'F' ? c - (uint32_t)'A' + 10
                                            : 16;
        if (d > 15)
            return bad(t, "bad hexadecimal digits");
        v = v << 4 | d;
    }
    uint8_t utf8[4];
    size_t n = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 0;) {
        uint32_t low = i == 0 ? v : v & 0x3f;
        utf8[i] = (uint8_t)(i == 0 ? leads[n] | low : 0x80 | low);
        v >>= 6;
    }
    uint32_t back;
    if (shl_utf8_char(shl_slice_of(utf8, n), &back) != n)
        return bad(t, "not a Unicode character");
    skip(t, digits);
    return shl_buf_append(out, utf8, n, t->err);
}

static shale_code append_escape(struct toml *t, struct shl_buf *out)
{
    static const char from[] = "btnfr\"\\";
    static const char to[] = "\b\t\n\f\r\"\\";
    int c = peek(t);
    if (c == 'u' || c == 'U') {
        skip(t, 1);
        return append_code_point(t, c == 'u' ? 4 : 8, out);
    }
    for (size_t i = 0; i + 1 < sizeof from; i++) {
        if (c == from[i]) {
            skip(t, 1);
            return shl_buf_append(out, &to[i], 1, t->err);
        }
    }
    return bad(t, "unknown escape in a string");
}

/* A string in " or ', of one line; replaces out. */
static shale_code read_string(struct toml *t, struct shl_buf *out)
{
    char quote = (char)peek(t);
    if (t->rest.len > 2 && t->rest.data[1] == (uint8_t)quote && t->rest.data[2] == (uint8_t)quote)
        return bad(t, "multi-line strings are not supported");
    skip(t, 1);
    out->len = 0;
    while (!take(t, quote)) {
        uint32_t code_point;
        size_t n = shl_utf8_char(t->rest, &code_point);
        if (n == 0)
            return bad(t, t->rest.len == 0 ? "string without end" : "not UTF-8");
        if (code_point == '\n' || code_point == '\r')
            return bad(t, "string without end");
        if ((code_point < 0x20 && code_point != '\t') || code_point == 0x7f)
            return bad(t, "control character in a string");
        if (quote == '"' && code_point == '\\') {
            skip(t, 1);
            shale_code rc = append_escape(t, out);
            if (rc != SHALE_OK)
                return rc;
            continue;
        }
        shale_code rc = shl_buf_append(out, t->rest.data, n, t->err);
        if (rc != SHALE_OK)
            return rc;
        skip(t, n);
    }
    return SHALE_OK;
}

/* ---- keys */

static bool is_bare(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c == '-';
}

static shale_code read_key_part(struct toml *t)
{
    int c = peek(t);
    if (c == '"' || c == '\'')
        return read_string(t, &t->key);
    size_t n = 0;
    while (n < t->rest.len && is_bare(t->rest.data[n]))
        n++;
    if (n == 0)
        return bad(t, "want a key");
    shale_code rc = shl_buf_set(&t->key, shl_slice_of(t->rest.data, n), t->err);
    skip(t, n);
    return rc;
}

/* Pushes a dotted key on the sink's name; *out_mark is from before its first part. */
static shale_code push_key(struct toml *t, size_t *out_mark)
{
    *out_mark = t->sink.name.len;
    do {
        skip_blanks(t);
        size_t mark;
        shale_code rc = read_key_part(t);
        if (rc == SHALE_OK)
            rc = shl_setting_sink_push(&t->sink, shl_buf_view(&t->key), &mark, t->err);
        if (rc != SHALE_OK)
            return rc;
        skip_blanks(t);
    } while (take(t, '.'));
    return SHALE_OK;
}

/* ---- numbers and words */

/* Copies without underscores, which must stand between digits. */
static bool copy_digits(struct shl_slice s, char out[64], size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != '_') {
            if (n + 1 >= 64)
                return false;
            out[n++] = (char)s.data[i];
            continue;
        }
        bool between = i > 0 && i + 1 < s.len && is_bare(s.data[i - 1]) && s.data[i - 1] != '_' &&
                       is_bare(s.data[i + 1]) && s.data[i + 1] != '_';
        if (!between)
            return false;
    }
    out[n] = '\0';
    *out_len = n;
    return true;
}

static bool parse_radix(const char *digits, unsigned radix, int64_t *out)
{
    uint64_t v = 0;
    if (*digits == '\0')
        return false;
    for (; *digits != '\0'; digits++) {
        unsigned c = (unsigned char)*digits;
        unsigned d = c >= '0' && c <= '9'   ? c - '0'
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10
                     : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                            : 16;
        if (d >= radix || v > (UINT64_MAX - d) / radix)
            return false;
        v = v * radix + d;
    }
    if (v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

static bool has_leading_zero(const char *p)
{
    p += *p == '-' || *p == '+';
    return p[0] == '0' && p[1] >= '0' && p[1] <= '9';
}

/* An integer, normalised to decimal, or a float, as it stands. */
static shale_code number_value(struct toml *t, struct shl_slice word,
                               enum shl_setting_kind *out_kind)
{
    char text[64];
    size_t len;
    if (!copy_digits(word, text, &len) || has_leading_zero(text))
        return bad(t, "not a value");
    int64_t v;
    bool prefixed = text[0] == '0' && len > 2;
    unsigned radix = !prefixed        ? 0
                     : text[1] == 'x' ? 16
                     : text[1] == 'o' ? 8
                     : text[1] == 'b' ? 2
                                      : 0;
    const char *digits = text + (text[0] == '+');
    bool whole = radix != 0 ? parse_radix(text + 2, radix, &v)
                            : digits[0] != '+' && !(digits != text && digits[0] == '-') &&
                                  shl_parse_i64(shl_slice_str(digits), &v);
    if (whole) {
        *out_kind = SHL_SETTING_INTEGER;
        t->value.len = 0;
        return shl_str_printf(&t->value, t->err, "%" PRId64, v);
    }
    double real;
    if (radix != 0 || !shl_parse_f64(shl_slice_str(text), &real))
        return bad(t, "not a value (text stands in quotes)");
    if (strpbrk(text, ".eE") == NULL)
        return bad(t, "integer out of range");
    *out_kind = SHL_SETTING_FLOAT;
    return shl_buf_set(&t->value, shl_slice_str(digits), t->err);
}

/* Reads a string, number or boolean into t->value. */
static shale_code read_scalar(struct toml *t, enum shl_setting_kind *out_kind)
{
    int c = peek(t);
    if (c == '"' || c == '\'') {
        *out_kind = SHL_SETTING_STRING;
        return read_string(t, &t->value);
    }
    size_t n = 0;
    while (n < t->rest.len && (is_bare(t->rest.data[n]) || t->rest.data[n] == '+' ||
                               t->rest.data[n] == '.' || t->rest.data[n] == ':'))
        n++;
    struct shl_slice word = shl_slice_of(t->rest.data, n);
    if (n == 0)
        return bad(t, "want a value: name = value, text in quotes");
    shale_code rc;
    if (shl_slice_eq(word, shl_slice_str("true")) || shl_slice_eq(word, shl_slice_str("false"))) {
        *out_kind = SHL_SETTING_BOOL;
        rc = shl_buf_set(&t->value, word, t->err);
    } else {
        rc = number_value(t, word, out_kind);
    }
    if (rc == SHALE_OK)
        skip(t, n);
    return rc;
}

/* ---- arrays, tables */

static shale_code read_array(struct toml *t)
{
    skip(t, 1);
    for (size_t i = 0;; i++) {
        skip_lines(t);
        if (take(t, ']'))
            return SHALE_OK;
        if (peek(t) == '[' || peek(t) == '{')
            return bad(t, "only arrays of scalars are supported");
        uint32_t line = t->line;
        enum shl_setting_kind kind;
        size_t mark;
        shale_code rc = read_scalar(t, &kind);
        if (rc == SHALE_OK)
            rc = shl_setting_sink_push_index(&t->sink, i, &mark, t->err);
        if (rc == SHALE_OK)
            rc = shl_setting_sink_value(&t->sink, shl_buf_view(&t->value), kind, line, t->err);
        if (rc != SHALE_OK)
            return rc;
        shl_setting_sink_pop(&t->sink, mark);
        skip_lines(t);
        if (!take(t, ',') && peek(t) != ']')
            return bad(t, t->rest.len == 0 ? "array without end" : "want , or ] in an array");
    }
}

static shale_code read_pair(struct toml *t);

static shale_code read_inline_table(struct toml *t)
{
    if (t->depth >= SHL_SETTING_DEPTH_MAX)
        return bad(t, "tables nested too deep");
    skip(t, 1);
    skip_blanks(t);
    if (take(t, '}'))
        return SHALE_OK;
    t->depth++;
    do {
        shale_code rc = read_pair(t);
        if (rc != SHALE_OK)
            return rc;
        skip_blanks(t);
    } while (take(t, ','));
    t->depth--;
    return take(t, '}') ? SHALE_OK : bad(t, "want , or } in a table");
}

/* key = value; recursion is bounded by the depth of inline tables. */
static shale_code read_pair(struct toml *t)
{
    size_t mark;
    uint32_t line = t->line;
    shale_code rc = push_key(t, &mark);
    if (rc != SHALE_OK)
        return rc;
    if (!take(t, '='))
        return bad(t, "want = after a key");
    skip_blanks(t);
    if (peek(t) == '[') {
        rc = shl_setting_sink_table(&t->sink, line, t->err);
        if (rc == SHALE_OK)
            rc = read_array(t);
    } else if (peek(t) == '{') {
        rc = shl_setting_sink_table(&t->sink, line, t->err);
        if (rc == SHALE_OK)
            rc = read_inline_table(t);
    } else {
        enum shl_setting_kind kind;
        rc = read_scalar(t, &kind);
        if (rc == SHALE_OK)
            rc = shl_setting_sink_value(&t->sink, shl_buf_view(&t->value), kind, line, t->err);
    }
    if (rc == SHALE_OK)
        shl_setting_sink_pop(&t->sink, mark);
    return rc;
}

static shale_code read_header(struct toml *t)
{
    skip(t, 1);
    if (peek(t) == '[')
        return bad(t, "arrays of tables are not supported");
    shl_setting_sink_pop(&t->sink, 0);
    size_t mark;
    shale_code rc = push_key(t, &mark);
    if (rc != SHALE_OK)
        return rc;
    if (!take(t, ']'))
        return bad(t, "want ] after a table's name");
    return shl_setting_sink_table(&t->sink, t->line, t->err);
}

static shale_code read_document(struct toml *t)
{
    if (t->rest.len >= 3 && memcmp(t->rest.data, "\xef\xbb\xbf", 3) == 0)
        skip(t, 3);
    for (;;) {
        skip_lines(t);
        if (t->rest.len == 0)
            return SHALE_OK;
        shale_code rc = peek(t) == '[' ? read_header(t) : read_pair(t);
        if (rc != SHALE_OK)
            return rc;
        skip_blanks(t);
        skip_comment(t);
        if (t->rest.len > 0 && !take_line_end(t))
            return bad(t, "want the end of the line");
    }
}

shale_code shl_toml_read(struct shl_slice text, shl_setting_fn fn, void *ctx, shale_error *err)
{
    struct toml t = {.rest = text, .line = 1, .err = err};
    shl_setting_sink_init(&t.sink, fn, ctx);
    shale_code rc = read_document(&t);
    shl_setting_sink_deinit(&t.sink);
    shl_buf_free(&t.key);
    shl_buf_free(&t.value);
    return rc;
}
