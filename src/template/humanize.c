/* humanize.c - numbers for people, and numbers as moments and durations: see run.h. */
#include <math.h>

#include "base/text/time_text.h"
#include "template/run.h"
#include "wire/number.h"

enum { SECOND_NS = 1000000000 };

/* --- numbers ---------------------------------------------------------------------------------- */

/* Converts numbers, strings, integers and durations (to seconds). */
static bool
to_float(struct tmpl_run *run, const struct tmpl_value *v, double *ret)
{
    uint64_t bits;
    switch (v->type) {
    case TMPL_TYPE_FLOAT:
        *ret = v->number;
        return true;
    case TMPL_TYPE_STRING:
        if (!number_parse_go((const char *)v->text.at, v->text.size, &bits)) {
            return run_fail_quoted(run, "strconv.ParseFloat: parsing ", v->text,
                                   ": invalid syntax");
        }
        *ret = bits_double(bits);
        return true;
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

/* A number beyond 64 bits becomes the least integer, as in Go on AMD64. */
static int64_t
integer_of(double v)
{
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

static bool
take_short(struct tmpl_run *run, double v, const char *unit, struct tmpl_value *ret)
{
    buf_clear(&run->text);
    if (isnan(v))
        buf_put_text(&run->text, "NaN");
    else if (isinf(v))
        buf_put_text(&run->text, v > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(&run->text, "%.4g", v);
    buf_put_text(&run->text, unit);
    return run_take_text(run, ret);
}

/* --- units ------------------------------------------------------------------------------------ */

enum { UNITS = 8 };

static const char *const thousands[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
static const char *const thousandths[] = {"", "m", "u", "n", "p", "f", "a", "z", "y"};
static const char *const kibis[] = {"", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};

/* Divides until *v is below `base`; returns the index of its unit. */
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

/* Prints whole seconds from a minute on, and a smaller unit below a second. */
TMPL_FUNCTION(run_humanize_duration)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return take_short(run, v, "", ret);
    if (fabs(v) < 60) {
        char unit[4] = "";
        bool small = v != 0 && fabs(v) < 1;
        strcat(strcpy(unit, small ? thousandths[multiply(&v)] : ""), "s");
        return take_short(run, v, unit, ret);
    }
    int64_t all = integer_of(fabs(v));
    long long days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60, s = all % 60;
    struct buf *to = &run->text;
    buf_clear(to);
    if (v < 0) buf_put_u8(to, '-');
    if (days != 0) buf_printf(to, "%lldd ", days);
    if (days != 0 || hours != 0) buf_printf(to, "%lldh ", hours);
    buf_printf(to, "%lldm %llds", minutes, s);
    return run_take_text(run, ret);
}

/* Converts 1d2h to a number of seconds. */
TMPL_FUNCTION(run_parse_duration)
{
    int64_t ms = 0;
    bool zero = bytes_equal_text(args[0].text, "0");
    if (!zero && !time_parse_duration_api(args[0].text, &ms)) {
        return run_fail_quoted(run, "not a valid duration string: ", args[0].text, "");
    }
    *ret = tmpl_of_float((double)ms / 1000);
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

/* Converts seconds to a moment with milliseconds. */
static bool
moment_of(struct tmpl_run *run, double v, int64_t *ret)
{
    enum { MS_NS = 1000000 };
    double ns = v * 1e9;
    if (ns > 0x1p63 || ns < -0x1p63) {
        return run_fail(run,
                        "%g cannot be represented as a nanoseconds timestamp since it overflows "
                        "int64",
                        v);
    }
    *ret = integer_of(ns) / MS_NS * MS_NS;
    return true;
}

TMPL_FUNCTION(run_humanize_timestamp)
{
    double v;
    int64_t ns = 0;
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
    int64_t ns = 0;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return run_fail(run, "value is NaN or Inf");
    if (!moment_of(run, v, &ns)) return false;
    *ret = tmpl_of_integer(TMPL_TYPE_TIME, ns);
    return true;
}
