#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/twins.h"
#include "sys/env.h"

enum { RULES = 70 }; /* too many for all pairs to be compared */

static struct rules_host host;
static const struct group_defaults defaults = {60000, 0};

/* Alerts of one name. Groups of one file and name are evaluated at the same times. */
static struct group *
group_of(const char *name, uint32_t rule_count, const char *value, int64_t interval_ms,
         int64_t offset_ms)
{
    static struct rule rules[RULES];
    struct named_text label = {"l", value};
    const struct rule_group text = {.file = "f",
                                    .name = name,
                                    .rules = rules,
                                    .rule_count = rule_count,
                                    .labels = {&label, 1},
                                    .interval_ms = interval_ms,
                                    .has_query_offset = true,
                                    .query_offset_ms = offset_ms};
    struct group *group = NULL;
    struct why why = {""};
    host.env = env_real();
    for (uint32_t i = 0; i < RULES; i++) {
        rules[i] = (struct rule){.kind = RULE_ALERTING, .name = "A", .expression = "vector(1)"};
    }
    if (group_new(&host, bytes_of_text("t"), &text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

/* Whether the rules of both have twins. */
static void
check_twins(struct group *a, struct group *b, bool expected)
{
    struct twin_group groups[] = {{a, true}, {b, true}};
    assert_int_equal(twins_mark(NULL, groups, b == NULL ? 1 : 2), OK);
    for (uint32_t i = 0; i < a->text.rule_count; i++) {
        assert_int_equal(a->rules[i].has_twin, expected);
    }
    for (uint32_t i = 0; b != NULL && i < b->text.rule_count; i++) {
        assert_int_equal(b->rules[i].has_twin, expected);
    }
    group_free(a);
    group_free(b);
}

static void
test_alerts_of_one_name_at_the_same_times_are_twins_unless_labels_tell_them_apart(void **state)
{
    (void)state;
    check_twins(group_of("g", 1, "x", 0, 0), group_of("g", 1, "x", 0, 0), true);
    check_twins(group_of("g", 2, "x", 0, 0), group_of("g", 3, "{{ 1 }}", 0, 0), true);
    check_twins(group_of("g", 2, "x", 0, 0), group_of("g", 3, "y", 0, 0), false);
    check_twins(group_of("g", 1, "x", 0, 0), group_of("g", 1, "x", 0, 1), false);
    check_twins(group_of("g", 1, "x", 0, 0), group_of("other", 1, "x", 0, 0), false);
}

/* That of the longer interval is one of those of the shorter. */
static void
test_groups_of_different_intervals_may_be_evaluated_at_the_same_times(void **state)
{
    (void)state;
    check_twins(group_of("g", 1, "x", 60000, 0), group_of("g", 1, "x", 120000, 0), true);
    check_twins(group_of("g", 1, "x", 60000, 0), group_of("g", 1, "x", 120000, 1), false);
}

static void
test_rules_of_one_group_are_no_twins_however_many_they_are(void **state)
{
    (void)state;
    check_twins(group_of("g", 2, "x", 0, 0), NULL, false);
    check_twins(group_of("g", RULES, "x", 0, 0), NULL, false);
}

static void
test_of_too_many_rules_at_one_time_all_are_twins(void **state)
{
    (void)state;
    check_twins(group_of("g", RULES, "x", 0, 0), group_of("g", 1, "y", 0, 0), true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_alerts_of_one_name_at_the_same_times_are_twins_unless_labels_tell_them_apart),
        cmocka_unit_test(test_groups_of_different_intervals_may_be_evaluated_at_the_same_times),
        cmocka_unit_test(test_rules_of_one_group_are_no_twins_however_many_they_are),
        cmocka_unit_test(test_of_too_many_rules_at_one_time_all_are_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
