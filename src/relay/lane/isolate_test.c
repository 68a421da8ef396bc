/*
 * isolate_test.c - the refused items of a call are found with few further calls, and no series is
 * ever tried out of order, in any order of answers.
 */
#include "relay/lane/isolate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash/hash.h"
#include "lib/seeds.h"
#include "lib/test.h"

enum { ITEMS_MAX = 6000, AT_ONCE = 4, SERIES_MAX = 6000 };

static struct {
    struct budget memory;
    struct isolate is;
    struct call_item items[ITEMS_MAX];
    uint32_t series[ITEMS_MAX]; /* by the number of an item, which is `index` */
    bool bad[ITEMS_MAX], settled[ITEMS_MAX];
    uint32_t count;
    bool says_all; /* "all are refused" differs from "some are refused" */
    bool in_order;
    uint64_t random;
    uint32_t calls;
} t;

static uint32_t
random_below(uint32_t n)
{
    t.random = hash_mix(t.random, 1);
    return (uint32_t)(t.random >> 33) % n;
}

static void
begin(uint32_t count, uint32_t series)
{
    uint64_t random = t.random;
    memset(&t, 0, sizeof t);
    t.random = random;
    budget_init(&t.memory, "test", 0, NULL);
    assert_int_equal(isolate_init(&t.is, &t.memory), OK);
    t.count = count;
    for (uint32_t i = 0; i < count; i++) {
        t.series[i] = random_below(series);
        t.items[i] = (struct call_item){
            .record = 7, .index = i, .count = 1, .series = hash_mix(t.series[i], 99) | 1};
    }
    isolate_begin(&t.is, count);
}

static void
end(void)
{
    assert_int_equal(t.is.count, 0);
    for (uint32_t i = 0; i < t.count; i++)
        assert_true(t.settled[i]);
    isolate_fini(&t.is);
    assert_int_equal(budget_used(&t.memory), 0);
}

/* Checks that a piece is in order, and that no earlier item of its series is open elsewhere. */
static void
check_order(const struct call_piece *p)
{
    static uint32_t first[SERIES_MAX];
    memset(first, 0xff, sizeof first);
    for (uint32_t i = p->from; i < p->to; i++) {
        uint32_t number = t.items[i].index;
        assert_true(i == p->from || t.items[i - 1].index < number);
        if (first[t.series[number]] == UINT32_MAX) first[t.series[number]] = number;
    }
    for (uint32_t k = 0; k < t.is.count; k++) {
        const struct call_piece *other = &t.is.pieces[k];
        for (uint32_t i = other->from; i < other->to && other != p; i++) {
            uint32_t number = t.items[i].index;
            if (number < first[t.series[number]] && first[t.series[number]] != UINT32_MAX)
                fail_msg("item %u was not sent before %u", number, first[t.series[number]]);
        }
    }
}

static void
settle(const struct call_piece *p)
{
    for (uint32_t i = p->from; i < p->to; i++) {
        assert_false(t.settled[t.items[i].index]);
        t.settled[t.items[i].index] = true;
    }
}

/* The destination answers about a piece. */
static void
answer(uint8_t who)
{
    struct call_piece *p = isolate_taken(&t.is, who);
    uint32_t bad = 0, size = p->to - p->from;
    for (uint32_t i = p->from; i < p->to; i++)
        bad += t.bad[t.items[i].index];
    t.calls++;
    if (bad == 0 || size == 1 || (t.says_all && bad == size)) {
        settle(p);
        isolate_gone(&t.is, p, bad == 0);
        return;
    }
    assert_int_equal(isolate_halve(&t.is, p, t.items, t.in_order), OK);
}

/* Tries pieces, several at a time, until all is settled. Answers come in any order. */
static void
run(void)
{
    uint8_t pending[AT_ONCE];
    uint32_t count = 0;
    while (t.is.count > 0) {
        isolate_validate(&t.is, t.count);
        struct call_piece *p = count < AT_ONCE ? isolate_next(&t.is) : NULL;
        if (p != NULL && p->state == PIECE_SURE && p->to - p->from > 1) {
            assert_int_equal(isolate_halve(&t.is, p, t.items, t.in_order), OK);
            continue;
        }
        if (p != NULL) {
            uint8_t who = 1;
            while (isolate_taken(&t.is, who) != NULL)
                who++;
            check_order(p);
            p->taken = who;
            pending[count++] = who;
            if (random_below(2) == 0) continue;
        }
        assert_true(count > 0);
        uint32_t at = random_below(count);
        uint8_t who = pending[at];
        pending[at] = pending[--count];
        answer(who);
    }
    end();
}

static uint32_t
most_calls(uint32_t n, uint32_t k)
{
    return k == 0 ? 1 : (uint32_t)ceil(2 * k * log2((double)n / k)) + 2 * k;
}

UNIT_TEST(test_refused_items_are_found_within_the_bound)
{
    static const uint32_t sizes[] = {2, 3, 17, 600, 4096};
    t.random = shifted_seed(1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s];
        for (uint32_t k = 0; k <= n; k = k < 5 ? k + 1 : k * 3) {
            begin(n, n < 40 ? n : 40 + random_below(n - 39));
            for (uint32_t left = k; left > 0;) {
                uint32_t i = random_below(n);
                left -= !t.bad[i];
                t.bad[i] = true;
            }
            run();
            /* Halves end between series, so they are not of one size. */
            if (t.calls > most_calls(n, k) + k + 2)
                fail_msg("%u of %u took %u calls", k, n, t.calls);
            assert_in_range(t.calls, 1, 2 * n);
        }
    }
}

/* Its samples stay together, and one answer ends the search where it says that all are refused. */
UNIT_TEST(test_a_series_that_is_refused_as_a_whole_takes_a_few_calls)
{
    for (uint32_t bad = 0; bad < 40; bad++) {
        begin(4000, 40);
        t.says_all = true;
        for (uint32_t i = 0; i < t.count; i++)
            t.bad[i] = t.series[i] == bad;
        run();
        assert_in_range(t.calls, 2, 14);
    }
}

UNIT_TEST(test_items_stay_in_order_where_they_have_to)
{
    begin(1000, 50);
    t.in_order = true;
    for (uint32_t i = 0; i < t.count; i += 100)
        t.bad[i] = true;
    run();
    for (uint32_t i = 0; i < t.count; i++)
        assert_int_equal(t.items[i].index, i);
}

UNIT_TEST(test_suspects_are_set_apart_and_forgotten)
{
    struct suspects suspects = {.slots = NULL};
    begin(1000, 50);
    assert_int_equal(isolate_set_apart(&t.is, t.items, &suspects), OK);
    assert_int_equal(t.is.count, 1);
    for (uint32_t i = 0; i < t.count; i++) {
        t.bad[i] = t.series[i] % 10 == 3;
        if (t.bad[i]) suspects_add(&suspects, &t.memory, t.items[i].series);
    }
    assert_int_equal(suspects.count, 5);
    assert_int_equal(isolate_set_apart(&t.is, t.items, &suspects), OK);
    assert_int_equal(t.is.count, 2);
    assert_false(t.is.pieces[0].suspect);
    assert_true(t.is.pieces[1].suspect);
    for (uint32_t i = 0; i < t.count; i++)
        assert_int_equal(t.bad[t.items[i].index], i >= t.is.pieces[1].from);
    t.says_all = true;
    for (uint32_t i = 0; i < t.count; i++)
        suspects_forget(&suspects, t.items[i].series);
    assert_int_equal(suspects.count, 0);
    suspects_fini(&suspects, &t.memory);
    run();
    assert_int_equal(t.calls, 2);
}

UNIT_TEST(test_if_all_are_suspects_none_is_set_apart)
{
    struct suspects suspects = {.slots = NULL};
    begin(100, 5);
    for (uint32_t i = 0; i < t.count; i++)
        suspects_add(&suspects, &t.memory, t.items[i].series);
    assert_int_equal(isolate_set_apart(&t.is, t.items, &suspects), OK);
    assert_int_equal(t.is.count, 1);
    assert_true(t.is.pieces[0].suspect);
    suspects_fini(&suspects, &t.memory);
    run();
}

UNIT_TEST(test_a_table_of_suspects_is_of_fixed_size)
{
    struct suspects suspects = {.slots = NULL};
    budget_init(&t.memory, "test", 0, NULL);
    for (uint64_t i = 1; i < 200000; i++)
        suspects_add(&suspects, &t.memory, hash_mix(i, 3));
    assert_in_range(suspects.count, 16000, 16384);
    assert_in_range(budget_used(&t.memory), 1, 256 * 1024);
    suspects_fini(&suspects, &t.memory);
    assert_int_equal(budget_used(&t.memory), 0);
}

UNIT_TEST(test_without_memory_nothing_is_changed)
{
    for (uint64_t nth = 1; nth < 4; nth++) {
        begin(64, 64);
        for (uint32_t i = 0; i < t.count; i++)
            t.bad[i] = true;
        while (t.is.count > 0) {
            struct call_piece *p = isolate_next(&t.is);
            if (p->to - p->from == 1) {
                settle(p);
                isolate_gone(&t.is, p, false);
                continue;
            }
            struct call_piece was = *p;
            mem_fail_nth(nth, false);
            enum err e = isolate_halve(&t.is, p, t.items, false);
            mem_fail_nth(0, false);
            if (e == OK) continue;
            assert_memory_equal(isolate_next(&t.is), &was, sizeof was);
            assert_int_equal(isolate_halve(&t.is, isolate_next(&t.is), t.items, false), OK);
        }
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_items_are_found_within_the_bound),
        cmocka_unit_test(test_a_series_that_is_refused_as_a_whole_takes_a_few_calls),
        cmocka_unit_test(test_items_stay_in_order_where_they_have_to),
        cmocka_unit_test(test_suspects_are_set_apart_and_forgotten),
        cmocka_unit_test(test_if_all_are_suspects_none_is_set_apart),
        cmocka_unit_test(test_a_table_of_suspects_is_of_fixed_size),
        cmocka_unit_test(test_without_memory_nothing_is_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
