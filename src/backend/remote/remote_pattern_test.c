/* remote_pattern_test.c - regular expressions as other systems must receive them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/remote/remote_private.h"
#include "lib/test.h"

static void
check(enum matcher_type type, const char *pattern, const char *expected)
{
    struct arena arena;
    struct matcher *m;
    struct why why;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(
        matcher_new(type, bytes_of_text("job"), bytes_of_text(pattern), NULL, &m, &why), OK);
    struct bytes text = remote_pattern(m, &arena);
    assert_non_null(text.at);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.at, expected, text.size);
    matcher_free(m);
    arena_fini(&arena);
}

UNIT_TEST(test_a_dot_says_that_it_matches_line_feeds)
{
    check(MATCH_REGEX, ".*", "(?s:.*)");
    check(MATCH_NOT_REGEX, "a.b|c", "(?s:a.b|c)");
    check(MATCH_REGEX, "(?i)x.", "(?s:(?i)x.)");
    check(MATCH_REGEX, "(?-s).", "(?s:(?-s).)");
}

UNIT_TEST(test_a_quote_that_is_left_open_is_closed)
{
    check(MATCH_REGEX, ".*\\Qa", "(?s:.*\\Qa\\E)");
    check(MATCH_REGEX, "\\Q\\", "(?s:\\Q\\\\E)");
    check(MATCH_NOT_REGEX, "\\Qa", "(?s:\\Qa\\E)");
    check(MATCH_REGEX, "\\Qa\\E", "\\Qa\\E");
    check(MATCH_REGEX, "\\\\Qa", "\\\\Qa"); /* a backslash and a Q */
}

UNIT_TEST(test_whatever_means_the_same_everywhere_stays)
{
    check(MATCH_REGEX, "a|b", "a|b");
    check(MATCH_REGEX, "", "");
    check(MATCH_EQUAL, "a.b", "a.b");
    check(MATCH_NOT_EQUAL, "\\Q.", "\\Q.");
    check(MATCH_EQUAL, "", "");
}

UNIT_TEST(test_without_memory_it_has_no_text)
{
    struct budget none;
    struct arena arena;
    struct matcher *m;
    struct why why;
    budget_init(&none, "none", 1, NULL);
    arena_init(&arena, &none, 0, 0);
    assert_int_equal(
        matcher_new(MATCH_REGEX, bytes_of_text("job"), bytes_of_text(".*"), NULL, &m, &why), OK);
    assert_null(remote_pattern(m, &arena).at);
    matcher_free(m);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dot_says_that_it_matches_line_feeds),
        cmocka_unit_test(test_a_quote_that_is_left_open_is_closed),
        cmocka_unit_test(test_whatever_means_the_same_everywhere_stays),
        cmocka_unit_test(test_without_memory_it_has_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
