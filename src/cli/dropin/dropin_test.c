/* dropin_test.c - flags as other programs take them. */
#include "cli/dropin/dropin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

/* Expects what becomes of words, which are separated by spaces. */
static void
expect_words(const char *given, const char *expected)
{
    static const char *const switches[] = {"firehose", "fail", NULL};
    char text[200], got[200] = "", command[] = "command";
    char *words[20] = {command};
    int count = 1;
    snprintf(text, sizeof text, "%s", given);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    count = dropin_words(count, words, switches);
    for (int i = 1; i < count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%s", i == 1 ? "" : " ", words[i]);
    }
    assert_string_equal(got, expected);
}

UNIT_TEST(test_one_hyphen_is_as_good_as_two)
{
    expect_words("-stream-name a --region b", "--stream-name a --region b");
    expect_words("-h - -1", "-h - -1");
    expect_words("-listen-addr=:1", "--listen-addr=:1");
}

UNIT_TEST(test_a_switch_may_have_a_value)
{
    expect_words("-firehose", "--firehose");
    expect_words("-firehose=true --fail=true x", "--firehose --fail x");
    expect_words("--firehose=false a --no-fail b", "a b");
    expect_words("--firehoses=true --failure", "--firehoses=true --failure");
}

UNIT_TEST(test_texts_of_a_configuration_are_quoted)
{
    struct buf config;
    buf_init(&config, NULL, 1000);
    dropin_put(&config, "  ", "a", "b: \"c\"\n");
    dropin_put(&config, "  ", "none", NULL);
    dropin_put(&config, "  ", "empty", "");
    assert_true(bytes_equal_text(buf_bytes(&config), "  a: \"b: \\\"c\\\"\\u000a\"\n"));
    buf_fini(&config);
}

UNIT_TEST(test_an_empty_variable_counts_as_not_set)
{
    unsetenv("DROPIN_TEST");
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "other");
    setenv("DROPIN_TEST", "", 1);
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "other");
    setenv("DROPIN_TEST", "own", 1);
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "own");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_hyphen_is_as_good_as_two),
        cmocka_unit_test(test_a_switch_may_have_a_value),
        cmocka_unit_test(test_texts_of_a_configuration_are_quoted),
        cmocka_unit_test(test_an_empty_variable_counts_as_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
