/*
 * ordered_test.c - a streamed answer gives its series in order, each once, each time once; an
 * answer that cannot be put in order is refused, and never gives a wrong result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/remote/remote_private.h"
#include "lib/backend/sent_series.h"
#include "lib/test.h"

enum { CHUNKS_MAX = SENT_RUNS_MAX * SENT_SAMPLES_MAX, PIECES_MAX = SENT_MAX * (CHUNKS_MAX + 1) };

static struct why why;

/* --- answers of a server ---------------------------------------------------------------------- */

struct script {
    struct rng rng;
    struct rr_piece pieces[PIECES_MAX]; /* their bytes are in the arena */
    uint32_t count, next;
    uint32_t fails_at; /* number of the pull that fails */
    void *shown;       /* a copy that is freed by the next call */
    struct arena arena;
};

static enum err
write_piece(void *context, struct bytes piece, struct why *w)
{
    (void)w;
    buf_put_bytes(context, piece);
    return OK;
}

/* Adds a run as the chunks that a server makes of it: histograms may need several. */
static void
add_run(struct script *script, const struct sent_run *run)
{
    struct rr_stream *stream;
    struct rr_client *client;
    struct rr_piece piece;
    struct buf bytes;
    buf_init(&bytes, NULL, 64 << 20);
    struct rr_sink sink = {write_piece, &bytes};
    assert_int_equal(rr_stream_new(&sink, 1 << 20, NULL, &stream), OK);
    assert_int_equal(rr_stream_query(stream, 0, NULL), OK);
    assert_int_equal(rr_stream_series(stream, bytes_of(NULL, 0), NULL), OK);
    enum err e =
        run->histograms == NULL
            ? rr_stream_floats(stream, run->count, run->times_ms, run->bits, NULL)
            : rr_stream_histograms(stream, run->count, run->times_ms, run->histograms, NULL);
    assert_int_equal(e, OK);
    assert_int_equal(rr_stream_end(stream, NULL), OK);
    rr_stream_free(stream);
    assert_int_equal(rr_client_new(NULL, &client), OK);
    assert_int_equal(rr_client_give(client, buf_bytes(&bytes), NULL), OK);
    while (rr_client_next(client, &piece, NULL) == OK && piece.kind != RR_PIECE_NONE) {
        if (piece.kind != RR_PIECE_CHUNK) continue;
        piece.chunk = arena_copy(&script->arena, piece.chunk);
        assert_true(script->count < PIECES_MAX);
        script->pieces[script->count++] = piece;
    }
    rr_client_free(client);
    buf_fini(&bytes);
}

static void
add_series(struct script *script, const struct sent_series *x)
{
    script->pieces[script->count++] =
        (struct rr_piece){.kind = RR_PIECE_SERIES, .labels = buf_bytes(&x->fields)};
    for (uint32_t i = 0; i < x->run_count; i++)
        add_run(script, &x->runs[i]);
}

static int
by_own_labels(const void *a, const void *b)
{
    const struct sent_series *const *x = a, *const *y = b;
    return labels_compare(buf_bytes(&(*x)->own), buf_bytes(&(*y)->own));
}

static void
script_init(struct script *script, const struct sent *s, bool in_order)
{
    const struct sent_series *order[SENT_MAX];
    script->rng.state = s->rng.state;
    script->count = script->next = 0;
    script->fails_at = UINT32_MAX;
    script->shown = NULL;
    arena_init(&script->arena, NULL, 0, 0);
    for (uint32_t i = 0; i < s->count; i++)
        order[i] = &s->series[i];
    if (in_order) qsort(order, s->count, sizeof(const struct sent_series *), by_own_labels);
    for (uint32_t i = 0; i < s->count; i++)
        add_series(script, order[i]);
}

static void
script_fini(struct script *script)
{
    free(script->shown);
    arena_fini(&script->arena);
}

/* Returns a copy that the next call frees, so that a sanitizer notices views that are kept. */
static enum err
pull(void *context, struct rr_piece *ret_piece, struct why *w)
{
    struct script *script = context;
    free(script->shown);
    script->shown = NULL;
    assert_true(script->next <= script->count);
    if (script->next == script->fails_at) return why_set(w, ERR_AGAIN, "it broke off");
    if (script->next == script->count) {
        script->next++; /* it is not called again */
        *ret_piece = (struct rr_piece){.kind = RR_PIECE_NONE};
        return OK;
    }
    *ret_piece = script->pieces[script->next++];
    struct bytes *bytes =
        ret_piece->kind == RR_PIECE_SERIES ? &ret_piece->labels : &ret_piece->chunk;
    script->shown = malloc(bytes->size + 1);
    if (bytes->size > 0) memcpy(script->shown, bytes->at, bytes->size);
    bytes->at = script->shown;
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
next(void *of, struct bytes *ret_labels, struct why *w)
{
    return ordered_next(of, ret_labels, w);
}

static enum err
batch(void *of, struct sample_batch *ret_batch, struct why *w)
{
    return ordered_batch(of, ret_batch, w);
}

static enum err
read_script(struct sent *s, struct script *script, size_t window, bool skips)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct ordered_options options = {&budget,     window, s->min_ms, s->max_ms,
                                      {&s->texts}, pull,   script};
    struct ordered *ordered;
    why.text[0] = '\0';
    enum err e = ordered_new(&options, &ordered);
    if (e) return why_set(&why, e, "not enough memory");
    struct sent_reader reader = {ordered, next, batch};
    e = sent_check(s, &reader, skips, &why);
    ordered_free(ordered);
    assert_int_equal(budget_used(&budget), 0);
    if (e) assert_true(why.text[0] != '\0');
    return e;
}

UNIT_TEST(test_an_answer_that_fits_into_the_window_is_put_in_order)
{
    static struct script script;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sent s;
        sent_init(&s, seed, false);
        script_init(&script, &s, false);
        enum err e = read_script(&s, &script, ORDERED_WINDOW_BYTES, seed % 3 == 0);
        if (e) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, err_word(e), why.text);
        script_fini(&script);
        sent_fini(&s);
    }
}

UNIT_TEST(test_an_answer_in_order_needs_no_window)
{
    static struct script script;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sent s;
        sent_init(&s, seed, true);
        script_init(&script, &s, true);
        enum err e = read_script(&s, &script, seed % 2 == 0 ? 1 : 3000, seed % 3 == 0);
        if (e) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, err_word(e), why.text);
        script_fini(&script);
        sent_fini(&s);
    }
}

/* Some of these can be read, by luck or because only external labels moved them. */
UNIT_TEST(test_disorder_beyond_the_window_is_refused)
{
    static struct script script;
    unsigned read = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sent s;
        sent_init(&s, seed, false);
        script_init(&script, &s, seed % 2 == 0);
        size_t window = rng_below(&s.rng, 3) == 0 ? 1 : rng_below(&s.rng, 20000);
        s.may_refuse = true;
        enum err e = read_script(&s, &script, window, seed % 3 == 0);
        if (e != OK && e != ERR_UNSUPPORTED) fail_msg("%s: %s", err_word(e), why.text);
        read += e == OK;
        refused += e != OK;
        script_fini(&script);
        sent_fini(&s);
    }
    assert_true(read > 100);
    assert_true(refused > 100);
}

/* If the labels of one series begin with those of another, the shorter ones come first; a label
 * that is added to both at the end changes that. */
UNIT_TEST(test_labels_that_are_added_may_move_series)
{
    static struct script script;
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    for (size_t window = 1; window < 10000; window += 7999) {
        struct sent s = {.min_ms = INT64_MIN, .max_ms = INT64_MAX, .may_refuse = true};
        arena_init(&s.arena, NULL, 0, 0);
        s.added[0] = (struct named_text){"d", "y"};
        s.texts = (struct named_texts){s.added, 1};
        for (; s.count < 20; s.count++) {
            struct sent_series *x = &s.series[s.count];
            int64_t from_ms = 0;
            buf_init(&x->own, NULL, 4096);
            buf_init(&x->fields, NULL, 4096);
            buf_init(&x->final, NULL, 4096);
            test_put_texts(&x->fields, "a", names[s.count / 2]);
            test_put_texts(&x->final, "a", names[s.count / 2]);
            if (s.count % 2 == 1) test_put_texts(&x->fields, "c", "1");
            if (s.count % 2 == 1) test_put_texts(&x->final, "c", "1");
            test_put_texts(&x->final, "d", "y");
            buf_put_bytes(&x->own, buf_bytes(&x->fields));
            x->run_count = 1;
            sent_make_run(&s, &x->runs[0], &from_ms);
        }
        script_init(&script, &s, true);
        assert_int_equal(read_script(&s, &script, window, false),
                         window == 1 ? ERR_UNSUPPORTED : OK);
        script_fini(&script);
        sent_fini(&s);
    }
}

UNIT_TEST(test_wrong_times_of_chunks_never_make_a_wrong_answer)
{
    static struct script script;
    unsigned read = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sent s;
        sent_init(&s, seed, seed % 2 == 0);
        script_init(&script, &s, true);
        for (uint32_t i = 0; i < script.count; i++) {
            struct rr_piece *p = &script.pieces[i];
            if (p->kind != RR_PIECE_CHUNK || rng_below(&s.rng, 10) != 0) continue;
            static const int64_t odd[] = {INT64_MIN, INT64_MAX, 0, 50, -1};
            p->min_ms = odd[rng_below(&s.rng, 5)];
            p->max_ms = odd[rng_below(&s.rng, 5)];
        }
        size_t window = rng_below(&s.rng, 2) == 0 ? ORDERED_WINDOW_BYTES : 1;
        s.may_refuse = true;
        enum err e = read_script(&s, &script, window, seed % 3 == 0);
        read += e == OK;
        refused += e != OK;
        if (e != OK && e != ERR_UNSUPPORTED && e != ERR_CORRUPT) fail_msg("%s", why.text);
        script_fini(&script);
        sent_fini(&s);
    }
    assert_true(read > 100);
    assert_true(refused > 100);
}

UNIT_TEST(test_a_break_at_any_position_is_an_error)
{
    static struct script script;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sent s;
        sent_init(&s, seed, true);
        script_init(&script, &s, true);
        uint32_t count = script.count;
        for (uint32_t at = 0; at <= count; at++) {
            script.next = 0;
            script.fails_at = at;
            enum err e = read_script(&s, &script, at % 2 == 0 ? 1 : 5000, false);
            assert_int_equal(e, ERR_AGAIN);
            assert_string_equal(why.text, "it broke off");
        }
        script_fini(&script);
        sent_fini(&s);
    }
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static struct script script;
    for (uint64_t seed = 1; seed < 15; seed++) {
        struct sent s;
        sent_init(&s, seed, seed % 2 == 0);
        script_init(&script, &s, true);
        for (uint64_t nth = 1;; nth++) {
            script.next = 0;
            mem_fail_nth(nth, false);
            enum err e = read_script(&s, &script, seed % 2 == 0 ? 1 : 100000, false);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (e != OK && e != ERR_NOMEM && e != ERR_UNSUPPORTED)
                fail_msg("%s: %s", err_word(e), why.text);
            if (!fired) break;
        }
        script_fini(&script);
        sent_fini(&s);
    }
}

/* --- one that is large ------------------------------------------------------------------------ */

struct endless {
    struct rr_piece chunk;
    uint32_t series, chunks; /* the remaining ones */
    uint32_t chunks_each;
    uint8_t fields[10];
};

/* Returns the same chunk at a new time each time: a varint in it has the time of its
 * first sample. */
static enum err
pull_endless(void *context, struct rr_piece *ret_piece, struct why *w)
{
    struct endless *x = context;
    static uint8_t data[1 << 16];
    (void)w;
    if (x->chunks == 0 && x->series == 0) {
        *ret_piece = (struct rr_piece){.kind = RR_PIECE_NONE};
    } else if (x->chunks == 0) {
        const uint8_t made[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, (uint8_t)('z' - x->series)};
        memcpy(x->fields, made, sizeof made);
        x->series--;
        x->chunks = x->chunks_each;
        *ret_piece =
            (struct rr_piece){.kind = RR_PIECE_SERIES, .labels = bytes_of(x->fields, sizeof made)};
    } else {
        /* One sample of value 0, then bytes that readers ignore. */
        uint64_t t = zigzag((int64_t)(x->chunks_each - x->chunks));
        memset(data, 0, sizeof data);
        data[1] = 1;
        varint_put(data + 2, t);
        x->chunks--;
        *ret_piece = (struct rr_piece){.kind = RR_PIECE_CHUNK,
                                       .type = CHUNK_XOR,
                                       .chunk = bytes_of(data, sizeof data),
                                       .min_ms = unzigzag(t),
                                       .max_ms = unzigzag(t)};
    }
    return OK;
}

UNIT_TEST(test_a_series_larger_than_the_window_takes_little_more_than_that)
{
    static const struct named_texts none = {NULL, 0};
    enum { WINDOW = 1 << 20, SERIES = 4, CHUNKS = 400 };
    for (int reads = 0; reads < 3; reads++) { /* reads none of it, a part, all */
        struct budget budget;
        struct ordered *ordered;
        struct bytes labels;
        struct endless endless = {.series = SERIES, .chunks_each = CHUNKS};
        struct ordered_options options = {.window_bytes = WINDOW,
                                          .min_ms = INT64_MIN,
                                          .max_ms = INT64_MAX,
                                          .external = {&none},
                                          .pull = pull_endless,
                                          .context = &endless};
        budget_init(&budget, "test", 0, NULL);
        options.budget = &budget;
        assert_int_equal(ordered_new(&options, &ordered), OK);
        for (int i = 0; i < SERIES; i++) {
            struct sample_batch b = {.count = 1};
            int64_t samples = 0;
            assert_int_equal(ordered_next(ordered, &labels, &why), OK);
            assert_non_null(labels.at);
            while (b.count > 0 && samples < reads * CHUNKS / 2 + (reads == 2)) {
                assert_int_equal(ordered_batch(ordered, &b, &why), OK);
                if (b.count > 0) assert_int_equal(b.times_ms[0], samples);
                samples += b.count;
            }
            if (reads == 2) assert_int_equal(samples, CHUNKS);
        }
        assert_int_equal(ordered_next(ordered, &labels, &why), OK);
        assert_null(labels.at);
        ordered_free(ordered);
        assert_int_equal(budget_used(&budget), 0);
        assert_true(budget.peak_bytes < 5 * WINDOW); /* buffers grow by doubling */
    }
}

UNIT_TEST(test_a_chunk_without_a_series_is_damage)
{
    static struct script script;
    struct sent s;
    sent_init(&s, 1, true);
    uint32_t count = s.count;
    s.count = 0;
    script_init(&script, &s, true);
    script.pieces[script.count++] = (struct rr_piece){.kind = RR_PIECE_CHUNK, .type = CHUNK_XOR};
    assert_int_equal(read_script(&s, &script, 1, false), ERR_CORRUPT);
    script_fini(&script);
    s.count = count;
    sent_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_that_fits_into_the_window_is_put_in_order),
        cmocka_unit_test(test_an_answer_in_order_needs_no_window),
        cmocka_unit_test(test_disorder_beyond_the_window_is_refused),
        cmocka_unit_test(test_labels_that_are_added_may_move_series),
        cmocka_unit_test(test_wrong_times_of_chunks_never_make_a_wrong_answer),
        cmocka_unit_test(test_a_break_at_any_position_is_an_error),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_a_series_larger_than_the_window_takes_little_more_than_that),
        cmocka_unit_test(test_a_chunk_without_a_series_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
