/*
 * rrcompare.c - reads the same range from two servers by remote read and compares everything:
 * series, times, the bits of every value, native histograms. A side may also be a capture of write
 * requests (a file): then the server is compared with the requests.
 *
 * Exit status: 0 equal, 1 different, 2 nothing could be compared.
 */
#include <getopt.h>
#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "post.h"

static const char USAGE[] =
    "usage: rrcompare SIDE_A SIDE_B --start MS --end MS [options]\n"
    "  SIDE            URL of a server (http://host:port, or with the path of its remote read),\n"
    "                  or a capture file of write requests\n"
    "  --start MS      first time compared, Unix milliseconds (captures only: may be left out)\n"
    "  --end MS        last time compared, inclusive\n"
    "  --match M       only series that match, e.g. '{job=\"node\",mode!=\"idle\"}'\n"
    "  --ignore-label NAME   leave this label out of the comparison (repeatable)\n"
    "  --streamed      ask servers for STREAMED_XOR_CHUNKS (default: SAMPLES)\n"
    "  --common        only of what both have\n"
    "  --ignore-bounds leave the bounds of custom buckets out: the SAMPLES answers of\n"
    "                  Prometheus 3.5 do not carry them\n"
    "  --split MS      ask in slices of this length, for servers that limit an answer\n"
    "  --first N       only the first N requests of a capture\n"
    "  --in-order      of two captures: each series in the same order, too, what came again left\n"
    "                  out; how often something came again is printed\n"
    "  --header 'N: V' sent with every request (repeatable)\n"
    "  --show N        how many differences to print (default 10)\n"
    "  --quiet         only counts and verdict\n"
    "exit status: 0 equal, 1 different, 2 error\n";

struct arguments {
    const char *sides[2];
    struct arena arena; /* memory of the options */
    struct oracle_options options;
    struct post_options post;
    int64_t split_ms; /* 0: one request */
    uint64_t show_max;
    size_t capture_first; /* number of the capture's requests to read */
    bool streamed;
    bool in_order;
    bool common;
    bool has_start;
    bool has_end;
};

/* The result of the comparison. */
struct tally {
    uint64_t series_only[2];
    uint64_t series_different;
    uint64_t samples_only[2];
    uint64_t values_different;
    uint64_t series_in_other_order;
    uint64_t shown;
    uint64_t show_max;
    bool in_order; /* compares the order as well */
    bool common;   /* compares only common series */
};

static int64_t
parse_number(const char *option, const char *text)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (end != text && *end == '\0') return v;
    fprintf(stderr, "rrcompare: %s: not a number: %s\n", option, text);
    exit(2);
}

static bool
is_url(const char *side)
{
    return strstr(side, "://") != NULL;
}

/* --- reading the two sides -------------------------------------------------------------------- */

static enum err
read_slice(struct oracle_set *set, struct post *post, const char *url, struct oracle_range range,
           bool streamed, struct why *why)
{
    struct buf message;
    struct buf packed;
    buf_init(&message, NULL, (size_t)2 << 30);
    buf_init(&packed, NULL, 1 << 20);
    oracle_put_read_request(set, range, streamed, &message);
    size_t size = snappy_max_compressed_length(message.size);
    oracle_need(buf_error(&message) == OK && buf_reserve(&packed, size));
    snappy_compress((const char *)message.at, message.size, (char *)packed.at, &size);
    packed.size = size;

    const struct post_answer *answer;
    enum err e = post_send(post, buf_bytes(&packed), &answer, why);
    if (e) goto out;
    if (answer->status != 200) {
        char text[300];
        post_put_body(answer, text, sizeof text);
        e = why_set(why, ERR_INPUT, "%s: status %ld: %s", url, answer->status, text);
        goto out;
    }
    if (streamed && strncmp(answer->content_type, "application/x-streamed-protobuf", 31) == 0) {
        e = oracle_add_stream(set, range, buf_bytes(&answer->body), why);
        goto out;
    }
    if (streamed || strcmp(answer->content_encoding, "snappy") != 0 ||
        strncmp(answer->content_type, "application/x-protobuf", 22) != 0) {
        e = why_set(why, ERR_INPUT, "%s: want %s, got %s %s", url,
                    streamed ? "application/x-streamed-protobuf" : "snappy application/x-protobuf",
                    answer->content_encoding, answer->content_type);
        goto out;
    }
    e = oracle_unpack(buf_bytes(&answer->body), &message, why);
    if (e) goto out;
    e = oracle_add_answer(set, range, buf_bytes(&message), why);
out:
    buf_fini(&packed);
    buf_fini(&message);
    return e;
}

static enum err
read_server(struct oracle_set *set, const struct arguments *args, const char *url, struct why *why)
{
    struct post_options options = args->post;
    options.url = url;
    options.kind = POST_READ;
    struct post *post = post_new(&options);
    struct oracle_range whole = args->options.range;
    enum err e = OK;
    for (int64_t start = whole.start_ms; e == OK && start <= whole.end_ms;) {
        struct oracle_range slice = {start, whole.end_ms};
        if (args->split_ms > 0 && args->split_ms <= whole.end_ms - start)
            slice.end_ms = start + args->split_ms - 1;
        e = read_slice(set, post, url, slice, args->streamed, why);
        if (slice.end_ms == INT64_MAX) break;
        start = slice.end_ms + 1;
    }
    post_free(post);
    return e;
}

static enum err
read_capture(struct oracle_set *set, const char *path, size_t first, struct why *why)
{
    for (size_t i = 0; i < set->options->matcher_count; i++)
        if (set->options->matchers[i].type > ORACLE_NEQ)
            return why_set(why, ERR_INPUT, "regular expressions need a server on both sides");
    struct capture capture;
    enum err e = capture_open(path, &capture, why);
    if (e) return e;
    struct buf message;
    buf_init(&message, NULL, (size_t)2 << 30);
    for (size_t i = 0; e == OK && i < capture.record_count && i < first; i++) {
        e = oracle_unpack(capture.records[i], &message, why);
        if (e == OK) {
            struct bytes view = buf_bytes(&message);
            e = oracle_add_write(set, oracle_guess_version(view), view, why);
        }
        if (e) why_prefix(why, e, "%s: record %zu", path, i);
    }
    buf_fini(&message);
    capture_fini(&capture);
    return e;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Prints one difference: "only in A: {labels} at 123: text". */
static void
show(struct tally *tally, const char *what, const struct oracle_series *series, const int64_t *t_ms,
     struct bytes a, struct bytes b)
{
    if (tally->shown == tally->show_max) return;
    if (tally->shown++ == 0) puts("first differences:");
    struct buf labels;
    buf_init(&labels, NULL, 1 << 20);
    oracle_put_labels(series, &labels);
    printf("  %s: %.*s", what, (int)labels.size, (const char *)labels.at);
    if (t_ms != NULL) printf(" at %" PRId64, *t_ms);
    if (a.size > 0) printf("\n    A: %.*s", (int)a.size, (const char *)a.at);
    if (b.size > 0) printf("\n    B: %.*s", (int)b.size, (const char *)b.at);
    putchar('\n');
    buf_fini(&labels);
}

/* One sample of a series: a float or a normalised histogram. */
struct item {
    int64_t t_ms;
    uint64_t arrival;
    bool is_float;
    uint64_t bits;
    struct bytes text;
};

struct walk {
    const struct oracle_series *series;
    size_t sample;
    size_t histogram;
};

static bool
walk_peek(const struct walk *walk, struct item *ret_item)
{
    const struct oracle_series *series = walk->series;
    bool has_sample = walk->sample < series->sample_count;
    bool has_histogram = walk->histogram < series->histogram_count;
    if (!has_sample && !has_histogram) return false;
    const struct oracle_sample *s = has_sample ? &series->samples[walk->sample] : NULL;
    const struct oracle_histogram *h = has_histogram ? &series->histograms[walk->histogram] : NULL;
    bool is_float = h == NULL || (s != NULL && s->t_ms <= h->t_ms);
    *ret_item = is_float ? (struct item){.t_ms = s->t_ms,
                                         .arrival = s->arrival,
                                         .is_float = true,
                                         .bits = s->bits}
                         : (struct item){.t_ms = h->t_ms, .arrival = h->arrival, .text = h->text};
    return true;
}

static void
walk_step(struct walk *walk, const struct item *item)
{
    walk->sample += item->is_float;
    walk->histogram += !item->is_float;
}

static struct bytes
item_text(const struct item *item, char *to, size_t to_size)
{
    if (!item->is_float) return item->text;
    int size =
        snprintf(to, to_size, "%.17g (bits %016" PRIx64 ")", bits_double(item->bits), item->bits);
    return bytes_of(to, (size_t)size);
}

static bool
item_equal(const struct item *a, const struct item *b)
{
    if (a->is_float != b->is_float) return false;
    return a->is_float ? a->bits == b->bits : bytes_equal(a->text, b->text);
}

/* The arrival of the same sample on each side. */
struct arrivals {
    uint64_t at[2];
    int64_t t_ms;
};

static int
by_first_arrival(const void *left, const void *right)
{
    const struct arrivals *a = left, *b = right;
    return (a->at[0] > b->at[0]) - (a->at[0] < b->at[0]);
}

/* The samples of a series that both sides have. */
struct pairs {
    struct arrivals *at;
    size_t count, capacity;
};

static void
take_pair(struct pairs *p, const struct item *a, const struct item *b)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity == 0 ? 256 : p->capacity * 2;
        p->at = oracle_must(reallocarray(p->at, p->capacity, sizeof *p->at));
    }
    p->at[p->count++] = (struct arrivals){{a->arrival, b->arrival}, a->t_ms};
}

/* Checks that samples that came later in A came later in B. */
static void
compare_order(struct tally *tally, const struct oracle_series *series, struct pairs *p)
{
    if (p->count > 0) qsort(p->at, p->count, sizeof *p->at, by_first_arrival);
    for (size_t i = 1; i < p->count; i++) {
        if (p->at[i].at[1] > p->at[i - 1].at[1]) continue;
        tally->series_in_other_order++;
        show(tally, "came earlier in B", series, &p->at[i].t_ms, bytes_of(NULL, 0),
             bytes_of(NULL, 0));
        break;
    }
    free(p->at);
}

static void
compare_series(struct tally *tally, const struct oracle_series *a, const struct oracle_series *b)
{
    struct walk walks[2] = {{.series = a}, {.series = b}};
    struct pairs pairs = {0};
    uint64_t before = tally->samples_only[0] + tally->samples_only[1] + tally->values_different;
    for (;;) {
        struct item left;
        struct item right;
        bool has_left = walk_peek(&walks[0], &left);
        bool has_right = walk_peek(&walks[1], &right);
        if (!has_left && !has_right) break;
        char left_text[64];
        char right_text[64];
        if (!has_right || (has_left && left.t_ms < right.t_ms)) {
            walk_step(&walks[0], &left);
            if (tally->common) continue;
            tally->samples_only[0]++;
            show(tally, "sample only in A", a, &left.t_ms,
                 item_text(&left, left_text, sizeof left_text), bytes_of(NULL, 0));
        } else if (!has_left || right.t_ms < left.t_ms) {
            walk_step(&walks[1], &right);
            if (tally->common) continue;
            tally->samples_only[1]++;
            show(tally, "sample only in B", a, &right.t_ms, bytes_of(NULL, 0),
                 item_text(&right, right_text, sizeof right_text));
        } else {
            if (!item_equal(&left, &right)) {
                tally->values_different++;
                show(tally, "values differ", a, &left.t_ms,
                     item_text(&left, left_text, sizeof left_text),
                     item_text(&right, right_text, sizeof right_text));
            }
            if (tally->in_order) take_pair(&pairs, &left, &right);
            walk_step(&walks[0], &left);
            walk_step(&walks[1], &right);
        }
    }
    uint64_t after = tally->samples_only[0] + tally->samples_only[1] + tally->values_different;
    tally->series_different += after != before;
    if (tally->in_order) compare_order(tally, a, &pairs);
}

static void
compare_sets(struct tally *tally, const struct oracle_set *a, const struct oracle_set *b)
{
    size_t i = 0;
    size_t j = 0;
    while (i < a->series_count || j < b->series_count) {
        int order = i == a->series_count   ? 1
                    : j == b->series_count ? -1
                                           : oracle_series_compare(a->series[i], b->series[j]);
        if (order != 0) {
            const struct oracle_series *only = order < 0 ? a->series[i++] : b->series[j++];
            if (tally->common) continue;
            tally->series_only[order > 0]++;
            show(tally, order < 0 ? "series only in A" : "series only in B", only, NULL,
                 bytes_of(NULL, 0), bytes_of(NULL, 0));
        } else {
            compare_series(tally, a->series[i++], b->series[j++]);
        }
    }
}

static int
report(const struct arguments *args, struct oracle_set sets[2])
{
    uint64_t faults = 0;
    for (int i = 0; i < 2; i++) {
        printf("%c: %zu series, %" PRIu64 " samples, %" PRIu64 " histograms  (%s)\n", 'A' + i,
               sets[i].series_count, sets[i].sample_count, sets[i].histogram_count, args->sides[i]);
        faults += sets[i].faults;
    }
    struct tally tally = {
        .show_max = args->show_max, .in_order = args->in_order, .common = args->common};
    if (args->in_order)
        printf("repeats=%" PRIu64 " (A: %" PRIu64 ")\n", sets[1].repeats, sets[0].repeats);
    compare_sets(&tally, &sets[0], &sets[1]);
    for (int i = 0; i < 2; i++) {
        if (sets[i].faults == 0) continue;
        printf("%c: %" PRIu64 " breaches of the protocol, first: %s\n", 'A' + i, sets[i].faults,
               sets[i].first_fault);
    }
    if (faults + tally.series_only[0] + tally.series_only[1] + tally.series_different +
            tally.series_in_other_order ==
        0) {
        puts("equal");
        return 0;
    }
    if (tally.series_in_other_order > 0)
        printf("in another order: %" PRIu64 " series\n", tally.series_in_other_order);
    printf("different: %" PRIu64 " series only in A, %" PRIu64 " only in B, %" PRIu64
           " differ (%" PRIu64 " samples only in A, %" PRIu64 " only in B, %" PRIu64 " values)\n",
           tally.series_only[0], tally.series_only[1], tally.series_different,
           tally.samples_only[0], tally.samples_only[1], tally.values_different);
    return 1;
}

/* --- command line ----------------------------------------------------------------------------- */

static void
take_option(struct arguments *args, int option)
{
    struct why why;
    switch (option) {
    case 's':
        args->options.range.start_ms = parse_number("--start", optarg);
        args->has_start = true;
        break;
    case 'e':
        args->options.range.end_ms = parse_number("--end", optarg);
        args->has_end = true;
        break;
    case 'm':
        if (oracle_parse_matchers(optarg, &args->arena, &args->options, &why) == OK) break;
        fprintf(stderr, "rrcompare: --match: %s\n", why.text);
        exit(2);
    case 'i':
        if (args->options.ignored_count == ORACLE_IGNORED_MAX) {
            fputs("rrcompare: too many --ignore-label\n", stderr);
            exit(2);
        }
        args->options.ignored_labels[args->options.ignored_count++] = optarg;
        break;
    case 'H':
        if (args->post.header_count == POST_HEADERS_MAX) {
            fputs("rrcompare: too many --header\n", stderr);
            exit(2);
        }
        args->post.headers[args->post.header_count++] = optarg;
        break;
    case 'S':
        args->streamed = true;
        break;
    case 'o':
        args->in_order = true;
        break;
    case 'c':
        args->common = true;
        break;
    case 'b':
        args->options.ignore_bounds = true;
        break;
    case 'p':
        args->split_ms = parse_number("--split", optarg);
        break;
    case 'f':
        args->capture_first = (size_t)parse_number("--first", optarg);
        break;
    case 'n':
        args->show_max = (uint64_t)parse_number("--show", optarg);
        break;
    case 'q':
        args->show_max = 0;
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
    static const struct option options[] = {{"start", required_argument, NULL, 's'},
                                            {"end", required_argument, NULL, 'e'},
                                            {"match", required_argument, NULL, 'm'},
                                            {"ignore-label", required_argument, NULL, 'i'},
                                            {"header", required_argument, NULL, 'H'},
                                            {"split", required_argument, NULL, 'p'},
                                            {"show", required_argument, NULL, 'n'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"in-order", no_argument, NULL, 'o'},
                                            {"common", no_argument, NULL, 'c'},
                                            {"ignore-bounds", no_argument, NULL, 'b'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"streamed", no_argument, NULL, 'S'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        take_option(args, option);
    if (argc - optind != 2) {
        fputs(USAGE, stderr);
        exit(2);
    }
    for (int i = 0; i < 2; i++) {
        args->sides[i] = argv[optind + i];
        if (is_url(args->sides[i]) && !(args->has_start && args->has_end)) {
            fputs("rrcompare: --start and --end are needed to ask a server\n", stderr);
            exit(2);
        }
        if (is_url(args->sides[i]) && args->in_order) {
            fputs("rrcompare: --in-order: a server does not say in which order samples came\n",
                  stderr);
            exit(2);
        }
    }
    if (args->options.range.start_ms > args->options.range.end_ms) {
        fputs("rrcompare: --start is after --end\n", stderr);
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    struct arguments args = {
        .options.range = {INT64_MIN, INT64_MAX},
        .post.timeout_s = 600,
        .show_max = 10,
        .capture_first = SIZE_MAX,
    };
    arena_init(&args.arena, NULL, 0, 0);
    parse_arguments(&args, argc, argv);
    post_global_init();
    struct oracle_set sets[2];
    int status = 0;
    for (int i = 0; i < 2; i++) {
        struct why why = {""};
        oracle_init(&sets[i], &args.options);
        enum err e = is_url(args.sides[i])
                         ? read_server(&sets[i], &args, args.sides[i], &why)
                         : read_capture(&sets[i], args.sides[i], args.capture_first, &why);
        oracle_finish(&sets[i]);
        if (e == OK) continue;
        fprintf(stderr, "rrcompare: %c: %s\n", 'A' + i, why.text);
        status = 2;
    }
    if (status == 0) status = report(&args, sets);
    oracle_fini(&sets[0]);
    oracle_fini(&sets[1]);
    arena_fini(&args.arena);
    return status;
}
