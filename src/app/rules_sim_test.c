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

/* Whatever waits for input does not write, and so does not meet the store that still refuses. */
static void
test_input_is_awaited_from_the_end_of_a_refusal_on_also_by_the_only_group(void **state)
{
    static struct rules_sim whole, broken;
    static const char one[] = "groups:\n"
                              "- name: one\n"
                              "  interval: 30s\n"
                              "  rules:\n"
                              "  - {record: \"load:high\", expr: \"load > 50\"}\n";
    (void)state;
    for (int64_t refused_s = 1500; refused_s < 2160; refused_s += 60) {
        sim_init(&whole, 5, one);
        sim_init(&broken, 5, one);
        sim_pass(&broken, 1200);
        broken.mute = broken.write_fails = true;
        sim_pass(&broken, refused_s);
        broken.write_fails = false;
        sim_pass(&broken, 90); /* the sender comes back later */
        broken.mute = false;
        broken.per_second = 20;
        sim_pass(&broken, 1500);
        sim_pass(&whole, 1200 + refused_s + 90 + 1500);
        assert_same_recorded(&whole, &broken, 1200 + refused_s + 90 + 1400);
        sim_fini(&whole);
        sim_fini(&broken);
    }
}

/* What is known of the input of evaluations before the second one says nothing of those after it.
 */
static void
test_input_is_awaited_also_if_the_store_refuses_once_more_before_all_is_made_up(void **state)
{
    static struct rules_sim whole, broken;
    static const char one[] =
        "groups: [{name: one, interval: 15s, rules: [{record: \"load:high\", expr: load > 50}]}]";
    (void)state;
    for (int64_t between_s = 4; between_s < 24; between_s += 4) {
        sim_init(&whole, 5, one);
        sim_init(&broken, 5, one);
        sim_pass(&broken, 1200);
        broken.write_fails = true;
        sim_pass(&broken, 120);
        broken.write_fails = false;
        broken.slow_ms = 4000;
        sim_pass(&broken, between_s);
        broken.write_fails = broken.mute = true;
        sim_pass(&broken, 60);
        broken.write_fails = false;
        sim_pass(&broken, 60);
        broken.mute = false;
        broken.slow_ms = 0;
        sim_pass(&broken, 900);
        sim_pass(&whole, 1200 + 120 + between_s + 120 + 900);
        assert_same_recorded(&whole, &broken, 1200 + 120 + between_s + 120 + 800);
        sim_fini(&whole);
        sim_fini(&broken);
    }
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

/* --- alerts ----------------------------------------------------------------------------------- */

static const char alerts[] =
    "groups:\n"
    "- name: alerts\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {alert: Waits, expr: \"load > 40\", for: 2m, labels: {sev: \"{{ $labels.job }}\"}}\n"
    "  - {alert: Lasts, expr: \"load > 60\", keep_firing_for: 3m, annotations: {v: \"{{ $value "
    "}}\"}}\n"
    "  - {alert: Long, expr: \"requests_total > 0\", for: 15m}\n"
    "  - {record: \"load:sum\", expr: \"sum(load)\"}\n"
    "- name: other\n"
    "  interval: 1m\n"
    "  rules:\n"
    "  - {alert: Many, expr: \"count(load > 30) by (job) > 0\"}\n";

enum { KNOWN_MAX = 64, MADE_MAX = 8192 };

/* What is known of one alert, from evaluation to evaluation. */
struct known {
    char labels[160];
    char group[16]; /* "": not seen yet */
    enum alert_state state;
    int64_t fired_at_ns;
    int64_t told_ns; /* last as firing; 0: not since it fires */
    bool seen;
    bool set_back; /* the clock was while it was active: it may have begun at a time it did not */
};

struct watch {
    struct rules_sim *s;
    const struct agenda_job *job;
    struct known items[KNOWN_MAX];
    uint32_t count;
    int64_t made[2][MADE_MAX]; /* of each group, what was recorded */
    uint32_t made_count[2];
    int64_t evaluated_ns[2];
    uint64_t fired, resolved, made_up;
};

/* Its alerts begin anew. */
static void
forget_group(struct watch *w, const char *group)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (strcmp(w->items[i].group, group) != 0) continue;
        w->items[i].state = ALERT_INACTIVE;
        w->items[i].told_ns = 0;
    }
}

/* After an outage that is longer than is tolerated. */
static void
forget_old(struct watch *w, const char *group, int64_t *evaluated_ns)
{
    int64_t at_ns = w->job->how.at_ns, before_ns = *evaluated_ns;
    *evaluated_ns = at_ns;
    if (at_ns - before_ns >= w->s->limits.outage_tolerance_ns) forget_group(w, group);
    for (uint32_t i = 0; i < w->count && at_ns <= before_ns; i++) {
        w->items[i].set_back |= strcmp(w->items[i].group, group) == 0;
    }
}

static struct known *
known_of(struct watch *w, const char *labels)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (strcmp(w->items[i].labels, labels) == 0) return &w->items[i];
    }
    assert_true(w->count < KNOWN_MAX);
    struct known *k = &w->items[w->count++];
    *k = (struct known){.state = ALERT_INACTIVE};
    snprintf(k->labels, sizeof k->labels, "%s", labels);
    return k;
}

static void
note_told(struct watch *w)
{
    for (uint32_t i = 0; i < w->s->told_count; i++) {
        const struct sim_told *t = &w->s->told[i];
        struct known *k = known_of(w, t->labels);
        bool resolved = t->ends_ns <= t->at_ns;
        w->resolved += resolved && k->told_ns != 0;
        w->fired += !resolved && k->told_ns == 0;
        k->told_ns = resolved ? 0 : t->at_ns;
    }
    w->s->told_count = 0;
}

static void
look_at_alert(void *context, const struct alert *alert)
{
    struct watch *w = context;
    struct group *g = agenda_entry_group(w->job->entry);
    int64_t now_ns = env_realtime_ms(w->s->m.env) * NS_PER_MS;
    int64_t slack_ns = w->s->terms.resend_ns + 2 * group_schedule(g)->interval_ns;
    char labels[160];
    struct buf to;
    if (!alert_is_active(alert)) return;
    buf_init(&to, NULL, sizeof labels - 1);
    labels_print(&to, alert->labels);
    snprintf(labels, sizeof labels, "%.*s", (int)to.size, (const char *)to.at);
    buf_fini(&to);
    struct known *k = known_of(w, labels);
    snprintf(k->group, sizeof k->group, "%s", group_text(g)->name);
    k->seen = true;
    /* Unless the clock was set back to before it fired, and then a restart forgot it. */
    bool has_fired = k->fired_at_ns < w->job->how.at_ns;
    if (k->state == ALERT_FIRING && alert->state == ALERT_PENDING && has_fired) {
        fail_msg("%s fell back to pending at %lld", labels, (long long)w->job->how.at_ns);
    }
    if (alert->state == ALERT_FIRING && (k->told_ns == 0 || now_ns - k->told_ns > slack_ns)) {
        fail_msg("%s fires and was not told at %lld", labels, (long long)w->job->how.at_ns);
    }
    k->state = alert->state;
    k->fired_at_ns = alert->fired_at_ns;
}

/* Nothing is recorded twice. */
static void
note_made(struct watch *w, unsigned group, int64_t slot)
{
    for (uint32_t i = 0; i < w->made_count[group]; i++) {
        assert_int_not_equal(w->made[group][i], slot);
    }
    assert_true(w->made_count[group] < MADE_MAX);
    w->made[group][w->made_count[group]++] = slot;
}

static void
look_at_evaluation(struct rules_sim *s, const struct agenda_job *job)
{
    struct watch *w = s->context;
    struct group *g = agenda_entry_group(job->entry);
    bool is_other = strcmp(group_text(g)->name, "other") == 0;
    w->job = job;
    /* After an error it is made up once more, with the same results. */
    if (job->error == OK && job->outcome.stored && job->how.part != GROUP_ALERTING &&
        group_records(g)) {
        note_made(w, is_other, job->slot);
        w->made_up += job->how.is_past;
    }
    /* Memory was short for a minute after the start. */
    bool lost = job->work == AGENDA_BEGIN && job->error && job->is_last_try;
    if (lost) forget_group(w, group_text(g)->name);
    if (job->work != AGENDA_LIVE || job->how.part == GROUP_RECORDING) return;
    forget_old(w, group_text(g)->name, &w->evaluated_ns[is_other]);
    note_told(w);
    for (uint32_t i = 0; i < w->count; i++) {
        w->items[i].seen = false;
    }
    for (uint32_t i = 0; i < group_text(g)->rule_count; i++) {
        group_each_alert(g, i, look_at_alert, w);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct known *k = &w->items[i];
        if (k->seen || strcmp(k->group, group_text(g)->name) != 0) continue;
        if (k->state == ALERT_FIRING && k->told_ns != 0 && !k->set_back) {
            fail_msg("%s is over and was not told at %lld", k->labels, (long long)job->how.at_ns);
        }
        k->state = ALERT_INACTIVE;
        k->set_back = false;
    }
}

static void
live_with_alerts(uint64_t seed)
{
    static struct rules_sim s;
    static struct watch w;
    w = (struct watch){.s = &s};
    sim_init(&s, seed, alerts);
    s.look = look_at_evaluation;
    s.context = &w;
    for (int i = 0; i < 30; i++) {
        sim_pass(&s, (int64_t)(sim_env_random(s.m.sim) % 600));
        sim_trouble(&s, alerts);
    }
    sim_pass(&s, 1200);
    assert_true(w.fired > 0);
    assert_true(w.resolved > 0);
    sim_fini(&s);
}

static void
test_alerts_go_on_as_they_were_whatever_happens_to_the_server(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= sim_seed_count(20); seed++) {
        live_with_alerts(seed);
    }
}

/* Whether it was told since it was looked last that this alert, or of "" any of Lasts, is over. */
static bool
was_over(struct rules_sim *s, const char *labels, struct sim_told *ret)
{
    bool is_over = false;
    for (uint32_t i = 0; i < s->told_count && !is_over; i++) {
        const struct sim_told *told = &s->told[i];
        is_over = told->ends_ns <= told->at_ns && strstr(told->labels, "Lasts") != NULL &&
                  (labels[0] == '\0' || strcmp(told->labels, labels) == 0);
        *ret = *told;
    }
    s->told_count = 0;
    return is_over;
}

static void
test_that_an_alert_that_was_kept_firing_is_over_is_told_again_after_a_restart(void **state)
{
    static struct rules_sim s;
    struct sim_told before, after;
    (void)state;
    sim_init(&s, 1, alerts);
    do {
        sim_pass(&s, 1);
    } while (!was_over(&s, "", &before));
    sim_crash(&s);
    sim_start(&s, alerts);
    sim_pass(&s, 30);
    assert_true(was_over(&s, before.labels, &after));
    assert_int_equal(after.starts_ns, before.starts_ns);
    assert_int_equal(after.ends_ns, before.ends_ns);
    sim_fini(&s);
}

static bool
was_told_to_fire(struct rules_sim *s, const char *name)
{
    bool fires = false;
    for (uint32_t i = 0; i < s->told_count; i++) {
        const struct sim_told *told = &s->told[i];
        fires |= told->ends_ns > told->at_ns && strstr(told->labels, name) != NULL;
    }
    s->told_count = 0;
    return fires;
}

/* The rule fails, then, and its alerts stay as they were, those of before the restart as well. */
static void
test_alerts_are_restored_when_limits_of_queries_are_lower_than_before(void **state)
{
    (void)state;
    static const char yaml[] = GROUP("g", "{alert: Each, expr: 'load >= 0'}");
    for (int limit = 0; limit < 4; limit++) {
        static struct rules_sim s;
        sim_init(&s, 1, yaml);
        sim_pass(&s, 300);
        assert_true(was_told_to_fire(&s, "Each"));
        sim_crash(&s);
        if (limit == 0) s.terms.series_max = 1;
        if (limit == 1) s.terms.samples_read_max = 1;
        if (limit == 2) s.terms.bytes_max = 1;
        if (limit == 3) s.terms.timeout_ns = 1;
        sim_start(&s, yaml);
        sim_pass(&s, 120);
        assert_true(was_told_to_fire(&s, "Each"));
        sim_fini(&s);
    }
}

/* Of alerts that are kept firing by the one group the other one finds nothing after a restart. */
static void
test_an_alert_that_another_group_told_of_at_other_times_is_left_to_it(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char yaml[] =
        "groups:\n" /* at SIM_BEGIN it is midnight */
        "- {name: keeps, interval: 30s, rules: [{alert: Same, keep_firing_for: 10m, "
        "expr: 'vector(time() % 86400 < bool 300) > 0'}]}\n"
        "- {name: waits, interval: 30s, rules: [{alert: Same, for: 1h, "
        "expr: 'vector(time() % 86400 < bool 300) > 0'}]}\n";
    sim_init(&s, 1, yaml);
    sim_pass(&s, 360);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_crash(&s);
    s.told_count = 0;
    sim_start(&s, yaml);
    sim_pass(&s, 120);
    sim_check_told_as_firing(&s, SIM_TOLD_MAX);
    sim_fini(&s);
}

static void
test_a_rule_may_record_as_many_series_as_its_limit_and_no_more(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char yaml[] = "groups: [{name: g, interval: 30s, limit: 3, rules: ["
                               "{record: three, expr: requests_total}, "
                               "{record: four, expr: 'requests_total or vector(1)'}]}]";
    unsigned stale;
    sim_init(&s, 1, yaml);
    sim_pass(&s, 120);
    assert_true(sim_count_samples(&s, "three", &stale) > 0);
    assert_int_equal(sim_count_samples(&s, "four", &stale), 0);
    sim_fini(&s);
}

static void
test_an_alert_is_not_kept_firing_for_longer_by_a_server_that_restarts_often(void **state)
{
    (void)state;
    static const char yaml[] = "groups: [{name: g, interval: 30s, rules: [{alert: Kept, "
                               "expr: 'vector(time() % 86400) < 600', keep_firing_for: 3m}]}]";
    static struct rules_sim s;
    sim_init(&s, 1, yaml);
    s.limits.catch_up_wait_ns = 60 * NS_PER_S;
    sim_pass(&s, 590);
    sim_crash(&s);
    sim_pass(&s, 300); /* it would be over */
    for (int i = 0; i < 6; i++) {
        sim_start(&s, yaml);
        sim_pass(&s, 80);
        sim_crash(&s);
    }
    sim_start(&s, yaml);
    const struct sim_told *last = &s.told[s.told_count - 1];
    assert_true(last->ends_ns <= last->at_ns);
    assert_in_range(last->ends_ns / NS_PER_S - SIM_BEGIN / 1000, 890, 1100);
    sim_fini(&s);
}

static const char alert_of[] =
    "groups:\n"
    "- name: alerts\n"
    "  interval: 30s\n"
    "  rules:\n"
    "  - {alert: Waits, expr: \"load{n='1'} > %d\", for: 1m, keep_firing_for: 2m}\n";

static void
test_what_was_over_while_the_clock_was_set_back_is_stale_and_does_not_fire_after_a_restart(
    void **state)
{
    static struct rules_sim s;
    char before[256], after[256];
    unsigned stale;
    (void)state;
    snprintf(before, sizeof before, alert_of, -1);
    snprintf(after, sizeof after, alert_of, 1000);
    sim_init(&s, 1, before);
    sim_pass(&s, 600);
    assert_true(was_told_to_fire(&s, "Waits"));
    sim_shift_clock(&s, -300);
    sim_load(&s, after);
    sim_pass(&s, 600);
    sim_count_samples(&s, "ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 1); /* after the last sample that says it goes on */
    s.told_count = 0;
    sim_crash(&s);
    sim_start(&s, after);
    sim_pass(&s, 60);
    assert_false(was_told_to_fire(&s, "Waits"));
    sim_fini(&s);
}

/* It was over twenty minutes before the crash. What had been written before that, at times to come,
 * has none but its beginning to tell so. */
static void
test_what_was_written_while_the_clock_was_ahead_does_not_fire_after_a_restart(void **state)
{
    (void)state;
    static const char yaml[] = GROUP("g", "{alert: Early, expr: 'load{n=\"1\"} > -1 and on() "
                                          "vector(time() % 86400) < 660'}");
    static struct rules_sim s;
    sim_init(&s, 1, yaml);
    s.has_own_clock = true;
    sim_pass(&s, 600);
    sim_shift_clock(&s, 1500);
    sim_pass(&s, 120);
    assert_true(was_told_to_fire(&s, "Early"));
    sim_shift_clock(&s, -1500);
    sim_pass(&s, 1300);
    sim_crash(&s);
    sim_pass(&s, 600);
    s.mute = true;
    s.told_count = 0;
    sim_start(&s, yaml);
    sim_pass(&s, 120);
    assert_int_equal(s.told_count, 0);
    sim_fini(&s);
}

/* How long after a restart an alert fires that was pending for so long. */
static int64_t
fires_after_restart_s(const char *for_text, int64_t up_s)
{
    static struct rules_sim s;
    char text[256];
    int64_t waited_s = 0;
    snprintf(
        text, sizeof text,
        "groups:\n- {name: g, interval: 30s, rules: [{alert: Waits, expr: \"load{n='1'} > -1\","
        " for: %s}]}\n",
        for_text);
    sim_init(&s, 1, text);
    sim_pass(&s, up_s);
    assert_false(was_told_to_fire(&s, "Waits"));
    sim_crash(&s);
    sim_start(&s, text);
    while (!was_told_to_fire(&s, "Waits")) {
        sim_pass(&s, 10);
        waited_s += 10;
        assert_true(waited_s < 7200);
    }
    sim_fini(&s);
    return waited_s;
}

static void
test_what_was_pending_waits_for_the_rest_of_its_time_or_for_the_grace_period(void **state)
{
    (void)state;
    assert_in_range(fires_after_restart_s("3m", 100), 80, 180);
    assert_in_range(fires_after_restart_s("30m", 300), 1500, 1600);
    assert_in_range(fires_after_restart_s("15m", 780), 600, 680);
}

/* Whether after a restart it is told to be over an alert that fired for ten minutes, was kept
 * firing for two, and is over for so long; and was pending then for 45 seconds, perhaps. */
static bool
is_over_told_again(int64_t over_s, bool is_pending)
{
    static struct rules_sim s;
    char yaml[512];
    bool is_told = false;
    const long long begin_s = SIM_BEGIN / 1000;
    snprintf(
        yaml, sizeof yaml,
        "groups: [{name: g, interval: 30s, rules: [{alert: Waits, for: 1m, keep_firing_for: 2m, "
        "expr: 'vector(time()) < %lld or (vector(time()) > %lld) < %lld'}]}]",
        begin_s + 600, begin_s + 780, begin_s + (is_pending ? 825 : 780));
    sim_init(&s, 1, yaml);
    sim_pass(&s, 780 + over_s);
    assert_true(was_told_to_fire(&s, "Waits"));
    sim_crash(&s);
    sim_start(&s, yaml);
    sim_pass(&s, 60);
    for (uint32_t i = 0; i < s.told_count; i++) {
        is_told |= s.told[i].ends_ns <= s.told[i].at_ns;
    }
    sim_fini(&s);
    return is_told;
}

static void
test_what_was_over_is_told_for_15_minutes_after_a_restart_unless_it_was_pending_again(void **state)
{
    (void)state;
    assert_true(is_over_told_again(600, false));
    assert_false(is_over_told_again(1200, false));
    assert_false(is_over_told_again(600, true));
}

/* Found for ten minutes; after an outage of 57 it is kept firing for two, and is over. Of what a
 * restart looks at, nothing but its state says that it had been found. */
static void
test_what_became_active_before_the_outage_tolerance_is_told_to_be_over_again(void **state)
{
    static struct rules_sim s;
    char yaml[256];
    (void)state;
    snprintf(yaml, sizeof yaml,
             GROUP("g", "{alert: Lasts, keep_firing_for: 2m, expr: "
                        "'vector(time()) < %lld'}"),
             SIM_BEGIN / 1000LL + 600);
    sim_init(&s, 1, yaml);
    sim_pass(&s, 595);
    sim_crash(&s);
    sim_pass(&s, 3400);
    sim_start(&s, yaml);
    sim_pass(&s, 300);
    struct sim_told told;
    assert_true(was_over(&s, "", &told));
    sim_crash(&s);
    sim_start(&s, yaml);
    sim_pass(&s, 60);
    assert_true(was_over(&s, "", &told));
    sim_fini(&s);
}

static int64_t recorded_ns; /* the latest evaluation whose results are stored */

static void
expect_later(struct rules_sim *s, const struct agenda_job *job)
{
    (void)s;
    if (!job->outcome.stored || job->how.part == GROUP_ALERTING) return;
    assert_true(job->how.at_ns > recorded_ns);
    recorded_ns = job->how.at_ns;
}

static void
test_what_was_recorded_is_not_recorded_again_when_the_clock_was_set_back_at_a_restart(void **state)
{
    static struct rules_sim s;
    static const char one[] = "groups:\n"
                              "- name: one\n"
                              "  interval: 30s\n"
                              "  rules:\n"
                              "  - {record: \"load:sum\", expr: \"sum(load)\"}\n";
    (void)state;
    recorded_ns = 0;
    sim_init(&s, 1, one);
    s.look = expect_later;
    sim_pass(&s, 600);
    sim_crash(&s);
    sim_shift_clock(&s, -300);
    sim_start(&s, one);
    int64_t before_ns = recorded_ns;
    sim_pass(&s, 600);
    assert_true(recorded_ns > before_ns);
    sim_fini(&s);
}

/* What was pending at a restart is so since a time between two seconds, and between evaluations. */
static void
test_an_alert_that_fires_is_told_to_do_so_since_the_same_time_after_a_restart(void **state)
{
    static struct rules_sim s;
    char text[256];
    (void)state;
    snprintf(text, sizeof text, alert_of, -1);
    for (int64_t up_s = 40; up_s < 100; up_s++) {
        sim_init(&s, 1, text);
        sim_pass(&s, up_s);
        sim_crash(&s);
        sim_env_advance_ns(s.m.sim, 8700 * NS_PER_MS);
        sim_start(&s, text);
        sim_pass(&s, 200);
        assert_true(s.told_count > 0);
        int64_t starts_ns = s.told[0].starts_ns;
        s.told_count = 0;
        sim_crash(&s);
        sim_start(&s, text);
        sim_pass(&s, 31);
        assert_int_equal(s.told_count, 1);
        assert_int_equal(s.told[0].starts_ns, starts_ns);
        sim_fini(&s);
    }
}

static void
check_fired_at(void *context, const struct alert *alert)
{
    const struct rules_sim *s = context;
    assert_true(alert->fired_at_ns > SIM_BEGIN * NS_PER_MS);
    assert_true(alert->fired_at_ns <= env_realtime_ms(s->m.env) * NS_PER_MS);
}

static void
look_at_alerts(struct rules_sim *s, const struct agenda_job *job)
{
    group_each_alert(agenda_entry_group(job->entry), 0, check_fired_at, s);
}

/* The time at which it would fire, and the evaluation after that, are no time that fits. */
static void
test_what_fires_at_a_restart_does_so_since_a_time_before_whatever_its_rule_says_now(void **state)
{
    static struct rules_sim s;
    (void)state;
    sim_init(&s, 1,
             "groups: [{name: g, interval: 30s, rules: [{alert: A, expr: vector(1), for: 1m}]}]");
    sim_pass(&s, 4000); /* that it was pending is too long ago to be read */
    sim_crash(&s);
    s.look = look_at_alerts;
    sim_start(&s, "groups: [{name: g, interval: 30y, rules: [{alert: A, expr: vector(1), "
                  "for: 230y}]}]");
    sim_pass(&s, 60);
    sim_fini(&s);
}

/* Anybody may write a series of this name. */
static void
test_since_when_an_alert_is_active_is_not_believed_if_it_is_no_time_until_now(void **state)
{
    static struct rules_sim s;
    static const double values[] = {1e300, -1e300, NAN, 1e12};
    char text[256];
    (void)state;
    snprintf(text, sizeof text, alert_of, -1);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct rq rq;
        uint64_t bits;
        sim_init(&s, 1, text);
        sim_pass(&s, 50);
        memcpy(&bits, &values[i], sizeof bits);
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=ALERTS_FOR_STATE,alertname=Waits,job=j1,n=1");
        rq_float(&rq, env_realtime_ms(s.m.env), bits, 0);
        rq_close(&rq);
        must(machine_send(&s.m, sim_tenants[0], &rq));
        rq_fini(&rq);
        must(tsdb_commit(s.m.db, &s.m.why));
        sim_crash(&s);
        sim_start(&s, text);
        sim_pass(&s, 50);
        assert_int_equal(s.told_count, 0);
        sim_pass(&s, 100);
        assert_true(s.told_count > 0);
        sim_fini(&s);
    }
}

/* Another server evaluates the same file at the same times, and sends what comes of it with a label
 * of its own. */
static void
send_of_another(struct rules_sim *s, const struct agenda_job *job)
{
    static const char *const series[] = {
        "__name__=ALERTS,alertname=Sum,alertstate=firing,cluster=a",
        "__name__=ALERTS_FOR_STATE,alertname=Sum,cluster=a",
        "__name__=load:sum,cluster=a",
    };
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        rq_series(&rq, series[i]);
        rq_float(&rq, job->how.at_ns / NS_PER_MS, 0x3ff0000000000000, 0);
    }
    rq_close(&rq);
    must(machine_send(&s->m, sim_tenants[0], &rq));
    rq_fini(&rq);
    must(tsdb_commit(s->m.db, &s->m.why));
}

static void
test_what_another_server_with_the_same_rules_wrote_is_left_alone_after_a_restart(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char yaml[] =
        "groups: [{name: g, interval: 30s, rules: [{record: 'load:sum', expr: 'sum(load)'}, "
        "{alert: Sum, expr: 'sum(load) > 1e9', keep_firing_for: 5m}]}]";
    sim_init(&s, 1, yaml);
    s.look = send_of_another;
    sim_pass(&s, 300);
    unsigned stale, before = sim_count_samples(&s, "load:sum", &stale);
    s.look = NULL;
    for (int64_t down_s = 0; down_s < 120; down_s += 100) {
        sim_crash(&s);
        sim_pass(&s, down_s);
        sim_start(&s, yaml);
        sim_pass(&s, 100);
    }
    assert_true(sim_count_samples(&s, "load:sum", &stale) > before);
    assert_int_equal(stale, 0);
    sim_count_samples(&s, "ALERTS|ALERTS_FOR_STATE", &stale);
    assert_int_equal(stale, 0);
    assert_int_equal(s.told_count, 0);
    sim_fini(&s);
}

/* What was read at the start may be of the other one, whatever becomes of the group. */
static void
test_it_is_left_alone_by_a_reload_before_the_first_evaluation(void **state)
{
    (void)state;
    static struct rules_sim s;
    static const char sum[] = GROUP("g", "{record: 'load:sum', expr: 'sum(load)'}");
    static const char *const later[] = {GROUP("g", "{record: 'load:sum', expr: '1 * sum(load)'}"),
                                        GROUP("g", ALWAYS), NO_GROUPS};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        unsigned stale;
        sim_init(&s, 1, sum);
        s.look = send_of_another;
        sim_pass(&s, 300);
        s.look = NULL;
        sim_crash(&s);
        sim_start(&s, sum);
        sim_evaluate(&s); /* it begins */
        sim_load(&s, later[i]);
        sim_pass(&s, 120);
        sim_count_samples(&s, "load:sum", &stale);
        assert_int_equal(stale, 0);
        sim_fini(&s);
    }
}

static int64_t evaluated_ns;

static void
note_evaluation(struct rules_sim *s, const struct agenda_job *job)
{
    (void)s;
    evaluated_ns = job->how.at_ns;
}

/* The backlog of another server, which evaluated on while this one was down. */
static void
send_evaluations_of_another(struct rules_sim *s)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=firekeep_rule_group_evaluated,cluster=a,rule_group=rules.yml;g,"
                   "text_hash=0123456789abcdef");
    for (int k = 1; k <= 4; k++) {
        rq_float(&rq, (evaluated_ns + k * 30 * NS_PER_S) / NS_PER_MS, 0x403e000000000000, 0);
    }
    rq_close(&rq);
    must(machine_send(&s->m, sim_tenants[0], &rq));
    rq_fini(&rq);
    must(tsdb_commit(s->m.db, &s->m.why));
}

static void
test_evaluations_of_another_server_are_not_taken_for_those_that_were_missed(void **state)
{
    (void)state;
    static struct rules_sim s;
    unsigned stale;
    sim_init(&s, 1, GROUP("g", ALWAYS));
    s.look = note_evaluation;
    sim_pass(&s, 300);
    s.look = NULL;
    sim_crash(&s);
    sim_pass(&s, 150);
    s.started = send_evaluations_of_another;
    sim_start(&s, GROUP("g", ALWAYS));
    sim_pass(&s, 150);
    assert_int_equal(sim_count_samples(&s, "always", &stale), 600 / 30);
    sim_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_after_an_outage_what_was_recorded_is_that_of_a_server_that_never_stopped,
            tell_seed),
        cmocka_unit_test_teardown(
            test_that_an_alert_that_was_kept_firing_is_over_is_told_again_after_a_restart,
            tell_seed),
        cmocka_unit_test_teardown(
            test_what_was_over_while_the_clock_was_set_back_is_stale_and_does_not_fire_after_a_restart,
            tell_seed),
        cmocka_unit_test_teardown(
            test_what_was_written_while_the_clock_was_ahead_does_not_fire_after_a_restart,
            tell_seed),
        cmocka_unit_test_teardown(
            test_what_was_recorded_is_not_recorded_again_when_the_clock_was_set_back_at_a_restart,
            tell_seed),
        cmocka_unit_test_teardown(
            test_an_alert_that_fires_is_told_to_do_so_since_the_same_time_after_a_restart,
            tell_seed),
        cmocka_unit_test(test_alerts_are_restored_when_limits_of_queries_are_lower_than_before),
        cmocka_unit_test(test_an_alert_that_another_group_told_of_at_other_times_is_left_to_it),
        cmocka_unit_test(test_a_rule_may_record_as_many_series_as_its_limit_and_no_more),
        cmocka_unit_test(
            test_an_alert_is_not_kept_firing_for_longer_by_a_server_that_restarts_often),
        cmocka_unit_test(
            test_what_was_pending_waits_for_the_rest_of_its_time_or_for_the_grace_period),
        cmocka_unit_test(
            test_what_became_active_before_the_outage_tolerance_is_told_to_be_over_again),
        cmocka_unit_test(
            test_what_was_over_is_told_for_15_minutes_after_a_restart_unless_it_was_pending_again),
        cmocka_unit_test(
            test_what_fires_at_a_restart_does_so_since_a_time_before_whatever_its_rule_says_now),
        cmocka_unit_test(
            test_since_when_an_alert_is_active_is_not_believed_if_it_is_no_time_until_now),
        cmocka_unit_test(
            test_after_a_store_that_refused_for_long_what_was_recorded_is_that_of_one_that_did_not),
        cmocka_unit_test(
            test_what_another_server_with_the_same_rules_wrote_is_left_alone_after_a_restart),
        cmocka_unit_test(test_it_is_left_alone_by_a_reload_before_the_first_evaluation),
        cmocka_unit_test(
            test_evaluations_of_another_server_are_not_taken_for_those_that_were_missed),
        cmocka_unit_test(test_input_is_awaited_from_the_end_of_a_refusal_on_also_by_the_only_group),
        cmocka_unit_test(
            test_input_is_awaited_also_if_the_store_refuses_once_more_before_all_is_made_up),
        cmocka_unit_test(
            test_a_clock_that_was_wrong_for_minutes_leaves_no_hole_in_what_is_recorded),
        cmocka_unit_test_teardown(test_alerts_go_on_as_they_were_whatever_happens_to_the_server,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
