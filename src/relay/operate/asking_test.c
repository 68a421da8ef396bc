/* asking_test.c - one operator's request at a time. */
#include "lib/test.h"

#include "relay/operate/asking.h"
#include "sys/sim.h"

UNIT_TEST(test_the_second_is_told_and_comes_when_the_first_is_done)
{
    struct sim_env *sim;
    struct file first, second;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    assert_int_equal(asking_lock(env, "there", &first, NULL), ERR_MISSING);
    assert_int_equal(env_mkdir(env, "there", NULL), OK);
    assert_int_equal(asking_lock(env, "there", &first, NULL), OK);
    assert_int_equal(asking_lock(env, "there", &second, NULL), ERR_AGAIN);
    assert_int_equal(file_close(&first), OK);
    assert_int_equal(asking_lock(env, "there", &second, NULL), OK);
    assert_int_equal(file_close(&second), OK);
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_second_is_told_and_comes_when_the_first_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
