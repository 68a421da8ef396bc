/*
 * rules_life_test.c - lives of a server with rules, from seeds, beside one to which nothing
 * happens. The server crashes, stops, dies between any two steps of a commit, a checkpoint and a
 * send; its store refuses; its clock is an hour ahead for a while; backlogs come late; rules are
 * edited.
 *
 *   a. In the end it has recorded the same as the other one: the same series, samples and
 *      staleness markers, none missing and none added.
 *   b. It sends that an alert is resolved only when the other one does not have the alert.
 *   c. An alert that it sent as resolved does not fire again since the same time.
 *   d. In the end the same alerts are active on both, except those that are kept firing, and each
 *      that has fired for two seconds was sent within the last two minutes.
 *
 * SEEDS is the number of lives, SEED the number of the first; a failure prints its seed.
 */
#include "sim/rules_sim.h"

enum {
    TROUBLES = 8,
    CALM_S = 2700,
    ALERTS_MAX = 64,
    CHECKPOINT_S = 2 /* a change is saved and sent within this time */
};

#define RECORDS                                                                         \
    "- name: first\n"                                                                   \
    "  interval: 30s\n"                                                                 \
    "  rules:\n"                                                                        \
    "  - {record: \"job:rate2m\", expr: \"sum by (job) (rate(requests_total[2m]))\"}\n" \
    "  - {record: \"load:high\", expr: \"load > 50\"}\n"                                \
    "  - {record: \"load:over\", expr: \"load > 30\", labels: {than: \"30\"}}\n"        \
    "  - {record: \"load:over\", expr: \"load > 60\", labels: {than: \"60\"}}\n"        \
    "- name: second\n"                                                                  \
    "  interval: 1m\n"                                                                  \
    "  rules:\n"                                                                        \
    "  - {record: \"job:hour\", expr: \"sum_over_time(job:rate2m[20m])\"}\n"            \
    "  - {record: \"load:count\", expr: \"count by (job) (load:high)\"}\n"              \
    "- name: third\n"                                                                   \
    "  interval: 20s\n"                                                                 \
    "  rules:\n"                                                                        \
    "  - {record: always, expr: vector(1)}\n"                                           \
    "  - {record: \"always:before\", expr: \"always offset 1m\"}\n"
#define ALERTS                                                                                 \
    "- name: alerts\n"                                                                         \
    "  interval: 30s\n"                                                                        \
    "  rules:\n"                                                                               \
    "  - {alert: Waits, expr: \"load > 40\", for: 2m, labels: {sev: \"{{ $labels.job }}\"}}\n" \
    "  - {alert: Lasts, expr: \"load > 60\", keep_firing_for: 3m}\n"                           \
    "  - {alert: Long, expr: \"requests_total > 0\", for: 15m}\n"                              \
    "  - {record: \"load:sum\", expr: \"sum(load)\"}\n"                                        \
    "- name: other\n"                                                                          \
    "  interval: 1m\n"                                                                         \
    "  rules:\n"                                                                               \
    "  - {alert: Many, expr: \"load:count > 0\"}\n"                                            \
    "  - {alert: Absent, expr: \"absent(job:rate2m)\"}\n"

static const char rules[] = "groups:\n" RECORDS ALERTS;
static const char edited[] = "groups:\n" RECORDS ALERTS "  limit: 1000\n";
static const char without_alerts[] = "groups:\n" RECORDS "- name: alerts\n"
                                     "  interval: 30s\n"
                                     "  rules: [{record: \"load:sum\", expr: \"sum(load)\"}]\n";
static const char names[] = "job:.*|load:.*|always.*";

struct notice {
    char labels[160];
    int64_t resolved_starts_ns; /* start of the episode that was last sent as resolved */
    int64_t sent_ns;            /* Unix: when it was last sent as firing */
};

struct life {
    struct rules_sim whole, broken;
    struct notice notices[ALERTS_MAX];
    uint32_t notice_count;
    bool compares; /* both clocks are the same */
};

static struct life life;
static uint64_t seed;

/* --- alerts ----------------------------------------------------------------------------------- */

struct found {
    struct bytes labels;
    bool is_active, is_kept;
};

static void
compare_alert(void *context, const struct alert *alert)
{
    struct found *f = context;
    if (!bytes_equal(alert->labels, f->labels)) return;
    f->is_active |= alert_is_active(alert);
    f->is_kept |= alert->keep_firing_since_ns != 0;
}

static struct found
find_alert(struct rules_sim *s, struct bytes labels)
{
    struct found f = {labels, false, false};
    for (uint32_t i = 0; i < s->scheduler->count; i++) {
        struct group *g = s->scheduler->items[i]->group;
        for (uint32_t k = 0; k < g->text.rule_count; k++)
            group_each_alert(g, k, compare_alert, &f);
    }
    return f;
}

static struct notice *
notice_of(struct bytes labels)
{
    char text[160];
    struct buf to;
    buf_init(&to, NULL, sizeof text - 1);
    labels_print(&to, labels);
    snprintf(text, sizeof text, "%.*s", (int)to.size, (const char *)to.at);
    buf_fini(&to);
    for (uint32_t i = 0; i < life.notice_count; i++)
        if (strcmp(life.notices[i].labels, text) == 0) return &life.notices[i];
    assert_true(life.notice_count < ALERTS_MAX);
    struct notice *n = &life.notices[life.notice_count++];
    *n = (struct notice){.resolved_starts_ns = -1};
    snprintf(n->labels, sizeof n->labels, "%s", text);
    return n;
}

static void
look_at_notices(struct rules_sim *s, const struct alert_notice *notices, uint32_t count)
{
    int64_t now_ns = env_realtime_ms(s->m.env) * NS_PER_MS;
    for (uint32_t i = 0; i < count; i++) {
        struct notice *n = notice_of(notices[i].labels);
        if (notices[i].ends_ns > now_ns) {
            if (notices[i].starts_ns == n->resolved_starts_ns) /* c */
                fail_msg("seed %llu: %s fires again", (unsigned long long)seed, n->labels);
            n->sent_ns = now_ns;
        } else {
            n->resolved_starts_ns = notices[i].starts_ns;
            bool is_new =
                now_ns - notices[i].ends_ns < 40 * NS_PER_S; /* an ended alert is sent for longer */
            struct found f = find_alert(&life.whole, notices[i].labels);
            bool is_there = f.is_active && !f.is_kept; /* an outage counts for keep_firing_for */
            if (is_new && is_there && life.compares)   /* b */
                fail_msg("seed %llu: %s is resolved", (unsigned long long)seed, n->labels);
        }
    }
}

static void
ignore_notices(struct rules_sim *s, const struct alert_notice *notices, uint32_t count)
{
    (void)s, (void)notices, (void)count;
}

static void
check_active(void *context, const struct alert *alert)
{
    struct rules_sim *s = context;
    struct rules_sim *other = s == &life.whole ? &life.broken : &life.whole;
    int64_t now_ns = env_realtime_ms(s->m.env) * NS_PER_MS;
    if (!alert_is_active(alert) || alert->keep_firing_since_ns != 0) return;
    struct found f = find_alert(other, alert->labels);
    struct notice *n = notice_of(alert->labels);
    if (!f.is_active) /* d */
        fail_msg("seed %llu: %s is active on one", (unsigned long long)seed, n->labels);
    if (s != &life.broken || alert->state != ALERT_FIRING) return;
    if (now_ns - alert->fired_at_ns < CHECKPOINT_S * NS_PER_S) return;
    if (now_ns - n->sent_ns > 120 * NS_PER_S)
        fail_msg("seed %llu: %s fires and is not sent", (unsigned long long)seed, n->labels);
}

static void
check_alerts(struct rules_sim *s)
{
    for (uint32_t i = 0; i < s->scheduler->count; i++) {
        struct group *g = s->scheduler->items[i]->group;
        for (uint32_t k = 0; k < g->text.rule_count; k++)
            group_each_alert(g, k, check_active, s);
    }
}

/* --- time and trouble ------------------------------------------------------------------------- */

static uint64_t
below(uint64_t n)
{
    return sim_env_random(life.broken.m.sim) % n;
}

static void
start_again(const char *yaml)
{
    struct rules_sim *s = &life.broken;
    if (s->m.db == NULL) sim_start(s, yaml);
}

/* Lets both servers live on, second by second. A server that died starts again after a while. */
static void
pass(int64_t seconds)
{
    struct rules_sim *s = &life.broken;
    for (int64_t i = 0, up_at = -1; i < seconds; i++) {
        sim_pass(&life.whole, 1);
        sim_pass(s, 1);
        if (s->is_dead) {
            sim_crash(s);
            up_at = i + 1 + (int64_t)below(200);
        }
        if (i == up_at) start_again(rules);
    }
    if (s->m.db == NULL && s->dies_in == 0 && s->scheduler == NULL) start_again(rules);
}

static void
be_down(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        sim_pass(&life.whole, 1);
        sim_pass(&life.broken, 1);
    }
    start_again(rules);
}

static void
refuse(int64_t seconds)
{
    struct rules_sim *s = &life.broken;
    s->mute = s->write_fails = true; /* senders are refused as well */
    pass(seconds);
    s->write_fails = false;
    pass(20); /* they come back later */
    s->mute = false;
}

static void
be_ahead(void)
{
    struct rules_sim *s = &life.broken;
    s->mute = true;
    life.compares = false;
    sim_shift_clock(s, 3600);
    pass(300);
    sim_shift_clock(s, -3600);
    life.compares = true;
    s->mute = false;
}

static void
edit(void)
{
    struct rules_sim *s = &life.broken;
    sim_load(s, edited);
    pass((int64_t)below(90));
    sim_load(s, rules);
    pass((int64_t)below(90));
    life.compares = false; /* alerts that are not configured are not sent */
    sim_load(s, without_alerts);
    pass((int64_t)below(40));
    sim_load(s, rules);
    life.compares = true;
}

static void
meet_trouble(void)
{
    struct rules_sim *s = &life.broken;
    switch (below(7)) {
    case 0:
        sim_crash(s);
        be_down(1 + (int64_t)below(2400));
        break;
    case 1:
        sim_stop(s);
        be_down(1 + (int64_t)below(100));
        break;
    case 2:
        refuse(130 + (int64_t)below(400)); /* long enough for each group to notice it */
        break;
    case 3:
        be_ahead();
        break;
    case 4:
        edit();
        break;
    default: /* dies between any two steps, several times */
        for (int i = 0; i < 4; i++) {
            s->dies_in = 1 + (unsigned)below(30);
            pass(30 + (int64_t)below(400));
        }
        s->dies_in = 0;
        break;
    }
}

static void
live(void)
{
    struct rules_sim *s = &life.broken;
    memset(&life, 0, sizeof life);
    sim_init(&life.whole, seed, rules);
    sim_init(s, seed, rules);
    s->limits.catch_up_wait_ns = 7200 * NS_PER_S; /* alerts are held for no longer than this */
    sim_load(s, rules);
    life.compares = true;
    life.whole.notify = ignore_notices;
    s->notify = look_at_notices;
    s->per_second = 20 + (int64_t)below(100);
    pass(600 + (int64_t)below(600));
    for (unsigned i = 0; i < TROUBLES; i++) {
        meet_trouble();
        pass(below(2) == 0 ? (int64_t)below(300) : CALM_S);
    }
    pass(CALM_S);
    check_alerts(&life.whole);
    check_alerts(s);
    sim_assert_same(&life.whole, s, names, env_realtime_ms(s->m.env) - 120000); /* a */
    sim_fini(&life.whole);
    sim_fini(s);
}

static int
print_seed(void **state)
{
    (void)state;
    printf("the last life was that of seed %llu\n", (unsigned long long)seed);
    return 0;
}

UNIT_TEST(test_faults_do_not_change_recorded_samples_and_notifications)
{
    const char *given = getenv("SEED");
    uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);
    for (seed = first; seed < first + sim_seed_count(4); seed++)
        live();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_faults_do_not_change_recorded_samples_and_notifications,
                                  print_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
