#include "base/str.h"

#include "base/assert.h"
#include "base/num.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- building */

shale_code shl_str_printf(struct shl_buf *out, shale_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    shale_code rc;
    if (n < 0)
        rc = shl_fail(err, SHALE_INTERNAL, "cannot format \"%s\"", format);
    else
        rc = shl_buf_reserve(out, (size_t)n + 1, err);
    if (rc == SHALE_OK) {
        char *at = (char *)out->data + out->len;
        int m = vsnprintf(at, (size_t)n + 1, format, again);
        SHL_ASSERT(m == n);
        out->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

shale_code shl_str_append(struct shl_buf *out, const char *text, shale_error *err)
{
    return shl_buf_append(out, text, strlen(text), err);
}

shale_code shl_str_terminate(struct shl_buf *out, shale_error *err)
{
    shale_code rc = shl_buf_reserve(out, 1, err);
    if (rc == SHALE_OK)
        out->data[out->len] = '\0';
    return rc;
}

/* ---- numbers */

bool shl_parse_u64(struct shl_slice text, uint64_t *out)
{
    if (text.len == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

bool shl_parse_i64(struct shl_slice text, int64_t *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t v;
    if (!shl_parse_u64(negative ? shl_slice_of(text.data + 1, text.len - 1) : text, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static size_t count_digits(const char *p)
{
    size_t n = 0;
    while (p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

bool shl_parse_f64(struct shl_slice text, double *out)
{
    char copy[64];
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';

    /* strtod takes much more than a number (" 0x1p3", "inf"): look at the shape first. */
    const char *p = copy + (copy[0] == '-' || copy[0] == '+');
    size_t whole = count_digits(p);
    p += whole;
    if (whole == 0)
        return false;
    if (*p == '.') {
        size_t part = count_digits(++p);
        if (part == 0)
            return false;
        p += part;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t power = count_digits(p);
        if (power == 0)
            return false;
        p += power;
    }
    if (p != copy + text.len)
        return false;
    double v = strtod(copy, NULL);
    if (!__builtin_isfinite(v))
        return false;
    *out = v;
    return true;
}

const char *shl_f64_text(double v, char out[SHL_F64_TEXT])
{
    for (int digits = 15; digits <= 17; digits++) {
        int n = snprintf(out, SHL_F64_TEXT, "%.*g", digits, v);
        double back;
        if (shl_parse_f64(shl_slice_of(out, (size_t)n), &back) && memcmp(&back, &v, sizeof v) == 0)
            break;
    }
    return out;
}

/* ---- comparing */

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

bool shl_slice_ieq(struct shl_slice a, const char *b)
{
    for (size_t i = 0; i < a.len; i++) {
        if (b[i] == '\0' || lower(a.data[i]) != lower((unsigned char)b[i]))
            return false;
    }
    return b[a.len] == '\0';
}

bool shl_str_ieq(const char *a, const char *b)
{
    return shl_slice_ieq(shl_slice_str(a), b);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct shl_slice shl_slice_trim(struct shl_slice s)
{
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    return s;
}

/* ---- did you mean */

size_t shl_str_distance(struct shl_slice a, struct shl_slice b, size_t max)
{
    size_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (a.len > SHL_DISTANCE_LEN_MAX || b.len > SHL_DISTANCE_LEN_MAX || gap > max)
        return max + 1;
    /* Three rows of the usual table: row i - 2 is needed for swapped neighbours. */
    size_t rows[3][SHL_DISTANCE_LEN_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        size_t best = now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = lower(a.data[i - 1]) == lower(b.data[j - 1]);
            size_t d = shl_min_size(above[j], now[j - 1]) + 1;
            d = shl_min_size(d, above[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a.data[i - 1]) == lower(b.data[j - 2]) &&
                lower(a.data[i - 2]) == lower(b.data[j - 1]))
                d = shl_min_size(d, above2[j - 2] + 1);
            now[j] = d;
            best = shl_min_size(best, d);
        }
        /* Not an exit at best == max + 1: a swap may still reach back over this row. */
        if (best > max + 1)
            return max + 1;
    }
    return shl_min_size(rows[a.len % 3][b.len], max + 1);
}

static bool contains_nocase(struct shl_slice whole, struct shl_slice part)
{
    for (size_t at = 0; at + part.len <= whole.len; at++) {
        size_t i = 0;
        while (i < part.len && lower(whole.data[at + i]) == lower(part.data[i]))
            i++;
        if (i == part.len)
            return true;
    }
    return false;
}

size_t shl_str_near_max(size_t len)
{
    return shl_max_size(len / 3, 1);
}

const char *shl_str_suggest(struct shl_slice word, size_t count,
                            const char *(*name_at)(const void *ctx, size_t i), const void *ctx)
{
    const char *nearest = NULL;
    const char *holder = NULL; /* the only name that has the word in it */
    size_t holders = 0;
    size_t best = shl_str_near_max(word.len) + 1;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_at(ctx, i);
        struct shl_slice s = shl_slice_str(name);
        size_t d = shl_str_distance(word, s, best - 1);
        if (d < best) {
            best = d;
            nearest = name;
        }
        if (word.len >= 4 && contains_nocase(s, word)) {
            holder = name;
            holders++;
        }
    }
    if (holders == 1 && best > 1)
        return holder;
    return nearest;
}
