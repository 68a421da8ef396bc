/* depends_test.c - dependencies between rules of a group: which may be evaluated together. */
#include "lib/test.h"

#include <stdio.h>

#include "rules/group/group.h"
#include "sys/env.h"

static struct rules_host host;
static const struct group_defaults defaults = {60000, 0};

static struct group *
group_of(struct rule *rules, uint32_t count)
{
    const struct rule_group text = {.file = "f", .name = "g", .rules = rules, .rule_count = count};
    struct group *group = NULL;
    struct why why = {""};
    host.env = env_real();
    if (group_new(&host, bytes_of_text("t"), &text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

#define RECORD(name_, expression_)                                           \
    {                                                                        \
        .kind = RULE_RECORDING, .name = (name_), .expression = (expression_) \
    }
#define ALERT(name_, expression_)                                           \
    {                                                                       \
        .kind = RULE_ALERTING, .name = (name_), .expression = (expression_) \
    }

UNIT_TEST(test_rules_run_together_until_one_uses_the_output_of_another)
{
    struct rule rules[] = {
        RECORD("a", "up"),
        RECORD("b", "up"),
        RECORD("c", "a"), /* "a" is the output of a rule above */
        RECORD("d", "e"), /* "e" is that of one below */
        RECORD("e", "up"),
        RECORD("e", "down"),             /* like d */
        RECORD("f", "sum({job=\"x\"})"), /* any name, so e as well */
        ALERT("g", "up"),
        RECORD("h", "ALERTS{alertname=\"other\"}"), /* not the alert g */
        RECORD("i", "ALERTS{alertname=\"g\"}"),
    };
    static const uint32_t batches[] = {0, 0, 1, 1, 2, 3, 4, 5, 5, 6};
    struct group *g = group_of(rules, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(g->rules[i].batch, batches[i]);
    group_free(g);
}

UNIT_TEST(test_texts_of_alerts_that_ask_may_read_what_any_rule_writes)
{
    struct named_text asks = {"x", "{{ query \"up\" }}"}, says = {"x", "{{ $value }}"};
    struct rule rules[] = {RECORD("a", "up"), ALERT("b", "up"), ALERT("c", "up")};
    rules[1].annotations = (struct named_texts){&says, 1};
    rules[2].annotations = (struct named_texts){&asks, 1};
    struct group *g = group_of(rules, 3);
    assert_int_equal(g->rules[1].batch, 0);
    assert_int_equal(g->rules[2].batch, 1);
    group_free(g);
}

UNIT_TEST(test_rules_of_one_kind_with_one_name_are_known)
{
    struct rule rules[] = {RECORD("a", "1"), ALERT("a", "1"),  RECORD("b", "1"),
                           RECORD("a", "1"), RECORD("a", "1"), ALERT("a", "1")};
    static const int before[] = {-1, -1, -1, 0, 3, 1};
    struct group *g = group_of(rules, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_ptr_equal(g->rules[i].same_before, before[i] < 0 ? NULL : &g->rules[before[i]]);
    group_free(g);
}

/* Says whether the group reads one of the names "r0" to "r99". */
static void
check_reads(struct rule *rule, uint32_t tries, bool reads, uint32_t left)
{
    struct recorded recorded;
    struct group *g = group_of(rule, 1);
    recorded_init(&recorded, NULL, 1);
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "r%u", i);
        struct rule writer = RECORD(name, "up");
        struct group *writers = group_of(&writer, 1);
        assert_int_equal(group_add_recorded(writers, &recorded), OK);
        group_free(writers);
    }
    assert_int_equal(group_reads_recorded(g, &recorded, &tries), reads);
    assert_int_equal(tries, left);
    recorded_fini(&recorded);
    group_free(g);
}

UNIT_TEST(test_with_too_much_to_compare_selectors_count_as_dependent)
{
    struct rule named = RECORD("x", "r7 + r100");
    struct rule either = RECORD("x", "{__name__=~\"r.7\"} + {__name__=~\"q.*\"}");
    struct rule neither = RECORD("x", "{__name__=~\"p.*\"} + {__name__=~\"q.*\"}");
    check_reads(&named, 0, true, 0);
    check_reads(&either, 3, true, 0); /* r97 is the third */
    check_reads(&neither, 1000, false, 800);
    check_reads(&neither, 200, false, 0);
    check_reads(&neither, 199, true, 0);
}

static void
check_reads_back(const struct rule *rules, uint32_t count, bool reads_back)
{
    struct rule copy[2];
    memcpy(copy, rules, count * sizeof *rules);
    struct group *g = group_of(copy, count);
    assert_int_equal(g->reads_back, reads_back);
    group_free(g);
}

UNIT_TEST(test_rules_that_read_what_they_or_later_ones_write_read_back)
{
    struct rule itself[] = {RECORD("a", "a + 1")};
    struct rule later[] = {RECORD("a", "sum({__name__=~\"b|c\"})"), RECORD("b", "up")};
    struct rule before[] = {RECORD("a", "up"), RECORD("b", "a")};
    struct rule alert[] = {ALERT("a", "b"), RECORD("b", "up")};
    struct named_text day = {"window", "1d"};
    struct rule other[] = {RECORD("a", "a{window=\"5m\"}")},
                same[] = {RECORD("a", "a{window!=\"5m\"}")};
    other[0].labels = same[0].labels = (struct named_texts){&day, 1};
    check_reads_back(other, 1, false);
    check_reads_back(same, 1, true);
    check_reads_back(itself, 1, true);
    check_reads_back(later, 2, true);
    check_reads_back(before, 2, false);
    check_reads_back(alert, 2, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_run_together_until_one_uses_the_output_of_another),
        cmocka_unit_test(test_texts_of_alerts_that_ask_may_read_what_any_rule_writes),
        cmocka_unit_test(test_rules_of_one_kind_with_one_name_are_known),
        cmocka_unit_test(test_with_too_much_to_compare_selectors_count_as_dependent),
        cmocka_unit_test(test_rules_that_read_what_they_or_later_ones_write_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
