/*
 * config.c - the table of settings, and its uses: defaults, flags, files, reload, help. text.c
 * writes one value as text, yaml.c reads settings from the file, and lists.h reads what has no
 * flags.
 *
 * A setting is named after its field: the first word is the section; units that a value carries
 * itself (5m, 4GiB) are left out unless the name would be unclear without them.
 */
#include "config/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/text/suggest.h"
#include "config/lists/lists.h"
#include "config/schema/text.h"
#include "wire/yaml/yaml_reader.h"

enum { NAMES_MAX = 16 }; /* equals REPLICA_LABELS_MAX of views/stack.h */

static const char *
refuse_name_label(const char *item)
{
    return strcmp(item, "__name__") == 0 ? "" : NULL;
}

static enum err
replica_labels_check(const char *text, const char **ret_expected)
{
    char name[SETTING_TEXT_BYTES];
    uint32_t count = 0;
    for (const char *rest = text; (rest = settings_list_next(rest, name)) != NULL;)
        count++;
    enum err e = settings_check_items(text, refuse_name_label, ret_expected);
    *ret_expected = "up to 16 label names with commas between them, each once, and not __name__";
    return count > NAMES_MAX ? ERR_INPUT : e;
}

#define KIB      ((uint64_t)1024)
#define MIB      (KIB * 1024)
#define GIB      (MIB * 1024)
#define PIB      (GIB * 1024 * 1024)
#define SECOND   ((uint64_t)1000)
#define HOUR     (3600 * SECOND)
#define DAY      (24 * HOUR)
#define YEAR     (365 * DAY)
#define FIELD(f) .offset = offsetof(struct settings, f), .size = sizeof((struct settings *)0)->f

static const struct setting table[] = {
    {"config.file", SETTING_TEXT, FIELD(config_file), .fallback = "", .max = 255, .flag_only = true,
     .what = "FILE", .help = "YAML file with settings; flags override it"},

    {"storage.path", SETTING_TEXT, FIELD(storage_path), .fallback = "./data", .min = 1, .max = 200,
     .what = "DIRECTORY", .help = "storage directory"},
    {"storage.mode", SETTING_CHOICE, FIELD(storage_mode), .fallback = "local",
     .choices = "local|none|reader",
     .help =
         "local: store samples; none: keep them only until all destinations have taken them, "
         "or, with sources alone, refuse them with 501; reader: only read sources of type bucket"},
    {"storage.min-free", SETTING_BYTES, FIELD(storage_min_free_bytes), .fallback = "0", .min = 1,
     .max = PIB, .zero = "automatic",
     .help = "minimum free disk space; below it, writes are answered with 503; 0 means 1GiB, or 5 "
             "% of a disk smaller than 20GiB"},

    {"web.listen-address", SETTING_TEXT, FIELD(web_listen_address), .fallback = "127.0.0.1:9201",
     .max = 255, .is_list = true, .repeatable = true, .what = "ADDRESS,...",
     .check_item = web_check_listener,
     .help = "addresses to listen on for HTTP: HOST:PORT, unix:PATH or fd://NAME (a socket that "
             "systemd passes); :9201 means all addresses, port 0 any free port; each further flag "
             "adds addresses"},
    {"web.config.file", SETTING_TEXT, FIELD(web_config_file), .fallback = "", .max = 255,
     .reloadable = true, .is_path = true, .what = "FILE",
     .help = "YAML file with TLS, users, headers and the limit of the rate, as of Prometheus"},
    {"web.external-url", SETTING_TEXT, FIELD(web_external_url), .fallback = "", .max = 255,
     .what = "URL", .check = web_check_url,
     .help =
         "URL under which clients reach the server, for example behind a proxy; its path is the "
         "default of web.route-prefix; empty means the host name and the port"},
    {"web.route-prefix", SETTING_TEXT, FIELD(web_route_prefix), .fallback = "", .max = 255,
     .what = "PATH", .check = web_check_prefix,
     .help = "prefix of the paths of all HTTP endpoints; empty means the path of web.external-url"},
    {"web.telemetry-path", SETTING_TEXT, FIELD(web_telemetry_path), .fallback = "", .max = 255,
     .what = "PATH", .check = web_check_path,
     .help = "path at which the server's own metrics are, besides /metrics"},
    {"web.cors-origin", SETTING_TEXT, FIELD(web_cors_origin), .fallback = "auto", .max = 255,
     .what = "REGEX", .check = web_check_origin,
     .help = "regular expression, anchored, for the origins whose pages may read from the HTTP API "
             "in a browser (CORS); auto: all origins without users, none with users"},
    {"web.allowed-hosts", SETTING_TEXT, FIELD(web_allowed_hosts), .fallback = "", .max = 255,
     .reloadable = true, .is_list = true, .what = "HOST,...", .check_item = web_check_name,
     .help = "host names besides localhost and addresses under which the server is reached; "
             "requests of sessions with another Host get 403, and without users also those at "
             "loopback addresses, or all if this is set"},
    {"web.trusted-proxies", SETTING_TEXT, FIELD(web_trusted_proxies), .fallback = "", .max = 255,
     .reloadable = true, .is_list = true, .what = "NETWORK,...", .check_item = web_check_network,
     .help = "addresses and networks of proxies whose X-Forwarded-For names the client"},
    {"web.enable-lifecycle", SETTING_BOOL, FIELD(web_enable_lifecycle), .fallback = "false",
     .help = "enable POST /-/reload"},
    {"web.enable-admin-api", SETTING_BOOL, FIELD(web_enable_admin_api), .fallback = "false",
     .help = "enable the admin API, which is all paths below /api/v1/admin/: flush, merge, "
             "snapshots, deletion of series; pause, replay, dead letters and test of destinations"},
    {"web.max-connections", SETTING_COUNT, FIELD(web_max_connections), .fallback = "1024", .min = 1,
     .max = 65536,
     .help =
         "maximum number of open connections; beyond it a new one gets the place of an idle one "
         "without verified credentials, or 503 or a reset"},
    {"web.workers", SETTING_COUNT, FIELD(web_workers), .fallback = "0", .min = 2, .max = 256,
     .zero = "automatic", .help = "number of HTTP threads; 0 means one per processor, at least 2"},
    {"web.max-header-bytes", SETTING_BYTES, FIELD(web_max_header_bytes), .fallback = "1MiB",
     .min = KIB, .max = WEB_HEADER_BYTES_MAX,
     .help = "maximum size of the request line and headers together; larger ones get 431"},
    {"web.max-body-bytes", SETTING_BYTES, FIELD(web_max_body_bytes), .fallback = "64MiB",
     .min = KIB, .max = GIB,
     .help = "maximum size of a request body as sent, compressed; larger ones get 413"},
    {"web.max-decoded-bytes", SETTING_BYTES, FIELD(web_max_decoded_bytes), .fallback = "64MiB",
     .min = KIB, .max = GIB,
     .help = "maximum size of a request body after decompression; larger ones get 413; less with a "
             "memory.limit below about 400MiB: 8MiB with 64MiB"},
    {"web.header-timeout", SETTING_DURATION, FIELD(web_header_timeout_ms), .fallback = "10s",
     .min = 100, .max = HOUR, .help = "maximum time for a client to send all headers"},
    {"web.body-timeout", SETTING_DURATION, FIELD(web_body_timeout_ms), .fallback = "1m", .min = 100,
     .max = HOUR, .help = "maximum time for a client to send the whole body"},
    {"web.idle-timeout", SETTING_DURATION, FIELD(web_idle_timeout_ms), .fallback = "5m", .min = 100,
     .max = DAY, .help = "maximum time that an idle connection stays open between requests"},
    {"web.send-timeout", SETTING_DURATION, FIELD(web_send_timeout_ms), .fallback = "30s",
     .min = 100, .max = HOUR,
     .help = "maximum time that a client may read nothing of a response before it is disconnected"},
    {"web.search-max-limit", SETTING_COUNT64, FIELD(web_search_max_limit), .fallback = "10k",
     .max = 100000000, .reloadable = true,
     .help = "maximum limit that a request to /api/v1/search may set; 0 means no limit"},

    {"retention.time", SETTING_DURATION, FIELD(retention_time_ms), .fallback = "10y", .min = HOUR,
     .max = 100 * YEAR, .reloadable = true,
     .help = "how long to keep samples; older ones are removed"},
    {"retention.size", SETTING_BYTES, FIELD(retention_size_bytes), .fallback = "0",
     .max = 1024 * PIB, .reloadable = true,
     .help = "maximum size of all parts together; above it, the oldest parts are removed; 0 means "
             "no limit"},
    {"retention.grace", SETTING_DURATION, FIELD(retention_grace_ms), .fallback = "1d",
     .max = 90 * DAY, .reloadable = true,
     .help = "how long retention.rules that were replaced still protect the samples that they "
             "keep; 0 means not at all"},
    {"retention.share", SETTING_COUNT, FIELD(retention_share_percent), .fallback = "25", .min = 1,
     .max = 100, .reloadable = true,
     .help = "share of a part's samples past their retention.rules, in percent, from which on it "
             "is rewritten without them"},

    {"delete.hold", SETTING_DURATION, FIELD(delete_hold_ms), .fallback = "1d", .max = 90 * DAY,
     .reloadable = true,
     .help = "how long a deletion can be undone; until then its samples stay on disk; 0 means that "
             "it cannot"},

    {"write.max-future", SETTING_DURATION, FIELD(write_max_future_ms), .fallback = "10m",
     .max = 100 * YEAR, .reloadable = true,
     .help =
         "maximum time that a sample may be ahead of the system clock; later samples are refused"},
    {"write.max-labels", SETTING_COUNT, FIELD(write_max_labels), .fallback = "128", .min = 1,
     .max = 4096, .reloadable = true,
     .help = "maximum number of labels per series; series with more are refused"},
    {"write.max-name-bytes", SETTING_BYTES32, FIELD(write_max_name_bytes), .fallback = "1KiB",
     .min = 16, .max = 64 * KIB, .reloadable = true,
     .help = "maximum length of a label name; series with longer ones are refused"},
    {"write.max-value-bytes", SETTING_BYTES32, FIELD(write_max_value_bytes), .fallback = "16KiB",
     .min = 16, .max = MIB, .reloadable = true,
     .help = "maximum length of a label value; series with longer ones are refused"},
    {"write.max-series", SETTING_COUNT, FIELD(write_max_series), .fallback = "0", .max = 1000000000,
     .reloadable = true,
     .help = "maximum number of active series per tenant; above it, new series are refused and "
             "existing ones continue; 0 means no limit"},
    {"write.max-series-per-metric", SETTING_COUNT, FIELD(write_max_series_per_metric),
     .fallback = "0", .max = 1000000000, .reloadable = true,
     .help = "maximum number of active series per tenant and metric name; 0 means no limit"},
    {"write.require-name", SETTING_CHOICE, FIELD(write_require_name), .fallback = "auto",
     .choices = "auto|always|never", .reloadable = true,
     .help = "refuse series without __name__; auto refuses them only in remote write 2.0"},

    {"wal.ack", SETTING_CHOICE, FIELD(wal_ack), .fallback = "fsync",
     .choices = "fsync|written|memory|destination",
     .help = "when to acknowledge a write: after fsync, once written to the log file, or once in "
             "memory (a query waits up to 100ms for it); only fsync survives power loss; "
             "destination: without a log, once all destinations have taken it (storage.mode=none)"},
    {"wal.ack-timeout", SETTING_DURATION, FIELD(wal_ack_timeout_ms), .fallback = "30s",
     .min = 3 * SECOND, .max = HOUR,
     .help =
         "with wal.ack=destination, the time after which senders give up a write; it is "
         "answered with 503 2s earlier, and what is not delivered by then is not sent any more"},
    {"wal.segment-bytes", SETTING_BYTES, FIELD(wal_segment_bytes), .fallback = "64MiB", .min = MIB,
     .max = GIB, .help = "size of one segment of the write-ahead log"},
    {"wal.budget", SETTING_BYTES, FIELD(wal_budget_bytes), .fallback = "4GiB", .min = 2 * MIB,
     .max = PIB, .reloadable = true,
     .help = "maximum size of the write-ahead log; at least twice wal.segment-bytes"},

    {"memory.limit", SETTING_BYTES, FIELD(memory_limit_bytes), .fallback = "0", .min = 64 * MIB,
     .max = PIB, .zero = "automatic",
     .help = "maximum memory for data; 0 means 60 % of the memory of the machine or its cgroup"},

    {"head.max-samples", SETTING_COUNT64, FIELD(head_max_samples), .fallback = "0", .min = 1000,
     .max = 100000000000, .zero = "automatic",
     .help = "maximum number of samples in memory before they are written to a part; 0 means 8M "
             "plus 12 per series, which a start after a crash replays in a second or two"},
    {"head.max-age", SETTING_DURATION, FIELD(head_max_age_ms), .fallback = "2h", .min = SECOND,
     .max = 7 * DAY,
     .help = "maximum time that samples stay in memory before they are written to a part"},

    {"tenancy.enabled", SETTING_BOOL, FIELD(tenancy_enabled), .fallback = "false",
     .help = "take the tenant from the header X-Scope-OrgID; a|b reads several"},
    {"tenancy.max-tenants", SETTING_COUNT, FIELD(tenancy_max_tenants), .fallback = "10000",
     .min = 1, .max = 1000000,
     .help = "maximum number of tenants; writes of other tenants are refused"},

    {"read.max-concurrent", SETTING_COUNT, FIELD(read_max_concurrent), .fallback = "10", .min = 1,
     .max = 1000, .help = "maximum number of concurrent reads; others wait"},
    {"read.queue-timeout", SETTING_DURATION, FIELD(read_queue_timeout_ms), .fallback = "10s",
     .max = HOUR, .help = "maximum time that a read waits for its turn before it gets 503"},
    {"read.timeout", SETTING_DURATION, FIELD(read_timeout_ms), .fallback = "2m", .min = 1,
     .max = DAY, .reloadable = true,
     .help = "maximum time for one read, including the time that the client takes to read the "
             "response"},
    {"read.max-samples", SETTING_COUNT64, FIELD(read_max_samples), .fallback = "50M", .min = 1,
     .max = 100000000000, .reloadable = true,
     .help = "maximum number of samples in a response that is not streamed"},
    {"read.max-series", SETTING_COUNT64, FIELD(read_max_series), .fallback = "0",
     .max = 100000000000, .reloadable = true,
     .help = "maximum number of series that one read may return; 0 means no limit"},
    {"read.max-bytes", SETTING_BYTES, FIELD(read_max_bytes), .fallback = "0", .max = PIB,
     .reloadable = true,
     .help = "maximum size of compressed samples that one read may take from the store; 0 means no "
             "limit"},
    {"read.frame-bytes", SETTING_BYTES, FIELD(read_frame_bytes), .fallback = "1MiB", .min = KIB,
     .max = 64 * MIB, .help = "size of one frame of a streamed response"},

    {"query.max-concurrent", SETTING_COUNT, FIELD(query_max_concurrent), .fallback = "20", .min = 1,
     .max = 1000,
     .help = "maximum number of PromQL queries that run at a time; others wait, and "
             "tenants take turns"},
    {"query.queue-timeout", SETTING_DURATION, FIELD(query_queue_timeout_ms), .fallback = "30s",
     .max = HOUR,
     .help = "maximum time that a query waits for its turn, or for memory that others have, before "
             "it gets 503"},
    {"query.timeout", SETTING_DURATION, FIELD(query_timeout_ms), .fallback = "2m", .min = 1,
     .max = DAY, .reloadable = true,
     .help = "maximum time for one query, including the time that the client takes to read the "
             "response"},
    {"query.max-samples", SETTING_COUNT64, FIELD(query_max_samples), .fallback = "50M", .min = 1,
     .max = 100000000000, .reloadable = true,
     .help = "maximum number of samples that one query may hold in memory at a time"},
    {"query.max-samples-read", SETTING_COUNT64, FIELD(query_max_samples_read), .fallback = "0",
     .max = 100000000000, .reloadable = true,
     .help = "maximum number of samples that one query may read; 0 means no limit"},
    {"query.max-series", SETTING_COUNT64, FIELD(query_max_series), .fallback = "0",
     .max = 100000000000, .reloadable = true,
     .help = "maximum number of series that one query may read; 0 means no limit"},
    {"query.max-bytes", SETTING_BYTES, FIELD(query_max_bytes), .fallback = "0", .max = PIB,
     .reloadable = true,
     .help = "maximum size of compressed samples that one query may take from the store; 0 means "
             "no limit"},
    {"query.max-fetched-bytes", SETTING_BYTES, FIELD(query_max_fetched_bytes), .fallback = "0",
     .max = PIB, .reloadable = true,
     .help =
         "maximum size of what one query may read from the bucket of object_storage; 0 means no "
         "limit"},
    {"query.max-points", SETTING_COUNT64, FIELD(query_max_points), .fallback = "11k", .min = 1,
     .max = 100000000, .reloadable = true, .help = "maximum number of steps of a range query"},
    {"query.lookback-delta", SETTING_DURATION, FIELD(query_lookback_delta_ms), .fallback = "5m",
     .min = 1, .max = 365 * DAY, .reloadable = true,
     .help = "how long a series has its last value in PromQL"},
    {"query.cache-bytes", SETTING_BYTES, FIELD(query_cache_bytes), .fallback = "64MiB", .max = PIB,
     .reloadable = true,
     .help =
         "size of the results of range queries that are kept in memory, to be used again when a "
         "dashboard repeats them; 0 keeps none"},
    {"query.slow-log", SETTING_DURATION, FIELD(query_slow_log_ms), .fallback = "10s", .max = DAY,
     .reloadable = true,
     .help = "log queries that take this long, with what they read; 0s logs none"},
    {"query.replica-labels", SETTING_TEXT, FIELD(query_replica_labels), .fallback = "", .max = 255,
     .reloadable = true, .is_list = true, .what = "LABEL,...", .check = replica_labels_check,
     .help = "labels that name the replicas of a Prometheus; answers lack them, and series that "
             "differ in nothing else are deduplicated"},
    {"query.features", SETTING_SET, FIELD(query_features), .fallback = "", .reloadable = true,
     .choices = "delayed-name-removal|use-start-timestamps|type-and-unit-labels",
     .help = "optional behaviour of PromQL, as Prometheus enables it with --enable-feature"},

    {"global.evaluation-interval", SETTING_DURATION, FIELD(global_evaluation_interval_ms),
     .fallback = "1m", .min = 1, .max = YEAR, .reloadable = true,
     .help =
         "how often to evaluate the groups of rules that have no interval of their own; the step "
         "of subqueries that give none"},
    {"global.rule-query-offset", SETTING_DURATION, FIELD(global_rule_query_offset_ms),
     .fallback = "0s", .max = YEAR, .reloadable = true,
     .help = "how far in the past to evaluate the groups of rules that have no query_offset of "
             "their own, so that late samples count"},

    {"rules.max-concurrent-evals", SETTING_COUNT, FIELD(rules_max_concurrent_evals),
     .fallback = "4", .min = 1, .max = 1000, .reloadable = true,
     .help = "maximum number of rules of one group that are evaluated at a time"},
    {"rules.outage-tolerance", SETTING_DURATION, FIELD(rules_outage_tolerance_ms), .fallback = "1h",
     .max = YEAR, .reloadable = true,
     .help = "maximum outage after which alerts continue from where they were"},
    {"rules.grace-period", SETTING_DURATION, FIELD(rules_grace_period_ms), .fallback = "10m",
     .max = YEAR, .reloadable = true,
     .help = "minimum time after an outage before a pending alert fires, unless its `for` is "
             "shorter"},
    {"rules.resend-delay", SETTING_DURATION, FIELD(rules_resend_delay_ms), .fallback = "1m",
     .max = DAY, .reloadable = true,
     .help = "minimum time before a firing alert is sent to an Alertmanager again"},
    {"rules.catch-up", SETTING_DURATION, FIELD(rules_catch_up_ms), .fallback = "1d", .max = YEAR,
     .reloadable = true,
     .help = "maximum age of missed evaluations of recording rules that are made after an outage; "
             "0s makes none"},
    {"rules.catch-up-wait", SETTING_DURATION, FIELD(rules_catch_up_wait_ms), .fallback = "10m",
     .max = DAY, .reloadable = true,
     .help = "maximum time after an outage that missed evaluations wait for late samples"},
    {"rules.api", SETTING_BOOL, FIELD(rules_api), .fallback = "false",
     .help = "enable the ruler API, which changes rules: /prometheus/config/v1/rules, "
             "/config/v1/rules, /api/prom/rules"},
    {"rules.api-max-groups", SETTING_COUNT, FIELD(rules_api_max_groups), .fallback = "1000",
     .min = 1, .max = 100000, .reloadable = true,
     .help = "maximum number of groups per tenant that the ruler API stores"},
    {"rules.api-max-bytes", SETTING_BYTES, FIELD(rules_api_max_bytes), .fallback = "1MiB",
     .min = KIB, .max = 16 * MIB, .reloadable = true,
     .help = "maximum size of a group, as YAML, that the ruler API stores"},

    {"alerting.queue-capacity", SETTING_COUNT, FIELD(alerting_queue_capacity), .fallback = "10000",
     .min = 1, .max = 1000000, .reloadable = true,
     .help = "maximum number of alerts that wait for one member of an Alertmanager; the oldest are "
             "dropped first"},
    {"alerting.batch-size", SETTING_COUNT, FIELD(alerting_batch_size), .fallback = "256", .min = 1,
     .max = 10000, .reloadable = true, .help = "maximum number of alerts per request"},

    {"self-scrape.interval", SETTING_DURATION, FIELD(self_scrape_interval_ms), .fallback = "0s",
     .min = 100, .max = DAY, .zero = "off", .reloadable = true,
     .help = "how often the server stores its own metrics; 0s means never"},

    {"backup.to", SETTING_TEXT, FIELD(backup_to), .fallback = "", .max = 255, .reloadable = true,
     .what = "PLACE",
     .help = "directory or bucket (s3://BUCKET/PREFIX) that the server backs itself up to, see "
             "docs/backup.md; empty means never"},
    {"backup.every", SETTING_DURATION, FIELD(backup_every_ms), .fallback = "1d", .min = 1000,
     .max = YEAR, .reloadable = true, .help = "time from one backup to the next"},
    {"backup.keep", SETTING_COUNT, FIELD(backup_keep), .fallback = "7", .min = 1, .max = 1000000,
     .reloadable = true, .help = "number of backups to keep; older ones are removed"},
    {"backup.keep-daily", SETTING_COUNT, FIELD(backup_keep_daily), .fallback = "0", .max = 1000000,
     .reloadable = true,
     .help = "number of days, of UTC, of which the newest backup is kept in addition"},
    {"backup.keep-weekly", SETTING_COUNT, FIELD(backup_keep_weekly), .fallback = "0",
     .max = 1000000, .reloadable = true, .help = "the same for weeks, which begin on Monday"},
    {"backup.keep-monthly", SETTING_COUNT, FIELD(backup_keep_monthly), .fallback = "0",
     .max = 1000000, .reloadable = true, .help = "the same for months"},
    {"backup.rate", SETTING_BYTES, FIELD(backup_rate_bytes), .fallback = "0", .max = PIB,
     .reloadable = true,
     .help = "maximum number of bytes that backups read per second; 0 means no limit"},

    {"auth.sigv4-services", SETTING_TEXT, FIELD(auth_sigv4_services), .fallback = "aps,execute-api",
     .max = 255, .reloadable = true, .is_list = true, .what = "SERVICE,...",
     .check_item = web_check_service,
     .help = "services for which requests that are signed for AWS (SigV4) may be signed; aps and "
             "execute-api always are"},
    {"auth.sigv4-region", SETTING_TEXT, FIELD(auth_sigv4_region), .fallback = "", .max = 255,
     .reloadable = true, .what = "REGION", .check = web_check_word,
     .help = "region for which such requests must be signed; empty means any"},
    {"auth.sigv4-host", SETTING_TEXT, FIELD(auth_sigv4_host), .fallback = "", .max = 255,
     .reloadable = true, .what = "HOST", .check = web_check_host,
     .help = "host for which such requests must be signed, which is their header Host, with the "
             "port if it has one; empty means any"},
    {"auth.sigv4-unsigned-payload", SETTING_BOOL, FIELD(auth_sigv4_unsigned_payload),
     .fallback = "false", .reloadable = true,
     .help = "accept signed requests over TLS whose signature does not cover the body "
             "(UNSIGNED-PAYLOAD)"},

    {"process.core-dumps", SETTING_BOOL, FIELD(process_core_dumps), .fallback = "false",
     .help = "allow core dumps, and debuggers that do not run as root; both show secrets"},
    {"process.seccomp", SETTING_BOOL, FIELD(process_seccomp), .fallback = "true",
     .help = "refuse system calls that the server does not need, also to programs that it runs; "
             "these cannot gain privileges, for example by sudo"},

    {"log.level", SETTING_CHOICE, FIELD(log_level), .fallback = "info",
     .choices = "debug|info|warn|error", .reloadable = true,
     .help = "minimum level of messages to log"},
    {"log.format", SETTING_CHOICE, FIELD(log_format), .fallback = "logfmt",
     .choices = "logfmt|json", .help = "format of the log lines on standard error"},
    {NULL},
};

_Static_assert(sizeof table / sizeof *table <= SETTINGS_MAX, "SETTINGS_MAX counts all settings");
_Static_assert(sizeof(enum storage_mode) == sizeof(int), "a choice is stored as int");
_Static_assert(sizeof(enum log_level) == sizeof(int), "a choice is stored as int");
_Static_assert(sizeof(enum name_rule) == sizeof(int), "a choice is stored as int");

const struct setting *
settings_table(void)
{
    return table;
}

const struct setting *
settings_find(struct bytes name)
{
    for (const struct setting *s = table; s->name != NULL; s++)
        if (bytes_equal_text(name, s->name)) return s;
    return NULL;
}

void
settings_default(struct settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (const struct setting *s = table; s->name != NULL; s++) {
        enum err e = setting_parse(s, bytes_of_text(s->fallback), settings, NULL);
        assert(e == OK);
    }
}

/* --- rules ------------------------------------------------------------------------------------ */

const char *
settings_rules_lack(const struct settings *settings, uint32_t destination_count,
                    uint32_t source_count)
{
    if (settings->storage_mode == STORAGE_LOCAL) return NULL;
    if (source_count == 0)
        return "no rule can be evaluated: storage.mode is not local, and there is no source to "
               "read";
    if (destination_count == 0)
        return "results of rules are lost: storage.mode is not local, and no destination is "
               "configured";
    return NULL;
}

enum err
settings_validate(const struct settings *settings, uint32_t destination_count,
                  uint32_t source_count, struct why *why)
{
    if (settings->backup_to[0] != '\0' && settings->storage_mode != STORAGE_LOCAL)
        return why_set(why, ERR_INPUT, "backup.to requires storage.mode=local");
    /* A server without a store of its own only forwards samples. */
    if (settings->storage_mode != STORAGE_LOCAL && destination_count == 0 && source_count == 0) {
        return why_set(
            why, ERR_INPUT,
            "without storage.mode=local, at least one destination or source is required");
    }
    if (settings->wal_ack == ACK_DESTINATION && settings->storage_mode != STORAGE_NONE) {
        return why_set(why, ERR_INPUT,
                       "wal.ack=destination requires storage.mode=none: a server that stores "
                       "samples acknowledges them when they are in its log");
    }
    if (settings->wal_budget_bytes / 2 < settings->wal_segment_bytes) {
        static const struct setting shape = {.type = SETTING_BYTES};
        char budget[48], segment[48];
        setting_number_text(&shape, settings->wal_budget_bytes, budget, sizeof budget);
        setting_number_text(&shape, settings->wal_segment_bytes, segment, sizeof segment);
        return why_set(why, ERR_INPUT,
                       "wal.budget (%s) must be at least twice wal.segment-bytes (%s)", budget,
                       segment);
    }
    return OK;
}

enum err
settings_check_reload(const struct settings *now, const struct settings *next, struct why *why)
{
    for (const struct setting *s = table; s->name != NULL; s++) {
        bool same = s->type == SETTING_TEXT
                        ? strcmp(setting_text(s, now), setting_text(s, next)) == 0
                        : setting_number(s, now) == setting_number(s, next);
        if (s->reloadable || same) continue;
        /* The change is in the file: a reload applies the same flags as the start. */
        char name[SETTING_TEXT_BYTES];
        enum err e = why_set(why, ERR_INPUT, "%s can only be changed by a restart",
                             setting_yaml_name(s, name));
        return now->config_file[0] == '\0' ? e : why_prefix(why, e, "%s", now->config_file);
    }
    return OK;
}

/* --- flags ------------------------------------------------------------------------------------ */

static enum err
unknown_flag(struct bytes name, struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, name);
    for (const struct setting *s = table; s->name != NULL; s++) {
        suggest_try(&near, s->name);
        char negated[SUGGEST_BYTES_MAX];
        snprintf(negated, sizeof negated, "no-%s", s->name);
        if (s->type == SETTING_BOOL) suggest_try(&near, negated);
    }
    suggest_try(&near, "help");
    char flag[SUGGEST_BYTES_MAX + 2];
    snprintf(flag, sizeof flag, "--%.*s", (int)(name.size < 60 ? name.size : 60),
             (const char *)name.at);
    return why_set(why, ERR_INPUT, "unknown flag %s%s", shown_of(bytes_of_text(flag)).text,
                   suggest_hint(&near, "--").text);
}

/* Sets the value of a flag. One that is repeatable and was given before gets more items. */
static enum err
set_flag(const struct setting *s, const char *value, struct settings *to, bool *given,
         struct why *why)
{
    char joined[2 * SETTING_TEXT_BYTES];
    bool adds = s->repeatable && *given && value[0] != '\0' && setting_text(s, to)[0] != '\0';
    if (adds) {
        size_t size = (size_t)snprintf(joined, sizeof joined, "%s,%s", setting_text(s, to), value);
        if (size >= sizeof joined) return why_set(why, ERR_INPUT, "is too long");
        value = joined;
    }
    *given = true;
    return setting_parse(s, bytes_of_text(value), to, why);
}

/* Applies one flag. `ret_used` is the number of words it took: 2 if its value is the next word. */
static enum err
apply_flag(struct settings *to, bool *given, int count, char *const *words, int *ret_used,
           struct why *why)
{
    const char *word = words[0] + 2;
    const char *equals = strchr(word, '=');
    size_t size = equals == NULL ? strlen(word) : (size_t)(equals - word);
    const char *value = equals == NULL ? NULL : equals + 1;
    *ret_used = 1;

    const struct setting *s = settings_find(bytes_of(word, size));
    if (s == NULL && size > 3 && memcmp(word, "no-", 3) == 0) {
        s = settings_find(bytes_of(word + 3, size - 3));
        if (s == NULL || s->type != SETTING_BOOL) return unknown_flag(bytes_of(word, size), why);
        if (value != NULL) return why_set(why, ERR_INPUT, "--no-%s takes no value", s->name);
        value = "false";
    }
    if (s == NULL) return unknown_flag(bytes_of(word, size), why);
    if (value == NULL && s->type == SETTING_BOOL) value = "true";
    if (value == NULL) {
        if (count < 2 || strncmp(words[1], "--", 2) == 0) {
            char expected[160];
            setting_expected(s, expected, sizeof expected);
            return why_set(why, ERR_INPUT, "--%s requires a value: %s", s->name, expected);
        }
        value = words[1];
        *ret_used = 2;
    }
    enum err e = set_flag(s, value, to, &given[s - table], why);
    return e ? why_prefix(why, e, "--%s", s->name) : OK;
}

enum err
settings_flags(struct settings *settings, int count, char *const *words, struct why *why)
{
    struct settings next = *settings;
    bool given[SETTINGS_MAX] = {false};
    for (int i = 0, used; i < count; i += used) {
        if (strncmp(words[i], "--", 2) != 0 || words[i][2] == 0) {
            return why_set(why, ERR_INPUT, "unexpected argument %s: expected --name=value",
                           shown_of(bytes_of_text(words[i])).text);
        }
        enum err e = apply_flag(&next, given, count - i, words + i, &used, why);
        if (e) return e;
    }
    *settings = next;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

/*
 * Reads without an env: nothing runs at the start, and an unreadable file affects no stored data;
 * the error goes to the person who named it. One byte more than allowed is read, so that
 * settings_yaml() detects a text that is too long.
 */
enum err
config_read_from(int fd, const char *name, size_t bytes_max, struct buf *to, struct why *why)
{
    enum err e = OK;
    buf_init_secret(to, NULL, bytes_max + 1);
    while (e == OK && to->size <= bytes_max) {
        size_t step = bytes_max + 1 - to->size;
        if (step > 16384) step = 16384;
        if (!buf_reserve(to, step)) {
            e = why_set(why, buf_error(to), "%s: not enough memory", name);
            break;
        }
        ssize_t got = read(fd, to->at + to->size, step);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) e = why_set(why, ERR_IO, "cannot read %s: %s", name, strerror(errno));
        if (got <= 0) break;
        to->size += (size_t)got;
    }
    return e;
}

enum err
config_read(const char *path, size_t bytes_max, struct buf *to, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        enum err e = err_from_errno(errno);
        buf_init_secret(to, NULL, bytes_max + 1);
        return why_set(why, e, "cannot open %s: %s", path, errno_text(errno).text);
    }
    enum err e = config_read_from(fd, path, bytes_max, to, why);
    close(fd);
    return e;
}

enum err
settings_file(struct settings *settings, const char *path, struct why *why)
{
    struct buf text;
    enum err e = config_read(path, CONFIG_BYTES_MAX, &text, why);
    if (e == OK) e = settings_yaml(settings, path, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

enum err
settings_load_text(struct settings *settings, struct config_lists *lists, const char *name,
                   struct bytes text, int count, char *const *words, struct why *why)
{
    struct settings next;
    struct config_lists read = {.destinations = {NULL}};
    settings_default(&next);
    enum err e = settings_yaml(&next, name, text, why);
    if (!reader_goes_on(e)) return e;
    enum err fine = settings_flags(&next, count, words, NULL);
    assert(fine == OK); /* they were valid before, and do not depend on the file */
    /* The lists depend on all settings. */
    e = err_first(e, config_lists_yaml(name, text, &next, &read, why));
    if (e == OK) e = settings_validate(&next, read.destinations.count, read.sources.count, why);
    if (e) {
        config_lists_free(&read);
        return e;
    }
    *settings = next;
    *lists = read;
    return OK;
}

enum err
settings_load(struct settings *settings, struct config_lists *lists, int count, char *const *words,
              struct why *why)
{
    struct settings given;
    struct buf text;
    settings_default(&given);
    enum err e = settings_flags(&given, count, words, why);
    if (e) return e;
    if (given.config_file[0] == '\0') /* lists have their defaults, too */
        return settings_load_text(settings, lists, "", bytes_of("", 0), count, words, why);
    e = config_read(given.config_file, CONFIG_BYTES_MAX, &text, why);
    if (e == OK) {
        e = settings_load_text(settings, lists, given.config_file, buf_bytes(&text), count, words,
                               why);
    }
    buf_fini(&text);
    /* Errors in the text already begin with FILE:LINE:COLUMN, which editors understand. */
    return e && e != ERR_INPUT ? why_prefix(why, e, "--config.file") : e;
}

/* --- printing --------------------------------------------------------------------------------- */

void
settings_help(struct buf *to)
{
    static const char *const words[] = {
        [SETTING_TEXT] = "TEXT",     [SETTING_BOOL] = "",      [SETTING_COUNT] = "COUNT",
        [SETTING_COUNT64] = "COUNT", [SETTING_BYTES] = "SIZE", [SETTING_BYTES32] = "SIZE",
        [SETTING_DURATION] = "TIME",
    };
    for (const struct setting *s = table; s->name != NULL; s++) {
        bool flag = s->type == SETTING_BOOL;
        const char *what = s->what != NULL      ? s->what
                           : s->choices != NULL ? s->choices
                                                : words[s->type];
        buf_printf(to, "  --%s%s%s%s\n", flag ? "[no-]" : "", s->name, flag ? "" : "=", what);
        buf_printf(to, "        %s (default %s%s)\n", s->help,
                   s->fallback[0] == 0 ? "none" : s->fallback, s->reloadable ? ", reloadable" : "");
    }
}

static void
put_list(const char *text, struct buf *to)
{
    char part[SETTING_TEXT_BYTES];
    buf_put_u8(to, '[');
    for (const char *rest = text; (rest = settings_list_next(rest, part)) != NULL;) {
        yaml_put_quoted(to, part);
        if (*rest != '\0') buf_put_text(to, ", ");
    }
    buf_put_u8(to, ']');
}

/* Prints the keys of a section that are not settings. */
static void
print_others(struct bytes section, const struct rule_settings *rules,
             const struct alerting *alerting, const struct retention_rules *retention,
             struct buf *to)
{
    if (rules != NULL && bytes_equal_text(section, "global")) rule_settings_print_global(rules, to);
    if (alerting != NULL && bytes_equal_text(section, "alerting"))
        alerting_print_yaml(alerting, to);
    if (retention != NULL && bytes_equal_text(section, "retention"))
        retention_rules_print_yaml(retention, to);
}

void
settings_print_yaml(const struct settings *settings, const struct rule_settings *rules,
                    const struct alerting *alerting, const struct retention_rules *retention,
                    struct buf *to)
{
    const char *section = "";
    size_t section_size = 0;
    for (const struct setting *s = table; s->name != NULL; s++) {
        if (s->flag_only) continue;
        char name[SETTING_TEXT_BYTES];
        const char *dot = strchr(setting_yaml_name(s, name), '.');
        size_t size = (size_t)(dot - name);
        if (size != section_size || memcmp(section, s->name, size) != 0) {
            buf_printf(to, "%.*s:\n", (int)size, name);
            section = s->name;
            section_size = size;
        }
        buf_printf(to, "    %s: ", dot + 1);
        if (s->is_list)
            put_list(setting_text(s, settings), to);
        else if (s->type == SETTING_TEXT)
            yaml_put_quoted(to, setting_text(s, settings));
        else {
            if (s->type == SETTING_SET) buf_put_u8(to, '[');
            settings_value(settings, s, to);
            if (s->type == SETTING_SET) buf_put_u8(to, ']');
        }
        buf_put_u8(to, '\n');
        bool last = s[1].name == NULL || strncmp(s[1].name, s->name, size + 1) != 0;
        if (last) print_others(bytes_of(s->name, size), rules, alerting, retention, to);
    }
    if (rules != NULL) rule_settings_print_yaml(rules, to);
}

/* --- a store's options ------------------------------------------------------------------------ */

/*
 * Memory is divided as follows (docs/configuration.md):
 *
 *     flush    an eighth and 5 MiB: a quarter of the largest head, and the writer of a
 *              part. Series in order take 41 bytes each, label values 10; in the head both
 *              take more than four times as much.
 *     merge    an eighth, at least 12 MiB, so that eight small parts can become one
 *     cache    an eighth for pages, and 1/32 for the indexes of open parts
 *     the rest is the foreground: the head has at most five sixths of it, and half of all memory;
 *              the remainder is for the log's batches, writes and reads
 */

enum { FLUSH_LEAST = 5 << 20, MERGE_LEAST = 12 << 20 };

void
memory_init(struct memory *m, uint64_t bytes)
{
    m->flush_bytes = FLUSH_LEAST + bytes / 8;
    m->merge_bytes = bytes / 8 > MERGE_LEAST ? bytes / 8 : MERGE_LEAST;
    m->cache_bytes = bytes / 8;
    uint64_t taken = m->flush_bytes + m->merge_bytes + m->cache_bytes + bytes / 32;
    if (taken > bytes / 5 * 3) { /* below the smallest valid limit */
        m->flush_bytes = m->merge_bytes = m->cache_bytes = bytes / 5;
        taken = bytes / 5 * 3;
    }
    uint64_t left = bytes - taken;
    m->head_bytes = bytes / 2 < left / 6 * 5 ? bytes / 2 : left / 6 * 5;
    budget_init(&m->process, "process", bytes, NULL);
    budget_init(&m->foreground, "foreground", left, &m->process);
}

struct tsdb_options
store_options_of(const struct settings *s, struct env *env, struct memory *memory)
{
    return (struct tsdb_options){
        .env = env,
        .dir = s->storage_path,
        .memory = &memory->foreground,
        .background = &memory->process,
        .flush_bytes = memory->flush_bytes,
        .merge_bytes = memory->merge_bytes,
        .head_bytes_max = memory->head_bytes,
        .cache_bytes = memory->cache_bytes,
        .head_samples_max = s->head_max_samples,
        .head_age_ms_max = s->head_max_age_ms,
        .wal_segment_bytes = s->wal_segment_bytes,
        .wal_batch_bytes = 64 * 1024 * 1024,
        .wal_budget_bytes = s->wal_budget_bytes,
        .wal_sync = s->wal_ack == ACK_FSYNC ? WAL_SYNC_FSYNC : WAL_SYNC_WRITTEN,
        .ack_memory = s->wal_ack == ACK_MEMORY,
        .tenants_max = s->tenancy_max_tenants,
        .min_free_bytes = s->storage_min_free_bytes,
        .log_only = s->storage_mode != STORAGE_LOCAL,
        .unlogged = s->wal_ack == ACK_DESTINATION,
    };
}

struct tsdb_limits
store_limits_of(const struct settings *s)
{
    return (struct tsdb_limits){
        .labels = {s->write_max_labels, s->write_max_name_bytes, s->write_max_value_bytes},
        .retention_ms = s->retention_time_ms,
        .deletion_hold_ms = s->delete_hold_ms,
        .retention_bytes = s->retention_size_bytes,
        .retention_grace_ms = s->retention_grace_ms,
        .retention_rewrite_percent = s->retention_share_percent,
        .max_future_ms = s->write_max_future_ms,
        .wal_budget_bytes = s->wal_budget_bytes,
        .tenant_series_max = s->write_max_series,
        .metric_series_max = s->write_max_series_per_metric,
        .require_name = s->write_require_name,
    };
}
