/* sample_sink_test.c - captures contain whole requests; a series without samples leaves nothing in
 * any format. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/lib/sample_files.h"
#include "lib/test_dir.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

enum { SAMPLES = 5000 };

/* A set that returns one batch. */
struct one_batch {
    struct series_set set; /* first */
    struct sample_batch batch;
};

static enum err
give_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct one_batch *x = (struct one_batch *)set;
    (void)why;
    *ret_batch = x->batch;
    x->batch.count = 0;
    return OK;
}

/* Feeds three series: the second has no sample, the third has two. */
static void
feed(struct sample_sink *sink)
{
    static const struct series_set_ops ops = {.batch = give_batch};
    static const uint8_t names[3][8] = {{0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'x'},
                                        {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'y'},
                                        {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'z'}};
    static int64_t times[SAMPLES];
    static uint64_t bits[SAMPLES];
    struct why why = {""};
    for (int i = 0; i < SAMPLES; i++) {
        times[i] = i;
        bits[i] = double_bits(i);
    }
    assert_int_equal(sample_sink_begin(sink, &why), OK);
    for (int i = 0; i < 3; i++) {
        struct one_batch x = {.set = {&ops}, .batch = {.kind = SAMPLE_FLOAT}};
        x.batch.count = i == 0 ? SAMPLES : i == 1 ? 0 : 2;
        x.batch.times_ms = times;
        x.batch.value_bits = bits;
        assert_int_equal(sample_sink_take(sink, bytes_of(names[i], 8), &x.set, &why), OK);
    }
    assert_int_equal(sample_sink_series_end(sink, &why), OK);
    assert_int_equal(sample_sink_end(sink, &why), OK);
}

static void
write_form(int format, const struct selector *skipped, uint32_t skipped_count)
{
    struct output *output;
    struct sample_sink *sink;
    struct progress progress;
    struct why why = {""};
    uint64_t bytes;
    progress_begin(&progress, "samples");
    progress.on_terminal = false;
    assert_int_equal(output_open(test_path, COMPRESSION_NONE, 0, &output, &why), OK);
    assert_int_equal(
        sample_sink_new(format, output, &progress, skipped, skipped_count, &sink, &why), OK);
    feed(sink);
    assert_int_equal(sample_sink_counts(sink).samples, skipped_count > 0 ? 2 : SAMPLES + 2);
    assert_int_equal(output_position(output, &bytes, &why), OK);
    sample_sink_free(sink);
    output_free(output);
}

UNIT_TEST(test_captures_hold_whole_requests)
{
    struct input *in;
    struct bytes piece;
    struct rw_request request;
    struct buf message;
    struct why why = {""};
    uint64_t floats = 0;
    write_form(FORMAT_CAPTURE, NULL, 0);
    buf_init(&message, NULL, 1 << 20);
    assert_int_equal(rw_request_init(&request, NULL), OK);
    assert_int_equal(input_open(test_path, NULL, &in, &why), OK);
    for (;;) {
        assert_int_equal(input_piece(in, 4, &piece, &why), OK);
        if (piece.at == NULL) break;
        assert_int_equal(input_piece(in, load_le32(piece.at), &piece, &why), OK);
        assert_int_equal(snappy_unpack(piece, &message, &why), OK);
        assert_int_equal(rw_decode(&request, RW_V2, buf_bytes(&message), 1, &why), OK);
        assert_true(request.float_count > 0 && request.float_count <= 2000);
        for (uint32_t i = 0; i < request.series_count; i++)
            assert_true(request.series[i].floats.count > 0);
        floats += request.float_count;
    }
    assert_int_equal(floats, SAMPLES + 2);
    input_free(in);
    rw_request_fini(&request);
    buf_fini(&message);
}

static unsigned
lines_with(const char *part)
{
    struct input *in;
    struct bytes line;
    struct why why = {""};
    unsigned count = 0;
    assert_int_equal(input_open(test_path, NULL, &in, &why), OK);
    while (input_line(in, 1 << 24, &line, &why) == OK && line.at != NULL)
        count += memmem(line.at, line.size, part, strlen(part)) != NULL;
    input_free(in);
    return count;
}

UNIT_TEST(test_a_series_without_samples_leaves_no_trace)
{
    for (int format = 0; format < TEXT_FORMAT_COUNT; format++) {
        write_form(format, NULL, 0);
        assert_true(lines_with("z") > 0);
        assert_int_equal(lines_with("\"y\""), 0);
    }
}

UNIT_TEST(test_series_that_an_earlier_selector_selects_are_skipped)
{
    struct selector selector;
    struct why why = {""};
    assert_int_equal(selector_parse(bytes_of_text("{a=~\"x|y\"}"), &selector, &why), OK);
    write_form(TEXT_CSV, &selector, 1);
    assert_int_equal(lines_with("\"x\""), 0);
    assert_int_equal(lines_with("\"z\""), 2);
    selector_fini(&selector);
}

UNIT_TEST(test_forms_are_known_by_word_and_suffix)
{
    int format;
    assert_int_equal(sample_format_parse("rw", &format, NULL), OK);
    assert_int_equal(format, FORMAT_CAPTURE);
    assert_int_equal(sample_format_parse("csv", &format, NULL), OK);
    assert_int_equal(format, TEXT_CSV);
    assert_int_equal(sample_format_parse("xml", &format, NULL), ERR_INPUT);
    assert_int_equal(sample_format_of("a/b.om.gz"), TEXT_OPENMETRICS);
    assert_int_equal(sample_format_of("b.rw.zst"), FORMAT_CAPTURE);
    assert_int_equal(sample_format_of("jsonl"), FORMAT_UNKNOWN);
    assert_int_equal(sample_format_of("x.jsonl"), TEXT_JSON_LINES);
    assert_int_equal(sample_format_of(NULL), FORMAT_UNKNOWN);
}

#define SINK_TEST(name) cmocka_unit_test_setup_teardown(name, test_dir_make, test_dir_remove)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SINK_TEST(test_captures_hold_whole_requests),
        SINK_TEST(test_a_series_without_samples_leaves_no_trace),
        SINK_TEST(test_series_that_an_earlier_selector_selects_are_skipped),
        cmocka_unit_test(test_forms_are_known_by_word_and_suffix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
