/* backlog_json_test.c - parses answers about destinations that are not open. */
#include "lib/test.h"
#include <jansson.h>
#include <string.h>

#include "relay/operate/backlog.h"

static enum err
take(const char *text, char name[DESTINATION_NAME_BYTES_MAX + 1], struct relay_backlog *ret)
{
    json_t *one = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(one);
    enum err e = relay_backlog_take(one, name, ret);
    json_decref(one);
    return e;
}

UNIT_TEST(test_an_omitted_field_is_unknown)
{
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog b;
    assert_int_equal(take("{\"name\": \"west\", \"condition\": \"resting\"}", name, &b), OK);
    assert_string_equal(name, "west");
    assert_int_equal(b.type, DESTINATION_TYPE_COUNT);
    assert_false(b.destination_known);
    assert_false(b.selection_known);
    assert_false(b.queued_known);
    assert_false(b.letters_known);
    assert_false(relay_backlog_is_none(&b));
}

UNIT_TEST(test_a_place_is_known_to_the_last_bit)
{
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog b;
    assert_int_equal(take("{\"name\": \"west\", \"condition\": \"closed\", \"type\": \"s3\","
                          " \"place\": \"fedcba9876543210\", \"selection\": \"12\"}",
                          name, &b),
                     OK);
    assert_int_equal(b.condition, BACKLOG_CLOSED);
    assert_int_equal(b.type, DESTINATION_S3);
    assert_true(b.destination_known);
    assert_true(b.place == 0xfedcba9876543210);
    assert_false(b.selection_known);
}

UNIT_TEST(test_an_invalid_destination_is_refused)
{
    static const char long_name[] =
        "{\"name\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
        " \"condition\": \"resting\"}";
    static const char *const others[] = {
        "7",
        "{}",
        "{\"name\": \"west\"}",
        "{\"name\": \"west\", \"condition\": \"well\"}",
        "{\"name\": \"\", \"condition\": \"resting\"}",
        "{\"name\": 7, \"condition\": \"resting\"}",
        long_name,
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char name[DESTINATION_NAME_BYTES_MAX + 1];
        struct relay_backlog b;
        assert_int_equal(take(others[i], name, &b), ERR_UNSUPPORTED);
    }
}

UNIT_TEST(test_impossible_numbers_are_ignored)
{
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog b;
    assert_int_equal(take("{\"name\": \"west\", \"condition\": \"resting\", \"queuedKnown\": 1,"
                          " \"samplesAtMost\": -1, \"logBytes\": 1e300, \"deadLetters\": \"7\"}",
                          name, &b),
                     OK);
    assert_false(b.queued_known);
    assert_int_equal(b.samples, 0);
    assert_int_equal(b.log_bytes, 0);
    assert_int_equal(b.letters, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_omitted_field_is_unknown),
        cmocka_unit_test(test_a_place_is_known_to_the_last_bit),
        cmocka_unit_test(test_an_invalid_destination_is_refused),
        cmocka_unit_test(test_impossible_numbers_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
