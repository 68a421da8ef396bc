/* Queues of alerts: one entry for each, in order, bounded, and nothing lost when it is put back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_testing.h"
#include "notify/queue.h"

static struct budget budget;
static struct queue queue;
static struct buf body;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    queue_init(&queue, &budget);
    buf_init(&body, &budget, 1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    queue_fini(&queue);
    buf_fini(&body);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

/* An alert of this name; its start distinguishes its state from others. */
static struct encoded_alert *
alert_of(const char *name, int64_t starts_ms, int64_t ends_ms)
{
    return made_alert(&budget, name, starts_ms, ends_ms);
}

static enum err
put(const char *name, int64_t starts_ms, int64_t ends_ms)
{
    struct encoded_alert *t = alert_of(name, starts_ms, ends_ms);
    enum err e = queue_put(&queue, t);
    encoded_alert_unref(t);
    return e;
}

/* Takes all but what is beyond `count`; what is taken is NAME:STARTS, one after another. */
static void
expect_taken(uint32_t count, const char *want)
{
    char text[1024];
    buf_clear(&body);
    assert_int_equal(queue_take(&queue, count, SIZE_MAX, &body), OK);
    alerts_text(buf_bytes(&body), text, sizeof text);
    assert_string_equal(text, want);
}

static void
test_alerts_are_taken_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 100), OK);
    assert_int_equal(put("b", 1, 100), OK);
    assert_int_equal(put("c", 1, 100), OK);
    expect_taken(2, "a:1 b:1");
    assert_true(bytes_equal_text(
        labels_get(encoded_alert_labels(queue_taken(&queue)), bytes_of_text("alertname")), "a"));
    queue_told(&queue);
    assert_null(queue_taken(&queue));
    expect_taken(9, "c:1");
    queue_told(&queue);
    assert_int_equal(queue.waiting.count, 0);
}

static void
test_a_newer_state_takes_the_place_of_the_older(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 100), OK);
    assert_int_equal(put("b", 1, 100), OK);
    assert_int_equal(put("a", 2, 100), OK);
    assert_int_equal(queue.waiting.count, 2);
    expect_taken(9, "a:2 b:1");
}

static void
test_what_is_put_back_comes_first_but_for_what_is_there_in_a_newer_state(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 100), OK);
    assert_int_equal(put("b", 1, 100), OK);
    assert_int_equal(put("c", 1, 100), OK);
    expect_taken(9, "a:1 b:1 c:1");
    assert_int_equal(put("d", 1, 100), OK);
    assert_int_equal(put("b", 2, 100), OK);
    queue_put_back(&queue);
    expect_taken(9, "a:1 c:1 d:1 b:2");
}

static void
test_bytes_limit_what_is_taken_but_not_the_first(void **state)
{
    (void)state;
    struct encoded_alert *one = alert_of("a", 1, 100);
    size_t each = encoded_alert_json(one).size;
    encoded_alert_unref(one);
    assert_int_equal(put("a", 1, 100), OK);
    assert_int_equal(put("b", 1, 100), OK);
    assert_int_equal(put("c", 1, 100), OK);
    buf_clear(&body);
    assert_int_equal(queue_take(&queue, 9, 1, &body), OK);
    assert_int_equal(body.size, each + 2);
    queue_told(&queue);
    buf_clear(&body);
    assert_int_equal(queue_take(&queue, 9, 2 * each + 3, &body), OK);
    assert_int_equal(body.size, 2 * each + 3);
}

static void
test_beyond_its_limit_the_oldest_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 100), OK);
    assert_int_equal(put("b", 1, 100), OK);
    assert_int_equal(put("c", 1, 100), OK);
    assert_int_equal(queue_limit(&queue, 3), 0);
    assert_int_equal(queue_limit(&queue, 1), 2);
    assert_int_equal(put("a", 2, 100), OK);
    expect_taken(9, "c:1 a:2");
    assert_int_equal(put("d", 1, 100), OK);
    assert_int_equal(queue_clear(&queue), 3);
}

static void
test_alerts_that_ended_long_ago_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 1000), OK);
    assert_int_equal(put("b", 1, 3000), OK);
    assert_int_equal(put("c", 1, 2000), OK);
    assert_int_equal(queue_expire(&queue, 1000 + ENCODED_ALERT_KEPT_MS - 1), 0);
    assert_int_equal(queue_expire(&queue, 1000 + ENCODED_ALERT_KEPT_MS), 1);
    assert_int_equal(queue_expire(&queue, 2000 + ENCODED_ALERT_KEPT_MS), 1);
    expect_taken(9, "b:1");
    queue_put_back(&queue);
    assert_int_equal(queue_expire(&queue, 3000 + ENCODED_ALERT_KEPT_MS), 1);
    assert_int_equal(queue.waiting.count, 0);
}

static void
test_what_was_under_way_while_others_were_looked_at_is_dropped_when_it_ended_long_ago(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 2000), OK);
    assert_int_equal(queue_take(&queue, 1, SIZE_MAX, &body), OK);
    assert_int_equal(put("b", 1, 1000), OK);
    assert_int_equal(queue_expire(&queue, 1000 + ENCODED_ALERT_KEPT_MS), 1);
    queue_put_back(&queue);
    assert_int_equal(queue_expire(&queue, 2000 + ENCODED_ALERT_KEPT_MS), 1);
}

static void
test_a_renewed_alert_is_kept_for_longer(void **state)
{
    (void)state;
    assert_int_equal(put("a", 1, 1000), OK);
    assert_int_equal(put("a", 1, 9000), OK);
    assert_int_equal(queue_expire(&queue, 1000 + ENCODED_ALERT_KEPT_MS), 0);
    assert_int_equal(queue_expire(&queue, 9000 + ENCODED_ALERT_KEPT_MS), 1);
}

/* What the queue should be, as a list of names in order. */
enum { NAMES = 40 };
struct model {
    int64_t waiting[NAMES], taken[NAMES]; /* states; 0: it is not there */
    int order[NAMES], taken_order[NAMES];
    int count, taken_count;
};

static void
model_remove(struct model *m, int name)
{
    int left = 0;
    for (int i = 0; i < m->count; i++) {
        if (m->order[i] != name) m->order[left++] = m->order[i];
    }
    m->count = left;
    m->waiting[name] = 0;
}

static void
check_model(struct model *m)
{
    char want[4096] = "", got[4096] = "";
    if (m->count == 0) return;
    for (int i = 0; i < m->count; i++) {
        size_t size = strlen(want);
        snprintf(want + size, sizeof want - size, "%sn%d:%d", i > 0 ? " " : "", m->order[i],
                 (int)m->waiting[m->order[i]]);
    }
    buf_clear(&body);
    assert_int_equal(queue_take(&queue, NAMES, SIZE_MAX, &body), OK);
    alerts_text(buf_bytes(&body), got, sizeof got);
    assert_string_equal(got, want);
    queue_put_back(&queue);
}

static void
test_random_puts_takes_and_returns_are_as_those_of_a_list(void **state)
{
    (void)state;
    struct model m = {.count = 0};
    uint64_t random = 20240229;
    for (int step = 1; step < 20000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = random >> 33;
        if (dice % 8 < 5) {
            int n = dice / 8 % NAMES;
            char name[8];
            snprintf(name, sizeof name, "n%d", n);
            assert_int_equal(put(name, step, 100), OK);
            if (m.waiting[n] == 0) m.order[m.count++] = n;
            m.waiting[n] = step;
        } else if (dice % 8 == 5 && m.count > 0 && m.taken_count == 0) {
            int count = 1 + (int)(dice / 8 % (unsigned)m.count);
            buf_clear(&body);
            assert_int_equal(queue_take(&queue, (uint32_t)count, SIZE_MAX, &body), OK);
            for (int i = 0; i < count; i++) {
                int n = m.order[0];
                m.taken[n] = m.waiting[n];
                m.taken_order[m.taken_count++] = n;
                model_remove(&m, n);
            }
        } else if (dice % 8 == 6) {
            queue_told(&queue);
            m.taken_count = 0;
        } else if (dice % 8 == 7) {
            queue_put_back(&queue);
            while (m.taken_count > 0) {
                int n = m.taken_order[--m.taken_count];
                if (m.waiting[n] != 0) continue;
                memmove(m.order + 1, m.order, (size_t)m.count++ * sizeof *m.order);
                m.order[0] = n;
                m.waiting[n] = m.taken[n];
            }
        }
        assert_int_equal(queue.waiting.count, m.count);
        if (step % 16 == 0 && m.taken_count == 0) check_model(&m);
    }
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        enum err e = OK;
        uint32_t put_count = 0;
        mem_fail_nth(nth, false);
        for (int i = 0; i < 40 && e == OK; i++) {
            char name[8];
            snprintf(name, sizeof name, "n%d", i);
            uint64_t left = mem_fail_left();
            mem_fail_nth(0, false);
            struct encoded_alert *t = alert_of(name, i, 100);
            mem_fail_nth(left, false);
            e = queue_put(&queue, t);
            put_count += e == OK;
            encoded_alert_unref(t);
        }
        buf_fini(&body);
        if (e == OK) e = queue_take(&queue, 9, SIZE_MAX, &body);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(queue_clear(&queue), put_count);
        queue_fini(&queue);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_alerts_are_taken_in_the_order_in_which_they_came),
        TEST(test_a_newer_state_takes_the_place_of_the_older),
        TEST(test_what_is_put_back_comes_first_but_for_what_is_there_in_a_newer_state),
        TEST(test_bytes_limit_what_is_taken_but_not_the_first),
        TEST(test_beyond_its_limit_the_oldest_are_dropped),
        TEST(test_alerts_that_ended_long_ago_are_dropped),
        TEST(test_what_was_under_way_while_others_were_looked_at_is_dropped_when_it_ended_long_ago),
        TEST(test_a_renewed_alert_is_kept_for_longer),
        TEST(test_random_puts_takes_and_returns_are_as_those_of_a_list),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
