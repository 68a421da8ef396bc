/* What is decided about a member: when it is asked, how much at a time, and what is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/member.h"
#include "notify/notify_testing.h"

enum { QUEUE_MAX = 1000, BATCH = 256 };

static struct budget budget;
static struct member *member;
static struct buf body;
static int64_t now_ns;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    assert_int_equal(member_new(&budget, "http://a:9093/api/v2/alerts", QUEUE_MAX, &member), OK);
    buf_init(&body, NULL, 64 << 20);
    now_ns = 5 * NS_PER_S;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    member_free(member);
    buf_fini(&body);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static void
put(const char *name, int64_t starts_ms)
{
    struct encoded_alert *alert = made_alert(&budget, name, starts_ms, 1000);
    member_put(member, alert);
    encoded_alert_unref(alert);
}

static void
put_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        put(name, 1);
    }
}

/* Begins a request; how many alerts it has. */
static uint32_t
take(void)
{
    buf_clear(&body);
    assert_true(member_due_ns(member) <= now_ns);
    assert_true(member_take(member, BATCH, now_ns, 0, &body));
    assert_true(member_due_ns(member) == INT64_MAX); /* one at a time */
    return member->queue.taken.count;
}

static void
expect_pause(int64_t ms)
{
    assert_int_equal(member_due_ns(member) - now_ns, ms * NS_PER_MS);
}

static void
fail_once(int64_t wait_ms)
{
    now_ns = member_due_ns(member);
    (void)take();
    (void)member_settle(member, MEMBER_LATER, wait_ms, now_ns);
}

static void
test_a_member_without_alerts_is_not_asked(void **state)
{
    (void)state;
    assert_true(member_due_ns(member) == INT64_MAX);
    assert_false(member_take(member, BATCH, now_ns, 0, &body));
}

static void
test_what_is_told_is_counted_and_gone(void **state)
{
    (void)state;
    put_many(0, 300);
    assert_int_equal(take(), BATCH);
    assert_int_equal(member_settle(member, MEMBER_TOLD, 0, now_ns), MEMBER_NO_NEWS);
    assert_int_equal(take(), 300 - BATCH);
    assert_int_equal(member_settle(member, MEMBER_TOLD, 0, now_ns), MEMBER_NO_NEWS);
    assert_int_equal(member->sent, 300);
    assert_int_equal(member->errors, 0);
    assert_true(member_due_ns(member) == INT64_MAX);
}

static void
test_pauses_grow_to_half_a_minute_and_end_with_success(void **state)
{
    (void)state;
    static const int64_t pauses_s[] = {1, 2, 4, 8, 16, 30, 30};
    put("a", 1);
    for (unsigned i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
        (void)take();
        enum member_news news = member_settle(member, MEMBER_LATER, 0, now_ns);
        assert_int_equal(news, i == 0 ? MEMBER_FAILS : MEMBER_NO_NEWS);
        expect_pause(pauses_s[i] * 1000);
        now_ns = member_due_ns(member);
    }
    (void)take();
    assert_int_equal(member_settle(member, MEMBER_TOLD, 0, now_ns), MEMBER_IS_BACK);
    assert_int_equal(member->errors, 7);
    put("a", 2);
    fail_once(0);
    expect_pause(1000);
}

static void
test_pauses_are_not_longer_than_wanted(void **state)
{
    (void)state;
    static const struct {
        int64_t max_ms, pauses_ms[5], asked_40000_ms;
    } cases[] = {
        {5000, {1000, 2000, 4000, 5000, 5000}, 30000},
        {200, {1000, 1000, 1000, 1000, 1000}, 30000},
        {3600 * 1000, {1000, 2000, 4000, 8000, 16000}, 40000},
    };
    put("a", 1);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        member->pause.max_ms = cases[i].max_ms;
        for (unsigned k = 0; k < 5; k++) {
            fail_once(0);
            expect_pause(cases[i].pauses_ms[k]);
        }
        fail_once(40000);
        expect_pause(cases[i].asked_40000_ms);
        member_forget_failures(member);
    }
}

static void
test_retry_after_is_obeyed_for_ten_minutes_at_most(void **state)
{
    (void)state;
    put("a", 1);
    fail_once(7000);
    expect_pause(7000);
    fail_once(1500);
    expect_pause(2000);
    fail_once(24 * 3600 * 1000);
    expect_pause(PAUSE_ASKED_MAX_MS);
}

/* Or else it would take for resolved what fires on. */
static void
test_retry_after_is_obeyed_for_half_of_the_time_that_an_alert_is_valid_at_most(void **state)
{
    (void)state;
    member->pause.max_ms = 60 * 1000; /* an alert is valid for four minutes */
    put("a", 1);
    fail_once(100 * 1000);
    expect_pause(100 * 1000);
    fail_once(600 * 1000);
    expect_pause(120 * 1000);
}

static void
test_a_newer_state_that_came_meanwhile_is_the_one_that_is_told(void **state)
{
    (void)state;
    char text[64];
    put("a", 1);
    put("b", 1);
    (void)take();
    put("a", 2);
    (void)member_settle(member, MEMBER_LATER, 0, now_ns);
    now_ns = member_due_ns(member);
    (void)take();
    alerts_text(buf_bytes(&body), text, sizeof text);
    assert_string_equal(text, "b:1 a:2");
}

static void
test_a_queue_that_overflows_drops_the_oldest_and_counts_them(void **state)
{
    (void)state;
    member_set_queue_max(member, 3);
    put_many(0, 3);
    (void)take(); /* what is under way is not in the queue */
    put_many(3, 6);
    assert_int_equal(member->dropped, 0);
    (void)member_settle(member, MEMBER_LATER, 0, now_ns);
    assert_int_equal(member->dropped, 3);
    assert_int_equal(member->queue.waiting.count, 3);
    member_set_queue_max(member, 1);
    assert_int_equal(member->dropped, 5);
}

static void
test_expired_alerts_are_dropped_before_they_are_told(void **state)
{
    (void)state;
    put("a", 1);
    assert_false(member_take(member, BATCH, now_ns, 1000 + ENCODED_ALERT_KEPT_MS, &body));
    assert_int_equal(member->dropped, 1);
    assert_true(member_due_ns(member) == INT64_MAX);
}

/* Tells all there is to a server that refuses requests with some of the alerts. Returns how many
 * requests it took. */
static unsigned
tell_all(const bool *is_bad)
{
    unsigned requests = 0;
    char text[1 << 16];
    while (member->queue.waiting.count > 0) {
        now_ns = now_ns > member_due_ns(member) ? now_ns : member_due_ns(member);
        (void)take();
        alerts_text(buf_bytes(&body), text, sizeof text);
        bool bad = false;
        for (const char *at = text; at != NULL; at = strchr(at + 1, ' ')) {
            bad |= is_bad[atoi(at + strcspn(at, "n") + 1)];
        }
        (void)member_settle(member, bad ? MEMBER_REFUSED : MEMBER_TOLD, 0, now_ns);
        requests++;
    }
    return requests;
}

static void
test_one_invalid_alert_is_found_and_dropped_alone(void **state)
{
    (void)state;
    for (int bad = 0; bad < BATCH; bad++) {
        bool is_bad[QUEUE_MAX] = {[0] = false};
        is_bad[bad] = true;
        uint64_t sent = member->sent, dropped = member->dropped;
        put_many(0, BATCH);
        member->batch_max = UINT32_MAX; /* nothing was refused before */
        unsigned requests = tell_all(is_bad);
        if (requests > 32) fail_msg("alert %d: %u requests", bad, requests);
        assert_int_equal(member->sent - sent, BATCH - 1);
        assert_int_equal(member->dropped - dropped, 1);
    }
}

static void
test_many_invalid_alerts_cost_few_requests_each(void **state)
{
    (void)state;
    bool is_bad[QUEUE_MAX];
    memset(is_bad, true, sizeof is_bad);
    put_many(0, QUEUE_MAX);
    int64_t began_ns = now_ns;
    assert_true(tell_all(is_bad) < QUEUE_MAX + 20);
    assert_int_equal(member->dropped, QUEUE_MAX);
    /* Not as fast as the server can answer. */
    assert_true(now_ns - began_ns > (QUEUE_MAX - 100) * MEMBER_REFUSED_PAUSE_MS * NS_PER_MS);
    memset(is_bad, false, sizeof is_bad);
    for (int i = 0; i < QUEUE_MAX; i += 50) {
        is_bad[i] = true;
    }
    put_many(0, QUEUE_MAX);
    assert_true(tell_all(is_bad) < QUEUE_MAX / 50 * 24);
    assert_int_equal(member->dropped, QUEUE_MAX + QUEUE_MAX / 50);
}

static void
refuse_one(const char *name)
{
    put(name, 1);
    now_ns = member_due_ns(member) > now_ns ? member_due_ns(member) : now_ns;
    (void)take();
    (void)member_settle(member, MEMBER_REFUSED, 0, now_ns);
}

static void
test_a_member_that_takes_an_alert_is_asked_at_once_again_when_it_refuses_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MEMBER_REFUSED_AT_ONCE; i++) {
        refuse_one("bad");
    }
    put("bad", 1);
    expect_pause(0);
    refuse_one("bad");
    put("good", 1);
    expect_pause(MEMBER_REFUSED_PAUSE_MS);
    now_ns = member_due_ns(member);
    (void)take();
    (void)member_settle(member, MEMBER_TOLD, 0, now_ns);
    refuse_one("bad");
    put("good", 2);
    expect_pause(0);
}

static void
test_a_refusal_of_one_alert_is_news(void **state)
{
    (void)state;
    put("a", 1);
    (void)take();
    assert_int_equal(member_settle(member, MEMBER_REFUSED, 0, now_ns), MEMBER_DROPPED_ONE);
    assert_int_equal(member->errors, 1);
    assert_int_equal(member->dropped, 1);
}

static void
test_what_was_learnt_is_tried_at_once_and_only_once(void **state)
{
    (void)state;
    put("a", 1);
    (void)take();
    assert_int_equal(member_settle(member, MEMBER_AGAIN, 0, now_ns), MEMBER_NO_NEWS);
    expect_pause(0);
    (void)take();
    assert_int_equal(member->errors, 1);
    assert_int_equal(member_settle(member, MEMBER_AGAIN, 0, now_ns), MEMBER_FAILS);
    expect_pause(1000);
    assert_int_equal(member->errors, 2);
}

static void
test_another_way_to_it_ends_its_pause(void **state)
{
    (void)state;
    put("a", 1);
    fail_once(60000);
    member_forget_failures(member);
    assert_true(member_due_ns(member) <= now_ns);
}

static void
test_that_another_way_to_it_fails_too_is_news(void **state)
{
    (void)state;
    put("a", 1);
    for (int i = 0; i < 2; i++) {
        (void)take();
        assert_int_equal(member_settle(member, MEMBER_LATER, 0, now_ns), MEMBER_FAILS);
        now_ns = member_due_ns(member);
        (void)take();
        assert_int_equal(member_settle(member, MEMBER_LATER, 0, now_ns), MEMBER_NO_NEWS);
        member_forget_failures(member);
    }
    (void)take();
    assert_int_equal(member_settle(member, MEMBER_TOLD, 0, now_ns), MEMBER_IS_BACK);
    assert_true(member->failing_since_ns == 5 * NS_PER_S); /* the first */
}

static void
test_without_memory_alerts_are_dropped_or_wait(void **state)
{
    (void)state;
    struct encoded_alert *alert = made_alert(&budget, "a", 1, 1000);
    mem_fail_nth(1, true);
    member_put(member, alert);
    mem_fail_nth(0, false);
    assert_int_equal(member->dropped, 1);
    member_put(member, alert);
    encoded_alert_unref(alert);
    buf_fini(&body);
    buf_init(&body, NULL, 64 << 20);
    mem_fail_nth(1, true);
    assert_false(member_take(member, BATCH, now_ns, 0, &body));
    mem_fail_nth(0, false);
    expect_pause(PAUSE_MIN_MS);
    assert_int_equal(member->queue.waiting.count, 1);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct member *other;
        mem_fail_nth(nth, false);
        assert_int_equal(member_new(&budget, "http://b", 1, &other), ERR_NOMEM);
        mem_fail_nth(0, false);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_member_without_alerts_is_not_asked),
        TEST(test_what_is_told_is_counted_and_gone),
        TEST(test_pauses_grow_to_half_a_minute_and_end_with_success),
        TEST(test_pauses_are_not_longer_than_wanted),
        TEST(test_retry_after_is_obeyed_for_ten_minutes_at_most),
        TEST(test_retry_after_is_obeyed_for_half_of_the_time_that_an_alert_is_valid_at_most),
        TEST(test_a_newer_state_that_came_meanwhile_is_the_one_that_is_told),
        TEST(test_a_queue_that_overflows_drops_the_oldest_and_counts_them),
        TEST(test_expired_alerts_are_dropped_before_they_are_told),
        TEST(test_one_invalid_alert_is_found_and_dropped_alone),
        TEST(test_many_invalid_alerts_cost_few_requests_each),
        TEST(test_a_refusal_of_one_alert_is_news),
        TEST(test_a_member_that_takes_an_alert_is_asked_at_once_again_when_it_refuses_others),
        TEST(test_what_was_learnt_is_tried_at_once_and_only_once),
        TEST(test_another_way_to_it_ends_its_pause),
        TEST(test_that_another_way_to_it_fails_too_is_news),
        TEST(test_without_memory_alerts_are_dropped_or_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
