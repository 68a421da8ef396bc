/*
 * source_settings.h - the settings of sources: the entries of the configuration's list `sources` as
 * plain structs. docs/configuration.md explains every key; config/lists/sources.c reads them.
 *
 * As in settings.h: texts live as long as the list, and are NULL if not given; times are
 * milliseconds, sizes bytes; secrets are fetched each time they are needed.
 */
#ifndef BACKEND_SOURCE_SETTINGS_H
#define BACKEND_SOURCE_SETTINGS_H

#include "backend/settings.h"

enum source_type {
    SOURCE_ARCHIVE,
    SOURCE_BUCKET,
    SOURCE_CLICKHOUSE,
    SOURCE_INFLUXDB,
    SOURCE_OPENTSDB,
    SOURCE_REMOTE_READ,
    SOURCE_TIMESTREAM,
    SOURCE_TYPE_COUNT,
};
/* Returns "remote_read", ... */
const char *source_type_word(enum source_type type);

enum { SOURCES_MAX = 64 };

/* The times for which a source is queried. */
enum source_times { TIMES_ALL, TIMES_OLDER_THAN_LOCAL, TIMES_BETWEEN };

/* One end of TIMES_BETWEEN, inclusive. */
struct source_bound {
    bool given;
    bool before_now; /* `ms` counts back from now */
    int64_t ms;      /* otherwise Unix time */
};

/* Returns Unix time; `open_ms` if the bound is not given. */
int64_t source_bound_ms(const struct source_bound *bound, int64_t now_ms, int64_t open_ms);

enum source_on_error { ON_ERROR_FAIL, ON_ERROR_WARN };

enum remote_read_message { REMOTE_READ_AUTO, REMOTE_READ_STREAMED, REMOTE_READ_SAMPLES };
struct remote_read_settings {
    const char *url;
    const char *labels_url; /* base of /api/v1/labels and the like; NULL: not given */
    enum remote_read_message protobuf;
    const char *tenant_header;
    struct sigv4_settings sigv4;
};

enum archive_layout { ARCHIVE_HOURLY, ARCHIVE_FLAT };
struct archive_settings {
    const char *path;   /* path of a directory; NULL: a bucket is used */
    const char *bucket; /* as in struct s3_settings, like the next three */
    const char *prefix;
    const char *endpoint;
    bool path_style;
    enum archive_layout layout;
    int64_t late_ms; /* largest difference between a sample's time and the hour of its object */
    struct aws_settings aws;
};

/* The cache of objects_read(). */
struct object_cache_settings {
    const char *path; /* NULL: no cache */
    uint64_t bytes;
};

/* The parts of another Firekeep in its bucket. */
enum { BUCKET_RECENT_MAX = 8 };
struct bucket_read_settings {
    struct archive_settings store; /* without `layout` and `late` */
    struct text_list recent_from;  /* URLs of the server that writes there; count 0: none */
    struct object_cache_settings cache;
};

/* The cache of an archive: an index of its objects. */
struct source_cache_settings {
    const char *path; /* NULL: no cache */
    uint64_t max_bytes;
};

/* Names of a table's columns; NULL: the destination's names. */
struct clickhouse_columns {
    const char *metric;
    const char *labels;
    const char *time;
    const char *value;
    const char *bits; /* this column and those below may be missing if the name is the default */
    const char *histogram;
    const char *start_time;
};
struct clickhouse_read_settings {
    struct clickhouse_settings server; /* url, database, table */
    struct clickhouse_columns columns;
};

/* The name of a series: the measurement, with the fields that the destination writes; or
 * measurement_field, for each field with a number. */
enum influxdb_mapping { INFLUXDB_PROMETHEUS, INFLUXDB_TELEGRAF };
struct influxdb_read_settings {
    struct influxdb_settings server; /* without basic_auth, which all sources have */
    enum influxdb_mapping mapping;
};

/* The escaping of names and values: that of the destination, which includes the form of
 * Prometheus' adapter; or that of the adapter, which did not escape names of tags. */
enum opentsdb_escaping { OPENTSDB_ESCAPING_AUTO, OPENTSDB_ESCAPING_PROMETHEUS };
struct opentsdb_read_settings {
    struct opentsdb_settings server; /* only the url */
    uint32_t expansion_limit;        /* values per filter */
    enum opentsdb_escaping escaping;
};

/* The names in the table: the destination's, which are encoded where Timestream does not allow
 * them; or those of labels themselves. */
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
    uint32_t line;    /* in the file, for messages */
    const char *used; /* the destination whose keys it takes; only while the list is read */

    struct text_list select;  /* checked selectors, any of which must match */
    struct text_list tenants; /* "all" alone: every tenant; empty: tenancy is off */
    struct named_texts external_labels;
    enum source_times times;
    struct source_bound from, to; /* for TIMES_BETWEEN */
    enum source_on_error on_error;
    int64_t timeout_ms;         /* without new bytes from the source */
    uint32_t max_concurrent;    /* concurrent queries */
    uint32_t max_rate_requests; /* per second; 0: no limit */
    uint64_t max_samples;       /* per query; 0: no limit */
    uint64_t max_bytes; /* bytes per query as received, so before decompression; 0: no limit */

    struct http_settings http;
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct oauth2_settings oauth2;
    struct source_cache_settings cache;
    union {
        struct archive_settings archive;
        struct bucket_read_settings bucket;
        struct clickhouse_read_settings clickhouse;
        struct influxdb_read_settings influxdb;
        struct opentsdb_read_settings opentsdb;
        struct remote_read_settings remote_read;
        struct timestream_read_settings timestream;
    } u;
};

/* The whole list; `arena` owns all its texts. */
struct sources {
    struct arena *arena;
    struct source_settings *items;
    uint32_t count;
};
void sources_free(struct sources *list);

#endif
