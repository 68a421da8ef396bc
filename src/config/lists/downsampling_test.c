/* downsampling_test.c - the list of downsampling: keys, errors, and the levels of the store. */
#include "lib/test.h"

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"

enum { HOUR_MS = 3600000, MINUTE_MS = 60000 };

static enum err
read_rules(const char *text, struct downsampling_rules *ret, struct why *why)
{
    struct settings settings;
    settings_default(&settings);
    why->text[0] = '\0';
    return downsampling_rules_yaml("f.yml", bytes_of_text(text), &settings, ret, why);
}

static const char four_rules[] =
    "downsampling:\n"
    "  - {match: '{job=\"ci\"}', after: 7d, resolution: 1h}\n"
    "  - {match: '{}', after: 40d, resolution: 5m}\n"
    "  - {match: '{}', tenants: [anonymous], after: 300d, resolution: 1d}\n"
    "  - {match: '{}', after: 1y, resolution: 1h}\n";

UNIT_TEST(test_rules_are_read_and_printed)
{
    struct downsampling_rules rules, again;
    struct why why;
    struct buf text;
    assert_int_equal(read_rules(four_rules, &rules, &why), OK);
    buf_init(&text, NULL, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rules.count, 4);
        assert_string_equal(rules.items[0].series.match, "{job=\"ci\"}");
        assert_int_equal(rules.items[0].series.age_ms, 7 * 24LL * HOUR_MS);
        assert_int_equal(rules.items[0].resolution_ms, HOUR_MS);
        assert_int_equal(rules.items[1].series.tenant_count, 0);
        assert_int_equal(rules.items[1].resolution_ms, 5 * MINUTE_MS);
        assert_string_equal(rules.items[2].series.tenants[0], "anonymous");
        if (i == 1) break;
        downsampling_rules_print_yaml(&rules, &text);
        buf_put_u8(&text, 0);
        assert_int_equal(read_rules((const char *)text.at, &again, &why), OK);
        downsampling_rules_free(&rules);
        rules = again;
    }
    downsampling_rules_free(&rules);
    buf_fini(&text);
}

UNIT_TEST(test_without_rules_nothing_is_printed)
{
    struct downsampling_rules rules;
    struct why why;
    struct buf text;
    assert_int_equal(read_rules("downsampling: []", &rules, &why), OK);
    buf_init(&text, NULL, 1 << 10);
    downsampling_rules_print_yaml(&rules, &text);
    assert_int_equal(text.size, 0);
    buf_fini(&text);
    downsampling_rules_free(&rules);
}

UNIT_TEST(test_invalid_rules_are_refused_with_their_place)
{
    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"downsampling: [{match: '{', after: 2d, resolution: 5m}]", "f.yml:1:24: "},
        {"downsampling: [{match: '{}', after: 2d}]", "resolution"},
        {"downsampling: [{match: '{}', resolution: 5m}]", "after"},
        {"downsampling: [{after: 2d, resolution: 5m}]", "match"},
        {"downsampling: {match: '{}'}", "downsampling"},
        {"downsampling: [{match: '{}', after: 1h, resolution: 2h}]",
         "must be at least the resolution"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 30s}]", "resolution"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 2d}]", "resolution"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 5m, keep: 1d}]",
         "unknown key 'keep'"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 5m, tenants: [a]}]",
         "tenancy.enabled is false"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 5m},"
         " {match: '{}', after: 3d, resolution: 5m}]",
         "rule 2 never applies: rule 1, before it, has the same match, tenants and resolution"},
        {"downsampling: [{match: '{a=\"b\"}', after: 2d, resolution: 5m},"
         " {match: '{}', after: 3d, resolution: 7m}]",
         "the resolution 7m of rule 2 is no multiple of the 5m of rule 1"},
        {"downsampling: [{match: '{}', after: 2d, resolution: 1h},"
         " {match: '{}', after: 3d, resolution: 5m}]",
         "the rules 1 and 2 are for the same series, and the coarser resolution needs a larger "
         "'after'"},
        {"downsampling: [{match: '{a=\"1\"}', after: 1d, resolution: 1m},"
         " {match: '{a=\"2\"}', after: 1d, resolution: 2m},"
         " {match: '{a=\"3\"}', after: 1d, resolution: 4m},"
         " {match: '{a=\"4\"}', after: 1d, resolution: 8m},"
         " {match: '{a=\"5\"}', after: 1d, resolution: 16m}]",
         "rule 5 has another resolution than all before it, and there may be 4"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct downsampling_rules rules;
        struct why why;
        assert_int_equal(read_rules(bad[i].text, &rules, &why), ERR_INPUT);
        if (strstr(why.text, bad[i].expected) == NULL) fail_msg("%s: %s", bad[i].text, why.text);
    }
}

UNIT_TEST(test_rules_that_never_apply_are_named)
{
#define LEVEL(match, more) "downsampling: [" match more "]\n"
#define LONG               "{match: '{}', after: 30d, resolution: 1h}"
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {LEVEL(LONG, "") "retention: {time: 31d}\n", ""},
        {LEVEL(LONG, "") "retention: {time: 30d}\n",
         "f.yml:1: downsampling: rule 1 never applies: retention removes its samples after 30d, "
         "and it "
         "applies after 30d\n"},
        {"downsampling:\n  - match: '{}'\n    after: 7d\n    resolution: 5m\n  - match: '{}'\n"
         "    after: 30d\n    resolution: 1h\nretention: {time: 30d}\n",
         "f.yml:5: downsampling: rule 2 never applies: retention removes its samples after 30d, "
         "and it applies after 30d\n"},
        {LEVEL("{match: '{job=~\".+\"}', after: 30d, resolution: 1h}, ", LONG), ""},
        /* Some of its series are kept for longer. */
        {LEVEL(LONG, "") "retention: {time: 7d, rules: [{match: '{a=\"1\"}', time: 1y}]}\n", ""},
        {LEVEL("{match: '{a=\"1\"}', after: 30d, resolution: 1h}",
               "") "retention: {time: 1y, rules: [{match: '{a=\"1\"}', time: 7d}]}\n",
         "f.yml:1: downsampling: rule 1 never applies: retention removes its samples after 1w, and "
         "it "
         "applies after 30d\n"},
        {LEVEL(LONG, ", {match: '{a=\"1\"}', after: 60d, resolution: 1h}"),
         "f.yml:1: downsampling: rule 2 never applies: rule 1, before it, is for all of its "
         "series, and the "
         "first rule that matches decides\n"},
        {LEVEL(LONG, ", {match: '{a=\"1\"}', after: 60d, resolution: 2h}"), ""},
        {LEVEL("{match: '{a=\"1\"}', after: 60d, resolution: 1h}, ", LONG), ""},
        {"retention: {time: 1y, rules: [{match: '{}', time: 7d}, {match: '{a=\"1\"}', time: "
         "1d}]}\n",
         "f.yml:1: retention: rule 2 never applies: rule 1, before it, is for all of its series, "
         "and the "
         "first rule that matches decides\n"},
        {"tenancy: {enabled: true}\nretention: {rules: [{match: '{}', time: 7d, tenants: [a, b]}, "
         "{match: '{a=\"1\"}', time: 1d, tenants: [b]}, {match: '{a=\"1\"}', time: 1d, tenants: "
         "[b, c]}]}\n",
         "f.yml:2: retention: rule 2 never applies: rule 1, before it, is for all of its series, "
         "and the "
         "first rule that matches decides\n"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings settings;
        struct downsampling_rules rules;
        struct retention_rules retention;
        struct bytes text = bytes_of_text(cases[i].text);
        struct why why;
        struct buf found;
        settings_default(&settings);
        assert_int_equal(settings_yaml(&settings, "f.yml", text, &why), OK);
        assert_int_equal(downsampling_rules_yaml("f.yml", text, &settings, &rules, &why), OK);
        assert_int_equal(retention_rules_yaml("f.yml", text, &settings, &retention, &why), OK);
        buf_init(&found, NULL, 10000);
        downsampling_rules_warn("f.yml", &rules, &retention, settings.retention_time_ms, &found);
        buf_put_u8(&found, '\0');
        assert_string_equal((const char *)found.at, cases[i].expected);
        buf_fini(&found);
        downsampling_rules_free(&rules);
        retention_rules_free(&retention);
    }
}

UNIT_TEST(test_each_resolution_is_a_level_with_its_rules)
{
    struct downsampling_rules rules;
    struct tsdb_limits limits = {.level_count = 0};
    struct why why;
    int64_t age_ms;
    assert_int_equal(read_rules(four_rules, &rules, &why), OK);
    assert_int_equal(downsampling_levels_make(&rules, &limits, &why), OK);
    assert_int_equal(limits.level_count, 3);
    assert_int_equal(limits.levels[0].resolution_ms, 5 * MINUTE_MS);
    assert_int_equal(series_rules_count(limits.levels[0].rules), 1);
    assert_int_equal(limits.levels[1].resolution_ms, HOUR_MS);
    assert_int_equal(series_rules_count(limits.levels[1].rules), 2);
    assert_int_equal(limits.levels[2].resolution_ms, 24 * HOUR_MS);
    age_ms = series_rules_at(limits.levels[1].rules, 1)->age_ms;
    assert_int_equal(age_ms, 365LL * 24 * HOUR_MS);
    tsdb_limits_drop_rules(&limits);
    assert_int_equal(limits.level_count, 0);
    downsampling_rules_free(&rules);
}

/* A change of `after` alone is a change of the same rule. */
UNIT_TEST(test_a_rule_is_found_by_series_and_resolution)
{
    static const char before[] = "downsampling: [{match: '{}', after: 40d, resolution: 5m},"
                                 " {match: '{}', tenants: [anonymous], after: 1y, resolution: 1h}]";
    static const char after[] = "downsampling: [{match: '{}', after: 50d, resolution: 5m},"
                                " {match: '{}', after: 1y, resolution: 1h}]";
    struct downsampling_rules old, new;
    struct why why;
    assert_int_equal(read_rules(before, &old, &why), OK);
    assert_int_equal(read_rules(after, &new, &why), OK);
    assert_ptr_equal(downsampling_rules_find(&new, &old.items[0]), &new.items[0]);
    assert_null(downsampling_rules_find(&new, &old.items[1]));
    downsampling_rules_free(&old);
    downsampling_rules_free(&new);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read_and_printed),
        cmocka_unit_test(test_without_rules_nothing_is_printed),
        cmocka_unit_test(test_invalid_rules_are_refused_with_their_place),
        cmocka_unit_test(test_each_resolution_is_a_level_with_its_rules),
        cmocka_unit_test(test_rules_that_never_apply_are_named),
        cmocka_unit_test(test_a_rule_is_found_by_series_and_resolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
