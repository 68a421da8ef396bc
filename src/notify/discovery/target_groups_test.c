/*
 * target_groups_test.c - lists of targets in JSON and YAML. Commands of scripts: json TEXT, yaml
 * TEXT, same TEXT (in both): print the targets, or the error. In a TEXT "~" is a line feed and "'"
 * in JSON a double quote.
 */
#include "lib/notify/notify_alerts.h"
#include "lib/script.h"
#include "lib/test.h"
#include "notify/discovery/discovery.h"

enum format { JSON, YAML };

int
script_setup(void **state)
{
    (void)state;
    return 0;
}

int
script_teardown(void **state)
{
    (void)state;
    script_forget();
    return 0;
}

/* Reads a list; `prints`: and prints the targets or the error. */
static enum err
read_as(enum format format, const char *text, bool prints)
{
    const struct label meta = {bytes_of_text("__meta_filepath"), bytes_of_text("f")};
    struct budget budget;
    struct targets targets;
    struct buf shown;
    struct why why = {.text = ""};
    budget_init(&budget, "test", 0, NULL);
    targets_init(&targets, &budget);
    enum err e = format == YAML
                     ? target_groups_yaml("f", bytes_of_text(text), meta, &targets, &why)
                     : target_groups_json("f", bytes_of_text(text), meta, &targets, &why);
    buf_init(&shown, NULL, 1 << 20);
    for (uint32_t i = 0; i < targets.count && prints && e == OK; i++) {
        buf_clear(&shown);
        labels_print(&shown, targets.items[i]);
        buf_put_u8(&shown, 0);
        script_print((const char *)shown.at);
    }
    if (e && prints) script_print(err_word(e));
    if (e && prints) script_print(why.text);
    buf_fini(&shown);
    targets_fini(&targets);
    assert_int_equal(budget_used(&budget), 0);
    return e;
}

void
script_command(const char *name, char *rest)
{
    bool is_json = script_is(name, "json") || script_is(name, "same");
    for (char *c = rest; *c != '\0'; c++) {
        if (*c == '~') *c = '\n';
        if (*c == '\'' && is_json) *c = '"';
    }
    if (is_json) (void)read_as(JSON, rest, true);
    if (script_is(name, "yaml") || script_is(name, "same")) (void)read_as(YAML, rest, true);
}

/* Checks that both formats refuse `begin`, `count` items with their number for "#", and `end`, with
 * the same error. */
static void
expect_too_long(const char *begin, const char *item, int count, const char *end, const char *says)
{
    char *text = malloc(6 << 20), *at = stpcpy(text, begin);
    size_t number = strcspn(item, "#");
    for (int i = 0; i < count; i++) {
        at = mempcpy(at, item, number);
        if (item[number] == '#') at += sprintf(at, "%d%s", i, item + number + 1);
    }
    strcpy(at, end);
    for (enum format format = JSON; format <= YAML; format++) {
        script.printed[0] = '\0';
        (void)read_as(format, text, true);
        const char *found = strstr(script.printed, says);
        if (found == NULL || strcmp(found, says) != 0) fail_msg("%s", script.printed);
    }
    free(text);
}

UNIT_TEST(test_targets_labels_and_bytes_have_limits)
{
    static char shared[64 << 10];
    expect_too_long("[{\"targets\": [\"a\"", ", \"b\"", TARGETS_MAX, "]}]",
                    "more than 1000 targets");
    expect_too_long("[{\"targets\": [\"a\"]}", ", {\"targets\": [\"b\"]}", TARGETS_MAX, "]",
                    "more than 1000 targets");
    expect_too_long("[{\"labels\": {\"x\": \"x\"", ", \"l#\": \"x\"", TARGETS_LABELS_MAX, "}}]",
                    "more than 128 labels");
    expect_too_long("[]", " ", TARGETS_TEXT_BYTES_MAX, "", "limit; f: must be at most 4 MiB");
    /* Labels that targets share count for each target. */
    memset(shared, 'x', sizeof shared - 1);
    sprintf(shared + sizeof shared - 8, "\"}}]");
    memcpy(shared, "], \"labels\": {\"x\": \"", 20);
    expect_too_long("[{\"targets\": [\"a\"", ", \"b\"", 500, shared,
                    "not enough memory for targets, or more than 8 MiB of them");
}

static enum err
read_both(void)
{
    enum err e =
        read_as(JSON, "[{\"targets\": [\"a\\u0041\"], \"labels\": {\"x\": \"y\\u0041\"}}]", false);
    return e == OK ? read_as(YAML, "- targets: [a, b]\n  labels: {x: y}\n", false) : e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    fail_each_allocation(read_both);
}

#define LABELED                                            \
    "{__address__='a:1', __meta_filepath='f', job='xA'}; " \
    "{__address__='b:2', __meta_filepath='f', job='xA'}; " \
    "{__address__='c:3', __meta_filepath='f', y='z'}"
#define A1 "{__address__='a:1', __meta_filepath='f'}"

static const struct CMUnitTest tests[] = {
    SCRIPT("each target has its address and the labels of its group",
           "same [{'targets': ['a:1', 'b:2'], 'labels': {'job': 'x\\u0041'}},~"
           " {'labels': {'y': 'z'}, 'targets': ['c:3']}] => " LABELED "; " LABELED "\n"
           "yaml - targets: [a:1, 'b:2']~  labels: {job: xA}~- labels:~    y: \"z\"~  targets:~"
           "  - c:3~ => " LABELED),
    SCRIPT("a list, a group, its targets and its labels may be empty, or nothing",
           "same [] | same null | same [{}] | same [{'targets': null, 'labels': null}]\n"
           "same [{'targets': [], 'labels': {}}] | yaml  | yaml # nothing~ | yaml - {}\n"
           "yaml - targets:~  labels: ~~ | yaml - {targets: [], labels: {}}"),
    SCRIPT("a target wins over labels that say its address or where it was found",
           "same [{'targets': ['a:1'], 'labels': {'__address__': 'no', '__meta_filepath': 'no', "
           "'empty': '', 'null': null}}] => " A1 "; " A1 "\n"
           "yaml - targets: [a:1]~"
           "  labels: {__address__: no, __meta_filepath: no, empty: '', \"null\": null}~ => " A1),
    SCRIPT(
        "numbers in YAML are texts, and in JSON are refused",
        "yaml - {targets: [1], labels: {a: 2, b: true}}"
        " => {__address__='1', __meta_filepath='f', a='2', b='true'}\n"
        "json [{'targets': [1]}] => input; f: at byte 15: expected a value\n"
        "json [{'targets': ['a'], 'labels': {'a': 2}}] => input; f: at byte 37: expected a value"),
    SCRIPT("an invalid list of groups in JSON is refused with its position",
           "json  => input; f: at byte 1: expected a value\n"
           "json {} => input; f: at byte 1: expected a value\n"
           "json [ => input; f: at byte 2: expected an object\n"
           "json [null] => input; f: at byte 2: expected an object\n"
           "json [{'target': []}] => input; f: at byte 12: unknown key, expected 'targets' or "
           "'labels'\n"
           "json [] x => input; f: at byte 4: unexpected text after the value\n"
           "json [{'targets': 'a'}] => input; f: at byte 14: expected a value\n"
           "json [{'targets': ['a'], 'labels': {'': 'x'}}] => input; f: a target has invalid "
           "labels: empty_labels"),
    SCRIPT(
        "an invalid list of groups in YAML is refused with its position",
        "yaml a: b => input; f:1:1: expected a list of groups, got a mapping\n"
        "yaml - a => input; f:1:3: expected a group with 'targets:', got 'a'\n"
        "yaml -~ => input; f:1:2: expected a group with 'targets:', got nothing\n"
        "yaml - target: [] => input; f:1:3: unknown key 'target', expected 'targets' or 'labels'\n"
        "yaml - targets: []~  targets: [] => input; f:2:3: duplicate key 'targets'\n"
        "yaml - targets: a => input; f:1:12: targets: expected a list, got 'a'\n"
        "yaml - targets: [[a]] => input; f:1:13: targets: expected text, got a list\n"
        "yaml - labels: [] => input; f:1:11: labels: expected a mapping, got a list\n"
        "yaml - labels: {a: b, a: c} => input; f:1:18: labels: duplicate key 'a'\n"
        "yaml - labels: {a: {}} => input; f:1:15: labels: expected text, got a mapping\n"
        "yaml - &x {targets: []} => input; f:1:3: anchors (&name) are not supported here\n"
        "yaml []~---~[] => input; f:2:1: a second document begins here; only one is allowed"),
    TEST(test_targets_labels_and_bytes_have_limits),
    TEST(test_each_allocation_may_fail),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
