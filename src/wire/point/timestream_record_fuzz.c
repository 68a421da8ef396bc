/*
 * timestream_record_fuzz.c - reads any bytes as dimensions that Timestream returns, a line
 * NAME=VALUE each and the measure's name last; and writes them as the name of a metric or label,
 * and as its value: the result is JSON within the limits, and comes back the same.
 */
#include <stdlib.h>

#include "lib/wire/random_labels.h"
#include "lib/wire/timestream_labels.h"
#include "wire/json/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_read(struct bytes text)
{
    struct label dimensions[TIMESTREAM_DIMENSIONS_MAX], got[TIMESTREAM_DIMENSIONS_MAX + 1];
    struct arena arena;
    uint32_t count = 0, got_count;
    struct cursor c = cursor_of(text);
    while (c.at != c.end && count < TIMESTREAM_DIMENSIONS_MAX) {
        const uint8_t *feed = memchr(c.at, '\n', cursor_left(&c));
        if (feed == NULL) break;
        const uint8_t *equals = memchr(c.at, '=', (size_t)(feed - c.at));
        const uint8_t *end = equals == NULL ? feed : equals;
        dimensions[count].name = bytes_of(c.at, (size_t)(end - c.at));
        dimensions[count++].value = bytes_of(end, (size_t)(feed - end));
        c.at = feed + 1;
    }
    arena_init(&arena, NULL, 0, 0);
    struct bytes measure = {c.at, cursor_left(&c)};
    if (timestream_labels_get(dimensions, count, measure, &arena, got, &got_count) != OK) abort();
    if (got_count > count + 1) abort();
    volatile uint8_t sum = 0;
    for (uint32_t i = 0; i < got_count; i++) {
        for (size_t b = 0; b < got[i].name.size; b++)
            sum ^= got[i].name.at[b];
        for (size_t b = 0; b < got[i].value.size; b++)
            sum ^= got[i].value.at[b];
    }
    (void)sum;
    arena_fini(&arena);
}

/* Reads the dimensions and the measure's name of a record. */
static uint32_t
read_record(struct bytes record, struct arena *arena, struct label *dimensions,
            struct bytes *ret_measure)
{
    struct scan s = scan_of(record, arena);
    struct bytes key;
    uint32_t count = 0;
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        if (bytes_equal_text(key, "MeasureName")) {
            *ret_measure = scan_text(&s);
        } else if (bytes_equal_text(key, "Dimensions")) {
            scan_expect(&s, '[');
            for (; scan_item(&s); count++) {
                scan_expect(&s, '{');
                while (scan_key(&s, &key)) {
                    bool name = bytes_equal_text(key, "Name");
                    struct bytes text = scan_text(&s);
                    if (count == TIMESTREAM_DIMENSIONS_MAX) abort();
                    *(name ? &dimensions[count].name : &dimensions[count].value) = text;
                }
            }
        } else {
            scan_skip(&s);
        }
    }
    scan_end(&s);
    if (s.bad != NULL) abort();
    return count;
}

static void
check_written(struct bytes metric, struct bytes name, struct bytes value)
{
    struct label dimensions[TIMESTREAM_DIMENSIONS_MAX], got[TIMESTREAM_DIMENSIONS_MAX + 1];
    struct buf labels, to, back;
    struct arena arena;
    struct why why = {""};
    struct bytes measure = {NULL, 0};
    uint32_t count, counted;
    size_t room = 16 * (metric.size + name.size + value.size) + 4096;
    buf_init(&labels, NULL, room);
    buf_init(&to, NULL, room);
    buf_init(&back, NULL, room);
    arena_init(&arena, NULL, 0, 0);
    test_put_label(&labels, name, value);
    struct timestream_record record = {.name = metric, .sample.labels = buf_bytes(&labels)};
    enum err e = timestream_record_put(&to, &record, &counted, &why);
    if (e == OK) {
        uint32_t given = read_record(buf_bytes(&to), &arena, dimensions, &measure);
        if (measure.size == 0 || measure.size > TIMESTREAM_MEASURE_NAME_BYTES_MAX) abort();
        for (uint32_t i = 0; i < given; i++)
            if (dimensions[i].name.size > TIMESTREAM_DIMENSION_NAME_BYTES_MAX) abort();
        if (timestream_labels_get(dimensions, given, measure, &arena, got, &count) != OK) abort();
        if (count != (metric.size > 0 ? 2 : 1)) abort();
        test_put_label(&back, got[0].name, got[0].value);
        if (!bytes_equal(buf_bytes(&back), buf_bytes(&labels))) abort();
        if (metric.size > 0 && !bytes_equal(got[1].value, metric)) abort();
    } else if (e != ERR_INPUT || why.text[0] == '\0' || to.size != 0) {
        abort();
    }
    arena_fini(&arena);
    buf_fini(&labels);
    buf_fini(&to);
    buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {data, size};
    check_read(text);
    check_written(text, bytes_of_text("a"), bytes_of_text("b"));
    if (size == 0 || bytes_equal_text(text, "__name__")) return 0;
    check_written(bytes_of_text("m"), text, bytes_of_text("b"));
    check_written(text, text, text);
    return 0;
}
