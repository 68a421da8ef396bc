/*
 * rwspan.c - a capture of any length: series with the labels of a real capture, whose values
 * continue as in that capture.
 *
 *     rwspan CAPTURE.rw --series 200 --scrapes 240 --end-ms T > HOUR.rw
 *
 * bench/lib/fleet.c makes the series and continues them; bench/lib/share.c decides when they are
 * scraped and which samples come late. If fewer series are wanted than the capture has, they are
 * taken from all over it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/share.h"
#include "lib/tool.h"

static const char USAGE[] =
    "usage: rwspan CAPTURE.rw [options] > OUT.rw\n"
    "  --series N        (100)\n"
    "  --scrapes S       samples of each (240)\n"
    "  --end-ms T        Unix time of the end (now)\n"
    "  --interval-ms T   between scrapes (15000)\n"
    "  --batch N         samples in a request, at most, but for late ones (2000)\n"
    "  --churn P         percent of the series replaced in an hour (0)\n"
    "  --late P          percent of the samples that come 1 to 40 scrapes late (0)\n"
    "  --version 1|2     of remote write (1)\n"
    "  --seed N          (1)\n"
    "A summary is printed on standard error: samples=N requests=N.\n";

enum { SCRAPES_AT_A_TIME = 240 };

/* Selects this many models, as far from each other as possible. */
static void
spread(struct fleet *f, uint64_t series)
{
    if (series >= f->count) return;
    for (uint64_t i = 0; i < series; i++)
        f->models[i] = f->models[i * f->count / series];
    f->count = (uint32_t)series;
}

static void
put_requests(const struct share *s)
{
    for (uint64_t i = 0; i < s->request_count; i++) {
        const struct request *r = &s->requests[i];
        uint8_t head[4];
        store_le32(head, r->size);
        if (fwrite(head, 1, sizeof head, stdout) != sizeof head ||
            fwrite(s->store.at + r->at, 1, r->size, stdout) != r->size)
            die("standard output cannot be written");
    }
}

static void
put_span(const struct shape *shape, struct fleet *fleet)
{
    struct share share;
    uint64_t samples = 0, requests = 0;
    share_init(&share, shape, fleet_multiply(fleet, shape->series, shape->seed, shape->interval_ms),
               0);
    for (uint64_t from = 0; from < shape->end; from += SCRAPES_AT_A_TIME) {
        uint64_t to = from + SCRAPES_AT_A_TIME;
        share_make(&share, from, to < shape->end ? to : shape->end);
        put_requests(&share);
        requests += share.request_count;
        for (uint64_t i = 0; i < share.request_count; i++)
            samples += share.requests[i].samples;
    }
    if (fflush(stdout) != 0) die("standard output cannot be written");
    fprintf(stderr, "samples=%llu requests=%llu\n", (unsigned long long)samples,
            (unsigned long long)requests);
}

static const char *
parse_arguments(struct shape *s, int argc, char **argv)
{
    double end_ms = now_s(CLOCK_REALTIME) * 1000, number;
    enum { SERIES, SCRAPES, END, INTERVAL, BATCH, CHURN, LATE, VERSION, SEED, HELP };
    static const struct option options[] = {
        {"series", required_argument, NULL, SERIES},
        {"scrapes", required_argument, NULL, SCRAPES},
        {"end-ms", required_argument, NULL, END},
        {"interval-ms", required_argument, NULL, INTERVAL},
        {"batch", required_argument, NULL, BATCH},
        {"churn", required_argument, NULL, CHURN},
        {"late", required_argument, NULL, LATE},
        {"version", required_argument, NULL, VERSION},
        {"seed", required_argument, NULL, SEED},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    for (int got; (got = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (got < 0 || got >= HELP) tell_usage(USAGE, got == HELP);
        number = parse_number(options[got].name, optarg);
        switch (got) {
        case SERIES:
            s->series = (uint64_t)number;
            break;
        case SCRAPES:
            s->end = (uint64_t)number;
            break;
        case END:
            end_ms = number;
            break;
        case INTERVAL:
            s->interval_ms = (uint64_t)number;
            break;
        case BATCH:
            s->batch = (uint64_t)number;
            break;
        case CHURN:
            s->churn = number;
            break;
        case LATE:
            s->late = number;
            break;
        case VERSION:
            s->version = (uint64_t)number;
            break;
        case SEED:
            s->seed = (uint64_t)number;
            break;
        }
    }
    if (argc - optind != 1) tell_usage(USAGE, 0);
    if (s->series == 0 || s->end == 0 || s->batch == 0 || s->interval_ms < 1000 || s->version < 1 ||
        s->version > 2)
        die("nothing to make, or not so");
    s->start_ms = (int64_t)end_ms - (int64_t)(s->end * s->interval_ms);
    return argv[optind];
}

int
main(int argc, char **argv)
{
    struct shape shape = {.series = 100,
                          .end = 240,
                          .interval_ms = 15000,
                          .batch = 2000,
                          .connections = 1,
                          .version = 1,
                          .seed = 1};
    struct fleet fleet = {0};
    const char *capture = parse_arguments(&shape, argc, argv);
    fleet_read(&fleet, capture);
    spread(&fleet, shape.series);
    put_span(&shape, &fleet);
    return 0;
}
