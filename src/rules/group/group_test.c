/* group_test.c - groups of rules: labels, hashes, and taking over from an earlier group. */
#include "lib/test.h"

#include <stdio.h>

#include "model/permitted.h"
#include "rules/group/group.h"
#include "sys/env.h"

static struct rules_host host;
static const struct group_defaults defaults = {60000, 1000};
static struct rule one = {.kind = RULE_RECORDING, .name = "r", .expression = "1"};

static struct group *
group_of(const struct rule_group *text)
{
    struct group *group = NULL;
    struct why why = {""};
    host.env = env_real();
    if (group_new(&host, bytes_of_text("t"), text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

UNIT_TEST(test_labels_of_a_rule_win_over_those_of_its_group)
{
    struct named_text own[] = {{"b", "rule"}}, of_group[] = {{"a", "group"}, {"b", "group"}};
    struct rule rule = one;
    rule.labels = (struct named_texts){own, 1};
    struct group *g = group_of(&(struct rule_group){
        .file = "f", .name = "g", .rules = &rule, .rule_count = 1, .labels = {of_group, 2}});
    assert_int_equal(g->rules[0].label_count, 2);
    assert_true(bytes_equal_text(g->rules[0].labels[0].value, "group"));
    assert_true(bytes_equal_text(g->rules[0].labels[1].name, "b"));
    assert_true(bytes_equal_text(g->rules[0].labels[1].value, "rule"));
    group_free(g);
}

UNIT_TEST(test_a_group_is_another_one_if_anything_of_it_or_its_defaults_differs)
{
    const struct rule_group text = {
        .file = "f", .name = "g", .rules = &one, .rule_count = 1, .hash = 1};
    struct rule_group others[3] = {text, text, text};
    struct group_defaults interval = defaults, offset = defaults;
    struct group *g = group_of(&text);
    others[0].file = "other";
    others[1].name = "other";
    others[2].hash = 2;
    interval.interval_ms++;
    offset.query_offset_ms++;
    assert_true(group_is(g, bytes_of_text("t"), &text, &defaults));
    assert_false(group_is(g, bytes_of_text("u"), &text, &defaults));
    for (unsigned i = 0; i < 3; i++)
        assert_false(group_is(g, bytes_of_text("t"), &others[i], &defaults));
    assert_false(group_is(g, bytes_of_text("t"), &text, &interval));
    assert_false(group_is(g, bytes_of_text("t"), &text, &offset));
    group_free(g);
}

UNIT_TEST(test_a_group_that_takes_over_counts_on)
{
    const struct rule_group text = {.file = "f", .name = "g", .rules = &one, .rule_count = 1};
    struct group *from = group_of(&text), *g = group_of(&text);
    struct group_facts facts;
    from->facts.evaluated_at_ns = 1;
    from->facts.evaluated_for_ns = 2;
    from->facts.restored_for_ns = 3;
    from->facts.evaluations = 4;
    from->facts.failures = 5;
    from->facts.iterations = 6;
    from->facts.missed = 7;
    group_take_over(g, from);
    group_free(from);
    group_facts(g, &facts);
    assert_string_equal(facts.file, "f");
    assert_int_equal(facts.evaluated_at_ns, 1);
    assert_int_equal(facts.evaluated_for_ns, 2);
    assert_int_equal(facts.restored_for_ns, 3);
    assert_int_equal(facts.evaluations, 4);
    assert_int_equal(facts.failures, 5);
    assert_int_equal(facts.iterations, 6);
    assert_int_equal(facts.missed, 7);
    group_free(g);
}

/* Adds an alert with this value to a rule. */
static void
put_alert(struct group *g, uint32_t rule, uint64_t value)
{
    struct alert firing = {.state = ALERT_FIRING};
    struct alert_found found = {.labels = bytes_of_text("\1a\1b"), .value_bits = value};
    assert_int_equal(alerts_restore(&g->rules[rule].alerts, &firing, &found), OK);
}

/* Returns the value of the rule's alert; 0 if it has none. */
static uint64_t
value_of_alert(const struct group *g, uint32_t rule)
{
    const struct alerts *alerts = &g->rules[rule].alerts;
    return alerts->count == 0 ? 0 : alerts->items[0]->value_bits;
}

static bool
take_each(struct group *g, struct group *from)
{
    bool any = false;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        bool has_none = g->rules[i].alerts.count == 0 && g->rules[i].text->kind == RULE_ALERTING;
        any |= has_none && group_take_rule_alerts(g, i, from);
    }
    return any;
}

/* In a group that replaces another one, equal rules keep their order; in another group, the first
 * that has alerts is used. */
UNIT_TEST(test_alerts_go_to_rules_with_the_same_name_and_labels)
{
    struct named_text high = {"than", "high"};
    struct rule rules[5];
    for (unsigned i = 0; i < 5; i++)
        rules[i] = (struct rule){.kind = RULE_ALERTING, .name = "A", .expression = "1"};
    rules[1].labels = (struct named_texts){&high, 1};
    rules[3].kind = RULE_RECORDING;
    rules[4].name = "B";
    struct rule_group text = {.file = "f", .name = "g", .rules = rules, .rule_count = 5};
    for (int is_own = 0; is_own < 2; is_own++) {
        struct group *from = group_of(&text), *g = group_of(&text);
        put_alert(from, 1, 1);
        put_alert(from, 2, 2); /* the second of those without labels */
        put_alert(g, 4, 4);
        assert_true((is_own ? group_take_alerts(g, from) : take_each(g, from)));
        assert_int_equal(value_of_alert(g, 0), is_own ? 0 : 2);
        assert_int_equal(value_of_alert(g, 1), 1);
        assert_int_equal(value_of_alert(g, 2), is_own ? 2 : 0);
        assert_int_equal(value_of_alert(g, 3), 0);
        assert_int_equal(value_of_alert(g, 4), 4);
        assert_false((is_own ? group_take_alerts(g, from) : take_each(g, from)));
        group_free(from);
        group_free(g);
    }
}

static void
test_values_of_alerts_have_an_exponent_and_the_fewest_exact_digits(void **state)
{
    static const struct {
        double value;
        const char *text;
    } pairs[] = {
        {0, "0e+00"},
        {-0.0, "-0e+00"},
        {1000, "1e+03"},
        {10.5, "1.05e+01"},
        {0.00102, "1.02e-03"},
        {-1e300, "-1e+300"},
        {5e-324, "5e-324"},
        {0.1 + 0.2, "3.0000000000000004e-01"},
        {9007199254740993.0, "9.007199254740992e+15"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct rule rule = {.kind = RULE_ALERTING, .name = "a", .expression = "1"};
        struct rule_group text = {.file = "f", .name = "g", .rules = &rule, .rule_count = 1};
        struct group *g = group_of(&text);
        struct alert firing = {.state = ALERT_FIRING};
        struct alert_found found = {.value_bits = double_bits(pairs[i].value)};
        char wanted[64];
        struct buf to;
        struct json json;
        assert_int_equal(alerts_restore(&g->rules[0].alerts, &firing, &found), OK);
        buf_init(&to, NULL, 1 << 16);
        json_init(&json, &to);
        group_print_alerts(g, NULL, &json);
        buf_put_u8(&to, '\0');
        snprintf(wanted, sizeof wanted, "\"value\":\"%s\"", pairs[i].text);
        if (strstr((const char *)to.at, wanted) == NULL)
            fail_msg("%s in %s", wanted, (char *)to.at);
        buf_fini(&to);
        group_free(g);
    }
}

/* Adds a firing alert with one label. */
static void
add_alert(struct group *g, uint32_t rule, const char *team)
{
    struct alert firing = {.state = ALERT_FIRING};
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    labels_put(&labels, (struct label){bytes_of_text("team"), bytes_of_text(team)});
    struct alert_found found = {.labels = buf_bytes(&labels)};
    assert_int_equal(alerts_restore(&g->rules[rule].alerts, &firing, &found), OK);
    buf_fini(&labels);
}

UNIT_TEST(test_permitted_alerts_are_shown_without_texts_of_their_rules)
{
    struct rule rules[] = {{.kind = RULE_ALERTING, .name = "mine", .expression = "secret > 1"},
                           {.kind = RULE_ALERTING, .name = "other", .expression = "secret > 2"},
                           one};
    struct rule_group text = {.file = "f", .name = "g", .rules = rules, .rule_count = 3};
    struct group *g = group_of(&text);
    struct matcher *matcher;
    struct buf to;
    struct json json;
    add_alert(g, 0, "a");
    add_alert(g, 0, "b");
    add_alert(g, 1, "b");
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("team"), bytes_of_text("a"), NULL, &matcher, NULL),
        OK);
    struct matcher_set set = {&matcher, 1};
    struct permitted permitted = {{{&set, 1}}, 1};
    struct group_question q = {.alerting = true, .recording = true, .permitted = &permitted};
    buf_init(&to, NULL, 1 << 16);
    json_init(&json, &to);
    json_array_open(&json);
    group_print_alerts(g, &permitted, &json);
    assert_true(group_print(g, &q, &json));
    json_array_close(&json);
    buf_put_u8(&to, '\0');
    assert_string_equal(
        (const char *)to.at,
        "[{\"labels\":{\"team\":\"a\"},\"annotations\":{},\"state\":\"firing\","
        "\"activeAt\":\"0001-01-01T00:00:00Z\",\"value\":\"0e+00\"},"
        "{\"name\":\"g\",\"file\":\"f\",\"rules\":[{\"state\":\"firing\",\"name\":\"mine\","
        "\"query\":\"\",\"duration\":0,\"keepFiringFor\":0,\"labels\":{},\"annotations\":{},"
        "\"alerts\":[{\"labels\":{\"team\":\"a\"},\"annotations\":{},\"state\":\"firing\","
        "\"activeAt\":\"0001-01-01T00:00:00Z\",\"value\":\"0e+00\"}],\"health\":\"unknown\","
        "\"evaluationTime\":0,\"lastEvaluation\":\"0001-01-01T00:00:00Z\",\"type\":\"alerting\"}],"
        "\"interval\":60,\"limit\":0,\"evaluationTime\":0,"
        "\"lastEvaluation\":\"0001-01-01T00:00:00Z\"}]");
    q.alerting = false;
    assert_false(group_answers(g, &q));
    buf_fini(&to);
    matcher_free(matcher);
    group_free(g);
}

UNIT_TEST(test_selectors_do_not_match_labels_of_rules_that_are_not_shown)
{
    struct named_text label = {"team", "a"};
    struct rule rule = {
        .kind = RULE_ALERTING, .name = "mine", .expression = "secret > 1", .labels = {&label, 1}};
    struct rule_group text = {.file = "f", .name = "g", .rules = &rule, .rule_count = 1};
    struct group *g = group_of(&text);
    struct matcher *matcher;
    add_alert(g, 0, "a");
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("team"), bytes_of_text("a"), NULL, &matcher, NULL),
        OK);
    struct matcher_set set = {&matcher, 1};
    struct permitted permitted = {{{&set, 1}}, 1};
    struct group_question q = {.alerting = true, .sets = &set, .set_count = 1};
    assert_true(group_answers(g, &q));
    q.permitted = &permitted;
    assert_false(group_answers(g, &q));
    q.set_count = 0;
    assert_true(group_answers(g, &q));
    matcher_free(matcher);
    group_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_of_a_rule_win_over_those_of_its_group),
        cmocka_unit_test(test_a_group_is_another_one_if_anything_of_it_or_its_defaults_differs),
        cmocka_unit_test(test_a_group_that_takes_over_counts_on),
        cmocka_unit_test(test_alerts_go_to_rules_with_the_same_name_and_labels),
        cmocka_unit_test(test_values_of_alerts_have_an_exponent_and_the_fewest_exact_digits),
        cmocka_unit_test(test_permitted_alerts_are_shown_without_texts_of_their_rules),
        cmocka_unit_test(test_selectors_do_not_match_labels_of_rules_that_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
