/* worker_test.c - a request to a worker gets its own answer, or learns that the worker ends. */
#include "lib/test.h"

#include <sched.h>

#include "app/worker.h"

struct rig {
    struct worker worker;
    struct worker asker; /* its thread calls worker_ask() */
    enum err asker_got;
    int runs;
    int what[4];
};

static void
ask_for_two(void *context)
{
    struct rig *rig = context;
    struct why why = {""};
    rig->asker_got = worker_ask(&rig->worker, 2, &why);
}

/* Fails only the first request, during which another one arrives. */
static void
work(void *context)
{
    struct rig *rig = context;
    struct why why = {"the first one failed"};
    while (worker_rest(&rig->worker, INT64_MAX, REST_UNTIL_WOKEN)) {
        int what;
        if (!worker_take(&rig->worker, &what)) continue;
        rig->what[rig->runs++] = what;
        if (rig->runs == 1) {
            assert_int_equal(worker_start(&rig->asker, "asker", ask_for_two, rig), OK);
            while (!worker_has_request(&rig->worker))
                sched_yield();
        }
        worker_answer(&rig->worker, rig->runs == 1 ? ERR_IO : OK, &why);
    }
}

static void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.asker_got = ERR_CORRUPT};
    worker_init(&rig->worker, env_real());
    worker_init(&rig->asker, env_real());
}

static void
rig_fini(struct rig *rig)
{
    worker_fini(&rig->worker);
    worker_fini(&rig->asker);
}

UNIT_TEST(test_a_request_that_comes_during_a_run_gets_a_run_of_its_own)
{
    struct rig rig;
    struct why why = {""};
    rig_init(&rig);
    assert_int_equal(worker_start(&rig.worker, "worker", work, &rig), OK);
    enum err first = worker_ask(&rig.worker, 1, &why);
    worker_join(&rig.asker);
    worker_join(&rig.worker);
    assert_true(first == ERR_IO || first == OK); /* from its run, or from the next one */
    assert_int_equal(rig.asker_got, OK);
    assert_int_equal(rig.runs, 2);
    assert_int_equal(rig.what[0], 1);
    assert_int_equal(rig.what[1], 2);
    rig_fini(&rig);
}

UNIT_TEST(test_a_stop_ends_those_who_wait_and_those_who_come_later)
{
    struct rig rig;
    struct why why = {""};
    rig_init(&rig);
    assert_int_equal(worker_start(&rig.asker, "asker", ask_for_two, &rig), OK);
    while (!worker_has_request(&rig.worker)) /* it waits, as no thread answers */
        sched_yield();
    assert_true(worker_rest(&rig.worker, INT64_MAX, REST_UNTIL_REQUEST)); /* at once */
    int64_t until_ns = env_monotonic_ns(env_real()) + NS_PER_MS;
    assert_true(worker_rest(&rig.worker, until_ns, REST_UNTIL_STOPPED));
    assert_true(env_monotonic_ns(env_real()) >= until_ns);
    worker_join(&rig.worker);
    worker_join(&rig.asker);
    assert_int_equal(rig.asker_got, ERR_CANCELED);
    assert_int_equal(worker_ask(&rig.worker, 1, &why), ERR_CANCELED);
    assert_string_equal(why.text, "shutting down");
    rig_fini(&rig);
}

UNIT_TEST(test_a_wake_up_before_the_rest_counts_once)
{
    struct rig rig;
    rig_init(&rig);
    worker_wake(&rig.worker);
    assert_true(worker_rest(&rig.worker, INT64_MAX, REST_UNTIL_WOKEN));
    assert_false(rig.worker.woken);
    worker_wake(&rig.worker);
    assert_true(worker_rest(&rig.worker, 0, REST_UNTIL_REQUEST));
    assert_true(rig.worker.woken);
    rig_fini(&rig);
}

UNIT_TEST(test_a_pause_doubles_up_to_its_maximum)
{
    int64_t pause_ns = 0, seconds[] = {1, 2, 4, 5, 5};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        pause_ns = worker_pause_ns(pause_ns, 5 * NS_PER_S);
        assert_int_equal(pause_ns, seconds[i] * NS_PER_S);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_that_comes_during_a_run_gets_a_run_of_its_own),
        cmocka_unit_test(test_a_stop_ends_those_who_wait_and_those_who_come_later),
        cmocka_unit_test(test_a_wake_up_before_the_rest_counts_once),
        cmocka_unit_test(test_a_pause_doubles_up_to_its_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
