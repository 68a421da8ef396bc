/*
 * rule_unit_fuzz.c - reads any text as a file of rules and a file of tests, of a few steps, with a
 * line of "---" between them: each test ends with its failures, frees its memory, and gives the
 * same result again.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "cli/rules/rule_unit.h"
#include "rules/load/rule_files.h"
#include "sys/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 50, GROUPS_MAX = 16, BYTES_MAX = 64 << 20, TOLD_BYTES_MAX = 256 << 20 };

static void
take_text(void *context, struct bytes text)
{
    buf_put_bytes(context, text);
    buf_put_u8(context, '\n');
}

static void
take_warning(void *context, const char *text)
{
    take_text(context, bytes_of_text(text));
}

static bool
is_short(const struct rule_tests *tests, const struct rule_test *test)
{
    int64_t last_ms = 0;
    for (uint32_t i = 0; i < test->alerts.count; i++)
        if (test->alerts.items[i].at_ms > last_ms) last_ms = test->alerts.items[i].at_ms;
    for (uint32_t i = 0; i < test->expressions.count; i++)
        if (test->expressions.items[i].at_ms > last_ms) last_ms = test->expressions.items[i].at_ms;
    return last_ms / tests->evaluation_interval_ms <= STEPS_MAX;
}

static enum err
run(struct rule_unit_options *options, const struct rule_test *test, struct buf *failure_texts)
{
    struct budget memory;
    struct why why = {""};
    budget_init(&memory, "fuzz", BYTES_MAX, NULL);
    options->memory = &memory;
    options->context = failure_texts;
    enum err e = rule_unit_run(options, test, &why);
    assert(e == OK || e == ERR_NOMEM || e == ERR_LIMIT);
    assert((e == OK) == (why.text[0] == '\0'));
    assert(budget_used(&memory) == 0);
    return e;
}

static void
run_twice(struct rule_unit_options *options, const struct rule_test *test)
{
    struct buf first, again;
    buf_init(&first, NULL, TOLD_BYTES_MAX);
    buf_init(&again, NULL, TOLD_BYTES_MAX);
    enum err e = run(options, test, &first);
    assert(run(options, test, &again) == e);
    assert(bytes_equal(buf_bytes(&first), buf_bytes(&again)));
    buf_fini(&first);
    buf_fini(&again);
}

static void
run_tests(const struct rule_groups *groups, const struct rule_tests *tests)
{
    const struct rule_group *order[GROUPS_MAX];
    struct rule_unit_options options = {
        .env = env_real(),
        .file = "fuzz.yml",
        .evaluation_interval_ms = tests->evaluation_interval_ms,
        .fuzzy_compare = tests->fuzzy_compare,
        .groups = order,
        .fail = take_text,
        .warn = take_warning,
    };
    for (; options.group_count < groups->count && options.group_count < GROUPS_MAX;
         options.group_count++)
        order[options.group_count] = &groups->items[options.group_count];
    for (uint32_t i = 0; i < tests->tests.count; i++)
        if (is_short(tests, &tests->tests.items[i])) run_twice(&options, &tests->tests.items[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char line[] = "\n---\n";
    const struct rule_file_options reading = {.report = NULL};
    struct rule_groups groups = {NULL};
    struct rule_tests tests;
    struct why why = {""};
    struct arena arena;
    const uint8_t *split = size == 0 ? NULL : memmem(data, size, line, strlen(line));
    if (split == NULL) return 0;
    struct bytes rules = bytes_of(data, (size_t)(split - data));
    const uint8_t *rest = split + strlen(line);
    log_to_fd(-1);
    arena_init(&arena, NULL, BYTES_MAX, 0);
    if (rule_file_parse("rules.yml", rules, &reading, &arena, &groups, &why) == OK &&
        rule_tests_parse("fuzz.yml", bytes_of(rest, size - (size_t)(rest - data)), &arena, &tests,
                         &why) == OK)
        run_tests(&groups, &tests);
    arena_fini(&arena);
    return 0;
}
