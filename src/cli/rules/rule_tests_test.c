/* rule_tests_test.c - files of unit tests of rules. */
#include "lib/test.h"
#include "lib/texts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/rules/rule_tests.h"
#include "sys/env.h"
#include "wire/number.h"
#include "wire/shape.h"

/* --- small helpers ---------------------------------------------------------------------------- */

/* Returns the content of a valid text; the arena is the caller's. */
static struct rule_tests
read_tests(struct arena *arena, const char *text)
{
    struct rule_tests tests;
    struct why why = {""};
    arena_init(arena, NULL, 0, 0);
    enum err e = rule_tests_parse("t.yml", bytes_of_text(text), arena, &tests, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return tests;
}

static void
check_fine(const char *text)
{
    struct arena arena;
    read_tests(&arena, text);
    arena_fini(&arena);
}

static void
check_refused(const char *text, const char *expected)
{
    struct rule_tests tests = {.tests.count = 7};
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum err e = rule_tests_parse("t.yml", bytes_of_text(text), &arena, &tests, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(tests.tests.count, 7);
    arena_fini(&arena);
}

/* Checks that a key of a test is refused; its value begins at column 11 + the key's length. */
static void
check_test_refused(const char *pair, const char *expected)
{
    char text[1000];
    snprintf(text, sizeof text, "tests: [{%s}]\n", pair);
    check_refused(text, expected);
}

static void
check_texts(const struct named_texts *texts, const char *expected)
{
    char text[1000] = "";
    for (uint32_t i = 0; i < texts->count; i++) {
        size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, "%s%s=%s", i > 0 ? "," : "", texts->items[i].name,
                 texts->items[i].value);
    }
    assert_string_equal(text, expected);
}

/* --- accepted files --------------------------------------------------------------------------- */

static const char whole[] = "rule_files: [a.yml, \"b*.yml\"]\n"
                            "evaluation_interval: 30s\n"
                            "group_eval_order: [x, y]\n"
                            "fuzzy_compare: true\n"
                            "tests:\n"
                            "- name: first\n"
                            "  interval: 1m30s\n"
                            "  input_series:\n"
                            "  - series: 'up{job=\"a\"}'\n"
                            "    values: 1 2\n"
                            "  external_labels: {z: 1, a: b}\n"
                            "  external_url: http://e/\n"
                            "  start_timestamp: 2021-01-01T00:00:00Z\n"
                            "  alert_rule_test:\n"
                            "  - eval_time: 5m\n"
                            "    alertname: Down\n"
                            "    exp_alerts:\n"
                            "    - exp_labels: {job: a, \"\": c}\n"
                            "      exp_annotations: {text: \"x y\"}\n"
                            "    -\n"
                            "  promql_expr_test:\n"
                            "  - expr: up\n"
                            "    eval_time: 1h\n"
                            "    exp_samples:\n"
                            "    - labels: up\n"
                            "      value: -1.5\n"
                            "    - {histogram: \"{{}}\"}\n"
                            "-\n";

UNIT_TEST(test_all_keys_are_read)
{
    struct arena arena;
    struct rule_tests t = read_tests(&arena, whole);
    assert_int_equal(t.rule_files.count, 2);
    assert_string_equal(t.rule_files.items[1], "b*.yml");
    assert_int_equal(t.evaluation_interval_ms, 30000);
    assert_int_equal(t.group_eval_order.count, 2);
    assert_string_equal(t.group_eval_order.items[0], "x");
    assert_true(t.fuzzy_compare);
    assert_int_equal(t.tests.count, 2);
    const struct rule_test *test = &t.tests.items[0];
    assert_string_equal(test->name, "first");
    assert_int_equal(test->interval_ms, 90000);
    assert_int_equal(test->start_ms, 1609459200000);
    assert_string_equal(test->external_url, "http://e/");
    check_texts(&test->external_labels, "a=b,z=1");
    assert_int_equal(test->input_series.count, 1);
    assert_string_equal(test->input_series.items[0].series, "up{job=\"a\"}");
    assert_string_equal(test->input_series.items[0].values, "1 2");
    assert_int_equal(test->alerts.count, 1);
    const struct rule_test_alerts *alerts = &test->alerts.items[0];
    assert_int_equal(alerts->at_ms, 300000);
    assert_string_equal(alerts->alertname, "Down");
    assert_int_equal(alerts->expected.count, 2);
    check_texts(&alerts->expected.items[0].labels, "=c,job=a");
    check_texts(&alerts->expected.items[0].annotations, "text=x y");
    check_texts(&alerts->expected.items[1].labels, "");
    assert_int_equal(test->expressions.count, 1);
    const struct rule_test_expression *expression = &test->expressions.items[0];
    assert_string_equal(expression->expression, "up");
    assert_int_equal(expression->at_ms, 3600000);
    assert_int_equal(expression->expected.count, 2);
    assert_string_equal(expression->expected.items[0].labels, "up");
    assert_true(bits_double(expression->expected.items[0].bits) == -1.5);
    assert_string_equal(expression->expected.items[0].histogram, "");
    assert_string_equal(expression->expected.items[1].labels, "");
    assert_string_equal(expression->expected.items[1].histogram, "{{}}");
    arena_fini(&arena);
}

UNIT_TEST(test_missing_and_null_values_have_defaults)
{
    static const char *const nothing[] = {"",
                                          "# comment\n",
                                          "~",
                                          "---\n",
                                          "{}",
                                          "tests: ",
                                          "{tests: ~, rule_files: , fuzzy_compare: null}"};
    struct arena arena;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        struct rule_tests t = read_tests(&arena, nothing[i]);
        assert_int_equal(t.tests.count, 0);
        assert_int_equal(t.rule_files.count, 0);
        assert_int_equal(t.evaluation_interval_ms, 60000);
        assert_false(t.fuzzy_compare);
        arena_fini(&arena);
    }
    struct rule_tests t = read_tests(&arena, "{evaluation_interval: 0, tests: [~, {name: ~, "
                                             "alert_rule_test: [~], input_series: [~]}]}");
    assert_int_equal(t.evaluation_interval_ms, 60000);
    assert_int_equal(t.tests.count, 2);
    assert_string_equal(t.tests.items[0].name, "");
    assert_string_equal(t.tests.items[0].external_url, "");
    assert_string_equal(t.tests.items[1].name, "");
    assert_int_equal(t.tests.items[1].interval_ms, 0);
    assert_string_equal(t.tests.items[1].alerts.items[0].alertname, "");
    assert_string_equal(t.tests.items[1].input_series.items[0].values, "");
    arena_fini(&arena);
}

UNIT_TEST(test_scalars_are_read)
{
    static const struct {
        const char *text;
        double value;
    } numbers[] = {{"1000", 1000},
                   {"+5", 5},
                   {"1e3", 1000},
                   {".5", 0.5},
                   {"5.", 5},
                   {"-1.5e-1", -0.15},
                   {".inf", INFINITY},
                   {"-.Inf", -INFINITY},
                   {"99999999999999999999", 1e20},
                   {"", 0},
                   {"~", 0}};
    struct arena arena;
    char text[200];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "tests: [{promql_expr_test: [{exp_samples: [{value: %s}]}]}]",
                 numbers[i].text);
        struct rule_tests t = read_tests(&arena, text);
        double value = bits_double(t.tests.items[0].expressions.items[0].expected.items[0].bits);
        assert_true(value == numbers[i].value);
        arena_fini(&arena);
    }
    assert_true(read_tests(&arena, "fuzzy_compare: true").fuzzy_compare);
    arena_fini(&arena);
    assert_false(read_tests(&arena, "fuzzy_compare: false").fuzzy_compare);
    arena_fini(&arena);
    assert_false(read_tests(&arena, "fuzzy_compare: ~").fuzzy_compare);
    arena_fini(&arena);
    struct rule_tests t = read_tests(
        &arena, "tests: [{name: 5, start_timestamp: -1.5, promql_expr_test: "
                "[{exp_samples: [{value: .NaN}]}]}, {name: true, start_timestamp: 1609459200}]");
    assert_string_equal(t.tests.items[0].name, "5");
    assert_string_equal(t.tests.items[1].name, "true");
    assert_int_equal(t.tests.items[0].start_ms, -1500);
    assert_int_equal(t.tests.items[1].start_ms, 1609459200000);
    assert_int_equal(t.tests.items[0].expressions.items[0].expected.items[0].bits, NORMAL_NAN_BITS);
    arena_fini(&arena);
}

UNIT_TEST(test_anchors_and_merge_keys_repeat_what_is_there)
{
    struct arena arena;
    struct rule_tests t =
        read_tests(&arena, "tests:\n"
                           "- &a {name: a, interval: 1m, external_labels: &l {x: 1, y: 2}}\n"
                           "- *a\n"
                           "- {name: c, <<: *a}\n"
                           "- {<<: [{interval: 2m}, {interval: 3m, name: d}]}\n"
                           "- {external_labels: {y: 3, <<: *l, z: 4}}\n");
    assert_int_equal(t.tests.count, 5);
    assert_string_equal(t.tests.items[1].name, "a");
    check_texts(&t.tests.items[1].external_labels, "x=1,y=2");
    assert_string_equal(t.tests.items[2].name, "c");
    assert_int_equal(t.tests.items[2].interval_ms, 60000);
    assert_string_equal(t.tests.items[3].name, "d");
    assert_int_equal(t.tests.items[3].interval_ms, 120000);
    check_texts(&t.tests.items[4].external_labels, "x=1,y=3,z=4");
    arena_fini(&arena);
}

/* --- refusals --------------------------------------------------------------------------------- */

UNIT_TEST(test_an_error_is_reported_with_its_position)
{
    check_refused("foo: 1", "t.yml:1:1: unknown key 'foo'");
    check_refused("test: []", "t.yml:1:1: unknown key 'test'; did you mean 'tests'?");
    check_refused("tests:\n- foo: 1", "t.yml:2:3: unknown key 'foo' in 'tests'");
    check_refused("tests: 5", "t.yml:1:8: tests: expected a list, got '5'");
    check_refused("tests: [5]",
                  "t.yml:1:9: 'tests' expects keys below it such as 'interval:', got a value");
    check_refused("tests: [[]]",
                  "t.yml:1:9: 'tests' expects keys below it such as 'interval:', got a list");
    check_refused("5", "t.yml:1:1: expected keys such as 'tests:'");
    check_refused("[]", "t.yml:1:1: expected keys such as 'tests:'");
    check_refused("tests: []\ntests: []",
                  "t.yml:2:1: duplicate key 'tests', first given on line 1");
    check_refused("[a]: b", "t.yml:1:1: expected a key, got a list");
    check_refused("rule_files: a", "t.yml:1:13: rule_files: expected a list, got 'a'");
    check_refused("rule_files: [[]]", "t.yml:1:14: rule_files: expected text, got a list");
    check_refused("rule_files: [\"a\\0b\"]", "t.yml:1:14: rule_files: must not contain NUL");
    check_refused("fuzzy_compare: \"true\"",
                  "t.yml:1:16: fuzzy_compare: expected true or false, got 'true'");
    check_refused("fuzzy_compare: {}",
                  "t.yml:1:16: fuzzy_compare: expected true or false, got a mapping");
    check_refused("evaluation_interval: 5", "t.yml:1:22: evaluation_interval: expected a duration "
                                            "such as 90s or 1h30m, got '5'");
    check_refused("group_eval_order: [a, b, a]",
                  "t.yml:1:26: group_eval_order: duplicate entry 'a'");
    check_refused("tests: []\n---\ntests: []",
                  "t.yml:2:1: a second document begins here; only one is allowed");
    check_refused("tests: !x []", "t.yml:1:8: tags (!name) are not supported here");
    check_refused("tests: [", "t.yml:2:1: while parsing a flow node did not find expected node "
                              "content");
    check_refused("tests: *a", "t.yml:1:8: unknown anchor of an alias");
    check_test_refused("external_labels: [a]",
                       "t.yml:1:27: tests.external_labels: expected a mapping, got a list");
    check_test_refused("external_labels: {a: b, a: c}",
                       "t.yml:1:34: tests.external_labels: duplicate key 'a', first given on "
                       "line 1");
    check_test_refused("external_labels: {a: []}",
                       "t.yml:1:31: tests.external_labels: expected text, got a list");
    check_test_refused("<<: 5", "t.yml:1:14: <<: expected a mapping or a list of mappings");
    check_test_refused("start_timestamp: yesterday",
                       "t.yml:1:27: tests.start_timestamp: expected Unix seconds or a time such as "
                       "2021-01-01T00:00:00Z, from 1824 to 2116, got 'yesterday'");
    check_test_refused("start_timestamp: 1e10",
                       "t.yml:1:27: tests.start_timestamp: expected Unix seconds or a time such as "
                       "2021-01-01T00:00:00Z, from 1824 to 2116, got '1e10'");
}

UNIT_TEST(test_an_invalid_number_is_refused)
{
    static const char *const texts[] = {"true", "'5'", "1e", "1e999", "0x",  "0xg",
                                        "1:30", ".",   "+",  "_",     ".no", "inf",
                                        "0x10", "5 6", "[]", "1_000"};
    static const char expected[] = "t.yml:1:52: tests.promql_expr_test.exp_samples.value: "
                                   "expected a number, got ";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[200];
        struct rule_tests tests;
        struct why why = {""};
        struct arena arena;
        snprintf(text, sizeof text, "tests: [{promql_expr_test: [{exp_samples: [{value: %s}]}]}]",
                 texts[i]);
        arena_init(&arena, NULL, 0, 0);
        enum err e = rule_tests_parse("t.yml", bytes_of_text(text), &arena, &tests, &why);
        assert_int_equal(e, ERR_INPUT);
        assert_int_equal(strncmp(why.text, expected, sizeof expected - 1), 0);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_merges_and_aliases_end)
{
    check_refused("tests: [&a {<<: *a}]", "t.yml:1:9: <<: nested too deeply");
    check_refused("tests: &a [*a]",
                  "t.yml:1:8: 'tests' expects keys below it such as 'interval:', got a list");
    check_refused("tests: [{external_labels: &a {<<: [*a]}}]", "t.yml:1:35: <<: nested too deeply");
    /* A thousand lists of a thousand, each of a thousand. */
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    buf_put_text(&text, "tests: [&x {promql_expr_test: &y [&z {exp_samples: &s [&v {value: 1}");
    for (int i = 0; i < 999; i++)
        buf_put_text(&text, ",*v");
    buf_put_text(&text, "]}");
    for (int i = 0; i < 999; i++)
        buf_put_text(&text, ",*z");
    buf_put_text(&text, "]}");
    for (int i = 0; i < 999; i++)
        buf_put_text(&text, ",*x");
    buf_put_text(&text, "]");
    buf_put_u8(&text, 0);
    struct rule_tests tests;
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(
        rule_tests_parse("t.yml", bytes_of(text.at, text.size - 1), &arena, &tests, &why),
        ERR_INPUT);
    assert_non_null(strstr(why.text, "at most 5000000 values are allowed"));
    arena_fini(&arena);
    buf_fini(&text);
}

/* The file is as large as allowed: loading it before the check would take hours. */
UNIT_TEST(test_a_file_that_is_costly_to_load_is_refused_before_loading)
{
    struct buf text;
    buf_init(&text, NULL, RULE_TESTS_BYTES_MAX);
    buf_put_text(&text, "tests: ");
    while (text.size < RULE_TESTS_BYTES_MAX - 1)
        buf_put_u8(&text, '[');
    buf_put_u8(&text, 0);
    check_refused((const char *)text.at,
                  "t.yml:1:9: 'tests' expects keys below it such as 'interval:', got a list");
    memcpy(text.at, "tests: &a ", 10);
    check_refused((const char *)text.at, "t.yml:1:42: nested too deeply");
    buf_clear(&text);
    buf_put_text(&text, "rule_files: [");
    for (unsigned i = 0; text.size < RULE_TESTS_BYTES_MAX - 32; i++)
        buf_printf(&text, "&a%u a,\n", i);
    buf_put_text(&text, "]");
    buf_put_u8(&text, 0);
    check_refused((const char *)text.at, "t.yml:1001:1: at most 1000 anchors are allowed");
    buf_fini(&text);
}

UNIT_TEST(test_limits_hold)
{
    struct buf text;
    struct rule_tests tests;
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    char *large = test_calloc(RULE_TESTS_BYTES_MAX + 1, 1);
    memset(large, ' ', RULE_TESTS_BYTES_MAX + 1);
    assert_int_equal(
        rule_tests_parse("t.yml", bytes_of(large, RULE_TESTS_BYTES_MAX + 1), &arena, &tests, &why),
        ERR_LIMIT);
    assert_string_equal(why.text, "t.yml: must be at most 16384 KiB");
    test_free(large);
    buf_init(&text, NULL, 1 << 20);
    buf_put_text(&text, "rule_files: [");
    for (int i = 0; i <= RULE_TESTS_NAMES_MAX; i++)
        buf_put_text(&text, "a,");
    buf_put_text(&text, "]");
    buf_put_u8(&text, 0);
    check_refused((const char *)text.at,
                  "t.yml:1:2014: rule_files: at most 1000 entries are allowed");
    buf_clear(&text);
    buf_put_text(&text, "tests: [{external_labels: {");
    for (int i = 0; i <= RULE_TESTS_NAMES_MAX; i++)
        buf_printf(&text, "a%d: ,", i);
    buf_put_text(&text, "}}]");
    buf_put_u8(&text, 0);
    check_refused((const char *)text.at,
                  "t.yml:1:6918: tests.external_labels: at most 1000 entries are allowed");
    buf_fini(&text);
    arena_fini(&arena);
    check_fine("tests: [{name: a}]");
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (uint64_t nth = 1;; nth++) {
        struct rule_tests tests = {.tests.count = 7};
        struct why why = {""};
        struct budget budget;
        struct arena arena;
        budget_init(&budget, "rules", 0, NULL);
        arena_init(&arena, &budget, 0, 64);
        mem_fail_nth(nth, false);
        enum err e = rule_tests_parse("t.yml", bytes_of_text(whole), &arena, &tests, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&arena);
        assert_int_equal(budget_used(&budget), 0);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(tests.tests.count, fired ? 7 : 2);
        if (fired) assert_string_equal(why.text, "t.yml: not enough memory");
        if (!fired) break;
        assert_true(nth < 1000);
    }
}

/* --- rule files ------------------------------------------------------------------------------- */

static void
note_unmatched(void *context, const char *pattern)
{
    char *told = context;
    size_t size = strlen(told);
    snprintf(told + size, 1000 - size, "%s ", pattern);
}

static void
make_file(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    write_text_file(path, "");
}

static void
make_dir(const char *dir, const char *name)
{
    char path[300];
    struct why why;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(env_mkdir(env_real(), path, &why), OK);
}

/* Checks the paths found, without the directory, each followed by a blank; patterns without a match
 * come after a bar. */
static void
check_found(const char *dir, const char *const *patterns, uint32_t count, const char *expected)
{
    char told[1000] = "", text[2000] = "", file[300];
    struct arena arena;
    struct why why = {""};
    struct text_list found = {NULL};
    const char *items[8];
    for (uint32_t i = 0; i < count; i++)
        items[i] = patterns[i];
    const struct text_list list = {items, count};
    snprintf(file, sizeof file, "%s/t.yml", dir);
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(
        rule_tests_find_files(env_real(), file, &list, &arena, note_unmatched, told, &found, &why),
        OK);
    for (uint32_t i = 0; i < found.count; i++) {
        size_t size = strlen(text);
        assert_int_equal(strncmp(found.items[i], dir, strlen(dir)), 0);
        snprintf(text + size, sizeof text - size, "%s ", found.items[i] + strlen(dir) + 1);
    }
    size_t size = strlen(text);
    snprintf(text + size, sizeof text - size, "|");
    for (char *at = told, *next; *at != '\0'; at = next + 1) {
        next = strchr(at, ' ');
        size = strlen(text);
        bool below = strncmp(at, dir, strlen(dir)) == 0;
        snprintf(text + size, sizeof text - size, " %.*s",
                 (int)(next - at - (below ? (long)strlen(dir) + 1 : 0)),
                 at + (below ? strlen(dir) + 1 : 0));
    }
    assert_string_equal(text, expected);
    arena_fini(&arena);
}

#define CHECK_FOUND(expected, ...)                       \
    check_found(dir, (const char *const[]){__VA_ARGS__}, \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), expected)

UNIT_TEST(test_rule_files_are_found_by_patterns)
{
    char dir[] = "/tmp/rule_tests_XXXXXX";
    struct why why;
    assert_non_null(mkdtemp(dir));
    make_file(dir, "b.yml");
    make_file(dir, "a.yml");
    make_dir(dir, "x");
    make_dir(dir, "y");
    make_file(dir, "x/a.yml");
    make_file(dir, "y/a.yml");
    make_file(dir, "y/c.yml");
    CHECK_FOUND("b.yml a.yml |", "b.yml", "./a.yml", "x/../b.yml");
    CHECK_FOUND("a.yml b.yml |", "*.yml", "b.yml");
    CHECK_FOUND("y/c.yml y/a.yml |", "y/[c].yml", "y/?.yml");
    CHECK_FOUND("| no.yml n*.yml n/*.yml ", "no.yml", "n*.yml", "n/*.yml", "");
    CHECK_FOUND("x/a.yml |", "x/*");
    assert_int_equal(env_remove_tree(env_real(), dir, &why), OK);
}

UNIT_TEST(test_incomplete_patterns_are_refused)
{
    static const struct {
        const char *text, *what;
    } patterns[] = {
        {"a[b", "has a '[' without ']', or ends in a backslash"},
        {"a\\", "has a '[' without ']', or ends in a backslash"},
        {"*/a.yml", "wildcards are only allowed after the last '/'"},
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const char *items[] = {patterns[i].text};
        const struct text_list list = {items, 1};
        struct text_list found = {.count = 7};
        char told[1000] = "";
        struct why why = {""};
        struct arena arena;
        char expected[200];
        snprintf(expected, sizeof expected, "t.yml: rule_files: '%s': %s", patterns[i].text,
                 patterns[i].what);
        arena_init(&arena, NULL, 0, 0);
        assert_int_equal(rule_tests_find_files(env_real(), "t.yml", &list, &arena, note_unmatched,
                                               told, &found, &why),
                         ERR_INPUT);
        assert_string_equal(why.text, expected);
        assert_int_equal(found.count, 7);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_each_allocation_for_patterns_may_fail)
{
    char dir[] = "/tmp/rule_tests_XXXXXX", file[300];
    struct why why;
    assert_non_null(mkdtemp(dir));
    make_dir(dir, "x");
    make_file(dir, "x/a.yml");
    make_file(dir, "x/b.yml");
    snprintf(file, sizeof file, "%s/t.yml", dir);
    const char *items[] = {"x/*.yml", "x/a.yml"};
    const struct text_list list = {items, 2};
    for (uint64_t nth = 1;; nth++) {
        struct text_list found = {.count = 7};
        char told[1000] = "";
        struct budget budget;
        struct arena arena;
        budget_init(&budget, "rules", 0, NULL);
        arena_init(&arena, &budget, 0, 64);
        mem_fail_nth(nth, false);
        enum err e = rule_tests_find_files(env_real(), file, &list, &arena, note_unmatched, told,
                                           &found, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&arena);
        assert_int_equal(budget_used(&budget), 0);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(found.count, fired ? 7 : 2);
        if (!fired) break;
        assert_true(nth < 1000);
    }
    assert_int_equal(env_remove_tree(env_real(), dir, &why), OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys_are_read),
        cmocka_unit_test(test_missing_and_null_values_have_defaults),
        cmocka_unit_test(test_scalars_are_read),
        cmocka_unit_test(test_anchors_and_merge_keys_repeat_what_is_there),
        cmocka_unit_test(test_an_error_is_reported_with_its_position),
        cmocka_unit_test(test_an_invalid_number_is_refused),
        cmocka_unit_test(test_merges_and_aliases_end),
        cmocka_unit_test(test_a_file_that_is_costly_to_load_is_refused_before_loading),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_rule_files_are_found_by_patterns),
        cmocka_unit_test(test_incomplete_patterns_are_refused),
        cmocka_unit_test(test_each_allocation_for_patterns_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
