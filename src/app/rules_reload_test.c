/*
 * rules_reload_test.c - groups of rules on a simulated machine: what reloads and restarts change,
 * and what goes on as it was.
 */
#include "app/rules_sim_testing.h"
#include "rules/agenda_testing.h"

/* --- reloads ---------------------------------------------------------------------------------- */

/* What a reload wants to begin, which runs until agenda_done() says otherwise. */
static struct agenda_job
begin_beginning(struct rules_sim *s)
{
    struct agenda_job job;
    int64_t until_ns;
    assert_true(agenda_take(s->agenda, env_realtime_ms(s->m.env) * NS_PER_MS,
                            env_monotonic_ns(s->m.env), &job, &until_ns));
    assert_int_equal(job.work, AGENDA_BEGIN);
    return job;
}

struct jobs {
    unsigned count;
    int64_t slots[64];
};

/* No evaluation is made twice. */
static void
note_job(struct rules_sim *s, const struct agenda_job *job)
{
    struct jobs *jobs = s->context;
    if (job->work != AGENDA_LIVE && job->work != AGENDA_MAKE_UP) return;
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
    struct agenda_job job = sim_begin_evaluation(&s);
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
    struct agenda_job job = sim_begin_evaluation(&s);
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
    struct agenda_job job = sim_begin_evaluation(&s);
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
test_a_group_that_is_away_while_it_begins_goes_on_as_it_was(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    sim_load(&s, GROUP("g", ALWAYS ", {record: more, expr: vector(2)}"));
    struct agenda_job job = begin_beginning(&s);
    sim_load(&s, NO_GROUPS);
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 20);
    sim_load(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

/* However long that takes. */
static void
test_a_group_does_not_end_while_another_one_begins_with_its_alerts(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 300);
    sim_load(&s, GROUP("other", FIRES));
    struct agenda_job job = begin_beginning(&s);
    sim_pass(&s, 120);
    s.told_count = 0;
    sim_end_evaluation(&s, &job);
    sim_pass(&s, 120);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

/* It owes nothing. */
static void
test_a_group_that_only_has_alerts_holds_up_no_others_while_it_begins(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char text[] =
        "groups:\n"
        "- {name: g, interval: 15s, rules: [" ALWAYS "]}\n"
        "- {name: h, interval: 15s, rules: [{record: again, expr: always}]}\n"
        "- {name: i, interval: 15s, rules: [%s]}\n";
    char yaml[512];
    unsigned stale;
    for (int refuses = 0; refuses <= 1; refuses++) {
        snprintf(yaml, sizeof yaml, text, SENT);
        sim_init(&s, 1, yaml);
        sim_pass(&s, 300);
        s.write_fails = refuses;
        sim_pass(&s, 60);
        snprintf(yaml, sizeof yaml, text, SENT ", " FIRES);
        sim_load(&s, yaml);
        struct agenda_job job = begin_beginning(&s);
        s.write_fails = false;
        sim_pass(&s, 90);
        assert_in_range(sim_count_samples(&s, "again", &stale), 450 / 15, 450 / 15 + 1);
        assert_int_equal(agenda_made_up(s.agenda) > 0, refuses);
        sim_end_evaluation(&s, &job);
        sim_fini(&s);
    }
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
count_firing(struct rules_sim *s, const struct agenda_job *job)
{
    unsigned *firing = s->context;
    struct group *group = agenda_entry_group(job->entry);
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
note_made_up(struct rules_sim *s, const struct agenda_job *job)
{
    unsigned *made_up = s->context;
    *made_up += job->work == AGENDA_MAKE_UP;
}

/* Each allocation of taking over is refused in turn. */
static void
test_alerts_for_which_there_was_no_memory_are_read_from_the_store(void **state)
{
    (void)state;
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        static struct rules_sim s;
        unsigned stale;
        sim_init(&s, 1, GROUP("g", FIRES ", " ALWAYS));
        sim_pass(&s, 300);
        int64_t starts_ns = s.told[0].starts_ns;
        s.told_count = 0;
        sim_load(&s, GROUP("g", FIRES ", {record: more, expr: vector(2)}"));
        mem_fail_nth(nth, false);
        struct agenda_job job = begin_beginning(&s);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        sim_end_evaluation(&s, &job);
        sim_pass(&s, 120);
        sim_check_told_as_firing(&s, SIM_TOLD_MAX);
        assert_true(s.told[0].starts_ns == starts_ns);
        sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
        assert_int_equal(stale, 0);
        sim_fini(&s);
        assert_true(nth < 100);
    }
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

/* Of the times of before some are not its own, and none between them is owed. */
static void
test_a_group_of_another_interval_makes_up_an_outage_at_all_of_its_times(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_pass(&s, 600);
    sim_start(&s, "groups:\n- {name: g, interval: 45s, rules: [" ALWAYS "]}\n");
    sim_pass(&s, 900);
    assert_in_range(agenda_made_up(s.agenda), 12, 14); /* in 600 s */
    sim_fini(&s);
}

static void
test_a_group_that_is_evaluated_more_often_owes_nothing_of_before(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 3600);
    sim_load(&s, "groups:\n- {name: g, interval: 5s, rules: [" ALWAYS "]}\n");
    sim_pass(&s, 60);
    assert_in_range(agenda_made_up(s.agenda), 0, 6); /* since the last evaluation before */
    sim_crash(&s);
    sim_start(&s, "groups:\n- {name: g, interval: 1s, rules: [" ALWAYS "]}\n");
    sim_pass(&s, 60);
    assert_in_range(agenda_made_up(s.agenda), 0, 11);
    sim_fini(&s);
}

/* The next evaluation, which takes so long. */
static void
evaluate_slowly(struct rules_sim *s, int64_t seconds)
{
    struct agenda_job job = sim_begin_evaluation(s);
    sim_env_advance_ns(s->m.sim, seconds * NS_PER_S);
    sim_end_evaluation(s, &job);
}

static void
test_what_was_missed_by_evaluations_that_took_too_long_is_not_owed_after_a_restart(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 60);
    for (int i = 0; i < 5; i++) {
        evaluate_slowly(&s, 100);
    }
    sim_pass(&s, 60);
    sim_crash(&s);
    sim_start(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 60);
    assert_in_range(agenda_made_up(s.agenda), 0, 1);
    sim_fini(&s);
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

static void
test_what_the_store_keeps_no_more_is_not_made_up(void **state)
{
    (void)state;
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    sim_crash(&s);
    sim_pass(&s, 3 * 3600);
    s.limits.kept_ns = 3600 * NS_PER_S;
    sim_start(&s, "groups:\n- {name: g, interval: 30s, query_offset: 10m, rules: [" ALWAYS "]}\n");
    sim_pass(&s, 30);
    assert_in_range(agenda_made_up(s.agenda), 99, 101); /* in 50 minutes */
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

/* What each group makes up takes most of an interval, so that what they owe would grow for ever. */
static void
test_groups_record_on_while_they_make_up_slower_than_evaluations_become_due(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned live = 0;
    int64_t until_ns;
    sim_init(&s, 1,
             "groups:\n- {name: a, interval: 30s, rules: [" ALWAYS "]}\n"
             "- {name: b, interval: 30s, rules: [" ALWAYS "]}\n");
    sim_pass(&s, 120);
    sim_crash(&s);
    sim_pass(&s, 1200);
    sim_start(&s, "groups:\n- {name: a, interval: 30s, rules: [" ALWAYS "]}\n"
                  "- {name: b, interval: 30s, rules: [" ALWAYS "]}\n");
    while (agenda_made_up(s.agenda) < 80) {
        struct agenda_job job;
        sim_env_advance_ns(s.m.sim, NS_PER_S);
        int64_t now_ns = env_realtime_ms(s.m.env) * NS_PER_MS;
        if (!agenda_take(s.agenda, now_ns, env_monotonic_ns(s.m.env), &job, &until_ns)) continue;
        if (job.work == AGENDA_MAKE_UP) sim_env_advance_ns(s.m.sim, 20 * NS_PER_S);
        live += job.work == AGENDA_LIVE && job.how.part != GROUP_ALERTING;
        sim_end_evaluation(&s, &job);
    }
    assert_true(live > 80);
    sim_fini(&s);
}

/* Else it would wait for ever. */
static void
test_a_group_that_reads_recorded_series_goes_on_when_what_is_missing_becomes_more(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char yaml[] = GROUP("g", ALWAYS ", {record: b, expr: always}");
    int64_t until_ns, began_ns, recorded_ns = 0;
    sim_init(&s, 1, yaml);
    sim_pass(&s, 120);
    sim_crash(&s);
    sim_pass(&s, 7200);
    sim_start(&s, yaml);
    began_ns = env_monotonic_ns(s.m.env);
    while (recorded_ns == 0 && agenda_made_up(s.agenda) < 100) {
        struct agenda_job job;
        sim_env_advance_ns(s.m.sim, NS_PER_S);
        int64_t now_ns = env_realtime_ms(s.m.env) * NS_PER_MS;
        if (!agenda_take(s.agenda, now_ns, env_monotonic_ns(s.m.env), &job, &until_ns)) continue;
        if (job.work == AGENDA_MAKE_UP) sim_env_advance_ns(s.m.sim, 40 * NS_PER_S);
        bool records = job.work == AGENDA_LIVE && job.how.part != GROUP_ALERTING;
        sim_end_evaluation(&s, &job);
        if (records) recorded_ns = env_monotonic_ns(s.m.env) - began_ns;
    }
    assert_in_range(recorded_ns / NS_PER_S, 600 + 2 * 300, 600 + 3 * 300);
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

static void
add_owed(void *sum, struct group *group, struct agenda_owed owed)
{
    (void)group;
    ((struct agenda_owed *)sum)->missing += owed.missing;
}

/* Three groups, some of which may be missing: of other intervals each time, and other texts. */
static void
print_random_groups(struct rules_sim *s, char *to, size_t size)
{
    static const char *const intervals[] = {"30s", "15s", "45s", "1m", "7s"};
    static const char *const expressions[] = {"vector(1)", "one0 + 1", "'requests_total{n=\"0\"}'"};
    int at = snprintf(to, size, "groups: [");
    for (unsigned i = 0; i < 3; i++) {
        uint64_t chance = sim_env_random(s->m.sim);
        if (chance % 7 == 0) continue;
        at +=
            snprintf(to + at, size - (size_t)at,
                     "{name: g%u, interval: %s, rules: [{record: one%u, expr: %s}, {alert: A, "
                     "expr: vector(%u)}]},\n",
                     i, intervals[chance / 7 % 5], i, expressions[i], (unsigned)(chance / 100 % 3));
    }
    snprintf(to + at, size - (size_t)at, "]\n");
}

static void
test_what_is_missing_is_known_and_made_up_in_the_end_whatever_happens(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const int64_t catch_up_s[] = {0, 600, 86400};
    char yaml[1024];
    for (unsigned seed = 1; seed <= 40; seed++) {
        sim_init(&s, seed, NO_GROUPS);
        s.tenant_count = 1 + seed % 2;
        print_random_groups(&s, yaml, sizeof yaml);
        sim_load(&s, yaml);
        for (unsigned step = 0; step < 40; step++) {
            uint64_t chance = sim_env_random(s.m.sim);
            s.write_fails = chance % 5 == 0;
            s.slow_ms = chance / 5 % 5 == 0 ? 3000 : 0;
            s.mute = chance / 25 % 5 == 0;
            if (chance / 125 % 10 == 0) sim_crash(&s);
            sim_pass(&s, (int64_t)(chance / 1250 % 120));
            if (chance / 125 % 10 < 2)
                sim_shift_clock(&s, (int64_t)(chance / 150000 % 3) * 600 - 600);
            if (chance / 125 % 5 == 3) s.limits.catch_up_ns = catch_up_s[chance % 3] * NS_PER_S;
            if (chance / 125 % 5 < 4) print_random_groups(&s, yaml, sizeof yaml);
            if (s.m.db == NULL)
                sim_start(&s, yaml);
            else
                sim_load(&s, yaml);
            sim_pass(&s, 1 + (int64_t)(chance / 450000 % 30));
            agenda_validate(s.agenda, sim_now_s(&s) * NS_PER_S);
        }
        s.write_fails = s.mute = false;
        s.slow_ms = 0;
        sim_pass(&s, 1800);
        struct agenda_owed owed = {0, 0};
        agenda_each_owed(s.agenda, sim_now_s(&s) * NS_PER_S, add_owed, &owed);
        if (owed.missing != 0) fail_msg("seed %u: %d are missing", seed, (int)owed.missing);
        sim_fini(&s);
    }
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
        cmocka_unit_test(test_a_group_that_is_away_while_it_begins_goes_on_as_it_was),
        cmocka_unit_test(test_a_group_does_not_end_while_another_one_begins_with_its_alerts),
        cmocka_unit_test(test_a_group_that_only_has_alerts_holds_up_no_others_while_it_begins),
        cmocka_unit_test(
            test_a_renamed_group_keeps_its_alerts_also_if_the_store_cannot_be_read_for_a_while),
        cmocka_unit_test(test_a_group_that_is_removed_while_it_runs_ends_after_it),
        cmocka_unit_test(test_of_rules_that_are_alike_each_takes_over_the_alerts_of_one),
        cmocka_unit_test(test_a_renamed_group_keeps_its_alerts),
        cmocka_unit_test(test_rules_that_a_reload_moves_to_other_groups_keep_their_alerts),
        cmocka_unit_test(
            test_a_rule_that_is_taken_out_of_its_group_and_put_back_at_once_keeps_its_alerts),
        cmocka_unit_test(test_rules_that_a_reload_puts_in_another_order_keep_their_alerts),
        cmocka_unit_test(test_alerts_for_which_there_was_no_memory_are_read_from_the_store),
        cmocka_unit_test(test_a_changed_group_goes_on_at_its_times),
        cmocka_unit_test(test_a_group_of_another_interval_makes_up_an_outage_at_all_of_its_times),
        cmocka_unit_test(test_a_group_that_is_evaluated_more_often_owes_nothing_of_before),
        cmocka_unit_test(
            test_what_was_missed_by_evaluations_that_took_too_long_is_not_owed_after_a_restart),
        cmocka_unit_test(
            test_a_series_that_ends_while_an_evaluation_takes_too_long_is_marked_stale),
        cmocka_unit_test(test_what_the_store_keeps_no_more_is_not_made_up),
        cmocka_unit_test(test_a_resolved_alert_is_forgotten_also_when_its_rule_fails),
        cmocka_unit_test(
            test_groups_record_on_while_they_make_up_slower_than_evaluations_become_due),
        cmocka_unit_test(
            test_a_group_that_reads_recorded_series_goes_on_when_what_is_missing_becomes_more),
        cmocka_unit_test(
            test_rules_are_read_back_however_many_labels_they_set_and_however_long_these_are),
        cmocka_unit_test(test_what_is_missing_is_known_and_made_up_in_the_end_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
