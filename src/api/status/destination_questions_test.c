/* destination_questions_test.c - what questions about destinations reach the owner of the api. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

static void
ask(struct api_rig *rig, enum http_method method, const char *target, const char *header,
    const char *body)
{
    api_ask(rig, &(struct asked){target, method, target, header, body, 0, 200, JSON_TYPE,
                                 "\"data\":\"answered\""});
}

UNIT_TEST(test_dead_letters_are_listed_by_reason_and_decided_on)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    ask(rig, HTTP_GET, "/api/v1/admin/dead_letters/s3", NULL, NULL);
    assert_int_equal(rig->question.ask, DESTINATION_LETTERS);
    assert_string_equal(rig->controlled, "s3");
    assert_string_equal(rig->question_reason, "all");
    ask(rig, HTTP_GET, "/api/v1/admin/dead_letters/s3?reason=", NULL, NULL);
    assert_string_equal(rig->question_reason, "all");
    ask(rig, HTTP_GET, "/api/v1/admin/dead_letters/s3?reason=http_400&action=drop", NULL, NULL);
    assert_int_equal(rig->question.ask, DESTINATION_LETTERS);
    assert_string_equal(rig->question_reason, "http_400");
    ask(rig, HTTP_POST, "/api/v1/admin/dead_letters/s3?action=drop", NULL, NULL);
    assert_int_equal(rig->question.ask, DESTINATION_LETTERS_DROP);
    ask(rig, HTTP_POST, "/api/v1/admin/dead_letters/s3?action=replay", NULL, NULL);
    assert_int_equal(rig->question.ask, DESTINATION_LETTERS_REPLAY);
    api_rig_free(rig);
}

UNIT_TEST(test_a_test_writes_only_if_asked_to)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    ask(rig, HTTP_POST, "/api/v1/admin/destination_test/s3", NULL, NULL);
    assert_int_equal(rig->question.ask, DESTINATION_TEST);
    assert_false(rig->question.write);
    ask(rig, HTTP_POST, "/api/v1/admin/destination_test/s3?write=1", NULL, NULL);
    assert_false(rig->question.write);
    ask(rig, HTTP_POST, "/api/v1/admin/destination_test/s3?write=true", NULL, NULL);
    assert_true(rig->question.write);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_letters_are_listed_by_reason_and_decided_on),
        cmocka_unit_test(test_a_test_writes_only_if_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
