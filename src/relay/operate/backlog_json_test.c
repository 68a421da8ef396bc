/* backlog_json_test.c - parses answers about destinations that are not open. */
#include "lib/test.h"
#include <jansson.h>
#include <string.h>

#include "base/text/json.h"
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

UNIT_TEST(test_a_printed_backlog_is_read_back)
{
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    struct relay_backlog back;
    struct buf text;
    struct json json;
    struct relay_backlog b = {.condition = BACKLOG_FILE,
                              .unreadable = {"state"},
                              .destination_known = true,
                              .type = DESTINATION_S3,
                              .place = 1,
                              .selection_known = true,
                              .selection = 2,
                              .samples = 3,
                              .exemplars = 4,
                              .log_bytes = 5,
                              .letters = 6,
                              .letters_problem = {"letters"},
                              .own_files = {7, 8, 9, 10}};
    bool *const flags[] = {&b.queued_known, &b.filling, &b.gone, &b.letters_known};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        *flags[i] = true;
        buf_init(&text, NULL, 4096);
        json_init(&json, &text);
        json_object_open(&json);
        json_member_text(&json, "name", "west");
        relay_backlog_print(&b, &json);
        json_object_close(&json);
        buf_put_u8(&text, 0);
        assert_int_equal(buf_error(&text), OK);
        assert_int_equal(take((const char *)text.at, name, &back), OK);
        assert_string_equal(back.unreadable.text, "state");
        assert_string_equal(back.letters_problem.text, "letters");
        assert_int_equal(back.condition, BACKLOG_FILE);
        assert_true(back.destination_known && back.selection_known);
        assert_int_equal(back.type, DESTINATION_S3);
        assert_int_equal(back.place, 1);
        assert_int_equal(back.selection, 2);
        assert_int_equal(back.samples, 3);
        assert_int_equal(back.exemplars, 4);
        assert_int_equal(back.log_bytes, 5);
        assert_int_equal(back.letters, 6);
        assert_memory_equal(&back.own_files, &b.own_files, sizeof b.own_files);
        assert_int_equal(back.queued_known, b.queued_known);
        assert_int_equal(back.filling, b.filling);
        assert_int_equal(back.gone, b.gone);
        assert_int_equal(back.letters_known, b.letters_known);
        *flags[i] = false;
        buf_fini(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_omitted_field_is_unknown),
        cmocka_unit_test(test_a_place_is_known_to_the_last_bit),
        cmocka_unit_test(test_an_invalid_destination_is_refused),
        cmocka_unit_test(test_impossible_numbers_are_ignored),
        cmocka_unit_test(test_a_printed_backlog_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
