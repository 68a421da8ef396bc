/*
 * sources.c - the list of sources, and the tables of a source's keys, written like those of
 * destinations.c: a key is a row and a field. Keys of only one type are at the end, with its bit in
 * `types`. shared_keys.c says how checks are written.
 */
#include "config/lists/lists.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "backend/source_settings.h"
#include "base/text/time_text.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "model/selector.h"

static enum err
check_read_header_name(const char *text, struct why *why)
{
    static const char *const names[] = {
        "Accept-Encoding",
        "X-Firekeep-Notices",
        "X-Prometheus-Remote-Read-Version",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i]) == 0) return refuse_header(text, why);
    return check_header_name(text, why);
}

static enum err
check_source_name(const char *text, struct why *why)
{
    if (strcmp(text, "local") != 0) return check_entry_name(text, why);
    return why_set(why, ERR_INPUT, "local is reserved for what is stored here");
}

static enum err
check_timestream_name(const char *text, struct why *why)
{
    if (strstr(text, "${") == NULL) return OK;
    return why_set(why, ERR_INPUT, "a source reads one table: templates cannot be used here");
}

static enum err
check_times(struct schema_place *place, void *base)
{
    struct source_settings *s = base;
    const struct source_bound *from = &s->from, *to = &s->to;
    s->times = TIMES_BETWEEN;
    if (!from->given && !to->given)
        return schema_complain(place, NULL, "requires 'from', 'to', or both");
    /* A fixed time and a time before now may change their order as time passes. */
    bool comparable = from->given && to->given && from->before_now == to->before_now;
    bool backwards = from->before_now ? from->ms < to->ms : from->ms > to->ms;
    if (!comparable || !backwards) return OK;
    return schema_complain(place, "to", "must not be before from");
}

/* Returns the external label whose value contradicts the selector, or NULL. */
static const struct named_text *
barring_label(const struct selector *selector, const struct named_texts *labels)
{
    for (uint32_t i = 0; i < selector->count; i++) {
        const struct matcher *m = selector->matchers[i];
        for (uint32_t k = 0; k < labels->count; k++) {
            const struct named_text *label = &labels->items[k];
            if (bytes_equal(matcher_name(m), bytes_of_text(label->name)) &&
                !matcher_matches(m, bytes_of_text(label->value)))
                return label;
        }
    }
    return NULL;
}

/* Refuses selectors that cannot match: the source would silently return nothing. */
static enum err
check_selectors(struct schema_place *place, const struct source_settings *s)
{
    for (uint32_t i = 0; i < s->select.count; i++) {
        struct selector selector;
        enum err e = selector_parse(bytes_of_text(s->select.items[i]), &selector,
                                    schema_reader_of(place)->in->why);
        if (e) return e; /* not ERR_INPUT, because it was parsed before */
        const struct named_text *label = barring_label(&selector, &s->external_labels);
        selector_fini(&selector);
        if (label == NULL) continue;
        return schema_complain(place, "select", "%s selects nothing: external_labels sets %s to %s",
                               shown_of(bytes_of_text(s->select.items[i])).text, label->name,
                               shown_of(bytes_of_text(label->value)).text);
    }
    return OK;
}

static enum err
check_source(struct schema_place *place, void *base)
{
    const struct source_settings *s = base;
    const char *tenant_header =
        s->type == SOURCE_REMOTE_READ ? s->u.remote_read.tenant_header : NULL;
    bool several;
    enum err e = typed_list_check_name(place, s);
    if (e == OK) e = check_selectors(place, s);
    if (e == OK) e = check_headers(place, &s->http.headers, tenant_header, NULL);
    if (e == OK) e = check_tenants(place, &s->tenants, source_type_word(s->type), &several);
    if (e == OK && s->type == SOURCE_INFLUXDB)
        e = check_influxdb(place, &s->u.influxdb.server, false);
    const char *prefix = s->type == SOURCE_BUCKET ? s->u.bucket.store.prefix : NULL;
    if (e == OK && prefix != NULL && prefix[0] != '\0' && prefix[strlen(prefix) - 1] != '/')
        return schema_complain(place, "prefix", "must end with '/'");
    if (e || !several || tenant_header != NULL || s->type == SOURCE_BUCKET) return e;
    return schema_complain(
        place, "tenants",
        "several tenants cannot be distinguished at the source: %slist one tenant",
        s->type == SOURCE_REMOTE_READ ? "set tenant_header, or " : "");
}

#define SOURCES_FOR(type) (1u << SOURCE_##type)
#define STORE_TYPES       (SOURCES_FOR(ARCHIVE) | SOURCES_FOR(BUCKET))
#define HTTP_TYPES                                                                           \
    (STORE_TYPES | SOURCES_FOR(CLICKHOUSE) | SOURCES_FOR(INFLUXDB) | SOURCES_FOR(OPENTSDB) | \
     SOURCES_FOR(REMOTE_READ) | SOURCES_FOR(TIMESTREAM))
#define AUTH_TYPES                                                           \
    (SOURCES_FOR(BUCKET) | SOURCES_FOR(CLICKHOUSE) | SOURCES_FOR(INFLUXDB) | \
     SOURCES_FOR(OPENTSDB) | SOURCES_FOR(REMOTE_READ))
#define SOURCES_OF(f) AT(source_settings, f)

_Static_assert(sizeof(enum source_type) == 4, "a choice is stored in 4 bytes");

/* --- times ------------------------------------------------------------------------------------ */

/* The range that RFC 3339 can express: from the first moment of the year 0 to that of the year
 * 10000. */
#define TIME_MS_BEGIN (-62167219200000)
#define TIME_MS_END   253402300800000

static const struct setting before_now = {.type = SETTING_DURATION, .max = 100 * YEAR};

static bool
parse_bound(struct bytes text, struct source_bound *bound)
{
    uint64_t before_ms;
    int64_t ms;
    if (time_parse_rfc3339(text, &ms) && ms >= TIME_MS_BEGIN && ms < TIME_MS_END) {
        *bound = (struct source_bound){.given = true, .ms = ms};
        return true;
    }
    if (setting_parse_number(&before_now, text, &before_ms, NULL) != OK) return false;
    *bound = (struct source_bound){.given = true, .before_now = true, .ms = (int64_t)before_ms};
    return true;
}

static void
print_bound(const struct source_bound *bound, char *to, size_t size)
{
    char time[TIME_TEXT_BYTES];
    to[0] = '\0';
    if (bound->given && bound->before_now)
        setting_number_text(&before_now, (uint64_t)bound->ms, to, size);
    else if (bound->given)
        snprintf(to, size, "%s", time_print(bound->ms, time));
}

static bool
source_parse_from(struct bytes text, void *base)
{
    return parse_bound(text, &((struct source_settings *)base)->from);
}

static void
print_from(const void *base, char *to, size_t size)
{
    print_bound(&((const struct source_settings *)base)->from, to, size);
}

static bool
parse_to(struct bytes text, void *base)
{
    return parse_bound(text, &((struct source_settings *)base)->to);
}

static void
print_to(const void *base, char *to, size_t size)
{
    print_bound(&((const struct source_settings *)base)->to, to, size);
}

/* The words, in the order of the enum; TIMES_BETWEEN is written with keys instead. */
static const char *const times_words[TIMES_BETWEEN] = {
    [TIMES_ALL] = "all",
    [TIMES_OLDER_THAN_LOCAL] = "older_than_local",
};

static bool
parse_times(struct bytes text, void *base)
{
    struct source_settings *s = base;
    for (unsigned i = 0; i < TIMES_BETWEEN; i++) {
        if (!bytes_equal_text(text, times_words[i])) continue;
        s->times = (enum source_times)i;
        return true;
    }
    return false;
}

static void
print_times(const void *base, char *to, size_t size)
{
    const struct source_settings *s = base;
    snprintf(to, size, "%s", s->times == TIMES_BETWEEN ? "" : times_words[s->times]);
}

#define BOUND_WORDS "a time such as 2024-02-29T12:00:00Z, or a duration before now such as 30d"

/* These two mappings are embedded in the source itself. */
static const struct schema_key time_keys[] = {
    {"from", SCHEMA_OWN, SOURCES_OF(from.given), .parse = source_parse_from, .print = print_from,
     .quiet = true, .what = BOUND_WORDS,
     .help = "time of the first sample to read; not set: no limit"},
    {"to", SCHEMA_OWN, SOURCES_OF(to.given), .parse = parse_to, .print = print_to, .quiet = true,
     .what = BOUND_WORDS, .help = "time of the last sample to read; not set: no limit"},
    {NULL},
};
static const struct schema time_schema = {time_keys, sizeof(struct source_settings),
                                          .check = check_times};

static const struct schema_key sources_max_rate_keys[] = {
    {"requests", SCHEMA_COUNT, SOURCES_OF(max_rate_requests), .fallback = "0", .max = 1000000,
     .help = "maximum number of requests per second; 0: no limit"},
    {NULL},
};
static const struct schema sources_max_rate_schema = {sources_max_rate_keys,
                                                      sizeof(struct source_settings)};

static const struct schema_key cache_keys[] = {
    {"path", SCHEMA_TEXT, AT(source_cache_settings, path), .required = true, .max = 200,
     .what = "a path", .help = "directory of the cache; created if its parent exists"},
    {"max_bytes", SCHEMA_SIZE, AT(source_cache_settings, max_bytes), .fallback = "256MiB",
     .min = MIB, .max = PIB, .help = "maximum size of the cache"},
    {NULL},
};
static const struct schema cache_schema = {cache_keys, sizeof(struct source_cache_settings)};

static const struct schema_key columns_keys[] = {
    {"metric", SCHEMA_TEXT, AT(clickhouse_columns, metric), .fallback = "metric", .max = 127,
     .help = "name of the column with the metric name"},
    {"labels", SCHEMA_TEXT, AT(clickhouse_columns, labels), .fallback = "labels", .max = 127,
     .help = "name of the column with the labels, as a JSON object"},
    {"time", SCHEMA_TEXT, AT(clickhouse_columns, time), .fallback = "time", .max = 127,
     .help = "name of the column with the time, in milliseconds or as DateTime"},
    {"value", SCHEMA_TEXT, AT(clickhouse_columns, value), .fallback = "value", .max = 127,
     .help = "name of the column with the value"},
    {"bits", SCHEMA_TEXT, AT(clickhouse_columns, bits), .fallback = "bits", .max = 127,
     .help = "name of the column with the bits of values that are not finite"},
    {"histogram", SCHEMA_TEXT, AT(clickhouse_columns, histogram), .fallback = "histogram",
     .max = 127, .help = "name of the column with the native histogram, as JSON"},
    {"start_time", SCHEMA_TEXT, AT(clickhouse_columns, start_time), .fallback = "start_time",
     .max = 127, .help = "name of the column with the start timestamp"},
    {NULL},
};
static const struct schema columns_schema = {columns_keys, sizeof(struct clickhouse_columns)};

/* --- the source ------------------------------------------------------------------------------- */

static const struct schema_key source_keys[] = {
    {"name", SCHEMA_TEXT, SOURCES_OF(name), .required = true, .max = DESTINATION_NAME_BYTES_MAX,
     .check = check_source_name,
     .help = "name, unique among sources, used in metrics and commands"},
    {"type", SCHEMA_CHOICE, SOURCES_OF(type), .required = true,
     .choices = "archive|bucket|clickhouse|influxdb|opentsdb|remote_read|timestream",
     .help = "type of the source"},
    {"use", SCHEMA_TEXT, SOURCES_OF(used), .max = DESTINATION_NAME_BYTES_MAX,
     .check = check_entry_name, .what = "the name of a destination",
     .help = "destination of the same type: its name, address, credentials and the like count for "
             "the source where it gives no own"},
    {"select", SCHEMA_TEXTS, ITEMS(source_settings, select.items, select.count), .max = 256,
     .check = check_selector, .any_control = true, .what = "a series selector",
     .help = "series that it can have, as PromQL selectors; default: all"},
    {"tenants", SCHEMA_TEXTS, ITEMS(source_settings, tenants.items, tenants.count), .max = 1000,
     .word = "all", .unique = true, .check = check_tenant, .what = "a tenant",
     .help = "tenants whose queries read it; required with `tenancy.enabled`"},
    {"external_labels", SCHEMA_NAMED_TEXTS,
     ITEMS(source_settings, external_labels.items, external_labels.count), .max = 64,
     .types = HTTP_TYPES & ~SOURCES_FOR(BUCKET), .any_control = true,
     .check_name = check_added_label,
     .help = "labels set on all its series; they replace labels of the same name"},
    {"time", SCHEMA_MAPPING, .inner = &time_schema, .fallback = "all", .parse = parse_times,
     .print = print_times, .what = "all, older_than_local, or keys such as 'from:'",
     .help = "samples to read: all, those before the oldest stored sample, or those of a time "
             "range"},
    {"on_error", SCHEMA_CHOICE, SOURCES_OF(on_error), .fallback = "fail", .choices = "fail|warn",
     .help = "when it fails: fail the query, or answer without it and with a warning"},
    {"timeout", SCHEMA_DURATION, SOURCES_OF(timeout_ms), .fallback = "30s", .min = 1, .max = HOUR,
     .help = "maximum time to wait for a response, or for 1 KiB more of it"},
    {"max_concurrent", SCHEMA_COUNT, SOURCES_OF(max_concurrent), .fallback = "4", .min = 1,
     .max = 1000, .help = "maximum number of queries that read it at a time; others wait"},
    {"max_rate", SCHEMA_MAPPING, .inner = &sources_max_rate_schema, .help = "rate limits"},
    {"max_samples", SCHEMA_COUNT64, SOURCES_OF(max_samples), .fallback = "0", .max = 100000000000,
     .help = "maximum number of samples that one query may read from it; 0: no limit"},
    {"max_bytes", SCHEMA_SIZE, SOURCES_OF(max_bytes), .fallback = "0", .max = PIB,
     .help = "maximum size of the responses to one query, as received; 0: no limit"},

    HTTP_KEYS(source_settings, http, HTTP_TYPES),
    HEADERS_KEY(source_settings, http, HTTP_TYPES, check_read_header_name),
    BASIC_AUTH_KEY(source_settings, basic_auth, AUTH_TYPES),
    AUTHORIZATION_KEY(source_settings, authorization, AUTH_TYPES),
    OAUTH2_KEY(source_settings, oauth2, AUTH_TYPES),

    {"url", SCHEMA_TEXT, SOURCES_OF(u.clickhouse.server.url), .types = SOURCES_FOR(CLICKHOUSE),
     .required = true, .check = check_url, .what = "a URL",
     .help = "URL of the server's HTTP interface"},
    {"database", SCHEMA_TEXT, SOURCES_OF(u.clickhouse.server.database),
     .types = SOURCES_FOR(CLICKHOUSE), .fallback = "default", .help = "name of the database"},
    {"table", SCHEMA_TEXT, SOURCES_OF(u.clickhouse.server.table), .types = SOURCES_FOR(CLICKHOUSE),
     .required = true, .help = "name of the table or view"},
    {"columns", SCHEMA_MAPPING, BELOW(source_settings, u.clickhouse.columns, columns_schema),
     .types = SOURCES_FOR(CLICKHOUSE), .help = "names of the columns"},

    {"url", SCHEMA_TEXT, SOURCES_OF(u.influxdb.server.url), .types = SOURCES_FOR(INFLUXDB),
     .required = true, .check = check_url, .what = "a URL", .help = "URL of the server"},
    {"version", SCHEMA_COUNT, SOURCES_OF(u.influxdb.server.version), .types = SOURCES_FOR(INFLUXDB),
     .required = true, .min = 1, .max = 3, .help = "major version of the server: 1, 2 or 3"},
    {"database", SCHEMA_TEXT, SOURCES_OF(u.influxdb.server.database),
     .types = SOURCES_FOR(INFLUXDB), .help = "name of the database (versions 1 and 3)"},
    {"retention_policy", SCHEMA_TEXT, SOURCES_OF(u.influxdb.server.retention_policy),
     .types = SOURCES_FOR(INFLUXDB),
     .help = "name of the retention policy (version 1); default: that of the database"},
    {"bucket", SCHEMA_TEXT, SOURCES_OF(u.influxdb.server.bucket), .types = SOURCES_FOR(INFLUXDB),
     .help = "name of the bucket (version 2)"},
    SECRET("token", source_settings, u.influxdb.server.token, GROUP_AUTHORIZATION,
           SOURCES_FOR(INFLUXDB), NULL, false, "token with permission to read"),
    {"mapping", SCHEMA_CHOICE, SOURCES_OF(u.influxdb.mapping), .types = SOURCES_FOR(INFLUXDB),
     .fallback = "prometheus", .choices = "prometheus|telegraf",
     .help = "name of a series: the measurement, as Firekeep and Prometheus write it, or "
             "measurement_field for every numeric field, as Telegraf writes them"},

    {"url", SCHEMA_TEXT, SOURCES_OF(u.opentsdb.server.url), .types = SOURCES_FOR(OPENTSDB),
     .required = true, .check = check_url, .what = "a URL", .help = "URL of the server"},
    {"expansion_limit", SCHEMA_COUNT, SOURCES_OF(u.opentsdb.expansion_limit),
     .types = SOURCES_FOR(OPENTSDB), .fallback = "4096", .min = 1, .max = 1000000,
     .help = "maximum number of values in a filter: tsd.query.filter.expansion_limit of the "
             "server"},
    {"escaping", SCHEMA_CHOICE, SOURCES_OF(u.opentsdb.escaping), .types = SOURCES_FOR(OPENTSDB),
     .fallback = "auto", .choices = "auto|prometheus",
     .help = "escaping of names and values: that of Firekeep, which includes that of Prometheus' "
             "adapter; or that of the adapter, which wrote tag names as they are"},

    {"url", SCHEMA_TEXT, SOURCES_OF(u.remote_read.url), .types = SOURCES_FOR(REMOTE_READ),
     .required = true, .check = check_url, .what = "a URL",
     .help = "URL of the remote read endpoint"},
    {"protobuf", SCHEMA_CHOICE, SOURCES_OF(u.remote_read.protobuf),
     .types = SOURCES_FOR(REMOTE_READ), .fallback = "auto", .choices = "auto|streamed|samples",
     .help = "form of responses: streamed chunks, or samples in one message; auto: streamed, or "
             "samples if the server does not stream"},
    {"labels_url", SCHEMA_TEXT, SOURCES_OF(u.remote_read.labels_url),
     .types = SOURCES_FOR(REMOTE_READ), .check = check_url, .what = "a URL",
     .help = "URL below which the server has /api/v1/labels and the like; default: `url` without "
             "/api/v1/read at its end"},
    {"tenant_header", SCHEMA_TEXT, SOURCES_OF(u.remote_read.tenant_header),
     .types = SOURCES_FOR(REMOTE_READ), .check = check_read_header_name, .what = "a header name",
     .help = "header that carries the tenant name"},
    SIGV4_KEY(source_settings, u.remote_read.sigv4, SOURCES_FOR(REMOTE_READ)),

    {"region", SCHEMA_TEXT, SOURCES_OF(u.timestream.aws.region), .types = SOURCES_FOR(TIMESTREAM),
     .help = "AWS region; default: from the environment or the profile"},
    {"database", SCHEMA_TEXT, SOURCES_OF(u.timestream.database), .types = SOURCES_FOR(TIMESTREAM),
     .required = true, .max = 256, .check = check_timestream_name, .help = "name of the database"},
    {"table", SCHEMA_TEXT, SOURCES_OF(u.timestream.table), .types = SOURCES_FOR(TIMESTREAM),
     .required = true, .max = 256, .check = check_timestream_name, .help = "name of the table"},
    {"query_endpoint", SCHEMA_TEXT, SOURCES_OF(u.timestream.query_endpoint),
     .types = SOURCES_FOR(TIMESTREAM), .check = check_endpoint, .what = "a URL",
     .help = "URL of the service; default: the endpoint that AWS returns"},
    {"schema", SCHEMA_CHOICE, SOURCES_OF(u.timestream.schema), .types = SOURCES_FOR(TIMESTREAM),
     .fallback = "auto", .choices = "auto|firekeep|connector",
     .help =
         "what wrote the table: firekeep: coded names are decoded, and columns of others are an "
         "error; connector: names stand for themselves; auto: names are decoded, other columns "
         "are ignored"},
    AWS_KEYS(source_settings, u.timestream.aws, SOURCES_FOR(TIMESTREAM)),

    {"path", SCHEMA_TEXT, SOURCES_OF(u.archive.path), .types = STORE_TYPES, .required = true,
     .group = GROUP_STORE, .max = 200, .what = "a path",
     .help = "directory that has the objects, in place of a bucket"},
    {"bucket", SCHEMA_TEXT, SOURCES_OF(u.archive.bucket), .types = STORE_TYPES, .required = true,
     .group = GROUP_STORE, .check = check_bucket, .what = "a bucket", .help = "name of the bucket"},
    {"region", SCHEMA_TEXT, SOURCES_OF(u.archive.aws.region), .types = STORE_TYPES,
     .needs = "bucket", .help = "AWS region; default: from the environment or the profile"},
    {"endpoint", SCHEMA_TEXT, SOURCES_OF(u.archive.endpoint), .types = STORE_TYPES,
     .needs = "bucket", .check = check_endpoint, .what = "a URL",
     .help = "URL of the store; default: that of AWS"},
    {"path_style", SCHEMA_BOOL, SOURCES_OF(u.archive.path_style), .types = STORE_TYPES,
     .help = "put the bucket into the path of URLs, not into the host name"},
    {"prefix", SCHEMA_TEXT, SOURCES_OF(u.archive.prefix), .types = STORE_TYPES, .max = 768,
     .check = check_prefix,
     .help = "beginning of the names of all objects; in an archive before the hour"},
    {"layout", SCHEMA_CHOICE, SOURCES_OF(u.archive.layout), .types = SOURCES_FOR(ARCHIVE),
     .fallback = "hourly", .choices = "hourly|flat",
     .help = "names of objects: hourly: YYYY/MM/DD/HH/ in UTC after the prefix; flat: any"},
    {"late", SCHEMA_DURATION, SOURCES_OF(u.archive.late_ms), .types = SOURCES_FOR(ARCHIVE),
     .fallback = "2h", .max = 100 * YEAR,
     .help = "maximum difference between the time of a sample and the hour of its object"},
    {"cache", SCHEMA_MAPPING, BELOW(source_settings, cache, cache_schema),
     .types = SOURCES_FOR(ARCHIVE), .quiet = true,
     .help = "cache on disk: an index of the objects"},
    AWS_KEYS(source_settings, u.archive.aws, STORE_TYPES),
    {"cache", SCHEMA_MAPPING, BELOW(source_settings, u.bucket.cache, object_cache_schema),
     .types = SOURCES_FOR(BUCKET), .quiet = true,
     .help = "cache on disk: what queries have read of the indexes of parts in the bucket"},
    {"recent_from", SCHEMA_TEXTS,
     ITEMS(source_settings, u.bucket.recent_from.items, u.bucket.recent_from.count),
     .types = SOURCES_FOR(BUCKET), .max = BUCKET_RECENT_MAX, .check = check_url, .what = "a URL",
     .help = "URLs of the server that writes into the bucket, of which the first one that answers "
             "is asked for samples that are not there yet; default: these are not read"},
    {NULL},
};

/* Keys of both have one field. */
_Static_assert(offsetof(struct bucket_read_settings, store) == 0, "as in a union of both");
_Static_assert(sizeof source_keys / sizeof *source_keys <= SCHEMA_KEYS_MAX,
               "SCHEMA_KEYS_MAX counts all keys of a mapping");

static const struct schema_refusal removed_keys[] = {
    {"cache", "is for archives only: answers of other sources are no longer kept on disk",
     HTTP_TYPES & ~STORE_TYPES},
    {"org", "is not needed: a token belongs to an organization", SOURCES_FOR(INFLUXDB)},
    {NULL},
};
const struct schema source_schema = {source_keys, sizeof(struct source_settings),
                                     .refused = removed_keys, .check = check_source};

/* --- the list --------------------------------------------------------------------------------- */

static const struct typed_list sources_list = {
    .name = "sources",
    .entry = "source",
    .schema = &source_schema,
    .line_offset = offsetof(struct source_settings, line),
    .max = SOURCES_MAX,
    .used = &destinations_list,
};

enum err
sources_yaml(const char *file_name, struct bytes text, const struct settings *settings,
             struct sources *ret_list, struct why *why)
{
    struct typed_entries entries;
    enum err e = typed_list_yaml(&sources_list, file_name, text, settings, &entries, why);
    if (e) return e;
    *ret_list = (struct sources){entries.arena, entries.items, entries.count};
    /* `use` is resolved: the keys that it filled in are printed and compared instead. */
    for (uint32_t i = 0; i < ret_list->count; i++)
        ret_list->items[i].used = NULL;
    return OK;
}

const struct source_settings *
sources_find(const struct sources *list, const char *name)
{
    return typed_list_find(&sources_list, list->items, list->count, name);
}

void
sources_print_yaml(const struct sources *list, struct buf *to)
{
    typed_list_print(&sources_list, list->items, list->count, to);
}

bool
source_settings_equal(const struct source_settings *a, const struct source_settings *b)
{
    return typed_list_same(&sources_list, a, b);
}

/* --- a source that is this server ------------------------------------------------------------- */

/*
 * A query of such a server would send itself another one, until no slot for queries is left. Only
 * the settings are compared, and no name is resolved, so not every such URL is found.
 */

/* The address and path in a URL. */
struct url_target {
    char host[SETTING_TEXT_BYTES]; /* without brackets */
    char path[SETTING_TEXT_BYTES];
    unsigned long port;
};

/* Copies a part of a URL into `to`. A longer part cannot be an address of this server. */
static CURLUcode
take_part(CURLU *url, CURLUPart part, char to[SETTING_TEXT_BYTES])
{
    char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OK) {
        size_t bracket = text[0] == '[';
        snprintf(to, SETTING_TEXT_BYTES, "%s", text + bracket);
        if (bracket == 1) to[strcspn(to, "]")] = '\0';
    }
    curl_free(text);
    return code;
}

/* ERR_NOMEM; an invalid URL has port 0. */
static enum err
url_target_of(const char *text, struct url_target *ret_target, struct why *why)
{
    struct url_target target = {.port = 0};
    char port[SETTING_TEXT_BYTES] = "0";
    CURLU *url = curl_url();
    CURLUcode code = url == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(url, CURLUPART_URL, text, 0);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_HOST, target.host);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_PATH, target.path);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_PORT, port);
    curl_url_cleanup(url);
    if (code == CURLUE_OUT_OF_MEMORY) return why_set(why, ERR_NOMEM, "not enough memory for a URL");
    if (code == CURLUE_OK) target.port = strtoul(port, NULL, 10);
    *ret_target = target;
    return OK;
}

static bool
is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

static bool
is_address(const struct url_target *target, const char *address)
{
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    if (settings_listen_address(address, host, &port, NULL) != OK) return false;
    if (port == 0 || port != target->port) return false;
    if (strcasecmp(host, target->host) == 0) return true;
    if (!is_loopback(target->host)) return false;
    bool all = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    return all || (is_loopback(host) && (strcasecmp(host, "localhost") == 0 ||
                                         strcasecmp(target->host, "localhost") == 0));
}

/* Returns the setting that makes a URL one of this server: it is an address of it, or below its
 * external URL; NULL if none does. */
static const char *
own_setting(const struct url_target *target, const struct url_target *external,
            const struct settings *settings, const struct listener_list *listeners)
{
    char address[SETTING_TEXT_BYTES];
    for (const char *rest = settings->web_listen_address;
         (rest = settings_list_next(rest, address)) != NULL;)
        if (is_address(target, address)) return "web.listen-address";
    for (uint32_t i = 0; i < listeners->count; i++)
        if (is_address(target, listeners->items[i].address)) return "listeners";
    size_t size = strlen(external->path);
    while (size > 0 && external->path[size - 1] == '/')
        size--;
    bool is_below = external->port != 0 && external->port == target->port &&
                    strcasecmp(external->host, target->host) == 0 &&
                    strncmp(external->path, target->path, size) == 0 && target->path[size] == '/';
    return is_below ? "web.external-url" : NULL;
}

enum err
sources_check(const struct sources *list, const struct settings *settings,
              const struct listener_list *listeners, struct why *why)
{
    struct url_target external, target;
    enum err e = url_target_of(settings->web_external_url, &external, why);
    for (uint32_t i = 0; i < list->count && e == OK; i++) {
        const struct source_settings *s = &list->items[i];
        if (s->type != SOURCE_REMOTE_READ) continue; /* Firekeep serves no other protocol */
        e = url_target_of(s->u.remote_read.url, &target, why);
        if (e) return e;
        const char *ours = own_setting(&target, &external, settings, listeners);
        if (ours == NULL) continue;
        e = why_set(why, ERR_INPUT,
                    "source %s (line %" PRIu32 "): url is an address of this server (%s); a server "
                    "cannot read from itself",
                    s->name, s->line, ours);
    }
    return e;
}
