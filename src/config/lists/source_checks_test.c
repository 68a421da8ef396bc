/* source_checks_test.c - rules that the values of sources must follow. */
#include "lib/test.h"

#include "lib/config/config_sources.h"

UNIT_TEST(test_names_selectors_and_urls_are_checked)
{
    check_source_error(
        "sources:\n- {name: a/b, type: remote_read, url: 'http://h'}\n",
        "f.yml:2:10: name: expected letters, digits, '-', '_' and '.', not beginning "
        "with '.', got 'a/b'");
    check_source_error("sources:\n- {name: local, type: remote_read, url: 'http://h'}\n",
                       "f.yml:2:10: name: local is reserved for what is stored here");
    check_source_error("sources:\n- {name: a, type: archive, bucket: a/b}\n",
                       "f.yml:2:36: bucket: expected a bucket: 3 to 255 letters, digits, '.', '-' "
                       "and '_', got 'a/b'");
    check_source_error(READ_5 "  select: [up, 'up{']\n",
                       "f.yml:5:16: select: invalid selector: expected a label name at character "
                       "4");
    check_source_error("sources:\n- {name: a, type: remote_read, url: 'http://u:hush@h'}\n",
                       "f.yml:2:37: url: must not contain a user name or password; use basic_auth");
    check_source_error(
        READ_5 "  labels_url: h\n",
        "f.yml:5:15: labels_url: expected a URL that begins with http:// or https:// "
        "and has a host, got 'h'");
    check_source_error(READ_5 "  external_labels: {__name__: x}\n",
                       "f.yml:5:21: external_labels: __name__ is reserved for the metric name");
}

UNIT_TEST(test_a_selector_that_external_labels_bar_is_refused)
{
    static const char *const barred[] = {"{cluster=\"b\"}", "up{cluster!=\"a\"}",
                                         "{cluster=~\"b|c\"}", "up{cluster=\"\"}"};
    char text[300], expected[300];
    for (size_t i = 0; i < sizeof barred / sizeof *barred; i++) {
        snprintf(text, sizeof text,
                 READ_5 "  select: [up, '%s']\n  external_labels: {site: x, cluster: a}\n",
                 barred[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:5:11: select: '%s' selects nothing: external_labels sets cluster to 'a'",
                 barred[i]);
        check_source_error(text, expected);
    }
    check_source_fine(READ_5 "  select: ['up{cluster=\"a\"}', '{cluster=~\"a|b\",job=\"c\"}']\n"
                             "  external_labels: {cluster: a}\n",
                      false);
}

UNIT_TEST(test_one_way_to_log_in_is_enough)
{
    check_source_error(READ_5 "  authorization: {credentials: c}\n  sigv4: {}\n",
                       "f.yml:6:3: 'sigv4' and 'authorization' cannot be used together; "
                       "'authorization' is on line 5");
    check_source_error(READ_5 "  oauth2: {client_id: c, client_secret: s, token_url: 'http://h'}\n"
                              "  basic_auth: {username: u}\n",
                       "f.yml:6:3: 'basic_auth' and 'oauth2' cannot be used together; 'oauth2' is "
                       "on line 5");
    check_source_error(READ_5 "  sigv4: {}\n  headers: {authorization: v}\n",
                       "f.yml:6:12: headers: header authorization is set by sigv4");
    check_source_error(READ_5 "  headers: {X-A: v}\n  tenant_header: x-a\n",
                       "f.yml:5:12: headers: header X-A is set by tenant_header");
    check_source_error(READ_5 "  tenant_header: authorization\n  basic_auth: {username: u}\n",
                       "f.yml:5:18: tenant_header: header authorization is set by basic_auth");
    check_source_fine(READ_5 "  headers: {Authorization: v}\n", false);
}

UNIT_TEST(test_an_influxdb_has_the_keys_of_its_version)
{
    static const char begin[] = "sources:\n- name: a\n  type: influxdb\n  url: http://h\n";
    static const struct {
        const char *more, *expected;
    } cases[] = {
        {"  version: 1\n", "f.yml:2:3: type influxdb with version 1 requires 'database'"},
        {"  version: 2\n", "f.yml:2:3: type influxdb with version 2 requires 'bucket'"},
        {"  version: 1\n  database: d\n  token: t\n  basic_auth: {username: u}\n",
         "f.yml:8:3: 'basic_auth' and 'token' cannot be used together; 'token' is on line 7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s%s", begin, cases[i].more);
        check_source_error(text, cases[i].expected);
    }
}

UNIT_TEST(test_headers_of_reading_are_refused)
{
    static const char *const ours[] = {"accept-encoding", "X-Prometheus-Remote-Read-Version",
                                       "X-Firekeep-Notices", "Content-Type", "host"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        char text[200], expected[200];
        snprintf(text, sizeof text, READ_5 "  headers: {%s: v}\n", ours[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:5:13: headers: header '%s' is set by Firekeep and cannot be changed",
                 ours[i]);
        check_source_error(text, expected);
        snprintf(text, sizeof text, READ_5 "  tenant_header: %s\n", ours[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:5:18: tenant_header: header '%s' is set by Firekeep and cannot be changed",
                 ours[i]);
        check_source_error(text, expected);
    }
}

UNIT_TEST(test_with_tenancy_a_source_names_its_tenants)
{
    static const char *const several[] = {"all", "[all]", "[one, two]"};
    check_source_error_with(
        READ_5, true,
        "f.yml:2:3: tenancy.enabled is true: type remote_read requires 'tenants', a list or all");
    check_source_fine(READ_5 "  tenants: [one]\n", true);
    check_source_error_with(READ_5 "  tenants: [all, one]\n  tenant_header: T\n", true,
                            "f.yml:5:12: tenants: all cannot be combined with other tenants");
    for (size_t i = 0; i < sizeof several / sizeof *several; i++) {
        char text[200];
        snprintf(text, sizeof text, READ_5 "  tenants: %s\n", several[i]);
        check_source_error_with(
            text, true,
            "f.yml:5:12: tenants: several tenants cannot be distinguished at the "
            "source: set tenant_header, or list one tenant");
        snprintf(text, sizeof text, READ_5 "  tenants: %s\n  tenant_header: T\n", several[i]);
        check_source_fine(text, true);
    }
}

UNIT_TEST(test_without_tenancy_only_anonymous_can_be_named)
{
    check_source_error(READ_5 "  tenants: [one]\n",
                       "f.yml:5:12: tenants: tenancy.enabled is false: expected [anonymous] or "
                       "all");
    check_source_fine(READ_5 "  tenants: [anonymous]\n", false);
    check_source_fine(READ_5 "  tenants: all\n", false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_influxdb_has_the_keys_of_its_version),
        cmocka_unit_test(test_names_selectors_and_urls_are_checked),
        cmocka_unit_test(test_a_selector_that_external_labels_bar_is_refused),
        cmocka_unit_test(test_one_way_to_log_in_is_enough),
        cmocka_unit_test(test_headers_of_reading_are_refused),
        cmocka_unit_test(test_with_tenancy_a_source_names_its_tenants),
        cmocka_unit_test(test_without_tenancy_only_anonymous_can_be_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
