/* gather_test.c - gathered samples are returned in order, each time once, in any
 * number of passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/archive/scan.h"
#include "lib/random.h"
#include "lib/test.h"
#include "model/histogram.h"
#include "model/labels.h"

enum { SERIES = 50, TIMES = 200 };

static void
labels_of(struct buf *to, unsigned series)
{
    char value[20];
    buf_clear(to);
    snprintf(value, sizeof value, "%03u", series);
    labels_put(to, (struct label){bytes_of_text("a"), bytes_of_text(value)});
}

/* Adds all samples, at times that go back or repeat. Returns false if memory failed. */
static bool
put_all(struct archive_gathering *g)
{
    struct buf labels;
    struct why why;
    bool fine = true;
    buf_init(&labels, NULL, 1000);
    for (unsigned i = 0; i < TIMES && fine; i++) {
        for (unsigned k = 0; k < SERIES && fine; k++) {
            uint32_t number;
            unsigned series = (k * 7) % SERIES;
            int64_t t = series % 2 == 0 ? (int64_t)i : (int64_t)((i * 77) % TIMES);
            labels_of(&labels, series);
            fine = buf_error(&labels) == OK && gathering_add(g, buf_bytes(&labels), &number) == OK;
            for (unsigned twice = 0; twice < 2 && fine && number != GATHERING_NONE; twice++) {
                enum err e = gathering_put(g, number, 1000 * t, series * 1000 + (uint64_t)t, NULL,
                                           series, &why);
                fine = e == OK;
                if (fine) fine = gathering_add(g, buf_bytes(&labels), &number) == OK;
            }
        }
    }
    buf_fini(&labels);
    return fine;
}

/* Reads a pass; returns the number of the series after its last. */
static unsigned
check_pass(struct archive_gathering *g, unsigned first)
{
    struct bytes labels;
    struct sample_batch batch;
    struct buf expected;
    buf_init(&expected, NULL, 1000);
    assert_int_equal(gathering_next(g, &labels, NULL), OK);
    while (labels.at != NULL) {
        unsigned count = 0;
        labels_of(&expected, first);
        assert_true(bytes_equal(labels, buf_bytes(&expected)));
        assert_int_equal(gathering_batch(g, &batch, NULL), OK);
        while (batch.count > 0) {
            for (uint32_t i = 0; i < batch.count; i++, count++) {
                assert_true(batch.times_ms[i] == 1000 * (int64_t)count);
                assert_true(batch.value_bits[i] == first * 1000 + count);
                assert_true((batch.starts_ms == NULL ? 0 : batch.starts_ms[i]) == first);
            }
            assert_int_equal(gathering_batch(g, &batch, NULL), OK);
        }
        assert_int_equal(count, TIMES);
        first++;
        assert_int_equal(gathering_next(g, &labels, NULL), OK);
    }
    buf_fini(&expected);
    return first;
}

static void
check_in_passes(size_t bytes_max, unsigned passes_min)
{
    struct buf from;
    unsigned first = 0, passes = 0;
    buf_init(&from, NULL, 1000);
    while (first < SERIES) {
        struct gathering_options options = {.bytes_max = bytes_max, .from = buf_bytes(&from)};
        struct archive_gathering *g;
        assert_int_equal(gathering_new(&options, &g), OK);
        assert_true(put_all(g));
        unsigned next = check_pass(g, first);
        assert_true(next > first);
        first = next;
        struct bytes bound = gathering_bound(g);
        assert_int_equal(bound.size == 0, first == SERIES);
        buf_clear(&from);
        buf_put_bytes(&from, bound);
        gathering_free(g);
        passes++;
    }
    assert_true(passes >= passes_min);
    buf_fini(&from);
}

UNIT_TEST(test_series_come_in_order_and_each_time_once)
{
    check_in_passes(100 << 20, 1);
}

static void
put_sample(struct archive_gathering *g, uint32_t number, int64_t t_ms, uint64_t bits)
{
    struct why why;
    assert_int_equal(gathering_put(g, number, t_ms, bits, NULL, 0, &why), OK);
}

/* Samples come in order, or not. */
UNIT_TEST(test_of_samples_of_one_time_the_first_to_come_counts)
{
    struct gathering_options options = {.bytes_max = 1 << 20};
    struct archive_gathering *g;
    struct sample_batch batch;
    struct bytes labels;
    struct buf of_series;
    uint32_t number;
    buf_init(&of_series, NULL, 1000);
    assert_int_equal(gathering_new(&options, &g), OK);
    for (unsigned series = 0; series < 2; series++) {
        labels_of(&of_series, series);
        assert_int_equal(gathering_add(g, buf_bytes(&of_series), &number), OK);
        put_sample(g, number, 1000, 1);
        put_sample(g, number, 1000, 9);
        put_sample(g, number, 3000, 3);
        if (series == 1) put_sample(g, number, 1000, 8); /* its time is not after the one before */
        if (series == 1) put_sample(g, number, 3000, 7);
        put_sample(g, number, 4000, 4);
        put_sample(g, number, 4000, 6);
    }
    for (unsigned series = 0; series < 2; series++) {
        static const int64_t times_ms[] = {1000, 3000, 4000};
        static const uint64_t bits[] = {1, 3, 4};
        assert_int_equal(gathering_next(g, &labels, NULL), OK);
        assert_int_equal(gathering_batch(g, &batch, NULL), OK);
        assert_int_equal(batch.count, 3);
        assert_memory_equal(batch.times_ms, times_ms, sizeof times_ms);
        assert_memory_equal(batch.value_bits, bits, sizeof bits);
        assert_int_equal(gathering_batch(g, &batch, NULL), OK);
        assert_int_equal(batch.count, 0);
    }
    gathering_free(g);
    buf_fini(&of_series);
}

enum { MIXED = 600 };

struct mixed_sample {
    int64_t start_ms;
    uint64_t bits;
    struct histogram h; /* unused for a float */
    enum sample_kind kind;
};

/* Runs of floats and of both kinds of histograms, short and long. */
static void
make_mixed(struct rng *r, struct arena *arena, struct mixed_sample *samples)
{
    enum sample_kind kind = SAMPLE_FLOAT;
    for (unsigned i = 0, left = 0; i < MIXED; i++, left--) {
        struct mixed_sample *s = &samples[i];
        if (left == 0) {
            kind = (enum sample_kind)rng_below(r, 3);
            left = 1 + (unsigned)rng_below(r, rng_below(r, 2) == 0 ? 4 : 200);
        }
        *s = (struct mixed_sample){.kind = kind, .bits = rng_below(r, 3)};
        if (rng_below(r, 4) == 0) s->start_ms = (int64_t)rng_below(r, 1000);
        if (kind == SAMPLE_FLOAT) continue;
        do {
            s->h = random_histogram(r, arena, kind);
        } while (histogram_check(&s->h, NULL) != OK);
    }
}

static unsigned
check_mixed(const struct sample_batch *b, const struct mixed_sample *samples, unsigned at)
{
    for (uint32_t i = 0; i < b->count; i++, at++) {
        const struct mixed_sample *s = &samples[at];
        assert_int_equal(b->kind, s->kind);
        assert_true(b->times_ms[i] == at);
        assert_true((b->starts_ms == NULL ? 0 : b->starts_ms[i]) == s->start_ms);
        if (s->kind == SAMPLE_FLOAT)
            assert_true(b->value_bits[i] == s->bits);
        else
            assert_true(same_histogram_bits(&b->histograms[i], &s->h));
    }
    return at;
}

/* In order and in disorder. */
UNIT_TEST(test_histograms_and_floats_come_as_they_were_put)
{
    static struct mixed_sample samples[MIXED];
    struct arena arena;
    arena_init(&arena, NULL, 64 << 20, 0);
    for (unsigned seed = 0; seed < 20; seed++) {
        struct gathering_options options = {.bytes_max = 64 << 20};
        struct rng r = {seed};
        struct archive_gathering *g;
        struct sample_batch batch;
        struct bytes labels;
        struct why why;
        uint32_t number;
        unsigned at = 0;
        arena_reset(&arena);
        make_mixed(&r, &arena, samples);
        assert_int_equal(gathering_new(&options, &g), OK);
        assert_int_equal(gathering_add(g, bytes_of("x", 1), &number), OK);
        for (unsigned i = 0; i < MIXED; i++) {
            unsigned t = seed % 2 == 0 ? i : i * 77 % MIXED;
            const struct mixed_sample *s = &samples[t];
            const struct histogram *h = s->kind == SAMPLE_FLOAT ? NULL : &s->h;
            assert_int_equal(gathering_put(g, number, t, s->bits, h, s->start_ms, &why), OK);
        }
        assert_int_equal(gathering_next(g, &labels, NULL), OK);
        do {
            assert_int_equal(gathering_batch(g, &batch, &why), OK);
            at = check_mixed(&batch, samples, at);
        } while (batch.count > 0);
        assert_int_equal(at, MIXED);
        gathering_free(g);
    }
    arena_fini(&arena);
}

UNIT_TEST(test_series_that_exceed_the_memory_are_read_in_another_pass)
{
    check_in_passes(40 * 1024, 3);
    check_in_passes(10 * 1024, 10);
}

UNIT_TEST(test_one_series_that_is_too_large_is_an_error)
{
    struct gathering_options options = {.bytes_max = 1000};
    struct archive_gathering *g;
    struct why why;
    uint32_t number;
    enum err e = OK;
    assert_int_equal(gathering_new(&options, &g), OK);
    assert_int_equal(gathering_add(g, bytes_of("x", 1), &number), OK);
    for (int64_t t = 0; t < 10000 && e == OK; t++)
        e = gathering_put(g, number, t, (uint64_t)t << 32, NULL, 0, &why);
    assert_int_equal(e, ERR_LIMIT);
    gathering_free(g);
}

UNIT_TEST(test_each_failing_allocation_is_an_error)
{
    for (uint64_t nth = 1;; nth += 1 + nth / 20) {
        struct gathering_options options = {.bytes_max = 60 * 1024};
        struct archive_gathering *g = NULL;
        mem_fail_nth(nth, true);
        bool fine = gathering_new(&options, &g) == OK && put_all(g);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(fine, !fired);
        gathering_free(g);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_come_in_order_and_each_time_once),
        cmocka_unit_test(test_of_samples_of_one_time_the_first_to_come_counts),
        cmocka_unit_test(test_histograms_and_floats_come_as_they_were_put),
        cmocka_unit_test(test_series_that_exceed_the_memory_are_read_in_another_pass),
        cmocka_unit_test(test_one_series_that_is_too_large_is_an_error),
        cmocka_unit_test(test_each_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
