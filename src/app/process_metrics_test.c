/* process_metrics_test.c - the process' own metrics, read from /proc. */
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "app/process.h"

UNIT_TEST(test_stat_is_read_behind_any_program_name)
{
    static const char *const names[] = {"firekeep", "a b", "a) S 1 (b", "", ")))"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "42 (%s) S 1 42 42 0 -1 4194560 500 0 3 0 120 35 0 0 20 0 4 0 987654 "
                 "1234567890 321 18446744073709551615 1 1 0\n",
                 names[i]);
        struct process_stat stat;
        assert_true(process_stat_parse(bytes_of_text(text), &stat));
        assert_int_equal(stat.user_ticks, 120);
        assert_int_equal(stat.system_ticks, 35);
        assert_int_equal(stat.start_ticks, 987654);
        assert_int_equal(stat.virtual_bytes, 1234567890);
        assert_int_equal(stat.resident_pages, 321);
    }
}

UNIT_TEST(test_stat_that_is_cut_or_strange_is_refused)
{
    const char *text = "42 (x) S 1 42 42 0 -1 4194560 500 0 3 0 120 35 0 0 20 0 4 0 987654 "
                       "1234567890 321";
    struct process_stat stat;
    assert_true(process_stat_parse(bytes_of_text(text), &stat));
    /* Every shorter text, up to the first digit of the last field, is incomplete. */
    for (size_t size = 0; size <= strlen(text) - 3; size++)
        assert_false(process_stat_parse(bytes_of(text, size), &stat));
    assert_false(process_stat_parse(
        bytes_of_text("1 (x) S 1 2 3 4 5 6 7 8 9 0 -1 2 3 4 5 6 7 8 9 0 1 2"), &stat));
}

UNIT_TEST(test_status_lines_are_found_by_their_whole_name)
{
    const char *text =
        "Name:\tx\nVmHWMX:\t  1 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 7 MB\nVmLck:\nVmPin: 5";
    uint64_t value = 1;
    assert_true(process_status_bytes(bytes_of_text(text), "VmHWM", &value));
    assert_int_equal(value, 2048 * 1024);
    assert_false(process_status_bytes(bytes_of_text(text), "VmRSS", &value));
    assert_false(process_status_bytes(bytes_of_text(text), "VmLck", &value));
    assert_false(process_status_bytes(bytes_of_text(text), "VmPin", &value));
    assert_false(process_status_bytes(bytes_of_text(text), "VmNone", &value));
    assert_false(process_status_bytes(bytes_of(NULL, 0), "VmHWM", &value));
}

static char scraped[65536];

static void
scrape(void)
{
    struct buf buf;
    buf_init(&buf, NULL, sizeof scraped - 1);
    metric_collect(&buf);
    assert_int_equal(buf_error(&buf), OK);
    if (buf.size > 0) memcpy(scraped, buf.at, buf.size);
    scraped[buf.size] = 0;
    buf_fini(&buf);
}

static double
sample(const char *name)
{
    char start[100];
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(scraped, start);
    if (at == NULL) fail_msg("no sample %s", name);
    return strtod(at + strlen(start), NULL);
}

UNIT_TEST(test_process_metrics_are_plausible)
{
    metric_reset_all();
    process_metrics_register();
    process_metrics_register();
    scrape();
    assert_true(sample("process_resident_memory_bytes") > 100e3);
    assert_true(sample("process_virtual_memory_bytes") >= sample("process_resident_memory_bytes"));
    assert_true(sample("process_resident_memory_max_bytes") > 100e3);
    assert_true(sample("process_cpu_seconds_total") >= 0);
    assert_true(sample("process_max_fds") >= sample("process_open_fds"));
    double now = (double)time(NULL), started = sample("process_start_time_seconds");
    assert_true(started <= now + 1);
    assert_true(started > now - 3600);

    double fds = sample("process_open_fds");
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd >= 0);
    scrape();
    close(fd);
    assert_true(sample("process_open_fds") == fds + 1);
    assert_true(sample("process_start_time_seconds") == started);
}

UNIT_TEST(test_a_metric_that_cannot_be_read_is_omitted)
{
    metric_reset_all();
    char dir[] = "/nonexistent";
    struct metric_collector collector = {.collect = process_metrics_collect, .context = dir};
    metric_register_collector(&collector);
    scrape();
    assert_null(strstr(scraped, "process_open_fds"));
    assert_null(strstr(scraped, "process_cpu_seconds_total"));
    assert_null(strstr(scraped, "process_resident_memory_max_bytes"));
    assert_true(sample("process_max_fds") > 0);
    metric_unregister(&collector.link);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat_is_read_behind_any_program_name),
        cmocka_unit_test(test_stat_that_is_cut_or_strange_is_refused),
        cmocka_unit_test(test_status_lines_are_found_by_their_whole_name),
        cmocka_unit_test(test_process_metrics_are_plausible),
        cmocka_unit_test(test_a_metric_that_cannot_be_read_is_omitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
