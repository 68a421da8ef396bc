/*
 * matcher_test.c - matchers: anchored regular expressions, the literals and prefixes found in them,
 * and agreement with RE2.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/regex/matcher_re2.h"
#include "model/regex/pattern.h"

static struct matcher *
make(enum matcher_type type, const char *pattern)
{
    struct matcher *m = NULL;
    struct why why = {""};
    enum err e = matcher_new(type, bytes_of_text("job"), bytes_of_text(pattern), NULL, &m, &why);
    if (e != OK) fail_msg("%s: %s", pattern, why.text);
    return m;
}

static void
check_matches(enum matcher_type type, const char *pattern, const char *value, bool expected)
{
    struct matcher *m = make(type, pattern);
    if (matcher_matches(m, bytes_of_text(value)) != expected)
        fail_msg("type %d, pattern \"%s\", value \"%s\"", (int)type, pattern, value);
    matcher_free(m);
}

UNIT_TEST(test_equal_compares_bytes)
{
    check_matches(MATCH_EQUAL, "a.c", "a.c", true);
    check_matches(MATCH_EQUAL, "a.c", "abc", false);
    check_matches(MATCH_EQUAL, "a", "", false);
    check_matches(MATCH_EQUAL, "", "", true);
    check_matches(MATCH_EQUAL, "", "a", false);
    check_matches(MATCH_NOT_EQUAL, "a", "a", false);
    check_matches(MATCH_NOT_EQUAL, "a", "", true);
    check_matches(MATCH_NOT_EQUAL, "", "", false);
    check_matches(MATCH_NOT_EQUAL, "", "a", true);
}

UNIT_TEST(test_regex_is_anchored_and_dot_matches_newline)
{
    static const struct {
        const char *pattern, *value;
        bool expected;
    } cases[] = {
        {"b", "abc", false},
        {"a|b", "ab", false},
        {"a|b", "b", true},
        {"a.c", "a\nc", true},
        {"a.c",
         "a\xc3\xbc"
         "c",
         true}, /* a character, not a byte */
        {"a..c",
         "a\xc3\xbc"
         "c",
         false},
        {".*", "", true},
        {".*", "a\nb", true},
        {".+", "", false},
        {".+", "\n", true},
        {"", "", true},
        {"", "a", false},
        {"a.*", "a", true},
        {"a.*", "b", false},
        {"a.+", "a", false},
        {"a.+", "ab", true},
        {".*b", "ab", true},
        {".*b", "ba", false},
        {".+b", "b", false},
        {".*b.*", "abc", true},
        {".+b.+", "abc", true},
        {".+b.+", "ab", false},
        {".+b.+", "bbb", true},
        {".*b.+", "bb", true},
        {".*b.+", "ab", false},
        {".+b.*", "ba", false},
        {".+b.*", "bab", true},
        {".+b", "bab", true},
        {".+bb.*", "bb", false},
        {".+bb.*", "bbb", true},
        {"^.*b.*$", "abc", true},
        {"^a$", "a", true},
        {"^a$|^b$", "b", true},
        {"(?i)abc", "aBC", true},
        {"a(?i:b)c", "aBc", true},
        {"a(?i:b)c", "ABc", false},
        {"(a|b)?c", "c", true},
        {"a\\.c", "abc", false},
        {"a\\.c", "a.c", true},
        {"[^/]+", "a/b", false},
        {"[^/]+", "ab", true},
        {"\\d+", "12", true},
        {"\\d+", "1x", false},
        {"\\pL+", "\xc3\xbc", true},
        {"(?P<name>a)b", "ab", true},
        {"(?<name>a)b", "ab", true},
        {"[(?<]+", "P", false},
        {"[](?<]+", "P", false},
        {"[^](?<]+", "P", true},
        {"[[:digit:](?<]+", "P", false},
        {"[[:digit:](?<]+(?<name>a)", "1(a", true},
        {"[\\](?<]+", "P", false},
        {"\\Q(?<a>\\E", "(?<a>", true},
        {"\\Q\\\\E(?<name>a)", "\\a", true},
        {"a{2,3}", "aaa", true},
        {"a{2,3}", "a", false},
        {"(?s).", "\n", true},
        {"(?-s).", "\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_matches(MATCH_REGEX, cases[i].pattern, cases[i].value, cases[i].expected);
        check_matches(MATCH_NOT_REGEX, cases[i].pattern, cases[i].value, !cases[i].expected);
    }
}

UNIT_TEST(test_missing_label_is_the_empty_string_for_all_four)
{
    static const struct {
        enum matcher_type type;
        const char *pattern;
        bool expected;
    } cases[] = {
        {MATCH_EQUAL, "", true},        {MATCH_EQUAL, "x", false},
        {MATCH_NOT_EQUAL, "", false},   {MATCH_NOT_EQUAL, "x", true},
        {MATCH_REGEX, ".*", true},      {MATCH_REGEX, ".+", false},
        {MATCH_REGEX, "x|", true},      {MATCH_REGEX, "(x|y)?", true},
        {MATCH_NOT_REGEX, ".*", false}, {MATCH_NOT_REGEX, ".+", true},
        {MATCH_NOT_REGEX, "x", true},   {MATCH_NOT_REGEX, "\\d*", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct matcher *m = make(cases[i].type, cases[i].pattern);
        assert_int_equal(matcher_matches_empty(m), cases[i].expected);
        assert_int_equal(matcher_matches(m, (struct bytes){NULL, 0}), cases[i].expected);
        matcher_free(m);
    }
}

/* Checks the literals, joined by spaces, "-" if not known; empty ones are written as "''". */
static void
check_literals(const char *pattern, const char *expected, const char *prefix)
{
    for (int negative = 0; negative <= 1; negative++) {
        struct matcher *m = make(negative ? MATCH_NOT_REGEX : MATCH_REGEX, pattern);
        struct buf text;
        buf_init(&text, NULL, 1 << 16);
        const struct bytes *values;
        uint32_t count = matcher_literals(m, &values);
        if (count == 0) {
            assert_null(values);
            buf_put_text(&text, "-");
        }
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0) buf_put_u8(&text, ' ');
            if (values[i].size == 0) buf_put_text(&text, "''");
            buf_put_bytes(&text, values[i]);
            assert_int_equal(matcher_matches(m, values[i]), !negative);
        }
        buf_put_u8(&text, 0);
        if (strcmp((const char *)text.at, expected) != 0) fail_msg("%s: %s", pattern, text.at);
        if (!bytes_equal_text(matcher_prefix(m), prefix))
            fail_msg("%s: prefix %.*s", pattern, (int)matcher_prefix(m).size, matcher_prefix(m).at);
        buf_fini(&text);
        matcher_free(m);
    }
}

UNIT_TEST(test_literals_and_prefix_are_found)
{
    check_literals("abc", "abc", "abc");
    check_literals("", "''", "");
    check_literals("c|a|b|a", "a b c", "");
    check_literals("(a|b)c", "ac bc", "");
    check_literals("(?:a|b)c|d", "ac bc d", "");
    check_literals("(?s:a|b)c|d", "ac bc d", "");
    check_literals("(?s:ab.*)", "-", "ab");
    check_literals("x(a|b(c|d))y", "xay xbcy xbdy", "x");
    check_literals("x(a|)", "x xa", "x");
    check_literals("xa?", "x xa", "x");
    check_literals("x(ab)??", "x xab", "x");
    check_literals("a\\.b\\|c\\\\", "a.b|c\\", "a.b|c\\");
    check_literals("a\\n", "a\n", "a\n");
    check_literals("host[0-2a]", "host0 host1 host2 hosta", "host");
    check_literals("^(a|b)$", "a b", "");
    check_literals("^ab$|^ac$", "ab ac", "a");
    check_literals("gr\xc3\xbcn|gr\xc3\xa4n", "gr\xc3\xa4n gr\xc3\xbcn", "gr");
    check_literals("\xc3\xbc?x", "x \xc3\xbcx", "");
    check_literals("()", "''", "");

    check_literals("abc.*", "-", "abc");
    check_literals("abc.+", "-", "abc");
    check_literals("abc+", "-", "abc");
    check_literals("abc*", "-", "ab");
    check_literals("abc\\d", "-", "abc");
    check_literals("(abc|abd).*x", "-", "ab");
    check_literals("abc.*|abd", "-", "ab");
    check_literals("abc[^d]", "-", "abc");
    check_literals(".*abc", "-", "");
    check_literals(".*", "-", "");
    check_literals("a.*|b", "-", "");

    /* Patterns that are not understood, or are ambiguous, have no known literals. */
    check_literals("(?i)abc", "-", "");
    check_literals("ab(?i:c)", "-", "");
    check_literals("ab(?i)c", "-", "");
    check_literals("a{2}", "-", "");
    check_literals("\\Qa.b\\E", "-", "");
    check_literals("\\babc", "-", "");
    check_literals("(^a)b", "-", "");
    check_literals("a$b", "-", "");
    check_literals("a^", "-", "");
    check_literals("(?P<n>a)", "-", "");
    check_literals("a\\x41", "-", "");
    check_literals("[[:alpha:]]a", "-", "");
}

/* Covers every escape of one ASCII byte: one that is read as a literal must be RE2's
 * literal, too. */
UNIT_TEST(test_escapes_mean_what_re2_says)
{
    unsigned literal = 0;
    for (unsigned c = 1; c < 128; c++) {
        char pattern[3] = {'\\', (char)c, 0}, why[8];
        struct matcher *m = NULL;
        enum err e =
            matcher_new(MATCH_REGEX, bytes_of_text("a"), bytes_of_text(pattern), NULL, &m, NULL);
        struct re2_program *plain = NULL;
        enum re2_result result = re2_program_new((const uint8_t *)pattern, 2, 8 << 20,
                                                 RE2_NO_CAPTURES, &plain, why, sizeof why);
        if (c != 'C') assert_int_equal(e == OK, result == RE2_OK);
        for (unsigned v = 0; m != NULL && v < 128; v++) {
            uint8_t value = (uint8_t)v;
            assert_int_equal(matcher_matches(m, bytes_of(&value, 1)),
                             re2_program_matches(plain, &value, 1));
        }
        const struct bytes *values;
        if (m != NULL && matcher_literals(m, &values) == 1) literal++;
        re2_program_free(plain);
        matcher_free(m);
    }
    assert_int_equal(literal, 31 + 6); /* punctuation but '_'; and \\n \\t \\r \\f \\v \\a */
}

UNIT_TEST(test_literals_of_equal_are_its_value)
{
    static const enum matcher_type types[] = {MATCH_EQUAL, MATCH_NOT_EQUAL};
    for (int i = 0; i < 2; i++) {
        struct matcher *m = make(types[i], "a|b");
        const struct bytes *values;
        assert_int_equal(matcher_literals(m, &values), 1);
        assert_true(bytes_equal_text(values[0], "a|b"));
        assert_true(bytes_equal_text(matcher_prefix(m), "a|b"));
        assert_int_equal(matcher_type(m), types[i]);
        assert_true(bytes_equal_text(matcher_name(m), "job"));
        assert_true(bytes_equal_text(matcher_pattern(m), "a|b"));
        matcher_free(m);
    }
}

/* The pattern has a thousand names, like a dashboard's variable. */
UNIT_TEST(test_long_alternations_are_looked_up)
{
    struct buf pattern;
    buf_init(&pattern, NULL, MATCHER_PATTERN_BYTES_MAX);
    for (unsigned i = 0; i < 5000; i++)
        buf_printf(&pattern, "%sh-%u\\.e", i == 0 ? "" : "|", i * 7);
    struct matcher *m;
    assert_int_equal(
        matcher_new(MATCH_REGEX, bytes_of_text("a"), buf_bytes(&pattern), NULL, &m, NULL), OK);
    const struct bytes *values;
    assert_int_equal(matcher_literals(m, &values), 5000);
    for (uint32_t i = 1; i < 5000; i++)
        assert_true(bytes_compare(values[i - 1], values[i]) < 0);
    assert_true(bytes_equal_text(matcher_prefix(m), "h-"));
    for (unsigned i = 0; i < 36000; i++) {
        char value[64];
        snprintf(value, sizeof value, "h-%u.e", i);
        assert_int_equal(matcher_matches(m, bytes_of_text(value)), i % 7 == 0 && i < 35000);
    }
    matcher_free(m);
    buf_fini(&pattern);
}

/* Appends an alternation of `count` names in one of the ways that people and
 * dashboards write it. */
static void
names_pattern(struct buf *to, const char *before, const char *name, const char *after,
              unsigned count)
{
    buf_clear(to);
    buf_put_text(to, before);
    for (unsigned i = 0; i < count; i++) {
        const char *place = strchr(name, '#');
        buf_printf(to, "%s%.*s%u%s", i == 0 ? "" : "|", (int)(place - name), name, i * 7,
                   place + 1);
    }
    buf_put_text(to, after);
}

/* RE2 may use 8 MiB, which is less than its program for these names. */
UNIT_TEST(test_twenty_thousand_names_need_no_program)
{
    static const struct {
        const char *before, *name, *after;
        const char *like; /* template of a value; # is a number */
        const char *unlike;
    } cases[] = {
        {"", "host-#:9100", "", "host-#:9100", "host-#:910"},
        {"", "host-#\\.example:9100", "", "host-#.example:9100", "host-#xexample:9100"},
        {"", "host-#.example:9100", "", "host-#xexample:9100", "host-#.examplex:9100"},
        {"", "10.0.#.1:9100", "", "10.0.#.1:9100", "10.0.#.1:9101"},
        {"", "10.0.#.1:9100", "",
         "10\xc3\xbc"
         "0.#\xe2\x82\xac"
         "1:9100",
         "10\xc3"
         "0.#.1:9100"},
        {"(", "host-#", ")", "host-#", "host-"},
        {"^(?:", "host-#", ")$", "host-#", "^host-#"},
        {"host-(", "#", ")\\.example:9100", "host-#.example:9100", "host-#.example:9101"},
        {"", "(host-#)", "", "host-#", "host-#-"},
        {"(?i)", "Host-#", "", "hOST-#", "hoost-#"},
        {"(?i)", "Kos#", "",
         "\xe2\x84\xaa"
         "o\xc5\xbf#",
         "Ko\xc3\x9f#"},
        {"(?i:", "host.#", ")", "HOST\n#", "HOS\n#"},
        {"(?s)", "host-#", "", "host-#", "HOST-#"},
        {"", "h\xc3\xb6st-#", "", "h\xc3\xb6st-#", "host-#"},
        {"", "host-#(:9100)?", "", "host-#:9100", "host-#:"},
    };
    enum { COUNT = 20000 };
    struct buf pattern;
    buf_init(&pattern, NULL, MATCHER_PATTERN_BYTES_MAX);
    for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct matcher *m;
        struct budget budget;
        struct why why;
        budget_init(&budget, "test", 0, NULL);
        names_pattern(&pattern, cases[c].before, cases[c].name, cases[c].after, COUNT);
        enum err e =
            matcher_new(MATCH_REGEX, bytes_of_text("a"), buf_bytes(&pattern), &budget, &m, &why);
        if (e) fail_msg("%s%s%s: %s", cases[c].before, cases[c].name, cases[c].after, why.text);
        assert_true(budget_used(&budget) > pattern.size && budget_used(&budget) < 4 << 20);
        for (unsigned i = 0; i < 30; i++) {
            struct buf value;
            unsigned number = i < 20 ? 7 * (i * 1000 + i) : 7 * i + 3;
            buf_init(&value, NULL, 200);
            for (unsigned like = 0; like < 2; like++) {
                const char *text = like ? cases[c].like : cases[c].unlike;
                const char *place = strchr(text, '#');
                buf_clear(&value);
                if (place == NULL)
                    buf_put_text(&value, text);
                else
                    buf_printf(&value, "%.*s%u%s", (int)(place - text), text, number, place + 1);
                bool matches = matcher_matches(m, buf_bytes(&value));
                if (matches != (like && i < 20))
                    fail_msg("%s%s%s: %.*s", cases[c].before, cases[c].name, cases[c].after,
                             (int)value.size, value.at);
            }
            buf_fini(&value);
        }
        matcher_free(m);
        assert_int_equal(budget_used(&budget), 0);
    }
    buf_fini(&pattern);
}

/* Sets that grow by multiplication end in a prefix, and cost little. */
UNIT_TEST(test_large_products_are_left_to_re2)
{
    check_literals("x(a|b)(a|b)", "xaa xab xba xbb", "x");
    check_literals("x[0-9][0-9][0-9][0-9]y", "-", "x");
    check_matches(MATCH_REGEX, "x[0-9][0-9][0-9][0-9]y", "x1234y", true);
    check_matches(MATCH_REGEX, "x[0-9][0-9][0-9][0-9]y", "x123y", false);
    struct buf pattern;
    buf_init(&pattern, NULL, MATCHER_PATTERN_BYTES_MAX);
    for (unsigned i = 0; i < 60; i++)
        buf_put_text(&pattern, "(a|b|)?");
    struct matcher *m;
    assert_int_equal(
        matcher_new(MATCH_REGEX, bytes_of_text("a"), buf_bytes(&pattern), NULL, &m, NULL), OK);
    assert_true(matcher_matches(m, bytes_of_text("abababab")));
    assert_false(matcher_matches(m, bytes_of_text("ababcbab")));
    matcher_free(m);

    /* Following the pattern to its end would take quadratic time. */
    buf_clear(&pattern);
    buf_put_text(&pattern, "(a|b|c|d|e|f|g|h)");
    while (pattern.size < 60000)
        buf_put_text(&pattern, "(x)");
    enum err e = matcher_new(MATCH_REGEX, bytes_of_text("a"), buf_bytes(&pattern), NULL, &m, NULL);
    assert_true(e == OK || e == ERR_LIMIT);
    if (e == OK) matcher_free(m);
    buf_fini(&pattern);
}

static enum err
try_new(const char *pattern, struct why *why)
{
    struct matcher *m = NULL;
    enum err e =
        matcher_new(MATCH_REGEX, bytes_of_text("job"), bytes_of_text(pattern), NULL, &m, why);
    matcher_free(m);
    return e;
}

UNIT_TEST(test_byte_escape_is_refused_at_every_position)
{
    static const char *const refused[] = {
        "\\C",        "a\\C", "(\\C)",    "(?:a|\\C)b", "[\\C]",       "[a\\C]",        "\\\\\\C",
        "\\Qa\\E\\C", "\\C*", "(?i:\\C)", "a\\.\\C\\.", "\\Q\\\\E\\C", "\\Q\\\\\\E\\C",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct why why = {""};
        if (try_new(refused[i], &why) != ERR_INPUT) fail_msg("%s accepted", refused[i]);
        assert_non_null(strstr(why.text, "\\C"));
    }
    static const char *const accepted[] = {"\\\\C",  "a\\\\\\\\C", "\\Q\\C\\E", "\\Q\\C",  "\\pC",
                                           "\\p{C}", "C",          "[C]",       "\\Q\\\\C"};
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        if (try_new(accepted[i], NULL) != OK) fail_msg("%s refused", accepted[i]);
    check_matches(MATCH_REGEX, "a\\\\C", "a\\C", true);
    check_matches(MATCH_REGEX, "\\Q\\C\\E", "\\C", true);
    /* RE2 itself refuses a quote in a class, so a quote cannot hide a class. */
    assert_int_equal(try_new("[\\Q]\\C", NULL), ERR_INPUT);
}

UNIT_TEST(test_invalid_regex_says_what_re2_says)
{
    static const char *const invalid[][2] = {
        {"a(b", "missing ): a(b"},
        {"a)b", "unexpected ): a)b"},
        {"[a", "missing ]: [a"},
        {"*a", "no argument for repetition operator: *"},
        {"a**", "bad repetition operator: **"},
        {"a{1001}", "invalid repetition size: {1001}"},
        {"\\8", "invalid escape sequence: \\8"},
        {"a(?=b)", "invalid perl operator: (?="},
        {"[b-a]", "invalid character class range: b-a"},
    };
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        struct why why = {""};
        assert_int_equal(try_new(invalid[i][0], &why), ERR_INPUT);
        assert_int_equal(strncmp(why.text, "invalid regex: ", 15), 0);
        if (strstr(why.text, invalid[i][1]) == NULL) fail_msg("%s: %s", invalid[i][0], why.text);
        assert_int_equal(try_new(invalid[i][0], NULL), ERR_INPUT);
    }
}

UNIT_TEST(test_an_invalid_matcher_is_refused)
{
    struct bytes name = bytes_of_text("job"), x = bytes_of_text("x");
    struct matcher *m = NULL;
    struct why why;
    assert_int_equal(matcher_new(MATCH_EQUAL, bytes_of_text("\xff"), x, NULL, &m, &why), ERR_INPUT);
    assert_int_equal(matcher_new(MATCH_EQUAL, name, bytes_of_text("\xff"), NULL, &m, &why),
                     ERR_INPUT);
    assert_int_equal(matcher_new(MATCH_REGEX, name, bytes_of_text("a\xc3"), NULL, &m, &why),
                     ERR_INPUT);
    assert_int_equal(matcher_new((enum matcher_type)4, name, x, NULL, &m, &why), ERR_INPUT);

    static char text[MATCHER_PATTERN_BYTES_MAX + 1];
    memset(text, 'a', sizeof text);
    for (int type = MATCH_EQUAL; type <= MATCH_NOT_REGEX; type++) {
        enum matcher_type t = (enum matcher_type)type;
        struct bytes most = bytes_of(text, MATCHER_PATTERN_BYTES_MAX);
        assert_int_equal(matcher_new(t, name, most, NULL, &m, &why), OK);
        matcher_free(m);
        assert_int_equal(matcher_new(t, name, bytes_of(text, sizeof text), NULL, &m, &why),
                         ERR_LIMIT);
    }
    assert_int_equal(try_new("((\\pL{100}){10}){1}(\\pN{100}){10}\\pL{1000}\\pL{1000}", &why),
                     ERR_LIMIT);
    assert_non_null(strstr(why.text, "too large"));
}

UNIT_TEST(test_values_may_be_any_bytes)
{
    static const char *const patterns[] = {
        "a",     "a|b|c|d|e|f", ".*",           ".+", "\xc3\xbc.*", ".*\xc3\xbc", ".*a.*", "a.b.c",
        "[^a]+", "\\pL+|a.",    "(?i)\xc3\xbc", "",   ".",          "(a|b)+c.*d"};
    static const char *const values[] = {
        "\xff", "\xc3", "a\xff-", "\x80\x80\x80", "\xf0\x9f\x94", "\xed\xa0\x80", "\xc3\xbc\xff"};
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        struct matcher *m = make(MATCH_REGEX, patterns[p]);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            bool ignored = matcher_matches(m, bytes_of_text(values[v]));
            (void)ignored;
        }
        matcher_matches(m, bytes_of("\0a\0", 3));
        matcher_free(m);
    }
    struct matcher *m;
    assert_int_equal(
        matcher_new(MATCH_REGEX, bytes_of_text("a"), bytes_of("a\0b|c", 5), NULL, &m, NULL), OK);
    assert_true(matcher_matches(m, bytes_of("a\0b", 3)));
    assert_false(matcher_matches(m, bytes_of("a", 1)));
    matcher_free(m);
}

UNIT_TEST(test_every_refused_allocation_is_an_error)
{
    static const char *const patterns[] = {"abc",     "(a|b|c)(d|e)f?", "abc.*",
                                           ".*abc.*", "a(b|c)+",        "^x[0-9]$"};
    for (int type = MATCH_EQUAL; type <= MATCH_NOT_REGEX; type++) {
        for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
            for (uint64_t nth = 1;; nth++) {
                struct matcher *m = NULL;
                mem_fail_nth(nth, false);
                enum err e = matcher_new((enum matcher_type)type, bytes_of_text("job"),
                                         bytes_of_text(patterns[p]), NULL, &m, NULL);
                bool fired = mem_fail_fired();
                mem_fail_nth(0, false);
                assert_int_equal(e, fired ? ERR_NOMEM : OK);
                assert_int_equal(m == NULL, fired);
                matcher_free(m);
                if (!fired) break;
            }
        }
    }
}

/* --- our reading of a pattern against RE2's --------------------------------------------------- */

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du >> 11;
}

static const char *
random_of(uint64_t *seed, const char *const *choices, size_t count)
{
    return choices[random_next(seed) % count];
}
#define RANDOM_OF(seed, ...)                            \
    random_of(seed, (const char *const[]){__VA_ARGS__}, \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void random_alternation(uint64_t *seed, struct buf *to, unsigned depth);

static void
random_piece(uint64_t *seed, struct buf *to, unsigned depth)
{
    unsigned kind = (unsigned)(random_next(seed) % 24);
    if (kind < 10) {
        buf_put_text(to, RANDOM_OF(seed, "a", "b", "ab", "\xc3\xbc", "\n", "\\.", "\\n", "\\|"));
    } else if (kind < 14 && depth > 0) {
        buf_put_text(to, RANDOM_OF(seed, "(", "(?:", "(", "(?i:", "(?P<n>"));
        random_alternation(seed, to, depth - 1);
        buf_put_u8(to, ')');
    } else if (kind < 18) {
        buf_put_text(to, RANDOM_OF(seed, ".", ".*", ".+", ".*", ".+?", ".*?"));
    } else if (kind < 20) {
        buf_put_text(to,
                     RANDOM_OF(seed, "[ab]", "[a-c]", "[^a]", "[^ab]", "[a.]", "[\\.a]", "[a-]"));
    } else if (kind < 21) {
        buf_put_text(to,
                     RANDOM_OF(seed, "^", "$", "\\w", "\\D", "\\Qa.b\\E", "(?i)", "\\b", "\\x61",
                               "{", "]", "}", "\\Q", "\\E", "\\", "*", "a{2}", "b{0,1}"));
    }
    if (random_next(seed) % 4 == 0)
        buf_put_text(to, RANDOM_OF(seed, "?", "*", "+", "??", "*?", "+?", "{2}", "{0,2}"));
}

static void
random_alternation(uint64_t *seed, struct buf *to, unsigned depth)
{
    unsigned alternatives = 1 + (unsigned)(random_next(seed) % 3);
    for (unsigned i = 0; i < alternatives; i++) {
        if (i > 0) buf_put_u8(to, '|');
        unsigned pieces = (unsigned)(random_next(seed) % 4);
        if (random_next(seed) % 8 == 0) buf_put_u8(to, '^');
        for (unsigned j = 0; j < pieces; j++)
            random_piece(seed, to, depth);
        if (random_next(seed) % 8 == 0) buf_put_u8(to, '$');
    }
}

/* Appends a literal between dots, which chance alone makes too rarely. */
static void
random_inner(uint64_t *seed, struct buf *to)
{
    buf_put_text(to, RANDOM_OF(seed, "", "", "^"));
    buf_put_text(to, RANDOM_OF(seed, ".*", ".+"));
    buf_put_text(to, RANDOM_OF(seed, "a", "b", "ab", "aa", "aba", "\xc3\xbc", "\\.", "a+", "a|b"));
    buf_put_text(to, RANDOM_OF(seed, "", ".*", ".+", ".?"));
    buf_put_text(to, RANDOM_OF(seed, "", "", "$"));
}

/* Appends names with dots, in one of the ways that become a set. */
static void
random_names(uint64_t *seed, struct buf *to)
{
    const char *before =
        RANDOM_OF(seed, "", "", "(?i)", "(?s)", "(?is)", "(?i:", "(", "^(?:", "a(");
    buf_put_text(to, before);
    for (uint64_t i = random_next(seed) % 12; i < 12; i++) {
        for (uint64_t j = random_next(seed) % 4; j < 4; j++) {
            buf_put_text(to, RANDOM_OF(seed, "a", "b", "k", "S", "A", ".", "\\.", ".", "\xc3\xbc",
                                       ".?", "[ab]"));
        }
        if (i < 11) buf_put_u8(to, '|');
    }
    if (strchr(before, ')') == NULL && before[0] != '\0') buf_put_u8(to, ')');
    if (before[0] == '^') buf_put_u8(to, '$');
}

static void
random_value(uint64_t *seed, struct buf *to)
{
    buf_clear(to);
    unsigned length = (unsigned)(random_next(seed) % 7);
    for (unsigned i = 0; i < length; i++) {
        buf_put_text(to, RANDOM_OF(seed, "a", "b", "a", "b", "c", "A", ".", "|", "\n", "\xc3\xbc",
                                   "K", "s", "\xe2\x84\xaa", "\xc5\xbf"));
    }
}

static void
check_value(const struct matcher *m, const struct re2_program *plain, struct bytes value,
            uint64_t seed)
{
    bool expected = re2_program_matches(plain, value.at, value.size);
    struct bytes pattern = matcher_pattern(m), prefix = matcher_prefix(m);
    if (matcher_matches(m, value) != expected) {
        fail_msg("seed %llu, pattern \"%.*s\", value \"%.*s\": RE2 says %d",
                 (unsigned long long)seed, (int)pattern.size, pattern.at, (int)value.size, value.at,
                 expected);
    }
    bool begins = value.size >= prefix.size && bytes_equal(bytes_of(value.at, prefix.size), prefix);
    if (expected && !begins) {
        fail_msg("seed %llu, pattern \"%.*s\", value \"%.*s\": prefix \"%.*s\"",
                 (unsigned long long)seed, (int)pattern.size, pattern.at, (int)value.size, value.at,
                 (int)prefix.size, prefix.at);
    }
}

/* Checks literals, similar values, and random values. Returns whether literals were known. */
static bool
check_pattern(const struct matcher *m, const struct re2_program *plain, uint64_t *seed)
{
    uint64_t start = *seed;
    struct buf value;
    buf_init(&value, NULL, 4096);
    const struct bytes *literals;
    uint32_t count = matcher_literals(m, &literals);
    for (uint32_t i = 0; i < count && i < 50; i++) {
        check_value(m, plain, literals[i], start);
        if (!matcher_matches(m, literals[i])) fail_msg("seed %llu", (unsigned long long)start);
        buf_clear(&value);
        buf_put_bytes(&value, literals[i]);
        buf_put_u8(&value, 'a');
        check_value(m, plain, buf_bytes(&value), start);
        if (literals[i].size > 0 && literals[i].at[literals[i].size - 1] < 0x80)
            check_value(m, plain, bytes_of(literals[i].at, literals[i].size - 1), start);
    }
    for (int i = 0; i < 40; i++) {
        random_value(seed, &value);
        if (i % 2 == 1) { /* begins like the pattern, else too few values match */
            struct buf longer;
            buf_init(&longer, NULL, 8192);
            buf_put_bytes(&longer, matcher_prefix(m));
            buf_put_bytes(&longer, buf_bytes(&value));
            check_value(m, plain, buf_bytes(&longer), start);
            buf_fini(&longer);
        }
        check_value(m, plain, buf_bytes(&value), start);
    }
    buf_fini(&value);
    return count > 0;
}

UNIT_TEST(test_random_patterns_mean_what_re2_says)
{
    uint64_t seed = 20241117;
    unsigned valid = 0, literal = 0;
    struct buf pattern, anchored;
    buf_init(&pattern, NULL, 1 << 16);
    buf_init(&anchored, NULL, 1 << 16);
    for (int i = 0; i < 12000; i++) {
        buf_clear(&pattern);
        if (i % 8 == 0)
            random_inner(&seed, &pattern);
        else if (i % 4 == 1)
            random_names(&seed, &pattern);
        else
            random_alternation(&seed, &pattern, 3);
        struct matcher *m = NULL;
        enum err e =
            matcher_new(MATCH_REGEX, bytes_of_text("a"), buf_bytes(&pattern), NULL, &m, NULL);

        /* The pattern is anchored as in Prometheus, and only if it is valid alone. */
        buf_clear(&anchored);
        buf_put_text(&anchored, "^(?s:");
        buf_put_bytes(&anchored, buf_bytes(&pattern));
        buf_put_text(&anchored, ")$");
        struct re2_program *alone = NULL, *plain = NULL;
        char why[8];
        bool ok = re2_program_new(pattern.at, pattern.size, 8 << 20, RE2_NO_CAPTURES, &alone, why,
                                  8) == RE2_OK;
        assert_int_equal(e == OK, ok);
        if (ok && re2_program_new(anchored.at, anchored.size, 8 << 20, RE2_NO_CAPTURES, &plain, why,
                                  8) == RE2_OK) {
            valid++;
            if (check_pattern(m, plain, &seed)) literal++;
        }
        re2_program_free(alone);
        re2_program_free(plain);
        matcher_free(m);
    }
    buf_fini(&pattern);
    buf_fini(&anchored);
    assert_true(valid > 6000);
    assert_true(literal > 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_compares_bytes),
        cmocka_unit_test(test_regex_is_anchored_and_dot_matches_newline),
        cmocka_unit_test(test_missing_label_is_the_empty_string_for_all_four),
        cmocka_unit_test(test_literals_and_prefix_are_found),
        cmocka_unit_test(test_escapes_mean_what_re2_says),
        cmocka_unit_test(test_literals_of_equal_are_its_value),
        cmocka_unit_test(test_long_alternations_are_looked_up),
        cmocka_unit_test(test_twenty_thousand_names_need_no_program),
        cmocka_unit_test(test_large_products_are_left_to_re2),
        cmocka_unit_test(test_byte_escape_is_refused_at_every_position),
        cmocka_unit_test(test_invalid_regex_says_what_re2_says),
        cmocka_unit_test(test_an_invalid_matcher_is_refused),
        cmocka_unit_test(test_values_may_be_any_bytes),
        cmocka_unit_test(test_every_refused_allocation_is_an_error),
        cmocka_unit_test(test_random_patterns_mean_what_re2_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
