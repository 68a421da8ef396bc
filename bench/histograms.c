/*
 * histograms.c - sends the native histograms of a capture --times times, one after the other in
 * time: a load for measuring reads of histograms.
 *
 *     histograms CAPTURE.rw URL --times 30
 *
 * Counters begin again each time, as after a restart; layouts grow as they did in the capture. One
 * connection, in the order of time, remote write 2.0. Prints one key=value a line.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/sender.h"
#include "model/labels.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

static const char USAGE[] =
    "usage: histograms CAPTURE.rw http://HOST:PORT[/PATH] [options]\n"
    "  --times N         (30)\n"
    "  --end-ms T        Unix time of the end (now)\n"
    "  --batch N         histograms in a request, at least (500)\n"
    "  --float           their counts as floats\n"
    "Prints one key=value a line. Status 1: something was refused permanently.\n";

/* The first histogram of a round follows the last one of the round before after this pause. */
enum { PAUSE_MS = 1000 };

struct options {
    const char *capture;
    struct address address;
    uint64_t times, batch;
    int64_t end_ms;
    bool floats;
};

struct load {
    const struct options *options;
    struct buf *requests; /* uncompressed requests of the capture */
    uint32_t request_count;
    int64_t first_ms, last_ms;
    uint64_t histograms;

    struct rw_request request;
    struct rw_build *build;
    struct sender sender;
    struct buf labels, packed;
    struct arena arena;
    uint64_t sent;
};

/* --- the capture ------------------------------------------------------------------------------ */

static void
decode(struct load *l, const struct buf *message)
{
    struct why why = {""};
    if (rw_decode(&l->request, RW_V2, buf_bytes(message), 1, &why)) die("a request: %s", why.text);
}

static void
read_capture(struct load *l)
{
    struct buf packed;
    uint8_t head[4];
    FILE *f = fopen(l->options->capture, "rb");
    if (f == NULL) die("%s cannot be opened", l->options->capture);
    buf_init(&packed, NULL, 1 << 30);
    while (fread(head, 1, sizeof head, f) == sizeof head) {
        struct why why = {""};
        buf_clear(&packed);
        if (!buf_reserve(&packed, load_le32(head))) die("no memory");
        packed.size = fread(packed.at, 1, load_le32(head), f);
        l->requests = must(realloc(l->requests, (l->request_count + 1) * sizeof *l->requests));
        struct buf *message = &l->requests[l->request_count++];
        buf_init(message, NULL, 1 << 30);
        if (snappy_unpack(buf_bytes(&packed), message, &why)) die("a request: %s", why.text);
        decode(l, message);
        for (uint32_t i = 0; i < l->request.histogram_count; i++) {
            int64_t t_ms = l->request.histograms[i].t_ms;
            if (l->histograms == 0 || t_ms < l->first_ms) l->first_ms = t_ms;
            if (l->histograms == 0 || t_ms > l->last_ms) l->last_ms = t_ms;
            l->histograms++;
        }
    }
    fclose(f);
    buf_fini(&packed);
    if (l->histograms == 0) die("%s: no histograms", l->options->capture);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
side_as_floats(struct load *l, struct hist_buckets *side)
{
    uint64_t *counts = must(arena_alloc(&l->arena, (side->bucket_count + 1) * sizeof *counts));
    int64_t count = 0;
    for (uint32_t i = 0; i < side->bucket_count; i++) {
        count += side->deltas[i];
        counts[i] = double_bits((double)count);
    }
    side->deltas = NULL;
    side->counts = counts;
}

static struct histogram
as_floats(struct load *l, struct histogram h)
{
    if (h.kind == SAMPLE_HISTOGRAM_FLOAT) return h;
    h.kind = SAMPLE_HISTOGRAM_FLOAT;
    h.count = double_bits((double)h.count);
    h.zero_count = double_bits((double)h.zero_count);
    side_as_floats(l, &h.positive);
    side_as_floats(l, &h.negative);
    return h;
}

static void
put_labels(struct load *l, const struct rw_series *series)
{
    struct rw_label_walk walk = rw_labels(&l->request, series);
    buf_clear(&l->labels);
    for (struct label label; rw_label_next(&walk, &label);)
        labels_put(&l->labels, label);
    rw_build_series(l->build, buf_bytes(&l->labels));
}

static void
put_request(struct load *l, int64_t later_ms)
{
    for (uint32_t i = 0; i < l->request.series_count; i++) {
        const struct rw_series *series = &l->request.series[i];
        if (series->histograms.count == 0) continue;
        put_labels(l, series);
        for (uint32_t k = 0; k < series->histograms.count; k++) {
            const struct rw_histogram *from = &l->request.histograms[series->histograms.first + k];
            struct histogram h = l->options->floats ? as_floats(l, from->h) : from->h;
            rw_build_histogram(l->build, from->t_ms + later_ms, 0, &h);
        }
    }
    arena_reset(&l->arena);
}

static void
send_built(struct load *l)
{
    struct bytes message;
    uint64_t count = rw_build_counts(l->build).histograms;
    if (count == 0) return;
    buf_clear(&l->packed);
    if (rw_build_end(l->build, &message) || snappy_pack(message, &l->packed)) die("no memory");
    sender_send(&l->sender, buf_bytes(&l->packed), (uint32_t)count);
    rw_build_clear(l->build);
    l->sent += count;
}

static int64_t
round_ms(const struct load *l)
{
    return l->last_ms - l->first_ms + PAUSE_MS;
}

static void
send_rounds(struct load *l)
{
    const struct options *o = l->options;
    for (uint64_t round = 0; round < o->times; round++) {
        int64_t begin_ms = o->end_ms - (int64_t)(o->times - round) * round_ms(l);
        for (uint32_t i = 0; i < l->request_count; i++) {
            decode(l, &l->requests[i]);
            put_request(l, begin_ms - l->first_ms);
            if (rw_build_counts(l->build).histograms >= o->batch) send_built(l);
        }
    }
    send_built(l);
}

/* --- the command ------------------------------------------------------------------------------ */

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"times", required_argument, NULL, 't'}, {"end-ms", required_argument, NULL, 'e'},
        {"batch", required_argument, NULL, 'b'}, {"float", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    for (int got; (got = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        if (got == 't')
            o->times = (uint64_t)parse_number("times", optarg);
        else if (got == 'e')
            o->end_ms = (int64_t)parse_number("end-ms", optarg);
        else if (got == 'b')
            o->batch = (uint64_t)parse_number("batch", optarg);
        else if (got == 'f')
            o->floats = true;
        else
            tell_usage(USAGE, got == 'h');
    if (argc - optind != 2) tell_usage(USAGE, 0);
    o->capture = argv[optind];
    address_parse(&o->address, argv[optind + 1], "/api/v1/write");
}

int
main(int argc, char **argv)
{
    struct options o = {
        .times = 30, .batch = 500, .end_ms = (int64_t)(now_s(CLOCK_REALTIME) * 1000)};
    parse_arguments(&o, argc, argv);
    struct load l = {.options = &o};
    buf_init(&l.labels, NULL, 1 << 20);
    buf_init(&l.packed, NULL, 1 << 30);
    arena_init(&l.arena, NULL, 0, 1 << 16);
    sender_init(&l.sender, &o.address, RW_V2);
    if (rw_request_init(&l.request, NULL) || rw_build_new(RW_V2, NULL, &l.build)) die("no memory");
    read_capture(&l);
    send_rounds(&l);
    sender_close(&l.sender);
    printf("samples=%" PRIu64 "\nrefused=%" PRIu64 "\nretries=%" PRIu64 "\n", l.sent,
           l.sender.refused, l.sender.retries);
    printf("begin_ms=%" PRId64 "\n", o.end_ms - (int64_t)o.times * round_ms(&l));
    if (l.sender.refused > 0) fprintf(stderr, "histograms: %s\n", l.sender.trouble);
    for (uint32_t i = 0; i < l.request_count; i++)
        buf_fini(&l.requests[i]);
    free(l.requests);
    rw_request_fini(&l.request);
    rw_build_free(l.build);
    buf_fini(&l.labels);
    buf_fini(&l.packed);
    arena_fini(&l.arena);
    return l.sender.refused > 0;
}
