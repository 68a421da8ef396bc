/* self_scrape_test.c - the lines of /metrics become samples. */
#include "lib/test.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "app/own_writes.h"
#include "rules/group/kept_series.h"
#include "wire/number.h"

static struct bytes
text(const char *chars)
{
    return bytes_of_text(chars);
}

/* Writes the labels and values of the message, one line each; the metadata into another one. */
static enum err
scrape(const char *from, struct buf *to, struct buf *metadata)
{
    struct kept_series seen;
    struct rw_build *build = NULL;
    struct rw_request request;
    struct bytes message;
    struct why why;
    uint64_t samples;
    kept_series_init(&seen, NULL, 0);
    enum err e = rw_build_new(RW_V1, NULL, &build);
    if (e == OK) e = self_scrape_put(text(from), "h:1", 5000, build, &seen, metadata, &samples);
    if (e == OK) e = rw_build_end(build, &message);
    if (e == OK) {
        assert_int_equal(rw_request_init(&request, NULL), OK);
        assert_int_equal(rw_decode(&request, RW_V1, message, 1, &why), OK);
        for (uint32_t i = 0; i < request.series_count; i++) {
            const struct rw_series *s = &request.series[i];
            char digits[NUMBER_TEXT_BYTES];
            labels_print(to, s->label_bytes);
            buf_put_u8(to, ' ');
            buf_put(to, digits, number_print(request.floats[s->floats.first].bits, digits));
            buf_put_u8(to, '\n');
            assert_int_equal(request.floats[s->floats.first].t_ms, 5000);
        }
        assert_int_equal(seen.count, request.series_count);
        rw_request_fini(&request);
    }
    rw_build_free(build);
    kept_series_fini(&seen);
    return e;
}

UNIT_TEST(test_each_line_becomes_a_sample_with_the_labels_of_a_scrape)
{
    struct buf to, metadata;
    buf_init(&to, NULL, 1 << 16);
    buf_init(&metadata, NULL, 1 << 16);
    assert_int_equal(scrape("# HELP a Help.\n# TYPE a counter\na 1\nb{x=\"1\",le=\"+Inf\"} 2.5\n"
                            "c{p=\"a\\\\b\\\"c\\nd\"} NaN\n",
                            &to, &metadata),
                     OK);
    buf_put_u8(&to, '\0');
    assert_string_equal(
        (char *)to.at,
        "{__name__=\"a\", instance=\"h:1\", job=\"firekeep-self\"} 1\n"
        "{__name__=\"b\", instance=\"h:1\", job=\"firekeep-self\", le=\"+Inf\", x=\"1\"} 2.5\n"
        "{__name__=\"c\", instance=\"h:1\", job=\"firekeep-self\", p=\"a\\\\b\\\"c\\nd\"} NaN\n"
        "{__name__=\"up\", instance=\"h:1\", job=\"firekeep-self\"} 1\n"
        "{__name__=\"scrape_samples_scraped\", instance=\"h:1\", job=\"firekeep-self\"} 3\n");
    buf_fini(&to);
    buf_fini(&metadata);
}

UNIT_TEST(test_each_family_has_the_type_and_help_of_the_text)
{
    static const char from[] = "# HELP a Help \\\\ of\\nlines.\n# TYPE a counter\na 1\n"
                               "# TYPE b gauge\nb 2\n# HELP c C.\n# TYPE c histogram\n";
    struct rw_request request;
    struct why why;
    struct buf lines, to;
    buf_init(&lines, NULL, 1 << 16);
    buf_init(&to, NULL, 1 << 16);
    assert_int_equal(scrape(from, &lines, &to), OK);
    assert_int_equal(rw_request_init(&request, NULL), OK);
    assert_int_equal(rw_decode(&request, RW_V1, buf_bytes(&to), 1, &why), OK);
    assert_int_equal(request.metadata_count, 3);
    assert_true(bytes_equal_text(request.metadata[0].family, "a"));
    assert_true(bytes_equal_text(request.metadata[0].help, "Help \\ of\nlines."));
    assert_int_equal(request.metadata[0].type, METRIC_COUNTER);
    assert_int_equal(request.metadata[1].type, METRIC_GAUGE);
    assert_int_equal(request.metadata[1].help.size, 0);
    assert_int_equal(request.metadata[2].type, METRIC_HISTOGRAM);
    rw_request_fini(&request);
    buf_fini(&lines);
    buf_fini(&to);
}

UNIT_TEST(test_malformed_text_is_refused)
{
    static const char *const texts[] = {
        "a\n",          "a 1",   "a{x=\"1} 1\n", "a{x=1} 1\n",    "a{x=\"1\"\n",
        "a{x=\"1\"}\n", "a x\n", " 1\n",         "a{x=\"1\" 1\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf to, metadata;
        buf_init(&to, NULL, 1 << 16);
        buf_init(&metadata, NULL, 1 << 16);
        if (scrape(texts[i], &to, &metadata) != ERR_INPUT) fail_msg("taken: %s", texts[i]);
        buf_fini(&to);
        buf_fini(&metadata);
    }
}

UNIT_TEST(test_a_refused_allocation_is_an_error)
{
    bool fired = true;
    for (uint64_t n = 1; fired; n++) {
        struct kept_series seen;
        struct rw_build *build;
        struct bytes message;
        struct buf metadata;
        uint64_t samples;
        buf_init(&metadata, NULL, 1 << 16);
        kept_series_init(&seen, NULL, 0);
        assert_int_equal(rw_build_new(RW_V1, NULL, &build), OK);
        mem_fail_nth(n, false);
        enum err e =
            self_scrape_put(text("a{b=\"c\"} 1\n"), "h:1", 5000, build, &seen, &metadata, &samples);
        if (e == OK) e = rw_build_end(build, &message);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        rw_build_free(build);
        kept_series_fini(&seen);
        buf_fini(&metadata);
    }
}

UNIT_TEST(test_an_instance_is_host_and_port_an_ipv6_address_in_brackets)
{
    static const char *const cases[][2] = {
        {"127.0.0.1", "127.0.0.1:9201"},
        {"", "localhost:9201"},
        {"::1", "[::1]:9201"},
        {"::", "[::]:9201"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        self_scrape_name(cases[i][0], 9201, name, sizeof name);
        assert_string_equal(name, cases[i][1]);
    }
}

/* A clock that is years ahead the next time it is read, and right from then on. */
static atomic_bool is_ahead_once;
static sem_t clock_reads;

static int64_t
realtime_ms(struct env *env)
{
    (void)env;
    bool is_ahead = atomic_exchange(&is_ahead_once, false);
    sem_post(&clock_reads);
    return env_realtime_ms(env_real()) + (is_ahead ? 3 * 365 * 86400000LL : 0);
}

static bool
comes(sem_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    return sem_timedwait(what, &until) == 0;
}

static const char *
holds_no_writes(void *context)
{
    (void)context;
    return NULL;
}

/* Each scrape comes here. */
static bool
counts_and_takes_no_writes(void *context)
{
    sem_post(context);
    return false;
}

UNIT_TEST(test_scrapes_go_on_if_the_clock_is_set_back_as_it_is_read)
{
    struct env_ops ops = *env_real()->ops;
    struct env env = {&ops};
    sem_t scrapes;
    struct own_writes_options options = {
        .env = &env,
        .holds_writes = holds_no_writes,
        .takes_writes = counts_and_takes_no_writes,
        .context = &scrapes,
    };
    struct self_scrape_options scrape_options = {.env = &env, .instance = "h:1"};
    struct self_scrape *scrapes_itself;
    struct why why;
    ops.realtime_ms = realtime_ms;
    sem_init(&scrapes, 0, 0);
    sem_init(&clock_reads, 0, 0);
    assert_int_equal(own_writes_new(&options, &scrape_options.writes), OK);
    assert_int_equal(self_scrape_start(&scrape_options, &scrapes_itself, &why), OK);
    assert_true(comes(&clock_reads)); /* it rests now, with interval 0 */
    is_ahead_once = true;
    self_scrape_set(scrapes_itself, 20);
    assert_true(comes(&scrapes));
    self_scrape_free(scrapes_itself);
    own_writes_free(scrape_options.writes);
    sem_destroy(&scrapes);
    sem_destroy(&clock_reads);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line_becomes_a_sample_with_the_labels_of_a_scrape),
        cmocka_unit_test(test_each_family_has_the_type_and_help_of_the_text),
        cmocka_unit_test(test_malformed_text_is_refused),
        cmocka_unit_test(test_a_refused_allocation_is_an_error),
        cmocka_unit_test(test_an_instance_is_host_and_port_an_ipv6_address_in_brackets),
        cmocka_unit_test(test_scrapes_go_on_if_the_clock_is_set_back_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
