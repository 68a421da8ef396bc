/* texts_test.c - copies of texts and of their lists. */
#include "base/text/texts.h"

#include <string.h>

#include "lib/failing_memory.h"
#include "lib/texts.h"

/* Copies all kinds, and checks that a copy shares nothing with its original. */
static enum err
copy_all(void)
{
    struct named_text pairs[] = {{"a", "1"}, {"b", ""}};
    const struct text_list list = TEXTS("x", "y", "");
    const struct named_texts named = {pairs, 2};
    struct arena arena;
    const char *text = NULL;
    struct text_list texts;
    struct named_texts copies;
    arena_init(&arena, NULL, 0, 0);
    bool fits = text_copy(&arena, "one", &text) && text_list_copy(&arena, &list, &texts) &&
                named_texts_copy(&arena, &named, &copies);
    if (fits) {
        assert_string_equal(text, "one");
        assert_int_equal(texts.count, 3);
        assert_ptr_not_equal(texts.items[0], list.items[0]);
        assert_string_equal(texts.items[0], "x");
        assert_string_equal(texts.items[2], "");
        assert_int_equal(copies.count, 2);
        assert_ptr_not_equal(copies.items[0].name, pairs[0].name);
        assert_string_equal(copies.items[0].value, "1");
        assert_string_equal(copies.items[1].name, "b");
    }
    arena_fini(&arena);
    return fits ? OK : ERR_NOMEM;
}

UNIT_TEST(test_texts_and_lists_are_copied_or_memory_is_refused)
{
    fail_each_allocation(copy_all);
}

UNIT_TEST(test_nothing_is_copied_as_nothing)
{
    const char *text = "x";
    struct text_list texts = {NULL, 1};
    struct named_texts named = {NULL, 1};
    assert_true(text_copy(NULL, NULL, &text));
    assert_true(text_list_copy(NULL, &(struct text_list){NULL}, &texts));
    assert_true(named_texts_copy(NULL, &(struct named_texts){NULL}, &named));
    assert_null(text);
    assert_int_equal(texts.count + named.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_and_lists_are_copied_or_memory_is_refused),
        cmocka_unit_test(test_nothing_is_copied_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
