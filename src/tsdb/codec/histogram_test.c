/*
 * histogram_test.c - blocks of histograms come back in every shape; wrong fields, damage and
 * refused memory are errors.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/codec/codec.h"

static struct rng rng;

static struct codec_scratch *scratch;

static int
setup(void **state)
{
    (void)state;
    return codec_scratch_new(NULL, &scratch) != OK;
}

static int
teardown(void **state)
{
    (void)state;
    codec_scratch_free(scratch);
    return 0;
}

/* --- making histograms ------------------------------------------------------------------------ */

struct recipe {
    enum sample_kind kind;
    uint32_t count;
    uint32_t positive_spans, negative_spans;
    uint32_t span_length_max;
    uint32_t custom_count;
    bool wild; /* counts of any bits, instead of growing ones */
    bool mixed_hints;
};

static void *
make(struct arena *arena, size_t bytes)
{
    void *memory = arena_new(arena, bytes);
    assert_non_null(memory);
    return memory;
}

static struct hist_buckets
make_side(struct arena *arena, const struct recipe *recipe, uint32_t span_count)
{
    int32_t least = recipe->custom_count > 0 ? 0 : -1000; /* offset of the first span */
    struct hist_buckets side = {.span_count = span_count};
    struct hist_span *spans = span_count > 0 ? make(arena, span_count * sizeof *spans) : NULL;
    for (uint32_t i = 0; i < span_count; i++) {
        spans[i].offset =
            i == 0 ? least + (int32_t)rng_below(&rng, recipe->custom_count > 0 ? 5 : 2000)
                   : (int32_t)rng_below(&rng, 5);
        spans[i].length = (uint32_t)rng_below(&rng, recipe->span_length_max + 1);
        side.bucket_count += spans[i].length;
    }
    side.spans = spans;
    return side;
}

/* Makes one sign of the next histogram; `counts` are absolute and kept for the next call. */
static void
make_counts(struct arena *arena, const struct recipe *recipe, uint64_t *counts,
            struct hist_buckets *side, uint64_t *total)
{
    if (side->bucket_count == 0) return;
    uint64_t *cells = make(arena, side->bucket_count * sizeof *cells);
    uint64_t before = 0;
    for (uint32_t i = 0; i < side->bucket_count; i++) {
        if (rng_below(&rng, 4) == 0) counts[i] += rng_below(&rng, 50);
        if (recipe->wild) counts[i] = rng_next(&rng);
        cells[i] = counts[i] - before;
        *total += counts[i];
        before = counts[i];
        if (recipe->kind == SAMPLE_HISTOGRAM_FLOAT)
            cells[i] = recipe->wild ? counts[i] : double_bits((double)counts[i] / 4);
    }
    side->deltas = recipe->kind == SAMPLE_HISTOGRAM_INT ? (const int64_t *)cells : NULL;
    side->counts = recipe->kind == SAMPLE_HISTOGRAM_INT ? NULL : cells;
}

/* Makes custom bounds that cover all buckets; there is neither a negative side nor a
 * zero bucket. */
static void
make_custom(struct arena *arena, const struct recipe *recipe, struct histogram *layout)
{
    uint32_t count = recipe->custom_count;
    for (uint32_t i = 0; i < layout->positive.span_count; i++)
        count += (uint32_t)layout->positive.spans[i].offset + layout->positive.spans[i].length;
    uint64_t *bounds = make(arena, count * sizeof *bounds);
    for (uint32_t i = 0; i < count; i++)
        bounds[i] = double_bits(0.005 * (i + 1));
    layout->schema = HISTOGRAM_SCHEMA_CUSTOM;
    layout->zero_threshold_bits = 0;
    layout->custom_bits = bounds;
    layout->custom_count = count;
}

static struct histogram *
make_block(struct arena *arena, const struct recipe *recipe)
{
    struct histogram *h = make(arena, recipe->count * sizeof *h);
    struct histogram layout = {.kind = recipe->kind, .schema = (int32_t)rng_below(&rng, 13) - 4};
    layout.zero_threshold_bits = double_bits(rng_below(&rng, 2) ? 0x1p-128 : 0);
    layout.positive = make_side(arena, recipe, recipe->positive_spans);
    if (recipe->custom_count == 0)
        layout.negative = make_side(arena, recipe, recipe->negative_spans);
    else
        make_custom(arena, recipe, &layout);
    uint64_t *up = make(arena, (layout.positive.bucket_count + 1) * sizeof *up);
    uint64_t *down = make(arena, (layout.negative.bucket_count + 1) * sizeof *down);
    double sum = 0;
    uint64_t zero = 0;
    for (uint32_t i = 0; i < recipe->count; i++) {
        h[i] = layout;
        h[i].reset_hint = recipe->mixed_hints ? (enum reset_hint)rng_below(&rng, 4) : RESET_NO;
        h[i].zero_count = zero += rng_below(&rng, 3);
        h[i].count = h[i].zero_count;
        make_counts(arena, recipe, up, &h[i].positive, &h[i].count);
        make_counts(arena, recipe, down, &h[i].negative, &h[i].count);
        h[i].sum_bits = double_bits(sum += (double)rng_below(&rng, 1000) / 1000);
        if (recipe->kind == SAMPLE_HISTOGRAM_FLOAT) {
            h[i].count = double_bits((double)h[i].count / 4);
            h[i].zero_count = double_bits((double)h[i].zero_count / 4);
        }
        if (recipe->wild) {
            h[i].count = rng_next(&rng);
            h[i].zero_count = rng_next(&rng);
            h[i].sum_bits = rng_below(&rng, 3) == 0 ? STALE_NAN_BITS : rng_next(&rng);
        }
    }
    return h;
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool
same_array(const void *a, const void *b, uint32_t count)
{
    if (a == NULL || b == NULL) return a == b;
    return memcmp(a, b, count * sizeof(uint64_t)) == 0;
}

static bool
same_side(const struct hist_buckets *a, const struct hist_buckets *b)
{
    return (a->spans == NULL) == (b->spans == NULL) &&
           same_array(a->deltas, b->deltas, a->bucket_count) &&
           same_array(a->counts, b->counts, a->bucket_count);
}

static bool
same(const struct histogram *a, const struct histogram *b)
{
    return histogram_same_layout(a, b) && a->reset_hint == b->reset_hint &&
           a->sum_bits == b->sum_bits && a->count == b->count && a->zero_count == b->zero_count &&
           same_side(&a->positive, &b->positive) && same_side(&a->negative, &b->negative);
}

static uint8_t *
with_slack(struct bytes encoded)
{
    uint8_t *copy = malloc(encoded.size + CODEC_SLACK);
    assert_non_null(copy);
    memcpy(copy, encoded.at, encoded.size);
    memset(copy + encoded.size, 0xa5, CODEC_SLACK);
    return copy;
}

static struct histogram decoded[CODEC_SAMPLES_MAX];

static void
check_column(const struct hist_column *a, const struct hist_column *b)
{
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->step_count, b->step_count);
    if (a->step_count == 0) return;
    assert_memory_equal(a->rows, b->rows, a->step_count * sizeof *a->rows);
    assert_memory_equal(a->steps, b->steps, a->step_count * sizeof *a->steps);
}

/* Reads the block both ways, into `decoded` and by columns, with the same result. */
static enum err
decode(struct bytes encoded, uint32_t count, struct arena *arena)
{
    struct arena scratch_arena;
    struct hist_columns c;
    arena_init(&scratch_arena, NULL, 0, 0);
    enum err e = codec_histogram_decode(encoded, count, arena, decoded);
    assert_int_equal(codec_histogram_columns(encoded, count, &scratch_arena, &c), e);
    if (e == OK) {
        struct hist_columns right = columns_of(&scratch_arena, decoded, count);
        assert_true(histogram_same_layout(&right.layout, &c.layout));
        assert_int_equal(c.row_count, count);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(c.hints == NULL ? c.hint : c.hints[i], decoded[i].reset_hint);
        check_column(&right.sum, &c.sum);
        check_column(&right.zero_count, &c.zero_count);
        check_column(&right.count, &c.count);
        uint32_t buckets = decoded->positive.bucket_count + decoded->negative.bucket_count;
        for (uint32_t i = 0; i < buckets; i++)
            check_column(&right.buckets[i], &c.buckets[i]);
    }
    arena_fini(&scratch_arena);
    return e;
}

static size_t
check_comes_back(const struct histogram *h, uint32_t count, uint64_t started_with)
{
    struct buf out;
    buf_init(&out, NULL, 64 << 20);
    codec_histogram_encode(scratch, h, count, &out);
    assert_int_equal(buf_error(&out), OK);
    uint8_t *copy = with_slack(buf_bytes(&out));
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum err e = decode(bytes_of(copy, out.size), count, &arena);
    if (e) fail_msg("seed %#llx: error %d", (unsigned long long)started_with, (int)e);
    for (uint32_t i = 0; i < count; i++)
        if (!same(&h[i], &decoded[i]))
            fail_msg("seed %#llx: histogram %u of %u", (unsigned long long)started_with, i, count);
    size_t size = out.size;
    arena_fini(&arena);
    free(copy);
    buf_fini(&out);
    return size;
}

static size_t
check_recipe(struct recipe recipe, uint64_t started_with)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    rng.state = started_with;
    struct histogram *h = make_block(&arena, &recipe);
    size_t size = check_comes_back(h, recipe.count, started_with);
    arena_fini(&arena);
    return size;
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_blocks_of_every_shape_come_back)
{
    for (uint64_t round = 0; round < 600; round++) {
        rng.state = round;
        struct recipe recipe = {
            .kind = rng_below(&rng, 2) ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
            .count = 1 + (uint32_t)rng_below(&rng, rng_below(&rng, 20) == 0 ? 300 : 20),
            .positive_spans = (uint32_t)rng_below(&rng, 6),
            .negative_spans = (uint32_t)rng_below(&rng, 4),
            .span_length_max = (uint32_t)rng_below(&rng, 12),
            .custom_count = rng_below(&rng, 3) == 0 ? (uint32_t)rng_below(&rng, 30) : 0,
            .wild = rng_below(&rng, 3) == 0,
            .mixed_hints = rng_below(&rng, 3) == 0,
        };
        check_recipe(recipe, round);
    }
}

UNIT_TEST(test_blocks_of_every_count_come_back)
{
    static const uint32_t counts[] = {1, 2, 127, 128, 129, 130, 1024, 8191, 8192};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (unsigned is_float = 0; is_float < 2; is_float++) {
            check_recipe(
                (struct recipe){.kind = is_float ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT,
                                .count = counts[i],
                                .positive_spans = 2,
                                .span_length_max = 8},
                1000 + i);
        }
    }
}

UNIT_TEST(test_staleness_markers_cost_a_few_bytes)
{
    struct histogram h[3];
    for (unsigned i = 0; i < 3; i++)
        h[i] = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = STALE_NAN_BITS};
    assert_in_range(check_comes_back(h, 1, 0), 1, 16);
    assert_in_range(check_comes_back(h, 3, 0), 1, 24);
    for (unsigned i = 0; i < 3; i++)
        h[i].kind = SAMPLE_HISTOGRAM_FLOAT;
    assert_in_range(check_comes_back(h, 3, 0), 1, 24);
}

UNIT_TEST(test_float_counts_of_stale_bits_come_back_alone)
{
    static const uint64_t counts[4] = {STALE_NAN_BITS, STALE_NAN_BITS, STALE_NAN_BITS,
                                       STALE_NAN_BITS};
    static const struct hist_span span = {0, 4};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                          .sum_bits = STALE_NAN_BITS,
                          .count = STALE_NAN_BITS,
                          .zero_count = STALE_NAN_BITS,
                          .positive = {&span, 1, 4, NULL, counts}};
    check_comes_back(&h, 1, 0);
}

UNIT_TEST(test_an_idle_histogram_costs_two_bytes_a_column)
{
    static const int64_t deltas[8] = {5, 10, -3, 0, 0, 40, -20, 1};
    static const struct hist_span spans[2] = {{-3, 4}, {2, 4}};
    struct histogram h[480];
    for (unsigned i = 0; i < 480; i++) {
        h[i] = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                  .reset_hint = RESET_NO,
                                  .schema = 3,
                                  .zero_threshold_bits = double_bits(0x1p-128),
                                  .sum_bits = double_bits(12.5),
                                  .count = 5 + 15 + 12 + 12 + 12 + 52 + 32 + 33,
                                  .positive = {spans, 2, 8, deltas, NULL}};
    }
    assert_in_range(check_comes_back(h, 480, 0), 1, 50);
}

UNIT_TEST(test_largest_histograms_come_back)
{
    static struct hist_span span = {-30000, HISTOGRAM_BUCKETS_MAX};
    static struct hist_span from_zero = {0, HISTOGRAM_BUCKETS_MAX};
    static int64_t deltas[HISTOGRAM_BUCKETS_MAX];
    static uint64_t bounds[HISTOGRAM_BUCKETS_MAX];
    rng.state = 5;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++) {
        deltas[i] = (int64_t)rng_below(&rng, 100) - 50;
        bounds[i] = double_bits(0.25 * i);
    }
    struct histogram h[16];
    for (unsigned i = 0; i < 16; i++) {
        h[i] = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                  .schema = 8,
                                  .positive = {&span, 1, HISTOGRAM_BUCKETS_MAX, deltas, NULL},
                                  .negative = {&span, 1, HISTOGRAM_BUCKETS_MAX, deltas, NULL}};
    }
    assert_true(codec_histogram_fits(h, 8));
    assert_false(codec_histogram_fits(h, 9));
    check_comes_back(h, 8, 0);
    for (unsigned i = 0; i < 16; i++) {
        h[i].negative = (struct hist_buckets){0};
        h[i].schema = HISTOGRAM_SCHEMA_CUSTOM;
        h[i].positive.spans = &from_zero;
        h[i].custom_bits = bounds;
        h[i].custom_count = HISTOGRAM_BUCKETS_MAX;
    }
    assert_true(codec_histogram_fits(h, 16));
    assert_false(codec_histogram_fits(h, 17));
    check_comes_back(h, 16, 0);
}

UNIT_TEST(test_the_samples_that_fit_are_bounded_by_cells_and_limits)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    assert_false(codec_histogram_fits(&h, 0));
    assert_true(codec_histogram_fits(&h, 1));
    assert_true(codec_histogram_fits(&h, CODEC_SAMPLES_MAX));
    assert_false(codec_histogram_fits(&h, CODEC_SAMPLES_MAX + 1));
    h.positive.bucket_count = CODEC_HISTOGRAM_CELLS_MAX / CODEC_SAMPLES_MAX;
    assert_true(codec_histogram_fits(&h, CODEC_SAMPLES_MAX));
    h.negative.bucket_count = 1;
    assert_false(codec_histogram_fits(&h, CODEC_SAMPLES_MAX));
    h.negative.bucket_count = HISTOGRAM_BUCKETS_MAX + 1;
    assert_false(codec_histogram_fits(&h, 1));
    h.negative.bucket_count = 0;
    h.custom_count = HISTOGRAM_BUCKETS_MAX + 1;
    assert_false(codec_histogram_fits(&h, 1));
}

/* Makes a small block and its encoding, which tests damage. */
static struct buf
make_encoding(struct arena *arena, uint64_t started_with, uint32_t *ret_count)
{
    rng.state = started_with;
    struct recipe recipe = {
        .kind = rng_below(&rng, 2) ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
        .count = 1 + (uint32_t)rng_below(&rng, 10),
        .positive_spans = 1 + (uint32_t)rng_below(&rng, 3),
        .negative_spans = (uint32_t)rng_below(&rng, 2),
        .span_length_max = 4,
        .custom_count = (uint32_t)rng_below(&rng, 4),
        .wild = rng_below(&rng, 3) == 0,
        .mixed_hints = rng_below(&rng, 2) == 0,
    };
    struct buf out;
    buf_init(&out, NULL, 1 << 20);
    codec_histogram_encode(scratch, make_block(arena, &recipe), recipe.count, &out);
    *ret_count = recipe.count;
    return out;
}

UNIT_TEST(test_every_cut_and_every_extra_byte_is_corrupt)
{
    for (uint64_t round = 0; round < 20; round++) {
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        uint32_t count;
        struct buf out = make_encoding(&arena, 3000 + round, &count);
        buf_put_u8(&out, 0);
        for (size_t size = 0; size <= out.size; size++) {
            if (size + 1 == out.size) continue;
            uint8_t *copy = with_slack(bytes_of(out.at, size));
            assert_int_equal(decode(bytes_of(copy, size), count, &arena), ERR_CORRUPT);
            free(copy);
        }
        buf_fini(&out);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_mutated_encodings_are_read_within_bounds)
{
    for (uint64_t round = 0; round < 3000; round++) {
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        uint32_t count;
        struct buf out = make_encoding(&arena, 5000 + round, &count);
        uint8_t *copy = with_slack(buf_bytes(&out));
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--) {
            size_t limit = rng_below(&rng, 2) && out.size > 12 ? 12 : out.size;
            copy[rng_below(&rng, limit)] = (uint8_t)rng_next(&rng);
        }
        enum err e = decode(bytes_of(copy, out.size), count, &arena);
        assert_true(e == OK || e == ERR_CORRUPT);
        free(copy);
        buf_fini(&out);
        arena_fini(&arena);
    }
}

struct refused {
    const char *what;
    uint32_t count;
    uint8_t size;
    uint8_t bytes[24];
};

/* The shortest block: flags, schema 0, threshold 0, no spans, no bounds, sum 0, zero count 0, count
 * 0. */
#define EMPTY_LAYOUT 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
#define EMPTY_COUNTS 0x00, 0x00, 0x08, 0x00, 0x08, 0x00

static const struct refused refused[] = {
    {"nothing", 1, 0, {0}},
    {"no histograms", 0, 13, {0x02, EMPTY_LAYOUT, EMPTY_COUNTS}},
    {"too many histograms", CODEC_SAMPLES_MAX + 1, 13, {0x02, EMPTY_LAYOUT, EMPTY_COUNTS}},
    {"unknown flag", 1, 13, {0x12, EMPTY_LAYOUT, EMPTY_COUNTS}},
    {"a hint that is not said to be the only one",
     1,
     15,
     {0x04, EMPTY_LAYOUT, 0x08, 0x00, EMPTY_COUNTS}},
    {"hint 4", 1, 15, {0x00, EMPTY_LAYOUT, 0x08, 0x08, EMPTY_COUNTS}},
    {"schema beyond int32, whose low half is valid",
     1,
     17,
     {0x02, 0x80, 0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0, 0, EMPTY_COUNTS}},
    {"span offset beyond int32, whose low half is valid",
     1,
     21,
     {0x02, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 0, 0, EMPTY_COUNTS, 0x08, 0x00}},
    {"span longer than a histogram may be",
     1,
     18,
     {0x02, 0, 0, 0, 1, 0, 0x81, 0x80, 0x04, 0, 0, EMPTY_COUNTS}},
    {"unknown schema", 1, 13, {0x02, 0x12, 0, 0, 0, 0, EMPTY_COUNTS}},
    {"a span that begins before the end of the one before",
     1,
     19,
     {0x02, 0, 0, 2, 0, 1, 3, 1, 0, 0, EMPTY_COUNTS, 0x08, 0x00, 0x08}},
    {"more spans than bytes", 1, 13, {0x02, 0, 0, 0, 0x7f, 0, 0, EMPTY_COUNTS}},
    {"more buckets than bytes", 1, 16, {0x02, 0, 0, 0, 1, 0, 0x80, 0x02, 0, 0, EMPTY_COUNTS}},
    {"more bounds than a histogram may have",
     1,
     15,
     {0x02, 0, 0, 0, 0, 0, 0x81, 0x80, 0x04, EMPTY_COUNTS}},
};

UNIT_TEST(test_wrong_fields_are_corrupt_and_cheap)
{
    struct arena arena;
    arena_init(&arena, NULL, 64 * 1024, 4096);
    static const uint8_t right[] = {0x02, EMPTY_LAYOUT, EMPTY_COUNTS};
    uint8_t *copy = with_slack(bytes_of(right, sizeof right));
    assert_int_equal(decode(bytes_of(copy, sizeof right), 1, &arena), OK);
    free(copy);
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct refused *r = &refused[i];
        copy = with_slack(bytes_of(r->bytes, r->size));
        if (decode(bytes_of(copy, r->size), r->count, &arena) != ERR_CORRUPT)
            fail_msg("accepted: %s", r->what);
        free(copy);
    }
    arena_fini(&arena);
}

/* Written by hand from docs/format/codec.md: a block of two histograms, whose bytes keep
 * this meaning. */
UNIT_TEST(test_golden_bytes_mean_what_they_always_meant)
{
    static const uint8_t golden[] = {
        0x0a,                   /* integers, one hint: no reset */
        0x06,                   /* schema 3 */
        0x18, 0x02,             /* zero threshold 0.001 */
        0x01, 0x03, 0x02,       /* one positive span: from -2, two buckets */
        0x00, 0x00,             /* no negative spans, no bounds */
        0x09, 0x09, 0x0a, 0x0a, /* sums 0.5 1.0: e = 1, line from 5 by 5 */
        0x08, 0x02,             /* zero counts 1 1 */
        0x09, 0x04, 0x08,       /* first bucket 4 6 */
        0x08, 0x02,             /* second bucket 1 1 */
        0x08, 0x00,             /* counts are the sums: 6 8 */
    };
    uint8_t *copy = with_slack(bytes_of(golden, sizeof golden));
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct histogram h[2];
    assert_int_equal(codec_histogram_decode(bytes_of(copy, sizeof golden), 2, &arena, h), OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(h[i].kind, SAMPLE_HISTOGRAM_INT);
        assert_int_equal(h[i].reset_hint, RESET_NO);
        assert_int_equal(h[i].schema, 3);
        assert_true(bits_double(h[i].zero_threshold_bits) == 0.001);
        assert_true(bits_double(h[i].sum_bits) == (i == 0 ? 0.5 : 1.0));
        assert_int_equal(h[i].zero_count, 1);
        assert_int_equal(h[i].count, i == 0 ? 6 : 8);
        assert_int_equal(h[i].positive.span_count, 1);
        assert_int_equal(h[i].positive.spans[0].offset, -2);
        assert_int_equal(h[i].positive.bucket_count, 2);
        assert_int_equal(h[i].positive.deltas[0], i == 0 ? 4 : 6);
        assert_int_equal(h[i].positive.deltas[1], i == 0 ? -3 : -5);
        assert_null(h[i].negative.deltas);
    }
    arena_fini(&arena);
    free(copy);
}

UNIT_TEST(test_refused_memory_is_reported_and_leaves_the_buffer)
{
    struct recipe recipe = {.kind = SAMPLE_HISTOGRAM_INT,
                            .count = 300,
                            .positive_spans = 3,
                            .span_length_max = 20,
                            .custom_count = 5};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    rng.state = 11;
    struct histogram *h = make_block(&arena, &recipe);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct buf out;
        buf_init(&out, NULL, 1 << 20);
        struct arena to;
        arena_init(&to, NULL, 0, 256);
        mem_fail_nth(nth, false);
        codec_histogram_encode(scratch, h, recipe.count, &out);
        enum err e = buf_error(&out);
        if (e) assert_int_equal(out.size, 0);
        if (e == OK) {
            struct bytes encoded = buf_bytes(&out);
            uint8_t *copy = with_slack(encoded);
            struct hist_columns columns;
            e = codec_histogram_decode(bytes_of(copy, encoded.size), recipe.count, &to, decoded);
            if (e == OK) {
                e = codec_histogram_columns(bytes_of(copy, encoded.size), recipe.count, &to,
                                            &columns);
            }
            free(copy);
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e != OK, fired);
        assert_true(e == OK || e == ERR_NOMEM || e == ERR_LIMIT);
        arena_fini(&to);
        buf_fini(&out);
    }
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_every_shape_come_back),
        cmocka_unit_test(test_blocks_of_every_count_come_back),
        cmocka_unit_test(test_staleness_markers_cost_a_few_bytes),
        cmocka_unit_test(test_float_counts_of_stale_bits_come_back_alone),
        cmocka_unit_test(test_an_idle_histogram_costs_two_bytes_a_column),
        cmocka_unit_test(test_largest_histograms_come_back),
        cmocka_unit_test(test_the_samples_that_fit_are_bounded_by_cells_and_limits),
        cmocka_unit_test(test_every_cut_and_every_extra_byte_is_corrupt),
        cmocka_unit_test(test_mutated_encodings_are_read_within_bounds),
        cmocka_unit_test(test_wrong_fields_are_corrupt_and_cheap),
        cmocka_unit_test(test_golden_bytes_mean_what_they_always_meant),
        cmocka_unit_test(test_refused_memory_is_reported_and_leaves_the_buffer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
