/* letter_print_test.c - a dead letter as a line of JSON is complete. */
#include "lib/test.h"

#include "cli/destinations/letter_print.h"
#include "model/labels.h"
#include "wire/json/histogram_json.h"

enum { TEXT_BYTES_MAX = 1 << 16 };

static char line[TEXT_BYTES_MAX];

static struct bytes
labels_of(struct buf *to, struct label second)
{
    buf_clear(to);
    labels_put(to, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    labels_put(to, second);
    return buf_bytes(to);
}

static void
print(const struct item *item)
{
    const struct dead_letter letter = {
        .pos = 7,
        .index = 1,
        .item = *item,
        .reason = bytes_of_text("type"),
        .answer = bytes_of_text("no"),
        .failed_ms = 0,
    };
    struct buf text;
    buf_init(&text, NULL, TEXT_BYTES_MAX - 1);
    letter_print_json(&text, "west", &letter, DEAD_LETTER_KEPT);
    assert_int_equal(buf_error(&text), OK);
    memcpy(line, text.at, text.size);
    line[text.size] = '\0';
    buf_fini(&text);
}

static void
expect(const char *part)
{
    if (strstr(line, part) == NULL) fail_msg("'%s' is not in: %s", part, line);
}

UNIT_TEST(test_floats_are_numbers_or_their_bits)
{
    static const struct {
        uint64_t bits;
        const char *shown;
    } cases[] = {
        {0, "\"value\":0,"},
        {UINT64_C(1) << 63, "\"value\":-0.0,"},
        {0x3fe4000000000000, "\"value\":0.625,"},
        {0x0000000000000001, "\"value\":5e-324,"},
        {0x7ff0000000000002, "\"value\":null,\"bits\":\"7ff0000000000002\","},
        {0xfff0000000000000, "\"value\":null,\"bits\":\"fff0000000000000\","},
    };
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item item = {.kind = ITEM_FLOAT, .t_ms = 5, .bits = cases[i].bits};
        item.labels =
            labels_of(&labels, (struct label){bytes_of_text("job"), bytes_of_text("\"x\"")});
        print(&item);
        expect(cases[i].shown);
        expect("\"labels\":{\"__name__\":\"up\",\"job\":\"\\\"x\\\"\"},\"time\":5,");
        assert_null(strstr(line, "labels_hex"));
    }
    buf_fini(&labels);
}

UNIT_TEST(test_a_histogram_is_what_import_reads)
{
    static const struct hist_span spans[] = {{-2, 2}, {3, 1}};
    static const int64_t deltas[] = {2, 3, -2};
    static const struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .schema = 3,
        .count = UINT64_MAX,
        .sum_bits = 0x7ff0000000000002,
        .zero_count = 2,
        .zero_threshold_bits = UINT64_C(1) << 63,
        .positive = {.spans = spans, .span_count = 2, .deltas = deltas, .bucket_count = 3},
    };
    struct buf labels, text;
    buf_init(&labels, NULL, 1000);
    buf_init(&text, NULL, 10000);
    struct item item = {.kind = ITEM_HISTOGRAM, .t_ms = 5, .histogram = &h};
    item.labels = labels_of(&labels, (struct label){bytes_of_text("job"), bytes_of_text("x")});
    print(&item);
    buf_put_text(&text, ",\"time\":5,\"histogram\":");
    histogram_json_put(&text, &h);
    buf_put_text(&text, ",\"reason\":\"type\",");
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    expect((const char *)text.at);
    expect("\"sum\":\"7ff0000000000002\"");
    buf_fini(&labels);
    buf_fini(&text);
}

UNIT_TEST(test_labels_that_are_not_utf8_are_printed_in_hex)
{
    struct buf labels, own;
    buf_init(&labels, NULL, 1000);
    buf_init(&own, NULL, 1000);
    labels_put(&own, (struct label){bytes_of_text("trace_id"), bytes_of_text("\xfe")});
    struct item item = {.kind = ITEM_EXEMPLAR, .t_ms = 5, .exemplar_labels = buf_bytes(&own)};
    item.labels = labels_of(&labels, (struct label){bytes_of_text("job"), bytes_of_text("\xff")});
    print(&item);
    expect("\"labels\":{\"__name__\":\"up\"},\"labels_hex\":{\"6a6f62\":\"ff\"},");
    expect("\"exemplar_labels\":{},\"exemplar_labels_hex\":{\"74726163655f6964\":\"fe\"},");
    buf_fini(&labels);
    buf_fini(&own);
}

UNIT_TEST(test_metadata_are_printed_with_all_their_words)
{
    struct item item = {.kind = ITEM_METADATA,
                        .family = bytes_of_text("work_seconds"),
                        .family_type = METRIC_COUNTER,
                        .help = bytes_of_text("Time \"at\" work."),
                        .unit = bytes_of_text("seconds")};
    print(&item);
    expect("\"family\":\"work_seconds\",\"type\":\"counter\",\"help\":\"Time \\\"at\\\" work.\","
           "\"unit\":\"seconds\",\"reason\":\"type\"");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_are_numbers_or_their_bits),
        cmocka_unit_test(test_a_histogram_is_what_import_reads),
        cmocka_unit_test(test_labels_that_are_not_utf8_are_printed_in_hex),
        cmocka_unit_test(test_metadata_are_printed_with_all_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
