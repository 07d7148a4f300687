#include "base/units.h"

#include "base/num.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>

#define SHOWN_MAX    64 /* bytes of a bad value that an error repeats */
#define DECIMALS_MAX 9
#define BILLION      UINT64_C(1000000000)

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"KiB", UINT64_C(1) << 10},
    {"KB", UINT64_C(1000)},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"MB", UINT64_C(1000000)},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"GB", UINT64_C(1000000000)},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
    {"TB", UINT64_C(1000000000000)},
    {"P", UINT64_C(1) << 50},
    {"PiB", UINT64_C(1) << 50},
    {"PB", UINT64_C(1000000000000000)},
    {"E", UINT64_C(1) << 60},
    {"EiB", UINT64_C(1) << 60},
    {"EB", UINT64_C(1000000000000000000)},
};

#define MINUTE_NS (60 * BILLION)
#define HOUR_NS   (60 * MINUTE_NS)
#define DAY_NS    (24 * HOUR_NS)

static const struct unit duration_units[] = {
    {"ns", 1},        {"us", 1000},       {"ms", 1000000}, {"s", BILLION}, {"sec", BILLION},
    {"m", MINUTE_NS}, {"min", MINUTE_NS}, {"h", HOUR_NS},  {"d", DAY_NS},  {"w", 7 * DAY_NS},
};

/* A decimal number in billionths of its fraction: 1.5 is whole 1, part 500000000. */
struct decimal {
    uint64_t whole;
    uint64_t part;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits with an optional fraction from the front of *text. */
static bool take_decimal(struct shl_slice *text, struct decimal *out)
{
    size_t n = 0;
    while (n < text->len && is_digit(text->data[n]))
        n++;
    if (!shl_parse_u64(shl_slice_of(text->data, n), &out->whole))
        return false;
    out->part = 0;
    if (n < text->len && text->data[n] == '.') {
        size_t first = ++n;
        uint64_t place = BILLION;
        for (; n < text->len && is_digit(text->data[n]); n++) {
            place /= 10;
            out->part += place * (uint64_t)(text->data[n] - '0');
        }
        if (n == first || n - first > DECIMALS_MAX)
            return false;
    }
    *text = shl_slice_of(text->data + n, text->len - n);
    return true;
}

static bool times(struct decimal d, uint64_t factor, uint64_t *out)
{
    uint64_t whole;
    if (__builtin_mul_overflow(d.whole, factor, &whole))
        return false;
    /* part * factor / 10^9 without leaving 64 bits: part < 2^30, so split the factor. */
    uint64_t part = factor / BILLION * d.part + factor % BILLION * d.part / BILLION;
    return shl_add_u64(whole, part, out);
}

static struct shl_slice shown(struct shl_slice text)
{
    return shl_slice_of(text.data, shl_min_size(text.len, SHOWN_MAX));
}

#define SHOWN(text) (int)shown(text).len, (const char *)shown(text).data

shale_code shl_parse_size(struct shl_slice text, uint64_t *out_bytes, shale_error *err)
{
    struct shl_slice rest = shl_slice_trim(text);
    struct decimal d;
    if (take_decimal(&rest, &d)) {
        rest = shl_slice_trim(rest);
        for (size_t i = 0; i < SHL_COUNT_OF(size_units); i++) {
            if (!shl_slice_ieq(rest, size_units[i].name))
                continue;
            if (size_units[i].factor == 1 && d.part != 0)
                return shl_fail(err, SHALE_INVALID, "\"%.*s\": there are no parts of a byte",
                                SHOWN(text));
            if (times(d, size_units[i].factor, out_bytes))
                return SHALE_OK;
            return shl_fail(err, SHALE_INVALID, "\"%.*s\" is too large, at most 16 EiB - 1",
                            SHOWN(text));
        }
    }
    return shl_fail(err, SHALE_INVALID, "\"%.*s\" is not a size (e.g. 4096, 64MiB, 10MB)",
                    SHOWN(text));
}

static const struct unit *take_duration_unit(struct shl_slice *text)
{
    size_t n = 0;
    while (n < text->len && !is_digit(text->data[n]) && text->data[n] != '+' &&
           text->data[n] != ' ')
        n++;
    for (size_t i = 0; i < SHL_COUNT_OF(duration_units); i++) {
        if (shl_slice_ieq(shl_slice_of(text->data, n), duration_units[i].name)) {
            *text = shl_slice_of(text->data + n, text->len - n);
            return &duration_units[i];
        }
    }
    return NULL;
}

shale_code shl_parse_duration(struct shl_slice text, bool bare_is_seconds, uint64_t *out_ns,
                              shale_error *err)
{
    struct shl_slice rest = shl_slice_trim(text);
    uint64_t sum = 0;
    for (size_t parts = 0; parts == 0 || rest.len > 0; parts++) {
        struct decimal d;
        uint64_t part;
        if (!take_decimal(&rest, &d))
            goto bad;
        uint64_t factor = BILLION;
        if (rest.len == 0 && parts == 0) {
            if (!bare_is_seconds)
                return shl_fail(err, SHALE_INVALID, "\"%.*s\": %.*s what? write %.*ss or %.*sms",
                                SHOWN(text), SHOWN(text), SHOWN(text), SHOWN(text));
        } else {
            rest = shl_slice_trim(rest);
            const struct unit *unit = take_duration_unit(&rest);
            if (unit == NULL)
                goto bad;
            factor = unit->factor;
        }
        if (!times(d, factor, &part) || !shl_add_u64(sum, part, &sum))
            return shl_fail(err, SHALE_INVALID, "\"%.*s\" is too long, at most 213503d",
                            SHOWN(text));
        rest = shl_slice_trim(rest);
        if (rest.len > 1 && rest.data[0] == '+')
            rest = shl_slice_trim(shl_slice_of(rest.data + 1, rest.len - 1));
    }
    *out_ns = sum;
    return SHALE_OK;
bad:
    return shl_fail(err, SHALE_INVALID, "\"%.*s\" is not a duration (e.g. 100ms, 30s, 1h30m, 7d)",
                    SHOWN(text));
}

shale_code shl_parse_percent(struct shl_slice text, double *out_fraction, shale_error *err)
{
    struct shl_slice rest = shl_slice_trim(text);
    double v;
    if (rest.len > 1 && rest.data[rest.len - 1] == '%') {
        rest.len--;
        if (shl_parse_f64(shl_slice_trim(rest), &v) && v >= 0 && v <= 100) {
            *out_fraction = v / 100;
            return SHALE_OK;
        }
    }
    return shl_fail(err, SHALE_INVALID, "\"%.*s\" is not a percentage (0%% to 100%%)", SHOWN(text));
}

bool shl_parse_bool(struct shl_slice text, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"on", true},   {"yes", true}, {"1", true},
                 {"false", false}, {"off", false}, {"no", false}, {"0", false}};
    for (size_t i = 0; i < SHL_COUNT_OF(words); i++) {
        if (shl_slice_ieq(text, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

static const char *const binary_names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

/* Three digits: as many decimals as fit beside the whole part. */
static int decimals_for(double v)
{
    return v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
}

const char *shl_format_size(uint64_t bytes, char out[SHL_UNITS_TEXT])
{
    size_t unit = 0;
    double v = (double)bytes;
    while (v >= 1023.5 && unit + 1 < SHL_COUNT_OF(binary_names)) {
        v /= 1024;
        unit++;
    }
    snprintf(out, SHL_UNITS_TEXT, "%.*f %s", unit == 0 ? 0 : decimals_for(v), v,
             binary_names[unit]);
    return out;
}

const char *shl_format_size_exact(uint64_t bytes, char out[SHL_UNITS_TEXT])
{
    size_t unit = 0;
    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < SHL_COUNT_OF(binary_names)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, SHL_UNITS_TEXT, "%" PRIu64 "%s", bytes, unit == 0 ? "" : binary_names[unit]);
    return out;
}

const char *shl_format_duration(uint64_t ns, char out[SHL_UNITS_TEXT])
{
    const struct {
        uint64_t value;
        const char *unit;
    } parts[] = {{ns / BILLION, "s"},
                 {ns / 1000000 % 1000, "ms"},
                 {ns / 1000 % 1000, "us"},
                 {ns % 1000, "ns"}};
    size_t used = 0;
    for (size_t i = 0; i < SHL_COUNT_OF(parts); i++) {
        if (parts[i].value == 0)
            continue;
        int n = snprintf(out + used, SHL_UNITS_TEXT - used, "%s%" PRIu64 "%s", used > 0 ? "+" : "",
                         parts[i].value, parts[i].unit);
        used += (size_t)n;
    }
    if (used == 0)
        snprintf(out, SHL_UNITS_TEXT, "0s");
    return out;
}

const char *shl_format_duration_human(uint64_t ns, char out[SHL_UNITS_TEXT])
{
    static const struct unit large[] = {
        {"d", DAY_NS}, {"h", HOUR_NS}, {"m", MINUTE_NS}, {"s", BILLION}};
    static const struct unit small[] = {{"s", BILLION}, {"ms", 1000000}, {"us", 1000}};
    for (size_t i = 0; i + 1 < SHL_COUNT_OF(large); i++) {
        if (ns < large[i].factor)
            continue;
        uint64_t first = ns / large[i].factor;
        uint64_t second = ns % large[i].factor / large[i + 1].factor;
        if (second > 0)
            snprintf(out, SHL_UNITS_TEXT, "%" PRIu64 "%s %" PRIu64 "%s", first, large[i].name,
                     second, large[i + 1].name);
        else
            snprintf(out, SHL_UNITS_TEXT, "%" PRIu64 "%s", first, large[i].name);
        return out;
    }
    for (size_t i = 0; i < SHL_COUNT_OF(small); i++) {
        double v = (double)ns / (double)small[i].factor;
        if (v < 1)
            continue;
        snprintf(out, SHL_UNITS_TEXT, "%.*f%s", decimals_for(v), v, small[i].name);
        return out;
    }
    snprintf(out, SHL_UNITS_TEXT, "%" PRIu64 "ns", ns);
    return out;
}

const char *shl_format_percent(double fraction, char out[SHL_UNITS_TEXT])
{
    snprintf(out, SHL_UNITS_TEXT, "%.1f %%", fraction * 100);
    return out;
}
