/*
 * tsdb_memory_test.c - if any allocation fails, once or for good, nothing acknowledged is lost,
 * nothing is invented, and the ledger balances.
 *
 * STEP=n tries every n-th allocation only.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_scenario.h"

static struct model model;

static bool
run_without_memory(uint64_t nth, bool forever)
{
    struct machine m;
    machine_init(&m, 1);
    model_init(&model, &m);
    model.compared = (uint32_t)nth;
    memory_arm(&m, nth, forever);
    scenario_run(&model);
    bool fired = m.memory_failed;
    memory_arm(&m, 0, false);
    scenario_end(&model);
    model_fini(&model);
    machine_fini(&m);
    return fired;
}

UNIT_TEST(test_nothing_is_lost_when_any_allocation_fails)
{
    const char *given = getenv("STEP");
    uint64_t step = given == NULL ? 1 : strtoull(given, NULL, 10);
    uint64_t tried = 0;
    for (int forever = 0; forever <= 1; forever++) {
        uint64_t nth = 1;
        while (run_without_memory(nth, forever != 0)) {
            nth += step;
            tried++;
        }
        assert_true(nth > 1);
    }
    print_message("%llu allocations tried\n", (unsigned long long)tried);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nothing_is_lost_when_any_allocation_fails, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
