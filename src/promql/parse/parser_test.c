/*
 * parser_test.c - expressions are read, checked and printed as by Prometheus. Prometheus 3.5.3
 * gives these answers, as far as it has the function (tests/e2e/promql_results.sh compares
 * thousands more).
 */
#include "lib/test.h"

#include "base/mem.h"
#include "promql/parse/tree.h"

struct written {
    const char *query;
    const char *text;
};

static const struct written lines[] = {
    {"1", "1"},
    {"1.5e3", "1500"},
    {"0x1F", "31"},
    {"010", "8"},
    {"08", "8"},
    {"1_000", "1000"},
    {"Inf", "+Inf"},
    {"-Inf", "-Inf"},
    {"NaN", "NaN"},
    {"5m", "5m"},
    {"1h30m", "1h30m"},
    {"-5m", "-5m"},
    {"2 ^ -1", "2 ^ -1"},
    {"-2^2", "-2 ^ 2"},
    {"- foo", "-foo"},
    {"-(foo)", "-(foo)"},
    {"+foo", "+foo"},
    {"\"a string\"", "\"a string\""},
    {"'it\\'s'", "\"it's\""},
    {"`raw\\n`", "\"raw\\\\n\""},
    {"foo", "foo"},
    {"foo{}", "foo"},
    {"{foo=\"bar\"}", "{foo=\"bar\"}"},
    {"{\"foo.bar\"}", "{__name__=\"foo.bar\"}"},
    {"{\"foo.bar\", a=\"b\"}", "{__name__=\"foo.bar\",a=\"b\"}"},
    {"{\"foo.bar\", \"l.x\"=~\"y\"}", "{\"l.x\"=~\"y\",__name__=\"foo.bar\"}"},
    {"foo{a=\"b\",}", "foo{a=\"b\"}"},
    {"foo{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h\"}", "foo{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h\"}"},
    {"foo[5m]", "foo[5m]"},
    {"foo[5m:1m]", "foo[5m:1m]"},
    {"foo[5m:]", "foo[5m:]"},
    {"foo[5m] offset 1h", "foo[5m] offset 1h"},
    {"foo[5m] offset -1h", "foo[5m] offset -1h"},
    {"foo offset 5m", "foo offset 5m"},
    {"foo @ 123", "foo @ 123.000"},
    {"foo @ 123.456", "foo @ 123.456"},
    {"foo @ start()", "foo @ start()"},
    {"foo @ end() offset 3m", "foo @ end() offset 3m"},
    {"foo[5m] @ 12", "foo[5m] @ 12.000"},
    {"foo[5m:1m] @ end() offset -1d", "foo[5m:1m] @ end() offset -1d"},
    {"sum(foo)", "sum(foo)"},
    {"sum by (a) (foo)", "sum by (a) (foo)"},
    {"sum(foo) by (a,b)", "sum by (a, b) (foo)"},
    {"sum without (a) (foo)", "sum without (a) (foo)"},
    {"sum without () (foo)", "sum without () (foo)"},
    {"sum by () (foo)", "sum(foo)"},
    {"topk(5, foo)", "topk(5, foo)"},
    {"count_values(\"x\", foo)", "count_values(\"x\", foo)"},
    {"quantile(0.9, foo) by (z)", "quantile by (z) (0.9, foo)"},
    {"a + b * c ^ d", "a + b * c ^ d"},
    {"a and b or c unless d", "a and b or c unless d"},
    {"a == bool b", "a == bool b"},
    {"a > bool 1", "a > bool 1"},
    {"a * on(x) group_left(y) b", "a * on (x) group_left (y) b"},
    {"a * ignoring(x) group_right b", "a * ignoring (x) group_right () b"},
    {"a atan2 b", "a atan2 b"},
    {"rate(foo[5m])", "rate(foo[5m])"},
    {"histogram_quantile(0.9, sum by (le) (rate(foo_bucket[5m])))",
     "histogram_quantile(0.9, sum by (le) (rate(foo_bucket[5m])))"},
    {"label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")",
     "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")"},
    {"default_rollup(foo{a=\"b\"}[3600s])", "last_over_time(foo{a=\"b\"}[1h])"},
    {"time()", "time()"},
    {"sum by (\"foo.bar\") (x)", "sum by (\"foo.bar\") (x)"},
    {"sum by (foo:bar) (x)", "sum by (\"foo:bar\") (x)"},
    {"sum by (sum, by, on) (x)", "sum by (sum, by, on) (x)"},
    {"foo[5m + 1m]", "foo[5m + 1m]"},
    {"foo[(5m + 1m) * 2]", "foo[(5m + 1m) * 2]"},
    {"foo[step()]", "foo[step()]"},
    {"foo[step() + 1m:step()]", "foo[step() + 1m:step()]"},
    {"foo[min_of(step(), 5m)]", "foo[min_of(step(), 5m)]"},
    {"foo offset (5m + 1m)", "foo offset (5m + 1m)"},
    {"foo offset step()", "foo offset step()"},
    {"foo offset -min_of(1m, 2m)", "foo offset -min_of(1m, 2m)"},
    {"foo offset (5)", "foo offset 5s"},
    {"foo offset -(5m)", "foo offset -5m"},
    {"foo offset +((5))", "foo offset 5s"},
    {"foo[(5m):((1))]", "foo[5m:1s]"},
    {"foo[5m + (1)]", "foo[5m + 1]"},
    {"foo offset +(5m + 1m)", "foo offset (5m + 1m)"},
    {"foo offset -(5m + 1m) - bar", "foo offset -(5m + 1m) - bar"},
    {"foo offset step() - bar", "foo offset step() - bar"},
    {"foo offset -5 - bar", "foo offset -5s - bar"},
    {"foo offset - -5", "foo offset 5s"},
    {"foo offset (5m + 1) * 100", "foo offset (5m + 1) * 100"},
    {"foo offset (5) - 3", "foo offset (5 - 3)"},
    {"foo offset - -5 * 3", "foo offset (5 * 3)"},
    {"foo offset - -step() ^ 2", "foo offset (--step() ^ 2)"},
    {"foo offset + -(5 + 1) ^ 2", "foo offset (-(5 + 1) ^ 2)"},
    {"foo offset - -(5 + 1) / 2", "foo offset (--(5 + 1) / 2)"},
    {"foo offset - -step()", "foo offset --step()"},
    {"foo offset (step()) == 5", "foo offset (step()) == 5"},
    {"{\"\"=\"0\"}", "{\"\"=\"0\"}"},
    {"foo{\"\"=~\"x.*\"}", "foo{\"\"=~\"x.*\"}"},
    {"foo[5m ^ 2]", "foo[5m ^ 2]"},
    {"foo offset 1", "foo offset 1s"},
    {"foo[1.5]", "foo[1s500ms]"},
    {"sum", "sum"},
    {"by", "by"},
    {"start", "start"},
    {"end", "end"},
    {"start()", "start()"},
    {"1 > bool 2", "1 > bool 2"},
    {"rate(foo[5m])[10m:]", "rate(foo[5m])[10m:]"},
    {"{__name__=\"x\"}", "{__name__=\"x\"}"},
    {"{__name__=~\"x\"}", "{__name__=~\"x\"}"},
    {"foo # comment", "foo"},
    {"1y1w1d1h1m1s1ms", "373d1h1m1s1ms"},
    {"clamp(foo, 1, 2)", "clamp(foo, 1, 2)"},
    {"round(foo)", "round(foo)"},
    {"day_of_week()", "day_of_week()"},
    {"info(foo)", "info(foo)"},
    {"info(foo, {a=\"b\"})", "info(foo, {a=\"b\"})"},
    {"info(foo, {})", "info(foo, {})"}, /* Prometheus prints "info(foo, )", which it cannot read */
    {"absent(foo)", "absent(foo)"},
    {"vector(1)", "vector(1)"},
    {"scalar(foo)", "scalar(foo)"},
    {"pi()", "pi()"},
    {"sort_by_label(foo, \"a\", \"b\")", "sort_by_label(foo, \"a\", \"b\")"},
    {"sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m])) by (job, handler, instance)",
     "sum by (job, handler, instance) (\n  rate(\n    "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n  )\n)"},
    {"sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m])) by (job, handler, instance) / on(job, "
     "handler) group_left(foo) sum(rate(http_requests_total{job=\"other-server\"}[5m])) by (job, "
     "handler)",
     "  sum by (job, handler, instance) (\n    rate(\n      "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n    )\n  )\n/ on (job, handler) group_left "
     "(foo)\n  sum by (job, handler) (rate(http_requests_total{job=\"other-server\"}[5m]))"},
    {"-sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m]) + foo)",
     "-sum(\n    rate(\n      "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n    )\n  +\n    foo\n)"},
    {"(sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m]) + foo))",
     "(\n  sum(\n      rate(\n        "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n      )\n    +\n      foo\n  )\n)"},
    {"topk(5, sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m]) + foo))",
     "topk(\n  5,\n  sum(\n      rate(\n        "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n      )\n    +\n      foo\n  )\n)"},
    {"max_over_time(sum(rate(http_requests_total{job=\"api-server-with-long-name\", "
     "handler=\"/api/comments/with/a/long/path\"}[5m]) + foo)[1h:5m] offset 3d)",
     "max_over_time(\n  sum(\n      rate(\n        "
     "http_requests_total{handler=\"/api/comments/with/a/long/"
     "path\",job=\"api-server-with-long-name\"}[5m]\n      )\n    +\n      foo\n  )[1h:5m] offset "
     "3d\n)"},
    {"1e100", "100000000000000000000000000000000000000000000000000000000000000000000000000000000000"
              "00000000000000000"},
    {"1e-10", "0.0000000001"},
    {"0.000000123", "0.000000123"},
    {"123456789012345678901234567890", "123456789012345680000000000000"},
    {"foo[5m]offset 1w", "foo[5m] offset 1w"},
    {"sum(foo)by(a)", "sum by (a) (foo)"},
    {"SUM(foo) BY (a)", "sum by (a) (foo)"},
    {"foo OFFSET 5m", "foo offset 5m"},
    {"foo AND bar", "foo and bar"},
    {"foo{a='b'}", "foo{a=\"b\"}"},
    {"foo{a=`b`}", "foo{a=\"b\"}"},
    {"1 + 2 / (3 * 1)", "1 + 2 / (3 * 1)"},
    {"foo > bool bar == 2", "foo > bool bar == 2"},
    {"foo or bar and baz", "foo or bar and baz"},
    {"a:b:c", "a:b:c"},
    {":foo", ":foo"},
    {"_x", "_x"},
    {"a </ 5", "a </ 5"},
    {"a >/ b + c", "a >/ b + c"},
    {"foo + on(a) fill(0) bar", "foo + on (a) fill (0) bar"},
    {"foo + fill_left(1) fill_right(2) bar", "foo + fill_left (1) fill_right (2) bar"},
    {"foo * on(a) group_left(b) fill_right(-1) bar",
     "foo * on (a) group_left (b) fill_right (-1) bar"},
    {"fill + fill", "fill + fill"},
    {"rate(foo[5m] anchored)", "rate(foo[5m] anchored)"},
    {"foo smoothed", "foo smoothed"},
    {"foo[range()]", "foo[range()]"},
    {"foo offset range()", "foo offset range()"},
    {"start() + end() - step()", "start() + end() - step()"},
    {"{\"a\\u00e9\"}", "{__name__=\"aé\"}"},
    {"foo{a=\"\\n\\t\\u00e9\"}", "foo{a=\"\\n\\té\"}"},
};

static const struct written errors[] = {
    {"foo[-5m]", "1:5: parse error: duration must be greater than 0"},
    {"foo[0]", "1:5: parse error: duration must be greater than 0"},
    {"foo[1/0]", "1:6: parse error: division by zero"},
    {"foo[5m % 0]", "1:8: parse error: modulo by zero"},
    {"foo + ", "1:7: parse error: unexpected end of input"},
    {"foo bar", "1:5: parse error: unexpected identifier \"bar\""},
    {"sum foo", "1:5: parse error: unexpected identifier \"foo\""},
    {"sum by foo",
     "1:8: parse error: unexpected identifier \"foo\" in grouping opts, expected \"(\""},
    {"on", "1:1: parse error: unexpected <on>"},
    {"bool", "1:1: parse error: unexpected <bool>"},
    {"atan2", "1:1: parse error: unexpected <op:atan2>"},
    {"foo{", "1:5: parse error: unexpected end of input inside braces"},
    {"foo 12345678.90", "1:5: parse error: unexpected number \"12345678.9\"..."},
    {"foo \"123\u00e4\u00e4\u00e48901\"",
     "1:5: parse error: unexpected string \"\\\"123\u00e4\u00e4\u00e4890\"..."},
    {"foo}", "1:4: parse error: unexpected character: '}'"},
    {"foo{a}",
     "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator"},
    {"foo{a=b}",
     "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"},
    {"foo{\"a\"", "1:8: parse error: unexpected end of input inside braces"},
    {"foo{a=\"b\" c=\"d\"}",
     "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""},
    {"foo{,}",
     "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
    {"foo(", "1:5: parse error: unclosed left parenthesis"},
    {"default_rollup(foo)", "1:16: parse error: expected type range vector in call to function "
                            "\"last_over_time\", got instant vector"},
    {"unknown(foo)", "1:1: parse error: unknown function with name \"unknown\""},
    {"rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", got "
                  "instant vector"},
    {"rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
    {"sum(1)",
     "1:5: parse error: expected type instant vector in aggregation expression, got scalar"},
    {"sum()", "1:1: parse error: no arguments for aggregate expression provided"},
    {"sum(a,b)", "1:1: parse error: wrong number of arguments for aggregate expression provided, "
                 "expected 1, got 2"},
    {"topk(foo)", "1:1: parse error: wrong number of arguments for aggregate expression provided, "
                  "expected 2, got 1"},
    {"foo offset", "1:11: parse error: unexpected end of input in offset, expected number, "
                   "duration, step(), or range()"},
    {"foo offset x", "1:12: parse error: unexpected identifier \"x\" in offset, expected number, "
                     "duration, step(), or range()"},
    {"foo offset (step()) - bar",
     "1:23: parse error: unexpected identifier \"bar\" in offset, expected number, duration, "
     "step(), or range()"},
    {"foo offset (5m) * on (a) bar",
     "1:19: parse error: unexpected <on> in offset, expected number, duration, step(), or "
     "range()"},
    {"foo offset - -5 - bar",
     "1:19: parse error: unexpected identifier \"bar\" in offset, expected number, duration, "
     "step(), or range()"},
    {"{\"\"=\"\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"foo @", "1:6: parse error: unexpected end of input in @, expected timestamp"},
    {"foo @ x", "1:7: parse error: unexpected identifier \"x\" in @, expected timestamp"},
    {"foo[", "1:5: parse error: unexpected end of input in duration expression"},
    {"foo[]", "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, "
              "duration, step(), or range()"},
    {"foo[5m", "1:7: parse error: unclosed left bracket"},
    {"foo[5m:1m", "1:10: parse error: unclosed left bracket"},
    {"foo[x]", "1:5: parse error: unexpected character in duration expression: 'x'"},
    {"foo[5m]]", "1:8: parse error: unexpected right bracket ']'"},
    {"foo)", "1:5: parse error: unexpected right parenthesis ')'"},
    {"(foo", "1:5: parse error: unclosed left parenthesis"},
    {"()", "1:2: parse error: unexpected \")\""},
    {"1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
    {"foo and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
    {"1 or 2", "1:1: parse error: set operator \"or\" not allowed in binary scalar expression"},
    {"foo + on(a) 1", "1:1: parse error: vector matching only allowed between instant vectors"},
    {"foo * on(a) group_left(a) bar",
     "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once"},
    {"foo and on(a) group_left(b) bar",
     "1:1: parse error: no grouping allowed for \"and\" operation"},
    {"\"a\" + 1",
     "1:1: parse error: binary expression must contain only scalar and instant vector types"},
    {"foo + \"a\"",
     "1:7: parse error: binary expression must contain only scalar and instant vector types"},
    {"-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or "
               "instant vector, got \"string\""},
    {"foo[5m] + 1",
     "1:1: parse error: binary expression must contain only scalar and instant vector types"},
    {"(foo + bar)[5m]", "1:12: parse error: ranges only allowed for vector selectors"},
    {"foo offset 5m [5m]", "1:15: parse error: no offset modifiers allowed before range"},
    {"foo @ 5 [5m]", "1:9: parse error: no @ modifiers allowed before range"},
    {"foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors"},
    {"foo[5m:1m][5m:1m]",
     "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"},
    {"1 offset 5m", "1:1: parse error: offset modifier must be preceded by an instant vector "
                    "selector or range vector selector or a subquery"},
    {"1 @ 5", "1:1: parse error: @ modifier must be preceded by an instant vector selector or "
              "range vector selector or a subquery"},
    {"foo offset 5m offset 6m", "1:1: parse error: offset may not be set multiple times"},
    {"foo @ 5 @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"},
    {"foo{__name__=\"x\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"x\""},
    {"{a=~\".*\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"foo{a=~\"(\"}", "1:5: parse error: error parsing regexp: missing closing ): `(`"},
    {"foo{a=~\"*\"}",
     "1:5: parse error: error parsing regexp: missing argument to repetition operator: `*`"},
    {"foo{a=~\"[a\"}", "1:5: parse error: error parsing regexp: missing closing ]: `[a`"},
    {"foo{a=~\"a**\"}",
     "1:5: parse error: error parsing regexp: invalid nested repetition operator: `**`"},
    {"foo{a=~\"\\\\\"}",
     "1:5: parse error: error parsing regexp: trailing backslash at end of expression: ``"},
    {"\"abc", "1:1: parse error: unterminated quoted string"},
    {"'abc", "1:1: parse error: unterminated quoted string"},
    {"`abc", "1:1: parse error: unterminated raw string"},
    {"\"a\\qb\"", "1:1: parse error: unknown escape sequence U+0071 'q'"},
    {"\"\\xzz\"", "1:1: parse error: illegal character U+007A 'z' in escape sequence"},
    {"\"\\u12\"", "1:1: parse error: illegal character U+0022 '\"' in escape sequence"},
    {"\"\\ud800\"", "1:1: parse error: escape sequence is an invalid Unicode code point"},
    {"# only comment", "1:1: parse error: no expression found in input"},
    {"foo =~ bar", "1:5: parse error: unexpected character after '=': '~'"},
    {"foo = bar", "1:5: parse error: unexpected \"=\""},
    {"foo ! bar", "1:5: parse error: unexpected character after '!': ' '"},
    {"foo !~ bar", "1:5: parse error: unexpected character after '!': '~'"},
    {"foo $ bar", "1:5: parse error: unexpected character: '$'"},
    {"5x", "1:1: parse error: bad number or duration syntax: \"5\""},
    {"5m3x", "1:1: parse error: bad number or duration syntax: \"5m3\""},
    {"1.2.3", "1:1: parse error: bad number or duration syntax: \"1.2.\""},
    {"0x",
     "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"},
    {"1e", "1:1: parse error: bad number or duration syntax: \"1e\""},
    {"1__0", "1:1: parse error: bad number or duration syntax: \"1__\""},
    {"1_", "1:1: parse error: bad number or duration syntax: \"1_\""},
    {"5mm", "1:1: parse error: bad number or duration syntax: \"5mm\""},
    {"1s1m", "1:1: parse error: not a valid duration string: \"1s1m\""},
    {"round(foo, 1, 2)",
     "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"},
    {"day_of_week(foo, bar)",
     "1:1: parse error: expected at most 1 argument(s) in call to \"day_of_week\", got 2"},
    {"label_join(foo, \"a\")",
     "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"},
    {"info(foo, bar)",
     "1:11: parse error: expected label selectors only, got vector selector instead"},
    {"info(foo, 1)",
     "1:1: parse error: expected type instant vector in call to function \"info\", got scalar"},
    {"1e400", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": "
              "value out of range"},
    {"foo @ 1e30", "1:1: parse error: timestamp out of bounds for @ modifier: "
                   "1000000000000000019884624838656.000000"},
    {"foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
    {"foo @ NaN", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"},
    {"f(a,)", "1:4: parse error: trailing commas not allowed in function call args"},
    {"rate(a,,b)", "1:7: parse error: trailing commas not allowed in function call args"},
    {"rate(foo[5m] smoothed) offset 1m",
     "1:1: parse error: offset modifier must be preceded by an instant vector selector or range "
     "vector selector or a subquery"},
    {"foo anchored smoothed",
     "1:1: parse error: anchored and smoothed modifiers cannot be used together"},
    {"foo[5m:1m] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"},
    {"foo and fill(1) bar",
     "1:1: parse error: filling in missing series not allowed for set operators"},
    {"1 + fill(1) foo",
     "1:1: parse error: filling in missing series only allowed between instant vectors"},
    {"sum(foo) + fill(1x) bar", "1:17: parse error: bad number or duration syntax: \"1\""},
};

static void
parse(const char *query, enum err wanted, struct promql_tree **ret_tree, struct buf *error)
{
    buf_init(error, NULL, 1 << 20);
    enum err e = promql_parse(bytes_of_text(query), NULL, NULL, ret_tree, error);
    if (e == OK) tree_validate(*ret_tree);
    if (e != wanted) print_error("%s: %.*s\n", query, (int)error->size, (const char *)error->at);
    assert_int_equal(e, wanted);
}

static void
check_text(const char *query, const struct buf *got, const char *wanted)
{
    if (!bytes_equal_text(buf_bytes(got), wanted)) {
        print_error("%s\n  is    %.*s\n  wants %s\n", query, (int)got->size, (const char *)got->at,
                    wanted);
    }
    assert_true(bytes_equal_text(buf_bytes(got), wanted));
}

UNIT_TEST(test_an_expression_is_printed_as_prometheus_prints_it)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct promql_tree *tree;
        struct buf error, text;
        parse(lines[i].query, OK, &tree, &error);
        buf_init(&text, NULL, 1 << 20);
        tree_print_pretty(tree->root, &text);
        check_text(lines[i].query, &text, lines[i].text);
        promql_free(tree);
        buf_fini(&text);
        buf_fini(&error);
    }
}

UNIT_TEST(test_a_printed_expression_parses_to_the_same_tree)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct promql_tree *tree, *again;
        struct buf error, text, text_again;
        parse(lines[i].query, OK, &tree, &error);
        buf_fini(&error);
        buf_init(&text, NULL, 1 << 20);
        buf_init(&text_again, NULL, 1 << 20);
        tree_print(tree->root, &text);
        buf_put_u8(&text, '\0');
        text.size--;
        parse((const char *)text.at, OK, &again, &error);
        tree_print(again->root, &text_again);
        check_text(lines[i].query, &text_again, (const char *)text.at);
        promql_free(tree);
        promql_free(again);
        buf_fini(&text);
        buf_fini(&text_again);
        buf_fini(&error);
    }
}

UNIT_TEST(test_a_tree_keeps_the_plus_of_an_offset_that_is_a_word)
{
    static const struct {
        const char *query, *offset;
    } cases[] = {
        {"foo offset +step()", "\"offsetExpr\":{\"lhs\":null,\"op\":\"+\",\"rhs\":{\"lhs\":null,"
                               "\"op\":\"step\",\"rhs\":null,"
                               "\"type\":\"durationExpr\",\"wrapped\":false},\"type\":"
                               "\"durationExpr\",\"wrapped\":false}"},
        {"foo offset +range()", "\"offsetExpr\":{\"lhs\":null,\"op\":\"+\",\"rhs\":{"},
        {"foo offset +min_of(1m, 2m)", "\"offsetExpr\":{\"lhs\":null,\"op\":\"+\",\"rhs\":{"},
        {"foo offset -step()", "\"offsetExpr\":{\"lhs\":null,\"op\":\"-\",\"rhs\":{"},
        {"foo offset +(step())", "\"offsetExpr\":{\"lhs\":null,\"op\":\"step\","},
        {"foo[+step()]", "\"rangeExpr\":{\"lhs\":null,\"op\":\"step\","},
        {"foo offset (5)", "\"offset\":5000,\"offsetExpr\":null"},
        {"+foo", "\"op\":\"+\",\"type\":\"unaryExpr\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct promql_tree *tree;
        struct buf error, text;
        parse(cases[i].query, OK, &tree, &error);
        buf_init(&text, NULL, 1 << 20);
        tree_print_json(tree->root, &text);
        buf_put_u8(&text, '\0');
        if (strstr((const char *)text.at, cases[i].offset) == NULL)
            fail_msg("%s: no %s in %s", cases[i].query, cases[i].offset, (const char *)text.at);
        promql_free(tree);
        buf_fini(&text);
        buf_fini(&error);
    }
}

UNIT_TEST(test_errors_have_the_words_of_prometheus)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct promql_tree *tree;
        struct buf error;
        parse(errors[i].query, ERR_INPUT, &tree, &error);
        check_text(errors[i].query, &error, errors[i].text);
        buf_fini(&error);
    }
}

/* Appends `count` times `open`, the inside, and as many times `close`. */
static void
nest(struct buf *to, unsigned count, const char *open, const char *inside, const char *close)
{
    for (unsigned i = 0; i < count; i++)
        buf_put_text(to, open);
    buf_put_text(to, inside);
    for (unsigned i = 0; i < count; i++)
        buf_put_text(to, close);
}

UNIT_TEST(test_an_expression_that_nests_too_deeply_is_refused_early)
{
    static const struct {
        const char *open, *inside, *close;
        unsigned fine, refused;
    } cases[] = {
        {"(", "a", ")", TREE_NESTING_MAX - 1, TREE_NESTING_MAX},
        {"-", "a", "", TREE_NESTING_MAX - 1, 1 << 20},
        {"sum(", "a", ")", TREE_NESTING_MAX - 1, 1 << 19},
        {"", "a", "+a", TREE_DEPTH_MAX - 1, TREE_DEPTH_MAX},
        {"", "a", " or a", TREE_DEPTH_MAX - 1, 1 << 20},
        {"a^", "a", "", TREE_NESTING_MAX - 1, 1 << 20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct promql_tree *tree = NULL;
            struct buf text, error;
            buf_init(&text, NULL, TREE_TEXT_BYTES_MAX);
            buf_init(&error, NULL, 1 << 20);
            nest(&text, k == 0 ? cases[i].fine : cases[i].refused, cases[i].open, cases[i].inside,
                 cases[i].close);
            enum err e = promql_parse(buf_bytes(&text), NULL, NULL, &tree, &error);
            assert_int_equal(e, k == 0 ? OK : ERR_LIMIT);
            promql_free(tree);
            buf_fini(&text);
            buf_fini(&error);
        }
    }
}

UNIT_TEST(test_whichever_allocation_fails_nothing_is_lost)
{
    static const char query[] =
        "sum by (a, b) (rate(x{c=~\"d.*\"}[5m + step()])) / on (a) group_left (c) y > bool \"\\n\"";
    for (uint64_t nth = 1;; nth++) {
        struct budget budget;
        struct promql_tree *tree = NULL;
        struct buf error;
        budget_init(&budget, "test", 0, NULL);
        buf_init(&error, NULL, 1 << 20);
        mem_fail_nth(nth, false);
        enum err e = promql_parse(bytes_of_text(query), &budget, NULL, &tree, &error);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_null(tree);
        assert_int_equal(budget_used(&budget), 0);
        buf_fini(&error);
        if (!fired) {
            assert_int_equal(e, ERR_INPUT);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
    }
}

static void
repeat(struct buf *to, const char *begin, const char *text, uint32_t count, const char *end)
{
    buf_init(to, NULL, 8 << 20);
    buf_put_text(to, begin);
    for (uint32_t i = 0; i < count; i++)
        buf_put_text(to, text);
    buf_put_text(to, end);
}

UNIT_TEST(test_reading_ends_when_the_query_has_to)
{
    static const char why[] = "query canceled: by a test";
    struct query_control control = {.env = NULL};
    struct budget budget;
    struct promql_tree *tree = NULL;
    struct buf text, error;
    atomic_store(&control.canceled, why);
    budget_init(&budget, "test", 0, NULL);
    repeat(&text, "a", " + a", 4000, "");
    buf_init(&error, NULL, 1 << 20);
    assert_int_equal(promql_parse(buf_bytes(&text), &budget, &control, &tree, &error),
                     ERR_CANCELED);
    assert_true(bytes_equal_text(buf_bytes(&error), why));
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&error);
    buf_fini(&text);
}

UNIT_TEST(test_a_list_has_no_more_items_than_it_may_have)
{
    static const char *const lists[][3] = {{"sum by (", "a,", "b) (x)"},
                                           {"label_join(x, \"y\", \"-\", ", "\"a\",", "\"b\")"},
                                           {"x{", "a=\"b\",", "}"}};
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct promql_tree *tree;
        struct buf text, error;
        repeat(&text, lists[i][0], lists[i][1], TREE_LIST_MAX, lists[i][2]);
        buf_init(&error, NULL, 1 << 20);
        assert_int_equal(promql_parse(buf_bytes(&text), NULL, NULL, &tree, &error), ERR_LIMIT);
        assert_true(
            bytes_equal_text(buf_bytes(&error), "expression has a list of more than 65536 items"));
        buf_fini(&error);
        buf_fini(&text);
    }
}

UNIT_TEST(test_regexes_of_selectors_are_charged_to_the_budget)
{
    struct budget budget;
    struct promql_tree *tree = NULL;
    struct buf text, error;
    budget_init(&budget, "test", 4 << 20, NULL);
    repeat(&text, "a", " or a{b=~\"x.*[0-9]y\"}", 100, "");
    buf_init(&error, NULL, 1 << 20);
    assert_int_equal(promql_parse(buf_bytes(&text), &budget, NULL, &tree, &error), ERR_NOMEM);
    assert_int_equal(budget_used(&budget), 0);
    atomic_store(&budget.limit_bytes, 64 << 20);
    assert_int_equal(promql_parse(buf_bytes(&text), &budget, NULL, &tree, &error), OK);
    assert_true(budget_used(&budget) > 100 * 100 * 1024);
    promql_free(tree);
    assert_int_equal(budget_used(&budget), 0);
    buf_fini(&error);
    buf_fini(&text);
}

/* --- alternatives ----------------------------------------------------------------------------- */

/* Prints the sets of matchers, or the error. */
static void
print_alternatives(const char *text, struct buf *to)
{
    struct promql_tree *tree;
    if (promql_parse_alternatives(bytes_of_text(text), NULL, NULL, &tree, to) == OK) {
        for (uint32_t i = 0; i < tree->set_count; i++) {
            buf_put_text(to, i == 0 ? "{" : " or {");
            for (uint32_t k = 0; k < tree->sets[i].count; k++) {
                const struct matcher *m = tree->sets[i].matchers[k];
                if (k > 0) buf_put_u8(to, ',');
                buf_put_bytes(to, matcher_name(m));
                buf_put_u8(to, '=');
                buf_put_bytes(to, matcher_pattern(m));
            }
            buf_put_text(to, "}");
        }
        promql_free(tree);
    }
    buf_put_u8(to, '\0');
}

UNIT_TEST(test_alternatives_are_sets_to_which_the_name_belongs)
{
    static const struct written cases[] = {
        {"{a=\"1\" or b=\"2\"}", "{a=1} or {b=2}"},
        {"up{a=\"1\",c=\"3\" OR b=\"2\" or a=\"4\",}",
         "{a=1,c=3,__name__=up} or {b=2,__name__=up} or "
         "{a=4,__name__=up}"},
        {"up", "{__name__=up}"},
        {"{a=\"1\"}", "{a=1}"},
        {"{}", "{}"},
        {"{or=\"1\" or or=\"2\",or=\"3\"}", "{or=1} or {or=2,or=3}"},
        {"{\"up\" or \"down\"}", "{__name__=up} or {__name__=down}"},
        {"{a=\"1\" or}",
         "1:10: parse error: unexpected \"}\" in label matching, expected identifier"},
        {"{or a=\"1\"}",
         "1:5: parse error: unexpected identifier \"a\" in label matching, expected "
         "label matching operator"},
        {"{a=\"1\", or b=\"2\"}",
         "1:12: parse error: unexpected identifier \"b\" in label matching, "
         "expected label matching operator"},
        {"{a=\"1\" and b=\"2\"}",
         "1:8: parse error: unexpected identifier \"and\" in label matching, "
         "expected \",\" or \"}\""},
        {"{a=\"1\"} or {b=\"2\"}", "1:9: parse error: unexpected <op:or>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text;
        buf_init(&text, NULL, 1 << 16);
        print_alternatives(cases[i].query, &text);
        assert_string_equal((const char *)text.at, cases[i].text);
        buf_fini(&text);
    }
}

UNIT_TEST(test_other_selectors_and_expressions_have_no_alternatives)
{
    static const char text[] = "{a=\"1\" or b=\"2\"}";
    struct promql_tree *tree;
    struct buf error;
    buf_init(&error, NULL, 1 << 16);
    assert_int_equal(promql_parse(bytes_of_text(text), NULL, NULL, &tree, &error), ERR_INPUT);
    assert_int_equal(promql_parse_selector(bytes_of_text(text), NULL, NULL, &tree, &error),
                     ERR_INPUT);
    buf_fini(&error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_expression_is_printed_as_prometheus_prints_it),
        cmocka_unit_test(test_a_printed_expression_parses_to_the_same_tree),
        cmocka_unit_test(test_a_tree_keeps_the_plus_of_an_offset_that_is_a_word),
        cmocka_unit_test(test_errors_have_the_words_of_prometheus),
        cmocka_unit_test(test_an_expression_that_nests_too_deeply_is_refused_early),
        cmocka_unit_test(test_whichever_allocation_fails_nothing_is_lost),
        cmocka_unit_test(test_reading_ends_when_the_query_has_to),
        cmocka_unit_test(test_a_list_has_no_more_items_than_it_may_have),
        cmocka_unit_test(test_regexes_of_selectors_are_charged_to_the_budget),
        cmocka_unit_test(test_alternatives_are_sets_to_which_the_name_belongs),
        cmocka_unit_test(test_other_selectors_and_expressions_have_no_alternatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
