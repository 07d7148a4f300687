#include "base/codec/text.h"

#include "base/num.h"

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Room for `each` bytes per input byte. */
static shale_code room_for(struct shl_buf *out, size_t count, size_t each, shale_error *err)
{
    size_t room;
    if (!shl_mul_size(count, each, &room))
        return shl_nomem(err);
    return shl_buf_reserve(out, room, err);
}

static void put(struct shl_buf *out, char c)
{
    out->data[out->len++] = (uint8_t)c;
}

static void put_hex(struct shl_buf *out, uint8_t c, const char *digits)
{
    put(out, digits[c >> 4]);
    put(out, digits[c & 15]);
}

static shale_code bad_at(const char *what, size_t offset, size_t len_before, struct shl_buf *out,
                         shale_error *err)
{
    out->len = len_before;
    return shl_fail(err, SHALE_INVALID, "%s: bad text at byte %zu", what, offset);
}

/* ---- hex */

shale_code shl_hex_encode(struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, in.len, 2, err);
    for (size_t i = 0; rc == SHALE_OK && i < in.len; i++)
        put_hex(out, in.data[i], hex_lower);
    return rc;
}

shale_code shl_hex_decode(struct shl_slice text, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, text.len / 2, 1, err);
    if (rc != SHALE_OK)
        return rc;
    size_t before = out->len;
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        int high = hex_value(text.data[i]);
        int low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0)
            return bad_at("hex", high < 0 ? i : i + 1, before, out, err);
        put(out, (char)(high << 4 | low));
    }
    if (text.len % 2 != 0)
        return bad_at("hex", text.len, before, out, err);
    return SHALE_OK;
}

/* ---- base64 */

shale_code shl_base64_encode(struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, in.len / 3 + 1, 4, err);
    for (size_t i = 0; rc == SHALE_OK && i < in.len; i += 3) {
        size_t n = shl_min_size(in.len - i, 3);
        uint32_t group = (uint32_t)in.data[i] << 16;
        if (n > 1)
            group |= (uint32_t)in.data[i + 1] << 8;
        if (n > 2)
            group |= in.data[i + 2];
        put(out, base64_digits[group >> 18]);
        put(out, base64_digits[group >> 12 & 63]);
        put(out, n > 1 ? base64_digits[group >> 6 & 63] : '=');
        put(out, n > 2 ? base64_digits[group & 63] : '=');
    }
    return rc;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

shale_code shl_base64_decode(struct shl_slice text, struct shl_buf *out, shale_error *err)
{
    if (text.len % 4 != 0) /* also what the room below relies on */
        return bad_at("base64", text.len, out->len, out, err);
    shale_code rc = room_for(out, text.len / 4, 3, err);
    if (rc != SHALE_OK)
        return rc;
    size_t before = out->len;
    size_t pad = 0;
    while (pad < 2 && pad < text.len && text.data[text.len - 1 - pad] == '=')
        pad++;
    size_t digits = text.len - pad;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int v = base64_value(text.data[i]);
        if (v < 0)
            return bad_at("base64", i, before, out, err);
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 == 0)
            continue;
        put(out, (char)(bits >> (6 - 2 * (i % 4)) & 0xff));
    }
    /* The bits that make no whole byte must be zero, else two texts would mean the same bytes. */
    uint32_t unused = digits % 4 == 2 ? bits & 15 : digits % 4 == 3 ? bits & 3 : 0;
    if (unused != 0)
        return bad_at("base64", digits, before, out, err);
    return SHALE_OK;
}

/* ---- percent */

static bool is_unreserved(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

shale_code shl_percent_encode(struct shl_slice in, bool keep_slash, struct shl_buf *out,
                              shale_error *err)
{
    shale_code rc = room_for(out, in.len, 3, err);
    for (size_t i = 0; rc == SHALE_OK && i < in.len; i++) {
        uint8_t c = in.data[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            put(out, (char)c);
        } else {
            put(out, '%');
            put_hex(out, c, hex_upper);
        }
    }
    return rc;
}

shale_code shl_percent_decode(struct shl_slice text, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, text.len, 1, err);
    if (rc != SHALE_OK)
        return rc;
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            put(out, (char)text.data[i]);
            continue;
        }
        int high = text.len - i > 2 ? hex_value(text.data[i + 1]) : -1;
        int low = text.len - i > 2 ? hex_value(text.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return bad_at("percent-encoding", i, before, out, err);
        put(out, (char)(high << 4 | low));
        i += 2;
    }
    return SHALE_OK;
}

/* ---- UTF-8 */

size_t shl_utf8_char(struct shl_slice s, uint32_t *out_code_point)
{
    if (s.len == 0)
        return 0;
    uint8_t lead = s.data[0];
    if (lead < 0x80) {
        *out_code_point = lead;
        return 1;
    }
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || s.len < len)
        return 0;
    uint32_t v = lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s.data[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (s.data[i] & 0x3fu);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *out_code_point = v;
    return len;
}

bool shl_utf8_misleads(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool separates = c == 0x2028 || c == 0x2029;
    bool turns = c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                 (c >= 0x2066 && c <= 0x2069);
    return control || separates || turns;
}

bool shl_utf8_valid(struct shl_slice s)
{
    for (size_t i = 0; i < s.len;) {
        uint32_t code_point;
        size_t n = shl_utf8_char(shl_slice_of(s.data + i, s.len - i), &code_point);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* ---- escapes */

static char escape_letter(uint8_t c)
{
    return c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\\' ? '\\' : '\0';
}

shale_code shl_text_escape(struct shl_slice in, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, in.len, 4, err);
    if (rc != SHALE_OK)
        return rc;
    for (size_t i = 0; i < in.len;) {
        uint32_t code_point = 0;
        size_t n = shl_utf8_char(shl_slice_of(in.data + i, in.len - i), &code_point);
        char letter = escape_letter(in.data[i]);
        /* U+0080 to U+009F are control characters too: terminals obey them. */
        bool control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
        if (letter != '\0') {
            put(out, '\\');
            put(out, letter);
        } else if (n == 0 || control) {
            n = shl_max_size(n, 1);
            for (size_t k = 0; k < n; k++) {
                put(out, '\\');
                put(out, 'x');
                put_hex(out, in.data[i + k], hex_lower);
            }
        } else {
            memcpy(out->data + out->len, in.data + i, n);
            out->len += n;
        }
        i += shl_max_size(n, 1);
    }
    return SHALE_OK;
}

shale_code shl_text_unescape(struct shl_slice text, struct shl_buf *out, shale_error *err)
{
    shale_code rc = room_for(out, text.len, 1, err);
    if (rc != SHALE_OK)
        return rc;
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c != '\\') {
            put(out, (char)c);
            continue;
        }
        c = text.len - i > 1 ? text.data[i + 1] : '\0';
        if (c == 'x' && text.len - i > 3) {
            int high = hex_value(text.data[i + 2]);
            int low = hex_value(text.data[i + 3]);
            if (high < 0 || low < 0)
                return bad_at("escape", i, before, out, err);
            put(out, (char)(high << 4 | low));
            i += 3;
            continue;
        }
        if (c != 't' && c != 'n' && c != 'r' && c != '\\')
            return bad_at("escape", i, before, out, err);
        put(out, c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : '\\');
        i++;
    }
    return SHALE_OK;
}
