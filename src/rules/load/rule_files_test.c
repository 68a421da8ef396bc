/* rule_files_test.c - files of rules: keys, limits, errors. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/texts.h"
#include "rules/load/rule_files.h"

/* --- small helpers ---------------------------------------------------------------------------- */

struct reported {
    char text[4096];
    size_t size;
};

static void
note_sentence(void *context, struct bytes sentence)
{
    struct reported *reported = context;
    assert_true(reported->size + sentence.size + 2 < sizeof reported->text);
    memcpy(reported->text + reported->size, sentence.at, sentence.size);
    reported->size += sentence.size;
    reported->text[reported->size++] = '\n';
    reported->text[reported->size] = 0;
}

/* Returns the groups of a valid text; the arena is the caller's. */
static struct rule_groups
read_groups(struct arena *arena, const char *text)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_groups groups = {NULL};
    struct why why = {""};
    arena_init(arena, NULL, 0, 0);
    enum err e = rule_file_parse("r.yml", bytes_of_text(text), &options, arena, &groups, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return groups;
}

static void
check_fine(const char *text)
{
    struct arena arena;
    read_groups(&arena, text);
    arena_fini(&arena);
}

/* Checks the errors; `expected` has all sentences, each with a line feed. */
static void
check_errors(const char *text, const char *expected)
{
    struct reported reported = {""};
    const struct rule_file_options options = {
        .report = note_sentence, .context = &reported, .shows_place = true};
    const struct rule_file_options quiet = {.report = NULL};
    struct rule_groups groups = {.count = 7};
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct bytes bytes = bytes_of_text(text);
    assert_int_equal(rule_file_parse("r.yml", bytes, &options, &arena, &groups, &why), ERR_INPUT);
    assert_string_equal(reported.text, expected);
    assert_int_equal(strncmp(why.text, expected, strlen(why.text)), 0);
    assert_int_equal(expected[strlen(why.text)], '\n');
    assert_int_equal(groups.count, 7);
    assert_int_equal(rule_file_parse("r.yml", bytes, &quiet, &arena, &groups, NULL), ERR_INPUT);
    arena_fini(&arena);
}

/* Checks the error of a group with one rule, whose keys are in flow style on line 3 from
 * column 5 on. */
static void
check_rule_error(const char *keys, const char *expected)
{
    char text[1000];
    snprintf(text, sizeof text, "groups:\n- {name: g, rules: [\n  - {%s}]}\n", keys);
    char *dash = strstr(text, "  - {");
    memcpy(dash, "    {", 5);
    check_errors(text, expected);
}

static uint64_t
hash_of(const char *text)
{
    struct arena arena;
    struct rule_groups groups = read_groups(&arena, text);
    assert_int_equal(groups.count, 1);
    uint64_t hash = groups.items[0].hash;
    arena_fini(&arena);
    return hash;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char whole[] = "groups:\n"
                            "- name: node\n"
                            "  interval: 1m30s\n"
                            "  limit: 7\n"
                            "  query_offset: 0s\n"
                            "  labels: {team: infra, a: b}\n"
                            "  rules:\n"
                            "  - record: job:up:sum\n"
                            "    expr: sum by (job) (up)\n"
                            "    labels: {x: 1}\n"
                            "  - alert: Node down\n"
                            "    expr: |\n"
                            "      up\n"
                            "        == 0\n"
                            "    for: 5m\n"
                            "    keep_firing_for: 1h\n"
                            "    labels: {severity: '{{ $labels.s }}', n: ~}\n"
                            "    annotations: {summary: \"{{ $value }}\", \"\\u00e9\": ''}\n"
                            "- rules: []\n"
                            "  name: other\n";

UNIT_TEST(test_every_key_is_read)
{
    struct arena arena;
    struct rule_groups groups = read_groups(&arena, whole);
    assert_int_equal(groups.count, 2);
    assert_ptr_equal(groups.arena, &arena);
    const struct rule_group *g = &groups.items[0];
    assert_string_equal(g->file, "r.yml");
    assert_string_equal(g->name, "node");
    assert_int_equal(g->interval_ms, 90000);
    assert_int_equal(g->limit, 7);
    assert_true(g->has_query_offset);
    assert_int_equal(g->query_offset_ms, 0);
    assert_int_equal(g->labels.count, 2);
    assert_string_equal(g->labels.items[0].name, "a");
    assert_string_equal(g->labels.items[1].value, "infra");
    assert_int_equal(g->line, 2);
    assert_int_equal(g->column, 3);
    assert_int_equal(g->rule_count, 2);

    const struct rule *r = &g->rules[0];
    assert_int_equal(r->kind, RULE_RECORDING);
    assert_string_equal(r->name, "job:up:sum");
    assert_string_equal(r->expression, "sum by (job) (up)");
    assert_int_equal(r->labels.count, 1);
    assert_string_equal(r->labels.items[0].value, "1");
    assert_int_equal(r->annotations.count, 0);
    assert_int_equal(r->line, 8);
    assert_int_equal(r->column, 5);

    r = &g->rules[1];
    assert_int_equal(r->kind, RULE_ALERTING);
    assert_string_equal(r->name, "Node down");
    assert_string_equal(r->expression, "up\n  == 0\n");
    assert_int_equal(r->for_ms, 300000);
    assert_int_equal(r->keep_firing_for_ms, 3600000);
    assert_int_equal(r->labels.count, 2);
    assert_string_equal(r->labels.items[0].name, "n");
    assert_string_equal(r->labels.items[0].value, "");
    assert_int_equal(r->annotations.count, 2);
    assert_string_equal(r->annotations.items[1].name, "\xc3\xa9");

    g = &groups.items[1];
    assert_string_equal(g->name, "other");
    assert_int_equal(g->rule_count, 0);
    assert_int_equal(g->interval_ms, 0);
    assert_false(g->has_query_offset);
    arena_fini(&arena);
}

UNIT_TEST(test_an_empty_file_has_no_groups)
{
    static const char *const texts[] = {"",           "# nothing\n", "~",    "groups:\n",
                                        "groups: []", "{}",          "---\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena arena;
        assert_int_equal(read_groups(&arena, texts[i]).count, 0);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_null_is_the_same_as_missing)
{
    struct arena arena;
    struct rule_groups groups = read_groups(
        &arena, "groups: [~, {name: a, interval: , limit: ~, query_offset: null, labels: ,\n"
                "  rules: [~, {record: b, alert: , expr: c, for: , labels: ~, annotations: }]}]");
    assert_int_equal(groups.count, 1);
    assert_false(groups.items[0].has_query_offset);
    assert_int_equal(groups.items[0].rule_count, 1);
    assert_int_equal(groups.items[0].rules[0].kind, RULE_RECORDING);
    arena_fini(&arena);
}

UNIT_TEST(test_the_hash_changes_with_all_that_is_said_and_with_nothing_else)
{
    static const char *const texts[] = {
        "groups: [{name: a}]",
        "groups: [{name: b}]",
        "groups: [{name: a, interval: 1s}]",
        "groups: [{name: a, limit: 1}]",
        "groups: [{name: a, query_offset: 0s}]",
        "groups: [{name: a, query_offset: 1s}]",
        "groups: [{name: a, labels: {b: c}}]",
        "groups: [{name: a, labels: {b: d}}]",
        "groups: [{name: a, rules: [{record: b, expr: c}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: d}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c, for: 1s}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c, keep_firing_for: 1s}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c, labels: {d: e}}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c, annotations: {d: e}}]}]",
        "groups: [{name: a, rules: [{alert: b, expr: c}, {alert: b, expr: c}]}]",
    };
    enum { COUNT = sizeof texts / sizeof *texts };
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(hash_of(texts[i]) != hash_of(texts[k]));
    assert_true(hash_of("groups:\n# x\n- labels: {c: d, a: b}\n  name: a\n") ==
                hash_of("groups: [{name: a, limit: 0, labels: {a: b, c: d}}]"));
}

/* --- refusals --------------------------------------------------------------------------------- */

UNIT_TEST(test_each_error_is_reported_at_its_position)
{
    check_errors(
        "groups:\n"
        "- name: ''\n"
        "  labels: {__name__: a, '': b}\n"
        "  rules:\n"
        "  - record: a{}\n"
        "    expr: sum(\n"
        "    for: 1m\n"
        "    keep_firing_for: 1m\n"
        "    annotations: {'': a}\n"
        "  - alert: A\n"
        "    record: b\n"
        "    labels: {a: '{{ x }}'}\n"
        "    annotations: {b: '{{'}\n"
        "  - expr: up\n"
        "- name: a\n"
        "- name: a\n",
        "r.yml:2:9: group 1: 'name' is required\n"
        "r.yml:3:12: group 1: labels: '__name__' is not allowed\n"
        "r.yml:3:25: group 1: labels: a name must not be empty\n"
        "r.yml:6:11: group 1, rule 1 'a{}': invalid expression: 1:5: parse error: unclosed left "
        "parenthesis\n  sum(\n      ^\n"
        "r.yml:5:13: group 1, rule 1 'a{}': record: 'a{}' is not a valid metric name: braces "
        "belong in 'expr'\n"
        "r.yml:9:18: group 1, rule 1 'a{}': 'annotations' is only valid with 'alert'\n"
        "r.yml:7:10: group 1, rule 1 'a{}': 'for' is only valid with 'alert'\n"
        "r.yml:8:22: group 1, rule 1 'a{}': 'keep_firing_for' is only valid with 'alert'\n"
        "r.yml:9:19: group 1, rule 1 'a{}': annotations: a name must not be empty\n"
        "r.yml:10:12: group 1, rule 2 'A': 'alert' and 'record' cannot be used together; "
        "'record' is on line 11\n"
        "r.yml:10:5: group 1, rule 2 'A': 'expr' is required\n"
        "r.yml:12:14: group 1, rule 2 'A': label 'a': template: __alert_A:1: function \"x\" not "
        "defined\n"
        "r.yml:13:19: group 1, rule 2 'A': annotation 'b': template: __alert_A:1: unclosed "
        "action\n"
        "r.yml:14:5: group 1, rule 3: 'record' or 'alert' is required\n"
        "r.yml:16:9: group 'a': duplicate name, also given to the group on line 15\n");
}

UNIT_TEST(test_rules_that_prometheus_accepts_are_valid)
{
    static const char *const rules[] = {
        "record: '9 \xc3\xa9', expr: 1",
        "record: a, expr: 1, for: 0s, keep_firing_for: 0, annotations: {}",
        "record: a, expr: 1, labels: {a: '{{ foo }}'}",
        "record: a, alert: '', expr: 1",
        "alert: 'a b', expr: 1, labels: {alertname: a, __foo__: b, 'a b': c}",
        "record: true, expr: 0x1F",
        "alert: a, expr: '\"text\"'",
        "record: a, expr: 'up[5m]'",
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char text[300];
        snprintf(text, sizeof text, "groups: [{name: g, rules: [{%s}]}]", rules[i]);
        check_fine(text);
    }
}

UNIT_TEST(test_an_error_of_the_form_ends_the_file)
{
    check_errors("[]", "r.yml:1:1: expected 'groups:', got a list\n");
    check_errors("foo: 1", "r.yml:1:1: unknown key 'foo'\n");
    check_errors("group: []", "r.yml:1:1: unknown key 'group'; did you mean 'groups'?\n");
    check_errors("groups: {}", "r.yml:1:9: groups: expected a list, got a mapping\n");
    check_errors("groups: [a]",
                 "r.yml:1:10: 'groups' expects keys below it such as 'name:', got 'a'\n");
    check_errors("groups: [{name: a, rules: {}}]",
                 "r.yml:1:27: rules: expected a list, got a mapping\n");
    check_errors("groups: [{name: a, rules: [b]}]",
                 "r.yml:1:28: 'rules' expects keys below it such as 'record:', got 'b'\n");
    check_errors("groups: [{name: a, labels: [b]}]",
                 "r.yml:1:28: labels: expected a mapping, got a list\n");
    check_errors("groups: [{name: [a]}]", "r.yml:1:17: name: expected text, got a list\n");
    check_errors("groups: [{name: a, name: b}]",
                 "r.yml:1:20: duplicate key 'name', first given on line 1\n");
    check_errors("groups: [{name: ~, name: b}]",
                 "r.yml:1:20: duplicate key 'name', first given on line 1\n");
    check_errors("groups: [{name: a, labels: {b: c, b: d}}]",
                 "r.yml:1:35: labels: duplicate key 'b', first given on line 1\n");
    check_errors("groups: [{name: \"a\\0b\"}]",
                 "r.yml:1:17: name: must not contain NUL characters\n");
    check_errors("groups: []\n---\n",
                 "r.yml:2:1: a second document begins here; only one is allowed\n");
    check_errors("groups: [{name: ''}, {nam: a}]",
                 "r.yml:1:17: group 1: 'name' is required\n"
                 "r.yml:1:23: unknown key 'nam' in 'groups'; did you mean 'name'?\n");
    check_rule_error("record: a, exp: b",
                     "r.yml:3:17: unknown key 'exp' in 'rules'; did you mean 'expr'?\n");
}

UNIT_TEST(test_keys_of_other_programs_come_with_what_to_do)
{
    check_errors("groups: [{name: a, partial_response_strategy: warn}]",
                 "r.yml:1:20: unknown key 'partial_response_strategy' in 'groups'; it is a key of "
                 "Thanos: remove it\n");
    check_errors("groups: [{name: a, evaluation_delay: 1m}]",
                 "r.yml:1:20: unknown key 'evaluation_delay' in 'groups'; use 'query_offset'\n");
    check_errors("groups: [{name: a, eval_delay: 30s}]",
                 "r.yml:1:20: unknown key 'eval_delay' in 'groups'; use 'query_offset'\n");
    check_errors(
        "groups: [{name: a, type: graphite}]",
        "r.yml:1:20: unknown key 'type' in 'groups'; it is a key of vmalert: remove it, all "
        "expressions are PromQL\n");
    check_rule_error(
        "record: a, expr: b, debug: true",
        "r.yml:3:26: unknown key 'debug' in 'rules'; it is a key of vmalert: remove it\n");
    check_errors("namespace: a\ngroups: []",
                 "r.yml:1:1: unknown key 'namespace'; it is a key of mimirtool: remove it, or load "
                 "the file with mimirtool\n");
    check_errors("apiVersion: v1", "r.yml:1:1: unknown key 'apiVersion'; a rule file is what a "
                                   "PrometheusRule has below 'spec'\n");
}

UNIT_TEST(test_durations_are_those_of_prometheus)
{
    static const char *const good[] = {"0", "0s", "1ms", "1y2w3d4h5m6s7ms", "292y", "'5m'"};
    static const char *const bad[] = {"5",    "00",   "''",   "-5m",  "300y",
                                      "5s1m", "1m1m", "1.5m", "' 5s'"};
    char text[100], expected[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "groups: [{name: a, interval: %s}]", good[i]);
        check_fine(text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *quote = bad[i][0] == '\'' ? "" : "'";
        snprintf(text, sizeof text, "groups: [{name: a, interval: %s}]", bad[i]);
        snprintf(expected, sizeof expected,
                 "r.yml:1:30: interval: expected a duration such as 90s or 1h30m, got %s%s%s\n",
                 quote, bad[i], quote);
        check_errors(text, expected);
    }
}

UNIT_TEST(test_a_limit_is_a_whole_number)
{
    static const char *const bad[] = {"-1", "1e3", "0x10", "2147483648", "99999999999999999999",
                                      "1_0"};
    char text[100], expected[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "groups: [{name: a, limit: %s}]", bad[i]);
        snprintf(expected, sizeof expected,
                 "r.yml:1:27: limit: expected a whole number from 0 to 2147483647, got '%s'\n",
                 bad[i]);
        check_errors(text, expected);
    }
    check_errors("groups: [{name: a, limit: '1'}]", "r.yml:1:27: limit: expected a whole number "
                                                    "from 0 to 2147483647, got '1'\n");
    check_fine("groups: [{name: a, limit: 2147483647}]");
}

UNIT_TEST(test_unknown_keys_can_be_ignored)
{
    static const char text[] = "more: [a]\n"
                               "groups: [{name: a, more: {b: [c, {d: e}]},\n"
                               "  rules: [{record: b, expr: c, more: ~}]}]";
    const struct rule_file_options options = {.ignore_unknown_fields = true};
    struct rule_groups groups = {NULL};
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum err e = rule_file_parse("r.yml", bytes_of_text(text), &options, &arena, &groups, &why);
    assert_int_equal(e, OK);
    assert_int_equal(groups.items[0].rule_count, 1);
    arena_fini(&arena);
}

UNIT_TEST(test_foreign_text_is_harmless_in_sentences)
{
    check_rule_error("record: a, expr: \"\\e[31m\"",
                     "r.yml:3:23: group 'g', rule 1 'a': invalid expression: 1:1: parse error: "
                     "unexpected character: '\\x1b'\n   [31m\n  ^\n");
    check_rule_error("alert: \"\\e\", expr: 1, labels: {a: \"{{ \\e\"}",
                     "r.yml:3:37: group 'g', rule 1 '\\x1b': label 'a': template: __alert_\\x1b:1: "
                     "unrecognized character in action: U+001B\n");
}

/* --- limits ----------------------------------------------------------------------------------- */

static enum err
parse_within(char *text, uint64_t arena_bytes_max, struct why *why)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_groups groups = {NULL};
    struct arena arena;
    arena_init(&arena, NULL, arena_bytes_max, 0);
    enum err e = rule_file_parse("r.yml", bytes_of_text(text), &options, &arena, &groups, why);
    arena_fini(&arena);
    return e;
}

UNIT_TEST(test_limits_are_met_one_beyond_them)
{
    static const struct {
        const char *head, *item;
        unsigned max;
        const char *tail, *expected;
    } cases[] = {
        {"groups:\n", "- {name: a#}\n", RULE_GROUPS_MAX, "",
         "r.yml:10002:3: groups: at most 10000 entries are allowed"},
        {"groups:\n- name: a\n  rules:\n", "  - {record: a, expr: b}\n", RULES_MAX, "",
         "r.yml:100004:5: rules: at most 100000 entries are allowed"},
        {"groups:\n- name: a\n  labels:\n", "    a#: b\n", RULE_TEXTS_MAX, "",
         "r.yml:132:5: labels: at most 128 entries are allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned over = 0; over < 2; over++) {
            struct why why = {""};
            char *text = repeated(cases[i].head, cases[i].item, cases[i].max + over, cases[i].tail);
            enum err e = parse_within(text, 0, &why);
            assert_string_equal(why.text, over ? cases[i].expected : "");
            assert_int_equal(e, over ? ERR_INPUT : OK);
            free(text);
        }
    }
}

UNIT_TEST(test_a_file_one_byte_over_the_limit_is_refused)
{
    char *text = malloc(RULE_FILE_BYTES_MAX + 2);
    struct why why = {""};
    assert_non_null(text);
    memset(text, '\n', RULE_FILE_BYTES_MAX + 1);
    text[RULE_FILE_BYTES_MAX + 1] = 0;
    assert_int_equal(parse_within(text, 0, &why), ERR_LIMIT);
    assert_string_equal(why.text, "r.yml: must be at most 16384 KiB");
    text[RULE_FILE_BYTES_MAX] = 0;
    assert_int_equal(parse_within(text, 0, &why), OK);
    free(text);
}

/* Nesting and sheer length cost neither stack nor time, also where keys are ignored. */
UNIT_TEST(test_hostile_texts_are_read_or_refused_soon)
{
    static const char *const heads[] = {
        "", "groups: [{name: a, more: ", "groups: [{name: a, rules: [{alert: a, expr: \""};
    static const char *const fills[] = {
        "[", "{", "- ", "? a\n", "a: ", "a,", "{}, ", "(", "{{", "&"};
    const struct rule_file_options options = {.ignore_unknown_fields = true};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    assert_non_null(text);
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
        for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
            size_t head = strlen(heads[h]), fill = strlen(fills[f]);
            memcpy(text, heads[h], head);
            for (size_t i = head; i < BYTES; i++)
                text[i] = fills[f][(i - head) % fill];
            struct rule_groups groups = {NULL};
            struct why why = {""};
            struct arena arena;
            arena_init(&arena, NULL, 8 << 20, 0);
            enum err e =
                rule_file_parse("r.yml", bytes_of(text, BYTES), &options, &arena, &groups, &why);
            assert_true(e == OK || e == ERR_INPUT);
            arena_fini(&arena);
        }
    }
    free(text);
}

UNIT_TEST(test_a_full_arena_is_reported)
{
    struct why why = {""};
    char *text = repeated("groups:\n", "- {name: a#}\n", 5000, "");
    assert_int_equal(parse_within(text, 1 << 16, &why), ERR_NOMEM);
    assert_string_equal(why.text, "r.yml: not enough memory");
    free(text);
}

static enum err
parse_group(const char *text, struct reported *reported, struct rule_group *ret,
            struct arena *arena)
{
    const struct rule_file_options options = {.report = note_sentence, .context = reported};
    struct why why = {""};
    arena_init(arena, NULL, 0, 0);
    enum err e = rule_group_parse("g", bytes_of_text(text), &options, arena, ret, &why);
    assert_int_equal(e == OK, why.text[0] == '\0');
    return e;
}

UNIT_TEST(test_a_lone_group_is_read_like_one_of_a_file)
{
    static const char group[] = "{name: a, interval: 1m, rules: [{record: b, expr: c}]}";
    struct arena arena, other;
    struct reported reported = {""};
    struct rule_group lone;
    char file[200];
    snprintf(file, sizeof file, "groups: [%s]", group);
    struct rule_groups groups = read_groups(&other, file);
    assert_int_equal(parse_group(group, &reported, &lone, &arena), OK);
    assert_string_equal(lone.file, "g");
    assert_string_equal(lone.name, "a");
    assert_true(lone.hash == groups.items[0].hash);
    arena_fini(&arena);
    arena_fini(&other);
}

UNIT_TEST(test_text_that_is_not_a_single_group_is_refused)
{
    static const struct {
        const char *text, *reported;
    } cases[] = {
        {"", "g:1:1: expected the keys of a group, got nothing\n"},
        {"# a\n", "g:1:1: expected the keys of a group, got nothing\n"},
        {"~", "g:1:1: expected the keys of a group such as 'name:', got nothing\n"},
        {"a", "g:1:1: expected the keys of a group such as 'name:', got 'a'\n"},
        {"[]", "g:1:1: expected the keys of a group such as 'name:', got a list\n"},
        {"groups: []", "g:1:1: unknown key 'groups'\n"},
        {"{}", "g:1:1: group 1: 'name' is required\n"
               "g:1:1: group 1: 'rules' must have at least one entry\n"},
        {"name: a\nrules: []", "g:1:1: group 'a': 'rules' must have at least one entry\n"},
        {"name: a\nrules: [~]", "g:1:1: group 'a': 'rules' must have at least one entry\n"},
        {"name: a\nsource_tenants: [b]\n",
         "g:2:1: unknown key 'source_tenants'; rules read the series of their own tenant only\n"},
        {"name: a\nrules:\n- {record: b}\n- {expr: c}\n",
         "g:3:3: group 'a', rule 1 'b': 'expr' is required\n"
         "g:4:3: group 'a', rule 2: 'record' or 'alert' is required\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reported reported = {""};
        struct rule_group group = {.name = "as it was"};
        struct arena arena;
        assert_int_equal(parse_group(cases[i].text, &reported, &group, &arena), ERR_INPUT);
        assert_string_equal(reported.text, cases[i].reported);
        assert_string_equal(group.name, "as it was");
        arena_fini(&arena);
    }
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    static const char *const texts[] = {whole, "groups: [{name: a, rules: [{alert: b, expr: '(', "
                                               "labels: {'': c, d: '{{'}}]}, {name: a}, {nam: c}]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (unsigned nth = 1;; nth++) {
            struct reported reported = {""};
            const struct rule_file_options options = {.report = note_sentence,
                                                      .context = &reported};
            struct rule_groups groups = {.count = 7};
            struct why why = {""};
            struct budget budget;
            struct arena arena;
            budget_init(&budget, "rules", 0, NULL);
            arena_init(&arena, &budget, 0, 0);
            mem_fail_nth(nth, false);
            enum err e =
                rule_file_parse("r.yml", bytes_of_text(texts[i]), &options, &arena, &groups, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            arena_fini(&arena);
            assert_int_equal(budget_used(&budget), 0);
            assert_int_equal(e, fired ? ERR_NOMEM : i == 0 ? OK : ERR_INPUT);
            assert_int_equal(groups.count, e == OK ? 2 : 7);
            if (fired) assert_string_equal(why.text, "r.yml: not enough memory");
            if (!fired) break;
            assert_true(nth < 1000);
        }
    }
}

/* --- repetitions ------------------------------------------------------------------------------ */

/* Checks that both have the same groups, by their hashes. */
static void
check_same(const char *text, const char *written_out)
{
    struct arena arenas[2];
    struct rule_groups a = read_groups(&arenas[0], text);
    struct rule_groups b = read_groups(&arenas[1], written_out);
    assert_int_equal(a.count, b.count);
    for (uint32_t i = 0; i < a.count; i++) {
        assert_string_equal(a.items[i].name, b.items[i].name);
        assert_int_equal(a.items[i].hash, b.items[i].hash);
    }
    arena_fini(&arenas[0]);
    arena_fini(&arenas[1]);
}

#define RULES(rules) "groups: [{name: g, rules: [" rules "]}]"

UNIT_TEST(test_aliases_and_merge_keys_are_replaced_by_their_content)
{
    check_same(RULES("&r {record: a, expr: up}, *r"),
               RULES("{record: a, expr: up}, {record: a, expr: up}"));
    check_same("groups: [{name: a, interval: &i 30s, rules: &r [{record: a, expr: up}]}, "
               "{rules: *r, interval: *i, name: b}]",
               "groups: [{name: a, interval: 30s, rules: [{record: a, expr: up}]}, "
               "{name: b, interval: 30s, rules: [{record: a, expr: up}]}]");
    check_same(RULES("{&k record: a, expr: &e 'up == 0'}, {*k : b, expr: *e}"),
               RULES("{record: a, expr: up == 0}, {record: b, expr: up == 0}"));
    check_same(RULES("&r {alert: a, expr: up, for: 5m, labels: &l {x: y, z: z}}, "
                     "{alert: b, <<: *r, for: 1m, labels: {z: q, <<: *l}}"),
               RULES("{alert: a, expr: up, for: 5m, labels: {x: y, z: z}}, "
                     "{alert: b, expr: up, for: 1m, labels: {x: y, z: q}}"));
    check_same(RULES("{<<: [{expr: b, <<: {labels: {m: n}}}, {expr: c, record: d}]}"),
               RULES("{record: d, expr: b, labels: {m: n}}")); /* without an anchor, too */
    check_same(RULES("&r {alert: a, expr: up, for: 5m}, {<<: *r, for: ~}"),
               RULES("{alert: a, expr: up, for: 5m}, {alert: a, expr: up}"));
    check_same(RULES("{record: a, expr: &x up, labels: {'<<': b, a: '&x'}}"),
               RULES("{record: a, expr: up, labels: {\"<<\": b, a: \"&x\"}}"));
}

UNIT_TEST(test_wrong_aliases_are_reported_at_their_position)
{
    check_errors(RULES("{record: a, expr: *b}"), "r.yml:1:46: unknown anchor of an alias\n");
    check_errors(RULES("{record: &a a, expr: *b}"), "r.yml:1:49: found undefined alias\n");
    check_errors(RULES("{record: a, expr: up, <<: 5}"),
                 "r.yml:1:54: <<: expected a mapping or a list of mappings\n");
    check_errors(RULES("{record: a, expr: up, <<: [5]}"),
                 "r.yml:1:55: <<: expected a mapping or a list of mappings\n");
    check_errors(RULES("{record: &a !x a, expr: up}"),
                 "r.yml:1:37: tags (!name) are not supported here\n");
    check_errors(RULES("{record: &a a, record: b}"),
                 "r.yml:1:43: duplicate key 'record', first given on line 1\n");
    check_errors(RULES("&r {record: a, expr: up, foo: 1}"),
                 "r.yml:1:53: unknown key 'foo' in 'rules'; did you mean 'for'?\n");
    check_errors("groups: &g [{name: a, rules: *g}]",
                 "r.yml:1:14: unknown key 'name' in 'rules'\n");
    check_errors("groups: [{<<: &g {name: a, <<: *g}}]", "r.yml:1:15: <<: nested too deeply\n");
    check_errors("groups: [{name: &a b, foo: 1}]\n---\n",
                 "r.yml:2:1: a second document begins here; only one is allowed\n");
}

/* Checks a text that repeats a part; "#" in it is the number of each. */
static void
check_many(const char *open, const char *part, unsigned count, const char *close,
           const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 64 << 20);
    buf_put_text(&text, open);
    for (unsigned i = 0; i < count; i++) {
        for (const char *c = part; *c != '\0'; c++)
            if (*c == '#')
                buf_printf(&text, "%u", i);
            else
                buf_put_u8(&text, (uint8_t)*c);
    }
    buf_put_text(&text, close);
    buf_put_u8(&text, '\0');
    assert_int_equal(buf_error(&text), OK);
    if (expected == NULL)
        check_fine((const char *)text.at);
    else
        check_errors((const char *)text.at, expected);
    buf_fini(&text);
}

UNIT_TEST(test_repetitions_end)
{
    static const char open[] = "groups: [{name: g, rules: [&r {record: a, expr: up}",
                      close[] = "]}]";
    check_many(open, ", *r", 90000, close, NULL);
    check_many(open, ", *r", 99999, close, "r.yml:1:40: at most 500000 values are allowed\n");
    check_many("groups: [{name: g, labels: {", "l#: &a# x, ", 1001, "}}]",
               "r.yml:1:14816: at most 1000 anchors are allowed\n");
    check_many("groups: [{name: g, labels: {<<: {a: b}, ", "l#: x, ", 1000, "}}]",
               "r.yml:1:34: <<: at most 1000 keys are allowed\n");
    check_many("groups: [{name: &a g, x: ", "[", 40, "", "r.yml:1:55: nested too deeply\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_an_empty_file_has_no_groups),
        cmocka_unit_test(test_null_is_the_same_as_missing),
        cmocka_unit_test(test_the_hash_changes_with_all_that_is_said_and_with_nothing_else),
        cmocka_unit_test(test_each_error_is_reported_at_its_position),
        cmocka_unit_test(test_rules_that_prometheus_accepts_are_valid),
        cmocka_unit_test(test_aliases_and_merge_keys_are_replaced_by_their_content),
        cmocka_unit_test(test_wrong_aliases_are_reported_at_their_position),
        cmocka_unit_test(test_repetitions_end),
        cmocka_unit_test(test_an_error_of_the_form_ends_the_file),
        cmocka_unit_test(test_durations_are_those_of_prometheus),
        cmocka_unit_test(test_a_limit_is_a_whole_number),
        cmocka_unit_test(test_unknown_keys_can_be_ignored),
        cmocka_unit_test(test_keys_of_other_programs_come_with_what_to_do),
        cmocka_unit_test(test_foreign_text_is_harmless_in_sentences),
        cmocka_unit_test(test_limits_are_met_one_beyond_them),
        cmocka_unit_test(test_a_file_one_byte_over_the_limit_is_refused),
        cmocka_unit_test(test_hostile_texts_are_read_or_refused_soon),
        cmocka_unit_test(test_a_full_arena_is_reported),
        cmocka_unit_test(test_a_lone_group_is_read_like_one_of_a_file),
        cmocka_unit_test(test_text_that_is_not_a_single_group_is_refused),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
