/* timestream_connector.c - `firekeep timestream-connector`: takes the place of AWS' connector for
 * Amazon Timestream. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/dropin/dropin.h"

enum { CONFIG_BYTES = 64 * 1024 };

struct connector {
    struct dropin_flags f;
    const char *database, *table, *region;
    const char *query_endpoint, *write_endpoint;
    const char *certificate, *key;
    const char *ignored; /* of flags that have no meaning here, */
    bool is_ignored;     /* and of those without a value */
};

#define TEXT(name, field, what, help)                                     \
    {                                                                     \
        name, 0, FLAG_TEXT, offsetof(struct connector, field), what, help \
    }

static const struct flag flags[] = {
    TEXT("default-database", database, "NAME", "database of Timestream"),
    TEXT("default-table", table, "NAME", "table of Timestream"),
    TEXT("region", region, "REGION", "AWS region (default us-east-1)"),
    TEXT("query-base-endpoint", query_endpoint, "URL", "endpoint of queries"),
    TEXT("write-base-endpoint", write_endpoint, "URL", "endpoint of writes"),
    TEXT("tls-certificate", certificate, "FILE", "certificate of the server"),
    TEXT("tls-key", key, "FILE", "key of the certificate"),
    TEXT("web.listen-address", f.listen, "ADDRESS", "address to listen on (default :9201)"),
    TEXT("web.telemetry-path", f.telemetry_path, "PATH", "path of metrics, besides /metrics"),
    TEXT("log.level", f.log_level, "LEVEL", "debug, info, warn or error (default info)"),
    TEXT("log.format", f.log_format, "FORM", "logfmt or json (default logfmt)"),
    TEXT("max-retries", ignored, "N", "has no effect: a flag of older releases"),
    TEXT("max-read-retries", ignored, "N", "has no effect: reads are repeated as AWS advises"),
    TEXT("max-write-retries", ignored, "N",
         "has no effect: writes are repeated until they succeed"),
    {"fail-on-long-label", 0, FLAG_SWITCH, offsetof(struct connector, is_ignored), NULL,
     "has no effect: names beyond limits of Timestream are written in a coding"},
    {"fail-on-invalid-sample-value", 0, FLAG_SWITCH, offsetof(struct connector, is_ignored), NULL,
     "has no effect: NaN and Inf are stored, as text"},
    TEXT("enable-logging", ignored, "BOOL", "has no effect: see --log.level"),
    TEXT("enable-sigv4-auth", ignored, "BOOL",
         "has no effect: credentials are those of the environment, files, container or machine"),
    DROPIN_STORAGE_FLAG(struct connector, f),
    {0},
};

static const char notes[] =
    "\nRuns a server with the flags of timestream-prometheus-connector, which it replaces without\n"
    "a change of prometheus.yml (/write and /read). It prints the configuration that they mean:\n"
    "take it over for `firekeep serve`, which can do more. AWS credentials are found as AWS tools\n"
    "find them; a user and password that Prometheus sends are not used as AWS keys. A write is\n"
    "answered when its samples are on disk, and they wait there as long as Timestream does not\n"
    "take them.\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

/* The old program takes an empty flag for one that is not given. */
static bool
is_set(const char *flag)
{
    return flag != NULL && flag[0] != '\0';
}

/* Relative paths begin at the working directory, as in the old program. A link is not resolved: the
 * file behind it is another one after a renewal. */
static void
put_file(struct buf *to, const char *key, const char *path)
{
    char here[PATH_MAX], whole[2 * PATH_MAX];
    bool is_relative = path[0] != '/' && getcwd(here, sizeof here) != NULL;
    snprintf(whole, sizeof whole, "%s%s%s", is_relative ? here : "", is_relative ? "/" : "", path);
    dropin_put(to, "  ", key, whole);
}

static void
put_config(const struct connector *c, struct buf *to)
{
    if (is_set(c->certificate)) {
        buf_put_text(to, "tls_server_config:\n");
        put_file(to, "cert_file", c->certificate);
        put_file(to, "key_file", c->key);
    }
    buf_put_text(to, "destinations:\n");
    dropin_put(to, "- ", "name", "timestream");
    buf_put_text(to, "  type: timestream\n");
    dropin_put(to, "  ", "database", c->database);
    dropin_put(to, "  ", "table", c->table);
    dropin_put(to, "  ", "region", c->region);
    dropin_put(to, "  ", "write_endpoint", c->write_endpoint);
    buf_put_text(to, "sources:\n- use: timestream\n");
    dropin_put(to, "  ", "query_endpoint", c->query_endpoint);
}

static int
run_connector(int argc, char **argv)
{
    struct connector c = {.f = {.listen = ":9201", .telemetry_path = "/metrics"},
                          .region = "us-east-1"};
    static const char *const switches[] = {"fail-on-long-label", "fail-on-invalid-sample-value",
                                           NULL};
    struct why why = {""};
    struct buf config;
    int count = 0;
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(flags, &c, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK && (!is_set(c.database) || !is_set(c.table)))
        e = why_set(&why, ERR_INPUT, "expected --default-database and --default-table");
    if (e == OK && is_set(c.certificate) != is_set(c.key))
        e = why_set(&why, ERR_INPUT, "expected both --tls-certificate and --tls-key");
    if (e) return cli_usage_error("timestream-connector", "%s", why.text);
    dropin_print_ignored("timestream-connector", flags, argc, argv);
    buf_init(&config, NULL, CONFIG_BYTES);
    put_config(&c, &config);
    return dropin_serve(
        "timestream-connector", &c.f, &config,
        "values keep all their digits, NaN and Inf are stored as text, and throttled "
        "writes are sent again; keys of AWS that Prometheus sends as basic_auth are not used");
}

const struct command command_timestream_connector = {
    "timestream-connector",
    "[flags]",
    "run in place of the Timestream connector of AWS, with its flags",
    run_connector,
    flags,
    notes};
