/*
 * destinations.c - the list of destinations, and the tables of a destination's keys. A key is one
 * row: its kind, field, default and limits, the types that have it, and its help. Reading the file,
 * printing the configuration, comparing destinations for a reload and the reference in
 * docs/configuration.md all walk these rows; so a new key is a row and a field.
 *
 *      destination_keys -+- keys of all types, then those of one type after the other (`types`)
 *                        +- relabel, batch, retry, tls_config, ...: a mapping is a table of its own
 *
 * The configuration is printed in their order. Rows shared with sources are in shared_keys.h.
 * Checks that a row cannot express are functions here or in shared_keys.c: of one
 * value (`check` of a key), or of several keys of a mapping (`check` of a schema).
 */
#include "config/lists/lists.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/writer.h"
#include "base/text/time_text.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "sys/paths.h"

/* Checks that the tables below cannot express and only destinations have; the rest is in
 * shared_keys.c, which says how checks are written. */

/* --- texts ------------------------------------------------------------------------------------ */

/* Checks of one text, as in shared_keys.h. */
static enum err
check_template(const char *text, struct why *why)
{
    for (const char *p = text; (p = strstr(p, "${")) != NULL;) {
        p += 2;
        size_t size = strcspn(p, "{}");
        if (size == 0 || p[size] != '}')
            return refuse_text(why, "a name and '}' after each '${'", text);
        p += size + 1;
    }
    return OK;
}

static enum err
check_tenant_template(const char *text, struct why *why)
{
    static const char tenant[] = "${tenant}";
    enum err e = check_template(text, why);
    for (const char *p = text; e == OK && (p = strstr(p, "${")) != NULL; p++) {
        if (strncmp(p, tenant, strlen(tenant)) == 0) continue;
        e = why_set(why, ERR_INPUT, "only ${tenant} can be used here, got %s",
                    shown_of(bytes_of_text(p)).text);
    }
    return e;
}

static enum err
check_tenant_prefix(const char *text, struct why *why)
{
    enum err e = check_prefix(text, why);
    return e ? e : check_tenant_template(text, why);
}

/* --- mappings --------------------------------------------------------------------------------- */

/* Check of a mapping: `base` is the struct of its schema. */
static enum err
check_retry(struct schema_place *place, void *base)
{
    const struct retry_settings *retry = base;
    if (retry->min_backoff_ms <= retry->max_backoff_ms) return OK;
    const char *given = schema_given(place, "max_backoff") ? "max_backoff" : "min_backoff";
    return schema_complain(place, given, "max_backoff must be at least min_backoff");
}

/* --- a destination ---------------------------------------------------------------------------- */

static bool
names_tenant(const char *template)
{
    return template != NULL && strstr(template, "${tenant}") != NULL;
}

/* True if the other end can distinguish tenants; if not, `ret_else` names an alternative. */
static bool
is_tenant_visible(const struct destination_settings *d, const char **ret_else)
{
    *ret_else = "";
    if (d->tenant_label != NULL) return true;
    switch (d->type) {
    case DESTINATION_REMOTE_WRITE:
        *ret_else = " or tenant_header";
        return d->tenant_header != NULL;
    case DESTINATION_S3:
        *ret_else = ", or ${tenant} in prefix";
        return names_tenant(d->u.s3.prefix);
    case DESTINATION_TIMESTREAM:
        *ret_else = ", or ${tenant} in database or table";
        return names_tenant(d->u.timestream.database) || names_tenant(d->u.timestream.table);
    case DESTINATION_FILE:
        *ret_else = ", or ${tenant} in path";
        return names_tenant(d->u.file.path);
    default:
        return false;
    }
}

/* Check of a whole destination; the context is a struct typed_context. */
static enum err
check_destination(struct schema_place *place, void *base)
{
    const struct destination_settings *d = base;
    bool is_aws = d->type == DESTINATION_FIREHOSE || d->type == DESTINATION_KINESIS ||
                  d->type == DESTINATION_S3 || d->type == DESTINATION_TIMESTREAM;
    bool several;
    const char *otherwise;
    enum err e = typed_list_check_name(place, d);
    if (e == OK) {
        e = check_headers(place, &d->http.headers, d->tenant_header,
                          is_aws ? "the request signature" : NULL);
    }
    if (e == OK && d->type == DESTINATION_INFLUXDB) e = check_influxdb(place, &d->u.influxdb, true);
    if (e == OK && d->type == DESTINATION_S3 && d->u.s3.kms_key_id != NULL &&
        d->u.s3.sse != S3_SSE_KMS)
        e = schema_complain(place, "kms_key_id", "is only valid with sse: aws:kms");
    if (e == OK) e = check_tenants(place, &d->tenants, destination_type_word(d->type), &several);
    if (e || !several || is_tenant_visible(d, &otherwise)) return e;
    return schema_complain(
        place, "tenants",
        "several tenants cannot be distinguished at the destination: set tenant_label%s",
        otherwise);
}

#define FOR(type) (1u << DESTINATION_##type)
#define AWS_TYPES (FOR(FIREHOSE) | FOR(KINESIS) | FOR(S3) | FOR(TIMESTREAM))
#define DESTINATIONS_HTTP_TYPES \
    (AWS_TYPES | FOR(CLICKHOUSE) | FOR(INFLUXDB) | FOR(OPENTSDB) | FOR(REMOTE_WRITE))
#define OF(f) AT(destination_settings, f)

_Static_assert(sizeof(enum destination_type) == 4, "a choice is stored in 4 bytes");
_Static_assert(sizeof(enum influxdb_version) == 4, "a count is stored in 4 bytes");

/* --- keys of all types ------------------------------------------------------------------------ */

static const struct schema_key batch_keys[] = {
    {"max_samples", SCHEMA_COUNT, AT(batch_settings, max_samples), .fallback = "0", .max = 1000000,
     .help = "maximum number of samples per request; 0: default of the type"},
    {"max_bytes", SCHEMA_SIZE, AT(batch_settings, max_bytes), .fallback = "0", .max = GIB,
     .help = "maximum size of a request as sent; 0: default of the type"},
    {"max_age", SCHEMA_DURATION, AT(batch_settings, max_age_ms), .fallback = "5s", .max = HOUR,
     .help = "how long a request that is not full waits for more samples, or until the previous "
             "request ends"},
    {NULL},
};
static const struct schema batch_schema = {batch_keys, sizeof(struct batch_settings)};

static const struct schema_key retry_keys[] = {
    {"min_backoff", SCHEMA_DURATION, AT(retry_settings, min_backoff_ms), .fallback = "100ms",
     .min = 1, .max = HOUR, .help = "wait before the first retry; it grows with each retry"},
    {"max_backoff", SCHEMA_DURATION, AT(retry_settings, max_backoff_ms), .fallback = "10s",
     .min = 1, .max = DAY, .help = "maximum wait before a retry"},
    {"give_up_after", SCHEMA_DURATION, AT(retry_settings, give_up_after_ms), .fallback = "never",
     .zero_word = "never", .max = 100 * YEAR,
     .help = "time after which the samples of a failing request become dead letters"},
    {NULL},
};
static const struct schema retry_schema = {retry_keys, sizeof(struct retry_settings),
                                           .check = check_retry};

/* The next two mappings are embedded in the destination itself. */
static const struct schema_key dead_letters_keys[] = {
    {"max_bytes", SCHEMA_SIZE, OF(dead_letters_max_bytes), .fallback = "1GiB", .min = MIB,
     .max = PIB, .help = "maximum size of the dead letters; the oldest are removed first"},
    {"max_age", SCHEMA_DURATION, OF(dead_letters_max_age_ms), .fallback = "0", .max = 100 * YEAR,
     .help = "how long to keep dead letters; 0: until `max_bytes` is reached"},
    {NULL},
};
static const struct schema dead_letters_schema = {dead_letters_keys,
                                                  sizeof(struct destination_settings)};

static const struct schema_key max_rate_keys[] = {
    {"samples", SCHEMA_COUNT64, OF(max_rate_samples), .fallback = "0", .max = 100000000000,
     .help = "maximum number of samples per second; 0: no limit"},
    {"bytes", SCHEMA_SIZE, OF(max_rate_bytes), .fallback = "0", .max = TIB,
     .help = "maximum number of bytes per second, before compression; 0: no limit"},
    {NULL},
};
static const struct schema max_rate_schema = {max_rate_keys, sizeof(struct destination_settings)};

/* The first moment of the year 10000, which RFC 3339 cannot express. */
#define TIME_MS_END 253402300800000

static bool
parse_start(struct bytes text, void *base)
{
    struct destination_settings *d = base;
    int64_t ms = 0;
    enum destination_start start = bytes_equal_text(text, "now")         ? START_NOW
                                   : bytes_equal_text(text, "beginning") ? START_BEGINNING
                                                                         : START_TIME;
    if (start == START_TIME && !time_parse_rfc3339(text, &ms) && !time_parse_seconds(text, &ms))
        return false;
    if (ms < 0 || ms >= TIME_MS_END) return false;
    d->start = start;
    d->start_ms = ms;
    return true;
}

static void
print_start(const void *base, char *to, size_t size)
{
    const struct destination_settings *d = base;
    char time[TIME_TEXT_BYTES];
    snprintf(to, size, "%s",
             d->start == START_NOW         ? "now"
             : d->start == START_BEGINNING ? "beginning"
                                           : time_print(d->start_ms, time));
}

/* --- the destination -------------------------------------------------------------------------- */

static const struct schema_key destination_keys[] = {
    {"name", SCHEMA_TEXT, OF(name), .required = true, .max = DESTINATION_NAME_BYTES_MAX,
     .check = check_entry_name, .help = "unique name, used in metrics, commands and on disk"},
    {"type", SCHEMA_CHOICE, OF(type), .required = true,
     .choices = "clickhouse|file|firehose|influxdb|kinesis|opentsdb|remote_write|s3|timestream",
     .help = "type of the destination"},
    {"select", SCHEMA_TEXTS, ITEMS(destination_settings, select.items, select.count), .max = 256,
     .check = check_selector, .any_control = true, .what = "a series selector",
     .help = "series to send, as PromQL selectors; default: all"},
    {"relabel", SCHEMA_MAPPINGS, ITEMS(destination_settings, relabel, relabel_count), .max = 256,
     .inner = &relabel_schema,
     .help = "rules that change or drop series before sending, applied in order"},
    {"external_labels", SCHEMA_NAMED_TEXTS,
     ITEMS(destination_settings, external_labels.items, external_labels.count), .max = 64,
     .any_control = true,
     .help = "labels added to series that do not have them, before relabelling"},
    {"start", SCHEMA_OWN, OF(start), .fallback = "now", .parse = parse_start, .print = print_start,
     .what = "now, beginning, or a time such as 2024-02-29T12:00:00Z or 1709208000",
     .help = "where a new destination starts"},
    {"batch", SCHEMA_MAPPING, BELOW(destination_settings, batch, batch_schema),
     .help = "size of requests"},
    {"concurrency", SCHEMA_COUNT, OF(concurrency), .fallback = "0", .max = 64,
     .help = "maximum number of concurrent requests; 0: default of the type"},
    {"timeout", SCHEMA_DURATION, OF(timeout_ms), .fallback = "30s", .min = 1, .max = HOUR,
     .help = "maximum time for one request"},
    {"retry", SCHEMA_MAPPING, BELOW(destination_settings, retry, retry_schema),
     .help = "retries of failed requests"},
    {"dead_letters", SCHEMA_MAPPING, .inner = &dead_letters_schema,
     .help = "limits of the dead letters"},
    {"log_budget", SCHEMA_SIZE, OF(log_budget_bytes), .fallback = "1GiB", .min = MIB, .max = PIB,
     .help = "maximum size of the log that waits for this destination"},
    {"on_full", SCHEMA_CHOICE, OF(on_full), .fallback = "block", .choices = "block|drop_oldest",
     .help = "without a store, when `log_budget` is used up: refuse writes, or drop the oldest "
             "samples of this destination"},
    {"unrepresentable", SCHEMA_CHOICE, OF(unrepresentable), .fallback = "dead_letter",
     .choices = "dead_letter|drop",
     .help = "what to do with samples that the destination cannot represent"},
    {"max_rate", SCHEMA_MAPPING, .inner = &max_rate_schema, .help = "rate limits"},
    {"fill_rate", SCHEMA_COUNT64, OF(fill_rate_samples), .fallback = "0", .max = 100000000000,
     .help =
         "maximum number of stored samples per second while catching up from `start`; 0: no limit"},
    {"paused", SCHEMA_BOOL, OF(paused), .fallback = "false",
     .help = "send nothing; new samples wait in the log"},
    {"dry_run", SCHEMA_BOOL, OF(dry_run), .fallback = "false",
     .help = "do everything except sending"},
    {"tenants", SCHEMA_TEXTS, ITEMS(destination_settings, tenants.items, tenants.count),
     .max = 1000, .word = "all", .unique = true, .check = check_tenant, .what = "a tenant",
     .help = "tenants whose series to send; required with `tenancy.enabled`"},
    {"tenant_label", SCHEMA_TEXT, OF(tenant_label), .check = check_added_label,
     .help = "label that receives the tenant name"},
    {"tenant_header", SCHEMA_TEXT, OF(tenant_header), .types = FOR(REMOTE_WRITE),
     .check = check_header_name, .what = "a header name",
     .help = "header that carries the tenant name; requests then hold one tenant each"},

    HTTP_KEYS(destination_settings, http, DESTINATIONS_HTTP_TYPES),
    HEADERS_KEY(destination_settings, http, DESTINATIONS_HTTP_TYPES, check_header_name),

    {"region", SCHEMA_TEXT, OF(aws.region), .types = AWS_TYPES, .check = check_region,
     .help = "AWS region, such as eu-west-1; default: from AWS_REGION or the profile"},
    AWS_KEYS(destination_settings, aws, AWS_TYPES),

    {"stream", SCHEMA_TEXT, OF(u.kinesis.stream), .types = FOR(KINESIS), .required = true,
     .check = check_stream, .help = "name or ARN of the data stream"},
    {"endpoint", SCHEMA_TEXT, OF(u.kinesis.endpoint), .types = FOR(KINESIS),
     .check = check_endpoint, .what = "a URL", .help = "URL of the service; default: that of AWS"},
    {"format", SCHEMA_CHOICE, OF(u.kinesis.format), .types = FOR(KINESIS), .fallback = "packed",
     .choices = "ndjson|packed|kpl",
     .help = "ndjson: one JSON object per record; packed: many objects per record; kpl: KPL "
             "aggregation"},

    {"delivery_stream", SCHEMA_TEXT, OF(u.firehose.delivery_stream), .types = FOR(FIREHOSE),
     .required = true, .check = check_delivery_stream, .help = "name of the delivery stream"},
    {"endpoint", SCHEMA_TEXT, OF(u.firehose.endpoint), .types = FOR(FIREHOSE),
     .check = check_endpoint, .what = "a URL", .help = "URL of the service; default: that of AWS"},
    {"compression", SCHEMA_CHOICE, OF(u.firehose.compression), .types = FOR(FIREHOSE),
     .fallback = "none", .choices = "none|gzip", .help = "compression of each record"},

    {"bucket", SCHEMA_TEXT, OF(u.s3.bucket), .types = FOR(S3), .required = true,
     .check = check_bucket, .what = "a bucket", .help = "name of the bucket"},
    {"prefix", SCHEMA_TEXT, OF(u.s3.prefix), .types = FOR(S3), .may_be_empty = true, .max = 512,
     .check = check_tenant_prefix,
     .help = "prefix of object names; `${tenant}` stands for the tenant"},
    {"endpoint", SCHEMA_TEXT, OF(u.s3.endpoint), .types = FOR(S3), .check = check_endpoint,
     .what = "a URL", .help = "URL of the service; default: that of AWS"},
    {"path_style", SCHEMA_BOOL, OF(u.s3.path_style), .types = FOR(S3), .fallback = "false",
     .help = "put the bucket into the path instead of the host name"},
    {"compression", SCHEMA_CHOICE, OF(u.s3.compression), .types = FOR(S3), .fallback = "zstd",
     .choices = "none|gzip|zstd", .help = "compression of objects"},
    {"roll_bytes", SCHEMA_SIZE, OF(u.s3.roll_bytes), .types = FOR(S3), .fallback = "64MiB",
     .min = KIB, .max = 5 * GIB, .help = "size at which an object is finished"},
    {"roll_age", SCHEMA_DURATION, OF(u.s3.roll_age_ms), .types = FOR(S3), .fallback = "5m",
     .min = SECOND, .max = 7 * DAY, .help = "age at which an object is finished"},
    {"sse", SCHEMA_CHOICE, OF(u.s3.sse), .types = FOR(S3), .fallback = "none",
     .choices = "none|AES256|aws:kms",
     .help = "server-side encryption; none: as configured for the bucket"},
    {"kms_key_id", SCHEMA_TEXT, OF(u.s3.kms_key_id), .types = FOR(S3),
     .help = "KMS key for `sse: aws:kms`"},
    {"storage_class", SCHEMA_TEXT, OF(u.s3.storage_class), .types = FOR(S3),
     .help = "storage class, such as STANDARD_IA"},

    {"database", SCHEMA_TEXT, OF(u.timestream.database), .types = FOR(TIMESTREAM), .required = true,
     .max = 512, .check = check_template,
     .help = "name of the database; `${tenant}` and `${label}` stand for values"},
    {"table", SCHEMA_TEXT, OF(u.timestream.table), .types = FOR(TIMESTREAM), .required = true,
     .max = 512, .check = check_template,
     .help = "name of the table; `${tenant}` and `${label}` stand for values"},
    {"write_endpoint", SCHEMA_TEXT, OF(u.timestream.write_endpoint), .types = FOR(TIMESTREAM),
     .check = check_endpoint, .what = "a URL",
     .help = "URL of the service; default: the endpoint that AWS returns"},
    {"overwrite", SCHEMA_BOOL, OF(u.timestream.overwrite), .types = FOR(TIMESTREAM),
     .fallback = "false",
     .help = "replace existing values in the table; a replay also replaces what was sent before"},
    {"measure_name_colon", SCHEMA_CHOICE, OF(u.timestream.measure_name_colon),
     .types = FOR(TIMESTREAM), .fallback = "map", .choices = "map|keep",
     .help = "map: replace colons in metric names; keep: send them unchanged"},

    {"url", SCHEMA_TEXT, OF(u.opentsdb.url), .types = FOR(OPENTSDB), .required = true,
     .check = check_url, .what = "a URL", .help = "URL of the server"},
    {"max_tags", SCHEMA_COUNT, OF(u.opentsdb.max_tags), .types = FOR(OPENTSDB), .fallback = "8",
     .min = 1, .max = 1024, .help = "maximum number of tags per series that the server accepts"},
    {"max_body", SCHEMA_SIZE, OF(u.opentsdb.max_body), .types = FOR(OPENTSDB), .fallback = "8000",
     .min = 512, .max = GIB, .help = "maximum size of a request that the server accepts"},
    BASIC_AUTH_KEY(destination_settings, u.opentsdb.basic_auth, FOR(OPENTSDB)),
    AUTHORIZATION_KEY(destination_settings, u.opentsdb.authorization, FOR(OPENTSDB)),

    {"url", SCHEMA_TEXT, OF(u.influxdb.url), .types = FOR(INFLUXDB), .required = true,
     .check = check_url, .what = "a URL", .help = "URL of the server"},
    {"version", SCHEMA_COUNT, OF(u.influxdb.version), .types = FOR(INFLUXDB), .required = true,
     .min = 1, .max = 3, .help = "major version of the server: 1, 2 or 3"},
    {"database", SCHEMA_TEXT, OF(u.influxdb.database), .types = FOR(INFLUXDB),
     .help = "name of the database (versions 1 and 3)"},
    {"retention_policy", SCHEMA_TEXT, OF(u.influxdb.retention_policy), .types = FOR(INFLUXDB),
     .help = "name of the retention policy (version 1); default: that of the database"},
    {"org", SCHEMA_TEXT, OF(u.influxdb.org), .types = FOR(INFLUXDB),
     .help = "name of the organization (version 2)"},
    {"bucket", SCHEMA_TEXT, OF(u.influxdb.bucket), .types = FOR(INFLUXDB),
     .help = "name of the bucket (version 2)"},
    SECRET("token", destination_settings, u.influxdb.token, GROUP_AUTHORIZATION, FOR(INFLUXDB),
           NULL, false, "token with permission to write"),
    BASIC_AUTH_KEY(destination_settings, u.influxdb.basic_auth, FOR(INFLUXDB)),

    {"url", SCHEMA_TEXT, OF(u.clickhouse.url), .types = FOR(CLICKHOUSE), .required = true,
     .check = check_url, .what = "a URL", .help = "URL of the server's HTTP interface"},
    {"database", SCHEMA_TEXT, OF(u.clickhouse.database), .types = FOR(CLICKHOUSE),
     .fallback = "default", .help = "name of the database, which must exist"},
    {"table", SCHEMA_TEXT, OF(u.clickhouse.table), .types = FOR(CLICKHOUSE), .required = true,
     .help = "name of the table"},
    {"create", SCHEMA_BOOL, OF(u.clickhouse.create), .types = FOR(CLICKHOUSE), .fallback = "true",
     .help = "create the table if it does not exist"},
    {"cluster", SCHEMA_TEXT, OF(u.clickhouse.cluster), .types = FOR(CLICKHOUSE),
     .help = "cluster on which to create the table: replicated, and distributed over its shards"},
    BASIC_AUTH_KEY(destination_settings, u.clickhouse.basic_auth, FOR(CLICKHOUSE)),
    AUTHORIZATION_KEY(destination_settings, u.clickhouse.authorization, FOR(CLICKHOUSE)),

    {"url", SCHEMA_TEXT, OF(u.remote_write.url), .types = FOR(REMOTE_WRITE), .required = true,
     .check = check_url, .what = "a URL", .help = "URL of the remote write endpoint"},
    {"protobuf_message", SCHEMA_CHOICE, OF(u.remote_write.protobuf_message),
     .types = FOR(REMOTE_WRITE), .fallback = "auto",
     .choices = "prometheus.WriteRequest|io.prometheus.write.v2.Request|auto",
     .help = "remote write 1.0 or 2.0; auto: 2.0, or 1.0 if the server does not support 2.0"},
    {"isolate", SCHEMA_BOOL, OF(u.remote_write.isolate), .types = FOR(REMOTE_WRITE),
     .fallback = "true",
     .help = "send a refused request again in pieces to find the refused samples; false: all of it "
             "becomes dead letters"},
    BASIC_AUTH_KEY(destination_settings, u.remote_write.basic_auth, FOR(REMOTE_WRITE)),
    AUTHORIZATION_KEY(destination_settings, u.remote_write.authorization, FOR(REMOTE_WRITE)),
    SIGV4_KEY(destination_settings, u.remote_write.sigv4, FOR(REMOTE_WRITE)),
    OAUTH2_KEY(destination_settings, u.remote_write.oauth2, FOR(REMOTE_WRITE)),

    {"path", SCHEMA_TEXT, OF(u.file.path), .types = FOR(FILE), .required = true, .max = 1024,
     .check = check_tenant_template, .what = "a path",
     .help = "directory of the files; `${tenant}` stands for the tenant"},
    {"format", SCHEMA_CHOICE, OF(u.file.format), .types = FOR(FILE), .fallback = "ndjson",
     .choices = "ndjson|csv|openmetrics", .help = "format of the files"},
    {"roll_bytes", SCHEMA_SIZE, OF(u.file.roll_bytes), .types = FOR(FILE), .fallback = "64MiB",
     .min = KIB, .max = TIB, .help = "size at which a file is finished"},
    {"roll_age", SCHEMA_DURATION, OF(u.file.roll_age_ms), .types = FOR(FILE), .fallback = "1h",
     .min = SECOND, .max = YEAR, .help = "age at which a file is finished"},
    {"compression", SCHEMA_CHOICE, OF(u.file.compression), .types = FOR(FILE), .fallback = "none",
     .choices = "none|gzip|zstd", .help = "compression of the files"},
    {NULL},
};

_Static_assert(sizeof destination_keys / sizeof *destination_keys <= SCHEMA_KEYS_MAX,
               "SCHEMA_KEYS_MAX counts all keys of a mapping");

const struct schema destination_schema = {destination_keys, sizeof(struct destination_settings),
                                          .check = check_destination};

/* --- the list --------------------------------------------------------------------------------- */

const struct typed_list destinations_list = {
    .name = "destinations",
    .entry = "destination",
    .schema = &destination_schema,
    .line_offset = offsetof(struct destination_settings, line),
    .max = DESTINATIONS_MAX,
};

enum err
destinations_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                  struct destinations *ret_list, struct why *why)
{
    struct typed_entries entries;
    enum err e = typed_list_yaml(&destinations_list, file_name, text, settings, &entries, why);
    if (e) return e;
    *ret_list = (struct destinations){entries.arena, entries.items, entries.count};
    return OK;
}

const struct destination_settings *
destinations_find(const struct destinations *list, const char *name)
{
    return typed_list_find(&destinations_list, list->items, list->count, name);
}

void
destinations_print_yaml(const struct destinations *list, struct buf *to)
{
    typed_list_print(&destinations_list, list->items, list->count, to);
}

bool
destination_settings_equal(const struct destination_settings *a,
                           const struct destination_settings *b)
{
    return typed_list_same(&destinations_list, a, b);
}

/* --- targets ---------------------------------------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

/* Returns the next part of a path, and moves *at after it; empty at the end. */
static struct bytes
path_part(const char **at)
{
    struct bytes part;
    do {
        *at += strspn(*at, "/");
        part = bytes_of(*at, strcspn(*at, "/"));
        *at += part.size;
    } while (bytes_equal_text(part, "."));
    return part;
}

/* Compares paths without regard to repeated slashes and ".". Links are not followed, because
 * their targets may change. */
static bool
same_path(const char *a, const char *b)
{
    if ((a[0] == '/') != (b[0] == '/')) return false;
    for (;;) {
        struct bytes one = path_part(&a), other = path_part(&b);
        if (!bytes_equal(one, other)) return false;
        if (one.size == 0) return true;
    }
}

/* True if both would write to the same target, and delete files there. */
static bool
share_target(const struct destination_settings *a, const struct destination_settings *b)
{
    if (a->type != b->type) return false;
    if (a->type == DESTINATION_FILE) return same_path(a->u.file.path, b->u.file.path);
    return a->type == DESTINATION_S3 && same_text(a->u.s3.bucket, b->u.s3.bucket) &&
           same_text(a->u.s3.prefix, b->u.s3.prefix) &&
           same_text(a->u.s3.endpoint, b->u.s3.endpoint);
}

static const char TENANT_TEMPLATE[] = "${tenant}";

/* For a path with a template: writes the path of the tenant, if there is one, that leads towards
 * `target`. */
static bool
path_towards(const struct destination_settings *d, const char *target,
             char ret_path[REAL_PATH_BYTES])
{
    char base[REAL_PATH_BYTES];
    const char *path = d->u.file.path, *template = strstr(path, TENANT_TEMPLATE);
    const char *after = template + sizeof TENANT_TEMPLATE - 1, *name = template;
    while (name > path && name[-1] != '/')
        name--;
    int size = snprintf(ret_path, REAL_PATH_BYTES, "%.*s", (int)(name - path), path);
    if (size >= REAL_PATH_BYTES || real_path(ret_path, base) != OK) return false;
    size_t base_size = strlen(base) == 1 ? 0 : strlen(base);
    if (real_path_is_within(base, target)) return true; /* `target` has the paths of all tenants */
    if (!real_path_is_within(target, base)) return false;
    struct bytes next = bytes_of_text(target + base_size + 1);
    next.size = strcspn(target + base_size + 1, "/");
    size_t begin = (size_t)(template - name), end = strcspn(after, "/");
    if (next.size <= begin + end || memcmp(next.at, name, begin) != 0 ||
        memcmp(next.at + next.size - end, after, end) != 0)
        return false;
    struct bytes tenant = bytes_of(next.at + begin, next.size - begin - end);
    bool takes = d->tenants.count == 0; /* without a list, the destination takes all tenants */
    for (uint32_t i = 0; i < d->tenants.count; i++) {
        const char *text = d->tenants.items[i];
        takes |= strcmp(text, "all") == 0 || bytes_equal_text(tenant, text);
    }
    if (!takes) return false;
    size = snprintf(ret_path, REAL_PATH_BYTES, "%.*s/%.*s%s", (int)base_size, base, (int)next.size,
                    (const char *)next.at, after + end);
    return size < REAL_PATH_BYTES;
}

/* At its start a destination of type file removes unknown and unfinished files in its directory,
 * so the storage directory must not be inside. */
static enum err
check_outside(const struct destination_settings *d, const char *storage, struct why *why)
{
    char path[REAL_PATH_BYTES], real[REAL_PATH_BYTES];
    bool by_tenant = strstr(d->u.file.path, TENANT_TEMPLATE) != NULL;
    if (by_tenant && !path_towards(d, storage, path)) return OK;
    if (real_path(by_tenant ? path : d->u.file.path, real) != OK)
        return OK; /* opening it will fail */
    if (!real_path_is_within(real, storage)) return OK;
    return why_set(why, ERR_INPUT,
                   "destination %s: path %s%s is inside the storage directory %s; choose a "
                   "directory outside it",
                   d->name, d->u.file.path, by_tenant ? " (of one tenant)" : "", storage);
}

enum err
destinations_check(const struct destinations *list, const char *storage_path, struct why *why)
{
    char storage[REAL_PATH_BYTES];
    enum err resolved = real_path(storage_path, storage);
    if (resolved) {
        return why_set(why, ERR_INPUT, "cannot resolve storage.path %s: %s", storage_path,
                       resolved == ERR_LIMIT ? "path is too long" : errno_text(errno).text);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const struct destination_settings *d = &list->items[i];
        enum err e = d->type == DESTINATION_FILE ? check_outside(d, storage, why) : OK;
        if (e) return e;
        for (uint32_t k = 0; k < i; k++) {
            if (!share_target(d, &list->items[k])) continue;
            return why_set(
                why, ERR_INPUT,
                "destinations %s and %s write to the same target; give each its own path or prefix",
                list->items[k].name, d->name);
        }
        if (writer_class_of(d->type) != NULL) continue;
        return why_set(why, ERR_UNSUPPORTED,
                       "destination %s: this version does not support type %s", d->name,
                       destination_type_word(d->type));
    }
    return OK;
}
