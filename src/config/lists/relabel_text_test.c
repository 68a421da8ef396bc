/* relabel_text_test.c - relabelling rules of a client: names of their list, and places of errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/lists/client_texts.h"
#include "lib/test.h"

UNIT_TEST(test_rules_are_read_under_each_of_their_names)
{
    static const char *const names[] = {"relabel", "relabel_configs", "write_relabel_configs",
                                        "metric_relabel_configs", "alert_relabel_configs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char yaml[200];
        struct relabel_text text;
        struct why why = {""};
        snprintf(yaml, sizeof yaml,
                 "%s:\n- {source_labels: [a, b], target_label: c}\n"
                 "- {action: labeldrop, regex: d}\n",
                 names[i]);
        assert_int_equal(relabel_text_yaml(bytes_of_text(yaml), &text, &why), OK);
        assert_int_equal(text.count, 2);
        assert_int_equal(text.specs[0].source_label_count, 2);
        assert_int_equal(text.specs[1].action, RELABEL_LABELDROP);
        relabel_text_free(&text);
        assert_null(text.arena);
    }
}

UNIT_TEST(test_a_text_without_rules_is_empty)
{
    static const char *const texts[] = {"", "# nothing\n", "relabel: []", "relabel:"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct relabel_text text;
        struct why why = {""};
        assert_int_equal(relabel_text_yaml(bytes_of_text(texts[i]), &text, &why), OK);
        assert_int_equal(text.count, 0);
        relabel_text_free(&text);
    }
}

UNIT_TEST(test_an_invalid_text_of_rules_is_refused_with_its_place)
{
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        {"- action: drop", "rules:1:1: expected keys such as 'relabel:'"},
        {"relabel: [{regex: '('}]", "rules:1:19: "},
        {"relabel:\n- {action: fly}", "rules:2:"},
        {"rules: []", "rules:1:1: "},
        {"relabel: []\nrelabel_configs: []", "rules:2:1: "},
        {"relabel: [", "rules:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct relabel_text text;
        struct why why = {""};
        assert_int_equal(relabel_text_yaml(bytes_of_text(cases[i].yaml), &text, &why), ERR_INPUT);
        if (strstr(why.text, cases[i].error) != why.text)
            fail_msg("%s: %s", cases[i].yaml, why.text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read_under_each_of_their_names),
        cmocka_unit_test(test_a_text_without_rules_is_empty),
        cmocka_unit_test(test_an_invalid_text_of_rules_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
