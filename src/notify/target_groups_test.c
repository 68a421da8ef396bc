/* Lists of targets in JSON and YAML: what is taken of them, and what is refused. */
#include "notify/notify_testing.h"
#include "notify/target_groups.h"

enum format { JSON, YAML };

static char got[1 << 16]; /* the targets, a line for each, or the sentence of the error */

static enum err
read_as(enum format format, const char *text)
{
    const struct label meta = {bytes_of_text("__meta_filepath"), bytes_of_text("f")};
    struct budget budget;
    struct targets targets;
    struct why why = {.text = ""};
    budget_init(&budget, "test", 0, NULL);
    targets_init(&targets, &budget);
    enum err e = format == YAML
                     ? target_groups_yaml("f", bytes_of_text(text), meta, &targets, &why)
                     : target_groups_json("f", bytes_of_text(text), meta, &targets, &why);
    size_t size = (size_t)sprintf(got, "%s", why.text);
    bool is_armed = mem_fail_left() > 0; /* the next one is not to be ours */
    for (uint32_t i = 0; i < targets.count && e == OK && !is_armed; i++) {
        struct buf line;
        buf_init(&line, NULL, 1 << 10);
        labels_print(&line, targets.items[i]);
        size += (size_t)sprintf(got + size, "%.*s\n", (int)line.size, (const char *)line.at);
        buf_fini(&line);
    }
    targets_fini(&targets);
    assert_int_equal(budget_used(&budget), 0);
    return e;
}

static void
expect_targets(enum format format, const char *text, const char *want, const char *claim)
{
    if (read_as(format, text) == OK && strcmp(got, want) == 0) return;
    fail_msg("%s: %s: %s", claim, text, got);
}

static void
expect_refused(enum format format, const char *text, enum err e, const char *says)
{
    assert_int_equal(read_as(format, text), e);
    if (strstr(got, says) == NULL) fail_msg("%.1000s: %s", text, got);
}

static void
test_lists_are_read_in_json_and_yaml_and_json_is_yaml_too(void **state)
{
    static const struct {
        const char *claim, *json, *yaml, *want;
    } cases[] = {
        {"each target has its address and the labels of its group",
         "[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"job\": \"x\\u0041\"}},\n"
         " {\"labels\": {\"y\": \"z\"}, \"targets\": [\"c:3\"]}]",
         "- targets: [a:1, 'b:2']\n  labels: {job: xA}\n"
         "- labels:\n    y: \"z\"\n  targets:\n  - c:3\n",
         "{__address__=\"a:1\", __meta_filepath=\"f\", job=\"xA\"}\n"
         "{__address__=\"b:2\", __meta_filepath=\"f\", job=\"xA\"}\n"
         "{__address__=\"c:3\", __meta_filepath=\"f\", y=\"z\"}\n"},
        {"a list may be empty", "[]", "", ""},
        {"a list may be nothing", "null", "# nothing\n", ""},
        {"a group may be empty", "[{}]", "- {}", ""},
        {"targets and labels may be nothing", "[{\"targets\": null, \"labels\": null}]",
         "- targets:\n  labels: ~\n", ""},
        {"targets and labels may be empty", "[{\"targets\": [], \"labels\": {}}]",
         "- {targets: [], labels: {}}", ""},
        {"a target wins over labels that say its address or where it was found",
         "[{\"targets\": [\"a:1\"], \"labels\": {\"__address__\": \"no\", "
         "\"__meta_filepath\": \"no\", \"empty\": \"\", \"null\": null}}]",
         "- targets: [a:1]\n"
         "  labels: {__address__: no, __meta_filepath: no, empty: '', \"null\": null}\n",
         "{__address__=\"a:1\", __meta_filepath=\"f\"}\n"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_targets(JSON, cases[i].json, cases[i].want, cases[i].claim);
        expect_targets(YAML, cases[i].yaml, cases[i].want, cases[i].claim);
        expect_targets(YAML, cases[i].json, cases[i].want, cases[i].claim);
    }
    expect_targets(YAML, "- {targets: [1], labels: {a: 2, b: true}}",
                   "{__address__=\"1\", __meta_filepath=\"f\", a=\"2\", b=\"true\"}\n",
                   "numbers in YAML are texts");
}

static void
test_what_is_not_a_list_of_groups_is_refused_with_its_place(void **state)
{
    static const struct {
        enum format format;
        const char *text, *says;
    } cases[] = {
        {JSON, "", "f: at byte 1: "},
        {JSON, "{}", "f: at byte 1: "},
        {JSON, "[", "f: "},
        {JSON, "[null]", "f: "},
        {JSON, "[{\"target\": []}]", "unknown key, expected 'targets' or 'labels'"},
        {JSON, "[] x", "f: at byte 4: "},
        {JSON, "[{\"targets\": \"a\"}]", "f: "},
        {JSON, "[{\"targets\": [1]}]", "f: at byte 15: "},
        {JSON, "[{\"targets\": [\"a\"], \"labels\": {\"a\": 2}}]", "f: "},
        {JSON, "[{\"targets\": [\"a\"], \"labels\": {\"\": \"x\"}}]",
         "a target has invalid labels"},
        {YAML, "a: b", "f:1:1: expected a list of groups, got a mapping"},
        {YAML, "- a", "f:1:3: expected a group with 'targets:', got 'a'"},
        {YAML, "-\n", "got nothing"},
        {YAML, "- target: []", "f:1:3: unknown key 'target'"},
        {YAML, "- targets: []\n  targets: []", "f:2:3: duplicate key"},
        {YAML, "- targets: a", "targets: expected a list, got 'a'"},
        {YAML, "- targets: [[a]]", "targets: expected text, got a list"},
        {YAML, "- labels: []", "labels: expected a mapping, got a list"},
        {YAML, "- labels: {a: b, a: c}", "labels: duplicate key 'a'"},
        {YAML, "- labels: {a: {}}", "labels: expected text, got a mapping"},
        {YAML, "- &x {targets: []}", "anchors"},
        {YAML, "[]\n---\n[]", "a second document begins here"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(cases[i].format, cases[i].text, ERR_INPUT, cases[i].says);
    }
}

/* `begin`, `count` items with their number for "#", and `end`. Both formats refuse it alike. */
static void
expect_too_long(const char *begin, const char *item, int count, const char *end, enum err e,
                const char *says)
{
    char *text = malloc(6 << 20), *at = stpcpy(text, begin);
    size_t number = strcspn(item, "#");
    for (int i = 0; i < count; i++) {
        at = mempcpy(at, item, number);
        if (item[number] == '#') at += sprintf(at, "%d%s", i, item + number + 1);
    }
    strcpy(at, end);
    expect_refused(JSON, text, e, says);
    expect_refused(YAML, text, e, says + strlen("f: "));
    free(text);
}

static void
test_targets_labels_and_bytes_have_limits(void **state)
{
    static char shared[64 << 10];
    (void)state;
    expect_too_long("[{\"targets\": [\"a\"", ", \"b\"", TARGETS_MAX, "]}]", ERR_LIMIT,
                    "f: more than 1000 targets");
    expect_too_long("[{\"targets\": [\"a\"]}", ", {\"targets\": [\"b\"]}", TARGETS_MAX, "]",
                    ERR_LIMIT, "f: more than 1000 targets");
    expect_too_long("[{\"labels\": {\"x\": \"x\"", ", \"l#\": \"x\"", TARGETS_LABELS_MAX, "}}]",
                    ERR_LIMIT, "f: more than 128 labels");
    expect_too_long("[]", " ", TARGETS_TEXT_BYTES_MAX, "", ERR_LIMIT, "f: must be at most 4 MiB");
    /* Labels that targets share count for each. */
    memset(shared, 'x', sizeof shared - 1);
    sprintf(shared + sizeof shared - 8, "\"}}]");
    memcpy(shared, "], \"labels\": {\"x\": \"", 20);
    expect_too_long("[{\"targets\": [\"a\"", ", \"b\"", 500, shared, ERR_NOMEM,
                    "f: not enough memory for targets, or more than 8 MiB");
}

static enum err
read_both(void)
{
    enum err e =
        read_as(JSON, "[{\"targets\": [\"a\\u0041\"], \"labels\": {\"x\": \"y\\u0041\"}}]");
    return e == OK ? read_as(YAML, "- targets: [a, b]\n  labels: {x: y}\n") : e;
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    fail_each_allocation(read_both);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read_in_json_and_yaml_and_json_is_yaml_too),
        cmocka_unit_test(test_what_is_not_a_list_of_groups_is_refused_with_its_place),
        cmocka_unit_test(test_targets_labels_and_bytes_have_limits),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
