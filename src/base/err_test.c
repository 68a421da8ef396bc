/* err_test.c - sentences of errors: prefixes and paths. */
#include "lib/test.h"

#include "base/err.h"

UNIT_TEST(test_a_prefix_is_always_followed_by_a_reason)
{
    struct why why = {""};
    assert_int_equal(why_prefix(&why, ERR_NOMEM, "flush"), ERR_NOMEM);
    assert_string_equal(why.text, "flush: out_of_memory");
    why_set(&why, ERR_IO, "open %s", "x");
    assert_int_equal(why_prefix(&why, ERR_IO, "merge"), ERR_IO);
    assert_string_equal(why.text, "merge: open x");
    assert_int_equal(why_prefix(NULL, ERR_IO, "merge"), ERR_IO);
}

UNIT_TEST(test_a_sentence_names_a_path_only_whole)
{
    struct why why;
    why_set(&why, ERR_CORRUPT, "dir/MANIFEST is damaged");
    assert_true(why_names(&why, "dir"));
    assert_true(why_names(&why, "dir/"));
    assert_true(why_names(&why, "dir/MANIFEST"));
    assert_false(why_names(&why, "d"));
    assert_false(why_names(&why, "dir/MAN"));
    assert_false(why_names(&why, "MANIFEST"));
    assert_false(why_names(&why, ""));
    why_set(&why, ERR_CORRUPT, "a.gz: cut short");
    assert_true(why_names(&why, "a.gz"));
    why_set(&why, ERR_IO, "cannot open a.gz: Permission denied");
    assert_true(why_names(&why, "a.gz"));
    assert_false(why_names(&why, "gz"));
    assert_false(why_names(&why, "open"));
    why_set(&why, ERR_IO, "cannot read gz.a/a: it is not a.gz");
    assert_false(why_names(&why, "a"));
    why_set(&why, ERR_CORRUPT, "a");
    assert_false(why_names(&why, "a.gz"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prefix_is_always_followed_by_a_reason),
        cmocka_unit_test(test_a_sentence_names_a_path_only_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
