/*
 * rwreplay.c - posts the write requests of a capture as a sender would and sums up the answers.
 *
 * Workers take requests from one counter, so with --concurrency 1 the order is that of the file.
 * With --retry a request that met no server, or 429 or 5xx, is repeated as Prometheus would: after
 * a crash and a restart everything has been acknowledged exactly once.
 *
 * Exit status: 0 all requests were answered (and stored, with --check), 1 --check failed, 2 error.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oracle.h"
#include "post.h"

static const char USAGE[] =
    "usage: rwreplay FILE.rw URL [options]\n"
    "  URL             http://host:port, or with the path of its remote write\n"
    "  --version 1|2   remote write version (default: what the first request looks like)\n"
    "  --concurrency N requests in flight (default 1: the order of the file)\n"
    "  --first N       only the first N requests\n"
    "  --skip N        not the first N requests\n"
    "  --retry S       repeat for up to S seconds what meets no server, 429 or 5xx\n"
    "  --header 'N: V' sent with every request (repeatable)\n"
    "  --check         fail unless each answer is 2xx and, for 2.0, its Written headers\n"
    "                  count everything that was sent\n"
    "exit status: 0 all answered, 1 --check failed, 2 error\n";

enum { STATUS_MAX = 600, CONCURRENCY_MAX = 256, TROUBLES_SHOWN_MAX = 10 };

struct arguments {
    const char *path;
    enum oracle_version version;
    unsigned concurrency;
    size_t first;
    size_t skip;
    int64_t retry_s;
    bool check;
    struct post_options post;
};

struct replay {
    /* Immutable while workers run. */
    const struct arguments *args;
    const struct capture *capture;
    size_t end;

    _Atomic size_t next;  /* relaxed: it gives out numbers and orders nothing */
    _Atomic bool stopped; /* relaxed: a hint that a request found no server */

    pthread_mutex_t lock; /* guards all that follows */
    uint64_t status_counts[STATUS_MAX];
    uint64_t answers_with_written;
    uint64_t repeats;
    uint64_t bytes;
    uint64_t troubles;
    struct oracle_counts sent;
    struct oracle_counts written;
};

static int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static bool
is_worth_repeating(enum err e, long status)
{
    return e != OK || status == 429 || status >= 500;
}

/* Sends one request, again and again within --retry. Returns the last outcome. */
static enum err
send_request(struct replay *replay, struct post *post, struct bytes body,
             const struct post_answer **ret_answer, struct why *why)
{
    int64_t deadline_ms = now_ms() + replay->args->retry_s * 1000;
    for (;;) {
        enum err e = post_send(post, body, ret_answer, why);
        if (!is_worth_repeating(e, e == OK ? (*ret_answer)->status : 0)) return e;
        if (now_ms() >= deadline_ms) return e;
        pthread_mutex_lock(&replay->lock);
        replay->repeats++;
        pthread_mutex_unlock(&replay->lock);
        pause_ms(50);
    }
}

/* Prints the first few failures. */
static void
trouble_locked(struct replay *replay, size_t index, const char *text)
{
    if (replay->troubles++ >= TROUBLES_SHOWN_MAX) return;
    printf("request %zu: %s\n", index, text);
}

static void
check_answer_locked(struct replay *replay, size_t index, const struct post_answer *answer,
                    const struct oracle_counts *sent)
{
    char text[400];
    if (answer->status < 200 || answer->status > 299) {
        char body[300];
        post_put_body(answer, body, sizeof body);
        snprintf(text, sizeof text, "status %ld: %s", answer->status, body);
        trouble_locked(replay, index, text);
    } else if (replay->args->version == ORACLE_VERSION_2 &&
               (answer->samples_written != (int64_t)sent->samples ||
                answer->histograms_written != (int64_t)sent->histograms ||
                answer->exemplars_written != (int64_t)sent->exemplars)) {
        snprintf(text, sizeof text,
                 "Written headers: samples %" PRId64 " of %" PRIu64 ", histograms %" PRId64
                 " of %" PRIu64 ", exemplars %" PRId64 " of %" PRIu64 " (-1: no header)",
                 answer->samples_written, sent->samples, answer->histograms_written,
                 sent->histograms, answer->exemplars_written, sent->exemplars);
        if (replay->args->check) trouble_locked(replay, index, text);
    }
}

static void
record_answer(struct replay *replay, size_t index, const struct post_answer *answer,
              const struct oracle_counts *sent)
{
    pthread_mutex_lock(&replay->lock);
    replay->status_counts[answer->status < STATUS_MAX ? answer->status : 0]++;
    replay->bytes += replay->capture->records[index].size;
    replay->sent.series += sent->series;
    replay->sent.samples += sent->samples;
    replay->sent.histograms += sent->histograms;
    replay->sent.exemplars += sent->exemplars;
    if (answer->samples_written >= 0) {
        replay->answers_with_written++;
        replay->written.samples += (uint64_t)answer->samples_written;
    }
    if (answer->histograms_written > 0)
        replay->written.histograms += (uint64_t)answer->histograms_written;
    if (answer->exemplars_written > 0)
        replay->written.exemplars += (uint64_t)answer->exemplars_written;
    check_answer_locked(replay, index, answer, sent);
    pthread_mutex_unlock(&replay->lock);
}

static void
record_failure(struct replay *replay, size_t index, const struct why *why)
{
    pthread_mutex_lock(&replay->lock);
    trouble_locked(replay, index, why->text);
    pthread_mutex_unlock(&replay->lock);
    atomic_store_explicit(&replay->stopped, true, memory_order_relaxed);
}

static void *
work(void *argument)
{
    struct replay *replay = argument;
    struct post *post = post_new(&replay->args->post);
    struct buf message;
    buf_init(&message, NULL, (size_t)2 << 30);
    while (!atomic_load_explicit(&replay->stopped, memory_order_relaxed)) {
        size_t index = atomic_fetch_add_explicit(&replay->next, 1, memory_order_relaxed);
        if (index >= replay->end) break;
        struct bytes body = replay->capture->records[index];
        struct why why = {""};
        struct oracle_counts sent = {0};
        const struct post_answer *answer = NULL;
        enum err e = oracle_unpack(body, &message, &why);
        if (e == OK)
            e = oracle_count_write(replay->args->version, buf_bytes(&message), &sent, &why);
        if (e == OK) e = send_request(replay, post, body, &answer, &why);
        if (e == OK)
            record_answer(replay, index, answer, &sent);
        else
            record_failure(replay, index, &why);
    }
    buf_fini(&message);
    post_free(post);
    return NULL;
}

static void
print_summary(const struct replay *replay, double seconds)
{
    uint64_t answered = 0;
    for (int status = 0; status < STATUS_MAX; status++) {
        if (replay->status_counts[status] == 0) continue;
        printf("status %d: %" PRIu64 "\n", status, replay->status_counts[status]);
        answered += replay->status_counts[status];
    }
    printf("sent: %" PRIu64 " requests, %" PRIu64 " samples, %" PRIu64 " histograms, %" PRIu64
           " exemplars, %" PRIu64 " bytes in %.2f s (%.0f samples/s)\n",
           answered, replay->sent.samples, replay->sent.histograms, replay->sent.exemplars,
           replay->bytes, seconds,
           seconds > 0 ? (double)(replay->sent.samples + replay->sent.histograms) / seconds : 0);
    if (replay->repeats > 0) printf("repeated: %" PRIu64 "\n", replay->repeats);
    printf("written: %" PRIu64 " samples, %" PRIu64 " histograms, %" PRIu64 " exemplars (%" PRIu64
           " answers with Written headers)\n",
           replay->written.samples, replay->written.histograms, replay->written.exemplars,
           replay->answers_with_written);
}

static int
run(struct replay *replay)
{
    pthread_t threads[CONCURRENCY_MAX];
    int64_t start_ms = now_ms();
    for (unsigned i = 0; i < replay->args->concurrency; i++) {
        int failed = pthread_create(&threads[i], NULL, work, replay);
        oracle_need(failed == 0);
    }
    for (unsigned i = 0; i < replay->args->concurrency; i++)
        pthread_join(threads[i], NULL);
    print_summary(replay, (double)(now_ms() - start_ms) / 1000);
    if (replay->troubles > TROUBLES_SHOWN_MAX) {
        printf("%" PRIu64 " requests in trouble, the first %d shown\n", replay->troubles,
               TROUBLES_SHOWN_MAX);
    }
    if (atomic_load_explicit(&replay->stopped, memory_order_relaxed)) return 2;
    return replay->args->check && replay->troubles > 0 ? 1 : 0;
}

/* --- command line ----------------------------------------------------------------------------- */

static int64_t
parse_number(const char *option, const char *text, int64_t min, int64_t max)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (end != text && *end == '\0' && v >= min && v <= max) return v;
    fprintf(stderr, "rwreplay: %s: want a number from %" PRId64 " to %" PRId64 ", got %s\n", option,
            min, max, text);
    exit(2);
}

static void
take_option(struct arguments *args, int option)
{
    switch (option) {
    case 'v':
        args->version =
            parse_number("--version", optarg, 1, 2) == 2 ? ORACLE_VERSION_2 : ORACLE_VERSION_1;
        break;
    case 'c':
        args->concurrency = (unsigned)parse_number("--concurrency", optarg, 1, CONCURRENCY_MAX);
        break;
    case 'f':
        args->first = (size_t)parse_number("--first", optarg, 0, INT64_MAX);
        break;
    case 's':
        args->skip = (size_t)parse_number("--skip", optarg, 0, INT64_MAX);
        break;
    case 'r':
        args->retry_s = parse_number("--retry", optarg, 0, 86400);
        break;
    case 'H':
        if (args->post.header_count == POST_HEADERS_MAX) {
            fputs("rwreplay: too many --header\n", stderr);
            exit(2);
        }
        args->post.headers[args->post.header_count++] = optarg;
        break;
    case 'k':
        args->check = true;
        break;
    case 'h':
        fputs(USAGE, stdout);
        exit(0);
    default:
        fputs(USAGE, stderr);
        exit(2);
    }
}

static void
parse_arguments(struct arguments *args, int argc, char **argv)
{
    static const struct option options[] = {{"version", required_argument, NULL, 'v'},
                                            {"concurrency", required_argument, NULL, 'c'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"skip", required_argument, NULL, 's'},
                                            {"retry", required_argument, NULL, 'r'},
                                            {"header", required_argument, NULL, 'H'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        take_option(args, option);
    if (argc - optind != 2) {
        fputs(USAGE, stderr);
        exit(2);
    }
    args->path = argv[optind];
    args->post.url = argv[optind + 1];
}

/* Returns the version that the first request looks like, unless one was chosen. */
static enum err
settle_version(struct arguments *args, const struct capture *capture, struct why *why)
{
    struct buf message;
    buf_init(&message, NULL, (size_t)2 << 30);
    enum err e = OK;
    if (args->version == ORACLE_VERSION_UNKNOWN && capture->record_count > 0) {
        e = oracle_unpack(capture->records[0], &message, why);
        if (e == OK) args->version = oracle_guess_version(buf_bytes(&message));
    }
    buf_fini(&message);
    if (e == OK && args->version == ORACLE_VERSION_UNKNOWN) args->version = ORACLE_VERSION_1;
    args->post.kind = args->version == ORACLE_VERSION_2 ? POST_WRITE_2 : POST_WRITE_1;
    return e;
}

int
main(int argc, char **argv)
{
    struct arguments args = {.concurrency = 1, .first = SIZE_MAX, .post.timeout_s = 120};
    parse_arguments(&args, argc, argv);
    post_global_init();
    struct why why = {""};
    struct capture capture = {0};
    int status = 2;
    enum err e = capture_open(args.path, &capture, &why);
    if (e == OK) e = settle_version(&args, &capture, &why);
    if (e == OK) {
        struct replay *replay = oracle_must(calloc(1, sizeof *replay));
        replay->args = &args;
        replay->capture = &capture;
        replay->end = args.first < capture.record_count ? args.first : capture.record_count;
        atomic_init(&replay->next, args.skip);
        pthread_mutex_init(&replay->lock, NULL);
        status = run(replay);
        pthread_mutex_destroy(&replay->lock);
        free(replay);
    } else {
        fprintf(stderr, "rwreplay: %s: %s\n", args.path, why.text);
    }
    capture_fini(&capture);
    return status;
}
