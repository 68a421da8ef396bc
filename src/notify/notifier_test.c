/* notifier_test.c - a whole notifier: requests to members, their answers, the API and the log. */
#include "lib/notify/notify_script.h"
#include "lib/test.h"

#define REFUSED(hash, status, answer, reason)                                               \
    "am a | hash " hash " | start | answer a " status " | " answer " | fire Down:1 | run 0" \
    " => 0s a Down:1; warn 'cannot send alerts to Alertmanager, retrying' alertmanager=a "  \
    "reason=" reason "\n"
#define REDIRECT \
    ", which is not followed: make scheme, path_prefix and targets those of its target'"
#define WEB_PAGE \
    " error='got a web page instead of an API response: check scheme, path_prefix and targets'"
#define CLOCK                                                                                    \
    "warn 'the clock of Alertmanager differs from ours, it treats alerts as resolved too early " \
    "or "                                                                                        \
    "too late' alertmanager=a ahead_s="
#define DROPPED  "warn 'alerts dropped, not sent to Alertmanager' alertmanager="
#define NO_MORE  " expired=0 not_enough_memory=0 too_large=0 more_held_back="
#define NO_TOKEN "warn 'cannot get credentials, retrying' for=Alertmanager line="

UNIT_TEST(test_statuses_decide_whether_alerts_are_sent_again_or_dropped)
{
    static const unsigned again[] = {301, 401, 403, 404, 408, 425, 429, 500, 503};
    static const unsigned never[] = {400, 409, 413, 422};
    script_play("am a | start");
    for (unsigned i = 0; i < COUNT_OF(again); i++) {
        script_playf("answer a %u | fire Down:1 | run 0 | idle => %us a Down:1; busy", again[i], i);
        script_playf("answer a 200 | run 1 | idle => %us a Down:1; idle", i + 1);
    }
    for (unsigned i = 0; i < COUNT_OF(never); i++) {
        script_playf("answer a %u | fire Down:1 | run 0 | idle => 9s a Down:1; idle", never[i]);
        script_playf("metrics dropped_total{ => dropped_total{alertmanager='a'} %u", i + 1);
    }
}

UNIT_TEST(test_a_member_that_fails_now_and_then_does_not_flood_the_log)
{
    script_play("am a | start");
    uint64_t warnings = log_count(LOG_WARN), back = log_count(LOG_INFO);
    for (unsigned i = 0; i < 40; i += 4) {
        script_playf("answer a 500 | fire Down:1 | run 2 => %us a Down:1; %us a Down:1", i, i + 1);
        script_playf("answer a 200 | run 2 | idle => %us a Down:1; idle", i + 3);
    }
    assert_in_range(log_count(LOG_WARN) - warnings, 3, 5);
    assert_int_equal(log_count(LOG_INFO) - back, log_count(LOG_WARN) - warnings);
}

/* Runs a life with a reload in it. Says whether all went well. */
static bool
live(void)
{
    if (notify_rig_new(&notify_rig)) return false;
    script_do("am a b | relabel alerts replace alertname (.*) x $1 | external region eu");
    script_do("relabel targets replace __address__ (.*) y $1 | files d/*.yml | names | list");
    script_do("list_token | start");
    if (notify_rig.why.text[0] != '\0') return false;
    script_do("fire Down:1 Up:1 | run 2");
    bool is_sent = strstr(script.printed, " a Down:1 Up:1; b Down:1 Up:1") != NULL;
    script_do("am a | hash 9 | files d/*.yml | names | list | list_token | start | run 2");
    return is_sent;
}

/* An unavailable token or address is requested again later. */
UNIT_TEST(test_each_allocation_may_fail)
{
    bool is_well = false;
    script_play(
        "type application/json | list_is [{\"targets\": [\"l:1\"]}] | zone 10.0.0.1 | mkdir d");
    script_play("put d/a.yml - targets: [f:1]");
    notify_rig.has_fired = true;
    for (uint64_t nth = 1; notify_rig.has_fired; nth++) {
        notify_rig_end(&notify_rig);
        notify_rig.has_fired = false;
        notify_rig_begin_settings(&notify_rig);
        mem_fail_nth(nth, false);
        is_well = live();
        (void)notify_rig_hold_failures(&notify_rig);
        if (notify_rig.notifier == NULL) continue;
        notify_rig_run(&notify_rig, 60 * 1000);
        assert_true(notifier_is_idle(notify_rig.notifier));
        if (notify_rig.why.text[0] != '\0') continue;
        notify_seen.hosts[0] = '\0';
        script_do("run 0");
        assert_non_null(strstr(script.printed, "s members a 10.0.0.1:9093 f:1 l:1"));
    }
    assert_true(is_well);
}

static const struct CMUnitTest tests[] = {
    SCRIPT("each member of each Alertmanager is sent an alert once",
           "am a b a | am c | start | fire Down:1 | run 0 => 0s a Down:1; b Down:1; c Down:1\n"
           "idle => idle"),
    SCRIPT("a request has a type, and a path of clean elements",
           "am a | path_prefix /x//../y/ | scheme https | start | fire Down:1 | run 0 | headers"
           " => 0s https://a/y/api/v2/alerts Down:1; POST; Content-Type: application/json"),
    SCRIPT(
        "external labels do not replace labels of an alert",
        "external alertname no | external region eu | am a | start | fire Down:1 | run 0 | labels"
        " => 0s a Down:1; [{'labels':{'alertname':'Down','region':'eu'}"),
    SCRIPT("the tenant is a label that relabelling sees",
           "tenant team | external team eu | am a | relabel alerts drop team acme | am b | start\n"
           "fire Down:1 | run 0 | labels"
           " => 0s b Down:1; [{'labels':{'alertname':'Down','exported_team':'eu','team':'acme'}"),
    SCRIPT(
        "alerts are relabelled for all, and then for one",
        "relabel all replace alertname (.*) team of-$1 | am a | relabel alerts drop team "
        "of-Secret\n"
        "am b | start\n"
        "fire Secret:1 | run 0 | labels"
        " => 0s b Secret:1; [{'labels':{'alertname':'Secret','team':'of-Secret'}\n"
        "fire Down:2 | run 0 => 0s a Down:2; b Down:2\n"
        "metrics dropped => dropped_total{alertmanager='a'} 0; dropped_total{alertmanager='b'} 0; "
        "dropped_total 0"),
    SCRIPT("targets are relabelled, and those that are dropped are shown",
           "am a gone:1 | label __scheme__ https | label to /there\n"
           "relabel targets drop __address__ gone:.*\n"
           "relabel targets replace to (.*) __alerts_path__ $1/a b\n"
           "start | members => {'activeAlertmanagers':[{'url':'https://a/there/a%20b'}],"
           "'droppedAlertmanagers':[{'url':'https://gone:1/api/v2/alerts'}]}"),
    SCRIPT("an address with a path is not a member",
           "am http://a b | start | members"
           " => {'activeAlertmanagers':[{'url':'b'}],'droppedAlertmanagers':[]}"),
    SCRIPT("a member that does not answer delays no other",
           "am a b | start | answer a 0 -1 | fire Down:1 | run 0 => 0s a Down:1; b Down:1\n"
           "fire Down:2 | run 0 => 0s b Down:2\n"
           "fire Down:3 | run 0 | idle => 0s b Down:3; busy"),
    SCRIPT("a notifier is not idle while a request is under way",
           "am a | start | answer a 200 0.5 | fire Down:1 | run 0.499 | idle => 0s a Down:1; busy\n"
           "run 0.001 | idle => idle"),
    SCRIPT("a failed notification is sent later, in its newest state",
           "am a | start | answer a 500 | fire Down:1 | run 0 => 0s a Down:1\n"
           "fire Down:2 | answer a 200 | run 1 => 1s a Down:2\n"
           "metrics errors => errors_total{alertmanager='a'} 1\n"
           "metrics sent => sent_total{alertmanager='a'} 1"),
    SCRIPT("redirects and web pages name the settings without their secrets", "log cannot\n" /* */
           REFUSED("1", "301", "location https://a/am/api/v2/alerts?token=secret",
                   "http_301 error='got a redirect to https://a/am/api/v2/alerts" REDIRECT)
               REFUSED("2", "308", "location https://us:pw@a/am?token=secret",
                       "http_308 error='got a redirect to https://a/am" REDIRECT)
                   REFUSED("3", "302", "location /start?token=secret&to=https://a/am",
                           "http_302 error='got a redirect to /start" REDIRECT)
                       REFUSED("4", "307", "location | body Temporary Redirect",
                               "http_307 error='got a redirect" REDIRECT)
                           REFUSED("5", "200", "body <html>", "web_page" WEB_PAGE)
                               REFUSED("6", "400",
                                       "body <html>The plain HTTP request was sent to HTTPS port",
                                       "web_page" WEB_PAGE)
                                   REFUSED("7", "400",
                                           "body Client sent an HTTP request to an HTTPS server.",
                                           "scheme error='the server expects https, not http'")
                                       REFUSED("8", "404", "body page not found",
                                               "http_404 error='page not found'")),
    SCRIPT("a clock that differs by more than a minute is logged once an hour",
           "am a | start | log clock | date none | fire Down:0 | run 0 => 0s a Down:0\n"
           "date -60 | fire Down:1 | run 0 => 0s a Down:1\n"
           "date +60 | fire Down:2 | run 0 => 0s a Down:2\n"
           /* A slow answer dated when its request arrived does not mean that the member's
            * clock is slow. */
           "answer a 200 90 | date +0 | fire Down:3 | run 90 => 0s a Down:3\n"
           /* Our clock is set, or the machine sleeps, before an answer comes. */
           "date +0 | fire Down:4 | run 1 | clock -7200 | run 90 => 90s a Down:4\n"
           "date -7200 | fire Down:5 | run 1 | clock -7200 | run 90 => 181s a Down:5\n"
           "date +0 | fire Down:6 | run 1 | clock +7200 | run 90 => 272s a Down:6\n"
           "date +7200 | fire Down:7 | run 1 | clock +7200 | run 90 => 363s a Down:7\n"
           "answer a 200 | date +3600 | fire Down:8 | run 3599 => 454s a Down:8; " CLOCK "3600\n"
           "date +3600 | fire Down:9 | run 1 => 4053s a Down:9\n"
           "date -61 | fire Down:10 | run 0 => 4054s a Down:10; " CLOCK "-61"),
    SCRIPT("dropped alerts are logged by member and reason, every 10 s at most",
           "queue 1 | am a b | start | answer a 500 | log dropped | run 1\n"
           "fire X:1 | run 0 => 1s a X:1; b X:1\n"
           "fire Y:2 | run 0 => 1s b Y:2\n"
           "fire Z:3 | run 0 => 1s b Z:3\n"
           "run 9 => 2s a Z:3; 4s a Z:3; 8s a Z:3; 10s " DROPPED "a queue_full=2 expired=0 "
           "not_enough_memory=0 too_large=0 more_held_back=0\n"
           "outside fails | run 1190 => 1142s " DROPPED "a queue_full=0 expired=1 "
           "not_enough_memory=0 too_large=0 more_held_back=0\n"
           "memory full | fire Down:1 | memory free | run 10 => 1210s " DROPPED
           "a queue_full=0 expired=0 not_enough_memory=1 too_large=0 more_held_back=0; " DROPPED
           "b queue_full=0 expired=0 not_enough_memory=1 too_large=0 more_held_back=0\n"
           "run 20 | fire Large:1:1048575 | run 10 => 1240s " DROPPED
           "a queue_full=0 expired=0 not_enough_memory=0 too_large=1 more_held_back=0; " DROPPED
           "b queue_full=0 expired=0 not_enough_memory=0 too_large=1 more_held_back=0\n"),
    SCRIPT(
        "the log names members that lost the most alerts first",
        "queue 1 | outside fails | log dropped\n"
        "am a | relabel alerts keep alertname [12] | am b | relabel alerts keep alertname [1-3]\n"
        "am c | relabel alerts keep alertname [1-4] | am d | relabel alerts keep alertname [1-5]\n"
        "am e | relabel alerts keep alertname [1-6] | am f | start | run 1\n"
        "fire 1:1 2:1 3:1 4:1 5:1 6:1 7:1 | run 9 => 10s " DROPPED "f queue_full=6" NO_MORE
        "0; " DROPPED "e queue_full=5" NO_MORE "0; " DROPPED "d queue_full=4" NO_MORE "0; " DROPPED
        "c queue_full=3" NO_MORE "2\n"
        "run 10 => 20s " DROPPED "b queue_full=2" NO_MORE "0; " DROPPED "a queue_full=1" NO_MORE
        "0"),
    SCRIPT("a URL in two Alertmanagers is sent alerts twice, and is one series",
           "am a | am a | hash 3 | start | fire Down:1 | run 0 => 0s a Down:1; a Down:1\n"
           "metrics sent => sent_total{alertmanager='a'} 2\n"
           "metrics latency_seconds_count => latency_seconds_count{alertmanager='a'} 2\n"
           "am a | hash 4 | start | fire Down:2 | run 0 => 0s a Down:2"),

    /* Credentials. */
    SCRIPT("a token is fetched before the first request, and when it is refused",
           "am a | token | start | fire Down:1 | run 0 => 0s http://tokens/; a Down:1\n"
           "headers => POST; Content-Type: application/json; Authorization: Bearer token1\n"
           "answer a 401 | fire Down:2 | run 0 => 0s a Down:2; http://tokens/; a Down:2\n"
           "metrics errors => errors_total{alertmanager='a'} 2\n"
           "answer a 200 | run 1 => 1s http://tokens/; a Down:2\n"
           "headers => POST; Content-Type: application/json; Authorization: Bearer token3"),
    SCRIPT(
        "keys that AWS refuses, as a header says, are fetched again",
        "am a | sigv4 | start | log cannot | answer a 403 | error_type ExpiredTokenException\n"
        "fire Down:1 | run 0 => 0s a Down:1; " NO_TOKEN
        "2 error='no credentials: the settings: the source still returns the keys that the service "
        "refused'"),
    SCRIPT("a token that cannot be fetched delays only the members that need it",
           "am a | token | am b | start | answer http://tokens/ 500 | fire Down:1 | run 2"
           " => 0s http://tokens/; b Down:1; 1s http://tokens/\n"
           "answer http://tokens/ 200 | run 1 => 3s http://tokens/; a Down:1"),
    SCRIPT("after a token the first pause is the shortest again",
           "am a | token | start | answer http://tokens/ 500 | fire Down:1 | run 3"
           " => 0s http://tokens/; 1s http://tokens/; 3s http://tokens/\n"
           "answer http://tokens/ 200 | run 4 => 7s http://tokens/; a Down:1\n"
           "answer a 401 | answer http://tokens/ 500 | fire Down:2 | run 1"
           " => 7s a Down:2; http://tokens/; 8s http://tokens/"),
    SCRIPT("the log names the current line of an Alertmanager, no credentials",
           "am a | token | line 7 | start | am a | token | line 9 | start\n"
           "log credentials | answer http://tokens/ 500 | fire Down:1 | run 0 => 0s "
           "http://tokens/; " NO_TOKEN "9 error='token_url http://tokens/: HTTP status 500: "
           "{\\'access_token\\':\\'token1\\'}'\n"
           "answer http://tokens/ 200 | run 1"
           " => 1s http://tokens/; a Down:1; info 'got credentials' for=Alertmanager line=9"),
    SCRIPT(
        "a password that cannot be read makes a member wait",
        "am a | password ${NOTIFIER_TEST_UNSET} | start | fire Down:1 | run 0 | idle => busy\n"
        "env NOTIFIER_TEST_UNSET password | run 1 | env NOTIFIER_TEST_UNSET => 1s a Down:1\n"
        "headers => POST; Content-Type: application/json; Authorization: Basic dXM6cGFzc3dvcmQ="),

    /* Memory. */
    SCRIPT("a client without memory makes a member wait",
           "am a | start | outside fails | fire Down:1 | run 0 | idle => busy\n"
           "metrics latency_seconds_count => latency_seconds_count{alertmanager='a'} 0\n"
           "outside works | run 1 => 1s a Down:1"),
    SCRIPT("a budget that is used up drops alerts and counts them",
           "am a | start | memory full | fire Down:1 | memory free\n"
           "metrics dropped => dropped_total{alertmanager='a'} 1; dropped_total 0"),

    /* The API. */
    SCRIPT("alerts of a request without an answer are in the length of the queue",
           "am a | start | answer a 200 1 | fire X:1 Y:1 | run 0 => 0s a X:1 Y:1\n"
           "metrics queue_length => queue_length{alertmanager='a'} 2\n"
           "fire Z:1 | metrics queue_length => queue_length{alertmanager='a'} 3\n"
           "run 2 | metrics queue_length => 1s a Z:1; queue_length{alertmanager='a'} 0"),
    SCRIPT(
        "metrics have a series for each member",
        "am a b | start | answer b 500 | fire Down:1 | run 0 => 0s a Down:1; b Down:1\n"
        "metrics queue => queue_capacity 10000; queue_length{alertmanager='a'} 0; "
        "queue_length{alertmanager='b'} 1\n"
        "metrics alertmanagers => alertmanagers_discovered 2; alertmanagers_without_members 0\n"
        "metrics dropped => dropped_total{alertmanager='a'} 0; dropped_total{alertmanager='b'} 0; "
        "dropped_total 0\n"
        "metrics latency_seconds_count => latency_seconds_count{alertmanager='a'} 1; "
        "latency_seconds_count{alertmanager='b'} 1"),
    SCRIPT("settings in force are shown", "settings => 0\nam a | am b | start | settings => 2"),
    TEST(test_statuses_decide_whether_alerts_are_sent_again_or_dropped),
    TEST(test_a_member_that_fails_now_and_then_does_not_flood_the_log),
    TEST(test_each_allocation_may_fail),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
