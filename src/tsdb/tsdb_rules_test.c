/*
 * tsdb_rules_test.c - rules of retention: samples past the rule of their series are hidden from
 * every reader, and merges remove them, only them; rules that were replaced protect samples for the
 * grace, over restarts.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "model/series_rules.h"

static const char *const only_a[] = {"a"};

/* Sets rules until the next call; the machine keeps them over restarts. */
static void
set_rules(struct machine *m, const struct series_rule *list, uint32_t count)
{
    struct series_rules *rules = NULL;
    if (count > 0) must(series_rules_new(list, count, NULL, &rules, &m->why));
    series_rules_unref(m->limits.retention_rules);
    m->limits.retention_rules = rules;
    m->limits.retention_rewrite_percent = 1;
    if (m->db != NULL) tsdb_set_limits(m->db, &m->limits);
}

static uint64_t
merge_all(struct machine *m)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    uint64_t merges = 0;
    do {
        must(tsdb_merge(m->db, &options, &r, &m->why));
        merges += r.input_count > 0;
    } while (r.input_count > 0);
    return merges;
}

static void
merge_due(struct machine *m)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_DUE};
    struct tsdb_merge_result r;
    do {
        must(tsdb_merge(m->db, &options, &r, &m->why));
    } while (r.input_count > 0);
}

static void
add_removed(void *context, const struct tsdb_rule *rule)
{
    struct tsdb_rule *to = context;
    to->samples += rule->samples;
    to->series += rule->series;
    to->bytes += rule->bytes;
}

static struct tsdb_rule
removed_by_rules(struct machine *m)
{
    struct tsdb_rule removed = {.rule = NULL};
    struct tsdb_rules_state state;
    tsdb_rules(m->db, &state, add_removed, &removed);
    return removed;
}

/* Sends a sample per day to two series, for `days` days up to now. */
static void
send_days(const char *tenant, unsigned days)
{
    for (unsigned i = days; i-- > 0;) {
        must_send_float(tenant, "__name__=m,job=ci", SIM_BEGIN - i * DAY_MS, i);
        must_send_float(tenant, "__name__=m,job=web", SIM_BEGIN - i * DAY_MS, i);
    }
    machine_commit(&machine);
}

static const struct series_rule ci_2d[] = {{"{job=\"ci\"}", NULL, 0, 2 * DAY_MS}};
#define LINE(job, days) "{__name__=\"m\", job=\"" job "\"} %lld " #days "\n"
#define CI_2D           LINE("ci", 2) LINE("ci", 1) LINE("ci", 0)
#define WEB             LINE("web", 3) LINE("web", 2) LINE("web", 1) LINE("web", 0)

static const char *
days_text(const char *format)
{
    static char lines[2000];
    const char *at = format;
    size_t size = 0;
    for (const char *next; (next = strstr(at, "%lld ")) != NULL; at = next + 4) {
        long long days = strtoll(next + 5, NULL, 10);
        size += (size_t)snprintf(lines + size, sizeof lines - size, "%.*s%lld", (int)(next - at),
                                 at, SIM_BEGIN - days * DAY_MS);
    }
    snprintf(lines + size, sizeof lines - size, "%s", at);
    return lines;
}

UNIT_TEST(test_samples_past_their_rule_are_hidden_at_every_stage)
{
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    expect_at_every_stage("a", days_text(CI_2D WEB));
    merge_all(&machine);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_merges_remove_what_is_past_its_rule_and_count_it)
{
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    machine_flush(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 8);
    merge_all(&machine);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.stored[LEDGER_FLOAT], 7);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_EXPIRED], 1);
    assert_int_equal(removed_by_rules(&machine).samples, 1);
    machine_verified_restart(&machine);
    assert_int_equal(removed_by_rules(&machine).samples, 1);
    set_rules(&machine, NULL, 0);
    assert_int_equal(removed_by_rules(&machine).samples, 1);
    expect_all(&machine, "a", days_text(CI_2D WEB));
}

UNIT_TEST(test_a_part_that_is_split_counts_removed_bytes_once)
{
    struct series_cost found;
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m,job=ci");
    for (int64_t i = 0; i < 2000; i++) /* 20 days */
        rq_float(&rq, SIM_BEGIN - (2000 - i) * (DAY_MS / 100), (uint64_t)i * 0x9E3779B97F4A7C15, 0);
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
    set_rules(&machine, ci_2d, 1);
    must(tsdb_rules_survey(machine.db, &machine.limits, NULL, &found, &machine.why));
    merge_all(&machine);
    assert_int_equal(removed_by_rules(&machine).samples, found.samples);
    assert_in_range(removed_by_rules(&machine).bytes, found.bytes / 10 * 9, found.bytes / 10 * 11);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_the_first_of_two_contradicting_rules_decides)
{
    const struct series_rule keep[] = {{"{job=\"ci\"}", NULL, 0, 90 * DAY_MS},
                                       {"{job=~\"ci|web\"}", NULL, 0, DAY_MS}};
    set_rules(&machine, keep, 2);
    send_days("a", 4);
    expect_at_every_stage("a", days_text(LINE("ci", 3) CI_2D LINE("web", 1) LINE("web", 0)));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_rule_of_one_tenant_hides_nothing_of_another)
{
    const struct series_rule one[] = {{"{}", only_a, 1, DAY_MS}};
    set_rules(&machine, one, 1);
    send_days("a", 4);
    send_days("b", 4);
    machine_flush(&machine);
    merge_all(&machine);
    expect_all(&machine, "b", days_text(LINE("ci", 3) CI_2D WEB));
    expect_all(&machine, "a", days_text(LINE("ci", 1) LINE("ci", 0) LINE("web", 1) LINE("web", 0)));
    set_rules(&machine, NULL, 0);
}

#define CI_1D    LINE("ci", 1) LINE("ci", 0) /* two days are over for the rest */
#define ALL_DAYS LINE("ci", 3) CI_2D WEB

/* Lets time pass, as the clock and senders see it. */
static void
pass_hours(int64_t hours)
{
    sim_env_advance_ns(machine.sim, hours * 60 * MINUTE_MS * NS_PER_MS);
    must_send_float("clock", "__name__=now", env_realtime_ms(machine.env), 0);
    machine_commit(&machine);
    machine_flush(&machine); /* so that the next process knows the time, too */
}

static void
begin_with_grace(void)
{
    machine.limits.retention_grace_ms = DAY_MS;
    send_days("a", 4);
    machine_flush(&machine);
}

UNIT_TEST(test_shorter_rules_hide_and_remove_only_after_the_grace)
{
    static const struct series_rule ci_3d[] = {{"{job=\"ci\"}", NULL, 0, 3 * DAY_MS}};
    begin_with_grace();
    set_rules(&machine, ci_3d, 1);
    pass_hours(12);
    merge_all(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    pass_hours(12);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 7);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_rules_that_are_taken_back_in_the_grace_remove_nothing)
{
    begin_with_grace();
    set_rules(&machine, ci_2d, 1);
    pass_hours(23);
    set_rules(&machine, NULL, 0);
    pass_hours(48);
    merge_all(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    set_rules(&machine, ci_2d, 1); /* and their grace begins again */
    pass_hours(23);
    merge_all(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_restart_neither_shortens_nor_prolongs_the_grace)
{
    begin_with_grace();
    set_rules(&machine, ci_2d, 1);
    pass_hours(12);
    machine_close(&machine);
    sim_env_advance_ns(machine.sim, 6 * 60 * MINUTE_MS * NS_PER_MS);
    machine_must_open(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    pass_hours(5);
    machine_verified_restart(&machine);
    merge_all(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    pass_hours(1);
    expect_all(&machine, "a", days_text(CI_1D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_rules_that_change_while_no_server_runs_have_their_grace)
{
    begin_with_grace();
    pass_hours(1);
    machine_close(&machine);
    set_rules(&machine, ci_2d, 1);
    machine_must_open(&machine);
    pass_hours(23);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    pass_hours(1);
    expect_all(&machine, "a", days_text(LINE("ci", 0) WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_clock_that_jumps_ends_no_grace)
{
    begin_with_grace();
    set_rules(&machine, ci_2d, 1);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN + 400 * DAY_MS);
    must(tsdb_maintain(machine.db, &machine.why));
    expect_all(&machine, "a", days_text(ALL_DAYS));
    machine_restart(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN);
    must(tsdb_maintain(machine.db, &machine.why));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_clock_that_was_ahead_does_not_prolong_the_grace)
{
    begin_with_grace();
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN + 400 * DAY_MS);
    set_rules(&machine, ci_2d, 1);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN);
    must(tsdb_maintain(machine.db, &machine.why));
    pass_hours(24);
    expect_all(&machine, "a", days_text(CI_1D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_more_changes_than_are_remembered_hide_nothing_in_the_grace)
{
    begin_with_grace();
    for (int64_t i = 1; i < 40; i++) {
        const struct series_rule rule[] = {{"{job=\"ci\"}", NULL, 0, DAY_MS + i}};
        set_rules(&machine, rule, 1);
    }
    pass_hours(23);
    merge_all(&machine);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", days_text(ALL_DAYS));
    pass_hours(1);
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 5);
    set_rules(&machine, NULL, 0);
}

/* The time for which all samples are kept changes with the rules; the longest was the first. */
static void
check_longest_time(int64_t longest_ms)
{
    struct tsdb_merge_result r;
    machine.limits.retention_ms = 3 * DAY_MS;
    tsdb_set_limits(machine.db, &machine.limits);
    begin_with_grace();
    for (int64_t i = 1; i < 40; i++) {
        const struct series_rule rule[] = {{"{job=\"none\"}", NULL, 0, DAY_MS + i}};
        machine.limits.retention_ms = i == 1 ? longest_ms : 2 * DAY_MS;
        set_rules(&machine, rule, 1);
    }
    merge_all(&machine); /* to a part for each day */
    pass_hours(23);
    must(tsdb_expire(machine.db, &r, &machine.why));
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 8);
    pass_hours(1);
    must(tsdb_expire(machine.db, &r, &machine.why));
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 4);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_after_many_changes_the_longest_time_counts_during_the_grace)
{
    check_longest_time(365 * DAY_MS);
    machine_fini(&machine);
    machine_init(&machine, 1);
    machine_must_open(&machine);
    check_longest_time(0); /* no limit */
}

UNIT_TEST(test_a_snapshot_keeps_rules_with_their_grace_and_counts)
{
    static const struct series_rule web_2d[] = {{"{job=\"web\"}", NULL, 0, 2 * DAY_MS}};
    char name[SNAPSHOT_NAME_BYTES], dir[300];
    struct tsdb *copy;
    struct tsdb_opening opening;
    struct tsdb_rules_state kept;
    struct tsdb_rule removed = {.rule = NULL};
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    machine_flush(&machine);
    merge_all(&machine);
    machine.limits.retention_grace_ms = DAY_MS;
    set_rules(&machine, web_2d, 1);
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s", name);
    struct tsdb_options options = machine.options;
    options.dir = dir;
    must(tsdb_open(&options, &machine.limits, &copy, &opening, &machine.why));
    tsdb_rules(copy, &kept, add_removed, &removed);
    assert_int_equal(kept.grace_left_ms, DAY_MS);
    assert_int_equal(removed.samples, 1);
    tsdb_free(copy);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_rules_of_an_empty_directory_are_in_force_at_once)
{
    machine.limits.retention_grace_ms = DAY_MS;
    machine_close(&machine);
    must(env_remove_tree(machine.env, STORE_DIR, &machine.why));
    set_rules(&machine, ci_2d, 1);
    machine_must_open(&machine);
    send_days("a", 4);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    machine_verified_restart(&machine);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_survey_finds_what_rules_would_remove)
{
    static const struct series_rule both[] = {{"{job=\"ci\"}", NULL, 0, DAY_MS},
                                              {"{}", only_a, 1, 2 * DAY_MS}};
    struct series_cost found[2];
    struct tsdb_limits limits = {.level_count = 0};
    must(series_rules_new(both, 2, NULL, &limits.retention_rules, &machine.why));
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    send_days("b", 4);
    for (unsigned stage = 0; stage < 2; stage++) {
        must(tsdb_rules_survey(machine.db, &limits, NULL, found, &machine.why));
        assert_int_equal(found[0].series, 2);
        assert_int_equal(found[0].samples, 4);
        assert_int_equal(found[1].series, 1);
        assert_int_equal(found[1].samples, 1);
        machine_flush(&machine);
    }
    assert_true(found[0].bytes > 0);
    tsdb_limits_drop_rules(&limits);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_clock_that_is_not_trusted_hides_and_removes_nothing)
{
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    machine_flush(&machine);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN - DAY_MS);
    must(tsdb_maintain(machine.db, &machine.why));
    merge_all(&machine);
    expect_all(&machine, "a", days_text(LINE("ci", 3) CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_clock_far_ahead_hides_no_more_than_the_newest_sample_says)
{
    set_rules(&machine, ci_2d, 1);
    send_days("a", 4);
    machine_flush(&machine);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN + 1000 * DAY_MS);
    must(tsdb_maintain(machine.db, &machine.why));
    merge_all(&machine);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_part_is_rewritten_when_the_share_past_its_rules_is_worth_it)
{
    send_days("a", 4);
    machine_flush(&machine);
    merge_all(&machine);
    set_rules(&machine, ci_2d, 1);
    machine.limits.retention_rewrite_percent = 90; /* half of a part is of the other series */
    tsdb_set_limits(machine.db, &machine.limits);
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 8);
    machine.limits.retention_rewrite_percent = 25;
    tsdb_set_limits(machine.db, &machine.limits);
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 8);
    sim_env_advance_ns(machine.sim, 60 * MINUTE_MS * NS_PER_MS); /* parts are looked at again */
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 7);
    set_rules(&machine, NULL, 0);
}

static bool
change_rules(void *context)
{
    set_rules(context, NULL, 0);
    return true;
}

/* A part with four days, and so many samples that a merge asks at least once before it is done. */
static void
send_a_long_merge(void)
{
    struct rq rq;
    send_days("a", 4);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=many");
    for (int64_t i = 0; i < 70000; i++)
        rq_float(&rq, SIM_BEGIN - i, 0, 0);
    must(machine_send(&machine, "b", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
}

static enum err
merge_full(bool (*go_on)(void *context))
{
    struct tsdb_merge_options options = {
        .mode = TSDB_MERGE_FULL, .go_on = go_on, .context = &machine};
    struct tsdb_merge_result r;
    return tsdb_merge(machine.db, &options, &r, &machine.why);
}

static void
keep(struct machine *m, int64_t kept_ms)
{
    m->limits.retention_ms = kept_ms;
    tsdb_set_limits(m->db, &m->limits);
}

static bool
keep_longer(void *context)
{
    keep(context, 3 * DAY_MS);
    return true;
}

static bool
keep_forever(void *context)
{
    keep(context, 0);
    return true;
}

static bool
keep_for_a_day(void *context)
{
    keep(context, DAY_MS);
    return true;
}

UNIT_TEST(test_a_merge_during_which_retention_becomes_longer_removes_nothing)
{
    int64_t before_ms = machine.limits.retention_ms;
    send_a_long_merge();
    keep(&machine, 2 * DAY_MS);
    assert_int_equal(merge_full(keep_longer), ERR_CANCELED);
    assert_int_equal(merge_full(keep_forever), ERR_CANCELED);
    expect_all(&machine, "a", days_text(LINE("ci", 3) CI_2D WEB));
    assert_int_equal(merge_full(keep_for_a_day), OK);
    keep(&machine, before_ms);
}

UNIT_TEST(test_a_merge_during_which_rules_change_removes_nothing)
{
    send_a_long_merge();
    set_rules(&machine, ci_2d, 1);
    assert_int_equal(merge_full(change_rules), ERR_CANCELED);
    expect_all(&machine, "a", days_text(LINE("ci", 3) CI_2D WEB));
    merge_all(&machine);
    expect_all(&machine, "a", days_text(LINE("ci", 3) CI_2D WEB));
}

static const struct series_rule ci_1d[] = {{"{job=\"ci\"}", NULL, 0, DAY_MS}};

static bool
reload_the_same(void *context)
{
    set_rules(context, ci_1d, 1);
    return true;
}

UNIT_TEST(test_a_reload_without_change_in_the_grace_ends_no_merge)
{
    send_a_long_merge();
    set_rules(&machine, ci_2d, 1);
    machine.limits.retention_grace_ms = DAY_MS;
    set_rules(&machine, ci_1d, 1);
    assert_int_equal(merge_full(reload_the_same), OK);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

/* Returns the samples on disk that the only deletion selected when it was made. */
static uint64_t
selected(struct machine *m)
{
    struct arena arena;
    struct tsdb_receipt *list;
    uint32_t count;
    arena_init(&arena, NULL, 0, 0);
    must(tsdb_deletions(m->db, text("a"), &arena, &list, &count, &m->why));
    assert_int_equal(count, 1);
    uint64_t samples = list[0].selected;
    arena_fini(&arena);
    return samples;
}

UNIT_TEST(test_receipts_of_deletions_count_what_rules_hide_as_on_disk)
{
    struct tsdb_deletion made;
    struct selector selector;
    const struct bytes tenant = bytes_of_text("a");
    struct tsdb_deletion hidden;
    send_days("a", 4);
    machine_flush(&machine);
    machine.limits.deletion_hold_ms = DAY_MS;
    set_rules(&machine, ci_2d, 1);
    must(selector_parse(bytes_of_text("{job=\"ci\"}"), &selector, &machine.why));
    must(tsdb_delete(machine.db, tenant, &selector, 1, INT64_MIN, INT64_MAX, &made, &machine.why));
    assert_int_equal(made.samples, 3);
    assert_int_equal(selected(&machine), 4);
    must(tsdb_deletion_hidden(machine.db, made.id, NULL, &hidden, &machine.why));
    assert_int_equal(hidden.samples, 4);
    merge_all(&machine);
    must(tsdb_deletion_hidden(machine.db, made.id, NULL, &hidden, &machine.why));
    assert_int_equal(hidden.samples, 3);
    must(tsdb_undelete(machine.db, tenant, made.id, &machine.why));
    expect_all(&machine, "a", days_text(CI_2D WEB));
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_full_merge_removes_all_that_is_past_its_rule)
{
    send_days("a", 4);
    machine_flush(&machine);
    merge_all(&machine);
    set_rules(&machine, ci_2d, 1);
    machine.limits.retention_rewrite_percent = 90;
    tsdb_set_limits(machine.db, &machine.limits);
    merge_all(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 7);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_full_merge_removes_one_series_of_many_past_its_rule)
{
    struct rq rq;
    send_days("a", 4);
    rq_init(&rq, RW_V1);
    for (int i = 0; i < 5001; i++) { /* before the others, of which few are looked at */
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=before,x=%d", i);
        rq_series(&rq, labels);
        rq_float(&rq, SIM_BEGIN - 3 * DAY_MS, 0, 0);
    }
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
    merge_all(&machine);
    set_rules(&machine, ci_2d, 1);
    merge_all(&machine);
    assert_int_equal(removed_by_rules(&machine).samples, 1);
    assert_int_equal(merge_all(&machine), 0);
    set_rules(&machine, NULL, 0);
}

UNIT_TEST(test_a_part_without_room_for_its_copy_is_rewritten_later)
{
    send_days("a", 4);
    machine_flush(&machine);
    merge_all(&machine);
    set_rules(&machine, ci_2d, 1);
    sim_env_set_capacity(machine.sim, tree_sum_of(machine.env, STORE_DIR).bytes);
    err_ignore(tsdb_maintain(machine.db, &machine.why), "the disk is full");
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 8);
    expect_all(&machine, "a", days_text(CI_2D WEB));
    sim_env_set_capacity(machine.sim, UINT64_MAX);
    sim_env_advance_ns(machine.sim, 60 * MINUTE_MS * NS_PER_MS);
    must(tsdb_maintain(machine.db, &machine.why));
    merge_due(&machine);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 7);
    set_rules(&machine, NULL, 0);
}

/* --- look-ups and exemplars ------------------------------------------------------------------- */

static enum err
add_text(void *context, struct bytes text)
{
    buf_put_bytes(context, text);
    buf_put_u8(context, ';');
    return OK;
}

static void
expect_texts(const char *what, int64_t max_ms, const char *expected)
{
    struct question q;
    struct buf got;
    buf_init(&got, NULL, 4096);
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, max_ms);
    must(machine_texts(&machine, &q.request, what, add_text, &got));
    buf_put_u8(&got, 0);
    assert_string_equal((char *)got.at, expected);
    question_fini(&q);
    buf_fini(&got);
}

UNIT_TEST(test_look_ups_leave_out_series_without_a_visible_sample)
{
    set_rules(&machine, ci_2d, 1);
    send_days("a", 6);
    for (unsigned stage = 0; stage < 3; stage++) {
        expect_texts("job", INT64_MAX, "ci;web;");
        expect_texts("job", SIM_BEGIN - 2 * DAY_MS, "ci;web;");
        expect_texts("job", SIM_BEGIN - 2 * DAY_MS - 1, "web;");
        if (stage == 0) machine_flush(&machine);
        if (stage == 1) merge_all(&machine);
    }
    set_rules(&machine, NULL, 0);
}

static enum err
count_exemplar(void *context, const struct exemplar *x)
{
    (void)x;
    ++*(unsigned *)context;
    return OK;
}

UNIT_TEST(test_exemplars_past_their_rule_are_hidden_and_removed)
{
    struct rq rq;
    struct question q;
    set_rules(&machine, ci_2d, 1);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m,job=ci");
    for (int64_t i = 3; i >= 0; i--) {
        rq_float(&rq, SIM_BEGIN - i * DAY_MS, 0, 0);
        rq_exemplar(&rq, SIM_BEGIN - i * DAY_MS, 0, "trace=x");
    }
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX);
    for (unsigned stage = 0; stage < 3; stage++) {
        unsigned count = 0;
        must(machine_exemplars(&machine, &q.request, count_exemplar, &count));
        assert_int_equal(count, 3);
        if (stage == 0) machine_flush(&machine);
        if (stage == 1) merge_all(&machine);
    }
    question_fini(&q);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_EXEMPLAR], 3);
    set_rules(&machine, NULL, 0);
}

/* --- kills ------------------------------------------------------------------------------------ */

static void
send_one(struct machine *m, const char *labels, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_float(&rq, t_ms, 0, 0);
    must(machine_send(m, "a", &rq));
    rq_fini(&rq);
}

/* Rules change, their grace ends, and a merge removes; the power fails at the nth call of the
 * system of one of these steps, or each call from then on does. True if it came to that. */
static bool
lose_power_at(struct machine *m, unsigned step, uint64_t nth, bool cut_short)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    bool fired = false;
    for (unsigned at = 0; at <= step; at++) {
        if (at == step) fault_env_arm(m->fe, (struct fault){FAULT_EIO, nth, true});
        if (at == 0) set_rules(m, ci_2d, 1);
        if (at == 1) {
            m->limits.retention_grace_ms = 0;
            tsdb_set_limits(m->db, &m->limits);
            for (r.input_count = 1; r.input_count > 0;)
                if (tsdb_merge(m->db, &options, &r, &m->why)) break;
        }
        if (at == 2) set_rules(m, NULL, 0);
        if (at < step) continue;
        fired = fault_env_fired(m->fe);
        fault_env_disarm(m->fe);
    }
    if (cut_short) sim_env_power_loss(m->sim);
    machine_close(m);
    return fired;
}

UNIT_TEST(test_a_kill_at_any_step_removes_no_more_than_the_rules_say)
{
    for (unsigned step = 0; step < 3; step++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct machine m;
            machine_init(&m, nth);
            m.limits.retention_grace_ms = DAY_MS;
            machine_must_open(&m);
            for (int64_t i = 3; i >= 0; i--) {
                send_one(&m, "__name__=m,job=ci", SIM_BEGIN - i * DAY_MS);
                send_one(&m, "__name__=m,job=web", SIM_BEGIN - i * DAY_MS);
            }
            machine_commit(&m);
            machine_flush(&m);
            fired = lose_power_at(&m, step, nth, nth % 2 == 0);
            machine_must_open(&m);
            struct ledger l = machine_ledger(&m, "a");
            uint64_t stored = l.stored[LEDGER_FLOAT], expired = 8 - stored;
            assert_in_range(stored, step == 0 ? 8 : 7, 8);
            assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_EXPIRED], expired);
            assert_int_equal(removed_by_rules(&m).samples, expired);
            machine_verified_restart(&m);
            assert_int_equal(removed_by_rules(&m).samples, expired);
            set_rules(&m, NULL, 0);
            machine_fini(&m);
        }
    }
}

/* --- at random -------------------------------------------------------------------------------- */

enum { SERIES = 6, DAYS = 60 };
#define GRACE_MS DAY_MS

struct random_world {
    struct rng r;
    struct known_rules {
        struct series_rule rules[3];
        uint32_t count;
        int64_t left_ms; /* when others replaced them */
    } sets[32];          /* the last one is in force */
    uint32_t set_count;
    int64_t now_ms;
    bool sent[SERIES][DAYS];
    bool may_be_gone[SERIES][DAYS]; /* it was hidden when a merge ran */
    bool seen[SERIES][DAYS];
};

static const char *const some_matches[] = {"{}", "{n=\"1\"}", "{n=~\"[0-3]\"}", "{n!=\"5\"}",
                                           "{__name__=\"other\"}"};

/* Finds by the matches above, not by matchers. */
static bool
is_matched(const char *match, unsigned series)
{
    if (strcmp(match, "{}") == 0) return true;
    if (strcmp(match, "{n=\"1\"}") == 0) return series == 1;
    if (strcmp(match, "{n=~\"[0-3]\"}") == 0) return series <= 3;
    return strcmp(match, "{n!=\"5\"}") == 0 && series != 5;
}

static bool
is_past(const struct known_rules *set, unsigned series, int64_t age_ms)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (is_matched(set->rules[i].match, series)) return age_ms > set->rules[i].age_ms;
    return false;
}

/* Past all rules of the last grace. */
static bool
is_hidden(const struct random_world *w, unsigned series, unsigned days)
{
    bool hidden = true;
    for (uint32_t i = 0; i < w->set_count; i++) {
        const struct known_rules *set = &w->sets[i];
        bool counts = i + 1 == w->set_count || w->now_ms - set->left_ms < GRACE_MS;
        if (counts) hidden &= is_past(set, series, w->now_ms - SIM_BEGIN + days * DAY_MS);
    }
    return hidden;
}

static void
choose_rules(struct random_world *w, struct machine *m)
{
    w->sets[w->set_count - 1].left_ms = w->now_ms;
    struct known_rules *set = &w->sets[w->set_count++];
    assert_true(w->set_count <= 32);
    *set = (struct known_rules){.count = (uint32_t)rng_below(&w->r, 4)};
    for (uint32_t i = 0; i < set->count; i++) {
        int64_t age_ms = (int64_t)rng_below(&w->r, DAYS) * DAY_MS + MINUTE_MS;
        set->rules[i] = (struct series_rule){some_matches[rng_below(&w->r, 5)], NULL, 0, age_ms};
    }
    set_rules(m, set->rules, set->count);
}

/* Six hours pass, as the clock, a sender and the manifest see it. */
static void
let_time_pass(struct random_world *w, struct machine *m)
{
    struct rq rq;
    sim_env_advance_ns(m->sim, GRACE_MS / 4 * NS_PER_MS);
    w->now_ms += GRACE_MS / 4;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=now");
    rq_float(&rq, w->now_ms, 0, 0);
    must(machine_send(m, "clock", &rq));
    rq_fini(&rq);
    machine_commit(m);
    machine_flush(m);
}

static void
send_some(struct random_world *w, struct machine *m)
{
    for (unsigned i = 0; i < 40; i++) {
        unsigned series = (unsigned)rng_below(&w->r, SERIES);
        unsigned days = (unsigned)rng_below(&w->r, DAYS);
        char labels[40];
        struct rq rq;
        if (w->sent[series][days]) continue; /* a second one is a duplicate, or is stored again */
        snprintf(labels, sizeof labels, "__name__=m,n=%u", series);
        rq_init(&rq, RW_V1);
        rq_series(&rq, labels);
        rq_float(&rq, SIM_BEGIN - days * DAY_MS, double_bits(series), 0);
        must(machine_send(m, "a", &rq));
        rq_fini(&rq);
        w->sent[series][days] = true;
    }
    machine_commit(m);
}

/* Merges, perhaps until a call of the system fails and the power is lost. */
static void
merge_some(struct random_world *w, struct machine *m)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_DUE};
    struct tsdb_merge_result r;
    bool crash = rng_below(&w->r, 2) == 0;
    for (unsigned s = 0; s < SERIES; s++)
        for (unsigned d = 0; d < DAYS; d++)
            w->may_be_gone[s][d] |= is_hidden(w, s, d);
    if (rng_below(&w->r, 2) == 0) options.mode = TSDB_MERGE_FULL;
    if (crash) fault_env_arm(m->fe, (struct fault){FAULT_EIO, 1 + rng_below(&w->r, 60), true});
    enum err e;
    do {
        e = tsdb_merge(m->db, &options, &r, &m->why);
    } while (e == OK && r.input_count > 0);
    if (!crash) {
        must(e);
        return;
    }
    fault_env_disarm(m->fe);
    sim_env_power_loss(m->sim);
    machine_close(m);
    machine_must_open(m);
}

static void
note_seen(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    struct random_world *w = context;
    (void)labels;
    double value;
    memcpy(&value, &batch->value_bits[index], sizeof value);
    unsigned series = (unsigned)value;
    unsigned days = (unsigned)((SIM_BEGIN - batch->times_ms[index]) / DAY_MS);
    assert_true(series < SERIES && days < DAYS);
    assert_true(w->sent[series][days]);
    assert_false(is_hidden(w, series, days));
    w->seen[series][days] = true;
}

static void
compare(struct random_world *w, struct machine *m)
{
    struct question q;
    int64_t from_ms = SIM_BEGIN - (int64_t)rng_below(&w->r, DAYS + 1) * DAY_MS;
    memset(w->seen, 0, sizeof w->seen);
    question_init(&q, "a", every_series, 1, from_ms, INT64_MAX);
    must(machine_select(m, &q, note_seen, w));
    question_fini(&q);
    for (unsigned s = 0; s < SERIES; s++) {
        for (unsigned d = 0; d < DAYS; d++) {
            bool asked = SIM_BEGIN - d * DAY_MS >= from_ms;
            bool must_be_seen = asked && w->sent[s][d] && !is_hidden(w, s, d);
            if (must_be_seen && !w->may_be_gone[s][d]) assert_true(w->seen[s][d]);
        }
    }
}

static void
run_random(uint64_t seed)
{
    struct machine m;
    struct random_world w = {.set_count = 1, .now_ms = SIM_BEGIN};
    w.r.state = seed;
    machine_init(&m, seed);
    m.limits.retention_grace_ms = GRACE_MS;
    machine_must_open(&m);
    struct rq rq; /* its time is that from which ages count */
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m,n=0");
    rq_float(&rq, SIM_BEGIN, 0, 0);
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    w.sent[0][0] = true;
    machine_commit(&m);
    for (unsigned step = 0; step < 30; step++) {
        switch (rng_below(&w.r, 6)) {
        case 0:
            choose_rules(&w, &m);
            break;
        case 1:
            send_some(&w, &m);
            break;
        case 2:
            machine_flush(&m);
            break;
        case 3:
            merge_some(&w, &m);
            break;
        case 4:
            let_time_pass(&w, &m);
            break;
        default:
            machine_verified_restart(&m);
        }
        compare(&w, &m);
        machine_ledger(&m, NULL);
    }
    set_rules(&m, NULL, 0);
    machine_fini(&m);
}

UNIT_TEST(test_never_more_is_gone_than_rules_say_and_nothing_past_them_seen)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        run_random(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_samples_past_their_rule_are_hidden_at_every_stage),
        claim(test_merges_remove_what_is_past_its_rule_and_count_it),
        claim(test_a_part_that_is_split_counts_removed_bytes_once),
        claim(test_the_first_of_two_contradicting_rules_decides),
        claim(test_a_rule_of_one_tenant_hides_nothing_of_another),
        claim(test_shorter_rules_hide_and_remove_only_after_the_grace),
        claim(test_rules_that_are_taken_back_in_the_grace_remove_nothing),
        claim(test_a_restart_neither_shortens_nor_prolongs_the_grace),
        claim(test_rules_that_change_while_no_server_runs_have_their_grace),
        claim(test_a_clock_that_jumps_ends_no_grace),
        claim(test_a_clock_that_was_ahead_does_not_prolong_the_grace),
        claim(test_more_changes_than_are_remembered_hide_nothing_in_the_grace),
        claim(test_after_many_changes_the_longest_time_counts_during_the_grace),
        claim(test_a_snapshot_keeps_rules_with_their_grace_and_counts),
        claim(test_rules_of_an_empty_directory_are_in_force_at_once),
        claim(test_a_survey_finds_what_rules_would_remove),
        claim(test_a_clock_that_is_not_trusted_hides_and_removes_nothing),
        claim(test_a_clock_far_ahead_hides_no_more_than_the_newest_sample_says),
        claim(test_a_part_is_rewritten_when_the_share_past_its_rules_is_worth_it),
        claim(test_a_merge_during_which_rules_change_removes_nothing),
        claim(test_a_reload_without_change_in_the_grace_ends_no_merge),
        claim(test_a_merge_during_which_retention_becomes_longer_removes_nothing),
        claim(test_receipts_of_deletions_count_what_rules_hide_as_on_disk),
        claim(test_a_full_merge_removes_all_that_is_past_its_rule),
        claim(test_a_full_merge_removes_one_series_of_many_past_its_rule),
        claim(test_a_part_without_room_for_its_copy_is_rewritten_later),
        claim(test_look_ups_leave_out_series_without_a_visible_sample),
        claim(test_exemplars_past_their_rule_are_hidden_and_removed),
        claim(test_a_kill_at_any_step_removes_no_more_than_the_rules_say),
        cmocka_unit_test_teardown(test_never_more_is_gone_than_rules_say_and_nothing_past_them_seen,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
