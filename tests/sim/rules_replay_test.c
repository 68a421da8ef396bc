/*
 * rules_replay_test.c - rules that are replayed over the past, on a simulated machine, write the
 * same samples as a server that evaluated them all the time. The stories begin without the rules.
 */
#include "lib/test.h"
#include "rules/replay/replay.h"
#include "sim/rules_story.h"

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

enum { GROUPS_MAX = 16 };

/* The rules that are replayed on the store of the story. */
static struct {
    struct arena arena;
    struct group *groups[GROUPS_MAX];
    uint32_t rounds[GROUPS_MAX];
    uint32_t count, round_count;
    struct rules_host host;
    struct replay replay;
    struct replay_counts counts, before; /* counts of the last two calls of replay() */
    uint64_t differences;
    uint64_t received; /* samples in the store before the last call */
} asked;

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
    asked.differences++;
}

static void
forget_rules(void)
{
    for (uint32_t i = 0; i < asked.count; i++)
        group_free(asked.groups[i]);
    arena_fini(&asked.arena);
    asked.count = 0;
}

static void
ask(const char *yaml)
{
    struct rule_file_options options = {.report = NULL};
    struct group_defaults defaults = {60000, 0};
    struct rule_groups groups;
    struct why why = {""};
    forget_rules();
    asked.host = story_run.s.host;
    asked.host.memory = NULL; /* the groups remain until the next ones are asked for */
    asked.replay = (struct replay){.host = &asked.host,
                                   .terms = &story_run.s.terms,
                                   .failed = note_failure,
                                   .differs = note_difference};
    arena_init(&asked.arena, NULL, 16 << 20, 0);
    if (rule_file_parse("rules.yml", text(yaml), &options, &asked.arena, &groups, &why))
        fail_msg("%s", why.text);
    for (; asked.count < groups.count; asked.count++) {
        assert_true(asked.count < GROUPS_MAX);
        must(group_new(&asked.host, text("t"), &groups.items[asked.count], &defaults,
                       &asked.groups[asked.count], &why));
    }
    must(replay_rounds(asked.groups, asked.count, asked.rounds, &asked.round_count));
}

static void
begin_at(int64_t min_ns, struct replay_from *items)
{
    for (uint32_t i = 0; i < asked.count; i++)
        items[i] = replay_from(asked.groups[i], min_ns);
}

static enum err
replay_up_to(struct replay_from *items, int64_t max_ns)
{
    struct why why = {""};
    enum err e = replay_all(&asked.replay, items, asked.count, max_ns, &asked.counts, &why);
    for (uint32_t i = 0; e == OK && i < asked.count; i++)
        assert_true(schedule_time_ns(&asked.groups[i]->schedule, items[i].next) > max_ns);
    return e;
}

static uint64_t
received(void)
{
    struct ledger ledger = machine_ledger(&story_run.s.m, "t");
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        sum += ledger.count[kind][LEDGER_RECEIVED];
    return sum;
}

/* Replays from one second of the simulation to before another. */
static void
replay(int64_t from_s, int64_t to_s, int64_t slice_s)
{
    int64_t begin_ns = SIM_BEGIN * NS_PER_MS;
    struct replay_from items[GROUPS_MAX];
    asked.before = asked.counts;
    asked.counts = (struct replay_counts){0};
    asked.differences = 0;
    asked.received = received();
    for (int64_t s = from_s; s < to_s; s += slice_s) {
        int64_t end_s = s + slice_s < to_s ? s + slice_s : to_s;
        begin_at(begin_ns + s * NS_PER_S, items);
        must(replay_up_to(items, begin_ns + end_s * NS_PER_S - 1));
    }
}

/* Sends a sample, a float if `histogram` is NULL, at the first group's last evaluation up to a
 * second. */
static void
send_at(const char *labels, int64_t at_s, double value, const struct histogram *h)
{
    struct rq rq;
    const struct schedule *schedule = &asked.groups[0]->schedule;
    int64_t slot = schedule_slot(schedule, (SIM_BEGIN + at_s * 1000) * NS_PER_MS);
    int64_t t_ms = schedule_time_ns(schedule, slot) / NS_PER_MS;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    if (h == NULL)
        rq_float(&rq, t_ms, double_bits(value), 0);
    else
        rq_histogram(&rq, t_ms, h, 0);
    rq_close(&rq);
    must(machine_send(&story_run.s.m, "t", &rq));
    rq_fini(&rq);
    must(tsdb_commit(story_run.s.m.db, &story_run.s.m.why));
}

/* --- steps ------------------------------------------------------------------------------------ */

static void
take_ask(void)
{
    story_run.whole_rules = story_take_number();
    story_run.recent_s = 0;
    ask(story_rules(story_run.whole_rules));
}

static void
take_replay(void)
{
    int64_t from_s = story_take_number(), to_s = story_take_number();
    replay(from_s, to_s, story_take_number());
}

/* Sends a float at the last evaluation up to a second. */
static void
take_put(void)
{
    char labels[sizeof story_run.word];
    snprintf(labels, sizeof labels, "%s", story_word());
    int64_t at_s = story_take_number();
    send_at(labels, at_s, (double)story_take_number(), NULL);
}

/* Returns the round of a group; -1: it is replayed together with others. */
static int64_t
take_round(void)
{
    uint32_t round = asked.rounds[story_take_number()];
    return round == REPLAY_TOGETHER ? -1 : (int64_t)round;
}

static bool
take_more(void)
{
    const struct replay_counts *c = &asked.counts, *before = &asked.before;
    if (story_is("ask")) return take_ask(), true; /* selects the rules with that index */
    /* replays them: from, to, seconds per slice */
    if (story_is("replay")) return take_replay(), true;
    if (story_is("put")) return take_put(), true;
    if (story_is("read-at-most"))
        return story_run.s.terms.samples_read_max = story_take_number(), true;
    /* These check evaluations of groups and failed rules, results, samples that were stored. */
    if (story_is("made")) return story_check((int64_t)c->made), true;
    if (story_is("failed")) return story_check((int64_t)c->failed), true;
    if (story_is("written")) return story_check((int64_t)c->samples), true;
    if (story_is("stored-before")) return story_check((int64_t)c->stored_before), true;
    if (story_is("different")) return story_check((int64_t)c->different), true;
    if (story_is("more-made")) return story_check((int64_t)(c->made - before->made)), true;
    if (story_is("more-found"))
        return story_check((int64_t)(c->stored_before - before->samples)), true;
    if (story_is("more-failed")) return story_check((int64_t)(c->failed - before->failed)), true;
    if (story_is("more-different"))
        return story_check((int64_t)(c->different - before->different)), true;
    if (story_is("reported")) return story_check((int64_t)asked.differences), true;
    if (story_is("received")) return story_check((int64_t)(received() - asked.received)), true;
    if (story_is("round")) return story_check(take_round()), true;
    if (story_is("rounds")) return story_check(asked.round_count), true;
    return false;
}

/* --- stories ---------------------------------------------------------------------------------- */

/* At SIM_BEGIN it is midnight. */
#define ENDS_AT_420 G("{record: ends, expr: 'vector(time() % 86400 < bool 420) > 0'}")

#define TEN_LETTERS "abcdefghij"
#define FIFTY       TEN_LETTERS TEN_LETTERS TEN_LETTERS TEN_LETTERS TEN_LETTERS
#define LONG_NAME   FIFTY FIFTY "k"

#define WRITER(offset)                                                   \
    "- {name: writer, interval: 30s, query_offset: " offset ", rules: [" \
    "{record: slow, expr: 'count(load) + vector(time() % 1000)'}]}\n"
#define READER(offset)                                                   \
    "- {name: reader, interval: 20s, query_offset: " offset ", rules: [" \
    "{record: seen, expr: 'timestamp(slow)'}, {record: seen:sum, expr: " \
    "'sum_over_time(slow[3m])'}]}\n"                                     \
    "- {name: above, interval: 40s, query_offset: 5m, rules: ["          \
    "{record: seen:max, expr: 'max_over_time(seen[3m])'}]}\n"

static char wide[32768];

static const struct story stories[] = {
    /* Some rules record the same series and differ: the results of the first one stay. */
    STORY("replayed rules write the samples of a server that evaluated them",
          "seeds 3: 5400s ask 1 replay 0 T 100+?7000 failed 101..9999 made 1001..9999 "
          "different 1..9999 rejected 0 same job:.*|load:.*|scalar|shared|fails:often|"
          "twice:often|of:ends|text|few|steps|ping|pongs?",
          NO_GROUPS, rules),
    /* The server was away and fills nothing. Results of rules that read missing series then stay:
     * see group_series_at(). */
    STORY("evaluations that a server missed are made",
          "seeds 3: catch-up 0 600+?600s crash 20+?1800s start 0 900s ask 0 replay 0 T 1000 "
          "same job:rate2m|scalar made 1..9999 stored-before 101..9999",
          rules),
    /* Only rules that record the same series differ. Rules that read their own results find the
     * same as the first time. */
    STORY("stored samples that equal the computed ones are not written",
          "seeds 3: 2000s ask 1 replay 0 2000 700 ask 1 replay 0 2000 450 "
          "written 0 received 0 more-made 0 more-failed 0 more-different 0 more-found 1..9999",
          NO_GROUPS, rules),
    STORY(
        "stored samples that differ are kept and reported",
        "600s ask 1 put __name__=one,a=b 100 7 put __name__=one,a=b 200 1 "
        "put __name__=one,a=b,c=d 300 9 put __name__=one,a=c 300 9 replay 0 600 600 made 20 "
        "written 18 stored-before 1 different 1 reported 1 received 18 count one 22 changes one 3",
        NO_GROUPS, G("{record: one, expr: 'vector(1)', labels: {a: b}}")),
    /* The series has a sample at every other evaluation, as its rule reads its own results: a
     * second evaluation finds the result of its own time, too. */
    STORY("a rule that reads back is replayed again without differences",
          "600s ask 1 replay 0 600 600 written 10+20 ask 1 replay 330 600 600 written 0 "
          "different 0 stored-before 9..18 received 0",
          NO_GROUPS,
          G("{record: flips, expr: 'vector(1) unless last_over_time(flips[45s])'}, {record: steps, "
            "expr: 'steps + 1 or vector(1)'}")),
    /* The results have more labels than a view asks for, and one label is longer than it asks for.
     */
    STORY("results with many and long labels are compared with stored ones",
          "600s ask 1 replay 0 600 600 written 40 stored-before 0 different 0 replay 0 600 600 "
          "written 0 stored-before 40 different 0",
          NO_GROUPS, wide),

    /* --- staleness markers --- */
    STORY("a series that ended is marked stale at the next stored evaluation",
          "300s load 1 300s count early 0 ask 1 replay 0 600 600 count early 11 stale early 1",
          NO_GROUPS, G("{record: early, expr: 'vector(time() % 86400) < 300'}")),
    /* A Prometheus with external labels may evaluate the same rules. The replay begins at the next
     * evaluation. */
    STORY("series of another server with the same rules are not marked stale",
          "300s ask 1 put __name__=always,cluster=b 60 1 replay 60 120 600 count always 3 "
          "stale always 0",
          NO_GROUPS, G(ALWAYS)),
    /* The sample is stored at the first evaluation without a result. */
    STORY("a staleness marker does not replace a stored sample",
          "600s ask 1 put __name__=ends 449 5 replay 0 600 600 count ends 15 stale ends 0 "
          "different 0 received 14",
          NO_GROUPS, ENDS_AT_420),
    /* The store has no earlier sample of the rule. */
    STORY("a series that ends at the first evaluation is marked stale",
          "600s ask 1 replay 420 600 600 count ends 1 stale ends 1", NO_GROUPS, ENDS_AT_420),
    STORY("a series that ends in a gap is marked stale when the gap is filled",
          "600s ask 1 replay 0 300 600 ask 1 replay 420 600 600 ask 1 replay 0 600 600 "
          "count ends 15 stale ends 1",
          NO_GROUPS, ENDS_AT_420),
    /* Both markers would be refused, and reported as trouble. */
    STORY("a series that another rule of the name continues is not stale",
          "600s ask 1 replay 0 600 600 made 20 written 20 different 0 rejected 0", NO_GROUPS,
          G("{record: moves, expr: 'vector(time() >= bool 1767225900) > 0'}, {record: moves, expr: "
            "'vector(time() < bool 1767225900) > 0'}")),

    /* Names of labels have at most 100 bytes. */
    STORY(
        "results that the store refuses are not counted as written",
        "600s ask 1 replay 0 600 600 made 20 written 20 rejected 20", NO_GROUPS,
        G("{record: kept, expr: vector(1)}, {record: refused, expr: vector(1), labels: {" LONG_NAME
          ": x}}")),

    /* --- rounds --- */
    /* Results of the writer are two minutes older than its evaluation. A second replay finds later
     * results: the results of the first two minutes cause new ones. */
    STORY("results are not visible before they were evaluated",
          "seeds 3: 3600s ask 1 round 0 -1 round 1 -1 round 2 -1 replay 0 3600 900 "
          "same slow|seen.* ask 1 replay 0 3600 1000 written 0..15 different 0",
          NO_GROUPS, "groups:\n" WRITER("2m") READER("10s")),
    STORY("groups that read each other with different offsets find nothing later",
          "seeds 3: 3600s ask 1 round 0 -1 round 1 -1 replay 0 3600 900 same ping|pongs? ask 1 "
          "replay 0 3600 3600 written 0 different 0",
          NO_GROUPS,
          "groups:\n- {name: ping, interval: 20s, query_offset: 50s, rules: ["
          "{record: ping, expr: 'pong + 1 or vector(1)'}]}\n"
          "- {name: pong, interval: 30s, query_offset: 0s, rules: ["
          "{record: pong, expr: 'ping * 2 % 1000 or vector(2)'}, {record: pongs, expr: pong}]}\n"),
    STORY("a reader with the same or a larger offset has its own round",
          "for 1,2: 3600s ask $ round 0 0 round 1 1 round 2 2 replay 0 3600 900 "
          "same slow|seen.*",
          NO_GROUPS, "groups:\n" WRITER("2m") READER("2m"), "groups:\n" WRITER("1m") READER("2m")),
    STORY("only groups that read each other are replayed together",
          "ask 1 round 0 0 round 1 1 round 2 0 round 3 0 round 4 0 round 5 -1 round 6 -1 "
          "round 7 -1 rounds 2",
          NO_GROUPS, rules),

    /* --- limits --- */
    STORY("evaluations that met a limit are made with a higher one",
          "3600s ask 1 read-at-most 10 replay 0 3600 3600 made 120 failed 100..119 "
          "read-at-most 0 replay 0 3600 3600 same load:high",
          NO_GROUPS, G("{record: 'load:high', expr: load > 20}")),
};

/* --- tests that need more than steps ---------------------------------------------------------- */

/* Begins as a story does. */
static void
begin(uint64_t seed, const char *yaml, int64_t seconds)
{
    sim_init(&story_run.s, seed, NO_GROUPS);
    sim_pass(&story_run.s, seconds);
    ask(yaml);
}

static void
end(void)
{
    forget_rules();
    sim_fini(&story_run.s);
}

static void
check_written(uint64_t samples, uint64_t stored_before)
{
    assert_int_equal(asked.counts.samples, samples);
    assert_int_equal(asked.counts.stored_before, stored_before);
    assert_int_equal(asked.counts.different, 2);
    assert_int_equal(received() - asked.received, samples);
}

UNIT_TEST(test_histograms_are_compared_with_what_is_stored)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT,
                          .count = double_bits(4),
                          .zero_count = double_bits(4),
                          .zero_threshold_bits = double_bits(0.5)};
    begin(1, GROUP("g", "{record: h:sum, expr: 'sum(h) * 2'}"), 600);
    for (int64_t s = 0; s < 600; s += 30) {
        h.sum_bits = double_bits((double)s);
        send_at("__name__=h", s + 29, 0, &h);
    }
    h.sum_bits = double_bits(1);
    send_at("__name__=h:sum", 100, 0, &h);
    send_at("__name__=h:sum", 200, 1, NULL);
    replay(0, 600, 600);
    check_written(18, 0);
    replay(0, 600, 600);
    check_written(0, 18);
    end();
}

/* A view whose answers over more than ten minutes take longer than a query may. */
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

UNIT_TEST(test_an_evaluation_beyond_the_timeout_is_queried_in_parts)
{
    begin(1,
          GROUP("g", "{record: s, expr: 'sum(rate(requests_total[1m]))'}, "
                     "{record: l, expr: 'count_over_time(load[20m])'}"),
          3600);
    story_run.s.terms.open = slow_open;
    story_run.s.terms.timeout_ns = 60 * NS_PER_S;
    replay(600, 3600, 3600);
    assert_int_equal(asked.counts.made, 100);
    assert_int_equal(asked.counts.failed, 100); /* evaluations that read twenty minutes */
    assert_int_equal(asked.counts.samples, 100);
    end();
}

UNIT_TEST(test_after_refused_memory_a_replay_goes_on_where_each_group_was)
{
    enum { TOTAL_S = 900 };
    const int64_t max_ns = (SIM_BEGIN + TOTAL_S * 1000) * NS_PER_MS - 1;
    static struct rules_sim whole;
    uint64_t refused = 0;
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
        sim_assert_same(&whole, &story_run.s,
                        "job:.*|load:.*|scalar|shared|of:ends|steps|ping|pong",
                        SIM_BEGIN + TOTAL_S * 1000);
        end();
    }
    assert_true(refused > 0);
    sim_fini(&whole);
}

/* Stores results of two rules that differ only in the last label. */
static void
put_wide(void)
{
    enum { LABELS = 120 }; /* labels of the group, and of each rule */
    struct buf yaml;
    buf_init(&yaml, NULL, sizeof wide);
    buf_put_text(&yaml, "groups: [{name: g, interval: 30s, labels: {g: g");
    for (int i = 0; i < LABELS; i++)
        buf_printf(&yaml, ", g%03d: x", i);
    buf_put_text(&yaml, "}, rules: [");
    for (int other = 0; other < 2; other++) {
        buf_printf(&yaml, "%s{record: wide, expr: vector(7), labels: {long: '%05000d'",
                   other ? "}}, " : "", 7);
        for (int i = 0; i < LABELS; i++)
            buf_printf(&yaml, ", r%03d: %c", i, i + 1 == LABELS && other ? 'y' : 'x');
    }
    buf_put_text(&yaml, "}}]}]");
    must(buf_error(&yaml));
    memcpy(wide, yaml.at, yaml.size);
    buf_fini(&yaml);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histograms_are_compared_with_what_is_stored),
        cmocka_unit_test(test_an_evaluation_beyond_the_timeout_is_queried_in_parts),
        cmocka_unit_test(test_after_refused_memory_a_replay_goes_on_where_each_group_was),
    };
    put_wide();
    story_run.more = take_more;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + story_run_all(stories, sizeof stories / sizeof *stories);
}
