/* remote_read_client_test.c - answers of rr_stream_*() are received unchanged, in pieces of any
 * size; others are refused. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "wire/remote/remote_read.h"

enum { SERIES = 12, SAMPLES = 700, FRAME = 4096 };

static int64_t times[SERIES][SAMPLES];
static uint64_t bits[SERIES][SAMPLES];

struct got {
    int series;
    uint32_t at;
    uint32_t histograms;
    char notices[200]; /* "KIND TEXT\n"... */
    int64_t min_ms, max_ms;
    struct rr_decoder *decoder;
};

/* Returns a label a="<number>" in canonical bytes. */
static struct bytes
labels_of(unsigned number, uint8_t to[10])
{
    const uint8_t made[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, (uint8_t)('a' + number)};
    memcpy(to, made, sizeof made);
    return bytes_of(to, sizeof made);
}

static enum err
sink_write(void *context, struct bytes piece, struct why *why)
{
    (void)why;
    buf_put_bytes(context, piece);
    return OK;
}

/* Makes an answer with ascending times around now, so that ranges can be cut. */
static void
make_answer(struct buf *to)
{
    struct rng rng = {11};
    struct arena arena;
    struct rr_sink sink = {sink_write, to};
    struct rr_stream *stream;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(rr_stream_new(&sink, FRAME, NULL, &stream), OK);
    assert_int_equal(rr_stream_query(stream, 0, NULL), OK);
    for (unsigned i = 0; i < SERIES; i++) {
        uint8_t name[10];
        for (int n = 0; n < SAMPLES; n++) {
            times[i][n] = 1000 + n * 10;
            bits[i][n] = random_value(&rng, i % RANDOM_VALUE_CLASSES, n == 0 ? 0 : bits[i][n - 1]);
        }
        assert_int_equal(rr_stream_series(stream, labels_of(i, name), NULL), OK);
        assert_int_equal(rr_stream_floats(stream, SAMPLES, times[i], bits[i], NULL), OK);
        if (i % 4 != 0) continue;
        struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
        int64_t t = 1000 + SAMPLES * 10;
        assert_int_equal(rr_stream_histograms(stream, 1, &t, &h, NULL), OK);
    }
    assert_int_equal(rr_stream_notice(stream, RR_NOTICE_LEFT_OUT, bytes_of("one page", 8), NULL),
                     OK);
    assert_int_equal(rr_stream_notice(stream, RR_NOTICE_DOWNSAMPLED, bytes_of("1h", 2), NULL), OK);
    assert_int_equal(rr_stream_notice(stream, RR_NOTICE_ERROR, bytes_of("", 0), NULL), OK);
    assert_int_equal(rr_stream_end(stream, NULL), OK);
    rr_stream_free(stream);
    arena_fini(&arena);
}

static void
check_series(struct got *got, struct bytes given)
{
    uint8_t name[10];
    got->series++;
    got->at = 0;
    assert_in_range(got->series, 0, SERIES - 1);
    assert_true(bytes_equal(given, labels_of((unsigned)got->series, name)));
    while (got->at < SAMPLES && times[got->series][got->at] < got->min_ms)
        got->at++;
}

static enum err
check_chunk(struct got *got, const struct rr_piece *p, struct why *why)
{
    struct rr_decoded d;
    enum err e =
        rr_decode_chunk(got->decoder, p->type, p->chunk, got->min_ms, got->max_ms, &d, why);
    if (e) return e;
    if (d.histograms != NULL && d.count > 0) {
        assert_int_equal(d.times_ms[0], 1000 + SAMPLES * 10);
        got->histograms += d.count;
        return OK;
    }
    for (uint32_t i = 0; i < d.count; i++, got->at++) {
        assert_true(got->at < SAMPLES);
        assert_in_range(d.times_ms[i], got->min_ms, got->max_ms);
        assert_int_equal(d.times_ms[i], times[got->series][got->at]);
        assert_int_equal(d.bits[i], bits[got->series][got->at]);
    }
    return OK;
}

static enum err
check_piece(struct got *got, const struct rr_piece *p, struct why *why)
{
    size_t used = strlen(got->notices);
    switch (p->kind) {
    case RR_PIECE_NONE:
        fail_msg("none is no piece");
        break;
    case RR_PIECE_SERIES:
        check_series(got, p->labels);
        break;
    case RR_PIECE_CHUNK:
        return check_chunk(got, p, why);
    case RR_PIECE_NOTICE:
        snprintf(got->notices + used, sizeof got->notices - used, "%d %.*s\n", p->notice,
                 (int)p->text.size, (const char *)p->text.at);
        break;
    }
    return OK;
}

/* Reads all pieces until more bytes are needed. */
static enum err
read_pieces(struct rr_client *client, struct got *got, struct why *why)
{
    for (;;) {
        struct rr_piece piece;
        enum err e = rr_client_next(client, &piece, why);
        if (e || piece.kind == RR_PIECE_NONE) return e;
        e = check_piece(got, &piece, why);
        if (e) return e;
    }
}

static enum err
receive(struct bytes answer, struct got *got, struct rng *rng, struct why *why)
{
    struct rr_client *client;
    enum err e = rr_client_new(NULL, &client);
    assert_int_equal(e, OK);
    assert_int_equal(rr_decoder_new(NULL, &got->decoder), OK);
    for (size_t at = 0; at < answer.size && e == OK;) {
        size_t size = 1 + rng_below(rng, rng_below(rng, 3) == 0 ? 5 : 3000);
        if (size > answer.size - at) size = answer.size - at;
        uint8_t *piece = malloc(size);
        memcpy(piece, answer.at + at, size);
        e = rr_client_give(client, bytes_of(piece, size), why);
        free(piece);
        if (e == OK) e = read_pieces(client, got, why);
        at += size;
    }
    struct rr_piece piece;
    if (e) assert_int_equal(rr_client_next(client, &piece, NULL), e);
    if (e == OK) e = rr_client_end(client, why);
    rr_client_free(client);
    rr_decoder_free(got->decoder);
    return e;
}

UNIT_TEST(test_an_answer_is_received_as_it_was)
{
    struct buf answer;
    struct rng rng = {5};
    struct why why = {""};
    buf_init(&answer, NULL, 64 << 20);
    make_answer(&answer);
    for (int round = 0; round < 20; round++) {
        struct got got = {.series = -1, .min_ms = 0, .max_ms = INT64_MAX};
        enum err e = receive(buf_bytes(&answer), &got, &rng, &why);
        if (e) fail_msg("%s", why.text);
        assert_int_equal(got.series, SERIES - 1);
        assert_int_equal(got.at, SAMPLES);
        assert_int_equal(got.histograms, 3);
        assert_string_equal(got.notices, "15 one page\n16 1h\n14 \n");
    }
    buf_fini(&answer);
}

UNIT_TEST(test_samples_outside_the_range_are_cut)
{
    struct buf answer;
    struct rng rng = {5};
    struct why why = {""};
    buf_init(&answer, NULL, 64 << 20);
    make_answer(&answer);
    struct got got = {.series = -1, .min_ms = 2005, .max_ms = 4000};
    assert_int_equal(receive(buf_bytes(&answer), &got, &rng, &why), OK);
    assert_int_equal(got.at, (4000 - 1000) / 10 + 1);
    assert_int_equal(got.histograms, 0);
    buf_fini(&answer);
}

UNIT_TEST(test_a_damaged_or_cut_answer_is_refused)
{
    struct buf answer;
    struct rng rng = {5};
    buf_init(&answer, NULL, 64 << 20);
    make_answer(&answer);
    for (int i = 0; i < 300; i++) {
        struct got got = {.series = -1, .min_ms = 0, .max_ms = INT64_MAX};
        struct why why = {""};
        size_t at = rng_below(&rng, answer.size);
        uint8_t flip = (uint8_t)(1u << rng_below(&rng, 8));
        answer.at[at] ^= flip;
        enum err e = receive(buf_bytes(&answer), &got, &rng, &why);
        answer.at[at] ^= flip;
        assert_true(e == ERR_CORRUPT || e == ERR_LIMIT);
        assert_true(why.text[0] != '\0');
    }
    size_t whole = 0;
    for (size_t size = answer.size - 1; size > answer.size - 200; size--) {
        struct got got = {.series = -1, .min_ms = 0, .max_ms = INT64_MAX};
        struct why why = {""};
        enum err e = receive(bytes_of(answer.at, size), &got, &rng, &why);
        whole += e == OK; /* only at the end of a frame */
        if (e) assert_int_equal(e, ERR_CORRUPT);
    }
    assert_true(whole <= 3); /* two notices, and one frame before them */
    buf_fini(&answer);
}

UNIT_TEST(test_a_chunk_whose_times_do_not_ascend_is_damaged)
{
    /* Two samples of value 0, from 1 ms on; then the time between them, and "the same value". */
    static const uint8_t later[] = {0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0};
    static const uint8_t same[] = {0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t earlier[] = {0,    2,    2,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0xfb, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0x01, 0};
    struct rr_decoder *decoder;
    struct rr_decoded d;
    assert_int_equal(rr_decoder_new(NULL, &decoder), OK);
    assert_int_equal(rr_decode_chunk(decoder, CHUNK_XOR, bytes_of(later, sizeof later), INT64_MIN,
                                     INT64_MAX, &d, NULL),
                     OK);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.times_ms[1], 6);
    assert_int_equal(rr_decode_chunk(decoder, CHUNK_XOR, bytes_of(same, sizeof same), INT64_MIN,
                                     INT64_MAX, &d, NULL),
                     ERR_CORRUPT);
    assert_int_equal(rr_decode_chunk(decoder, CHUNK_XOR, bytes_of(earlier, sizeof earlier),
                                     INT64_MIN, INT64_MAX, &d, NULL),
                     ERR_CORRUPT);
    rr_decoder_free(decoder);
}

UNIT_TEST(test_a_request_is_what_a_server_decodes)
{
    struct rr_matcher matchers[4];
    for (uint8_t i = 0; i < 4; i++) {
        matchers[i] =
            (struct rr_matcher){i, bytes_of_text("name"), bytes_of_text(i == 0 ? "" : "value")};
    }
    struct buf message;
    struct arena arena;
    struct rr_request request;
    struct why why;
    buf_init(&message, NULL, 4096);
    arena_init(&arena, NULL, 0, 0);
    rr_request_put_query(&message, -5, INT64_MAX, matchers, 4);
    rr_request_put_query(&message, 1, 2, matchers, 1);
    rr_request_put_accepted(&message, true, true);
    assert_int_equal(rr_decode(buf_bytes(&message), &arena, &request, &why), OK);
    assert_int_equal(request.answer, RR_STREAMED_XOR_CHUNKS);
    assert_int_equal(request.query_count, 2);
    assert_int_equal(request.queries[1].min_ms, 1);
    assert_int_equal(request.queries[1].matcher_count, 1);
    assert_int_equal(request.queries[0].min_ms, -5);
    assert_int_equal(request.queries[0].max_ms, INT64_MAX);
    assert_int_equal(request.queries[0].matcher_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        const struct rr_matcher *m = &request.queries[0].matchers[i];
        assert_int_equal(m->type, i);
        assert_true(bytes_equal(m->name, matchers[i].name));
        assert_true(bytes_equal(m->value, matchers[i].value));
    }
    arena_fini(&arena);
    buf_fini(&message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_received_as_it_was),
        cmocka_unit_test(test_samples_outside_the_range_are_cut),
        cmocka_unit_test(test_a_damaged_or_cut_answer_is_refused),
        cmocka_unit_test(test_a_chunk_whose_times_do_not_ascend_is_damaged),
        cmocka_unit_test(test_a_request_is_what_a_server_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
