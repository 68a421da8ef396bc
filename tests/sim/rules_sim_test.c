/*
 * rules_sim_test.c - groups of rules on a simulated machine: the order in which alerts are sent,
 * the data that an evaluation exposes, and its limits. rules_stories_test.c has the rest.
 */
#include "lib/test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "sim/rules_sim.h"

#define ONE(name)        "{alert: " name ", expr: vector(1)},"
#define ALWAYS_OTHERWISE "{record: always, expr: vector(1) + 0}"

/* A queue that overflows keeps the last alerts. Their endsAt is four resends away. */
UNIT_TEST(test_each_alert_is_among_the_last_sent_once_in_four_resends)
{
    enum { ALERTS = 12, KEPT = 5, RESENDS = 20, EACH = 4 };
    static struct rules_sim s;
    sim_init(&s, 1,
             GROUP("g", ONE("A") ONE("B") ONE("C") ONE("D") ONE("E") ONE("F") ONE("G") ONE("H")
                            ONE("I") ONE("J") ONE("K") ONE("L")));
    sim_pass(&s, 90 * (RESENDS + 2)); /* sent again after more than 60 s, at the next evaluation */
    assert_true(s.sent_count >= RESENDS * ALERTS);
    for (unsigned from = 0; from + EACH <= RESENDS; from++) {
        bool arrived[ALERTS] = {false};
        for (unsigned i = from * ALERTS; i < (from + EACH) * ALERTS; i++) {
            const char *name = strchr(s.sent[i].labels, '"');
            assert_non_null(name);
            assert_in_range(name[1], 'A', 'L');
            if (i % ALERTS >= ALERTS - KEPT) arrived[name[1] - 'A'] = true;
        }
        for (unsigned i = 0; i < ALERTS; i++)
            assert_true(arrived[i]);
    }
    sim_fini(&s);
}

static int64_t asked; /* counts reads of the clock */

static int64_t
second_for_each_question(struct env *env)
{
    (void)env;
    return ++asked * NS_PER_S;
}

/* Evaluates with a clock that advances by a second whenever it is read. */
static void
evaluate_by_questions(struct rules_sim *s, struct scheduler_job *job)
{
    const struct env_ops *ops = s->m.env->ops;
    struct env_ops slow = *ops;
    slow.monotonic_ns = second_for_each_question;
    s->m.env->ops = &slow;
    scheduler_run(s->scheduler, job, &s->terms);
    s->m.env->ops = ops;
    scheduler_done(s->scheduler, job, env_monotonic_ns(s->m.env));
}

static struct group_facts
facts_of_next(struct rules_sim *s)
{
    struct group_facts facts;
    struct scheduler_job job;
    sim_begin(s, WORK_EVALUATE, &job);
    asked = 0;
    evaluate_by_questions(s, &job);
    group_facts(job.entry->group, &facts);
    return facts;
}

UNIT_TEST(test_facts_are_those_of_the_last_evaluation_and_sums_of_all)
{
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS ", " FIRES));
    sim_pass(&s, 120);
    struct group_facts before = facts_of_next(&s), after = facts_of_next(&s);
    assert_int_equal(after.iterations, before.iterations + 1);
    assert_int_equal(after.evaluations, before.evaluations + 2);
    assert_int_equal(after.failures, 0);
    assert_int_equal(after.samples, 3); /* ALERTS, ALERTS_FOR_STATE */
    assert_true(after.rules_took_ns > 0);
    assert_int_equal(after.rules_took_ns, before.rules_took_ns);
    assert_true(after.rules_took_ns < after.evaluated_for_ns);
    s.terms.open = sim_refuse_to_open;
    before = after;
    after = facts_of_next(&s);
    assert_int_equal(after.evaluations, before.evaluations + 2);
    assert_int_equal(after.failures, 2);
    assert_int_equal(after.samples, 0);
    sim_fini(&s);
}

UNIT_TEST(test_texts_of_alerts_have_the_time_of_a_query)
{
    enum { TIMEOUT_S = 400 };
    static struct rules_sim s;
    sim_init(&s, 1,
             GROUP("g", "{alert: Many, expr: 'vector(1) or label_replace(vector(2), \"x\", "
                        "\"y\", \"\", \"\")', annotations: {one: '{{ 1 }}'}}"));
    sim_pass(&s, 120);
    struct scheduler_job job;
    sim_begin(&s, WORK_EVALUATE, &job);
    s.terms.timeout_ns = TIMEOUT_S * NS_PER_S;
    asked = 0;
    evaluate_by_questions(&s, &job);
    assert_int_equal(job.outcome.failed, 0);
    assert_true(asked < TIMEOUT_S);
    struct buf yaml;
    buf_init(&yaml, NULL, 1 << 20);
    buf_put_text(&yaml, "groups:\n- {name: g, interval: 30s, rules: [{alert: Many, expr: 'vector(1)"
                        "', annotations: {");
    for (unsigned i = 0; i < RULE_TEXTS_MAX; i++)
        buf_printf(&yaml, "%sa%u: '{{ 1 }}'", i == 0 ? "" : ", ", i);
    buf_put_text(&yaml, "}, labels: {");
    for (unsigned i = 0; i < RULE_TEXTS_MAX; i++)
        buf_printf(&yaml, "%sl%u: '{{ 1 }}'", i == 0 ? "" : ", ", i);
    buf_put_text(&yaml, "}}]}\n");
    buf_put_u8(&yaml, '\0');
    sim_load(&s, (const char *)yaml.at);
    sim_pass(&s, 1);
    sim_begin(&s, WORK_EVALUATE, &job);
    s.terms.timeout_ns = TIMEOUT_S / 2 * NS_PER_S;
    evaluate_by_questions(&s, &job);
    assert_int_equal(job.outcome.failed, 1);
    struct group *group = job.entry->group;
    assert_non_null(strstr((const char *)group_rule_error(group, 0).at, "labels and annotations"));
    buf_fini(&yaml);
    sim_fini(&s);
}

static struct rules_sim reloaded;
static unsigned reloads;

/* Opens the view; the first one of a fill reloads the rules, which cancels the fill. */
static enum err
reload_in_fill(void *context, struct query_control *control, struct view **ret_view,
               struct why *why)
{
    struct scheduler *scheduler = reloaded.scheduler;
    if (scheduler->filling > 0 && reloads++ == 0) {
        sim_load(&reloaded, GROUP("g", ALWAYS ", {record: more, expr: vector(2)}"));
        assert_int_equal(query_control_check(control, why), ERR_CANCELED);
        assert_int_equal(scheduler->items[0]->state, SCHEDULED_NEW);
    }
    return sim_open(context, control, ret_view, why);
}

UNIT_TEST(test_a_reload_ends_a_fill_of_groups_that_it_replaces)
{
    sim_init(&reloaded, 1, GROUP("g", ALWAYS));
    sim_pass(&reloaded, 300);
    sim_crash(&reloaded);
    sim_pass(&reloaded, 600);
    reloaded.terms.open = reload_in_fill;
    sim_start(&reloaded, GROUP("g", ALWAYS));
    sim_pass(&reloaded, 60);
    assert_true(reloads > 1);
    assert_int_equal(reloaded.scheduler->items[0]->state, SCHEDULED_READY);
    assert_in_range(sim_find(&reloaded, "always", 0).samples, 960 / 30 - 1, 960 / 30 + 1);
    assert_int_equal(sim_find(&reloaded, "always", 0).stale, 0);
    sim_fini(&reloaded);
}

UNIT_TEST(test_a_reload_frees_groups_whose_state_and_series_others_have)
{
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 300);
    for (unsigned i = 0; i < 10; i++) { /* the rule's labels are the same, its text is not */
        sim_load(&s, i % 2 == 0 ? GROUP("g", ALWAYS_OTHERWISE) : GROUP("g", ALWAYS));
        assert_int_equal(s.scheduler->items[0]->state, SCHEDULED_READY);
        assert_null(s.scheduler->items[0]->tenant->retired);
        assert_int_equal(s.scheduler->unmarked, 0);
    }
    sim_load(&s, GROUP("g", FIRES)); /* now its series has to be marked */
    assert_non_null(s.scheduler->items[0]->tenant->retired);
    sim_pass(&s, 300);
    assert_null(s.scheduler->items[0]->tenant->retired);
    assert_int_equal(sim_find(&s, "always", 0).stale, 1);
    sim_fini(&s);
}

/* Each change is followed by a checkpoint within a second. */
UNIT_TEST(test_alerts_that_stay_as_they_are_need_no_checkpoint)
{
    static struct rules_sim s;
    sim_init(&s, 1, GROUP("g", FIRES));
    sim_pass(&s, 300);
    uint64_t changes = s.scheduler->changes;
    assert_in_range(changes, 1, 3);
    sim_pass(&s, 600);
    assert_int_equal(s.scheduler->changes, changes);
    sim_fini(&s);
}

/* Of each group an alert begins or ends each second, at other times than those of the others. */
UNIT_TEST(test_checkpoints_are_a_second_apart_while_alerts_change)
{
    enum { SECONDS = 60 };
    static struct rules_sim s;
    char rules[1024];
    int size = sprintf(rules, "groups:\n");
    for (int i = 0; i < 8; i++) {
        size += sprintf(rules + size,
                        "- {name: g%d, interval: 1s, rules: [{alert: A%d, "
                        "expr: 'floor(vector(time())) %% 2 > 0'}]}\n",
                        i, i);
    }
    sim_init(&s, 1, rules);
    sim_pass(&s, 10);
    struct scheduler_totals before, after;
    scheduler_totals(s.scheduler, &before);
    uint64_t changes = s.scheduler->changes;
    sim_pass(&s, SECONDS);
    scheduler_totals(s.scheduler, &after);
    assert_true(s.scheduler->changes - changes > 4 * SECONDS);
    assert_in_range(after.checkpoints - before.checkpoints, SECONDS / 2, SECONDS + 1);
    sim_fini(&s);
}

/* The clock was set back: the last evaluation of "slow" becomes past while a pass runs that does
 * not find its series. */
UNIT_TEST(test_catch_up_lasts_while_series_of_a_last_evaluation_are_unknown)
{
    static const char rules[] = "groups:\n"
                                "- {name: a, interval: 1m, rules: [" ALWAYS "]}\n"
                                "- {name: b, interval: 1m, rules: [" ALWAYS "]}\n"
                                "- {name: slow, interval: 5m, rules: [{record: r, expr: vector(1)}"
                                "]}\n";
    static struct rules_sim s;
    struct scheduler_job job;
    sim_init(&s, 1, rules);
    s.mute = true; /* no sender is awaited */
    const struct scheduled *slow = s.scheduler->items[2];
    int64_t next_slot = slow->next_slot;
    while (slow->next_slot == next_slot || slow->group->series_slot < 0)
        sim_pass(&s, 1);
    sim_pass(&s, 15); /* its cursor is in the checkpoint */
    sim_crash(&s);
    sim_shift_clock(&s, -18);
    sim_start(&s, rules);
    sim_begin(&s, WORK_FILL, &job);
    sim_env_advance_ns(s.m.sim, 4 * NS_PER_S);
    sim_end(&s, &job);
    slow = s.scheduler->items[2];
    assert_int_equal(slow->group->series_slot, -1);
    assert_int_equal(slow->tenant->state, CATCH_UP_FILLS);
    sim_pass(&s, 1);
    assert_int_equal(slow->group->series_slot, slow->next_slot - 1);
    assert_int_equal(slow->tenant->state, CATCH_UP_LIVE);
    sim_fini(&s);
}

/* Returns how often the log has a text; *ret_at is the last one. */
static unsigned
times_logged(const char *log, const char *what, const char **ret_at)
{
    unsigned times = 0;
    for (const char *at = log; (at = strstr(at, what)) != NULL; at++) {
        times++;
        *ret_at = at;
    }
    return times;
}

/* Samples with times of the first gap would prolong the wait after the second. */
UNIT_TEST(test_after_each_gap_late_samples_are_those_of_that_gap)
{
    static struct rules_sim s;
    struct scheduler_job job;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    for (unsigned gap = 0; gap < 2; gap++) {
        sim_pass(&s, 300);
        sim_shift_clock(&s, 600);
        sim_begin(&s, WORK_LOOK, &job);
        assert_int_equal(job.look.late.min_ms, job.from_ms);
        sim_end(&s, &job);
    }
    sim_fini(&s);
}

/* A pass fills four hours at most. */
UNIT_TEST(test_a_gap_of_several_passes_is_logged_once_with_the_sum_of_all)
{
    enum { GAP_S = 5 * 3600, INTERVAL_S = 30 };
    static struct rules_sim s;
    static char log[1 << 16];
    const char *begin = NULL, *end = NULL;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    sim_init(&s, 1, GROUP("g", ALWAYS));
    sim_pass(&s, 300);
    sim_crash(&s);
    sim_pass(&s, GAP_S);
    log_to_fd(ends[1]);
    sim_start(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 120);
    log_to_fd(2);
    assert_in_range(read(ends[0], log, sizeof log - 1), 1, sizeof log - 1);
    assert_int_equal(times_logged(log, "backfilling missed evaluations of rules", &begin), 1);
    assert_non_null(strstr(begin, "tenant=t from=2026-01-01T00:0"));
    assert_non_null(strstr(begin, "to=2026-01-01T05:0"));
    assert_int_equal(times_logged(log, "missed evaluations of rules are backfilled", &end), 1);
    end = strstr(end, "group_evaluations=");
    assert_non_null(end);
    assert_in_range(atoi(end + strlen("group_evaluations=")), GAP_S / INTERVAL_S,
                    (GAP_S + 120) / INTERVAL_S);
    assert_non_null(strstr(end, " took_ms=0\n")); /* both passes at one time of the clock */
    close(ends[0]);
    close(ends[1]);
    sim_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_alert_is_among_the_last_sent_once_in_four_resends),
        cmocka_unit_test(test_facts_are_those_of_the_last_evaluation_and_sums_of_all),
        cmocka_unit_test(test_texts_of_alerts_have_the_time_of_a_query),
        cmocka_unit_test(test_a_reload_ends_a_fill_of_groups_that_it_replaces),
        cmocka_unit_test(test_a_reload_frees_groups_whose_state_and_series_others_have),
        cmocka_unit_test(test_alerts_that_stay_as_they_are_need_no_checkpoint),
        cmocka_unit_test(test_checkpoints_are_a_second_apart_while_alerts_change),
        cmocka_unit_test(test_catch_up_lasts_while_series_of_a_last_evaluation_are_unknown),
        cmocka_unit_test(test_after_each_gap_late_samples_are_those_of_that_gap),
        cmocka_unit_test(test_a_gap_of_several_passes_is_logged_once_with_the_sum_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
