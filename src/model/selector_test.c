/* selector_test.c - selectors are parsed as in PromQL; wrong ones are refused with a reason. */
#include "lib/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "model/selector.h"

static void
check(const char *text, const char *expected)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    struct selector s;
    struct why why = {""};
    struct buf got;
    enum err e = selector_parse(bytes_of_text(text), &s, &why);
    if (e) fail_msg("%s: %s", text, why.text);
    buf_init(&got, NULL, 4096);
    for (uint32_t i = 0; i < s.count; i++) {
        struct bytes name = matcher_name(s.matchers[i]), value = matcher_pattern(s.matchers[i]);
        buf_printf(&got, "%s%.*s%s%.*s", i == 0 ? "" : ";", (int)name.size, (const char *)name.at,
                   operators[matcher_type(s.matchers[i])], (int)value.size, (const char *)value.at);
    }
    buf_put_u8(&got, 0);
    assert_string_equal((char *)got.at, expected);
    buf_fini(&got);
    selector_fini(&s);
}

UNIT_TEST(test_selectors_are_read_as_promql_writes_them)
{
    check("up", "__name__=up");
    check(" up ", "__name__=up");
    check("a:b:c{}", "__name__=a:b:c");
    check("up{job=\"x\"}", "__name__=up;job=x");
    check("up{ job =~ \"a|b\" , x != 'y' , z !~ `\\d+`, }", "__name__=up;job=~a|b;x!=y;z!~\\d+");
    check("{__name__=~\".+\"}", "__name__=~.+");
    check("{\"my.metric\",\"l.x\"=\"}\"}", "__name__=my.metric;l.x=}");
    check("{'a b'}", "__name__=a b");
    check("{a=\"\\\"\\\\\\n\\x41\\101\\u00e9\\U0001F600'\"}",
          "a=\"\\\nAA\xc3\xa9\xf0\x9f\x98\x80'");
    check("{a=\"b\",c=\"\"}", "a=b;c=");
}

UNIT_TEST(test_wrong_selectors_are_refused_with_a_reason)
{
    static const char *const wrong[] = {"",
                                        " ",
                                        "{}",
                                        "{a=\"\"}",
                                        "{a=~\".*\"}",
                                        "{a!=\"b\"}",
                                        "1up",
                                        "up{",
                                        "up{a",
                                        "up{a=",
                                        "up{a=b}",
                                        "up{a=\"b}",
                                        "up{a==\"b\"}",
                                        "up{a~\"b\"}",
                                        "up{a=\"b\"}}",
                                        "up{a=\"b\" c=\"d\"}",
                                        "up{,}",
                                        "up up",
                                        "up[5m]",
                                        "up{a=~\"(\"}",
                                        "up{a=\"\\q\"}",
                                        "up{a=\"\\xff\"}",
                                        "up{a=\"\\ud800\"}",
                                        "up{a=\"\\400\"}",
                                        "up{\"\"=\"b\"}",
                                        "up{a=\"b\nc\"}",
                                        "sum(up)"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct selector s;
        struct why why = {""};
        if (selector_parse(bytes_of_text(wrong[i]), &s, &why) != ERR_INPUT)
            fail_msg("'%s' was read", wrong[i]);
        assert_true(why.text[0] != '\0');
    }
}

UNIT_TEST(test_a_selector_of_everything_is_read_where_it_is_allowed)
{
    static const char *const texts[] = {"{}", "{a!=\"b\"}", "{a=\"\"}"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct selector s;
        struct why why;
        assert_int_equal(selector_parse(bytes_of_text(texts[i]), &s, &why), ERR_INPUT);
        assert_int_equal(selector_parse_any(bytes_of_text(texts[i]), &s, &why), OK);
        assert_int_equal(s.count, i > 0);
        selector_fini(&s);
    }
}

UNIT_TEST(test_every_refused_allocation_is_an_error)
{
    for (uint64_t nth = 1;; nth++) {
        struct selector s;
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = selector_parse(bytes_of_text("up{a=\"b\",c=~\"d|e\"}"), &s, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (e == OK) selector_fini(&s);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selectors_are_read_as_promql_writes_them),
        cmocka_unit_test(test_wrong_selectors_are_refused_with_a_reason),
        cmocka_unit_test(test_a_selector_of_everything_is_read_where_it_is_allowed),
        cmocka_unit_test(test_every_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
