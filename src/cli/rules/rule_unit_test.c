/* rule_unit_test.c - unit tests of rules: comparisons, series, alerts, and messages. */
#include "lib/test.h"

#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "cli/rules/rule_unit.h"
#include "rules/load/rule_files.h"
#include "sys/env.h"

/* --- running tests ---------------------------------------------------------------------------- */

struct unit_rig {
    struct arena arena;
    struct rule_groups groups;
    const struct rule_group *order[16];
    struct rule_tests tests;
    struct buf reported; /* failures, a line feed after each */
    struct rule_unit_options options;
};

static void
note_failure(void *context, struct bytes text)
{
    struct unit_rig *g = context;
    buf_put_bytes(&g->reported, text);
    buf_put_u8(&g->reported, '\n');
}

static void
note_warning(void *context, const char *text)
{
    struct unit_rig *g = context;
    buf_printf(&g->reported, "warning: %s\n", text);
}

/* Prepares a test. `rules` are those of one group "g", or whole groups if it begins with "groups:";
 * `test` is the content of one test. */
static void
rig_init(struct unit_rig *g, const char *rules, const char *test)
{
    const struct rule_file_options reading = {.report = NULL};
    char text[8192];
    struct why why = {""};
    memset(g, 0, sizeof *g);
    arena_init(&g->arena, NULL, 0, 0);
    buf_init(&g->reported, NULL, 1 << 20);
    bool whole = strncmp(rules, "groups:", 7) == 0;
    snprintf(text, sizeof text, whole ? "%s" : "groups: [{name: g, rules: [%s]}]", rules);
    if (rule_file_parse("r.yml", bytes_of_text(text), &reading, &g->arena, &g->groups, &why)) {
        print_error("%s\n", why.text);
        fail();
    }
    for (uint32_t i = 0; i < g->groups.count; i++)
        g->order[i] = &g->groups.items[i];
    snprintf(text, sizeof text, "tests: [{%s}]", test);
    if (rule_tests_parse("t.yml", bytes_of_text(text), &g->arena, &g->tests, &why)) {
        print_error("%s\n", why.text);
        fail();
    }
    g->options = (struct rule_unit_options){
        .env = env_real(),
        .file = "t.yml",
        .evaluation_interval_ms = 60000,
        .groups = g->order,
        .group_count = g->groups.count,
        .fail = note_failure,
        .warn = note_warning,
        .context = g,
    };
}

static void
rig_fini(struct unit_rig *g)
{
    buf_fini(&g->reported);
    arena_fini(&g->arena);
}

static void
check_told(struct unit_rig *g, const char *expected)
{
    struct why why = {""};
    assert_int_equal(rule_unit_run(&g->options, &g->tests.tests.items[0], &why), OK);
    buf_put_u8(&g->reported, 0);
    assert_int_equal(buf_error(&g->reported), OK);
    assert_string_equal((const char *)g->reported.at, expected);
    rig_fini(g);
}

static void
check(const char *rules, const char *test, const char *expected)
{
    struct unit_rig g;
    rig_init(&g, rules, test);
    check_told(&g, expected);
}

/* --- expressions ------------------------------------------------------------------------------ */

UNIT_TEST(test_expressions_are_compared_with_what_is_expected)
{
    check("",
          "input_series: [{series: a, values: 1+1x5}], promql_expr_test: [{expr: a, eval_time: "
          "2m, exp_samples: [{labels: a, value: 3}]}]",
          "");
    check("",
          "input_series: [{series: 'a{b=\"c\"}', values: 1+1x5}, {series: a, values: 5}], "
          "promql_expr_test: [{expr: a, eval_time: 2m, exp_samples: [{labels: a, value: 3}]}]",
          "    expr: \"a\", time: 2m,\n"
          "        exp: {__name__=\"a\"} 3E+00\n"
          "        got: {__name__=\"a\"} 5E+00, {__name__=\"a\", b=\"c\"} 3E+00\n");
    check("", "promql_expr_test: [{expr: a}, {expr: time(), eval_time: 90s}]",
          "    expr: \"time()\", time: 1m30s,\n        exp: nil\n        got: {} 9E+01\n");
    check(
        "",
        "promql_expr_test: [{expr: 1, exp_samples: [{value: 1, labels: '{a=\"\"}'}]}, {expr: "
        "'sum('}, {expr: '\"x\"'}, {expr: 1, exp_samples: [{labels: 'a{'}]}]",
        "    expr: \"1\", time: 0s,\n        exp: {a=\"\"} 1E+00\n        got: {} 1E+00\n"
        "    expr: \"sum(\", time: 0s, err: 1:5: parse error: unclosed left parenthesis\n"
        "    expr: \"\\\"x\\\"\", time: 0s, err: rule result is not a vector or scalar\n"
        "    expr: \"1\", time: 0s, err: labels \"a{\": 1:3: parse error: unexpected end of input "
        "inside braces\n");
}

UNIT_TEST(test_nan_is_equal_to_nothing_and_fuzzy_values_to_their_neighbours)
{
    struct unit_rig g;
    static const char test[] =
        "promql_expr_test: [{expr: NaN, exp_samples: [{value: .nan}]}, {expr: 0.1 + 0.2, "
        "exp_samples: [{value: 0.3}]}, {expr: -0.0, exp_samples: [{value: 0}]}]";
    static const char nan[] =
        "    expr: \"NaN\", time: 0s,\n        exp: {} NaN\n        got: {} NaN\n";
    char both[400];
    snprintf(both, sizeof both,
             "%s    expr: \"0.1 + 0.2\", time: 0s,\n        exp: {} 3E-01\n        got: {} "
             "3.0000000000000004E-01\n",
             nan);
    check("", test, both);
    rig_init(&g, "", test);
    g.options.fuzzy_compare = true;
    check_told(&g, nan);
}

UNIT_TEST(test_histograms_are_compared_as_texts)
{
    static const char series[] =
        "input_series: [{series: a, values: '{{count:3 buckets:[1 2]}}x4'}], promql_expr_test: ";
    char test[1000];
    snprintf(test, sizeof test,
             "%s[{expr: a, exp_samples: [{labels: a, histogram: '{{buckets:[1 2 0] count:3}}'}]}, "
             "{expr: a, eval_time: 1m, exp_samples: [{labels: a, histogram: '{{count:3 buckets:[1 "
             "2] counter_reset_hint:not_reset}}'}]}]",
             series);
    check("", test, "");
    snprintf(test, sizeof test,
             "%s[{expr: a, exp_samples: [{labels: a, value: 1, histogram: '{{count:3 buckets:[1 "
             "2]}}'}]}, {expr: a, exp_samples: [{labels: a, histogram: NaN}]}, {expr: a, "
             "exp_samples: [{labels: a, histogram: 1x1}]}, {expr: a, exp_samples: [{labels: a, "
             "histogram: _}]}, {expr: a, exp_samples: [{labels: a, histogram: '{{'}]}]",
             series);
    check("", test,
          "    expr: \"a\", time: 0s,\n        exp: {__name__=\"a\"} {{count:3 buckets:[1 2]}}\n"
          "        got: {__name__=\"a\"} {{count:3 buckets:[1 2]}}\n"
          "    expr: \"a\", time: 0s, err: labels \"a\": expected histogram, got NaN\n"
          "    expr: \"a\", time: 0s, err: labels \"a\": expected 1 value, got 2\n"
          "    expr: \"a\", time: 0s, err: labels \"a\": expected histogram, got _\n"
          "    expr: \"a\", time: 0s, err: labels \"a\": 1:6: parse error: unexpected end of "
          "input in series values, expected a key, e.g. buckets:[5 10 7], or \"}}\"\n");
}

UNIT_TEST(test_series_have_their_samples_until_the_last_step)
{
    check(
        "",
        "interval: 15s, input_series: [{series: a, values: 0+1x20}], promql_expr_test: [{expr: "
        "a, eval_time: 89s, exp_samples: [{labels: a, value: 4}]}, {expr: 'count_over_time(a[1m:])'"
        ", eval_time: 80s, exp_samples: [{value: 1}]}]",
        "");
}

/* --- series ----------------------------------------------------------------------------------- */

UNIT_TEST(test_series_that_cannot_be_read_end_the_test)
{
    check("",
          "input_series: [{series: a, values: 1}, {series: b, values: 1 x}], promql_expr_test: "
          "[{expr: 1}]",
          "t.yml:1:49: series 'b': 1:5: parse error: unexpected \"x\" in series values, expected a "
          "number\n");
    check("", "input_series: [{series: a, values: \"1 2\\nb 1 x\"}], promql_expr_test: [{expr: 1}]",
          "t.yml:1:25: series 'a': 2:5: parse error: unexpected \"x\" in series values, expected a "
          "number\n");
}

UNIT_TEST(test_series_that_cannot_be_stored_end_the_evaluation)
{
    check("{record: r, expr: a}",
          "input_series: [{series: a, values: 1x9}, {series: b, values: '_ {{buckets:[-1]}}'}], "
          "promql_expr_test: [{expr: r, eval_time: 2m}]",
          "positive side: bucket 1 has a negative count: -1\n"
          "positive side: bucket 1 has a negative count: -1\n"
          "    expr: \"r\", time: 2m,\n        exp: nil\n        got: {__name__=\"r\"} 1E+00\n");
    check("", "input_series: [{series: '{}', values: 1}], promql_expr_test: [{expr: x}]",
          "empty labelset: invalid sample\n");
    check("",
          "input_series: [{series: '{a=\"1\",a=\"2\"}', values: 1}], promql_expr_test: [{expr: x}]",
          "label name \"a\" is not unique: invalid sample\n");
    check("",
          "input_series: [{series: 'a{b=\"\\xff\"}', values: 1}], promql_expr_test: [{expr: x}]",
          "t.yml:1:25: series 'a{b=\"\\xff\"}': 1:3: parse error: matcher value is not valid "
          "UTF-8\n");
    check("", "input_series: [{series: '{}', values: _}], promql_expr_test: [{expr: x}]", "");
}

UNIT_TEST(test_of_series_that_are_given_twice_the_last_counts)
{
    check("",
          "input_series: [{series: a, values: 1 1 1}, {series: 'a{}', values: 2}], "
          "promql_expr_test: [{expr: a, eval_time: 2m, exp_samples: [{labels: a, value: 2}]}]",
          "");
}

UNIT_TEST(test_series_after_an_empty_line_are_ignored_aloud)
{
    static const char warning[] =
        "warning: input_series after an empty line or a comment are ignored\n";
    check("", "input_series: [{series: a, values: \"1\\n\"}, {series: b, values: 1}]", warning);
    check("", "input_series: [{series: '# a', values: 1}, {series: b, values: 1}]", warning);
    check("", "input_series: [{series: a, values: \"1\\n\"}]", "");
    check("", "input_series: [~]", "");
}

/* --- rules ------------------------------------------------------------------------------------ */

UNIT_TEST(test_rules_are_evaluated_in_order_at_each_step)
{
    check("{record: r, expr: a}, {record: s, expr: r * 2}",
          "input_series: [{series: a, values: 1+1x9}], promql_expr_test: [{expr: s, eval_time: 3m, "
          "exp_samples: [{labels: s, value: 8}]}]",
          "");
    check("{record: s, expr: r * 2}, {record: r, expr: a}",
          "input_series: [{series: a, values: 1+1x9}], promql_expr_test: [{expr: s, eval_time: 3m, "
          "exp_samples: [{labels: s, value: 6}]}]",
          "");
    check("groups: [{name: a, interval: 1h, rules: [{record: r, expr: time()}]}, {name: b, "
          "query_offset: 1m, rules: [{record: s, expr: r}]}]",
          "promql_expr_test: [{expr: s, eval_time: 3m, exp_samples: [{labels: s, value: 120}]}, "
          "{expr: timestamp(s), eval_time: 3m, exp_samples: [{value: 120}]}]",
          "");
}

UNIT_TEST(test_rules_that_fail_end_the_test)
{
    check(
        "{record: r, expr: 'a / on() b'}, {record: s, expr: '\"x\" '}",
        "input_series: [{series: 'a{x=\"1\"}', values: _ 1}, {series: 'a{x=\"2\"}', values: _ 1}, "
        "{series: b, values: 1x5}], promql_expr_test: [{expr: r, eval_time: 3m}]",
        "    rule: s, time: 0s, err: rule result is not a vector or scalar\n");
    check("{record: r, expr: 'vector(1) and vector(time()) > 30'}, {record: r, expr: 2}",
          "promql_expr_test: [{expr: r, eval_time: 3m}]",
          "    rule: r, time: 1m0s, err: duplicate sample for timestamp 60000; overrides not "
          "allowed: existing 1, new value 2\n");
    check("groups: [{name: g, query_offset: 90s, rules: [{record: a, expr: b}]}]",
          "input_series: [{series: a, values: 1x9}, {series: b, values: 1x9}], promql_expr_test: "
          "[{expr: a, eval_time: 3m}]",
          "    rule: a, time: 2m0s, err: out of order sample\n");
    check("groups: [{name: g, limit: 1, rules: [{record: r, expr: a}]}]",
          "input_series: [{series: a, values: 1x9}, {series: 'a{b=\"c\"}', values: _ 1}], "
          "promql_expr_test: [{expr: a, eval_time: 3m}]",
          "    rule: r, time: 1m0s, err: exceeded limit of 1 with 2 series\n");
    check("{record: r, expr: a - b}",
          "input_series: [{series: a, values: '_ {{}}'}, {series: b, values: '_ {{count:1 "
          "buckets:[1]}}'}], promql_expr_test: [{expr: r, eval_time: 3m}]",
          "    rule: r, time: 1m0s, err: the count -1 is negative\n");
    check("{record: r, expr: a}, {record: r, expr: b}",
          "input_series: [{series: a, values: '_ {{}}'}, {series: b, values: _ 1}], "
          "promql_expr_test: [{expr: r, eval_time: 3m}]",
          "    rule: r, time: 1m0s, err: duplicate sample for timestamp 60000; overrides not "
          "allowed: existing is a histogram, new value 1\n");
}

UNIT_TEST(test_series_that_vanish_are_marked_stale)
{
    check("{record: r, expr: a}",
          "input_series: [{series: a, values: 1 stale}], promql_expr_test: [{expr: r, exp_samples: "
          "[{labels: r, value: 1}]}, {expr: r, eval_time: 1m}]",
          "");
    /* Others may have written the series meanwhile. */
    check("{record: r, expr: b}, {record: r, expr: a}",
          "input_series: [{series: a, values: 1 stale}, {series: b, values: _ 2}], "
          "promql_expr_test: [{expr: r, eval_time: 1m, exp_samples: [{labels: r, value: 2}]}]",
          "");
}

/* --- alerts ----------------------------------------------------------------------------------- */

#define DOWN                                                                                   \
    "{alert: Down, expr: up == 0, for: 2m, keep_firing_for: 2m, labels: {v: '{{ $value }}'}, " \
    "annotations: {b: '{{ $externalLabels.x }} {{ $externalURL }}', a: ''}}"
#define UP                                                                                      \
    "input_series: [{series: 'up{j=\"a\"}', values: 1 0 0 0 0 1 1 1 1}], external_labels: {x: " \
    "y}, external_url: http://e/"
#define FIRES(time)                                                                   \
    "{eval_time: " time ", alertname: Down, exp_alerts: [{exp_labels: {j: a, v: 0}, " \
    "exp_annotations: {a: '', b: y http://e/}}]}"

UNIT_TEST(test_alerts_that_fire_are_compared_with_what_is_expected)
{
    check(
        DOWN,
        UP ", alert_rule_test: [{eval_time: 2m, alertname: Down}, " FIRES("3m") ", " FIRES(
            "239999ms") ", " FIRES("6m") ", {eval_time: 7m, alertname: Down}, {alertname: Other}]",
        "");
    check(DOWN,
          UP ", name: n, alert_rule_test: [{eval_time: 3m, alertname: Down}, " FIRES("2m") "]",
          "    name: n,\n"
          "    alertname: Down, time: 2m, \n"
          "        exp:[\n"
          "            0:\n"
          "              Labels:{alertname=\"Down\", j=\"a\", v=\"0\"}\n"
          "              Annotations:{a=\"\", b=\"y http://e/\"}\n"
          "            ], \n"
          "        got:[]\n"
          "    name: n,\n"
          "    alertname: Down, time: 3m, \n"
          "        exp:[], \n"
          "        got:[\n"
          "            0:\n"
          "              Labels:{alertname=\"Down\", j=\"a\", v=\"0\"}\n"
          "              Annotations:{a=\"\", b=\"y http://e/\"}\n"
          "            ]\n");
}

UNIT_TEST(test_alerts_of_one_name_are_compared_together)
{
    check(
        "groups: [{name: g, rules: [{alert: A, expr: 'a > 1', labels: {x: 1}}]}, {name: h, rules: "
        "[{alert: A, expr: a, labels: {x: 2}}]}]",
        "input_series: [{series: a, values: 5}], alert_rule_test: [{alertname: A, exp_alerts: "
        "[{exp_labels: {x: 2, alertname: ignored}}, {exp_labels: {x: 1}}]}]",
        "");
}

UNIT_TEST(test_an_expected_alert_needs_a_name)
{
    check("", "alert_rule_test: [{eval_time: 1m}, {eval_time: 2m}]",
          "an item under alert_rule_test misses required attribute alertname at eval_time 1m\n");
    check("", "name: n, alert_rule_test: [~]",
          "an item under alert_rule_test misses required attribute alertname at eval_time 0s (in "
          "TestGroup n)\n");
}

UNIT_TEST(test_alerts_are_written_as_series)
{
    check(DOWN,
          UP ", promql_expr_test: [{expr: ALERTS, eval_time: 2m, exp_samples: [{labels: "
             "'ALERTS{alertname=\"Down\",alertstate=\"pending\",j=\"a\",v=\"0\"}', value: 1}]}, "
             "{expr: ALERTS_FOR_STATE, eval_time: 4m, exp_samples: [{labels: "
             "'ALERTS_FOR_STATE{alertname=\"Down\",j=\"a\",v=\"0\"}', value: 60}]}]",
          "");
}

/* --- times ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_test_begins_when_it_says)
{
    check("{record: r, expr: time()}, {alert: A, expr: day_of_week() == 5, for: 1m}",
          "start_timestamp: 2021-01-01T00:00:00Z, input_series: [{series: a, values: 1 2}], "
          "promql_expr_test: [{expr: r, eval_time: 1m, exp_samples: [{labels: r, value: "
          "1609459260}]}, {expr: a @ 1609459260, eval_time: 5m, exp_samples: [{labels: a, value: "
          "2}]}], alert_rule_test: [{alertname: A, eval_time: 1m, exp_alerts: [{}]}]",
          "");
    check("{record: r, expr: '\"x\"'}",
          "start_timestamp: -60, promql_expr_test: [{expr: r, eval_time: 1m}]",
          "    rule: r, time: 0s, err: rule result is not a vector or scalar\n");
}

UNIT_TEST(test_a_test_must_not_last_too_long)
{
    check("", "promql_expr_test: [{expr: 1, eval_time: 200y}]",
          "t.yml:1:9: eval_time must be before the year 2116, got 200y\n");
    /* An alert is valid for four of the longest intervals, and that is a time, too. */
    check("", "start_timestamp: 4600000000, promql_expr_test: [{expr: 1, eval_time: 1y}]",
          "t.yml:1:9: eval_time must be before the year 2116, got 1y\n");
    check(
        "", "promql_expr_test: [{expr: 1, eval_time: 10000000m}, {expr: 1, eval_time: 20y}]",
        "t.yml:1:9: eval_time must be at most 10000000 times evaluation_interval (1m), got 20y\n");
}

/* --- output ----------------------------------------------------------------------------------- */

UNIT_TEST(test_numbers_and_durations_are_written_as_in_go)
{
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0, "0E+00"},
                   {-0.0, "-0E+00"},
                   {1, "1E+00"},
                   {-2.5, "-2.5E+00"},
                   {123456789, "1.23456789E+08"},
                   {1e21, "1E+21"},
                   {0.00001, "1E-05"},
                   {-0.25, "-2.5E-01"},
                   {0.1 + 0.2, "3.0000000000000004E-01"},
                   {INFINITY, "+Inf"},
                   {-INFINITY, "-Inf"},
                   {NAN, "NaN"}};
    static const struct {
        int64_t ms;
        const char *text, *go;
    } durations[] = {{0, "0s", "0s"},
                     {1, "1ms", "1ms"},
                     {90000, "1m30s", "1m30s"},
                     {90500, "1m30s500ms", "1m30.5s"},
                     {3600000, "1h", "1h0m0s"},
                     {86400000, "1d", "24h0m0s"},
                     {604800000, "1w", "168h0m0s"},
                     {691200000, "8d", "192h0m0s"},
                     {31536000000, "1y", "8760h0m0s"},
                     {1001, "1s1ms", "1.001s"}};
    struct buf text;
    buf_init(&text, NULL, 1000);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buf_clear(&text);
        put_scientific(&text, numbers[i].value);
        buf_put_u8(&text, 0);
        assert_string_equal((const char *)text.at, numbers[i].text);
    }
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        char expected[200];
        buf_clear(&text);
        put_duration(&text, durations[i].ms);
        buf_put_u8(&text, ' ');
        put_go_duration(&text, durations[i].ms);
        buf_put_u8(&text, 0);
        snprintf(expected, sizeof expected, "%s %s", durations[i].text, durations[i].go);
        assert_string_equal((const char *)text.at, expected);
    }
    buf_fini(&text);
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_each_allocation_may_fail)
{
    struct unit_rig g;
    rig_init(
        &g, "{record: r, expr: sum(a)}, {alert: A, expr: a, annotations: {x: '{{ $value }}'}}",
        "input_series: [{series: a, values: 1 2}, {series: h, values: '{{count:1}}x1'}], "
        "promql_expr_test: [{expr: r, eval_time: 1m}, {expr: h}], alert_rule_test: [{alertname: "
        "A}]");
    for (uint64_t nth = 1;; nth++) {
        struct budget budget;
        struct why why = {""};
        budget_init(&budget, "test", 0, NULL);
        g.options.memory = &budget;
        buf_clear(&g.reported);
        mem_fail_nth(nth, false);
        enum err e = rule_unit_run(&g.options, &g.tests.tests.items[0], &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&budget), 0);
        assert_true(e == OK || (fired && e == ERR_NOMEM));
        assert_true(e == OK || why.text[0] != '\0');
        if (!fired) break;
        assert_true(nth < 10000);
    }
    rig_fini(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions_are_compared_with_what_is_expected),
        cmocka_unit_test(test_nan_is_equal_to_nothing_and_fuzzy_values_to_their_neighbours),
        cmocka_unit_test(test_histograms_are_compared_as_texts),
        cmocka_unit_test(test_series_have_their_samples_until_the_last_step),
        cmocka_unit_test(test_series_that_cannot_be_read_end_the_test),
        cmocka_unit_test(test_series_that_cannot_be_stored_end_the_evaluation),
        cmocka_unit_test(test_of_series_that_are_given_twice_the_last_counts),
        cmocka_unit_test(test_series_after_an_empty_line_are_ignored_aloud),
        cmocka_unit_test(test_rules_are_evaluated_in_order_at_each_step),
        cmocka_unit_test(test_rules_that_fail_end_the_test),
        cmocka_unit_test(test_series_that_vanish_are_marked_stale),
        cmocka_unit_test(test_alerts_that_fire_are_compared_with_what_is_expected),
        cmocka_unit_test(test_alerts_of_one_name_are_compared_together),
        cmocka_unit_test(test_an_expected_alert_needs_a_name),
        cmocka_unit_test(test_alerts_are_written_as_series),
        cmocka_unit_test(test_a_test_begins_when_it_says),
        cmocka_unit_test(test_a_test_must_not_last_too_long),
        cmocka_unit_test(test_numbers_and_durations_are_written_as_in_go),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
