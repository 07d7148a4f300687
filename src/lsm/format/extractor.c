/* Prefix extractors: which part of a key names its segment, or goes into a prefix filter. */
#include "lsm/format/sst.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

#define FIXED_DIGITS_MAX 9

bool shl_extractor_parse(const char *text, struct shl_extractor *out)
{
    if (strcmp(text, "slash") == 0) {
        *out = (struct shl_extractor){.kind = SHL_EXTRACT_SLASH, .name = "upto-slash"};
        return true;
    }
    size_t digits = strlen(text);
    if (digits == 0 || digits > FIXED_DIGITS_MAX)
        return false;
    uint32_t n = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = 10 * n + (uint32_t)(text[i] - '0');
    }
    *out = (struct shl_extractor){.kind = SHL_EXTRACT_FIXED, .fixed_len = n};
    int len = snprintf(out->name, sizeof out->name, "fixed%" PRIu32, n);
    SHL_ASSERT(len > 0 && (size_t)len < sizeof out->name);
    return true;
}

static bool prefix_of(const struct shl_extractor *x, struct shl_slice key, bool is_beginning,
                      size_t *out_len)
{
    const uint8_t *slash = NULL;
    switch (x->kind) {
    case SHL_EXTRACT_NONE:
        return false;
    case SHL_EXTRACT_FIXED:
        if (key.len < x->fixed_len)
            return false;
        *out_len = x->fixed_len;
        return true;
    case SHL_EXTRACT_SLASH:
        slash = key.len == 0 ? NULL : memchr(key.data, '/', key.len);
        if (slash == NULL)
            return false;
        *out_len = (size_t)(slash - key.data) + 1;
        return true;
    case SHL_EXTRACT_USER:
        return x->prefix(x->ctx, key, is_beginning, out_len) && *out_len <= key.len;
    }
    SHL_NEVER();
}

bool shl_extractor_prefix(const struct shl_extractor *x, struct shl_slice key, size_t *out_len)
{
    return prefix_of(x, key, false, out_len);
}

bool shl_extractor_prefix_of_all(const struct shl_extractor *x, struct shl_slice beginning,
                                 size_t *out_len)
{
    return prefix_of(x, beginning, true, out_len);
}
