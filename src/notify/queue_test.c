/* queue_test.c - queues of alerts: one entry for each, in order, bounded, and complete after alerts
 * are put back. */
#include "lib/notify/notify_alerts.h"
#include "lib/test.h"
#include "notify/notify_private.h"

enum { NAMES = 40 };

static struct budget budget;
static struct queue queue;
static struct buf body;

/* The expected content of the queue, in order. */
struct entry {
    int name, state, ends_ms;
};
static struct {
    struct entry waiting[NAMES], taken[NAMES];
    int count, taken_count;
} model;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    queue_init(&queue, &budget);
    buf_init(&body, &budget, 1 << 20);
    memset(&model, 0, sizeof model);
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

static enum err
put(int name, int state, int64_t ends_ms, bool fails)
{
    char text[8];
    sprintf(text, "n%d", name);
    struct encoded_alert *alert = made_alert(&budget, text, state, ends_ms);
    mem_fail_nth(fails, true);
    enum err e = queue_put(&queue, alert);
    mem_fail_nth(0, false);
    encoded_alert_unref(alert);
    return e;
}

static void
take(uint32_t count, size_t bytes_max)
{
    buf_fini(&body);
    mem_fail_nth(1, true);
    assert_int_equal(queue_take(&queue, count, bytes_max, &body), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_int_equal(queue_take(&queue, count, bytes_max, &body), OK);
}

/* --- the model -------------------------------------------------------------------------------- */

/* Returns the position of a name; the count if it is absent. */
static int
model_find(int name)
{
    int i = 0;
    while (i < model.count && model.waiting[i].name != name)
        i++;
    return i;
}

/* Adds a state; it replaces an older one, and has its own end. */
static void
model_put(struct entry entry)
{
    int at = model_find(entry.name);
    model.count += at == model.count;
    model.waiting[at] = entry;
}

/* Takes the oldest, or gives them up. */
static void
model_take(int count, struct entry *to)
{
    memcpy(to, model.waiting, (size_t)count * sizeof *to);
    model.count -= count;
    memmove(model.waiting, model.waiting + count, (size_t)model.count * sizeof *to);
}

/* Puts the taken alerts back at the front, except those with a newer state. */
static void
model_put_back(void)
{
    while (model.taken_count > 0) {
        struct entry entry = model.taken[--model.taken_count];
        if (model_find(entry.name) < model.count) continue;
        memmove(model.waiting + 1, model.waiting, (size_t)model.count++ * sizeof entry);
        model.waiting[0] = entry;
    }
}

static void
check_order(void)
{
    char want[4096] = "", got[4096] = "";
    /* taking the whole queue shows its order, so no alert may be taken already */
    if (model.count == 0 || model.taken_count > 0) return;
    for (int i = 0; i < model.count; i++) {
        sprintf(want + strlen(want), "%sn%d:%d", i > 0 ? " " : "", model.waiting[i].name,
                model.waiting[i].state);
    }
    take(NAMES, SIZE_MAX);
    alerts_text(buf_bytes(&body), got, sizeof got);
    assert_string_equal(got, want);
    queue_put_back(&queue);
}

/* Makes a step chosen by `dice`. */
static void
step(int number, unsigned dice)
{
    struct entry given_up[NAMES], entry = {(int)(dice / 16 % NAMES), number, number};
    int some = model.count == 0 ? 0 : 1 + (int)(dice / 16 % (unsigned)model.count);
    switch (dice % 16) {
    case 0:
        if (model.taken_count > 0 || some == 0) break;
        model.taken_count = some;
        model_take(some, model.taken);
        take((uint32_t)some, SIZE_MAX);
        break;
    case 1:
        queue_drop_taken(&queue);
        assert_null(queue_taken(&queue));
        model.taken_count = 0;
        break;
    case 2:
        queue_put_back(&queue);
        model_put_back();
        break;
    case 3:
        number -= (int)(dice / 16 % 100);
        for (int i = some = 0; i < model.count; i++) /* alerts that ended long ago are given up */
            if (model.waiting[i].ends_ms > number) model.waiting[some++] = model.waiting[i];
        assert_int_equal(queue_expire(&queue, number + ENCODED_ALERT_KEPT_MS), model.count - some);
        model.count = some;
        break;
    case 4:
        if (dice / 16 % 4 > 0) break;
        assert_int_equal(queue_limit(&queue, (uint32_t)some), model.count - some);
        model_take(model.count - some, given_up);
        break;
    case 5:
        if (dice / 16 % 64 > 0) break;
        assert_int_equal(queue_clear(&queue), model.count + model.taken_count);
        model.count = model.taken_count = 0;
        queue_fini(&queue);
        break;
    default:
        entry.ends_ms += (int)(dice / 16 % 97);
        if (put(entry.name, number, entry.ends_ms, dice / 16 % 5 == 0) == OK) model_put(entry);
    }
    assert_int_equal(queue.waiting.count, model.count);
    if (number % 16 == 0) check_order();
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_queue_does_what_a_list_does_also_without_memory)
{
    uint64_t random = 20240229;
    for (int i = 1; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        step(i, (unsigned)(random >> 33));
    }
}

UNIT_TEST(test_bytes_limit_what_is_taken_but_not_the_first)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(i, 1, 100, false), OK);
    take(9, 1);
    size_t each = body.size - 2;
    const struct encoded_alert *first = queue_taken(&queue);
    assert_int_equal(each, encoded_alert_json(first).size);
    assert_true(bytes_equal_text(
        labels_get(encoded_alert_labels(first), bytes_of_text("alertname")), "n0"));
    queue_drop_taken(&queue);
    take(9, 2 * each + 3);
    assert_int_equal(body.size, 2 * each + 3);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_queue_does_what_a_list_does_also_without_memory),
        TEST(test_bytes_limit_what_is_taken_but_not_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
