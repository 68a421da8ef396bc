/* search_score_test.c - scores of matches, computed by hand from the definitions. */
#include "lib/test.h"

#include "api/lookup/search_score.h"

struct scored {
    const char *term, *name;
    double score; /* below 0: not accepted */
};

static void
check_score(struct search_filter *f, const char *name, double expected)
{
    double score;
    bool accepted;
    assert_int_equal(search_score(f, bytes_of_text(name), &score, &accepted, NULL), OK);
    if (accepted != (expected >= 0)) fail_msg("%s: %f", name, score);
    if (accepted && (score - expected > 1e-12 || expected - score > 1e-12)) {
        fail_msg("%s: %.17g instead of %.17g", name, score, expected);
    }
}

static void
check_each(const struct scored *cases, size_t count, enum search_algorithm algorithm,
           double threshold, bool any_case)
{
    for (size_t i = 0; i < count; i++) {
        struct search_filter f;
        search_filter_init(&f, NULL);
        f.algorithm = algorithm;
        f.threshold = threshold;
        f.any_case = any_case;
        assert_int_equal(search_filter_add(&f, bytes_of_text(cases[i].term)), OK);
        check_score(&f, cases[i].name, cases[i].score);
        search_filter_fini(&f);
    }
}

#define check_all(cases, ...) check_each(cases, sizeof(cases) / sizeof *(cases), __VA_ARGS__)

UNIT_TEST(test_subsequence_rewards_runs_and_counts_gaps)
{
    static const struct scored cases[] = {
        {"up", "up", 1},
        {"up", "uptime", 1}, /* a prefix has the highest score */
        {"", "anything", 1},
        {"", "", 1},
        {"a", "", -1},
        {"abc", "xabc", (9 - 1.0 / 4) / 9},
        {"ac", "abc", (2 - 1.0 / 3) / 4},
        {"ac", "abcd", (2 - 1.0 / 4 - 1.0 / 8) / 4},
        {"ab", "a_ab", (4 - 2.0 / 4) / 4}, /* the better of two ways */
        {"ab", "axxxb_ab", (4 - 6.0 / 8) / 4},
        {"ca", "abc", -1},
        {"abc", "ab", -1},
        {"Up", "xup", -1},
        {"\xc3\xa9t", "x\xc3\xa9t", (4 - 1.0 / 3) / 4}, /* characters count, not bytes */
        {"t", "\xc3\xa9t", (1 - 1.0 / 2) / 1},
    };
    check_all(cases, SEARCH_SUBSEQUENCE, 0, false);
}

UNIT_TEST(test_a_score_below_the_threshold_is_not_accepted)
{
    static const struct scored cases[] = {
        {"ac", "abc", -1}, {"abc", "xabc", (9 - 1.0 / 4) / 9}, {"up", "uptime", 1}};
    check_all(cases, SEARCH_SUBSEQUENCE, 0.5, false);
    static const struct scored alike[] = {
        {"martha", "marhta", 0.9611111111111111}, {"dixon", "dicksonx", -1}, {"", "x", 1}};
    check_all(alike, SEARCH_JARO_WINKLER, 0.9, false);
}

UNIT_TEST(test_jaro_winkler_takes_parts_and_what_is_alike)
{
    static const struct scored cases[] = {
        {"up", "uptime", 1},
        {"time", "uptime", 0.9},
        {"martha", "marhta", 0.9611111111111111},
        {"dicksonx", "dixon", 0.8133333333333332},
        {"dwayne", "duane", 0.84},
        {"abc", "xyz", -1},
        {"abc", "", -1},
        {"\xc3\xa9\xc3\xa0\xc3\xbc", "\xc3\xa9\xc3\xbc\xc3\xa0", 0.6},
    };
    check_all(cases, SEARCH_JARO_WINKLER, 0.01, false);
    static const struct scored exact[] = {{"martha", "marhta", -1}, {"time", "uptime", 0.9}};
    check_all(exact, SEARCH_JARO_WINKLER, 0, false);
}

UNIT_TEST(test_case_matters_unless_it_does_not)
{
    static const struct scored cases[] = {{"UP", "uptime", 1}, {"up", "UPTIME", 1}};
    static const struct scored not_alike[] = {{"UP", "uptime", -1}, {"up", "UPTIME", -1}};
    for (unsigned algorithm = SEARCH_SUBSEQUENCE; algorithm <= SEARCH_JARO_WINKLER; algorithm++) {
        check_all(cases, (enum search_algorithm)algorithm, 0, true);
        check_all(not_alike, (enum search_algorithm)algorithm, 0, false);
    }
}

UNIT_TEST(test_the_best_of_several_terms_counts)
{
    struct search_filter f;
    search_filter_init(&f, NULL);
    check_score(&f, "anything", 1); /* without terms */
    assert_int_equal(search_filter_add(&f, bytes_of_text("ac")), OK);
    assert_int_equal(search_filter_add(&f, bytes_of_text("bc")), OK);
    check_score(&f, "abc", (4 - 1.0 / 3) / 4);
    check_score(&f, "xyz", -1);
    search_filter_fini(&f);
}

UNIT_TEST(test_a_failed_allocation_is_returned)
{
    for (unsigned nth = 1;; nth++) {
        struct search_filter f;
        double score;
        bool accepted;
        search_filter_init(&f, NULL);
        f.algorithm = SEARCH_JARO_WINKLER;
        f.threshold = 0.5;
        f.any_case = true;
        mem_fail_nth(nth, false);
        enum err e = search_filter_add(&f, bytes_of_text("Martha"));
        if (e == OK) e = search_score(&f, bytes_of_text("marhta"), &score, &accepted, NULL);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        search_filter_fini(&f);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
    }
}

/* Both measures take time that grows with the product of two lengths. */
static void
check_ends(enum search_algorithm algorithm, char in_term, char in_name)
{
    enum { TERM_BYTES = 4000, NAME_BYTES = 8000 };
    char term[TERM_BYTES], name[NAME_BYTES];
    struct query_control control = {.canceled = "stopped by hand"};
    struct search_filter f;
    struct why why = {""};
    double score;
    bool accepted;
    memset(term, in_term, sizeof term);
    memset(name, in_name, sizeof name);
    term[TERM_BYTES - 1] = '.'; /* it is neither a prefix nor contained */
    name[NAME_BYTES - 2] = '.';
    search_filter_init(&f, NULL);
    f.algorithm = algorithm;
    f.threshold = 0.1;
    assert_int_equal(search_filter_add(&f, bytes_of(term, sizeof term)), OK);
    assert_int_equal(search_score(&f, bytes_of("x", 1), &score, &accepted, &why), OK);
    f.control = &control;
    enum err e = search_score(&f, bytes_of(name, sizeof name), &score, &accepted, &why);
    assert_int_equal(e, ERR_CANCELED);
    assert_string_equal(why.text, "stopped by hand");
    search_filter_fini(&f);
}

UNIT_TEST(test_long_texts_are_compared_until_the_search_is_ended)
{
    check_ends(SEARCH_SUBSEQUENCE, 'a', 'a');
    check_ends(SEARCH_JARO_WINKLER, 'a', 'b');
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_texts_are_compared_until_the_search_is_ended),
        cmocka_unit_test(test_subsequence_rewards_runs_and_counts_gaps),
        cmocka_unit_test(test_a_score_below_the_threshold_is_not_accepted),
        cmocka_unit_test(test_jaro_winkler_takes_parts_and_what_is_alike),
        cmocka_unit_test(test_case_matters_unless_it_does_not),
        cmocka_unit_test(test_the_best_of_several_terms_counts),
        cmocka_unit_test(test_a_failed_allocation_is_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
