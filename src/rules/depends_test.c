#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/group_private.h"
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

static void
test_rules_run_together_until_one_reads_or_writes_what_another_one_writes(void **state)
{
    (void)state;
    struct rule rules[] = {
        RECORD("a", "up"),
        RECORD("b", "up"),
        RECORD("c", "a"), /* what was written */
        RECORD("d", "e"), /* what is going to be */
        RECORD("e", "up"),
        RECORD("e", "down"),             /* the same */
        RECORD("f", "sum({job=\"x\"})"), /* anything, so e, too */
        ALERT("g", "up"),
        RECORD("h", "ALERTS{alertname=\"other\"}"), /* not that of g */
        RECORD("i", "ALERTS{alertname=\"g\"}"),
    };
    static const uint32_t batches[] = {0, 0, 1, 1, 2, 3, 4, 5, 5, 6};
    struct group *g = group_of(rules, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(g->rules[i].batch, batches[i]);
    }
    group_free(g);
}

static void
test_rules_of_one_kind_with_one_name_are_known(void **state)
{
    (void)state;
    struct rule rules[] = {RECORD("a", "1"), ALERT("a", "1"),  RECORD("b", "1"),
                           RECORD("a", "1"), RECORD("a", "1"), ALERT("a", "1")};
    static const bool shares[] = {false, false, false, true, true, true};
    static const bool last[] = {false, false, true, false, true, true};
    struct group *g = group_of(rules, 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(g->rules[i].shares_name, shares[i]);
        assert_int_equal(g->rules[i].is_last_of_name, last[i]);
    }
    group_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_run_together_until_one_reads_or_writes_what_another_one_writes),
        cmocka_unit_test(test_rules_of_one_kind_with_one_name_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
