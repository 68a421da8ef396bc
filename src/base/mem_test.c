/* mem_test.c - budgets, arenas, buffers, and wiped memory. */
#include "lib/test.h"

#include "base/buf.h"
#include "base/mem.h"

UNIT_TEST(test_budget_refuses_what_does_not_fit_all_the_way_up)
{
    struct budget root, leaf;
    budget_init(&root, "root", 100, NULL);
    budget_init(&leaf, "leaf", 0, &root);
    assert_int_equal(budget_take(&leaf, 60), OK);
    assert_int_equal(budget_take(&leaf, 60), ERR_NOMEM);
    assert_int_equal(budget_used(&leaf), 60);
    assert_int_equal(budget_used(&root), 60);
    budget_give(&leaf, 60);
    assert_int_equal(budget_used(&root), 0);
}

UNIT_TEST(test_the_peak_of_a_budget_counts_only_what_was_granted)
{
    struct budget root, leaf;
    budget_init(&root, "root", 100, NULL);
    budget_init(&leaf, "leaf", 0, &root);
    assert_int_equal(budget_take(&leaf, 40), OK);
    assert_int_equal(budget_take(&leaf, 1000), ERR_NOMEM);
    assert_int_equal(leaf.peak_bytes, 40);
    assert_int_equal(root.peak_bytes, 40);
    assert_int_equal(budget_take(&leaf, 60), OK);
    budget_give(&leaf, 100);
    assert_int_equal(leaf.peak_bytes, 100);
    assert_int_equal(root.peak_bytes, 100);
}

UNIT_TEST(test_a_charge_moves_up_to_a_budget_that_has_it)
{
    struct budget root, middle, leaf;
    budget_init(&root, "root", 100, NULL);
    budget_init(&middle, "middle", 0, &root);
    budget_init(&leaf, "leaf", 50, &middle);
    assert_int_equal(budget_take(&leaf, 50), OK);
    budget_move_up(&leaf, 20, &middle);
    budget_move_up(&leaf, 10, &leaf); /* nothing moves */
    assert_int_equal(budget_used(&leaf), 30);
    assert_int_equal(budget_used(&middle), 50);
    assert_int_equal(budget_used(&root), 50);
    budget_give(&middle, 20);
    budget_give(&leaf, 30);
    assert_int_equal(budget_used(&root), 0);
}

UNIT_TEST(test_nth_allocation_fails_once_or_for_ever)
{
    for (int forever = 0; forever <= 1; forever++) {
        mem_fail_nth(2, forever != 0);
        void *first = mem_alloc(NULL, 8);
        void *second = mem_alloc(NULL, 8);
        void *third = mem_alloc(NULL, 8);
        mem_fail_nth(0, false);
        assert_non_null(first);
        assert_null(second);
        assert_int_equal(third == NULL, forever);
        mem_free(NULL, first, 8);
        mem_free(NULL, third, 8);
    }
}

UNIT_TEST(test_arena_gives_everything_back_and_respects_its_ceiling)
{
    struct budget root;
    budget_init(&root, "root", 0, NULL);
    struct arena arena;
    arena_init(&arena, &root, 1 << 20, 0);
    size_t got = 0;
    while (arena_alloc(&arena, 1000) != NULL)
        got += 1000;
    assert_true(got > 500000 && got <= 1 << 20);
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
    arena_reset(&arena);
    assert_true(budget_used(&root) > 0);
    arena_fini(&arena);
    assert_int_equal(budget_used(&root), 0);
}

UNIT_TEST(test_buffer_append_beyond_limit_fails_whole_and_sticks)
{
    struct buf buf;
    buf_init(&buf, NULL, 10);
    buf_put(&buf, "12345678", 8);
    buf_put(&buf, "9abc", 4);
    assert_int_equal(buf.size, 8);
    assert_int_equal(buf_error(&buf), ERR_LIMIT);
    buf_clear(&buf);
    buf_printf(&buf, "%d", 123);
    assert_int_equal(buf_error(&buf), OK);
    assert_memory_equal(buf.at, "123", 3);
    buf_fini(&buf);
}

/* Freed memory must not contain any of this. */
static const char mark[] = "open sesame";
static uint32_t marked_count;

static void
look_for_mark(const void *memory, size_t size_bytes)
{
    marked_count += memmem(memory, size_bytes, mark, sizeof mark - 1) != NULL;
}

static uint32_t
marked_of_buffer(void (*init)(struct buf *buf, struct budget *budget, size_t limit_bytes))
{
    struct budget budget;
    struct buf buf;
    budget_init(&budget, "test", 0, NULL);
    marked_count = 0;
    mem_watch_frees(look_for_mark);
    init(&buf, &budget, 1 << 20);
    for (uint32_t i = 0; i < 10000; i++)
        buf_put_text(&buf, mark);
    assert_int_equal(buf_error(&buf), OK);
    for (uint32_t i = 0; i < 10000; i++)
        assert_memory_equal(buf.at + i * (sizeof mark - 1), mark, sizeof mark - 1);
    buf_fini(&buf);
    mem_watch_frees(NULL);
    assert_int_equal(budget_used(&budget), 0);
    return marked_count;
}

UNIT_TEST(test_a_buffer_of_secrets_leaves_nothing_behind_when_it_grows_and_ends)
{
    assert_true(marked_of_buffer(buf_init) > 1); /* the check would notice it */
    assert_int_equal(marked_of_buffer(buf_init_secret), 0);
}

UNIT_TEST(test_a_buffer_that_is_wiped_holds_nothing)
{
    struct buf buf;
    buf_init(&buf, NULL, 1000);
    buf_wipe(&buf); /* the buffer has no memory */
    buf_put_text(&buf, mark);
    size_t capacity = buf.capacity;
    buf_wipe(&buf);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.capacity, capacity);
    for (size_t i = 0; i < sizeof mark; i++)
        assert_int_equal(buf.at[i], 0);
    buf_fini(&buf);
}

UNIT_TEST(test_an_arena_of_secrets_leaves_nothing_behind)
{
    struct arena arena;
    marked_count = 0;
    arena_init_secret(&arena, NULL, 0, 0);
    mem_watch_frees(look_for_mark);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 10000; i++)
            assert_non_null(arena_copy(&arena, bytes_of_text(mark)).at);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    mem_watch_frees(NULL);
    assert_int_equal(marked_count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_refuses_what_does_not_fit_all_the_way_up),
        cmocka_unit_test(test_the_peak_of_a_budget_counts_only_what_was_granted),
        cmocka_unit_test(test_a_charge_moves_up_to_a_budget_that_has_it),
        cmocka_unit_test(test_nth_allocation_fails_once_or_for_ever),
        cmocka_unit_test(test_arena_gives_everything_back_and_respects_its_ceiling),
        cmocka_unit_test(test_buffer_append_beyond_limit_fails_whole_and_sticks),
        cmocka_unit_test(test_a_buffer_of_secrets_leaves_nothing_behind_when_it_grows_and_ends),
        cmocka_unit_test(test_a_buffer_that_is_wiped_holds_nothing),
        cmocka_unit_test(test_an_arena_of_secrets_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
