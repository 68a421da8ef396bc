/* letter_index_test.c - finds letters by their identity: the last one added is found, removed ones
 * are not. dead_letters_test.c tests the index of files. */
#include "lib/test.h"

#include "base/hash/hash.h"
#include "relay/letters/letter_index.h"

enum { IDENTITIES = 700 };

static struct letter_slot
slot_of(uint32_t i, uint32_t number)
{
    return (struct letter_slot){i / 7, i % 7, number, {1 + i % 3, number}};
}

/* Checks that the index has exactly these numbers; 0: absent. */
static void
check(const struct letter_slots *slots, const uint32_t *numbers)
{
    for (uint32_t i = 0; i < IDENTITIES; i++) {
        const struct letter_slot *found = letter_slots_find(slots, i / 7, i % 7);
        assert_int_equal(found != NULL, numbers[i] != 0);
        if (found == NULL) continue;
        assert_int_equal(found->place.number, numbers[i]);
        assert_int_equal(found->offset, numbers[i]);
        assert_int_equal(found->place.file, 1 + i % 3);
    }
}

UNIT_TEST(test_an_added_letter_is_found_and_a_removed_one_is_not)
{
    struct budget memory;
    struct letter_index index;
    uint32_t numbers[IDENTITIES] = {0}, count = 0;
    budget_init(&memory, "slots", 0, NULL);
    letter_index_init(&index, &memory);
    struct letter_slots *slots = &index.given;
    assert_null(letter_slots_find(slots, 0, 0));
    letter_slots_remove(slots, 0, 0);
    for (uint32_t step = 1; step <= 5000; step++) {
        uint64_t random = hash_mix(11, step);
        uint32_t i = (uint32_t)(random >> 8) % IDENTITIES;
        bool add = numbers[i] == 0 && random % 100 < (step < 2500 ? 70 : 30);
        struct letter_slot slot = slot_of(i, step);
        count = count + add - (!add && numbers[i] != 0);
        if (add) assert_int_equal(letter_slots_add(slots, &memory, &slot), OK);
        if (!add) letter_slots_remove(slots, slot.pos, slot.index);
        numbers[i] = add ? step : 0;
        assert_int_equal(slots->count, count);
        if (step % 50 == 0) check(slots, numbers);
    }
    letter_index_fini(&index);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_of_one_identity_the_last_is_found_and_all_stay)
{
    struct letter_index index;
    uint32_t numbers[IDENTITIES] = {0};
    letter_index_init(&index, NULL);
    for (uint32_t number = 1; number <= 3 * IDENTITIES; number++) {
        uint32_t i = number * 5 % IDENTITIES;
        struct letter_slot slot = slot_of(i, number);
        assert_int_equal(letter_slots_add(&index.again, NULL, &slot), OK);
        numbers[i] = number;
    }
    check(&index.again, numbers);
    assert_int_equal(index.again.count, 3 * IDENTITIES);
    for (uint32_t i = 0; i < index.again.count; i++) {
        assert_int_equal(index.again.slots[i].offset, i + 1);
    }
    letter_index_fini(&index);
}

UNIT_TEST(test_a_refused_allocation_changes_nothing)
{
    struct letter_index index;
    uint32_t numbers[IDENTITIES] = {0};
    letter_index_init(&index, NULL);
    for (uint32_t i = 0; i < IDENTITIES; i++) {
        struct letter_slot slot = slot_of(i, i + 1);
        for (unsigned nth = 1; nth <= 2; nth++) {
            mem_fail_nth(nth, false);
            enum err e = letter_slots_add(&index.given, NULL, &slot);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            if (!fired) break;
            check(&index.given, numbers);
            if (nth == 2) assert_int_equal(letter_slots_add(&index.given, NULL, &slot), OK);
        }
        numbers[i] = i + 1;
    }
    check(&index.given, numbers);
    letter_index_fini(&index);
}

/* A clock that was set back gives later letters earlier times. */
UNIT_TEST(test_a_file_knows_its_oldest_and_its_youngest_letter)
{
    static const int64_t failed_ms[] = {50, 30, 90, 40};
    uint8_t nibbles[2] = {0};
    struct letter_volume volume = {.nibbles = nibbles, .capacity = sizeof nibbles};
    for (uint32_t i = 0; i < 4; i++) {
        letter_volume_add(&volume, i, ITEM_FLOAT, failed_ms[i]);
    }
    assert_int_equal(volume.oldest_ms, 30);
    assert_int_equal(volume.youngest_ms, 90);
    assert_int_equal(volume.counts[LETTER_KEPT][ITEM_FLOAT], 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_added_letter_is_found_and_a_removed_one_is_not),
        cmocka_unit_test(test_of_one_identity_the_last_is_found_and_all_stay),
        cmocka_unit_test(test_a_refused_allocation_changes_nothing),
        cmocka_unit_test(test_a_file_knows_its_oldest_and_its_youngest_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
