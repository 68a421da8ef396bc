/*
 * text_writer.c - the text before and after a sample is the same for all samples of a series and is
 * built once, when the series begins. A sample then is a copy of the head, two numbers and a copy
 * of the tail. JSON lines hold values and times in separate arrays: samples wait until the line is
 * full or the series ends, so a series of any length takes the memory of one line.
 *
 * Some forms cannot hold everything: they leave out histograms, and staleness markers if the form
 * has only one NaN; other NaNs become the ordinary one. All of that is counted.
 */
#include "wire/text/text_format.h"

#include <assert.h>

#include "base/buf.h"
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "wire/escaped_name.h"
#include "wire/json/sample_json.h"
#include "wire/number.h"
#include "wire/shape.h"

enum { HEAD_BYTES_MAX = 64 << 20, SAMPLE_BYTES_MAX = 96 };

struct text_writer {
    struct budget *budget;
    enum text_format format;
    struct text_writer_counts counts;
    bool counted; /* the current series is counted */
    struct buf head;
    struct buf tail;
    struct buf times;  /* times of the JSON line being written; int64_t */
    struct buf values; /* values; uint64_t */
};

enum err
text_writer_new(enum text_format format, struct budget *budget, struct text_writer **ret_writer)
{
    struct text_writer *w = mem_new(budget, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->budget = budget;
    w->format = format;
    buf_init(&w->head, budget, HEAD_BYTES_MAX);
    buf_init(&w->tail, budget, HEAD_BYTES_MAX);
    buf_init(&w->times, budget, TEXT_JSON_SAMPLES_MAX * sizeof(int64_t));
    buf_init(&w->values, budget, TEXT_JSON_SAMPLES_MAX * sizeof(uint64_t));
    bool pairs = format != TEXT_JSON_LINES ||
                 (buf_reserve(&w->times, TEXT_JSON_SAMPLES_MAX * sizeof(int64_t)) &&
                  buf_reserve(&w->values, TEXT_JSON_SAMPLES_MAX * sizeof(uint64_t)));
    if (!pairs) {
        text_writer_free(w);
        return ERR_NOMEM;
    }
    *ret_writer = w;
    return OK;
}

void
text_writer_free(struct text_writer *w)
{
    if (w == NULL) return;
    buf_fini(&w->head);
    buf_fini(&w->tail);
    buf_fini(&w->times);
    buf_fini(&w->values);
    mem_free(w->budget, w, sizeof *w);
}

void
text_writer_begin(struct text_writer *w, struct buf *to)
{
    if (w->format == TEXT_CSV) buf_put_text(to, "name,labels,time,value\n");
}

/* --- a series --------------------------------------------------------------------------------- */

void
text_put_escaped(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0, from = 0; i <= text.size; i++) {
        uint8_t c = i < text.size ? text.at[i] : 0;
        if (i < text.size && c != '\\' && c != '"' && c != '\n') continue;
        if (i > from) buf_put(to, text.at + from, i - from);
        if (i == text.size) break;
        buf_put_u8(to, '\\');
        buf_put_u8(to, c == '\n' ? 'n' : c);
        from = i + 1;
    }
    buf_put_u8(to, '"');
}

/* Writes name{a="b"}, or {"na me",a="b"}; for CSV only the contents of the braces. */
static void
put_label_set(struct buf *to, struct bytes labels, struct bytes quoted_name, bool always)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool open = false;
    if (quoted_name.size > 0 || always) {
        buf_put_u8(to, '{');
        open = true;
        if (quoted_name.size > 0) text_put_escaped(to, quoted_name);
    }
    bool comma = quoted_name.size > 0;
    while (labels_next(&c, &label)) {
        if (bytes_equal_text(label.name, "__name__")) continue;
        if (!open) buf_put_u8(to, '{');
        open = true;
        if (comma) buf_put_u8(to, ',');
        comma = true;
        if (name_is_plain(label.name, false))
            buf_put_bytes(to, label.name);
        else
            text_put_escaped(to, label.name);
        buf_put_u8(to, '=');
        text_put_escaped(to, label.value);
    }
    if (open) buf_put_u8(to, '}');
}

static void
put_csv_field(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '"') buf_put_u8(to, '"');
        buf_put_u8(to, text.at[i]);
    }
    buf_put_u8(to, '"');
}

enum err
text_writer_series(struct text_writer *w, struct bytes labels)
{
    const struct bytes none = {NULL, 0};
    struct bytes name = labels_get(labels, bytes_of_text("__name__"));
    bool plain = name_is_plain(name, true);
    struct cursor c = cursor_of(labels);
    struct json json;
    buf_clear(&w->head);
    buf_clear(&w->tail);
    w->counted = false;
    switch (w->format) {
    case TEXT_OPENMETRICS:
    case TEXT_PROMETHEUS:
        if (plain) buf_put_bytes(&w->head, name);
        put_label_set(&w->head, labels, plain ? none : name, !plain);
        buf_put_u8(&w->head, ' ');
        break;
    case TEXT_JSON_LINES:
        buf_put_text(&w->head, "{\"metric\":");
        json_init(&json, &w->head);
        json_object_open(&json);
        for (struct label label; labels_next(&c, &label);) {
            json_key_bytes(&json, label.name);
            json_put_bytes(&json, label.value);
        }
        json_object_close(&json);
        buf_put_text(&w->head, ",\"values\":[");
        break;
    case TEXT_NDJSON:
        ndjson_head_put(&w->head, labels);
        ndjson_tail_put(&w->tail, labels);
        break;
    case TEXT_CSV:
    case TEXT_FORMAT_COUNT:
        put_label_set(&w->tail, labels, none, true);
        if (plain || name.size == 0)
            buf_put_bytes(&w->head, name);
        else
            put_csv_field(&w->head, name);
        buf_put_u8(&w->head, ',');
        put_csv_field(&w->head, buf_bytes(&w->tail));
        buf_put_u8(&w->head, ',');
    }
    return err_first(buf_error(&w->head), buf_error(&w->tail));
}

/* --- samples ---------------------------------------------------------------------------------- */

/* JSON has neither Inf nor NaN: writes a word in quotes, but null for the ordinary NaN. */
static size_t
json_value(uint64_t bits, char *to)
{
    bool finite = (bits >> 52 & 0x7ff) != 0x7ff;
    if (finite) return number_print_json(bits, to);
    if (bits == NORMAL_NAN_BITS) {
        memcpy(to, "null", 4);
        return 4;
    }
    to[0] = '"';
    size_t size = 1 + number_print_exact(bits, to + 1);
    to[size] = '"';
    return size + 1;
}

/* Writes value and time of a sample, which follow the head in exposition and CSV, at most
 * SAMPLE_BYTES_MAX. */
static size_t
sample_text(const struct text_writer *w, int64_t t_ms, uint64_t bits, char *to)
{
    size_t n = 0;
    switch (w->format) {
    case TEXT_OPENMETRICS:
    case TEXT_PROMETHEUS:
        n += number_print(bits, to);
        to[n++] = ' ';
        n += w->format == TEXT_OPENMETRICS ? time_print_seconds(t_ms, to + n)
                                           : decimal_print_int(t_ms, to + n);
        to[n++] = '\n';
        return n;
    case TEXT_NDJSON:
    case TEXT_JSON_LINES:
    case TEXT_CSV:
    case TEXT_FORMAT_COUNT:
        break;
    }
    n += decimal_print_int(t_ms, to);
    to[n++] = ',';
    n += number_print_exact(bits, to + n);
    to[n++] = '\n';
    return n;
}

static void
flush_json_line(struct text_writer *w, struct buf *to)
{
    const int64_t *times = (const int64_t *)(const void *)w->times.at;
    const uint64_t *values = (const uint64_t *)(const void *)w->values.at;
    size_t count = w->times.size / sizeof *times;
    char text[SAMPLE_BYTES_MAX];
    if (count == 0) return;
    buf_put_bytes(to, buf_bytes(&w->head));
    for (size_t i = 0; i < count; i++) {
        size_t size = json_value(values[i], text);
        text[size++] = i + 1 < count ? ',' : ']';
        buf_put(to, text, size);
    }
    buf_put_text(to, ",\"timestamps\":[");
    for (size_t i = 0; i < count; i++) {
        size_t size = decimal_print_int(times[i], text);
        text[size++] = i + 1 < count ? ',' : ']';
        buf_put(to, text, size);
    }
    buf_put_text(to, "}\n");
    buf_clear(&w->times);
    buf_clear(&w->values);
}

static void
put_ndjson(struct text_writer *w, const struct labelled_sample *sample, struct buf *to)
{
    buf_put_bytes(to, buf_bytes(&w->head));
    ndjson_sample_put(to, sample);
    buf_put_bytes(to, buf_bytes(&w->tail));
}

static void
text_writer_put_sample(struct text_writer *w, int64_t t_ms, uint64_t bits, struct buf *to)
{
    char text[SAMPLE_BYTES_MAX];
    if (w->format == TEXT_JSON_LINES) {
        buf_put(&w->times, &t_ms, sizeof t_ms);
        buf_put(&w->values, &bits, sizeof bits);
        if (w->times.size == TEXT_JSON_SAMPLES_MAX * sizeof t_ms) flush_json_line(w, to);
    } else if (w->format == TEXT_NDJSON) {
        struct labelled_sample sample = {.t_ms = t_ms, .bits = bits};
        put_ndjson(w, &sample, to);
    } else {
        buf_put_bytes(to, buf_bytes(&w->head));
        buf_put(to, text, sample_text(w, t_ms, bits, text));
    }
    w->counts.samples++;
}

static void
count_series(struct text_writer *w)
{
    if (!w->counted) w->counts.series++;
    w->counted = true;
}

void
text_writer_floats(struct text_writer *w, uint32_t count, const int64_t *times_ms,
                   const uint64_t *bits, struct buf *to)
{
    bool one_nan = w->format == TEXT_OPENMETRICS || w->format == TEXT_PROMETHEUS;
    if (count > 0) count_series(w);
    for (uint32_t i = 0; i < count; i++) {
        bool nan = (bits[i] & ~(1ull << 63)) > 0x7ff0000000000000u;
        if (one_nan && bits[i] == STALE_NAN_BITS) {
            w->counts.stale_left_out++;
            continue;
        }
        if (one_nan && nan && bits[i] != NORMAL_NAN_BITS) w->counts.nan_altered++;
        text_writer_put_sample(w, times_ms[i], bits[i], to);
    }
}

void
text_writer_histogram(struct text_writer *w, int64_t t_ms, const struct histogram *h,
                      struct buf *to)
{
    struct labelled_sample sample = {.t_ms = t_ms, .histogram = h};
    if (w->format != TEXT_NDJSON) {
        w->counts.histograms_left_out++;
        return;
    }
    count_series(w);
    put_ndjson(w, &sample, to);
    w->counts.histograms++;
}

void
text_writer_text(struct text_writer *w, int64_t t_ms, struct bytes text, struct buf *to)
{
    assert(w->format == TEXT_CSV);
    buf_put_bytes(to, buf_bytes(&w->head));
    buf_put_int(to, t_ms);
    buf_put_u8(to, ',');
    put_csv_field(to, text);
    buf_put_u8(to, '\n');
}

void
text_writer_series_end(struct text_writer *w, struct buf *to)
{
    flush_json_line(w, to);
}

void
text_writer_end(struct text_writer *w, struct buf *to)
{
    if (w->format == TEXT_OPENMETRICS) buf_put_text(to, "# EOF\n");
}

struct text_writer_counts
text_writer_counts(const struct text_writer *w)
{
    return w->counts;
}
