/* remote_write_build_test.c - built requests decode as their input. */
#include "lib/test.h"

#include <stdio.h>

#include "lib/random.h"
#include "lib/wire/remote_write_validate.h"
#include "wire/remote/remote_write.h"
#include "wire/remote/remote_write_build.h"
#include "wire/shape.h"

enum { SERIES = 200, SAMPLES = 30 };

static void
put_label(struct buf *to, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, 4 + n + v);
    buf_put_u8(to, 0x0a);
    buf_put_counted(to, bytes_of_text(name));
    buf_put_u8(to, 0x12);
    buf_put_counted(to, bytes_of_text(value));
}

static void
series_labels(unsigned number, struct buf *to)
{
    char value[32];
    buf_clear(to);
    snprintf(value, sizeof value, "m%u", number % 7);
    put_label(to, "__name__", value);
    snprintf(value, sizeof value, "i%u", number);
    put_label(to, "instance", value);
}

static void
check_labels(const struct rw_request *r, const struct rw_series *s, struct bytes labels)
{
    struct rw_label_walk walk = rw_labels(r, s);
    struct cursor c = cursor_of(labels);
    struct label got, wanted;
    while (labels_next(&c, &wanted)) {
        assert_true(rw_label_next(&walk, &got));
        assert_true(bytes_equal(got.name, wanted.name));
        assert_true(bytes_equal(got.value, wanted.value));
    }
    assert_false(rw_label_next(&walk, &got));
}

static void
check_spans(const struct hist_buckets *a, const struct hist_buckets *b)
{
    assert_int_equal(a->span_count, b->span_count);
    assert_int_equal(a->bucket_count, b->bucket_count);
    for (uint32_t i = 0; i < a->span_count; i++) {
        assert_int_equal(a->spans[i].offset, b->spans[i].offset);
        assert_int_equal(a->spans[i].length, b->spans[i].length);
    }
    for (uint32_t i = 0; i < a->bucket_count; i++) {
        if (a->deltas != NULL) assert_int_equal(a->deltas[i], b->deltas[i]);
        if (a->counts != NULL) assert_int_equal(a->counts[i], b->counts[i]);
    }
}

static void
check_histogram(const struct histogram *a, const struct histogram *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->zero_count, b->zero_count);
    assert_int_equal(a->sum_bits, b->sum_bits);
    assert_int_equal(a->zero_threshold_bits, b->zero_threshold_bits);
    assert_int_equal(a->reset_hint, b->reset_hint);
    assert_int_equal(a->custom_count, b->custom_count);
    for (uint32_t i = 0; i < a->custom_count; i++)
        assert_int_equal(a->custom_bits[i], b->custom_bits[i]);
    check_spans(&a->positive, &b->positive);
    check_spans(&a->negative, &b->negative);
}

static void
round_trip(enum rw_version version)
{
    const int64_t start_ms = version == RW_V1 ? 0 : 5; /* 1.0 has none */
    static int64_t times[SERIES][SAMPLES];
    static uint64_t bits[SERIES][SAMPLES];
    static struct histogram histograms[SERIES];
    static uint32_t counts[SERIES];
    struct rng rng = {7};
    struct arena arena;
    struct buf labels;
    struct rw_build *build;
    struct rw_request request;
    arena_init(&arena, NULL, 0, 0);
    buf_init(&labels, NULL, 4096);
    assert_int_equal(rw_build_new(version, NULL, &build), OK);
    assert_int_equal(rw_request_init(&request, NULL), OK);
    for (int round = 0; round < 2; round++) { /* the second finds memory used before */
        for (unsigned i = 0; i < SERIES; i++) {
            counts[i] = random_series(&rng, SAMPLES, times[i], bits[i]);
            histograms[i] = random_histogram(
                &rng, &arena, i % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT);
            histograms[i].reset_hint = (enum reset_hint)(i % 4);
            series_labels(i, &labels);
            rw_build_series(build, buf_bytes(&labels));
            for (uint32_t n = 0; n < counts[i]; n++)
                rw_build_float(build, times[i][n], bits[i][n], n % 2 == 0 ? 0 : 5);
            rw_build_series(build, buf_bytes(&labels)); /* continues the series */
            if (i % 3 == 0) rw_build_histogram(build, 42, 41, &histograms[i]);
            if (i % 5 == 0) rw_build_exemplar(build, buf_bytes(&labels), 43, bits[i][0]);
        }
        struct bytes message;
        struct why why = {""};
        assert_int_equal(rw_build_end(build, &message), OK);
        assert_int_equal(rw_build_counts(build).series, SERIES);
        assert_int_equal(rw_decode(&request, version, message, 1, &why), OK);
        rw_request_validate(&request);
        assert_int_equal(request.series_count, SERIES);
        for (unsigned i = 0; i < SERIES; i++) {
            const struct rw_series *s = &request.series[i];
            series_labels(i, &labels);
            check_labels(&request, s, buf_bytes(&labels));
            assert_int_equal(s->floats.count, counts[i]);
            for (uint32_t n = 0; n < counts[i]; n++) {
                const struct rw_float *f = &request.floats[s->floats.first + n];
                assert_int_equal(f->t_ms, times[i][n]);
                assert_int_equal(f->bits, bits[i][n]);
                assert_int_equal(f->start_ms, n % 2 == 0 ? 0 : start_ms);
            }
            assert_int_equal(s->histograms.count, i % 3 == 0);
            if (i % 3 == 0) {
                const struct rw_histogram *h = &request.histograms[s->histograms.first];
                assert_int_equal(h->t_ms, 42);
                assert_int_equal(h->start_ms, version == RW_V1 ? 0 : 41);
                assert_false(h->malformed);
                check_histogram(&histograms[i], &h->h);
            }
            assert_int_equal(s->exemplars.count, i % 5 == 0);
            if (i % 5 == 0) {
                const struct rw_exemplar *x = &request.exemplars[s->exemplars.first];
                assert_int_equal(x->t_ms, 43);
                assert_int_equal(x->bits, bits[i][0]);
                assert_int_equal(x->label_count, 2);
            }
        }
        rw_build_clear(build);
    }
    rw_request_fini(&request);
    rw_build_free(build);
    buf_fini(&labels);
    arena_fini(&arena);
}

UNIT_TEST(test_a_built_request_decodes_to_its_samples)
{
    round_trip(RW_V1);
    round_trip(RW_V2);
}

UNIT_TEST(test_symbols_are_written_once)
{
    struct rw_build *build;
    struct rw_request request;
    struct bytes message;
    struct buf labels;
    struct why why;
    buf_init(&labels, NULL, 4096);
    assert_int_equal(rw_build_new(RW_V2, NULL, &build), OK);
    assert_int_equal(rw_request_init(&request, NULL), OK);
    for (unsigned i = 0; i < 3000; i++) {
        series_labels(i, &labels);
        rw_build_series(build, buf_bytes(&labels));
        rw_build_float(build, 1, 2, 0);
    }
    assert_int_equal(rw_build_end(build, &message), OK);
    assert_int_equal(rw_decode(&request, RW_V2, message, 1, &why), OK);
    assert_int_equal(request.symbol_count, 1 + 2 + 7 + 3000);
    rw_request_fini(&request);
    rw_build_free(build);
    buf_fini(&labels);
}

UNIT_TEST(test_metadata_of_families_is_a_request_of_1_0)
{
    struct buf message;
    struct rw_request request;
    struct why why;
    buf_init(&message, NULL, 4096);
    rw_build_metadata_v1(&message, bytes_of_text("a"), METRIC_COUNTER, bytes_of_text("help"),
                         bytes_of_text("s"));
    rw_build_metadata_v1(&message, bytes_of_text("b"), METRIC_UNKNOWN, (struct bytes){NULL, 0},
                         (struct bytes){NULL, 0});
    assert_int_equal(rw_request_init(&request, NULL), OK);
    assert_int_equal(rw_decode(&request, RW_V1, buf_bytes(&message), 1, &why), OK);
    assert_int_equal(request.metadata_count, 2);
    assert_int_equal(request.metadata[0].type, METRIC_COUNTER);
    assert_true(bytes_equal_text(request.metadata[0].family, "a"));
    assert_true(bytes_equal_text(request.metadata[0].help, "help"));
    assert_true(bytes_equal_text(request.metadata[0].unit, "s"));
    assert_true(bytes_equal_text(request.metadata[1].family, "b"));
    rw_request_fini(&request);
    buf_fini(&message);
}

UNIT_TEST(test_every_refused_allocation_is_an_error)
{
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    for (uint64_t nth = 1;; nth++) {
        struct rw_build *build = NULL;
        struct bytes message;
        series_labels(1, &labels);
        mem_fail_nth(nth, false);
        enum err e = rw_build_new(RW_V2, NULL, &build);
        for (unsigned i = 0; e == OK && i < 600; i++) {
            series_labels(i, &labels);
            rw_build_series(build, buf_bytes(&labels));
            rw_build_float(build, 1, 2, 0);
        }
        if (e == OK) e = rw_build_end(build, &message);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        rw_build_free(build);
        if (!fired) break;
    }
    buf_fini(&labels);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_built_request_decodes_to_its_samples),
        cmocka_unit_test(test_symbols_are_written_once),
        cmocka_unit_test(test_metadata_of_families_is_a_request_of_1_0),
        cmocka_unit_test(test_every_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
