/*
 * dropin.c - see dropin.h: `firekeep kinesis-adapter` takes the place of prometheus_remote_kinesis,
 * `remote-storage-adapter` that of the adapter among Prometheus' examples, `timestream-connector`
 * that of AWS' connector for Amazon Timestream.
 */
#include "cli/dropin/dropin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "cli/cli.h"
#include "wire/yaml/yaml_reader.h"

/* The flags of all of them. */
struct adapter {
    const char *listen;
    const char *telemetry_path; /* NULL: the old program has no such flag */
    const char *log_level;
    const char *log_format;
    const char *storage; /* NULL: $STATE_DIRECTORY, ./firekeep, or no log */
    const char *region;

    /* kinesis-adapter */
    bool firehose;
    const char *stream, *interval;

    /* remote-storage-adapter */
    const char *influxdb_url, *retention_policy, *username;
    const char *bucket, *organization; /* of version 2 */
    const char *opentsdb_url, *opentsdb_timeout;
    const char *send_timeout;
    const char *graphite_address, *graphite_transport, *graphite_prefix;
    const char *database; /* also of Timestream */

    /* timestream-connector */
    const char *table;
    const char *query_endpoint, *write_endpoint;
    const char *certificate, *key;
    const char *ignored; /* of flags that have no meaning here, */
    bool is_ignored;     /* and of those without a value */
};

#define ADAPTER_TEXT(name, field, what, help)                           \
    {                                                                   \
        name, 0, FLAG_TEXT, offsetof(struct adapter, field), what, help \
    }
#define STORAGE_PATH_FLAG                                                             \
    ADAPTER_TEXT("storage.path", storage, "DIRECTORY",                                \
                 "of Firekeep, not of the old program: where samples wait for the "   \
                 "destination (default $STATE_DIRECTORY, or ./firekeep if it can be " \
                 "written)")
#define WEB_AND_LOG_FLAGS                                                                          \
    ADAPTER_TEXT("web.listen-address", listen, "ADDRESS", "address to listen on (default :9201)"), \
        ADAPTER_TEXT("web.telemetry-path", telemetry_path, "PATH",                                 \
                     "path of metrics, besides /metrics"),                                         \
        ADAPTER_TEXT("log.level", log_level, "LEVEL",                                              \
                     "debug, info, warn or error (default info)"),                                 \
        ADAPTER_TEXT("log.format", log_format, "FORM", "logfmt or json (default logfmt)")

enum { PATH_BYTES = 40, DURATION_BYTES = 32, CONFIG_BYTES = 64 * 1024 };

/* The old programs take an empty flag for one that is not given. */
static bool
is_set(const char *flag)
{
    return flag != NULL && flag[0] != '\0';
}

static const char no_effect[] = "has no effect: ";

void
dropin_put(struct buf *config, const char *indent, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    buf_printf(config, "%s%s: ", indent, key);
    yaml_put_quoted(config, text);
    buf_put_u8(config, '\n');
}

const char *
dropin_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

/* Appends a key and percent-encoded text on a line. */
static void
put_decoded(struct buf *config, const char *key, struct bytes text)
{
    struct buf decoded;
    buf_init_secret(&decoded, NULL, text.size + 1);
    for (size_t i = 0; i < text.size;) {
        uint8_t byte;
        size_t step = percent_step(text.at + i, text.size - i, &byte);
        buf_put_u8(&decoded, byte);
        i += step == 0 ? 1 : step;
    }
    buf_put_u8(&decoded, '\0');
    dropin_put(config, "    ", key, buf_error(&decoded) ? NULL : (const char *)decoded.at);
    buf_fini(&decoded);
}

void
dropin_put_server(struct buf *config, const char *url, const char *user, const char *password)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end == NULL ? url : scheme_end + 3;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    struct buf rest;
    buf_init(&rest, NULL, strlen(url) + 1);
    buf_put_bytes(&rest, bytes_of(url, (size_t)(host - url)));
    buf_put_text(&rest, at == NULL ? host : at + 1);
    buf_put_u8(&rest, '\0');
    dropin_put(config, "  ", "url", buf_error(&rest) ? NULL : (const char *)rest.at);
    buf_fini(&rest);
    if (user != NULL && user[0] != '\0') {
        buf_put_text(config, "  basic_auth:\n");
        dropin_put(config, "    ", "username", user);
        dropin_put(config, "    ", "password", password);
    } else if (at != NULL) {
        const char *colon = memchr(host, ':', (size_t)(at - host));
        const char *user_end = colon == NULL ? at : colon;
        buf_put_text(config, "  basic_auth:\n");
        put_decoded(config, "username", bytes_of(host, (size_t)(user_end - host)));
        if (colon != NULL)
            put_decoded(config, "password", bytes_of(colon + 1, (size_t)(at - colon - 1)));
    }
}

static bool
is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0) return true;
    return false;
}

/* Says whether a word is a flag of that name; *ret_is_on, whether it turns it on. */
static bool
is_switch(const char *word, const char *name, bool *ret_is_on)
{
    static const char *const yes[] = {"", "=true", "=True", "=TRUE", "=t", "=T", "=1", NULL};
    static const char *const no[] = {"=false", "=False", "=FALSE", "=f", "=F", "=0", NULL};
    size_t size = strlen(name);
    bool is_no = strncmp(word, "--no-", 5) == 0 && strcmp(word + 5, name) == 0;
    bool is_it = strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, size) == 0;
    const char *value = is_it ? word + 2 + size : "";
    *ret_is_on = is_it && is_one_of(value, yes);
    return is_no || *ret_is_on || (is_it && is_one_of(value, no));
}

/* Returns room for a text that lives as long as the process; NULL: not enough memory. */
static char *
new_text(size_t size)
{
    static struct text {
        struct text *next;
        char at[];
    } * all;
    struct text *text = malloc(sizeof *text + size);
    if (text == NULL) return NULL;
    text->next = all;
    all = text;
    return text->at;
}

int
dropin_words(int argc, char **argv, const char *const *switches)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        size_t size = strlen(word) + 2;
        bool is_on = true, is_short = word[0] == '-' && word[1] != '-' && size > 4;
        char *longer = is_short ? new_text(size) : NULL;
        if (longer != NULL) snprintf(longer, size, "-%s", word);
        argv[kept] = longer != NULL ? longer : word;
        for (const char *const *s = switches; *s != NULL; s++) {
            bool on;
            if (!is_switch(argv[kept], *s, &on)) continue;
            is_on = on;
            if (on) argv[kept][2 + strlen(*s)] = '\0'; /* "=true" */
        }
        if (is_on) kept++;
    }
    return kept;
}

enum err
dropin_duration(const char *flag, const char **value, struct why *why)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}};
    enum { UNITS = sizeof units / sizeof *units };
    int64_t already;
    double sum = 0;
    if (*value == NULL || time_parse_duration(bytes_of_text(*value), &already)) return OK;
    for (const char *p = *value; p == *value || *p != '\0';) {
        char *end = NULL;
        size_t unit = UNITS, digits = strspn(p, "0123456789."),
               size = strcspn(p + digits, "0123456789.");
        double number = digits == 0 ? 0 : strtod(p, &end);
        for (size_t i = 0; end == p + digits && i < UNITS; i++)
            if (strlen(units[i].name) == size && strncmp(end, units[i].name, size) == 0) unit = i;
        if (unit == UNITS || !(sum < 1e15))
            return why_set(why, ERR_INPUT, "--%s: expected a duration such as 30s, got '%.64s'",
                           flag, *value);
        sum += number * units[unit].ms;
        p += digits + size;
    }
    char *text = new_text(DURATION_BYTES);
    if (text == NULL) return ERR_NOMEM;
    snprintf(text, DURATION_BYTES, "%.0fms", sum < 1 ? 1 : sum);
    *value = text;
    return OK;
}

/* Prints the configuration without the values of secrets. */
static void
print(const char *command, struct bytes config, const char *path, const char *note)
{
    fprintf(stderr, "# firekeep %s: %s\n# It runs as `firekeep serve --config.file=%s` with:\n",
            command, note, path);
    for (const uint8_t *p = config.at, *end = p + config.size; p < end;) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *line = (const char *)p;
        int size = (int)(line_end - p);
        int key = (int)strspn(line, " -"), colon = (int)strcspn(line, ":");
        if (strncmp(line + key, "password:", 9) == 0 || strncmp(line + key, "token:", 6) == 0)
            fprintf(stderr, "#   %.*s: <secret>\n", colon, line);
        else
            fprintf(stderr, "#   %.*s\n", size, line);
        p = line_end + 1;
    }
}

/* Puts the configuration into a file without a name, which a reload reads again. */
static bool
keep(struct bytes config, char ret_path[static PATH_BYTES])
{
    int file = memfd_create("firekeep.yml", 0);
    snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d", file);
    if (file < 0 || access(ret_path, R_OK) != 0) return false;
    return write(file, config.at, config.size) == (ssize_t)config.size;
}

/* Says whether the directory can be written, or made. */
static bool
is_usable(const char *dir, const char *parent)
{
    struct stat s;
    if (stat(dir, &s) != 0) return access(parent, W_OK | X_OK) == 0;
    return S_ISDIR(s.st_mode) && access(dir, W_OK | X_OK) == 0;
}

/* Makes a directory for temporary files that only this user can write, or finds it from an earlier
 * start. */
static bool
make_private_dir(const char *command, char ret_dir[static DROPIN_DIR_BYTES])
{
    struct stat s;
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%.*s/firekeep-%s-%u", PATH_MAX,
             dropin_environment("TMPDIR", "/tmp"), command, (unsigned)geteuid());
    if (mkdir(ret_dir, 0700) == 0) return true;
    return lstat(ret_dir, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid() &&
           (s.st_mode & 077) == 0;
}

bool
dropin_find_storage(const char *command, const char *given, char ret_dir[static DROPIN_DIR_BYTES])
{
    char here[PATH_MAX], own[DROPIN_DIR_BYTES];
    const char *state = given != NULL ? given : dropin_environment("STATE_DIRECTORY", NULL);
    if (state != NULL) { /* systemd separates several directories by colons */
        size_t size = given != NULL ? strlen(state) : strcspn(state, ":");
        snprintf(ret_dir, DROPIN_DIR_BYTES, "%.*s", (int)size, state);
        return true;
    }
    if (getcwd(here, sizeof here) == NULL) snprintf(here, sizeof here, ".");
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%s/firekeep", strcmp(here, "/") == 0 ? "" : here);
    if (is_usable(ret_dir, here) || !make_private_dir(command, own)) {
        fprintf(stderr,
                "# firekeep %s: samples wait in %s; --storage.path or StateDirectory= of a unit "
                "names another directory\n",
                command, ret_dir);
        return true;
    }
    fprintf(
        stderr,
        "# firekeep %s: %s cannot be written, so samples do not wait on disk: a write is answered "
        "when the store has it; --storage.path or StateDirectory= of a unit names a directory\n",
        command, ret_dir);
    snprintf(ret_dir, DROPIN_DIR_BYTES, "%s", own);
    return false;
}

static void
put_settings(const char *command, const struct adapter *f, struct buf *config)
{
    char storage[DROPIN_DIR_BYTES];
    bool has_log = dropin_find_storage(command, f->storage, storage);
    buf_put_text(config, "storage:\n  mode: none\n");
    dropin_put(config, "  ", "path", storage);
    if (!has_log) buf_put_text(config, "wal:\n  ack: destination\n");
    buf_put_text(config, "web:\n");
    dropin_put(config, "  ", "listen_address", f->listen);
    if (f->telemetry_path != NULL && strcmp(f->telemetry_path, "/metrics") != 0)
        dropin_put(config, "  ", "telemetry_path", f->telemetry_path);
    if (f->log_level == NULL && f->log_format == NULL) return;
    buf_put_text(config, "log:\n");
    dropin_put(config, "  ", "level", f->log_level);
    dropin_put(config, "  ", "format", f->log_format);
}

/* Starts the server, and returns its exit code. `config` has the destinations and sources; `note`
 * says on one line what the old program did otherwise. */
static int
dropin_serve(const char *command, const struct adapter *f, struct buf *config, const char *note)
{
    char path[PATH_BYTES], flag[PATH_BYTES + 20];
    struct why why = {""};
    put_settings(command, f, config);
    if (buf_error(config)) return cli_failed(command, buf_error(config), &why);
    bool is_kept = keep(buf_bytes(config), path);
    print(command, buf_bytes(config), path, note);
    if (!is_kept) {
        return cli_failed(command,
                          why_set(&why, ERR_IO,
                                  "cannot keep this configuration, for which /proc is needed; "
                                  "write it to a file for `firekeep serve`"),
                          &why);
    }
    buf_fini(config);
    snprintf(flag, sizeof flag, "--config.file=%s", path);
    char name[] = "serve";
    char *words[] = {name, flag, NULL};
    return command_serve.run(2, words);
}

/* --- kinesis-adapter -------------------------------------------------------------------------- */

static const struct flag kinesis_flags[] = {
    {"firehose", 0, FLAG_SWITCH, offsetof(struct adapter, firehose), NULL,
     "write to a delivery stream of Firehose instead of a data stream"},
    ADAPTER_TEXT("stream-name", stream, "NAME", "name of the stream (default $STREAM_NAME)"),
    ADAPTER_TEXT("region", region, "REGION", "AWS region (default $AWS_REGION, or ap-northeast-1)"),
    ADAPTER_TEXT("write-interval", interval, "TIME",
                 "how long records may wait for more (default 10s)"),
    ADAPTER_TEXT("listen-addr", listen, "ADDRESS", "address to listen on (default :9501)"),
    STORAGE_PATH_FLAG,
    {0},
};

static const char kinesis_notes[] =
    "\nRuns a server with the flags of prometheus_remote_kinesis, with one hyphen or two, which "
    "it\n"
    "replaces without a change of prometheus.yml (/receive). It prints the configuration that "
    "they\n"
    "mean: take it over for `firekeep serve`, which can do more. A write is answered when its\n"
    "samples are on disk, and they wait there as long as the stream does not take them. Records\n"
    "are JSON objects, one for each sample (docs/destinations/codings.md).\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

static int
run_kinesis_adapter(int argc, char **argv)
{
    struct adapter a = {.listen = ":9501",
                        .stream = dropin_environment("STREAM_NAME", NULL),
                        .region = dropin_environment("AWS_REGION", "ap-northeast-1"),
                        .interval = "10s"};
    struct why why = {""};
    struct buf config;
    int count = 0;
    static const char *const switches[] = {"firehose", NULL};
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(kinesis_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK && (a.stream == NULL || a.stream[0] == '\0'))
        e = why_set(&why, ERR_INPUT, "expected --stream-name or STREAM_NAME");
    if (e == OK) e = dropin_duration("write-interval", &a.interval, &why);
    if (e) return cli_usage_error("kinesis-adapter", "%s", why.text);
    buf_init(&config, NULL, CONFIG_BYTES);
    buf_put_text(&config, "destinations:\n");
    dropin_put(&config, "- ", "name", a.firehose ? "firehose" : "kinesis");
    dropin_put(&config, "  ", "type", a.firehose ? "firehose" : "kinesis");
    dropin_put(&config, "  ", a.firehose ? "delivery_stream" : "stream", a.stream);
    dropin_put(&config, "  ", "region", a.region);
    if (!a.firehose) dropin_put(&config, "  ", "format", "ndjson");
    buf_put_text(&config, "  batch:\n");
    dropin_put(&config, "    ", "max_age", a.interval);
    return dropin_serve("kinesis-adapter", &a, &config,
                        "records that the service refuses are sent again, NaN and Inf are kept, "
                        "and a crash loses nothing that was answered with 2xx");
}

const struct command command_kinesis_adapter = {
    "kinesis-adapter",   "[flags]",     "run in place of prometheus_remote_kinesis, with its flags",
    run_kinesis_adapter, kinesis_flags, kinesis_notes};

/* --- remote-storage-adapter ------------------------------------------------------------------- */

static const struct flag storage_flags[] = {
    ADAPTER_TEXT("influxdb-url", influxdb_url, "URL", "InfluxDB to write to and read from"),
    ADAPTER_TEXT("influxdb.retention-policy", retention_policy, "NAME",
                 "retention policy to write to (default autogen)"),
    ADAPTER_TEXT("influxdb.username", username, "NAME",
                 "user; the password is in the environment variable INFLUXDB_PW"),
    ADAPTER_TEXT("influxdb.database", database, "NAME", "database (default prometheus)"),
    ADAPTER_TEXT(
        "influxdb.bucket", bucket, "NAME",
        "bucket of InfluxDB 2; the token is in the environment variable INFLUXDB_AUTH_TOKEN"),
    ADAPTER_TEXT("influxdb.organization", organization, "NAME", "organization of InfluxDB 2"),
    ADAPTER_TEXT("opentsdb-url", opentsdb_url, "URL", "OpenTSDB to write to and read from"),
    ADAPTER_TEXT("opentsdb-timeout", opentsdb_timeout, "TIME",
                 "maximum time for a request to OpenTSDB (default that of --send-timeout)"),
    ADAPTER_TEXT("send-timeout", send_timeout, "TIME", "maximum time for a request (default 30s)"),
    WEB_AND_LOG_FLAGS,
    ADAPTER_TEXT("graphite-address", graphite_address, "ADDRESS",
                 "is refused: Graphite is not supported"),
    ADAPTER_TEXT("graphite-transport", graphite_transport, "NAME", "is refused, too"),
    ADAPTER_TEXT("graphite-prefix", graphite_prefix, "TEXT", "is refused, too"),
    STORAGE_PATH_FLAG,
    {0},
};

static const char storage_notes[] =
    "\nRuns a server with the flags of remote_storage_adapter, which it replaces without a change\n"
    "of prometheus.yml. It prints the configuration that they mean: take it over for `firekeep\n"
    "serve`, which can do more. A write is answered when its samples are on disk, and they wait\n"
    "there as long as the store is away.\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

static void
put_influxdb(const struct adapter *a, struct buf *to)
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

static int
run_storage_adapter(int argc, char **argv)
{
    struct adapter a = {.listen = ":9201",
                        .telemetry_path = "/metrics",
                        .retention_policy = "autogen",
                        .database = "prometheus",
                        .send_timeout = "30s"};
    struct why why = {""};
    struct buf config;
    int count = 0;
    static const char *const switches[] = {NULL};
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(storage_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK &&
        (is_set(a.graphite_address) || is_set(a.graphite_transport) || is_set(a.graphite_prefix)))
        e = why_set(&why, ERR_INPUT, "--graphite-...: Firekeep does not write to Graphite");
    if (e == OK && !is_set(a.influxdb_url) && !is_set(a.opentsdb_url))
        e = why_set(&why, ERR_INPUT, "expected --influxdb-url or --opentsdb-url");
    if (e == OK) e = dropin_duration("send-timeout", &a.send_timeout, &why);
    if (e == OK) e = dropin_duration("opentsdb-timeout", &a.opentsdb_timeout, &why);
    if (e) return cli_usage_error("remote-storage-adapter", "%s", why.text);
    buf_init_secret(&config, NULL, CONFIG_BYTES);
    buf_put_text(&config, "destinations:\n");
    if (is_set(a.influxdb_url)) put_influxdb(&a, &config);
    if (is_set(a.opentsdb_url)) {
        dropin_put(&config, "- ", "name", "opentsdb");
        buf_put_text(&config, "  type: opentsdb\n");
        dropin_put(&config, "  ", "timeout",
                   a.opentsdb_timeout != NULL ? a.opentsdb_timeout : a.send_timeout);
        dropin_put_server(&config, a.opentsdb_url, NULL, NULL);
    }
    buf_put_text(&config, "sources:\n");
    if (is_set(a.influxdb_url)) buf_put_text(&config, "- use: influxdb\n");
    if (is_set(a.opentsdb_url)) buf_put_text(&config, "- use: opentsdb\n");
    return dropin_serve("remote-storage-adapter", &a, &config,
                        "errors of the store are no longer answered with 200: samples wait until "
                        "it takes them, and several stores are read together");
}

const struct command command_remote_storage_adapter = {
    "remote-storage-adapter",
    "[flags]",
    "run in place of Prometheus' remote_storage_adapter, with its flags",
    run_storage_adapter,
    storage_flags,
    storage_notes};

/* --- timestream-connector --------------------------------------------------------------------- */

static const struct flag connector_flags[] = {
    ADAPTER_TEXT("default-database", database, "NAME", "database of Timestream"),
    ADAPTER_TEXT("default-table", table, "NAME", "table of Timestream"),
    ADAPTER_TEXT("region", region, "REGION", "AWS region (default us-east-1)"),
    ADAPTER_TEXT("query-base-endpoint", query_endpoint, "URL", "endpoint of queries"),
    ADAPTER_TEXT("write-base-endpoint", write_endpoint, "URL", "endpoint of writes"),
    ADAPTER_TEXT("tls-certificate", certificate, "FILE", "certificate of the server"),
    ADAPTER_TEXT("tls-key", key, "FILE", "key of the certificate"),
    WEB_AND_LOG_FLAGS,
    ADAPTER_TEXT("max-retries", ignored, "N", "has no effect: a flag of older releases"),
    ADAPTER_TEXT("max-read-retries", ignored, "N",
                 "has no effect: reads are repeated as AWS advises"),
    ADAPTER_TEXT("max-write-retries", ignored, "N",
                 "has no effect: writes are repeated until they succeed"),
    {"fail-on-long-label", 0, FLAG_SWITCH, offsetof(struct adapter, is_ignored), NULL,
     "has no effect: names beyond limits of Timestream are written in a coding"},
    {"fail-on-invalid-sample-value", 0, FLAG_SWITCH, offsetof(struct adapter, is_ignored), NULL,
     "has no effect: NaN and Inf are stored, as text"},
    ADAPTER_TEXT("enable-logging", ignored, "BOOL", "has no effect: see --log.level"),
    ADAPTER_TEXT(
        "enable-sigv4-auth", ignored, "BOOL",
        "has no effect: credentials are those of the environment, files, container or machine"),
    STORAGE_PATH_FLAG,
    {0},
};

static const char connector_notes[] =
    "\nRuns a server with the flags of timestream-prometheus-connector, which it replaces without\n"
    "a change of prometheus.yml (/write and /read). It prints the configuration that they mean:\n"
    "take it over for `firekeep serve`, which can do more. AWS credentials are found as AWS tools\n"
    "find them; a user and password that Prometheus sends are not used as AWS keys. A write is\n"
    "answered when its samples are on disk, and they wait there as long as Timestream does not\n"
    "take them.\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

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

static int
run_connector(int argc, char **argv)
{
    struct adapter c = {.listen = ":9201", .telemetry_path = "/metrics", .region = "us-east-1"};
    static const char *const switches[] = {"fail-on-long-label", "fail-on-invalid-sample-value",
                                           NULL};
    struct why why = {""};
    struct buf config;
    int count = 0;
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(connector_flags, &c, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK && (!is_set(c.database) || !is_set(c.table)))
        e = why_set(&why, ERR_INPUT, "expected --default-database and --default-table");
    if (e == OK && is_set(c.certificate) != is_set(c.key))
        e = why_set(&why, ERR_INPUT, "expected both --tls-certificate and --tls-key");
    if (e) return cli_usage_error("timestream-connector", "%s", why.text);
    /* Prints a line for each flag among the words whose help says that it has no effect. */
    for (const struct flag *f = connector_flags; f->name != NULL; f++) {
        if (strncmp(f->help, no_effect, sizeof no_effect - 1) != 0) continue;
        size_t size = strlen(f->name);
        bool given = false;
        for (int i = 1; i < argc && !given; i++) {
            const char *word = argv[i];
            given = strncmp(word, "--", 2) == 0 && strncmp(word + 2, f->name, size) == 0 &&
                    (word[2 + size] == '\0' || word[2 + size] == '=');
        }
        if (given)
            fprintf(stderr, "# firekeep %s: --%s %s\n", "timestream-connector", f->name, f->help);
    }
    buf_init(&config, NULL, CONFIG_BYTES);
    if (is_set(c.certificate)) {
        buf_put_text(&config, "tls_server_config:\n");
        put_file(&config, "cert_file", c.certificate);
        put_file(&config, "key_file", c.key);
    }
    buf_put_text(&config, "destinations:\n");
    dropin_put(&config, "- ", "name", "timestream");
    buf_put_text(&config, "  type: timestream\n");
    dropin_put(&config, "  ", "database", c.database);
    dropin_put(&config, "  ", "table", c.table);
    dropin_put(&config, "  ", "region", c.region);
    dropin_put(&config, "  ", "write_endpoint", c.write_endpoint);
    buf_put_text(&config, "sources:\n- use: timestream\n");
    dropin_put(&config, "  ", "query_endpoint", c.query_endpoint);
    return dropin_serve(
        "timestream-connector", &c, &config,
        "values keep all their digits, NaN and Inf are stored as text, and throttled "
        "writes are sent again; keys of AWS that Prometheus sends as basic_auth are not used");
}

const struct command command_timestream_connector = {
    "timestream-connector",
    "[flags]",
    "run in place of the Timestream connector of AWS, with its flags",
    run_connector,
    connector_flags,
    connector_notes};
