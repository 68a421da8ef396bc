/*
 * load.c - a sender's load for measuring servers: remote write 1.0 or 2.0 made from a capture.
 *
 *     load CAPTURE.rw URL --series 100000 --scrapes 40
 *
 * lib/fleet.c and lib/cluster.c make the series; lib/share.c decides when they are scraped and
 * which samples are late. Series are assigned to connections in turn.
 *
 * Requests are made and compressed in windows, before the clock runs: while the server is measured,
 * this program only sends. Between windows the clock stops, but the server may go on: its work then
 * is part of its measured CPU time, and not of the times printed here.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "lib/cluster.h"
#include "lib/sender.h"
#include "lib/share.h"

static const char USAGE[] =
    "usage: load CAPTURE.rw http://HOST:PORT[/PATH] [options]\n"
    "  --cluster FILE    series as FILE describes them, instead of the capture's\n"
    "  --series N        active series (10000)\n"
    "  --scrapes S       scrapes sent (10)\n"
    "  --skip S          not the first S, which another run has sent (0)\n"
    "  --start-ms T      Unix time of scrape 0 (so that the last one is about now)\n"
    "  --interval-ms T   between scrapes (15000)\n"
    "  --batch N         samples in a request, at most, but for late ones (2000)\n"
    "  --connections C   each with its own share of the series (8)\n"
    "  --churn P         percent of the series replaced in an hour (0)\n"
    "  --late P          percent of the samples that come 1 to 40 scrapes late (0)\n"
    "  --version 1|2     of remote write (1)\n"
    "  --tenants N       all of it once for each of the tenants t00000, t00001, ...\n"
    "  --first-tenant K  ... from tK on (0)\n"
    "  --seed N          (1)\n"
    "  --rate N          samples a second at most, by all connections together (0: no limit)\n"
    "  --window N        samples made ahead of sending them (20000000)\n"
    "  --kill PID        SIGKILL to that process when the last answer has come\n"
    "Prints one key=value a line. Status 1: something was refused permanently.\n";

enum { TOGETHER = 10 };

struct options {
    const char *capture;
    const char *cluster; /* NULL: the capture's own series */
    struct address address;
    struct shape shape;
    uint64_t scrapes, window, victim, tenants, first_tenant, rate;
};

struct connection {
    struct share share;
    struct sender sender;
    pthread_barrier_t *together;
    uint64_t from, to; /* the scrapes of the window */
    uint64_t tenants, first_tenant;
    double rate; /* limit of this connection; 0: none */
};

struct totals {
    double make_s, send_s, sender_cpu_s;
    uint64_t windows, requests;
};

static void *
make_window(void *context)
{
    struct connection *c = context;
    share_make(&c->share, c->from, c->to);
    return NULL;
}

static void
send_to_tenants(struct connection *c, struct bytes body, uint32_t samples)
{
    for (uint64_t i = 0; i < c->tenants; i++) {
        snprintf(c->sender.tenant, sizeof c->sender.tenant, "t%05" PRIu64, c->first_tenant + i);
        sender_send(&c->sender, body, samples);
    }
    if (c->tenants == 0) sender_send(&c->sender, body, samples);
}

/* Waits until the `samples` sent after `began_s` are within the rate. */
static void
keep_rate(const struct connection *c, double began_s, uint64_t samples)
{
    if (c->rate == 0) return;
    double wait_s = began_s + (double)samples / c->rate - now_s(CLOCK_MONOTONIC);
    if (wait_s <= 0) return;
    struct timespec t = {.tv_sec = (time_t)wait_s};
    t.tv_nsec = (long)((wait_s - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* Simulated time is common to all connections: none gets far ahead of the others. */
static void *
send_window(void *context)
{
    struct connection *c = context;
    uint64_t done = 0, samples = 0;
    double began_s = now_s(CLOCK_MONOTONIC);
    for (uint64_t scrape = c->from; scrape < c->to; scrape++) {
        if ((scrape - c->from) % TOGETHER == 0) pthread_barrier_wait(c->together);
        while (done < c->share.request_count && c->share.requests[done].scrape == scrape) {
            const struct request *r = &c->share.requests[done++];
            send_to_tenants(c, bytes_of(c->share.store.at + r->at, r->size), r->samples);
            keep_rate(c, began_s, samples += r->samples);
        }
    }
    return NULL;
}

static double
on_all(struct connection *all, uint64_t count, void *(*work)(void *))
{
    pthread_t *threads = must(calloc(count, sizeof *threads));
    double began = now_s(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &all[i]) != 0) die("no thread");
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    return now_s(CLOCK_MONOTONIC) - began;
}

static double
own_cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
send_everything(const struct options *o, struct connection *all, struct totals *sum)
{
    const struct shape *shape = &o->shape;
    uint64_t each = o->window / shape->series > 0 ? o->window / shape->series : 1;
    for (uint64_t from = shape->skip; from < shape->end; from += each) {
        uint64_t to = from + each < shape->end ? from + each : shape->end;
        for (uint64_t i = 0; i < shape->connections; i++) {
            all[i].from = from;
            all[i].to = to;
        }
        sum->make_s += on_all(all, shape->connections, make_window);
        double cpu_s = own_cpu_s();
        sum->send_s += on_all(all, shape->connections, send_window);
        if (to == shape->end && o->victim > 0) kill((pid_t)o->victim, SIGKILL);
        sum->sender_cpu_s += own_cpu_s() - cpu_s;
        sum->windows++;
        for (uint64_t i = 0; i < shape->connections; i++)
            sum->requests += all[i].share.request_count * (o->tenants > 0 ? o->tenants : 1);
    }
    for (uint64_t i = 0; i < shape->connections; i++)
        sender_close(&all[i].sender);
}

/* --- the command ------------------------------------------------------------------------------ */

static void
add_senders(const struct connection *all, uint64_t count, struct sender *sum)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct sender *s = &all[i].sender;
        sum->samples += s->samples;
        sum->bytes += s->bytes;
        sum->retries += s->retries;
        sum->refused += s->refused;
        for (unsigned k = 0; k < SENDER_STATUSES; k++)
            sum->statuses[k] += s->statuses[k];
        for (unsigned k = 0; k < SENDER_SLOTS; k++)
            sum->took[k] += s->took[k];
        if (s->took_max_s > sum->took_max_s) {
            sum->took_max_s = s->took_max_s;
            sum->took_max_at_s = s->took_max_at_s;
        }
        if (sum->trouble[0] == '\0') memcpy(sum->trouble, s->trouble, sizeof sum->trouble);
    }
}

static void
report(const struct options *o, const struct fleet *f, const struct totals *t,
       const struct sender *sum)
{
    uint64_t behaviours[BEHAVIOURS] = {0};
    for (uint32_t i = 0; i < f->count; i++)
        behaviours[f->models[i].behaviour]++;
    printf("samples=%" PRIu64 "\nrequests=%" PRIu64 "\nretries=%" PRIu64 "\nrefused=%" PRIu64 "\n",
           sum->samples, t->requests, sum->retries, sum->refused);
    printf("bytes=%" PRIu64 "\nwindows=%" PRIu64 "\n", sum->bytes, t->windows);
    printf("seconds=%.3f\nmake_seconds=%.3f\nsender_cpu_seconds=%.3f\nstart_ms=%" PRId64 "\n",
           t->send_s, t->make_s, t->sender_cpu_s, o->shape.start_ms);
    printf("request_p50_ms=%.2f\nrequest_p99_ms=%.2f\nrequest_max_ms=%.2f\n"
           "request_max_at_ms=%.0f\n",
           sender_quantile_s(sum->took, t->requests, 0.5) * 1e3,
           sender_quantile_s(sum->took, t->requests, 0.99) * 1e3, sum->took_max_s * 1e3,
           sum->took_max_at_s * 1e3);
    printf("models=%u\n", f->count);
    for (unsigned k = 0; k < BEHAVIOURS; k++)
        printf("share_%s=%.4f\n", behaviour_names[k], (double)behaviours[k] / f->count);
    for (unsigned k = 0; k < SENDER_STATUSES; k++)
        if (sum->statuses[k] > 0) printf("status_%u=%" PRIu64 "\n", k, sum->statuses[k]);
    if (sum->trouble[0] != '\0') fprintf(stderr, "load: first trouble: %s\n", sum->trouble);
}

static void
check_options(struct options *o)
{
    struct shape *s = &o->shape;
    if (s->connections > s->series) s->connections = s->series;
    if (s->series == 0 || o->scrapes == 0 || s->batch == 0 || s->connections == 0 ||
        s->interval_ms < 1000 || s->version < 1 || s->version > 2)
        die("nothing to send, or not so");
    if (o->cluster != NULL && s->churn > 0) die("--churn: not with --cluster");
    s->end = s->skip + o->scrapes;
    if (s->start_ms == 0)
        s->start_ms = (int64_t)(now_s(CLOCK_REALTIME) * 1000) - (int64_t)(s->end * s->interval_ms);
}

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    struct shape *s = &o->shape;
    const struct {
        const char *name;
        uint64_t *to;
        double *to_real;
        const char **to_text;
    } known[] = {
        {"cluster", .to_text = &o->cluster},
        {"series", .to = &s->series},
        {"scrapes", .to = &o->scrapes},
        {"skip", .to = &s->skip},
        {"start-ms", .to = (uint64_t *)&s->start_ms},
        {"interval-ms", .to = &s->interval_ms},
        {"batch", .to = &s->batch},
        {"connections", .to = &s->connections},
        {"churn", .to_real = &s->churn},
        {"late", .to_real = &s->late},
        {"version", .to = &s->version},
        {"tenants", .to = &o->tenants},
        {"first-tenant", .to = &o->first_tenant},
        {"seed", .to = &s->seed},
        {"rate", .to = &o->rate},
        {"window", .to = &o->window},
        {"kill", .to = &o->victim},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    struct option options[KNOWN + 2] = {{"help", no_argument, NULL, 'h'}};
    for (int i = 0; i < KNOWN; i++)
        options[i + 1] = (struct option){known[i].name, required_argument, NULL, 256 + i};
    for (int got; (got = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (got < 256) tell_usage(USAGE, got == 'h');
        if (known[got - 256].to_text != NULL) {
            *known[got - 256].to_text = optarg;
            continue;
        }
        double number = parse_number(known[got - 256].name, optarg);
        if (known[got - 256].to != NULL) *known[got - 256].to = strtoull(optarg, NULL, 10);
        if (known[got - 256].to_real != NULL) *known[got - 256].to_real = number;
    }
    if (argc - optind != 2) tell_usage(USAGE, 0);
    o->capture = argv[optind];
    address_parse(&o->address, argv[optind + 1], "/api/v1/write");
    check_options(o);
}

int
main(int argc, char **argv)
{
    struct options o = {.scrapes = 10,
                        .window = 20000000,
                        .shape = {.series = 10000,
                                  .interval_ms = 15000,
                                  .batch = 2000,
                                  .connections = 8,
                                  .version = 1,
                                  .seed = 1}};
    struct fleet captured = {0}, fleet = {0};
    struct totals totals = {0};
    struct sender sum = {0};
    parse_arguments(&o, argc, argv);
    fleet_read(&captured, o.capture);
    if (o.cluster != NULL)
        cluster_read(&fleet, o.cluster, &captured);
    else
        fleet = captured;
    const struct shape *s = &o.shape;
    struct active *active = fleet_multiply(&fleet, s->series, s->seed, s->interval_ms);
    struct connection *all = must(calloc(s->connections, sizeof *all));
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, (unsigned)s->connections);
    for (uint64_t i = 0; i < s->connections; i++) {
        all[i].together = &together;
        all[i].tenants = o.tenants;
        all[i].first_tenant = o.first_tenant;
        all[i].rate = (double)o.rate / (double)s->connections;
        share_init(&all[i].share, s, active, i);
        sender_init(&all[i].sender, &o.address, s->version);
    }
    send_everything(&o, all, &totals);
    add_senders(all, s->connections, &sum);
    report(&o, &fleet, &totals, &sum);
    return sum.refused > 0 ? 1 : 0;
}
