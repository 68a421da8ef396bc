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
                               "few|steps|ping|pong|pongs|firekeep_rule_group_evaluated";

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
    uint64_t told;
};

static void
note_failure(void *context, const struct group *group, const struct rule *rule, int64_t at_ns,
             struct bytes sentence)
{
    struct asked *a = context;
    assert_non_null(rule);
    assert_true(at_ns > 0 && sentence.size > 0);
    (void)group;
    a->told++;
}

static void
asked_init(struct asked *a, struct rules_sim *sim, const char *yaml)
{
    struct rule_file_options options = {.tell = NULL};
    struct group_defaults defaults = {60000, 0};
    struct rule_groups groups;
    struct why why = {""};
    *a = (struct asked){.sim = sim};
    a->replay = (struct replay){0, &sim->host, &sim->terms, note_failure, a};
    arena_init(&a->arena, NULL, 16 << 20, 0);
    must(rule_file_parse("rules.yml", text(yaml), &options, &a->arena, &groups, &why));
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

static enum err
replay_slice(struct asked *a, int64_t min_ns, int64_t max_ns)
{
    struct group *together[GROUPS_MAX];
    uint32_t count = 0;
    struct why why = {""};
    enum err e = OK;
    for (uint32_t round = 0; round < a->round_count; round++) {
        for (uint32_t i = 0; e == OK && i < a->count; i++) {
            if (a->rounds[i] != round) continue;
            e = replay_group(&a->replay, a->groups[i], min_ns, max_ns, &a->counts, &why);
        }
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->rounds[i] == REPLAY_TOGETHER) together[count++] = a->groups[i];
    }
    return e ? e : replay_together(&a->replay, together, count, min_ns, max_ns, &a->counts, &why);
}

/* From one second of the simulation to before another. */
static void
replay(struct asked *a, int64_t from_s, int64_t to_s, int64_t slice_s)
{
    int64_t begin_ns = SIM_BEGIN * NS_PER_MS;
    a->replay.until_ns = begin_ns + to_s * NS_PER_S - 1;
    for (int64_t s = from_s; s < to_s; s += slice_s) {
        int64_t end_s = s + slice_s < to_s ? s + slice_s : to_s;
        must(replay_slice(a, begin_ns + s * NS_PER_S, begin_ns + end_s * NS_PER_S - 1));
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
        assert_int_equal(a.counts.made_before, 0);
        /* A second time there is nothing to do. */
        struct replay_counts before = a.counts;
        replay(&a, 0, total_s, slice_s);
        assert_int_equal(a.counts.made, before.made);
        assert_int_equal(a.counts.made_before, before.made);
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
    static const char plain[] = "job:rate2m|load:high|scalar";
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
        assert_true(a.counts.made > 0 && a.counts.made_before > 100);
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

/* A Prometheus that evaluates the same rules, and sends what it records with external labels, did
 * so once. */
static void
send_of_another(struct rules_sim *s, const struct schedule *schedule, int64_t at_s)
{
    struct rq rq;
    int64_t slot = schedule_slot(schedule, (SIM_BEGIN + at_s * 1000) * NS_PER_MS);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=always,cluster=b");
    rq_float(&rq, schedule_time_ns(schedule, slot) / NS_PER_MS, double_bits(1), 0);
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
    send_of_another(&later, group_schedule(a.groups[0]), 60);
    replay(&a, 60, 120, 600); /* from the evaluation after that one */
    assert_int_equal(sim_count_samples(&later, "always", &stale), 1 + 2);
    assert_int_equal(stale, 0);
    asked_fini(&a);
    sim_fini(&later);
}

static void
test_it_is_not_marked_stale_either_if_the_rule_fails_before_an_evaluation_that_is_stored(
    void **state)
{
    static struct rules_sim later;
    static const char yaml[] = GROUP("g", "{record: always, expr: 'load * on() load'}");
    struct asked a;
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 300);
    sim_load(&later, yaml);
    sim_pass(&later, 120);
    asked_init(&a, &later, yaml);
    send_of_another(&later, group_schedule(a.groups[0]), 240);
    replay(&a, 240, 420, 600);
    assert_true(a.counts.failed > 0 && a.counts.made_before > 0);
    assert_int_equal(sim_count_samples(&later, "always", &stale), 1);
    asked_fini(&a);
    sim_fini(&later);
}

/* At SIM_BEGIN it is midnight. */
static void
test_a_series_that_ends_with_a_gap_of_evaluations_is_marked_stale_when_these_are_made(void **state)
{
    static struct rules_sim later;
    static const char yaml[] =
        GROUP("g", "{record: ends, expr: 'vector(time() % 86400 < bool 420) > 0'}");
    static const int64_t parts[][2] = {{0, 300}, {420, 600}, {0, 600}};
    unsigned stale;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct asked a;
        asked_init(&a, &later, yaml);
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
                               "{record: moves, expr: 'vector(time() % 86400 >= bool 300) > 0'}, "
                               "{record: moves, expr: 'vector(time() % 86400 < bool 300) > 0'}]}]";
    struct asked a;
    (void)state;
    sim_init(&later, 1, nothing);
    sim_pass(&later, 600);
    asked_init(&a, &later, yaml);
    replay(&a, 0, 600, 600);
    assert_int_equal(a.counts.samples, a.counts.made);
    assert_int_equal(a.counts.rejected, 0);
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
    assert_same_records(&whole, &later, "load:high|firekeep_rule_group_evaluated", 3600);
    asked_fini(&a);
    sim_fini(&whole);
    sim_fini(&later);
}

static void
test_after_refused_memory_a_replay_goes_on(void **state)
{
    static struct rules_sim whole, later;
    enum { TOTAL_S = 900 };
    uint64_t refused = 0;
    (void)state;
    sim_init(&whole, 1, rules);
    sim_pass(&whole, TOTAL_S);
    for (uint64_t i = 1; i <= sim_seed_count(20); i++) {
        struct asked a;
        sim_init(&later, 1, nothing);
        sim_pass(&later, TOTAL_S);
        asked_init(&a, &later, rules);
        a.replay.until_ns = (SIM_BEGIN + TOTAL_S * 1000) * NS_PER_MS - 1;
        mem_fail_nth(1 + sim_mix(7, i) % 4000, i % 2 == 0);
        enum err e = replay_slice(&a, SIM_BEGIN * NS_PER_MS, a.replay.until_ns);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        refused += e != OK;
        replay(&a, 0, TOTAL_S, 400);
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
        cmocka_unit_test(
            test_a_series_that_ended_before_an_evaluation_that_is_stored_is_marked_stale_there),
        cmocka_unit_test(test_what_another_server_with_the_same_rules_recorded_is_not_marked_stale),
        cmocka_unit_test(
            test_it_is_not_marked_stale_either_if_the_rule_fails_before_an_evaluation_that_is_stored),
        cmocka_unit_test(
            test_a_series_that_ends_with_a_gap_of_evaluations_is_marked_stale_when_these_are_made),
        cmocka_unit_test(
            test_a_series_that_another_rule_of_the_name_has_from_then_on_is_not_marked_stale),
        cmocka_unit_test(
            test_groups_that_read_what_each_other_record_are_replayed_together_and_no_others),
        cmocka_unit_test(test_evaluations_that_met_a_limit_are_made_with_a_higher_one),
        cmocka_unit_test(test_after_refused_memory_a_replay_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
