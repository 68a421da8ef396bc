/* metric_test.c - metrics, and their text in a scrape. */
#include "lib/test.h"

#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metric.h"

enum { TEXT_MAX = 1 << 20 };

/* Returns the text of a scrape, NUL-terminated; valid until the next one. */
static const char *
scrape(void)
{
    static char text[TEXT_MAX];
    struct buf buf;
    buf_init(&buf, NULL, TEXT_MAX - 1);
    metric_collect(&buf);
    assert_int_equal(buf_error(&buf), OK);
    if (buf.size > 0) memcpy(text, buf.at, buf.size);
    text[buf.size] = 0;
    buf_fini(&buf);
    return text;
}

static int
reset(void **state)
{
    (void)state;
    metric_reset_all();
    return 0;
}

UNIT_TEST(test_nothing_registered_prints_nothing)
{
    assert_string_equal(scrape(), "");
}

struct gauge {
    struct metric_family family;
    double value;
    struct metric_collector collector;
};

static void
collect_gauge(struct metric_sink *sink, void *context)
{
    const struct gauge *g = context;
    metric_put_double(sink, &g->family, NULL, 0, g->value);
}

static void
register_gauge(struct gauge *g)
{
    g->collector.collect = collect_gauge;
    g->collector.context = g;
    metric_register_collector(&g->collector);
}

UNIT_TEST(test_families_are_sorted_and_described_once)
{
    static struct metric_counter reads = {.name = "b_total",
                                          .help = "Requests.",
                                          .labels = {{"route", "read"}}},
                                 writes = {.name = "b_total",
                                           .help = "Requests.",
                                           .labels = {{"route", "write"}, {"v", "1"}, {"w", "2"}}};
    static struct gauge level = {{"c", "A level.", METRIC_KIND_GAUGE}, -5, {0}},
                        ratio = {{"a", "One.", METRIC_KIND_GAUGE}, 1.0 / 3, {0}};
    metric_register_counter(&reads);
    register_gauge(&level);
    metric_register_counter(&writes);
    register_gauge(&ratio);
    metric_inc(&reads);
    metric_add(&writes, UINT64_MAX);
    assert_true(metric_value(&writes) == UINT64_MAX);
    assert_string_equal(scrape(), "# HELP a One.\n"
                                  "# TYPE a gauge\n"
                                  "a 0.3333333333333333\n"
                                  "# HELP b_total Requests.\n"
                                  "# TYPE b_total counter\n"
                                  "b_total{route=\"read\"} 1\n"
                                  "b_total{route=\"write\",v=\"1\",w=\"2\"} 18446744073709551615\n"
                                  "# HELP c A level.\n"
                                  "# TYPE c gauge\n"
                                  "c -5\n");
}

UNIT_TEST(test_registering_twice_is_registering_once)
{
    static struct metric_counter a = {.name = "a_total", .help = "A."};
    const char *text = "# HELP a_total A.\n# TYPE a_total counter\na_total 0\n";
    metric_register_counter(&a);
    metric_register_counter(&a);
    assert_string_equal(scrape(), text);
    metric_add(&a, 5);
    metric_reset_all();
    assert_string_equal(scrape(), "");
    metric_register_counter(&a);
    assert_string_equal(scrape(), text);
}

UNIT_TEST(test_unregistered_metrics_are_gone_and_may_come_back)
{
    static struct metric_counter g[3] = {{.name = "a_total", .help = "A."},
                                         {.name = "b_total", .help = "B."},
                                         {.name = "c_total", .help = "C."}};
    for (int gone = 0; gone < 3; gone++) {
        metric_reset_all();
        for (int i = 0; i < 3; i++)
            metric_register_counter(&g[i]);
        metric_unregister(&g[gone].link);
        metric_unregister(&g[gone].link);
        char line[16];
        for (int i = 0; i < 3; i++) {
            snprintf(line, sizeof line, "\n%s 0\n", g[i].name);
            assert_int_equal(strstr(scrape(), line) != NULL, i != gone);
        }
        metric_register_counter(&g[gone]);
        for (int i = 0; i < 3; i++) {
            snprintf(line, sizeof line, "\n%s 0\n", g[i].name);
            assert_non_null(strstr(scrape(), line));
        }
    }
}

static uint64_t
count_of(const struct metric_histogram *h)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= h->bound_count; i++)
        count += h->buckets[i];
    return count;
}

UNIT_TEST(test_histogram_bounds_are_inclusive_and_buckets_cumulative)
{
    static const uint64_t bounds[] = {10, 20};
    static struct metric_histogram h = {
        .name = "h", .help = "H.", .labels = {{"x", "y"}}, .bounds = bounds, .bound_count = 2};
    metric_register_histogram(&h);
    static const uint64_t values[] = {0, 10, 11, 20, 21, 1000};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        metric_record(&h, values[i]);
    assert_int_equal(count_of(&h), 6);
    assert_string_equal(scrape(), "# HELP h H.\n"
                                  "# TYPE h histogram\n"
                                  "h_bucket{x=\"y\",le=\"10.0\"} 2\n"
                                  "h_bucket{x=\"y\",le=\"20.0\"} 4\n"
                                  "h_bucket{x=\"y\",le=\"+Inf\"} 6\n"
                                  "h_sum{x=\"y\"} 1062\n"
                                  "h_count{x=\"y\"} 6\n");
    metric_reset_all();
    assert_int_equal(count_of(&h), 0);
}

UNIT_TEST(test_latencies_are_recorded_in_nanoseconds_and_shown_in_seconds)
{
    static struct metric_histogram h = {.name = "h_seconds", .help = "H.", METRIC_LATENCY};
    metric_register_histogram(&h);
    metric_record(&h, 1500000);     /* 1.5 ms */
    metric_record(&h, 61000000000); /* 61 s */
    const char *text = scrape();
    static const char *const lines[] = {
        "h_seconds_bucket{le=\"0.0001\"} 0\n",
        "h_seconds_bucket{le=\"0.001\"} 0\n",
        "h_seconds_bucket{le=\"0.0025\"} 1\n",
        "h_seconds_bucket{le=\"1.0\"} 1\n",
        "h_seconds_bucket{le=\"60.0\"} 1\n",
        "h_seconds_bucket{le=\"+Inf\"} 2\n",
        "h_seconds_sum 61.0015\n",
        "h_seconds_count 2\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(text, lines[i]));
}

static const struct metric_family family_in = {"in_total", "In.", METRIC_KIND_COUNTER};
static const struct metric_family family_out = {"out", "Out.", METRIC_KIND_GAUGE};

/* Alternates between two families, as a per-tenant ledger does. */
static void
collect_tenants(struct metric_sink *sink, void *context)
{
    const char *const *tenants = context;
    for (size_t i = 0; tenants[i] != NULL; i++) {
        struct metric_pair pair = {"tenant", bytes_of_text(tenants[i])};
        metric_put_u64(sink, &family_in, &pair, 1, i);
        metric_put_double(sink, &family_out, &pair, 1, (double)i / 2);
    }
}

UNIT_TEST(test_families_of_collectors_and_registrations_are_merged)
{
    static const char *const tenants[] = {"a", "b", NULL};
    static struct metric_collector collector = {.collect = collect_tenants};
    static struct metric_counter own = {
        .name = "in_total", .help = "In.", .labels = {{"tenant", "own"}}};
    collector.context = (void *)(uintptr_t)tenants;
    metric_register_collector(&collector);
    metric_register_counter(&own);
    assert_string_equal(scrape(), "# HELP in_total In.\n"
                                  "# TYPE in_total counter\n"
                                  "in_total{tenant=\"a\"} 0\n"
                                  "in_total{tenant=\"b\"} 1\n"
                                  "in_total{tenant=\"own\"} 0\n"
                                  "# HELP out Out.\n"
                                  "# TYPE out gauge\n"
                                  "out{tenant=\"a\"} 0\n"
                                  "out{tenant=\"b\"} 0.5\n");
}

UNIT_TEST(test_help_and_label_values_are_escaped)
{
    static struct metric_counter g = {
        .name = "g_total", .help = "a\\b\n\"c\"", .labels = {{"x", "a\\b\n\"c\"\xc3\xa9"}}};
    metric_register_counter(&g);
    assert_string_equal(scrape(), "# HELP g_total a\\\\b\\n\"c\"\n"
                                  "# TYPE g_total counter\n"
                                  "g_total{x=\"a\\\\b\\n\\\"c\\\"\xc3\xa9\"} 0\n");
}

static void
collect_bytes(struct metric_sink *sink, void *context)
{
    struct metric_pair pair = {"x", *(struct bytes *)context};
    metric_put_u64(sink, &family_in, &pair, 1, 1);
}

UNIT_TEST(test_label_values_that_are_not_utf8_are_made_so)
{
    static const struct {
        const char *in;
        size_t size;
        const char *out;
    } cases[] = {
#define BAD "\xef\xbf\xbd"
        {"a\0b", 3, "a" BAD "b"},
        {"\xff", 1, BAD},
        {"\xc3", 1, BAD},
        {"\xc3z", 2, BAD "z"},
        {"\xc0\xaf", 2, BAD BAD},                    /* overlong */
        {"\xe0\x80\xaf", 3, BAD BAD BAD},            /* overlong */
        {"\xed\xa0\x80", 3, BAD BAD BAD},            /* surrogate */
        {"\xf0\x80\x80\x80", 4, BAD BAD BAD BAD},    /* overlong */
        {"\xf4\x90\x80\x80", 4, BAD BAD BAD BAD},    /* too large */
        {"\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
        {"\xe2\x82\xac\xf0\x9f\x94\xa5", 7, "\xe2\x82\xac\xf0\x9f\x94\xa5"},
#undef BAD
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        metric_reset_all();
        struct bytes value = bytes_of(cases[i].in, cases[i].size);
        struct metric_collector collector = {.collect = collect_bytes, .context = &value};
        metric_register_collector(&collector);
        char expected[64];
        snprintf(expected, sizeof expected, "in_total{x=\"%s\"} 1\n", cases[i].out);
        assert_non_null(strstr(scrape(), expected));
        metric_unregister(&collector.link);
    }
}

UNIT_TEST(test_doubles_are_printed_so_that_they_read_back)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "g 0\n"},
        {-0.0, "g -0\n"},
        {0.1, "g 0.1\n"},
        {1e300, "g 1e+300\n"},
        {5e-324, "g 4.94065645841247e-324\n"},
        {1700000000.25, "g 1700000000.25\n"},
        {9007199254740993.0, "g 9007199254740992\n"},
        {INFINITY, "g +Inf\n"},
        {-INFINITY, "g -Inf\n"},
        {NAN, "g NaN\n"},
    };
    static struct gauge g = {{"g", "G.", METRIC_KIND_GAUGE}, 0, {0}};
    register_gauge(&g);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        g.value = cases[i].value;
        assert_non_null(strstr(scrape(), cases[i].text));
    }
}

/* These are enough different series for the sink to grow. */
static struct metric_counter many[200];
static char many_names[200][16];

static void
register_many(void)
{
    for (size_t i = 0; i < 200; i++) {
        snprintf(many_names[i], sizeof many_names[i], "m_%03u_total", (unsigned)(i * 77 % 200));
        many[i].name = many_names[i];
        many[i].help = "Many.";
        metric_register_counter(&many[i]);
    }
}

UNIT_TEST(test_scrape_that_lacks_memory_or_room_appends_nothing)
{
    register_many();
    static struct metric_histogram h = {.name = "h_seconds", .help = "H.", METRIC_LATENCY};
    metric_register_histogram(&h);
    size_t whole = strlen(scrape());
    unsigned nth = 1;
    for (;; nth++) {
        struct buf buf;
        buf_init(&buf, NULL, TEXT_MAX);
        buf_put_text(&buf, "before");
        mem_fail_nth(nth, false);
        metric_collect(&buf);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        size_t size = buf.size;
        enum err e = buf_error(&buf);
        assert_memory_equal(buf.at, "before", 6);
        buf_fini(&buf);
        if (!fired) {
            assert_int_equal(e, OK);
            assert_int_equal(size, 6 + whole);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
        assert_int_equal(size, 6);
    }
    assert_true(nth > 5);
    struct buf small;
    buf_init(&small, NULL, whole - 1);
    metric_collect(&small);
    assert_int_equal(buf_error(&small), ERR_LIMIT);
    assert_int_equal(small.size, 0);
    buf_fini(&small);
}

static bool
is_not_c(void *context, const char *name)
{
    return strcmp(name, context) != 0;
}

UNIT_TEST(test_json_is_that_of_the_families_that_are_wanted)
{
    static const uint64_t bounds[] = {1000, 2500};
    static struct metric_counter reads = {.name = "b_total",
                                          .help = "\"Requests\".",
                                          .labels = {{"route", "re\"ad"}, {"v", "1"}}},
                                 writes = {.name = "b_total",
                                           .help = "\"Requests\".",
                                           .labels = {{"route", "write"}}};
    static struct metric_histogram h = {
        .name = "h", .help = "H.", .bounds = bounds, .bound_count = 2, .per_unit = 1000};
    static struct gauge level = {{"c", "A level.", METRIC_KIND_GAUGE}, -5, {0}},
                        least = {{"a", "None.", METRIC_KIND_GAUGE}, 0, {0}};
    metric_register_histogram(&h);
    metric_register_counter(&reads);
    register_gauge(&level);
    register_gauge(&least);
    metric_register_counter(&writes);
    least.value = -INFINITY;
    metric_add(&reads, 7);
    metric_record(&h, 500);
    metric_record(&h, 2000);
    metric_record(&h, 9000);
    for (unsigned nth = 1;; nth++) {
        struct buf buf;
        struct json json;
        char wanted[] = "c";
        buf_init(&buf, NULL, TEXT_MAX);
        json_init(&json, &buf);
        mem_fail_nth(nth, false);
        metric_collect_json(&json, is_not_c, wanted);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) {
            buf_put_u8(&buf, '\0');
            assert_string_equal(
                (char *)buf.at,
                "[{\"name\":\"a\",\"help\":\"None.\",\"type\":\"GAUGE\",\"metric\":"
                "[{\"gauge\":{\"value\":\"-Infinity\"}}]},"
                "{\"name\":\"b_total\",\"help\":\"\\\"Requests\\\".\",\"type\":\"COUNTER\","
                "\"metric\":"
                "[{\"label\":[{\"name\":\"route\",\"value\":\"re\\\"ad\"},{\"name\":\"v\","
                "\"value\":"
                "\"1\"}],\"counter\":{\"value\":7}},"
                "{\"label\":[{\"name\":\"route\",\"value\":\"write\"}],\"counter\":{"
                "\"value\":0}}]},"
                "{\"name\":\"h\",\"help\":\"H.\",\"type\":\"HISTOGRAM\",\"metric\":"
                "[{\"histogram\":{\"bucket\":[{\"cumulativeCount\":\"1\",\"upperBound\":1},"
                "{\"cumulativeCount\":\"2\",\"upperBound\":2.5}],\"sampleCount\":\"3\","
                "\"sampleSum\":11.5}}]}]");
            buf_fini(&buf);
            break;
        }
        assert_int_equal(buf_error(&buf), ERR_NOMEM);
        buf_fini(&buf);
    }
}

UNIT_TEST(test_two_hundred_families_come_out_in_order)
{
    register_many();
    const char *p = scrape();
    for (unsigned i = 0; i < 200; i++) {
        char line[24];
        snprintf(line, sizeof line, "\nm_%03u_total 0\n", i);
        p = strstr(p, line);
        assert_non_null(p);
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000 };
static struct metric_counter shared = {.name = "shared_total", .help = "Shared."};
static struct metric_histogram shared_seconds = {
    .name = "shared_seconds", .help = "Shared.", METRIC_LATENCY};

static void *
count_up(void *argument)
{
    struct metric_counter *own = argument;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        metric_inc(&shared);
        metric_record(&shared_seconds, i * 1000);
        if (i == ROUNDS / 2) metric_register_counter(own);
    }
    return NULL;
}

UNIT_TEST(test_threads_may_count_and_register_while_a_scrape_runs)
{
    metric_register_counter(&shared);
    metric_register_histogram(&shared_seconds);
    static struct metric_counter own[THREADS] = {{.name = "own_0_total", .help = "Own."},
                                                 {.name = "own_1_total", .help = "Own."},
                                                 {.name = "own_2_total", .help = "Own."},
                                                 {.name = "own_3_total", .help = "Own."}};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &own[i]), 0);
    for (int i = 0; i < 20; i++) {
        const char *text = scrape();
        const char *total = strstr(text, "le=\"+Inf\"} ");
        const char *count = strstr(text, "shared_seconds_count ");
        assert_non_null(total);
        assert_non_null(count);
        assert_int_equal(strtoull(total + 11, NULL, 10), strtoull(count + 21, NULL, 10));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char line[40];
    snprintf(line, sizeof line, "\nshared_total %d\n", THREADS * ROUNDS);
    const char *text = scrape();
    assert_non_null(strstr(text, line));
    snprintf(line, sizeof line, "\nshared_seconds_count %d\n", THREADS * ROUNDS);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "\nown_3_total 0\n"));
}

struct slow {
    sem_t entered, leave;
    atomic_bool left;
    atomic_uint calls;
};

static void
collect_slowly(struct metric_sink *sink, void *context)
{
    struct slow *slow = context;
    slow->calls++;
    sem_post(&slow->entered);
    sem_wait(&slow->leave);
    metric_put_u64(sink, &family_in, NULL, 0, 1);
    slow->left = true;
}

static void *
scrape_once(void *argument)
{
    (void)argument;
    scrape();
    return NULL;
}

static void *
release(void *argument)
{
    struct slow *slow = argument;
    sem_post(&slow->leave);
    return NULL;
}

UNIT_TEST(test_unregistering_waits_for_a_collector_under_way)
{
    struct slow slow = {.left = false};
    sem_init(&slow.entered, 0, 0);
    sem_init(&slow.leave, 0, 0);
    struct metric_collector collector = {.collect = collect_slowly, .context = &slow};
    metric_register_collector(&collector);
    pthread_t scraper, releaser;
    assert_int_equal(pthread_create(&scraper, NULL, scrape_once, NULL), 0);
    sem_wait(&slow.entered);
    assert_int_equal(pthread_create(&releaser, NULL, release, &slow), 0);
    metric_unregister(&collector.link);
    assert_true(slow.left);
    pthread_join(scraper, NULL);
    pthread_join(releaser, NULL);
    assert_string_equal(scrape(), "");
    assert_int_equal(slow.calls, 1);
    sem_destroy(&slow.entered);
    sem_destroy(&slow.leave);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_registered_prints_nothing, reset),
        cmocka_unit_test_setup(test_families_are_sorted_and_described_once, reset),
        cmocka_unit_test_setup(test_registering_twice_is_registering_once, reset),
        cmocka_unit_test_setup(test_unregistered_metrics_are_gone_and_may_come_back, reset),
        cmocka_unit_test_setup(test_histogram_bounds_are_inclusive_and_buckets_cumulative, reset),
        cmocka_unit_test_setup(test_latencies_are_recorded_in_nanoseconds_and_shown_in_seconds,
                               reset),
        cmocka_unit_test_setup(test_families_of_collectors_and_registrations_are_merged, reset),
        cmocka_unit_test_setup(test_help_and_label_values_are_escaped, reset),
        cmocka_unit_test_setup(test_label_values_that_are_not_utf8_are_made_so, reset),
        cmocka_unit_test_setup(test_doubles_are_printed_so_that_they_read_back, reset),
        cmocka_unit_test_setup(test_scrape_that_lacks_memory_or_room_appends_nothing, reset),
        cmocka_unit_test_setup(test_two_hundred_families_come_out_in_order, reset),
        cmocka_unit_test_setup(test_json_is_that_of_the_families_that_are_wanted, reset),
        cmocka_unit_test_setup(test_threads_may_count_and_register_while_a_scrape_runs, reset),
        cmocka_unit_test_setup(test_unregistering_waits_for_a_collector_under_way, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
