/*
 * load.c - a sender's load for measuring servers: remote write 1.0 or 2.0 made from a capture.
 *
 *     load CAPTURE.rw URL --series 100000 --scrapes 40
 *
 * What the series look like and how they go on: lib/fleet.c. They are dealt out to connections in
 * turn.
 *
 * Times. A target is scraped every interval at a place of its own within it, and now and then up
 * to 180 ms late, as in the capture (one in eight). The last scrape is about now.
 *
 * All requests are made and compressed before the clock starts: while the server is measured, this
 * program only sends. The same seed makes the same series and values; --skip goes on where a
 * first run stopped.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "lib/fleet.h"
#include "wire/snappy.h"

static const char USAGE[] =
    "usage: load CAPTURE.rw http://HOST:PORT[/PATH] [options]\n"
    "  --series N        active series (10000)\n"
    "  --scrapes S       scrapes sent (10)\n"
    "  --skip S          not the first S, which another run has sent (0)\n"
    "  --start-ms T      Unix time of scrape 0 (so that the last one is about now)\n"
    "  --interval-ms T   between scrapes (15000)\n"
    "  --batch N         samples in a request, at most (2000)\n"
    "  --connections C   each with its own share of the series (8)\n"
    "  --churn P         percent of the series replaced in an hour (0)\n"
    "  --late P          percent of the samples that come out of order (0)\n"
    "  --version 1|2     of remote write (1)\n"
    "  --seed N          (1)\n"
    "Prints one key=value a line. Status 1: something was refused for good.\n";

enum { TOGETHER = 10, RETRY_S = 20 };

struct request {
    uint8_t *at;
    uint32_t size;
    uint32_t samples;
    uint64_t scrape;
};

struct options {
    const char *capture;
    char host[128];
    char port[16];
    char path[256];
    uint64_t series, scrapes, skip, interval_ms, batch, connections, seed, version;
    int64_t start_ms;
    double churn, late;
};

struct connection {
    const struct options *o;
    struct active *active; /* of all; its own are first, first + connections, ... */
    uint64_t first;
    pthread_barrier_t *together;
    struct request *requests;
    uint64_t request_count, request_capacity;
    struct buf message, packed;
    uint32_t *local;    /* 2.0: place in this request's symbols, by the slot of the symbol */
    struct bytes *slot; /* 2.0: the texts */
    int fd;
    uint64_t samples, bytes, retries, refused;
    uint64_t statuses[600];
    char trouble[256];
};

static double
now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- requests --------------------------------------------------------------------------------- */

enum { SYMBOL_SLOTS = 1 << 16 };

static void
put_sample(struct buf *to, uint8_t tag, uint64_t bits, int64_t t_ms)
{
    size_t size = 9 + 1 + varint_size((uint64_t)t_ms);
    buf_put_u8(to, tag);
    buf_put_varint(to, size);
    buf_put_u8(to, 0x09);
    buf_put_le64(to, bits);
    buf_put_u8(to, 0x10);
    buf_put_varint(to, (uint64_t)t_ms);
}

static void
put_series_1(struct buf *to, const struct active *a, uint64_t bits, int64_t t_ms)
{
    size_t sample = 2 + 9 + 1 + varint_size((uint64_t)t_ms);
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, a->labels.size + sample);
    buf_put_bytes(to, a->labels);
    put_sample(to, 0x12, bits, t_ms);
}

/* The symbol's number in this request; new ones are put. Slots are emptied for each request. */
static uint32_t
symbol(struct connection *c, struct buf *symbols, uint32_t *count, struct bytes text)
{
    uint32_t at = (uint32_t)hash_bytes(text, 7) & (SYMBOL_SLOTS - 1);
    for (; c->local[at] != 0; at = (at + 1) & (SYMBOL_SLOTS - 1)) {
        if (bytes_equal(c->slot[at], text)) return c->local[at];
    }
    if (*count >= SYMBOL_SLOTS / 2) die("too many symbols in a request");
    c->slot[at] = text;
    c->local[at] = ++*count;
    buf_put_u8(symbols, 0x22);
    buf_put_counted(symbols, text);
    return c->local[at];
}

static void
put_series_2(struct connection *c, struct buf *symbols, struct buf *series, uint32_t *count,
             const struct active *a, uint64_t bits, int64_t t_ms)
{
    uint8_t refs[2 * 64 * VARINT_SIZE_MAX];
    size_t size = 0;
    struct cursor cursor = cursor_of(a->labels);
    struct label l;
    while (label_next(&cursor, &l) && size < sizeof refs - 2 * VARINT_SIZE_MAX) {
        size += varint_put(refs + size, symbol(c, symbols, count, l.name));
        size += varint_put(refs + size, symbol(c, symbols, count, l.value));
    }
    size_t sample = 2 + 9 + 1 + varint_size((uint64_t)t_ms);
    buf_put_u8(series, 0x2a);
    buf_put_varint(series, 1 + varint_size(size) + size + sample);
    buf_put_u8(series, 0x0a);
    buf_put_counted(series, bytes_of(refs, size));
    put_sample(series, 0x12, bits, t_ms);
}

static void
keep_request(struct connection *c, struct bytes message, uint32_t samples, uint64_t scrape)
{
    buf_clear(&c->packed);
    if (snappy_pack(message, &c->packed)) die("no memory");
    if (c->request_count == c->request_capacity) {
        c->request_capacity = c->request_capacity == 0 ? 1024 : c->request_capacity * 2;
        c->requests = must(reallocarray(c->requests, c->request_capacity, sizeof *c->requests));
    }
    uint8_t *at = must(malloc(c->packed.size));
    memcpy(at, c->packed.at, c->packed.size);
    c->requests[c->request_count++] =
        (struct request){at, (uint32_t)c->packed.size, samples, scrape};
}

/*
 * A late sample stands between two that came before; no two of a series meet, as the place in the
 * interval is that of the scrape's number.
 */
static int64_t
sample_time(const struct options *o, const struct active *a, uint64_t scrape, uint64_t *dice)
{
    int64_t t = o->start_ms + (int64_t)(scrape * o->interval_ms + a->offset_ms);
    uint64_t late = hash_mix(hash_mix(a->offset_ms + a->copy, scrape), o->seed);
    if (late % 8 == 0) t += (int64_t)(late / 8 % 180);
    if (o->late > 0 && (double)(random_next(dice) % 1000000) < o->late * 10000) {
        t = o->start_ms + (int64_t)(scrape * o->interval_ms) -
            (int64_t)(o->interval_ms * (1 + scrape % 4)) - 200 -
            (int64_t)(scrape % (o->interval_ms - 400));
    }
    return t;
}

static void
make_request(struct connection *c, uint64_t scrape, uint64_t from, uint64_t count, uint64_t *dice)
{
    const struct options *o = c->o;
    struct buf series, *to = &c->message;
    uint32_t symbols = 0;
    bool second = o->version == 2;
    buf_clear(to);
    if (second) {
        buf_init(&series, NULL, 1 << 30);
        memset(c->local, 0, SYMBOL_SLOTS * sizeof *c->local);
        buf_put(to, "\x22\x00", 2); /* symbol 0 is the empty text */
    }
    for (uint64_t i = from; i < from + count; i++) {
        struct active *a = &c->active[c->first + i * o->connections];
        uint64_t bits = active_next(a);
        int64_t t_ms = sample_time(o, a, scrape, dice);
        if (second)
            put_series_2(c, to, &series, &symbols, a, bits, t_ms);
        else
            put_series_1(to, a, bits, t_ms);
    }
    if (second) {
        buf_put_bytes(to, buf_bytes(&series));
        buf_fini(&series);
    }
    if (buf_error(to)) die("no memory");
    keep_request(c, buf_bytes(to), (uint32_t)count, scrape);
}

/* Its share of the series that churn replaces before this scrape: one range after another. */
static void
replace_some(struct connection *c, uint64_t own, uint64_t scrape, struct buf *scratch)
{
    const struct options *o = c->o;
    double each = (double)own * o->churn / 100 * (double)o->interval_ms / 3600000;
    uint64_t from = (uint64_t)(each * (double)scrape);
    uint64_t to = (uint64_t)(each * (double)(scrape + 1));
    for (uint64_t i = from; i < to; i++) {
        uint64_t number = c->first + i % own * o->connections;
        struct active *a = &c->active[number];
        active_replace(a, o->seed, number, scratch);
    }
}

static void *
generate(void *context)
{
    struct connection *c = context;
    const struct options *o = c->o;
    struct buf scratch;
    uint64_t dice = hash_mix(o->seed, c->first);
    uint64_t own = (o->series - c->first + o->connections - 1) / o->connections;
    uint64_t requests = (own + o->batch - 1) / o->batch;
    buf_init(&scratch, NULL, 1 << 20);
    buf_init(&c->message, NULL, 1 << 30);
    buf_init(&c->packed, NULL, 1 << 30);
    if (o->version == 2) {
        c->local = must(calloc(SYMBOL_SLOTS, sizeof *c->local));
        c->slot = must(calloc(SYMBOL_SLOTS, sizeof *c->slot));
    }
    for (uint64_t scrape = 0; scrape < o->skip + o->scrapes; scrape++) {
        if (scrape > 0) replace_some(c, own, scrape, &scratch);
        if (scrape < o->skip) {
            for (uint64_t i = 0; i < own; i++)
                active_next(&c->active[c->first + i * o->connections]);
            continue;
        }
        for (uint64_t r = 0; r < requests; r++) {
            uint64_t from = own * r / requests, to = own * (r + 1) / requests;
            make_request(c, scrape, from, to - from, &dice);
        }
    }
    buf_fini(&scratch);
    buf_fini(&c->message);
    buf_fini(&c->packed);
    return NULL;
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool
connect_to(struct connection *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(c->o->host, c->o->port, &hints, &list) != 0) return false;
    c->fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, 0);
    bool ok = c->fd >= 0 && connect(c->fd, list->ai_addr, list->ai_addrlen) == 0;
    freeaddrinfo(list);
    int on = 1;
    if (ok) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!ok && c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    return ok;
}

static bool
send_all(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);
        if (n <= 0) return false;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* Reads one answer to its end. 0: none came. */
static unsigned
read_answer(struct connection *c)
{
    char text[8192];
    size_t size = 0;
    char *body = NULL;
    unsigned status = 0;
    size_t whole = 0;
    bool chunked = false;
    for (;;) {
        ssize_t n = size + 1 < sizeof text ? read(c->fd, text + size, sizeof text - 1 - size) : 0;
        if (n <= 0) return 0;
        size += (size_t)n;
        text[size] = '\0';
        if (body == NULL) {
            body = strstr(text, "\r\n\r\n");
            if (body == NULL) continue;
            body += 4;
            if (sscanf(text, "HTTP/1.%*d %u", &status) != 1 || status >= 600) return 0;
            const char *length = strcasestr(text, "\r\nContent-Length:");
            if (length != NULL && length < body) whole = strtoul(length + 17, NULL, 10);
            const char *coding = strcasestr(text, "\r\nTransfer-Encoding: chunked");
            chunked = coding != NULL && coding < body;
        }
        if (chunked ? strstr(body, "\r\n0\r\n\r\n") != NULL : size >= whole + (size_t)(body - text))
            break;
    }
    if (status >= 300 && c->trouble[0] == '\0') {
        snprintf(c->trouble, sizeof c->trouble, "%u: %.200s", status, body);
    }
    return status;
}

static unsigned
send_once(struct connection *c, const struct request *r)
{
    const struct options *o = c->o;
    char head[1024];
    if (c->fd < 0 && !connect_to(c)) return 0;
    int size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: firekeep-load/1\r\n"
                        "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf%s\r\n"
                        "X-Prometheus-Remote-Write-Version: %s\r\nContent-Length: %u\r\n\r\n",
                        o->path, o->host, o->port,
                        o->version == 2 ? ";proto=io.prometheus.write.v2.Request" : "",
                        o->version == 2 ? "2.0.0" : "0.1.0", r->size);
    struct iovec parts[2] = {{head, (size_t)size}, {r->at, r->size}};
    unsigned status = send_all(c->fd, parts, 2) ? read_answer(c) : 0;
    if (status == 0) {
        close(c->fd);
        c->fd = -1;
    }
    return status;
}

static void
send_until_taken(struct connection *c, const struct request *r)
{
    double end = now_s(CLOCK_MONOTONIC) + RETRY_S;
    for (;;) {
        unsigned status = send_once(c, r);
        c->statuses[status]++;
        if (status != 0 && status != 429 && status < 500) {
            c->bytes += r->size;
            if (status < 300)
                c->samples += r->samples;
            else
                c->refused++;
            return;
        }
        if (now_s(CLOCK_MONOTONIC) > end) die("the server takes nothing (%s)", c->trouble);
        c->retries++;
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    }
}

/* Simulated time is common to all: nobody gets far ahead of the others. */
static void *
run(void *context)
{
    struct connection *c = context;
    uint64_t end = c->o->skip + c->o->scrapes, done = 0;
    for (uint64_t scrape = c->o->skip; scrape < end; scrape++) {
        if (scrape % TOGETHER == 0) pthread_barrier_wait(c->together);
        while (done < c->request_count && c->requests[done].scrape == scrape) {
            send_until_taken(c, &c->requests[done++]);
        }
    }
    if (c->fd >= 0) close(c->fd);
    return NULL;
}

static double
on_all(struct connection *all, uint64_t count, void *(*work)(void *))
{
    pthread_t *threads = must(calloc(count, sizeof *threads));
    double began = now_s(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, work, &all[i]) != 0) die("no thread");
    }
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    return now_s(CLOCK_MONOTONIC) - began;
}

/* --- the command ------------------------------------------------------------------------------ */

static void
report(const struct options *o, const struct fleet *f, const struct connection *all, double made_s,
       double sent_s, double own_cpu_s)
{
    uint64_t samples = 0, bytes = 0, retries = 0, requests = 0, statuses[600] = {0};
    uint64_t behaviours[BEHAVIOURS] = {0};
    for (uint64_t i = 0; i < o->connections; i++) {
        samples += all[i].samples;
        bytes += all[i].bytes;
        retries += all[i].retries;
        requests += all[i].request_count;
        for (unsigned s = 0; s < 600; s++)
            statuses[s] += all[i].statuses[s];
    }
    for (uint32_t i = 0; i < f->count; i++)
        behaviours[f->models[i].behaviour]++;
    printf("samples=%" PRIu64 "\nrequests=%" PRIu64 "\nretries=%" PRIu64 "\nbytes=%" PRIu64 "\n",
           samples, requests, retries, bytes);
    printf("seconds=%.3f\nmake_seconds=%.3f\nsender_cpu_seconds=%.3f\nstart_ms=%" PRId64 "\n",
           sent_s, made_s, own_cpu_s, o->start_ms);
    printf("models=%u\n", f->count);
    for (unsigned k = 0; k < BEHAVIOURS; k++)
        printf("share_%s=%.4f\n", behaviour_names[k], (double)behaviours[k] / f->count);
    for (unsigned s = 0; s < 600; s++) {
        if (statuses[s] > 0) printf("status_%u=%" PRIu64 "\n", s, statuses[s]);
    }
    for (uint64_t i = 0; i < o->connections; i++) {
        if (all[i].trouble[0] == '\0') continue;
        fprintf(stderr, "load: first trouble: %s\n", all[i].trouble);
        break;
    }
}

static void
parse_url(struct options *o, const char *url)
{
    o->path[0] = '\0';
    int n = sscanf(url, "http://%127[^:/]:%15[0-9]%255s", o->host, o->port, o->path);
    if (n < 2) die("a URL is http://HOST:PORT[/PATH]");
    if (o->path[0] == '\0') snprintf(o->path, sizeof o->path, "/api/v1/write");
}

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *to;
        double *to_real;
    } known[] = {
        {"series", &o->series, NULL},
        {"scrapes", &o->scrapes, NULL},
        {"skip", &o->skip, NULL},
        {"start-ms", (uint64_t *)&o->start_ms, NULL},
        {"interval-ms", &o->interval_ms, NULL},
        {"batch", &o->batch, NULL},
        {"connections", &o->connections, NULL},
        {"churn", NULL, &o->churn},
        {"late", NULL, &o->late},
        {"version", &o->version, NULL},
        {"seed", &o->seed, NULL},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    struct option options[KNOWN + 2] = {{"help", no_argument, NULL, 'h'}};
    for (int i = 0; i < KNOWN; i++)
        options[i + 1] = (struct option){known[i].name, required_argument, NULL, 256 + i};
    for (int got; (got = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (got < 256) {
            fputs(USAGE, got == 'h' ? stdout : stderr);
            exit(got == 'h' ? 0 : 2);
        }
        char *end;
        double number = strtod(optarg, &end);
        if (*end != '\0' || !(number >= 0)) die("--%s: not a number", known[got - 256].name);
        if (known[got - 256].to != NULL) *known[got - 256].to = strtoull(optarg, NULL, 10);
        if (known[got - 256].to_real != NULL) *known[got - 256].to_real = number;
    }
    if (argc - optind != 2) {
        fputs(USAGE, stderr);
        exit(2);
    }
    o->capture = argv[optind];
    parse_url(o, argv[optind + 1]);
    if (o->connections > o->series) o->connections = o->series;
    if (o->series == 0 || o->scrapes == 0 || o->batch == 0 || o->interval_ms < 1000 ||
        o->version < 1 || o->version > 2) {
        die("nothing to send, or not so");
    }
    if (o->start_ms == 0) {
        o->start_ms = (int64_t)(now_s(CLOCK_REALTIME) * 1000) -
                      (int64_t)((o->skip + o->scrapes) * o->interval_ms);
    }
}

int
main(int argc, char **argv)
{
    struct options o = {.series = 10000,
                        .scrapes = 10,
                        .interval_ms = 15000,
                        .batch = 2000,
                        .connections = 8,
                        .version = 1,
                        .seed = 1};
    struct fleet fleet = {0};
    parse_arguments(&o, argc, argv);
    fleet_read(&fleet, o.capture);
    struct active *active = fleet_multiply(&fleet, o.series, o.seed, o.interval_ms);
    struct connection *all = must(calloc(o.connections, sizeof *all));
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, (unsigned)o.connections);
    for (uint64_t i = 0; i < o.connections; i++) {
        all[i] = (struct connection){
            .o = &o, .active = active, .first = i, .together = &together, .fd = -1};
    }
    double made_s = on_all(all, o.connections, generate);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double sent_s = on_all(all, o.connections, run);
    getrusage(RUSAGE_SELF, &after);
    double cpu_s = 0;
    cpu_s += (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
             (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6;
    cpu_s += (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
             (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    report(&o, &fleet, all, made_s, sent_s, cpu_s);
    uint64_t refused = 0;
    for (uint64_t i = 0; i < o.connections; i++)
        refused += all[i].refused;
    return refused > 0 ? 1 : 0;
}
