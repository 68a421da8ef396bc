/*
 * time_text.c - times are read as decimal digits and a power of ten, in integers: through a double
 * a moment of our days would be exact to a quarter of a microsecond, but one in the year 300,000
 * would not be to the millisecond, and both must come back as they were written. Only what lies
 * between two milliseconds goes through a double where Prometheus' rounding shows (rounded_ms()).
 *
 * Dates are counted in years that begin in March, so that the leap day is the last of them, and in
 * eras of 400 years, which all have the same number of days.
 */
#include "base/text/time_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/utf8.h"

enum { DIGITS_MAX = 19, EXPONENT_MAX = 100000 };
#define SECONDS_WITH_MS 0x1p43 /* from here on a double of seconds has no milliseconds */

bool
time_parse_ms(struct bytes text, int64_t *ret_ms)
{
    struct cursor c = cursor_of(text);
    bool negative = c.at != c.end && *c.at == '-';
    if (negative || (c.at != c.end && *c.at == '+')) c.at++;
    if (c.at == c.end) return false;
    int64_t v = 0;
    for (; c.at != c.end; c.at++) {
        if (!ascii_is_digit(*c.at)) return false;
        int digit = *c.at - '0';
        if (__builtin_mul_overflow(v, 10, &v)) return false;
        if (__builtin_add_overflow(v, negative ? -digit : digit, &v)) return false;
    }
    *ret_ms = v;
    return true;
}

/* --- seconds ---------------------------------------------------------------------------------- */

/* digits * 10^exponent; digits beyond DIGITS_MAX are cut, they are far below a millisecond. */
struct decimal {
    bool negative;
    uint64_t digits;
    int exponent;
};

static bool
parse_exponent(struct cursor *c, int *exponent)
{
    c->at++;
    bool negative = c->at != c->end && *c->at == '-';
    if (negative || (c->at != c->end && *c->at == '+')) c->at++;
    if (c->at == c->end) return false;
    int e = 0;
    for (; c->at != c->end && ascii_is_digit(*c->at); c->at++)
        if (e < EXPONENT_MAX) e = e * 10 + (*c->at - '0');
    *exponent += negative ? -e : e;
    return true;
}

static bool
parse_decimal(struct bytes text, struct decimal *d)
{
    struct cursor c = cursor_of(text);
    bool any = false, point = false;
    unsigned count = 0;
    *d = (struct decimal){.negative = c.at != c.end && *c.at == '-'};
    if (d->negative || (c.at != c.end && *c.at == '+')) c.at++;
    if (text.size > EXPONENT_MAX) return false;
    for (; c.at != c.end; c.at++) {
        if (*c.at == '.' && !point) {
            point = true;
            continue;
        }
        if (!ascii_is_digit(*c.at)) break;
        any = true;
        if (count < DIGITS_MAX) {
            d->digits = d->digits * 10 + (uint64_t)(*c.at - '0');
            if (d->digits != 0) count++;
            d->exponent -= point;
        } else {
            d->exponent += !point;
        }
    }
    if (!any) return false;
    if (c.at != c.end && (*c.at == 'e' || *c.at == 'E') && !parse_exponent(&c, &d->exponent))
        return false;
    return c.at == c.end;
}

/* Returns the number in milliseconds. False: beyond int64. */
static bool
decimal_ms(struct decimal d, int64_t *ret_ms)
{
    d.exponent += 3; /* milliseconds */
    uint64_t v = d.digits;
    unsigned dropped = 0;
    for (; d.exponent > 0 && v != 0; d.exponent--)
        if (__builtin_mul_overflow(v, 10, &v)) return false;
    for (; d.exponent < 0 && (v != 0 || dropped != 0); d.exponent++) {
        dropped = (unsigned)(v % 10);
        v /= 10;
    }
    v += dropped >= 5;
    if (v > INT64_MAX) return false;
    *ret_ms = d.negative ? -(int64_t)v : (int64_t)v;
    return true;
}

bool
time_parse_seconds(struct bytes text, int64_t *ret_ms)
{
    struct decimal d;
    return parse_decimal(text, &d) && decimal_ms(d, ret_ms);
}

/* As Prometheus rounds what it is asked: the digits become a double, and the fraction of that is
 * rounded, away from zero if it is a half. The double nearest to 1726616971.4915 is below the half.
 * Up to three digits of a fraction come back as they were written either way, without a double.
 * False: beyond int64. */
static bool
rounded_ms(struct decimal d, int64_t *ret_ms)
{
    char text[48];
    if (d.exponent >= -3) return decimal_ms(d, ret_ms);
    snprintf(text, sizeof text, "%" PRIu64 "e%d", d.digits, d.exponent);
    double whole, fraction = modf(strtod(text, NULL), &whole);
    if (whole >= SECONDS_WITH_MS) return decimal_ms(d, ret_ms);
    int64_t ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
    *ret_ms = d.negative ? -ms : ms;
    return true;
}

/* --- RFC 3339 --------------------------------------------------------------------------------- */

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2; /* years that begin in March end with the leap day */
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static unsigned
days_in(int64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Reads `count` digits. False if there are others. */
static bool
fixed_digits(struct cursor *c, unsigned count, unsigned *ret)
{
    unsigned v = 0;
    for (unsigned i = 0; i < count; i++) {
        if (c->at == c->end || !ascii_is_digit(*c->at)) return false;
        v = v * 10 + (unsigned)(*c->at++ - '0');
    }
    *ret = v;
    return true;
}

static bool
literal(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != (uint8_t)wanted) return false;
    c->at++;
    return true;
}

static bool
parse_zone(struct cursor *c, int64_t *ret_ms)
{
    unsigned hours, minutes;
    if (literal(c, 'Z') || literal(c, 'z')) return true;
    if (c->at == c->end) return false;
    bool west = *c->at == '-';
    if (!west && *c->at != '+') return false;
    c->at++;
    if (!fixed_digits(c, 2, &hours) || !literal(c, ':') || !fixed_digits(c, 2, &minutes))
        return false;
    if (hours > 23 || minutes > 59) return false;
    int64_t ms = ((int64_t)hours * 60 + minutes) * 60000;
    *ret_ms += west ? ms : -ms;
    return true;
}

static bool
parse_clock(struct cursor *c, int64_t *ret_ms)
{
    unsigned hour, minute, second;
    if (!fixed_digits(c, 2, &hour) || !literal(c, ':') || !fixed_digits(c, 2, &minute) ||
        !literal(c, ':') || !fixed_digits(c, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 59) return false;
    *ret_ms += (((int64_t)hour * 60 + minute) * 60 + second) * 1000;
    if (!literal(c, '.')) return parse_zone(c, ret_ms);
    if (c->at == c->end || !ascii_is_digit(*c->at)) return false;
    for (int weight = 100; c->at != c->end && ascii_is_digit(*c->at); c->at++, weight /= 10)
        *ret_ms += (*c->at - '0') * weight;
    return parse_zone(c, ret_ms);
}

bool
time_parse_rfc3339(struct bytes text, int64_t *ret_ms)
{
    struct cursor c = cursor_of(text);
    unsigned year, month, day;
    if (!fixed_digits(&c, 4, &year) || !literal(&c, '-') || !fixed_digits(&c, 2, &month) ||
        !literal(&c, '-') || !fixed_digits(&c, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month)) return false;
    int64_t ms = days_of(year, month, day) * 86400000;
    if (c.at != c.end) {
        if (!literal(&c, 'T') && !literal(&c, 't') && !literal(&c, ' ')) return false;
        if (!parse_clock(&c, &ms) || c.at != c.end) return false;
    }
    *ret_ms = ms;
    return true;
}

/* --- times of the Prometheus API -------------------------------------------------------------- */

/* True for "Inf" and "Infinity" in any case, with or without a sign. */
static bool
is_infinity(struct bytes text, bool *ret_negative)
{
    struct cursor c = cursor_of(text);
    *ret_negative = literal(&c, '-');
    if (!*ret_negative) (void)literal(&c, '+');
    size_t size = cursor_left(&c);
    return (size == 3 || size == 8) && strncasecmp((const char *)c.at, "infinity", size) == 0;
}

bool
time_parse_api(struct bytes text, int64_t *ret_ms)
{
    struct decimal d;
    bool negative = bytes_equal_text(text, "-292273086-05-16T16:47:06Z");
    if (negative || bytes_equal_text(text, "292277025-08-18T07:12:54.999999999Z") ||
        is_infinity(text, &negative)) {
        *ret_ms = negative ? INT64_MIN : INT64_MAX;
        return true;
    }
    if (parse_decimal(text, &d)) {
        if (!rounded_ms(d, ret_ms)) *ret_ms = d.negative ? INT64_MIN : INT64_MAX;
        return true;
    }
    return text.size > 10 && text.at[10] == 'T' && text.at[text.size - 1] != 'z' &&
           time_parse_rfc3339(text, ret_ms);
}

/* --- durations, and what a command line takes ------------------------------------------------- */

static int64_t
unit_ms(struct cursor *c)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1},       {"s", 1000},      {"m", 60000},      {"h", 3600000},
                 {"d", 86400000}, {"w", 604800000}, {"y", 31536000000}};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        size_t size = strlen(units[i].name);
        if (cursor_left(c) < size || memcmp(c->at, units[i].name, size) != 0) continue;
        c->at += size;
        return units[i].ms;
    }
    return 0;
}

/* `in_order`: each unit once at most, from the largest to the smallest. */
static bool
parse_duration(struct bytes text, bool in_order, int64_t *ret_ms)
{
    struct cursor c = cursor_of(text);
    int64_t total = 0, before = INT64_MAX;
    if (text.size == 0) return false;
    while (c.at != c.end) {
        const uint8_t *digits = c.at;
        while (c.at != c.end && ascii_is_digit(*c.at))
            c.at++;
        int64_t v, unit;
        if (!time_parse_ms(bytes_of(digits, (size_t)(c.at - digits)), &v)) return false;
        unit = unit_ms(&c);
        if (in_order && unit >= before) return false;
        before = unit;
        if (unit == 0 || __builtin_mul_overflow(v, unit, &v)) return false;
        if (__builtin_add_overflow(total, v, &total)) return false;
    }
    *ret_ms = total;
    return true;
}

bool
time_parse_duration(struct bytes text, int64_t *ret_ms)
{
    return parse_duration(text, false, ret_ms);
}

bool
time_parse_duration_api(struct bytes text, int64_t *ret_ms)
{
    return parse_duration(text, true, ret_ms) && *ret_ms <= INT64_MAX / 1000000;
}

char *
time_print_duration(int64_t ms, char *to)
{
    static const struct {
        const char *name;
        int64_t ms;
        bool is_exact;
    } units[] = {{"y", 31536000000, true}, {"w", 604800000, true}, {"d", 86400000, false},
                 {"h", 3600000, false},    {"m", 60000, false},    {"s", 1000, false},
                 {"ms", 1, false}};
    size_t size = (size_t)snprintf(to, TIME_TEXT_BYTES, "%s", ms == 0 ? "0s" : "");
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        if (ms < units[i].ms || (units[i].is_exact && ms % units[i].ms != 0)) continue;
        size += (size_t)snprintf(to + size, TIME_TEXT_BYTES - size, "%" PRId64 "%s",
                                 ms / units[i].ms, units[i].name);
        ms %= units[i].ms;
    }
    return to;
}

static bool
parse_relative(struct bytes text, int64_t now_ms, int64_t *ret_ms)
{
    int64_t duration;
    if (text.size < 3 || memcmp(text.at, "now", 3) != 0) return false;
    *ret_ms = now_ms;
    if (text.size == 3) return true;
    if (!time_parse_duration(bytes_of(text.at + 4, text.size - 4), &duration)) return false;
    if (text.at[3] == '-') return !__builtin_sub_overflow(now_ms, duration, ret_ms);
    return text.at[3] == '+' && !__builtin_add_overflow(now_ms, duration, ret_ms);
}

enum err
time_parse(struct bytes text, int64_t now_ms, int64_t *ret_ms, struct why *why)
{
    int64_t ms;
    struct decimal d;
    if (parse_relative(text, now_ms, &ms) || (parse_decimal(text, &d) && rounded_ms(d, &ms)) ||
        time_parse_rfc3339(text, &ms)) {
        *ret_ms = ms;
        return OK;
    }
    return why_set(why, ERR_INPUT,
                   "'%.*s' is not a valid time: expected RFC 3339 (2024-02-29T12:00:00Z), Unix "
                   "seconds, now or now-1d",
                   (int)(text.size < 64 ? text.size : 64), (const char *)text.at);
}

/* --- printing --------------------------------------------------------------------------------- */

static void
date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t from_march = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = years + era * 400 + (*month <= 2);
}

char *
time_print(int64_t ms, char *to)
{
    int64_t day_ms = ms % 86400000, year;
    if (day_ms < 0) day_ms += 86400000;
    int64_t days = ms / 86400000 - (ms % 86400000 < 0);
    unsigned month, day;
    date_of(days, &year, &month, &day);
    if (year < 0 || year > 9999) {
        snprintf(to, TIME_TEXT_BYTES, "%" PRId64 "ms", ms);
        return to;
    }
    unsigned seconds = (unsigned)(day_ms / 1000);
    snprintf(to, TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000,
             month % 100, day % 100, seconds / 3600 % 100, seconds / 60 % 60, seconds % 60,
             (unsigned)(day_ms % 1000));
    return to;
}

size_t
time_print_seconds(int64_t ms, char *to)
{
    uint64_t magnitude = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    unsigned fraction = (unsigned)(magnitude % 1000);
    int n = snprintf(to, TIME_TEXT_BYTES, "%s%" PRIu64, ms < 0 ? "-" : "", magnitude / 1000);
    if (fraction != 0) {
        n += snprintf(to + n, TIME_TEXT_BYTES - (size_t)n, ".%03u", fraction);
        while (to[n - 1] == '0')
            n--;
    }
    return (size_t)n;
}

/* --- months ----------------------------------------------------------------------------------- */

int64_t
time_month_begin(int64_t ms, int months)
{
    int64_t year;
    unsigned month, day;
    date_of(ms / 86400000 - (ms % 86400000 < 0), &year, &month, &day);
    int64_t number = 12 * year + month - 1 + months, rest = number % 12;
    if (rest < 0) rest += 12;
    return 86400000 * days_of((number - rest) / 12, (unsigned)rest + 1, 1);
}
