/*
 * alerts_resend_test.c - the sends of a resolved alert, from the evaluation that resolves it to the
 * Alertmanager, at the intervals at which one falls on the last moment of the 15 minutes.
 */
#include "lib/notify/notify_rig.h"
#include "lib/test.h"
/* It needs the macros of the headers above. */
#include "sim/rules_sim.h"

#define URL "http://h:9093/api/v2/alerts"

enum { RESEND_S = 60, SENDS_MAX = 64, FIRES_S = 1200 };

static struct world {
    struct rules_sim s;
    struct notify_rig rig;
    bool is_away;
    unsigned firing_count;
    unsigned resolved_count;
    int64_t resolved_at_ms[SENDS_MAX]; /* times of the requests */
    int64_t ends_ms[SENDS_MAX];
} w;

static void
serve(struct notify_rig *rig, struct fake_call *call)
{
    int64_t now_ms = env_realtime_ms(w.s.m.env);
    json_t *list =
        json_loadb((const char *)call->request.body.at, call->request.body.size, 0, NULL);
    (void)rig;
    call->after_ms = 5;
    if (w.is_away) call->answer.status = 503;
    assert_int_equal(json_array_size(list), 1);
    int64_t ends_ms = alert_time_of(json_array_get(list, 0), "endsAt");
    json_decref(list);
    if (w.is_away) return;
    if (ends_ms > now_ms) {
        w.firing_count++;
        return;
    }
    assert_true(w.resolved_count < SENDS_MAX);
    w.resolved_at_ms[w.resolved_count] = now_ms;
    w.ends_ms[w.resolved_count++] = ends_ms;
}

static void
notify(struct rules_sim *s, const struct alert_notice *notices, uint32_t count)
{
    (void)s;
    notifier_send(w.rig.notifier, notices, count);
}

static void
wait_for(struct rules_sim *s, int64_t ns)
{
    int64_t until_ns = env_monotonic_ns(s->m.env) + ns;
    for (int64_t left_ns; (left_ns = until_ns - env_monotonic_ns(s->m.env)) >= NS_PER_MS;)
        notifier_step(w.rig.notifier, (int)(left_ns / NS_PER_MS));
}

static const struct member *
member(void)
{
    const struct members *members = &w.rig.notifier->config->items[0]->members;
    assert_int_equal(members->count, 1);
    return members->items[0];
}

/* Starts a server whose only alert fires for FIRES_S, and its Alertmanager. */
static void
begin(unsigned interval_s)
{
    char yaml[256];
    memset(&w, 0, sizeof w);
    snprintf(yaml, sizeof yaml,
             "groups: [{name: g, interval: %us, rules: [{alert: Ends, expr: vector(time()) < "
             "%lld}]}]\n",
             interval_s, SIM_BEGIN / 1000 + FIRES_S);
    sim_init(&w.s, 1, yaml);
    w.s.notify = notify;
    w.s.wait = wait_for;
    notify_rig_init_on(&w.rig, w.s.m.sim, serve);
    w.rig.limits = (struct notifier_limits){
        .queue_capacity = 10000, .batch_size = 256, .pause_max_ms = RESEND_S * 1000};
    notify_rig_add(&w.rig);
    notify_rig_target(&w.rig, "h:9093");
    notify_rig_start(&w.rig);
}

static void
end(void)
{
    notify_rig_fini(&w.rig);
    sim_fini(&w.s);
}

/* Returns the time between two sends: until the first evaluation more than RESEND_S later. */
static unsigned
resend_s(unsigned interval_s)
{
    return (RESEND_S / interval_s + 1) * interval_s;
}

UNIT_TEST(test_a_resolved_alert_is_sent_for_15_minutes_to_the_last_evaluation)
{
    static const unsigned intervals_s[] = {15, 30, 180, 300};
    for (unsigned i = 0; i < sizeof intervals_s / sizeof *intervals_s; i++) {
        unsigned each_s = resend_s(intervals_s[i]);
        assert_int_equal(900 % each_s, 0); /* else no send falls on the last moment */
        begin(intervals_s[i]);
        sim_pass(&w.s, FIRES_S + 300 + 900 + 600);
        assert_int_equal(w.resolved_count, 900 / each_s + 1);
        for (unsigned k = 0; k < w.resolved_count; k++) {
            assert_true(w.ends_ms[k] == w.ends_ms[0]);
            int64_t after_ms = w.resolved_at_ms[k] - w.ends_ms[0];
            assert_in_range(after_ms, k * each_s * 1000, k * each_s * 1000 + 5000);
        }
        assert_true(w.firing_count > 0);
        assert_int_equal(member()->dropped, 0);
        assert_int_equal(member()->queue.waiting.count, 0);
        end();
    }
}

UNIT_TEST(test_an_alertmanager_back_after_long_gets_no_alerts_that_ended)
{
    begin(30);
    sim_pass(&w.s, FIRES_S);
    w.is_away = true;
    sim_pass(&w.s, 900 + 900 + 120);
    assert_int_equal(member()->queue.waiting.count, 0);
    assert_int_equal(member()->dropped, 1);
    w.is_away = false;
    sim_pass(&w.s, 300);
    assert_int_equal(w.resolved_count, 0);
    end();
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_resolved_alert_is_sent_for_15_minutes_to_the_last_evaluation),
        cmocka_unit_test(test_an_alertmanager_back_after_long_gets_no_alerts_that_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
