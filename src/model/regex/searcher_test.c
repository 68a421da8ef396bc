/* searcher_test.c - searching and replacing with regular expressions, as Go does. */
#include "lib/test.h"

#include <stdio.h>

#include "model/regex/replacer.h"

static void
check_replaced(const char *regex, const char *replacement, const char *text, const char *becomes)
{
    struct searcher *s;
    struct why why;
    struct buf to;
    uint64_t work = 1000000;
    buf_init(&to, NULL, 1000);
    assert_int_equal(searcher_new(bytes_of_text(regex), NULL, &s, &why), OK);
    assert_int_equal(
        searcher_replace(s, bytes_of_text(text), bytes_of_text(replacement), &work, &to), OK);
    buf_put_u8(&to, 0);
    assert_string_equal((const char *)to.at, becomes);
    searcher_free(s);
    buf_fini(&to);
}

UNIT_TEST(test_all_matches_are_replaced_as_go_does_it)
{
    check_replaced("a(b+)", "<$1>", "abbab", "<bb><b>");
    check_replaced("", "-", "abc", "-a-b-c-");
    check_replaced("x*", "-", "abxc", "-a-b-c-");
    check_replaced("b*", "\u00e9", "a\u00e9b", "\u00e9a\u00e9\u00e9\u00e9");
    check_replaced("^a", "", "aaa", "aa");
    check_replaced("\\b", "|", "ab cd", "|ab| |cd|");
    check_replaced("(?P<n>b)", "${n}$0$$$x", "abc", "abb$c");
    check_replaced("(?<n>b)", "${n}", "abc", "abc");
    check_replaced("^", "y", "", "y");
    check_replaced("x", "y", "", "");
}

UNIT_TEST(test_a_match_may_be_anywhere_and_dot_matches_no_newline)
{
    static const struct {
        const char *regex, *text;
        bool found;
    } cases[] = {{"b.d", "abcde", true}, {"^b", "ab", false}, {"a.b", "a\nb", false},
                 {"b$", "ab\n", false},  {"", "", true},      {"(?s)a.b", "a\nb", true}};
    struct searcher *s;
    struct why why;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(searcher_new(bytes_of_text(cases[i].regex), NULL, &s, &why), OK);
        assert_int_equal(searcher_finds(s, bytes_of_text(cases[i].text)), cases[i].found);
        searcher_free(s);
    }
}

UNIT_TEST(test_sentences_are_those_of_go)
{
    static const char *const cases[][2] = {
        {"(", "missing closing ): `(`"},
        {"[a", "missing closing ]: `[a`"},
        {"*", "missing argument to repetition operator: `*`"},
        {"a**", "invalid nested repetition operator: `**`"},
        {"\\q", "invalid escape sequence: `\\q`"},
        {"\\C", "invalid escape sequence: `\\C`"},
        {"(?P<1", "invalid named capture: `(?P<1`"},
        {"(?<>a)", "invalid named capture: `(?<>`"},
        {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
        {"a\\", "trailing backslash at end of expression: ``"},
    };
    struct searcher *s;
    struct why why;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sentence[200];
        (void)snprintf(sentence, sizeof sentence, "error parsing regexp: %s", cases[i][1]);
        assert_int_equal(searcher_new(bytes_of_text(cases[i][0]), NULL, &s, &why), ERR_INPUT);
        assert_string_equal(why.text, sentence);
    }
}

UNIT_TEST(test_replacing_ends_when_its_work_is_used_up)
{
    static char text[10000];
    struct searcher *s;
    struct why why;
    struct buf to;
    uint64_t work = 1000000;
    memset(text, 'a', sizeof text - 1);
    buf_init(&to, NULL, 100000);
    assert_int_equal(searcher_new(bytes_of_text("a(.*z)?"), NULL, &s, &why), OK);
    assert_int_equal(searcher_replace(s, bytes_of_text(text), bytes_of_text("b"), &work, &to),
                     ERR_LIMIT);
    assert_int_equal(work, 0);
    searcher_free(s);
    buf_fini(&to);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const char *const regexes[] = {"(?<n>a+)b", "a**"};
    for (unsigned i = 0; i < 2; i++) {
        struct budget budget;
        budget_init(&budget, "test", 0, NULL);
        for (uint64_t nth = 1;; nth++) {
            struct searcher *s = NULL;
            struct why why;
            struct buf to;
            uint64_t work = 1000000;
            buf_init(&to, NULL, 100);
            mem_fail_nth(nth, false);
            enum err e = searcher_new(bytes_of_text(regexes[i]), &budget, &s, &why);
            if (e == OK) {
                e = searcher_replace(s, bytes_of_text("aab"), bytes_of_text("$n"), &work, &to);
                searcher_free(s);
            }
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            buf_fini(&to);
            assert_int_equal(budget_used(&budget), 0);
            if (!fired) break;
            assert_int_equal(e, ERR_NOMEM);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_matches_are_replaced_as_go_does_it),
        cmocka_unit_test(test_a_match_may_be_anywhere_and_dot_matches_no_newline),
        cmocka_unit_test(test_sentences_are_those_of_go),
        cmocka_unit_test(test_replacing_ends_when_its_work_is_used_up),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
