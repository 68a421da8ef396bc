/* quoting_test.c - hostile names, values and regexes as literals of three languages: each has its
 * original value by the rules of its language, and ends where it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/influxdb/influxdb_private.h"
#include "lib/test.h"

static const char *const hostile[] = {
    "",
    "plain",
    "a b",
    "a,b=c",
    "it's",
    "\"",
    "\\",
    "\\\\",
    "\\\"",
    "\\'",
    "'; DROP DATABASE \"metrics\"; --",
    "' OR 1=1 --",
    "\" OR \"x\"::tag = '",
    "x\" FROM \"other",
    "${r.secret}",
    "$",
    "$$${{}}",
    "\") |> yield() //",
    "line\nfeed",
    "tab\tand\x7f",
    "/",
    "\\/",
    "a/ OR /b",
    "\xc3\xa9t\xc3\xa9 \xf0\x9f\x8c\x8d",
    "time",
    "_measurement",
    "*/ /* --",
    "~%",
    "~%25",
    "~%two%0Alines",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static struct buf
empty(void)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    return to;
}

/* Checks a literal of InfluxQL as its scanner does: \n, \\, \" and \' are escapes,
 * others an error. */
static void
check_influxql(struct bytes literal, char quote, const char *expected)
{
    char text[200];
    size_t n = 0, i = 1;
    assert_int_equal(literal.at[0], quote);
    for (; i < literal.size && literal.at[i] != (uint8_t)quote; i++) {
        uint8_t c = literal.at[i];
        assert_int_not_equal(c, '\n');
        if (c == '\\') {
            c = literal.at[++i];
            assert_true(c == 'n' || c == '\\' || c == '"' || c == '\'');
            if (c == 'n') c = '\n';
        }
        text[n++] = (char)c;
    }
    text[n] = '\0';
    assert_int_equal(i, literal.size - 1); /* the quote is the last byte */
    assert_string_equal(text, expected);
}

UNIT_TEST(test_influxql_reads_each_literal_as_what_it_was)
{
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct buf to = empty();
        struct bytes text = bytes_of_text(hostile[i]);
        assert_true(influxql_can_quote(text));
        influxql_put_text(&to, text);
        check_influxql(buf_bytes(&to), '\'', hostile[i]);
        buf_clear(&to);
        influxql_put_name(&to, text);
        check_influxql(buf_bytes(&to), '"', hostile[i]);
        buf_fini(&to);
    }
    assert_false(influxql_can_quote(bytes_of("a\0b", 3)));
    assert_false(influxql_can_quote(bytes_of_text("a\rb")));
    assert_false(influxql_can_quote(bytes_of_text("a\xff")));
    assert_false(influxql_can_quote(bytes_of_text("a\xef\xbf\xbd")));
}

static void
check_regex(const char *pattern, const char *expected)
{
    struct buf to = empty();
    assert_true(go_can_match(bytes_of_text(pattern)));
    go_put_regex(&to, bytes_of_text(pattern));
    buf_put_u8(&to, 0);
    assert_string_equal((const char *)to.at, expected);
    buf_fini(&to);
}

UNIT_TEST(test_a_regex_ends_at_its_own_slash)
{
    check_regex("a|b", "/^(?s:a|b)$/");
    check_regex("a/b", "/^(?s:a\\/b)$/");
    check_regex("a\\/b", "/^(?s:a\\/b)$/");
    check_regex("a\\\\/ OR /", "/^(?s:a\\\\\\/ OR \\/)$/");
    check_regex("[/]", "/^(?s:[\\/])$/");
}

UNIT_TEST(test_a_regex_that_another_release_may_read_otherwise_is_not_sent)
{
    static const char *const not_sent[] = {"(?i)a", "\\pL",     "\\PL",          "\\Qa/b\\E",
                                           "a\nb",  "(?P<n>a)", "a\xef\xbf\xbd", "\x7f"};
    for (unsigned i = 0; i < sizeof not_sent / sizeof *not_sent; i++)
        assert_false(go_can_match(bytes_of_text(not_sent[i])));
    assert_true(go_can_match(bytes_of_text("(?:a|b)\\.c{2}[^x]*")));
}

UNIT_TEST(test_an_exact_regex_has_nothing_but_numbers_of_characters)
{
    struct buf to = empty();
    influxql_put_exact_regex(&to, bytes_of("a/\r\0\xc3\xa9\xff", 7));
    buf_put_u8(&to, 0);
    assert_string_equal((const char *)to.at, "/^\\x{61}\\x{2f}\\x{d}\\x{0}\\x{e9}\\x{fffd}$/");
    buf_fini(&to);
}

/* --- matching of written and stored forms ----------------------------------------------------- */

static const enum line_role roles[] = {LINE_TAG_KEY, LINE_TAG_VALUE, LINE_MEASUREMENT};

UNIT_TEST(test_a_name_that_the_destination_encoded_decodes_to_itself)
{
    for (unsigned i = 0; i < HOSTILE; i++) {
        for (unsigned r = 0; r < 3; r++) {
            struct buf stored = empty(), back = empty();
            line_text_put(&stored, bytes_of_text(hostile[i]), roles[r]);
            assert_int_equal(stored_name_decode(buf_bytes(&stored), roles[r], &back), OK);
            assert_true(bytes_equal(buf_bytes(&back), bytes_of_text(hostile[i])));
            buf_fini(&stored);
            buf_fini(&back);
        }
    }
}

UNIT_TEST(test_every_stored_form_of_a_name_is_queried)
{
    for (unsigned i = 0; i < HOSTILE; i++) {
        for (unsigned r = 0; r < 3; r++) {
            struct buf back = empty();
            struct bytes text = bytes_of_text(hostile[i]), texts[STORED_NAMES_MAX];
            unsigned count;
            bool found = false;
            if (text.size == 0) continue;
            assert_int_equal(stored_name_decode(text, roles[r], &back), OK); /* the stored form */
            struct buf room = empty();
            assert_int_equal(stored_names_of(buf_bytes(&back), roles[r], &room, texts, &count), OK);
            for (unsigned k = 0; k < count; k++)
                found |= bytes_equal(texts[k], text);
            assert_true(found || line_text_is_coded(text, roles[r]));
            for (unsigned k = 0; k < count; k++) { /* each of them is a form of it */
                struct buf again = empty();
                assert_int_equal(stored_name_decode(texts[k], roles[r], &again), OK);
                assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&back)));
                buf_fini(&again);
            }
            buf_fini(&back);
            buf_fini(&room);
        }
    }
}

UNIT_TEST(test_text_that_the_destination_does_not_write_decodes_to_itself)
{
    static const char *const others[] = {"~%plain", "~%zz", "~%a%2", "~%a%0a"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        struct buf back = empty();
        assert_int_equal(stored_name_decode(bytes_of_text(others[i]), LINE_TAG_VALUE, &back), OK);
        assert_true(bytes_equal_text(buf_bytes(&back), others[i]));
        buf_fini(&back);
    }
}

/* Without memory to encode a name again, it is not known whether the name was coded here. */
UNIT_TEST(test_a_name_is_not_decoded_without_memory)
{
    struct bytes text = bytes_of_text("~%two%0Alines");
    struct budget budget;
    struct buf back;
    budget_init(&budget, "test", 1 << 10, NULL);
    buf_init(&back, &budget, 1 << 10);
    assert_true(buf_reserve(&back, 1 << 10)); /* the whole budget, so that only `back` has room */
    assert_int_equal(stored_name_decode(text, LINE_TAG_VALUE, &back), ERR_NOMEM);
    buf_fini(&back);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_influxql_reads_each_literal_as_what_it_was),
        cmocka_unit_test(test_a_regex_ends_at_its_own_slash),
        cmocka_unit_test(test_a_regex_that_another_release_may_read_otherwise_is_not_sent),
        cmocka_unit_test(test_an_exact_regex_has_nothing_but_numbers_of_characters),
        cmocka_unit_test(test_a_name_that_the_destination_encoded_decodes_to_itself),
        cmocka_unit_test(test_every_stored_form_of_a_name_is_queried),
        cmocka_unit_test(test_text_that_the_destination_does_not_write_decodes_to_itself),
        cmocka_unit_test(test_a_name_is_not_decoded_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
