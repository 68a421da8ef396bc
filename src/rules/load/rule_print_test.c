/* rule_print_test.c - groups of rules printed as YAML. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "rules/load/rule_files.h"

static const struct rule_file_options options = {.report = NULL};

/* Returns the group of a valid text; the arena is the caller's. */
static struct rule_group
read_group(struct arena *arena, const char *text)
{
    struct rule_group group = {NULL};
    struct why why = {""};
    arena_init(arena, NULL, 0, 0);
    enum err e = rule_group_parse("g", bytes_of_text(text), &options, arena, &group, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return group;
}

static const char *
text_of(struct buf *buf)
{
    buf_put_u8(buf, '\0');
    assert_int_equal(buf_error(buf), OK);
    buf->size--;
    return (const char *)buf->at;
}

/* Checks the printed form of a group, which gives the same group when it is read again. */
static void
check_printed(const char *from, const char *expected)
{
    struct arena arena, again_arena;
    struct buf text;
    struct rule_group group = read_group(&arena, from);
    buf_init(&text, NULL, 1 << 20);
    rule_group_print(&group, &text);
    if (expected != NULL) assert_string_equal(text_of(&text), expected);
    struct rule_group again = read_group(&again_arena, text_of(&text));
    assert_true(group.hash == again.hash);
    arena_fini(&again_arena);
    arena_fini(&arena);
    buf_fini(&text);
}

UNIT_TEST(test_fields_have_the_order_and_form_of_mimir)
{
    check_printed("{labels: {team: infra}, rules: [{expr: up == 0, alert: Down, keep_firing_for: "
                  "1m, for: 90s, annotations: {summary: '{{ $value }} is down', a: b}, labels: "
                  "{severity: page}}, {record: 'job:up:sum', expr: sum by (job) (up)}], limit: 10, "
                  "query_offset: 1h, interval: 300s, name: node}",
                  "name: node\n"
                  "interval: 5m\n"
                  "query_offset: 1h\n"
                  "limit: 10\n"
                  "rules:\n"
                  "    - alert: Down\n"
                  "      expr: up == 0\n"
                  "      for: 1m30s\n"
                  "      keep_firing_for: 1m\n"
                  "      labels:\n"
                  "        severity: page\n"
                  "      annotations:\n"
                  "        a: b\n"
                  "        summary: \"{{ $value }} is down\"\n"
                  "    - record: job:up:sum\n"
                  "      expr: sum by (job) (up)\n"
                  "labels:\n"
                  "    team: infra\n");
}

UNIT_TEST(test_default_values_are_omitted)
{
    check_printed("{name: a, interval: 0s, limit: 0, labels: {}, rules: [{alert: b, expr: c, "
                  "for: 0s, keep_firing_for: 0, labels: null, annotations: {}}]}",
                  "name: a\n"
                  "rules:\n"
                  "    - alert: b\n"
                  "      expr: c\n");
    /* An offset of 0s counts: the server's default does not apply. */
    check_printed("{name: a, query_offset: 0s, rules: [{record: b, expr: c}]}", "name: a\n"
                                                                                "query_offset: 0s\n"
                                                                                "rules:\n"
                                                                                "    - record: b\n"
                                                                                "      expr: c\n");
}

UNIT_TEST(test_durations_are_those_of_prometheus)
{
    static const struct {
        const char *from, *expected;
    } cases[] = {
        {"1ms", "1ms"},   {"1s", "1s"},         {"60s", "1m"},
        {"61s", "1m1s"},  {"24h", "1d"},        {"7d", "1w"},
        {"8d", "8d"},     {"90d", "90d"},       {"14d", "2w"},
        {"365d", "1y"},   {"366d", "366d"},     {"730d", "2y"},
        {"1w1s", "7d1s"}, {"1y1ms", "365d1ms"}, {"1h1ms", "1h1ms"},
        {"100y", "100y"}, {"25h61m", "1d2h1m"}, {"1m1500ms", "1m1s500ms"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char from[200], expected[200];
        snprintf(from, sizeof from, "{name: a, interval: %s, rules: [{record: b, expr: c}]}",
                 cases[i].from);
        snprintf(expected, sizeof expected,
                 "name: a\ninterval: %s\nrules:\n    - record: b\n      expr: c\n",
                 cases[i].expected);
        check_printed(from, expected);
    }
}

/* Checks a text as the value of an annotation, which is in double quotes of YAML. */
static void
check_text(const char *quoted, const char *expected)
{
    char from[1000], printed[1000];
    snprintf(from, sizeof from, "{name: a, rules: [{alert: b, expr: c, annotations: {d: %s}}]}",
             quoted);
    snprintf(printed, sizeof printed,
             "name: a\nrules:\n    - alert: b\n      expr: c\n      annotations:\n        d: %s\n",
             expected);
    check_printed(from, printed);
}

UNIT_TEST(test_texts_are_quoted_where_they_would_be_something_else)
{
    static const char *const plain[] = {"a",     "_a",      "a b",    "a:b",
                                        "a#b",   "x y: z2", "Yesss",  "sum({a='b'}[5m]) > 1 or -x",
                                        "a - b", "a, b",    "a\\\\b", "http://h:1/?a=b&c#d"};
    static const char *const quoted[] = {
        "",   "1",    "1.5",  "-1",   "1e3",  "0x1", ".inf", "~",   " a",  "a ",
        "a:", "a: b", "a #b", "null", "True", "NO",  "on",   "y",   "- a", "[a]",
        "{a", "!a",   "&a",   "*a",   "%a",   "@a",  "?a",   "'a'", "<<",  "2026-01-01"};
    for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++) {
        char from[100];
        snprintf(from, sizeof from, "\"%s\"", plain[i]);
        if (strstr(plain[i], ": ") != NULL)
            check_text(from, from);
        else if (strchr(plain[i], '\\') != NULL)
            check_text(from, "a\\b");
        else
            check_text(from, plain[i]);
    }
    for (unsigned i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        char from[100];
        snprintf(from, sizeof from, "\"%s\"", quoted[i]);
        check_text(from, from);
    }
    check_text("\"a\\tb\"", "\"a\\u0009b\"");
    check_text("\"\xc3\xbc\"", "\"\xc3\xbc\"");
    check_text("\"a\\\"b\\\\ \"", "\"a\\\"b\\\\ \"");
}

UNIT_TEST(test_text_with_line_breaks_is_printed_as_a_block)
{
    check_text("\"a\\nb\"", "|-\n            a\n            b");
    check_text("\"a\\n  b: c\\n\\n# d \\n\"",
               "|\n            a\n              b: c\n\n            # d ");
    check_text("\"a\\n\"", "|\n            a");
    /* A block cannot have these ends and begins, or not without an indicator. */
    check_text("\"a\\n\\n\"", "\"a\\u000a\\u000a\"");
    check_text("\"\\na\"", "\"\\u000aa\"");
    check_text("\" a\\nb\"", "\" a\\u000ab\"");
    check_text("\"a\\r\\nb\"", "\"a\\u000d\\u000ab\"");
    check_text("\"\\n\"", "\"\\u000a\"");
}

UNIT_TEST(test_long_keys_are_marked)
{
    char name[3001], from[4000];
    for (unsigned size = 127; size <= 129; size++) {
        memset(name, 'k', size);
        name[size] = '\0';
        snprintf(from, sizeof from,
                 "name: a\nrules:\n    - alert: b\n      expr: c\n      annotations:\n"
                 "        %s%s%s: v\n",
                 size > 128 ? "? " : "", name, size > 128 ? "\n        " : "");
        check_printed(from, from);
    }
    memset(name, '"', sizeof name - 1); /* takes twice the room */
    name[sizeof name - 1] = '\0';
    snprintf(from, sizeof from, "{name: a, rules: [{alert: b, expr: c, labels: {? '%s' : v}}]}",
             name);
    check_printed(from, NULL);
}

UNIT_TEST(test_entries_of_a_list_say_what_the_documents_say)
{
    static const char *const texts[] = {
        "{name: a, rules: [{alert: b, expr: \"c\\n\\n  or d\\n\", annotations: {e: \"1\\n2\"}}]}",
        "{name: ' ', labels: {b: c}, rules: [{record: b, expr: c}, {record: d, expr: e}]}",
    };
    struct buf list, text;
    struct arena arena;
    uint64_t hashes[2];
    buf_init(&list, NULL, 1 << 20);
    buf_init(&text, NULL, 1 << 20);
    rules_print_namespace("groups", &list);
    for (unsigned i = 0; i < 2; i++) {
        struct rule_group group = read_group(&arena, texts[i]);
        hashes[i] = group.hash;
        buf_clear(&text);
        rule_group_print(&group, &text);
        rules_print_entry(buf_bytes(&text), &list);
        arena_fini(&arena);
    }
    assert_string_equal(text_of(&list), "groups:\n"
                                        "    - name: a\n"
                                        "      rules:\n"
                                        "          - alert: b\n"
                                        "            expr: |\n"
                                        "                c\n"
                                        "\n"
                                        "                  or d\n"
                                        "            annotations:\n"
                                        "              e: |-\n"
                                        "                  1\n"
                                        "                  2\n"
                                        "    - name: \" \"\n"
                                        "      rules:\n"
                                        "          - record: b\n"
                                        "            expr: c\n"
                                        "          - record: d\n"
                                        "            expr: e\n"
                                        "      labels:\n"
                                        "          b: c\n");
    struct rule_groups groups = {NULL};
    struct why why = {""};
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(rule_file_parse("l", buf_bytes(&list), &options, &arena, &groups, &why), OK);
    assert_int_equal(groups.count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_true(groups.items[i].hash == hashes[i]);
    arena_fini(&arena);
    buf_clear(&list);
    rules_print_namespace("a: b", &list);
    assert_string_equal(text_of(&list), "\"a: b\":\n");
    buf_fini(&list);
    buf_fini(&text);
}

UNIT_TEST(test_a_full_buffer_shows)
{
    struct arena arena;
    struct buf text;
    struct rule_group group = read_group(&arena, "{name: a, rules: [{record: b, expr: c}]}");
    buf_init(&text, NULL, 20);
    rule_group_print(&group, &text);
    assert_int_equal(buf_error(&text), ERR_LIMIT);
    buf_fini(&text);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_have_the_order_and_form_of_mimir),
        cmocka_unit_test(test_default_values_are_omitted),
        cmocka_unit_test(test_durations_are_those_of_prometheus),
        cmocka_unit_test(test_texts_are_quoted_where_they_would_be_something_else),
        cmocka_unit_test(test_text_with_line_breaks_is_printed_as_a_block),
        cmocka_unit_test(test_long_keys_are_marked),
        cmocka_unit_test(test_entries_of_a_list_say_what_the_documents_say),
        cmocka_unit_test(test_a_full_buffer_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
