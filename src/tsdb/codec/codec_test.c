/*
 * codec_test.c - encodings of floats, integers and times: values come back, sizes are small, damage
 * is refused.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/codec/codec.h"
#include "wire/shape.h"

static struct rng rng;

/* Returns a number of random length. */
static uint64_t
random_short(void)
{
    return rng_next(&rng) >> rng_below(&rng, 64);
}

static double
random_unit(void)
{
    return (double)(rng_next(&rng) >> 11) * 0x1p-53;
}

/* --- sorts of values -------------------------------------------------------------------------- */

static const uint64_t special_bits[] = {
    0x8000000000000000u, /* -0 */
    0,
    0x7ff0000000000000u, /* Inf */
    0xfff0000000000000u,
    NORMAL_NAN_BITS,
    STALE_NAN_BITS,
    0xfff8000000000000u,
    0x7ff0000000000001u, /* signalling */
    0xffffffffffffffffu,
    1, /* the least subnormal */
    0x000fffffffffffffu,
    0x800fffffffffffffu,
    0x7fefffffffffffffu, /* the greatest */
    0xffefffffffffffffu,
    0x43e0000000000000u, /* 2^63 */
    0xc3e0000000000000u,
    0x43dfffffffffffffu, /* just below it */
    0x4340000000000000u, /* 2^53 */
    0x4340000000000001u,
    0x433fffffffffffffu,
    0x4320000000000000u, /* 2^51 */
    0xc320000000000000u,
    0x431fffffffffffffu,
};
enum { SPECIAL_COUNT = sizeof special_bits / sizeof *special_bits };

enum sort {
    RANDOM_BITS,
    CONSTANT,
    CONSTANT_REAL,
    COUNTER,
    COUNTER_THAT_RESETS,
    SLOW_COUNTER,
    STRAIGHT_LINE,
    PARABOLA,
    BYTES_OF_PAGES,
    HUGE_INTEGERS,
    CPU_SECONDS,
    DECIMALS,
    DECIMALS_OF_MANY_DIGITS,
    SUM_OF_DECIMALS,
    WALK,
    FLOAT32,
    NEGATIVE_FLOAT32,
    SUBNORMALS,
    SPECIALS_ALONE,
    SPECIALS_AMONG_INTEGERS,
    SPECIALS_AMONG_DECIMALS,
    SPECIALS_AMONG_REALS,
    STALE_IN_THE_MIDDLE,
    OUTLIERS_EVERYWHERE,
    ONE_OUTLIER,
    TWO_VALUES,
    SORT_COUNT
};

static void
sprinkle_specials(uint64_t *bits, uint32_t count)
{
    uint32_t one_in = 1 + (uint32_t)rng_below(&rng, 40);
    for (uint32_t i = 0; i < count; i++)
        if (rng_below(&rng, one_in) == 0) bits[i] = special_bits[rng_below(&rng, SPECIAL_COUNT)];
}

static double
value_of_sort(enum sort sort, uint32_t i, double *state)
{
    switch (sort) {
    case COUNTER:
    case STALE_IN_THE_MIDDLE:
    case SPECIALS_AMONG_INTEGERS:
        return *state += (double)rng_below(&rng, 200);
    case COUNTER_THAT_RESETS:
        if (rng_below(&rng, 50) == 0) *state = 0;
        return *state += (double)rng_below(&rng, 200);
    case SLOW_COUNTER:
        return *state += rng_below(&rng, 30) == 0;
    case STRAIGHT_LINE:
        return *state + 15.0 * i;
    case PARABOLA:
        return *state + 3.0 * i * i - 7.0 * i;
    case BYTES_OF_PAGES:
        return *state += 4096.0 * ((double)rng_below(&rng, 20) - 10);
    case CPU_SECONDS:
    case SPECIALS_AMONG_DECIMALS:
        *state += (double)rng_below(&rng, 100);
        return *state / 100;
    case DECIMALS:
        return ((double)rng_below(&rng, 100000) - 50000) / 1000;
    case DECIMALS_OF_MANY_DIGITS:
        return (double)rng_below(&rng, 1000000000000000u) / 1e12;
    case SUM_OF_DECIMALS:
        return *state += (double)rng_below(&rng, 100000000) / 1e9;
    case WALK:
    case SPECIALS_AMONG_REALS:
        return *state += random_unit() - 0.5;
    case OUTLIERS_EVERYWHERE:
        return (double)(rng_below(&rng, 3) == 0 ? rng_next(&rng) >> 20 : rng_below(&rng, 8));
    case ONE_OUTLIER:
        return i == 77 ? 1e14 : 3;
    case TWO_VALUES:
        return rng_below(&rng, 2) ? 0.1 : 12345.678;
    default:
        return *state;
    }
}

static void
fill(uint64_t *bits, uint32_t count, enum sort sort)
{
    double state = (double)rng_below(&rng, 1000000);
    uint64_t word = rng_next(&rng);
    for (uint32_t i = 0; i < count; i++) {
        bits[i] = double_bits(value_of_sort(sort, i, &state));
        if (sort == RANDOM_BITS) bits[i] = rng_next(&rng);
        if (sort == CONSTANT_REAL) bits[i] = word;
        if (sort == HUGE_INTEGERS) bits[i] = double_bits((double)(int64_t)rng_next(&rng));
        if (sort == FLOAT32) bits[i] = double_bits((double)(float)random_unit());
        if (sort == NEGATIVE_FLOAT32) bits[i] = double_bits(-(double)(float)random_unit());
        if (sort == SUBNORMALS) bits[i] = rng_next(&rng) & 0x800fffffffffffffu;
        if (sort == SPECIALS_ALONE) bits[i] = special_bits[rng_below(&rng, SPECIAL_COUNT)];
        if (sort == STALE_IN_THE_MIDDLE && rng_below(&rng, 20) == 0) bits[i] = STALE_NAN_BITS;
    }
    if (sort >= SPECIALS_AMONG_INTEGERS && sort <= SPECIALS_AMONG_REALS)
        sprinkle_specials(bits, count);
}

/* --- round trips ------------------------------------------------------------------------------ */

static struct codec_scratch *scratch;
static uint64_t values[CODEC_SAMPLES_MAX], decoded[CODEC_SAMPLES_MAX];

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

/* Copies to memory that ends CODEC_SLACK bytes after the copy, so that reading further
 * is noticed. */
static uint8_t *
with_slack(struct bytes encoded)
{
    uint8_t *copy = malloc(encoded.size + CODEC_SLACK);
    assert_non_null(copy);
    memcpy(copy, encoded.at, encoded.size);
    memset(copy + encoded.size, 0xa5, CODEC_SLACK);
    return copy;
}

enum kind { FLOATS, TIMES, INTEGERS };

static void
encode(enum kind kind, const uint64_t *v, uint32_t count, struct buf *out)
{
    if (kind == FLOATS) codec_float_encode(scratch, v, count, out);
    if (kind == TIMES) codec_times_encode(scratch, (const int64_t *)v, count, out);
    if (kind == INTEGERS) codec_int_encode(scratch, (const int64_t *)v, count, out);
}

static enum err
decode(enum kind kind, struct bytes encoded, uint32_t count, uint64_t *ret)
{
    if (kind == FLOATS) return codec_float_decode_from(encoded, 0, count, ret);
    struct cursor cursor = cursor_of(encoded);
    enum err e = codec_int_decode(&cursor, count, (int64_t *)ret);
    return e == OK && cursor_left(&cursor) > 0 ? ERR_CORRUPT : e;
}

/* Returns the encoded size. `what` and the seed are printed if the values do not come back. */
static size_t
check_comes_back(enum kind kind, const uint64_t *v, uint32_t count, const char *what, unsigned sort,
                 uint64_t started_with)
{
    struct buf out;
    buf_init(&out, NULL, 1 << 20);
    encode(kind, v, count, &out);
    assert_int_equal(buf_error(&out), OK);
    uint8_t *copy = with_slack(buf_bytes(&out));
    enum err e = decode(kind, bytes_of(copy, out.size), count, decoded);
    if (e != OK || memcmp(v, decoded, count * sizeof *v) != 0) {
        uint32_t at = 0;
        while (at < count && v[at] == decoded[at])
            at++;
        fail_msg("%s sort %u, %u values, seed %#llx: error %d, unlike from %u", what, sort, count,
                 (unsigned long long)started_with, (int)e, at);
    }
    size_t size = out.size;
    free(copy);
    buf_fini(&out);
    return size;
}

static size_t
float_size(const uint64_t *v, uint32_t count)
{
    return check_comes_back(FLOATS, v, count, "floats", 0, 0);
}

static const uint32_t boundary_counts[] = {1,   2,   3,   4,   7,    8,    9,    63,
                                           64,  65,  126, 127, 128,  129,  130,  131,
                                           255, 256, 257, 258, 1023, 1024, 8191, 8192};
enum { BOUNDARY_COUNT = sizeof boundary_counts / sizeof *boundary_counts };

UNIT_TEST(test_values_of_every_sort_and_length_come_back_bit_for_bit)
{
    for (unsigned sort = 0; sort < SORT_COUNT; sort++) {
        for (unsigned i = 0; i < BOUNDARY_COUNT; i++) {
            uint64_t started_with = rng.state = 1000 * sort + i;
            fill(values, boundary_counts[i], sort);
            check_comes_back(FLOATS, values, boundary_counts[i], "floats", sort, started_with);
        }
        for (unsigned round = 0; round < 40; round++) {
            uint64_t started_with = rng.state = 100000 + 1000 * sort + round;
            uint32_t count = 1 + (uint32_t)rng_below(&rng, 300);
            fill(values, count, sort);
            check_comes_back(FLOATS, values, count, "floats", sort, started_with);
        }
    }
}

/* Fills an array with integers whose differences have random lengths, any sign and any divisor. */
static void
fill_integers(uint64_t *v, uint32_t count, unsigned sort)
{
    uint64_t value = rng_next(&rng), delta = random_short(), length = rng_below(&rng, 64);
    uint64_t factor = sort & 1 ? random_short() : 1;
    bool rare = rng_below(&rng, 2) != 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t x = (rng_next(&rng) >> length) * factor;
        if (rare && rng_below(&rng, 9) == 0) x = rng_next(&rng);
        if (rng_below(&rng, 2)) x = 0 - x;
        delta += x;
        value += sort / 2 == 1 ? x : delta;
        v[i] = sort / 2 == 0 ? x : value;
        if (sort == 6) v[i] = i * factor;
        if (sort == 7) v[i] = rng_below(&rng, 2) ? (uint64_t)INT64_MIN : (uint64_t)INT64_MAX;
    }
}

UNIT_TEST(test_integers_of_every_length_come_back)
{
    for (unsigned sort = 0; sort < 8; sort++) {
        for (unsigned i = 0; i < BOUNDARY_COUNT; i++) {
            for (unsigned round = 0; round < 6; round++) {
                uint64_t started_with = rng.state = 10000 * sort + 100 * i + round;
                fill_integers(values, boundary_counts[i], sort);
                check_comes_back(INTEGERS, values, boundary_counts[i], "integers", sort,
                                 started_with);
                check_comes_back(TIMES, values, boundary_counts[i], "times", sort, started_with);
            }
        }
    }
}

UNIT_TEST(test_every_width_comes_back_with_every_rest)
{
    for (unsigned w = 0; w <= 64; w++) {
        for (uint32_t count = 120; count <= 136; count++) {
            uint64_t started_with = rng.state = 1000 * w + count;
            for (uint32_t i = 0; i < count; i++) {
                uint64_t x = w == 0 ? 0 : rng_next(&rng) >> (64 - w);
                values[i] = (uint64_t)unzigzag(x);
            }
            check_comes_back(INTEGERS, values, count, "width", w, started_with);
        }
    }
}

UNIT_TEST(test_exceptions_of_every_height_and_number_come_back)
{
    for (unsigned h = 1; h <= 60; h++) {
        for (uint32_t exceptions = 1; exceptions <= 127; exceptions += 9) {
            uint64_t started_with = rng.state = 1000 * h + exceptions;
            for (uint32_t i = 0; i < 128; i++)
                values[i] = rng_below(&rng, 8);
            for (uint32_t i = 0; i < exceptions; i++) {
                uint64_t high = rng_next(&rng) >> (64 - h);
                if (i % 3 != 0) high >>= rng_below(&rng, h); /* uneven: varints */
                values[rng_below(&rng, 128)] = high << 3;
            }
            check_comes_back(INTEGERS, values, 128, "exceptions", h, started_with);
        }
    }
}

UNIT_TEST(test_scrape_times_come_back_in_little)
{
    static const uint32_t jitters[] = {0, 1, 5, 50, 500};
    for (unsigned j = 0; j < 5; j++) {
        uint64_t started_with = rng.state = j;
        int64_t t = 1700000000000;
        for (uint32_t i = 0; i < 1024; i++, t += 15000) {
            values[i] = (uint64_t)t + rng_below(&rng, 2 * jitters[j] + 1);
            if (rng_below(&rng, 300) == 0) t += 60000; /* a gap */
        }
        size_t size = check_comes_back(TIMES, values, 1024, "scrapes", j, started_with);
        assert_true(size < 200 + 1024 * 12 / 8);
    }
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* The line is that through both ends, or, if the last value is late, that through the middle. */
UNIT_TEST(test_times_near_a_line_cost_their_distance_from_it)
{
    for (unsigned is_late = 0; is_late < 2; is_late++) {
        uint64_t started_with = rng.state = is_late;
        for (uint32_t i = 0; i < 1024; i++) {
            bool is_fixed = i == 0 || i == 511 || i == 512 || i == 1023;
            values[i] = 1700000000000 + 15001 * (uint64_t)i + (is_fixed ? 0 : rng_below(&rng, 8));
        }
        if (is_late)
            values[1023] += 5000;
        else
            values[512] += 7;
        size_t size = check_comes_back(TIMES, values, 1024, "line", is_late, started_with);
        assert_true(size < 1024 * 3 / 8 + 40);
    }
}

UNIT_TEST(test_constants_cost_a_few_bytes_at_any_length)
{
    static const double constants[] = {0, 1, -1, 0.25, 0.1, 63, 12345.678, 1e-12};
    for (unsigned c = 0; c < 8; c++) {
        for (unsigned i = 0; i < BOUNDARY_COUNT; i++) {
            for (uint32_t j = 0; j < boundary_counts[i]; j++)
                values[j] = double_bits(constants[c]);
            assert_in_range(float_size(values, boundary_counts[i]), 1, 5);
        }
    }
    for (uint32_t j = 0; j < 8192; j++)
        values[j] = NORMAL_NAN_BITS;
    assert_int_equal(float_size(values, 8192), 9);
}

UNIT_TEST(test_straight_lines_cost_a_few_bytes_at_any_length)
{
    for (unsigned i = 0; i < BOUNDARY_COUNT; i++) {
        for (uint32_t j = 0; j < boundary_counts[i]; j++)
            values[j] = double_bits(1234.5 + 0.25 * j);
        assert_in_range(float_size(values, boundary_counts[i]), 1, 14);
    }
}

UNIT_TEST(test_a_parabola_costs_a_few_bytes)
{
    for (uint32_t i = 0; i < 1024; i++)
        values[i] = double_bits((double)i * i);
    assert_in_range(float_size(values, 1024), 1, 14);
}

UNIT_TEST(test_a_staleness_marker_at_the_end_costs_nothing)
{
    for (unsigned i = 0; i + 1 < BOUNDARY_COUNT; i++) {
        uint32_t count = boundary_counts[i];
        rng.state = i;
        fill(values, count, COUNTER);
        size_t without = float_size(values, count);
        values[count] = STALE_NAN_BITS;
        assert_int_equal(float_size(values, count + 1), without);
    }
    values[0] = STALE_NAN_BITS;
    assert_int_equal(float_size(values, 1), 1);
}

UNIT_TEST(test_few_specials_do_not_spoil_a_block)
{
    rng.state = 1;
    fill(values, 1024, CPU_SECONDS);
    size_t without = float_size(values, 1024);
    for (unsigned i = 0; i < SPECIAL_COUNT; i++)
        values[40 * i + 3] = special_bits[i];
    assert_true(float_size(values, 1024) < without + SPECIAL_COUNT * 18);
    values[0] = values[1] = NORMAL_NAN_BITS;
    assert_true(float_size(values, 1024) < without + (SPECIAL_COUNT + 2) * 18);
}

UNIT_TEST(test_random_bits_cost_no_more_than_themselves)
{
    rng.state = 2;
    for (unsigned i = 0; i < BOUNDARY_COUNT; i++) {
        uint32_t count = boundary_counts[i];
        fill(values, count, RANDOM_BITS);
        assert_true(float_size(values, count) <= 8 * count + count / 64 + 30);
    }
}

UNIT_TEST(test_sums_of_decimals_are_decimals_with_corrections)
{
    rng.state = 3;
    fill(values, 1024, SUM_OF_DECIMALS);
    assert_true(float_size(values, 1024) < 1024 * 6);
    fill(values, 1024, NEGATIVE_FLOAT32);
    assert_true(float_size(values, 1024) < 1024 * 5);
    fill(values, 1024, FLOAT32);
    assert_true(float_size(values, 1024) < 1024 * 5);
}

UNIT_TEST(test_a_common_divisor_is_taken_out)
{
    rng.state = 4;
    fill(values, 1024, BYTES_OF_PAGES);
    assert_true(float_size(values, 1024) < 1024);
}

/* --- invalid encodings ------------------------------------------------------------------------ */

UNIT_TEST(test_every_cut_and_every_extra_byte_is_corrupt)
{
    for (unsigned sort = 0; sort < SORT_COUNT; sort++) {
        rng.state = 7000 + sort;
        fill(values, 150, sort);
        for (enum kind kind = FLOATS; kind <= INTEGERS; kind++) {
            struct buf out;
            buf_init(&out, NULL, 1 << 20);
            encode(kind, values, 150, &out);
            buf_put_u8(&out, 0);
            for (size_t size = 0; size <= out.size; size++) {
                if (size + 1 == out.size) continue;
                uint8_t *copy = with_slack(bytes_of(out.at, size));
                assert_int_equal(decode(kind, bytes_of(copy, size), 150, decoded), ERR_CORRUPT);
                free(copy);
            }
            buf_fini(&out);
        }
    }
}

UNIT_TEST(test_mutated_encodings_are_read_within_bounds)
{
    for (unsigned round = 0; round < 6000; round++) {
        rng.state = 9000 + round;
        enum kind kind = (enum kind)rng_below(&rng, 3);
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 400);
        fill(values, count, (enum sort)rng_below(&rng, SORT_COUNT));
        struct buf out;
        buf_init(&out, NULL, 1 << 20);
        encode(kind, values, count, &out);
        uint8_t *copy = with_slack(buf_bytes(&out));
        for (uint64_t n = 1 + rng_below(&rng, 4); n > 0; n--) {
            /* Most damage is near the start, where the headers are. */
            size_t limit = rng_below(&rng, 2) && out.size > 8 ? 8 : out.size;
            copy[rng_below(&rng, limit)] = (uint8_t)rng_next(&rng);
        }
        enum err e = decode(kind, bytes_of(copy, out.size), count, decoded);
        assert_true(e == OK || e == ERR_CORRUPT);
        free(copy);
        buf_fini(&out);
    }
}

struct refused {
    const char *what;
    enum kind kind;
    uint32_t count;
    uint8_t size;
    uint8_t bytes[24];
};

static const struct refused refused[] = {
    {"nothing", FLOATS, 1, 0, {0}},
    {"no values", FLOATS, 0, 2, {0x00, 0x02}},
    {"too many values", FLOATS, CODEC_SAMPLES_MAX + 1, 2, {0x00, 0x02}},
    {"constant with e = 16", FLOATS, 1, 2, {16 << 3, 0x02}},
    {"constant with e = 30", FLOATS, 1, 2, {30 << 3, 0x02}},
    {"raw constant of 7 bytes", FLOATS, 1, 8, {31 << 3, 1, 2, 3, 4, 5, 6, 7}},
    {"decimal with e = 16", FLOATS, 2, 3, {16 << 3 | 1, 0x08, 0x02}},
    {"corrected with e = 31", FLOATS, 2, 5, {31 << 3 | 2, 0x08, 0x02, 0x08, 0x02}},
    {"corrected without corrections", FLOATS, 2, 3, {2, 0x08, 0x02}},
    {"bits with an e", FLOATS, 2, 4, {1 << 3 | 3, 0, 0x08, 0x02}},
    {"bits shifted by 64", FLOATS, 2, 4, {3, 64, 0x08, 0x02}},
    {"lone marker with a type", FLOATS, 1, 1, {4 | 1}},
    {"lone marker with an e", FLOATS, 1, 1, {4 | 1 << 3}},
    {"stream header 0x20", INTEGERS, 2, 3, {0x20, 2, 2}},
    {"divisor twice", INTEGERS, 2, 8, {0x10, 2, 0, 0x10, 2, 0, 0x08, 2}},
    {"divisor 0", INTEGERS, 2, 5, {0x10, 0, 0, 0x08, 2}},
    {"second differences of one value", INTEGERS, 1, 4, {0x0a, 0, 0, 0}},
    {"base of 11 bytes",
     INTEGERS,
     1,
     12,
     {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}},
    {"base beyond 64 bits",
     INTEGERS,
     1,
     11,
     {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}},
    {"width 65", INTEGERS, 1, 11, {0x04, 65, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
    {"width 64 with exceptions", INTEGERS, 1, 14, {0x04, 64 | 128, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}},
    {"more exceptions than values", INTEGERS, 2, 9, {0x04, 128, 2, 1, 0, 0, 0, 0, 0}},
    {"exception behind the frame", INTEGERS, 2, 6, {0x04, 128, 0, 1, 2, 0}},
    {"exceptions in disorder", INTEGERS, 4, 7, {0x04, 128, 1, 0, 3 | 1 << 7, 0, 0}},
    {"exception twice", INTEGERS, 4, 6, {0x04, 128, 1, 0, 0x81, 0}},
    {"height above 64 - w",
     INTEGERS,
     1,
     15,
     {0x04, 60 | 128, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {"height 129", INTEGERS, 1, 24, {0x04, 128, 0, 129, 0}},
    {"varint exception cut", INTEGERS, 1, 6, {0x04, 128, 0, 128, 0, 0x80}},
};

UNIT_TEST(test_wrong_fields_are_corrupt)
{
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct refused *r = &refused[i];
        uint8_t *copy = with_slack(bytes_of(r->bytes, r->size));
        if (decode(r->kind, bytes_of(copy, r->size), r->count, decoded) != ERR_CORRUPT)
            fail_msg("accepted: %s", r->what);
        free(copy);
    }
}

/* --- the format stays what it is -------------------------------------------------------------- */

struct golden {
    enum kind kind;
    uint32_t count;
    uint8_t size;
    uint8_t bytes[24];
    double floats[6];
    int64_t integers[6];
};

/* Written by hand from docs/format/codec.md: these bytes keep this meaning. */
static const struct golden goldens[] = {
    {FLOATS, 3, 2, {0x00, 0x0a}, .floats = {5, 5, 5}},
    {FLOATS, 2, 3, {0x08, 0xf5, 0x01}, .floats = {-12.3, -12.3}},
    {FLOATS, 1, 9, {0xf8, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5, 0x3f}, .floats = {1.0 / 3}},
    /* e = 2, straight line: 1.25 + i * 0.25 */
    {FLOATS, 4, 5, {0x11, 0x09, 0x32, 0xfa, 0x01}, .floats = {1.25, 1.50, 1.75, 2.00}},
    /* corrections: k = 1, 2; r = 0, 1 */
    {FLOATS,
     2,
     7,
     {0x0a, 0x09, 0x02, 0x02, 0x09, 0x02, 0x00},
     .floats = {0.1, 0x1.999999999999bp-3}},
    /* bits, shifted by 52: 1.0 is 0x3ff, 2.0 is 0x400, -1.0 is -0x3ff, -0.0 the least */
    {FLOATS,
     4,
     10,
     {0x03, 0x34, 0x04, 0x0c, 0xfe, 0x07, 0x80, 0xfd, 0xf7, 0xff},
     .floats = {1, 2, -1, -0.0}},
    {INTEGERS, 3, 2, {0x08, 0x0d}, .integers = {-7, -7, -7}},
    /* plain, zigzag, width 3 */
    {INTEGERS, 3, 4, {0x04, 0x03, 0x84, 0x01}, .integers = {2, 0, 3}},
    /* plain, base 100, width 2 */
    {INTEGERS, 4, 5, {0x00, 0xc8, 0x01, 0x02, 0xe4}, .integers = {100, 101, 102, 103}},
    /* second differences all zero */
    {INTEGERS, 4, 3, {0x0e, 0x02, 0x04}, .integers = {1, 3, 5, 7}},
    /* second differences all 2: squares */
    {INTEGERS, 5, 4, {0x0a, 0x04, 0x00, 0x02}, .integers = {0, 1, 4, 9, 16}},
    /* line of step 10, distances 0 -1 2 as zigzag in 3 bits */
    {TIMES, 4, 7, {0x07, 0xc8, 0x01, 0x14, 0x03, 0x08, 0x01}, .integers = {100, 110, 119, 132}},
    /* divisor 1000 from 7, plain quotients 0 1 3 in 2 bits */
    {INTEGERS, 3, 8, {0x10, 0xe8, 0x07, 0x0e, 0x00, 0x00, 0x02, 0x34}, .integers = {7, 1007, 3007}},
    /* width 1, one exception at 2: high part 2 - 1 in one bit */
    {INTEGERS, 4, 8, {0x00, 0x00, 0x81, 0x00, 0x01, 0x0b, 0x02, 0x01}, .integers = {1, 1, 4, 1}},
    /* the same exception as a varint */
    {INTEGERS, 4, 8, {0x00, 0x00, 0x81, 0x00, 0x80, 0x0b, 0x02, 0x01}, .integers = {1, 1, 4, 1}},
};

UNIT_TEST(test_golden_bytes_mean_what_they_always_meant)
{
    for (unsigned i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const struct golden *g = &goldens[i];
        uint8_t *copy = with_slack(bytes_of(g->bytes, g->size));
        enum err e = decode(g->kind, bytes_of(copy, g->size), g->count, decoded);
        const void *expected = g->kind == FLOATS ? (const void *)g->floats : g->integers;
        if (e != OK || memcmp(decoded, expected, g->count * 8) != 0) {
            for (uint32_t j = 0; j < g->count; j++) {
                print_message("%016llx %g\n", (unsigned long long)decoded[j],
                              bits_double(decoded[j]));
            }
            fail_msg("golden %u: error %d", i, (int)e);
        }
        free(copy);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_refused_memory_leaves_the_buffer_as_it_was)
{
    mem_fail_nth(1, false);
    struct codec_scratch *none;
    assert_int_equal(codec_scratch_new(NULL, &none), ERR_NOMEM);
    mem_fail_nth(0, false);
    codec_scratch_free(NULL);

    rng.state = 5;
    fill(values, 500, RANDOM_BITS);
    for (enum kind kind = FLOATS; kind <= INTEGERS; kind++) {
        struct buf out;
        buf_init(&out, NULL, 1 << 20);
        buf_put_u8(&out, 7);
        mem_fail_nth(1, true);
        encode(kind, values, 500, &out);
        mem_fail_nth(0, false);
        assert_int_equal(buf_error(&out), ERR_NOMEM);
        assert_int_equal(out.size, 1);
        buf_fini(&out);
    }
}

UNIT_TEST(test_scratch_is_charged_and_given_back)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct codec_scratch *one;
    assert_int_equal(codec_scratch_new(&budget, &one), OK);
    assert_in_range(budget_used(&budget), 1, 512 * 1024);
    codec_scratch_free(one);
    assert_int_equal(budget_used(&budget), 0);
}

/* --- single values ---------------------------------------------------------------------------- */

/* Computes the decimal by definition: slowly, through text. */
static bool
decimal_by_text(uint64_t bits, unsigned *ret_e, int64_t *ret_k)
{
    for (unsigned e = 0; e <= 11; e++) {
        char text[400], digits[400];
        snprintf(text, sizeof text, "%.*f", (int)e, bits_double(bits));
        if (double_bits(strtod(text, NULL)) != bits) continue;
        size_t n = 0;
        for (const char *c = text; *c != 0; c++)
            if (*c != '.') digits[n++] = *c;
        digits[n] = 0;
        if (n > 18) return false;
        *ret_k = strtoll(digits, NULL, 10);
        *ret_e = e;
        return llabs(*ret_k) < INT64_C(1) << 53 && (*ret_k != 0 || bits == 0);
    }
    return false;
}

UNIT_TEST(test_decimal_view_is_the_shortest_decimal)
{
    rng.state = 6;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t scale = 1;
        for (uint64_t n = rng_below(&rng, 14); n > 0; n--)
            scale *= 10;
        int64_t whole = (int64_t)rng_next(&rng) >> (9 + rng_below(&rng, 54));
        uint64_t bits = double_bits((double)whole / (double)scale);
        if (rng_below(&rng, 8) == 0) bits ^= 1;
        unsigned e, expected_e;
        int64_t k, expected_k;
        bool found = codec_decimal(bits, 0, &e, &k);
        bool expected = decimal_by_text(bits, &expected_e, &expected_k);
        if (found != expected)
            print_message("%.17g %016lx %d %ld\n", bits_double(bits), bits, expected_e, expected_k);
        assert_int_equal(found, expected);
        if (!found) continue;
        assert_int_equal(e, expected_e);
        /* Above 2^52 two neighbours can be the same double. */
        if (llabs(k) < INT64_C(1) << 52) assert_int_equal(k, expected_k);
        assert_int_equal(codec_decimal_bits(e, k), bits);
    }
}

UNIT_TEST(test_decimal_view_follows_the_hint)
{
    unsigned e;
    int64_t k;
    assert_true(codec_decimal(double_bits(1.5), 3, &e, &k));
    assert_int_equal(e, 3);
    assert_int_equal(k, 1500);
    assert_true(codec_decimal(double_bits(1.5), 0, &e, &k));
    assert_int_equal(e, 1);
    assert_int_equal(k, 15);
    assert_true(codec_decimal(double_bits(-0.125), 1, &e, &k));
    assert_int_equal(e, 3);
    assert_int_equal(k, -125);
    assert_true(codec_decimal(double_bits(9e15), 11, &e, &k)); /* too large for the hint */
    assert_int_equal(e, 0);
    assert_int_equal(k, 9000000000000000);
    assert_true(codec_decimal(double_bits(123456789.25), 11, &e, &k));
    assert_int_equal(e, 2);
}

UNIT_TEST(test_decimal_view_refuses_a_value_that_is_not_a_decimal)
{
    for (unsigned hint = 0; hint <= 11; hint++) {
        unsigned e;
        int64_t k;
        assert_false(codec_decimal(0x8000000000000000u, hint, &e, &k));
        assert_false(codec_decimal(NORMAL_NAN_BITS, hint, &e, &k));
        assert_false(codec_decimal(STALE_NAN_BITS, hint, &e, &k));
        assert_false(codec_decimal(0x7ff0000000000000u, hint, &e, &k));
        assert_false(codec_decimal(0xfff0000000000000u, hint, &e, &k));
        assert_false(codec_decimal(1, hint, &e, &k));
        assert_false(codec_decimal(double_bits(1.0 / 3), hint, &e, &k));
        assert_false(codec_decimal(double_bits(0x1p53), hint, &e, &k));
        assert_false(codec_decimal(double_bits(-0x1p60), hint, &e, &k));
        assert_false(codec_decimal(double_bits(1e-12), hint, &e, &k));
    }
}

UNIT_TEST(test_statistics_are_those_of_a_plain_loop)
{
    for (uint32_t count = 0; count < 70; count++) {
        rng.state = 80 + count;
        double min = 1.0 / 0.0, max = -1.0 / 0.0, sum = 0, first = min, last = max;
        uint32_t numbers = 0, resets = 0;
        uint32_t nan_every = count % 3 == 0 ? UINT32_MAX : 5; /* often without NaN */
        for (uint32_t i = 0; i < count; i++) {
            double v = (double)rng_below(&rng, 1000) - 500; /* sums are exact */
            values[i] = double_bits(v);
            if (rng_below(&rng, nan_every) == 0) {
                values[i] = NORMAL_NAN_BITS;
                continue;
            }
            if (numbers == 0) first = v;
            resets += numbers > 0 && v < last;
            last = v;
            numbers++;
            sum += v;
            min = v < min ? v : min;
            max = v > max ? v : max;
        }
        struct codec_stats stats;
        codec_float_stats(values, count, &stats);
        assert_true(stats.min == min);
        assert_true(stats.max == max);
        assert_true(stats.sum == sum);
        assert_true(stats.first == first);
        assert_true(stats.last == last);
        assert_int_equal(stats.number_count, numbers);
        assert_int_equal(stats.reset_count, resets);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_sort_and_length_come_back_bit_for_bit),
        cmocka_unit_test(test_integers_of_every_length_come_back),
        cmocka_unit_test(test_every_width_comes_back_with_every_rest),
        cmocka_unit_test(test_exceptions_of_every_height_and_number_come_back),
        cmocka_unit_test(test_scrape_times_come_back_in_little),
        cmocka_unit_test(test_times_near_a_line_cost_their_distance_from_it),
        cmocka_unit_test(test_constants_cost_a_few_bytes_at_any_length),
        cmocka_unit_test(test_straight_lines_cost_a_few_bytes_at_any_length),
        cmocka_unit_test(test_a_parabola_costs_a_few_bytes),
        cmocka_unit_test(test_a_staleness_marker_at_the_end_costs_nothing),
        cmocka_unit_test(test_few_specials_do_not_spoil_a_block),
        cmocka_unit_test(test_random_bits_cost_no_more_than_themselves),
        cmocka_unit_test(test_sums_of_decimals_are_decimals_with_corrections),
        cmocka_unit_test(test_a_common_divisor_is_taken_out),
        cmocka_unit_test(test_every_cut_and_every_extra_byte_is_corrupt),
        cmocka_unit_test(test_mutated_encodings_are_read_within_bounds),
        cmocka_unit_test(test_wrong_fields_are_corrupt),
        cmocka_unit_test(test_golden_bytes_mean_what_they_always_meant),
        cmocka_unit_test(test_refused_memory_leaves_the_buffer_as_it_was),
        cmocka_unit_test(test_scratch_is_charged_and_given_back),
        cmocka_unit_test(test_decimal_view_is_the_shortest_decimal),
        cmocka_unit_test(test_decimal_view_follows_the_hint),
        cmocka_unit_test(test_decimal_view_refuses_a_value_that_is_not_a_decimal),
        cmocka_unit_test(test_statistics_are_those_of_a_plain_loop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
