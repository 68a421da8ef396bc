/*
 * query_load.c - sends the queries of a benchmark to a server and measures each: latency, CPU and
 * memory of the server.
 *
 *     query_load URL bench/promql/queries.txt --set day --end-s T --pid PID --clients 8
 *     query_load URL bench/promql/queries.txt --set day --end-s T --digest
 *
 * Queries run one after the other: each client has one kept connection and repeats the same query
 * until --budget-s are over, but at least --least and at most --most times in all. Bodies are read
 * and dropped, so that the server keeps most of the CPU. Prints NAME.FIGURE=VALUE per line; a
 * refused query has NAME.failed instead.
 *
 * CPU is that of the server's process, as precise as the kernel's scheduler knows it. Memory is
 * VmHWM above what was resident before: rss_kib is all of it, above_kib is without what became
 * resident of mapped files, which is page cache that the kernel takes back when it needs it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/asker.h"
#include "lib/digest.h"
#include "lib/queries.h"

static const char USAGE[] =
    "usage: query_load http://HOST:PORT QUERIES --set SET --end-s T [options]\n"
    "  --set SET        the queries that are asked of this set\n"
    "  --end-s T        Unix time at which instant queries look and ranges end\n"
    "  --only NAME      no other query\n"
    "  --heavy          only heavy ones\n"
    "  --clients N      connections at a time (1)\n"
    "  --least N        how often a query is asked, in all, at least (3)\n"
    "  --most N         ... and at most (1000)\n"
    "  --budget-s S     how long a query is repeated (1)\n"
    "  --slide          each time a step later, the last one at --end-s: as a dashboard refreshes\n"
    "  --nocache        with nocache=1\n"
    "  --refusals       go on after a 422, 429 or 503, and count them\n"
    "  --pid PID        of the server: its CPU and memory\n"
    "  --digest         ask once and print what the answer comes to\n"
    "  --list           print names, classes and expressions, ask nothing\n";

enum { CLIENTS_MAX = 64, SAMPLE_S = 15 };

struct options {
    const char *queries, *set, *only;
    struct address address;
    int64_t end_s;
    uint64_t clients, least, most, pid;
    double budget_s;
    int slide, nocache, refusals, heavy, digest, list;
};

struct client {
    struct asker asker;
    struct turn *turn;
};

/* One query's turn, shared by the clients. */
struct turn {
    const struct options *options;
    const struct query *query;
    double began_s;
    atomic_uint_fast64_t begun; /* relaxed: it only counts, as does the next */
    atomic_uint_fast64_t refused;
    double *took_s;  /* by number of request */
    uint64_t bytes;  /* size of the last answer */
    unsigned status; /* the last one other than 200, or 0 */
    char error[200];
    pthread_mutex_t lock; /* guards the three above */
};

/* --- the server ------------------------------------------------------------------------------- */

static double
server_cpu_s(uint64_t pid)
{
    clockid_t clock;
    if (pid == 0 || clock_getcpuclockid((pid_t)pid, &clock) != 0) return 0;
    return now_s(clock);
}

static FILE *
open_proc(uint64_t pid, const char *name, const char *mode)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/%s", pid, name);
    return fopen(path, mode);
}

struct memory {
    uint64_t peak_kib, now_kib, mapped_kib;
};

static struct memory
server_memory(uint64_t pid)
{
    struct memory m = {0};
    char line[256];
    FILE *file = open_proc(pid, "status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "VmHWM: %" SCNu64, &m.peak_kib);
        sscanf(line, "VmRSS: %" SCNu64, &m.now_kib);
        sscanf(line, "RssFile: %" SCNu64, &m.mapped_kib);
    }
    if (file != NULL) fclose(file);
    return m;
}

/* Resets VmHWM to VmRSS. */
static void
forget_peak(uint64_t pid)
{
    FILE *file = open_proc(pid, "clear_refs", "we");
    if (file == NULL) return;
    fputs("5\n", file);
    fclose(file);
}

static uint64_t
above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Returns the end of the nth request's range. */
static int64_t
end_of(const struct options *o, const struct query *q, uint64_t nth)
{
    int64_t step_s = q->step_s > 0 ? q->step_s : SAMPLE_S;
    return o->slide ? o->end_s - (int64_t)(o->most - 1 - nth) * step_s : o->end_s;
}

static void
note_failure(struct turn *t, const struct asker *a, bool came)
{
    pthread_mutex_lock(&t->lock);
    t->status = came ? a->status : 1;
    snprintf(t->error, sizeof t->error, "%s", came ? a->error : "no whole answer");
    pthread_mutex_unlock(&t->lock);
}

static bool
is_refusal(unsigned status)
{
    return status == 422 || status == 429 || status == 503;
}

static void *
ask_again(void *context)
{
    struct client *c = context;
    struct turn *t = c->turn;
    const struct options *o = t->options;
    struct buf form;
    buf_init(&form, NULL, 1 << 20);
    for (;;) {
        uint64_t nth = atomic_fetch_add_explicit(&t->begun, 1, memory_order_relaxed);
        double began_s = now_s(CLOCK_MONOTONIC);
        if (nth >= o->most || (nth >= o->least && began_s - t->began_s > o->budget_s)) break;
        buf_clear(&form);
        query_put_form(t->query, end_of(o, t->query, nth), o->nocache, &form);
        began_s = now_s(CLOCK_MONOTONIC);
        bool came = asker_post(&c->asker, query_path(t->query), buf_bytes(&form));
        t->took_s[nth] = now_s(CLOCK_MONOTONIC) - began_s;
        t->bytes = c->asker.bytes;
        if (came && c->asker.status == 200) continue;
        if (came && o->refusals && is_refusal(c->asker.status)) {
            atomic_fetch_add_explicit(&t->refused, 1, memory_order_relaxed);
            t->took_s[nth] = 0;
            continue;
        }
        note_failure(t, &c->asker, came);
        break;
    }
    buf_fini(&form);
    return NULL;
}

static int
by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorts the times, without those of numbers that no request used. */
static uint64_t
sort_times(double *took_s, uint64_t count)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < count; i++)
        if (took_s[i] > 0) took_s[kept++] = took_s[i];
    qsort(took_s, kept, sizeof *took_s, by_size);
    return kept;
}

static void
report(struct turn *t, double cpu_s, struct memory before, struct memory after)
{
    const char *name = t->query->name;
    double sum_s = 0;
    if (t->status != 0) {
        printf("%s.failed=%u:%s\n", name, t->status, t->error);
        return;
    }
    uint64_t count = sort_times(t->took_s, t->options->most);
    for (uint64_t i = 0; i < count; i++)
        sum_s += t->took_s[i];
    double each = (double)count;
    if (t->options->refusals)
        printf("%s.refused=%" PRIu64 "\n", name, (uint64_t)atomic_load(&t->refused));
    printf("%s.requests=%" PRIu64 "\n", name, count);
    if (count == 0) return;
    printf("%s.p50_ms=%.3f\n", name, t->took_s[count / 2] * 1e3);
    printf("%s.p99_ms=%.3f\n", name, t->took_s[(count * 99 - 1) / 100] * 1e3);
    printf("%s.mean_ms=%.3f\n", name, sum_s / each * 1e3);
    printf("%s.bytes=%" PRIu64 "\n", name, t->bytes);
    if (t->options->pid == 0) return;
    printf("%s.cpu_ms=%.3f\n", name, cpu_s / each * 1e3);
    uint64_t rss_kib = above(after.peak_kib, before.now_kib);
    printf("%s.rss_kib=%" PRIu64 "\n", name, rss_kib);
    printf("%s.above_kib=%" PRIu64 "\n", name,
           above(rss_kib, above(after.mapped_kib, before.mapped_kib)));
}

static void
measure(const struct options *o, const struct query *q, struct client *clients)
{
    pthread_t threads[CLIENTS_MAX];
    struct turn t = {.options = o, .query = q, .lock = PTHREAD_MUTEX_INITIALIZER};
    t.took_s = must(calloc(o->most, sizeof *t.took_s));
    forget_peak(o->pid);
    struct memory before = server_memory(o->pid);
    double cpu_s = server_cpu_s(o->pid);
    t.began_s = now_s(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < o->clients; i++) {
        clients[i].turn = &t;
        if (pthread_create(&threads[i], NULL, ask_again, &clients[i]) != 0) die("no thread");
    }
    for (uint64_t i = 0; i < o->clients; i++)
        pthread_join(threads[i], NULL);
    cpu_s = server_cpu_s(o->pid) - cpu_s;
    report(&t, cpu_s, before, server_memory(o->pid));
    free(t.took_s);
    fflush(stdout);
}

/* Sends one request without a query, so that connections are open before measuring. */
static void
connect_all(const struct options *o, struct client *clients)
{
    static const char FORM[] = "query=1&time=0";
    for (uint64_t i = 0; i < o->clients; i++) {
        asker_init(&clients[i].asker, &o->address);
        if (!asker_post(&clients[i].asker, "/api/v1/query", bytes_of(FORM, sizeof FORM - 1)))
            die("no answer from %s:%s", o->address.host, o->address.port);
    }
}

static void
print_digest(const struct options *o, const struct query *q, struct asker *a)
{
    struct buf form, body;
    buf_init(&form, NULL, 1 << 20);
    buf_init(&body, NULL, (size_t)1 << 33);
    query_put_form(q, o->end_s, true, &form);
    a->kept = &body;
    bool came = asker_post(a, query_path(q), buf_bytes(&form));
    buf_put_u8(&body, '\0');
    if (buf_error(&body)) die("no memory");
    if (!came || a->status != 200) {
        printf("%s failed %u:%s\n", q->name, a->status, a->error);
    } else {
        struct digest d = digest_of(buf_bytes(&body));
        printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %.17g %.17g %.17g\n", q->name, d.series,
               d.points, d.specials, d.sum, d.magnitude, d.placed);
    }
    a->kept = NULL;
    buf_fini(&form);
    buf_fini(&body);
    fflush(stdout);
}

/* --- the command ------------------------------------------------------------------------------ */

static void
check_options(struct options *o)
{
    if (o->set == NULL || (o->end_s == 0 && !o->list)) tell_usage(USAGE, 0);
    if (o->clients == 0 || o->clients > CLIENTS_MAX) die("--clients: 1 to %d", CLIENTS_MAX);
    if (o->most > 1000000) die("--most: at most 1000000");
    if (o->least == 0) die("--least: at least 1");
    if (o->least > o->most) o->least = o->most;
}

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    const struct option known[] = {
        {"set", required_argument, NULL, 's'},      {"end-s", required_argument, NULL, 'e'},
        {"only", required_argument, NULL, 'o'},     {"clients", required_argument, NULL, 'c'},
        {"least", required_argument, NULL, 'l'},    {"most", required_argument, NULL, 'm'},
        {"budget-s", required_argument, NULL, 'b'}, {"pid", required_argument, NULL, 'p'},
        {"slide", no_argument, &o->slide, 1},       {"nocache", no_argument, &o->nocache, 1},
        {"refusals", no_argument, &o->refusals, 1}, {"heavy", no_argument, &o->heavy, 1},
        {"digest", no_argument, &o->digest, 1},     {"list", no_argument, &o->list, 1},
        {"help", no_argument, NULL, 'h'},           {0},
    };
    for (int got; (got = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (got) {
        case 's':
            o->set = optarg;
            break;
        case 'o':
            o->only = optarg;
            break;
        case 'e':
            o->end_s = (int64_t)parse_number("end-s", optarg);
            break;
        case 'c':
            o->clients = (uint64_t)parse_number("clients", optarg);
            break;
        case 'l':
            o->least = (uint64_t)parse_number("least", optarg);
            break;
        case 'm':
            o->most = (uint64_t)parse_number("most", optarg);
            break;
        case 'b':
            o->budget_s = parse_number("budget-s", optarg);
            break;
        case 'p':
            o->pid = (uint64_t)parse_number("pid", optarg);
            break;
        case 0:
            break;
        default:
            tell_usage(USAGE, got == 'h');
        }
    }
    if (argc - optind != 2) tell_usage(USAGE, 0);
    address_parse(&o->address, argv[optind], "");
    o->queries = argv[optind + 1];
    check_options(o);
}

int
main(int argc, char **argv)
{
    struct options o = {.clients = 1, .least = 3, .most = 1000, .budget_s = 1};
    parse_arguments(&o, argc, argv);
    struct queries all = queries_read(o.queries, o.set);
    struct client *clients = must(calloc(o.clients, sizeof *clients));
    if (!o.list) connect_all(&o, clients);
    for (unsigned i = 0; i < all.count; i++) {
        const struct query *q = &all.at[i];
        if (o.only != NULL && strcmp(q->name, o.only) != 0) continue;
        if (o.heavy && !q->heavy) continue;
        if (o.list)
            printf("%s %s %s\n", q->name, q->heavy ? "heavy" : "light", q->text);
        else if (o.digest)
            print_digest(&o, q, &clients[0].asker);
        else
            measure(&o, q, clients);
    }
    for (uint64_t i = 0; i < o.clients && !o.list; i++)
        asker_fini(&clients[i].asker);
    free(clients);
    return 0;
}
