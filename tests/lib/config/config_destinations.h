/* config_destinations.h - texts with destinations, and checks of how they are read. For tests. */
#ifndef LIB_CONFIG_CONFIG_DESTINATIONS_H
#define LIB_CONFIG_CONFIG_DESTINATIONS_H

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"

/* The required keys of each type. Lines that are appended begin with the line in the name. */
#define FILE_5         "destinations:\n- name: a\n  type: file\n  path: /x\n"
#define S3_6           "destinations:\n- name: a\n  type: s3\n  region: r\n  bucket: bbb\n"
#define CLICKHOUSE_6   "destinations:\n- name: a\n  type: clickhouse\n  url: http://h\n  table: t\n"
#define INFLUXDB_5     "destinations:\n- name: a\n  type: influxdb\n  url: http://h\n"
#define OPENTSDB_5     "destinations:\n- name: a\n  type: opentsdb\n  url: http://h\n"
#define REMOTE_WRITE_5 "destinations:\n- name: a\n  type: remote_write\n  url: http://h\n"
#define TIMESTREAM_7 \
    "destinations:\n- name: a\n  type: timestream\n  region: r\n  database: d\n  table: t\n"

/* Reads a valid text. The result is given: destinations_free(). */
struct destinations read_list(const char *text, bool tenancy);

/* Check that the text is valid; that it is refused with this message; that without tenancy. */
void check_fine(const char *text, bool tenancy);
void check_error_with(const char *text, bool tenancy, const char *expected);
void check_error(const char *text, const char *expected);

#endif
