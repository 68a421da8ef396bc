/*
 * tsdb_level_lives_test.c - what happens to rollups in the life of a store: deletions that cut
 * windows, rules that change, restarts, and time that passes.
 */
#include "lib/test.h"

#include <stdio.h>

#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "model/series_rules.h"

enum { HOUR_SECONDS = 3600, STEP_SECONDS = 15, AN_HOUR = HOUR_SECONDS / STEP_SECONDS };
#define HOUR_MS (60 * MINUTE_MS)

static struct series_rules *rules[TSDB_LEVELS_MAX];
static bool sends_histograms;

/* Sets levels from the age of an hour on; ends with a resolution of 0. */
static void
set_levels(const int64_t *resolutions_ms)
{
    struct series_rules *before[TSDB_LEVELS_MAX];
    const struct series_rule all = {"{}", NULL, 0, HOUR_MS};
    uint32_t n = 0;
    memcpy(before, rules, sizeof before);
    memset(rules, 0, sizeof rules);
    for (; resolutions_ms[n] != 0; n++) {
        must(series_rules_new(&all, 1, NULL, &rules[n], &machine.why));
        machine.limits.levels[n] = (struct tsdb_level){resolutions_ms[n], rules[n]};
    }
    machine.limits.level_count = n;
    if (machine.db != NULL) tsdb_set_limits(machine.db, &machine.limits);
    for (uint32_t i = 0; i < TSDB_LEVELS_MAX; i++)
        series_rules_unref(before[i]);
}

static const int64_t none[] = {0}, hours[] = {HOUR_MS, 0}, fives[] = {5 * MINUTE_MS, 0},
                     sevens[] = {7 * MINUTE_MS, 0};

static int
teardown(void **state)
{
    set_levels(none);
    sends_histograms = false;
    return claim_teardown(state);
}

static void
advance(int64_t ms)
{
    sim_env_advance_ns(machine.sim, ms * NS_PER_MS);
}

/* Adds a histogram with a bucket or two that a number decides. */
static void
add_histogram(struct rq *rq, int64_t t_ms, uint64_t number)
{
    static const struct hist_span spans[] = {{0, 2}};
    const int64_t deltas[] = {(int64_t)(number % 1000), (int64_t)(number / 1000 % 1000)};
    const struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = (uint64_t)(2 * deltas[0] + deltas[1]),
        .sum_bits = double_bits((double)(number % 10000) / 8),
        .positive = {.spans = spans, .span_count = 1, .deltas = deltas, .bucket_count = 2}};
    rq_histogram(rq, t_ms, &h, 0);
}

/* Sends samples of one series, the first one step after a moment. */
static void
send(const char *tenant, const char *series, int64_t after_ms, uint32_t count, uint64_t seed)
{
    struct rq rq;
    struct rng r = {.state = seed * (uint64_t)(after_ms + 1)};
    rq_init(&rq, RW_V1);
    rq_series(&rq, series);
    for (uint32_t i = 1; i <= count; i++) {
        double value = seed == 0 ? i : (double)rng_next(&r);
        int64_t t_ms = after_ms + i * STEP_SECONDS * 1000LL;
        if (sends_histograms)
            add_histogram(&rq, t_ms, rng_next(&r));
        else
            rq_float(&rq, t_ms, double_bits(value), 0);
    }
    must(machine_send(&machine, tenant, &rq));
    rq_fini(&rq);
    machine_commit(&machine);
}

/* Returns the number of merges until there is nothing to do. */
static uint32_t
merge_all(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    uint32_t merges = 0;
    do {
        must(tsdb_merge(machine.db, &options, &r, &machine.why));
        merges += r.input_count > 0;
        assert_true(merges < 100);
    } while (r.input_count > 0);
    return merges;
}

static struct tsdb_deletion
delete_times(int64_t min_ms, int64_t max_ms)
{
    struct selector selector;
    struct tsdb_deletion d;
    machine_flush(&machine); /* the caller of tsdb_delete() does */
    must(selector_parse(text("m"), &selector, &machine.why));
    must(tsdb_delete(machine.db, text("a"), &selector, 1, min_ms, max_ms, &d, &machine.why));
    return d;
}

static struct tsdb_stats
stats(void)
{
    struct tsdb_stats s;
    tsdb_stats(machine.db, &s);
    return s;
}

static void
count_sample(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    (void)labels, (void)batch, (void)index;
    ++*(uint64_t *)context;
}

/* The number of samples and rollups that plain reading shows. */
static uint64_t
count_shown(void)
{
    struct question q;
    uint64_t count = 0;
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    must(machine_select(&machine, &q, count_sample, &count));
    question_fini(&q);
    return count;
}

/* Reads rollups and samples, and joins all of them. */
static enum err
read_windows(struct rollup *ret)
{
    struct question q;
    struct series_set *set = NULL;
    struct bytes labels;
    struct sample_batch b;
    *ret = (struct rollup){.count = 0};
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.hints.rollups = ROLLUP_WHOLE;
    enum err e = answerer_select(tsdb_answerer(machine.db), &q.request, &set, &machine.why);
    while (e == OK) {
        e = series_set_next(set, &labels, &machine.why);
        if (e || labels.at == NULL) break;
        do {
            e = series_set_batch(set, &b, &machine.why);
            for (uint32_t i = 0; e == OK && i < b.count; i++) {
                struct rollup one = b.rollups != NULL
                                        ? b.rollups[i]
                                        : rollup_of_sample(b.times_ms[i], b.value_bits[i]);
                rollup_join(ret, &one);
            }
        } while (e == OK && b.count > 0);
    }
    if (set != NULL) series_set_free(set);
    question_fini(&q);
    return e;
}

#define NOON (SIM_BEGIN - 12 * HOUR_MS)

/* Ages are counted from the newest sample. */
static void
advance_all(int64_t ms)
{
    advance(ms);
    send("b", "__name__=now", env_realtime_ms(machine.env), 1, 0);
    machine_flush(&machine); /* in a part of its day */
}

/* Makes a part of rollups of hours before NOON, without samples. */
static void
roll_up_hours(uint32_t count)
{
    set_levels(hours);
    send("a", "__name__=m", NOON - count * HOUR_MS, count * AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), count);
    assert_int_equal(stats().part_samples, 1); /* of the other tenant */
}

/* --- deletions -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_series_whose_windows_are_all_cut_leaves_nothing)
{
    roll_up_hours(2);
    delete_times(NOON - 100 * MINUTE_MS, NOON - 20 * MINUTE_MS);
    assert_int_equal(count_shown(), 0);
    merge_all(TSDB_MERGE_CLEAN);
    assert_int_equal(count_shown(), 0);
    assert_int_equal(stats().part_series, 1); /* of the other tenant */
    assert_int_equal(stats().tombstones, 0);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_windows_that_a_deletion_does_not_meet_stay)
{
    roll_up_hours(3);
    delete_times(NOON - 100 * MINUTE_MS, NOON - 90 * MINUTE_MS);
    assert_int_equal(count_shown(), 2);
    merge_all(TSDB_MERGE_CLEAN);
    assert_int_equal(count_shown(), 2);
    assert_int_equal(stats().tombstones, 0);
    machine_verified_restart(&machine);
    assert_int_equal(count_shown(), 2);
}

UNIT_TEST(test_a_window_that_a_held_deletion_cuts_is_not_rolled_up)
{
    machine.limits.deletion_hold_ms = 24 * HOUR_MS;
    set_levels(hours);
    send("a", "__name__=m", NOON - 4 * HOUR_MS, 4 * AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    /* all of the second hour, half of the third */
    struct tsdb_deletion d = delete_times(NOON - 3 * HOUR_MS + 1, NOON - HOUR_MS - 30 * MINUTE_MS);
    assert_int_equal(d.samples, AN_HOUR + AN_HOUR / 2);
    merge_all(TSDB_MERGE_FULL);
    uint64_t shown = count_shown();
    assert_in_range(shown, AN_HOUR / 2 + 2, AN_HOUR / 2 + 2 * AN_HOUR);
    machine_verified_restart(&machine);
    assert_int_equal(count_shown(), shown);
    advance_all(25 * HOUR_MS);
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DELETED],
                     AN_HOUR + AN_HOUR / 2);
    merge_all(TSDB_MERGE_FULL);
    assert_in_range(count_shown(), 3, AN_HOUR / 2 + 2);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_windows_that_a_held_deletion_hides_come_back_when_it_is_undone)
{
    struct rollup got;
    machine.limits.deletion_hold_ms = 24 * HOUR_MS;
    set_levels(hours);
    send("a", "__name__=m", NOON - 5 * HOUR_MS, 5 * AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    struct tsdb_deletion d = delete_times(NOON - 4 * HOUR_MS + 1, NOON - HOUR_MS);
    assert_int_equal(d.samples, 3 * AN_HOUR);
    merge_all(TSDB_MERGE_FULL);
    must(read_windows(&got));
    assert_int_equal(got.count, 2 * AN_HOUR);
    machine_verified_restart(&machine);
    must(tsdb_undelete(machine.db, text("a"), d.id, &machine.why));
    must(read_windows(&got));
    assert_int_equal(got.count, 5 * AN_HOUR);
    assert_in_range(count_shown(), 5, 4 * AN_HOUR + 1); /* the hour in the middle is one */
    machine_verified_restart(&machine);
    must(read_windows(&got));
    assert_int_equal(got.count, 5 * AN_HOUR);
}

UNIT_TEST(test_a_deletion_counts_windows_apart_from_samples)
{
    struct tsdb_deletion hidden;
    machine.limits.deletion_hold_ms = 24 * HOUR_MS;
    roll_up_hours(3);
    send("a", "__name__=m", NOON, AN_HOUR, 1);
    struct tsdb_deletion d =
        delete_times(NOON - 90 * MINUTE_MS, NOON + 30 * STEP_SECONDS * 1000); /* cuts a window */
    assert_int_equal(d.series, 1);
    assert_int_equal(d.samples, 30);
    assert_int_equal(d.windows, 2);
    struct tsdb_deletion again = delete_times(NOON - HOUR_MS + 1, INT64_MAX);
    assert_int_equal(again.samples, AN_HOUR - 30);
    assert_int_equal(again.windows, 0);
    must(tsdb_deletion_hidden(machine.db, d.id, NULL, &hidden, &machine.why));
    assert_int_equal(hidden.samples, 30);
    assert_int_equal(hidden.windows, 2);
    must(tsdb_deletion_hidden(machine.db, again.id, NULL, &hidden, &machine.why));
    assert_int_equal(hidden.samples, AN_HOUR);
    assert_int_equal(hidden.windows, 1);
    machine_verified_restart(&machine); /* the receipts are in MANIFEST */
    struct arena arena;
    struct tsdb_receipt *list;
    uint32_t count;
    arena_init(&arena, NULL, 0, 0);
    must(tsdb_deletions(machine.db, text("a"), &arena, &list, &count, &machine.why));
    assert_int_equal(count, 2);
    assert_int_equal(list[0].windows, 2);
    assert_int_equal(list[1].windows, 0);
    assert_int_equal(list[1].selected_windows, 1);
    arena_fini(&arena);
}

UNIT_TEST(test_a_deletion_counts_windows_of_histograms_as_windows)
{
    sends_histograms = true;
    roll_up_hours(3);
    struct tsdb_deletion d = delete_times(NOON - 90 * MINUTE_MS, NOON - HOUR_MS); /* cuts one */
    assert_int_equal(d.series, 1);
    assert_int_equal(d.samples, 0);
    assert_int_equal(d.windows, 1);
    assert_int_equal(count_shown(), 2);
}

/* --- samples that come late ------------------------------------------------------------------- */

struct run {
    uint32_t first, count; /* steps of the hour */
};

/* An hour of which a window is made, of all samples or of those around a gap, and what comes after
 * that for times between its samples. */
static const struct late_case {
    const char *name;
    bool has_gap; /* of 67 steps, from step 101 on */
    struct run late;
    int64_t offset_ms;
    uint32_t missed; /* the others are superseded */
} late_cases[] = {
    {"the hour is sent again", false, {1, AN_HOUR}, 0, 0},
    {"a part of it is sent again", false, {50, 100}, 0, 0},
    {"a part of it is sent again, with jitter", false, {50, 100}, 200, 0},
    {"one sample is sent again", false, {120, 1}, 0, 0},
    {"the samples of the gap come late", true, {101, 67}, 0, 67},
    {"the hour is sent again, with those of the gap", true, {1, AN_HOUR}, 0, 67},
    {"one sample of the gap comes late", true, {130, 1}, 0, 1},
    {"another sender has other times", false, {1, AN_HOUR - 1}, 7000, AN_HOUR - 1},
    {"one sample has another time", false, {120, 1}, 7000, 1},
};

static void
send_run(struct run run, int64_t offset_ms)
{
    int64_t after_ms = NOON - HOUR_MS + (run.first - 1) * STEP_SECONDS * 1000LL + offset_ms;
    send("a", "__name__=m", after_ms, run.count, 1);
}

static bool
query_lacks_samples(void)
{
    struct question q;
    struct query_control control = {.env = machine.env};
    uint64_t count = 0;
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.control = &control;
    must(machine_select(&machine, &q, count_sample, &count));
    question_fini(&q);
    return atomic_load(&control.lacks_late);
}

static void
check_late_case(const struct late_case *c)
{
    enum ledger_kind kind = sends_histograms ? LEDGER_HISTOGRAM : LEDGER_FLOAT;
    print_message("%s, %s\n", c->name, ledger_kind_word(kind));
    set_levels(hours);
    send_run((struct run){1, c->has_gap ? 100 : AN_HOUR}, 0);
    if (c->has_gap) send_run((struct run){168, AN_HOUR - 167}, 0);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), 1);
    send_run(c->late, c->offset_ms);
    assert_int_equal(query_lacks_samples(), c->missed > 0);
    machine_flush(&machine);
    assert_int_equal(query_lacks_samples(), c->missed > 0);
    merge_all(TSDB_MERGE_FULL);
    machine_verified_restart(&machine);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[kind][LEDGER_MISSED_BY_WINDOW], c->missed);
    assert_int_equal(l.count[kind][LEDGER_SUPERSEDED_BY_WINDOW], c->late.count - c->missed);
    assert_int_equal(count_shown(), 1);
}

UNIT_TEST(test_lost_late_samples_are_not_counted_with_those_sent_again)
{
    for (size_t i = 0; i < 2 * sizeof late_cases / sizeof late_cases[0]; i++) {
        set_levels(none);
        machine_fini(&machine);
        machine_init(&machine, 1);
        machine_must_open(&machine);
        sends_histograms = i % 2 == 1;
        check_late_case(&late_cases[i / 2]);
    }
}

/* --- changes of rules ------------------------------------------------------------------------- */

static bool
look(void)
{
    bool changed;
    must(tsdb_rules_look(machine.db, NULL, &changed, &machine.why));
    return changed;
}

UNIT_TEST(test_equal_levels_change_nothing_and_others_are_surveyed)
{
    assert_false(look());
    set_levels(hours);
    assert_true(look());
    assert_false(look());
    set_levels(hours); /* as a reload does that changes something else */
    assert_false(look());
    set_levels(fives);
    assert_true(look());
    set_levels(none);
    assert_true(look());
}

static void
note_level_rule(void *context, const struct tsdb_rule *rule)
{
    struct tsdb_rule *to = context;
    to[rule->rule == NULL] = *rule;
}

UNIT_TEST(test_a_survey_says_before_a_merge_what_the_counts_say_after_it)
{
    struct tsdb_rule r[2] = {{.resolution_ms = 0}, {.resolution_ms = 0}};
    struct tsdb_rules_state about;
    send("a", "__name__=m", NOON - 3 * HOUR_MS, 3 * AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    set_levels(hours);
    assert_true(look());
    tsdb_rules(machine.db, &about, note_level_rule, r);
    assert_true(about.surveyed_ms != INT64_MIN);
    assert_int_equal(r[0].samples, 0);
    assert_int_equal(r[0].left.series, 1);
    assert_int_equal(r[0].left.samples, 3 * AN_HOUR);
    assert_true(r[0].left.bytes > 0);
    merge_all(TSDB_MERGE_FULL);
    machine_verified_restart(&machine);
    tsdb_rules(machine.db, &about, note_level_rule, r);
    assert_int_equal(r[0].samples, 3 * AN_HOUR);
    assert_int_equal(r[0].windows, 3);
    assert_true(r[0].bytes > 0);
    set_levels(sevens); /* what an hour has replaced is not lost */
    tsdb_rules(machine.db, &about, note_level_rule, r);
    assert_int_equal(r[0].resolution_ms, 7 * MINUTE_MS);
    assert_int_equal(r[0].samples, 0);
    assert_int_equal(r[0].excluded_parts, 1);
    assert_int_equal(r[1].samples, 3 * AN_HOUR);
}

UNIT_TEST(test_a_survey_counts_a_sample_once_and_no_window_as_a_sample)
{
    static const int64_t both[] = {5 * MINUTE_MS, HOUR_MS, 0};
    struct series_cost s[2];
    send("a", "__name__=m", NOON - 3 * HOUR_MS, 3 * AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(HOUR_MS + 30 * MINUTE_MS);
    set_levels(both);
    must(tsdb_rules_survey(machine.db, &machine.limits, NULL, s, &machine.why));
    assert_int_equal(s[0].samples, 0);
    assert_int_equal(s[1].samples, 3 * AN_HOUR);
    set_levels(fives);
    merge_all(TSDB_MERGE_FULL);
    must(tsdb_rules_survey(machine.db, &machine.limits, NULL, s, &machine.why));
    assert_int_equal(s[0].series, 0);
    set_levels(both);
    must(tsdb_rules_survey(machine.db, &machine.limits, NULL, s, &machine.why));
    assert_int_equal(s[1].series, 1);
    assert_int_equal(s[1].samples, 0);
    assert_true(s[1].bytes > 0);
    set_levels(sevens); /* which cannot join fives */
    must(tsdb_rules_survey(machine.db, &machine.limits, NULL, s, &machine.why));
    assert_int_equal(s[0].series, 0);
}

static bool
remove_levels(void *context)
{
    (void)context;
    set_levels(none);
    return true;
}

UNIT_TEST(test_a_level_that_is_removed_during_a_merge_replaces_nothing)
{
    const struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL, .go_on = remove_levels};
    struct tsdb_merge_result result;
    enum { MANY = 100 }; /* so that the merge asks before it ends */
    for (uint32_t i = 0; i < MANY; i++) {
        char series[40];
        snprintf(series, sizeof series, "__name__=m,n=%u", i);
        send("a", series, NOON - 3 * HOUR_MS, 3 * AN_HOUR, 1);
    }
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    set_levels(hours);
    assert_int_equal(tsdb_merge(machine.db, &options, &result, &machine.why), ERR_CANCELED);
    assert_non_null(strstr(machine.why.text, "rules of downsampling changed"));
    assert_int_equal(count_shown(), MANY * 3 * AN_HOUR);
    machine_verified_restart(&machine);
    assert_int_equal(count_shown(), MANY * 3 * AN_HOUR);
}

/* --- retention -------------------------------------------------------------------------------- */

static void
keep_for(int64_t age_ms)
{
    struct series_rules *keep = NULL;
    const struct series_rule rule = {"{__name__=\"m\"}", NULL, 0, age_ms};
    if (age_ms != 0) must(series_rules_new(&rule, 1, NULL, &keep, &machine.why));
    series_rules_unref(machine.limits.retention_rules);
    machine.limits.retention_rules = keep;
    machine.limits.retention_rewrite_percent = 1;
    tsdb_set_limits(machine.db, &machine.limits);
}

static void
add_removed(void *context, const struct tsdb_rule *rule)
{
    struct tsdb_rule *to = context;
    if (rule->downsamples) return;
    to->samples += rule->samples;
    to->series += rule->series;
    to->bytes += rule->bytes;
}

UNIT_TEST(test_a_window_stays_until_all_of_it_is_past_its_rule)
{
    struct tsdb_rule removed = {.rule = NULL};
    struct tsdb_rules_state about;
    roll_up_hours(3);
    keep_for(15 * HOUR_MS + 30 * MINUTE_MS); /* from the middle of the second hour on */
    assert_int_equal(count_shown(), 2);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), 2);
    machine_verified_restart(&machine);
    assert_int_equal(count_shown(), 2);
    keep_for(HOUR_MS);
    assert_int_equal(count_shown(), 0);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(stats().part_series, 1); /* of the other tenant */
    tsdb_rules(machine.db, &about, add_removed, &removed);
    assert_int_equal(removed.series, 1);
    assert_int_equal(removed.samples, 0);
    assert_true(removed.bytes > 0);
    machine_verified_restart(&machine);
    keep_for(0);
}

/* --- merges that end -------------------------------------------------------------------------- */

/* Lets days pass, with samples of every hour in the first ones. Returns the number of merges. */
static uint32_t
live(uint32_t days, uint32_t days_of_samples, uint64_t seed)
{
    uint32_t merges = 0;
    for (uint32_t hour = 0; hour < 24 * days; hour++) {
        int64_t now_ms = env_realtime_ms(machine.env);
        advance(HOUR_MS);
        if (hour < 24 * days_of_samples) {
            send("a", "__name__=m,n=1", now_ms, AN_HOUR, seed);
            send("a", "__name__=m,n=2", now_ms, AN_HOUR, 2 * seed);
            machine_flush(&machine);
        }
        merges += merge_all(TSDB_MERGE_DUE);
    }
    return merges;
}

/* Each level is made once, and nothing is written again after a restart. */
static void
change_levels(uint64_t seed)
{
    set_levels(none);
    live(70, 20, seed); /* all in one month that is over */
    set_levels(fives);
    assert_in_range(live(3, 0, 0), 0, 1);
    assert_int_equal(live(3, 0, 0), 0);
    machine_verified_restart(&machine);
    assert_int_equal(live(3, 0, 0), 0);
    set_levels(sevens);
    assert_int_equal(live(3, 0, 0), 0);
    set_levels(fives);
    assert_int_equal(live(3, 0, 0), 0);
    set_levels(hours);
    assert_in_range(live(3, 0, 0), 0, 1);
    machine_verified_restart(&machine);
    assert_int_equal(live(3, 0, 0), 0);
}

UNIT_TEST(test_merges_for_levels_end_where_they_save_much)
{
    change_levels(1);
    assert_in_range(stats().part_samples, 0, 2 * AN_HOUR); /* the newest hour */
}

UNIT_TEST(test_merges_for_levels_end_where_they_save_nothing)
{
    change_levels(0);
}

/* With memory.limit=128MiB. */
UNIT_TEST(test_parts_of_windows_become_one_with_little_memory)
{
    machine.options.merge_bytes = 16 << 20;
    machine_verified_restart(&machine);
    set_levels(hours);
    for (int64_t day = 4; day > 0; day--) {
        send("a", "__name__=m", NOON - day * 24 * HOUR_MS, AN_HOUR, 1);
        machine_flush(&machine);
    }
    advance_all(2 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(stats().parts, 5); /* one of each day */
    advance_all(65 * 24 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), 4);
    assert_int_equal(stats().parts, 3); /* of December, January and March */
}

static const int64_t three[] = {5 * MINUTE_MS, HOUR_MS, 24 * HOUR_MS, 0};

UNIT_TEST(test_windows_across_days_are_not_waited_for)
{
    set_levels(three);
    live(5, 3, 1);
    assert_int_equal(live(3, 0, 0), 0);
    machine_verified_restart(&machine);
    assert_int_equal(live(3, 0, 0), 0);
}

/* Samples in the newest hour of the last day are younger than the level. */
UNIT_TEST(test_all_windows_of_a_day_are_made_without_waiting_for_its_month)
{
    set_levels(three);
    live(5, 3, 1);
    assert_in_range(stats().part_samples, 0, 2 * AN_HOUR);
}

UNIT_TEST(test_many_samples_of_a_window_become_one_rollup)
{
    struct rq rq;
    struct rng r = {.state = 1};
    set_levels(hours);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    for (uint32_t i = 0; i < 60000; i++) /* one each millisecond */
        rq_float(&rq, NOON - 30 * MINUTE_MS + i, rng_next(&r) >> 2, 0);
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
    advance_all(3 * HOUR_MS);
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(count_shown(), 1);
}

/* --- faults ----------------------------------------------------------------------------------- */

enum { FINES = 12, MEMORY = -1 }; /* windows of an hour; no call, but an allocation */

/* Makes a part of rollups of 5 minutes, and one of samples that follow and overlap it. */
static void
prepare_faults(void)
{
    set_levels(fives);
    send("a", "__name__=m", NOON - 3 * HOUR_MS, AN_HOUR, 1);
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), FINES);
    set_levels(hours);
    send("a", "__name__=m", NOON - 2 * HOUR_MS, AN_HOUR, 2);
    send("a", "__name__=m", NOON - 3 * HOUR_MS + 7, 3, 3); /* that lose */
    machine_flush(&machine);
    assert_int_equal(count_shown(), FINES + AN_HOUR);
}

static bool
fail_once(int kind, uint64_t nth, bool forever)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    bool fired, memory = kind == MEMORY;
    prepare_faults();
    if (memory)
        memory_arm(&machine, nth, forever);
    else
        fault_env_arm(machine.fe, (struct fault){(enum fault_kind)kind, nth, forever});
    for (uint32_t i = 0; i < 3; i++) {
        err_ignore(step(&machine, tsdb_merge(machine.db, &options, &r, &machine.why)),
                   "a fault may end it");
    }
    fired = memory ? machine.memory_failed : fault_env_fired(machine.fe);
    memory_arm(&machine, 0, false);
    fault_env_disarm(machine.fe);
    uint64_t shown = count_shown();
    assert_true(shown == FINES + AN_HOUR || shown == 2);
    machine_ledger(&machine, "a");
    machine_verified_restart(&machine);
    shown = count_shown(); /* an edit that seemed to fail may be on disk */
    assert_true(shown == FINES + AN_HOUR || shown == 2);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), 2);
    machine_ledger(&machine, "a");
    machine_verified_restart(&machine);
    set_levels(none);
    machine_fini(&machine);
    claim_setup(NULL);
    return fired;
}

static void
fail_everywhere(int kind)
{
    uint64_t nth = 1, sites = 0;
    for (int forever = 0; forever <= 1; forever++)
        for (nth = 1; fail_once(kind, nth, forever != 0); nth++)
            sites++;
    print_message("%llu faults tried\n", (unsigned long long)sites);
    assert_true(sites > 10);
}

UNIT_TEST(test_windows_are_whole_when_any_call_fails)
{
    fail_everywhere(FAULT_EIO);
}

UNIT_TEST(test_windows_are_whole_when_the_disk_is_full)
{
    fail_everywhere(FAULT_ENOSPC);
}

UNIT_TEST(test_windows_are_whole_when_an_allocation_fails)
{
    fail_everywhere(MEMORY);
}

UNIT_TEST(test_windows_of_histograms_are_whole_when_any_call_fails)
{
    sends_histograms = true;
    fail_everywhere(FAULT_EIO);
}

UNIT_TEST(test_windows_of_histograms_are_whole_without_an_allocation)
{
    sends_histograms = true;
    fail_everywhere(MEMORY);
}

UNIT_TEST(test_many_histograms_of_a_window_become_one_rollup)
{
    struct rq rq;
    set_levels(hours);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    for (uint32_t i = 0; i < 3000; i++)
        add_histogram(&rq, NOON - 30 * MINUTE_MS + i, i);
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
    advance_all(3 * HOUR_MS);
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(count_shown(), 1);
    machine_verified_restart(&machine);
}

/* Windows with floats and histograms stay as they are, finer ones are made around them. */
UNIT_TEST(test_a_window_of_floats_and_histograms_stays)
{
    static const int64_t both[] = {5 * MINUTE_MS, HOUR_MS, 0};
    set_levels(both);
    send("a", "__name__=m", NOON - 3 * HOUR_MS, AN_HOUR + AN_HOUR / 2 + 4, 1);
    sends_histograms = true;
    send("a", "__name__=m", NOON - 90 * MINUTE_MS + MINUTE_MS, AN_HOUR + AN_HOUR / 2 - 4, 1);
    sends_histograms = false;
    machine_flush(&machine);
    advance_all(2 * HOUR_MS);
    merge_all(TSDB_MERGE_FULL);
    /* 10:00, 12:00, each 5 m of 11:00 but one, and 20 samples */
    assert_int_equal(count_shown(), 2 + 11 + 20);
    machine_verified_restart(&machine);
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_shown(), 2 + 11 + 20);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DOWNSAMPLED], AN_HOUR + AN_HOUR / 2);
    assert_int_equal(l.count[LEDGER_HISTOGRAM][LEDGER_DOWNSAMPLED], AN_HOUR + AN_HOUR / 2 - 20);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void
note_largest(void *context, const struct part_info *part)
{
    struct part_info *largest = context;
    if (part->block_count > 0 && part->series_count > 0 && part->sample_count[LEDGER_FLOAT] == 0)
        *largest = *part;
}

static void
flip(const char *path, uint64_t at)
{
    struct file file;
    uint8_t byte;
    must(file_open(machine.env, path, FILE_UPDATE, &file, NULL));
    must(file_read_at(&file, &byte, 1, at, NULL));
    byte ^= (uint8_t)(1u << at % 8);
    must(file_write_at(&file, bytes_of(&byte, 1), at, NULL));
    must(file_close(&file));
}

UNIT_TEST(test_no_flipped_byte_of_a_part_gives_a_wrong_window)
{
    struct part_info part = {0};
    struct rollup want, got;
    struct file file;
    uint64_t size, told = 0, aside = 0;
    char dir[100], path[120], damaged[120];
    roll_up_hours(6);
    must(read_windows(&want));
    assert_int_equal(want.count, 6 * AN_HOUR);
    tsdb_parts(machine.db, note_largest, &part);
    snprintf(dir, sizeof dir, STORE_DIR "/parts/%016llx", (unsigned long long)part.number);
    snprintf(path, sizeof path, "%s/part", dir);
    snprintf(damaged, sizeof damaged, "%s.damaged", dir);
    must(file_open(machine.env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    machine_close(&machine);
    for (uint64_t at = 0; at < size; at++) {
        flip(path, at);
        machine_must_open(&machine);
        bool set_aside = stats().parts_set_aside > 0;
        enum err e = read_windows(&got);
        told += e != OK;
        aside += set_aside;
        if (e == OK && !set_aside) {
            assert_int_equal(got.count, want.count);
            assert_int_equal(got.last_bits, want.last_bits);
            assert_int_equal(got.first_bits, want.first_bits);
            assert_true(rollup_sum(&got) == rollup_sum(&want));
            assert_true(got.least == want.least && got.greatest == want.greatest);
            assert_int_equal(got.resets, want.resets);
        } else if (e) {
            assert_int_equal(e, ERR_CORRUPT);
            assert_non_null(strstr(machine.why.text, "0000"));
        }
        machine_close(&machine);
        if (set_aside) must(env_rename(machine.env, damaged, dir, NULL));
        flip(path, at);
    }
    print_message("%llu bytes: %llu times put aside, %llu times refused\n",
                  (unsigned long long)size, (unsigned long long)aside, (unsigned long long)told);
    assert_true(told + aside > size / 10 * 9);
    machine_must_open(&machine); /* the store is whole again */
    must(read_windows(&got));
    assert_int_equal(got.count, want.count);
}

#define life(function) cmocka_unit_test_setup_teardown(function, claim_setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        life(test_a_series_whose_windows_are_all_cut_leaves_nothing),
        life(test_windows_that_a_deletion_does_not_meet_stay),
        life(test_a_window_that_a_held_deletion_cuts_is_not_rolled_up),
        life(test_windows_that_a_held_deletion_hides_come_back_when_it_is_undone),
        life(test_a_window_stays_until_all_of_it_is_past_its_rule),
        life(test_merges_for_levels_end_where_they_save_much),
        life(test_merges_for_levels_end_where_they_save_nothing),
        life(test_a_deletion_counts_windows_apart_from_samples),
        life(test_a_deletion_counts_windows_of_histograms_as_windows),
        life(test_lost_late_samples_are_not_counted_with_those_sent_again),
        life(test_equal_levels_change_nothing_and_others_are_surveyed),
        life(test_a_survey_says_before_a_merge_what_the_counts_say_after_it),
        life(test_a_survey_counts_a_sample_once_and_no_window_as_a_sample),
        life(test_a_level_that_is_removed_during_a_merge_replaces_nothing),
        life(test_parts_of_windows_become_one_with_little_memory),
        life(test_windows_across_days_are_not_waited_for),
        life(test_all_windows_of_a_day_are_made_without_waiting_for_its_month),
        life(test_many_samples_of_a_window_become_one_rollup),
        life(test_windows_are_whole_when_any_call_fails),
        life(test_windows_are_whole_when_the_disk_is_full),
        life(test_windows_are_whole_when_an_allocation_fails),
        life(test_windows_of_histograms_are_whole_when_any_call_fails),
        life(test_windows_of_histograms_are_whole_without_an_allocation),
        life(test_many_histograms_of_a_window_become_one_rollup),
        life(test_a_window_of_floats_and_histograms_stays),
        life(test_no_flipped_byte_of_a_part_gives_a_wrong_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
