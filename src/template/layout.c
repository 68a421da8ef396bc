/*
 * layout.c - moments as text: see moment.h. A layout is an example, the moment 2006-01-02 15:04:05
 * in the zone MST; each piece of it that is one of the words below stands for that part of the
 * moment that is printed, and all else for itself.
 */
#include "base/ascii.h"
#include "base/decimal.h"
#include "template/moment.h"

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

enum part {
    PART_NONE,
    PART_MONTH_NAME,
    PART_MONTH_SHORT,
    PART_MONTH,
    PART_MONTH_2,
    PART_WEEKDAY_NAME,
    PART_WEEKDAY_SHORT,
    PART_DAY,
    PART_DAY_BLANK,
    PART_DAY_2,
    PART_YEAR_DAY_BLANK,
    PART_YEAR_DAY_3,
    PART_HOUR,
    PART_HOUR_12,
    PART_HOUR_12_2,
    PART_MINUTE,
    PART_MINUTE_2,
    PART_SECOND,
    PART_SECOND_2,
    PART_YEAR,
    PART_YEAR_2,
    PART_PM,
    PART_PM_LOWER,
    PART_ZONE,
    PART_Z,      /* Z07:00: Z, in UTC */
    PART_OFFSET, /* -0700 */
    PART_OFFSET_SECONDS,
    PART_OFFSET_COLON,
    PART_OFFSET_COLON_SECONDS,
    PART_OFFSET_HOURS,
    PART_FRACTION,   /* .000 */
    PART_FRACTION_9, /* .999: without zeros at its end */
};

/* The first of those that begin alike is the longest. */
static const struct {
    const char *word;
    enum part part;
} words[] = {
    {"January", PART_MONTH_NAME},
    {"Jan", PART_MONTH_SHORT},
    {"Monday", PART_WEEKDAY_NAME},
    {"Mon", PART_WEEKDAY_SHORT},
    {"MST", PART_ZONE},
    {"002", PART_YEAR_DAY_3},
    {"01", PART_MONTH_2},
    {"02", PART_DAY_2},
    {"03", PART_HOUR_12_2},
    {"04", PART_MINUTE_2},
    {"05", PART_SECOND_2},
    {"06", PART_YEAR_2},
    {"15", PART_HOUR},
    {"1", PART_MONTH},
    {"2006", PART_YEAR},
    {"2", PART_DAY},
    {"__2", PART_YEAR_DAY_BLANK},
    {"_2", PART_DAY_BLANK},
    {"3", PART_HOUR_12},
    {"4", PART_MINUTE},
    {"5", PART_SECOND},
    {"PM", PART_PM},
    {"pm", PART_PM_LOWER},
    {"-07:00:00", PART_OFFSET_COLON_SECONDS},
    {"-070000", PART_OFFSET_SECONDS},
    {"-07:00", PART_OFFSET_COLON},
    {"-0700", PART_OFFSET},
    {"-07", PART_OFFSET_HOURS},
    {"Z07:00:00", PART_Z},
    {"Z070000", PART_Z},
    {"Z07:00", PART_Z},
    {"Z0700", PART_Z},
    {"Z07", PART_Z},
};

static bool
begins(struct bytes text, const char *word)
{
    size_t size = strlen(word);
    return text.size >= size && memcmp(text.at, word, size) == 0;
}

/* .000 or ,999 after which no digit stands. */
static enum part
fraction_at(struct bytes text, size_t *ret_size)
{
    if (text.size < 2 || (text.at[0] != '.' && text.at[0] != ',')) return PART_NONE;
    uint8_t digit = text.at[1];
    if (digit != '0' && digit != '9') return PART_NONE;
    size_t size = 1;
    while (size < text.size && text.at[size] == digit) {
        size++;
    }
    if (size < text.size && ascii_is_digit(text.at[size])) return PART_NONE;
    *ret_size = size;
    return digit == '0' ? PART_FRACTION : PART_FRACTION_9;
}

/* What begins here, and its bytes. */
static enum part
part_at(struct bytes text, size_t *ret_size)
{
    if (begins(text, "_2006")) return PART_NONE; /* a line, and a year */
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i].word);
        if (!begins(text, words[i].word)) continue;
        enum part part = words[i].part;
        /* "Janet" and "Monty" are words of their own. */
        bool is_short = part == PART_MONTH_SHORT || part == PART_WEEKDAY_SHORT;
        bool goes_on = size < text.size && text.at[size] >= 'a' && text.at[size] <= 'z';
        if (is_short && goes_on) return PART_NONE;
        *ret_size = size;
        return part;
    }
    return fraction_at(text, ret_size);
}

static void
put_padded(struct buf *to, int64_t v, unsigned width, char pad)
{
    char text[DECIMAL_BYTES];
    if (v < 0) {
        buf_put_u8(to, '-');
        v = -v;
    }
    size_t size = decimal_print_uint((uint64_t)v, text);
    for (; width > size; width--) {
        buf_put_u8(to, (uint8_t)pad);
    }
    buf_put(to, text, size);
}

static void
put_fraction(struct buf *to, uint32_t nanos, struct bytes layout, bool trims)
{
    enum { DIGITS = 9 };
    size_t shown = layout.size - 1;
    char text[DIGITS];
    for (unsigned i = DIGITS; i > 0; i--, nanos /= 10) {
        text[i - 1] = (char)('0' + nanos % 10);
    }
    if (shown > DIGITS) shown = DIGITS;
    while (trims && shown > 0 && text[shown - 1] == '0') {
        shown--;
    }
    if (shown == 0) return;
    buf_put_u8(to, layout.at[0]);
    buf_put(to, text, shown);
}

static void
put_zone(struct buf *to, enum part part)
{
    switch (part) {
    case PART_ZONE:
        buf_put_text(to, "UTC");
        break;
    case PART_Z:
        buf_put_text(to, "Z");
        break;
    case PART_OFFSET:
        buf_put_text(to, "+0000");
        break;
    case PART_OFFSET_SECONDS:
        buf_put_text(to, "+000000");
        break;
    case PART_OFFSET_COLON:
        buf_put_text(to, "+00:00");
        break;
    case PART_OFFSET_COLON_SECONDS:
        buf_put_text(to, "+00:00:00");
        break;
    default:
        buf_put_text(to, "+00");
    }
}

static void
put_date(struct buf *to, enum part part, const struct tmpl_date *d)
{
    switch (part) {
    case PART_MONTH_NAME:
        buf_put_text(to, month_names[d->month - 1]);
        break;
    case PART_MONTH_SHORT:
        buf_put(to, month_names[d->month - 1], 3);
        break;
    case PART_MONTH:
    case PART_MONTH_2:
        put_padded(to, d->month, part == PART_MONTH ? 1 : 2, '0');
        break;
    case PART_WEEKDAY_NAME:
        buf_put_text(to, day_names[d->weekday]);
        break;
    case PART_WEEKDAY_SHORT:
        buf_put(to, day_names[d->weekday], 3);
        break;
    case PART_DAY:
    case PART_DAY_2:
        put_padded(to, d->day, part == PART_DAY ? 1 : 2, '0');
        break;
    case PART_DAY_BLANK:
        put_padded(to, d->day, 2, ' ');
        break;
    case PART_YEAR_DAY_BLANK:
        put_padded(to, d->year_day, 3, ' ');
        break;
    case PART_YEAR_DAY_3:
        put_padded(to, d->year_day, 3, '0');
        break;
    case PART_YEAR:
        put_padded(to, d->year, 4, '0');
        break;
    default:
        put_padded(to, d->year < 0 ? 0 : d->year % 100, 2, '0');
    }
}

static void
put_clock(struct buf *to, enum part part, const struct tmpl_date *d)
{
    int32_t hour_12 = d->hour % 12 == 0 ? 12 : d->hour % 12;
    switch (part) {
    case PART_HOUR:
        put_padded(to, d->hour, 2, '0');
        break;
    case PART_HOUR_12:
    case PART_HOUR_12_2:
        put_padded(to, hour_12, part == PART_HOUR_12 ? 1 : 2, '0');
        break;
    case PART_MINUTE:
    case PART_MINUTE_2:
        put_padded(to, d->minute, part == PART_MINUTE ? 1 : 2, '0');
        break;
    case PART_SECOND:
    case PART_SECOND_2:
        put_padded(to, d->second, part == PART_SECOND ? 1 : 2, '0');
        break;
    case PART_PM:
        buf_put_text(to, d->hour >= 12 ? "PM" : "AM");
        break;
    default:
        buf_put_text(to, d->hour >= 12 ? "pm" : "am");
    }
}

static bool
is_clock(enum part part)
{
    return (part >= PART_HOUR && part <= PART_SECOND_2) || part == PART_PM || part == PART_PM_LOWER;
}

void
tmpl_time_format(const struct tmpl_time *t, struct bytes layout, struct buf *to)
{
    struct tmpl_date d = tmpl_date_of(t);
    for (size_t i = 0; i < layout.size && buf_error(to) == OK;) {
        struct bytes rest = bytes_of(layout.at + i, layout.size - i);
        size_t size = 1;
        enum part part = part_at(rest, &size);
        if (part == PART_NONE)
            buf_put_u8(to, rest.at[0]);
        else if (part >= PART_FRACTION)
            put_fraction(to, t->nanos, bytes_of(rest.at, size), part == PART_FRACTION_9);
        else if (part >= PART_ZONE)
            put_zone(to, part);
        else if (is_clock(part))
            put_clock(to, part, &d);
        else
            put_date(to, part, &d);
        i += size;
    }
}

void
tmpl_time_print(const struct tmpl_time *t, struct buf *to)
{
    tmpl_time_format(t, bytes_of_text("2006-01-02 15:04:05.999999999 -0700 MST"), to);
}

void
tmpl_time_print_go(const struct tmpl_time *t, struct buf *to)
{
    struct tmpl_date d = tmpl_date_of(t);
    buf_put_text(to, "time.Date(");
    buf_put_int(to, d.year);
    buf_printf(to, ", time.%s, %d, %d, %d, %d, %u, time.%s)", month_names[d.month - 1], d.day,
               d.hour, d.minute, d.second, t->nanos, t->is_local ? "Local" : "UTC");
}

void
tmpl_month_print(int64_t month, struct buf *to)
{
    if (month >= 1 && month <= 12) {
        buf_put_text(to, month_names[month - 1]);
        return;
    }
    buf_put_text(to, "%!Month(");
    buf_put_uint(to, (uint64_t)month);
    buf_put_u8(to, ')');
}

void
tmpl_weekday_print(int64_t weekday, struct buf *to)
{
    if (weekday >= 0 && weekday <= 6) {
        buf_put_text(to, day_names[weekday]);
        return;
    }
    buf_put_text(to, "%!Weekday(");
    buf_put_uint(to, (uint64_t)weekday);
    buf_put_u8(to, ')');
}
