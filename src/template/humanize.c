/* humanize.c - numbers for people, and numbers as moments and durations: see run.h. */
#include <math.h>

#include "base/ascii.h"
#include "template/moment.h"
#include "template/run.h"
#include "wire/number.h"

enum { SECOND_NS = 1000000000 };

/* --- numbers ---------------------------------------------------------------------------------- */

static bool
number_of_text(struct tmpl_run *run, struct bytes text, double *ret)
{
    uint64_t bits;
    if (!number_parse((const char *)text.at, text.size, &bits)) {
        struct bytes quoted = run_quoted(run, text);
        return run_fail(run, "strconv.ParseFloat: parsing %.*s: invalid syntax", (int)quoted.size,
                        (const char *)quoted.at);
    }
    *ret = bits_double(bits);
    return true;
}

/* What Prometheus takes for a number. */
static bool
to_float(struct tmpl_run *run, const struct tmpl_value *v, double *ret)
{
    switch (v->type) {
    case TMPL_TYPE_FLOAT:
        *ret = v->number;
        return true;
    case TMPL_TYPE_STRING:
        return number_of_text(run, v->text, ret);
    case TMPL_TYPE_INT:
        *ret = (double)v->integer;
        return true;
    case TMPL_TYPE_DURATION:
        *ret = (double)(v->integer / SECOND_NS) + (double)(v->integer % SECOND_NS) / SECOND_NS;
        return true;
    default:
        return run_fail(run, "can't convert %s to float", tmpl_type_name(v->type));
    }
}

/* As Go converts it on AMD64: what is beyond is the least one. */
static int64_t
integer_of(double v)
{
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

/* %.4g */
static void
put_short(struct buf *to, double v)
{
    if (isnan(v))
        buf_put_text(to, "NaN");
    else if (isinf(v))
        buf_put_text(to, v > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(to, "%.4g", v);
}

static bool
take_short(struct tmpl_run *run, double v, const char *unit, struct tmpl_value *ret)
{
    buf_clear(&run->text);
    put_short(&run->text, v);
    buf_put_text(&run->text, unit);
    return run_take_text(run, ret);
}

/* --- units ------------------------------------------------------------------------------------ */

enum { UNITS = 8 };

static const char *const thousands[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
static const char *const thousandths[] = {"", "m", "u", "n", "p", "f", "a", "z", "y"};
static const char *const kibis[] = {"", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};

/* Divides until it is below `base`; returns which unit it has. */
static unsigned
divide(double *v, double base)
{
    unsigned unit = 0;
    for (; unit < UNITS && fabs(*v) >= base; unit++) {
        *v /= base;
    }
    return unit;
}

static unsigned
multiply(double *v)
{
    unsigned unit = 0;
    for (; unit < UNITS && fabs(*v) < 1; unit++) {
        *v *= 1000;
    }
    return unit;
}

TMPL_FUNCTION(run_humanize)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    const char *unit = "";
    if (v != 0 && isfinite(v)) {
        unit = fabs(v) >= 1 ? thousands[divide(&v, 1000)] : thousandths[multiply(&v)];
    }
    return take_short(run, v, unit, ret);
}

TMPL_FUNCTION(run_humanize1024)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    const char *unit = isfinite(v) ? kibis[divide(&v, 1024)] : "";
    return take_short(run, v, unit, ret);
}

TMPL_FUNCTION(run_humanize_percentage)
{
    double v;
    return to_float(run, &args[0], &v) && take_short(run, v * 100, "%", ret);
}

/* --- durations -------------------------------------------------------------------------------- */

/* From a minute on in whole seconds. */
static bool
take_long_duration(struct tmpl_run *run, double v, struct tmpl_value *ret)
{
    const char *sign = v < 0 ? "-" : "";
    int64_t all = integer_of(fabs(v));
    long long days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60, s = all % 60;
    struct buf *to = &run->text;
    buf_clear(to);
    buf_put_text(to, sign);
    if (days != 0) {
        buf_printf(to, "%lldd %lldh %lldm %llds", days, hours, minutes, s);
    } else if (hours != 0) {
        buf_printf(to, "%lldh %lldm %llds", hours, minutes, s);
    } else if (minutes != 0) {
        buf_printf(to, "%lldm %llds", minutes, s);
    } else {
        put_short(to, fabs(v));
        buf_put_u8(to, 's');
    }
    return run_take_text(run, ret);
}

TMPL_FUNCTION(run_humanize_duration)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return take_short(run, v, "", ret);
    if (v == 0) return take_short(run, v, "s", ret);
    if (fabs(v) >= 1) return take_long_duration(run, v, ret);
    char unit[4] = "";
    strcat(strcpy(unit, thousandths[multiply(&v)]), "s");
    return take_short(run, v, unit, ret);
}

static bool
fail_duration(struct tmpl_run *run, struct bytes text)
{
    struct bytes quoted = run_quoted(run, text);
    return run_fail(run, "not a valid duration string: %.*s", (int)quoted.size,
                    (const char *)quoted.at);
}

static bool
fail_unit(struct tmpl_run *run, struct bytes unit, struct bytes text)
{
    struct bytes quoted = run_copy(run, run_quoted(run, unit));
    struct bytes whole = run_quoted(run, text);
    return run_fail(run, "unknown unit %.*s in duration %.*s", (int)quoted.size,
                    (const char *)quoted.at, (int)whole.size, (const char *)whole.at);
}

/* Digits and the unit after them: "1d". False: no digits, or a number above 64 bits. */
static bool
take_part(struct cursor *c, uint64_t *ret_number, struct bytes *ret_unit)
{
    const uint8_t *begin = c->at;
    uint64_t v = 0;
    for (; c->at != c->end && ascii_is_digit(*c->at); c->at++) {
        if (__builtin_mul_overflow(v, 10u, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(*c->at - '0'), &v)) return false;
    }
    const uint8_t *unit = c->at;
    while (c->at != c->end && !ascii_is_digit(*c->at)) {
        c->at++;
    }
    *ret_number = v;
    *ret_unit = bytes_of(unit, (size_t)(c->at - unit));
    return unit != begin && c->at != unit;
}

static const struct {
    const char *name;
    uint64_t ns;
} duration_units[] = {{"y", 365 * 86400000000000u},
                      {"w", 7 * 86400000000000u},
                      {"d", 86400000000000u},
                      {"h", 3600000000000u},
                      {"m", 60000000000u},
                      {"s", 1000000000u},
                      {"ms", 1000000u}};

enum { DURATION_UNITS = sizeof duration_units / sizeof *duration_units };

static unsigned
find_unit(struct bytes name)
{
    unsigned unit = 0;
    while (unit < DURATION_UNITS && !bytes_equal_text(name, duration_units[unit].name)) {
        unit++;
    }
    return unit;
}

/* 1d2h: the units from the largest to the smallest. "0" alone needs none. */
TMPL_FUNCTION(run_parse_duration)
{
    struct bytes text = args[0].text, name;
    struct cursor c = cursor_of(text);
    uint64_t all = 0, v;
    unsigned next = 0; /* the largest unit that may come */
    if (text.size == 0) return run_fail(run, "empty duration string");
    while (c.at != c.end && !bytes_equal_text(text, "0")) {
        if (!take_part(&c, &v, &name)) return fail_duration(run, text);
        unsigned unit = find_unit(name);
        if (unit == DURATION_UNITS) return fail_unit(run, name, text);
        if (unit < next) return fail_duration(run, text);
        next = unit + 1;
        bool fits = !__builtin_mul_overflow(v, duration_units[unit].ns, &v) &&
                    !__builtin_add_overflow(all, v, &all) && all <= INT64_MAX;
        if (!fits) return run_fail(run, "duration out of range");
    }
    *ret = tmpl_of_float((double)all / SECOND_NS);
    return true;
}

TMPL_FUNCTION(run_to_duration)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    *ret = tmpl_of_integer(TMPL_TYPE_DURATION, integer_of(v * SECOND_NS));
    return true;
}

/* --- moments ---------------------------------------------------------------------------------- */

/* Seconds, cut to milliseconds. */
static bool
moment_of(struct tmpl_run *run, double v, int64_t *ret)
{
    enum { MS_NS = 1000000 };
    double ns = v * 1e9;
    if (ns > 0x1p63 || ns < -0x1p63) {
        const struct tmpl_value value = tmpl_of_float(v);
        buf_clear(&run->text);
        run_print(run, &value, 1, false, &run->text);
        run_note_memory(run, &run->text);
        return run_fail(run,
                        "%.*s cannot be represented as a nanoseconds timestamp since it overflows "
                        "int64",
                        (int)run->text.size, (const char *)run->text.at);
    }
    *ret = integer_of(ns) / MS_NS * MS_NS;
    return true;
}

TMPL_FUNCTION(run_humanize_timestamp)
{
    double v;
    int64_t ns;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return take_short(run, v, "", ret);
    if (!moment_of(run, v, &ns)) return false;
    buf_clear(&run->text);
    tmpl_time_print(ns, &run->text);
    return run_take_text(run, ret);
}

TMPL_FUNCTION(run_to_time)
{
    double v;
    int64_t ns;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return run_fail(run, "value is NaN or Inf");
    if (!moment_of(run, v, &ns)) return false;
    *ret = tmpl_of_integer(TMPL_TYPE_TIME, ns);
    return true;
}
