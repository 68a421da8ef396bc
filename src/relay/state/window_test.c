/* window_test.c - the cursor is at the first open item, and the items before it are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/random.h"
#include "lib/seeds.h"
#include "lib/test.h"
#include "relay/feed/log_items.h"
#include "relay/state/account.h"

#define must(call) assert_int_equal((call), OK)

enum { RECORDS = 300, ITEMS_MAX = 50 };

struct model {
    uint8_t fates[RECORDS][ITEMS_MAX];
    uint32_t counts[RECORDS];
    enum item_kind kinds[RECORDS];
    uint32_t pushed;
};

static struct model model;

static uint64_t
pos_of(uint32_t record)
{
    return 1000 + 100 * (uint64_t)record;
}

static void
push(struct window *w, struct rng *rng)
{
    uint32_t i = model.pushed++;
    model.counts[i] = (uint32_t)rng_below(rng, ITEMS_MAX);
    model.kinds[i] = (enum item_kind)rng_below(rng, ITEM_KIND_COUNT);
    struct chunk chunk = {
        .pos = pos_of(i),
        .end_pos = pos_of(i + 1),
        .segment = 1 + i / 100,
        .realtime_ms = 5000 + i,
        .kind = model.kinds[i],
        .count = model.counts[i],
    };
    uint64_t record;
    must(window_push(w, &chunk, &record));
    assert_int_equal(record, i);
}

/* Checks the cursor, and the counts of the items before it. */
static void
check_cursor(struct window *w)
{
    struct fates expected = {{{0}}}, before;
    uint32_t record = 0, index = 0;
    for (; record < model.pushed; record++) {
        for (index = 0; index < model.counts[record]; index++) {
            if (model.fates[record][index] == FATE_OPEN) break;
            expected.count[model.kinds[record]][model.fates[record][index]]++;
        }
        if (index < model.counts[record]) break;
        index = 0;
    }
    struct relay_cursor cursor;
    window_validate(w);
    window_cursor(w, &cursor, &before);
    window_validate(w);
    assert_int_equal(cursor.pos, pos_of(record));
    assert_int_equal(cursor.index, index);
    assert_memory_equal(&before, &expected, sizeof before);
    assert_int_equal(w->next - w->first, model.pushed - record);
    assert_int_equal(window_segment(w), record == model.pushed ? 0 : 1 + record / 100);
    assert_int_equal(window_oldest_ms(w), record == model.pushed ? 0 : 5000 + record);
}

/* Settles a range of open items with one fate. */
static void
settle_some(struct window *w, struct rng *rng, uint32_t from)
{
    static const uint8_t fates[] = {FATE_PASSED,        FATE_NOT_TAKEN, FATE_DELIVERED,
                                    FATE_DEAD_LETTERED, FATE_DROPPED,   FATE_DROPPED + 3};
    uint32_t record = from + (uint32_t)rng_below(rng, model.pushed - from);
    uint32_t first = 0, count = model.counts[record];
    if (count == 0) return;
    if (rng_below(rng, 2) == 0) {
        first = (uint32_t)rng_below(rng, count);
        count = 1 + (uint32_t)rng_below(rng, count - first);
    }
    for (uint32_t i = first; i < first + count; i++)
        if (model.fates[record][i] != FATE_OPEN) return;
    uint8_t fate = fates[rng_below(rng, sizeof fates)];
    must(window_settle(w, record, first, count, fate));
    memset(model.fates[record] + first, fate, count);
}

UNIT_TEST(test_the_cursor_follows_the_first_open_item)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = {shifted_seed(seed)};
        struct budget budget;
        struct window *w;
        memset(&model, 0, sizeof model);
        budget_init(&budget, "test", 0, NULL);
        must(window_new(&budget, (struct relay_cursor){.pos = pos_of(0)}, &w));
        check_cursor(w);
        while (model.pushed < RECORDS) {
            push(w, &rng);
            uint32_t oldest = model.pushed - (uint32_t)(w->next - w->first);
            for (unsigned i = 0; i < 6 && oldest < model.pushed; i++)
                settle_some(w, &rng, oldest);
            check_cursor(w);
        }
        window_free(w);
        assert_int_equal(budget_used(&budget), 0);
    }
}

UNIT_TEST(test_with_nothing_under_way_the_cursor_may_be_set_ahead)
{
    struct rng rng = {shifted_seed(1)};
    struct window *w;
    struct relay_cursor cursor;
    struct fates before;
    memset(&model, 0, sizeof model);
    must(window_new(NULL, (struct relay_cursor){.pos = pos_of(0)}, &w));
    do {
        push(w, &rng);
    } while (model.counts[model.pushed - 1] == 0);
    uint32_t last = model.pushed - 1;
    must(window_settle(w, last, 0, model.counts[last], FATE_DELIVERED));
    window_skip(w, (struct relay_cursor){.pos = 99999});
    window_cursor(w, &cursor, &before);
    assert_int_equal(cursor.pos, 99999);
    assert_int_equal(cursor.index, 0);
    assert_int_equal(before.count[model.kinds[last]][FATE_DELIVERED], model.counts[last]);
    window_free(w);
}

UNIT_TEST(test_a_reserved_record_is_settled_without_memory)
{
    struct chunk chunk = {.pos = 10, .end_pos = 20, .kind = ITEM_FLOAT, .count = 5};
    struct window *w;
    struct relay_cursor cursor;
    struct fates before;
    uint64_t record;
    must(window_new(NULL, (struct relay_cursor){.pos = 10}, &w));
    must(window_push(w, &chunk, &record));
    mem_fail_nth(1, true);
    assert_int_equal(window_reserve(w, record), ERR_NOMEM);
    mem_fail_nth(0, false);
    must(window_reserve(w, record));
    mem_fail_nth(1, true);
    must(window_settle(w, record, 1, 1, FATE_DEAD_LETTERED));
    must(window_settle(w, record, 0, 1, FATE_DELIVERED));
    must(window_settle(w, record, 2, 3, FATE_DELIVERED));
    chunk.pos = 20;
    chunk.end_pos = 30;
    mem_fail_nth(0, false);
    must(window_push(w, &chunk, &record));
    must(window_reserve(w, record));
    must(window_settle(w, record, 0, 5, FATE_DELIVERED)); /* and all at once */
    window_cursor(w, &cursor, &before);
    assert_int_equal(cursor.pos, 30);
    assert_int_equal(before.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 1);
    assert_int_equal(before.count[ITEM_FLOAT][FATE_DELIVERED], 9);
    window_free(w);
}

static uint64_t
push_taken(struct window *w, uint32_t count, uint32_t repeats)
{
    static uint64_t pos = 1000;
    struct chunk chunk = {.pos = pos, .end_pos = pos + 10, .kind = ITEM_HISTOGRAM, .count = count};
    uint64_t record;
    pos += 10;
    must(window_push(w, &chunk, &record));
    window_note_taken(w, count, repeats);
    return record;
}

static void
check_repeats(struct window *w, uint64_t repeated, uint64_t delivered, uint64_t open)
{
    const uint64_t *count = w->all.count[ITEM_HISTOGRAM];
    assert_int_equal(count[FATE_REPEATED], repeated);
    assert_int_equal(count[FATE_DELIVERED], delivered);
    assert_int_equal(w->repeats_open[ITEM_HISTOGRAM], open);
}

/* A letter is not a repeat: then an item of a later record is one. */
UNIT_TEST(test_as_many_items_are_repeats_as_announced_of_any_record)
{
    struct window *w;
    struct relay_cursor cursor;
    struct fates before;
    must(window_new(NULL, (struct relay_cursor){.pos = 0}, &w));
    uint64_t first = push_taken(w, 4, 3), second = push_taken(w, 2, 0), third = push_taken(w, 3, 1);
    check_repeats(w, 0, 0, 4);
    must(window_settle(w, first, 0, 2, FATE_DEAD_LETTERED));
    check_repeats(w, 0, 0, 4);
    must(window_settle(w, first, 2, 2, FATE_DELIVERED));
    check_repeats(w, 2, 0, 2);
    must(window_settle(w, second, 0, 2, FATE_DELIVERED));
    check_repeats(w, 3, 1, 1);
    window_cursor(w, &cursor, &before);
    assert_int_equal(window_taken_before(w, ITEM_HISTOGRAM), 4 + 2 - 3);
    must(window_settle(w, third, 0, 1, FATE_DELIVERED));
    check_repeats(w, 4, 1, 0);
    assert_int_equal(window_taken_before(w, ITEM_HISTOGRAM), 3);
    must(window_settle(w, third, 1, 2, FATE_DELIVERED));
    check_repeats(w, 4, 3, 0);
    window_cursor(w, &cursor, &before);
    assert_int_equal(before.count[ITEM_HISTOGRAM][FATE_REPEATED], 4);
    assert_int_equal(window_taken_before(w, ITEM_HISTOGRAM), 4 + 2 + 3 - 4);
    assert_int_equal(w->open[ITEM_HISTOGRAM], 0);
    assert_int_equal(w->held[ITEM_HISTOGRAM], 0);
    window_free(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_cursor_follows_the_first_open_item),
        cmocka_unit_test(test_with_nothing_under_way_the_cursor_may_be_set_ahead),
        cmocka_unit_test(test_a_reserved_record_is_settled_without_memory),
        cmocka_unit_test(test_as_many_items_are_repeats_as_announced_of_any_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
