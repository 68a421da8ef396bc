/*
 * destinations_testing.h - texts with destinations for tests of everything that reads them.
 * After cmocka.h.
 */
#ifndef CONFIG_LISTS_DESTINATIONS_TESTING_H
#define CONFIG_LISTS_DESTINATIONS_TESTING_H

#include "config/lists/destination_keys.h"
#include "config/lists/destinations.h"
#include "config/lists/lists_testing.h"

/* What is wanted and nothing else, to put lines behind; those begin on the line named. */
#define FILE_5         "destinations:\n- name: a\n  type: file\n  path: /x\n"
#define S3_6           "destinations:\n- name: a\n  type: s3\n  region: r\n  bucket: bbb\n"
#define CLICKHOUSE_6   "destinations:\n- name: a\n  type: clickhouse\n  url: http://h\n  table: t\n"
#define INFLUXDB_5     "destinations:\n- name: a\n  type: influxdb\n  url: http://h\n"
#define OPENTSDB_5     "destinations:\n- name: a\n  type: opentsdb\n  url: http://h\n"
#define REMOTE_WRITE_5 "destinations:\n- name: a\n  type: remote_write\n  url: http://h\n"
#define TIMESTREAM_7 \
    "destinations:\n- name: a\n  type: timestream\n  region: r\n  database: d\n  table: t\n"

/* The list of a right text, for destinations_free(). */
static inline struct destinations
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

static inline void
check_fine(const char *text, bool tenancy)
{
    struct destinations list = read_list(text, tenancy);
    destinations_free(&list);
}

static inline void
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

static inline void
check_error(const char *text, const char *expected)
{
    check_error_with(text, false, expected);
}

#endif
