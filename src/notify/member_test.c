/* member_test.c - requests to a member: when, of which size, and which alerts are given up. */
#include "lib/notify/notify_script.h"
#include "lib/test.h"

enum { ALERTS = 1000, BATCH = 256 };

#define FAILS "warn 'cannot send alerts to Alertmanager, retrying' alertmanager=a reason=http_500 "

static bool is_bad[ALERTS];
static unsigned requests;

/* Refuses requests with a bad alert. */
static void
refuse_bad(struct notify_rig *r, struct fake_call *call)
{
    static char text[1 << 16];
    (void)r;
    requests++;
    alerts_text(call->request.body, text, sizeof text);
    for (char *at = strtok(text, " "); at != NULL; at = strtok(NULL, " "))
        if (is_bad[atoi(at + 1)]) call->answer.status = 400;
}

/* Sends `count` alerts to a new member. Returns it after all were answered. */
static const struct member *
send_all(unsigned count)
{
    script_play("am | start | run 0 | am a | hash 2 | start");
    requests = 0;
    notify_rig.serve = refuse_bad;
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        sprintf(name, "n%u", i);
        notify_rig_fire(&notify_rig, name, 1, 0);
    }
    for (unsigned seconds = 0; !notifier_is_idle(notify_rig.notifier); seconds++) {
        assert_in_range(seconds, 0, 10 * ALERTS);
        notify_rig_run(&notify_rig, 1000);
    }
    return notify_rig.notifier->config->items[0]->members.items[0];
}

UNIT_TEST(test_one_invalid_alert_is_found_and_dropped_alone)
{
    for (unsigned bad = 0; bad < BATCH; bad++) {
        is_bad[bad] = true;
        const struct member *member = send_all(BATCH);
        is_bad[bad] = false;
        if (requests > 32) fail_msg("alert %u: %u requests", bad, requests);
        assert_int_equal(member->sent, BATCH - 1);
        assert_int_equal(member->dropped, 1);
    }
}

UNIT_TEST(test_many_invalid_alerts_cost_few_requests_each_with_pauses)
{
    int64_t began_ns = env_monotonic_ns(notify_rig.env);
    memset(is_bad, true, sizeof is_bad);
    assert_int_equal(send_all(ALERTS)->dropped, ALERTS);
    assert_true(requests < ALERTS + 20);
    int64_t took_ns = env_monotonic_ns(notify_rig.env) - began_ns;
    assert_true(took_ns > (ALERTS - 100) * MEMBER_REFUSED_PAUSE_MS * NS_PER_MS);
    for (int i = 0; i < ALERTS; i++)
        is_bad[i] = i % 50 == 0;
    assert_int_equal(send_all(ALERTS)->dropped, ALERTS / 50);
    assert_true(requests < ALERTS / 50 * 24);
}

UNIT_TEST(test_a_member_that_accepts_some_alerts_gets_the_others_at_once)
{
    script_play("am a | start | answer a 400");
    for (unsigned i = 0; i <= MEMBER_REFUSED_AT_ONCE; i++)
        script_playf("fire Bad:%u | run 0 => 0s a Bad:%u", i, i);
    script_play("answer a 200 | fire Good:1 | run 0.1 => 0.1s a Good:1");
    script_play("answer a 400 | fire Bad:1 | run 0 => 0.1s a Bad:1");
    script_play("answer a 200 | fire Good:2 | run 0 => 0.1s a Good:2");
}

static const struct CMUnitTest tests[] = {
    SCRIPT("a member without alerts is not asked", "am a | start | run 60"),
    SCRIPT("sent notifications are counted and removed, in batches",
           "batch 2 | am a | start | fire X:1 Y:1 Z:1 | run 60 => 0s a X:1 Y:1; a Z:1\n"
           "metrics sent => sent_total{alertmanager='a'} 3\n"
           "metrics errors => errors_total{alertmanager='a'} 0"),
    SCRIPT("pauses grow to 30 s; the first failure and the success are logged",
           "am a | start | log alertmanager= | answer a 500 | fire X:1 | run 91"
           " => 0s a X:1; " FAILS "error=''; 1s a X:1; 3s a X:1; 7s a X:1; 15s a X:1; 31s a X:1; "
           "61s a X:1; 91s a X:1\n"
           "answer a 200 | run 30 => 121s a X:1; info 'Alertmanager accepts alerts again' "
           "alertmanager=a failed_for_s=121\n"
           "metrics errors => errors_total{alertmanager='a'} 8\n"
           "answer a 500 | fire X:2 | run 1 => 121s a X:2; " FAILS "error=''; 122s a X:2"),
    SCRIPT("pauses end when alerts are sent again, or after Retry-After",
           "pause 5 | am a | start | answer a 503 | fire X:1 | run 17"
           " => 0s a X:1; 1s a X:1; 3s a X:1; 7s a X:1; 12s a X:1; 17s a X:1\n"
           "retry_after 40 | run 5 => 22s a X:1\n"
           "answer a 200 | run 40 => 52s a X:1"),
    SCRIPT("pauses are not shorter than a second",
           "pause 0.2 | am a | start | answer a 503 | fire X:1 | run 2"
           " => 0s a X:1; 1s a X:1; 2s a X:1\n"
           "retry_after 40 | run 31 => 3s a X:1; 33s a X:1"),
    SCRIPT("only Retry-After makes pauses longer than half a minute",
           "pause 3600 | am a | start | answer a 503 | fire X:1 | run 61"
           " => 0s a X:1; 1s a X:1; 3s a X:1; 7s a X:1; 15s a X:1; 31s a X:1; 61s a X:1\n"
           "retry_after 40 | run 70 => 91s a X:1; 131s a X:1"),
    SCRIPT("Retry-After counts up to ten minutes and does not shorten a pause",
           "am a | start | answer a 503 | retry_after 7 | fire X:1 | run 6.999 => 0s a X:1\n"
           "retry_after 1.5 | run 1 => 7s a X:1\n"
           "retry_after 86400 | run 700 => 9s a X:1; 609s a X:1"),
    /* Otherwise the member would consider an alert resolved that is still firing. */
    SCRIPT("Retry-After counts up to half of the time an alert is valid",
           "pause 60 | am a | start | answer a 503 | retry_after 100 | fire X:1 | run 99"
           " => 0s a X:1\n"
           "retry_after 600 | run 121 => 100s a X:1; 220s a X:1"),
    SCRIPT("a newer state that came meanwhile is the one that is sent",
           "am a | start | answer a 500 1 | fire X:1 Y:1 | run 0.5 => 0s a X:1 Y:1\n"
           "fire X:2 | answer a 200 | run 2 => 2s a Y:1 X:2"),
    SCRIPT(
        "a queue that overflows drops the oldest and counts them",
        "queue 3 | am a | start | answer a 500 1 | fire 0:1 1:1 2:1 | run 0 => 0s a 0:1 1:1 2:1\n"
        /* The alert of a pending request is not in the queue. */
        "fire 3:1 4:1 5:1 | metrics dropped_total{ => dropped_total{alertmanager='a'} 0\n"
        "run 1 | metrics dropped_total{ => dropped_total{alertmanager='a'} 3\n"
        "queue 1 | am a | start | metrics dropped_total{ => dropped_total{alertmanager='a'} 5\n"
        "run 1 => 2s a 5:1"),
    SCRIPT("a refused alert is logged, counted and gone",
           "am a | start | log refused | answer a 400 | fire X:1 | run 60 => 0s a X:1; "
           "warn 'alert refused by Alertmanager, dropped' alertmanager=a "
           "alert='{alertname=\\'X\\'}' reason=http_400 error='' more_held_back=0\n"
           "metrics errors => errors_total{alertmanager='a'} 1\n"
           "metrics dropped_total{ => dropped_total{alertmanager='a'} 1"),
    SCRIPT("without memory for a request alerts wait a second",
           "am a | start | fire X:1 | memory full | run 0.5\n"
           "memory free | run 1 => 1s a X:1"),
    TEST(test_a_member_that_accepts_some_alerts_gets_the_others_at_once),
    TEST(test_one_invalid_alert_is_found_and_dropped_alone),
    TEST(test_many_invalid_alerts_cost_few_requests_each_with_pauses),
};

int
main(void)
{
    alarm(60); /* broken code may wait forever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
