/* select_test.c - limits of queries, windows of samples, and shards. */
#include "lib/test.h"
#include <math.h>

#include <stdlib.h>
#include <string.h>

#include "model/select.h"
#include "sys/env.h"

static int64_t clock_ns;

static int64_t
read_clock(struct env *env)
{
    (void)env;
    return clock_ns;
}

UNIT_TEST(test_query_ends_at_its_deadline)
{
    static const struct env_ops ops = {.monotonic_ns = read_clock};
    struct env env = {&ops};
    struct query_control control = {.env = &env, .deadline_ns = 1000};
    struct why why = {""};
    clock_ns = 999;
    assert_int_equal(query_control_check(&control, &why), OK);
    clock_ns = 1000;
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "query timed out");
    assert_int_equal(query_control_check(&control, NULL), ERR_CANCELED);
}

UNIT_TEST(test_query_without_deadline_asks_no_clock)
{
    struct query_control control = {.env = NULL};
    assert_int_equal(query_control_check(&control, NULL), OK);
}

UNIT_TEST(test_query_ends_when_canceled)
{
    struct query_control control = {.env = NULL};
    struct why why = {""};
    atomic_store(&control.canceled, "query canceled: by the test");
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "query canceled: by the test");
}

static bool
is_gone(void *context)
{
    unsigned *asked = context;
    return ++*asked == 3;
}

UNIT_TEST(test_whether_the_client_is_gone_is_asked_now_and_then)
{
    static const struct env_ops ops = {.monotonic_ns = read_clock};
    struct env env = {&ops};
    unsigned asked = 0;
    struct query_control control = {.env = &env, .is_gone = is_gone, .gone_context = &asked};
    clock_ns = 1000 * NS_PER_MS;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(query_control_check(&control, NULL), OK);
    assert_int_equal(asked, 1);
    clock_ns += 10 * NS_PER_MS;
    assert_int_equal(query_control_check(&control, NULL), OK);
    clock_ns += 10 * NS_PER_MS;
    struct why why = {""};
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "query canceled: the client disconnected");
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_int_equal(asked, 3);
}

UNIT_TEST(test_limits_hold_for_all_that_work_for_a_query)
{
    struct query_control control = {
        .series_max = 2, .samples_max = 100, .bytes_max = 1000, .names = &limits_of_queries};
    struct why why = {""};
    assert_int_equal(query_control_add_series(&control, &why), OK);
    assert_int_equal(query_control_add_series(&control, &why), OK);
    assert_int_equal(query_control_add_series(&control, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "more than 2 series (query.max_series): use"));
    assert_int_equal(query_control_add_samples(&control, 100, &why), OK);
    assert_int_equal(query_control_add_samples(&control, 1, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "100 samples (query.max_samples_read)"));
    assert_int_equal(query_control_add_bytes(&control, 1001, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "bytes of samples (query.max_bytes)"));
    assert_int_equal(query_control_add_bytes(NULL, 1, &why), OK);
}

/* Computes the result by definition, one window after another. */
static bool
each_has_all_or_none(const struct query_windows *w, int64_t min_ms, int64_t max_ms)
{
    for (int64_t end_ms = w->first_ms; end_ms <= w->last_ms; end_ms += w->step_ms) {
        int64_t begin_ms = end_ms - w->range_ms;
        bool none = max_ms <= begin_ms || min_ms > end_ms;
        if (!none && (min_ms <= begin_ms || max_ms > end_ms)) return false;
        if (w->step_ms == 0) break;
    }
    return true;
}

UNIT_TEST(test_windows_have_all_or_none_of_what_they_keep)
{
    for (int64_t n = 0; n < 4 * 5 * 8 * 16 * 8; n++) {
        struct query_windows w = {.first_ms = -3, .last_ms = 6 + n % 4};
        w.step_ms = n / 4 % 5;
        w.range_ms = n / 20 % 8;
        int64_t min_ms = n / 160 % 16 - 8, max_ms = min_ms + n / 2560;
        bool kept = query_windows_keep(&w, min_ms, max_ms);
        if (w.range_ms > 0)
            assert_int_equal(kept, each_has_all_or_none(&w, min_ms, max_ms));
        else if (kept)
            assert_true(each_has_all_or_none(&w, min_ms, max_ms));
    }
    struct query_windows all = {INT64_MAX, INT64_MAX, 0, INT64_MAX};
    assert_true(query_windows_keep(&all, 1, INT64_MAX));
    assert_false(query_windows_keep(&all, 0, INT64_MAX));
    struct query_windows many = {INT64_MIN, INT64_MAX, 1, INT64_MAX};
    assert_true(query_windows_keep(&many, 5, 5));
    assert_false(query_windows_keep(&many, 5, 6));
    struct query_windows far = {INT64_MIN, INT64_MAX, INT64_MAX, 1};
    assert_true(query_windows_keep(&far, 1, INT64_MAX - 2));
    assert_false(query_windows_keep(&far, -2, 5));
}

UNIT_TEST(test_each_shard_has_its_part_of_the_series)
{
    uint32_t counts[4] = {0};
    for (uint16_t i = 0; i < 4000; i++) {
        struct bytes labels = bytes_of(&i, sizeof i);
        assert_int_equal(shard_of_labels(labels, 0), 0);
        assert_int_equal(shard_of_labels(labels, 1), 0);
        counts[shard_of_labels(labels, 4)]++;
    }
    for (unsigned shard = 0; shard < 4; shard++)
        assert_in_range(counts[shard], 800, 1200);
}

static struct bytes
labels_in(struct buf *to, const char *const *pairs)
{
    buf_clear(to);
    for (; *pairs != NULL; pairs += 2)
        labels_put(to, (struct label){bytes_of_text(pairs[0]), bytes_of_text(pairs[1])});
    return buf_bytes(to);
}

UNIT_TEST(test_labels_that_do_not_count_for_a_shard_might_as_well_not_be_there)
{
    struct bytes names[] = {bytes_of_text("c"), bytes_of_text("a")};
    struct query_hints hints = {
        .shard_count = 1000, .shard_without = names, .shard_without_count = 2};
    struct buf with, without;
    buf_init(&with, NULL, 1000);
    buf_init(&without, NULL, 1000);
    for (unsigned which = 0; which < 32; which++) {
        static const char *const all[] = {"a", "b", "c", "d", "e"};
        const char *pairs[11], *rest[11];
        unsigned count = 0, left = 0;
        for (unsigned i = 0; i < 5; i++) {
            if ((which >> i & 1) == 0) continue;
            pairs[count++] = all[i];
            pairs[count++] = "1";
            if (i == 0 || i == 2) continue;
            rest[left++] = all[i];
            rest[left++] = "1";
        }
        pairs[count] = rest[left] = NULL;
        uint32_t shard = shard_of_labels(labels_in(&without, rest), 1000);
        assert_int_equal(query_hints_shard(&hints, labels_in(&with, pairs)), shard);
        hints.shard = shard;
        assert_true(query_hints_want(&hints, buf_bytes(&with)));
        hints.shard++;
        assert_false(query_hints_want(&hints, buf_bytes(&with)));
    }
    buf_fini(&with);
    buf_fini(&without);
    hints.shard_count = 1; /* one shard has all of them, whatever its number */
    assert_true(query_hints_want(&hints, bytes_of_text("")));
}

UNIT_TEST(test_shards_of_query_hints_are_copied)
{
    struct bytes names[] = {bytes_of_text("c"), bytes_of_text("a")};
    struct query_hints hints = {
        .limit = 7, .shard = 3, .shard_count = 5, .shard_without = names, .shard_without_count = 2};
    struct query_hints kept;
    for (uint64_t nth = 0; nth < 2; nth++) {
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        mem_fail_nth(nth, false);
        enum err e = query_hints_keep_shard(&hints, &arena, &kept);
        mem_fail_nth(0, false);
        assert_int_equal(e, nth == 0 ? OK : ERR_NOMEM);
        if (nth == 0) {
            assert_int_equal(kept.limit, 0);
            assert_int_equal(kept.shard, 3);
            assert_int_equal(kept.shard_count, 5);
            assert_true(bytes_equal_text(kept.shard_without[1], "a"));
            assert_ptr_not_equal(kept.shard_without[1].at, names[1].at);
        }
        arena_fini(&arena);
    }
    hints.shard_count = 0;
    assert_int_equal(query_hints_keep_shard(&hints, NULL, &kept), OK);
}

static struct exemplar
exemplar_of(int64_t t_ms, double value, const char *labels)
{
    return (struct exemplar){
        .labels = bytes_of_text(labels), .value_bits = double_bits(value), .t_ms = t_ms};
}

UNIT_TEST(test_exemplars_are_in_order_of_time_value_labels)
{
    const struct exemplar in_order[] = {
        exemplar_of(-1, 9, "z"),  exemplar_of(0, -HUGE_VAL, "z"), exemplar_of(0, -2, "z"),
        exemplar_of(0, -1, "y"),  exemplar_of(0, 0, "x"),         exemplar_of(0, 0.5, "a"),
        exemplar_of(0, 0.5, "b"), exemplar_of(0, HUGE_VAL, ""),   exemplar_of(1, -9, ""),
    };
    int count = sizeof in_order / sizeof *in_order;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int order = exemplar_compare(&in_order[i], &in_order[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_ends_at_its_deadline),
        cmocka_unit_test(test_whether_the_client_is_gone_is_asked_now_and_then),
        cmocka_unit_test(test_limits_hold_for_all_that_work_for_a_query),
        cmocka_unit_test(test_query_without_deadline_asks_no_clock),
        cmocka_unit_test(test_query_ends_when_canceled),
        cmocka_unit_test(test_windows_have_all_or_none_of_what_they_keep),
        cmocka_unit_test(test_each_shard_has_its_part_of_the_series),
        cmocka_unit_test(test_labels_that_do_not_count_for_a_shard_might_as_well_not_be_there),
        cmocka_unit_test(test_shards_of_query_hints_are_copied),
        cmocka_unit_test(test_exemplars_are_in_order_of_time_value_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
