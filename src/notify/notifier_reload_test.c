/* notifier_reload_test.c - a reload changes the configuration of a notifier and keeps its queues
 * and pauses. */
#include "lib/notify/notify_script.h"

#define FAILS \
    "warn 'cannot send alerts to Alertmanager, retrying' alertmanager=a reason=http_500 error=''"

/* Only the thread that steps can end the members that reloads remove. */
UNIT_TEST(test_many_reloads_may_precede_a_step_and_some_change_nothing)
{
    enum { RELOADS = 40 };
    for (unsigned i = 0; i <= RELOADS; i++) {
        script_playf("am a | hash %u | start", 10 + i);
        script_playf("am a | hash %u | start", 10 + i); /* nothing changes */
    }
    assert_int_equal(notify_rig.notifier->retired_count, RELOADS);
    assert_in_range(notify_rig.notifier->retired_capacity, RELOADS, UINT32_MAX);
    script_play("run 0");
    assert_int_equal(notify_rig.notifier->retired_count, 0);
}

static const struct CMUnitTest tests[] = {
    SCRIPT("a reload keeps the queues of members that stay, and ends their pauses",
           "am a b | start | answer a 500 | answer b 500 | fire Down:1 | run 0"
           " => 0s a Down:1; b Down:1\n"
           "am a | hash 77 | start | answer a 200 | run 0 => 0s a Down:1\n"
           "metrics sent => sent_total{alertmanager='a'} 1\n"
           "metrics dropped => dropped_total{alertmanager='a'} 0; dropped_total 1"),
    SCRIPT("a reload that changes nothing disturbs no request",
           "am a | start | answer a 200 0.5 | fire Down:1 | run 0.1 => 0s a Down:1\n"
           "am a | start | run 0.5 | idle => idle"),
    SCRIPT("a reload that changes nothing ends no pause",
           "am a | start | answer a 500 | fire Down:1 | run 0 => 0s a Down:1\n"
           "am a | start | run 1 => 1s a Down:1"),
    SCRIPT(
        "a failure after a changed Alertmanager is reloaded is logged at once",
        "am a | start | log alertmanager= | answer a 500 | fire Down:1 | run 1"
        " => 0s a Down:1; " FAILS "; 1s a Down:1\n"
        "am a | hash 11 | start | run 1 => 1s a Down:1; " FAILS "; 2s a Down:1\n"
        "am a | hash 12 | start | answer a 200 | run 0 => 2s a Down:1; info 'Alertmanager accepts "
        "alerts again' alertmanager=a failed_for_s=2"),
    SCRIPT("two Alertmanagers of one URL may become one while both are sent alerts",
           "am a | hash 1 | am a | hash 2 | start | answer a 200 0.5 | fire Down:1 | run 0.1"
           " => 0s a Down:1; a Down:1\n"
           "fire Up:1 | am a | hash 3 | start | run 1 | idle => 0.5s a Up:1; idle\n"
           "metrics sent => sent_total{alertmanager='a'} 2\n"
           /* The member that ended had a request and a queue. */
           "metrics dropped => dropped_total{alertmanager='a'} 0; dropped_total 2"),
    SCRIPT("notifications that removed members dropped are counted",
           "queue 1 | am a | start | answer a 500 | fire X:1 | run 0 => 0s a X:1\n"
           "fire Y:2 Z:3 | start | metrics dropped => dropped_total 3"),
    SCRIPT("two equal Alertmanagers are both sent alerts after a reload",
           "am a | hash 7 | am a | hash 7 | start | am a | hash 7 | am a | hash 7 | start\n"
           "fire Down:1 | run 0 => 0s a Down:1; a Down:1"),
    SCRIPT("a request to a member that is gone is given up",
           "am a | start | answer a 200 5 | fire Down:1 | run 0.1 | under_way => 0s a Down:1; 1\n"
           "start | run 0.001 | under_way => 0\n"
           "metrics dropped => dropped_total 1\n"
           "metrics alertmanagers_discovered => alertmanagers_discovered 0"),
    SCRIPT("a request under way goes on when its Alertmanager gets other settings",
           "am a | start | answer a 200 0.5 | fire Down:1 | run 0.1 => 0s a Down:1\n"
           "am a | hash 78 | start | run 0.5 | idle => idle\n"
           "metrics sent => sent_total{alertmanager='a'} 1"),
    SCRIPT("settings with an error change nothing",
           "am a | start | am b | hash 5 | relabel alerts drop x ( | start"
           " => line 2: alertmanagers: alert_relabel_configs: "
           "relabel rule 1: invalid regex: missing ): (\n"
           "fire Down:1 | run 0 => 0s a Down:1"),
    SCRIPT("a prepared change may be abandoned", "am a | prepare | fire Down:1 | run 0"),
    TEST(test_many_reloads_may_precede_a_step_and_some_change_nothing),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
