/*
 * sink.c - plays every system that a destination writes to, for benchmarks: it accepts all
 * requests, discards their bodies, and counts the records that it decodes from them.
 *
 *     sink PORT
 *
 * Kinesis, Firehose, Timestream by X-Amz-Target (with four shards, and without discovery), S3 by
 * PUT, OpenTSDB's /api/put, InfluxDB's /write, ClickHouse at /clickhouse/ and /modern/, remote
 * write 1.0 and 2.0 at /api/v1/write. GET /stats returns lines of key=value: requests, bytes of
 * bodies, records (a request with samples counts each sample), and units as AWS bills them. SIGTERM
 * ends it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tool.h"
#include "net/http_server.h"
#include "sys/env.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

static const char USAGE[] = "usage: sink PORT\n";

enum { SHARDS = 4, WORKERS = 2, KINESIS_UNIT = 25 * 1024, FIREHOSE_UNIT = 5 * 1024 };

struct sink {
    struct budget memory;
    _Atomic uint64_t requests, bytes, records, units;
    _Atomic uint64_t plain_units; /* Timestream: without CommonAttributes, by single records */
};

static void
count(struct sink *s, uint64_t bytes, uint64_t records, uint64_t units)
{
    s->requests++;
    s->bytes += bytes;
    s->records += records;
    s->units += units;
}

static void
answer(struct http_request *request, unsigned status, struct bytes body, const char *samples)
{
    struct http_answer a = {.status = status, .content_type = "application/json", .body = body};
    unsigned n = 0;
    if (samples != NULL) {
        a.headers[n++] =
            (struct http_answer_header){"X-Prometheus-Remote-Write-Samples-Written", samples};
    }
    if (http_method(request) == HTTP_PUT)
        a.headers[n++] = (struct http_answer_header){"ETag", "\"e\""};
    http_reply(request, &a);
}

/* --- AWS -------------------------------------------------------------------------------------- */

/* Finds the next text after `key` from `*at` on, without its quotes; returns false at the end. */
static bool
next_text(struct bytes body, size_t *at, const char *key, struct bytes *ret_text)
{
    size_t key_size = strlen(key);
    const uint8_t *found = memmem(body.at + *at, body.size - *at, key, key_size);
    if (found == NULL) return false;
    size_t from = (size_t)(found - body.at) + key_size;
    const uint8_t *end = memchr(body.at + from, '"', body.size - from);
    if (end == NULL) return false;
    *ret_text = bytes_of(body.at + from, (size_t)(end - body.at) - from);
    *at = (size_t)(end - body.at) + 1;
    return true;
}

/* Returns the units of `unit` bytes that its records are billed as, each separately. */
static uint64_t
data_units(struct bytes body, uint64_t unit, uint64_t *ret_records)
{
    struct bytes data;
    uint64_t units = 0;
    *ret_records = 0;
    for (size_t at = 0; next_text(body, &at, "\"Data\":\"", &data); ++*ret_records)
        units += (data.size / 4 * 3 + unit - 1) / unit;
    return units;
}

static void
take_records(struct sink *s, struct http_request *request, uint64_t unit, const char *head,
             const char *each)
{
    struct bytes body = http_body(request);
    struct buf text;
    uint64_t records;
    uint64_t units = data_units(body, unit, &records);
    count(s, body.size, records, units);
    buf_init(&text, &s->memory, 1 << 20);
    buf_put_text(&text, head);
    for (uint64_t i = 0; i < records; i++) {
        if (i > 0) buf_put_u8(&text, ',');
        buf_put_text(&text, each);
    }
    buf_put_text(&text, "]}");
    answer(request, 200, buf_bytes(&text), NULL);
    buf_fini(&text);
}

/* Returns four, each with a quarter of 2^128. */
static void
list_shards(struct http_request *request)
{
    static const char *const bounds[SHARDS][2] = {
        {"0", "85070591730234615865843651857942052863"},
        {"85070591730234615865843651857942052864", "170141183460469231731687303715884105727"},
        {"170141183460469231731687303715884105728", "255211775190703847597530955573826158591"},
        {"255211775190703847597530955573826158592", "340282366920938463463374607431768211455"}};
    char text[2048];
    int size = snprintf(text, sizeof text, "{\"Shards\":[");
    for (int i = 0; i < SHARDS; i++) {
        size += snprintf(text + size, sizeof text - (size_t)size,
                         "%s{\"ShardId\":\"shardId-%012d\",\"HashKeyRange\":{\"StartingHashKey\":"
                         "\"%s\",\"EndingHashKey\":\"%s\"},\"SequenceNumberRange\":{"
                         "\"StartingSequenceNumber\":\"1\"}}",
                         i > 0 ? "," : "", i, bounds[i][0], bounds[i][1]);
    }
    size += snprintf(text + size, sizeof text - (size_t)size, "]}");
    answer(request, 200, bytes_of(text, (size_t)size), NULL);
}

/* Returns the bill for the same records if each had all common attributes itself. */
static uint64_t
without_common(struct bytes body, uint64_t records)
{
    static const char mark[] = "\"CommonAttributes\":";
    const uint8_t *from = memmem(body.at, body.size, mark, sizeof mark - 1);
    if (from == NULL) return (body.size + 1023) / 1024;
    const uint8_t *end = memmem(from, body.size - (size_t)(from - body.at), "\"Records\":", 10);
    uint64_t common = end == NULL ? 0 : (uint64_t)(end - from);
    return (body.size + common * records + 1023) / 1024;
}

static void
write_records(struct sink *s, struct http_request *request)
{
    struct bytes body = http_body(request), text;
    uint64_t records = 0;
    char said[128];
    for (size_t at = 0; next_text(body, &at, "\"MeasureValue\":\"", &text);)
        records++;
    count(s, body.size, records, (body.size + 1023) / 1024);
    s->plain_units += without_common(body, records);
    int size = snprintf(said, sizeof said, "{\"RecordsIngested\":{\"Total\":%llu}}",
                        (unsigned long long)records);
    answer(request, 200, bytes_of(said, (size_t)size), NULL);
}

static void
take_aws(struct sink *s, struct http_request *request, const char *target)
{
    const char *operation = strchr(target, '.');
    operation = operation == NULL ? "" : operation + 1;
    if (strcmp(operation, "PutRecords") == 0)
        take_records(
            s, request, KINESIS_UNIT, "{\"FailedRecordCount\":0,\"Records\":[",
            "{\"SequenceNumber\":\"49543463076548007577105092703039560359975228518395019266\","
            "\"ShardId\":\"shardId-000000000000\"}");
    else if (strcmp(operation, "PutRecordBatch") == 0)
        take_records(s, request, FIREHOSE_UNIT,
                     "{\"FailedPutCount\":0,\"Encrypted\":false,\"RequestResponses\":[",
                     "{\"RecordId\":\"0123456789abcdef0123456789abcdef\"}");
    else if (strcmp(operation, "ListShards") == 0)
        list_shards(request);
    else if (strcmp(operation, "WriteRecords") == 0)
        write_records(s, request);
    else
        http_reply_text(request, 400, "{\"__type\":\"UnknownOperationException\"}");
}

/* --- the others ------------------------------------------------------------------------------- */

static void
take_points(struct sink *s, struct http_request *request)
{
    struct bytes body = http_body(request), text;
    uint64_t points = 0;
    char said[96];
    for (size_t at = 0; next_text(body, &at, "\"metric\":\"", &text);)
        points++;
    count(s, body.size, points, 0);
    int size = snprintf(said, sizeof said, "{\"success\":%llu,\"failed\":0,\"errors\":[]}",
                        (unsigned long long)points);
    answer(request, 200, bytes_of(said, (size_t)size), NULL);
}

static void
take_remote_write(struct sink *s, struct http_request *request)
{
    struct bytes body = http_body(request);
    const char *type = http_header(request, "Content-Type");
    enum rw_version version = type != NULL && strstr(type, "v2") != NULL ? RW_V2 : RW_V1;
    struct rw_request message;
    struct buf raw;
    char said[24] = "0";
    buf_init(&raw, &s->memory, 64 << 20);
    bool good = rw_request_init(&message, &s->memory) == OK &&
                snappy_unpack(body, &raw, NULL) == OK &&
                rw_decode(&message, version, buf_bytes(&raw), 1, NULL) == OK;
    if (good) {
        count(s, body.size, message.float_count + message.histogram_count, 0);
        snprintf(said, sizeof said, "%u", message.float_count);
    }
    rw_request_fini(&message);
    buf_fini(&raw);
    answer(request, good ? 204 : 400, bytes_of(NULL, 0), said);
}

/* Acts as ClickHouse 18.16, below /modern/ as 21.3; with the table that Firekeep makes. */
static void
take_clickhouse(struct sink *s, struct http_request *request)
{
    static const char said[] =
        "{\"data\":[[\"version\",\"%s\",\"\",\"\"],[\"setting\",\"%s\",\"\",\"\"],"
        "[\"table\",\"ReplacingMergeTree\",\"metric, labels, time\",\"\"],"
        "[\"column\",\"metric\",\"String\",\"\"],[\"column\",\"labels\",\"String\",\"\"],"
        "[\"column\",\"time\",\"Int64\",\"\"],[\"column\",\"value\",\"Float64\",\"\"],"
        "[\"column\",\"bits\",\"UInt64\",\"\"],[\"column\",\"histogram\",\"String\",\"\"],"
        "[\"column\",\"start_time\",\"Int64\",\"\"]],\"rows\":10}";
    if (http_argument(request, "query") != NULL) {
        count(s, http_body(request).size, 0, 0);
        answer(request, 200, bytes_of(NULL, 0), NULL);
        return;
    }
    bool is_modern = strncmp(http_path(request), "/modern", strlen("/modern")) == 0;
    http_reply_text(request, 200, said, is_modern ? "21.3.1" : "18.16.1",
                    is_modern ? "insert_deduplication_token" : "insert_deduplicate");
}

/* Acts as S3, where all uploads in parts have one name and lists are empty; or as InfluxDB. */
static void
take_object(struct sink *s, struct http_request *request)
{
    enum http_method method = http_method(request);
    const char *said = "";
    bool lists =
        http_argument(request, "uploads") != NULL || http_argument(request, "list-type") != NULL;
    if (method == HTTP_GET && !lists) { /* the requested object does not exist */
        answer(request, 404, bytes_of_text(said), NULL);
        return;
    }
    if (method == HTTP_GET)
        said = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
    else if (http_argument(request, "uploads") != NULL)
        said =
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    else if (method == HTTP_POST && http_argument(request, "uploadId") != NULL)
        said = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    count(s, http_body(request).size, 0, 0);
    answer(request, method == HTTP_PUT || *said != 0 ? 200 : 204, bytes_of_text(said), NULL);
}

static void
tell_stats(struct sink *s, struct http_request *request)
{
    http_reply_text(request, 200,
                    "requests=%llu\nbytes=%llu\nrecords=%llu\nunits=%llu\nplain_units=%llu\n",
                    (unsigned long long)s->requests, (unsigned long long)s->bytes,
                    (unsigned long long)s->records, (unsigned long long)s->units,
                    (unsigned long long)s->plain_units);
}

static void
take(void *context, struct http_request *request)
{
    struct sink *s = context;
    const char *path = http_path(request);
    const char *target = http_header(request, "X-Amz-Target");
    if (target != NULL)
        take_aws(s, request, target);
    else if (http_method(request) == HTTP_GET && strcmp(path, "/stats") == 0)
        tell_stats(s, request);
    else if (strcmp(path, "/api/put") == 0)
        take_points(s, request);
    else if (strcmp(path, "/api/v1/write") == 0)
        take_remote_write(s, request);
    else if (strcmp(path, "/clickhouse/") == 0 || strcmp(path, "/modern/") == 0)
        take_clickhouse(s, request);
    else
        take_object(s, request);
}

int
main(int argc, char **argv)
{
    struct sink s = {.requests = 0};
    struct http_server *server;
    struct why why = {""};
    struct env *env = env_real();
    sigset_t set;
    int got;
    if (argc != 2) tell_usage(USAGE, 0);
    budget_init(&s.memory, "sink", 0, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    const struct http_route route = {
        .path = "/*",
        .methods = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE,
        .handler = take,
        .context = &s,
        .encodings = "*",
    };
    const int64_t minute_ns = 60000000000;
    const struct http_place place = {
        .name = "sink", .host = "127.0.0.1", .port = (uint16_t)parse_number("port", argv[1])};
    const struct http_options options = {
        .env = env,
        .places = &place,
        .place_count = 1,
        .workers = WORKERS,
        .connections_max = 1024,
        .header_bytes_max = HTTP_HEADER_BYTES_CEILING,
        .body_bytes_max = 256 << 20,
        .header_timeout_ns = minute_ns,
        .body_timeout_ns = minute_ns,
        .idle_timeout_ns = 60 * minute_ns,
        .send_timeout_ns = minute_ns,
        .stream_buffer_bytes = 1 << 16,
        .budget = &s.memory,
        .routes = &route,
        .route_count = 1,
    };
    if (http_server_start(&options, &server, &why)) die("%s", why.text);
    sigwait(&set, &got);
    http_server_free(server);
    return 0;
}
