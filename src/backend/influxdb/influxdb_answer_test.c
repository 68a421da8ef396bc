/* influxdb_answer_test.c - observed answers of InfluxDB 1.6, and documented ones of others. */
#include "lib/test.h"

#include "backend/influxdb/influxdb_private.h"

static struct influxdb_refusal refusal;

static void
read(const char *body)
{
    influxdb_answer_read(bytes_of_text(body), &refusal);
}

UNIT_TEST(test_the_number_of_refused_points_is_found)
{
    read(
        "{\"error\":\"partial write: field type conflict: input field \\\"value\\\" on measurement "
        "\\\"up\\\" is type float, already exists as type integer dropped=3\"}");
    assert_int_equal(refusal.dropped, 3);
    assert_false(refusal.by_series || refusal.passes);
    read("{\"code\":\"unprocessable entity\",\"message\":\"failure writing points to database: "
         "partial write: field type conflict: input field \\\"value\\\" on measurement \\\"we "
         "\\\"ird,\\\" is type float, already exists as type integer dropped=12\"}");
    assert_int_equal(refusal.dropped, 12);
    read("{\"error\":\"partial write: points beyond retention policy dropped=2\"}\n");
    assert_int_equal(refusal.dropped, 2);
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

UNIT_TEST(test_other_bodies_say_nothing)
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
    }
    read("{\"error\":\"partial write: tag value=dropped=7 dropped=1\"}");
    assert_int_equal(refusal.dropped, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_number_of_refused_points_is_found),
        cmocka_unit_test(test_a_limit_of_series_says_nothing_of_each),
        cmocka_unit_test(test_a_shard_that_is_pending_deletion_is_a_temporary_failure),
        cmocka_unit_test(test_other_bodies_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
