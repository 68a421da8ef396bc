/* config_destinations.c - see config_destinations.h. */
#include "lib/config/config_destinations.h"

struct destinations
read_list(const char *text, bool tenancy)
{
    struct settings s = settings_with_tenancy(tenancy);
    struct destinations list = {NULL};
    struct why why = {""};
    enum err e = destinations_yaml("f.yml", bytes_of_text(text), &s, &list, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return list;
}

void
check_fine(const char *text, bool tenancy)
{
    struct destinations list = read_list(text, tenancy);
    destinations_free(&list);
}

void
check_error_with(const char *text, bool tenancy, const char *expected)
{
    struct settings s = settings_with_tenancy(tenancy);
    struct destinations list = {.count = 7};
    struct why why = {""};
    enum err e = destinations_yaml("f.yml", bytes_of_text(text), &s, &list, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(list.count, 7);
    assert_int_equal(destinations_yaml("f.yml", bytes_of_text(text), &s, &list, NULL), ERR_INPUT);
}

void
check_error(const char *text, const char *expected)
{
    check_error_with(text, false, expected);
}
