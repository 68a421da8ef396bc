/* sampled_test.c - an answer in samples gives its series in order, each once, each time once,
 * whatever the server does. */
#include "lib/test.h"

#include "backend/remote/remote_private.h"
#include "lib/backend/sent_series.h"
#include "wire/proto.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

static struct why why;

/* --- answers of a server ---------------------------------------------------------------------- */

static void
put_samples(struct buf *to, const struct sent_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        struct buf inner;
        buf_init(&inner, NULL, 1 << 20);
        if (run->histograms == NULL) {
            proto_put_fixed64(&inner, PROTO_TAG(1, PROTO_FIXED64), run->bits[i]);
            proto_put_varint(&inner, PROTO_TAG(2, PROTO_VARINT), (uint64_t)run->times_ms[i]);
        } else {
            histogram_message_put(&inner, run->times_ms[i], 0, &run->histograms[i]);
        }
        proto_put_bytes(to, PROTO_TAG(run->histograms == NULL ? 2 : 4, PROTO_BYTES),
                        buf_bytes(&inner));
        buf_fini(&inner);
    }
}

/* Encodes a series; its runs may be in any order, and its labels anywhere among them. */
static void
put_series(struct sent *s, struct buf *to, const struct sent_series *x)
{
    struct buf message;
    buf_init(&message, NULL, 4 << 20);
    uint32_t first = (uint32_t)rng_below(&s->rng, SENT_RUNS_MAX);
    uint32_t labels = (uint32_t)rng_below(&s->rng, x->run_count + 1);
    for (uint32_t i = 0; i <= x->run_count; i++) {
        if (i == labels) buf_put_bytes(&message, buf_bytes(&x->fields));
        if (i < x->run_count) put_samples(&message, &x->runs[(i + first) % x->run_count]);
    }
    proto_put_bytes(to, PROTO_TAG(1, PROTO_BYTES), buf_bytes(&message));
    buf_fini(&message);
}

static void
put_answer(struct buf *to, struct bytes result, unsigned results)
{
    struct buf message;
    buf_init(&message, NULL, 64 << 20);
    for (unsigned i = 0; i < results; i++)
        proto_put_bytes(&message, PROTO_TAG(1, PROTO_BYTES), result);
    assert_int_equal(snappy_pack(buf_bytes(&message), to), OK);
    buf_fini(&message);
}

static void
make_answer(struct sent *s, struct buf *to)
{
    struct buf result;
    buf_init(&result, NULL, 64 << 20);
    for (uint32_t i = 0; i < s->count; i++)
        put_series(s, &result, &s->series[i]);
    put_answer(to, buf_bytes(&result), 1);
    buf_fini(&result);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
next(void *of, struct bytes *ret_labels, struct why *w)
{
    return series_blocks_next(((struct sampled *)of)->blocks, ret_labels, w);
}

static enum err
batch(void *of, struct sample_batch *ret_batch, struct why *w)
{
    return series_blocks_batch(((struct sampled *)of)->blocks, ret_batch, w);
}

static enum err
read_answer(struct sent *s, struct bytes answer, struct budget *budget, bool skips)
{
    struct sampled_options options = {budget, s->min_ms, s->max_ms, {&s->texts}};
    struct sampled *sampled;
    enum err e = sampled_new(&options, answer, &sampled, &why);
    if (e) return e;
    struct sent_reader reader = {sampled, next, batch};
    e = sent_check(s, &reader, skips, &why);
    sampled_free(sampled);
    return e;
}

UNIT_TEST(test_samples_are_read_as_sent_and_in_order)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sent s;
        struct budget budget;
        struct buf answer;
        budget_init(&budget, "test", 0, NULL);
        buf_init(&answer, NULL, 64 << 20);
        sent_init(&s, seed, false);
        make_answer(&s, &answer);
        enum err e = read_answer(&s, buf_bytes(&answer), &budget, seed % 3 == 0);
        if (e) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, err_word(e), why.text);
        sent_fini(&s);
        buf_fini(&answer);
        assert_int_equal(budget_used(&budget), 0);
    }
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct sent s;
        struct buf answer;
        struct budget budget;
        budget_init(&budget, "test", 0, NULL);
        buf_init(&answer, NULL, 64 << 20);
        sent_init(&s, seed, false);
        make_answer(&s, &answer);
        for (uint64_t nth = 1;; nth++) {
            why.text[0] = '\0';
            mem_fail_nth(nth, false);
            enum err e = read_answer(&s, buf_bytes(&answer), &budget, false);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(budget_used(&budget), 0);
            if (e != OK && e != ERR_NOMEM) fail_msg("%s: %s", err_word(e), why.text);
            if (e) assert_true(why.text[0] != '\0');
            if (!fired) break;
        }
        sent_fini(&s);
        buf_fini(&answer);
    }
}

/* It may be read as other samples, and must do no harm. */
UNIT_TEST(test_a_damaged_answer_is_read_or_refused)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        static const struct named_texts none = {NULL, 0};
        struct sampled_options options = {NULL, INT64_MIN, INT64_MAX, {&none}};
        struct sent s;
        struct sampled *sampled;
        struct buf answer;
        buf_init(&answer, NULL, 64 << 20);
        sent_init(&s, seed, false);
        make_answer(&s, &answer);
        why.text[0] = '\0';
        if (rng_below(&s.rng, 4) == 0) answer.size = rng_below(&s.rng, answer.size);
        for (int flips = 3; answer.size > 0 && flips > 0; flips--)
            answer.at[rng_below(&s.rng, answer.size)] ^= (uint8_t)(1 << rng_below(&s.rng, 8));
        enum err e = sampled_new(&options, buf_bytes(&answer), &sampled, &why);
        struct bytes labels = {NULL, 0};
        struct sample_batch b;
        bool made = e == OK;
        while (e == OK && (e = series_blocks_next(sampled->blocks, &labels, &why)) == OK &&
               labels.at != NULL) {
            while ((e = series_blocks_batch(sampled->blocks, &b, &why)) == OK && b.count > 0) {
            }
        }
        if (made) sampled_free(sampled);
        if (e) assert_true(why.text[0] != '\0');
        assert_true(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT || e == ERR_UNSUPPORTED);
        sent_fini(&s);
        buf_fini(&answer);
    }
}

UNIT_TEST(test_an_answer_has_one_result)
{
    static const struct named_texts none = {NULL, 0};
    struct sampled_options options = {NULL, INT64_MIN, INT64_MAX, {&none}};
    for (unsigned results = 0; results <= 2; results++) {
        struct sampled *sampled;
        struct bytes labels;
        struct buf answer;
        buf_init(&answer, NULL, 4096);
        put_answer(&answer, bytes_of(NULL, 0), results);
        enum err e = sampled_new(&options, buf_bytes(&answer), &sampled, &why);
        assert_int_equal(e, results == 1 ? OK : ERR_CORRUPT);
        if (e == OK) {
            assert_int_equal(series_blocks_next(sampled->blocks, &labels, &why), OK);
            assert_null(labels.at);
            sampled_free(sampled);
        }
        buf_fini(&answer);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_are_read_as_sent_and_in_order),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_a_damaged_answer_is_read_or_refused),
        cmocka_unit_test(test_an_answer_has_one_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
