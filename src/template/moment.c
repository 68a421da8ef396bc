/*
 * moment.c - see moment.h. What overflows wraps around, as in Go, or is bounded where Go does so.
 * Dates are counted as in base/time_text.c: in years that begin in March, 400 of them an era.
 */
#include "template/moment.h"

#include "base/decimal.h"

enum { SECOND_NS = 1000000000, DAY_SECONDS = 86400 };

static int64_t
wrapping_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Rounded down. */
static int64_t
divide(int64_t a, int64_t b, int64_t *ret_rest)
{
    int64_t q = a / b, rest = a % b;
    if (rest < 0) {
        q--;
        rest += b;
    }
    *ret_rest = rest;
    return q;
}

/* --- dates ------------------------------------------------------------------------------------ */

enum { ERA_DAYS = 146097, ERA_YEARS = 400, EPOCH_DAYS = 719468 }; /* since 0000-03-01 */

/* Of a March-based year of an era. */
static int32_t
days_before_year(int32_t year)
{
    return year * 365 + year / 4 - year / 100;
}

static bool
is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static void
date_of_days(int64_t unix_days, struct tmpl_date *d)
{
    static const int16_t before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t day, weekday;
    int64_t era = divide(unix_days + EPOCH_DAYS, ERA_DAYS, &day);
    int32_t in_era = (int32_t)day;
    int32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int32_t in_year = in_era - days_before_year(year);
    int32_t march_month = (5 * in_year + 2) / 153;
    d->day = in_year - (153 * march_month + 2) / 5 + 1;
    d->month = march_month < 10 ? march_month + 3 : march_month - 9;
    d->year = era * ERA_YEARS + year + (d->month <= 2);
    d->year_day = before_month[d->month - 1] + d->day + (d->month > 2 && is_leap(d->year));
    divide(unix_days + 4, 7, &weekday);
    d->weekday = (int32_t)weekday;
}

/* `month` is 1 to 12; any day. */
static int64_t
days_of_date(int64_t year, int32_t month, int64_t day)
{
    int64_t in_era;
    int64_t era = divide(year - (month <= 2), ERA_YEARS, &in_era);
    int32_t march_month = month > 2 ? month - 3 : month + 9;
    int64_t in_year = (153 * march_month + 2) / 5;
    return era * ERA_DAYS + days_before_year((int32_t)in_era) + in_year + day - 1 - EPOCH_DAYS;
}

struct tmpl_date
tmpl_date_of(const struct tmpl_time *t)
{
    struct tmpl_date d;
    int64_t second;
    date_of_days(divide(t->seconds, DAY_SECONDS, &second), &d);
    d.hour = (int32_t)(second / 3600);
    d.minute = (int32_t)(second / 60 % 60);
    d.second = (int32_t)(second % 60);
    return d;
}

/* --- arithmetic ------------------------------------------------------------------------------- */

struct tmpl_time
tmpl_time_of_ms(int64_t ms)
{
    int64_t rest;
    struct tmpl_time t = {.seconds = divide(ms, 1000, &rest)};
    t.nanos = (uint32_t)rest * 1000000;
    return t;
}

struct tmpl_time
tmpl_time_add(const struct tmpl_time *t, int64_t ns)
{
    int64_t nanos;
    int64_t seconds = divide(ns, SECOND_NS, &nanos);
    nanos += t->nanos;
    struct tmpl_time sum = *t;
    sum.seconds = wrapping_add(t->seconds, seconds + nanos / SECOND_NS);
    sum.nanos = (uint32_t)(nanos % SECOND_NS);
    return sum;
}

static int64_t
bounded(int64_t v)
{
    const int64_t most = 1ll << 36;
    return v > most ? most : v < -most ? -most : v;
}

/* Days and months beyond their ends go on in the next ones. */
struct tmpl_time
tmpl_time_add_date(const struct tmpl_time *t, int64_t years, int64_t months, int64_t days)
{
    struct tmpl_date d = tmpl_date_of(t);
    int64_t month, second;
    divide(t->seconds, DAY_SECONDS, &second);
    int64_t year = d.year + bounded(years) + divide(d.month - 1 + bounded(months), 12, &month);
    int64_t day = days_of_date(year, (int32_t)month + 1, 1) + d.day - 1 + bounded(days);
    struct tmpl_time sum = *t;
    sum.seconds = wrapping_add((int64_t)((uint64_t)day * DAY_SECONDS), second);
    return sum;
}

__extension__ typedef __int128 wide;

static wide
total_ns(const struct tmpl_time *t, int64_t zero_seconds)
{
    return ((wide)t->seconds + zero_seconds) * SECOND_NS + t->nanos;
}

int64_t
tmpl_time_sub(const struct tmpl_time *t, const struct tmpl_time *u)
{
    wide ns = total_ns(t, 0) - total_ns(u, 0);
    return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

int
tmpl_time_compare(const struct tmpl_time *t, const struct tmpl_time *u)
{
    if (t->seconds != u->seconds) return t->seconds < u->seconds ? -1 : 1;
    return (t->nanos > u->nanos) - (t->nanos < u->nanos);
}

/* What is beyond the multiple before it. */
static int64_t
rest_of(const struct tmpl_time *t, int64_t unit)
{
    int64_t rest = (int64_t)(total_ns(t, TMPL_GO_ZERO_SECONDS) % unit);
    return rest < 0 ? rest + unit : rest;
}

struct tmpl_time
tmpl_time_truncate(const struct tmpl_time *t, int64_t ns)
{
    return ns <= 0 ? *t : tmpl_time_add(t, -rest_of(t, ns));
}

struct tmpl_time
tmpl_time_round(const struct tmpl_time *t, int64_t ns)
{
    if (ns <= 0) return *t;
    int64_t rest = rest_of(t, ns);
    return tmpl_time_add(t, rest < ns - rest ? -rest : ns - rest);
}

int64_t
tmpl_duration_truncate(int64_t ns, int64_t unit)
{
    return unit <= 0 ? ns : ns - ns % unit;
}

int64_t
tmpl_duration_round(int64_t ns, int64_t unit)
{
    if (unit <= 0) return ns;
    int64_t rest = ns % unit, away = ns < 0 ? -unit : unit, rounded;
    int64_t magnitude = rest < 0 ? -rest : rest;
    if (magnitude < unit - magnitude) return ns - rest;
    if (!__builtin_add_overflow(ns - rest, away, &rounded)) return rounded;
    return ns < 0 ? INT64_MIN : INT64_MAX;
}

/* --- durations as text ------------------------------------------------------------------------ */

/* `v` units of 10^-`digits`, without zeros at its end. */
static void
put_fraction(struct buf *to, uint64_t v, unsigned digits)
{
    char text[DECIMAL_BYTES];
    unsigned shown = digits;
    for (; shown > 0 && v % 10 == 0; shown--) {
        v /= 10;
    }
    if (shown == 0) return;
    for (unsigned i = shown; i > 0; i--, v /= 10) {
        text[i - 1] = (char)('0' + v % 10);
    }
    buf_put_u8(to, '.');
    buf_put(to, text, shown);
}

void
tmpl_duration_print(int64_t ns, struct buf *to)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (v == 0) {
        buf_put_text(to, "0s");
        return;
    }
    if (ns < 0) buf_put_u8(to, '-');
    if (v < SECOND_NS) {
        unsigned digits = v < 1000 ? 0 : v < 1000000 ? 3 : 6;
        uint64_t unit = digits == 0 ? 1 : digits == 3 ? 1000 : 1000000;
        buf_put_uint(to, v / unit);
        put_fraction(to, v % unit, digits);
        buf_put_text(to, digits == 0 ? "ns" : digits == 3 ? "µs" : "ms");
        return;
    }
    uint64_t seconds = v / SECOND_NS;
    if (seconds >= 3600) {
        buf_put_uint(to, seconds / 3600);
        buf_put_u8(to, 'h');
    }
    if (seconds >= 60) {
        buf_put_uint(to, seconds / 60 % 60);
        buf_put_u8(to, 'm');
    }
    buf_put_uint(to, seconds % 60);
    put_fraction(to, v % SECOND_NS, 9);
    buf_put_u8(to, 's');
}
