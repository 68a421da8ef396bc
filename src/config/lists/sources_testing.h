/*
 * sources_testing.h - texts with sources for tests of everything that reads them. After cmocka.h.
 */
#ifndef CONFIG_LISTS_SOURCES_TESTING_H
#define CONFIG_LISTS_SOURCES_TESTING_H

#include "config/lists/lists_testing.h"
#include "config/lists/source_keys.h"
#include "config/lists/sources.h"

/* What is wanted and nothing else, to put lines behind; those begin on line 5. */
#define READ_5 "sources:\n- name: a\n  type: remote_read\n  url: http://h\n"

/* The list of a right text, for sources_free(). */
static inline struct sources
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

static inline void
check_source_fine(const char *text, bool tenancy)
{
    struct sources list = read_sources(text, tenancy);
    sources_free(&list);
}

static inline void
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

static inline void
check_source_error(const char *text, const char *expected)
{
    check_source_error_with(text, false, expected);
}

#endif
