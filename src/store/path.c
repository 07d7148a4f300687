#include "store/path.h"

#include "base/codec/text.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>

/* ---- checking */

static bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

static const char *segment_fault(const char *s, size_t len)
{
    if (len == 0)
        return "an empty segment ('/' at an end, or twice)";
    if (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))
        return "a segment \".\" or \"..\"";
    for (size_t i = 0; i < len; i++) {
        if (is_control((uint8_t)s[i]))
            return "a control character";
    }
    return NULL;
}

enum { BYTE_OTHER = 0, BYTE_WORD = 1, BYTE_SIGN = 2, BYTE_SLASH = 3 };

/* Names of objects are checked with every request: those of letters, digits and a few signs in segments that begin with none of
 * them, which is nearly all, in one look per byte. False: look closer. */
static bool is_plainly_good(const char *key)
{
    /* clang-format off */
    static const uint8_t kinds[256] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    };
    /* clang-format on */
    bool begins = true; /* a segment */
    for (; *key != '\0'; key++) {
        uint8_t kind = kinds[(uint8_t)*key];
        if (kind == BYTE_OTHER || (begins && kind != BYTE_WORD))
            return false;
        begins = kind == BYTE_SLASH;
    }
    return !begins;
}

const char *shl_path_fault(const char *key)
{
    if (key[0] == '\0' || is_plainly_good(key))
        return NULL;
    for (const char *at = key;;) {
        size_t len = strcspn(at, "/");
        const char *fault = segment_fault(at, len);
        if (fault != NULL)
            return fault;
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    return shl_utf8_valid(shl_slice_str(key)) ? NULL : "bytes that are not UTF-8";
}

#define SHOWN_MAX 256

/* Messages go to terminals: bytes that could steer one are shown as \xNN. */
static void show(char out[SHOWN_MAX], const char *key)
{
    static const char hex[] = "0123456789abcdef";
    bool raw = shl_utf8_valid(shl_slice_str(key));
    size_t n = 0;
    for (; *key != '\0' && n + 8 < SHOWN_MAX; key++) {
        uint8_t c = (uint8_t)*key;
        if (!is_control(c) && (c < 0x80 || raw)) {
            out[n++] = *key;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    if (*key != '\0') {
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = '\0';
}

static shale_code bad_key(const char *key, const char *why, shale_error *err)
{
    char shown[SHOWN_MAX];
    show(shown, key);
    return shl_fail(err, SHALE_INVALID, "bad key \"%s\": it has %s", shown, why);
}

shale_code shl_path_check(const char *key, shale_error *err)
{
    if (key[0] == '\0')
        return shl_fail(err, SHALE_INVALID, "bad key \"\": an object needs a name");
    const char *fault = shl_path_fault(key);
    return fault == NULL ? SHALE_OK : bad_key(key, fault, err);
}

shale_code shl_path_parse(const char *text, char **out, shale_error *err)
{
    struct shl_slice s = shl_slice_str(text);
    if (s.len > 0 && s.data[0] == '/') {
        s.data++;
        s.len--;
    }
    if (s.len > 1 && s.data[s.len - 1] == '/') /* so "/" is the root, but "//" is wrong */
        s.len--;
    char *key = shl_slice_dup_cstr(s);
    if (key == NULL)
        return shl_nomem(err);
    const char *fault = shl_path_fault(key);
    if (fault != NULL) {
        env_free(key);
        return bad_key(text, fault, err);
    }
    *out = key;
    return SHALE_OK;
}

/* ---- percent signs */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

shale_code shl_url_decode(const char *text, char **out, shale_error *err)
{
    char *to = env_strdup(text);
    if (to == NULL)
        return shl_nomem(err);
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        int hi = *p == '%' ? hex_value(p[1]) : -1;
        int lo = hi >= 0 ? hex_value(p[2]) : -1;
        if (lo < 0) {
            to[n++] = *p;
            continue;
        }
        if (hi == 0 && lo == 0) {
            env_free(to);
            return shl_fail(err, SHALE_INVALID,
                            "bad URL path \"%s\": %%00 cannot be part of a name", text);
        }
        to[n++] = (char)(hi << 4 | lo);
        p += 2;
    }
    to[n] = '\0';
    *out = to;
    return SHALE_OK;
}

shale_code shl_path_from_url(const char *text, char **out, shale_error *err)
{
    char *decoded;
    shale_code rc = shl_url_decode(text, &decoded, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_path_parse(decoded, out, err);
    env_free(decoded);
    return rc;
}

static bool must_escape(uint8_t c)
{
    return is_control(c) || c >= 0x80 || strchr("/\\{^}%`]\">[~<#|*?", c) != NULL;
}

/* Appends one escaped part; `out` has room for three bytes per byte. */
static size_t escape_part(char *out, struct shl_slice part)
{
    static const char hex[] = "0123456789ABCDEF";
    bool dots =
        (part.len == 1 || part.len == 2) && part.data[0] == '.' && part.data[part.len - 1] == '.';
    size_t n = 0;
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.data[i];
        if (!dots && !must_escape(c)) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    return n;
}

char *shl_path_from_parts(const struct shl_slice *parts, size_t count)
{
    size_t room = 1;
    for (size_t i = 0; i < count; i++) {
        size_t part;
        if (!shl_mul_size(parts[i].len, 3, &part) || !shl_add_size(room, part, &room) ||
            !shl_add_size(room, 1, &room))
            return NULL;
    }
    char *out = env_alloc(room);
    if (out == NULL)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len == 0)
            continue;
        if (n > 0)
            out[n++] = '/';
        n += escape_part(out + n, parts[i]);
    }
    out[n] = '\0';
    return out;
}

/* ---- joining */

bool shl_path_is_under(const char *key, const char *prefix)
{
    size_t n = strlen(prefix);
    if (n == 0)
        return true;
    return strncmp(key, prefix, n) == 0 && (key[n] == '\0' || key[n] == '/');
}

static void join_into(char *to, const char *a, size_t a_len, const char *b, size_t b_len)
{
    memcpy(to, a, a_len);
    size_t n = a_len;
    if (a_len > 0 && b_len > 0)
        to[n++] = '/';
    memcpy(to + n, b, b_len);
    to[n + b_len] = '\0';
}

char *shl_path_join(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    char *to = env_alloc(a_len + b_len + 2);
    if (to != NULL)
        join_into(to, a, a_len, b, b_len);
    return to;
}

shale_code shl_path_buf_join(struct shl_path_buf *p, const char *a, const char *b, shale_error *err)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    size_t need = a_len + b_len + 2;
    p->text = need <= sizeof p->small ? p->small : env_alloc(need);
    if (p->text == NULL)
        return shl_nomem(err);
    join_into(p->text, a, a_len, b, b_len);
    return SHALE_OK;
}

void shl_path_buf_deinit(struct shl_path_buf *p)
{
    if (p->text != p->small)
        env_free(p->text);
    p->text = NULL;
}

const char *shl_url_shown(const char *url, char out[SHL_URL_SHOWN])
{
    const char *host = strstr(url, "://");
    if (host == NULL)
        return url;
    host += 3;
    size_t len = strcspn(host, "/?#");
    size_t user = 0;
    for (size_t i = 0; i < len; i++)
        if (host[i] == '@')
            user = i + 1;
    if (user == 0)
        return url;
    (void)snprintf(out, SHL_URL_SHOWN, "%.*s***@%s", (int)shl_min_size((size_t)(host - url), 20),
                   url, host + user);
    return out;
}
