/* command_lock_test.c - the lock of an operator's command. */
#include "lib/test.h"

#include "relay/operate/command_lock.h"
#include "sys/sim.h"

UNIT_TEST(test_a_second_command_waits_for_the_end_of_the_first)
{
    struct sim_env *sim;
    struct file first, second;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    assert_int_equal(command_lock(env, "there", &first, NULL), ERR_MISSING);
    assert_int_equal(env_mkdir(env, "there", NULL), OK);
    assert_int_equal(command_lock(env, "there", &first, NULL), OK);
    assert_int_equal(command_lock(env, "there", &second, NULL), ERR_AGAIN);
    assert_int_equal(file_close(&first), OK);
    assert_int_equal(command_lock(env, "there", &second, NULL), OK);
    assert_int_equal(file_close(&second), OK);
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_command_waits_for_the_end_of_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
