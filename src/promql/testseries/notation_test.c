/* notation_test.c - the notation of series and values in tests. */
#include "lib/test.h"

#include "promql/testseries/notation.h"
#include "wire/number.h"

/* --- small helpers ---------------------------------------------------------------------------- */

struct reading_rig {
    struct arena arena;
    struct buf error;
    struct buf text;
};

static void
rig_init(struct reading_rig *g)
{
    arena_init(&g->arena, NULL, 0, 0);
    buf_init(&g->error, NULL, 1 << 16);
    buf_init(&g->text, NULL, 1 << 20);
}

static void
rig_fini(struct reading_rig *g)
{
    arena_fini(&g->arena);
    buf_fini(&g->error);
    buf_fini(&g->text);
}

static void
put_metric(struct buf *to, const struct notation_metric *metric)
{
    for (uint32_t i = 0; i < metric->count; i++) {
        const struct label *label = &metric->labels[i];
        buf_printf(to, "%s%.*s=%.*s", i > 0 ? "," : "", (int)label->name.size,
                   (const char *)label->name.at, (int)label->value.size,
                   (const char *)label->value.at);
    }
}

static void
put_value(struct buf *to, const struct notation_value *value)
{
    char number[NUMBER_TEXT_BYTES];
    buf_put_u8(to, ' ');
    if (value->kind == NOTATION_NONE)
        buf_put_u8(to, '_');
    else if (value->kind == NOTATION_HISTOGRAM)
        notation_put_histogram(value->histogram, to);
    else
        buf_put(to, number, number_print_exact(value->bits, number));
}

/* Returns the values of "a=b,c=d 1 2 _" from a walk. */
static const char *
walk(struct reading_rig *g, const struct notation *notation)
{
    struct notation_walk w = notation_begin(notation, &g->arena);
    buf_clear(&g->text);
    put_metric(&g->text, &notation->metric);
    for (;;) {
        struct notation_value value;
        bool more;
        assert_int_equal(notation_next(&w, &value, &more), OK);
        if (!more) break;
        put_value(&g->text, &value);
    }
    buf_put_u8(&g->text, 0);
    assert_int_equal(buf_error(&g->text), OK);
    return (const char *)g->text.at;
}

struct read_case {
    const char *text, *becomes;
};

static void
check_read(const struct read_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct reading_rig g;
        struct notation notation;
        rig_init(&g);
        enum err e = notation_parse(bytes_of_text(cases[i].text), 1, &g.arena, &notation, &g.error);
        if (e) print_error("%s: %.*s\n", cases[i].text, (int)g.error.size, (char *)g.error.at);
        assert_int_equal(e, OK);
        assert_string_equal(walk(&g, &notation), cases[i].becomes);
        rig_fini(&g);
    }
}

static void
check_refused(const struct read_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct reading_rig g;
        struct notation notation = {.item_count = 7};
        rig_init(&g);
        enum err e = notation_parse(bytes_of_text(cases[i].text), 2, &g.arena, &notation, &g.error);
        buf_put_u8(&g.error, 0);
        assert_string_equal((const char *)g.error.at, cases[i].becomes);
        assert_int_equal(e, ERR_INPUT);
        assert_int_equal(notation.item_count, 7);
        rig_fini(&g);
    }
}

#define CHECK(what, cases) check_##what(cases, sizeof cases / sizeof *cases)

/* --- metrics ---------------------------------------------------------------------------------- */

UNIT_TEST(test_metrics_are_read_in_all_their_forms)
{
    static const struct read_case cases[] = {
        {"a", "__name__=a"},
        {"a 1", "__name__=a 1"},
        {"a{} 1", "__name__=a 1"},
        {"a:b{c=\"d\"} 1", "__name__=a:b,c=d 1"},
        {"a{z='1', b=`2`,} 1", "__name__=a,b=2,z=1 1"},
        {"{\"a b\", c=\"d\"} 1", "__name__=a b,c=d 1"},
        {"{\"c.d\"=\"e\"} 1", "c.d=e 1"},
        {"sum{by=\"x\"} 1", "__name__=sum,by=x 1"},
        {"{}", ""},
        {"{} 1", " 1"},
        {"", ""},
        {"a{b=\"x\\ty\"}", "__name__=a,b=x\ty"},
        {"{a=\"\"} 1", "a= 1"},
        {"a{b=\"\"} 1", "__name__=a 1"},
        {"a{__name__=\"b\"} 1", "__name__=a 1"},
        {"{a=\"2\",a=\"1\"} 1", "a=1,a=2 1"},
    };
    CHECK(read, cases);
}

UNIT_TEST(test_an_invalid_metric_is_reported_with_its_position)
{
    static const struct read_case cases[] = {
        {"a{ 1", "2:4: parse error: unexpected character inside braces: '1'"},
        {"a{b", "2:4: parse error: unexpected end of input inside braces"},
        {"a{b}",
         "2:4: parse error: unexpected \"}\" in label matching, expected label matching operator"},
        {"a{b=}", "2:5: parse error: unexpected \"}\" in label matching, expected string"},
        {"a{b=~\"c\"}", "2:1: parse error: labels of a series are set by \"=\""},
        {"a{b=\"c\" d=\"e\"}", "2:9: parse error: unexpected identifier \"d\" in label matching, "
                               "expected \",\" or \"}\""},
        {"a{,}",
         "2:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
        {"\"a\" 1", "2:1: parse error: unexpected \"\\\"\" in series values, expected a metric"},
        {"5 1", "2:1: parse error: unexpected number \"5\""},
        {"bool 1", "2:1: parse error: unexpected <bool>"},
        {"a {b=\"c\"} 1", "2:3: parse error: unexpected \"{\" in series values, expected a number"},
        {"a{b=\"\\q\"} 1", "2:5: parse error: unknown escape sequence U+0071 'q'"},
        {"\xc3\xa4 1",
         "2:1: parse error: unexpected \"\xc3\xa4\" in series values, expected a metric"},
    };
    CHECK(refused, cases);
}

UNIT_TEST(test_metrics_alone_end_with_the_text)
{
    static const struct {
        const char *text, *becomes;
        enum err error;
    } cases[] = {
        {"", "", OK},
        {"  ", "", OK},
        {"up", "__name__=up", OK},
        {"up {b=\"c\"} # comment", "__name__=up,b=c", OK},
        {"{b=\"c\",\"up\"}", "__name__=up,b=c", OK},
        {"up{b=\"c\"} 5", "1:11: parse error: unexpected number \"5\"", ERR_INPUT},
        {"up{b=\"c\"}}", "1:10: parse error: unexpected character: '}'", ERR_INPUT},
        {"\"up\"", "1:1: parse error: unexpected string \"\\\"up\\\"\"", ERR_INPUT},
        {"up{\n5}", "2:1: parse error: unexpected character inside braces: '5'", ERR_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading_rig g;
        struct notation_metric metric = {.count = 0};
        rig_init(&g);
        assert_int_equal(
            notation_parse_metric(bytes_of_text(cases[i].text), &g.arena, &metric, &g.error),
            cases[i].error);
        if (cases[i].error == OK) put_metric(&g.error, &metric);
        buf_put_u8(&g.error, 0);
        assert_string_equal((const char *)g.error.at, cases[i].becomes);
        rig_fini(&g);
    }
}

/* --- floats ----------------------------------------------------------------------------------- */

UNIT_TEST(test_repetitions_and_steps_are_walked_through)
{
    static const struct read_case cases[] = {
        {"a 1 2 3", "__name__=a 1 2 3"},
        {"a 1x2", "__name__=a 1 1 1"},
        {"a 1x0", "__name__=a 1"},
        {"a 1+2x3", "__name__=a 1 3 5 7"},
        {"a 1-2x2", "__name__=a 1 -1 -3"},
        {"a -1+0.5x1", "__name__=a -1 -0.5"},
        {"a _ _x2 4", "__name__=a _ _ _ 4"},
        {"a _x0 4", "__name__=a 4"},
        {"a stale", "__name__=a stale"},
        {"a 1 stale 2 ", "__name__=a 1 stale 2"},
        {"a Inf -inf +INF NaN nan", "__name__=a +Inf -Inf +Inf NaN NaN"},
        {"a 010 08 1_000 .5 5. 1e3x1", "__name__=a 8 8 1000 0.5 5 1000 1000"},
        {"a\t1 \t 2\r", "__name__=a 1 2"},
        {"a 0x2", "__name__=a 0 0 0"},
    };
    CHECK(read, cases);
}

UNIT_TEST(test_a_huge_repetition_takes_no_memory)
{
    struct reading_rig g;
    struct notation notation;
    struct notation_value value;
    bool more;
    rig_init(&g);
    assert_int_equal(notation_parse(bytes_of_text("a 1+1x18446744073709551614 _x9999999999999"), 1,
                                    &g.arena, &notation, &g.error),
                     OK);
    assert_int_equal(notation.item_count, 2);
    struct notation_walk w = notation_begin(&notation, &g.arena);
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(notation_next(&w, &value, &more), OK);
        assert_true(more);
        assert_true(bits_double(value.bits) == i);
    }
    assert_true(g.arena.used_bytes < 1 << 20);
    assert_int_equal(
        notation_parse(bytes_of_text("a 5x18446744073709551615"), 1, &g.arena, &notation, &g.error),
        OK);
    assert_true(notation.items[0].count == UINT64_MAX);
    rig_fini(&g);
}

UNIT_TEST(test_an_invalid_value_is_reported_with_its_position)
{
    static const struct read_case cases[] = {
        {"a 1 x", "2:5: parse error: unexpected \"x\" in series values, expected a number"},
        {"a foo", "2:3: parse error: unexpected \"f\" in series values, expected a number"},
        {"a 1+x2", "2:5: parse error: unexpected \"x\" in series values, expected a number"},
        {"a 1+2", "2:6: parse error: unexpected end of input in series values, expected a "
                  "repetition such as x3"},
        {"a 1x1.5", "2:6: parse error: unexpected \".\" in series values, expected a space"},
        {"a 1x99999999999999999999",
         "2:5: parse error: invalid repetition in series values: value out of range"},
        {"a 1x-1", "2:5: parse error: unexpected \"-\" in series values, expected a whole number"},
        {"a _x",
         "2:5: parse error: unexpected end of input in series values, expected a whole number"},
        {"a __", "2:4: parse error: unexpected \"_\" in series values, expected a space"},
        {"a 1m", "2:4: parse error: unexpected \"m\" in series values, expected a space"},
        {"a - 5", "2:4: parse error: unexpected \" \" in series values, expected a number"},
        {"a 1e999", "2:3: parse error: error parsing number: strconv.ParseFloat: parsing "
                    "\"1e999\": value out of range"},
        {"a 1,2", "2:4: parse error: unexpected \",\" in series values, expected a space"},
        {"a 1 # b", "2:5: parse error: unexpected \"#\" in series values, expected a number"},
        {"a b:c", "2:3: parse error: unexpected \"b\" in series values, expected a number"},
        {"a sum", "2:3: parse error: unexpected \"s\" in series values, expected a number"},
        {"a{}5", "2:4: parse error: unexpected \"5\" in series values, expected a space"},
        {"a 1\n2 y", "3:3: parse error: unexpected \"y\" in series values, expected a number"},
    };
    CHECK(refused, cases);
}

/* --- histograms ------------------------------------------------------------------------------- */

UNIT_TEST(test_histograms_are_read_and_written)
{
    static const struct read_case cases[] = {
        {"a {{}}", "__name__=a {{}}"},
        {"a {{ }}", "__name__=a {{}}"},
        {"a {{schema:0 sum:5 count:4 buckets:[1 2 1]}}",
         "__name__=a {{count:4 sum:5 buckets:[1 2 1]}}"},
        {"a {{n_offset:-5 n_buckets:[4.1 5] schema:1 offset:-3 buckets:[5.1 10 7] sum:-0.3 "
         "count:3.1 "
         "z_bucket:7.1 z_bucket_w:0.05 counter_reset_hint:gauge}}",
         "__name__=a {{schema:1 count:3.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 "
         "counter_reset_hint:gauge offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}"},
        {"a {{schema:-53 z_bucket:2 z_bucket_w:1 custom_values:[1] buckets:[3]}}",
         "__name__=a {{schema:-53 custom_values:[1] buckets:[3]}}"},
        {"a {{schema:-53 custom_values:[1 2.5] buckets:[1 2 3]}}",
         "__name__=a {{schema:-53 custom_values:[1 2.5] buckets:[1 2 3]}}"},
        {"a {{COUNT:Inf sum:nan buckets:[1 2 ]}}",
         "__name__=a {{count:+Inf sum:NaN buckets:[1 2]}}"},
        {"a {{counter_reset_hint:reset}} {{counter_reset_hint:not_reset}} "
         "{{counter_reset_hint:unknown}}",
         "__name__=a {{counter_reset_hint:reset}} {{counter_reset_hint:not_reset}} {{}}"},
        {"a {{buckets:[-1 1e7 010]}}", "__name__=a {{buckets:[-1 1e+07 8]}}"},
        {"a {{count:1}}x2", "__name__=a {{count:1}} {{count:1}} {{count:1}}"},
        {"a {{count:1 buckets:[1]}}+{{count:3 sum:1 offset:1 buckets:[3]}}x2",
         "__name__=a {{count:1 buckets:[1]}} {{count:4 sum:1 buckets:[1 3]}} {{count:7 sum:2 "
         "buckets:[1 6]}}"},
        {"a {{count:5 buckets:[5]}}-{{count:2 buckets:[2]}}x1",
         "__name__=a {{count:5 buckets:[5]}} {{count:3 buckets:[3]}}"},
        {"a {{count:5}}+{{schema:1 count:3 buckets:[1 2]}}x1",
         "__name__=a {{count:5}} {{count:8 buckets:[1 2]}}"},
        {"a 1 {{count:1}} _ {{count:2}} stale", "__name__=a 1 {{count:1}} _ {{count:2}} stale"},
    };
    CHECK(read, cases);
}

UNIT_TEST(test_empty_buckets_at_the_ends_are_not_written)
{
    static const struct read_case cases[] = {
        {"a {{buckets:[0 0 1 0]}}", "__name__=a {{offset:2 buckets:[1]}}"},
        {"a {{buckets:[1 0 0 2]}}", "__name__=a {{buckets:[1 0 0 2]}}"},
        {"a {{buckets:[0 0] n_buckets:[0]}}", "__name__=a {{}}"},
        {"a {{buckets:[1]}}+{{offset:3 buckets:[2]}}x1",
         "__name__=a {{buckets:[1]}} {{buckets:[1 0 0 2]}}"},
        {"a {{buckets:[1]}}+{{offset:1000000 buckets:[2]}}x1",
         "__name__=a {{buckets:[1]}} {{buckets:[1 (999999 empty) 2]}}"},
    };
    CHECK(read, cases);
}

UNIT_TEST(test_an_invalid_histogram_is_reported_with_its_position)
{
    static const struct read_case cases[] = {
        {"a {{foo:1}}", "2:5: parse error: bad histogram descriptor found: \"foo\""},
        {"a {{count:1 count:2}}", "2:13: parse error: duplicate key \"count\" in histogram"},
        {"a {{count}}", "2:5: parse error: missing `:` for histogram descriptor"},
        {"a {{count:}}", "2:11: parse error: unexpected \"}\" in series values, expected a number"},
        {"a {{count:x}}",
         "2:11: parse error: unexpected \"x\" in series values, expected a number"},
        {"a {{count:1",
         "2:12: parse error: unexpected end of input in series values, expected a space or \"}}\""},
        {"a {{count:1}", "2:12: parse error: unexpected \"}\" in series values, expected a key, "
                         "e.g. buckets:[5 10 7], or \"}}\""},
        {"a {{count:1 5}}", "2:13: parse error: unexpected \"5\" in series values, expected a key, "
                            "e.g. buckets:[5 10 7], or \"}}\""},
        {"a {{count:1 schema:}}",
         "2:20: parse error: unexpected \"}\" in series values, expected a whole number"},
        {"a {{buckets:[]}}",
         "2:14: parse error: unexpected \"]\" in series values, expected a number"},
        {"a {{buckets:[1,2]}}",
         "2:15: parse error: unexpected \",\" in series values, expected a space or \"]\""},
        {"a {{sum:+5}}", "2:9: parse error: unexpected \"+\" in series values, expected a number"},
        {"a {{z_bucket_w:-1}}",
         "2:16: parse error: unexpected \"-\" in series values, expected a number"},
        {"a {{counter_reset_hint:foo}}", "2:24: parse error: unknown hint of a counter reset"},
        {"a {{count:5}}5",
         "2:14: parse error: unexpected \"5\" in series values, expected a space"},
        {"a {{count:5}}+5x2",
         "2:15: parse error: unexpected \"5\" in series values, expected a histogram"},
        {"a {{count:5}}+{{count:6}}", "2:26: parse error: unexpected end of input in series "
                                      "values, expected a repetition such as x3"},
        {"a {{schema:1 count:5}}+{{schema:0 count:3}}x2",
         "2:46: parse error: error combining histograms: cannot merge from schema 0 to 1"},
        {"a {{schema:-53 custom_values:[1]}}+{{}}x2",
         "2:42: parse error: cannot apply this operation on histograms with a mix of exponential "
         "and custom bucket schemas"},
        {"a {{schema:-53 custom_values:[1]}}+{{schema:-53 custom_values:[2]}}x1",
         "2:70: parse error: cannot apply this operation on custom buckets histograms with "
         "different custom bounds"},
        {"a {{buckets:[-1]}}+{{}}x1",
         "2:26: parse error: positive side: bucket 1 has a negative count: -1"},
        {"a {{schema:9}}", "2:15: parse error: invalid schema 9, expected -4 to 8, or -53"},
        {"a {{offset:3000000000}}", "2:12: parse error: expected at most 2147483647"},
        {"a {{offset:2147483647 buckets:[1]}}", "2:36: parse error: offset is too large"},
    };
    CHECK(refused, cases);
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_text_that_is_too_long_is_refused)
{
    struct reading_rig g;
    struct notation notation;
    struct notation_metric metric;
    char *text = test_calloc(NOTATION_BYTES_MAX + 1, 1);
    struct bytes bytes = bytes_of(text, NOTATION_BYTES_MAX + 1);
    rig_init(&g);
    assert_int_equal(notation_parse(bytes, 1, &g.arena, &notation, &g.error), ERR_LIMIT);
    assert_int_equal(notation_parse_metric(bytes, &g.arena, &metric, &g.error), ERR_LIMIT);
    test_free(text);
    rig_fini(&g);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const char text[] = "a{b=\"c\",d=\"e\"} 1 2x3 {{count:1 buckets:[1 2]}}+{{buckets:[1] "
                               "schema:0 offset:9}}x3 1m";
    for (uint64_t nth = 1;; nth++) {
        struct arena arena;
        struct buf error;
        struct notation notation = {.item_count = 7};
        buf_init(&error, NULL, 1 << 16);
        assert_true(buf_reserve(&error, 1000));
        arena_init(&arena, NULL, 0, 64);
        mem_fail_nth(nth, false);
        enum err e = notation_parse(bytes_of_text(text), 1, &arena, &notation, &error);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(notation.item_count, 7);
        assert_int_equal(e, fired && e != ERR_INPUT ? ERR_NOMEM : ERR_INPUT);
        arena_fini(&arena);
        buf_fini(&error);
        if (!fired) break;
        assert_true(nth < 1000);
    }
}

UNIT_TEST(test_each_allocation_of_a_walk_may_fail)
{
    static const char text[] = "a {{buckets:[1 2]}}+{{buckets:[1] offset:9}}x3";
    struct reading_rig g;
    struct notation notation;
    rig_init(&g);
    assert_int_equal(notation_parse(bytes_of_text(text), 1, &g.arena, &notation, &g.error), OK);
    for (uint64_t nth = 1;; nth++) {
        struct arena arena;
        struct notation_value value;
        bool more = true;
        arena_init(&arena, NULL, 0, 64);
        struct notation_walk w = notation_begin(&notation, &arena);
        enum err e = OK;
        mem_fail_nth(nth, false);
        while (e == OK && more)
            e = notation_next(&w, &value, &more);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&arena);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
        assert_true(nth < 1000);
    }
    rig_fini(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_are_read_in_all_their_forms),
        cmocka_unit_test(test_an_invalid_metric_is_reported_with_its_position),
        cmocka_unit_test(test_metrics_alone_end_with_the_text),
        cmocka_unit_test(test_repetitions_and_steps_are_walked_through),
        cmocka_unit_test(test_a_huge_repetition_takes_no_memory),
        cmocka_unit_test(test_an_invalid_value_is_reported_with_its_position),
        cmocka_unit_test(test_histograms_are_read_and_written),
        cmocka_unit_test(test_empty_buckets_at_the_ends_are_not_written),
        cmocka_unit_test(test_an_invalid_histogram_is_reported_with_its_position),
        cmocka_unit_test(test_a_text_that_is_too_long_is_refused),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_each_allocation_of_a_walk_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
