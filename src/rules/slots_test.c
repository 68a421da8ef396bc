/* slots_test.c - sets of evaluations, schedules, kept series and labels set over others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/kept_series.h"
#include "rules/relabelled.h"
#include "rules/schedule.h"
#include "rules/slots.h"
#include "sys/env.h"

static void
test_a_set_of_evaluations_is_that_of_a_plain_list(void **state)
{
    (void)state;
    enum { MOST = 200 };
    srand(3);
    for (int round = 0; round < 200; round++) {
        struct slots slots;
        bool has[MOST] = {false};
        slots_init(&slots, NULL);
        for (int i = 0; i < round; i++) {
            int slot = rand() % MOST, from = rand() % MOST, to = from + rand() % (MOST - from);
            int end = rand() % 4 == 0 ? slot + rand() % (MOST - slot) % 20 : slot;
            assert_int_equal(slots_add(&slots, slot, end), OK);
            for (int k = slot; k <= end; k++) {
                has[k] = true;
            }
            int first = from;
            uint64_t missing = 0;
            while (first < MOST && has[first]) {
                first++;
            }
            assert_int_equal(slots_first_missing(&slots, from), first);
            for (int k = from; k < to; k++) {
                missing += !has[k];
                assert_int_equal(slots_has(&slots, k), has[k]);
            }
            assert_int_equal(slots_missing(&slots, from, to), missing);
            int last = from - 1;
            int64_t found = -1;
            while (last >= 0 && !has[last]) {
                last--;
            }
            assert_int_equal(slots_last_before(&slots, from, &found), last >= 0);
            if (last >= 0) assert_int_equal(found, last);
            int next = from;
            while (next < MOST && !has[next]) {
                next++;
            }
            assert_int_equal(slots_first_from(&slots, from, &found), next < MOST);
            if (next < MOST) assert_int_equal(found, next);
            if (rand() % 20 == 0) {
                slots_forget_before(&slots, from);
                for (int k = 0; k < from; k++) {
                    has[k] = false;
                }
            }
        }
        slots_fini(&slots);
    }
}

/* Seen on Prometheus 3.5.3: evaluations of a group `g1` of `rules.yml` each 5 s. */
static void
test_groups_are_evaluated_when_prometheus_evaluates_them(void **state)
{
    (void)state;
    struct schedule schedule;
    assert_int_equal(schedule_of("rules.yml", "g1", 5 * NS_PER_S, &schedule), OK);
    int64_t at_ns = schedule_time_ns(&schedule, schedule_slot(&schedule, 1795663595 * NS_PER_S));
    assert_int_equal(at_ns, 1795663594891472798);
    assert_int_equal(schedule_slot(&schedule, at_ns - 1) + 1, schedule_slot(&schedule, at_ns));
}

static struct bytes
labels_of(struct buf *to, const char *value)
{
    buf_clear(to);
    labels_put(to, (struct label){bytes_of_text("n"), bytes_of_text(value)});
    return buf_bytes(to);
}

static void
test_series_are_kept_once(void **state)
{
    (void)state;
    struct kept_series kept;
    struct buf labels;
    bool is_new;
    char name[16];
    kept_series_init(&kept, NULL, 5);
    buf_init(&labels, NULL, 64);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%d", i % 500);
        assert_int_equal(kept_series_add(&kept, labels_of(&labels, name), &is_new), OK);
        assert_int_equal(is_new, i < 500);
    }
    assert_int_equal(kept.count, 500);
    assert_true(kept_series_has(&kept, labels_of(&labels, "499")));
    assert_false(kept_series_has(&kept, labels_of(&labels, "500")));
    assert_true(bytes_equal(kept_series_at(&kept, 7), labels_of(&labels, "7")));
    kept_series_fini(&kept);
    buf_fini(&labels);
}

static void
test_labels_of_a_rule_are_set_over_those_of_a_series(void **state)
{
    (void)state;
    struct buf from, to, shown;
    struct label over[] = {
        {bytes_of_text("b"), bytes_of_text("")},  {bytes_of_text("z"), bytes_of_text("9")},
        {bytes_of_text("a"), bytes_of_text("8")}, {bytes_of_text("z"), bytes_of_text("no")},
        {bytes_of_text("q"), bytes_of_text("")},
    };
    buf_init(&from, NULL, 256);
    buf_init(&to, NULL, 256);
    buf_init(&shown, NULL, 256);
    labels_put(&from, (struct label){bytes_of_text("__name__"), bytes_of_text("m")});
    labels_put(&from, (struct label){bytes_of_text("b"), bytes_of_text("1")});
    labels_put(&from, (struct label){bytes_of_text("c"), bytes_of_text("2")});
    uint32_t count = relabelled_sort(over, 5);
    assert_int_equal(count, 4);
    relabelled_put(&to, buf_bytes(&from), over, count);
    assert_true(labels_valid(buf_bytes(&to)));
    labels_print(&shown, buf_bytes(&to));
    buf_put_u8(&shown, '\0');
    assert_string_equal((char *)shown.at, "{__name__=\"m\", a=\"8\", c=\"2\", z=\"9\"}");
    buf_fini(&from);
    buf_fini(&to);
    buf_fini(&shown);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_set_of_evaluations_is_that_of_a_plain_list),
        cmocka_unit_test(test_groups_are_evaluated_when_prometheus_evaluates_them),
        cmocka_unit_test(test_series_are_kept_once),
        cmocka_unit_test(test_labels_of_a_rule_are_set_over_those_of_a_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
