/*
 * rules_replay_test.c - rules that are evaluated over the past, on a simulated machine, write what
 * a server had written that evaluated them all the time.
 */
#include "app/rules_sim_testing.h"
#include "rules/replay.h"

static const char rules[] =
    "groups:\n"
    "- name: plain\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"job:rate2m\", expr: \"sum by (job) (rate(requests_total[2m]))\"}\n"
    "  - {record: \"load:high\", expr: \"load > 50\", labels: {level: high}}\n"
    "  - {record: \"job:rate2m:max\", expr: \"max(job:rate2m)\"}\n"
    "  - {record: \"scalar\", expr: \"time() - 1\"}\n"
    "- name: readers\n"
    "  interval: 1m\n"
    "  query_offset: 45s\n"
    "  rules:\n"
    "  - {record: \"job:rate20m\", expr: \"sum_over_time(job:rate2m[20m])\"}\n"
    "  - {record: \"load:high:count\", expr: \"count by (job) ({__name__=~\\\"load:.*\\\", "
    "n!=\\\"\\\"})\"}\n"
    "  - {record: \"job:rate2m:ago\", expr: \"job:rate2m offset 3m\"}\n"
    "- name: odd\n"
    "  interval: 20s\n"
    "  rules:\n"
    "  - {record: \"shared\", expr: \"load > 70\"}\n"
    "  - {record: \"shared\", expr: \"load < 80 > 40\"}\n"
    "  - {record: \"shared\", expr: \"load + 1\"}\n"
    "  - {record: \"fails:often\", expr: \"load * on() group_left requests_total{n!=\\\"0\\\"}\"}\n"
    "  - {record: \"twice:often\", expr: \"sum by (n) (load > 40)\", labels: {n: \"\"}}\n"
    "  - {record: \"of:ends\", expr: \"load @ end() + timestamp(load)\"}\n"
    "  - {record: \"text\", expr: \"'a'\"}\n"
    "- name: limited\n"
    "  interval: 30s\n"
    "  limit: 2\n"
    "  rules:\n"
    "  - {record: \"few\", expr: \"load > 30\"}\n"
    "- name: itself\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"steps\", expr: \"steps + 1 or vector(1)\"}\n"
    "- name: ping\n"
    "  interval: 20s\n"
    "  rules:\n"
    "  - {record: \"ping\", expr: \"pong + 1 or vector(1)\"}\n"
    "- name: pong\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"pong\", expr: \"ping * 2 or vector(2)\"}\n"
    "- name: of_pong\n"
    "  interval: 1m\n"
    "  rules:\n"
    "  - {record: \"pongs\", expr: \"count_over_time(pong[5m])\"}\n"
    "  - {alert: Not, expr: \"load > 50\"}\n";

static const char nothing[] = "groups: []\n";
static const char recorded[] = "job:.*|load:.*|scalar|shared|fails:often|twice:often|of:ends|text|"
                               "few|steps|ping|pong|pongs";

enum { GROUPS_MAX = 16 };

/* The groups of a text, on the store of a machine. */
struct asked {
    struct rules_sim *sim;
    struct arena arena;
    struct group *groups[GROUPS_MAX];
    uint32_t rounds[GROUPS_MAX];
    uint32_t count, round_count;
    struct replay replay;
    struct replay_counts counts;
    uint64_t failures, differences;
};

static void
note_failure(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
             struct bytes sentence)
{
    struct asked *a = context;
    assert_non_null(rule);
    assert_true(at_ns > 0 && sentence.size > 0);
    (void)group;
    a->failures++;
}

static void
note_difference(void *context, const struct group *group, const struct rule *rule,
                const struct replay_difference *d)
{
    struct asked *a = context;
    assert_non_null(group);
    assert_true(bytes_equal_text(labels_get(d->labels, text("__name__")), rule->name));
    assert_true(d->stored.is_histogram != d->computed.is_histogram ||
                d->stored.bits != d->computed.bits);
    a->differences++;
}

static void
asked_init(struct asked *a, struct rules_sim *sim, const char *yaml)
{
    struct rule_file_options options = {.tell = NULL};
    struct group_defaults defaults = {60000, 0};
    struct rule_groups groups;
    struct why why = {""};
    *a = (struct asked){.sim = sim};
    a->replay = (struct replay){&sim->host, &sim->terms, note_failure, note_difference, a};
    arena_init(&a->arena, NULL, 16 << 20, 0);
    if (rule_file_parse("rules.yml", text(yaml), &options, &a->arena, &groups, &why))
        fail_msg("%s", why.text);
    for (a->count = 0; a->count < groups.count; a->count++) {
        assert_true(a->count < GROUPS_MAX);
        must(group_new(&sim->host, text("t"), &groups.items[a->count], &defaults,
                       &a->groups[a->count], &why));
    }
    must(replay_rounds(a->groups, a->count, a->rounds, &a->round_count));
}

static void
asked_fini(struct asked *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        group_free(a->groups[i]);
    }
    arena_fini(&a->arena);
}

static void
begin_at(const struct asked *a, int64_t min_ns, struct replay_from *items)
{
    for (uint32_t i = 0; i < a->count; i++) {
        items[i] = replay_from(a->groups[i], min_ns);
    }
}

static enum err
replay_up_to(struct asked *a, struct replay_from *items, int64_t max_ns)
{
    struct why why = {""};
    enum err e = replay_all(&a->replay, items, a->count, max_ns, &a->counts, &why);
    for (uint32_t i = 0; e == OK && i < a->count; i++) {
        assert_true(schedule_time_ns(group_schedule(a->groups[i]), items[i].next) > max_ns);
    }
    return e;
}

/* From one second of the simulation to before another. */
static void
replay(struct asked *a, int64_t from_s, int64_t to_s, int64_t slice_s)
{
    int64_t begin_ns = SIM_BEGIN * NS_PER_MS;
    struct replay_from items[GROUPS_MAX];
    for (int64_t s = from_s; s < to_s; s += slice_s) {
        int64_t end_s = s + slice_s < to_s ? s + slice_s : to_s;
        begin_at(a, begin_ns + s * NS_PER_S, items);
        must(replay_up_to(a, items, begin_ns + end_s * NS_PER_S - 1));
    }
}

static void
assert_same_records(struct rules_sim *whole, struct rules_sim *later, const char *names,
                    int64_t to_s)
{
    struct buf a, b;
    buf_init(&a, NULL, 64 << 20);
    buf_init(&b, NULL, 64 << 20);
    sim_dump(whole, names, 0, SIM_BEGIN + to_s * 1000, &a);
    sim_dump(later, names, 0, SIM_BEGIN + to_s * 1000, &b);
    assert_true(a.size > 10000);
    sim_assert_same(&a, &b);
    buf_fini(&a);
    buf_fini(&b);
}

static void
test_rules_replayed_write_what_a_server_wrote_that_evaluated_them(void **state)
{
    static struct rules_sim whole, later;
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        int64_t total_s = 5400, slice_s = 100 + (int64_t)(sim_mix(seed, 1) % 7000);
        struct asked a;
        sim_init(&whole, seed, rules);
        sim_init(&later, seed, nothing);
        sim_pass(&whole, total_s);
        sim_pass(&later, total_s);
        asked_init(&a, &later, rules);
        replay(&a, 0, total_s, slice_s);
        assert_same_records(&whole, &later, recorded, total_s);
        assert_true(a.counts.failed > 100 && a.counts.made > 1000);
        /* Rules that record the same series: what the first one wrote stays. */
        assert_true(a.counts.different > 0);
        assert_int_equal(a.counts.rejected, 0);
        asked_fini(&a);
        sim_fini(&whole);
        sim_fini(&later);
    }
}

/* Of a server that was away and makes nothing up. What rules wrote after it that read what was not
 * recorded before stays. */
static void
test_evaluations_that_a_server_missed_are_made(void **state)
{
    static const char plain[] = "job:rate2m|scalar"; /* see group_series_at() */
    static struct rules_sim whole, broken;
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        int64_t up_s = 600 + (int64_t)(sim_mix(seed, 1) % 600);
        int64_t down_s = 20 + (int64_t)(sim_mix(seed, 2) % 1800), total_s = up_s + down_s + 900;
        struct asked a;
        sim_init(&whole, seed, rules);
        sim_init(&broken, seed, rules);
        broken.limits.catch_up_ns = 0;
        sim_pass(&whole, total_s);
        sim_pass(&broken, up_s);
        sim_crash(&broken);
        sim_pass(&broken, down_s);
        sim_start(&broken, rules);
        sim_pass(&broken, 900);
        asked_init(&a, &broken, rules);
        replay(&a, 0, total_s, 1000);
        assert_true(a.counts.made > 0 && a.counts.stored_before > 100);
        assert_same_records(&whole, &broken, plain, total_s);
        asked_fini(&a);
        sim_fini(&whole);
        sim_fini(&broken);
    }
}

static void
test_a_series_that_ended_before_an_evaluation_that_is_stored_is_marked_stale_there(void **state)
{
    static struct rules_sim later;
    static const char yaml[] =
        GROUP("g", "{record: early, expr: 'vector(time() % 86400) < 300'}"); /* it is midnight */
    struct asked a;
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 300);
    sim_load(&later, yaml);
    sim_pass(&later, 300);
    assert_int_equal(sim_count_samples(&later, "early", &stale), 0);
    asked_init(&a, &later, yaml);
    replay(&a, 0, 600, 600);
    assert_int_equal(sim_count_samples(&later, "early", &stale), 10 + 1);
    assert_int_equal(stale, 1);
    asked_fini(&a);
    sim_fini(&later);
}

/* At the last evaluation up to a second of the simulation, unless `h`: a float. */
static void
send_at(struct rules_sim *s, const struct group *group, const char *labels, int64_t at_s,
        double value, const struct histogram *h)
{
    struct rq rq;
    const struct schedule *schedule = group_schedule(group);
    int64_t slot = schedule_slot(schedule, (SIM_BEGIN + at_s * 1000) * NS_PER_MS);
    int64_t t_ms = schedule_time_ns(schedule, slot) / NS_PER_MS;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    if (h == NULL)
        rq_float(&rq, t_ms, double_bits(value), 0);
    else
        rq_histogram(&rq, t_ms, h, 0);
    rq_close(&rq);
    must(machine_send(&s->m, "t", &rq));
    rq_fini(&rq);
    must(tsdb_commit(s->m.db, &s->m.why));
}

static void
test_what_another_server_with_the_same_rules_recorded_is_not_marked_stale(void **state)
{
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", ALWAYS);
    struct asked a;
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 300);
    asked_init(&a, &later, yaml);
    /* As a Prometheus with external labels does that evaluates the same rules. */
    send_at(&later, a.groups[0], "__name__=always,cluster=b", 60, 1, NULL);
    replay(&a, 60, 120, 600); /* from the evaluation after that one */
    assert_int_equal(sim_count_samples(&later, "always", &stale), 1 + 2);
    assert_int_equal(stale, 0);
    asked_fini(&a);
    sim_fini(&later);
}

/* No other sample came to the store. */
static void
assert_same_ledger(const struct ledger *before, struct rules_sim *s)
{
    struct ledger now = machine_ledger(&s->m, "t");
    assert_memory_equal(before->count, now.count, sizeof now.count);
}

static void
test_what_is_stored_as_it_is_computed_is_not_written_again(void **state)
{
    static struct rules_sim later;
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        struct asked first, again;
        sim_init(&later, seed, nothing);
        sim_pass(&later, 2000);
        asked_init(&first, &later, rules);
        replay(&first, 0, 2000, 700);
        asked_fini(&first);
        struct ledger before = machine_ledger(&later.m, "t");
        asked_init(&again, &later, rules);
        replay(&again, 0, 2000, 450);
        assert_same_ledger(&before, &later);
        assert_int_equal(again.counts.made, first.counts.made);
        assert_int_equal(again.counts.failed, first.counts.failed);
        assert_int_equal(again.counts.samples, 0);
        /* They are those of rules that record the same series; rules that read what they record
         * find no more than the first time. */
        assert_int_equal(again.counts.different, first.counts.different);
        assert_true(again.counts.stored_before > first.counts.samples);
        asked_fini(&again);
        sim_fini(&later);
    }
}

static void
test_what_is_stored_and_differs_stays_and_is_reported(void **state)
{
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", "{record: one, expr: 'vector(1)', labels: {a: b}}");
    struct asked a;
    struct buf now;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, yaml);
    send_at(&later, a.groups[0], "__name__=one,a=b", 100, 7, NULL);
    send_at(&later, a.groups[0], "__name__=one,a=b", 200, 1, NULL);
    send_at(&later, a.groups[0], "__name__=one,a=b,c=d", 300, 9, NULL); /* not the rule's */
    send_at(&later, a.groups[0], "__name__=one,a=c", 300, 9, NULL);
    struct ledger before = machine_ledger(&later.m, "t");
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.made, 20);
    assert_int_equal(a.counts.samples, 18);
    assert_int_equal(a.counts.stored_before, 1);
    assert_int_equal(a.counts.different, 1);
    assert_int_equal(a.differences, 1);
    before.count[LEDGER_FLOAT][LEDGER_RECEIVED] += 18;
    before.count[LEDGER_FLOAT][LEDGER_ACCEPTED] += 18;
    assert_same_ledger(&before, &later);
    buf_init(&now, NULL, 1 << 20);
    sim_dump(&later, "one", 0, INT64_MAX, &now);
    buf_put_u8(&now, '\0');
    assert_non_null(strstr((const char *)now.at, " 7\n"));
    buf_fini(&now);
    asked_fini(&a);
    sim_fini(&later);
}

/* At SIM_BEGIN it is midnight. */
#define ENDS_AT_420 GROUP("g", "{record: ends, expr: 'vector(time() % 86400 < bool 420) > 0'}")

static void
test_a_staleness_marker_does_not_replace_what_is_stored(void **state)
{
    static struct rules_sim later;
    struct asked a;
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, ENDS_AT_420);
    send_at(&later, a.groups[0], "__name__=ends", 449, 5, NULL); /* the first without a result */
    struct ledger before = machine_ledger(&later.m, "t");
    replay(&a, 0, 600, 600);
    assert_int_equal(sim_count_samples(&later, "ends", &stale), 420 / 30 + 1);
    assert_int_equal(stale, 0);
    assert_int_equal(a.counts.different, 0);
    before.count[LEDGER_FLOAT][LEDGER_RECEIVED] += 420 / 30;
    before.count[LEDGER_FLOAT][LEDGER_ACCEPTED] += 420 / 30;
    assert_same_ledger(&before, &later);
    asked_fini(&a);
    sim_fini(&later);
}

/* The store has nothing of the rule before. */
static void
test_a_series_that_ends_at_the_first_evaluation_is_marked_stale(void **state)
{
    static struct rules_sim later;
    struct asked a;
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, ENDS_AT_420);
    replay(&a, 420, 600, 600);
    assert_int_equal(sim_count_samples(&later, "ends", &stale), 1);
    assert_int_equal(stale, 1);
    asked_fini(&a);
    sim_fini(&later);
}

/* A series that is there at every other evaluation, as its rule reads what it recorded: if it is
 * evaluated again, it finds the result of its own time, too. */
static void
test_a_rule_that_reads_back_is_replayed_again_without_differences(void **state)
{
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", "{record: flips, expr: 'vector(1) unless "
                                          "last_over_time(flips[45s])'}, "
                                          "{record: steps, expr: 'steps + 1 or vector(1)'}");
    struct asked first, again;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&first, &later, yaml);
    replay(&first, 0, 600, 600);
    assert_int_equal(first.counts.samples, 10 + 20);
    struct ledger before = machine_ledger(&later.m, "t");
    asked_init(&again, &later, yaml);
    replay(&again, 330, 600, 600);
    assert_int_equal(again.counts.samples + again.counts.different, 0);
    assert_in_range(again.counts.stored_before, 9, 9 + 9);
    assert_same_ledger(&before, &later);
    asked_fini(&again);
    asked_fini(&first);
    sim_fini(&later);
}

static void
test_histograms_are_compared_with_what_is_stored(void **state)
{
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", "{record: h:sum, expr: 'sum(h) * 2'}");
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                          .count = double_bits(4),
                          .zero_count = double_bits(4),
                          .zero_threshold_bits = double_bits(0.5)};
    struct asked a;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, yaml);
    for (int64_t s = 0; s < 600; s += 30) {
        h.sum_bits = double_bits((double)s);
        send_at(&later, a.groups[0], "__name__=h", s + 29, 0, &h);
    }
    h.sum_bits = double_bits(1);
    send_at(&later, a.groups[0], "__name__=h:sum", 100, 0, &h);
    send_at(&later, a.groups[0], "__name__=h:sum", 200, 1, NULL);
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, 18);
    assert_int_equal(a.counts.different, 2);
    struct ledger before = machine_ledger(&later.m, "t");
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, 18);
    assert_int_equal(a.counts.stored_before, 18);
    assert_int_equal(a.counts.different, 4);
    assert_same_ledger(&before, &later);
    asked_fini(&a);
    sim_fini(&later);
}

/* More labels than a view is asked for, one of them longer than it is asked for. */
static void
test_results_with_many_and_long_labels_are_compared_with_what_is_stored(void **state)
{
    enum { LABELS = 120 }; /* of the group, and of each rule */
    static struct rules_sim later;
    struct asked a;
    struct buf yaml;
    (void)state;
    buf_init(&yaml, NULL, 1 << 20);
    buf_put_text(&yaml, "groups: [{name: g, interval: 30s, labels: {g: g");
    for (int i = 0; i < LABELS; i++) {
        buf_printf(&yaml, ", g%03d: x", i);
    }
    buf_put_text(&yaml, "}, rules: [");
    for (int other = 0; other < 2; other++) { /* they differ in the last label alone */
        buf_printf(&yaml, "%s{record: wide, expr: vector(%d), labels: {long: '%05000d'",
                   other ? "}}, " : "", other, 7);
        for (int i = 0; i < LABELS; i++) {
            buf_printf(&yaml, ", r%03d: %c", i, i + 1 == LABELS && other ? 'y' : 'x');
        }
    }
    buf_put_text(&yaml, "}}]}]");
    buf_put_u8(&yaml, '\0');
    sim_init(&later, 1, nothing);
    later.m.limits.labels = (struct labels_limits){1000, 100, 10000};
    tsdb_set_limits(later.m.db, &later.m.limits);
    sim_pass(&later, 600);
    asked_init(&a, &later, (const char *)yaml.at);
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, 2 * 20);
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, 2 * 20);
    assert_int_equal(a.counts.stored_before, 2 * 20);
    assert_int_equal(a.counts.different, 0);
    buf_fini(&yaml);
    asked_fini(&a);
    sim_fini(&later);
}

#define WRITER(offset)                                                   \
    "- {name: writer, interval: 30s, query_offset: " offset ", rules: [" \
    "{record: slow, expr: 'count(load) + vector(time() % 1000)'}]}\n"
#define READER(offset)                                                   \
    "- {name: reader, interval: 20s, query_offset: " offset ", rules: [" \
    "{record: seen, expr: 'timestamp(slow)'}, {record: seen:sum, expr: " \
    "'sum_over_time(slow[3m])'}]}\n"                                     \
    "- {name: above, interval: 40s, query_offset: 5m, rules: ["          \
    "{record: seen:max, expr: 'max_over_time(seen[3m])'}]}\n"

/* Results of the writer lie two minutes before it is evaluated. */
static void
test_results_are_not_visible_before_they_were_evaluated(void **state)
{
    static const char yaml[] = "groups:\n" WRITER("2m") READER("10s");
    static struct rules_sim whole, later;
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        struct asked a, again;
        sim_init(&whole, seed, yaml);
        sim_init(&later, seed, nothing);
        sim_pass(&whole, 3600);
        sim_pass(&later, 3600);
        asked_init(&a, &later, yaml);
        for (uint32_t i = 0; i < a.count; i++) {
            assert_int_equal(a.rounds[i], REPLAY_TOGETHER);
        }
        replay(&a, 0, 3600, 900);
        assert_same_records(&whole, &later, "slow|seen.*", 3600);
        /* Later results are there now: those of the first two minutes give some that were not. */
        asked_init(&again, &later, yaml);
        replay(&again, 0, 3600, 1000);
        assert_true(again.counts.samples <= 2 * 6 + 3);
        assert_int_equal(again.counts.different, 0);
        asked_fini(&again);
        asked_fini(&a);
        sim_fini(&whole);
        sim_fini(&later);
    }
}

static void
test_groups_that_read_each_other_with_different_offsets_find_nothing_later(void **state)
{
    static const char yaml[] =
        "groups:\n"
        "- {name: ping, interval: 20s, query_offset: 50s, rules: ["
        "{record: ping, expr: 'pong + 1 or vector(1)'}]}\n"
        "- {name: pong, interval: 30s, query_offset: 0s, rules: ["
        "{record: pong, expr: 'ping * 2 % 1000 or vector(2)'}, {record: pongs, expr: pong}]}\n";
    static struct rules_sim whole, later;
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(3); seed++) {
        struct asked a, again;
        sim_init(&whole, seed, yaml);
        sim_init(&later, seed, nothing);
        sim_pass(&whole, 3600);
        sim_pass(&later, 3600);
        asked_init(&a, &later, yaml);
        assert_true(a.rounds[0] == REPLAY_TOGETHER && a.rounds[1] == REPLAY_TOGETHER);
        replay(&a, 0, 3600, 900);
        assert_same_records(&whole, &later, "ping|pongs?", 3600);
        asked_init(&again, &later, yaml);
        replay(&again, 0, 3600, 3600);
        assert_int_equal(again.counts.samples + again.counts.different, 0);
        asked_fini(&again);
        asked_fini(&a);
        sim_fini(&whole);
        sim_fini(&later);
    }
}

static void
test_a_reader_with_the_same_or_a_larger_offset_is_replayed_in_a_round_of_its_own(void **state)
{
    static const char *const texts[] = {"groups:\n" WRITER("2m") READER("2m"),
                                        "groups:\n" WRITER("1m") READER("2m")};
    static struct rules_sim whole, later;
    (void)state;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        struct asked a;
        sim_init(&whole, 1, texts[k]);
        sim_init(&later, 1, nothing);
        sim_pass(&whole, 3600);
        sim_pass(&later, 3600);
        asked_init(&a, &later, texts[k]);
        for (uint32_t i = 0; i < a.count; i++) {
            assert_int_equal(a.rounds[i], i);
        }
        replay(&a, 0, 3600, 900);
        assert_same_records(&whole, &later, "slow|seen.*", 3600);
        asked_fini(&a);
        sim_fini(&whole);
        sim_fini(&later);
    }
}

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
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", "{record: s, expr: 'sum(rate(requests_total[1m]))'}, "
                                          "{record: l, expr: 'count_over_time(load[20m])'}");
    struct asked a;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 3600);
    later.terms.open = slow_open;
    later.terms.timeout_ns = 60 * NS_PER_S;
    asked_init(&a, &later, yaml);
    replay(&a, 600, 3600, 3600);
    assert_int_equal(a.counts.made, 100);
    assert_int_equal(a.counts.failed, 100); /* those that read twenty minutes */
    assert_int_equal(a.counts.samples, 100);
    asked_fini(&a);
    sim_fini(&later);
}

static void
test_a_series_that_ends_with_a_gap_of_evaluations_is_marked_stale_when_these_are_made(void **state)
{
    static struct rules_sim later;
    static const int64_t parts[][2] = {{0, 300}, {420, 600}, {0, 600}};
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct asked a;
        asked_init(&a, &later, ENDS_AT_420);
        replay(&a, parts[i][0], parts[i][1], 600);
        asked_fini(&a);
    }
    assert_int_equal(sim_count_samples(&later, "ends", &stale), 420 / 30 + 1);
    assert_int_equal(stale, 1);
    sim_fini(&later);
}

/* Both would be refused, and told as trouble. */
static void
test_a_series_that_another_rule_of_the_name_has_from_then_on_is_not_marked_stale(void **state)
{
    static struct rules_sim later;
    static const char yaml[] = "groups: [{name: g, interval: 30s, rules: ["
                               "{record: moves, expr: 'vector(time() >= bool 1767225900) > 0'}, "
                               "{record: moves, expr: 'vector(time() < bool 1767225900) > 0'}]}]";
    struct asked a;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, yaml);
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, a.counts.made);
    assert_int_equal(a.counts.different + a.counts.rejected, 0);
    asked_fini(&a);
    sim_fini(&later);
}

static void
test_groups_that_read_what_each_other_record_are_replayed_together_and_no_others(void **state)
{
    static struct rules_sim sim;
    struct asked a;
    (void)state;
    sim_init(&sim, 1, nothing);
    asked_init(&a, &sim, rules);
    for (uint32_t i = 0; i < a.count; i++) {
        const char *name = group_text(a.groups[i])->name;
        bool is_together = strstr(name, "pong") != NULL || strcmp(name, "ping") == 0;
        assert_int_equal(a.rounds[i] == REPLAY_TOGETHER, is_together);
        if (!is_together) assert_int_equal(a.rounds[i], strcmp(name, "readers") == 0);
    }
    assert_int_equal(a.round_count, 2);
    asked_fini(&a);
    sim_fini(&sim);
}

static void
test_evaluations_that_met_a_limit_are_made_with_a_higher_one(void **state)
{
    static struct rules_sim whole, later;
    static const char yaml[] =
        "groups:\n- {name: g, interval: 30s, rules: [{record: \"load:high\", "
        "expr: \"load > 20\"}]}\n";
    struct asked a;
    (void)state;
    sim_init(&whole, 1, yaml);
    sim_init(&later, 1, nothing);
    sim_pass(&whole, 3600);
    sim_pass(&later, 3600);
    asked_init(&a, &later, yaml);
    later.terms.samples_read_max = 10;
    replay(&a, 0, 3600, 3600);
    assert_in_range(a.counts.failed, 100, a.counts.made - 1);
    later.terms.samples_read_max = 0;
    replay(&a, 0, 3600, 3600);
    assert_same_records(&whole, &later, "load:high", 3600);
    asked_fini(&a);
    sim_fini(&whole);
    sim_fini(&later);
}

static void
test_after_refused_memory_a_replay_goes_on_where_each_group_was(void **state)
{
    static struct rules_sim whole, later;
    enum { TOTAL_S = 900 };
    const int64_t max_ns = (SIM_BEGIN + TOTAL_S * 1000) * NS_PER_MS - 1;
    uint64_t refused = 0;
    (void)state;
    sim_init(&whole, 1, rules);
    sim_pass(&whole, TOTAL_S);
    for (uint64_t i = 1; i <= sim_seed_count(20); i++) {
        struct replay_from items[GROUPS_MAX];
        struct asked a;
        sim_init(&later, 1, nothing);
        sim_pass(&later, TOTAL_S);
        asked_init(&a, &later, rules);
        begin_at(&a, SIM_BEGIN * NS_PER_MS, items);
        mem_fail_nth(1 + sim_mix(7, i) % 4000, i % 2 == 0);
        enum err e = replay_up_to(&a, items, max_ns);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        refused += e != OK;
        must(replay_up_to(&a, items, max_ns));
        assert_same_records(&whole, &later, "job:.*|load:.*|scalar|shared|of:ends|steps|ping|pong",
                            TOTAL_S);
        asked_fini(&a);
        sim_fini(&later);
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
