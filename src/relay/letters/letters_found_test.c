/* letters_found_test.c - which letters the account of a state includes. */
#include "lib/test.h"

#include "relay/feed/fill.h"
#include "relay/letters/letters_found.h"

enum { BEGIN = 512, CURSOR = 720, END = 1024 };

static bool
has(const struct letters_known *known, uint64_t pos, uint32_t index)
{
    struct dead_letter letter = {.pos = pos, .index = index};
    return letters_count_has(known, &letter);
}

UNIT_TEST(test_letters_after_the_cursor_are_not_counted)
{
    struct letters_known known = {.cursor_pos = CURSOR, .cursor_index = 2};
    assert_true(has(&known, BEGIN, 9));
    assert_true(has(&known, CURSOR, 1));
    assert_false(has(&known, CURSOR, 2));
    assert_false(has(&known, CURSOR + 1, 0));
}

/* The letters were revoked when the fill began: those that remain are of other items. */
UNIT_TEST(test_letters_of_the_log_are_counted_during_a_fill)
{
    struct letters_known known = {.cursor_pos = fill_first_pos(1), .fill_to_pos = END};
    assert_true(has(&known, CURSOR, 2));
    assert_true(has(&known, END, 0));
}

/* The store took over at the cursor when the destination was opened, as the log was lost. */
UNIT_TEST(test_letters_of_items_that_a_fill_reads_again_are_not_counted)
{
    struct letters_known known = {
        .cursor_pos = fill_first_pos(1),
        .fill_to_pos = END,
        .again_pos = CURSOR,
        .again_index = 2,
    };
    assert_true(has(&known, BEGIN, 9));
    assert_true(has(&known, CURSOR, 1));
    assert_false(has(&known, CURSOR, 2));
    assert_false(has(&known, CURSOR + 1, 0));
    assert_false(has(&known, END - 1, 0));
    assert_true(has(&known, END, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters_after_the_cursor_are_not_counted),
        cmocka_unit_test(test_letters_of_the_log_are_counted_during_a_fill),
        cmocka_unit_test(test_letters_of_items_that_a_fill_reads_again_are_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
