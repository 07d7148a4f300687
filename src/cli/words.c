#include "cli/words.h"

#include "base/env/env.h"
#include "base/err.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* *at stands behind a backslash; moves it behind what was taken. */
static shale_code unescape(const char **at, char *out, shale_error *err)
{
    static const char names[] = "ntr";
    static const char bytes[] = "\n\t\r";
    char c = *(*at)++;
    const char *known = c != '\0' ? strchr(names, c) : NULL;
    if (c == '\0')
        return shl_fail(err, SHALE_INVALID, "the line ends with a backslash");
    *out = known != NULL ? bytes[known - names] : c;
    if (c != 'x')
        return SHALE_OK;
    int high = hex_value((*at)[0]);
    int low = high >= 0 ? hex_value((*at)[1]) : -1;
    if (low < 0)
        return shl_fail(err, SHALE_INVALID, "\\x wants two hex digits");
    *at += 2;
    *out = (char)(high * 16 + low);
    if (*out == '\0')
        return shl_fail(err, SHALE_INVALID,
                        "\\x00 cannot be typed: give the key in hex, with --hex");
    return SHALE_OK;
}

/* One word from *at; `to` gets its bytes. */
static shale_code take_word(const char **at, char **to, bool half, bool *open, shale_error *err)
{
    char quote = '\0';
    shale_code rc;
    *open = false;
    for (;;) {
        char c = **at;
        if (c == '\0' && quote != '\0' && !half)
            return shl_fail(err, SHALE_INVALID, "%c is not closed", quote);
        if (c == '\0' || (quote == '\0' && (c == ' ' || c == '\t'))) {
            *open = c == '\0';
            return SHALE_OK;
        }
        ++*at;
        if (quote == '\0' && (c == '\'' || c == '"')) {
            quote = c;
        } else if (quote != '\0' && c == quote) {
            quote = '\0';
        } else if (c == '\\' && quote != '\'') {
            if (half && **at == '\0')
                continue;
            rc = unescape(at, &c, err);
            if (rc != SHALE_OK)
                return rc;
            *(*to)++ = c;
        } else {
            *(*to)++ = c;
        }
    }
}

shale_code words_split(struct words *w, const char *line, bool half, shale_error *err)
{
    size_t len = strlen(line);
    const char *at = line;
    shale_code rc = SHALE_OK;
    *w = (struct words){.last_at = len};
    w->text = env_alloc(len + 2);
    w->items = env_calloc(len / 2 + 2, sizeof *w->items);
    if (w->text == NULL || w->items == NULL)
        return shl_nomem(err);
    for (char *to = w->text; rc == SHALE_OK;) {
        at += strspn(at, " \t");
        if (*at == '\0' || *at == '#')
            break;
        w->items[w->count++] = to;
        w->last_at = (size_t)(at - line);
        rc = take_word(&at, &to, half, &w->open, err);
        *to++ = '\0';
    }
    if (!w->open)
        w->last_at = len;
    return rc;
}

void words_deinit(struct words *w)
{
    env_free(w->text);
    env_free(w->items);
    *w = (struct words){0};
}

shale_code words_quote(struct shl_buf *out, const char *word, shale_error *err)
{
    static const char digits[] = "0123456789abcdef";
    shale_code rc = SHALE_OK;
    for (const char *at = word; *at != '\0' && rc == SHALE_OK; at++) {
        unsigned char c = (unsigned char)*at;
        char hex[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
        if (c < 0x20 || c == 0x7f)
            rc = shl_buf_append(out, hex, sizeof hex, err);
        else if (strchr(" \\'\"", c) != NULL || (c == '#' && at == word))
            rc = shl_buf_append(out, (char[]){'\\', *at}, 2, err);
        else
            rc = shl_buf_append(out, at, 1, err);
    }
    return rc;
}
