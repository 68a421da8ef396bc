/* series_rules_test.c - the first rule that fits tenant and labels decides. */
#include "lib/test.h"

#include "base/buf.h"
#include "model/labels.h"
#include "model/series_rules.h"

static const char *const only_a[] = {"a"};
static const char *const a_and_b[] = {"a", "b"};

static struct series_rules *
rules_of(const struct series_rule *list, uint32_t count)
{
    struct series_rules *rules;
    struct why why = {""};
    if (series_rules_new(list, count, NULL, &rules, &why)) fail_msg("%s", why.text);
    return rules;
}

/* Returns the age of the rule for a series that has one label; 0 without a rule. */
static int64_t
age_of(const struct series_rules *rules, const char *tenant, const char *name, const char *value)
{
    static const struct labels_limits limits = {8, 1000, 1000};
    struct label label = {bytes_of_text(name), bytes_of_text(value)};
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    assert_int_equal(labels_build(&label, 1, &limits, &labels), REJECT_NONE);
    int64_t age_ms = 0;
    (void)series_rules_find(rules, bytes_of_text(tenant), buf_bytes(&labels), &age_ms);
    buf_fini(&labels);
    return age_ms;
}

UNIT_TEST(test_the_first_rule_that_fits_a_series_decides)
{
    const struct series_rule list[] = {
        {"{job=\"ci\"}", NULL, 0, 1}, {"{job=~\"c.*\"}", NULL, 0, 2}, {"{job=\"ci\"}", NULL, 0, 3}};
    struct series_rules *rules = rules_of(list, 3);
    assert_int_equal(age_of(rules, "a", "job", "ci"), 1);
    assert_int_equal(age_of(rules, "a", "job", "cd"), 2);
    assert_int_equal(age_of(rules, "a", "job", "x"), 0);
    assert_int_equal(age_of(rules, "a", "__name__", "up"), 0);
    series_rules_unref(rules);
}

UNIT_TEST(test_a_rule_with_tenants_is_for_no_other_tenant)
{
    const struct series_rule list[] = {{"{job=\"ci\"}", only_a, 1, 5},
                                       {"{job!=\"\"}", a_and_b, 2, 7}};
    struct series_rules *rules = rules_of(list, 2);
    assert_int_equal(age_of(rules, "a", "job", "ci"), 5);
    assert_int_equal(age_of(rules, "b", "job", "ci"), 7);
    assert_int_equal(age_of(rules, "c", "job", "ci"), 0);
    assert_true(series_rules_least_age_ms(rules, bytes_of_text("a")) == 5);
    assert_true(series_rules_least_age_ms(rules, bytes_of_text("b")) == 7);
    assert_true(series_rules_least_age_ms(rules, bytes_of_text("c")) == INT64_MAX);
    assert_true(series_rules_least_age_ms(rules, (struct bytes){NULL, 0}) == 5);
    series_rules_unref(rules);
}

UNIT_TEST(test_a_selector_may_match_every_series)
{
    const struct series_rule list[] = {{"{}", NULL, 0, 9}};
    struct series_rules *rules = rules_of(list, 1);
    assert_int_equal(age_of(rules, "a", "x", "y"), 9);
    series_rules_unref(rules);
}

UNIT_TEST(test_no_rules_decide_nothing)
{
    assert_int_equal(series_rules_count(NULL), 0);
    assert_true(series_rules_serial(NULL) == 0);
    assert_int_equal(age_of(NULL, "a", "job", "ci"), 0);
    assert_true(series_rules_least_age_ms(NULL, bytes_of_text("a")) == INT64_MAX);
    assert_null(series_rules_ref(NULL));
    series_rules_unref(NULL);
}

UNIT_TEST(test_an_invalid_selector_is_refused_with_its_reason)
{
    const struct series_rule list[] = {{"{job=\"ci\"}", only_a, 1, 1}, {"{job=", NULL, 0, 1}};
    struct series_rules *rules;
    struct why why = {""};
    assert_int_equal(series_rules_new(list, 2, NULL, &rules, &why), ERR_INPUT);
    assert_string_not_equal(why.text, "");
}

UNIT_TEST(test_rules_are_equal_only_if_all_their_parts_are)
{
    const struct series_rule list[] = {{"{a=\"b\"}", only_a, 1, 5},
                                       {"{a=\"b\"}", NULL, 0, 5},
                                       {"{a=\"b\"}", only_a, 1, 6},
                                       {"{a=\"c\"}", only_a, 1, 5},
                                       {"{a=\"b\"}", a_and_b, 2, 5}};
    struct series_rules *first = rules_of(&list[0], 1), *two = rules_of(list, 2);
    for (uint32_t i = 0; i < 5; i++) {
        struct series_rules *other = rules_of(&list[i], 1);
        assert_int_equal(series_rules_equal(first, other), i == 0);
        assert_true(series_rules_serial(first) != series_rules_serial(other));
        series_rules_unref(other);
    }
    assert_false(series_rules_equal(first, two));
    assert_false(series_rules_equal(first, NULL));
    assert_true(series_rules_equal(NULL, NULL));
    series_rules_unref(series_rules_ref(first));
    series_rules_unref(first);
    series_rules_unref(two);
}

UNIT_TEST(test_each_refused_allocation_is_an_error)
{
    const struct series_rule list[] = {{"{a=\"b\"}", only_a, 1, 5},
                                       {"{a=~\"c.*\"}", a_and_b, 2, 5}};
    enum err e = ERR_NOMEM;
    for (uint64_t limit = 0; e == ERR_NOMEM; limit += 64) {
        struct budget budget;
        struct series_rules *rules;
        struct why why = {""};
        budget_init(&budget, "test", limit + 1, NULL);
        e = series_rules_new(list, 2, &budget, &rules, &why);
        assert_true(e == OK || (e == ERR_NOMEM && why.text[0] != '\0'));
        if (e == OK) series_rules_unref(rules);
        assert_int_equal(budget_used(&budget), 0);
    }
    assert_int_equal(e, OK);
}

UNIT_TEST(test_rules_with_former_ones_keep_a_series_for_the_longest_time)
{
    static const struct series_rule list[] = {
        {"{job=\"ci\"}", NULL, 0, 2}, {"{job=\"web\"}", NULL, 0, 9}, {"{job=\"db\"}", NULL, 0, 3}};
    static const struct series_rule before[] = {{"{job=~\"ci|web\"}", NULL, 0, 5}};
    struct series_rules *rules, *former, *both;
    assert_int_equal(series_rules_new(list, 3, NULL, &rules, NULL), OK);
    assert_int_equal(series_rules_new(before, 1, NULL, &former, NULL), OK);
    assert_int_equal(series_rules_with(rules, &former, 1, NULL, &both), OK);
    assert_int_equal(age_of(both, "a", "job", "ci"), 5);
    assert_int_equal(age_of(both, "a", "job", "web"), 9);
    assert_int_equal(age_of(both, "a", "job", "db"), 0);
    assert_int_equal(series_rules_least_age_ms(both, bytes_of_text("a")), 5);
    assert_int_equal(series_rules_index(both, series_rules_at(rules, 1)), 1);
    assert_true(series_rules_serial(both) != series_rules_serial(rules));
    series_rules_unref(rules);
    series_rules_unref(former);
    assert_int_equal(age_of(both, "a", "job", "ci"), 5);
    series_rules_unref(both);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_rule_that_fits_a_series_decides),
        cmocka_unit_test(test_a_rule_with_tenants_is_for_no_other_tenant),
        cmocka_unit_test(test_a_selector_may_match_every_series),
        cmocka_unit_test(test_no_rules_decide_nothing),
        cmocka_unit_test(test_an_invalid_selector_is_refused_with_its_reason),
        cmocka_unit_test(test_each_refused_allocation_is_an_error),
        cmocka_unit_test(test_rules_are_equal_only_if_all_their_parts_are),
        cmocka_unit_test(test_rules_with_former_ones_keep_a_series_for_the_longest_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
