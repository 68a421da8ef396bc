/* functions_test.c - each function is found by its name, and no other name is. */
#include "lib/test.h"

#include "promql/parse/tree.h"

UNIT_TEST(test_each_function_is_found_by_its_name)
{
    for (unsigned i = 0; i < FUNCTION_COUNT; i++)
        assert_ptr_equal(function_find(bytes_of_text(functions[i].name)), &functions[i]);
    assert_null(function_find(bytes_of_text("")));
    assert_null(function_find(bytes_of_text("rates")));
    assert_null(function_find(bytes_of_text("zzz")));
}

UNIT_TEST(test_arguments_are_those_of_the_list)
{
    const struct function *f = &functions[FUNCTION_LABEL_REPLACE];
    assert_int_equal(f->argument_count, 5);
    assert_int_equal(f->arguments[0], VALUE_VECTOR);
    assert_int_equal(f->arguments[4], VALUE_STRING);
    assert_int_equal(functions[FUNCTION_PI].argument_count, 0);
    assert_int_equal(functions[FUNCTION_PI].result, VALUE_SCALAR);
    assert_int_equal(functions[FUNCTION_ROUND].variadic, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_function_is_found_by_its_name),
        cmocka_unit_test(test_arguments_are_those_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
