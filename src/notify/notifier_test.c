/*
 * A notifier with other machines made up: what is sent to whom, relabelling, credentials, what is
 * shown. Time is simulated.
 */
#include "notify/notifier_testing.h"

static void
test_each_member_of_each_alertmanager_is_told_once(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "b:9093");
    rig_target(&rig, "a:9093"); /* twice the same */
    rig_add(&rig, "c:9093");
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n" B " Down:1\nhttp://c:9093/api/v2/alerts Down:1\n");
    assert_true(notifier_is_idle(rig.notifier));
}

static void
test_a_request_says_what_it_is_and_has_a_path(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->path_prefix = "/x//../y/";
    rig_last(&rig)->scheme = "https";
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "https://a:9093/y/api/v2/alerts Down:1\n");
    assert_string_equal(rig.last_method, "POST");
    assert_string_equal(rig.last_headers, "Content-Type: application/json\n");
}

static void
test_external_labels_are_added_where_an_alert_has_none(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_external(&rig, "alertname", "no");
    rig_external(&rig, "region", "eu");
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    assert_non_null(strstr(rig.last_body, "\"labels\":{\"alertname\":\"Down\",\"region\":\"eu\"}"));
}

static void
test_the_tenant_is_a_label_that_relabelling_sees(void **state)
{
    (void)state;
    rig.alerting.tenant_label = "team";
    rig_external(&rig, "team", "eu");
    rig_add(&rig, "a:9093");
    rig_alert_relabel(&rig, RELABEL_DROP, "team", "acme", "", "");
    rig_add(&rig, "b:9093");
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, B " Down:1\n");
    assert_non_null(strstr(rig.last_body,
                           "{\"alertname\":\"Down\",\"exported_team\":\"eu\",\"team\":\"acme\"}"));
}

static void
test_alerts_are_relabelled_for_all_and_then_for_one(void **state)
{
    (void)state;
    rig_relabel_all(&rig, RELABEL_REPLACE, "alertname", "(.*)", "team", "of-$1");
    rig_add(&rig, "a:9093");
    rig_alert_relabel(&rig, RELABEL_DROP, "team", "of-Secret", "", "");
    rig_add(&rig, "b:9093");
    rig_start(&rig);
    rig_fire(&rig, "Secret", 1);
    rig_settle(&rig);
    expect_log(&rig, B " Secret:1\n");
    assert_non_null(strstr(rig.last_body, "\"team\":\"of-Secret\""));
    rig_fire(&rig, "Down", 2);
    rig_settle(&rig);
    expect_log(&rig, A " Down:2\n" B " Down:2\n");
    expect_metric(&rig, "firekeep_notifications_dropped_total{alertmanager=\"" A "\"} 0\n");
}

static void
test_targets_are_relabelled_and_those_dropped_are_shown(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "gone:1");
    rig_target_label(&rig, "__scheme__", "https");
    rig_target_label(&rig, "to", "/there");
    rig_relabel(&rig, RELABEL_DROP, "__address__", "gone:.*", "", "");
    rig_relabel(&rig, RELABEL_REPLACE, "to", "(.*)", "__alerts_path__", "$1/a b");
    rig_start(&rig);
    expect_members(&rig, "{\"activeAlertmanagers\":[{\"url\":\"https://a:9093/there/a%20b\"}],"
                         "\"droppedAlertmanagers\":[{\"url\":\"https://gone:1/api/v2/alerts\"}]}");
}

static void
test_an_address_with_a_path_is_no_member(void **state)
{
    (void)state;
    rig_add(&rig, "http://a:9093");
    rig_target(&rig, "b:9093");
    rig_start(&rig);
    expect_members(&rig,
                   "{\"activeAlertmanagers\":[{\"url\":\"" B "\"}],\"droppedAlertmanagers\":[]}");
}

static void
test_a_member_that_does_not_answer_delays_no_other(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "b:9093");
    rig_start(&rig);
    rig_answer(&rig, A, -1, 0);
    for (int64_t i = 1; i <= 3; i++) {
        rig_fire(&rig, "Down", i);
        rig_settle(&rig);
    }
    expect_log(&rig, A " Down:1\n" B " Down:1\n" B " Down:2\n" B " Down:3\n");
    assert_false(notifier_is_idle(rig.notifier));
}

static void
test_a_notifier_is_not_idle_while_a_request_is_under_way(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 500, 200);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 499);
    assert_false(notifier_is_idle(rig.notifier));
    rig_run(&rig, 1);
    assert_true(notifier_is_idle(rig.notifier));
}

static void
test_what_failed_is_told_later_in_its_newest_state(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    rig_fire(&rig, "Down", 2);
    rig_answer(&rig, A, 0, 200);
    rig_run(&rig, 999);
    expect_log(&rig, A " Down:1\n");
    rig_run(&rig, 1);
    expect_log(&rig, A " Down:2\n");
    expect_metric(&rig, "firekeep_notifications_errors_total{alertmanager=\"" A "\"} 1\n");
    expect_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 1\n");
}

static void
test_statuses_decide_what_becomes_of_an_alert(void **state)
{
    (void)state;
    static const unsigned again[] = {301, 401, 403, 404, 408, 425, 429, 500, 503};
    static const unsigned never[] = {400, 409, 413, 422};
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    for (unsigned i = 0; i < sizeof again / sizeof *again; i++) {
        rig_answer(&rig, A, 0, again[i]);
        rig_fire(&rig, "Down", i);
        rig_settle(&rig);
        assert_false(notifier_is_idle(rig.notifier));
    }
    rig_answer(&rig, A, 0, 200);
    rig_run(&rig, PAUSE_MAX_MS);
    assert_true(notifier_is_idle(rig.notifier));
    for (unsigned i = 0; i < sizeof never / sizeof *never; i++) {
        rig_answer(&rig, A, 0, never[i]);
        rig_fire(&rig, "Down", i);
        rig_settle(&rig);
        assert_true(notifier_is_idle(rig.notifier));
    }
    expect_metric(&rig, "firekeep_notifications_dropped_total{alertmanager=\"" A "\"} 4\n");
}

static void
test_a_redirect_or_a_web_page_names_the_settings_of_alertmanagers(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *location, *body, *want;
    } cases[] = {
        {301, "https://a/am/api/v2/alerts?token=secret", NULL,
         "reason=http_301 error=\"got a redirect to https://a/am/api/v2/alerts, which is not "
         "followed: make scheme, path_prefix and targets those of its target\"\n"},
        {308, "https://us:pw@a/am?token=secret", NULL,
         "reason=http_308 error=\"got a redirect to https://a/am, which is not followed: make "
         "scheme, path_prefix and targets those of its target\"\n"},
        {302, "/start?token=secret&to=https://a/am", NULL,
         "reason=http_302 error=\"got a redirect to /start, which is not followed: make scheme, "
         "path_prefix and targets those of its target\"\n"},
        {307, NULL, "Temporary Redirect",
         "reason=http_307 error=\"got a redirect, which is not followed: make scheme, "
         "path_prefix and targets those of its target\"\n"},
        {200, NULL, "<html>",
         "reason=web_page error=\"got a web page instead of an API response: check scheme, "
         "path_prefix and targets\"\n"},
        {400, NULL, "<html>The plain HTTP request was sent to HTTPS port",
         "reason=web_page error=\"got a web page instead of an API response: check scheme, "
         "path_prefix and targets\"\n"},
        {400, NULL, "Client sent an HTTP request to an HTTPS server.\n",
         "reason=scheme error=\"the server expects https, not http\"\n"},
        {404, NULL, "page not found", "reason=http_404 error=\"page not found\"\n"},
    };
    rig_watch_log(&rig);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[512] = "level=warn msg=\"notify: cannot send alerts to Alertmanager, retrying\" "
                         "alertmanager=" A " ";
        rig_begin_settings(&rig);
        rig_start(&rig); /* without the failure of before */
        rig_begin_settings(&rig);
        rig_add(&rig, "a:9093");
        rig_start(&rig);
        rig_answer(&rig, A, 0, cases[i].status);
        rig.location = cases[i].location;
        rig.post_body = cases[i].body;
        rig_fire(&rig, "Down", 1);
        rig_settle(&rig);
        strcat(want, cases[i].want);
        expect_logged(&rig, "cannot send", want);
    }
}

static void
test_a_member_that_is_back_is_told_within_the_time_in_which_alerts_are_sent_again(void **state)
{
    (void)state;
    rig.limits.pause_max_ms = 5000;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 503);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 65 * 1000);
    rig_answer(&rig, A, 0, 200);
    rig_forget(&rig);
    rig_run(&rig, 5000);
    expect_log(&rig, A " Down:1\n");
}

static int64_t
now_s(void)
{
    return env_realtime_ms(sim_env_env(rig.sim)) / 1000;
}

/* Nothing fails then: it only takes alerts for resolved, or for firing, that are not. */
static void
test_a_member_whose_clock_differs_by_more_than_a_minute_is_a_line_an_hour(void **state)
{
    (void)state;
    rig_watch_log(&rig);
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    static const int64_t fine[] = {0, -60, 60}; /* the first: no Date at all */
    for (unsigned i = 0; i < 3; i++) {
        rig.date_s = fine[i] == 0 ? 0 : now_s() + fine[i];
        rig_fire(&rig, "Down", i);
        rig_settle(&rig);
    }
    /* A slow answer that was dated when the request came is not behind. */
    rig.date_s = now_s();
    rig_answer(&rig, A, 90 * 1000, 200);
    rig_fire(&rig, "Down", 4);
    rig_run(&rig, 90 * 1000);
    /* Our clock is set, or the machine sleeps, before it comes. */
    for (int64_t set_s = -7200; set_s <= 7200; set_s += 14400) {
        for (unsigned i = 0; i < 2; i++) {
            rig.date_s = now_s() + (i == 0 ? 0 : set_s);
            rig_fire(&rig, "Down", 5 + i);
            rig_run(&rig, 1000);
            sim_env_set_realtime_ms(rig.sim, (now_s() + set_s) * 1000);
            rig_run(&rig, 90 * 1000);
        }
    }
    rig_answer(&rig, A, 0, 200);
    expect_logged(&rig, "clock", "");
    static const struct {
        int64_t ahead_s, wait_s;
        const char *want;
    } cases[] = {{3600, 3599, "3600\n"}, {3600, 1, ""}, {-61, 0, "-61\n"}};
    for (unsigned i = 0; i < 3; i++) {
        char want[256] = "";
        rig.date_s = now_s() + cases[i].ahead_s;
        rig_fire(&rig, "Down", 10 + i);
        rig_settle(&rig);
        if (cases[i].want[0] != '\0') {
            snprintf(
                want, sizeof want,
                "level=warn msg=\"notify: the clock of Alertmanager differs from ours, it takes "
                "alerts for resolved too early or too late\" alertmanager=" A " ahead_s=%s",
                cases[i].want);
        }
        expect_logged(&rig, "clock", want);
        rig_run(&rig, cases[i].wait_s * 1000);
    }
}

static void
test_retry_after_is_waited_for(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 503);
    rig.retry_after_ms = 45000;
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    rig_answer(&rig, A, 0, 200);
    expect_log(&rig, A " Down:1\n");
    rig_run(&rig, 44999);
    expect_log(&rig, "");
    rig_run(&rig, 1);
    expect_log(&rig, A " Down:1\n");
}

static void
test_a_batch_has_as_many_alerts_as_configured(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig.limits.batch_size = 2;
    rig_start(&rig);
    rig_fire(&rig, "X", 1);
    rig_fire(&rig, "Y", 1);
    rig_fire(&rig, "Z", 1);
    rig_settle(&rig);
    expect_log(&rig, A " X:1 Y:1\n" A " Z:1\n");
}

static void
test_a_member_that_fails_now_and_then_does_not_flood_the_log(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    uint64_t warnings = log_count(LOG_WARN), back = log_count(LOG_INFO);
    for (int64_t i = 0; i < 20; i++) { /* 40 s */
        rig_answer(&rig, A, 0, i % 2 == 0 ? 500 : 200);
        rig_fire(&rig, "Down", i);
        rig_run(&rig, 2000);
    }
    assert_true(notifier_is_idle(rig.notifier));
    assert_in_range(log_count(LOG_WARN) - warnings, 3, 5);
    assert_int_equal(log_count(LOG_INFO) - back, log_count(LOG_WARN) - warnings);
}

#define DROPPED "level=warn msg=\"notify: alerts dropped, Alertmanager was not told\" alertmanager="

/* An alert that is longer than Alertmanagers are told. */
static void
fire_large(struct rig *r)
{
    char *text = calloc(1, ENCODED_ALERT_BYTES_MAX);
    struct buf labels;
    assert_non_null(text);
    memset(text, 'x', ENCODED_ALERT_BYTES_MAX - 1);
    const struct label annotation = {bytes_of_text("a"), bytes_of_text(text)};
    buf_init(&labels, NULL, 1024);
    put_alert_labels(&labels, "Large", NULL);
    const struct alert_notice notice = {
        .labels = buf_bytes(&labels),
        .annotations = &annotation,
        .annotation_count = 1,
    };
    notifier_send(r->notifier, &notice, 1);
    buf_fini(&labels);
    free(text);
}

static void
test_the_log_names_who_was_not_told_and_why_every_ten_seconds(void **state)
{
    (void)state;
    rig.limits.queue_capacity = 1;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "b:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 500);
    rig_watch_log(&rig);
    rig_run(&rig, 1000);
    for (int64_t i = 1; i <= 3; i++) {
        rig_fire(&rig, i == 1 ? "X" : i == 2 ? "Y" : "Z", i);
        rig_settle(&rig);
    }
    expect_logged(&rig, "dropped", "");
    rig_run(&rig, 10 * 1000);
    expect_logged(&rig, "dropped",
                  DROPPED A " queue_full=2 expired=0 not_enough_memory=0 too_large=0 "
                            "more_held_back=0\n");
    rig_run(&rig, (4 + 15 + 1) * 60 * 1000);
    expect_logged(&rig, "dropped",
                  DROPPED A " queue_full=0 expired=1 not_enough_memory=0 too_large=0 "
                            "more_held_back=0\n");
    atomic_store(&rig.memory.limit_bytes, budget_used(&rig.memory));
    rig_fire(&rig, "Down", 1);
    atomic_store(&rig.memory.limit_bytes, 0);
    rig_run(&rig, 10 * 1000);
    expect_logged(
        &rig, "dropped",
        DROPPED A
        " queue_full=0 expired=0 not_enough_memory=1 too_large=0 more_held_back=0\n" DROPPED B
        " queue_full=0 expired=0 not_enough_memory=1 too_large=0 more_held_back=0\n");
    rig_run(&rig, 20 * 1000);
    expect_logged(&rig, "dropped", "");
    fire_large(&rig);
    rig_run(&rig, 10 * 1000);
    expect_logged(&rig, "dropped",
                  DROPPED A " queue_full=0 expired=0 not_enough_memory=0 too_large=1 "
                            "more_held_back=0\n" DROPPED B
                            " queue_full=0 expired=0 not_enough_memory=0 too_large=1 "
                            "more_held_back=0\n");
}

static void
test_of_many_that_were_not_told_the_log_names_those_that_lost_most_first(void **state)
{
    (void)state;
    static const char *const urls[] = {A,
                                       B,
                                       "http://c:9093/api/v2/alerts",
                                       "http://d:9093/api/v2/alerts",
                                       "http://e:9093/api/v2/alerts",
                                       "http://f:9093/api/v2/alerts"};
    static const char *const addresses[] = {"a:9093", "b:9093", "c:9093",
                                            "d:9093", "e:9093", "f:9093"};
    rig_add(&rig, addresses[0]);
    for (unsigned i = 1; i < 6; i++) {
        rig_target(&rig, addresses[i]);
    }
    rig_start(&rig);
    rig_run(&rig, 1000);
    rig_watch_log(&rig);
    lock_take(&rig.notifier->lock);
    for (unsigned i = 0; i < 6; i++) {
        member_lose(rig.notifier->plan->items[0]->members.items[i], LOSS_QUEUE_FULL, i + 1);
    }
    lock_drop(&rig.notifier->lock);
    rig_run(&rig, 10 * 1000);
    char want[2048] = "";
    for (unsigned i = 6; i-- > 2;) {
        snprintf(want + strlen(want), sizeof want - strlen(want),
                 DROPPED
                 "%s queue_full=%u expired=0 not_enough_memory=0 too_large=0 more_held_back=%u\n",
                 urls[i], i + 1, i == 2 ? 2 : 0);
    }
    expect_logged(&rig, "dropped", want);
    rig_run(&rig, 10 * 1000);
    expect_logged(
        &rig, "dropped",
        DROPPED B
        " queue_full=2 expired=0 not_enough_memory=0 too_large=0 more_held_back=0\n" DROPPED A
        " queue_full=1 expired=0 not_enough_memory=0 too_large=0 more_held_back=0\n");
}

static void
test_one_url_in_two_alertmanagers_is_told_twice_and_counted_as_one(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_add(&rig, "a:9093")->hash = 3;
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n" A " Down:1\n");
    expect_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 2\n");
    expect_metric(&rig, "firekeep_notifications_latency_seconds_count{alertmanager=\"" A "\"} 2\n");
    expect_no_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 1\n");
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 4;
    rig_start(&rig); /* both become one */
    rig_fire(&rig, "Down", 2);
    rig_settle(&rig);
    expect_log(&rig, A " Down:2\n");
}

/* --- credentials ------------------------------------------------------------------------------ */

static void
test_a_token_is_fetched_before_the_first_request_and_when_it_is_refused(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->oauth2 = (struct oauth2_settings){.token_url = "http://tokens/"};
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "http://tokens/\n" A " Down:1\n");
    assert_non_null(strstr(rig.last_headers, "Authorization: Bearer token1\n"));
    rig_answer(&rig, A, 0, 401);
    rig_fire(&rig, "Down", 2);
    rig_settle(&rig);
    expect_log(&rig, A " Down:2\nhttp://tokens/\n" A " Down:2\n");
    rig_answer(&rig, A, 0, 200);
    rig_run(&rig, 1000);
    expect_log(&rig, "http://tokens/\n" A " Down:2\n");
    assert_non_null(strstr(rig.last_headers, "Authorization: Bearer token3\n"));
}

/* AWS says why in a header only. */
static void
test_keys_that_are_refused_are_fetched_anew(void **state)
{
    (void)state;
    struct sigv4_settings *sigv4 = &rig_add(&rig, "a:9093")->sigv4;
    *sigv4 = (struct sigv4_settings){.given = true, .service = "aps"};
    sigv4->aws.region = "eu-west-1";
    sigv4->aws.access_key.text = "AKID";
    sigv4->aws.secret_key.text = "hush";
    rig_watch_log(&rig);
    rig_start(&rig);
    rig_answer(&rig, A, 0, 403);
    rig.error_type = "ExpiredTokenException";
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n");
    expect_logged(&rig, "cannot ",
                  "level=warn msg=\"notify: cannot get credentials, retrying\" for=Alertmanager "
                  "line=2 error=\"no credentials: the settings: the source still returns the keys "
                  "that the service refused\"\n");
}

static void
test_a_token_that_is_not_to_be_had_delays_only_those_who_need_it(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->oauth2 = (struct oauth2_settings){.token_url = "http://tokens/"};
    rig_add(&rig, "b:9093");
    rig_start(&rig);
    rig_answer(&rig, "http://tokens/", 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "http://tokens/\n" B " Down:1\n");
    rig_run(&rig, 2999); /* after 1 and 2 seconds */
    expect_log(&rig, "http://tokens/\n");
    rig_answer(&rig, "http://tokens/", 0, 200);
    rig_run(&rig, 1);
    expect_log(&rig, "http://tokens/\n" A " Down:1\n");
}

static void
test_after_a_token_the_first_pause_is_the_shortest_again(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->oauth2 = (struct oauth2_settings){.token_url = "http://tokens/"};
    rig_start(&rig);
    rig_answer(&rig, "http://tokens/", 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 3000); /* pauses of 1 and 2 seconds */
    rig_answer(&rig, "http://tokens/", 0, 200);
    rig_run(&rig, 4000);
    rig_forget(&rig);
    rig_answer(&rig, A, 0, 401);
    rig_answer(&rig, "http://tokens/", 0, 500);
    rig_fire(&rig, "Down", 2);
    rig_settle(&rig);
    expect_log(&rig, A " Down:2\nhttp://tokens/\n");
    rig_run(&rig, 1000);
    expect_log(&rig, "http://tokens/\n");
}

static void
test_the_log_names_the_line_of_an_alertmanager_without_credentials(void **state)
{
    (void)state;
    struct alertmanager_settings *settings = rig_add(&rig, "a:9093");
    settings->oauth2 = (struct oauth2_settings){.token_url = "http://tokens/"};
    settings->line = 7;
    rig_start(&rig);
    rig_begin_settings(&rig); /* it moves */
    settings = rig_add(&rig, "a:9093");
    settings->oauth2 = (struct oauth2_settings){.token_url = "http://tokens/"};
    settings->line = 9;
    rig_start(&rig);
    rig_watch_log(&rig);
    rig_answer(&rig, "http://tokens/", 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_logged(&rig, "credentials",
                  "level=warn msg=\"notify: cannot get credentials, retrying\" for=Alertmanager "
                  "line=9 error=\"token_url http://tokens/: HTTP status 500: "
                  "{\\\"access_token\\\":\\\"token1\\\"}\"\n");
    rig_answer(&rig, "http://tokens/", 0, 200);
    rig_run(&rig, 1000);
    expect_logged(&rig, "credentials",
                  "level=info msg=\"notify: got credentials\" for=Alertmanager line=9\n");
}

static void
test_a_password_that_cannot_be_read_makes_a_member_wait(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->basic_auth = (struct basic_auth_settings){
        .username = "us", .password = {.text = "${NOTIFIER_TEST_UNSET}"}};
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "");
    assert_false(notifier_is_idle(rig.notifier));
    setenv("NOTIFIER_TEST_UNSET", "password", 1);
    rig_run(&rig, 1000);
    unsetenv("NOTIFIER_TEST_UNSET");
    expect_log(&rig, A " Down:1\n");
    assert_non_null(strstr(rig.last_headers, "Authorization: Basic dXM6cGFzc3dvcmQ=\n"));
}

/* --- failures of memory ----------------------------------------------------------------------- */

static void
test_a_client_without_memory_makes_a_member_wait(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig.fake.fails = true;
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    assert_false(notifier_is_idle(rig.notifier));
    expect_metric(&rig, "firekeep_notifications_latency_seconds_count{alertmanager=\"" A "\"} 0\n");
    rig.fake.fails = false;
    rig_run(&rig, 1000);
    expect_log(&rig, A " Down:1\n");
}

/* A life of a notifier, with a reload in it. The counts are right whatever fails. */
static void
live(void)
{
    struct notifier_change *change;
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093");
    rig_alert_relabel(&rig, RELABEL_REPLACE, "alertname", "(.*)", "x", "$1");
    rig_target(&rig, "b:9093");
    rig_relabel(&rig, RELABEL_REPLACE, "__address__", "(.*)", "y", "$1");
    rig_external(&rig, "region", "eu");
    if (rig_new(&rig) || rig_prepare(&rig, &change)) return;
    notifier_commit(change);
    rig_fire(&rig, "Down", 1);
    rig_fire(&rig, "Up", 1);
    rig_run(&rig, 2000);
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 9;
    if (rig_prepare(&rig, &change)) return;
    notifier_commit(change);
    rig_run(&rig, 2000);
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        rig_end(&rig);
        rig_forget(&rig);
        rig.has_fired = false;
        mem_fail_nth(nth, false);
        live();
        (void)rig_hold_failures(&rig);
        if (rig.notifier != NULL) rig_run(&rig, 60 * 1000); /* nothing hangs */
        if (rig.notifier != NULL) assert_true(notifier_is_idle(rig.notifier));
        if (!rig.has_fired) break;
    }
    if (strstr(rig.log, A " Down:1 Up:1\n") == NULL) fail_msg("%s", rig.log);
}

static void
test_a_budget_that_is_used_up_drops_and_counts(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    atomic_store(&rig.memory.limit_bytes, budget_used(&rig.memory));
    rig_fire(&rig, "Down", 1);
    atomic_store(&rig.memory.limit_bytes, 0);
    expect_metric(&rig, "firekeep_notifications_dropped_total{alertmanager=\"" A "\"} 1\n");
}

/* --- what is shown ---------------------------------------------------------------------------- */

/* Or who looks at the length now and then takes a member that never answers for one with nothing
 * to be told. */
static void
test_alerts_of_a_request_without_an_answer_are_in_the_length_of_the_queue(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 1000, 200);
    rig_fire(&rig, "X", 1);
    rig_fire(&rig, "Y", 1);
    rig_settle(&rig);
    expect_metric(&rig, "firekeep_notifications_queue_length{alertmanager=\"" A "\"} 2\n");
    rig_fire(&rig, "Z", 1);
    expect_metric(&rig, "firekeep_notifications_queue_length{alertmanager=\"" A "\"} 3\n");
    rig_run(&rig, 2000);
    expect_metric(&rig, "firekeep_notifications_queue_length{alertmanager=\"" A "\"} 0\n");
}

static void
test_metrics_have_a_series_for_each_member(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "b:9093");
    rig_start(&rig);
    rig_answer(&rig, B, 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_metric(&rig, "firekeep_notifications_queue_length{alertmanager=\"" A "\"} 0\n");
    expect_metric(&rig, "firekeep_notifications_queue_length{alertmanager=\"" B "\"} 1\n");
    expect_metric(&rig, "firekeep_notifications_queue_capacity 10000\n");
    expect_metric(&rig, "firekeep_notifications_alertmanagers_discovered 2\n");
    expect_metric(&rig, "firekeep_notifications_latency_seconds_count{alertmanager=\"" B "\"} 1\n");
    expect_metric(&rig, "firekeep_notifications_dropped_total 0\n");
}

static void
see_settings(void *context, const struct alerting *alerting)
{
    *(uint32_t *)context = alerting->count;
}

static void
test_settings_in_force_are_shown(void **state)
{
    (void)state;
    uint32_t count = 9;
    notifier_show_settings(rig.notifier, see_settings, &count);
    assert_int_equal(count, 0);
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    notifier_show_settings(rig.notifier, see_settings, &count);
    assert_int_equal(count, 1);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        TEST(test_each_member_of_each_alertmanager_is_told_once),
        TEST(test_a_request_says_what_it_is_and_has_a_path),
        TEST(test_external_labels_are_added_where_an_alert_has_none),
        TEST(test_the_tenant_is_a_label_that_relabelling_sees),
        TEST(test_alerts_are_relabelled_for_all_and_then_for_one),
        TEST(test_targets_are_relabelled_and_those_dropped_are_shown),
        TEST(test_an_address_with_a_path_is_no_member),
        TEST(test_a_member_that_does_not_answer_delays_no_other),
        TEST(test_a_notifier_is_not_idle_while_a_request_is_under_way),
        TEST(test_what_failed_is_told_later_in_its_newest_state),
        TEST(test_statuses_decide_what_becomes_of_an_alert),
        TEST(test_a_redirect_or_a_web_page_names_the_settings_of_alertmanagers),
        TEST(test_a_member_that_is_back_is_told_within_the_time_in_which_alerts_are_sent_again),
        TEST(test_a_member_whose_clock_differs_by_more_than_a_minute_is_a_line_an_hour),
        TEST(test_retry_after_is_waited_for),
        TEST(test_a_batch_has_as_many_alerts_as_configured),
        TEST(test_a_member_that_fails_now_and_then_does_not_flood_the_log),
        TEST(test_the_log_names_who_was_not_told_and_why_every_ten_seconds),
        TEST(test_of_many_that_were_not_told_the_log_names_those_that_lost_most_first),
        TEST(test_one_url_in_two_alertmanagers_is_told_twice_and_counted_as_one),
        TEST(test_a_token_is_fetched_before_the_first_request_and_when_it_is_refused),
        TEST(test_keys_that_are_refused_are_fetched_anew),
        TEST(test_a_token_that_is_not_to_be_had_delays_only_those_who_need_it),
        TEST(test_after_a_token_the_first_pause_is_the_shortest_again),
        TEST(test_the_log_names_the_line_of_an_alertmanager_without_credentials),
        TEST(test_a_password_that_cannot_be_read_makes_a_member_wait),
        TEST(test_a_client_without_memory_makes_a_member_wait),
        TEST(test_each_allocation_may_fail),
        TEST(test_a_budget_that_is_used_up_drops_and_counts),
        TEST(test_alerts_of_a_request_without_an_answer_are_in_the_length_of_the_queue),
        TEST(test_metrics_have_a_series_for_each_member),
        TEST(test_settings_in_force_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
