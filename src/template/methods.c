/*
 * methods.c - the methods of Go's time.Time, time.Duration, time.Month, time.Weekday,
 * *time.Location and, of those of Prometheus' histograms, String(): see run.h. The first argument
 * is what they are called on.
 *
 * Those that write into what they are called on, or into a list of bytes, are not there: no
 * template has anything to do with them.
 */
#include "template/run.h"

enum { SECOND_NS = 1000000000 };

static bool
take_int(struct tmpl_value *ret, int64_t v)
{
    *ret = tmpl_of_integer(TMPL_TYPE_INT, v);
    return true;
}

static bool
take_int64(struct tmpl_value *ret, int64_t v)
{
    *ret = tmpl_of_integer(TMPL_TYPE_INT64, v);
    return true;
}

static bool
take_bool(struct tmpl_value *ret, bool v)
{
    *ret = tmpl_of_bool(v);
    return true;
}

static bool
take_time(struct tmpl_value *ret, struct tmpl_time t)
{
    *ret = tmpl_of_time(t);
    return true;
}

static bool
take_duration(struct tmpl_value *ret, int64_t ns)
{
    *ret = tmpl_of_integer(TMPL_TYPE_DURATION, ns);
    return true;
}

static bool
take_float(struct tmpl_value *ret, double v)
{
    *ret = tmpl_of_float(v);
    return true;
}

/* --- time.Time -------------------------------------------------------------------------------- */

static TMPL_FUNCTION(time_add)
{
    return take_time(ret, tmpl_time_add(&args[0].time, args[1].integer));
}

static TMPL_FUNCTION(time_add_date)
{
    return take_time(
        ret, tmpl_time_add_date(&args[0].time, args[1].integer, args[2].integer, args[3].integer));
}

static TMPL_FUNCTION(time_after)
{
    return take_bool(ret, tmpl_time_compare(&args[0].time, &args[1].time) > 0);
}

static TMPL_FUNCTION(time_before)
{
    return take_bool(ret, tmpl_time_compare(&args[0].time, &args[1].time) < 0);
}

static TMPL_FUNCTION(time_compare)
{
    return take_int(ret, tmpl_time_compare(&args[0].time, &args[1].time));
}

static TMPL_FUNCTION(time_equal)
{
    return take_bool(ret, tmpl_time_compare(&args[0].time, &args[1].time) == 0);
}

static TMPL_FUNCTION(time_format)
{
    buf_clear(&run->text);
    tmpl_time_format(&args[0].time, args[1].text, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(time_string)
{
    buf_clear(&run->text);
    tmpl_time_print(&args[0].time, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(time_go_string)
{
    buf_clear(&run->text);
    tmpl_time_print_go(&args[0].time, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

/* RFC 3339, whose years have four digits. */
static bool
marshal(struct tmpl_run *run, const struct tmpl_value *of, const char *method, const char *quote,
        struct tmpl_value *ret)
{
    int64_t year = tmpl_date_of(&of->time).year;
    if (year < 0 || year > 9999) {
        return run_fail(run, "Time.%s: year outside of range [0,9999]", method);
    }
    buf_clear(&run->text);
    buf_put_text(&run->text, quote);
    tmpl_time_format(&of->time, bytes_of_text("2006-01-02T15:04:05.999999999Z07:00"), &run->text);
    buf_put_text(&run->text, quote);
    return run_take_text(run, TMPL_TYPE_BYTES, ret);
}

static TMPL_FUNCTION(time_marshal_json)
{
    return marshal(run, &args[0], "MarshalJSON", "\"", ret);
}

static TMPL_FUNCTION(time_marshal_text)
{
    return marshal(run, &args[0], "MarshalText", "", ret);
}

static TMPL_FUNCTION(time_day)
{
    return take_int(ret, tmpl_date_of(&args[0].time).day);
}

static TMPL_FUNCTION(time_hour)
{
    return take_int(ret, tmpl_date_of(&args[0].time).hour);
}

static TMPL_FUNCTION(time_minute)
{
    return take_int(ret, tmpl_date_of(&args[0].time).minute);
}

static TMPL_FUNCTION(time_second)
{
    return take_int(ret, tmpl_date_of(&args[0].time).second);
}

static TMPL_FUNCTION(time_nanosecond)
{
    return take_int(ret, args[0].time.nanos);
}

static TMPL_FUNCTION(time_year)
{
    return take_int(ret, tmpl_date_of(&args[0].time).year);
}

static TMPL_FUNCTION(time_year_day)
{
    return take_int(ret, tmpl_date_of(&args[0].time).year_day);
}

static TMPL_FUNCTION(time_month)
{
    *ret = tmpl_of_integer(TMPL_TYPE_MONTH, tmpl_date_of(&args[0].time).month);
    return true;
}

static TMPL_FUNCTION(time_weekday)
{
    *ret = tmpl_of_integer(TMPL_TYPE_WEEKDAY, tmpl_date_of(&args[0].time).weekday);
    return true;
}

static TMPL_FUNCTION(time_in)
{
    struct tmpl_time t = args[0].time;
    if (args[1].is_nil) return run_fail(run, "time: missing Location in call to Time.In");
    t.is_local = args[1].location_is_local;
    return take_time(ret, t);
}

static TMPL_FUNCTION(time_is_dst)
{
    return take_bool(ret, false);
}

static TMPL_FUNCTION(time_is_zero)
{
    const struct tmpl_time *t = &args[0].time;
    return take_bool(ret, t->seconds == -TMPL_GO_ZERO_SECONDS && t->nanos == 0);
}

static TMPL_FUNCTION(time_local)
{
    struct tmpl_time t = args[0].time;
    t.is_local = true;
    return take_time(ret, t);
}

static TMPL_FUNCTION(time_utc)
{
    struct tmpl_time t = args[0].time;
    t.is_local = false;
    return take_time(ret, t);
}

static TMPL_FUNCTION(time_location)
{
    *ret =
        (struct tmpl_value){.type = TMPL_TYPE_LOCATION, .location_is_local = args[0].time.is_local};
    return true;
}

static TMPL_FUNCTION(time_round)
{
    return take_time(ret, tmpl_time_round(&args[0].time, args[1].integer));
}

static TMPL_FUNCTION(time_truncate)
{
    return take_time(ret, tmpl_time_truncate(&args[0].time, args[1].integer));
}

static TMPL_FUNCTION(time_sub)
{
    return take_duration(ret, tmpl_time_sub(&args[0].time, &args[1].time));
}

/* Beyond int64 it wraps around. */
static int64_t
unix_in(const struct tmpl_time *t, uint64_t units_per_second)
{
    uint64_t part = t->nanos / (SECOND_NS / units_per_second);
    return (int64_t)((uint64_t)t->seconds * units_per_second + part);
}

static TMPL_FUNCTION(time_unix)
{
    return take_int64(ret, args[0].time.seconds);
}

static TMPL_FUNCTION(time_unix_milli)
{
    return take_int64(ret, unix_in(&args[0].time, 1000));
}

static TMPL_FUNCTION(time_unix_micro)
{
    return take_int64(ret, unix_in(&args[0].time, 1000000));
}

static TMPL_FUNCTION(time_unix_nano)
{
    return take_int64(ret, unix_in(&args[0].time, SECOND_NS));
}

/* --- time.Duration and others ----------------------------------------------------------------- */

static TMPL_FUNCTION(duration_abs)
{
    int64_t ns = args[0].integer;
    return take_duration(ret, ns == INT64_MIN ? INT64_MAX : ns < 0 ? -ns : ns);
}

/* Whole units and the rest apart, so that neither loses digits. */
static double
in_units(int64_t ns, int64_t unit)
{
    return (double)(ns / unit) + (double)(ns % unit) / (double)unit;
}

static TMPL_FUNCTION(duration_hours)
{
    return take_float(ret, in_units(args[0].integer, 3600ll * SECOND_NS));
}

static TMPL_FUNCTION(duration_minutes)
{
    return take_float(ret, in_units(args[0].integer, 60ll * SECOND_NS));
}

static TMPL_FUNCTION(duration_seconds)
{
    return take_float(ret, in_units(args[0].integer, SECOND_NS));
}

static TMPL_FUNCTION(duration_milliseconds)
{
    return take_int64(ret, args[0].integer / 1000000);
}

static TMPL_FUNCTION(duration_microseconds)
{
    return take_int64(ret, args[0].integer / 1000);
}

static TMPL_FUNCTION(duration_nanoseconds)
{
    return take_int64(ret, args[0].integer);
}

static TMPL_FUNCTION(duration_round)
{
    return take_duration(ret, tmpl_duration_round(args[0].integer, args[1].integer));
}

static TMPL_FUNCTION(duration_truncate)
{
    return take_duration(ret, tmpl_duration_truncate(args[0].integer, args[1].integer));
}

static TMPL_FUNCTION(duration_string)
{
    buf_clear(&run->text);
    tmpl_duration_print(args[0].integer, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(month_string)
{
    buf_clear(&run->text);
    tmpl_month_print(args[0].integer, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(weekday_string)
{
    buf_clear(&run->text);
    tmpl_weekday_print(args[0].integer, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(histogram_string)
{
    buf_clear(&run->text);
    fhist_print(args[0].histogram->h, &run->text);
    return run_take_text(run, TMPL_TYPE_STRING, ret);
}

static TMPL_FUNCTION(location_string)
{
    *ret = tmpl_of_text(bytes_of_text(args[0].location_is_local ? "Local" : "UTC"));
    return true;
}

/* --- the tables ------------------------------------------------------------------------------- */

#define TIME     TMPL_TYPE_TIME
#define DURATION TMPL_TYPE_DURATION
#define INT      TMPL_TYPE_INT

/* Of methods with several results. */
#define SECOND_RESULT(method, type) \
    "invalid function signature for " method ": second return value should be error; is " type
#define THREE_RESULTS(method) "function " method " has 3 return values; should be 1 or 2"

static const struct tmpl_function of_time[] = {
    {"Add", time_add, NULL, 1, false, {DURATION}},
    {"AddDate", time_add_date, NULL, 3, false, {INT, INT, INT}},
    {"After", time_after, NULL, 1, false, {TIME}},
    {"Before", time_before, NULL, 1, false, {TIME}},
    {.name = "Clock", .refused = THREE_RESULTS("Clock")},
    {"Compare", time_compare, NULL, 1, false, {TIME}},
    {.name = "Date", .refused = THREE_RESULTS("Date")},
    {.name = "Day", .call = time_day},
    {"Equal", time_equal, NULL, 1, false, {TIME}},
    {"Format", time_format, NULL, 1, false, {TMPL_TYPE_STRING}},
    {.name = "GoString", .call = time_go_string},
    {.name = "Hour", .call = time_hour},
    {.name = "ISOWeek", .refused = SECOND_RESULT("ISOWeek", "int")},
    {"In", time_in, NULL, 1, false, {TMPL_TYPE_LOCATION}},
    {.name = "IsDST", .call = time_is_dst},
    {.name = "IsZero", .call = time_is_zero},
    {.name = "Local", .call = time_local},
    {.name = "Location", .call = time_location},
    {.name = "MarshalJSON", .call = time_marshal_json},
    {.name = "MarshalText", .call = time_marshal_text},
    {.name = "Minute", .call = time_minute},
    {.name = "Month", .call = time_month},
    {.name = "Nanosecond", .call = time_nanosecond},
    {"Round", time_round, NULL, 1, false, {DURATION}},
    {.name = "Second", .call = time_second},
    {.name = "String", .call = time_string},
    {"Sub", time_sub, NULL, 1, false, {TIME}},
    {"Truncate", time_truncate, NULL, 1, false, {DURATION}},
    {.name = "UTC", .call = time_utc},
    {.name = "Unix", .call = time_unix},
    {.name = "UnixMicro", .call = time_unix_micro},
    {.name = "UnixMilli", .call = time_unix_milli},
    {.name = "UnixNano", .call = time_unix_nano},
    {.name = "Weekday", .call = time_weekday},
    {.name = "Year", .call = time_year},
    {.name = "YearDay", .call = time_year_day},
    {.name = "Zone", .refused = SECOND_RESULT("Zone", "int")},
    {.name = "ZoneBounds", .refused = SECOND_RESULT("ZoneBounds", "time.Time")},
};

static const struct tmpl_function of_duration[] = {
    {.name = "Abs", .call = duration_abs},
    {.name = "Hours", .call = duration_hours},
    {.name = "Microseconds", .call = duration_microseconds},
    {.name = "Milliseconds", .call = duration_milliseconds},
    {.name = "Minutes", .call = duration_minutes},
    {.name = "Nanoseconds", .call = duration_nanoseconds},
    {"Round", duration_round, NULL, 1, false, {DURATION}},
    {.name = "Seconds", .call = duration_seconds},
    {.name = "String", .call = duration_string},
    {"Truncate", duration_truncate, NULL, 1, false, {DURATION}},
};

static const struct tmpl_function of_month[] = {{.name = "String", .call = month_string}};
static const struct tmpl_function of_weekday[] = {{.name = "String", .call = weekday_string}};
static const struct tmpl_function of_location[] = {{.name = "String", .call = location_string}};

static const struct tmpl_function of_histogram[] = {{.name = "String", .call = histogram_string}};

#define FIND(list) tmpl_find_in(list, sizeof list / sizeof *list, name)

const struct tmpl_function *
tmpl_method_find(enum tmpl_type type, struct bytes name)
{
    switch (type) {
    case TMPL_TYPE_TIME:
        return FIND(of_time);
    case TMPL_TYPE_DURATION:
        return FIND(of_duration);
    case TMPL_TYPE_MONTH:
        return FIND(of_month);
    case TMPL_TYPE_WEEKDAY:
        return FIND(of_weekday);
    case TMPL_TYPE_LOCATION:
        return FIND(of_location);
    case TMPL_TYPE_HISTOGRAM_STRUCT:
        return FIND(of_histogram);
    default:
        return NULL;
    }
}
