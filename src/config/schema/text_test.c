/* text_test.c - values of settings as text. */
#include "lib/config/settings_rig.h"

#include <stdio.h>

/* Checks that each of the words between bars is refused. */
static void
check_each_refused(const char *name, const char *words)
{
    for (const char *p = words;; p++) {
        char word[64];
        size_t size = strcspn(p, "|");
        snprintf(word, sizeof word, "%.*s", (int)size, p);
        check_setting_refused(name, word);
        p += size;
        if (*p == 0) break;
    }
}

UNIT_TEST(test_durations_are_read_as_prometheus_reads_them)
{
    const char *name = "write.max-future";
    check_setting_number(name, "0", 0);
    check_setting_number(name, "0s", 0);
    check_setting_number(name, "1ms", 1);
    check_setting_number(name, "90s", 90000);
    check_setting_number(name, "1h30m", 5400000);
    check_setting_number(name, "1y2w3d4h5m6s7ms",
                         ((((365ull + 14 + 3) * 24 + 4) * 60 + 5) * 60 + 6) * 1000 + 7);
    check_each_refused(name, "| |5|s|-5s|+5s|1.5h|5 s|5S|30m1h|1m1m|5sec|5s | 5s|1h30|inf|0x5s|5us|"
                             "1M|18446744073709551616ms|18446744073709551615y|9223372036854775807s|"
                             "18446744073709551615ms1ms|00000000000000000000000000000001z");
}

UNIT_TEST(test_sets_have_a_bit_for_each_word)
{
    const char *name = "query.features";
    check_setting_number(name, "", 0);
    check_setting_number(name, "use-start-timestamps", 2);
    check_setting_number(name, "type-and-unit-labels,delayed-name-removal", 4 | 1);
    check_each_refused(name, ",|use-start-timestamps,|,use-start-timestamps|use|"
                             "use-start-timestamps,use-start-timestamps|"
                             "use-start-timestamps, delayed-name-removal");
}

UNIT_TEST(test_sizes_know_powers_of_1000_and_of_1024)
{
    const char *name = "storage.min-free";
    check_setting_number(name, "0", 0);
    check_setting_number(name, "12345", 12345);
    check_setting_number(name, "7B", 7);
    check_setting_number(name, "1KB", 1000);
    check_setting_number(name, "1KiB", 1024);
    check_setting_number(name, "3MB", 3000000);
    check_setting_number(name, "3MiB", 3 << 20);
    check_setting_number(name, "500GB", 500000000000);
    check_setting_number(name, "2TiB", 2ull << 40);
    check_setting_number(name, "1TB", 1000000000000);
    check_setting_number(name, "1PB", 1000000000000000);
    check_setting_number(name, "1PiB", 1ull << 50);
    check_each_refused(name, "|KiB|-1|1.5GiB|1 GiB|1kb|1K|1G|1Gi|1GiBs|1EiB|0x10|1e6|1_000|"
                             "18446744073709551616|18446744073709551615KiB|1GiB1MiB");
    check_setting_refused("write.max-name-bytes", "4GiB"); /* must not overflow 32 bits */
    check_setting_refused("write.max-name-bytes", "4294968320");
    check_setting_number("write.max-name-bytes", "2KiB", 2048);
}

UNIT_TEST(test_counts_are_whole_numbers)
{
    check_setting_number("head.max-samples", "5000", 5000);
    check_setting_number("head.max-samples", "20k", 20000);
    check_setting_number("head.max-samples", "20M", 20000000);
    check_setting_number("head.max-samples", "2G", 2000000000);
    check_setting_number("web.max-connections", "007", 7);
    static const char *const bad[] = {"", "-1", "1.0", "1e3", "1,000", "ten", "20K", "1 000", "2m"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_setting_refused("head.max-samples", bad[i]);
        check_setting_refused("web.max-connections", bad[i]);
    }
    check_setting_refused("web.max-connections", "1k");
    check_setting_refused("web.max-connections", "4294967297"); /* 1 if it overflowed */
}

UNIT_TEST(test_numbers_are_printed_in_their_shortest_exact_form)
{
    static const struct {
        const char *name;
        uint64_t number;
        const char *text;
    } cases[] = {{"retention.time", 0, "0s"},
                 {"retention.time", 1500, "1s500ms"},
                 {"retention.time", 129600000, "1d12h"},
                 {"retention.time", 691200000, "8d"},
                 {"retention.time", 1209600000, "2w"},
                 {"retention.time", 31536000000, "1y"},
                 {"retention.time", 31622400000, "366d"},
                 {"wal.budget", 0, "0"},
                 {"wal.budget", 500000000000, "500GB"},
                 {"wal.budget", 1024, "1KiB"},
                 {"wal.budget", 1536, "1536"},
                 {"wal.budget", 1001, "1001"},
                 {"head.max-samples", 1500000, "1500k"},
                 {"head.max-samples", 50000000, "50M"},
                 {"head.max-samples", 0, "0"},
                 {"web.max-connections", 1000, "1000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[48];
        setting_number_text(setting_named(cases[i].name), cases[i].number, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Minimum and maximum are allowed, one less and one more are not. */
UNIT_TEST(test_every_range_is_enforced_at_both_ends)
{
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        bool ranged = t->type != SETTING_TEXT && t->type != SETTING_BOOL && t->choices == NULL;
        if (!ranged) continue;
        assert_true(t->max > 0);
        const char *unit = t->type == SETTING_DURATION ? "ms" : "";
        uint64_t tries[] = {t->min, t->max, t->max + 1, t->min - 1};
        for (int i = 0; i < 4; i++) {
            if (i == 3 && t->min == 0) continue;
            char text[64];
            snprintf(text, sizeof text, "%llu%s", (unsigned long long)tries[i], unit);
            bool zero = tries[i] == 0 && t->zero != NULL;
            if (i < 2 || zero)
                check_setting_number(t->name, text, tries[i]);
            else
                check_setting_refused(t->name, text);
        }
        if (t->zero != NULL) check_setting_number(t->name, "0", 0);
    }
}

UNIT_TEST(test_every_default_is_written_in_its_shortest_form)
{
    struct settings s = settings_defaults();
    for (const struct setting *t = settings_table(); t->name != NULL; t++)
        assert_string_equal(setting_shown(&s, t), t->fallback);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations_are_read_as_prometheus_reads_them),
        cmocka_unit_test(test_sets_have_a_bit_for_each_word),
        cmocka_unit_test(test_sizes_know_powers_of_1000_and_of_1024),
        cmocka_unit_test(test_counts_are_whole_numbers),
        cmocka_unit_test(test_numbers_are_printed_in_their_shortest_exact_form),
        cmocka_unit_test(test_every_range_is_enforced_at_both_ends),
        cmocka_unit_test(test_every_default_is_written_in_its_shortest_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
