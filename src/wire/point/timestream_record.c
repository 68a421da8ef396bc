/*
 * timestream_record.c - nearly all names are written unchanged. Mapped names consist of letters,
 * digits and underscores, so they need no escapes in JSON.
 *
 * A record is written in one pass, which adds up what Timestream counts: dimensions and bytes, of
 * names as sent and of values before JSON escapes them. Limits are checked at the end, when the
 * numbers are known; after an error the buffer is as before. If a name was shortened, a dimension
 * with a prefix of its own holds the whole name, so that different series stay different.
 * Dimensions that all records of a request share are written once and count toward each record's
 * limits.
 */
#include "wire/point/timestream_record.h"

#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "base/text/utf8.h"
#include "wire/escaped_name.h"
#include "wire/json/sample_json.h"
#include "wire/number.h"
#include "wire/shape.h"

enum {
    PREFIX_BYTES = 3, /* U__, H__, N__, M__ */
    SHORTENED_AROUND = PREFIX_BYTES + 2 + HEX_WORD_BYTES,
    KEEPER_NAME_BYTES = PREFIX_BYTES + HEX_WORD_BYTES,
    FLOAT_BYTES = 8, /* size that Timestream counts */
    TIME_BYTES = 8,
};

/* --- names of dimensions and measures --------------------------------------------------------- */

enum role { DIMENSION, MEASURE, MEASURE_WITH_COLONS };

static bool
timestream_begins_with(struct bytes text, const char *start)
{
    size_t size = strlen(start);
    return text.size >= size && memcmp(text.at, start, size) == 0;
}

static bool
must_escape(struct bytes name, enum role role)
{
    if (name.size == 0 || name_looks_escaped(name) || timestream_begins_with(name, "H__") ||
        timestream_begins_with(name, "N__") || timestream_begins_with(name, "M__") ||
        !utf8_valid(name))
        return true;
    if (timestream_begins_with(name, "ts_") || timestream_begins_with(name, "measure_value") ||
        bytes_equal_text(name, "time"))
        return true;
    bool colon = memchr(name.at, ':', name.size) != NULL;
    if (role != DIMENSION) return colon && role == MEASURE;
    return colon || bytes_equal_text(name, "measure_name");
}

static size_t
name_bytes_max(enum role role)
{
    return role == DIMENSION ? TIMESTREAM_DIMENSION_NAME_BYTES_MAX
                             : TIMESTREAM_MEASURE_NAME_BYTES_MAX;
}

static void
put_digits(struct buf *to, const char *before, struct bytes name)
{
    char digits[HEX_WORD_BYTES];
    buf_put_text(to, before);
    buf_put(to, digits, hex_print_word(hash_bytes(name, 0), digits));
}

static bool
goes_as_it_is(struct bytes name, enum role role)
{
    return name.size <= name_bytes_max(role) && !must_escape(name, role);
}

/* True: the name was shortened and needs a keeper. */
static bool
put_mapped(struct buf *to, struct bytes name, enum role role)
{
    size_t before = to->size;
    if (must_escape(name, role)) {
        escaped_name_put(to, name);
        if (to->size - before <= name_bytes_max(role)) return false;
        to->size = before;
    }
    size_t room = name_bytes_max(role) - SHORTENED_AROUND;
    struct bytes start = {name.at, name.size < room ? name.size : room};
    while (start.size > 0 && !name_is_plain(start, false))
        start.size--;
    buf_put_text(to, "H__");
    buf_put_bytes(to, start);
    put_digits(to, "__", name);
    return true;
}

static enum role
measure_role(bool keep_colons)
{
    return keep_colons ? MEASURE_WITH_COLONS : MEASURE;
}

static void
put_name(struct buf *to, struct bytes name, enum role role)
{
    if (goes_as_it_is(name, role))
        buf_put_bytes(to, name);
    else
        (void)put_mapped(to, name, role);
}

void
timestream_dimension_name_put(struct buf *to, struct bytes name)
{
    put_name(to, name, DIMENSION);
}

void
timestream_measure_name_put(struct buf *to, struct bytes name, bool keep_colons)
{
    put_name(to, name, measure_role(keep_colons));
}

/* Puts the name in quotes and adds the size that Timestream counts to *bytes. True: it needs a
 * keeper. */
static bool
put_json_name(struct buf *to, struct bytes name, enum role role, size_t *bytes)
{
    if (goes_as_it_is(name, role)) {
        *bytes += name.size;
        return !json_print_string(to, name);
    }
    buf_put_u8(to, '"');
    size_t before = to->size;
    bool shortened = put_mapped(to, name, role);
    *bytes += to->size - before;
    buf_put_u8(to, '"');
    return shortened;
}

/* --- dimensions ------------------------------------------------------------------------------- */

/* The list being written. */
struct dimension_list {
    struct buf *to;
    uint32_t here; /* dimensions written to it */
    uint32_t count;
    size_t bytes;
};

static void
begin_dimension(struct dimension_list *list)
{
    buf_put_text(list->to, list->here == 0 ? "{\"Name\":" : ",{\"Name\":");
    list->here++;
    list->count++;
}

/* Puts a dimension whose value is the name that was too long. */
static void
put_keeper(struct dimension_list *list, const char *prefix, struct bytes name, enum role role)
{
    begin_dimension(list);
    buf_put_u8(list->to, '"');
    put_digits(list->to, prefix, name);
    buf_put_text(list->to, "\",\"Value\":");
    size_t before = list->to->size;
    if (must_escape(name, role)) {
        buf_put_u8(list->to, '"');
        escaped_name_put(list->to, name);
        buf_put_u8(list->to, '"');
        list->bytes += list->to->size - before - 2;
    } else {
        (void)json_print_string(list->to, name);
        list->bytes += name.size;
    }
    list->bytes += KEEPER_NAME_BYTES;
    buf_put_u8(list->to, '}');
}

static enum err
put_dimensions(struct dimension_list *list, struct bytes labels, struct why *why)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label)) {
        if (bytes_equal_text(label.name, "__name__")) continue;
        begin_dimension(list);
        bool shortened = put_json_name(list->to, label.name, DIMENSION, &list->bytes);
        buf_put_text(list->to, ",\"Value\":");
        bool exact = json_print_string(list->to, label.value);
        list->bytes += label.value.size;
        buf_put_u8(list->to, '}');
        if (shortened) put_keeper(list, "N__", label.name, DIMENSION);
        if (!exact) return why_set(why, ERR_INPUT, "label value is not valid UTF-8");
    }
    return OK;
}

static enum err
check_list(const struct dimension_list *list, struct why *why)
{
    if (buf_error(list->to)) return buf_error(list->to);
    if (list->count > TIMESTREAM_DIMENSIONS_MAX) {
        return why_set(why, ERR_INPUT, "labels need %u dimensions: Timestream allows at most %d",
                       list->count, TIMESTREAM_DIMENSIONS_MAX);
    }
    if (list->bytes > TIMESTREAM_DIMENSION_BYTES_MAX) {
        return why_set(why, ERR_INPUT, "labels take %zu bytes: Timestream allows at most %d",
                       list->bytes, TIMESTREAM_DIMENSION_BYTES_MAX);
    }
    return OK;
}

enum err
timestream_dimensions_put(struct buf *to, struct bytes labels, struct timestream_size *size,
                          struct why *why)
{
    size_t before = to->size;
    struct dimension_list list = {.to = to, .count = size->count, .bytes = size->bytes};
    buf_put_text(to, "\"Dimensions\":[");
    enum err e = put_dimensions(&list, labels, why);
    buf_put_u8(to, ']');
    if (e == OK) e = check_list(&list, why);
    if (e) {
        to->size = before;
        return e;
    }
    *size = (struct timestream_size){list.count, (uint32_t)list.bytes};
    return OK;
}

/* --- records ---------------------------------------------------------------------------------- */

/* Puts the value and its type. Returns the size that Timestream counts. */
static size_t
timestream_put_value(struct buf *to, const struct timestream_record *record)
{
    char text[NUMBER_TEXT_BYTES];
    size_t size;
    bool finite = (record->sample.bits >> 52 & 0x7ff) != 0x7ff;
    buf_put_text(to, ",\"MeasureValue\":\"");
    if (record->sample.histogram != NULL) {
        size = histogram_json_put_escaped(to, record->sample.histogram);
    } else if (finite) {
        size = FLOAT_BYTES;
        buf_put(to, text, number_print_json(record->sample.bits, text));
    } else {
        size = hex_print_word(record->sample.bits, text);
        buf_put(to, text, size);
    }
    bool is_double = record->sample.histogram == NULL && finite;
    buf_put_text(to, is_double ? "\",\"MeasureValueType\":\"DOUBLE\""
                               : "\",\"MeasureValueType\":\"VARCHAR\"");
    return size;
}

static enum err
put_record(struct buf *to, const struct timestream_record *record, uint32_t *ret_bytes,
           struct why *why)
{
    struct dimension_list list = {
        .to = to, .count = record->common.count, .bytes = record->common.bytes};
    enum role role = measure_role(record->keep_colons);
    size_t bytes = TIME_BYTES;
    /* A low estimate of the size. */
    if (!buf_reserve(to, record->sample.labels.size - record->sample.labels.size / 8))
        return buf_error(to);
    buf_put_text(to, "{\"MeasureName\":");
    bool shortened = put_json_name(to, record->name, role, &bytes);
    bytes += timestream_put_value(to, record);
    buf_put_text(to, ",\"Dimensions\":[");
    if (shortened) put_keeper(&list, "M__", record->name, role);
    enum err e = put_dimensions(&list, record->sample.labels, why);
    if (e == OK) e = check_list(&list, why);
    if (e) return e;
    bytes += list.bytes;
    if (bytes > TIMESTREAM_RECORD_BYTES_MAX) {
        return why_set(why, ERR_INPUT, "record takes %zu bytes: Timestream allows at most %d",
                       bytes, TIMESTREAM_RECORD_BYTES_MAX);
    }
    buf_put_text(to, "],\"Time\":\"");
    buf_put_int(to, record->sample.t_ms);
    buf_put_u8(to, '"');
    if (record->version > 0) {
        buf_put_text(to, ",\"Version\":");
        buf_put_uint(to, record->version);
    }
    buf_put_u8(to, '}');
    *ret_bytes = (uint32_t)bytes - record->common.bytes;
    return buf_error(to);
}

enum err
timestream_record_put(struct buf *to, const struct timestream_record *record, uint32_t *ret_bytes,
                      struct why *why)
{
    size_t before = to->size;
    enum err e = put_record(to, record, ret_bytes, why);
    if (e) to->size = before;
    return e;
}
