/*
 * rules_gap_test.c - groups of rules on a simulated machine: what evaluations make of a gap, what
 * they await after it, and for how long.
 */
#include <math.h>

#include "app/rules_sim_testing.h"

static void
test_alerts_await_their_input_when_the_clock_was_set_forward(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", SENT));
    sim_pass(&s, 1200);
    sim_pass_an_hour_ahead(&s);
    sim_pass(&s, 300);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

/* Only the sender's backlog can say whether it is over. */
static void
test_a_group_that_is_changed_after_an_outage_awaits_its_input_still(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", SENT));
    sim_pass(&s, 120);
    sim_crash(&s);
    sim_pass(&s, 600);
    s.mute = true;
    sim_start(&s, GROUP("g", SENT));
    sim_pass(&s, 60);
    sim_load(&s, GROUP("g", SENT ", " ALWAYS));
    s.told_count = 0;
    sim_pass(&s, 180);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
test_a_group_that_is_changed_after_an_outage_records_nothing_from_half_of_its_input(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char total[] = "{record: total, expr: sum(requests_total)}";
    char yaml[400], later[400];
    unsigned stale;
    snprintf(yaml, sizeof yaml, GROUP("g", "%s"), total);
    snprintf(later, sizeof later, GROUP("g", "%s, " ALWAYS), total);
    sim_init(&s, 1, yaml);
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_pass(&s, 600);
    s.mute = true;
    sim_start(&s, yaml);
    sim_pass(&s, 60);
    sim_load(&s, later);
    sim_pass(&s, 90);
    s.mute = false;
    sim_pass(&s, 450);
    assert_in_range(sim_count_samples(&s, "total", &stale), 1500 / 30 - 1, 1500 / 30);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

/* It read recorded series only, and so seemed to have all of its input. */
static void
test_a_group_that_gets_other_rules_after_an_outage_records_nothing_from_half_of_its_input(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char total[] = "- {name: h, interval: 30s, rules: [{record: total, expr: "
                                "sum(requests_total)}]}\n";
    char yaml[400], later[400];
    snprintf(yaml, sizeof yaml, GROUP("g", "{record: again, expr: total}") "%s", total);
    snprintf(later, sizeof later, GROUP("g", "{record: more, expr: sum(requests_total)}") "%s",
             total);
    for (int64_t up_s = 300; up_s < 330; up_s += 3) {
        unsigned stale;
        sim_init(&s, 1, yaml);
        sim_pass(&s, up_s);
        sim_crash(&s);
        sim_pass(&s, 600);
        s.mute = true;
        sim_start(&s, yaml);
        sim_pass(&s, 60);
        sim_load(&s, later);
        sim_pass(&s, 90);
        s.mute = false;
        sim_pass(&s, 450);
        assert_in_range(sim_count_samples(&s, "more", &stale), 1200 / 30 - 1, 1200 / 30 + 1);
        assert_int_equal(stale, 0);
        sim_fini(&s);
    }
}

/* What is evaluated meanwhile is no evidence of anything. */
static void
check_awaits_input_still(const char *yaml, const char *later, unsigned crashes, int64_t down_s)
{
    static struct rules_sim s;
    sim_init(&s, 1, yaml);
    sim_pass(&s, 240);
    sim_crash(&s);
    sim_pass(&s, 600);
    s.mute = true;
    sim_start(&s, yaml);
    sim_pass(&s, 90);
    for (unsigned i = 0; i < crashes; i++) {
        sim_crash(&s);
        sim_pass(&s, down_s);
        sim_start(&s, yaml);
        sim_pass(&s, 60);
    }
    int64_t starts_ns = s.told[0].starts_ns;
    sim_load(&s, later);
    s.told_count = 0;
    sim_pass(&s, 180);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    s.mute = false;
    sim_pass(&s, 120);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    assert_true(s.told[0].starts_ns / NS_PER_S == starts_ns / NS_PER_S); /* by its own times */
    sim_fini(&s);
}

static void
test_alerts_await_their_input_still_after_another_crash(void **state)
{
    (void)state;
    for (unsigned crashes = 1; crashes <= 2; crashes++) {
        check_awaits_input_still(GROUP("g", SENT), GROUP("g", SENT), crashes, 70);
        check_awaits_input_still(GROUP("g", SENT), GROUP("g", SENT), crashes, 1200);
        /* The outage before began longer ago than alerts are looked for. */
        check_awaits_input_still(GROUP("g", SENT), GROUP("g", SENT), crashes, 3300);
    }
}

static void
test_alerts_await_their_input_still_after_a_crash_however_long_the_machine_had_slept(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", SENT));
    sim_pass(&s, 240);
    s.mute = true;
    sim_shift_clock(&s, 5 * 3600);
    sim_pass(&s, 60);
    sim_crash(&s);
    sim_start(&s, GROUP("g", SENT));
    s.told_count = 0;
    sim_pass(&s, 180);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
test_alerts_of_a_renamed_group_await_their_input_still(void **state)
{
    (void)state;
    check_awaits_input_still(GROUP("g", SENT), GROUP("other", SENT), 0, 0);
    check_awaits_input_still(GROUP("g", SENT), GROUP("other", SENT), 1, 70);
}

/* The group that it left marks its series stale, and does not know more of its alerts. */
static void
test_alerts_of_a_rule_that_moved_when_the_machine_woke_await_their_input_still_after_a_crash(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char moved[] = "groups: [{name: g, interval: 30s, rules: [" ALWAYS "]},"
                                "{name: h, interval: 30s, rules: [" SENT "]}]";
    for (int64_t late_s = 0; late_s < 60; late_s++) {
        bool is_long = late_s % 2 == 1; /* longer ago than alerts are looked for */
        sim_init(&s, 1, GROUP("g", ALWAYS ", " SENT));
        sim_pass(&s, 300);
        s.mute = true;
        sim_shift_clock(&s, (is_long ? 3300 : 1800) + late_s / 2);
        sim_load(&s, moved);
        sim_pass(&s, is_long ? 400 : 60);
        sim_crash(&s);
        sim_start(&s, moved);
        s.told_count = 0;
        sim_pass(&s, 180);
        sim_check_told_as_firing(&s, SIM_TOLD_MAX);
        sim_fini(&s);
    }
}

/* At SIM_BEGIN it is midnight. */
#define UNTIL(seconds) "'vector(time() % 86400) < " seconds "'"

static void
test_input_that_does_not_come_back_is_awaited_for_no_longer_than_configured(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", SENT));
    sim_pass(&s, 240);
    sim_crash(&s);
    sim_pass(&s, 600);
    s.mute = true;
    sim_start(&s, GROUP("g", SENT));
    sim_pass(&s, 570); /* of catch_up_wait */
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_pass(&s, 90);
    assert_true(s.told[s.told_count - 1].ends_ns <= s.told[s.told_count - 1].at_ns);
    sim_fini(&s);
}

static void
test_a_series_that_ends_while_the_store_refuses_is_stale_if_nothing_is_made_up(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    s.limits.catch_up_ns = 0;
    sim_load(&s, GROUP("g", "{record: early, expr: " UNTIL("300") "}"));
    sim_pass(&s, 295);
    s.write_fails = true;
    sim_pass(&s, 40);
    s.write_fails = false;
    sim_count_samples(&s, "early", &stale);
    assert_int_equal(stale, 0);
    sim_pass(&s, 60);
    sim_count_samples(&s, "early", &stale);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

static void
test_a_series_that_is_not_written_at_the_first_evaluation_of_another_interval_is_stale(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char *const others[] = {"15s", "20s", "1m", "45s"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        unsigned stale;
        char yaml[200];
        sim_init(&s, 1, GROUP("g", "{record: early, expr: vector(1)}"));
        sim_pass(&s, 290);
        snprintf(yaml, sizeof yaml,
                 "groups: [{name: g, interval: %s, rules: [{record: early, expr: vector(1) < 0}]}]",
                 others[i]);
        sim_load(&s, yaml);
        sim_pass(&s, 130);
        sim_count_samples(&s, "early", &stale);
        assert_int_equal(stale, 1);
        sim_fini(&s);
    }
}

#define EACH(interval) \
    "groups: [{name: g, interval: " interval ", rules: [{record: one, expr: vector(1)}]}]"

static void
test_of_the_time_before_it_got_another_interval_a_group_owes_nothing_also_after_a_restart(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char seldom[] = EACH("5m"), often[] = EACH("13s");
    unsigned stale;
    for (int is_refused = 0; is_refused <= 1; is_refused++) { /* the first one is made up, then */
        sim_init(&s, 1, seldom);
        sim_pass(&s, 280);
        sim_load(&s, often);
        s.write_fails = is_refused;
        sim_pass(&s, 13);
        s.write_fails = false;
        sim_pass(&s, 12);
        sim_crash(&s);
        sim_start(&s, often);
        sim_pass(&s, 60); /* after a refusal, senders are awaited for half a minute */
        assert_in_range(sim_count_samples(&s, "one", &stale), 7, 9);
        sim_fini(&s);
    }
}

/* Longer than what is recorded is found: what is evaluated just when the store takes results again
 * would find nothing. */
static void
check_waits_while_the_store_refuses(bool restarts, bool changes)
{
    static struct rules_sim s;
    static const char *const more[] = {"", ", {record: more, expr: vector(2)}"};
    char yaml[2][400];
    unsigned stale;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(yaml[i], sizeof yaml[i],
                 "groups:\n"
                 "- {name: g, interval: 15s, rules: [" ALWAYS "%s]}\n"
                 "- {name: h, interval: 15s, rules: [{record: again, expr: always},"
                 " {alert: Again, expr: always > 0}]}\n",
                 more[i]);
    }
    for (int64_t up_s = 300; up_s < 315; up_s++) {
        sim_init(&s, 1, yaml[0]);
        sim_pass(&s, up_s);
        s.told_count = 0;
        s.write_fails = true;
        sim_pass(&s, 60);
        if (restarts) {
            sim_crash(&s);
            sim_start(&s, yaml[changes]);
        } else {
            sim_load(&s, yaml[changes]);
        }
        sim_pass(&s, 540);
        s.write_fails = false;
        sim_pass(&s, 300);
        unsigned count = sim_count_samples(&s, "again", &stale);
        assert_in_range(count, (up_s + 900) / 15, (up_s + 900) / 15 + 1);
        assert_int_equal(stale, 0);
        sim_check_told_as_firing(&s, SIM_TOLD_MAX);
        sim_fini(&s);
    }
}

static void
test_what_reads_recorded_series_waits_for_them_however_long_the_store_refuses(void **state)
{
    (void)state;
    check_waits_while_the_store_refuses(false, false);
}

static void
test_what_reads_recorded_series_waits_for_them_also_if_the_server_is_restarted_on_a_full_disk(
    void **state)
{
    (void)state;
    check_waits_while_the_store_refuses(true, false);
    check_waits_while_the_store_refuses(true, true);
}

static void
test_what_reads_recorded_series_waits_for_them_also_if_rules_are_edited_on_a_full_disk(void **state)
{
    (void)state;
    check_waits_while_the_store_refuses(false, true);
}

static void
test_what_the_store_refused_at_another_interval_is_made_up_also_after_one_more_reload(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, EACH("30s"));
    sim_pass(&s, 300);
    sim_load(&s, EACH("10s"));
    s.write_fails = true;
    sim_pass(&s, 300);
    sim_load(&s, "groups: [{name: g, interval: 10s, rules: [{record: one, expr: vector(2)}]}]");
    s.write_fails = false;
    sim_pass(&s, 60);
    assert_in_range(sim_count_samples(&s, "one", &stale), 10 + 35, 10 + 37);
    sim_fini(&s);
}

static void
test_alerts_are_held_after_a_machine_slept_also_if_the_interval_changes_when_it_wakes(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", "{alert: Any, expr: load}"));
    sim_pass(&s, 290);
    s.mute = true;
    sim_shift_clock(&s, 1800);
    sim_load(&s, "groups: [{name: g, interval: 15s, rules: [{alert: Any, expr: load}]}]");
    s.told_count = 0;
    sim_pass(&s, 60); /* the backlog comes later */
    assert_true(s.told_count > 0);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

/* The server's clock, not that of the sender. */
static void
test_a_clock_that_jumps_forth_and_back_around_a_reload_leaves_no_hole(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1,
             GROUP("g", "{record: 'load:sum', expr: 'sum(load)'}, {alert: Any, expr: load}"));
    s.has_own_clock = true;
    sim_pass(&s, 300);
    sim_shift_clock(&s, 340);
    sim_pass(&s, 45);
    sim_shift_clock(&s, -340);
    sim_load(&s,
             GROUP("g", "{record: 'load:sum', expr: '1 * sum(load)'}, {alert: Any, expr: load}"));
    sim_pass(&s, 1);
    sim_shift_clock(&s, 170);
    sim_pass(&s, 60);
    sim_shift_clock(&s, -170);
    sim_pass(&s, 494);
    assert_in_range(sim_count_samples(&s, "load:sum", &stale), 900 / 30 - 1, 900 / 30);
    sim_fini(&s);
}

static void
count_sample(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    (void)labels, (void)t_ms;
    *(unsigned *)context += bits != STALE_NAN_BITS;
}

/* For half an hour; for senders as well it is later, then. */
static void
sleep_with_senders(struct rules_sim *s)
{
    s->mute = true;
    sim_shift_clock(s, 1800);
    s->ahead_s -= 1800;
}

/* At each half minute from then on. */
static void
assert_all_have_input(struct rules_sim *s, int64_t from_ms)
{
    unsigned count = 0;
    int64_t now_ms = env_realtime_ms(s->m.env);
    sim_each_sample(s, "total", from_ms, now_ms, count_sample, &count);
    assert_in_range(count, (now_ms - from_ms) / 30000, (now_ms - from_ms) / 30000 + 1);
}

enum reload_when { RELOAD_NEVER, RELOAD_WHEN_SET_BACK, RELOAD_WHEN_AWAKE };

/* The last evaluation before the gap was made while the clock was ahead: nothing was sent then. */
static void
check_awaits_input_of_a_gap_after_what_was_recorded_ahead(enum reload_when reload)
{
    static struct rules_sim s;
    static const char total[] = "{record: total, expr: sum(requests_total)}";
    char yaml[400], later[400];
    snprintf(yaml, sizeof yaml, GROUP("g", "%s"), total);
    snprintf(later, sizeof later, GROUP("g", "%s, " ALWAYS), total);
    sim_init(&s, 1, yaml);
    s.has_own_clock = true;
    sim_pass(&s, 300);
    sim_shift_clock(&s, 1200);
    sim_pass(&s, 700); /* longer than input is awaited */
    struct scheduler_job job = sim_begin_evaluation(&s);
    if (reload == RELOAD_WHEN_SET_BACK) sim_load(&s, later);
    sim_shift_clock(&s, -1200);
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 60);
    sleep_with_senders(&s);
    if (reload == RELOAD_WHEN_AWAKE) sim_load(&s, later);
    sim_pass(&s, 60);
    s.mute = false;
    sim_pass(&s, 60);
    assert_all_have_input(&s, SIM_BEGIN + 2230000);
    sim_fini(&s);
}

static void
test_input_is_awaited_also_if_a_gap_begins_before_what_was_recorded_ahead(void **state)
{
    (void)state;
    check_awaits_input_of_a_gap_after_what_was_recorded_ahead(RELOAD_NEVER);
    check_awaits_input_of_a_gap_after_what_was_recorded_ahead(RELOAD_WHEN_SET_BACK);
    check_awaits_input_of_a_gap_after_what_was_recorded_ahead(RELOAD_WHEN_AWAKE);
}

/* When nothing had been sent yet, nothing was awaited, at all times up to an hour ahead. */
static void
test_input_that_was_not_awaited_ahead_of_the_clock_is_awaited_after_it_was_set_right(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", "{record: total, expr: sum(requests_total)}"));
    s.has_own_clock = s.mute = true;
    sim_pass(&s, 300);
    s.slow_ms = 1; /* there is time to make up ten minutes of it, from nothing */
    sim_shift_clock(&s, 3600);
    sim_pass(&s, 20);
    sim_shift_clock(&s, -3600);
    s.slow_ms = 0;
    s.mute = false;
    sim_pass(&s, 300);
    sleep_with_senders(&s);
    sim_pass(&s, 60);
    s.mute = false;
    sim_pass(&s, 60);
    assert_all_have_input(&s, SIM_BEGIN + 1000000);
    sim_fini(&s);
}

static void
test_an_hour_that_a_machine_slept_is_made_up_also_if_the_interval_changes_when_it_wakes(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, EACH("30s"));
    sim_pass(&s, 290);
    sim_shift_clock(&s, 3600);
    sim_load(&s, EACH("15s"));
    sim_pass(&s, 60);
    assert_in_range(sim_count_samples(&s, "one", &stale), 250, 256);
    sim_fini(&s);
}

/* Before the first evaluation at the new interval. */
static void
test_an_hour_that_a_machine_slept_after_the_interval_changed_is_made_up_whatever_came_then(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    for (int k = 0; k < 6; k++) {
        bool is_refused = k % 2 == 1;
        sim_init(&s, 1, EACH("30s"));
        sim_pass(&s, 290 + k / 2 * 10);
        sim_load(&s, EACH("15s"));
        s.terms.open = is_refused ? sim_refuse_to_open : sim_open;
        sim_pass(&s, 1);
        s.terms.open = sim_open;
        sim_shift_clock(&s, 3600);
        if (!is_refused) { /* it has begun */
            sim_load(&s,
                     "groups: [{name: g, interval: 15s, rules: [{record: one, expr: vector(2)}]}]");
        }
        sim_pass(&s, 60);
        assert_in_range(sim_count_samples(&s, "one", &stale), 250, 256);
        sim_fini(&s);
    }
}

static void
note_last_marker(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    (void)labels;
    if (bits == STALE_NAN_BITS) *(int64_t *)context = t_ms;
}

/* Whether a series that ends at a time is marked stale at most `late_s` later. */
static void
check_ends(struct rules_sim *s, const char *name, int64_t end_s, int64_t late_s)
{
    int64_t marked_ms = 0;
    sim_each_sample(s, name, 0, INT64_MAX, note_last_marker, &marked_ms);
    assert_in_range(marked_ms, end_s * 1000, (end_s + late_s) * 1000);
}

/* The first evaluations at the new interval are missed, and all of them made up before one is made
 * at its time. */
static void
test_a_series_that_ends_while_the_first_evaluations_of_another_interval_are_made_up_is_stale(
    void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char *const intervals[] = {"30s", "23s"};
    char yaml[512];
    const int64_t begin_s = SIM_BEGIN / 1000;
    for (int64_t end_s = 430; end_s < 530; end_s += 5) {
        sim_init(&s, 1, NO_GROUPS);
        for (unsigned i = 0; i < 2; i++) {
            snprintf(yaml, sizeof yaml,
                     "groups: [{name: g, interval: %s, rules: ["
                     "{record: early, expr: vector(time()) > %lld < %lld},"
                     "{record: late, expr: vector(time()) > %lld < %lld}]}]",
                     intervals[i], (long long)begin_s + 270, (long long)begin_s + 290,
                     (long long)begin_s + 310, (long long)(begin_s + end_s));
            sim_load(&s, yaml);
            s.write_fails = i == 1;
            sim_pass(&s, i == 0 ? 290 : 200);
        }
        s.write_fails = false;
        sim_pass(&s, 90);
        check_ends(&s, "early", begin_s + 290, 23);
        check_ends(&s, "late", begin_s + end_s, 23);
        sim_fini(&s);
    }
}

/* The alerts of other rules go on, and its own are known. */
static void
test_an_alert_that_can_no_longer_be_evaluated_does_not_hold_up_its_group(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", FIRES ", " SENT));
    sim_pass(&s, 300);
    sim_crash(&s);
    s.told_count = 0;
    sim_start(&s, GROUP("g", FIRES ", {alert: Sent, expr: 'load * on() load'}"));
    sim_pass(&s, 100);
    assert_true(s.told_count >= 2);
    sim_fini(&s);
}

/* Both are found by one evaluation each five minutes. With nothing made up, only that evaluation
 * itself can have left what is to be marked. */
static void
test_a_series_that_was_written_while_the_disk_hung_is_stale_when_it_ends(void **state)
{
    (void)state;
    const char *yaml = GROUP("g", "{record: brief, expr: 'vector(time() % 300) < 30'}, "
                                  "{alert: Brief, expr: 'vector(time() % 300) < 30'}");
    static const char *const names[] = {"brief", "ALERTS", "ALERTS_FOR_STATE"};
    for (int makes_up = 0; makes_up <= 1; makes_up++) {
        static struct rules_sim s;
        sim_init(&s, 1, NO_GROUPS);
        sim_pass(&s, 60); /* beyond an evaluation that finds them */
        if (!makes_up) s.limits.catch_up_ns = 0;
        sim_load(&s, yaml);
        sim_pass(&s, 300 - sim_now_s(&s) % 300);
        s.settle_hangs = true;
        sim_pass(&s, 30);
        s.settle_hangs = false;
        sim_pass(&s, 120);
        for (size_t i = 0; i < 3; i++) {
            unsigned stale;
            unsigned count = sim_count_samples(&s, names[i], &stale);
            if (!makes_up) assert_int_equal(count, 2); /* else alerts are held for a while */
            assert_int_equal(stale, 1);
        }
        assert_int_equal(s.rejected, 0);
        sim_fini(&s);
    }
}

/* --- without a checkpoint --------------------------------------------------------------------- */

static void
remove_checkpoint(struct rules_sim *s)
{
    must(env_unlink(s->m.env, STORE_DIR "/rules/state", NULL));
}

/* As versions did it that had no checkpoint: after each evaluation. */
static void
note_evaluation(struct rules_sim *s, const struct scheduler_job *job)
{
    struct rq rq;
    double seconds = 30;
    uint64_t bits;
    if (job->work != WORK_EVALUATE || !job->outcome.stored) return;
    memcpy(&bits, &seconds, sizeof bits);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=firekeep_rule_group_evaluated,rule_group=rules.yml;g,text_hash=1");
    rq_float(&rq, job->how.at_ns / NS_PER_MS, bits, 0);
    rq_close(&rq);
    must(machine_send(&s->m, "t", &rq));
    rq_fini(&rq);
    must(tsdb_commit(s->m.db, &s->m.why));
}

static void
test_a_directory_of_an_earlier_version_goes_on_where_it_was(void **state)
{
    static struct rules_sim s;
    static const char yaml[] =
        GROUP("g", "{record: total, expr: sum(requests_total)}, {alert: Long, expr: vector(1), "
                   "for: 15m}");
    unsigned stale;
    (void)state;
    sim_init(&s, 1, yaml);
    s.look = note_evaluation;
    sim_pass(&s, 600);
    sim_crash(&s);
    remove_checkpoint(&s);
    sim_pass(&s, 600);
    sim_start(&s, yaml);
    sim_pass(&s, 120);
    assert_in_range(sim_count_samples(&s, "total", &stale), 1320 / 30 - 1, 1320 / 30);
    assert_int_equal(stale, 0);
    sim_pass(&s, 15 * 60 - 600 + 300); /* the rest of `for`, at least grace_period */
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
test_without_a_checkpoint_alerts_are_active_since_the_same_time(void **state)
{
    static struct rules_sim s;
    struct buf before, after;
    (void)state;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 600);
    int64_t now_ms = env_realtime_ms(s.m.env);
    sim_crash(&s);
    remove_checkpoint(&s);
    s.told_count = 0;
    sim_start(&s, GROUP("g", FIRES));
    sim_pass(&s, 60);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    buf_init(&before, NULL, 1 << 20);
    buf_init(&after, NULL, 1 << 20);
    sim_dump(&s, "ALERTS_FOR_STATE", now_ms - 30000, now_ms, &before);
    sim_dump(&s, "ALERTS_FOR_STATE", now_ms + 1, INT64_MAX, &after);
    buf_put_u8(&before, '\0');
    buf_put_u8(&after, '\0');
    const char *a = strrchr((const char *)before.at, ' '),
               *b = strchr((const char *)after.at, '\n');
    assert_non_null(a);
    assert_non_null(b);
    while (*b != ' ') {
        b--;
    }
    assert_memory_equal(a, b, strlen(a)); /* the value: since when */
    buf_fini(&before);
    buf_fini(&after);
    sim_fini(&s);
}

/* The checkpoint is older than what is tolerated: alerts begin anew, recording rules go on. */
static void
test_alerts_of_an_old_checkpoint_begin_anew(void **state)
{
    static struct rules_sim s;
    unsigned stale;
    (void)state;
    sim_init(&s, 1, GROUP("g", ALWAYS ", " FIRES));
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_pass(&s, 3700);
    s.told_count = 0;
    sim_start(&s, GROUP("g", ALWAYS ", " FIRES));
    sim_pass(&s, 60);
    assert_int_equal(s.told_count, 0);
    assert_in_range(sim_count_samples(&s, "always", &stale), 4060 / 30 - 2, 4060 / 30 + 1);
    sim_pass(&s, 180);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

/* Samples of that time may be lost with the log; here they are not, and are found to be stored. */
static void
test_cursors_go_back_to_where_a_lost_log_began(void **state)
{
    static struct rules_sim s;
    struct scheduler_totals totals;
    (void)state;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 600);
    sim_stop(&s);
    s.lost_from_ns = env_realtime_ms(s.m.env) * NS_PER_MS - 300 * NS_PER_S;
    sim_start(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 60);
    scheduler_totals(s.scheduler, &totals);
    assert_in_range(totals.filled, 300 / 30, 360 / 30 + 1);
    assert_int_equal(totals.different, 0);
    assert_int_equal(s.rejected, 0);
    sim_fini(&s);
}

/* Longer than a query finds samples: senders keep theirs, too. */
static void
test_alerts_are_held_while_the_store_refuses_also_if_nothing_is_recorded(void **state)
{
    static struct rules_sim s;
    (void)state;
    sim_init(&s, 1, GROUP("g", SENT));
    sim_pass(&s, 120);
    s.told_count = 0;
    s.write_fails = s.mute = true;
    sim_pass(&s, 480);
    s.write_fails = s.mute = false;
    s.per_second = 5;
    sim_pass(&s, 300);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alerts_await_their_input_when_the_clock_was_set_forward),
        cmocka_unit_test(test_a_group_that_is_changed_after_an_outage_awaits_its_input_still),
        cmocka_unit_test(
            test_a_group_that_is_changed_after_an_outage_records_nothing_from_half_of_its_input),
        cmocka_unit_test(
            test_a_group_that_gets_other_rules_after_an_outage_records_nothing_from_half_of_its_input),
        cmocka_unit_test(test_alerts_await_their_input_still_after_another_crash),
        cmocka_unit_test(
            test_alerts_await_their_input_still_after_a_crash_however_long_the_machine_had_slept),
        cmocka_unit_test(test_alerts_of_a_renamed_group_await_their_input_still),
        cmocka_unit_test(
            test_alerts_of_a_rule_that_moved_when_the_machine_woke_await_their_input_still_after_a_crash),
        cmocka_unit_test(
            test_input_that_does_not_come_back_is_awaited_for_no_longer_than_configured),
        cmocka_unit_test(
            test_a_series_that_ends_while_the_store_refuses_is_stale_if_nothing_is_made_up),
        cmocka_unit_test(
            test_a_series_that_is_not_written_at_the_first_evaluation_of_another_interval_is_stale),
        cmocka_unit_test(
            test_of_the_time_before_it_got_another_interval_a_group_owes_nothing_also_after_a_restart),
        cmocka_unit_test(
            test_what_reads_recorded_series_waits_for_them_however_long_the_store_refuses),
        cmocka_unit_test(
            test_what_reads_recorded_series_waits_for_them_also_if_the_server_is_restarted_on_a_full_disk),
        cmocka_unit_test(
            test_what_reads_recorded_series_waits_for_them_also_if_rules_are_edited_on_a_full_disk),
        cmocka_unit_test(
            test_what_the_store_refused_at_another_interval_is_made_up_also_after_one_more_reload),
        cmocka_unit_test(
            test_alerts_are_held_after_a_machine_slept_also_if_the_interval_changes_when_it_wakes),
        cmocka_unit_test(test_a_clock_that_jumps_forth_and_back_around_a_reload_leaves_no_hole),
        cmocka_unit_test(
            test_input_that_was_not_awaited_ahead_of_the_clock_is_awaited_after_it_was_set_right),
        cmocka_unit_test(test_input_is_awaited_also_if_a_gap_begins_before_what_was_recorded_ahead),
        cmocka_unit_test(
            test_an_hour_that_a_machine_slept_is_made_up_also_if_the_interval_changes_when_it_wakes),
        cmocka_unit_test(
            test_an_hour_that_a_machine_slept_after_the_interval_changed_is_made_up_whatever_came_then),
        cmocka_unit_test(
            test_a_series_that_ends_while_the_first_evaluations_of_another_interval_are_made_up_is_stale),
        cmocka_unit_test(test_an_alert_that_can_no_longer_be_evaluated_does_not_hold_up_its_group),
        cmocka_unit_test(test_a_series_that_was_written_while_the_disk_hung_is_stale_when_it_ends),
        cmocka_unit_test(test_a_directory_of_an_earlier_version_goes_on_where_it_was),
        cmocka_unit_test(test_without_a_checkpoint_alerts_are_active_since_the_same_time),
        cmocka_unit_test(test_alerts_of_an_old_checkpoint_begin_anew),
        cmocka_unit_test(test_cursors_go_back_to_where_a_lost_log_began),
        cmocka_unit_test(test_alerts_are_held_while_the_store_refuses_also_if_nothing_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
