/* column_test.c - cached columns: their values, and the memory that they use. */
#include "lib/test.h"

#include "promql/eval/column.h"

enum { STEPS = 10000, ROUNDS = 300 };

/* Fills a column with `count` values from a step on; each value is its step. */
static void
fill(struct column *c, uint32_t first, uint32_t count)
{
    column_clear(c, STEPS);
    for (uint32_t i = first; i < first + count; i++)
        column_set(c, i, i);
}

static void
check(const struct column *c, const uint8_t *wanted)
{
    column_validate(c, STEPS);
    for (uint32_t i = 0; i < STEPS; i++) {
        assert_int_equal(bits_has(c->present, i), wanted[i]);
        if (wanted[i]) assert_true(c->values[i] == i);
    }
}

UNIT_TEST(test_the_last_bit_is_found_wherever_it_is)
{
    static uint64_t bits[1000 / 64 + 1];
    assert_int_equal(bits_end(bits, 1000), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        bits_set(bits, i);
        assert_int_equal(bits_end(bits, 1000), i + 1);
        if (i % 3 == 0) bits_reset(bits, i / 3);
    }
}

UNIT_TEST(test_a_short_series_takes_little_room_whenever_it_was)
{
    struct budget budget;
    struct held_samples held = {0};
    struct columns columns;
    struct column c;
    budget_init(&budget, "test", 0, NULL);
    columns_init(&columns, &budget, &held);
    assert_int_equal(column_init(&c, NULL, STEPS), OK);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        fill(&c, i * (STEPS - 20) / ROUNDS, 20);
        assert_int_equal(columns_add(&columns, &c, STEPS), OK);
    }
    assert_int_equal(held.now, ROUNDS * 20);
    assert_in_range(budget_used(&budget), 0, ROUNDS * (STEPS / 8 + 20 * 8 + 200) * 2);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        static uint8_t wanted[STEPS];
        memset(wanted, 0, sizeof wanted);
        memset(wanted + i * (STEPS - 20) / ROUNDS, 1, 20);
        check(&columns.items[i], wanted);
    }
    columns_fini(&columns);
    column_fini(&c, NULL, STEPS);
}

/* Columns are joined on both sides, in leaps and step by step, with and without histograms. */
UNIT_TEST(test_a_joined_column_is_complete_and_seldom_moves)
{
    static uint8_t wanted[STEPS];
    struct budget budget;
    struct held_samples held = {0};
    struct columns columns;
    struct column c;
    struct fhist h = {.count = 1, .weight = 2};
    budget_init(&budget, "test", 0, NULL);
    columns_init(&columns, &budget, &held);
    assert_int_equal(column_init(&c, NULL, STEPS), OK);
    fill(&c, STEPS / 2, 1);
    assert_int_equal(columns_add(&columns, &c, STEPS), OK);
    wanted[STEPS / 2] = 1;
    for (uint32_t i = 1; i < STEPS / 2; i++) {
        uint32_t at = i % 2 == 0 ? STEPS / 2 - i : STEPS / 2 + i;
        fill(&c, at, 1);
        wanted[at] = 1;
        assert_int_equal(columns_join(&columns, &columns.items[0], &c, STEPS), OK);
        if (i % 1000 == 1) check(&columns.items[0], wanted);
    }
    check(&columns.items[0], wanted);
    assert_int_equal(held.now, STEPS / 2);
    assert_in_range(budget_used(&budget), 0, 8 * STEPS * 8);
    column_clear(&c, STEPS);
    assert_int_equal(column_set_histogram(&c, NULL, STEPS, 0, &h), OK);
    assert_int_equal(columns_join(&columns, &columns.items[0], &c, STEPS), OK);
    assert_non_null(column_histogram(&columns.items[0], 0));
    assert_null(column_histogram(&columns.items[0], STEPS / 2));
    wanted[0] = 0;
    bits_reset(columns.items[0].present, 0);
    check(&columns.items[0], wanted);
    columns_fini(&columns);
    assert_int_equal(held.now, 0);
    column_fini(&c, NULL, STEPS);
}

UNIT_TEST(test_a_column_without_steps_takes_no_room_and_may_be_joined)
{
    struct held_samples held = {0};
    struct columns columns;
    struct column c;
    struct step_room room = {0, 0};
    columns_init(&columns, NULL, &held);
    assert_int_equal(column_init(&c, NULL, STEPS), OK);
    assert_int_equal(columns_add(&columns, &c, STEPS), OK);
    assert_int_equal(columns_join(&columns, &columns.items[0], &c, STEPS), OK);
    assert_int_equal(columns.items[0].kept.end, 0);
    assert_false(room_widen(&room, room_of(c.present, STEPS), STEPS));
    fill(&c, STEPS - 2, 2);
    assert_int_equal(columns_join(&columns, &columns.items[0], &c, STEPS), OK);
    assert_int_equal(columns.items[0].kept.first, STEPS - 2);
    assert_true(columns.items[0].values[STEPS - 1] == STEPS - 1);
    columns_fini(&columns);
    column_fini(&c, NULL, STEPS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_bit_is_found_wherever_it_is),
        cmocka_unit_test(test_a_short_series_takes_little_room_whenever_it_was),
        cmocka_unit_test(test_a_joined_column_is_complete_and_seldom_moves),
        cmocka_unit_test(test_a_column_without_steps_takes_no_room_and_may_be_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
