/*
 * rules_stale_test.c - groups of rules on a simulated machine: which recorded series are marked
 * stale when rules change, move, fail or leave.
 */
#include "app/rules_sim_testing.h"

/* Until its series are marked stale it is known, but not for longer. */
static void
test_what_a_removed_group_recorded_is_stale_but_for_what_others_record(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1,
             "groups:\n"
             "- {name: a, interval: 30s, rules: [" ALWAYS ", {record: of, expr: vector(1),"
             " labels: {group: a}}]}\n"
             "- {name: b, interval: 30s, rules: [{record: of, expr: vector(1), labels:"
             " {group: b}}, " ALWAYS "]}\n");
    sim_pass(&s, 120);
    sim_load(&s, "groups:\n- {name: b, interval: 30s, rules: [{record: of, expr: vector(1), labels:"
                 " {group: b}}, " ALWAYS "]}\n");
    sim_pass(&s, 55);
    sim_count_samples(&s, "of", &stale);
    assert_int_equal(stale, 0);
    sim_pass(&s, 120);
    sim_count_samples(&s, "of", &stale);
    assert_int_equal(stale, 1);
    sim_count_samples(&s, "always", &stale);
    assert_int_equal(stale, 0);
    sim_fini(&s);
}

/* The other tenant records the same series, in its own store. */
static void
test_what_a_removed_group_of_one_tenant_recorded_is_stale_whatever_others_record(void **state)
{
    (void)state;
    static struct rules_sim s;
    const struct group_defaults defaults = {60000, 0};
    struct scheduler_change *change;
    struct why why = {""};
    unsigned stale;
    sim_init(&s, 1, NO_GROUPS);
    s.tenant_count = 2;
    sim_load(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 60);
    must(scheduler_prepare(s.scheduler, s.list + 1, 1, &defaults, &change, &why));
    scheduler_commit(change, &s.limits, env_realtime_ms(s.m.env) * NS_PER_MS);
    sim_pass(&s, 120);
    assert_int_equal(sim_count_samples(&s, "always", &stale), 2 + 1);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

static void
test_a_series_that_another_rule_of_the_group_writes_on_is_not_stale(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1,
             GROUP("g", "{record: one, expr: vector(1), labels: {x: y}}, "
                        "{record: two, expr: vector(1), labels: {x: y}}"));
    sim_pass(&s, 120);
    sim_load(&s, GROUP("g", "{record: two, expr: 'label_replace(vector(1), \"x\", \"y\", \"\", "
                            "\"\")'}"));
    sim_pass(&s, 120);
    sim_count_samples(&s, "one", &stale);
    assert_int_equal(stale, 1);
    sim_count_samples(&s, "two", &stale);
    assert_int_equal(stale, 0);
    assert_int_equal(s.rejected, 0); /* as markers at the time of a sample are */
    sim_fini(&s);
}

static void
test_a_series_that_another_rule_of_the_name_writes_from_now_on_is_not_stale(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1,
             GROUP("g", "{record: moves, expr: 'vector(time() % 86400 >= bool 300) > 0'}, "
                        "{record: moves, expr: 'vector(time() % 86400 < bool 300) > 0'}"));
    sim_pass(&s, 600);
    assert_in_range(sim_count_samples(&s, "moves", &stale), 19, 20);
    assert_int_equal(stale, 0);
    assert_int_equal(s.rejected, 0); /* as a marker would be */
    sim_fini(&s);
}

/* d until the second minute is over, then a, and until another b, which is one too many. */
#define SINCE(end_s) "(vector(time()) >= " end_s ")"
#define SINCE_THEN   SINCE("1767225720")
#define SIXTH        "1767225900"
#define NEVER        "1e10"
#define GROWS(limit, end_s, other)                                                        \
    "groups: [{name: g, interval: 30s, limit: " limit ", rules: [{record: r, expr: '"     \
    "(label_replace(vector(1), \"n\", \"d\", \"\", \"\") unless on() " SINCE_THEN ") or " \
    "(label_replace(vector(1), \"n\", \"a\", \"\", \"\") and on() " SINCE_THEN ") or "    \
    "((label_replace(vector(1), \"n\", \"b\", \"\", \"\") and on() " SINCE_THEN ") "      \
    "unless on() " SINCE(end_s) ")'}, " GROWS_ALSO(other)
#define GROWS_ALSO(other)                           \
    "{record: reads, expr: r + on() " other "}]}, " \
    "{name: other, interval: 1m, rules: [{record: " other ", expr: vector(1)}]}]\n"

static void
grow(const char *before, const char *after, int64_t phase_s)
{
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, before);
    sim_pass(&s, 240 + phase_s);
    sim_load(&s, after);
    sim_pass(&s, 120);
    sim_count_samples(&s, "r", &stale);
    assert_int_equal(stale, 1);
    sim_fini(&s);
}

/* Also when it is made up, as another group has not begun that it may read. */
static void
test_what_a_rule_recorded_before_it_failed_is_marked_stale_when_a_reload_mends_it(void **state)
{
    (void)state;
    for (int64_t phase_s = 0; phase_s < 30; phase_s++) {
        grow(GROWS("1", NEVER, "one"), GROWS("2", NEVER, "another"), phase_s);
    }
}

/* Also if it failed last when it was made up. */
static void
test_what_a_rule_recorded_before_it_failed_is_marked_stale_when_its_input_mends_it(void **state)
{
    (void)state;
    for (int64_t phase_s = 0; phase_s < 30; phase_s++) {
        grow(GROWS("1", SIXTH, "one"), GROWS("1", SIXTH, "another"), phase_s);
    }
}

static void
put_ending(char *to, size_t size, int64_t end_s, const char *team)
{
    snprintf(to, size,
             "groups: [{name: g, interval: 30s, rules: [{record: r, labels: {team: %s}, expr: "
             "'vector(1) and on() vector(time()) <= %lld'}]}]\n",
             team, (long long)end_s);
}

struct ending {
    int64_t last_ms, stale_ms;
};

static void
note_ending(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    struct ending *ending = context;
    (void)labels;
    if (bits != STALE_NAN_BITS) {
        ending->last_ms = t_ms;
    } else if (ending->stale_ms == 0) {
        ending->stale_ms = t_ms;
    }
}

/* Also when it is made up, as the machine slept before its time. */
static void
test_a_series_that_ends_while_its_rule_is_taken_out_and_put_back_is_marked_stale(void **state)
{
    (void)state;
    static struct rules_sim s;
    for (int64_t slept_s = 0; slept_s <= 300; slept_s += 300) {
        char yaml[512];
        struct ending ending = {0, 0};
        int64_t end_s = SIM_BEGIN / 1000 + 240;
        put_ending(yaml, sizeof yaml, end_s, "a");
        sim_init(&s, 1, yaml);
        sim_pass(&s, 240);
        put_ending(yaml, sizeof yaml, end_s, "b");
        sim_load(&s, yaml);
        sim_pass(&s, 2);
        sim_shift_clock(&s, slept_s);
        put_ending(yaml, sizeof yaml, end_s, "a");
        sim_load(&s, yaml);
        sim_pass(&s, 120);
        sim_each_sample(&s, "r", SIM_BEGIN, INT64_MAX, note_ending, &ending);
        assert_in_range(ending.stale_ms - ending.last_ms, 30000, 420000);
        sim_fini(&s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_removed_group_recorded_is_stale_but_for_what_others_record),
        cmocka_unit_test(
            test_what_a_removed_group_of_one_tenant_recorded_is_stale_whatever_others_record),
        cmocka_unit_test(test_a_series_that_another_rule_of_the_group_writes_on_is_not_stale),
        cmocka_unit_test(
            test_a_series_that_another_rule_of_the_name_writes_from_now_on_is_not_stale),
        cmocka_unit_test(
            test_what_a_rule_recorded_before_it_failed_is_marked_stale_when_a_reload_mends_it),
        cmocka_unit_test(
            test_what_a_rule_recorded_before_it_failed_is_marked_stale_when_its_input_mends_it),
        cmocka_unit_test(
            test_a_series_that_ends_while_its_rule_is_taken_out_and_put_back_is_marked_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
