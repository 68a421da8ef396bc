/*
 * methods.c - texts and methods of moments, of durations and of native histograms: see run.h. The
 * first argument of a method is the value that it is called on. docs/templates.md lists them.
 *
 * A layout is an example: the moment 2006-01-02 15:04:05 in the zone MST. Each piece of it that is
 * one of the words below is replaced by that part of the moment that is printed; all other text
 * stays. Every zone is UTC.
 */
#include <assert.h>
#include <time.h>

#include "base/buf.h"
#include "base/text/utf8.h"
#include "template/run.h"

enum { SECOND_NS = 1000000000, FRACTION_DIGITS = 9 };

/* Year, month, day, hour, minute, second in UTC. */
static struct tm
tmpl_time_parts(int64_t ns)
{
    time_t seconds = ns / SECOND_NS - (ns % SECOND_NS < 0);
    struct tm parts = {.tm_mday = 1};
    (void)gmtime_r(&seconds, &parts); /* cannot fail: the year has four digits */
    return parts;
}

/* Puts digits of a fraction of a second after `point`, without trailing zeros if `trims`. */
static void
put_fraction(struct buf *to, char point, uint64_t v, unsigned width, unsigned shown, bool trims)
{
    char digits[FRACTION_DIGITS];
    assert(width <= FRACTION_DIGITS);
    for (unsigned i = width; i > 0; i--, v /= 10)
        digits[i - 1] = (char)('0' + v % 10);
    if (shown > width) shown = width;
    while (trims && shown > 0 && digits[shown - 1] == '0')
        shown--;
    if (shown == 0) return;
    buf_put_u8(to, (uint8_t)point);
    buf_put(to, digits, shown);
}

/* --- texts of moments ------------------------------------------------------------------------- */

/* Words of layouts and their formats for strftime(); of words that begin alike, the longest is
 * first. */
static const struct {
    const char *word, *format;
} layout_words[] = {
    {"January", "%B"},
    {"Jan", "%b"},
    {"Monday", "%A"},
    {"Mon", "%a"},
    {"MST", "UTC"},
    {"002", "%j"},
    {"01", "%m"},
    {"02", "%d"},
    {"03", "%I"},
    {"04", "%M"},
    {"05", "%S"},
    {"06", "%y"},
    {"15", "%H"},
    {"1", "%-m"},
    {"2006", "%Y"},
    {"2", "%-d"},
    {"__2", "%_j"},
    {"_2006", "_%Y"},
    {"_2", "%e"},
    {"3", "%-I"},
    {"4", "%-M"},
    {"5", "%-S"},
    {"PM", "%p"},
    {"pm", "%P"},
    {"-07:00:00", "+00:00:00"},
    {"-070000", "+000000"},
    {"-07:00", "+00:00"},
    {"-0700", "+0000"},
    {"-07", "+00"},
    {"Z07:00:00", "Z"},
    {"Z070000", "Z"},
    {"Z07:00", "Z"},
    {"Z0700", "Z"},
    {"Z07", "Z"},
};

/* Prints the word at the beginning of `layout`. Returns its size, or 0 if it does not begin with a
 * word. */
static size_t
put_word(struct buf *to, const struct tm *parts, struct bytes layout)
{
    enum { WORD_BYTES_MAX = 16 };
    for (unsigned i = 0; i < sizeof layout_words / sizeof *layout_words; i++) {
        const char *word = layout_words[i].word;
        size_t size = strlen(word);
        if (layout.size < size || memcmp(layout.at, word, size) != 0) continue;
        /* "Janet" and "Monty" are other words. */
        bool is_short = size == 3 && (word[0] == 'J' || strcmp(word, "Mon") == 0);
        if (is_short && layout.size > size && layout.at[size] >= 'a' && layout.at[size] <= 'z')
            return 0;
        char text[WORD_BYTES_MAX];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_put(to, text, strftime(text, sizeof text, layout_words[i].format, parts));
#pragma GCC diagnostic pop
        return size;
    }
    return 0;
}

/* Prints .000 and ,999, unless another digit follows. */
static size_t
put_fraction_word(struct buf *to, uint64_t nanos, struct bytes layout)
{
    if (layout.size < 2 || (layout.at[0] != '.' && layout.at[0] != ',')) return 0;
    uint8_t digit = layout.at[1];
    if (digit != '0' && digit != '9') return 0;
    size_t size = 1;
    while (size < layout.size && layout.at[size] == digit)
        size++;
    if (size < layout.size && ascii_is_digit(layout.at[size])) return 0;
    unsigned shown = size - 1 < FRACTION_DIGITS ? (unsigned)size - 1 : FRACTION_DIGITS;
    put_fraction(to, (char)layout.at[0], nanos, FRACTION_DIGITS, shown, digit == '9');
    return size;
}

/* Prints a time in the form of a layout: "2006-01-02 15:04:05.000". */
static void
tmpl_time_format(int64_t ns, struct bytes layout, struct buf *to)
{
    const struct tm parts = tmpl_time_parts(ns);
    int64_t rest = ns % SECOND_NS;
    uint64_t nanos = (uint64_t)(rest < 0 ? rest + SECOND_NS : rest);
    for (size_t i = 0; i < layout.size && buf_error(to) == OK;) {
        struct bytes left = bytes_of(layout.at + i, layout.size - i);
        size_t size = put_word(to, &parts, left);
        if (size == 0) size = put_fraction_word(to, nanos, left);
        if (size == 0) buf_put_u8(to, left.at[0]);
        i += size == 0 ? 1 : size;
    }
}

/* --- texts of durations ----------------------------------------------------------------------- */

static void
duration_print(int64_t ns, struct buf *to)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, seconds = v / SECOND_NS;
    if (ns < 0) buf_put_u8(to, '-');
    if (v > 0 && seconds == 0) {
        unsigned digits = v < 1000 ? 0 : v < 1000000 ? 3 : 6;
        uint64_t unit = digits == 0 ? 1 : digits == 3 ? 1000 : 1000000;
        buf_put_uint(to, v / unit);
        put_fraction(to, '.', v % unit, digits, digits, true);
        buf_put_text(to, digits == 0 ? "ns" : digits == 3 ? "µs" : "ms");
        return;
    }
    if (seconds >= 3600) {
        buf_put_uint(to, seconds / 3600);
        buf_put_u8(to, 'h');
    }
    if (seconds >= 60) {
        buf_put_uint(to, seconds / 60 % 60);
        buf_put_u8(to, 'm');
    }
    buf_put_uint(to, seconds % 60);
    put_fraction(to, '.', v % SECOND_NS, FRACTION_DIGITS, FRACTION_DIGITS, true);
    buf_put_u8(to, 's');
}

void
tmpl_print_own(const struct tmpl_value *v, struct buf *to)
{
    if (v->type == TMPL_TYPE_HISTOGRAM)
        fhist_print(v->histogram, to);
    else if (v->type == TMPL_TYPE_DURATION)
        duration_print(v->integer, to);
    else
        tmpl_time_format(v->integer, bytes_of_text("2006-01-02 15:04:05.999999999 -0700 MST"), to);
}

static TMPL_FUNCTION(string)
{
    buf_clear(&run->text);
    tmpl_print_own(&args[0], &run->text);
    return run_take_text(run, ret);
}

/* --- moments ---------------------------------------------------------------------------------- */

static TMPL_FUNCTION(time_add)
{
    int64_t sum;
    if (__builtin_add_overflow(args[0].integer, args[1].integer, &sum))
        return run_fail(run, "the sum is outside of the years 1677 to 2262");
    *ret = tmpl_of_integer(TMPL_TYPE_TIME, sum);
    return true;
}

/* A difference beyond 64 bits is the least or the greatest duration, as in Go. */
static TMPL_FUNCTION(time_sub)
{
    int64_t ns;
    if (__builtin_sub_overflow(args[0].integer, args[1].integer, &ns))
        ns = args[0].integer < 0 ? INT64_MIN : INT64_MAX;
    *ret = tmpl_of_integer(TMPL_TYPE_DURATION, ns);
    return true;
}

static TMPL_FUNCTION(time_format)
{
    buf_clear(&run->text);
    tmpl_time_format(args[0].integer, args[1].text, &run->text);
    return run_take_text(run, ret);
}

enum { PART_YEAR, PART_DAY, PART_HOUR, PART_MINUTE, PART_SECOND };

static TMPL_FUNCTION(time_part)
{
    const struct tm parts = tmpl_time_parts(args[0].integer);
    const int all[] = {[PART_YEAR] = parts.tm_year + 1900,
                       [PART_DAY] = parts.tm_mday,
                       [PART_HOUR] = parts.tm_hour,
                       [PART_MINUTE] = parts.tm_min,
                       [PART_SECOND] = parts.tm_sec};
    *ret = tmpl_of_integer(TMPL_TYPE_INT, all[way]);
    return true;
}

/* Returns the moment as it is: every zone is UTC. */
static TMPL_FUNCTION(time_utc)
{
    *ret = args[0];
    return true;
}

static TMPL_FUNCTION(time_unix)
{
    int64_t seconds = args[0].integer / SECOND_NS - (args[0].integer % SECOND_NS < 0);
    *ret = tmpl_of_integer(TMPL_TYPE_INT, seconds);
    return true;
}

/* --- durations -------------------------------------------------------------------------------- */

/* Converts to units of `way` seconds: whole ones and the rest apart, so that neither loses digits.
 */
static TMPL_FUNCTION(duration_units)
{
    int64_t ns = args[0].integer, unit_ns = (int64_t)way * SECOND_NS;
    *ret = tmpl_of_float((double)(ns / unit_ns) + (double)(ns % unit_ns) / (double)unit_ns);
    return true;
}

static TMPL_FUNCTION(duration_milliseconds)
{
    *ret = tmpl_of_integer(TMPL_TYPE_INT, args[0].integer / 1000000);
    return true;
}

/* --- the tables ------------------------------------------------------------------------------- */

#define TIME TMPL_TYPE_TIME

static const struct tmpl_function of_time[] = {
    {"Add", time_add, 1, false, {TMPL_TYPE_DURATION}},
    {.name = "Day", .call = time_part, .way = PART_DAY},
    {"Format", time_format, 1, false, {TMPL_TYPE_STRING}},
    {.name = "Hour", .call = time_part, .way = PART_HOUR},
    {.name = "Minute", .call = time_part, .way = PART_MINUTE},
    {.name = "Second", .call = time_part, .way = PART_SECOND},
    {.name = "String", .call = string},
    {"Sub", time_sub, 1, false, {TIME}},
    {.name = "UTC", .call = time_utc},
    {.name = "Unix", .call = time_unix},
    {.name = "Year", .call = time_part, .way = PART_YEAR},
};

static const struct tmpl_function of_duration[] = {
    {.name = "Hours", .call = duration_units, .way = 3600},
    {.name = "Milliseconds", .call = duration_milliseconds},
    {.name = "Minutes", .call = duration_units, .way = 60},
    {.name = "Seconds", .call = duration_units, .way = 1},
    {.name = "String", .call = string},
};

static const struct tmpl_function of_histogram[] = {{.name = "String", .call = string}};

#define FIND(list) tmpl_find_in(list, sizeof list / sizeof *list, name)

const struct tmpl_function *
tmpl_method_find(enum tmpl_type type, struct bytes name)
{
    if (type == TMPL_TYPE_TIME) return FIND(of_time);
    if (type == TMPL_TYPE_DURATION) return FIND(of_duration);
    if (type == TMPL_TYPE_HISTOGRAM) return FIND(of_histogram);
    return NULL;
}
