/*
 * source_settings.h - the settings of sources: the entries of the configuration's list `sources`
 * as plain structs. docs/configuration.md explains every key; config/lists/sources.c reads them.
 *
 * As in settings.h: texts live as long as the list, and are NULL where nothing was given; times are
 * milliseconds, sizes bytes; secrets are fetched each time they are wanted.
 */
#ifndef BACKEND_SOURCE_SETTINGS_H
#define BACKEND_SOURCE_SETTINGS_H

#include "backend/settings.h"

enum source_type {
    SOURCE_ARCHIVE,
    SOURCE_CLICKHOUSE,
    SOURCE_INFLUXDB,
    SOURCE_OPENTSDB,
    SOURCE_REMOTE_READ,
    SOURCE_TIMESTREAM,
    SOURCE_TYPE_COUNT,
};
/* "remote_read", ... */
const char *source_type_word(enum source_type type);
/* SOURCE_TYPE_COUNT: of none. */
enum source_type source_type_of(struct bytes word);

enum { SOURCES_MAX = 64 };

/* Of which times a source is asked. */
enum source_times { TIMES_ALL, TIMES_OLDER_THAN_LOCAL, TIMES_BETWEEN };

/* One end of TIMES_BETWEEN, inclusive. */
struct source_bound {
    bool given;
    bool before_now; /* `ms` is counted back from now */
    int64_t ms;      /* else Unix */
};

/* Unix time; `open_ms` if it is not given. */
int64_t source_bound_ms(const struct source_bound *bound, int64_t now_ms, int64_t open_ms);

enum source_on_error { ON_ERROR_FAIL, ON_ERROR_WARN };

enum remote_read_message { REMOTE_READ_AUTO, REMOTE_READ_STREAMED, REMOTE_READ_SAMPLES };
struct remote_read_settings {
    const char *url;
    const char *labels_url; /* below which are /api/v1/labels and the like; NULL: not given */
    enum remote_read_message protobuf;
    const char *tenant_header;
    struct sigv4_settings sigv4;
};

enum archive_layout { ARCHIVE_HOURLY, ARCHIVE_FLAT };
struct archive_settings {
    const char *path;   /* of a directory; else NULL, and there is a bucket */
    const char *bucket; /* as of struct s3_settings, and the next three */
    const char *prefix;
    const char *endpoint;
    bool path_style;
    enum archive_layout layout;
    int64_t late_ms; /* a sample's time and the hour of its object differ by so much at most */
    struct aws_settings aws;
};

/* Where a source may keep what it learnt of its store: an index of objects, or answers. */
struct source_cache_settings {
    const char *path; /* NULL: nowhere */
    uint64_t max_bytes;
    int64_t max_age_ms; /* of answers */
};

/* What the columns of a table are called; NULL: as the destination calls them, as by default. */
struct clickhouse_columns {
    const char *metric;
    const char *labels;
    const char *time;
    const char *value;
    const char *bits; /* as all that follow, the table may lack it if it is called so */
    const char *histogram;
    const char *start_time;
};
struct clickhouse_read_settings {
    struct clickhouse_settings server; /* url, database, table */
    struct clickhouse_columns columns;
};

/* What a series is called: the measurement, whose fields are those that the destination writes; or
 * measurement_field, of each field with a number. */
enum influxdb_mapping { INFLUXDB_PROMETHEUS, INFLUXDB_TELEGRAF };
struct influxdb_read_settings {
    struct influxdb_settings server; /* but for basic_auth, which all sources have */
    enum influxdb_mapping mapping;
};

/* How names and values are escaped: as our destination does, which includes the form of Prometheus'
 * adapter; or as that adapter does, which left names of tags as they were. */
enum opentsdb_escaping { OPENTSDB_ESCAPING_AUTO, OPENTSDB_ESCAPING_PROMETHEUS };
struct opentsdb_read_settings {
    struct opentsdb_settings server; /* url alone */
    uint32_t expansion_limit;        /* values of one filter */
    enum opentsdb_escaping escaping;
};

/* Whose names the table's are: the destination's, which are coded where Timestream has no such
 * names; or those of labels themselves. */
enum timestream_schema { TIMESTREAM_AUTO, TIMESTREAM_FIREKEEP, TIMESTREAM_CONNECTOR };
struct timestream_read_settings {
    const char *database;
    const char *table;
    const char *query_endpoint;
    enum timestream_schema schema;
    struct aws_settings aws;
};

struct source_settings {
    const char *name;
    enum source_type type;
    uint32_t line;    /* of the file, for messages */
    const char *used; /* only while the list is read: the destination whose keys it takes */
    uint64_t hash;    /* of all that was given, secrets too: equal ones have the same */

    struct text_list select;  /* series selectors, each checked; what any of them selects */
    struct text_list tenants; /* "all" alone: every one; empty: tenancy is off */
    struct named_texts external_labels;
    enum source_times times;
    struct source_bound from, to; /* of TIMES_BETWEEN */
    enum source_on_error on_error;
    int64_t timeout_ms;         /* without anything new from it */
    uint32_t max_concurrent;    /* queries at a time */
    uint32_t max_rate_requests; /* a second; 0: no limit */
    uint64_t max_samples;       /* of a query; 0: no limit */
    uint64_t max_bytes;         /* of a query, as they come; 0: no limit */

    struct http_settings http;
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct oauth2_settings oauth2;
    struct source_cache_settings cache;
    union {
        struct archive_settings archive;
        struct clickhouse_read_settings clickhouse;
        struct influxdb_read_settings influxdb;
        struct opentsdb_read_settings opentsdb;
        struct remote_read_settings remote_read;
        struct timestream_read_settings timestream;
    } u;
};

/* The whole list; `arena` owns every text of it. */
struct sources {
    struct arena *arena;
    struct source_settings *items;
    uint32_t count;
};
void sources_free(struct sources *list);

#endif
