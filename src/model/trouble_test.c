/* trouble_test.c - the kind of the last error is kept until the next one. */
#include "lib/test.h"

#include "model/trouble.h"

UNIT_TEST(test_the_next_sentence_clears_the_kind_of_the_last_one)
{
    struct why why = {""};
    enum err e = why_set(&why, ERR_AGAIN, "no connection");
    assert_int_equal(trouble_say(&why, TROUBLE_CONNECT, e), ERR_AGAIN);
    assert_int_equal(why_prefix(&why, e, "far"), ERR_AGAIN);
    struct why copy = why;
    assert_string_equal(copy.text, "far: no connection");
    assert_int_equal(trouble_of(&copy, e), TROUBLE_CONNECT);
    why_set(&why, ERR_CORRUPT, "not a number");
    assert_int_equal(trouble_of(&why, ERR_CORRUPT), TROUBLE_DAMAGED);
}

UNIT_TEST(test_an_error_of_which_nothing_is_said_is_of_some_kind)
{
    for (unsigned e = OK + 1; e < ERR_COUNT; e++) {
        assert_string_not_equal(trouble_word(trouble_of(NULL, (enum err)e)), "unknown");
        assert_int_equal(trouble_say(NULL, TROUBLE_TLS, (enum err)e), e);
    }
    struct why odd = {"", 4711};
    assert_int_equal(trouble_of(&odd, ERR_LIMIT), TROUBLE_LIMIT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_sentence_clears_the_kind_of_the_last_one),
        cmocka_unit_test(test_an_error_of_which_nothing_is_said_is_of_some_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
