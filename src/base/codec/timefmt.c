#include "base/codec/timefmt.h"

#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>
#include <stdio.h>

#define MS_PER_DAY    INT64_C(86400000)
#define SEC_PER_DAY   INT64_C(86400)
#define NS_PER_SEC    INT64_C(1000000000)
#define DAYS_PER_400Y INT64_C(146097)
#define YEAR_MIN      1970
#define YEAR_MAX      9999
#define UNIX_MS_MAX   INT64_C(253402300799999) /* the last millisecond of YEAR_MAX */

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
/* 1 January 1970 was a Thursday. */
static const char *const day_names[7] = {"Thursday", "Friday",  "Saturday", "Sunday",
                                         "Monday",   "Tuesday", "Wednesday"};

/* ---- the calendar */

struct civil {
    int year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
    int hour;
    int minute;
    int second; /* 60 is read as the first second of the next minute */
    int64_t nanosecond;
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1 January 1970 to that of `year`. */
static int64_t days_before_year(int year)
{
    int64_t past = year - 1;
    int64_t leap_days = past / 4 - past / 100 + past / 400;
    return (int64_t)(year - YEAR_MIN) * 365 + leap_days - 477; /* leap days before 1970 */
}

static int64_t days_of(int year, int month, int day)
{
    int64_t days = days_before_year(year) + day - 1;
    for (int m = 1; m < month; m++)
        days += days_in_month(year, m);
    return days;
}

static struct civil civil_of(int64_t unix_ms)
{
    int64_t days = unix_ms / MS_PER_DAY;
    int64_t ms = unix_ms % MS_PER_DAY;
    struct civil c = {.hour = (int)(ms / 3600000),
                      .minute = (int)(ms / 60000 % 60),
                      .second = (int)(ms / 1000 % 60),
                      .nanosecond = ms % 1000 * 1000000};
    /* By the mean length of a year; at most one year off. */
    c.year = YEAR_MIN + (int)(days * 400 / DAYS_PER_400Y);
    while (days_before_year(c.year) > days)
        c.year--;
    while (days_before_year(c.year + 1) <= days)
        c.year++;
    int rest = (int)(days - days_before_year(c.year));
    for (c.month = 1; rest >= days_in_month(c.year, c.month); c.month++)
        rest -= days_in_month(c.year, c.month);
    c.day = rest + 1;
    return c;
}

/* False if the parts are no time, or one before 1970. */
static bool unix_ns_of(const struct civil *c, int64_t offset_s, int64_t *out)
{
    if (c->year < YEAR_MIN - 1 || c->year > YEAR_MAX || c->month < 1 || c->month > 12 ||
        c->day < 1 || c->day > days_in_month(c->year, c->month) || c->hour > 23 || c->minute > 59 ||
        c->second > 60)
        return false;
    int64_t seconds = days_of(c->year, c->month, c->day) * SEC_PER_DAY + c->hour * 3600 +
                      c->minute * 60 + c->second - offset_s;
    if (seconds < 0)
        return false;
    if (__builtin_mul_overflow(seconds, NS_PER_SEC, out) ||
        __builtin_add_overflow(*out, c->nanosecond, out))
        *out = INT64_MAX;
    return true;
}

/* ---- writing */

static struct civil civil_clamped(int64_t unix_ms)
{
    return civil_of(unix_ms < 0 ? 0 : unix_ms > UNIX_MS_MAX ? UNIX_MS_MAX : unix_ms);
}

const char *shl_time_rfc3339(int64_t unix_ms, char out[SHL_TIME_TEXT])
{
    struct civil c = civil_clamped(unix_ms);
    int n = snprintf(out, SHL_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day,
                     c.hour, c.minute, c.second);
    SHL_ASSERT(n == 19);
    if (c.nanosecond != 0)
        n += snprintf(out + n, (size_t)(SHL_TIME_TEXT - n), ".%03d", (int)(c.nanosecond / 1000000));
    out[n] = 'Z';
    out[n + 1] = '\0';
    return out;
}

const char *shl_time_http(int64_t unix_ms, char out[SHL_TIME_TEXT])
{
    struct civil c = civil_clamped(unix_ms);
    const char *day_name = day_names[days_of(c.year, c.month, c.day) % 7];
    int n = snprintf(out, SHL_TIME_TEXT, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", day_name, c.day,
                     month_names[c.month - 1], c.year, c.hour, c.minute, c.second);
    SHL_ASSERT(n == 29);
    return out;
}

/* Each signed request has one, so it is not for printf. */
static void put_digits(char *out, int v, int count)
{
    for (int i = count - 1; i >= 0; i--, v /= 10)
        out[i] = (char)('0' + v % 10);
}

const char *shl_time_amz(int64_t unix_ms, char out[SHL_TIME_TEXT])
{
    struct civil c = civil_clamped(unix_ms);
    put_digits(out, c.year, 4);
    put_digits(out + 4, c.month, 2);
    put_digits(out + 6, c.day, 2);
    out[8] = 'T';
    put_digits(out + 9, c.hour, 2);
    put_digits(out + 11, c.minute, 2);
    put_digits(out + 13, c.second, 2);
    out[15] = 'Z';
    out[16] = '\0';
    return out;
}

/* ---- reading: each take_ moves over what it took, and takes nothing if it answers false */

static bool take_char(struct shl_slice *s, char c)
{
    if (s->len == 0 || s->data[0] != (uint8_t)c)
        return false;
    *s = shl_slice_of(s->data + 1, s->len - 1);
    return true;
}

static bool take_text(struct shl_slice *s, const char *text, size_t len)
{
    if (!shl_slice_has_prefix(*s, shl_slice_of(text, len)))
        return false;
    *s = shl_slice_of(s->data + len, s->len - len);
    return true;
}

static bool take_digit(struct shl_slice *s, int *out)
{
    if (s->len == 0 || s->data[0] < '0' || s->data[0] > '9')
        return false;
    *out = s->data[0] - '0';
    *s = shl_slice_of(s->data + 1, s->len - 1);
    return true;
}

/* Exactly `digits` of them. */
static bool take_number(struct shl_slice *s, int digits, int *out)
{
    struct shl_slice rest = *s;
    int value = 0;
    for (int i = 0; i < digits; i++) {
        int digit;
        if (!take_digit(&rest, &digit))
            return false;
        value = value * 10 + digit;
    }
    *s = rest;
    *out = value;
    return true;
}

static bool take_month(struct shl_slice *s, int *out)
{
    for (size_t i = 0; i < SHL_COUNT_OF(month_names); i++) {
        if (take_text(s, month_names[i], 3)) {
            *out = (int)i + 1;
            return true;
        }
    }
    return false;
}

/* Which day it is follows from the date; that the two agree is not looked at. */
static bool take_day_name(struct shl_slice *s, bool whole)
{
    for (size_t i = 0; i < SHL_COUNT_OF(day_names); i++) {
        if (take_text(s, day_names[i], whole ? strlen(day_names[i]) : 3))
            return true;
    }
    return false;
}

/* "08:30:00" */
static bool take_clock(struct shl_slice *s, struct civil *c)
{
    return take_number(s, 2, &c->hour) && take_char(s, ':') && take_number(s, 2, &c->minute) &&
           take_char(s, ':') && take_number(s, 2, &c->second);
}

/* Nothing, or '.' and one digit or more. */
static bool take_fraction(struct shl_slice *s, int64_t *out_ns)
{
    *out_ns = 0;
    if (!take_char(s, '.'))
        return true;
    int digit;
    if (!take_digit(s, &digit))
        return false;
    int64_t unit = NS_PER_SEC / 10;
    do {
        *out_ns += digit * unit;
        unit /= 10; /* 0 behind the ninth digit */
    } while (take_digit(s, &digit));
    return true;
}

/* 'Z', 'z', "+hh:mm" or "-hh:mm"; seconds east of UTC. */
static bool take_zone(struct shl_slice *s, int64_t *out_offset_s)
{
    *out_offset_s = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    bool west = take_char(s, '-');
    int hours, minutes;
    if ((!west && !take_char(s, '+')) || !take_number(s, 2, &hours) || !take_char(s, ':') ||
        !take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    int64_t offset = hours * 3600 + minutes * 60;
    *out_offset_s = west ? -offset : offset;
    return true;
}

bool shl_time_parse_rfc3339(struct shl_slice text, int64_t *out_unix_ns)
{
    struct civil c = {0};
    int64_t offset_s;
    bool ok = take_number(&text, 4, &c.year) && take_char(&text, '-') &&
              take_number(&text, 2, &c.month) && take_char(&text, '-') &&
              take_number(&text, 2, &c.day) &&
              (take_char(&text, 'T') || take_char(&text, 't') || take_char(&text, ' ')) &&
              take_clock(&text, &c) && take_fraction(&text, &c.nanosecond) &&
              take_zone(&text, &offset_s) && text.len == 0;
    int64_t ns;
    if (!ok || !unix_ns_of(&c, offset_s, &ns))
        return false;
    *out_unix_ns = ns;
    return true;
}

/* "Thu, 15 Jan 2026 08:30:00 GMT" */
static bool take_imf_fixdate(struct shl_slice s, struct civil *c)
{
    return take_day_name(&s, false) && take_text(&s, ", ", 2) && take_number(&s, 2, &c->day) &&
           take_char(&s, ' ') && take_month(&s, &c->month) && take_char(&s, ' ') &&
           take_number(&s, 4, &c->year) && take_char(&s, ' ') && take_clock(&s, c) &&
           take_text(&s, " GMT", 4) && s.len == 0;
}

/* "Thursday, 15-Jan-26 08:30:00 GMT"; what is older than 1970 cannot be meant. */
static bool take_rfc850(struct shl_slice s, struct civil *c)
{
    bool ok = take_day_name(&s, true) && take_text(&s, ", ", 2) && take_number(&s, 2, &c->day) &&
              take_char(&s, '-') && take_month(&s, &c->month) && take_char(&s, '-') &&
              take_number(&s, 2, &c->year) && take_char(&s, ' ') && take_clock(&s, c) &&
              take_text(&s, " GMT", 4) && s.len == 0;
    c->year += c->year >= 70 ? 1900 : 2000;
    return ok;
}

/* "Thu Jan 15 08:30:00 2026", days below 10 with a blank before them */
static bool take_asctime(struct shl_slice s, struct civil *c)
{
    return take_day_name(&s, false) && take_char(&s, ' ') && take_month(&s, &c->month) &&
           take_char(&s, ' ') &&
           (take_number(&s, 2, &c->day) || (take_char(&s, ' ') && take_number(&s, 1, &c->day))) &&
           take_char(&s, ' ') && take_clock(&s, c) && take_char(&s, ' ') &&
           take_number(&s, 4, &c->year) && s.len == 0;
}

bool shl_time_parse_http(struct shl_slice text, int64_t *out_unix_ns)
{
    struct civil c = {0};
    int64_t ns;
    if (!take_imf_fixdate(text, &c) && !take_rfc850(text, &c) && !take_asctime(text, &c))
        return false;
    if (!unix_ns_of(&c, 0, &ns))
        return false;
    *out_unix_ns = ns;
    return true;
}
