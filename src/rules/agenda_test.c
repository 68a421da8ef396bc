#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "rules/agenda_private.h"
#include "sys/env.h"

enum { GROUPS = 300, INTERVAL_S = 60 };
#define START_NS    (1700000000 * NS_PER_S)
#define MINUTE_NS   (60 * NS_PER_S)
#define CATCH_UP_NS (3600 * NS_PER_S)

static struct rule one_rule = {.kind = RULE_RECORDING, .name = "r", .expression = "1"};
static struct rule alerting_rule = {.kind = RULE_ALERTING, .name = "a", .expression = "r"};
static struct rule reading_rule = {.kind = RULE_RECORDING, .name = "reads", .expression = "r"};

/* Groups of one rule, nothing of which is run; the clocks are the test's. */
struct agenda_test {
    struct rules_host host;
    struct agenda *agenda;
    char names[GROUPS][16];
    struct rule_group texts[GROUPS];
    struct agenda_group groups[GROUPS];
    int64_t now_ns, monotonic_ns;
    bool stores;
    bool makes_up;
    uint32_t times_behind;  /* that it was told, */
    uint64_t behind;        /* and the last time, by how many evaluations */
    uint32_t count[GROUPS]; /* of live evaluations, by group */
    int64_t last_ns[GROUPS];
};

static void
load_some(struct agenda_test *t, int64_t catch_up_ns, uint32_t count)
{
    struct agenda_limits limits = {.catch_up_ns = catch_up_ns, .kept_ns = INT64_MAX};
    struct group_defaults defaults = {INTERVAL_S * 1000, 0};
    struct agenda_change *change;
    struct why why = {""};
    assert_int_equal(agenda_prepare(t->agenda, t->groups, count, &defaults, &change, &why), OK);
    agenda_commit(change, &limits, t->now_ns);
}

static void
load(struct agenda_test *t, int64_t catch_up_ns)
{
    load_some(t, catch_up_ns, GROUPS);
}

static void
setup(struct agenda_test *t, int64_t catch_up_ns)
{
    *t = (struct agenda_test){
        .now_ns = START_NS, .monotonic_ns = NS_PER_S, .stores = true, .makes_up = true};
    t->host = (struct rules_host){.env = env_real()};
    for (uint32_t i = 0; i < GROUPS; i++) {
        snprintf(t->names[i], sizeof t->names[i], "%03u", i);
        t->texts[i] = (struct rule_group){
            .file = "f", .name = t->names[i], .rules = &one_rule, .rule_count = 1};
        t->groups[i] = (struct agenda_group){bytes_of_text("t"), &t->texts[i]};
    }
    assert_int_equal(agenda_new(&t->host, t->monotonic_ns, &t->agenda), OK);
    load(t, catch_up_ns);
}

static void
note_live(struct agenda_test *t, const struct agenda_job *job)
{
    uint32_t i = (uint32_t)atoi(group_text(agenda_entry_group(job->entry))->name);
    assert_true(job->how.at_ns <= t->now_ns && job->how.at_ns > t->now_ns - MINUTE_NS);
    assert_true(job->how.at_ns != t->last_ns[i]);
    t->last_ns[i] = job->how.at_ns;
    t->count[i]++;
}

static void
note_made_up(const struct agenda_test *t, const struct agenda_job *job)
{
    assert_true(job->slot <= job->last_slot);
    assert_true(job->how.at_ns > t->now_ns - t->agenda->limits.catch_up_ns);
    assert_true(job->how.at_ns <= t->now_ns);
    const struct schedule *schedule = group_schedule(agenda_entry_group(job->entry));
    assert_true(schedule_time_ns(schedule, job->last_slot) <= t->now_ns);
}

/* Takes all that is due and says that it is done. Returns how many were evaluated late. */
static uint32_t
run_until(struct agenda_test *t, int64_t end_ns)
{
    struct agenda_job job;
    uint32_t made_up = 0;
    int64_t until_ns;
    while (t->now_ns < end_ns) {
        if (agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &job, &until_ns)) {
            if (job.work == AGENDA_LIVE) note_live(t, &job);
            if (job.work == AGENDA_MAKE_UP) note_made_up(t, &job);
            made_up += job.work == AGENDA_MAKE_UP;
            t->times_behind += job.fell_behind;
            if (job.fell_behind) t->behind = job.missing;
            job.outcome.stored = t->stores || job.work == AGENDA_MAKE_UP;
            if (job.work == AGENDA_MAKE_UP && !t->makes_up) job.error = ERR_AGAIN;
            agenda_done(t->agenda, &job, t->monotonic_ns);
            continue;
        }
        assert_true(until_ns > t->now_ns);
        if (until_ns > end_ns) until_ns = end_ns;
        t->monotonic_ns += until_ns - t->now_ns;
        t->now_ns = until_ns;
    }
    return made_up;
}

static void
check_counts(const struct agenda_test *t, uint32_t expected)
{
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_int_equal(t->count[i], expected);
    }
}

static void
test_each_group_is_evaluated_once_an_interval_at_its_time(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 0);
    run_until(t, START_NS + 7 * MINUTE_NS);
    check_counts(t, 7);
    agenda_free(t->agenda);
}

static void
test_a_clock_that_was_set_back_stops_no_group(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 0);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->now_ns -= 600 * MINUTE_NS;
    run_until(t, t->now_ns + 3 * MINUTE_NS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(t->count[i], 2 + 3, 2 + 4); /* at once, and as before */
    }
    agenda_free(t->agenda);
}

static void
test_a_clock_that_is_before_1970_for_a_while_stops_no_group(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 0);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->now_ns = -MINUTE_NS;
    run_until(t, MINUTE_NS);
    check_counts(t, 2 + 1);
    t->now_ns = START_NS + 3 * MINUTE_NS;
    run_until(t, START_NS + 5 * MINUTE_NS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(t->count[i], 3 + 2, 3 + 3);
    }
    agenda_free(t->agenda);
}

static void
test_what_is_missing_is_found_when_a_reload_permits_to_make_it_up(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 0);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = false;
    run_until(t, START_NS + 4 * MINUTE_NS);
    load(t, CATCH_UP_NS);
    assert_int_equal(run_until(t, START_NS + 4 * MINUTE_NS + 1), 2 * GROUPS);
    agenda_free(t->agenda);
}

static void
test_groups_record_on_after_five_minutes_in_which_nothing_could_be_made_up(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 3 * MINUTE_NS);
    t->stores = true;
    run_until(t, START_NS + 7 * MINUTE_NS);
    check_counts(t, 3);
    run_until(t, START_NS + 11 * MINUTE_NS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(t->count[i], 3 + 3, 3 + 4);
    }
    agenda_free(t->agenda);
}

static void
test_reloads_do_not_put_off_when_groups_record_on(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 3 * MINUTE_NS);
    t->stores = true;
    for (unsigned i = 4; i <= 11; i++) {
        load(t, CATCH_UP_NS);
        run_until(t, START_NS + i * MINUTE_NS);
    }
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(t->count[i], 3 + 3, 3 + 4);
    }
    agenda_free(t->agenda);
}

static void
test_that_more_becomes_due_than_is_made_up_is_told_once_with_how_many_are_missing(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 20 * MINUTE_NS);
    assert_int_equal(t->times_behind, 1);
    assert_in_range(t->behind, 5 * GROUPS, 18 * GROUPS);
    agenda_free(t->agenda);
}

/* What comes after the next evaluation of some is no time that fits. */
static void
test_a_group_with_the_longest_interval_that_a_file_may_give_holds_up_no_others(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    for (uint32_t i = 1; i < GROUPS; i++) {
        t->texts[i].interval_ms = INT64_MAX / NS_PER_MS;
        t->texts[i].hash = 1;
    }
    load(t, CATCH_UP_NS);
    run_until(t, START_NS + 3 * MINUTE_NS);
    assert_int_equal(t->count[0], 3);
    agenda_free(t->agenda);
}

/* Time goes on until something is due, which runs until agenda_done() says otherwise. */
static struct agenda_job
take_next(struct agenda_test *t)
{
    struct agenda_job job;
    int64_t until_ns;
    while (!agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &job, &until_ns)) {
        assert_true(until_ns > t->now_ns);
        t->monotonic_ns += until_ns - t->now_ns;
        t->now_ns = until_ns;
    }
    return job;
}

/* What ends is left to end, and is no one's state. */
static void
test_a_group_may_come_back_while_what_it_wrote_is_being_marked_stale(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 0);
    run_until(t, START_NS + 2 * MINUTE_NS);
    load_some(t, 0, 0);
    struct agenda_job job = take_next(t);
    assert_int_equal(job.work, AGENDA_RETIRE);
    load(t, 0);
    agenda_done(t->agenda, &job, t->monotonic_ns);
    run_until(t, t->now_ns + 3 * MINUTE_NS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_in_range(t->count[i], 2 + 3, 2 + 4);
    }
    agenda_free(t->agenda);
}

static void
add_owed(void *context, struct group *group, struct agenda_owed owed)
{
    (void)group;
    assert_int_equal(owed.oldest_ns != 0, owed.missing > 0);
    *(uint64_t *)context += owed.missing;
}

static uint64_t
owed_by_all(struct agenda_test *t)
{
    uint64_t owed = 0;
    agenda_each_owed(t->agenda, t->now_ns, add_owed, &owed);
    return owed;
}

static void
test_an_evaluation_is_not_missing_while_it_runs(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    struct agenda_job job = take_next(t);
    assert_int_equal(job.work, AGENDA_LIVE);
    assert_int_equal(owed_by_all(t), 0);
    agenda_done(t->agenda, &job, t->monotonic_ns); /* not stored */
    assert_int_equal(owed_by_all(t), 1);
    agenda_free(t->agenda);
}

static void
test_evaluations_are_made_up_one_at_a_time_with_rests_as_long_as_they_took(void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job, other;
    int64_t until_ns;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 3 * MINUTE_NS);
    t->now_ns += 6 * NS_PER_S; /* after those that failed */
    t->monotonic_ns += 6 * NS_PER_S;
    do {
        job = take_next(t);
        if (job.work == AGENDA_LIVE) agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (job.work == AGENDA_LIVE);
    assert_int_equal(job.work, AGENDA_MAKE_UP);
    while (agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &other, &until_ns)) {
        assert_int_equal(other.work, AGENDA_LIVE);
        agenda_done(t->agenda, &other, t->monotonic_ns);
    }
    t->monotonic_ns += NS_PER_S / 4; /* it takes */
    job.outcome.stored = true;
    agenda_done(t->agenda, &job, t->monotonic_ns);
    assert_false(agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &other, &until_ns));
    assert_true(until_ns <= t->now_ns + NS_PER_S / 4);
    t->monotonic_ns += NS_PER_S / 4;
    assert_true(agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &other, &until_ns));
    assert_int_equal(other.work, AGENDA_MAKE_UP);
    agenda_free(t->agenda);
}

static void
test_a_group_makes_up_what_it_owes_once_its_evaluation_has_ended(void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job, other;
    int64_t until_ns;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    job = take_next(t);
    agenda_done(t->agenda, &job, t->monotonic_ns); /* not stored, */
    assert_true(agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &job, &until_ns));
    assert_int_equal(job.work, AGENDA_MAKE_UP); /* then refused: five seconds */
    job.error = ERR_AGAIN;
    agenda_done(t->agenda, &job, t->monotonic_ns);
    struct agenda_entry *one = job.entry;
    do { /* until it is evaluated at its next time */
        other = take_next(t);
        other.outcome.stored = true;
        if (other.work == AGENDA_MAKE_UP) other.error = ERR_AGAIN;
        if (other.work == AGENDA_LIVE && other.entry == one) break;
        agenda_done(t->agenda, &other, t->monotonic_ns);
    } while (true);
    t->monotonic_ns += 6 * NS_PER_S;
    assert_false(agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &job, &until_ns));
    agenda_done(t->agenda, &other, t->monotonic_ns);
    assert_true(agenda_take(t->agenda, t->now_ns, t->monotonic_ns, &job, &until_ns));
    assert_int_equal(job.work, AGENDA_MAKE_UP);
    assert_ptr_equal(job.entry, one);
    agenda_free(t->agenda);
}

/* Set forward, back to where all was made, and forward again. */
static void
test_a_clock_that_jumps_forth_and_back_leaves_nothing_out_of_what_is_owed(void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 5 * MINUTE_NS);
    t->now_ns += 30 * MINUTE_NS;
    while (t->now_ns < START_NS + 45 * MINUTE_NS) { /* then the groups are evaluated live, too */
        struct agenda_job job = take_next(t);
        job.outcome.stored = job.is_current = true;
        if (job.work == AGENDA_MAKE_UP) {
            t->now_ns += NS_PER_S;
            t->monotonic_ns += NS_PER_S;
        }
        agenda_done(t->agenda, &job, t->monotonic_ns);
    }
    int64_t end_ns = t->now_ns;
    uint64_t owed = owed_by_all(t);
    assert_in_range(owed, 1, 45 * GROUPS);
    t->now_ns = START_NS + 3 * MINUTE_NS;
    run_until(t, START_NS + 4 * MINUTE_NS);
    assert_int_equal(owed_by_all(t), 0);
    t->now_ns = end_ns;
    t->makes_up = false;
    run_until(t, end_ns + MINUTE_NS);
    assert_in_range(owed_by_all(t), owed, 46 * GROUPS);
    agenda_free(t->agenda);
}

/* So little that no group takes it for set back. What it reads was not evaluated yet. */
static void
test_what_lies_ahead_when_the_clock_is_set_back_a_little_is_made_up_when_its_time_comes(
    void **state)
{
    struct agenda_test *t = *state;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 5 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 7 * MINUTE_NS);
    t->now_ns -= 90 * NS_PER_S;
    t->stores = t->makes_up = true;
    assert_in_range(run_until(t, START_NS + 7 * MINUTE_NS), GROUPS, 2 * GROUPS); /* or live */
    assert_int_equal(owed_by_all(t), 0);
    agenda_free(t->agenda);
}

static void
test_what_becomes_too_old_before_it_can_be_made_up_is_not_made_up(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 50 * NS_PER_S); /* less than the interval */
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    assert_in_range(run_until(t, START_NS + 6 * MINUTE_NS), 4 * GROUPS, UINT32_MAX);
    agenda_free(t->agenda);
}

/* A restart before it is made up would not find it missing. */
static void
test_the_first_evaluation_at_another_interval_does_not_settle_what_was_refused_before_it(
    void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job;
    setup(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->agenda->items[0]->group->series_slot = t->agenda->items[0]->next_slot - 1;
    t->texts[0].interval_ms = 30000;
    t->texts[0].hash = 1;
    load(t, CATCH_UP_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 6 * MINUTE_NS);
    assert_true(t->agenda->items[0]->series_at_ns != 0);
    do {
        job = take_next(t);
        job.outcome.stored = job.work == AGENDA_LIVE;
        if (job.work == AGENDA_MAKE_UP) job.error = ERR_AGAIN;
        agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (job.work != AGENDA_LIVE || job.entry != t->agenda->items[0]);
    assert_int_equal(job.how.settles_ns, MINUTE_NS / 2);
    agenda_free(t->agenda);
}

/* Its input is looked at as long after a refusal as if there had been none. */
static void
test_how_long_input_is_awaited_counts_from_the_last_time_that_nothing_could_be_made_up(void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job;
    setup(t, CATCH_UP_NS);
    t->agenda->limits.catch_up_wait_ns = 10 * MINUTE_NS;
    run_until(t, START_NS + 2 * MINUTE_NS);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 3 * MINUTE_NS);
    t->stores = true;
    run_until(t, START_NS + 14 * MINUTE_NS);
    do {
        job = take_next(t);
        job.outcome.stored = true;
        agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (job.work != AGENDA_MAKE_UP);
    assert_false(job.input_is_there);
    agenda_free(t->agenda);
}

/* Of all groups, the first one reads what the others record. */
static void
setup_reader(struct agenda_test *t, struct rule *rule)
{
    setup(t, CATCH_UP_NS);
    t->texts[0].rules = rule;
    t->texts[0].hash = 1;
    load(t, CATCH_UP_NS);
    run_until(t, START_NS + 2 * MINUTE_NS);
}

static bool
is_reader(const struct agenda_job *job)
{
    return strcmp(group_text(agenda_entry_group(job->entry))->rules->expression, "r") == 0;
}

/* Also if a reload looks at all groups meanwhile. */
static void
test_what_reads_recorded_series_waits_until_the_last_one_that_was_missing_is_made_up(void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job, other;
    setup_reader(t, &alerting_rule);
    do {
        job = take_next(t);
        if (job.work == AGENDA_LIVE) job.outcome.stored = is_reader(&job);
        if (job.work == AGENDA_LIVE) agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (job.work != AGENDA_MAKE_UP);
    load(t, CATCH_UP_NS);
    assert_int_equal(owed_by_all(t), 1);
    do {
        other = take_next(t);
        other.outcome.stored = true;
        if (is_reader(&other)) break;
        agenda_done(t->agenda, &other, t->monotonic_ns);
    } while (true);
    assert_true(other.how.holds);
    agenda_free(t->agenda);
}

static void
test_what_reads_recorded_series_is_not_made_up_before_all_others_have_begun(void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job begins, job;
    setup_reader(t, &reading_rule);
    t->stores = t->makes_up = false;
    run_until(t, START_NS + 3 * MINUTE_NS);
    t->texts[1].hash = 1;
    load(t, CATCH_UP_NS);
    begins = take_next(t);
    assert_int_equal(begins.work, AGENDA_BEGIN);
    do {
        job = take_next(t);
        assert_false(is_reader(&job) && job.work == AGENDA_MAKE_UP);
        job.outcome.stored = true;
        agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (t->now_ns < START_NS + 4 * MINUTE_NS);
    agenda_done(t->agenda, &begins, t->monotonic_ns);
    do {
        job = take_next(t);
        job.outcome.stored = true;
        agenda_done(t->agenda, &job, t->monotonic_ns);
    } while (!is_reader(&job) || job.work != AGENDA_MAKE_UP);
    assert_true(t->now_ns < START_NS + 5 * MINUTE_NS);
    agenda_free(t->agenda);
}

static void
test_alerts_on_recorded_series_are_held_when_the_clock_is_set_forward_just_before_their_time(
    void **state)
{
    struct agenda_test *t = *state;
    struct agenda_job job;
    setup_reader(t, &alerting_rule);
    int64_t since_ns = t->last_ns[0];
    run_until(t, since_ns + MINUTE_NS);
    assert_true(t->last_ns[0] == since_ns);
    t->now_ns += 10 * MINUTE_NS;
    job = take_next(t);
    assert_true(is_reader(&job));
    assert_true(job.how.holds);
    agenda_free(t->agenda);
}

static void
test_of_evaluations_that_are_too_old_to_be_made_up_nothing_is_kept(void **state)
{
    struct agenda_test *t = *state;
    setup(t, 10 * MINUTE_NS);
    t->makes_up = false;
    for (unsigned i = 1; i <= 100; i++) { /* every other one is stored */
        t->stores = i % 2 == 0;
        run_until(t, START_NS + i * MINUTE_NS);
    }
    for (uint32_t i = 0; i < t->agenda->count; i++) {
        assert_in_range(t->agenda->items[i]->made.count, 1, 12);
        assert_in_range(t->agenda->items[i]->settled.count, 1, 12);
    }
    agenda_free(t->agenda);
}

int
main(void)
{
    static struct agenda_test t;
    void *state = &t;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_each_group_is_evaluated_once_an_interval_at_its_time, state),
        cmocka_unit_test_prestate(test_a_clock_that_was_set_back_stops_no_group, state),
        cmocka_unit_test_prestate(test_a_clock_that_is_before_1970_for_a_while_stops_no_group,
                                  state),
        cmocka_unit_test_prestate(
            test_that_more_becomes_due_than_is_made_up_is_told_once_with_how_many_are_missing,
            state),
        cmocka_unit_test_prestate(
            test_groups_record_on_after_five_minutes_in_which_nothing_could_be_made_up, state),
        cmocka_unit_test_prestate(test_reloads_do_not_put_off_when_groups_record_on, state),
        cmocka_unit_test_prestate(
            test_a_group_with_the_longest_interval_that_a_file_may_give_holds_up_no_others, state),
        cmocka_unit_test_prestate(test_an_evaluation_is_not_missing_while_it_runs, state),
        cmocka_unit_test_prestate(
            test_a_group_may_come_back_while_what_it_wrote_is_being_marked_stale, state),
        cmocka_unit_test_prestate(
            test_evaluations_are_made_up_one_at_a_time_with_rests_as_long_as_they_took, state),
        cmocka_unit_test_prestate(test_a_group_makes_up_what_it_owes_once_its_evaluation_has_ended,
                                  state),
        cmocka_unit_test_prestate(
            test_a_clock_that_jumps_forth_and_back_leaves_nothing_out_of_what_is_owed, state),
        cmocka_unit_test_prestate(
            test_what_lies_ahead_when_the_clock_is_set_back_a_little_is_made_up_when_its_time_comes,
            state),
        cmocka_unit_test_prestate(test_what_becomes_too_old_before_it_can_be_made_up_is_not_made_up,
                                  state),
        cmocka_unit_test_prestate(
            test_the_first_evaluation_at_another_interval_does_not_settle_what_was_refused_before_it,
            state),
        cmocka_unit_test_prestate(
            test_how_long_input_is_awaited_counts_from_the_last_time_that_nothing_could_be_made_up,
            state),
        cmocka_unit_test_prestate(
            test_what_reads_recorded_series_waits_until_the_last_one_that_was_missing_is_made_up,
            state),
        cmocka_unit_test_prestate(
            test_what_reads_recorded_series_is_not_made_up_before_all_others_have_begun, state),
        cmocka_unit_test_prestate(
            test_alerts_on_recorded_series_are_held_when_the_clock_is_set_forward_just_before_their_time,
            state),
        cmocka_unit_test_prestate(
            test_of_evaluations_that_are_too_old_to_be_made_up_nothing_is_kept, state),
        cmocka_unit_test_prestate(test_what_is_missing_is_found_when_a_reload_permits_to_make_it_up,
                                  state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
