/* kinesis_adapter.c - `firekeep kinesis-adapter`: takes the place of prometheus_remote_kinesis. */
#include "cli/commands.h"
#include "cli/dropin/dropin.h"

enum { CONFIG_BYTES = 64 * 1024 };

struct adapter_flags {
    struct dropin_flags f;
    bool firehose;
    const char *stream, *region, *interval;
};

#define TEXT(name, field, what, help)                                         \
    {                                                                         \
        name, 0, FLAG_TEXT, offsetof(struct adapter_flags, field), what, help \
    }

static const struct flag flags[] = {
    {"firehose", 0, FLAG_SWITCH, offsetof(struct adapter_flags, firehose), NULL,
     "write to a delivery stream of Firehose instead of a data stream"},
    TEXT("stream-name", stream, "NAME", "name of the stream (default $STREAM_NAME)"),
    TEXT("region", region, "REGION", "AWS region (default $AWS_REGION, or ap-northeast-1)"),
    TEXT("write-interval", interval, "TIME", "how long records may wait for more (default 10s)"),
    TEXT("listen-addr", f.listen, "ADDRESS", "address to listen on (default :9501)"),
    DROPIN_STORAGE_FLAG(struct adapter_flags, f),
    {0},
};

static const char notes[] =
    "\nRuns a server with the flags of prometheus_remote_kinesis, with one hyphen or two, which "
    "it\n"
    "replaces without a change of prometheus.yml (/receive). It prints the configuration that "
    "they\n"
    "mean: take it over for `firekeep serve`, which can do more. A write is answered when its\n"
    "samples are on disk, and they wait there as long as the stream does not take them. Records\n"
    "are JSON objects, one for each sample (docs/destinations/codings.md).\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start, 2 wrong usage.\n";

static int
run_adapter(int argc, char **argv)
{
    struct adapter_flags a = {.f = {.listen = ":9501"},
                              .stream = dropin_environment("STREAM_NAME", NULL),
                              .region = dropin_environment("AWS_REGION", "ap-northeast-1"),
                              .interval = "10s"};
    struct why why = {""};
    struct buf config;
    int count = 0;
    static const char *const switches[] = {"firehose", NULL};
    argc = dropin_words(argc, argv, switches);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
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
    return dropin_serve("kinesis-adapter", &a.f, &config,
                        "records that the service refuses are sent again, NaN and Inf are kept, "
                        "and a crash loses nothing that was answered with 2xx");
}

const struct command command_kinesis_adapter = {
    "kinesis-adapter", "[flags]", "run in place of prometheus_remote_kinesis, with its flags",
    run_adapter,       flags,     notes};
