#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static void
test_budget_refuses_what_does_not_fit_all_the_way_up(void **state)
{
    (void)state;
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

static void
test_the_peak_of_a_budget_counts_only_what_was_granted(void **state)
{
    (void)state;
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

static void
test_nth_allocation_fails_once_or_for_ever(void **state)
{
    (void)state;
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

static void
test_arena_gives_everything_back_and_respects_its_ceiling(void **state)
{
    (void)state;
    struct budget root;
    budget_init(&root, "root", 0, NULL);
    struct arena arena;
    arena_init(&arena, &root, 1 << 20, 0);
    size_t got = 0;
    while (arena_alloc(&arena, 1000) != NULL) {
        got += 1000;
    }
    assert_true(got > 500000 && got <= 1 << 20);
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
    arena_reset(&arena);
    assert_true(budget_used(&root) > 0);
    arena_fini(&arena);
    assert_int_equal(budget_used(&root), 0);
}

static void
test_buffer_append_beyond_limit_fails_whole_and_sticks(void **state)
{
    (void)state;
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_refuses_what_does_not_fit_all_the_way_up),
        cmocka_unit_test(test_the_peak_of_a_budget_counts_only_what_was_granted),
        cmocka_unit_test(test_nth_allocation_fails_once_or_for_ever),
        cmocka_unit_test(test_arena_gives_everything_back_and_respects_its_ceiling),
        cmocka_unit_test(test_buffer_append_beyond_limit_fails_whole_and_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
