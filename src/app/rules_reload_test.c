/*
 * rules_reload_test.c - groups of rules on a simulated machine: what reloads and restarts change,
 * and what goes on as it was.
 */
#include "app/rules_sim_testing.h"

/* --- reloads ---------------------------------------------------------------------------------- */

struct jobs {
    unsigned count;
    int64_t slots[64];
};

/* No evaluation is made twice. */
static void
note_job(struct rules_sim *s, const struct scheduler_job *job)
{
    struct jobs *jobs = s->context;
    if (job->work != WORK_EVALUATE && job->work != WORK_FILL) return;
    for (unsigned i = 0; i < jobs->count; i++) {
        assert_int_not_equal(jobs->slots[i], job->slot);
    }
    assert_true(jobs->count < 64);
    jobs->slots[jobs->count++] = job->slot;
}

/* Until when those that were told last take the alert for firing. */
static int64_t
told_until_ns(const struct rules_sim *s)
{
    assert_true(s->told_count > 0);
    return s->told[s->told_count - 1].ends_ns;
}

static void
pass_while_it_is_known_to_fire(struct rules_sim *s, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i += 10) {
        sim_pass(s, 10);
        assert_true(told_until_ns(s) > env_realtime_ms(s->m.env) * NS_PER_MS);
    }
}

static void
test_an_alert_stays_known_when_it_is_evaluated_or_told_less_often(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 300);
    s.terms.resend_ns = 1800 * NS_PER_S;
    pass_while_it_is_known_to_fire(&s, 4000);
    s.terms.resend_ns = 60 * NS_PER_S;
    pass_while_it_is_known_to_fire(&s, 600);
    sim_load(&s, "groups:\n- {name: g, interval: 2h, rules: [" FIRES "]}\n");
    pass_while_it_is_known_to_fire(&s, 8000);
    sim_fini(&s);
}

static void
test_a_group_that_is_changed_and_removed_while_it_runs_ends_after_it(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    struct scheduler_job job = sim_begin_evaluation(&s);
    sim_load(&s, GROUP("g", ALWAYS ", {record: more, expr: vector(2)}"));
    sim_load(&s, NO_GROUPS);
    sim_pass(&s, 300);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 0);
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 5);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

static void
test_a_group_that_is_removed_while_it_runs_ends_after_it(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    struct scheduler_job job = sim_begin_evaluation(&s);
    sim_load(&s, NO_GROUPS);
    sim_pass(&s, 300);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 0);
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 5);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

/* Of a group that is evaluated in the same millisecond as "a". */
static void
name_of_same_time(char *ret, size_t size)
{
    struct schedule a, other;
    must(schedule_of("rules.yml", "a", 30 * NS_PER_S, &a));
    for (unsigned i = 0;; i++) {
        snprintf(ret, size, "b%u", i);
        must(schedule_of("rules.yml", ret, 30 * NS_PER_S, &other));
        if (other.shift_ns / NS_PER_MS == a.shift_ns / NS_PER_MS) return;
    }
}

/* The alert of "a" fires through a restart, beside a group with an alert of its name and these
 * times that finds nothing: nobody is told that it is over. */
static void
check_restart_beside(const char *labels_of_a, const char *labels_of_other)
{
    static struct rules_sim s;
    char name[32], two[512];
    unsigned stale;
    name_of_same_time(name, sizeof name);
    snprintf(two, sizeof two,
             "groups:\n"
             "- {name: a, interval: 30s, labels: %s, rules: [" FIRES "]}\n"
             "- {name: %s, interval: 30s, labels: %s, rules: [{alert: Fires, expr: "
             "'vector(1) > 2'}]}\n",
             labels_of_a, name, labels_of_other);
    sim_init(&s, 1, two);
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_start(&s, two);
    sim_pass(&s, 300);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_count_samples(&s, "ALERTS.*", &stale);
    assert_int_equal(stale, 1); /* that it is pending */
    assert_int_equal(s.rejected, 0);
    sim_fini(&s);
}

static void
test_a_group_does_not_take_an_alert_of_another_one_for_its_own_after_a_restart(void **state)
{
    (void)state;
    check_restart_beside("{of: a}", "{of: b}");
}

static void
test_what_two_groups_cannot_tell_apart_is_not_resolved_after_a_restart(void **state)
{
    (void)state;
    check_restart_beside("{of: '{{ 1 }}'}", "{}");
}

static void
test_what_two_rules_of_a_group_cannot_tell_apart_is_not_resolved_after_a_restart(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char two[] = GROUP("g", FIRES ", {alert: Fires, expr: 'vector(1) > 2'}");
    sim_init(&s, 1, two);
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_start(&s, two);
    sim_pass(&s, 300);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
test_a_group_that_is_away_for_one_reload_goes_on_as_it_was(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 300);
    sim_check_told_as_firing(&s, 4);
    unsigned told = s.told_count;
    sim_load(&s, NO_GROUPS);
    sim_pass(&s, 20);
    sim_load(&s, GROUP("g", FIRES));
    sim_pass(&s, 180);
    sim_check_told_as_firing(&s, told + 3); /* as often as if nothing had happened */
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

static void
test_a_group_that_is_away_while_it_runs_is_not_evaluated_twice(void **state)
{
    (void)state;
    static struct rules_sim s;
    static struct jobs jobs;
    unsigned stale;
    jobs.count = 0;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    s.look = note_job;
    s.context = &jobs;
    sim_pass(&s, 120);
    struct scheduler_job job = sim_begin_evaluation(&s);
    sim_load(&s, NO_GROUPS);
    sim_pass(&s, 5);
    sim_load(&s, GROUP("g", ALWAYS ", {record: more, expr: vector(2)}"));
    sim_pass(&s, 5);
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 120);
    unsigned made = sim_count_samples(&s, "always", &stale);
    assert_int_equal(made, jobs.count);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

static void
test_a_renamed_group_keeps_its_alerts_also_if_the_store_cannot_be_read_for_a_while(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, "groups: [{name: g, interval: 10s, rules: [" FIRES "]}]");
    sim_pass(&s, 300);
    s.terms.open = sim_refuse_to_open;
    sim_load(&s, "groups: [{name: other, interval: 10s, rules: [" FIRES "]}]");
    sim_pass(&s, 50);
    s.terms.open = sim_open;
    s.told_count = 0;
    sim_pass(&s, 60);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
check_fires(void *context, const struct alert *alert)
{
    unsigned *firing = context;
    *firing += alert->state == ALERT_FIRING;
}

static void
count_firing(struct rules_sim *s, const struct scheduler_job *job)
{
    unsigned *firing = s->context;
    struct group *group = sim_group(job);
    *firing = 0;
    for (uint32_t i = 0; i < group_text(group)->rule_count; i++) {
        group_each_alert(group, i, check_fires, firing);
    }
}

static void
test_of_rules_that_are_alike_each_takes_over_the_alerts_of_one(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned firing = 0;
    sim_init(&s, 1, GROUP("g", FIRES ", " FIRES ", " FIRES));
    s.look = count_firing;
    s.context = &firing;
    sim_pass(&s, 300);
    assert_int_equal(firing, 3);
    sim_load(&s, GROUP("g", ALWAYS ", " FIRES ", " FIRES ", " FIRES ", " FIRES));
    sim_pass(&s, 40);
    assert_int_equal(firing, 3);
    sim_pass(&s, 120);
    assert_int_equal(firing, 4);
    sim_fini(&s);
}

static void
test_a_renamed_group_keeps_its_alerts(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 300);
    for (int i = 0; i < 4; i++) {
        sim_load(&s, i % 2 == 0 ? GROUP("other", FIRES) : GROUP("g", FIRES));
        sim_pass(&s, 100);
    }
    for (uint32_t i = 0; i < s.told_count; i++) {
        assert_true(s.told[i].ends_ns > s.told[i].at_ns);
    }
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

#define TWO_GROUPS(g, h) \
    "groups: [{name: g, interval: 30s, rules: [" g "]}, {name: h, interval: 30s, rules: [" h "]}]"

/* Every second, so that evaluations are due at some of the reloads. */
static void
test_rules_that_a_reload_moves_to_other_groups_keep_their_alerts(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char *const places[] = {
        TWO_GROUPS(ALWAYS, FIRES ", " SENT),
        TWO_GROUPS(ALWAYS ", " SENT, FIRES),
        GROUP("g", ALWAYS ", " FIRES ", " SENT),
        TWO_GROUPS(FIRES, ALWAYS ", " SENT),
    };
    for (int64_t late_s = 0; late_s < 30; late_s++) {
        sim_init(&s, 1, TWO_GROUPS(FIRES, SENT));
        sim_pass(&s, 300);
        int64_t begun_ns = env_realtime_ms(s.m.env) * NS_PER_MS;
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            s.told_count = 0;
            sim_shift_clock(&s, late_s);
            sim_load(&s, places[i]);
            sim_pass(&s, 100);
            assert_true(s.told_count >= 2);
            for (uint32_t k = 0; k < s.told_count; k++) {
                assert_true(s.told[k].starts_ns < begun_ns);
                assert_true(s.told[k].ends_ns > s.told[k].at_ns);
            }
        }
        sim_fini(&s);
    }
}

/* It is not known to be over. */
static void
test_a_rule_that_is_taken_out_of_its_group_and_put_back_at_once_keeps_its_alerts(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS ", " FIRES));
    sim_pass(&s, 300);
    sim_load(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 1);
    sim_load(&s, GROUP("g", ALWAYS ", " FIRES));
    sim_pass(&s, 100);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

/* Also those of which another one has the name and the labels. */
static void
test_rules_that_a_reload_puts_in_another_order_keep_their_alerts(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", FIRES ", " SENT ", " FIRES));
    sim_pass(&s, 300);
    int64_t begun_ns = env_realtime_ms(s.m.env) * NS_PER_MS;
    for (int i = 0; i < 4; i++) {
        s.told_count = 0;
        sim_load(&s, i % 2 == 0 ? GROUP("g", ALWAYS ", " FIRES ", " FIRES ", " SENT)
                                : GROUP("g", FIRES ", " SENT ", " FIRES));
        sim_pass(&s, 100);
        assert_true(s.told_count >= 3);
        for (uint32_t k = 0; k < s.told_count; k++) {
            assert_true(s.told[k].starts_ns < begun_ns);
            assert_true(s.told[k].ends_ns > s.told[k].at_ns);
        }
    }
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

static void
note_made_up(struct rules_sim *s, const struct scheduler_job *job)
{
    unsigned *made_up = s->context;
    *made_up += job->work == WORK_FILL;
}

static void
test_a_changed_group_goes_on_at_its_times(void **state)
{
    (void)state;
    static struct rules_sim s;
    static unsigned made_up;
    unsigned stale;
    made_up = 0;
    sim_init(&s, 1, GROUP("g", ALWAYS ", {record: sent, expr: requests_total}"));
    s.look = note_made_up;
    s.context = &made_up;
    sim_pass(&s, 150);
    s.mute = true; /* what it reads does not come on */
    sim_load(&s, GROUP("g", ALWAYS ", {record: sent, expr: requests_total * 2}"));
    unsigned before = sim_count_samples(&s, "always", &stale);
    sim_pass(&s, 150);
    assert_int_equal(sim_count_samples(&s, "always", &stale), before + 5);
    assert_int_equal(made_up, 0);
    sim_fini(&s);
}

/* The next evaluation, which takes so long. */
static void
evaluate_slowly(struct rules_sim *s, int64_t seconds)
{
    struct scheduler_job job = sim_begin_evaluation(s);
    sim_env_advance_ns(s->m.sim, seconds * NS_PER_S);
    sim_end_evaluation(s, &job);
}

static void
test_a_series_that_ends_while_an_evaluation_takes_too_long_is_marked_stale(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", "{record: brief, expr: 'vector(time() % 86400) < 400'}"));
    sim_pass(&s, 330);
    evaluate_slowly(&s, 130);
    sim_pass(&s, 60);
    sim_count_samples(&s, "brief", &stale);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

static enum err
open_fails(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    (void)context, (void)control, (void)ret_view;
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* The memory of thousands of them may be what the evaluations lack. */
static void
test_a_resolved_alert_is_forgotten_also_when_its_rule_fails(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", "{alert: Brief, expr: 'vector(time() % 86400) < 300'}"));
    sim_pass(&s, 360);
    s.terms.open = open_fails;
    int64_t over_ns = s.told[s.told_count - 1].ends_ns;
    assert_true(over_ns <= s.told[s.told_count - 1].at_ns);
    sim_pass(&s, 1800);
    assert_in_range(s.told[s.told_count - 1].at_ns - over_ns, 840 * NS_PER_S, 930 * NS_PER_S);
    sim_fini(&s);
}

/* So many labels, in YAML. */
static void
put_labels(struct buf *to, const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        buf_printf(to, "%s%s%u: v", i == 0 ? "" : ", ", prefix, i);
    }
}

/* Two groups that record one name, whose series differ in the last label, or in a long value. */
static void
put_wide_rules(struct buf *to, const char *x, const char *y)
{
    char name[32]; /* of one that is evaluated at the same times */
    name_of_same_time(name, sizeof name);
    const struct {
        const char *group, *last, *expression;
    } wide[] = {{"a", x, "load > 30"}, {name, y, "load < 70"}};
    buf_put_text(to, "groups:\n");
    for (size_t i = 0; i < 2; i++) {
        buf_printf(to, "- name: %s\n  interval: 30s\n  labels: {", wide[i].group);
        put_labels(to, "l", RULE_TEXTS_MAX);
        buf_printf(to, "}\n  rules:\n  - {record: \"load:wide\", expr: \"%s\", labels: {l7: \"\", ",
                   wide[i].expression);
        put_labels(to, "m", RULE_TEXTS_MAX - 2);
        buf_printf(to, ", z: %s}}\n", wide[i].last);
    }
    buf_put_u8(to, '\0');
    must(buf_error(to));
}

static void
compare_wide(const char *x, const char *y)
{
    static struct rules_sim sims[2];
    struct buf yaml;
    buf_init(&yaml, NULL, 1 << 20);
    put_wide_rules(&yaml, x, y);
    const char *wide = (const char *)yaml.at;
    for (size_t i = 0; i < 2; i++) {
        sim_init(&sims[i], 8, wide);
        sims[i].m.limits.labels = (struct labels_limits){300, 100, 8192};
        tsdb_set_limits(sims[i].m.db, &sims[i].m.limits);
    }
    struct rules_sim *whole = &sims[0], *broken = &sims[1];
    sim_pass(broken, 600);
    sim_crash(broken);
    sim_pass(broken, 600);
    sim_start(broken, wide);
    sim_pass(broken, 900);
    sim_pass(whole, 2100);
    struct buf a, b;
    buf_init(&a, NULL, 64 << 20);
    buf_init(&b, NULL, 64 << 20);
    sim_dump(whole, "load:wide", 0, SIM_BEGIN + 2000 * 1000, &a);
    sim_dump(broken, "load:wide", 0, SIM_BEGIN + 2000 * 1000, &b);
    assert_true(a.size > 100000);
    assert_int_equal(broken->rejected, 0);
    sim_assert_same(&a, &b);
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&yaml);
    sim_fini(whole);
    sim_fini(broken);
}

static void
test_rules_are_read_back_however_many_labels_they_set_and_however_long_these_are(void **state)
{
    char x[6000], y[6000];
    (void)state;
    compare_wide("a", "b");
    memset(x, 'x', sizeof x - 1);
    x[sizeof x - 1] = '\0';
    memcpy(y, x, sizeof y);
    y[sizeof y - 2] = 'y';
    compare_wide(x, y);
}

/* The server was down, and waits for what senders have kept: which series the rules wrote last is
 * not known yet. */
static void
test_series_of_rules_that_are_removed_during_a_gap_are_marked_stale(void **state)
{
    static struct rules_sim s;
    unsigned stale;
    (void)state;
    sim_init(&s, 1,
             GROUP("g", ALWAYS ", {record: removed, expr: vector(2)}") "---\n" GROUP(
                 "h", "{record: deleted, expr: vector(3)}"));
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_pass(&s, 60);
    s.per_second = 20;
    sim_start(&s, GROUP("g", ALWAYS ", {record: removed, expr: vector(2)}") "---\n" GROUP(
                      "h", "{record: deleted, expr: vector(3)}"));
    sim_pass(&s, 1);
    sim_load(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 180);
    sim_count_samples(&s, "removed", &stale);
    assert_int_equal(stale, 1);
    sim_count_samples(&s, "deleted", &stale);
    assert_int_equal(stale, 1);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_alert_stays_known_when_it_is_evaluated_or_told_less_often),
        cmocka_unit_test(test_a_group_that_is_changed_and_removed_while_it_runs_ends_after_it),
        cmocka_unit_test(
            test_a_group_does_not_take_an_alert_of_another_one_for_its_own_after_a_restart),
        cmocka_unit_test(test_what_two_groups_cannot_tell_apart_is_not_resolved_after_a_restart),
        cmocka_unit_test(
            test_what_two_rules_of_a_group_cannot_tell_apart_is_not_resolved_after_a_restart),
        cmocka_unit_test(test_a_group_that_is_away_for_one_reload_goes_on_as_it_was),
        cmocka_unit_test(test_a_group_that_is_away_while_it_runs_is_not_evaluated_twice),
        cmocka_unit_test(
            test_a_renamed_group_keeps_its_alerts_also_if_the_store_cannot_be_read_for_a_while),
        cmocka_unit_test(test_a_group_that_is_removed_while_it_runs_ends_after_it),
        cmocka_unit_test(test_of_rules_that_are_alike_each_takes_over_the_alerts_of_one),
        cmocka_unit_test(test_a_renamed_group_keeps_its_alerts),
        cmocka_unit_test(test_rules_that_a_reload_moves_to_other_groups_keep_their_alerts),
        cmocka_unit_test(
            test_a_rule_that_is_taken_out_of_its_group_and_put_back_at_once_keeps_its_alerts),
        cmocka_unit_test(test_rules_that_a_reload_puts_in_another_order_keep_their_alerts),
        cmocka_unit_test(test_a_changed_group_goes_on_at_its_times),
        cmocka_unit_test(
            test_a_series_that_ends_while_an_evaluation_takes_too_long_is_marked_stale),
        cmocka_unit_test(test_a_resolved_alert_is_forgotten_also_when_its_rule_fails),
        cmocka_unit_test(
            test_rules_are_read_back_however_many_labels_they_set_and_however_long_these_are),
        cmocka_unit_test(test_series_of_rules_that_are_removed_during_a_gap_are_marked_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
