/*
 * family_writer_test.c - families of metrics for scrapers: lines as Prometheus 3.5.3 writes them,
 * and messages as protobuf-c reads them.
 */
#include "lib/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client_model.pb-c.h"

#include "wire/number.h"
#include "wire/text/family_writer.h"

enum { TEXT_BYTES_MAX = 64 << 20 };

/* Returns labels from "name" and pairs, in order. */
static struct bytes
labels_of(struct buf *to, const char *const *texts)
{
    buf_clear(to);
    for (; texts[0] != NULL; texts += 2) {
        struct bytes name = bytes_of_text(texts[0]), value = bytes_of_text(texts[1]);
        buf_put_u8(to, 0x0a);
        buf_put_varint(to, 2 + varint_size(name.size) + name.size + varint_size(value.size) +
                               value.size);
        buf_put_u8(to, 0x0a);
        buf_put_counted(to, name);
        buf_put_u8(to, 0x12);
        buf_put_counted(to, value);
    }
    return buf_bytes(to);
}
#define LABELS(to, ...) labels_of(to, (const char *const[]){__VA_ARGS__, NULL})

static const int64_t exponential_deltas[] = {2, 1, -1};
static const struct hist_span exponential_spans[] = {{-2, 2}, {3, 1}};
static const int64_t negative_deltas[] = {8};
static const struct hist_span one_span[] = {{0, 1}};

static struct histogram
exponential(enum reset_hint hint)
{
    return (struct histogram){
        .kind = SAMPLE_HISTOGRAM_INT,
        .reset_hint = hint,
        .schema = 3,
        .zero_threshold_bits = double_bits(0.001),
        .sum_bits = double_bits(12.5),
        .count = 17,
        .zero_count = 2,
        .positive = {exponential_spans, 2, 3, exponential_deltas, NULL},
        .negative = {one_span, 1, 1, negative_deltas, NULL},
    };
}

static struct histogram
float_histogram(void)
{
    static uint64_t counts[1];
    counts[0] = double_bits(1.5);
    return (struct histogram){
        .kind = SAMPLE_HISTOGRAM_FLOAT,
        .schema = -1,
        .sum_bits = double_bits(-3.25),
        .count = double_bits(2),
        .zero_count = double_bits(0.5),
        .positive = {one_span, 1, 1, NULL, counts},
    };
}

/* Returns a histogram with observations in the second and third bucket, and above the
 * last bound. */
static struct histogram
custom(enum reset_hint hint)
{
    static const struct hist_span spans[] = {{1, 0}, {0, 2}, {1, 1}};
    static const int64_t deltas[] = {2, 1, 2};
    static uint64_t bounds[4];
    static const double values[4] = {-1, 0.5, 1, 1e7};
    for (int i = 0; i < 4; i++)
        bounds[i] = double_bits(values[i]);
    return (struct histogram){
        .kind = SAMPLE_HISTOGRAM_INT,
        .reset_hint = hint,
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .sum_bits = double_bits(30),
        .count = 10,
        .positive = {spans, 3, 3, deltas, NULL},
        .custom_bits = bounds,
        .custom_count = 4,
    };
}

/* Writes the input of all tests: floats and histograms of each kind with one name,
 * and odd names. */
static void
write_all(struct family_writer *w)
{
    struct buf l;
    struct histogram h;
    buf_init(&l, NULL, 10000);
    family_writer_float(w, LABELS(&l, "A", "1", "__name__", "Upper", "b", "q\"\\\n"), -5,
                        double_bits(1e21));
    family_writer_float(w, LABELS(&l, "__name__", "h"), 1000, double_bits(-0.0));
    h = custom(RESET_UNKNOWN);
    family_writer_histogram(w, LABELS(&l, "__name__", "h", "kind", "custom"), 1000, &h);
    h = exponential(RESET_GAUGE);
    family_writer_histogram(w, LABELS(&l, "__name__", "h", "kind", "gauge"), 1000, &h);
    h = exponential(RESET_NO);
    family_writer_histogram(w, LABELS(&l, "__name__", "h", "kind", "int"), 1000, &h);
    h = float_histogram();
    family_writer_histogram(w, LABELS(&l, "__name__", "h", "instance", "i", "kind", "n"), 1000, &h);
    family_writer_float(w, LABELS(&l, "__name__", "h", "kind", "z"), 1000, double_bits(1e6));
    family_writer_float(w, LABELS(&l, "__name__", "my.metric", "my.label", "\xc3\xa9"), 1000,
                        double_bits(INFINITY));
    h = custom(RESET_GAUGE);
    family_writer_histogram(w, LABELS(&l, "__name__", "my.metric", "z", "1"), 1000, &h);
    family_writer_end(w);
    assert_int_equal(family_writer_error(w), OK);
    buf_fini(&l);
}

/* --- text ------------------------------------------------------------------------------------- */

static void
check_text(enum name_escaping escaping, const char *expected)
{
    struct family_writer w;
    struct buf to;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    family_writer_init(&w, FAMILY_FORM_TEXT, escaping, NULL, &to);
    write_all(&w);
    buf_put_u8(&to, '\0');
    assert_string_equal((const char *)to.at, expected);
    family_writer_fini(&w);
    buf_fini(&to);
}

UNIT_TEST(test_text_has_a_line_for_each_float_and_custom_buckets_as_classic_ones)
{
    check_text(ESCAPE_UNDERSCORES, "# TYPE Upper untyped\n"
                                   "Upper{A=\"1\",b=\"q\\\"\\\\\\n\",instance=\"\"} 1e+21 -5\n"
                                   "# TYPE h untyped\n"
                                   "h{instance=\"\"} 0 1000\n"
                                   "# TYPE h histogram\n"
                                   "h_bucket{kind=\"custom\",instance=\"\",le=\"-1\"} 0 1000\n"
                                   "h_bucket{kind=\"custom\",instance=\"\",le=\"0.5\"} 2 1000\n"
                                   "h_bucket{kind=\"custom\",instance=\"\",le=\"1\"} 5 1000\n"
                                   "h_bucket{kind=\"custom\",instance=\"\",le=\"1e+07\"} 5 1000\n"
                                   "h_bucket{kind=\"custom\",instance=\"\",le=\"+Inf\"} 10 1000\n"
                                   "h_sum{kind=\"custom\",instance=\"\"} 30 1000\n"
                                   "h_count{kind=\"custom\",instance=\"\"} 10 1000\n"
                                   "# TYPE h untyped\n"
                                   "h{kind=\"z\",instance=\"\"} 1e+06 1000\n"
                                   "# TYPE my_metric untyped\n"
                                   "my_metric{my_label=\"\xc3\xa9\",instance=\"\"} +Inf 1000\n"
                                   "# TYPE my_metric histogram\n"
                                   "my_metric_bucket{z=\"1\",instance=\"\",le=\"-1\"} 0 1000\n"
                                   "my_metric_bucket{z=\"1\",instance=\"\",le=\"0.5\"} 2 1000\n"
                                   "my_metric_bucket{z=\"1\",instance=\"\",le=\"1\"} 5 1000\n"
                                   "my_metric_bucket{z=\"1\",instance=\"\",le=\"1e+07\"} 5 1000\n"
                                   "my_metric_bucket{z=\"1\",instance=\"\",le=\"+Inf\"} 10 1000\n"
                                   "my_metric_sum{z=\"1\",instance=\"\"} 30 1000\n"
                                   "my_metric_count{z=\"1\",instance=\"\"} 10 1000\n");
}

UNIT_TEST(test_names_that_are_not_words_are_quoted_where_allowed)
{
    struct family_writer w;
    struct buf to, l;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    buf_init(&l, NULL, 1000);
    family_writer_init(&w, FAMILY_FORM_TEXT, ESCAPE_NOTHING, NULL, &to);
    family_writer_float(&w, LABELS(&l, "__name__", "a\"b", "c.d", "e", "f:g", "h"), 1,
                        double_bits(NAN));
    family_writer_float(&w, LABELS(&l, "__name__", "a\"b", "instance", "j"), 1, double_bits(0.1));
    struct histogram h = custom(RESET_UNKNOWN);
    family_writer_histogram(&w, LABELS(&l, "__name__", "a\"c"), 1, &h);
    family_writer_end(&w);
    buf_put_u8(&to, '\0');
    assert_string_equal((const char *)to.at,
                        "# TYPE \"a\\\"b\" untyped\n"
                        "{\"a\\\"b\",\"c.d\"=\"e\",f:g=\"h\",instance=\"\"} NaN 1\n"
                        "{\"a\\\"b\",instance=\"j\"} 0.1 1\n"
                        "# TYPE \"a\\\"c\" histogram\n"
                        "{\"a\\\"c_bucket\",instance=\"\",le=\"-1\"} 0 1\n"
                        "{\"a\\\"c_bucket\",instance=\"\",le=\"0.5\"} 2 1\n"
                        "{\"a\\\"c_bucket\",instance=\"\",le=\"1\"} 5 1\n"
                        "{\"a\\\"c_bucket\",instance=\"\",le=\"1e+07\"} 5 1\n"
                        "{\"a\\\"c_bucket\",instance=\"\",le=\"+Inf\"} 10 1\n"
                        "{\"a\\\"c_sum\",instance=\"\"} 30 1\n"
                        "{\"a\\\"c_count\",instance=\"\"} 10 1\n");
    family_writer_fini(&w);
    buf_fini(&to);
    buf_fini(&l);
}

/* --- messages --------------------------------------------------------------------------------- */

static void
print_number(struct buf *to, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put_u8(to, ' ');
    buf_put(to, digits, number_print(double_bits(value), digits));
}

static void
print_spans(struct buf *to, size_t span_count, Client__BucketSpan *const *spans, size_t count,
            const double *counts)
{
    for (size_t i = 0; i < span_count; i++) {
        assert_true(spans[i]->has_offset);
        assert_true(spans[i]->has_length);
        buf_printf(to, " %d:%u", spans[i]->offset, spans[i]->length);
    }
    buf_put_text(to, " /");
    for (size_t i = 0; i < count; i++)
        print_number(to, counts[i]);
}

static void
print_histogram(struct buf *to, const Client__Histogram *h)
{
    assert_true(h->has_sample_sum);
    assert_true(h->has_sample_count_float);
    assert_false(h->has_sample_count);
    assert_false(h->has_zero_count);
    assert_int_equal(h->n_positive_delta + h->n_negative_delta, 0);
    buf_put_text(to, " sum");
    print_number(to, h->sample_sum);
    buf_put_text(to, " count");
    print_number(to, h->sample_count_float);
    for (size_t i = 0; i < h->n_bucket; i++) {
        buf_put_text(to, " le");
        print_number(to, h->bucket[i]->upper_bound);
        print_number(to, h->bucket[i]->cumulative_count_float);
    }
    assert_int_equal(h->has_schema, h->n_bucket == 0);
    assert_int_equal(h->has_zero_threshold, h->has_schema);
    assert_int_equal(h->has_zero_count_float, h->has_schema);
    if (!h->has_schema) return;
    buf_printf(to, " schema %d zero", h->schema);
    print_number(to, h->zero_threshold);
    print_number(to, h->zero_count_float);
    buf_put_text(to, " neg");
    print_spans(to, h->n_negative_span, h->negative_span, h->n_negative_count, h->negative_count);
    buf_put_text(to, " pos");
    print_spans(to, h->n_positive_span, h->positive_span, h->n_positive_count, h->positive_count);
}

static void
print_binary(struct buf *to, ProtobufCBinaryData b)
{
    buf_put(to, b.data, b.len);
}

/* Prints a line for each family, and one for each metric. Returns the number of families. */
static uint64_t
print_messages(struct buf *to, struct bytes all)
{
    struct cursor c = cursor_of(all);
    uint64_t count = 0;
    for (; c.at != c.end; count++) {
        struct bytes message = cursor_counted(&c);
        assert_false(c.bad);
        Client__MetricFamily *f = client__metric_family__unpack(NULL, message.size, message.at);
        assert_non_null(f);
        assert_true(f->has_name);
        assert_true(f->has_type);
        print_binary(to, f->name);
        buf_printf(to, " type %d\n", (int)f->type);
        for (size_t i = 0; i < f->n_metric; i++) {
            const Client__Metric *m = f->metric[i];
            buf_put_u8(to, ' ');
            for (size_t k = 0; k < m->n_label; k++) {
                buf_put_u8(to, ' ');
                print_binary(to, m->label[k]->name);
                buf_put_u8(to, '=');
                assert_true(m->label[k]->has_value);
                print_binary(to, m->label[k]->value);
            }
            assert_true(m->has_timestamp_ms);
            buf_printf(to, " at %lld", (long long)m->timestamp_ms);
            if (m->untyped != NULL) print_number(to, m->untyped->value);
            if (m->histogram != NULL) print_histogram(to, m->histogram);
            buf_put_u8(to, '\n');
        }
        client__metric_family__free_unpacked(f, NULL);
    }
    return count;
}

UNIT_TEST(test_messages_have_all_that_was_given)
{
    struct family_writer w;
    struct buf to, text;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    family_writer_init(&w, FAMILY_FORM_MESSAGES, ESCAPE_VALUES, NULL, &to);
    write_all(&w);
    print_messages(&text, buf_bytes(&to));
    buf_put_u8(&text, '\0');
    assert_string_equal(
        (const char *)text.at,
        "Upper type 3\n"
        "  A=1 b=q\"\\\n instance= at -5 1e+21\n"
        "h type 3\n"
        "  instance= at 1000 -0\n"
        "h type 4\n"
        "  kind=custom instance= at 1000 sum 30 count 10 le -1 0 le 0.5 2 le 1 5 le 10000000 5\n"
        "h type 5\n"
        "  kind=gauge instance= at 1000 sum 12.5 count 17 schema 3 zero 0.001 2 neg 0:1 / 8 pos "
        "-2:2 3:1 / 2 3 2\n"
        "h type 4\n"
        "  kind=int instance= at 1000 sum 12.5 count 17 schema 3 zero 0.001 2 neg 0:1 / 8 pos "
        "-2:2 3:1 / 2 3 2\n"
        "  instance=i kind=n at 1000 sum -3.25 count 2 schema -1 zero 0 0.5 neg / pos 0:1 / 1.5\n"
        "h type 3\n"
        "  kind=z instance= at 1000 1000000\n"
        "U__my_2e_metric type 3\n"
        "  U__my_2e_label=\xc3\xa9 instance= at 1000 +Inf\n"
        "U__my_2e_metric type 5\n"
        "  z=1 instance= at 1000 sum 30 count 10 le -1 0 le 0.5 2 le 1 5 le 10000000 5\n");
    family_writer_fini(&w);
    buf_fini(&to);
    buf_fini(&text);
}

UNIT_TEST(test_a_large_family_comes_in_several_messages)
{
    enum { SERIES = 20000 };
    struct family_writer w;
    struct buf to, text, l;
    uint64_t lines = 0, families = 0;
    size_t largest = 0;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    buf_init(&l, NULL, 1000);
    family_writer_init(&w, FAMILY_FORM_MESSAGES, ESCAPE_NOTHING, NULL, &to);
    for (int i = 0; i <= SERIES; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        if (i < SERIES) family_writer_float(&w, LABELS(&l, "__name__", "up", "n", number), i, 0);
        if (i == SERIES) family_writer_end(&w);
        if (to.size > largest) largest = to.size;
        families += print_messages(&text, buf_bytes(&to));
        buf_clear(&to); /* its content has been sent */
    }
    for (size_t i = 0; i < text.size; i++)
        lines += text.at[i] == '\n';
    assert_int_equal(lines, SERIES + families);
    assert_in_range(families, 2, 100);
    assert_in_range(largest, 60000, 70000);
    family_writer_fini(&w);
    buf_fini(&to);
    buf_fini(&text);
    buf_fini(&l);
}

/* The output buffer has room. */
UNIT_TEST(test_no_memory_shows_wherever_it_is_missing)
{
    struct buf to, l;
    buf_init(&to, NULL, TEXT_BYTES_MAX);
    buf_init(&l, NULL, 1000);
    struct bytes labels = LABELS(&l, "__name__", "up", "n", "1");
    assert_true(buf_reserve(&to, 65536));
    for (uint64_t nth = 1;; nth++) {
        struct family_writer w;
        buf_clear(&to);
        family_writer_init(&w, FAMILY_FORM_MESSAGES, ESCAPE_NOTHING, NULL, &to);
        struct histogram h = exponential(RESET_UNKNOWN);
        mem_fail_nth(nth, false);
        family_writer_histogram(&w, labels, 1, &h);
        family_writer_float(&w, labels, 2, 0);
        family_writer_end(&w);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(family_writer_error(&w), fired ? ERR_NOMEM : OK);
        family_writer_fini(&w);
        if (!fired) break;
    }
    buf_fini(&to);
    buf_fini(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_has_a_line_for_each_float_and_custom_buckets_as_classic_ones),
        cmocka_unit_test(test_names_that_are_not_words_are_quoted_where_allowed),
        cmocka_unit_test(test_messages_have_all_that_was_given),
        cmocka_unit_test(test_a_large_family_comes_in_several_messages),
        cmocka_unit_test(test_no_memory_shows_wherever_it_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
