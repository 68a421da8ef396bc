/*
 * knock.c - clients that sign in: each repeats a GET, over a connection that it keeps or over new
 * ones, with a header Authorization of its own.
 *
 *     knock URL --clients 1000 --requests 1 --users 1000
 *
 * A refusal with 429 or 503, and a connection that fails, is tried again as Prometheus does: after
 * 30 ms, then after twice as long each time, at most 5 s. Prints key=value lines.
 */
#include <crypt.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text/base64.h"
#include "lib/channel.h"

static const char USAGE[] =
    "usage: knock URL [options]\n"
    "  --clients N        clients, each a thread (1)\n"
    "  --requests N       requests of each (1)\n"
    "  --users N          client I is user uI, with the password \"secret\"\n"
    "  --authorization T  the header's value for all clients\n"
    "  --new              a new connection for each request\n"
    "  --resume           the same, with the TLS session of the client's first connection\n"
    "  --hold             keeps the connections, prints, and waits for the end of the input\n"
    "  --list             prints the users for a configuration, and ends\n"
    "  --cost N           of their hash, which is one of bcrypt (10)\n";

/* Clients are not refused for as long as this, even on a busy machine. */
static const double REFUSED_MAX_S = 600;
enum { STATUSES = 600, STACK_BYTES = 256 * 1024, PAUSE_MIN_MS = 30, PAUSE_MAX_MS = 5000 };
static const char PASSWORD[] = "secret";

struct options {
    struct address address;
    uint64_t clients, requests, users, cost;
    const char *authorization;
    bool is_new, resumes, holds, lists;
};

struct client {
    const struct options *options;
    pthread_t thread;
    uint64_t index;
    struct channel channel;
    struct ticket ticket;
    char request[2048];
    size_t request_size;
    uint64_t statuses[STATUSES]; /* 0: no answer */
    uint64_t resumed;
    double took_max_s;
};

static void
make_request(struct client *c)
{
    const struct options *o = c->options;
    char line[1200] = "", pair[64];
    struct buf coded;
    buf_init(&coded, NULL, sizeof line);
    if (o->users > 0) {
        int size =
            snprintf(pair, sizeof pair, "u%lu:%s", (unsigned long)(c->index % o->users), PASSWORD);
        base64_put(&coded, bytes_of(pair, (size_t)size));
        snprintf(line, sizeof line, "Authorization: Basic %.*s\r\n", (int)coded.size,
                 (const char *)coded.at);
    } else if (o->authorization != NULL) {
        snprintf(line, sizeof line, "Authorization: %s\r\n", o->authorization);
    }
    c->request_size =
        (size_t)snprintf(c->request, sizeof c->request,
                         "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", o->address.path, line);
    if (c->request_size >= sizeof c->request) die("a request is too long");
    buf_fini(&coded);
}

/* Reads an answer, whose body has a length; returns its status, 0 if there is none. */
static unsigned
read_answer(struct channel *channel)
{
    char text[16384];
    size_t size = 0, whole = 0;
    unsigned status = 0;
    while (whole == 0 || size < whole) {
        ssize_t got = channel_receive(channel, text + size, sizeof text - 1 - size);
        if (got <= 0) return 0;
        size += (size_t)got;
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strcasestr(text, "\r\nContent-Length:");
        if (end == NULL) continue;
        if (sscanf(text, "HTTP/1.1 %u", &status) != 1 || status >= STATUSES) return 0;
        whole = (size_t)(end + 4 - text);
        if (length != NULL && length < end) whole += strtoul(length + 17, NULL, 10);
        if (whole >= sizeof text) die("the answer is too long");
    }
    return status;
}

static unsigned
ask(struct client *c)
{
    const struct options *o = c->options;
    if (c->channel.fd < 0) {
        if (!channel_open(&c->channel, &o->address, &c->ticket)) return 0;
        c->resumed += channel_is_resumed(&c->channel);
    }
    bool is_sent =
        channel_send(&c->channel, bytes_of(c->request, c->request_size), bytes_of("", 0));
    unsigned status = is_sent ? read_answer(&c->channel) : 0;
    if (o->resumes && c->ticket.at == NULL && status != 0) c->ticket = channel_keep(&c->channel);
    if (status == 0 || o->is_new) channel_close(&c->channel);
    return status;
}

static void *
run(void *context)
{
    struct client *c = context;
    for (uint64_t i = 0; i < c->options->requests; i++) {
        double began_s = now_s(CLOCK_MONOTONIC);
        for (long pause_ms = PAUSE_MIN_MS;;) {
            unsigned status = ask(c);
            c->statuses[status]++;
            if (status != 0 && status != 429 && status != 503) break;
            if (now_s(CLOCK_MONOTONIC) - began_s > REFUSED_MAX_S)
                die("the server lets nobody in (status %u)", status);
            nanosleep(&(struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000}, NULL);
            pause_ms = pause_ms < PAUSE_MAX_MS / 2 ? pause_ms * 2 : PAUSE_MAX_MS;
        }
        double took_s = now_s(CLOCK_MONOTONIC) - began_s;
        if (took_s > c->took_max_s) c->took_max_s = took_s;
    }
    return NULL;
}

/* All users have the same hash: the server remembers passwords by user, and hashes each. */
static void
list_users(uint64_t count, unsigned long cost)
{
    static const char salt[16] = "0123456789abcde";
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data = {0};
    if (crypt_gensalt_rn("$2b$", cost, salt, sizeof salt, setting, sizeof setting) == NULL ||
        crypt_rn(PASSWORD, setting, &data, sizeof data) == NULL)
        die("cannot make a hash");
    for (uint64_t i = 0; i < count; i++) {
        printf("- {name: u%lu, password: '%s', permissions: [read, write, metrics]}\n",
               (unsigned long)i, data.output);
    }
}

static void
report(const struct options *o, const struct client *all, double seconds)
{
    uint64_t statuses[STATUSES] = {0}, resumed = 0;
    double took_max_s = 0;
    for (uint64_t i = 0; i < o->clients; i++) {
        for (unsigned s = 0; s < STATUSES; s++)
            statuses[s] += all[i].statuses[s];
        resumed += all[i].resumed;
        if (all[i].took_max_s > took_max_s) took_max_s = all[i].took_max_s;
    }
    printf("requests=%lu\nseconds=%.3f\nmax_seconds=%.3f\nresumed=%lu\n",
           (unsigned long)(o->clients * o->requests), seconds, took_max_s, (unsigned long)resumed);
    for (unsigned s = 0; s < STATUSES; s++)
        if (statuses[s] > 0) printf("status_%u=%lu\n", s, (unsigned long)statuses[s]);
    fflush(stdout);
}

static void
parse_arguments(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        {"clients", required_argument, NULL, 'c'},
        {"requests", required_argument, NULL, 'r'},
        {"users", required_argument, NULL, 'u'},
        {"authorization", required_argument, NULL, 'a'},
        {"cost", required_argument, NULL, 't'},
        {"list", no_argument, NULL, 'l'},
        {"new", no_argument, NULL, 'n'},
        {"resume", no_argument, NULL, 's'},
        {"hold", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int got; (got = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (got == 'c') o->clients = (uint64_t)parse_number("clients", optarg);
        if (got == 'r') o->requests = (uint64_t)parse_number("requests", optarg);
        if (got == 'u') o->users = (uint64_t)parse_number("users", optarg);
        if (got == 'a') o->authorization = optarg;
        if (got == 'n') o->is_new = true;
        if (got == 's') o->is_new = o->resumes = true;
        if (got == 'o') o->holds = true;
        if (got == 't') o->cost = (uint64_t)parse_number("cost", optarg);
        if (got == 'l') o->lists = true;
        if (got == 'h' || got == '?') tell_usage(USAGE, got == 'h');
    }
    if (argc - optind != !o->lists || o->clients == 0) tell_usage(USAGE, 0);
    if (!o->lists) address_parse(&o->address, argv[optind], "/-/ready");
}

int
main(int argc, char **argv)
{
    struct options o = {.clients = 1, .requests = 1, .cost = 10};
    pthread_attr_t attributes;
    signal(SIGPIPE, SIG_IGN);
    parse_arguments(&o, argc, argv);
    if (o.lists) {
        list_users(o.users, o.cost);
        return 0;
    }
    struct client *all = must(calloc(o.clients, sizeof *all));
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    double began_s = now_s(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < o.clients; i++) {
        all[i] = (struct client){.options = &o, .index = i, .channel.fd = -1};
        make_request(&all[i]);
        if (pthread_create(&all[i].thread, &attributes, run, &all[i])) die("too many clients");
    }
    for (uint64_t i = 0; i < o.clients; i++)
        pthread_join(all[i].thread, NULL);
    report(&o, all, now_s(CLOCK_MONOTONIC) - began_s);
    if (o.holds) {
        for (char byte; read(0, &byte, 1) > 0;) {
        }
    }
    for (uint64_t i = 0; i < o.clients; i++)
        channel_close(&all[i].channel);
    return 0;
}
