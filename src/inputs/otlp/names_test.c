/* names_test.c - names of metrics, labels and units, by all strategies. */
#include "lib/test.h"

#include "inputs/otlp/otlp.h"

static const struct otlp_settings escape_with = {.translation = OTLP_ESCAPE_WITH_SUFFIXES,
                                                 .escapes_lone_underscore = true,
                                                 .keeps_underscores = true},
                                  escape_without = {.translation = OTLP_ESCAPE_WITHOUT_SUFFIXES},
                                  keep_with = {.translation = OTLP_KEEP_WITH_SUFFIXES},
                                  keep = {.translation = OTLP_KEEP};

static void
expect_metric(const struct otlp_settings *s, const char *name, const char *unit,
              enum otlp_kind kind, const char *expected)
{
    struct buf to;
    buf_init(&to, NULL, 10000);
    bool made = otlp_metric_name(s, bytes_of_text(name), bytes_of_text(unit), kind, &to);
    buf_put_u8(&to, '\0');
    if (expected == NULL)
        assert_false(made);
    else
        assert_string_equal((const char *)to.at, expected);
    buf_fini(&to);
}

static void
expect_label(const struct otlp_settings *s, const char *key, const char *expected)
{
    struct buf to;
    buf_init(&to, NULL, 10000);
    bool made = otlp_label_name(s, bytes_of_text(key), &to);
    buf_put_u8(&to, '\0');
    assert_int_equal(made, expected != NULL);
    if (made) assert_string_equal((const char *)to.at, expected);
    buf_fini(&to);
}

UNIT_TEST(test_a_name_is_escaped_and_gets_unit_and_type)
{
    static const struct {
        const char *name, *unit;
        enum otlp_kind kind;
        const char *expected;
    } cases[] = {
        {"http.server.request.duration", "s", OTLP_OTHER, "http_server_request_duration_seconds"},
        {"process.cpu.time", "s", OTLP_MONOTONIC, "process_cpu_time_seconds_total"},
        {"a.total.b", "", OTLP_MONOTONIC, "a_b_total"},
        {"already_seconds", "s", OTLP_GAUGE, "already_seconds"},
        {"system.memory.usage", "By", OTLP_OTHER, "system_memory_usage_bytes"},
        {"disk.io", "By/s", OTLP_GAUGE, "disk_io_bytes_per_second"},
        {"speed", "m/s", OTLP_GAUGE, "speed_meters_per_second"},
        {"queue.size", "{messages}", OTLP_GAUGE, "queue_size"},
        {"queue.rate", "{messages}/s", OTLP_GAUGE, "queue_rate_per_second"},
        {"usage", "1", OTLP_GAUGE, "usage_ratio"},
        {"usage.ratio.cpu", "1", OTLP_GAUGE, "usage_cpu_ratio"},
        {"usage", "1", OTLP_MONOTONIC, "usage_total"},
        {"cpu", "%", OTLP_GAUGE, "cpu_percent"},
        {"2xx", "", OTLP_OTHER, "_2xx"},
        {"a__b", "", OTLP_OTHER, "a_b"},
        {"a:b", "", OTLP_OTHER, "a:b"},
        {"température", "Cel", OTLP_GAUGE, "temp_rature_celsius"},
        {"x", "foo bar/baz", OTLP_OTHER, "x_foo_bar_per_baz"},
        {"...", "", OTLP_OTHER, NULL},
        {"", "s", OTLP_OTHER, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_metric(&escape_with, cases[i].name, cases[i].unit, cases[i].kind, cases[i].expected);
}

UNIT_TEST(test_a_name_without_suffixes_keeps_its_underscores)
{
    expect_metric(&escape_without, "a.b__c-d", "s", OTLP_MONOTONIC, "a_b__c_d");
    expect_metric(&escape_without, "3d", "", OTLP_OTHER, "_3d");
    expect_metric(&escape_without, "___", "", OTLP_OTHER, "___");
}

UNIT_TEST(test_a_name_that_is_kept_gets_suffixes_as_text)
{
    expect_metric(&keep_with, "a.b", "s", OTLP_MONOTONIC, "a.b_seconds_total");
    expect_metric(&keep_with, "a.total", "s", OTLP_MONOTONIC, "a_seconds_total");
    expect_metric(&keep_with, "a.ratio", "1", OTLP_GAUGE, "a_ratio");
    expect_metric(&keep_with, "io.bytes", "By/s", OTLP_GAUGE, "io.bytes_per_second");
    expect_metric(&keep, "a.b", "s", OTLP_MONOTONIC, "a.b");
}

UNIT_TEST(test_a_label_name_is_escaped)
{
    static const struct otlp_settings joined = {.escapes_lone_underscore = true},
                                      lone = {.keeps_underscores = true};
    expect_label(&escape_with, "http.method", "http_method");
    expect_label(&escape_with, "a..b", "a__b");
    expect_label(&joined, "a..b", "a_b");
    expect_label(&joined, "__a..b__", "__a_b__");
    expect_label(&escape_with, "3com", "key_3com");
    expect_label(&escape_with, "_x", "key_x");
    expect_label(&lone, "_x", "_x");
    expect_label(&escape_with, ".x", "key_x");
    expect_label(&escape_with, "__x", "__x");
    expect_label(&escape_with, "größe", "gr__e");
    expect_label(&escape_with, "", NULL);
    expect_label(&escape_with, "..", NULL);
    expect_label(&keep, "http.method", "http.method");
    expect_label(&keep, "__", NULL);
}

UNIT_TEST(test_a_unit_is_written_in_words)
{
    static const char *const cases[][2] = {{"ms", "milliseconds"}, {"By/s", "bytes_per_second"},
                                           {"1/s", "per_second"},  {"{x}", ""},
                                           {" s ", "seconds"},     {"km", "km"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf to;
        buf_init(&to, NULL, 1000);
        otlp_unit(bytes_of_text(cases[i][0]), &to);
        buf_put_u8(&to, '\0');
        assert_string_equal((const char *)to.at, cases[i][1]);
        buf_fini(&to);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_escaped_and_gets_unit_and_type),
        cmocka_unit_test(test_a_name_without_suffixes_keeps_its_underscores),
        cmocka_unit_test(test_a_name_that_is_kept_gets_suffixes_as_text),
        cmocka_unit_test(test_a_label_name_is_escaped),
        cmocka_unit_test(test_a_unit_is_written_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
