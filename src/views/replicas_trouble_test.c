/* replicas_trouble_test.c - failures while replicas are read as one: errors of the view below,
 * memory, limits, canceled queries, damage, series added meanwhile. */
#include "lib/views/replicas_rig.h"
#include "model/select.h"

/* Reads everything; returns the error at the end. */
static enum err
drain(struct replicas_rig *g, const struct query_request *r, unsigned *ret_series, struct why *why)
{
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    *ret_series = 0;
    enum err e = view_select(g->view, r, &set, why);
    if (e) return e;
    for (;;) {
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        ++*ret_series;
        do {
            e = series_set_batch(set, &b, why);
        } while (e == OK && b.count > 0);
        if (e) break;
    }
    series_set_free(set);
    return e;
}

UNIT_TEST(test_a_failed_allocation_is_an_error)
{
    static struct replicas_rig g;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) { /* the second number is many */
        for (uint64_t nth = 1;; nth++) {
            unsigned series;
            struct why why;
            replicas_rig_begin(&g, 1);
            put_shops(&g, replicas);
            struct query_request r = replicas_request(&g);
            mem_fail_nth(nth, false);
            enum err e = drain(&g, &r, &series, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_true(e == OK || e == ERR_NOMEM);
            replicas_rig_end(&g);
            if (fired) continue; /* some matchers are optional */
            assert_int_equal(e, OK);
            assert_int_equal(series, replicas / 2 + replicas / 4);
            break;
        }
    }
}

UNIT_TEST(test_an_error_below_is_that_of_the_answer)
{
    static struct replicas_rig g;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        for (unsigned fails = 0;; fails++) {
            unsigned series;
            struct why why;
            replicas_rig_begin(&g, 1);
            g.given.error = ERR_CORRUPT;
            g.given.fails = fails;
            put_shops(&g, replicas);
            struct query_request r = replicas_request(&g);
            enum err e = drain(&g, &r, &series, &why);
            bool failed = g.given.selects > fails;
            replicas_rig_end(&g);
            assert_int_equal(e, failed ? ERR_CORRUPT : OK);
            if (!failed) break;
            assert_string_equal(why.text, "as told");
        }
    }
}

UNIT_TEST(test_a_query_that_is_canceled_ends_and_says_why)
{
    static struct replicas_rig g;
    struct query_control control = {.names = &limits_of_queries};
    struct series_set *set;
    struct bytes labels;
    struct why why;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        replicas_rig_begin(&g, 1);
        put_shops(&g, replicas);
        struct query_request r = replicas_request(&g);
        r.control = &control;
        control.canceled = NULL;
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        control.canceled = "the query was canceled";
        assert_int_equal(series_set_next(set, &labels, &why), ERR_CANCELED);
        assert_string_equal(why.text, "the query was canceled");
        series_set_free(set);
        assert_int_equal(view_select(g.view, &r, &set, &why), ERR_CANCELED);
        assert_string_equal(why.text, "the query was canceled");
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_each_series_and_sample_counts_once)
{
    static struct replicas_rig g;
    unsigned series;
    struct why why;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        struct query_control control = {.names = &limits_of_queries};
        struct series_set *set;
        struct series_cost spent;
        replicas_rig_begin(&g, 1);
        put_shops(&g, replicas);
        struct query_request r = replicas_request(&g);
        r.control = &control;
        control.series_max = g.given.count;
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(control.series_seen, g.given.count);
        assert_int_equal(control.bytes_seen, 2 * control.samples_seen);
        uint64_t samples = control.samples_seen;
        control.series_seen = control.samples_seen = control.bytes_seen = 0;
        control.series_max--;
        assert_int_equal(drain(&g, &r, &series, &why), ERR_LIMIT);
        control.series_max = 0;
        control.series_seen = control.samples_seen = control.bytes_seen = 0;
        control.samples_max = samples - 1;
        assert_int_equal(drain(&g, &r, &series, &why), ERR_LIMIT);
        assert_non_null(strstr(why.text, "query.max_samples_read"));
        control.samples_max = 0;
        control.samples_seen = control.bytes_seen = 0;
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        do {
            struct bytes labels;
            assert_int_equal(series_set_next(set, &labels, &why), OK);
            series = labels.at != NULL;
        } while (series > 0);
        assert_true(series_set_spent(set, &spent));
        assert_int_equal(spent.series, g.given.count);
        series_set_free(set);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_samples_that_were_downsampled_are_noted_above)
{
    static struct replicas_rig g;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        struct query_control control = {.names = &limits_of_queries};
        unsigned series;
        struct why why;
        replicas_rig_begin(&g, 1);
        put_shops(&g, replicas);
        struct query_request r = replicas_request(&g);
        r.control = &control;
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(thinned_to(&control), 0);
        g.given.thinned_to_ms = 300000;
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(thinned_to(&control), 300000);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_a_place_that_is_damaged_is_named_once)
{
    static struct replicas_rig g;
    struct bytes labels;
    struct why why;
    for (unsigned replicas = 0; replicas <= 80; replicas += 40) { /* no series, in two ways */
        struct series_set *set;
        replicas_rig_begin(&g, 1);
        g.given.warning = "half of it is gone";
        put_shops(&g, replicas);
        struct query_request r = replicas_request(&g);
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        do {
            assert_int_equal(series_set_next(set, &labels, &why), OK);
        } while (labels.at != NULL);
        assert_string_equal(series_set_warning(set, 0), "half of it is gone");
        assert_null(series_set_warning(set, 1));
        series_set_free(set);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_damage_that_is_found_while_samples_are_read_is_named)
{
    static struct replicas_rig g;
    struct series_set *set;
    struct bytes labels;
    struct why why;
    replicas_rig_begin(&g, 1);
    put_shops(&g, 40);
    struct query_request r = replicas_request(&g);
    assert_int_equal(view_select(g.view, &r, &set, &why), OK);
    assert_null(series_set_warning(set, 0));
    do {
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        g.given.warning = "half of it is gone";
    } while (labels.at != NULL);
    assert_string_equal(series_set_warning(set, 0), "half of it is gone");
    series_set_free(set);
    replicas_rig_end(&g);
}

/* The view below is not a snapshot of one moment. */
UNIT_TEST(test_series_that_come_while_others_are_read_hide_no_others)
{
    static struct replicas_rig g;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct given_series *late, *wanted[SERIES_MAX];
        unsigned series, want = 0;
        struct why why;
        replicas_rig_random(&g, seed, 60, 2);
        g.given.has_late = true;
        g.given.late = (unsigned)seed % g.given.count;
        struct query_request r = replicas_request(&g);
        unsigned count = find_wanted(&g, &r, wanted);
        late = g.given.series[g.given.late];
        for (unsigned i = 0; i < count; i++) {
            bool said =
                i > 0 && wanted[i - 1] != late && bytes_equal(wanted[i - 1]->rest, wanted[i]->rest);
            if (i > 1 && wanted[i - 1] == late)
                said = bytes_equal(wanted[i - 2]->rest, wanted[i]->rest);
            want += wanted[i] != late && !said;
        }
        enum err e = drain(&g, &r, &series, &why);
        if (e)
            assert_int_equal(e, ERR_AGAIN); /* it changes the order of others */
        else
            assert_in_range(series, want, want + 1);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_series_that_damage_hides_meanwhile_are_left_out)
{
    static struct replicas_rig g;
    struct why why;
    for (unsigned hidden = 0, count = 1; hidden <= count; hidden++) {
        unsigned series, want = 0;
        replicas_rig_begin(&g, 1);
        put_shops(&g, 80); /* so many that some series have a query, after that of all labels */
        struct query_request r = replicas_request(&g);
        count = g.given.count;
        g.given.hides_after = 1;
        g.given.hidden = hidden;
        for (unsigned i = 0; i < hidden; i++) {
            struct given_series **s = &g.given.series[i];
            want += i == 0 || !bytes_equal(s[-1]->rest, s[0]->rest);
        }
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(series, want);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_sets_go_on_when_the_view_is_given_back)
{
    static struct replicas_rig g;
    struct series_set *set;
    struct bytes labels;
    replicas_rig_begin(&g, 1);
    put_shops(&g, 80);
    struct query_request r = replicas_request(&g);
    assert_int_equal(view_select(g.view, &r, &set, NULL), OK);
    view_free(g.view);
    assert_int_equal(series_set_next(set, &labels, NULL), OK);
    assert_non_null(labels.at);
    assert_false(g.given.freed);
    series_set_free(set);
    assert_true(g.given.freed);
    assert_int_equal(budget_used(&g.budget), 0);
    arena_fini(&g.arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_allocation_is_an_error),
        cmocka_unit_test(test_an_error_below_is_that_of_the_answer),
        cmocka_unit_test(test_a_query_that_is_canceled_ends_and_says_why),
        cmocka_unit_test(test_each_series_and_sample_counts_once),
        cmocka_unit_test(test_samples_that_were_downsampled_are_noted_above),
        cmocka_unit_test(test_a_place_that_is_damaged_is_named_once),
        cmocka_unit_test(test_damage_that_is_found_while_samples_are_read_is_named),
        cmocka_unit_test(test_series_that_come_while_others_are_read_hide_no_others),
        cmocka_unit_test(test_series_that_damage_hides_meanwhile_are_left_out),
        cmocka_unit_test(test_sets_go_on_when_the_view_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
