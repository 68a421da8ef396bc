/* suggest_test.c - suggestions for misspelled words. */
#include "lib/test.h"
#include <stdio.h>

#include <limits.h>

#include "base/text/suggest.h"

static unsigned
distance(const char *a, const char *b)
{
    unsigned there = suggest_distance(bytes_of_text(a), bytes_of_text(b));
    assert_int_equal(suggest_is_same(bytes_of_text(a), bytes_of_text(b)), there == 0);
    assert_int_equal(there, suggest_distance(bytes_of_text(b), bytes_of_text(a)));
    return there;
}

UNIT_TEST(test_distance_counts_edits_and_swaps_of_neighbours)
{
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "web"), 3);
    assert_int_equal(distance("retension", "retention"), 1);
    assert_int_equal(distance("retnetion", "retention"), 1);
    assert_int_equal(distance("ab", "ba"), 1);
    assert_int_equal(distance("ca", "abc"), 3); /* a character is edited only once */
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("Max_Labels", "max-labels"), 0);
}

UNIT_TEST(test_distance_to_a_very_long_word_is_infinite)
{
    char longest[SUGGEST_BYTES_MAX + 1] = {0};
    memset(longest, 'x', SUGGEST_BYTES_MAX - 1);
    assert_int_equal(distance(longest, ""), SUGGEST_BYTES_MAX - 1);
    longest[SUGGEST_BYTES_MAX - 1] = 'x';
    assert_int_equal(distance(longest, "x"), UINT_MAX);
}

/* Checks the suggestion; `nearest` NULL: none is expected. */
static void
check_hint(const char *word, const char *nearest)
{
    static const char *const candidates[] = {"web", "wal", "retention", "web.listen-address",
                                             "memory.limit"};
    struct suggestion s;
    char expected[100] = "";
    suggest_begin(&s, bytes_of_text(word));
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        suggest_try(&s, candidates[i]);
    if (nearest != NULL) snprintf(expected, sizeof expected, "; did you mean '--%s'?", nearest);
    assert_string_equal(suggest_hint(&s, "--").text, expected);
}

UNIT_TEST(test_nearest_candidate_is_suggested_and_nothing_far)
{
    check_hint("wbe", "web");
    check_hint("wl", "wal");
    check_hint("RETENTIONS", "retention");
    check_hint("tenancy", NULL);
    check_hint("", NULL);
    check_hint("xyz", NULL);
}

UNIT_TEST(test_unfinished_words_and_missing_sections_count_as_near)
{
    check_hint("memory.limit-bytes", "memory.limit");
    check_hint("listen_address", "web.listen-address");
    check_hint("web.listen", "web.listen-address");
    check_hint("memory.limitless-things", NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance_counts_edits_and_swaps_of_neighbours),
        cmocka_unit_test(test_distance_to_a_very_long_word_is_infinite),
        cmocka_unit_test(test_nearest_candidate_is_suggested_and_nothing_far),
        cmocka_unit_test(test_unfinished_words_and_missing_sections_count_as_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
