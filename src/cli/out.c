#include "cli/out.h"

#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include "cli/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct out *out_new(int fd)
{
    struct out *o = env_alloc(sizeof *o);
    if (o == NULL)
        return NULL;
    o->fd = fd;
    o->failed = 0;
    o->bold = false;
    o->len = 0;
    return o;
}

void out_free(struct out *o)
{
    env_free(o);
}

static void write_through(struct out *o, const void *data, size_t len)
{
    if (o->failed != 0 || len == 0)
        return;
    o->failed = os_write(o->fd, data, len);
    if (o->failed == EPIPE)
        os_die_of_pipe();
}

int out_finish(struct out *o)
{
    write_through(o, o->buffer, o->len);
    o->len = 0;
    return o->failed;
}

void out_bytes(struct out *o, const void *data, size_t len)
{
    if (len > OUT_BYTES - o->len) {
        (void)out_finish(o);
        if (len >= OUT_BYTES) {
            write_through(o, data, len);
            return;
        }
    }
    if (len > 0)
        memcpy(o->buffer + o->len, data, len);
    o->len += len;
}

void out_text(struct out *o, const char *text)
{
    out_bytes(o, text, strlen(text));
}

void out_printf(struct out *o, const char *format, ...)
{
    char text[1024];
    char *longer = NULL;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n > 0 ? (size_t)n : 0;
    if (len >= sizeof text) {
        longer = env_alloc(len + 1);
        if (longer == NULL) {
            o->failed = ENOMEM; /* what is cut would be taken for whole */
            return;
        }
        va_start(args, format);
        (void)vsnprintf(longer, len + 1, format, args);
        va_end(args);
    }
    out_bytes(o, longer != NULL ? longer : text, len);
    env_free(longer);
}

void out_u64(struct out *o, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    out_bytes(o, digits + at, sizeof digits - at);
}

void out_i64(struct out *o, int64_t n)
{
    if (n < 0)
        out_char(o, '-');
    out_u64(o, n < 0 ? UINT64_C(0) - (uint64_t)n : (uint64_t)n);
}

static const char hex_digits[] = "0123456789abcdef";

void out_hex(struct out *o, struct shl_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (OUT_BYTES - o->len < 2)
            (void)out_finish(o);
        o->buffer[o->len++] = hex_digits[s.data[i] >> 4];
        o->buffer[o->len++] = hex_digits[s.data[i] & 15];
    }
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void out_base64(struct out *o, struct shl_slice s)
{
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = shl_min_size(3, s.len - i);
        uint32_t bits = (uint32_t)s.data[i] << 16;
        bits |= n > 1 ? (uint32_t)s.data[i + 1] << 8 : 0;
        bits |= n > 2 ? (uint32_t)s.data[i + 2] : 0;
        char quad[4] = {base64_digits[bits >> 18], base64_digits[bits >> 12 & 63],
                        n > 1 ? base64_digits[bits >> 6 & 63] : '=',
                        n > 2 ? base64_digits[bits & 63] : '='};
        out_bytes(o, quad, 4);
    }
}

static const char *json_escape(uint32_t point, char text[16])
{
    switch (point) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        (void)snprintf(text, 16, "\\u%04" PRIx32, point);
        return text;
    }
}

/* Bytes of the character at the front of `s` if it has to be escaped, else 0. */
static size_t needs_escape(struct shl_slice s, uint32_t *point)
{
    uint8_t c = s.data[0];
    *point = c;
    if (c < 0x80)
        return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
    if (c != 0xc2 && c != 0xd8 && c != 0xe2) /* what all that mislead begin with */
        return 0;
    size_t n = shl_utf8_char(s, point);
    return shl_utf8_misleads(*point) ? n : 0;
}

void out_json_string(struct out *o, struct shl_slice s)
{
    char escape[16];
    uint32_t point;
    size_t clean = 0; /* start of the bytes not yet written that need no escape */
    out_char(o, '"');
    for (size_t i = 0; i < s.len; i++) {
        size_t n = needs_escape(shl_slice_of(s.data + i, s.len - i), &point);
        if (n == 0)
            continue;
        out_bytes(o, s.data + clean, i - clean);
        out_text(o, json_escape(point, escape));
        clean = i + n;
        i += n - 1;
    }
    if (s.len > clean)
        out_bytes(o, s.data + clean, s.len - clean);
    out_char(o, '"');
}

void out_json_member(struct out *o, const char *name, struct shl_slice s)
{
    bool text = shl_utf8_valid(s);
    out_char(o, '"');
    out_text(o, name);
    out_text(o, text ? "\":" : "_base64\":\"");
    if (text) {
        out_json_string(o, s);
        return;
    }
    out_base64(o, s);
    out_char(o, '"');
}

const char *out_shown(char *dst, size_t cap, const char *text)
{
    size_t at = 0;
    for (size_t left = strlen(text); left > 0;) {
        uint32_t point = 0;
        size_t n = shl_utf8_char(shl_slice_of(text, left), &point);
        bool hidden = n == 0 || (shl_utf8_misleads(point) && *text != '\n' && *text != '\t');
        size_t used = hidden ? 1 : n;
        size_t room = hidden ? 4 : n;
        if (at + room >= cap)
            break;
        if (hidden)
            (void)snprintf(dst + at, cap - at, "\\x%02x", (unsigned)(uint8_t)*text);
        else
            memcpy(dst + at, text, n);
        at += room;
        text += used;
        left -= used;
    }
    dst[at] = '\0';
    return dst;
}

/* Escape of one byte of text output, or its own sequence of `n` bytes. */
static size_t text_piece(struct shl_slice s, char piece[8], size_t *used)
{
    uint8_t c = s.data[0];
    uint32_t point = 0;
    size_t n = shl_utf8_char(s, &point);
    *used = 1;
    if (c == '\t' || c == '\n' || c == '\r' || c == '\\') {
        piece[0] = '\\';
        piece[1] = c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\';
        return 2;
    }
    if (n == 0 || shl_utf8_misleads(point)) {
        memcpy(piece, "\\x", 2);
        piece[2] = hex_digits[c >> 4];
        piece[3] = hex_digits[c & 15];
        return 4;
    }
    memcpy(piece, s.data, n);
    *used = n;
    return n;
}

void out_escaped(struct out *o, struct shl_slice s, size_t width)
{
    char piece[8];
    size_t columns = 0;
    while (s.len > 0) {
        size_t used = 0;
        size_t n = text_piece(s, piece, &used);
        columns += used > 1 ? 1 : n;
        if (width > 0 && columns + 3 > width && s.len > used) {
            out_text(o, "...");
            return;
        }
        out_bytes(o, piece, n);
        s = shl_slice_of(s.data + used, s.len - used);
    }
}

void out_folded(struct out *o, const char *line, size_t columns, size_t indent)
{
    size_t room = columns;
    size_t len = strlen(line);
    indent = shl_min_size(indent, columns / 4);
    while (columns > 0 && len > room) {
        size_t at = room;
        while (at > 0 && line[at] != ' ')
            at--;
        if (at <= strspn(line, " ")) { /* a word that is wider than the line */
            at = strspn(line, " ");
            at += strcspn(line + at, " ");
        }
        if (line[at] == '\0')
            break;
        out_bytes(o, line, at);
        out_printf(o, "\n%*s", (int)indent, "");
        at += strspn(line + at, " ");
        line += at;
        len -= at;
        room = columns - indent;
    }
    out_bytes(o, line, len);
    out_char(o, '\n');
}

void out_csv(struct out *o, struct shl_slice s)
{
    bool quote = false;
    for (size_t i = 0; i < s.len && !quote; i++)
        quote = s.data[i] == '"' || s.data[i] == ',' || s.data[i] == '\n' || s.data[i] == '\r';
    if (!quote) {
        out_bytes(o, s.data, s.len);
        return;
    }
    out_char(o, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"')
            out_char(o, '"');
        out_bytes(o, s.data + i, 1);
    }
    out_char(o, '"');
}

const char *out_count(char text[OUT_UNIT_BYTES], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *out_money(char text[OUT_UNIT_BYTES], double usd)
{
    if (usd < 5e-8)
        usd = 0;
    int digits = usd <= 0 ? 0 : usd < 0.0001 ? 7 : usd < 1 ? 4 : 2;
    (void)snprintf(text, OUT_UNIT_BYTES, "~$%.*f", digits, usd > 0 ? usd : 0.0);
    return text;
}
