/* chunk_histogram_test.c - histograms in chunks: bytes, hints, and boundaries of chunks. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "wire/chunk/chunk.h"

enum { CHUNKS_MAX = 4096, BYTES_MAX = 1 << 20 };

/* --- collecting chunks ------------------------------------------------------------------------ */

struct fixture {
    struct budget budget;
    struct arena arena;  /* memory of the reader */
    struct arena copies; /* memory of the input and the chunks */
    struct histogram_chunks *writer;
    struct histogram_chunk chunks[CHUNKS_MAX]; /* `copies` has their data */
    uint32_t chunk_count;
    uint64_t seed; /* seed of the current loop; printed if the test fails in it */
};

static enum err
take(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct fixture *f = context;
    (void)why;
    assert_true(f->chunk_count < CHUNKS_MAX);
    struct histogram_chunk *kept = &f->chunks[f->chunk_count++];
    *kept = *chunk;
    kept->data = arena_copy(&f->copies, chunk->data);
    return OK;
}

static void
new_writer(struct fixture *f, size_t bytes_max)
{
    histogram_chunks_free(f->writer);
    assert_int_equal(histogram_chunks_new(&f->budget, bytes_max, take, f, &f->writer), OK);
    f->chunk_count = 0;
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    budget_init(&f->budget, "test", 0, NULL);
    arena_init(&f->arena, &f->budget, 0, 0);
    arena_init(&f->copies, &f->budget, 0, 0);
    new_writer(f, BYTES_MAX);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->seed != 0) print_error("failed with seed %llu\n", (unsigned long long)f->seed);
    histogram_chunks_free(f->writer);
    arena_fini(&f->arena);
    arena_fini(&f->copies);
    int leaked = budget_used(&f->budget) != 0;
    free(f);
    return leaked;
}

static void
put(struct fixture *f, int64_t t_ms, const struct histogram *h)
{
    assert_int_equal(histogram_chunks_put(f->writer, 1, &t_ms, h, NULL), OK);
}

static void
end(struct fixture *f)
{
    assert_int_equal(histogram_chunks_end(f->writer, NULL), OK);
}

/* --- the bits --------------------------------------------------------------------------------- */

/* Compares the bits with `text`, zeros and ones; other characters are ignored. */
static void
check_bits(struct bytes data, const char *text)
{
    size_t bits = 0;
    for (; *text != '\0'; text++) {
        if (*text != '0' && *text != '1') continue;
        assert_true(bits / 8 < data.size);
        unsigned bit = data.at[bits / 8] >> (7 - bits % 8) & 1;
        if (bit != (unsigned)(*text - '0')) fail_msg("bit %zu differs", bits);
        bits++;
    }
    assert_int_equal(data.size, (bits + 7) / 8);
    for (; bits % 8 != 0; bits++)
        assert_int_equal(data.at[bits / 8] >> (7 - bits % 8) & 1, 0);
}

static void
test_histogram_chunk_has_the_documented_bits(void **state)
{
    struct fixture *f = *state;
    const struct hist_span spans[] = {{-2, 2}, {1, 1}};
    const int64_t deltas[3][3] = {{2, 1, -2}, {2, 2, -3}, {2, 2, -3}};
    const uint64_t counts[3] = {7, 9, 9};
    for (unsigned i = 0; i < 3; i++) {
        struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                              .schema = 3,
                              .reset_hint = i == 0 ? RESET_NO : RESET_UNKNOWN,
                              .zero_threshold_bits = double_bits(0x1p-128),
                              .sum_bits = double_bits(1),
                              .count = counts[i],
                              .zero_count = 1,
                              .positive = {spans, 2, 3, deltas[i], NULL}};
        put(f, 100 + 15 * (int64_t)i, &h);
    }
    end(f);
    assert_int_equal(f->chunk_count, 1);
    check_bits(f->chunks[0].data,
               "00000000 00000011 00000000" /* 3 samples; nothing is known about a reset */
               "01110100"                   /* 2^-128 */
               "10 011"                     /* schema 3 */
               "10 010"                     /* two spans: length, offset */
               "10 010 10 110  10 001 10 001"
               "0"              /* no negative spans */
               "1110 001100100" /* t = 100 */
               "10 111 10 001"  /* count 7, zero count 1 */
               "00111111 11110000 00000000 00000000 00000000 00000000 00000000 00000000"
               "10 010 10 001 10 110"  /* deltas 2, 1, -2 */
               "110 001111 10 010 0 0" /* t +15, count +2, zero +0, sum as before */
               "0 10 001 10 111"       /* deltas +0, +1, -1 */
               "0 10 110 0 0"          /* t dod 0, count dod -2 */
               "0 10 111 10 001");     /* dods 0, -1, +1 */
}

static void
test_float_histogram_chunk_has_the_documented_bits(void **state)
{
    struct fixture *f = *state;
    const struct hist_span span = {0, 1};
    const double bounds[] = {0.25, 1e-9};
    uint64_t bound_bits[] = {double_bits(bounds[0]), double_bits(bounds[1])};
    const double counts[] = {1, 1.5};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t count = double_bits(counts[i]);
        struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                              .schema = HISTOGRAM_SCHEMA_CUSTOM,
                              .custom_bits = bound_bits,
                              .custom_count = 2,
                              .reset_hint = RESET_GAUGE,
                              .sum_bits = double_bits(1),
                              .count = count,
                              .positive = {&span, 1, 1, NULL, &count}};
        put(f, 1, &h);
    }
    end(f);
    assert_int_equal(f->chunk_count, 1);
    check_bits(f->chunks[0].data,
               "00000000 00000010 11000000"
               "00000000"        /* zero threshold 0 */
               "1110 111001011"  /* schema -53 in 9 bits */
               "10 001 10 001 0" /* one span of length 1 at 0 */
               "0"               /* no negative ones */
               "10 010"          /* two bounds */
               "1110 011111011"  /* 250 thousandths plus one */
               "0 00111110 00010001 00101110 00001011 11101000 00100110 11010110 10010101"
               "10 001" /* t = 1 */
               "00111111 11110000 00000000 00000000 00000000 00000000 00000000 00000000"
               "00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
               "00111111 11110000 00000000 00000000 00000000 00000000 00000000 00000000"
               "00111111 11110000 00000000 00000000 00000000 00000000 00000000 00000000"
               "0"                   /* the same time */
               "11 01100 000001 1"   /* count 1.5 */
               "0 0"                 /* zero count, sum */
               "11 01100 000001 1"); /* the bucket */
}

/* --- round trips ------------------------------------------------------------------------------ */

static double
number_of(const struct histogram *h, uint64_t count)
{
    return h->kind == SAMPLE_HISTOGRAM_INT ? (double)count : bits_double(count);
}

/* Returns the count of the bucket with this index. */
static double
bucket_at(const struct histogram *h, const struct hist_buckets *side, int64_t index)
{
    struct bucket_steps steps = {.h = h, .side = side};
    while (bucket_steps_next(&steps))
        if (steps.index == index) return number_of(h, steps.count);
    return 0;
}

static bool
side_fell(const struct histogram *a, const struct hist_buckets *of_a, const struct histogram *b,
          const struct hist_buckets *of_b)
{
    struct bucket_steps steps = {.h = a, .side = of_a};
    while (bucket_steps_next(&steps))
        if (bucket_at(b, of_b, steps.index) < number_of(a, steps.count)) return true;
    return false;
}

/* Says independently whether any count fell. */
static bool
anything_fell(const struct histogram *a, const struct histogram *b)
{
    return number_of(b, b->count) < number_of(a, a->count) ||
           number_of(b, b->zero_count) < number_of(a, a->zero_count) ||
           side_fell(a, &a->positive, b, &b->positive) ||
           side_fell(a, &a->negative, b, &b->negative);
}

/* A series of histograms to write. */
struct input {
    enum sample_kind kind;
    uint32_t count;
    struct histogram *h;
    int64_t *times_ms;
};

static struct input
random_input(struct rng *r, struct arena *arena, enum sample_kind kind, uint32_t count)
{
    struct input in = {.kind = kind,
                       .h = arena_new(arena, count * sizeof *in.h),
                       .times_ms = arena_new(arena, count * sizeof *in.times_ms)};
    unsigned time_class = (unsigned)rng_below(r, RANDOM_TIME_CLASSES);
    bool gauge = rng_below(r, 4) == 0;
    int64_t t = random_first_time(r, time_class);
    do {
        struct histogram *h = &in.h[in.count];
        *h = in.count == 0 ? random_histogram(r, arena, kind)
                           : random_next_histogram(r, arena, h - 1);
        if (gauge) h->reset_hint = RESET_GAUGE;
        in.times_ms[in.count++] = t;
    } while (in.count < count && random_next_time(r, time_class, &t));
    return in;
}

/* The state of reading. */
struct reading {
    const struct input *in;
    uint32_t at;
};

/* Checks that the returned hint is true of the histogram before. */
static void
check_hint(const struct input *in, uint32_t i, enum reset_hint out)
{
    const struct histogram *h = &in->h[i], *before = i > 0 ? h - 1 : NULL;
    if (h->sum_bits == STALE_NAN_BITS) return;
    assert_int_equal(h->reset_hint == RESET_GAUGE, out == RESET_GAUGE);
    if (out == RESET_GAUGE) return;
    if (h->reset_hint == RESET_YES) assert_int_equal(out, RESET_YES);
    if (before == NULL || before->sum_bits == STALE_NAN_BITS) return;
    bool comparable = before->reset_hint != RESET_GAUGE && histogram_same_layout(before, h);
    if (comparable && anything_fell(before, h))
        assert_int_equal(out, RESET_YES);
    else if (h->reset_hint != RESET_YES)
        assert_int_not_equal(out, RESET_YES);
    if (!comparable) assert_int_not_equal(out, RESET_NO);
}

static enum err
check_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct reading *r = context;
    (void)bits;
    assert_true(r->at < r->in->count);
    assert_int_equal(t_ms, r->in->times_ms[r->at]);
    assert_true(same_histogram_bits(&r->in->h[r->at], h));
    check_hint(r->in, r->at, h->reset_hint);
    r->at++;
    return OK;
}

static void
check_chunks(struct fixture *f, const struct input *in)
{
    struct reading r = {in, 0};
    for (uint32_t i = 0; i < f->chunk_count; i++) {
        const struct histogram_chunk *c = &f->chunks[i];
        assert_int_equal(c->type, in->kind == SAMPLE_HISTOGRAM_INT ? CHUNK_HISTOGRAM
                                                                   : CHUNK_FLOAT_HISTOGRAM);
        assert_true(c->count >= 1 && c->count <= HISTOGRAM_CHUNK_SAMPLES);
        assert_int_equal(c->min_ms, in->times_ms[r.at]);
        uint32_t before = r.at;
        arena_reset(&f->arena);
        assert_int_equal(chunk_read(c->type, c->data, &f->arena, check_sample, &r), OK);
        assert_int_equal(r.at - before, c->count);
        assert_int_equal(c->max_ms, in->times_ms[r.at - 1]);
    }
    assert_int_equal(r.at, in->count);
}

static void
put_one_by_one(struct fixture *f, const struct input *in)
{
    for (uint32_t i = 0; i < in->count; i++)
        put(f, in->times_ms[i], &in->h[i]);
    end(f);
}

static void
test_histograms_of_changing_layout_come_back_with_true_hints(void **state)
{
    struct fixture *f = *state;
    uint64_t chunks = 0, histograms = 0;
    for (uint64_t seed = 1; seed <= 800; seed++) {
        struct rng r = {f->seed = seed};
        arena_reset(&f->copies);
        new_writer(f, seed % 5 == 0 ? 300 : BYTES_MAX);
        struct input in = random_input(
            &r, &f->copies, seed % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
            1 + (uint32_t)rng_below(&r, 600));
        put_one_by_one(f, &in);
        check_chunks(f, &in);
        chunks += f->chunk_count;
        histograms += in.count;
    }
    assert_true(histograms > 50000 && chunks > 1000);
    f->seed = 0;
}

/* Puts columns of equal layout, in ranges, some of them split; and rows between them. */
static void
put_by_columns(struct fixture *f, struct rng *r, const struct input *in)
{
    for (uint32_t from = 0, to; from < in->count; from = to) {
        for (to = from + 1; to < in->count && histogram_same_layout(&in->h[from], &in->h[to]);)
            to++;
        uint32_t count = to - from;
        if (rng_below(r, 8) == 0) {
            assert_int_equal(
                histogram_chunks_put(f->writer, count, in->times_ms + from, in->h + from, NULL),
                OK);
            continue;
        }
        struct hist_columns columns = columns_of(&f->copies, in->h + from, count);
        for (uint32_t at = 0; at < count;) {
            uint32_t some =
                rng_below(r, 3) == 0 ? 1 + (uint32_t)rng_below(r, count - at) : count - at;
            assert_int_equal(histogram_chunks_put_columns(f->writer, &columns, at, some,
                                                          in->times_ms + from + at, NULL),
                             OK);
            at += some;
        }
    }
    end(f);
}

static void
check_same_chunks(struct fixture *f, const struct histogram_chunk *others, uint32_t count)
{
    assert_int_equal(f->chunk_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(f->chunks[i].count, others[i].count);
        assert_int_equal(f->chunks[i].min_ms, others[i].min_ms);
        assert_int_equal(f->chunks[i].max_ms, others[i].max_ms);
        assert_true(bytes_equal(f->chunks[i].data, others[i].data));
    }
}

static void
test_columns_are_the_same_bytes_as_histograms_one_by_one(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct rng r = {f->seed = seed};
        arena_reset(&f->copies);
        size_t bytes_max = seed % 5 == 0 ? 300 : BYTES_MAX;
        enum sample_kind kind = seed % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
        struct input in = random_input(&r, &f->copies, kind,
                                       1 + (uint32_t)rng_below(&r, seed % 3 == 0 ? 30 : 900));
        new_writer(f, bytes_max);
        put_one_by_one(f, &in);
        uint32_t count = f->chunk_count;
        struct histogram_chunk *others = arena_new(&f->copies, (count + 1) * sizeof *others);
        memcpy(others, f->chunks, count * sizeof *others);
        new_writer(f, bytes_max);
        put_by_columns(f, &r, &in);
        check_chunks(f, &in);
        check_same_chunks(f, others, count);
    }
    f->seed = 0;
}

/* --- histograms that share a chunk ------------------------------------------------------------ */

/* Returns the header of the second's chunk when it follows the first; -1 if they share a chunk. */
static int
header_after(struct fixture *f, const struct histogram *first, const struct histogram *second)
{
    struct histogram both[] = {*first, *second};
    int64_t times_ms[] = {1, 2};
    const struct input in = {first->kind, 2, both, times_ms};
    new_writer(f, BYTES_MAX);
    put_one_by_one(f, &in);
    check_chunks(f, &in);
    return f->chunk_count == 1 ? -1 : f->chunks[1].data.at[2];
}

static void
test_header_says_why_the_chunk_began(void **state)
{
    struct fixture *f = *state;
    const struct hist_span spans[] = {{0, 2}};
    const struct hist_span wider[] = {{0, 3}};
    const struct hist_span cut[] = {{0, 1}, {0, 1}};
    const struct hist_span later[] = {{1, 1}};
    const int64_t deltas[] = {1, 1, 0};
    const int64_t fallen[] = {0, 2, 0};
    const int64_t one[] = {2};
    const int64_t more[] = {1, 1, 3};
    const struct histogram base = {.kind = SAMPLE_HISTOGRAM_INT,
                                   .schema = 1,
                                   .count = 10,
                                   .zero_count = 7,
                                   .positive = {spans, 1, 2, deltas, NULL}};
    struct histogram h = base;
    assert_int_equal(header_after(f, &base, &h), -1);
    h.reset_hint = RESET_NO;
    assert_int_equal(header_after(f, &base, &h), -1);
    h.reset_hint = RESET_YES;
    assert_int_equal(header_after(f, &base, &h), 0x80);
    h.reset_hint = RESET_GAUGE;
    assert_int_equal(header_after(f, &base, &h), 0xc0);
    assert_int_equal(header_after(f, &h, &base), 0x00);
    h = base, h.count = 9;
    assert_int_equal(header_after(f, &base, &h), 0x80);
    h = base, h.zero_count = 6;
    assert_int_equal(header_after(f, &base, &h), 0x80);
    h = base, h.positive.deltas = fallen;
    assert_int_equal(header_after(f, &base, &h), 0x80);
    h = base, h.schema = 0;
    assert_int_equal(header_after(f, &base, &h), 0x00);
    h = base, h.positive = (struct hist_buckets){wider, 1, 3, more, NULL};
    assert_int_equal(header_after(f, &base, &h), 0x00);
    h = base, h.positive = (struct hist_buckets){cut, 2, 2, deltas, NULL};
    assert_int_equal(header_after(f, &base, &h), 0x00);
    h = base, h.positive = (struct hist_buckets){later, 1, 1, one, NULL};
    assert_int_equal(header_after(f, &base, &h), 0x00);
    struct histogram stale = stale_histogram(SAMPLE_HISTOGRAM_INT);
    assert_int_equal(header_after(f, &base, &stale), -1);
    assert_int_equal(header_after(f, &stale, &stale), -1);
    assert_int_equal(header_after(f, &stale, &base), 0x00);
    h = base, h.schema = HISTOGRAM_SCHEMA_CUSTOM;
    struct histogram bounded = h;
    const uint64_t bound = double_bits(3);
    bounded.custom_bits = &bound;
    bounded.custom_count = 1;
    assert_int_equal(header_after(f, &h, &bounded), 0x00);
}

static void
test_gauges_may_fall_within_a_chunk(void **state)
{
    struct fixture *f = *state;
    const struct hist_span spans[] = {{0, 1}}, others[] = {{-7, 2}};
    const uint64_t counts[] = {double_bits(3), double_bits(1)};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                          .reset_hint = RESET_GAUGE,
                          .count = counts[0],
                          .positive = {spans, 1, 1, NULL, &counts[0]}};
    struct histogram less = h;
    less.count = counts[1];
    less.positive.counts = &counts[1];
    assert_int_equal(header_after(f, &h, &less), -1);
    struct histogram other = h;
    other.positive = (struct hist_buckets){others, 1, 2, NULL, counts};
    assert_int_equal(header_after(f, &h, &other), 0xc0);
    struct histogram stale = stale_histogram(SAMPLE_HISTOGRAM_FLOAT);
    assert_int_equal(header_after(f, &h, &stale), -1);
}

static void
test_full_chunks_end(void **state)
{
    struct fixture *f = *state;
    const struct hist_span span = {0, 1};
    enum { COUNT = 3 * HISTOGRAM_CHUNK_SAMPLES };
    static int64_t deltas[COUNT], times_ms[COUNT];
    static struct histogram h[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        deltas[i] = i;
        times_ms[i] = 15000 * (int64_t)i;
        h[i] = (struct histogram){
            .kind = SAMPLE_HISTOGRAM_INT, .count = i, .positive = {&span, 1, 1, &deltas[i], NULL}};
    }
    const struct input in = {SAMPLE_HISTOGRAM_INT, COUNT, h, times_ms};
    put_one_by_one(f, &in);
    check_chunks(f, &in);
    assert_int_equal(f->chunk_count, 3);
}

static void
test_largest_histograms_come_back_in_little_memory(void **state)
{
    struct fixture *f = *state;
    static int64_t deltas[2][HISTOGRAM_BUCKETS_MAX];
    static struct hist_span spans[2] = {{-40000, HISTOGRAM_BUCKETS_MAX},
                                        {-39000, HISTOGRAM_BUCKETS_MAX}};
    struct rng r = {5};
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++) {
        deltas[0][i] = (int64_t)rng_below(&r, 1000);
        deltas[1][i] = deltas[0][i] + (i == 0 ? 5 : 0);
    }
    struct histogram h[6];
    int64_t times_ms[6];
    for (unsigned i = 0; i < 6; i++) { /* two of each layout */
        const struct hist_buckets side = {&spans[i / 2 % 2], 1, HISTOGRAM_BUCKETS_MAX,
                                          deltas[i % 2], NULL};
        h[i] = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                  .reset_hint = RESET_GAUGE,
                                  .schema = 8,
                                  .positive = side,
                                  .negative = side};
        times_ms[i] = i;
    }
    const struct input in = {SAMPLE_HISTOGRAM_INT, 6, h, times_ms};
    put_one_by_one(f, &in);
    check_chunks(f, &in);
    assert_true(budget_used(&f->budget) < 64 << 20);
}

static void
test_histogram_whose_spans_lie_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct hist_span spans[] = {{0, 2}, {1, 1}};
    const int64_t deltas[] = {1, 1};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .positive = {spans, 2, 2, deltas, NULL}};
    int64_t t = 1;
    struct why why = {""};
    assert_int_equal(histogram_chunks_put(f->writer, 1, &t, &h, &why), ERR_INPUT);
    end(f);
    assert_int_equal(f->chunk_count, 0);
}

/* --- failures --------------------------------------------------------------------------------- */

static enum err
take_nothing(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    uint32_t *left = context;
    (void)chunk;
    return --*left == 0 ? why_set(why, ERR_CANCELED, "enough") : OK;
}

static enum err
write_something(struct budget *budget, const struct input *in, uint32_t chunks)
{
    struct histogram_chunks *writer;
    struct why why;
    enum err e = histogram_chunks_new(budget, BYTES_MAX, take_nothing, &chunks, &writer);
    if (e) return e;
    e = histogram_chunks_put(writer, in->count, in->times_ms, in->h, &why);
    if (e == OK) e = histogram_chunks_end(writer, &why);
    histogram_chunks_free(writer);
    return e;
}

static void
test_any_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rng r = {f->seed = seed};
        struct input in = random_input(
            &r, &f->copies, seed % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT, 200);
        for (unsigned nth = 1;; nth++) {
            struct budget budget;
            budget_init(&budget, "test", 0, NULL);
            mem_fail_nth(nth, nth % 2 == 0);
            enum err e = write_something(&budget, &in, UINT32_MAX);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            assert_int_equal(budget_used(&budget), 0);
            if (!fired) break;
            assert_true(nth < 1000);
        }
    }
    f->seed = 0;
}

static void
test_error_of_the_taker_is_passed_on(void **state)
{
    struct fixture *f = *state;
    struct rng r = {7};
    struct input in = random_input(&r, &f->copies, SAMPLE_HISTOGRAM_INT, 400);
    assert_int_equal(write_something(&f->budget, &in, 2), ERR_CANCELED);
}

int
main(void)
{
#define CHUNK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CHUNK_TEST(test_histogram_chunk_has_the_documented_bits),
        CHUNK_TEST(test_float_histogram_chunk_has_the_documented_bits),
        CHUNK_TEST(test_histograms_of_changing_layout_come_back_with_true_hints),
        CHUNK_TEST(test_columns_are_the_same_bytes_as_histograms_one_by_one),
        CHUNK_TEST(test_header_says_why_the_chunk_began),
        CHUNK_TEST(test_gauges_may_fall_within_a_chunk),
        CHUNK_TEST(test_full_chunks_end),
        CHUNK_TEST(test_largest_histograms_come_back_in_little_memory),
        CHUNK_TEST(test_histogram_whose_spans_lie_is_refused),
        CHUNK_TEST(test_any_failed_allocation_is_an_error_and_leaks_nothing),
        CHUNK_TEST(test_error_of_the_taker_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
