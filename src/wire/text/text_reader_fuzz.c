/*
 * Reads any bytes as one of the text forms: the first byte says which, the rest are lines.
 * Accepted lines must be consistent, and are the same after they are written and read again;
 * refused ones must have a reason.
 */
#include <stdlib.h>

#include "base/text/utf8.h"
#include "lib/wire/random_labels.h"
#include "wire/json/sample_json.h"
#include "wire/text/text_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct bytes text)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < text.size; i++)
        sum ^= text.at[i]; /* lets a sanitizer check that it can be read */
    volatile uint8_t keep = sum;
    (void)keep;
}

static void
check_labels(const struct label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        check_text(labels[i].name);
        check_text(labels[i].value);
    }
}

/* Checks that the samples come back from JSON lines. */
static void
check_round_trip(const struct text_item *item)
{
    static const uint8_t labels[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'b'};
    struct text_reader_options options = {.format = TEXT_JSON_LINES};
    struct text_writer *writer;
    struct text_reader *reader;
    struct text_item back;
    struct buf line;
    struct why why;
    if (item->sample_count == 0 || item->sample_count > TEXT_JSON_SAMPLES_MAX) return;
    buf_init(&line, NULL, 64 << 20);
    if (text_writer_new(TEXT_JSON_LINES, NULL, &writer) != OK) abort();
    if (text_reader_new(&options, &reader) != OK) abort();
    if (text_writer_series(writer, bytes_of(labels, sizeof labels)) != OK) abort();
    text_writer_floats(writer, item->sample_count, item->times_ms, item->bits, &line);
    text_writer_series_end(writer, &line);
    if (text_reader_line(reader, bytes_of(line.at, line.size - 1), &back, &why) != OK) abort();
    if (back.sample_count != item->sample_count) abort();
    for (uint32_t i = 0; i < back.sample_count; i++)
        if (back.times_ms[i] != item->times_ms[i] || back.bits[i] != item->bits[i]) abort();
    text_writer_free(writer);
    text_reader_free(reader);
    buf_fini(&line);
}

static bool
same_exemplar(const struct text_exemplar *a, const struct text_exemplar *b)
{
    if (a->bits != b->bits || a->t_ms != b->t_ms || a->label_count != b->label_count) return false;
    for (uint32_t i = 0; i < a->label_count; i++) { /* other labels come last */
        if (!utf8_valid(a->labels[i].name) || !utf8_valid(a->labels[i].value)) return true;
        if (!bytes_equal(a->labels[i].name, b->labels[i].name) ||
            !bytes_equal(a->labels[i].value, b->labels[i].value))
            return false;
    }
    return true;
}

/* Checks that the first sample or histogram, and the first exemplar, come back from NDJSON. */
static void
check_ndjson_round_trip(const struct text_item *item)
{
    static const uint8_t labels[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'b'};
    struct text_reader_options options = {.format = TEXT_NDJSON};
    struct text_reader *reader;
    struct text_item back;
    struct buf line, exemplar_labels;
    struct why why;
    bool is_float = item->sample_count > 0, one = item->exemplar_count > 0;
    if (!is_float && item->histogram == NULL && !one) return;
    one = one && !is_float && item->histogram == NULL;
    buf_init(&line, NULL, 256 << 20);
    buf_init(&exemplar_labels, NULL, 64 << 20);
    struct labelled_sample sample = {.labels = bytes_of(labels, sizeof labels),
                                     .t_ms = is_float ? item->times_ms[0] : item->histogram_ms,
                                     .start_ms = item->start_ms,
                                     .bits = is_float ? item->bits[0] : 0,
                                     .histogram = item->histogram};
    if (one) {
        for (uint32_t i = 0; i < item->exemplars->label_count; i++) {
            const struct label *label = &item->exemplars->labels[i];
            test_put_label(&exemplar_labels, label->name, label->value);
        }
        sample.t_ms = item->exemplars->t_ms;
        sample.bits = item->exemplars->bits;
    }
    struct bytes of_exemplar = buf_bytes(&exemplar_labels);
    ndjson_line_put(&line, &sample, one ? &of_exemplar : NULL);
    if (buf_error(&line) || text_reader_new(&options, &reader) != OK) abort();
    if (text_reader_line(reader, bytes_of(line.at, line.size - 1), &back, &why) != OK) abort();
    if (back.sample_count != is_float || back.start_ms != item->start_ms) abort();
    if (is_float && (back.times_ms[0] != sample.t_ms || back.bits[0] != sample.bits)) abort();
    if ((back.histogram != NULL) != (item->histogram != NULL)) abort();
    if (item->histogram != NULL && (!same_histogram_all(item->histogram, back.histogram) ||
                                    item->histogram->reset_hint != back.histogram->reset_hint ||
                                    back.histogram_ms != sample.t_ms))
        abort();
    if (back.exemplar_count != one || (one && !same_exemplar(item->exemplars, back.exemplars)))
        abort();
    text_reader_free(reader);
    buf_fini(&line);
    buf_fini(&exemplar_labels);
}

static void
check_item(const struct text_item *item)
{
    check_labels(item->labels, item->label_count);
    for (uint32_t i = 0; i < item->exemplar_count; i++)
        check_labels(item->exemplars[i].labels, item->exemplars[i].label_count);
    if (item->sample_count > 1 && (item->exemplar_count > 0 || item->start_ms != 0)) abort();
    if (item->sample_count > 0 && item->histogram != NULL) abort();
    if (item->sample_count > 0 && item->label_count == 0 && !item->junk) {
        /* Only exposition may lack all labels: {} 1. */
        if (item->sample_count != 1) abort();
    }
    if (item->has_metadata) {
        check_text(item->family);
        check_text(item->help);
        check_text(item->unit);
        if (item->type >= METRIC_TYPE_COUNT) abort();
    }
    check_round_trip(item);
    check_ndjson_round_trip(item);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum text_format guessed;
    struct text_item item;
    struct text_reader *reader;
    struct why why;
    if (size == 0) return 0;
    struct text_reader_options options = {.format = (enum text_format)(data[0] % TEXT_FORMAT_COUNT),
                                          .has_time = (data[0] & 0x80) != 0};
    (void)text_format_guess(bytes_of(data + 1, size - 1), &guessed);
    if (text_reader_new(&options, &reader) != OK) abort();
    for (const uint8_t *at = data + 1, *end = data + size; at < end;) {
        const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((feed == NULL ? end : feed) - at);
        uint8_t *line = malloc(length == 0 ? 1 : length);
        if (line == NULL) break;
        memcpy(line, at, length);
        why.text[0] = '\0';
        if (feed == NULL &&
            text_reader_last_line(reader, bytes_of(line, length), &item, &why) == OK)
            check_item(&item);
        enum err e = text_reader_line(reader, bytes_of(line, length), &item, &why);
        if (e == OK)
            check_item(&item);
        else if (why.text[0] == '\0' || (e != ERR_INPUT && e != ERR_LIMIT))
            abort();
        free(line);
        at += length + 1;
    }
    if (text_reader_end(reader, &item, &why) == OK) check_item(&item);
    text_reader_free(reader);
    return 0;
}
