/*
 * rules_replay_test.c - rules that are evaluated over the past, on a simulated machine, write what
 * a server had written that evaluated them all the time.
 */
#include "app/rules_sim_testing.h"
#include "rules/replay.h"

static const char rules[] =
    "groups:\n"
    "- {name: plain, interval: 30s, rules: ["
    "{record: 'job:rate2m', expr: 'sum by (job) (rate(requests_total[2m]))'},"
    "{record: 'load:high', expr: load > 50, labels: {level: high}},"
    "{record: 'job:rate2m:max', expr: 'max(job:rate2m)'},"
    "{record: scalar, expr: time() - 1}]}\n"
    "- {name: readers, interval: 1m, query_offset: 45s, rules: ["
    "{record: 'job:rate20m', expr: 'sum_over_time(job:rate2m[20m])'},"
    "{record: 'load:high:count', expr: 'count by (job) ({__name__=~\"load:.*\", n!=\"\"})'},"
    "{record: 'job:rate2m:ago', expr: 'job:rate2m offset 3m'}]}\n"
    "- {name: odd, interval: 20s, rules: ["
    "{record: shared, expr: load > 70},"
    "{record: shared, expr: load < 80 > 40},"
    "{record: shared, expr: load + 1},"
    "{record: 'fails:often', expr: 'load * on() group_left requests_total{n!=\"0\"}'},"
    "{record: 'twice:often', expr: 'sum by (n) (load > 40)', labels: {n: ''}},"
    "{record: 'of:ends', expr: 'load @ end() + timestamp(load)'},"
    "{record: text, expr: \"'a'\"}]}\n"
    "- {name: limited, interval: 30s, limit: 2, rules: [{record: few, expr: load > 30}]}\n"
    "- {name: itself, interval: 30s, rules: [{record: steps, expr: steps + 1 or vector(1)}]}\n"
    "- {name: ping, interval: 20s, rules: [{record: ping, expr: pong + 1 or vector(1)}]}\n"
    "- {name: pong, interval: 30s, rules: [{record: pong, expr: ping * 2 or vector(2)}]}\n"
    "- {name: of_pong, interval: 1m, rules: ["
    "{record: pongs, expr: 'count_over_time(pong[5m])'}, {alert: Not, expr: load > 50}]}\n";
static const char recorded[] = "job:.*|load:.*|scalar|shared|fails:often|twice:often|of:ends|text|"
                               "few|steps|ping|pong|pongs";

enum { GROUPS_MAX = 16 };

/* One server evaluates the rules all the time, the other one has no rules while time passes. */
static struct rules_sim whole, later;

/* The rules that are replayed on the store of the other one. */
static struct {
    struct arena arena;
    struct group *groups[GROUPS_MAX];
    uint32_t rounds[GROUPS_MAX];
    uint32_t count, round_count;
    struct replay replay;
    struct replay_counts counts; /* of the last call of replay() */
    uint64_t differences;
} a;

static void
note_failure(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
             struct bytes sentence)
{
    (void)context, (void)group;
    assert_non_null(rule);
    assert_true(at_ns > 0 && sentence.size > 0);
}

static void
note_difference(void *context, const struct group *group, const struct rule *rule,
                const struct replay_difference *d)
{
    (void)context;
    assert_non_null(group);
    assert_true(bytes_equal_text(labels_get(d->labels, text("__name__")), rule->name));
    assert_true(d->stored.is_histogram != d->computed.is_histogram ||
                d->stored.bits != d->computed.bits);
    a.differences++;
}

static void
forget_rules(void)
{
    for (uint32_t i = 0; i < a.count; i++) {
        group_free(a.groups[i]);
    }
    arena_fini(&a.arena);
    memset(&a, 0, sizeof a);
}

static void
ask(const char *yaml)
{
    struct rule_file_options options = {.tell = NULL};
    struct group_defaults defaults = {60000, 0};
    struct rule_groups groups;
    struct why why = {""};
    forget_rules();
    a.replay = (struct replay){&later.host, &later.terms, note_failure, note_difference, NULL};
    arena_init(&a.arena, NULL, 16 << 20, 0);
    if (rule_file_parse("rules.yml", text(yaml), &options, &a.arena, &groups, &why))
        fail_msg("%s", why.text);
    for (; a.count < groups.count; a.count++) {
        assert_true(a.count < GROUPS_MAX);
        must(group_new(&later.host, text("t"), &groups.items[a.count], &defaults,
                       &a.groups[a.count], &why));
    }
    must(replay_rounds(a.groups, a.count, a.rounds, &a.round_count));
}

/* After so many seconds without the rules. */
static void
begin(uint64_t seed, const char *yaml, int64_t seconds)
{
    sim_init(&later, seed, NO_GROUPS);
    sim_pass(&later, seconds);
    ask(yaml);
}

static void
begin_both(uint64_t seed, const char *yaml, int64_t seconds)
{
    sim_init(&whole, seed, yaml);
    sim_pass(&whole, seconds);
    begin(seed, yaml, seconds);
}

static void
end(void)
{
    forget_rules();
    sim_fini(&later);
}

static void
end_both(void)
{
    end();
    sim_fini(&whole);
}

static void
begin_at(int64_t min_ns, struct replay_from *items)
{
    for (uint32_t i = 0; i < a.count; i++) {
        items[i] = replay_from(a.groups[i], min_ns);
    }
}

static enum err
replay_up_to(struct replay_from *items, int64_t max_ns)
{
    struct why why = {""};
    enum err e = replay_all(&a.replay, items, a.count, max_ns, &a.counts, &why);
    for (uint32_t i = 0; e == OK && i < a.count; i++) {
        assert_true(schedule_time_ns(group_schedule(a.groups[i]), items[i].next) > max_ns);
    }
    return e;
}

/* From one second of the simulation to before another. */
static void
replay(int64_t from_s, int64_t to_s, int64_t slice_s)
{
    int64_t begin_ns = SIM_BEGIN * NS_PER_MS;
    struct replay_from items[GROUPS_MAX];
    a.counts = (struct replay_counts){0};
    a.differences = 0;
    for (int64_t s = from_s; s < to_s; s += slice_s) {
        int64_t end_s = s + slice_s < to_s ? s + slice_s : to_s;
        begin_at(begin_ns + s * NS_PER_S, items);
        must(replay_up_to(items, begin_ns + end_s * NS_PER_S - 1));
    }
}

static void
check_counts(uint64_t samples, uint64_t stored_before, uint64_t different)
{
    assert_int_equal(a.counts.samples, samples);
    assert_int_equal(a.counts.stored_before, stored_before);
    assert_int_equal(a.counts.different, different);
    assert_int_equal(a.counts.rejected, 0);
}

/* Samples and markers, and markers alone. */
static void
check_stored(const char *name, unsigned samples, unsigned stale)
{
    struct sim_found found = sim_find(&later, name, 0);
    assert_int_equal(found.samples, samples);
    assert_int_equal(found.stale, stale);
}

static void
check_same(const char *names, int64_t to_s)
{
    sim_assert_same(&whole, &later, names, SIM_BEGIN + to_s * 1000);
}

/* So many more samples came to the store. */
static void
check_ledger(const struct ledger *before, uint64_t more)
{
    struct ledger want = *before, now = machine_ledger(&later.m, "t");
    want.count[LEDGER_FLOAT][LEDGER_RECEIVED] += more;
    want.count[LEDGER_FLOAT][LEDGER_ACCEPTED] += more;
    assert_memory_equal(want.count, now.count, sizeof now.count);
}

/* At the last evaluation of the first group up to a second of the simulation; NULL: a float. */
static void
send_at(const char *labels, int64_t at_s, double value, const struct histogram *h)
{
    struct rq rq;
    const struct schedule *schedule = group_schedule(a.groups[0]);
    int64_t slot = schedule_slot(schedule, (SIM_BEGIN + at_s * 1000) * NS_PER_MS);
    int64_t t_ms = schedule_time_ns(schedule, slot) / NS_PER_MS;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    if (h == NULL)
        rq_float(&rq, t_ms, double_bits(value), 0);
    else
        rq_histogram(&rq, t_ms, h, 0);
    rq_close(&rq);
    must(machine_send(&later.m, "t", &rq));
    rq_fini(&rq);
    must(tsdb_commit(later.m.db, &later.m.why));
}

/* --- what is written -------------------------------------------------------------------------- */

static void
test_rules_replayed_write_what_a_server_wrote_that_evaluated_them(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        begin_both(seed, rules, 5400);
        replay(0, 5400, 100 + (int64_t)(sim_mix(seed, 1) % 7000));
        check_same(recorded, 5400);
        assert_true(a.counts.failed > 100 && a.counts.made > 1000);
        /* Rules that record the same series: what the first one wrote stays. */
        assert_true(a.counts.different > 0);
        assert_int_equal(a.counts.rejected, 0);
        end_both();
    }
}

/* The server was away and fills nothing. What rules wrote after it that read what was not recorded
 * before stays. */
static void
test_evaluations_that_a_server_missed_are_made(void **state)
{
    static const char plain[] = "job:rate2m|scalar"; /* see group_series_at() */
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        int64_t up_s = 600 + (int64_t)(sim_mix(seed, 1) % 600);
        int64_t down_s = 20 + (int64_t)(sim_mix(seed, 2) % 1800), total_s = up_s + down_s + 900;
        sim_init(&whole, seed, rules);
        sim_pass(&whole, total_s);
        sim_init(&later, seed, rules);
        later.limits.catch_up_ns = 0;
        sim_pass(&later, up_s);
        sim_crash(&later);
        sim_pass(&later, down_s);
        sim_start(&later, rules);
        sim_pass(&later, 900);
        ask(rules);
        replay(0, total_s, 1000);
        assert_true(a.counts.made > 0 && a.counts.stored_before > 100);
        check_same(plain, total_s);
        end_both();
    }
}

static void
test_what_is_stored_as_it_is_computed_is_not_written_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        begin(seed, rules, 2000);
        replay(0, 2000, 700);
        struct replay_counts first = a.counts;
        struct ledger before = machine_ledger(&later.m, "t");
        ask(rules);
        replay(0, 2000, 450);
        check_ledger(&before, 0);
        assert_int_equal(a.counts.made, first.made);
        assert_int_equal(a.counts.failed, first.failed);
        assert_int_equal(a.counts.samples, 0);
        /* They are those of rules that record the same series; rules that read what they record
         * find no more than the first time. */
        assert_int_equal(a.counts.different, first.different);
        assert_true(a.counts.stored_before > first.samples);
        end();
    }
}

static void
test_what_is_stored_and_differs_stays_and_is_reported(void **state)
{
    struct buf now;
    (void)state;
    begin(1, GROUP("g", "{record: one, expr: 'vector(1)', labels: {a: b}}"), 600);
    send_at("__name__=one,a=b", 100, 7, NULL);
    send_at("__name__=one,a=b", 200, 1, NULL);
    send_at("__name__=one,a=b,c=d", 300, 9, NULL); /* not the rule's */
    send_at("__name__=one,a=c", 300, 9, NULL);
    struct ledger before = machine_ledger(&later.m, "t");
    replay(0, 600, 600);
    assert_int_equal(a.counts.made, 20);
    check_counts(18, 1, 1);
    assert_int_equal(a.differences, 1);
    check_ledger(&before, 18);
    buf_init(&now, NULL, 1 << 20);
    sim_dump(&later, "one", 0, INT64_MAX, &now);
    buf_put_u8(&now, '\0');
    assert_non_null(strstr((const char *)now.at, " 7\n"));
    buf_fini(&now);
    end();
}

/* A series that is there at every other evaluation, as its rule reads what it recorded: if it is
 * evaluated again, it finds the result of its own time, too. */
static void
test_a_rule_that_reads_back_is_replayed_again_without_differences(void **state)
{
    static const char yaml[] = GROUP("g", "{record: flips, expr: 'vector(1) unless "
                                          "last_over_time(flips[45s])'}, "
                                          "{record: steps, expr: 'steps + 1 or vector(1)'}");
    (void)state;
    begin(1, yaml, 600);
    replay(0, 600, 600);
    assert_int_equal(a.counts.samples, 10 + 20);
    struct ledger before = machine_ledger(&later.m, "t");
    ask(yaml);
    replay(330, 600, 600);
    assert_int_equal(a.counts.samples + a.counts.different, 0);
    assert_in_range(a.counts.stored_before, 9, 9 + 9);
    check_ledger(&before, 0);
    end();
}

static void
test_histograms_are_compared_with_what_is_stored(void **state)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                          .count = double_bits(4),
                          .zero_count = double_bits(4),
                          .zero_threshold_bits = double_bits(0.5)};
    (void)state;
    begin(1, GROUP("g", "{record: h:sum, expr: 'sum(h) * 2'}"), 600);
    for (int64_t s = 0; s < 600; s += 30) {
        h.sum_bits = double_bits((double)s);
        send_at("__name__=h", s + 29, 0, &h);
    }
    h.sum_bits = double_bits(1);
    send_at("__name__=h:sum", 100, 0, &h);
    send_at("__name__=h:sum", 200, 1, NULL);
    replay(0, 600, 600);
    check_counts(18, 0, 2);
    struct ledger before = machine_ledger(&later.m, "t");
    replay(0, 600, 600);
    check_counts(0, 18, 2);
    check_ledger(&before, 0);
    end();
}

/* More labels than a view is asked for, one of them longer than it is asked for. */
static void
test_results_with_many_and_long_labels_are_compared_with_what_is_stored(void **state)
{
    enum { LABELS = 120 }; /* of the group, and of each rule */
    struct buf yaml;
    (void)state;
    buf_init(&yaml, NULL, 1 << 20);
    buf_put_text(&yaml, "groups: [{name: g, interval: 30s, labels: {g: g");
    for (int i = 0; i < LABELS; i++) {
        buf_printf(&yaml, ", g%03d: x", i);
    }
    buf_put_text(&yaml, "}, rules: [");
    for (int other = 0; other < 2; other++) { /* they differ in the last label alone */
        buf_printf(&yaml, "%s{record: wide, expr: vector(7), labels: {long: '%05000d'",
                   other ? "}}, " : "", 7);
        for (int i = 0; i < LABELS; i++) {
            buf_printf(&yaml, ", r%03d: %c", i, i + 1 == LABELS && other ? 'y' : 'x');
        }
    }
    buf_put_text(&yaml, "}}]}]");
    buf_put_u8(&yaml, '\0');
    begin(1, (const char *)yaml.at, 600);
    later.m.limits.labels = (struct labels_limits){1000, 100, 10000};
    tsdb_set_limits(later.m.db, &later.m.limits);
    replay(0, 600, 600);
    check_counts(2 * 20, 0, 0);
    replay(0, 600, 600);
    check_counts(0, 2 * 20, 0);
    buf_fini(&yaml);
    end();
}

/* --- staleness markers ------------------------------------------------------------------------ */

/* At SIM_BEGIN it is midnight. */
#define ENDS_AT_420 GROUP("g", "{record: ends, expr: 'vector(time() % 86400 < bool 420) > 0'}")

static void
test_a_series_that_ended_before_an_evaluation_that_is_stored_is_marked_stale_there(void **state)
{
    static const char yaml[] = GROUP("g", "{record: early, expr: 'vector(time() % 86400) < 300'}");
    (void)state;
    begin(1, yaml, 300);
    sim_load(&later, yaml);
    sim_pass(&later, 300);
    check_stored("early", 0, 0);
    replay(0, 600, 600);
    check_stored("early", 10 + 1, 1);
    end();
}

static void
test_what_another_server_with_the_same_rules_recorded_is_not_marked_stale(void **state)
{
    (void)state;
    begin(1, GROUP("g", ALWAYS), 300);
    /* As a Prometheus with external labels does that evaluates the same rules. */
    send_at("__name__=always,cluster=b", 60, 1, NULL);
    replay(60, 120, 600); /* from the evaluation after that one */
    check_stored("always", 1 + 2, 0);
    end();
}

static void
test_a_staleness_marker_does_not_replace_what_is_stored(void **state)
{
    (void)state;
    begin(1, ENDS_AT_420, 600);
    send_at("__name__=ends", 449, 5, NULL); /* the first without a result */
    struct ledger before = machine_ledger(&later.m, "t");
    replay(0, 600, 600);
    check_stored("ends", 420 / 30 + 1, 0);
    assert_int_equal(a.counts.different, 0);
    check_ledger(&before, 420 / 30);
    end();
}

/* The store has nothing of the rule before. */
static void
test_a_series_that_ends_at_the_first_evaluation_is_marked_stale(void **state)
{
    (void)state;
    begin(1, ENDS_AT_420, 600);
    replay(420, 600, 600);
    check_stored("ends", 1, 1);
    end();
}

static void
test_a_series_that_ends_with_a_gap_of_evaluations_is_marked_stale_when_these_are_made(void **state)
{
    static const int64_t parts[][2] = {{0, 300}, {420, 600}, {0, 600}};
    (void)state;
    begin(1, ENDS_AT_420, 600);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ask(ENDS_AT_420);
        replay(parts[i][0], parts[i][1], 600);
    }
    check_stored("ends", 420 / 30 + 1, 1);
    end();
}

/* Both would be refused, and reported as trouble. */
static void
test_a_series_that_another_rule_of_the_name_has_from_then_on_is_not_marked_stale(void **state)
{
    (void)state;
    begin(1,
          GROUP("g", "{record: moves, expr: 'vector(time() >= bool 1767225900) > 0'}, "
                     "{record: moves, expr: 'vector(time() < bool 1767225900) > 0'}"),
          600);
    replay(0, 600, 600);
    check_counts(a.counts.made, 0, 0);
    end();
}

/* --- rounds ----------------------------------------------------------------------------------- */

#define WRITER(offset)                                                   \
    "- {name: writer, interval: 30s, query_offset: " offset ", rules: [" \
    "{record: slow, expr: 'count(load) + vector(time() % 1000)'}]}\n"
#define READER(offset)                                                   \
    "- {name: reader, interval: 20s, query_offset: " offset ", rules: [" \
    "{record: seen, expr: 'timestamp(slow)'}, {record: seen:sum, expr: " \
    "'sum_over_time(slow[3m])'}]}\n"                                     \
    "- {name: above, interval: 40s, query_offset: 5m, rules: ["          \
    "{record: seen:max, expr: 'max_over_time(seen[3m])'}]}\n"

/* Readers with a smaller offset are evaluated before the results that they read. */
static void
check_together(const char *yaml, const char *names, uint64_t more_max)
{
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        begin_both(seed, yaml, 3600);
        for (uint32_t i = 0; i < a.count; i++) {
            assert_int_equal(a.rounds[i], REPLAY_TOGETHER);
        }
        replay(0, 3600, 900);
        check_same(names, 3600);
        ask(yaml);
        replay(0, 3600, 1000);
        assert_true(a.counts.samples <= more_max);
        assert_int_equal(a.counts.different, 0);
        end_both();
    }
}

/* Results of the writer lie two minutes before it is evaluated. Later results are there when they
 * are replayed again: those of the first two minutes give some that were not. */
static void
test_results_are_not_visible_before_they_were_evaluated(void **state)
{
    (void)state;
    check_together("groups:\n" WRITER("2m") READER("10s"), "slow|seen.*", 2 * 6 + 3);
}

static void
test_groups_that_read_each_other_with_different_offsets_find_nothing_later(void **state)
{
    (void)state;
    check_together(
        "groups:\n"
        "- {name: ping, interval: 20s, query_offset: 50s, rules: ["
        "{record: ping, expr: 'pong + 1 or vector(1)'}]}\n"
        "- {name: pong, interval: 30s, query_offset: 0s, rules: ["
        "{record: pong, expr: 'ping * 2 % 1000 or vector(2)'}, {record: pongs, expr: pong}]}\n",
        "ping|pongs?", 0);
}

static void
test_a_reader_with_the_same_or_a_larger_offset_is_replayed_in_a_round_of_its_own(void **state)
{
    static const char *const texts[] = {"groups:\n" WRITER("2m") READER("2m"),
                                        "groups:\n" WRITER("1m") READER("2m")};
    (void)state;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        begin_both(1, texts[k], 3600);
        for (uint32_t i = 0; i < a.count; i++) {
            assert_int_equal(a.rounds[i], i);
        }
        replay(0, 3600, 900);
        check_same("slow|seen.*", 3600);
        end_both();
    }
}

static void
test_groups_that_read_what_each_other_record_are_replayed_together_and_no_others(void **state)
{
    (void)state;
    begin(1, rules, 0);
    for (uint32_t i = 0; i < a.count; i++) {
        const char *name = group_text(a.groups[i])->name;
        bool is_together = strstr(name, "pong") != NULL || strcmp(name, "ping") == 0;
        assert_int_equal(a.rounds[i] == REPLAY_TOGETHER, is_together);
        if (!is_together) assert_int_equal(a.rounds[i], strcmp(name, "readers") == 0);
    }
    assert_int_equal(a.round_count, 2);
    end();
}

/* --- limits ----------------------------------------------------------------------------------- */

/* A view whose answers of more than ten minutes take longer than a query may. */
struct slow_view {
    struct view view;
    struct view *inner;
    struct rules_sim *sim;
};

static enum err
slow_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
            struct why *why)
{
    struct slow_view *v = (struct slow_view *)view;
    if (request->max_ms - request->min_ms > 10 * MINUTE_MS && !request->stored) {
        sim_env_advance_ns(v->sim->m.sim, 2 * v->sim->terms.timeout_ns);
        enum err e = query_control_check(request->control, why);
        if (e) return e;
    }
    return view_select(v->inner, request, ret_set, why);
}

static void
slow_free(struct view *view)
{
    view_free(((struct slow_view *)view)->inner);
    mem_free(NULL, view, sizeof(struct slow_view));
}

static enum err
slow_open(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {.select = slow_select, .free = slow_free};
    struct slow_view *v = mem_new(NULL, sizeof *v);
    *v = (struct slow_view){{&ops}, NULL, context};
    *ret_view = &v->view;
    return view_open(tsdb_answerer(v->sim->m.db), control, &v->inner, why);
}

static void
test_what_takes_longer_than_a_query_may_is_asked_for_in_parts(void **state)
{
    (void)state;
    begin(1,
          GROUP("g", "{record: s, expr: 'sum(rate(requests_total[1m]))'}, "
                     "{record: l, expr: 'count_over_time(load[20m])'}"),
          3600);
    later.terms.open = slow_open;
    later.terms.timeout_ns = 60 * NS_PER_S;
    replay(600, 3600, 3600);
    assert_int_equal(a.counts.made, 100);
    assert_int_equal(a.counts.failed, 100); /* those that read twenty minutes */
    assert_int_equal(a.counts.samples, 100);
    end();
}

static void
test_evaluations_that_met_a_limit_are_made_with_a_higher_one(void **state)
{
    (void)state;
    begin_both(1, GROUP("g", "{record: 'load:high', expr: load > 20}"), 3600);
    later.terms.samples_read_max = 10;
    replay(0, 3600, 3600);
    assert_in_range(a.counts.failed, 100, a.counts.made - 1);
    later.terms.samples_read_max = 0;
    replay(0, 3600, 3600);
    check_same("load:high", 3600);
    end_both();
}

static void
test_after_refused_memory_a_replay_goes_on_where_each_group_was(void **state)
{
    enum { TOTAL_S = 900 };
    const int64_t max_ns = (SIM_BEGIN + TOTAL_S * 1000) * NS_PER_MS - 1;
    uint64_t refused = 0;
    (void)state;
    sim_init(&whole, 1, rules);
    sim_pass(&whole, TOTAL_S);
    for (uint64_t i = 1; i <= sim_seed_count(20); i++) {
        struct replay_from items[GROUPS_MAX];
        begin(1, rules, TOTAL_S);
        begin_at(SIM_BEGIN * NS_PER_MS, items);
        mem_fail_nth(1 + sim_mix(7, i) % 4000, i % 2 == 0);
        enum err e = replay_up_to(items, max_ns);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        refused += e != OK;
        must(replay_up_to(items, max_ns));
        check_same("job:.*|load:.*|scalar|shared|of:ends|steps|ping|pong", TOTAL_S);
        end();
    }
    assert_true(refused > 0);
    sim_fini(&whole);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_replayed_write_what_a_server_wrote_that_evaluated_them),
        cmocka_unit_test(test_evaluations_that_a_server_missed_are_made),
        cmocka_unit_test(test_what_is_stored_as_it_is_computed_is_not_written_again),
        cmocka_unit_test(test_what_is_stored_and_differs_stays_and_is_reported),
        cmocka_unit_test(test_a_staleness_marker_does_not_replace_what_is_stored),
        cmocka_unit_test(test_a_series_that_ends_at_the_first_evaluation_is_marked_stale),
        cmocka_unit_test(test_a_rule_that_reads_back_is_replayed_again_without_differences),
        cmocka_unit_test(test_histograms_are_compared_with_what_is_stored),
        cmocka_unit_test(test_results_with_many_and_long_labels_are_compared_with_what_is_stored),
        cmocka_unit_test(test_results_are_not_visible_before_they_were_evaluated),
        cmocka_unit_test(
            test_groups_that_read_each_other_with_different_offsets_find_nothing_later),
        cmocka_unit_test(
            test_a_reader_with_the_same_or_a_larger_offset_is_replayed_in_a_round_of_its_own),
        cmocka_unit_test(test_what_takes_longer_than_a_query_may_is_asked_for_in_parts),
        cmocka_unit_test(
            test_a_series_that_ended_before_an_evaluation_that_is_stored_is_marked_stale_there),
        cmocka_unit_test(test_what_another_server_with_the_same_rules_recorded_is_not_marked_stale),
        cmocka_unit_test(
            test_a_series_that_ends_with_a_gap_of_evaluations_is_marked_stale_when_these_are_made),
        cmocka_unit_test(
            test_a_series_that_another_rule_of_the_name_has_from_then_on_is_not_marked_stale),
        cmocka_unit_test(
            test_groups_that_read_what_each_other_record_are_replayed_together_and_no_others),
        cmocka_unit_test(test_evaluations_that_met_a_limit_are_made_with_a_higher_one),
        cmocka_unit_test(test_after_refused_memory_a_replay_goes_on_where_each_group_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
