/* answer_test.c - observed answers of InfluxDB 1.6, and documented ones of others. */
#include "lib/test.h"

#include "backend/influxdb/answer.h"
#include "model/labels.h"

static struct influxdb_refusal refusal;

static void
read(const char *body)
{
    influxdb_answer_read(bytes_of_text(body), NULL, &refusal);
}

static bool
names(const char *metric, const char *name, const char *value)
{
    struct buf labels;
    buf_init(&labels, NULL, 1024);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(metric)});
    labels_put(&labels, (struct label){bytes_of_text(name), bytes_of_text(value)});
    bool found = influxdb_refusal_names(&refusal, buf_bytes(&labels));
    buf_fini(&labels);
    return found;
}

UNIT_TEST(test_a_conflict_names_the_metric_and_how_many)
{
    read(
        "{\"error\":\"partial write: field type conflict: input field \\\"value\\\" on measurement "
        "\\\"up\\\" is type float, already exists as type integer dropped=3\"}");
    assert_int_equal(refusal.dropped, 3);
    assert_true(names("up", "job", "x"));
    assert_false(names("down", "job", "x"));
    assert_false(refusal.by_retention || refusal.by_series || refusal.passes);
    read("{\"code\":\"unprocessable entity\",\"message\":\"failure writing points to database: "
         "partial write: field type conflict: input field \\\"value\\\" on measurement \\\"we "
         "\\\"ird,\\\" is type float, already exists as type integer dropped=12\"}");
    assert_int_equal(refusal.dropped, 12);
    assert_true(names("we \"ird,", "job", "x"));
}

UNIT_TEST(test_a_metric_that_is_written_in_a_coding_is_named)
{
    read(
        "{\"error\":\"partial write: field type conflict: input field \\\"value\\\" on measurement "
        "\\\"~%_private\\\" is type float, already exists as type integer dropped=3\"}");
    assert_true(names("_private", "job", "x"));
}

UNIT_TEST(test_the_number_of_points_that_are_too_old_is_found)
{
    read("{\"error\":\"partial write: points beyond retention policy dropped=2\"}\n");
    assert_int_equal(refusal.dropped, 2);
    assert_int_equal(refusal.name_count, 0);
    assert_true(refusal.by_retention);
}

UNIT_TEST(test_a_limit_of_values_names_those_with_the_label)
{
    read("{\"error\":\"partial write: max-values-per-tag limit exceeded (5/5): "
         "measurement=\\\"t\\\" tag=\\\"host\\\" value=\\\"v6\\\" dropped=1\"}");
    assert_int_equal(refusal.dropped, 1);
    assert_true(names("t", "host", "v6"));
    assert_false(names("t", "host", "v7"));
    assert_false(names("t", "job", "v6"));
    assert_false(names("u", "host", "v6"));
}

UNIT_TEST(test_a_limit_of_series_says_nothing_of_each)
{
    read("{\"error\":\"partial write: max-series-per-database limit exceeded: (20) dropped=25\"}");
    assert_true(refusal.by_series);
}

UNIT_TEST(test_a_shard_that_is_pending_deletion_is_a_temporary_failure)
{
    read("{\"error\":\"partial write: shard 12 is pending deletion dropped=25\"}");
    assert_true(refusal.passes);
}

UNIT_TEST(test_lines_that_are_repeated_name_their_metrics)
{
    read(
        "{\"error\":\"partial write: unable to parse 'a,h= value=1': missing tag value\\nunable to "
        "parse 'we\\\\ ird,h=x valu': invalid field format dropped=0\"}");
    assert_int_equal(refusal.dropped, 0);
    assert_true(names("a", "h", "x"));
    assert_true(names("we ird", "h", "x"));
    assert_false(names("b", "h", "x"));
    read("{\"error\":\"parsing failed for write_lp "
         "endpoint\",\"data\":{\"original_line\":\"up,job=x "
         "value=1 17\",\"line_number\":2,\"error_message\":\"invalid column type\"}}");
    assert_true(names("up", "h", "x"));
    read("{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"original_line\":\"a "
         "value=1\"},{\"original_line\":\"b,x=y value=1\"},{\"line_number\":1},7]}");
    assert_true(names("a", "h", "x"));
    assert_true(names("b", "h", "x"));
    assert_int_equal(refusal.name_count, 2);
}

UNIT_TEST(test_other_bodies_name_nothing)
{
    static const char *const bodies[] = {
        "",
        "no",
        "{}",
        "[1,2]",
        "{\"error\":7}",
        "{\"error\":\"partial write: dropped=\"}",
        "{\"error\":\"partial write: dropped=1 and more\"}",
        "{\"error\":\"partial write: dropped=1",
        "{\"error\":\"dropped=1\"}",
        "{\"error\":\"unable to parse '\"}",
        "{\"data\":{\"original_line\":\"\"}}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        read(bodies[i]);
        assert_int_equal(refusal.dropped, 0);
        assert_int_equal(refusal.name_count, 0);
    }
    read("{\"error\":\"partial write: tag value=dropped=7 dropped=1\"}");
    assert_int_equal(refusal.dropped, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conflict_names_the_metric_and_how_many),
        cmocka_unit_test(test_a_metric_that_is_written_in_a_coding_is_named),
        cmocka_unit_test(test_the_number_of_points_that_are_too_old_is_found),
        cmocka_unit_test(test_a_limit_of_values_names_those_with_the_label),
        cmocka_unit_test(test_a_limit_of_series_says_nothing_of_each),
        cmocka_unit_test(test_a_shard_that_is_pending_deletion_is_a_temporary_failure),
        cmocka_unit_test(test_lines_that_are_repeated_name_their_metrics),
        cmocka_unit_test(test_other_bodies_name_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
