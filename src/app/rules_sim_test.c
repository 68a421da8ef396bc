/*
 * rules_sim_test.c - groups of rules on a simulated machine, from seeds: what was missed is made up
 * as if nothing had happened, and alerts go on as they were.
 */
#include "app/rules_sim_testing.h"

static const char rules[] =
    "groups:\n"
    "- name: first\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {record: \"job:requests:rate2m\", expr: \"sum by (job) (rate(requests_total[2m]))\"}\n"
    "  - {record: \"load:high\", expr: \"load > 50\"}\n"
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
    "  - {record: \"always:before\", expr: \"always offset 1m\"}\n";

static const char *const recorded[] = {"always", "always:before", "job:requests:rate2m",
                                       "load:high", "job:.*|load:.*"};

/* Says where two texts differ. */
static void
assert_same(struct buf *a, struct buf *b)
{
    buf_put_u8(a, '\0');
    buf_put_u8(b, '\0');
    const char *x = (const char *)a->at, *y = (const char *)b->at;
    if (strcmp(x, y) == 0) return;
    size_t i = 0, line = 0;
    for (; x[i] == y[i]; i++) {
        if (x[i] == '\n') line = i + 1;
    }
    fail_msg("never stopped: %.200s\nstopped: %.200s", x + line, y + line);
}

/* Minutes before, of, and after an outage, and how fast the backlog comes. */
static void
compare_with_outage(uint64_t seed, int64_t down_s, int64_t per_second, unsigned outages)
{
    static struct rules_sim whole, broken;
    struct buf a, b;
    buf_init(&a, NULL, 64 << 20);
    buf_init(&b, NULL, 64 << 20);
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
    int64_t to_ms = SIM_BEGIN + (total_s + 1400) * 1000;
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        buf_clear(&a);
        buf_clear(&b);
        sim_dump(&whole, recorded[i], 0, to_ms, &a);
        sim_dump(&broken, recorded[i], 0, to_ms, &b);
        assert_same(&a, &b);
    }
    sim_fini(&whole);
    sim_fini(&broken);
    buf_fini(&a);
    buf_fini(&b);
}

static void
test_after_an_outage_what_was_recorded_is_that_of_a_server_that_never_stopped(void **state)
{
    (void)state;
    compare_with_outage(1, 3600, 0, 1);
    compare_with_outage(2, 3600, 60, 1);
    uint64_t seeds = getenv("SEEDS") == NULL ? 5 : strtoull(getenv("SEEDS"), NULL, 10);
    for (uint64_t seed = getenv("SEED") == NULL ? 3 : strtoull(getenv("SEED"), NULL, 10);
         seed < 3 + seeds; seed++) {
        compare_with_outage(seed, 20 + (int64_t)(sim_mix(seed, 9) % 900),
                            8 + (int64_t)(seed % 40) * 3, 3);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_after_an_outage_what_was_recorded_is_that_of_a_server_that_never_stopped,
            tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
