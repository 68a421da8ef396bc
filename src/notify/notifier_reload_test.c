/*
 * A notifier with other machines made up: what a reload changes, and what goes on as it was. Time
 * is simulated.
 */
#include "notify/notifier_testing.h"

static void
test_a_reload_keeps_queues_of_members_that_stay(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_target(&rig, "b:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 500);
    rig_answer(&rig, B, 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    rig_forget(&rig);
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 77; /* something else was changed */
    rig_start(&rig);
    rig_answer(&rig, A, 0, 200);
    rig_settle(&rig); /* without the pause of before */
    expect_log(&rig, A " Down:1\n");
    expect_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 1\n");
    expect_metric(&rig, "firekeep_notifications_dropped_total 1\n"); /* of b */
    expect_no_metric(&rig, B);
}

static void
test_a_reload_that_changes_nothing_disturbs_no_request(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 500, 200);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 100);
    struct alertmanager *before = rig.notifier->plan->items[0];
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    assert_ptr_equal(rig.notifier->plan->items[0], before);
    rig_run(&rig, 500);
    expect_log(&rig, A " Down:1\n");
    assert_true(notifier_is_idle(rig.notifier));
}

static void
test_a_reload_that_changes_nothing_ends_no_pause(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 500);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n");
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_run(&rig, 900);
    expect_log(&rig, "");
    rig_run(&rig, 100);
    expect_log(&rig, A " Down:1\n");
}

#define FAILS "level=warn msg=\"notify: cannot send alerts to Alertmanager, retrying\" "

static void
test_that_it_fails_after_a_reload_that_changed_it_is_told_at_once(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_watch_log(&rig);
    rig_answer(&rig, A, 0, 500);
    rig_fire(&rig, "Down", 1);
    for (uint64_t hash = 1; hash <= 2; hash++) {
        rig_settle(&rig);
        expect_logged(&rig, "cannot send", FAILS "alertmanager=" A " reason=http_500 error=\"\"\n");
        rig_begin_settings(&rig);
        rig_add(&rig, "a:9093")->hash = 10 + hash;
        rig_start(&rig);
    }
}

/* What is under way to each of them is told, and what waits at one of them. */
static void
test_two_alertmanagers_of_one_url_may_become_one_while_both_are_told(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->hash = 1;
    rig_add(&rig, "a:9093")->hash = 2;
    rig_start(&rig);
    rig_answer(&rig, A, 500, 200);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 100);
    expect_log(&rig, A " Down:1\n" A " Down:1\n");
    rig_fire(&rig, "Up", 1);
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 3;
    rig_start(&rig);
    rig_run(&rig, 1000);
    expect_log(&rig, A " Up:1\n");
    assert_true(notifier_is_idle(rig.notifier));
    expect_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 2\n");
    expect_metric(&rig, "firekeep_notifications_dropped_total 2\n"); /* of the one that ended */
}

static void
test_what_members_that_are_no_more_have_dropped_is_counted(void **state)
{
    (void)state;
    rig.limits.queue_capacity = 1;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 0, 500);
    for (int64_t i = 1; i <= 3; i++) {
        rig_fire(&rig, i == 1 ? "X" : i == 2 ? "Y" : "Z", i);
        rig_settle(&rig);
    }
    rig_begin_settings(&rig);
    rig_start(&rig);
    expect_metric(&rig, "firekeep_notifications_dropped_total 3\n");
}

static void
test_two_equal_alertmanagers_are_told_both_after_a_reload(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093")->hash = 7;
    rig_add(&rig, "a:9093")->hash = 7;
    rig_start(&rig);
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 7;
    rig_add(&rig, "a:9093")->hash = 7;
    rig_start(&rig);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n" A " Down:1\n");
}

static void
test_a_request_to_a_member_that_is_gone_is_given_up(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 5000, 200);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 100);
    assert_int_equal(rig.fake.call_count, 1);
    rig_begin_settings(&rig);
    rig_start(&rig);
    rig_run(&rig, 1);
    assert_int_equal(rig.fake.call_count, 0);
    expect_metric(&rig, "firekeep_notifications_dropped_total 1\n");
    expect_metric(&rig, "firekeep_notifications_alertmanagers_discovered 0\n");
}

static void
test_a_request_under_way_goes_on_when_its_alertmanager_is_configured_anew(void **state)
{
    (void)state;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_answer(&rig, A, 500, 200);
    rig_fire(&rig, "Down", 1);
    rig_run(&rig, 100);
    rig_begin_settings(&rig);
    rig_add(&rig, "a:9093")->hash = 78;
    rig_start(&rig);
    rig_run(&rig, 500);
    expect_log(&rig, A " Down:1\n");
    assert_true(notifier_is_idle(rig.notifier));
    expect_metric(&rig, "firekeep_notifications_sent_total{alertmanager=\"" A "\"} 1\n");
}

/* Only the thread that steps can end what they retire. */
static void
test_any_number_of_reloads_may_come_before_the_next_step(void **state)
{
    (void)state;
    enum { RELOADS = 40 };
    for (uint64_t i = 0; i <= RELOADS; i++) {
        if (i > 0) rig_begin_settings(&rig);
        rig_add(&rig, "a:9093")->hash = 10 + i;
        rig_start(&rig);
    }
    assert_int_equal(rig.notifier->retired_count, RELOADS);
    assert_in_range(rig.notifier->retired_capacity, RELOADS, UINT32_MAX);
    rig_settle(&rig);
    assert_int_equal(rig.notifier->retired_count, 0);
}

static void
test_settings_that_cannot_be_change_nothing(void **state)
{
    (void)state;
    struct notifier_change *change;
    rig_add(&rig, "a:9093");
    rig_start(&rig);
    rig_begin_settings(&rig);
    rig_add(&rig, "b:9093")->hash = 5;
    rig_alert_relabel(&rig, RELABEL_DROP, "x", "(", "", "");
    assert_int_equal(rig_prepare(&rig, &change), ERR_INPUT);
    assert_non_null(strstr(rig.why.text, "line 2: alertmanagers: alert_relabel_configs: "));
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, A " Down:1\n");
}

static void
test_a_prepared_change_may_be_abandoned(void **state)
{
    (void)state;
    struct notifier_change *change;
    rig_add(&rig, "a:9093");
    assert_int_equal(rig_prepare(&rig, &change), OK);
    notifier_abandon(change);
    notifier_abandon(NULL);
    rig_fire(&rig, "Down", 1);
    rig_settle(&rig);
    expect_log(&rig, "");
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        TEST(test_a_reload_keeps_queues_of_members_that_stay),
        TEST(test_a_reload_that_changes_nothing_disturbs_no_request),
        TEST(test_a_reload_that_changes_nothing_ends_no_pause),
        TEST(test_that_it_fails_after_a_reload_that_changed_it_is_told_at_once),
        TEST(test_two_alertmanagers_of_one_url_may_become_one_while_both_are_told),
        TEST(test_what_members_that_are_no_more_have_dropped_is_counted),
        TEST(test_two_equal_alertmanagers_are_told_both_after_a_reload),
        TEST(test_a_request_to_a_member_that_is_gone_is_given_up),
        TEST(test_a_request_under_way_goes_on_when_its_alertmanager_is_configured_anew),
        TEST(test_any_number_of_reloads_may_come_before_the_next_step),
        TEST(test_settings_that_cannot_be_change_nothing),
        TEST(test_a_prepared_change_may_be_abandoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
