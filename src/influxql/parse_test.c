/* parse_test.c - statements that are refused, and limits of those that are not. */
#include "lib/test.h"

#include "influxql/tree.h"

static struct arena arena;
static struct statements statements;
static struct why why;

static enum err
parse(const char *text)
{
    arena_reset(&arena);
    enum err e = influxql_parse(bytes_of_text(text), &arena, NULL, &statements, &why);
    statements_free(&statements);
    return e;
}

static int
setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

UNIT_TEST(test_a_malformed_statement_is_refused_with_its_place)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "found EOF, expected SELECT, SHOW, CREATE at line 1, char 1"},
        {"SELECT", "found EOF, expected identifier, string, number, bool at line 1, char 7"},
        {"SELECT a", "found EOF, expected FROM at line 1, char 9"},
        {"SELECT a\nFROM", "found EOF, expected identifier at line 2, char 5"},
        {"SELECT a FROM b WHERE", "expected identifier, string, number, bool at line 1, char 22"},
        {"SELECT a FROM b GROUP BY time(x)", "found 'x', expected duration at line 1, char 31"},
        {"SELECT a FROM b LIMIT x", "found 'x', expected integer at line 1, char 23"},
        {"SELECT a FROM b c", "found 'c', expected ;, EOF at line 1, char 17"},
        {"SELECT a FROM (SELECT b FROM c", "found EOF, expected ) at line 1, char 31"},
        {"SELECT 'a FROM b", "expected a name, a number or a text"},
        {"SELECT a FROM b WHERE c =~ 'd", "expected a name, a number or a text"},
        {"SHOW TAG VALUES", "found EOF, expected with at line 1, char 16"},
        {"EXPLODE", "found 'EXPLODE', expected SELECT, SHOW, CREATE at line 1, char 1"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].text), ERR_INPUT);
        if (strstr(why.text, cases[i].sentence) == NULL)
            fail_msg("%s: %s", cases[i].text, why.text);
    }
}

UNIT_TEST(test_statements_that_are_not_answered_are_refused_by_name)
{
    static const char *const texts[] = {
        "DROP MEASUREMENT m", "SELECT a INTO b FROM c", "SHOW QUERIES",
        "CREATE USER u",      "DELETE FROM m",          "GRANT ALL TO u",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(parse(texts[i]), ERR_UNSUPPORTED);
        if (strstr(why.text, "not supported") == NULL) fail_msg("%s: %s", texts[i], why.text);
    }
}

/* Parses `begin`, `part` so many times, and `end`. */
static enum err
parse_many(const char *begin, const char *part, unsigned count, const char *end)
{
    struct buf text;
    buf_init(&text, NULL, 64 << 20);
    buf_put_text(&text, begin);
    for (unsigned i = 0; i < count; i++)
        buf_put_text(&text, part);
    buf_put_text(&text, end);
    buf_put_u8(&text, '\0');
    assert_int_equal(buf_error(&text), OK);
    enum err e = parse((const char *)text.at);
    buf_fini(&text);
    return e;
}

UNIT_TEST(test_statements_that_nest_too_deep_are_refused)
{
    static const struct {
        const char *begin, *part, *end;
    } cases[] = {
        {"SELECT ", "(", "a"},         {"SELECT ", "- ", "a FROM m"},
        {"SELECT a", "+a", " FROM m"}, {"SELECT a FROM m WHERE a > 1", " AND a > 1", ""},
        {"SELECT ", "f(", "a"},        {"SELECT a FROM ", "(SELECT a FROM ", "m"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum err e = parse_many(cases[i].begin, cases[i].part, 500000, cases[i].end);
        if (e != ERR_LIMIT) fail_msg("%s: %s", cases[i].part, err_word(e));
    }
    assert_int_equal(parse_many("SELECT a", ",a", 20000, " FROM m"), ERR_LIMIT);
    assert_int_equal(parse_many("SELECT a", "+a", 900, " FROM m"), OK);
}

UNIT_TEST(test_a_refused_allocation_is_an_error)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        arena_fini(&arena);
        mem_fail_nth(n, false);
        enum err e = parse("SELECT mean(a) AS b, /x/ FROM m WHERE c =~ /d/ GROUP BY e, time(1m)");
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_true(fired ? e == ERR_NOMEM : e == OK);
        assert_true(n < 1000);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(test_a_malformed_statement_is_refused_with_its_place),
        CASE(test_statements_that_are_not_answered_are_refused_by_name),
        CASE(test_statements_that_nest_too_deep_are_refused),
        CASE(test_a_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
