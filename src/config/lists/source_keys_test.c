/* source_keys_test.c - the manual and the example have all keys of sources. */
#include "lib/test.h"

#include "lib/config/config_sources.h"

UNIT_TEST(test_manual_has_a_true_row_for_every_key)
{
    char *page = read_source_file("docs/configuration.md");
    const char *section = strstr(page, "\n## sources\n");
    assert_non_null(section);
    assert_in_range(check_manual(section, page, &source_schema), 20, SCHEMA_KEYS_MAX);
    free(page);
}

UNIT_TEST(test_example_file_shows_a_source_of_each_type)
{
    char *text = example_list("sources");
    struct sources list = read_sources(text, false);
    uint32_t types = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        types |= 1u << list.items[i].type;
    }
    assert_int_equal(types, (1u << SOURCE_TYPE_COUNT) - 1);
    sources_free(&list);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual_has_a_true_row_for_every_key),
        cmocka_unit_test(test_example_file_shows_a_source_of_each_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
