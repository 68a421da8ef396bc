/* rule_tests_fuzz.c - reads any text as a file of tests: it is refused with a sentence that names
 * the file, or gives complete tests. */
#include <assert.h>
#include <string.h>

#include "base/text/utf8.h"
#include "cli/rules/rule_tests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES_MAX = 64 << 20 };

static void
check_texts(const struct named_texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        assert(texts->items[i].value != NULL);
        assert(i == 0 || strcmp(texts->items[i - 1].name, texts->items[i].name) < 0);
    }
}

static void
check_list(const struct text_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        assert(list->items[i] != NULL);
}

static void
check_test(const struct rule_test *test)
{
    assert(test->name != NULL);
    assert(test->external_url != NULL);
    assert(test->interval_ms >= 0);
    check_texts(&test->external_labels);
    for (uint32_t i = 0; i < test->input_series.count; i++) {
        assert(test->input_series.items[i].series != NULL);
        assert(test->input_series.items[i].values != NULL);
    }
    for (uint32_t i = 0; i < test->alerts.count; i++) {
        const struct rule_test_alerts *alerts = &test->alerts.items[i];
        assert(alerts->alertname != NULL);
        assert(alerts->at_ms >= 0);
        for (uint32_t k = 0; k < alerts->expected.count; k++) {
            check_texts(&alerts->expected.items[k].labels);
            check_texts(&alerts->expected.items[k].annotations);
        }
    }
    for (uint32_t i = 0; i < test->expressions.count; i++) {
        const struct rule_test_expression *expression = &test->expressions.items[i];
        assert(expression->expression != NULL);
        assert(expression->at_ms >= 0);
        for (uint32_t k = 0; k < expression->expected.count; k++) {
            assert(expression->expected.items[k].labels != NULL);
            assert(expression->expected.items[k].histogram != NULL);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_tests tests;
    struct why why = {""};
    struct arena arena;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    enum err e = rule_tests_parse("fuzz.yml", bytes_of(data, size), &arena, &tests, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_NOMEM);
    assert((e == OK) == (why.text[0] == '\0'));
    if (e == OK) {
        assert(tests.evaluation_interval_ms > 0);
        check_list(&tests.rule_files);
        check_list(&tests.group_eval_order);
        for (uint32_t i = 0; i < tests.tests.count; i++)
            check_test(&tests.tests.items[i]);
    } else {
        assert(strncmp(why.text, "fuzz.yml:", 9) == 0);
        assert(utf8_valid(bytes_of_text(why.text)));
    }
    arena_fini(&arena);
    return 0;
}
