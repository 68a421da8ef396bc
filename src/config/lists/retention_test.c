/* retention_test.c - the list of rules of retention: keys, errors, and the rules of the store. */
#include "lib/test.h"

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"

static enum err
read_rules(const char *text, bool tenancy, struct retention_rules *ret, struct why *why)
{
    struct settings settings;
    settings_default(&settings);
    settings.tenancy_enabled = tenancy;
    why->text[0] = '\0';
    return retention_rules_yaml("f.yml", bytes_of_text(text), &settings, ret, why);
}

static const char two_rules[] = "retention:\n"
                                "    time: 90d\n"
                                "    rules:\n"
                                "      - match: '{job=\"ci\"}'\n"
                                "        time: 14d\n"
                                "      - match: '{}'\n"
                                "        tenants: [a, b]\n"
                                "        time: 1y\n";

UNIT_TEST(test_rules_are_read_and_printed)
{
    struct retention_rules rules, again;
    struct why why;
    struct buf text;
    assert_int_equal(read_rules(two_rules, true, &rules, &why), OK);
    buf_init(&text, NULL, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rules.count, 2);
        assert_string_equal(rules.items[0].match, "{job=\"ci\"}");
        assert_int_equal(rules.items[0].age_ms, 14 * 86400000LL);
        assert_int_equal(rules.items[0].tenant_count, 0);
        assert_string_equal(rules.items[1].tenants[1], "b");
        if (i == 1) break;
        buf_put_text(&text, "retention:\n");
        retention_rules_print_yaml(&rules, &text);
        buf_put_u8(&text, 0);
        assert_int_equal(read_rules((const char *)text.at, true, &again, &why), OK);
        retention_rules_free(&rules);
        rules = again;
    }
    retention_rules_free(&rules);
    buf_fini(&text);
}

UNIT_TEST(test_invalid_rules_are_refused_with_their_place)
{
    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"retention: {rules: [{match: '{', time: 2d}]}", "f.yml:1:29: retention.rules.match: "},
        {"retention: {rules: [{match: '{}'}]}", "time"},
        {"retention: {rules: [{time: 2d}]}", "match"},
        {"retention: {rules: [{match: '{}', time: 0s}]}", "retention.rules.time: "},
        {"retention: {rules: [{match: '{}', time: 2d, tenant: a}]}", "unknown key 'tenant'"},
        {"retention: {rules: [{match: '{}', time: 2d, tenants: [a]}]}", "tenancy.enabled is false"},
        {"retention: {rules: [{match: '{a=\"b\"}', time: 2d}, {match: '{}', time: 2d},"
         " {match: '{a=\"b\"}', time: 3d}]}",
         "rule 3 never applies: rule 1, before it, has the same match and tenants"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct retention_rules rules;
        struct why why;
        assert_int_equal(read_rules(bad[i].text, false, &rules, &why), ERR_INPUT);
        if (strstr(why.text, bad[i].expected) == NULL) fail_msg("%s: %s", bad[i].text, why.text);
    }
}

UNIT_TEST(test_without_tenancy_there_is_one_tenant)
{
    struct retention_rules rules;
    struct why why;
    const char *text = "retention: {rules: [{match: '{}', time: 2d, tenants: [anonymous]}]}";
    assert_int_equal(read_rules(text, false, &rules, &why), OK);
    retention_rules_free(&rules);
}

static void
expect_made(const char *text, int64_t time_ms, uint32_t count, int64_t kept_ms)
{
    struct retention_rules rules;
    struct settings settings;
    struct series_rules *made;
    struct why why;
    int64_t got_ms;
    settings_default(&settings);
    settings.retention_time_ms = time_ms;
    assert_int_equal(read_rules(text, true, &rules, &why), OK);
    assert_int_equal(retention_rules_make(&rules, &settings, &made, &got_ms, &why), OK);
    assert_int_equal(series_rules_count(made), count);
    assert_int_equal(got_ms, kept_ms);
    if (count > rules.count) {
        assert_string_equal(series_rules_at(made, count - 1)->match, "{}");
        assert_int_equal(series_rules_at(made, count - 1)->age_ms, time_ms);
    }
    series_rules_unref(made);
    retention_rules_free(&rules);
}

UNIT_TEST(test_a_rule_may_keep_series_for_longer_than_the_others)
{
    const int64_t day_ms = 86400000;
    expect_made("retention: {time: 1d}", 50, 0, 50);
    expect_made(two_rules, 400 * day_ms, 2, 400 * day_ms);
    expect_made(two_rules, 90 * day_ms, 3, 365 * day_ms);
    expect_made("retention: {rules: [{match: '{}', time: 9d}]}", day_ms, 1, 9 * day_ms);
}

static void
expect_planned(const char *text, uint32_t count, int64_t rest_ms)
{
    struct retention_rules rules;
    struct settings settings;
    struct series_rules *made;
    struct why why;
    settings_default(&settings);
    settings.retention_time_ms = 90 * INT64_C(86400000);
    assert_int_equal(read_rules(text, true, &rules, &why), OK);
    assert_int_equal(retention_rules_plan(&rules, &settings, &made, &why), OK);
    assert_int_equal(series_rules_count(made), count);
    assert_string_equal(series_rules_at(made, count - 1)->match, "{}");
    assert_int_equal(series_rules_at(made, count - 1)->age_ms, rest_ms);
    series_rules_unref(made);
    retention_rules_free(&rules);
}

UNIT_TEST(test_a_plan_says_what_retention_time_removes)
{
    const int64_t day_ms = 86400000;
    expect_planned("retention: {}", 1, 90 * day_ms);
    expect_planned("retention: {rules: [{match: '{job=\"ci\"}', time: 9d}]}", 2, 90 * day_ms);
    expect_planned("retention: {rules: [{match: '{}', time: 9d}]}", 1, 9 * day_ms);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_read_and_printed),
        cmocka_unit_test(test_invalid_rules_are_refused_with_their_place),
        cmocka_unit_test(test_without_tenancy_there_is_one_tenant),
        cmocka_unit_test(test_a_rule_may_keep_series_for_longer_than_the_others),
        cmocka_unit_test(test_a_plan_says_what_retention_time_removes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
