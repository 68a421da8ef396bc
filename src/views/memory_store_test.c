/*
 * memory_store_test.c - a store in memory returns the samples that were added, by labels and time,
 * within the limits of a query.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "views/memory_store.h"

/* --- small helpers ---------------------------------------------------------------------------- */

/* Returns canonical labels: __name__, and j if it is not NULL. */
static struct bytes
labels_in(struct buf *to, const char *name, const char *j)
{
    buf_clear(to);
    labels_put(to, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    if (j != NULL) labels_put(to, (struct label){bytes_of_text("j"), bytes_of_text(j)});
    return buf_bytes(to);
}

static enum memory_verdict
add(struct memory_store *store, const char *name, const char *j, const struct memory_sample *sample,
    struct memory_sample *ret_last)
{
    struct buf labels;
    enum memory_verdict judged, verdict;
    buf_init(&labels, NULL, 1 << 16);
    struct bytes l = labels_in(&labels, name, j);
    judged = memory_store_judge(store, l, sample, NULL);
    assert_int_equal(memory_store_add(store, l, sample, &verdict, ret_last), OK);
    assert_int_equal(judged, verdict);
    buf_fini(&labels);
    return verdict;
}

static enum memory_verdict
add_float(struct memory_store *store, const char *name, const char *j, int64_t t_ms, double value)
{
    const struct memory_sample sample = {.t_ms = t_ms, .bits = double_bits(value)};
    return add(store, name, j, &sample, NULL);
}

static struct histogram
histogram_of(uint64_t count)
{
    return (struct histogram){.kind = SAMPLE_HISTOGRAM_INT, .count = count};
}

static struct memory_store *
store_new(void)
{
    struct memory_store *store;
    assert_int_equal(memory_store_new(NULL, &store), OK);
    return store;
}

/* Appends the answer to a question: "a{j="1"} 1@10 h2@20; ..." */
static void
put_answer(struct memory_store *store, const struct query_request *request, struct buf *to)
{
    struct view *view;
    struct series_set *set;
    struct bytes labels;
    struct why why;
    assert_int_equal(memory_store_open(store, NULL, &view, &why), OK);
    assert_int_equal(view_select(view, request, &set, &why), OK);
    buf_clear(to);
    for (;;) {
        struct sample_batch batch;
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        if (labels.at == NULL) break;
        if (to->size > 0) buf_put_text(to, "; ");
        labels_print_selector(to, labels);
        for (;;) {
            assert_int_equal(series_set_batch(set, &batch, &why), OK);
            if (batch.count == 0) break;
            assert_true(batch.count <= 1024);
            for (uint32_t i = 0; i < batch.count; i++) {
                if (batch.kind == SAMPLE_FLOAT)
                    buf_printf(to, " %g", bits_double(batch.value_bits[i]));
                else
                    buf_printf(to, " h%d", (int)batch.histograms[i].count);
                buf_printf(to, "@%d", (int)batch.times_ms[i]);
            }
        }
    }
    assert_null(series_set_warning(set, 0));
    series_set_free(set);
    view_free(view);
    buf_put_u8(to, 0);
    assert_int_equal(buf_error(to), OK);
}

static void
check_answer(struct memory_store *store, const struct query_request *request, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    put_answer(store, request, &text);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

static void
check_all(struct memory_store *store, const char *expected)
{
    const struct query_request all = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    check_answer(store, &all, expected);
}

/* --- adding ----------------------------------------------------------------------------------- */

UNIT_TEST(test_series_come_by_their_labels_and_samples_by_time)
{
    struct memory_store *store = store_new();
    struct histogram h = histogram_of(7);
    const struct memory_sample histogram = {.t_ms = 30, .histogram = &h};
    check_all(store, "");
    assert_int_equal(add_float(store, "b", NULL, 10, 1), MEMORY_TAKEN);
    assert_int_equal(add_float(store, "a", "2", 10, 2), MEMORY_TAKEN);
    assert_int_equal(add_float(store, "a", NULL, 20, 3), MEMORY_TAKEN);
    assert_int_equal(add_float(store, "a", "1", -5, 4), MEMORY_TAKEN);
    assert_int_equal(add_float(store, "b", NULL, 20, 5), MEMORY_TAKEN);
    assert_int_equal(add(store, "b", NULL, &histogram, NULL), MEMORY_TAKEN);
    assert_int_equal(add_float(store, "b", NULL, 40, 6), MEMORY_TAKEN);
    check_all(store, "a 3@20; a{j=\"1\"} 4@-5; a{j=\"2\"} 2@10; b 1@10 5@20 h7@30 6@40");
    memory_store_free(store);
}

UNIT_TEST(test_an_older_or_conflicting_sample_is_refused)
{
    struct memory_store *store = store_new();
    struct memory_sample last = {.t_ms = 7};
    struct histogram h = histogram_of(7), other = histogram_of(8);
    struct memory_sample sample = {.t_ms = 10, .bits = double_bits(1)};
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_TAKEN);
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_TAKEN); /* the same again */
    assert_int_equal(last.bits, double_bits(1));
    sample.bits = double_bits(2);
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_CONFLICT);
    assert_int_equal(last.t_ms, 10);
    assert_int_equal(last.bits, double_bits(1));
    assert_null(last.histogram);
    sample.histogram = &h;
    assert_int_equal(add(store, "a", NULL, &sample, NULL), MEMORY_CONFLICT);
    sample.t_ms = 9;
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_LATE);
    sample.t_ms = 11;
    assert_int_equal(add(store, "a", NULL, &sample, NULL), MEMORY_TAKEN);
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_TAKEN);
    assert_true(histogram_equal(last.histogram, &h));
    sample.histogram = &other;
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_CONFLICT);
    sample.histogram = NULL;
    assert_int_equal(add(store, "a", NULL, &sample, &last), MEMORY_CONFLICT);
    check_all(store, "a 1@10 h7@11");
    memory_store_free(store);
}

UNIT_TEST(test_nan_is_the_same_if_its_bits_are)
{
    struct memory_store *store = store_new();
    struct memory_sample sample = {.t_ms = 10, .bits = NORMAL_NAN_BITS};
    assert_int_equal(add(store, "a", NULL, &sample, NULL), MEMORY_TAKEN);
    assert_int_equal(add(store, "a", NULL, &sample, NULL), MEMORY_TAKEN);
    sample.bits = STALE_NAN_BITS;
    assert_int_equal(add(store, "a", NULL, &sample, NULL), MEMORY_CONFLICT);
    memory_store_free(store);
}

/* --- queries ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_question_selects_by_matchers_times_and_shards)
{
    struct memory_store *store = store_new();
    struct matcher *a, *j, *b;
    struct why why;
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), bytes_of_text("a"), NULL, &a, &why),
        OK);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("j"), bytes_of_text(""), NULL, &j, &why), OK);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), bytes_of_text("b"), NULL, &b, &why),
        OK);
    for (int i = 0; i < 4; i++) {
        add_float(store, "a", NULL, i * 10, i);
        add_float(store, "a", "1", i * 10 + 100, i);
        add_float(store, "b", NULL, i * 10, i);
        add_float(store, "c", NULL, i * 10, i);
    }
    struct matcher *const first[] = {a, j}, *const second[] = {b};
    const struct matcher_set sets[] = {{first, 2}, {second, 1}, {first, 1}};
    struct query_request r = {.sets = sets, .set_count = 1, .min_ms = 10, .max_ms = 20};
    check_answer(store, &r, "a 1@10 2@20");
    r.set_count = 2;
    check_answer(store, &r, "a 1@10 2@20; b 1@10 2@20");
    r.sets = &sets[2]; /* a, with j: it is empty until then */
    r.set_count = 1;
    check_answer(store, &r, "a 1@10 2@20");
    r.min_ms = 31;
    r.max_ms = 99;
    check_answer(store, &r, "");
    r.max_ms = 100;
    check_answer(store, &r, "a{j=\"1\"} 0@100");
    r = (struct query_request){.min_ms = 0, .max_ms = 0, .hints.shard_count = 2};
    struct buf one, other;
    buf_init(&one, NULL, 1 << 16);
    buf_init(&other, NULL, 1 << 16);
    put_answer(store, &r, &one);
    r.hints.shard = 1;
    put_answer(store, &r, &other);
    assert_int_equal(one.size + other.size,
                     sizeof "a 0@0; b 0@0; c 0@0" + (one.size > 1 && other.size > 1 ? -1 : 1));
    buf_fini(&one);
    buf_fini(&other);
    matcher_free(a);
    matcher_free(j);
    matcher_free(b);
    memory_store_free(store);
}

UNIT_TEST(test_long_series_come_in_several_batches)
{
    struct memory_store *store = store_new();
    struct view *view;
    struct series_set *set;
    struct bytes labels;
    struct sample_batch batch;
    struct why why;
    const struct query_request r = {.min_ms = 5, .max_ms = 4990};
    int64_t next = 5;
    unsigned batches = 0;
    for (int i = 0; i < 5000; i++)
        add_float(store, "a", NULL, i, i);
    assert_int_equal(memory_store_open(store, NULL, &view, &why), OK);
    assert_int_equal(view_select(view, &r, &set, &why), OK);
    assert_int_equal(series_set_next(set, &labels, &why), OK);
    for (;; batches++) {
        assert_int_equal(series_set_batch(set, &batch, &why), OK);
        if (batch.count == 0) break;
        for (uint32_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.times_ms[i], next++);
    }
    assert_int_equal(next, 4991);
    assert_int_equal(batches, 5);
    series_set_free(set);
    view_free(view);
    memory_store_free(store);
}

UNIT_TEST(test_the_limits_of_a_query_hold)
{
    struct memory_store *store = store_new();
    struct query_control control = {.series_max = 1, .samples_max = 2};
    const struct query_request r = {.min_ms = 0, .max_ms = 100, .control = &control};
    struct view *view;
    struct series_set *set;
    struct bytes labels;
    struct sample_batch batch;
    struct why why;
    for (int i = 0; i < 3; i++) {
        add_float(store, "a", NULL, i, i);
        add_float(store, "b", NULL, i, i);
    }
    assert_int_equal(memory_store_open(store, &control, &view, &why), OK);
    assert_int_equal(view_select(view, &r, &set, &why), OK);
    assert_int_equal(series_set_next(set, &labels, &why), OK);
    assert_int_equal(series_set_batch(set, &batch, &why), ERR_LIMIT);
    assert_int_equal(series_set_next(set, &labels, &why), ERR_LIMIT);
    atomic_store(&control.canceled, "enough");
    assert_int_equal(series_set_next(set, &labels, &why), ERR_CANCELED);
    series_set_free(set);
    view_free(view);
    memory_store_free(store);
}

/* --- against a model -------------------------------------------------------------------------- */

enum { MODEL_SERIES = 5, MODEL_SAMPLES = 200 };

UNIT_TEST(test_random_samples_are_answered_as_they_were_added)
{
    static const char *const names[MODEL_SERIES] = {"a", "b", "c", "d", "e"};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng r = {seed};
        struct memory_store *store = store_new();
        int64_t times[MODEL_SERIES][MODEL_SAMPLES];
        uint32_t counts[MODEL_SERIES] = {0};
        struct buf expected;
        buf_init(&expected, NULL, 1 << 20);
        for (int i = 0; i < MODEL_SAMPLES; i++) {
            uint32_t s = (uint32_t)rng_below(&r, MODEL_SERIES);
            int64_t t = (int64_t)rng_below(&r, 1000) + i * 5;
            bool later = counts[s] == 0 || t > times[s][counts[s] - 1];
            bool same = !later && t == times[s][counts[s] - 1];
            assert_int_equal(add_float(store, names[s], NULL, t, (double)t),
                             later || same ? MEMORY_TAKEN : MEMORY_LATE);
            if (later) times[s][counts[s]++] = t;
        }
        int64_t min = (int64_t)rng_below(&r, 1000), max = min + (int64_t)rng_below(&r, 1000);
        for (uint32_t s = 0; s < MODEL_SERIES; s++) {
            bool any = false;
            for (uint32_t i = 0; i < counts[s]; i++) {
                if (times[s][i] < min || times[s][i] > max) continue;
                if (!any) buf_printf(&expected, "%s%s", expected.size > 0 ? "; " : "", names[s]);
                any = true;
                buf_printf(&expected, " %d@%d", (int)times[s][i], (int)times[s][i]);
            }
        }
        buf_put_u8(&expected, 0);
        const struct query_request request = {.min_ms = min, .max_ms = max};
        check_answer(store, &request, (const char *)expected.at);
        buf_fini(&expected);
        memory_store_free(store);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static enum err
use_store(struct budget *budget)
{
    struct memory_store *store;
    struct view *view = NULL;
    struct series_set *set = NULL;
    struct bytes labels;
    uint8_t room[1000];
    struct buf text = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    struct why why;
    struct histogram h = histogram_of(7);
    const struct query_request request = {.min_ms = 0, .max_ms = 100, .budget = budget};
    enum memory_verdict verdict;
    enum err e = memory_store_new(budget, &store);
    if (e) return e;
    for (int i = 0; e == OK && i < 40; i++) {
        const struct memory_sample sample = {
            .t_ms = i, .bits = double_bits(i), .histogram = i % 20 == 19 ? &h : NULL};
        e = memory_store_add(store, labels_in(&text, i % 2 ? "a" : "b", NULL), &sample, &verdict,
                             NULL);
    }
    if (e == OK) e = memory_store_open(store, NULL, &view, &why);
    if (e == OK) e = view_select(view, &request, &set, &why);
    if (e == OK) assert_int_equal(series_set_next(set, &labels, &why), OK);
    series_set_free(set);
    view_free(view);
    memory_store_free(store);
    return e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (uint64_t nth = 1;; nth++) {
        struct budget budget;
        budget_init(&budget, "test", 0, NULL);
        mem_fail_nth(nth, false);
        enum err e = use_store(&budget);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&budget), 0);
        assert_true(e == (fired ? ERR_NOMEM : OK));
        if (!fired) break;
        assert_true(nth < 1000);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_come_by_their_labels_and_samples_by_time),
        cmocka_unit_test(test_an_older_or_conflicting_sample_is_refused),
        cmocka_unit_test(test_nan_is_the_same_if_its_bits_are),
        cmocka_unit_test(test_a_question_selects_by_matchers_times_and_shards),
        cmocka_unit_test(test_long_series_come_in_several_batches),
        cmocka_unit_test(test_the_limits_of_a_query_hold),
        cmocka_unit_test(test_random_samples_are_answered_as_they_were_added),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
