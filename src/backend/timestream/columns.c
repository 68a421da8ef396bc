/*
 * columns.c - the table's columns, and their labels: decodes wire/point/timestream_record.h.
 *
 * The kept rows of DESCRIBE have for each column its name and its kind, each with a varint length.
 */
#include "backend/timestream/timestream_reader.h"

#include <strings.h>

#include "base/text/hex.h"
#include "base/text/quote.h"
#include "wire/escaped_name.h"
#include "wire/point/timestream_record.h"

enum { PREFIX_BYTES = 3, NAME_BYTES_MAX = 64 * 1024 };

/* --- names of columns ------------------------------------------------------------------------- */

static bool
begins_with(struct bytes text, const char *start)
{
    size_t size = strlen(start);
    return text.size >= size && memcmp(text.at, start, size) == 0;
}

/* The digits at the end of a shortened name; empty if it is not shortened. */
static struct bytes
digits_of(struct bytes name)
{
    uint64_t hash;
    if (!begins_with(name, "H__") || name.size < PREFIX_BYTES + 2 + HEX_WORD_BYTES)
        return bytes_of(NULL, 0);
    const uint8_t *at = name.at + name.size - HEX_WORD_BYTES;
    struct bytes digits = bytes_of(at, HEX_WORD_BYTES);
    bool ours = hex_parse_word(digits, &hash) && at[-1] == '_' && at[-2] == '_';
    return ours ? digits : bytes_of(NULL, 0);
}

/* True if a column keeps the names of others: N__ or M__, and digits. */
static bool
is_keeper(struct bytes column)
{
    uint64_t hash;
    bool ours = begins_with(column, "N__") || begins_with(column, "M__");
    return ours &&
           hex_parse_word(bytes_of(column.at + PREFIX_BYTES, column.size - PREFIX_BYTES), &hash);
}

enum whose { OF_DIMENSION, OF_MEASURE, OF_KEPT };

/* True if the destination would write the plain name so. If not, another writer wrote the name
 * itself. */
static bool
is_coded(struct bytes coded, struct bytes plain, enum whose whose, struct buf *scratch)
{
    bool same = whose == OF_KEPT; /* kept names are never shortened */
    if (plain.size == 0 && whose != OF_MEASURE) return false;
    for (int keep_colons = 0; keep_colons < 2 && !same; keep_colons++) {
        buf_clear(scratch);
        if (whose == OF_DIMENSION)
            timestream_dimension_name_put(scratch, plain);
        else
            timestream_measure_name_put(scratch, plain, keep_colons);
        same = bytes_equal(buf_bytes(scratch), coded);
    }
    return same;
}

/* Decodes a name that is not shortened. */
static enum err
decode(struct bytes name, enum whose whose, struct arena *arena, struct bytes *ret, struct why *why)
{
    struct buf plain, again;
    *ret = name;
    if (!begins_with(name, "U__")) return OK;
    buf_init(&plain, arena->budget, NAME_BYTES_MAX);
    buf_init(&again, arena->budget, NAME_BYTES_MAX);
    enum err e = OK;
    if (escaped_name_get(&plain, name) && is_coded(name, buf_bytes(&plain), whose, &again)) {
        struct bytes copy = arena_copy(arena, buf_bytes(&plain));
        if (copy.at == NULL && copy.size > 0) e = fetch_no_memory(why);
        *ret = copy.size == 0 ? bytes_of("", 0) : copy;
    } else if (buf_error(&plain) || buf_error(&again)) {
        e = fetch_no_memory(why);
    }
    buf_fini(&plain);
    buf_fini(&again);
    return e;
}

static uint32_t
find_keeper(const struct timestream_columns *c, const char *prefix, struct bytes digits)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct bytes name = c->dimensions[i].column;
        if (!c->dimensions[i].is_keeper || !begins_with(name, prefix)) continue;
        if (bytes_equal(bytes_of(name.at + PREFIX_BYTES, HEX_WORD_BYTES), digits)) return i;
    }
    return UINT32_MAX;
}

/* --- the table -------------------------------------------------------------------------------- */

void
columns_put(struct buf *to, const struct bytes *cells)
{
    enum { NAME, TYPE, KIND };
    buf_put_counted(to, cells[NAME]);
    buf_put_counted(to, cells[KIND]);
}

static bool
is_word(struct bytes text, const char *word)
{
    size_t size = strlen(word);
    return text.size == size && strncasecmp((const char *)text.at, word, size) == 0;
}

static enum err
take_column(struct timestream_columns *c, struct bytes name, struct bytes kind,
            const struct timestream_read_settings *settings, struct why *why)
{
    if (is_word(kind, "DIMENSION")) {
        if (c->count == TIMESTREAM_COLUMNS_MAX) {
            return why_set(why, ERR_LIMIT, "the table has more than %d dimensions",
                           TIMESTREAM_COLUMNS_MAX);
        }
        c->dimensions[c->count++] = (struct dimension){.column = name,
                                                       .label = name,
                                                       .keeper = UINT32_MAX,
                                                       .is_keeper = !c->is_raw && is_keeper(name)};
        return OK;
    }
    bool is_double = is_word(name, "measure_value::double");
    bool is_varchar = is_word(name, "measure_value::varchar");
    c->has_double |= is_double;
    c->has_varchar |= is_varchar && settings->schema != TIMESTREAM_CONNECTOR;
    bool known = is_double || is_varchar || is_word(name, "time") || is_word(name, "measure_name");
    if (known || settings->schema != TIMESTREAM_FIREKEEP) return OK;
    return why_set(why, ERR_IO,
                   "the table has a column %s, which Firekeep does not write (schema: auto ignores "
                   "it)",
                   shown_of(name).text);
}

static enum err
name_label(struct timestream_columns *c, struct dimension *d, struct arena *arena, struct why *why)
{
    struct bytes digits = digits_of(d->column);
    if (c->is_raw) return OK;
    if (d->is_keeper || digits.size > 0) d->label = bytes_of("", 0);
    if (d->is_keeper) return OK;
    if (digits.size == 0) return decode(d->column, OF_DIMENSION, arena, &d->label, why);
    d->keeper = find_keeper(c, "N__", digits);
    if (d->keeper == UINT32_MAX) d->label = d->column; /* its name is unknown */
    return OK;
}

enum err
columns_take(struct timestream_columns *c, struct bytes kept,
             const struct timestream_read_settings *settings, struct arena *arena, struct why *why)
{
    struct bytes copy = arena_copy(arena, kept);
    enum err e = OK;
    c->count = 0;
    c->has_double = c->has_varchar = false;
    c->is_raw = settings->schema == TIMESTREAM_CONNECTOR;
    if (copy.at == NULL && kept.size > 0) return fetch_no_memory(why);
    for (struct cursor at = cursor_of(copy); cursor_left(&at) > 0 && e == OK;) {
        struct bytes name = cursor_counted(&at);
        e = take_column(c, name, cursor_counted(&at), settings, why);
    }
    for (uint32_t i = 0; i < c->count && e == OK; i++)
        e = name_label(c, &c->dimensions[i], arena, why);
    return e;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Gets the complete form of a shortened name from the dimension of the row that keeps it. */
static enum err
kept_name(uint32_t keeper, struct bytes shortened, const struct bytes *values, struct arena *arena,
          struct bytes *ret, struct why *why)
{
    *ret = shortened;
    if (keeper == UINT32_MAX || values[keeper].at == NULL) return OK;
    return decode(values[keeper], OF_KEPT, arena, ret, why);
}

static enum err
metric_name(const struct timestream_columns *c, struct bytes measure, const struct bytes *values,
            struct arena *arena, struct bytes *ret, struct why *why)
{
    struct bytes digits = digits_of(measure);
    *ret = measure;
    if (c->is_raw) return OK;
    if (digits.size == 0) return decode(measure, OF_MEASURE, arena, ret, why);
    return kept_name(find_keeper(c, "M__", digits), measure, values, arena, ret, why);
}

/* True if a label has this name. Tables of several writers may have it in full and shortened. */
static bool
has_label(const struct label *labels, uint32_t count, struct bytes name)
{
    for (uint32_t i = 0; i < count; i++)
        if (bytes_equal(labels[i].name, name)) return true;
    return false;
}

enum err
columns_labels(const struct timestream_columns *c, struct bytes measure, const struct bytes *values,
               struct arena *arena, struct label *labels, uint32_t *ret_count, struct why *why)
{
    uint32_t count = 0;
    struct bytes name;
    enum err e = metric_name(c, measure, values, arena, &name, why);
    if (e == OK && name.size > 0) labels[count++] = (struct label){bytes_of_text("__name__"), name};
    for (uint32_t i = 0; i < c->count && e == OK; i++) {
        const struct dimension *d = &c->dimensions[i];
        if (values[i].at == NULL || values[i].size == 0 || d->is_keeper) continue;
        struct bytes label = d->label;
        if (d->keeper != UINT32_MAX)
            e = kept_name(d->keeper, d->column, values, arena, &label, why);
        if (!has_label(labels, count, label)) labels[count++] = (struct label){label, values[i]};
    }
    *ret_count = count;
    return e;
}

/* --- times ------------------------------------------------------------------------------------ */

static bool
take_number(struct cursor *c, unsigned digits, char after, int64_t *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < digits; i++) {
        uint8_t digit = cursor_u8(c);
        if (digit < '0' || digit > '9') return false;
        *ret = *ret * 10 + (digit - '0');
    }
    return after == 0 || cursor_u8(c) == (uint8_t)after;
}

/* Days of the Gregorian calendar from 1970-01-01, by eras of 400 years, which begin in March. */
static int64_t
days_since_epoch(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2) year--;
    int64_t era = year / 400, in_era = year % 400; /* years are not negative here */
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

bool
timestream_time_read(struct bytes text, int64_t *ret_ms)
{
    struct cursor c = cursor_of(text);
    int64_t year, month, day, hour, minute, second, ms = 0;
    if (!take_number(&c, 4, '-', &year) || !take_number(&c, 2, '-', &month) ||
        !take_number(&c, 2, ' ', &day) || !take_number(&c, 2, ':', &hour) ||
        !take_number(&c, 2, ':', &minute) || !take_number(&c, 2, 0, &second))
        return false;
    bool fits = year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 &&
                minute < 60 && second < 60;
    if (!fits || (cursor_left(&c) > 0 && cursor_u8(&c) != '.')) return false;
    for (unsigned i = 0; cursor_left(&c) > 0; i++) {
        uint8_t digit = cursor_u8(&c);
        if (digit < '0' || digit > '9' || i == 9) return false;
        if (i < 3) ms += (digit - '0') * (i == 0 ? 100 : i == 1 ? 10 : 1);
    }
    int64_t seconds =
        days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_ms = seconds * 1000 + ms;
    return true;
}
