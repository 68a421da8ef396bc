/* tenant_name_test.c - valid names of tenants, and the messages about invalid ones. */
#include "lib/test.h"

#include "model/tenant_name.h"

UNIT_TEST(test_names_of_allowed_characters_and_sizes_are_accepted)
{
    char longest[TENANT_NAME_BYTES_MAX];
    memset(longest, 'z', sizeof longest);
    static const char *const good[] = {"a", "anonymous", "Team-1!_.*'()", "...", ".a", "0"};
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(tenant_name_check(bytes_of_text(good[i]), NULL), OK);
    assert_int_equal(tenant_name_check(bytes_of(longest, sizeof longest), NULL), OK);
}

UNIT_TEST(test_all_other_names_are_refused_with_what_was_expected)
{
    char longer[TENANT_NAME_BYTES_MAX + 1];
    memset(longer, 'z', sizeof longer);
    const struct bytes bad[] = {
        bytes_of("", 0),      bytes_of(NULL, 0),          bytes_of(longer, sizeof longer),
        bytes_of("a\0b", 3),  bytes_of_text("a/b"),       bytes_of_text("a b"),
        bytes_of_text("."),   bytes_of_text(".."),        bytes_of_text("\xc3\xa9"),
        bytes_of_text("a\n"), bytes_of_text("{x=\"y\"}"), bytes_of_text("\x7f"),
    };
    struct why why;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tenant_name_check(bad[i], &why), ERR_INPUT);
    assert_int_equal(tenant_name_check(bytes_of_text("a/\033"), &why), ERR_INPUT);
    assert_string_equal(why.text, "expected a tenant name of at most 150 letters, digits and "
                                  "! - _ . * ' ( ), got 'a/\\x1b'");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_allowed_characters_and_sizes_are_accepted),
        cmocka_unit_test(test_all_other_names_are_refused_with_what_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
