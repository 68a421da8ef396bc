/* alerts_test.c - alerts change states as in Prometheus. */
#include "lib/test.h"

#include "rules/group/alerts.h"
#include "sys/env.h"

#define S NS_PER_S

struct rig {
    struct alerts alerts;
    struct buf a, b; /* labels of two alerts */
    struct alert_terms terms;
    bool has_changed;
};

static void
label(struct buf *to, const char *value)
{
    buf_init(to, NULL, 256);
    labels_put(to, (struct label){bytes_of_text("n"), bytes_of_text(value)});
}

static void
rig_init(struct rig *r, int64_t for_s, int64_t keep_s)
{
    *r = (struct rig){.terms = {.for_ns = for_s * S, .keep_firing_ns = keep_s * S}};
    alerts_init(&r->alerts, NULL, 7);
    label(&r->a, "a");
    label(&r->b, "b");
}

static void
rig_fini(struct rig *r)
{
    alerts_fini(&r->alerts);
    buf_fini(&r->a);
    buf_fini(&r->b);
}

/* Evaluates; the result has a, b, or both. */
static enum err
evaluate(struct rig *r, int64_t at_s, const char *finds, uint32_t *ret_active)
{
    static const struct label note = {{(const uint8_t *)"k", 1}, {(const uint8_t *)"v", 1}};
    struct alert_found found[2];
    uint32_t count = 0;
    for (; *finds != '\0'; finds++) {
        struct bytes labels = buf_bytes(*finds == 'a' ? &r->a : &r->b);
        found[count++] = (struct alert_found){labels, &note, 1, 1};
    }
    alerts_forget_over(&r->alerts, at_s * S);
    r->has_changed = false;
    return alerts_evaluate(&r->alerts, &r->terms, at_s * S, found, count, ret_active,
                           &r->has_changed);
}

static const struct alert *
after(struct rig *r, int64_t at_s, const char *finds)
{
    uint32_t active;
    assert_int_equal(evaluate(r, at_s, finds, &active), OK);
    return alerts_find(&r->alerts, buf_bytes(&r->a));
}

UNIT_TEST(test_an_alert_fires_when_it_was_pending_for_long_enough)
{
    struct rig r;
    rig_init(&r, 60, 0);
    assert_int_equal(after(&r, 1000, "a")->state, ALERT_PENDING);
    assert_int_equal(after(&r, 1059, "ab")->state, ALERT_PENDING);
    const struct alert *a = after(&r, 1060, "ab");
    assert_int_equal(a->state, ALERT_FIRING);
    assert_int_equal(a->active_at_ns, 1000 * S);
    assert_int_equal(a->fired_at_ns, 1060 * S);
    assert_int_equal(a->annotations->count, 1);
    rig_fini(&r);
}

UNIT_TEST(test_a_pending_alert_that_is_not_found_is_forgotten)
{
    struct rig r;
    rig_init(&r, 60, 0);
    after(&r, 1000, "a");
    assert_null(after(&r, 1030, "b"));
    assert_int_equal(after(&r, 1060, "a")->active_at_ns, 1060 * S);
    rig_fini(&r);
}

UNIT_TEST(test_a_resolved_alert_is_kept_15_minutes_and_may_fire_again)
{
    struct rig r;
    rig_init(&r, 0, 0);
    assert_int_equal(after(&r, 1000, "a")->state, ALERT_FIRING);
    const struct alert *a = after(&r, 1060, "");
    assert_int_equal(a->state, ALERT_INACTIVE);
    assert_int_equal(a->resolved_at_ns, 1060 * S);
    assert_non_null(after(&r, 1060 + 900, ""));
    assert_null(after(&r, 1060 + 901, ""));
    after(&r, 3000, "a");
    after(&r, 3060, "");
    a = after(&r, 3120, "a");
    assert_int_equal(a->active_at_ns, 3120 * S);
    assert_int_equal(a->resolved_at_ns, 0);
    rig_fini(&r);
}

UNIT_TEST(test_keep_firing_for_begins_when_an_evaluation_misses_the_alert)
{
    struct rig r;
    rig_init(&r, 0, 120);
    after(&r, 1000, "a");
    assert_int_equal(after(&r, 1060, "")->keep_firing_since_ns, 1060 * S);
    assert_int_equal(after(&r, 1179, "")->state, ALERT_FIRING);
    assert_int_equal(after(&r, 1179, "a")->keep_firing_since_ns, 0);
    after(&r, 1200, "");
    assert_int_equal(after(&r, 1320, "")->state, ALERT_INACTIVE);
    rig_fini(&r);
}

UNIT_TEST(test_a_held_alert_keeps_its_state)
{
    struct rig r;
    rig_init(&r, 60, 0);
    after(&r, 1000, "ab");
    after(&r, 1060, "b");
    assert_null(after(&r, 1061, "b"));
    after(&r, 1100, "ab");
    r.terms.holds = true;
    assert_int_equal(after(&r, 1200, "")->state, ALERT_PENDING);
    assert_int_equal(alerts_find(&r.alerts, buf_bytes(&r.b))->state, ALERT_FIRING);
    r.terms.holds = false;
    assert_null(after(&r, 1260, ""));
    assert_int_equal(alerts_find(&r.alerts, buf_bytes(&r.b))->resolved_at_ns, 1260 * S);
    rig_fini(&r);
}

UNIT_TEST(test_more_alerts_than_the_limit_are_forgotten_together)
{
    struct rig r;
    uint32_t active = 0;
    rig_init(&r, 0, 0);
    r.terms.limit = 1;
    after(&r, 1000, "a");
    assert_int_equal(evaluate(&r, 1060, "ab", &active), ERR_LIMIT);
    assert_int_equal(active, 2);
    assert_int_equal(r.alerts.count, 0);
    rig_fini(&r);
}

UNIT_TEST(test_an_alert_is_due_when_it_changed_or_expires)
{
    struct alert alert = {.state = ALERT_PENDING};
    assert_false(alert_is_due(&alert, 1000 * S, 30 * S, 60 * S));
    alert.state = ALERT_FIRING;
    assert_true(alert_is_due(&alert, 1000 * S, 30 * S, 60 * S));
    alert.sent_at_ns = 1000 * S;
    alert.valid_until_ns = 1240 * S;
    assert_false(alert_is_due(&alert, 1060 * S, 30 * S, 60 * S));
    assert_true(alert_is_due(&alert, 1061 * S, 30 * S, 60 * S));
    assert_false(alert_is_due(&alert, 1010 * S, 30 * S, 200 * S));
    assert_true(alert_is_due(&alert, 1011 * S, 30 * S, 200 * S));
    alert.state = ALERT_INACTIVE;
    alert.resolved_at_ns = 1001 * S;
    assert_true(alert_is_due(&alert, 1002 * S, 30 * S, 60 * S));
}

UNIT_TEST(test_a_clock_that_is_set_back_makes_nothing_wait)
{
    struct rig r;
    rig_init(&r, 60, 0);
    after(&r, 10000, "a");
    struct alert *told = alerts_find(&r.alerts, buf_bytes(&r.a));
    told->sent_at_ns = 10000 * S;
    told->valid_until_ns = 10240 * S;
    assert_int_equal(after(&r, 5000, "a")->active_at_ns, 5000 * S);
    const struct alert *a = after(&r, 5060, "a");
    assert_int_equal(a->state, ALERT_FIRING);
    assert_true(alert_is_due(a, 5060 * S, 30 * S, 60 * S));
    rig_fini(&r);
}

UNIT_TEST(test_a_refused_allocation_changes_nothing)
{
    struct rig r;
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        uint32_t active;
        rig_init(&r, 0, 0);
        after(&r, 1000, "a");
        mem_fail_nth(n, false);
        enum err e = evaluate(&r, 1060, "ab", &active);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(r.alerts.count, fired ? 1 : 2);
        assert_int_equal(alerts_find(&r.alerts, buf_bytes(&r.a))->state, ALERT_FIRING);
        rig_fini(&r);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_alert_fires_when_it_was_pending_for_long_enough),
        cmocka_unit_test(test_a_pending_alert_that_is_not_found_is_forgotten),
        cmocka_unit_test(test_a_resolved_alert_is_kept_15_minutes_and_may_fire_again),
        cmocka_unit_test(test_keep_firing_for_begins_when_an_evaluation_misses_the_alert),
        cmocka_unit_test(test_a_held_alert_keeps_its_state),
        cmocka_unit_test(test_more_alerts_than_the_limit_are_forgotten_together),
        cmocka_unit_test(test_an_alert_is_due_when_it_changed_or_expires),
        cmocka_unit_test(test_a_clock_that_is_set_back_makes_nothing_wait),
        cmocka_unit_test(test_a_refused_allocation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
