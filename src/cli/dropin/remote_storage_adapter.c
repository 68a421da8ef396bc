/* remote_storage_adapter.c - `firekeep remote-storage-adapter`: takes the place of the adapter
 * among Prometheus' examples. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/dropin/dropin.h"

enum { CONFIG_BYTES = 64 * 1024 };

struct storage_adapter {
    struct dropin_flags f;
    const char *influxdb_url, *retention_policy, *username, *database;
    const char *bucket, *organization; /* of version 2 */
    const char *opentsdb_url, *opentsdb_timeout;
    const char *send_timeout;
    const char *graphite_address, *graphite_transport, *graphite_prefix;
};

#define TEXT(name, field, what, help)                                           \
    {                                                                           \
        name, 0, FLAG_TEXT, offsetof(struct storage_adapter, field), what, help \
    }

static const struct flag flags[] = {
    TEXT("influxdb-url", influxdb_url, "URL", "InfluxDB to write to and read from"),
    TEXT("influxdb.retention-policy", retention_policy, "NAME",
         "retention policy to write to (default autogen)"),
    TEXT("influxdb.username", username, "NAME",
         "user; the password is in the environment variable INFLUXDB_PW"),
    TEXT("influxdb.database", database, "NAME", "database (default prometheus)"),
    TEXT("influxdb.bucket", bucket, "NAME",
         "bucket of InfluxDB 2; the token is in the environment variable INFLUXDB_AUTH_TOKEN"),
    TEXT("influxdb.organization", organization, "NAME", "organization of InfluxDB 2"),
    TEXT("opentsdb-url", opentsdb_url, "URL", "OpenTSDB to write to and read from"),
    TEXT("opentsdb-timeout", opentsdb_timeout, "TIME",
         "maximum time for a request to OpenTSDB (default that of --send-timeout)"),
    TEXT("send-timeout", send_timeout, "TIME", "maximum time for a request (default 30s)"),
    TEXT("web.listen-address", f.listen, "ADDRESS", "address to listen on (default :9201)"),
    TEXT("web.telemetry-path", f.telemetry_path, "PATH", "path of metrics, besides /metrics"),
    TEXT("log.level", f.log_level, "LEVEL", "debug, info, warn or error (default info)"),
    TEXT("log.format", f.log_format, "FORM", "logfmt or json (default logfmt)"),
    TEXT("graphite-address", graphite_address, "ADDRESS", "is refused: Graphite is not supported"),
    TEXT("graphite-transport", graphite_transport, "NAME", "is refused, too"),
    TEXT("graphite-prefix", graphite_prefix, "TEXT", "is refused, too"),
    DROPIN_STORAGE_FLAG(struct storage_adapter, f),
    {0},
};

static const char notes[] =
    "\nRuns a server with the flags of remote_storage_adapter, which it replaces without a change\n"
    "of prometheus.yml. It prints the configuration that they mean: take it over for `firekeep\n"
    "serve`, which can do more. A write is answered when its samples are on disk, and they wait\n"
    "there as long as the store is away.\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

/* The old program's flags are for no store if they are empty. */
static bool
is_set(const char *flag)
{
    return flag != NULL && flag[0] != '\0';
}

static void
put_influxdb(const struct storage_adapter *a, struct buf *to)
{
    dropin_put(to, "- ", "name", "influxdb");
    buf_put_text(to, "  type: influxdb\n");
    dropin_put(to, "  ", "timeout", a->send_timeout);
    if (is_set(a->bucket)) {
        buf_put_text(to, "  version: 2\n");
        dropin_put(to, "  ", "bucket", a->bucket);
        dropin_put(to, "  ", "org", a->organization);
        dropin_put(to, "  ", "token",
                   is_set(getenv("INFLUXDB_AUTH_TOKEN")) ? "${INFLUXDB_AUTH_TOKEN}" : NULL);
        dropin_put_server(to, a->influxdb_url, NULL, NULL);
        return;
    }
    buf_put_text(to, "  version: 1\n");
    dropin_put(to, "  ", "database", a->database);
    dropin_put(to, "  ", "retention_policy", a->retention_policy);
    dropin_put_server(to, a->influxdb_url, a->username,
                      is_set(getenv("INFLUXDB_PW")) ? "${INFLUXDB_PW}" : NULL);
}

static void
put_opentsdb(const struct storage_adapter *a, struct buf *to)
{
    dropin_put(to, "- ", "name", "opentsdb");
    buf_put_text(to, "  type: opentsdb\n");
    dropin_put(to, "  ", "timeout",
               a->opentsdb_timeout != NULL ? a->opentsdb_timeout : a->send_timeout);
    dropin_put_server(to, a->opentsdb_url, NULL, NULL);
}

static void
put_lists(const struct storage_adapter *a, struct buf *to)
{
    buf_put_text(to, "destinations:\n");
    if (is_set(a->influxdb_url)) put_influxdb(a, to);
    if (is_set(a->opentsdb_url)) put_opentsdb(a, to);
    buf_put_text(to, "sources:\n");
    if (is_set(a->influxdb_url)) buf_put_text(to, "- use: influxdb\n");
    if (is_set(a->opentsdb_url)) buf_put_text(to, "- use: opentsdb\n");
}

static int
run_adapter(int argc, char **argv)
{
    struct storage_adapter a = {.f = {.listen = ":9201", .telemetry_path = "/metrics"},
                                .retention_policy = "autogen",
                                .database = "prometheus",
                                .send_timeout = "30s"};
    struct why why = {""};
    struct buf config;
    int count = 0;
    static const char *const switches[] = {NULL};
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK &&
        (is_set(a.graphite_address) || is_set(a.graphite_transport) || is_set(a.graphite_prefix))) {
        e = why_set(&why, ERR_INPUT, "--graphite-...: Firekeep does not write to Graphite");
    }
    if (e == OK && !is_set(a.influxdb_url) && !is_set(a.opentsdb_url))
        e = why_set(&why, ERR_INPUT, "expected --influxdb-url or --opentsdb-url");
    if (e == OK) e = dropin_duration("send-timeout", &a.send_timeout, &why);
    if (e == OK) e = dropin_duration("opentsdb-timeout", &a.opentsdb_timeout, &why);
    if (e) return cli_usage_error("remote-storage-adapter", "%s", why.text);
    buf_init_secret(&config, NULL, CONFIG_BYTES);
    put_lists(&a, &config);
    return dropin_serve("remote-storage-adapter", &a.f, &config,
                        "errors of the store are no longer answered with 200: samples wait until "
                        "it takes them, and several stores are read together");
}

const struct command command_remote_storage_adapter = {
    "remote-storage-adapter",
    "[flags]",
    "run in place of Prometheus' remote_storage_adapter, with its flags",
    run_adapter,
    flags,
    notes};
