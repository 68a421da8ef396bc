/*
 * rwflood.c - a sender whose series explode: each request mixes samples of old series with samples
 * of series that were never seen before and never come again. Requests refused for a while are
 * repeated, as by Prometheus; the longest wait of a request shows how much old series suffer.
 *
 * Prints key=value lines: requests, repeats, series (new ones), seconds, and longest_wait_seconds,
 * the time from a request's first attempt to its acceptance, of the one that waited longest.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/labels.h"
#include "post.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

static const char USAGE[] =
    "usage: rwflood http://HOST:PORT [--old N] [--new N] [--batch N] [--start T_MS]\n"
    "  --old N     series that go on, a sample of each after the other (10000)\n"
    "  --new N     series in all that come once (1000000)\n"
    "  --batch N   samples in a request, half of them of new series (2000)\n"
    "  --step T    from one round of the old ones to the next, in ms (15000)\n"
    "  --start T   the first time, in ms (so that the last round is now)\n"
    "  --give-up S seconds after which a request that is not accepted is an error (120)\n"
    "exit status: 0 all accepted, 1 something was refused permanently or too long, 2 error\n";

struct flood {
    struct post *post;
    struct rw_build *build;
    struct buf labels, packed;
    uint64_t old_count, new_count, batch;
    uint64_t old_sent, new_sent;
    int64_t start_ms, step_ms;
    double give_up, longest;
    uint64_t requests, repeats;
};

static double
now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
must(enum err e, const char *what)
{
    if (e == OK) return;
    fprintf(stderr, "rwflood: %s: %s\n", what, err_word(e));
    exit(2);
}

static void
put_label(struct buf *to, const char *name, const char *value)
{
    labels_put(to, (struct label){bytes_of_text(name), bytes_of_text(value)});
}

/* Adds a sample, with labels as an instrumented service in a cluster has them. */
static void
put_sample(struct flood *f, bool old, uint64_t number, int64_t t_ms, uint64_t value)
{
    char instance[40], id[40];
    snprintf(instance, sizeof instance, "10.0.%" PRIu64 ".%" PRIu64 ":8080", number / 200 % 250,
             number % 200);
    snprintf(id, sizeof id, "%016" PRIx64, number * 0x9e3779b97f4a7c15u);
    buf_clear(&f->labels);
    put_label(&f->labels, "__name__", old ? "flood_old_total" : "flood_new_total");
    put_label(&f->labels, "cluster", "production");
    put_label(&f->labels, "instance", instance);
    put_label(&f->labels, "job", "shop");
    put_label(&f->labels, "namespace", "default");
    put_label(&f->labels, "request_id", id);
    must(buf_error(&f->labels), "labels");
    rw_build_series(f->build, buf_bytes(&f->labels));
    rw_build_float(f->build, t_ms, double_bits((double)value), 0);
}

static void
make_request(struct flood *f)
{
    struct bytes message;
    rw_build_clear(f->build);
    for (uint64_t i = 0; i < f->batch; i++) {
        uint64_t round = f->old_sent / f->old_count;
        int64_t t_ms = f->start_ms + (int64_t)round * f->step_ms;
        if (i % 2 == 0) {
            put_sample(f, true, f->old_sent % f->old_count, t_ms, round);
            f->old_sent++;
        } else {
            put_sample(f, false, f->new_sent, t_ms, f->new_sent);
            f->new_sent++;
        }
    }
    must(rw_build_end(f->build, &message), "message");
    buf_clear(&f->packed);
    must(snappy_pack(message, &f->packed), "snappy");
}

/* Returns false if the request was refused for good, or for too long. */
static bool
deliver(struct flood *f)
{
    double began = now_seconds(), waited = 0;
    for (;; f->repeats++) {
        const struct post_answer *answer;
        struct why why = {""};
        char text[300] = "";
        enum err e = post_send(f->post, buf_bytes(&f->packed), &answer, &why);
        waited = now_seconds() - began;
        if (e == OK && answer->status / 100 == 2) break;
        if (e == OK) post_put_body(answer, text, sizeof text);
        if (waited > f->give_up || (e == OK && answer->status / 100 == 4)) {
            fprintf(stderr, "rwflood: %s%s after %.1f s\n", why.text, text, waited);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    if (waited > f->longest) f->longest = waited;
    f->requests++;
    return true;
}

static int
run(struct flood *f)
{
    double began = now_seconds();
    bool good = true;
    while (good && f->new_sent < f->new_count) {
        make_request(f);
        good = deliver(f);
    }
    printf("requests=%" PRIu64 "\nrepeats=%" PRIu64 "\nold_samples=%" PRIu64 "\nseries=%" PRIu64
           "\nseconds=%.1f\nlongest_wait_seconds=%.2f\n",
           f->requests, f->repeats, f->old_sent, f->new_sent, now_seconds() - began, f->longest);
    return good ? 0 : 1;
}

int
main(int argc, char **argv)
{
    struct flood f = {
        .old_count = 10000, .new_count = 1000000, .batch = 2000, .step_ms = 15000, .give_up = 120};
    static const struct option options[] = {{"old", required_argument, NULL, 'o'},
                                            {"new", required_argument, NULL, 'n'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"start", required_argument, NULL, 's'},
                                            {"give-up", required_argument, NULL, 'g'},
                                            {"step", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t number = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);
        if (c == 'o') f.old_count = number;
        if (c == 'n') f.new_count = number;
        if (c == 'b') f.batch = number;
        if (c == 's') f.start_ms = (int64_t)number;
        if (c == 't') f.step_ms = (int64_t)number;
        if (c == 'g') f.give_up = (double)number;
        if (c == '?') argc = 0;
    }
    if (optind != argc - 1 || f.old_count == 0 || f.batch < 2) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (f.start_ms == 0) {
        int64_t rounds = (int64_t)(f.new_count / f.old_count) + 1;
        f.start_ms = (int64_t)time(NULL) * 1000 - rounds * f.step_ms;
    }
    struct post_options post = {.url = argv[optind], .kind = POST_WRITE_1, .timeout_s = 60};
    post_global_init();
    f.post = post_new(&post);
    buf_init(&f.labels, NULL, 1 << 16);
    buf_init(&f.packed, NULL, 64 << 20);
    must(rw_build_new(RW_V1, NULL, &f.build), "memory");
    int status = run(&f);
    rw_build_free(f.build);
    buf_fini(&f.packed);
    buf_fini(&f.labels);
    post_free(f.post);
    return status;
}
