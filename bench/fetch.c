/*
 * fetch.c - reads one remote read, or any other answer, as fast as it arrives.
 *
 *     fetch http://HOST:PORT --form xor|samples --start MS --end MS [--match NAME=REGEX]...
 *     fetch URL --form plain
 *
 * Samples of a streamed answer are counted as the chunks announce them; samples of a SAMPLES
 * answer, which is one block, after the clock has stopped. So this program needs little CPU beside
 * the server it measures. Prints one key=value per line. Status 1: no whole answer.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/tool.h"
#include "net/http_client.h"
#include "wire/proto.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

static const char USAGE[] =
    "usage: fetch URL [options]\n"
    "  --form F          xor (remote read, streamed), samples (remote read), plain (a GET) (xor)\n"
    "  --start MS        first time, Unix milliseconds (0)\n"
    "  --end MS          last time, inclusive (2100)\n"
    "  --match NAME=RE   only series whose label matches RE (__name__=.+)\n";

enum form { FORM_XOR, FORM_SAMPLES, FORM_PLAIN, FORMS };
static const char *const form_names[FORMS] = {"xor", "samples", "plain"};
enum { MATCHERS_MAX = 8, FRAME_CRC_BYTES = 4 };

struct options {
    const char *url;
    enum form form;
    int64_t start_ms, end_ms;
    struct rr_matcher matchers[MATCHERS_MAX];
    uint32_t matcher_count;
};

struct answer {
    enum form form;
    struct buf kept; /* streamed: less than a frame; samples: all of it */
    uint64_t bytes, frames, series, samples;
    double first_byte_s;
};

/* --- streamed --------------------------------------------------------------------------------- */

static void
count_chunk(struct answer *a, struct cursor c)
{
    struct bytes data = {NULL, 0};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(4, PROTO_BYTES))
            data = proto_bytes(&c);
        else
            proto_skip(&c, tag, 0);
    if (data.size >= 2) a->samples += (uint64_t)data.at[0] << 8 | data.at[1];
}

static void
count_series(struct answer *a, struct cursor c)
{
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(2, PROTO_BYTES))
            count_chunk(a, cursor_of(proto_bytes(&c)));
        else
            proto_skip(&c, tag, 0);
}

static void
count_frame(struct answer *a, struct cursor c)
{
    a->frames++;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            proto_skip(&c, tag, 0);
            continue;
        }
        a->series++;
        count_series(a, cursor_of(proto_bytes(&c)));
    }
    if (c.bad) die("a frame that is none");
}

/* Counts the whole frames at the front and keeps the bytes after them. */
static void
take_frames(struct answer *a)
{
    struct cursor c = cursor_of(buf_bytes(&a->kept));
    const uint8_t *done = c.at;
    for (;;) {
        uint64_t size = cursor_varint(&c);
        cursor_bytes(&c, FRAME_CRC_BYTES);
        struct bytes frame = cursor_bytes(&c, size);
        if (c.bad) break;
        count_frame(a, cursor_of(frame));
        done = c.at;
    }
    size_t gone = (size_t)(done - a->kept.at);
    memmove(a->kept.at, done, a->kept.size - gone);
    a->kept.size -= gone;
}

/* --- in one block ----------------------------------------------------------------------------- */

/* Counts the fields of this number in every message below `depth` fields 1. */
static uint64_t
count_fields(struct cursor c, unsigned depth, uint32_t wanted)
{
    uint64_t count = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        bool inner = tag == PROTO_TAG(1, PROTO_BYTES) && depth > 0;
        if (inner)
            count += count_fields(cursor_of(proto_bytes(&c)), depth - 1, wanted);
        else
            proto_skip(&c, tag, 0);
        if (depth == 0) count += tag == PROTO_TAG(wanted, PROTO_BYTES);
    }
    if (c.bad) die("an answer that is none");
    return count;
}

static void
count_block(struct answer *a)
{
    struct buf message;
    struct why why = {""};
    buf_init(&message, NULL, (size_t)1 << 33);
    if (snappy_unpack(buf_bytes(&a->kept), &message, &why)) die("no snappy block: %s", why.text);
    a->series = count_fields(cursor_of(buf_bytes(&message)), 1, 1);
    a->samples = count_fields(cursor_of(buf_bytes(&message)), 2, 2);
    buf_fini(&message);
}

/* --- the command ------------------------------------------------------------------------------ */

static void
take(struct answer *a, struct bytes piece)
{
    if (a->bytes == 0) a->first_byte_s = now_s(CLOCK_MONOTONIC);
    a->bytes += piece.size;
    if (a->form == FORM_PLAIN) return;
    buf_put_bytes(&a->kept, piece);
    if (buf_error(&a->kept)) die("no memory");
    if (a->form == FORM_XOR) take_frames(a);
}

static void
put_request(const struct options *o, struct buf *to)
{
    struct buf message;
    buf_init(&message, NULL, 1 << 20);
    rr_request_put_query(&message, o->start_ms, o->end_ms, o->matchers, o->matcher_count);
    rr_request_put_accepted(&message, o->form != FORM_SAMPLES, o->form == FORM_SAMPLES);
    if (buf_error(&message) || snappy_pack(buf_bytes(&message), to)) die("no memory");
    buf_fini(&message);
}

static void
parse_form(struct options *o, const char *text)
{
    for (o->form = 0; o->form < FORMS; o->form++)
        if (strcmp(text, form_names[o->form]) == 0) return;
    die("--form: xor, samples or plain");
}

static void
add_matcher(struct options *o, const char *text)
{
    const char *value = strchr(text, '=');
    if (value == NULL || o->matcher_count == MATCHERS_MAX) die("--match NAME=REGEX, not too many");
    o->matchers[o->matcher_count++] = (struct rr_matcher){2, bytes_of(text, (size_t)(value - text)),
                                                          bytes_of(value + 1, strlen(value + 1))};
}

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"form", required_argument, NULL, 'f'}, {"start", required_argument, NULL, 's'},
        {"end", required_argument, NULL, 'e'},  {"match", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    for (int got; (got = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        if (got == 'f')
            parse_form(o, optarg);
        else if (got == 's')
            o->start_ms = (int64_t)parse_number("start", optarg);
        else if (got == 'e')
            o->end_ms = (int64_t)parse_number("end", optarg);
        else if (got == 'm')
            add_matcher(o, optarg);
        else
            tell_usage(USAGE, got == 'h');
    if (argc - optind != 1) tell_usage(USAGE, 0);
    if (o->matcher_count == 0) add_matcher(o, "__name__=.+");
    o->url = argv[optind];
}

static void
ask(const struct options *o, const char *url, struct answer *a)
{
    static const char *const headers[] = {"Content-Type: application/x-protobuf",
                                          "Content-Encoding: snappy",
                                          "X-Prometheus-Remote-Read-Version: 0.1.0", NULL};
    const struct http_client_options how = {.env = env_real(), .user_agent = "firekeep-fetch/1"};
    struct http_client *client;
    struct http_client_answer http = {0};
    struct why why = {""};
    struct buf body;
    buf_init(&body, NULL, 1 << 20);
    if (o->form != FORM_PLAIN) put_request(o, &body);
    if (http_client_new(&how, &client, &why)) die("%s", why.text);
    struct http_client_request request = {.url = url, .headers = headers, .body = buf_bytes(&body)};
    struct bytes piece = bytes_of("", 0);
    enum err e = http_client_open(client, &request, &http, &why);
    do {
        if (e == OK) e = http_client_read(client, &piece, &why);
        if (e == OK && piece.size > 0) take(a, piece);
    } while (e == OK && piece.size > 0);
    http_client_close(client);
    if (e || http.status != 200) {
        fprintf(stderr, "fetch: %s: %u %s %s\n", url, http.status, http.text, why.text);
        exit(1);
    }
    http_client_free(client);
    buf_fini(&body);
}

int
main(int argc, char **argv)
{
    struct options o = {.end_ms = 4102444800000};
    struct address address;
    char url[1536];
    parse_arguments(&o, argc, argv);
    struct answer a = {.form = o.form};
    address_parse(&address, o.url, "/api/v1/read");
    snprintf(url, sizeof url, "http://%s:%s%s", address.host, address.port, address.path);
    buf_init(&a.kept, NULL, (size_t)1 << 33);
    double began_s = now_s(CLOCK_MONOTONIC);
    ask(&o, url, &a);
    double took_s = now_s(CLOCK_MONOTONIC) - began_s;
    if (o.form == FORM_XOR && a.kept.size > 0) die("the answer ends within a frame");
    if (o.form == FORM_SAMPLES) count_block(&a);
    printf("seconds=%.4f\nfirst_byte_seconds=%.4f\nbytes=%" PRIu64 "\nframes=%" PRIu64 "\n", took_s,
           a.bytes > 0 ? a.first_byte_s - began_s : took_s, a.bytes, a.frames);
    printf("series=%" PRIu64 "\nsamples=%" PRIu64 "\n", a.series, a.samples);
    buf_fini(&a.kept);
    return 0;
}
