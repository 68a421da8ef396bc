/* config_sources.c - see config_sources.h. */
#include "lib/config/config_sources.h"

struct sources
read_sources(const char *text, bool tenancy)
{
    struct settings s = settings_with_tenancy(tenancy);
    struct sources list = {NULL};
    struct why why = {""};
    enum err e = sources_yaml("f.yml", bytes_of_text(text), &s, &list, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return list;
}

void
check_source_fine(const char *text, bool tenancy)
{
    struct sources list = read_sources(text, tenancy);
    sources_free(&list);
}

void
check_source_error_with(const char *text, bool tenancy, const char *expected)
{
    struct settings s = settings_with_tenancy(tenancy);
    struct sources list = {.count = 7};
    struct why why = {""};
    enum err e = sources_yaml("f.yml", bytes_of_text(text), &s, &list, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(list.count, 7);
    assert_int_equal(sources_yaml("f.yml", bytes_of_text(text), &s, &list, NULL), ERR_INPUT);
}

void
check_source_error(const char *text, const char *expected)
{
    check_source_error_with(text, false, expected);
}
