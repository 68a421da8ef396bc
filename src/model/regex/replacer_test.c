/* replacer_test.c - replacements in a text are the same whether RE2 or a set of literals
 * finds the match. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "model/regex/replacer.h"

/* Returns NULL if the regex does not match. */
static const char *
replaced(struct bytes regex, const char *replacement, const char *text)
{
    static char result[1000];
    struct replacer *r;
    struct budget budget;
    struct buf to;
    budget_init(&budget, "test", 0, NULL);
    buf_init(&to, NULL, sizeof result - 1);
    assert_int_equal(replacer_new(regex, bytes_of_text(replacement), &budget, &r), OK);
    assert_true(budget_used(&budget) > regex.size);
    assert_true(replacer_work(r, strlen(text)) > 0);
    bool matches = replacer_apply(r, bytes_of_text(text), &to);
    snprintf(result, sizeof result, "%.*s", (int)to.size, to.at == NULL ? "" : (char *)to.at);
    replacer_free(r);
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&to);
    return matches ? result : NULL;
}

UNIT_TEST(test_groups_of_literals_are_those_of_re2)
{
    /* The second regex of each pair needs RE2. */
    static const char *const regexes[][2] = {
        {"ab|b.", "(?:ab|b.){1}"},
        {"(ab|b.)", "(ab|b.){1}"},
        {"^(ab|b.)$", "^(ab|b.){1}$"},
        {"(?i)(ab|b.)", "(?i)(ab|b.){1}"},
        {"a(b|c)", "a(b|c){1}"},
        {"(a)(b)|(b.)", "(a){1}(b)|(b.)"},
        {"((ab)|b.)", "((ab)|b.){1}"},
        {"(?s)a\\.|(b)", "(?s)a\\.{1}|(b)"},
        {"", "(?:){1}"},
        {"()", "(){1}"},
    };
    static const char *const texts[] = {"ab", "b", "bx", "b\xc3\xbc", "AB", "abc", "", "a.", "ac"};
    for (unsigned i = 0; i < sizeof regexes / sizeof *regexes; i++) {
        for (unsigned j = 0; j < sizeof texts / sizeof *texts; j++) {
            static const char replacement[] = "<$0|$1|${2}|$3|$4|$name|$$>";
            const char *by_re2 = replaced(bytes_of_text(regexes[i][1]), replacement, texts[j]);
            char expected[1000];
            snprintf(expected, sizeof expected, "%s", by_re2 == NULL ? "-" : by_re2);
            const char *got = replaced(bytes_of_text(regexes[i][0]), replacement, texts[j]);
            assert_string_equal(got == NULL ? "-" : got, expected);
        }
    }
}

UNIT_TEST(test_twenty_thousand_literals_are_taken)
{
    struct buf regex;
    buf_init(&regex, NULL, 1 << 20);
    for (unsigned i = 0; i < 20000; i++)
        buf_printf(&regex, "%s10.0.%u.1:9100", i == 0 ? "(" : "|", i);
    buf_put_u8(&regex, ')');
    assert_string_equal(replaced(buf_bytes(&regex), "<$1>", "10.0.19999.1:9100"),
                        "<10.0.19999.1:9100>");
    assert_null(replaced(buf_bytes(&regex), "<$1>", "10.0.20000.1:9100"));
    buf_fini(&regex);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_of_literals_are_those_of_re2),
        cmocka_unit_test(test_twenty_thousand_literals_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
