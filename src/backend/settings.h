/*
 * settings.h - the settings of destinations: the entries of the configuration's list `destinations`
 * as plain structs. docs/configuration.md explains every key; config/lists/destinations.c reads
 * them.
 *
 * Texts are NUL-terminated, live as long as the list, and are NULL if not given. Times are
 * milliseconds, sizes bytes. Only the file was read for these structs: secret_fetch() reads a
 * secret each time it is needed.
 */
#ifndef BACKEND_SETTINGS_H
#define BACKEND_SETTINGS_H

#include "base/buf.h"
#include "base/text/texts.h"
#include "model/relabel.h"
#include "model/selector.h"

enum destination_type {
    DESTINATION_CLICKHOUSE,
    DESTINATION_FILE,
    DESTINATION_FIREHOSE,
    DESTINATION_INFLUXDB,
    DESTINATION_KINESIS,
    DESTINATION_OPENTSDB,
    DESTINATION_REMOTE_WRITE,
    DESTINATION_S3,
    DESTINATION_TIMESTREAM,
    DESTINATION_TYPE_COUNT,
};
/* Returns "file", ... */
const char *destination_type_word(enum destination_type type);
/* DESTINATION_TYPE_COUNT: unknown. */
enum destination_type destination_type_of(struct bytes word);

enum { DESTINATIONS_MAX = 64, DESTINATION_NAME_BYTES_MAX = 64 };

/* A text that is never shown; ${NAME} in it is replaced by an environment variable. */
struct secret {
    const char *text;
    const char *file; /* read each time, without a newline at its end */
};

/* True if a text or a file was given. */
static inline bool
secret_given(const struct secret *secret)
{
    return secret->text != NULL || secret->file != NULL;
}
/* Appends the current secret. ERR_MISSING: the variable or file does not exist; ERR_IO;
 * ERR_LIMIT: 64 KiB. */
MUST_CHECK enum err secret_fetch(const struct secret *secret, struct buf *to, struct why *why);

struct secret_list {
    struct secret *items;
    uint32_t count;
};
struct named_secret {
    const char *name;
    struct secret value;
};
struct named_secrets {
    struct named_secret *items;
    uint32_t count;
};

/* --- settings of all types -------------------------------------------------------------------- */

enum destination_start { START_NOW, START_BEGINNING, START_TIME };
enum destination_on_full { ON_FULL_BLOCK, ON_FULL_DROP_OLDEST };
enum destination_unrepresentable { UNREPRESENTABLE_DEAD_LETTER, UNREPRESENTABLE_DROP };

struct batch_settings {
    uint32_t max_samples; /* 0: the type's default, as for the others */
    uint64_t max_bytes;
    int64_t max_age_ms;
};

struct retry_settings {
    int64_t min_backoff_ms;
    int64_t max_backoff_ms;
    int64_t give_up_after_ms; /* 0: never */
};

/* --- settings of several types ---------------------------------------------------------------- */

struct tls_settings {
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *server_name;
    const char *min_version; /* "TLS10" to "TLS13" */
    const char *max_version;
    bool insecure_skip_verify;
};

struct http_settings {
    struct tls_settings tls;
    const char *proxy_url;
    const char *no_proxy;
    const char
        *unix_path; /* socket instead of the host; set by commands, files have no key for it */
    struct named_secrets headers;
};

/* A header as in Prometheus' settings: each value becomes a header. */
struct http_header_values {
    const char *name;
    struct text_list values;
    struct secret_list secrets;
    struct text_list files; /* read each time */
};
struct http_header_list {
    struct http_header_values *items;
    uint32_t count;
};

struct basic_auth_settings {
    const char *username;
    const char *username_file;
    struct secret password;
};

struct authorization_settings {
    const char *type; /* "Bearer" */
    struct secret credentials;
};

struct oauth2_settings {
    const char *client_id;
    struct secret client_secret;
    const char *token_url;
    struct text_list scopes;
    struct named_secrets endpoint_params;
    struct http_settings http; /* its `headers` are not used */
};

struct aws_settings {
    const char *region;
    struct secret access_key;
    struct secret secret_key;
    struct secret session_token;
    const char *profile;
    const char *role_arn;
    const char *external_id;
};

struct sigv4_settings {
    bool given;
    struct aws_settings aws;
    const char *service; /* "aps" by default */
};

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

/* --- the types -------------------------------------------------------------------------------- */

struct clickhouse_settings {
    const char *url;
    const char *database;
    const char *table;
    bool create;
    const char *cluster;
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
};

enum file_format { FILE_NDJSON, FILE_CSV, FILE_OPENMETRICS };
struct file_settings {
    const char *path;
    enum file_format format;
    uint64_t roll_bytes;
    int64_t roll_age_ms;
    enum compression compression;
};

enum { KINESIS_SHARDS_MAX = 10000 }; /* per stream */
enum kinesis_format { KINESIS_NDJSON, KINESIS_PACKED, KINESIS_KPL };
struct kinesis_settings {
    const char *stream;
    const char *endpoint;
    enum kinesis_format format;
};

struct firehose_settings {
    const char *delivery_stream;
    const char *endpoint;
    enum compression compression; /* none or gzip */
};

enum s3_sse { S3_SSE_NONE, S3_SSE_AES256, S3_SSE_KMS };
struct s3_settings {
    const char *bucket;
    const char *prefix;
    const char *endpoint;
    bool path_style;
    enum compression compression;
    uint64_t roll_bytes;
    int64_t roll_age_ms;
    enum s3_sse sse;
    const char *kms_key_id;
    const char *storage_class;
};

enum timestream_colon { TIMESTREAM_COLON_MAP, TIMESTREAM_COLON_KEEP };
struct timestream_settings {
    const char *database; /* may be a template: ${label} */
    const char *table;
    const char *write_endpoint;
    bool overwrite;
    enum timestream_colon measure_name_colon;
};

struct opentsdb_settings {
    const char *url;
    uint32_t max_tags;
    uint64_t max_body;
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
};

enum influxdb_version { INFLUXDB_1 = 1, INFLUXDB_2 = 2, INFLUXDB_3 = 3 };
struct influxdb_settings {
    const char *url;
    enum influxdb_version version;
    const char *database;
    const char *retention_policy;
    const char *org;
    const char *bucket;
    struct secret token;
    struct basic_auth_settings basic_auth;
};

enum remote_write_message { REMOTE_WRITE_V1, REMOTE_WRITE_V2, REMOTE_WRITE_AUTO };
struct remote_write_settings {
    const char *url;
    enum remote_write_message protobuf_message;
    bool isolate; /* the refused part of a refused call is searched for */
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct sigv4_settings sigv4;
    struct oauth2_settings oauth2;
};

struct destination_settings {
    const char *name;
    enum destination_type type;
    uint32_t line; /* in the file, for messages */

    struct text_list select; /* series selectors, each checked */
    const struct relabel_spec *relabel;
    uint32_t relabel_count;
    struct named_texts external_labels;
    enum destination_start start;
    int64_t start_ms; /* for START_TIME */
    struct batch_settings batch;
    uint32_t concurrency; /* 0: the type's default */
    int64_t timeout_ms;
    struct retry_settings retry;
    uint64_t dead_letters_max_bytes;
    int64_t dead_letters_max_age_ms; /* 0: no limit */
    uint64_t log_budget_bytes;
    enum destination_on_full on_full;
    enum destination_unrepresentable unrepresentable;
    uint64_t max_rate_samples; /* per second; 0: no limit */
    uint64_t max_rate_bytes;
    uint64_t fill_rate_samples; /* per second; 0: no limit */
    bool paused;
    bool dry_run;
    struct text_list tenants; /* "all" alone: every tenant; empty: tenancy is off */
    const char *tenant_label;
    const char *tenant_header;

    struct http_settings http; /* for all types but FILE */
    struct aws_settings aws;   /* FIREHOSE, KINESIS, S3, TIMESTREAM */
    union {
        struct clickhouse_settings clickhouse;
        struct file_settings file;
        struct firehose_settings firehose;
        struct influxdb_settings influxdb;
        struct kinesis_settings kinesis;
        struct opentsdb_settings opentsdb;
        struct remote_write_settings remote_write;
        struct s3_settings s3;
        struct timestream_settings timestream;
    } u;
};

/* The whole list; `arena` owns all its texts. */
struct destinations {
    struct arena *arena;
    struct destination_settings *items;
    uint32_t count;
};
void destinations_free(struct destinations *list);

/* Hashes the settings that decide which series a destination gets, and their labels. It is
 * stored, so it must not change between versions for the same settings. */
uint64_t destination_selection_hash(const struct destination_settings *settings);
/* Hashes the type and the place it writes to: an address, a bucket, a stream. Stored, too. */
uint64_t destination_place_hash(const struct destination_settings *settings);
/* True if every series is selected. */
bool destination_takes_all(const struct destination_settings *settings);

#endif
