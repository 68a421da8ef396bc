/* What rr_stream_*() writes is received as it was, in pieces of any size; anything else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/random_test.h"
#include "wire/remote_read_client.h"

enum { SERIES = 12, SAMPLES = 700, FRAME = 4096 };

static int64_t times[SERIES][SAMPLES];
static uint64_t bits[SERIES][SAMPLES];

struct got {
    int series;
    uint32_t at;
    uint32_t histograms;
    char notices[200]; /* "KIND TEXT\n"... */
    int64_t min_ms, max_ms;
    enum err fail_with;
};

/* A label a="<number>" in canonical bytes. */
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

/* Ascending times around now, so that ranges can be cut. */
static void
make_answer(struct buf *to)
{
    struct rng rng = {11};
    struct arena arena;
    struct rr_sink sink = {sink_write, to};
    struct rr_stream *stream;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(rr_stream_new(&sink, FRAME, CHUNK_LAYOUTS_UNITED, NULL, &stream), OK);
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
    assert_int_equal(rr_stream_notice(stream, RR_NOTICE_ERROR, bytes_of("", 0), NULL), OK);
    assert_int_equal(rr_stream_end(stream, NULL), OK);
    rr_stream_free(stream);
    arena_fini(&arena);
}

static enum err
take_series(void *context, struct bytes given, struct why *why)
{
    struct got *got = context;
    uint8_t name[10];
    if (got->fail_with) return why_set(why, got->fail_with, "told to fail");
    got->series++;
    got->at = 0;
    if (got->series >= SERIES) return why_set(why, ERR_CORRUPT, "too many series");
    assert_true(bytes_equal(given, labels_of((unsigned)got->series, name)));
    while (got->at < SAMPLES && times[got->series][got->at] < got->min_ms) {
        got->at++;
    }
    return OK;
}

static enum err
take_notice(void *context, enum rr_notice notice, struct bytes given, struct why *why)
{
    struct got *got = context;
    size_t used = strlen(got->notices);
    (void)why;
    snprintf(got->notices + used, sizeof got->notices - used, "%d %.*s\n", notice, (int)given.size,
             (const char *)given.at);
    return OK;
}

static enum err
take_floats(void *context, uint32_t count, const int64_t *t, const uint64_t *b, struct why *why)
{
    struct got *got = context;
    (void)why;
    for (uint32_t i = 0; i < count; i++, got->at++) {
        assert_true(got->at < SAMPLES);
        assert_in_range(t[i], got->min_ms, got->max_ms);
        assert_int_equal(t[i], times[got->series][got->at]);
        assert_int_equal(b[i], bits[got->series][got->at]);
    }
    return OK;
}

static enum err
take_histogram(void *context, int64_t t_ms, const struct histogram *h, struct why *why)
{
    struct got *got = context;
    (void)why;
    (void)h;
    assert_int_equal(t_ms, 1000 + SAMPLES * 10);
    got->histograms++;
    return OK;
}

static enum err
receive(struct bytes answer, struct got *got, struct rng *rng, struct why *why)
{
    struct rr_receiver receiver = {take_series, take_floats, take_histogram, got, take_notice, got};
    struct rr_client *client;
    enum err e = rr_client_new(&receiver, got->min_ms, got->max_ms, NULL, &client);
    assert_int_equal(e, OK);
    for (size_t at = 0; at < answer.size && e == OK;) {
        size_t size = 1 + rng_below(rng, rng_below(rng, 3) == 0 ? 5 : 3000);
        if (size > answer.size - at) size = answer.size - at;
        uint8_t *piece = malloc(size);
        memcpy(piece, answer.at + at, size);
        e = rr_client_take(client, bytes_of(piece, size), why);
        free(piece);
        at += size;
    }
    if (e == OK) e = rr_client_end(client, why);
    rr_client_free(client);
    return e;
}

static void
test_an_answer_is_received_as_it_was(void **state)
{
    (void)state;
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
        assert_string_equal(got.notices, "15 one page\n14 \n");
    }
    buf_fini(&answer);
}

static void
test_samples_outside_the_range_are_cut(void **state)
{
    (void)state;
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

static void
test_a_damaged_or_cut_answer_is_refused(void **state)
{
    (void)state;
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
        whole += e == OK; /* only where a frame ends */
        if (e) assert_int_equal(e, ERR_CORRUPT);
    }
    assert_true(whole <= 3); /* two notices, and one frame before them */
    buf_fini(&answer);
}

static void
test_an_error_of_the_receiver_stops_it(void **state)
{
    (void)state;
    struct buf answer;
    struct rng rng = {5};
    struct why why = {""};
    buf_init(&answer, NULL, 64 << 20);
    make_answer(&answer);
    struct got got = {.series = -1, .max_ms = INT64_MAX, .fail_with = ERR_FULL};
    assert_int_equal(receive(buf_bytes(&answer), &got, &rng, &why), ERR_FULL);
    assert_string_equal(why.text, "told to fail");
    buf_fini(&answer);
}

static void
test_a_request_is_what_a_server_decodes(void **state)
{
    (void)state;
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
    rr_request_put(&message, -5, INT64_MAX, matchers, 4);
    assert_int_equal(rr_decode(buf_bytes(&message), &arena, &request, &why), OK);
    assert_int_equal(request.answer, RR_STREAMED_XOR_CHUNKS);
    assert_int_equal(request.query_count, 1);
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
        cmocka_unit_test(test_an_error_of_the_receiver_stops_it),
        cmocka_unit_test(test_a_request_is_what_a_server_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
