#include "store/mask.h"

#include "base/num.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define SECRET_MIN 8
#define CUT_MIN    4 /* characters of a secret at the end of a text that are taken for its beginning */
#define HEX_MIN    64

static int hex_of(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* Characters of the text that stand for c: 0, 1, or 3 for a percent sign and two digits. */
static size_t stands_for(const char *text, char c)
{
    if (*text == c)
        return 1;
    if (text[0] != '%' || hex_of(text[1]) < 0 || hex_of(text[2]) < 0)
        return 0;
    return hex_of(text[1]) * 16 + hex_of(text[2]) == (unsigned char)c ? 3 : 0;
}

/* The text ends here, or within a percent sign's digits. */
static bool is_end(const char *text)
{
    return text[0] == '\0' || (text[0] == '%' && (text[1] == '\0' || text[2] == '\0'));
}

/* Length of the secret at the start of the text; 0: it is not there. */
static size_t secret_at(const char *text, const char *secret)
{
    size_t n = 0;
    for (size_t done = 0; secret[done] != '\0'; done++) {
        size_t step = stands_for(text + n, secret[done]);
        if (step == 0)
            return done >= CUT_MIN && is_end(text + n) ? n + strlen(text + n) : 0;
        n += step;
    }
    return n;
}

/* "Signature=" and its like: their length, and behind it the word that is not to be seen. */
static size_t name_at(const char *text)
{
    static const char *const names[] = {"signature=", "security-token=", "security-token:"};
    for (size_t i = 0; i < SHL_COUNT_OF(names); i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(text, names[i], n) == 0)
            return n + strspn(text + n, " ");
    }
    return 0;
}

static size_t hex_at(const char *text)
{
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    return n >= HEX_MIN ? n : 0;
}

static size_t hidden_at(const char *text, const char *const *secrets, size_t count)
{
    size_t n = hex_at(text);
    for (size_t i = 0; i < count && n == 0; i++)
        if (secrets[i] != NULL && strlen(secrets[i]) >= SECRET_MIN)
            n = secret_at(text, secrets[i]);
    return n;
}

void shl_mask(char *text, const char *const *secrets, size_t count)
{
    static const char stars[] = "***";
    char *to = text;
    const char *from = text;
    while (*from != '\0') {
        size_t name = name_at(from);
        memmove(to, from, name);
        to += name;
        from += name;
        size_t n = name > 0 ? strcspn(from, " ,;&<>\"'\r\n") : hidden_at(from, secrets, count);
        if (n > 0) {
            size_t shown = shl_min_size(n, sizeof stars - 1);
            memcpy(to, stars, shown);
            to += shown;
            from += n;
        } else if (name == 0) {
            *to++ = *from++;
        }
    }
    *to = '\0';
}
