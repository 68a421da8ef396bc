/* chunk_test.c - float chunks: bytes, damage, limits. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "wire/chunk/chunk.h"

enum { SERIES_MAX = 500 };

/* --- collecting what chunk_read() yields ------------------------------------------------------ */

struct sink {
    uint32_t count;
    uint32_t stop_after; /* 0: never */
    int64_t times_ms[SERIES_MAX];
    uint64_t bits[SERIES_MAX];
    struct histogram histograms[SERIES_MAX];
    struct arena *copies;
};

static enum err
collect(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct sink *sink = context;
    if (sink->count == SERIES_MAX) return ERR_LIMIT;
    sink->times_ms[sink->count] = t_ms;
    sink->bits[sink->count] = bits;
    if (h != NULL) sink->histograms[sink->count] = copied_histogram(sink->copies, h);
    sink->count++;
    return sink->stop_after != 0 && sink->count == sink->stop_after ? ERR_CANCELED : OK;
}

struct fixture {
    struct budget budget;
    struct arena arena; /* memory of the reader */
    struct arena copies;
    struct chunk_writer *writer;
    struct sink sink;
    struct bytes kept;
    uint64_t seed; /* seed of the current loop; printed if the test fails in it */
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    budget_init(&f->budget, "test", 0, NULL);
    arena_init(&f->arena, &f->budget, 0, 0);
    arena_init(&f->copies, &f->budget, 0, 0);
    assert_int_equal(chunk_writer_new(&f->budget, &f->writer), OK);
    f->sink.copies = &f->copies;
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->seed != 0) print_error("failed with seed %llu\n", (unsigned long long)f->seed);
    chunk_writer_free(f->writer);
    arena_fini(&f->arena);
    arena_fini(&f->copies);
    int leaked = budget_used(&f->budget) != 0;
    free(f);
    return leaked;
}

static struct bytes
write_floats(struct fixture *f, uint32_t count, const int64_t *times_ms, const uint64_t *bits)
{
    chunk_begin(f->writer);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(chunk_put_floats(f->writer, 1, &times_ms[i], &bits[i]), OK);
    assert_int_equal(chunk_count(f->writer), count);
    struct bytes data = chunk_end(f->writer);
    assert_int_equal(chunk_size(f->writer), data.size);
    return data;
}

static enum err
read_chunk(struct fixture *f, enum chunk_type type, struct bytes data)
{
    f->sink.count = 0;
    arena_reset(&f->arena);
    return chunk_read(type, data, &f->arena, collect, &f->sink);
}

/* --- the layout, bit by bit ------------------------------------------------------------------- */

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
test_xor_chunk_has_the_documented_bits(void **state)
{
    struct fixture *f = *state;
    /* 1.0 = 3ff0..., 1.5 = 3ff8...: bit 51 differs; 2.0 = 4000...: 1.5 ^ 2.0 = 7ff8... */
    const int64_t times_ms[] = {-1, 299, 599, 8791, 8791 + 8192 + 8192, 30000000, 30000001};
    const double values[] = {1, 1.5, 1.5, 1, 1.5, 2, 2};
    uint64_t bits[7];
    for (unsigned i = 0; i < 7; i++)
        bits[i] = double_bits(values[i]);
    struct bytes data = write_floats(f, 7, times_ms, bits);
    check_bits(data, "00000000 00000111" /* 7 samples */
                     "00000001"          /* zigzag(-1) */
                     "00111111 11110000 00000000 00000000 00000000 00000000 00000000 00000000"
                     "10101100 00000010" /* delta 300 */
                     "11 01100 000001 1" /* new window: 12 leading, 1 bit */
                     "0 0"               /* delta 300 again, value again */
                     "10 01111011010100" /* delta 8192: dod 7892 in 14 bits */
                     "10 1"              /* the same window */
                     "10 10000000000000" /* delta 16384: dod 8192, the positive end */
                     "10 1"              /* 1 -> 1.5 */
                     "1111"              /* delta 29974825: dod 29958441 in 64 bits */
                     "00000000 00000000 00000000 00000000 00000001 11001001 00100001 00101001"
                     "11 00001 001100 111111111111" /* 1.5 -> 2: 1 leading, 12 bits */
                     "1111"                         /* delta 1: dod -29974824 */
                     "11111111 11111111 11111111 11111111 11111110 00110110 10011110 11011000"
                     "0");
}

static void
test_dod_classes_include_their_positive_end_only(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t dod;
        unsigned bits; /* size with prefix */
    } cases[] = {{0, 1},          {1, 16},       {8192, 16},    {8193, 20},    {-8191, 16},
                 {-8192, 20},     {65536, 20},   {65537, 24},   {-65535, 20},  {-65536, 24},
                 {524288, 24},    {524289, 68},  {-524287, 24}, {-524288, 68}, {INT64_MAX, 68},
                 {INT64_MIN, 68}, {-524289, 68}, {-1, 16}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* After t = 0 and 0 the third time is the dod; a header of 2+1+8+1 bytes and 1 bit. */
        int64_t times_ms[] = {0, 0, cases[i].dod};
        uint64_t bits[] = {1, 1, 1};
        struct bytes data = write_floats(f, 3, times_ms, bits);
        assert_int_equal(data.size, 12 + (1 + cases[i].bits + 1 + 7) / 8);
        assert_int_equal(read_chunk(f, CHUNK_XOR, data), OK);
        assert_int_equal(f->sink.times_ms[2], cases[i].dod);
    }
}

/* --- round trips ------------------------------------------------------------------------------ */

static void
test_floats_of_every_class_come_back_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    int64_t times_ms[SERIES_MAX];
    uint64_t bits[SERIES_MAX];
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng r = {f->seed = seed};
        uint32_t count = random_series(&r, 1 + (uint32_t)rng_below(&r, SERIES_MAX), times_ms, bits);
        struct bytes data = write_floats(f, count, times_ms, bits);
        bool same = read_chunk(f, CHUNK_XOR, data) == OK && f->sink.count == count &&
                    memcmp(f->sink.times_ms, times_ms, count * sizeof *times_ms) == 0 &&
                    memcmp(f->sink.bits, bits, count * sizeof *bits) == 0;
        assert_true(same);
    }
    f->seed = 0;
}

static void
test_floats_put_together_are_the_same_bytes_as_put_one_by_one(void **state)
{
    struct fixture *f = *state;
    int64_t times_ms[SERIES_MAX];
    uint64_t bits[SERIES_MAX];
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rng r = {f->seed = seed};
        uint32_t count = random_series(&r, SERIES_MAX, times_ms, bits);
        struct bytes once = write_floats(f, count, times_ms, bits);
        struct bytes kept = arena_copy(&f->copies, once);
        chunk_begin(f->writer);
        for (uint32_t at = 0; at < count;) {
            uint32_t some = (uint32_t)rng_below(&r, 9);
            if (some > count - at) some = count - at;
            assert_int_equal(chunk_put_floats(f->writer, some, times_ms + at, bits + at), OK);
            at += some;
        }
        assert_true(bytes_equal(chunk_end(f->writer), kept));
    }
    f->seed = 0;
}

static void
test_full_chunk_refuses_more(void **state)
{
    struct fixture *f = *state;
    int64_t t = 0;
    uint64_t v = 0;
    chunk_begin(f->writer);
    for (unsigned i = 0; i < CHUNK_SAMPLES_MAX; i++)
        assert_int_equal(chunk_put_floats(f->writer, 1, &t, &v), OK);
    assert_int_equal(chunk_put_floats(f->writer, 1, &t, &v), ERR_LIMIT);
    assert_int_equal(chunk_put_floats(f->writer, 0, &t, &v), OK);
    assert_int_equal(chunk_count(f->writer), CHUNK_SAMPLES_MAX);
    struct bytes data = chunk_end(f->writer);
    assert_int_equal(load_be32(data.at) >> 16, 65535);
}

/* --- distrust --------------------------------------------------------------------------------- */

static enum err
keep_chunk(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct fixture *f = context;
    (void)why;
    f->kept = arena_copy(&f->copies, chunk->data);
    return OK;
}

static struct bytes
some_chunk(struct fixture *f, struct rng *r, enum chunk_type type)
{
    if (type == CHUNK_XOR) {
        int64_t times_ms[60];
        uint64_t bits[60];
        uint32_t count = random_series(r, 60, times_ms, bits);
        return write_floats(f, count, times_ms, bits);
    }
    enum sample_kind kind = type == CHUNK_HISTOGRAM ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    struct histogram_chunks *chunks;
    assert_int_equal(histogram_chunks_new(&f->budget, 1 << 20, keep_chunk, f, &chunks), OK);
    struct histogram h = random_histogram(r, &f->copies, kind);
    for (int64_t t = 0; t < 20; t++) {
        assert_int_equal(histogram_chunks_put(chunks, 1, &t, &h, NULL), OK);
        h = random_grown(r, &f->copies, &h);
    }
    assert_int_equal(histogram_chunks_end(chunks, NULL), OK);
    histogram_chunks_free(chunks);
    return f->kept;
}

static void
test_truncated_chunks_are_corrupt(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r = {f->seed = seed};
        enum chunk_type type = (enum chunk_type)(CHUNK_XOR + seed % 3);
        struct bytes data = some_chunk(f, &r, type);
        /* The copy on the heap has the exact size, so that a sanitizer sees reads after its end. */
        for (size_t size = 0; size < data.size; size++) {
            uint8_t *copy = malloc(size + 1);
            assert_non_null(copy);
            memcpy(copy, data.at, size);
            assert_int_equal(read_chunk(f, type, bytes_of(copy, size)), ERR_CORRUPT);
            free(copy);
        }
        arena_reset(&f->copies);
    }
    f->seed = 0;
}

static void
test_mutated_chunks_never_hurt(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r = {f->seed = seed};
        enum chunk_type type = (enum chunk_type)(CHUNK_XOR + seed % 3);
        struct bytes data = some_chunk(f, &r, type);
        uint8_t *copy = malloc(data.size);
        assert_non_null(copy);
        memcpy(copy, data.at, data.size);
        for (unsigned i = 0; i < 1 + seed % 4; i++)
            copy[rng_below(&r, data.size)] = (uint8_t)rng_next(&r);
        enum chunk_type read_as = rng_below(&r, 4) == 0 ? CHUNK_HISTOGRAM : type;
        enum err e = read_chunk(f, read_as, bytes_of(copy, data.size));
        assert_true(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
        free(copy);
        arena_reset(&f->copies);
    }
    f->seed = 0;
}

static void
test_small_chunk_cannot_make_the_reader_take_much_memory(void **state)
{
    struct fixture *f = *state;
    /* One span announces 65536 buckets, and the data end. */
    const uint8_t data[] = {0xff, 0xff, 0, 0, 0x8c, 0xf8, 0x20, 0, 0, 0, 0, 0, 0, 0, 0};
    uint64_t before = budget_used(&f->budget);
    assert_int_equal(read_chunk(f, CHUNK_HISTOGRAM, bytes_of(data, sizeof data)), ERR_CORRUPT);
    assert_true(budget_used(&f->budget) - before < 64 * 1024);
    assert_int_equal(read_chunk(f, CHUNK_UNKNOWN, bytes_of(data, sizeof data)), ERR_CORRUPT);
    assert_int_equal(read_chunk(f, CHUNK_XOR, bytes_of(NULL, 0)), ERR_CORRUPT);
}

static void
test_the_reader_stops_when_its_sink_cancels(void **state)
{
    struct fixture *f = *state;
    struct rng r = {7};
    f->sink.stop_after = 3;
    for (unsigned type = CHUNK_XOR; type <= CHUNK_FLOAT_HISTOGRAM; type++) {
        struct bytes data = some_chunk(f, &r, (enum chunk_type)type);
        assert_int_equal(read_chunk(f, (enum chunk_type)type, data), ERR_CANCELED);
        assert_int_equal(f->sink.count, 3);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static enum err
write_and_read_something(struct budget *budget, struct arena *data)
{
    struct chunk_writer *writer = NULL;
    struct arena arena;
    arena_init(&arena, budget, 0, 0);
    struct sink *sink = calloc(1, sizeof *sink);
    assert_non_null(sink);
    sink->copies = data;
    struct rng r = {3};
    enum err e = chunk_writer_new(budget, &writer);
    if (e) goto out;
    chunk_begin(writer);
    for (int64_t t = 0; t < 400 && e == OK; t++) {
        uint64_t bits = rng_next(&r);
        e = chunk_put_floats(writer, 1, &t, &bits);
    }
    if (e == OK) e = chunk_read(CHUNK_XOR, chunk_end(writer), &arena, collect, sink);
out:
    free(sink);
    chunk_writer_free(writer);
    arena_fini(&arena);
    return e;
}

UNIT_TEST(test_any_failed_allocation_is_an_error_and_leaks_nothing)
{
    for (unsigned nth = 1;; nth++) {
        struct budget budget;
        struct arena data;
        budget_init(&budget, "test", 0, NULL);
        /* The test's own data are allocated before. */
        arena_init(&data, NULL, 0, 1 << 20);
        assert_non_null(arena_alloc(&data, 8));
        mem_fail_nth(nth, nth % 2 == 0);
        enum err e = write_and_read_something(&budget, &data);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&data);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(budget_used(&budget), 0);
        if (!fired) break;
        assert_true(nth < 1000);
    }
}

int
main(void)
{
#define CHUNK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CHUNK_TEST(test_xor_chunk_has_the_documented_bits),
        CHUNK_TEST(test_dod_classes_include_their_positive_end_only),
        CHUNK_TEST(test_floats_of_every_class_come_back_bit_for_bit),
        CHUNK_TEST(test_floats_put_together_are_the_same_bytes_as_put_one_by_one),
        CHUNK_TEST(test_full_chunk_refuses_more),
        CHUNK_TEST(test_truncated_chunks_are_corrupt),
        CHUNK_TEST(test_mutated_chunks_never_hurt),
        CHUNK_TEST(test_small_chunk_cannot_make_the_reader_take_much_memory),
        CHUNK_TEST(test_the_reader_stops_when_its_sink_cancels),
        cmocka_unit_test(test_any_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
