/* Lists of targets in JSON and YAML: what is taken of them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "notify/target_groups.h"

static struct budget budget;
static struct targets targets;
static struct why why;
static struct label meta;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    targets_init(&targets, &budget);
    meta = (struct label){bytes_of_text("__meta_filepath"), bytes_of_text("f")};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    targets_fini(&targets);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static enum err
read_as(bool yaml, const char *text)
{
    targets_fini(&targets);
    targets_init(&targets, &budget);
    why.text[0] = '\0';
    return yaml ? target_groups_yaml("f", bytes_of_text(text), meta, &targets, &why)
                : target_groups_json("f", bytes_of_text(text), meta, &targets, &why);
}

static void
expect_targets(const char *want)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    for (uint32_t i = 0; i < targets.count; i++) {
        labels_print(&text, targets.items[i]);
        buf_put_u8(&text, '\n');
    }
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, want);
    buf_fini(&text);
}

static void
expect_both(const char *json, const char *yaml, const char *want)
{
    if (read_as(false, json) != OK) fail_msg("%s: %s", json, why.text);
    expect_targets(want);
    if (read_as(true, yaml) != OK) fail_msg("%s: %s", yaml, why.text);
    expect_targets(want);
    if (read_as(true, json) != OK) fail_msg("%s as YAML: %s", json, why.text);
    expect_targets(want);
}

static void
expect_refused(bool yaml, const char *text, enum err e, const char *says)
{
    assert_int_equal(read_as(yaml, text), e);
    if (strstr(why.text, says) == NULL) fail_msg("%s: %s", text, why.text);
}

static void
test_each_target_has_its_address_and_the_labels_of_its_group(void **state)
{
    (void)state;
    expect_both("[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"job\": \"x\\u0041\"}},\n"
                " {\"labels\": {\"y\": \"z\"}, \"targets\": [\"c:3\"]}]",
                "- targets: [a:1, 'b:2']\n  labels: {job: xA}\n"
                "- labels:\n    y: \"z\"\n  targets:\n  - c:3\n",
                "{__address__=\"a:1\", __meta_filepath=\"f\", job=\"xA\"}\n"
                "{__address__=\"b:2\", __meta_filepath=\"f\", job=\"xA\"}\n"
                "{__address__=\"c:3\", __meta_filepath=\"f\", y=\"z\"}\n");
}

static void
test_nothing_is_a_list_without_groups(void **state)
{
    (void)state;
    expect_both("[]", "", "");
    expect_both("null", "# nothing\n", "");
    expect_both("[{}]", "- {}", "");
    expect_both("[{\"targets\": null, \"labels\": null}]", "- targets:\n  labels: ~\n", "");
    expect_both("[{\"targets\": [], \"labels\": {}}]", "- {targets: [], labels: {}}", "");
}

static void
test_a_target_wins_over_labels_that_say_its_address_or_where_it_was_found(void **state)
{
    (void)state;
    expect_both("[{\"targets\": [\"a:1\"], \"labels\": {\"__address__\": \"no\", "
                "\"__meta_filepath\": \"no\", \"empty\": \"\", \"null\": null}}]",
                "- targets: [a:1]\n"
                "  labels: {__address__: no, __meta_filepath: no, empty: '', \"null\": null}\n",
                "{__address__=\"a:1\", __meta_filepath=\"f\"}\n");
}

static void
test_numbers_in_yaml_are_texts_and_in_json_are_refused(void **state)
{
    (void)state;
    assert_int_equal(read_as(true, "- {targets: [1], labels: {a: 2, b: true}}"), OK);
    expect_targets("{__address__=\"1\", __meta_filepath=\"f\", a=\"2\", b=\"true\"}\n");
    expect_refused(false, "[{\"targets\": [1]}]", ERR_INPUT, "f: at byte 15: ");
    expect_refused(false, "[{\"targets\": [\"a\"], \"labels\": {\"a\": 2}}]", ERR_INPUT, "f: ");
}

static void
test_what_is_no_list_of_groups_is_refused_with_its_place(void **state)
{
    (void)state;
    expect_refused(false, "", ERR_INPUT, "f: at byte 1: ");
    expect_refused(false, "{}", ERR_INPUT, "f: at byte 1: ");
    expect_refused(false, "[", ERR_INPUT, "f: ");
    expect_refused(false, "[null]", ERR_INPUT, "f: ");
    expect_refused(false, "[{\"target\": []}]", ERR_INPUT,
                   "unknown key, expected 'targets' or 'labels'");
    expect_refused(false, "[] x", ERR_INPUT, "f: at byte 4: ");
    expect_refused(false, "[{\"targets\": \"a\"}]", ERR_INPUT, "f: ");
    expect_refused(false, "[{\"targets\": [\"a\"], \"labels\": {\"\": \"x\"}}]", ERR_INPUT,
                   "a target has invalid labels");
    expect_refused(true, "a: b", ERR_INPUT, "f:1:1: expected a list of groups, got a mapping");
    expect_refused(true, "- a", ERR_INPUT, "f:1:3: expected a group with 'targets:', got 'a'");
    expect_refused(true, "-\n", ERR_INPUT, "got nothing");
    expect_refused(true, "- target: []", ERR_INPUT, "f:1:3: unknown key 'target'");
    expect_refused(true, "- targets: []\n  targets: []", ERR_INPUT, "f:2:3: duplicate key");
    expect_refused(true, "- targets: a", ERR_INPUT, "targets: expected a list, got 'a'");
    expect_refused(true, "- targets: [[a]]", ERR_INPUT, "targets: expected text, got a list");
    expect_refused(true, "- labels: []", ERR_INPUT, "labels: expected a mapping, got a list");
    expect_refused(true, "- labels: {a: b, a: c}", ERR_INPUT, "labels: duplicate key 'a'");
    expect_refused(true, "- labels: {a: {}}", ERR_INPUT, "labels: expected text, got a mapping");
    expect_refused(true, "- &x {targets: []}", ERR_INPUT, "anchors");
    expect_refused(true, "[]\n---\n[]", ERR_INPUT, "a second document begins here");
}

static void
test_targets_and_labels_have_limits(void **state)
{
    (void)state;
    size_t size = 0, capacity = 64 << 10;
    char *text = malloc(capacity);
    size += (size_t)snprintf(text, capacity, "[{\"targets\": [\"a\"");
    for (int i = 0; i < TARGETS_MAX; i++) {
        size += (size_t)snprintf(text + size, capacity - size, ", \"b\"");
    }
    snprintf(text + size, capacity - size, "]}]");
    expect_refused(false, text, ERR_LIMIT, "f: more than 1000 targets");
    expect_refused(true, text, ERR_LIMIT, "more than 1000 targets");
    char *half = strstr(text + size / 2, ", "); /* as many in two groups */
    assert_non_null(half);
    memmove(half + 17, half + 2, strlen(half + 2) + 1);
    memcpy(half, "]}, {\"targets\": [", 17);
    expect_refused(false, text, ERR_LIMIT, "more than 1000 targets");
    size = (size_t)snprintf(text, capacity, "[{\"labels\": {");
    for (int i = 0; i <= TARGETS_LABELS_MAX; i++) {
        size += (size_t)snprintf(text + size, capacity - size, "%s\"l%d\": \"x\"",
                                 i > 0 ? ", " : "", i);
    }
    snprintf(text + size, capacity - size, "}}]");
    expect_refused(false, text, ERR_LIMIT, "more than 128 labels");
    expect_refused(true, text, ERR_LIMIT, "more than 128 labels");
    free(text);
    char *blanks = malloc(TARGETS_TEXT_BYTES_MAX + 2);
    memset(blanks, ' ', TARGETS_TEXT_BYTES_MAX + 1);
    blanks[TARGETS_TEXT_BYTES_MAX + 1] = '\0';
    expect_refused(false, blanks, ERR_LIMIT, "f: must be at most 4 MiB");
    expect_refused(true, blanks, ERR_LIMIT, "f: must be at most 4 MiB");
    free(blanks);
}

static void
test_labels_that_many_targets_share_do_not_grow_without_end(void **state)
{
    (void)state;
    enum { VALUE = 64 << 10 };
    size_t capacity = 2 * VALUE, size = 0;
    char *text = malloc(capacity);
    size += (size_t)snprintf(text, capacity, "[{\"labels\": {\"x\": \"");
    memset(text + size, 'x', VALUE);
    size += VALUE;
    size += (size_t)snprintf(text + size, capacity - size, "\"}, \"targets\": [\"a\"");
    for (int i = 0; i < 500; i++) {
        size += (size_t)snprintf(text + size, capacity - size, ", \"b\"");
    }
    snprintf(text + size, capacity - size, "]}]");
    expect_refused(false, text, ERR_NOMEM, "f: not enough memory for targets, or more than 8 MiB");
    free(text);
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[{\"targets\": [\"a\\u0041\", \"b\"], \"labels\": {\"x\": \"y\\u0041\"}}]",
        "- targets: [a, b]\n  labels: {x: y}\n"};
    for (int yaml = 0; yaml < 2; yaml++) {
        for (uint64_t nth = 1;; nth++) {
            mem_fail_nth(nth, false);
            enum err e = read_as(yaml, texts[yaml]);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            if (!fired) break;
        }
        assert_int_equal(targets.count, 2);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_target_has_its_address_and_the_labels_of_its_group),
        TEST(test_nothing_is_a_list_without_groups),
        TEST(test_a_target_wins_over_labels_that_say_its_address_or_where_it_was_found),
        TEST(test_numbers_in_yaml_are_texts_and_in_json_are_refused),
        TEST(test_what_is_no_list_of_groups_is_refused_with_its_place),
        TEST(test_targets_and_labels_have_limits),
        TEST(test_labels_that_many_targets_share_do_not_grow_without_end),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
