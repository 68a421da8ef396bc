/* caller_test.c - only this process can name a caller. */
#include "lib/test.h"

#include "auth/origin.h"

UNIT_TEST(test_caller_counts_with_the_secret_of_this_process_only)
{
    struct buf value;
    buf_init(&value, NULL, 200);
    assert_null(caller_of("00000000000000000000000000000000 arn:a"));
    assert_int_equal(caller_begin(env_real()), OK);
    assert_null(caller_of(NULL));
    assert_null(caller_of(""));
    assert_null(caller_of("arn:a"));
    assert_null(caller_of("00000000000000000000000000000000 arn:a"));
    caller_put(&value, "arn:a");
    buf_put_u8(&value, '\0');
    assert_string_equal(caller_of((const char *)value.at), "arn:a");
    value.at[32] = 'x'; /* the blank */
    assert_null(caller_of((const char *)value.at));
    buf_fini(&value);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caller_counts_with_the_secret_of_this_process_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
