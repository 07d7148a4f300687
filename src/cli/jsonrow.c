#include "cli/jsonrow.h"

#include "base/codec/text.h"
#include "base/str.h"

/* A cursor over the line. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
};

static shale_code wrong(const struct cursor *c, shale_error *err, const char *what)
{
    return shl_fail(err, SHALE_INVALID, "byte %zu: %s", (size_t)(c->at - c->start) + 1, what);
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n'))
        c->at++;
}

static bool take(struct cursor *c, char want)
{
    skip_blanks(c);
    if (c->at >= c->end || *c->at != (uint8_t)want)
        return false;
    c->at++;
    return true;
}

static bool take_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return false;
    c->at += len;
    return true;
}

static bool hex4(struct cursor *c, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t digit = c->at < c->end ? *c->at++ : 0;
        uint8_t letter = digit | 0x20;
        if (digit >= '0' && digit <= '9')
            *out = *out << 4 | (digit - '0');
        else if (letter >= 'a' && letter <= 'f')
            *out = *out << 4 | (letter - 'a' + 10u);
        else
            return false;
    }
    return true;
}

static size_t put_utf8(uint8_t *dst, uint32_t point)
{
    if (point < 0x80) {
        dst[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        dst[0] = (uint8_t)(0xc0 | point >> 6);
        dst[1] = (uint8_t)(0x80 | (point & 63));
        return 2;
    }
    if (point < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | point >> 12);
        dst[1] = (uint8_t)(0x80 | (point >> 6 & 63));
        dst[2] = (uint8_t)(0x80 | (point & 63));
        return 3;
    }
    dst[0] = (uint8_t)(0xf0 | point >> 18);
    dst[1] = (uint8_t)(0x80 | (point >> 12 & 63));
    dst[2] = (uint8_t)(0x80 | (point >> 6 & 63));
    dst[3] = (uint8_t)(0x80 | (point & 63));
    return 4;
}

/* Behind "\u": one code point, surrogate pairs joined. 0 bytes if it is none. */
static size_t unicode_escape(struct cursor *c, uint8_t dst[4])
{
    uint32_t high = 0;
    uint32_t low = 0;
    if (!hex4(c, &high) || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    if (high < 0xd800 || high > 0xdbff)
        return put_utf8(dst, high);
    if (!take_word(c, "\\u") || !hex4(c, &low) || low < 0xdc00 || low > 0xdfff)
        return 0;
    return put_utf8(dst, 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff));
}

static size_t escape(struct cursor *c, uint8_t dst[4])
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (c->at >= c->end)
        return 0;
    char letter = (char)*c->at++;
    if (letter == 'u')
        return unicode_escape(c, dst);
    const char *at = letter == '\0' ? NULL : strchr(names, letter);
    if (at == NULL)
        return 0;
    dst[0] = (uint8_t)values[at - names];
    return 1;
}

/* Position of the first quote, backslash, control character or byte above ASCII. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* The rest of a string with escapes, behind its opening quote, into `out`. */
static shale_code string_slow(struct cursor *c, struct shl_buf *out, shale_error *err)
{
    shale_code rc = SHALE_OK;
    uint8_t bytes[4];
    out->len = 0;
    for (;;) {
        const uint8_t *from = c->at;
        while (c->at < c->end && *c->at >= 0x20 && *c->at != '"' && *c->at != '\\')
            c->at++;
        if ((rc = shl_buf_append(out, from, (size_t)(c->at - from), err)) != SHALE_OK)
            return rc;
        if (c->at >= c->end)
            return wrong(c, err, "the line ends inside a string");
        uint8_t stop = *c->at++;
        if (stop == '"')
            return SHALE_OK;
        size_t n = stop == '\\' ? escape(c, bytes) : 0;
        if (n == 0)
            return wrong(
                c, err, stop == '\\' ? "not a JSON escape" : "a control character inside a string");
        if ((rc = shl_buf_append(out, bytes, n, err)) != SHALE_OK)
            return rc;
    }
}

/* A string; *out points into the line, or into `hold` where something was escaped. */
static shale_code string(struct cursor *c, struct shl_buf *hold, struct shl_slice *out,
                         shale_error *err)
{
    if (!take(c, '"'))
        return wrong(c, err, "a string (\"..\") is missing");
    const uint8_t *from = c->at;
    const uint8_t *stop = plain_end(from, c->end);
    if (stop < c->end && *stop == '"') {
        *out = shl_slice_of(from, (size_t)(stop - from));
        c->at = stop + 1;
        return SHALE_OK;
    }
    shale_code rc = string_slow(c, hold, err);
    if (rc != SHALE_OK)
        return rc;
    *out = shl_buf_view(hold);
    /* Escapes give UTF-8, so this judges the bytes of the line. */
    return shl_utf8_valid(*out) ? SHALE_OK
                                : wrong(c, err,
                                        "the string is not UTF-8; bytes belong into key_base64, "
                                        "value_base64 or --hex");
}

/* A whole number: the only kind that rows have. */
static shale_code integer(struct cursor *c, int64_t *out, shale_error *err)
{
    skip_blanks(c);
    const uint8_t *from = c->at;
    if (c->at < c->end && *c->at == '-')
        c->at++;
    const uint8_t *digits = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    bool zeros = c->at - digits > 1 && *digits == '0';
    if (zeros || !shl_parse_i64(shl_slice_of(from, (size_t)(c->at - from)), out))
        return wrong(c, err, "a whole number is missing");
    return SHALE_OK;
}

/* Sequence numbers may be above INT64_MAX; they are passed over. */
static shale_code skip_integer(struct cursor *c, shale_error *err)
{
    skip_blanks(c);
    const uint8_t *digits = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    bool good = c->at > digits && (c->at - digits == 1 || *digits != '0');
    return good ? SHALE_OK : wrong(c, err, "a whole number is missing");
}

enum member {
    M_KEY,
    M_KEY_BASE64,
    M_VALUE,
    M_VALUE_BASE64,
    M_K,
    M_V,
    M_SEQ,
    M_CREATE_TS,
    M_EXPIRE_TS,
    M_COUNT
};
static const char *const member_names[M_COUNT] = {
    "key", "key_base64", "value", "value_base64", "k", "v", "seq", "create_ts", "expire_ts"};

static enum member member_of(struct shl_slice name)
{
    for (unsigned i = 0; i < M_COUNT; i++)
        if (shl_slice_eq(name, shl_slice_str(member_names[i])))
            return (enum member)i;
    return M_COUNT;
}

enum coding { CODING_TEXT, CODING_BASE64, CODING_HEX };

/* A string's bytes into *out. */
static shale_code bytes(struct json_row_parser *p, struct cursor *c, enum coding coding,
                        struct shl_buf *hold, struct shl_slice *out, shale_error *err)
{
    struct shl_slice text;
    if (coding == CODING_TEXT)
        return string(c, hold, out, err);
    shale_code rc = string(c, &p->text, &text, err);
    if (rc != SHALE_OK)
        return rc;
    hold->len = 0;
    rc =
        coding == CODING_HEX ? shl_hex_decode(text, hold, err) : shl_base64_decode(text, hold, err);
    if (rc == SHALE_INVALID)
        return wrong(c, err,
                     coding == CODING_HEX ? "the string is not hex" : "the string is not base64");
    *out = shl_buf_view(hold);
    return rc;
}

static shale_code value_member(struct json_row_parser *p, struct cursor *c, enum coding coding,
                               struct json_row *out, shale_error *err)
{
    skip_blanks(c);
    if (take_word(c, "null")) {
        out->is_delete = true;
        return SHALE_OK;
    }
    out->is_base64 = coding == CODING_BASE64;
    if (c->at < c->end && *c->at != '"')
        return wrong(c, err, "the value is not a string (and not null, which deletes)");
    return bytes(p, c, coding, &p->value, &out->value, err);
}

static shale_code member(struct json_row_parser *p, struct cursor *c, unsigned *seen,
                         struct json_row *out, shale_error *err)
{
    struct shl_slice name;
    shale_code rc = string(c, &p->text, &name, err);
    if (rc != SHALE_OK)
        return rc;
    enum member m = member_of(name);
    unsigned bit = m == M_KEY || m == M_KEY_BASE64 || m == M_K       ? 1u
                   : m == M_VALUE || m == M_VALUE_BASE64 || m == M_V ? 2u
                                                                     : 1u << m;
    if (m == M_COUNT)
        return wrong(c, err,
                     p->hex
                         ? "an unknown member; a row has k, v, seq, create_ts, expire_ts"
                         : "an unknown member; a row has key or key_base64, value or value_base64; "
                           "expire_ts is kept, seq and create_ts are passed over");
    if ((*seen & bit) != 0)
        return wrong(c, err, "a member stands twice");
    if (m < M_SEQ && p->hex != (m >= M_K)) /* times and numbers stand in both */
        return wrong(c, err,
                     p->hex ? "with --hex a row is {\"k\":hex,\"v\":hex}"
                            : "rows of hex need --hex");
    *seen |= bit;
    if (!take(c, ':'))
        return wrong(c, err, "':' is missing");
    switch (m) {
    case M_KEY:
    case M_KEY_BASE64:
    case M_K:
        return bytes(p, c,
                     m == M_K     ? CODING_HEX
                     : m == M_KEY ? CODING_TEXT
                                  : CODING_BASE64,
                     &p->key, &out->key, err);
    case M_VALUE:
    case M_VALUE_BASE64:
    case M_V:
        return value_member(p, c,
                            m == M_V       ? CODING_HEX
                            : m == M_VALUE ? CODING_TEXT
                                           : CODING_BASE64,
                            out, err);
    case M_EXPIRE_TS:
        out->has_expire_ts = true;
        return integer(c, &out->expire_ts, err);
    case M_CREATE_TS: {
        int64_t ignored;
        return integer(c, &ignored, err);
    }
    case M_SEQ:
    case M_COUNT:
        break;
    }
    return skip_integer(c, err);
}

shale_code json_row_parse(struct json_row_parser *p, struct shl_slice line, struct json_row *out,
                          shale_error *err)
{
    struct cursor c = {.at = line.data, .end = line.data + line.len, .start = line.data};
    unsigned seen = 0;
    *out = (struct json_row){.value = shl_slice_of("", 0)};
    if (!take(&c, '{'))
        return wrong(&c, err, "not a JSON object");
    if (!take(&c, '}')) {
        do {
            shale_code rc = member(p, &c, &seen, out, err);
            if (rc != SHALE_OK)
                return rc;
        } while (take(&c, ','));
        if (!take(&c, '}'))
            return wrong(&c, err, "',' or '}' is missing");
    }
    skip_blanks(&c);
    if (c.at < c.end)
        return wrong(&c, err, "something stands behind the object");
    if ((seen & 1) == 0)
        return wrong(&c, err, p->hex ? "the row has no \"k\"" : "the row has no \"key\"");
    if ((seen & 2) == 0)
        return wrong(&c, err, p->hex ? "the row has no \"v\"" : "the row has no \"value\"");
    if (out->key.len == 0 && !p->empty_keys)
        return wrong(&c, err, "the key is empty");
    return SHALE_OK;
}

void json_row_deinit(struct json_row_parser *p)
{
    shl_buf_free(&p->key);
    shl_buf_free(&p->value);
    shl_buf_free(&p->text);
}
