/* remote_write_histogram_test.c - histograms in write requests. */
#include "lib/test.h"
#include "lib/wire/remote_write_text.h"

static const struct rw_histogram *
decode_histogram(enum rw_version version, const char *fields)
{
    char text[1000];
    snprintf(text, sizeof text, version == RW_V1 ? "0a{ 22{%s} }" : "2a{ 1a{%s} }", fields);
    rw_accept(version, text);
    assert_int_equal(decoded.histogram_count, 1);
    assert_int_equal(decoded.series[0].histograms.count, 1);
    return &decoded.histograms[0];
}

static void
check_integer_histogram(enum rw_version version)
{
    const struct rw_histogram *rh = decode_histogram(
        version,
        "08 =12 19 #18.5 20 ~-4 29 #0.001 30 =2 42{08 ~-2 10 01} 4a{~3}"
        "5a{08 ~1 10 02} 5a{08 ~3 10 01} 62{~5 ~-1 ~-200} 70 02 78 =1700000000000 88 01 =5");
    const struct histogram *h = &rh->h;
    assert_false(rh->malformed);
    assert_int_equal(rh->t_ms, 1700000000000);
    assert_int_equal(rh->start_ms, version == RW_V2 ? 5 : 0);
    assert_int_equal(h->kind, SAMPLE_HISTOGRAM_INT);
    assert_int_equal(h->reset_hint, RESET_NO);
    assert_int_equal(h->schema, -4);
    assert_int_equal(h->zero_threshold_bits, double_bits(0.001));
    assert_int_equal(h->sum_bits, double_bits(18.5));
    assert_int_equal(h->count, 12);
    assert_int_equal(h->zero_count, 2);
    assert_int_equal(h->negative.span_count, 1);
    assert_int_equal(h->negative.spans[0].offset, -2);
    assert_int_equal(h->negative.spans[0].length, 1);
    assert_int_equal(h->negative.bucket_count, 1);
    assert_int_equal(h->negative.deltas[0], 3);
    assert_int_equal(h->positive.span_count, 2);
    assert_int_equal(h->positive.spans[1].offset, 3);
    assert_int_equal(h->positive.bucket_count, 3);
    assert_int_equal(h->positive.deltas[0], 5);
    assert_int_equal(h->positive.deltas[1], -1);
    assert_int_equal(h->positive.deltas[2], -200);
    assert_null(h->positive.counts);
    assert_int_equal(h->custom_count, 0);
}

UNIT_TEST(test_integer_histogram)
{
    check_integer_histogram(RW_V1);
    check_integer_histogram(RW_V2);
}

UNIT_TEST(test_float_histogram_with_custom_bounds)
{
    for (int version = RW_V1; version <= RW_V2; version++) {
        const struct rw_histogram *rh = decode_histogram(
            (enum rw_version)version,
            "11 #3.5 19 #7 20 ~-53 39 #0 5a{10 02} 6a{#1.5 #2} 52{#9} 70 03 78 =-5 "
            "82 01{#0.5 #1 #2.5}");
        const struct histogram *h = &rh->h;
        assert_false(rh->malformed);
        assert_int_equal(rh->t_ms, -5);
        assert_int_equal(h->kind, SAMPLE_HISTOGRAM_FLOAT);
        assert_int_equal(h->reset_hint, RESET_GAUGE);
        assert_int_equal(h->schema, HISTOGRAM_SCHEMA_CUSTOM);
        assert_int_equal(h->count, double_bits(3.5));
        assert_int_equal(h->positive.bucket_count, 2);
        assert_int_equal(h->positive.counts[1], double_bits(2));
        assert_int_equal(h->negative.bucket_count, 1);
        assert_int_equal(h->negative.counts[0], double_bits(9));
        assert_null(h->positive.deltas);
        assert_int_equal(h->custom_count, 3);
        assert_int_equal(h->custom_bits[2], double_bits(2.5));
    }
}

UNIT_TEST(test_histogram_arrays_may_come_in_pieces)
{
    const struct histogram *h =
        &decode_histogram(RW_V2, "08 01 60 ~1 62{~2 ~3} 62{} 48 ~-1 60 ~4 62{~5 ~6 ~7 ~8 ~9 ~10}"
                                 "4a{~-2} 60 ~11 5a{} 42{08 ~1} 5a{10 07}")
             ->h;
    assert_int_equal(h->positive.bucket_count, 11);
    for (int i = 0; i < 11; i++)
        assert_int_equal(h->positive.deltas[i], i + 1);
    assert_int_equal(h->negative.bucket_count, 2);
    assert_int_equal(h->negative.deltas[1], -2);
    assert_int_equal(h->positive.span_count, 2);
    assert_int_equal(h->positive.spans[1].length, 7);

    h = &decode_histogram(RW_V2, "11 #1 69 #1 6a{#2 #3} 51 #-1 69 #4 52{#-2 #-3} 81 01 #5 "
                                 "82 01{#6 #7}")
             ->h;
    assert_int_equal(h->positive.bucket_count, 4);
    assert_int_equal(h->positive.counts[3], double_bits(4));
    assert_int_equal(h->negative.bucket_count, 3);
    assert_int_equal(h->negative.counts[2], double_bits(-3));
    assert_int_equal(h->custom_count, 3);
    assert_int_equal(h->custom_bits[0], double_bits(5));
}

UNIT_TEST(test_histogram_kind_is_that_of_the_last_count)
{
    static const struct {
        const char *fields;
        enum sample_kind kind;
        bool malformed;
    } cases[] = {
        {"08 =0", SAMPLE_HISTOGRAM_INT, false},
        {"11 #0", SAMPLE_HISTOGRAM_FLOAT, false},
        {"08 05 11 #2", SAMPLE_HISTOGRAM_FLOAT, false},
        {"11 #2 08 05", SAMPLE_HISTOGRAM_INT, false},
        {"11 #2 39 #1 30 01 08 05", SAMPLE_HISTOGRAM_INT, false},
        {"30 01 39 #1 11 #2", SAMPLE_HISTOGRAM_FLOAT, false},
        {"08 05 39 #1", SAMPLE_HISTOGRAM_INT, true},
        {"11 #5 30 01", SAMPLE_HISTOGRAM_FLOAT, true},
        {"08 05 6a{#1}", SAMPLE_HISTOGRAM_INT, true},
        {"08 05 52{#1}", SAMPLE_HISTOGRAM_INT, true},
        {"11 #5 62{~1}", SAMPLE_HISTOGRAM_FLOAT, true},
        {"11 #5 48 ~1", SAMPLE_HISTOGRAM_FLOAT, true},
        {"08 05 6a{} 52{}", SAMPLE_HISTOGRAM_INT, false},
        {"", SAMPLE_HISTOGRAM_INT, true},
        {"6a{#1}", SAMPLE_HISTOGRAM_FLOAT, true},
        {"62{~1}", SAMPLE_HISTOGRAM_INT, true},
        {"39 #1", SAMPLE_HISTOGRAM_FLOAT, true},
        {"30 01", SAMPLE_HISTOGRAM_INT, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct rw_histogram *rh = decode_histogram(RW_V2, cases[i].fields);
        assert_int_equal(rh->h.kind, cases[i].kind);
        assert_int_equal(rh->malformed, cases[i].malformed);
    }
    const struct histogram *h = &decode_histogram(RW_V2, "08 05 30 04 08 06 30 07 70 =9")->h;
    assert_int_equal(h->count, 6);
    assert_int_equal(h->zero_count, 7);
    /* an invalid hint is kept for histogram_check() to refuse */
    assert_int_equal(h->reset_hint, 9);
}

UNIT_TEST(test_malformed_histograms_refuse_the_request)
{
    static const char *const bad[] = {
        "09 #1",     "10 01",     "18 01",     "21 #1",
        "28 01",     "31 #1",     "38 01",     "40 01",
        "4d 01",     "50 01",     "58 01",     "65 01",
        "68 01",     "71 #1",     "79 #1",     "80 01 01",
        "42{0a{}}",  "42{11}",    "42{08}",    "4a{80}",
        "52{'abc'}", "62{~1 ff}", "6a{#1 00}", "82 01{00}",
        "5a 7f",     "4a 7f 01",  "6a 7f 01",  "62{ff ff ff ff ff ff ff ff ff 02}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "2a{ 1a{ 08 01 %s } }", bad[i]);
        rw_refuse(RW_V2, text);
        snprintf(text, sizeof text, "0a{ 22{ 08 01 %s } }", bad[i]);
        rw_refuse(RW_V1, text);
    }
    rw_refuse(RW_V2, "2a{ 1a{ 89 01 #1 } }");
    rw_accept(RW_V1, "0a{ 22{ 89 01 #1 } }"); /* 1.0 does not know field 17 */
    rw_refuse(RW_V2, "2a{ 18 01 }");
    rw_refuse(RW_V1, "0a{ 20 01 }");
}

UNIT_TEST(test_too_many_buckets_mark_the_histogram_only)
{
    struct buf text;
    buf_init(&text, NULL, 4 << 20);
    static const struct {
        const char *before, *item, *after;
        bool packed;
    } forms[] = {{"62{", "02", "}", true}, {"", "60 02", "", false}, {"", "5a{}", "", false}};
    for (size_t form = 0; form < 3; form++) {
        for (unsigned more = 0; more < 2; more++) {
            buf_clear(&text);
            buf_put_text(&text, "2a{ 1a{ 08 01 ");
            buf_put_text(&text, forms[form].before);
            for (unsigned i = 0; i < HISTOGRAM_BUCKETS_MAX + more; i++)
                buf_put_text(&text, forms[form].item);
            buf_put_text(&text, forms[form].after);
            buf_put_text(&text, "} 1a{ 08 01 60 02 } }");
            buf_put_u8(&text, 0);
            rw_accept(RW_V2, (const char *)text.at);
            assert_int_equal(decoded.histogram_count, 2);
            assert_int_equal(decoded.histograms[0].malformed, more == 1);
            assert_false(decoded.histograms[1].malformed);
            assert_int_equal(decoded.histograms[1].h.positive.bucket_count, 1);
        }
    }
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_histogram),
        cmocka_unit_test(test_float_histogram_with_custom_bounds),
        cmocka_unit_test(test_histogram_arrays_may_come_in_pieces),
        cmocka_unit_test(test_histogram_kind_is_that_of_the_last_count),
        cmocka_unit_test(test_malformed_histograms_refuse_the_request),
        cmocka_unit_test(test_too_many_buckets_mark_the_histogram_only),
    };
    return rw_test_run(tests);
}
