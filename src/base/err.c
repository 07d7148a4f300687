#include "base/err.h"

#include "base/assert.h"
#include "base/num.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(shale_error) == 512, "shale_error is part of the ABI");

/* A text that was cut may end inside a UTF-8 character: drop what is left of it. */
static void trim_half_character(char *text, size_t len)
{
    size_t i = len;
    while (i > 0 && len - i < 3 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
        i--;
    if (i == 0)
        return;
    unsigned char lead = (unsigned char)text[i - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (len - (i - 1) < want)
        text[i - 1] = '\0';
}

shale_code shl_fail(shale_error *err, shale_code code, const char *format, ...)
{
    SHL_ASSERT(err != NULL);
    SHL_ASSERT(code != SHALE_OK);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n < 0)
        err->text[0] = '\0';
    else if ((size_t)n >= sizeof err->text)
        trim_half_character(err->text, sizeof err->text - 1);
    err->code = code;
    return code;
}

void shl_err_prefix(shale_error *err, const char *format, ...)
{
    SHL_ASSERT(err != NULL);
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    old[sizeof old - 1] = '\0';

    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n;
    bool cut = used >= sizeof err->text;
    if (!cut) {
        size_t room = sizeof err->text - used;
        int m =
            snprintf(err->text + used, room, "%s%s", used > 0 && old[0] != '\0' ? ": " : "", old);
        cut = m >= 0 && (size_t)m >= room;
    }
    if (cut)
        trim_half_character(err->text, sizeof err->text - 1);
}

shale_code shl_nomem(shale_error *err)
{
    return shl_fail(err, SHALE_NOMEM, "out of memory");
}

const char *shale_code_name(shale_code code)
{
    static const char *const names[] = {
        [SHALE_OK] = "OK",
        [SHALE_DONE] = "DONE",
        [SHALE_NOT_FOUND] = "NOT_FOUND",
        [SHALE_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [SHALE_PRECONDITION] = "PRECONDITION",
        [SHALE_NOT_MODIFIED] = "NOT_MODIFIED",
        [SHALE_INVALID] = "INVALID",
        [SHALE_CONFLICT] = "CONFLICT",
        [SHALE_CLOSED] = "CLOSED",
        [SHALE_FENCED] = "FENCED",
        [SHALE_UNAVAILABLE] = "UNAVAILABLE",
        [SHALE_CORRUPTION] = "CORRUPTION",
        [SHALE_INTERNAL] = "INTERNAL",
        [SHALE_NOMEM] = "NOMEM",
        [SHALE_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [SHALE_UNAUTHENTICATED] = "UNAUTHENTICATED",
        [SHALE_INVALID_RANGE] = "INVALID_RANGE",
        [SHALE_NOT_SUPPORTED] = "NOT_SUPPORTED",
        [SHALE_TIMEOUT] = "TIMEOUT",
        [SHALE_NO_SPACE] = "NO_SPACE",
        [SHALE_NO_BUCKET] = "NO_BUCKET",
    };
    /* By number, for a caller of the ABI may hand in anything. */
    size_t number = (size_t)code;
    return number < SHL_COUNT_OF(names) ? names[number] : "UNKNOWN";
}
