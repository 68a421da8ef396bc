/* query_answer_test.c - reads answers of each type, and refuses other texts. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/lib/query.h"
#include "model/labels.h"
#include "wire/number.h"

/* Records the results. */
struct notebook {
    struct query_sink sink; /* first */
    struct buf text;
    enum err refuses; /* points it refuses */
};

static struct buf *
text_of(struct query_sink *sink)
{
    return &((struct notebook *)(void *)sink)->text;
}

static enum err
note_data(struct query_sink *sink, struct bytes piece, struct why *why)
{
    (void)why;
    buf_put_bytes(text_of(sink), piece);
    return OK;
}

static enum err
note_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    (void)why;
    buf_printf(text_of(sink), "%s\n", promql_type_word(type));
    return OK;
}

static enum err
note_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    (void)why;
    assert_true(labels_valid(labels));
    labels_print_selector(text_of(sink), labels);
    buf_put_u8(text_of(sink), '\n');
    return OK;
}

static void
note_number(struct buf *to, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put_u8(to, ' ');
    buf_put(to, digits, number_print(double_bits(value), digits));
}

static enum err
note_point(struct query_sink *sink, const struct query_point *p, struct why *why)
{
    struct notebook *n = (struct notebook *)(void *)sink;
    const struct query_histogram *h = p->histogram;
    if (n->refuses) return why_set(why, n->refuses, "refused");
    buf_printf(&n->text, "  %lld", (long long)p->t_ms);
    if (h == NULL) {
        note_number(&n->text, p->value);
    } else {
        note_number(&n->text, h->count);
        note_number(&n->text, h->sum);
        for (uint32_t i = 0; i < h->bucket_count; i++) {
            const struct fhist_bucket *b = &h->buckets[i];
            buf_printf(&n->text, " %c", b->has_lower ? '[' : '(');
            note_number(&n->text, b->lower);
            note_number(&n->text, b->upper);
            buf_printf(&n->text, " %c", b->has_upper ? ']' : ')');
            note_number(&n->text, b->count);
        }
    }
    buf_put_u8(&n->text, '\n');
    return OK;
}

static enum err
note_string(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why)
{
    (void)why;
    buf_printf(text_of(sink), "%lld %.*s\n", (long long)t_ms, (int)text.size,
               (const char *)text.at);
    return OK;
}

static void
note_note(struct query_sink *sink, enum promql_note kind, struct bytes sentence)
{
    buf_printf(text_of(sink), "%s %.*s\n", kind == PROMQL_WARNING ? "warning" : "info",
               (int)sentence.size, (const char *)sentence.at);
}

static enum err
read_in(const char *text, bool json, struct notebook *n, struct why *why)
{
    static const struct query_sink_ops json_ops = {.data = note_data, .note = note_note},
                                       ops = {.begin = note_begin,
                                              .series = note_series,
                                              .point = note_point,
                                              .string = note_string,
                                              .note = note_note};
    n->sink.ops = json ? &json_ops : &ops;
    buf_init(&n->text, NULL, 1 << 20);
    why->text[0] = '\0';
    enum err e = query_answer_read(bytes_of_text(text), &n->sink, why);
    buf_put_u8(&n->text, '\0');
    assert_int_equal(buf_error(&n->text), OK);
    return e;
}

static void
check(const char *text, bool json, const char *expected)
{
    struct notebook n = {.refuses = OK};
    struct why why;
    enum err e = read_in(text, json, &n, &why);
    if (e) fail_msg("%s", why.text);
    assert_string_equal((const char *)n.text.at, expected);
    buf_fini(&n.text);
}

/* --- tests ------------------------------------------------------------------------------------ */

static const char matrix[] =
    " {\"status\": \"success\", \"isPartial\":false,\n \"data\" : {\"resultType\":\"matrix\","
    "\"result\":[{\"metric\":{\"job\":\"q\\\"\\u00e9]\",\"__name__\":\"up\"},"
    "\"values\":[[1.5,\"1\"],[-0.001,\"NaN\"],[3,\"-Inf\"],[1e3, \"1e-07\"]],"
    "\"histograms\":[[2,{\"count\":\"3\",\"sum\":\"4.5\",\"buckets\":[[3,\"-1\",\"1\",\"2\"],"
    "[0,\"1\",\"+Inf\",\"1\"]]}],[3,{\"count\":\"0\",\"sum\":\"0\"}]]},"
    "{\"metric\":{},\"values\":[]}], \"stats\":{\"a\":[{},\"}\"]}},"
    "\"warnings\":[\"one\",\"two\"],\"infos\":[\"three\"]}\n";

UNIT_TEST(test_a_matrix_is_read)
{
    check(matrix, false,
          "matrix\nup{job=\"q\\\"\303\251]\"}\n  1500 1\n  -1 NaN\n  3000 -Inf\n  1000000 1e-07\n"
          "  2000 3 4.5 [ -1 1 ] 2 ( 1 +Inf ] 1\n  3000 0 0\n{}\n"
          "warning one\nwarning two\ninfo three\n");
}

UNIT_TEST(test_as_json_the_data_is_passed_as_it_is)
{
    check("{\"data\":{\"a\": [1 ,\"}]\\\"\"], \"b\":null},\"warnings\":null}", true,
          "{\"a\": [1 ,\"}]\\\"\"], \"b\":null}");
    check("{\"data\" :12 ,\"infos\":[\"i\"]}", true, "12info i\n");
}

UNIT_TEST(test_other_types_are_read)
{
    check("{\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"2\"]}}", false,
          "scalar\n{}\n  1000 2\n");
    check("{\"data\":{\"resultType\":\"string\",\"result\":[1,\"a\\nb\"]}}", false,
          "string\n1000 a\nb\n");
    check("{\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"a\":\"\"},"
          "\"value\":[1,\"2\"]},{\"metric\":{\"b\":\"1\"},\"histogram\":[1,{\"count\":\"1\","
          "\"sum\":\"2\"}]}]}}",
          false, "vector\n{}\n  1000 2\n{b=\"1\"}\n  1000 1 2\n");
    check("{\"data\":{\"resultType\":\"vector\",\"result\":[]}}", false, "vector\n");
}

static void
check_refused(const char *text, enum err expected, const char *word)
{
    for (int json = 0; json < 2; json++) {
        struct notebook n = {.refuses = OK};
        struct why why;
        enum err e = read_in(text, json, &n, &why);
        if (json == 0 || e) { /* JSON is passed on unread */
            assert_int_equal(e, expected);
            if (strstr(why.text, word) == NULL) fail_msg("%s: '%s'", text, why.text);
        }
        buf_fini(&n.text);
    }
}

UNIT_TEST(test_a_truncated_answer_is_reported)
{
    size_t size = strlen(matrix);
    for (size_t cut = 0; cut + 2 < size; cut++) {
        char text[sizeof matrix];
        memcpy(text, matrix, cut);
        text[cut] = '\0';
        check_refused(text, ERR_UNSUPPORTED, "the response is not an answer to a query");
    }
}

UNIT_TEST(test_a_malformed_answer_is_reported)
{
    check_refused("<html>", ERR_UNSUPPORTED, "expected an object at byte 1");
    check_refused("{\"status\":\"success\"}", ERR_UNSUPPORTED, "no data");
    check_refused("{\"data\":[]}", ERR_UNSUPPORTED, "expected an object");
    check_refused("{\"data\":{\"resultType\":\"matrix\",\"result\":[]}} x", ERR_UNSUPPORTED,
                  "unexpected text");
    check_refused("{\"data\":{\"resultType\":\"streams\",\"result\":[]}}", ERR_UNSUPPORTED,
                  "resultType");
    check_refused("{\"data\":{\"result\":[]}}", ERR_UNSUPPORTED, "resultType");
    check_refused("{\"data\":{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"2\"]}]}}",
                  ERR_UNSUPPORTED, "points before their labels");
    check_refused("{\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"a\":\"1\","
                  "\"a\":\"2\"}}]}}",
                  ERR_UNSUPPORTED, "invalid labels");
    check_refused("{\"data\":{\"resultType\":\"scalar\",\"result\":[1,2]}}", ERR_UNSUPPORTED,
                  "expected");
    check_refused("{\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"x\"]}}", ERR_UNSUPPORTED,
                  "expected a number");
    check_refused("{\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
                  "\"histogram\":[1,{\"count\":\"1\",\"buckets\":[[4,\"0\",\"1\",\"1\"]]}]}]}}",
                  ERR_UNSUPPORTED, "unknown bounds");
}

UNIT_TEST(test_an_error_of_the_sink_ends_it)
{
    struct why why;
    struct notebook n = {.refuses = ERR_FULL};
    assert_int_equal(read_in(matrix, false, &n, &why), ERR_FULL);
    assert_string_equal(why.text, "refused");
    buf_fini(&n.text);
}

UNIT_TEST(test_data_may_be_nested_in_any_depth)
{
    enum { DEPTH = 5000 };
    char text[2 * DEPTH + 32];
    int head = sprintf(text, "{\"data\":");
    memset(text + head, '[', DEPTH);
    memset(text + head + DEPTH, ']', DEPTH);
    sprintf(text + head + 2 * DEPTH, "}");
    struct notebook n = {.refuses = OK};
    struct why why;
    assert_int_equal(read_in(text, true, &n, &why), OK);
    assert_int_equal(n.text.size, 2 * DEPTH + 1);
    buf_fini(&n.text);
}

/* The notebook has memory of its own, which is not under test. */
UNIT_TEST(test_each_failed_allocation_is_returned)
{
    for (uint64_t nth = 1;; nth++) {
        struct notebook n = {.refuses = OK};
        struct why why = {""};
        static const struct query_sink_ops ops = {.begin = note_begin,
                                                  .series = note_series,
                                                  .point = note_point,
                                                  .string = note_string,
                                                  .note = note_note};
        n.sink.ops = &ops;
        buf_init(&n.text, NULL, 1 << 20);
        assert_true(buf_reserve(&n.text, 65536));
        mem_fail_nth(nth, true);
        enum err e = query_answer_read(bytes_of_text(matrix), &n.sink, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        buf_fini(&n.text);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
        assert_true(why.text[0] != '\0');
    }
}

UNIT_TEST(test_a_refusal_gives_its_sentence)
{
    static const struct {
        const char *body;
        const char *sentence; /* NULL if there is none */
        bool bad_data;
    } cases[] = {
        {"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:1: \\\"x\\\"\"}",
         "1:1: \"x\"", true},
        {"{\"status\":\"error\",\"data\":[1],\"errorType\":\"execution\",\"error\":\"no\"}", "no",
         false},
        {"{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"\"}", NULL, false},
        {"{\"status\":\"success\",\"errorType\":\"bad_data\",\"error\":\"x\"}", NULL, false},
        {"404 page not found\n", NULL, false},
        {"", NULL, false},
        {"{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cut", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf sentence;
        bool bad_data = true;
        buf_init(&sentence, NULL, 1000);
        bool found = query_answer_refusal(bytes_of_text(cases[i].body), &sentence, &bad_data);
        buf_put_u8(&sentence, '\0');
        assert_int_equal(found, cases[i].sentence != NULL);
        assert_int_equal(bad_data, cases[i].bad_data);
        assert_string_equal((const char *)sentence.at, found ? cases[i].sentence : "");
        buf_fini(&sentence);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_matrix_is_read),
        cmocka_unit_test(test_as_json_the_data_is_passed_as_it_is),
        cmocka_unit_test(test_other_types_are_read),
        cmocka_unit_test(test_a_truncated_answer_is_reported),
        cmocka_unit_test(test_a_malformed_answer_is_reported),
        cmocka_unit_test(test_an_error_of_the_sink_ends_it),
        cmocka_unit_test(test_data_may_be_nested_in_any_depth),
        cmocka_unit_test(test_each_failed_allocation_is_returned),
        cmocka_unit_test(test_a_refusal_gives_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
