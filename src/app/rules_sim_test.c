/*
 * rules_sim_test.c - groups of rules on a simulated machine, from seeds: what was missed is made up
 * as if nothing had happened, and alerts go on as they were.
 */
#include <math.h>

#include "app/rules_sim_testing.h"

static const char rules[] =
    "groups:\n"
    "- name: first\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"job:requests:rate2m\", expr: \"sum by (job) (rate(requests_total[2m]))\"}\n"
    "  - {record: \"load:high\", expr: \"load > 50\"}\n"
    "  - {record: \"load:over\", expr: \"load > 30\", labels: {than: \"30\"}}\n"
    "  - {record: \"load:over\", expr: \"load > 60\", labels: {than: \"60\"}}\n"
    "  - {record: \"job:requests:rate2m:max\", expr: \"max(job:requests:rate2m)\"}\n"
    "- name: second\n"
    "  interval: 1m\n"
    "  rules:\n"
    "  - {record: \"job:requests:hour\", expr: \"sum_over_time(job:requests:rate2m[20m])\"}\n"
    "  - {record: \"load:high:count\", expr: \"count by (job) (load:high)\"}\n"
    "- name: third\n"
    "  interval: 20s\n"
    "  rules:\n"
    "  - {record: \"always\", expr: \"vector(1)\"}\n"
    "  - {record: \"always:before\", expr: \"always offset 1m\"}\n"
    "- name: fourth\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"none:absent\", expr: \"absent(nobody_sends)\"}\n"
    "  - {record: \"none:rate\", expr: \"sum(rate(nobody_sends[2m])) or vector(0)\"}\n";

static const char *const recorded[] = {"always", "always:before", "job:requests:rate2m",
                                       "load:high", "job:.*|load:.*|none:.*"};

/* Both recorded the same, up to that many seconds after the begin. */
static void
assert_same_recorded(struct rules_sim *a, struct rules_sim *b, int64_t to_s)
{
    struct buf x, y;
    buf_init(&x, NULL, 64 << 20);
    buf_init(&y, NULL, 64 << 20);
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        buf_clear(&x);
        buf_clear(&y);
        sim_dump(a, recorded[i], 0, SIM_BEGIN + to_s * 1000, &x);
        sim_dump(b, recorded[i], 0, SIM_BEGIN + to_s * 1000, &y);
        sim_assert_same(&x, &y);
    }
    buf_fini(&x);
    buf_fini(&y);
}

/* Minutes before, of, and after an outage, and how fast the backlog comes. */
static void
compare_with_outage(uint64_t seed, int64_t down_s, int64_t per_second, unsigned outages)
{
    static struct rules_sim whole, broken;
    sim_init(&whole, seed, rules);
    sim_init(&broken, seed, rules);
    broken.per_second = per_second;
    int64_t total_s = 1200;
    sim_pass(&broken, 1200);
    for (unsigned i = 0; i < outages; i++) {
        int64_t up_s = 30 + (int64_t)(sim_mix(seed, i) % 300);
        sim_crash(&broken);
        sim_pass(&broken, down_s);
        sim_start(&broken, rules);
        sim_pass(&broken, up_s);
        total_s += down_s + up_s;
    }
    sim_pass(&broken, 1500);
    sim_pass(&whole, total_s + 1500);
    /* The last minute may not be made up yet. */
    assert_same_recorded(&whole, &broken, total_s + 1400);
    sim_fini(&whole);
    sim_fini(&broken);
}

static void
test_after_an_outage_what_was_recorded_is_that_of_a_server_that_never_stopped(void **state)
{
    (void)state;
    compare_with_outage(1, 3600, 0, 1);
    compare_with_outage(2, 3600, 60, 1);
    for (uint64_t seed = 3; seed < 3 + sim_seed_count(5); seed++) {
        compare_with_outage(seed, 20 + (int64_t)(sim_mix(seed, 9) % 900),
                            8 + (int64_t)(seed % 40) * 3, 3);
    }
}

/* Senders are refused like rules, and their backlog comes afterwards, not at once. */
static void
test_after_a_store_that_refused_for_long_what_was_recorded_is_that_of_one_that_did_not(void **state)
{
    (void)state;
    static struct rules_sim whole, broken;
    sim_init(&whole, 5, rules);
    sim_init(&broken, 5, rules);
    sim_pass(&broken, 1200);
    broken.mute = broken.write_fails = true;
    sim_pass(&broken, 1800);
    broken.write_fails = false;
    sim_pass(&broken, 90); /* the sender comes back later */
    broken.mute = false;
    broken.per_second = 20;
    sim_pass(&broken, 1500);
    sim_pass(&whole, 1200 + 1800 + 90 + 1500);
    assert_same_recorded(&whole, &broken, 1200 + 1800 + 90 + 1400);
    sim_fini(&whole);
    sim_fini(&broken);
}

/* Nothing that is sent has these times: what is evaluated then would have found nothing. */
static void
test_a_clock_that_was_wrong_for_minutes_leaves_no_hole_in_what_is_recorded(void **state)
{
    (void)state;
    static struct rules_sim whole, broken;
    sim_init(&whole, 6, rules);
    sim_init(&broken, 6, rules);
    sim_pass(&broken, 1200);
    sim_pass_an_hour_ahead(&broken);
    sim_pass(&broken, 4500);
    sim_pass(&whole, 1200 + 300 + 4500);
    assert_same_recorded(&whole, &broken, 1200 + 300 + 4400);
    sim_fini(&whole);
    sim_fini(&broken);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_after_an_outage_what_was_recorded_is_that_of_a_server_that_never_stopped),
        cmocka_unit_test(
            test_after_a_store_that_refused_for_long_what_was_recorded_is_that_of_one_that_did_not),
        cmocka_unit_test(
            test_a_clock_that_was_wrong_for_minutes_leaves_no_hole_in_what_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
