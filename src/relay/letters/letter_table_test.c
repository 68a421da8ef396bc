/* letter_table_test.c - beside a plain array, with what is put and removed drawn at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "relay/letters/letter_table.h"

enum { IDENTITIES = 300 };

static struct letter_slot
slot_of(uint32_t i, uint32_t number)
{
    return (struct letter_slot){
        .pos = i / 7, .index = i % 7, .offset = number, .place = {1 + i % 3, number}};
}

static void
check(const struct letter_table *table, const uint32_t *numbers)
{
    size_t count = 0;
    for (uint32_t i = 0; i < IDENTITIES; i++) {
        const struct letter_slot *found = letter_table_find(table, i / 7, i % 7);
        assert_int_equal(found != NULL, numbers[i] != 0);
        if (found == NULL) continue;
        count++;
        assert_int_equal(found->place.number, numbers[i]);
        assert_int_equal(found->offset, numbers[i]);
        assert_int_equal(found->place.file, 1 + i % 3);
    }
    assert_int_equal(table->count, count);
}

static void
test_what_was_put_last_is_found_and_what_was_removed_is_not(void **state)
{
    (void)state;
    struct budget memory;
    struct letter_table table;
    uint32_t numbers[IDENTITIES] = {0};
    budget_init(&memory, "table", 0, NULL);
    letter_table_init(&table, &memory);
    assert_null(letter_table_find(&table, 0, 0));
    letter_table_remove(&table, 0, 0);
    for (uint32_t step = 1; step <= 5000; step++) {
        uint64_t random = hash_mix(11, step);
        uint32_t i = (uint32_t)(random >> 8) % IDENTITIES;
        bool put = random % 100 < (step < 2500 ? 70 : 30);
        struct letter_slot slot = slot_of(i, step);
        if (put) assert_int_equal(letter_table_put(&table, &slot), OK);
        if (!put) letter_table_remove(&table, slot.pos, slot.index);
        numbers[i] = put ? step : 0;
        if (step % 50 == 0) check(&table, numbers);
    }
    letter_table_fini(&table);
    assert_int_equal(budget_used(&memory), 0);
}

static void
test_a_refused_allocation_changes_nothing(void **state)
{
    (void)state;
    struct letter_table table;
    uint32_t numbers[IDENTITIES] = {0};
    letter_table_init(&table, NULL);
    for (uint32_t i = 0; i < IDENTITIES; i++) {
        struct letter_slot slot = slot_of(i, i + 1);
        mem_fail_nth(1, false);
        enum err e = letter_table_put(&table, &slot);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (fired) check(&table, numbers);
        if (fired) assert_int_equal(letter_table_put(&table, &slot), OK);
        numbers[i] = i + 1;
    }
    check(&table, numbers);
    letter_table_fini(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_put_last_is_found_and_what_was_removed_is_not),
        cmocka_unit_test(test_a_refused_allocation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
