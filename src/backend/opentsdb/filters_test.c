/* filters_test.c - matchers as filters of OpenTSDB, which select the same series, or more. */
#include "lib/test.h"

#include "backend/opentsdb/opentsdb_reader.h"
#include "base/array.h"
#include "lib/backend/played_source.h"
#include "model/selector.h"

/* A select that has sent nothing. */
struct filter_rig {
    struct played_source source;
    struct opentsdb_question *question;
    struct selector selector;
};

static void
filter_start(struct filter_rig *rig, const char *selector)
{
    struct series_set *set;
    played_init(&rig->source, SOURCE_OPENTSDB);
    rig->source.settings.u.opentsdb =
        (struct opentsdb_read_settings){.server.url = "http://h", .expansion_limit = 4};
    played_start(&rig->source);
    assert_int_equal(selector_parse(bytes_of_text(selector), &rig->selector, NULL), OK);
    struct matcher_set asked = {rig->selector.matchers, rig->selector.count};
    struct query_request r = {.sets = &asked, .set_count = 1, .max_ms = 1};
    assert_int_equal(view_select(rig->source.view, &r, &set, NULL), OK);
    rig->question = (struct opentsdb_question *)set;
}

static void
filter_stop(struct filter_rig *rig)
{
    series_set_free(&rig->question->base.set);
    played_stop(&rig->source);
    selector_fini(&rig->selector);
}

static void
rig_forget(struct filter_rig *rig, enum opentsdb_refusal what, const char *text)
{
    struct opentsdb_question *q = rig->question;
    assert_true(
        array_reserve(q->base.budget, &q->unknown, &q->unknown_capacity, q->unknown_count + 1));
    q->unknown[q->unknown_count++] = (struct opentsdb_unknown){what, bytes_of_text(text)};
    q->unknown_values += what == REFUSED_UNKNOWN_VALUE;
}

/* Checks the filters; `expected` NULL: no series can match. */
static void
check_rig(struct filter_rig *rig, const char *expected)
{
    struct buf text;
    bool none;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(opentsdb_filters_put(rig->question, &text, &none, NULL), OK);
    buf_put_u8(&text, 0);
    assert_int_equal(none, expected == NULL);
    if (expected != NULL) assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

static void
check(const char *selector, const char *expected)
{
    struct filter_rig rig;
    filter_start(&rig, selector);
    check_rig(&rig, expected);
    filter_stop(&rig);
}

#define FILTER(type, tag, filter) \
    "{\"type\":\"" type "\",\"tagk\":\"" tag "\",\"filter\":\"" filter "\",\"groupBy\":false}"

UNIT_TEST(test_texts_are_literals_in_all_their_forms)
{
    check("up{a=\"x\"}", FILTER("literal_or", "a", "x"));
    check("up{a=~\"x|y\"}", FILTER("literal_or", "a", "x|y"));
    check("up{a=\"x_y\"}", FILTER("literal_or", "a", "x__y|x_y"));
    check("up{a=\"h:1\",b=\"z\"}",
          FILTER("literal_or", "a", "h_.1|h:1") "," FILTER("literal_or", "b", "z"));
    check("up{a=\"\\\"}\"}", FILTER("literal_or", "a", "_22_7D|\\\"}"));
}

UNIT_TEST(test_a_matcher_of_the_empty_value_is_sent_only_as_not_key)
{
    check("up{a=\"\"}", FILTER("not_key", "a", ""));
    check("up{a!=\"x\"}", "");
    check("up{a!~\"x.*\"}", "");
    check("up{a=~\"x|\"}", "");
    check("up{a=~\".*\"}", "");
}

UNIT_TEST(test_a_matcher_that_refuses_the_empty_value_requires_the_tag)
{
    check("up{a!=\"\"}", FILTER("wildcard", "a", "*"));
    check("up{a=~\".+\"}", FILTER("regexp", "a", "^(?:.+)$"));
    check("up{a!~\"|x\"}", FILTER("wildcard", "a", "*"));
    check("up{a=~\"[xy]+\"}", FILTER("wildcard", "a", "*"));
    check("up{a=~\"abc[xy]+\"}", FILTER("wildcard", "a", "abc*"));
    check("up{a=~\"ab_[xy]+\"}", FILTER("wildcard", "a", "ab*"));
}

UNIT_TEST(test_a_regex_is_sent_if_no_form_changes_its_meaning)
{
    check("up{a=~\"x.*\"}", FILTER("regexp", "a", "^(?:x.*)$"));
    check("up{a=~\"(x|y.+)z?\"}", FILTER("regexp", "a", "^(?:(?:x|y.+)z?)$"));
    check("up{a=~\"x_.*\"}", FILTER("regexp", "a", "^(?:x__?.*)$"));
    check("up{a=~\"h:.*\"}", FILTER("regexp", "a", "^(?:h(?:_\\\\.|:).*)$"));
    check("up{a=~\"x\\\\.y.*\"}", FILTER("regexp", "a", "^(?:x\\\\.y.*)$"));
    check("up{a=~\"x.y.*\"}", FILTER("wildcard", "a", "x*")); /* one character may be several */
    check("up{a=~\"(?i)x.*\"}", FILTER("wildcard", "a", "*"));
    check("up{a=~\"x b.*\"}", FILTER("wildcard", "a", "x*"));
    check("up{a=~\"x\\\\d.*\"}", FILTER("wildcard", "a", "x*"));
}

UNIT_TEST(test_a_regex_that_java_may_try_for_ever_is_not_sent)
{
    check("up{a=~\"x(a*)*b\"}", FILTER("wildcard", "a", "x*"));
    check("up{a=~\"x(a|b)+c\"}", FILTER("wildcard", "a", "x*"));
    check("up{a=~\"x_*c\"}", FILTER("wildcard", "a", "x*"));
    check("up{a=~\"x.*.*.*.*.*y\"}", FILTER("wildcard", "a", "x*"));
}

UNIT_TEST(test_more_values_than_the_limit_and_bars_are_not_sent)
{
    check("up{a=~\"1|2|3|4\"}", FILTER("literal_or", "a", "1|2|3|4"));
    check("up{a=~\"1|2|3|4|5\"}", FILTER("wildcard", "a", "*"));
    check("up{a=\"x|y\"}", FILTER("wildcard", "a", "x*"));
}

UNIT_TEST(test_long_filters_are_not_sent)
{
    char selector[4000] = "up{a=\"", *at = selector + strlen(selector);
    memset(at, 'x', 2100);
    memcpy(at + 2100, "\"}", 3);
    check(selector, FILTER("wildcard", "a", "*"));
}

UNIT_TEST(test_names_of_metrics_and_coded_labels_are_not_filtered_by)
{
    check("{__name__=~\"x.*\"}", "");
    check("{\"up\",\"my.label\"=\"x\"}", "");
    check("{\"up\",\"U__x\"=\"x\"}", "");
}

UNIT_TEST(test_a_filter_with_an_unknown_name_is_omitted)
{
    struct filter_rig rig;
    filter_start(&rig, "up{a=\"x_y\",b=\"\"}");
    rig_forget(&rig, REFUSED_UNKNOWN_VALUE, "x_y");
    check_rig(&rig, FILTER("literal_or", "a", "x__y") "," FILTER("not_key", "b", ""));
    rig_forget(&rig, REFUSED_UNKNOWN_TAG, "b");
    check_rig(&rig, FILTER("literal_or", "a", "x__y"));
    for (int i = 0; i < OPENTSDB_UNKNOWN_VALUES_MAX; i++)
        rig_forget(&rig, REFUSED_UNKNOWN_VALUE, "other");
    check_rig(&rig, FILTER("iliteral_or", "a", "x__y"));
    rig_forget(&rig, REFUSED_UNKNOWN_VALUE, "x__y");
    check_rig(&rig, NULL);
    filter_stop(&rig);
    filter_start(&rig, "up{a=~\"x.*\"}");
    rig_forget(&rig, REFUSED_UNKNOWN_TAG, "a");
    check_rig(&rig, NULL);
    filter_stop(&rig);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_literals_in_all_their_forms),
        cmocka_unit_test(test_a_matcher_of_the_empty_value_is_sent_only_as_not_key),
        cmocka_unit_test(test_a_matcher_that_refuses_the_empty_value_requires_the_tag),
        cmocka_unit_test(test_a_regex_is_sent_if_no_form_changes_its_meaning),
        cmocka_unit_test(test_a_regex_that_java_may_try_for_ever_is_not_sent),
        cmocka_unit_test(test_more_values_than_the_limit_and_bars_are_not_sent),
        cmocka_unit_test(test_long_filters_are_not_sent),
        cmocka_unit_test(test_names_of_metrics_and_coded_labels_are_not_filtered_by),
        cmocka_unit_test(test_a_filter_with_an_unknown_name_is_omitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
