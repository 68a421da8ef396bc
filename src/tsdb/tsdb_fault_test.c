/*
 * tsdb_fault_test.c - if any call fails, once or for good, nothing acknowledged is lost, nothing is
 * invented, and the ledger balances.
 *
 * STEP=n tries every n-th site only.
 */
#include "lib/tsdb/tsdb_scenario.h"

static uint64_t sites_tried;

static uint64_t
stride(void)
{
    const char *given = getenv("STEP");
    return given == NULL ? 1 : strtoull(given, NULL, 10);
}

static struct model model;

/* Runs the scenario with one fault. Returns false if it was not reached. */
static bool
run_with_fault(struct fault fault)
{
    struct machine m;
    machine_init(&m, 1);
    model_init(&model, &m);
    model.compared = (uint32_t)fault.nth;
    fault_env_arm(m.fe, fault);
    scenario_run(&model);
    bool fired = fault_env_fired(m.fe);
    fault_env_disarm(m.fe);
    scenario_end(&model);
    model_fini(&model);
    machine_fini(&m);
    return fired;
}

static void
try_every_site(enum fault_kind kind)
{
    for (int forever = 0; forever <= 1; forever++) {
        uint64_t nth = 1;
        while (run_with_fault((struct fault){kind, nth, forever != 0})) {
            nth += stride();
            sites_tried++;
        }
        assert_true(nth > 1);
    }
}

#define fault_test(name, kind)     \
    static void name(void **state) \
    {                              \
        (void)state;               \
        try_every_site(kind);      \
    }

fault_test(test_nothing_is_lost_when_any_call_fails, FAULT_EIO)
    fault_test(test_nothing_is_lost_when_the_disk_is_full, FAULT_ENOSPC)
        fault_test(test_interrupted_calls_are_repeated, FAULT_EINTR)
            fault_test(test_short_transfers_are_continued, FAULT_SHORT)
                fault_test(test_nothing_is_lost_when_a_write_is_torn, FAULT_TORN)
                    fault_test(test_nothing_is_lost_when_a_sync_fails, FAULT_SYNC)

                        static void test_scenario_passes_without_faults(void **state)
{
    (void)state;
    assert_false(run_with_fault((struct fault){FAULT_EIO, 0, false}));
    assert_true(model.samples_won > 300);
}

static int
report(void **state)
{
    (void)state;
    print_message("%llu fault sites tried\n", (unsigned long long)sites_tried);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scenario_passes_without_faults, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_any_call_fails, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_the_disk_is_full, tell_seed),
        cmocka_unit_test_teardown(test_interrupted_calls_are_repeated, tell_seed),
        cmocka_unit_test_teardown(test_short_transfers_are_continued, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_a_write_is_torn, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_a_sync_fails, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, report);
}
