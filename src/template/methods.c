/*
 * methods.c - methods of moments, of durations and of native histograms: see run.h. The first
 * argument is the value that they are called on. docs/templates.md lists them.
 */
#include "template/moment.h"
#include "template/run.h"

static bool
take_int(struct tmpl_value *ret, int64_t v)
{
    *ret = tmpl_of_integer(TMPL_TYPE_INT, v);
    return true;
}

static bool
take_bool(struct tmpl_value *ret, bool v)
{
    *ret = tmpl_of_bool(v);
    return true;
}

/* --- moments ---------------------------------------------------------------------------------- */

static TMPL_FUNCTION(time_add)
{
    int64_t sum;
    if (__builtin_add_overflow(args[0].integer, args[1].integer, &sum)) {
        return run_fail(run, "the sum is outside of the years 1677 to 2262");
    }
    *ret = tmpl_of_integer(TMPL_TYPE_TIME, sum);
    return true;
}

/* A difference beyond 64 bits is the least or the greatest duration, as in Go. */
static TMPL_FUNCTION(time_sub)
{
    int64_t ns;
    if (__builtin_sub_overflow(args[0].integer, args[1].integer, &ns)) {
        ns = args[0].integer < 0 ? INT64_MIN : INT64_MAX;
    }
    *ret = tmpl_of_integer(TMPL_TYPE_DURATION, ns);
    return true;
}

static TMPL_FUNCTION(time_compare)
{
    int64_t a = args[0].integer, b = args[1].integer;
    return take_int(ret, (a > b) - (a < b));
}

static TMPL_FUNCTION(time_after)
{
    return take_bool(ret, args[0].integer > args[1].integer);
}

static TMPL_FUNCTION(time_before)
{
    return take_bool(ret, args[0].integer < args[1].integer);
}

static TMPL_FUNCTION(time_equal)
{
    return take_bool(ret, args[0].integer == args[1].integer);
}

static TMPL_FUNCTION(time_format)
{
    buf_clear(&run->text);
    tmpl_time_format(args[0].integer, args[1].text, &run->text);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(time_string)
{
    buf_clear(&run->text);
    tmpl_time_print(args[0].integer, &run->text);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(time_year)
{
    return take_int(ret, tmpl_time_parts(args[0].integer).tm_year + 1900);
}

static TMPL_FUNCTION(time_day)
{
    return take_int(ret, tmpl_time_parts(args[0].integer).tm_mday);
}

static TMPL_FUNCTION(time_hour)
{
    return take_int(ret, tmpl_time_parts(args[0].integer).tm_hour);
}

static TMPL_FUNCTION(time_minute)
{
    return take_int(ret, tmpl_time_parts(args[0].integer).tm_min);
}

static TMPL_FUNCTION(time_second)
{
    return take_int(ret, tmpl_time_parts(args[0].integer).tm_sec);
}

/* Returns the moment as it is: every zone is UTC. */
static TMPL_FUNCTION(time_utc)
{
    *ret = args[0];
    return true;
}

static bool
take_unix(int64_t ns, int64_t unit_ns, struct tmpl_value *ret)
{
    return take_int(ret, ns / unit_ns - (ns % unit_ns < 0));
}

static TMPL_FUNCTION(time_unix)
{
    return take_unix(args[0].integer, 1000000000, ret);
}

static TMPL_FUNCTION(time_unix_milli)
{
    return take_unix(args[0].integer, 1000000, ret);
}

static TMPL_FUNCTION(time_unix_micro)
{
    return take_unix(args[0].integer, 1000, ret);
}

static TMPL_FUNCTION(time_unix_nano)
{
    return take_unix(args[0].integer, 1, ret);
}

/* --- durations and histograms ----------------------------------------------------------------- */

/* Converts whole units and the rest apart, so that neither loses digits. */
static bool
take_units(int64_t ns, int64_t unit_ns, struct tmpl_value *ret)
{
    *ret = tmpl_of_float((double)(ns / unit_ns) + (double)(ns % unit_ns) / (double)unit_ns);
    return true;
}

static TMPL_FUNCTION(duration_hours)
{
    return take_units(args[0].integer, 3600000000000, ret);
}

static TMPL_FUNCTION(duration_minutes)
{
    return take_units(args[0].integer, 60000000000, ret);
}

static TMPL_FUNCTION(duration_seconds)
{
    return take_units(args[0].integer, 1000000000, ret);
}

static TMPL_FUNCTION(duration_milliseconds)
{
    return take_int(ret, args[0].integer / 1000000);
}

static TMPL_FUNCTION(duration_string)
{
    buf_clear(&run->text);
    tmpl_duration_print(args[0].integer, &run->text);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(histogram_string)
{
    buf_clear(&run->text);
    fhist_print(args[0].histogram, &run->text);
    return run_take_text(run, ret);
}

/* --- the tables ------------------------------------------------------------------------------- */

#define TIME TMPL_TYPE_TIME

static const struct tmpl_function of_time[] = {
    {"Add", time_add, 1, false, {TMPL_TYPE_DURATION}},
    {"After", time_after, 1, false, {TIME}},
    {"Before", time_before, 1, false, {TIME}},
    {"Compare", time_compare, 1, false, {TIME}},
    {.name = "Day", .call = time_day},
    {"Equal", time_equal, 1, false, {TIME}},
    {"Format", time_format, 1, false, {TMPL_TYPE_STRING}},
    {.name = "Hour", .call = time_hour},
    {.name = "Local", .call = time_utc},
    {.name = "Minute", .call = time_minute},
    {.name = "Second", .call = time_second},
    {.name = "String", .call = time_string},
    {"Sub", time_sub, 1, false, {TIME}},
    {.name = "UTC", .call = time_utc},
    {.name = "Unix", .call = time_unix},
    {.name = "UnixMicro", .call = time_unix_micro},
    {.name = "UnixMilli", .call = time_unix_milli},
    {.name = "UnixNano", .call = time_unix_nano},
    {.name = "Year", .call = time_year},
};

static const struct tmpl_function of_duration[] = {
    {.name = "Hours", .call = duration_hours},
    {.name = "Milliseconds", .call = duration_milliseconds},
    {.name = "Minutes", .call = duration_minutes},
    {.name = "Seconds", .call = duration_seconds},
    {.name = "String", .call = duration_string},
};

static const struct tmpl_function of_histogram[] = {{.name = "String", .call = histogram_string}};

#define FIND(list) tmpl_find_in(list, sizeof list / sizeof *list, name)

const struct tmpl_function *
tmpl_method_find(enum tmpl_type type, struct bytes name)
{
    if (type == TMPL_TYPE_TIME) return FIND(of_time);
    if (type == TMPL_TYPE_DURATION) return FIND(of_duration);
    if (type == TMPL_TYPE_HISTOGRAM) return FIND(of_histogram);
    return NULL;
}
