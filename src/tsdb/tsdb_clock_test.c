/*
 * tsdb_clock_test.c - clocks that were years ahead for a moment: the samples that prove the current
 * clock wrong, for how long, and the effect on retention and deletions.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "model/series_rules.h"

#define YEARS_MS ((int64_t)3 * 365 * DAY_MS)

static void
set_clock(int64_t t_ms)
{
    sim_env_set_realtime_ms(machine.sim, t_ms);
    must(tsdb_maintain(machine.db, &machine.why));
}

static void
write_own(const char *tenant, int64_t t_ms)
{
    machine.writes_itself = true;
    must_send_float(tenant, "__name__=own", t_ms, 1);
    machine.writes_itself = false;
    machine_commit(&machine);
}

static struct tsdb_stats
stats_now(void)
{
    struct tsdb_stats s;
    tsdb_stats(machine.db, &s);
    return s;
}

static void
expect_clock(enum tsdb_clock clock)
{
    must(tsdb_maintain(machine.db, &machine.why));
    assert_int_equal(stats_now().clock, clock);
}

/* Checks the clock's state in the head, in a part and after restarts. */
static void
expect_clock_at_every_stage(enum tsdb_clock clock)
{
    expect_clock(clock);
    machine_verified_restart(&machine);
    expect_clock(clock);
    machine_flush(&machine);
    expect_clock(clock);
    machine_verified_restart(&machine);
    expect_clock(clock);
}

static uint64_t
delete_after(const char *tenant, int64_t t_ms)
{
    struct selector selector;
    struct tsdb_deletion d;
    must(selector_parse(text("{__name__!=\"\"}"), &selector, &machine.why));
    must(tsdb_delete(machine.db, text(tenant), &selector, 1, t_ms, INT64_MAX, &d, &machine.why));
    return d.samples;
}

static void
count_sample(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    uint64_t *count = context;
    (void)labels, (void)batch, (void)index;
    (*count)++;
}

static void
merge(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    do {
        must(tsdb_merge(machine.db, &options, &r, &machine.why));
    } while (r.input_count > 0);
}

/* --- evidence --------------------------------------------------------------------------------- */

UNIT_TEST(test_samples_of_the_server_itself_do_not_disprove_the_clock)
{
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_commit(&machine);
    set_clock(SIM_BEGIN + YEARS_MS);
    write_own("a", SIM_BEGIN + YEARS_MS);
    write_own("b", SIM_BEGIN + YEARS_MS);
    set_clock(SIM_BEGIN);
    assert_int_equal(stats_now().newest_ms, SIM_BEGIN);
    expect_clock_at_every_stage(TSDB_CLOCK_GOOD);
    merge(TSDB_MERGE_FULL);
    expect_clock_at_every_stage(TSDB_CLOCK_GOOD);
    assert_int_equal(stats_now().newest_ms, SIM_BEGIN);
}

/* Both are in one commit, and adjacent in the log. */
UNIT_TEST(test_samples_of_a_sender_beside_those_of_the_server_are_evidence)
{
    set_clock(SIM_BEGIN + YEARS_MS);
    machine.writes_itself = true;
    must_send_float("a", "__name__=own", SIM_BEGIN + YEARS_MS, 1);
    machine.writes_itself = false;
    must_send_float("a", "__name__=sent", SIM_BEGIN + YEARS_MS - 1, 1);
    machine_commit(&machine);
    set_clock(SIM_BEGIN);
    assert_int_equal(stats_now().newest_ms, SIM_BEGIN + YEARS_MS - 1);
    expect_clock_at_every_stage(TSDB_CLOCK_BEFORE_SAMPLES);
    assert_int_equal(stats_now().newest_ms, SIM_BEGIN + YEARS_MS - 1);
}

/* --- for how long ----------------------------------------------------------------------------- */

UNIT_TEST(test_the_clock_is_trusted_after_future_samples_are_deleted)
{
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_commit(&machine);
    set_clock(SIM_BEGIN + YEARS_MS);
    must_send_float("a", "__name__=sent", SIM_BEGIN + YEARS_MS, 1);
    must_send_float("b", "__name__=sent", SIM_BEGIN + YEARS_MS, 1);
    machine_commit(&machine);
    set_clock(SIM_BEGIN);
    expect_clock(TSDB_CLOCK_BEFORE_SAMPLES);
    machine_flush(&machine);
    assert_int_equal(delete_after("a", SIM_BEGIN + 1), 1);
    expect_clock_at_every_stage(TSDB_CLOCK_BEFORE_SAMPLES); /* the other tenant has such a sample */
    assert_int_equal(delete_after("b", SIM_BEGIN + 1), 1);
    machine_verified_restart(&machine);
    expect_clock_at_every_stage(TSDB_CLOCK_GOOD);
    merge(TSDB_MERGE_CLEAN);
    expect_clock_at_every_stage(TSDB_CLOCK_GOOD);
    char line[100];
    snprintf(line, sizeof line, "{__name__=\"sent\"} %lld 1\n", SIM_BEGIN);
    expect_all(&machine, "a", line);
    expect_all(&machine, "b", "");
}

UNIT_TEST(test_the_clock_is_believed_again_when_it_has_come_to_the_samples)
{
    set_clock(SIM_BEGIN + DAY_MS);
    must_send_float("a", "__name__=sent", SIM_BEGIN + DAY_MS, 1);
    machine_commit(&machine);
    set_clock(SIM_BEGIN);
    expect_clock(TSDB_CLOCK_BEFORE_SAMPLES);
    set_clock(SIM_BEGIN + DAY_MS - machine.limits.max_future_ms - 1);
    expect_clock(TSDB_CLOCK_BEFORE_SAMPLES);
    set_clock(SIM_BEGIN + DAY_MS - machine.limits.max_future_ms);
    expect_clock(TSDB_CLOCK_GOOD);
}

/* The clock is still compared with the remaining samples. */
UNIT_TEST(test_a_clock_that_is_set_back_after_a_deletion_is_not_believed)
{
    set_clock(SIM_BEGIN + YEARS_MS);
    must_send_float("a", "__name__=sent", SIM_BEGIN + YEARS_MS, 1);
    set_clock(SIM_BEGIN);
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_flush(&machine);
    assert_int_equal(delete_after("a", SIM_BEGIN + 1), 1);
    expect_clock(TSDB_CLOCK_GOOD);
    set_clock(SIM_BEGIN - DAY_MS);
    expect_clock_at_every_stage(TSDB_CLOCK_BEFORE_SAMPLES);
    set_clock(SIM_BEGIN);
    expect_clock_at_every_stage(TSDB_CLOCK_GOOD);
}

/* --- retention and deletions ------------------------------------------------------------------ */

UNIT_TEST(test_own_samples_advance_retention_only_as_far_as_time_passed)
{
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_flush(&machine);
    machine_restart(&machine);
    set_clock(SIM_BEGIN + YEARS_MS);
    write_own("a", SIM_BEGIN + YEARS_MS);
    int64_t now_ms = stats_now().retention_now_ms;
    assert_true(now_ms >= SIM_BEGIN && now_ms < SIM_BEGIN + MINUTE_MS);
    must_send_float("a", "__name__=sent", SIM_BEGIN - 364 * DAY_MS, 1);
    expect_result(1, 0);
    set_clock(SIM_BEGIN);
    sim_env_advance_ns(machine.sim, 2 * DAY_MS * NS_PER_MS);
    write_own("a", SIM_BEGIN + 2 * DAY_MS);
    assert_true(stats_now().retention_now_ms >= SIM_BEGIN + 2 * DAY_MS);
}

/* The server has only rules. */
UNIT_TEST(test_without_other_samples_retention_counts_from_the_server_s_own)
{
    write_own("a", SIM_BEGIN);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN);
    /* The first sample of a sender may have any age. */
    must_send_float("a", "__name__=sent", SIM_BEGIN - 900 * DAY_MS, 1);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN - 900 * DAY_MS);
}

UNIT_TEST(test_retention_ignores_a_clock_of_the_past_after_a_restart)
{
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_flush(&machine);
    machine_restart(&machine);
    set_clock(0);
    must_send_float("a", "__name__=sent", 0 + MINUTE_MS, 1);
    expect_result(1, 0);
    machine_flush(&machine);
    set_clock(SIM_BEGIN);
    machine_restart(&machine);
    assert_true(stats_now().retention_now_ms >= SIM_BEGIN);
}

UNIT_TEST(test_a_deletion_made_while_the_clock_was_ahead_frees_the_disk)
{
    must_send_float("a", "__name__=sent", SIM_BEGIN, 1);
    machine_flush(&machine);
    set_clock(SIM_BEGIN + YEARS_MS);
    assert_int_equal(delete_after("a", 0), 1);
    set_clock(SIM_BEGIN);
    assert_int_equal(stats_now().part_samples, 1);
    merge(TSDB_MERGE_DUE);
    assert_int_equal(stats_now().part_samples, 0);
}

static void
expire(void)
{
    struct tsdb_merge_result r;
    must(tsdb_expire(machine.db, &r, &machine.why));
}

/* The part of a sample and the merge of it with another keep it to the millisecond. */
UNIT_TEST(test_a_sample_exactly_as_old_as_retention_time_stays)
{
    const int64_t kept_ms = machine.limits.retention_ms;
    must_send_float("a", "__name__=m", SIM_BEGIN - kept_ms, 1);
    machine_flush(&machine);
    must_send_float("a", "__name__=m", SIM_BEGIN - kept_ms + 1, 2);
    must_send_float("a", "__name__=now", SIM_BEGIN, 3);
    machine_flush(&machine);
    expire();
    assert_int_equal(stats_now().parts, 2);
    merge(TSDB_MERGE_FULL);
    assert_int_equal(stats_now().part_samples, 3);
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    must_send_float("a", "__name__=now", SIM_BEGIN + 1, 4);
    machine_flush(&machine);
    expire();
    merge(TSDB_MERGE_FULL);
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_EXPIRED], 1);
}

UNIT_TEST(test_the_size_limit_drops_nothing_while_the_clock_is_not_trusted)
{
    for (int i = 0; i < 3; i++) {
        must_send_float("a", "__name__=m", SIM_BEGIN + i, i);
        machine_flush(&machine);
    }
    machine.limits.retention_bytes = 1;
    tsdb_set_limits(machine.db, &machine.limits);
    set_clock(SIM_BEGIN - DAY_MS);
    expire();
    assert_int_equal(stats_now().parts, 3);
    set_clock(SIM_BEGIN);
    expire();
    assert_int_equal(stats_now().parts, 1);
}

UNIT_TEST(test_limits_of_0_keep_samples_of_any_age_and_parts_of_any_size)
{
    machine.limits.retention_ms = 0;
    machine.limits.retention_bytes = 0;
    tsdb_set_limits(machine.db, &machine.limits);
    must_send_float("a", "__name__=m", SIM_BEGIN, 1);
    machine_flush(&machine);
    must_send_float("a", "__name__=m", 0, 1);
    machine_flush(&machine);
    expire();
    assert_int_equal(stats_now().parts, 2);
    merge(TSDB_MERGE_FULL);
    assert_int_equal(stats_now().part_samples, 2);
}

/* --- a directory that was never reopened ------------------------------------------------------ */

#define JUMP_MS       (60 * DAY_MS)
#define GUARDED       2000 /* samples of the tenant "a", every 15 s, from two days ago */
#define GUARDED_BEGIN (SIM_BEGIN - 2 * DAY_MS)

static struct series_rules *guard_rules;

static void
send_guarded(void)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    for (int64_t i = 0; i < GUARDED; i++)
        rq_float(&rq, GUARDED_BEGIN + i * 15000, double_bits((double)(i * 7919 % 1009)), 0);
    must(machine_send(&machine, "a", &rq));
    expect_result(GUARDED, 0);
    rq_fini(&rq);
    must_send_float("clock", "__name__=now", env_realtime_ms(machine.env), 0);
}

static void
limit_by(int64_t kept_ms)
{
    const struct series_rule all = {"{}", NULL, 0, kept_ms};
    must(series_rules_new(&all, 1, NULL, &guard_rules, &machine.why));
}

static void
by_time(void)
{
    machine.limits.retention_ms = 7 * DAY_MS;
}

static void
by_rules(void)
{
    limit_by(7 * DAY_MS);
    machine.limits.retention_rules = guard_rules;
    machine.limits.retention_rewrite_percent = 1;
}

static void
by_level(void)
{
    limit_by(7 * DAY_MS);
    machine.limits.levels[0] = (struct tsdb_level){60 * MINUTE_MS, guard_rules};
    machine.limits.level_count = 1;
}

static void
by_hold(void)
{
    machine.limits.deletion_hold_ms = DAY_MS;
}

static void
by_grace(void)
{
    machine.limits.retention_grace_ms = DAY_MS;
}

static void
none_before(void)
{
}

static void
delete_all(void)
{
    assert_int_equal(delete_after("a", 0), GUARDED);
}

static void
shorten_rules(void)
{
    limit_by(DAY_MS);
    machine.limits.retention_rules = guard_rules;
    tsdb_set_limits(machine.db, &machine.limits);
}

static void
see_all(void)
{
    struct question q;
    uint64_t count = 0;
    question_init(&q, "a", every_series, 1, INT64_MIN, INT64_MAX);
    must(machine_select(&machine, &q, count_sample, &count));
    question_fini(&q);
    assert_int_equal(count, GUARDED);
}

static void
take_late(void)
{
    see_all();
    must_send_float("a", "__name__=late", GUARDED_BEGIN, 1);
}

static void
undelete(void)
{
    must(tsdb_undelete(machine.db, text("a"), 1, &machine.why));
    see_all();
}

/* Each guard against a clock that jumps ahead: what it protects samples from, what happens before
 * the jump, and the proof that it held. */
static const struct guard {
    const char *name;
    void (*configure)(void);
    void (*before)(void);
    void (*holds)(void);
    bool survives_a_start; /* on which the clock is still ahead */
    bool waits_for_trust;  /* nothing happens while the clock is before the newest sample */
} guards[] = {
    {"retention.time", by_time, none_before, see_all, true, true},
    {"refusal of samples that are too old", by_time, none_before, take_late, true, false},
    {"rules of retention", by_rules, none_before, see_all, true, true},
    {"levels of downsampling", by_level, none_before, see_all, true, true},
    {"hold of deletions", by_hold, delete_all, undelete, false, true},
    {"grace of rules", by_grace, shorten_rules, see_all, false, true},
};

enum jump { CLOCK_AHEAD, CLOCK_AHEAD_AT_A_START, CLOCK_BACK };

/* Everything that may remove or replace samples runs at this clock. */
static void
live(void)
{
    must_send_float("clock", "__name__=now", env_realtime_ms(machine.env), 1);
    machine_commit(&machine);
    must(tsdb_maintain(machine.db, &machine.why));
    expire();
    machine_flush(&machine);
    expire();
    merge(TSDB_MERGE_DUE);
    merge(TSDB_MERGE_FULL);
}

static void
check_guard(const struct guard *guard, enum jump jump)
{
    bool killed = jump == CLOCK_AHEAD_AT_A_START;
    print_message("%s, %d\n", guard->name, jump);
    machine_init(&machine, 1);
    guard->configure();
    machine_must_open(&machine);
    send_guarded();
    machine_commit(&machine);
    if (!killed) machine_flush(&machine);
    guard->before();
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN + JUMP_MS);
    if (killed) machine_restart(&machine); /* nothing has been written but the log */
    live();
    if (jump == CLOCK_BACK) {
        set_clock(SIM_BEGIN);
        sim_env_advance_ns(machine.sim, JUMP_MS / 2 * NS_PER_MS);
        live();
        expect_clock(TSDB_CLOCK_BEFORE_SAMPLES);
    }
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], GUARDED);
    guard->holds();
    machine_close(&machine);
    must(machine_verify(&machine, true));
    machine.limits.retention_rules = NULL;
    series_rules_unref(guard_rules);
    guard_rules = NULL;
    machine_fini(&machine);
}

UNIT_TEST(test_every_guard_against_a_clock_ahead_holds_in_a_first_process)
{
    machine_fini(&machine);
    for (size_t i = 0; i < sizeof guards / sizeof guards[0]; i++) {
        check_guard(&guards[i], CLOCK_AHEAD);
        if (guards[i].survives_a_start) check_guard(&guards[i], CLOCK_AHEAD_AT_A_START);
        if (guards[i].waits_for_trust) check_guard(&guards[i], CLOCK_BACK);
    }
}

/* An import that begins years ago, and is interrupted, stops retention neither for its own process
 * nor for the next one. */
UNIT_TEST(test_retention_goes_on_after_an_import_of_the_oldest_first)
{
    must_send_float("a", "__name__=m", SIM_BEGIN - YEARS_MS, 1);
    machine_flush(&machine);
    machine_restart(&machine);
    must_send_float("a", "__name__=m", SIM_BEGIN, 1);
    machine_flush(&machine);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN);
    machine_restart(&machine);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN);
}

/* As on a board without a battery, which gets the time from the network after a minute. */
UNIT_TEST(test_retention_begins_when_the_clock_is_trusted_first)
{
    machine_fini(&machine);
    machine_init(&machine, 1);
    sim_env_set_realtime_ms(machine.sim, 0);
    machine_must_open(&machine);
    machine_restart(&machine);
    sim_env_advance_ns(machine.sim, MINUTE_MS * NS_PER_MS);
    set_clock(SIM_BEGIN);
    must_send_float("a", "__name__=m", SIM_BEGIN, 1);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN);
    set_clock(SIM_BEGIN + JUMP_MS);
    must_send_float("a", "__name__=m", SIM_BEGIN + JUMP_MS, 1);
    assert_int_equal(stats_now().retention_now_ms, SIM_BEGIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_samples_of_the_server_itself_do_not_disprove_the_clock),
        claim(test_samples_of_a_sender_beside_those_of_the_server_are_evidence),
        claim(test_the_clock_is_trusted_after_future_samples_are_deleted),
        claim(test_the_clock_is_believed_again_when_it_has_come_to_the_samples),
        claim(test_a_clock_that_is_set_back_after_a_deletion_is_not_believed),
        claim(test_own_samples_advance_retention_only_as_far_as_time_passed),
        claim(test_without_other_samples_retention_counts_from_the_server_s_own),
        claim(test_retention_ignores_a_clock_of_the_past_after_a_restart),
        claim(test_a_deletion_made_while_the_clock_was_ahead_frees_the_disk),
        claim(test_a_sample_exactly_as_old_as_retention_time_stays),
        claim(test_the_size_limit_drops_nothing_while_the_clock_is_not_trusted),
        claim(test_limits_of_0_keep_samples_of_any_age_and_parts_of_any_size),
        claim(test_every_guard_against_a_clock_ahead_holds_in_a_first_process),
        claim(test_retention_goes_on_after_an_import_of_the_oldest_first),
        claim(test_retention_begins_when_the_clock_is_trusted_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
