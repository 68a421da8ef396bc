/* ndjson_line_test.c - lines byte by byte; and the reader of NDJSON returns every bit. */
#include "lib/test.h"

#include <stdio.h>

#include "lib/wire/random_labels.h"
#include "wire/json/sample_json.h"
#include "wire/text/text_format.h"

static void
check_exemplar(const struct labelled_sample *sample, const struct bytes *exemplar_labels,
               const char *expected)
{
    struct buf line;
    buf_init(&line, NULL, 1 << 20);
    ndjson_line_put(&line, sample, exemplar_labels);
    buf_put_u8(&line, 0);
    assert_int_equal(buf_error(&line), OK);
    assert_string_equal((char *)line.at, expected);
    buf_fini(&line);
}

static void
check_line(const struct labelled_sample *sample, const char *expected)
{
    check_exemplar(sample, NULL, expected);
}

#define LABELS ",\"labels\":{\"__name__\":\"up\",\"job\":\"x\\\"\\n\"}}\n"

UNIT_TEST(test_a_line_has_the_documented_form)
{
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "up");
    test_put_texts(&labels, "job", "x\"\n");
    struct labelled_sample s = {
        .labels = buf_bytes(&labels), .t_ms = 1700000000000, .bits = double_bits(1)};
    check_line(&s, "{\"name\":\"up\",\"time\":1700000000000,\"value\":1" LABELS);
    s.t_ms = -5;
    s.bits = double_bits(-0.0);
    check_line(&s, "{\"name\":\"up\",\"time\":-5,\"value\":-0.0" LABELS);
    s.bits = STALE_NAN_BITS;
    s.start_ms = 3;
    check_line(&s, "{\"name\":\"up\",\"time\":-5,\"value\":null,\"bits\":\"7ff0000000000002\","
                   "\"start_ms\":3" LABELS);
    s = (struct labelled_sample){
        .labels = buf_bytes(&labels), .t_ms = 7, .bits = double_bits(0.25)};
    check_exemplar(&s, &s.labels,
                   "{\"name\":\"up\",\"time\":7,\"value\":null,\"exemplars\":[{\"labels\":{"
                   "\"__name__\":\"up\",\"job\":\"x\\\"\\n\"},\"value\":0.25,\"time\":7}]" LABELS);
    const struct bytes none = {NULL, 0};
    s.bits = NORMAL_NAN_BITS;
    check_exemplar(&s, &none,
                   "{\"name\":\"up\",\"time\":7,\"value\":null,\"exemplars\":[{\"labels\":{},"
                   "\"value\":null,\"bits\":\"7ff8000000000001\",\"time\":7}]" LABELS);
    buf_fini(&labels);
}

UNIT_TEST(test_histograms_have_the_documented_form)
{
    static const struct hist_span spans[] = {{-2, 1}, {3, 2}};
    static const int64_t deltas[] = {1, INT64_MAX, INT64_MIN};
    static const uint64_t counts[] = {0x3fe0000000000000u, 0x7ff0000000000000u};
    static const uint64_t bounds[] = {0x8000000000000000u, 0x3ff0000000000000u};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .reset_hint = RESET_GAUGE,
                          .schema = -4,
                          .count = UINT64_MAX,
                          .sum_bits = STALE_NAN_BITS,
                          .negative = {.spans = spans, .span_count = 2, .bucket_count = 3}};
    h.negative.deltas = deltas;
    struct labelled_sample s = {.t_ms = 5, .histogram = &h};
    check_line(&s,
               "{\"name\":\"\",\"time\":5,\"value\":null,\"histogram\":{"
               "\"count_int\":18446744073709551615,\"sum\":\"7ff0000000000002\",\"schema\":-4,"
               "\"zero_threshold\":0,\"zero_count_int\":0,\"negative_spans\":["
               "{\"offset\":-2,\"length\":1},{\"offset\":3,\"length\":2}],\"negative_deltas\":["
               "1,9223372036854775807,-9223372036854775808],\"reset_hint\":3},\"labels\":{}}\n");
    h = (struct histogram){.kind = SAMPLE_HISTOGRAM_FLOAT,
                           .schema = HISTOGRAM_SCHEMA_CUSTOM,
                           .count = double_bits(0.5),
                           .positive = {.spans = spans + 1, .span_count = 1, .bucket_count = 2},
                           .custom_bits = bounds,
                           .custom_count = 2};
    h.positive.counts = counts;
    check_line(&s, "{\"name\":\"\",\"time\":5,\"value\":null,\"histogram\":{\"count_float\":0.5,"
                   "\"sum\":0,\"schema\":-53,\"zero_threshold\":0,\"zero_count_float\":0,"
                   "\"positive_spans\":[{\"offset\":3,\"length\":2}],\"positive_counts\":["
                   "0.5,\"7ff0000000000000\"],\"custom_values\":[-0.0,1]},\"labels\":{}}\n");
}

UNIT_TEST(test_labels_that_are_not_utf8_are_printed_in_hex)
{
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "a\xff");
    test_put_texts(&labels, "b", "ok");
    test_put_texts(&labels, "c\xc3", "d");
    struct labelled_sample s = {.labels = buf_bytes(&labels), .t_ms = 1};
    check_line(&s, "{\"name\":\"\",\"time\":1,\"value\":0,\"labels\":{\"b\":\"ok\"},"
                   "\"labels_hex\":{\"5f5f6e616d655f5f\":\"61ff\",\"63c3\":\"64\"}}\n");
    buf_fini(&labels);
}

UNIT_TEST(test_a_line_that_does_not_fit_leaves_nothing)
{
    static const char line[] =
        "{\"name\":\"up\",\"time\":1,\"value\":0,\"labels\":{\"__name__\":\"up\"}}\n";
    struct buf labels, small;
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "up");
    struct labelled_sample s = {.labels = buf_bytes(&labels), .t_ms = 1};
    size_t size = strlen(line);
    for (size_t limit = 1; limit <= size; limit++) {
        buf_init(&small, NULL, limit + 1);
        buf_put_u8(&small, '>');
        ndjson_line_put(&small, &s, NULL);
        assert_int_equal(buf_error(&small), limit < size ? ERR_LIMIT : OK);
        assert_int_equal(small.size, limit < size ? 1 : 1 + size);
        buf_fini(&small);
    }
    buf_fini(&labels);
}

/* --- there and back --------------------------------------------------------------------------- */

/* Compares the labels, which the reader returns in another order. */
static void
check_labels(struct label *got, uint32_t count, struct bytes expected)
{
    struct buf back;
    buf_init(&back, NULL, 1 << 20);
    test_put_labels(&back, got, count);
    assert_true(bytes_equal(buf_bytes(&back), expected));
    buf_fini(&back);
}

static void
check_sample(const struct text_item *item, const struct labelled_sample *s,
             const struct bytes *exemplar_labels)
{
    bool is_exemplar = exemplar_labels != NULL;
    assert_int_equal(item->sample_count, !is_exemplar && s->histogram == NULL);
    if (item->sample_count > 0) {
        assert_true(item->bits[0] == s->bits);
        assert_int_equal(item->times_ms[0], s->t_ms);
    }
    assert_int_equal(item->histogram != NULL, !is_exemplar && s->histogram != NULL);
    if (item->histogram != NULL) {
        assert_int_equal(item->histogram_ms, s->t_ms);
        assert_true(same_histogram_all(s->histogram, item->histogram));
        assert_int_equal(s->histogram->reset_hint, item->histogram->reset_hint);
    }
    assert_int_equal(item->start_ms, is_exemplar ? 0 : s->start_ms);
    assert_int_equal(item->exemplar_count, is_exemplar);
    if (!is_exemplar) return;
    assert_true(item->exemplars->bits == s->bits);
    assert_int_equal(item->exemplars->t_ms, s->t_ms);
    check_labels(item->exemplars->labels, item->exemplars->label_count, *exemplar_labels);
}

struct round {
    struct rng rng;
    struct arena arena;
    struct buf labels;
    struct buf exemplar_labels;
    struct histogram histogram;
};

static void
random_sample(struct round *x, struct labelled_sample *s)
{
    struct rng *r = &x->rng;
    *s = (struct labelled_sample){.labels = buf_bytes(&x->labels),
                                  .t_ms = (int64_t)(rng_next(r) >> rng_below(r, 64)),
                                  .start_ms = (int64_t)(rng_next(r) >> rng_below(r, 64)),
                                  .bits = random_value(r, RANDOM_VALUE_CLASSES, rng_next(r))};
    if (rng_below(r, 4) == 0) s->t_ms = 0;
    if (rng_below(r, 3) == 0) {
        bool is_int = rng_below(r, 2) == 0;
        x->histogram =
            random_histogram(r, &x->arena, is_int ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT);
        for (uint64_t i = rng_below(r, 4); i > 0; i--)
            x->histogram = random_next_histogram(r, &x->arena, &x->histogram);
        s->histogram = &x->histogram;
    }
    buf_clear(&x->exemplar_labels);
    random_labels(r, (enum random_class)rng_below(r, RANDOM_CLASS_COUNT), &x->exemplar_labels);
}

UNIT_TEST(test_every_bit_comes_back)
{
    struct round x = {.rng = {20}};
    struct text_reader_options options = {.format = TEXT_NDJSON};
    struct text_reader *reader;
    struct text_item item;
    struct why why = {""};
    struct buf line;
    buf_init(&line, NULL, 1 << 20);
    buf_init(&x.labels, NULL, 1 << 20);
    buf_init(&x.exemplar_labels, NULL, 1 << 20);
    arena_init(&x.arena, NULL, 0, 0);
    assert_int_equal(text_reader_new(&options, &reader), OK);
    for (int i = 0; i < 20000; i++) {
        struct labelled_sample s;
        buf_clear(&line);
        buf_clear(&x.labels);
        arena_reset(&x.arena);
        random_labels(&x.rng, (enum random_class)(i % RANDOM_CLASS_COUNT), &x.labels);
        if (x.labels.size == 0) test_put_texts(&x.labels, "a", "b");
        random_sample(&x, &s);
        struct bytes exemplar_labels = buf_bytes(&x.exemplar_labels);
        const struct bytes *of_exemplar = i % 3 == 0 ? &exemplar_labels : NULL;
        ndjson_line_put(&line, &s, of_exemplar);
        assert_int_equal(buf_error(&line), OK);
        assert_null(memchr(line.at, '\n', line.size - 1));
        if (text_reader_line(reader, bytes_of(line.at, line.size - 1), &item, &why) != OK)
            fail_msg("%d: %s: %.*s", i, why.text, (int)line.size, (const char *)line.at);
        check_labels(item.labels, item.label_count, buf_bytes(&x.labels));
        check_sample(&item, &s, of_exemplar);
    }
    text_reader_free(reader);
    arena_fini(&x.arena);
    buf_fini(&x.labels);
    buf_fini(&x.exemplar_labels);
    buf_fini(&line);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_the_documented_form),
        cmocka_unit_test(test_histograms_have_the_documented_form),
        cmocka_unit_test(test_labels_that_are_not_utf8_are_printed_in_hex),
        cmocka_unit_test(test_a_line_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_every_bit_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
